"""Pictures of lesson 2: pixels with their numbers, shrunk masks, pictures that exist and that do not."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from unet_helpers.engine.figures import PAGE_INCHES, plain_figure, set_title
from unet_helpers.pictures.styles import STYLES
from unet_helpers.plotting import overlay
from unet_helpers.transforms import shrink_size

__all__ = [
    "TRUTHS",
    "Box",
    "around",
    "draw_frame",
    "draw_grids",
    "draw_numbers",
    "draw_outline",
    "draw_survivors",
    "find_patch",
    "middle",
    "percent_left",
    "row_of_pictures",
    "rows_of_pictures",
    "shares",
    "six_pictures",
    "verdict",
]

Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Box = tuple[slice, slice]
Shrink = Callable[[Mask, tuple[int, int]], Mask]  # a way to make a mask smaller: mask (H, W), new size
FRAME = "#e69f00"


def around(row: float, column: float, side: int, shape: tuple[int, int]) -> Box:
    """A square of `side` pixels around a place, moved so that it stays inside an image of this shape."""
    starts = [
        max(0, min(round(middle) - side // 2, length - side))
        for middle, length in zip((row, column), shape, strict=True)
    ]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)


def middle(mask: Mask) -> tuple[float, float]:
    """Row and column of the middle of a mask's pixels; of an empty mask, that of the picture."""
    if not mask.any():
        return mask.shape[0] / 2, mask.shape[1] / 2
    row, column = np.argwhere(mask).mean(axis=0)
    return float(row), float(column)


# ------------------------------------------------------------------------------------- panels
def draw_numbers(
    ax: Axes, values: NDArray[Any], title: str, marked: Mask | None = None, white: float = 255
) -> None:
    """Draw an array as a grid of grey cells, each with its number.

    Args:
        ax: Where to draw.
        values: Array (H, W), at most about 9 x 9.
        title: Text above.
        marked: Bool array (H, W): cells with a coloured edge.
        white: Value that is drawn white; 0 is black.
    """
    ax.imshow(values, cmap="gray", vmin=0, vmax=white, interpolation="nearest")
    for (row, column), value in np.ndenumerate(values):
        text = f"{value:.2f}".rstrip("0").rstrip(".").replace("0.", ".") if white == 1 else f"{value:.0f}"
        ink = "black" if value > 0.55 * white else "white"
        ax.text(column, row, text or "0", ha="center", va="center", fontsize=9, color=ink)
        edge = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#777777", linewidth=0.5)
        ax.add_patch(edge)
        if marked is not None and marked[row, column]:
            box = Rectangle((column - 0.45, row - 0.45), 0.9, 0.9, fill=False, linewidth=2)
            box.set_edgecolor(STYLES["miss"].hex)
            ax.add_patch(box)
    set_title(ax, title, fontsize=10)
    ax.set_axis_off()


def draw_frame(ax: Axes, box: Box, colour: str = FRAME, label: str = "") -> None:
    """Draw the edge of a box of pixels on an image, with a label above it."""
    (top, left), (bottom, right) = ([side.start for side in box], [side.stop for side in box])
    ax.add_patch(
        Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, edgecolor=colour, lw=2)
    )
    ax.text(left, top - 3, label, color=colour, fontsize=11, weight="bold", va="bottom")


def row_of_pictures(
    pictures: Mapping[str, NDArray[Any]], masks: Sequence[Mask | None] | None = None
) -> Figure:
    """Grey pictures, each with its title and, where a mask is given, the mask's outline: three in a row."""
    n_columns = len(pictures) if len(pictures) <= 3 else 2
    titles, outlines = list(pictures), masks or [None] * len(pictures)
    starts = range(0, len(pictures), n_columns)
    rows = [{title: pictures[title] for title in titles[i : i + n_columns]} for i in starts]
    return rows_of_pictures(rows, [outlines[i : i + n_columns] for i in starts])


def rows_of_pictures(
    rows: Sequence[Mapping[str, NDArray[Any]]], masks: Sequence[Sequence[Mask | None]] | None = None
) -> Figure:
    """Rows of pictures, the first the longest, see `row_of_pictures`."""
    n_columns = len(rows[0])
    n_lines = max(title.count("\n") + 1 for row in rows for title in row)
    figure = plain_figure(PAGE_INCHES, len(rows) * (PAGE_INCHES / max(2, n_columns) + 0.16 * n_lines))
    axes = figure.subplots(len(rows), n_columns, squeeze=False)
    for ax in axes.ravel():
        ax.set_axis_off()
    for i, row in enumerate(rows):
        outlines = masks[i] if masks is not None else [None] * n_columns
        for ax, (title, picture), mask in zip(axes[i], row.items(), outlines, strict=False):
            overlay(picture, target=mask, ax=ax, legend=False, opacity=0.0)
            set_title(ax, title, fontsize=9)
    return figure


