"""What a class has handed in becomes one table."""

from __future__ import annotations

import csv
import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from test_setup import tutorial

from unet_helpers.classroom.grade import collect, exercise_names, table, write_csv

NAMES = ["lesson01.window", "lesson01.split", "lesson02.pad"]


def notebook(*cells: tuple[str, str]) -> str:
    """A notebook of code cells, each with what it printed."""
    made = [
        {"cell_type": "code", "source": [source], "outputs": [{"output_type": "stream", "text": [said]}]}
        for source, said in cells
    ]
    return json.dumps({"cells": [{"cell_type": "markdown", "source": "# Lesson"}, *made]})


@pytest.fixture
def hand_ins(tmp_path: Path) -> Path:
    """Anna: a folder with both kinds of file; Bob: two notebooks with his name; Cem: nothing done."""
    (tmp_path / "Anna Lee_77_file").mkdir()
    progress: dict[str, Any] = {
        "lesson01.window": {"solved": True, "misses": 2},
        "lesson01.split": {"misses": 1},
    }
    progress["lesson01.stones"] = {"guess": 3, "truth": 0.06}
    (tmp_path / "Anna Lee_77_file" / "progress.json").write_text(json.dumps(progress))
    solved = ("lesson01.split.check(split)\n# lesson01.split.hint()", "✅ Correct. It is so.")
    reveals = ('reveal("lesson01.stones", 3)', "You guessed 3.")
    (tmp_path / "Anna Lee_77_file" / "01_dataset.ipynb").write_text(notebook(solved, reveals))
    wrong = ("lesson01.window.check(window)", "❌ Not yet: no.")
    open_one = ("lesson01.split.check(split)", "⏳ Not attempted yet")
    unseen = ('reveal("lesson01.stones", 3)', "You have not guessed yet.")
    (tmp_path / "01_dataset_bob (1).ipynb").write_text(notebook(wrong, open_one, unseen))
    right = ("def pad(image):\n    return 1\n\n\nlesson02.pad.check(pad)", "✅ Correct.")
    (tmp_path / "bob-02_preprocessing-Copy1.ipynb").write_text(notebook(right))
    (tmp_path / "cem_progress.json").write_text("{}")
    return tmp_path


def test_both_kinds_of_file_are_read_and_added_up(hand_ins: Path) -> None:
    students, trouble = collect([hand_ins])
    assert trouble == []
    anna, bob, cem = students
    assert (anna.name, bob.name, cem.name) == ("Anna Lee_77_file", "bob", "cem")
    assert anna.solved == {"lesson01.window": True, "lesson01.split": True}  # the notebook knows more
    assert (anna.misses, anna.guesses) == (3, {"lesson01.stones"})
    assert bob.solved == {"lesson01.window": False, "lesson02.pad": True} and not bob.guesses
    assert cem.solved == {}


@pytest.mark.parametrize(
    "name",
    ["gül_Copy_of_01_dataset.ipynb", "Copy of 01_dataset gül.ipynb", "Kopie_von_gül-01_dataset (2).ipynb"],
)
def test_the_name_that_a_copy_gets_is_nobodys(tmp_path: Path, name: str) -> None:
    """Colab's "Save a copy in Drive", downloaded."""
    right = ("lesson01.window.check(window)", "✅ Correct.")
    (tmp_path / name).write_text(notebook(right))
    (tmp_path / "gül_progress.json").write_text('{"lesson01.split": {"solved": true}}')
    (student,), _ = collect([tmp_path])
    assert student.name == "gül" and len(student.solved) == 2


def test_a_folder_a_student_is_named_after_the_folder(tmp_path: Path) -> None:
    for name in ("dora", "eve"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "progress.json").write_text('{"lesson01.window": {"solved": true}}')
    students, _ = collect([tmp_path / "eve", tmp_path / "dora"])
    assert [one.name for one in students] == ["dora", "eve"]


