"""From probabilities to a score: choose on validation data, report on test data, beat the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unet_helpers.metrics import dice, iou, match_stones, pooled_dice, pooled_iou, predicted_mask

__all__ = ["THRESHOLDS", "choose_grey_threshold", "choose_threshold", "evaluate", "score_masks"]

THRESHOLDS = tuple(round(0.1 + 0.05 * step, 2) for step in range(17))  # 0.10, 0.15, ... 0.90
MIN_PIXELS = (0, 2, 3)


def _check_lengths(predictions: Sequence[Any], targets: Sequence[Any]) -> None:
    if not len(targets) or len(predictions) != len(targets):
        raise ValueError("predictions and targets must be equally many and at least one, got "
                         f"{len(predictions)} and {len(targets)}.")


def score_masks(predictions: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> dict[str, float]:
    """All scores of a set of predicted masks.

    Args:
        predictions: Bool arrays (H, W), one an image.
        targets: Bool arrays of the same shapes.

    Returns:
        Dict of plain numbers. Means over stone-bearing images are named `..._positive_mean` and come with
        `n_positive`; `clean_negative_rate` is the share of stone-free images without any false alarm;
        `false_positives_per_image` counts predicted regions that touch no stone, over all images;
        `stone_sensitivity` pools over stones (8-connected). A score without any image to stand on is NaN.

    Raises:
        ValueError: If the numbers or shapes of the masks differ.
    """
    _check_lengths(predictions, targets)
    positive = [(p, t) for p, t in zip(predictions, targets, strict=True) if t.any()]
    negative = [p for p, t in zip(predictions, targets, strict=True) if not t.any()]
    matches = [match_stones(p, t) for p, t in zip(predictions, targets, strict=True)]
    n_stones = sum(match.n_stones for match in matches)

    def mean(values: list[Any]) -> float:
        return float(np.mean(values)) if values else float("nan")

    return {
        "n_images": len(targets),
        "n_positive": len(positive),
        "n_stones": n_stones,
        "dice_positive_mean": mean([dice(p, t) for p, t in positive]),
        "iou_positive_mean": mean([iou(p, t) for p, t in positive]),
        "dice_pooled": pooled_dice(predictions, targets),
        "iou_pooled": pooled_iou(predictions, targets),
        "clean_negative_rate": mean([not p.any() for p in negative]),
        "false_positives_per_image": mean([match.n_false_positives for match in matches]),
        "stone_sensitivity": sum(match.n_found for match in matches) / n_stones if n_stones else float("nan"),
    }


def evaluate(probabilities: Sequence[np.ndarray], targets: Sequence[np.ndarray], threshold: float,
             min_pixels: int = 0) -> dict[str, float]:
    """Score probabilities at a threshold that was chosen on other data.

    Args:
        probabilities: Float arrays (H, W), one an image.
        targets: Bool arrays of the same shapes.
        threshold: Smallest probability that counts as stone.
        min_pixels: Predicted regions with fewer pixels are dropped first.

    Returns:
        The dict of `score_masks`, and `threshold` and `min_pixels`.

    Raises:
        ValueError: If the numbers or shapes differ.
    """
    predictions = [predicted_mask(probability, threshold, min_pixels) for probability in probabilities]
    return {**score_masks(predictions, targets), "threshold": float(threshold), "min_pixels": int(min_pixels)}


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
