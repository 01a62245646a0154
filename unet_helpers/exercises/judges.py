"""Judges that several exercises use."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from unet_helpers.exercises import NotAttempted

__all__ = ["is_function", "is_number"]


def is_number(
    expected: float, tolerance: float = 1e-3, slips: dict[float, str] | None = None
) -> Callable[[Any], str | None]:
    """Judge a number.

    Args:
        expected: The right answer.
        tolerance: Absolute difference still accepted.
        slips: Wrong answers that betray a known mistake, and what to say to each.
    """

    def judge(answer: Any) -> str | None:
        value = _number(answer)
        if value is None:
            return f"a number was expected, got {_kind(answer)}."
        if math.isnan(value):
            return "your number is NaN (not a number): was nothing divided by nothing?"
        if abs(value - expected) <= tolerance:
            return None
        for slip, sentence in (slips or {}).items():
            if abs(value - slip) <= tolerance:
                return sentence
        return "too large." if value > expected else "too small."

    return judge


def is_function(
    cases: Sequence[tuple[tuple[Any, ...], float]],
    tolerance: float = 1e-6,
    slips: Sequence[tuple[Callable[..., float], str]] = (),
) -> Callable[[Any], str | None]:
    """Judge a function that returns a number, by calling it.

    Args:
        cases: Arguments, and what the function must return for them.
        tolerance: Absolute difference still accepted.
        slips: Wrong functions that betray a known mistake, and what to say to each; one is recognised if it
            returns the same as the answer in every case.
    """

    def judge(answer: Any) -> str | None:
        if not callable(answer):
            return f"a function was expected, got {_kind(answer)}. Pass its name, without brackets."
        results = [answer(*arguments) for arguments, _ in cases]
        if any(result is ... for result in results):
            raise NotAttempted
        numbers = []
        for (arguments, _), result in zip(cases, results, strict=True):
            number = _number(result)
            if number is None:
                return (
                    f"for {_call(arguments)} a number was expected, got {_kind(result)}. Is `return` there?"
                )
            numbers.append(number)
        wrong = [
            (arguments, result)
            for (arguments, expected), result, number in zip(cases, results, numbers, strict=True)
            if not abs(number - expected) <= tolerance
        ]
        if not wrong:
            return None
        for slip, sentence in slips:
            if all(abs(n - slip(*a)) <= tolerance for (a, _), n in zip(cases, numbers, strict=True)):
                return sentence
        return f"for {_call(wrong[0][0])} your function returns {wrong[0][1]}, which is not right."

    return judge


def _number(answer: Any) -> float | None:
    """A Python, numpy or torch number as float; None for anything else, text and truth values included."""
    if isinstance(answer, str | bytes | bool):
        return None
    try:
        return float(answer.item() if hasattr(answer, "item") else answer)
    except (TypeError, ValueError, RuntimeError):
        return None


def _kind(answer: Any) -> str:
    return {"str": "text", "bool": "True or False", "NoneType": "None"}.get(type(answer).__name__) or (
        f"a {type(answer).__name__}"
    )


def _call(arguments: tuple[Any, ...]) -> str:
    return f"({', '.join(map(repr, arguments))})"
