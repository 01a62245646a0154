"""Figures of lesson 5: a dot a patient, his picture, a stone in its slices, draws, two networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from unet_helpers.engine.figures import PAGE_INCHES, legend_below, plain_figure
from unet_helpers.pictures.rendering import find_regions
from unet_helpers.plotting import overlay

__all__ = [
    "drawn_patients",
    "growing",
    "one_picture",
    "paired",
    "patients",
    "short_name",
    "slices_of_a_stone",
    "square_at",
    "threshold_curve",
]

Dices = Mapping[str, NDArray[np.float64]]
Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#999999"
N_SLICES = 6  # of a stone that are still shown


def short_name(patient: str) -> str:
    """A name that fits into a figure: the end of a long one."""
    return patient if len(patient) <= 18 else f"...{patient[-7:]}"


# ---------------------------------------------------------------------------------------- a dot a patient
def patients(parts: Mapping[str, Dices], named: Mapping[str, str | None]) -> Figure:
    """Dice of every slice, small, and of every patient, large; each part of the data in a column of its own.

    Args:
        parts: For example {"validation": ..., "test": ...}; patients in the order in which they are drawn.
        named: The patient of each part whose name is written beside the dot; None names nobody.
    """
    figure = plain_figure(PAGE_INCHES, 3.3)
    ax = figure.add_subplot()
    start, ticks = 0, []
    for (part, dices), colour in zip(parts.items(), (BLUE, GREEN), strict=False):
        if not dices:
            continue
        places = range(start, start + len(dices))
        for place, (name, scores) in zip(places, dices.items(), strict=True):
            ax.plot([place] * len(scores), scores, ".", color=GREY, markersize=4, zorder=1)
            ax.plot(place, scores.mean(), "o", color=colour, markersize=7, zorder=3)
            if name == named.get(part):
                _name(ax, place, float(scores.mean()), short_name(name), 2 * (place - start) > len(dices))
        mean = float(np.concatenate(list(dices.values())).mean())
        ax.plot([places[0] - 0.4, places[-1] + 0.4], [mean, mean], color=colour, linewidth=1.5, zorder=2)
        ax.text(places[-1] + 0.5, mean, f"{mean:.3f}", color=colour, va="center", fontsize=9)
        ticks.append((start + (len(dices) - 1) / 2, f"{part}: {len(dices)} patients"))
        start += len(dices) + 3
    ax.set_xticks([place for place, _ in ticks], [text for _, text in ticks])
    ax.set(ylim=(-0.04, 1.04), ylabel="Dice", xlim=(-1, max(start - 0.5, 1)),
           title="large: a patient's mean; small: his slices; line: mean of all slices")  # fmt: skip
    ax.title.set_fontsize(9)
    ax.grid(axis="y", alpha=0.3)
    return figure


def _name(ax: Axes, place: float, mean: float, words: str, late: bool) -> None:
    """A ring around a dot, and whose it is, below it where there is room; left of it for one of the last."""
    ax.plot(
        place, mean, "o", markersize=14, markerfacecolor="none", color=ORANGE, markeredgewidth=2, zorder=4
    )
    below = mean > 0.35
    ax.annotate(words, (place, mean), xytext=(-10 if late else 10, -16 if below else 10),
                textcoords="offset points", color=ORANGE, fontsize=9,
                ha="right" if late else "left")  # fmt: skip


# ------------------------------------------------------------------------------------------ pictures of him
def square_at(mask: Mask, side_px: int) -> tuple[slice, slice]:
    """Rows and columns of a square around the largest region of a mask (H, W), kept inside it."""
    regions = find_regions(mask)
    largest = max(regions, key=lambda region: region.side, default=None)
    middles = (mask.shape[0] // 2, mask.shape[1] // 2)
    if largest is not None:
        middles = (int(largest.row), int(largest.column))
    starts = [
        max(0, min(middle - side_px // 2, n - side_px)) for middle, n in zip(middles, mask.shape, strict=True)
    ]
    return slice(starts[0], starts[0] + side_px), slice(starts[1], starts[1] + side_px)


def one_picture(image: Image, target: Mask, prediction: Mask, wanted: Mask) -> Figure:
    """A slice with a frame, what is inside the frame, and the same with hits, misses and false alarms.

    Args:
        image, target, prediction: The slice, its truth and the network's answer.
        wanted: The region that the frame is laid around.
    """
    side = max(40, min(image.shape) // 4)
    near = square_at(wanted, side)
    figure = plain_figure(PAGE_INCHES, 2.5)
    axes = figure.subplots(1, 3)
    overlay(image, ax=axes[0], title="the slice", legend=False)
    top, left = near[0].start, near[1].start
    axes[0].plot([left, left + side, left + side, left, left], [top, top, top + side, top + side, top],
                 color="#e69f00", linewidth=1.8)  # fmt: skip
    overlay(image[near], ax=axes[1], title="inside the frame", legend=False)
    overlay(image[near], target=target[near], prediction=prediction[near], ax=axes[2],
            title="truth and answer", opacity=0.2)  # fmt: skip
    for ax in axes:
        ax.title.set_fontsize(10)
    legend_below(figure)
    return figure


def slices_of_a_stone(tiles: Sequence[tuple[Image, Mask, Mask, str]]) -> Figure:
    """One stone in the slices that show it, with what was found, missed and invented near it.

    Args:
        tiles: Image, truth, prediction (H, W) and title of each slice, already cut out.
    """
    n_columns = max(1, min(3, len(tiles)))
    n_rows = max(1, -(-len(tiles) // n_columns))
    figure = plain_figure(PAGE_INCHES, (PAGE_INCHES / n_columns + 0.25) * n_rows)
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for ax in axes[len(tiles) :]:
        ax.set_axis_off()
    for ax, (image, target, prediction, title) in zip(axes, tiles, strict=False):
        overlay(image, target=target, prediction=prediction, ax=ax, legend=False, opacity=0.2)
        ax.set_title(title, fontsize=10, parse_math=False)
    return figure


def growing(image: Image, target: Mask, prediction: Mask, tried: Mapping[int, float], least: float) -> Figure:
    """A prediction of some size around a stone, and its IoU at every size that was tried.

    Args:
        image, target, prediction: Cut out around the stone.
        tried: IoU by the radius of the prediction in pixels.
        least: The IoU from which on it is a hit.
    """
    figure = plain_figure(PAGE_INCHES, 3.2)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
    overlay(image, target=target, prediction=prediction, ax=left, title="truth and prediction")
    radii = sorted(tried)
    right.plot(radii, [tried[radius] for radius in radii], "o-", color=BLUE, markersize=4)
    right.axhline(least, color=ORANGE, linestyle="--")
    right.text(0.98, least + 0.02, f"a hit from {least:g} on", color=ORANGE, ha="right", fontsize=9,
               transform=right.get_yaxis_transform())  # fmt: skip
    right.set(ylim=(0, 1.03), xlabel="radius in pixels", ylabel="IoU", title="what you tried")
    right.grid(alpha=0.3)
    for ax in (left, right):
        ax.title.set_fontsize(11)
    legend_below(figure)
    return figure


# --------------------------------------------------------------------------------------------- thresholds
def threshold_curve(thresholds: Sequence[float], scores: Sequence[float], chosen: float, what: str) -> Figure:
    """A score against the threshold, on an axis from 0 to 1, with the chosen one marked."""
    figure = plain_figure(PAGE_INCHES, 3.0)
    ax = figure.add_subplot()
    ax.plot(thresholds, scores, "o-", color=BLUE, markersize=4)
    ax.axvline(chosen, color=ORANGE, linestyle=":", label=f"in use: {chosen:.2f}")
    ax.set(xlim=(0, 1), ylim=(0, 1.03), xlabel="threshold", ylabel="mean Dice", title=what)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=9, loc="lower left")
    return figure


# --------------------------------------------------------------------------------------------- resamples
def drawn_patients(
    dices: Dices, times: NDArray[np.int64], means: Sequence[float], ends: tuple[float, float] | None
) -> Figure:
    """Who was drawn how often the last time, and the means of all draws so far.

    Args:
        dices: The patients, in the order of `times`.
        times: How often each was drawn last, (P,).
        means: Mean of each draw, the last one last; empty before the first.
        ends: Both ends of the middle 95 % of the means, once there are enough.
    """
    tall = min(4.0, 0.8 + 0.16 * len(dices))
    figure = plain_figure(PAGE_INCHES, tall + 2.8)
    left, right = figure.subplots(2, 1, height_ratios=(tall, 2.8))
    averages = [float(scores.mean()) for scores in dices.values()]
    colours = [ORANGE if n > 1 else BLUE if n else "#dddddd" for n in times]
    left.barh(range(len(averages)), times, color=colours, height=0.8)
    left.locator_params(axis="x", integer=True)
    left.set(yticks=[], xlim=(0, max(4, int(times.max(initial=0)) + 1)), xlabel="times drawn",
             ylabel="patients, the worst below", title="the last draw")  # fmt: skip
    for place, (n, average) in enumerate(zip(times, averages, strict=True)):
        left.text(n + 0.08, place, f"{average:.2f}", va="center", fontsize=9)
    whole = float(np.concatenate(list(dices.values())).mean())
    if means:
        low, high = min(*means, whole), max(*means, whole)
        room = max(0.01, 0.1 * (high - low))
        bins = np.linspace(low - room, high + room, 25)
        right.hist(means, bins=bins.tolist(), color="#a6cee3", edgecolor="white")
        right.plot(means[-1], 0, "^", color=ORANGE, markersize=10, clip_on=False, label="last draw")
    right.axvline(whole, color="black", linewidth=1, label="all patients once")
    for k, end in enumerate(ends or ()):
        right.axvline(end, color=ORANGE, linestyle="--", label="middle 95 %" if k == 0 else None)
    right.set(xlabel="mean Dice of a draw", ylabel="draws", title=f"{len(means)} draws")
    right.legend(fontsize=9, loc="upper left")
    return figure


# --------------------------------------------------------------------------------------------- two networks
def paired(
    names: tuple[str, str], scores: Sequence[tuple[float, float, float]], change: tuple[float, float, float],
    by_patient: Sequence[float],
) -> Figure:  # fmt: skip
    """The intervals of two networks by themselves, and that of their difference on the same patients.

    Args:
        names: Of the two.
        scores: Of each its score and both ends of its interval.
        change: Second minus first, and both ends of its interval.
        by_patient: Second minus first for each patient.
    """
    figure = plain_figure(PAGE_INCHES, 2.6)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
    for place, (value, low, high) in enumerate(scores):
        _bar(left, place, value, low, high, (BLUE, GREEN)[place])
    left.set(yticks=(0, 1), yticklabels=names, ylim=(-0.6, 1.6), xlabel="mean Dice", title="each by itself")
    for name in ("left", "right", "top"):
        right.spines[name].set_visible(False)
    jitter = np.random.default_rng(0).uniform(0.6, 1.4, len(by_patient))
    right.plot(by_patient, jitter, "o", color=GREY, markersize=5)
    _bar(right, 0, *change, ORANGE)
    right.axvline(0, color="black", linewidth=1)
    right.set(yticks=(0, 1), yticklabels=("mean", "patients"), ylim=(-0.6, 1.6), title="the difference",
              xlabel=f"Dice of {names[1]} - {names[0]}")  # fmt: skip
    for ax in (left, right):
        ax.locator_params(axis="x", nbins=4)
    return figure


def _bar(ax: Axes, place: float, value: float, low: float, high: float, colour: str) -> None:
    style: dict[str, Any] = {"color": colour, "capsize": 5, "markersize": 8, "fmt": "o"}
    ends = [[max(value - low, 0)], [max(high - value, 0)]] if np.isfinite([low, high]).all() else None
    ax.errorbar(value, place, xerr=ends, **style)
