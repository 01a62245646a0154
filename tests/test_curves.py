"""FROC, precision-recall, calibration and agreement: by hand, and against scikit-learn."""

import math
import warnings

import numpy as np
import pytest
from scipy import ndimage

from unet_helpers.metrics import confusion_counts, match_stones, predicted_mask
from unet_helpers.scores.curves import (
    CALIBRATION_EDGES,
    FROC_THRESHOLDS,
    agreement,
    calibration,
    froc,
    precision_recall,
    threshold_counts,
)


def row(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


# ------------------------------------------------------------------------------------------------ FROC
def test_froc_by_hand():
    probabilities = [row(0.9, 0.8, 0, 0, 0.6, 0, 0.3), row(0, 0.7, 0, 0.2, 0, 0, 0)]
    targets = [row(1, 1, 0, 0, 0, 0, 1) > 0, row(0, 0, 0, 1, 0, 0, 0) > 0]  # three stones
    curve = froc(probabilities, targets, (0.2, 0.65, 0.95, 0.5, 0.3))
    assert curve == {
        "threshold": [0.95, 0.65, 0.5, 0.3, 0.2],
        "sensitivity": [0, 1 / 3, 1 / 3, 2 / 3, 1],
        "false_positives_per_image": [0, 1 / 2, 1, 1, 1],
    }
    assert froc(probabilities, targets, (0.2,), min_pixels=2)["sensitivity"] == [1 / 3]


def test_one_large_false_alarm_breaks_into_several():
    curve = froc([row(0.9, 0.5, 0.9, 0.5, 0.9)], [np.zeros((1, 5), bool)], (0.4, 0.8))
    assert curve["false_positives_per_image"] == [3, 1]
    assert all(math.isnan(value) for value in curve["sensitivity"])  # no stone to find


def test_thresholds_are_even_in_the_logit_and_hold_a_half():
    logits = np.log(FROC_THRESHOLDS) - np.log1p(-np.array(FROC_THRESHOLDS))
    assert np.allclose(np.diff(logits), [1] * 7 + [0.5] * 28, atol=1e-6) and 0.5 in FROC_THRESHOLDS
    assert FROC_THRESHOLDS[0] < 0.001 and FROC_THRESHOLDS[-1] > 0.999999


@pytest.fixture(scope="module")
def images() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Blurred noise as probabilities with large empty parts, and stones; one image all background."""
    rng = np.random.default_rng(5)
    probabilities, targets = [], []
    for n in range(12):
        noise = ndimage.gaussian_filter(rng.standard_normal((40, 57)), rng.uniform(0.5, 2))
        noise *= rng.random(noise.shape) < rng.uniform(0.02, 1)
        probabilities.append((1 / (1 + np.exp(-6 * noise / noise.std() + 6))).astype(np.float32))
        smooth = ndimage.gaussian_filter(rng.standard_normal((40, 57)), 1.5)
        targets.append(smooth > (9 if n == 3 else 0.45))
    probabilities[0][:] = 0
    return probabilities, targets


@pytest.mark.parametrize("min_pixels", [0, 1, 3])
def test_counts_at_a_threshold_are_those_of_the_mask(images, min_pixels: int):
    thresholds = (0.02, 0.3, 0.5, 0.9, 0.99)
    for probability, target in zip(*images, strict=True):
        counts = threshold_counts(probability, target, thresholds, min_pixels)
        for k, threshold in enumerate(thresholds):
            mask = predicted_mask(probability, threshold, min_pixels)
            match = match_stones(mask, target)
            assert (counts.found[k], counts.false[k]) == (match.n_found, match.n_false_positives)
            assert counts.n_sections == match.n_sections
            pixels = counts.tp[k], counts.fp[k], counts.fn[k]
            assert pixels == tuple(map(int, confusion_counts(mask, target)))


def test_each_image_may_have_its_own_smallest_region():
    probabilities, target = [row(0.9, 0.9, 0, 0.9)] * 2, row(0, 0, 0, 1) > 0
    assert froc(probabilities, [target] * 2, (0.5,), [0, 2])["sensitivity"] == [0.5]
    assert froc(probabilities, [target] * 2, (0.5,), [2, 2])["sensitivity"] == [0]


@pytest.mark.parametrize("curve", [froc, precision_recall, calibration])
def test_logits_and_nan_are_refused(curve):
    good, target = row(0.2, 0.9), row(0, 1) > 0
    for bad in (row(-4, 3), row(0.1, np.nan), row(0.1, np.inf)):
        with pytest.raises(ValueError, match=r"probability 1 must lie in \[0, 1\]"):
            curve([good, bad], [target, target])


# -------------------------------------------------------------------------------- precision and recall
def test_precision_recall_by_hand():
    curve = precision_recall(
        [row(0.9, 0.8), row(0.8, 0.3), row(0.1, 0.0)], [row(1, 0) > 0, row(1, 1) > 0, row(0, 0) > 0]
    )
    # from 0.9 on one of one; from 0.8 on two of three; from 0.3 on three of four
    assert curve["precision"] == pytest.approx([1, 2 / 3, 3 / 4])
    assert curve["recall"] == pytest.approx([1 / 3, 2 / 3, 1])
    assert curve["threshold"] == pytest.approx([0.9, 0.8, 0.3])
    assert curve["area"] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


def test_precision_recall_without_a_stone():
    curve = precision_recall([row(0.9, 0.1)], [row(0, 0) > 0])
    assert math.isnan(curve.pop("area")) and curve == {"precision": [], "recall": [], "threshold": []}


@pytest.mark.parametrize("n_ties", [None, 10, 1])
def test_precision_recall_equals_scikit_learn(images, n_ties: int | None):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn: pip install scikit-learn")
    probabilities, targets = images
    if n_ties is not None:
        probabilities = [np.round(p * n_ties).astype(np.float32) / n_ties for p in probabilities]
    truth = np.concatenate([t.ravel() for t in targets])
    scores = np.concatenate([p.ravel() for p in probabilities])
    curve = precision_recall(probabilities, targets)
    assert curve["area"] == pytest.approx(metrics.average_precision_score(truth, scores), abs=1e-12)
    precision, recall, thresholds = metrics.precision_recall_curve(truth, scores)
    at = np.searchsorted(thresholds, curve["threshold"])
    assert np.array_equal(thresholds[at], curve["threshold"])  # our points are points of the whole curve
    assert np.allclose(precision[at], curve["precision"]) and np.allclose(recall[at], curve["recall"])
    assert len(curve["recall"]) <= 200 and curve["recall"][-1] == 1
    if n_ties is None:
        steps = np.diff(curve["recall"])  # even, but for the last: 40 % of the stone pixels share one value
        assert len(curve["recall"]) > 100 and np.sort(steps)[-3] < 0.01
    # joining the points with straight lines would promise another area, which nobody reaches
    assert n_ties is None or abs(metrics.auc(recall, precision) - curve["area"]) > 1e-3


# ----------------------------------------------------------------------------------------- calibration
def test_calibration_by_hand():
    result = calibration(
        [row(0.02, 0.04, 0.72, 0.78), row(0.76, 0.74, 0.96, 0.06)], [row(0, 1, 1, 0) > 0, row(1, 0, 1, 0) > 0]
    )
    assert result["n"] == [3, 4, 1]
    assert result["confidence"] == pytest.approx([0.04, 0.75, 0.96])
    assert result["frequency"] == pytest.approx([1 / 3, 1 / 2, 1])
    # of the five pixels above 0.1, four are 0.25 too sure and one is 0.04 not sure enough
    assert result["ece"] == pytest.approx((4 * 0.25 + 0.04) / 5)


def test_a_bin_is_open_below_and_closed_above():
    # a half is exact in binary, and belongs to the bin from 0.4
    assert calibration([row(0.5, 0.45, 0.55)], [row(1, 0, 0) > 0])["n"] == [2, 1]


def test_honest_probabilities_have_no_error_and_background_does_not_hide_one():
    rng = np.random.default_rng(0)
    truth = rng.random((400, 400))
    honest = rng.random((400, 400)).astype(np.float32)
    assert calibration([honest], [truth < honest])["ece"] < 0.005
    proud = np.where(honest > 0.5, 0.95, 0).astype(np.float32)
    few, many = (
        calibration([proud, *([np.zeros_like(proud)] * n)], [truth < honest] + [truth < 0] * n)
        for n in (0, 9)
    )
    assert few["ece"] == many["ece"] == pytest.approx(0.2, abs=0.01)  # 75 % of these are stone, 95 % promised


def test_calibration_without_foreground():
    result = calibration([row(0.09, 0.0)], [row(0, 0) > 0])
    assert math.isnan(result["ece"]) and result["n"] == [2] and result["frequency"] == [0]


def test_calibration_equals_scikit_learn(images):
    sklearn = pytest.importorskip(
        "sklearn.calibration", reason="needs scikit-learn: pip install scikit-learn"
    )
    probabilities, targets = images
    probabilities = [*probabilities, CALIBRATION_EDGES[None].astype(np.float32)]  # values on the borders, too
    targets = [*targets, np.ones((1, 11), bool)]
    truth = np.concatenate([t.ravel() for t in targets])
    scores = np.concatenate([p.ravel() for p in probabilities])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frequency, confidence = sklearn.calibration_curve(truth, scores, n_bins=10, strategy="uniform")
    result = calibration(probabilities, targets)
    assert np.allclose(result["frequency"], frequency, atol=1e-7)
    assert np.allclose(result["confidence"], confidence, atol=1e-5)  # scikit-learn adds in float32
    assert sum(result["n"]) == truth.size and len(result["n"]) == 10
    # scikit-learn has no ECE; from its bins, without the lowest one
    gap = np.abs(frequency - confidence)[1:] @ result["n"][1:]
    assert result["ece"] == pytest.approx(gap / sum(result["n"][1:]), abs=1e-5)


# ------------------------------------------------------------------------------------------- agreement
def test_bias_and_limits_by_hand():
    result = agreement([5.0, 7.0, 9.0], [4.0, 5.0, 6.0])  # 1, 2 and 3 too large: standard deviation 1
    assert result["bias"] == 2 and result["n"] == 3
    assert result["limits"] == pytest.approx([2 - 1.96, 2 + 1.96])
    assert result["true"] == [4, 5, 6] and result["predicted"] == [5, 7, 9]
    assert result["outliers"] == [] and result["usual"] == pytest.approx([2 - 5 * 1.4826, 2 + 5 * 1.4826])


def test_limits_by_size():
    result = agreement([5, 7, 9, 40, 20], [4, 5, 6, 30, 30], borders=(0, 5, 10, 20, np.inf))
    small, middle, none, large = result["by_size"]
    assert [(part["low"], part["high"], part["n"]) for part in result["by_size"]] == [
        (0, 5, 1),
        (5, 10, 2),
        (10, 20, 0),
        (20, None, 2),
    ]
    assert small["bias"] == 1 and all(map(math.isnan, small["limits"]))
    assert middle["limits"] == pytest.approx([2.5 - 1.96 * math.sqrt(0.5), 2.5 + 1.96 * math.sqrt(0.5)])
    assert math.isnan(none["bias"])
    assert large["bias"] == 0 and large["limits"][1] == pytest.approx(1.96 * 10 * math.sqrt(2))


def test_outliers_are_told_from_the_bulk_and_not_by_the_outliers():
    true = np.full(60, 10.0)
    error = np.r_[np.linspace(-1, 1, 56), 30, -6, 25, -40]  # median 0, median deviation about a half
    result = agreement(true + error, true)
    assert result["outliers"] == [59, 56, 58, 57]  # the farthest first
    assert -5 < result["usual"][0] < -1 and 1 < result["usual"][1] < 5
    spread = 3 * np.std(error)  # the usual rule, blinded by what it looks for
    assert np.flatnonzero(abs(error) > spread).tolist() != [56, 57, 58, 59]
    assert agreement(true + error, true, floor=28)["outliers"] == [59, 56]
    same = agreement([3, 3, 3, 3.4], [3, 3, 3, 3], floor=0.5)  # less than a pixel is no outlier
    assert same["outliers"] == [] and same["usual"] == [-0.5, 0.5]


def test_limits_hold_95_percent_of_normal_differences():
    difference = np.random.default_rng(0).normal(0.3, 0.7, 20000)
    low, high = agreement(10 + difference, np.full(20000, 10.0))["limits"]
    assert ((difference > low) & (difference < high)).mean() == pytest.approx(0.95, abs=0.003)


def test_too_few_to_agree():
    one = agreement([3.0], [2.0])
    assert one["bias"] == 1 and all(map(math.isnan, one["limits"]))
    none = agreement([], [])
    assert math.isnan(none["bias"]) and none["n"] == 0 and none["true"] == [] == none["outliers"]
