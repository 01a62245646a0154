"""Figures of lesson 4: a loss by hand, what appears during a training, learning rates, batches, ablations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from unet_helpers.engine.figures import PAGE_INCHES, legend_below, plain_figure
from unet_helpers.exercises.measuring import H200_BATCHES, Measured
from unet_helpers.plotting import plot_history

__all__ = [
    "ablation_figure",
    "appearing",
    "batch_figure",
    "by_hand",
    "course",
    "heart_figure",
    "last_loss",
    "loss_curves",
]

BLUE, ORANGE, GREEN, GREY, PINK = "#0072b2", "#d55e00", "#009e73", "#555555", "#cc79a7"
COLOURS = [BLUE, ORANGE, GREEN, PINK, "#e69f00", "#56b4e9", GREY]
Greys = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def by_hand(p: NDArray[Any], target: NDArray[Any], losses: Mapping[str, float], moved: str) -> Figure:
    """Probabilities (4, 4) as tiles, the stone framed, and the losses as bars; `moved` says what changed."""
    figure = plain_figure(PAGE_INCHES, 2.5)
    tiles, bars = figure.subplots(1, 2, width_ratios=[1, 1.35])
    tiles.imshow(p, cmap="gray", vmin=0, vmax=1)
    for row, column in np.ndindex(p.shape):
        ink = "black" if p[row, column] > 0.5 else "white"
        tiles.text(column, row, f"{p[row, column]:.2f}", color=ink, ha="center", va="center", fontsize=9)
        if target[row, column]:
            box: dict[str, Any] = {"fill": False, "edgecolor": GREEN, "linewidth": 2.5}
            tiles.add_patch(_square(column, row, box))
    tiles.set(xticks=[], yticks=[])
    tiles.set_title("probabilities,\nstone in green", fontsize=9)
    names = [f"{name} {value:.3f}" for name, value in losses.items()]
    bars.barh(names, list(losses.values()), color=[BLUE, ORANGE, GREY])
    bars.set(xlim=(0, max(2.0, 1.05 * max(losses.values()))), ylim=(2.6, -0.6), xlabel="loss")
    bars.set_title(moved, fontsize=9)
    return figure


def _square(x: float, y: float, style: dict[str, Any]) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, **style)


def appearing(
    crop: Greys, mask: Mask, moments: Sequence[tuple[int, NDArray[Any]]], losses: Sequence[float], n: int
) -> Figure:
    """The loss so far, and below it the same cut-out of a slice, its probabilities at some steps, its truth.

    Args:
        crop: Uint8 (S, S).
        mask: Bool (S, S).
        moments: Steps and probabilities (S, S).
        losses: One a step.
        n: Steps of the whole training.
    """
    figure = plain_figure(PAGE_INCHES, 4.3)
    rows: Any = figure.subfigures(2, 1, height_ratios=[1, 1.6])
    curve = rows[0].subplots()
    if losses:
        curve.plot(_smooth(losses), color=ORANGE)
    curve.set(xlim=(0, n), ylim=(0, 1.6), xlabel="step", ylabel="loss")
    pictures = [("slice", crop, 255), *[(f"step {step}", p, 1) for step, p in moments], ("truth", mask, 1)]
    for ax, (title, picture, white) in zip(rows[1].subplots(2, 5).flat, pictures, strict=False):
        ax.imshow(picture, cmap="gray", vmin=0, vmax=white)
        ax.set_title(title, fontsize=9)
    for ax in rows[1].axes:
        ax.set_axis_off()
    return figure


def _smooth(values: Sequence[float], width: int = 9) -> NDArray[np.float64]:
    """Running mean over the last values."""
    sums = np.cumsum(np.concatenate([np.zeros(1), np.asarray(values, float)]))
    ends = np.arange(1, len(sums))
    starts = np.maximum(0, ends - width)
    mean: NDArray[np.float64] = (sums[ends] - sums[starts]) / (ends - starts)
    return mean


def heart_figure(images: Sequence[Greys], masks: Sequence[Mask], answers: Sequence[NDArray[Any]]) -> Figure:
    """Patches with their true outline, and below them what the network learnt by heart."""
    figure = plain_figure(PAGE_INCHES, 3.0)
    for column, (image, mask, p) in enumerate(zip(images, masks, answers, strict=True)):
        top, bottom = (figure.add_subplot(2, len(images), k * len(images) + column + 1) for k in (0, 1))
        top.imshow(image, cmap="gray", vmin=0, vmax=255)
        top.contour(mask, [0.5], colors=GREEN)
        bottom.imshow(p, cmap="gray", vmin=0, vmax=1)
        top.set_title("patch, truth" if column == 0 else "", fontsize=9)
        bottom.set_title("probability" if column == 0 else "", fontsize=9)
        top.set_axis_off()
        bottom.set_axis_off()
    return figure


def loss_curves(
    curves: Mapping[str, Sequence[float]],
    steps: Sequence[float] | None = None,
    highest: float = 2.0,
    smooth: bool = True,
) -> Figure:
    """One line a training, each named where it ends; a line that leaves the picture does so at its top."""
    figure = plain_figure(PAGE_INCHES, 3.0)
    ax = figure.subplots()
    styles = ["-", "--", "-.", ":"]
    for k, (name, losses) in enumerate(curves.items()):
        values = _smooth(losses) if smooth else np.asarray(losses, float)
        values = np.nan_to_num(values, nan=10 * highest, posinf=10 * highest)
        x = np.arange(1, len(values) + 1) if steps is None else np.asarray(steps)
        ax.plot(x, values, color=COLOURS[k % len(COLOURS)], linestyle=styles[k % 4], label=name)
    ax.set(xlabel="training step", ylabel="loss", ylim=(0, highest))
    ax.legend(fontsize=9, loc="upper right")
    return figure


def last_loss(losses: Sequence[float]) -> str:
    """Where a curve ends, in words."""
    return f"{_smooth(losses)[-1]:.2f}" if np.isfinite(losses).all() else "nowhere (not a number)"


def batch_figure(own: Mapping[int, Measured], name: str) -> Figure:
    """Patches a second and memory by the size of the batch: this machine beside an H200."""
    figure = plain_figure(PAGE_INCHES, 3.4)
    speed, memory = figure.subplots(1, 2)
    batches = list(H200_BATCHES)
    plain, recorded, mib = zip(*H200_BATCHES.values(), strict=True)
    speed.plot(batches, recorded, color=GREY, linestyle=":", marker=".", label="H200, recorded")
    speed.plot(batches, plain, color=BLUE, linestyle="--", marker=".", label="H200, plain")
    speed.plot(list(own), [one.patches_per_s for one in own.values()], color=ORANGE, marker="o", label=name)
    speed.set(xscale="log", yscale="log", xlabel="patches a step", title="patches a second")
    memory.plot(batches, mib, color=BLUE, linestyle="--", marker=".", label="H200, plain")
    counted = {batch: one.mib for batch, one in own.items() if one.mib is not None}
    if counted:
        memory.plot(list(counted), list(counted.values()), color=ORANGE, marker="o", label=name)
    memory.set(xlabel="patches a step", title="memory, MiB", ylim=(0, None))
    speed.set_xticks([1, 4, 16, 64], labels=["1", "4", "16", "64"])
    speed.legend()
    legend_below(figure, 3)
    return figure


def course(history: Sequence[Mapping[str, float]], strip: Path, n_steps: int | None) -> Figure:
    """The curves of a run, and below them the strip of its snapshots, if there is one yet."""
    picture = np.asarray(Image.open(strip)) if strip.is_file() else None
    height = 0.0 if picture is None else PAGE_INCHES * picture.shape[0] / picture.shape[1]
    figure = plain_figure(PAGE_INCHES, 3.2 + height)
    panels: Any = figure.subfigures(2 if height else 1, 1, height_ratios=[3.2, height] if height else None)
    top = (panels[0] if height else panels).subplots()
    if history:
        plot_history(history, ax=top)
    else:
        top.set(xlabel="training step", title="the first point comes with the first validation")
    if n_steps:
        top.set_xlim(0, 1.02 * n_steps)
    if picture is not None:
        below: Axes = panels[1].add_axes((0, 0, 1, 1))
        below.imshow(picture, cmap="gray", vmin=0, vmax=255, aspect="equal")
        below.set_axis_off()
    return figure


def ablation_figure(rows: Mapping[str, Sequence[float]]) -> Figure:
    """Validation Dice by what was left out: every seed a dot, their mean a line."""
    figure = plain_figure(PAGE_INCHES, 2.9)
    ax = figure.subplots()
    for y, scores in enumerate(rows.values()):
        colour = GREY if y == 0 else BLUE
        ax.plot(scores, [y] * len(scores), "o", color=colour, alpha=0.7)
        ax.plot([fmean(scores)] * 2, [y - 0.3, y + 0.3], color=colour, linewidth=2)
    ax.axvline(fmean(next(iter(rows.values()))), color=GREY, linestyle=":", linewidth=1)
    ax.set_yticks(
        range(len(rows)), labels=[f"without {name}" if k else "all of it" for k, name in enumerate(rows)]
    )
    ax.set(xlabel="validation Dice after 640 steps, a dot a seed", ylim=(len(rows) - 0.4, -0.6))
    ax.locator_params(axis="x", nbins=5)
    return figure
