"""README.md and TEACHING.md: what they take from the lessons is fresh, plans fit the clock, links lead on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from test_setup import tutorial

from unet_helpers.classroom.teaching import read_lesson, refreshed

ROOT = tutorial.ROOT
NOTEBOOKS = tutorial.find_notebooks(ROOT / "notebooks")
README, TEACHING = ((ROOT / name).read_text("utf-8") for name in ("README.md", "TEACHING.md"))
TEXTS = [ROOT / "README.md", ROOT / "TEACHING.md", *sorted((ROOT / "docs").glob("*.md"))]
PLANS = re.findall(r"<!-- plan (\d+) min -->\n(.+?)<!-- /plan -->", TEACHING, re.DOTALL)
AGAIN = "Run: python3 tutorial.py teaching"


# ------------------------------------------------------------------------------------ the two texts
def test_what_comes_from_the_lessons_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert tutorial.teaching(check=True) == 0, f"{capsys.readouterr().out}{AGAIN}"


@pytest.mark.parametrize("book", NOTEBOOKS, ids=lambda book: book.stem)
def test_each_lesson_has_its_place(book: Path) -> None:
    lesson = read_lesson(book)
    row = rf"^\| \[{lesson.number}\. [^|]+\]\(notebooks/{book.name}\) \| [^|]+ \| {lesson.minutes} \|$"
    assert re.search(row, README, re.MULTILINE), f"README.md has no row for {book.name}. {AGAIN}"
    rows = re.findall(rf"^\| {lesson.number}\.\d+ \| `(lesson\d\d\.\w+)` \|", TEACHING, re.MULTILINE)
    assert sorted(rows) == sorted(lesson.exercises), "TEACHING.md must say what each exercise trains"
    n_boxes = sum("".join(cell["source"]).count("**Think.**") for cell in cells_of(book))
    answers = TEACHING.partition("## All Think boxes")[2]
    assert len(re.findall(rf"^\*\*{lesson.number}\.\d+\*\* ", answers, re.MULTILINE)) == n_boxes


def cells_of(book: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(book.read_text("utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "markdown"]


def test_there_is_a_plan_for_an_hour_and_a_half() -> None:
    assert "90" in [length for length, _ in PLANS] and len(PLANS) >= 3


@pytest.mark.parametrize(
    ("length", "plan"), PLANS, ids=[f"{length}-{i}" for i, (length, _) in enumerate(PLANS)]
)
def test_a_plan_fits_the_clock_and_leaves_room(length: str, plan: str) -> None:
    rows = re.findall(r"^\| (\d+):(\d\d) \| (\d+) \| ([^|]+) \|", plan, re.MULTILINE)
    starts = [60 * int(hours) + int(minutes) for hours, minutes, _, _ in rows]
    ends = [start + int(row[2]) for start, row in zip(starts, rows, strict=True)]
    assert starts == [0, *ends[:-1]] and ends[-1] == int(length)
    assert rows[-1][3].startswith("Buffer") and int(rows[-1][2]) >= max(5, int(length) // 20)


def test_a_plan_names_lessons_that_are_there() -> None:
    titles = {f"Lesson {one.number}: {one.title}" for one in map(read_lesson, NOTEBOOKS)}
    named = {what.strip() for _, plan in PLANS for what in re.findall(r"\| (Lesson \d[^|]*)\|", plan)}
    assert named and named <= titles


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL))
    nowhere = [
        link for link in links if "://" not in link and not (path.parent / link.partition("#")[0]).exists()
    ]
    assert not nowhere


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_commands_are_there(path: Path) -> None:
    from unet_helpers.command_line.parser import make_parser

    text = path.read_text("utf-8")
    own = set(re.findall(r"^python3 tutorial\.py (\w+) ", str(tutorial.__doc__), re.MULTILINE))
    assert set(re.findall(r"tutorial\.py (\w+)", text)) <= own
    usage = make_parser().format_help()
    for name in re.findall(r"-m unet_helpers (\w+)", text):
        assert re.search(rf"\b{name}\b", usage), name


def test_a_new_reader_finds_what_it_is_and_how_to_start() -> None:
    heads = re.findall(r"^## (.+)$", README, re.MULTILINE)
    assert (
        heads.index("Start")
        < heads.index("Teaching a class")
        < heads.index("What it reaches")
        == len(heads) - 3  # the faults and the sources come last
    )
    assert "**Not for clinical use.**" in README and "[LICENSE](LICENSE)" in README
    for command in ("lab", "run", "test"):
        assert re.search(rf"^python3 tutorial\.py {command} ", README, re.MULTILINE)
    assert "<!-- clone -->" in README and "<!-- colab 01_dataset.ipynb -->" in README


def test_the_picture_is_light_and_told_in_words() -> None:
    alt, name = re.findall(r"^!\[([^\]]+)\]\(([^)]+)\)$", README, re.MULTILINE)[0]
    assert len(alt.split()) >= 15 and (ROOT / name).stat().st_size < 1_000_000
    assert README.index(alt) < README.index("## ")


# --------------------------------------------------------------------------------- a made-up lesson
TIMES = "| reading and trying | running the cells, laptop with 2 CPU cores | running the cells, Colab GPU |"


def cell(kind: str, source: str, *outputs: str) -> dict[str, Any]:
    shown = [{"output_type": "display_data", "data": {"text/plain": [text]}} for text in outputs]
    return {"cell_type": kind, "source": source.splitlines(keepends=True), "outputs": shown}


THINK = """**Think.** Why
so? See [one](01_a.ipynb).

