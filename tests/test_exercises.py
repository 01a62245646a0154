"""The exercise engine: what each kind of answer is told."""

import numpy as np
import pytest
import torch

from unet_helpers.exercises import Exercise, NotAttempted
from unet_helpers.exercises.judges import is_function, is_number

number = Exercise(
    judge=is_number(12, tolerance=0.5, slips={6: "you took the half.", 24: "you took the double."}),
    hint_text="count again",
    solution_text="answer = 12",
)
function = Exercise(
    judge=is_function(
        cases=[((1, 2), 3), ((5, 5), 10)], slips=[(lambda a, b: a - b, "you subtracted.")], tolerance=1e-6
    ),
    hint_text="add",
    solution_text="def total(a, b):\n    return a + b",
)


def verdict(exercise: Exercise, answer: object, capsys: pytest.CaptureFixture[str]) -> str:
    assert exercise.check(answer) is None  # a returned value would be shown below the cell
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize("answer", [12, 12.4, 11.5, np.float32(12), np.array([12]), torch.tensor(12.0)])
def test_right_number(answer: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(number, answer, capsys) == "✅ Correct."


@pytest.mark.parametrize("answer", [..., None])
def test_not_attempted(answer: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(number, answer, capsys).startswith("⏳ Not attempted yet")
    assert verdict(function, answer, capsys).startswith("⏳ Not attempted yet")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (6, "❌ Not yet: you took the half."),
        (24.3, "❌ Not yet: you took the double."),
        (13, "❌ Not yet: too large."),
        (-1, "❌ Not yet: too small."),
        (float("inf"), "❌ Not yet: too large."),
        (float("nan"), "❌ Not yet: your number is NaN (not a number): was nothing divided by nothing?"),
        ("12", "❌ Not yet: a number was expected, got text."),
        (True, "❌ Not yet: a number was expected, got True or False."),
        ([12], "❌ Not yet: a number was expected, got a list."),
        (np.array([1, 2]), "❌ Not yet: a number was expected, got a ndarray."),
        (torch.ones(2), "❌ Not yet: a number was expected, got a Tensor."),
    ],
)
def test_wrong_number(answer: object, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(number, answer, capsys) == expected


def test_right_function(capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(function, lambda a, b: a + b, capsys) == "✅ Correct."
    assert verdict(function, lambda a, b: torch.tensor(a) + b, capsys) == "✅ Correct."


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (3, "❌ Not yet: a function was expected, got a int. Pass its name, without brackets."),
        (lambda a, b: a - b, "❌ Not yet: you subtracted."),
        (lambda a, b: 3, "❌ Not yet: for (5, 5) your function returns 3, which is not right."),
        (lambda a, b: float("nan"), "❌ Not yet: for (1, 2) your function returns nan, which is not right."),
        (lambda a, b: None, "❌ Not yet: for (1, 2) a number was expected, got None. Is `return` there?"),
        (lambda a: a, "❌ Not yet: your answer raised TypeError"),
        (lambda a, b: a / 0, "❌ Not yet: your answer raised ZeroDivisionError: division by zero"),
    ],
)
def test_wrong_function(answer: object, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(function, answer, capsys).startswith(expected)


def test_function_that_still_holds_the_dots(capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(function, lambda a, b: ..., capsys).startswith("⏳ Not attempted yet")


def test_a_judge_of_ones_own_may_say_not_attempted(capsys: pytest.CaptureFixture[str]) -> None:
    def judge(answer: object) -> str | None:
        raise NotAttempted

    assert verdict(Exercise(judge, "", ""), [...], capsys).startswith("⏳ Not attempted yet")


def test_hint_and_solution(capsys: pytest.CaptureFixture[str]) -> None:
    number.hint()
    number.solution()
    assert capsys.readouterr().out == "💡 count again\nanswer = 12\n"
