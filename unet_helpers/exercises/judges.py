"""Judges that several exercises use: a number, a choice, a shape, a function.

A wrong answer is told its own mistake, if it is a known one, and nothing else: neither the right answer nor
on which side of it one is. Each known slip has a tolerance of its own, never that of the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from unet_helpers.exercises import NotAttempted
from unet_helpers.exercises.calling import Case, called, kind_of, number_of, told
from unet_helpers.exercises.comparing import difference

__all__ = ["is_choice", "is_function", "is_number", "is_shape"]

Judge = Callable[[Any], str | None]
Slips = Mapping[Any, str | tuple[float, str]]


def is_number(
    expected: float, tolerance: float = 1e-3, slips: Mapping[float, str | tuple[float, str]] | None = None,
    unit: str = "",
) -> Judge:  # fmt: skip
    """Judge a number.

    Args:
        expected: The right answer.
        tolerance: Absolute difference still accepted.
        slips: Wrong answers that betray a known mistake, and what to say to each: a sentence, or a tolerance
            and a sentence. Without a tolerance a whole number must be met exactly, and any other one when
            rounded to two digits or more.
        unit: Unit of the answer, for the messages.
    """

    def judge(answer: Any) -> str | None:
        value = number_of(answer)
        if value is None:
            return f"a number{f' (in {unit})' if unit else ''} was expected, got {kind_of(answer)}."
        if math.isnan(value):
            return "your number is NaN (not a number): was nothing divided by nothing?"
        if math.isinf(value):
            return "your number is infinite: was something divided by zero?"
        if abs(value - expected) <= tolerance:
            return None
        for slip, advice in (slips or {}).items():
            sentence, own = (advice, None) if isinstance(advice, str) else (advice[1], advice[0])
            if _is_slip(value, float(slip), own):
                return sentence
        if _is_rounded(value, expected, fewest=1):
            return "this is rounded too early: keep more digits until the end."
        if not unit and value > 1 and 0 < expected < 1:  # a share that was given in per cent
            verdict = judge(value / 100)
            return (
                "the number is right in per cent. A share from 0 to 1 was asked for."
                if verdict is None
                else verdict
            )
        return "that is not the number. Write down each step with its unit, and compute again."

    return judge


def _is_slip(value: float, slip: float, tolerance: float | None) -> bool:
    if tolerance is not None:
        return abs(value - slip) <= tolerance
    if slip == round(slip):
        return abs(value - slip) <= 1e-6 * max(1.0, abs(slip))
    return abs(value - slip) <= 1e-3 * abs(slip) or _is_rounded(value, slip, fewest=2)


def _is_rounded(value: float, exact: float, fewest: int) -> bool:
    """Whether a value is what remains of an exact one with that many significant digits, or some more."""
    if exact == 0 or value == 0:
        return False
    return any(math.isclose(value, float(f"{exact:.{digits - 1}e}")) for digits in range(fewest, 7))


def is_choice(right: Any, slips: Mapping[Any, str]) -> Judge:
    """Judge one of several answers, words or numbers.

    Args:
        right: The right one.
        slips: Every other one, and what to say to who takes it.
    """
    options = sorted([right, *slips], key=str)

    def judge(answer: Any) -> str | None:
        if isinstance(answer, bool) or not isinstance(answer, str | int | float | np.generic):
            return f"one of {', '.join(map(repr, options))} was expected, got {kind_of(answer)}."
        if _word(answer) == _word(right):
            return None
        for slip, sentence in slips.items():
            if _word(answer) == _word(slip):
                return sentence
        return f"one of {', '.join(map(repr, options))} was expected, got {told(answer)}."

    return judge


def _word(answer: Any) -> str:
    """An answer without what does not matter: case, blanks at the ends, 2.0 for 2."""
    number = None if isinstance(answer, str) else number_of(answer)
    return f"{number:g}" if number is not None else str(answer).strip().casefold()


def is_shape(expected: tuple[int, ...], slips: Mapping[tuple[int, ...], str] | None = None) -> Judge:
    """Judge the shape of an array, given as a tuple of whole numbers.

    Args:
        expected: The right shape.
        slips: Wrong shapes that betray a known mistake, and what to say to each.
    """

    def judge(answer: Any) -> str | None:
        if hasattr(answer, "shape"):
            return f"this is {kind_of(answer)} itself, and its shape was asked for. Ask it: `.shape`."
        if not isinstance(answer, tuple | list):
            return f"a tuple of whole numbers was expected, got {kind_of(answer)}. Write (a, b, ...)."
        numbers = [number_of(one) for one in answer]
        if any(number is None or number != round(number) for number in numbers):
            return "a shape holds whole numbers only, and yours holds something else."
        shape = tuple(int(number) for number in numbers if number is not None)
        if shape == expected:
            return None
        if shape in (slips or {}):
            return (slips or {})[shape]
        if len(shape) != len(expected):
            return f"your shape has {len(shape)} axes, and that is not the right number of them."
        return "the number of axes is right, but at least one number or its place is not."

    return judge


def is_function(
    cases: Sequence[Case],
    hidden: Sequence[Case] = (),
    tolerance: float = 1e-6,
    slips: Sequence[tuple[Callable[..., Any], str]] = (),
) -> Judge:
    """Judge a function by what it does: it is called, with copies of the arguments, and its results compared.

    Args:
        cases: Arguments, and what the function must return for them; a wrong result is shown beside the right
            one. Results may be numbers, truth values, text, arrays, tensors, None, and tuples of these.
        hidden: More cases, which a function made for the known ones alone does not pass; the right result is
            not shown.
        tolerance: Absolute difference still accepted, in every number.
        slips: Wrong functions that betray a known mistake, and what to say to each; one is recognised if it
            returns the same as the answer in every case, to the last digits.
    """
    every = [*cases, *hidden]

    def judge(answer: Any) -> str | None:
        if not callable(answer):
            return f"a function was expected, got {kind_of(answer)}. Give its name alone, without brackets."
        outcomes = [called(answer, arguments) for arguments, _ in every]
        if any(one.dots for one in outcomes):
            raise NotAttempted
        verdicts = [
            one.problem or difference(one.result, expected, tolerance, open_book=place < len(cases))
            for place, (one, (_, expected)) in enumerate(zip(outcomes, every, strict=True))
        ]
        if not any(verdicts):
            return next((one.changed for one in outcomes if one.changed), None)
        if not any(one.problem for one in outcomes):
            results = [one.result for one in outcomes]
            for slip, sentence in slips:
                if _same_everywhere(slip, every, results):
                    return sentence
        place = next(place for place, verdict in enumerate(verdicts) if verdict)
        which = "for" if place < len(cases) else "the known cases are right, but for"
        return f"{which} {told(every[place][0])} {verdicts[place]}"

    return judge


def _same_everywhere(slip: Callable[..., Any], every: Sequence[Case], results: Sequence[Any]) -> bool:
    for (arguments, _), result in zip(every, results, strict=True):
        outcome = called(slip, arguments)
        if outcome.problem or difference(result, outcome.result, tolerance=None):
            return False
    return True
