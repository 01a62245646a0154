"""Look at predictions by hand: one picture and the controls that change it.

`Inspector` says what happens when a control moves: one PNG is composed for one image widget. The controls
themselves stand in `widgets.inspector_controls`; the picture is drawn in `pictures.rendering`, the words are
found in `pictures.words`, and the methods that need those rooms import them.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_helpers.engine.checks import check_per_image
from unet_helpers.engine.figures import figure_png
from unet_helpers.metrics import dice, predicted_mask
from unet_helpers.plotting import contact_sheet
from unet_helpers.widgets.inspector_controls import BY_HAND, Controls

if TYPE_CHECKING:
    from unet_helpers.pictures.rendering import Region, RenderSettings

__all__ = ["Inspector"]

N_STATIC = 8  # images on the sheet that a reader without a kernel sees


class Inspector(Controls):
    """Interactive view of predictions: put it on the last line of a cell, or `display` it.

    A picture is composed before the kernel answers, and the browser's side of ipywidgets holds a slider's
    moves back until it has the answer, then sends only the newest. So a drag does not pile up old moves.

    Every control is an attribute (see `Controls`), so that code can move it as a hand does:
    `inspector.threshold.value = 0.3`. `picture` holds the PNG of `render` with `settings()`.

    Args:
        images: Uint8 arrays (H, W); sizes may differ from image to image.
        targets: Bool arrays, the truth, one an image.
        probabilities: Float arrays in [0, 1], one an image.
        threshold: Where the slider starts.
        min_pixels: Predicted regions of fewer pixels are deleted.
        images_hu: Float arrays in HU, one an image: shown instead of `images`; adds two window sliders.
        spacing_mm: Pixel size in millimetres: one number or a tuple (row, column), or a list with one of
            these an image; sizes are in pixels if None.
        names: One name an image, shown above its scores.
        size_px: Longer side of the picture.

    Raises:
        ValueError: If lengths, shapes, types or ranges do not fit; the message names the argument.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        *,
        targets: Sequence[np.ndarray],
        probabilities: Sequence[np.ndarray],
        threshold: float = 0.5,
        min_pixels: int = 0,
        images_hu: Sequence[np.ndarray] | None = None,
        spacing_mm: float | tuple[float, float] | Sequence[float | tuple[float, float]] | None = None,
        names: Sequence[str] | None = None,
        size_px: int = 640,
    ) -> None:
        from unet_helpers.pictures.rendering import check_arrays
        from unet_helpers.scores.records import pixel_sizes

        masks = {"targets": targets, "probabilities": probabilities}
        check_per_image(len(images), **masks, images_hu=images_hu, names=names)
        if not len(images):
            raise ValueError("images must hold at least one image, got none.")
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold must lie in [0, 1], got {threshold}.")
        self._images = [np.asarray(image) for image in (images if images_hu is None else images_hu)]
        self._targets = [np.asarray(target) for target in targets]
        self._probabilities = [np.asarray(probability) for probability in probabilities]
        for i in range(len(images)):
            check_arrays(self._images[i], **self._masks(i), where=f" {i}")
        self._names = [str(name) for name in names] if names is not None else [""] * len(images)
        self._sizes, self._unit = pixel_sizes(spacing_mm, len(images)), "px" if spacing_mm is None else "mm"
        self._min_pixels, self._size_px = min_pixels, size_px
        self._has_hu, self._order = images_hu is not None, list(range(len(images)))
        self._busy = False  # whether a control is moved by us, and not by a hand
        self._drawn: object = None  # what the picture shows
        self._scored: object = None  # what the live line is about
        self._visited: tuple[str, int] | None = None  # kind and number of the mistake jumped to last
        super().__init__(len(images), threshold, self._has_hu)
        self.index.value = 1 + next((i for i, one in enumerate(self._targets) if one.any()), 0)
        self._open_image()
        self._draw()
        self.observe(self._moved, self._jump)

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget, and for readers without a kernel (GitHub, nbviewer) the worst images as a picture."""
        from unet_helpers.pictures.rendering import to_grey

        shown, settings = self._worst_first()[:N_STATIC], self.settings()
        greys = [to_grey(self._images[i], settings) for i in shown]
        targets, predictions = [self._targets[i] for i in shown], [self._predicted(i) for i in shown]
        sheet = contact_sheet(greys, targets=targets, predictions=predictions, n_columns=2)
        png, sentence = base64.b64encode(figure_png(sheet, dpi=72)).decode("ascii"), repr(self)
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        data = {"application/vnd.jupyter.widget-view+json": view, "text/plain": sentence, "image/png": png}
        return data, {"image/png": {"alt": sentence}}

    def __repr__(self) -> str:
        return f"Inspector of {len(self._images)} images: found, missed and false alarms, the worst first."

    def _masks(self, image: int) -> dict[str, np.ndarray]:
        return {"target": self._targets[image], "probability": self._probabilities[image]}

    @property
    def current(self) -> int:
        """Index of the shown image in the lists that were given."""
        return self._order[int(self.index.value) - 1]

    def settings(self) -> RenderSettings:
        """Return the settings that the controls stand for now."""
        from unet_helpers.pictures.rendering import RenderSettings

        height, width = self._images[self.current].shape
        return RenderSettings(
            threshold=self._threshold(),
            min_pixels=self._min_pixels,
            opacity=round(self.opacity.value, 3),
            show_truth=self.truth.value,
            show_prediction=self.prediction.value,
            show_errors=self.errors.value,
            show_heat_map=self.heat_map.value,
            window_level=self.level.value if self._has_hu else None,
            window_width=self.width.value if self._has_hu else None,
            zoom=round(self.zoom.value, 3),
            centre=(self.row.value / 100 * (height - 1), self.column.value / 100 * (width - 1)),
            size_px=self._size_px,
        )

    def _threshold(self) -> float:
        return round(float(self.threshold.value), 3)  # a browser's 0.65 may be off by its last bit

    def _predicted(self, image: int) -> np.ndarray:
        return predicted_mask(self._probabilities[image], self._threshold(), self._min_pixels)

    def _draw(self) -> None:
        """Compose the picture and the live line; nothing where nothing changed."""
        from unet_helpers.pictures.rendering import encode_png, render
        from unet_helpers.pictures.words import score_html, sections_html
        from unet_helpers.scores.records import score_image

        image, settings = self.current, self.settings()
        if (image, settings) != self._drawn:
            picture = render(self._images[image], **self._masks(image), settings=settings)
            self.picture.layout.max_width = f"{picture.shape[1]}px"  # else some front ends stretch it
            self.picture.value = encode_png(picture)
            self._drawn = image, settings
        scored = image, settings.threshold, self.index.value
        if scored != self._scored:
            score = score_image(self._predicted(image), self._targets[image], self._sizes[image])
            name = f": {self._names[image]}" if self._names[image] else ""
            self.score.value = score_html(score, f"image {self.index.value} of {len(self._images)}{name}")
            self.sections.value = sections_html(score, self._unit)
            self._scored = scored

    def _moved(self, change: dict[str, Any]) -> None:
        """Answer the move of a control: first the controls that depend on it, then one picture."""
        if self._busy:
            return
        self._busy = True
        try:
            self._follow(change["owner"])
        finally:
            self._busy = False
        self.message.value = ""
        self._draw()

    def _follow(self, control: object) -> None:
        if control is self.worst_first:
            self._sort()
        if control is self.worst_first or control is self.index:
            self._open_image()
        elif control is self.look_at:
            self.aim()
        elif control is self.zoom:
            self.aim_by_zoom()
        elif control is self.row or control is self.column:
            self.look_at.value = BY_HAND
            self.zoom.value = max(self.zoom.value, 2.0)

    def _sort(self) -> None:
        """Put the images in the chosen order: the worst first, or the shown image at its own place."""
        shown, as_given = self.current, list(range(len(self._images)))
        self._order = self._worst_first() if self.worst_first.value else as_given
        self.index.value = 1 if self.worst_first.value else shown + 1

    def _worst_first(self) -> list[int]:
        scores = [float(dice(self._predicted(i), target)) for i, target in enumerate(self._targets)]
        clean = [not target.any() for target in self._targets]  # of equal ones, those with a stone come first
        return sorted(range(len(scores)), key=lambda i: (math.isnan(scores[i]), scores[i], clean[i]))

    def _open_image(self) -> None:
        """List the sections of the image; stay zoomed in if that was so before and there is a place."""
        from unet_helpers.pictures.rendering import find_regions

        self._visited, image = None, self.current
        sections, predicted = find_regions(self._targets[image]), find_regions(self._predicted(image))
        self.list_sections(sections, predicted, self._images[image].shape)

    def _next(self, kind: str) -> tuple[int, int, Region] | None:
        """Position, number and place of the next mistake after the one visited last; round the end once."""
        from unet_helpers.pictures.rendering import find_false_alarms, find_missed

        find = find_missed if kind == "miss" else find_false_alarms
        n_images, start = len(self._images), self.index.value - 1
        last = self._visited[1] if self._visited and self._visited[0] == kind else -1
        for step in range(n_images + 1):
            position = (start + step) % n_images
            image = self._order[position]
            for number, region in find(self._predicted(image), self._targets[image]):
                if step or number > last:
                    return position, number, region
        return None

    def _jump(self, kind: str) -> None:
        """Show the next missed section or false alarm, enlarged."""
        found = self._next(kind)
        if found is None:
            what = "No section is missed" if kind == "miss" else "There is no false alarm"
            self.message.value = f"{what} at threshold {self.threshold.value:.2f}, in any image."
            return
        position, number, region = found
        self._busy = True
        try:
            self.index.value = position + 1
            self._open_image()
            self.look_at.value = f"section {number + 1}" if kind == "miss" else BY_HAND
            self.centre_on(region)
        finally:
            self._busy = False
        self._visited, self.message.value = (kind, number), ""
        self._draw()
