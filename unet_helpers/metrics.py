"""Dice, IoU, precision, recall and stone-level scores on bool masks.

Conventions, held by the tests: both masks empty -> NaN (the image says nothing about overlap and is left
out of means, always with n), exactly one empty -> 0, and no epsilon anywhere. Counts are kept per image and
reduced at the end, because a mean of batch means is wrong when the last batch is short.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

__all__ = [
    "StoneMatch",
    "confusion_counts",
    "dice",
    "equal_area_diameter",
    "iou",
    "label_stones",
    "match_stones",
    "pooled_dice",
    "pooled_iou",
    "precision",
    "predicted_mask",
    "recall",
]

EIGHT_CONNECTED = np.ones((3, 3), bool)  # a diagonal line is one stone; SciPy's default sees single pixels


def _check(prediction: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    prediction, target = np.asarray(prediction), np.asarray(target)
    for name, array in (("prediction", prediction), ("target", target)):
        if array.dtype != bool:
            raise ValueError(f"{name} must be a bool mask, got {array.dtype}. Use probability >= threshold.")
    if prediction.shape != target.shape or prediction.ndim < 2:
        raise ValueError(f"prediction must have the target's shape (..., H, W), got {prediction.shape} and "
                         f"{target.shape}.")
    return prediction, target


def confusion_counts(prediction: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count true positive, false positive and false negative pixels of each image.

    Args:
        prediction: Bool array (..., H, W).
        target: Bool array of the same shape.

    Returns:
        Three int64 arrays (...): TP, FP, FN.

    Raises:
        ValueError: If a mask is not bool or the shapes differ.
    """
    prediction, target = _check(prediction, target)
    regions = (prediction & target, prediction & ~target, ~prediction & target)
    tp, fp, fn = (region.sum(axis=(-2, -1), dtype=np.int64) for region in regions)
    return tp, fp, fn


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray | float:
    ratio = np.full(np.shape(denominator), np.nan)
    np.divide(numerator, denominator, out=ratio, where=np.asarray(denominator) > 0)
    return ratio if ratio.ndim else float(ratio)


def dice(prediction: np.ndarray, target: np.ndarray) -> np.ndarray | float:
    """Dice coefficient of each image, 2 TP / (2 TP + FP + FN).

    Args:
        prediction: Bool array (H, W), or a stack (N, H, W).
        target: Bool array of the same shape.

    Returns:
        A float for one image, a float64 array (N,) for a stack; NaN where both masks are empty,
        0.0 where exactly one is.

    Raises:
        ValueError: If a mask is not bool or the shapes differ.

    Reference: Dice (1945), Ecology 26(3):297-302, doi:10.2307/1932409
    """
    tp, fp, fn = confusion_counts(prediction, target)
    return _ratio(2 * tp, 2 * tp + fp + fn)


def iou(prediction: np.ndarray, target: np.ndarray) -> np.ndarray | float:
    """Intersection over union (Jaccard index) of each image, TP / (TP + FP + FN).

    Args:
        prediction: Bool array (H, W), or a stack (N, H, W).
        target: Bool array of the same shape.

    Returns:
        As `dice`: a float or an array (N,), NaN where both masks are empty, 0.0 where exactly one is.

    Raises:
        ValueError: If a mask is not bool or the shapes differ.
    """
    tp, fp, fn = confusion_counts(prediction, target)
    return _ratio(tp, tp + fp + fn)


def precision(prediction: np.ndarray, target: np.ndarray) -> np.ndarray | float:
    """Share of the predicted stone pixels that are stone, TP / (TP + FP), of each image.

    Args:
        prediction: Bool array (H, W), or a stack (N, H, W).
        target: Bool array of the same shape.

    Returns:
        As `dice`: a float or an array (N,), NaN where both masks are empty, 0.0 where exactly one is. (An
        empty prediction over a stone is 0 / 0; it counts as 0 here, or missing everything would be left out.)

    Raises:
        ValueError: If a mask is not bool or the shapes differ.
    """
    tp, fp, fn = confusion_counts(prediction, target)
    return _ratio(tp, tp + fp + fn * (tp + fp == 0))


def recall(prediction: np.ndarray, target: np.ndarray) -> np.ndarray | float:
    """Share of the stone pixels that are predicted, TP / (TP + FN), of each image.

    Args, Returns, Raises: As `precision`; 0.0 also for a false alarm where there is no stone.
    """
    tp, fp, fn = confusion_counts(prediction, target)
    return _ratio(tp, tp + fn + fp * (tp + fn == 0))


