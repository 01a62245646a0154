"""Find the image-mask pairs of a folder, the group of each image, and everything that has no partner."""

from __future__ import annotations

import os
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from unet_helpers.folders.groups import (
    GroupRows,
    folder_names,
    join_groups,
    match_rows,
    named_groups,
    read_groups_csv,
    spellings,
)
from unet_helpers.folders.sources import unpack
from unet_helpers.pairs import Pair

__all__ = ["GROUP_BY", "SUFFIXES", "FolderScan", "find_pairs", "scan_folder"]

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
IMAGE_FOLDERS, MASK_FOLDERS = ("images", "image"), ("masks", "mask", "labels", "label")
GROUP_BY = ("folder", "name")


@dataclass(frozen=True)
class FolderScan:
    """What `scan_folder` found.

    Attributes:
        pairs: The pairs in order of their paths.
        images_without_mask: What has no partner.
        masks_without_image: What has no partner.
        n_ungrouped: Pairs of which no exam, source or patient is known: each is its own group.
        n_grouped_by_folder: Pairs whose group is the folder that they lie in.
        group_rows: What the rows of groups.csv say.
    """

    pairs: list[Pair]
    images_without_mask: list[Path]
    masks_without_image: list[Path]
    n_ungrouped: int
    n_grouped_by_folder: int
    group_rows: GroupRows


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
        raise ValueError(
            f"{path.parent} must hold one file a stem, got {by_stem[stem].name} and {path.name}. Delete one."
        )
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


def _rows(layouts: list[_Layout], names: dict[Path, str], root: Path) -> GroupRows:
    """What every groups.csv says, in the folders of the images and in those above, up to `root`."""
    images: dict[Path, dict[str, dict[str, int]]] = {}
    places = {path.parent for layout in layouts for path in layout.images.values()}
    tables = {
        folder: read_groups_csv(folder / "groups.csv")
        for folder in {above for place in places for above in (place, *place.parents)}
        if folder.is_relative_to(root)
    }
    for layout in layouts:
        for stem, path in layout.images.items():
            short = layout.folder / (stem + path.suffix)  # without a folder "images"
            for folder in path.parents:
                if tables.get(folder):
                    seen = {
                        one.relative_to(folder).as_posix()
                        for one in (path, short)
                        if one.is_relative_to(folder)
                    } | ({stem + path.suffix} if "/" in stem else set())
                    images.setdefault(folder, {})[names[path]] = spellings(seen)
    return match_rows((tables[folder], images[folder]) for folder in sorted(images))


def scan_folder(root: str | os.PathLike[str], group_by: str | None = None) -> FolderScan:
    """Find the pairs of a data set and everything that has no partner, without opening an image.

    Two layouts are recognised, in `root` and at any depth below it: flat (`<stem>.jpg` beside
    `<stem>_mask.png`), and `images/` + `masks/` (or `image/` + `label/`) with the same stems. Other files are
    ignored. A `groups.csv` (columns `stem,group`) beside the images or above names the patient or exam of
    each; a row may name a stem, a path seen from the folder of groups.csv, or a folder (`p1/`). Where neither
    it nor the name tells, and the same stems repeat from folder to folder (`p1/001.png`, `p2/001.png`), the
    folder is the group.

    Args:
        root: Folder, or a zip of one.
        group_by: "folder": all images of a folder are one group, whatever they are called; "name": never
            group by folder; None: only where stems repeat.

    Returns:
        The pairs in order of their paths, the leftovers, and how the groups are known.

    Raises:
        FileNotFoundError: If `root` does not exist.
        ValueError: If no pair is found, a stem occurs twice, groups.csv has other columns, or there is no
            folder to group by.
    """
    root = Path(root).expanduser()
    if group_by not in (None, *GROUP_BY):
        raise ValueError(f"group_by must be one of {', '.join(GROUP_BY)} or None, got {group_by!r}.")
    if not root.exists():
        raise FileNotFoundError(
            f"data folder must exist, got {root}. Check the spelling and the working folder."
        )
    folder = root if root.is_dir() else unpack(root)
    layouts = list(_walk(folder))
    if not any(layout.images.keys() & layout.masks.keys() for layout in layouts):
        raise ValueError(
            f"{root} must hold image-mask pairs, got none. Name them <stem>.jpg and "
            "<stem>_mask.png in one folder, or put the same stems into images/ and masks/."
        )
    return _pair_up(layouts, folder, group_by)


