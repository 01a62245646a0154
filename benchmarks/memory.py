"""Resident memory and speed of a training at 1,000, 5,000 and 20,000 slices, from memory and from the cache.

The slices are those of one phantom data set, replicated with cheap changes (mirrored, shifted, brightened):
rendering 20,000 would take long and change nothing here. Each line is a process of its own that reads the
slices, trains for some seconds without validation on the way, and notes its largest memory from /proc (Linux
only), reading included. "Own pages" (anonymous) cannot be taken away from a process, pages of files can.

    python benchmarks/memory.py SCRATCH_FOLDER --slices 1000,5000,20000 --seconds 10
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
from pathlib import Path

import numpy as np
from PIL import Image

from unet_helpers.checkpoint import load_state
from unet_helpers.data import Pair, find_pairs, load_pair, open_dataset, split_by_group, stone_strata
from unet_helpers.engine import cache
from unet_helpers.training import TrainConfig, fit


def replicate(pairs: list[Pair], n: int, folder: Path) -> list[Pair]:
    """Write n pairs into a folder; copy k of a slice is mirrored, shifted and brightened by k."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for i in range(n):
        k, source = i // len(pairs), pairs[i % len(pairs)]
        paths = folder / f"{i:06d}.jpg", folder / f"{i:06d}_mask.png"
        made.append(Pair(*paths, source.group))
        if paths[1].exists():
            continue
        image, mask = (np.roll(a[:, :: (-1) ** k], (3 * k, 5 * k), (0, 1)) for a in load_pair(source))
        Image.fromarray(np.minimum(image, 255 - k % 8) + np.uint8(k % 8)).save(paths[0], quality=92)
        Image.fromarray(mask.astype(np.uint8) * 255).save(paths[1])
    return made


def memory_mib() -> dict[str, float]:
    """Resident memory now: all of it, own pages, pages of files."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    names = {"all": "VmRSS", "own": "RssAnon", "files": "RssFile"}
    return {name: int(lines[key].split()[0]) / 1024 for name, key in names.items()}


class Watch(threading.Thread):
    """Notes the largest memory, five times a second, until `stop` is set."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.largest, self.stop = memory_mib(), threading.Event()

    def run(self) -> None:
        while not self.stop.wait(0.2):
            self.largest = {name: max(value, self.largest[name]) for name, value in memory_mib().items()}


def measure(folder: Path, n: int, seconds: float, cached: bool) -> dict[str, float]:
    """One training; all of its memory is that of this process."""
    pairs = find_pairs(open_dataset())
    split = split_by_group(pairs, strata=stone_strata(pairs))
    train_pairs, val_pairs = replicate(split["train"], n, folder), split["val"][:8]
    cache.CACHE_ABOVE_BYTES = 0 if cached else 2**60
    config = TrainConfig(minutes=seconds / 60, steps_per_epoch=10**9)
    start, watch = time.perf_counter(), Watch()
    watch.start()
    if cached:
        cache.open_cache(train_pairs, min_side=config.patch_size)  # fit then finds it
    reading = time.perf_counter() - start if cached else float("nan")
    with tempfile.TemporaryDirectory() as run:
        fit(train_pairs, val_pairs, run, config, progress=False)
        state = load_state(Path(run) / "last.pt")
    watch.stop.set()
    speed = config.batch_size * state["step"] / state["seconds"]
    return {"slices": n, "cached": cached, "reading_s": reading, "images_per_s": speed, **watch.largest}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder for slices and caches; 4 GB for 20,000")
    parser.add_argument("--slices", default="1000,5000,20000")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        n, cached = json.loads(args.one)
        print(json.dumps(measure(args.folder / "slices", n, args.seconds, cached)))
        return
    environment = {**os.environ, "UNET_HOME": str(args.folder)}
    print(
        "| slices | from | writing the cache, s | images/s | largest resident memory, MiB "
        "| own pages | pages of files |"
    )
    print("|---|---|---|---|---|---|---|")
    for n in map(int, args.slices.split(",")):
        for cached in (False, True):
            command = [
                sys.executable,
                __file__,
                str(args.folder),
                "--seconds",
                str(args.seconds),
                "--one",
                json.dumps([n, cached]),
            ]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            row = json.loads(done.stdout.splitlines()[-1])
            print(
                f"| {n:,} | {'cache' if cached else 'memory'} | {row['reading_s']:.0f} | "
                f"{row['images_per_s']:.0f} | {row['all']:.0f} | {row['own']:.0f} | {row['files']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
