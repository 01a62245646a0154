"""A lesson as its rules read it: cells, sections, prose."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LESSONS = {  # every lesson that there is, by its number; one may be missing while it is being written
    1: "01_dataset",
    2: "02_preprocessing",
    3: "03_unet_architecture",
    4: "04_training",
    5: "05_evaluation",
    6: "06_your_own_data",
    7: "07_bug_museum",
}
HEADING = re.compile(r"^## +(?:(?P<number>\d+)\. +)?(?P<title>.*?)(?: +\(about (?P<minutes>\d+) min\))?$")


@dataclass(frozen=True)
class Cell:
    """One cell; its outputs are those of the file."""

    kind: str
    id: str
    source: str
    tags: tuple[str, ...] = ()
    count: int | None = None
    outputs: tuple[dict[str, Any], ...] = ()


@dataclass
class Section:
    """What stands between two headings of the second level; number 0 is everything before section 1."""

    title: str
    number: int | None
    minutes: int | None
    pieces: list[Cell] = field(default_factory=list)


@dataclass(frozen=True)
class Lesson:
    """A notebook with its number and the folder in which its links resolve."""

    number: int
    cells: tuple[Cell, ...]
    folder: Path

    @property
    def code(self) -> list[Cell]:
        """Code cells that the author wrote: all but the two of the set-up, which are the same everywhere."""
        return [
            cell for cell in self.cells if cell.kind == "code" and not {"plumbing", "setup"} & {*cell.tags}
        ]

    @property
    def markdown(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.kind == "markdown"]

    @property
    def sections(self) -> list[Section]:
        found = [Section("", 0, None)]
        for cell in self.cells:
            if cell.kind != "markdown":
                found[-1].pieces.append(cell)
                continue
            for text in re.split(r"^(?=## )", cell.source, flags=re.MULTILINE):
                match = HEADING.match(text.partition("\n")[0])
                if match:
                    number = int(match["number"]) if match["number"] else None
                    minutes = int(match["minutes"]) if match["minutes"] else None
                    found.append(Section(match["title"], number, minutes))
                if text.strip():
                    found[-1].pieces.append(Cell("markdown", cell.id, text))
        return found


def as_lesson(book: dict[str, Any], name: str, folder: Path) -> Lesson:
    """A notebook's JSON as a lesson; its number is what its name begins with."""
    cells = tuple(
        Cell(
            kind=cell["cell_type"],
            id=cell.get("id", f"cell {place}"),
            source="".join(cell["source"]),
            tags=tuple(cell["metadata"].get("tags", ())),
            count=cell.get("execution_count"),
            outputs=tuple(cell.get("outputs", ())),
        )
        for place, cell in enumerate(book["cells"])
    )
    return Lesson(int(name[:2]), cells, folder)


def read_lesson(path: Path) -> Lesson:
    return as_lesson(json.loads(path.read_text("utf-8")), path.name, path.parent)


def prose(markdown: str) -> str:
    """What is read aloud: without code, formulas, tags, comments and the addresses of links."""
    for pattern in (r"```.*?```", r"<!--.*?-->", r"`[^`\n]*`", r"\$\$.*?\$\$", r"\$[^$\n]+\$", r"<[^>\n]+>"):
        markdown = re.sub(pattern, " ", markdown, flags=re.DOTALL)
    return re.sub(r"\]\([^)\s]*\)", "]", markdown)


def count_words(markdown: str) -> int:
    """Words of Markdown, those in code spans included."""
    text = re.sub(r"<!--.*?-->|<[^>\n]+>|\]\([^)\s]*\)", " ", markdown, flags=re.DOTALL)
    return sum(any(map(str.isalnum, word)) for word in text.split())


def code_lines(source: str) -> list[str]:
    return [line for line in source.splitlines() if line.strip()]


def output_text(output: dict[str, Any]) -> str:
    """The words of an output, whatever its kind."""
    parts = [output.get("text", ""), output.get("data", {}).get("text/plain", "")]
    return " ".join("".join(part) for part in parts)
