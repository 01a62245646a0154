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
from unet_helpers.engine.figures import figure_png
from unet_helpers.metrics import dice
from unet_helpers.phantom.lookup import Scan, find_place, name_organs
from unet_helpers.pictures.body_map import body_map as draw_body_map
from unet_helpers.pictures.rendering import RenderSettings, encode_png, render
from unet_helpers.pictures.sheets import Tile, curve, encode_jpeg, side_by_side, slice_sheet
from unet_helpers.pictures.window_strip import window_picture
from unet_helpers.widgets.still import show

__all__ = [
    "BodyMap",
    "StoneHunt",
    "ThresholdHunt",
    "WindowMover",
    "answer_sheet",
    "body_map",
    "find_the_stones",
    "threshold",
    "window",
]

Images = Sequence[NDArray[np.uint8]]
Masks = Sequence[NDArray[np.bool_]]

SIDE_PX = 448  # of a slice that one looks at
SLIDER: dict[str, Any] = {"style": {"description_width": "90px"}, "layout": {"width": "440px"}}
WINDOWS = {"soft tissue": (40, 400), "everything": (250, 2700), "narrow": (40, 60), "bone": (500, 1500)}
KIDNEY_HU, URINE_HU = 30, 5  # the two tissues whose greys the window's live line compares


def _image(width_px: int = SIDE_PX) -> Any:
    return widgets.Image(format="png", layout=widgets.Layout(width=f"{width_px}px", max_width="100%"))


def _button(text: str, style: str = "") -> Any:
    return widgets.Button(description=text, button_style=style, layout=widgets.Layout(width="150px"))


def _under(*children: Any) -> Any:
    return widgets.VBox(list(children), layout=widgets.Layout(align_items="flex-start"))


def _numbers(chosen: Sequence[int]) -> str:
    """Picture numbers, counted from 1, as text."""
    return ", ".join(str(number + 1) for number in chosen) or "none"


# -------------------------------------------------------------------------------------- find the stones
class StoneHunt:
    """One slice after the other: is there a stone in it? At the end your two kinds of error are counted.

    Args:
        images: Uint8 arrays (H, W).
        masks: Bool arrays, the truth, one an image.
        network: Bool arrays, what a network marks, one an image.
        before: An earlier hunt, whose result is shown beside this one.

    Attributes:
        answers: True, False, or None where nothing was said yet, one an image.
        yes, no, back: Buttons.
        widget: Everything together.
    """

    def __init__(self, images: Images, masks: Masks, network: Masks, before: StoneHunt | None = None) -> None:
        self.images, self.masks, self.network, self.before = images, masks, network, before
        self.answers: list[bool | None] = [None] * len(images)
        self.position = 0
        self.picture, self.progress, self.result = _image(), widgets.HTML(), widgets.HTML()
        self.yes, self.no = _button("I see a stone", "warning"), _button("no stone", "info")
        self.back = _button("one back")
        for button, said in ((self.yes, True), (self.no, False)):
            button.on_click(lambda _, said=said: self.answer(said))
        self.back.on_click(lambda _: self._turn_to(self.position - 1))
        self.widget = _under(
            self.progress, self.picture, widgets.HBox([self.yes, self.no, self.back]), self.result
        )
        self._turn_to(0)

    def answer(self, said: bool) -> None:
        """Keep an answer for the picture on show, and turn to the next one."""
        self.answers[self.position] = said
        self._turn_to(self.position + 1)

    def errors(self, said: Sequence[bool | None]) -> tuple[list[int], list[int], list[int]]:
        """Positions of the hits, the misses and the false alarms of such answers."""
        truth = [bool(mask.any()) for mask in self.masks]
        rows = list(enumerate(zip(said, truth, strict=True)))
        hits = [i for i, (one, stone) in rows if one and stone]
        misses = [i for i, (one, stone) in rows if not one and stone]
        return hits, misses, [i for i, (one, stone) in rows if one and not stone]

    def _turn_to(self, position: int) -> None:
        self.position = min(max(position, 0), len(self.images) - 1)
        image = self.images[self.position]
        self.picture.value = encode_png(_enlarged(image))
        n_open = self.answers.count(None)
        self.progress.value = f"<b>picture {self.position + 1} of {len(self.images)}</b>, {n_open} to go"
        if n_open == 0:
            self.result.value = self._table()

    def _table(self) -> str:
        """Hits, misses and false alarms of you and of the network, as HTML."""
        rows = [("you", self, self.answers), ("the network", self, [bool(m.any()) for m in self.network])]
        if self.before is not None and None not in self.before.answers:
            rows.insert(0, ("you, the first time", self.before, self.before.answers))
        lines = [_table_row(name, *hunt.errors(said)) for name, hunt, said in rows]
        head = "".join(f"<th style='text-align:left;padding-right:18px'>{text}</th>" for text in TABLE_HEAD)
        return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


TABLE_HEAD = ("", "stones found", "missed, in pictures", "false alarms, in pictures")


def _table_row(name: str, hits: list[int], misses: list[int], false_alarms: list[int]) -> str:
    cells = (name, f"{len(hits)} of {len(hits) + len(misses)}", _numbers(misses), _numbers(false_alarms))
    return "<tr>" + "".join(f"<td style='text-align:left'>{cell}</td>" for cell in cells) + "</tr>"


