"""What one image contributes to every score of a data set: a numerator and a denominator each.

A score of the data set is the sum of the numerators over the sum of the denominators, whether it is a mean
over some of the images, a rate over sections or stones, or pooled over pixels. The same two columns give the
score and, drawn anew by patient, its interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from unet_helpers.data import KnownStone
from unet_helpers.metrics import (
    StoneMatch,
    confusion_counts,
    divided,
    equal_area_diameter,
    label_stones,
    match_stones,
    overlap_ratios,
)
from unet_helpers.scores.surface import Spacing, SurfaceScores, pixel_size, surface_scores

__all__ = [
    "SIZE_BORDERS",
    "ImageScores",
    "image_record",
    "pixel_sizes",
    "ratios",
    "score_image_stones",
    "section_records",
    "sections_of",
    "size_bias",
    "size_bin_ratios",
    "stone_records",
    "totals",
]

SIZE_BORDERS = (0.0, 3.0, 5.0, 10.0, math.inf)  # mm, or pixels where no spacing is known

Ratios = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class ImageScores:
    """Counts and distances of one image.

    Attributes:
        tp, fp, fn: Pixels found, invented and missed.
        stones: The match of its sections.
        diameters: Equal-area diameter of each true section, in mm or pixels.
        predicted_diameters: The same of the region matched with it; None where it is missed.
        surface: Distances between the outlines, None where they were not asked for.
    """

    tp: int
    fp: int
    fn: int
    stones: StoneMatch
    diameters: tuple[float, ...]
    predicted_diameters: tuple[float | None, ...]
    surface: SurfaceScores | None

    @property
    def is_positive(self) -> bool:
        return self.tp + self.fn > 0


def pixel_sizes(spacing_mm: Spacing | Sequence[Spacing] | None, n_images: int) -> list[tuple[float, float]]:
    """Height and width of the pixels of each image.

    Args:
        spacing_mm: One number, or a tuple (row_mm, column_mm), for all images; a list with one of these an
            image; None counts in pixels.
        n_images: Number of images.

    Raises:
        ValueError: If a spacing is not positive, the list has another length, or it holds two numbers for two
            images: that could be one (row, column) as well as one number an image.
    """
    if spacing_mm is None or np.isscalar(spacing_mm) or isinstance(spacing_mm, tuple):
        return [pixel_size(1.0 if spacing_mm is None else spacing_mm)] * n_images
    spacings = list(spacing_mm)
    if len(spacings) == n_images == 2 and all(np.ndim(spacing) == 0 for spacing in spacings):
        a, b = spacings
        raise ValueError(
            f"spacing_mm must be clear for two images, got [{a}, {b}], which may mean one (row, "
            f"column) for both or one number an image. Give the tuple ({a}, {b}) for the one, "
            f"[({a}, {a}), ({b}, {b})] for the other."
        )
    if len(spacings) != n_images:
        raise ValueError(
            f"spacing_mm must be one an image ({n_images}), got {len(spacings)}. For one (row, "
            "column) that holds for all images, give a tuple."
        )
    return [pixel_size(spacing) for spacing in spacings]


def score_image_stones(
    prediction: np.ndarray, target: np.ndarray, size: tuple[float, float] = (1.0, 1.0), surface: bool = False
) -> ImageScores:
    """Count one image.

    Args:
        prediction: Bool array (H, W).
        target: Bool array (H, W).
        size: Height and width of a pixel in millimetres.
        surface: Whether to measure the distances between the outlines, too, with a tolerance of 1.

    Returns:
        The scores of the image.

    Raises:
        ValueError: If a mask is not bool or the shapes differ.
    """
    tp, fp, fn = (int(count) for count in confusion_counts(prediction, target))
    stones = match_stones(prediction, target)
    return ImageScores(
        tp,
        fp,
        fn,
        stones,
        diameters=tuple(equal_area_diameter(n, size) for n in stones.n_pixels),
        predicted_diameters=tuple(
            equal_area_diameter(n, size) if n else None for n in stones.n_predicted_pixels
        ),
        surface=surface_scores(prediction, target, size) if surface else None,
    )


def ratios(image: ImageScores, unit: str = "px") -> Ratios:
    """Numerator and denominator of every score of `evaluation.score_masks`, and of the distances.

    Args:
        image: Scores of one image.
        unit: "mm" or "px", part of the names of the distances.

    Returns:
        Dict from the name of the score to (numerator, denominator).
    """
    stones, positive = image.stones, float(image.is_positive)
    overlap = overlap_ratios(image.tp, image.fp, image.fn)
    means = {
        f"{name}_positive_mean": (positive * part / max(whole, 1), positive)
        for name, (part, whole) in overlap.items()
    }
    return {
        **means,
        **{f"{name}_pooled": counts for name, counts in overlap.items()},
        "clean_negative_rate": (float(not positive and not image.fp), 1 - positive),
        "false_positives_per_image": (stones.n_false_positives, 1),
        "section_sensitivity": (stones.n_found, stones.n_sections),
        "section_sensitivity_touched": (stones.n_touched, stones.n_sections),
        **_distance_ratios(image, unit),
    }


def _distance_ratios(image: ImageScores, unit: str) -> Ratios:
    if image.surface is None:
        return {}
    positive, finite = float(image.is_positive), float(image.is_positive and image.tp + image.fp > 0)
    overlap, far, mean = (value if math.isfinite(value) else 0.0 for value in image.surface)
    return {
        f"surface_dice_1{unit}": (positive * overlap, positive),
        f"hd95_{unit}": (finite * far, finite),
        f"asd_{unit}": (finite * mean, finite),
    }


def size_bin_ratios(diameters: Sequence[float], found: Sequence[bool]) -> Ratios:
    """Number found and number of each size bin, by its lower border, of some sections or stones."""
    bins = np.digitize(diameters, SIZE_BORDERS[1:-1])
    n = np.bincount(bins, minlength=len(SIZE_BORDERS) - 1)
    n_found = np.bincount(bins, np.asarray(found, float), minlength=len(n))
    return {
        f"size {low:g}": (float(hit), float(count))
        for (low, _), hit, count in zip(pairwise(SIZE_BORDERS), n_found, n, strict=True)
    }


def size_bias(image: ImageScores) -> tuple[float, float]:
    """Sum over the sections found of predicted - true diameter, and their number."""
    pairs = zip(image.predicted_diameters, image.diameters, strict=True)
    differences = [predicted - true for predicted, true in pairs if predicted is not None]
    return sum(differences), len(differences)


def totals(per_image: Iterable[Ratios]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names of the scores, and their numerators and denominators as float arrays (N, K)."""
    rows: Sequence[Ratios] = list(per_image)
    table = np.array([list(row.values()) for row in rows], float)  # (N, K, 2)
    return list(rows[0]), table[..., 0], table[..., 1]


