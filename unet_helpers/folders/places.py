"""Where data and runs lie, and one process at a time that prepares them."""

from __future__ import annotations

import glob
import hashlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from filelock import FileLock, Timeout

from unet_helpers.engine.calm import Stopped
from unet_helpers.engine.progress import say

__all__ = [
    "LOCK",
    "WANTED",
    "alone",
    "data_home",
    "home",
    "lesson_run",
    "platform_name",
    "scratch_folder",
]

NOTHING_KEPT = "No half of it is kept: run this cell again to prepare it."
LOCK = ".lock"  # in a folder of data: held by the process that prepares some of it
WANTED = ".wanted"  # beside it: whoever prepares in the background ends, for another process waits
BEGUN = "-begun"  # end of a hidden folder that the next process goes on with
GIVES_WAY_SECONDS = 2.0
_DRIVES = {"MyDrive", "My Drive", "Shareddrives"}  # folders that only a Google Drive has


def platform_name() -> Literal["colab", "kaggle", "own"]:
    """Whose machine this is: Google Colab's, Kaggle's, or your own."""
    if "KAGGLE_KERNEL_RUN_TYPE" in os.environ or Path("/kaggle/working").is_dir():
        return "kaggle"  # asked first, for Kaggle's machines are made from Colab's
    try:  # a notebook has loaded this module, a command that it runs finds it
        known = "google.colab" in sys.modules or importlib.util.find_spec("google.colab")
    except (ImportError, ValueError):  # there is no `google`, or one without a place
        return "own"
    return "colab" if known else "own"


def home() -> Path:
    """Folder that holds `runs/`, and `data/` unless `data_home` says otherwise.

    `$UNET_HOME` if set (on Colab: a folder of your Drive keeps runs safe), else the root of the checkout that
    this package lies in, if one may write there (below /kaggle/input nobody may), else the working directory.
    """
    if os.environ.get("UNET_HOME"):
        return Path(os.environ["UNET_HOME"]).expanduser()
    return _home_unasked()


def _home_unasked() -> Path:
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "notebooks").is_dir() and os.access(checkout, os.W_OK) else Path.cwd()


def data_home() -> Path:
    """Folder that holds `data/`: `home`, but on Colab never a Google Drive.

    Thousands of small files take minutes there, and are quickly made anew; a run of hours is not.
    """
    for folder in (home(), _home_unasked()):
        if not _on_drive(folder):
            return folder
    return Path("/content")


def _on_drive(folder: Path) -> bool:
    mounted = folder.absolute().is_relative_to("/content/drive") or not _DRIVES.isdisjoint(folder.parts)
    return mounted and platform_name() == "colab"


def lesson_run(folder: Path) -> Path:
    """Where the lessons keep their training on a data set, and what they find out about it.

    Two folders with one name, `a/scans` and `b/scans`, get two: the name of a folder that does not lie in
    `data/` of `data_home` is followed by six digits that stand for its whole path.
    """
    name = folder.name
    if folder.resolve().parent != (data_home() / "data").resolve():
        name += "-" + hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:6]
    return home() / "runs" / "lesson" / name


@contextmanager
def alone(what: str, folder: Path | None = None, when_stopped: str = NOTHING_KEPT) -> Iterator[bool]:
    """Let one process at a time prepare data; another one says what it waits for, and then finds it done.

    One that works in the background (`phantom.background`) gives way at once.

    Args:
        what: Name of the data set.
        folder: Where it is prepared; `data/` of `data_home` if None.
        when_stopped: Sentence for whoever stops it: what is kept, and how to go on.

    Yields:
        Whether it is certain that nobody else prepares; False where the file system knows no locks.

    Raises:
        Stopped: If Ctrl-C or the stop button ends the waiting or the preparing.
    """
    folder = folder or data_home() / "data"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        waiting = f"Another process is preparing data in {folder}. Waiting for it before {what} is opened."
        certain = _acquired(lock, waiting)
        if certain:  # nobody else is at work: what is half there, a killed process has left
            _remove_halves(folder, what)
        yield certain
    except KeyboardInterrupt:
        raise Stopped(f"Stopped before the data set {what} was complete. {when_stopped}") from None
    finally:
        lock.release()


def _acquired(lock: FileLock, waiting: str) -> bool:
    """Wait for the lock. Without locks, False: both prepare, and the second one takes what the first made."""
    try:
        if not _taken(lock):
            say(waiting)
            lock.acquire()
    except (OSError, NotImplementedError):
        return False
    return True


def _taken(lock: FileLock) -> bool:
    """Take the lock if it is free, or if the one who has it gives way."""
    with suppress(Timeout):
        lock.acquire(timeout=0)
        return True
    wanted = Path(lock.lock_file).with_name(WANTED)
    try:
        wanted.touch()
        lock.acquire(timeout=GIVES_WAY_SECONDS)
    except Timeout:
        return False
    finally:
        wanted.unlink(missing_ok=True)
    return True


def _remove_halves(folder: Path, what: str) -> None:
    """Delete the scratch folders of killed processes: those of one data set, and of zips."""
    for half in [*folder.glob(f".{glob.escape(what)}-*"), *folder.glob(".unpacking-*")]:
        if not half.name.endswith(BEGUN):
            shutil.rmtree(half, ignore_errors=True)


@contextmanager
def scratch_folder(target: Path, go_on: bool) -> Iterator[Path]:
    """Where a set is written before it is moved to its place, whole.

    Args:
        target: Its place.
        go_on: Whether an interruption leaves what is there to the next call; an error never does, for what
            has filled a disk is in the way.
    """
    if not go_on:
        with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
            yield Path(scratch)
        return
    begun = target.with_name(f".{target.name}{BEGUN}")
    begun.mkdir(exist_ok=True)
    try:
        yield begun
    except Exception:
        shutil.rmtree(begun, ignore_errors=True)
        raise
    shutil.rmtree(begun, ignore_errors=True)
