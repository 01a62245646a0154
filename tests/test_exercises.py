"""The exercise engine: what each kind of answer is told, and what is kept."""

import json

import numpy as np
import pytest
import torch

from unet_helpers.exercises import Exercise, NotAttempted, recall
from unet_helpers.exercises.judges import is_choice, is_function, is_number, is_shape

number = Exercise(
    judge=is_number(
        12.3,
        tolerance=0.5,
        slips={6.15: "you took the half.", 24: "you took the double.", 0.8: (0.1, "low.")},
    ),
    hint_text="count again",
    solution_text="answer = 12.3",
    because="It is a dozen and a bit.",
)
choice = Exercise(is_choice("bone", slips={"fat": "fat is dark.", 0: "that is air."}), "", "")
shape = Exercise(is_shape((16, 1, 8, 8), slips={(16, 8, 8): "the channel is missing."}), "", "")
function = Exercise(
    judge=is_function(
        cases=[((1, 2), 3), ((5, 5), 10)],
        hidden=[((-1, 4), 3)],
        slips=[(lambda a, b: a - b, "you subtracted.")],
    ),
    hint_text="add",
    solution_text="def total(a, b):\n    return a + b",
)
EYE = np.eye(2)
doubled = Exercise(
    is_function(cases=[((EYE,), 2 * EYE)], hidden=[((np.ones((20, 20)),), 2 * np.ones((20, 20)))]), "", ""
)


