"""The report of a check as text: the same lines on the command line and in lesson 6."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from unet_helpers.folders.scan import counted

__all__ = ["print_report"]

MOST_VALUES = 12  # sets of values that are printed; --json has all


def print_report(
    report: Mapping[str, Any], twins_to: str | None = None, reword: Callable[[str], str] = str
) -> None:
    """Print what `check_folder` found.

    Args:
        report: What it returned.
        twins_to: The folder that it was given for twins.
        reword: What turns a reason into the words of whoever prints it.
    """
    _print_counts(report)
    _print_masks(report)
    _print_groups(report)
    _print_list("image without mask", "images without mask", report["images_without_mask"])
    _print_list("mask without image", "masks without image", report["masks_without_image"])
    once = ("path leads to a file counted already", "paths lead to files counted already")
    _print_some(*once, report["counted_once"])
    twins = report["identical_images_in_two_groups"]
    _print_list("image is in two groups at once", "images are in two groups at once", twins)
    _print_twins(report, twins_to)
    _print_list("broken file", "broken files", [reword(item["reason"]) for item in report["broken"]])
    if report["mask_doubt"]:
        print(f"NOT CERTAIN: {report['mask_doubt']} Nothing is trained until then.")


def _print_counts(report: Mapping[str, Any]) -> None:
    n_pairs, n_groups = counted(report["n_pairs"], "pair"), counted(report["n_groups"], "group")
    largest, n_positive = report["largest_group"], report["n_positive"]
    bearing = "" if n_positive is None else f", {n_positive} with a stone"
    print(
        f"{n_pairs} in {n_groups}{bearing}; the largest group, {largest['name']}, holds {largest['n_pairs']}"
    )
    print(f"masks recognised: {report['masks_found']}")
    if report["not_read"]:
        print(f"other files, not read: {report['not_read']}")
    if report["given_split"]:
        parts = ", ".join(f"{name} {n}" for name, n in report["given_split"].items())
        print(f"folders name the parts of a split ({parts} pairs): `train --given-split` keeps it")
    print("sizes (width x height): " + ", ".join(f"{size}: {n}" for size, n in report["sizes"].items()))


def _print_masks(report: Mapping[str, Any]) -> None:
    found = [f"{values}: {counted(n, 'mask')}" for values, n in report["mask_values"].items()]
    more = f"; and {len(found) - MOST_VALUES} other sets of values" if len(found) > MOST_VALUES else ""
    print("mask values: " + "; ".join(found[:MOST_VALUES]) + more)
    for sentence in report["masks_mean"]:
        print(sentence)
    for image, parts in report["joined_masks"].items():
        print(f"{image} has {counted(len(parts), 'mask file')}, which are joined: {', '.join(parts)}")
    _print_some("pair by its number alone", "pairs by their number alone", report["paired_by_number"])
    if report["foreground_share"]:
        median, low, high = (100 * report["foreground_share"][key] for key in ("median", "min", "max"))
        print(f"stone pixels in stone-bearing images: median {median:.3f} %, {low:.3f} % to {high:.3f} %")


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
        _print_some(one, many, report[key])


def _print_twins(report: Mapping[str, Any], folder: str | None) -> None:
    twins = report["twins_in_two_groups"]
    if twins is None:
        print("not looked for: images that show the same picture twice; `--twins OUT` compares so many, too")
    elif twins:
        shown = [f"{one['first']} and {one['second']}: alike {one['likeness']:.2f}" for one in twins[:3]]
        more = [f"and {len(twins) - 3} more"] if len(twins) > 3 else []
        one, many = "pair of images in two groups shows", "pairs of images in two groups show"
        found = counted(len(twins), f"{one} the same picture", f"{many} the same picture")
        print(found + "".join(f"\n  {line}" for line in [*shown, *more]))
        if not folder:
            print("a split could tear them apart: `--twins OUT` writes a groups.csv that keeps them together")
    if folder:
        print(
            f"proposed groups are in {folder}/groups.csv"
            + (f", twins in {folder}/twins.jpg" if twins else "")
        )


def _print_some(one: str, many: str, items: Sequence[str]) -> None:
    if items:
        _print_list(one, many, items)


def _print_list(one: str, many: str, items: Sequence[str]) -> None:
    print(counted(len(items), one, many) + "".join(f"\n  {item}" for item in items))
