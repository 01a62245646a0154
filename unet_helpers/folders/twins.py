"""Images that show the same picture twice: mirrored, turned, cropped or saved again, under other names.

Two such twins on both sides of a split are a leak, and their names do not give them away. So the pictures
are compared, in two looks. The first shrinks each picture to 32 x 32, keeps its edges (a band of middle
frequencies, which a change of brightness leaves alone) and correlates it with every other one, mirrored,
turned and cropped in coarse steps. The second takes the likeliest partners of each image at 64 x 64, and
moves, turns and scales them until they fit best.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, sparse
from torch import Tensor
from torch.nn import functional

from unet_helpers.data import Pair
from unet_helpers.engine.files import written_whole
from unet_helpers.engine.progress import progress_bar
from unet_helpers.folders.groups import join_groups
from unet_helpers.pictures.sheets import Tile, encode_jpeg, slice_sheet

__all__ = ["LIKE_ENOUGH", "Twins", "find_twins", "proposed_groups", "thumbnail", "write_proposal"]

Array = NDArray[np.float32]
SIDE, COARSE_SIDE = 64, 32  # of a thumbnail, in pixels
LIKE_ENOUGH = 0.885  # least correlation of twins in the second look
WORTH_A_LOOK = 0.5  # least correlation in the first look
N_PARTNERS = 3  # the likeliest partners of an image, which get the second look
TURNS = (0, 5, -5, 10, -10, 15, -15, 20, -20, 90, 180, 270)  # degrees
CROPS = (1.07, 1.15, 1.25)  # how much a crop was enlarged to fill the picture
PLACES = (-1, 0, 1)  # of a crop: at one edge, in the middle, at the other edge
STRONG = 4  # edges are cut at so many times their median strength
RADIUS = 0.42  # of the disc that is compared, in sides: the corners of a turned picture are empty


class Twins(NamedTuple):
    """Two images that show the same: their numbers, and the correlation of their edges, at most 1."""

    first: int
    second: int
    likeness: float


class _Change(NamedTuple):
    """How a picture is mirrored, turned (degrees), enlarged, and moved (sides of the picture)."""

    mirrored: float  # 1 or -1
    degrees: float
    scale: float
    down: float
    right: float


def thumbnail(image: NDArray[np.uint8]) -> Array:
    """A small version of a picture (H, W), stretched to a square: float32 (64, 64), greys from 0 to 255."""
    small = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float32)


def find_twins(small: Array, like_enough: float = LIKE_ENOUGH, progress: bool = False) -> list[Twins]:
    """Find the pairs of thumbnails that show the same picture.

    Finds what was mirrored, turned by quarters or by up to 20 degrees, cropped by up to a fifth of its width,
    saved with another compression or brightness. The time grows with the square of their number.

    Args:
        small: Array (N, 64, 64), a `thumbnail` of each image.
        like_enough: Least correlation of two twins.
        progress: Whether to draw a bar.

    Returns:
        Twins in order of their numbers, each pair once.
    """
    if len(small) < 2:
        return []
    edges = _edges(small)
    likeness, change = _first_look(edges, progress)
    partners = _partners(likeness)
    found: dict[tuple[int, int], float] = {}
    for some in np.array_split(partners, max(1, len(partners) // 1024)):
        starts = np.array([_changes()[change[i, j]] for i, j in some], np.float32).reshape(len(some), 5)
        for (i, j), value in zip(some, _second_look(edges, some, starts), strict=True):
            pair = (int(min(i, j)), int(max(i, j)))
            found[pair] = max(float(value), found.get(pair, -1.0))
    return [Twins(*pair, value) for pair, value in sorted(found.items()) if value >= like_enough]


def _edges(small: Array) -> Array:
    """Keep the middle frequencies of each thumbnail (N, side, side); no single bright spot decides alone."""
    edges: Array = ndimage.gaussian_filter(small, (0, 0.9, 0.9))
    edges -= ndimage.gaussian_filter(small, (0, 3.5, 3.5))
    limit = STRONG * np.median(np.abs(edges), axis=(1, 2), keepdims=True)
    return np.clip(edges, -limit, limit)


def _changes() -> list[_Change]:
    """What the first look tries: turns, mirrored or not, and crops."""
    whole = [_Change(m, degrees, 1.0, 0.0, 0.0) for m in (1, -1) for degrees in TURNS]
    crops = []
    for mirrored, scale, down, right in product((1, -1), CROPS, PLACES, PLACES):
        room = (1 - 1 / scale) / 2
        crops.append(_Change(mirrored, 0.0, scale, room * down, room * right))
    return whole + crops


def _places(change: NDArray[Any], points: NDArray[Any]) -> NDArray[Any]:
    """Where the pixels of a changed picture lie in the unchanged one.

    Args:
        change: Array (..., 5), the fields of `_Change`.
        points: Array (P, 2), down and right, in sides from the middle.

    Returns:
        Array (..., P, 2) in the same coordinates.
    """
    mirrored, degrees, scale, down, right = np.moveaxis(np.asarray(change)[..., None, :], -1, 0)
    cosine, sine = np.cos(np.radians(degrees)) / scale, np.sin(np.radians(degrees)) / scale
    y, x = points[:, 0], points[:, 1]
    return np.stack((cosine * y - sine * x + down, mirrored * (sine * y + cosine * x + right)), -1)


def _disc(side: int) -> NDArray[np.float64]:
    """Middles of the pixels that are compared (P, 2), in sides from the middle of the picture."""
    centres = (np.arange(side) + 0.5) / side - 0.5
    grid = np.stack(np.meshgrid(centres, centres, indexing="ij"), -1).reshape(-1, 2)
    inside: NDArray[np.float64] = grid[np.hypot(*grid.T) < RADIUS]
    return inside


def _unit(values: Array) -> Array:
    """Rows (N, P) with mean 0 and length 1; rows that are all the same become 0."""
    values = values - values.mean(1, keepdims=True)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.where(length > 1e-3 * values.shape[1] ** 0.5, values / np.maximum(length, 1e-9), 0)


def _first_look(edges: Array, progress: bool) -> tuple[Array, NDArray[np.int16]]:
    """Correlate each image with every changed one.

    Returns:
        Arrays (N, N): the largest correlation of image i with any change of image j, and which change.
    """
    n, factor = len(edges), SIDE // COARSE_SIDE
    coarse = edges.reshape(n, COARSE_SIDE, factor, COARSE_SIDE, factor).mean((2, 4)).reshape(n, -1)
    points = _disc(COARSE_SIDE)
    still = _unit(np.ascontiguousarray(_sampling(_Change(1, 0, 1, 0, 0), points) @ coarse.T).T)
    best, which = np.full((n, n), -1, np.float32), np.zeros((n, n), np.int16)
    bar = progress_bar(_changes(), desc="comparing images", unit="way", disable=not progress)
    for number, change in enumerate(bar):
        changed = _unit(np.ascontiguousarray((_sampling(change, points) @ coarse.T).T))
        likeness = still @ changed.T
        better = likeness > best
        np.copyto(best, likeness, where=better)
        np.copyto(which, np.int16(number), where=better)
    np.fill_diagonal(best, -1)
    return best, which


def _sampling(change: _Change, points: NDArray[Any]) -> sparse.csr_matrix:
    """Matrix (P, pixels) that reads a changed picture off an unchanged one, bilinear, clamped."""
    where = np.clip((_places(np.array(change), points) + 0.5) * COARSE_SIDE - 0.5, 0, COARSE_SIDE - 1 - 1e-6)
    low = where.astype(int)
    share = where - low
    rows, columns, weights = [], [], []
    for down, right in product((0, 1), (0, 1)):
        rows.append(np.arange(len(points)))
        columns.append((low[:, 0] + down) * COARSE_SIDE + low[:, 1] + right)
        weights.append(np.abs(1 - down - share[:, 0]) * np.abs(1 - right - share[:, 1]))
    entries = (np.concatenate(weights).astype(np.float32), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_matrix(entries, shape=(len(points), COARSE_SIDE**2))


def _partners(likeness: Array) -> NDArray[np.int64]:
    """Pairs (M, 2) for the second look: the likeliest partners of each image, in the better order."""
    n_partners = min(N_PARTNERS, len(likeness) - 1)
    either = np.maximum(likeness, likeness.T)
    nearest = np.argpartition(-either, n_partners - 1, axis=1)[:, :n_partners]
    first = np.repeat(np.arange(len(likeness)), n_partners)
    pairs = np.stack((first, nearest.ravel()), 1)
    turned = likeness[pairs[:, 0], pairs[:, 1]] < likeness[pairs[:, 1], pairs[:, 0]]
    pairs[turned] = pairs[turned, ::-1]
    pairs = np.unique(pairs, axis=0)
    return pairs[likeness[pairs[:, 0], pairs[:, 1]] > WORTH_A_LOOK]


def _second_look(edges: Array, pairs: NDArray[np.int64], changes: Array) -> Array:
    """Correlation (M,) of image i with image j, changed as fits best, starting from `changes` (M, 5)."""
    points = _disc(SIDE)
    rows, columns = ((points.T + 0.5) * SIDE).astype(int)
    still = torch.from_numpy(_unit(edges[pairs[:, 0]][:, rows, columns]))
    moving = torch.from_numpy(edges[pairs[:, 1]])[:, None]
    best = _fit(still, moving, changes, points)
    for length in (1.0, 0.5, 0.5, 0.25):
        steps = length * np.diag([0, 3.0, 0.04, 0.02, 0.02])[1:]
        tries = [changes + sign * step for step in steps for sign in (1, -1)]
        values = np.stack([best] + [_fit(still, moving, one, points) for one in tries])
        chosen = values.argmax(0)
        changes = np.stack([changes, *tries])[chosen, np.arange(len(pairs))].astype(np.float32)
        best = values.max(0)
    return best


def _fit(still: Tensor, moving: Tensor, changes: Array, points: NDArray[Any]) -> Array:
    """Correlation (M,) of rows `still` (M, P) with the pictures `moving` (M, 1, side, side), changed."""
    where = torch.from_numpy(2 * _places(changes, points)[..., ::-1].astype(np.float32))
    read = functional.grid_sample(
        moving, where[:, None], mode="bilinear", padding_mode="border", align_corners=False
    )
    return (still * torch.from_numpy(_unit(read[:, 0, 0].numpy()))).sum(1).numpy()


def proposed_groups(pairs: Sequence[Pair], twins: Sequence[Twins]) -> list[str]:
    """The group of each pair when twins belong together: its own one, joined with those of its twins."""
    names = [str(number) for number in range(len(pairs))]
    linked: dict[str, list[str]] = {name: [] for name in names}
    for twin in twins:
        linked[names[twin.first]].append(f"twins of {twin.first}")
        linked[names[twin.second]].append(f"twins of {twin.first}")
    own = {name: pair.group for name, pair in zip(names, pairs, strict=True)}
    joined = join_groups(names, own, linked)
    first: dict[str, str] = {}  # the joined group bears the name of its first image's own one
    return [first.setdefault(joined[name], own[name]) for name in names]


def write_proposal(
    folder: str | os.PathLike[str], names: Sequence[str], groups: Sequence[str], tiles: Sequence[Tile]
) -> None:
    """Write what twins mean for the split: `groups.csv` to put beside the images, and `twins.jpg`.

    Args:
        folder: Is made if it is not there.
        names: The images by their paths without suffix, as rows of groups.csv name them.
        groups: The `proposed_groups`.
        tiles: Two tiles for each pair of twins, to be looked at.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    with (
        written_whole(Path(folder) / "groups.csv") as scratch,
        open(scratch, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerows([("stem", "group"), *zip(names, groups, strict=True)])
    if tiles:
        with written_whole(Path(folder) / "twins.jpg") as scratch:
            scratch.write_bytes(
                encode_jpeg(slice_sheet(tiles, n_columns=min(4, len(tiles)), side_px=192), quality=80)
            )
