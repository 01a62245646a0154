"""Drawings made of number tiles: what each part of a U-Net does to a handful of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from numpy.typing import ArrayLike, NDArray

from unet_helpers.engine.figures import PAGE_INCHES, plain_figure, set_title

__all__ = [
    "concat_sheets",
    "convolution_steps",
    "draw_tiles",
    "pool_tiles",
    "relu_tiles",
    "slide",
    "stamp_tiles",
]

FRAME = "#d55e00"  # where one looks
BLOCKS = ("#56b4e9", "#e69f00", "#3fb896", "#cc79a7")  # which tile became which (Okabe-Ito)


def slide(image: ArrayLike, kernel: ArrayLike) -> NDArray[np.float64]:
    """Slide a 3x3 kernel over an image (H, W); returns the sums of the products, (H - 2, W - 2)."""
    weights = np.asarray(kernel, float)
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(image, float), weights.shape)
    return np.asarray((windows * weights).sum((2, 3)))


def draw_tiles(
    ax: Axes,
    values: ArrayLike,
    title: str = "",
    colours: list[list[str]] | None = None,
    shown: NDArray[np.bool_] | None = None,
    points: int = 12,
) -> None:
    """Draw a small array (H, W) as tiles with a number on each.

    Args:
        ax: Where to draw.
        values: Numbers; whole ones are written without a point.
        title: Text above.
        colours: A colour a tile; by default blue for positive and orange for negative numbers.
        shown: Bool (H, W), the tiles whose number is known; the others stay empty.
        points: Size of the numbers.
    """
    numbers = np.asarray(values, float)
    largest = max(np.abs(numbers).max(), 1e-9)
    for (row, column), number in np.ndenumerate(numbers):
        known = shown is None or shown[row, column]
        if colours is not None:
            face, alpha = colours[row][column], 0.45
        else:
            face, alpha = ("#0072b2" if number > 0 else "#e69f00"), 0.75 * abs(number) / largest
        ax.add_patch(Rectangle((column, row), 1, 1, facecolor="white", edgecolor="#555555", linewidth=1))
        if known:
            ax.add_patch(Rectangle((column, row), 1, 1, facecolor=face, alpha=alpha, linewidth=0))
            text = f"{number:.0f}" if float(number).is_integer() else f"{number:.1f}"
            text = "1/9" if abs(number - 1 / 9) < 1e-9 else text  # 0.1 would be wrong: nine of them are 1
            ink = "white" if colours is None and number > 0 and alpha > 0.45 else "black"
            ax.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=points, color=ink)
    ax.set(xlim=(-0.08, numbers.shape[1] + 0.08), ylim=(numbers.shape[0] + 0.08, -0.08), aspect="equal")
    ax.set_axis_off()
    set_title(ax, title, fontsize=min(points, 11))


def _frame(ax: Axes, row: float, column: float, side: float) -> None:
    ax.add_patch(Rectangle((column, row), side, side, fill=False, edgecolor=FRAME, linewidth=3.5, zorder=5))


def _row_of_panels(widths: tuple[float, ...], n_rows: int) -> tuple[Figure, Any]:
    """A figure with panels of up to `n_rows` tiles side by side, and a narrow one for a sign between two."""
    ratios = [ratio for width in widths for ratio in (width, 0.7)][:-1]
    side = min(0.62, (PAGE_INCHES - 0.4) / sum(ratios))  # of a tile, in inches
    figure = plain_figure(side * sum(ratios) + 0.4, side * n_rows + 0.6)
    axes = figure.subplots(1, len(ratios), width_ratios=ratios)
    for ax in axes[1::2]:
        ax.set_axis_off()
    return figure, axes


def _sign(ax: Axes, text: str) -> None:
    ax.text(0.5, 0.5, text, ha="center", va="center", fontsize=18, transform=ax.transAxes)


def convolution_steps(image: ArrayLike, kernel: ArrayLike, place: int) -> Figure:
    """One step of a convolution: the frame on the image, the kernel, the nine products, the sums so far.

    Args:
        image: Small array (H, W).
        kernel: Array (3, 3).
        place: Number of the step, 0 for the upper left corner, counted row by row.
    """
    pixels, weights = np.asarray(image, float), np.asarray(kernel, float)
    output = slide(pixels, weights)
    row, column = divmod(place, output.shape[1])
    products = pixels[row : row + 3, column : column + 3] * weights
    figure, axes = _row_of_panels((pixels.shape[1], 3, 3, output.shape[1]), pixels.shape[0])
    draw_tiles(axes[0], pixels, "image", points=9)
    _frame(axes[0], row, column, 3)
    _sign(axes[1], "×")
    draw_tiles(axes[2], weights, "kernel", points=9)
    _sign(axes[3], "=")
    draw_tiles(axes[4], products, f"nine products,\nsum {products.sum():g}", points=9)
    _sign(axes[5], "→")
    known = np.arange(output.size).reshape(output.shape) <= place
    draw_tiles(axes[6], output, "output", shown=known, points=9)
    _frame(axes[6], row, column, 1)
    return figure


def relu_tiles(values: ArrayLike) -> Figure:
    """Tiles before and after ReLU."""
    numbers = np.asarray(values, float)
    figure, axes = _row_of_panels((numbers.shape[1], numbers.shape[1]), len(numbers))
    draw_tiles(axes[0], numbers, "before")
    _sign(axes[1], "→")
    draw_tiles(axes[2], np.maximum(numbers, 0), "after ReLU")
    return figure


def _block_colours(shape: tuple[int, ...], side: int) -> list[list[str]]:
    """A colour for each tile, the same within a block of `side` x `side`, another for its neighbours."""
    return [[BLOCKS[2 * (r // side % 2) + c // side % 2] for c in range(shape[1])] for r in range(shape[0])]


def pool_tiles(values: ArrayLike) -> Figure:
    """Max-pooling: every coloured block of 2x2 tiles becomes one tile with its largest number."""
    numbers = np.asarray(values, float)
    height, width = numbers.shape
    pooled = numbers.reshape(height // 2, 2, width // 2, 2).max((1, 3))
    figure, axes = _row_of_panels((width, width / 2), height)
    draw_tiles(axes[0], numbers, f"{height} x {width}", _block_colours((height, width), 2))
    _sign(axes[1], "→")
    draw_tiles(axes[2], pooled, f"{height // 2} x {width // 2}", _block_colours(pooled.shape, 1))
    return figure


def stamp_tiles(features: ArrayLike, stamp: ArrayLike) -> Figure:
    """Up-convolution: every tile presses the stamp, times its own number, into a block of 2x2 tiles."""
    small, weights = np.asarray(features, float), np.asarray(stamp, float)
    large = np.kron(small, weights)
    figure, axes = _row_of_panels((small.shape[1], 2, large.shape[1]), len(large))
    draw_tiles(axes[0], small, "features", _block_colours(small.shape, 1))
    _sign(axes[1], "×")
    draw_tiles(axes[2], weights, "stamp")
    _sign(axes[3], "→")
    draw_tiles(axes[4], large, "output", _block_colours(large.shape, 2))
    return figure


def concat_sheets(n_copied: int = 3, n_raised: int = 3) -> Figure:
    """Concatenation: two piles of feature maps laid on top of each other make one taller pile."""
    figure = plain_figure(PAGE_INCHES, 1.8)
    ax = figure.subplots()
    piles = (
        (0.0, [BLOCKS[3]] * n_copied, f"copy from the\nway down: {n_copied} channels"),
        (3.1, [BLOCKS[2]] * n_raised, f"from below,\nenlarged: {n_raised} channels"),
        (
            6.9,
            [BLOCKS[3]] * n_copied + [BLOCKS[2]] * n_raised,
            f"concatenated:\n{n_copied + n_raised} channels",
        ),
    )
    for left, colours, words in piles:
        for i, colour in enumerate(reversed(colours)):
            corner = (left + 0.13 * i, 0.16 * i)
            ax.add_patch(
                Rectangle(corner, 1.3, 1.0, facecolor=colour, edgecolor="#222222", linewidth=1, zorder=i)
            )
        ax.text(left + 0.8, -0.15, words, ha="center", va="top", fontsize=9)
    ax.text(2.35, 0.6, "and", fontsize=10, ha="center", va="center")  # no plus: nothing is added up
    ax.add_patch(
        FancyArrowPatch((5.0, 0.6), (6.7, 0.6), arrowstyle="-|>", mutation_scale=16, color="#444444")
    )
    ax.text(5.75, 0.7, "torch.cat", fontsize=9, ha="center", va="bottom", family="monospace")
    ax.set(xlim=(-0.7, 9.5), ylim=(-1.0, 2.0), aspect="equal")
    ax.set_axis_off()
    return figure
