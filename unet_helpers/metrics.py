"""Dice and IoU of pixels, and the match of sections, on bool masks.

Conventions, held by the tests: both masks empty -> NaN (the image says nothing about overlap and is left
out of means, always with n), exactly one empty -> 0, and no epsilon anywhere. Counts are kept per image and
reduced at the end, because a mean of batch means is wrong when the last batch is short.

A connected region of one image is called a section. A stone is the thing in the body; it may show a section
in each of several slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from unet_helpers.engine.checks import check_masks

__all__ = [
    "HIT_IOU",
    "StoneMatch",
    "confusion_counts",
    "dice",
    "divided",
    "iou",
    "label_stones",
    "match_labels",
    "match_stones",
    "overlap_ratios",
    "pooled_dice",
    "predicted_mask",
]

EIGHT_CONNECTED = np.ones((3, 3), bool)  # a diagonal line is one section; SciPy's default sees single pixels
HIT_IOU = 0.1  # smallest overlap of a predicted region with a true section that still finds it


# ---------------------------------------------------------------------------------------- pixel by pixel
def confusion_counts(prediction: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count true positive, false positive and false negative pixels: bool (..., H, W) to three int64 (...).

    Raises:
        ValueError: If a mask is not bool or the shapes differ.
    """
    prediction, target = check_masks(prediction, target)
    regions = (prediction & target, prediction & ~target, ~prediction & target)
    tp, fp, fn = (region.sum(axis=(-2, -1), dtype=np.int64) for region in regions)
    return tp, fp, fn


