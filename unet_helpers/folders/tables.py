"""What tables beside the images say: the size of a pixel, and which sections are of one stone."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from unet_helpers.data import KnownStone, Pair

__all__ = ["known_spacings", "known_stones", "spacings"]

Row = dict[str, str]
SPACINGS = ("spacing_mm", "row_spacing_mm", "column_spacing_mm")  # in slices.csv: the first, or the others


def spacings(pairs: Sequence[Pair]) -> list[tuple[float, float]] | None:
    """Pixel size of each image file in millimetres, as far as the data set knows it.

    It is read from a `slices.csv` beside the images or in the folder above, with the columns `stem` and
    `spacing_mm`, or `row_spacing_mm` and `column_spacing_mm` where pixels are no squares. Plain PNG and JPEG
    files do not know their pixel size. Of an image that is shrunk to half its size, the pixels are twice as
    large.

    Returns:
        Height and width of a pixel of each image, in the order of `pairs`; None if it is unknown for any.

    Raises:
        ValueError: If a spacing is no positive number.
    """
    each = known_spacings(pairs)
    known = [sides for sides in each if sides is not None]
    return known if len(known) == len(each) else None


def known_spacings(pairs: Sequence[Pair]) -> list[tuple[float, float] | None]:
    """As `spacings`, with None for each image whose pixel size is not known."""
    last = [(path, rows[-1] if rows else {}) for path, rows in _rows_beside(pairs, "slices.csv")]
    return [_sides(path, row) for path, row in last]


def _sides(path: Path, row: Row) -> tuple[float, float] | None:
    """Height and width of a pixel, if the row names both, or one for both."""
    names = [name for name in SPACINGS if row.get(name)]
    if names not in (["spacing_mm"], ["row_spacing_mm", "column_spacing_mm"]):
        return None
    sides = [_number(path, row, name) for name in names]
    return sides[0], sides[-1]


def known_stones(pairs: Sequence[Pair]) -> list[list[KnownStone]] | None:
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
    named = [(path, [row for row in rows if row.get("stone")]) for path, rows in tables]
    if not any(rows for _, rows in named):
        return None
    return [[_stone(path, row) for row in rows] for path, rows in named]


def _stone(path: Path, row: Row) -> KnownStone:
    y, x = (_number(path, row, name, positive=False) for name in ("row", "column"))
    return KnownStone(row["stone"], y, x, _number(path, row, "diameter_mm"))


def _rows_beside(pairs: Sequence[Pair], name: str) -> list[tuple[Path, list[Row]]]:
    """For each image the table of that name beside it, or else in the folder above, and its rows there."""
    tables: dict[Path, dict[str, list[Row]]] = {}
    found = []
    for pair in pairs:
        beside, above = pair.image_path.parent / name, pair.image_path.parent.parent / name
        for path in (beside, above):
            if path not in tables:
                tables[path] = _rows_by_stem(path)
        path = beside if tables[beside] else above
        found.append((path, tables[path].get(pair.image_path.stem, [])))
    return found


def _rows_by_stem(path: Path) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {}
    if path.is_file():
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                rows.setdefault(row.get("stem") or "", []).append(row)
    return rows


def _number(path: Path, row: Row, column: str, positive: bool = True) -> float:
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
