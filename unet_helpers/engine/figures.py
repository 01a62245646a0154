"""Figures that a notebook shows once, and that leave nothing to close behind."""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = [
    "LIVE_DPI",
    "PAGE_DPI",
    "PAGE_INCHES",
    "figure_png",
    "in_notebook",
    "legend_below",
    "new_figure",
    "plain_figure",
    "save_figure",
    "set_title",
]

LONGEST_TITLE = 90  # letters of a line
PAGE_INCHES = 5.2  # the widest figure of a lesson: on a phone of 400 pixels, 9 points are still 9 pixels high
PAGE_DPI, LIVE_DPI = 88, 120  # of pictures kept in a notebook, and of those that a control changes


def plain_figure(width_inches: float, height_inches: float) -> Figure:
    """Return a figure that pyplot does not know: a notebook shows it once, and nothing has to be closed."""
    figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
    FigureCanvasAgg(figure)
    vars(figure)["_repr_png_"] = lambda: figure_png(figure)  # for notebooks that never load pyplot
    return figure


def in_notebook() -> bool:
    """Whether this code runs in the kernel of a notebook."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return hasattr(get_ipython(), "kernel")


def new_figure(width_inches: float, height_inches: float) -> Figure:
    """Return a pyplot figure where pyplot is in use, so that it is shown; else one that needs no closing."""
    if "matplotlib.pyplot" in sys.modules or in_notebook():
        import matplotlib.pyplot as plt

        return plt.figure(figsize=(width_inches, height_inches), layout="constrained")
    return plain_figure(width_inches, height_inches)


def set_title(ax: Axes, text: str, **style: Any) -> None:
    """Write a text above axes as it is: names of files may hold dollar signs, or letters that are none.

    Args:
        ax: The axes.
        text: Any text; the middle of a line that is too long is left out.
        **style: As for `Axes.set_title`.
    """
    half = LONGEST_TITLE // 2 - 1
    lines = [line if len(line) <= LONGEST_TITLE else f"{line[:half]}...{line[-half:]}"
             for line in text.encode("utf-8", "replace").decode().split("\n")]  # fmt: skip
    ax.set_title("\n".join(lines), parse_math=False, **style)


def legend_below(figure: Figure, n_columns: int = 2) -> None:
    """Gather the legends of all panels into one below them, where there is room for its words."""
    entries: dict[str, Any] = {}
    for legend in [ax.get_legend() for ax in figure.axes]:
        if legend is not None:
            words = [text.get_text() for text in legend.get_texts()]
            entries |= dict(zip(words, legend.legend_handles, strict=True))
            legend.remove()
    if entries:
        where: dict[str, Any] = {"loc": "outside lower center", "ncols": n_columns}
        figure.legend(list(entries.values()), list(entries), **where, frameon=False, fontsize=9)


def figure_png(figure: Figure, dpi: int = 100) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def save_figure(figure: Figure, path: str | Path, dpi: int = 120) -> Path:
    """Write a figure to an image file (.png, .svg, .pdf) and return its path; never half a file."""
    from unet_helpers.engine.files import written_whole

    with written_whole(path) as scratch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of a title; it is drawn as a box
        figure.savefig(scratch, dpi=dpi)
    return Path(path)
