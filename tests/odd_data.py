"""Small made-up folders, as strangers bring them: grey discs on noise, and masks of every code."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SHAPE = (64, 80)
Array = np.ndarray
Code = Callable[[Array], Array]  # what a mask file holds, of a bool mask


def disc(seed: int, radius: float = 4, shape: tuple[int, int] = SHAPE) -> Array:
    """A bool mask with one disc, somewhere else for every seed."""
    rng = np.random.default_rng(seed)
    row, column = (rng.integers(int(radius) + 1, side - int(radius) - 1) for side in shape)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def picture(mask: Array, seed: int) -> Array:
    """Noise, bright where the mask is."""
    noise = np.random.default_rng(seed).integers(25, 56, mask.shape, np.uint8)
    return np.where(mask, np.uint8(230), noise)


def save(path: Path, array: Array, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def grey(background: int, foreground: int, dtype: type = np.uint8) -> Code:
    return lambda mask: np.where(mask, foreground, background).astype(dtype)


def coloured(background: tuple[int, ...], foreground: tuple[int, ...]) -> Code:
    return lambda mask: np.where(mask[..., None], foreground, background).astype(np.uint8)


USUAL = grey(0, 255)


def write_set(
    folder: Path,
    codes: list[Code] | Code = USUAL,
    n: int = 6,
    image: str = "s{}.png",
    mask: str = "s{}_mask.png",
    radius: float = 4,
    first: int = 0,
    **options: object,
) -> list[Array]:
    """n images with their masks; code after code if there are several. Returns the bool masks."""
    codes = codes if isinstance(codes, list) else [codes]
    truths = []
    for number in range(first, first + n):
        truth = disc(number, radius)
        save(folder / image.format(number), picture(truth, number))
        save(folder / mask.format(number), codes[number % len(codes)](truth), **options)
        truths.append(truth)
    return truths
