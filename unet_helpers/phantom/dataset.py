"""Write a phantom data set in the flat layout of the Kaggle set."""

import csv
import hashlib
import multiprocessing
import os
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from unet_helpers.phantom.anatomy import make_patient, slice_depths
from unet_helpers.phantom.scanner import render, window

TABLES = {"slices.csv": ("stem", "patient", "depth_mm", "spacing_mm"),
          "stones.csv": ("stem", "patient", "row", "column", "diameter_mm", "hu", "location")}
Rows = dict[str, list[tuple]]


def make_stem(patient_index: int, slice_index: int, seed: int) -> str:
    """Stem of the Kaggle form: the slices of a patient lie seconds apart, patients two hours."""
    rng = np.random.default_rng([seed, 4, patient_index, slice_index])
    second = 63_700_000_000 + 7200 * patient_index + 7 * slice_index + rng.integers(5)
    name = f"1-3-46-670589-33-1-{second}{rng.integers(10**11, 10**12)}-{rng.integers(10**18, 9 * 10**18)}"
    return f"{name}_png_jpg.rf.{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def write_patient(folder: Path, patient_index: int, n_slices: int, size: int, seed: int) -> Rows:
    """Write the slices of one patient; returns their rows of the tables."""
    patient, rows = make_patient(seed * 10_000 + patient_index), Rows({name: [] for name in TABLES})
    for i, depth_mm in enumerate(slice_depths(patient, n_slices)):
        cut, stem = render(patient, depth_mm, size), make_stem(patient_index, i, seed)
        grey = Image.fromarray(window(cut.image_hu, patient.traits.level, patient.traits.width))
        grey.convert("RGB").save(folder / f"{stem}.jpg", quality=92)
        Image.fromarray(cut.mask.astype(np.uint8) * 255).save(folder / f"{stem}_mask.png")
        rows["slices.csv"].append((stem, patient.seed, depth_mm, round(cut.spacing_mm, 4)))
        rows["stones.csv"] += [(stem, s.patient, round(s.row, 2), round(s.column, 2), round(s.diameter_mm, 2),
                                round(s.hu), s.location) for s in cut.stones]
    return rows


def fill_folder(folder: Path, jobs: list[tuple], workers: int, progress: bool) -> None:
    """Write all patients and the tables, in this process (1 worker) or in several."""
    parallel = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) if workers > 1 else None
    run = parallel.map if parallel else map
    try:
        results = run(write_patient, *zip(*jobs, strict=True))
        rows = list(tqdm(results, "phantom", len(jobs), file=sys.stdout, unit="pt", disable=not progress))
    finally:
        if parallel:
            parallel.shutdown(cancel_futures=True)
    for name, fields in TABLES.items():
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([fields, *(row for r in rows for row in r[name])])


def write_dataset(folder: str | os.PathLike[str], n_patients: int = 96, n_slices: int = 8, size: int = 256,
                  seed: int = 0, workers: int | None = None, progress: bool = True) -> Path:
    """Write `<stem>.jpg`, `<stem>_mask.png` (0 or 255), slices.csv and stones.csv.

    All is written beside `folder` and moved there at the end: an interrupted call leaves nothing. The same
    arguments give the same bytes, whatever the number of workers.

    Args:
        folder: Must not exist, or be empty.
        n_patients: 1 to 10,000.
        n_slices: Slices a patient.
        size: Pixels a side, 64 to 512.
        seed: Another seed gives other patients.
        workers: Processes; None takes all cores, 1 stays in this process.
        progress: Show a bar on standard output.

    Raises:
        FileExistsError: If the folder holds something.
        ValueError: If a number is out of range.
    """
    target, workers = Path(folder), os.cpu_count() or 1 if workers is None else workers
    limits = {"n_patients": (n_patients, 1, 10_000), "n_slices": (n_slices, 1, 1000), "size": (size, 64, 512),
              "seed": (seed, 0, 10**9), "workers": (workers, 1, 61)}  # 61: the most that Windows allows
    for name, (value, low, high) in limits.items():
        if not low <= value <= high:
            raise ValueError(f"{name} must be {low} to {high}, got {value}.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"folder must not exist or be empty, got {target}. Choose another.")
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        jobs = [(scratch, i, n_slices, size, seed) for i in range(n_patients)]
        fill_folder(scratch, jobs, min(workers, n_patients), progress)
        scratch.chmod(0o755)
        if target.exists():
            target.rmdir()
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target