@pytest.mark.parametrize("text", ["{", "[1]", '{"lesson01.a": 3}', "\x00"])
@pytest.mark.parametrize("name", ["fred_progress.json", "fred_01_dataset.ipynb"])
def test_a_damaged_file_is_named_and_stops_nothing(hand_ins: Path, name: str, text: str) -> None:
    (hand_ins / name).write_text(text)
    (hand_ins / "gina.zip").write_text("")
    (hand_ins / ".ipynb_checkpoints").mkdir()
    (hand_ins / ".ipynb_checkpoints" / "01_dataset.ipynb").write_text("{")
    students, (damaged, zipped) = collect([hand_ins])
    assert name in damaged and "counts as not handed in" in damaged
    assert "gina.zip was not read: unpack it first." in zipped
    assert {"Anna Lee_77_file", "bob", "cem"} <= {one.name for one in students}


def test_the_table_says_who_solved_what(hand_ins: Path) -> None:
    students, _ = collect([hand_ins])
    lines = [line.split() for line in table(students, NAMES).splitlines()]
    assert lines[0] == ["student", "lesson01", "lesson02", "solved", "misses", "guesses"]
    assert lines[2] == ["bob", "0/2", "1/1", "1/3", "0", "0"]


def test_the_csv_tells_tried_from_never_tried(hand_ins: Path, tmp_path: Path) -> None:
    (hand_ins / "=1+1_progress.json").write_text("{}")
    students, _ = collect([hand_ins])
    write_csv(tmp_path / "class.csv", students, NAMES)
    with (tmp_path / "class.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert [rows["bob"][name] for name in NAMES] == ["0", "", "1"]
    assert (rows["Anna Lee_77_file"]["solved"], rows["Anna Lee_77_file"]["of"]) == ("2", "3")
    assert "'=1+1" in rows  # a spreadsheet would compute it


def test_the_exercises_are_those_of_the_package() -> None:
    names = exercise_names()
    lessons = sorted({name.partition(".")[0] for name in names})
    assert len(lessons) >= 5
    for lesson in lessons:
        module = importlib.import_module(f"unet_helpers.exercises.{lesson}")
        ours = [f"{lesson}.{name}" for name in module.__all__]
        assert [name for name in names if name.startswith(lesson)] == ours


def test_a_lesson_may_be_missing_between_two(tmp_path: Path) -> None:
    for number, name in ((1, "window"), (7, "which_room")):
        (tmp_path / f"lesson0{number}.py").write_text(f"__all__ = ['{name}']")
    names = exercise_names(tmp_path)
    assert names == ["lesson01.window", "lesson07.which_room"]
    (tmp_path / "progress.json").write_text('{"lesson07.which_room": {"solved": true, "misses": 1}}')
    lines = [line.split() for line in table(collect([tmp_path])[0], names).splitlines()]
    assert lines[0][1:4] == ["lesson01", "lesson07", "solved"] and lines[1][1:4] == ["0/1", "1/1", "1/2"]


def test_the_command_prints_and_writes(
    hand_ins: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tutorial.main(["grade", str(hand_ins), "--csv", str(tmp_path / "all.csv")]) == 0
    assert "bob" in capsys.readouterr().out and (tmp_path / "all.csv").is_file()
    assert tutorial.main(["grade", str(hand_ins / "nowhere")]) == 1
    assert "FOLDER must be a folder that is there" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert tutorial.main(["grade", str(tmp_path / "empty")]) == 1


def test_grading_needs_nothing_installed(hand_ins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess
    import sys

    monkeypatch.delenv("PYTHONPATH", raising=False)
    command = [sys.executable, "-S", str(tutorial.ROOT / "tutorial.py"), "grade", str(hand_ins)]
    done = subprocess.run(command, capture_output=True, text=True)  # -S: no installed packages
    assert done.returncode == 0 and "bob" in done.stdout, done.stderr
