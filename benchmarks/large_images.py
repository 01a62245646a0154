"""Large images: what shrinking did to small stones, what is found now, at which memory and speed.

    python benchmarks/large_images.py kept             stones left in masks that are shrunk to 512 pixels
    python benchmarks/large_images.py found            train 200 steps on scans of 2,000 pixels, predict 3,840
    python benchmarks/large_images.py tiles BEST.pt    the same mosaic of phantom slices, whole and in tiles
    python benchmarks/large_images.py memory           predict 110 megapixels in a process of its own
    python benchmarks/large_images.py speed            training steps on small and large images

The scans are noise with bright discs on a grid: they measure sizes, and say nothing about kidney stones.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from unet_helpers import inference
from unet_helpers.checkpoint import load_checkpoint
from unet_helpers.data import Pair, find_pairs, load_image, open_dataset
from unet_helpers.engine.cache import InMemory, load_hashed, open_cache
from unet_helpers.metrics import match_stones, predicted_mask
from unet_helpers.model import UNet
from unet_helpers.training import Run, TrainConfig, fit, train_step
from unet_helpers.transforms import PatchSampler, resize_mask, shrink_size

CPU = torch.device("cpu")


def scan(side: int, n: int, radii: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise (60 to 119) with about n discs of 230 on a jittered grid; a radius of 0 is a pair of pixels."""
    rng = np.random.default_rng(seed)
    image, mask = rng.integers(60, 120, (side, side), np.uint8), np.zeros((side, side), bool)
    places = np.linspace(16, side - 16, int(np.ceil(n**0.5))).astype(int)
    for row in places:
        for column in places:
            r = int(rng.choice(radii))
            top, left = row + int(rng.integers(-3, 4)), column + int(rng.integers(-3, 4))
            rows, columns = np.ogrid[-r : r + 1, -r : r + 1]
            disc = rows**2 + columns**2 <= r * r if r else np.ones((1, 2), bool)
            mask[top : top + disc.shape[0], left : left + disc.shape[1]] |= disc
    image[mask] = 230
    return image, mask


def write(folder: Path, n_images: int, side: int, n: int, radii: tuple[int, ...]) -> list[Pair]:
    folder.mkdir(parents=True)
    pairs = []
    for i in range(n_images):
        image, mask = scan(side, n, radii, seed=i)
        paths = folder / f"s{i}.png", folder / f"s{i}_mask.png"
        Image.fromarray(image).save(paths[0], compress_level=1)
        Image.fromarray(mask).save(paths[1])
        pairs.append(Pair(*paths, f"s{i}"))
    return pairs


def n_regions(mask: np.ndarray) -> int:
    return int(ndimage.label(mask, np.ones((3, 3)))[1])


def kept() -> None:
    print(
        "| side, px | stone | stones | left by nearest neighbour | left by `resize_mask` | its area grows |"
    )
    print("|---|---|---|---|---|---|")
    for side in (1024, 2048, 4000):
        for radius, name in ((0, "2 px"), (1, "radius 1"), (2, "radius 2"), (4, "radius 4")):
            mask = scan(side, 400, (radius,))[1]
            size, n = shrink_size(mask.shape, 512), n_regions(mask)
            nearest = np.array(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST))
            ours = resize_mask(mask, size)
            times = ours.sum() * (side / 512) ** 2 / mask.sum()
            shares = [f"{100 * n_regions(small) / n:.0f} %" for small in (nearest, ours)]
            print(f"| {side} | {name} | {n} | {shares[0]} | {shares[1]} | x {times:.1f} |")


