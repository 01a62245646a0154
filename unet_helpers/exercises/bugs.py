"""Three training loops on the same patches for lesson 4: a healthy one, and two with a line gone wrong."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unet_helpers.engine.settings import rehearsed
from unet_helpers.losses import bce_dice_loss
from unet_helpers.model import UNet
from unet_helpers.transforms import normalise

__all__ = ["KINDS", "N_STEPS", "train"]

N_STEPS = 80
KINDS = ("old optimiser", "healthy", "no zero_grad")


def train(
    patches: Tensor,
    masks: Tensor,
    kind: str,
    n_steps: int | None = None,
    after_step: Callable[[], object] = lambda: None,
) -> list[float]:
    """Losses of a training on the same patches again and again, on the CPU.

    Args:
        patches: Uint8 (B, 1, P, P).
        masks: Bool (B, 1, P, P).
        kind: One of `KINDS`. "old optimiser": the network was made anew and the optimiser was not.
            "no zero_grad": gradients pile up.
        n_steps: Steps; None takes 80, in a rehearsal fewer.
        after_step: Called after every step.
    """
    n_steps = rehearsed(N_STEPS) if n_steps is None else n_steps
    torch.manual_seed(0)
    network = UNet()
    optimiser = torch.optim.AdamW(network.parameters(), lr=4e-3)
    if kind == "old optimiser":
        torch.manual_seed(0)
        network = UNet()
    losses = []
    for _ in range(n_steps):
        loss = bce_dice_loss(network(normalise(patches)), masks)
        if kind != "no zero_grad":
            optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
        after_step()
    return losses
