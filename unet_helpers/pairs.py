"""An image and its mask: two files, read as grey values and as a bool mask, whatever kind they are."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["Pair", "brightest_channel", "image_hash", "load_image", "load_mask", "load_pair"]


@dataclass(frozen=True)
class Pair:
    """One image, its mask, and the group (exam, patient or source image) that a split must not tear apart."""

    image_path: Path
    mask_path: Path
    group: str


def _read(path: Path) -> Image.Image:
    """Decode a file; what is neither grey nor plain colour (palette, CMYK, ...) becomes RGBA."""
    try:
        with Image.open(path) as picture:
            n_pages = getattr(picture, "n_frames", 1)
            picture.load()
        plain = picture.mode in ("1", "L", "RGB", "RGBA") or picture.mode.startswith(("I", "F"))
        picture = picture if plain else picture.convert("RGBA")
    except Exception as error:  # Pillow's decoders raise more than OSError on damaged bytes
        raise ValueError(f"{path} must be a readable image, got: {error}. Download it again.") from error
    if n_pages > 1:
        raise ValueError(f"{path} must hold one slice, got {n_pages} pages. Save every slice as a file.")
    return picture


def load_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an 8-bit image as grey values; colour and palette images are converted.

    Returns:
        Uint8 array (H, W).

    Raises:
        ValueError: If the file cannot be read or has more than 8 bits a pixel.
    """
    picture = _read(Path(path))
    if picture.mode.startswith(("I", "F")):
        values = np.asarray(picture)
        raise ValueError(
            f"{path} must have 8 bits a pixel, got {picture.mode} with values {values.min()} to "
            f"{values.max()}. Apply a CT window first: phantom.window(image_hu, level=40, "
            "width=400)."
        )
    return np.array(picture.convert("L"))


def image_hash(image: np.ndarray) -> str:
    """What an image is, whatever its file is called: a hash of its size and grey values.

    Args:
        image: Uint8 array (H, W) at the resolution of the file, see `load_image`.

    Returns:
        16 hexadecimal digits; equal for two files that decode to the same greys.
    """
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()[:16]


def brightest_channel(path: str | os.PathLike[str]) -> np.ndarray:
    """Values of a mask file before they are binarised: the largest of red, green and blue, seen on black.

    Returns:
        Array (H, W): uint8, or what a file with more than 8 bits holds.

    Raises:
        ValueError: If the file cannot be read.
    """
    picture = _read(Path(path))
    if picture.mode == "L" or picture.mode.startswith(("I", "F")):
        return np.asarray(picture)
    red, green, blue, alpha = np.moveaxis(np.asarray(picture.convert("RGBA"), np.uint16), -1, 0)
    return (np.maximum(np.maximum(red, green), blue) * alpha // 255).astype(np.uint8)


def load_mask(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a mask and binarise it: a pixel is stone where its brightest channel is above 127.

    Returns:
        Bool array (H, W).

    Raises:
        ValueError: If the file cannot be read.
    """
    return brightest_channel(path) > 127


def load_pair(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Read an image and its mask.

    Returns:
        Uint8 array (H, W) and bool array (H, W).

    Raises:
        ValueError: If a file cannot be read or the sizes differ.
    """
    image, mask = load_image(pair.image_path), load_mask(pair.mask_path)
    if image.shape != mask.shape:
        raise ValueError(
            f"{pair.mask_path} must have the size of its image {pair.image_path.name}, {image.shape}, got "
            f"{mask.shape}. Export the mask again at the image's size."
        )
    return image, mask
