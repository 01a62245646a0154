"""What is moved by hand in lesson 1: the hunt for stones, the body map, the window, the threshold.

A lesson calls one of the functions in one line. Each puts one output on the page, see `widgets.still`; what a
widget remembers lives in the widget alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

from unet_helpers import data
from unet_helpers.engine.figures import PAGE_DPI, PAGE_INCHES, figure_png, legend_below, plain_figure
from unet_helpers.metrics import dice
from unet_helpers.phantom.lookup import Scan, find_place, name_organs
from unet_helpers.pictures.body_map import body_map as draw_body_map
from unet_helpers.pictures.hu_histogram import hu_histogram
from unet_helpers.pictures.rendering import RenderSettings, encode_png, find_regions, render
from unet_helpers.pictures.sheets import (
    CAPTION_PX,
    Tile,
    around,
    curve,
    encode_jpeg,
    one_below_the_other,
    side_by_side,
    slice_sheet,
)
from unet_helpers.pictures.window_strip import window_picture
from unet_helpers.plotting import overlay
from unet_helpers.widgets.controls import beside
from unet_helpers.widgets.still import show, show_figure
from unet_helpers.widgets.stone_hunt import answer_sheet, find_the_stones

__all__ = [
    "BodyMap",
    "ThresholdHunt",
    "WindowMover",
    "answer_sheet",
    "body_map",
    "find_the_stones",
    "histogram",
    "look",
    "threshold",
    "twins",
    "window",
    "zoom_in",
]

Image = NDArray[np.uint8]  # (H, W)
Mask = NDArray[np.bool_]  # (H, W)

SIDE_PX = 448  # of a slice that one looks at
STILL_PX = 320  # of one that only stands on the page
PANEL_PX = 384  # of the controls beside it; both fit into a page of JupyterLab
SLIDER: dict[str, Any] = {
    "style": {"description_width": "initial"},  # more leaves a phone no room to move
    "layout": {"width": f"{PANEL_PX}px", "max_width": "100%"},
}
WINDOWS = {"soft tissue": (40, 400), "everything": (0, 2000), "narrow": (40, 60), "bone": (500, 1500)}
KIDNEY_HU, URINE_HU = 30, 5  # the two tissues whose greys the window's live line compares


def _image(width_px: int = SIDE_PX) -> Any:
    layout = widgets.Layout(width=f"{width_px}px", max_width="100%")
    return widgets.Image(format="png", layout=layout)


def _words() -> Any:
    """A line of words that is no wider than the controls: else it pushes them below the picture."""
    return widgets.HTML(layout=widgets.Layout(width=f"{PANEL_PX}px", max_width="100%"))


def _button(text: str, style: str = "") -> Any:
    return widgets.Button(description=text, button_style=style, layout=widgets.Layout(width="92px"))


def _under(*children: Any) -> Any:
    """One below the other, and never wider than the page."""
    layout = widgets.Layout(align_items="flex-start", max_width="100%")
    return widgets.VBox(list(children), layout=layout)


# ---------------------------------------------------------------------------------- pictures that stand still
def look(image: Image) -> None:
    """Show a slice, large, without any mark."""
    large = slice_sheet([Tile(image, "")], 1, SIDE_PX)[CAPTION_PX:]
    show(None, encode_jpeg(large), "A grey slice through a body, with a small white dot in it.")


def zoom_in(image: Image, target: Mask, prediction: Mask, zoom: float = 6) -> None:
    """Show a slice with its stones ringed, and beside it the first one enlarged, with a network's marks."""
    sentence = "The slice, and beside it an enlarged part with the outlines of truth and prediction."
    regions = find_regions(target)
    centre = (regions[0].row, regions[0].column) if regions else None
    settings = RenderSettings(
        threshold=0.5, show_errors=False, show_truth=True, show_prediction=True, zoom=zoom, centre=centre,
        size_px=STILL_PX,
    )  # fmt: skip
    near = render(image, target=target, probability=prediction.astype(np.float32), settings=settings)
    if regions:
        score = float(dice(prediction, target))
        sentence = (
            f"Left the slice, its stone in a green ring. Right the stone {zoom:g} times enlarged: the solid "
            f"green outline is the truth, the dashed pink one the network's answer; Dice {score:.2f}."
        )
    whole = slice_sheet([Tile(image, "", target)], 1, STILL_PX)[CAPTION_PX:]
    show(None, encode_jpeg(side_by_side(whole, near)), sentence)


