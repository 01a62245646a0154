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

from unet_helpers.engine.figures import save_figure
from unet_helpers.pictures.styles import ERROR_KINDS, STYLES, error_codes
from unet_helpers.plotting import contact_sheet, overlay, plot_history, show_pair

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
    assert {ERROR_KINDS[c] for c in (1, 2, 3)} == {"miss", "false alarm", "hit"}


def test_each_kind_has_the_colour_and_the_words_that_it_always_had():
    found = {kind: (style.colour, style.label.split()[0]) for kind, style in STYLES.items()}
    assert found == {
        "hit": ((86, 180, 233), "found"),  # sky blue
        "miss": ((213, 94, 0), "missed"),  # vermillion
        "false alarm": ((240, 228, 66), "false"),  # yellow
        "truth": ((0, 158, 115), "truth"),  # bluish green
        "prediction": ((204, 121, 167), "prediction"),  # reddish purple
    }


def test_overlay_of_both_masks_tells_hits_misses_and_false_alarms_apart(ax):
    assert overlay(IMAGE, prediction=PREDICTION, target=TARGET, ax=ax, legend=False) is ax
    picture = pixels(ax)
    for kind, (row, column) in {"hit": (6, 6), "miss": (13.5, 21.5), "false alarm": (3, 26)}.items():
        assert np.abs(picture[int(row * 10), int(column * 10)] - blend(kind)).max() <= 2, kind
    assert np.abs(picture[180, 20].astype(int) - 90).max() <= 1


LARGE, SMALL = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
LARGE[3:15, 5:25], SMALL[7:10, 10:14] = True, True
BOTH_WAYS = [(LARGE, SMALL, "miss"), (SMALL, LARGE, "false alarm")]  # target, prediction, what the rim is


def fills(ax) -> dict[str, np.ndarray]:
    """Where axes are filled with the colour of each kind: bool arrays (H, W) by the key of the style."""
    kinds = {style.colour: kind for kind, style in STYLES.items()}
    filled = {}
    for layer in ax.images[1:]:
        rgba = np.asarray(layer.get_array())
        where = rgba[..., 3] > 0
        (colour,) = np.unique((255 * rgba[where][:, :3]).round().astype(int), axis=0).tolist()
        filled[kinds[tuple(colour)]] = where
    return filled


@pytest.mark.parametrize(("target", "prediction", "rim"), BOTH_WAYS)
def test_the_rim_of_a_larger_mask_is_a_miss_or_a_false_alarm(ax, target, prediction, rim):
    overlay(IMAGE, prediction=prediction, target=target, ax=ax)
    sheet = contact_sheet([IMAGE], targets=[target], predictions=[prediction], zoom=False)
    for axes in (ax, sheet.axes[0]):
        filled = fills(axes)
        assert filled.keys() == {"hit", rim}
        assert np.array_equal(filled["hit"], SMALL) and np.array_equal(filled[rim], LARGE & ~SMALL)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sorted(names) == sorted([STYLES["hit"].label, STYLES[rim].label])


def test_masks_go_by_name_so_that_they_cannot_be_swapped():
    with pytest.raises(TypeError):
        overlay(IMAGE, TARGET, PREDICTION)
    with pytest.raises(TypeError):
        contact_sheet([IMAGE], [TARGET], [PREDICTION])


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
    assert np.array_equal(fills(ax)["prediction"], PREDICTION) and len(fills(ax)) == 1
    assert np.array_equal(ax.images[0].get_array(), IMAGE) and ax.images[0].get_clim() == (0, 255)
    assert entry.get_label() == "prediction" and outline.get_linestyles()[0][1] is not None  # not solid
    assert np.allclose(to_rgb(entry.get_edgecolor()), np.divide(STYLES["prediction"].colour, 255), atol=0.01)


def test_overlay_without_stones_has_no_legend(ax):
    empty = np.zeros_like(TARGET)
    overlay(IMAGE, prediction=empty, target=empty, ax=ax, title="nothing here")
    assert ax.get_legend() is None and ax.get_title() == "nothing here"


def test_overlay_at_the_edge_of_the_image(ax):
    full = np.ones_like(TARGET)
    overlay(IMAGE, target=full, ax=ax, legend=False)
    assert np.abs(pixels(ax)[100, 150] - blend("truth")).max() <= 2
    assert ax.get_xlim() == (-0.5, 29.5) and ax.get_ylim() == (19.5, -0.5)


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
    for ax, expected in zip(axes, (IMAGE, TARGET, IMAGE), strict=True):
        assert np.array_equal(ax.images[0].get_array(), expected)
    assert not fills(axes[0]) and np.array_equal(fills(axes[2])["truth"], TARGET)
    axes[0].figure.draw_without_rendering()  # a mask near the edge and a constrained layout: no warning


