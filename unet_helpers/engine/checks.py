"""What is refused, and the sentence that says so: arrays and lists that do not belong together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = [
    "check_image",
    "check_lengths",
    "check_masks",
    "check_per_image",
    "check_predicted",
    "check_probabilities",
    "check_probability",
    "check_validation",
]


def check_masks(prediction: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as arrays, and refuse all but bool masks (..., H, W) of the same shape."""
    prediction, target = np.asarray(prediction), np.asarray(target)
    remedies = (("prediction", prediction, "probability >= threshold"), ("target", target, "mask > 127"))
    for name, mask, remedy in remedies:
        if mask.dtype != bool:
            raise ValueError(f"{name} must be a bool mask, got {mask.dtype}. Use {remedy}.")
    if prediction.shape != target.shape or prediction.ndim < 2:
        shapes = f"{prediction.shape} and {target.shape}"
        raise ValueError(f"prediction must have the target's shape (..., H, W), got {shapes}.")
    return prediction, target


def check_lengths(predictions: Sequence[Any], targets: Sequence[Any]) -> None:
    """Refuse lists that are empty or not equally long."""
    if not len(targets) or len(predictions) != len(targets):
        lengths = f"{len(predictions)} and {len(targets)}"
        raise ValueError(f"predictions and targets must be equally many and at least one, got {lengths}.")


def check_probability(probability: np.ndarray, target: np.ndarray, where: str = "") -> None:
    """Refuse all but a float array (H, W) in [0, 1] with a bool target (H, W).

    Logits, NaN and infinite values would score as if they were probabilities, and a network of NaN weights
    would read as "no stone". `where` stands behind the argument's name in the message: " 3" for the fourth.
    """
    probability, target, name = np.asarray(probability), np.asarray(target), f"probability{where}"
    if probability.ndim == 3 and target.ndim == 2:
        raise ValueError(
            f"{name} must be that of one class, got {len(probability)} with the background. For class k give "
            "probability[k] and labels == k; classes.scores has the scores of all."
        )
    if target.dtype != bool:
        raise ValueError(f"target{where} must be a bool mask, got {target.dtype}. Use mask > 127.")
    if probability.shape != target.shape:
        raise ValueError(f"{name} must have the target's shape {target.shape}, got {probability.shape}.")
    if not np.issubdtype(probability.dtype, np.floating):
        raise ValueError(f"{name} must be a float array, got {probability.dtype}. Use torch.sigmoid(logits).")
    low, high = (probability.min(), probability.max()) if probability.size else (0, 0)
    if not (low >= 0 and high <= 1):  # also where both are NaN
        n_nan = int(np.isnan(probability).sum())
        actual = f"NaN in {n_nan} of {probability.size} pixels" if n_nan else f"{low:.3g} to {high:.3g}"
        hint = "The network's weights are broken: train it again." if n_nan else "Use torch.sigmoid(logits)."
        raise ValueError(f"{name} must lie in [0, 1], got {actual}. {hint}")


def check_probabilities(probabilities: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> None:
    """Refuse lists of unequal length, and by its index the first image that `check_probability` refuses."""
    check_lengths(probabilities, targets)
    for i, (probability, target) in enumerate(zip(probabilities, targets, strict=True)):
        check_probability(probability, target, f" {i}")


def check_validation(probabilities: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> None:
    """Refuse what `check_probabilities` refuses, and masks none of which holds a stone."""
    check_probabilities(probabilities, targets)
    if not any(target.any() for target in targets):
        n = len(targets)
        raise ValueError(f"targets must hold at least one stone to choose a threshold, got {n} empty masks.")


def check_image(image: np.ndarray, **masks: np.ndarray | None) -> None:
    """Refuse all but a grey image (H, W) and, by their names, bool masks of its shape; None is no mask."""
    if np.ndim(image) != 2:
        raise ValueError(f"image must be a grey array (H, W), got shape {np.shape(image)}.")
    for name, mask in masks.items():
        if mask is not None and (np.shape(mask) != np.shape(image) or np.asarray(mask).dtype != bool):
            need, actual = np.shape(image), f"{np.shape(mask)} {np.asarray(mask).dtype}"
            raise ValueError(f"{name} must be a bool mask of the image's shape {need}, got {actual}.")


def check_per_image(n_images: int, **lists: Sequence[Any] | None) -> None:
    """Refuse lists that do not have one entry an image; None stands for a list that was not given."""
    for name, values in lists.items():
        if values is not None and len(values) != n_images:
            raise ValueError(f"{name} must have one entry an image ({n_images}), got {len(values)}.")


def check_predicted(images: Sequence[np.ndarray], n_views: int) -> None:
    """ValueError if the number of views, or an image, is none that a network can be shown."""
    if n_views not in (1, 2, 4):
        raise ValueError(f"n_views must be 1, 2 or 4 mirrorings, got {n_views}.")
    for image in images:
        if image.ndim != 2 or image.dtype != np.uint8 or not image.size:
            raise ValueError(
                f"image must be a uint8 array (H, W), got {image.dtype} {image.shape}. Use data.load_image."
            )
