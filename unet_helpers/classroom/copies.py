"""Student and instructor copies of the lessons, from one source."""

from __future__ import annotations

import ast
import copy
import importlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unet_helpers.classroom.tidy import notebook_text, tidy

__all__ = ["for_instructors", "for_students", "write_copies"]

CHECK = re.compile(r"^(lesson\d\d)\.(\w+)\.check\(", re.MULTILINE)
SOLUTION = re.compile(r"\n# lesson\d\d\.\w+\.solution\(\)")
PERSONAL = re.compile(r"^(?:guess|reveal|my_progress)\(|^lesson\d\d\.\w+\.check\(", re.MULTILINE)

Book = dict[str, Any]


def write_copies(notebooks: Sequence[Path], out: Path) -> list[Path]:
    """Write `student/` and `instructor/` below a folder, and return the files.

    Args:
        notebooks: The lessons; files beside them that they link to are copied too.
        out: A folder; it is made if it is missing.

    Raises:
        ValueError: If an exercise cell of a lesson holds no three dots: it was solved in the source.
    """
    written = []
    for name, change in (("student", for_students), ("instructor", for_instructors)):
        (out / name).mkdir(parents=True, exist_ok=True)
        for path in notebooks:
            book = json.loads(path.read_text("utf-8"))
            target = out / name / path.name
            target.write_text(notebook_text(change(book)), "utf-8", newline="\n")
            written.append(target)
        for path in sorted({one for book in notebooks for one in book.parent.glob("*.md")}):
            (out / name / path.name).write_bytes(path.read_bytes())
    return written


def for_students(book: Book) -> Book:
    """A copy without solutions: answers are three dots, and what exercises and guesses had said is gone."""
    book = _tidied(book)
    for cell in _code(book):
        source = _source(cell)
        if CHECK.search(source):
            _gap(source)
            cell["source"] = SOLUTION.sub("", source)
    return book


def for_instructors(book: Book) -> Book:
    """A copy with each solution in its place, and every answer open."""
    book = _tidied(book)
    for cell in book["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = _source(cell).replace("<details>", "<details open>")
    for cell in _code(book):
        source = _source(cell)
        check = CHECK.search(source)
        if check:
            module = importlib.import_module(f"unet_helpers.exercises.{check[1]}")
            first, last = _gap(source)
            lines = source.splitlines()
            solution = getattr(module, check[2]).solution_text.rstrip("\n").splitlines()
            cell["source"] = "\n".join([*lines[: first - 1], *solution, *lines[last:]])
    return book


def _tidied(book: Book) -> Book:
    """A copy of a notebook in which no cell shows what one person answered or guessed."""
    book = copy.deepcopy(book)
    tidy(book)
    for cell in _code(book):
        if PERSONAL.search(_source(cell)):
            cell["outputs"], cell["execution_count"] = [], None
    return book


def _code(book: Book) -> list[Book]:
    return [cell for cell in book["cells"] if cell["cell_type"] == "code"]


def _source(cell: Book) -> str:
    return "".join(cell["source"])


def _gap(source: str) -> tuple[int, int]:
    """First and last line (from 1) of the statements that hold the three dots."""
    gaps = [node for node in ast.parse(source).body if _has_dots(node)]
    if not gaps:
        raise ValueError(
            f"an exercise cell must hold the three dots (...), got:\n{source}\nTake the answer out."
        )
    return min(node.lineno for node in gaps), max(node.end_lineno or node.lineno for node in gaps)


def _has_dots(node: ast.AST) -> bool:
    """Whether three dots stand in a piece of code, those of an index or a type left out."""
    if isinstance(node, ast.Subscript):
        return _has_dots(node.value)
    if isinstance(node, ast.Constant):
        return node.value is ...
    return any(map(_has_dots, ast.iter_child_nodes(node)))
