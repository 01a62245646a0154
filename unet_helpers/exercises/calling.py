"""Calling a student's function: whatever it does, the lesson goes on, and what it did is said in words."""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import re
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unet_helpers.exercises import holds_dots, in_one_line

__all__ = ["Case", "Outcome", "called", "kind_of", "number_of", "told"]

Case = tuple[tuple[Any, ...], Any]  # arguments, and the result they must give
LONG_NUMBER = re.compile(r"\d+\.\d{7,}(e-?\d+)?")  # -6.9 in 32 bits reads -6.900000095367432

KINDS = {
    "str": "text",
    "bool": "True or False",
    "NoneType": "None",
    "list": "a list",
    "tuple": "a tuple",
    "set": "a set",
    "dict": "a dictionary",
    "ndarray": "an array",
    "Tensor": "a tensor",
    "function": "a function",
    "builtin_function_or_method": "a function",
    "type": "a class",
    "ellipsis": "three dots",
}
LONGEST = 60  # characters of a value that are still shown


@dataclass(frozen=True)
class Outcome:
    """What one call gave.

    Attributes:
        result: What was returned; None after an error.
        problem: A sentence about an error, empty without one.
        dots: Whether the three dots still stand somewhere in the function.
        changed: A sentence about an array that was changed though it was only lent, empty without one.
    """

    result: Any = None
    problem: str = ""
    dots: bool = False
    changed: str = ""


def called(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Outcome:
    """Call a function with copies of the arguments; nothing that it prints or raises comes out."""
    problem = _misfit(function, arguments)
    if problem:
        return Outcome(problem=problem)
    lent = copy.deepcopy(arguments)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = function(*lent)
    except (Exception, SystemExit) as error:
        dots = "ellipsis" in str(error).lower()  # the gap was computed with
        return Outcome(
            problem=f"your function stopped with {in_one_line(error)}{_line(function, error)}", dots=dots
        )
    return Outcome(
        result=result, dots=holds_dots(result) or _array_of_dots(result), changed=_changed(arguments, lent)
    )


def _misfit(function: Callable[..., Any], arguments: tuple[Any, ...]) -> str:
    """A sentence if a function does not take that many arguments."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return ""
    try:
        signature.bind(*arguments)
    except TypeError:
        n, own = len(arguments), len(signature.parameters)
        return f"your function was called with {n} argument{'s' * (n != 1)}, but it takes {own}."
    return ""


def _line(function: Callable[..., Any], error: BaseException) -> str:
    """The line of the student's own code that an error came from, so far as it is known."""
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f", in the line `{frames[-1].line.strip()}`." if frames and frames[-1].line else ""


def _array_of_dots(result: Any) -> bool:
    return (
        isinstance(result, np.ndarray) and result.dtype == object and any(one is ... for one in result.flat)
    )


def _changed(arguments: Sequence[Any], lent: Sequence[Any]) -> str:
    for before, after in zip(arguments, lent, strict=True):
        if isinstance(before, np.ndarray) and not np.array_equal(
            before, after, equal_nan=before.dtype.kind in "fc"
        ):
            return (
                "the result is right, but your function also changes the array that it was given. "
                "Work on a copy: whoever calls it still needs the original."
            )
    return ""


def number_of(answer: Any) -> float | None:
    """A Python, numpy or torch number as float; None for anything else, text and truth values included."""
    if isinstance(answer, str | bytes | bool | np.bool_):
        return None
    try:
        return float(answer.item() if hasattr(answer, "item") else answer)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


def kind_of(answer: Any) -> str:
    """What a thing is, in words: "a list", "the number 3", "text"."""
    name = type(answer).__name__
    if name in KINDS:
        return KINDS[name]
    number = number_of(answer)
    return f"the number {number:g}" if number is not None else f"an object of the class {name}"


def told(value: Any) -> str:
    """A value as it reads in a sentence: short ones in full, arrays by shape and kind."""
    if type(value) is tuple:
        inside = ", ".join(map(told, value))
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    if hasattr(value, "shape") and hasattr(value, "dtype") and value.ndim:
        text = LONG_NUMBER.sub(lambda found: f"{float(found[0]):.6g}", " ".join(str(value.tolist()).split()))
        if len(text) <= LONGEST:
            return text
        return f"{kind_of(value)} of shape {tuple(value.shape)}"
    if hasattr(value, "item"):
        value = value.item()
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
