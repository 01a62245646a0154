"""Progress bars for everything that takes long."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

__all__ = ["TrainingBar", "progress_bar", "say"]

DRAW_EVERY_SECONDS = 0.5


def progress_bar(iterable: Iterable[Any] | None = None, **options: Any) -> tqdm:
    """A tqdm bar on standard output: in a notebook, standard error would paint it red.

    Args:
        iterable: What to walk through; None for a bar that is updated by hand.
        **options: Passed to `tqdm.tqdm`, e.g. `desc`, `total`, `unit`, `disable`.
    """
    on_terminal = sys.stdout.isatty()  # elsewhere every drawing stays in the file
    every = DRAW_EVERY_SECONDS if on_terminal else 2.0
    return tqdm(iterable, file=sys.stdout, mininterval=every, dynamic_ncols=on_terminal, **options)


def say(text: str) -> None:
    """Print a line above the bars that are open."""
    tqdm.write(text, file=sys.stdout)


class TrainingBar:
    """Percentage, time left, images a second, and what the training wants to say about itself.

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
        self._paused = 0.0
        self.seconds_left: float | None = None
        style = "{desc} {percentage:3.0f}%|{bar:20}| {elapsed}<{remaining} {postfix}"
        self._bar = progress_bar(
            total=100,
            initial=100 * progress,
            desc="training",
            disable=not shown,
            bar_format=style,
            miniters=0,
        )

    def __enter__(self) -> TrainingBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Keep what happens inside out of the images a second."""
        start = time.perf_counter()
        yield
        self._paused += time.perf_counter() - start

    def is_due(self) -> bool:
        """Whether half a second has passed since this was last answered with yes."""
        due = time.perf_counter() - self._drawn_at >= DRAW_EVERY_SECONDS
        if due:
            self._drawn_at = time.perf_counter()
        return due

    def step(self, progress: float, step: int, loss: float, history: list[dict[str, float]]) -> None:
        """Note one step more.

        Args:
            progress: Share of the run that is done now.
            step: Steps that are done in all.
            loss: Mean loss of this epoch so far, shown until an epoch is done.
            history: The epochs that are done, as `training.fit` returns them.
        """
        text = f"loss {loss:.3f}, step {step}"
        if history:
            last = history[-1]
            text = f"loss {last['train_loss']:.3f}, validation Dice {last['val_dice']:.3f}, step {step}"
        self._n_steps += 1
        seconds = time.perf_counter() - self._start
        speed = self._batch_size * self._n_steps / max(1e-9, seconds - self._paused)
        if self._n_steps >= 50 and progress > self._first:
            self.seconds_left = seconds * (1 - progress) / (progress - self._first)
        self._bar.set_postfix_str(f"{text}, {speed:.0f} images/s", refresh=False)
        self._bar.update(100 * min(1.0, progress) - self._bar.n)
