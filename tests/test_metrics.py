"""Scores against answers worked out on paper, and against MONAI and SciPy."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from unet_helpers.engine.checks import check_probabilities, check_probability
from unet_helpers.metrics import (
    HIT_IOU,
    confusion_counts,
    dice,
    divided,
    iou,
    label_stones,
    match_stones,
    overlap_ratios,
    pooled_dice,
    predicted_mask,
)
from unet_helpers.pictures.rendering import false_alarms
from unet_helpers.scores.records import equal_area_diameter


def draw(*rows: str) -> np.ndarray:
    """Mask from a drawing: # is stone."""
    return np.array([[pixel == "#" for pixel in row] for row in rows])


EMPTY = np.zeros((4, 5), bool)
ONE = draw(".....", "..#..", ".....", ".....")


# ----------------------------------------------------------------------------- one image, by hand
def test_counts_dice_and_iou_of_overlapping_squares():
    prediction = draw("###..", "###..", ".....")
    target = draw(".###.", ".###.", "#....")
    assert [int(c) for c in confusion_counts(prediction, target)] == [4, 2, 3]  # TP, FP, FN
    assert dice(prediction, target) == 8 / 13
    assert iou(prediction, target) == 4 / 9


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


@pytest.mark.parametrize(
    "score",
    [dice, iou, lambda prediction, target: pooled_dice([prediction], [target])],
    ids=["dice", "iou", "pooled_dice"],
)
@pytest.mark.parametrize(
    ("prediction", "target", "expected"),
    [row[1:] for row in EMPTY_TABLE],
    ids=[row[0] for row in EMPTY_TABLE],
)
def test_table_of_empty_masks(score: Callable, prediction: np.ndarray, target: np.ndarray, expected: float):
    value = score(prediction, target)
    assert isinstance(value, float)
    assert math.isnan(value) if math.isnan(expected) else value == expected


def test_a_stack_scores_each_image_and_leaves_none_out():
    scores = dice(np.stack([ONE, EMPTY, EMPTY, ONE]), np.stack([ONE, ONE, EMPTY, EMPTY]))
    assert np.array_equal(scores, [1.0, 0.0, np.nan, 0.0], equal_nan=True)
    assert dice(np.zeros((0, 4, 5), bool), np.zeros((0, 4, 5), bool)).shape == (0,)


@pytest.mark.parametrize("score", [confusion_counts, dice, iou, match_stones])
def test_what_is_no_bool_mask_or_another_shape_is_refused(score: Callable):
    with pytest.raises(ValueError, match=r"prediction must be a bool mask, got float64\. Use probability"):
        score(np.full((4, 5), 0.3), ONE)
    with pytest.raises(ValueError, match=r"target must be a bool mask, got uint8\. Use mask > 127"):
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
    assert np.mean([dice(p, t) for p, t in zip(predictions, targets, strict=True)]) == pytest.approx(90 / 190)


def test_pooled_scores_refuse_unequal_numbers_and_are_nan_of_nothing():
    with pytest.raises(ValueError, match="as many as targets, got 1 and 2"):
        pooled_dice([ONE], [ONE, ONE])
    assert math.isnan(pooled_dice([], [])) and type(pooled_dice([ONE], [ONE])) is float


def test_overlaps_come_from_one_place_for_numbers_and_arrays():
    tp, fp, fn = np.array([4, 0, 0]), np.array([2, 0, 3]), np.array([3, 0, 0])
    scores = {name: divided(*parts) for name, parts in overlap_ratios(tp, fp, fn).items()}
    assert np.array_equal(scores["dice"], [8 / 13, np.nan, 0], equal_nan=True)
    assert np.array_equal(scores["recall"], [4 / 7, np.nan, np.nan], equal_nan=True)
    one = {name: divided(*parts) for name, parts in overlap_ratios(4, 2, 3).items()}
    assert one == {"dice": 8 / 13, "iou": 4 / 9, "precision": 4 / 6, "recall": 4 / 7}


# ----------------------------------------------------------------------------- section by section
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
    assert match.found == match.touched == (True, False, True)
    assert match.n_pixels == (4, 1, 1) and match.regions == (1, 0, 3)
    assert (match.n_sections, match.n_found, match.n_touched, match.n_false_positives) == (3, 2, 2, 1)
    assert np.array_equal(false_alarms(prediction, target), draw(".......", ".......", "....##.", "......."))


