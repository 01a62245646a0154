"""Two white spots of lesson 2, a rib and a stone: to be told apart by what is around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from scipy import ndimage

from unet_helpers.metrics import label_stones
from unet_helpers.pictures.preprocessing import Grey, Mask, around, draw_frame, middle

__all__ = ["Spot", "draw_spot", "rib_and_stone", "view"]

LIKE = 0.3  # logarithm of how much larger a stone of like size may be: a third or so
FRAME_REACH = 11  # half of the side of the frame around a spot, in pixels


class Spot(NamedTuple):
    """A white spot, and the slice that it lies in."""

    image: Grey
    row: float
    column: float
    n_pixels: int


def rib_and_stone(image: Grey, mask: Mask, images: Sequence[Grey], masks: Sequence[Mask]) -> list[Spot]:
    """A spot of bone in a slice, and a stone of another slice that is like it in size.

    The bone is the smallest white region of the slice that is no stone and lies whole inside the picture. Of
    the stones of like size it is the one with the most kidney around it; if none is, the nearest in size.
    """
    white, n_spots = label_stones(image >= 200)
    others = [i for i in range(1, n_spots + 1) if not mask[white == i].any()]
    whole = [i for i in others if not _at_edge(white == i)] or others
    sizes = {i: int((white == i).sum()) for i in whole}
    bone = min(sizes, key=lambda i: (sizes[i] < 20, sizes[i]))
    row, column = middle(white == bone)
    spots = [Spot(image, row, column, sizes[bone])]
    best = (-np.inf, -np.inf)
    for other, its_mask in zip(images, masks, strict=True):
        labels, _ = label_stones(its_mask)
        for i, n_pixels in enumerate(np.bincount(labels.ravel())[1:], start=1):
            unlike = abs(np.log(n_pixels / sizes[bone]))
            score = (_in_kidney(other, labels == i) if unlike < LIKE else -1.0, -unlike)
            if score > best:
                best, stone = score, Spot(other, *middle(labels == i), int(n_pixels))
    return [*spots, stone]


def _in_kidney(image: Grey, stone: Mask) -> float:
    """Which share of a ring around a stone, two to six pixels wide of it, has the greys of a kidney."""
    near, ring = (ndimage.binary_dilation(stone, iterations=n) for n in (2, 6))
    greys = image[ring & ~near]
    return float(((greys > 75) & (greys < 170)).mean()) if greys.size else 0.0


def draw_spot(ax: Axes, spot: Spot, side: int) -> None:
    """Draw a frame around the spot of a `view` of this side, where there is room for one."""
    box = around(spot.row, spot.column, side, (spot.image.shape[0], spot.image.shape[1]))
    row, column = round(spot.row) - box[0].start, round(spot.column) - box[1].start
    if side > 2 * FRAME_REACH:
        draw_frame(
            ax,
            (
                slice(row - FRAME_REACH, row + FRAME_REACH + 1),
                slice(column - FRAME_REACH, column + FRAME_REACH + 1),
            ),
        )


def view(spot: Spot, side: int) -> Grey:
    """The pixels around a spot: a square of this side."""
    return spot.image[around(spot.row, spot.column, side, (spot.image.shape[0], spot.image.shape[1]))]


def _at_edge(region: Mask) -> bool:
    """Whether a region (H, W) touches the edge of the picture."""
    return bool(region[[0, -1]].any() or region[:, [0, -1]].any())
