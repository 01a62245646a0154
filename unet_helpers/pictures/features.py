"""What convolutions, pooling and a whole U-Net make of a CT slice, as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from unet_helpers.engine.figures import plain_figure
from unet_helpers.metrics import dice, pooled_dice
from unet_helpers.pictures.tiles import convolve, draw_tiles
from unet_helpers.plotting import overlay

__all__ = [
    "feature_maps",
    "filtered",
    "lens_around",
    "pooled",
    "reach",
    "rectified",
    "skip_curves",
    "skip_patches",
    "telling_channels",
]

WITH, WITHOUT = "#0072b2", "#d55e00"


def lens_around(mask: NDArray[np.bool_], side: int) -> tuple[slice, slice]:
    """Rows and columns of a square of `side` pixels around the middle of a mask (H, W), inside of the image."""
    rows, columns = np.nonzero(mask)
    corner = (
        min(max(round(float(places.mean())) - side // 2, 0), size - side)
        for places, size in zip((rows, columns), mask.shape, strict=True)
    )
    top, left = corner
    return slice(top, top + side), slice(left, left + side)


def _plain(ax: Axes, values: NDArray[np.generic], title: str, limit: float | None = None) -> None:
    """Greys from 0 to 255, or with a limit from -limit (orange) over 0 (white) to limit (blue)."""
    if limit is None:
        ax.imshow(values, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    else:
        ax.imshow(values, cmap="PuOr", vmin=-limit, vmax=limit, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=10)


def filtered(image: NDArray[np.uint8], kernels: Mapping[str, ArrayLike]) -> Figure:
    """A slice (H, W), and below each kernel (3, 3) what it makes of the slice; negative is orange, positive blue."""
    figure = plain_figure(2.9 * (1 + len(kernels)), 4.2)
    axes = figure.subplots(2, 1 + len(kernels), height_ratios=(1, 2.6))
    axes[0, 0].set_axis_off()
    _plain(axes[1, 0], image, "the slice")
    for column, (name, kernel) in enumerate(kernels.items(), start=1):
        draw_tiles(axes[0, column], kernel, name)
        output = convolve(image, kernel)
        if np.sum(kernel) > 0:  # a mean: grey values again
            _plain(axes[1, column], output, "what it answers")
        else:
            _plain(axes[1, column], output, "what it answers", 0.6 * float(np.abs(output).max()))
    return figure


def rectified(image: NDArray[np.uint8], kernel: ArrayLike) -> Figure:
    """The answer of a kernel (3, 3) to a slice (H, W), before and after ReLU."""
    output = convolve(image, kernel)
    limit = 0.6 * float(np.abs(output).max())
    figure = plain_figure(8, 4)
    axes = figure.subplots(1, 2)
    _plain(axes[0], output, "before: orange is negative, blue positive", limit)
    _plain(axes[1], np.maximum(output, 0), "after ReLU: only the blue is left", limit)
    return figure


def pooled(image: NDArray[np.uint8], mask: NDArray[np.bool_], side: int = 64) -> Figure:
    """The surroundings of a stone, max-pooled zero to three times; the titles say how wide the stone looks."""
    rows, columns = lens_around(mask, side)
    patch = torch.from_numpy(image[rows, columns].astype(np.float32))[None, None]
    stone = torch.from_numpy(mask[rows, columns].astype(np.float32))[None, None]
    figure = plain_figure(11, 3.1)
    for ax in figure.subplots(1, 4):
        n = patch.shape[-1]
        width = int((stone[0, 0] > 0).any(0).sum())
        _plain(ax, patch[0, 0].numpy(), f"{n} x {n} pixels\nstone: {width} wide, {width / n:.0%} of the width")
        patch, stone = max_pool2d(patch, 2), max_pool2d(stone, 2)
    return figure


# ------------------------------------------------------------------------------- inside of a network
def telling_channels(features: Tensor, mask: NDArray[np.bool_], n: int) -> list[int]:
    """The channels of features (1, C, h, w) that answer most to the stone of a mask (H, W).

    A channel tells much if its largest value at the stone lies far above its usual values, counted in its own
    standard deviations over the slice.
    """
    factor = mask.shape[0] // features.shape[-2]
    place = max_pool2d(torch.from_numpy(mask.astype(np.float32))[None, None], factor)[0, 0] > 0
    maps = features[0]
    excess = (maps[:, place].amax(1) - maps.mean((1, 2))) / (maps.std((1, 2)) + 1e-6)
    return [int(i) for i in excess.argsort(descending=True)[:n]]


def feature_maps(levels: Sequence[Tensor], mask: NDArray[np.bool_], n: int = 5) -> Figure:
    """Feature maps of every level, (1, C, h, w) each: a row a level, the `n` channels that tell most of the stone."""
    figure = plain_figure(1.95 * n + 0.6, 2.1 * len(levels))
    axes = figure.subplots(len(levels), n, squeeze=False)
    for row, features in zip(axes, levels, strict=True):
        for ax, channel in zip(row, telling_channels(features, mask, n), strict=False):
            _show_map(ax, features, channel, mask)
        row[0].set_ylabel(" x ".join(str(side) for side in features.shape[1:]), fontsize=10)
    return figure


def _show_map(ax: Axes, features: Tensor, channel: int, mask: NDArray[np.bool_]) -> None:
    """One feature map, with a circle around the place of the stone."""
    values = features[0, channel].detach().numpy()
    ax.imshow(values, cmap="magma", interpolation="nearest")
    factor = mask.shape[0] / values.shape[0]
    row, column = ((places.mean() + 0.5) / factor - 0.5 for places in np.nonzero(mask))
    ax.plot(column, row, "o", markersize=16, markerfacecolor="none", markeredgecolor="#56b4e9", markeredgewidth=1.6)
    ax.set(xticks=[], yticks=[], xlim=(-0.5, values.shape[1] - 0.5), ylim=(values.shape[0] - 0.5, -0.5))
    ax.set_title(f"channel {channel}", fontsize=9)


def reach(network: nn.Module, image: Tensor, row: int, column: int) -> NDArray[np.float64]:
    """How strongly one output pixel of a network depends on every input pixel.

    Args:
        network: In evaluation mode.
        image: Tensor (B, 1, H, W); the answers are summed over the batch.
        row: Of the output pixel.
        column: Of the output pixel.

    Returns:
        Array (H, W): how much the output moves when the input pixel is nudged; 0 where it cannot be seen.
    """
    nudged = image.detach().double().requires_grad_()
    with torch.enable_grad():
        network.double()(nudged)[:, 0, row, column].sum().backward()
    network.float()
    network.zero_grad()
    assert nudged.grad is not None
    return np.asarray(nudged.grad.abs().sum((0, 1)))


# ------------------------------------------------------------------------ with and without the copies
def skip_patches(
    patches: NDArray[np.uint8], truth: NDArray[np.bool_], answers: Mapping[str, NDArray[np.bool_]]
) -> Figure:
    """Patches (N, P, P), a column each, with a row for the answers (N, P, P) of each network and every Dice."""
    figure = plain_figure(1.95 * len(patches), 2.35 * len(answers) + 0.2)
    axes = figure.subplots(len(answers), len(patches), squeeze=False)
    for row, (name, masks) in zip(axes, answers.items(), strict=True):
        for ax, patch, target, mask in zip(row, patches, truth, masks, strict=True):
            overlay(patch, prediction=mask, target=target, ax=ax, legend=False)
            ax.set_title(f"Dice {dice(mask, target):.2f}", fontsize=10)
        row[0].text(
            -0.06, 0.5, f"{name}\nall together: {pooled_dice(list(masks), list(truth)):.2f}", rotation=90,
            ha="right", va="center", fontsize=10, transform=row[0].transAxes,
        )  # fmt: skip
    return figure


def skip_curves(curves: Mapping[str, Mapping[str, Sequence[float]]], marked: int) -> Figure:
    """Dice after every training step: for each network the Dice of all patches, and of the small stones alone.

    Args:
        curves: By network, then by what is scored: "all" and "small".
        marked: Step at which the pictures were taken.
    """
    figure = plain_figure(8, 3.2)
    ax = figure.subplots()
    for (name, scores), colour in zip(curves.items(), (WITH, WITHOUT), strict=True):
        steps = range(1, len(scores["all"]) + 1)
        ax.plot(steps, scores["all"], color=colour, linestyle="--", linewidth=1.3, label=f"{name}: all six together")
        ax.plot(steps, scores["small"], color=colour, linewidth=2.4, label=f"{name}: the five small stones")
    ax.axvline(marked, color="#777777", linewidth=1, linestyle=":")
    ax.text(marked, 0.03, f" step {marked}: the picture above", fontsize=9, color="#444444")
    ax.set(xlabel="training step", ylabel="Dice", ylim=(-0.02, 1.04))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    return figure
