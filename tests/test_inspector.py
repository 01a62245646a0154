import io
import subprocess
import sys
import time
from dataclasses import replace
from statistics import median

import numpy as np
import pytest
from PIL import Image

from unet_helpers.inspector import (
    BY_HAND,
    GAP,
    WHOLE,
    WORST_FIRST,
    Inspector,
    RenderSettings,
    encode_png,
    find_regions,
    legend_html,
    picture_shape,
    predicted_mask,
    render,
    score_html,
    score_image,
    stones_html,
    view_box,
)
from unet_helpers.plotting import STYLES

# ipywidgets 7 with a recent ipykernel, as in the test session with Colab's versions
pytestmark = pytest.mark.filterwarnings("ignore:The `ipykernel.comm.Comm` class:DeprecationWarning")

# 8 x 8 pixels, drawn as 80 x 80: pixel (r, c) fills rows 10 r to 10 r + 9. A hit, a miss, a false alarm.
IMAGE = np.full((8, 8), 100, np.uint8)
TARGET = np.zeros((8, 8), bool)
TARGET[1, 1] = TARGET[6, 6] = True
PROBABILITY = np.zeros((8, 8), np.float32)
PROBABILITY[1, 1], PROBABILITY[1, 6], PROBABILITY[6, 6] = 0.9, 0.7, 0.2
HIT, FALSE_ALARM, MISS = (1, 1), (1, 6), (6, 6)
SETTINGS = RenderSettings(size_px=80, opacity=1.0)


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
    picture = render(IMAGE, TARGET, PROBABILITY, SETTINGS)
    assert picture.shape == (80, 80, 3) and picture.dtype == np.uint8
    assert colours(picture, HIT) == {STYLES["hit"].colour}
    assert colours(picture, MISS) == {STYLES["miss"].colour}
    assert colours(picture, FALSE_ALARM) == {STYLES["false alarm"].colour}
    assert colours(picture, (4, 4)) == {(100, 100, 100)}


def test_outlines_differ_in_thickness_and_pattern():
    picture = render(IMAGE, TARGET, PROBABILITY, replace(SETTINGS, opacity=0.0))
    grey = (100, 100, 100)
    assert set(around(picture, HIT, 1)) == {STYLES["hit"].colour}  # solid: one colour all along
    for pixel, kind in ((MISS, "miss"), (FALSE_ALARM, "false alarm")):
        assert set(around(picture, pixel, 1)) == {STYLES[kind].colour, GAP}  # broken
    assert set(around(picture, MISS, 3)) != {grey} and set(around(picture, MISS, 4)) == {grey}  # 3 px thick
    assert set(around(picture, HIT, 2)) != {grey} and set(around(picture, HIT, 3)) == {grey}  # 2 px thick

    def n_changes(pixel):  # along the upper edge
        edge = around(picture, pixel, 1)[:12]
        return sum(a != b for a, b in zip(edge, edge[1:], strict=False))

    assert n_changes(FALSE_ALARM) > n_changes(MISS)  # dotted against dashed


def test_opacity_blends_the_fill_and_leaves_the_outline():
    for opacity in (0.0, 0.25, 1.0):
        picture = render(IMAGE, TARGET, PROBABILITY, replace(SETTINGS, opacity=opacity))
        mixed = tuple(round(100 + opacity * (c - 100)) for c in STYLES["hit"].colour)
        (colour,) = colours(picture, HIT)
        assert np.abs(np.subtract(colour, mixed)).max() <= 1
        assert set(around(picture, HIT, 1)) == {STYLES["hit"].colour}


def test_threshold_moves_pixels_between_kinds():
    low = render(IMAGE, TARGET, PROBABILITY, replace(SETTINGS, threshold=0.1))
    assert colours(low, MISS) == {STYLES["hit"].colour}
    exact = render(IMAGE, TARGET, PROBABILITY, replace(SETTINGS, threshold=float(PROBABILITY[1, 6])))
    assert colours(exact, FALSE_ALARM) == {STYLES["false alarm"].colour}  # "at least", not "more than"
    high = render(IMAGE, TARGET, PROBABILITY, replace(SETTINGS, threshold=0.8))
    assert colours(high, FALSE_ALARM) == {(100, 100, 100)}
    assert colours(high, HIT) == {STYLES["hit"].colour}


def test_small_predictions_are_deleted():
    picture = render(IMAGE, TARGET, PROBABILITY, replace(SETTINGS, min_pixels=2))
    assert colours(picture, FALSE_ALARM) == {(100, 100, 100)}
    assert colours(picture, HIT) == {STYLES["miss"].colour}


