"""What a network in training says about the validation images, and what that is worth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unet_helpers.inference import predict_all
from unet_helpers.training import Run

__all__ = ["answers", "mean_over_classes"]

VALIDATION_CHUNK = 256  # images whose probabilities are in memory at once


def answers(run: Run) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Probabilities and truth of each validation image; the snapshots see them on the way."""
    images, masks = run.val
    for first in range(0, len(images), VALIDATION_CHUNK):
        some = range(first, min(first + VALIDATION_CHUNK, len(images)))
        probabilities = predict_all(run.model, [images[i] for i in some], batch_size=16)  # (H, W) each
        if run.snapshots:
            run.snapshots.take(run.step, first, probabilities)
        yield from zip(probabilities, (masks[i] for i in some), strict=True)


def mean_over_classes(run: Run) -> float:
    """Mean over the classes of their mean Dice, see `classes.training.mean_dice`."""
    from unet_helpers.classes.training import mean_dice

    return mean_dice(answers(run), len(run.classes))
