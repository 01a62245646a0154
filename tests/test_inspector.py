"""The inspector's wiring: each control, its picture and its words, without a browser."""

import base64
import io
import math
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from PIL import Image

from unet_helpers.engine.figures import figure_png
from unet_helpers.inspector import Inspector
from unet_helpers.pictures.rendering import RenderSettings, render, view_box
from unet_helpers.pictures.styles import STYLES
from unet_helpers.plotting import contact_sheet
from unet_helpers.widgets.inspector_controls import BY_HAND, WHOLE

ROOT = Path(__file__).resolve().parents[1]
VIEW = "application/vnd.jupyter.widget-view+json"

# ipywidgets 7 with a recent ipykernel, as in the test session with Colab's versions
pytestmark = pytest.mark.filterwarnings("ignore:The `ipykernel.comm.Comm` class:DeprecationWarning")


def shown(inspector: Inspector) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(bytes(inspector.picture.value))))


def expected(inspector: Inspector, data: dict) -> np.ndarray:
    i = inspector.current
    masks = {"target": data["targets"][i], "probability": data["probabilities"][i]}
    return render(data["images"][i], **masks, settings=inspector.settings())


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
    ("column", 10), ("look_at", "section 2"), ("look_at", BY_HAND), ("truth", True), ("prediction", True),
    ("errors", False), ("heat_map", True), ("worst_first", True),
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
    assert inspector.picture.layout.max_width == f"{shown(inspector).shape[1]}px"


@pytest.mark.parametrize(("n_true", "n_predicted", "rim"), [(4, 2, "miss"), (2, 4, "false alarm")])
def test_the_rim_of_a_larger_mask_is_a_miss_or_a_false_alarm(n_true, n_predicted, rim):
    """By colour, and not by comparison with `render`, so that a swap on the way to it is seen."""
    depth = 4 - np.maximum(*np.abs(np.indices((8, 8)) - 3.5)).round()  # 4 in the middle ... 0 at the edge
    target, probability = depth > 4 - n_true, (depth > 4 - n_predicted).astype(np.float32)
    assert target.sum() != probability.sum()
    inspector = Inspector([np.full((8, 8), 100, np.uint8)], targets=[target], probabilities=[probability])
    inspector.opacity.value = 1.0
    picture = shown(inspector)
    for step, kind in ((0, "hit"), (2, rim)):
        place = 40 + 80 * (3 - step)  # the middle of a pixel on the diagonal
        assert tuple(picture[place, place]) == STYLES[kind].colour, kind
    with pytest.raises(TypeError):
        Inspector([np.zeros((8, 8), np.uint8)], [target], [probability])


def test_window_sliders_exist_only_for_hu(data):
    images_hu = [image.astype(np.float32) * 4 - 400 for image in data["images"]]
    inspector = Inspector(**data, images_hu=images_hu)
    inspector.level.value, inspector.width.value = 100, 900
    settings = inspector.settings()
    assert (settings.window_level, settings.window_width) == (100, 900)
    assert np.array_equal(shown(inspector), expected(inspector, data | {"images": images_hu}))
    assert inspector.level in all_children(inspector.widget)
    assert Inspector(**data).level not in all_children(Inspector(**data).widget)


def all_children(widget) -> list:
    return [widget] + [w for child in getattr(widget, "children", ()) for w in all_children(child)]


def test_live_line_follows(data):
    inspector = Inspector(**data, names=["a", "b", "c"], spacing_mm=[0.5, 0.6, 0.7])
    assert "1 of 2" in inspector.score.value and "image 1 of 3: a" in inspector.score.value
    assert "mm, missed" in inspector.sections.value
    inspector.threshold.value = 0.2
    assert "2 of 2" in inspector.score.value and "Dice <b>1.000" in inspector.score.value
    inspector.index.value = 3
    assert "Dice <b>none" in inspector.score.value and "no stone" in inspector.sections.value
    assert " px" in Inspector(**data).sections.value


def test_worst_first_and_back(data):
    inspector = Inspector(**data)
    inspector.worst_first.value = True
    # image 1: TP 12, FN 24, FP 2: 24 / 50 = 0.48; image 0: TP 16, FN 9: 32 / 41 = 0.78; image 2: NaN, last
    order = [inspector.current]
    for position in (2, 3):
        inspector.index.value = position
        order.append(inspector.current)
    assert order == [1, 0, 2]
    inspector.worst_first.value = False
    assert inspector.current == 2 and inspector.index.value == 3  # stays at the shown image


