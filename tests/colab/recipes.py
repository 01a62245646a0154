"""What students do beside running a lesson: Drive and a lost machine, the stop button, Kaggle, a zip."""

from __future__ import annotations

import ast
import json
import re
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from colab import checks
from colab.lessons import Outcome, Place, log_of, recorded, run_all, write
from colab.machines import Machine, refusal, without_internet
from colab.student import Student, books_of
from colab.ways import Way, zipped
from lesson_runs import Ran, When, after, on_file

FIT, NETWORK, OPEN = "uh.fit(*parts, run_dir", "judging.choose_network(", "open_dataset("
SLOW = ("gpu.", "move.batches", "my_step(", "move.learning_rates", "move.eight_slices", "move.three_bugs")
TWO_EPOCHS = 290  # steps: an epoch of the phantom has 228 on a CPU
MOST_ON_DRIVE = 40  # files; a data set would bring 1,500


# -------------------------------------------------------------------------------------------- Drive
def uncommented(source: str) -> str:
    """A cell with its block for Drive switched on: "# " is taken away from the lines that are code.

    Raises:
        ValueError: If there is no such block.
    """
    lines = source.splitlines()
    mount = [k for k, line in enumerate(lines) if line.startswith("# ") and "drive.mount(" in line]
    if not mount:
        raise ValueError("no commented line holds drive.mount(")
    first = last = mount[0]
    while first > 0 and _is_code(lines[first - 1]):
        first -= 1
    while last + 1 < len(lines) and _is_code(lines[last + 1]):
        last += 1
    block = range(first, last + 1)
    return "\n".join(line[2:] if k in block else line for k, line in enumerate(lines))


def _is_code(line: str) -> bool:
    if not line.startswith("# ") or line.startswith("#  "):
        return False
    if line[2:].startswith("%"):
        return True
    try:
        tree = ast.parse(line[2:])
    except SyntaxError:
        return False
    return not all(isinstance(one, ast.Expr) and isinstance(one.value, ast.Name) for one in tree.body)


def switch_drive_on(student: Student) -> None:
    """Follow the recipe in the one cell that has it."""
    cells = [
        cell
        for cell, source in student.cells.items()
        if re.search(r"^# .*drive\.mount\(", source, re.MULTILINE)
    ]
    if len(cells) != 1:
        raise ValueError(f"one cell must hold the recipe for Drive, got {cells or 'none'}.")
    student.cells[cells[0]] = uncommented(student.cells[cells[0]])


def hurried(student: Student, until: str) -> list[str]:
    """The cells of somebody in a hurry, up to the one that holds some words."""
    last = student.cell_with(until)
    above = [cell for cell in student.cells if cell not in student.below(last)]
    return [cell for cell in above if not any(word in student.cells[cell] for word in SLOW)]


def drive(place: Place, way: Way) -> Outcome:
    """Lesson 4 with the recipe; the machine dies in training; a new one goes on; lesson 5 finds the run."""
    if reason := refusal("colab"):
        return Outcome("Drive, machine lost", way.name, skipped=reason)
    books, shared = books_of(way.books), place.sandbox / f"drive-{way.name.replace(' ', '-')}"

    def body(outcome: Outcome) -> None:
        before = lost_in_training(place, books[4], shared, way, outcome)
        goes_on(place, books[4], shared, way, outcome, before)
        found_by_lesson_5(place, books[5], shared, way, outcome)
        outcome.faults += what_lies_there(shared, outcome)

    return recorded(place, Outcome("Drive, machine lost", way.name), body)


def with_drive(place: Place, shared: Path, way: Way) -> Machine:
    """A new machine that can mount this Drive."""
    return place.machine({**way.settings, "STUB_DRIVE": str(shared), "UNET_STEPS": str(TWO_EPOCHS)})


def lost_in_training(place: Place, book: Path, shared: Path, way: Way, outcome: Outcome) -> dict[str, Any]:
    """Train on Drive until a machine is taken away after the first epoch; returns that epoch's entry."""
    with (
        with_drive(place, shared, way).lent() as machine,
        place.student(book, machine, log_of(outcome)) as student,
    ):
        switch_drive_on(student)
        *above, fit = hurried(student, FIT)
        run_all(student, outcome, above)
        place.keep_data(machine)

        def saved(printed: str, seconds: float) -> bool:
            for best in shared.rglob("best.pt"):
                last = best.with_name("last.pt")
                if last.exists() and last.stat().st_mtime_ns > best.stat().st_mtime_ns:
                    student.take_away()
            return False

        ended = None
        with suppress(AssertionError):  # the reader notices that its kernel is dead
            ended = student.run(fit, saved)
        if ended is not None:
            raise RuntimeError(f"the training was not lost in its middle: {ended}, {ended.printed[-500:]}")
    (history,) = shared.rglob("history.json")
    entry: dict[str, Any] = json.loads(history.read_text(encoding="utf-8"))[0]
    return entry


