"""What the rooms of lesson 7 measure: short trainings, labels, logits around stones, a copycat."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn

from unet_helpers.data import Pair, load_arrays
from unet_helpers.engine.progress import progress_bar
from unet_helpers.engine.settings import rehearsed
from unet_helpers.metrics import dice, label_stones, pooled_dice
from unet_helpers.model import UNet
from unet_helpers.transforms import PatchSampler, normalise, to_tensor

__all__ = [
    "batch_dice",
    "copycat_dice",
    "in_company",
    "label_map",
    "logits_around",
    "sampler_of",
    "small_network",
    "train_briefly",
]

Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Draw = Callable[[], tuple[Tensor, Tensor]]
Loss = Callable[[Tensor, Tensor], Tensor]
AIR = 40  # greys below are taken for air around the body


# ------------------------------------------------------------------------------------------- trainings
def small_network() -> UNet:
    """A U-Net with 30,000 parameters and always the same start; untrained, it answers "no stone" anywhere."""
    torch.manual_seed(0)
    return UNet(base_channels=8, depth=3)


def train_briefly(network: nn.Module, draw: Draw, loss: Loss, n_steps: int | None = None) -> list[float]:
    """Train a network on the batches that `draw` gives, and return the loss of every step.

    Args:
        network: Images (B, 1, P, P) -> logits of the same shape; changed in place.
        draw: Gives images, float32 in [-1, 1], and what the loss compares the answer with.
        loss: Takes the network's answer and the target.
        n_steps: Steps of the optimiser; None takes 60, in a rehearsal fewer.
    """
    n_steps = rehearsed(60) if n_steps is None else n_steps
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    curve = []
    for _ in progress_bar(range(n_steps), desc="training", unit="step", leave=False, delay=1.0):
        images, target = draw()
        value = loss(network(images), target)
        optimiser.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        curve.append(value.item())
    return curve


def sampler_of(
    pairs: Sequence[Pair], patch_size: int, on_stones: float, batch_size: int, n_pairs: int = 60
) -> Draw:
    """A function that draws batches from slices with stones, the same ones in every run.

    Args:
        pairs: The training part; the first `n_pairs` are read, or all if these hold no stone.
        patch_size: Side of a patch; one as large as the slices draws whole slices.
        on_stones: Share of the patches that are placed on a stone; up to half as many lie on look-alikes.
        batch_size: Patches a batch.
        n_pairs: How many pairs are read.

    Raises:
        ValueError: If no mask holds a stone.
    """
    images, masks = load_arrays(list(pairs)[:n_pairs])
    if not any(mask.any() for mask in masks):
        images, masks = load_arrays(list(pairs))
    sampler = PatchSampler(images, masks, patch_size, on_stones, min(on_stones / 2, 1 - on_stones))
    generator = torch.Generator().manual_seed(0)

    def draw() -> tuple[Tensor, Tensor]:
        patches, target, _ = sampler.sample(batch_size, generator)
        return normalise(patches), target.float()

    return draw


# ---------------------------------------------------------------------------------- labels and logits
def label_map(image: Grey, mask: Mask) -> NDArray[np.uint8]:
    """A picture with three labels, uint8 (H, W): 0 air around the body, 1 stone, 2 the rest of the body."""
    inside = ndimage.binary_fill_holes(image > AIR)
    labels, n = ndimage.label(inside)
    if n > 1:  # the largest region alone: the table that he lies on is no body
        inside = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    return np.where(mask, 1, np.where(inside, 2, 0)).astype(np.uint8)


def logits_around(
    network: nn.Module, images: Sequence[Grey], masks: Sequence[Mask], side: int = 16, most: int = 60
) -> list[tuple[NDArray[np.float32], Mask]]:
    """Logits and truth of a square around the first section of each mask that holds one.

    Args:
        network: Whole slices -> logits; it is put into eval mode.
        images: Uint8 arrays (H, W).
        masks: Bool arrays of the same shapes; those without a stone are left out.
        side: Side of the square in pixels.
        most: How many squares are enough.
    """
    network.eval()
    cut: list[tuple[NDArray[np.float32], Mask]] = []
    for image, mask in zip(images, masks, strict=True):
        if len(cut) >= most or not mask.any():
            continue
        with torch.no_grad():
            logits = network(to_tensor(image)[None])[0, 0].numpy()
        middle = np.argwhere(label_stones(mask)[0] == 1).mean(axis=0)
        tops = (np.minimum(middle, np.array(mask.shape) - side / 2) - side / 2).clip(0).astype(int)
        box = tuple(slice(int(top), int(top) + side) for top in tops)
        if mask[box].any():  # the middle of a ring may lie far from its pixels
            cut.append((logits[box], mask[box]))
    return cut


def in_company(network: nn.Module, image: Grey, n_blank: int) -> NDArray[np.float32]:
    """Probabilities (H, W) of one slice that shares its batch with blank ones, in the network's own mode.

    The network is copied first: in train mode even an answer changes its running averages.
    """
    slices = torch.stack([to_tensor(image)] + [to_tensor(np.zeros_like(image))] * n_blank)
    with torch.no_grad():
        logits = copy.deepcopy(network)(slices)
    probability: NDArray[np.float32] = logits[0, 0].sigmoid().numpy()
    return probability


# --------------------------------------------------------------------------------------------- scores
def batch_dice(answers: Sequence[Mask], masks: Sequence[Mask], batch_size: int) -> float:
    """The mean over batches of the Dice of each batch's pixels: the number that depends on the batch size."""
    starts = range(0, len(masks), batch_size)
    scores = [pooled_dice(answers[k : k + batch_size], masks[k : k + batch_size]) for k in starts]
    return float(np.mean(scores)) if scores else float("nan")


def copycat_dice(train: Sequence[Pair], others: Sequence[Pair]) -> float:
    """Mean Dice of a program that copies, for each slice with a stone, the mask of the most similar one.

    Args:
        train: Pairs that it remembers.
        others: Pairs that it is asked about; slices of another size than their twin are left out.

    Returns:
        A number in [0, 1]; NaN where there is no slice with a stone.
    """
    if not len(train) or not len(others):
        return float("nan")
    (known, answers), (asked, truth) = load_arrays(list(train)), load_arrays(list(others))
    twins = (_thumbnails(asked) @ _thumbnails(known).T).argmax(axis=1)
    scores = [
        float(dice(answers[twin], mask))
        for twin, mask in zip(twins, truth, strict=True)
        if mask.any() and answers[twin].shape == mask.shape
    ]
    return float(np.mean(scores)) if scores else float("nan")


def _thumbnails(pictures: Sequence[Grey]) -> NDArray[np.float64]:
    """Each slice as 1,024 numbers with mean 0 and length 1: (N, 1024)."""
    small = np.array([np.asarray(Image.fromarray(one).resize((32, 32)), float).ravel() for one in pictures])
    small -= small.mean(axis=1, keepdims=True)
    small /= np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-9)
    return small
