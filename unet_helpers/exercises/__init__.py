"""Exercises of the lessons: each tells "not attempted" from "not yet" (and why) from "correct".

In a lesson::

    from unet_helpers.exercises import lesson02
    new_height = ...                       # the student's answer
    lesson02.height_after_resize.check(new_height)
    # lesson02.height_after_resize.hint()
    # lesson02.height_after_resize.solution()
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Exercise", "NotAttempted"]


NOT_ATTEMPTED = "⏳ Not attempted yet: put your answer in place of the three dots, then run this cell again."


class NotAttempted(Exception):
    """Raised by a judge when the answer still holds the three dots, for example in a function's body."""


@dataclass(frozen=True)
class Exercise:
    """One question with its judge.

    Attributes:
        judge: Takes the answer and returns None if it is right, else one sentence that says what is
            wrong with it without giving the answer away.
        hint_text: A push in the right direction.
        solution_text: Code or words that `check` accepts, with the reason.
    """

    judge: Callable[[Any], str | None]
    hint_text: str
    solution_text: str

    def check(self, answer: Any) -> None:
        """Print the verdict on an answer; `...` and None mean that nothing was tried yet."""
        try:
            if answer is ... or answer is None:
                raise NotAttempted
            verdict = self.judge(answer)
        except NotAttempted:
            print(NOT_ATTEMPTED)
            return
        except Exception as error:  # the student's own function may raise anything
            verdict = f"your answer raised {type(error).__name__}: {error}"
        print("✅ Correct." if verdict is None else f"❌ Not yet: {verdict}")

    def hint(self) -> None:
        """Print the hint."""
        print(f"💡 {self.hint_text}")

    def solution(self) -> None:
        """Print the solution."""
        print(self.solution_text)
