"""What one image contributes to every score of a data set: a numerator and a denominator each.

A score of the data set is the sum of the numerators over the sum of the denominators, whether it is a mean
over some of the images, a rate over stones or pooled over pixels. The same two columns give the score and,
drawn anew by patient, its interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unet_helpers.metrics import StoneMatch, confusion_counts, equal_area_diameter, match_stones
from unet_helpers.surface import Spacing, SurfaceScores, pixel_size, surface_scores

__all__ = ["SIZE_BORDERS", "STRICT_IOU", "ImageScores", "image_record", "pixel_sizes", "ratios",
           "score_image_stones", "size_bias", "size_bin_ratios", "stone_records", "totals"]

SIZE_BORDERS = (0.0, 3.0, 5.0, 10.0, math.inf)  # mm, or pixels where no spacing is known
STRICT_IOU = 0.1

Ratios = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class ImageScores:
    """Counts and distances of one image.

    Attributes:
        tp, fp, fn: Pixels found, invented and missed.
        stones: Match by at least one shared pixel.
        n_found_strict: Stones found with an IoU of at least 0.1.
        diameters: Equal-area diameter of each true stone, in mm or pixels.
        predicted_diameters: The same of the predicted regions that hit it, together; None where it is missed.
        surface: Distances between the outlines, None where they were not asked for.
    """

    tp: int
    fp: int
    fn: int
    stones: StoneMatch
    n_found_strict: int
    diameters: tuple[float, ...]
    predicted_diameters: tuple[float | None, ...]
    surface: SurfaceScores | None

    @property
    def is_positive(self) -> bool:
        return self.tp + self.fn > 0


def pixel_sizes(spacing_mm: Spacing | Sequence[Spacing] | None, n_images: int) -> list[tuple[float, float]]:
    """Height and width of the pixels of each image.

    Args: spacing_mm: One number, or a tuple (row_mm, column_mm), for all images; a list with one of these an
        image;
            None counts in pixels.
        n_images: Number of images.

    Raises:
        ValueError: If a spacing is not positive or the list has another length.
    """
    if spacing_mm is None or np.isscalar(spacing_mm) or isinstance(spacing_mm, tuple):
        return [pixel_size(1.0 if spacing_mm is None else spacing_mm)] * n_images
    spacings = list(spacing_mm)
    if len(spacings) != n_images:
        raise ValueError(f"spacing_mm must be one an image ({n_images}), got {len(spacings)}. For one (row, "
                         "column) that holds for all images, give a tuple.")
    return [pixel_size(spacing) for spacing in spacings]


def score_image_stones(prediction: np.ndarray, target: np.ndarray, size: tuple[float, float] = (1.0, 1.0),
                       surface: bool = False) -> ImageScores:
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
        tp, fp, fn, stones,
        n_found_strict=sum(overlap >= STRICT_IOU for overlap in stones.best_iou),
        diameters=tuple(equal_area_diameter(n, size) for n in stones.n_pixels),
        predicted_diameters=tuple(equal_area_diameter(n, size) if n else None
                                  for n in stones.n_predicted_pixels),
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
    tp, fp, fn, stones = image.tp, image.fp, image.fn, image.stones
    positive = float(image.is_positive)
    overlap = {"dice": (2 * tp, 2 * tp + fp + fn), "iou": (tp, tp + fp + fn), "precision": (tp, tp + fp),
               "recall": (tp, tp + fn)}
    means = {f"{name}_positive_mean": (positive * part / max(whole, 1), positive)
             for name, (part, whole) in overlap.items()}
    return {
        **means,
        **{f"{name}_pooled": counts for name, counts in overlap.items()},
        "clean_negative_rate": (float(not positive and not fp), 1 - positive),
        "false_positives_per_image": (stones.n_false_positives, 1),
        "stone_sensitivity": (stones.n_found, stones.n_stones),
        "stone_sensitivity_iou01": (image.n_found_strict, stones.n_stones),
        **_distance_ratios(image, unit),
    }


def _distance_ratios(image: ImageScores, unit: str) -> Ratios:
    if image.surface is None:
        return {}
    positive, finite = float(image.is_positive), float(image.is_positive and image.tp + image.fp > 0)
    overlap, far, mean = (value if math.isfinite(value) else 0.0 for value in image.surface)
    return {f"surface_dice_1{unit}": (positive * overlap, positive), f"hd95_{unit}": (finite * far, finite),
            f"asd_{unit}": (finite * mean, finite)}


def size_bin_ratios(image: ImageScores) -> Ratios:
    """Stones found and stones of each size bin, by its lower border."""
    bins = np.digitize(image.diameters, SIZE_BORDERS[1:-1])
    n_stones = np.bincount(bins, minlength=len(SIZE_BORDERS) - 1)
    n_found = np.bincount(bins, image.stones.found, minlength=len(n_stones))
    return {f"size {low:g}": (float(hit), float(n))
            for low, hit, n in zip(SIZE_BORDERS, n_found, n_stones, strict=False)}


def size_bias(image: ImageScores) -> tuple[float, float]:
    """Sum over the stones found of predicted - true diameter, and their number."""
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
    n_any = image.tp + image.fp + image.fn
    overlap, far, mean = map(float, image.surface or (math.nan,) * 3)
    return {"dice": 2 * image.tp / (n_any + image.tp) if n_any else math.nan,
            "iou": image.tp / n_any if n_any else math.nan,
            "n_stones": image.stones.n_stones, "n_found": image.stones.n_found,
            "n_false_positives": image.stones.n_false_positives,
            "surface_dice": overlap, "hd95": far, "asd": mean}


def stone_records(index: int, image: ImageScores) -> list[dict[str, Any]]:
    """Place, size and fate of every true stone of image number `index`, as plain numbers."""
    stones = zip(image.stones.centres, image.diameters, image.stones.found, image.predicted_diameters,
                 image.stones.best_iou, strict=True)
    return [{"image": index, "row": row, "column": column, "diameter": diameter, "found": found,
             "predicted_diameter": predicted, "iou": overlap}
            for (row, column), diameter, found, predicted, overlap in stones]