def test_a_line_parts_a_hit_from_its_missed_rim_when_there_is_no_fill():
    target, probability = np.zeros((8, 8), bool), np.zeros((8, 8), np.float32)
    target[3, 3:5], probability[3, 3] = True, 1
    picture = render(IMAGE, target, probability, replace(SETTINGS, opacity=0.0))
    assert tuple(picture[35, 40]) == STYLES["miss"].colour  # first column of the missed pixel
    assert tuple(picture[35, 39]) == (100, 100, 100) == tuple(picture[35, 41])


@pytest.mark.parametrize(("toggle", "kind", "pixels"), [
    ("show_truth", "truth", (HIT, MISS)), ("show_prediction", "prediction", (HIT, FALSE_ALARM)),
])  # fmt: skip
def test_truth_and_prediction_are_outlined_and_never_filled(toggle, kind, pixels):
    settings = replace(SETTINGS, show_errors=False)
    assert np.unique(render(IMAGE, TARGET, PROBABILITY, settings)).tolist() == [100]
    picture = render(IMAGE, TARGET, PROBABILITY, replace(settings, **{toggle: True}))
    for pixel in (HIT, MISS, FALSE_ALARM):
        assert colours(picture, pixel, margin=0) == {(100, 100, 100)}
        assert (STYLES[kind].colour in around(picture, pixel, 1)) == (pixel in pixels)


def test_truth_stays_visible_beside_the_errors():
    picture = render(IMAGE, TARGET, PROBABILITY, replace(SETTINGS, show_truth=True, show_prediction=True))
    assert set(around(picture, HIT, 1)) == {STYLES["hit"].colour}
    assert {STYLES["truth"].colour, STYLES["prediction"].colour} == set(around(picture, HIT, 5))


def test_heat_map_gets_brighter_with_the_probability_and_leaves_zero_alone():
    probability = np.tile(np.repeat([0.0, 0.4, 0.7, 1.0], 2).astype(np.float32), (8, 1))
    settings = replace(SETTINGS, show_errors=False, show_heat_map=True)
    picture = render(IMAGE, TARGET, probability, settings).astype(int)
    middle = [picture[40, 20 * i + 10].sum() for i in range(4)]
    assert tuple(picture[40, 2]) == (100, 100, 100)
    assert middle[1] < middle[2] < middle[3]
    assert tuple(picture[40, 78]) == (253, 231, 37)
    assert np.unique(render(IMAGE, TARGET, probability, replace(settings, opacity=0.0))).tolist() == [100]


def test_zoom_enlarges_around_the_centre_and_stops_at_the_edge():
    assert view_box((8, 8), RenderSettings(zoom=2, centre=(3.5, 3.5))) == (2, 2, 4, 4)
    assert view_box((8, 8), RenderSettings(zoom=2, centre=(0, 7))) == (0, 4, 4, 4)
    assert view_box((8, 6), RenderSettings()) == (0, 0, 8, 6)
    picture = render(IMAGE, TARGET, PROBABILITY, replace(SETTINGS, zoom=4, centre=MISS))
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
    empty = np.zeros((2, 2))
    assert render(image_hu, empty.astype(bool), empty, settings)[..., 0].tolist() == [[0, 127], [255, 255]]
    with pytest.raises(ValueError, match="image must be uint8 when no window is set, got float64"):
        render(image_hu, empty.astype(bool), empty, RenderSettings())


def test_render_changes_none_of_its_arguments():
    arrays = IMAGE.copy(), TARGET.copy(), PROBABILITY.copy()
    render(*arrays, RenderSettings(show_heat_map=True, show_truth=True))
    for array, original in zip(arrays, (IMAGE, TARGET, PROBABILITY), strict=True):
        assert np.array_equal(array, original)


BAD = {
    "image must be a grey array": {"image": np.zeros((8, 8, 3), np.uint8)},
    "target must have the image's shape": {"target": np.zeros((8, 9), bool)},
    "target must be a bool mask, got uint8": {"target": np.zeros((8, 8), np.uint8)},
    "probability must have the image's shape": {"probability": np.zeros((1, 8, 8), np.float32)},
    "probability must be a float array, got bool": {"probability": TARGET},
    r"probability must lie in \[0, 1\], got -3 to 5": {"probability": np.linspace(-3, 5, 64).reshape(8, 8)},
    "probability must lie": {"probability": np.full((8, 8), np.nan)},
}  # fmt: skip


