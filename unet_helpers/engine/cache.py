"""Data sets larger than the memory: decoded once into files of plain bytes, and read from there in place.

A cache folder holds `images.bin` and `masks.bin`, all pixels of all images one behind the other (see
`engine.stack`), `sizes.npy`, the hashes of the images, and the places that patches are cut around. Files are
decoded one at a time. The operating system reads the bytes that are asked for and forgets them when it needs
the memory, so training takes the same memory for any number of slices, of any size.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unet_helpers import data, transforms
from unet_helpers.data import Pair, load_hashed, load_scaled
from unet_helpers.engine import stack as stack_module
from unet_helpers.engine.opening import opened
from unet_helpers.engine.progress import progress_bar
from unet_helpers.engine.stack import (
    Stack,
    anchors_by_class,
    anchors_of,
    balanced,
    brightness_of_stones,
    lookalikes_of,
    places_of,
)
from unet_helpers.folders import mask_codes
from unet_helpers.folders.places import data_home
from unet_helpers.transforms import PatchSampler, shrink_size

__all__ = [
    "CACHE_ABOVE_BYTES",
    "Cache",
    "InMemory",
    "decoded_bytes",
    "file_sizes",
    "open_cache",
    "open_images",
]

CACHE_ABOVE_BYTES = 2 * 2**30  # images and masks together; smaller sets are simply kept in memory
Factors = Sequence[tuple[float, float] | None]


@dataclass(frozen=True)
class InMemory:
    """Images, masks and hashes of pairs, as `Cache` has them for data above the memory."""

    images: list[np.ndarray]
    masks: list[np.ndarray]
    hashes: list[str]

    def sampler(self, *settings: Any) -> PatchSampler:
        """A sampler; the settings are those of `Cache.sampler`."""
        return PatchSampler(self.images, self.masks, *settings)


def open_images(
    pairs: Sequence[Pair],
    min_side: int = 1,
    progress: bool = False,
    max_size: int | None = None,
    factors: Factors | None = None,
) -> InMemory | Cache:
    """Read pairs into memory, or through a cache on disk if they take more than `CACHE_ABOVE_BYTES`.

    Args:
        pairs, min_side, max_size, factors: As for `open_cache`, like the errors.
        progress: Whether a cache that has to be written shows a bar.
    """
    if decoded_bytes(pairs, max_size, factors) > CACHE_ABOVE_BYTES:
        return open_cache(pairs, max_size, min_side, progress, factors)
    return InMemory(*load_hashed(pairs, max_size, factors=factors))


class _Views(Sequence[np.ndarray]):
    """The arrays (H, W) of a row of pixels, each at its own size, without copying them."""

    def __init__(self, row: np.ndarray, starts: np.ndarray, padded: np.ndarray, sizes: np.ndarray) -> None:
        self._row, self._starts, self._padded, self._sizes = row, starts, padded, sizes

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, i: int) -> np.ndarray:  # type: ignore[override]  # by number only
        if not 0 <= i < len(self):
            raise IndexError(i)  # by which a loop knows the end
        height, width = self._sizes[i]
        whole = self._row[self._starts[i] : self._starts[i + 1]].reshape(self._padded[i])
        return whole[:height, :width]


class Cache:
    """A written cache.

    Args:
        folder: What `open_cache` returned.

    Attributes:
        images: Uint8 arrays (H, W), read when they are asked for.
        masks: Bool arrays (H, W), or uint8 numbers of classes.
        hashes: `data.image_hash` of each file.
    """

    def __init__(self, folder: Path) -> None:
        # "c": changes would stay in memory; PyTorch warns of arrays that cannot be written at all
        kinds = {"images": "uint8", "masks": (folder / "mask_kind.txt").read_text("ascii")}
        self._stacks = [
            np.memmap(folder / f"{name}.bin", np.dtype(kind), "c") for name, kind in kinds.items()
        ]
        sizes, self._min_side = np.load(folder / "sizes.npy"), int((folder / "min_side.txt").read_text())
        self._starts, self._padded = places_of(sizes, self._min_side)
        self.hashes = (folder / "hashes.txt").read_text("ascii").split()
        self._anchors = {name: _read_anchors(folder / f"{name}.bin") for name in ("stones", "lookalikes")}
        places = self._starts, self._padded, sizes
        self.images, self.masks = (_Views(stack, *places) for stack in self._stacks)

    def sampler(
        self,
        patch_size: int,
        stone_fraction: float,
        lookalike_fraction: float,
        device: torch.device | str = "cpu",
    ) -> PatchSampler:
        """A sampler as `PatchSampler` makes it from lists, that cuts from the files and sends to `device`."""
        if patch_size > self._min_side:
            raise ValueError(f"patch_size must be at most {self._min_side}, got {patch_size}.")
        images, masks, starts, sizes = map(torch.from_numpy, (*self._stacks, self._starts[:-1], self._padded))
        stack = Stack(images, masks, starts, sizes, self._anchors["stones"], self._anchors["lookalikes"])
        shares = stone_fraction, lookalike_fraction
        sampler = PatchSampler(self.images, self.masks, patch_size, *shares, device, stack)
        sampler.after_draws = self.release
        return sampler

    def release(self) -> None:
        """Tell the operating system that the pages read so far may go; they stay in its file cache."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for stack in self._stacks:
                vars(stack)["_mmap"].madvise(mmap.MADV_DONTNEED)


def _read_anchors(path: Path) -> torch.Tensor:
    n = path.stat().st_size // 12
    shape = (n, 3)
    return torch.from_numpy(np.memmap(path, np.int32, "c", shape=shape) if n else np.empty(shape, np.int32))