def _pooled_counts(predictions: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> np.ndarray:
    if len(predictions) != len(targets):
        raise ValueError(f"predictions must be as many as targets, got {len(predictions)} and "
                         f"{len(targets)}.")
    counts = [confusion_counts(p, t) for p, t in zip(predictions, targets, strict=True)]
    return np.array([[int(c) for c in triple] for triple in counts], np.int64).reshape(-1, 3).sum(0)


def pooled_dice(predictions: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> float:
    """Dice of all pixels of a data set together: large stones count more than small ones.

    Args:
        predictions: Bool arrays (H, W), one an image; sizes may differ from image to image.
        targets: As many bool arrays of the same shapes.

    Returns:
        Value in [0, 1]; NaN if every mask is empty.

    Raises:
        ValueError: If the numbers or shapes of the masks differ.
    """
    tp, fp, fn = _pooled_counts(predictions, targets)
    return float(_ratio(2 * tp, 2 * tp + fp + fn))


def pooled_iou(predictions: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> float:
    """Intersection over union of all pixels of a data set together; arguments and errors as `pooled_dice`."""
    tp, fp, fn = _pooled_counts(predictions, targets)
    return float(_ratio(tp, tp + fp + fn))


def label_stones(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the connected regions of a mask (8-connected: pixels that touch at a corner are one stone).

    Args:
        mask: Bool array (H, W).

    Returns:
        Int32 array (H, W), 0 for background and 1..n for the stones, and n.
    """
    labels, n_stones = ndimage.label(mask, structure=EIGHT_CONNECTED)
    return labels.astype(np.int32), int(n_stones)


def predicted_mask(probability: np.ndarray, threshold: float, min_pixels: int = 0) -> np.ndarray:
    """Turn probabilities into a mask: at least `threshold`, in regions of at least `min_pixels` pixels.

    Args:
        probability: Float array (H, W).
        threshold: Smallest probability that counts as stone.
        min_pixels: Connected regions with fewer pixels are dropped.

    Returns:
        Bool array (H, W).
    """
    mask = probability >= threshold
    if min_pixels <= 1:
        return mask
    labels, _ = label_stones(mask)
    large = np.bincount(labels.ravel()) >= min_pixels
    large[0] = False  # the background is no region
    return large[labels]


def equal_area_diameter(n_pixels: float, spacing_mm: tuple[float, float] = (1.0, 1.0)) -> float:
    """Diameter of the circle that has the area of so many pixels.

    A clinical report gives the longest diameter instead, which is larger for every stone that is not round.

    Args:
        n_pixels: Area in pixels.
        spacing_mm: Height and width of a pixel in millimetres; by default the diameter is in pixels.

    Returns:
        Diameter in millimetres (or pixels).
    """
    return 2 * math.sqrt(n_pixels * spacing_mm[0] * spacing_mm[1] / math.pi)


@dataclass(frozen=True)
class StoneMatch:
    """Which stones of one image were found.

    Attributes:
        found: For each true stone, in the order of `label_stones`, whether a predicted region hit it.
        n_pixels: The area of each true stone in pixels, in the same order.
        n_predicted_pixels: The area of the predicted regions that hit it, together; 0 where it is missed.
        best_iou: The highest IoU of each true stone with any one predicted region that hit it; 0 if missed.
        centres: Row and column of the middle of each true stone (mean over its pixels).
        n_false_positives: Predicted regions that hit no true stone.
        n_merged: Predicted regions that hit more than one true stone: these stones became one.
        n_split: True stones that more than one predicted region hit: one stone became several.
    """

    found: tuple[bool, ...]
    n_pixels: tuple[int, ...]
    n_false_positives: int
    n_predicted_pixels: tuple[int, ...] = ()
    best_iou: tuple[float, ...] = ()
    centres: tuple[tuple[float, float], ...] = ()
    n_merged: int = 0
    n_split: int = 0

    @property
    def n_stones(self) -> int:
        return len(self.found)

    @property
    def n_found(self) -> int:
        return sum(self.found)


def match_stones(prediction: np.ndarray, target: np.ndarray, min_iou: float = 0.0) -> StoneMatch:
    """Compare two masks stone by stone instead of pixel by pixel.

    A true stone is found when some predicted region shares at least one pixel with it and their IoU is at
    least `min_iou`. A predicted region that touches no true stone is a false positive; with `min_iou` > 0 so
    is a region whose IoU with every stone stays below it.

    Args:
        prediction: Bool array (H, W).
        target: Bool array (H, W).
        min_iou: Overlap still counted as a hit, in [0, 1].

    Returns:
        The match, with one entry a true stone.

    Raises:
        ValueError: If a mask is not bool or the shapes differ.
    """
    prediction, target = _check(prediction, target)
    predicted, n_predicted = label_stones(prediction)
    true, n_true = label_stones(target)
    area_predicted = np.bincount(predicted[prediction], minlength=n_predicted + 1)
    area_true = np.bincount(true[target], minlength=n_true + 1)
    stone, region, overlap = _hits(true, predicted, area_true, area_predicted, min_iou)
    regions_of_stone = np.bincount(stone, minlength=n_true + 1)[1:]
    stones_of_region = np.bincount(region, minlength=n_predicted + 1)[1:]
    predicted_pixels = np.bincount(stone, area_predicted[region], minlength=n_true + 1)[1:]
    best_iou = np.zeros(n_true + 1)
    np.maximum.at(best_iou, stone, overlap)
    return StoneMatch(
        found=tuple((regions_of_stone > 0).tolist()),
        n_pixels=tuple(area_true[1:].tolist()),
        n_false_positives=int((stones_of_region == 0).sum()),
        n_predicted_pixels=tuple(predicted_pixels.astype(int).tolist()),
        best_iou=tuple(best_iou[1:].tolist()),
        centres=_centres(true, area_true),
        n_merged=int((stones_of_region > 1).sum()),
        n_split=int((regions_of_stone > 1).sum()),
    )


def _hits(true: np.ndarray, predicted: np.ndarray, area_true: np.ndarray, area_predicted: np.ndarray,
          min_iou: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label of the stone, label of the region and IoU of every pair that overlaps enough."""
    both = (true > 0) & (predicted > 0)
    codes = true[both].astype(np.int64) * len(area_predicted) + predicted[both]
    pairs, shared = np.unique(codes, return_counts=True)
    stone, region = np.divmod(pairs, len(area_predicted))
    overlap = shared / (area_true[stone] + area_predicted[region] - shared)
    enough = overlap >= min_iou
    return stone[enough], region[enough], overlap[enough]


def _centres(labels: np.ndarray, areas: np.ndarray) -> tuple[tuple[float, float], ...]:
    rows, columns = np.nonzero(labels)
    inside = labels[rows, columns]
    sums = (np.bincount(inside, where, minlength=len(areas))[1:] for where in (rows, columns))
    return tuple(zip(*((total / areas[1:]).tolist() for total in sums), strict=True))
