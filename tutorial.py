"""The tutorial's own starter: needs only Python, builds .venv on first use, then runs one command in it.

python3 tutorial.py run      the lessons in order, then the scores
python3 tutorial.py test     unit tests, and every code cell of every lesson
                             (--units: without the lessons; --colab: every lesson as it is on Colab and
                             Kaggle)
python3 tutorial.py lab      JupyterLab on notebooks/
python3 tutorial.py lint     ruff on the package, the tests and the lessons; mypy on the package
python3 tutorial.py site     the texts and the executed lessons as a book, in site/
python3 tutorial.py copies   the lessons for students (without solutions) and for instructors (with them)
python3 tutorial.py colab    lessons that bring the package along, to upload to Colab or Kaggle or to mail
python3 tutorial.py grade    who of a class solved what, from progress files and executed notebooks
python3 tutorial.py tidy     widgets, dead without a kernel, out of the outputs of the lessons
python3 tutorial.py teaching minutes, plans and answers, from the lessons into TEACHING.md and README
python3 tutorial.py address  the repository's address, from pyproject.toml into lessons and README
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("This tutorial needs Python 3.11 or newer; this is Python %d.%d." % sys.version_info[:2])  # noqa: UP031

import argparse
import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
TOO_NEW = (3, 14)
UV = "uv==0.13.9"
STAMP = "tutorial-stamp.txt"  # inside .venv; present only after a complete set-up
CODE_CELL_TIMEOUT_SECONDS = 1200


# ---------------------------------------------------------------------------------------------- set-up
def venv_python(root: Path) -> Path:
    """Where the virtual environment keeps its Python, on this operating system."""
    return root / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def working_version(python: Path) -> str | None:
    """Version of a virtual environment's Python, such as "3.11"; None if it does not start or lacks pip."""
    probe = "import pip, sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([python, "-c", probe], capture_output=True, text=True)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def fingerprint(root: Path, version: str) -> str:
    """Hash of all that decides what is installed: the two files, the Python and the folder."""
    digest = hashlib.sha256(f"{UV}\n{version}\n{root}\n".encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((root / name).read_bytes())
    return digest.hexdigest()


def settings() -> dict[str, str]:
    """Environment variables for everything started here: UTF-8, our own kernel first, absolute paths."""
    ours = {"PYTHONUTF8": "1", "JUPYTER_PREFER_ENV_PATH": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    ours = {name: os.environ.get(name, value) for name, value in ours.items()}
    for name in ("UNET_DATA", "UNET_HOME"):  # the lessons run in notebooks/, where relative paths would break
        if os.environ.get(name, "") not in ("", "phantom", "kaggle"):
            ours[name] = str(Path(os.environ[name]).expanduser().resolve())
    return ours


def call(command: Sequence[str | Path], root: Path = ROOT) -> int:
    """Runs a command and returns its exit code.

    Raises:
        KeyboardInterrupt: At Ctrl-C, once the command, which received it too, has closed cleanly.
    """
    process = subprocess.Popen([str(part) for part in command], cwd=root)
    interrupted = False
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            interrupted = True
            continue
        if interrupted:
            raise KeyboardInterrupt
        return code


def base_python() -> str:
    """The Python to build .venv from: this one, or, if this one is too new, another that is installed."""
    if sys.version_info < TOO_NEW:
        return sys.executable
    others = filter(None, map(shutil.which, ("python3.13", "python3.12", "python3.11")))
    return next(others, None) or sys.exit(
        "This Python is newer than the tutorial was tested with: install Python 3.13 beside it."
    )


def make_venv(root: Path) -> None:
    """Builds an empty .venv with pip, in place of a broken one."""
    command = [base_python(), "-m", "venv", "--clear", str(root / ".venv")]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode != 0:
        print(made.stdout + made.stderr)
        sys.exit("Python could not build .venv (on Debian and Ubuntu: sudo apt install python3-venv).")


def install(python: Path, root: Path) -> None:
    """Installs the pinned versions with uv, or with plain pip where uv cannot be had or fails."""
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    what = [*quiet, "--constraint", "constraints.txt", "--editable", ".[dev]"]
    pip = [python, "-m", "pip", "install"]
    if call([*pip, *quiet, UV], root) == 0:
        uv = [python, "-m", "uv", "--system-certs", "pip", "install", "--python", python]
        if call([*uv, *what], root) == 0:
            return
    print("uv could not install everything; plain pip tries now, which is slower.", flush=True)
    if call([*pip, *what], root) != 0:
        sys.exit("The set-up failed, see above. Is the internet on, is the disk full? Then run it again.")


def set_up(root: Path = ROOT) -> Path:
    """Makes .venv ready and returns its Python; does nothing if nothing changed since the last time."""
    python, stamp = venv_python(root), root / ".venv" / STAMP
    version = working_version(python)
    if version and stamp.is_file() and stamp.read_text() == fingerprint(root, version):
        return python
    stamp.unlink(missing_ok=True)
    start = time.monotonic()
    if version is None:
        if (root / ".venv").exists():
            print(".venv is incomplete, or its Python is gone: it is built anew.", flush=True)
        make_venv(root)
    print("Set-up: installing the pinned versions into .venv (large, mostly torch; only once).", flush=True)
    install(python, root)
    unfinished = stamp.with_suffix(".part")
    unfinished.write_text(fingerprint(root, working_version(python) or "unknown"))
    unfinished.replace(stamp)
    print(f"Set-up: done in {duration(time.monotonic() - start)}.", flush=True)
    return python


# ------------------------------------------------------------------------------------- run the lessons
def duration(seconds: float) -> str:
    """Seconds as text for people: "48 s" or "9 min 05 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def find_notebooks(folder: Path, names: Sequence[str] = ()) -> list[Path]:
    """Numbered notebooks of a folder in order, or only those that begin with one of the names."""
    every = sorted(folder.glob("0*.ipynb"))
    starts = tuple(Path(name).name for name in names)
    unknown = [start for start in starts if not any(book.name.startswith(start) for book in every)]
    if unknown:
        there = ", ".join(book.name for book in every)
        sys.exit(f"No notebook begins with {', '.join(unknown)}; there are {there}.")
    return [book for book in every if not starts or book.name.startswith(starts)]


async def execute(notebook: Path, copy: Path) -> None:
    """Runs one notebook in its own folder, shows a progress line, and writes the executed copy.

    The copy is written when a cell fails, too; the notebook itself is only read.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
        asyncio.CancelledError: At Ctrl-C, after the kernel was shut down.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import DeadKernelError

    from unet_helpers.classroom.tidy import tidy

    book = nbformat.read(notebook, as_version=4)
    n_cells = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in book.cells)
    n_done, start, task = 0, time.monotonic(), asyncio.current_task()

    def show(end: str) -> None:
        clock = duration(time.monotonic() - start)
        print(f"{notebook.name:<32} {n_done:>3}/{n_cells} cells  {clock:>11}", end=end, flush=True)

    def count(**_: Any) -> None:
        nonlocal n_done
        n_done += 1

    async def tick() -> None:
        while sys.stdout.isatty():
            show(end="\r")
            await asyncio.sleep(1)

    place = {"metadata": {"path": str(notebook.parent)}}
    client = NotebookClient(book, timeout=None, coalesce_streams=True, resources=place)
    client.store_widget_state = False  # large, dead without a kernel; the cells leave pictures instead
    client.on_cell_executed = count
    client.extra_arguments = ["--log-level=50"]  # the kernel's own warnings would tear the line
    client.on_notebook_start = cancel_on_signal(task)
    ticker = asyncio.create_task(tick())
    try:
        await client.async_execute()
    except DeadKernelError:
        if task and task.cancelling():  # nbclient takes Ctrl-C for a dead kernel
            raise asyncio.CancelledError from None
        raise DeadKernelError("The kernel of this notebook died: most often the memory was full.") from None
    finally:
        ticker.cancel()
        show(end="\n")
        tidy(book)
        copy.parent.mkdir(parents=True, exist_ok=True)
        unfinished = copy.with_suffix(".part")
        nbformat.write(book, unfinished)
        unfinished.replace(copy)


def tidy_lessons(root: Path = ROOT, names: Sequence[str] = ()) -> int:
    """Takes the widgets out of the lessons' outputs, so that readers without a kernel see pictures."""
    from unet_helpers.classroom.tidy import tidy_file

    changed = [book.name for book in find_notebooks(root / "notebooks", names) if tidy_file(book)]
    print(f"Tidied: {', '.join(changed)}" if changed else "All lessons are tidy.")
    return 0


def copies(out: Path, root: Path = ROOT) -> int:
    """Writes the lessons for students and for instructors into two folders below `out`."""
    from unet_helpers.classroom.copies import write_copies

    try:
        written = write_copies(find_notebooks(root / "notebooks"), out)
    except ValueError as error:
        print(error)
        return 1
    print(f"{len(written)} notebooks in {out / 'student'} and {out / 'instructor'}.")
    print(f"They find the package if a copy of unet_helpers lies in {out}, or once the address is set;")
    print("python3 tutorial.py colab OUT --students writes lessons for students that bring it along.")
    return 0


def colab(out: Path, students: bool = False, root: Path = ROOT) -> int:
    """Writes lessons that bring the package along, and the package as a zip, into a folder."""
    from unet_helpers.classroom.address import address_of
    from unet_helpers.classroom.colab import write_lessons

    try:
        written = write_lessons(find_notebooks(root / "notebooks"), out, address_of(root), students)
    except ValueError as error:
        print(error)
        return 1
    largest = max(path.stat().st_size for path in written) / 1e6
    print(f"{len(written)} files in {out}, the largest of {largest:.1f} MB. README.md there says what to do.")
    return 0


def grade(folders: Sequence[str], csv_file: str | None = None) -> int:
    """Prints who of a class solved what, and writes it as a CSV file."""
    from unet_helpers.classroom.grade import collect, exercise_names, table, write_csv

    names = exercise_names()
    try:
        students, trouble = collect([Path(folder) for folder in folders])
        if csv_file:
            write_csv(Path(csv_file), students, names)
    except OSError as error:
        print(error)
        return 1
    print("\n".join([table(students, names), *trouble]))
    return 0 if students else 1


def teaching(root: Path = ROOT, check: bool = False) -> int:
    """Writes what README and TEACHING.md take from the lessons; with check, only tells what differs."""
    from unet_helpers.classroom.teaching import read_lesson, refreshed

    stale = []
    try:
        lessons = [read_lesson(book) for book in find_notebooks(root / "notebooks")]
        for path in (root / "README.md", root / "TEACHING.md"):
            text = path.read_text(encoding="utf-8")
            wanted = refreshed(text, lessons)
            if wanted != text:
                stale.append(path.name)
                if not check:
                    path.write_text(wanted, encoding="utf-8", newline="\n")
    except ValueError as error:
        print(error)
        return 1
    verdict = "Differs" if check else "Rewritten"
    print(f"{verdict}: {', '.join(stale)}" if stale else "All as in the lessons.")
    return 1 if stale and check else 0


def cancel_on_signal(task: asyncio.Task[None] | None) -> Any:
    """A hook that makes Ctrl-C cancel the task, so that the kernel is shut down in order."""

    def hook(**_: Any) -> None:
        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError):  # Windows: asyncio.run cancels the task by itself
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, task.cancel)

    return hook


