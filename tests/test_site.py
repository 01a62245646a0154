"""The book of the course: every page is there, every link leads on, a broken build leaves the old book."""

from __future__ import annotations

import base64
import json
import re
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from browsers import wait_until
from site_book import ROOT, book, need_sphinx, pages, read

from unet_helpers.classroom import site, site_pages
from unet_helpers.classroom.address import Address

pytestmark = pytest.mark.in_turn  # one build for this file and the one that drives a browser
ADDRESS = "https://github.com/someone/stones"
LESSONS = sorted(path.name for path in (ROOT / "notebooks").glob("0*.ipynb"))


# ------------------------------------------------------------------------------------------- the real book
def test_every_text_of_the_repository_is_a_page():
    there = {path.as_posix() for path in pages(book())}
    texts = [*ROOT.glob("docs/*.md"), *ROOT.glob("notebooks/*.md"), *ROOT.glob("notebooks/0*.ipynb")]
    texts += [path for path in ROOT.glob("*.md") if path.name != "README.md"]
    wanted = {path.relative_to(ROOT).with_suffix(".html").as_posix() for path in texts}
    wanted |= {"index.html", "search.html", "benchmarks/README.html", "docs/example_report.html"}
    assert len(LESSONS) == 7 and not wanted - there


def test_the_start_page_is_the_readme_with_a_button():
    page = read(book() / "index.html")
    assert "Begin with lesson 1" in page.text and f"notebooks/{Path(LESSONS[0]).stem}.html" in page.links
    assert "Is it for you?" in page.text and "<title>Find the stone" in page.html


def test_the_menu_has_the_lessons_in_order_by_number():
    menu = re.findall(r'toctree-l1"><a class="reference internal" href="([^"]+)">([^<]+)<', (
        book() / "index.html").read_text("utf-8"))  # fmt: skip
    assert [href for href, _ in menu[:7]] == [f"notebooks/{Path(name).stem}.html" for name in LESSONS]
    assert [title[:3] for _, title in menu[:7]] == [f"{n}. " for n in range(1, 8)]


def test_every_link_leads_on():
    dead = []
    for name in pages(book()):
        here = book() / name
        for link in [*read(here).links, *read(here).loaded]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = here if not parts.path else (here.parent / unquote(parts.path)).resolve()
            place = unquote(parts.fragment)
            if not target.is_file():
                dead.append(f"{name}: {link}")
            elif place and target.suffix == ".html" and place not in read(target).ids:
                dead.append(f"{name}: {link} (no such place)")
    assert not dead, "\n".join(dead)


def test_no_link_between_pages_is_a_download():
    for name in pages(book()):
        for link in read(book() / name).links:
            path = urlsplit(link).path
            assert urlsplit(link).scheme or "_sources" in path or not path.endswith((".md", ".ipynb")), link


def test_pages_load_nothing_from_elsewhere():
    for name in pages(book()):
        foreign = [one for one in read(book() / name).loaded if re.match(r"(https?:)?//", one)]
        assert not foreign, (name, foreign)
    styles = "".join(path.read_text("utf-8") for path in book().rglob("*.css"))
    assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", styles)


def test_every_picture_has_the_words_of_the_lesson():
    for name in pages(book()):
        without = [alt for alt in read(book() / name).images if not alt]
        assert not without, (name, f"{len(without)} pictures without words")
    for name in LESSONS:
        words = site_pages.alternatives((ROOT / "notebooks" / name).read_text("utf-8"))
        shown = [
            " ".join(alt.split()) for alt in read(book() / "notebooks" / name.replace("ipynb", "html")).images
        ]
        assert len(words) > 3 and {" ".join(one.split()) for one in words.values()} <= set(shown), name


def test_answers_are_folded_and_the_code_is_as_it_was_executed():
    for name in LESSONS:
        lesson = json.loads((ROOT / "notebooks" / name).read_text("utf-8"))
        html = (book() / "notebooks" / name.replace("ipynb", "html")).read_text("utf-8")
        sources = "\n".join("".join(c["source"]) for c in lesson["cells"] if c["cell_type"] == "markdown")
        assert html.count("<summary") >= sources.count("<summary") > 0, name
        n_code = sum(cell["cell_type"] == "code" and bool(cell["source"]) for cell in lesson["cells"])
        assert html.count('class="cell_input') == n_code, name


def test_the_report_is_the_true_one():
    report = (book() / "docs/report.html").read_text("utf-8")
    assert "Evaluation of kidney stone segmentation" in report and 'id="report-data"' in report
    assert "report.html" in read(book() / "docs/example_report.html").links
    assert f"{site.N_PATIENTS} synthetic patients" in read(book() / "docs/example_report.html").text
    assert f"of {site.N_PATIENTS} groups" in report


