"""What `processes.begin` starts: python -m unet_helpers.phantom.early FOLDER SETTINGS

It writes a data set while a reader reads, and gives way: to other programs by its priority, to whoever wants
the data now by ending at once. It ends with the process that started it, too. What is written stays, hidden,
and `write_dataset` goes on with it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from threading import Thread

from filelock import FileLock, Timeout

from unet_helpers.folders.places import LOCK, WANTED
from unet_helpers.phantom.dataset import n_cores, write_dataset
from unet_helpers.phantom.helper import end_with_parent

MOST_WORKERS = 4
LOOK_EVERY_SECONDS = 0.2
WAIT_SECONDS = 3.0  # for the end of one that a restarted kernel has left behind


def end_when_wanted(folder: Path) -> None:
    """End as soon as another process waits to prepare data in this folder."""
    while not (folder / WANTED).exists():
        time.sleep(LOOK_EVERY_SECONDS)
    os._exit(1)


def write_early(target: Path, settings: tuple[int, int, int, int]) -> None:
    """Write a data set, unless another process prepares data there, or has written it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(target.parent / LOCK).acquire(timeout=WAIT_SECONDS):
            Thread(target=end_when_wanted, args=[target.parent], daemon=True).start()
            if not target.exists():
                workers = min(MOST_WORKERS, n_cores())
                write_dataset(target, *settings, workers=workers, progress=False, go_on=True)
    except (Timeout, OSError, NotImplementedError):
        return  # whoever opens the data set finds the same, and says it


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the stop button of a notebook is not meant for it
    if hasattr(os, "nice"):
        os.nice(19)
    Thread(target=end_with_parent, daemon=True).start()
    folder, settings = map(json.loads, sys.argv[1:])
    write_early(Path(folder), settings)
