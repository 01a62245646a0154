"""What a machine can do at best, what a network asks of it, and on which cores a process runs."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import conv2d
from torch.utils.flop_counter import FlopCounterMode

CPU = torch.device("cpu")


def cpu_name() -> str:
    """Model of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cores_of(text: str | None) -> list[int]:
    """Numbers of "2-15" or "0,2,4-7"."""
    cores = list[int]()
    for part in (text or "").split(","):
        first, _, last = part.partition("-")
        cores += range(int(first), int(last or first) + 1) if first else []
    return cores


@contextmanager
def on_cores(cores: list[int] | None) -> Iterator[None]:
    """Let this thread, and the processes that it starts meanwhile, use these cores alone.

    Of cores that it may not use, others are taken in their place; None and other systems than Linux: all.
    """
    if cores is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before & set(cores) or set(sorted(before)[: len(cores)]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def convolution_peak(dtype: torch.dtype, seconds: float = 2.0, device: torch.device = CPU) -> float:
    """Floating-point operations a second of a large 3x3 convolution: what this machine can do at best."""
    options = {"dtype": dtype, "device": device}
    images = torch.randn(8, 64, 128, 128, **options).contiguous(memory_format=torch.channels_last)
    weights = torch.randn(64, 64, 3, 3, **options).contiguous(memory_format=torch.channels_last)
    n_calls = 1 if device.type == "cpu" else 20  # a GPU is asked for many at once
    n_operations = n_calls * 2 * 8 * 64 * 64 * 9 * 128 * 128
    best, end = 0.0, time.perf_counter() + seconds
    with torch.inference_mode():
        while time.perf_counter() < end:
            start = time.perf_counter()
            for _ in range(n_calls):
                conv2d(images, weights, padding=1)
            synchronise(device)
            best = max(best, n_operations / (time.perf_counter() - start))
    return best


def operations_per_image(model: nn.Module, side: int) -> float:
    """Floating-point operations of one training image: forward, and twice as many backward."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model.eval()(torch.zeros(1, 1, side, side))
    model.train()
    return 3.0 * counter.get_total_flops()


def peak_memory_mib() -> float:
    """Largest resident memory of this process so far, in MiB; NaN on Windows."""
    try:
        import resource
    except ImportError:
        return float("nan")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
