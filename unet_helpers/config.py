"""Settings of a training run, and the device it computes on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

__all__ = ["TrainConfig", "choose_device", "default_config", "learning_rate_factor"]


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
