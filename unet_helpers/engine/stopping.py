"""What ends a training before its time: Ctrl-C, the stop button, SIGTERM, and a loss gone wrong."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from unet_helpers.engine.calm import Stopped
from unet_helpers.engine.progress import say

if TYPE_CHECKING:
    from unet_helpers.training import Run

__all__ = ["Interrupted", "read_losses", "stop_signal", "tell", "whole"]


class Interrupted(Stopped):
    """Ctrl-C, the stop button or SIGTERM ended `training.fit`, after everything was saved.

    Attributes:
        step: Steps that are done.
        signal_number: 2 for Ctrl-C, 15 for SIGTERM.
        validated: Whether there is a first result.
    """

    def __init__(self, step: int, signal_number: int, validated: bool = True) -> None:
        early = "" if validated else ", before the first validation"
        done = f"at step {step}{early}; everything is saved" if step else "before the first step"
        super().__init__(f"stopped {done}")
        self.step, self.signal_number, self.validated = step, signal_number, validated

    def _render_traceback_(self) -> list[str]:
        nothing = "" if self.validated else "There is no result to look at yet. "
        return [f"{str(self).capitalize()}. {nothing}Run this cell again to go on."]


def tell(run: Run, signal_number: int, raise_interrupt: bool) -> None:
    """Say that a run was stopped, or raise `Interrupted`, as always when there is no history to return."""
    validated = bool(run.history) or run.rank > 0
    stopped = Interrupted(run.step, signal_number, validated)
    if raise_interrupt or not validated:
        raise stopped
    if run.rank == 0:
        say(f"{str(stopped).capitalize()}. Run the same call again to continue.")


@contextmanager
def stop_signal() -> Iterator[Callable[[], int]]:
    """While the block runs, SIGINT and SIGTERM only make the function that it gets answer with their number.

    Outside the main thread, where Python forbids it, the signals stay as they are and the answer is 0.
    """
    received: list[int] = []
    before = {}

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, note)
    except ValueError:  # not the main thread
        pass
    try:
        yield lambda: int(received[0]) if received else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def whole() -> Iterator[None]:
    """The block runs to its end whatever comes; a stop that came meanwhile is raised only then.

    For imports that must not be cut: half imported, sympy, which PyTorch's first optimiser needs, cannot be
    imported again in that process ("module 'sympy' has no attribute 'logic'"). Outside the main thread, to
    which no stop is sent, nothing changes.
    """
    waiting: list[int] = []
    now = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in now.items() if callable(handler)}
    try:
        for stop in before:
            signal.signal(stop, lambda number, _: waiting.append(number))
    except ValueError:  # not the main thread
        before.clear()
    try:
        yield
    finally:
        for stop, handler in before.items():
            signal.signal(stop, handler)
        for number in waiting[:1]:
            signal.raise_signal(number)


def read_losses(run: Run) -> None:
    """Fetch the losses since the last reading from the device.

    Raises:
        FloatingPointError: If a loss or gradient is not finite, with the first such step and its images.
    """
    import torch  # here, because whoever guards the import of PyTorch needs this file before it

    unread, run.unread = run.unread, []
    if not unread:
        return
    values = torch.stack([torch.stack([loss.float(), norm.float()]) for *_, loss, norm in unread]).tolist()
    for (step, rate, which, *_), (loss, norm) in zip(unread, values, strict=True):
        # of a gradient that overflows in float16 the scaler takes care
        if not math.isfinite(loss) or not (math.isfinite(norm) or run.scaler.is_enabled()):
            names = ", ".join(sorted({run.names[i] for i in which.tolist()}))
            raise FloatingPointError(
                f"loss and gradient must be finite, got {loss} and {norm} at step {step}, learning rate "
                f"{rate:.2g}, images {names}. Try half the learning "
                "rate; the last good checkpoint is kept."
            )
        run.epoch_loss += loss
