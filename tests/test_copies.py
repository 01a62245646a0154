"""Copies for students and instructors, and lessons that are tidy."""

from __future__ import annotations

import ast
import copy
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
from test_setup import tutorial

from unet_helpers.classroom.copies import for_instructors, for_students
from unet_helpers.classroom.tidy import MOVES, WIDGET, tidy, tidy_file
from unet_helpers.exercises import Exercise
from unet_helpers.exercises.judges import is_number

NOTEBOOKS = sorted((tutorial.ROOT / "notebooks").glob("0*.ipynb"))
END = "\n\n\nlesson09.double.check(double)\n# lesson09.double.hint()\n# lesson09.double.solution()"
SAID = [{"output_type": "stream", "name": "stdout", "text": "⏳ Not attempted yet"}]
SOLUTION = "def double(n):\n    return 2 * n  # twice\n"


def cell(kind: str, source: str, outputs: list[Any] | None = None) -> dict[str, Any]:
    one: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": source.splitlines(keepends=True)}
    return one | {"outputs": outputs or [], "execution_count": 5} if kind == "code" else one


def book(stub: str = 'given = 3\ndef double(n: "tuple[int, ...]"):\n    return ...') -> dict[str, Any]:
    cells = [
        cell("markdown", "**Think.** Why?\n\n<details><summary>Answer</summary>\n\nSo.\n</details>"),
        cell("code", stub + END, SAID),
        cell("code", 'reveal("lesson09.a", 3)', SAID),
        cell("code", "print(1)", [{"output_type": "stream", "name": "stdout", "text": "1"}]),
    ]
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def sources(made: dict[str, Any]) -> list[str]:
    return ["".join(one["source"]) for one in made["cells"]]


