"""Is one method better than another on the same images, or was it chance?"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from unet_helpers.metrics import divided
from unet_helpers.scores import intervals, summary

__all__ = ["compare"]


def compare(
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    groups: Sequence[Hashable] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """How much two methods differ on the same images: the paired difference, second - first.

    Two intervals that overlap say nothing about it: what is hard for both methods widens both of them.

    Args:
        first, second: What `evaluate` returned for each on the same images; `per_image` is read.
        groups: Group of each image, as given to `evaluate`; None takes each image for one.
        n_resamples, seed: Of the bootstrap.

    Returns:
        For "dice_positive_mean", "section_sensitivity" and "false_positives_per_image" a dict with `first`,
        `second`, `difference` and its 95 % `interval` [low, high]: without a 0 in it, the methods differ.

    Raises:
        ValueError: If the two were not scored on the same images.
    """
    methods = (first["per_image"], second["per_image"])
    one, other = ([image["n_sections"] for image in method] for method in methods)
    if one != other:
        counts = f"{len(one)} images with {sum(one)} sections and {len(other)} with {sum(other)}"
        raise ValueError(f"first and second must be scores of the same images, got {counts}.")
    groups = range(len(one)) if groups is None else groups
    names, *ratios = summary.as_columns(map(summary.compared_ratios, methods[0]))
    _, *others = summary.as_columns(map(summary.compared_ratios, methods[1]))
    changes, ends = intervals.paired_difference(ratios, others, groups, n_resamples, seed)
    scores = [divided(above.sum(0), below.sum(0)).tolist() for above, below in (ratios, others)]
    rows = zip(names, *scores, changes.tolist(), ends.tolist(), strict=True)
    return {
        name: {"first": before, "second": after, "difference": change, "interval": interval}
        for name, before, after, change, interval in rows
    }
