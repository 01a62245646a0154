"""One training step: the gradient of a whole batch, even when it fits into memory only in parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from unet_helpers.engine import distributed
from unet_helpers.inference import fast_precision
from unet_helpers.losses import bce_dice_loss

__all__ = ["LossLedger", "batch_gradient", "halving", "is_out_of_memory"]

Result = TypeVar("Result")
Network = Callable[[Tensor], Tensor]


def batch_gradient(
    network: Network,
    model: nn.Module,
    images: Tensor,
    masks: Tensor,
    scaler: torch.amp.GradScaler,
    part_size: int | None = None,
) -> Tensor:
    """Fill `.grad` of the model with the gradient of the loss of the whole batch.

    The Dice loss of a batch is no sum over its images, so parts cannot simply be added up. In parts, a first
    pass without memory for gradients collects all logits; the loss of all of them gives the gradient of every
    logit; a second pass carries it back, part by part. That is the exact gradient of the batch loss. What
    differs from one pass: BatchNorm takes its statistics over a part, and the forward pass is computed twice.

    Args:
        network: `model`, or a compiled form of it.
        model: Holds the parameters.
        images: Float tensor (B, 1, P, P); with several processes the share of this one.
        masks: Bool tensor of the same shape.
        scaler: Multiplies the loss; disabled where 16-bit floats need no scaling.
        part_size: Images that are computed at once; None for all.

    Returns:
        The loss of the whole batch, detached.
    """
    model.zero_grad(set_to_none=True)
    if part_size is None or part_size >= len(images):
        loss = bce_dice_loss(distributed.gather(_logits(network, images)), _gather_masks(masks))
        scaler.scale(loss).backward()
    else:
        parts = images.split(part_size)
        with torch.no_grad(), _batch_norm_momentum(model, 1, 0):
            logits = torch.cat([_logits(network, part).float() for part in parts])
        logits.requires_grad_()
        loss = bce_dice_loss(logits, masks)
        scaler.scale(loss).backward()
        with _batch_norm_momentum(model, len(parts), 1):
            for part, gradient in zip(parts, logits.grad.split(part_size), strict=True):
                answer = _logits(network, part)
                answer.backward(gradient.to(answer.dtype))
    distributed.sum_gradients(model.parameters())
    return loss.detach()


def _logits(network: Network, images: Tensor) -> Tensor:
    with fast_precision(images.device):
        return network(images.contiguous(memory_format=torch.channels_last))  # (B, 1, P, P)


def _gather_masks(masks: Tensor) -> Tensor:
    return distributed.gather(masks.to(torch.uint8)).bool() if distributed.part()[1] > 1 else masks


@contextmanager
def _batch_norm_momentum(model: nn.Module, n_parts: int, strength: float) -> Iterator[None]:
    """Let the running averages move once a batch and not once a part, or (strength 0) not at all."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.momentum]
    before = [norm.momentum for norm in norms]
    try:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = strength * (1 - (1 - momentum) ** (1 / n_parts))
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the CPU had no memory left; CPU and MPS say so in the text only."""
    return (
        isinstance(error, torch.OutOfMemoryError)
        or isinstance(error, RuntimeError)
        and any(
            words in str(error) for words in ("out of memory", "can't allocate memory", "not enough memory")
        )
    )


def halving(attempt: Callable[[int], Result], size: int) -> tuple[Result, int]:
    """Call `attempt(size)`, and after each "out of memory" again with half the size.

    Args:
        attempt: What may run out of memory.
        size: Images at once, to begin with.

    Returns:
        The result and the size that fitted.

    Raises:
        RuntimeError: The last "out of memory", when not even one image fits, or any other error at once.
    """
    while True:
        try:
            return attempt(size), size
        except RuntimeError as error:
            if size <= 1 or not is_out_of_memory(error):
                raise
        # here and not in the handler: the error holds on to the memory of the failed attempt
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        size = (size + 1) // 2


class LossLedger:
    """Losses and gradient norms, left on the device until somebody reads them: reading makes a GPU wait."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, float, Tensor, Tensor, Tensor]] = []

    def note(self, step: int, rate: float, which: Tensor, loss: Tensor, norm: Tensor) -> None:
        """Put one step down: number, learning rate, indices of the images (CPU), loss and norm (scalars)."""
        self.entries.append((step, rate, which, loss, norm))

    def read(self, names: Callable[[list[int]], str], norm_may_overflow: bool = False) -> list[float]:
        """Empty the ledger.

        Args:
            names: Gives the file names of image indices.
            norm_may_overflow: Whether a gradient scaler deals with gradients that are not finite.

        Returns:
            The losses since the last reading, in their order.

        Raises:
            FloatingPointError: If a loss or gradient is not finite, with the first such step, its learning
                rate and its images.
        """
        if not self.entries:
            return []
        values = torch.stack([torch.stack([loss, norm]) for *_, loss, norm in self.entries]).tolist()
        entries, self.entries = self.entries, []
        for (step, rate, which, *_), (loss, norm) in zip(entries, values, strict=True):
            if not math.isfinite(loss) or not (math.isfinite(norm) or norm_may_overflow):
                raise FloatingPointError(
                    f"loss and gradient must be finite, got {loss} and {norm} at step {step}, learning rate "
                    f"{rate:.2g}, images {names(which.tolist())}. Try half the learning rate; the last good "
                    "checkpoint is kept."
                )
        return [loss for loss, _ in values]
