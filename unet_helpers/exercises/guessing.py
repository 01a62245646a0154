"""Predict, then reveal: a reader commits to a guess, and sees later how far it was from the truth."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from unet_helpers.engine.figures import PAGE_INCHES, figure_png, in_notebook, plain_figure
from unet_helpers.exercises.progress import amount, recall, remember

__all__ = ["guess", "reveal"]

WELL = 0.1  # a guess within a tenth of the truth is a good one
KEPT = "Kept: you guessed {}. You will see how close it was."
KEPT_BEFORE = "You guessed {} before. Leave it, or guess again."
TOO_LATE = "You have seen the answer by now, so your first guess stays: {}."
_asked: dict[str, dict[str, Any]] = {}  # unit and scale of every question of this session


def guess(
    name: str,
    question: str,
    *,
    low: float | None = None,
    high: float | None = None,
    step: float | None = None,
    unit: str = "",
    log: bool = False,
    options: Sequence[str] = (),
) -> None:
    """Ask for a guess: a slider or a row of buttons, and a button that keeps it.

    Args:
        name: Lesson and name, such as "lesson01.stone_share"; `reveal` takes the same.
        question: What is asked, in a sentence.
        low, high: Ends of the slider.
        step: Step of the slider; without one a hundredth of its length, or 1 between whole numbers.
        unit: Unit of the number, such as "%".
        log: Whether equal steps of the slider are equal ratios; `low` must then be above 0.
        options: Words to choose from, in place of the slider.

    Raises:
        ValueError: If there are neither options nor two ends, or the ends do not fit.
    """
    if not options:
        _check_ends(low, high, log)
    scale = {"unit": unit, "low": low, "high": high, "log": log, "options": list(options)}
    _asked[name] = scale
    span = (
        f"One of: {', '.join(options)}." if options else f"From {amount(low, unit)} to {amount(high, unit)}."
    )
    sentence = f"Your guess: {question} {span} (In a running notebook there is something to move here.)"
    if not in_notebook():
        print(sentence)
        return
    from unet_helpers.widgets.still import show

    control = _buttons(options) if options else _slider(low, high, step, unit, log)
    show(_form(name, question, control, scale), None, sentence)


def _check_ends(low: float | None, high: float | None, log: bool) -> None:
    if low is None or high is None:
        raise ValueError("guess must be given low and high, or options, got neither. Name both ends.")
    if not low < high or (log and low <= 0):
        above = "0 < low < high on a logarithmic scale" if log else "low < high"
        raise ValueError(f"the ends must satisfy {above}, got low {low} and high {high}.")


def _buttons(options: Sequence[str]) -> Any:
    import ipywidgets as widgets

    style = {"button_width": "auto"}
    return widgets.ToggleButtons(options=list(options), value=None, style=style, layout={"width": "auto"})


def _slider(low: Any, high: Any, step: float | None, unit: str, log: bool) -> Any:
    """A slider that starts in the middle, so that neither end is suggested."""
    import ipywidgets as widgets

    from unet_helpers.widgets.controls import wide

    ends: dict[str, Any]
    look = {"description": unit, "style": {"description_width": "initial"}, "layout": wide(unit)}
    if log:
        ends = {"min": math.log10(low), "max": math.log10(high), "step": step or 0.02}
        return widgets.FloatLogSlider(
            value=math.sqrt(low * high), base=10, readout_format=".2g", **ends, **look
        )
    if all(isinstance(one, int) for one in (low, high, step or 1)):
        return widgets.IntSlider(value=(low + high) // 2, min=low, max=high, step=step or 1, **look)
    step = step or (high - low) / 100
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    ends = {"min": low, "max": high, "step": step, "readout_format": f".{digits}f"}
    return widgets.FloatSlider(value=low + round((high - low) / 2 / step) * step, **ends, **look)


def _form(name: str, question: str, control: Any, scale: dict[str, Any]) -> Any:
    """Question, control, button and the line that says what was kept."""
    import ipywidgets as widgets

    button = widgets.Button(description="This is my guess", button_style="primary")
    before = recall(name)
    said = ""
    if "guess" in before:
        sentence = TOO_LATE if "truth" in before else KEPT_BEFORE
        said = sentence.format(amount(before["guess"], scale["unit"]))
    line = widgets.HTML(html.escape(said))

    def keep(_: Any) -> None:
        if control.value is None:
            line.value = "Choose one of the buttons first."
            return
        value = float(f"{control.value:.3g}") if isinstance(control.value, float) else control.value
        line.value = html.escape(_keep(name, value, scale))

    button.on_click(keep)
    title = widgets.HTML(f"<b>Your guess:</b> {html.escape(question)}")
    return widgets.VBox([title, control, button, line])


def _keep(name: str, value: Any, scale: dict[str, Any]) -> str:
    """Keep a guess, unless the truth has been seen; return what to say."""
    entry = remember(name, lambda old: old if "truth" in old else {**old, **scale, "guess": value})
    kept = amount(entry["guess"], scale["unit"])
    return (TOO_LATE if "truth" in entry else KEPT).format(kept)


def reveal(name: str, truth: Any, because: str = "") -> None:
    """Compare the guess with the truth: in a sentence, and on a line where both are marked.

    Args:
        name: The name that `guess` was given.
        truth: The right number, or the right one of the options.
        because: Why it is so, in a sentence.
    """
    truth = truth.item() if hasattr(truth, "item") else truth
    entry = recall(name)
    if "guess" not in entry:
        _reveal_alone(amount(truth, _asked.get(name, {}).get("unit", "")), because)
        return
    entry = remember(name, lambda old: {**old, "truth": truth})
    sentence = f"{_compare(entry['guess'], truth, entry.get('unit', ''))} {because}".strip()
    if not in_notebook():
        print(sentence)
        return
    from IPython.display import display

    from unet_helpers.widgets.still import show

    display({"text/html": f"<p>{html.escape(sentence)}</p>", "text/plain": sentence}, raw=True)  # type: ignore[no-untyped-call]
    if not entry.get("options"):
        figure = _line(entry["guess"], truth, entry)
        show(None, figure_png(figure, dpi=90), f"A line with your guess and the truth. {sentence}")


def _reveal_alone(truth: str, because: str) -> None:
    """No guess was kept: one friendly sentence, and the truth behind a click where the page can fold it."""
    sentence = "You have not guessed yet. Go back, guess, and run this cell again; or look now."
    answer = f"It is {truth}. {because}".strip()
    text = f"{sentence} {answer}"
    if not in_notebook():
        print(text)
        return
    from IPython.display import display

    folded = f"<summary>{html.escape(sentence)}</summary><p>{html.escape(answer)}</p>"
    display({"text/html": f"<details>{folded}</details>", "text/plain": text}, raw=True)  # type: ignore[no-untyped-call]


def _compare(guessed: Any, truth: Any, unit: str) -> str:
    """A guess and the truth in one or two sentences."""
    told = f"You guessed {amount(guessed, unit)}"
    if isinstance(truth, str | bool):
        right = str(guessed).casefold() == str(truth).casefold()
        return f"{told}, and that is right." if right else f"{told}. It is {truth}."
    if guessed == truth or abs(guessed - truth) <= WELL * abs(truth):
        return f"{told}, and it is {amount(truth, unit)}: well guessed."
    both = f"{told}, and it is {amount(truth, unit)}"
    if guessed > 0 and truth > 0 and max(guessed / truth, truth / guessed) >= 2:
        times, way = (guessed / truth, "more") if guessed > truth else (truth / guessed, "less")
        factor = f"{times:,.0f}" if times >= 10 else f"{times:.1f}"
        return f"{both}: your guess was {factor} times {'too much' if way == 'more' else 'too little'}."
    return f"{both}: off by {amount(abs(guessed - truth), unit)}."


def _line(guessed: float, truth: float, scale: dict[str, Any]) -> Figure:
    """A number line with the guess above and the truth below it; on white, for dark pages as well."""
    figure = plain_figure(PAGE_INCHES, 1.45)
    ax = figure.add_subplot()
    logarithmic = bool(scale.get("log")) and truth > 0
    lows = [
        one for one in (scale.get("low"), guessed, truth) if one is not None and (one > 0 or not logarithmic)
    ]
    highs = [one for one in (scale.get("high"), guessed, truth) if one is not None]
    low, high = min(lows), max(highs)
    if logarithmic:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        low, high = low / 1.3, high * 1.3
    else:
        low, high = low - 0.04 * (high - low), high + 0.04 * (high - low)
    ax.set(xlim=(low, high), ylim=(-1, 1), yticks=[], xlabel=scale.get("unit", ""))
    for value, height, colour, marker, words in (
        (guessed, 0.75, "#d55e00", "v", "your guess"),
        (truth, -0.75, "#0072b2", "^", "the truth"),
    ):
        ax.plot([value], [height * 0.25], marker=marker, color=colour, markersize=9)
        at = (math.log(value / low) / math.log(high / low)) if logarithmic else (value - low) / (high - low)
        side = "left" if at < 0.25 else "right" if at > 0.75 else "center"
        text = f"{words}: {amount(value, scale.get('unit', ''))}"
        ax.text(value, height, text, ha=side, va="center", color=colour, fontsize=10)
    ax.axhline(0, color="#555555", linewidth=1)
    for spine in ("left", "right", "top", "bottom"):
        ax.spines[spine].set_visible(False)
    figure.patch.set_facecolor("white")
    return figure
