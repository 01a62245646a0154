"""Figures of the lessons: an image with its masks, many of them at once, and the course of a training.

A plotting function takes `ax` (or makes one), returns it and never calls `show`. Masks are given by name:
truth and prediction in the wrong order would silently exchange misses and false alarms. Colours stay apart
for readers with a colour deficiency; as that is not enough, every kind of region has its own outline too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from unet_helpers.engine.checks import check_image, check_per_image
from unet_helpers.engine.figures import new_figure, plain_figure, set_title
from unet_helpers.metrics import dice, label_stones
from unet_helpers.pictures.styles import ERROR_KINDS, STYLES, Style, error_codes

__all__ = [
    "contact_sheet",
    "overlay",
    "plot_history",
    "show_pair",
]


def overlay(
    image: np.ndarray,
    *,
    prediction: np.ndarray | None = None,
    target: np.ndarray | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    legend: bool = True,
    opacity: float = 0.35,
) -> Axes:
    """Show an image with its truth, its prediction, or both as hits, misses and false alarms.

    Args:
        image: Grey array (H, W), shown from 0 (black) to 255 (white) where it is uint8.
        prediction: Bool array (H, W).
        target: Bool array (H, W), the truth.
        ax: Where to draw; a new figure if None.
        title: Text above the image.
        legend: Whether the kinds of region that occur are named below the image.
        opacity: Opacity of the fill, 0 to 1; the outline is always drawn.

    Raises:
        ValueError: If a mask is not bool or not of the image's shape.
    """
    check_image(image, target=target, prediction=prediction)
    ax = ax or new_figure(5, 5.4).subplots()
    darkest, brightest = (0, 255) if image.dtype == np.uint8 else (None, None)
    ax.imshow(image, cmap="gray", vmin=darkest, vmax=brightest)
    regions = _regions_to_draw(prediction, target)
    for kind, region in regions.items():
        _draw_region(ax, region, STYLES[kind], opacity)
    ax.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))  # outlines widen them
    ax.set_axis_off()
    if title is not None:
        set_title(ax, title)
    if legend and regions:
        below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0)}
        ax.legend(handles=_patches(regions), **below, frameon=False, fontsize=9)
    return ax


def _regions_to_draw(prediction: np.ndarray | None, target: np.ndarray | None) -> dict[str, np.ndarray]:
    """Bool arrays (H, W), none of them empty, by their key in `STYLES`."""
    if prediction is not None and target is not None:
        codes = error_codes(prediction, target)
        regions = {kind: codes == code for code, kind in ERROR_KINDS.items()}
    else:
        masks = {"truth": target, "prediction": prediction}
        regions = {kind: mask for kind, mask in masks.items() if mask is not None}
    return {kind: region for kind, region in regions.items() if region.any()}


def _draw_region(ax: Axes, region: np.ndarray, style: Style, opacity: float) -> None:
    """Fill a bool region (H, W) and draw its outline along the pixel edges."""
    fill = np.zeros((*region.shape, 4))  # red, green, blue, opacity
    fill[region] = (*np.divide(style.colour, 255), opacity)
    ax.imshow(fill, interpolation="nearest")
    rows, columns = np.nonzero(region)
    top, left = rows.min() - 1, columns.min() - 1
    piece = np.pad(region, 1)[top + 1 : rows.max() + 3, left + 1 : columns.max() + 3]
    fine = piece.repeat(4, axis=0).repeat(4, axis=1)  # 4 samples a pixel: the contour follows the pixel edges
    down, right = (
        start - 0.5 + (np.arange(n) + 0.5) / 4 for start, n in zip((top, left), fine.shape, strict=True)
    )
    ax.contour(right, down, fine, [0.5], colors=[style.hex], linestyles=style.line, linewidths=1.6)


def _patches(kinds: Iterable[str]) -> list[Patch]:
    """Entries of a legend for some keys of `STYLES`."""
    return [
        Patch(facecolor=(s.hex, 0.35), edgecolor=s.hex, linestyle=s.line, linewidth=1.6, label=s.label)
        for s in (STYLES[kind] for kind in kinds)
    ]


def show_pair(image: np.ndarray, mask: np.ndarray, axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """Show an image (H, W), its bool mask (H, W), and the mask's outline on the image, side by side.

    Draws into three axes, or a new figure, and returns them; raises as `overlay`.
    """
    check_image(image, mask=mask)
    axes = new_figure(12, 4.4).subplots(1, 3) if axes is None else axes
    overlay(image, ax=axes[0], title=f"image, {image.shape[0]} x {image.shape[1]} pixels")
    axes[1].imshow(mask, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes[1].set_axis_off()
    axes[1].set_title(f"mask, {int(mask.sum())} pixels ({100 * mask.mean():.2f} %)")
    overlay(image, target=mask, ax=axes[2], title="both", legend=False)
    return axes


def contact_sheet(
    images: Sequence[np.ndarray],
    *,
    targets: Sequence[np.ndarray],
    predictions: Sequence[np.ndarray],
    titles: Sequence[str] | None = None,
    n_columns: int = 4,
    zoom: bool = True,
) -> Figure:
    """Draw many results at once: hits, misses and false alarms, cropped to where something is.

    A stone of 5 pixels cannot be seen in a thumbnail of the whole image. Each tile therefore shows what is
    around its largest true stone, or else around its largest false alarm, or else the whole image.

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
    check_per_image(len(images), targets=targets, predictions=predictions, titles=titles)
    figure, axes = _empty_sheet(len(images), n_columns)
    for i, (image, target, prediction) in enumerate(zip(images, targets, predictions, strict=True)):
        window = _crop_around(target if target.any() else prediction, 12, 48) if zoom else np.s_[:, :]
        overlay(image[window], prediction=prediction[window], target=target[window], ax=axes[i], legend=False)
        score = float(dice(prediction, target))
        title = "nothing there, nothing predicted" if math.isnan(score) else f"Dice {score:.2f}"
        set_title(axes[i], titles[i] if titles is not None else title, fontsize=9)
    return figure


