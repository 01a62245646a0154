"""A slice with the names of the organs that it shows, as in an atlas of anatomy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import ndimage

from unet_helpers.engine.figures import PAGE_INCHES, plain_figure, set_title

__all__ = ["LABELS", "Label", "body_map", "place_labels", "spread"]

Masks = dict[str, NDArray[np.bool_]]


class Label(NamedTuple):
    """What to write beside an organ; `side` is the patient's own, or "" for an organ that has none."""

    organ: str
    text: str
    side: str = ""


LABELS = (
    Label("lung", "right lung", "right"),
    Label("lung", "left lung", "left"),
    Label("liver", "liver"),
    Label("spleen", "spleen"),
    Label("cortex", "right kidney", "right"),
    Label("cortex", "left kidney: cortex", "left"),
    Label("medulla", "left kidney: medulla", "left"),
    Label("sinus", "left kidney: sinus", "left"),
    Label("stone", "the stone"),
    Label("psoas", "psoas, a muscle", "right"),
    Label("spine", "spine"),
    Label("rib", "rib"),
    Label("hip bone", "hip bone", "right"),
    Label("colon", "colon", "right"),
    Label("colon", "colon", "left"),
    Label("bowel", "small bowel", "left"),
    Label("fat", "fat", "left"),
)
TINTS = ("#56b4e9", "#e69f00", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2")  # Okabe & Ito
STEP = 17.0  # least distance of two labels, in pixels of an image of 256
MARGIN_SHARE = 0.6  # width of the margins, as share of the image


def place_labels(masks: Masks) -> list[tuple[Label, tuple[int, int]]]:
    """For each label whose organ is seen, the row and column that lies deepest inside it.

    A side is told by the spine: the patient faces the reader, so his right is on the picture's left.
    """
    shape = next(iter(masks.values())).shape
    middle = _spine_column(masks)
    columns = np.arange(shape[1])
    placed = []
    for label in LABELS:
        if label.organ in masks:
            half = {"right": columns < middle, "left": columns > middle}.get(label.side, columns >= 0)
            here = masks[label.organ] & half
            if here.any():
                depth = ndimage.distance_transform_edt(np.pad(here, 1))[1:-1, 1:-1]
                row, column = np.unravel_index(int(depth.argmax()), shape)
                placed.append((label, (int(row), int(column))))
    return placed


def _spine_column(masks: Masks) -> float:
    """The column of the middle of the spine; the middle of the picture where it is not seen."""
    if "spine" in masks:
        return float(np.nonzero(masks["spine"])[1].mean())
    return float(next(iter(masks.values())).shape[1]) / 2


def spread(rows: list[float], step: float, last: float) -> list[float]:
    """Move ascending rows apart until neighbours are `step` apart, and keep them above `last`."""
    moved: list[float] = []
    for row in rows:
        moved.append(max(row, moved[-1] + step) if moved else row)
    limit = last
    for number in range(len(moved) - 1, -1, -1):
        moved[number] = min(moved[number], limit)
        limit = moved[number] - step
    return moved


def body_map(
    image: NDArray[np.uint8], masks: Masks, names: bool = True, colours: bool = False, title: str = ""
) -> Figure:
    """Draw a slice, with names in its margins and lines from there to the organs.

    Args:
        image: Uint8 array (H, W).
        masks: Bool arrays (H, W) by organ, see `phantom.lookup.name_organs`; "stone" may be among them.
        names: Whether to write the names.
        colours: Whether to tint the organs.
        title: Text above.
    """
    height, width = image.shape
    figure = plain_figure(PAGE_INCHES, 3.1 if title else 2.75)
    ax = figure.subplots()
    ax.imshow(image, cmap="gray", vmin=0, vmax=255)
    if colours:
        _tint(ax, {name: mask for name, mask in masks.items() if name not in ("stone", "fat")})
    if names:
        divide = _spine_column(masks) + 0.06 * width  # the spine itself is named on the left
        _write_names(ax, place_labels(masks), divide, (height, width))
    margin = MARGIN_SHARE * width
    ax.set(xlim=(-margin, width + margin), ylim=(height, 0))
    set_title(ax, title)
    for x, text in ((0.05 * width, "R"), (0.95 * width, "L")):  # as radiologists mark it
        letter = ax.text(x, 0.06 * height, text, ha="center", va="center", fontsize=10, weight="bold")
        letter.set(color="white", bbox={"facecolor": "black", "linewidth": 0, "pad": 1})
    ax.set_axis_off()
    return figure


def _tint(ax: Axes, masks: Masks) -> None:
    for number, mask in enumerate(masks.values()):
        tint = tuple(int(TINTS[number % len(TINTS)][i : i + 2], 16) / 255 for i in (1, 3, 5))
        ax.imshow(np.where(mask[..., None], (*tint, 0.38), 0.0), interpolation="nearest")


def _write_names(
    ax: Axes, placed: list[tuple[Label, tuple[int, int]]], divide: float, shape: tuple[int, int]
) -> None:
    """Names in both margins, from top to bottom in the order of the organs; `divide` is a column."""
    height, width = shape
    step = STEP * height / 256
    for side in ("left", "right"):
        here = [(label, at) for label, at in placed if (at[1] < divide) == (side == "left")]
        here.sort(key=lambda entry: entry[1][0])
        rows = spread([float(row) for _, (row, _) in here], step, height - step / 2)
        edge, text_at = (-2, -8) if side == "left" else (width + 2, width + 8)
        for (label, (row, column)), text_row in zip(here, rows, strict=True):
            line: dict[str, Any] = {"solid_capstyle": "round", "clip_on": False}
            at = [column, edge], [row, text_row]
            ax.plot(*at, color="black", linewidth=2.2, alpha=0.6, **line)
            ax.plot(*at, color="#f0e442", linewidth=1.0, **line)
            ax.plot(column, row, "o", color="#f0e442", markeredgecolor="black", markersize=4)
            ha: Any = "right" if side == "left" else "left"
            ax.text(text_at, text_row, label.text, ha=ha, va="center", fontsize=9)
