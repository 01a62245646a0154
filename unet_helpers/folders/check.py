"""A first look at a data set that nobody has cleaned: what is there, what is missing, what is broken."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unet_helpers.data import Pair, image_hash, load_image, load_mask, load_pair
from unet_helpers.engine.progress import progress_bar
from unet_helpers.folders.audit import MaskAudit, audit_masks
from unet_helpers.folders.finding import given_rule, mask_files, scan_folder
from unet_helpers.folders.mask_rules import MaskRule
from unet_helpers.folders.scan import TABLES, FolderScan, how_found, in_kinds
from unet_helpers.folders.twins import find_twins, proposed_groups, thumbnail, write_proposal
from unet_helpers.pictures.sheets import Tile

__all__ = ["check_folder"]

Thumbnail = NDArray[np.float32]  # (64, 64)
MOST_COMPARED = 4000  # images; the time grows with the square of their number
MOST_DRAWN = 12  # pairs of twins in the picture, half of them the least alike


def check_folder(
    root: str | os.PathLike[str],
    progress: bool = True,
    group_by: str | None = None,
    masks: str | MaskRule | None = None,
    window: tuple[float, float] | None = None,
    twins_to: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Open every file of a data set and report what a student should know before training.

    Args:
        root: Folder or zip, see `scan_folder`.
        progress: Whether to show a progress bar on standard output.
        group_by: As in `scan_folder`.
        masks: As in `find_pairs`.
        window: Level and width, for images with more than 8 bits.
        twins_to: Folder that gets a proposed groups.csv, in which the twins of `find_twins` share a group,
            and a picture of them. None writes nothing; more than 4,000 images are then not compared.

    Returns:
        Dict that json can write: counts, unpaired files by their paths, rows of groups.csv that do not fit,
        `mask_styles` (how masks were recognised), `mask_values` (number of masks by the values found in
        them), `masks_mean` (what these were found to mean, a sentence each), `mask_doubt` (what is not
        certain, or ""), `n_positive` and `foreground_share` (median, smallest, largest; of the stone-bearing
        images; both None if there is a doubt), `sizes` and `broken` (file and reason).

    Raises:
        FileNotFoundError, ValueError: As `scan_folder`, and if `masks` names what the masks do not hold.
    """
    scan = scan_folder(root, group_by)
    audit = audit_masks(mask_files(scan.pairs), given_rule(masks), progress)
    seen: list[tuple[Pair, Thumbnail]] = []
    report = {"folder": str(root)} | _names(scan) | _meaning(audit)
    report |= _contents(scan, audit, window, progress, seen)
    report["twins_in_two_groups"] = _twins(scan, seen, window, twins_to, progress)
    report["broken"] += _unreadable(scan, window)
    return report


def _place(path: Path, scan: FolderScan) -> str:
    return path.relative_to(scan.root).as_posix()


def _names(scan: FolderScan) -> dict[str, Any]:
    """What the names of files and folders and groups.csv tell."""
    ((largest, n_largest),) = Counter(pair.group for pair in scan.pairs).most_common(1)
    return {
        "n_pairs": len(scan.pairs),
        "n_groups": len({pair.group for pair in scan.pairs}),
        "n_ungrouped": scan.n_ungrouped,
        "n_grouped_by_folder": scan.n_grouped_by_folder,
        "largest_group": {"name": largest, "n_pairs": n_largest},
        "group_rows_without_image": scan.group_rows.without_image,
        "images_in_two_groups": scan.group_rows.in_two_groups,
        "group_rows_in_other_case": scan.group_rows.in_other_case,
        "images_without_mask": [_place(path, scan) for path in scan.images_without_mask],
        "masks_without_image": [_place(path, scan) for path in scan.masks_without_image],
        "mask_styles": dict(scan.styles),
        "masks_found": how_found(scan),
        "paired_by_number": [f"{_place(a, scan)} with {_place(b, scan)}" for a, b in scan.by_number],
        "joined_masks": {
            _place(path, scan): [_place(one, scan) for one in parts] for path, parts in scan.joined.items()
        },
        "counted_once": [f"{_place(a, scan)} = {_place(b, scan)}" for a, b in scan.same_file.items()],
        "not_read": in_kinds(path for path in scan.others if path.name not in TABLES),
        "files_not_read": [_place(path, scan) for path in scan.others],
        "n_hidden": scan.n_hidden,
        "given_split": scan.given_split,
    }