def test_history_marks_the_weights_that_are_kept_and_skips_what_is_not_a_number(ax):
    plot_history(HISTORY, ax=ax)
    (right,) = (other for other in ax.figure.axes if other is not ax)
    assert ax.get_ylabel() == "training loss" and right.get_ylabel() == "validation Dice"
    assert ax.lines[0].get_xydata().tolist() == [[50, 1], [100, 1 / 2], [150, 1 / 3], [200, 1 / 4]]
    assert right.lines[0].get_xydata()[1:].tolist() == [[100, 0.5], [150, 0.8], [200, 0.7]]
    assert right.lines[1].get_xydata().tolist() == [[200, 0.7]]  # where the running average is highest
    assert right.get_legend().get_texts()[0].get_text() == "kept: step 200, Dice 0.700"
    pixels(ax)


@pytest.mark.parametrize("n", [0, 1])
def test_history_of_a_training_that_has_just_begun(ax, n):
    plot_history(HISTORY[:n], ax=ax)
    pixels(ax)


def test_contact_sheet_zooms_in_on_the_stones():
    image = np.zeros((200, 300), np.uint8)
    far, empty = np.zeros((200, 300), bool), np.zeros((200, 300), bool)
    far[190:193, 5:9] = True
    images = [image + np.uint8(grey) for grey in (10, 20, 30, 40)]
    masks = {"targets": [far, far, empty, empty], "predictions": [far, empty, far, empty]}
    figure = contact_sheet(images, **masks, n_columns=2)
    shapes = [ax.images[0].get_array().shape for ax in figure.axes]
    assert shapes == [(48, 48)] * 3 + [(200, 300)]
    assert [int(ax.images[0].get_array()[0, 0]) for ax in figure.axes] == [10, 20, 30, 40]
    assert [[*fills(ax)] for ax in figure.axes] == [["hit"], ["miss"], ["false alarm"], []]
    assert fills(figure.axes[1])["miss"].sum() == far.sum()  # the whole stone is in view
    assert [ax.get_title() for ax in figure.axes[:2]] == ["Dice 1.00", "Dice 0.00"]
    assert "nothing" in figure.axes[3].get_title()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [STYLES[k].label for k in ("hit", "miss", "false alarm")]
    assert plt.get_fignums() == []  # nothing to close
    whole = contact_sheet(images, **masks, titles=list("abcd"), zoom=False)
    assert whole.axes[0].images[0].get_array().shape == (200, 300) and whole.axes[0].get_title() == "a"


def test_contact_sheet_shows_itself_in_a_notebook():
    figure = contact_sheet([IMAGE], targets=[TARGET], predictions=[PREDICTION])
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_contact_sheet_of_nothing_and_of_unequal_lists():
    contact_sheet([], targets=[], predictions=[])
    with pytest.raises(ValueError, match=r"targets must have one entry an image \(1\), got 0"):
        contact_sheet([IMAGE], targets=[], predictions=[PREDICTION])
    with pytest.raises(ValueError, match="titles must have one entry"):
        contact_sheet([IMAGE], targets=[TARGET], predictions=[PREDICTION], titles=["a", "b"])


def test_titles_do_not_overlap():
    masks = {"targets": [TARGET] * 6, "predictions": [PREDICTION] * 6}
    figure = contact_sheet([IMAGE] * 6, **masks, titles=["patient 12, Dice 0.83"] * 6, n_columns=3)
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
        from unet_helpers.engine.figures import figure_png
        ax = plotting.overlay(np.zeros((8, 8), np.uint8), target=np.eye(8, dtype=bool))
        plotting.show_pair(np.zeros((8, 8), np.uint8), np.eye(8, dtype=bool))
        assert figure_png(ax.figure).startswith(b"\\x89PNG")
        sys.exit("matplotlib.pyplot" in sys.modules)"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    overlay(IMAGE)
    assert len(plt.get_fignums()) == 1  # here it is in use, and shows it


def test_save_figure_is_atomic(tmp_path, ax):
    ax.plot([0, 1], [1, 0])
    path = save_figure(ax.figure, tmp_path / "new" / "figure.png", dpi=100)
    with Image.open(path) as saved:
        assert np.array_equal(np.asarray(saved.convert("RGB")), pixels(ax))
    before = path.read_bytes()

    def crash(target, **_):
        target.write_bytes(b"half")
        raise RuntimeError("disk full")

    ax.figure.savefig = crash
    with pytest.raises(RuntimeError):
        save_figure(ax.figure, path)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]
