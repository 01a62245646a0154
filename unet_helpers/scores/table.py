"""The scores of `evaluation.evaluate` as a table that can be read, printed and pasted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from unet_helpers.metrics import HIT_IOU

__all__ = [
    "LABELS",
    "interval_text",
    "number_text",
    "score_remarks",
    "score_rows",
    "score_table",
    "settings_text",
    "size_name",
]

LABELS = {  # name of the score without its unit: what it says, and the number it stands on
    "dice_positive_mean": ("Dice, mean over images with a stone", "n_positive"),
    "iou_positive_mean": ("IoU, mean over images with a stone", "n_positive"),
    "precision_positive_mean": ("precision, mean over images with a stone", "n_positive"),
    "recall_positive_mean": ("recall, mean over images with a stone", "n_positive"),
    "dice_pooled": ("Dice, pooled over all pixels", "n_images"),
    "iou_pooled": ("IoU, pooled over all pixels", "n_images"),
    "precision_pooled": ("precision, pooled over all pixels", "n_images"),
    "recall_pooled": ("recall, pooled over all pixels", "n_images"),
    "stone_sensitivity": ("stones found in any slice (sensitivity)", "n_stones"),
    "section_sensitivity": ("sections found (sensitivity)", "n_sections"),
    "section_sensitivity_touched": ("sections touched by at least one pixel", "n_sections"),
    "false_positives_per_image": ("false alarms per image", "n_images"),
    "clean_negative_rate": ("stone-free images left clean", "n_negative"),
    "surface_dice_1": ("surface Dice at 1 {unit}, mean", "n_positive"),
    "hd95_": ("HD95 in {unit}, mean", "n_distances"),
    "asd_": ("average surface distance in {unit}, mean", "n_distances"),
}


def number_text(value: float | None) -> str:
    """Three digits; "-" for what is missing or not finite."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.3f}"


def size_name(size_bin: Mapping[str, Any], unit: str) -> str:
    """Name of a size by its borders "low" and "high", for example "3 to 5 mm"."""
    low, high = size_bin["low"], size_bin["high"]
    if high is None:
        return f"{low:g} {unit} and more"
    return f"{low:g} to {high:g} {unit}" if low else f"below {high:g} {unit}"


def score_rows(
    scores: Mapping[str, Any], rivals: Mapping[str, Mapping[str, Any]] | None = None
) -> list[list[str]]:
    """Scores with their intervals, what is found by size, and what rivals reach, as rows of equal length.

    Rows about stones are left out where the data set does not know which sections are of one stone.

    Args:
        scores: What `evaluation.evaluate` returned.
        rivals: By name, what `evaluation.score_masks` returned for other predictions of the same images.

    Returns:
        The heads, then a row a score: name, score, 95 % interval, n, and one column a rival.
    """
    unit, rivals = scores["unit"], rivals or {}
    counts = {**scores, "n_negative": scores["n_images"] - scores["n_positive"]}
    rows = [["", "score", f"95 %, {scores['n_groups']} groups", "n", *rivals]]
    for name, (label, count) in LABELS.items():
        if count == "n_stones" and not scores["n_stones"]:
            continue
        key = name + unit if name not in scores else name
        interval = interval_text(scores["intervals"].get(key))
        theirs = [number_text(rival.get(key)) for rival in rivals.values()]
        rows.append(
            [label.format(unit=unit), number_text(scores[key]), interval, str(counts[count]), *theirs]
        )
    for size_bin in scores["size_bins"]:
        label = f"{size_bin['of']} found, {size_name(size_bin, size_bin['unit'])}"
        found, interval = number_text(size_bin["sensitivity"]), interval_text(size_bin["interval"])
        rows.append([label, found, interval, str(size_bin["n"]), *("" for _ in rivals)])
    return rows


def score_table(scores: Mapping[str, Any], rivals: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """The rows of `score_rows`, aligned as lines of text, and below them `score_remarks`."""
    return "\n".join([*_aligned(score_rows(scores, rivals)), *score_remarks(scores)])


def interval_text(ends: list[float] | None) -> str:
    """Both ends; "-" where all groups score the same and tell nothing of others; "" without any."""
    if not ends:
        return ""
    low, high = map(number_text, ends)
    return f"{low} to {high}" if low != high else "-"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    return lines


def settings_text(scores: Mapping[str, Any]) -> str:
    """Threshold and smallest region of the evaluation; their ranges where each image has its own."""

    def text(values: float | list[float]) -> str:
        if not isinstance(values, list):
            return f"{values:.6g}"
        return f"{min(values):.6g} to {max(values):.6g} (one an image)"

    return f"threshold {text(scores['threshold'])}, regions of at least {text(scores['min_pixels'])} pixels"


def score_remarks(scores: Mapping[str, Any]) -> list[str]:
    """What the table does not hold, one sentence each: settings, infinite distances, areas, sizes."""
    unit, calibration = scores["unit"], scores["calibration"]
    remarks = [
        f"{settings_text(scores)}; {scores['n_merged']} regions join several sections, "
        f"{scores['n_split']} sections are split",
        f"found: matched with a predicted region of its own, IoU at least {HIT_IOU}; every other region is a "
        "false alarm",
        f"nothing predicted in {scores['n_distances_infinite']} images with a stone: their distances are "
        "infinite and left out",
        f"area under the precision-recall curve {number_text(scores['precision_recall']['area'])}, "
        f"calibration error (ECE) on the foreground {number_text(calibration['ece'])}",
        *_size_remarks(scores["size_agreement"], unit),
    ]
    if scores["n_stones"] and scores["n_sections_unidentified"]:
        remarks.append(
            f"{scores['n_sections_unidentified']} of {scores['n_sections']} sections are of no "
            "known stone and count as sections only."
        )
    if unit == "px":
        remarks.append("The size of the pixels is not known here: sizes and distances are in pixels.")
    return remarks


def _size_remarks(size: Mapping[str, Any], unit: str) -> list[str]:
    """Bias, limits by size and the outliers of the measured diameters."""

    def limits(part: Mapping[str, Any]) -> str:
        low, high = map(number_text, part["limits"])
        return f"{low} to {high}" if low != "-" else "-"

    by_size = "; ".join(
        f"{size_name(part, unit)} {limits(part)} (n = {part['n']})" for part in size["by_size"]
    )
    remarks = [
        f"diameter predicted - true, {size['n']} sections found: bias {number_text(size['bias'])} "
        f"{unit}, 95 % limits {limits(size)} {unit}",
        f"limits by size, {unit}: {by_size}",
    ]
    if size["outliers"]:
        named = "; ".join(
            f"image {one['image'] + 1} at row {one['row']:.0f}, column {one['column']:.0f}: "
            f"{one['predicted']:.1f} for {one['true']:.1f}"
            for one in size["outliers"]
        )
        more = size["n_outliers"] - len(size["outliers"])
        remarks.append(
            f"{size['n_outliers']} sections are measured far off, in {unit}: {named}"
            + (f"; and {more} more" if more else "")
        )
    return remarks
