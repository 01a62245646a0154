"""Exercises of lesson 5: Dice with empty masks, cheating a metric, the score to report, an interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unet_helpers.exercises import Exercise, NotAttempted
from unet_helpers.exercises.calling import Outcome, called, kind_of, number_of
from unet_helpers.exercises.judges import is_function, is_number
from unet_helpers.metrics import label_stones, match_stones
from unet_helpers.scores.intervals import bootstrap_intervals

__all__ = ["cheat", "honest_score", "interval", "my_dice"]

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Dices = Mapping[str, NDArray[np.float64]]  # Dice of the slices of each patient


def _mask(*rows: str) -> Mask:
    """A mask drawn with characters: # is stone."""
    return np.array([[character == "#" for character in row] for row in rows])


# ------------------------------------------------------------------------------------- 1: Dice, and NaN
TARGET, SHIFTED, NOTHING = (
    _mask("......", ".###..", ".###..", ".###.."),
    _mask("......", "..###.", "..###.", "..###."),
    _mask("......", "......", "......", "......"),
)
LARGER = _mask("######", "######", "######", "######")
NAN = float("nan")
ONE_IS_EMPTY: tuple[Callable[[int, int, int], bool], ...] = (
    lambda tp, fp, fn: tp == 0,  # either one, or no shared pixel
    lambda tp, fp, fn: tp + fp == 0 or tp + fn == 0,  # either one
    lambda tp, fp, fn: tp + fn == 0,  # no stone is there
    lambda tp, fp, fn: tp + fp == 0,  # nothing is predicted
)
ONE_EMPTY = "one mask alone is empty, and you return NaN. A missed stone and a false alarm both score 0."


def _counts(prediction: Mask, target: Mask) -> tuple[int, int, int]:
    regions = prediction & target, prediction & ~target, ~prediction & target
    tp, fp, fn = (int(region.sum()) for region in regions)
    return tp, fp, fn


def _dice_or(empty: float, prediction: Mask, target: Mask) -> float:
    tp, fp, fn = _counts(prediction, target)
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else empty


def _with_epsilon(prediction: Mask, target: Mask) -> float:
    tp, fp, fn = _counts(prediction, target)
    return (2 * tp + 1) / (2 * tp + fp + fn + 1)


def _iou(prediction: Mask, target: Mask) -> float:
    tp, fp, fn = _counts(prediction, target)
    return tp / (tp + fp + fn) if tp + fp + fn else NAN


def _without_twos(prediction: Mask, target: Mask) -> float:
    tp, fp, fn = _counts(prediction, target)
    return tp / (2 * tp + fp + fn) if tp + fp + fn else NAN


def _nan_if(empty: Callable[[int, int, int], bool]) -> Callable[[Mask, Mask], float]:
    """Dice, but NaN where the counts TP, FP and FN are as they should not be; NaN for two empty masks."""

    def wrong(prediction: Mask, target: Mask) -> float:
        return NAN if empty(*_counts(prediction, target)) else _dice_or(NAN, prediction, target)

    return wrong


def _without_brackets(prediction: Mask, target: Mask) -> float:
    tp, fp, fn = _counts(prediction, target)
    return 2 * tp / 2 * tp + fp + fn


def _accuracy(prediction: Mask, target: Mask) -> float:
    return float((prediction == target).mean())


my_dice = Exercise(
    judge=is_function(
        cases=[
            ((SHIFTED, TARGET), 2 / 3),
            ((NOTHING, TARGET), 0.0),
            ((TARGET, NOTHING), 0.0),
            ((NOTHING, NOTHING), NAN),
        ],
        hidden=[
            ((TARGET, TARGET), 1.0),
            ((LARGER, TARGET), 18 / 33),
            ((_mask("#"), _mask("#")), 1.0),
            ((_mask("."), _mask(".")), NAN),
            ((_mask("##..", "...."), _mask("...#", "...#")), 0.0),
        ],
        slips=[
            (
                lambda p, t: _dice_or(1.0, p, t),
                "with nothing there and nothing predicted you return 1. That rewards who predicts nothing.",
            ),
            (
                lambda p, t: _dice_or(0.0, p, t),
                "with nothing there and nothing predicted you return 0, as if a stone had been missed.",
            ),
            (_with_epsilon, "you added 1 above and below the line: a missed pixel then scores 0.5."),
            (_iou, "this is the IoU. In Dice the shared pixels count twice, above and below the line."),
            (_without_twos, "above the line the shared pixels count twice as well."),
            (_without_brackets, "the division ends at the 2: put everything below the line in brackets."),
            *((_nan_if(one), ONE_EMPTY) for one in ONE_IS_EMPTY),
            (
                _nan_if(lambda tp, fp, fn: fp + fn == 0),
                "a perfect answer scores 1, and yours is NaN there. When is nothing there to overlap?",
            ),
            (_accuracy, "this is accuracy: the black pixels must not count."),
        ],
    ),
    hint_text="fp: predicted and not true, `prediction & ~target`. Ask whether all three counts are 0 first.",
    solution_text=(
        "def my_dice(prediction, target):\n"
        "    tp = np.sum(prediction & target)\n"
        "    fp = np.sum(prediction & ~target)\n"
        "    fn = np.sum(~prediction & target)\n"
        '    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else float("nan")\n'
    ),
    because="An image with nothing to overlap says nothing about overlap; it is counted elsewhere.",
    name="lesson05.my_dice",
)


