"""What a class has handed in, in one table: who solved which exercise.

A teacher collects what the learning platform gives: a folder a student, or files with the students' names,
and in them the file `progress.json`, executed notebooks, or both. Each of the two can be edited by its owner,
so the table tells who needs help; it is no exam. Only the standard library is needed.
"""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Student", "collect", "exercise_names", "table", "write_csv"]

CHECK = re.compile(r"^(lesson\d\d\.\w+)\.check\(", re.MULTILINE)
REVEAL = re.compile(r"^reveal\(\s*[\"'](lesson\d\d\.\w+)[\"']", re.MULTILINE)
EXERCISES = Path(__file__).resolve().parents[1] / "exercises"
NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
# what Jupyter, browsers and Colab's "Save a copy in Drive" add to the name of a second file
COPIED = re.compile(r"-Copy\d+|\(\d+\)|(?:Copy[ _]of|Kopie[ _]von|Copie[ _]de|Copia[ _]de)[ _]")


@dataclass
class Student:
    """One row: the exercises that were tried, and the guesses that were made.

    Attributes:
        name: From the folder or the file.
        solved: Name of an exercise -> whether it was solved; those never tried are missing.
        misses: Wrong answers in all, as far as progress files tell.
        guesses: Names of the guesses that were made.
    """

    name: str
    solved: dict[str, bool] = field(default_factory=dict)
    misses: int = 0
    guesses: set[str] = field(default_factory=set)

    def add(self, exercise: str, solved: bool) -> None:
        """Note a try; solved once is solved."""
        self.solved[exercise] = solved or self.solved.get(exercise, False)


def exercise_names(folder: Path = EXERCISES) -> list[str]:
    """Every exercise of every lesson, such as "lesson01.window", read from the sources."""
    names = []
    for path in sorted(folder.glob("lesson0*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.Assign) and any(
                getattr(one, "id", "") == "__all__" for one in node.targets
            ):
                names += [f"{path.stem}.{name}" for name in ast.literal_eval(node.value)]
    return names


def collect(folders: Sequence[Path]) -> tuple[list[Student], list[str]]:
    """Read what lies in some folders.

    Args:
        folders: Of a class, or one a student.

    Returns:
        The students, by name; and a sentence for each file that could not be read.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    students: dict[str, Student] = {}
    trouble = []
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(
                f"FOLDER must be a folder that is there, got {folder}. Unpack a zip first."
            )
        for path in _files(folder):
            name = _owner(path, folder)
            try:
                book = json.loads(path.read_text("utf-8-sig"))
                student = students.setdefault(name, Student(name))
                (_read_notebook if path.suffix == ".ipynb" else _read_progress)(book, student)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                trouble.append(
                    f"{path} could not be read ({type(error).__name__}): it counts as not handed in."
                )
        trouble += [f"{path} was not read: unpack it first." for path in sorted(folder.rglob("*.zip"))]
    return sorted(students.values(), key=lambda one: one.name.casefold()), trouble


def _files(folder: Path) -> Iterator[Path]:
    """Notebooks and JSON files, those that Jupyter keeps for itself left out."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix in (".json", ".ipynb") and not hidden and "progress-damaged" not in path.name:
            yield path


def _owner(path: Path, folder: Path) -> str:
    """Whose file it is: its folder's, below the one that was given, or what its name adds to the lesson's."""
    inside = path.relative_to(folder).parts
    if len(inside) > 1:
        return inside[0]
    rest = COPIED.sub("", path.stem)
    for known in ("progress", *(lesson.stem for lesson in NOTEBOOKS.glob("0*.ipynb"))):
        rest = rest.replace(known, "")
    return " ".join(rest.split()).strip(" _-.") or folder.resolve().name


def _read_progress(entries: Any, student: Student) -> None:
    for name, entry in entries.items():
        if "guess" in entry:
            student.guesses.add(name)
        elif entry.get("solved") or entry.get("misses"):
            student.add(name, bool(entry.get("solved")))
            student.misses += int(entry.get("misses", 0))


def _read_notebook(book: Any, student: Student) -> None:
    """The verdicts that stand below the exercise cells of an executed notebook."""
    for cell in book["cells"]:
        if cell["cell_type"] != "code":
            continue
        source, said = "".join(cell["source"]), _output(cell)
        for name in CHECK.findall(source)[:1]:
            if "✅" in said or "❌" in said:
                student.add(name, "✅" in said)
        for name in REVEAL.findall(source):
            if "You guessed" in said:
                student.guesses.add(name)


def _output(cell: Any) -> str:
    parts = []
    for output in cell.get("outputs", ()):
        parts += [output.get("text", ""), output.get("data", {}).get("text/plain", "")]
    return "\n".join("".join(part) for part in parts)


def _lessons(names: Sequence[str]) -> list[str]:
    return sorted({name.partition(".")[0] for name in names})


def table(students: Sequence[Student], names: Sequence[str]) -> str:
    """Lines for people: a row a student, a column a lesson, how many of its exercises are solved."""
    lessons = _lessons(names)
    head = ["student", *lessons, "solved", "misses", "guesses"]
    rows = [head]
    for student in students:
        right = {name for name in names if student.solved.get(name)}
        parts = [_share(right, [name for name in names if name.startswith(lesson)]) for lesson in lessons]
        totals = [_share(right, names), str(student.misses), str(len(student.guesses))]
        rows.append([student.name, *parts, *totals])
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _share(right: set[str], names: Sequence[str]) -> str:
    return f"{len(right.intersection(names))}/{len(names)}"


def write_csv(path: Path, students: Sequence[Student], names: Sequence[str]) -> None:
    """Write a row a student: totals, then each exercise as 1 (solved), 0 (tried) or nothing (never tried)."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:  # with its mark, as Excel wants it
        writer = csv.writer(file)
        writer.writerow(["student", "solved", "of", "misses", "guesses", *names])
        for student in students:
            right = sum(student.solved.get(name, False) for name in names)
            marks = [int(student.solved[name]) if name in student.solved else "" for name in names]
            totals = [right, len(names), student.misses, len(student.guesses)]
            writer.writerow([_harmless(student.name), *totals, *marks])


def _harmless(name: str) -> str:
    """A name that no spreadsheet takes for a formula."""
    return f"'{name}" if name[:1] in "=+-@\t" else name
