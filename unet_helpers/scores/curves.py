"""Curves that say more than one number: FROC, precision and recall, calibration, agreement of sizes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from unet_helpers.engine.checks import check_probabilities
from unet_helpers.metrics import label_stones, match_labels

__all__ = [
    "CALIBRATION_EDGES",
    "FROC_THRESHOLDS",
    "ThresholdCounts",
    "agreement",
    "all_curves",
    "calibration",
    "froc",
    "precision_recall",
    "threshold_counts",
]

# steps of the logit, whole ones below 0.5 and half ones above, and far up: after a training with Dice most
# sections have more than 0.999
FROC_THRESHOLDS = tuple((1 / (1 + np.exp(-np.r_[-7:0, 0:14.5:0.5]))).tolist())
CALIBRATION_EDGES = np.linspace(0, 1, 11)
N_CURVE_POINTS = 200


def all_curves(
    probabilities: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    thresholds: Sequence[float],
    min_pixels: Sequence[int],
) -> dict[str, Any]:
    """The curves of `evaluation.evaluate`: "froc", "precision_recall" and "calibration".

    Args:
        probabilities: Float arrays (H, W) in [0, 1], one an image.
        targets: Bool arrays of the same shapes.
        thresholds: In use, one an image; if all are equal, the curve of sections passes through it.
        min_pixels: Smallest region of each image.
    """
    in_use = set(thresholds) if len(set(thresholds)) == 1 else set()
    return {
        "froc": froc(probabilities, targets, sorted({*FROC_THRESHOLDS, *in_use}), min_pixels),
        "precision_recall": precision_recall(probabilities, targets),
        "calibration": calibration(probabilities, targets),
    }


# ------------------------------------------------------------------------------------------------- FROC
def _squeezed(candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns that hold a candidate, and the one after each: what did not touch stays apart."""
    kept = []
    for axis in (1, 0):
        some = np.asarray(candidates.any(axis))
        some[1:] |= some[:-1]
        kept.append(np.flatnonzero(some))
    return kept[0], kept[1]


class ThresholdCounts(NamedTuple):
    """What one image gives at each of T thresholds, int64 arrays (T,), and the number of its sections.

    Attributes:
        found: Sections found.
        false: Predicted regions that are false alarms.
        tp, fp, fn: Pixels found, invented and missed.
        n_sections: True sections.
    """

    found: np.ndarray
    false: np.ndarray
    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    n_sections: int


def _counts(
    mask: np.ndarray, sections: np.ndarray, area: np.ndarray, min_pixels: int
) -> tuple[int, int, int, int]:
    """Sections found, regions without a partner, true positive pixels and predicted pixels."""
    regions, n_regions = label_stones(mask)
    at_section = np.flatnonzero(sections)
    section, region = sections.ravel()[at_section], regions.ravel()[at_section]
    if min_pixels <= 1 and not region.any():  # most often so, and quickly told
        return 0, n_regions, 0, int(np.count_nonzero(mask))
    areas = np.bincount(regions.ravel(), minlength=n_regions + 1)
    large = areas >= min_pixels
    large[0] = False
    region = np.where(large[region], region, 0)
    n_found = int(np.count_nonzero(match_labels(section, region, area, areas)[0]))
    return n_found, int(large.sum()) - n_found, int(np.count_nonzero(region)), int(areas[large].sum())


def threshold_counts(
    probability: np.ndarray,
    target: np.ndarray,
    thresholds: Sequence[float] = FROC_THRESHOLDS,
    min_pixels: int = 0,
) -> ThresholdCounts:
    """Counts of one image at each threshold: those of `metrics.match_stones` and `confusion_counts`.

    Args:
        probability: Float array (H, W).
        target: Bool array (H, W).
        thresholds: T probabilities in any order.
        min_pixels: Smaller predicted regions are dropped.
    """
    sections, n_sections = label_stones(target)
    area = np.bincount(sections[target], minlength=n_sections + 1)
    found, false, tp, predicted = np.zeros((4, len(thresholds)), np.int64)
    for k in np.argsort(thresholds):  # upwards: there are ever fewer candidates, and the arrays shrink
        rows, columns = _squeezed(probability >= thresholds[k])
        if rows.size * columns.size < 0.8 * probability.size:
            probability, sections = (array[np.ix_(rows, columns)] for array in (probability, sections))
        found[k], false[k], tp[k], predicted[k] = _counts(
            probability >= thresholds[k], sections, area, min_pixels
        )
    return ThresholdCounts(found, false, tp, predicted - tp, area.sum() - tp, n_sections)


