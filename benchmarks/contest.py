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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import CPU, convolution_peak, operations_per_image, peak_memory_mib
from matplotlib.figure import Figure
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
from unet_helpers.evaluation import choose_threshold, compare, score_masks
from unet_helpers.inference import predict_all, sixteen_bit_type
from unet_helpers.metrics import predicted_mask
from unet_helpers.model import n_parameters
from unet_helpers.plotting import save_figure
from unet_helpers.scores.records import image_record, score_image
from unet_helpers.training import TrainConfig, fit

Split = dict[str, list[Pair]]
Row = dict[str, Any]


class Padded(nn.Module):
    """A network that needs sides of a multiple of 32, made to take any: padded by its edge, then cropped."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Image (B, 1, H, W) -> logits (B, 1, H, W)."""
        height, width = image.shape[-2:]
        image = pad(image, (0, -width % 32, 0, -height % 32), mode="replicate")
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
    speed, peak = n_images / seconds, convolution_peak(dtype)
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


def train_with_fit(model: nn.Module, split: Split, config: TrainConfig, budget: float, **options: Any) -> Row:
    """Train `model` in place for `budget` seconds with the package's own loop, validated at the end only.

    The options are those of `fit`, such as `loss`.
    """
    with tempfile.TemporaryDirectory() as run:
        fit(split["train"], split["val"], run, config, model, CPU, resume=False, progress=False, **options)
        state = load_state(Path(run) / "last.pt")
    dtype = sixteen_bit_type(CPU) or torch.float32
    row = speed_row(model, config.patch_size, config.batch_size * state["step"], state["seconds"], dtype)
    return {**row, "steps": state["step"], "budget": budget}


def timed_config(budget: float, seed: int, **changes: Any) -> TrainConfig:
    """Settings of the lessons for a budget in seconds; the schedule ends with it, validation comes after."""
    return TrainConfig(**{"minutes": budget / 60, "steps_per_epoch": 10**9, "seed": seed, **changes})


# ----------------------------------------------------------------------------------- rows, made in pieces
def read_rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def _missing(rows: list[Row], name: str, seed: int, threads: int, budgets: list[float]) -> list[float]:
    done = {(r["contestant"], r["seed"], r["threads"], r["budget"]) for r in rows}
    return [budget for budget in budgets if (name, seed, threads, budget) not in done]


