"""Small folders of scans, in the layouts and with the troubles that readers bring."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

SIDE = 112


def scan(rng: np.random.Generator, stones: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """A grey body on black with a white spine and some stones; uint8 image and mask (H, W)."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    body = (rows / 50) ** 2 + (columns / 42) ** 2 < 1
    image = np.where(body, 95 + rng.normal(0, 8, body.shape), 4)
    image[(abs(columns) < 4) & body] = 200
    mask = np.zeros(body.shape, bool)
    for _ in range(stones):
        row, column = rng.uniform(-20, 20), rng.choice([-1, 1]) * rng.uniform(14, 22)
        mask |= (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    image[mask] = 225
    picture = Image.fromarray(image.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.6))
    return np.asarray(picture), np.uint8(255) * mask


def write_folder(
    folder: Path, stones: Sequence[Sequence[int]], radius: float = 2.5, inside: str = "", seed: int = 0
) -> Path:
    """Scans of several exams, grouped by their file names as those of the Kaggle set.

    Args:
        folder: A new folder.
        stones: Of each exam, how many stones each of its slices shows.
        radius: Of a stone, in pixels.
        inside: Folder below, in which the files lie, with a text file of boxes beside each image.
        seed: Of the random numbers.
    """
    place = folder / inside
    place.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for exam, slices in enumerate(stones):
        for number, count in enumerate(slices):
            image, mask = scan(rng, count, radius)
            seconds = 63_700_000_000 + 9000 * exam + 3 * number
            stem = f"1-3-46-670589-33-1-{seconds}123-{rng.integers(10**17)}_png_jpg.rf.{rng.bytes(16).hex()}"
            Image.fromarray(image).convert("RGB").save(place / f"{stem}.jpg", quality=92)
            Image.fromarray(mask).save(place / f"{stem}_mask.png")
            if inside:
                (place / f"{stem}.txt").write_text("0 0.5 0.5 0.1 0.1\n" * count, "utf-8")
    return folder