def froc(
    probabilities: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    thresholds: Sequence[float] = FROC_THRESHOLDS,
    min_pixels: int | Sequence[int] = 0,
) -> dict[str, list[float]]:
    """Free-response ROC: what share of the sections is found at what price in false alarms.

    Args:
        probabilities: Float arrays (H, W) in [0, 1], one an image.
        targets: Bool arrays of the same shapes.
        thresholds: Probabilities to try.
        min_pixels: Predicted regions with fewer pixels are dropped; one number, or one an image.

    Returns:
        Lists of equal length, from the highest threshold to the lowest: "threshold", "sensitivity" (over all
        sections, by the rule of `metrics.match_stones`; NaN if there is none) and
        "false_positives_per_image". As the threshold falls, both may fall, too: several regions grow into
        one, which finds one section at most, and once it covers the image finds none.

    Raises:
        ValueError: If an image is no probability, or numbers or shapes differ.

    Reference: Chakraborty and Winter (1990), Radiology 174(3):873-881, doi:10.1148/radiology.174.3.2305073
    """
    check_probabilities(probabilities, targets)
    thresholds = sorted(thresholds, reverse=True)
    smallest = np.broadcast_to(min_pixels, len(targets)).tolist()
    counts = [
        threshold_counts(p, t, thresholds, least)
        for p, t, least in zip(probabilities, targets, smallest, strict=True)
    ]
    found, false = (np.sum(arrays, axis=0) for arrays in list(zip(*counts, strict=True))[:2])
    n_sections = sum(count.n_sections for count in counts)
    sensitivity = found / n_sections if n_sections else np.full(len(thresholds), np.nan)
    return {
        "threshold": [float(threshold) for threshold in thresholds],
        "sensitivity": sensitivity.tolist(),
        "false_positives_per_image": (false / len(counts)).tolist(),
    }


# --------------------------------------------------------------------------------- precision and recall
def precision_recall(
    probabilities: Sequence[np.ndarray], targets: Sequence[np.ndarray], n_points: int = N_CURVE_POINTS
) -> dict[str, Any]:
    """Precision and recall over the pixels of all images, at every threshold.

    The area is the average precision: the sum over thresholds of the rise in recall times the precision
    there, without interpolation, and over every distinct probability, not only the points returned.

    Args:
        probabilities: Float arrays (H, W), one an image.
        targets: Bool arrays of the same shapes.
        n_points: At most so many points are returned, spread evenly over the recall.

    Returns:
        Lists "precision", "recall" and "threshold", from the highest threshold to the lowest, and
        "area". Empty lists and a NaN area if there is no stone.

    Raises:
        ValueError: If an image is no probability, or numbers or shapes differ.

    Reference: Davis and Goadrich (2006), doi:10.1145/1143844.1143874: why not to interpolate linearly.
    """
    check_probabilities(probabilities, targets)
    pairs = list(zip(probabilities, targets, strict=True))
    stone = np.concatenate([probability[target] for probability, target in pairs])
    if not stone.size:
        return {"precision": [], "recall": [], "threshold": [], "area": float("nan")}
    values, n_hits = np.unique(stone, return_counts=True)  # the recall rises at these thresholds alone
    n_above = np.zeros(len(values) + 1, np.int64)  # n_above[k]: pixels that reach exactly k of the values
    for probability, _ in pairs:
        reached = np.searchsorted(values, np.sort(probability[probability >= values[0]]), side="right")
        n_above += np.bincount(reached, minlength=len(n_above))
    hits, predicted = n_hits[::-1].cumsum(), n_above[:0:-1].cumsum()
    precision, recall = hits / predicted, hits / hits[-1]
    area = float((np.diff(recall, prepend=0) * precision).sum())
    points = np.searchsorted(recall, np.linspace(recall[0], 1, min(n_points, len(recall))) - 1e-12)
    points = np.unique(points)
    curve = {"precision": precision, "recall": recall, "threshold": values[::-1].astype(float)}
    return {**{name: array[points].tolist() for name, array in curve.items()}, "area": area}


