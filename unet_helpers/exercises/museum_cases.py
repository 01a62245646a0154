"""The unlabelled case of lesson 7: a small project, made sick in one place, and what each probe reads."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unet_helpers.exercises.museum import batch_dice, small_network
from unet_helpers.metrics import dice
from unet_helpers.transforms import resize_image, to_tensor

__all__ = ["EXHIBITS", "PROBES", "Case", "draw_case", "make_case"]

Mask = NDArray[np.bool_]
Grey = NDArray[np.uint8]

VALUES = "values in the target"
RANGE = "range of what the loss gets"
IOU = "IoU as this project prints it"
HIGHEST = "highest probability"
COMPANY = "largest change in other company"
BATCHES = "mean Dice in batches of 1 and of 4"
BLACK = "mean Dice of a black answer"
SHARED = "patients in both parts"
PROBES = (VALUES, RANGE, IOU, HIGHEST, COMPANY, BATCHES, BLACK, SHARED)

EXHIBITS = {  # the probe that tells each of them
    "mask of 255": VALUES,
    "bilinear mask": VALUES,
    "sigmoid twice": RANGE,
    "metric on logits": IOU,
    "batch-averaged Dice": BATCHES,
    "empty masks counted as 1": BLACK,
    "eval forgotten": COMPANY,
    "all-black collapse": HIGHEST,
    "leakage": SHARED,
}


@dataclass(frozen=True)
class Case:
    """A sick project.

    Attributes:
        exhibit: What it suffers from, a name of `EXHIBITS`.
        readings: What each probe of `PROBES` reads.
    """

    exhibit: str
    readings: dict[str, str]


def draw_case(
    network: nn.Module,
    images: Sequence[Grey],
    masks: Sequence[Mask],
    groups: Sequence[str],
    seed: int | None = None,
) -> Case:
    """Draw one of the nine by chance, see `make_case`, and only one that shows on these slices.

    Args:
        network: A good one; it is copied.
        images: Uint8 arrays (H, W); up to 8 of the first one's size are looked at.
        masks: Bool arrays of the same shapes.
        groups: The patient of every slice of the project.
        seed: Draws the same case again; None draws another one each time.
    """
    chosen = _some(images, masks)
    few, truth = [images[i] for i in chosen], [masks[i] for i in chosen]
    healthy = make_case("none", network, few, truth, groups)
    for name in np.random.default_rng(seed).permutation(list(EXHIBITS)).tolist():
        case = make_case(name, network, few, truth, groups)
        if case.readings[EXHIBITS[name]] != healthy.readings[EXHIBITS[name]]:
            return case
    return healthy


def _some(images: Sequence[Grey], masks: Sequence[Mask]) -> list[int]:
    """Up to five slices with a stone and three without, all of one size."""
    same = [i for i, image in enumerate(images) if image.shape == images[0].shape]
    return [i for i in same if masks[i].any()][:5] + [i for i in same if not masks[i].any()][:3]


def make_case(
    exhibit: str, network: nn.Module, images: Sequence[Grey], masks: Sequence[Mask], groups: Sequence[str]
) -> Case:
    """Make a project sick in one place, and take every reading.

    Args:
        exhibit: A name of `EXHIBITS`; any other one, such as "none", leaves the project healthy.
        network: A good one; it is copied.
        images: Uint8 arrays (H, W) of one size.
        masks: Bool arrays of the same shapes.
        groups: The patient of every slice of the project, of those that are not looked at here as well.
    """
    network = small_network() if exhibit == "all-black collapse" else copy.deepcopy(network)
    network.train(exhibit == "eval forgotten")
    slices = torch.stack([to_tensor(image) for image in images])
    alone = torch.cat([_answer(network, one[None]) for one in slices])  # (B, H, W)
    together = _answer(network, slices)
    found = [one.numpy() >= 0 for one in together]
    gets = together.sigmoid() if exhibit == "sigmoid twice" else together
    probability = together.sigmoid()
    scored = together.numpy() if exhibit == "metric on logits" else np.array(found, float)
    apart = (alone.sigmoid() - probability).abs().max().item()
    readings = {
        VALUES: _values(exhibit, masks),
        RANGE: f"{gets.min().item():.2f} and {gets.max().item():.2f}",
        IOU: f"{_iou(scored, np.array(masks, float)):.3g}",
        HIGHEST: f"{probability.max().item():.2f}",
        COMPANY: f"{apart:.2f}",
        BATCHES: _batches(exhibit, found, masks),
        BLACK: f"{_mean_dice(exhibit, [np.zeros_like(mask) for mask in masks], masks):.2f}",
        SHARED: str(_shared(exhibit, groups)),
    }
    return Case(exhibit, readings)


def _shared(exhibit: str, groups: Sequence[str]) -> int:
    """How many patients are in both parts, where slices were shuffled ("leakage") or patients kept whole."""
    if exhibit == "leakage":
        shuffled = np.random.default_rng(0).permutation(np.array(groups))
        return len(set(shuffled[::2].tolist()) & set(shuffled[1::2].tolist()))
    patients = sorted(set(groups))
    train, val = patients[::2], patients[1::2]
    return len(set(train) & set(val))


def _answer(network: nn.Module, slices: Tensor) -> Tensor:
    """Logits (B, H, W); the network is copied, as train mode changes it."""
    with torch.no_grad():
        logits: Tensor = copy.deepcopy(network)(slices)
    return logits[:, 0]


def _values(exhibit: str, masks: Sequence[Mask]) -> str:
    target = np.array(masks, np.float32)
    if exhibit == "mask of 255":
        target = target * 255
    if exhibit == "bilinear mask":
        size = tuple(round(side * 0.75) for side in target.shape[1:])
        target = np.array([resize_image(one, (size[0], size[1])) for one in target])
    values = np.unique(target)
    few = ", ".join(f"{value:.3g}" for value in values[:4])
    return few if len(values) <= 4 else f"{few}, ... ({len(values)} values)"


def _iou(answer: NDArray[np.floating], target: NDArray[np.floating]) -> float:
    """The formula of the textbook, which takes whatever it is given."""
    overlap = (answer * target).sum()
    return float(overlap / (answer.sum() + target.sum() - overlap))


def _mean_dice(exhibit: str, answers: Sequence[Mask], masks: Sequence[Mask]) -> float:
    each = np.array([dice(answer, mask) for answer, mask in zip(answers, masks, strict=True)], float)
    each = np.nan_to_num(each, nan=1.0) if exhibit == "empty masks counted as 1" else each[~np.isnan(each)]
    return float(each.mean()) if each.size else float("nan")


def _batches(exhibit: str, found: Sequence[Mask], masks: Sequence[Mask]) -> str:
    if exhibit != "batch-averaged Dice":
        once = _mean_dice(exhibit, found, masks)
        return f"{once:.3f} and {once:.3f}"
    holding = [place for place, mask in enumerate(masks) if mask.any()]
    some, truth = [found[place] for place in holding], [masks[place] for place in holding]
    return " and ".join(f"{batch_dice(some, truth, size):.3f}" for size in (1, 4))
