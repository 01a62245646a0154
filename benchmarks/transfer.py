"""From the phantom to real scans: python benchmarks/transfer.py CHECKPOINT REAL OUT

1. Scores the network of CHECKPOINT, which was trained on the phantom alone and carries a threshold chosen
   there, on the folder REAL.
2. Learning curve: for 5, 10, 20, 50 and all exams of REAL's training part, trains once from random weights
   and once from the weights of CHECKPOINT, with the same settings, seeds and exams, and scores both on the
   exams of REAL's test part. The weights after the last step and the threshold 0.5 are scored, so that no
   further real exam helps to choose anything.

Rows go to OUT/curve.jsonl as they are made; the same call goes on where an earlier one stopped, and several
calls with other --seeds can fill it side by side. OUT/on_real.json holds the scores of step 1,
OUT/transfer.png the figure.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch

from unet_helpers.checkpoint import Checkpoint, load_checkpoint
from unet_helpers.data import Pair, find_pairs, load_arrays, split_by_group, stone_strata
from unet_helpers.engine.figures import save_figure
from unet_helpers.engine.files import write_json
from unet_helpers.evaluation import evaluate, score_masks
from unet_helpers.inference import predict_all
from unet_helpers.model import UNet
from unet_helpers.training import TrainConfig, fit

STARTS = ["random", "phantom"]
SHOWN = {
    "dice_positive_mean": "mean Dice",
    "section_sensitivity": "share of sections found",
    "false_positives_per_image": "false alarms per image",
}


def on_real(checkpoint: Checkpoint, pairs: list[Pair], max_size: int) -> dict[str, Any]:
    """Scores with intervals by exam; the network sees shrunken images, the scores are of the full size."""
    images, masks = load_arrays(pairs, max_size=sys.maxsize)
    probabilities = predict_all(checkpoint.model, images, max_size=max_size, progress=True)
    scores = evaluate(
        probabilities,
        masks,
        checkpoint.threshold,
        checkpoint.min_pixels,
        groups=[pair.group for pair in pairs],
    )
    return {**scores, "max_size": max_size}


def some_exams(pairs: list[Pair], n_exams: int, seed: int) -> list[Pair]:
    """The pairs of n randomly chosen exams (0: of all)."""
    exams = np.random.default_rng(seed).permutation(sorted({pair.group for pair in pairs}))
    kept = set(exams[:n_exams] if n_exams else exams)
    return [pair for pair in pairs if pair.group in kept]


def row(
    args: argparse.Namespace, split: dict[str, list[Pair]], n_exams: int, start: str, seed: int
) -> dict[str, Any]:
    """Train once and score on the test exams."""
    torch.manual_seed(seed)
    model = UNet() if start == "random" else load_checkpoint(args.checkpoint).model
    pairs = some_exams(split["train"], n_exams, seed)
    config = TrainConfig(n_steps=args.steps, steps_per_epoch=args.steps, seed=seed)
    run = args.out / f"{start}-{n_exams or 'all'}-{seed}"
    history = fit(pairs, split["val"][:20], run, config, model, resume=True, progress=False)
    model = load_checkpoint(run / "last.pt").model
    images, masks = load_arrays(split["test"], max_size=sys.maxsize)
    scores = score_masks([p >= 0.5 for p in predict_all(model, images)], masks)
    shutil.rmtree(run)
    return {
        "start": start,
        "exams": len({pair.group for pair in pairs}),
        "asked": n_exams,
        "seed": seed,
        "images": len(pairs),
        "steps": args.steps,
        "seconds": history[-1]["seconds"],
        **scores,
    }


def read_rows(out: Path) -> list[dict[str, Any]]:
    """All rows that any call has made so far."""
    path = out / "curve.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def learning_curve(args: argparse.Namespace, split: dict[str, list[Pair]]) -> None:
    """Make the rows that are asked for and not there yet."""
    done = {(r["start"], r["asked"], r["seed"]) for r in read_rows(args.out)}
    asked = itertools.product(args.seeds, args.exams, args.starts)
    for seed, n_exams, start in asked:
        if (start, n_exams, seed) in done:
            continue
        made = row(args, split, n_exams, start, seed)
        with (args.out / "curve.jsonl").open("a") as file:
            file.write(json.dumps(made) + "\n")
        print(
            f"{start:8s} {made['exams']:4d} exams, seed {seed}: "
            + ", ".join(f"{label} {made[name]:.3f}" for name, label in SHOWN.items()),
            flush=True,
        )


def draw(rows: list[dict[str, Any]], zero: dict[str, Any]) -> plt.Figure:
    """One panel a score: mean line and every seed as a dot, against the number of real exams."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.3), layout="constrained")
    for axis, (name, label) in zip(axes, SHOWN.items(), strict=True):
        for start, text, marker, colour in (
            ("random", "real scans alone", "s", "#0072B2"),
            ("phantom", "phantom first", "o", "#D55E00"),
        ):
            mine = [r for r in rows if r["start"] == start]
            exams = sorted({r["exams"] for r in mine})
            means = [np.mean([r[name] for r in mine if r["exams"] == n]) for n in exams]
            axis.plot(exams, means, color=colour, label=text)
            dots = [(r["exams"], r[name]) for r in mine]
            axis.plot(*zip(*dots, strict=True), marker, ms=4, color=colour, alpha=0.6)
        axis.axhline(zero[name], color="0.3", ls=":", label="phantom alone")
        axis.set(xscale="log", xlabel="real exams to learn from", ylabel=label)
        axis.set_xticks(exams, [str(n) for n in exams])
        axis.minorticks_off()
        axis.set_ylim(0, None if name == "false_positives_per_image" else 1)
    axes[0].legend(frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, help="best.pt of a run on the phantom")
    parser.add_argument("real", type=Path, help="folder of real image-mask pairs")
    parser.add_argument("out", type=Path, help="folder for the results")
    parser.add_argument("--exams", type=int, nargs="+", default=[5, 10, 20, 50, 0], help="0 stands for all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=STARTS)
    parser.add_argument("--steps", type=int, default=500, help="of each training of step 2 (default 500)")
    parser.add_argument(
        "--max-size",
        type=int,
        default=313,
        help="longest side in step 1: at 313 the real "
        "pixels are about as large as the phantom's (default 313)",
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore", UserWarning)  # images without a mask; `check` lists them
    pairs = find_pairs(args.real)
    split = split_by_group(pairs, strata=stone_strata(pairs))
    checkpoint = load_checkpoint(args.checkpoint)
    scored = args.out / "on_real.json"
    if not scored.exists():
        zero = {
            name: on_real(checkpoint, part, args.max_size)
            for name, part in (("all", pairs), ("test", split["test"]))
        }
        write_json(
            scored,
            {
                name: {key: value for key, value in scores.items() if not key.startswith("per_")}
                for name, scores in zero.items()
            },
        )
    zero = json.loads(scored.read_text())
    for name, scores in zero.items():
        print(
            f"phantom alone, {name} real images: "
            + ", ".join(
                f"{label} {scores[key]:.3f} {scores['intervals'][key]}" for key, label in SHOWN.items()
            )
        )
    learning_curve(args, split)
    save_figure(draw(read_rows(args.out), zero["test"]), args.out / "transfer.png")


if __name__ == "__main__":
    main()