def _enlarged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A slice (H, W) as the picture that is looked at, uint8 (height, width, 3)."""
    nothing = np.zeros(image.shape, np.float32)
    return render(image, target=nothing > 0, probability=nothing, settings=RenderSettings(size_px=SIDE_PX))


def find_the_stones(
    images: Images, masks: Masks, network: Masks, before: StoneHunt | None = None
) -> StoneHunt:
    """Start a `StoneHunt` on the page; without a kernel, a sheet of the slices. Returns it, for `before`."""
    hunt = StoneHunt(images, masks, network, before)
    tiles = [Tile(image, str(number)) for number, image in enumerate(images, start=1)]
    sentence = f"{len(images)} slices without any mark, numbered from 1. Which of them hold a stone?"
    show(hunt.widget, encode_jpeg(slice_sheet(tiles)), sentence)
    return hunt


def answer_sheet(hunt: StoneHunt) -> None:
    """Show the slices of a hunt with a ring around every true stone and a square where the network sees one."""
    tiles = [
        Tile(image, f"{number}: {'stone' if mask.any() else 'no stone'}", mask, marked)
        for number, (image, mask, marked) in enumerate(
            zip(hunt.images, hunt.masks, hunt.network, strict=True), start=1
        )
    ]
    hits, misses, false_alarms = hunt.errors([bool(mask.any()) for mask in hunt.network])
    show(
        None,
        encode_jpeg(slice_sheet(tiles)),
        f"The answer sheet. Stones are in the pictures {_numbers(sorted(hits + misses))}, each in a green ring. "
        f"Pink squares show what the network marks: it misses the pictures {_numbers(misses)} and gives a "
        f"false alarm in the pictures {_numbers(false_alarms)}.",
    )


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

    def __init__(self, image: NDArray[np.uint8], organs: dict[str, NDArray[np.bool_]]) -> None:
        self.drawn = [
            figure_png(draw_body_map(image, organs, names=names, colours=colours), dpi=90)
            for names, colours in ((False, False), (True, False), (True, True))
        ]
        self.picture = _image(756)
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
    figure.set_dpi(80)
    figure.canvas.draw()
    return encode_jpeg(np.asarray(figure.canvas.buffer_rgba())[..., :3], quality=85)


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
        self.picture, self.words = _image(), widgets.HTML()
        self.level = widgets.IntSlider(value=40, min=-200, max=1000, step=10, description="level (HU)", **SLIDER)
        self.width = widgets.IntSlider(value=400, min=20, max=2700, step=20, description="width (HU)", **SLIDER)
        self.presets = [_button(name) for name in WINDOWS]
        for button in self.presets:
            button.on_click(self._preset)
        for slider in (self.level, self.width):
            slider.observe(self._draw, names="value")
        beside = _under(self.level, self.width, *self.presets, self.words)
        self.widget = widgets.Box(
            [self.picture, beside], layout=widgets.Layout(display="flex", flex_flow="row wrap")
        )
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
    soft, bone = (window_picture(image_hu, *WINDOWS[name], 320) for name in ("soft tissue", "bone"))
    sentence = (
        "The patient's slice twice, each above the histogram of its HU with the window's band in blue: left "
        "level 40 and width 400, the kidneys grey and all bone white; right level 500 and width 1500, the "
        "vertebrae with an inside and the kidneys nearly black."
    )
    show(WindowMover(scan).widget, encode_jpeg(side_by_side(soft, bone)), sentence)


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

    def __init__(self, image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> None:
        self._image, self._mask = image, mask
        self.tried: dict[int, float] = {}
        self.picture, self.graph, self.words = _image(), _image(400), widgets.HTML()
        self.slider = widgets.IntSlider(value=60, min=0, max=255, description="threshold", **SLIDER)
        self.slider.observe(self._draw, names="value")
        row = widgets.Layout(display="flex", flex_flow="row wrap")
        pictures = widgets.Box([self.picture, _under(self.graph, self.words)], layout=row)
        self.widget = _under(self.slider, pictures)
        self._draw()

    def pictures(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The slice with its hits, misses and false alarms, and the curve; uint8 (height, width, 3) each."""
        settings = RenderSettings(threshold=self.slider.value / 255, size_px=SIDE_PX, opacity=0.55)
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


def threshold(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> None:
    """Show a `ThresholdHunt`; without a kernel, its picture and its curve at the best threshold."""
    tried = ThresholdHunt(image, mask)
    for grey in range(20, 256, 5):
        tried.slider.value = grey
    best = max(tried.tried, key=lambda grey: tried.tried[grey])
    tried.slider.value = best
    sentence = (
        f"Left the slice with all pixels of grey {best} or more marked: the whole spine, ribs and hip bones are "
        f"false alarms, the stone is one small hit. Right the curve of Dice against the threshold, which "
        f"never rises above {tried.tried[best]:.4f}."
    )
    show(ThresholdHunt(image, mask).widget, encode_jpeg(side_by_side(*tried.pictures())), sentence)
