"""The book of the course, built once for all tests that look at it, and what stands in its pages."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
REASON = 'needs the packages of the book: pip install -e ".[site]"'


def need_sphinx() -> None:
    """Skip where the packages of the book are missing."""
    for name in ("sphinx", "myst_nb", "sphinx_book_theme", "sphinx_copybutton"):
        pytest.importorskip(name, reason=REASON)


@functools.cache
def book() -> Path:
    """Folder of the whole book, built as `tutorial.py site` does; any warning fails."""
    need_sphinx()
    place = Path(tempfile.mkdtemp(prefix="book-"))
    command = [sys.executable, "-m", "unet_helpers.classroom.site", "--out", str(place / "site")]
    made = subprocess.run(
        [*command, "--work", str(place / "work")], cwd=ROOT, capture_output=True, text=True, timeout=500
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert not made.stderr, made.stderr
    return place / "site"


def pages(site: Path) -> list[Path]:
    """All pages for readers, relative to the book."""
    every = (path.relative_to(site) for path in sorted(site.rglob("*.html")))
    return [path for path in every if path.parts[0] != "_static"]


@dataclass
class Page(HTMLParser):
    """What a page leads to and shows.

    Attributes:
        links: Of <a>.
        loaded: What a browser fetches to show the page: scripts, styles, pictures, frames.
        images: Words of each picture in the text; None where it has no `alt`.
        ids: Places to which a link can lead.
        text: The words of the page.
    """

    html: str
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    images: list[str | None] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self.in_article = False
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.in_article |= tag == "article"
        self.ids |= {value for name in ("id", "name") if (value := values.get(name))}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag in ("script", "img", "iframe", "source", "video") and values.get("src"):
            self.loaded.append(values["src"])
        if tag == "link" and values.get("rel") not in ("next", "prev", "index", "search", "canonical"):
            self.loaded.append(values["href"])
        if tag == "img" and self.in_article:
            self.images.append(values.get("alt"))

    def handle_endtag(self, tag: str) -> None:
        self.in_article &= tag != "article"

    def handle_data(self, data: str) -> None:
        self.text += data


@functools.cache
def read(path: Path) -> Page:
    return Page(path.read_text("utf-8"))
