"""What a student has solved and guessed so far, kept in `UNET_HOME/progress.json` across restarts."""

from __future__ import annotations

import html
import importlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from unet_helpers.engine.figures import in_notebook
from unet_helpers.engine.files import write_json

__all__ = ["amount", "my_progress", "progress_file", "recall", "remember"]

LOCK_SECONDS = 5.0  # a lock that is held for longer belongs to a program that hangs: go on without it
_unsaved: dict[str, dict[str, Any]] = {}  # what could not be written, for the rest of this session

Entry = dict[str, Any]


def progress_file() -> Path:
    """Where progress is kept."""
    from unet_helpers.folders.sources import home

    return home() / "progress.json"


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one notebook at a time read, change and write the file; without locks go on at once."""
    lock = FileLock(path.with_name(".progress.lock"))
    with suppress(Timeout, OSError, NotImplementedError):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=LOCK_SECONDS, poll_interval=0.005)
    try:
        yield
    finally:
        lock.release()


def _set_aside(path: Path) -> None:
    """Rename a damaged file, so that a new one can be begun and nothing is lost."""
    n = 1
    while (aside := path.with_name(f"progress-damaged-{n}.json")).exists():
        n += 1
    with suppress(OSError):
        os.replace(path, aside)
        print(f"Your progress file was damaged. It is kept as {aside.name}, and a new one is begun.")


def _read(path: Path) -> dict[str, Entry]:
    try:
        stored = json.loads(path.read_text("utf-8"))
    except OSError:
        return {}
    except ValueError:
        stored = None
    if isinstance(stored, dict) and all(isinstance(entry, dict) for entry in stored.values()):
        return stored
    _set_aside(path)
    return {}


def recall(name: str) -> Entry:
    """What is kept under a name such as "lesson01.window"; empty if nothing is."""
    return (_read(progress_file()) | _unsaved).get(name, {})


def remember(name: str, change: Callable[[Entry], Entry]) -> Entry:
    """Change what is kept under a name, and return it as it is now.

    Args:
        name: Lesson and name, such as "lesson01.window".
        change: Takes the entry (empty at first) and returns the new one; only JSON values.

    A disk that cannot be written to is no reason to stop a lesson: the entry then lasts for this session.
    """
    path = progress_file()
    with _alone(path):
        kept = _read(path) | _unsaved
        kept[name] = change(dict(kept.get(name, {})))
        try:
            write_json(path, dict(sorted(kept.items())))
            _unsaved.clear()
        except OSError:
            _unsaved[name] = kept[name]
    return kept[name]


def amount(value: Any, unit: str = "") -> str:
    """A number with its unit as people write it ("0.06 %"), or the words of a choice."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    number = f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
    if "e" in number:
        number = f"{value:,.0f}" if abs(value) >= 1 else f"{value:.6f}".rstrip("0")
    return f"{number} {unit}".rstrip()


def _exercises(lesson: int) -> list[str]:
    """Names of a lesson's exercises, in the order of its module."""
    try:
        module = importlib.import_module(f"unet_helpers.exercises.lesson{lesson:02d}")
    except ModuleNotFoundError as error:
        raise ValueError(f"lesson must be the number of a lesson, got {lesson}.") from error
    return [f"lesson{lesson:02d}.{name}" for name in module.__all__]


def _rows(lesson: int) -> list[tuple[str, str]]:
    """What and how far: one row an exercise, then one a guess."""
    kept = _read(progress_file()) | _unsaved
    rows = []
    for name in _exercises(lesson):
        entry = kept.get(name, {})
        misses = entry.get("misses", 0)
        tries = "" if not misses else " after 1 miss" if misses == 1 else f" after {misses} misses"
        state = f"✅ solved{tries}" if entry.get("solved") else f"⏳ open{tries}"
        rows.append((f"exercise {name.partition('.')[2]}", state))
    for name, entry in kept.items():
        if name.startswith(f"lesson{lesson:02d}.") and "guess" in entry:
            unit = entry.get("unit", "")
            told = f"you guessed {amount(entry['guess'], unit)}"
            if "truth" in entry:
                told += f", it was {amount(entry['truth'], unit)}"
            rows.append((f"guess {name.partition('.')[2]}", told))
    return rows


def my_progress(lesson: int) -> None:
    """Show which exercises of a lesson are solved, and every guess beside the truth.

    Args:
        lesson: Number of the lesson.

    Raises:
        ValueError: If there is no such lesson.
    """
    rows = _rows(lesson)
    n_exercises = sum(what.startswith("exercise") for what, _ in rows)
    n_solved = sum(state.startswith("✅") for _, state in rows)
    head = f"Lesson {lesson}: {n_solved} of {n_exercises} exercises solved."
    if n_solved == n_exercises:
        head += " All of them: well done."
    width = max((len(what) for what, _ in rows), default=0)
    text = "\n".join([head, *(f"  {what:<{width}}  {state}" for what, state in rows)])
    if not in_notebook():
        print(text)
        return
    from IPython.display import display

    cells = "".join(
        f"<tr><td style='text-align:left'>{html.escape(what)}</td>"
        f"<td style='text-align:left'>{html.escape(state)}</td></tr>"
        for what, state in rows
    )
    table = f"<p>{html.escape(head)}</p><table>{cells}</table>"
    display({"text/html": table, "text/plain": text}, raw=True)  # type: ignore[no-untyped-call]
