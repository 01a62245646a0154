"""From probabilities to a score: choose on validation data, report on test data, beat the baselines."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from unet_helpers.curves import FROC_THRESHOLDS, agreement, calibration, froc, precision_recall
from unet_helpers.intervals import bootstrap_intervals
from unet_helpers.metrics import dice, match_stones, predicted_mask
from unet_helpers.scoring import (
    SIZE_BORDERS,
    ImageScores,
    image_record,
    pixel_sizes,
    ratios,
    score_image_stones,
    size_bias,
    size_bin_ratios,
    stone_records,
    totals,
)
from unet_helpers.surface import Spacing

__all__ = ["THRESHOLDS", "choose_grey_threshold", "choose_operating_point", "choose_threshold", "evaluate",
           "score_masks"]

THRESHOLDS = tuple(round(0.1 + 0.05 * step, 2) for step in range(17))  # 0.10, 0.15, ... 0.90
MIN_PIXELS = (0, 2, 3)


def _check_lengths(predictions: Sequence[Any], targets: Sequence[Any]) -> None:
    if not len(targets) or len(predictions) != len(targets):
        raise ValueError("predictions and targets must be equally many and at least one, got "
                         f"{len(predictions)} and {len(targets)}.")


def score_masks(predictions: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> dict[str, float]:
    """Scores of a set of predicted masks, as plain numbers.

    Args:
        predictions: Bool arrays (H, W), one an image.
        targets: Bool arrays of the same shapes.

    Returns:
        Dict of plain numbers. Means over stone-bearing images are named `..._positive_mean` and come
        with `n_positive`; `clean_negative_rate` is the share of stone-free images without any false alarm;
        `false_positives_per_image` counts predicted regions that touch no stone, over all images;
        `stone_sensitivity` pools over stones (8-connected) hit by at least one pixel, and
        `stone_sensitivity_iou01` asks for an IoU of 0.1; `n_merged` counts predicted regions that hit more
        than one stone, `n_split` stones hit by more than one region. A score without any image to stand on
        is NaN.

    Raises:
        ValueError: If the numbers or shapes of the masks differ.
    """
    _check_lengths(predictions, targets)
    return _flat([score_image_stones(p, t) for p, t in zip(predictions, targets, strict=True)], "px")


def _flat(images: list[ImageScores], unit: str) -> dict[str, float]:
    names, above, below = totals(ratios(image, unit) for image in images)
    return {
        "n_images": len(images),
        "n_positive": sum(image.is_positive for image in images),
        "n_stones": sum(image.stones.n_stones for image in images),
        **{name: _divided(a, b) for name, a, b in zip(names, above.sum(0), below.sum(0), strict=True)},
        "n_merged": sum(image.stones.n_merged for image in images),
        "n_split": sum(image.stones.n_split for image in images),
    }


def _divided(above: float, below: float) -> float:
    return float(above / below) if below else float("nan")


def evaluate(
    probabilities: Sequence[np.ndarray], targets: Sequence[np.ndarray], threshold: float, min_pixels: int = 0,
    *, groups: Sequence[Hashable] | None = None, spacing_mm: Spacing | Sequence[Spacing] | None = None,
    n_resamples: int = 2000, seed: int = 0,
) -> dict[str, Any]:
    """Score probabilities at a threshold that was chosen on other data, with intervals and curves.

    Args:
        probabilities: Float arrays (H, W), one an image.
        targets: Bool arrays of the same shapes.
        threshold: Smallest probability that counts as stone.
        min_pixels: Predicted regions with fewer pixels are dropped first.
        groups: Patient (exam) of each image, the unit of the intervals; None takes each image for one.
        spacing_mm: Pixel size of these arrays in millimetres: one number or a tuple (row, column), or a list
            with one of these an image. None gives sizes and distances in pixels.
        n_resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Returns:
        The flat scores of `score_masks`, and for the stone-bearing images the means of
        `surface_dice_1mm` (0 where nothing is predicted), `hd95_mm` and `asd_mm` (average surface distance),
        these two over the `n_distances` images where something is predicted; in the `n_distances_infinite`
        others they are infinite. Without a spacing the names end in `px`. Then `threshold`, `min_pixels`,
        `n_groups`, `unit`, and nested:

        - `intervals`: 95 % interval of each ratio above, [low, high], see `intervals.bootstrap_intervals`;
        - `size_bins`: stones by true equal-area diameter, `low` <= diameter < `high` (None: no limit), with
          `n_stones`, `n_found`, `sensitivity` and its `interval`;
        - `froc`, `precision_recall`, `calibration`: see `curves`; `froc` applies `min_pixels`, holds
          `threshold`, and so passes through the scores above;
        - `size_agreement`: see `curves.agreement`, over the stones found, with the `bias_interval`; the
          regions that hit a stone are measured together, and a merged region counts for each of its stones;
        - `per_image` and `per_stone`: lists of dicts, in the order of the images.

        Everything is plain numbers, lists and dicts; what is undefined is NaN.

    Raises:
        ValueError: If numbers or shapes differ or a spacing is not positive.
    """
    _check_lengths(probabilities, targets)
    sizes, unit = pixel_sizes(spacing_mm, len(targets)), "px" if spacing_mm is None else "mm"
    images = [score_image_stones(predicted_mask(p, threshold, min_pixels), t, size, surface=True)
              for p, t, size in zip(probabilities, targets, sizes, strict=True)]
    groups = range(len(targets)) if groups is None else groups
    n_distances = sum(image.is_positive and image.tp + image.fp > 0 for image in images)
    return {
        **_flat(images, unit),
        "n_distances": n_distances,
        "n_distances_infinite": sum(image.is_positive for image in images) - n_distances,
        "threshold": float(threshold),
        "min_pixels": int(min_pixels),
        "n_groups": len(set(groups)),
        "unit": unit,
        **_resampled(images, unit, groups, n_resamples, seed),
        "froc": froc(probabilities, targets, {*FROC_THRESHOLDS, float(threshold)}, min_pixels),
        "precision_recall": precision_recall(probabilities, targets),
        "calibration": calibration(probabilities, targets),
        "per_image": [image_record(image) for image in images],
        "per_stone": [stone for i, image in enumerate(images) for stone in stone_records(i, image)],
    }


def _resampled(images: list[ImageScores], unit: str, groups: Sequence[Hashable], n_resamples: int,
               seed: int) -> dict[str, Any]:
    """Everything that gets an interval beyond the flat scores: one bootstrap for all of it."""
    rows = [{**ratios(image, unit), **size_bin_ratios(image), "bias": size_bias(image)} for image in images]
    names, above, below = totals(rows)
    ends = bootstrap_intervals(above, below, groups, n_resamples, seed).tolist()
    intervals = dict(zip(names, ends, strict=True))
    counts = dict(zip(names, zip(above.sum(0), below.sum(0), strict=True), strict=True))
    bins = [_size_bin(low, high, *counts[f"size {low:g}"], intervals.pop(f"size {low:g}"))
            for low, high in pairwise(SIZE_BORDERS)]
    sizes = [pair for image in images for pair in zip(image.predicted_diameters, image.diameters, strict=True)
             if pair[0] is not None]
    size_agreement = {**agreement(*zip(*sizes, strict=True) if sizes else ((), ())),
                      "bias_interval": intervals.pop("bias")}
    return {"intervals": intervals, "size_bins": bins, "size_agreement": size_agreement}


def _size_bin(low: float, high: float, n_found: float, n_stones: float,
              interval: list[float]) -> dict[str, Any]:
    return {"low": low, "high": None if math.isinf(high) else high, "n_stones": int(n_stones),
            "n_found": int(n_found), "sensitivity": _divided(n_found, n_stones), "interval": interval}


def choose_threshold(probabilities: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> tuple[float, int]:
    """Threshold and smallest region to use, chosen on validation data in two steps.

    First the threshold: of all whose mean Dice over the stone-bearing images is within 0.01 of the best one,
    the nearest to 0.5. A few validation patients cannot tell such small differences from chance. Then the
    smallest region: the size with the fewest false alarms that loses no stone found, and of equal ones
    the least, because an unseen patient may have a smaller stone.

    Args:
        probabilities: Float arrays (H, W) of the validation images.
        targets: Bool arrays of the same shapes; at least one holds a stone.

    Returns:
        The threshold, and the smallest number of pixels a predicted region must have.

    Raises:
        ValueError: If no target holds a stone.
    """
    _check_lengths(probabilities, targets)
    positive = [(p, t) for p, t in zip(probabilities, targets, strict=True) if t.any()]
    if not positive:
        raise ValueError(f"targets must hold at least one stone to choose a threshold, got {len(targets)} "
                         "empty masks.")

    def mean_dice(threshold: float) -> float:
        return float(np.mean([dice(p >= threshold, t) for p, t in positive]))

    def errors(min_pixels: int) -> tuple[int, int]:
        matches = [match_stones(predicted_mask(p, threshold, min_pixels), t)
                   for p, t in zip(probabilities, targets, strict=True)]
        return (sum(match.n_stones - match.n_found for match in matches),
                sum(match.n_false_positives for match in matches))

    scores = {candidate: mean_dice(candidate) for candidate in THRESHOLDS}
    as_good = [candidate for candidate, score in scores.items() if score >= max(scores.values()) - 0.01]
    threshold = min(as_good, key=lambda candidate: abs(candidate - 0.5))
    return threshold, min(MIN_PIXELS, key=errors)  # the first, and so the least, of equal ones


def choose_operating_point(probabilities: Sequence[np.ndarray], targets: Sequence[np.ndarray],
                           max_false_positives: float, min_pixels: int = 0) -> float:
    """Threshold that finds the most stones at no more than so many false alarms an image.

    `choose_threshold` looks at the outlines (Dice) of stone-bearing images alone. Where the network meets
    another kind of scans, the false alarms decide whether anyone will use it: fix what a reader can bear,
    and take what sensitivity that buys. Of thresholds that find equally many, the one with the fewest false
    alarms is taken, and of these the lowest.

    Args:
        probabilities: Float arrays (H, W) of the validation images.
        targets: Bool arrays of the same shapes; at least one holds a stone.
        max_false_positives: Highest mean number of false positive regions an image.
        min_pixels: Predicted regions with fewer pixels are dropped.

    Returns:
        The threshold, one of `curves.FROC_THRESHOLDS`.

    Raises:
        ValueError: If no target holds a stone, or even the highest threshold gives more false alarms.
    """
    _check_lengths(probabilities, targets)
    if not any(target.any() for target in targets):
        raise ValueError(f"targets must hold at least one stone to choose a threshold, got {len(targets)} "
                         "empty masks.")
    curve = froc(probabilities, targets, min_pixels=min_pixels)
    points = zip(curve["sensitivity"], curve["false_positives_per_image"], curve["threshold"], strict=True)
    allowed = [(-found, false, value) for found, false, value in points if false <= max_false_positives]
    if not allowed:
        raise ValueError(f"max_false_positives must be reachable, got {max_false_positives}: the fewest are "
                         f"{min(curve['false_positives_per_image']):.3g} an image.")
    return min(allowed)[2]


def choose_grey_threshold(images: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> tuple[int, float]:
    """Baseline without learning: the grey value whose "everything at least this bright is stone" fits best.

    Args:
        images: Uint8 arrays (H, W).
        targets: Bool arrays of the same shapes.

    Returns:
        The grey value 1..255 with the highest pooled Dice on these images, and that Dice.

    Raises:
        ValueError: If the numbers differ.
    """
    _check_lengths(images, targets)
    pixels = sum(np.bincount(image.ravel(), minlength=256) for image in images)
    stone = sum(np.bincount(i[t], minlength=256) for i, t in zip(images, targets, strict=True))
    predicted, hit = pixels[::-1].cumsum()[::-1], stone[::-1].cumsum()[::-1]  # at least this bright
    scores = 2 * hit / np.maximum(predicted + stone.sum(), 1)
    best = int(scores[1:].argmax()) + 1
    return best, float(scores[best])
