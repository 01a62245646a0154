"""How long do all scores of a test set take?

`python benchmarks/evaluation.py` scores 200 images of 512 x 512 pixels with `evaluation.evaluate`: every
overlap, stone, distance and curve, and the intervals by patient. Three kinds of probabilities: those of a
good network (blurred stones and a few false alarms), of an unsure one (specks everywhere), and plain noise
between 0 and 1, which no network gives and which is the worst case. Everything runs on one core.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from unet_helpers.evaluation import evaluate
from unet_helpers.scores.curves import calibration, froc, precision_recall

N_IMAGES_PER_PATIENT = 8


def make_target(size: int, rng: np.random.Generator) -> np.ndarray:
    """Mask of none to three round stones of 2 to 30 pixels across; every third mask is empty."""
    rows, columns = np.ogrid[:size, :size]
    mask = np.zeros((size, size), bool)
    for _ in range(int(rng.integers(1, 4)) * int(rng.random() < 2 / 3)):
        row, column = rng.uniform(0.1 * size, 0.9 * size, 2)
        mask |= (rows - row) ** 2 + (columns - column) ** 2 <= rng.uniform(1, 15) ** 2
    return mask


def make_probability(kind: str, target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Probabilities of one kind of network for one mask; float32 (H, W)."""
    if kind == "noise":
        return rng.random(target.shape, np.float32)
    seen = ndimage.binary_dilation(target) if rng.random() < 0.5 else target
    logits = 16 * ndimage.gaussian_filter(seen.astype(np.float32), 1.0) - 8
    false = rng.integers(0, target.shape[0], (2, 4 if kind == "good" else 400))
    logits[tuple(false)] += rng.uniform(2, 14, false.shape[1]).astype(np.float32)
    logits += rng.normal(0, 0.5, target.shape).astype(np.float32)
    return 1 / (1 + np.exp(-ndimage.gaussian_filter(logits, 0.7)))


def measure(work: Callable[..., object], *arguments: object, **options: object) -> str:
    """Run once; the seconds on the clock and of the processor as text."""
    start = time.perf_counter(), time.process_time()
    work(*arguments, **options)
    clock, processor = time.perf_counter() - start[0], time.process_time() - start[1]
    return f"{clock:6.2f} s on the clock, {processor:6.2f} s of the processor"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200, help="number of images (default: 200)")
    parser.add_argument("--size", type=int, default=512, help="pixels (default: 512)")
    parser.add_argument("--parts", action="store_true", help="time the curves one by one, too")
    arguments = parser.parse_args()
    print(f"{arguments.images} images of {arguments.size} px, Python {platform.python_version()}")
    groups = [i // N_IMAGES_PER_PATIENT for i in range(arguments.images)]
    for kind in ("good", "unsure", "noise"):
        rng = np.random.default_rng(0)
        targets = [make_target(arguments.size, rng) for _ in groups]
        probabilities = [make_probability(kind, target, rng) for target in targets]
        print(f"{kind:<7} all scores       {measure(evaluate, probabilities, targets, 0.5, groups=groups)}")
        for part in (froc, precision_recall, calibration) if arguments.parts else ():
            print(f"        {part.__name__:<16} {measure(part, probabilities, targets)}", flush=True)


if __name__ == "__main__":
    main()
