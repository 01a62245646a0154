"""What lesson 4 measures on the reader's machine: one training step, its time, memory and slowest parts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from unet_helpers.engine.calm import calmly
from unet_helpers.engine.devices import choose_device, fast_precision
from unet_helpers.losses import bce_dice_loss
from unet_helpers.model import UNet

__all__ = [
    "H200",
    "H200_BATCHES",
    "Measured",
    "default_batch",
    "measure",
    "nvidia_smi",
    "slowest",
    "training_step",
    "try_batch",
]

SIDE = 160  # pixels of a patch
PRETENDED_MIB = 2048  # the limit of the refusal that is shown where there is no GPU, and of the real one
MIB_PER_PATCH = 6.4  # measured, 16 bit, see H200_BATCHES

# benchmarks/README.md, "On a GPU": one NVIDIA H200, by benchmarks/gpu.py. Patches a step: patches a second
# plain and recorded as a CUDA graph, and MiB, all in 16 bits.
H200_BATCHES = {
    1: (73.1, 804, 239), 2: (147, 1576, 340), 4: (290, 2539, 446), 8: (521, 3496, 561),
    16: (1145, 7903, 695), 32: (2541, 11193, 867), 64: (5546, 15098, 1115), 128: (9689, 17402, 1526),
}  # fmt: skip
# the same source: ms a recorded step of 48 patches, each thing left out once
H200 = {
    "all of it": 3.5, "float32 instead of 16 bits": 3.93, "channels first": 6.67,
    "without folding": 6.32, "loss read at every step": 4.1,
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """What a training step took.

    Attributes:
        ms: Milliseconds a step.
        patches_per_s: Patches a second.
        mib: The most that tensors took on the GPU, in MiB; None where PyTorch does not count it.
    """

    ms: float
    patches_per_s: float
    mib: float | None


def training_step(
    device: torch.device,
    n_patches: int,
    sixteen_bits: bool = True,
    channels_last: bool = True,
    folded: bool = True,
) -> Callable[[], Tensor]:
    """A function that does one training step on random patches and returns the loss, not yet read.

    Args:
        device: Where to compute.
        n_patches: Patches of 160 x 160 pixels.
        sixteen_bits: Whether the convolutions use the 16-bit type that the device computes fast.
        channels_last: Whether all channels of a pixel lie side by side in memory.
        folded: Whether the network folds 2 x 2 pixels into channels; if not, it has 8 channels, not 16.
    """
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = UNet() if folded else UNet(base_channels=8, unshuffle=1)
    network = network.to(device).to(memory_format=layout)
    images = torch.randn(n_patches, 1, SIDE, SIDE, device=device).contiguous(memory_format=layout)
    masks = torch.rand(n_patches, 1, SIDE, SIDE, device=device) < 0.01
    optimiser = torch.optim.AdamW(network.parameters(), fused=device.type in ("cpu", "cuda") or None)

    def step() -> Tensor:
        optimiser.zero_grad()
        with fast_precision(device) if sixteen_bits else nullcontext():
            logits = network(images)
        loss = bce_dice_loss(logits, masks)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        return loss.detach()

    return step


@calmly
def measure(
    device: torch.device, n_patches: int, read_loss: bool = False, n_steps: int = 0, **choices: bool
) -> Measured:
    """Time of a training step; the first steps, with their one-time preparations, are not counted.

    Args:
        device: Where to compute.
        n_patches: Patches a step.
        read_loss: Whether every step waits for its loss to be read; else only the last one.
        n_steps: Steps that are timed; 0 takes 30 on a GPU, and 3 elsewhere.
        **choices: As for `training_step`.
    """
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    step, n_steps = training_step(device, n_patches, **choices), n_steps or (30 if cuda else 3)
    for _ in range(10 if cuda else 1):
        step()
    _wait(device)
    start = time.perf_counter()
    for _ in range(n_steps):
        loss = step()
        if read_loss:
            loss.item()
    _wait(device)
    seconds = (time.perf_counter() - start) / n_steps
    mib = torch.cuda.max_memory_allocated(device) / 2**20 if cuda else None
    return Measured(1000 * seconds, n_patches / seconds, mib)


def _wait(device: torch.device) -> None:
    """Until the device has done all that it was asked for."""
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).synchronize()


@calmly
def slowest(step: Callable[[], Any], device: torch.device, n: int = 3) -> list[tuple[str, int, float, float]]:
    """The operations of one step that take longest: name, calls, milliseconds, share of all."""
    step()
    _wait(device)
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    with _quiet(), profile(activities=kinds, acc_events=True) as seen:  # or PyTorch 2.11 warns of cycles
        step()
        _wait(device)
    times = [(row.key, row.count, _own_time(row, device) / 1000) for row in seen.key_averages()]
    whole = sum(ms for *_, ms in times) or 1.0
    times.sort(key=lambda row: -row[2])
    return [(name, calls, ms, ms / whole) for name, calls, ms in times[:n]]


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on standard error: the profiler's library writes its own notes there, past Python."""
    sys.stderr.flush()
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def _own_time(row: Any, device: torch.device) -> float:
    """Microseconds that an operation took itself, without those that it called."""
    if device.type == "cuda":
        # a kernel is listed by its own name as well, and would be counted twice
        return float(row.self_device_time_total) if row.key.startswith("aten::") else 0.0
    return float(row.self_cpu_time_total)


def nvidia_smi() -> None:
    """Print what the command `nvidia-smi` says, or one sentence where there is no NVIDIA GPU."""
    if shutil.which("nvidia-smi"):
        ran = subprocess.run(["nvidia-smi"], capture_output=True, text=True, check=False)
        if ran.returncode == 0:
            print(ran.stdout)
            return
    print("No NVIDIA GPU here, so there is no `nvidia-smi`: the cells below run on the CPU, smaller.")


def try_batch(device: torch.device, n_patches: int) -> None:
    """One training step in at most 2 GiB of memory.

    On a CUDA GPU PyTorch is allowed no more, and refuses by itself; elsewhere the refusal is played.

    Raises:
        torch.OutOfMemoryError: If that is too little.
    """
    if device.type != "cuda":
        if 700 + MIB_PER_PATCH * n_patches > PRETENDED_MIB:
            raise torch.OutOfMemoryError(
                f"(played, there is no GPU) CUDA out of memory: {n_patches} patches need more than 2 GiB"
            )
        return
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, PRETENDED_MIB * 2**20 / total))
    try:
        training_step(device, n_patches)().item()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def default_batch(device: torch.device | None = None) -> int:
    """Patches a step in the measurements: 48 on a GPU, as in the table of the H200, and 6 elsewhere."""
    return 48 if (device or choose_device()).type == "cuda" else 6
