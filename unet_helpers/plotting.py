"""Figures of the lessons and the command line, drawn with matplotlib.

Every plotting function takes `ax` (or makes one), returns it and never calls `show`. The colours are those of
the inspector. They come from the Okabe-Ito set and stay apart for readers with a colour deficiency; because
colour alone is not enough, every kind of region has its own outline as well.
"""

from __future__ import annotations

import io
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from unet_helpers.metrics import dice, label_stones

__all__ = [
    "STYLES",
    "LiveCurves",
    "LivePicture",
    "Style",
    "contact_sheet",
    "error_codes",
    "new_figure",
    "overlay",
    "plot_history",
    "save_figure",
    "show_pair",
]


@dataclass(frozen=True)
class Style:
    """How one kind of region is drawn.

    Attributes:
        label: The words of the legend.
        colour: Red, green, blue, 0-255.
        line: CSS and matplotlib name of the outline: "solid", "dashed" or "dotted".
        width_px: Thickness of the outline on the screen.
    """

    label: str
    colour: tuple[int, int, int]
    line: str
    width_px: int

    @property
    def hex(self) -> str:
        return "#{:02x}{:02x}{:02x}".format(*self.colour)


# Okabe & Ito, "Color Universal Design" (2008). Only four triples of their colours, this one among them, keep
# a CIELAB distance of 33 in simulated protanopia, deuteranopia and tritanopia.
STYLES = {
    "hit": Style("found (true positive)", (86, 180, 233), "solid", 2),
    "miss": Style("missed (false negative)", (213, 94, 0), "dashed", 3),
    "false alarm": Style("false alarm (false positive)", (240, 228, 66), "dotted", 2),
    "truth": Style("truth", (0, 158, 115), "solid", 3),
    "prediction": Style("prediction", (204, 121, 167), "dashed", 3),
}
ERROR_KINDS = {1: "miss", 2: "false alarm", 3: "hit"}  # the codes of error_codes