def run(root: Path = ROOT, names: Sequence[str] = ()) -> int:
    """Executes the notebooks in order in this Python; prints scores, place of the copies and time taken."""
    start, started_at = time.monotonic(), time.time()
    for notebook in find_notebooks(root / "notebooks", names):
        try:
            loop = asyncio.SelectorEventLoop if os.name == "nt" else None  # ZeroMQ cannot use Windows' own
            with asyncio.Runner(loop_factory=loop) as runner:
                runner.run(execute(notebook, root / "executed" / notebook.name))
        except (KeyboardInterrupt, asyncio.CancelledError):
            print("Stopped.")
            return 130
        except Exception as error:  # a failing cell (the text holds it and what it raised), a dead kernel
            text = str(error) if sys.stdout.isatty() else re.sub(r"\x1b\[[0-9;]*m", "", str(error))
            print(f"{text}\nStopped: {notebook.name} failed. Its copy: {root / 'executed' / notebook.name}")
            return 1
    home = Path(os.environ.get("UNET_HOME") or root)
    print_scores(home / "runs" / "lesson", started_at)
    print(f"Executed copies: {root / 'executed'}")
    print(f"Total time: {duration(time.monotonic() - start)}")
    return 0


def print_scores(runs: Path, started_at: float) -> None:
    """Prints the scores that the last lesson wrote beside its run, unless they are older than this run."""
    oldest = started_at - 2  # file clocks may be 2 s coarse
    written = [path for path in runs.glob("*/scores.json") if path.stat().st_mtime >= oldest]
    if not written:
        return
    path = max(written, key=lambda path: path.stat().st_mtime)
    scores = json.loads(path.read_text(encoding="utf-8"))
    width = max(map(len, scores), default=0)
    print(f"Scores ({path}):")
    for name, value in scores.items():
        print(f"  {name:<{width}}  {f'{value:.3f}' if isinstance(value, float) else value}")


