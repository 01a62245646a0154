"""Find the image-mask pairs of a folder, the group of each image, and everything that has no partner."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from unet_helpers.data import Pair
from unet_helpers.engine.calm import CalmError
from unet_helpers.folders.audit import audit_masks
from unet_helpers.folders.contents import with_contents
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
from unet_helpers.folders.listing import Listing, list_files, same_files
from unet_helpers.folders.mask_rules import MaskRule, parse_rule
from unet_helpers.folders.naming import Named, given_part
from unet_helpers.folders.pairing import Pairing, pair_up
from unet_helpers.folders.scan import FolderScan, counted, doubts, in_kinds, some
from unet_helpers.folders.sources import unpack
from unet_helpers.formats.kinds import convert_hint

__all__ = [
    "GROUP_BY",
    "FolderScan",
    "counted",
    "find_pairs",
    "given_rule",
    "mask_files",
    "scan_folder",
]

GROUP_BY = ("folder", "name")


def find_pairs(
    root: str | os.PathLike[str], group_by: str | None = None, masks: str | MaskRule | None = None
) -> list[Pair]:
    """Find the image-mask pairs of a folder or zip, ready to train on; `scan_folder` has layouts and groups.

    Every mask is read once to establish what its values mean, see `audit.audit_masks`, and every image to
    find those that are in two groups under two names: their groups are joined. Pairs of which a file cannot
    be read are left out.

    Warns (UserWarning), with names and counts, of all that is left out, inferred, joined or unknown.

    Args:
        root: Folder, or a zip of one.
        group_by: As in `scan_folder`.
        masks: What the values of the masks mean, where these do not say it themselves, in the words of the
            command line: "--mask-values 1", "--foreground '#ff0000'", "--invert", "--ignore 255". None takes
            the environment variable `UNET_MASKS`.

    Returns:
        Pairs in order of their paths.

    Raises:
        FileNotFoundError: If `root` does not exist.
        ValueError: As `scan_folder`, and if it is not certain what the values of the masks mean; the message
            names them, with an example and the option that decides.
    """
    scan = scan_folder(root, group_by)
    audit = audit_masks(mask_files(scan.pairs), given_rule(masks))
    if audit.doubt:
        raise CalmError(
            f"{audit.doubt} (In Python such an option is a text: find_pairs(folder, masks='--invert'); for "
            "the lessons, set the environment variable UNET_MASKS to it.)"
        )
    n_found = len(scan.pairs)
    scan, told = with_contents(scan, audit)
    if not scan.pairs:
        raise CalmError(_none_whole(root, n_found, scan))
    for text in (*doubts(scan), *told):
        warnings.warn(text, stacklevel=2)
    return scan.pairs


def _none_whole(root: str | os.PathLike[str], n_found: int, scan: FolderScan) -> str:
    names, reason = [path.name for path in scan.unreadable], next(iter(scan.unreadable.values()))
    return (
        f"{root} must hold image-mask pairs that can be read, got none of {n_found}: {some(names)} cannot be "
        f"read. Of the first: {reason}"
    )


def given_rule(masks: str | MaskRule | None) -> MaskRule:
    """What was said about the masks: here, or in the environment variable `UNET_MASKS`.

    Raises:
        ValueError: If it says nothing that is known.
    """
    return parse_rule(os.environ.get("UNET_MASKS") if masks is None else masks)


def mask_files(pairs: Sequence[Pair]) -> list[Path]:
    """All mask files of pairs."""
    return [path for pair in pairs for path in (pair.mask_path, *pair.more_masks)]


def scan_folder(root: str | os.PathLike[str], group_by: str | None = None) -> FolderScan:
    """Find the pairs of a data set and everything that has no partner, without opening an image.

    At any depth below `root`: a mask beside its image, called by a word more (`a_mask.png`, `a-seg.png`,
    `label_a.png`, `a.mask.png`, ...), or in a folder of masks beside one of images (`masks/`, `labels/`,
    `SegmentationClass/`, `annotations/`, `gt/`, ...; `images/`, `imgs/`, `JPEGImages/`, or one of any name).
    Capitals do not count. Numbered masks of an image (`a_mask_1`, `a_mask_2`) are parts of one.

    A `groups.csv` (columns `stem,group`) beside the images or above names the patient or exam of each; a row
    may name a stem, a path seen from the folder of groups.csv, or a folder (`p1/`). Where neither it nor the
    name tells, and the same stems repeat from folder to folder (`p1/001.png`, `p2/001.png`), the folder is
    the group.

    Args:
        root: Folder, or a zip of one.
        group_by: "folder": all images of a folder are one group, whatever they are called; "name": never
            group by folder; None: only where stems repeat.

    Raises:
        FileNotFoundError: If `root` does not exist.
        ValueError: If no pair is found, it is not certain which mask or image is meant, groups.csv has other
            columns, or there is no folder to group by.
    """
    root = Path(root).expanduser()
    if group_by not in (None, *GROUP_BY):
        raise ValueError(f"group_by must be one of {', '.join(GROUP_BY)} or None, got {group_by!r}.")
    if not root.exists():
        raise FileNotFoundError(
            f"data folder must exist, got {root}. Check the spelling and the working folder."
        )
    folder = root if root.is_dir() else unpack(root)
    listing = list_files(folder)
    again = same_files(listing.images)
    pairing = pair_up(listing.images, folder)
    if not pairing.masks:
        raise CalmError(_nothing(root, folder, listing, pairing))
    return _assemble(listing, pairing, again, folder, group_by)


def _nothing(root: Path, folder: Path, listing: Listing, pairing: Pairing) -> str:
    """What was found where no pair was."""
    names = [file.path.name for file in pairing.images]
    lonely = [file.path.name for file in pairing.lonely_masks]
    found = [f"{counted(len(names), 'image')} without a mask ({some(names)})"] if names else []
    found += [f"{counted(len(lonely), 'mask')} without an image ({some(lonely)})"] if lonely else []
    found += (
        [f"{counted(len(listing.unreadable), 'file')} that cannot be opened"] if listing.unreadable else []
    )
    found += [in_kinds(listing.others)] if listing.others else []
    return f"{root} must hold image-mask pairs, got none{': ' * bool(found)}{'; '.join(found)}. " + (
        convert_hint(folder)
        or "Name them <stem>.jpg and <stem>_mask.png in one folder, or put the same stems into images/ and "
        "masks/."
    )


# ------------------------------------------------------------------------------------------ groups
@dataclass(frozen=True)
class _Image:
    """An image; its stem with all folders below the one that all pairs share."""

    path: Path
    name: str
    names_in_rows: tuple[Path, str]  # the path without a folder "images", and that from where this lies


def _assemble(
    listing: Listing, pairing: Pairing, again: dict[Path, Path], root: Path, group_by: str | None
) -> FolderScan:
    kept, twice = _once(pairing, again)
    images = _named_images(kept, pairing, root)
    names = {image.name for image in images}
    rows, named = _group_rows(images, root), named_groups(names)
    paired = [image for image in images if image.path in pairing.masks]
    base = root / PurePosixPath(
        *(Path(os.path.commonpath([i.path.parent for i in paired])).relative_to(root).parts)
    )
    folders = _folders({i.name for i in images}, rows.groups.keys() | named.keys(), group_by, base)
    groups = join_groups(names, rows.groups, folders, named)
    pairs = []
    for image in paired:
        first, *more = (mask.path for mask in pairing.masks[image.path])
        pairs.append(Pair(image.path, first, groups.get(image.name, image.name), more_masks=tuple(more)))
    return FolderScan(
        pairs=sorted(pairs, key=lambda pair: pair.image_path),
        images_without_mask=[image.path for image in images if image.path not in pairing.masks],
        masks_without_image=[mask.path for mask in pairing.lonely_masks],
        n_ungrouped=sum(image.name not in groups for image in paired),
        n_grouped_by_folder=sum(image.name in folders for image in paired),
        group_rows=rows,
        styles=dict(pairing.styles),
        by_number=pairing.by_number,
        joined={pair.image_path: (pair.mask_path, *pair.more_masks) for pair in pairs if pair.more_masks},
        same_file=twice,
        unreadable=listing.unreadable,
        others=listing.others,
        n_hidden=listing.n_hidden,
        given_split=_given(pairs, root),
        root=root,
    )


def _once(pairing: Pairing, again: dict[Path, Path]) -> tuple[list[Named], dict[Path, Path]]:
    """Images of which every file is there once, and the paths that lead to one of these again."""
    files: dict[Path, list[Named]] = {}
    for image in pairing.images:
        files.setdefault(again.get(image.path, image.path), []).append(image)
    kept: list[Named] = []
    twice: dict[Path, Path] = {}
    for some_paths in files.values():
        best = next((image for image in some_paths if image.path in pairing.masks), some_paths[0])
        kept.append(best)
        for other in some_paths:
            if other is not best:
                masks = pairing.masks.pop(other.path, [])
                twice |= dict.fromkeys((other.path, *(mask.path for mask in masks)), best.path)
    return sorted(kept, key=lambda image: image.path), twice


def _named_images(kept: list[Named], pairing: Pairing, root: Path) -> list[_Image]:
    """Names start at the folder that all pairs share, so that a wrapping folder changes no group."""
    with_folder = {mask.place for masks in pairing.masks.values() for mask in masks if mask.role == "mask"}
    layouts: dict[Path, tuple[Path, str]] = {}
    for image in kept:
        two = image.place in with_folder and image.role == "image"
        layouts[image.path] = (image.above, image.inside) if two else (image.path.parent, image.stem)
    base = Path(os.path.commonpath([above for path, (above, _) in layouts.items() if path in pairing.masks]))
    images: list[_Image] = []
    taken: set[str] = set()
    for image in kept:
        above, inside = layouts[image.path]
        name = (above.relative_to(base) / inside).as_posix() if above.is_relative_to(base) else ""
        if not name or name in taken:
            name = "/" + image.path.relative_to(root).as_posix()
        taken.add(name)
        suffix = image.path.suffix
        images.append(_Image(image.path, name, (above / (inside + suffix), inside + suffix)))
    return images


def _given(pairs: list[Pair], root: Path) -> dict[str, int]:
    parts = Counter(given_part(pair.image_path.relative_to(root).parts[:-1]) for pair in pairs)
    return {part: parts[part] for part in ("train", "val", "test") if parts[part]}


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
        raise CalmError(f"{base} must hold a folder for each patient to be grouped by folder, got none.")
    return folders