def verdict(exercise: Exercise, answer: object, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert exercise.check(answer) is None  # a returned value would be shown below the cell
    return capsys.readouterr().out.strip()


# ------------------------------------------------------------------------------------------- numbers
@pytest.mark.parametrize("answer", [12, 12.4, 11.8, np.float32(12), np.array([12]), torch.tensor(12.0)])
def test_right_number_is_told_why(answer: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(number, answer, capsys) == "✅ Correct. It is a dozen and a bit."


@pytest.mark.parametrize("exercise", [number, function, choice, shape, doubled])
@pytest.mark.parametrize("answer", [..., None, [1, ...], (..., 2)])
def test_not_attempted(exercise: Exercise, answer: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(exercise, answer, capsys).startswith("⏳ Not attempted yet")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (6.15, "you took the half."),
        (6.2, "you took the half."),  # rounded to two digits
        (6.1, "that is not the number."),
        (24.0, "you took the double."),
        (24.4, "that is not the number."),  # within the answer's tolerance, and yet no double
        (0.9, "low."),  # a tolerance of its own
        (1.0, "that is not the number."),
        (10, "this is rounded too early"),
        (13, "that is not the number."),
        (-1, "that is not the number."),
        (float("inf"), "your number is infinite"),
        (float("nan"), "your number is NaN (not a number): was nothing divided by nothing?"),
        ("12", "a number was expected, got text."),
        (True, "a number was expected, got True or False."),
        (np.bool_(True), "a number was expected, got"),
        ([12], "a number was expected, got a list."),
        (np.array([1, 2]), "a number was expected, got an array."),
        (torch.ones(2), "a number was expected, got a tensor."),
        (10**400, "a number was expected, got"),
    ],
)
def test_wrong_number(answer: object, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(number, answer, capsys).startswith(f"❌ Not yet: {expected}")


def test_no_wrong_number_is_told_its_side(capsys: pytest.CaptureFixture[str]) -> None:
    """ "Too large" would invite to search by halving instead of thinking: all plain misses sound alike."""
    told = {verdict(number, value, capsys) for value in (-40, 1.7, 11.2, 13.1, 600)}
    assert len(told) == 1
    assert "large" not in min(told) and "small" not in min(told)


# ------------------------------------------------------------------------------- choices and shapes
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("bone", "✅ Correct."),
        (" Bone ", "✅ Correct."),
        ("fat", "❌ Not yet: fat is dark."),
        (0, "❌ Not yet: that is air."),
        (np.float64(0), "❌ Not yet: that is air."),
        (5, "❌ Not yet: one of 0, 'bone', 'fat' was expected, got 5."),
        (False, "❌ Not yet: one of 0, 'bone', 'fat' was expected, got True or False."),
        (["bone"], "❌ Not yet: one of 0, 'bone', 'fat' was expected, got a list."),
    ],
)
def test_choice(answer: object, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(choice, answer, capsys) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((16, 1, 8, 8), "✅ Correct."),
        (torch.Size((16, 1, 8, 8)), "✅ Correct."),
        ([16, 8, 8], "❌ Not yet: the channel is missing."),
        (torch.zeros(16, 1, 8, 8), "❌ Not yet: this is a tensor itself, and its shape was asked for."),
        ({16, 1, 8}, "❌ Not yet: a tuple of whole numbers was expected, got a set."),
        ((16, 1, 8.5, 8), "❌ Not yet: a shape holds whole numbers only"),
        (("16", 1, 8, 8), "❌ Not yet: a shape holds whole numbers only"),
        ((16, 1), "❌ Not yet: your shape has 2 axes, and that is not the right number"),
        ((1, 16, 8, 8), "❌ Not yet: the number of axes is right, but"),
    ],
)
def test_shape(answer: object, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(shape, answer, capsys).startswith(expected)


# ----------------------------------------------------------------------------------------- functions
def test_right_function(capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(function, lambda a, b: a + b, capsys) == "✅ Correct."
    assert verdict(function, lambda a, b: torch.tensor(a) + b, capsys) == "✅ Correct."
    assert verdict(doubled, lambda a: a + a, capsys) == "✅ Correct."


def loud(a: int, b: int) -> int:
    print("noise")
    return 0


def gap(a: int, b: int) -> int:
    total = ...
    return total + 1


def in_place(a: np.ndarray) -> np.ndarray:
    a *= 2
    return a


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (3, "a function was expected, got the number 3. Give its name alone, without brackets."),
        (EYE, "a function was expected, got an array. Give its name alone, without brackets."),
        (lambda a, b: a - b, "you subtracted."),
        (lambda a, b: 3, "for (5, 5) your function returns 3, and 10 is right."),
        (
            lambda a, b: abs(a) + b,
            "the known cases are right, but for (-1, 4) your function returns 5, and that",
        ),
        (lambda a, b: float("nan"), "for (1, 2) your function returns nan, and 3 is right."),
        (lambda a, b: None, "for (1, 2) your function returns None. Is `return` there?"),
        (lambda a, b: [3], "for (1, 2) a number was expected, got a list."),
        (lambda a: a, "for (1, 2) your function was called with 2 arguments, but it takes 1."),
        (lambda a, b: a / 0, "for (1, 2) your function stopped with ZeroDivisionError: division by zero, in"),
        (lambda a, b: [][a], "for (1, 2) your function stopped with IndexError: list index out of range, in"),
        (lambda a, b: next(iter(())), "for (1, 2) your function stopped with StopIteration, in the line `"),
        (lambda a, b: exit("bye"), "for (1, 2) your function stopped with SystemExit: bye"),
        (loud, "for (1, 2) your function returns 0, and 3 is right."),
    ],
)
def test_wrong_function(answer: object, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(function, answer, capsys).startswith(f"❌ Not yet: {expected}")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            lambda a: 3 * a,
            "for [[1.0, 0.0], [0.0, 1.0]] 2 of 4 values are not right. At [0, 0] your result is 3, and 2",
        ),
        (lambda a: 2 * a[0], "for [[1.0, 0.0], [0.0, 1.0]] the shape (2, 2) was expected, got (2,)."),
        (
            lambda a: (2 * a).tolist(),
            "for [[1.0, 0.0], [0.0, 1.0]] an array of shape (2, 2) was expected, got a list.",
        ),
        (
            lambda a: torch.tensor(2 * a),
            "for [[1.0, 0.0], [0.0, 1.0]] an array of shape (2, 2) was expected, got a te",
        ),
        (lambda a: 2 * EYE, "the known cases are right, but for an array of shape (20, 20) the shape"),
        (in_place, "the result is right, but your function also changes the array"),
    ],
)
def test_wrong_array(answer: object, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = verdict(doubled, answer, capsys).replace("([[", "[[").replace("]],)", "]]").replace("(an", "an")
    assert told.replace("(20, 20),)", "(20, 20)").startswith(f"❌ Not yet: {expected}")


@pytest.mark.parametrize(
    ("expected", "result", "part"),
    [
        (np.array([True, False]), np.array([True, False]), None),
        (np.array([True, False]), np.array([1, 0]), "the values must be bool, and yours are int64."),
        (np.array([3], np.uint8), np.array([3.0]), "the values must be uint8, and yours are float64."),
        (np.array([3.0]), np.array([3], np.int32), None),
        (np.array([np.nan]), np.array([np.nan]), None),
        (torch.ones(2), torch.ones(2, dtype=torch.bfloat16), None),
        (torch.ones(2), np.ones(2), "a tensor of shape (2,) was expected, got an array."),
        (np.ones(2), np.array(["a", "b"]), "an array of numbers was expected"),
        ((1, np.ones(2)), [1, np.ones(2)], None),
        ((1, np.ones(2)), (1, np.zeros(2)), "look at part 2 of the result: 2 of 2 values are not right."),
        ((1, 2), (1, 2, 3), "a tuple of 2 parts was expected, got 3."),
        ((1, 2), 1, "a tuple of 2 parts was expected, got the number 1."),
        (True, np.bool_(True), None),
        (True, 1, "True or False was expected, got the number 1."),
        (True, False, "your function returns False, and True is right."),
        ("ab", "ab", None),
        ("ab", "b", "your function returns 'b', and 'ab' is right."),
        (None, None, None),
        (None, 1, "your function returns 1, and None is right."),
    ],
)
def test_results_of_every_kind(expected: object, result: object, part: str | None) -> None:
    told = is_function(cases=[((), expected)])(lambda: result)
    assert told is None if part is None else part in str(told)


def test_a_slip_is_met_by_its_own_tolerance() -> None:
    judge = is_function(cases=[((1,), 10.0)], tolerance=5, slips=[(lambda a: 16.0, "sixteen.")])
    assert judge(lambda a: 14.9) is None
    assert judge(lambda a: 16.0 + 1e-7) == "sixteen."
    assert "sixteen" not in str(judge(lambda a: 17))


def test_function_that_still_holds_the_dots(capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(function, lambda a, b: ..., capsys).startswith("⏳ Not attempted yet")
    assert verdict(function, lambda a, b: (a, ...), capsys).startswith("⏳ Not attempted yet")
    assert verdict(function, gap, capsys).startswith("⏳ Not attempted yet")


def test_a_judge_of_ones_own_may_say_not_attempted_or_fail(capsys: pytest.CaptureFixture[str]) -> None:
    def judge(answer: str) -> str | None:
        if answer == "":
            raise NotAttempted
        raise ValueError("first line\n  second line of a library")

    assert verdict(Exercise(judge, "", ""), "", capsys).startswith("⏳ Not attempted yet")
    told = verdict(Exercise(judge, "", ""), "x", capsys)
    assert told == "❌ Not yet: your answer could not be judged. It raised ValueError: first line"


# -------------------------------------------------------------------------------- hints and progress
def test_hint_and_solution(capsys: pytest.CaptureFixture[str]) -> None:
    number.hint()
    number.solution()
    assert capsys.readouterr().out == "💡 count again\nanswer = 12.3\n"


@pytest.fixture
def kept(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Exercise:
    monkeypatch.setenv("UNET_HOME", str(tmp_path))
    return Exercise(is_number(1), "h", "s", name="lesson01.one")


def test_the_third_miss_offers_the_hint(kept: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    offers = ["lesson01.one.hint()" in verdict(kept, answer, capsys) for answer in (2, ..., 3, 4, 5)]
    assert offers == [False, False, False, True, True]  # the dots are no miss


def test_solved_stays_solved(kept: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    for answer in (2, 1, 3, ...):
        kept.check(answer)
    assert kept.solved and recall("lesson01.one") == {"solved": True, "misses": 1}


def test_nothing_is_kept_before_the_first_try_or_without_a_name(kept: Exercise, tmp_path) -> None:
    kept.check(...)
    number.check(6)
    assert not kept.solved and list(tmp_path.iterdir()) == []


def test_progress_is_plain_json(kept: Exercise, tmp_path) -> None:
    kept.check(1)
    assert json.loads((tmp_path / "progress.json").read_text()) == {"lesson01.one": {"solved": True}}
