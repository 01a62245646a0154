"""Drawings of a U-Net: its blocks as a letter U, every one with its shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Patch, Rectangle

from unet_helpers.engine.figures import PAGE_INCHES, plain_figure

__all__ = ["Stage", "receptive_field_px", "unet_diagram", "unet_stages"]

# Okabe-Ito colours, as in `plotting`
COLOURS = {
    "encoder": "#56b4e9",
    "bottleneck": "#e69f00",
    "decoder": "#3fb896",
    "copy": "#cc79a7",
    "step": "#444444",
}


@dataclass(frozen=True)
class Stage:
    """One block of a U-Net.

    Attributes:
        name: "encoder 0", "bottleneck", "decoder 0" ...
        level: 0 at full resolution, one more after every pooling.
        in_channels: Channels that enter; in the decoder those of the skip connection and of the layer below.
        out_channels: Channels that leave.
        height: Rows of its feature maps.
        width: Columns of its feature maps.
    """

    name: str
    level: int
    in_channels: int
    out_channels: int
    height: int
    width: int


def unet_stages(
    base_channels: int = 16,
    depth: int = 4,
    size: tuple[int, int] = (256, 256),
    in_channels: int = 1,
    unshuffle: int = 2,
) -> list[Stage]:
    """The blocks of `model.UNet` in the order in which an image passes them.

    Args:
        base_channels: Channels at the first resolution.
        depth: Number of resolutions, at least 2.
        size: Height and width of the image in pixels; rounded up to what the network pads it to.
        in_channels: Channels of the image.
        unshuffle: Side of the blocks of pixels that enter as channels; 1 for none.

    Returns:
        `2 * depth - 1` stages: encoder, bottleneck, decoder.

    Raises:
        ValueError: If depth is below 2.
    """
    if depth < 2:
        raise ValueError(f"depth must be at least 2, got {depth}.")
    multiple = unshuffle * 2 ** (depth - 1)
    height, width = (math.ceil(side / multiple) * multiple // unshuffle for side in size)
    stages, entering = [], in_channels * unshuffle**2
    for level in range(depth):
        name = f"encoder {level}" if level < depth - 1 else "bottleneck"
        leaving = base_channels * 2**level
        stages.append(Stage(name, level, entering, leaving, height >> level, width >> level))
        entering = leaving
    for level in range(depth - 2, -1, -1):
        leaving = base_channels * 2**level
        stages.append(Stage(f"decoder {level}", level, 2 * leaving, leaving, height >> level, width >> level))
    return stages


def receptive_field_px(depth: int = 4, position: int = 0, unshuffle: int = 2) -> tuple[int, int]:
    """First and last input pixel, along one axis, that one output pixel of `model.UNet` can see.

    Walks backwards from the output: every pair of 3x3 convolutions adds 2 pixels on either side, a transposed
    convolution or a pooling maps between pixels and blocks of 2, and folding too.

    Args:
        depth: Number of resolutions, at least 1.
        position: Row or column of the output pixel.
        unshuffle: Side of the blocks of pixels that enter as channels; 1 for none.

    Returns:
        First and last row or column; they lie outside the image where the field reaches over its edge.

    Raises:
        ValueError: If depth is below 1.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}.")
    first = last = position // unshuffle
    for _ in range(depth - 1):  # up the decoder, backwards
        first, last = (first - 2) // 2, (last + 2) // 2
    first, last = first - 2, last + 2  # bottleneck
    for _ in range(depth - 1):  # down the encoder, backwards
        first, last = 2 * first - 2, 2 * last + 1 + 2
    return unshuffle * first, unshuffle * last + unshuffle - 1


def unet_diagram(
    base_channels: int = 16,
    depth: int = 4,
    size: tuple[int, int] = (256, 256),
    in_channels: int = 1,
    out_channels: int = 1,
    unshuffle: int = 2,
    ax: Axes | None = None,
) -> Axes:
    """Draw `model.UNet` with the shape (channels, height, width) that leaves every stage.

    Blocks are taller where the feature maps are larger and wider where they have more channels, both on a
    logarithmic scale.

    Args:
        base_channels: Channels at the first resolution.
        depth: Number of resolutions, at least 2.
        size: Height and width of the image in pixels.
        in_channels: Channels of the image.
        out_channels: Numbers that the network gives for a pixel.
        unshuffle: Side of the blocks of pixels that enter as channels; 1 for none.
        ax: Where to draw and what is returned; a new figure if None.

    Raises:
        ValueError: If depth is below 2.
    """
    stages = unet_stages(base_channels, depth, size, in_channels, unshuffle)
    if ax is None:
        ax = plain_figure(PAGE_INCHES, 1.4 + 0.75 * depth).subplots()
    boxes = [_draw_stage(ax, stage, i, depth) for i, stage in enumerate(stages)]
    for i in range(depth - 1):
        _draw_step(ax, boxes[i], boxes[i + 1], down=True)
        _draw_step(ax, boxes[-i - 2], boxes[-i - 1], down=False)
        _draw_copy(ax, boxes[i], boxes[-1 - i], stages[i].out_channels)
    shapes = (f"{in_channels} x {size[0]} x {size[1]}", f"{out_channels} x {size[0]} x {size[1]}")
    _draw_ends(ax, boxes, shapes, unshuffle, length=0.21 * depth)
    _add_legend(ax, depth)
    return ax


