"""The exercises of lesson 4 accept what is right and say what is wrong with the usual slips."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from unet_helpers.exercises import Exercise, lesson04

EXERCISES = {name: getattr(lesson04, name) for name in lesson04.__all__}


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
        ("dice_loss_by_hand", 0.75, "coefficient"),
        ("dice_loss_by_hand", 0.4, "minus the IoU"),
        ("dice_loss_by_hand", 0.6, "this is the IoU"),
        ("dice_loss_by_hand", 0.625, "factor 2"),
        ("dice_loss_by_hand", 0.1, "that is not the number"),
        ("dice_loss_by_hand", "a quarter", "a number was expected"),
        ("best_constant_logit", 0.001, "best probability"),
        ("best_constant_logit", 6.907, "sign"),
        ("best_constant_logit", -3, "base 10"),
        ("best_constant_logit", -2.99957, "base 10"),
        ("best_constant_logit", -4, "that is not the number"),
        ("best_constant_logit", -7, "rounded too early"),
        ("which_exhibit", 2, "masks hold 0 and 1"),
        ("which_exhibit", 3, "eval is called"),
        ("which_exhibit", 4, "stays inside"),
        ("which_exhibit", 0, "one of 1, 2, 3, 4 was expected, got 0"),
        ("which_exhibit", 5, "one of 1, 2, 3, 4 was expected, got 5"),
        ("which_exhibit", True, "got True or False"),
        ("step_order", ["step", "backward", "zero_grad", "loss", "forward"], "must come first"),
        ("step_order", ["forward", "zero_grad", "backward", "loss", "step"], "does not exist yet"),
        ("step_order", ["forward", "loss", "zero_grad", "step", "backward"], "has not computed them"),
        ("step_order", ["forward", "loss", "backward", "zero_grad", "step"], "no weight would move"),
        ("step_order", ["forward", "loss", "backward", "step"], "five names"),
        ("step_order", ["forward", 1, "loss", 2, 3], "five names"),
        ("step_order", "forward", "five names was expected, got text"),
        ("step_order", 5, "got the number 5"),
        ("step_order", set(lesson04.STEP_NAMES), "a set has no order"),
    ],
)
def test_slip_is_named(name: str, answer: Any, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    EXERCISES[name].check(answer)
    verdict = capsys.readouterr().out
    assert verdict.startswith("❌") and part in verdict


def test_a_list_with_a_gap_is_not_attempted(capsys: pytest.CaptureFixture[str]) -> None:
    lesson04.step_order.check(["forward", "loss", ..., "backward", "step"])
    assert "Not attempted" in capsys.readouterr().out


@pytest.mark.parametrize("name", EXERCISES)
def test_it_is_kept_under_its_own_name_and_says_why(name: str) -> None:
    assert EXERCISES[name].name == f"lesson04.{name}" and EXERCISES[name].because.endswith(".")


def test_exactly_these_orders_work() -> None:
    """zero_grad may stand anywhere but between backward and step; the other four have one order."""
    judge = lesson04.step_order.judge
    orders = {order for order in permutations(lesson04.STEP_NAMES) if judge(list(order)) is None}
    rest = ["forward", "loss", "backward", "step"]
    expected = {(*rest[:place], "zero_grad", *rest[place:]) for place in (0, 1, 2, 4)}
    assert orders == expected
