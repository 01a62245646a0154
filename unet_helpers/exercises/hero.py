"""The patient who runs through the lessons, chosen by a rule that knows no score."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unet_helpers.data import (
    Pair,
    find_pairs,
    known_stones,
    load_mask,
    load_pair,
    open_dataset,
    split_by_group,
    stone_strata,
)
from unet_helpers.engine.calm import CalmError
from unet_helpers.metrics import label_stones

__all__ = ["HERO_MM", "hero_case", "meet_hero"]

HERO_MM = 4.6  # a stone that hurts, often passes by itself, and is easily missed
# patient and slice that `hero_case` chooses in a phantom, by patients, slices, size and seed of the phantom
_CHOSEN = {(96, 8, 256, 0): (83, 5)}


def meet_hero() -> tuple[Pair, NDArray[np.uint8], NDArray[Any]]:
    """Our patient's slice and its mask, within a second, while the rest of the phantom is still drawn.

    Of other data (`UNET_DATA`) it is the slice that `hero_case` chooses, which needs all of it.

    Returns:
        The pair that `hero_case` chooses, whose files may not be there before `data.open_dataset` is; its
        image, uint8 (H, W), and its mask, bool (H, W).
    """
    from unet_helpers.folders.sources import PHANTOM, phantom_folder

    if (os.environ.get("UNET_DATA") or "phantom") == "phantom" and PHANTOM in _CHOSEN:
        return _drawn(phantom_folder(*PHANTOM), PHANTOM)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the lesson opens the data again, and hears them then
        pairs = find_pairs(open_dataset())
        split = split_by_group(pairs, strata=stone_strata(pairs))
    hero = hero_case(split["test"])
    return hero, *load_pair(hero)


def _drawn(folder: Path, settings: tuple[int, int, int, int]) -> tuple[Pair, NDArray[np.uint8], NDArray[Any]]:
    """The hero of a phantom: out of his files, or drawn as they will be."""
    from unet_helpers.phantom import dataset, slice_depths

    (n_patients, n_slices, size, seed), (index, number) = settings, _CHOSEN[settings]
    stem = dataset.stem_of(index, number, seed)
    hero = Pair(folder / f"{stem}.jpg", folder / f"{stem}_mask.png", dataset.exam_of(index))
    if folder.is_dir():
        return hero, *load_pair(hero)
    with TemporaryDirectory() as scratch:
        patient = dataset.patient_of_set(index, seed)
        job = dataset.Job(scratch, n_patients, n_slices, size, seed)
        dataset.write_slice(Path(scratch), patient, slice_depths(patient, n_slices)[number], stem, job)
        image, mask = load_pair(Pair(Path(scratch, f"{stem}.jpg"), Path(scratch, f"{stem}_mask.png"), ""))
    return hero, image, mask


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
