"""A lesson from its first to its last cell on a new machine, and what was wrong with that."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from colab import checks
from colab.environment import Environment, differences, spoil
from colab.machines import Machine
from colab.student import Student, books_of, pictures_in_file
from colab.ways import Way
from lesson_runs import Ran

TRAINS = {4: "uh.fit(*parts, run_dir"}  # cells that must show how far they are
WORST = 12  # faults of one lesson that the report names


@dataclass
class Outcome:
    """One line of the report.

    Attributes:
        what: Lesson, or scenario.
        way: Set-up.
        cells: How many ran, and of how many.
        seconds: How long it took.
        faults: What was wrong; empty if it passed.
        notes: What else was seen.
        log: File with everything that the cells printed.
        skipped: Why it was not done; "" if it was.
    """

    what: str
    way: str = ""
    cells: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    log: Path | None = None
    skipped: str = ""


@dataclass
class Place:
    """Where the contract works.

    Attributes:
        sandbox: Folder of disks, copies and Drives; deleted at the end.
        logs: Folder of the logs, which stays.
        environment: Colab's Python.
        steps: UNET_STEPS.
        data: A copy of the phantom, once a lesson has written it.
    """

    sandbox: Path
    logs: Path
    environment: Environment
    steps: int = 60
    data: Path | None = None
    n_machines: int = 0

    def machine(self, settings: Mapping[str, str], kind: str = "colab", cold: bool = False) -> Machine:
        """A new one.

        Args:
            settings: Environment variables.
            kind: "colab" or "kaggle".
            cold: Whether its disk is empty; else the phantom is there as soon as one lesson has written it,
                for a minute of writing the same files a dozen times tells nothing new.
        """
        self.n_machines += 1
        self.environment.make_new()
        machine = Machine(kind, self.sandbox / f"machine-{self.n_machines}", dict(settings))
        if self.data and not cold:
            shutil.copytree(self.data, machine.own_work / "data", copy_function=os.link)
        return machine

    def keep_data(self, machine: Machine) -> None:
        """Keep what the first lesson has written for the next machines."""
        written = machine.own_work / "data"
        if self.data is None and any(written.glob("phantom-*")):
            self.data = self.sandbox / "data"
            shutil.copytree(written, self.data, ignore=shutil.ignore_patterns(".*"))

    def student(self, book: Path, machine: Machine, log: Path, offline: bool = False) -> Student:
        """Who opens a notebook there; it comes onto no disk, as in Colab."""
        return Student(book, machine, self.environment, self.steps, log, offline)

    def log(self, name: str) -> Path:
        """An empty log file."""
        self.logs.mkdir(parents=True, exist_ok=True)
        path = self.logs / f"{re.sub(r'[^a-z0-9_]+', '-', name.lower())}.log"
        path.write_bytes(b"")
        return path


def recorded(place: Place, outcome: Outcome, body: Callable[[Outcome], None]) -> Outcome:
    """Do something, and note how long it took, what it raised, and what it did to the packages."""
    began = time.monotonic()
    outcome.log = place.log(f"{outcome.what} {outcome.way}")
    before = place.environment.state()
    try:
        body(outcome)
    except AssertionError as error:  # a cell that hangs, a kernel that died, a stop that came too late
        outcome.faults.append(checks.short(str(error), 600))
    except Exception as error:  # the report tells it, and the next lesson has its turn
        outcome.faults.append(f"{type(error).__name__}: {checks.short(str(error), 600)}")
    changes = differences(before, place.environment.state())
    if changes:
        outcome.faults.append(f"the lesson changed the packages: {'; '.join(changes[:WORST])}")
        if place.environment.borrowed is None:
            spoil(place.environment)
    outcome.seconds = time.monotonic() - began
    return outcome


def lesson(place: Place, number: int, way: Way) -> Outcome:
    """One lesson alone in an empty folder, every cell once, then every control moved once."""
    book = books_of(way.books)[number]

    def body(outcome: Outcome) -> None:
        computer = place.machine(way.settings)
        with computer.lent() as machine, place.student(book, machine, log_of(outcome)) as student:
            done = run_all(student, outcome)
            place.keep_data(machine)
            look(student, done, number, outcome)
            if not outcome.faults:
                move_all(student, checks.Widgets(done), outcome)

    return recorded(place, Outcome(book.stem, way.name), body)


def run_all(student: Student, outcome: Outcome, cells: Iterable[str] | None = None) -> list[Ran]:
    """Run all cells, or some, and write the log."""
    wanted, done = list(student.cells if cells is None else cells), list[Ran]()
    try:
        for cell in wanted:
            done.append(student.run(cell))
            if done[-1].error:
                break
    finally:
        n_done, n_all = outcome.cells
        outcome.cells = (n_done + sum(not ran.error for ran in done), n_all + len(wanted))
        write(outcome, done)
    outcome.faults += checks.faults(done, wanted)
    return done


def look(student: Student, done: list[Ran], number: int, outcome: Outcome) -> None:
    """Pictures, progress and widgets of a lesson that was run."""
    widgets = checks.Widgets(done)
    outcome.faults += checks.missing_pictures(done, pictures_in_file(number)) + checks.without_words(done)
    outcome.faults += widgets.dead()
    for ran in done:
        if number in TRAINS and TRAINS[number] in student.cells[ran.cell] and not ran.error:
            outcome.faults += checks.looks_frozen(ran)
    if not outcome.faults and len(widgets.views) < checks.LEAST_WIDGETS:
        outcome.faults.append(f"only {len(widgets.views)} widgets are shown")
    seconds, cell = checks.longest_silence(done)
    outcome.notes.append(f"nothing new on the page for {seconds:.0f} s at most (cell {cell})")


def move_all(student: Student, widgets: checks.Widgets, outcome: Outcome) -> None:
    """Move every control once, as the browser does, after the last cell."""
    n_moved, still = 0, []
    for cell, model, state in widgets.controls():
        ran = student.move(model, state)
        n_moved += 1
        if ran.stderr or ran.error:
            outcome.faults.append(
                f"a control of cell {cell} fails when it is moved: {checks.short(ran.stderr or ran.message)}"
            )
        elif not checks.changed(ran, model):
            still.append(cell)
    outcome.notes.append(f"{len(widgets.views)} widgets, {n_moved} controls moved")
    if still:
        outcome.notes.append(f"nothing changed after a move in {', '.join(sorted(set(still)))}")


def write(outcome: Outcome, done: Iterable[Ran]) -> None:
    """Add what the cells printed to the log."""
    with log_of(outcome).open("a", encoding="utf-8") as file:
        for ran in done:
            file.write(f"--- {ran.cell}: {ran.seconds:.1f} s, {ran.pictures} pictures\n{ran.printed}\n")
            if ran.stderr:
                file.write(f"(standard error)\n{ran.stderr}\n")
            if ran.error:
                file.write("\n".join([f"{ran.error}: {ran.message}", *ran.traceback, ""]))


def log_of(outcome: Outcome) -> Path:
    assert outcome.log is not None, "recorded() has made it"
    return outcome.log
