"""Data sets larger than the memory: decoded once into files of plain bytes, and read from there in place.

A cache folder holds `images.npy` and `masks.npy` (N, H, W), padded with black to the largest image,
`sizes.npy`, the hashes of the images, and the places that patches are cut around. The operating system reads
the bytes that are asked for and forgets them when it needs the memory, so training takes the same memory for
any number of slices.
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
from PIL import Image

from unet_helpers import data, transforms
from unet_helpers.data import MAX_SIZE, Pair, home, load_hashed, load_shrunk
from unet_helpers.engine.progress import progress_bar
from unet_helpers.engine.stack import Stack, anchors_of, brightness_of_stones, lookalikes_of
from unet_helpers.folders import mask_codes
from unet_helpers.transforms import PatchSampler, shrink_size

__all__ = ["CACHE_ABOVE_BYTES", "Cache", "InMemory", "decoded_bytes", "open_cache", "open_images"]

CACHE_ABOVE_BYTES = 2 * 2**30  # images and masks together; smaller sets are simply kept in memory


@dataclass(frozen=True)
class InMemory:
    """Images (uint8), masks (bool) and hashes of pairs, as `Cache` has them for data above the memory."""

    images: list[np.ndarray]
    masks: list[np.ndarray]
    hashes: list[str]

    def sampler(self, *settings: Any) -> PatchSampler:
        """A sampler; the settings are those of `Cache.sampler`."""
        return PatchSampler(self.images, self.masks, *settings)


def open_images(pairs: Sequence[Pair], min_side: int = 1, progress: bool = False) -> InMemory | Cache:
    """Read pairs into memory, or through a cache on disk if they take more than `CACHE_ABOVE_BYTES`.

    Args:
        pairs: Pairs; the longer side of an image is shrunk to `MAX_SIZE`.
        min_side: As for `open_cache`, like `progress` and the errors.
        progress: Whether a cache that has to be written shows a bar.
    """
    if decoded_bytes(pairs) > CACHE_ABOVE_BYTES:
        return open_cache(pairs, min_side=min_side, progress=progress)
    return InMemory(*load_hashed(pairs))


class _Views(Sequence[np.ndarray]):
    """The arrays (H, W) of a padded stack, each at its own size, without copying them."""

    def __init__(self, stack: np.ndarray, sizes: np.ndarray) -> None:
        self._stack, self._sizes = stack, sizes

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, i: int) -> np.ndarray:  # type: ignore[override]  # by number only
        height, width = self._sizes[i]
        return self._stack[i, :height, :width]


class Cache:
    """A written cache.

    Args:
        folder: What `open_cache` returned.

    Attributes:
        images: Uint8 arrays (H, W), read when they are asked for.
        masks: Bool arrays (H, W).
        hashes: `data.image_hash` of each file.
    """

    def __init__(self, folder: Path) -> None:
        # "c": changes would stay in memory; PyTorch warns of arrays that cannot be written at all
        self._stacks = [np.load(folder / f"{name}.npy", mmap_mode="c") for name in ("images", "masks")]
        self._sizes = np.load(folder / "sizes.npy")
        self.hashes = (folder / "hashes.txt").read_text("ascii").split()
        self._anchors = {name: _read_anchors(folder / f"{name}.bin") for name in ("stones", "lookalikes")}
        self.images, self.masks = (_Views(stack, self._sizes) for stack in self._stacks)

    def sampler(
        self,
        patch_size: int,
        stone_fraction: float,
        lookalike_fraction: float,
        device: torch.device | str = "cpu",
    ) -> PatchSampler:
        """A sampler as `PatchSampler` makes it from lists, that cuts from the files and sends to `device`."""
        images, masks = (torch.from_numpy(stack) for stack in self._stacks)
        anchors = self._anchors["stones"], self._anchors["lookalikes"]
        stack = Stack(images, masks, torch.from_numpy(self._sizes), *anchors)
        shares = stone_fraction, lookalike_fraction
        sampler = PatchSampler(self.images, self.masks, patch_size, *shares, device, stack)
        sampler.after_draws = self.release
        return sampler

    def release(self) -> None:
        """Tell the operating system that the pages read so far may go; they stay in its file cache."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for stack in self._stacks:
                stack._mmap.madvise(mmap.MADV_DONTNEED)


def _read_anchors(path: Path) -> torch.Tensor:
    n = path.stat().st_size // 12
    shape = (n, 3)
    return torch.from_numpy(np.memmap(path, np.int32, "c", shape=shape) if n else np.empty(shape, np.int32))


