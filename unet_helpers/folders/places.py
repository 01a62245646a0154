"""Where data and runs lie, and one process at a time that prepares them."""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from unet_helpers.engine.calm import Stopped
from unet_helpers.engine.progress import say

__all__ = ["alone", "home", "lesson_run"]

NOTHING_KEPT = "No half of it is kept: run this cell again to prepare it."


def home() -> Path:
    """Folder that holds `data/` and `runs/`.

    `$UNET_HOME` if set (on Colab: a folder of your Drive keeps runs safe), else the root of the checkout that
    this package lies in, else the working directory.
    """
    if os.environ.get("UNET_HOME"):
        return Path(os.environ["UNET_HOME"]).expanduser()
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "notebooks").is_dir() else Path.cwd()


def lesson_run(folder: Path) -> Path:
    """Where the lessons keep their training on a data set, and what they find out about it.

    Two folders with one name, `a/scans` and `b/scans`, get two: the name of a folder that does not lie in
    `data/` of `home` is followed by six digits that stand for its whole path.
    """
    name = folder.name
    if folder.resolve().parent != (home() / "data").resolve():
        name += "-" + hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:6]
    return home() / "runs" / "lesson" / name


@contextmanager
def alone(what: str, folder: Path | None = None, when_stopped: str = NOTHING_KEPT) -> Iterator[None]:
    """Let one process at a time prepare data; another one says what it waits for, and then finds it done.

    Args:
        what: Name of the data set.
        folder: Where it is prepared; `data/` of `home` if None.
        when_stopped: Sentence for whoever stops it: what is kept, and how to go on.

    Raises:
        Stopped: If Ctrl-C or the stop button ends the waiting or the preparing.
    """
    folder = folder or home() / "data"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        waiting = f"Another process is preparing data in {folder}. Waiting for it before {what} is opened."
        if _acquired(lock, waiting):  # nobody else is at work: what is half there, a killed process has left
            _remove_halves(folder, what)
        yield
    except KeyboardInterrupt:
        raise Stopped(f"Stopped before the data set {what} was complete. {when_stopped}") from None
    finally:
        lock.release()


def _acquired(lock: FileLock, waiting: str) -> bool:
    """Wait for the lock. Without locks, False: both prepare, and the second one takes what the first made."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(waiting)
        lock.acquire()
    except (OSError, NotImplementedError):
        return False
    return True


def _remove_halves(folder: Path, what: str) -> None:
    """Delete the scratch folders of killed processes: those of one data set, and of zips."""
    for half in [*folder.glob(f".{glob.escape(what)}-*"), *folder.glob(".unpacking-*")]:
        shutil.rmtree(half, ignore_errors=True)
