"""What a training does when a step fails for want of memory or of a compiler: the same step, another way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from unet_helpers.engine.progress import say

if TYPE_CHECKING:
    from unet_helpers.training import Run

__all__ = ["another_way", "in_parts", "is_out_of_memory"]


def another_way(run: Run, error: RuntimeError) -> None:
    """Change `run.network` so that the step that failed may succeed; raise the error if nothing is left.

    Without memory a batch goes through the network in halves, quarters, ... Several processes must all do the
    same, so none of them starts to split its share alone.
    """
    if run.network is not run.plain_network and is_compiler_error(error):
        reason = str(error).strip().partition("\n")[0]
        say(f"torch.compile does not work here ({reason}); going on without it.")
        run.network = run.plain_network
    elif is_out_of_memory(error) and run.part_size > 1 and run.world_size == 1:
        before, run.part_size = run.part_size, (run.part_size + 1) // 2
        say(
            f"Out of memory with {before} patches at once: going on with {run.part_size} at once, and the "
            f"gradient of all {run.config.batch_size}. A step takes longer, and BatchNorm averages over "
            "parts."
        )
        run.network = run.plain_network = partial(in_parts, run.model, part_size=run.part_size)
    else:
        raise error
    run.may_compile = False


def is_compiler_error(error: BaseException) -> bool:
    """Whether the compiler failed (no C++ compiler, no Triton), and not the network."""
    from torch._dynamo.exc import TorchDynamoException

    return isinstance(error, TorchDynamoException)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the CPU had no memory left; CPU and MPS say so in the text only."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    said = isinstance(error, RuntimeError) and any(some in str(error) for some in words)
    return said or isinstance(error, torch.OutOfMemoryError)


def in_parts(model: nn.Module, images: Tensor, part_size: int) -> Tensor:
    """Logits of a batch of which `part_size` images are in memory at once, with their gradient.

    The Dice loss of a batch is no sum over its images, so the gradients of parts cannot simply be added up.
    Here a first pass keeps nothing but the logits, the loss is that of all of them, and `backward` computes
    each part a second time. That is the exact gradient of the batch loss. What differs from one pass:
    BatchNorm takes its statistics over a part, and the forward pass is computed twice.

    Args:
        model: The network.
        images: Float tensor (B, 1, P, P).
        part_size: Images at once.

    Returns:
        Logits (B, C, P, P).
    """
    parts = torch.split(images, part_size)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return _batch_norm_momentum(model, 1, 0), _batch_norm_momentum(model, len(parts), 1)

    call: Callable[..., Tensor] = partial(checkpoint, model, use_reentrant=False, context_fn=contexts)
    return torch.cat([call(part) for part in parts])


@contextmanager
def _batch_norm_momentum(model: nn.Module, n_parts: int, strength: float) -> Iterator[None]:
    """Let the running averages move once a batch and not once a part, or (strength 0) not at all."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = {norm: norm.momentum for norm in norms if norm.momentum}
    try:
        for norm, momentum in before.items():
            norm.momentum = strength * (1 - (1 - momentum) ** (1 / n_parts))
        yield
    finally:
        for norm, momentum in before.items():
            norm.momentum = momentum
