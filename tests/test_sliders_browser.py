"""Every slider lives after Run All: each lesson is run to its end, then every control is moved.

In JupyterLab with ipywidgets 8 and in the classic Notebook with ipywidgets 7.7.1, which Colab has; the lesson
runs in both at once. What it trains is kept short. Needed besides the project: see browsers.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from browsers import ROOT, Address, chromium, classic_notebook, end_kernels, jupyterlab
from lesson_page import Lesson

from unet_helpers.data import open_dataset

STARTS = {"JupyterLab": jupyterlab, "Notebook 6": classic_notebook}
LESSONS = {path.stem[:2]: path for path in sorted((ROOT / "notebooks").glob("0*.ipynb"))}
MEASURES = ("gpu.", "move.batches")  # cells that measure the machine, a minute in all, and hold no widget
DONE = "from pathlib import Path\n\n_ = Path({!r}).write_text('all cells have run')"
PATIENCE = (1.5, 4, 10)  # seconds; what another control keeps still, which is moved by then, lives, too


@dataclass
class Place:
    """A server: its name, its folder, and what turns a notebook there into an address."""

    name: str
    home: Path
    address: Address

    def write(self, path: Path) -> Path:
        """Write a copy of a lesson without what measures the machine; returns the file it ends with."""
        book, done = nbformat.read(path, as_version=4), self.home / f"{path.stem}.done"
        for cell in book.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
                if any(words in cell.source for words in MEASURES):
                    cell.source = "pass"
        book.cells.append(nbformat.v4.new_code_cell(DONE.format(str(done))))
        nbformat.write(book, self.home / path.name)
        return done

    def open(self, browser: Any, path: Path) -> Lesson:
        return Lesson(browser, self.address(path.name), classic=self.name != "JupyterLab")

    @property
    def log(self) -> str:
        """What the server and its kernels have written: errors of what a widget calls stand there alone."""
        return (self.home / "server.log").read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def phantom() -> Path:
    """The default data set, as this checkout has it or gets it now."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNET_HOME", str(ROOT))
        return Path(open_dataset("phantom"))


@pytest.fixture(scope="module")
def places(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Place]]:
    """Both servers; their kernels find the data set and nothing else: no run, no guess of another test."""
    with ExitStack() as stack:
        started = []
        for name, start in STARTS.items():
            home = tmp_path_factory.mktemp(name.replace(" ", "-"))
            shutil.copytree(phantom, home / "data" / phantom.name)
            variables = {"UNET_HOME": str(home), "UNET_STEPS": "6"}
            started.append(Place(name, home, stack.enter_context(start(home, variables))))
        yield started


def move_all(lesson: Lesson, where: str) -> None:
    """Move every control of a lesson, by key and by mouse, and look at it on a phone."""
    controls, n_pictures = lesson.controls(), lesson.pictures()
    assert len(controls) >= 10, controls
    # the inspector's controls hide each other's answers; test_browser.py moves each beside a twin that knows
    inspectors = {control.output for control in controls if control.label == "next miss"}
    controls = [control for control in controls if control.output not in inspectors]
    for means in ("key", "mouse"):
        left = [control for control in controls if not control.primary]
        for seconds in PATIENCE:
            left = [control for control in left if not lesson.move(control, means, seconds)]
        assert not left, f"{where}: by {means} nothing changes: {', '.join(map(str, left))}."
    answer_every_slice(lesson)
    assert lesson.pictures() == n_pictures, f"{where}: pictures are stacked."
    assert not lesson.stderr() and not lesson.complaints
    quickest = min(min(control.seconds) for control in controls if control.seconds)
    assert quickest < 1, f"{where}: no control changes its picture in less than {quickest:.1f} s."
    assert not lesson.narrow()


def answer_every_slice(lesson: Lesson) -> None:
    """Answer all slices of both hunts of lesson 1; the second one tells what the first one was, too."""
    sees = [control for control in lesson.controls() if control.label == "I see a stone"]
    for control in sees:
        while lesson.enabled(control):
            assert lesson.move(control, "mouse", PATIENCE[-1])
    assert lesson.page.get_by_text("you, the first time").count() == bool(sees)


@pytest.mark.parametrize(
    "number", sorted(LESSONS, key=lambda number: number == "04")
)  # 5 judges no rehearsal
def test_every_control_lives_after_run_all(places: list[Place], browser: Any, number: str) -> None:
    path, n_logged = LESSONS[number], {place.name: len(place.log) for place in places}
    done = {place.name: place.write(path) for place in places}
    lessons = {place.name: place.open(browser, path) for place in places}
    for lesson in lessons.values():
        lesson.run_all()
    for place in places:
        lessons[place.name].wait_for_end(done[place.name].exists)
    for place in places:
        move_all(lessons[place.name], place.name)
        assert "Traceback" not in place.log[n_logged[place.name] :], place.name
        lessons[place.name].page.close()
        end_kernels(place.address)