def found() -> None:
    """Two networks, alike but for the scale at which they work."""
    test, truth = scan(3840, 1600, (0, 1, 2, 3), seed=99)
    print("| trained and predicted | stones of 3,840 px found | false alarms | training | prediction |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        pairs = write(Path(folder) / "data", 8, 2000, 400, (0, 1, 2, 3))
        for name, max_size in (("shrunk to 512 px", 512), ("at file resolution", None)):
            config, run = (
                TrainConfig(n_steps=200, steps_per_epoch=100, max_size=max_size),
                Path(folder) / name,
            )
            start = time.perf_counter()
            fit(pairs[:6], pairs[6:], run, config, device=CPU, progress=False)
            trained = time.perf_counter() - start
            model = load_checkpoint(run / "last.pt").model
            start = time.perf_counter()
            probability = inference.predict(model, test, max_size=max_size)
            seconds = time.perf_counter() - start
            match = match_stones(predicted_mask(probability, 0.5), truth)
            print(
                f"| {name} | {match.n_found} of {match.n_sections} | {match.n_false_positives} | "
                f"{trained:.0f} s | {seconds:.0f} s |"
            )


def tiles(best: Path) -> None:
    """64 phantom slices side by side, 2,048 x 2,048 pixels, by a network of the lessons."""
    images = [load_image(pair.image_path) for pair in find_pairs(open_dataset())[:64]]
    mosaic = np.block([images[8 * k : 8 * k + 8] for k in range(8)])
    network = load_checkpoint(best)
    with inference._evaluating(network.model):
        whole = inference._probabilities(network.model, mosaic[None], [()])[0]
    tiled = inference.predict(network.model, mosaic)
    masks = [probability >= network.threshold for probability in (whole, tiled)]
    print(
        f"{mosaic.shape}: largest difference {np.abs(whole - tiled).max():.4f}, mean "
        f"{np.abs(whole - tiled).mean():.1e}; {(masks[0] != masks[1]).sum()} of {masks[0].sum()} pixels of "
        "the mask differ"
    )


def memory() -> None:
    """The sub-command on one image of 10,500 x 10,500 pixels with 10,000 discs."""
    code = (
        "import resource, sys; from unet_helpers.command_line.main import main; code = main(sys.argv[1:]); "
        "print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    print("| file | weights | largest resident memory, MiB | seconds |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        image, _ = scan(10_500, 10_000, (0, 1, 2, 3, 4))
        Image.fromarray(image).save(Path(folder) / "grey.png", compress_level=1)
        Image.fromarray(image).convert("RGB").save(Path(folder) / "colour.jpg", quality=90)
        pairs = write(Path(folder) / "data", 2, 600, 20, (2,))
        config = TrainConfig(n_steps=2, steps_per_epoch=1)
        fit(pairs[:1], pairs[1:], Path(folder) / "run", config, device=CPU, progress=False)
        own = ("--checkpoint", f"{folder}/run/last.pt")
        for name, words in (("grey.png", own), ("colour.jpg", own), ("grey.png", ())):
            command = [sys.executable, "-c", code, "predict", f"{folder}/{name}", *words]
            start = time.perf_counter()
            out = ("--out", f"{folder}/{time.monotonic_ns()}", "--device", "cpu")
            done = subprocess.run([*command, *out], capture_output=True, text=True, check=True)
            code_, mib = done.stdout.split()[-2:]
            assert code_ == "0", done.stderr
            kind = "of the package, 280 px" if not words else "file resolution"
            print(f"| {name} | {kind} | {mib} | {time.perf_counter() - start:.0f} |", flush=True)


def speed(n_steps: int = 25, n_rounds: int = 4) -> None:
    """Rounds in turn, in seconds of this process and not of the clock: the machine may be busy otherwise."""
    config, steppers = TrainConfig(), {}
    with tempfile.TemporaryDirectory() as folder:
        small = write(Path(folder) / "small", 200, 256, 6, (1, 2, 3))
        large = write(Path(folder) / "large", 6, 4000, 1500, (1, 2, 3))
        samplers = {
            "200 of 256 px, memory": InMemory(*load_hashed(small)).sampler(160, 0.5, 0.25),
            "6 of 4,000 px, memory": InMemory(*load_hashed(large)).sampler(160, 0.5, 0.25),
            "200 of 256 px, cache": open_cache(small, min_side=160).sampler(160, 0.5, 0.25),
            "6 of 4,000 px, cache": open_cache(large, min_side=160).sampler(160, 0.5, 0.25),
        }
        for name, sampler in samplers.items():
            torch.manual_seed(0)
            run = Run(replace(config, n_steps=10**6), UNet(), CPU)
            run.model.train()
            steppers[name] = (run, sampler)
        times: dict[str, list[float]] = {name: [] for name in steppers}
        for _ in range(n_rounds):
            for name, (run, sampler) in steppers.items():
                times[name].append(_milliseconds(run, sampler, n_steps))
    first = float(np.median(next(iter(times.values()))))
    print(f"| images | ms of CPU a step, median of {n_rounds} x {n_steps} | of the first | least to most |")
    print("|---|---|---|---|")
    for name, values in times.items():
        middle = float(np.median(values))
        print(f"| {name} | {middle:.0f} | {middle / first:.2f} | {min(values):.0f} to {max(values):.0f} |")
    print("largest resident memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "MiB")


def _milliseconds(run: Run, sampler: PatchSampler, n_steps: int) -> float:
    start = time.process_time()
    for _ in range(n_steps):
        train_step(run, sampler)
    run.unread.clear()
    return 1000 * (time.process_time() - start) / n_steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("kept", "found", "tiles", "memory", "speed"))
    parser.add_argument("best", nargs="?", type=Path, help="a checkpoint, for tiles")
    args = parser.parse_args()
    if args.what == "tiles":
        tiles(args.best)
    else:
        {"kept": kept, "found": found, "memory": memory, "speed": speed}[args.what]()


if __name__ == "__main__":
    main()