def test_one_region_over_two_sections_finds_one_of_them():
    match = match_stones(draw("######"), draw("##.###"))
    assert match.found == (False, True) and match.touched == (True, True) and match.n_false_positives == 0
    assert (match.n_merged, match.n_split) == (1, 0) and match.n_predicted_pixels == (0, 6)
    assert match.iou == (0, 3 / 6)


def test_two_regions_on_one_section_are_one_hit_and_one_false_alarm():
    prediction, target = draw("##.###"), draw("######")
    match = match_stones(prediction, target)
    assert match.found == (True,) and match.n_false_positives == 1
    assert (match.n_merged, match.n_split) == (0, 1) and match.n_predicted_pixels == (3,)
    assert match.iou == (3 / 6,)  # the better half; together they would have 5 / 6
    assert np.array_equal(false_alarms(prediction, target), draw("##...."))


def test_pairs_are_taken_from_the_highest_overlap_down():
    assert match_stones(draw("#####"), draw("##.##")).regions == (1, 0)  # a tie: the lower number
    assert match_stones(draw("..#######"), draw("#####.###")).regions == (0, 1)  # 3 / 9 and 3 / 7
    # the left section overlaps the right region best (2 / 10), which a better pair has taken
    match = match_stones(draw("#...######"), draw("######.###"))
    assert match.regions == (1, 2) and match.iou == (1 / 6, 3 / 6)


def test_place_and_size_of_each_section():
    match = match_stones(draw("##...", "##..#", "....#"), draw("##...", "###.#", "....."))
    assert match.centres == ((0.6, 0.8), (1.0, 4.0))
    assert match.n_pixels == (5, 1) and match.n_predicted_pixels == (4, 2)
    assert match.iou == (4 / 5, 1 / 2)
    missed = match_stones(EMPTY, ONE)
    assert missed.centres == ((1.0, 2.0),) and missed.n_predicted_pixels == (0,) and missed.iou == (0,)
    assert match_stones(EMPTY, EMPTY).centres == ()


@pytest.mark.parametrize("radius", [3.0, 12.0])
def test_the_diameter_of_a_drawn_circle_comes_out(radius: float):
    rows, columns = np.ogrid[-20:21, -40:41]
    circle = (rows * 0.75) ** 2 + (columns * 0.5) ** 2 <= radius**2  # on pixels of 0.75 x 0.5 mm
    assert equal_area_diameter(circle.sum(), (0.75, 0.5)) == pytest.approx(2 * radius, rel=0.02)
    assert equal_area_diameter(np.pi * radius**2) == pytest.approx(2 * radius)


@pytest.mark.parametrize(("n_extra", "found"), [(6, True), (7, False)])
def test_a_grazed_section_is_found_down_to_an_overlap_of_a_tenth(n_extra: int, found: bool):
    prediction, target = np.zeros((2, 1, 15), bool)
    target[0, :4], prediction[0, 3 : 4 + n_extra] = True, True  # 1 shared of 10, or of 11
    match = match_stones(prediction, target)
    assert match.found == (found,) and match.touched == (True,) and HIT_IOU == 0.1
    assert match.n_false_positives == 1 - found and false_alarms(prediction, target).any() != found


@pytest.mark.parametrize(
    ("prediction", "target", "n_sections", "n_false"),
    [(EMPTY, EMPTY, 0, 0), (ONE, EMPTY, 0, 1), (EMPTY, ONE, 1, 0)],
)
def test_sections_of_empty_masks(prediction: np.ndarray, target: np.ndarray, n_sections: int, n_false: int):
    match = match_stones(prediction, target)
    assert (match.n_sections, match.n_found, match.n_false_positives) == (n_sections, 0, n_false)
    assert np.array_equal(false_alarms(prediction, target), prediction)


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
    monai_metrics = pytest.importorskip("monai.metrics", reason="needs monai: pip install monai")
    import torch  # here alone: the other tests start without it

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


