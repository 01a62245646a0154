"""What a minute buys: the recipe of the lessons with one thing left out at a time, several seeds.

A minute is counted in steps, as many as one quiet core does in it, so that other work on the machine changes
the seconds and no score. Rows are appended to a file of JSON lines; what it holds is not measured again.

    python benchmarks/ablations.py --seeds 0,1,2 --out ablations.jsonl
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from unet_helpers.checkpoint import load_checkpoint
from unet_helpers.data import Pair, find_pairs, load_arrays, open_dataset, split_by_group, stone_strata
from unet_helpers.exercises.ablations import MINUTE, recipes
from unet_helpers.inference import predict_all
from unet_helpers.metrics import dice
from unet_helpers.training import fit

HEAD = "left out", "steps", "validation Dice, each seed", "mean", "at its best threshold"
THRESHOLDS = [round(0.05 * k, 2) for k in range(1, 20)]


def measure(split: dict[str, list[Pair]], left_out: str, seed: int, n_steps: int) -> dict[str, Any]:
    """Train with one thing left out; validation Dice at one half, and at its own best threshold."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = recipes(n_steps, seed)[left_out]
        history = fit(split["train"], split["val"], folder, progress=False, **arguments)
        network = load_checkpoint(Path(folder) / "best.pt").model
    images, masks = load_arrays(split["val"])
    answers = [(p, mask) for p, mask in zip(predict_all(network, images), masks, strict=True) if mask.any()]
    scores = {t: float(np.mean([dice(p >= t, mask) for p, mask in answers])) for t in THRESHOLDS}
    best = max(scores, key=lambda threshold: scores[threshold])
    last = history[-1]
    row = {"left_out": left_out, "seed": seed, "steps": last["step"], "seconds": last["seconds"]}
    return row | {"dice": scores[0.5], "best_dice": scores[best], "threshold": best}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows of all seeds, one line a recipe."""
    lines = [f"| {' | '.join(HEAD)} |", "|---|---|---|---|---|"]
    for name in recipes():
        own = sorted((row for row in rows if row["left_out"] == name), key=lambda row: row["seed"])
        if own:
            each = ", ".join(f"{row['dice']:.3f}" for row in own)
            means = (fmean(row[key] for row in own) for key in ("dice", "best_dice"))
            lines.append(f"| {name} | {own[0]['steps']} | {each} | {' | '.join(f'{m:.3f}' for m in means)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="What a minute of training buys.")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=MINUTE)
    parser.add_argument("--out", type=Path, default=Path("ablations.jsonl"))
    options = parser.parse_args()
    known = options.out.read_text("utf-8").splitlines() if options.out.exists() else []
    rows = [json.loads(line) for line in known]
    done = {(row["left_out"], row["seed"]) for row in rows}
    pairs = find_pairs(open_dataset())
    split = split_by_group(pairs, strata=stone_strata(pairs))
    for seed in map(int, options.seeds.split(",")):
        for left_out in recipes():
            if (left_out, seed) not in done:
                rows.append(measure(split, left_out, seed, options.steps))
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
