"""Lessons in real kernels, as a reader runs them: stopped in the middle of a cell, gone on with, run again.

with Reader("04_training.ipynb", home=tmp_path, data=folder, steps=20) as reader:
    ran = reader.run_all(stop={"run": on_text("training")})   # Run All ends at the first error
    reader.restart()                                          # a new kernel, the same files
    ran = reader.run_all(by_hand=True)                        # whoever goes on below an error
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any, Self

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
LOOK_EVERY_SECONDS = 0.02
ANSI = re.compile(r"\x1b\[[0-9;]*m")

When = Callable[[str, float], bool]  # gets what the cell has printed so far, and since when it runs (seconds)


def on_text(text: str) -> When:
    """Press stop when a text appears in what the cell prints or shows."""
    return lambda printed, seconds: text in printed


def on_file(folder: Path, pattern: str) -> When:
    """Press stop when a file appears below a folder."""
    return lambda printed, seconds: folder.is_dir() and any(folder.rglob(pattern))


def after(wait: float) -> When:
    """Press stop so many seconds after the cell began."""
    return lambda printed, seconds: seconds >= wait


@dataclass
class Ran:
    """One cell that ran.

    Attributes:
        cell: Its id.
        printed: Text of its streams and results, ANSI colours left out.
        stderr: What of it went to standard error.
        error: Class of the exception that ended it; "" if it ran to its end.
        message: Its message.
        traceback: The lines that the notebook shows.
        stopped: Whether stop was pressed.
        pictures: How many pictures it shows.
        seconds: How long it took.
        shown: All that the kernel sent: after how many seconds, of which kind, and the content.
    """

    cell: str
    printed: str = ""
    stderr: str = ""
    error: str = ""
    message: str = ""
    traceback: list[str] = field(default_factory=list)
    stopped: bool = False
    pictures: int = 0
    seconds: float = 0.0
    shown: list[tuple[float, str, Mapping[str, Any]]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.cell}: {self.error}: {self.message}" if self.error else f"{self.cell}: ran"

    @property
    def ended_calmly(self) -> bool:
        """Whether an error shows as one sentence without a traceback, or is a name that is explained."""
        if self.error == "NameError":
            return f"{self.message.split(chr(39))[1]!r} is not known: the cell above" in self.printed
        return bool(self.error) and len(self.traceback) == 1 and self.traceback[0].endswith(".")

    @property
    def trouble(self) -> str:
        """What a reader should not have to see: a traceback, a warning of a library; "" if there is none."""
        if self.error and not self.ended_calmly:
            return "\n".join([str(self), *self.traceback])
        return self.stderr if re.search(r"RuntimeWarning|Error|Traceback|nan\b", self.stderr) else ""


class OwnKernel(KernelManager):
    """A kernel of the Python that runs the tests, or of another one, whatever kernels the machine knows.

    Attributes:
        command: How that Python is started.
    """

    command: Sequence[str] = (sys.executable,)

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = [*self.command, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python", language="python")


class Reader:
    """Somebody who opens a lesson and runs its cells.

    Args:
        notebook: File in `notebooks/`, or the path of one that lies elsewhere.
        home: `UNET_HOME`, where data and runs lie.
        data: `UNET_DATA`; None for the phantom.
        steps: `UNET_STEPS`; None for the whole training.
        before: Code that runs before the set-up cell and is no cell of the lesson, to make it short.
        solving: Whether the exercises are checked; their stubs are there in any case.

    Attributes:
        folder: Where the kernel works.
        timeout: Seconds that a cell may take.
    """

    folder = NOTEBOOKS
    timeout = 300.0

    def __init__(
        self,
        notebook: str,
        home: Path,
        data: Path | str | None = None,
        steps: int | None = None,
        before: str = "",
        solving: bool = False,
    ) -> None:
        book = json.loads((NOTEBOOKS / notebook).read_text("utf-8"))
        self.cells: dict[str, str] = {
            cell["id"]: "".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"
        }
        if not solving:
            self.cells = {
                cell: re.sub(r"^lesson\d+\.\w+\.check\(.*$", "", source, flags=re.MULTILINE)
                for cell, source in self.cells.items()
            }
        self.setup = "setup-cell"
        self.before = before
        hidden = {"MPLBACKEND", "UNET_DATA", "UNET_STEPS", "UNET_HOME"}
        self.environment = {name: value for name, value in os.environ.items() if name not in hidden}
        self.environment |= {"UNET_HOME": str(home), "IPYTHONDIR": str(home / ".ipython")}
        if data is not None:
            self.environment["UNET_DATA"] = str(data)
        if steps is not None:
            self.environment["UNET_STEPS"] = str(steps)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        self.kernel = OwnKernel()
        self.kernel.start_kernel(env=self.environment, cwd=str(self.folder))
        self.client: Any = self.kernel.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)

    def close(self) -> None:
        self.client.stop_channels()
        self.kernel.shutdown_kernel(now=True)

    def restart(self) -> None:
        """A new kernel, as Restart gives it: nothing is known, all files are there."""
        self.close()
        self.start()

    def forget(self, data: Path) -> None:
        """As good as a restart, and faster: no name is known, and another data set is wished for."""
        source = f"import os; os.environ['UNET_DATA'] = {str(data)!r}\n%reset -f"
        assert not self._execute(Ran("reset"), source, None).error

    def cell_with(self, words: str) -> str:
        """The id of the one cell whose code holds some words."""
        (found,) = [cell for cell, source in self.cells.items() if words in source]
        return found

    def below(self, cell: str) -> list[str]:
        """The ids of the cells that follow."""
        return list(self.cells)[list(self.cells).index(cell) + 1 :]

    def run_all(
        self,
        stop: Mapping[str, When] | None = None,
        by_hand: bool = False,
        until: str | None = None,
        cells: Iterable[str] | None = None,
    ) -> list[Ran]:
        """Run the cells in their order.

        Args:
            stop: When to press the stop button, by cell.
            by_hand: Whether to go on below a cell that ends in an error; Run All does not.
            until: Last cell to run.
            cells: Which ones; None for all.
        """
        done: list[Ran] = []
        for cell in self.cells if cells is None else cells:
            done.append(self.run(cell, (stop or {}).get(cell)))
            if (done[-1].error and not by_hand) or cell == until:
                break
        assert not set(stop or {}) - {ran.cell for ran in done if ran.stopped}, f"not stopped: {done[-1]}"
        return done

    def run(self, cell: str, stop: When | None = None) -> Ran:
        """Run one cell, and press stop when it is time."""
        if cell == self.setup and self.before:  # set-up begins to draw the phantom at once
            extra = self._execute(Ran("before"), self.before, None)
            assert not extra.error, extra
        return self._execute(Ran(cell), self.cells[cell], stop)

    def _execute(self, ran: Ran, source: str, stop: When | None) -> Ran:
        return self._follow(ran, self.client.execute(source), stop)

    def _follow(self, ran: Ran, request: str, stop: When | None) -> Ran:
        """Note what the kernel sends until a request is done."""
        began = time.perf_counter()
        while True:
            seconds = time.perf_counter() - began
            if stop is not None and not ran.stopped and stop(ran.printed, seconds):
                self.kernel.interrupt_kernel()
                ran.stopped = True
            assert seconds < self.timeout, (
                f"{ran.cell} runs for more than {self.timeout:g} s: {ran.printed[-2000:]}"
            )
            try:
                message = self.client.get_iopub_msg(timeout=LOOK_EVERY_SECONDS if stop else 1)
            except Empty:
                assert self.kernel.is_alive(), f"the kernel died in {ran.cell}: {ran.printed[-2000:]}"
                continue
            if message["parent_header"].get("msg_id") == request:
                ran.seconds = time.perf_counter() - began
                if self._take(ran, message):
                    return ran

    def _take(self, ran: Ran, message: Mapping[str, Any]) -> bool:
        """Note what a message says; True when the cell is done."""
        kind, content = message["msg_type"], message["content"]
        ran.shown.append((ran.seconds, kind, content))
        if kind == "stream":
            text = ANSI.sub("", content["text"])
            ran.printed += text
            ran.stderr += text if content["name"] == "stderr" else ""
        elif kind in ("display_data", "execute_result", "update_display_data"):
            ran.printed += content["data"].get("text/plain", "") + "\n"
            ran.pictures += any(name.startswith("image/") for name in content["data"])
        elif kind == "error":
            ran.error, ran.message = content["ename"], content["evalue"]
            ran.traceback = [ANSI.sub("", line) for line in content["traceback"]]
        return bool(kind == "status" and content["execution_state"] == "idle")
