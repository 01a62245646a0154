"""Whole trainings of `gpu.py`, each in a process of its own, as a student's kernel would do it.

A process prints one line of JSON. Its clock starts when `fit` is called: reading the images, finding anchors,
the first launch of every kernel, recording a step, validating and saving are all in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from machine import cpu_name, on_cores
from speed import prepare, step_of, timed

from unet_helpers.checkpoint import load_checkpoint, load_state
from unet_helpers.data import (
    Pair,
    find_pairs,
    known_stones,
    load_arrays,
    open_dataset,
    split_by_group,
    stone_strata,
)
from unet_helpers.engine.devices import choose_device
from unet_helpers.engine.stack import stack_up
from unet_helpers.evaluation import choose_threshold, evaluate
from unet_helpers.folders.sources import phantom_dataset
from unet_helpers.inference import predict_all
from unet_helpers.model import n_parameters
from unet_helpers.training import TrainConfig, default_config, fit

if TYPE_CHECKING:
    from gpu import Bench
    from report import Table

DICES = (0.80, 0.85, 0.90, 0.93, 0.95, 0.955)
MARK = "ROW "
Row = dict[str, Any]
Split = dict[str, list[Pair]]


# --------------------------------------------------------------------------------- data and settings
def default_data() -> Path:
    return open_dataset("phantom")


def smallest_data(n_patients: int = 8) -> Path:
    return phantom_dataset(n_patients=n_patients, n_slices=3, size=64)


def more_data(n_patients: int) -> subprocess.Popen[bytes]:
    """Write a larger phantom beside what else is done, on all cores but the first four."""
    code = (
        f"from unet_helpers.folders.sources import phantom_dataset; phantom_dataset(n_patients={n_patients})"
    )
    root = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    with on_cores(list(range(4, os.cpu_count() or 1)) or None):
        return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL)


def settings(device: torch.device, smoke: bool) -> TrainConfig:
    """The default settings of the device, or tiny ones."""
    if smoke:
        return TrainConfig(n_steps=4, steps_per_epoch=2, batch_size=2, patch_size=32)
    return default_config(device)


def larger_split(split: Split, folder: Path, n_patients: int) -> Split:
    """A split whose training part has further phantom patients, up to number `n_patients` of a larger set.

    The patients of a phantom do not depend on how many there are, so the smaller set is the beginning of the
    larger one, and validation and test part stay what they are.
    """
    pairs = find_pairs(folder)
    known = {pair.group for part in split.values() for pair in part}
    groups = list(dict.fromkeys(pair.group for pair in sorted(pairs, key=lambda pair: pair.image_path.name)))
    if set(groups[: len(known)]) != known:
        raise ValueError(f"split must be of the first {len(known)} patients of the phantom, got others.")
    more = set(groups[len(known) : n_patients])
    return {**split, "train": split["train"] + [pair for pair in pairs if pair.group in more]}


# ----------------------------------------------------------------------------------- in the process
def train(job: dict[str, Any]) -> Row:
    """One run from the call of `fit` to the scores of the test part."""
    pairs = find_pairs(job["data"])
    split = split_by_group(pairs, strata=stone_strata(pairs))
    if job.get("patients"):
        data = smallest_data if job["smoke"] else phantom_dataset
        split = larger_split(split, data(job["most"]), job["patients"])
    started = time.perf_counter()
    device = choose_device(job["device"])
    opened = time.perf_counter() - started
    config = replace(settings(device, job["smoke"]), seed=job["seed"])
    curve = list[tuple[float, float]]()

    def note(history: list[dict[str, float]]) -> None:
        curve.append((time.perf_counter() - started, history[-1]["val_dice"]))

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        fit(split["train"], split["val"], folder, config, device=device, progress=False, on_epoch=note)
        seconds = time.perf_counter() - started
        mib = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else float("nan")
        found = {**_weights(Path(folder), device, split), "peak_mib": mib}
    return {
        **found,
        "seed": job["seed"],
        "seconds_to_open": opened,
        "seconds": seconds,
        "curve": curve,
        "reached": {str(d): next((t for t, dice in curve if dice >= d), None) for d in DICES},
        "best": max(dice for _, dice in curve),
        "batch_size": config.batch_size,
        "n_train": len(split["train"]),
        "config": asdict(config),
    }


def _weights(run_dir: Path, device: torch.device, split: Split) -> Row:
    """What the files of a run say: the scores of its best weights, and how its scaler fared."""
    last, best = load_state(run_dir / "last.pt"), load_checkpoint(run_dir / "best.pt", device)
    n_moved = max(int(values["step"]) for values in last["optimiser"]["state"].values())
    return {
        **_test_scores(best.model, split),
        "best_step": best.step,
        "steps": last["step"],
        "parameters": n_parameters(best.model),
        "network": best.model.settings,
        "scale": last["scaler"].get("scale", 1.0),
        "n_overflows": last["step"] - n_moved,  # AdamW counts no step that moved nothing
    }


def _test_scores(model: torch.nn.Module, split: Split) -> Row:
    images, masks = load_arrays(split["val"])
    threshold, min_pixels = choose_threshold(predict_all(model, images), masks)
    images, masks = load_arrays(split["test"], max_size=sys.maxsize)
    scores = evaluate(
        predict_all(model, images),
        masks,
        threshold,
        min_pixels,
        [pair.group for pair in split["test"]],
        stones=known_stones(split["test"]),
    )
    names = ("dice_positive_mean", "section_sensitivity", "stone_sensitivity", "false_positives_per_image")
    found = {f"test_{name}": scores[name] for name in names}
    return {**found, "test_interval": scores["intervals"]["dice_positive_mean"], "threshold": threshold}


def steps(job: dict[str, Any]) -> Row:
    """Milliseconds of plain and recorded steps, and how long the CPU works at a recorded one."""
    pairs = find_pairs(job["data"])
    split = split_by_group(pairs, strata=stone_strata(pairs))
    arrays, device = load_arrays(split["train"]), choose_device(job["device"])
    stack = stack_up(*arrays, settings(device, job["smoke"]).patch_size, device)
    rows, n_steps = [], 2 if job["smoke"] else 64
    for batch_size in job["batches"]:
        cells: list[float] = [batch_size]
        for graphs in ("off", "auto"):
            config = replace(settings(device, job["smoke"]), batch_size=batch_size, cuda_graphs=graphs)
            run, sampler = prepare("all", arrays, config, device, 2 if job["smoke"] else 16, stack)
            step = step_of(run, sampler)
            cells.append(timed(step, n_steps, device))
        started = time.process_time()
        for _ in range(n_steps):
            step()
        rows.append([*cells, 1000 * (time.process_time() - started) / n_steps])
    return {"rows": rows, "cpu": cpu_name(), "cores": sorted(os.sched_getaffinity(0))}


JOBS = {"train": train, "steps": steps}


def in_a_process(bench: Bench, cores: list[int] | None = None, precision: str = "", **job: Any) -> Row:
    """Do a job in a fresh process, on some cores, in some precision; RuntimeError with its last words.

    A tiny run stays in this process, because importing PyTorch would take longer, unless cores are given.
    """
    job |= {"data": str(bench.data), "device": str(bench.device), "smoke": bench.smoke}
    with_precision = {"UNET_PRECISION": precision} if precision else {}
    if bench.smoke and cores is None:
        before = dict(os.environ)
        os.environ.update(with_precision)
        try:
            return JOBS[job["kind"]](job)
        finally:
            os.environ.clear()
            os.environ.update(before)
    root = Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, **with_precision, "PYTHONPATH": path}
    with on_cores(cores):
        done = subprocess.run(
            [sys.executable, str(Path(__file__)), json.dumps(job)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=max(30.0, bench.left()),
            check=False,
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or not lines:
        raise RuntimeError(f"{job}: {done.stderr.strip()[-2000:]}")
    row: Row = json.loads(lines[0].removeprefix(MARK))
    return row


# ------------------------------------------------------------------------------------------ the tables
def dice_head() -> list[str]:
    """Columns of a table of runs."""
    times = [f"s to {dice:g}" for dice in DICES]
    scores = ["test Dice (95 %)", "sections found", "false alarms"]
    return ["run", "seed", *times, "best", "steps x batch", "s in all", "MiB", *scores]


def dice_table(bench: Bench, part: str, title: str) -> Table:
    """Begin a table of runs."""
    note = (
        "Seconds from the call of `fit`, in a process of its own: reading, anchors, recording a step, "
        "validation and saving included; opening the card before it is not."
    )
    return bench.report.table(part, title, dice_head(), note)


def add_run(bench: Bench, table: Table, name: str, row: Row) -> None:
    """A line of a run, and a sentence if it is the first one of this name."""
    first = all(cells[0] != name for cells in table.rows)
    low, high = row["test_interval"]
    times = [row["reached"][str(dice)] for dice in DICES]
    bench.report.add(
        table,
        name,
        row["seed"],
        *["not reached" if seconds is None else f"{seconds:.1f}" for seconds in times],
        f"{row['best']:.3f}",
        f"{row['steps']} x {row['batch_size']}",
        f"{row['seconds']:.1f}",
        f"{row['peak_mib']:.0f}",
        f"{row['test_dice_positive_mean']:.3f} ({low:.3f} to {high:.3f})",
        f"{row['test_section_sensitivity']:.3f}",
        f"{row['test_false_positives_per_image']:.2f}",
    )
    bench.report.keep(table, [row])
    if first:
        bench.report.note(
            table,
            f"{name}: {row['n_train']} training images, {row['parameters']:,} weights ({row['network']}); "
            f"opening the card took {row['seconds_to_open']:.1f} s.",
        )


def add_means(bench: Bench, table: Table, name: str, rows: list[Row]) -> None:
    """A line with the mean and the range of several runs."""
    if len(rows) > 1:
        bench.report.add(table, name, f"mean of {len(rows)} (range)", *_means(rows))


def _means(rows: list[Row]) -> list[str]:
    cells = []
    for dice in DICES:
        times = [row["reached"][str(dice)] for row in rows if row["reached"][str(dice)] is not None]
        text = _mean_and_range(times, ".1f") if times else "not reached"
        cells.append(text if len(times) in (0, len(rows)) else f"{len(times)} of {len(rows)}: {text}")
    cells.append(_mean_and_range([row["best"] for row in rows], ".3f"))
    cells.append("")
    for key, form in (("seconds", ".1f"), ("peak_mib", ".0f"), ("test_dice_positive_mean", ".3f")):
        cells.append(_mean_and_range([row[key] for row in rows], form))
    cells.append(_mean_and_range([row["test_section_sensitivity"] for row in rows], ".3f"))
    return [*cells, _mean_and_range([row["test_false_positives_per_image"] for row in rows], ".2f")]


def _mean_and_range(values: list[float], form: str) -> str:
    return f"{np.mean(values):{form}} ({min(values):{form}} to {max(values):{form}})"


if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    print(MARK + json.dumps(JOBS[wanted["kind"]](wanted)), flush=True)
