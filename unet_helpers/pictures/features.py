"""What convolutions, pooling and a whole U-Net make of a CT slice, as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d

from unet_helpers.engine.figures import PAGE_INCHES, plain_figure, set_title
from unet_helpers.metrics import dice, pooled_dice
from unet_helpers.plotting import overlay

__all__ = [
    "feature_maps",
    "lens_around",
    "plain",
    "pooled",
    "ring",
    "skip_curves",
    "skip_patches",
    "telling_channels",
]

WITH, WITHOUT = "#0072b2", "#d55e00"


def lens_around(mask: NDArray[np.bool_], side: int) -> tuple[slice, slice]:
    """Rows and columns of a square of `side` pixels around the middle of a mask (H, W), inside the image."""
    rows, columns = np.nonzero(mask)
    corner = (
        min(max(round(float(places.mean())) - side // 2, 0), size - side)
        for places, size in zip((rows, columns), mask.shape, strict=True)
    )
    top, left = corner
    return slice(top, top + side), slice(left, left + side)


def plain(ax: Axes, values: NDArray[np.generic], title: str, limit: float | None = None) -> None:
    """Greys from 0 to 255, or with a limit from -limit (orange) over 0 (white) to limit (blue)."""
    if limit is None:
        ax.imshow(values, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    else:
        ax.imshow(values, cmap="PuOr", vmin=-limit, vmax=limit, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    set_title(ax, title, fontsize=10)


def ring(ax: Axes, mask: NDArray[np.bool_], colour: str, factor: float = 1.0) -> None:
    """A circle around the middle of a mask, on a picture whose pixels are `factor` times as wide."""
    row, column = ((float(places.mean()) + 0.5) / factor - 0.5 for places in np.nonzero(mask))
    ax.plot(
        column, row, "o", markersize=16, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=1.8
    )


def pooled(image: NDArray[np.uint8], mask: NDArray[np.bool_], side: int = 64) -> Figure:
    """The surroundings of a stone, max-pooled zero to three times; the titles say how wide the stone is."""
    rows, columns = lens_around(mask, side)
    patch = torch.from_numpy(image[rows, columns].astype(np.float32))[None, None]
    stone = torch.from_numpy(mask[rows, columns].astype(np.float32))[None, None]
    figure = plain_figure(PAGE_INCHES, PAGE_INCHES + 0.8)
    for ax in figure.subplots(2, 2).flat:
        n = patch.shape[-1]
        width = int((stone[0, 0] > 0).any(0).sum())
        plain(ax, patch[0, 0].numpy(), f"{n} x {n} pixels\nstone: {width} wide, {width / n:.0%} of the width")
        patch, stone = max_pool2d(patch, 2), max_pool2d(stone, 2)
    return figure


# ------------------------------------------------------------------------------- inside of a network
def telling_channels(features: Tensor, mask: NDArray[np.bool_], n: int) -> list[int]:
    """The channels of features (1, C, h, w) that answer most to the stone of a mask (H, W), no two alike.

    A channel tells much if its largest value at the stone lies far above its usual values, counted in its own
    standard deviations over the slice. One that correlates above 0.9 with a better one is passed over.
    """
    factor = mask.shape[0] // features.shape[-2]
    place = max_pool2d(torch.from_numpy(mask.astype(np.float32))[None, None], factor)[0, 0] > 0
    maps = features[0].detach()
    excess = (maps[:, place].amax(1) - maps.mean((1, 2))) / (maps.std((1, 2)) + 1e-6)
    alike = torch.nan_to_num(torch.corrcoef(maps.flatten(1))).abs() > 0.9
    ranked = [int(i) for i in excess.argsort(descending=True)]
    chosen: list[int] = []
    for channel in ranked:
        if not any(alike[channel, other] for other in chosen):
            chosen.append(channel)
    return (chosen + [channel for channel in ranked if channel not in chosen])[:n]


def feature_maps(levels: Sequence[Tensor], mask: NDArray[np.bool_], n: int = 4) -> Figure:
    """Feature maps of every level, (1, C, h, w) each: a row a level, the `n` most telling channels."""
    figure = plain_figure(PAGE_INCHES, (PAGE_INCHES / n + 0.15) * len(levels))
    axes = figure.subplots(len(levels), n, squeeze=False)
    for row, features in zip(axes, levels, strict=True):
        for ax, channel in zip(row, telling_channels(features, mask, n), strict=False):
            _show_map(ax, features, channel, mask)
        row[0].set_ylabel(" x ".join(str(side) for side in features.shape[1:]), fontsize=9)
    return figure


def _show_map(ax: Axes, features: Tensor, channel: int, mask: NDArray[np.bool_]) -> None:
    """One feature map, with a ring around the place of the stone."""
    values = features[0, channel].detach().numpy()
    ax.imshow(values, cmap="magma", interpolation="nearest")
    ring(ax, mask, "#56b4e9", mask.shape[0] / values.shape[0])
    ax.set(xticks=[], yticks=[], xlim=(-0.5, values.shape[1] - 0.5), ylim=(values.shape[0] - 0.5, -0.5))
    ax.set_title(f"channel {channel}", fontsize=9)


# ------------------------------------------------------------------------ with and without the copies
def skip_patches(
    patches: NDArray[np.uint8], truth: NDArray[np.bool_], answers: Mapping[str, NDArray[np.bool_]]
) -> Figure:
    """Patches (N, P, P), a column each, with a row for the answers (N, P, P) of each network."""
    figure = plain_figure(PAGE_INCHES, 1.35 * len(answers))
    axes = figure.subplots(len(answers), len(patches), squeeze=False)
    for row, (name, masks) in zip(axes, answers.items(), strict=True):
        for ax, patch, target, mask in zip(row, patches, truth, masks, strict=True):
            overlay(patch, prediction=mask, target=target, ax=ax, legend=False)
            ax.set_title(f"Dice {dice(mask, target):.2f}", fontsize=9)
        row[0].text(
            -0.06, 0.5, f"{name}\ntogether: {pooled_dice(list(masks), list(truth)):.2f}", rotation=90,
            ha="right", va="center", fontsize=9, transform=row[0].transAxes,
        )  # fmt: skip
    return figure


def skip_curves(curves: Mapping[str, Mapping[str, Sequence[float]]], marked: int) -> Figure:
    """Dice after every training step, for each network: of all patches, and of the small stones alone.

    Args:
        curves: By network, then by what is scored: "all" and "small".
        marked: Step at which the pictures were taken.
    """
    figure = plain_figure(PAGE_INCHES, 3.9)
    ax = figure.subplots()
    for (name, scores), colour in zip(curves.items(), (WITH, WITHOUT), strict=True):
        steps = range(1, len(scores["all"]) + 1)
        ax.plot(
            steps,
            scores["all"],
            color=colour,
            linestyle="--",
            linewidth=1.3,
            label=f"{name}: all six together",
        )
        ax.plot(steps, scores["small"], color=colour, linewidth=2.4, label=f"{name}: the five small stones")
    ax.axvline(marked, color="#777777", linewidth=1, linestyle=":")
    ax.text(marked, 0.03, f" step {marked}: the picture above", fontsize=9, color="#444444")
    ax.set(xlabel="training step", ylabel="Dice", ylim=(-0.02, 1.04))
    figure.legend(loc="outside lower center", frameon=False, fontsize=9)
    return figure
