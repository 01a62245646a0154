"""From what was counted in each image to the scores of a data set.

Every score is the sum of a numerator over the images, divided by the sum of a denominator, whether it is a
mean over some of the images, a rate over sections or stones, or pooled over pixels. The same two columns give
the score and, drawn anew by patient, its interval.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from unet_helpers.metrics import divided, overlap_ratios
from unet_helpers.scores.curves import agreement
from unet_helpers.scores.intervals import bootstrap_intervals
from unet_helpers.scores.records import ImageScores

__all__ = [
    "SIZE_BORDERS",
    "as_columns",
    "compared_ratios",
    "distance_counts",
    "flat_scores",
    "image_ratios",
    "score_intervals",
    "size_agreement",
]

SIZE_BORDERS = (0.0, 3.0, 5.0, 10.0, math.inf)  # mm, or pixels where no spacing is known
N_OUTLIERS = 10  # at most so many are named

Ratios = dict[str, tuple[float, float]]  # name of the score: numerator, denominator
Stone = dict[str, Any]  # see `records.stone_records`


# ------------------------------------------------------------------------------------- what an image counts
def image_ratios(image: ImageScores, unit: str = "px") -> Ratios:
    """Numerator and denominator of every score of `evaluation.score_masks`, and of the distances.

    Args:
        image: Scores of one image.
        unit: "mm" or "px", part of the names of the distances.
    """
    match, positive = image.match, float(image.is_positive)
    overlap = overlap_ratios(image.tp, image.fp, image.fn)
    means = {
        f"{name}_positive_mean": (positive * part / max(whole, 1), positive)
        for name, (part, whole) in overlap.items()
    }
    return {
        **means,
        **{f"{name}_pooled": counts for name, counts in overlap.items()},
        "clean_negative_rate": (float(not positive and not image.fp), 1 - positive),
        "false_positives_per_image": (match.n_false_positives, 1),
        "section_sensitivity": (match.n_found, match.n_sections),
        "section_sensitivity_touched": (match.n_touched, match.n_sections),
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


def compared_ratios(record: Mapping[str, Any]) -> Ratios:
    """Numerator and denominator of what `comparison.compare` compares, from `records.image_record`."""
    positive = record["n_sections"] > 0
    return {
        "dice_positive_mean": (record["dice"] if positive else 0.0, float(positive)),
        "section_sensitivity": (record["n_found"], record["n_sections"]),
        "false_positives_per_image": (record["n_false_positives"], 1.0),
    }


def _rows(images: Sequence[ImageScores], stones: Sequence[Sequence[Stone]], unit: str) -> list[Ratios]:
    """The ratios of each image; a stone that several images show counts for the first of them, once."""
    return [
        {**image_ratios(image, unit), "stone_sensitivity": (sum(s["n_found"] > 0 for s in mine), len(mine))}
        for image, mine in zip(images, stones, strict=True)
    ]


def _by_first_image(stones: Sequence[Stone], n_images: int) -> list[list[Stone]]:
    lists: list[list[Stone]] = [[] for _ in range(n_images)]
    for stone in stones:
        lists[stone["image"]].append(stone)
    return lists


# ------------------------------------------------------------------------------------- sums and intervals
def as_columns(rows: Iterable[Ratios]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names of the K scores, and the numerators and denominators of N images as float arrays (N, K)."""
    rows = list(rows)
    table = np.array([list(row.values()) for row in rows], float)  # (N, K, 2)
    return list(rows[0]), table[..., 0], table[..., 1]


def flat_scores(images: Sequence[ImageScores], stones: Sequence[Stone], unit: str) -> dict[str, float]:
    """The scores that are one number each, and the counts they stand on; see `evaluation.score_masks`."""
    names, above, below = as_columns(_rows(images, _by_first_image(stones, len(images)), unit))
    n_sections = sum(image.match.n_sections for image in images)
    return {
        "n_images": len(images),
        "n_positive": sum(image.is_positive for image in images),
        "n_sections": n_sections,
        "n_sections_unidentified": n_sections - len({i for stone in stones for i in stone["sections"]}),
        "n_stones": len(stones),
        **dict(zip(names, divided(above.sum(0), below.sum(0)).tolist(), strict=True)),
        "n_merged": sum(image.match.n_merged for image in images),
        "n_split": sum(image.match.n_split for image in images),
    }


