"""Masks of several classes: labels, uint8 (H, W), 0 for background."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unet_helpers.transforms import resize_mask

__all__ = ["Labels", "predicted_labels", "resize_labels"]

Labels = NDArray[np.uint8]


def predicted_labels(probabilities: NDArray[Any]) -> Labels:
    """The most probable class of each pixel.

    Args:
        probabilities: Float array (n + 1, H, W), background first, as `inference.predict` gives it.

    Returns:
        Labels (H, W), 0 to n; of equal probabilities the lower number.

    Raises:
        ValueError: If the array has not at least two channels.
    """
    if probabilities.ndim != 3 or len(probabilities) < 2:
        raise ValueError(
            f"probabilities must be an array (n + 1, H, W), background first, got {probabilities.shape}. For "
            "one class use metrics.predicted_mask."
        )
    labels = np.zeros(probabilities.shape[1:], np.uint8)
    highest = probabilities[0].copy()
    for number, of_class in enumerate(probabilities[1:], start=1):  # argmax would need eight bytes a pixel
        is_higher = of_class > highest
        labels[is_higher] = number
        np.maximum(highest, of_class, out=highest)
    return labels


def resize_labels(labels: Labels, size: tuple[int, int]) -> Labels:
    """Resize labels (H, W) class by class: no label is a mean of two, and no region of any class is lost.

    A pixel is background if more than half of the area that it covers was; else it has the class with the
    largest share. Of a region too small for that, the pixels remain that it covers most, as in
    `transforms.resize_mask`; where two classes claim a pixel like that, the class with fewer pixels has it.
    """
    numbers, counts = np.unique(labels[labels > 0], return_counts=True)
    resized, largest = np.zeros(size, np.uint8), np.zeros(size, np.float32)
    for number in numbers:
        share = np.array(_shares(labels == number, size))
        resized[share > largest] = number
        np.maximum(largest, share, out=largest)
    resized[~resize_mask(labels > 0, size)] = 0
    for number in numbers[np.argsort(-counts, kind="stable")]:
        resized[resize_mask(labels == number, size)] = number
    return resized


def _shares(mask: NDArray[np.bool_], size: tuple[int, int]) -> Image.Image:
    """Share of each new pixel that a mask covers."""
    return Image.fromarray(mask.astype(np.float32)).resize(size[::-1], Image.Resampling.BOX)
