"""Scores against answers worked out on paper, and against MONAI and SciPy."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import ndimage

from unet_helpers.metrics import (
    confusion_counts,
    dice,
    equal_area_diameter,
    iou,
    label_stones,
    match_stones,
    pooled_dice,
    pooled_iou,
    precision,
    predicted_mask,
    recall,
)


def draw(*rows: str) -> np.ndarray:
    """Mask from a drawing: # is stone."""
    return np.array([[pixel == "#" for pixel in row] for row in rows])


EMPTY = np.zeros((4, 5), bool)
ONE = draw(".....", "..#..", ".....", ".....")


def pooled(score: Callable) -> Callable:
    return lambda prediction, target: score([prediction], [target])


# ----------------------------------------------------------------------------- one image, by hand
def test_counts_dice_and_iou_of_overlapping_squares():
    prediction = draw("###..", "###..", ".....")
    target = draw(".###.", ".###.", "#....")
    assert [int(c) for c in confusion_counts(prediction, target)] == [4, 2, 3]  # TP, FP, FN
    assert dice(prediction, target) == 8 / 13
    assert iou(prediction, target) == 4 / 9
    assert precision(prediction, target) == 4 / 6 and recall(prediction, target) == 4 / 7


@pytest.mark.parametrize(("side", "expected"), [(3, 2 / 3), (5, 4 / 5), (30, 29 / 30)])
def test_one_pixel_of_shift_costs_one_over_the_side(side: int, expected: float):
    target = np.zeros((40, 40), bool)
    target[2 : 2 + side, 2 : 2 + side] = True
    assert dice(np.roll(target, 1, axis=1), target) == pytest.approx(expected)


EMPTY_TABLE = [
    ("both empty", EMPTY, EMPTY, math.nan),
    ("missed", EMPTY, ONE, 0.0),
    ("false alarm", ONE, EMPTY, 0.0),
    ("perfect", ONE, ONE, 1.0),
    ("beside", np.roll(ONE, 1), ONE, 0.0),
]


@pytest.mark.parametrize("score", [dice, iou, precision, recall, pooled(pooled_dice), pooled(pooled_iou)],
                         ids=["dice", "iou", "precision", "recall", "pooled_dice", "pooled_iou"])
@pytest.mark.parametrize(("prediction", "target", "expected"), [row[1:] for row in EMPTY_TABLE],
                         ids=[row[0] for row in EMPTY_TABLE])
def test_table_of_empty_masks(score: Callable, prediction: np.ndarray, target: np.ndarray, expected: float):
    value = score(prediction, target)
    assert isinstance(value, float)
    assert math.isnan(value) if math.isnan(expected) else value == expected


def test_a_stack_scores_each_image_and_leaves_none_out():
    scores = dice(np.stack([ONE, EMPTY, EMPTY, ONE]), np.stack([ONE, ONE, EMPTY, EMPTY]))
    assert np.array_equal(scores, [1.0, 0.0, np.nan, 0.0], equal_nan=True)
    assert dice(np.zeros((0, 4, 5), bool), np.zeros((0, 4, 5), bool)).shape == (0,)
    more = np.stack([ONE | np.roll(ONE, 2), EMPTY, EMPTY, ONE]), np.stack([ONE, ONE, EMPTY, EMPTY])
    assert np.array_equal(precision(*more), [0.5, 0.0, np.nan, 0.0], equal_nan=True)
    assert np.array_equal(recall(*more), [1.0, 0.0, np.nan, 0.0], equal_nan=True)


@pytest.mark.parametrize("score", [confusion_counts, dice, iou, match_stones])
def test_what_is_no_bool_mask_or_another_shape_is_refused(score: Callable):
    with pytest.raises(ValueError, match=r"prediction must be a bool mask, got float64\. Use probability"):
        score(np.full((4, 5), 0.3), ONE)
    with pytest.raises(ValueError, match=r"target must be a bool mask, got uint8"):
        score(ONE, ONE.astype(np.uint8) * 255)
    with pytest.raises(ValueError, match=r"shape .*got \(5, 4\) and \(4, 5\)"):
        score(ONE.T, ONE)
    with pytest.raises(ValueError, match="shape"):
        score(ONE[0], ONE[0])


