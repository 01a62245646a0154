"""Sliders and buttons that leave room to move on a phone, too, and pictures that follow them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets
from matplotlib.figure import Figure

from unet_helpers.engine.figures import in_notebook
from unet_helpers.widgets.still import show

__all__ = ["beside", "button", "moving", "numbered", "slider", "steps", "wide"]

LONG_WORDS = 10  # letters that leave a phone no track to move on
Painted = tuple[Figure, str]  # a picture, and what it shows in a sentence (HTML)


def wide(words: str) -> Any:
    """Words, track and number in a row; long words above the track where the page is narrow."""
    flow = {"flex_flow": "row wrap", "height": "auto"} if len(words) > LONG_WORDS else {}
    return ipywidgets.Layout(width="95%", max_width="520px", **flow)


def slider(words: str, value: int, low: int, high: int, live: bool = True) -> Any:
    """A slider over whole numbers, its words beside it; `live` redraws while it is dragged."""
    return ipywidgets.IntSlider(
        value=value, min=low, max=high, description=words, continuous_update=live,
        style={"description_width": "initial"}, layout=wide(words),
    )  # fmt: skip


def steps(words: str, value: Any, options: Sequence[Any], live: bool = True) -> Any:
    """A slider over given numbers or words."""
    longest = max(map(str, options), key=len)
    return ipywidgets.SelectionSlider(
        options=list(options), value=value, description=words, continuous_update=live,
        style={"description_width": "initial"}, layout=wide(words + longest),
    )  # fmt: skip


def numbered(control: Any) -> Any:
    """A slider and its number: beside it, or below it on a phone, where else no room to move is left."""
    number = ipywidgets.Label(layout=ipywidgets.Layout(flex="0 0 26px", margin="0"))
    ipywidgets.dlink((control, "value"), (number, "value"), str)
    return ipywidgets.HBox([control, number], layout=ipywidgets.Layout(width="32%", flex_flow="row wrap"))


def button(words: str, action: Callable[[], None], takes_all: bool = False) -> Any:
    """A button as wide as its words, and what a press does; `takes_all`: with what the others are set to."""
    style = "primary" if takes_all else ""
    pressed = ipywidgets.Button(description=words, button_style=style, layout=ipywidgets.Layout(width="auto"))
    pressed.on_click(lambda _: action())
    return pressed


def beside(*children: Any) -> Any:
    """Side by side, and below each other where the page is narrow."""
    layout = ipywidgets.Layout(display="flex", flex_flow="row wrap", max_width="100%")
    return ipywidgets.Box(list(children), layout=layout)


def moving(
    paint: Callable[..., Painted],
    sliders: Mapping[str, Any],
    alt: str,
    encoded: Callable[[Figure], bytes],
    still: bytes | None = None,
) -> None:
    """Show sliders, the picture that they change, and a line that says what is seen.

    Args:
        paint: Takes the values of the sliders by name; returns the picture and a sentence.
        sliders: Made by `slider` or `steps`, by name.
        alt: What the picture without a kernel shows.
        encoded: Makes a PNG or JPEG file of a picture.
        still: The picture without a kernel; that of the beginning if None.
    """
    figure, sentence = paint(**{name: one.value for name, one in sliders.items()})
    first = encoded(figure)
    if not in_notebook():
        show(None, still or first, alt)
        return
    kind = "jpeg" if first.startswith(b"\xff\xd8") else "png"
    sharp = ipywidgets.Layout(max_width="100%", align_self="flex-start")  # in its own size on a wide page
    picture, line = ipywidgets.Image(value=first, format=kind, layout=sharp), ipywidgets.HTML(sentence)

    def redraw(_: Any) -> None:
        figure, line.value = paint(**{name: one.value for name, one in sliders.items()})
        picture.value = encoded(figure)

    for one in sliders.values():
        one.observe(redraw, names="value")
    show(ipywidgets.VBox([*sliders.values(), picture, line]), still or first, alt)