# ------------------------------------------------------------------------------------- small masks
COLOURS = (("#0072b2", "-"), ("#d55e00", "--"), ("#009e73", ":"))  # of the curves, and their lines


def shares(mask: Mask, size: tuple[int, int]) -> NDArray[np.float32]:
    """Which share of every pixel of a smaller picture is stone: float32 in [0, 1]."""
    new = Image.fromarray(mask.astype(np.float32)).resize(size[::-1], Image.Resampling.BOX)
    return np.asarray(new)


def percent_left(shrink: Shrink, numbered: Sequence[tuple[NDArray[np.int32], int]], longest_px: int) -> float:
    """How many stones of all, in per cent, still have a pixel when their masks are shrunk.

    Args:
        shrink: A way to make a mask smaller.
        numbered: Masks with numbered stones, and how many each has, as from `metrics.label_stones`.
        longest_px: The longer side of the small mask.
    """
    n_left = 0
    for labels, n_stones in numbered:
        size = shrink_size(labels.shape, longest_px)
        if size == labels.shape:
            n_left += n_stones
            continue
        left = _blown_up(shrink(labels > 0, size), labels.shape)
        n_left += int(np.count_nonzero(np.unique(labels[left])))
    return 100 * n_left / sum(n_stones for _, n_stones in numbered)


def _blown_up(small: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """A small picture at a larger shape, its pixels as blocks."""
    return np.asarray(Image.fromarray(small).resize(shape[::-1], Image.Resampling.NEAREST))


def draw_grids(crop: Mask, n: int) -> tuple[Figure, int, int]:
    """A small mask, and what becomes of it at n x n pixels: by copying the nearest pixel, and by the mean.

    Returns:
        The figure, and the number of stone pixels by either way.
    """
    edges = np.arange(n + 1) * len(crop) / n  # of the large pixels, on the grid of the small ones
    reach = np.minimum(edges[1:, None], np.arange(len(crop)) + 1) - np.maximum(
        edges[:-1, None], np.arange(len(crop))
    )
    reach = reach.clip(0) * n / len(crop)  # (n, 8): the share of a large pixel that each small one fills
    share = (reach @ crop @ reach.T).round(6)
    nearest = np.asarray(Image.fromarray(crop).resize((n, n), Image.Resampling.NEAREST))
    cut = share >= 0.5
    figure = plain_figure(PAGE_INCHES, PAGE_INCHES + 0.6)
    axes = figure.subplots(2, 2).ravel()
    draw_numbers(axes[0], crop.astype(int), f"the mask, {len(crop)} x {len(crop)}", white=1)
    looked_at = ((np.arange(n) + 0.5) * len(crop) / n).astype(int)  # the pixels that are copied
    columns, rows = np.meshgrid(looked_at, looked_at)
    axes[0].plot(columns.ravel(), rows.ravel(), "o", color="#0072b2", markersize=17, fillstyle="none")
    draw_numbers(axes[1], nearest.astype(int), f"nearest: the circled\npixels, {n} x {n}", white=1)
    draw_numbers(axes[2], share, "mean: which share\nof me is stone?", white=1)
    draw_numbers(axes[3], cut.astype(int), "mean, cut\nat one half", white=1)
    return figure, int(nearest.sum()), int(cut.sum())


def draw_survivors(
    image: Grey,
    mask: Mask,
    rules: Mapping[str, Shrink],
    curves: Mapping[str, Mapping[int, float]],
    longest_px: int,
) -> Figure:
    """A stone at one size, by every rule, and the share of all stones that is left at each size.

    Args:
        image: The slice, (H, W).
        mask: Its stone, (H, W).
        rules: Ways to shrink a mask, by name.
        curves: For each of the rules the percentage of stones that is left, by the longer side in pixels.
        longest_px: The size that is shown.
    """
    size = shrink_size(image.shape, longest_px)
    box = around(*middle(mask), 24, image.shape)
    names = ["image", *rules]
    figure = plain_figure(PAGE_INCHES, 4.4)
    panels = figure.subplot_mosaic([names, ["chart"] * len(names)], height_ratios=(1, 1.5))  # type: ignore[list-item]
    axes = [panels[name] for name in names]
    small = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BOX))
    axes[0].imshow(_blown_up(small, image.shape)[box], cmap="gray", vmin=0, vmax=255)
    axes[0].set_title(f"the image,\n{size[0]} x {size[1]}", fontsize=9)
    for ax, (name, shrink) in zip(axes[1:], rules.items(), strict=True):
        left = shrink(mask, size)
        ax.imshow(_blown_up(left, image.shape)[box], cmap="gray", vmin=0, vmax=1)
        ax.set_title(
            f"{textwrap.fill(name, 14)}:\n{'stone kept' if left.any() else 'stone LOST'}", fontsize=9
        )
    for ax in axes:
        draw_outline(ax, mask[box])
        ax.set_axis_off()
    _draw_curves(panels["chart"], curves, longest_px)
    return figure