def file_sizes(
    pairs: Sequence[Pair], max_size: int | None = None, factors: Factors | None = None
) -> np.ndarray:
    """Heights and widths (N, 2) after scaling, from the headers of the files."""
    sizes = np.zeros((len(pairs), 2), np.int64)
    for i, pair in enumerate(pairs):
        try:
            with opened(pair.image_path) as picture:
                sizes[i] = shrink_size(picture.size[::-1], max_size, factors[i] if factors else None)
        except Exception:  # whoever reads the pixels will say what is wrong with it
            sizes[i] = 0
    return sizes


def decoded_bytes(pairs: Sequence[Pair], max_size: int | None = None, factors: Factors | None = None) -> int:
    """Memory that the images and masks take once they are decoded and scaled, without decoding them."""
    return int(2 * file_sizes(pairs, max_size, factors).prod(1).sum())


def _fingerprint(pairs: Sequence[Pair], max_size: int | None, min_side: int, factors: Factors | None) -> str:
    """Hash of the files (name, bytes, time of change), the settings and the code that reads them."""
    key = hashlib.sha256(f"{max_size}/{min_side}/{factors and list(factors)}".encode())
    code = (__file__, data.__file__, transforms.__file__, stack_module.__file__, mask_codes.__file__)
    for module in code:
        key.update(Path(module).read_bytes())
    for pair in pairs:
        key.update(repr((pair.code, pair.window, bool(pair.classes))).encode())
        for path in (pair.image_path, pair.mask_path, *pair.more_masks):
            status = path.stat()
            key.update(os.fsencode(f"{path.resolve()}/{status.st_size}/{status.st_mtime_ns}\n"))
    return key.hexdigest()[:16]


def open_cache(
    pairs: Sequence[Pair],
    max_size: int | None = None,
    min_side: int = 1,
    progress: bool = False,
    factors: Factors | None = None,
) -> Cache:
    """Decode pairs into a cache in `data/`, or find the one that is there.

    Args:
        pairs: Pairs; every file is read and checked.
        max_size: Longer sides are shrunk to so many pixels; None keeps them as they are.
        min_side: Smaller images are padded with black to so many pixels.
        progress: Whether to show a bar.
        factors: For each pair factors of height and width that go before `max_size`.

    Returns:
        The cache. It is written beside its place and renamed when it is whole, and written anew when a file
        or the code that reads them has changed; old caches are yours to delete.

    Raises:
        ValueError: If a file is broken, see `data.load_pair`.
        OSError: If the disk is too small.
    """
    folder = data_home() / "data" / f"cache-{_fingerprint(pairs, max_size, min_side, factors)}"
    if folder.is_dir():
        return Cache(folder)
    starts, _ = places_of(file_sizes(pairs, max_size, factors), min_side)
    folder.parent.mkdir(parents=True, exist_ok=True)
    n_bytes, free = 2 * int(starts[-1]), shutil.disk_usage(folder.parent).free
    if n_bytes > 0.95 * free:
        raise OSError(
            f"{folder.parent} must have room for {n_bytes / 1e9:.1f} GB of decoded images, got "
            f"{free / 1e9:.1f} GB free. Free some, or set UNET_HOME to a larger disk."
        )
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".caching-") as scratch:
        whole = Path(scratch) / "cache"
        whole.mkdir()
        rows = _scaled(pairs, max_size, factors, progress)
        _write(rows, len(pairs), min_side, whole)
        if not folder.is_dir():
            os.replace(whole, folder)
    return Cache(folder)


def _scaled(
    pairs: Sequence[Pair], max_size: int | None, factors: Factors | None, progress: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, str]]:
    bar = progress_bar(pairs, desc="decoding pairs", unit="pair", disable=not progress)
    for i, pair in enumerate(bar):
        yield load_scaled(pair, max_size, factors[i] if factors else None)


def _write(rows: Iterator[tuple[np.ndarray, np.ndarray, str]], n: int, min_side: int, folder: Path) -> None:
    greys, sizes, hashes = np.zeros(256, np.int64), np.zeros((n, 2), np.int64), []
    paths = [folder / f"{name}.bin" for name in ("images", "masks")]
    anchors, labels = [], False
    with paths[0].open("wb") as pixels, paths[1].open("wb") as stone_pixels:
        for i, (image, mask, name) in enumerate(rows):
            sizes[i] = image.shape
            hashes.append(name)
            room = [(0, max(0, min_side - side)) for side in image.shape]
            for file, values in ((pixels, image), (stone_pixels, mask)):
                file.write(np.ascontiguousarray(np.pad(values, room) if np.any(room) else values).data)
            greys += np.bincount(image[mask > 0], minlength=256)
            anchors.append(anchors_by_class(i, mask))
            labels = mask.dtype != bool
    (folder / "stones.bin").write_bytes(balanced(anchors).astype(np.int32).tobytes())
    (folder / "mask_kind.txt").write_text("uint8" if labels else "bool", "ascii")
    np.save(folder / "sizes.npy", sizes)
    (folder / "min_side.txt").write_text(str(min_side), "ascii")
    (folder / "hashes.txt").write_text("\n".join(hashes), "ascii")
    (folder / "lookalikes.bin").touch()
    _write_lookalikes(folder, brightness_of_stones(greys))


def _write_lookalikes(folder: Path, brightness: float) -> None:
    cache = Cache(folder)
    with (folder / "lookalikes.bin").open("wb") as file:
        for i, (image, mask) in enumerate(_each(cache)):
            file.write(anchors_of(i, lookalikes_of(image, mask, brightness)).astype(np.int32).tobytes())


def _each(cache: Cache) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for i in range(len(cache.images)):
        yield cache.images[i], cache.masks[i]
        if i % 256 == 255 or cache.images[i].size > 2**24:
            cache.release()
