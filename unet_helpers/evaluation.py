"""From probabilities to a score: choose on validation data, report on test data, beat the baselines.

What is counted in one image stands in `metrics`. What a data set makes of it (sums, intervals, curves) stands
in `scores`, which is loaded when the first score is asked for.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_helpers.engine.checks import check_lengths, check_probabilities, check_validation
from unet_helpers.engine.doors import doors
from unet_helpers.metrics import dice, divided, match_stones, overlap_ratios, predicted_mask

if TYPE_CHECKING:
    from unet_helpers.data import KnownStone
    from unet_helpers.scores.comparison import compare
    from unet_helpers.scores.operating_point import choose_operating_point
    from unet_helpers.scores.surface import Spacing
else:
    _ROOMS = {"scores.comparison": ["compare"], "scores.operating_point": ["choose_operating_point"]}
    __getattr__, __dir__ = doors(__name__, _ROOMS)

__all__ = [
    "THRESHOLDS",
    "choose_grey_threshold",
    "choose_operating_point",
    "choose_threshold",
    "compare",
    "evaluate",
    "score_masks",
]

THRESHOLDS = tuple(round(0.1 + 0.05 * step, 2) for step in range(17))  # 0.10, 0.15, ... 0.90
DICE_TOLERANCE = 0.01  # a few validation patients cannot tell smaller differences from chance
MIN_PIXELS = (0, 2, 3)


# ------------------------------------------------------------------------------ choose, on validation data
def choose_threshold(probabilities: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> tuple[float, int]:
    """Threshold and smallest region to use, chosen on validation data in two steps.

    First the threshold: of all whose mean Dice over the stone-bearing images is within `DICE_TOLERANCE` of
    the best one, the nearest to 0.5. Then the smallest region: the size with the fewest false alarms that
    loses no section found, and of equal ones the least, because an unseen patient may have a smaller stone.

    Args:
        probabilities: Float arrays (H, W) of the validation images.
        targets: Bool arrays of the same shapes; at least one holds a stone.

    Returns:
        The threshold, and the smallest number of pixels a predicted region must have.

    Raises:
        ValueError: If no target holds a stone, or what is given as a probability is none.
    """
    check_validation(probabilities, targets)
    images = list(zip(probabilities, targets, strict=True))
    with_stone = [(p, t) for p, t in images if t.any()]
    scores = [float(np.mean([dice(p >= value, t) for p, t in with_stone])) for value in THRESHOLDS]
    enough = max(scores) - DICE_TOLERANCE
    as_good = [value for value, score in zip(THRESHOLDS, scores, strict=True) if score >= enough]
    threshold = min(as_good, key=lambda value: abs(value - 0.5))

    def errors(min_pixels: int) -> tuple[int, int]:
        """Sections missed, then false alarms: a tuple is compared by its first number first."""
        matches = [match_stones(predicted_mask(p, threshold, min_pixels), t) for p, t in images]
        n_missed = sum(match.n_sections - match.n_found for match in matches)
        return n_missed, sum(match.n_false_positives for match in matches)

    return threshold, min(MIN_PIXELS, key=errors)  # the first, and so the least, of equal ones


def choose_grey_threshold(images: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> tuple[int, float]:
    """Baseline without learning: the grey value whose "everything at least this bright is stone" fits best.

    Args:
        images: Uint8 arrays (H, W).
        targets: Bool arrays of the same shapes.

    Returns:
        The grey value 1..255 with the highest pooled Dice on these images, and that Dice.

    Raises:
        ValueError: If the numbers differ.
    """
    check_lengths(images, targets)
    pixels = np.sum([np.bincount(image.ravel(), minlength=256) for image in images], axis=0)  # (256,)
    pairs = zip(images, targets, strict=True)
    stone = np.sum([np.bincount(image[target], minlength=256) for image, target in pairs], axis=0)
    predicted, hit = pixels[::-1].cumsum()[::-1], stone[::-1].cumsum()[::-1]  # at least this bright
    counts = overlap_ratios(hit, predicted - hit, stone.sum() - hit)
    scores = np.nan_to_num(divided(*counts["dice"]))
    best = int(scores[1:].argmax()) + 1
    return best, float(scores[best])


# ------------------------------------------------------------------------------------ score, on test data
def score_masks(
    predictions: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    stones: Sequence[Sequence[KnownStone]] | None = None,
) -> dict[str, float]:
    """Scores of a set of predicted masks, as plain numbers.

    Args:
        predictions: Bool arrays (H, W), one an image.
        targets: Bool arrays of the same shapes.
        stones: What `data.known_stones` returned for these images.

    Returns:
        The flat scores, plain numbers by their names; `help(unet_helpers.scores)` says what each is. A score
        without any image to stand on is NaN.

    Raises:
        ValueError: If the numbers or shapes of the masks differ.
    """
    from unet_helpers.scores import records, summary

    check_lengths(predictions, targets)
    images = [records.score_image(p, t) for p, t in zip(predictions, targets, strict=True)]
    return summary.flat_scores(images, records.stone_records(stones, targets, images), "px")


def evaluate(
    probabilities: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    threshold: float | Sequence[float],
    min_pixels: int | Sequence[int] = 0,
    groups: Sequence[Hashable] | None = None,
    spacing_mm: Spacing | Sequence[Spacing] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
    stones: Sequence[Sequence[KnownStone]] | None = None,
) -> dict[str, Any]:
    """All scores of a data set, with intervals, curves and records of every image, section and stone.

    Args:
        probabilities: Float arrays (H, W) in [0, 1], one an image.
        targets: Bool arrays of the same shapes.
        threshold: Smallest probability that counts as stone; one number, or one an image, as in
            cross-validation, where each fold has its own.
        min_pixels: Predicted regions with fewer pixels are dropped first; one number, or one an image.
        groups: Patient (exam) of each image, the unit of the intervals; None takes each image for one.
        spacing_mm: Pixel size of these arrays in millimetres: one number or a tuple (row, column), or a list
            with one of these an image. None gives sizes and distances in pixels.
        n_resamples, seed: Of the bootstrap.
        stones: What `data.known_stones` returned for these images, at the size of the files; None if the
            data set does not know which sections are of one stone.

    Returns:
        The flat scores of `score_masks`, distances of outlines, the settings, and nested: intervals, sizes,
        curves, and lists with a dict an image, section and stone; `help(unet_helpers.scores)` says what each
        is. All of it is plain numbers, lists and dicts; what is undefined is NaN.

    Raises:
        ValueError: If numbers or shapes differ, a spacing is not positive, or what is given as a probability
            is none: logits, NaN and infinite values.
    """
    from unet_helpers.scores import curves, records, summary

    check_probabilities(probabilities, targets)
    n_images, unit = len(targets), "px" if spacing_mm is None else "mm"
    thresholds = records.one_an_image("threshold", threshold, n_images, most=1.0)
    smallest = [int(n) for n in records.one_an_image("min_pixels", min_pixels, n_images)]
    sizes = records.pixel_sizes(spacing_mm, n_images)
    images = []
    for i, (probability, target) in enumerate(zip(probabilities, targets, strict=True)):
        prediction = predicted_mask(probability, thresholds[i], smallest[i])  # bool (H, W)
        images.append(records.score_image(prediction, target, sizes[i], surface=True))
    known, sections = records.stone_records(stones, targets, images), records.section_records(images)
    groups = range(n_images) if groups is None else groups
    intervals, bins, bias_interval = summary.score_intervals(images, known, unit, groups, n_resamples, seed)
    return {
        **summary.flat_scores(images, known, unit),
        **summary.distance_counts(images),
        "threshold": _one_if_equal(thresholds),
        "min_pixels": _one_if_equal(smallest),
        "n_groups": len(set(groups)),
        "unit": unit,
        "intervals": intervals,
        "size_bins": bins,
        "size_agreement": {**summary.size_agreement(sections, sizes), "bias_interval": bias_interval},
        **curves.all_curves(probabilities, targets, thresholds, smallest),
        "per_image": [records.image_record(image) for image in images],
        "per_section": sections,
        "per_stone": known,
    }


def _one_if_equal(numbers: Sequence[float]) -> float | list[float]:
    return numbers[0] if len(set(numbers)) == 1 else list(numbers)
