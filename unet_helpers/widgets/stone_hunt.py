"""The hunt of lesson 1: many slices, one question, and two kinds of error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

from unet_helpers.engine.calm import CalmError
from unet_helpers.pictures.rendering import encode_png
from unet_helpers.pictures.sheets import CAPTION_PX, Tile, around, encode_jpeg, slice_sheet
from unet_helpers.widgets.controls import beside
from unet_helpers.widgets.still import show

__all__ = ["StoneHunt", "answer_sheet", "find_the_stones"]

Images = Sequence[NDArray[np.uint8]]
Masks = Sequence[NDArray[np.bool_]]

SIDE_PX, TILE_PX = 512, 90
SEEN_PX = 90  # of a slice on a tile of the answer sheet: a pixel of the slice is one of the page
VERDICTS = {(True, True): "found", (True, False): "missed", (False, True): "false alarm"}
TABLE_HEAD = ("", "with a stone, found", "missed, in pictures", "false alarms, in pictures")
CELL = "style='text-align:left;padding-right:18px'"


class StoneHunt:
    """One slice after the other: is there a stone in it? At the end your two kinds of error are counted.

    Once every slice has its answer, the pictures show the truth in green rings and what the network marks in
    pink squares.

    Args:
        images: Uint8 arrays (H, W), square.
        masks: Bool arrays, the truth, one an image.
        network: Bool arrays, what a network marks, one an image.
        before: An earlier hunt, whose result is shown beside this one.

    Attributes:
        answers: True, False, or None where nothing was said yet, one an image.
        yes, no, back, forward: Buttons.
        widget: Everything together.
    """

    def __init__(self, images: Images, masks: Masks, network: Masks, before: StoneHunt | None = None) -> None:
        self.images, self.masks, self.network, self.before = images, masks, network, before
        self.answers: list[bool | None] = [None] * len(images)
        self.position = 0
        layout = widgets.Layout(width=f"{SIDE_PX}px", max_width="100%")
        self.picture = widgets.Image(format="png", layout=layout)
        self.progress, self.result = widgets.HTML(), widgets.HTML()
        self.yes, self.no = _button("I see a stone", "warning"), _button("no stone", "info")
        self.back, self.forward = _button("◀"), _button("▶")
        self.yes.on_click(lambda _: self.answer(True))
        self.no.on_click(lambda _: self.answer(False))
        self.back.on_click(lambda _: self._turn_to(self.position - 1))
        self.forward.on_click(lambda _: self._turn_to(self.position + 1))
        buttons = beside(self.yes, self.no, self.back, self.forward)
        self.widget = widgets.VBox([self.progress, self.picture, buttons, self.result])
        self._turn_to(0)

    @property
    def finished(self) -> bool:
        """Whether every slice has its answer."""
        return None not in self.answers

    def answer(self, said: bool) -> None:
        """Keep an answer for the picture on show, and turn to the next one."""
        if self.finished:
            return
        self.answers[self.position] = said
        if self.finished:
            self.yes.disabled = self.no.disabled = True
            self.result.value = self._table()
        self._turn_to(0 if self.finished else self.position + 1)

    def errors(self, said: Sequence[bool | None]) -> tuple[list[int], list[int], list[int]]:
        """Positions of the hits, the misses and the false alarms of such answers."""
        rows = [(i, bool(one), bool(self.masks[i].any())) for i, one in enumerate(said)]
        hits = [i for i, one, stone in rows if one and stone]
        misses = [i for i, one, stone in rows if not one and stone]
        return hits, misses, [i for i, one, stone in rows if one and not stone]

    def _turn_to(self, position: int) -> None:
        """Show a picture; behind the last one comes the first that is still open."""
        if position >= len(self.images) and not self.finished:
            position = self.answers.index(None)
        self.position = position % len(self.images)
        marks = (self.masks[self.position], self.network[self.position]) if self.finished else (None, None)
        tile = Tile(self.images[self.position], "", *marks)
        self.picture.value = encode_png(slice_sheet([tile], 1, SIDE_PX)[CAPTION_PX:])
        self.progress.value = self._words()

    def _words(self) -> str:
        """Which picture this is, what was said to it, and what is still to do."""
        said = {True: "you said: a stone", False: "you said: no stone", None: "is there a stone?"}
        here, n_open = said[self.answers[self.position]], self.answers.count(None)
        number = f"<b>picture {self.position + 1} of {len(self.images)}</b>"
        if n_open:
            return f"{number} ({n_open} to go): {here}"
        return f"{number}: {here}. Green rings are stones, pink squares the network's marks."

    def _table(self) -> str:
        """Hits, misses and false alarms of you and of the network, as HTML."""
        rows: list[tuple[str, StoneHunt, Sequence[bool | None]]] = [
            ("you", self, self.answers),
            ("the network", self, [bool(mask.any()) for mask in self.network]),
        ]
        if self.before is not None and self.before.finished:
            rows.insert(0, ("you, the first time", self.before, self.before.answers))
        lines = [_table_row(name, *hunt.errors(said)) for name, hunt, said in rows]
        head = "".join(f"<th {CELL}>{text}</th>" for text in TABLE_HEAD)
        return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _button(text: str, style: str = "") -> Any:
    width = "116px" if style else "50px"  # two of each in a row on a phone
    return widgets.Button(description=text, button_style=style, layout=widgets.Layout(width=width))


def _numbers(chosen: Sequence[int]) -> str:
    """Picture numbers, counted from 1, as text."""
    return ", ".join(str(number + 1) for number in chosen) or "none"


def _table_row(name: str, hits: list[int], misses: list[int], false_alarms: list[int]) -> str:
    found = f"{len(hits)} of {len(hits) + len(misses)}"
    cells = (name, found, _numbers(misses), _numbers(false_alarms))
    return "<tr>" + "".join(f"<td {CELL}>{cell}</td>" for cell in cells) + "</tr>"


def find_the_stones(
    images: Images, masks: Masks, network: Masks, before: StoneHunt | None = None
) -> StoneHunt:
    """Start a `StoneHunt` on the page; without a kernel, a sheet of the slices. Returns it, for `before`.

    Raises:
        CalmError: If there is no slice to look at.
    """
    if not len(images):
        raise CalmError(
            "There is no slice to hunt in: apart from the patient whom you know by now, the test part of "
            "this data is empty. With a few patients more the hunt can begin."
        )
    hunt = StoneHunt(images, masks, network, before)
    tiles = [Tile(image, str(number)) for number, image in enumerate(images, start=1)]
    sentence = f"{len(images)} slices without any mark, numbered from 1. Which of them hold a stone?"
    show(hunt.widget, encode_jpeg(slice_sheet(tiles, side_px=TILE_PX)), sentence)
    return hunt


def answer_sheet(hunt: StoneHunt) -> None:
    """Show every stone and every mark of the network, one a tile, and count them slice by slice."""
    tiles = []
    rows = zip(hunt.images, hunt.masks, hunt.network, strict=True)
    for number, (image, target, marked) in enumerate(rows, start=1):
        if target.any() or marked.any():
            seen = around(target if target.any() else marked, SEEN_PX)
            verdict = VERDICTS[bool(target.any()), bool(marked.any())]
            tiles.append(Tile(image[seen], f"{number}: {verdict}", target[seen], marked[seen]))
    hits, misses, false_alarms = hunt.errors([bool(mask.any()) for mask in hunt.network])
    sentence = (
        "Cut-outs of the slices with a stone, in a green ring, and of those in which the network marks "
        "something, in a pink square."
    )
    if tiles:
        show(None, encode_jpeg(slice_sheet(tiles, side_px=TILE_PX)), sentence)
    print(f"{len(hits) + len(misses)} slices hold a stone: {_numbers(sorted(hits + misses))}")
    print(f"The network says stone in {len(hits)} of them. Slices it misses: {_numbers(misses)}")
    print(f"Slices with a false alarm: {_numbers(false_alarms)}")
