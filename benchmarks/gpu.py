"""Every table that needs a GPU, in one call of at most eight minutes.

    python benchmarks/gpu.py --out gpu                    # writes gpu/gpu.md and gpu/gpu.json, row by row
    python benchmarks/gpu.py --out gpu --only card,step
    python benchmarks/gpu.py --out gpu --smoke            # everything, tiny, also without a GPU

Parts: card (what the card reaches at best), memory (batches of 1 to 128, the table of lesson 4), profile (what
a step consists of), step (milliseconds, by batch, width and optimisation), dice (seconds to a validation Dice,
each run in a process of its own), float16 (the same, in the type of a T4), pinned (two CPU cores, and from it
an estimate for a T4), patients (more phantom patients), tests (`pytest -m gpu`).

A part that does not fit into `--minutes` any more is left out and named.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import gpu_runs
import torch
from contest import Split, convolution_peak, cpu_name, operations_per_image, synchronise
from gpu_estimate import counted_step, t4_table
from report import Report, Table
from speed import VARIANTS, ms_per_step, prepare, step_of
from torch.profiler import ProfilerActivity, profile

from unet_helpers.data import find_pairs, load_arrays, split_by_group, stone_strata
from unet_helpers.engine.rescue import is_out_of_memory
from unet_helpers.engine.stopping import read_losses
from unet_helpers.inference import choose_device, sixteen_bit_type
from unet_helpers.model import UNet
from unet_helpers.training import TrainConfig, default_config, train_step

ROOT = Path(__file__).resolve().parents[1]
BATCHES, WIDTHS, MEMORY_BATCHES = (6, 48), (16, 32, 64), (1, 2, 4, 8, 16, 32, 64, 128)
FULL_BATCHES = (96, 192, 384, 768)  # at width 64, until more patches at once are no faster
FLOAT32 = "float32 instead of 16 bits"


@dataclass
class Bench:
    """What the parts share.

    Attributes:
        device: Where to compute.
        data: Folder of the default phantom.
        report: Where rows go.
        smoke: Whether everything is tiny.
        deadline: When to end, on the clock of `time.perf_counter`.
        seeds: Of the default run.
        patients: How many phantom patients the runs on more data have, in all.
    """

    device: torch.device
    data: Path
    report: Report
    smoke: bool
    deadline: float
    seeds: list[int]
    patients: list[int]

    def __post_init__(self) -> None:
        pairs = find_pairs(self.data)
        self.split: Split = split_by_group(pairs, strata=stone_strata(pairs))
        self.arrays = load_arrays(self.split["train"])
        self.default = gpu_runs.settings(self.device, self.smoke)
        self.steps = 2 if self.smoke else 40
        self.peaks: dict[str, float] = {}
        self.dtype = sixteen_bit_type(self.device) or torch.float32

    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.perf_counter()

    def config(self, batch_size: int, graphs: str) -> TrainConfig:
        """The default settings with another batch, and with or without recorded steps."""
        return replace(self.default, batch_size=batch_size, cuda_graphs=graphs)

    def peak(self, kind: torch.dtype | str) -> float:
        """Operations a second of a large convolution, measured once a type; "tf32" is float32 on a GPU."""
        name = str(kind).removeprefix("torch.")
        if name not in self.peaks:
            self.peaks[name] = measured_peak(name, self.device, 0.05 if self.smoke else 1.0)
        return self.peaks[name]

    def step_peak(self, variant: str) -> float:
        """The peak that a step is held against."""
        if self.dtype != torch.float32 and variant != FLOAT32:
            return self.peak(self.dtype)
        return self.peak("tf32" if self.device.type == "cuda" else "float32")

    def share(self, milliseconds: float, batch_size: int, variant: str, width: int) -> str:
        """Share of the peak that a step reaches."""
        model = UNet(
            **(
                {"base_channels": width // 2, "unshuffle": 1}
                if "folding" in variant
                else {"base_channels": width}
            )
        )
        work = batch_size * operations_per_image(model, self.default.patch_size)
        return f"{100 * work / (milliseconds / 1000) / self.step_peak(variant):.2g} %"


def measured_peak(name: str, device: torch.device, seconds: float) -> float:
    """Peak of a type by name; "float32" is exact float32, "tf32" what PyTorch makes of it on a GPU."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = name != "float32"
    try:
        return convolution_peak(torch.float32 if name == "tf32" else getattr(torch, name), seconds, device)
    finally:
        torch.backends.cudnn.allow_tf32 = before


