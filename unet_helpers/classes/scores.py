"""Scores of several classes: each against all the others, and their mean."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_helpers.classes.masks import Labels
from unet_helpers.engine.checks import check_lengths
from unet_helpers.scores import records, summary
from unet_helpers.scores.table import interval_text, number_text

if TYPE_CHECKING:
    from unet_helpers.scores.surface import Spacing

__all__ = ["class_table", "evaluate_classes"]

MEANS = ("dice_positive_mean", "iou_positive_mean", "dice_pooled", "iou_pooled")


def evaluate_classes(
    predictions: Sequence[Labels],
    targets: Sequence[Labels],
    names: Sequence[str],
    groups: Sequence[Hashable] | None = None,
    spacing_mm: Spacing | Sequence[Spacing] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores of each class and their mean over the classes.

    Args:
        predictions: Labels (H, W), one an image.
        targets: Labels of the same shapes.
        names: Of the classes 1 to n.
        groups: Patient of each image, the unit of the intervals; None takes each image for one.
        spacing_mm: Pixel size as for `evaluation.evaluate`; None gives distances in pixels.
        n_resamples, seed: Of the bootstrap.

    Returns:
        `classes`: by name the flat scores of `evaluation.evaluate` with `intervals` and `size_bins`, where
        "stone" reads "this class"; `class_means`: Dice and IoU, mean over the classes; `n_images`,
        `n_groups`, `unit`. Plain numbers, lists and dicts; what is undefined is NaN, and left out of means.

    Raises:
        ValueError: If numbers or shapes differ, or a label has no name.
    """
    check_lengths(predictions, targets)
    highest = max(int(labels.max(initial=0)) for labels in (*predictions, *targets))
    if highest > len(names):
        raise ValueError(f"names must name every class, got {len(names)} for labels up to {highest}.")
    sizes = records.pixel_sizes(spacing_mm, len(targets))
    groups, unit = range(len(targets)) if groups is None else groups, "px" if spacing_mm is None else "mm"
    of_class: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(names, start=1):
        images = [
            records.score_image(p == number, t == number, size, surface=True)
            for p, t, size in zip(predictions, targets, sizes, strict=True)
        ]
        intervals, bins, _ = summary.score_intervals(images, [], unit, groups, n_resamples, seed)
        flat = {**summary.flat_scores(images, [], unit), **summary.distance_counts(images)}
        of_class[name] = {**flat, "intervals": intervals, "size_bins": bins}
    return {
        "classes": of_class,
        "class_means": {mean: _mean([scores[mean] for scores in of_class.values()]) for mean in MEANS},
        "n_images": len(targets),
        "n_groups": len(set(groups)),
        "unit": unit,
    }


def _mean(values: Sequence[float]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def class_table(scores: Mapping[str, Any]) -> str:
    """What `evaluate_classes` returned, a line for each class and one for their mean."""
    rows = [["class", "Dice", "95 % interval", "IoU", "pooled Dice", "found", "false alarms", "images"]]
    for name, one in scores["classes"].items():
        found = f"{round(_times(one['section_sensitivity'], one['n_sections']))} of {one['n_sections']}"
        rows.append(
            [
                name,
                number_text(one["dice_positive_mean"]),
                interval_text(one["intervals"]["dice_positive_mean"]),
                number_text(one["iou_positive_mean"]),
                number_text(one["dice_pooled"]),
                found,
                f"{one['false_positives_per_image']:.2f}",
                str(one["n_positive"]),
            ]
        )
    means = scores["class_means"]
    numbers = [number_text(means[name]) for name in MEANS]
    rows.append(["mean over classes", numbers[0], "", numbers[1], numbers[2], "", "", ""])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    notes = (
        "Dice and IoU: mean over the images that show the class, whose number stands last; found: sections "
        "of the true labels that a predicted region matches; false alarms: regions without a match, an image."
    )
    return "\n".join([*(line.rstrip() for line in lines), notes])


def _times(share: float, n: int) -> float:
    return share * n if n else 0.0
