"""Masks that are files: which of their values are meant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_LABELS", "label_mask", "labels_in_words", "whole_numbers"]

MOST_LABELS = 32  # more values than this are greys or a picture, and no labels


def whole_numbers(path: Path, values: NDArray[Any]) -> NDArray[np.int64]:
    """The labels of a mask file, as whole numbers.

    Raises:
        ValueError: If they are none, or too many to be labels.
    """
    labels = (
        np.nan_to_num(np.rint(values)).astype(np.int64)
        if values.dtype.kind == "f"
        else values.astype(np.int64)
    )
    if values.dtype.kind == "f" and not np.array_equal(labels, values):
        raise ValueError(f"{path} must hold whole numbers as labels, got {values[labels != values][0]:g}.")
    found = np.unique(labels)
    if len(found) > MOST_LABELS:
        raise ValueError(
            f"{path} must hold labels, got {len(found)} values from {found[0]} to {found[-1]}: a picture."
        )
    return labels


def label_mask(path: Path, values: NDArray[Any], classes: Sequence[str]) -> NDArray[np.bool_]:
    """Where a mask file shows one of the classes: labels by number; without classes, whatever is not 0.

    Raises:
        ValueError: If the values are no labels, or a class is no number.
    """
    labels = whole_numbers(path, values)
    if not classes:
        return np.asarray(labels != 0)
    if wrong := [name for name in classes if not name.isdecimal()]:
        raise ValueError(f"class must be the number of a label, got {wrong[0]!r}.")
    return np.asarray(np.isin(labels, [int(name) for name in classes]))


def labels_in_words(found: dict[int, int]) -> str:
    """Which labels occur, and in how many files."""
    return ", ".join(f"{label} in {n}" for label, n in sorted(found.items()))
