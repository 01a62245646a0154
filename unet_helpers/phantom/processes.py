"""How other processes of this package are started, and the one that writes data in the background."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

__all__ = ["begin", "end", "start_module"]

_early: list[subprocess.Popen[str]] = []  # the process that writes in the background, if one was started


def start_module(name: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Run a module of this package in another process, which finds what this one does.

    It is started by a command line of its own: multiprocessing would run the caller's script again, which
    fails where the script has no main guard, or is no file.

    Args:
        name: As in `python -m`.
        *arguments: What it is told, each as JSON. Its standard input is a pipe that ends with this process.
        **options: Passed to `subprocess.Popen`.

    Raises:
        OSError: If no process can be started.
    """
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *(path for path in sys.path if path)]
    return subprocess.Popen(
        [sys.executable or "", "-P", "-m", name, *map(json.dumps, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        **options,
    )


def begin(folder: Path, settings: tuple[int, int, int, int]) -> None:
    """Start to write a data set in a process that gives way to all others. What hinders it is not said.

    Args:
        folder: Where it will lie once it is whole.
        settings: Patients, slices, size in pixels and seed, as `write_dataset` takes them.
    """
    if any(process.poll() is None for process in _early):
        return
    end()
    on_windows: dict[str, int] = {}
    if sys.platform == "win32":
        on_windows["creationflags"] = subprocess.BELOW_NORMAL_PRIORITY_CLASS | subprocess.CREATE_NO_WINDOW
    with suppress(OSError):
        process = start_module(
            "unet_helpers.phantom.early", str(folder.absolute()), settings,
            stderr=subprocess.DEVNULL, **on_windows,
        )  # fmt: skip
        _early.append(process)
        Thread(target=process.wait, daemon=True).start()  # so that it leaves no zombie when it is done


def end() -> None:
    """End the process that `begin` started, if it still runs; what it has written is kept."""
    while _early:
        process = _early.pop()
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()


atexit.register(end)
