"""The picture of the inspector and the report, pixel by pixel."""

import io
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from unet_helpers.pictures.rendering import (
    GAP,
    RenderSettings,
    check_arrays,
    encode_png,
    find_false_alarms,
    find_missed,
    find_regions,
    picture_shape,
    render,
    view_box,
)
from unet_helpers.pictures.styles import STYLES

# 8 x 8 pixels, drawn as 80 x 80: pixel (r, c) fills rows 10 r to 10 r + 9. A hit, a miss, a false alarm.
IMAGE = np.full((8, 8), 100, np.uint8)
TARGET = np.zeros((8, 8), bool)
TARGET[1, 1] = TARGET[6, 6] = True
PROBABILITY = np.zeros((8, 8), np.float32)
PROBABILITY[1, 1], PROBABILITY[1, 6], PROBABILITY[6, 6] = 0.9, 0.7, 0.2
HIT, FALSE_ALARM, MISS = (1, 1), (1, 6), (6, 6)
SETTINGS = RenderSettings(size_px=80, opacity=1.0)


def drawn(settings: RenderSettings = SETTINGS, **masks: np.ndarray) -> np.ndarray:
    return render(IMAGE, **{"target": TARGET, "probability": PROBABILITY} | masks, settings=settings)


def colours(picture: np.ndarray, pixel: tuple[int, int], margin: int = 2) -> set[tuple[int, int, int]]:
    """All colours inside one image pixel of the 10-fold picture, its rim left out."""
    row, column = (10 * p + margin for p in pixel)
    piece = picture[row : row + 10 - 2 * margin, column : column + 10 - 2 * margin]
    return set(map(tuple, piece.reshape(-1, 3).tolist()))


def around(picture: np.ndarray, pixel: tuple[int, int], distance: int) -> list[tuple[int, int, int]]:
    """Colours along the square at some distance (1: touching) outside one image pixel."""
    top, left = (10 * p - distance for p in pixel)
    side = 10 + 2 * distance
    rim = np.ones((side, side), bool)
    rim[1:-1, 1:-1] = False
    return list(map(tuple, picture[top : top + side, left : left + side][rim].tolist()))


def test_each_kind_is_filled_with_its_colour():
    picture = drawn(SETTINGS)
    assert picture.shape == (80, 80, 3) and picture.dtype == np.uint8
    assert colours(picture, HIT) == {STYLES["hit"].colour}
    assert colours(picture, MISS) == {STYLES["miss"].colour}
    assert colours(picture, FALSE_ALARM) == {STYLES["false alarm"].colour}
    assert colours(picture, (4, 4)) == {(100, 100, 100)}


def test_outlines_differ_in_thickness_and_pattern():
    picture = drawn(replace(SETTINGS, opacity=0.0))
    grey = (100, 100, 100)
    assert set(around(picture, HIT, 1)) == {STYLES["hit"].colour}  # solid: one colour all along
    for pixel, kind in ((MISS, "miss"), (FALSE_ALARM, "false alarm")):
        assert set(around(picture, pixel, 1)) == {STYLES[kind].colour, GAP}  # broken
    assert set(around(picture, MISS, 3)) != {grey} and set(around(picture, MISS, 4)) == {grey}  # 3 px thick
    assert set(around(picture, HIT, 2)) != {grey} and set(around(picture, HIT, 3)) == {grey}  # 2 px thick

    def n_changes(pixel):  # along the upper edge
        edge = around(picture, pixel, 1)[:12]
        return sum(a != b for a, b in pairwise(edge))

    assert n_changes(FALSE_ALARM) > n_changes(MISS)  # dotted against dashed


def test_opacity_blends_the_fill_and_leaves_the_outline():
    for opacity in (0.0, 0.25, 1.0):
        picture = drawn(replace(SETTINGS, opacity=opacity))
        mixed = tuple(round(100 + opacity * (c - 100)) for c in STYLES["hit"].colour)
        (colour,) = colours(picture, HIT)
        assert np.abs(np.subtract(colour, mixed)).max() <= 1
        assert set(around(picture, HIT, 1)) == {STYLES["hit"].colour}