# -------------------------------------------------------------------------------- pooled, by hand
def test_pooled_scores_sum_the_pixels_of_images_of_different_sizes():
    large = np.ones((10, 10), bool)
    predictions = [np.zeros((2, 2), bool), large]
    targets = [draw("##", ".."), np.pad(large[:, 1:], ((0, 0), (1, 0)))]  # 2 missed; 90 hit and 10 too many
    assert pooled_dice(predictions, targets) == 180 / 192
    assert pooled_iou(predictions, targets) == 90 / 102
    assert np.mean([dice(p, t) for p, t in zip(predictions, targets, strict=True)]) == pytest.approx(90 / 190)


def test_pooled_scores_refuse_unequal_numbers_and_are_nan_of_nothing():
    with pytest.raises(ValueError, match="as many as targets, got 1 and 2"):
        pooled_dice([ONE], [ONE, ONE])
    assert math.isnan(pooled_dice([], [])) and math.isnan(pooled_iou([], []))


# --------------------------------------------------------------------------------- stone by stone
def test_a_diagonal_is_one_stone():
    diagonal = np.eye(5, dtype=bool)
    labels, n_stones = label_stones(diagonal)
    assert n_stones == 1 and labels.dtype == np.int32 and np.array_equal(labels, diagonal)
    assert ndimage.label(diagonal)[1] == 5  # SciPy's default: why the structure is given


def test_stones_at_the_edge_do_not_join_around_it():
    labels, n_stones = label_stones(draw("#..#", "....", "....", "#..#"))
    assert n_stones == 4
    assert labels.tolist() == [[1, 0, 0, 2], [0, 0, 0, 0], [0, 0, 0, 0], [3, 0, 0, 4]]
    assert label_stones(EMPTY)[1] == 0


def test_hits_misses_and_false_alarms():
    target = draw("##....#", "##.....", ".......", "#......")
    prediction = draw("#......", ".......", "....##.", "#......")
    match = match_stones(prediction, target)
    assert match.found == (True, False, True)
    assert match.n_pixels == (4, 1, 1)
    assert (match.n_stones, match.n_found, match.n_false_positives) == (3, 2, 1)


def test_one_region_over_two_stones_finds_both_and_is_no_false_alarm():
    match = match_stones(draw("#####"), draw("##.##"))
    assert match.found == (True, True) and match.n_false_positives == 0
    assert (match.n_merged, match.n_split) == (1, 0) and match.n_predicted_pixels == (5, 5)


def test_two_regions_on_one_stone_are_one_hit_and_no_false_alarm():
    match = match_stones(draw("##.##"), draw("#####"))
    assert match.found == (True,) and match.n_false_positives == 0
    assert (match.n_merged, match.n_split) == (0, 1) and match.n_predicted_pixels == (4,)
    assert match.best_iou == (2 / 5,)  # the better half; together they would have 4 / 5


def test_place_and_size_of_each_stone():
    match = match_stones(draw("##...", "##..#", "....#"), draw("##...", "###.#", "....."))
    assert match.centres == ((0.6, 0.8), (1.0, 4.0))
    assert match.n_pixels == (5, 1) and match.n_predicted_pixels == (4, 2)
    assert match.best_iou == (4 / 5, 1 / 2)
    missed = match_stones(EMPTY, ONE)
    assert missed.centres == ((1.0, 2.0),) and missed.n_predicted_pixels == (0,) and missed.best_iou == (0,)
    assert match_stones(EMPTY, EMPTY).centres == ()


@pytest.mark.parametrize("radius", [3.0, 12.0])
def test_the_diameter_of_a_drawn_circle_comes_out(radius: float):
    rows, columns = np.ogrid[-20:21, -40:41]
    circle = (rows * 0.75) ** 2 + (columns * 0.5) ** 2 <= radius**2  # on pixels of 0.75 x 0.5 mm
    assert equal_area_diameter(circle.sum(), (0.75, 0.5)) == pytest.approx(2 * radius, rel=0.02)
    assert equal_area_diameter(np.pi * radius**2) == pytest.approx(2 * radius)


def test_a_stricter_overlap_turns_a_grazed_stone_into_a_miss_and_a_false_alarm():
    prediction, target = draw("...#######"), draw("####......")  # 1 shared of 10: IoU 0.1
    assert match_stones(prediction, target, min_iou=0.1).found == (True,)
    strict = match_stones(prediction, target, min_iou=0.11)
    assert strict.found == (False,) and strict.n_false_positives == 1