# ------------------------------------------------------------------------------------------ calibration
def calibration(probabilities: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> dict[str, Any]:
    """Is a pixel of probability 0.7 stone in 7 of 10 cases? Reliability in ten bins, and its mean gap.

    Bins are 0.1 wide, open below and closed above, over the pixels of all images. "ece" is the expected
    calibration error *on the foreground*: the mean over all pixels with a probability above 0.1 of the
    distance between the mean probability and the share of stone of their bin. The lowest bin is listed but
    left out of it: it holds nearly every pixel of a CT slice, is right nearly always, and would hide
    everything else. The foreground is chosen by the probability and never by the truth, which would bias
    the shares: a stone that got less than 0.1 is not seen here; the sensitivity counts it.

    Args:
        probabilities: Float arrays (H, W) in [0, 1], one an image.
        targets: Bool arrays of the same shapes.

    Returns:
        Lists "confidence" (mean probability), "frequency" (share of stone) and "n" (pixels) of the bins that
        hold a pixel, from low to high, and "ece"; NaN if no pixel is above 0.1.

    Raises: As `froc`. Reference: Guo et al. (2017), arXiv:1706.04599
    """
    check_probabilities(probabilities, targets)
    n, stone, confidence = np.zeros((3, len(CALIBRATION_EDGES) - 1))
    for probability, target in zip(probabilities, targets, strict=True):
        above = probability > CALIBRATION_EDGES[1]
        values, truth = probability[above], target[above]
        bins = np.searchsorted(CALIBRATION_EDGES[1:-1], values)
        n += np.bincount(bins, minlength=len(n))
        stone += np.bincount(bins, truth, minlength=len(n))
        confidence += np.bincount(bins, values, minlength=len(n))
        n[0] += probability.size - values.size
        stone[0] += target.sum() - truth.sum()
        confidence[0] += probability.sum(dtype=float) - values.sum(dtype=float)
    gap = np.abs(stone - confidence)[1:].sum()
    used = n > 0
    return {
        "confidence": (confidence[used] / n[used]).tolist(),
        "frequency": (stone[used] / n[used]).tolist(),
        "n": n[used].astype(int).tolist(),
        "ece": float(gap / n[1:].sum()) if n[1:].any() else float("nan"),
    }


# --------------------------------------------------------------------------------------------- size
def agreement(
    predicted: Sequence[float],
    true: Sequence[float],
    borders: Sequence[float] = (0.0, np.inf),
    floor: float = 0.0,
) -> dict[str, Any]:
    """Bland-Altman analysis: does the prediction measure too large or too small, and how much may it be off?

    Args:
        predicted, true: Measured and true values of the same objects, for example diameters.
        borders: Of the sizes that get limits of their own, by the true value: an error of 1 mm is usual for
            a large stone and more than half of a small one.
        floor: Smallest distance from the median difference that makes an outlier.

    Returns:
        "bias": mean of predicted - true; "limits": bias -/+ 1.96 standard deviations, between which 95 % of
        the differences lie if they are normally distributed (NaN for fewer than two); "n"; "by_size": the
        same for each size, with its borders "low" and "high" (None: no limit); "usual": the median -/+ 5
        robust standard deviations (1.4826 median absolute deviations), or -/+ `floor` if that is more;
        "outliers": the numbers of those outside, the farthest first; and both lists.

    Reference: Bland and Altman (1986), Lancet 327:307-310, doi:10.1016/S0140-6736(86)90837-8
    """
    difference = np.subtract(predicted, true, dtype=float)
    bins = np.digitize(true, borders[1:-1])
    by_size = [
        {**_size(low, high), **_bias_and_limits(difference[bins == k])}
        for k, (low, high) in enumerate(pairwise(borders))
    ]
    middle = float(np.median(difference)) if difference.size else float("nan")
    away: np.ndarray = np.abs(difference - middle)
    reach = max(5 * 1.4826 * float(np.median(away)), floor) if difference.size else float("nan")
    farthest = np.argsort(-away, kind="stable")
    return {
        **_bias_and_limits(difference),
        "by_size": by_size,
        "usual": [middle - reach, middle + reach],
        "outliers": farthest[away[farthest] > reach].tolist(),
        "true": [float(value) for value in true],
        "predicted": [float(value) for value in predicted],
    }


def _size(low: float, high: float) -> dict[str, float | None]:
    return {"low": float(low), "high": float(high) if np.isfinite(high) else None}


def _bias_and_limits(difference: np.ndarray) -> dict[str, Any]:
    bias = float(difference.mean()) if difference.size else float("nan")
    spread = 1.96 * float(difference.std(ddof=1)) if difference.size > 1 else float("nan")
    return {"bias": bias, "limits": [bias - spread, bias + spread], "n": int(difference.size)}
