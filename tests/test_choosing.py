"""Thresholds chosen on validation data, the operating point, and the grey baseline, by hand."""

import numpy as np
import pytest

from unet_helpers.evaluation import (
    THRESHOLDS,
    choose_grey_threshold,
    choose_operating_point,
    choose_threshold,
)


def draw(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


# ----------------------------------------------------------------------------------------- threshold
def test_the_threshold_that_fits_is_chosen_and_of_equal_ones_the_nearest_to_a_half():
    target = np.zeros((6, 6), bool)
    target[1:4, 1:4] = True
    low = np.where(target, 0.42, 0.33).astype(np.float32)  # 0.35 and 0.40 both fit
    assert choose_threshold([low], [target])[0] == 0.4
    high = np.where(target, 0.85, 0.62).astype(np.float32)  # 0.65 to 0.85 fit
    assert choose_threshold([high], [target])[0] == 0.65
    stone_free = np.full((6, 6), 0.88, np.float32)  # chosen on stone-bearing images alone
    assert choose_threshold([high, stone_free], [target, np.zeros_like(target)])[0] == 0.65


@pytest.mark.parametrize(("n_extra", "expected"), [(9, 0.5), (11, 0.55)])
def test_a_dice_within_a_hundredth_of_the_best_is_as_good(n_extra: int, expected: float):
    target, probability = np.zeros((30, 40), bool), np.zeros((30, 40), np.float32)
    target[:25, :20], probability[:25, :20] = True, 0.9  # 500 pixels
    probability.ravel()[-n_extra:] = 0.52  # below 0.55 a Dice of 1000 / 1009 = 0.991, or 1000 / 1011 = 0.989
    assert choose_threshold([probability], [target])[0] == expected


@pytest.mark.parametrize(
    ("n_stone", "n_speck", "expected"),
    [(9, 0, 0), (9, 1, 2), (9, 2, 3), (2, 1, 2), (2, 2, 0), (1, 1, 0)],
)
def test_the_smallest_size_removes_specks_and_no_stone(n_stone: int, n_speck: int, expected: int):
    target = np.zeros((8, 12), bool)
    target[2, 1 : 1 + n_stone] = True
    speck = np.zeros_like(target)
    speck[5, 1 : 1 + n_speck] = True  # a false alarm in a stone-free image
    probabilities = [target.astype(np.float32), speck.astype(np.float32)]
    assert choose_threshold(probabilities, [target, np.zeros_like(target)])[1] == expected


def test_misses_and_false_alarms_of_all_images_count_for_the_smallest_size():
    target, empty = draw("##....####"), draw("..........")
    speck, blob = draw("#........."), draw("..####....")
    sure = [mask.astype(np.float32) for mask in (target, speck, blob)]
    assert choose_threshold(sure, [target, empty, empty])[1] == 2  # one false alarm less, one stays
    # a section of two pixels would be lost, while another image misses one in any case
    masks = [draw("##........"), empty, draw("....##....")]
    targets = [draw("##........"), draw("#########."), empty]
    assert choose_threshold([mask.astype(np.float32) for mask in masks], targets)[1] == 0


def test_thresholds_go_from_a_tenth_to_nine_tenths_in_steps_of_a_twentieth():
    assert pytest.approx(np.linspace(0.1, 0.9, 17)) == THRESHOLDS and 0.5 in THRESHOLDS


def test_no_stone_no_threshold():
    empty = np.zeros((4, 4), bool)
    with pytest.raises(ValueError, match="at least one stone to choose a threshold, got 2 empty masks"):
        choose_threshold([empty * 1.0] * 2, [empty] * 2)


# -------------------------------------------------------------------------------------- operating point
def test_the_operating_point_finds_the_most_that_the_false_alarms_allow():
    target = draw("#....#....#", "...........")
    probability = np.zeros(target.shape, np.float32)
    probability[0, [0, 5, 10]] = 0.9, 0.4, 0.05  # three sections, ever less sure
    probability[0, [2, 7, 8]] = 0.6, 0.2, 0.2  # and two false alarms
    empty = np.zeros_like(target)
    probabilities, targets = [probability, empty * 0.0], [target, empty]
    for allowed, low, high in ((0, 0.6, 0.9), (0.5, 0.2, 0.4), (1, 0, 0.05), (9, 0, 0.05)):
        assert low < choose_operating_point(probabilities, targets, allowed) <= high, allowed
    # of two pixels there is one false alarm alone: nothing to find, and nothing to bear above 0.2
    assert 0.2 < choose_operating_point(probabilities, targets, 0, min_pixels=2) < 0.4


def test_of_equally_many_found_the_fewest_false_alarms_are_taken():
    target, probability = draw("#........", "........."), np.zeros((2, 9), np.float32)
    probability[0, [0, 4]] = 0.999, 0.3
    assert choose_operating_point([probability], [target], 5) > 0.3


def test_false_alarms_that_cannot_be_met():
    target = draw("#...")
    sure = np.array([[1.0, 0.0, 1.0, 0.0]], np.float32)  # wrong, and as sure as can be
    with pytest.raises(ValueError, match=r"must be reachable, got 0\.5: the fewest are 1 an image"):
        choose_operating_point([sure], [target], 0.5)
    with pytest.raises(ValueError, match="at least one stone to choose a threshold, got 1 empty masks"):
        choose_operating_point([sure], [np.zeros_like(target)], 5)


# ------------------------------------------------------------------------------------- grey baseline
def test_the_grey_threshold_equals_a_search_over_all_values():
    rng = np.random.default_rng(0)
    targets = [rng.random(size) < 0.05 for size in ((20, 30), (10, 10))]
    images = [(rng.integers(0, 180, t.shape) + 60 * t).astype(np.uint8) for t in targets]

    def pooled(grey: int) -> float:
        hit = sum(((i >= grey) & t).sum() for i, t in zip(images, targets, strict=True))
        total = sum((i >= grey).sum() + t.sum() for i, t in zip(images, targets, strict=True))
        return 2 * hit / total

    grey, score = choose_grey_threshold(images, targets)
    assert score == pytest.approx(max(map(pooled, range(1, 256)))) and pooled(grey) == pytest.approx(score)


def test_a_stone_of_its_own_grey_is_found_whole():
    image, target = np.full((5, 5), 40, np.uint8), np.zeros((5, 5), bool)
    target[2, 2], image[2, 2] = True, 200
    grey, score = choose_grey_threshold([image], [target])
    assert 40 < grey <= 200 and score == 1.0
    assert choose_grey_threshold([image], [np.zeros((5, 5), bool)])[1] == 0.0


def test_the_grey_threshold_is_exact_and_never_0():
    image, target = np.full((5, 5), 199, np.uint8), np.eye(5, dtype=bool)
    image[target] = 200
    assert choose_grey_threshold([image], [target]) == (200, 1.0)
    black = np.zeros((5, 5), np.uint8)  # "at least 0" would be every pixel, and no threshold
    assert choose_grey_threshold([black], [~target]) == (1, 0.0)
