"""What a conversion is made of: a plan of items, each of which gives slices with their masks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["Item", "Options", "Plan", "Slice", "base_name", "is_mask_name", "pair_up", "visible_files"]

AXES = ("axial", "coronal", "sagittal")
MASK_WORDS = set(
    "mask masks seg segs segmentation segmentations label labels labelmap gt groundtruth truth annotation "
    "annotations roi rois labelstr labelsts segmentationclass".split()
)
IMAGE_WORDS = set(
    "image images img imgs imaging ct scan scans volume volumes vol imagestr imagests dicom "
    "jpegimages".split()
)
NNUNET_CHANNEL = re.compile(r"_0000$")  # nnU-Net numbers the channels of its images, and not those of labels
Key = tuple[str, ...]


@dataclass(frozen=True)
class Options:
    """What the user chose.

    Attributes:
        window: Level and width in the files' units (HU for CT); None reads 8-bit images alone.
        axis: Which way a volume is cut: "axial", "coronal" or "sagittal".
        classes: Names (or numbers, of labels) that count as foreground; empty: all of them.
    """

    window: tuple[float, float] | None = None
    axis: str = "axial"
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Slice:
    """One image to be written.

    Attributes:
        name: Path in the new folder, without suffix.
        image: Uint8 (H, W).
        mask: Bool (H, W), or None if nobody has drawn one.
        group: Patient or volume, or None if it is unknown.
        spacing_mm: Height and width of a pixel, or None if they are unknown.
    """

    name: str
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None = None
    group: str | None = None
    spacing_mm: tuple[float, float] | None = None


@dataclass(frozen=True)
class Item:
    """What is read as one: an image or a volume, with its masks. `read` raises ValueError if it is broken."""

    name: str
    read: Callable[[], Iterator[Slice]]


@dataclass
class Plan:
    """All that a source holds: what will be written, what is left out and why, what is worth saying."""

    items: list[Item] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def visible_files(source: Path) -> list[Path]:
    """The files of a folder and of all below it, in order, or the one file; no hidden ones."""
    if source.is_file():
        return [source]
    found = [path for path in source.rglob("*") if path.is_file()]
    hidden = (".", "__MACOSX")
    return sorted(p for p in found if not any(q.startswith(hidden) for q in p.relative_to(source).parts))


def base_name(path: Path) -> str:
    """The name of a file without its suffix, .nii.gz being one."""
    name = path.name.removesuffix(".gz") if path.name.lower().endswith(".nii.gz") else path.name
    return Path(name).stem if re.search(r"\.[A-Za-z]\w{0,4}$", name) else name  # not the .123 of a UID


def is_mask_name(path: Path, root: Path) -> bool:
    """Whether a file's name, or that of a folder below `root` that it lies in, says that it is a mask."""
    return _key(path, root)[1]


def pair_up(files: Iterable[Path], root: Path) -> tuple[list[tuple[Path, Path | None]], list[str]]:
    """Masks of images, by names alone: `a.nii` and `a_seg.nii`, `images/a.nii` and `labels/a.nii`.

    Args:
        files: Images and masks, below `root`.
        root: Folder of the data set, or one file.

    Returns:
        Each image with its mask, or None; and what is left out, a sentence each.
    """
    images: dict[Key, list[Path]] = {}
    masks: dict[Key, list[Path]] = {}
    for path in files:
        key, is_mask = _key(path, root)
        (masks if is_mask else images).setdefault(key, []).append(path)
    pairs: list[tuple[Path, Path | None]] = []
    left_out = [f"{path}: a mask without an image" for k in masks.keys() - images.keys() for path in masks[k]]
    for key, paths in images.items():
        drawn = masks.get(key, [])
        if drawn and (len(paths) > 1 or len(drawn) > 1):
            names = ", ".join(path.name for path in paths + drawn)
            left_out.append(f"{paths[0]}: one image and one mask must go by this name, got {names}")
        else:
            pairs += [(path, drawn[0] if drawn else None) for path in paths]
    return pairs, sorted(left_out)


def _key(path: Path, root: Path) -> tuple[Key, bool]:
    """What an image and its mask have in common, and whether this is the mask."""
    inside = path.relative_to(root) if path != root else Path(path.name)
    words = [_words(part) for part in (*inside.parts[:-1], NNUNET_CHANNEL.sub("", base_name(path)))]
    is_mask = any(word in MASK_WORDS for part in words for word in part)
    kept = ("_".join(w for w in part if w not in MASK_WORDS | IMAGE_WORDS) for part in words)
    return tuple(part for part in kept if part), is_mask


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[_\-. ]+", text.lower()) if word]
