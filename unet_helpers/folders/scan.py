"""What was found in a folder, and what is said about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unet_helpers.data import Pair
from unet_helpers.folders.groups import GroupRows

__all__ = ["TABLES", "FolderScan", "counted", "doubts", "how_found", "in_kinds", "some"]

TABLES = {"groups.csv", "slices.csv", "stones.csv"}  # what the package itself reads
N_NAMED = 3  # files that a warning names; `check` lists them all
USUAL = ("_mask", "masks/", "mask/", "labels/", "label/")  # styles that need no word


@dataclass(frozen=True)
class FolderScan:
    """What `scan_folder` found: every file below the folder is in one of the lists.

    Attributes:
        pairs: The pairs in order of their paths.
        images_without_mask: What has no partner.
        masks_without_image: What has no partner.
        n_ungrouped: Pairs of which no exam, source or patient is known: each is its own group.
        n_grouped_by_folder: Pairs whose group is the folder that they lie in.
        group_rows: What the rows of groups.csv say.
        styles: How many masks were recognised by which part of their names, as {"_seg": 8}.
        by_number: Image and mask of each pair of which the names share a number only.
        joined: Masks of each image that has several, which are parts of one.
        same_file: Paths that lead to a file that another path leads to, with that one: counted once.
        unreadable: Files and folders that cannot be opened, with the reason.
        others: Files that are no images, and are not read.
        n_hidden: Files and folders whose names begin with a dot.
        given_split: Images of each part, where folders are called train, val and test.
        root: The folder, unpacked if it was a zip.
    """

    pairs: list[Pair]
    images_without_mask: list[Path]
    masks_without_image: list[Path]
    n_ungrouped: int
    n_grouped_by_folder: int
    group_rows: GroupRows
    styles: dict[str, int] = field(default_factory=dict)
    by_number: list[tuple[Path, Path]] = field(default_factory=list)
    joined: dict[Path, tuple[Path, ...]] = field(default_factory=dict)
    same_file: dict[Path, Path] = field(default_factory=dict)
    unreadable: dict[Path, str] = field(default_factory=dict)
    others: list[Path] = field(default_factory=list)
    n_hidden: int = 0
    given_split: dict[str, int] = field(default_factory=dict)
    root: Path = field(default_factory=Path)


def counted(n: int, one: str, many: str = "") -> str:
    """A number and what is counted: "1 image", "2 images"; `many` where an s makes no plural."""
    return f"{n} {one if n == 1 else many or one + 's'}"


def some(names: Sequence[str], n_shown: int = N_NAMED) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:n_shown]) + (f" and {len(names) - n_shown} more" if len(names) > n_shown else "")


def in_kinds(paths: Iterable[Path]) -> str:
    """How many files there are of each ending: "1054 .txt, 1 .md"."""
    kinds = Counter(path.suffix.lower() or "without an ending" for path in paths)
    return ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())


def how_found(scan: FolderScan) -> str:
    """How the masks were recognised: "768 by `_mask`"."""
    styles = sorted(scan.styles.items(), key=lambda item: (-item[1], item[0]))
    names = [f"{n} by {style if ' ' in style else f'`{style}`'}" for style, n in styles[:5]]
    return ", ".join(names) + (f" and {len(styles) - 5} other ways" if len(styles) > 5 else "")


def doubts(scan: FolderScan) -> Iterator[str]:
    """What is left out, inferred, joined or unknown, a sentence each."""
    yield from _left_out(scan)
    if any(style.lower() not in USUAL for style in scan.styles):
        yield f"Masks were recognised: {how_found(scan)}."
    if scan.by_number:
        image, mask = scan.by_number[0]
        yield (
            f"{counted(len(scan.by_number), 'pair has', 'pairs have')} nothing but a number in common, as "
            f"{image.name} and {mask.name}. Rename the masks if they belong to other images."
        )
    if scan.joined:
        names = [f"{path.name} ({len(masks)})" for path, masks in scan.joined.items()]
        found = counted(len(names), "image has", "images have")
        yield f"{found} several mask files, which are joined: {some(names)}."
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
            yield f"groups.csv has {counted(len(texts), one, many)}: {some(texts)}."
    if scan.n_ungrouped:
        names_none = "names" if scan.n_ungrouped == 1 else "name"
        yield (
            f"{scan.n_ungrouped} of {len(scan.pairs)} images {names_none} no exam or source, so each is its "
            "own group and leakage between training and test cannot be excluded. Add a groups.csv with the "
            "columns stem,group, or group by folder if each folder is one patient."
        )


def _left_out(scan: FolderScan) -> Iterator[str]:
    more = "`python -m unet_helpers check` lists all that is left out."
    for paths, one, many in (
        (scan.images_without_mask, "image without a mask is", "images without a mask are"),
        (scan.masks_without_image, "mask without an image is", "masks without an image are"),
    ):
        if paths:
            yield f"{counted(len(paths), one, many)} left out: {some([p.name for p in paths])}. {more}"
    if scan.unreadable:
        names = [f"{path.name} ({_short(reason)})" for path, reason in scan.unreadable.items()]
        found = counted(len(names), "file or folder cannot", "files or folders cannot")
        yield f"{found} be opened, and the rest goes on without: {some(names)}. {more}"
    if scan.same_file:
        names = [f"{path.name} = {first.name}" for path, first in scan.same_file.items()]
        found = counted(len(names), "path leads", "paths lead")
        yield f"{found} to a file that counts already: {some(names)}."
    boxes = [path.name for path in scan.others if path.suffix.lower() == ".txt" and _in_labels(path)]
    if boxes:
        yield (
            f"{counted(len(boxes), 'text file', 'text files')} in labels/, boxes or outlines by their names, "
            f"not read: {some(boxes)}."
        )
    if {"train", "val"} <= scan.given_split.keys():
        parts = ", ".join(f"{name} {n}" for name, n in scan.given_split.items())
        yield (
            f"Folders name the parts of a split ({parts} pairs). `train --given-split` keeps it, or in "
            "Python data.given_split(pairs, folder)."
        )


def _short(reason: str) -> str:
    return reason if len(reason) < 40 else "damaged"


def _in_labels(path: Path) -> bool:
    return any(folder.name.lower() == "labels" for folder in path.parents)