@pytest.mark.parametrize("message", BAD)
def test_bad_arrays_are_named(message):
    arrays = {"image": IMAGE, "target": TARGET, "probability": PROBABILITY} | BAD[message]
    with pytest.raises(ValueError, match=message):
        render(**arrays)
    with pytest.raises(
        ValueError, match=message.replace(" must", " 1 must", 1)
    ):  # and which of the list it is
        Inspector(
            *([good, arrays[name]] for name, good in zip(arrays, (IMAGE, TARGET, PROBABILITY), strict=True))
        )


def test_png_is_read_back_by_pillow_exactly():
    picture = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    image = Image.open(io.BytesIO(encode_png(picture)))
    image.load()  # checks the check sums
    assert image.mode == "RGB" and np.array_equal(np.asarray(image), picture)


def simulate(colour: tuple[int, int, int], matrix: list[list[float]]) -> np.ndarray:
    """CIELAB value of an sRGB colour as seen by an eye whose linear RGB response goes through a matrix."""
    rgb = np.divide(colour, 255)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(np.array(matrix) @ linear, 0, 1) / to_xyz.sum(1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


# Machado, Oliveira, Fernandes (2009), IEEE TVCG 15(6):1291-1298, severity 1.0
EYES = {
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
}


@pytest.mark.parametrize("eye", EYES)
def test_error_colours_stay_apart_for_every_eye(eye):
    seen = [simulate(STYLES[kind].colour, EYES[eye]) for kind in ("hit", "miss", "false alarm")]
    assert min(np.linalg.norm(seen[i] - seen[j]) for i, j in ((0, 1), (0, 2), (1, 2))) > 30
    assert len({(s.line, s.width_px) for s in (STYLES[k] for k in ("hit", "miss", "false alarm"))}) == 3


def test_score_of_a_case_worked_by_hand():
    prediction = predicted_mask(PROBABILITY, 0.5)
    score = score_image(prediction, TARGET, spacing_mm=2.0)
    assert (score.dice, score.iou) == (0.5, pytest.approx(1 / 3))  # TP 1, FP 1, FN 1
    assert (score.match.n_stones, score.match.n_found, score.match.n_false_positives) == (2, 1, 1)
    assert score.diameters == pytest.approx([2 * 2 / np.sqrt(np.pi)] * 2)  # circle of 4 mm2
    assert score.predicted_diameters == pytest.approx([2 * 2 / np.sqrt(np.pi), 0])
    assert score_image(prediction, TARGET).diameters[0] == pytest.approx(2 / np.sqrt(np.pi))


def test_live_line_says_it_in_words():
    score = score_image(predicted_mask(PROBABILITY, 0.5), TARGET, spacing_mm=2.0)
    line = score_html(score, "image 1 of 2: a<b>")
    for words in ("image 1 of 2: a&lt;b&gt;", "Dice <b>0.500", "IoU <b>0.333", "<b>1 of 2</b>"):
        assert words in line
    assert "missed <b>1</b>" in line and "false alarms <b>1</b>" in line
    assert "stone 1: 2.3 mm, predicted 2.3 mm" in stones_html(score, "mm")
    assert "stone 2: 2.3 mm, missed" in stones_html(score, "mm")
    nothing = score_image(np.zeros((4, 4), bool), np.zeros((4, 4), bool))
    assert "Dice <b>none</b>" in score_html(nothing, "") and "no stone" in stones_html(nothing, "px")


def test_legend_names_every_colour_and_pattern():
    legend = legend_html()
    for style in STYLES.values():
        assert f"{style.width_px}px {style.line} {style.hex}" in legend and style.label in legend


def test_regions_are_found_with_their_middle_and_size():
    mask = np.zeros((10, 10), bool)
    mask[2:5, 1:3] = True
    mask[9, 9] = True
    assert find_regions(mask) == [(3.0, 1.5, 3), (9.0, 9.0, 1)]
    assert find_regions(np.zeros((3, 3), bool)) == []


# ---- the widget


def shown(inspector: Inspector) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(bytes(inspector.picture.value))))


def expected(inspector: Inspector, data: dict) -> np.ndarray:
    i = inspector.current
    return render(data["images"][i], data["targets"][i], data["probabilities"][i], inspector.settings())


