"""What moves in lesson 7: where to look first, a batch size, blank slices, an unlabelled case."""

from __future__ import annotations

import copy
import html
import io
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from unet_helpers.engine.figures import figure_png, in_notebook
from unet_helpers.exercises.museum import batch_dice, in_company
from unet_helpers.exercises.museum_cases import EXHIBITS, PROBES, Case, draw_case
from unet_helpers.exercises.museum_places import PLACES
from unet_helpers.exercises.progress import recall, remember
from unet_helpers.metrics import predicted_mask
from unet_helpers.pictures import museum as draw
from unet_helpers.widgets.controls import beside, button, moving, steps
from unet_helpers.widgets.still import show

__all__ = [
    "answers",
    "batch_size",
    "company",
    "labels",
    "loss_curve",
    "scores",
    "unknown_case",
    "where",
]

Mask = NDArray[np.bool_]
Grey = NDArray[np.uint8]
BATCHES = (1, 2, 4, 8, 16, 32, 64)
BLANKS = (0, 1, 2, 3, 4, 5, 6, 7)


def _bytes(figure: Figure, photo: bool = False) -> bytes:
    """A figure as a small file: JPEG for noisy pictures, PNG of 64 colours for drawings."""
    buffer = io.BytesIO()
    if photo:
        figure.savefig(buffer, format="jpeg", dpi=80, pil_kwargs={"quality": 70})
        return buffer.getvalue()
    drawing = Image.open(io.BytesIO(figure_png(figure, 80))).convert("RGB")
    drawing.quantize(64, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


# --------------------------------------------------------------------------------- pictures that stand still
def loss_curve(
    losses: Sequence[float], forbidden: tuple[float, float] | None = None, words: str = ""
) -> None:
    """Show the loss of every step; `forbidden`: a range to shade (ends may be infinite), named by `words`."""
    sentence = f"The loss of {len(losses)} steps: it begins at {losses[0]:.3g} and ends at {losses[-1]:.3g}."
    show(None, _bytes(draw.draw_curve(losses, forbidden, words)), sentence)


def labels(maps: Mapping[str, NDArray[np.uint8]]) -> None:
    """Show label maps with the labels 0 (air), 1 (stone) and 2 (body), and say how many pixels are stone."""
    counts = "; ".join(f"{title}: {int((one == 1).sum())} pixels of stone" for title, one in maps.items())
    sentence = f"Label maps side by side, air, stone and body in three colours. {counts}.".replace("\n", " ")
    show(None, _bytes(draw.draw_labels(maps)), sentence)


def scores(rows: Mapping[str, Sequence[float]]) -> None:
    """Show one dot a score, in rows with a name each, over the range from 0 to 1."""
    told = "; ".join(
        f"{name} from {min(row):.2f} to {max(row):.2f}" for name, row in rows.items() if len(row)
    )
    show(None, _bytes(draw.draw_range(rows)), f"One dot a slice, above the range from 0 to 1: {told}.")


def answers(image: Grey, mask: Mask, marked: Mapping[str, Mask]) -> None:
    """Show one slice with several answers to it, its stone in a ring; each has its title."""
    told = "; ".join(f"{title}: {int(answer.sum())} pixels marked" for title, answer in marked.items())
    titles = {f"{title}: {int(answer.sum())} pixels": answer for title, answer in marked.items()}
    picture = _bytes(draw.draw_slices(image, mask, titles), photo=True)
    show(None, picture, f"One slice, its stone ringed. {told}.")


# ---------------------------------------------------------------------------------------------- where to look
def where(name: str) -> None:
    """Ask where to look first: a button a place; each answers back, and the first one pressed is kept.

    Args:
        name: A name of `PLACES`.

    Raises:
        ValueError: If there is no such room.
    """
    if name not in PLACES:
        raise ValueError(f"name must be one of {', '.join(PLACES)}, got {name!r}.")
    room = PLACES[name]
    listed = ", ".join(room.replies)
    sentence = f"{room.question} Choose: {listed}. (In a running notebook these are buttons that answer.)"
    if not in_notebook():
        print(sentence)
        return
    show(_where(name), None, sentence)


def _where(name: str) -> Any:
    """The widget of `where`."""
    import ipywidgets as widgets

    room, key = PLACES[name], f"lesson07.{name}"
    line = widgets.HTML()

    def press(place: str) -> None:
        remember(key, lambda old: old or {"guess": place, "truth": room.right})
        mark = "✅" if place == room.right else "❌"
        line.value = f"{mark} <b>{html.escape(place)}</b>: {html.escape(room.replies[place])}"

    if "guess" in recall(key):
        line.value = f"You chose “{html.escape(recall(key)['guess'])}” before."
    buttons = [button(place, partial(press, place)) for place in room.replies]
    return widgets.VBox([widgets.HTML(f"<b>{html.escape(room.question)}</b>"), beside(*buttons), line])


# ---------------------------------------------------------------------------------------------- a batch size
def batch_size(answers: Sequence[Mask], masks: Sequence[Mask]) -> None:
    """Show a slider of the batch size, and what it makes of the mean Dice of batches.

    Args:
        answers: Bool arrays (H, W), what a network marks.
        masks: Bool arrays of the same shapes, the truth.
    """
    sizes = [size for size in BATCHES if size == 1 or size <= len(masks)]
    found = {size: batch_dice(answers, masks, size) for size in sizes}

    def paint(size: int) -> tuple[Figure, str]:
        figure = draw.draw_batches(found, size)
        return figure, f"{size} per batch: the project reports a Dice of {found[size]:.3f}."

    alt = f"The reported Dice against the batch size: {', '.join(f'{s}: {d:.3f}' for s, d in found.items())}."
    moving(paint, {"size": steps("slices per batch", sizes[0], sizes)}, alt, _bytes)


def company(network: nn.Module, image: Grey, mask: Mask, threshold: float) -> None:
    """Show a slider of the blank slices beside one slice in a batch, and what the network marks in it.

    Args:
        network: In the mode that it is in; it is copied, so that the slider keeps this mode.
        image: Uint8 array (H, W).
        mask: Bool array (H, W), its stone.
        threshold: From which probability on a pixel is marked.
    """
    network, cache = copy.deepcopy(network), dict[int, Mask]()

    def answer(n_blank: int) -> Mask:
        if n_blank not in cache:
            cache[n_blank] = predicted_mask(in_company(network, image, n_blank), threshold)
        return cache[n_blank]

    def paint(n_blank: int) -> tuple[Figure, str]:
        now, n = answer(n_blank), int(mask.sum())
        titles = {f"alone: {int(answer(0).sum())} pixels": answer(0)}
        titles[f"with {n_blank} blank: {int(now.sum())}"] = now
        figure = draw.draw_slices(image, mask, titles)
        return figure, f"{int(now.sum())} pixels are marked (pink); the stone, in the green ring, has {n}."

    alt = (
        f"The same slice twice, its stone ringed: alone in its batch {int(answer(0).sum())} pixels are "
        f"marked, "
        f"beside 5 blank slices {int(answer(5).sum())}."
    )
    sliders = {"n_blank": steps("blank slices in the batch", 5, BLANKS)}
    moving(paint, sliders, alt, partial(_bytes, photo=True))


# ---------------------------------------------------------------------------------------- an unlabelled case
class UnknownCase:
    """A sick project without a name plate: buttons for the probes, and buttons for what it may be.

    Args:
        case: What each probe reads in it.

    Attributes:
        n_probes: How many probes were used.
        verdict: The line that answers a diagnosis.
        widget: Everything together.
    """

    def __init__(self, case: Case) -> None:
        import ipywidgets as widgets

        self.case, self.used = case, list[str]()
        self.readings, self.verdict = widgets.HTML("Nothing is probed yet."), widgets.HTML()
        probes = [button(words, partial(self.probe, words)) for words in PROBES]
        names = [button(words, partial(self.diagnose, words)) for words in EXHIBITS]
        self.widget = widgets.VBox(
            [
                widgets.HTML("<b>Probe it.</b> Each button measures one thing."),
                beside(*probes),
                self.readings,
                widgets.HTML("<b>Which exhibit is it?</b>"),
                beside(*names),
                self.verdict,
            ]
        )

    @property
    def n_probes(self) -> int:
        return len(self.used)

    def probe(self, words: str) -> None:
        """Show what one probe reads, as the last line."""
        self.used = [one for one in self.used if one != words] + [words]
        rows = [
            f"<li>{html.escape(one)}: <b>{html.escape(self.case.readings[one])}</b></li>" for one in self.used
        ]
        self.readings.value = f"<ul>{''.join(rows)}</ul>"

    def diagnose(self, words: str) -> None:
        """Say whether a diagnosis is right; a wrong one is told which probe speaks against it."""
        if words == self.case.exhibit:
            n = self.n_probes
            with_probes = f"with {n} probe{'s' * (n != 1)}" if n else "by luck: without a single probe"
            self.verdict.value = f"✅ It is: {html.escape(words)}. Found {with_probes}."
            return
        telling = EXHIBITS[words]
        seen = self.case.readings[telling]
        would = f"it reads {seen}, and this exhibit would read otherwise"
        told = would if telling in self.used else "press it, and read"
        self.verdict.value = (
            f"❌ Not {html.escape(words)}: its probe is “{html.escape(telling)}”; {html.escape(told)}."
        )


def unknown_case(
    network: nn.Module,
    images: Sequence[Grey],
    masks: Sequence[Mask],
    groups: Sequence[str],
    seed: int | None = None,
) -> None:
    """Show an `UnknownCase`, drawn by chance: a healthy project on these slices, made sick in one place.

    Args:
        network: A good one; it is copied.
        images: Uint8 arrays (H, W) of one size, some of them with stones.
        masks: Bool arrays of the same shapes.
        groups: The patient of every slice of the project.
        seed: Draws the same case again; None draws another one each time.
    """
    sentence = (
        "A sick project without a name plate. In a running notebook, buttons measure one thing each, and "
        "more "
        "buttons name the nine exhibits: which of them is it?"
    )
    if not in_notebook():
        print(sentence)
        return
    show(UnknownCase(draw_case(network, images, masks, groups, seed)).widget, None, sentence)