# --------------------------------------------------------------------------------------------- the parts
def card(bench: Bench) -> None:
    """What the card reaches at best."""
    notes = "A 3x3 convolution of 8 x 64 x 128 x 128, channels last; the best of a second."
    table = bench.report.table("card", "Measured convolution peak", ["type", "TFLOP/s"], notes)
    types = (
        ("float32", "tf32", "float16", "bfloat16") if bench.device.type == "cuda" else ("float32", "bfloat16")
    )
    for kind in types:
        bench.report.add(table, kind, bench.peak(kind) / 1e12)


def memory(bench: Bench) -> None:
    """Memory and speed by the size of a batch, in float32 and in 16 bits."""
    head = [
        "patches a step",
        "float32: MiB",
        "patches/s",
        "16 bit: MiB",
        "patches/s",
        "16 bit, recorded: MiB",
        "patches/s",
    ]
    note = f"Default network, patches of {bench.default.patch_size} px; memory is the most that tensors took, images included."
    table = bench.report.table("memory", "Memory and speed by batch", head, note)
    for batch_size in (1, 2) if bench.smoke else MEMORY_BATCHES:
        cells = []
        for variant, graphs in ((FLOAT32, "off"), ("all", "off"), ("all", "auto")):
            cells += _memory_and_speed(bench, variant, batch_size, graphs)
        bench.report.add(table, batch_size, *cells)


def _memory_and_speed(bench: Bench, variant: str, batch_size: int, graphs: str) -> list[float]:
    cuda = bench.device.type == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    milliseconds = ms_per_step(
        variant, bench.arrays, bench.config(batch_size, graphs), bench.device, bench.steps
    )
    mib = torch.cuda.max_memory_allocated() / 2**20 if cuda else float("nan")
    return [mib, round(1000 * batch_size / milliseconds)]


def profiled(bench: Bench) -> None:
    """What a plain step consists of."""
    cuda = bench.device.type == "cuda"
    run, sampler = prepare(
        "all", bench.arrays, bench.config(bench.default.batch_size, "off"), bench.device, 16
    )
    for _ in range(2 if bench.smoke else 10):
        train_step(run, sampler)
    read_losses(run)
    n_steps = 1 if bench.smoke else 5
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda
    with profile(activities=activities) as watched:
        for _ in range(n_steps):
            train_step(run, sampler)
        synchronise(bench.device)
    events = watched.key_averages()
    kind = "self_device_time_total" if cuda else "self_cpu_time_total"
    launches = sum(e.count for e in events if "LaunchKernel" in e.key) / n_steps
    whole = sum(getattr(event, kind) for event in events) / n_steps / 1000
    note = (
        f"Plain step of {run.config.batch_size} patches: {launches:.0f} kernel launches, "
        f"{whole:.3g} ms of {'GPU' if cuda else 'CPU'} time."
    )
    table = bench.report.table(
        "profile", "What a step consists of", ["operation", "calls a step", "ms a step", "share"], note
    )
    for event in sorted(events, key=lambda e: -getattr(e, kind))[:8]:
        milliseconds = getattr(event, kind) / n_steps / 1000
        name = re.sub(r"<.*", "<...>", event.key)[:60]
        bench.report.add(
            table, name, event.count / n_steps, milliseconds, f"{100 * milliseconds / whole:.0f} %"
        )