def error_codes(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Sort the pixels into correct background (0), miss (1), false alarm (2) and hit (3).

    Args:
        prediction: Bool array (H, W).
        target: Bool array (H, W).

    Returns:
        Uint8 array (H, W).
    """
    return target.astype(np.uint8) + 2 * prediction.astype(np.uint8)


def _plain_figure(width_inches: float, height_inches: float) -> Figure:
    """Return a figure that pyplot does not know: a notebook shows it once, and nothing has to be closed."""
    figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
    FigureCanvasAgg(figure)
    figure._repr_png_ = lambda: figure_png(figure)  # for notebooks that never load pyplot
    return figure


def _in_notebook() -> bool:
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return hasattr(get_ipython(), "kernel")


def new_figure(width_inches: float, height_inches: float) -> Figure:
    """Return a pyplot figure where pyplot is in use, so that it is shown; else one that needs no closing."""
    if "matplotlib.pyplot" in sys.modules or _in_notebook():
        import matplotlib.pyplot as plt

        return plt.figure(figsize=(width_inches, height_inches), layout="constrained")
    return _plain_figure(width_inches, height_inches)


def _check_image(image: np.ndarray, **masks: np.ndarray | None) -> None:
    if np.ndim(image) != 2:
        raise ValueError(f"image must be a grey array (H, W), got shape {np.shape(image)}.")
    for name, mask in masks.items():
        if mask is not None and (np.shape(mask) != np.shape(image) or np.asarray(mask).dtype != bool):
            need, actual = np.shape(image), f"{np.shape(mask)} {np.asarray(mask).dtype}"
            raise ValueError(f"{name} must be a bool mask of the image's shape {need}, got {actual}.")


def _draw_region(ax: Axes, region: np.ndarray, style: Style, opacity: float) -> None:
    """Fill a bool region (H, W) and draw its outline along the pixel edges."""
    rows, columns = np.nonzero(region)
    if not rows.size:
        return
    fill = np.zeros((*region.shape, 4))
    fill[region] = (*np.divide(style.colour, 255), opacity)
    ax.imshow(fill, interpolation="nearest")
    top, left = rows.min() - 1, columns.min() - 1
    piece = np.pad(region, 1)[top + 1 : rows.max() + 3, left + 1 : columns.max() + 3]
    fine = piece.repeat(4, axis=0).repeat(4, axis=1)  # 4 samples a pixel: the contour follows the pixel edges
    down, right = (
        start - 0.5 + (np.arange(n) + 0.5) / 4 for start, n in zip((top, left), fine.shape, strict=True)
    )
    ax.contour(right, down, fine, [0.5], colors=[style.hex], linestyles=style.line, linewidths=1.6)


def overlay(
    image: np.ndarray,
    target: np.ndarray | None = None,
    prediction: np.ndarray | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    legend: bool = True,
    opacity: float = 0.35,
) -> Axes:
    """Show an image with its truth, its prediction, or the comparison of both.

    With one mask, that mask is outlined. With both, hits, misses and false alarms are told apart.

    Args:
        image: Grey array (H, W), shown from 0 (black) to 255 (white) where it is uint8.
        target: Bool array (H, W), the truth.
        prediction: Bool array (H, W).
        ax: Where to draw; a new figure if None.
        title: Text above the image.
        legend: Whether the kinds of region that occur are named below the image.
        opacity: Opacity of the fill, 0 to 1; the outline is always drawn.

    Returns:
        The axes.

    Raises:
        ValueError: If a mask is not bool or not of the image's shape.
    """
    _check_image(image, target=target, prediction=prediction)
    ax = ax or new_figure(5, 5.4).subplots()
    limits = {"vmin": 0, "vmax": 255} if image.dtype == np.uint8 else {}
    ax.imshow(image, cmap="gray", **limits)
    if target is not None and prediction is not None:
        codes = error_codes(prediction, target)
        regions = {kind: codes == code for code, kind in ERROR_KINDS.items()}
    else:
        regions = {k: m for k, m in (("truth", target), ("prediction", prediction)) if m is not None}
    for kind, region in regions.items():
        _draw_region(ax, region, STYLES[kind], opacity)
    height, width = image.shape
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))  # outlines at the edge would widen them
    ax.set_axis_off()
    if title is not None:
        ax.set_title(title, parse_math=False)  # a file name may hold two dollar signs
    if legend and any(region.any() for region in regions.values()):
        _add_legend(ax, [kind for kind, region in regions.items() if region.any()])
    return ax


def _patches(kinds: Sequence[str]) -> list[Patch]:
    def patch(style: Style) -> Patch:
        fill = (*np.divide(style.colour, 255), 0.35)
        return Patch(
            facecolor=fill, edgecolor=style.hex, linestyle=style.line, linewidth=1.6, label=style.label
        )

    return [patch(STYLES[kind]) for kind in kinds]


def _add_legend(ax: Axes, kinds: Sequence[str]) -> None:
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0)}
    ax.legend(handles=_patches(kinds), **below, frameon=False, fontsize=9)


def show_pair(image: np.ndarray, mask: np.ndarray, axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """Show an image, its mask, and the mask's outline on the image, side by side.

    Args:
        image: Uint8 array (H, W).
        mask: Bool array (H, W).
        axes: Three axes to draw into; a new figure if None.

    Returns:
        The three axes.

    Raises:
        ValueError: If the mask is not bool or not of the image's shape.
    """
    _check_image(image, mask=mask)
    axes = new_figure(12, 4.4).subplots(1, 3) if axes is None else axes
    n_pixels, share = int(mask.sum()), 100 * mask.mean()
    overlay(image, ax=axes[0], title=f"image, {image.shape[0]} x {image.shape[1]} pixels")
    axes[1].imshow(mask, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes[1].set_axis_off()
    axes[1].set_title(f"mask, {n_pixels} pixels ({share:.2f} %)")
    overlay(image, target=mask, ax=axes[2], title="both", legend=False)
    return axes


def plot_history(history: Sequence[dict[str, float]], ax: Axes | None = None) -> Axes:
    """Draw the course of a training: training loss (left axis) and validation Dice (right axis).

    Args:
        history: One dict an epoch with the keys step, train_loss, val_dice, as `training.fit` returns it.
        ax: Where to draw; a new figure if None.

    Returns:
        The axes of the loss; the Dice is on a twin axis that shares its steps.
    """
    ax = ax or new_figure(7, 3.8).subplots()
    loss, score = STYLES["miss"].hex, "#0072b2"  # vermillion and blue of the same colour set
    steps = [entry["step"] for entry in history]
    losses = [entry["train_loss"] for entry in history]
    ax.plot(steps, losses, color=loss, linestyle="--", marker="o", markersize=3)
    ax.set(xlabel="training step", title="loss (dashed) should fall, validation Dice (solid) should rise")
    ax.set_ylabel("training loss", color=loss)
    right = ax.twinx()
    right.plot(steps, [entry["val_dice"] for entry in history], color=score, marker="o", markersize=3)
    right.set_ylabel("validation Dice", color=score)
    right.set_ylim(0, 1)
    _mark_best(right, history, score)
    return ax


def _mark_best(ax: Axes, history: Sequence[dict[str, float]], colour: str) -> None:
    scored = [entry for entry in history if math.isfinite(entry["val_dice"])]
    if scored:
        best = max(scored, key=lambda entry: entry["val_dice"])
        ax.plot(
            best["step"],
            best["val_dice"],
            marker="*",
            markersize=13,
            color=colour,
            linestyle="none",
            label=f"best {best['val_dice']:.3f} at step {best['step']}",
        )
        ax.legend(loc="center right", fontsize=9)


def _crop_around(regions: np.ndarray, margin_px: int, smallest_px: int) -> tuple[slice, slice]:
    """Return a square window around the largest region of a mask (H, W); all of it where it is empty."""
    labels, n_regions = label_stones(regions)
    if not n_regions:
        return slice(None), slice(None)
    rows, columns = np.nonzero(labels == np.bincount(labels.ravel())[1:].argmax() + 1)
    side = max(np.ptp(rows), np.ptp(columns)) + 1 + 2 * margin_px
    side = min(max(side, smallest_px), *regions.shape)
    middles = ((rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2)
    starts = [min(max(m - side // 2, 0), n - side) for m, n in zip(middles, regions.shape, strict=True)]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)


def _dice_title(score: float) -> str:
    return "nothing there, nothing predicted" if math.isnan(score) else f"Dice {score:.2f}"


def contact_sheet(
    images: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    predictions: Sequence[np.ndarray],
    titles: Sequence[str] | None = None,
    n_columns: int = 4,
    zoom: bool = True,
) -> Figure:
    """Draw many results at once: hits, misses and false alarms, cropped to where something is.

    A stone of 5 pixels cannot be seen in a thumbnail of the whole image. Each tile therefore shows the
    surroundings of its largest true stone, or of the largest false alarm where there is no stone, or the
    whole image where there is neither.

    Args:
        images: Uint8 arrays (H, W).
        targets: Bool arrays, one an image.
        predictions: Bool arrays, one an image.
        titles: One text an image; "Dice 0.83" if None.
        n_columns: Tiles in a row.
        zoom: False shows whole images.

    Returns:
        A figure that belongs to no window; a notebook shows it when it is the last expression of a cell.

    Raises:
        ValueError: If the lists differ in length.
    """
    lengths = {"targets": len(targets), "predictions": len(predictions), "titles": len(titles or images)}
    for name, length in lengths.items():
        if length != len(images):
            raise ValueError(f"{name} must have one entry an image ({len(images)}), got {length}.")
    n_columns = max(1, min(n_columns, len(images)))
    n_rows = max(1, math.ceil(len(images) / n_columns))
    figure = _plain_figure(2.6 * n_columns, 2.85 * n_rows + 0.4)
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for i, (image, target, prediction) in enumerate(zip(images, targets, predictions, strict=True)):
        window = _crop_around(target if target.any() else prediction, 12, 48) if zoom else (slice(None),) * 2
        title = titles[i] if titles is not None else _dice_title(dice(prediction, target))
        overlay(image[window], target[window], prediction[window], ax=axes[i], legend=False)
        axes[i].set_title(title, fontsize=9, parse_math=False)
    for ax in axes[len(images) :]:
        ax.set_axis_off()
    below = {"loc": "outside lower center", "ncols": 3 if n_columns > 2 else 1}
    figure.legend(handles=_patches(["hit", "miss", "false alarm"]), **below, frameon=False, fontsize=9)
    return figure


def figure_png(figure: Figure, dpi: int = 100) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def save_figure(figure: Figure, path: str | Path, dpi: int = 120) -> Path:
    """Write a figure to an image file; a crash never leaves half a file.

    Args:
        figure: What to save.
        path: Target; its ending chooses the format (.png, .svg, .pdf).
        dpi: Dots an inch.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        figure.savefig(temporary, dpi=dpi)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


class LiveCurves:
    """Redraws the training curves in place: pass it to `fit(..., on_epoch=LiveCurves())`.

    In a notebook the picture is replaced, not appended, and the last state stays in the file as a plain PNG.
    Outside a notebook it does nothing.
    """

    def __init__(self) -> None:
        self._handle: Any = None

    def __call__(self, history: Sequence[dict[str, float]]) -> None:
        """Draw the history so far.

        Args:
            history: As for `plot_history`.
        """
        if not history or not _in_notebook():
            return
        from IPython.display import Image, display

        figure = _plain_figure(7, 3.8)
        plot_history(history, ax=figure.subplots())
        image = Image(data=figure_png(figure), format="png")
        if self._handle is None:
            self._handle = display(image, display_id=True)
        else:
            self._handle.update(image)


class LivePicture:
    """Shows a picture file in place, again after every epoch: the strip that `fit` draws of its snapshots.

    Outside a notebook it does nothing.

    Args:
        path: PNG file; it may be missing at first.
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self._handle = Path(path), None

    def __call__(self, history: Sequence[dict[str, float]] = ()) -> None:
        """Show the file as it is now; the history is not looked at."""
        if not self.path.is_file() or not _in_notebook():
            return
        from IPython.display import Image, display

        image = Image(data=self.path.read_bytes(), format="png")
        if self._handle is None:
            self._handle = display(image, display_id=True)
        else:
            self._handle.update(image)
