"""The experiment of lesson 3: two networks learn six patches by heart, one without its skip connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from unet_helpers.data import Pair, load_pair
from unet_helpers.engine.progress import progress_bar
from unet_helpers.engine.settings import rehearsed
from unet_helpers.losses import bce_dice_loss
from unet_helpers.metrics import label_stones, pooled_dice
from unet_helpers.transforms import normalise

__all__ = ["giant_and_small", "learn_by_heart"]

Curves = dict[str, list[float]]


def giant_and_small(pairs: Sequence[Pair], n_small: int = 5, side: int = 64) -> tuple[Tensor, Tensor]:
    """Cut patches around one giant stone and several small ones, each of another group.

    The giant is the largest section of all, the others are the smallest that have 9 pixels or more.

    Args:
        pairs: Images and masks, for example the training part.
        n_small: Number of small stones.
        side: Side P of the patches in pixels; the images must be at least as large.

    Returns:
        Patches uint8 (1 + n_small, 1, P, P), the giant first, and their masks, bool of the same shape.

    Raises:
        ValueError: If there are too few slices with one section.
    """
    sized = []
    for pair in pairs:
        image, mask = load_pair(pair)
        if mask.sum() >= 9 and label_stones(mask)[1] == 1 and min(mask.shape) >= side:
            sized.append((int(mask.sum()), pair.image_path.name, pair.group, image, mask))
    sized.sort(key=lambda one: one[:2])
    chosen = sized[-1:]
    for one in sized[:-1]:
        if len(chosen) <= n_small and one[2] not in {other[2] for other in chosen}:
            chosen.append(one)
    if len(chosen) <= n_small:
        raise ValueError(
            f"pairs must hold slices with one section from {n_small + 1} groups, got {len(chosen)}. "
            "Give the training part of the whole data set."
        )
    cut = [_cut(image, mask, side) for _, _, _, image, mask in chosen]
    patches, masks = (np.stack(parts)[:, None] for parts in zip(*cut, strict=True))
    return torch.from_numpy(patches), torch.from_numpy(masks)


def _cut(image: np.ndarray, mask: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The square of that side around the middle of the mask, inside the image."""
    rows, columns = np.nonzero(mask)
    top = int(min(max(round(rows.mean()) - side // 2, 0), mask.shape[0] - side))
    left = int(min(max(round(columns.mean()) - side // 2, 0), mask.shape[1] - side))
    return image[top : top + side, left : left + side], mask[top : top + side, left : left + side]


def learn_by_heart(
    networks: Mapping[str, Callable[..., nn.Module]],
    patches: Tensor,
    truth: Tensor,
    channels: Sequence[int],
    n_steps: int = 250,
    marked: int = 80,
) -> tuple[dict[str, Curves], dict[str, Tensor]]:
    """Train networks on the same few patches again and again, from the same start, and watch their Dice.

    Args:
        networks: Classes by name, made as `PlainUNet(1, 1, channels)`.
        patches: Uint8 (B, 1, P, P), that of the giant stone first.
        truth: Bool of the same shape.
        channels: Channels of each level.
        n_steps: Steps of the training; fewer in a rehearsal.
        marked: Step whose answers are kept; the last one, if there are fewer.

    Returns:
        For each network the Dice after every step, pooled over "all" patches and over all but the first
        ("small"); and its answers at step `marked`, bool (B, 1, P, P).
    """
    n_steps = rehearsed(n_steps)
    marked = min(marked, n_steps)
    curves, answers = {}, {}
    for name, make in networks.items():
        torch.manual_seed(0)
        curves[name], answers[name] = _learnt(make(1, 1, channels), patches, truth, n_steps, marked)
    return curves, answers


def _learnt(
    network: nn.Module, patches: Tensor, truth: Tensor, n_steps: int, marked: int
) -> tuple[Curves, Tensor]:
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    greys, network = normalise(patches), network.train()
    masks, curves, kept = list(truth[:, 0].numpy()), Curves(all=[], small=[]), truth
    bar = progress_bar(range(1, n_steps + 1), desc="learning by heart", unit="step", leave=False, delay=1.0)
    for step in bar:
        logits = network(greys)
        found = list((logits > 0)[:, 0].numpy())
        curves["all"].append(pooled_dice(found, masks))
        curves["small"].append(pooled_dice(found[1:], masks[1:]))
        if step == marked:
            kept = logits.detach() > 0
        optimiser.zero_grad()
        bce_dice_loss(logits, truth).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return curves, kept
