"""What replaces itself while a cell works: in a real kernel, in a terminal, in a file."""

from __future__ import annotations

import base64
import io
import math
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lesson_runs import OwnKernel, Reader

from unet_helpers.engine import progress
from unet_helpers.engine.progress import TrainingBar, time_words

ROOT = Path(__file__).resolve().parents[1]
PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode("ascii")
FIT = """\
import time
from unet_helpers.engine import progress
from unet_helpers.engine.progress import TrainingBar, passing_bars, progress_bar, say
from unet_helpers.pictures.live import LiveImage, reserve_line
progress.DRAW_EVERY_SECONDS = 0.02

def fit(n_steps=6, first=0, to=None, error=None):
    "As `training.fit` uses the bar: read, step, say something, validate."
    for _ in progress_bar(range(3), desc="reading pairs", unit="pair"):
        pass
    history = []
    with TrainingBar(first / n_steps, 4, True) as bar:
        for step in range(first + 1, (to or n_steps) + 1):
            time.sleep(0.03)
            bar.is_due()
            if step == 2:
                say("Out of memory with 4 patches at once: going on with 2 at once.")
            if error:
                raise error
            if step % 3 == 0:
                with bar.pause():
                    for _ in progress_bar(range(3), desc="predicting", unit="batch", disable=True):
                        time.sleep(0.03)
                    history.append({"train_loss": 0.5, "val_dice": float("nan") if step == 3 else 0.75})
                    page.put(b"\\x89PNG", f"Curves up to step {step}.")
            bar.step(step / n_steps, step, 0.9, history)
"""


class Page:
    """What a cell has on the page: its outputs in their order, each with all of its states.

    Attributes:
        outputs: One list an output, its states as bundles of media types.
        kinds: The types of the messages, in their order.
    """

    def __init__(self) -> None:
        self.outputs: list[list[dict[str, str]]] = []
        self.kinds: list[str] = []
        self._at: dict[str, int] = {}
        self.moments: list[float] = []

    def take(self, message: Any) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind in ("display_data", "update_display_data"):
            name = content["transient"]["display_id"]
            self.moments.append(time.perf_counter())
            if kind == "display_data":
                assert name not in self._at
                self._at[name] = len(self.outputs)
                self.outputs.append([])
            self.outputs[self._at[name]].append(content["data"])
        elif kind == "stream":
            if self.kinds[-1:] != ["stream"]:
                self.outputs.append([])
            self.outputs[-1].append({"text/plain": content["text"]})
        else:
            return
        self.kinds.append(kind)

    def texts(self, output: int) -> list[str]:
        return [state["text/plain"] for state in self.outputs[output]]


class Kernel(Reader):
    """A kernel that runs cells which are no lesson's."""

    def __init__(self, home: Path) -> None:
        super().__init__("04_training.ipynb", home)
        self.environment["PYTHONPATH"] = str(ROOT)

    def page(self, source: str) -> Page:
        page = Page()
        request = self.client.execute(textwrap.dedent(source))
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != request:
                continue
            page.take(message)
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return page


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with Kernel(tmp_path_factory.mktemp("kernel")) as started:
        assert not started.page(FIT).outputs
        yield started


# ------------------------------------------------------------------------------------- in a notebook
def test_bar_and_picture_are_two_outputs_from_the_first_moment_to_the_last(kernel: Kernel) -> None:
    page = kernel.page("""
        reserve_line("training: getting ready"); page = LiveImage(); page.put(b"\\x89PNG", "Empty axes.")
        fit()
        """)
    assert page.kinds.count("display_data") == 2 and page.kinds[:2] == ["display_data"] * 2
    assert page.kinds.count("stream") == 1 and page.kinds[-1] == "update_display_data"
    bar, pictures, said = page.texts(0), page.texts(1), page.texts(2)
    assert bar[0] == "training: getting ready" and "reading pairs: 3 pairs" in bar
    assert re.match(r"training █+░+ 16 %, step 1, .*loss 0\.900, no validation Dice yet", bar[4]), bar
    assert any("validating 66 %" in state for state in bar)
    assert re.fullmatch(
        r"training finished in \d+ s: step 6, loss 0.500, validation Dice 0.750, .* images/s", bar[-1]
    )
    assert pictures == ["Empty axes.", "Curves up to step 3.", "Curves up to step 6."]
    assert said == ["Out of memory with 4 patches at once: going on with 2 at once.\n"]
    assert not any("nan" in text for text in bar)
    assert "<span" in page.outputs[0][5]["text/html"] and "<span" not in page.outputs[0][-1]["text/html"]


