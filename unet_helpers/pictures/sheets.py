"""Sheets of many small slices, and a curve that grows, composed by Pillow: quick, and small as files."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.font_manager import findfont
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from unet_helpers.pictures.rendering import find_regions
from unet_helpers.pictures.styles import STYLES

__all__ = [
    "CAPTION_PX",
    "Tile",
    "around",
    "curve",
    "encode_jpeg",
    "one_below_the_other",
    "side_by_side",
    "slice_sheet",
]

Picture = NDArray[np.uint8]
CAPTION_PX, GAP_PX = 18, 6
INK, PAPER, GRID = (40, 40, 40), (255, 255, 255), (210, 210, 210)
RING_PX = 9  # least radius of the ring around a stone
LEAST_DICE = 1e-4  # the bottom of the curve, whose axis is logarithmic


class Tile(NamedTuple):
    """One slice of a sheet."""

    image: NDArray[np.uint8]  # (H, W)
    caption: str
    target: NDArray[np.bool_] | None = None  # (H, W): each of its sections gets a ring
    prediction: NDArray[np.bool_] | None = None  # (H, W): each of its regions gets a square


def font(size_px: int) -> ImageFont.FreeTypeFont:
    """The font of matplotlib's own figures."""
    return ImageFont.truetype(findfont("DejaVu Sans"), size_px)


def encode_jpeg(picture: Picture, quality: int = 40) -> bytes:
    """Encode a picture (H, W, 3) as JPEG: a quarter of a PNG's size where the picture is noisy."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
    return buffer.getvalue()


def side_by_side(left: Picture, right: Picture) -> Picture:
    """Two pictures (H, W, 3) in a row, on white."""
    height = max(len(left), len(right))
    padded = [
        np.pad(one, ((0, height - len(one)), (0, GAP_PX), (0, 0)), constant_values=255)
        for one in (left, right)
    ]
    return np.concatenate(padded, axis=1)


def one_below_the_other(top: Picture, bottom: Picture) -> Picture:
    """Two pictures (H, W, 3) that hold words, in a column on white: side by side a phone makes them small."""
    width = max(top.shape[1], bottom.shape[1])
    padded = [
        np.pad(one, ((0, GAP_PX), (0, width - one.shape[1]), (0, 0)), constant_values=255)
        for one in (top, bottom)
    ]
    return np.concatenate(padded)


def slice_sheet(tiles: Sequence[Tile], n_columns: int = 4, side_px: int = 128) -> Picture:
    """Draw many slices in rows, each under its caption.

    Returns:
        Uint8 array (height, width, 3): true sections in green rings, regions of a prediction in pink squares.
    """
    n_rows = -(-len(tiles) // n_columns)
    step_x, step_y = side_px + GAP_PX, side_px + CAPTION_PX + GAP_PX
    sheet = Image.new("RGB", (n_columns * step_x, n_rows * step_y), PAPER)
    draw, letters = ImageDraw.Draw(sheet), font(12)
    for number, tile in enumerate(tiles):
        left, top = number % n_columns * step_x, number // n_columns * step_y
        draw.text((left + 1, top + 1), tile.caption, fill=INK, font=letters)
        sheet.paste(_drawn(tile, side_px), (left, top + CAPTION_PX))
    return np.asarray(sheet)


def _drawn(tile: Tile, side_px: int) -> Image.Image:
    """A tile's slice at its size on the sheet: true sections ringed, and squares around a prediction."""
    small = Image.fromarray(tile.image).resize((side_px, side_px), Image.Resampling.LANCZOS).convert("RGB")
    draw, scale = ImageDraw.Draw(small), side_px / tile.image.shape[0]
    for mask, kind in ((tile.target, "truth"), (tile.prediction, "prediction")):
        for region in find_regions(mask) if mask is not None else []:
            x, y = (region.column + 0.5) * scale, (region.row + 0.5) * scale
            radius = max(RING_PX, 0.75 * region.side * scale) + (3 if kind == "prediction" else 0)
            shape = draw.ellipse if kind == "truth" else draw.rectangle
            shape((x - radius, y - radius, x + radius, y + radius), outline=STYLES[kind].colour, width=2)
    return small


def around(mask: NDArray[np.bool_], side_px: int = 96) -> tuple[slice, slice]:
    """Rows and columns of a square around the first section of a mask (H, W); it stays inside the image."""
    region = find_regions(mask)[0]
    middles = (int(region.row), int(region.column))
    starts = [
        max(0, min(middle - side_px // 2, n - side_px)) for middle, n in zip(middles, mask.shape, strict=True)
    ]
    return slice(starts[0], starts[0] + side_px), slice(starts[1], starts[1] + side_px)


def curve(tried: Mapping[int, float], current: int, size: tuple[int, int] = (300, 400)) -> Picture:
    """Draw Dice against the threshold for every threshold that was tried; the axis of Dice is logarithmic.

    Args:
        tried: Dice in [0, 1] by grey threshold 0 to 255.
        current: The threshold that is set now.
        size: Height and width in pixels.

    Returns:
        Uint8 array (height, width, 3).
    """
    height, width = size
    left, right, top, bottom = 58, width - 14, 28, height - 40
    decades = np.log10(LEAST_DICE)

    def place(grey: int, dice: float) -> tuple[float, float]:
        share = 1 - np.log10(max(dice, LEAST_DICE)) / decades
        return left + (right - left) * grey / 255, bottom - (bottom - top) * float(share)

    canvas = Image.new("RGB", (width, height), PAPER)
    draw, letters = ImageDraw.Draw(canvas), font(12)
    for dice, text in ((1.0, "1"), (0.1, "0.1"), (0.01, "0.01"), (0.001, "0.001"), (LEAST_DICE, "0")):
        y = place(0, dice)[1]
        draw.line((left, y, right, y), fill=GRID)
        draw.text((left - 6, y), text, fill=INK, font=letters, anchor="rm")
    for grey in (0, 64, 128, 192, 255):
        draw.text((place(grey, 1)[0], bottom + 5), str(grey), fill=INK, font=letters, anchor="mt")
    draw.text(((left + right) / 2, height - 4), "threshold (grey value)", fill=INK, font=letters, anchor="mb")
    draw.text((left, 6), "Dice: each step is a factor of 10", fill=INK, font=letters)
    points = [place(grey, tried[grey]) for grey in sorted(tried)]
    if len(points) > 1:
        draw.line(points, fill=(150, 170, 200), width=1)
    for x, y in points:
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=(0, 114, 178))
    x, y = place(current, tried.get(current, 0.0))
    draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=(213, 94, 0))
    return np.asarray(canvas)
