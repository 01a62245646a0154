"""A first look at a data set that nobody has cleaned: what is there, what is missing, what is broken."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unet_helpers.data import Pair, image_hash, load_image, load_mask, load_pair, mask_values, with_window
from unet_helpers.engine.progress import progress_bar
from unet_helpers.folders.finding import FolderScan, scan_folder

__all__ = ["check_folder"]


def check_folder(
    root: str | os.PathLike[str],
    progress: bool = True,
    group_by: str | None = None,
    window: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Open every file of a data set and report what a student should know before training.

    Args:
        root: Folder or zip, see `scan_folder`.
        progress: Whether to show a progress bar on standard output.
        group_by: As in `scan_folder`.
        window: Level and width, for images with more than 8 bits.

    Returns:
        Dict that json can write: counts, unpaired files by name, rows of groups.csv that do not fit,
        `mask_values` (number of masks by the values found in them), `foreground_share` (median, smallest,
        largest; of the stone-bearing images), `sizes` and `broken` (file and reason).

    Raises:
        FileNotFoundError, ValueError: As `scan_folder`.
    """
    scan = scan_folder(root, group_by)
    report = {"folder": str(root)} | _names(scan) | _contents(with_window(scan.pairs, window), progress)
    report["broken"] += _unreadable(scan, window)
    return report


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
        "images_without_mask": [path.name for path in scan.images_without_mask],
        "masks_without_image": [path.name for path in scan.masks_without_image],
    }


def _contents(pairs: Sequence[Pair], progress: bool) -> dict[str, Any]:
    """What the pixels of the pairs tell."""
    values: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    shares: list[float] = []
    repeated: list[str] = []
    broken: list[dict[str, str]] = []
    first: dict[str, Pair] = {}  # by content
    for pair in progress_bar(pairs, desc="reading pairs", unit="pair", disable=not progress):
        try:
            image, mask = load_pair(pair)
        except ValueError as error:
            broken.append({"file": pair.image_path.name, "reason": str(error)})
            continue
        values[_in_words(np.unique(mask_values(pair.mask_path)))] += 1
        sizes[f"{image.shape[1]}x{image.shape[0]}"] += 1
        shares += [float(mask.mean())] if mask.any() else []
        other = first.setdefault(image_hash(image), pair)
        if other.group != pair.group:
            repeated.append(f"{pair.image_path.name} = {other.image_path.name}")
    return {
        "n_positive": len(shares),
        "mask_values": dict(values.most_common()),
        "sizes": dict(sizes.most_common()),
        "foreground_share": {"median": float(np.median(shares)), "min": min(shares), "max": max(shares)}
        if shares
        else None,
        "identical_images_in_two_groups": repeated,
        "broken": broken,
    }


def _in_words(values: NDArray[Any]) -> str:
    if len(values) <= 4:
        return ", ".join(map(str, values))
    return f"{values[0]} to {values[-1]} ({len(values)} values)"


def _unreadable(scan: FolderScan, window: tuple[float, float] | None) -> list[dict[str, str]]:
    """Broken files among those without a partner."""
    broken = []
    for path in scan.images_without_mask + scan.masks_without_image:
        try:
            load_image(path, window) if path in scan.images_without_mask else load_mask(path)
        except ValueError as error:
            broken.append({"file": path.name, "reason": str(error)})
    return broken
