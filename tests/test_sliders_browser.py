"""Every slider lives after Run All: each lesson is run to its end, then every control is moved.

In JupyterLab with ipywidgets 8, and in the classic Notebook with ipywidgets 7.7.1, which Colab has. What a
lesson trains is kept short. Needed besides the project: see browsers.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from browsers import ROOT, Address, chromium, classic_notebook, jupyterlab
from lesson_page import Lesson

from unet_helpers.data import open_dataset

SERVERS = {"lab": jupyterlab, "classic": classic_notebook}
LESSONS = {path.stem[:2]: path for path in sorted((ROOT / "notebooks").glob("0*.ipynb"))}
MEASURES = ("gpu.", "move.batches")  # cells that measure the machine, a minute in all, and hold no widget
DONE = "from pathlib import Path\n\n_ = Path({!r}).write_text('all cells have run')"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def phantom() -> Path:
    """The default data set: that of this checkout, which the lessons have written, or one of our own."""
    return next((ROOT / "data").glob("phantom-96x8-*"), None) or Path(open_dataset("phantom"))


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, phantom: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Address]]:
    """A server whose kernels have the data set and nothing else: no run, no guess of another test."""
    home = tmp_path_factory.mktemp(request.param)
    shutil.copytree(phantom, home / "data" / phantom.name)
    with SERVERS[request.param](home, {"UNET_HOME": str(home), "UNET_STEPS": "6"}) as address:
        yield home, address


def write_lesson(path: Path, folder: Path) -> Path:
    """Write a copy of a lesson without what measures the machine, that says when it is done."""
    book = nbformat.read(path, as_version=4)
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            if any(words in cell.source for words in MEASURES):
                cell.source = "pass"
    done = folder / f"{path.stem}.done"
    done.unlink(missing_ok=True)
    book.cells.append(nbformat.v4.new_code_cell(DONE.format(str(done))))
    nbformat.write(book, folder / path.name)
    return done


@pytest.mark.parametrize(
    "number", sorted(LESSONS, key=lambda number: number == "04")
)  # 5 judges no rehearsal
def test_every_control_lives_after_run_all(server: tuple[Path, Address], browser: Any, number: str) -> None:
    home, address = server
    path = LESSONS[number]
    done = write_lesson(path, home)
    lesson = Lesson(browser, address(path.name), classic="/notebooks/" in address(""))
    log = home / "server.log"
    n_logged = len(log.read_text())
    lesson.run_all(done.exists)
    controls, n_pictures = lesson.controls(), lesson.pictures()
    assert len(controls) >= 10, controls
    for means in ("key", "mouse"):
        left = [control for control in controls if not control.primary]
        for seconds in (
            1.5,
            3,
            6,
        ):  # what depends on another control, which has been moved by then, lives, too
            left = [control for control in left if not lesson.move(control, means, seconds)]
        assert not left, f"By {means} nothing changes: {', '.join(map(str, left))}."
    if number == "01":
        answer_every_slice(lesson)
    assert lesson.pictures() == n_pictures, "Pictures are stacked."
    assert not lesson.stderr() and not lesson.complaints
    assert "Traceback" not in log.read_text()[n_logged:]
    quickest = min(min(control.seconds) for control in controls if control.seconds)
    assert quickest < 1, f"No control changes its picture in less than {quickest:.1f} s."
    assert not lesson.narrow()
    lesson.page.close()