def distance_counts(images: Sequence[ImageScores]) -> dict[str, int]:
    """In how many images with a stone distances can be measured, and in how many nothing is predicted."""
    positive = [image for image in images if image.is_positive]
    n_distances = sum(image.tp + image.fp > 0 for image in positive)
    return {"n_distances": n_distances, "n_distances_infinite": len(positive) - n_distances}


def score_intervals(
    images: Sequence[ImageScores],
    stones: Sequence[Stone],
    unit: str,
    groups: Sequence[Hashable],
    n_resamples: int,
    seed: int,
) -> tuple[dict[str, list[float]], list[dict[str, Any]], list[float]]:
    """Intervals of the flat scores, the size bins, and the interval of the size bias, by one bootstrap.

    Args:
        images: Scores of each image.
        stones: What `records.stone_records` returned for them; empty where no stone is known.
        unit: "mm" or "px", of the diameters of the sections.
        groups, n_resamples, seed: See `evaluation.evaluate`.

    Returns:
        By the name of each score [low, high]; a dict a size bin, see `evaluation.evaluate`; [low, high].

    Raises:
        ValueError: If there is not one group an image.
    """
    by_image = _by_first_image(stones, len(images))
    rows = _rows(images, by_image, unit)
    for row, image, mine in zip(rows, images, by_image, strict=True):
        if stones:
            sizes, found = [s["diameter_mm"] for s in mine], [s["n_found"] > 0 for s in mine]
        else:
            sizes, found = list(image.diameters), list(image.match.found)
        row.update(_size_bin_ratios(sizes, found), bias=_bias_ratio(image))
    names, above, below = as_columns(rows)
    ends = bootstrap_intervals(above, below, groups, n_resamples, seed)
    intervals = dict(zip(names, ends.tolist(), strict=True))
    counts = dict(zip(names, zip(above.sum(0), below.sum(0), strict=True), strict=True))
    kind = {"of": "stones", "unit": "mm"} if stones else {"of": "sections", "unit": unit}
    bins = [
        {**kind, **_size_bin(low, high, *counts[f"size {low:g}"], intervals.pop(f"size {low:g}"))}
        for low, high in pairwise(SIZE_BORDERS)
    ]
    return intervals, bins, intervals.pop("bias")


# ------------------------------------------------------------------------------------------------- sizes
def _size_bin_ratios(diameters: Sequence[float], found: Sequence[bool]) -> Ratios:
    """Number found and number of each size bin, by its lower border, of some sections or stones."""
    bins = np.digitize(diameters, SIZE_BORDERS[1:-1])
    n = np.bincount(bins, minlength=len(SIZE_BORDERS) - 1)
    n_found = np.bincount(bins, np.asarray(found, float), minlength=len(n))
    return {
        f"size {low:g}": (float(n_hit), float(n_all))
        for low, n_hit, n_all in zip(SIZE_BORDERS[:-1], n_found, n, strict=True)
    }


def _size_bin(low: float, high: float, n_found: float, n: float, interval: list[float]) -> dict[str, Any]:
    return {
        "low": low,
        "high": None if math.isinf(high) else high,
        "n": int(n),
        "n_found": int(n_found),
        "sensitivity": divided(n_found, n),
        "interval": interval,
    }


def _bias_ratio(image: ImageScores) -> tuple[float, float]:
    """Sum over the sections found of predicted - true diameter, and their number."""
    pairs = zip(image.predicted_diameters, image.diameters, strict=True)
    differences = [predicted - true for predicted, true in pairs if predicted is not None]
    return sum(differences), len(differences)


def size_agreement(
    sections: Sequence[dict[str, Any]], sizes: Sequence[tuple[float, float]]
) -> dict[str, Any]:
    """Agreement of the diameters of the sections found; an outlier is off by more than a pixel.

    Args:
        sections: What `records.section_records` returned, of all images.
        sizes: Height and width of the pixels of each image.

    Returns:
        As `curves.agreement`, with the number of all outliers and the farthest 10 by their place and sizes.
    """
    found = [section for section in sections if section["found"]]
    pixel = float(np.median([math.sqrt(height * width) for height, width in sizes]))
    true = [section["diameter"] for section in found]
    predicted = [section["predicted_diameter"] for section in found]
    result = agreement(predicted, true, SIZE_BORDERS, pixel)
    named = [
        {
            **{key: found[k][key] for key in ("image", "row", "column")},
            "true": true[k],
            "predicted": predicted[k],
        }
        for k in result["outliers"][:N_OUTLIERS]
    ]
    return {**result, "n_outliers": len(result["outliers"]), "outliers": named}