def _sizes(pairs: Sequence[Pair], max_size: int) -> np.ndarray:
    """Heights and widths (N, 2) after shrinking, from the headers of the files."""
    sizes = np.zeros((len(pairs), 2), np.int64)
    for i, pair in enumerate(pairs):
        try:
            with Image.open(pair.image_path) as picture:
                sizes[i] = shrink_size(picture.size[::-1], max_size)
        except Exception:  # whoever reads the pixels will say what is wrong with it
            sizes[i] = 0
    return sizes


def decoded_bytes(pairs: Sequence[Pair], max_size: int = MAX_SIZE) -> int:
    """Memory that the images and masks take once they are decoded and shrunk, without decoding them."""
    return int(2 * _sizes(pairs, max_size).prod(1).sum())


def _fingerprint(pairs: Sequence[Pair], max_size: int, min_side: int) -> str:
    """Hash of the files (name, bytes, time of change), the settings and the code that reads them."""
    key = hashlib.sha256(f"{max_size}/{min_side}".encode())
    for module in (__file__, data.__file__, transforms.__file__, mask_codes.__file__):
        key.update(Path(module).read_bytes())
    for pair in pairs:
        key.update(repr((pair.code, pair.window)).encode())
        for path in (pair.image_path, pair.mask_path, *pair.more_masks):
            status = path.stat()
            key.update(f"{path.resolve()}/{status.st_size}/{status.st_mtime_ns}\n".encode())
    return key.hexdigest()[:16]


def open_cache(
    pairs: Sequence[Pair], max_size: int = MAX_SIZE, min_side: int = 1, progress: bool = False
) -> Cache:
    """Decode pairs into a cache in `data/`, or find the one that is there.

    Args:
        pairs: Pairs; every file is read and checked.
        max_size: Longer sides are shrunk to so many pixels.
        min_side: Smaller images are padded with black to so many pixels.
        progress: Whether to show a bar.

    Returns:
        The cache. It is written beside its place and renamed when it is whole, and written anew when a file
        or the code that reads them has changed; old caches are yours to delete.

    Raises:
        ValueError: If a file is broken, see `data.load_pair`.
        OSError: If the disk is too small.
    """
    folder = home() / "data" / f"cache-{_fingerprint(pairs, max_size, min_side)}"
    if folder.is_dir():
        return Cache(folder)
    sizes = _sizes(pairs, max_size)
    shape = (len(pairs), *np.maximum(sizes.max(0), min_side).tolist())
    folder.parent.mkdir(parents=True, exist_ok=True)
    n_bytes, free = 2 * int(np.prod(shape)), shutil.disk_usage(folder.parent).free
    if n_bytes > 0.95 * free:
        raise OSError(
            f"{folder.parent} must have room for {n_bytes / 1e9:.1f} GB of decoded images, got "
            f"{free / 1e9:.1f} GB free. Free some, or set UNET_HOME to a larger disk."
        )
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".caching-") as scratch:
        whole = Path(scratch) / "cache"
        whole.mkdir()
        _write(pairs, whole, shape, max_size, progress)
        if not folder.is_dir():
            os.replace(whole, folder)
    return Cache(folder)


def _write(
    pairs: Sequence[Pair], folder: Path, shape: tuple[int, ...], max_size: int, progress: bool
) -> None:
    greys, sizes, hashes = np.zeros(256, np.int64), np.zeros((len(pairs), 2), np.int64), []
    stacks = [(folder / f"{name}.npy").open("wb") for name in ("images", "masks")]
    bar = progress_bar(pairs, desc="decoding pairs", unit="pair", disable=not progress)
    with stacks[0], stacks[1], (folder / "stones.bin").open("wb") as stones:
        for file, kind in zip(stacks, ("|u1", "|b1"), strict=True):
            about = {"descr": kind, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, about)
        for i, pair in enumerate(bar):
            image, mask, name = load_shrunk(pair, max_size)
            sizes[i] = image.shape
            hashes.append(name)
            room = [(0, most - side) for most, side in zip(shape[1:], image.shape, strict=True)]
            for file, values in zip(stacks, (image, mask), strict=True):
                file.write(np.pad(values, room).tobytes())
            greys += np.bincount(image[mask], minlength=256)
            stones.write(anchors_of(i, mask).astype(np.int32).tobytes())
    np.save(folder / "sizes.npy", sizes)
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
        if i % 256 == 255:
            cache.release()
