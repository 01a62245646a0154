"""A tiny training whose every part takes notes: it judges the training step that a student writes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from unet_helpers.engine.devices import fast_precision
from unet_helpers.exercises.calling import Outcome, called
from unet_helpers.exercises.pretend_gpu import PretendGPU, put
from unet_helpers.transforms import normalise

__all__ = ["Net", "Notes", "in_sixteen_bits", "take_steps"]

SCALE = 1024.0  # of the gradient scaler
CPU = torch.device("cpu")


@dataclass
class Notes:
    """What happened in one call of a training step; numbers are NaN until something sets them.

    Attributes:
        events: Names in the order in which they happened.
        inputs: Smallest and largest value that the network got.
        training, sixteen_bits: How the network was asked.
        backward_in_sixteen: Whether autocast was still on in backward.
        fresh: Norm of the gradient that backward computed.
        piled: Whether it was added to an older one.
        norm: Norm of the gradient that the optimiser followed.
        changed: Whether the gradient's direction was changed on the way there.
        outcome: What the call gave.
        weights: The network's, after it.
    """

    events: list[str] = field(default_factory=list)
    inputs: tuple[float, float] = (0.0, 0.0)
    training: bool = True
    sixteen_bits: bool = True
    backward_in_sixteen: bool = False
    fresh: float = float("nan")
    piled: bool = False
    norm: float = float("nan")
    changed: bool = False
    outcome: Outcome = field(default_factory=Outcome)
    weights: Tensor = field(default_factory=lambda: torch.zeros(0))

    def count(self, event: str) -> int:
        """How often something happened."""
        return self.events.count(event)

    def before(self, first: str, second: str) -> bool:
        """Whether both happened, and the first one first."""
        return first in self.events and second in self.events[self.events.index(first) :]


class Lent:
    """Not copied with the arguments of a call: the notes are wanted."""

    notes: Notes

    def __deepcopy__(self, memo: Any) -> Any:
        return self


class Net(Lent, nn.Module):
    """One convolution, and a gain that makes its gradient as long as a case needs it."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain, self.notes = gain, Notes()
        self.conv = nn.Conv2d(1, 1, 3, padding=1, bias=False)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weights in self.parameters():
                weights.copy_(0.3 * torch.randn(weights.shape, generator=generator))
        self.conv.weight.register_hook(self._fresh)  # type: ignore[no-untyped-call]
        self.conv.weight.register_post_accumulate_grad_hook(self._gathered)  # type: ignore[no-untyped-call]
        self.gradient = torch.zeros(0)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 1, P, P) -> logits of the same shape."""
        notes = self.notes
        notes.events.append("forward")
        notes.training = self.training
        notes.sixteen_bits = torch.is_autocast_enabled("cpu")
        notes.inputs = float(images.detach().min()), float(images.detach().max())
        logits: Tensor = self.conv(images).float() * self.gain
        return logits

    def _fresh(self, gradient: Tensor) -> None:
        self.notes.events.append("backward")
        self.notes.backward_in_sixteen = torch.is_autocast_enabled("cpu")
        self.gradient = gradient.detach().clone()
        self.notes.fresh = float(gradient.norm())

    def _gathered(self, weight: Tensor) -> None:
        assert weight.grad is not None
        self.notes.piled = not torch.allclose(weight.grad, self.gradient)


class Optimiser(Lent, torch.optim.SGD):
    """Plain descent on a `Net`."""

    def __init__(self, net: Net) -> None:
        super().__init__(net.parameters(), lr=0.01)
        self.net = net

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        self.net.notes.events.append("zero_grad")
        super().zero_grad(set_to_none)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move the weights."""
        notes, weight = self.net.notes, self.net.conv.weight
        notes.events.append("optimiser.step")
        notes.norm = 0.0 if weight.grad is None else float(weight.grad.norm())
        if weight.grad is not None and self.net.gradient.numel():
            direction = torch.cosine_similarity(weight.grad.flatten(), self.net.gradient.flatten(), 0)
            notes.changed = float(direction) < 0.999
        super().step()


class Scaler(Lent, torch.amp.GradScaler):
    """PyTorch's own, with a known scale."""

    def __init__(self, net: Net) -> None:
        super().__init__("cpu", init_scale=SCALE)
        self.net = net

    def scale(self, outputs: Any) -> Any:
        """Multiply the loss."""
        if outputs is ...:
            raise TypeError("an ellipsis cannot be scaled")
        self.net.notes.events.append("scale")
        return super().scale(outputs)

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients."""
        if "in step" not in self.net.notes.events[-1:]:
            self.net.notes.events.append("unscale")
        super().unscale_(optimizer)

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """Let the optimiser move, if all gradients are finite."""
        self.net.notes.events += ["scaler.step", "in step"]
        return super().step(optimizer, *args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Get ready for the next step."""
        self.net.notes.events.append("update")
        super().update(new_scale)


class Schedule(Lent):
    """Stands in for a scheduler of the learning rate."""

    def __init__(self, net: Net) -> None:
        self.net = net

    def step(self, *_: Any) -> None:
        """Take the rate of the next step."""
        self.net.notes.events.append("schedule")


@contextmanager
def in_sixteen_bits() -> Iterator[None]:
    """Let `fast_precision` take 16 bits on any machine."""
    before = os.environ.get("UNET_PRECISION")
    os.environ["UNET_PRECISION"] = "bfloat16"
    try:
        yield
    finally:
        del os.environ["UNET_PRECISION"]
        if before is not None:
            os.environ["UNET_PRECISION"] = before


def batch(seed: int) -> tuple[Tensor, Tensor]:
    """Uint8 images and bool masks (2, 1, 8, 8)."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8, generator=generator)
    return images, torch.rand(2, 1, 8, 8, generator=generator) < 0.3


def take_steps(function: Callable[..., Any], gain: float, n_steps: int = 2) -> list[Notes]:
    """Call a training step a few times, on other patches each time; it ends at the first error."""
    net = Net(gain)
    optimiser, scaler, schedule = Optimiser(net), Scaler(net), Schedule(net)
    taken = []
    with in_sixteen_bits(), PretendGPU(net):
        for step in range(n_steps):
            net.notes = Notes()
            images, masks = (put(tensor, "cpu") for tensor in batch(step))
            notes = net.notes
            notes.outcome = called(function, (net, images, masks, optimiser, scaler, schedule, CPU))
            notes.weights = net.conv.weight.detach().clone()
            taken.append(notes)
            if notes.outcome.problem:
                break
    return taken


def known_losses(gain: float) -> dict[str, float]:
    """Losses of the first batch that a slip gives, by what it is."""
    from unet_helpers.losses import bce_dice_loss, bce_loss, dice_loss

    net, (images, masks) = Net(gain), batch(0)
    with in_sixteen_bits(), torch.no_grad(), fast_precision(CPU):
        logits = net(normalise(images))
    return {
        "BCE": float(bce_loss(logits, masks)),
        "Dice": float(dice_loss(logits, masks)),
        "sigmoid": float(bce_dice_loss(logits.sigmoid(), masks)),
        "scaled": SCALE * float(bce_dice_loss(logits, masks)),
    }
