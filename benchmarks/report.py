"""Tables that are on disk row by row: what a time limit cuts off is lost, what was measured is not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Cell = str | float | int


@dataclass
class Table:
    """One table of a report.

    Attributes:
        part: Which part of the benchmark measured it.
        title: Heading.
        head: Names of the columns.
        rows: A list of cells each.
        notes: Sentences that stand under the heading.
        raw: All that was measured, for the JSON file alone.
    """

    part: str
    title: str
    head: list[str]
    rows: list[list[Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    raw: list[dict[str, Any]] = field(default_factory=list)

    def markdown(self) -> str:
        lines = [f"### {self.title}", "", *[line for note in self.notes for line in (note, "")]]
        if self.head:
            lines += [_line(self.head), "|---" * len(self.head) + "|", *map(_line, self.rows), ""]
        return "\n".join(lines)


def _line(cells: Iterable[Cell]) -> str:
    return "| " + " | ".join(shown(cell) for cell in cells) + " |"


def shown(cell: Cell) -> str:
    """A cell as it stands in Markdown: floats with three digits that mean something."""
    if not isinstance(cell, float):
        return str(cell).replace("|", "/")
    if cell != cell:
        return "-"
    return f"{cell:.3g}" if abs(cell) < 1000 else f"{cell:,.0f}"


class Report:
    """Writes `gpu.md` and `gpu.json` into a folder after every row.

    Args:
        folder: Where the two files go; it is made if it is missing.
        about: What holds for all tables: card, versions.
    """

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.about, self.tables = folder, about, list[Table]()
        self.started = time.perf_counter()

    def table(self, part: str, title: str, head: list[str], *notes: str) -> Table:
        """Begin a table."""
        self.tables.append(Table(part, title, head, notes=[note for note in notes if note]))
        print(f"\n[{time.perf_counter() - self.started:.0f} s] {title}: {' | '.join(head)}", flush=True)
        self.write()
        return self.tables[-1]

    def add(self, table: Table, *cells: Cell) -> None:
        """Append a row."""
        table.rows.append(list(cells))
        print(_line(cells), flush=True)
        self.write()

    def note(self, table: Table, sentence: str) -> None:
        """Append a sentence to those under the heading."""
        table.notes.append(sentence)
        print(sentence, flush=True)
        self.write()

    def keep(self, table: Table, raw: list[dict[str, Any]]) -> None:
        """Put all that was measured into the JSON file."""
        table.raw += raw
        self.write()

    def write(self) -> None:
        text = ", ".join(f"{name}: {value}" for name, value in self.about.items())
        tables = [asdict(table) for table in self.tables]
        _replace(self.folder / "gpu.json", json.dumps({"about": self.about, "tables": tables}, indent=1))
        _replace(self.folder / "gpu.md", "\n".join([text, "", *[t.markdown() for t in self.tables]]))


def _replace(path: Path, text: str) -> None:
    scratch = path.with_suffix(".part")
    scratch.write_text(text + "\n", "utf-8")
    scratch.replace(path)
