"""One output for two readers: what moves for those with a running kernel, a picture and words for the others.

Jupyter shows the richest part of an output that it can, and a widget is the richest. Without its kernel it
cannot be drawn: JupyterLab 4.6 then falls back to the picture, other programs say "model not found". So
`python3 tutorial.py tidy` takes the widget out of a lesson that is put into the repository. The sentence is
the picture's alternative text in the file. nbconvert's classic pages pass it on to screen readers and
JupyterLab 4.6 does not: each picture of a lesson is therefore read in the lesson's own words, too.
"""

from __future__ import annotations

import base64
import io
import sys
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from unet_helpers.engine.figures import PAGE_DPI, PAGE_INCHES, figure_png, in_notebook, plain_figure

__all__ = ["STEPS", "flat_png", "show", "show_figure", "you_are_here"]

WIDGET = "application/vnd.jupyter.widget-view+json"
STEPS = ("slice", "window", "tensor", "logits", "probability", "mask", "4.5 mm, lower calyx")
ROW_ENDS_WITH = "logits"


def show(widget: Any, png: bytes | None, sentence: str) -> None:
    """Put one output on the page: the widget, and under it what a reader without a kernel gets.

    Args:
        widget: An ipywidgets widget, or None for a picture that does not move.
        png: Bytes of a PNG or JPEG file; None if words are enough.
        sentence: What the picture shows; its alternative text, and all that is seen where nothing is drawn.
    """
    if not in_notebook():
        print(sentence)
        return
    from IPython.display import display

    data: dict[str, Any] = {"text/plain": sentence}
    metadata = {}
    if png is not None:
        kind = "image/jpeg" if png.startswith(b"\xff\xd8") else "image/png"
        data[kind] = base64.b64encode(png).decode("ascii")
        metadata = {kind: {"alt": sentence}}
    if widget is not None:
        data[WIDGET] = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    display(data, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]


def show_figure(
    figure: Figure, alt: str, photo: bool = False, dpi: int = PAGE_DPI, flat: bool = False
) -> None:
    """Show a matplotlib figure with alternative text, and close it.

    Args:
        figure: Any figure; its background becomes white, which dark pages need as well.
        alt: What is seen, in a sentence.
        photo: Write a JPEG: a quarter of the size for noisy CT pictures, but not for sharp lines.
        dpi: Pixels per inch.
        flat: Write a PNG of 32 colours: half the size, enough for lines and bars.
    """
    figure.patch.set_facecolor("white")
    show(
        None, _jpeg(figure, dpi) if photo else flat_png(figure, dpi) if flat else figure_png(figure, dpi), alt
    )
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(figure)


def flat_png(figure: Figure, dpi: int = PAGE_DPI, n_colours: int = 32) -> bytes:
    """A figure of lines and bars as a PNG of few colours, half the size of one of all colours."""
    figure.patch.set_facecolor("white")
    picture = Image.open(io.BytesIO(figure_png(figure, dpi))).convert("RGB")
    buffer = io.BytesIO()
    picture.quantize(n_colours, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _jpeg(figure: Figure, dpi: int) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpeg", dpi=dpi, pil_kwargs={"quality": 85})
    return buffer.getvalue()


def you_are_here(*steps: str) -> None:
    """Draw the way from a slice to a diagnosis, with the steps that this lesson takes marked.

    Args:
        steps: One or more of `STEPS`; "answer" is the last one.

    Raises:
        ValueError: If a step is unknown, or none is given.
    """
    wanted = {STEPS[-1] if step == "answer" else step for step in steps}
    if not wanted or not wanted <= set(STEPS):
        unknown = ", ".join(sorted(wanted - set(STEPS))) or "none"
        raise ValueError(f'steps must be some of {", ".join(STEPS[:-1])}, "answer", got {unknown}.')
    here = " and ".join(step for step in STEPS if step in wanted)
    here = "at every step" if len(wanted) == len(STEPS) else here
    show_figure(_strip(wanted), f"The way of a scan: {' → '.join(STEPS)}. You are here: {here}.")


def _strip(marked: set[str]) -> Figure:
    """One box a step, with an arrow to the next, in two rows: in one, a phone shows no letter of it."""
    figure = plain_figure(PAGE_INCHES, 0.9)
    figure.set_layout_engine("none")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.axis("off")
    ax.set(xlim=(0, PAGE_INCHES), ylim=(0, 0.9))  # in inches
    gap, left, bottom = 0.26, 0.05, 0.5
    arrow = {"arrowstyle": "-|>", "color": "#555555", "shrinkA": 0, "shrinkB": 0}
    for step in STEPS:
        width = 0.36 + 0.07 * len(step)
        here = step in marked
        box = {"facecolor": "#d55e00" if here else "#eeeeee", "edgecolor": "#555555", "linewidth": 0.8}
        ax.add_patch(_rectangle((left, bottom), width, 0.32, box))
        ink: dict[str, Any] = {"color": "white", "weight": "bold"} if here else {"color": "#333333"}
        ax.text(left + width / 2, bottom + 0.15, step, ha="center", va="center", fontsize=9, **ink)
        left += width + gap
        if step == ROW_ENDS_WITH:
            ax.annotate(
                "", (left - 0.02, bottom + 0.16), (left - gap + 0.03, bottom + 0.16), arrowprops=arrow
            )
            left, bottom = 0.05 + gap, 0.08
        if step != STEPS[-1]:
            ax.annotate(
                "", (left - 0.02, bottom + 0.16), (left - gap + 0.03, bottom + 0.16), arrowprops=arrow
            )
    return figure


def _rectangle(corner: tuple[float, float], width: float, height: float, style: dict[str, Any]) -> Any:
    from matplotlib.patches import FancyBboxPatch

    return FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=0.06", **style)
