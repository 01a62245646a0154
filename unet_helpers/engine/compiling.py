"""torch.compile: on where it pays back within the run, and off again where it does not work."""

from __future__ import annotations

import sys

import torch
from torch import nn

from unet_helpers.engine import distributed

__all__ = ["compiled", "is_compiler_error", "wants_compiling"]

PAYS_FROM_SECONDS = 900  # compiling takes about a minute; that many seconds left win it back at a gain of 7 %


def wants_compiling(choice: str, device: torch.device, seconds_left: float | None) -> bool:
    """Whether to compile now.

    Args:
        choice: "on", "off", or "auto": on a CUDA device of compute capability 7 or more, in a single process,
            once the measured speed says that the run lasts for 15 minutes more.
        device: Where the network computes.
        seconds_left: Measured seconds to the end of the run; None while they are not known.
    """
    if choice != "auto":
        return choice == "on"
    if device.type != "cuda" or distributed.part()[1] > 1 or seconds_left is None:
        return False
    able = sys.platform == "linux" and torch.cuda.get_device_capability(device) >= (7, 0)
    return able and seconds_left >= PAYS_FROM_SECONDS


def compiled(model: nn.Module) -> nn.Module:
    """A compiled form that shares the weights; `model` itself keeps its names and is what gets saved."""
    return torch.compile(model, dynamic=False)


def is_compiler_error(error: BaseException) -> bool:
    """Whether the compiler failed (no C++ compiler, no Triton), and not the network."""
    from torch._dynamo.exc import TorchDynamoException

    return isinstance(error, TorchDynamoException)