<details><summary>One</summary>

Because
[it](../docs/api.md) is.

And [so](https://a.org).
</details>"""


def book(minutes: int = 7) -> dict[str, Any]:
    times = f"{TIMES}\n|---|---|---|\n| {minutes + 5} min | 1 min | not measured |"
    cells = [
        cell("markdown", "# Lesson 2: Stones"),
        cell("markdown", f"{times}\n\n## Set-up (about 2 min)"),
        cell("markdown", f"## 1. How many? (about {minutes} min)\n\nA question?"),
        cell(
            "code",
            'guess(\n    "lesson02.count",\n    "How many?",\n)',
            "Your guess: How\nmany? From 0 to 9. (...)",
        ),
        cell(
            "code",
            'n = 3\nreveal("lesson02.count", n)',
            "n is",
            "You have not guessed yet. ...; or look now. It is 3. So.",
        ),
        cell("markdown", f"The end.\n\n## 2. And why? (about 3 min)\n\n{THINK}"),
        cell("code", "answer = ...\n\nlesson02.why.check(answer)"),
    ]
    return {"cells": cells}


PAGE = """\
<!-- plan 30 min -->
| clock | min | what | how |
|---|---|---|---|
| 0:00 | 4 | Welcome | Say \\| hello. |
| 0:00 | 1 | 2.1 Old | |
| 0:00 | 1 | Lesson 2 | All of it. |
| 0:00 | 1 | Buffer: rest | |
<!-- /plan -->
| 9.9 | `lesson02.why` | a | b | c |
<!-- sections -->
<!-- /sections -->
<!-- predictions -->
old
<!-- /predictions -->
<!-- answers -->
<!-- /answers -->
last
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "02_b.ipynb").write_text(json.dumps(book()), "utf-8")
    (tmp_path / "README.md").write_text(
        "| [2. Old](notebooks/02_b.ipynb) | look | 1 |\n| [7. New](notebooks/07_c.ipynb) | see | 3 |\n"
        "| all of them | | 1 |\n"
    )
    (tmp_path / "TEACHING.md").write_text(PAGE)
    return tmp_path