def slow_match(prediction: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """IoU of every section with every region, and the pairs: the best of all, then of what is left, ..."""
    structure = ndimage.generate_binary_structure(2, 2)
    true, n_true = ndimage.label(target, structure)
    predicted, n_predicted = ndimage.label(prediction, structure)
    a = (true.ravel() == np.arange(1, n_true + 1)[:, None]).astype(int)  # a row a section, a column a pixel
    b = (predicted.ravel() == np.arange(1, n_predicted + 1)[:, None]).astype(int)
    iou = (a @ b.T) / np.maximum(a.sum(1)[:, None] + b.sum(1) - a @ b.T, 1)
    pairs, left = np.zeros(iou.shape, bool), iou.copy()
    while left.size and left.max() >= 0.1:
        i, j = np.unravel_index(left.argmax(), left.shape)
        pairs[i, j], left[i], left[:, j] = True, 0, 0
    return iou, pairs


def test_matching_equals_a_slow_search(random_masks: tuple[np.ndarray, np.ndarray]):
    for prediction, target in zip(*random_masks, strict=True):
        iou, pairs = slow_match(prediction, target)
        match, n_predicted = match_stones(prediction, target), pairs.shape[1]
        assert match.found == tuple(pairs.any(1).tolist())
        assert match.touched == tuple((iou > 0).any(1).tolist())
        assert match.n_false_positives == n_predicted - pairs.any(0).sum()
        assert match.iou == tuple((iou * pairs).sum(1).tolist())
        assert match.regions == tuple((pairs * np.arange(1, n_predicted + 1)).sum(1).tolist())
        assert match.n_merged == ((iou > 0).sum(0) > 1).sum()
        assert match.n_split == ((iou > 0).sum(1) > 1).sum()
        labels, _ = label_stones(prediction)
        areas = [(labels == number).sum() if number else 0 for number in match.regions]
        assert match.n_predicted_pixels == tuple(areas)
        assert np.array_equal(
            false_alarms(prediction, target), (labels > 0) & ~np.isin(labels, match.regions)
        )
        true, n_true = label_stones(target)
        middles = ndimage.center_of_mass(target, true, range(1, n_true + 1))
        assert np.allclose(match.centres, np.reshape(middles, np.shape(match.centres)))


# ------------------------------------------------------------------------------ what is a probability
P = np.full((4, 5), 0.3, np.float32)


def spoiled(value: float) -> np.ndarray:
    return np.where(ONE, np.float32(value), P)


@pytest.mark.parametrize(("probability", "message"), [
    (spoiled(5), r"probability 1 must lie in \[0, 1\], got 0\.3 to 5\. Use torch\.sigmoid\(logits\)\."),
    (spoiled(-3), r"probability 1 must lie in \[0, 1\], got -3 to 0\.3\. Use torch\.sigmoid"),
    (spoiled(np.nan), r"probability 1 must lie in \[0, 1\], got NaN in 1 of 20 pixels\. The network's"),
    (spoiled(np.inf), r"probability 1 must lie in \[0, 1\], got 0\.3 to inf\. Use torch\.sigmoid"),
    (spoiled(-np.inf), r"probability 1 must lie in \[0, 1\], got -inf to 0\.3\. Use torch\.sigmoid"),
    (ONE, r"probability 1 must be a float array, got bool\. Use torch\.sigmoid\(logits\)"),
    (ONE.astype(np.uint8), r"probability 1 must be a float array, got uint8"),
    (P.T, r"probability 1 must have the target's shape \(4, 5\), got \(5, 4\)"),
])  # fmt: skip
def test_what_is_no_probability_is_refused_by_its_index(probability: np.ndarray, message: str):
    check_probabilities([P, P], [ONE, EMPTY])
    check_probability(np.zeros((0, 3)), np.zeros((0, 3), bool))
    with pytest.raises(ValueError, match=message):
        check_probabilities([P, probability, P], [ONE] * 3)


def test_a_target_must_be_bool_and_lists_equally_long():
    with pytest.raises(ValueError, match=r"target 0 must be a bool mask, got uint8\. Use mask > 127"):
        check_probabilities([P], [ONE.astype(np.uint8)])
    with pytest.raises(ValueError, match="equally many and at least one, got 2 and 1"):
        check_probabilities([P, P], [ONE])
