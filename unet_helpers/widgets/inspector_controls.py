"""What can be moved in the inspector, and how it lies on the page (ipywidgets from 7.7.1 on)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

if TYPE_CHECKING:
    from unet_helpers.pictures.rendering import Region

__all__ = ["BY_HAND", "WHOLE", "Controls"]

WHOLE, BY_HAND = "whole", "by hand"  # short: the front end cuts off the words beside a slider
SECTIONS_IN_VIEW = 6  # a jump to a section enlarges it to a sixth of the picture, within the limits below
JUMP_ZOOMS = (3.0, 8.0)
ZOOM_STEP, MARGIN = 0.5, 1.5  # a region and a quarter of it on each side stay in view
LOOK: dict[str, Any] = {"style": {"description_width": "76px"}, "layout": {"width": "auto"}}
HALF = {"width": "auto", "flex": "1 1 136px", "margin": "2px"}  # two in a row, where there is room


# Picture and controls share the row; where it is narrower than about 600 px, the controls go below. A phone
# is narrower than any of the widths here: everything may shrink.
WRAPPED = {"display": "flex", "flex_flow": "row wrap", "align_items": "flex-start", "width": "100%"}
PICTURE = {"flex": "1 1 300px", "width": "auto", "height": "auto", "min_width": "0", "margin": "0 10px 4px 0"}
BESIDE = {"flex": "1 1 270px", "width": "auto", "max_width": "300px", "min_width": "0"}


def _slider(label: str, value: float, low: float, high: float, step: float) -> Any:
    kind = widgets.IntSlider if isinstance(step, int) else widgets.FloatSlider
    return kind(value=value, min=low, max=high, step=step, description=label, **LOOK)


def _checkbox(label: str, value: bool, layout: dict[str, str]) -> Any:
    return widgets.Checkbox(value=value, description=label, indent=False, layout=layout)


class Controls:
    """The inspector's controls, and how those that choose the place follow each other.

    Every attribute is a plain ipywidgets control.

    Args:
        n_images: How many images there are to choose from.
        threshold: Where the slider starts.
        has_hu: Whether the images are in HU: then the window sliders are shown.

    Attributes:
        widget: Everything together.
        picture: The image.
        score: The live line: Dice, IoU, sections found and missed, false alarms.
        sections: The diameters of the sections.
        message: What a button found, or did not find.
        index: Position in the order, from 1.
        threshold, opacity, level, width, zoom, row, column: Sliders; row and column are percentages.
        look_at: Slider over whole image, each of the sections, and by hand (row and column). No drop-down
            list, because JupyterLab takes the arrow keys away from those.
        truth, prediction, errors, heat_map: Check boxes: what is drawn.
        worst_first: Check box: the images by Dice, the worst first, instead of as given.
        next_miss, next_false_alarm: Buttons.
    """

    def __init__(self, n_images: int, threshold: float, has_hu: bool) -> None:
        self.picture = widgets.Image(format="png", layout=dict(PICTURE))
        self.score, self.sections, self.message = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.index = _slider("image", 1, 1, n_images, 1)
        self.worst_first = _checkbox("worst Dice first", False, {"width": "auto"})
        self.threshold = _slider("threshold", threshold, 0.0, 1.0, 0.01)
        self.opacity = _slider("opacity", 0.3, 0.0, 1.0, 0.05)
        self.level = _slider("level (HU)", 40, -200, 1000, 10)
        self.width = _slider("width (HU)", 400, 50, 2000, 10)
        self.look_at = widgets.SelectionSlider(options=[WHOLE], description="look at", **LOOK)
        self.zoom = _slider("zoom", 1.0, 1.0, 12.0, ZOOM_STEP)
        self.row = _slider("up / down", 50, 0, 100, 1)
        self.column = _slider("left / right", 50, 0, 100, 1)
        self.errors, self.heat_map = _checkbox("errors", True, HALF), _checkbox("heat map", False, HALF)
        self.truth, self.prediction = _checkbox("truth", False, HALF), _checkbox("prediction", False, HALF)
        self.next_miss = widgets.Button(description="next miss", layout=HALF)
        self.next_false_alarm = widgets.Button(description="next false alarm", layout=HALF)
        self._close = 1.0  # the zoom that a hand or a jump has chosen; 1 is the whole image
        self.widget = self._arrange(n_images > 1, has_hu)

    def _arrange(self, has_choice: bool, has_hu: bool) -> Any:
        """The picture, and beside it all controls that have something to control."""
        from unet_helpers.pictures.words import legend_html

        which = [self.index, self.worst_first] if has_choice else []
        window = [self.level, self.width] if has_hu else []
        where = [self.look_at, self.zoom, self.row, self.column]
        pairs = (self.errors, self.heat_map), (self.truth, self.prediction)
        toggles = [widgets.HBox(pair, layout=WRAPPED) for pair in pairs]
        buttons = widgets.HBox([self.next_miss, self.next_false_alarm], layout=WRAPPED)
        panel = [self.score, *which, self.threshold, self.opacity, *window, *where, *toggles, buttons]
        panel += [self.message, widgets.HTML(legend_html()), self.sections]
        return widgets.Box([self.picture, widgets.VBox(panel, layout=BESIDE)], layout=WRAPPED)

    def observe(self, moved: Callable[[dict[str, Any]], None], jump: Callable[[str], None]) -> None:
        """Call `moved` with each change of a control, `jump` with the kind of mistake that a button seeks."""
        which = [self.index, self.worst_first, self.look_at, self.zoom, self.row, self.column]
        how = [self.threshold, self.opacity, self.level, self.width]
        toggles = [self.errors, self.heat_map, self.truth, self.prediction]
        for control in which + how + toggles:
            control.observe(moved, names="value")
        self.next_miss.on_click(lambda _: jump("miss"))
        self.next_false_alarm.on_click(lambda _: jump("false alarm"))

    # ------------------------------------------------------------------------------------- where to look
    def list_sections(
        self, sections: Sequence[Region], predicted: Sequence[Region], shape: tuple[int, ...]
    ) -> None:
        """Offer the sections of an image (H, W); stay zoomed in if that was so before.

        The zoom is then on the first section, or on the largest predicted region. An image that has neither
        is shown whole: enlarged, it would be a blur. The next image with something in it is enlarged again.
        """
        self._sections, self._shape = sections, shape
        self.look_at.options = [WHOLE, *(f"section {i + 1}" for i in range(len(sections))), BY_HAND]
        places = [*sections[:1], *sorted(predicted, key=lambda region: -region.side)]
        self._first = ("section 1" if sections else BY_HAND), (places[0] if places else None)
        if self._close == 1 or not places:
            self.look_at.value, self.zoom.value, self.row.value, self.column.value = WHOLE, 1.0, 50, 50
        else:
            self.look_at.value = self._first[0]
            self.centre_on(places[0])

    def aim(self) -> None:
        """Move the zoom sliders to what `look_at` says."""
        if self.look_at.value == WHOLE:
            self._close = self.zoom.value = 1.0
            self.row.value = self.column.value = 50
        elif self.look_at.value == BY_HAND:
            self._close = self.zoom.value = max(self.zoom.value, 2.0)
        else:
            self.centre_on(self._sections[self.look_at.options.index(self.look_at.value) - 1])

    def aim_by_zoom(self) -> None:
        """Move `look_at` to what the zoom slider says."""
        self._close = self.zoom.value
        if self._close == 1:
            self.look_at.value = WHOLE
        elif self.look_at.value == WHOLE:
            self.look_at.value, place = self._first
            if place is not None:  # the zoom itself stays in the hand that drags it
                self._point_at(place)

    def _point_at(self, region: Region) -> None:
        height, width = self._shape
        self.row.value = round(100 * region.row / max(height - 1, 1))
        self.column.value = round(100 * region.column / max(width - 1, 1))

    def centre_on(self, region: Region) -> None:
        """Move the zoom sliders to a region of the image, enlarged, but never so far that it is cut off."""
        height, width = self._shape
        self._point_at(region)
        if self._close == 1:
            low, high = JUMP_ZOOMS
            self._close = float(
                round(min(max(max(height, width) / region.side / SECTIONS_IN_VIEW, low), high))
            )
        whole = min(height, width) / (region.side * MARGIN)
        self.zoom.value = min(self._close, max(1.0, math.floor(whole / ZOOM_STEP) * ZOOM_STEP))
