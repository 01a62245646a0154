"""Losses on logits: binary cross-entropy, soft Dice, and their sum."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

__all__ = ["bce_dice_loss", "bce_loss", "dice_loss"]


def _check(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if logits.shape != target.shape:
        raise ValueError(
            f"target must have the logits' shape {tuple(logits.shape)}, got {tuple(target.shape)}."
        )
    # float32 first: in bfloat16 sigmoid(7) is exactly 1, and a float16 sum of a 512 x 512 image overflows
    return logits.float(), target.float()


def bce_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy, the mean over all pixels.

    Args:
        logits: Tensor (B, C, H, W) before the sigmoid, any float type.
        target: Tensor of the same shape with values 0 and 1.

    Returns:
        Scalar float32 tensor.

    Raises:
        ValueError: If the shapes differ.
    """
    logits, target = _check(logits, target)
    return binary_cross_entropy_with_logits(logits, target)


def dice_loss(logits: Tensor, target: Tensor, smooth: float = 1e-5) -> Tensor:
    """One minus the soft Dice of the whole batch.

    The sums run over the batch, not over each image: image by image, a stone-free image gives almost no
    gradient. A batch without any stone reads close to 1 even for a near-perfect output, since `smooth` is
    small against the sum of many tiny probabilities: it is the gradient that counts there, not the value.

    Args:
        logits: Tensor (B, C, H, W) before the sigmoid, any float type.
        target: Tensor of the same shape with values 0 and 1.
        smooth: Added to numerator and denominator, so that an empty batch divides nothing by nothing.

    Returns:
        Scalar float32 tensor in [0, 1].

    Raises:
        ValueError: If the shapes differ.

    Reference: Milletari, Navab, Ahmadi (2016), V-Net, arXiv:1606.04797 (there with squared probabilities
        in the denominator; here the plain sums).
    """
    logits, target = _check(logits, target)
    probability = logits.sigmoid()
    intersection = (probability * target).sum()
    return 1 - (2 * intersection + smooth) / (probability.sum() + target.sum() + smooth)


def bce_dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy plus batch Dice loss, 1 : 1. Arguments and errors as `dice_loss`.

    Cross-entropy judges every pixel alone and gives smooth gradients early on; Dice looks at the overlap and
    does not drown a small stone in background.
    """
    return bce_loss(logits, target) + dice_loss(logits, target)