def _empty_sheet(n_tiles: int, n_columns: int) -> tuple[Figure, np.ndarray]:
    """A figure with axes for so many tiles, row by row, and the legend of all kinds of error below."""
    n_columns = max(1, min(n_columns, n_tiles))
    n_rows = max(1, math.ceil(n_tiles / n_columns))
    figure = plain_figure(2.6 * n_columns, 2.85 * n_rows + 0.4)
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for ax in axes[n_tiles:]:
        ax.set_axis_off()
    below: dict[str, Any] = {"loc": "outside lower center", "ncols": 3 if n_columns > 3 else 1}
    figure.legend(handles=_patches(("hit", "miss", "false alarm")), **below, frameon=False, fontsize=9)
    return figure, axes


def _crop_around(regions: np.ndarray, margin_px: int, smallest_px: int) -> tuple[slice, slice]:
    """Return a square window around the largest region of a mask (H, W); all of it where it is empty."""
    labels, n_regions = label_stones(regions)
    if not n_regions:
        return slice(None), slice(None)
    rows, columns = np.nonzero(labels == np.bincount(labels.ravel())[1:].argmax() + 1)
    side = int(max(np.ptp(rows), np.ptp(columns))) + 1 + 2 * margin_px
    side = min(max(side, smallest_px), *regions.shape)
    middles = ((rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2)
    starts = [min(max(m - side // 2, 0), n - side) for m, n in zip(middles, regions.shape, strict=True)]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)


def plot_history(history: Sequence[Mapping[str, float]], ax: Axes | None = None) -> Axes:
    """Draw the course of a training: training loss (left axis) and validation Dice (right axis).

    A star marks the weights that are kept, where the running average of the validation Dice is highest.

    Args:
        history: One dict an epoch with the keys step, train_loss, val_dice, as `training.fit` returns it.
        ax: Where to draw; a new figure if None.

    Returns:
        The axes of the loss; the Dice is on a twin axis that shares its steps.
    """
    from unet_helpers.training import running_average  # here, so that pictures wait for no torch

    ax = ax or new_figure(7, 3.8).subplots()
    loss, score = STYLES["miss"].hex, "#0072b2"  # vermillion and blue of the same colour set
    step, train_loss, val_dice = (
        [entry[key] for entry in history] for key in ("step", "train_loss", "val_dice")
    )
    ax.plot(step, train_loss, color=loss, linestyle="--", marker="o", markersize=3)
    ax.set(xlabel="training step", title="loss (dashed) should fall,\nvalidation Dice (solid) should rise")
    ax.set_ylabel("training loss", color=loss)
    right = ax.twinx()
    right.plot(step, val_dice, color=score, marker="o", markersize=3)
    right.set_ylabel("validation Dice", color=score)
    right.set_ylim(0, 1)
    if scored := [dict(entry) for entry in history if math.isfinite(entry["val_dice"])]:
        best = scored[int(np.argmax(running_average(scored)))]
        label = f"kept: step {best['step']}, Dice {best['val_dice']:.3f}"
        star: dict[str, Any] = {"marker": "*", "markersize": 13, "color": score, "linestyle": "none"}
        right.plot(best["step"], best["val_dice"], **star, label=label)
        right.legend(loc="center right", fontsize=9)
    return ax
