"""What README.md and TEACHING.md take from the lessons, so that it stands in the lessons alone.

A row that begins with a link to a lesson gets its title and minutes. In TEACHING.md a plan gets its minutes
and its clock, an exercise the section it stands in, and three marked places are written whole: the sections
with their minutes, what a guess is compared with, and the answers of all Think boxes. Only the standard
library is needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Lesson", "Section", "read_lesson", "refreshed"]

HEADING = re.compile(r"^## (?:(\d+)\. )?(.+?) \(about (\d+) min\)$", re.MULTILINE)
TIMES = re.compile(
    r"^\| reading and trying \|.*\n\|[-| :]+\|\n\| *(\d+) min \| *(.+?) *\| *(.+?) *\|", re.MULTILINE
)
THINK = re.compile(r"\*\*Think\.\*\*(.+?)<details>\s*<summary>.+?</summary>(.+?)</details>", re.DOTALL)
CHECK = re.compile(r"^(lesson\d\d\.\w+)\.check\(", re.MULTILINE)
GUESS = re.compile(r"^guess\(\s*[\"'](lesson\d\d\.\w+)[\"']", re.MULTILINE)
REVEAL = re.compile(r"^reveal\(\s*[\"'](lesson\d\d\.\w+)[\"']", re.MULTILINE)
ASKED = re.compile(r"Your guess: (.+?\?) (?:From|One of)", re.DOTALL)
TOLD = re.compile(r"or look now\. It is (.+)", re.DOTALL)

LESSON_ROW = re.compile(r"^\| \[\d\. [^|]*\]\(notebooks/(\w+\.ipynb)\) \| ([^|]*) \| [^|]* \|$", re.MULTILINE)
TOTAL_ROW = re.compile(r"^\| all of them \|([^|]*)\| [^|]* \|$", re.MULTILINE)
EXERCISE_ROW = re.compile(r"^\| [^|]* \| `(lesson\d\d\.\w+)` \|", re.MULTILINE)
PLAN = re.compile(r"(<!-- plan (\d+) min -->\n)(.+?)(<!-- /plan -->)", re.DOTALL)
PLAN_ROW = re.compile(r"^\| [\d:]+ \| (\d+) \| ([^|]*) \|(.*)\|$")
PLACE = re.compile(r"^(\d)\.(\d+)\b")
WHOLE = re.compile(r"^Lesson (\d)\b")
REST = "Buffer"


@dataclass(frozen=True)
class Section:
    """A heading with minutes.

    Attributes:
        number: As in the heading; 0 for the set-up.
        title: Without number and minutes.
        minutes: To read and to try.
    """

    number: int
    title: str
    minutes: int


@dataclass(frozen=True)
class Lesson:
    """What a teacher has to know about one lesson.

    Attributes:
        number: 1 for the first.
        name: Of its file.
        title: Of the first heading, without "Lesson N: ".
        minutes: To read and to try, of the whole lesson.
        laptop, colab: Time that the cells run, in the words of the lesson.
        sections: By their number.
        exercises: Name, such as "lesson01.window", -> number of its section.
        thinks: Section, question and answer of each Think box.
        guesses: Section, question and truth of each guess, the truth being that of the run in the file.
    """

    number: int
    name: str
    title: str
    minutes: int
    laptop: str
    colab: str
    sections: dict[int, Section]
    exercises: dict[str, int]
    thinks: list[tuple[int, str, str]]
    guesses: list[tuple[int, str, str]]


# ------------------------------------------------------------------------------------- reading a lesson
def read_lesson(path: Path) -> Lesson:
    """Read one notebook.

    Raises:
        ValueError: If it says no minutes.
    """
    cells = json.loads(path.read_text("utf-8"))["cells"]
    text = "\n\n".join(_source(cell) for cell in cells if cell["cell_type"] == "markdown")
    times = TIMES.search(text)
    if times is None:
        raise ValueError(
            f"{path.name} must hold the table of times, '| reading and trying | ...', got none. See FORMAT."
        )
    placed = list(_by_section(cells))
    thinks = [
        (number, _joined(box[1]), box[2].strip())
        for number, cell in placed
        if cell["cell_type"] == "markdown"
        for box in THINK.finditer(_source(cell))
    ]
    sections = [Section(int(one[1] or 0), one[2], int(one[3])) for one in HEADING.finditer(text)]
    code = [(number, cell) for number, cell in placed if cell["cell_type"] == "code"]
    return Lesson(
        number=int(path.name[:2]),
        name=path.name,
        title=re.sub(r"^# Lesson \d: ", "", text.partition("\n")[0]),
        minutes=int(times[1]),
        laptop=times[2],
        colab=times[3],
        sections={one.number: one for one in sections},
        exercises={name: number for number, cell in code for name in CHECK.findall(_source(cell))},
        thinks=thinks,
        guesses=list(_guesses(code)),
    )


def _by_section(cells: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Each cell, a Markdown cell cut at its headings, with the number of its section."""
    number = 0
    for cell in cells:
        if cell["cell_type"] != "markdown":
            yield number, cell
            continue
        for part in re.split(r"^(?=## )", _source(cell), flags=re.MULTILINE):
            heading = HEADING.match(part)
            number = int(heading[1] or 0) if heading else number
            yield number, {"cell_type": "markdown", "source": part}


