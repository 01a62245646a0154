"""Exercises of the lessons: each tells "not attempted" from "not yet" (and why) from "correct".

In a lesson::

    from unet_helpers.exercises import guess, lesson01, my_progress, reveal

    def window(image_hu, level, width):    # the student's answer
        return ...

    lesson01.window.check(window)
    # lesson01.window.hint()
    # lesson01.window.solution()
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unet_helpers.exercises.contract import contract
from unet_helpers.exercises.guessing import guess, reveal
from unet_helpers.exercises.hero import hero_case, meet_hero
from unet_helpers.exercises.order import explain_unknown_names
from unet_helpers.exercises.progress import my_progress, recall, remember

__all__ = [
    "Exercise",
    "NotAttempted",
    "contract",
    "guess",
    "hero_case",
    "meet_hero",
    "my_progress",
    "reveal",
]

NOT_ATTEMPTED = "⏳ Not attempted yet: put your answer in place of the three dots, then run this cell again."
MISSES_BEFORE_HINT = 3

explain_unknown_names()


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
        because: Why the right answer is right; printed when it is given.
        name: Lesson and name, such as "lesson01.window": progress is kept under it; none without a name.
    """

    judge: Callable[[Any], str | None]
    hint_text: str
    solution_text: str
    because: str = ""
    name: str = ""

    def check(self, answer: Any) -> None:
        """Print the verdict on an answer; `...` and None mean that nothing was tried yet."""
        try:
            if answer is None or holds_dots(answer):
                raise NotAttempted
            verdict = self.judge(answer)
        except NotAttempted:
            print(NOT_ATTEMPTED)
            return
        except Exception as error:  # an object of the student's own may raise anything
            verdict = f"your answer could not be judged. It raised {in_one_line(error)}"
        if verdict is None:
            self._remember(solved=True)
            print(f"✅ Correct. {self.because}".rstrip())
            return
        print(f"❌ Not yet: {verdict}")
        n_misses = self._remember(solved=False)
        if n_misses >= MISSES_BEFORE_HINT:
            print(f"   A hint is ready for you: {self.name or 'the exercise'}.hint()")

    def _remember(self, solved: bool) -> int:
        """Keep that an answer was right or wrong; return how many were wrong so far.

        Who has solved an exercise once has solved it, also if the cell is run again with other answers.
        """
        if not self.name:
            return 0

        def change(entry: dict[str, Any]) -> dict[str, Any]:
            if solved:
                return entry | {"solved": True}
            return entry | {"misses": entry.get("misses", 0) + (not entry.get("solved", False))}

        return int(remember(self.name, change).get("misses", 0))

    @property
    def solved(self) -> bool:
        """Whether the right answer was given once, in this session or an earlier one."""
        return bool(self.name and recall(self.name).get("solved"))

    def hint(self) -> None:
        """Print the hint."""
        print(f"💡 {self.hint_text}")

    def solution(self) -> None:
        """Print the solution."""
        print(self.solution_text)


def holds_dots(answer: Any) -> bool:
    """Whether an answer is `...`, or a list, tuple, set or dict in which the three dots still stand."""
    if isinstance(answer, dict):
        return any(map(holds_dots, answer.values()))
    if isinstance(answer, list | tuple | set | frozenset):
        return any(map(holds_dots, answer))
    return answer is ...


def in_one_line(error: BaseException) -> str:
    """Class and first line of an error, cut to a length that reads well."""
    lines = str(error).strip().splitlines()
    text = lines[0].strip() if lines else ""
    text = text if len(text) <= 160 else f"{text[:157]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