def test_threshold_moves_pixels_between_kinds():
    low = drawn(replace(SETTINGS, threshold=0.1))
    assert colours(low, MISS) == {STYLES["hit"].colour}
    exact = drawn(replace(SETTINGS, threshold=float(PROBABILITY[1, 6])))
    assert colours(exact, FALSE_ALARM) == {STYLES["false alarm"].colour}  # "at least", not "more than"
    high = drawn(replace(SETTINGS, threshold=0.8))
    assert colours(high, FALSE_ALARM) == {(100, 100, 100)}
    assert colours(high, HIT) == {STYLES["hit"].colour}


def test_small_predictions_are_deleted():
    picture = drawn(replace(SETTINGS, min_pixels=2))
    assert colours(picture, FALSE_ALARM) == {(100, 100, 100)}
    assert colours(picture, HIT) == {STYLES["miss"].colour}


def test_a_line_parts_a_hit_from_its_missed_rim_when_there_is_no_fill():
    target, probability = np.zeros((8, 8), bool), np.zeros((8, 8), np.float32)
    target[3, 3:5], probability[3, 3] = True, 1
    picture = drawn(target=target, probability=probability, settings=replace(SETTINGS, opacity=0.0))
    assert tuple(picture[35, 40]) == STYLES["miss"].colour  # first column of the missed pixel
    assert tuple(picture[35, 39]) == (100, 100, 100) == tuple(picture[35, 41])


@pytest.mark.parametrize(("toggle", "kind", "pixels"), [
    ("show_truth", "truth", (HIT, MISS)), ("show_prediction", "prediction", (HIT, FALSE_ALARM)),
])  # fmt: skip
def test_truth_and_prediction_are_outlined_and_never_filled(toggle, kind, pixels):
    settings = replace(SETTINGS, show_errors=False)
    assert np.unique(drawn(settings)).tolist() == [100]
    picture = drawn(replace(settings, **{toggle: True}))
    for pixel in (HIT, MISS, FALSE_ALARM):
        assert colours(picture, pixel, margin=0) == {(100, 100, 100)}
        assert (STYLES[kind].colour in around(picture, pixel, 1)) == (pixel in pixels)


def test_truth_stays_visible_beside_the_errors():
    picture = drawn(replace(SETTINGS, show_truth=True, show_prediction=True))
    assert set(around(picture, HIT, 1)) == {STYLES["hit"].colour}
    assert {STYLES["truth"].colour, STYLES["prediction"].colour} == set(around(picture, HIT, 5))


def test_heat_map_gets_brighter_with_the_probability_and_leaves_zero_alone():
    probability = np.tile(np.repeat([0.0, 0.4, 0.7, 1.0], 2).astype(np.float32), (8, 1))
    settings = replace(SETTINGS, show_errors=False, show_heat_map=True)
    picture = drawn(probability=probability, settings=settings).astype(int)
    middle = [picture[40, 20 * i + 10].sum() for i in range(4)]
    assert tuple(picture[40, 2]) == (100, 100, 100)
    assert middle[1] < middle[2] < middle[3]
    assert tuple(picture[40, 78]) == (253, 231, 37)
    assert np.unique(drawn(probability=probability, settings=replace(settings, opacity=0.0))).tolist() == [
        100
    ]


def test_zoom_enlarges_around_the_centre_and_stops_at_the_edge():
    assert view_box((8, 8), RenderSettings(zoom=2, centre=(3.5, 3.5))) == (2, 2, 4, 4)
    assert view_box((8, 8), RenderSettings(zoom=2, centre=(0, 7))) == (0, 4, 4, 4)
    assert view_box((8, 6), RenderSettings()) == (0, 0, 8, 6)
    picture = drawn(replace(SETTINGS, zoom=4, centre=MISS))
    assert picture.shape == (80, 80, 3)  # the picture does not change its size
    # rows 5.5 to 7.5 are in view, 40 px each: pixel (6, 6) covers 20 to 59
    assert {tuple(c) for c in picture[20:60, 20:60].reshape(-1, 3).tolist()} == {STYLES["miss"].colour}
    assert tuple(picture[40, 16]) == tuple(picture[16, 40]) == (100, 100, 100)


