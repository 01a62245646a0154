"""The scores of `evaluation.evaluate` as a table that can be read, printed and pasted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["LABELS", "interval_text", "number_text", "score_remarks", "score_rows", "score_table",
           "size_name"]

LABELS = {  # name of the score without its unit: what it says, and the number it stands on
    "dice_positive_mean": ("Dice, mean over images with a stone", "n_positive"),
    "iou_positive_mean": ("IoU, mean over images with a stone", "n_positive"),
    "precision_positive_mean": ("precision, mean over images with a stone", "n_positive"),
    "recall_positive_mean": ("recall, mean over images with a stone", "n_positive"),
    "dice_pooled": ("Dice, pooled over all pixels", "n_images"),
    "iou_pooled": ("IoU, pooled over all pixels", "n_images"),
    "precision_pooled": ("precision, pooled over all pixels", "n_images"),
    "recall_pooled": ("recall, pooled over all pixels", "n_images"),
    "stone_sensitivity": ("stones found (sensitivity)", "n_stones"),
    "stone_sensitivity_iou01": ("stones found with IoU >= 0.1", "n_stones"),
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
    """Name of a size bin, for example "3 to 5 mm"."""
    low, high = size_bin["low"], size_bin["high"]
    if high is None:
        return f"{low:g} {unit} and more"
    return f"{low:g} to {high:g} {unit}" if low else f"below {high:g} {unit}"


def score_rows(scores: Mapping[str, Any],
               rivals: Mapping[str, Mapping[str, Any]] | None = None) -> list[list[str]]:
    """Scores with their intervals, the stones by size, and what rivals reach, as rows of equal length.

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
        key = name + unit if name not in scores else name
        interval = interval_text(scores["intervals"].get(key))
        rows.append([label.format(unit=unit), number_text(scores[key]), interval, str(counts[count]),
                     *(number_text(rival.get(key)) for rival in rivals.values())])
    for size_bin in scores["size_bins"]:
        rows.append([f"stones found, {size_name(size_bin, unit)}", number_text(size_bin["sensitivity"]),
                     interval_text(size_bin["interval"]), str(size_bin["n_stones"]), *("" for _ in rivals)])
    return rows


def score_table(scores: Mapping[str, Any], rivals: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """The rows of `score_rows`, aligned as lines of text, and below them `score_remarks`."""
    return "\n".join([*_aligned(score_rows(scores, rivals)), *score_remarks(scores)])


def interval_text(ends: list[float] | None) -> str:
    """Both ends; "-" where there is none, or where all groups score the same and tell nothing of others."""
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


def score_remarks(scores: Mapping[str, Any]) -> list[str]:
    """What the table does not hold, one sentence each: threshold, infinite distances, areas, sizes."""
    unit, size, calibration = scores["unit"], scores["size_agreement"], scores["calibration"]
    low, high = size["limits"]
    remarks = [
        f"threshold {scores['threshold']:.6g}, regions of at least {scores['min_pixels']} pixels; "
        f"{scores['n_merged']} regions join several stones, {scores['n_split']} stones are split",
        f"nothing predicted in {scores['n_distances_infinite']} images with a stone: their distances are "
        "infinite and left out",
        f"area under the precision-recall curve {number_text(scores['precision_recall']['area'])}, "
        f"calibration error (ECE) on the foreground {number_text(calibration['ece'])}",
        f"diameter predicted - true, {size['n']} stones: bias {number_text(size['bias'])} {unit}, 95 % "
        f"limits {number_text(low)} to {number_text(high)} {unit}",
    ]
    if unit == "px":
        remarks.append("The size of the pixels is not known here: sizes and distances are in pixels.")
    return remarks
