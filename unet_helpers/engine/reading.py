"""Image files as arrays, shrunk to the size that the network sees. (This moves to `data`.)"""

from __future__ import annotations

import numpy as np

from unet_helpers.data import Pair, image_hash, load_pair
from unet_helpers.engine.progress import progress_bar
from unet_helpers.inference import MAX_SIZE
from unet_helpers.transforms import resize_image, resize_mask, shrink_size

__all__ = ["load_arrays", "load_shrunk"]


def load_arrays(
    pairs: list[Pair], max_size: int = MAX_SIZE, progress: bool = False
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Read pairs into memory, shrunk so that the longer side is at most `max_size` pixels.

    Returns:
        Uint8 images (H, W) and bool masks (H, W), in the order of `pairs`.

    Raises:
        ValueError: If a file is broken, see `data.load_pair`.
    """
    bar = progress_bar(pairs, desc="reading pairs", unit="pair", disable=not progress)
    arrays = [load_shrunk(pair, max_size) for pair in bar]
    return [image for image, *_ in arrays], [mask for _, mask, _ in arrays]


def load_shrunk(pair: Pair, max_size: int = MAX_SIZE) -> tuple[np.ndarray, np.ndarray, str]:
    """Read a pair, shrunk so that the longer side is at most `max_size` pixels.

    Returns:
        Uint8 image (H, W), bool mask (H, W), and `data.image_hash` of the image at its full size.

    Raises:
        ValueError: If a file is broken, see `data.load_pair`.
    """
    image, mask = load_pair(pair)
    name, size = image_hash(image), shrink_size(image.shape, max_size)
    if size == image.shape:
        return image, mask, name
    return resize_image(image, size), resize_mask(mask, size), name
