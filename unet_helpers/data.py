"""Image-mask pairs: read them, shrink them, and split them so that no exam lands on both sides.

How pairs are found in a folder, where data sets come from, and what a network has seen of them stands in
`unet_helpers.folders`; what the lessons need of it is here too, behind doors.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unet_helpers.engine.doors import doors
from unet_helpers.engine.progress import progress_bar

if TYPE_CHECKING:
    from unet_helpers.folders.finding import find_pairs
    from unet_helpers.folders.mask_codes import MaskCode
    from unet_helpers.folders.seen import parts_seen
    from unet_helpers.folders.sources import home, lesson_run, open_dataset
    from unet_helpers.folders.splits import folds_by_group, given_split
    from unet_helpers.folders.tables import known_stones, spacings
else:
    _ROOMS = {
        "folders.finding": ["find_pairs"],
        "folders.mask_codes": ["MaskCode"],
        "folders.seen": ["parts_seen"],
        "folders.sources": ["home", "lesson_run", "open_dataset"],
        "folders.splits": ["folds_by_group", "given_split"],
        "folders.tables": ["known_stones", "spacings"],
    }
    __getattr__, __dir__ = doors(__name__, _ROOMS)

__all__ = [
    "MAX_SIZE",
    "SHARES",
    "SUFFIXES",
    "KnownStone",
    "MaskCode",
    "Pair",
    "find_pairs",
    "folds_by_group",
    "given_split",
    "home",
    "image_hash",
    "image_hashes",
    "known_stones",
    "lesson_run",
    "load_arrays",
    "load_hashed",
    "load_image",
    "load_mask",
    "load_pair",
    "load_scaled",
    "mask_values",
    "open_dataset",
    "parts_seen",
    "spacings",
    "split_by_group",
    "stone_strata",
    "window",
    "with_window",
]

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif"}  # of image files
MAX_SIZE = 512  # images with a longer side are handled piece by piece; earlier versions shrank them to it
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


@dataclass(frozen=True)
class Pair:
    """One image, its mask, and the group (exam, patient or source image) that a split must not tear apart.

    Attributes:
        code: What the values of the mask file mean; None: stone is what is brighter than half of 255.
        window: Level and width in HU, for an image of more than 8 bits; None for one of 8.
        more_masks: Further mask files of the same image, joined with the first.
    """

    image_path: Path
    mask_path: Path
    group: str
    code: MaskCode | None = None
    window: tuple[float, float] | None = None
    more_masks: tuple[Path, ...] = ()


@dataclass(frozen=True)
class KnownStone:
    """A stone that a slice shows: its name, its place there in pixels, its longest extent in the body."""

    stone: str
    row: float
    column: float
    diameter_mm: float


# ------------------------------------------------------------------------------------------ reading
def window(image_hu: NDArray[Any], level: float, width: float) -> NDArray[np.uint8]:
    """Map level - width / 2 to 0 and level + width / 2 to 255 and clip: the picture a radiologist sees.

    Args:
        image_hu: Array of any shape, in Hounsfield units.
        level: Middle of the window in HU.
        width: Width of the window in HU.

    Raises:
        ValueError: If the width is not positive.
    """
    if not width > 0:
        raise ValueError(f"width must be positive, got {width}.")
    return np.rint(np.clip((image_hu - (level - width / 2)) * (255 / width), 0, 255)).astype(np.uint8)


def load_image(path: str | os.PathLike[str], window: tuple[float, float] | None = None) -> NDArray[np.uint8]:
    """Read an image file as grey values (H, W), the way up that it is meant; colour images are converted.

    Args:
        path: PNG, JPEG, TIFF, BMP, GIF, WebP, or a DICOM slice.
        window: Level and width, for a file with more than 8 bits a pixel; one with 8 does not need it.

    Raises:
        ValueError: If the file cannot be read, holds several pages, or needs a window and has none.
    """
    from unet_helpers.formats import reading

    return reading.greys(reading.decode(Path(path)), window)


def mask_values(path: str | os.PathLike[str]) -> NDArray[Any]:
    """What a mask file holds: grey values or labels (H, W), or colours uint8 (H, W, 3), seen on black.

    Raises:
        ValueError: If the file cannot be read.
    """
    from unet_helpers.formats import reading

    return reading.mask_values(reading.decode(Path(path)))


def load_mask(source: Pair | str | os.PathLike[str]) -> NDArray[np.bool_]:
    """Read the mask of a pair, or a mask file, as bool (H, W).

    A pixel is stone where the pair's `code` says so; without one where its brightest channel is above 127.

    Raises:
        ValueError: If a file cannot be read, or two mask files of one image differ in size.
    """
    pair = source if isinstance(source, Pair) else Pair(Path(), Path(source), "")
    masks = [_read_mask(path, pair.code) for path in (pair.mask_path, *pair.more_masks)]
    for path, mask in zip(pair.more_masks, masks[1:], strict=True):
        if mask.shape != masks[0].shape:
            raise ValueError(
                f"{path} must have the size of {pair.mask_path.name}, with which it is joined, "
                f"{masks[0].shape}, got {mask.shape}. Export both at the image's size."
            )
    joined: NDArray[np.bool_] = np.logical_or.reduce(masks) if pair.more_masks else masks[0]
    return joined


def _read_mask(path: Path, code: MaskCode | None) -> NDArray[np.bool_]:
    values = mask_values(path)
    if code is not None:
        return code.read(values)
    mask: NDArray[np.bool_] = (values.max(-1) if values.ndim == 3 else values) > 127
    return mask


def load_pair(pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read an image and its mask, uint8 (H, W) and bool (H, W).

    Raises:
        ValueError: If a file cannot be read, the sizes differ, or they do not lie the same way up.
    """
    from unet_helpers.formats import reading

    image, mask = load_image(pair.image_path, pair.window), load_mask(pair)
    if image.shape != mask.shape:
        raise ValueError(
            f"{pair.mask_path} must have the size of its image {pair.image_path.name}, {image.shape}, got "
            f"{mask.shape}. Export the mask again at the image's size."
        )
    reading.check_turns(pair.image_path, pair.mask_path, image.shape)
    return image, mask