def test_next_missed_section_goes_round(data):
    data["probabilities"][1][:] = 0
    inspector = Inspector(**data)
    places = []
    for _ in range(3):
        inspector.next_miss.click()
        places.append((inspector.current, inspector.look_at.value))
        assert np.array_equal(shown(inspector), expected(inspector, data))
    assert places == [(0, "section 2"), (1, "section 1"), (0, "section 2")]
    assert inspector.zoom.value > 1
    top, left, height, width = view_box((40, 40), inspector.settings())
    assert top <= 30 and top + height >= 33 and left <= 20 and left + width >= 23  # it is in view


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
    assert "No section is missed" in inspector.message.value


def test_zooming_looks_at_the_stone_and_stays_zoomed_in(data):
    inspector = Inspector(**data)
    inspector.zoom.value = 5
    assert inspector.look_at.value == "section 1" and inspector.row.value == round(100 * 6.5 / 39)
    inspector.index.value = 2
    assert (inspector.zoom.value, inspector.look_at.value) == (
        3,
        "section 1",
    )  # 6 of 30 pixels, with a margin
    inspector.index.value = 3
    assert (inspector.zoom.value, inspector.look_at.value) == (1, WHOLE)  # nothing to look at more closely
    inspector.index.value = 1
    assert (inspector.zoom.value, inspector.look_at.value) == (5, "section 1")
    inspector.look_at.value = WHOLE
    assert inspector.zoom.value == 1 and view_box((40, 40), inspector.settings()) == (0, 0, 40, 40)
    inspector.row.value = 90
    assert inspector.look_at.value == BY_HAND and inspector.zoom.value > 1


def in_view(inspector: Inspector) -> str:
    """What the picture shows: "whole", or the best thing in the part that is enlarged."""
    i = inspector.current
    shape = inspector._images[i].shape
    if inspector.zoom.value == 1:
        return "whole"
    top, left, height, width = view_box(shape, inspector.settings())
    seen = np.s_[math.floor(top) : math.ceil(top + height), math.floor(left) : math.ceil(left + width)]
    if inspector._targets[i][seen].any():
        return "stone"
    return "prediction" if inspector._predicted(i)[seen].any() else "nothing"


def best_in(inspector: Inspector) -> str:
    i = inspector.current
    masks = {"stone": inspector._targets[i], "prediction": inspector._predicted(i)}
    return next((name for name, mask in masks.items() if mask.any()), "whole")


def many_kinds() -> dict:
    """Empty images first, of several sizes; then false alarms alone, missed, found, huge and tiny stones."""
    shapes = [(40, 40), (64, 32), (40, 40), (30, 60), (48, 48), (64, 64), (20, 90)]
    targets, probabilities = ([np.zeros(shape, kind) for shape in shapes] for kind in (bool, np.float32))
    probabilities[2][3, 3] = probabilities[2][30:36, 2:5] = 0.9  # false alarms, no stone
    targets[3][20:23, 50:53] = True  # missed
    targets[4][8:40, 6:44] = targets[5][60, 60] = targets[5][1:3, 1:3] = targets[6][4:6, 80:85] = True
    probabilities[4][10:40, 6:44] = probabilities[6][4:6, 80:84] = 0.8
    probabilities[4][44:46, 1:3] = 0.8
    images = [np.full(shape, 90, np.uint8) for shape in shapes]
    return {"images": images, "targets": targets, "probabilities": probabilities}


def test_starts_on_the_first_image_with_a_stone(data):
    assert Inspector(**many_kinds()).current == 3
    assert Inspector(**{name: values[::-1] for name, values in data.items()}).current == 1
    assert Inspector(**{name: values[2:] for name, values in data.items()}).current == 0  # there is none


def test_worst_first_after_a_jump_looks_at_something(data):
    """A false alarm in a slice without a stone is the worst; the view stayed where the last image had it."""
    data["probabilities"][2][3, 3] = 0.9
    inspector = Inspector(**data)
    inspector.next_miss.click()
    inspector.worst_first.value = True
    assert inspector.current == 2 and inspector.zoom.value > 1
    assert in_view(inspector) == "prediction"


def test_no_way_of_moving_ends_in_an_empty_blur():
    """500 random moves: after each that opens an image, what there is to see is in view, and all of it."""
    inspector, rng = Inspector(**many_kinds()), np.random.default_rng(3)
    enlarged = set()
    for _ in range(500):
        move, shown_before = rng.integers(7), inspector.current
        if move == 0:
            inspector.worst_first.value = not inspector.worst_first.value
        elif move < 3:
            inspector.index.value = int(rng.integers(1, 8))
        elif move == 3:
            inspector.next_miss.click()
        elif move == 4:
            inspector.next_false_alarm.click()
        elif move == 5:
            inspector.look_at.value = str(rng.choice(inspector.look_at.options))
        else:
            inspector.zoom.value = float(rng.choice([1, 2.5, 6, 12]))
        if inspector.current != shown_before:
            assert in_view(inspector) in (best_in(inspector), "prediction", "whole")
            assert best_in(inspector) == "whole" or in_view(inspector) != "nothing"
            enlarged.add((inspector.current, in_view(inspector)))
    assert {(3, "stone"), (2, "prediction"), (5, "stone")} <= enlarged
    assert all(what == "whole" for image, what in enlarged if image < 2)


