"""Look at predictions by hand: one picture, composed by numpy and Pillow, and the controls that change it.

`render` is a pure function from arrays and settings to a picture; everything that can be right or wrong about
the picture is there. `Inspector` only wires it to ipywidgets (API of version 7.7.1, so that Colab runs it
unchanged): each move of a control composes one PNG for one `widgets.Image`. No matplotlib in that loop.
"""

from __future__ import annotations

import html
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import ipywidgets as widgets
import numpy as np
from PIL import Image
from scipy import ndimage

from unet_helpers.metrics import StoneMatch, dice, iou, label_stones, match_stones, predicted_mask
from unet_helpers.phantom import window
from unet_helpers.plotting import ERROR_KINDS, STYLES, Style, error_codes

__all__ = [
    "ImageScore",
    "Inspector",
    "RenderSettings",
    "encode_png",
    "find_regions",
    "legend_html",
    "picture_shape",
    "predicted_mask",
    "render",
    "score_html",
    "score_image",
    "stones_html",
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


def _to_grey(image: np.ndarray, settings: RenderSettings) -> np.ndarray:
    """Return the image as uint8; an image in HU goes through the window."""
    if settings.window_level is None or settings.window_width is None:
        if image.dtype != np.uint8:
            raise ValueError(
                f"image must be uint8 when no window is set, got {image.dtype}. Set window_level."
            )
        return image
    return window(image, settings.window_level, settings.window_width)


def view_box(shape: tuple[int, int], settings: RenderSettings) -> Box:
    """Return the part of the image that is seen: top, left, height, width in image pixels.

    Args:
        shape: Height and width of the image.
        settings: Only zoom and centre are read.

    Returns:
        Four floats; the box lies inside the image and has its aspect ratio.
    """
    zoom = max(settings.zoom, 1.0)
    box = [length / zoom for length in shape]
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
    starts, lengths = box[:2], box[2:]
    rows, columns = (
        ((np.arange(n) + 0.5) * length / n + start).astype(np.intp)
        for n, length, start in zip(shape, lengths, starts, strict=True)
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
    stops = np.linspace(0, 255, len(HEAT_COLOURS))
    levels = np.arange(256)
    colours = np.stack([np.interp(levels, stops, channel) for channel in np.transpose(HEAT_COLOURS)], axis=1)
    weights = opacity * np.clip(levels / 255 / HEAT_FULL_FROM, 0, 1)
    where = probability > 2
    level, old = probability[where], picture[where]
    picture[where] = (old + weights[level, None] * (colours[level] - old) + 0.5).astype(np.uint8)


def render(
    image: np.ndarray, target: np.ndarray, probability: np.ndarray, settings: RenderSettings | None = None
) -> np.ndarray:
    """Compose the picture that the inspector shows.

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
    _check_arrays(image, target, probability)
    box, shape = view_box(image.shape, settings), picture_shape(image.shape, settings.size_px)
    picture = np.repeat(_enlarge(_to_grey(image, settings), box, shape)[..., None], 3, axis=2)
    if settings.show_heat_map:
        heat = (np.clip(probability, 0, 1) * 255 + 0.5).astype(np.uint8)
        _paint_heat(picture, _enlarge(heat, box, shape), settings.opacity)
    prediction = predicted_mask(probability, settings.threshold, settings.min_pixels)
    codes = _enlarge_codes(error_codes(prediction, target), box, shape)
    if settings.show_errors:
        _paint_errors(picture, codes, settings.opacity)
    distance_px = 1 + max(s.width_px for s in STYLES.values()) if settings.show_errors else 0
    if settings.show_truth:
        _paint_outline(picture, (codes == 1) | (codes == 3), STYLES["truth"], distance_px, gaps=False)
    if settings.show_prediction:
        _paint_outline(picture, codes >= 2, STYLES["prediction"], distance_px, gaps=not settings.show_truth)
    return picture


def encode_png(picture: np.ndarray) -> bytes:
    """Encode a picture as PNG, quickly.

    Pillow tries five filters on every row; one filter (difference to the row above) and the fastest
    compression take about half the time at nearly the same size.

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
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n"
    for name, content in chunks:
        png += (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )
    return png


@dataclass(frozen=True)
class ImageScore:
    """What the live line says about one image.

    Attributes:
        dice: NaN if both masks are empty.
        iou: NaN if both masks are empty.
        match: Stones found, missed, and false alarms.
        diameters: Diameter of each true stone, in pixels or mm.
        predicted_diameters: Of the predicted regions that touch it, together; 0 where it was missed.
    """

    dice: float
    iou: float
    match: StoneMatch
    diameters: tuple[float, ...]
    predicted_diameters: tuple[float, ...]


def _diameter(n_pixels: float, spacing: float) -> float:
    """Diameter of the circle of the same area."""
    return 2 * math.sqrt(n_pixels / math.pi) * spacing


def score_image(prediction: np.ndarray, target: np.ndarray, spacing_mm: float | None = None) -> ImageScore:
    """Score one image, as a whole and stone by stone.

    Args:
        prediction: Bool array (H, W).
        target: Bool array (H, W).
        spacing_mm: Pixel size in millimetres; None leaves the diameters in pixels.

    Returns:
        The scores. A diameter is that of the circle of the same area.

    Raises:
        ValueError: If a mask is not bool or the shapes differ.
    """
    match = match_stones(prediction, target)
    spacing = 1.0 if spacing_mm is None else spacing_mm
    true, predicted = label_stones(target)[0], label_stones(prediction)[0]
    areas = np.bincount(predicted.ravel())
    areas[0] = 0
    touching = [np.unique(predicted[true == i + 1]) for i in range(match.n_stones)]
    return ImageScore(
        dice=float(dice(prediction, target)),
        iou=float(iou(prediction, target)),
        match=match,
        diameters=tuple(_diameter(n, spacing) for n in match.n_pixels),
        predicted_diameters=tuple(_diameter(areas[labels].sum(), spacing) for labels in touching),
    )


class Region(NamedTuple):
    """Where a stone or a false alarm lies: middle and longer side of its bounding box, in pixels."""

    row: float
    column: float
    side: int


def find_regions(mask: np.ndarray) -> list[Region]:
    """Return the connected regions of a bool mask (H, W), in the order of `label_stones`."""
    boxes = ndimage.find_objects(label_stones(mask)[0])
    return [
        Region(
            (r.start + r.stop - 1) / 2, (c.start + c.stop - 1) / 2, max(r.stop - r.start, c.stop - c.start)
        )
        for r, c in boxes
    ]


def _false_alarms(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the predicted regions that touch no true stone, as a bool mask (H, W)."""
    labels, n_regions = label_stones(prediction)
    alarm = np.ones(n_regions + 1, bool)
    alarm[np.unique(labels[target])] = False
    alarm[0] = False
    return alarm[labels]


def _check_arrays(image: np.ndarray, target: np.ndarray, probability: np.ndarray, where: str = "") -> None:
    if image.ndim != 2:
        raise ValueError(f"image{where} must be a grey array (H, W), got shape {image.shape}.")
    for name, array in (("target", target), ("probability", probability)):
        if array.shape != image.shape:
            raise ValueError(f"{name}{where} must have the image's shape {image.shape}, got {array.shape}.")
    if target.dtype != bool:
        raise ValueError(f"target{where} must be a bool mask, got {target.dtype}. Use mask > 127.")
    if not np.issubdtype(probability.dtype, np.floating):
        raise ValueError(f"probability{where} must be a float array, got {probability.dtype}.")
    if probability.size and not (probability.min() >= 0 and probability.max() <= 1):
        actual = f"{probability.min():.3g} to {probability.max():.3g}"
        raise ValueError(f"probability{where} must lie in [0, 1], got {actual}. Use torch.sigmoid(logits).")


def _check_lengths(n_images: int, **lists: Sequence[Any] | None) -> None:
    if n_images == 0:
        raise ValueError("images must hold at least one image, got none.")
    for name, values in lists.items():
        if values is not None and len(values) != n_images:
            raise ValueError(f"{name} must have one entry an image ({n_images}), got {len(values)}.")


def _swatch(style: Style, filled: bool) -> str:
    fill = "rgba({}, {}, {}, {})".format(*style.colour, 0.35 if filled else 0)
    box = "display:inline-block;width:2.2em;height:1.2em;margin-right:0.6em;box-sizing:border-box"
    look = f"{box};vertical-align:-0.2em;background:linear-gradient({fill}, {fill}), #444"  # grey as a CT
    return f'<span style="{look};border:{style.width_px}px {style.line} {style.hex}"></span>{style.label}'


def legend_html() -> str:
    """Return the legend: the colours and outline patterns of `STYLES` and the heat map's scale, as HTML."""
    colours = ", ".join("rgb({}, {}, {})".format(*colour) for colour in HEAT_COLOURS)
    bar = "display:inline-block;width:5em;height:0.8em;margin:0 0.4em"
    bar += f";background:linear-gradient(to right, {colours})"
    rows = [f"<div>{_swatch(STYLES[kind], kind in ERROR_KINDS.values())}</div>" for kind in STYLES]
    rows.append(f'<div>probability 0<span style="{bar}"></span>1</div>')
    return f'<div style="line-height:1.6">{"".join(rows)}</div>'


def score_html(score: ImageScore, title: str) -> str:
    """Return the live line as HTML; it always has the same height, so that no slider jumps away under a hand.

    Args:
        score: From `score_image`.
        title: First line, plain text; cut off where it is too long.
    """
    match, plain = score.match, html.escape(title)
    one_line = "max-width:285px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap"
    lines = [
        f'<div style="{one_line};font-weight:bold" title="{plain}">{plain}</div>',
        f"<div>Dice <b>{_number(score.dice)}</b> &nbsp; IoU <b>{_number(score.iou)}</b></div>",
        f"<div>stones found <b>{match.n_found} of {match.n_stones}</b>, "
        f"missed <b>{match.n_stones - match.n_found}</b></div>",
        f"<div>false alarms <b>{match.n_false_positives}</b></div>",
    ]
    return f'<div style="line-height:1.5">{"".join(lines)}</div>'


def stones_html(score: ImageScore, unit: str) -> str:
    """Return one line a true stone, its size and what became of it, as HTML.

    Args:
        score: From `score_image`.
        unit: "mm" or "px", the unit of its diameters.
    """
    sizes = zip(score.diameters, score.predicted_diameters, score.match.found, strict=True)
    lines = [
        f"stone {i + 1}: {true:.1f} {unit}, " + (f"predicted {predicted:.1f} {unit}" if found else "missed")
        for i, (true, predicted, found) in enumerate(sizes)
    ]
    lines = ["<b>diameters</b>", *lines] if lines else ["no stone in this image"]
    return f'<div style="line-height:1.5">{"".join(f"<div>{line}</div>" for line in lines)}</div>'


def _number(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.3f}"


WHOLE, BY_HAND = "whole image", "by hand"
AS_GIVEN, WORST_FIRST = "as given", "worst Dice first"
LOOK: dict[str, Any] = {"style": {"description_width": "76px"}, "layout": {"width": "292px"}}
STONES_IN_VIEW = 6  # a jump to a stone enlarges it to a sixth of the picture, within the limits below
JUMP_ZOOMS = (3.0, 8.0)


def _slider(kind: Any, label: str, value: float, low: float, high: float, step: float) -> Any:
    return kind(value=value, min=low, max=high, step=step, description=label, **LOOK)


def _checkbox(label: str, value: bool) -> widgets.Checkbox:
    return widgets.Checkbox(value=value, description=label, indent=False, layout={"width": "142px"})


def _arrays(values: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [np.asarray(value) for value in values]


class Inspector:
    """Interactive view of predictions: put it on the last line of a cell, or `display` it.

    A picture is composed before the kernel answers, and the browser's side of ipywidgets holds a slider's
    moves back until it has the answer, then sends only the newest. So a drag does not pile up old moves.

    Every attribute below is a plain ipywidgets control, so that code can move it as a hand does:
    `inspector.threshold.value = 0.3`.

    Attributes:
        widget: Everything together.
        picture: The image; its `value` is the PNG of `render` with `settings()`.
        score: The live line: Dice, IoU, stones found and missed, false alarms.
        stones: The diameters of the stones.
        index: Position in the order, from 1.
        threshold, opacity, level, width, zoom, row, column: Sliders; row and column are percentages.
        look_at: Whole image, one of the stones, or by hand (row and column).
        truth, prediction, errors, heat_map: What is drawn.
        order: As given, or worst Dice first.
        next_miss, next_false_alarm: Buttons.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        targets: Sequence[np.ndarray],
        probabilities: Sequence[np.ndarray],
        threshold: float = 0.5,
        min_pixels: int = 0,
        images_hu: Sequence[np.ndarray] | None = None,
        spacing_mm: float | Sequence[float] | None = None,
        names: Sequence[str] | None = None,
        size_px: int = 640,
    ) -> None:
        """Build the controls and draw the first image.

        Args:
            images: Uint8 arrays (H, W); sizes may differ from image to image.
            targets: Bool arrays, the truth, one an image.
            probabilities: Float arrays in [0, 1], one an image.
            threshold: Where the slider starts.
            min_pixels: Predicted regions of fewer pixels are deleted.
            images_hu: Float arrays in HU, one an image: shown instead of `images`; adds two window sliders.
            spacing_mm: Pixel size in millimetres, one number or one an image; sizes are in pixels if None.
            names: One name an image, shown above its scores.
            size_px: Longer side of the picture.

        Raises:
            ValueError: If lengths, shapes, types or ranges do not fit; the message names the argument.
        """
        spacings = list(spacing_mm) if np.ndim(spacing_mm) else [spacing_mm] * len(images)
        _check_lengths(
            len(images),
            targets=targets,
            probabilities=probabilities,
            images_hu=images_hu,
            spacing_mm=spacings,
            names=names,
        )
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold must lie in [0, 1], got {threshold}.")
        self._images = _arrays(images if images_hu is None else images_hu)
        self._targets, self._probabilities = _arrays(targets), _arrays(probabilities)
        for i, arrays in enumerate(zip(self._images, self._targets, self._probabilities, strict=True)):
            _check_arrays(*arrays, where=f" {i}")
        self._names = [str(name) for name in names] if names is not None else [""] * len(images)
        self._spacings, self._min_pixels, self._size_px = spacings, min_pixels, size_px
        self._has_hu = images_hu is not None
        self._order = list(range(len(images)))
        self._busy, self._drawn, self._scored, self._visited = False, None, None, None
        self._make_controls(threshold)
        self.widget = self._arrange()
        self._open_image()
        self._draw()
        self._observe()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)

    def _make_controls(self, threshold: float) -> None:
        self.picture = widgets.Image(format="png", layout=widgets.Layout(flex="0 1 auto", min_width="280px"))
        self.score, self.stones, self.message = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.index = _slider(widgets.IntSlider, "image", 1, 1, len(self._images), 1)
        self.threshold = _slider(widgets.FloatSlider, "threshold", threshold, 0.0, 1.0, 0.01)
        self.opacity = _slider(widgets.FloatSlider, "opacity", RenderSettings.opacity, 0.0, 1.0, 0.05)
        self.level = _slider(widgets.IntSlider, "level (HU)", 40, -200, 1000, 10)
        self.width = _slider(widgets.IntSlider, "width (HU)", 400, 50, 2000, 10)
        self.zoom = _slider(widgets.FloatSlider, "zoom", 1.0, 1.0, 12.0, 0.5)
        self.row = _slider(widgets.IntSlider, "up / down", 50, 0, 100, 1)
        self.column = _slider(widgets.IntSlider, "left / right", 50, 0, 100, 1)
        self.look_at = widgets.Dropdown(options=[WHOLE], description="look at", **LOOK)
        self.errors, self.heat_map = _checkbox("errors", True), _checkbox("heat map", False)
        self.truth, self.prediction = _checkbox("truth", False), _checkbox("prediction", False)
        self.order = widgets.Dropdown(options=[AS_GIVEN, WORST_FIRST], description="order", **LOOK)
        self.next_miss = widgets.Button(description="next missed stone", layout=widgets.Layout(width="142px"))
        self.next_false_alarm = widgets.Button(
            description="next false alarm", layout=widgets.Layout(width="142px")
        )

    def _arrange(self) -> widgets.Box:
        which = [self.index, self.order] if len(self._images) > 1 else []
        window = [self.level, self.width] if self._has_hu else []
        panel = [
            self.score,
            *which,
            self.threshold,
            self.opacity,
            *window,
            self.look_at,
            self.zoom,
            self.row,
            self.column,
            widgets.HBox([self.errors, self.heat_map]),
            widgets.HBox([self.truth, self.prediction]),
            widgets.HBox([self.next_miss, self.next_false_alarm]),
            self.message,
            widgets.HTML(legend_html()),
            self.stones,
        ]
        column = widgets.VBox(
            panel, layout=widgets.Layout(flex="0 0 auto", width="300px", margin="0 0 0 10px")
        )
        row = widgets.Layout(display="flex", flex_flow="row nowrap", align_items="flex-start")
        return widgets.Box([self.picture, column], layout=row)

    def _observe(self) -> None:
        for control in (
            self.index,
            self.order,
            self.threshold,
            self.opacity,
            self.level,
            self.width,
            self.look_at,
            self.zoom,
            self.row,
            self.column,
            self.errors,
            self.heat_map,
            self.truth,
            self.prediction,
        ):
            control.observe(self._moved, names="value")
        self.next_miss.on_click(lambda _: self._jump("miss"))
        self.next_false_alarm.on_click(lambda _: self._jump("false alarm"))

    @property
    def current(self) -> int:
        """Index of the shown image in the lists that were given."""
        return self._order[self.index.value - 1]

    def settings(self) -> RenderSettings:
        """Return the settings that the controls stand for now."""
        height, width = self._images[self.current].shape
        window = (self.level.value, self.width.value) if self._has_hu else (None, None)
        return RenderSettings(
            self.threshold.value,
            self._min_pixels,
            self.opacity.value,
            self.truth.value,
            self.prediction.value,
            self.errors.value,
            self.heat_map.value,
            *window,
            zoom=self.zoom.value,
            size_px=self._size_px,
            centre=(self.row.value / 100 * (height - 1), self.column.value / 100 * (width - 1)),
        )

    def _predicted(self, image: int) -> np.ndarray:
        return predicted_mask(self._probabilities[image], self.threshold.value, self._min_pixels)

    def _draw(self) -> None:
        """Compose the picture and the live line; nothing where nothing changed."""
        image, settings = self.current, self.settings()
        if (image, settings) != self._drawn:
            picture = render(self._images[image], self._targets[image], self._probabilities[image], settings)
            self.picture.layout.width = (
                f"{picture.shape[1]}px"  # else the VBox of some front ends stretches it
            )
            self.picture.value = encode_png(picture)
            self._drawn = image, settings
        if (image, settings.threshold, self.index.value) != self._scored:
            score = score_image(self._predicted(image), self._targets[image], self._spacings[image])
            name = f": {self._names[image]}" if self._names[image] else ""
            self.score.value = score_html(score, f"image {self.index.value} of {len(self._images)}{name}")
            self.stones.value = stones_html(score, "px" if self._spacings[image] is None else "mm")
            self._scored = image, settings.threshold, self.index.value

    def _moved(self, change: dict[str, Any]) -> None:
        """Answer the move of a control: first the controls that depend on it, then one picture."""
        if self._busy:  # moved by us, not by a hand
            return
        self._busy = True
        try:
            self._follow(change["owner"])
        finally:
            self._busy = False
        self.message.value = ""
        self._draw()

    def _follow(self, control: widgets.Widget) -> None:
        if control is self.order:
            self._sort()
        if control is self.order or control is self.index:
            self._open_image()
        elif control is self.look_at:
            self._aim()
        elif control is self.zoom:
            self._aim_by_zoom()
        elif control is self.row or control is self.column:
            self.look_at.value = BY_HAND
            self.zoom.value = max(self.zoom.value, 2.0)

    def _sort(self) -> None:
        """Put the images in the chosen order: the worst first, or the shown image at its own place."""
        shown, n_images = self.current, len(self._images)
        self._order = list(range(n_images))
        if self.order.value == WORST_FIRST:
            scores = [float(dice(self._predicted(i), self._targets[i])) for i in range(n_images)]
            self._order.sort(key=lambda i: (math.isnan(scores[i]), scores[i]))
        self.index.value = 1 if self.order.value == WORST_FIRST else shown + 1

    def _open_image(self) -> None:
        """List the stones of the image; stay zoomed in, on its first stone, if that was so before."""
        self._visited = None
        self._stones = find_regions(self._targets[self.current])
        self.look_at.options = [WHOLE, *(f"stone {i + 1}" for i in range(len(self._stones))), BY_HAND]
        self.look_at.value = WHOLE if self.zoom.value == 1 else self._first_stone()
        self._aim()

    def _first_stone(self) -> str:
        return "stone 1" if self._stones else BY_HAND

    def _aim(self) -> None:
        """Move the zoom sliders to what `look_at` says."""
        if self.look_at.value == WHOLE:
            self.zoom.value, self.row.value, self.column.value = 1.0, 50, 50
        elif self.look_at.value == BY_HAND:
            self.zoom.value = max(self.zoom.value, 2.0)
        else:
            self._centre_on(self._stones[self.look_at.options.index(self.look_at.value) - 1])

    def _aim_by_zoom(self) -> None:
        if self.zoom.value == 1:
            self.look_at.value = WHOLE
        elif self.look_at.value == WHOLE:
            zoom, self.look_at.value = self.zoom.value, self._first_stone()
            self._aim()
            self.zoom.value = zoom

    def _centre_on(self, region: Region) -> None:
        height, width = self._images[self.current].shape
        self.row.value = round(100 * region.row / max(height - 1, 1))
        self.column.value = round(100 * region.column / max(width - 1, 1))
        if self.zoom.value == 1:
            self.zoom.value = round(np.clip(max(height, width) / region.side / STONES_IN_VIEW, *JUMP_ZOOMS))

    def _mistakes(self, kind: str, image: int) -> list[tuple[int, Region]]:
        """Number and place of every missed stone, or of every false alarm, of an image."""
        prediction, target = self._predicted(image), self._targets[image]
        if kind == "false alarm":
            return list(enumerate(find_regions(_false_alarms(prediction, target))))
        found = match_stones(prediction, target).found
        return [(i, region) for i, region in enumerate(find_regions(target)) if not found[i]]

    def _next(self, kind: str) -> tuple[int, int, Region] | None:
        """Position, number and place of the next mistake after the one visited last; round the end once."""
        n_images, start = len(self._images), self.index.value - 1
        last = self._visited[1] if self._visited and self._visited[0] == kind else -1
        for step in range(n_images + 1):
            position = (start + step) % n_images
            for number, region in self._mistakes(kind, self._order[position]):
                if step or number > last:
                    return position, number, region
        return None

    def _jump(self, kind: str) -> None:
        """Show the next missed stone or false alarm, enlarged."""
        found = self._next(kind)
        if found is None:
            what = "No stone is missed" if kind == "miss" else "There is no false alarm"
            self.message.value = f"{what} at threshold {self.threshold.value:.2f}, in any image."
            return
        position, number, region = found
        self._busy = True
        try:
            self.index.value = position + 1
            self._open_image()
            self.look_at.value = f"stone {number + 1}" if kind == "miss" else BY_HAND
            self._centre_on(region)
        finally:
            self._busy = False
        self._visited, self.message.value = (kind, number), ""
        self._draw()