def test_a_lesson_is_read(root: Path) -> None:
    lesson = read_lesson(root / "notebooks" / "02_b.ipynb")
    assert (lesson.number, lesson.title, lesson.minutes, lesson.laptop) == (2, "Stones", 12, "1 min")
    assert [(one.number, one.title, one.minutes) for one in lesson.sections.values()] == [
        (0, "Set-up", 2),
        (1, "How many?", 7),
        (2, "And why?", 3),
    ]
    assert lesson.exercises == {"lesson02.why": 2} and lesson.guesses == [(1, "How many?", "3. So.")]
    ((place, question, answer),) = lesson.thinks
    assert (place, question) == (2, "Why so? See [one](01_a.ipynb).") and answer.endswith(
        "And [so](https://a.org)."
    )


def test_the_texts_follow_the_lessons(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tutorial.teaching(root, check=True) == 1
    assert "Differs: README.md, TEACHING.md" in capsys.readouterr().out
    assert tutorial.teaching(root) == 0
    readme, text = ((root / name).read_text("utf-8") for name in ("README.md", "TEACHING.md"))
    assert readme.splitlines() == [
        "| [2. Stones](notebooks/02_b.ipynb) | look | 12 |",
        "| [7. New](notebooks/07_c.ipynb) | see | 3 |",  # not there yet: its row waits
        "| all of them | | 12 |",
    ]
    rows = text.splitlines()
    assert rows[3:7] == [
        "| 0:00 | 4 | Welcome | Say \\| hello. |",
        "| 0:04 | 7 | 2.1 How many? | |",
        "| 0:11 | 12 | Lesson 2: Stones | All of it. |",
        "| 0:23 | 7 | Buffer: rest | |",
    ]
    assert "| 2.2 | `lesson02.why` | a | b | c |" in rows and rows[-1] == "last"
    assert "| 2.1 | How many? | 3. So. |" in rows and "old" not in rows
    assert "Set-up (2) · 2.1 How many? (7) · 2.2 And why? (3)\n" in text
    assert (
        "**2.2** Why so? See [one](notebooks/01_a.ipynb).\n\n> Because\n> [it](docs/api.md) is.\n>\n> And"
        in text
    )
    assert tutorial.teaching(root, check=True) == 0


def test_a_lesson_to_come_keeps_its_minutes() -> None:
    table = "<!-- plan 60 min -->\n| 0:00 | 50 | Lesson 7 | a |\n| 0:00 | 1 | Buffer | |\n<!-- /plan -->"
    assert refreshed(table, []).splitlines()[1:3] == [
        "| 0:00 | 50 | Lesson 7 | a |",
        "| 0:50 | 10 | Buffer | |",
    ]


def test_a_changed_minute_is_noticed(root: Path) -> None:
    tutorial.teaching(root)
    (root / "notebooks" / "02_b.ipynb").write_text(json.dumps(book(minutes=8)), "utf-8")
    assert tutorial.teaching(root, check=True) == 1
    tutorial.teaching(root)
    assert "| 0:04 | 8 | 2.1 How many? | |" in (root / "TEACHING.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("2.9 Old", "must name sections that are there, got '2.9 Old'"),
        ("3.1", "must name sections that are there, got '3.1'"),
        ("Lesson 2 | |\n| 0:00 | 9 | Lunch", "the plan of 30 min must fit, and its parts take 37"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(
    root: Path, what: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (root / "TEACHING.md").read_text("utf-8")
    (root / "TEACHING.md").write_text(text.replace("2.1 Old", what))
    assert tutorial.teaching(root) == 1
    assert sentence in capsys.readouterr().out


def test_a_lesson_without_minutes_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / "notebooks" / "02_b.ipynb"
    path.write_text(path.read_text("utf-8").replace("reading and trying", "reading"))
    assert tutorial.teaching(root) == 1
    assert "02_b.ipynb must hold the table of times" in capsys.readouterr().out


def test_an_exercise_that_is_gone_is_marked(root: Path) -> None:
    lessons = [read_lesson(root / "notebooks" / "02_b.ipynb")]
    assert refreshed("| 2.2 | `lesson02.gone` | a |", lessons) == "| ? | `lesson02.gone` | a |"
