"""Image-mask pairs: find them, read them, and split them so that no exam lands on both sides."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from unet_helpers.datasets import home, kaggle_dataset, open_dataset, phantom_dataset, unpack

__all__ = [
    "FolderScan",
    "Pair",
    "brightest_channel",
    "find_pairs",
    "home",
    "kaggle_dataset",
    "load_image",
    "load_mask",
    "load_pair",
    "open_dataset",
    "phantom_dataset",
    "scan_folder",
    "split_by_group",
    "unpack",
]

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
IMAGE_FOLDERS, MASK_FOLDERS = ("images", "image"), ("masks", "mask", "labels", "label")
# Philips UID of the Kaggle stems: prefix, then the time of acquisition as seconds (11 digits) and fraction
EXAM_SECONDS = re.compile(r"^1-3-46-670589-33-1-(\d{11})\d*-")
EXAM_GAP_SECONDS = 60


@dataclass(frozen=True)
class Pair:
    """One image, its mask, and the group (exam, patient or source image) that a split must not tear apart."""

    image: Path
    mask: Path
    group: str


@dataclass(frozen=True)
class FolderScan:
    """What `scan_folder` found: the pairs, and by path what has no partner."""

    pairs: list[Pair]
    images_without_mask: list[Path]
    masks_without_image: list[Path]
    n_ungrouped: int


# ---------------------------------------------------------------------------------------------- finding the pairs
def _visible(path: Path) -> bool:
    return not path.name.startswith((".", "__MACOSX"))


def _subfolder(folder: Path, names: tuple[str, ...]) -> Path | None:
    by_name = {child.name.lower(): child for child in folder.iterdir() if child.is_dir()}
    return next((by_name[name] for name in names if name in by_name), None)


def _files_by_stem(folder: Path, files: Iterable[Path]) -> dict[str, Path]:
    by_stem: dict[str, Path] = {}
    for path in sorted(files):
        if path.suffix.lower() not in SUFFIXES or not _visible(path):
            continue
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in by_stem:
            raise ValueError(f"{folder} must hold one file a stem, got {by_stem[stem].name} and {path.name}. Delete one.")
        by_stem[stem] = path
    return by_stem


def _layout(folder: Path) -> tuple[dict[str, Path], dict[str, Path]] | None:
    """Images and masks of one folder by stem, or None if it has neither of the two layouts."""
    images_folder, masks_folder = _subfolder(folder, IMAGE_FOLDERS), _subfolder(folder, MASK_FOLDERS)
    if images_folder and masks_folder:
        images = _files_by_stem(images_folder, images_folder.rglob("*"))
        masks = _files_by_stem(masks_folder, masks_folder.rglob("*"))
        return images, {s.removesuffix("_mask") if s not in images else s: path for s, path in masks.items()}
    files = _files_by_stem(folder, folder.iterdir())
    masks = {stem.removesuffix("_mask"): path for stem, path in files.items() if stem.endswith("_mask")}
    return ({s: path for s, path in files.items() if not s.endswith("_mask")}, masks) if masks else None


def _walk(folder: Path) -> Iterable[tuple[Path, dict[str, Path], dict[str, Path]]]:
    layout = _layout(folder)
    if layout:
        yield folder, *layout
        return
    for child in sorted(folder.iterdir()):
        if child.is_dir() and _visible(child):
            yield from _walk(child)


def _exam_names(stems: Iterable[str]) -> dict[str, str]:
    """Exam of every stem that holds a time stamp: acquisitions at most 60 s apart belong together."""
    seconds = {stem: int(match[1]) for stem in stems if (match := EXAM_SECONDS.match(Path(stem).name))}
    names, first, previous = {}, 0, -EXAM_GAP_SECONDS - 1
    for stem, second in sorted(seconds.items(), key=lambda item: (item[1], item[0])):
        first = second if second - previous > EXAM_GAP_SECONDS else first
        names[stem], previous = f"exam-{first}", second
    return names


def _read_groups_csv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        text = file.read()
    rows = list(csv.DictReader(text.splitlines(), delimiter=";" if ";" in text.partition("\n")[0] else ","))
    if not rows or not {"stem", "group"} <= set(rows[0]):
        raise ValueError(f"{path} must have the columns stem,group, got {text.partition(chr(10))[0].strip()!r}.")
    return {row["stem"].strip(): row["group"].strip() for row in rows if row["stem"] and row["group"]}


def _groups(folder: Path, stems: list[str]) -> dict[str, str]:
    """Group of each stem: exam by time stamp, else Roboflow source, joined with groups.csv; absent if unknown.

    A row of groups.csv can only join what the names already hold together, never tear it apart.
    """
    named = _exam_names(stems)
    for stem in stems:
        if stem not in named and ".rf." in stem:
            named[stem] = stem.split(".rf.")[0]
    listed = _read_groups_csv(folder / "groups.csv")
    parent: dict[str, str] = {}

    def root(label: str) -> str:
        while label in parent:
            label = parent[label]
        return label

    groups = {}
    for stem in stems:
        row = listed.get(stem, listed.get(Path(stem).name))
        labels = [label for label in (row, named.get(stem)) if label]
        if len(labels) == 2 and root(labels[1]) != root(labels[0]):
            parent[root(labels[1])] = root(labels[0])
        if labels:
            groups[stem] = labels[0]
    return {stem: root(label) for stem, label in groups.items()}


def scan_folder(root: str | os.PathLike[str]) -> FolderScan:
    """Find the pairs of a data set and everything that has no partner, without opening an image.

    Two layouts are recognised, at any depth below `root`: flat (`<stem>.jpg` beside `<stem>_mask.png`), and
    `images/` + `masks/` (or `image/` + `label/`) with the same stems. Other files are ignored. A `groups.csv`
    (columns `stem,group`) beside them names the patient or exam of each image.

    Args:
        root: Folder, or a zip of one.

    Returns:
        The pairs in order of their paths, the leftovers, and the number of pairs that are their own group.

    Raises:
        FileNotFoundError: If `root` does not exist.
        ValueError: If no pair is found, a stem occurs twice or groups.csv has other columns.
    """
    root = Path(root).expanduser()
    if not root.exists():
        raise FileNotFoundError(f"data folder must exist, got {root}. Check the spelling and the working directory.")
    folder_root = root if root.is_dir() else unpack(root)
    pairs, no_mask, no_image, n_ungrouped = [], [], [], 0
    for folder, images, masks in _walk(folder_root):
        groups = _groups(folder, sorted(images))
        no_mask += [path for stem, path in images.items() if stem not in masks]
        no_image += [path for stem, path in masks.items() if stem not in images]
        paired = sorted(images.keys() & masks.keys())
        n_ungrouped += sum(stem not in groups for stem in paired)
        pairs += [Pair(images[stem], masks[stem], groups.get(stem, stem)) for stem in paired]
    if not pairs:
        raise ValueError(f"{root} must hold image-mask pairs, got none. Name them <stem>.jpg and <stem>_mask.png in one "
                         "folder, or put the same stems into images/ and masks/.")
    return FolderScan(pairs, no_mask, no_image, n_ungrouped)


def _some(paths: list[Path], n_shown: int = 20) -> str:
    names = ", ".join(path.name for path in paths[:n_shown])
    return names + (f" and {len(paths) - n_shown} more" if len(paths) > n_shown else "")


def find_pairs(root: str | os.PathLike[str]) -> list[Pair]:
    """Find the image-mask pairs of a folder or zip; see `scan_folder` for layouts and errors.

    Warns (UserWarning), with names and counts, of images without a mask, of masks without an image, and of
    images whose exam or patient is unknown.

    Returns:
        Pairs in order of their paths.
    """
    scan = scan_folder(root)
    for paths, what in ((scan.images_without_mask, "images without a mask"),
                        (scan.masks_without_image, "masks without an image")):
        if paths:
            warnings.warn(f"{len(paths)} {what} are left out: {_some(paths)}. "
                          "`python -m unet_helpers check` lists them all.", stacklevel=2)
    if scan.n_ungrouped:
        warnings.warn(f"{scan.n_ungrouped} of {len(scan.pairs)} images name no exam or source, so each is its own group and "
                      "leakage between training and test cannot be excluded. Add a groups.csv with the columns "
                      "stem,group.", stacklevel=2)
    return scan.pairs


def split_by_group(pairs: list[Pair], seed: int = 0) -> dict[str, list[Pair]]:
    """Split pairs 80 / 20 into training and test by group, and keep 1/8 of the training groups for validation.

    Groups are ordered by a hash of seed and name, so the split depends neither on the order of the files nor
    on the version of a random number generator.

    Args:
        pairs: Pairs of at least 3 groups.
        seed: Another seed gives another split.

    Returns:
        Dict with the keys "train", "val" and "test"; no group is in two of them.

    Raises:
        ValueError: If there are fewer than 3 groups.
    """
    groups = sorted({pair.group for pair in pairs}, key=lambda g: hashlib.sha256(f"{seed}/{g}".encode()).digest())
    if len(groups) < 3:
        raise ValueError(f"pairs must come from at least 3 groups (exams or patients), got {len(groups)}.")
    n_test = max(1, round(len(groups) / 5))
    n_val = max(1, round((len(groups) - n_test) / 8))
    part = {g: "test" if i < n_test else "val" if i < n_test + n_val else "train" for i, g in enumerate(groups)}
    return {name: [p for p in pairs if part[p.group] == name] for name in ("train", "val", "test")}


# ------------------------------------------------------------------------------------------------ reading one file
def _read(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            if getattr(picture, "n_frames", 1) > 1:
                raise ValueError(f"{path} must hold one slice, got {picture.n_frames} pages. Save every slice as a file.")
            picture.load()
            return picture
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} must be a readable image, got: {error}. Copy or download the file again.") from error


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
        raise ValueError(f"{path} must have 8 bits a pixel, got {picture.mode} with values {values.min()} to {values.max()}. "
                         "Apply a CT window first: phantom.window(image_hu, level=40, width=400).")
    return np.array(picture.convert("L"))


def brightest_channel(path: Path) -> np.ndarray:
    """Values of a mask file before they are binarised: array (H, W), the largest of red, green and blue."""
    picture = _read(path)
    if picture.mode in ("1", "L") or picture.mode.startswith(("I", "F")):
        return np.asarray(picture.convert("L") if picture.mode == "1" else picture)
    return np.asarray(picture.convert("RGB")).max(-1)


def load_mask(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a mask and binarise it: a pixel is stone where its brightest channel is above 127.

    Returns:
        Bool array (H, W).

    Raises:
        ValueError: If the file cannot be read.
    """
    return brightest_channel(Path(path)) > 127


def load_pair(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Read an image and its mask.

    Returns:
        Uint8 array (H, W) and bool array (H, W).

    Raises:
        ValueError: If a file cannot be read or the sizes differ.
    """
    image, mask = load_image(pair.image), load_mask(pair.mask)
    if image.shape != mask.shape:
        raise ValueError(f"{pair.mask} must have the size of its image {pair.image.name}, {image.shape}, got {mask.shape}. "
                         "Export the mask again at the image's size.")
    return image, mask
