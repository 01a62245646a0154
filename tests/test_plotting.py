import io
import math
import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from unet_helpers import plotting
from unet_helpers.plotting import (
    STYLES,
    LiveCurves,
    contact_sheet,
    error_codes,
    overlay,
    plot_history,
    save_figure,
    show_pair,
)

IMAGE = np.full((20, 30), 90, np.uint8)
TARGET = np.zeros((20, 30), bool)
TARGET[4:8, 4:8] = TARGET[12:15, 20:23] = True
PREDICTION = np.zeros((20, 30), bool)
PREDICTION[4:8, 4:8] = PREDICTION[2:4, 25:27] = True
HISTORY = [
    {"step": 50 * i, "seconds": 4.0 * i, "train_loss": 1 / i, "val_dice": d, "learning_rate": 1e-3}
    for i, d in ((1, math.nan), (2, 0.5), (3, 0.8), (4, 0.7))
]


@pytest.fixture(autouse=True)
def no_windows():
    """No test may leave a pyplot figure behind, and none may need a screen."""
    matplotlib.use("agg")
    yield
    plt.close("all")


@pytest.fixture
def ax():
    figure = Figure(figsize=(3, 2), dpi=100)
    FigureCanvasAgg(figure)
    return figure.add_axes((0, 0, 1, 1))  # 30 x 20 image pixels, drawn as 300 x 200


def pixels(ax) -> np.ndarray:
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB"))


def blend(kind: str, opacity: float = 0.35) -> np.ndarray:
    return 90 + opacity * (np.array(STYLES[kind].colour) - 90)


def test_error_codes_by_hand():
    prediction, target = np.array([[True, True, False, False]]), np.array([[True, False, True, False]])
    assert error_codes(prediction, target).tolist() == [[3, 2, 1, 0]]
    assert {plotting.ERROR_KINDS[c] for c in (1, 2, 3)} == {"miss", "false alarm", "hit"}


def test_overlay_of_both_masks_tells_hits_misses_and_false_alarms_apart(ax):
    assert overlay(IMAGE, TARGET, PREDICTION, ax=ax, legend=False) is ax
    picture = pixels(ax)
    for kind, (row, column) in {"hit": (6, 6), "miss": (13.5, 21.5), "false alarm": (3, 26)}.items():
        assert np.abs(picture[int(row * 10), int(column * 10)] - blend(kind)).max() <= 2, kind
    assert np.abs(picture[180, 20].astype(int) - 90).max() <= 1


def test_overlay_outlines_follow_the_pixel_edges(ax):
    overlay(IMAGE, target=TARGET, ax=ax, legend=False, opacity=0)
    picture = pixels(ax).astype(int)
    reddest = np.array(STYLES["truth"].colour)
    line = np.abs(picture - reddest).max(2) < 40
    rows, columns = np.nonzero(line[:100, :100])  # the stone of rows and columns 4 to 7: edges at 40 and 80
    assert abs(rows.min() - 40) <= 3 and abs(rows.max() - 80) <= 3
    assert abs(columns.min() - 40) <= 3 and abs(columns.max() - 80) <= 3
    assert np.abs(picture[60, 60] - 90).max() <= 1  # opacity 0: the stone itself is untouched


def test_one_mask_gets_its_own_colour_and_pattern(ax):
    overlay(IMAGE, prediction=PREDICTION, ax=ax)
    (entry,) = ax.get_legend().legend_handles
    (outline,) = ax.collections
    assert entry.get_label() == "prediction" and outline.get_linestyles()[0][1] is not None  # not solid
    assert np.allclose(to_rgb(entry.get_edgecolor()), np.divide(STYLES["prediction"].colour, 255), atol=0.01)


def test_overlay_without_stones_has_no_legend(ax):
    empty = np.zeros_like(TARGET)
    overlay(IMAGE, empty, empty, ax=ax, title="nothing here")
    assert ax.get_legend() is None and ax.get_title() == "nothing here"


def test_overlay_at_the_edge_of_the_image(ax):
    full = np.ones_like(TARGET)
    overlay(IMAGE, target=full, ax=ax, legend=False)
    assert np.abs(pixels(ax)[100, 150] - blend("truth")).max() <= 2
    assert ax.get_xlim() == (-0.5, 29.5) and ax.get_ylim() == (19.5, -0.5)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"image": np.zeros((2, 2, 3))}, r"image must be a grey array \(H, W\), got shape \(2, 2, 3\)"),
    ({"image": IMAGE, "target": TARGET[:5]}, r"target must be a bool mask .*\(20, 30\), got \(5, 30\) bool"),
    ({"image": IMAGE, "prediction": TARGET.astype(int)}, "prediction must be a bool mask .*int64"),
])  # fmt: skip
def test_overlay_names_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        overlay(**arguments)


def test_show_pair_says_what_is_seen():
    axes = show_pair(IMAGE, TARGET)
    titles = [ax.get_title() for ax in axes]
    assert titles == ["image, 20 x 30 pixels", "mask, 25 pixels (4.17 %)", "both"]
    axes[0].figure.draw_without_rendering()  # a mask near the edge and a constrained layout: no warning


