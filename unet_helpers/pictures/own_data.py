"""Pictures of lesson 6: a mask made visible, images beside their masks, a smaller picture, a race."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from unet_helpers.engine.figures import PAGE_INCHES, plain_figure

__all__ = ["draw_mask", "draw_race", "draw_scale", "draw_way", "draw_ways", "draw_windows"]

BLUE, RED, GREEN = "#0072b2", "#d55e00", "#009e73"
Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def draw_mask(values: NDArray[Any], times: int) -> Figure:
    """The values (H, W) of a mask as a viewer shows them, multiplied and cut at 255."""
    figure = plain_figure(3.4, 3.6)
    ax = figure.subplots()
    ax.imshow(np.minimum(values.astype(float) * times, 255), cmap="gray", vmin=0, vmax=255)
    ax.set_title(f"values x {times}", fontsize=10)
    ax.set_axis_off()
    return figure


def draw_way(image: Grey, second: Grey, title: str) -> Figure:
    """An image and what belongs to it (H, W, 3), as a viewer shows them."""
    return draw_ways({"the image": image, title: second}, 2)


def draw_ways(pictures: Mapping[str, Grey], n_columns: int = 4) -> Figure:
    """Pictures (H, W) or (H, W, 3) in rows, each under its title."""
    n_rows = math.ceil(len(pictures) / n_columns)
    figure = plain_figure(PAGE_INCHES, n_rows * (PAGE_INCHES / n_columns + 0.25))
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, (title, picture) in zip(axes, pictures.items(), strict=False):
        framed = np.pad(picture, ((1, 1), (1, 1), *[(0, 0)] * (picture.ndim - 2)), constant_values=128)
        ax.imshow(framed, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        ax.set_title(title, fontsize=9)
    return figure


def draw_scale(image: Grey, mask: Mask, wide: Mapping[int, int], chosen: int) -> Figure:
    """A cut-out of an image and its mask at the chosen size, and how many objects each size leaves wide."""
    figure = plain_figure(PAGE_INCHES, 2.6)
    picture, ax = figure.subplots(1, 2, width_ratios=(1, 1.35))
    picture.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    if mask.any():
        picture.contour(mask, [0.5], colors=GREEN, linewidths=1.5)
    picture.set_title(f"the smallest, at {chosen} pixels", fontsize=10)
    picture.set_axis_off()
    ax.plot(list(wide), list(wide.values()), "o-", color=BLUE, markersize=4)
    ax.plot([chosen], [wide[chosen]], "o", color=RED, markersize=10)
    ax.locator_params(axis="y", integer=True)
    ax.set(xlabel="longer side in pixels", ylabel="objects 4 pixels wide", ylim=(0, None))
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return figure


def draw_windows(pictures: Mapping[str, Grey]) -> Figure:
    """The same slice through several windows."""
    return draw_ways(pictures, len(pictures))


def draw_race(dices: Mapping[str, Sequence[float]]) -> Figure:
    """A row a network, a dot a slice with an object, and a bar at their mean."""
    figure = plain_figure(PAGE_INCHES, 0.8 + 0.5 * len(dices))
    ax = figure.subplots()
    for place, scores in enumerate(dices.values()):
        lift = 0.12 * np.cos(np.pi * np.arange(len(scores)))  # so that equal dots lie side by side
        ax.plot(scores, place + lift, "o", color=BLUE, alpha=0.6, markersize=7)
        if len(scores):
            ax.plot([np.mean(scores)] * 2, [place - 0.3, place + 0.3], color=RED, linewidth=3)
    ax.set_yticks(range(len(dices)), list(dices))
    ax.set(ylim=(len(dices) - 0.5, -0.5), xlim=(-0.03, 1.03), xlabel="Dice of a test slice with an object")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return figure
