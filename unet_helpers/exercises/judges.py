"""Judges that several exercises use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["is_number"]


def is_number(expected: float, tolerance: float = 1e-3, slips: dict[float, str] | None = None) -> Callable[[Any], str | None]:
    """Judge a number.

    Args:
        expected: The right answer.
        tolerance: Absolute difference still accepted.
        slips: Wrong answers that betray a known mistake, and what to say to each.
    """

    def judge(answer: Any) -> str | None:
        try:
            value = float(answer)
        except (TypeError, ValueError):
            return f"a number was expected, got {type(answer).__name__}."
        if abs(value - expected) <= tolerance:
            return None
        for slip, sentence in (slips or {}).items():
            if abs(value - slip) <= tolerance:
                return sentence
        return "too large." if np.isnan(value) or value > expected else "too small."

    return judge
