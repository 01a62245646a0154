"""A second task with the same slices: the class of every pixel, of kidney, stone and bone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unet_helpers.phantom import organs
from unet_helpers.phantom.anatomy import Part
from unet_helpers.phantom.patient import Patient
from unet_helpers.phantom.scanner import Slice, find, make_grid

__all__ = ["CLASSES", "label_slice"]

CLASSES = {"kidney": 1, "stone": 2, "bone": 3}
FILLINGS = {"kidney": 1, "bone": 3, "rib": 3}
_NAMES = [organ.name for organ in organs.KIDNEY]
INSIDE = frozenset(_NAMES[_NAMES.index("kidney") + 1 :])  # painted over a kidney, and part of it


def label_slice(patient: Patient, depth_mm: float, cut: Slice) -> NDArray[np.uint8]:
    """The classes of a slice, from the solids that were painted: each over those before it.

    A kidney is all within its surface, calyces, pelvis, fat and cysts too. Discs and the spinal canal are no
    bone. Stones are where the mask of the slice says so, and lie above all else.

    Args:
        patient: Who was scanned.
        depth_mm: The depth at which `scanner.render` cut.
        cut: What it returned.

    Returns:
        Labels (H, W): 0 for background, and the numbers of `CLASSES`.
    """
    grid = make_grid(patient, depth_mm, len(cut.mask))
    labels = np.zeros(cut.mask.shape, np.uint8)
    for part in patient.parts:
        box = find(part.solid, grid)
        if box is not None and part.name not in INSIDE:
            labels[box][part.solid(grid.x[box], grid.y, grid.z[box]) >= 0] = _class_of(part)
    labels[cut.mask] = CLASSES["stone"]
    return labels


def _class_of(part: Part) -> int:
    return FILLINGS.get(part.filling, 0)
