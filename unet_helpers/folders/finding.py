"""Find the image-mask pairs of a folder, the group of each image, and everything that has no partner."""

from __future__ import annotations

import os
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from unet_helpers.data import SUFFIXES, Pair
from unet_helpers.folders.groups import (
    GroupRows,
    Rows,
    folder_names,
    join_groups,
    match_rows,
    named_groups,
    read_groups_csv,
    spellings,
)
from unet_helpers.folders.sources import unpack
from unet_helpers.formats.kinds import convert_hint

__all__ = ["GROUP_BY", "FolderScan", "counted", "find_pairs", "scan_folder"]

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


def find_pairs(root: str | os.PathLike[str], group_by: str | None = None) -> list[Pair]:
    """Find the image-mask pairs of a folder or zip; see `scan_folder` for layouts, groups and errors.

    Warns (UserWarning), with names and counts, of images without a mask, of masks without an image, of rows
    of groups.csv that do not fit, and of images whose exam or patient is unknown.

    Returns:
        Pairs in order of their paths.
    """
    scan = scan_folder(root, group_by)
    for text in _doubts(scan):
        warnings.warn(text, stacklevel=2)
    return scan.pairs


def _doubts(scan: FolderScan) -> Iterator[str]:
    """What is left out or unknown, a sentence each."""
    for paths, one, many in (
        (scan.images_without_mask, "image without a mask is", "images without a mask are"),
        (scan.masks_without_image, "mask without an image is", "masks without an image are"),
    ):
        if paths:
            names = _some([path.name for path in paths], 20)
            found = counted(len(paths), one, many)
            yield f"{found} left out: {names}. `python -m unet_helpers check` lists all that is left out."
    rows = scan.group_rows
    for texts, one, many in (
        (rows.without_image, "row that matches no image", "rows that match no image"),
        (
            rows.in_two_groups,
            "image in two groups, which are joined",
            "images in two groups, which are joined",
        ),
        (rows.in_other_case, "row that matches only in another case", "rows that match only in another case"),
    ):
        if texts:
            yield f"groups.csv has {counted(len(texts), one, many)}: {_some(texts, 3)}."
    if scan.n_ungrouped:
        names = "names" if scan.n_ungrouped == 1 else "name"
        yield (
            f"{scan.n_ungrouped} of {len(scan.pairs)} images {names} no exam or source, so each is its own "
            "group and leakage between training and test cannot be excluded. Add a groups.csv with the "
            "columns stem,group, or group by folder if each folder is one patient."
        )


def counted(n: int, one: str, many: str = "") -> str:
    """A number and what is counted: "1 image", "2 images"; `many` where an s makes no plural."""
    return f"{n} {one if n == 1 else many or one + 's'}"


def _some(names: list[str], n_shown: int) -> str:
    return ", ".join(names[:n_shown]) + (f" and {len(names) - n_shown} more" if len(names) > n_shown else "")


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
        if hint := convert_hint(folder):
            raise ValueError(f"{root} must hold image-mask pairs, got none. {hint}")
        raise ValueError(
            f"{root} must hold image-mask pairs, got none. Name them <stem>.jpg and "
            "<stem>_mask.png in one folder, or put the same stems into images/ and masks/."
        )
    return _pair_up(layouts, folder, group_by)


# ------------------------------------------------------------------------------------------- files
@dataclass(frozen=True)
class _Layout:
    """Images and masks of one folder by stem; a stem holds the folders below `images/`."""

    folder: Path
    images: dict[str, Path]
    masks: dict[str, Path]


def _walk(folder: Path) -> Iterator[_Layout]:
    """Layouts of a folder and of everything below it."""
    images, masks = _subfolder(folder, IMAGE_FOLDERS), _subfolder(folder, MASK_FOLDERS)
    two = images is not None and masks is not None
    layout = _two_folders(folder, images, masks) if images and masks else _flat(folder)
    if layout.masks:
        yield layout
    for child in sorted(folder.iterdir()):
        if child.is_dir() and _visible(Path(child.name)) and not (two and child in (images, masks)):
            yield from _walk(child)