def _pair_up(layouts: list[_Layout], root: Path, group_by: str | None) -> FolderScan:
    # names start at the folder that all layouts share, so that a wrapping folder changes no group
    base = Path(os.path.commonpath([layout.folder for layout in layouts]))
    names = {
        path: (layout.folder.relative_to(base) / stem).as_posix()
        for layout in layouts
        for stem, path in layout.images.items()
    }
    rows = _rows(layouts, names, root)
    named = named_groups(names.values())
    folders = _folders(set(names.values()), rows.groups.keys() | named.keys(), group_by, base)
    groups = join_groups(names.values(), rows.groups, folders, named)
    pairs = [
        Pair(path, layout.masks[stem], groups.get(names[path], names[path]))
        for layout in layouts
        for stem, path in layout.images.items()
        if stem in layout.masks
    ]
    return FolderScan(
        pairs=sorted(pairs, key=lambda pair: pair.image_path),
        images_without_mask=[p for one in layouts for s, p in one.images.items() if s not in one.masks],
        masks_without_image=[p for one in layouts for s, p in one.masks.items() if s not in one.images],
        n_ungrouped=sum(names[pair.image_path] not in groups for pair in pairs),
        n_grouped_by_folder=sum(names[pair.image_path] in folders for pair in pairs),
        group_rows=rows,
    )


def _folders(names: set[str], known: set[str], group_by: str | None, base: Path) -> dict[str, str]:
    """Folder of each image that is grouped by it."""
    if group_by == "name":
        return {}
    folders = folder_names(names if group_by else names - known, always=group_by == "folder")
    if group_by and not folders:
        raise ValueError(f"{base} must hold a folder for each patient to be grouped by folder, got none.")
    return folders


def _some(names: list[str], n_shown: int = 20) -> str:
    return ", ".join(names[:n_shown]) + (f" and {len(names) - n_shown} more" if len(names) > n_shown else "")


def find_pairs(root: str | os.PathLike[str], group_by: str | None = None) -> list[Pair]:
    """Find the image-mask pairs of a folder or zip; see `scan_folder` for layouts, groups and errors.

    Warns (UserWarning), with names and counts, of images without a mask, of masks without an image, of rows
    of groups.csv that do not fit, and of images whose exam or patient is unknown.

    Returns:
        Pairs in order of their paths.
    """
    scan = scan_folder(root, group_by)
    for paths, what in (
        (scan.images_without_mask, "images without a mask"),
        (scan.masks_without_image, "masks without an image"),
    ):
        if paths:
            warnings.warn(
                f"{len(paths)} {what} are left out: {_some([path.name for path in paths])}. "
                "`python -m unet_helpers check` lists them all.",
                stacklevel=2,
            )
    rows = scan.group_rows
    for texts, what in (
        (rows.without_image, "rows that match no image"),
        (rows.in_two_groups, "images in two groups, which are joined"),
        (rows.in_other_case, "rows that match only in another case, and count"),
    ):
        if texts:
            warnings.warn(f"groups.csv has {len(texts)} {what}: {_some(texts, 3)}.", stacklevel=2)
    if scan.n_ungrouped:
        warnings.warn(
            f"{scan.n_ungrouped} of {len(scan.pairs)} images name no exam or source, so each is "
            "its own group and leakage between training and test cannot be excluded. Add a "
            "groups.csv with the columns stem,group, or group by folder if each folder is one "
            "patient.",
            stacklevel=2,
        )
    return scan.pairs