def test_search_knows_the_glossary():
    index = (book() / "searchindex.js").read_text("utf-8")
    assert "hounsfield" in index and "notebooks/glossary" in index


# ---------------------------------------------------------------------------------- a page is not its file
def lesson(*cells: dict[str, Any]) -> str:
    metadata = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def test_plumbing_is_folded_and_setup_is_not():
    cells = [
        {"cell_type": "code", "metadata": {"tags": [tag]}, "source": ["import this"], "outputs": []}
        for tag in ("plumbing", "setup")
    ]
    folded, visible = json.loads(site_pages.lesson_page(lesson(*cells), Address()))["cells"]
    assert "hide-input" in folded["metadata"]["tags"] and "Plumbing" in str(folded["metadata"]["mystnb"])
    assert visible == cells[1]


@pytest.mark.parametrize("address", [Address(), Address("https://git.example.org/a/b")])
def test_without_an_address_on_github_there_is_no_button(address: Address):
    assert site_pages.theme_options(address) == {}


@pytest.mark.parametrize("branch", [None, "next"])
def test_with_an_address_there_is_a_button(branch: str | None):
    options = site_pages.theme_options(Address(ADDRESS, branch))
    assert options["repository_url"] == ADDRESS and options["repository_branch"] == (branch or "main")
    assert "colab" in options["launch_buttons"]["colab_url"]


def test_a_badge_becomes_words_and_a_missing_link_goes():
    link = "https://colab.research.google.com/github/someone/stones/blob/main/notebooks/01_a.ipynb"
    badge = f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({link})"
    line = f"Online: <!-- colab 01_a.ipynb -->{badge}<!-- /colab -->"
    shown = site_pages.text_page(line, Address(ADDRESS))
    assert f"[Open in Colab]({link})" in shown and "badge" not in shown
    assert site_pages.text_page("Online: <!-- colab 01_a.ipynb -->*Later.*<!-- /colab -->", Address()) == ""


@pytest.mark.parametrize(("depth", "up"), [(0, ""), (1, "../"), (2, "../../")])
def test_a_link_to_the_readme_leads_to_the_start(depth: int, up: str):
    text = f"[it]({up}README.md) and [there]({up}README.md#start), not [these]({up}benchmarks/README.md)"
    wanted = f"[it]({up}index.md) and [there]({up}index.md#start), not [these]({up}benchmarks/README.md)"
    assert site_pages.text_page(text, Address(), depth) == wanted


