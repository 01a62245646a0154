"""A hit must be a hit: a prediction that grows around a stone, and what two rules say to it (lesson 5)."""

from __future__ import annotations

import ipywidgets
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from unet_helpers.engine.figures import LIVE_DPI, PAGE_DPI, figure_png
from unet_helpers.exercises.hero import hero_case
from unet_helpers.metrics import HIT_IOU, dice, iou, match_stones
from unet_helpers.pictures import verdicts
from unet_helpers.scores.judging import Judged
from unet_helpers.widgets.controls import slider
from unet_helpers.widgets.still import flat_png, show

__all__ = ["Growth", "grow"]


class Growth:
    """A round prediction around a stone that a slider makes larger, and what two rules say to it.

    Args:
        image, target: Cut out around the stone, (H, W).

    Attributes:
        radius: The slider, in pixels.
        tried: IoU of every radius so far.
        words: What both rules say.
        widget: Everything together.
    """

    def __init__(self, image: verdicts.Image, target: verdicts.Mask) -> None:
        self._image, self._target = image, target
        rows, columns = np.nonzero(target)
        grid = np.indices(target.shape)
        self._distance = np.hypot(grid[0] - rows.mean(), grid[1] - columns.mean())
        self.tried: dict[int, float] = {}
        self.radius = slider("radius", 1, 1, int(min(target.shape) // 2))
        self.words = ipywidgets.HTML()
        layout = ipywidgets.Layout(max_width="98%", align_self="flex-start")
        self.picture = ipywidgets.Image(format="png", layout=layout)
        self.radius.observe(lambda _: self._draw(), names="value")
        self.widget = ipywidgets.VBox([self.radius, self.words, self.picture])
        self._draw()

    def prediction(self, radius: int) -> NDArray[np.bool_]:
        """What is marked at a radius."""
        marked: NDArray[np.bool_] = self._distance <= radius
        return marked

    def try_all(self) -> None:
        """Know the IoU of every radius, as if the slider had been everywhere."""
        radii = range(self.radius.min, self.radius.max + 1)
        self.tried = {radius: float(iou(self.prediction(radius), self._target)) for radius in radii}

    def figure(self) -> Figure:
        marked = self.prediction(self.radius.value)
        return verdicts.growing(self._image, self._target, marked, self.tried, HIT_IOU)

    def _draw(self) -> None:
        marked = self.prediction(self.radius.value)
        overlap = float(iou(marked, self._target))
        self.tried[self.radius.value] = overlap
        touches = "found" if (marked & self._target).any() else "missed"
        strict = "found" if match_stones(marked, self._target).n_found else "missed"
        self.words.value = (
            f"Dice {float(dice(marked, self._target)):.2f}, IoU <b>{overlap:.2f}</b><br>"
            f"rule 'it touches': <b>{touches}</b>; rule 'IoU at least {HIT_IOU:g}': <b>{strict}</b>"
        )
        self.picture.value = figure_png(self.figure(), LIVE_DPI)


def grow(test: Judged) -> None:
    """Show a `Growth` around the stone of the patient of the series; without a kernel, one state of it."""
    try:
        hero = hero_case(test.pairs)
    except ValueError:
        print("No slice of the test part shows exactly one stone, so there is nothing to grow here.")
        return
    i = list(test.pairs).index(hero)
    side = max(48, 4 * int(np.sqrt(test.masks[i].sum())))
    near = verdicts.square_at(test.masks[i], min(side, *test.masks[i].shape))
    moved, still = (Growth(test.images[i][near], test.masks[i][near]) for _ in range(2))
    still.try_all()
    best = max(still.tried, key=lambda radius: still.tried[radius])
    lost = [radius for radius, overlap in still.tried.items() if radius > best and overlap < HIT_IOU]
    still.radius.value = min(lost, default=still.radius.max)
    sentence = (
        f"A round prediction around the stone, and the curve of its IoU: best at a radius of {best} pixels"
        + (f", and below {HIT_IOU:g}, so no hit any more, at {lost[0]}." if lost else ".")
    )
    show(moved.widget, flat_png(still.figure(), PAGE_DPI, 128), sentence)
