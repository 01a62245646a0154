"""`python3 tutorial.py site`: the texts and the executed lessons as a book to read in a browser.

The pages are gathered in `build/site/`, where Sphinx finds them and keeps what has not changed since the last
time; a finished book is copied beside `site/` and takes its place. So `site/` is whole or is not touched.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["build", "contents", "gather", "write_example"]

PAGES = Path(__file__).with_name("site_pages.py")
EXTENSIONS = ("sphinx", "myst_nb", "sphinx_book_theme", "sphinx_copybutton")
CHAPTERS = {  # captions of the menu, and the files below each; a file that is not there is left out
    "The lessons": ["notebooks/0*.ipynb", "notebooks/glossary.md"],
    "Teaching": ["TEACHING.md"],
    "Your own images": ["docs/your_data.md", "docs/errors.md", "docs/example_report.md"],
    "To build on it": [
        "docs/architecture.md", "docs/api.md", "unet_helpers/pretrained/README.md", "benchmarks/README.md",
        "CONTRIBUTING.md", "CHANGELOG.md",
    ],
}  # fmt: skip
BUTTON = '<p><a class="course-button" href="notebooks/{lesson}.html">Begin with lesson 1</a></p>\n\n'
LINK = re.compile(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)")
LEFT_OUT = (".buildinfo*", "objects.inv", "*webpack-macros.html")  # of no use to a reader
N_PATIENTS, SEED = 8, 16  # of the example report; weights and lessons know the seeds 0, 7 and 2028


# ------------------------------------------------------------------------------------------- the pages
def contents(root: Path) -> dict[str, list[Path]]:
    """The files of the book below each caption, in the order of its menu, relative to `root`."""
    made = {Path("docs") / page.name for page in (root / "docs/_pages").glob("*.md")}
    book = {}
    for caption, patterns in CHAPTERS.items():
        files: list[Path] = []
        for pattern in patterns:
            there = [Path(pattern)] if Path(pattern) in made else sorted(root.glob(pattern))
            files += [path.relative_to(root) if path.is_absolute() else path for path in there]
        book[caption] = files
    return book


def start_page(root: Path) -> str:
    """README.md as the first page: a button to the first lesson, and the menu of the book at its end."""
    book = contents(root)
    lesson = next(path.stem for path in book["The lessons"])
    head, mark, rest = (root / "README.md").read_text("utf-8").partition("## ")
    trees = [
        "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *map(_entry(root), files), "```"])
        for caption, files in book.items()
        if files
    ]
    return "\n\n".join([head + BUTTON.format(lesson=lesson) + mark + rest, *trees]) + "\n"


def _entry(root: Path) -> Callable[[Path], str]:
    """Lines of a menu: a lesson goes by its number and name, any other page by its own heading."""

    def line(path: Path) -> str:
        name = path.with_suffix("").as_posix()
        if path.suffix != ".ipynb":
            return name
        head = "".join(json.loads((root / path).read_text("utf-8"))["cells"][0]["source"])
        title = re.match(r"# Lesson (\d+): ([^\n]+)", head)
        return f"{title[1]}. {title[2]} <{name}>" if title else name

    return line


def gather(root: Path, source: Path) -> None:
    """Copy all pages, and the files to which they lead, into `source`; what is there already keeps its date.

    Raises:
        ValueError: If a page leads to a file that does not exist.
    """
    pages = {Path("index.md"): start_page(root).encode()}
    for path in (one for files in contents(root).values() for one in files):
        made = root / "docs/_pages" / path.name
        text = (made if made.exists() and path.parent.name == "docs" else root / path).read_bytes()
        pages[path] = text.replace(b"{patients}", str(N_PATIENTS).encode()) if made.exists() else text
    wanted = dict(pages)
    for page, content in pages.items():
        for target in _targets(content.decode("utf-8"), page):
            if target not in wanted and target != Path("README.md"):
                if not (root / target).is_file():
                    raise ValueError(f"{page} leads to {target}, which is no file: mend the link.")
                wanted[target] = (root / target).read_bytes()
    for old in [path for path in source.rglob("*") if path.is_file()]:
        if old.relative_to(source) not in wanted:
            old.unlink()
    for path, content in wanted.items():
        place = source / path
        if not place.is_file() or place.read_bytes() != content:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)


def _targets(text: str, page: Path) -> Iterator[Path]:
    """The files of the repository to which a page leads, relative to its root."""
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    text = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.DOTALL | re.MULTILINE)
    for found in LINK.finditer(text):
        parts: list[str] = []
        for part in (page.parent / found[1]).parts:
            if part == ".." and parts:
                parts.pop()
            else:
                parts.append(part)
        yield Path(*parts)


# ------------------------------------------------------------------------------------------ the report
def write_example(path: Path) -> None:
    """Write the report that lesson 5 writes, of the package's network on a few synthetic patients."""
    from unet_helpers.data import find_pairs
    from unet_helpers.phantom import write_dataset
    from unet_helpers.scores import judging

    with TemporaryDirectory() as scratch:
        data = write_dataset(Path(scratch) / "ct", n_patients=N_PATIENTS, seed=SEED, progress=False)
        network = judging.borrowed(Path(scratch) / "run")
        judged = judging.judge(network, find_pairs(data))
        *_, report = judging.keep_scores(network.folder, judged)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(report, path)