# ------------------------------------------------------------------------------------- 2: cheat a metric
def _scan(*stones: tuple[int, int, int, int], shape: tuple[int, int] = (32, 40)) -> tuple[Image, Mask]:
    """A noisy grey slice with stones, given by row, column, side in pixels and grey."""
    image = np.random.default_rng(len(stones)).integers(90, 120, shape).astype(np.uint8)
    mask = np.zeros(shape, bool)
    for row, column, side, grey in stones:
        image[row : row + side, column : column + side] = grey
        mask[row : row + side, column : column + side] = True
    image[:, 2:5] = 255  # a bone
    return image, mask


SCANS = (
    _scan((10, 20, 4, 230)),
    _scan((0, 39, 1, 130), (31, 12, 1, 200), (15, 30, 6, 140)),  # single pixels, in corners, hardly brighter
    _scan((7, 8, 2, 180), (20, 33, 3, 250), shape=(30, 50)),
    _scan((0, 6, 26, 240)),  # a stone that fills half the picture
)


def _judge_cheat(answer: Any) -> str | None:
    if not callable(answer):
        return f"a function was expected, got {kind_of(answer)}. Give its name alone, without brackets."
    outcomes = [called(answer, (image,)) for image, _ in SCANS]
    if any(one.dots for one in outcomes):
        raise NotAttempted
    for (image, _), outcome in zip(SCANS, outcomes, strict=True):
        if problem := _problem(outcome, image):
            return problem
    for rule in (_untouched, _idle, _honest):
        for (_, target), outcome in zip(SCANS, outcomes, strict=True):
            if verdict := rule(np.asarray(outcome.result), target):
                return verdict
    return next((one.changed for one in outcomes if one.changed), None)


def _problem(outcome: Outcome, image: Image) -> str:
    """What is wrong with the form of a prediction; empty if nothing is."""
    result = outcome.result
    if outcome.problem:
        return outcome.problem
    if result is None:
        return "your function returns None. Is `return` there?"
    if getattr(result, "shape", None) != image.shape:
        return f"a mask of the picture's shape {image.shape} was expected, got {_form(result)}."
    if str(result.dtype).removeprefix("torch.") != "bool":
        return f"a mask holds True and False (dtype bool), and yours holds {result.dtype}."
    return ""


def _form(result: Any) -> str:
    shape = getattr(result, "shape", None)
    return kind_of(result) if shape is None else f"the shape {tuple(shape)}"


def _untouched(prediction: Mask, target: Mask) -> str:
    match = match_stones(prediction, target)
    n_missed = match.n_sections - match.n_touched
    if not n_missed:
        return ""
    return (
        f"on one of the pictures, {n_missed} of {match.n_sections} stones {'is' if n_missed == 1 else 'are'} "
        "not touched. A stone may lie anywhere, be one pixel wide and hardly brighter than its surroundings."
    )


def _idle(prediction: Mask, target: Mask) -> str:
    labels, n_regions = label_stones(prediction)
    idle = n_regions - len(np.unique(labels[prediction & target]))
    if not idle:
        return ""
    return f"every stone is touched, but {idle} of your regions touch none: those are false alarms."


def _honest(prediction: Mask, target: Mask) -> str:
    if not match_stones(prediction, target).n_found or target.mean() > 0.1:
        return ""  # a giant is found by whoever marks everything
    return "this finds a stone by honest means. Useless, please: it may say nothing about the place."


cheat = Exercise(
    judge=_judge_cheat,
    hint_text="One region that touches everything is enough. Which mask touches every stone, wherever it is?",
    solution_text="def cheat(image):\n    return np.ones(image.shape, bool)  # everything is stone\n",
    because="It touches every stone, no region of it touches none, and it knows nothing at all.",
    name="lesson05.cheat",
)

