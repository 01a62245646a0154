"""The number of CPU threads, fitted to what else the machine does.

The threads of a convolution wait for each other hundreds of times a step. Beside one busy program on two
cores, every wait becomes a turn of the operating system, and a step takes many times as long; a single thread
takes no notice. So `Threads` asks now and then whether its threads work together, by a knock of some
milliseconds: before the first of many steps, after a slow one, and now and then, at pauses that grow.

**Repeatable?** A quiet machine keeps its threads, and there the same seed gives the same digits. Fewer
threads add the same numbers in another order, as another computer does: the last digits differ, and after
some hundred steps the weights do, as with another seed. Who needs the same digits on a busy machine sets
OMP_NUM_THREADS or MKL_NUM_THREADS before Python starts; then the number never changes.
"""

import math
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

__all__ = ["Choice", "Threads", "work_together"]

SLOW = 2.0  # times the fastest step
SOON = 1.0  # seconds of work from one question to the next, where there is a reason to ask
PAUSE, LONGEST_PAUSE = 4.0, 64.0  # seconds of work until more threads are tried; doubled when in vain
APART = 5.0  # times the seconds of one thread: on quiet cores below 1, beside one busy program about 100
KNOCKS, KNOCK_SECONDS = 50, 0.01  # at most


class Choice:
    """When to ask, and what follows from the answer; without a clock and without torch.

    Args:
        most: Number of `threads` to begin with, never exceeded.
        together: Tells whether so many threads work well together now.
        at_once: Whether to ask before the first step, not after a second of work.
    """

    def __init__(self, most: int, together: Callable[[int], bool], at_once: bool = False) -> None:
        halves = (most >> k for k in range(1, most.bit_length()))
        self._levels = sorted({most, max(1, most - 1), *halves}, reverse=True)  # 8, 7, 4, 2, 1
        self._together, self.threads = together, most
        self._fastest: dict[int, float] = {}  # by number of threads
        self._worked, self._next, self._pause = 0.0, 0.0 if at_once else SOON, PAUSE / 2

    def note(self, seconds: float, amount: float = 1.0) -> None:
        """Note how long a step took, and how much it did in any unit."""
        pace, self._worked = seconds / amount, self._worked + seconds
        fastest = self._fastest[self.threads] = min(pace, self._fastest.get(self.threads, math.inf))
        if pace > SLOW * fastest and self.threads > 1:
            self._next = min(self._next, SOON)

    def is_due(self) -> bool:
        """Whether to ask before the next step."""
        return self._levels[0] > 1 and self._worked >= self._next

    def ask(self) -> None:
        """Take the most threads that work together."""
        before, worked, self._worked = self.threads, self._worked, 0.0
        self.threads = next(n for n in self._levels if n == 1 or self._together(n))
        if self.threads > before:
            self._next = SOON  # was it true?
        elif self.threads == self._levels[0]:
            self._next = min(max(2 * worked, SOON), LONGEST_PAUSE)  # or when a step is slow
        else:
            was_calm = self.threads < before and worked > LONGEST_PAUSE
            self._next = self._pause = PAUSE if was_calm else min(2 * self._pause, LONGEST_PAUSE)


def work_together(n: int) -> bool:
    """Whether `n` threads share small work at a fair pace, compared to one; leaves another number set."""
    work = torch.zeros(n << 16)  # two portions a thread
    alone = min(_seconds(work, 1))
    return any(statistics.median(_seconds(work, n)) < APART * alone for _ in range(2))  # forgives a hiccup


def _seconds(work: torch.Tensor, n: int) -> list[float]:
    torch.set_num_threads(n)
    times: list[float] = []
    while len(times) < KNOCKS and sum(times) < KNOCK_SECONDS:
        start = time.perf_counter()
        torch.sigmoid(work, out=work)
        times.append(time.perf_counter() - start)
    return times


class Threads:
    """Watches steps on a CPU with several threads; does nothing elsewhere, or if the user set their number.

    Args:
        device: Where `with threads.step(): ...` computes, inside `with Threads(device) as threads: ...`.
        many: Whether there are steps enough to ask before the first one.
    """

    def __init__(self, device: torch.device, many: bool = True) -> None:
        self._before = torch.get_num_threads()  # set again at the end
        pinned = "OMP_NUM_THREADS" in os.environ or "MKL_NUM_THREADS" in os.environ
        self._choice = Choice(1 if pinned or device.type != "cpu" else self._before, work_together, many)

    def __enter__(self) -> "Threads":
        return self

    def __exit__(self, *_: object) -> None:
        if torch.get_num_threads() != self._before:
            torch.set_num_threads(self._before)

    @contextmanager
    def step(self, amount: float = 1.0) -> Iterator[None]:
        """Watch a step (a batch, an image) that does so much work of any unit."""
        if self._choice.is_due():
            self._choice.ask()
            torch.set_num_threads(self._choice.threads)
        start = time.perf_counter()
        yield
        self._choice.note(time.perf_counter() - start, amount)