def step(bench: Bench) -> None:
    """Milliseconds of a step: by batch and width, and with each optimisation left out."""
    head = ["patches", "base channels", "plain, ms", "recorded, ms", "patches/s", "share of the peak"]
    table = bench.report.table("step", "A training step, plain and recorded", head)
    batches = sorted(
        {
            *(b if not bench.smoke else b // 3 for b in BATCHES[: 1 if bench.smoke else None]),
            bench.default.batch_size,
        }
    )
    for width in (2,) if bench.smoke else WIDTHS:
        for batch_size in batches:
            _step_row(bench, table, batch_size, width)
    for batch_size in () if bench.smoke else _filling(bench, table):
        _step_row(bench, table, batch_size, 64)
    head = ["left out", "plain, ms", "recorded, ms", "share of the peak, recorded"]
    batch_size = bench.default.batch_size
    table = bench.report.table(
        "step", f"Each optimisation left out, {batch_size} patches, 16 base channels", head
    )
    for variant, _ in VARIANTS.items():
        if "compile" in variant and (bench.smoke or bench.left() < 120):
            continue
        plain, recorded = (
            _ms(bench, variant, batch_size, 16 if not bench.smoke else 2, graphs)
            for graphs in ("off", "auto")
        )
        share = bench.share(recorded, batch_size, variant, 16 if not bench.smoke else 2)
        bench.report.add(table, variant, plain, recorded, share)


def _step_row(bench: Bench, table: Table, batch_size: int, width: int) -> None:
    plain, recorded = (_ms(bench, "all", batch_size, width, graphs) for graphs in ("off", "auto"))
    share = bench.share(recorded, batch_size, "all", width)
    bench.report.add(table, batch_size, width, plain, recorded, round(1000 * batch_size / recorded), share)


def _ms(bench: Bench, variant: str, batch_size: int, width: int, graphs: str) -> float:
    """Milliseconds a step; NaN where the memory is too small."""
    try:
        config = bench.config(batch_size, graphs)
        return ms_per_step(variant, bench.arrays, config, bench.device, bench.steps, width)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return float("nan")


def _filling(bench: Bench, table: Table) -> tuple[int, ...]:
    """Batches that fill the card at width 64: larger ones as long as they bring 5 % more patches a second."""
    best, chosen = float(table.rows[-1][4]), []
    for batch_size in FULL_BATCHES:
        speed = 1000 * batch_size / _ms(bench, "all", batch_size, 64, "auto")
        if not speed > 1.05 * best:
            break
        best, chosen = speed, [batch_size]
    return tuple(chosen)


def dice(bench: Bench) -> None:
    """Seconds from the call of `fit` to a validation Dice, with everything in them."""
    table = gpu_runs.dice_table(bench, "dice", "Time to a validation Dice, the default run")
    rows = [
        gpu_runs.in_a_process(bench, kind="train", seed=seed) for seed in bench.seeds if bench.left() > 30
    ]
    gpu_runs.add_runs(bench, table, "default", rows)


def float16(bench: Bench) -> None:
    """The default run in float16 with a gradient scaler."""
    if bench.device.type != "cuda" and not bench.smoke:
        return
    table = gpu_runs.dice_table(bench, "float16", "The default run in float16 (`UNET_PRECISION=float16`)")
    row = gpu_runs.in_a_process(bench, kind="train", seed=bench.seeds[0], precision="float16")
    gpu_runs.add_runs(bench, table, "float16", [row])
    bench.report.note(
        table,
        f"Final scale {row['scale']:g}; {row['n_overflows']} of {row['steps']} steps overflowed and moved no weight.",
    )


def pinned(bench: Bench) -> None:
    """Two CPU cores, as on Colab, and what a T4 would do there."""
    sizes = sorted({2 if bench.smoke else 6, bench.default.batch_size})
    row = gpu_runs.in_a_process(bench, kind="steps", seed=0, batches=sizes, cores=[0, 1])
    head = ["patches", "plain, ms", "recorded, ms", "CPU part of a recorded step, ms"]
    table = bench.report.table("pinned", "Pinned to two cores", head, f"{row['cpu']}, cores {row['cores']}.")
    for cells in row["rows"]:
        bench.report.add(table, *cells)
    run, sampler = prepare(
        "all", bench.arrays, bench.config(sizes[-1], "off"), bench.device, 2 if bench.smoke else 16
    )
    train_step(run, sampler)
    counted = counted_step(lambda: train_step(run, sampler), bench.device)
    here = bench.step_peak("all"), _bandwidth(bench)
    best = _ms(bench, "all", sizes[-1], 2 if bench.smoke else 16, "auto")
    t4_table(bench.report, counted, row["rows"], here, best)


def _bandwidth(bench: Bench) -> float:
    """Bytes a second that a copy reads and writes."""
    values = torch.zeros((2**22 if bench.smoke else 2**30), dtype=torch.uint8, device=bench.device)
    other, best = torch.empty_like(values), 0.0
    for _ in range(3):
        synchronise(bench.device)
        start = time.perf_counter()
        other.copy_(values)
        synchronise(bench.device)
        best = max(best, 2 * len(values) / (time.perf_counter() - start))
    return best


def patients(bench: Bench) -> None:
    """More phantom patients for training; validation and test stay those of the default data set."""
    table = gpu_runs.dice_table(bench, "patients", "More phantom patients")
    for n in bench.patients:
        if bench.left() < 60 and not bench.smoke:
            bench.report.note(table, f"{n} patients: left out, no time was left.")
            continue
        rows = [gpu_runs.in_a_process(bench, kind="train", seed=0, patients=n, most=max(bench.patients))]
        gpu_runs.add_runs(bench, table, f"{n} patients", rows)


def tests(bench: Bench) -> None:
    """`pytest -m gpu`."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "gpu",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/test_gpu.py",
    ]
    command += ["--collect-only"] if bench.smoke else ["-rA", "--tb=short"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=max(60, bench.left()), check=False
    )
    (bench.report.folder / "pytest.txt").write_text(done.stdout + done.stderr, "utf-8")
    table = bench.report.table("tests", "`pytest -m gpu`", ["test", "result"])
    for result, name in re.findall(
        r"^(PASSED|FAILED|ERROR|SKIPPED) .*?(\w+\[?[^ ]*)(?: |$)", done.stdout, re.M
    ):
        bench.report.add(table, name, result.lower())
    bench.report.note(table, (done.stdout.strip().splitlines() or ["no output"])[-1].strip("= "))


PARTS: dict[str, tuple[Callable[[Bench], None], float]] = {  # and the seconds without which it is not begun
    "card": (card, 0),
    "memory": (memory, 30),
    "profile": (profiled, 10),
    "step": (step, 40),
    "dice": (dice, 40),
    "float16": (float16, 40),
    "pinned": (pinned, 30),
    "tests": (tests, 30),
    "patients": (patients, 60),
}


def about(device: torch.device) -> dict[str, str]:
    """What the numbers were measured on."""
    found = {
        "device": device.type,
        "CPU": cpu_name(),
        "cores": str(os.cpu_count()),
        "PyTorch": torch.__version__,
    }
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split("\n")[0]
        except (OSError, subprocess.CalledProcessError):
            driver = "unknown"
        found |= {
            "card": f"{torch.cuda.get_device_name(device)} ({total / 2**30:.0f} GiB)",
            "driver": driver,
            "CUDA": str(torch.version.cuda),
            "cuDNN": str(torch.backends.cudnn.version()),
        }
    return found | {"Python": platform.python_version()}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("gpu"), help="folder for gpu.md and gpu.json (default gpu)"
    )
    parser.add_argument("--only", help=f"parts, by commas, in this order: {','.join(PARTS)}")
    parser.add_argument(
        "--minutes", type=float, default=8.0, help="no part is begun that ends later (default 8)"
    )
    parser.add_argument("--seeds", default="0,1,2", help="of the default run (default 0,1,2)")
    parser.add_argument("--patients", default="200,400", help="of the runs on more data (default 200,400)")
    parser.add_argument("--device", help="cpu, cuda ...; the fastest one by default")
    parser.add_argument("--smoke", action="store_true", help="everything in a tiny form")
    args = parser.parse_args(arguments)
    started = time.perf_counter()
    names = args.only.split(",") if args.only else list(PARTS)
    if unknown := set(names) - PARTS.keys():
        parser.error(f"--only must be among {', '.join(PARTS)}, got {sorted(unknown)[0]}")
    device = choose_device(args.device)
    report = Report(args.out, about(device))
    seeds, more = ([int(n) for n in text.split(",")] for text in (args.seeds, args.patients))
    data = gpu_runs.smallest_data() if args.smoke else gpu_runs.default_data()
    helper = gpu_runs.more_data(max(more)) if "patients" in names and not args.smoke else None
    bench = Bench(device, data, report, args.smoke, started + 60 * args.minutes, seeds, more)
    for name in names:
        part, needs = PARTS[name]
        if bench.left() < needs and not args.smoke:
            report.table(name, f"{name}: left out, {bench.left():.0f} s were left", [])
            continue
        if helper and name not in ("card", "memory", "profile"):
            helper.wait()  # a step that Python sets the pace of is measured on a quiet machine
        try:
            part(bench)
        except Exception:  # the other tables are worth having
            traceback.print_exc()
            report.table(name, f"{name}: failed", [], traceback.format_exc().strip().splitlines()[-1])
    print(f"\n{time.perf_counter() - started:.0f} s in all; {report.folder / 'gpu.md'}")


if __name__ == "__main__":
    main()
