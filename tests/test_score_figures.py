"""The figures of the scores show the numbers that they were given."""

import io
import math

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from unet_helpers.scores.curves import agreement
from unet_helpers.scores.figures import (
    plot_bland_altman,
    plot_froc,
    plot_precision_recall,
    plot_reliability,
    plot_size_bins,
)


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
    return figure.add_axes((0, 0, 1, 1))


def drawn(ax) -> None:
    """Draw it all: what cannot be drawn raises only here."""
    ax.figure.savefig(io.BytesIO(), format="png")


FROC = {"threshold": [0.9, 0.5, 0.1], "sensitivity": [0.5, 0.75, 1.0],
        "false_positives_per_image": [0, 0.5, 2]}  # fmt: skip
CURVE = {"threshold": [0.9, 0.6, 0.1], "recall": [0.25, 0.5, 1.0], "precision": [1.0, 0.8, 0.4], "area": 0.75}
CALIBRATION = {"confidence": [0.01, 0.5, 0.95], "frequency": [0.0, 0.25, 0.9], "n": [9000, 40, 60],
               "ece": 0.13}  # fmt: skip
AGREEMENT = agreement([3.0, 8.0, 9.0, 12.5], [4.0, 8.0, 8.0, 11.5], (0, 5, 10, math.inf), floor=1.0)
NONE = [math.nan, math.nan]
BINS = [{"low": 0.0, "high": 3.0, "n_found": 1, "n": 4, "sensitivity": 0.25, "interval": [0.0, 0.6]},
        {"low": 3.0, "high": 5.0, "n_found": 0, "n": 0, "sensitivity": math.nan, "interval": NONE},
        {"low": 5.0, "high": None, "n_found": 2, "n": 2, "sensitivity": 1.0, "interval": NONE}]  # fmt: skip
BINS = [{**size_bin, "of": "sections", "unit": "mm"} for size_bin in BINS]