# ---------------------------------------------------------------------------------------- test the lot
def workers(python: Path, extra: Sequence[str] = ()) -> list[str]:
    """Pytest's options for the unit tests: a process a core, at most four, where pytest-xdist is installed.

    What must not be cut apart, or stand beside another of its kind, is grouped in tests/conftest.py.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = subprocess.run([python, "-c", "import xdist"], capture_output=True).returncode == 0
    if cores < 2 or not found or {"-n", "-s", "--pdb"} & set(extra):
        return []
    return ["-n", str(min(cores, 4)), "--dist", "loadgroup", "--no-loadscope-reorder"]


def test(python: Path, root: Path = ROOT, extra: Sequence[str] = (), units: bool = False) -> int:
    """Every code cell of every notebook (not with `units`), then the unit tests; 0 only if both pass.

    The notebooks come first because the browser test opens lesson 5, which needs the network of lesson 4.
    """
    pytest = [python, "-m", "pytest"]
    lax = ["--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={CODE_CELL_TIMEOUT_SECONDS}"]
    lax += [f"--timeout={CODE_CELL_TIMEOUT_SECONDS + 60}", "-v", "-p", "tutorial"]  # -p: the summary below
    codes = [] if units else [call([*pytest, *lax, "notebooks", *extra], root)]
    codes += [call([*pytest, "tests", *workers(python, extra), *extra], root)]
    passing = (0, 5) if extra else (0,)  # 5: "no test selected", which an extra -k may bring about
    return next((code for code in codes if code not in passing), 0)


def test_colab(python: Path, root: Path = ROOT, extra: Sequence[str] = ()) -> int:
    """The contract of Colab and Kaggle: what it holds stands in tests/colab/contract.py."""
    return call([python, root / "tests" / "colab" / "contract.py", *extra], root)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Pytest hook: how many code cells of each notebook ran."""
    ran: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            if getattr(report, "when", "") == "call":
                ran[report.fspath] += 1
    terminalreporter.section("code cells run")
    for path, n_ran in sorted(ran.items()):
        cells = json.loads((ROOT / path).read_text(encoding="utf-8"))["cells"]
        n_code = sum(cell["cell_type"] == "code" for cell in cells)
        terminalreporter.write_line(f"{path}: {n_ran} of {n_code}")


