"""What one mask file holds: values, levels among them, and what lies at its border."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from unet_helpers.data import mask_values
from unet_helpers.folders.mask_codes import Value

__all__ = ["MaskFacts", "look_at", "palette"]

FEW = 8  # so many values can be labels without more ado
SMALL = 32  # so small a value is a label: the greys of smooth edges are farther from black
LOSSY = {".jpg", ".jpeg", ".webp"}
MID = (0.15, 0.85)  # of the range: what lies between is neither dark nor bright
SHIFT = np.array([16, 8, 0])


@dataclass(frozen=True)
class MaskFacts:
    """One mask file.

    Attributes:
        path: The file.
        values: Values that occur, ascending int64 (N,); colours packed as 0xRRGGBB.
        counts: Pixels of each, int64 (N,).
        at_border: Pixels of each in the outermost rows and columns, int64 (N,).
        levels: Those of the values that are meant; the others are greys of smooth edges and of JPEG.
        coloured: Whether the values are packed colours.
        greys: Whether it has greys that are not meant.
    """

    path: Path
    values: NDArray[np.int64]
    counts: NDArray[np.int64]
    at_border: NDArray[np.int64]
    levels: tuple[int, ...]
    coloured: bool
    greys: bool


def look_at(path: Path) -> MaskFacts:
    """Read one mask file.

    Raises:
        ValueError: If it cannot be read, or holds no whole numbers of at least 0.
    """
    read = mask_values(path)
    coloured = read.ndim == 3
    pixels: NDArray[Any] = read.astype(np.int64) @ (1 << SHIFT) if coloured else read
    if pixels.dtype.kind == "f" and not np.array_equal(pixels, np.rint(pixels)):
        raise ValueError(
            f"{path} must hold whole numbers, got fractions from {pixels.min():g} to {pixels.max():g}. Save "
            "the mask as 0 and 255 in 8 bits."
        )
    if pixels.min() < 0:
        raise ValueError(f"{path} must hold values of at least 0, got {pixels.min():g}. Save it in 8 bits.")
    values, counts, border = _count(pixels)
    if len(values) < 3:
        levels = tuple(values.tolist())
    else:
        lossy = path.suffix.lower() in LOSSY
        levels = _colour_levels(pixels, values) if coloured else _levels(pixels, values, counts, lossy)
    return MaskFacts(path, values, counts, border, levels, coloured, len(levels) < len(values))


def _count(pixels: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    edge = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    if pixels.dtype == np.uint8:
        all_counts = np.bincount(pixels.ravel(), minlength=256)
        values = np.flatnonzero(all_counts)
        return values, all_counts[values], np.bincount(edge, minlength=256)[values]
    values, counts = np.unique(pixels, return_counts=True)
    where = np.searchsorted(values, edge)
    return values.astype(np.int64), counts, np.bincount(where, minlength=len(values))


def _levels(
    pixels: NDArray[Any], values: NDArray[np.int64], counts: NDArray[np.int64], lossy: bool
) -> tuple[int, ...]:
    """Values that are meant: not only passed through between a dark and a bright region."""
    highest = pixels == ndimage.maximum_filter(pixels, 3)  # no brighter neighbour
    n_highest = _count_where(pixels, highest, values)
    noisy = lossy or (values[-1] > SMALL and values[-2] > 0.9 * values[-1])
    if len(values) <= FEW and not noisy:
        is_level = (n_highest >= 0.3 * counts) | (values <= SMALL)
        is_level[[0, -1]] = True
        return tuple(values[is_level].tolist())
    low, high = (share * values[-1] for share in MID)
    mid = (values > low) & (values < high)
    n_mid, n_bright = counts[mid].sum(), counts[values > low].sum()
    if not lossy and n_mid > 0.2 * n_bright and n_highest[mid].sum() >= 0.6 * n_mid:
        return tuple(values.tolist())  # numbered objects, or classes
    n_solid = _count_where(pixels, _solid(pixels), values)
    enough = max(5, 0.02 * n_bright)
    return (int(values[0]), *values[mid & (n_solid >= enough)].tolist(), int(values[-1]))


def _colour_levels(pixels: NDArray[Any], values: NDArray[np.int64]) -> tuple[int, ...]:
    n_solid = _count_where(pixels, _solid(pixels), values)
    if len(values) <= FEW:
        return tuple(values.tolist())
    enough = max(1, 0.005 * (n_solid.sum() - n_solid.max()))
    levels: list[int] = []
    for place in np.argsort(-n_solid, kind="stable"):
        if n_solid[place] < enough:
            break
        channels = values[place] >> SHIFT & 255
        if all(np.abs((level >> SHIFT & 255) - channels).max() > 48 for level in levels):
            levels.append(int(values[place]))
    return tuple(sorted(levels))


def _solid(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels whose four neighbours hold the same."""
    solid = np.zeros(pixels.shape, bool)
    middle = pixels[1:-1, 1:-1]
    solid[1:-1, 1:-1] = (
        (middle == pixels[:-2, 1:-1])
        & (middle == pixels[2:, 1:-1])
        & (middle == pixels[1:-1, :-2])
        & (middle == pixels[1:-1, 2:])
    )
    return solid


def _count_where(
    pixels: NDArray[Any], where: NDArray[np.bool_], values: NDArray[np.int64]
) -> NDArray[np.int64]:
    return np.bincount(np.searchsorted(values, pixels[where]), minlength=len(values))


def palette(path: Path) -> dict[int, Value]:
    """Colour of each index of a palette file; empty for files without a palette."""
    with Image.open(path) as picture:
        flat = picture.getpalette("RGB") if picture.mode == "P" else None
    colours = np.array(flat or [], int).reshape(-1, 3).tolist()
    return {index: (red, green, blue) for index, (red, green, blue) in enumerate(colours)}
