"""Image-mask pairs: find them, read them, and split them so that no exam lands on both sides."""

from __future__ import annotations

import csv
import hashlib
import math
import os
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from unet_helpers.datasets import home, kaggle_dataset, open_dataset, phantom_dataset, unpack
from unet_helpers.groups import join_groups, read_groups_csv

__all__ = [
    "FolderScan",
    "KnownStone",
    "Pair",
    "brightest_channel",
    "find_pairs",
    "home",
    "image_hash",
    "kaggle_dataset",
    "known_stones",
    "load_image",
    "load_mask",
    "load_pair",
    "open_dataset",
    "phantom_dataset",
    "scan_folder",
    "spacings",
    "split_by_group",
    "unpack",
]

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
IMAGE_FOLDERS, MASK_FOLDERS = ("images", "image"), ("masks", "mask", "labels", "label")


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


# ------------------------------------------------------------------------------ finding the pairs
@dataclass(frozen=True)
class _Layout:
    """Images and masks of one folder by stem."""

    folder: Path
    images: dict[str, Path]
    masks: dict[str, Path]


def _visible(path: Path) -> bool:
    return not any(part.startswith((".", "__MACOSX")) for part in path.parts)


def _subfolder(folder: Path, names: tuple[str, ...]) -> Path | None:
    by_name = {child.name.lower(): child for child in folder.iterdir() if child.is_dir()}
    return next((by_name[name] for name in names if name in by_name), None)


def _keep(by_stem: dict[str, Path], stem: str, path: Path) -> None:
    if stem in by_stem:
        raise ValueError(f"{path.parent} must hold one file a stem, got {by_stem[stem].name} and "
                         f"{path.name}. Delete one.")
    by_stem[stem] = path


def _files_by_stem(folder: Path, files: Iterable[Path]) -> dict[str, Path]:
    by_stem: dict[str, Path] = {}
    for path in sorted(files):
        inside = path.relative_to(folder)
        if path.suffix.lower() in SUFFIXES and _visible(inside) and path.is_file():
            # macOS spells accents in two characters where other systems use one
            _keep(by_stem, unicodedata.normalize("NFC", inside.with_suffix("").as_posix()), path)
    return by_stem


def _two_folders(folder: Path, images_folder: Path, masks_folder: Path) -> _Layout:
    images = _files_by_stem(images_folder, images_folder.rglob("*"))
    masks: dict[str, Path] = {}
    for stem, path in _files_by_stem(masks_folder, masks_folder.rglob("*")).items():
        _keep(masks, stem if stem in images else stem.removesuffix("_mask"), path)
    return _Layout(folder, images, masks)


def _flat(folder: Path) -> _Layout:
    files = _files_by_stem(folder, folder.iterdir())
    masks = {stem.removesuffix("_mask"): path for stem, path in files.items() if stem.endswith("_mask")}
    return _Layout(folder, {stem: path for stem, path in files.items() if not stem.endswith("_mask")}, masks)


def _walk(folder: Path) -> Iterator[_Layout]:
    """Layouts of a folder and of everything below it."""
    two = (_subfolder(folder, IMAGE_FOLDERS), _subfolder(folder, MASK_FOLDERS))
    layout = _two_folders(folder, *two) if all(two) else _flat(folder)
    if layout.masks:
        yield layout
    for child in sorted(folder.iterdir()):
        if child.is_dir() and _visible(Path(child.name)) and not (all(two) and child in two):
            yield from _walk(child)


def _rows_for(layout: _Layout, root: Path) -> dict[str, str]:
    """Group of each image of one layout, from the groups.csv beside it and those above, up to `root`."""
    folders = [place for place in (layout.folder, *layout.folder.parents) if place.is_relative_to(root)]
    rows: dict[str, str] = {}
    for folder in reversed(folders):
        rows |= read_groups_csv(folder / "groups.csv")
    names = {stem: (stem, path.stem, path.name) for stem, path in layout.images.items()}
    return {stem: rows[name] for stem, spellings in names.items() for name in spellings[::-1] if name in rows}