def goes_on(
    place: Place, book: Path, shared: Path, way: Way, outcome: Outcome, before: dict[str, Any]
) -> None:
    """The same lesson on a new machine goes on where it was."""
    with (
        with_drive(place, shared, way).lent() as machine,
        place.student(book, machine, log_of(outcome)) as student,
    ):
        switch_drive_on(student)
        done = run_all(student, outcome, hurried(student, FIT))
    (path,) = shared.rglob("history.json")
    history = json.loads(path.read_text(encoding="utf-8"))
    if history[0] != before or history[-1]["step"] != TWO_EPOCHS:
        outcome.faults.append(f"the training did not go on after {before}, its history is {history}")
    if "continued at step" not in done[-1].printed:
        outcome.faults.append(f"nothing says that it goes on: {checks.short(done[-1].printed)}")


def found_by_lesson_5(place: Place, book: Path, shared: Path, way: Way, outcome: Outcome) -> None:
    """Lesson 5, alone on a machine of its own, judges the run that lies on Drive."""
    with (
        with_drive(place, shared, way).lent() as machine,
        place.student(book, machine, log_of(outcome)) as student,
    ):
        switch_drive_on(student)
        done = run_all(student, outcome, hurried(student, NETWORK))
        if "network that comes with the package" in done[-1].printed:
            outcome.faults.append(f"lesson 5 does not find the run: {checks.short(done[-1].printed)}")
        outcome.notes.append(f"lesson 5 says: {checks.short(done[-1].printed, 160)}")


def what_lies_there(shared: Path, outcome: Outcome) -> list[str]:
    """Whatever lies on Drive and is neither a run nor progress."""
    home = shared / "MyDrive"
    files = sorted(path for path in home.rglob("*") if path.is_file())
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    outcome.notes.append(f"{len(files)} files on Drive, {megabytes:.1f} MB")
    found = []
    for path in files:
        inside = path.relative_to(home).parts[1:]  # below the folder that the recipe names
        if not inside or not (inside[0] == "runs" or inside[0].lstrip(".").startswith("progress")):
            found.append(f"{path.relative_to(home)} lies on Drive")
    if len(files) > MOST_ON_DRIVE:
        found.append(f"{len(files)} files lie on Drive")
    return found[:10]


# ------------------------------------------------------------------------------------------ the stop button
STEPPING = """\
from unet_helpers import training as _training
_plain = _training.{name}
def _slow(*arguments):
    import time
    print("({name})", flush=True)
    time.sleep(0.5)
    return _plain(*arguments)
_training.{name} = _slow
"""
AS_BEFORE = "_training.{name} = _plain"


def stops(place: Place, way: Way) -> Outcome:
    """Stop pressed at five moments of lesson 4: one calm sentence each, and the same cell goes on."""
    if reason := refusal("colab"):
        return Outcome("stop button", way.name, skipped=reason)

    def body(outcome: Outcome) -> None:
        computer = place.machine({**way.settings, "UNET_STEPS": str(TWO_EPOCHS)}, cold=True)
        with (
            computer.lent() as machine,
            place.student(books_of(way.books)[4], machine, log_of(outcome)) as student,
        ):
            *above, fit = hurried(student, FIT)
            setup, data = above.index("setup-cell"), above.index(student.cell_with(OPEN))
            run_all(student, outcome, above[:setup])
            pressed(student, above[setup], after(1.0), "in the imports of the set-up", outcome)
            run_all(student, outcome, above[setup:data])
            pressed(student, above[data], after(1.0), "while the phantom is written", outcome)
            run_all(student, outcome, above[data:])
            stopped_trainings(student, fit, machine.disk, outcome)

    return recorded(place, Outcome("stop button", way.name), body)