def _subfolder(folder: Path, names: Sequence[str]) -> Path | None:
    by_name = {child.name.lower(): child for child in folder.iterdir() if child.is_dir()}
    return next((by_name[name] for name in names if name in by_name), None)


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


def _files_by_stem(folder: Path, files: Iterable[Path]) -> dict[str, Path]:
    by_stem: dict[str, Path] = {}
    for path in sorted(files):
        inside = path.relative_to(folder)
        if path.suffix.lower() in SUFFIXES and _visible(inside) and path.is_file():
            # macOS spells accents in two characters where other systems use one
            _keep(by_stem, unicodedata.normalize("NFC", inside.with_suffix("").as_posix()), path)
    return by_stem


def _keep(by_stem: dict[str, Path], stem: str, path: Path) -> None:
    if stem in by_stem:
        raise ValueError(
            f"{path.parent} must hold one file a stem, got {by_stem[stem].name} and {path.name}. Delete one."
        )
    by_stem[stem] = path


def _visible(path: Path) -> bool:
    return not any(part.startswith((".", "__MACOSX")) for part in path.parts)


# ------------------------------------------------------------------------------------------ groups
@dataclass(frozen=True)
class _Image:
    """An image; its mask, if it has one; its stem with all folders below the one that all images share."""

    path: Path
    mask: Path | None
    name: str
    names_in_rows: tuple[Path, str]  # the path without a folder "images", and that from where this lies


def _pair_up(layouts: list[_Layout], root: Path, group_by: str | None) -> FolderScan:
    # names start at the folder that all layouts share, so that a wrapping folder changes no group
    base = Path(os.path.commonpath([layout.folder for layout in layouts]))
    images = [
        _Image(
            path,
            layout.masks.get(stem),
            (layout.folder.relative_to(base) / stem).as_posix(),
            (layout.folder / (stem + path.suffix), stem + path.suffix),
        )
        for layout in layouts
        for stem, path in layout.images.items()
    ]
    names = {image.name for image in images}
    rows, named = _group_rows(images, root), named_groups(names)
    folders = _folders(names, rows.groups.keys() | named.keys(), group_by, base)
    groups = join_groups(names, rows.groups, folders, named)
    paired = [(image.name, image.path, image.mask) for image in images if image.mask]
    pairs = [Pair(path, mask, groups.get(name, name)) for name, path, mask in paired]
    return FolderScan(
        pairs=sorted(pairs, key=lambda pair: pair.image_path),
        images_without_mask=[image.path for image in images if not image.mask],
        masks_without_image=[p for one in layouts for s, p in one.masks.items() if s not in one.images],
        n_ungrouped=sum(name not in groups for name, *_ in paired),
        n_grouped_by_folder=sum(name in folders for name, *_ in paired),
        group_rows=rows,
    )


def _group_rows(images: list[_Image], root: Path) -> GroupRows:
    """What every groups.csv says, in the folders of the images and in those above, up to `root`."""
    tables: dict[Path, Rows] = {}
    spelled: dict[Path, dict[str, dict[str, int]]] = {}
    for image in images:
        short, inside = image.names_in_rows
        for folder in image.path.parents:
            if not folder.is_relative_to(root):
                break
            if folder not in tables:
                tables[folder] = read_groups_csv(folder / "groups.csv")
            if tables[folder]:
                seen = [one.relative_to(folder) for one in (image.path, short) if one.is_relative_to(folder)]
                paths = [path.as_posix() for path in seen] + [inside] * ("/" in inside)
                spelled.setdefault(folder, {})[image.name] = spellings(paths)
    return match_rows((tables[folder], spelled[folder]) for folder in sorted(spelled))


def _folders(names: set[str], known: set[str], group_by: str | None, base: Path) -> dict[str, str]:
    """Folder of each image that is grouped by it."""
    if group_by == "name":
        return {}
    folders = folder_names(names if group_by else names - known, always=group_by == "folder")
    if group_by and not folders:
        raise ValueError(f"{base} must hold a folder for each patient to be grouped by folder, got none.")
    return folders
