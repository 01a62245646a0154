"""What happened in one image, to one section, to one stone: counted once, and kept as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from unet_helpers.data import KnownStone
from unet_helpers.metrics import (
    StoneMatch,
    confusion_counts,
    divided,
    label_stones,
    match_stones,
    overlap_ratios,
)
from unet_helpers.scores.surface import Spacing, SurfaceScores, pixel_size, surface_scores

__all__ = [
    "ImageScores",
    "equal_area_diameter",
    "image_record",
    "one_an_image",
    "pixel_sizes",
    "score_image",
    "section_records",
    "sections_of",
    "stone_records",
]


@dataclass(frozen=True)
class ImageScores:
    """Counts and distances of one image.

    Attributes:
        tp, fp, fn: Pixels found, invented and missed.
        match: The match of its sections.
        diameters: Equal-area diameter of each true section, in mm or pixels.
        predicted_diameters: The same of the region matched with it; None where it is missed.
        surface: Distances between the outlines, None where they were not asked for.
    """

    tp: int
    fp: int
    fn: int
    match: StoneMatch
    diameters: tuple[float, ...]
    predicted_diameters: tuple[float | None, ...]
    surface: SurfaceScores | None

    @property
    def is_positive(self) -> bool:
        return self.tp + self.fn > 0


def equal_area_diameter(n_pixels: float, spacing_mm: tuple[float, float] = (1.0, 1.0)) -> float:
    """Diameter of the circle that has the area of so many pixels.

    A clinical report gives the longest diameter instead, which is larger for every stone that is not round.

    Args:
        n_pixels: Area in pixels.
        spacing_mm: Height and width of a pixel in millimetres; by default the diameter is in pixels.
    """
    return 2 * math.sqrt(n_pixels * spacing_mm[0] * spacing_mm[1] / math.pi)


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
    if spacing_mm is None:
        return [(1.0, 1.0)] * n_images
    one_for_all = bool(np.isscalar(spacing_mm)) or isinstance(spacing_mm, tuple)
    if one_for_all:
        return [pixel_size(cast("Spacing", spacing_mm))] * n_images
    spacings = list(cast("Sequence[Spacing]", spacing_mm))
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


def one_an_image(
    name: str, values: float | Sequence[float], n_images: int, most: float = math.inf
) -> list[float]:
    """One number an image, from one for all or a list.

    Args:
        name: Of the argument, for the message.
        values: One number, or a list of as many as there are images.
        n_images: Number of images.
        most: Each number must lie between 0 and this.

    Raises:
        ValueError: If one does not, or the list has another length.
    """
    listed = [values] * n_images if np.ndim(values) == 0 else values
    numbers = [float(value) for value in cast("Sequence[float]", listed)]
    if len(numbers) != n_images:
        raise ValueError(f"{name} must be one number, or one an image ({n_images}), got {len(numbers)}.")
    for i, number in enumerate(numbers):
        if not (math.isfinite(number) and 0 <= number <= most):
            need = "not be negative" if math.isinf(most) else f"lie in [0, {most:g}]"
            raise ValueError(f"{name} must {need}, got {number:g} for image {i}.")
    return numbers


def score_image(
    prediction: np.ndarray, target: np.ndarray, size: tuple[float, float] = (1.0, 1.0), surface: bool = False
) -> ImageScores:
    """Count one image.

    Args:
        prediction: Bool array (H, W).
        target: Bool array (H, W).
        size: Height and width of a pixel in millimetres.
        surface: Whether to measure the distances between the outlines, too, with a tolerance of 1.

    Raises:
        ValueError: If a mask is not bool or the shapes differ.
    """
    tp, fp, fn = (int(count) for count in confusion_counts(prediction, target))
    match = match_stones(prediction, target)
    return ImageScores(
        tp=tp,
        fp=fp,
        fn=fn,
        match=match,
        diameters=tuple(equal_area_diameter(n, size) for n in match.n_pixels),
        predicted_diameters=tuple(
            equal_area_diameter(n, size) if n else None for n in match.n_predicted_pixels
        ),
        surface=surface_scores(prediction, target, size) if surface else None,
    )


def image_record(image: ImageScores) -> dict[str, Any]:
    """Scores of one image as plain numbers; NaN where both masks are empty."""
    overlap = overlap_ratios(image.tp, image.fp, image.fn)
    surface, far, mean = map(float, image.surface or (math.nan,) * 3)
    return {
        "dice": divided(*overlap["dice"]),
        "iou": divided(*overlap["iou"]),
        "n_sections": image.match.n_sections,
        "n_found": image.match.n_found,
        "n_false_positives": image.match.n_false_positives,
        "surface_dice": surface,
        "hd95": far,
        "asd": mean,
    }


def section_records(images: Sequence[ImageScores]) -> list[dict[str, Any]]:
    """Place, size and fate of every true section of all images, as plain numbers."""
    return [
        {
            "image": i,
            "row": image.match.centres[k][0],
            "column": image.match.centres[k][1],
            "diameter": image.diameters[k],
            "found": image.match.found[k],
            "touched": image.match.touched[k],
            "predicted_diameter": image.predicted_diameters[k],
            "iou": image.match.iou[k],
        }
        for i, image in enumerate(images)
        for k in range(image.match.n_sections)
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
    if not stones or not target.any():
        return [0] * len(stones)
    places, labels = np.argwhere(target), label_stones(target)[0][target]  # (n, 2) and (n,), row by row
    squared = [((places - (stone.row, stone.column)) ** 2).sum(1) for stone in stones]
    return [int(labels[distances.argmin()]) for distances in squared]


def stone_records(
    stones: Sequence[Sequence[KnownStone]] | None,
    targets: Sequence[np.ndarray],
    images: Sequence[ImageScores],
) -> list[dict[str, Any]]:
    """Size and fate of every known stone that shows a section in one of the images, as plain numbers.

    Args:
        stones: The known stones of each image, with their places there; None if none is known.
        targets: Bool arrays (H, W).
        images: Their scores.

    Returns:
        A dict a stone: its name, `diameter_mm`, the index of the first `image` with a section of it, its
        `sections` by their place in the list of all sections of all images, their number `n_sections`, and
        how many of them were found, `n_found`. One is enough to find the stone.

    Raises:
        ValueError: If there is not one list an image, or a stone lies outside its image.
    """
    stones = [()] * len(targets) if stones is None else stones
    if len(stones) != len(targets):
        raise ValueError(f"stones must be one list an image ({len(targets)}), got {len(stones)}.")
    starts = np.cumsum([0, *(image.match.n_sections for image in images)]).tolist()
    found = [hit for image in images for hit in image.match.found]
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