def _meaning(audit: MaskAudit) -> dict[str, Any]:
    return {"mask_values": audit.values, "masks_mean": audit.sentences, "mask_doubt": audit.doubt}


def _contents(
    scan: FolderScan,
    audit: MaskAudit,
    window: tuple[float, float] | None,
    progress: bool,
    seen: list[tuple[Pair, Thumbnail]],
) -> dict[str, Any]:
    """What the pixels of the pairs tell; each pair that can be read is added to `seen`."""
    sizes: Counter[str] = Counter()
    shares: list[float] = []
    repeated: list[str] = []
    broken: list[dict[str, str]] = []
    first: dict[str, Pair] = {}  # by content
    for pair in progress_bar(scan.pairs, desc="reading pairs", unit="pair", disable=not progress):
        try:
            image, mask = load_pair(replace(pair, code=audit.codes.get(pair.mask_path), window=window))
        except ValueError as error:
            broken.append({"file": _place(pair.image_path, scan), "reason": str(error)})
            continue
        seen.append((pair, thumbnail(image)))
        sizes[f"{image.shape[1]}x{image.shape[0]}"] += 1
        shares += [float(mask.mean())] if mask.any() else []
        if image.min() == image.max():  # empty slices of two patients are alike
            continue
        other = first.setdefault(image_hash(image), pair)
        if other.group != pair.group:
            repeated.append(f"{_place(pair.image_path, scan)} = {_place(other.image_path, scan)}")
    return {
        "n_positive": None if audit.doubt else len(shares),
        "sizes": dict(sizes.most_common()),
        "foreground_share": None if audit.doubt or not shares else _range(shares),
        "identical_images_in_two_groups": repeated,
        "broken": broken,
    }


def _twins(
    scan: FolderScan,
    seen: Sequence[tuple[Pair, Thumbnail]],
    window: tuple[float, float] | None,
    folder: str | os.PathLike[str] | None,
    progress: bool,
) -> list[dict[str, Any]] | None:
    """Twins whose groups differ, the likest first; and, if a folder is given, what follows from them."""
    if len(seen) > MOST_COMPARED and folder is None:
        return None
    pairs = [pair for pair, _ in seen]
    found = find_twins(np.array([small for _, small in seen], np.float32), progress=progress)
    apart = [twin for twin in found if pairs[twin.first].group != pairs[twin.second].group]
    apart.sort(key=lambda twin: -twin.likeness)
    if folder is not None:
        names = [_place(pair.image_path.with_suffix(""), scan) for pair in pairs]
        tiles = []
        doubtful = apart[max(MOST_DRAWN // 2, len(apart) - MOST_DRAWN // 2) :]
        for twin in apart[: MOST_DRAWN // 2] + doubtful:
            for number, name in zip(twin[:2], (f"alike: {twin.likeness:.2f}", "..."), strict=True):
                caption = f"{name}  {pairs[number].image_path.stem[-16:]}"
                tiles.append(Tile(load_image(pairs[number].image_path, window), caption))
        write_proposal(folder, names, proposed_groups(pairs, apart), tiles)
    return [
        {
            "first": _place(pairs[twin.first].image_path, scan),
            "second": _place(pairs[twin.second].image_path, scan),
            "likeness": round(twin.likeness, 3),
        }
        for twin in apart
    ]


def _range(shares: list[float]) -> dict[str, float]:
    return {"median": float(np.median(shares)), "min": min(shares), "max": max(shares)}


def _unreadable(scan: FolderScan, window: tuple[float, float] | None) -> list[dict[str, str]]:
    """Broken files among those without a partner."""
    named: Mapping[Path, str] = {path: f"{path}: {why}" for path, why in scan.unreadable.items()}
    broken = [{"file": _place(path, scan), "reason": reason} for path, reason in named.items()]
    readers: Iterable[tuple[Path, Any]] = [
        *((path, partial(load_image, window=window)) for path in scan.images_without_mask),
        *((path, load_mask) for path in scan.masks_without_image),
    ]
    for path, read in readers:
        try:
            read(path)
        except ValueError as error:
            broken.append({"file": _place(path, scan), "reason": str(error)})
    return broken
