"""The bootstrap over groups: worked by hand, against SciPy, and wide enough for what it claims."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from unet_helpers.intervals import bootstrap_intervals


def test_two_groups_by_hand():
    # two groups of one image, means 0 and 1: of the four equally likely draws one is 0, two are 0.5, one is 1
    ends = bootstrap_intervals(np.array([[0.0], [1.0]]), np.ones((2, 1)), "ab")
    assert ends.tolist() == [[0.0, 1.0]]
    middle = bootstrap_intervals(np.array([[0.0], [1.0]]), np.ones((2, 1)), "ab", confidence=0.4)
    assert middle.tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize("n_groups", [3, 17])
def test_every_end_equals_scipys(n_groups: int):
    rng = np.random.default_rng(1)
    groups = rng.integers(0, n_groups, 60)
    above, below = rng.random((60, 4)), rng.random((60, 4)) + 0.1
    ours = bootstrap_intervals(above, below, groups.tolist(), n_resamples=2000, seed=3)
    names = list(dict.fromkeys(groups.tolist()))
    sums = [np.stack([column[groups == name].sum(0) for name in names]) for column in (above, below)]
    for k in range(4):
        theirs = stats.bootstrap((sums[0][:, k], sums[1][:, k]), lambda a, b, axis: a.sum(axis) / b.sum(axis),
                                 paired=True, vectorized=True, n_resamples=2000, method="percentile",
                                 rng=np.random.default_rng(3)).confidence_interval
        assert ours[k] == pytest.approx([theirs.low, theirs.high], abs=1e-12)  # the same draws: the same ends


def test_slices_of_one_patient_are_one_piece_of_luck():
    rng = np.random.default_rng(0)
    dice = np.repeat(rng.normal(0.8, 0.1, 30), 10)[:, None] + rng.normal(0, 0.01, (300, 1))
    patients = np.repeat(np.arange(30), 10).tolist()
    (by_patient,), (by_slice,) = (bootstrap_intervals(dice, np.ones_like(dice), groups)
                                  for groups in (patients, list(range(300))))
    assert np.ptp(by_patient) > 2.5 * np.ptp(by_slice)
    assert np.ptp(by_patient) == pytest.approx(2 * 1.96 * dice[::10].std() / np.sqrt(30), rel=0.15)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        sizes = rng.integers(1, 6, 40)
        values = np.repeat(rng.normal(0.5, 0.1, 40), sizes)[:, None]
        groups = np.repeat(np.arange(40), sizes).tolist()
        ((low, high),) = bootstrap_intervals(values, np.ones_like(values), groups, n_resamples=400)
        hits += low <= 0.5 <= high
    assert 0.89 <= hits / 200 <= 0.99


def test_the_order_of_groups_and_the_seed():
    rng = np.random.default_rng(4)
    above, below, groups = rng.random((20, 1)), np.ones((20, 1)), list("abcdefghij" * 2)
    same = [bootstrap_intervals(above, below, groups, seed=seed).tolist() for seed in (0, 0, 1)]
    assert same[0] == same[1] != same[2]


def test_what_is_undefined_is_left_out():
    below = np.zeros((3, 2))
    below[0, 0] = 1  # the first score stands on one of three groups: undefined where that is not drawn
    ends = bootstrap_intervals(below * 0.7, below, [1, 2, 3])
    assert ends[0] == pytest.approx([0.7, 0.7]) and np.isnan(ends[1]).all()
    assert np.isnan(bootstrap_intervals(np.ones((5, 1)), np.ones((5, 1)), [7] * 5)).all()  # one group
    with pytest.raises(ValueError, match=r"groups must be one an image \(5\), got 4"):
        bootstrap_intervals(np.ones((5, 1)), np.ones((5, 1)), [7] * 4)


def test_the_bootstrap_that_lesson_5_writes_out_gives_the_same_interval():
    lesson = Path(__file__).resolve().parents[1] / "notebooks" / "05_evaluation.ipynb"
    cells = json.loads(lesson.read_text("utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    source = next(text for text in sources if "def bootstrap_interval" in text)
    function = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    names = {"np": np}
    exec(ast.unparse(function), names)
    rng = np.random.default_rng(6)
    values, groups = rng.random(30), rng.integers(0, 7, 30)
    by_group = [values[groups == group] for group in dict.fromkeys(groups.tolist())]
    theirs = names["bootstrap_interval"](by_group)
    (ours,) = bootstrap_intervals(values[:, None], np.ones((30, 1)), groups.tolist())
    assert theirs == pytest.approx(ours)
