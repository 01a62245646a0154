"""What a lesson must keep to wherever it runs, read from what its kernel sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from lesson_runs import ANSI, Ran

WIDGET = "application/vnd.jupyter.widget-view+json"
MODEL = "IPY_MODEL_"
LEAST_WIDGETS = 2  # every lesson has two things to move
PERCENT = re.compile(r"(\d{1,3})(?:\.\d+)? ?%")
WARNING = re.compile(r"\b\w*Warning\b: |^WARNING\b|\bDEPRECATION\b", re.MULTILINE)
Shown = Sequence[tuple[float, str, Mapping[str, Any]]]


def faults(done: Sequence[Ran], cells: Sequence[str]) -> list[str]:
    """What no reader should see: errors, cells that did not run, standard error, warnings."""
    found = []
    for ran in done:
        if ran.error:
            found.append(f"cell {ran.cell} ended with {ran.error}: {short(ran.message)}")
        if ran.stderr:
            found.append(f"cell {ran.cell} writes to standard error: {short(ran.stderr)}")
        elif WARNING.search(ran.printed):
            found.append(f"cell {ran.cell} shows a warning: {short(ran.printed)}")
    if len(done) < len(cells) and not (done and done[-1].error):
        found.append(f"{len(cells) - len(done)} cells did not run, from {cells[len(done)]} on")
    return found


def short(text: str, most: int = 300) -> str:
    """The last words of a text, in one line."""
    line = " ".join(ANSI.sub("", text).split())
    return line if len(line) <= most else f"... {line[-most:]}"


# ------------------------------------------------------------------------------------------ pictures
def missing_pictures(done: Iterable[Ran], wanted: set[str]) -> list[str]:
    """Cells that show a picture in the repository, and showed none here."""
    return [
        f"cell {ran.cell} shows no picture"
        for ran in done
        if ran.cell in wanted and not ran.pictures and not ran.error
    ]


def without_words(done: Iterable[Ran]) -> list[str]:
    """Pictures without an alternative text."""
    found = []
    for ran in done:
        for _, kind, content in ran.shown:
            if kind not in ("display_data", "execute_result", "update_display_data"):
                continue
            for name in content["data"]:
                alt = content.get("metadata", {}).get(name, {})
                if name.startswith("image/") and not (isinstance(alt, dict) and alt.get("alt")):
                    found.append(f"cell {ran.cell} shows a picture without alternative text")
    return sorted(set(found))


# ------------------------------------------------------------------------------------------ progress
def percentages(ran: Ran) -> list[int]:
    """All percentages that a cell has shown while it ran, in their order, each once."""
    seen = dict[int, None]()
    for _, kind, content in ran.shown:
        if kind not in ("comm_msg", "comm_open", "stream", "display_data", "update_display_data"):
            continue
        for text in texts(content):
            seen |= dict.fromkeys(int(number) for number in PERCENT.findall(text))
    return [number for number in seen if number <= 100]


def texts(value: Any) -> Iterable[str]:
    """All strings in a message's content, but pictures and views."""
    if isinstance(value, str):
        yield value[:5000]
    elif isinstance(value, Mapping):
        for name, one in value.items():
            if not str(name).startswith(("image/", "application/")):
                yield from texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from texts(one)


def looks_frozen(ran: Ran, least: int = 3) -> list[str]:
    """What keeps a reader of a training cell from seeing that it goes on."""
    seen, found = percentages(ran), []
    bars = [text for text in page(ran) if re.search(r"\btraining\b", text) and PERCENT.search(text)]
    ended = max(seen, default=0) == 100 or any("training finished" in text for text in page(ran))
    if len(seen) < least or not ended:
        found.append(f"cell {ran.cell} shows its progress as {seen} only")
    if len(bars) > 1:
        found.append(f"cell {ran.cell} leaves {len(bars)} progress bars on the page")
    return found


