"""Image-mask pairs: find them, read them, and split them so that no exam lands on both sides."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from unet_helpers.folders.finding import SUFFIXES, FolderScan, find_pairs, scan_folder
from unet_helpers.folders.seen import parts_seen, unseen_pairs
from unet_helpers.folders.sources import home, kaggle_dataset, open_dataset, phantom_dataset, unpack
from unet_helpers.folders.splits import folds_by_group, split_by_group, stone_strata
from unet_helpers.pairs import Pair, brightest_channel, image_hash, load_image, load_mask, load_pair

__all__ = [
    "SUFFIXES",
    "FolderScan",
    "KnownStone",
    "Pair",
    "brightest_channel",
    "find_pairs",
    "folds_by_group",
    "home",
    "image_hash",
    "kaggle_dataset",
    "known_stones",
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


# ------------------------------------------------------------------------------ what tables beside them say
@dataclass(frozen=True)
class KnownStone:
    """A stone that a slice shows: its name, its place there in pixels, its longest extent in the body."""

    stone: str
    row: float
    column: float
    diameter_mm: float


def spacings(pairs: list[Pair]) -> list[tuple[float, float]] | None:
    """Pixel size of each image file in millimetres, as far as the data set knows it.

    It is read from a `slices.csv` (columns `stem` and `spacing_mm`) beside the images or in the folder above.
    Plain PNG and JPEG files do not know their pixel size. Of an image that is shrunk to half its size, the
    pixels are twice as large.

    Returns:
        Height and width of a pixel of each image, in the order of `pairs`; None if it is unknown for any.

    Raises:
        ValueError: If a spacing is no positive number.
    """
    rows = [(path, row) for path, rows in _rows_beside(pairs, "slices.csv") for row in rows[-1:] or [{}]]
    if not all(row.get("spacing_mm") for _, row in rows):
        return None
    return [(_number(path, row, "spacing_mm"),) * 2 for path, row in rows]


def known_stones(pairs: list[Pair]) -> list[list[KnownStone]] | None:
    """The stones that each image shows, as far as the data set knows which sections are of one stone.

    They are read from a `stones.csv` beside the images or in the folder above, a row a stone and slice:
    `stem`, `stone` (a name that is unique in the data set), `row` and `column` (in pixels of the file) and
    `diameter_mm` (longest extent in the body). Other columns are ignored, and so is a table without `stone`.

    Returns:
        A list an image, in the order of `pairs`, empty for images that the table does not name; None if there
        is no such table.

    Raises:
        ValueError: If a place or a diameter is no number.
    """
    tables = _rows_beside(pairs, "stones.csv")
    if not any(row.get("stone") for _, rows in tables for row in rows):
        return None
    return [
        [
            KnownStone(
                row["stone"],
                _number(path, row, "row", False),
                _number(path, row, "column", False),
                _number(path, row, "diameter_mm"),
            )
            for row in rows
            if row.get("stone")
        ]
        for path, rows in tables
    ]


def _rows_beside(pairs: list[Pair], name: str) -> list[tuple[Path, list[dict[str, str]]]]:
    """For each image the table of that name beside it, or else in the folder above, and its rows there."""
    folders = {folder for pair in pairs for folder in (pair.image_path.parent, pair.image_path.parent.parent)}
    known = {folder: _rows_by_stem(folder / name) for folder in folders}
    places = [
        folder if known[folder] else folder.parent for folder in (pair.image_path.parent for pair in pairs)
    ]
    return [
        (place / name, known[place].get(pair.image_path.stem, []))
        for place, pair in zip(places, pairs, strict=True)
    ]


def _rows_by_stem(path: Path) -> dict[str, list[dict[str, str]]]:
    if not path.is_file():
        return {}
    rows: dict[str, list[dict[str, str]]] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row.get("stem") or "", []).append(row)
    return rows


def _number(path: Path, row: dict[str, str], column: str, positive: bool = True) -> float:
    text = row.get(column)
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (positive and value <= 0):
        raise ValueError(
            f"{path} must hold {'positive ' if positive else ''}numbers in the column {column}, "
            f"got {text!r} for {row['stem']}."
        )
    return value
