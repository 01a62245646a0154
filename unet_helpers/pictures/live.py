"""Pictures that replace themselves in the output of a cell while a training runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unet_helpers.engine import figures
from unet_helpers.plotting import plot_history

__all__ = ["LiveCurves", "LivePicture"]


def _shown(png: bytes, handle: Any) -> Any:
    """Show a PNG in the output of the cell, in the place of the one before; returns its handle."""
    from IPython import display

    ipython: Any = display  # it is not typed
    image = ipython.Image(data=png, format="png")
    if handle is None:
        return ipython.display(image, display_id=True)
    handle.update(image)
    return handle


class LiveCurves:
    """Redraws the training curves in place: pass it to `fit(..., on_epoch=LiveCurves())`.

    In a notebook the picture is replaced, not appended, and the last state stays in the file as a plain PNG.
    Outside a notebook it does nothing.
    """

    def __init__(self) -> None:
        self._handle: Any = None

    def __call__(self, history: Sequence[Mapping[str, float]]) -> None:
        """Draw the history so far.

        Args:
            history: As for `plotting.plot_history`.
        """
        if not history or not figures.in_notebook():
            return
        figure = figures.plain_figure(7, 3.8)
        plot_history(history, ax=figure.subplots())
        self._handle = _shown(figures.figure_png(figure), self._handle)


class LivePicture:
    """Shows a picture file in place, again after every epoch: the strip that `fit` draws of its snapshots.

    Outside a notebook it does nothing.

    Args:
        path: PNG file; it may be missing at first.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._handle: Any = None

    def __call__(self, history: Sequence[Mapping[str, float]] = ()) -> None:
        """Show the file as it is now; the history is not looked at."""
        if self.path.is_file() and figures.in_notebook():
            self._handle = _shown(self.path.read_bytes(), self._handle)
