"""The exercises of lesson 5 accept what is right and say what is wrong with the usual slips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from unet_helpers.exercises import Exercise, lesson05
from unet_helpers.metrics import dice, iou, label_stones

EXERCISES = {name: getattr(lesson05, name) for name in lesson05.__all__}


def solved(exercise: Exercise) -> Any:
    namespace: dict[str, Any] = {}
    exec(exercise.solution_text, namespace)
    return namespace["answer"]


@pytest.mark.parametrize("name", EXERCISES)
def test_solution_is_accepted(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    EXERCISES[name].check(solved(EXERCISES[name]))
    assert capsys.readouterr().out.startswith("✅")


@pytest.mark.parametrize("name", EXERCISES)
def test_dots_are_not_attempted_and_hints_do_not_tell(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    EXERCISES[name].check(...)
    assert "Not attempted" in capsys.readouterr().out
    EXERCISES[name].hint()
    assert "answer =" not in capsys.readouterr().out
    EXERCISES[name].solution()
    assert "answer =" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "answer", "part"),
    [
        ("dice_from_iou", 3 / 7, "other way"),
        ("dice_from_iou", 0.6, "this is the IoU"),
        ("dice_from_iou", 1.2, "forgot to divide"),
        ("dice_from_iou", 0.7, "that is not the number"),
        ("dice_from_iou", 0.43, "other way"),
        ("dice_from_iou", 0.8, "rounded too early"),
        ("honest_score", 0.83, "chose by the test score"),
        ("honest_score", 0.84, "too optimistic"),
        ("honest_score", 0.82, "unseen images"),
        ("honest_score", 0.81, "validation alone"),
        ("count_stones", 6, "share an edge"),
        ("count_stones", 9, "number of stone pixels"),
        ("count_stones", 3, "do not touch"),
        ("count_stones", 5, "hold together only at a corner"),
        ("count_stones", 7, "that is not the number"),
        ("count_stones", "four", "a number was expected"),
        ("pooled_sensitivity", 0.625, "mean of the two images"),
        ("pooled_sensitivity", 0.6, "missed"),
        ("pooled_sensitivity", 2, "divide"),
        ("pooled_sensitivity", 0.25, "image 2 alone"),
    ],
)
def test_slip_is_named(name: str, answer: Any, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    EXERCISES[name].check(answer)
    verdict = capsys.readouterr().out
    assert verdict.startswith("❌") and part in verdict


@pytest.mark.parametrize("name", EXERCISES)
def test_it_is_kept_under_its_own_name_and_says_why(name: str) -> None:
    assert EXERCISES[name].name == f"lesson05.{name}" and EXERCISES[name].because.endswith(".")


def test_dice_from_iou_agrees_with_masks() -> None:
    prediction, target = np.zeros((2, 1, 10), bool)
    prediction[:, :4], target[:, 1:5] = True, True  # overlap 3, union 5
    assert iou(prediction, target) == pytest.approx(0.60)
    assert lesson05.dice_from_iou.judge(dice(prediction, target)) is None


def test_count_stones_agrees_with_label_stones() -> None:
    rows = ("##....", "..#..#", ".....#", ".#....", "#...##")
    mask = np.array([[character == "#" for character in row] for row in rows])
    assert lesson05.count_stones.judge(label_stones(mask)[1]) is None
    assert "share an edge" in str(lesson05.count_stones.judge(ndimage.label(mask)[1]))  # 4-connected
    assert "number of stone pixels" in str(lesson05.count_stones.judge(mask.sum()))
