"""Images and masks in one stack, and where on them patches are placed: on stones and what looks like them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unet_helpers.metrics import label_stones

__all__ = ["Stack", "anchors_of", "brightness_of_stones", "lookalikes_of", "stack_up"]


class Stack(NamedTuple):
    """Images and masks, padded with black to one size, and the anchors that patches are placed around.

    An anchor is (image, row, column): a pixel of that image, the middle of a connected region.

    Attributes:
        images: Uint8 (N, H, W), sides at least the patch size.
        masks: Bool (N, H, W).
        sizes: Int64 (N, 2), height and width of each image without the padding.
        stones: Int (n, 3), an anchor for each stone.
        lookalikes: Int (m, 3), an anchor for each look-alike.
    """

    images: Tensor
    masks: Tensor
    sizes: Tensor
    stones: Tensor
    lookalikes: Tensor


def stack_up(
    images: Sequence[NDArray[np.uint8]],
    masks: Sequence[NDArray[np.bool_]],
    min_side: int,
    device: torch.device | str,
) -> Stack:
    """Stack arrays (H, W) of any sizes, padded to at least `min_side` pixels, and find their anchors.

    Images and masks go to `device`; sizes and anchors stay on the CPU, where patches are drawn.
    """
    sizes = torch.tensor([image.shape for image in images])  # (N, 2)
    shape = (len(images), *sizes.amax(0).clamp(min=min_side).tolist())
    padded, padded_masks = np.zeros(shape, np.uint8), np.zeros(shape, bool)
    greys = np.zeros(256, np.int64)  # number of stone pixels of each grey
    for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
        padded[i, : image.shape[0], : image.shape[1]] = image
        padded_masks[i, : mask.shape[0], : mask.shape[1]] = mask
        greys += np.bincount(image[mask], minlength=256)
    brightness = brightness_of_stones(greys)
    bright = (lookalikes_of(image, mask, brightness) for image, mask in zip(images, masks, strict=True))
    stones, lookalikes = (
        torch.from_numpy(np.concatenate([anchors_of(i, regions) for i, regions in enumerate(all_regions)]))
        for all_regions in (masks, bright)
    )
    stack, mask_stack = (torch.from_numpy(one).to(device) for one in (padded, padded_masks))
    return Stack(stack, mask_stack, sizes, stones, lookalikes)


def anchors_of(i: int, regions: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Image number `i`, row and column of the middle of every connected region of a mask (H, W): (n, 3)."""
    labels, n_regions = label_stones(regions)
    where = np.nonzero(labels)  # rows and columns of all pixels of regions
    of, n = labels[where], n_regions + 1
    with np.errstate(invalid="ignore"):  # label 0, the background, has no pixel here
        middles = [np.bincount(of, lines, n)[1:] / np.bincount(of, minlength=n)[1:] for lines in where]
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
