"""The lessons keep their own rules; and each rule finds the lesson that breaks it."""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import lesson_words
import pytest
from lesson_book import LESSONS, as_lesson, read_lesson
from lesson_code import essence, twins
from lesson_rules import TIMES, all_rules

from unet_helpers.exercises import Exercise
from unet_helpers.exercises.judges import is_number

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
RULES = all_rules()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", LESSONS.values())
def test_lesson_keeps_the_rule(name: str, rule: str) -> None:
    if rule == "spelling":
        pytest.importorskip("codespell_lib", reason="needs codespell: pip install codespell")
    problems = list(RULES[rule](read_lesson(NOTEBOOKS / f"{name}.ipynb")))
    assert not problems, "\n".join([f"{name}: {len(problems)} problems", *problems])


def test_every_notebook_is_held_to_rules() -> None:
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == sorted(LESSONS.values())
    assert all(name.startswith(f"{number:02d}_") for number, name in LESSONS.items())


def test_each_lesson_leads_to_the_next() -> None:
    for name, following in pairwise(LESSONS.values()):
        last = read_lesson(NOTEBOOKS / f"{name}.ipynb").markdown[-1].source
        assert re.search(rf"^\*\*Next:\*\* \[.*?\]\({following}\.ipynb\)", last, re.MULTILINE), name


def test_the_glossary_names_each_form_once() -> None:
    forms = [form.casefold() for term in lesson_words.glossary() for form in term.forms]
    assert sorted(forms) == sorted(set(forms))
    assert {term.lesson for term in lesson_words.glossary()} <= set(LESSONS)
    for lesson in LESSONS:
        assert any(term.lesson == lesson for term in lesson_words.glossary()), f"lesson {lesson} has no terms"


# ------------------------------------------------------------------- a made-up lesson that keeps them all
GLOSSARY = """
| lesson | term | section | in one line |
|---|---|---|---|
| 9 | voxel | 1 | a small block of tissue |
| 9 | window (word) | 1 | a range of greys |
| 10 | logit / LOGITS | 2 | a number before the sigmoid |
"""
STORY = "Somebody comes at night, in pain. " * 6
SECTION = (
    "What do the numbers in a picture mean, and who has chosen them for us? "
    + "We look at them one by one. " * 12
)


