"""Threads are given up beside busy neighbours and taken back afterwards; a quiet machine never loses one."""

import os
import random
from collections.abc import Callable, Iterator

import pytest
import torch

from unet_helpers.engine import threads
from unet_helpers.engine.threads import Choice, Threads, work_together
from unet_helpers.inference import predict_all

CPU = torch.device("cpu")
QUIET, ALONE, BUSY, KNOCK = 0.03, 0.045, 1.956, 0.06  # seconds of a step and of a question beside a neighbour


class Machine:
    """Two or more cores with busy neighbours; its clock is the sum of the steps and the questions."""

    def __init__(self, most: int = 2, at_once: bool = True) -> None:
        self.most, self.n_busy, self.seconds, self.asked = most, 0, 0.0, list[int]()
        self.choice = Choice(most, self.together, at_once)

    def together(self, n: int) -> bool:
        self.asked.append(n)
        free = n + self.n_busy <= self.most
        self.seconds += 0.005 if free else KNOCK
        return free

    def step(self, factor: float = 1.0) -> float:
        """Take a step; what it cost, the question before it included."""
        before = self.seconds
        if self.choice.is_due():
            self.choice.ask()
        n = self.choice.threads
        free = n == 1 or n + self.n_busy <= self.most
        seconds = factor * ((QUIET if n > 1 else ALONE) if free else BUSY)
        self.seconds += seconds
        self.choice.note(seconds)
        return self.seconds - before

    def steps(self, n: int) -> float:
        """Mean seconds of so many steps."""
        return sum(self.step() for _ in range(n)) / n


# ------------------------------------------------------------------------------------- a quiet machine
@pytest.mark.parametrize("at_once", [True, False])
def test_a_quiet_machine_keeps_its_threads_and_is_hardly_asked(at_once: bool):
    machine, jitter = Machine(at_once=at_once), random.Random(0)
    for n in range(20_000):
        machine.step(factor=12.0 if n < 3 else jitter.lognormvariate(0, 0.4))  # slow first steps, then noise
        assert machine.choice.threads == 2
    assert 1 <= len(machine.asked) < machine.seconds
    assert 0.005 * len(machine.asked) < 0.01 * machine.seconds  # less than 1 %


def test_even_steps_are_asked_about_more_and_more_rarely():
    machine = Machine(at_once=False)
    machine.steps(30)
    assert machine.asked == []  # a second of work is not over
    machine.steps(10_000)
    assert len(machine.asked) == 7 + (300 - 127) // 64  # after 1, 2, 4, ... and then every 64 seconds


def test_a_laptop_that_sleeps_during_a_step_keeps_its_threads():
    machine = Machine()
    machine.steps(100)
    machine.step(factor=3 * 3600 / QUIET)
    machine.steps(100)
    assert machine.choice.threads == 2 and len(machine.asked) <= 4


def test_work_of_another_size_is_not_slow_work():
    choice = Choice(2, lambda _: True)
    choice.note(100.0, 1e8)
    choice.ask()
    for pixels in (65_536, 262_144, 1_048_576, 16_384) * 20:
        choice.note(1e-6 * pixels, pixels)
        assert not choice.is_due()
    choice.note(1e-6 * 65_536 * 2.1, 65_536)
    assert choice.is_due()


# -------------------------------------------------------------------------------------- busy neighbours
def test_one_slow_step_is_enough_to_give_up_a_thread():
    machine = Machine()
    machine.steps(1000)
    machine.n_busy = 1
    assert machine.step() == pytest.approx(BUSY)
    assert machine.step() == pytest.approx(KNOCK + ALONE) and machine.choice.threads == 1
    assert machine.steps(5000) < 1.2 * ALONE


def test_a_run_that_begins_beside_a_neighbour_takes_no_slow_step_at_all():
    machine = Machine()
    machine.n_busy = 1
    assert max(machine.step() for _ in range(5000)) < 1.01 * (ALONE + KNOCK)
    late = Machine(at_once=False)  # a single batch of images is not asked about
    late.n_busy = 1
    assert late.step() == pytest.approx(BUSY) and late.step() < 1


def test_the_thread_comes_back_within_the_longest_pause():
    machine = Machine()
    machine.n_busy = 1
    machine.steps(20_000)
    machine.n_busy = 0
    machine.steps(int(threads.LONGEST_PAUSE / ALONE) + 2)
    assert machine.choice.threads == 2
    assert machine.steps(10_000) < 1.01 * QUIET


def test_questions_in_vain_become_rare():
    machine = Machine()
    machine.n_busy = 2
    machine.steps(80_000)  # an hour
    assert 50 < len(machine.asked) < 70
    spent = KNOCK * len(machine.asked)
    assert spent < 0.002 * machine.seconds


def test_a_wrong_answer_costs_one_slow_step():
    machine, lies = Machine(), iter([True])
    machine.n_busy, machine.choice._together = 1, lambda n: next(lies, False)
    assert machine.step() == pytest.approx(BUSY)  # believed
    assert machine.step() < 1 and machine.choice.threads == 1


def test_a_flickering_neighbour_is_left_alone_more_and_more():
    choice, falls = Choice(2, lambda n: answers.pop(0)), []
    answers = [True]
    choice.note(1.0)
    choice.ask()
    for _ in range(6):
        answers = [False, True]
        choice.note(QUIET)
        choice.note(BUSY)
        assert choice.is_due()
        choice.ask()
        falls.append(choice._next)
        choice.note(choice._next)
        assert choice.is_due()
        choice.ask()
        assert choice.threads == 2
    assert falls == [4, 8, 16, 32, 64, 64]
    answers = [True, False]
    choice.note(1.0)
    choice.ask()  # it is quiet, and stays so for long
    for _ in range(40):
        choice.note(2.0)
    choice.note(QUIET)
    choice.note(BUSY)
    choice.ask()
    assert choice.threads == 1 and choice._next == threads.PAUSE  # what was before is forgotten