# ---------------------------------------------------------------------------------------- a small book
PIXEL = base64.b64encode(
    base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
).decode()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of three short pages; its report is one line."""
    need_sphinx()
    root = tmp_path / "repository"
    shutil.copytree(ROOT / "docs/_static", root / "docs/_static")
    shutil.copytree(ROOT / "docs/_pages", root / "docs/_pages")
    shutil.copy(ROOT / "docs/conf.py", root / "docs/conf.py")
    (root / "benchmarks").mkdir()
    (root / "benchmarks/README.md").write_text("# Measurements\n\nMany.\n")
    (root / "pyproject.toml").write_text(f'[project.urls]\nRepository = "{ADDRESS}"\n')
    (root / "README.md").write_text("# Stones\n\nHello.\n\n## Start\n\n[One](notebooks/01_a.ipynb)\n")
    (root / "notebooks").mkdir()
    picture = {"image/png": PIXEL, "text/plain": ["Figure"]}
    output = {"output_type": "display_data", "data": picture, "metadata": {"image/png": {"alt": "A dot."}}}
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Lesson 1: Look\n\n[up](../README.md)"]},
        {"cell_type": "code", "metadata": {"tags": ["plumbing"]}, "source": ["x = 1"], "outputs": [output],
         "execution_count": 1},
    ]  # fmt: skip
    (root / "notebooks/01_a.ipynb").write_text(lesson(*cells))
    monkeypatch.setattr(site, "write_example", lambda path: (
        path.parent.mkdir(parents=True, exist_ok=True), path.write_text("the report")))  # fmt: skip
    return root


def build(root: Path, out: Path | None = None) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the programs that make the book, about themselves
        return site.build(root, out)


def test_a_small_book_with_an_address(small: Path, capfd: pytest.CaptureFixture[str]):
    assert build(small) == 0, capfd.readouterr()
    html = (small / "site/notebooks/01_a.html").read_text("utf-8")
    assert "colab.research.google.com/github/someone/stones/blob/main/notebooks/01_a.ipynb" in html
    assert "Plumbing: nothing to read here" in html and 'alt="A dot."' in html
    assert '<a class="reference internal" href="../index.html"' in html
    said = capfd.readouterr().out
    assert "6 pages in" in said and f"Open {small / 'site/index.html'} in a browser" in said
    assert not [path for path in small.iterdir() if path.name.startswith(".")]


def test_only_what_has_changed_is_read_again(small: Path, monkeypatch: pytest.MonkeyPatch):
    assert build(small) == 0
    made = small / "build/site/doctrees"
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*.doctree")}
    (small / "benchmarks/README.md").write_text("# Measurements\n\nFew.\n")
    assert build(small) == 0
    changed = {path.stem for path in before if path.stat().st_mtime_ns != before[path]}
    assert changed == {"README"} and len(before) == 4
    assert "Few." in (small / "site/benchmarks/README.html").read_text("utf-8")
    assert 'alt="A dot."' in (small / "site/notebooks/01_a.html").read_text("utf-8")
    calls: list[Path] = []
    monkeypatch.setattr(site, "write_example", calls.append)
    assert build(small) == 0 and not calls  # the package is the same, so the report is


def test_a_page_that_is_gone_is_gone_from_the_book(small: Path):
    (small / "CHANGELOG.md").write_text("# What has changed\n\nAll.\n")
    assert build(small) == 0 and (small / "site/CHANGELOG.html").is_file()
    (small / "CHANGELOG.md").unlink()
    assert build(small) == 0 and not (small / "site/CHANGELOG.html").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[dead](nowhere.md)", "benchmarks/README.md leads to benchmarks/nowhere.md, which is no file"),
        ("[dead](../README.md#nowhere)", "local id not found"),
        ("### A leap of headings", "Non-consecutive header level increase"),
    ],
)
def test_a_fault_in_a_page_keeps_the_old_book(
    small: Path, capfd: pytest.CaptureFixture[str], text: str, said: str
):
    assert build(small) == 0
    (small / "benchmarks/README.md").write_text(f"# Measurements\n\n{text}\n")
    assert build(small) == 1
    told = capfd.readouterr()
    assert said in told.out + told.err
    assert "Many." in (small / "site/benchmarks/README.html").read_text("utf-8")
    (small / "benchmarks/README.md").write_text("# Measurements\n\nMended.\n")
    assert build(small) == 0
    assert "Mended." in (small / "site/benchmarks/README.html").read_text("utf-8")


def test_a_stopped_build_leaves_the_old_book_and_nothing_half(small: Path, monkeypatch: pytest.MonkeyPatch):
    assert build(small) == 0

    def stopped(root: Path, work: Path) -> int:
        (work / "html/index.html").write_text("half a p")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(site, "_sphinx", stopped)
        with pytest.raises(KeyboardInterrupt):
            build(small)
    assert "Hello." in (small / "site/index.html").read_text("utf-8")
    assert build(small) == 0
    assert "Hello." in (small / "site/index.html").read_text("utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a single process")
def test_ctrl_c_ends_it_without_a_traceback(tmp_path: Path):
    need_sphinx()
    out = tmp_path / "site"
    command = [sys.executable, "-m", "unet_helpers.classroom.site", "--out", str(out), "--work"]
    build = subprocess.Popen([*command, str(tmp_path / "work")], cwd=ROOT, stderr=-1, stdout=-1, text=True)
    wait_until(lambda: (tmp_path / "work/source/index.md").exists(), "the pages are gathered", 60)
    build.send_signal(signal.SIGINT)
    said, errors = build.communicate(timeout=60)
    assert build.returncode == 130 and "An older book is as it was." in said and "Traceback" not in errors
    assert not out.exists() and (tmp_path / "work/unfinished").exists()


def test_a_folder_that_holds_something_else_is_not_replaced(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/index.html").write_text("mine")
    assert build(small, tmp_path / "photos") == 1
    assert "holds something that is no book" in capsys.readouterr().out
    assert (tmp_path / "photos/index.html").read_text() == "mine"


def test_without_its_packages_it_says_how_to_get_them(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(site, "EXTENSIONS", ("sphinx", "no_such_package"))
    assert build(small) == 1
    assert 'needs no_such_package: python -m pip install -e ".[site]"' in capsys.readouterr().out


def test_the_command_of_the_tutorial(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    asked = subprocess.run(
        [sys.executable, "tutorial.py", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert "tutorial.py site" in asked.stdout
    import tutorial

    calls: list[list[Any]] = []
    monkeypatch.setattr(tutorial, "call", lambda command, root=ROOT: calls.append([*command]) or 0)
    assert tutorial.main(["site", "--here", "--out", str(tmp_path)]) == 0
    assert calls == [[Path(sys.executable), "-m", "unet_helpers.classroom.site", "--out", tmp_path.resolve()]]
