"""What is wrong with a validation: each slip has a sentence of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unet_helpers.exercises import NotAttempted
from unet_helpers.exercises.calling import called, kind_of, number_of
from unet_helpers.exercises.pretend_gpu import APART, PretendGPU, place_of
from unet_helpers.exercises.watched_step import Lent
from unet_helpers.metrics import dice, iou, pooled_dice

__all__ = ["judge_validation"]

CPU = torch.device("cpu")
Images = list[NDArray[np.uint8]]
Masks = list[NDArray[np.bool_]]

ADVICE = {
    "found at least two devices": "image and network lie on different devices: send the tensor there with "
    "`.to(device)`, and keep what it returns.",
    "expected scalar type": "the network got whole numbers, 0 to 255: `to_tensor` makes the floats it needs.",
    "should be the same": "the network got whole numbers, 0 to 255: `to_tensor` makes the floats it needs.",
    "convert cuda:0 device type tensor": "NumPy works on the CPU alone: `.cpu()` comes before `.numpy()`.",
    "call numpy() on Tensor that requires grad": "gradients are recorded: use `with torch.no_grad():`.",
    "must be a bool mask": "`dice` wants masks, arrays of True and False: where are the logits above 0?",
    "expected 4D": "the network wants four axes: `to_tensor(image)[None]` has the batch axis in front.",
    "Expected 3D": "the network wants four axes: `to_tensor(image)[None]` has the batch axis in front.",
    "must have the target's shape": "the answer has more axes than the mask: take `[0, 0]`, the one image "
    "and the one channel.",
    "context manager": "`with` wants something that can be entered: `torch.no_grad()`, with brackets.",
    "'numpy.ndarray' object has no attribute 'to'": "only tensors have `.to`: `to_tensor(image)` makes one "
    "of the image, and the mask stays a NumPy array.",
    "`.cuda()` needs a GPU": "`.cuda()` fails wherever there is no GPU; write `.to(device)`.",
}


class Net(Lent, nn.Module):
    """Bright is stone; it notes how it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor([0.0]))
        self.modes: list[tuple[bool, bool]] = []

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 1, H, W) -> logits of the same shape: the greys, a little louder."""
        if place_of(images) != "gpu":  # what `torch.from_numpy` makes carries no mark
            raise RuntimeError(APART)
        if images.ndim != 4:
            raise RuntimeError(f"expected 4D input (B, 1, H, W), got {tuple(images.shape)}")
        if not images.is_floating_point():
            raise RuntimeError("expected scalar type Float but found Byte")
        self.modes.append((self.training, torch.is_grad_enabled()))
        logits: Tensor = 2 * images + self.level
        return logits


def scans(seed: int) -> tuple[Images, Masks]:
    """Five slices of two sizes, one without a stone; the network is right in some pixels of each."""
    random = np.random.default_rng(seed)
    images = [random.integers(0, 256, size, dtype=np.uint8) for size in [(8, 8)] * 3 + [(6, 10)] * 2]
    shares = 0.1, 0.3, 0.0, 0.6, 0.2
    return images, [random.random(image.shape) < share for image, share in zip(images, shares, strict=True)]


def judge_validation(answer: Any) -> str | None:
    """None if a function does what `loop.validate` does, else one sentence about the first slip."""
    if not callable(answer):
        return f"a function was expected, got {kind_of(answer)}. Give its name alone, without brackets."
    for seed in (0, 1):
        verdict = _judge_once(answer, *scans(seed))
        if verdict:
            return verdict
    return None


def _judge_once(answer: Callable[..., Any], images: Images, masks: Masks) -> str | None:
    net = Net()
    with PretendGPU(net):
        outcome = called(answer, (net, images, masks, CPU))
    if outcome.dots:
        raise NotAttempted
    if outcome.problem:
        found = [sentence for words, sentence in ADVICE.items() if words in outcome.problem]
        return f"{found[0]} In detail: {outcome.problem}" if found else outcome.problem
    return _mode(net) or _score(outcome.result, images, masks)


def _mode(net: Net) -> str | None:
    if not net.modes:
        return "the network was never asked."
    if any(training for training, _ in net.modes):
        return "the network is still in training mode: there its answer depends on what else is in the batch."
    if any(recorded for _, recorded in net.modes):
        return "gradients are recorded, which nobody will use: that costs memory. `with torch.no_grad():`."
    if not net.training:
        return "afterwards the network stays in evaluation mode, and the next step would train it so."
    return None


def _score(result: Any, images: Images, masks: Masks) -> str | None:
    if result is None:
        return "your function returns None. Is `return` there?"
    value = number_of(result)
    if value is None:
        return f"one number was expected, the mean, got {kind_of(result)}."
    found = [image / 127.5 - 1 > 0 for image in images]
    both = [(f, mask) for f, mask in zip(found, masks, strict=True) if mask.any()]
    right = float(np.mean([dice(f, mask) for f, mask in both]))
    if abs(value - right) < 1e-4:
        return None
    for wrong, sentence in _known(images, found, masks, both):
        if abs(value - wrong) < 1e-4:
            return sentence
    if math.isnan(value):
        return (
            "your mean is NaN. Was any Dice put into `scores`? And a slice without a stone has none: leave "
            "it out (`mask.any()`)."
        )
    return "the parts are right, but the number is not the mean Dice of the slices that hold a stone."


def _known(
    images: Images, found: Masks, masks: Masks, both: list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]
) -> list[tuple[float, str]]:
    def mean(*scores: float) -> float:
        return float(np.mean(scores))

    at_half = [2 * (image / 127.5 - 1) > 0.5 for image in images]
    filled = [float(dice(f, mask)) if mask.any() else 0.0 for f, mask in zip(found, masks, strict=True)]
    each = [float(dice(f, mask)) for f, mask in both]
    return [
        (
            mean(*(float(dice(f, m)) for f, m in zip(at_half, masks, strict=True) if m.any())),
            "you cut the *logits* at 0.5. A probability of one half is a logit of 0.",
        ),
        (
            mean(*filled),
            "slices without a stone count as 0 in your mean, although there was nothing to find: leave them "
            "out.",
        ),
        (
            mean(*(1.0 if not m.any() else s for s, m in zip(filled, masks, strict=True))),
            "slices without a stone count as 1 in your mean: leave them out.",
        ),
        (
            pooled_dice(found, masks),
            "this is the Dice of all slices in one heap; take the mean over slices.",
        ),
        (mean(*(float(iou(f, m)) for f, m in both)), "this is another score than Dice; use `uh.dice`."),
        (sum(each), "this is the sum of all Dice values; divide it by their number."),
        (each[-1], "this is the Dice of the last slice alone: put every one into the list `scores`."),
        (each[0], "this is the Dice of the first slice alone. Is `return` inside of the loop?"),
        (max(each), "this is the best Dice; the mean is asked for."),
        (
            mean(*(float(dice(~f, m)) for f, m in both)),
            "you mark what is *not* stone: above 0 is stone.",
        ),
    ]
