"""Distances between outlines: worked by hand, and 500 pairs of masks against MONAI."""

import math
import warnings

import numpy as np
import pytest
from random_masks import SHAPE, mask_pairs
from scipy import ndimage

from unet_helpers.metrics import dice
from unet_helpers.scores.surface import outline, pixel_size, surface_distances, surface_scores

EMPTY = np.zeros((9, 12), bool)


def block(rows: slice, columns: slice, shape: tuple[int, int] = (9, 12)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[rows, columns] = True
    return mask


SQUARE = block(slice(2, 5), slice(2, 5))  # 3 x 3: eight outline pixels around one inner pixel


# -------------------------------------------------------------------------------------------- by hand
def test_the_outline_is_made_of_the_masks_own_pixels():
    inner = np.zeros_like(SQUARE)
    inner[3, 3] = True
    assert np.array_equal(outline(SQUARE), SQUARE & ~inner)
    plus = block(slice(2, 5), slice(3, 4)) | block(slice(3, 4), slice(2, 5))
    assert not outline(plus)[3, 3] and outline(plus).sum() == 4  # a corner neighbour alone makes no outline
    full = np.ones((4, 5), bool)
    assert outline(full).sum() == 14 and not outline(full)[1:3, 1:4].any()  # the edge of the image is one


def test_a_square_shifted_by_one_pixel():
    there, back = surface_distances(np.roll(SQUARE, 1, axis=1), SQUARE)
    # of the shifted outline the right column is 1 away; its left column lies on the top, the inside and the
    # bottom of the target: the middle one of it is 1 from the outline
    assert sorted(there) == sorted(back) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert surface_scores(np.roll(SQUARE, 1, axis=1), SQUARE) == (1.0, 1.0, 0.5)
    assert (
        surface_scores(np.roll(SQUARE, 1, axis=1), SQUARE, 1.25).surface_dice == 0.5
    )  # now a pixel is wider than 1 mm


@pytest.mark.parametrize(
    ("rows", "columns", "expected"), [(3, 0, 1.5), (0, 4, 8.0), (3, 4, math.hypot(1.5, 8))]
)
def test_non_square_pixels(rows: int, columns: int, expected: float):
    one = block(slice(1, 2), slice(1, 2))
    other = np.roll(one, (rows, columns), (0, 1))
    scores = surface_scores(one, other, (0.5, 2.0))
    assert scores.hd95 == scores.average_distance == expected and scores.surface_dice == 0
    assert surface_scores(one, other, (0.5, 2.0), expected).surface_dice == 1  # the tolerance itself agrees


def test_hd95_is_the_larger_of_the_two_percentiles_not_their_pool():
    wide, small = np.ones((1, 201), bool), block(slice(0, 1), slice(0, 1), (1, 201))
    there, back = surface_distances(wide, small)  # 0, 1, ... 200 one way, a single 0 back
    assert there.tolist() == list(range(201)) and back.tolist() == [0]
    hd95 = [surface_scores(*masks, 0.5).hd95 for masks in ((wide, small), (small, wide))]
    assert hd95 == [95, 95]  # 95 % of the way from 0 to 200, times 0.5
    assert np.percentile(np.concatenate([there, back]), 95) < 190
    crowd = block(slice(0, 1), slice(0, 40), (1, 201))
    far = crowd | block(slice(0, 1), slice(200, 201), (1, 201))  # one false pixel: within the 5 % left out
    scores = surface_scores(far, crowd)
    assert scores.hd95 == 0 and scores.average_distance == pytest.approx(161 / 81)


@pytest.mark.parametrize(("prediction", "target", "expected"), [
    (EMPTY, EMPTY, (math.nan,) * 3),
    (EMPTY, SQUARE, (0.0, math.inf, math.inf)),
    (SQUARE, EMPTY, (0.0, math.inf, math.inf)),
    (SQUARE, SQUARE, (1.0, 0.0, 0.0)),
    (np.ones((9, 12), bool), np.ones((9, 12), bool), (1.0, 0.0, 0.0)),
], ids=["both empty", "missed", "false alarm", "perfect", "both full"])  # fmt: skip
def test_table_of_empty_masks(prediction: np.ndarray, target: np.ndarray, expected: tuple[float, ...]):
    scores = surface_scores(prediction, target, 0.7)
    assert np.array_equal(scores, expected, equal_nan=True) and all(type(score) is float for score in scores)


def test_what_is_no_mask_no_shape_or_no_size_is_refused():
    with pytest.raises(ValueError, match=r"bool masks of one shape .* got float64 \(9, 12\) and bool"):
        surface_distances(SQUARE * 1.0, SQUARE)
    with pytest.raises(ValueError, match=r"got bool \(12, 9\) and bool \(9, 12\)"):
        surface_scores(SQUARE.T, SQUARE)
    for wrong in (0, -1.0, math.nan, (1.0, 0.0), (1.0, 1.0, 1.0), None):
        with pytest.raises(ValueError, match=r"spacing_mm must be positive, one number or \(row, column\)"):
            surface_scores(SQUARE, SQUARE, wrong)
    assert pixel_size(2) == (2.0, 2.0) and pixel_size((1, 0.5)) == (1.0, 0.5)


# -------------------------------------------------------------------------------------------- oracles
PREDICTIONS, TARGETS, SIZES = mask_pairs()
N_PREDICTED, N_TRUE = PREDICTIONS.sum((1, 2)), TARGETS.sum((1, 2))
BOTH, NONE = (N_PREDICTED > 0) & (N_TRUE > 0), (N_PREDICTED == 0) & (N_TRUE == 0)
ONE_EMPTY = ~BOTH & ~NONE


@pytest.fixture(scope="module")
def ours() -> np.ndarray:
    return np.array([surface_scores(*triple) for triple in zip(PREDICTIONS, TARGETS, SIZES, strict=True)])


@pytest.fixture(scope="module")
def monai_scores() -> dict[str, np.ndarray]:
    metrics = pytest.importorskip("monai.metrics", reason="needs monai: pip install monai")
    import torch

    masks = [torch.from_numpy(m)[:, None].float() for m in (PREDICTIONS, TARGETS)]
    how = {"spacing": SIZES, "include_background": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI warns of every empty mask
        scores = {
            "dice": metrics.compute_dice(*masks, ignore_empty=False),
            "surface_dice": metrics.compute_surface_dice(*masks, [1.0], **how),
            "hd95": metrics.compute_hausdorff_distance(*masks, percentile=95, **how),
            "asd": metrics.compute_average_surface_distance(*masks, symmetric=True, **how),
        }
    return {name: score[:, 0].numpy() for name, score in scores.items()}


def test_the_random_masks_hold_what_they_promise():
    assert len(PREDICTIONS) == 500 and NONE.sum() == 1 and ONE_EMPTY.sum() == 10
    for n_pixels in (N_PREDICTED, N_TRUE):
        assert (n_pixels == np.prod(SHAPE)).sum() >= 6 and (n_pixels == 1).sum() >= 50
    at_edge = PREDICTIONS[:, [0, -1]].any((1, 2)) | PREDICTIONS[:, :, [0, -1]].any((1, 2))
    assert at_edge.sum() > 100 and len(set(SIZES)) == 4


def test_scores_of_500_pairs_equal_monai(ours: np.ndarray, monai_scores: dict[str, np.ndarray]):
    for column, name in enumerate(("surface_dice", "hd95", "asd")):  # MONAI computes in float32
        assert np.allclose(ours[BOTH, column], monai_scores[name][BOTH], rtol=1e-6, atol=1e-6), name
    assert np.allclose(dice(PREDICTIONS, TARGETS)[~NONE], monai_scores["dice"][~NONE], rtol=1e-6)


def test_where_one_mask_is_empty(ours: np.ndarray, monai_scores: dict[str, np.ndarray]):
    assert np.isnan(ours[NONE]).all() and np.isnan([monai_scores[k][NONE] for k in ("hd95", "asd")]).all()
    assert (ours[ONE_EMPTY, 0] == 0).all() and (monai_scores["surface_dice"][ONE_EMPTY] == 0).all()
    assert np.isinf(ours[ONE_EMPTY, 1:]).all() and np.isinf(monai_scores["asd"][ONE_EMPTY]).all()
    # MONAI's HD95 is not infinite but NaN here: its percentile interpolates between two infinities. A missed
    # stone would then vanish from a mean that skips NaN
    assert np.isnan(monai_scores["hd95"][ONE_EMPTY]).all()


def test_distances_equal_scipys_distance_transform():
    for prediction, target, size in list(zip(PREDICTIONS, TARGETS, SIZES, strict=True))[::5]:
        if prediction.any() and target.any():
            to_target = ndimage.distance_transform_edt(~outline(target), sampling=size)
            there, _ = surface_distances(prediction, target, size)
            assert np.array_equal(there, to_target[outline(prediction)])