def twins(images: Sequence[Image], masks: Sequence[Mask], new: int, old: int) -> None:
    """Show the surroundings of a stone in a test slice, and the same place of the slice that is copied.

    Args:
        images: Uint8 arrays (H, W), of one size.
        masks: Bool arrays (H, W), one an image.
        new: Number of the test slice.
        old: Number of the training slice most like it.
    """
    near = around(masks[new])
    figure = plain_figure(PAGE_INCHES, 2.6)
    axes = figure.subplots(1, 3)
    overlay(images[new][near], target=masks[new][near], ax=axes[0], title=f"test: slice {new}")
    overlay(images[old][near], target=masks[old][near], ax=axes[1], title=f"training: slice {old}")
    score = float(dice(masks[old], masks[new]))
    true, copied = masks[new][near], masks[old][near]
    title = f"copied: Dice {score:.2f}"
    overlay(images[new][near], prediction=copied, target=true, ax=axes[2], title=title)
    for ax in axes:
        ax.title.set_fontsize(9)
    legend_below(figure)
    sentence = (
        "Three cut-outs around a stone: the test slice with its true stone, the most similar training slice "
        f"with its own, and the copied mask laid over the test slice, which gives a Dice of {score:.2f}."
    )
    show(None, _figure_jpeg(figure), sentence)


def histogram(scan: Scan) -> None:
    """Show how often each number in HU occurs in a slice, with the tissues that make its peaks named."""
    figure = hu_histogram(scan.slice.image_hu, name_organs(scan.place, len(scan.slice.mask)), scan.slice.mask)
    sentence = (
        "How many pixels of the slice have which HU, on a logarithmic axis. Named peaks from left to right: "
        "lung, fat, then kidney and liver close together. Bone is a broad hill from 150 to 800, "
        "and the few pixels of the stone lie in its range."
    )
    show_figure(figure, sentence)


# ------------------------------------------------------------------------------------------ the body map
class BodyMap:
    """A slice with buttons for names and colours of its organs; the three pictures are drawn once.

    Args:
        image: Uint8 array (H, W).
        organs: Bool arrays (H, W) by name, see `phantom.lookup.name_organs`.

    Attributes:
        choice: Buttons: picture alone, names, names and colours.
        widget: Everything together.
    """

    OPTIONS = ("picture alone", "names", "names and colours")

    def __init__(self, image: Image, organs: dict[str, Mask]) -> None:
        self.drawn = [
            figure_png(draw_body_map(image, organs, names=names, colours=colours), dpi=145)
            for names, colours in ((False, False), (True, False), (True, True))
        ]
        self.picture = _image(754)
        self.choice = widgets.ToggleButtons(options=self.OPTIONS, value=self.OPTIONS[0])
        self.choice.observe(self._draw, names="value")
        self.widget = _under(self.choice, self.picture)
        self._draw()

    def _draw(self, change: object = None) -> None:
        self.picture.value = self.drawn[self.OPTIONS.index(self.choice.value)]


def body_map(pair: data.Pair) -> None:
    """Show a `BodyMap` of a pair of a phantom data set; the picture of another data set has no names."""
    image, mask = data.load_pair(pair)
    place = find_place(pair)
    if place is None:
        print("Nobody has written down the organs of these pictures, so the map needs the phantom data set.")
        return
    moved = BodyMap(image, name_organs(place, len(image)) | {"stone": mask})
    figure = draw_body_map(image, name_organs(place, len(image)) | {"stone": mask})
    sentence = (
        "The patient's slice with lines from names to organs: on the left of the picture the liver and the "
        "right kidney, on its right the spleen and the left kidney with the stone, the spine in the middle."
    )
    show(moved.widget, _figure_jpeg(figure), sentence)


def _figure_jpeg(figure: Any) -> bytes:
    figure.set_dpi(PAGE_DPI)
    figure.canvas.draw()
    return encode_jpeg(np.asarray(figure.canvas.buffer_rgba())[..., :3], quality=50)


