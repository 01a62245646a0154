"""Comparing what a student's function returns with what it should return, in words that help."""

from __future__ import annotations

from typing import Any

import numpy as np

from unet_helpers.exercises.calling import kind_of, number_of, told

__all__ = ["difference"]

STRICT = ("bool", "uint8")  # dtypes that a lesson insists on; other numbers may be wider or narrower
CLOSE = 1e-5  # share of a number by which two computations of the same thing may differ


def difference(result: Any, expected: Any, tolerance: float | None, open_book: bool = False) -> str | None:
    """Say in what a result differs from the expected one; None if it does not.

    Args:
        result: What a function returned.
        expected: What it should have returned.
        tolerance: Absolute difference still accepted; None accepts rounding errors alone.
        open_book: Whether the right value may be told.
    """
    if result is None and expected is not None:
        return "your function returns None. Is `return` there?"
    if isinstance(expected, tuple | list):
        return _of_parts(result, expected, tolerance, open_book)
    if _has_axes(expected):
        return _of_arrays(result, expected, tolerance, open_book)
    if isinstance(expected, str) or expected is None:
        return (
            None
            if type(result) is type(expected) and result == expected
            else _not(result, expected, open_book)
        )
    if isinstance(expected, bool | np.bool_):
        if _truth(result) is None:
            return f"True or False was expected, got {kind_of(result)}."
        return None if _truth(result) == bool(expected) else _not(result, expected, open_book)
    number, right = number_of(result), number_of(expected)
    if number is None:
        return f"a number was expected, got {kind_of(result)}."
    if right is None:
        raise TypeError(
            f"expected must be a number, text, an array or a tuple of these, got {kind_of(expected)}."
        )
    return None if _near(number, right, tolerance) else _not(result, expected, open_book)


def _not(result: Any, expected: Any, open_book: bool) -> str:
    right = f"{told(expected)} is right" if open_book else "that is not right"
    return f"your function returns {told(result)}, and {right}."


def _near(value: Any, right: Any, tolerance: float | None) -> Any:
    """Whether numbers or arrays agree, element by element; NaN agrees with NaN."""
    if tolerance is None:
        return np.isclose(value, right, rtol=CLOSE, atol=1e-9, equal_nan=True)
    return np.isclose(value, right, rtol=0, atol=tolerance, equal_nan=True)


def _has_axes(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype") and value.ndim > 0


def _truth(value: Any) -> bool | None:
    if hasattr(value, "item") and not _has_axes(value):
        value = value.item()
    return value if isinstance(value, bool) else None


def _of_parts(result: Any, expected: Any, tolerance: float | None, open_book: bool) -> str | None:
    kind = "list" if isinstance(expected, list) else "tuple"
    if not isinstance(result, tuple | list):
        return f"a {kind} of {len(expected)} parts was expected, got {kind_of(result)}."
    if len(result) != len(expected):
        return f"a {kind} of {len(expected)} parts was expected, got {len(result)}."
    for n, (one, right) in enumerate(zip(result, expected, strict=True), start=1):
        verdict = difference(one, right, tolerance, open_book)
        if verdict:
            return f"look at part {n} of the result: {verdict}"
    return None


def _numbers(value: Any) -> np.ndarray:
    """An array or tensor (of any device and kind) as a numpy array; 16-bit floats become 32-bit ones."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
    return np.asarray(value)


def _of_arrays(result: Any, expected: Any, tolerance: float | None, open_book: bool) -> str | None:
    if not _has_axes(result) or hasattr(result, "detach") != hasattr(expected, "detach"):
        return f"{kind_of(expected)} of shape {tuple(expected.shape)} was expected, got {kind_of(result)}."
    if tuple(result.shape) != tuple(expected.shape):
        return f"the shape {tuple(expected.shape)} was expected, got {tuple(result.shape)}."
    own, right = _numbers(result), _numbers(expected)
    if right.dtype.name in STRICT and own.dtype != right.dtype:
        return f"the values must be {right.dtype.name}, and yours are {own.dtype.name}."
    if own.dtype.kind not in "biufc":
        return f"an array of numbers was expected, got one of {own.dtype.name}."
    wrong = ~_near(own.astype(float), right.astype(float), tolerance)
    if not wrong.any():
        return None
    place = tuple(int(index) for index in np.argwhere(wrong)[0])
    where = f"[{', '.join(map(str, place))}]"
    many = (
        f"{int(wrong.sum())} of {wrong.size} values are not right. At {where}"
        if wrong.size > 1
        else f"at {where}"
    )
    told_right = f", and {told(right[place])} is right" if open_book else ""
    return f"{many} your result is {told(own[place])}{told_right}."
