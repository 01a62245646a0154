"""Every table that needs a GPU, in one call of at most eight minutes.

    python benchmarks/gpu.py --out gpu                    # writes gpu/gpu.md and gpu/gpu.json, row by row
    python benchmarks/gpu.py --out gpu --only card,step
    python benchmarks/gpu.py --out gpu --smoke            # everything, tiny, also without a GPU

Parts: card (what the card reaches at best), profile (what a step consists of), memory (batches of 1 to 128,
the table of lesson 4), step (milliseconds, by batch, width and optimisation), dice (seconds to a
validation Dice, each run in a process of its own), float16 (the same, in the type of a T4), pinned (two CPU
cores, and from it an estimate for a T4), tests (`pytest -m gpu`), patients (more phantom patients).

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
from gpu_estimate import counted_step, t4_table
from gpu_steps import FLOAT32, card, measured, memory, operations, steps
from machine import convolution_peak, cores_of, cpu_name, on_cores, operations_per_image, synchronise
from report import Report
from speed import network_settings, prepare

from unet_helpers.data import find_pairs, load_arrays, split_by_group, stone_strata
from unet_helpers.engine.devices import choose_device, sixteen_bit_type
from unet_helpers.engine.stack import stack_up
from unet_helpers.model import UNet
from unet_helpers.training import TrainConfig, train_step

ROOT = Path(__file__).resolve().parents[1]


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
        self.split = split_by_group(pairs, strata=stone_strata(pairs))
        self.arrays = load_arrays(self.split["train"])
        self.default = gpu_runs.settings(self.device, self.smoke)
        self.stack = stack_up(*self.arrays, self.default.patch_size, self.device)
        self.width = 2 if self.smoke else 16
        self.peaks: dict[str, float] = {}
        self.cuda = self.device.type == "cuda"
        self.dtype_name = str(sixteen_bit_type(self.device) or torch.float32).removeprefix("torch.")

    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.perf_counter()

    def config(self, batch_size: int, graphs: str) -> TrainConfig:
        """The default settings with another batch, and with or without recorded steps."""
        return replace(self.default, batch_size=batch_size, cuda_graphs=graphs)

    def peak(self, kind: str) -> float:
        """Operations a second of a large convolution, measured once a type; "tf32" is float32 on a GPU."""
        if kind not in self.peaks:
            self.peaks[kind] = measured_peak(kind, self.device, 0.05 if self.smoke else 1.0)
        return self.peaks[kind]

    def step_peak(self, variant: str) -> float:
        """The peak that a step is held against."""
        kind = "float32" if variant == FLOAT32 else self.dtype_name
        return self.peak("tf32" if self.cuda and kind == "float32" else kind)

    def share(self, milliseconds: float, batch_size: int, variant: str, width: int) -> str:
        """Share of the peak that a step reaches."""
        work = operations_per_image(UNet(**network_settings(variant, width)), self.default.patch_size)
        return f"{100 * batch_size * work / (milliseconds / 1000) / self.step_peak(variant):.2g} %"


def measured_peak(name: str, device: torch.device, seconds: float) -> float:
    """Peak of a type by name; "float32" is exact float32, "tf32" what PyTorch makes of it on a GPU."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = name != "float32"
    try:
        return convolution_peak(torch.float32 if name == "tf32" else getattr(torch, name), seconds, device)
    finally:
        torch.backends.cudnn.allow_tf32 = before


# --------------------------------------------------------------------------------------------- the parts
def dice(bench: Bench) -> None:
    """Seconds from the call of `fit` to a validation Dice, with everything in them."""
    table = gpu_runs.dice_table(bench, "dice", "Time to a validation Dice, the default run")
    rows = []
    for seed in bench.seeds:
        if bench.left() < 30 and not bench.smoke:
            bench.report.note(table, f"Seed {seed}: left out, no time was left.")
            continue
        rows.append(gpu_runs.in_a_process(bench, kind="train", seed=seed))
        gpu_runs.add_run(bench, table, "default", rows[-1])
    gpu_runs.add_means(bench, table, "default", rows)


