"""A data set that trains in a second: noise with bright squares, in the Kaggle layout."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from unet_helpers.data import Pair
from unet_helpers.folders.finding import scan_folder

torch.set_num_threads(1)  # arrays this small: waiting for a second thread costs more than it brings


def write_tiny(
    folder: Path,
    n_exams: int = 6,
    sizes: tuple[tuple[int, int], ...] = ((48, 48), (40, 56)),
    stones: bool = True,
) -> Path:
    """Two images an exam, each with one square stone of 5 x 6 pixels (or none)."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for n in range(2 * n_exams):
        image = rng.integers(0, 120, sizes[n % len(sizes)], np.uint8)
        mask = np.zeros(image.shape, np.uint8)
        row, column = (int(rng.integers(0, side - 6)) for side in image.shape)
        mask[row : row + 5, column : column + 6] = 255 * stones
        stem = f"1-3-46-670589-33-1-{63700000000 + n // 2 * 9000 + n % 2}123-{n}_png_jpg.rf.{n:032x}"
        Image.fromarray(image + (mask > 0) * np.uint8(120)).convert("RGB").save(folder / f"{stem}.jpg")
        Image.fromarray(mask).save(folder / f"{stem}_mask.png")
    return folder


def tiny_pairs(folder: Path, **options) -> tuple[list[Pair], list[Pair]]:
    """Training pairs of four exams and validation pairs of one."""
    pairs = scan_folder(write_tiny(folder, **options)).pairs
    return pairs[:8], pairs[8:10]