def test_a_large_stone_is_not_cut_off_by_the_zoom_of_a_small_one():
    inspector = Inspector(**many_kinds())
    inspector.index.value = 6  # tiny stones, zoomed in as far as it goes
    inspector.zoom.value = 12
    inspector.index.value = 5  # 32 x 38 of 48 pixels
    top, left, height, width = view_box((48, 48), inspector.settings())
    assert top <= 8 and top + height >= 40 and left <= 6 and left + width >= 44
    inspector.index.value = 6
    assert inspector.zoom.value == 12


def test_of_equal_scores_a_missed_stone_comes_before_a_false_alarm():
    inspector = Inspector(**many_kinds())
    inspector.worst_first.value = True
    order = []
    for position in range(1, 8):
        inspector.index.value = position
        order.append(inspector.current)
    assert order[:3] == [3, 5, 2] and set(order[-2:]) == {0, 1}  # Dice 0 with a stone, 0 without, none


def test_everything_may_shrink_and_wraps_on_a_phone(data):
    inspector = Inspector(**data)
    assert inspector.widget.layout.flex_flow == "row wrap"
    for widget in all_children(inspector.widget):
        assert not (widget.layout.width or "").endswith("px"), widget
        assert widget.layout.min_width in (None, "0"), widget


def test_controls_start_at_the_defaults_of_the_settings(data):
    start, defaults = Inspector(**data).settings(), vars(RenderSettings())
    differing = {name for name, value in vars(start).items() if value != defaults[name]}
    assert differing == {"centre"}  # the middle, said in pixels


def test_one_move_composes_one_picture(data):
    inspector = Inspector(**data)
    pictures = []
    inspector.picture.observe(lambda change: pictures.append(change["new"]), names="value")
    inspector.look_at.value = "section 2"  # moves zoom, row and column as well
    assert len(pictures) == 1
    inspector.threshold.value = inspector.threshold.value  # no move, no picture
    assert len(pictures) == 1


@pytest.mark.parametrize("n_images", [1, 2])
def test_smallest_data_sets(n_images):
    empty = [np.zeros((5, 7), bool)] * n_images
    zeros = [np.zeros((5, 7), np.float32)] * n_images
    inspector = Inspector([np.zeros((5, 7), np.uint8)] * n_images, targets=empty, probabilities=zeros)
    assert shown(inspector).shape == (457, 640, 3)
    inspector.next_miss.click()
    inspector.next_false_alarm.click()
    inspector.worst_first.value = True
    inspector.zoom.value = 4
    assert "Dice <b>none" in inspector.score.value
    assert (inspector.index in all_children(inspector.widget)) == (n_images > 1)  # nothing to slide over


def test_arrays_of_images_work_like_lists():
    stack = np.zeros((3, 8, 8), np.uint8)
    masks = {"targets": stack > 0, "probabilities": stack.astype(np.float32)}
    inspector = Inspector(stack, **masks, spacing_mm=np.full(3, 0.8))
    inspector.index.value = 3
    assert "of 3" in inspector.score.value


@pytest.mark.parametrize(("change", "message"), [
    ({"images": [], "targets": [], "probabilities": []}, "images must hold at least one image, got none"),
    ({"targets": []}, r"targets must have one entry an image \(3\), got 0"),
    ({"names": ["a"]}, r"names must have one entry an image \(3\), got 1"),
    ({"spacing_mm": [1.0, 2.0]}, r"spacing_mm must be one an image \(3\), got 2"),
    ({"images_hu": [np.zeros((4, 4))] * 2}, "images_hu must have one entry"),
    ({"threshold": 1.5}, r"threshold must lie in \[0, 1\], got 1.5"),
])  # fmt: skip
def test_wrong_lists_are_named(data, change, message):
    with pytest.raises(ValueError, match=message):
        Inspector(**data | change)


def test_bad_arrays_are_named_with_their_place_in_the_list(data):
    data["probabilities"][1] = data["probabilities"][1] * 5
    with pytest.raises(ValueError, match=r"probability 1 must lie in \[0, 1\], got 0 to 4.5"):
        Inspector(**data)
    data["probabilities"][1][3, 3] = np.nan
    with pytest.raises(ValueError, match=r"probability 1 must lie in \[0, 1\], got NaN in 1 of 1800 pixels"):
        Inspector(**data)


