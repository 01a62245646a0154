"""Lesson 1's exercises: the right answer, the solution's code, and the mistakes that are recognised."""

from itertools import pairwise

import numpy as np
import pytest

from unet_helpers.exercises import Exercise, lesson01
from unet_helpers.folders.groups import EXAM_GAP_SECONDS
from unet_helpers.phantom import window

ALL = [getattr(lesson01, name) for name in lesson01.__all__]
SECONDS = [12, 40, 95, 150, 205, 290, 350, 411]


def verdict(exercise: Exercise, answer: object, capsys: pytest.CaptureFixture[str]) -> str:
    exercise.check(answer)
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize("exercise", ALL, ids=lesson01.__all__)
def test_dots_are_not_attempted(exercise: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(exercise, ..., capsys).startswith("⏳ Not attempted yet")


@pytest.mark.parametrize("exercise", ALL, ids=lesson01.__all__)
def test_the_solution_runs_and_is_accepted(exercise: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    exec(exercise.solution_text, names)
    assert verdict(exercise, names["answer"], capsys) == "✅ Correct."
    exercise.hint()
    assert f"{names['answer']:.3g}" not in capsys.readouterr().out


def test_the_grey_value_is_what_the_window_gives(capsys: pytest.CaptureFixture[str]) -> None:
    node = window(np.array([[90.0]]), level=50, width=350)
    assert verdict(lesson01.grey_value, int(node[0, 0]), capsys) == "✅ Correct."
    assert verdict(lesson01.grey_value, 157, capsys) == "✅ Correct."  # rounded up instead of down


def test_a_circle_of_that_diameter_has_the_area_of_the_stone(capsys: pytest.CaptureFixture[str]) -> None:
    diameter_mm = 6.0812  # pi / 4 * 6.0812**2 = 29.04 = 24 * 1.1**2
    assert np.pi / 4 * diameter_mm**2 == pytest.approx(24 * 1.1**2, rel=1e-3)
    assert verdict(lesson01.diameter_mm, 6.1, capsys) == "✅ Correct."


def test_the_exams_are_those_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    n_exams = 1 + sum(b - a > EXAM_GAP_SECONDS for a, b in pairwise(SECONDS))
    assert verdict(lesson01.n_exams, n_exams, capsys) == "✅ Correct."


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("grey_value", (90 - (50 - 350)) / 350 * 255, "only half of the width"),
        ("grey_value", (90 - (50 - 175)) / 350, "as a share"),
        ("grey_value", 100 * (90 - (50 - 175)) / 350, "per cent"),
        ("grey_value", 90 - (50 - 175), "in HU"),
        ("grey_value", (90 - 50) / 350 * 255, "from the level"),
        ("grey_value", 255, "too large"),
        ("grey_value", "156", "a number was expected"),
        ("diameter_mm", 2 * np.sqrt(24 * 1.1 / np.pi), "used once"),
        ("diameter_mm", np.sqrt(24 * 1.1**2 / np.pi), "radius"),
        ("diameter_mm", 2 * np.sqrt(24 / np.pi), "in pixels"),
        ("diameter_mm", np.sqrt(24) * 1.1, "square"),
        ("diameter_mm", 24 * 1.1**2, "area"),
        ("diameter_mm", 24 * 1.1, "both directions"),
        ("diameter_mm", 1, "too small"),
        ("diameter_mm", [6.1, 6.1], "a number was expected"),
        ("n_exams", 8, "number of pictures"),
        ("n_exams", 5, "just before it"),
        ("n_exams", 4, "exactly 60"),
        ("n_exams", 2, "gaps"),
        ("n_exams", 1, "too small"),
    ],
)
def test_each_mistake_has_its_own_answer(
    name: str, answer: object, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = verdict(getattr(lesson01, name), answer, capsys)
    assert words in text
    assert text.startswith("❌ Not yet: ")
