"""A first look at a data set that nobody has cleaned: what is there, what is missing, what is broken."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unet_helpers.data import Pair, image_hash, load_image, load_mask, load_pair
from unet_helpers.engine.progress import progress_bar
from unet_helpers.folders.audit import MaskAudit, audit_masks
from unet_helpers.folders.finding import given_rule, mask_files, scan_folder
from unet_helpers.folders.mask_rules import MaskRule
from unet_helpers.folders.scan import TABLES, FolderScan, how_found, in_kinds

__all__ = ["check_folder"]


def check_folder(
    root: str | os.PathLike[str],
    progress: bool = True,
    group_by: str | None = None,
    masks: str | MaskRule | None = None,
    window: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Open every file of a data set and report what a student should know before training.

    Args:
        root: Folder or zip, see `scan_folder`.
        progress: Whether to show a progress bar on standard output.
        group_by: As in `scan_folder`.
        masks: As in `find_pairs`.
        window: Level and width, for images with more than 8 bits.

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
    report = {"folder": str(root)} | _names(scan) | _meaning(audit) | _contents(scan, audit, window, progress)
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
    scan: FolderScan, audit: MaskAudit, window: tuple[float, float] | None, progress: bool
) -> dict[str, Any]:
    """What the pixels of the pairs tell."""
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
