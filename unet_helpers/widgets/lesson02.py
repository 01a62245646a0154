"""What moves in lesson 2: a stone on a coarse grid, its chances at every size, patches, and a game."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from unet_helpers.engine.figures import LIVE_DPI, PAGE_DPI, PAGE_INCHES, figure_png, in_notebook, plain_figure
from unet_helpers.pictures import preprocessing as draw
from unet_helpers.pictures import spots
from unet_helpers.pictures.rendering import encode_png
from unet_helpers.plotting import overlay
from unet_helpers.widgets.controls import beside, moving, steps
from unet_helpers.widgets.still import show, you_are_here

__all__ = [
    "batch",
    "closeups",
    "context",
    "could_exist",
    "error_shown",
    "grids",
    "patches",
    "pictures",
    "stone_up_close",
    "survival",
    "you_are_here",
]

Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Drawn = tuple[Figure, str]  # a picture, and what it shows in a sentence


# ---------------------------------------------------------------------------------- wiring


def _bytes(figure: Figure, photo: bool, dpi: int = PAGE_DPI) -> bytes:
    """A figure as a file of few bytes: JPEG for noisy pictures, PNG of 64 colours for drawings."""
    buffer = io.BytesIO()
    if photo:
        figure.savefig(buffer, format="jpeg", dpi=dpi, pil_kwargs={"quality": 60})
        return buffer.getvalue()
    drawing = Image.open(io.BytesIO(figure_png(figure, dpi))).convert("RGB")
    drawing.quantize(64, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _photo(figure: Figure) -> bytes:
    return _bytes(figure, True, LIVE_DPI)


def _drawing(figure: Figure) -> bytes:
    return _bytes(figure, False, LIVE_DPI)


@contextmanager
def error_shown(name: str) -> Iterator[None]:
    """Print the first line of the RuntimeError that the code inside raises, after a name.

    Raises:
        AssertionError: If the code inside raises none.
    """
    try:
        yield
    except RuntimeError as error:
        print(f"{name}:\n    {str(error).splitlines()[0]}\n")
        return
    raise AssertionError(f"{name} must raise a RuntimeError, got none. Which line was changed?")


# ---------------------------------------------------------------------------------- one stone
def stone_up_close(image: Grey, mask: Mask) -> None:
    """The slice with a frame around its stone, what is in the frame, and the grey values of its middle."""
    row, column = draw.middle(mask)
    near, core = (draw.around(row, column, side, image.shape) for side in (40, 7))
    figure = plain_figure(PAGE_INCHES, 5.6)
    panels = figure.subplot_mosaic([["slice", "frame"], ["numbers", "numbers"]])
    axes = [panels[name] for name in ("slice", "frame", "numbers")]
    overlay(image, ax=axes[0], title="the slice")
    draw.draw_frame(axes[0], near)
    overlay(image[near], ax=axes[1], title="the frame, enlarged")
    rows, columns = (slice(m.start - n.start, m.stop - n.start) for m, n in zip(core, near, strict=True))
    draw.draw_frame(axes[1], (rows, columns))
    draw.draw_numbers(axes[2], image[core], "its middle, as numbers", marked=mask[core])
    n = int(mask.sum())
    alt = (
        f"The slice of our man; enlarged, a white dot in the lower part of a grey kidney; and the grey "
        f"values there, with the {n} pixels of the mask marked."
    )
    show(None, _bytes(figure, photo=True), alt)


def closeups(pictures: Mapping[str, NDArray[Any]], mask: Mask, side: int = 48) -> None:
    """Versions of a slice, of whatever size, enlarged around its stone, each with the stone's brightest grey.

    Args:
        pictures: Uint8 arrays by title; of smaller ones the frame holds fewer and larger pixels.
        mask: Bool (H, W) at full size; its stone is the middle.
        side: What is shown, in pixels of the full size.
    """
    row, column = draw.middle(mask)
    near = {}
    for title, picture in pictures.items():
        scale = picture.shape[0] / mask.shape[0]
        box = draw.around(row * scale, column * scale, round(side * scale), picture.shape)
        touched = draw.shares(mask, (picture.shape[0], picture.shape[1])) > 0
        if touched.any():
            title = f"{title}:\nthe brightest pixel is {picture[touched].max():.0f}"
        near[title] = picture[box].astype(np.uint8)
    alt = f"Close-ups. {'; '.join(near)}.".replace("\n", " ")
    if not mask.any():
        alt += " They show its middle, as there is no stone."
    show(None, _bytes(draw.row_of_pictures(near), photo=True), alt)


def pictures(
    shown: Mapping[str, NDArray[Any]], alt: str, masks: Sequence[Mask | None] | None = None, side: int = 0
) -> None:
    """Whole pictures in a row, with the outlines of their masks, if any are given.

    Args:
        shown: Grey arrays (H, W) by title.
        alt: What is seen, in a sentence.
        masks: A bool array or None for each.
        side: Side in pixels of the frame around the first mask that is shown; 0 shows all.
    """
    arrays = dict(shown)
    if side and masks is not None and masks[0] is not None:
        box = draw.around(*draw.middle(masks[0]), side, masks[0].shape)
        arrays = {title: array[box] for title, array in arrays.items()}
        masks = [None if mask is None else mask[box] for mask in masks]
    show(None, _bytes(draw.row_of_pictures(arrays, masks), photo=True), alt)


def grids(mask: Mask) -> None:
    """Two sliders, of a stone and of a coarse grid over it: what nearest and mean make of it, as numbers."""
    row, column = (round(v) for v in draw.middle(mask))
    padded = np.pad(mask, 8)  # a stone may lie at the edge

    def paint(n: int, moved: int) -> Drawn:
        top, left = row + 5, column + 5 - moved
        crop = padded[top : top + 8, left : left + 8]
        figure, n_nearest, n_cut = draw.draw_grids(crop, n)
        area = 64 / n**2
        return figure, (
            f"{int(crop.sum())} small pixels are stone. Nearest makes them {n_nearest} large ones, as much "
            f"as {n_nearest * area:.1f} small ones; the mean, cut at one half, {n_cut}, as much as "
            f"{n_cut * area:.1f}."
        )

    sliders = {
        "n": steps("side of the coarse grid", 5, range(2, 9)),
        "moved": steps("move the stone to the right by", 0, range(-2, 3)),
    }
    figure, alt = paint(5, 0)
    moving(paint, sliders, alt, _drawing, _bytes(figure, photo=False))


def survival(
    image: Grey, mask: Mask, rules: Mapping[str, draw.Shrink], curves: Mapping[str, Mapping[int, float]]
) -> None:
    """A slider of the size: what is left of one stone, and how many of all stones are still there.

    Args:
        image: The slice, uint8 (H, W).
        mask: Its stone, bool (H, W).
        rules: Ways to shrink a mask, by name.
        curves: For each rule the percentage of stones that is left, by the longer side in pixels.
    """
    sizes = sorted(next(iter(curves.values())), reverse=True)

    def paint(longest_px: int) -> Drawn:
        left = ", ".join(f"{curve[longest_px]:.1f} % ({name})" for name, curve in curves.items())
        figure = draw.draw_survivors(image, mask, rules, curves, longest_px)
        return figure, f"At {longest_px} pixels, of all stones are still there: {left}."

    start = 64 if 64 in sizes else sizes[-1]
    figure, alt = paint(start)
    sliders = {"longest_px": steps("longer side (pixels)", start, sizes)}
    moving(paint, sliders, alt, _drawing, _bytes(figure, photo=False))


# ---------------------------------------------------------------------------------- patches
def context(image: Grey, mask: Mask, images: Sequence[Grey], masks: Sequence[Mask]) -> None:
    """A slider of the patch size: a rib and a stone of the same size, with more and more around them.

    Args:
        image: The slice, uint8 (H, W), with the rib.
        mask: Its stone, bool (H, W).
        images: All slices.
        masks: Their stones, one of which is shown.
    """
    pair = dict(zip("AB", spots.rib_and_stone(image, mask, images, masks), strict=True))

    def paint(side: int) -> Drawn:
        views = {f"{name}, {side} x {side} pixels": spots.view(spot, side) for name, spot in pair.items()}
        figure = draw.row_of_pictures(views)
        for ax, spot in zip(figure.axes, pair.values(), strict=True):
            spots.draw_spot(ax, spot, side)
        return figure, f"Two white spots, {side} x {side} pixels around each. One is a stone, one is a rib."

    few = (10, 28, 80, 160)
    rows = [{f"{name}, {side} pixels": spots.view(spot, side) for side in few} for name, spot in pair.items()]
    alt = (
        "Two white spots with more and more around them. At 10 pixels both are white blobs; at 160, A lies "
        "in the wall of the body, in a row of ribs, and B in a kidney."
    )
    still = draw.rows_of_pictures(rows)
    for ax, (spot, side) in zip(still.axes, product(pair.values(), few), strict=True):
        spots.draw_spot(ax, spot, side)
    sizes = (10, 14, 20, 28, 40, 56, 80, 112, 160)
    moving(paint, {"side": steps("size of the patch", 10, sizes)}, alt, _photo, _bytes(still, photo=True))


def patches(image: Grey, mask: Mask, cut: torch.Tensor, names: Sequence[str]) -> None:
    """A slider through the patches of one slice: where each was cut, and what it shows.

    Args:
        image: The slice, uint8 (H, W).
        mask: Its stone, bool (H, W).
        cut: The patches, uint8 (B, 1, P, P).
        names: What each of them was placed around.
    """
    lacking = [(0, max(0, side - length)) for side, length in zip(cut.shape[2:], image.shape, strict=True)]
    image, mask = np.pad(image, lacking), np.pad(mask, lacking)  # as the sampler pads a small slice
    boxes = [draw.find_patch(image, patch[0].numpy()) for patch in cut]

    def paint(number: int) -> Drawn:
        box = boxes[number - 1]
        figure = plain_figure(PAGE_INCHES, 2.9)
        left, right = figure.subplots(1, 2)
        overlay(image, target=mask, ax=left, legend=False, opacity=0.0, title="the slice")
        draw.draw_frame(left, box)
        overlay(image[box], target=mask[box], ax=right, legend=False, opacity=0.0, title=f"patch {number}")
        n = int(mask[box].sum())
        seen = f"It holds {n} of the {int(mask.sum())} pixels of the stone."
        return figure, f"Patch {number} was placed around {names[number - 1]}. {seen}"

    figure, alt = paint(1)
    sliders = {"number": steps("patch number", 1, range(1, len(boxes) + 1))}
    moving(paint, sliders, alt, _photo, _bytes(figure, photo=True))


def batch(images: torch.Tensor, masks: torch.Tensor, alt: str) -> None:
    """The pictures of a batch with the outlines of their masks: whole, and close to the stone.

    Args:
        images: Float tensor (B, 1, H, W) in [-1, 1].
        masks: Bool tensor (B, 1, H, W).
        alt: What is seen, in a sentence.
    """
    greys = ((images[:, 0].clamp(-1, 1) + 1) * 127.5).byte().numpy()
    outlines = [mask[0].numpy() for mask in masks]
    boxes = [draw.around(*draw.middle(mask), 40, (mask.shape[0], mask.shape[1])) for mask in outlines]
    whole = {f"picture {i}": grey for i, grey in enumerate(greys)}
    near = {
        f"{i}, close up:\n{int(mask.sum())} pixels": grey[box]
        for i, (grey, mask, box) in enumerate(zip(greys, outlines, boxes, strict=True))
    }
    cut = [mask[box] for mask, box in zip(outlines, boxes, strict=True)]
    figure = draw.rows_of_pictures([whole, near], [outlines, cut])
    show(None, _bytes(figure, photo=True), alt)


# ---------------------------------------------------------------------------------- the game
def could_exist(image: Grey) -> None:
    """Six versions of a slice, two buttons under each: could this be a scan of a patient?"""
    six = draw.six_pictures(image)
    figure = plain_figure(PAGE_INCHES, 3.9)
    for ax, (letter, picture) in zip(figure.subplots(2, 3).flat, six.items(), strict=True):
        overlay(picture, ax=ax, title=letter)
    alt = (
        "Six versions of the slice: A turned a little, B with black and white exchanged, C mirrored, "
        "D noisier, E half as wide, F upside down."
    )
    show(_game(six) if in_notebook() else None, _bytes(figure, photo=True), alt)


def _game(six: Mapping[str, Grey]) -> Any:
    """The widget of `could_exist`."""
    import ipywidgets as widgets

    choices, cards, words = {}, [], {}
    for letter, picture in six.items():
        rgb = np.repeat(picture[..., None], 3, axis=2)
        shown = widgets.Image(value=encode_png(rgb), format="png", layout={"width": "230px"})
        choices[letter] = widgets.ToggleButtons(
            options=["could exist", "could not"], value=None, style={"button_width": "105px"}
        )
        words[letter] = widgets.HTML(f"<b>{letter}</b>", layout={"width": "230px"})
        cards.append(widgets.VBox([shown, choices[letter], words[letter]], layout={"margin": "0 8px 12px 0"}))
    button = widgets.Button(description="Show the answers", button_style="primary")
    result = widgets.HTML()

    def answer(_: Any) -> None:
        marks = {letter: draw.verdict(letter, choice.value) for letter, choice in choices.items()}
        for letter, (_, sentence) in marks.items():
            said = choices[letter].value
            words[letter].value = f"<b>{letter}{f', you say it {said}' if said else ''}.</b> {sentence}"
        n_right = sum(right for right, _ in marks.values())
        result.value = f"<b>{n_right} of {len(marks)} right.</b>"

    button.on_click(answer)
    return widgets.VBox([beside(*cards), widgets.HBox([button, result])])