def _guesses(code: Sequence[tuple[int, Any]]) -> Iterator[tuple[int, str, str]]:
    """Section, question and truth, from what the cells have shown."""
    truths = {
        name: _joined(told[1])
        for _, cell in code
        for name in REVEAL.findall(_source(cell))
        for told in filter(None, map(TOLD.search, _outputs(cell)))
    }
    for number, cell in code:
        asked = ASKED.search("\n".join(_outputs(cell)))
        for name in GUESS.findall(_source(cell)):
            if asked and name in truths:
                yield number, _joined(asked[1]), truths[name]


def _source(cell: Any) -> str:
    return "".join(cell["source"])


def _outputs(cell: Any) -> list[str]:
    shown = cell.get("outputs", ())
    return ["".join(one.get("text") or one.get("data", {}).get("text/plain", "")) for one in shown]


def _joined(text: str) -> str:
    """A text in one line."""
    return " ".join(text.split())


# ------------------------------------------------------------------------------------- writing the texts
def refreshed(text: str, lessons: Sequence[Lesson]) -> str:
    """A text with everything that it takes from the lessons made anew.

    Args:
        text: Of README.md or TEACHING.md.
        lessons: All of them.

    Raises:
        ValueError: If a plan names a section that is not there, or takes longer than it says.
    """
    by_number = {lesson.number: lesson for lesson in lessons}
    by_name = {lesson.name: lesson for lesson in lessons}
    places = {name: f"{one.number}.{place}" for one in lessons for name, place in one.exercises.items()}

    def lesson_row(row: re.Match[str]) -> str:
        one = by_name.get(row[1])
        if one is None:
            return row[0]
        return f"| [{one.number}. {one.title}](notebooks/{one.name}) | {row[2]} | {one.minutes} |"

    text = LESSON_ROW.sub(lesson_row, text)
    total = sum(one.minutes for one in lessons)
    text = TOTAL_ROW.sub(lambda row: f"| all of them |{row[1]}| {total} |", text)
    text = EXERCISE_ROW.sub(lambda row: f"| {places.get(row[1], '?')} | `{row[1]}` |", text)
    text = PLAN.sub(lambda plan: plan[1] + _plan(plan[3], int(plan[2]), by_number) + plan[4], text)
    for name, write in WHOLE_PLACES.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = mark.sub(lambda place, write=write: place[1] + write(lessons) + place[2], text)  # type: ignore[misc]
    return text


def _plan(table: str, length: int, lessons: Mapping[int, Lesson]) -> str:
    """A plan's rows with their clock, minutes and titles; the row "Buffer" takes what is left."""
    rows = [PLAN_ROW.match(line) or line for line in table.splitlines()]
    kept = [row if isinstance(row, str) else (*_named(row[2], int(row[1]), lessons), row[3]) for row in rows]
    fixed = sum(row[1] for row in kept if not isinstance(row, str) and not row[0].startswith(REST))
    if fixed > length:
        raise ValueError(
            f"the plan of {length} min must fit, and its parts take {fixed}. Leave a section out."
        )
    lines, clock = [], 0
    for row in kept:
        if isinstance(row, str):
            lines.append(row)
            continue
        minutes = length - fixed if row[0].startswith(REST) else row[1]
        lines.append(f"| {clock // 60}:{clock % 60:02d} | {minutes} | {row[0]} |{row[2]}|")
        clock += minutes
    return "\n".join(lines) + "\n"


def _named(what: str, minutes: int, lessons: Mapping[int, Lesson]) -> tuple[str, int]:
    """A row's first words and minutes, from the lesson or section that it names; a lesson to come waits."""
    place, whole = PLACE.match(what), WHOLE.match(what)
    if whole:
        lesson = lessons.get(int(whole[1]))
        return (f"Lesson {lesson.number}: {lesson.title}", lesson.minutes) if lesson else (what, minutes)
    if place is None:
        return what, minutes
    lesson = lessons.get(int(place[1]))
    section = lesson.sections.get(int(place[2])) if lesson else None
    if section is None:
        raise ValueError(f"a plan must name sections that are there, got {what!r}.")
    return f"{place[0]} {section.title}", section.minutes


def _sections(lessons: Sequence[Lesson]) -> str:
    lines = []
    for one in lessons:
        parts = [
            f"{f'{one.number}.{part.number} ' if part.number else ''}{part.title} ({part.minutes})"
            for part in one.sections.values()
        ]
        link = f"[{one.number}. {one.title}](notebooks/{one.name})"
        lines.append(f"- **{link}**, {one.minutes} min; the cells run {one.laptop}: {' · '.join(parts)}")
    return "\n".join(lines) + "\n"


def _predictions(lessons: Sequence[Lesson]) -> str:
    lines = ["| section | the question | the answer of the run in the file |", "|---|---|---|"]
    for one in lessons:
        lines += [f"| {one.number}.{place} | {asked} | {truth} |" for place, asked, truth in one.guesses]
    return "\n".join(lines) + "\n"


def _answers(lessons: Sequence[Lesson]) -> str:
    lines = []
    for one in lessons:
        for place, question, answer in one.thinks:
            quoted = "\n".join(f"> {line}".rstrip() for line in _from_here(answer).splitlines())
            lines.append(f"**{one.number}.{place}** {_from_here(question)}\n\n{quoted}\n")
    return "\n".join(lines)


def _from_here(text: str) -> str:
    """Links of a lesson as they are from the folder above it."""
    return re.sub(r"\]\((?!https?:|#|\.\./)", "](notebooks/", text).replace("](../", "](")


WHOLE_PLACES: dict[str, Callable[[Sequence[Lesson]], str]] = {
    "sections": _sections,
    "predictions": _predictions,
    "answers": _answers,
}
