"""The parts of `gpu.py` that time single steps: the card's peak, memory, operations, and milliseconds."""

from __future__ import annotations

import gc
import re
from typing import TYPE_CHECKING

import torch
from machine import synchronise
from speed import VARIANTS, ms_per_step, prepare
from torch.profiler import ProfilerActivity, profile

from unet_helpers.engine.rescue import is_out_of_memory
from unet_helpers.training import train_step

if TYPE_CHECKING:
    from gpu import Bench
    from report import Table

BATCHES, WIDTHS, MEMORY_BATCHES = (6, 48), (16, 32, 64), (1, 2, 4, 8, 16, 32, 64, 128)
FULL_BATCHES = (96, 192, 384, 768)  # at width 64, until more patches at once are hardly faster
FLOAT32 = "float32 instead of 16 bits"


def card(bench: Bench) -> None:
    """What the card reaches at best."""
    note = "A 3x3 convolution of 8 x 64 x 128 x 128, channels last; the best of a second."
    table = bench.report.table("card", "Measured convolution peak", ["type", "TFLOP/s"], note)
    kinds = ["float32", "tf32", "float16", "bfloat16"] if bench.cuda else ["float32", "bfloat16"]
    for kind in kinds:
        bench.report.add(table, kind, bench.peak(kind) / 1e12)


def memory(bench: Bench) -> None:
    """Memory and speed by the size of a batch, in float32 and in 16 bits."""
    ways = ((FLOAT32, "off", "float32"), ("all", "off", "16 bit"), ("all", "auto", "16 bit, recorded"))
    head = ["patches a step", *[name for *_, way in ways for name in (f"{way}: MiB", "patches/s")]]
    note = (
        f"Default network, patches of {bench.default.patch_size} px; memory is the most that tensors took, "
        "the images on the card included."
    )
    table = bench.report.table("memory", "Memory and speed by batch", head, note)
    for batch_size in (1, 2) if bench.smoke else MEMORY_BATCHES:
        cells = list[float]()
        for variant, graphs, _ in ways:
            milliseconds, mib = measured(bench, variant, batch_size, bench.width, graphs)
            cells += [mib, 1000 * batch_size / milliseconds]
        bench.report.add(table, batch_size, *cells)


def measured(bench: Bench, variant: str, batch_size: int, width: int, graphs: str) -> tuple[float, float]:
    """Milliseconds a step and MiB of memory; NaN where the memory is too small."""
    if bench.cuda:
        gc.collect()  # a recorded step keeps its memory
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    n_steps = 2 if bench.smoke else max(8, min(64, 64 * 48 * 16 // (batch_size * width)))
    about = variant, bench.arrays, bench.config(batch_size, graphs), bench.device, n_steps
    try:
        milliseconds = ms_per_step(*about, width, bench.stack)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return float("nan"), float("nan")
    return milliseconds, torch.cuda.max_memory_allocated() / 2**20 if bench.cuda else float("nan")


def operations(bench: Bench) -> None:
    """What a plain step consists of."""
    config = bench.config(bench.default.batch_size, "off")
    run, sampler = prepare("all", bench.arrays, config, bench.device, bench.width, bench.stack)
    for _ in range(2 if bench.smoke else 10):
        train_step(run, sampler)
    n_steps = 1 if bench.smoke else 5
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * bench.cuda
    with profile(activities=kinds, acc_events=True) as watched:  # or PyTorch 2.11 warns of cycles
        for _ in range(n_steps):
            train_step(run, sampler)
        synchronise(bench.device)
    events = [event for event in watched.key_averages() if event.device_type.name == "CPU"]
    own = "self_device_time_total" if bench.cuda else "self_cpu_time_total"  # microseconds
    launches = sum(event.count for event in events if "LaunchKernel" in event.key) / n_steps
    whole = sum(getattr(event, own) for event in events) / 1000 / n_steps
    note = (
        f"A plain step of {config.batch_size} patches: {launches:.0f} kernels are launched, "
        f"{whole:.3g} ms of {'GPU' if bench.cuda else 'CPU'} time."
    )
    head = ["operation", "calls a step", "ms a step", "share"]
    table = bench.report.table("profile", "What a step consists of", head, note)
    for event in sorted(events, key=lambda event: -getattr(event, own))[:8]:
        milliseconds = getattr(event, own) / 1000 / n_steps
        name = re.sub(r"^void |<.*", "", event.key)[:70]
        share = f"{100 * milliseconds / whole:.0f} %"
        bench.report.add(table, f"`{name}`", event.count / n_steps, milliseconds, share)


def steps(bench: Bench) -> None:
    """Milliseconds of a step: by batch and width, and with each optimisation left out."""
    head = ["patches", "base channels", "plain, ms", "recorded, ms", "patches/s", "share of the peak"]
    note = f"Patches/s and share of the peak in {bench.dtype_name} are those of the recorded step."
    table = bench.report.table("step", "A training step, plain and recorded", head, note)
    batches = sorted({*((2,) if bench.smoke else BATCHES), bench.default.batch_size})
    for width in (2,) if bench.smoke else WIDTHS:
        for batch_size in batches:
            _step_row(bench, table, batch_size, width)
    for batch_size in () if bench.smoke else FULL_BATCHES:
        before, now = float(table.rows[-1][4]), _step_row(bench, table, batch_size, 64)
        if not now > 1.03 * before:
            break
    _left_out(bench)


def _step_row(bench: Bench, table: Table, batch_size: int, width: int) -> float:
    """Add a line; returns the patches a second of the recorded step."""
    plain, recorded = (measured(bench, "all", batch_size, width, graphs)[0] for graphs in ("off", "auto"))
    speed = 1000 * batch_size / recorded
    share = bench.share(recorded, batch_size, "all", width)
    bench.report.add(table, batch_size, width, plain, recorded, speed, share)
    return speed


def _left_out(bench: Bench) -> None:
    batch_size = bench.default.batch_size
    title = f"Each optimisation left out, {batch_size} patches, {bench.width} base channels"
    head = ["left out", "plain, ms", "recorded, ms", "share of the peak"]
    table = bench.report.table("step", title, head)
    for variant in VARIANTS:
        if "compile" in variant:  # takes half a minute; `speed.py` has it
            continue
        ms = [measured(bench, variant, batch_size, bench.width, graphs)[0] for graphs in ("off", "auto")]
        bench.report.add(table, variant, *ms, bench.share(ms[-1], batch_size, variant, bench.width))
