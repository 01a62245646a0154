"""The contract of Colab and Kaggle: python3 tutorial.py test --colab [--short] [--units] [-- NAME ...]

Every lesson alone on a new machine with Colab's versions, from the address and as a copy that carries the
package; a machine lost in the middle of a training; the stop button; Kaggle without internet.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from colab import recipes, ways
from colab.environment import ROOT, Environment, build, for_units
from colab.lessons import Outcome, Place, lesson
from colab.machines import alone, refusal, without_internet
from colab.ways import Way

LESSONS = range(1, 8)
STEPS = 60
SIMULATED = (
    "Only simulated: google.colab is a stub (Drive is a folder, which locks and renames like a disk; the "
    "upload button takes a file), /content and /kaggle are links into a temporary folder, GitHub is a bare "
    "repository on this disk, the browser is a list of messages, there is no GPU, and Kaggle has Colab's "
    "versions."
)
Task = tuple[str, Callable[[], Outcome]]  # a name that can be asked for, and what is done


def tasks(place: Place, short: bool) -> Iterator[Task]:
    """All that is to be done, in its order."""
    made: dict[str, Way] = {}

    def way(make: Callable[[Path], Way]) -> Way:
        if make.__name__ not in made:
            made[make.__name__] = make(place.sandbox)
        return made[make.__name__]

    def add(name: str, make: Callable[[Path], Way], do: Callable[[Way], Outcome]) -> Task:
        return name, lambda: do(way(make))

    copy, address, as_it_is = ways.self_contained, ways.by_address, ways.lessons_alone
    for number in (1, 4, 5) if short else LESSONS:
        yield add(f"copy {number}", copy, lambda w, n=number: lesson(place, n, w))  # type: ignore[misc]
    for number in () if short else LESSONS:  # in the short form the machines with a Drive take this way
        yield add(f"address {number}", address, lambda w, n=number: lesson(place, n, w))  # type: ignore[misc]
    yield add("zip uploaded", ways.for_kaggle, lambda w: recipes.zip_way(place, w, beside=False))
    yield add("drive", address, lambda w: recipes.drive(place, w))
    yield add("kaggle copy", copy, lambda w: recipes.kaggle(place, w, whole=not short))
    yield add("kaggle zip", as_it_is, lambda w: recipes.kaggle(place, w, "zip", whole=False))
    if not short:
        yield add("kaggle folder", as_it_is, lambda w: recipes.kaggle(place, w, "folder", whole=False))
        yield add("zip beside", as_it_is, lambda w: recipes.zip_way(place, w, beside=True))
        yield add("drive copy", copy, lambda w: recipes.drive(place, w))
        yield add("stops", address, lambda w: recipes.stops(place, w))


def done(task: Task) -> Outcome:
    """Do one task; what keeps it from being begun is a fault of it."""
    try:
        return task[1]()
    except (RuntimeError, OSError, KeyError) as error:
        return Outcome(task[0], faults=[f"{type(error).__name__}: {error}"])


# ----------------------------------------------------------------------------------------- the report
def line(outcome: Outcome) -> str:
    """One line of the table."""
    cells = f"{outcome.cells[0]}/{outcome.cells[1]}"
    result = outcome.skipped and f"skipped: {outcome.skipped}"
    result = result or ("FAILED" if outcome.faults else "ok")
    return f"{outcome.what:<24} {outcome.way:<16} {cells:>7} cells {outcome.seconds:>5.0f} s  {result}"


def details(outcome: Outcome) -> str:
    """What was wrong, what else was seen, and where all of it can be read."""
    words = [f"    fault: {fault}" for fault in outcome.faults]
    words += [f"    {note}" for note in outcome.notes]
    if outcome.faults and outcome.log:
        words.append(f"    log: {outcome.log}")
    return "\n".join(words)


def verdict(outcomes: Sequence[Outcome], seconds: float, environment: Environment) -> str:
    """The end of the report."""
    failed = [outcome for outcome in outcomes if outcome.faults]
    skipped = sum(bool(outcome.skipped) for outcome in outcomes)
    words = [f"{len(outcomes) - len(failed) - skipped} passed, {len(failed)} failed, {skipped} skipped"]
    computed = os.times().children_user + os.times().children_system  # what a busy computer does not change
    words = [
        f"{', '.join(words)} in {seconds // 60:.0f} min {seconds % 60:02.0f} s ({computed:.0f} s of CPU)."
    ]
    words += [f"FAILED: {outcome.what} ({outcome.way}): {outcome.faults[0]}" for outcome in failed]
    offline = "" if without_internet() else " The internet of Kaggle could only be hidden behind a proxy."
    return "\n".join([*words, environment.told, SIMULATED + offline])


# ------------------------------------------------------------------------------------------ units
def units(environment: Environment, extra: Sequence[str]) -> int:
    """The unit tests with Colab's versions; not those of the set-up and the browser, which Colab has not."""
    for_units(environment)
    left_out = ["--ignore-glob=tests/test_*browser.py", "--ignore=tests/test_setup.py"]
    left_out += ["--ignore=tests/test_colab_contract.py"]
    old = ["-W", "ignore::DeprecationWarning"]  # these versions warn about themselves on a newer Python
    command = [environment.python, "-m", "pytest", "tests", *left_out, *old, *extra]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "MPLCONFIGDIR": str(environment.folder / "fonts")}
    return subprocess.call([str(word) for word in command], cwd=ROOT, env=variables)


def contract(environment: Environment, short: bool, wanted: Sequence[str], logs: Path) -> int:
    """Do all tasks, or those whose names begin with one of some words; 0 if nothing was wrong."""
    began, outcomes = time.monotonic(), list[Outcome]()
    sandbox = Path(tempfile.mkdtemp(prefix="unet-contract-"))
    try:
        place = Place(sandbox, logs, environment, STEPS)
        for task in tasks(place, short):
            if not wanted or task[0].startswith(tuple(wanted)):
                outcomes.append(done(task))
                print("\n".join(filter(None, [line(outcomes[-1]), details(outcomes[-1])])), flush=True)
    finally:
        environment.make_new()
        shutil.rmtree(sandbox, ignore_errors=True)
    print(verdict(outcomes, time.monotonic() - began, environment))
    return 1 if not outcomes or any(outcome.faults for outcome in outcomes) else 0


def main(arguments: Sequence[str]) -> int:
    """What the command line asks for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tutorial.py test --colab", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--short", action="store_true", help="a few minutes: three lessons, Drive, Kaggle, a zip"
    )
    parser.add_argument("--units", action="store_true", help="the unit tests alone, with Colab's versions")
    parser.add_argument(
        "names", nargs="*", help="with --units for pytest, else tasks such as 'copy 4' or drive"
    )
    own, extra = parser.parse_known_args(arguments)
    if own.units:
        return units(build(), [*own.names, *extra])
    with alone():
        for kind in ("colab", "kaggle"):
            if reason := refusal(kind):
                print(f"{kind.capitalize()} cannot be simulated: {reason}.", flush=True)
        environment = build(light=own.short and not (ROOT / ".venv-colab").is_dir())
        print(environment.told, flush=True)
        return contract(environment, own.short, own.names, ROOT / "executed" / "colab")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
