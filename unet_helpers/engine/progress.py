"""What is seen of work that takes long: one line that replaces itself, wherever it is seen.

| where | what |
|---|---|
| a notebook | one output for each bar, replaced in place, see `pictures.live` |
| a terminal | a bar of tqdm |
| a file or a pipe | a line of its own every half minute, and one at the end |
"""

from __future__ import annotations

import io
import math
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

__all__ = [
    "TrainingBar",
    "WordBar",
    "notebook_shell",
    "percent",
    "progress_bar",
    "say",
    "score_words",
    "time_words",
]

DRAW_EVERY_SECONDS = 0.5
LOG_EVERY_SECONDS = 30.0


def progress_bar(iterable: Iterable[Any] | None = None, **options: Any) -> tqdm:
    """A bar as it is seen best here, see above; never on standard error, which a notebook paints red.

    Args:
        iterable: What to walk through; None for a bar that is updated by hand.
        **options: Passed to `tqdm.tqdm`: `desc`, `total`, `unit`, `disable`; with `leave=False` nothing is
            left behind, and within the first `delay` seconds nothing is shown.
    """
    if options.get("disable"):
        if not _asked:
            return tqdm(iterable, **options)
        options["disable"] = False
        if _asked[-1] is not None:
            return _Inner(iterable, **options)
        options |= {"leave": False, "delay": 1.0}
    if notebook_shell() is not None:
        from unet_helpers.pictures.live import PageBar

        return PageBar(iterable, **options)
    if not sys.stdout.isatty():
        return _LogBar(iterable, **options)
    return tqdm(iterable, file=sys.stdout, mininterval=DRAW_EVERY_SECONDS, dynamic_ncols=True, **options)


@contextmanager
def passing_bars() -> Iterator[None]:
    """In the block bars are shown that are off, too: after a second of work, and nothing of them is left."""
    _asked.append(None)
    try:
        yield
    finally:
        _asked.pop()


def say(text: str) -> None:
    """Print a line above the bars that are open; in a notebook below them."""
    tqdm.write(text, file=sys.stdout)


