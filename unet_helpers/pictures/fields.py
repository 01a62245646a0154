"""How far a pixel of a U-Net sees: counted layer by layer, and measured by nudging every input pixel."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor, nn

from unet_helpers.engine.figures import PAGE_INCHES, plain_figure
from unet_helpers.model import UNet, n_parameters
from unet_helpers.pictures.diagrams import receptive_field_px, unet_diagram

__all__ = ["PLACES", "design_figure", "field_after", "field_figure", "measured_field", "reach"]

PLACES = {
    "first convolution": 0,
    "level 0": 1,
    "level 1": 2,
    "level 2": 3,
    "bottleneck": 4,
    "the whole network": 5,
}


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


def measured_field(network: nn.Module, row: int, side: int = 256) -> tuple[int, int]:
    """First and last row of noise images (side, side) that one output pixel of a network depends on.

    Args:
        network: Best with random weights, whose paths do not cancel.
        row: Row, and column, of the output pixel.
        side: Height and width of the images.
    """
    noise = torch.randn(4, 1, side, side, generator=torch.Generator().manual_seed(0))
    rows = np.flatnonzero(reach(network.eval(), noise, row, row).any(axis=1))
    return int(rows[0]), int(rows[-1])


def field_after(stage: str, position: int) -> tuple[int, int]:
    """First and last pixel, along one axis, that a feature at a position has seen on the way down.

    Args:
        stage: One of `PLACES`.
        position: Row or column of the pixel in the image.
    """
    depth = PLACES[stage]
    if depth == 5:
        return receptive_field_px(4, position)
    first = last = position // 2 >> max(depth - 1, 0)
    if depth == 0:
        first, last = first - 1, last + 1
    for level in range(depth):
        first, last = (first - 2, last + 2) if level == 0 else (2 * first - 2, 2 * last + 1 + 2)
    return 2 * first, 2 * last + 1


def field_figure(
    image: NDArray[np.uint8], weights: NDArray[np.float64], stage: str, row: int, column: int
) -> Figure:
    """A slice (H, W) twice: framed, what a pixel can see after a stage; coloured, what its answer needs."""
    figure = plain_figure(PAGE_INCHES, 3.0)
    left, right = figure.subplots(1, 2)
    (top, bottom), (start, end) = field_after(stage, row), field_after(stage, column)
    for ax in (left, right):
        ax.imshow(image, cmap="gray", vmin=0, vmax=255)
        ax.plot(column, row, "+", color="#e69f00", markersize=11, markeredgewidth=2)
        ax.set(xticks=[], yticks=[], xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
    frame = Rectangle((start - 0.5, top - 0.5), end - start + 1, bottom - top + 1, fill=False)
    frame.set(edgecolor="#e69f00", linewidth=2.5)
    left.add_patch(frame)
    left.set_title(f"can see:\n{bottom - top + 1} x {end - start + 1} pixels", fontsize=10)
    strength = np.log10(weights / max(weights.max(), 1e-300) + 1e-12)  # a new network may be all 0
    right.imshow(strength, cmap="viridis", vmin=-3.5, vmax=0, alpha=np.clip((strength + 3.5) / 1.5, 0, 0.85))
    right.set_title("what the answer of the\nwhole network depends on", fontsize=10)
    return figure


def design_figure(image: NDArray[np.uint8], pixel: tuple[int, int], depth: int, channels: int) -> Figure:
    """The letter U of a network, its parameters, and the part of a slice (H, W) that an output pixel sees."""
    figure = plain_figure(PAGE_INCHES, 4.0 + 0.7 * depth)
    left, right = figure.subplots(2, 1, height_ratios=(1.5 + 0.7 * depth, 2.5))
    unet_diagram(channels, depth, image.shape, ax=left)
    with torch.device("meta"):  # shapes only, no numbers: counted at once
        n = n_parameters(UNet(base_channels=channels, depth=depth))
    left.set_title(f"{n:,} parameters", fontsize=11)
    (top, bottom), (start, end) = (receptive_field_px(depth, place) for place in pixel)
    right.imshow(image, cmap="gray", vmin=0, vmax=255)
    height, width = image.shape
    whole = top <= 0 and start <= 0 and bottom >= height - 1 and end >= width - 1
    right.set_title(
        f"sees {bottom - top + 1} x {end - start + 1} pixels" + ": the whole slice" * whole, fontsize=10
    )
    top, start, bottom, end = max(top, 0), max(start, 0), min(bottom, height - 1), min(end, width - 1)
    frame = Rectangle((start - 0.5, top - 0.5), end - start + 1, bottom - top + 1, fill=False, clip_on=False)
    frame.set(edgecolor="#e69f00", linewidth=2.5)
    right.add_patch(frame)
    right.set(xticks=[], yticks=[], xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    return figure
