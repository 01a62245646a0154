"""Labels of many images, without keeping the probabilities of all classes of all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from unet_helpers.classes.masks import Labels, predicted_labels
from unet_helpers.engine.progress import progress_bar
from unet_helpers.inference import predict_all

__all__ = ["predict_labels"]

CHUNK = 16  # images whose probabilities are in memory at once


def predict_labels(
    model: nn.Module,
    images: Sequence[np.ndarray],
    max_size: int | None = None,
    progress: bool = False,
    n_views: int = 1,
    factors: Sequence[tuple[float, float] | None] | None = None,
) -> list[Labels]:
    """The class of every pixel of every image.

    Args:
        model: Network to logits (B, n + 1, H, W).
        images: Uint8 arrays (H, W).
        max_size, n_views, factors: As for `inference.predict_all`.
        progress: Whether to show a bar.

    Returns:
        Labels, uint8 (H, W), 0 for background and 1 to n, in the order of `images`.
    """
    labels: list[Labels] = []
    with progress_bar(total=len(images), desc="predicting", unit="image", disable=not progress) as bar:
        for first in range(0, len(images), CHUNK):
            some = slice(first, first + CHUNK)
            own = factors[some] if factors else None
            found = predict_all(model, images[some], max_size=max_size, n_views=n_views, factors=own)
            labels += [predicted_labels(one) for one in found]
            bar.update(len(found))
    return labels