def notebook_shell() -> Any:
    """The shell of a notebook's kernel; None elsewhere. IPython is not imported for that."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell if hasattr(shell, "kernel") else None


def time_words(seconds: float) -> str:
    """A duration in words that do not jump about: "7 s", "40 s", "3 min", "2 h 10 min"."""
    if seconds < 55:
        return f"{max(1, math.ceil(seconds) if seconds <= 10 else math.ceil(seconds / 5) * 5)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def percent(share: float) -> str:
    """A share in words: "38 %"; 100 only when all is done."""
    return f"{math.floor(100 * share)} %"


def score_words(score: float, digits: int = 3) -> str:
    """A validation Dice in words, where there is no number as well."""
    return f"validation Dice {score:.{digits}f}" if math.isfinite(score) else "no validation Dice yet"


# ---------------------------------------------------------------------------------- bars that use words
class WordBar(tqdm):  # type: ignore[misc]
    """A bar that tells its state in words, whatever becomes of them; tqdm counts and knows the time left.

    Attributes:
        ending: The words that stay when it is closed, in place of the usual ones.
    """

    monitor_interval = 0  # no thread of tqdm's
    ending: str | None = None

    def __init__(self, iterable: Iterable[Any] | None, **options: Any) -> None:
        fixed = {"file": io.StringIO(), "gui": True, "miniters": 0, "mininterval": DRAW_EVERY_SECONDS}
        super().__init__(iterable, **options | fixed)

    @property
    def units(self) -> str:
        """What is counted, in the number that fits."""
        many = "es" if self.unit.endswith("ch") else "s"
        return self.unit if self.n == self.total == 1 else f"{self.unit}{many}"

    def state(self) -> tuple[float | None, str]:
        """The share that is done, if it is known, and words about it."""
        words, share = [], min(1.0, self.n / self.total) if self.total else None
        if self.unit != "%":
            words.append(
                f"{self.n:,} of {self.total:,} {self.units}" if share else f"{self.n:,} {self.units}"
            )
            elapsed = self.format_dict["elapsed"]
            if share and share < 1 and elapsed > 1:
                words.append(f"{time_words(elapsed * (1 - share) / share)} left")
        return share, ", ".join(words + ([self.postfix] if self.postfix else []))

    def last_words(self) -> str:
        """What is left to say at the end."""
        units, seconds = self.units, self.format_dict["elapsed"]
        if self.ending is not None:
            return self.ending
        if self.total and self.n < self.total:
            return f"{self.desc}: stopped at {self.n:,} of {self.total:,} {units}"
        return f"{self.desc}: {self.n:,} {units}" + (f" in {time_words(seconds)}" if seconds >= 1 else "")

    def close(self) -> None:
        """Leave the last words behind; a second call does nothing."""
        if getattr(self, "disable", True):
            return
        text = self.last_words() if self.leave else ""
        self.disable = True
        self._decr_instances(self)
        self.over(text)

    def over(self, text: str) -> None:
        """Tell the last words; "" if nothing is to be left."""
        raise NotImplementedError


class _LogBar(WordBar):
    """In a file or a pipe: whole lines, now and then."""

    def __init__(self, iterable: Iterable[Any] | None, **options: Any) -> None:
        super().__init__(iterable, **options)
        self._told_at = time.perf_counter()

    def display(self, *_: object, **__: object) -> None:
        share, words = self.state()
        if share != 1 and time.perf_counter() - self._told_at >= LOG_EVERY_SECONDS:
            self._told_at = time.perf_counter()
            self.over(f"{self.desc}: {words}" if share is None else f"{self.desc}: {percent(share)}, {words}")

    def over(self, text: str) -> None:
        if text:
            print(text, flush=True)


class _Inner(WordBar):
    """Not seen itself: it tells the bar of a training how far the validation is."""

    def display(self, *_: object, **__: object) -> None:
        if _asked and _asked[-1] is not None and self.total:
            _asked[-1].note(f"validating {percent(self.n / self.total)}")

    def over(self, text: str) -> None:
        pass


# ------------------------------------------------------------------------------------ of a training
_asked: list[TrainingBar | None] = []  # who wants to know of the bars inside; None: the reader


class TrainingBar:
    """Share, step, time left, and what the training wants to say about itself.

    Args:
        progress: Share of the run that is done, 0 to 1.
        batch_size: Images a step.
        shown: Whether to draw anything.

    Attributes:
        seconds_left: Measured from this session's speed; None before 50 steps.
    """

    def __init__(self, progress: float, batch_size: int, shown: bool) -> None:
        self._first, self._batch_size, self._n_steps = progress, batch_size, 0
        self._start = self._drawn_at = time.perf_counter()
        self._paused, self._due = 0.0, False
        self._progress, self._said = progress, "getting started"
        self.seconds_left: float | None = None
        self._bar = progress_bar(
            total=100,
            initial=100 * progress,
            desc="training",
            unit="%",
            disable=not shown,
            bar_format="{desc} |{bar:20}| {percentage:3.0f} %{postfix}",
            postfix=self._said,
        )

    def __enter__(self) -> TrainingBar:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        how = "stopped" if kind is None else "ended by an error"
        ending = f"training {how} at {percent(self._progress)}: {self._said}"
        if self._progress >= 1 and kind is None:
            took = time_words(time.perf_counter() - self._start)
            ending = f"training finished in {took}: {self._said}"
        elif not self._n_steps:
            ending = f"training {how} before the first step"
        self._bar.set_postfix_str(self._said, refresh=False)
        self._bar.ending = ending
        self._bar.close()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """While the network is validated: that counts as no step's time, and the bar says how far it is."""
        start = time.perf_counter()
        _asked.append(self)
        try:
            yield
        finally:
            _asked.remove(self)
            self._paused += time.perf_counter() - start
            self._due = True

    def is_due(self) -> bool:
        """Whether half a second has passed since this was last answered with yes."""
        due = time.perf_counter() - self._drawn_at >= DRAW_EVERY_SECONDS
        if due:
            self._drawn_at, self._due = time.perf_counter(), True
        return due

    def note(self, text: str) -> None:
        """Draw the bar with some words more."""
        self._bar.set_postfix_str(f"{text}, {self._said}")

    def step(self, progress: float, step: int, loss: float, history: list[dict[str, float]]) -> None:
        """Note one step more, and draw it when it is time: losses have just been read then.

        Args:
            progress: Share of the run that is done now.
            step: Steps that are done in all.
            loss: Mean loss of this epoch so far, shown until an epoch is done.
            history: The epochs that are done, as `training.fit` returns them.
        """
        self._n_steps += 1
        self._progress, seconds, left = progress, time.perf_counter() - self._start, None
        if progress > self._first:
            left = seconds * (1 - progress) / (progress - self._first)
        if self._n_steps >= 50:
            self.seconds_left = left
        speed = self._batch_size * self._n_steps / max(1e-9, seconds - self._paused)
        words = [f"step {step:,}", _result(loss, history), f"{speed:,.0f} images/s"]
        self._said = ", ".join(words)
        if self._due or progress >= 1:
            self._due = False
            if left and seconds > 2:
                words.insert(1, f"{time_words(left)} left")
            self._bar.n = 100 * min(1.0, progress)
            self._bar.set_postfix_str(", ".join(words))


def _result(loss: float, history: list[dict[str, float]]) -> str:
    """Loss and validation Dice, or words where there is no such number."""
    score = history[-1]["val_dice"] if history else math.nan
    loss = history[-1]["train_loss"] if history else loss
    return f"loss {loss:.3f}, {score_words(score)}" if math.isfinite(loss) else score_words(score)