def test_everything_is_stone_finds_nothing_and_is_a_false_alarm(data):
    data["probabilities"] = [np.full_like(p, 0.6) for p in data["probabilities"]]
    inspector = Inspector(**data)
    assert "found <b>0 of 2</b>" in inspector.score.value and "false alarms <b>1</b>" in inspector.score.value
    inspector.next_false_alarm.click()
    assert inspector.current == 0 and inspector.message.value == ""
    inspector.next_miss.click()
    assert (inspector.current, inspector.look_at.value) == (0, "section 1")


KERNEL_CELL = """
import numpy as np
from unet_helpers.inspector import Inspector

target = np.zeros((32, 32), bool)
target[4:8, 4:8] = True
images, masks = [np.full((32, 32), 90, np.uint8)] * 2, [target] * 2
inspector = Inspector(images, targets=masks, probabilities=[target * np.float32(0.9)] * 2)
before = bytes(inspector.picture.value)
inspector.threshold.value = 0.95
assert before != bytes(inspector.picture.value) and "missed <b>1" in inspector.score.value
inspector
"""


def test_a_cell_leaves_the_widget_and_a_picture_for_readers_without_a_kernel(tmp_path):
    """In a real kernel, as Colab has it; the picture is what nbviewer and GitHub show."""
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient: pip install nbclient")
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat: pip install nbformat")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(KERNEL_CELL)])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", store_widget_state=False,
                            resources={"metadata": {"path": str(ROOT)}}).execute()  # fmt: skip
    (output,) = notebook.cells[0].outputs
    assert set(output.data) == {VIEW, "image/png", "text/plain"}
    assert output.data["text/plain"].startswith("Inspector of 2 images: ") and output.data[VIEW]["model_id"]
    assert output.metadata["image/png"]["alt"] == output.data["text/plain"]
    sheet = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
    assert sheet.size[0] > 300 and len(output.data["image/png"]) < 300_000
    assert "widgets" not in notebook.metadata  # a state without its scripts would be a broken box on GitHub
    nbconvert = pytest.importorskip("nbconvert", reason="needs nbconvert: pip install jupyterlab")
    page, _ = nbconvert.HTMLExporter(template_name="classic").from_notebook_node(notebook)
    assert "data:image/png;base64," in page and VIEW not in page and 'alt="Inspector of 2 images' in page


def test_the_picture_without_a_kernel_shows_the_worst_and_works_in_hu(data):
    inspector = Inspector(**data)
    masks = {"targets": [data["targets"][i] for i in (1, 0, 2)],
             "predictions": [data["probabilities"][i] >= 0.5 for i in (1, 0, 2)]}  # fmt: skip
    sheet = contact_sheet([data["images"][i] for i in (1, 0, 2)], **masks, n_columns=2)
    assert base64.b64decode(inspector._repr_mimebundle_()[0]["image/png"]) == figure_png(sheet, dpi=72)
    images_hu = [image.astype(np.float32) * 4 - 400 for image in data["images"]]
    for one in (inspector, Inspector(**data, images_hu=images_hu)):
        bundle, _ = one._repr_mimebundle_()
        assert bundle[VIEW]["model_id"] == one.widget.model_id
        assert Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))).format == "PNG"


def test_a_move_at_512_pixels_is_quick():
    """The contract is 30 ms (benchmarks/inspector.py); processor time: others do not count."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((512, 512))
    target = (rows - 200) ** 2 + (columns - 300) ** 2 < 64
    probability = np.exp(-((rows - 202) ** 2 + (columns - 300) ** 2) / 90).astype(np.float32)
    image = rng.integers(0, 256, (512, 512)).astype(np.uint8)
    inspector = Inspector([image], targets=[target], probabilities=[probability])
    seconds = []
    for i in range(20):
        start = time.process_time()
        inspector.threshold.value = 0.1 + 0.04 * i
        seconds.append(time.process_time() - start)
    assert median(seconds) < 0.1


def test_importing_the_inspector_loads_no_torch_and_no_room():
    code = """if True:
        import sys, unet_helpers.inspector
        rooms = ("pictures", "report", "scores", "folders", "command_line", "phantom")
        found = [name for name in sys.modules if name.startswith(tuple(f"unet_helpers.{r}" for r in rooms))]
        found = {*found} - {"unet_helpers.pictures", "unet_helpers.pictures.styles"}  # a leaf
        sys.exit(str(found) if found or "torch" in sys.modules else 0)"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