# ------------------------------------------------------------------------------------ 3: the honest score
honest_score = Exercise(
    judge=is_number(
        0.80,
        slips={
            0.83: "you chose by the test score, so this test set has become a validation set.",
            0.84: "the network was chosen because of this number, so it is too optimistic.",
            0.8133: (6e-4, "this is the mean of all three, and you deliver one of them. Which?"),
            0.81: "this is C's; which of the three would you deliver, judging by validation alone?",
            0.82: "this is B's validation score; choose a network first, then its score on unseen images.",
        },
    ),
    hint_text="First choose the network without looking at the test column, then report its test score.",
    solution_text="answer = 0.80  # A is the best on validation; its test score is the honest one\n",
    because="Validation chose the network, so its test images had no say, and their score is a fair one.",
    name="lesson05.honest_score",
)


# ------------------------------------------------------------------------------- 4: an interval by patient
def _patients(seed: int, n_patients: int, n_slices: int) -> Dices:
    """Patients of whom some are hard, with slices that are much alike."""
    rng = np.random.default_rng(seed)
    middles = rng.choice([0.95, 0.9, 0.5], n_patients)
    return {
        f"patient {k}": np.clip(rng.normal(middle, 0.02, n_slices + k % 3), 0, 1)
        for k, middle in enumerate(middles)
    }


N_RESAMPLES = 2000
CASES = ((_patients(1, 12, 8), 0), (_patients(2, 30, 5), 7), (_patients(5, 6, 12), 1))


def _ends(dices: Dices, by_slice: bool = False) -> tuple[float, float]:
    """Both ends of the interval that is right, or of the one over slices."""
    values = np.concatenate(list(dices.values()))[:, None]
    names = [name for name, scores in dices.items() for _ in scores]
    groups = range(len(names)) if by_slice else names
    low, high = bootstrap_intervals(values, np.ones_like(values), groups, N_RESAMPLES, seed=3)[0].tolist()
    return low, high


def _judge_interval(answer: Any) -> str | None:
    if not callable(answer):
        return f"a function was expected, got {kind_of(answer)}. Give its name alone, without brackets."
    outcomes = [called(answer, (dict(dices), N_RESAMPLES, seed)) for dices, seed in CASES]
    if any(one.dots for one in outcomes):
        raise NotAttempted
    for (dices, _), outcome in zip(CASES, outcomes, strict=True):
        verdict = _told(outcome.problem) or _judge_ends(outcome.result, dices)
        if verdict:
            return verdict
    return None


def _told(problem: str) -> str:
    """An error in words; a name that is no patient's is the usual one."""
    if "KeyError" not in problem:
        return problem
    return f"{problem} What you drew holds something that is no name. It must be a list of names of patients."


def _judge_ends(result: Any, dices: Dices) -> str:
    if isinstance(result, str | dict) or not hasattr(result, "__len__") or len(result) != 2:
        return f"two ends, low and high, were expected, got {kind_of(result)}."
    low, high = map(number_of, result)
    if low is None or high is None or not np.isfinite([low, high]).all():
        return "both ends must be numbers, and at least one of yours is none."
    true_low, true_high = _ends(dices)
    width, own = true_high - true_low, high - low
    if own < 0:
        return "your low end lies above your high one."
    if own < 1e-9:
        return "all your resamples are equal. Draw with replacement: some patients twice, some not at all."
    if max(abs(low - true_low), abs(high - true_high)) <= 0.12 * width:
        return ""
    slice_low, slice_high = _ends(dices, by_slice=True)
    if abs(own - (slice_high - slice_low)) <= 0.15 * (slice_high - slice_low):
        return (
            "this interval is as narrow as if slices had been drawn. Draw patients, with all their slices, "
            "and as many as there are patients."
        )
    if own > width:
        return "your interval is too wide. Draw as many patients as there are, not fewer."
    return "your interval is too narrow. Draw as many patients as there are, and keep the middle 95 %."


interval = Exercise(
    judge=_judge_interval,
    hint_text="`rng.choice(names, size=...)` draws with replacement; how many names make a test set?",
    solution_text=(
        "def interval(dice_of, n_resamples, seed):\n"
        "    rng = np.random.default_rng(seed)\n"
        "    names = list(dice_of)\n"
        "    means = []\n"
        "    for _ in range(n_resamples):\n"
        "        drawn = rng.choice(names, size=len(names))  # with replacement\n"
        "        means.append(np.concatenate([dice_of[name] for name in drawn]).mean())\n"
        "    return np.percentile(means, [2.5, 97.5])\n"
    ),
    because="What is drawn is what is independent: the patient, with all his slices.",
    name="lesson05.interval",
)
