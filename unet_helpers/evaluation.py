"""From probabilities to a score: choose on validation data, report on test data, beat the baselines."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from unet_helpers.data import KnownStone
from unet_helpers.metrics import (
    check_lengths,
    check_probabilities,
    dice,
    divided,
    match_stones,
    overlap_ratios,
    predicted_mask,
)
from unet_helpers.scores.curves import FROC_THRESHOLDS, agreement, calibration, froc, precision_recall
from unet_helpers.scores.intervals import bootstrap_intervals, paired_difference
from unet_helpers.scores.records import (
    SIZE_BORDERS,
    ImageScores,
    Ratios,
    image_record,
    pixel_sizes,
    ratios,
    score_image_stones,
    section_records,
    size_bias,
    size_bin_ratios,
    stone_records,
    totals,
)
from unet_helpers.scores.surface import Spacing

__all__ = [
    "THRESHOLDS",
    "choose_grey_threshold",
    "choose_operating_point",
    "choose_threshold",
    "compare",
    "evaluate",
    "score_masks",
]

THRESHOLDS = tuple(round(0.1 + 0.05 * step, 2) for step in range(17))  # 0.10, 0.15, ... 0.90
MIN_PIXELS = (0, 2, 3)
N_OUTLIERS = 10  # at most so many are named

KnownStones = Sequence[Sequence[KnownStone]]


def score_masks(
    predictions: Sequence[np.ndarray], targets: Sequence[np.ndarray], stones: KnownStones | None = None
) -> dict[str, float]:
    """Scores of a set of predicted masks, as plain numbers.

    Args:
        predictions: Bool arrays (H, W), one an image.
        targets: Bool arrays of the same shapes.
        stones: What `data.known_stones` returned for these images.

    Returns:
        Dict of plain numbers. Means over stone-bearing images are named `..._positive_mean` and come
        with `n_positive`; `clean_negative_rate` is the share of stone-free images without any false alarm;
        `false_positives_per_image` counts predicted regions that are matched with no section, over all
        images. `section_sensitivity` pools over the sections (8-connected regions of the true masks) that
        `metrics.match_stones` finds, `section_sensitivity_touched` over those touched by at least one pixel,
        which "everything is stone" brings to 1. `stone_sensitivity` pools over stones, each found if one of
        its sections is; where no stone is known, it is NaN and `n_stones` 0. `n_sections_unidentified` are
        sections of no known stone. `n_merged` counts predicted regions that touch more than one section,
        `n_split` sections touched by more than one region. A score without any image to stand on is NaN.

    Raises:
        ValueError: If the numbers or shapes of the masks differ.
    """
    check_lengths(predictions, targets)
    images = [score_image_stones(p, t) for p, t in zip(predictions, targets, strict=True)]
    return _flat(images, _stone_records(stones, targets, images), "px")


def _stone_records(
    stones: KnownStones | None, targets: Sequence[np.ndarray], images: list[ImageScores]
) -> list[dict[str, Any]]:
    if stones is not None and len(stones) != len(targets):
        raise ValueError(f"stones must be one list an image ({len(targets)}), got {len(stones)}.")
    return stone_records(stones or [()] * len(targets), targets, images)


def _flat(images: list[ImageScores], stones: list[dict[str, Any]], unit: str) -> dict[str, float]:
    names, above, below = totals(_rows(images, _by_image(stones, len(images)), unit))
    n_sections = sum(image.stones.n_sections for image in images)
    return {
        "n_images": len(images),
        "n_positive": sum(image.is_positive for image in images),
        "n_sections": n_sections,
        "n_sections_unidentified": n_sections - len({i for stone in stones for i in stone["sections"]}),
        "n_stones": len(stones),
        **{name: divided(a, b) for name, a, b in zip(names, above.sum(0), below.sum(0), strict=True)},
        "n_merged": sum(image.stones.n_merged for image in images),
        "n_split": sum(image.stones.n_split for image in images),
    }


def _by_image(stones: list[dict[str, Any]], n_images: int) -> list[list[dict[str, Any]]]:
    """The stones by the image that shows them first: each counts once, for the group of that image."""
    lists: list[list[dict[str, Any]]] = [[] for _ in range(n_images)]
    for stone in stones:
        lists[stone["image"]].append(stone)
    return lists


def _rows(images: list[ImageScores], stones: list[list[dict[str, Any]]], unit: str) -> list[Ratios]:
    return [
        {**ratios(image, unit), "stone_sensitivity": (sum(s["n_found"] > 0 for s in mine), len(mine))}
        for image, mine in zip(images, stones, strict=True)
    ]


def evaluate(
    probabilities: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    threshold: float | Sequence[float],
    min_pixels: int | Sequence[int] = 0,
    groups: Sequence[Hashable] | None = None,
    spacing_mm: Spacing | Sequence[Spacing] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
    stones: KnownStones | None = None,
) -> dict[str, Any]:
    """All scores of a data set, with intervals, curves and records of every image, section and stone.

    Args:
        probabilities: Float arrays (H, W) in [0, 1], one an image.
        targets: Bool arrays of the same shapes.
        threshold: Smallest probability that counts as stone; one number, or one an image, as in
            cross-validation, where each fold has its own.
        min_pixels: Predicted regions with fewer pixels are dropped first; one number, or one an image.
        groups: Patient (exam) of each image, the unit of the intervals; None takes each image for one.
        spacing_mm: Pixel size of these arrays in millimetres: one number or a tuple (row, column), or a list
            with one of these an image. None gives sizes and distances in pixels.
        n_resamples: Of the bootstrap.
        seed: Of the bootstrap.
        stones: What `data.known_stones` returned for these images, at the size of the files; None if the
            data set does not know which sections are of one stone.

    Returns:
        The flat scores of `score_masks`, and for the stone-bearing images the means of
        `surface_dice_1mm` (0 where nothing is predicted), `hd95_mm` and `asd_mm` (average surface distance),
        these two over the `n_distances` images where something is predicted; in the `n_distances_infinite`
        others they are infinite. Without a spacing the names end in `px`. Then `threshold` and `min_pixels`
        (lists where they differ from image to image), `n_groups`, `unit`, and nested:

        - `intervals`: 95 % interval of each ratio above, [low, high], see `intervals.bootstrap_intervals`;
        - `size_bins`: what is found by true diameter, `low` <= diameter < `high` (None: no limit), with `n`,
          `n_found`, `sensitivity` and its `interval`. `of` says what is counted: "stones", by their longest
          extent in the body, where they are known, else "sections", by the circle of equal area; `unit` is
          that of the borders;
        - `froc`, `precision_recall`, `calibration`: see `curves`; `froc` applies `min_pixels`, holds
          `threshold` if it is one, and then passes through the scores above;
        - `size_agreement`: see `curves.agreement`, over the sections found, with the `bias_interval`, the
          number of all outliers `n_outliers` and the farthest 10 as `outliers`, each with `image`, `row`,
          `column`, `true` and `predicted`;
        - `per_image`, `per_section`, `per_stone`: lists of dicts, in the order of the images; see
          `scoring.image_record`, `section_records` and `stone_records`. `per_stone` is empty where no stone
          is known.

        Everything is plain numbers, lists and dicts; what is undefined is NaN.

    Raises:
        ValueError: If numbers or shapes differ, a spacing is not positive, or what is given as a probability
            is none: logits, NaN and infinite values.
    """
    check_probabilities(probabilities, targets)
    n_images, unit = len(targets), "px" if spacing_mm is None else "mm"
    thresholds = _one_an_image("threshold", threshold, n_images, 1.0)
    smallest = [int(n) for n in _one_an_image("min_pixels", min_pixels, n_images, math.inf)]
    sizes = pixel_sizes(spacing_mm, n_images)
    images = [
        score_image_stones(predicted_mask(*given), target, size, surface=True)
        for *given, target, size in zip(probabilities, thresholds, smallest, targets, sizes, strict=True)
    ]
    records = _stone_records(stones, targets, images)
    sections = [section for i, image in enumerate(images) for section in section_records(i, image)]
    groups = range(n_images) if groups is None else groups
    n_distances = sum(image.is_positive and image.tp + image.fp > 0 for image in images)
    intervals, bins, bias_interval = _resampled(images, records, unit, groups, n_resamples, seed)
    return {
        **_flat(images, records, unit),
        "n_distances": n_distances,
        "n_distances_infinite": sum(image.is_positive for image in images) - n_distances,
        "threshold": _one_if_equal(thresholds),
        "min_pixels": _one_if_equal(smallest),
        "n_groups": len(set(groups)),
        "unit": unit,
        "intervals": intervals,
        "size_bins": bins,
        "size_agreement": {**_size_agreement(sections, sizes), "bias_interval": bias_interval},
        "froc": froc(
            probabilities,
            targets,
            {*FROC_THRESHOLDS, *(thresholds if len(set(thresholds)) == 1 else ())},
            smallest,
        ),
        "precision_recall": precision_recall(probabilities, targets),
        "calibration": calibration(probabilities, targets),
        "per_image": [image_record(image) for image in images],
        "per_section": sections,
        "per_stone": records,
    }


def _one_an_image(name: str, values: float | Sequence[float], n_images: int, most: float) -> list[float]:
    """One number an image, from one for all or a list."""
    numbers = [float(values)] * n_images if np.ndim(values) == 0 else [float(value) for value in values]
    if len(numbers) != n_images:
        raise ValueError(f"{name} must be one number, or one an image ({n_images}), got {len(numbers)}.")
    for i, number in enumerate(numbers):
        if not (math.isfinite(number) and 0 <= number <= most):
            need = "not be negative" if math.isinf(most) else f"lie in [0, {most:g}]"
            raise ValueError(f"{name} must {need}, got {number:g} for image {i}.")
    return numbers


def _one_if_equal(numbers: list[float]) -> float | list[float]:
    return numbers[0] if len(set(numbers)) == 1 else numbers


def _resampled(
    images: list[ImageScores],
    stones: list[dict[str, Any]],
    unit: str,
    groups: Sequence[Hashable],
    n_resamples: int,
    seed: int,
) -> tuple[dict[str, list[float]], list[dict[str, Any]], list[float]]:
    """Intervals of the flat scores, size bins and interval of the size bias: one bootstrap for all of it."""
    by_image = _by_image(stones, len(images))
    if stones:
        sized = [([s["diameter_mm"] for s in mine], [s["n_found"] > 0 for s in mine]) for mine in by_image]
    else:
        sized = [(image.diameters, image.stones.found) for image in images]
    rows = [
        {**row, **size_bin_ratios(*sizes), "bias": size_bias(image)}
        for row, sizes, image in zip(_rows(images, by_image, unit), sized, images, strict=True)
    ]
    names, above, below = totals(rows)
    ends = bootstrap_intervals(above, below, groups, n_resamples, seed).tolist()
    intervals = dict(zip(names, ends, strict=True))
    counts = dict(zip(names, zip(above.sum(0), below.sum(0), strict=True), strict=True))
    kind = {"of": "stones", "unit": "mm"} if stones else {"of": "sections", "unit": unit}
    bins = [
        {**kind, **_size_bin(low, high, *counts[f"size {low:g}"], intervals.pop(f"size {low:g}"))}
        for low, high in pairwise(SIZE_BORDERS)
    ]
    return intervals, bins, intervals.pop("bias")


def _size_bin(low: float, high: float, n_found: float, n: float, interval: list[float]) -> dict[str, Any]:
    return {
        "low": low,
        "high": None if math.isinf(high) else high,
        "n": int(n),
        "n_found": int(n_found),
        "sensitivity": divided(n_found, n),
        "interval": interval,
    }


def _size_agreement(sections: list[dict[str, Any]], sizes: list[tuple[float, float]]) -> dict[str, Any]:
    """Agreement of the diameters of the sections found; an outlier is off by more than a pixel."""
    found = [section for section in sections if section["found"]]
    pixel = float(np.median([math.sqrt(row * column) for row, column in sizes]))
    result = agreement(
        [section["predicted_diameter"] for section in found],
        [section["diameter"] for section in found],
        SIZE_BORDERS,
        pixel,
    )
    named = [
        {
            **{key: found[k][key] for key in ("image", "row", "column")},
            "true": found[k]["diameter"],
            "predicted": found[k]["predicted_diameter"],
        }
        for k in result["outliers"][:N_OUTLIERS]
    ]
    return {**result, "n_outliers": len(result["outliers"]), "outliers": named}


def compare(
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    groups: Sequence[Hashable] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """How much two methods differ on the same images: the paired difference, second - first.

    Two intervals that overlap say nothing about it: what is hard for both methods widens both of them.

    Args:
        first: What `evaluate` returned for one method; `per_image` is read.
        second: The same for the other method, on the same images.
        groups: Group of each image, as given to `evaluate`; None takes each image for one.
        n_resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Returns:
        For "dice_positive_mean", "section_sensitivity" and "false_positives_per_image" a dict with
        `first`, `second`, `difference` and its 95 % `interval` [low, high]; if it does not hold 0, the
        methods differ.

    Raises:
        ValueError: If the two were not scored on the same images.
    """
    sections = [[image["n_sections"] for image in scores["per_image"]] for scores in (first, second)]
    if sections[0] != sections[1]:
        raise ValueError(
            "first and second must be scores of the same images, got "
            f"{len(sections[0])} images with {sum(sections[0])} sections and "
            f"{len(sections[1])} with {sum(sections[1])}."
        )
    methods = [totals([_compared(image) for image in scores["per_image"]]) for scores in (first, second)]
    groups = range(len(sections[0])) if groups is None else groups
    change, ends = paired_difference(methods[0][1:], methods[1][1:], groups, n_resamples, seed)
    values = [divided(above.sum(0), below.sum(0)).tolist() for _, above, below in methods]
    columns = zip(methods[0][0], *values, change.tolist(), ends.tolist(), strict=True)
    return {
        name: {"first": one, "second": other, "difference": difference, "interval": interval}
        for name, one, other, difference, interval in columns
    }


def _compared(image: Mapping[str, Any]) -> Ratios:
    positive = image["n_sections"] > 0
    return {
        "dice_positive_mean": (image["dice"] if positive else 0.0, float(positive)),
        "section_sensitivity": (image["n_found"], image["n_sections"]),
        "false_positives_per_image": (image["n_false_positives"], 1.0),
    }


def choose_threshold(probabilities: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> tuple[float, int]:
    """Threshold and smallest region to use, chosen on validation data in two steps.

    First the threshold: of all whose mean Dice over the stone-bearing images is within 0.01 of the best one,
    the nearest to 0.5. A few validation patients cannot tell such small differences from chance. Then the
    smallest region: the size with the fewest false alarms that loses no section found, and of equal ones
    the least, because an unseen patient may have a smaller stone.

    Args:
        probabilities: Float arrays (H, W) of the validation images.
        targets: Bool arrays of the same shapes; at least one holds a stone.

    Returns:
        The threshold, and the smallest number of pixels a predicted region must have.

    Raises:
        ValueError: If no target holds a stone, or what is given as a probability is none.
    """
    check_probabilities(probabilities, targets)
    positive = [(p, t) for p, t in zip(probabilities, targets, strict=True) if t.any()]
    if not positive:
        raise ValueError(
            f"targets must hold at least one stone to choose a threshold, got {len(targets)} empty masks."
        )

    def mean_dice(threshold: float) -> float:
        return float(np.mean([dice(p >= threshold, t) for p, t in positive]))

    def errors(min_pixels: int) -> tuple[int, int]:
        matches = [
            match_stones(predicted_mask(p, threshold, min_pixels), t)
            for p, t in zip(probabilities, targets, strict=True)
        ]
        return (
            sum(match.n_sections - match.n_found for match in matches),
            sum(match.n_false_positives for match in matches),
        )

    scores = {candidate: mean_dice(candidate) for candidate in THRESHOLDS}
    as_good = [candidate for candidate, score in scores.items() if score >= max(scores.values()) - 0.01]
    threshold = min(as_good, key=lambda candidate: abs(candidate - 0.5))
    return threshold, min(MIN_PIXELS, key=errors)  # the first, and so the least, of equal ones


def choose_operating_point(
    probabilities: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    max_false_positives: float,
    min_pixels: int = 0,
) -> float:
    """Threshold that finds the most sections at no more than so many false alarms an image.

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
        ValueError: If no target holds a stone, what is given as a probability is none, every threshold gives
            more false alarms, or those that do not give nothing but false alarms.
    """
    check_probabilities(probabilities, targets)
    if not any(target.any() for target in targets):
        raise ValueError(
            f"targets must hold at least one stone to choose a threshold, got {len(targets)} empty masks."
        )
    curve = froc(probabilities, targets, min_pixels=min_pixels)
    points = zip(curve["sensitivity"], curve["false_positives_per_image"], curve["threshold"], strict=True)
    allowed = [(-found, false, value) for found, false, value in points if false <= max_false_positives]
    if not allowed:
        raise ValueError(
            f"max_false_positives must be reachable, got {max_false_positives}: the fewest are "
            f"{min(curve['false_positives_per_image']):.3g} an image."
        )
    found, false, threshold = min(allowed)
    if not found and false:
        raise ValueError(
            f"probabilities must find a section at {max_false_positives} false alarms an image "
            "or fewer, got false alarms alone at every threshold. Train the network longer."
        )
    return threshold


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
    check_lengths(images, targets)
    pixels = sum(np.bincount(image.ravel(), minlength=256) for image in images)
    stone = sum(np.bincount(i[t], minlength=256) for i, t in zip(images, targets, strict=True))
    predicted, hit = pixels[::-1].cumsum()[::-1], stone[::-1].cumsum()[::-1]  # at least this bright
    counts = overlap_ratios(hit, predicted - hit, stone.sum() - hit)
    scores = np.nan_to_num(divided(*counts["dice"]))
    best = int(scores[1:].argmax()) + 1
    return best, float(scores[best])