def lint(python: Path, root: Path = ROOT, extra: Sequence[str] = ()) -> int:
    """Rules and format by ruff, types of the package by mypy; 0 only if all hold."""
    ruff = [python, "-m", "ruff"]
    commands = (
        [*ruff, "check", ".", *extra],
        [*ruff, "format", "--check", ".", *extra],
        [python, "-m", "mypy"],  # of what, and how strictly, stands in pyproject.toml
    )
    return max(call(command, root) for command in commands)


# ------------------------------------------------------------------------------- the address, everywhere
def address(root: Path = ROOT, check: bool = False) -> int:
    """Writes the address of pyproject.toml wherever it is shown; with check, only tells what differs."""
    from unet_helpers.classroom.address import rewrite

    try:
        stale = rewrite(root, find_notebooks(root / "notebooks"), check)
    except ValueError as error:
        print(error)
        return 1
    verdict = "Differs" if check else "Rewritten"
    print(f"{verdict}: {', '.join(stale)}" if stale else "All as in pyproject.toml.")
    return 1 if stale and check else 0


# ------------------------------------------------------------------------------------------ command line
def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Command line arguments; those after a lone -- are kept for the program that the command starts."""
    own = list(arguments)
    extra = own[own.index("--") + 1 :] if "--" in own else []
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    here = argparse.ArgumentParser(add_help=False)
    here.add_argument("--here", action="store_true", help="use this Python as it is (conda), not .venv")
    run_parser = commands.add_parser("run", parents=[here], help="execute the lessons in order")
    run_parser.add_argument("names", nargs="*", metavar="NAME", help="only notebooks beginning so, e.g. 03")
    for name, what in (("test", "pytest"), ("lab", "JupyterLab"), ("lint", "ruff and mypy")):
        commands.add_parser(
            name, parents=[here], help=f"start {what}; arguments after -- go to {what.split()[0]}"
        )
    test_parser = commands.choices["test"]
    test_parser.add_argument("--units", action="store_true", help="the unit tests without the lessons")
    test_parser.add_argument("--colab", action="store_true", help="every lesson as on Colab and Kaggle")
    test_parser.add_argument("--short", action="store_true", help="with --colab: a part of it, in minutes")
    copies_parser = commands.add_parser("copies", parents=[here], help="write student and instructor copies")
    copies_parser.add_argument("out", metavar="OUT", help="folder for student/ and instructor/")
    site_parser = commands.add_parser("site", parents=[here], help="build the book of the course into site/")
    site_parser.add_argument("--out", metavar="OUT", help="another folder for the book")
    colab_parser = commands.add_parser("colab", help="write lessons that bring the package along")
    colab_parser.add_argument("out", metavar="OUT", help="folder for the lessons and unet_helpers.zip")
    colab_parser.add_argument("--students", action="store_true", help="without solutions and answers")
    grade_parser = commands.add_parser("grade", help="one table of what a class has handed in")
    grade_parser.add_argument("folders", nargs="+", metavar="FOLDER", help="of the class, or one a student")
    grade_parser.add_argument("--csv", metavar="FILE", help="write the table for a spreadsheet, too")
    tidy_parser = commands.add_parser("tidy", help="take widgets out of the outputs of the lessons")
    tidy_parser.add_argument("names", nargs="*", metavar="NAME", help="only notebooks beginning so, e.g. 03")
    teaching_parser = commands.add_parser("teaching", help="write the lessons' minutes into the texts")
    teaching_parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 on a difference"
    )
    address_parser = commands.add_parser("address", help="write the repository's address into the lessons")
    address_parser.add_argument("--check", action="store_true", help="change nothing; exit 1 on a difference")
    parsed = parser.parse_args(own[: own.index("--")] if "--" in own else own)
    parsed.extra = extra
    return parsed


def main(arguments: Sequence[str]) -> int:
    """Does what the command line says; returns the exit code."""
    args = parse(arguments)
    if args.command == "address":
        return address(check=args.check)
    if args.command == "teaching":
        return teaching(check=args.check)
    if args.command == "tidy":
        return tidy_lessons(names=args.names)
    if args.command == "colab":
        return colab(Path(args.out), args.students)
    if args.command == "grade":
        return grade(args.folders, args.csv)
    os.environ.update(settings())
    python = Path(sys.executable) if args.here else set_up()
    if args.command == "run":
        return run(names=args.names) if args.here else call([python, __file__, "run", "--here", *args.names])
    if args.command == "copies":
        return copies(Path(args.out)) if args.here else call([python, __file__, "copies", args.out, "--here"])
    if args.command == "site":
        place = ["--out", Path(args.out).resolve()] if args.out else []
        return call([python, "-m", "unet_helpers.classroom.site", *place])
    if args.command == "test" and args.colab:
        chosen = [f"--{name}" for name in ("short", "units") if getattr(args, name)]
        return test_colab(python, extra=[*chosen, *args.extra])
    if args.command == "test":
        return test(python, extra=args.extra, units=args.units)
    if args.command == "lab":
        return call([python, "-m", "jupyterlab", "--ServerApp.root_dir=notebooks", *args.extra])
    return lint(python, extra=args.extra)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
