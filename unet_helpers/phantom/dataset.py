"""Write a phantom data set in the flat layout of the Kaggle set."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from unet_helpers.phantom.anatomy import make_patient, slice_depths
from unet_helpers.phantom.scanner import Stone, render, window
from unet_helpers.progress import progress_bar

TABLES = {"slices.csv": ("stem", "patient", "depth_mm", "spacing_mm"), "stones.csv": ("stem", *Stone._fields)}


def write_patient(folder: Path, index: int, n_slices: int, size: int, seed: int) -> dict[str, list[tuple]]:
    """Write the slices of one patient, by their names seconds apart; returns their rows of the tables."""
    patient, slices, stones = make_patient(seed * 10_000 + index), [], []
    for i, depth_mm in enumerate(slice_depths(patient, n_slices)):
        cut, r = render(patient, depth_mm, size), np.random.default_rng([seed, 4, index, i])
        stem = (f"1-3-46-670589-33-1-{63_700_000_000 + 7200 * index + 7 * i}{r.integers(10**11, 10**12)}"
                f"-{r.integers(10**18, 9 * 10**18)}_png_jpg.rf.{r.bytes(16).hex()}")
        grey = Image.fromarray(window(cut.image_hu, patient.traits.level, patient.traits.width))
        grey.convert("RGB").save(folder / f"{stem}.jpg", quality=92)
        Image.fromarray(cut.mask.astype(np.uint8) * 255).save(folder / f"{stem}_mask.png")
        slices.append((stem, patient.seed, depth_mm, round(cut.spacing_mm, 4)))
        stones += [(stem, *stone) for stone in cut.stones]
    return {"slices.csv": slices, "stones.csv": stones}


def write_dataset(folder: str | os.PathLike[str], n_patients: int = 96, n_slices: int = 8, size: int = 256,
                  seed: int = 0, workers: int | None = None, progress: bool = True) -> Path:
    """Write `<stem>.jpg`, `<stem>_mask.png` (0 or 255) and two tables; an interrupted call leaves nothing.

    The same arguments give the same bytes for any number of workers (processes; None takes all cores). Raises
    FileExistsError if the folder holds something, ValueError if a number is out of range."""
    target, workers = Path(folder), os.cpu_count() or 1 if workers is None else workers
    limits = {"n_patients": (n_patients, 1, 10_000), "n_slices": (n_slices, 1, 1000), "size": (size, 64, 512),
              "seed": (seed, 0, 10**9), "workers": (workers, 1, 61)}  # 61: the most that Windows allows
    for name, (value, low, high) in limits.items():
        if not low <= value <= high:
            raise ValueError(f"{name} must be {low} to {high}, got {value}.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"folder must not exist or be empty, got {target}. Choose another.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        (whole := Path(scratch, "set")).mkdir()
        jobs = zip(*((whole, i, n_slices, size, seed) for i in range(n_patients)), strict=True)
        pool = ProcessPoolExecutor(min(workers, n_patients), get_context("spawn")) if workers > 1 else None
        done = (pool.map if pool else map)(write_patient, *jobs)
        try:
            done = list(progress_bar(done, desc="phantom", total=n_patients, unit="pt", disable=not progress))
        finally:
            if pool:
                pool.shutdown(cancel_futures=True)
        for name, fields in TABLES.items():
            lines = [",".join(map(str, row)) + "\n" for row in [fields, *sum((d[name] for d in done), [])]]
            (whole / name).write_text("".join(lines), "utf-8", newline="\n")
        if target.exists():
            target.rmdir()
        whole.rename(target)
    return target