def with_window(pairs: Sequence[Pair], window: tuple[float, float] | None) -> list[Pair]:
    """The same pairs, with a window (level, width) for images of more than 8 bits; None changes nothing."""
    return list(pairs) if window is None else [replace(pair, window=window) for pair in pairs]


def load_arrays(
    pairs: Sequence[Pair],
    max_size: int | None = None,
    progress: bool = False,
    factors: Sequence[tuple[float, float] | None] | None = None,
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.bool_]]]:
    """Read pairs into memory, at the size of their files unless something else is asked for.

    Args:
        pairs: Pairs.
        max_size: Longer sides are shrunk to so many pixels.
        progress: Whether to show a bar.
        factors: For each pair factors of height and width that go before `max_size`; see `Checkpoint.scale`.

    Returns:
        Uint8 images (H, W) and bool masks (H, W), in the order of `pairs`.

    Raises:
        ValueError: If a file is broken, see `load_pair`.
    """
    images, masks, _ = load_hashed(pairs, max_size, progress, factors)
    return images, masks


def load_hashed(
    pairs: Sequence[Pair],
    max_size: int | None = None,
    progress: bool = False,
    factors: Sequence[tuple[float, float] | None] | None = None,
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.bool_]], list[str]]:
    """As `load_arrays`, and the hash of each image at the size of its file."""
    bar = progress_bar(pairs, desc="reading pairs", unit="pair", disable=not progress)
    rows = [load_scaled(pair, max_size, factors[i] if factors else None) for i, pair in enumerate(bar)]
    return [image for image, _, _ in rows], [mask for _, mask, _ in rows], [key for _, _, key in rows]


def load_scaled(
    pair: Pair, max_size: int | None = None, factors: tuple[float, float] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], str]:
    """Read one pair as `load_arrays` does, and the hash of the image at the size of its file."""
    from unet_helpers import transforms  # here, so that whoever only reads files waits for no torch

    image, mask = load_pair(pair)
    key, size = image_hash(image), transforms.shrink_size(image.shape, max_size, factors)
    if size != image.shape:
        image, mask = transforms.resize_image(image, size), transforms.resize_mask(mask, size)
    return image, mask, key


def image_hash(image: NDArray[np.uint8]) -> str:
    """What an image is, whatever its file is called: a hash of its size and grey values.

    Args:
        image: Uint8 array (H, W) at the size of the file, see `load_image`.

    Returns:
        16 hexadecimal digits; equal for two files that decode to the same greys.
    """
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()[:16]


def image_hashes(pairs: Sequence[Pair], progress: bool = False) -> list[str]:
    """The `image_hash` of each image file; its mask is not read."""
    bar = progress_bar(pairs, desc="recognising images", unit="image", disable=not progress)
    return [image_hash(load_image(pair.image_path, pair.window)) for pair in bar]


# ---------------------------------------------------------------------------------------- splitting
def stone_strata(pairs: Sequence[Pair], progress: bool = False) -> list[int]:
    """How much stone each mask holds, as labels whose shares `split_by_group` balances.

    Returns:
        One number an image: 0 without a stone; 1, 2 and 3 for the lower half of the stone-bearing images by
        number of stone pixels, those up to nine in ten, and the tenth with the most.

    Raises:
        ValueError: If a mask cannot be read.
    """
    bar = progress_bar(pairs, desc="looking for stones", unit="mask", disable=not progress)
    n_pixels = np.array([np.count_nonzero(load_mask(pair)) for pair in bar], int)
    if not n_pixels.any():
        return [0] * len(pairs)
    middle, high = np.quantile(n_pixels[n_pixels > 0], (0.5, 0.9))
    return [int(n > 0) + int(n > middle) + int(n > high) for n in n_pixels]


def split_by_group(
    pairs: Sequence[Pair], seed: int = 0, strata: Sequence[Hashable] | None = None
) -> dict[str, list[Pair]]:
    """Split pairs by whole groups into training, validation and test: 70 / 10 / 20 % or near.

    The groups are put into an order by a hash of seed and name, and cut where 70 and 80 % of the images are
    reached; then groups change places between two parts while that brings the images, and next the share of
    each stratum, nearer to what is wanted. So the split depends neither on the order of the pairs nor on the
    version of a random number generator. Every part gets a stone, if the groups that bear one suffice.

    Warns (UserWarning), with numbers, if the groups allow no split near to these shares, and if validation or
    test holds no stone.

    Args:
        pairs: Pairs of at least 3 groups.
        seed: Another seed gives another split, where the groups allow one that is as good.
        strata: One label an image, see `stone_strata`; 0 stands for an image without a stone. None balances
            the images alone.

    Returns:
        Dict with the keys "train", "val" and "test", each in the order of `pairs`; no group is in two of
        them, and none is empty.

    Raises:
        ValueError: If there are fewer than 3 groups, or not one label an image.
    """
    from unet_helpers.folders import splits

    split = splits.divide(pairs, SHARES, str(seed), strata)
    splits.warn_of_shares(split, SHARES)
    splits.warn_of_stones(pairs, strata, split)
    return split