def labels(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_two_froc_curves_differ_in_more_than_colour(ax):
    assert plot_froc(FROC, ax, threshold=0.5, label="U-Net") is ax
    plot_froc({**FROC, "sensitivity": [0.4, 0.5, 0.6]}, ax, label="other")
    curve, mark, other = ax.lines
    assert curve.get_xydata().tolist() == [[0, 0.5], [0.5, 0.75], [2, 1]]
    assert mark.get_xydata().tolist() == [[0.5, 0.75]] and mark.get_marker() == "*"
    assert labels(ax) == ["U-Net", "threshold 0.5", "other"]
    assert ax.get_xlabel().startswith("false alarms") and ax.get_ylabel().startswith("share of the sections")
    assert curve.get_color() != other.get_color() and curve.get_linestyle() != other.get_linestyle()
    assert curve.get_marker() != other.get_marker()
    drawn(ax)


def test_the_axes_of_a_froc_end_where_its_points_end(ax):
    plot_froc(
        {"threshold": [0.9, 0.5], "sensitivity": [0.79, 0.96], "false_positives_per_image": [0.1, 0.5]}, ax
    )
    assert ax.get_xlim() == pytest.approx((0, 0.55)) and ax.get_ylim() == pytest.approx((0.7, 1.02))
    far = {"threshold": [0.1], "sensitivity": [0.2], "false_positives_per_image": [30.0]}
    plot_froc(far, ax)  # a second curve, beyond what anybody would read: the axis does not follow it
    assert ax.get_xlim()[1] == pytest.approx(0.55) and len(ax.lines) == 2
    plot_froc(FROC, ax, max_false_positives=1)
    assert ax.get_xlim() == (0, 1)
    drawn(ax)


def test_a_froc_of_no_section_is_drawn_empty(ax):
    plot_froc({"threshold": [0.5], "sensitivity": [math.nan], "false_positives_per_image": [0.5]}, ax)
    assert ax.get_ylim() == (0, 1.02)
    drawn(ax)


def test_a_threshold_that_the_curve_does_not_hold_is_not_marked(ax):
    plot_froc(FROC, ax, threshold=0.4)
    assert len(ax.lines) == 1 and ax.get_legend() is None


def test_precision_recall_is_drawn_in_steps_with_its_area(ax):
    plot_precision_recall(CURVE, ax, threshold=0.55)
    steps, mark = ax.lines
    assert steps.get_drawstyle() == "steps-pre" and mark.get_xydata().tolist() == [[0.5, 0.8]]
    assert steps.get_xdata().tolist() == CURVE["recall"] and steps.get_ydata().tolist() == CURVE["precision"]
    assert ax.get_xlabel().startswith("recall") and ax.get_ylabel().startswith("precision")
    assert labels(ax) == ["area 0.750", "threshold 0.55"]
    drawn(ax)


def test_a_curve_without_any_stone(ax):
    plot_precision_recall({"threshold": [], "recall": [], "precision": [], "area": math.nan}, ax, 0.5, "none")
    assert labels(ax) == ["none, area nan"]
    drawn(ax)


def test_reliability_shows_the_diagonal_and_how_many_pixels(ax):
    plot_reliability(CALIBRATION, ax)
    assert ax.lines[0].get_xydata().tolist() == [[0, 0], [1, 1]]
    assert ax.lines[1].get_xdata().tolist() == CALIBRATION["confidence"]
    assert ax.lines[1].get_ydata().tolist() == CALIBRATION["frequency"]
    assert ax.get_xlabel().startswith("mean probability") and ax.get_ylabel().startswith("share")
    assert [text.get_text() for text in ax.texts] == ["9,000", "40", "60"]
    assert labels(ax) == ["honest", "ECE on the foreground 0.130"]
    drawn(ax)


def test_bland_altman_draws_errors_bias_and_limits_by_size(ax):
    plot_bland_altman(AGREEMENT, "px", ax)
    points, zero, bias, *limits = ax.lines
    assert points.get_xydata().tolist() == [[4, -1], [8, 0], [8, 1], [11.5, 1]]
    assert zero.get_ydata()[0] == 0 and bias.get_ydata()[0] == 0.25
    off = 1.96 * math.sqrt(0.5)  # only the middle size has two sections: limits from 5 to 10 px
    assert [list(line.get_xdata()) for line in limits] == [[5, 10], [5, 10]]
    assert [line.get_ydata()[0] for line in limits] == pytest.approx([0.5 - off, 0.5 + off])
    assert labels(ax) == ["mean error +0.25 px", "95 % limits by size"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("true diameter, px", "predicted - true, px")
    drawn(ax)


def test_outliers_do_not_squeeze_the_bulk(ax):
    rng = np.random.default_rng(0)
    true, error = rng.uniform(3, 12, 65), rng.normal(0, 0.5, 65)
    error[[3, 9, 20]] = 38, -41, 3.4
    result = agreement(true + error, true, (0, 5, math.inf))
    assert sorted(result["outliers"]) == [3, 9, 20]
    plot_bland_altman(result, "mm", ax)
    low, high = ax.get_ylim()
    assert len(ax.lines[0].get_xdata()) == 62 and low < -1.2 and high > 1.2
    assert "95 % limits by size without outliers" in labels(ax)
    limits = [line.get_ydata()[0] for line in ax.lines if line.get_gid() == "limit"]
    assert np.abs(limits).max() < 1.5  # those of the others: no outlier widens them
    assert high - low < 10  # the bulk lies within 3 mm; the errors span 80
    marks = {line.get_xdata()[0]: line for line in ax.lines if line.get_marker() in ("^", "v", "x")}
    assert [marks[true[k]].get_marker() for k in (3, 9, 20)] == ["^", "v", "^"]  # at the edges
    assert all(low < line.get_ydata()[0] < high for line in marks.values())
    assert {text.get_text() for text in ax.texts} == {"+38.0", "-41.0", "+3.4"}
    drawn(ax)


def test_size_bins_say_how_many_and_draw_no_interval_of_no_width(ax):
    plot_size_bins(BINS, ax)
    assert [bar.get_height() for bar in ax.patches] == [0.25, 1.0]
    assert [bar.get_x() + bar.get_width() / 2 for bar in ax.patches] == [0, 2]
    assert [text.get_text() for text in ax.texts] == ["1 of 4", "0 of 0", "2 of 2"]
    names = [label.get_text() for label in ax.get_xticklabels()]
    assert names == ["below 3 mm", "3 to 5 mm", "5 mm and more"]
    assert len(ax.containers) == 3  # two bars and one interval
    ((low, high),) = ax.containers[1].lines[2][0].get_segments()
    assert (low[1], high[1]) == pytest.approx((0.0, 0.6))
    assert ax.get_ylabel() == "share of the sections found" and "equal area" in ax.get_xlabel()
    drawn(ax)


def test_size_bins_without_lines(ax):
    plot_size_bins(BINS, ax, lines=False)
    assert len(ax.containers) == 2 and ax.get_title() == "sections found by size"


def test_outliers_are_named_by_their_image(ax):
    result = {**AGREEMENT, "usual": [-0.5, 1.5], "outliers": [{"image": 1, "true": 4.0, "predicted": 3.0}]}
    plot_bland_altman(result, "mm", ax, names=["ana", "ben"])
    assert "A: ben, -1.0" in labels(ax) and "A" in [text.get_text() for text in ax.texts]


def test_size_bins_of_stones_say_so(ax):
    plot_size_bins([{**size_bin, "of": "stones"} for size_bin in BINS], ax)
    assert ax.get_ylabel() == "share of the stones found" and "whole stone" in ax.get_xlabel()
    assert ax.get_title().startswith("stones found by size")


@pytest.mark.parametrize("draw", [
    lambda: plot_froc(FROC), lambda: plot_precision_recall(CURVE), lambda: plot_reliability(CALIBRATION),
    lambda: plot_bland_altman(AGREEMENT), lambda: plot_size_bins(BINS),
])  # fmt: skip
def test_a_figure_is_made_where_none_is_given(draw):
    figure = draw().figure
    figure.draw_without_rendering()  # nothing is squeezed out of the layout: no warning
