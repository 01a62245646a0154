"""Images and masks as one row of pixels, and where patches are placed: on stones and what looks like them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unet_helpers.metrics import label_stones

__all__ = [
    "Stack",
    "anchors_by_class",
    "anchors_of",
    "balanced",
    "brightness_of_stones",
    "lookalikes_of",
    "places_of",
    "spread_anchors",
    "stack_up",
]

STRIP_PIXELS = 2**22  # of a label image whose rows and columns are in memory at once


class Stack(NamedTuple):
    """Images and masks, one behind the other in a row of pixels, and the anchors of patches.

    An image that is smaller than a patch is padded with black to its size; no image is padded to the size of
    another one, so one large scan among small slices costs no more than its own pixels.
    An anchor is (image, row, column): a pixel of that image, the middle of a connected region. Patches are
    placed around anchors.

    Attributes:
        images: Uint8 (n_pixels,).
        masks: Bool (n_pixels,), or uint8 numbers of classes.
        starts: Int64 (N,), the number of the first pixel of each image; on the device of the images.
        sizes: Int64 (N, 2), height and width of each image, padding included; on the CPU.
        stones: Int (n, 3), an anchor for each stone; of several classes see `balanced`.
        lookalikes: Int (m, 3), an anchor for each look-alike.
    """

    images: Tensor
    masks: Tensor
    starts: Tensor
    sizes: Tensor
    stones: Tensor
    lookalikes: Tensor


def places_of(sizes: NDArray[np.int64], min_side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First pixel (N + 1,) and padded height and width (N, 2) of each image; the last start is the end."""
    padded = np.maximum(sizes, min_side)
    return np.concatenate([[0], padded.prod(1).cumsum()]), padded


def stack_up(
    images: Sequence[NDArray[np.uint8]],
    masks: Sequence[NDArray[Any]],
    min_side: int,
    device: torch.device | str,
) -> Stack:
    """Put arrays (H, W) of any sizes into one row, sides padded to `min_side` pixels, and find their anchors.

    Images and masks go to `device`; sizes and anchors stay on the CPU, where patches are drawn.
    """
    starts, padded = places_of(np.array([image.shape for image in images], np.int64), min_side)
    pixels, stone_pixels = np.zeros(starts[-1], np.uint8), np.zeros(starts[-1], masks[0].dtype)
    greys = np.zeros(256, np.int64)  # number of stone pixels of each grey
    for image, mask, start, end, size in zip(images, masks, starts, starts[1:], padded, strict=False):
        height, width = image.shape
        pixels[start:end].reshape(size)[:height, :width] = image
        stone_pixels[start:end].reshape(size)[:height, :width] = mask
        greys += np.bincount(image[mask > 0], minlength=256)
    brightness = brightness_of_stones(greys)
    bright = (lookalikes_of(image, mask, brightness) for image, mask in zip(images, masks, strict=True))
    stones = torch.from_numpy(balanced([anchors_by_class(i, mask) for i, mask in enumerate(masks)]))
    lookalikes = torch.from_numpy(
        np.concatenate([anchors_of(i, regions) for i, regions in enumerate(bright)])
    )
    row, stone_row, first = (torch.from_numpy(one).to(device) for one in (pixels, stone_pixels, starts[:-1]))
    return Stack(row, stone_row, first, torch.from_numpy(padded), stones, lookalikes)


def anchors_of(i: int, regions: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Image number `i`, row and column of the middle of every connected region of a mask (H, W): (n, 3)."""
    labels, n_regions = label_stones(regions)
    n, sums = n_regions + 1, np.zeros((3, n_regions + 1))  # of each region: pixels, rows, columns
    n_lines = max(1, STRIP_PIXELS // labels.shape[1])
    for first in range(0, len(labels), n_lines):  # the places of all pixels of a large scan need its memory
        strip = labels[first : first + n_lines]
        rows, columns = np.nonzero(strip)
        of = strip[rows, columns]
        sums += [np.bincount(of, values, n) for values in (None, rows + first, columns)]
    with np.errstate(invalid="ignore"):  # label 0, the background, has no pixel here
        middles = sums[1:, 1:] / sums[0, 1:]
    return np.stack([np.full(n_regions, i), *np.rint(middles).astype(np.int64)], 1)


def anchors_by_class(i: int, mask: NDArray[Any]) -> dict[int, NDArray[np.int64]]:
    """Anchors of each class that a mask (H, W) holds, by its number; a bool mask has one class, 1."""
    if mask.dtype == bool:
        return {1: anchors_of(i, mask)}
    return {int(number): anchors_of(i, mask == number) for number in np.unique(mask) if number}


def balanced(anchors: Sequence[dict[int, NDArray[np.int64]]]) -> NDArray[np.int64]:
    """All anchors (n, 3) of a set from those of its images, see `anchors_by_class`.

    Those of a class with fewer regions stand there several times, so that each class has as many and a patch
    is placed on a rare one as often as on a common one.
    """
    numbers = sorted({number for of_image in anchors for number in of_image})
    of_class = [np.concatenate([some[number] for some in anchors if number in some]) for number in numbers]
    most = max(map(len, of_class), default=0)
    return np.concatenate([np.resize(some, (most, 3)) for some in of_class] or [np.zeros((0, 3), np.int64)])


def spread_anchors(mask: NDArray[Any], most: int) -> NDArray[np.int64]:
    """At most so many anchors (n, 3) of a mask (H, W), spread evenly over it; of classes in turn."""
    by_class = anchors_by_class(0, mask)
    chosen = [
        some[np.linspace(0, len(some) - 1, min(most, len(some))).astype(int)] for some in by_class.values()
    ]
    in_turn = [row for rows in zip_longest(*chosen) for row in rows if row is not None]
    return np.array(in_turn[:most], np.int64).reshape(-1, 3)


def brightness_of_stones(greys: NDArray[np.int64]) -> float:
    """Grey value that nine in ten stone pixels reach, from their number at each grey (256,); inf of none."""
    values = np.repeat(np.arange(256, dtype=np.uint8), greys)
    return float(np.percentile(values, 10)) if len(values) else float("inf")


def lookalikes_of(image: NDArray[np.uint8], mask: NDArray[Any], brightness: float) -> NDArray[np.bool_]:
    """Regions of an image (H, W) that reach a grey value and touch no stone, as a mask (H, W)."""
    labels, n_regions = label_stones(image >= brightness)
    is_other = ~np.isin(np.arange(n_regions + 1), [0, *np.unique(labels[mask > 0])])  # of each region
    regions: NDArray[np.bool_] = is_other[labels]
    return regions
