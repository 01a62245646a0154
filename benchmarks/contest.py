"""What `peers.py` and `recipes.py` share: equal seconds of training, each contestant in a process of its own.

Rows are appended to a file of JSON lines as soon as they are measured. What the file already holds is not
measured again, so a long table can be made in pieces. The clock runs during training steps only: reading the
data, validating and scoring are free for everybody. Threshold and smallest region are chosen on the
validation part, and the scores are those of the test part, image by image: two contestants are compared by
the difference on the same images, with an interval by patient. The memory is that of the whole process,
libraries included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from contest_table import plot, table
from machine import convolution_peak, cores_of, cpu_name, on_cores, operations_per_image, peak_memory_mib
from torch import Tensor, nn
from torch.nn.functional import pad

from unet_helpers.checkpoint import load_state
from unet_helpers.data import (
    Pair,
    find_pairs,
    known_stones,
    load_arrays,
    open_dataset,
    split_by_group,
    stone_strata,
)
from unet_helpers.engine.devices import sixteen_bit_type
from unet_helpers.engine.figures import save_figure
from unet_helpers.evaluation import choose_threshold, score_masks
from unet_helpers.inference import predict_all
from unet_helpers.metrics import predicted_mask
from unet_helpers.model import n_parameters
from unet_helpers.scores.records import image_record, score_image
from unet_helpers.training import TrainConfig, default_config, fit

Split = dict[str, list[Pair]]
Row = dict[str, Any]


class Padded(nn.Module):
    """A network that needs sides of a multiple, at least two, made to take any: padded by the edge, cropped.

    Args:
        network: From (B, 1, H, W) to logits (B, 1, H, W).
        multiple: Of which sides must be a multiple: one pixel alone at the lowest resolution has no spread.
    """

    def __init__(self, network: nn.Module, multiple: int = 32) -> None:
        super().__init__()
        self.network, self.multiple = network, multiple

    def forward(self, image: Tensor) -> Tensor:
        """Image (B, 1, H, W) -> logits (B, 1, H, W)."""
        height, width = image.shape[-2:]
        more = [max(-side % self.multiple, 2 * self.multiple - side) for side in (width, height)]
        image = pad(image, (0, more[0], 0, more[1]), mode="replicate")
        return self.network(image)[..., :height, :width]


# ------------------------------------------------------------------------------------------ measuring
def score(model: nn.Module, split: Split) -> Row:
    """Scores of the test part at the threshold that the validation part chooses."""
    val_images, val_masks = load_arrays(split["val"])
    val_probabilities = predict_all(model, val_images)
    threshold, min_pixels = choose_threshold(val_probabilities, val_masks)
    images, masks = load_arrays(split["test"], max_size=sys.maxsize)
    predictions = [predicted_mask(p, threshold, min_pixels) for p in predict_all(model, images)]
    scores = score_masks(predictions, masks, known_stones(split["test"]))
    names = (
        "n_positive",
        "n_sections",
        "n_stones",
        "dice_positive_mean",
        "section_sensitivity",
        "stone_sensitivity",
        "false_positives_per_image",
    )
    keys = ("dice", "n_sections", "n_found", "n_false_positives")
    records = [image_record(score_image(p, mask)) for p, mask in zip(predictions, masks, strict=True)]
    per_image = [{key: record[key] for key in keys} for record in records]
    return {
        **{name: scores[name] for name in names},
        "threshold": threshold,
        "min_pixels": min_pixels,
        "per_image": per_image,
        "groups": [pair.group for pair in split["test"]],
        "val_dice": score_masks([p >= threshold for p in val_probabilities], val_masks)["dice_positive_mean"],
    }


def speed_row(model: nn.Module, side: int, n_images: int, seconds: float, dtype: torch.dtype) -> Row:
    """How fast the training was, and how much of the machine it used."""
    speed = n_images / seconds
    peak = convolution_peak(dtype, device=next(model.parameters()).device)
    return {
        "parameters": n_parameters(model),
        "precision": str(dtype).removeprefix("torch."),
        "training_seconds": round(seconds, 1),
        "images_per_s": speed,
        "patch_size": side,
        "megapixels_per_s": speed * side**2 / 1e6,
        "peak_memory_mib": peak_memory_mib(),
        "convolution_peak_gflops": peak / 1e9,
        "share_of_peak": operations_per_image(model, side) * speed / peak,
    }


def device() -> torch.device:
    """Where contestants train; the processes of a contest get it in their environment."""
    return torch.device(os.environ.get("CONTEST_DEVICE", "cpu"))


def train_with_fit(model: nn.Module, split: Split, config: TrainConfig, budget: float, **options: Any) -> Row:
    """Train `model` in place for `budget` seconds with the package's own loop, validated at the end only.

    The options are those of `fit`, such as `loss`.
    """
    with tempfile.TemporaryDirectory() as run:
        fit(split["train"], split["val"], run, config, model, device(), False, False, **options)
        state = load_state(Path(run) / "last.pt")
    dtype = sixteen_bit_type(device()) or torch.float32
    row = speed_row(model, config.patch_size, config.batch_size * state["step"], state["seconds"], dtype)
    return {**row, "steps": state["step"], "budget": budget}


def timed_config(budget: float, seed: int, **changes: Any) -> TrainConfig:
    """Settings of the lessons for a budget in seconds; the schedule ends with it, validation comes after."""
    timed = {"minutes": budget / 60, "steps_per_epoch": 10**9, "seed": seed}
    return replace(default_config(device()), **{**timed, **changes})


# ----------------------------------------------------------------------------------- rows, made in pieces
Job = tuple[str, int, list[float]]  # contestant, seed, budgets in seconds


def read_rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def _missing(rows: list[Row], name: str, seed: int, threads: int, budgets: list[float]) -> list[float]:
    done = {(r["contestant"], r["seed"], r["threads"], r["budget"]) for r in rows}
    return [budget for budget in budgets if (name, seed, threads, budget) not in done]


def measure(script: str, args: argparse.Namespace, job: Job, seconds: float) -> bool:
    """Let a fresh process train one contestant; append the rows as it prints them.

    Args:
        script: The file that knows the contestants.
        args: Command line of the contest.
        job: What to train.
        seconds: When to end the process, rows or no rows; infinity waits for it.

    Returns:
        Whether the process ended well.
    """
    command = [sys.executable, script, "--data", str(args.data), "--threads", str(args.threads)]
    command += ["--jobs", str(args.jobs), "--one", json.dumps(job)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads), "CONTEST_DEVICE": args.device}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        clock = threading.Timer(min(seconds, threading.TIMEOUT_MAX), process.kill)
        clock.daemon = True
        clock.start()
        for line in process.stdout or ():
            if line.startswith('{"contestant"'):
                row = json.loads(line)
                with _ONE_AT_A_TIME, args.out.open("a", encoding="utf-8") as file:
                    file.write(line)
                dice = row["dice_positive_mean"]
                print(f"{job[0]}, seed {job[1]}, {row['budget']:g} s: Dice {dice:.3f}", flush=True)
        clock.cancel()
    return process.returncode == 0


_ONE_AT_A_TIME = threading.Lock()


def measure_all(
    script: str, args: argparse.Namespace, jobs: list[Job], overhead: Callable[[str], float]
) -> list[Job]:
    """Do jobs, `--jobs` at once, each on cores of its own; returns those that failed or found no time.

    None is begun that `--wall` would cut off, and with several at once the longest come first.
    """
    started, cores, n = time.perf_counter(), cores_of(args.cores), args.threads
    waiting = sorted(jobs, key=lambda job: -max(job[2])) if args.jobs > 1 else list(jobs)
    undone = list[Job]()

    def work(number: int) -> None:
        mine = [cores[(number * n + i) % len(cores)] for i in range(n)] if cores else None
        with on_cores(mine):  # this thread alone, and the processes that it starts
            while True:
                left = args.wall - (time.perf_counter() - started)
                with _ONE_AT_A_TIME:
                    fitting = [job for job in waiting if max(job[2]) + overhead(job[0]) <= left]
                    if not fitting:
                        return
                    waiting.remove(fitting[0])
                if not measure(script, args, fitting[0], left):
                    undone.append(fitting[0])

    with ThreadPoolExecutor(args.jobs) as pool:
        for done in [pool.submit(work, number) for number in range(args.jobs)]:
            done.result()
    return undone + waiting


def main(
    script: str,
    contestants: dict[str, Callable[[Split, int, list[float]], list[Row]]],
    separate_runs: Callable[[str], bool],
    overhead: Callable[[str], float] = lambda name: 40.0,
) -> None:
    """Command line of a contest.

    Args:
        script: `__file__` of the caller.
        contestants: By name: takes split, seed and budgets in seconds, returns one row a budget.
        separate_runs: Whether a contestant needs a run a budget, because its schedule ends with the budget.
        overhead: Seconds that a contestant takes beside its training, on one core: loading, scoring.
    """
    args = _arguments(script, contestants)
    if args.one:
        _one(args, contestants)
        return
    jobs = list[Job]()
    budgets = [float(budget) for budget in args.budgets.split(",")]
    for seed in [] if args.table else [int(seed) for seed in args.seeds.split(",")]:
        for name in args.contestants:
            left = _missing(read_rows(args.out), name, seed, args.threads, budgets)
            some = [[b] for b in left] if separate_runs(name) else [left] if left else []
            jobs += [(name, seed, budgets_of_one) for budgets_of_one in some]
    if jobs:
        open_dataset(args.data)  # once, before many processes ask for it
    undone = measure_all(script, args, jobs, overhead)
    print(table(read_rows(args.out), next(iter(contestants))))
    if args.figure:
        save_figure(plot(read_rows(args.out)), args.figure)
    if undone:
        names = "; ".join(f"{name}, seed {seed}, {some} s" for name, seed, some in undone)
        sys.exit(f"Not measured, for want of time or because they failed: {names}.")


def _arguments(script: str, contestants: dict[str, Callable]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--data", default="phantom", help='"phantom", or a folder of pairs (default phantom)')
    out = Path(script).with_suffix(".jsonl").name
    parser.add_argument("--out", type=Path, default=Path(out), help="JSON lines that rows are appended to")
    parser.add_argument("--contestants", help=f"names, by commas; all: {', '.join(contestants)}")
    parser.add_argument("--budgets", default="60,180,300", help="training seconds (default 60,180,300)")
    parser.add_argument("--seeds", default="0", help="default 0")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    parser.add_argument("--device", default="cpu", help="where to train (default cpu)")
    parser.add_argument("--jobs", type=int, default=1, help="contestants that train at once (default 1)")
    parser.add_argument("--cores", help='CPU cores that they share out among them, such as "2-15"')
    parser.add_argument("--wall", type=float, default=float("inf"), help="seconds for everything")
    parser.add_argument("--table", action="store_true", help="measure nothing, print what is there")
    parser.add_argument("--figure", type=Path, help="also draw mean Dice against seconds into this file")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.contestants = args.contestants.split(",") if args.contestants else list(contestants)
    if unknown := set(args.contestants) - contestants.keys():
        parser.error(f"--contestants must be among {', '.join(contestants)}, got {min(unknown)}")
    return args


def _one(args: argparse.Namespace, contestants: dict[str, Callable]) -> None:
    name, seed, budgets = json.loads(args.one)
    torch.set_num_threads(args.threads)
    torch.manual_seed(seed)
    pairs = find_pairs(open_dataset(args.data))
    split = split_by_group(pairs, strata=stone_strata(pairs))
    about = {"contestant": name, "seed": seed, "threads": args.threads, "torch": torch.__version__}
    about |= {"machine": _machine(), "jobs": args.jobs}
    for row in contestants[name](split, seed, budgets):
        print(json.dumps({**about, **row}), flush=True)


def _machine() -> str:
    return torch.cuda.get_device_name() if device().type == "cuda" else cpu_name()
