"""Sliders and buttons that leave room to move on a phone, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets

__all__ = ["button", "numbered", "slider", "steps"]


def slider(words: str, value: int, low: int, high: int, live: bool = True) -> Any:
    """A slider over whole numbers, its words beside it; `live` redraws while it is dragged."""
    return ipywidgets.IntSlider(
        value=value, min=low, max=high, description=words, continuous_update=live,
        style={"description_width": "initial"}, layout=ipywidgets.Layout(width="95%", max_width="520px"),
    )  # fmt: skip


def steps(words: str, value: int, options: Sequence[int]) -> Any:
    """A slider over given numbers."""
    return ipywidgets.SelectionSlider(
        options=list(options), value=value, description=words, style={"description_width": "initial"},
        layout=ipywidgets.Layout(width="95%", max_width="520px"),
    )  # fmt: skip


def numbered(control: Any) -> Any:
    """A slider and its number: beside it, or below it on a phone, where else no room to move is left."""
    number = ipywidgets.Label(layout=ipywidgets.Layout(flex="0 0 26px", margin="0"))
    ipywidgets.dlink((control, "value"), (number, "value"), str)
    return ipywidgets.HBox([control, number], layout=ipywidgets.Layout(width="32%", flex_flow="row wrap"))


def button(words: str, action: Callable[[], None]) -> Any:
    """A button as wide as its words, and what a press does."""
    pressed = ipywidgets.Button(description=words, layout=ipywidgets.Layout(width="auto"))
    pressed.on_click(lambda _: action())
    return pressed
