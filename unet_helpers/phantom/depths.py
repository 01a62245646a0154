"""Where a patient is cut: depths of coronal slices in mm, from the back (negative) to the front."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from unet_helpers.phantom.patient import Patient
from unet_helpers.phantom.shapes import Vector

SLICE_STEP_MM = 2  # slices of a patient are at least so far apart


class Range(NamedTuple):
    """A range of depths in mm."""

    back: int
    front: int


KIDNEYS = Range(-28, 36)
BODY = Range(-74, 118)  # the leanest one
MOST_SLICES = (BODY.front - BODY.back) // SLICE_STEP_MM
WHY_NO_MORE = f"Slices are {SLICE_STEP_MM} mm apart, and no more fit into a body."
SHARE_THROUGH_STONE = 0.7  # of the slices, where there are enough places through a stone


def slice_depths(patient: Patient, n_slices: int) -> list[float]:
    """Depths in mm of some slices of a scan whose slices are 2 mm apart, back to front, no two the same.

    Most of them go through a stone, as far as the stones reach. More than 32 slices leave the kidneys.

    Raises:
        ValueError: If the body is not deep enough for so many.
    """
    if not 1 <= n_slices <= MOST_SLICES:
        raise ValueError(f"n_slices must be 1 to {MOST_SLICES}, got {n_slices}. {WHY_NO_MORE}")
    rng = np.random.default_rng([patient.seed, 2])
    places = scan_depths(n_slices, rng.uniform(0, SLICE_STEP_MM))
    shows = [(places > stone.size.back_mm) & (places < stone.size.front_mm) for stone in patient.stones]
    free = np.ones(len(places), bool)
    for _ in range(n_slices):
        through = [free & shown for shown in shows if (free & shown).any()]
        # any stone, small or large, and then any place through it; or any place at all
        through_stone = through and rng.random() < SHARE_THROUGH_STONE
        pool = through[rng.integers(len(through))] if through_stone else free
        free[rng.choice(np.flatnonzero(pool))] = False
    return [float(depth_mm) for depth_mm in np.round(places[~free], 2)]


def scan_depths(n_slices: int, offset_mm: float) -> Vector:
    """Depths (n,) of a scan through the kidneys, or through as much of the body as n slices need."""
    kidneys_mm = KIDNEYS.front - KIDNEYS.back
    missing_mm = max(0, n_slices * SLICE_STEP_MM - kidneys_mm)
    behind, in_front = KIDNEYS.back - BODY.back, BODY.front - KIDNEYS.front
    back = KIDNEYS.back - missing_mm * behind / (behind + in_front)  # as many more behind as there is room
    n_places = max(n_slices, kidneys_mm // SLICE_STEP_MM)
    return round(back + offset_mm, 2) + SLICE_STEP_MM * np.arange(n_places, dtype=float)