def make_data() -> dict:
    """Three images: one stone of two missed; found but small Dice, other size, two false alarms; empty."""
    first = np.zeros((40, 40), bool)
    first[5:9, 5:9] = first[30:33, 20:23] = True
    second = np.zeros((30, 60), bool)
    second[10:16, 40:46] = True
    targets = [first, second, np.zeros((40, 40), bool)]
    probabilities = [t * np.float32(0.9) for t in targets]
    probabilities[0][30:33, 20:23] = 0.3
    probabilities[1][12:, 40:46] = 0
    probabilities[1][2, 2] = probabilities[1][25, 50] = 0.8
    rng = np.random.default_rng(0)
    return {"images": [rng.integers(0, 256, t.shape).astype(np.uint8) for t in targets], "targets": targets,
            "probabilities": probabilities}  # fmt: skip


@pytest.fixture
def data() -> dict:
    return make_data()


MOVES = [
    ("threshold", 0.2), ("opacity", 0.9), ("index", 2), ("index", 3), ("zoom", 3.0), ("row", 80),
    ("column", 10), ("look_at", "stone 2"), ("look_at", BY_HAND), ("truth", True), ("prediction", True),
    ("errors", False), ("heat_map", True), ("order", WORST_FIRST),
]  # fmt: skip


@pytest.mark.parametrize(("control", "value"), MOVES)
def test_every_control_changes_the_picture_to_what_render_gives(data, control, value):
    inspector = Inspector(**data)
    before = shown(inspector)
    assert np.array_equal(before, expected(inspector, data))
    getattr(inspector, control).value = value
    assert not np.array_equal(shown(inspector), before)
    assert np.array_equal(shown(inspector), expected(inspector, data))
    field = {"heat_map": "show_heat_map", "truth": "show_truth", "errors": "show_errors"}.get(
        control, control
    )
    if hasattr(inspector.settings(), field):
        assert getattr(inspector.settings(), field) == value
    assert inspector.picture.layout.width == f"{shown(inspector).shape[1]}px"


def test_window_sliders_exist_only_for_hu(data):
    images_hu = [image.astype(np.float32) * 4 - 400 for image in data["images"]]
    inspector = Inspector(**data, images_hu=images_hu)
    inspector.level.value, inspector.width.value = 100, 900
    settings = inspector.settings()
    assert (settings.window_level, settings.window_width) == (100, 900)
    picture = render(images_hu[0], data["targets"][0], data["probabilities"][0], settings)
    assert np.array_equal(shown(inspector), picture)
    assert inspector.level in all_children(inspector.widget)
    assert Inspector(**data).level not in all_children(Inspector(**data).widget)


def all_children(widget) -> list:
    return [widget] + [w for child in getattr(widget, "children", ()) for w in all_children(child)]


def test_live_line_follows(data):
    inspector = Inspector(**data, names=["a", "b", "c"], spacing_mm=[0.5, 0.6, 0.7])
    assert "1 of 2" in inspector.score.value and "image 1 of 3: a" in inspector.score.value
    assert "mm, missed" in inspector.stones.value
    inspector.threshold.value = 0.2
    assert "2 of 2" in inspector.score.value and "Dice <b>1.000" in inspector.score.value
    inspector.index.value = 3
    assert "Dice <b>none" in inspector.score.value and "no stone" in inspector.stones.value
    assert " px" in Inspector(**data).stones.value


def test_worst_first_and_back(data):
    inspector = Inspector(**data)
    inspector.order.value = WORST_FIRST
    # image 1: TP 12, FN 24, FP 2: 24 / 50 = 0.48; image 0: TP 16, FN 9: 32 / 41 = 0.78; image 2: NaN, last
    order = [inspector.current]
    for position in (2, 3):
        inspector.index.value = position
        order.append(inspector.current)
    assert order == [1, 0, 2]
    inspector.order.value = "as given"
    assert inspector.current == 2 and inspector.index.value == 3  # stays at the shown image


def test_next_missed_stone_goes_round(data):
    data["probabilities"][1][:] = 0
    inspector = Inspector(**data)
    places = []
    for _ in range(3):
        inspector.next_miss.click()
        places.append((inspector.current, inspector.look_at.value))
        assert np.array_equal(shown(inspector), expected(inspector, data))
    assert places == [(0, "stone 2"), (1, "stone 1"), (0, "stone 2")]
    assert inspector.zoom.value > 1
    top, left, height, width = view_box((40, 40), inspector.settings())
    assert top <= 30 and top + height >= 33 and left <= 20 and left + width >= 23  # the stone is in view


