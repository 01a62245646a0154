"""Settings of a training run, and the device it computes on."""

from __future__ import annotations

import math
import operator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

__all__ = [
    "COMPILE_CHOICES",
    "TrainConfig",
    "choose_device",
    "clashes",
    "continued",
    "default_config",
    "learning_rate_factor",
]

COMPILE_CHOICES = ("auto", "on", "off")
_COUNTS = ("n_steps", "n_epochs", "batch_size", "patch_size", "steps_per_epoch")
_OPTIONAL = ("n_epochs", "minutes", "steps_per_epoch")
_LENGTHS = ("n_steps", "n_epochs", "minutes")


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run; saved with its checkpoints.

    The length is `n_steps` optimiser steps, or `n_epochs` or `minutes` if one of them is given.

    Attributes:
        n_steps: Optimiser steps.
        n_epochs: Train for so many epochs instead.
        minutes: Train for so much wall-clock time instead, validation included.
        batch_size: Patches a step, those of all processes together.
        patch_size: Side of a patch in pixels.
        stone_fraction: Share of the patches that are placed on a stone.
        lookalike_fraction: Share of the patches on something as bright that is no stone.
        learning_rate: Highest rate, reached after `warm_up` of the run, then lowered along a cosine to zero.
        warm_up: Share of the run.
        weight_decay: Of AdamW.
        max_gradient_norm: Longer gradients are shortened to this norm.
        steps_per_epoch: Steps between two validations; None takes as many as cut all pixels once.
        seed: Of weights, patches and augmentation.
        compile: Whether to use torch.compile: "on", "off", or "auto" where it pays back within the run.

    Raises:
        ValueError: If a setting makes no sense; it is named with its value.
    """

    n_steps: int = 5500
    n_epochs: int | None = None
    minutes: float | None = None
    batch_size: int = 6
    patch_size: int = 160
    stone_fraction: float = 0.5
    lookalike_fraction: float = 0.25
    learning_rate: float = 4e-3
    warm_up: float = 0.2
    weight_decay: float = 1e-2
    max_gradient_norm: float = 5.0
    steps_per_epoch: int | None = None
    seed: int = 0
    compile: str = "auto"

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name != "compile" and not (name in _OPTIONAL and value is None):
                object.__setattr__(self, name, _checked(name, value))
        if self.n_epochs is not None and self.minutes is not None:
            raise ValueError(
                f"n_epochs and minutes must not both be given, got {self.n_epochs} and {self.minutes}."
            )
        if (total := self.stone_fraction + self.lookalike_fraction) > 1:
            raise ValueError(f"stone_fraction and lookalike_fraction must sum to at most 1, got {total:g}.")
        if self.compile not in COMPILE_CHOICES:
            raise ValueError(f"compile must be one of {', '.join(COMPILE_CHOICES)}, got {self.compile!r}.")

    @property
    def length(self) -> tuple[str, float]:
        """What ends the run, "n_steps", "n_epochs" or "minutes", and how many of them."""
        name = next((name for name in ("n_epochs", "minutes") if getattr(self, name) is not None), "n_steps")
        return name, getattr(self, name)

    def progress(self, step: int, seconds: float, steps_per_epoch: int) -> float:
        """Share of the run that is done after so many steps and seconds; 1 or more at its end."""
        name, length = self.length
        if name == "minutes":
            return seconds / (60 * length)
        return step / (length * steps_per_epoch if name == "n_epochs" else length)


def _checked(name: str, value: Any) -> int | float:
    """The value as a plain int or float; ValueError if the setting cannot be this."""
    whole = name in (*_COUNTS, "seed")
    try:
        number = operator.index(value) if whole else float(value)
    except (TypeError, ValueError):
        number = math.nan
    low, high, rule = {
        **dict.fromkeys(_COUNTS, (1, 2**62, "a whole number of at least 1")),
        "seed": (0, 2**63 - 1, "a whole number from 0 up"),
        "minutes": (1e-9, 1e9, "a positive number"),
        "learning_rate": (1e-30, 1e9, "a positive number"),
        "max_gradient_norm": (1e-30, math.inf, "a positive number"),
        "weight_decay": (0, 1e9, "a number from 0 up"),
        "warm_up": (0, 1 - 1e-9, "a share from 0 to below 1"),
    }.get(name, (0, 1, "a share from 0 to 1"))
    if isinstance(value, (bool, str)) or not low <= number <= high:
        raise ValueError(f"{name} must be {rule}, got {value!r}.")
    return number


def clashes(saved: TrainConfig, wanted: TrainConfig) -> list[str]:
    """What forbids that a run with settings `saved` goes on with `wanted`, one "name a there, b here" each.

    `compile` changes no result, and the length may grow.
    """
    there, here = asdict(saved), asdict(wanted)
    differing = [name for name in there if name not in (*_LENGTHS, "compile") and there[name] != here[name]]
    found = [f"{name} {there[name]} there, {here[name]} here" for name in differing]
    (kind, old), (other, new) = saved.length, wanted.length
    if kind != other:
        found.append(f"{kind} {old} there, {other} {new} here")
    elif new < old:
        found.append(f"{kind} {old} there, {new} here, and a run can only be made longer")
    return found


def continued(saved: TrainConfig, wanted: TrainConfig | None) -> TrainConfig:
    """Settings with which a run goes on: its own, with the length and `compile` of `wanted` if given."""
    if wanted is None:
        return saved
    return replace(saved, compile=wanted.compile, **{name: getattr(wanted, name) for name in _LENGTHS})


def default_config(device: torch.device) -> TrainConfig:
    """Settings that the lessons use: a few minutes on two CPU cores, more steps on a GPU."""
    return TrainConfig() if device.type == "cpu" else TrainConfig(n_steps=10_000)


def choose_device(name: str | None = None) -> torch.device:
    """The fastest device that really works: CUDA, then Apple's MPS, then the CPU.

    Args:
        name: "cpu", "cuda", "cuda:1", "mps"; None to choose.

    Returns:
        A device on which a small convolution has just succeeded: some GPUs report themselves as available and
        then refuse to compute, because the installed PyTorch was not built for them.

    Raises:
        ValueError: If the named device does not work.
    """
    candidates = (
        [name] if name else ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
    )
    for candidate in candidates:
        try:
            device = torch.device(candidate)
            nn.Conv2d(1, 1, 3).to(device)(torch.zeros(1, 1, 8, 8, device=device)).sum().item()
            return device
        except (RuntimeError, AssertionError) as error:
            reason = str(error).strip().partition("\n")[0]
            if name:
                raise ValueError(
                    f"device must be one that works here, got {name!r}: {reason}. Try cpu."
                ) from error
            print(f"{candidate} is present but does not work ({reason}); going on without it.")
    return torch.device("cpu")


def learning_rate_factor(progress: float, warm_up: float) -> float:
    """Share of the highest rate when `progress` (0 to 1) of the run is done: up a line, down a cosine."""
    if progress < warm_up:
        return max(progress / warm_up, 0.01)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warm_up) / (1 - warm_up))))