def stopped_trainings(student: Student, fit: str, disk: Path, outcome: Outcome) -> None:
    """Before the first validation, in a validation, in the middle of an epoch; then to the end."""
    pressed(student, fit, on_file(disk, "last.pt"), "before the first validation", outcome)
    for name, words in (("validate", "in a validation"), ("train_step", "in the middle of an epoch")):
        student.ask(STEPPING.format(name=name))
        pressed(student, fit, on_marker(name), words, outcome)
        student.ask(AS_BEFORE.format(name=name))
    done = run_all(student, outcome, [fit])
    if f"finished at step {TWO_EPOCHS}" not in done[-1].printed:
        outcome.faults.append(f"the stopped training does not end: {checks.short(done[-1].printed)}")


def on_marker(name: str) -> When:
    """When a function that `STEPPING` has made slow begins."""
    return lambda printed, seconds: f"({name})" in printed


def pressed(student: Student, cell: str, when: When, moment: str, outcome: Outcome) -> None:
    """Press stop in a cell, and look whether it ends calmly."""
    ran = student.run(cell, when)
    write(outcome, [ran])
    if not ran.stopped:
        outcome.faults.append(f"stop {moment}: the cell was over before it was pressed")
    elif not calm(ran):
        outcome.faults.append(f"stop {moment} ends with {ran}: {checks.short(ran.printed)} {ran.traceback}")
    else:
        told = [one for one in ran.printed.splitlines() if "stopped" in one.lower()]
        sentence = ran.traceback[0] if ran.traceback else told[0]
        outcome.notes.append(f"{moment}: {checks.short(sentence, 140)}")


def calm(ran: Ran) -> bool:
    """Whether a stopped cell says so in a sentence, and shows nothing of its insides."""
    if ran.stderr or "Traceback" in ran.printed:
        return False
    return ran.ended_calmly if ran.error else "stopped" in ran.printed.lower()


# ----------------------------------------------------------------------------------------- Kaggle, and a zip
def kaggle(place: Place, way: Way, attached: str = "", whole: bool = True) -> Outcome:
    """Lesson 1 with the internet off.

    Args:
        attached: What lies in /kaggle/input: "folder", "zip", or nothing for a copy that carries the package.
        whole: Whether to run all cells; else those up to the data.
    """
    outcome = Outcome("01 on Kaggle, offline", f"attached {attached}" if attached else way.name)
    if reason := refusal("kaggle"):
        outcome.skipped = reason
        return outcome

    def body(outcome: Outcome) -> None:
        computer = place.machine({}, "kaggle")
        attach(place, computer.disk / "input" / "package", attached)
        before = files_in(computer.disk / "input")
        with (
            computer.lent() as machine,
            place.student(books_of(way.books)[1], machine, log_of(outcome), offline=True) as student,
        ):
            run_all(student, outcome, None if whole else hurried(student, OPEN))
            if files_in(machine.disk / "input") != before:
                outcome.faults.append("something was written into /kaggle/input")
        if not without_internet():
            outcome.notes.append("the internet was off by a proxy only")

    return recorded(place, outcome, body)


def files_in(folder: Path) -> list[Path]:
    """All files but Python's compiled ones: the real /kaggle/input cannot be written, this folder can."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")


def attach(place: Place, folder: Path, what: str) -> None:
    """Put the package where Kaggle puts an attached data set."""
    if not what:
        return
    folder.mkdir()
    package = zipped(place.sandbox)
    if what == "zip":
        (folder / package.name).write_bytes(package.read_bytes())
    else:
        zipfile.ZipFile(package).extractall(folder)


def zip_way(place: Place, way: Way, beside: bool) -> Outcome:
    """Lesson 1 up to its data, the package as a zip: from the upload button, or already in /content."""
    outcome = Outcome("01, set-up only", "zip in /content" if beside else "zip uploaded")
    if reason := refusal("colab"):
        outcome.skipped = reason
        return outcome

    def body(outcome: Outcome) -> None:
        computer = place.machine({} if beside else {"STUB_UPLOAD": str(zipped(place.sandbox))})
        if beside:
            (computer.disk / "unet_helpers.zip").write_bytes(zipped(place.sandbox).read_bytes())
        with (
            computer.lent() as machine,
            place.student(books_of(way.books)[1], machine, log_of(outcome)) as student,
        ):
            run_all(student, outcome, hurried(student, OPEN))

    return recorded(place, outcome, body)
