"""Figures of the scores: what is found at what price, of which size, and how sure and how exact it is.

Like those of `plotting`, every function takes `ax` (or makes one), returns it and never calls `show`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from unet_helpers.engine.figures import new_figure
from unet_helpers.pictures.styles import STYLES
from unet_helpers.scores.table import size_name

__all__ = ["plot_bland_altman", "plot_froc", "plot_precision_recall", "plot_reliability", "plot_size_bins"]

# blue, vermillion, bluish green and reddish purple of the same set, each with its own line and marker
MOST_FALSE_ALARMS = 4.0  # an image: nobody reads on with more
CURVE_STYLES = (("#0072b2", "-", "o"), ("#d55e00", "--", "s"), ("#009e73", "-.", "^"), ("#cc79a7", ":", "D"))


def _curve_style(ax: Axes) -> dict[str, Any]:
    """Colour, line and marker that no curve of these axes has yet; after four they start again."""
    n_curves = sum(line.get_gid() == "curve" for line in ax.lines)
    colour, line, marker = CURVE_STYLES[n_curves % len(CURVE_STYLES)]
    return {"color": colour, "linestyle": line, "marker": marker, "markersize": 3.5, "gid": "curve"}


def _mark(ax: Axes, across: float, up: float, label: str, colour: str) -> None:
    ax.plot(across, up, marker="*", markersize=14, color=colour, markeredgecolor="black", linestyle="none",
            label=label)  # fmt: skip


def plot_froc(
    froc: Mapping[str, Sequence[float]],
    ax: Axes | None = None,
    threshold: float | None = None,
    label: str | None = None,
    max_false_positives: float | None = None,
) -> Axes:
    """Draw the share of sections found against the false alarms an image that it costs.

    Args:
        froc: What `curves.froc` returned, the key "froc" of `evaluation.evaluate`.
        ax: Where to draw; a new figure if None. A second call on the same axes adds a curve in another style.
        threshold: The curve's point with this threshold is marked as the one in use.
        label: Name of the curve in the legend.
        max_false_positives: Right end of the axis, in false alarms an image. Without it both axes end where
            the points of all curves end, the right one at `MOST_FALSE_ALARMS` at the latest.

    Returns:
        The axes.
    """
    ax = ax or new_figure(5.6, 3.8).subplots()
    style = _curve_style(ax)
    false, found = froc["false_positives_per_image"], froc["sensitivity"]
    ax.plot(false, found, **style, label=label)
    if threshold is not None and threshold in froc["threshold"]:
        at = list(froc["threshold"]).index(threshold)
        _mark(ax, false[at], found[at], f"threshold {threshold:.6g}", style["color"])
    right, lowest = _reach(ax)
    ax.set(xlabel="false alarms per image", ylabel="share of the sections found", ylim=(lowest, 1.02),
           xlim=(0, max_false_positives or right), title="FROC: up is better, left is better")  # fmt: skip
    return _with_legend(ax)


def _reach(ax: Axes) -> tuple[float, float]:
    """Right end and lower end of axes that show the curves drawn so far, and little more."""
    points = np.concatenate([line.get_xydata() for line in ax.lines if line.get_gid() == "curve"])
    shown = points[points[:, 0] <= MOST_FALSE_ALARMS]
    if not np.isfinite(shown[:, 1]).any():
        return MOST_FALSE_ALARMS, 0.0
    right = min(1.1 * float(np.nanmax(shown[:, 0])), MOST_FALSE_ALARMS)
    lowest = math.floor(10 * float(np.nanmin(shown[:, 1])) - 0.5) / 10  # whole tenths, and room below
    return right or 1.0, max(0.0, lowest)


def _with_legend(ax: Axes) -> Axes:
    ax.grid(alpha=0.3)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize=9, loc="best")
    return ax


def plot_precision_recall(
    curve: Mapping[str, Any], ax: Axes | None = None, threshold: float | None = None, label: str | None = None
) -> Axes:
    """Draw precision against recall over the pixels of a data set, as steps.

    Args:
        curve: What `curves.precision_recall` returned, the key "precision_recall" of `evaluation.evaluate`.
        ax: Where to draw; a new figure if None. A second call on the same axes adds a curve in another style.
        threshold: The point nearest to this threshold is marked as the one in use.
        label: Name of the curve; its area is added in any case.

    Returns:
        The axes.
    """
    ax = ax or new_figure(5.6, 3.8).subplots()
    style = {**_curve_style(ax), "marker": None}
    named = f"{label}, area" if label else "area"
    ax.step(curve["recall"], curve["precision"], where="pre", **style, label=f"{named} {curve['area']:.3f}")
    if threshold is not None and curve["threshold"]:
        at = int(np.abs(np.subtract(curve["threshold"], threshold)).argmin())
        point = curve["recall"][at], curve["precision"][at]
        _mark(ax, *point, f"threshold {threshold:.6g}", style["color"])
    ax.set(xlabel="recall: share of the stone pixels found", ylabel="precision: share of found that is stone",
           xlim=(0, 1.03), ylim=(0, 1.03), title="precision and recall of the pixels")  # fmt: skip
    return _with_legend(ax)


def plot_reliability(calibration: Mapping[str, Any], ax: Axes | None = None) -> Axes:
    """Draw how often a pixel of each probability is stone; on the dashed diagonal probabilities are honest.

    Args:
        calibration: What `curves.calibration` returned, the key "calibration" of `evaluation.evaluate`.
        ax: Where to draw; a new figure if None.

    Returns:
        The axes.
    """
    ax = ax or new_figure(5.6, 3.8).subplots()
    ax.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1, label="honest")
    ax.plot(calibration["confidence"], calibration["frequency"], **_curve_style(ax),
            label=f"ECE on the foreground {calibration['ece']:.3f}")  # fmt: skip
    points = zip(calibration["confidence"], calibration["frequency"], calibration["n"], strict=True)
    for across, up, n in points:
        ax.annotate(f"{n:,}", (across, up), xytext=(0, -13), textcoords="offset points", fontsize=9,
                    ha="center")  # fmt: skip
    ax.set(xlabel="mean probability of the pixels in the bin", ylabel="share that is stone",
           xlim=(-0.09, 1.09), ylim=(-0.08, 1.04), title="calibration (small numbers: pixels)")  # fmt: skip
    return _with_legend(ax)


def plot_bland_altman(
    agreement: Mapping[str, Any],
    unit: str = "mm",
    ax: Axes | None = None,
    names: Sequence[str] | None = None,
) -> Axes:
    """Draw the error of each measured diameter against the true one, with bias and 95 % limits by size.

    The axis shows the bulk of the errors. An outlier beyond it is a triangle at the edge, with its error, or
    else a handful of them would squeeze all others into a line. The limits are those of the bulk: drawn
    through a few outliers, perhaps all of one patient, they would say nothing about the others. The table
    holds the limits of all.

    Args:
        agreement: What `curves.agreement` returned, the key "size_agreement" of `evaluation.evaluate`.
        unit: "mm" or "px".
        ax: Where to draw; a new figure if None.
        names: One name an image; the outliers that `evaluation.evaluate` lists are called by it.

    Returns:
        The axes.

    Reference: Bland and Altman (1986), Lancet 327:307-310, doi:10.1016/S0140-6736(86)90837-8
    """
    ax = ax or new_figure(5.6, 3.8).subplots()
    true, error = np.array(agreement["true"]), np.subtract(agreement["predicted"], agreement["true"])
    bulk = (error >= agreement["usual"][0]) & (error <= agreement["usual"][1])
    ax.plot(true[bulk], error[bulk], "o", markersize=4, alpha=0.6, color=CURVE_STYLES[0][0])
    _draw_limits(ax, agreement, unit, true[bulk], error[bulk])
    limits = np.concatenate([line.get_ydata() for line in ax.lines if line.get_gid() == "limit"] or [[]])
    shown = np.r_[error[bulk], limits, 0.0]
    room = 0.15 * np.ptp(shown) + 0.01
    ax.set_ylim(shown.min() - room, shown.max() + room)
    called = {}
    if names is not None:
        called = {(one["true"], one["predicted"]): names[one["image"]] for one in agreement["outliers"]}
    _draw_outliers(ax, true[~bulk], error[~bulk], called)
    ax.set(xlabel=f"true diameter, {unit}", ylabel=f"predicted - true, {unit}",
           title=f"size of the sections found, n = {agreement['n']}")  # fmt: skip
    return _with_legend(ax)


def _draw_limits(
    ax: Axes, agreement: Mapping[str, Any], unit: str, true: np.ndarray, error: np.ndarray
) -> None:
    """The bias as a line, and the limits of each size, without the outliers, dashed over that size.

    Args:
        true, error: Size and error of the sections that are no outliers.
    """
    colour = CURVE_STYLES[1][0]
    ax.axhline(0, color="black", linewidth=0.8)
    ax.axhline(agreement["bias"], color=colour, label=f"mean error {agreement['bias']:+.2f} {unit}")
    without = " without outliers" if len(true) < len(agreement["true"]) else ""
    label: str | None = f"95 % limits by size{without}"
    for part in agreement["by_size"]:
        high = math.inf if part["high"] is None else part["high"]
        own = error[(true >= part["low"]) & (true < high)]
        if len(own) < 2:
            continue
        middle, spread = float(own.mean()), 1.96 * float(own.std(ddof=1))
        ends = part["low"], min(high, max(agreement["true"]))
        for limit in (middle - spread, middle + spread):
            ax.plot(ends, [limit, limit], color=colour, linestyle="--", label=label, gid="limit")
            label = None


def _draw_outliers(
    ax: Axes, true: np.ndarray, error: np.ndarray, called: Mapping[tuple[float, float], str]
) -> None:
    """Each at its place, or, where that is beyond the axis, as a triangle at the edge; named."""
    low, high = ax.get_ylim()
    edge = 0.04 * (high - low)
    for k, (across, off) in enumerate(zip(true, error, strict=True)):
        marker = "^" if off > high else "v" if off < low else "x"
        up = float(np.clip(off, low + edge, high - edge))
        name = next((text for (at, _), text in called.items() if at == across), None)
        letter = chr(ord("A") + k % 26) if name else ""
        label = f"{letter}: {name}, {off:+.1f}" if name else None
        ax.plot(across, up, marker, color=CURVE_STYLES[3][0], markersize=7, label=label)
        n_beside = int((np.abs(true[:k] - across) < 0.05 * np.ptp(ax.get_xlim())).sum())
        words, lift = (
            letter or f"{off:+.1f}",
            6 + 10 * n_beside if up < (low + high) / 2 else -12 - 10 * n_beside,
        )
        ax.annotate(
            words, (across, up), xytext=(0, lift), textcoords="offset points", fontsize=9, ha="center"
        )


def plot_size_bins(
    size_bins: Sequence[Mapping[str, Any]], ax: Axes | None = None, lines: bool = True
) -> Axes:
    """Draw the share found in each size bin as bars, with interval and numbers.

    Args:
        size_bins: The key "size_bins" of `evaluation.evaluate`; they say whether they count stones or
            sections.
        ax: Where to draw; a new figure if None.
        lines: Whether to draw the intervals.

    Returns:
        The axes.
    """
    ax = ax or new_figure(5.6, 3.8).subplots()
    for place, size_bin in enumerate(size_bins):
        found, (low, high) = size_bin["sensitivity"], size_bin["interval"]
        ax.text(place, 0.03, f"{size_bin['n_found']} of {size_bin['n']}", ha="center", fontsize=9)
        if not size_bin["n"]:
            continue
        ax.bar(place, found, color=STYLES["hit"].hex, edgecolor="black", width=0.7, zorder=0)
        if lines and low < high:  # without an interval there is no certainty, but too few to see a miss
            ax.errorbar(place, found, yerr=[[max(found - low, 0)], [max(high - found, 0)]], color="black",
                        capsize=5)  # fmt: skip
    names = [size_name(size_bin, size_bin["unit"]) for size_bin in size_bins]
    ax.set_xticks(range(len(names)), names)
    what = size_bins[0]["of"]
    measured = "longest, of the whole stone" if what == "stones" else "circle of equal area in the slice"
    ax.set(ylabel=f"share of the {what} found", ylim=(0, 1.08), xlabel=f"true diameter ({measured})",
           title=f"{what} found by size{' (lines: 95 % interval)' if lines else ''}")  # fmt: skip
    return ax
