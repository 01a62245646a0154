"""Nine numbers against a CT slice: what a kernel answers, and the best that a computer finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from unet_helpers.engine.figures import PAGE_INCHES, legend_below, plain_figure
from unet_helpers.pictures.features import lens_around, plain, ring
from unet_helpers.pictures.styles import STYLES
from unet_helpers.pictures.tiles import draw_tiles, slide
from unet_helpers.plotting import overlay

__all__ = ["KERNELS", "climb", "detector_figure", "filtered", "rectified", "strongest"]

KERNELS = {
    "edge": ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
    "blur": ((1 / 9, 1 / 9, 1 / 9),) * 3,
    "spot": ((-1, -1, -1), (-1, 8, -1), (-1, -1, -1)),
}


def filtered(image: NDArray[np.uint8], mask: NDArray[np.bool_], kernels: Mapping[str, ArrayLike]) -> Figure:
    """The surroundings of a stone in a slice (H, W), and below each kernel (3, 3) its answer.

    Negative answers are orange, positive ones violet, and a ring marks the stone.
    """
    lens = lens_around(mask, min(128, *image.shape))
    figure = plain_figure(PAGE_INCHES, 3.0)
    axes = figure.subplots(2, 1 + len(kernels), height_ratios=(1, 1.4))
    axes[0, 0].set_axis_off()
    plain(axes[1, 0], image[lens], "the slice")
    for ax, (name, kernel) in zip(axes[0, 1:], kernels.items(), strict=True):
        draw_tiles(ax, kernel, name, points=9)
    for ax, kernel in zip(axes[1, 1:], kernels.values(), strict=True):
        answer = slide(np.pad(image, 1, mode="edge"), kernel)[lens]
        limit = None if np.sum(kernel) > 0 else 0.45 * float(np.abs(answer).max())  # a mean: greys again
        plain(ax, answer, "its answer", limit)
    for ax in axes[1]:
        ring(ax, mask[lens], "#d55e00")
    return figure


def rectified(image: NDArray[np.uint8], mask: NDArray[np.bool_], kernel: ArrayLike) -> Figure:
    """The answer of a kernel (3, 3) to the surroundings of a stone in a slice, before and after ReLU."""
    lens = lens_around(mask, min(128, *image.shape))
    answer = slide(np.pad(image, 1, mode="edge"), kernel)[lens]
    limit = 0.45 * float(np.abs(answer).max())
    figure = plain_figure(PAGE_INCHES, 3.0)
    for ax, values, title in zip(
        figure.subplots(1, 2),
        (answer, np.maximum(answer, 0)),
        ("before: orange is\nnegative, violet positive", "after ReLU: only\nthe violet is left"),
        strict=True,
    ):
        plain(ax, values, title, limit)
        ring(ax, mask[lens], "#d55e00")
    return figure


def strongest(image: NDArray[np.uint8], kernel: NDArray[np.float64], n_marked: int) -> NDArray[np.bool_]:
    """Bool (H, W): the pixels with the `n_marked` largest answers to a kernel; none if all are equal."""
    answers = slide(np.pad(image, 1, mode="edge"), kernel)
    marked = np.zeros(answers.size, bool)
    if np.ptp(answers) > 0:
        marked[np.argsort(-answers, axis=None, kind="stable")[:n_marked]] = True
    return marked.reshape(answers.shape)


def detector_figure(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], marked: NDArray[np.bool_], tried: Sequence[float]
) -> Figure:
    """The slice with its marked pixels, the surroundings of the stone, and the Dice of all that was tried."""
    figure = plain_figure(PAGE_INCHES, 5.0)
    panels = figure.subplot_mosaic([["whole", "near"], ["curve", "curve"]], height_ratios=(1.5, 1))
    whole, near, curve = (panels[name] for name in ("whole", "near", "curve"))
    plain(whole, image, f"{int(marked.sum())} pixels marked:\nDice {tried[-1]:.3f}")
    rows, columns = np.nonzero(marked)
    whole.plot(columns, rows, "s", color=STYLES["false alarm"].hex, markersize=2.5)
    ring(whole, mask, STYLES["miss"].hex)
    lens = lens_around(mask, 48)
    n_hit, n_stone = int((marked & mask).sum()), int(mask.sum())
    words = f"around the stone:\n{n_hit} of its {n_stone} pixels"
    overlay(image[lens], prediction=marked[lens], target=mask[lens], ax=near, title=words)
    near.title.set_fontsize(10)
    curve.plot(range(1, len(tried) + 1), tried, "o-", color="#0072b2", markersize=3)
    curve.axhline(max(tried), color="#d55e00", linestyle="--", linewidth=1)
    curve.set(xlabel="positions tried", ylabel="Dice", xlim=(0.5, max(10, len(tried)) + 0.5), ylim=(-0.02, 1))
    curve.locator_params(axis="x", integer=True)
    curve.set_title(f"best so far: {max(tried):.3f}", fontsize=10)
    legend_below(figure)
    return figure


def climb(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], n_starts: int = 6, n_steps: int = 300
) -> tuple[NDArray[np.int_], float, float]:
    """Let the computer move the nine sliders: random small moves from several starts, kept if the Dice rises.

    For every kernel the best number of pixels to mark is taken.

    Args:
        image: Slice (H, W).
        mask: Its stones, bool (H, W).
        n_starts: Starts; the first is the spot kernel.
        n_steps: Moves from each.

    Returns:
        The best kernel (3, 3) of whole numbers from -9 to 9, its Dice, and the answer from which on it marks.
    """
    padded = np.pad(image, 1, mode="edge").astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).reshape(-1, 9)
    stone, random = np.flatnonzero(mask), np.random.default_rng(0)
    best, best_dice, best_level = np.zeros(9, int), -1.0, 0.0
    for start in range(n_starts):
        weights = np.ravel(KERNELS["spot"]) if start == 0 else random.integers(-9, 10, 9)
        reached, reached_level = -1.0, 0.0
        for _ in range(n_steps):
            moved = weights.astype(int).copy()
            places = random.integers(0, 9, random.integers(1, 4))
            moved[places] = np.clip(moved[places] + random.integers(-3, 4, len(places)), -9, 9)
            score, level = _best_dice(windows @ moved.astype(np.float32), stone)
            if score >= reached:
                weights, reached, reached_level = moved, score, level
        if reached > best_dice:
            best, best_dice, best_level = weights, reached, reached_level
    return best.reshape(3, 3), best_dice, best_level


def _best_dice(answers: NDArray[np.float32], stone: NDArray[np.intp]) -> tuple[float, float]:
    """Dice of the pixels from the best threshold up, and the threshold, which is a stone pixel's answer."""
    levels = np.sort(answers[stone])[::-1]
    n_marked = [np.count_nonzero(answers >= level) for level in levels]
    return max(
        (2 * (k + 1) / (n + len(stone)), float(level))
        for k, (n, level) in enumerate(zip(n_marked, levels, strict=True))
    )
