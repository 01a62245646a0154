"""From arrays to the picture that the inspector and the report show.

Everything here is a pure function of arrays and settings, composed by numpy and Pillow and not by matplotlib,
because a slider has to answer within a frame or two.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from unet_helpers.data import window
from unet_helpers.engine.checks import check_probability
from unet_helpers.metrics import label_stones, match_stones, predicted_mask
from unet_helpers.pictures.styles import ERROR_KINDS, STYLES, Style, error_codes

__all__ = [
    "Region",
    "RenderSettings",
    "check_arrays",
    "encode_png",
    "false_alarms",
    "find_false_alarms",
    "find_missed",
    "find_regions",
    "picture_shape",
    "render",
    "to_grey",
    "view_box",
]

Box = tuple[float, float, float, float]  # top, left, height, width in image pixels

# Dark violet, blue, teal, green, yellow: brightness rises with the probability, also for colour-blind eyes.
HEAT_COLOURS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
HEAT_FULL_FROM = 0.2  # probabilities below fade out, so that the image shows where the network sees nothing
DASH_PX = {"solid": 0, "dashed": 6, "dotted": 3}
GAP = (25, 25, 25)  # between dashes: dark, so that the pattern can be seen on white bone too


@dataclass(frozen=True)
class RenderSettings:
    """What the picture shows, and how.

    Attributes:
        threshold: Pixels of at least this probability are predicted to be stone.
        min_pixels: Predicted regions of fewer pixels are deleted.
        opacity: Opacity of the fills and of the heat map, 0 to 1. Outlines are always drawn.
        show_truth: Outline the true stones.
        show_prediction: Outline the predicted stones.
        show_errors: Hits, misses and false alarms, each with its colour and outline.
        show_heat_map: The probability as a colour.
        window_level: Middle of the grey scale in HU; None if the image is uint8 already.
        window_width: Width of the grey scale in HU; None if the image is uint8 already.
        zoom: Magnification; 1 shows the whole image.
        centre: Row and column to zoom in on, in pixels; the middle if None. The view never leaves the image.
        size_px: Longer side of the picture.
    """

    threshold: float = 0.5
    min_pixels: int = 0
    opacity: float = 0.3
    show_truth: bool = False
    show_prediction: bool = False
    show_errors: bool = True
    show_heat_map: bool = False
    window_level: float | None = None
    window_width: float | None = None
    zoom: float = 1.0
    centre: tuple[float, float] | None = None
    size_px: int = 640


# ------------------------------------------------------------------------------------------- the picture
def to_grey(image: np.ndarray, settings: RenderSettings) -> np.ndarray:
    """Return an image (H, W) as uint8; one in HU goes through the window of the settings.

    Raises:
        ValueError: If the settings name no window and the image is not uint8.
    """
    if settings.window_level is not None and settings.window_width is not None:
        return window(image, settings.window_level, settings.window_width)
    if image.dtype != np.uint8:
        raise ValueError(f"image must be uint8 when no window is set, got {image.dtype}. Set window_level.")
    return image


def view_box(shape: tuple[int, int], settings: RenderSettings) -> Box:
    """Return the part of the image that is seen: top, left, height, width in image pixels.

    Args:
        shape: Height and width of the image.
        settings: Only zoom and centre are read.

    Returns:
        Four floats; the box lies inside the image and has its aspect ratio.
    """
    box = [length / max(settings.zoom, 1.0) for length in shape]
    centre = settings.centre or (shape[0] / 2 - 0.5, shape[1] / 2 - 0.5)
    starts = [min(max(c + 0.5 - b / 2, 0.0), n - b) for c, b, n in zip(centre, box, shape, strict=True)]
    return starts[0], starts[1], box[0], box[1]


def picture_shape(shape: tuple[int, int], size_px: int) -> tuple[int, int]:
    """Return height and width of the picture of an image of this shape; the same for every zoom."""
    scale = size_px / max(shape)
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _enlarge(array: np.ndarray, box: Box, shape: tuple[int, int]) -> np.ndarray:
    """Enlarge the box of a uint8 array (H, W) smoothly to a shape."""
    top, left, height, width = box
    corners = (left, top, left + width, top + height)
    return np.asarray(Image.fromarray(array).resize(shape[::-1], Image.Resampling.BICUBIC, box=corners))


def _enlarge_codes(codes: np.ndarray, box: Box, shape: tuple[int, int]) -> np.ndarray:
    """Enlarge the box of an array (H, W) by repeating pixels: codes must not be mixed."""
    rows, columns = (
        ((np.arange(n) + 0.5) * length / n + start).astype(np.intp)
        for n, length, start in zip(shape, box[2:], box[:2], strict=True)
    )
    return codes[:, columns][rows]  # in two steps: faster than one indexing with both


def _grow(mask: np.ndarray, n_px: int) -> np.ndarray:
    """Grow a bool array (H, W) by some pixels to every side."""
    for _ in range(2):  # down the columns, then, transposed, along the rows
        grown = mask.copy(order="K")  # keeps the memory order, so that the loop runs along rows in memory
        for step in range(1, n_px + 1):
            grown[step:] |= mask[:-step]
            grown[:-step] |= mask[step:]
        mask = grown.T
    return mask


def _paint(picture: np.ndarray, where: np.ndarray, colour: Sequence[int], opacity: float) -> None:
    """Blend a colour into the picture (H, W, 3), in place, where a bool array (H, W) is true."""
    pixels, chosen = picture.reshape(-1, 3), np.flatnonzero(where)
    old = pixels[chosen]
    pixels[chosen] = (old + opacity * (np.asarray(colour, np.float32) - old) + 0.5).astype(np.uint8)


def _paint_line(picture: np.ndarray, line: np.ndarray, style: Style, gaps: bool = True) -> None:
    """Paint an outline (bool, H, W), in place, with the pattern of its style; gaps dark, or left alone."""
    pixels, chosen = picture.reshape(-1, 3), np.flatnonzero(line)
    rows, columns = np.divmod(chosen, line.shape[1])
    dash = DASH_PX[style.line]
    on = ((rows // dash + columns // dash) % 2 == 0) if dash else np.ones(rows.size, bool)
    pixels[chosen[on]] = style.colour
    if gaps:
        pixels[chosen[~on]] = GAP


def _paint_errors(picture: np.ndarray, codes: np.ndarray, opacity: float) -> None:
    """Paint hits, misses and false alarms: fills, outlines around them, thin lines where kinds meet."""
    for code, kind in ERROR_KINDS.items():
        region, style = codes == code, STYLES[kind]
        if region.any():
            _paint(picture, region, style.colour, opacity)
            _paint_line(picture, _grow(region, style.width_px) & (codes == 0), style)
            if kind != "hit":
                _paint(picture, region & _grow(codes == 3, 1), style.colour, 1.0)


def _paint_outline(picture: np.ndarray, mask: np.ndarray, style: Style, distance_px: int, gaps: bool) -> None:
    """Paint a line around a mask (H, W), at some distance: the stone itself stays visible."""
    _paint_line(picture, _grow(mask, distance_px + style.width_px) & ~_grow(mask, distance_px), style, gaps)


def _paint_heat(picture: np.ndarray, probability: np.ndarray, opacity: float) -> None:
    """Blend the heat colours of a uint8 probability (H, W; 255 = 1) into the picture."""
    levels, stops = np.arange(256), np.linspace(0, 255, len(HEAT_COLOURS))
    colours = np.stack([np.interp(levels, stops, channel) for channel in np.transpose(HEAT_COLOURS)], axis=1)
    weights = opacity * np.clip(levels / 255 / HEAT_FULL_FROM, 0, 1)
    where = probability > 2
    level, old = probability[where], picture[where]
    picture[where] = (old + weights[level, None] * (colours[level] - old) + 0.5).astype(np.uint8)


def render(
    image: np.ndarray,
    *,
    target: np.ndarray,
    probability: np.ndarray,
    settings: RenderSettings | None = None,
) -> np.ndarray:
    """Compose the picture of one image.

    Args:
        image: Uint8 array (H, W), or float array in HU where the settings name a window.
        target: Bool array (H, W), the truth.
        probability: Float array (H, W) in [0, 1].
        settings: What to show; the defaults if None.

    Returns:
        Uint8 array (height, width, 3), its longer side `settings.size_px`. The image is enlarged smoothly,
        masks by repeating pixels, and outlines are drawn at the size of the picture, so that they stay thin.

    Raises:
        ValueError: If shapes differ or an array is not of its type.
    """
    settings = settings or RenderSettings()
    check_arrays(image, target=target, probability=probability)
    height, width = image.shape
    box, shape = view_box((height, width), settings), picture_shape((height, width), settings.size_px)
    picture = np.repeat(_enlarge(to_grey(image, settings), box, shape)[..., None], 3, axis=2)
    if settings.show_heat_map:
        heat = (np.clip(probability, 0, 1) * 255 + 0.5).astype(np.uint8)
        _paint_heat(picture, _enlarge(heat, box, shape), settings.opacity)
    prediction = predicted_mask(probability, settings.threshold, settings.min_pixels)
    _paint_masks(picture, _enlarge_codes(error_codes(prediction, target), box, shape), settings)
    return picture


def _paint_masks(picture: np.ndarray, codes: np.ndarray, settings: RenderSettings) -> None:
    """Paint errors, truth and prediction, as far as they are asked for, from `error_codes` (H, W)."""
    if settings.show_errors:
        _paint_errors(picture, codes, settings.opacity)
    distance_px = 1 + max(style.width_px for style in STYLES.values()) if settings.show_errors else 0
    if settings.show_truth:
        _paint_outline(picture, codes % 2 == 1, STYLES["truth"], distance_px, gaps=False)
    if settings.show_prediction:
        _paint_outline(picture, codes >= 2, STYLES["prediction"], distance_px, gaps=not settings.show_truth)


def encode_png(picture: np.ndarray) -> bytes:
    """Encode a picture as PNG, quickly.

    Pillow tries five filters on every row. One filter (difference to the row above) and the same fastest
    compression take 7.5 ms instead of 15.9 ms of one core for a CT of 640 x 640 pixels, and 4.1 instead of
    11.2 ms where it is zoomed in, at the same size.

    Args:
        picture: Uint8 array (H, W, 3).

    Returns:
        The bytes of a PNG file.

    Reference: PNG specification (third edition), https://www.w3.org/TR/png-3/
    """
    height, width, _ = picture.shape
    flat = picture.reshape(height, 3 * width)
    rows = np.empty((height, 3 * width + 1), np.uint8)
    rows[:, 0] = 2  # filter type "Up"
    rows[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=rows[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits a channel, RGB
    png = b"\x89PNG\r\n\x1a\n"
    for name, content in ((b"IHDR", header), (b"IDAT", zlib.compress(rows.data, 1)), (b"IEND", b"")):
        check_sum = struct.pack(">I", zlib.crc32(name + content))
        png += struct.pack(">I", len(content)) + name + content + check_sum
    return png


def check_arrays(image: np.ndarray, *, target: np.ndarray, probability: np.ndarray, where: str = "") -> None:
    """Refuse arrays that do not belong together.

    Args:
        image: Must be grey, (H, W).
        target: Must be bool, (H, W).
        probability: Must be float, (H, W), in [0, 1].
        where: Added to the argument's name in the message, such as " 3" for the fourth of a list.

    Raises:
        ValueError: With the first rule that is broken.
    """
    if image.ndim != 2:
        raise ValueError(f"image{where} must be a grey array (H, W), got shape {image.shape}.")
    for name, array in (("target", target), ("probability", probability)):
        if array.shape != image.shape:
            raise ValueError(f"{name}{where} must have the image's shape {image.shape}, got {array.shape}.")
    check_probability(probability, target, where)


# ---------------------------------------------------------------------------------- what is in the picture
class Region(NamedTuple):
    """Where a section or a false alarm lies: middle and longer side of its bounding box, in pixels."""

    row: float
    column: float
    side: int


def find_regions(mask: np.ndarray) -> list[Region]:
    """Return the connected regions of a bool mask (H, W), in the order of `label_stones`."""
    boxes = ndimage.find_objects(label_stones(mask)[0])
    edges = [(rows.start, rows.stop, columns.start, columns.stop) for rows, columns in boxes]
    return [
        Region((top + bottom - 1) / 2, (left + right - 1) / 2, max(bottom - top, right - left))
        for top, bottom, left, right in edges
    ]


def find_missed(prediction: np.ndarray, target: np.ndarray) -> list[tuple[int, Region]]:
    """Number, in the order of `label_stones` and from 0, and place of every section that is missed."""
    found = match_stones(prediction, target).found
    return [(i, region) for i, region in enumerate(find_regions(target)) if not found[i]]


def false_alarms(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The predicted regions that `match_stones` matches with no true section, as a bool mask (H, W).

    Args, Raises: As `match_stones`.
    """
    labels, n_regions = label_stones(prediction)
    is_alarm = np.ones(n_regions + 1, bool)
    is_alarm[[0, *match_stones(prediction, target).regions]] = False
    return np.take(is_alarm, labels)


def find_false_alarms(prediction: np.ndarray, target: np.ndarray) -> list[tuple[int, Region]]:
    """Number, from 0, and place of every false alarm of two bool masks (H, W)."""
    return list(enumerate(find_regions(false_alarms(prediction, target))))
