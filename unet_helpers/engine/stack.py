"""Images and masks as one row of pixels, and where patches are placed: on stones and what looks like them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unet_helpers.metrics import label_stones

__all__ = ["Stack", "anchors_of", "brightness_of_stones", "lookalikes_of", "places_of", "stack_up"]

STRIP_PIXELS = 2**22  # of a label image whose rows and columns are in memory at once


class Stack(NamedTuple):
    """Images and masks, one behind the other in a row of pixels, and the anchors of patches.

    An image that is smaller than a patch is padded with black to its size; no image is padded to the size of
    another one, so one large scan among small slices costs no more than its own pixels.
    An anchor is (image, row, column): a pixel of that image, the middle of a connected region. Patches are
    placed around anchors.

    Attributes:
        images: Uint8 (n_pixels,).
        masks: Bool (n_pixels,).
        starts: Int64 (N,), the number of the first pixel of each image; on the device of the images.
        sizes: Int64 (N, 2), height and width of each image, padding included; on the CPU.
        stones: Int (n, 3), an anchor for each stone.
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
    masks: Sequence[NDArray[np.bool_]],
    min_side: int,
    device: torch.device | str,
) -> Stack:
    """Put arrays (H, W) of any sizes into one row, sides padded to `min_side` pixels, and find their anchors.

    Images and masks go to `device`; sizes and anchors stay on the CPU, where patches are drawn.
    """
    starts, padded = places_of(np.array([image.shape for image in images], np.int64), min_side)
    pixels, stone_pixels = np.zeros(starts[-1], np.uint8), np.zeros(starts[-1], bool)
    greys = np.zeros(256, np.int64)  # number of stone pixels of each grey
    for image, mask, start, end, size in zip(images, masks, starts, starts[1:], padded, strict=False):
        height, width = image.shape
        pixels[start:end].reshape(size)[:height, :width] = image
        stone_pixels[start:end].reshape(size)[:height, :width] = mask
        greys += np.bincount(image[mask], minlength=256)
    brightness = brightness_of_stones(greys)
    bright = (lookalikes_of(image, mask, brightness) for image, mask in zip(images, masks, strict=True))
    stones, lookalikes = (
        torch.from_numpy(np.concatenate([anchors_of(i, regions) for i, regions in enumerate(all_regions)]))
        for all_regions in (masks, bright)
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


def brightness_of_stones(greys: NDArray[np.int64]) -> float:
    """Grey value that nine in ten stone pixels reach, from their number at each grey (256,); inf of none."""
    values = np.repeat(np.arange(256, dtype=np.uint8), greys)
    return float(np.percentile(values, 10)) if len(values) else float("inf")


def lookalikes_of(image: NDArray[np.uint8], mask: NDArray[np.bool_], brightness: float) -> NDArray[np.bool_]:
    """Regions of an image (H, W) that reach a grey value and touch no stone, as a mask (H, W)."""
    labels, n_regions = label_stones(image >= brightness)
    is_other = ~np.isin(np.arange(n_regions + 1), [0, *np.unique(labels[mask])])  # of each region
    regions: NDArray[np.bool_] = is_other[labels]
    return regions