def page(ran: Ran) -> list[str]:
    """The outputs below a cell at its end, as text: a stream is continued as long as nothing follows it."""
    outputs, last_stream = list[tuple[str, str]](), ""  # name of the display or stream, and text
    for _, kind, content in ran.shown:
        if kind == "stream":
            if last_stream != content["name"] or not outputs:
                outputs.append(("", ""))
            outputs[-1] = ("", _overwritten(outputs[-1][1] + content["text"]))
            last_stream = content["name"]
        elif kind in ("display_data", "execute_result"):
            name = content.get("transient", {}).get("display_id", "")
            outputs.append((name, " ".join(texts(content["data"]))))
            last_stream = ""
        elif kind == "update_display_data":
            name, text = content["transient"]["display_id"], " ".join(texts(content["data"]))
            outputs = [(name, text) if name == old else (old, was) for old, was in outputs]
        elif kind == "clear_output":
            outputs, last_stream = [], ""
    return [text for _, text in outputs]


def _overwritten(text: str) -> str:
    """Text whose lines were begun again by carriage returns."""
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def longest_silence(done: Iterable[Ran]) -> tuple[float, str]:
    """Longest time in which nothing changed on the page while a cell ran, in seconds, and the cell."""
    worst = (0.0, "")
    for ran in done:
        kinds = (
            "stream",
            "display_data",
            "update_display_data",
            "comm_msg",
            "clear_output",
            "execute_result",
        )
        times = [0.0, *(at for at, kind, _ in ran.shown if kind in kinds), ran.seconds]
        gap = max(later - earlier for earlier, later in pairwise(times))
        worst = max(worst, (gap, ran.cell))
    return worst


# ------------------------------------------------------------------------------------------- widgets
class Widgets:
    """The widgets of a lesson as the browser knows them: from the messages of their kernel."""

    def __init__(self, done: Iterable[Ran]) -> None:
        self.models, self.views = dict[str, dict[str, Any]](), list[tuple[str, str]]()  # cell, model
        self.versions = set[str]()
        for ran in done:
            for _, kind, content in ran.shown:
                self._take(ran.cell, kind, content)

    def _take(self, cell: str, kind: str, content: Mapping[str, Any]) -> None:
        if kind == "comm_open" and content.get("target_name") == "jupyter.widget":
            self.models[content["comm_id"]] = dict(content["data"]["state"])
        elif kind == "comm_msg" and content["comm_id"] in self.models:
            if content["data"].get("method") == "update":
                self.models[content["comm_id"]] |= content["data"]["state"]
        elif kind == "comm_close":
            self.models.pop(content["comm_id"], None)
        elif kind == "display_data" and WIDGET in content["data"]:
            self.views.append((cell, content["data"][WIDGET]["model_id"]))

    def dead(self) -> list[str]:
        """Views of which a part is unknown to the kernel."""
        found = []
        for cell, model in self.views:
            gone = [one for one in self.below(model) if one not in self.models]
            if gone:
                found.append(f"cell {cell} shows a widget of which {len(gone)} parts have no model")
        return found

    def below(self, model: str) -> list[str]:
        """A model and all that it holds, by id."""
        found, waiting = dict[str, None](), [model]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found[one] = None
                state = self.models.get(one, {})
                waiting += [text[len(MODEL) :] for text in texts(state) if text.startswith(MODEL)]
        return list(found)

    def controls(self) -> list[tuple[str, str, dict[str, Any]]]:
        """What a reader can move: the cell, the model, and the state that it may be moved to."""
        found = dict[str, tuple[str, str, dict[str, Any]]]()
        for cell, view in self.views:
            for model in self.below(view):
                state = self.models.get(model, {})
                if not state.get("disabled") and (new := moved(state)):
                    found[model] = (cell, model, new)
        return list(found.values())


def moved(state: Mapping[str, Any]) -> dict[str, Any] | None:
    """Another state of a control; None if it is none, or cannot move."""
    name, value = str(state.get("_model_name", "")), state.get("value")
    if isinstance(state.get("index"), int) and len(state.get("_options_labels", ())) > 1:
        return {"index": (state["index"] + 1) % len(state["_options_labels"])}
    if name in ("CheckboxModel", "ToggleButtonModel"):
        return {"value": not value}
    if "Slider" in name and isinstance(value, int | float) and state["max"] > state["min"]:
        step = state.get("step") or 1
        return {"value": value + step if value + step <= state["max"] else value - step}
    return None


def changed(ran: Ran, own: str) -> bool:
    """Whether the kernel answered a move with something to see."""
    return any(
        kind in ("display_data", "update_display_data", "stream")
        or (kind == "comm_msg" and content["comm_id"] != own and content["data"].get("method") == "update")
        for _, kind, content in ran.shown
    )