def _package_key(root: Path) -> str:
    """A hash of all on which the example depends."""
    digest = hashlib.sha256()
    for path in sorted((root / "unet_helpers").rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(path.as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _fresh_example(root: Path, work: Path) -> None:
    path, stamp, key = work / "extra/docs/report.html", work / "report.key", _package_key(root)
    if not path.is_file() or not stamp.is_file() or stamp.read_text() != key:
        write_example(path)
        stamp.write_text(key)


# -------------------------------------------------------------------------------------------- the book
def _sphinx(root: Path, work: Path) -> int:
    """Let Sphinx make the pages; any warning is an error."""
    from sphinx.cmd.build import build_main

    conf, extra = root / "docs", work / "extra"
    options = ["-b", "html", "-W", "--keep-going", "-q", "-c", conf, "-d", work / "doctrees"]
    options += ["-D", f"html_extra_path={extra}"]
    code: int = build_main([str(one) for one in (*options, work / "source", work / "html")])
    return code


def build(root: Path, out: Path | None = None, work: Path | None = None) -> int:
    """Build the book into `out` (`site/`), whole or not at all; return an exit code.

    Only what has changed since the last time is made anew, unless the last time was broken off.

    Args:
        root: The repository.
        out: Folder of the book; an older book there is replaced.
        work: Folder of what is kept for the next time, `build/site/` without it.
    """
    out, work = (out or root / "site").absolute(), (work or root / "build" / "site").absolute()
    missing = [name for name in EXTENSIONS if importlib.util.find_spec(name) is None]
    if missing:
        print(f'The book needs {", ".join(missing)}: python -m pip install -e ".[site]"')
        return 1
    if out.exists() and not (out / "searchindex.js").is_file() and any(out.iterdir()):
        print(f"{out} holds something that is no book: give another folder.")
        return 1
    try:
        with _work_in(root, work):
            gather(root, work / "source")
            _fresh_example(root, work)
            if _sphinx(root, work) != 0:
                raise ValueError("The book was not built, for the reasons above; an older one is as it was.")
    except ValueError as error:
        print(error)
        return 1
    _publish(work / "html", out)
    n_pages = sum("_static" not in path.parts for path in out.rglob("*.html"))
    print(f"{n_pages} pages in {out}")
    print(f"Open {out / 'index.html'} in a browser, or put the folder on any web server.")
    return 0


@contextmanager
def _work_in(root: Path, work: Path) -> Iterator[None]:
    """Keep what was made the last time, unless that was broken off or made in another way."""
    unfinished, stamp = work / "unfinished", work / "made-by.txt"
    made_by = [str(contents(root)), importlib.metadata.version("sphinx")]
    made_by += [path.read_text("utf-8") for path in (root / "docs/conf.py", Path(__file__), PAGES)]
    if unfinished.exists() or not stamp.is_file() or stamp.read_text("utf-8") != "\n".join(made_by):
        for folder in ("source", "doctrees", "html"):  # the report is whole, and has a stamp of its own
            shutil.rmtree(work / folder, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    unfinished.touch()
    yield
    stamp.write_text("\n".join(made_by), "utf-8")
    unfinished.unlink()


def _publish(made: Path, out: Path) -> None:
    """Put a copy of what was made in the place of the older book."""
    fresh, old = (out.with_name(f".{out.name}-{what}") for what in ("new", "old"))
    for folder in (fresh, old):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(made, fresh, ignore=shutil.ignore_patterns(*LEFT_OUT))
    if out.exists():
        out.rename(old)
    fresh.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def main(arguments: list[str] | None = None) -> int:
    """The command line of `tutorial.py site`."""
    parser = argparse.ArgumentParser(description="Builds the book of the course.")
    parser.add_argument("--out", type=Path, help="folder of the book; site/ without it")
    parser.add_argument("--work", type=Path, help="folder of what is kept; build/site/ without it")
    args = parser.parse_args(arguments)
    try:
        return build(Path(__file__).resolve().parents[2], args.out, args.work)
    except KeyboardInterrupt:
        print("Stopped. An older book is as it was.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