def test_next_false_alarm_visits_each_and_says_when_there_is_none(data):
    inspector = Inspector(**data)
    rows = []
    for _ in range(3):
        inspector.next_false_alarm.click()
        assert inspector.current == 1
        rows.append(inspector.row.value)
    assert rows == [round(100 * 2 / 29), round(100 * 25 / 29), round(100 * 2 / 29)]
    inspector.threshold.value = 0.85
    inspector.next_false_alarm.click()
    assert "no false alarm" in inspector.message.value
    inspector.threshold.value = 0.3
    assert inspector.message.value == ""
    inspector.next_miss.click()
    assert "No stone is missed" in inspector.message.value


def test_zooming_looks_at_the_stone_and_stays_zoomed_in(data):
    inspector = Inspector(**data)
    inspector.zoom.value = 5
    assert inspector.look_at.value == "stone 1" and inspector.row.value == round(100 * 6.5 / 39)
    inspector.index.value = 2
    assert (inspector.zoom.value, inspector.look_at.value) == (5, "stone 1")
    inspector.index.value = 3
    assert (inspector.zoom.value, inspector.look_at.value) == (5, BY_HAND)
    inspector.look_at.value = WHOLE
    assert inspector.zoom.value == 1 and view_box((40, 40), inspector.settings()) == (0, 0, 40, 40)
    inspector.row.value = 90
    assert inspector.look_at.value == BY_HAND and inspector.zoom.value > 1


def test_one_move_composes_one_picture(data):
    inspector = Inspector(**data)
    pictures = []
    inspector.picture.observe(lambda change: pictures.append(change["new"]), names="value")
    inspector.look_at.value = "stone 2"  # moves zoom, row and column as well
    assert len(pictures) == 1
    inspector.threshold.value = inspector.threshold.value  # no move, no picture
    assert len(pictures) == 1


@pytest.mark.parametrize("n_images", [1, 2])
def test_smallest_data_sets(n_images):
    empty = [np.zeros((5, 7), bool)] * n_images
    zeros = [np.zeros((5, 7), np.float32)] * n_images
    inspector = Inspector([np.zeros((5, 7), np.uint8)] * n_images, empty, zeros)
    assert shown(inspector).shape == (457, 640, 3)
    inspector.next_miss.click()
    inspector.next_false_alarm.click()
    inspector.order.value = WORST_FIRST
    inspector.zoom.value = 4
    assert "Dice <b>none" in inspector.score.value
    assert (inspector.index in all_children(inspector.widget)) == (n_images > 1)  # nothing to slide over


def test_arrays_of_images_work_like_lists():
    stack = np.zeros((3, 8, 8), np.uint8)
    inspector = Inspector(stack, stack > 0, stack.astype(np.float32), spacing_mm=np.full(3, 0.8))
    inspector.index.value = 3
    assert "of 3" in inspector.score.value


@pytest.mark.parametrize(("change", "message"), [
    ({"images": [], "targets": [], "probabilities": []}, "images must hold at least one image, got none"),
    ({"targets": []}, r"targets must have one entry an image \(3\), got 0"),
    ({"names": ["a"]}, r"names must have one entry an image \(3\), got 1"),
    ({"spacing_mm": [1.0, 2.0]}, r"spacing_mm must have one entry an image \(3\), got 2"),
    ({"images_hu": [np.zeros((4, 4))] * 2}, "images_hu must have one entry"),
    ({"threshold": 1.5}, r"threshold must lie in \[0, 1\], got 1.5"),
])  # fmt: skip
def test_wrong_lists_are_named(data, change, message):
    with pytest.raises(ValueError, match=message):
        Inspector(**data | change)


def test_display_shows_the_widget(data, monkeypatch):
    import IPython.display

    displayed = []
    monkeypatch.setattr(IPython.display, "display", displayed.append)
    inspector = Inspector(**data)
    inspector._ipython_display_()
    assert displayed == [inspector.widget]


def test_a_move_at_512_pixels_is_quick():
    """The contract is 30 ms (benchmarks/inspector.py); processor time: others do not count."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((512, 512))
    target = (rows - 200) ** 2 + (columns - 300) ** 2 < 64
    probability = np.exp(-((rows - 202) ** 2 + (columns - 300) ** 2) / 90).astype(np.float32)
    inspector = Inspector([rng.integers(0, 256, (512, 512)).astype(np.uint8)], [target], [probability])
    seconds = []
    for i in range(20):
        start = time.process_time()
        inspector.threshold.value = 0.1 + 0.04 * i
        seconds.append(time.process_time() - start)
    assert median(seconds) < 0.1


def test_importing_the_inspector_loads_no_torch():
    code = "import sys, unet_helpers.inspector; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
