"""What a training of several classes needs beside that of one: a network, a loss, and a validation Dice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from unet_helpers.classes.losses import cross_entropy_dice_loss
from unet_helpers.classes.masks import Labels, predicted_labels
from unet_helpers.data import Pair
from unet_helpers.folders.mask_rules import Classes
from unet_helpers.losses import bce_dice_loss
from unet_helpers.metrics import dice
from unet_helpers.model import UNet
from unet_helpers.training import Loss

__all__ = [
    "check_masks",
    "check_network",
    "dice_by_class",
    "loss_of_run",
    "mean_dice",
    "new_network",
    "of_pairs",
]

BACKGROUND_BIAS = 0.0  # beside the -4 of every class: at first nearly all is background, as it mostly is


def of_pairs(pairs: Iterable[Pair]) -> Classes:
    """Name and value of each class of pairs; empty for one class.

    Raises:
        ValueError: If the pairs have different classes.
    """
    different = list(dict.fromkeys(pair.classes for pair in pairs))
    if len(different) > 1:
        names = [[name for name, _ in one] for one in different[:2]]
        raise ValueError(
            f"pairs must all have the same classes, got {names[0] or 'one class'} and "
            f"{names[1] or 'one class'}. Find them by one call of find_pairs, with one text for masks."
        )
    return different[0] if different else ()


def new_network(classes: Classes, **settings: Any) -> UNet:
    """A `UNet` with a logit for the background and one for each class; the usual one without classes."""
    if not classes:
        return UNet(**settings)
    network = UNet(**{**settings, "out_channels": len(classes) + 1})
    with torch.no_grad():
        assert network.head.bias is not None
        network.head.bias[: network.settings["unshuffle"] ** 2] = BACKGROUND_BIAS
    return network


def check_network(model: nn.Module, classes: Classes) -> None:
    """Refuse a network whose settings say that it has another number of logits; ValueError."""
    has = getattr(model, "settings", {}).get("out_channels")
    needed = len(classes) + 1 if classes else 1
    if has is not None and has != needed:
        what = f"{len(classes)} classes and their background" if classes else "one class"
        hint = f"Give a network of so many, in Python UNet(out_channels={needed})" + (
            "." if classes else ", or pairs that have classes."
        )
        raise ValueError(f"model must have {needed} logits a pixel, of {what}, got {has}. {hint}")


def check_masks(classes: Classes, masks: Iterable[np.ndarray]) -> None:
    """Refuse training masks that show none of a class; ValueError."""
    missing = set(range(1, len(classes) + 1))
    for mask in masks:
        if not missing:
            return
        missing -= set(np.unique(mask).tolist())
    if missing:
        names = ", ".join(classes[number - 1][0] for number in sorted(missing))
        raise ValueError(
            f"train_pairs must show every class, got none of {names}. Leave it out of the classes, or try "
            "another split seed."
        )


def loss_of_run(loss: Loss) -> Loss:
    """The loss that was asked for; that of several classes in place of the usual one."""
    return cross_entropy_dice_loss if loss is bce_dice_loss else loss


def mean_dice(answers: Iterable[tuple[np.ndarray, np.ndarray]], n_classes: int) -> float:
    """Mean over classes of the mean Dice over the images that show the class.

    Args:
        answers: Of each image the probabilities (n + 1, H, W) and the labels (H, W).
        n_classes: Number n of classes; one that no image shows is left out.
    """
    scores: Sequence[list[float]] = [[] for _ in range(n_classes)]
    for probabilities, labels in answers:
        for number, score in dice_by_class(predicted_labels(probabilities), labels).items():
            scores[number - 1].append(score)
    return float(np.mean([np.mean(of_class) for of_class in scores if of_class]))


def dice_by_class(predicted: Labels, labels: Labels) -> dict[int, float]:
    """Dice of each class that the true labels show, by its number."""
    numbers = np.unique(labels[labels > 0]).tolist()
    return {number: float(dice(predicted == number, labels == number)) for number in numbers}
