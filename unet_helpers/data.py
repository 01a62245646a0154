"""Image-mask pairs: find them, read them, and split them so that no exam lands on both sides."""

from __future__ import annotations

import csv
from pathlib import Path

from unet_helpers.datasets import home, kaggle_dataset, open_dataset, phantom_dataset, unpack
from unet_helpers.finding import SUFFIXES, FolderScan, find_pairs, scan_folder
from unet_helpers.pairs import Pair, brightest_channel, image_hash, load_image, load_mask, load_pair
from unet_helpers.seen import parts_seen, unseen_pairs
from unet_helpers.splits import folds_by_group, split_by_group, stone_strata

__all__ = [
    "SUFFIXES",
    "FolderScan",
    "Pair",
    "brightest_channel",
    "find_pairs",
    "folds_by_group",
    "home",
    "image_hash",
    "kaggle_dataset",
    "load_image",
    "load_mask",
    "load_pair",
    "open_dataset",
    "parts_seen",
    "phantom_dataset",
    "scan_folder",
    "spacings",
    "split_by_group",
    "stone_strata",
    "unpack",
    "unseen_pairs",
]


def spacings(pairs: list[Pair]) -> list[float] | None:
    """Pixel size of each image file in millimetres, as far as the data set knows it.

    It is read from a `slices.csv` (columns `stem` and `spacing_mm`) beside the images or in the folder above.
    Plain PNG and JPEG files do not know their pixel size. Of an image that is shrunk to half its size, the
    pixels are twice as large.

    Returns:
        One number an image, in the order of `pairs`; None if it is unknown for any of them.

    Raises:
        ValueError: If a spacing is no positive number.
    """
    folders = {folder for pair in pairs for folder in (pair.image.parent, pair.image.parent.parent)}
    known = {folder: _spacing_by_stem(folder / "slices.csv") for folder in folders}
    rows = [known[pair.image.parent] or known[pair.image.parent.parent] for pair in pairs]
    found = [row.get(pair.image.stem) for row, pair in zip(rows, pairs, strict=True)]
    return None if None in found else found


def _spacing_by_stem(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = {row.get("stem"): row.get("spacing_mm") for row in csv.DictReader(file)}
    try:
        sizes = {stem: float(text) for stem, text in rows.items() if stem and text}
        if all(0 < size < float("inf") for size in sizes.values()):
            return sizes
    except ValueError:
        pass
    raise ValueError(f"{path} must hold positive numbers in the column spacing_mm, got others.")