def test_eight_threads_give_up_as_many_as_they_must():
    machine = Machine(most=8)
    assert machine.choice._levels == [8, 7, 4, 2, 1]
    for n_busy, expected in ((0, 8), (1, 7), (3, 4), (6, 2), (7, 1), (0, 8)):
        machine.n_busy = n_busy
        machine.steps(10_000)
        assert machine.choice.threads == expected
    assert [Choice(n, bool)._levels for n in (1, 2, 3, 6)] == [[1], [2, 1], [3, 2, 1], [6, 5, 3, 1]]


def test_a_single_thread_is_never_asked_about():
    choice = Choice(1, lambda _: pytest.fail("asked"), at_once=True)
    for _ in range(100):
        choice.note(1.0)
        assert not choice.is_due()


# ------------------------------------------------------------------------------------------- the knock
@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({2: [3e-5] * 50}, True),
        ({2: [2e-4] * 50}, True),  # slow to wake, as on some systems, is not busy
        ({2: [8e-3, *[3e-5] * 49]}, True),  # one hiccup
        ({2: [8e-3, 9e-3]}, False),
        ({2: [2e-2], 1: [2e-2]}, False),
        ({2: [2e-2], 1: [2e-2, *[6e-5] * 4]}, False),  # a single thread has to wait, too
    ],
)
def test_the_knock_compares_with_one_thread(times: dict, expected: bool, monkeypatch):
    times = {1: [6e-5] * 50, **times}
    if times == {1: [2e-2], 2: [2e-2]}:
        expected = True  # nothing is known; a later knock will tell
    monkeypatch.setattr(threads, "_seconds", lambda work, n: times[n])
    assert work_together(2) is expected


def test_the_knock_forgives_once(monkeypatch):
    answers = iter([[6e-5], [0.03], [4e-5] * 50])
    monkeypatch.setattr(threads, "_seconds", lambda work, n: next(answers))
    assert work_together(2)


def test_the_knock_is_short_and_leaves_its_number_of_threads(free_threads):
    now = [0.0]

    def clock() -> float:
        now[0] += 0.003
        return now[0]

    free_threads.setattr(threads.time, "perf_counter", clock)
    assert threads._seconds(torch.zeros(8), 2) == pytest.approx([0.003] * 4)
    assert torch.get_num_threads() == 2


# ----------------------------------------------------------------------------------- around real steps
@pytest.fixture
def free_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Two threads that nobody has set; all is as it was afterwards."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    torch.set_num_threads(2)
    yield monkeypatch
    torch.set_num_threads(before)


def answering(answer: bool) -> Callable[[int], bool]:
    def together(n: int) -> bool:
        torch.set_num_threads(n)
        return answer

    return together


def test_threads_are_given_up_inside_the_block_and_set_again_behind_it(free_threads):
    free_threads.setattr(threads, "work_together", answering(False))
    with Threads(CPU) as watcher:
        assert torch.get_num_threads() == 2
        with watcher.step():
            assert torch.get_num_threads() == 1
        with Threads(CPU) as inner, inner.step():  # a validation inside the training
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with pytest.raises(KeyError), Threads(CPU) as watcher, watcher.step():
        raise KeyError
    assert torch.get_num_threads() == 2


def test_what_lies_between_two_steps_is_not_watched(free_threads):
    now, asked = [0.0], []
    free_threads.setattr(threads.time, "perf_counter", lambda: now[0])
    free_threads.setattr(threads, "work_together", lambda n: not asked.append(n))
    with Threads(CPU) as watcher:
        for _ in range(1000):
            with watcher.step():
                now[0] += QUIET
            now[0] += 60.0  # a validation, a checkpoint on a slow disk
    assert len(asked) == 5 and torch.get_num_threads() == 2  # after 0, 1, 3, 7 and 15 seconds of steps


@pytest.mark.parametrize("reason", ["cuda", "mps", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "one thread"])
def test_it_does_nothing_where_there_is_nothing_to_do(reason: str, free_threads):
    free_threads.setattr(threads, "work_together", lambda _: pytest.fail("asked"))
    if reason.isupper():
        free_threads.setenv(reason, "2")
    if reason == "one thread":
        torch.set_num_threads(1)
    before = torch.get_num_threads()
    with Threads(torch.device(reason if reason in ("cuda", "mps") else "cpu")) as watcher:
        for _ in range(3):
            with watcher.step():
                assert torch.get_num_threads() == before
            watcher._choice.note(100.0)
    assert torch.get_num_threads() == before


def test_a_prediction_of_several_batches_is_watched_and_one_image_is_not(free_threads):
    asked, seen = [], []

    class Network(torch.nn.Conv2d):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(torch.get_num_threads())
            return super().forward(images)

    free_threads.setattr(threads, "work_together", lambda n: bool(asked.append(n)))
    network = Network(1, 1, 3, padding=1)
    images = [torch.zeros(size, size, dtype=torch.uint8).numpy() for size in (16, 16, 32)]
    assert len(predict_all(network, images[:2])) == 2 and not asked and seen == [2]
    assert len(predict_all(network, images)) == 3 and asked == [2] and seen == [2, 1, 1]
    assert torch.get_num_threads() == 2


def test_the_tests_have_a_fixed_number_of_threads():
    """Or a busy machine would change the last digits in the middle of a comparison."""
    assert "OMP_NUM_THREADS" in os.environ
