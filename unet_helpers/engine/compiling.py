"""torch.compile: on where it pays back within the run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from unet_helpers.training import Run

__all__ = ["compile_if_it_pays", "wants_compiling"]

PAYS_FROM_SECONDS = 900  # compiling takes about a minute; that many seconds left win it back at a gain of 7 %


def compile_if_it_pays(run: Run, seconds_left: float | None) -> None:
    """Let the batches that follow go through a compiled network; `run.model` shares its weights."""
    if run.may_compile and wants_compiling(run.config.compile, run.device, run.world_size, seconds_left):
        run.network, run.may_compile = torch.compile(run.plain_network, dynamic=False), False


def wants_compiling(choice: str, device: torch.device, n_processes: int, seconds_left: float | None) -> bool:
    """Whether to compile now.

    Args:
        choice: "on", "off", or "auto": on a CUDA device of compute capability 7 or more, in a single process,
            once the measured speed says that the run lasts for 15 minutes more.
        device: Where the network computes.
        n_processes: How many processes train.
        seconds_left: Measured seconds to the end of the run; None while they are not known.
    """
    if choice != "auto":
        return choice == "on"
    if device.type != "cuda" or n_processes > 1 or seconds_left is None:
        return False
    able = sys.platform == "linux" and torch.cuda.get_device_capability(device) >= (7, 0)
    return able and seconds_left >= PAYS_FROM_SECONDS
