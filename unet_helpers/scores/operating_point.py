"""The point of the FROC curve at which a network is used, chosen on validation data by its false alarms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unet_helpers.engine.checks import check_validation
from unet_helpers.scores.curves import froc

__all__ = ["choose_operating_point"]


def choose_operating_point(
    probabilities: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    max_false_positives: float,
    min_pixels: int = 0,
) -> float:
    """Threshold that finds the most sections at no more than so many false alarms an image.

    `evaluation.choose_threshold` looks at the outlines (Dice) of stone-bearing images alone. Where the
    network meets another kind of scans, the false alarms decide whether anyone will use it: fix what a reader
    can bear, and take what sensitivity that buys; of equal ones the fewest false alarms, then the lowest
    threshold.

    Args:
        probabilities: Float arrays (H, W) of the validation images.
        targets: Bool arrays of the same shapes; at least one holds a stone.
        max_false_positives: Highest mean number of false positive regions an image.
        min_pixels: Predicted regions with fewer pixels are dropped.

    Returns:
        The threshold, one of `curves.FROC_THRESHOLDS`.

    Raises:
        ValueError: If no target holds a stone, a probability is none, or no threshold is good enough.
    """
    check_validation(probabilities, targets)
    curve = froc(probabilities, targets, min_pixels=min_pixels)
    points = zip(curve["sensitivity"], curve["false_positives_per_image"], curve["threshold"], strict=True)
    allowed = [(-found, false, value) for found, false, value in points if false <= max_false_positives]
    if not allowed:
        fewest = f"the fewest are {min(curve['false_positives_per_image']):.3g} an image"
        raise ValueError(f"max_false_positives must be reachable, got {max_false_positives}: {fewest}.")
    found, false, threshold = min(allowed)  # tuples are compared number by number
    if not found and false:
        raise ValueError(
            f"probabilities must find a section at {max_false_positives} false alarms an image "
            "or fewer, got false alarms alone at every threshold. Train the network longer."
        )
    return threshold
