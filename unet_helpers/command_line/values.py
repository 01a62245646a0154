"""What a value on the command line may be, with the words that say what is wrong with another."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

from unet_helpers.folders.mask_rules import MOST_CLASSES

__all__ = ["amount", "count", "folds", "level_and_width", "n_classes", "said"]


def said(kind: Callable[[str], tuple[object, ...]]) -> Callable[[str], tuple[object, ...]]:
    """The reader of a value, with its own words for what is wrong."""

    def read(text: str) -> tuple[object, ...]:
        try:
            return kind(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def n_classes(text: str) -> int:
    """A number of classes."""
    if count(text) > MOST_CLASSES:
        raise argparse.ArgumentTypeError(f"must be at most {MOST_CLASSES}, got {text!r}")
    return int(text)


def amount(text: str) -> float:
    """A positive number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text!r}")
    return value


def level_and_width(text: str) -> tuple[float, float]:
    """A window."""
    try:
        level, width = map(float, text.split(","))
    except ValueError:
        level = width = math.nan
    if not (math.isfinite(level) and 0 < width < math.inf):
        raise argparse.ArgumentTypeError(
            f"must be level,width with a positive width, such as 40,400, got {text!r}"
        )
    return level, width


def folds(text: str) -> int:
    """A number of folds of a cross-validation."""
    if not (text.isdecimal() and int(text) > 2):
        raise argparse.ArgumentTypeError(
            f"must be a whole number of at least 3 (to train, validate and test), got {text!r}"
        )
    return int(text)
