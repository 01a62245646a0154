"""A CT slice under a window, and below it which part of its numbers that window spreads over the greys."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from unet_helpers.data import window
from unet_helpers.pictures.sheets import INK, PAPER, font

__all__ = ["HU_RANGE", "window_picture"]

HU_RANGE = (-1100, 1500)
STRIP_PX, LABEL_PX, RAMP_PX = 74, 18, 12
TICKS = (-1000, -500, 0, 500, 1000, 1500)
BAND, BARS = (200, 225, 245), (90, 90, 90)


def window_picture(
    image_hu: NDArray[np.floating], level: float, width: float, side_px: int = 448
) -> NDArray[np.uint8]:
    """Draw a slice as a window shows it, and below it the histogram of its HU with the window's band.

    Args:
        image_hu: Float array (H, W), square.
        level: Middle of the window in HU.
        width: Width of the window in HU.
        side_px: Side of the slice's picture.

    Returns:
        Uint8 array (height, side_px, 3). The bars are logarithmic. Over the band stands the ramp of greys.
    """
    grey = Image.fromarray(window(image_hu, level, width)).resize(
        (side_px, side_px), Image.Resampling.BICUBIC
    )
    canvas = Image.new("RGB", (side_px, side_px + RAMP_PX + STRIP_PX + LABEL_PX), PAPER)
    canvas.paste(grey.convert("RGB"), (0, 0))
    draw, low, high = ImageDraw.Draw(canvas), *HU_RANGE
    shades = window(low + (np.arange(side_px) + 0.5) / side_px * (high - low), level, width)
    for x, shade in enumerate(shades.tolist()):
        draw.line((x, side_px, x, side_px + RAMP_PX - 2), fill=(shade, shade, shade))
    _draw_strip(draw, image_hu, (level - width / 2, level + width / 2), side_px)
    return np.asarray(canvas)


def _draw_strip(
    draw: ImageDraw.ImageDraw, image_hu: NDArray[np.floating], band_hu: tuple[float, float], side_px: int
) -> None:
    """The histogram below the ramp: the band in blue, a bar for two columns, and the axis."""
    top, (low, high) = side_px + RAMP_PX, HU_RANGE

    def column(hu: float) -> int:
        return int(np.clip((hu - low) / (high - low) * side_px, 0, side_px - 1))

    draw.rectangle((column(band_hu[0]), top, column(band_hu[1]), top + STRIP_PX), fill=BAND)
    counts, _ = np.histogram(image_hu, bins=side_px // 2, range=HU_RANGE)
    heights = np.log1p(counts) / np.log1p(counts.max()) * (STRIP_PX - 4)
    for number, bar in enumerate(heights.tolist()):
        draw.rectangle((2 * number, top + STRIP_PX - bar, 2 * number + 1, top + STRIP_PX), fill=BARS)
    for hu in TICKS:
        anchor = {TICKS[0]: "lt", TICKS[-1]: "rt"}.get(hu, "mt")  # the outer ones stay on the picture
        x = 0 if hu == TICKS[0] else column(hu)
        draw.text((x, top + STRIP_PX + 3), f"{hu}", fill=INK, font=font(11), anchor=anchor)
