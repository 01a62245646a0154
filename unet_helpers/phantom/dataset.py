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

SLICE_FIELDS = ("stem", "patient", "depth_mm", "spacing_mm")
STONE_FIELDS = ("stem", "patient", "row", "column", "diameter_mm", "hu", "location")
FIRST_SECOND = 63_700_000_000


def make_stem(patient_index: int, slice_index: int, seed: int) -> str:
    """Stem of the Kaggle form: one exam's slices lie seconds apart, exams at least an hour."""
    rng = np.random.default_rng([seed, 4, patient_index, slice_index])
    second = FIRST_SECOND + 7200 * patient_index + 7 * slice_index + int(rng.integers(0, 5))
    name = f"1-3-46-670589-33-1-{second}{rng.integers(10**11, 10**12)}-{rng.integers(10**18, 9 * 10**18)}"
    return f"{name}_png_jpg.rf.{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def write_patient(folder: Path, patient_index: int, n_slices: int, size: int, seed: int) -> tuple[list[tuple], list[tuple]]:
    """Write the slices of one patient; returns the rows for slices.csv and stones.csv."""
    patient = make_patient(seed * 10_000 + patient_index)
    slices, stones = [], []
    for i, depth_mm in enumerate(slice_depths(patient, n_slices)):
        cut, stem = render(patient, depth_mm, size), make_stem(patient_index, i, seed)
        grey = Image.fromarray(window(cut.image_hu, patient.traits.level, patient.traits.width))
        grey.convert("RGB").save(folder / f"{stem}.jpg", quality=92)
        Image.fromarray(cut.mask.astype(np.uint8) * 255).save(folder / f"{stem}_mask.png")
        slices.append((stem, patient.seed, depth_mm, round(cut.spacing_mm, 4)))
        stones += [(stem, s.patient, round(s.row, 2), round(s.column, 2), round(s.diameter_mm, 2), round(s.hu), s.location)
                   for s in cut.stones]
    return slices, stones


def write_table(path: Path, fields: tuple[str, ...], rows: list[tuple]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([fields, *rows])


def write_dataset(
    folder: str | os.PathLike[str], n_patients: int = 60, n_slices: int = 8, size: int = 256, seed: int = 0,
    workers: int | None = None, progress: bool = True,
) -> Path:
    """Write a data set: `<stem>.jpg`, `<stem>_mask.png` (0 or 255), slices.csv and stones.csv.

    The files are written beside `folder` and moved there at the end: what is interrupted leaves nothing.
    The same arguments give the same bytes with any number of workers.

    Args:
        folder: Where to write; must not exist, or be empty.
        n_patients: 1 to 10,000 patients.
        n_slices: Slices a patient.
        size: Pixels a side, 64 to 512.
        seed: Another seed gives other patients.
        workers: Processes; None takes all cores, 1 stays in this process.
        progress: Show a bar on standard output.

    Returns:
        The folder.

    Raises:
        FileExistsError: If the folder holds something.
        ValueError: If a number is out of range.
    """
    target = Path(folder)
    for name, value, low, high in (("n_patients", n_patients, 1, 10_000), ("n_slices", n_slices, 1, 1000),
                                   ("size", size, 64, 512), ("seed", seed, 0, 2**31), ("workers", workers or 1, 1, 1000)):
        if not low <= value <= high:
            raise ValueError(f"{name} must be {low} to {high}, got {value}.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"folder must not exist or be empty, got {target}. Remove it, or choose another.")
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        _fill(scratch, n_patients, n_slices, size, seed, workers or os.cpu_count() or 1, progress)
        scratch.chmod(0o755)
        if target.exists():
            target.rmdir()
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def _fill(folder: Path, n_patients: int, n_slices: int, size: int, seed: int, workers: int, progress: bool) -> None:
    jobs = [(folder, i, n_slices, size, seed) for i in range(n_patients)]
    bar = tqdm(total=n_patients, desc="phantom", unit="patient", file=sys.stdout, disable=not progress)
    rows: list[tuple[list[tuple], list[tuple]]] = []
    with bar:
        if min(workers, n_patients) == 1:
            for job in jobs:
                rows.append(write_patient(*job))
                bar.update()
        else:
            with ProcessPoolExecutor(min(workers, n_patients), multiprocessing.get_context("spawn")) as pool:
                try:
                    for row in pool.map(write_patient, *zip(*jobs, strict=True)):
                        rows.append(row)
                        bar.update()
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
    write_table(folder / "slices.csv", SLICE_FIELDS, [r for s, _ in rows for r in s])
    write_table(folder / "stones.csv", STONE_FIELDS, [r for _, s in rows for r in s])
