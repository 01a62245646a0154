"""From a file of a phantom data set back to its patient: the slice in HU, and what lies where in it."""

from __future__ import annotations

import csv
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unet_helpers.data import Pair
from unet_helpers.phantom.dataset import patient_of_set
from unet_helpers.phantom.patient import Patient
from unet_helpers.phantom.scanner import Slice, find, make_grid, render

__all__ = ["LENDER", "ORGANS", "Place", "Scan", "find_place", "name_organs", "scan_again"]

CORTEX_MM = 8.0  # how deep below its surface a kidney's medulla begins, see `tissues.FILLINGS`
SEED_STEP = 10_000  # patients of a data set are numbered from its seed times this
ORGANS = {  # what a student can point at, and the names of the parts that make it up
    "lung": ("lungs", "vessels of the lungs"),
    "liver": ("right lobe of the liver", "left lobe of the liver"),
    "spleen": ("spleen",),
    "stomach": ("stomach", "outlet of the stomach"),
    "kidney": ("kidney",),
    "sinus": (
        "fat of the sinus",
        "fat of the hilum",
        "fat of a calyx",
        "calyx",
        "vessel of a calyx",
        "pelvis",
    ),
    "psoas": ("psoas",),
    "spine": ("body of a vertebra", "disc"),
    "rib": ("rib",),
    "hip bone": ("hip bone",),
    "colon": ("colon",),
    "bowel": ("small bowel", "other loops of the small bowel"),
    "fat": ("fat", "fat of the kidney", "fat of the mediastinum"),
    "aorta": ("aorta",),
    "vena cava": ("vena cava",),
}


class Place(NamedTuple):
    """Who was cut, and at which depth."""

    patient: Patient
    depth_mm: float


LENDER = (3, 4.0)  # number and depth of the patient who stands in where a data set is no phantom


class Scan(NamedTuple):
    """A slice as the scanner gave it, before its window, and where it was cut."""

    place: Place
    slice: Slice


def find_place(pair: Pair) -> Place | None:
    """Who a pair of files shows, as the `slices.csv` beside it says; None if it is no phantom's."""
    table = pair.image_path.parent / "slices.csv"
    if not table.is_file():
        return None
    with table.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            if row.get("stem") == pair.image_path.stem and {"patient", "depth_mm"} <= row.keys():
                seed, index = divmod(int(row["patient"]), SEED_STEP)
                return Place(patient_of_set(index, seed), float(row["depth_mm"]))
    return None


def scan_again(pair: Pair, size: int = 256) -> Scan:
    """Scan the patient of a pair at the same place, for the numbers in HU that the files no longer hold.

    Args:
        pair: Of a phantom data set. Files of other data sets do not know their HU: for them, a patient of
            the phantom stands in, and a printed sentence says so.
        size: Side of the square slice in pixels.
    """
    place = find_place(pair)
    if place is None:
        print("These files hold no CT numbers any more, so a patient of the phantom stands in here.")
        place = Place(patient_of_set(LENDER[0], 0), LENDER[1])
    return Scan(place, render(place.patient, place.depth_mm, size))


def name_organs(place: Place, size: int = 256) -> dict[str, NDArray[np.bool_]]:
    """Where the organs of `ORGANS` are seen in a slice: the parts of the body, cut at its depth.

    A part that another one covers is not seen there. The kidney is told apart into "cortex" and "medulla" by
    the depth below its surface.

    Returns:
        Bool masks (size, size) by name; they do not overlap. Organs that the slice misses are not in it.
    """
    grid = make_grid(place.patient, place.depth_mm, size)
    names = [part.name for part in place.patient.parts]
    top = np.full((size, size), -1)  # number of the part that is seen
    below = np.zeros((size, size), np.float32)  # depth below the surface of that part, mm
    for number, part in enumerate(place.patient.parts):
        box = find(part.solid, grid)
        if box is not None:
            depth = part.solid(grid.x[box], grid.y, grid.z[box])
            top[box][depth > 0] = number
            below[box][depth > 0] = depth[depth > 0]
    seen = {
        organ: np.isin(top, [i for i, name in enumerate(names) if name in parts])
        for organ, parts in ORGANS.items()
    }
    kidney = seen.pop("kidney")
    seen |= {"cortex": kidney & (below < CORTEX_MM), "medulla": kidney & (below >= CORTEX_MM)}
    return {organ: mask for organ, mask in seen.items() if mask.any()}