def test_a_run_that_goes_on_begins_where_it_stopped(kernel: Kernel) -> None:
    page = kernel.page("page = LiveImage()\nfit(to=2)")
    assert page.texts(0)[-1].startswith("training stopped at 33 %: step 2, loss 0.900")
    page = kernel.page("fit(first=2)")
    shares = [
        int(found[1]) for text in page.texts(0) if (found := re.search(r"training [█░]+ (\d+) %", text))
    ]
    assert shares[0] == 33 and shares == sorted(shares)


def test_what_ends_by_an_error_does_not_look_as_if_it_were_at_work(kernel: Kernel) -> None:
    page = kernel.page("reserve_line('training: getting ready')\nraise ValueError('settings')")
    assert page.texts(0) == ["training: getting ready", ""]
    page = kernel.page("page = LiveImage()\nfit(error=RuntimeError('broken'))")
    assert page.texts(0)[-1] == "training ended by an error before the first step"
    page = kernel.page("""
        for i in progress_bar(range(9), desc="reading", unit="pair"):
            time.sleep(0.03)
            if i == 4:
                raise KeyboardInterrupt
        """)
    assert re.fullmatch(r"reading: stopped at [1-4] of 9 pairs", page.texts(0)[-1])


def test_bars_of_one_cell_share_a_line_and_trainings_keep_theirs(kernel: Kernel) -> None:
    page = kernel.page("page = LiveImage()\nfit(3)\nfit(3)")
    lines = [page.texts(i)[-1] for i in range(len(page.outputs))]
    assert [line[:17] for line in lines if line.startswith("training")] == ["training finished"] * 2
    assert not any(line.startswith("reading") for line in lines)
    page = kernel.page("""
        for _ in progress_bar(range(2), desc="outer", unit="part"):
            for _ in progress_bar(range(2), desc="inner", unit="step"):
                pass
        """)
    assert [page.texts(i)[-1] for i in (0, 1)] == ["outer: 2 parts", "inner: 2 steps"]
    assert len(page.outputs) == 2


def test_a_finished_run_shows_no_empty_bar(kernel: Kernel) -> None:
    page = kernel.page("""
        line = reserve_line("training: getting ready"); LiveImage().put(b"\\x89PNG", "Curves.")
        line.end("finished at step 6: validation Dice 0.75")
        for _ in progress_bar(range(2), desc="later", unit="step"):
            pass
        """)
    assert page.texts(0) == ["training: getting ready", "finished at step 6: validation Dice 0.75"]
    assert page.texts(2)[-1] == "later: 2 steps"


def test_passing_bars_come_late_and_leave_nothing(kernel: Kernel) -> None:
    source = """
        with passing_bars():
            for _ in progress_bar(range({0}), desc="predicting", unit="batch", disable=True):
                time.sleep(0.3)
        """
    assert not kernel.page(source.format(2)).outputs
    page = kernel.page(source.format(6))
    assert len(page.outputs) == 1 and page.texts(0)[-1] == ""
    assert re.search(r"predicting .* of 6 batches, \d s left", page.texts(0)[0])
    assert not kernel.page("for _ in progress_bar(range(9), disable=True): time.sleep(0.2)").outputs


def test_a_bar_is_redrawn_twice_a_second(kernel: Kernel) -> None:
    page = kernel.page("""
        progress.DRAW_EVERY_SECONDS = 0.5
        with TrainingBar(0, 4, True) as bar:
            for step in range(1, 1001):
                time.sleep(0.0015)
                bar.is_due()
                bar.step(step / 1000, step, 0.9, [])
        progress.DRAW_EVERY_SECONDS = 0.02
        """)
    assert 3 <= len(page.outputs[0]) <= 2 * (page.moments[-1] - page.moments[0]) + 4