def scan_folder(root: str | os.PathLike[str]) -> FolderScan:
    """Find the pairs of a data set and everything that has no partner, without opening an image.

    Two layouts are recognised, in `root` and at any depth below it: flat (`<stem>.jpg` beside
    `<stem>_mask.png`), and `images/` + `masks/` (or `image/` + `label/`) with the same stems. Other files are
    ignored. A `groups.csv` (columns `stem,group`) beside them or in `root` names the patient or exam of each
    image.

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
        raise FileNotFoundError(f"data folder must exist, got {root}. Check the spelling and the working "
                                "folder.")
    folder = root if root.is_dir() else unpack(root)
    layouts = list(_walk(folder))
    if not any(layout.images.keys() & layout.masks.keys() for layout in layouts):
        raise ValueError(f"{root} must hold image-mask pairs, got none. Name them <stem>.jpg and "
                         "<stem>_mask.png in one folder, or put the same stems into images/ and masks/.")
    return _pair_up(layouts, folder)


def _pair_up(layouts: list[_Layout], root: Path) -> FolderScan:
    # names start at the folder that all layouts share, so that a wrapping folder changes no group
    base = Path(os.path.commonpath([layout.folder for layout in layouts]))
    names = {path: (layout.folder.relative_to(base) / stem).as_posix()
             for layout in layouts for stem, path in layout.images.items()}
    listed = {names[layout.images[stem]]: group
              for layout in layouts for stem, group in _rows_for(layout, root).items()}
    groups = join_groups(names.values(), listed)
    pairs = [Pair(path, layout.masks[stem], groups.get(names[path], names[path]))
             for layout in layouts for stem, path in layout.images.items() if stem in layout.masks]
    return FolderScan(
        pairs=sorted(pairs, key=lambda pair: pair.image),
        images_without_mask=[p for one in layouts for s, p in one.images.items() if s not in one.masks],
        masks_without_image=[p for one in layouts for s, p in one.masks.items() if s not in one.images],
        n_ungrouped=sum(names[pair.image] not in groups for pair in pairs),
    )


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
        warnings.warn(f"{scan.n_ungrouped} of {len(scan.pairs)} images name no exam or source, so each is "
                      "its own group and leakage between training and test cannot be excluded. Add a "
                      "groups.csv with the columns stem,group.", stacklevel=2)
    return scan.pairs


def split_by_group(pairs: list[Pair], seed: int = 0) -> dict[str, list[Pair]]:
    """Split pairs 80 / 20 into training and test by group, and keep 1/8 of the training for validation.

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
    groups = {pair.group for pair in pairs}
    groups = sorted(groups, key=lambda group: hashlib.sha256(f"{seed}/{group}".encode()).digest())
    if len(groups) < 3:
        raise ValueError(f"pairs must come from at least 3 groups (exams or patients), got {len(groups)}.")
    n_test = max(1, round(len(groups) / 5))
    n_val = max(1, round((len(groups) - n_test) / 8))
    test, val, train = groups[:n_test], groups[n_test:n_test + n_val], groups[n_test + n_val:]
    parts = {"train": train, "val": val, "test": test}
    return {name: [pair for pair in pairs if pair.group in part] for name, part in parts.items()}


# ------------------------------------------------------------------------------ what tables beside them say
@dataclass(frozen=True)
class KnownStone:
    """A stone that a slice shows: its name, its place there in pixels, its longest extent in the body."""

    stone: str
    row: float
    column: float
    diameter_mm: float


def spacings(pairs: list[Pair]) -> list[tuple[float, float]] | None:
    """Pixel size of each image file in millimetres, as far as the data set knows it.

    It is read from a `slices.csv` (columns `stem` and `spacing_mm`) beside the images or in the folder above.
    Plain PNG and JPEG files do not know their pixel size. Of an image that is shrunk to half its size, the
    pixels are twice as large.

    Returns:
        Height and width of a pixel of each image, in the order of `pairs`; None if it is unknown for any.

    Raises:
        ValueError: If a spacing is no positive number.
    """
    rows = [(path, row) for path, rows in _rows_beside(pairs, "slices.csv") for row in rows[-1:] or [{}]]
    if not all(row.get("spacing_mm") for _, row in rows):
        return None
    return [(_number(path, row, "spacing_mm"),) * 2 for path, row in rows]


def known_stones(pairs: list[Pair]) -> list[list[KnownStone]] | None:
    """The stones that each image shows, as far as the data set knows which sections are of one stone.

    They are read from a `stones.csv` beside the images or in the folder above, a row a stone and slice:
    `stem`, `stone` (a name that is unique in the data set), `row` and `column` (in pixels of the file) and
    `diameter_mm` (longest extent in the body). Other columns are ignored, and so is a table without `stone`.

    Returns:
        A list an image, in the order of `pairs`, empty for images that the table does not name; None if there
        is no such table.

    Raises:
        ValueError: If a place or a diameter is no number.
    """
    tables = _rows_beside(pairs, "stones.csv")
    if not any(row.get("stone") for _, rows in tables for row in rows):
        return None
    return [[KnownStone(row["stone"], _number(path, row, "row", False), _number(path, row, "column", False),
                        _number(path, row, "diameter_mm")) for row in rows if row.get("stone")]
            for path, rows in tables]


def _rows_beside(pairs: list[Pair], name: str) -> list[tuple[Path, list[dict[str, str]]]]:
    """For each image the table of that name beside it, or else in the folder above, and its rows there."""
    folders = {folder for pair in pairs for folder in (pair.image.parent, pair.image.parent.parent)}
    known = {folder: _rows_by_stem(folder / name) for folder in folders}
    places = [folder if known[folder] else folder.parent for folder in (pair.image.parent for pair in pairs)]
    return [(place / name, known[place].get(pair.image.stem, []))
            for place, pair in zip(places, pairs, strict=True)]


def _rows_by_stem(path: Path) -> dict[str, list[dict[str, str]]]:
    if not path.is_file():
        return {}
    rows: dict[str, list[dict[str, str]]] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row.get("stem") or "", []).append(row)
    return rows


def _number(path: Path, row: dict[str, str], column: str, positive: bool = True) -> float:
    text = row.get(column)
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (positive and value <= 0):
        raise ValueError(f"{path} must hold {'positive ' if positive else ''}numbers in the column {column}, "
                         f"got {text!r} for {row['stem']}.")
    return value


# ------------------------------------------------------------------------------ reading one file
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
        raise ValueError(f"{path} must have 8 bits a pixel, got {picture.mode} with values {values.min()} to "
                         f"{values.max()}. Apply a CT window first: phantom.window(image_hu, level=40, "
                         "width=400).")
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
    image, mask = load_image(pair.image), load_mask(pair.mask)
    if image.shape != mask.shape:
        raise ValueError(f"{pair.mask} must have the size of its image {pair.image.name}, {image.shape}, got "
                         f"{mask.shape}. Export the mask again at the image's size.")
    return image, mask
