"""Scores of a data set, thresholds chosen on validation data, and the grey baseline, all by hand."""

import math

import numpy as np
import pytest

from unet_helpers.evaluation import choose_grey_threshold, choose_threshold, evaluate, score_masks


def draw(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


EMPTY = draw("......", "......")
TARGETS = [draw("##...#", "##...."), EMPTY, EMPTY, draw("....##", "......")]
PREDICTIONS = [draw("#....#", "#...#."), EMPTY, draw("#.#...", "......"), EMPTY]


def test_all_scores_by_hand():
    scores = score_masks(PREDICTIONS, TARGETS)
    # image 1: TP 3, FP 1, FN 2, both of its stones hit; image 4: 2 missed; image 3: two false alarms
    assert scores == pytest.approx({
        "n_images": 4, "n_positive": 2, "n_stones": 3,
        "dice_positive_mean": (6 / 9 + 0) / 2, "iou_positive_mean": (3 / 6 + 0) / 2,
        "precision_positive_mean": (3 / 4 + 0) / 2, "recall_positive_mean": (3 / 5 + 0) / 2,
        "dice_pooled": 6 / (6 + 3 + 4), "iou_pooled": 3 / (3 + 3 + 4),
        "precision_pooled": 3 / (3 + 3), "recall_pooled": 3 / (3 + 4),
        "clean_negative_rate": 1 / 2, "false_positives_per_image": 2 / 4, "stone_sensitivity": 2 / 3,
        "stone_sensitivity_iou01": 2 / 3, "n_merged": 0, "n_split": 0,
    })
    assert all(type(value) in (int, float) for value in scores.values())  # json can write them


def test_scores_without_an_image_to_stand_on_are_nan():
    empty = np.zeros((3, 3), bool)
    scores = score_masks([empty], [empty])
    nans = sorted(name for name, value in scores.items() if math.isnan(value))
    overlaps = [f"{name}_{how}" for name in ("dice", "iou", "precision", "recall")
                for how in ("pooled", "positive_mean")]
    assert nans == [*overlaps, "stone_sensitivity", "stone_sensitivity_iou01"]
    assert scores["clean_negative_rate"] == 1 and scores["false_positives_per_image"] == 0
    assert math.isnan(score_masks([~empty], [~empty])["clean_negative_rate"])


def test_evaluate_applies_threshold_and_smallest_size():
    probability = np.array([[0.9, 0.6, 0.0, 0.7], [0.0, 0.0, 0.0, 0.0]], np.float32)
    target = draw("##..", "....")
    scores = evaluate([probability], [target], 0.6)
    assert scores["dice_pooled"] == 4 / 5 and scores["false_positives_per_image"] == 1
    assert (scores["threshold"], scores["min_pixels"]) == (0.6, 0)
    assert evaluate([probability], [target], 0.6, min_pixels=2)["dice_pooled"] == 1.0
    assert evaluate([probability], [target], 0.65)["dice_pooled"] == 2 / 4


def test_images_of_different_sizes():
    scores = score_masks([np.ones((2, 2), bool), np.zeros((3, 5), bool)],
                         [np.ones((2, 2), bool), np.ones((3, 5), bool)])
    assert scores["dice_positive_mean"] == 0.5 and scores["dice_pooled"] == 8 / 23


@pytest.mark.parametrize("score", [score_masks, choose_threshold, choose_grey_threshold])
def test_unequal_numbers_are_refused(score):
    mask = np.zeros((3, 3), bool)
    for predictions, targets, numbers in (([], [], "0 and 0"), ([mask], [mask, mask], "1 and 2")):
        with pytest.raises(ValueError, match=f"equally many and at least one, got {numbers}"):
            score(predictions, targets)


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


def test_no_stone_no_threshold():
    empty = np.zeros((4, 4), bool)
    with pytest.raises(ValueError, match="at least one stone to choose a threshold, got 2 empty masks"):
        choose_threshold([empty * 1.0] * 2, [empty] * 2)


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
