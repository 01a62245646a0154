"""A training as its reader sees it: one bar above the pictures, moving from the first moment to the last.

A short training of lesson 4's own cell, in JupyterLab and in the classic Notebook with ipywidgets 7.7.1.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from browsers import Address, chromium, classic_notebook, jupyterlab, wait_until
from lesson_folders import write_folder

LESSON = Path(__file__).resolve().parents[1] / "notebooks" / "04_training.ipynb"
N_STEPS = 60
READY, BAR, PICTURE = "training: getting ready", re.compile(r"^training\s+\d+ %"), "img[src^='data:image']"


def write_notebook(path: Path, *last: str, before: str = "") -> None:
    """Lesson 4, made short: its imports and data in one cell, and a cell of its own for each id."""
    lesson = json.loads(LESSON.read_text("utf-8"))
    source = {cell["id"]: "".join(cell["source"]) for cell in lesson["cells"]}
    first = "\n".join([source["open-data"], source["load-data"], before])
    cells = [nbformat.v4.new_code_cell(text) for text in (first, *(source[cell] for cell in last))]
    book = nbformat.v4.new_notebook(cells=cells)
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, path)


class Lab:
    """A notebook in JupyterLab, and what its last cell shows."""

    outputs = ".jp-CodeCell:last-of-type .jp-OutputArea-output"

    def __init__(self, browser: Any, url: str, width: int = 1200, scheme: str = "light") -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 1000}, color_scheme=scheme)
        self.page.goto(url)
        self.ready()

    def ready(self) -> None:
        status = self.page.locator("#jp-main-statusbar")
        wait_until(lambda: "| Idle" in status.inner_text(), "the kernel is idle", 60)

    def run_all(self) -> None:
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

    def stop(self) -> None:
        self.page.locator("[data-jp-item-name='interrupt'] >> visible=true").first.click()

    def shown(self) -> list[tuple[str, float, int]]:
        """Text, place from the top, and number of pictures of each output of the last cell."""
        found = self.page.evaluate(
            """([cells, outputs, picture]) => {
                const cell = [...document.querySelectorAll(cells)].at(-1);
                return [...cell.querySelectorAll(outputs)].map(one => [
                    one.innerText.trim().replace(/\\s+/g, " "), one.getBoundingClientRect().top,
                    one.querySelectorAll(picture).length]);
            }""",
            [*self.outputs.split(":last-of-type "), PICTURE],
        )
        return [(text, top, n) for text, top, n in found]


class Classic(Lab):
    """The same in the classic Notebook."""

    outputs = ".code_cell:last-of-type .output_subarea"

    def ready(self) -> None:
        idle = "window.Jupyter?.notebook?.kernel?.is_connected() && Jupyter.notebook._fully_loaded"
        wait_until(lambda: self.page.evaluate(idle), "the kernel is there", 60)

    def run_all(self) -> None:
        self.page.evaluate("Jupyter.notebook.execute_all_cells()")

    def stop(self) -> None:
        self.page.locator("#run_int button[data-jupyter-action$='interrupt-kernel']").click()


Front = Callable[..., Lab]
FRONTS = {"JupyterLab": (jupyterlab, Lab), "Notebook 6": (classic_notebook, Classic)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module", params=FRONTS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Address, type[Lab]]]:
    serve, front = FRONTS[request.param]
    home = tmp_path_factory.mktemp("server")
    data = write_folder(home / "scans", [[1, 0, 2]] * 9)
    variables = {"UNET_HOME": str(home), "UNET_DATA": str(data), "UNET_STEPS": str(N_STEPS)}
    with serve(home, variables) as address:
        yield home, address, front


def watched(lab: Lab, until: Callable[[list[str]], bool], seconds: float = 180) -> list[str]:
    """Look again and again until the texts of the last cell are as they should be; what the bar said.

    Whenever there is a bar, it is the first output and the only one, and the picture stands below it.
    """
    said: list[str] = []
    end = time.monotonic() + seconds
    while True:
        shown = lab.shown()
        texts = [text for text, *_ in shown]
        bars = [i for i, text in enumerate(texts) if BAR.match(text) or text == READY]
        pictures = [i for i, (_, _, n) in enumerate(shown) if n]
        assert bars in ([], [0]) and len(pictures) <= 1, texts
        if bars and pictures:
            assert shown[0][1] < shown[pictures[0]][1], "the bar stands above the picture"
        if texts and texts[0] not in said[-1:]:
            said.append(texts[0])
        if until(texts):
            return said
        assert not any("Traceback" in text for text in texts), texts[-1][-500:]
        assert time.monotonic() < end, f"still not there: {texts}, {said}"
        time.sleep(0.05)


def begins(words: str) -> Callable[[list[str]], bool]:
    return lambda texts: bool(texts) and texts[0].startswith(words)


def test_one_bar_above_the_picture_from_the_first_moment_to_the_last(server: Any, browser: Any) -> None:
    home, address, front = server
    write_notebook(home / "whole.ipynb", "run")
    lab = front(browser, address("whole.ipynb"))
    lab.run_all()
    said = watched(lab, begins(f"finished at step {N_STEPS}: validation Dice 0."))
    moving = [text for text in said if BAR.match(text)]
    steps = [int(found[1]) for text in moving if (found := re.search(r"step (\d+)", text))]
    assert READY in said and len(set(moving)) >= 4 and steps == sorted(steps), said
    assert any("loss" in text and "left" in text for text in moving) and "nan" not in " ".join(said)
    assert [bool(n) for *_, n in lab.shown()][:2] == [False, True]
    lab.run_all()  # a finished run: the same sentence, and no bar
    said = watched(lab, begins("finished at step"))
    wait_until(lambda: lab.shown()[1][2], "the picture is there again")
    assert not any(BAR.match(text) for text in said), said
    lab.page.close()


def test_stopped_in_the_middle_and_run_again(server: Any, browser: Any) -> None:
    home, address, front = server
    elsewhere = f"import os; os.environ['UNET_HOME'] = {str(home / 'again')!r}"
    write_notebook(home / "stopped.ipynb", "run", before=elsewhere)
    lab = front(browser, address("stopped.ipynb"))
    lab.run_all()
    watched(
        lab, lambda texts: bool(texts) and bool(re.search(r"step [1-9]\d?, .*validation Dice 0", texts[0]))
    )
    lab.stop()
    said = watched(lab, begins("unfinished at step"))
    stopped = int(re.findall(r"unfinished at step (\d+)", said[-1])[0])
    texts = [text for text, *_ in lab.shown()]
    words = f"Stopped at step {stopped}; everything is saved. Run the same call again to continue."
    assert any(text.startswith(words) for text in texts), texts
    lab.run_all()
    said = watched(lab, begins(f"finished at step {N_STEPS}"))
    shares = [int(found[1]) for text in said if (found := re.search(r"(\d+) %", text)) and BAR.match(text)]
    assert shares and shares[0] >= 100 * stopped // N_STEPS and shares == sorted(shares), said
    lab.page.close()
