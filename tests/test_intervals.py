"""The bootstrap over groups: worked by hand, against SciPy, and wide enough for what it claims."""

import numpy as np
import pytest
from scipy import stats

from unet_helpers.exercises import lesson05
from unet_helpers.scores.intervals import bootstrap_intervals, paired_difference


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
        theirs = stats.bootstrap(
            (sums[0][:, k], sums[1][:, k]),
            lambda a, b, axis: a.sum(axis) / b.sum(axis),
            paired=True,
            vectorized=True,
            n_resamples=2000,
            method="percentile",
            rng=np.random.default_rng(3),
        ).confidence_interval
        assert ours[k] == pytest.approx([theirs.low, theirs.high], abs=1e-12)  # the same draws: the same ends


def test_slices_of_one_patient_are_one_piece_of_luck():
    rng = np.random.default_rng(0)
    dice = np.repeat(rng.normal(0.8, 0.1, 30), 10)[:, None] + rng.normal(0, 0.01, (300, 1))
    patients = np.repeat(np.arange(30), 10).tolist()
    (by_patient,), (by_slice,) = (
        bootstrap_intervals(dice, np.ones_like(dice), groups) for groups in (patients, list(range(300)))
    )
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
    below[0, 0] = 1  # the first score stands on two of three groups: undefined where neither is drawn
    below[1, 0] = 1
    ends = bootstrap_intervals(below * [[0.7], [0.3], [0]], below, [1, 2, 3])
    assert ends[0] == pytest.approx([0.3, 0.7]) and np.isnan(ends[1]).all()
    assert np.isnan(bootstrap_intervals(np.ones((5, 1)), np.ones((5, 1)), [7] * 5)).all()  # one group
    with pytest.raises(ValueError, match=r"groups must be one an image \(5\), got 4"):
        bootstrap_intervals(np.ones((5, 1)), np.ones((5, 1)), [7] * 4)


@pytest.mark.parametrize("share", [0.0, 1.0, 0.7])
def test_what_is_the_same_in_every_resample_gets_no_interval(share: float):
    """A share of 0 or 1 of four groups is no certainty: by the rule of three it may be off by 3 / 4."""
    ends = bootstrap_intervals(np.full((8, 1), 3 * share), np.full((8, 1), 3.0), list("aabbccdd"))
    assert np.isnan(ends).all()


def test_a_paired_difference_by_hand():
    # two groups of one image: the second method is better by 0.1 and by 0.3, at whatever level
    first, second, ones = np.array([[0.1], [0.9]]), np.array([[0.2], [1.2]]), np.ones((2, 1))
    difference, ends = paired_difference((first, ones), (second, ones), "ab")
    assert difference == pytest.approx([0.2]) and ends == pytest.approx(np.array([[0.1, 0.3]]))
    back, _ = paired_difference((second, ones), (first, ones), "ab")
    assert back == pytest.approx([-0.2])
    same, none = paired_difference((first, ones), (first, ones), "ab")
    assert same == [0] and np.isnan(none).all()
    with pytest.raises(ValueError, match=r"groups must be one an image \(2\), got 3"):
        paired_difference((first, ones), (second, ones), "abc")


def test_intervals_that_overlap_hide_a_difference_that_the_pairs_show():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(25), 4).tolist()
    hard = np.repeat(rng.normal(0.7, 0.15, 25), 4)[:, None]  # what is hard is hard for both
    first, second, ones = hard, hard + rng.normal(0.03, 0.02, (100, 1)), np.ones((100, 1))
    (one,), (other,) = (bootstrap_intervals(method, ones, groups) for method in (first, second))
    assert one[0] < other[0] < one[1] < other[1]  # by far
    difference, ((low, high),) = paired_difference((first, ones), (second, ones), groups)
    assert 0.02 < low < difference[0] < high < 0.04
    # as the mean of the differences of each image
    ((low_of_mean, high_of_mean),) = bootstrap_intervals(second - first, ones, groups)
    assert [low, high] == pytest.approx([low_of_mean, high_of_mean])


def test_paired_ratios_equal_scipys():
    rng = np.random.default_rng(3)
    parts = [rng.random((30, 1)) + 0.1 for _ in range(4)]
    ours = paired_difference((parts[0], parts[1]), (parts[2], parts[3]), range(30), 999, seed=5)[1][0]

    def change(a, b, c, d, axis):
        return c.sum(axis) / d.sum(axis) - a.sum(axis) / b.sum(axis)

    theirs = stats.bootstrap(
        [part[:, 0] for part in parts],
        change,
        paired=True,
        vectorized=True,
        n_resamples=999,
        method="percentile",
        rng=np.random.default_rng(5),
    ).confidence_interval
    assert ours == pytest.approx([theirs.low, theirs.high], abs=1e-12)


def test_the_bootstrap_that_lesson_5_asks_for_gives_the_same_interval():
    space = {"np": np}
    exec(lesson05.interval.solution_text, space)
    rng = np.random.default_rng(6)
    values, groups = rng.random(30), rng.integers(0, 7, 30)
    by_group = {f"patient {group}": values[groups == group] for group in dict.fromkeys(groups.tolist())}
    theirs = space["interval"](by_group, 2000, 0)
    (ours,) = bootstrap_intervals(values[:, None], np.ones((30, 1)), groups.tolist())
    assert theirs == pytest.approx(ours, abs=0.01)
