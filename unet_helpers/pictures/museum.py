"""Pictures of the bug museum: curves, labels, scores that leave their range, one slice in other company."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from unet_helpers.engine.figures import PAGE_INCHES, plain_figure
from unet_helpers.pictures.styles import STYLES
from unet_helpers.plotting import overlay

__all__ = ["draw_batches", "draw_curve", "draw_labels", "draw_range", "draw_slices"]

Mask = NDArray[np.bool_]
Grey = NDArray[np.uint8]
BLUE, RED = "#0072b2", "#d55e00"
LABELS = (("air", "#202020"), ("stone", "#e69f00"), ("body", "#9db4c8"))
IMPOSSIBLE: dict[str, Any] = {"color": RED, "alpha": 0.13, "linewidth": 0}


def draw_curve(
    losses: Sequence[float], forbidden: tuple[float, float] | None = None, words: str = ""
) -> Figure:
    """The loss of every step, and a shaded range, named in words; an infinite end is the picture's edge."""
    figure = plain_figure(PAGE_INCHES, 2.7)
    ax = figure.subplots()
    low, high = min(losses), max(losses)
    room = 0.08 * (high - low) or 0.1
    if forbidden is not None:
        finite = [end for end in forbidden if np.isfinite(end)]
        low, high = min([low, *finite]), max([high, *finite])
        ax.axhspan(*np.clip(forbidden, low - room, high + room), **IMPOSSIBLE)
        ax.text(0.03, 0.07, words, transform=ax.transAxes, fontsize=10)
    ax.plot(np.arange(1, len(losses) + 1), losses, color=BLUE)
    ax.set(xlabel="step", ylabel="loss", xlim=(1, len(losses)), ylim=(low - room, high + room))
    return _tidy(figure, ax)


def draw_labels(maps: Mapping[str, NDArray[np.uint8]]) -> Figure:
    """Label maps (H, W) with the labels 0, 1 and 2, side by side, each with its title."""
    figure = plain_figure(PAGE_INCHES, 0.8 + PAGE_INCHES / max(2, len(maps)))
    axes = figure.subplots(1, len(maps), squeeze=False)[0]
    colours = ListedColormap([colour for _, colour in LABELS])
    for ax, (title, labels) in zip(axes, maps.items(), strict=True):
        ax.imshow(labels, cmap=colours, vmin=0, vmax=2, interpolation="nearest")
        ax.set_title(title, fontsize=10)
        ax.set_axis_off()
    patches = [Patch(facecolor=colour, label=f"{n}: {name}") for n, (name, colour) in enumerate(LABELS)]
    figure.legend(handles=patches, loc="outside lower center", ncols=3, frameon=False)
    return figure


def draw_range(rows: Mapping[str, Sequence[float]]) -> Figure:
    """One dot a score in rows with a name each, and the range from 0 to 1 that a score can reach."""
    figure = plain_figure(PAGE_INCHES, 0.9 + 0.6 * len(rows))
    ax = figure.subplots()
    ax.axvspan(0, 1, color="#009e73", alpha=0.16, linewidth=0, label="0 to 1: all that is possible")
    for place, scores in enumerate(rows.values()):
        ax.plot(scores, np.full(len(scores), place), "o", color=BLUE, alpha=0.5, markersize=6)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(ylim=(len(rows) - 0.4, -0.6), xlabel="IoU of one slice")
    ax.legend(loc="lower right", frameon=False, fontsize=9)
    return _tidy(figure, ax)


def draw_batches(scores: Mapping[int, float], chosen: int) -> Figure:
    """The score against the batch size, with the size that is chosen marked."""
    figure = plain_figure(PAGE_INCHES, 2.7)
    ax = figure.subplots()
    ax.plot(list(scores), list(scores.values()), "o-", color=BLUE, markersize=4)
    ax.plot([chosen], [scores[chosen]], "o", color=RED, markersize=10)
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(scores), [str(size) for size in scores])
    ax.minorticks_off()
    ax.set(xlabel="slices per batch", ylabel='"the Dice"')
    return _tidy(figure, ax)


def draw_slices(image: Grey, mask: Mask, answers: Mapping[str, Mask]) -> Figure:
    """One slice with several answers to it, side by side, each with its title."""
    figure = plain_figure(PAGE_INCHES, 0.35 + PAGE_INCHES / max(2, len(answers)))
    for ax, (title, answer) in zip(
        figure.subplots(1, len(answers), squeeze=False)[0], answers.items(), strict=True
    ):
        overlay(image, prediction=answer, ax=ax, legend=False, opacity=0.6)
        for row, column in np.argwhere(mask)[:1]:
            style: dict[str, Any] = {"fill": False, "edgecolor": STYLES["truth"].hex, "linewidth": 2}
            ax.add_patch(_circle((column + 1, row + 1), style))
        ax.set_title(title, fontsize=10)
    return figure


def _circle(place: tuple[float, float], style: dict[str, Any]) -> Any:
    from matplotlib.patches import Circle

    return Circle(place, 9, **style)


def _tidy(figure: Figure, ax: Axes) -> Figure:
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return figure
