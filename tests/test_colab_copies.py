"""Lessons that bring their package along: nothing is missing in it, and it unpacks whole, once, anywhere."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from test_setup import LESSONS, tutorial
from test_start import run_cell

from unet_helpers.classroom import colab, plumbing
from unet_helpers.classroom.address import Address, address_of, first_cell, plumbing_cell

ROOT = tutorial.ROOT
WEIGHTS = "\nfrom unet_helpers.pretrained import load_pretrained\nready = load_pretrained()"
WEIGHTS += "\nprint(ready.model.training, unet_helpers.__file__)"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `tutorial.py colab` writes, by a Python that has no third-party package."""
    folder = tmp_path_factory.mktemp("colab") / "out"
    command = [sys.executable, "-E", "-s", "-S", str(ROOT / "tutorial.py"), "colab", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(f"{2 * len(LESSONS) + 2} files in {folder}, the largest of ")
    return folder


def cells_of(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text("utf-8"))["cells"]


def source_of(path: Path, cell_id: str) -> str:
    (cell,) = [cell for cell in cells_of(path) if cell["id"] == cell_id]
    return "".join(cell["source"])


# ---------------------------------------------------------------------------------------- what is in it
def test_the_zip_holds_every_file_of_the_package(out: Path) -> None:
    with zipfile.ZipFile(out / "unet_helpers.zip") as archive:
        names = archive.namelist()
        assert archive.testzip() is None
    assert names[-1] == "LICENSE" and len(set(names)) == len(names)
    assert {"unet_helpers/pretrained/weights.pt", "unet_helpers/report/page.html.j2"} <= set(names)
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("which files belong to the package is asked of git, which is not here")
    known = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "unet_helpers"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(names[:-1]) == sorted(known.stdout.split())


def test_the_same_package_gives_the_same_bytes(out: Path, tmp_path: Path) -> None:
    assert colab.package_zip() == (out / "unet_helpers.zip").read_bytes()
    again = colab.write_lessons([ROOT / "notebooks" / LESSONS[0]], tmp_path, Address())
    names = {path.relative_to(tmp_path).as_posix() for path in again}
    assert names == {LESSONS[0], f"kaggle/{LESSONS[0]}", "README.md", "unet_helpers.zip"}
    for name in names:
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


@pytest.mark.parametrize("name", LESSONS)
def test_a_copy_is_the_lesson_with_the_package_in_its_first_cell(out: Path, name: str) -> None:
    copies, lessons = cells_of(out / name), cells_of(ROOT / "notebooks" / name)
    changed = [cell["id"] for cell, was in zip(copies, lessons, strict=True) if cell != was]
    assert {"plumbing", "colab"} <= set(changed)
    plumbing = source_of(out / name, "plumbing")
    carried = re.search(r'find_package\("[^"]+", """\n([A-Za-z0-9+/=\n]+)"""\)$', plumbing)
    assert carried and base64.b64decode(carried[1]) == (out / "unet_helpers.zip").read_bytes()
    assert max(map(len, plumbing.splitlines())) <= colab.COLUMNS + 3
    for cell, was in zip(copies, lessons, strict=True):
        assert cell["metadata"] == was["metadata"] and cell.get("outputs") == was.get("outputs")
        if cell["cell_type"] == "code" and cell["id"] != "plumbing":
            assert cell == was
        if cell["cell_type"] == "markdown":
            links = re.findall(r"\]\(([^)\s]+)\)", "".join(cell["source"]))
            assert all(link.startswith(("https://", "http://", "#")) for link in links), links
    assert (out / name).stat().st_size < 3e6


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_for_kaggle_is_as_small_as_kaggle_wants_it(out: Path, name: str) -> None:
    assert (out / "kaggle" / name).stat().st_size < 1e6
    assert source_of(out / "kaggle" / name, "plumbing") == plumbing_cell(address_of(ROOT))
    assert source_of(ROOT / "notebooks" / name, "plumbing") == first_cell(address_of(ROOT))
    assert source_of(out / "kaggle" / name, "colab").startswith("On Kaggle: press *Add input > Upload")


def test_links_to_other_lessons_become_words_and_the_next_one_keeps_its_file_name(out: Path) -> None:
    assert "from lesson 1, what a mask" in source_of(out / LESSONS[1], "opening")
    last = "".join(cells_of(out / LESSONS[1])[-1]["source"])
    assert re.search(r"^\*\*Next:\*\* Lesson 3: .* \(03_unet_architecture\.ipynb\)", last, flags=re.MULTILINE)
    assert source_of(out / LESSONS[1], "colab").startswith("This copy brings its package along.")


def test_readme_says_how_large_a_copy_is(out: Path) -> None:
    said = re.search(r"about (\d\.\d) MB", (out / "README.md").read_text("utf-8"))
    carried = len(base64.b64encode((out / "unet_helpers.zip").read_bytes()))
    assert said and float(said[1]) == pytest.approx(carried / 1e6, abs=0.06)


def test_copies_for_students_hold_no_solution(tmp_path: Path) -> None:
    assert tutorial.colab(tmp_path / "out", students=True) == 0
    for name in LESSONS:
        text = "".join("".join(cell["source"]) for cell in cells_of(tmp_path / "out" / name))
        assert ".check(" in text and ".solution()" not in text


def test_a_lesson_without_plumbing_is_refused() -> None:
    with pytest.raises(ValueError, match="one cell tagged plumbing, got 0"):
        colab.self_contained({"cells": [], "metadata": {}}, b"", Address())


# ------------------------------------------------------------------------------------------- it unpacks
def test_a_copy_runs_in_an_empty_folder_again_and_in_two_notebooks_at_once(out: Path, tmp_path: Path) -> None:
    cell = source_of(out / LESSONS[0], "plumbing")
    (tmp_path / "me").mkdir()
    with ThreadPoolExecutor(2) as notebooks:
        first, second = notebooks.map(lambda _: run_cell(cell, tmp_path), range(2))
    assert first == second
    package = Path(first.strip()).parent
    assert package.is_relative_to(tmp_path / "me" / ".cache")
    with zipfile.ZipFile(io.BytesIO((out / "unet_helpers.zip").read_bytes())) as archive:
        unpacked = sorted(p for p in package.rglob("*") if p.is_file() and p.suffix != ".pyc")
        assert len(unpacked) == len(archive.namelist()) - 1
    kept = [path.name for path in (tmp_path / "me" / ".cache" / "unet-kidney-stones").iterdir()]
    assert kept == [package.parent.name]  # nothing half unpacked beside it
    assert run_cell(cell, tmp_path, after="\nimport unet_helpers" + WEIGHTS) == f"False {first}"


def test_whoever_comes_second_takes_nothing_away(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both find nothing, both unpack, and the first imports already when the second is done."""
    content, extractall, first = (out / "unet_helpers.zip").read_bytes(), zipfile.ZipFile.extractall, []
    monkeypatch.setattr(Path, "home", lambda: tmp_path)

    def after_the_first(archive: zipfile.ZipFile, *where: Any) -> None:
        monkeypatch.setattr(zipfile.ZipFile, "extractall", extractall)
        first.append((plumbing.unpacked(content) / plumbing.INSIDE).stat().st_ino)
        archive.extractall(*where)

    monkeypatch.setattr(zipfile.ZipFile, "extractall", after_the_first)
    folder = plumbing.unpacked(content)
    assert [(folder / plumbing.INSIDE).stat().st_ino] == first
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_file_that_is_missing_comes_back(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    content = (out / "unet_helpers.zip").read_bytes()
    folder = plumbing.unpacked(content)
    shutil.rmtree(folder / "unet_helpers" / "widgets")
    kept = (folder / plumbing.INSIDE).stat().st_ino
    assert plumbing.unpacked(content) == folder
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert all(
            (folder / name).exists() for name in archive.namelist() if name.startswith("unet_helpers/")
        )
    assert (folder / plumbing.INSIDE).stat().st_ino == kept
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_newer_copy_never_meets_an_older_package(out: Path, tmp_path: Path) -> None:
    older = run_cell(source_of(out / LESSONS[0], "plumbing"), tmp_path)
    content = io.BytesIO((out / "unet_helpers.zip").read_bytes())
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("unet_helpers/newer.py", "")
    book = json.loads((ROOT / "notebooks" / LESSONS[0]).read_text("utf-8"))
    copy = colab.self_contained(book, content.getvalue(), Address())
    (cell,) = [cell for cell in copy["cells"] if cell["id"] == "plumbing"]
    newer = run_cell(
        "".join(cell["source"]), tmp_path, after="\nimport unet_helpers.newer as n\nprint(n.__file__)"
    )
    folders = Counter(Path(path.strip()).parents[1] for path in (older, newer))
    assert set(folders.values()) == {1}
