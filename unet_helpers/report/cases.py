"""The images of a report: which are worth looking at, and the pictures and words for them."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from unet_helpers.metrics import label_stones, predicted_mask
from unet_helpers.pictures.rendering import (
    Region,
    RenderSettings,
    find_false_alarms,
    find_missed,
    find_regions,
    render,
)

__all__ = ["Case", "Group", "Tile", "case_tile", "choose_groups", "data_uri", "focus", "missed_tiles"]

N_CASES = 4  # of the worst, of the middle, of the best, of the stone-free with most false alarms
TILE_PX = 256
MISSED_TILE_PX = ((60, TILE_PX), (200, 128), (math.inf, 72))  # up to so many missed sections: side of one


@dataclass(frozen=True)
class Case:
    """One image, and what was found out about it."""

    index: int
    name: str
    image: np.ndarray  # uint8 (H, W)
    target: np.ndarray  # bool (H, W)
    probability: np.ndarray  # float (H, W) in [0, 1]
    record: Mapping[str, Any]
    threshold: float
    min_pixels: int

    @property
    def prediction(self) -> np.ndarray:
        return predicted_mask(self.probability, self.threshold, self.min_pixels)

    @property
    def label(self) -> str:
        """Number in the list, from 1, and the name, cut in the middle where it is long."""
        short = self.name if len(self.name) <= 30 else f"{self.name[:13]}…{self.name[-15:]}"
        return f"image {self.index + 1}: {short}"


class Group(NamedTuple):
    """Some cases of the gallery under one heading."""

    heading: str
    sentence: str
    cases: list[Case]


@dataclass(frozen=True)
class Tile:
    """One picture of the page and its words, all of them plain text."""

    name: str  # in full, for the tooltip
    alt: str
    strong: str
    soft: str
    source: str
    size_px: int
    index: int  # of the image


# ------------------------------------------------------------------------------------------------- choices
def choose_groups(cases: Sequence[Case]) -> list[Group]:
    """Headings, sentences and images of the gallery; no image twice, no group without an image."""
    positive = sorted((case for case in cases if case.record["n_sections"]), key=lambda c: c.record["dice"])
    worst, rest = positive[:N_CASES], positive[N_CASES:]
    best, rest = rest[-N_CASES:][::-1], rest[:-N_CASES]
    middle = max(0, len(rest) // 2 - N_CASES // 2)
    alarmed = [case for case in cases if not case.record["n_sections"] and case.record["n_false_positives"]]
    alarmed.sort(key=lambda case: -case.record["n_false_positives"])
    of_all = f"of {len(positive)} images with a stone, by Dice."
    most_alarms = (
        f"The {len(alarmed[:N_CASES])} with the most false alarms of {len(alarmed)} images without a stone "
        "that have any."
    )
    groups = [
        Group("Worst", f"The {len(worst)} worst {of_all}", worst),
        Group("Median", f"From the middle {of_all}", rest[middle : middle + N_CASES]),
        Group("Best", f"The {len(best)} best {of_all}", best),
        Group("False alarms", most_alarms, alarmed[:N_CASES]),
    ]
    return [group for group in groups if group.cases]


def focus(case: Case) -> Region:
    """What a picture is enlarged around: a missed section, or any, or a false alarm, or the whole image."""
    missed = [region for _, region in find_missed(case.prediction, case.target)]
    alarms = [region for _, region in find_false_alarms(case.prediction, case.target)]
    if regions := missed or find_regions(case.target) or alarms:
        return max(regions, key=lambda region: region.side)
    height, width = case.target.shape
    return Region((height - 1) / 2, (width - 1) / 2, max(height, width))


# ---------------------------------------------------------------------------------------------- pictures
def data_uri(kind: str, content: bytes) -> str:
    """A file as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _picture(case: Case, region: Region, size_px: int) -> str:
    """The image around a place, with hits, misses and false alarms, as the address of a JPEG."""
    zoom = float(np.clip(max(case.image.shape) / region.side / 6, 1, 8))
    settings = RenderSettings(
        case.threshold, case.min_pixels, zoom=zoom, centre=(region.row, region.column), size_px=size_px
    )
    picture = render(case.image, target=case.target, probability=case.probability, settings=settings)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=85, subsampling=0)
    return data_uri("image/jpeg", buffer.getvalue())


def case_tile(case: Case) -> Tile:
    """An image of the gallery and its scores in words."""
    record = case.record
    words = "no stone"
    if record["n_sections"]:
        found = f"{record['n_found']} of {record['n_sections']} sections found"
        words = f"Dice {record['dice']:.3f}, {found}"
    n_alarms = record["n_false_positives"]
    words += f", {n_alarms} false alarm{'' if n_alarms == 1 else 's'}"
    source = _picture(case, focus(case), TILE_PX)
    return Tile(case.name, f"{case.label}: {words}", words, case.label, source, TILE_PX, case.index)


# ------------------------------------------------------------------------------------------ missed sections
def missed_tiles(cases: Sequence[Case], scores: Mapping[str, Any]) -> list[Tile]:
    """A tile for every missed section, the largest first; smaller ones where they are many."""
    missed = sorted(_missed(scores["per_section"]), key=lambda item: -item[0]["diameter"])
    size_px = next(size for most, size in MISSED_TILE_PX if len(missed) <= most)
    return [_missed_tile(cases[one["image"]], one, i, size_px, scores["unit"]) for one, i in missed]


def _missed(per_section: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], int]]:
    """The records of the missed sections, each with its number in the labels of its image, from 1."""
    for _, sections in groupby(per_section, itemgetter("image")):
        yield from ((one, number) for number, one in enumerate(sections, 1) if not one["found"])


def _missed_tile(case: Case, section: Mapping[str, Any], number: int, size_px: int, unit: str) -> Tile:
    this = label_stones(case.target)[0] == number
    size, highest = f"{section['diameter']:.1f} {unit}", f"{float(case.probability[this].max()):.2f}"
    words = f"{size}, highest probability {highest}"
    strong, soft = words, case.label
    if size_px < TILE_PX:  # no room for sentences; the full name is in the tooltip
        strong, soft = f"{size}, {highest}", f"image {case.index + 1}"
    source = _picture(case, find_regions(this)[0], size_px)
    alt = f"Missed section in {case.label}: {words}"
    return Tile(case.name, alt, strong, soft, source, size_px, case.index)