# -------------------------------------------------------------------------------------------- the window
class WindowMover:
    """A slice in HU under a window that two sliders move.

    Args:
        scan: See `phantom.lookup.scan_again`.

    Attributes:
        level, width: Sliders, in HU.
        presets: Buttons, one a window worth seeing.
        words: What the window does to two tissues.
        widget: Everything together.
    """

    def __init__(self, scan: Scan) -> None:
        self._image_hu = scan.slice.image_hu
        self.picture, self.words = _image(), _words()
        self.level = widgets.IntSlider(
            value=40, min=-200, max=1000, step=10, description="level (HU)", **SLIDER
        )
        self.width = widgets.IntSlider(
            value=400, min=20, max=2700, step=20, description="width (HU)", **SLIDER
        )
        self.presets = [_button(name) for name in WINDOWS]
        for button in self.presets:
            button.on_click(self._preset)
        for slider in (self.level, self.width):
            slider.observe(self._draw, names="value")
        controls = _under(beside(*self.presets), self.level, self.width, self.words)
        self.widget = beside(self.picture, controls)
        self._draw()

    def _preset(self, button: Any) -> None:
        self.level.value, self.width.value = WINDOWS[button.description]

    def _draw(self, change: object = None) -> None:
        level, width = self.level.value, self.width.value
        self.picture.value = encode_png(window_picture(self._image_hu, level, width, SIDE_PX))
        kidney, urine = data.window(np.array([KIDNEY_HU, URINE_HU]), level, width).tolist()
        self.words.value = (
            f"black up to {level - width // 2} HU, white from {level + width // 2} HU<br>"
            f"kidney ({KIDNEY_HU} HU) is grey {kidney}, urine ({URINE_HU} HU) is grey {urine}: "
            f"<b>{kidney - urine} apart</b>"
        )


def window(scan: Scan) -> None:
    """Show a `WindowMover`; without a kernel, the slice under the usual window and under one for bone."""
    image_hu = scan.slice.image_hu
    soft, bone = (window_picture(image_hu, *WINDOWS[name], STILL_PX) for name in ("soft tissue", "bone"))
    sentence = (
        "The patient's slice twice, each above the histogram of its HU with the window's band in blue: first "
        "level 40 and width 400, the kidneys grey and all bone white; below, level 500 and width 1500, the "
        "vertebrae with an inside and the kidneys nearly black."
    )
    show(WindowMover(scan).widget, encode_jpeg(one_below_the_other(soft, bone)), sentence)


# ----------------------------------------------------------------------------------------- the threshold
class ThresholdHunt:
    """A threshold slider with the live Dice, and a curve that remembers every position tried.

    Args:
        image: Uint8 array (H, W).
        mask: Bool array (H, W), the truth.

    Attributes:
        slider: Grey threshold, 0 to 255: pixels from it upwards are called stone.
        tried: Dice by threshold, of every position so far.
        widget: Everything together.
    """

    def __init__(self, image: Image, mask: Mask) -> None:
        self._image, self._mask = image, mask
        self.tried: dict[int, float] = {}
        self.picture, self.graph, self.words = _image(), _image(PANEL_PX), _words()
        self.slider = widgets.IntSlider(value=60, min=0, max=255, description="threshold", **SLIDER)
        self.slider.observe(self._draw, names="value")
        self.widget = _under(self.slider, beside(self.picture, _under(self.graph, self.words)))
        self._draw()

    def pictures(self, side_px: int = SIDE_PX) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The slice with its hits, misses and false alarms, and the curve; uint8 (height, width, 3) each."""
        settings = RenderSettings(threshold=self.slider.value / 255, size_px=side_px, opacity=0.55)
        probability = (self._image / 255).astype(np.float64)
        slice_ = render(self._image, target=self._mask, probability=probability, settings=settings)
        return slice_, curve(self.tried, self.slider.value)

    def _draw(self, change: object = None) -> None:
        grey = self.slider.value
        marked = self._image >= grey
        self.tried[grey] = float(dice(marked, self._mask))
        slice_, graph = self.pictures()
        self.picture.value, self.graph.value = encode_png(slice_), encode_png(graph)
        best = max(self.tried, key=lambda tried: self.tried[tried])
        n_found = int((marked & self._mask).sum())
        self.words.value = (
            f"grey ≥ {grey}: {int(marked.sum())} pixels marked, {n_found} of {int(self._mask.sum())} stone "
            f"pixels among them<br><b>Dice {self.tried[grey]:.4f}</b>, best so far {self.tried[best]:.4f} "
            f"at {best}"
        )


def threshold(image: Image, mask: Mask) -> None:
    """Show a `ThresholdHunt`; without a kernel, its picture and its curve at the best threshold."""
    tried = ThresholdHunt(image, mask)
    for grey in range(20, 256, 5):
        tried.slider.value = grey
    best = max(tried.tried, key=lambda grey: tried.tried[grey])
    tried.slider.value = best
    sentence = (
        f"The slice with all pixels of grey {best} or more marked: spine, ribs and hip "
        "bones are false alarms, the stone is one small hit. Below, the curve of Dice against the threshold, "
        f"which never rises above {tried.tried[best]:.4f}."
    )
    show(
        ThresholdHunt(image, mask).widget,
        encode_jpeg(one_below_the_other(*tried.pictures(STILL_PX))),
        sentence,
    )
