"""Two short experiments of lesson 4: the learning rate, and learning eight slices by heart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unet_helpers.engine.settings import rehearsed
from unet_helpers.losses import bce_dice_loss
from unet_helpers.model import UNet
from unet_helpers.training import learning_rate_factor
from unet_helpers.transforms import PatchSampler, normalise

__all__ = ["N_BY_HEART", "N_STEPS", "by_heart", "train_at"]

N_STEPS, N_BY_HEART, SIDE, BATCH = 80, 240, 64, 6

Images = Sequence[NDArray[np.uint8]]
Masks = Sequence[NDArray[np.bool_]]


def train_at(
    rate: float,
    warm_up: bool,
    images: Images,
    masks: Masks,
    n_steps: int | None = None,
    after_step: Callable[[], object] = lambda: None,
) -> list[float]:
    """Loss of every step of a short training of a new network, always from the same start, on the CPU.

    Args:
        rate: Highest learning rate.
        warm_up: Whether it rises during the first fifth; without, it starts at its highest.
        images: Training slices, uint8 (H, W).
        masks: Their masks, bool (H, W).
        n_steps: Steps of 6 patches of 64 pixels, each on a stone; None takes 80, in a rehearsal fewer.
        after_step: Called after every step.
    """
    n_steps = rehearsed(N_STEPS) if n_steps is None else n_steps
    torch.manual_seed(0)
    network, generator = UNet(), torch.Generator().manual_seed(0)
    sampler = PatchSampler(images, masks, SIDE, stone_fraction=1, lookalike_fraction=0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate)
    losses = []
    for step in range(n_steps):
        factor = learning_rate_factor(step / n_steps, 0.2 if warm_up else 0.0)
        optimiser.param_groups[0]["lr"] = rate * factor
        patches, truth, _ = sampler.sample(BATCH, generator)
        loss = bce_dice_loss(network(normalise(patches)), truth)
        losses.append(loss.item())
        if not np.isfinite(losses[-1]):
            break
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        after_step()
    return losses


def by_heart(
    few: tuple[Images, Masks],
    others: tuple[Images, Masks],
    n_steps: int | None = None,
    every: int = 20,
    after_step: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Train on patches of a few slices alone, and watch the loss there and on slices of other patients.

    Args:
        few: Slices and masks to learn from.
        others: Slices and masks of other patients.
        n_steps: Steps of 6 patches of 64 pixels, each on a stone; None takes 240, in a rehearsal fewer.
        every: Steps between two looks, if there are so many.
        after_step: Called after every step.

    Returns:
        "step", and the losses of fixed patches, "these slices" and "other patients".
    """
    n_steps = rehearsed(N_BY_HEART) if n_steps is None else n_steps
    every = min(every, n_steps)
    torch.manual_seed(0)
    network, generator = UNet(), torch.Generator().manual_seed(0)
    samplers = [PatchSampler(*part, SIDE, stone_fraction=1, lookalike_fraction=0) for part in (few, others)]
    fixed = [sampler.sample(24, generator)[:2] for sampler in samplers]
    optimiser = torch.optim.AdamW(network.parameters(), lr=4e-3)
    curves: dict[str, list[float]] = {"step": [], "these slices": [], "other patients": []}
    for step in range(1, n_steps + 1):
        optimiser.param_groups[0]["lr"] = 4e-3 * learning_rate_factor((step - 1) / n_steps, 0.2)
        patches, truth, _ = samplers[0].sample(BATCH, generator)
        optimiser.zero_grad()
        bce_dice_loss(network(normalise(patches)), truth).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        after_step()
        if step % every == 0:
            curves["step"].append(step)
            for name, (watched, masks) in zip(list(curves)[1:], fixed, strict=True):
                curves[name].append(_loss(network, watched, masks))
    return curves


def _loss(network: UNet, patches: Tensor, masks: Tensor) -> float:
    with torch.no_grad():  # in training mode: the long-term averages lag behind so short a training
        return float(bce_dice_loss(network(normalise(patches)), masks))