def _draw_stage(ax: Axes, stage: Stage, index: int, depth: int) -> Rectangle:
    """Draw one block, centred on its place in the U, with its shape above."""
    width = 0.07 + 0.055 * math.log2(stage.out_channels + 1)
    height = 0.12 + 0.48 * 0.7**stage.level
    kind = stage.name.split()[0]
    corner = (index - width / 2, -stage.level - height / 2)
    box = Rectangle(
        corner, width, height, facecolor=COLOURS[kind], edgecolor="#222222", linewidth=0.8, zorder=3
    )
    ax.add_patch(box)
    if kind == "decoder":  # half of what enters was copied from the encoder
        strip = Rectangle(
            (corner[0] - 0.07, corner[1]), 0.07, height, facecolor=COLOURS["copy"], hatch="////"
        )
        strip.set(edgecolor="#222222", linewidth=0.8, zorder=3)
        ax.add_patch(strip)
    shape = f"{stage.out_channels} x {stage.height} x {stage.width}"
    ax.text(index, corner[1] + height + 0.06, shape, ha="center", va="bottom", fontsize=9)
    return box


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], **style: Any) -> None:
    look: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 12, "linewidth": 1.6, "zorder": 2}
    ax.add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, **look | style))


def _draw_step(ax: Axes, here: Rectangle, there: Rectangle, down: bool) -> None:
    """Arrow from one level to the next: down and right, or right and up."""
    (x0, y0), (x1, y1) = here.get_center(), there.get_center()
    if down:
        corner, start, end = (x0, y1), (x0, here.get_y()), (there.get_x(), y1)
    else:
        corner, start, end = (x1, y0), (here.get_x() + here.get_width(), y0), (x1, there.get_y())
    ax.plot([start[0], corner[0]], [start[1], corner[1]], color=COLOURS["step"], linewidth=1.6, zorder=2)
    _arrow(ax, corner, end, color=COLOURS["step"], linestyle="-")


def _draw_copy(ax: Axes, here: Rectangle, there: Rectangle, n_channels: int) -> None:
    """Dashed arrow of a skip connection, across the U."""
    start, end = here.get_x() + here.get_width(), there.get_x() - 0.07
    y = here.get_center()[1]
    _arrow(ax, (start, y), (end, y), color=COLOURS["copy"], linestyle="--")
    ax.text(
        (start + end) / 2,
        y - 0.05,  # below the arrow: above it stand the shapes of both blocks
        f"copy of {n_channels}",
        ha="center",
        va="top",
        fontsize=9,
        color="#8a3a67",
    )


def _draw_ends(
    ax: Axes, boxes: list[Rectangle], shapes: tuple[str, str], unshuffle: int, length: float
) -> None:
    """The image that enters on the left and the numbers that leave on the right, by arrows of some length."""
    left, right = boxes[0].get_x(), boxes[-1].get_x() + boxes[-1].get_width()
    _arrow(ax, (left - length, 0), (left, 0), color=COLOURS["step"])
    _arrow(ax, (right, 0), (right + length, 0), color=COLOURS["step"])
    for x, side, name, shape in (
        (left - 0.05, "right", "image", shapes[0]),
        (right + 0.05, "left", "output", shapes[1]),
    ):
        ax.text(x, -0.06, f"{name}\n{shape}", ha=side, va="top", fontsize=9)
    if unshuffle > 1:
        ax.text(left - length / 2, 0.04, "fold", ha="center", va="bottom", fontsize=9)
        ax.text(right + length / 2, 0.04, "unfold", ha="center", va="bottom", fontsize=9)


def _add_legend(ax: Axes, depth: int) -> None:
    handles: list[Artist] = [
        Patch(facecolor=COLOURS[kind], edgecolor="#222222", label=kind)
        for kind in ("encoder", "bottleneck", "decoder")
    ]
    handles += [
        Line2D([], [], linestyle="none", label="each block: 2 x (3x3 convolution, BatchNorm, ReLU)"),
        Line2D([], [], color=COLOURS["step"], label="down: 2x2 max pooling; up: 2x2 up-convolution"),
        Line2D(
            [],
            [],
            color=COLOURS["copy"],
            linestyle="--",
            label="skip connection: copied, then concatenated (hatched)",
        ),
    ]
    ax.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=1, frameon=False, fontsize=9
    )
    margin = 0.3 + 0.49 * (depth - 1)  # room for the words at both ends
    ax.set(xlim=(-margin, 2 * (depth - 1) + margin), ylim=(-depth + 0.55, 0.55))
    ax.set_axis_off()