def test_the_strict_rule_judges_regions_one_by_one():
    # each half of a split prediction covers 2 of 5 pixels: together they would reach 0.5, alone they do not
    match = match_stones(draw("##.##"), draw("#####"), min_iou=0.5)
    assert match.found == (False,) and match.n_false_positives == 2


@pytest.mark.parametrize(("prediction", "target", "n_stones", "n_false"),
                         [(EMPTY, EMPTY, 0, 0), (ONE, EMPTY, 0, 1), (EMPTY, ONE, 1, 0)])
def test_stones_of_empty_masks(prediction: np.ndarray, target: np.ndarray, n_stones: int, n_false: int):
    match = match_stones(prediction, target)
    assert (match.n_stones, match.n_found, match.n_false_positives) == (n_stones, 0, n_false)


# ----------------------------------------------------------------------- probabilities into masks
def test_the_threshold_itself_is_stone_and_small_regions_are_dropped():
    probability = np.array([[0.5, 0.49, 0.0, 0.9], [0.0, 0.7, 0.0, 0.0]], np.float32)
    assert predicted_mask(probability, 0.5).tolist() == [[1, 0, 0, 1], [0, 1, 0, 0]]
    assert predicted_mask(probability, 0.5, min_pixels=1).sum() == 3
    assert predicted_mask(probability, 0.5, min_pixels=2).tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]
    assert not predicted_mask(probability, 0.5, min_pixels=3).any()
    assert not predicted_mask(probability, 0.95, min_pixels=2).any()
    assert predicted_mask(np.ones((3, 3)), 0.5, min_pixels=2).all()  # no background at all


# ----------------------------------------------------------------------------- oracles, at random
@pytest.fixture(scope="module")
def random_masks() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    predicted, true = rng.choice([0.0, 0.02, 0.2, 0.6], size=(2, 40, 1, 1))
    return rng.random((40, 17, 23)) < predicted, rng.random((40, 17, 23)) < true


def test_dice_and_iou_equal_monai(random_masks: tuple[np.ndarray, np.ndarray]):
    monai_metrics = pytest.importorskip("monai.metrics", reason="MONAI is in the dev extra")
    prediction, target = (torch.from_numpy(mask)[:, None] for mask in random_masks)
    # ignore_empty=False: MONAI's default would turn a false alarm on a stone-free image into NaN and hide it
    theirs = monai_metrics.compute_dice(prediction, target, ignore_empty=False)[:, 0].numpy()
    both_empty = ~(random_masks[0].any((1, 2)) | random_masks[1].any((1, 2)))
    assert both_empty.any() and (dice(*random_masks)[~both_empty] == 0).any()
    assert np.allclose(dice(*random_masks)[~both_empty], theirs[~both_empty])
    # where both are empty MONAI says 1, a gift for predicting nothing: here we differ on purpose
    assert (theirs[both_empty] == 1).all() and np.isnan(dice(*random_masks)[both_empty]).all()
    theirs = monai_metrics.compute_iou(prediction, target, ignore_empty=False)[:, 0].numpy()
    assert np.allclose(iou(*random_masks)[~both_empty], theirs[~both_empty])


def test_stone_matching_equals_a_slow_search(random_masks: tuple[np.ndarray, np.ndarray]):
    for prediction, target in zip(*random_masks, strict=True):
        structure = ndimage.generate_binary_structure(2, 2)
        true, n_true = ndimage.label(target, structure)
        predicted, n_predicted = ndimage.label(prediction, structure)
        for min_iou in (0.0, 0.3):
            hit = np.zeros((n_true, n_predicted), bool)
            for i in range(n_true):
                for j in range(n_predicted):
                    a, b = true == i + 1, predicted == j + 1
                    shared = (a & b).sum()
                    hit[i, j] = shared > 0 and shared / (a | b).sum() >= min_iou
            match = match_stones(prediction, target, min_iou)
            assert (match.n_merged, match.n_split) == ((hit.sum(0) > 1).sum(), (hit.sum(1) > 1).sum())
            areas = np.bincount(predicted.ravel(), minlength=n_predicted + 1)[1:]
            assert match.n_predicted_pixels == tuple((hit @ areas).tolist())
            middles = ndimage.center_of_mass(target, true, range(1, n_true + 1))
            assert np.allclose(match.centres, np.reshape(middles, np.shape(match.centres)))
            assert match.found == tuple(hit.any(1).tolist())
            assert match.n_false_positives == n_predicted - hit.any(0).sum()
