"""`check DATA`: what a data set holds, what is missing there, and what is broken."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from unet_helpers.data import open_dataset
from unet_helpers.engine.files import check_writable, write_json
from unet_helpers.folders.check import check_folder
from unet_helpers.folders.finding import counted

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Print the report of `check_folder`, and write it if asked for; 1 if a file is broken."""
    if args.json:
        check_writable(args.json)
    report = check_folder(open_dataset(args.data), group_by=args.group_by, window=args.window)
    _print_counts(report)
    _print_groups(report)
    _print_list("image without mask", "images without mask", report["images_without_mask"])
    _print_list("mask without image", "masks without image", report["masks_without_image"])
    twins = report["identical_images_in_two_groups"]
    _print_list("image is in two groups at once", "images are in two groups at once", twins)
    _print_list("broken file", "broken files", [item["reason"] for item in report["broken"]])
    if args.json:
        write_json(args.json, report)
    return 1 if report["broken"] else 0


def _print_counts(report: Mapping[str, Any]) -> None:
    n_pairs, n_groups = counted(report["n_pairs"], "pair"), counted(report["n_groups"], "group")
    largest = report["largest_group"]
    print(
        f"{n_pairs} in {n_groups}, {report['n_positive']} with a stone; "
        f"the largest group, {largest['name']}, holds {largest['n_pairs']}"
    )
    print("sizes (width x height): " + ", ".join(f"{size}: {n}" for size, n in report["sizes"].items()))
    found = (f"{values}: {counted(n, 'mask')}" for values, n in report["mask_values"].items())
    print("mask values: " + "; ".join(found))
    if report["foreground_share"]:
        median, low, high = (100 * report["foreground_share"][key] for key in ("median", "min", "max"))
        print(f"stone pixels in stone-bearing images: median {median:.3f} %, {low:.3f} % to {high:.3f} %")
    elif report["sizes"]:
        print("NO mask has a pixel above 127. If the masks hold 0 and 1, multiply them by 255.")


def _print_groups(report: Mapping[str, Any]) -> None:
    if n := report["n_grouped_by_folder"]:
        print(f"{counted(n, 'image is', 'images are')} grouped by folder")
    if n := report["n_ungrouped"]:
        print(
            f"{counted(n, 'image names', 'images name')} no exam or source: add groups.csv (columns "
            "stem,group) to split safely, or --group-by folder if each folder is one patient"
        )
    for one, many, key in (
        (
            "row of groups.csv matches no image",
            "rows of groups.csv match no image",
            "group_rows_without_image",
        ),
        ("image joins two groups", "images join two groups", "images_in_two_groups"),
        (
            "row of groups.csv matches in another case",
            "rows of groups.csv match in another case",
            "group_rows_in_other_case",
        ),
    ):
        if report[key]:
            _print_list(one, many, report[key])


def _print_list(one: str, many: str, items: Sequence[str]) -> None:
    print(counted(len(items), one, many) + "".join(f"\n  {item}" for item in items))