def image_record(image: ImageScores) -> dict[str, Any]:
    """Scores of one image as plain numbers; NaN where both masks are empty."""
    overlap = overlap_ratios(image.tp, image.fp, image.fn)
    surface, far, mean = map(float, image.surface or (math.nan,) * 3)
    return {
        "dice": divided(*overlap["dice"]),
        "iou": divided(*overlap["iou"]),
        "n_sections": image.stones.n_sections,
        "n_found": image.stones.n_found,
        "n_false_positives": image.stones.n_false_positives,
        "surface_dice": surface,
        "hd95": far,
        "asd": mean,
    }


def section_records(index: int, image: ImageScores) -> list[dict[str, Any]]:
    """Place, size and fate of every true section of image number `index`, as plain numbers."""
    match = image.stones
    sections = zip(
        match.centres,
        image.diameters,
        match.found,
        match.touched,
        image.predicted_diameters,
        match.iou,
        strict=True,
    )
    return [
        {
            "image": index,
            "row": row,
            "column": column,
            "diameter": diameter,
            "found": found,
            "touched": touched,
            "predicted_diameter": predicted,
            "iou": overlap,
        }
        for (row, column), diameter, found, touched, predicted, overlap in sections
    ]


# ------------------------------------------------------------------------------------------------ stones
def sections_of(stones: Sequence[KnownStone], target: np.ndarray, where: str = "") -> list[int]:
    """Number of the section, in the order of `label_stones`, that each known stone shows in an image.

    Args:
        stones: The stones of one image.
        target: Bool array (H, W).
        where: Added to the argument's name in the message.

    Returns:
        For each stone the section at its row and column, or else the nearest one; 0 where the mask is empty.

    Raises:
        ValueError: If a stone lies outside the image.
    """
    height, width = target.shape
    for stone in stones:
        if not (-0.5 <= stone.row <= height - 0.5 and -0.5 <= stone.column <= width - 0.5):
            raise ValueError(
                f"stones{where} must lie inside the image of {height} x {width} pixels, got "
                f"{stone.stone} at row {stone.row:g}, column {stone.column:g}. Their places are "
                "pixels of the file: read the masks at full size."
            )
    places = np.argwhere(target) if stones else np.empty((0, 2))
    if not len(places):
        return [0] * len(stones)
    labels = label_stones(target)[0][tuple(places.T)]
    return [int(labels[((places - (stone.row, stone.column)) ** 2).sum(1).argmin()]) for stone in stones]


def stone_records(
    stones: Sequence[Sequence[KnownStone]], targets: Sequence[np.ndarray], images: Sequence[ImageScores]
) -> list[dict[str, Any]]:
    """Size and fate of every known stone that shows a section in one of the images, as plain numbers.

    Returns:
        A dict a stone: its name, `diameter_mm`, the index of the first `image` with a section of it, its
        `sections` by their place in the list of all sections of all images, their number `n_sections`, and
        how many of them were found, `n_found`. One is enough to find the stone.
    """
    starts = np.cumsum([0, *(image.stones.n_sections for image in images)]).tolist()
    found = [hit for image in images for hit in image.stones.found]
    records: dict[str, dict[str, Any]] = {}
    for i, (known, target) in enumerate(zip(stones, targets, strict=True)):
        for stone, section in zip(known, sections_of(known, target, f" {i}"), strict=True):
            if section:
                new = {"stone": stone.stone, "diameter_mm": 0.0, "image": i, "sections": []}
                record = records.setdefault(stone.stone, new)
                record["diameter_mm"] = max(record["diameter_mm"], stone.diameter_mm)
                record["sections"].append(starts[i] + section - 1)
    for record in records.values():
        record["sections"] = sorted(set(record["sections"]))
        record["n_sections"] = len(record["sections"])
        record["n_found"] = sum(found[section] for section in record["sections"])
    return list(records.values())