def draw_outline(ax: Axes, mask: Mask) -> None:
    """Draw the outline of a mask (H, W) along its pixel edges."""
    if mask.any():
        fine = np.pad(mask, 1).repeat(4, axis=0).repeat(4, axis=1)
        right, down = ((np.arange(4 * (n + 2)) + 0.5) / 4 - 1.5 for n in mask.shape[::-1])
        ax.contour(right, down, fine, [0.5], colors=[STYLES["truth"].hex], linewidths=2)


def _draw_curves(ax: Axes, curves: Mapping[str, Mapping[int, float]], longest_px: int) -> None:
    for (name, curve), (colour, line) in zip(curves.items(), COLOURS, strict=False):
        ax.plot(list(curve), list(curve.values()), line, color=colour, label=name)
        ax.plot(longest_px, curve[longest_px], "o", color=colour, markersize=8)
    ax.axvline(longest_px, color="0.7", linewidth=1, zorder=0)
    ax.set(xlabel="longer side of the picture (pixels)", ylabel="stones still there (%)", ylim=(0, 103))
    ax.legend(loc="lower right", frameon=False, fontsize=9)


# ------------------------------------------------------------------------------------- the game
def six_pictures(image: Grey) -> dict[str, Grey]:
    """The same slice, changed in six ways, by the letter of each."""
    rng = np.random.default_rng(0)
    middle = image.shape[1] // 4
    squeezed = np.zeros_like(image)
    half = np.asarray(Image.fromarray(image).resize((image.shape[1] // 2, image.shape[0])))
    squeezed[:, middle : middle + half.shape[1]] = half
    noisy = image + rng.normal(0, 14, image.shape) * (image > 0)
    return {
        "A": ndimage.rotate(image, 9, reshape=False, order=1, mode="nearest"),
        "B": 255 - image,
        "C": image[:, ::-1],
        "D": np.clip(noisy, 0, 255).astype(np.uint8),
        "E": squeezed,
        "F": image[::-1],
    }


TRUTHS: dict[
    str, tuple[bool | None, str]
] = {  # could a picture of the game exist, and why; None: both are fair
    "A": (True, "Could exist: patients lie a little crooked all the time."),
    "B": (False, "Could not: bone would have to let X-rays through, and air to stop them."),
    "C": (
        None,
        "Both answers are fair: about one person in ten thousand is built like this. For everybody else the "
        "picture lies about left and right.",
    ),
    "D": (True, "Could exist: a scan at a lower dose is this noisy."),
    "E": (False, "Could not: nobody is half as wide and just as tall."),
    "F": (False, "Could not: these slices are always shown with the head up."),
}


def verdict(letter: str, chosen: str | None) -> tuple[bool, str]:
    """Whether a choice of the game is right, and a sentence about the picture.

    Args:
        letter: "A" to "F".
        chosen: "could exist", "could not", or None if nothing was chosen.
    """
    truth, why = TRUTHS[letter]
    if chosen is None:
        return False, f"(not chosen) {why}"
    right = truth is None or truth == (chosen == "could exist")
    return right, f"{'✅' if right else '❌'} {why}"


# ------------------------------------------------------------------------------------- patches
def find_patch(image: Grey, patch: Grey) -> Box:
    """Where in an image (H, W) a patch (P, P) was cut out.

    Raises:
        ValueError: If the patch is no part of the image.
    """
    views = np.lib.stride_tricks.sliding_window_view(image, patch.shape)
    for row, column in np.argwhere(views[:, :, 0, 0] == patch[0, 0]):
        if np.array_equal(views[row, column], patch):
            height, width = patch.shape
            return slice(int(row), int(row) + height), slice(int(column), int(column) + width)
    raise ValueError("patch must be cut out of image, got one that occurs nowhere in it.")