@pytest.mark.parametrize(
    ("shape", "expected"), [((256, 256), (640, 640)), ((391, 320), (640, 524)), ((1, 4), (160, 640))]
)
def test_the_longer_side_of_the_picture_is_fixed(shape, expected):
    assert picture_shape(shape, 640) == expected


def test_window_turns_hu_into_grey():
    image_hu = np.array([[-160.0, 40.0], [241.0, 3000.0]])
    settings = RenderSettings(size_px=2, window_level=40, window_width=400, show_errors=False)
    empty = {"target": np.zeros((2, 2), bool), "probability": np.zeros((2, 2))}
    assert render(image_hu, **empty, settings=settings)[..., 0].tolist() == [[0, 127], [255, 255]]
    with pytest.raises(ValueError, match="image must be uint8 when no window is set, got float64"):
        render(image_hu, **empty)


def test_render_changes_none_of_its_arguments():
    image, target, probability = IMAGE.copy(), TARGET.copy(), PROBABILITY.copy()
    settings = RenderSettings(show_heat_map=True, show_truth=True)
    render(image, target=target, probability=probability, settings=settings)
    for array, original in ((image, IMAGE), (target, TARGET), (probability, PROBABILITY)):
        assert np.array_equal(array, original)


BAD = {
    "image must be a grey array": {"image": np.zeros((8, 8, 3), np.uint8)},
    "target must have the image's shape": {"target": np.zeros((8, 9), bool)},
    "target must be a bool mask, got uint8": {"target": np.zeros((8, 8), np.uint8)},
    "probability must have the image's shape": {"probability": np.zeros((1, 8, 8), np.float32)},
    "probability must be a float array, got bool": {"probability": TARGET},
    r"probability must lie in \[0, 1\], got -3 to 5": {"probability": np.linspace(-3, 5, 64).reshape(8, 8)},
    r"probability must lie in \[0, 1\], got NaN": {"probability": np.full((8, 8), np.nan)},
}  # fmt: skip


@pytest.mark.parametrize("message", BAD)
def test_bad_arrays_are_named(message):
    arrays = {"image": IMAGE, "target": TARGET, "probability": PROBABILITY} | BAD[message]
    with pytest.raises(ValueError, match=message):
        render(**arrays)


def test_png_is_read_back_by_pillow_exactly():
    picture = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    image = Image.open(io.BytesIO(encode_png(picture)))
    image.load()  # checks the check sums
    assert image.mode == "RGB" and np.array_equal(np.asarray(image), picture)


def test_regions_are_found_with_their_middle_and_size():
    mask = np.zeros((10, 10), bool)
    mask[2:5, 1:3] = True
    mask[9, 9] = True
    assert find_regions(mask) == [(3.0, 1.5, 3), (9.0, 9.0, 1)]
    assert find_regions(np.zeros((3, 3), bool)) == []


def test_mistakes_are_found_with_their_number():
    prediction = PROBABILITY >= 0.5
    assert find_missed(prediction, TARGET) == [(1, (6, 6, 1))]  # the second section
    assert find_false_alarms(prediction, TARGET) == [(0, (1, 6, 1))]
    assert find_missed(TARGET, TARGET) == find_false_alarms(TARGET, TARGET) == []


def test_masks_go_by_name_so_that_they_cannot_be_swapped():
    with pytest.raises(TypeError):
        render(IMAGE, TARGET, PROBABILITY)
    with pytest.raises(TypeError):
        check_arrays(IMAGE, TARGET, PROBABILITY)