def overlap_ratios(tp: Any, fp: Any, fn: Any) -> dict[str, tuple[Any, Any]]:
    """Numerator and denominator of each overlap, from numbers or arrays of pixels found, invented, missed."""
    return {
        "dice": (2 * tp, 2 * tp + fp + fn),
        "iou": (tp, tp + fp + fn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
    }


def divided(numerator: Any, denominator: Any) -> Any:
    """Divide numbers or arrays; NaN where there is nothing to divide by."""
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
    score: np.ndarray | float = divided(*overlap_ratios(*confusion_counts(prediction, target))["dice"])
    return score


def iou(prediction: np.ndarray, target: np.ndarray) -> np.ndarray | float:
    """Intersection over union (Jaccard index) of each image, TP / (TP + FP + FN).

    Args, Returns, Raises: As `dice`.
    """
    score: np.ndarray | float = divided(*overlap_ratios(*confusion_counts(prediction, target))["iou"])
    return score


def pooled_dice(predictions: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> float:
    """Dice of all pixels of a data set together: large stones count more than small ones.

    Args:
        predictions: Bool arrays (H, W), one an image; sizes may differ from image to image.
        targets: As many bool arrays of the same shapes.

    Returns:
        Value in [0, 1]; NaN if every mask is empty. Raises as `dice`.
    """
    n_predictions, n_targets = len(predictions), len(targets)
    if n_predictions != n_targets:
        raise ValueError(f"predictions must be as many as targets, got {n_predictions} and {n_targets}.")
    counts = [confusion_counts(p, t) for p, t in zip(predictions, targets, strict=True)]
    tp, fp, fn = np.array(counts, np.int64).reshape(len(counts), 3).sum(0)
    return float(divided(*overlap_ratios(tp, fp, fn)["dice"]))


# --------------------------------------------------------------------------------- probabilities to masks
def label_stones(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the connected regions of a mask (8-connected: pixels that touch at a corner are one section).

    Args:
        mask: Bool array (H, W).

    Returns:
        Int32 array (H, W), 0 for background and 1..n for the sections, and n.
    """
    labels, n_sections = ndimage.label(mask, structure=EIGHT_CONNECTED)
    return labels.astype(np.int32, copy=False), int(n_sections)


def predicted_mask(probability: np.ndarray, threshold: float, min_pixels: int = 0) -> np.ndarray:
    """Turn probabilities into a mask: at least `threshold`, in regions of at least `min_pixels` pixels.

    Args:
        probability: Float array (H, W).
        threshold: Smallest probability that counts as stone.
        min_pixels: Connected regions with fewer pixels are dropped.

    Returns:
        Bool array (H, W).
    """
    mask: np.ndarray = probability >= threshold
    if min_pixels <= 1:
        return mask
    labels, _ = label_stones(mask)
    region_of = labels[mask]  # of each pixel of a region: few, where a whole image would take much memory
    is_large: np.ndarray = np.bincount(region_of) >= min_pixels  # by the number of the region
    mask[mask] = is_large[region_of]
    return mask


# -------------------------------------------------------------------------------------- section by section
@dataclass(frozen=True)
class StoneMatch:
    """Which true sections of one image were found, in the order of `label_stones`.

    Attributes:
        found: For each section, whether a predicted region was matched with it.
        touched: For each section, whether it shares a pixel with any predicted region.
        n_pixels: The area of each section in pixels.
        regions: The number of the region matched with it in the labels of the prediction; 0 if missed.
        n_predicted_pixels: The area of that region; 0 if missed.
        iou: IoU with that region; 0 if missed.
        centres: Row and column of the middle of each section (mean over its pixels).
        n_false_positives: Predicted regions that were matched with no section.
        n_merged: Predicted regions that touch more than one section: these became one.
        n_split: Sections that more than one predicted region touches: one became several.
    """

    found: tuple[bool, ...]
    touched: tuple[bool, ...]
    n_pixels: tuple[int, ...]
    regions: tuple[int, ...]
    n_predicted_pixels: tuple[int, ...]
    iou: tuple[float, ...]
    centres: tuple[tuple[float, float], ...]
    n_false_positives: int
    n_merged: int
    n_split: int

    @property
    def n_sections(self) -> int:
        return len(self.found)

    @property
    def n_found(self) -> int:
        return sum(self.found)

    @property
    def n_touched(self) -> int:
        return sum(self.touched)


def match_stones(prediction: np.ndarray, target: np.ndarray) -> StoneMatch:
    """Compare two masks section by section instead of pixel by pixel.

    Predicted regions and true sections are matched one to one, from the highest IoU down, as far as the IoU
    is at least `HIT_IOU`. A section that has a partner is found. A region that has none is a false alarm,
    also where it touches a section: so "everything is stone" finds nothing, and one region finds one section.
    If all sections are found without a false alarm, Dice is at least 2 * 0.1 / 1.1. The overlap asked for is
    that low because a section of 2 x 2 pixels drawn one pixel off in both directions has an IoU of 1 / 7.

    Args:
        prediction: Bool array (H, W).
        target: Bool array (H, W).

    Raises:
        ValueError: If a mask is not bool or the shapes differ.

    Reference: Maier-Hein, Reinke and others (2024), Metrics Reloaded, Nature Methods 21:195
    """
    prediction, target = check_masks(prediction, target)
    predicted, n_predicted = label_stones(prediction)
    true, n_true = label_stones(target)
    area_predicted = np.bincount(predicted[prediction], minlength=n_predicted + 1)  # by number; of 0: 0
    area_true = np.bincount(true[target], minlength=n_true + 1)
    partner, iou, section, region = match_labels(true, predicted, area_true, area_predicted)
    return StoneMatch(
        found=tuple((partner > 0).tolist()),
        touched=tuple((np.bincount(section, minlength=n_true + 1)[1:] > 0).tolist()),
        n_pixels=tuple(area_true[1:].tolist()),
        regions=tuple(partner.tolist()),
        n_predicted_pixels=tuple(area_predicted[partner].tolist()),
        iou=tuple(iou.tolist()),
        centres=_centres(true, area_true),
        n_false_positives=n_predicted - int((partner > 0).sum()),
        n_merged=int((np.bincount(region) > 1).sum()),
        n_split=int((np.bincount(section) > 1).sum()),
    )


def match_labels(
    true: np.ndarray, predicted: np.ndarray, area_true: np.ndarray, area_predicted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The match of `match_stones` for masks whose n sections and whose regions are numbered already.

    Args:
        true: Number of the section of each pixel, 0 for background; pixels without both may be left out.
        predicted: Number of the region of the same pixels.
        area_true: Area of each section by its number, (n + 1,).
        area_predicted: Area of each region by its number.

    Returns:
        Of each section (n,) its region and their IoU, 0 where it is missed; and of each pair that shares a
        pixel the number of the section and that of the region.
    """
    both = (true > 0) & (predicted > 0)
    codes = true[both].astype(np.int64) * len(area_predicted) + predicted[both]  # one number a pair
    pairs, n_shared = np.unique(codes, return_counts=True)
    section, region = np.divmod(pairs, len(area_predicted))
    overlap = n_shared / (area_true[section] + area_predicted[region] - n_shared)
    partner, iou = np.zeros(len(area_true) - 1, np.int64), np.zeros(len(area_true) - 1)
    for k in np.argsort(-overlap, kind="stable"):  # ties go to lower numbers
        if overlap[k] < HIT_IOU:
            break
        if partner[section[k] - 1] == 0 and region[k] not in partner:
            partner[section[k] - 1], iou[section[k] - 1] = region[k], overlap[k]
    return partner, iou, section, region


def _centres(labels: np.ndarray, areas: np.ndarray) -> tuple[tuple[float, float], ...]:
    rows, columns = np.nonzero(labels)
    inside = labels[rows, columns]
    sums = (np.bincount(inside, where, minlength=len(areas))[1:] for where in (rows, columns))
    return tuple(zip(*((total / areas[1:]).tolist() for total in sums), strict=True))
