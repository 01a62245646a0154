"""The loss of several classes: cross-entropy of the softmax, and Dice of each class."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

__all__ = ["cross_entropy_dice_loss"]


def cross_entropy_dice_loss(logits: Tensor, labels: Tensor, smooth: float = 1e-5) -> Tensor:
    """Cross-entropy over all pixels, plus one minus the mean soft Dice of the classes in this batch.

    As in `losses.bce_dice_loss` the sums of Dice run over the batch. The background has no part in Dice, for
    it would win it at once; and a class that no pixel of the batch has is left out of the mean: it is neither
    rewarded nor punished, since cross-entropy sees where it is predicted in vain.

    Args:
        logits: Tensor (B, n + 1, H, W) before the softmax, background first, any float type.
        labels: Uint8 tensor (B, 1, H, W) of class numbers, 0 to n.
        smooth: Added to numerator and denominator of Dice.

    Returns:
        Scalar float32 tensor.

    Raises:
        ValueError: If the shapes do not belong together.
    """
    expected = (len(logits), 1, *logits.shape[2:])
    if logits.ndim != 4 or logits.shape[1] < 2 or tuple(labels.shape) != expected:
        raise ValueError(
            "logits must have shape (B, n + 1, H, W) and labels (B, 1, H, W), got "
            f"{tuple(logits.shape)} and {tuple(labels.shape)}. The network needs a logit for each class and "
            "one for the background: in Python out_channels=n + 1."
        )
    logits, target = logits.float(), labels[:, 0].long()  # (B, H, W)
    probability = logits.softmax(1)
    truth = torch.zeros_like(probability).scatter_(1, target[:, None], 1.0)
    shared, predicted, true = ((one.sum((0, 2, 3))[1:]) for one in (probability * truth, probability, truth))
    dice = (2 * shared + smooth) / (predicted + true + smooth)  # (n,)
    is_there = (true > 0).float()
    dice_loss = ((1 - dice) * is_there).sum() / is_there.sum().clamp(min=1)
    return cross_entropy(logits, target) + dice_loss