@pytest.fixture(autouse=True)
def ninth(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("unet_helpers.exercises.lesson09")
    module.double = Exercise(is_number(1), "", SOLUTION)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_students_get_gaps_and_no_solution() -> None:
    source = book()
    before = copy.deepcopy(source)
    made = for_students(source)
    text = sources(made)[1]
    assert "return ..." in text and "double.hint()" in text and "solution" not in text
    assert [one.get("outputs", []) for one in made["cells"][1:]] == [[], [], source["cells"][3]["outputs"]]
    assert [one["execution_count"] for one in made["cells"][1:]] == [None, None, 5]
    assert "<details><summary>" in sources(made)[0] and source == before


def test_instructors_get_the_solution_in_its_place_and_answers_open() -> None:
    text, answer = sources(for_instructors(book()))[1], sources(for_instructors(book()))[0]
    assert text == "given = 3\n" + SOLUTION.rstrip() + END
    assert "<details open><summary>" in answer
    names: dict[str, Any] = {}
    exec(text.partition("lesson09")[0], names)
    assert names["double"](4) == 8


def test_a_gap_is_all_from_the_first_dots_to_the_last() -> None:
    stub = "shape = x[..., 0]\na = ...\nb = a\ndouble = (\n    ...\n)\nafter = 1"
    assert sources(for_instructors(book(stub)))[1] == "shape = x[..., 0]\n" + SOLUTION + "after = 1" + END


def test_a_lesson_that_was_solved_in_the_source_is_refused() -> None:
    for change in (for_students, for_instructors):
        with pytest.raises(ValueError, match="must hold the three dots"):
            change(book("def double(n):\n    return n + n[..., 0]"))


def test_the_command_writes_every_lesson_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tutorial.main(["copies", str(tmp_path / "out"), "--here"]) == 0
    assert f"{2 * len(NOTEBOOKS)} notebooks" in capsys.readouterr().out
    for name in ("student", "instructor"):
        assert (tmp_path / "out" / name / "glossary.md").is_file()
        for path in NOTEBOOKS:
            made = nbformat.read(tmp_path / "out" / name / path.name, as_version=4)
            nbformat.validate(made)
            checks = [one.source for one in made.cells if ".check(" in one.source and one.cell_type == "code"]
            assert checks and not any(one.outputs for one in made.cells if one.source in checks)
            dots = [
                one
                for one in checks
                if any(getattr(node, "value", 0) is ... for node in ast.walk(ast.parse(one)))
            ]
            assert len(dots) == (len(checks) if name == "student" else 0), (name, path.name)


def test_lessons_may_skip_a_number(tmp_path: Path) -> None:
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    for name in ("07_late.ipynb", "01_a.ipynb"):
        (notebooks / name).write_text(json.dumps(book()), "utf-8")
    (notebooks / "glossary.md").write_text("words")
    assert [one.name for one in tutorial.find_notebooks(notebooks)] == ["01_a.ipynb", "07_late.ipynb"]
    assert [one.name for one in tutorial.find_notebooks(notebooks, ["07"])] == ["07_late.ipynb"]
    assert tutorial.copies(tmp_path / "out", tmp_path) == 0
    for name in ("student", "instructor"):
        made = sorted(path.name for path in (tmp_path / "out" / name).iterdir())
        assert made == ["01_a.ipynb", "07_late.ipynb", "glossary.md"]


def test_a_solved_source_stops_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_a.ipynb").write_text(json.dumps(book("double = 1")))
    assert tutorial.copies(tmp_path / "out", tmp_path) == 1
    assert "Take the answer out" in capsys.readouterr().out


# -------------------------------------------------------------------------------------------- tidying
VIEW = {WIDGET: {"model_id": "abc"}}


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (
            VIEW | {"text/plain": "A slider.", "image/png": "aGk="},
            {"text/plain": "A slider.", "image/png": "aGk="},
        ),
        (VIEW | {"text/plain": ["HBox(children=(Image(value=b''),\n", "Box()))"]}, {"text/plain": MOVES}),
        (VIEW | {"text/plain": "Your guess: how many?"}, {"text/plain": "Your guess: how many?"}),
        (VIEW, {"text/plain": MOVES}),
        (
            VIEW | {"text/plain": "HBox(children=())", "image/png": "aGk="},
            {"text/plain": MOVES, "image/png": "aGk="},
        ),
        ({"text/plain": "HBox(1)"}, {"text/plain": "HBox(1)"}),  # no widget: the lesson printed it
    ],
)
def test_a_widget_goes_and_the_picture_stays(data: dict[str, Any], kept: dict[str, Any]) -> None:
    one = cell("code", "x", [{"output_type": "display_data", "data": data, "metadata": {}}])
    one["metadata"] = {"execution": {"iopub.status.busy": "now"}, "tags": ["setup"]}
    made = {"cells": [one], "metadata": {"widgets": {}, "kernelspec": {}}}
    tidy(made)
    assert one["outputs"][0]["data"] == kept
    assert one["metadata"] == {"tags": ["setup"]} and made["metadata"] == {"kernelspec": {}}


def test_a_tidy_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "01_a.ipynb"
    made = book()
    made["cells"][1]["metadata"] = {"execution": {}}
    path.write_text(json.dumps(made), "utf-8")
    assert tidy_file(path) and "⏳" in path.read_text("utf-8")
    before = path.read_bytes()
    assert not tidy_file(path) and path.read_bytes() == before


def test_the_command_tidies_the_lessons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notebooks").mkdir()
    made = book()
    made["cells"][1]["metadata"] = {"execution": {}}
    (tmp_path / "notebooks" / "01_a.ipynb").write_text(json.dumps(made), "utf-8")
    for said in ("Tidied: 01_a.ipynb", "All lessons are tidy."):
        assert tutorial.tidy_lessons(tmp_path) == 0
        assert said in capsys.readouterr().out


def test_run_leaves_no_widget_in_the_executed_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNET_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tutorial.ROOT))
    ask = "from unet_helpers.exercises import guess\nguess('a.b', 'How many?', low=0, high=9)"
    sources = (ask, "import ipywidgets\nipywidgets.IntSlider()")
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    (tmp_path / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "notebooks" / "01_a.ipynb")
    assert tutorial.run(tmp_path) == 0
    made = json.loads((tmp_path / "executed" / "01_a.ipynb").read_text("utf-8"))
    data = [one["outputs"][0]["data"] for one in made["cells"]]
    assert "".join(data[0]["text/plain"]).startswith("Your guess: How many? From 0 to 9.")
    assert data[1] == {"text/plain": [MOVES]} and "widgets" not in made["metadata"]
