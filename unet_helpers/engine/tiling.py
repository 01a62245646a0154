"""Large images piece by piece: overlapping tiles for a prediction, windows around stones for a validation.

A tile is a square of `TILE` pixels that shares `OVERLAP` pixels with its neighbours. In the middle third of
an overlap the weight of one tile falls along a line while that of the other rises, so that no seam is to be
seen; what lies within `MARGIN` pixels of a cut has no say, because the network does not see there what lies
beyond. Tiles begin at multiples of 64, so its halvings fall where they do in the whole image. A pixel that
lies further from a cut than the network sees (about 100 pixels for ours) gets the answer that the whole image
would give; benchmarks/README.md has the largest difference of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unet_helpers.data import MAX_SIZE
from unet_helpers.engine.stack import anchors_of

__all__ = [
    "MARGIN",
    "OVERLAP",
    "TILE",
    "Tile",
    "in_tiles",
    "same_size_batches",
    "tile_batches",
    "validation_windows",
]

TILE, OVERLAP, MARGIN = 1024, 192, 64  # pixels; tile minus overlap is a multiple of 64
MOST_WINDOWS, WINDOWS_AN_IMAGE = 256, 4  # in a validation; at least one for each large image with a stone

Mask = NDArray[np.bool_]
Greys = NDArray[np.uint8]
Forward = Callable[[Greys], NDArray[np.float32]]  # uint8 (B, H, W) -> (B, ..., H, W)


class Tile(NamedTuple):
    """A part of an image, and how much its answer weighs along rows and columns, float32 each."""

    rows: slice
    columns: slice
    row_weights: NDArray[np.float32]
    column_weights: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return len(self.row_weights), len(self.column_weights)


def _lines(side: int) -> list[tuple[slice, NDArray[np.float32]]]:
    """Where tiles lie along one side of an image, with their weights; those of a pixel sum to 1."""
    n = OVERLAP - 2 * MARGIN
    rise = np.clip((np.arange(OVERLAP, dtype=np.float32) - MARGIN + 0.5) / n, 0, 1)
    lines = []
    for start in range(0, max(1, side - OVERLAP), TILE - OVERLAP):
        end = min(start + TILE, side)
        weights = np.ones(end - start, np.float32)
        if start > 0:
            weights[:OVERLAP] = rise
        if end < side:
            weights[-OVERLAP:] = rise[::-1]
        lines.append((slice(start, end), weights))
    return lines


def tile_batches(size: tuple[int, int], batch_size: int) -> list[list[Tile]]:
    """The tiles of an image of that size, in batches of one shape.

    A batch holds about as many pixels as `batch_size` images of 512 x 512, and at least one tile.
    """
    rows, columns = _lines(size[0]), _lines(size[1])
    tiles = [Tile(row, column, ups, acrosses) for (row, ups), (column, acrosses) in product(rows, columns)]
    batches = []
    for shape, alike in groupby(sorted(tiles, key=lambda tile: tile.shape), lambda tile: tile.shape):
        some, n = list(alike), max(1, batch_size * MAX_SIZE**2 // (shape[0] * shape[1]))
        batches += [some[k : k + n] for k in range(0, len(some), n)]
    return batches


def same_size_batches(
    images: Sequence[Greys], seen: Sequence[tuple[int, int]], batch_size: int
) -> list[tuple[tuple[int, int], list[int]]]:
    """Sizes that the network sees and the numbers of the images that it sees so; a large one comes alone."""
    by_size: dict[tuple[tuple[int, ...], tuple[int, int]], list[int]] = {}
    for i, (image, size) in enumerate(zip(images, seen, strict=True)):
        by_size.setdefault((image.shape, size), []).append(i)
    batches = []
    for (_, size), indices in by_size.items():
        n = 1 if max(size) > MAX_SIZE else batch_size
        batches += [(size, indices[k : k + n]) for k in range(0, len(indices), n)]
    return batches


def in_tiles(forward: Forward, image: Greys, batch_size: int) -> NDArray[np.float32]:
    """What a network says about an image of any size, from its tiles.

    Beside the image and the answer no more is in memory than one batch of tiles needs.

    Args:
        forward: Uint8 arrays (B, H, W) of one size to float32 (B, H, W), or (B, C, H, W) of several classes.
        image: Uint8 array (H, W).
        batch_size: As for `tile_batches`.

    Returns:
        Float32 array (H, W) or (C, H, W).
    """
    height, width = image.shape
    total: NDArray[np.float32] | None = None
    for batch in tile_batches((height, width), batch_size):
        answers = forward(np.stack([image[tile.rows, tile.columns] for tile in batch]))
        if total is None:
            total = np.zeros((*answers.shape[1:-2], height, width), np.float32)
        for tile, answer in zip(batch, answers, strict=True):
            weighed = answer * tile.row_weights[:, None]
            total[..., tile.rows, tile.columns] += weighed * tile.column_weights
    assert total is not None  # every image has a tile
    return total


def validation_windows(
    images: Sequence[Greys], masks: Sequence[Mask]
) -> tuple[Sequence[Greys], Sequence[Mask]]:
    """What a training is validated on: images up to 512 pixels as they are, windows of larger ones.

    A large image is seen through at most four windows of 512 x 512 pixels, around stones spread evenly over
    it; one without a stone not at all, because validation scores stones. So a validation costs about as much
    whatever the size of the scans. The threshold, and every score after the training, comes from whole
    images.

    Args:
        images: Uint8 arrays (H, W).
        masks: Bool arrays of the same shapes.

    Returns:
        Both, in the order of the images; nothing is copied.
    """
    large = [max(image.shape) > MAX_SIZE for image in images]
    if not any(large):
        return images, masks
    most = min(WINDOWS_AN_IMAGE, max(1, MOST_WINDOWS // sum(large)))
    seen: list[tuple[Greys, Mask]] = []
    for image, mask, is_large in zip(images, masks, large, strict=True):
        windows: list[Any] = list(_windows(mask, most)) if is_large else [...]
        seen += [(image[window], mask[window]) for window in windows]
    return [image for image, _ in seen], [mask for _, mask in seen]


def _windows(mask: Mask, most: int) -> Iterator[tuple[slice, slice]]:
    """Places of at most so many windows around stones of a mask (H, W)."""
    stones = anchors_of(0, mask)[:, 1:]  # rows and columns
    chosen = stones[np.linspace(0, len(stones) - 1, min(most, len(stones))).astype(int)]
    corners = np.clip(chosen - MAX_SIZE // 2, 0, np.maximum(0, np.subtract(mask.shape, MAX_SIZE)))
    for row, column in dict.fromkeys(map(tuple, corners.tolist())):
        yield slice(row, row + MAX_SIZE), slice(column, column + MAX_SIZE)
