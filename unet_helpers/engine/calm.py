"""Errors whose sentence is all that a reader needs: a notebook shows it alone, without a traceback."""

from __future__ import annotations

__all__ = ["Calm", "CalmError", "Stopped"]


class Calm:
    """Beside an exception class: IPython then shows the message and nothing else."""

    def _render_traceback_(self) -> list[str]:
        """The lines that IPython shows in place of a traceback."""
        return [str(self)]


class CalmError(Calm, ValueError):
    """These data or settings lead no further; the message says why, and what to do."""


class Stopped(Calm, KeyboardInterrupt):
    """The stop button or Ctrl-C, where the message can say what is left and how to go on."""