def markdown(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def code(source: str, *outputs: dict[str, Any], tags: tuple[str, ...] = ()) -> dict[str, Any]:
    cell = {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": source}
    return {**cell, "execution_count": 0, "outputs": list(outputs)}


def exercise(n: int, stub: str, name: str, variable: str) -> list[dict[str, Any]]:
    end = f"lesson09.{name}.check({variable})\n# lesson09.{name}.hint()\n# lesson09.{name}.solution()"
    return [markdown(f"**Exercise {n}.** Write it."), code(f"{stub}\n\n{end}")]


def section(n: int, *inside: dict[str, Any], heading: str = "A part") -> list[dict[str, Any]]:
    head = markdown(f"## {n}. {heading} (about 10 min)\n\n{SECTION}")
    return [
        head,
        *inside,
        markdown("We read the picture aloud. *What you just saw:* numbers, and their meaning."),
    ]


EXPLAINED = "A **voxel** is a block. A **window** is a range."
END = """## Main takeaways

- one

## Common pitfalls

| symptom | probe | fix |
|---|---|---|
| a | b | c |

**Next:** [the next one](10_logits.ipynb)"""

PICTURE = {
    "output_type": "display_data",
    "data": {"image/png": "aGk=", "text/plain": "A grey square with a white dot."},
    "metadata": {"image/png": {"alt": "A grey square with a white dot."}},
}
THINK = (
    "**Think.** Why?\n\n<details><summary>One answer</summary>\n\nBecause we looked at it first.\n</details>"
)


def good_book() -> dict[str, Any]:
    """A lesson 9 that keeps every rule."""
    learn = "**What you will learn**\n\n- one;\n- two, the *voxel*;\n- three.\n"
    times = f"{TIMES}\n|---|---|---|\n| 32 min | 1 min | 1 min |"
    needs = "**What it needs from before:** nothing.\n\n## Set-up (about 2 min)\n\nRun it."
    opening = "\n\n".join([STORY, learn, times, needs])
    move = "from unet_helpers.widgets import lesson09 as move\n\nmove.window()"
    cells = [
        markdown("# Lesson 9: The ninth voxel"),
        markdown("Online: <!-- colab 09_x.ipynb -->*later*<!-- /colab -->"),
        markdown(opening),
        code("import sys\n" * 30, tags=("plumbing",)),
        code("import torch", tags=("setup",)),
        *section(1, code("print(1)", PICTURE), markdown(f"{EXPLAINED}\n\n{THINK}")),
        *section(
            2,
            code('guess("lesson09.a", "How many?", low=0, high=9)'),
            code('reveal("lesson09.a", 3)'),
            *exercise(1, "def double(n):\n    return ...\n", "double", "double"),
            *exercise(2, "padded = ...", "padded", "padded"),
        ),
        *section(
            3,
            code('guess("lesson09.b", "And now?", low=0, high=9)'),
            code('reveal("lesson09.b", 4)'),
            *exercise(3, "answer = ...", "number", "answer"),
            *(code(move) for _ in range(2)),
            *(
                markdown("One more paragraph of the many that explain a picture to its readers.")
                for _ in range(9)
            ),
            code("my_progress(9)"),
        ),
        markdown(END),
    ]
    return numbered({"cells": cells, "metadata": {}})


def numbered(book: dict[str, Any]) -> dict[str, Any]:
    run = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    for count, cell in enumerate(run, start=1):
        cell["execution_count"] = count
    return book


@pytest.fixture
def ninth(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package that has exercises for lesson 9, a glossary, and the file that the lesson links to."""
    module = ModuleType("unet_helpers.exercises.lesson09")
    solutions = {
        "double": "def double(n):\n    return 2 * n\n",
        "padded": "padded = 1\n",
        "number": "answer = 1\n",
    }
    for name, text in solutions.items():
        own = Exercise(is_number(1), "", text, because="It is so.", name=f"lesson09.{name}")
        setattr(module, name, own)
    module.__all__ = list(solutions)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(lesson_words, "glossary", lambda: lesson_words.read_glossary(GLOSSARY))
    (tmp_path / "10_logits.ipynb").write_text("{}")
    return tmp_path


def problems(rule: str, book: dict[str, Any], folder: Path) -> str:
    return "\n".join(RULES[rule](as_lesson(book, "09_x.ipynb", folder)))


@pytest.mark.parametrize("rule", RULES)
def test_a_good_lesson_keeps_the_rule(rule: str, ninth: Path) -> None:
    if rule == "spelling":
        pytest.importorskip("codespell_lib", reason="needs codespell: pip install codespell")
    assert problems(rule, good_book(), ninth) == ""


# ------------------------------------------------------------------------------- and one break for each
Break = Callable[[dict[str, Any]], None]


def swap(old: str, new: str, everywhere: bool = False) -> Break:
    """Replace words in the first cell that holds them, or in all."""

    def change(book: dict[str, Any]) -> None:
        holding = [cell for cell in book["cells"] if old in cell["source"]]
        assert holding, old
        for cell in holding if everywhere else holding[:1]:
            cell["source"] = cell["source"].replace(old, new)

    return change


def output(**changes: Any) -> Break:
    def change(book: dict[str, Any]) -> None:
        cell = next(cell for cell in book["cells"] if cell.get("outputs"))
        cell["outputs"][0] = {**copy.deepcopy(PICTURE), **changes}

    return change


def drop(place: int) -> Break:
    return lambda book: book["cells"].pop(place)


def add(*cells: dict[str, Any]) -> Break:
    """Put cells before the last one, and number all anew."""

    def change(book: dict[str, Any]) -> None:
        book["cells"][-1:-1] = copy.deepcopy(list(cells))
        numbered(book)

    return change


DICE = "unet_helpers.metrics.dice"
BREAKS: list[tuple[str, Break, str]] = [
    ("opening", swap("# Lesson 9", "# Lesson 8"), "the first cell must be the title"),
    ("opening", swap("<!-- colab", "<!-- other"), "the second cell must be the marked Colab line"),
    ("opening", swap(STORY, ""), "a story must open the lesson"),
    ("opening", swap("- one;\n", ""), "a list of 3 to 6 points"),
    ("opening", swap("| reading and trying", "| reading"), "the table of times"),
    ("opening", swap("**What it needs from before:**", "**Needs:**"), "is missing"),
    ("opening", swap("## Set-up", "## Start"), "must stand before the set-up cell"),
    ("opening", lambda book: book["cells"][3]["metadata"].clear(), "must be the plumbing"),
    ("opening", lambda book: book["cells"][4]["metadata"].clear(), "must be the plumbing"),
    ("closing", swap("## Common pitfalls", "## Pitfalls"), "the last sections must be"),
    ("closing", swap("| probe | fix |", "| probe | cure |"), "must be a table"),
    ("closing", swap("**Next:**", "Next:"), "the last cell must say"),
    ("closing", swap("my_progress(9)", "my_progress(8)"), "a cell must show my_progress(9)"),
    ("minutes", swap("(about 10 min)", "(about 11 min)"), "add up to 33, and the header says 32"),
    ("minutes", swap(" (about 10 min)", ""), "the heading 'A part' must say '(about N min)'"),
    ("minutes", swap("| 32 min", "| 62 min"), "a lesson takes at most 60 min"),
    ("sections", swap("## 3. ", "## 4. "), "numbered 1, 2, 3, ..., and they are [1, 2, 4]"),
    ("sections", swap("## 3. ", "## "), "the section 'A part' has no number"),
    ("sections", swap("us?", "us."), "section 1 must open with a question"),
    ("sections", swap("*What you just saw:*", "You saw"), "section 1 must close with one"),
    ("sections", add(markdown("And something after the end.")), "section 3 must close with one"),
    ("numbers", lambda book: book["cells"].__delitem__(slice(10, 16)), "35 to 50 cells"),
    ("numbers", add(*[markdown("x")] * 20), "35 to 50 cells"),
    ("numbers", add(markdown("word " * 3000)), "at most 3000 words"),
    ("numbers", swap("print(1)", "1\n" * 16), "has 16 lines"),
    ("numbers", swap("import sys\n", "import sys\n\n"), "the plumbing has more than 30 lines"),
    ("numbers", swap("import sys\n", "import sys  #" + "-" * 98 + "\n"), "or 110 columns"),
    ("numbers", swap("print(1)", "print(" + "1" * 82 + ")"), "has a line of 89 columns"),
    ("numbers", add(*[code("1\n" * 9)] * 14), "8 lines at the median"),
    ("choice_of_data", add(code("folder = uh.open_dataset()")), "must hold the two lines of CHOICE"),
    ("words_per_line", add(code("1\n" * 60)), "at least 10 words a line"),
    ("executed", lambda book: book["cells"][6].update(execution_count=7), "must have run in order"),
    ("executed", lambda book: book["cells"][6].update(execution_count=None), "must have run in order"),
    ("clean_outputs", output(output_type="error"), "shows an error"),
    ("clean_outputs", output(output_type="stream", name="stderr", text="hm"), "writes to stderr"),
    ("clean_outputs", output(data={"application/vnd.jupyter.widget-view+json": {}}), "holds a widget"),
    ("clean_outputs", output(data={"text/plain": ["You guessed 3 %, ..."]}), "somebody's guess"),
    ("output_size", output(data={"image/png": "a" * 300_000}), "the outputs are 300 kB"),
    ("alt_text", output(metadata={}), "shows a picture without alternative text"),
    ("alt_text", output(metadata={"image/png": {"alt": "A figure."}}), "without alternative text"),
    ("alt_text", add(markdown("![](x.png)")), "holds a picture without alternative text"),
    ("think", swap("<details>", "<div>"), "has no answer"),
    ("think", swap("Because we looked at it first.", "Yes."), "has no answer"),
    ("think", swap("</summary>\n\n", "</summary>\n"), "has no answer"),
    ("think", swap("**Think.**", "**Think:**"), "a box begins with"),
    ("plumbing", swap("print(1)", "io.BytesIO()"), "must leave BytesIO to the package"),
    ("plumbing", swap("print(1)", "import ipywidgets"), "must leave ipywidgets to the package"),
    ("exercises", swap("**Exercise 2.**", "**Exercise 4.**"), "exercises must be numbered from 1"),
    ("exercises", swap("# lesson09.double.hint()\n", ""), "must end with check, hint and solution"),
    ("exercises", swap("padded = ...", "padded = 1"), "must hold the three dots"),
    ("exercises", swap("lesson09.padded.check(padded)", "1"), "3 or 4 exercises, this one 2"),
    ("exercises", swap("lesson09.number.check", "lesson09.other.check"), "and the package has"),
    ("exercises", swap("padded.check(padded)", "padded.check(other)"), "does not define `other`"),
    ("exercises", swap("padded.check(padded)", "padded.check(answer)"), "at least 2 exercises are code"),
    ("guesses", swap('guess("lesson09.b"', 'other("lesson09.b"'), "at least 2 guesses, this one for 1"),
    ("guesses", swap('reveal("lesson09.a"', 'other("lesson09.a"'), "revealed in a later cell"),
    ("guesses", swap("lesson09.a", "lesson08.a", everywhere=True), "must be named 'lesson09....'"),
    ("moves", swap("move.window()", "1"), "at least 2 things to move"),
    ("library", swap("print(1)", "def dice(a): ..."), "and so does unet_helpers.metrics"),
    ("library", swap("print(1)", f"# same as {DICE}\ndef dice(a): ..."), "dice differs from"),
    ("library", swap("print(1)", f"# simpler than {DICE}: short\ndef dice(a): ..."), "say in three"),
    ("library", swap("print(1)", f"# same as {DICE}s\ndef dices(a): ..."), "there is no"),
    ("library", swap("print(1)", f"# same as {DICE}"), "does not define it"),
    ("terms_in_bold", add(markdown("A **pixel** is new.")), "'pixel' is bold and not in the glossary"),
    ("terms_in_bold", add(markdown("Many **voxels** again.")), "'voxels' is bold again"),
    ("terms_in_bold", swap("**voxel**", "voxel"), "'voxel' is in the glossary, and never bold"),
    ("terms_in_bold", swap("## 1. A part", "## 3. A part"), "is bold in section 3"),
    ("terms_in_order", swap(STORY, "All voxels are equal. "), "'voxels' is used before lesson 9, section 1"),
    ("terms_in_order", swap("A **voxel** is", "Voxels. A **voxel** is"), "'Voxels' is used before"),
    ("terms_in_order", add(markdown("Some LOGITS.")), "'LOGITS' is used before lesson 10, section 2"),
    ("links", add(markdown("[there](11_none.ipynb)")), "links to '11_none.ipynb', which is not there"),
    ("links", add(markdown("[there](#none)")), "no heading is called so"),
    ("links", add(markdown("[there](http://example.org)")), "which is not there"),
    ("spelling", add(markdown("We recieve it.")), "recieve ==> receive"),
    ("phrases", add(markdown("**Mend:** chalk.")), "say fix"),
    ("phrases", add(code("# the chalk")), "say calcium deposits"),
    ("phrases", add(markdown("Found it!!")), "no exclamation marks in rows"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "change", "part"), BREAKS, ids=[f"{r}-{i}" for i, (r, _, _) in enumerate(BREAKS)]
)
def test_a_broken_lesson_is_found(rule: str, change: Break, part: str, ninth: Path) -> None:
    if rule == "spelling":
        pytest.importorskip("codespell_lib", reason="needs codespell: pip install codespell")
    book = good_book()
    change(book)
    assert part in problems(rule, book, ninth)


def test_each_rule_can_fail() -> None:
    assert {rule for rule, _, _ in BREAKS} == set(RULES)


# ------------------------------------------------------------------------------------------ small parts
def definition(text: str) -> Any:
    import ast

    return ast.parse(text).body[0]


def test_essence_leaves_out_docstring_types_and_checks_alone() -> None:
    full = '''def f(a: int, b: float = 1) -> float:
    """Say what it does."""
    if a < 0:
        raise ValueError("a must not be negative")
    c: float = a + b
    return c
'''
    short = "def f(a, b=1):\n    c = a + b\n    return c\n"
    assert essence(definition(full)) == essence(definition(short))
    assert essence(definition(short)) != essence(definition(short.replace("+", "-")))
    assert essence(definition("def f(a):\n    if a:\n        return 1")) != essence(
        definition("def f(a): pass")
    )


def test_a_solution_is_held_to_its_twin_too() -> None:
    import ast

    text = "# same as unet_helpers.losses.bce_loss\ndef bce_loss(logits, target):\n    return 0\n"
    assert "differs from" in "".join(twins(text, ast.parse(text), "x"))


def test_an_everyday_word_may_be_used_before(ninth: Path) -> None:
    book = good_book()
    swap(STORY, "Open the window. " * 9)(book)
    assert problems("terms_in_order", book, ninth) == ""


@pytest.mark.parametrize(
    "row", ["| 1 | voxel | 2 |", "| one | voxel | 2 | a |", "| 1 | voxel | two | a |", "| 1 | | 2 | a |"]
)
def test_a_row_of_the_glossary_is_whole(row: str) -> None:
    with pytest.raises(ValueError, match="a row must be"):
        lesson_words.read_glossary(row)
