"""The exercises of lesson 5 accept every right way and name the usual slips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from unet_helpers import metrics
from unet_helpers.exercises import Exercise, lesson05

EXERCISES = {name: getattr(lesson05, name) for name in lesson05.__all__}
CHECKED = {"my_dice": "my_dice", "cheat": "cheat", "honest_score": "answer", "interval": "interval"}


def solved(name: str) -> Any:
    space: dict[str, Any] = {"np": np}
    exec(EXERCISES[name].solution_text, space)
    return space[CHECKED[name]]


def verdict(exercise: Exercise, answer: Any, capsys: pytest.CaptureFixture[str]) -> str:
    exercise.check(answer)
    return capsys.readouterr().out


@pytest.mark.parametrize("name", EXERCISES)
def test_solution_is_accepted_and_hints_do_not_tell(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(EXERCISES[name], solved(name), capsys).startswith("✅")
    EXERCISES[name].hint()
    assert CHECKED[name] + " =" not in capsys.readouterr().out
    assert EXERCISES[name].name == f"lesson05.{name}" and EXERCISES[name].because.endswith(".")


def untouched_dice(prediction: Any, target: Any) -> Any:
    np.sum(prediction & target)
    return ...


def untouched_cheat(image: Any) -> Any:
    return ...


def untouched_interval(dice_of: Any, n_resamples: int, seed: int) -> Any:
    means = []
    for _ in range(n_resamples):
        drawn: Any = ...
        means.append(np.concatenate([dice_of[name] for name in drawn]).mean())
    return np.percentile(means, [2.5, 97.5])


@pytest.mark.parametrize(
    ("name", "stub"),
    [
        ("my_dice", untouched_dice),
        ("cheat", untouched_cheat),
        ("interval", untouched_interval),
        ("honest_score", ...),
    ],
)
def test_the_stub_is_not_attempted(name: str, stub: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Not attempted" in verdict(EXERCISES[name], stub, capsys)


# ------------------------------------------------------------------------------------------- my_dice
def counts(prediction: Any, target: Any) -> tuple[Any, Any, Any]:
    return np.sum(prediction & target), np.sum(prediction & ~target), np.sum(~prediction & target)


def by_sizes(prediction: Any, target: Any) -> Any:
    both = prediction.sum() + target.sum()
    return float("nan") if both == 0 else 2 * (prediction & target).sum() / both


def left_to_numpy(prediction: Any, target: Any) -> Any:
    tp, fp, fn = counts(prediction, target)
    return 2 * tp / (2 * tp + fp + fn)  # 0 / 0 of numpy is NaN


@pytest.mark.parametrize("right", [by_sizes, left_to_numpy, metrics.dice])
def test_dice_may_be_written_in_any_way(right: Callable[..., Any], capsys) -> None:
    assert verdict(lesson05.my_dice, right, capsys).startswith("✅")


def dice_of_python(prediction: Any, target: Any) -> float:
    tp, fp, fn = map(int, counts(prediction, target))
    return 2 * tp / (2 * tp + fp + fn)


def one_for_empty(prediction: Any, target: Any) -> Any:
    return 1.0 if not prediction.any() and not target.any() else by_sizes(prediction, target)


def zero_for_empty(prediction: Any, target: Any) -> Any:
    return float(np.nan_to_num(by_sizes(prediction, target)))


def nan_for_a_missed_stone(prediction: Any, target: Any) -> Any:
    return float("nan") if not prediction.any() or not target.any() else by_sizes(prediction, target)


def nan_without(what: Callable[[int, int, int], int]) -> Callable[[Any, Any], float]:
    """Dice that asks the wrong question before it divides."""

    def wrong(prediction: Any, target: Any) -> float:
        tp, fp, fn = map(int, counts(prediction, target))
        return 2 * tp / (2 * tp + fp + fn) if what(tp, fp, fn) else float("nan")

    return wrong


def without_brackets(prediction: Any, target: Any) -> Any:
    tp, fp, fn = counts(prediction, target)
    return 2 * tp / 2 * tp + fp + fn


def smooth(prediction: Any, target: Any) -> Any:
    tp, fp, fn = counts(prediction, target)
    return (2 * tp + 1) / (2 * tp + fp + fn + 1)


def known_cases_only(prediction: Any, target: Any) -> Any:
    if not target.any():
        return float("nan") if not prediction.any() else 0.0
    return 2 / 3 if prediction.any() else 0.0


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        (dice_of_python, "ZeroDivisionError"),
        (one_for_empty, "rewards who predicts nothing"),
        (zero_for_empty, "as if a stone had been missed"),
        (nan_for_a_missed_stone, "A missed stone and a false alarm both score 0"),
        (nan_without(lambda tp, fp, fn: tp + fn), "A missed stone and a false alarm both score 0"),
        (nan_without(lambda tp, fp, fn: tp + fp), "A missed stone and a false alarm both score 0"),
        (nan_without(lambda tp, fp, fn: tp), "A missed stone and a false alarm both score 0"),
        (nan_without(lambda tp, fp, fn: fp + fn), "a perfect answer scores 1"),
        (without_brackets, "in brackets"),
        (smooth, "a missed pixel then scores 0.5"),
        (metrics.iou, "this is the IoU"),
        (lambda p, t: float((p == t).mean()), "accuracy"),
        (known_cases_only, "that is not right"),
        (lambda p, t: None, "None"),
        (lambda p: 1.0, "called with 2 arguments"),
        (0.5, "a function was expected"),
    ],
)
def test_a_wrong_dice_is_told_its_slip(wrong: Any, part: str, capsys) -> None:
    told = verdict(lesson05.my_dice, wrong, capsys)
    assert told.startswith("❌") and part in told


# --------------------------------------------------------------------------------------------- cheat
def test_the_cheat_is_what_it_says() -> None:
    """Every stone touched, no idle region, and nothing found wherever stones are small."""
    for image, target in lesson05.SCANS:
        match = metrics.match_stones(solved("cheat")(image), target)
        assert match.n_touched == match.n_sections
        assert match.n_found == 0 or target.mean() > 0.1


@pytest.mark.parametrize(
    "right",
    [
        lambda image: image >= 0,
        lambda image: np.full(image.shape, True),
        lambda image: np.zeros_like(image) == 0,
        lambda image: ~np.zeros(image.shape, bool),
    ],
)
def test_every_useless_prediction_passes(right: Callable[..., Any], capsys) -> None:
    assert verdict(lesson05.cheat, right, capsys).startswith("✅")


def with_the_truth(image: Any) -> Any:
    return next(target for scan, target in lesson05.SCANS if np.array_equal(scan, image)).copy()


def every_other(image: Any) -> Any:
    return (np.indices(image.shape).sum(0) % 2 == 0) & (image >= 0)


def blots(image: Any) -> Any:
    mask = with_the_truth(image)
    mask[28:30, 36:38] = True
    return mask


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        (lambda image: np.zeros(image.shape, bool), "not touched"),
        (lambda image: image > 125, "touch none"),  # a threshold: the bone is idle
        (lambda image: (image > 200) & (image < 255), "not touched"),  # some stones are dim
        (every_other, "not touched"),
        (with_the_truth, "by honest means"),
        (blots, "touch none"),
        (lambda image: np.ones_like(image), "dtype bool"),
        (lambda image: np.ones((8, 8), bool), "picture's shape (32, 40)"),
        (lambda image: True, "got True or False"),
        (lambda image: None, "None"),
        (lambda image: image.nothing, "AttributeError"),
        (lambda: 1, "called with 1 argument,"),
        ("all", "a function was expected"),
    ],
)
def test_what_is_no_cheat_is_told_why(wrong: Any, part: str, capsys) -> None:
    told = verdict(lesson05.cheat, wrong, capsys)
    assert told.startswith("❌") and part in told


# -------------------------------------------------------------------------------------- honest_score
@pytest.mark.parametrize(
    ("answer", "part"),
    [
        (0.83, "chose by the test score"),
        (83, "chose by the test score"),
        (0.84, "too optimistic"),
        (0.82, "unseen images"),
        (0.81, "validation alone"),
        (0.813, "mean of all three"),
        (80, "right in per cent"),
        (80.0, "right in per cent"),
        (0.5, "that is not the number"),
        (8, "that is not the number"),
        ("A", "a number was expected"),
    ],
)
def test_slips_and_percentages_are_named(answer: Any, part: str, capsys) -> None:
    told = verdict(lesson05.honest_score, answer, capsys)
    assert told.startswith("❌") and part in told


# ------------------------------------------------------------------------------------------ interval
def bootstrap(draw: Callable[..., Any], percent: tuple[float, float] = (2.5, 97.5)) -> Callable[..., Any]:
    def interval(dice_of: Any, n_resamples: int, seed: int) -> Any:
        rng = np.random.default_rng(seed)
        means = [np.concatenate(draw(rng, dice_of)).mean() for _ in range(n_resamples)]
        return np.percentile(means, percent)

    return interval


def patients(rng: Any, dice_of: Any) -> Any:
    return [dice_of[name] for name in rng.choice(list(dice_of), len(dice_of))]


def by_number(rng: Any, dice_of: Any) -> Any:
    scores = list(dice_of.values())
    return [scores[k] for k in rng.integers(0, len(scores), len(scores))]


def without_putting_back(rng: Any, dice_of: Any) -> Any:
    return [dice_of[name] for name in rng.permutation(list(dice_of))]


def slices(rng: Any, dice_of: Any) -> Any:
    scores = np.concatenate(list(dice_of.values()))
    return [rng.choice(scores, len(scores))]


def too_few(rng: Any, dice_of: Any) -> Any:
    return [dice_of[name] for name in rng.choice(list(dice_of), 3)]


def too_many(rng: Any, dice_of: Any) -> Any:
    return [dice_of[name] for name in rng.choice(list(dice_of), 4 * len(dice_of))]


@pytest.mark.parametrize("draw", [patients, by_number])
def test_the_interval_may_be_drawn_in_any_way(draw: Callable[..., Any], capsys) -> None:
    assert verdict(lesson05.interval, bootstrap(draw), capsys).startswith("✅")
    assert lesson05.interval.judge(lambda *a: tuple(bootstrap(draw)(*a))) is None


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        (bootstrap(without_putting_back), "with replacement"),
        (bootstrap(slices), "as if slices had been drawn"),
        (bootstrap(too_few), "too wide"),
        (bootstrap(too_many), "narrow"),
        (bootstrap(patients, (25, 75)), "narrow"),
        (bootstrap(patients, (97.5, 2.5)), "above your high one"),
        (lambda dice_of, n, seed: 0.9, "two ends"),
        (lambda dice_of, n, seed: ("low", "high"), "at least one of yours is none"),
        (lambda dice_of, n, seed: (float("nan"), 1.0), "at least one of yours is none"),
        (lambda dice_of: (0, 1), "called with 3 arguments"),
        (lambda dice_of, n, seed: dice_of["me"], "KeyError"),
        (lambda dice_of, n, seed: dice_of["me"], "a list of names"),
        ([0.8, 0.9], "a function was expected"),
    ],
)
def test_a_wrong_interval_is_told_why(wrong: Any, part: str, capsys) -> None:
    told = verdict(lesson05.interval, wrong, capsys)
    assert told.startswith("❌") and part in told
