"""Somebody who opens one lesson on a lent machine: a kernel of Colab's Python, a disk, a clock."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from colab.environment import ROOT, Environment
from colab.machines import NOWHERE, Machine, without_internet
from lesson_runs import OwnKernel, Ran, Reader

CELL_SECONDS = 600.0  # on a computer that is busy with other things, too


class Student(Reader):
    """A reader of a notebook file on a machine.

    Args:
        book: Notebook as the student got it.
        machine: A machine that is lent just now.
        environment: Its Python.
        steps: UNET_STEPS.
        offline: Whether the internet is off.
        log: File for what the kernel says to nobody.
    """

    timeout = CELL_SECONDS

    def __init__(
        self,
        book: Path,
        machine: Machine,
        environment: Environment,
        steps: int,
        log: Path,
        offline: bool = False,
    ) -> None:
        super().__init__(str(book), home=machine.disk, solving=True)
        self.machine, self.python, self.log, self.offline = machine, environment.python, log, offline
        self.environment = environment.variables(machine.home) | {"UNET_STEPS": str(steps)}
        self.environment |= machine.variables()
        self.folder = machine.work
        self.taken = False
        if offline:
            self.environment |= NOWHERE

    def start(self) -> None:
        prefix = without_internet() if self.offline else []
        self.kernel = OwnKernel(transport="ipc" if prefix else "tcp")
        if prefix:  # a socket that is a file, for the new network has no loopback
            self.kernel.ip = str(self.machine.disk.with_name("ipc"))
        self.kernel.command = [*prefix, str(self.python)]
        with self.log.open("ab") as log:
            where: dict[str, Any] = {"env": self.environment, "cwd": str(self.folder)}
            self.kernel.start_kernel(**where, stdout=log, stderr=log)
        self.client: Any = self.kernel.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)

    def take_away(self) -> None:
        """The machine is gone from one moment to the next, with every process on it."""
        process = getattr(self.kernel.provisioner, "process", None)
        if self.taken or process is None:
            return
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.taken = True

    def close(self) -> None:
        process = getattr(self.kernel.provisioner, "process", None)
        super().close()
        if process is not None and not self.taken:  # what was started in the background ends with it
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    def ask(self, source: str) -> Ran:
        """Run code that is no cell of the lesson."""
        return self._execute(Ran("asked"), source, None)

    def move(self, comm: str, state: Mapping[str, Any]) -> Ran:
        """Move a control as the browser does; returns what the kernel sent back.

        Args:
            comm: Id of its model.
            state: New values of its traits.
        """
        content = {"comm_id": comm, "data": {"method": "update", "state": dict(state), "buffer_paths": []}}
        message = self.client.session.msg("comm_msg", content)
        self.client.shell_channel.send(message)
        return self._follow(Ran(f"move {comm}"), message["header"]["msg_id"], None)


def books_of(folder: Path) -> dict[int, Path]:
    """Number of a lesson -> its file in a folder."""
    return {int(path.name[:2]): path for path in sorted(folder.glob("0*.ipynb"))}


def pictures_in_file(number: int) -> set[str]:
    """Cells of a lesson that show a picture in the repository."""
    book = json.loads(books_of(ROOT / "notebooks")[number].read_text(encoding="utf-8"))
    return {
        cell["id"]
        for cell in book["cells"]
        if any(kind.startswith("image/") for out in cell.get("outputs", ()) for kind in out.get("data", ()))
    }
