"""Errors whose sentence is all that a reader needs: a notebook shows it alone, without a traceback."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ["Calm", "CalmError", "Stopped", "calmly"]

P = ParamSpec("P")
R = TypeVar("R")


class Calm:
    """Beside an exception class: IPython then shows the message and nothing else."""

    def _render_traceback_(self) -> list[str]:
        """The lines that IPython shows in place of a traceback."""
        return [str(self)]


class CalmError(Calm, ValueError):
    """These data or settings lead no further; the message says why, and what to do."""


class Stopped(Calm, KeyboardInterrupt):
    """The stop button or Ctrl-C, where the message can say what is left and how to go on."""


def calmly(function: Callable[P, R]) -> Callable[P, R]:
    """A function that keeps nothing half done: the stop button ends it in one sentence, `Stopped`."""

    @wraps(function)
    def until_stopped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Stopped:
            raise
        except KeyboardInterrupt:
            raise Stopped("Stopped. Run this cell again, and it begins anew.") from None

    return until_stopped
