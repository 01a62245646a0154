"""What one mask file holds: values, levels among them, and what lies at its border."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unet_helpers.data import mask_values
from unet_helpers.engine.opening import opened
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
    pixels: NDArray[Any] = _packed(read) if coloured else read
    if pixels.dtype.kind == "f" and (fault := _not_whole(pixels)):
        raise ValueError(
            f"{path} must hold whole numbers, got {fault}. Save the mask as 0 and 255 in 8 bits."
        )
    if pixels.min() < 0:
        raise ValueError(f"{path} must hold values of at least 0, got {pixels.min():g}. Save it in 8 bits.")
    values, counts, border = _count(pixels)
    if len(values) < 3:
        levels = tuple(values.tolist())
    else:
        lossy = path.suffix.lower() in LOSSY
        levels = (
            _colour_levels(pixels, values, counts) if coloured else _levels(pixels, values, counts, lossy)
        )
    return MaskFacts(path, values, counts, border, levels, coloured, len(levels) < len(values))


def _packed(colours: NDArray[Any]) -> NDArray[np.int32]:
    red, green, blue = (colours[..., i].astype(np.int32) for i in range(3))
    return (red << 16) | (green << 8) | blue


def _not_whole(pixels: NDArray[np.floating[Any]]) -> str:
    """What a mask of floating point holds that is no whole number, or ""."""
    known = pixels[np.isfinite(pixels)]
    if known.size < pixels.size:
        return "some that are infinite or no numbers (NaN)"
    if np.array_equal(known, np.rint(known)) and np.abs(known).max(initial=0) < 2**53:
        return ""
    return f"fractions from {known.min():g} to {known.max():g}"


def _count(pixels: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    edge = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    if pixels.dtype == np.uint8:
        all_counts = np.bincount(pixels.ravel(), minlength=256)
        values = np.flatnonzero(all_counts)
        return values, all_counts[values], np.bincount(edge, minlength=256)[values]
    few = _few_values(pixels.ravel())
    values, counts = few or np.unique(pixels, return_counts=True)
    where = np.searchsorted(values, edge)
    return values.astype(np.int64), counts, np.bincount(where, minlength=len(values))


def _few_values(pixels: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Values and how often each occurs, if there are few: faster than sorting them all."""
    counts: dict[int, int] = {}
    while len(pixels):
        if len(counts) == FEW:
            return None
        others = pixels[pixels != pixels[0]]
        counts[int(pixels[0])] = len(pixels) - len(others)
        pixels = others
    values = sorted(counts)
    return np.array(values, np.int64), np.array([counts[value] for value in values], np.int64)


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


def _coarse(colours: NDArray[Any]) -> NDArray[np.uint8]:
    """One number for all the colours that JPEG makes of one."""
    red, green, blue = (((colours >> shift & 255) + 32 >> 6).astype(np.uint8) for shift in SHIFT)
    coarse: NDArray[np.uint8] = red * np.uint8(25) + green * np.uint8(5) + blue
    return coarse


def _colour_levels(
    pixels: NDArray[Any], values: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[int, ...]:
    """Colours that are meant: of many, those of regions, and the one farthest from the commonest."""
    if len(values) <= FEW:
        return tuple(values.tolist())
    channels = values[:, None] >> SHIFT & 255  # of each colour (N, 3)
    coarse, coarse_values = _coarse(pixels), _coarse(values)
    n_solid = np.bincount(coarse[_solid(coarse)], minlength=125)
    order = np.argsort(-n_solid, kind="stable")
    enough = max(1, 0.02 * n_solid[order[1:]].sum())
    large = [one for one in order if n_solid[one] >= enough] or [coarse[0, 0]]
    alike = [coarse_values == one for one in large]
    levels = [np.average(channels[some], 0, counts[some]) for some in alike]
    if len(levels) == 1:
        levels.append(channels[np.abs(channels - levels[0]).sum(1).argmax()])
    kept: list[NDArray[Any]] = []
    for level in levels:
        near_end = np.where(level < 25, 0, np.where(level > 230, 255, np.rint(level))).astype(np.int64)
        if all(np.abs(near_end - other).max() > 48 for other in kept):
            kept.append(near_end)
    return tuple(sorted(int((level << SHIFT).sum()) for level in kept))


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
    with opened(path) as picture:
        flat = picture.getpalette("RGB") if picture.mode == "P" else None
    colours = np.array(flat or [], int).reshape(-1, 3).tolist()
    return {index: (red, green, blue) for index, (red, green, blue) in enumerate(colours)}