def test_history_marks_the_best_dice_and_skips_what_is_not_a_number(ax):
    plot_history(HISTORY, ax=ax)
    (right,) = (other for other in ax.figure.axes if other is not ax)
    assert ax.get_ylabel() == "training loss" and right.get_ylabel() == "validation Dice"
    assert ax.lines[0].get_xdata().tolist() == [50, 100, 150, 200]
    assert right.get_legend().get_texts()[0].get_text() == "best 0.800 at step 150"
    pixels(ax)


@pytest.mark.parametrize("n", [0, 1])
def test_history_of_a_training_that_has_just_begun(ax, n):
    plot_history(HISTORY[:n], ax=ax)
    pixels(ax)


def test_contact_sheet_zooms_in_on_the_stones():
    image = np.zeros((200, 300), np.uint8)
    far, empty = np.zeros((200, 300), bool), np.zeros((200, 300), bool)
    far[190:193, 5:9] = True
    images, targets = [image] * 4, [far, far, empty, empty]
    predictions = [far, empty, far, empty]
    figure = contact_sheet(images, targets, predictions, n_columns=2)
    shapes = [ax.images[0].get_array().shape for ax in figure.axes]
    assert shapes == [(48, 48)] * 3 + [(200, 300)]
    assert [ax.get_title() for ax in figure.axes[:2]] == ["Dice 1.00", "Dice 0.00"]
    assert "nothing" in figure.axes[3].get_title()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [STYLES[k].label for k in ("hit", "miss", "false alarm")]
    assert plt.get_fignums() == []  # nothing to close
    whole = contact_sheet(images, targets, predictions, list("abcd"), zoom=False)
    assert whole.axes[0].images[0].get_array().shape == (200, 300) and whole.axes[0].get_title() == "a"


def test_contact_sheet_shows_itself_in_a_notebook():
    figure = contact_sheet([IMAGE], [TARGET], [PREDICTION])
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_contact_sheet_of_nothing_and_of_unequal_lists():
    contact_sheet([], [], [])
    with pytest.raises(ValueError, match=r"targets must have one entry an image \(1\), got 0"):
        contact_sheet([IMAGE], [], [PREDICTION])
    with pytest.raises(ValueError, match="titles must have one entry"):
        contact_sheet([IMAGE], [TARGET], [PREDICTION], ["a", "b"])


def test_titles_do_not_overlap():
    figure = contact_sheet(
        [IMAGE] * 6, [TARGET] * 6, [PREDICTION] * 6, ["patient 12, Dice 0.83"] * 6, n_columns=3
    )
    figure.draw_without_rendering()
    boxes = [ax.title.get_window_extent() for ax in figure.axes]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width for box in boxes)


def test_no_window_is_left_open_where_pyplot_is_not_in_use():
    """Else the command line, which draws one figure an image, would keep them all."""
    code = """if True:
        import sys
        import numpy as np
        from unet_helpers import plotting
        ax = plotting.overlay(np.zeros((8, 8), np.uint8), np.eye(8, dtype=bool))
        plotting.show_pair(np.zeros((8, 8), np.uint8), np.eye(8, dtype=bool))
        assert plotting.figure_png(ax.figure).startswith(b"\\x89PNG")
        sys.exit("matplotlib.pyplot" in sys.modules)"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    overlay(IMAGE)
    assert len(plt.get_fignums()) == 1  # here it is in use, and shows it


def test_save_figure_is_atomic(tmp_path, ax):
    path = save_figure(ax.figure, tmp_path / "new" / "figure.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    before = path.read_bytes()

    def crash(target, **_):
        target.write_bytes(b"half")
        raise RuntimeError("disk full")

    ax.figure.savefig = crash
    with pytest.raises(RuntimeError):
        save_figure(ax.figure, path)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


class FakeDisplay:
    """Stands for IPython's display: remembers what was shown and what was replaced."""

    def __init__(self) -> None:
        self.shown: list[bytes] = []
        self.updated: list[bytes] = []

    def __call__(self, image, display_id):
        assert display_id is True
        self.shown.append(image.data)
        return self

    def update(self, image) -> None:
        self.updated.append(image.data)


def test_live_curves_replace_their_picture(monkeypatch):
    import IPython.display

    display = FakeDisplay()
    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr(plotting, "_in_notebook", lambda: True)
    live = LiveCurves()
    live([])
    assert not display.shown
    for n in (1, 2, 3):
        live(HISTORY[:n])
    assert len(display.shown) == 1 and len(display.updated) == 2
    assert Image.open(io.BytesIO(display.updated[-1])).size[0] >= 600
    assert display.updated[0] != display.updated[1]


def test_live_curves_do_nothing_outside_a_notebook(monkeypatch):
    import IPython.display

    monkeypatch.setattr(IPython.display, "display", lambda *_, **__: pytest.fail("something was shown"))
    LiveCurves()(HISTORY)