def measure(script: str, args: argparse.Namespace, name: str, seed: int, budgets: list[float]) -> None:
    """Let a fresh process train one contestant; append the rows it prints."""
    command = [
        sys.executable,
        script,
        "--data",
        str(args.data),
        "--threads",
        str(args.threads),
        "--one",
        json.dumps([name, seed, budgets]),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    with args.out.open("a", encoding="utf-8") as file:
        for line in done.stdout.splitlines():
            if line.startswith('{"contestant"'):
                file.write(line + "\n")
                budget, dice = (json.loads(line)[key] for key in ("budget", "dice_positive_mean"))
                print(f"{name}, seed {seed}, {budget:g} s: Dice {dice:.3f}", flush=True)


def main(
    script: str,
    contestants: dict[str, Callable[[Split, int, list[float]], list[Row]]],
    separate_runs: Callable[[str], bool],
) -> None:
    """Command line of a contest.

    Args:
        script: `__file__` of the caller.
        contestants: By name: takes split, seed and budgets in seconds, returns one row a budget.
        separate_runs: Whether a contestant needs a run a budget, because its schedule ends with the budget.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--data", default="phantom", help='"phantom", or a folder of pairs (default phantom)')
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(script).with_suffix(".jsonl").name,
        help="file of JSON lines that rows are appended to",
    )
    parser.add_argument("--contestants", help=f"names, by commas; all: {', '.join(contestants)}")
    parser.add_argument("--budgets", default="60,180,300", help="training seconds (default 60,180,300)")
    parser.add_argument("--seeds", default="0", help="default 0")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    parser.add_argument("--table", action="store_true", help="measure nothing, print what is there")
    parser.add_argument("--figure", type=Path, help="also draw mean Dice against seconds into this file")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.out = Path(args.out)
    if args.one:
        _one(args, contestants)
        return
    names = args.contestants.split(",") if args.contestants else list(contestants)
    if unknown := set(names) - contestants.keys():
        parser.error(f"--contestants must be among {', '.join(contestants)}, got {sorted(unknown)[0]}")
    budgets = [float(budget) for budget in args.budgets.split(",")]
    for seed in [] if args.table else [int(seed) for seed in args.seeds.split(",")]:
        for name in names:
            left = _missing(read_rows(args.out), name, seed, args.threads, budgets)
            for some in [[b] for b in left] if separate_runs(name) else [left] if left else []:
                measure(script, args, name, seed, some)
    print(table(read_rows(args.out), next(iter(contestants))))
    if args.figure:
        save_figure(plot(read_rows(args.out)), args.figure)


def _one(args: argparse.Namespace, contestants: dict[str, Callable]) -> None:
    name, seed, budgets = json.loads(args.one)
    torch.set_num_threads(args.threads)
    torch.manual_seed(seed)
    pairs = find_pairs(open_dataset(args.data))
    split = split_by_group(pairs, strata=stone_strata(pairs))
    for row in contestants[name](split, seed, budgets):
        about = {"contestant": name, "seed": seed, "threads": args.threads, "torch": torch.__version__}
        print(json.dumps({**about, **row}), flush=True)


def table(rows: list[Row], reference: str) -> str:
    """Markdown: one line a contestant and budget, mean over the seeds, their range, and what it gains.

    Args:
        rows: What was measured.
        reference: The contestant that all others are compared with, on the same images.
    """
    head = (
        "contestant",
        "s",
        "seeds",
        "mean Dice (range)",
        f"Dice minus {reference} (95 %)",
        "validation",
        "sections found",
        "stones found",
        "false alarms",
        "parameters",
        "images/s",
        "MPx/s",
        "share of peak",
        "memory, MiB",
    )
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    keys = sorted({(r["threads"], r["budget"], r["contestant"]) for r in rows})
    for threads, budget, name in keys:
        some = [r for r in rows if (r["threads"], r["budget"], r["contestant"]) == (threads, budget, name)]

        def mean(key: str, some: list[Row] = some) -> float:
            return float(np.mean([row[key] for row in some]))

        dices = [row["dice_positive_mean"] for row in some]
        cells = (
            name,
            f"{budget:g}",
            str(len(some)),
            f"{np.mean(dices):.3f} ({min(dices):.3f} to {max(dices):.3f})",
            _change(rows, some, reference),
            f"{mean('val_dice'):.3f}",
            f"{mean('section_sensitivity'):.3f}",
            f"{mean('stone_sensitivity'):.3f}",
            f"{mean('false_positives_per_image'):.2f}",
            f"{some[0]['parameters']:,}",
            f"{mean('images_per_s'):.1f}",
            f"{mean('megapixels_per_s'):.2f}",
            f"{100 * mean('share_of_peak'):.0f} % {some[0]['precision']}",
            f"{mean('peak_memory_mib'):.0f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _change(rows: list[Row], some: list[Row], reference: str) -> str:
    """Paired difference of the mean Dice to the reference, same budget, over the seeds that both have."""
    about = {name: some[0][name] for name in ("threads", "budget")} | {"contestant": reference}
    theirs = {row["seed"]: row for row in rows if about.items() <= row.items()}
    pairs = [(theirs[row["seed"]], row) for row in some if row["seed"] in theirs]
    if some[0]["contestant"] == reference or not pairs:
        return "-"
    one, other = (
        {"per_image": [image for row in part for image in row["per_image"]]}
        for part in zip(*pairs, strict=True)
    )
    groups = [group for _, row in pairs for group in row["groups"]]  # a patient is drawn with all seeds
    change = compare(one, other, groups)["dice_positive_mean"]
    return "{:+.3f} ({:+.3f} to {:+.3f})".format(change["difference"], *change["interval"])


def plot(rows: list[Row]) -> Figure:
    """Mean Dice against the seconds of training: a line a contestant, a bar from the worst seed to the best.

    A library network has one colour, dashed with its own settings and solid inside our recipe.
    """
    figure = Figure(figsize=(7.5, 4), layout="constrained")
    ax = figure.subplots()
    names = sorted({row["contestant"] for row in rows}, key=lambda name: (name != "ours", name))
    families = list(dict.fromkeys(name.removesuffix("-in-ours") for name in names))
    for name in names:
        family = name.removesuffix("-in-ours")
        budgets = sorted({row["budget"] for row in rows if row["contestant"] == name})
        dices = [
            [r["dice_positive_mean"] for r in rows if (r["contestant"], r["budget"]) == (name, budget)]
            for budget in budgets
        ]
        means = np.array([np.mean(some) for some in dices])
        spread = [means - [min(some) for some in dices], [max(some) for some in dices] - means]
        ax.errorbar(
            budgets,
            means,
            spread,
            marker="o",
            capsize=3,
            color=_COLOURS[families.index(family)],
            linewidth=3 if name == "ours" else 1.5,
            linestyle="--" if name == family != "ours" else "-",
            label=name.replace("-in-ours", ", our recipe"),
        )
    ax.set(xlabel="seconds of training", ylabel="mean Dice, test part", ylim=(0, 1), xlim=(0, None))
    ax.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


_COLOURS = ["#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"]