def float16(bench: Bench) -> None:
    """The default run in float16 with a gradient scaler."""
    if bench.device.type != "cuda" and not bench.smoke:
        return
    table = gpu_runs.dice_table(bench, "float16", "The default run in float16 (`UNET_PRECISION=float16`)")
    row = gpu_runs.in_a_process(bench, kind="train", seed=bench.seeds[0], precision="float16")
    gpu_runs.add_run(bench, table, "float16", row)
    bench.report.note(
        table,
        f"Final scale {row['scale']:g}; {row['n_overflows']} of {row['steps']} steps overflowed and moved "
        "no weight.",
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
        "all", bench.arrays, bench.config(sizes[-1], "off"), bench.device, bench.width, bench.stack
    )
    train_step(run, sampler)
    counted = counted_step(lambda: train_step(run, sampler), bench.device)
    here = bench.step_peak("all"), _bandwidth(bench)
    best = measured(bench, "all", sizes[-1], bench.width, "auto")[0]
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
        row = gpu_runs.in_a_process(bench, kind="train", seed=0, patients=n, most=max(bench.patients))
        gpu_runs.add_run(bench, table, f"{n} patients", row)


def tests(bench: Bench) -> None:
    """`pytest -m gpu`."""
    command = f"{sys.executable} -m pytest -m gpu -q -p no:cacheprovider tests/test_gpu.py".split()
    command += ["--collect-only"] if bench.smoke else ["-rA", "--tb=short", "-W", "default"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=max(60, bench.left()), check=False
    )
    (bench.report.folder / "pytest.txt").write_text(done.stdout + done.stderr, "utf-8")
    table = bench.report.table("tests", "`pytest -m gpu`", ["test", "result"])
    for result, name in re.findall(r"^(PASSED|FAILED|ERROR) \S+::(\S+)", done.stdout, re.MULTILINE):
        bench.report.add(table, name, result.lower())
    bench.report.note(table, (done.stdout.strip().splitlines() or ["no output"])[-1].strip("= "))


PARTS: dict[str, tuple[Callable[[Bench], None], float]] = {  # and the seconds without which it is not begun
    "card": (card, 0),
    "profile": (operations, 10),
    "memory": (memory, 30),
    "step": (steps, 40),
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
        _, total = torch.cuda.mem_get_info(device)
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
    parser.add_argument("--cores", help='use these CPU cores alone, such as "0,1" (beside other work)')
    parser.add_argument("--smoke", action="store_true", help="everything in a tiny form")
    args = parser.parse_args(arguments)
    with on_cores(cores_of(args.cores) or None):
        _measure(parser, args)


def _measure(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    started = time.perf_counter()
    names = args.only.split(",") if args.only else list(PARTS)
    if unknown := set(names) - PARTS.keys():
        parser.error(f"--only must be among {', '.join(PARTS)}, got {min(unknown)}")
    device = choose_device(args.device)
    report = Report(args.out, about(device))
    seeds, more = ([int(n) for n in text.split(",")] for text in (args.seeds, args.patients))
    more = [10] if args.smoke else more
    data = gpu_runs.smallest_data() if args.smoke else gpu_runs.default_data()
    helper = gpu_runs.more_data(max(more)) if "patients" in names and not args.smoke else None
    bench = Bench(device, data, report, args.smoke, started + 60 * args.minutes, seeds, more)
    for name in names:
        part, needs = PARTS[name]
        if bench.left() < needs and not args.smoke:
            report.table(name, f"{name}: left out, {bench.left():.0f} s were left", [])
            continue
        if helper and name not in ("card", "profile"):
            helper.wait()  # a step that Python sets the pace of is measured on a quiet machine
        try:
            part(bench)
        except Exception:  # the other tables are worth having
            traceback.print_exc()
            report.table(name, f"{name}: failed", [], traceback.format_exc().strip().splitlines()[-1])
    print(f"\n{time.perf_counter() - started:.0f} s in all; {report.folder / 'gpu.md'}")


if __name__ == "__main__":
    main()