def test_an_executed_notebook_keeps_the_last_state_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat

    nbclient = pytest.importorskip("nbclient", reason="needs nbclient: pip install nbclient")

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    cell = nbformat.v4.new_code_cell(
        "reserve_line('ready')\npage = LiveImage()\npage.put(b'\\x89PNG', 'A.')\nfit()"
    )
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(FIT), cell])
    nbclient.NotebookClient(book, kernel_manager_class=OwnKernel, timeout=60).execute(cwd=tmp_path)
    bar, picture, said = book.cells[1].outputs
    assert re.match(r"training finished in \d+ s: step 6, loss 0.500", bar.data["text/plain"])
    assert bar.data["text/html"] == f"<div>{bar.data['text/plain']}</div>"
    assert picture.data["text/plain"] == "Curves up to step 6." and said.output_type == "stream"


# ------------------------------------------------------------------------------- elsewhere, and words
def test_a_live_picture_keeps_its_words(kernel: Kernel) -> None:
    page = kernel.page(
        "page = LiveImage()\npage.put(b'\\x89PNG', 'First.')\npage.put(b'\\xff\\xd8', 'Second.')"
    )
    assert [set(state) for state in page.outputs[0]] == [
        {"image/png", "text/plain"},
        {"image/jpeg", "text/plain"},
    ]


def test_outside_a_notebook_nothing_is_shown_on_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    from unet_helpers.pictures.live import LiveImage, reserve_line

    LiveImage().put(b"\x89PNG", "Nothing.")
    line = reserve_line("training: getting ready")
    assert not capsys.readouterr().out
    line.end("finished at step 6")
    assert capsys.readouterr().out == "finished at step 6\n"


def test_a_file_gets_whole_lines_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "DRAW_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(progress, "LOG_EVERY_SECONDS", 0.05)
    with TrainingBar(0, 4, True) as bar:
        for step in range(1, 11):
            time.sleep(0.02)
            bar.is_due()
            bar.step(step / 10, step, 0.9, [])
    lines = capsys.readouterr().out.splitlines()
    assert 2 <= len(lines) <= 10 and "\r" not in "".join(lines)
    assert all(
        re.match(r"training: \d+ %, step \d+, loss 0.900, no validation Dice yet", one) for one in lines[:-1]
    )
    assert re.match(r"training finished in \d+ s: step 10, loss 0.900, no validation Dice yet", lines[-1])


class Terminal(io.StringIO):
    """Standard output of a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_line_that_is_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # of the process that xdist started: 80
    monkeypatch.setattr(sys, "stdout", screen := Terminal())
    with TrainingBar(0.5, 4, True) as bar:
        for step in range(6, 11):
            time.sleep(0.01)
            bar.step(step / 10, step, 0.9, [{"train_loss": 0.3, "val_dice": 0.75}])
    *_, last = screen.getvalue().rstrip("\n").split("\r")
    assert screen.getvalue().count("\n") == 1 and "training |" in screen.getvalue()
    assert re.search(r"100 %, step 10, loss 0.300, validation Dice 0.750, \d+ images/s", last)
    assert re.search(r"50 %, getting started", screen.getvalue())


def test_without_ipython_there_is_plain_text(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['IPython'] = None\n"
        "from unet_helpers.engine.progress import progress_bar\n"
        "print(list(progress_bar([1, 2], desc='reading', unit='pair')))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout == "reading: 2 pairs\n[1, 2]\n" and not ran.stderr


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "1 s"),
        (6.2, "7 s"),
        (12, "15 s"),
        (54, "55 s"),
        (80, "1 min"),
        (200, "3 min"),
        (7300, "2 h 2 min"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert time_words(seconds) == words


def test_a_score_that_is_no_number_is_told_in_words() -> None:
    assert progress.score_words(math.nan) == "no validation Dice yet"
    assert progress.score_words(0.8125, 2) == "validation Dice 0.81"


def test_a_bar_that_leaves_nothing_leaves_no_output_in_a_lesson() -> None:
    from unet_helpers.classroom.tidy import tidy

    gone = {"output_type": "display_data", "data": {"text/html": [], "text/plain": ""}, "metadata": {}}
    kept = [
        {"output_type": "stream", "name": "stdout", "text": "finished"},
        {"output_type": "display_data", "data": {"text/html": "<div>", "text/plain": "done"}, "metadata": {}},
    ]
    cell = {"cell_type": "code", "metadata": {}, "source": "", "outputs": [gone, *kept]}
    tidy({"metadata": {}, "cells": [cell, {"cell_type": "markdown", "metadata": {}, "source": ""}]})
    assert cell["outputs"] == kept
