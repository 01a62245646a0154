"""The patient who runs through the lessons, chosen by a rule that knows no score."""

from __future__ import annotations

from collections.abc import Sequence

from unet_helpers.data import Pair, known_stones, load_mask
from unet_helpers.engine.calm import CalmError
from unet_helpers.metrics import label_stones

__all__ = ["HERO_MM", "hero_case"]

HERO_MM = 4.6  # a stone that hurts, often passes by itself, and is easily missed


def hero_case(test_pairs: Sequence[Pair]) -> Pair:
    """The slice that all lessons follow: one section of one known stone, its size nearest to 4.6 mm.

    Args:
        test_pairs: The test part of a data set; the training never sees it.

    Returns:
        One of the pairs. Where a data set does not know its stones, the slice whose one section is of median
        size; where every slice with a stone shows several sections, the one of median size among those.

    Raises:
        CalmError: If no slice holds a stone; a ValueError.
    """
    known = known_stones(test_pairs)
    if known is None:
        return _median_section(test_pairs)
    single = [
        (abs(stones[0].diameter_mm - HERO_MM), pair.image_path.name, pair)
        for pair, stones in zip(test_pairs, known, strict=True)
        if len(stones) == 1
    ]
    for _, _, pair in sorted(single, key=lambda one: one[:2]):
        if label_stones(load_mask(pair))[1] == 1:
            return pair
    return _median_section(test_pairs)


def _median_section(pairs: Sequence[Pair]) -> Pair:
    masks = ((pair, load_mask(pair)) for pair in pairs)
    sizes = [
        (label_stones(mask)[1], int(mask.sum()), pair.image_path.name, pair)
        for pair, mask in masks
        if mask.any()
    ]
    if not sizes:
        raise CalmError(
            f"test_pairs must hold a stone for the lesson to follow, got {len(pairs)} images without any. "
            "Give a data set with stones in more patients, or leave UNET_DATA away to work on the phantom."
        )
    wanted = [one for one in sizes if one[0] == 1] or sizes
    return sorted(wanted, key=lambda one: one[1:3])[len(wanted) // 2][3]
