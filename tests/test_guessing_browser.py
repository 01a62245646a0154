"""A guess made with real clicks in JupyterLab; and the page of a reader whose kernel never ran.

The server, the browser and the waiting are those of browsers.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from browsers import chromium, jupyterlab, wait_until

from unet_helpers.classroom.tidy import WIDGET, tidy

HOME = 'import os\n\nos.environ["UNET_HOME"] = os.getcwd()\nfrom unet_helpers.exercises import guess, reveal'
ASK = 'guess("lesson01.n", "How many slices hold a stone?", low=0, high=24)'
CHOOSE = (
    'guess("lesson01.white", "What is brightest?", options=["bone and all that is like it", "fat", "air"])'
)
REVEAL = 'reveal("lesson01.n", 14, "We counted.")\nreveal("lesson01.white", "fat")'


def write(path: Path, *sources: str) -> dict[str, Any]:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    book.metadata["kernelspec"] = kernel
    nbformat.write(book, path)
    return book


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Callable[[str], str]]]:
    home = tmp_path_factory.mktemp("lab")
    with jupyterlab(home) as address:
        yield home, address


def run_all(page: Any) -> None:
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def test_a_guess_is_made_kept_and_revealed(lab: tuple[Path, Callable[[str], str]], browser: Any) -> None:
    home, address = lab
    write(home / "guess.ipynb", HOME, ASK, CHOOSE, REVEAL)
    page = browser.new_page(viewport={"width": 1000, "height": 1200})
    page.goto(address("guess.ipynb"))
    status = page.locator("#jp-main-statusbar")
    wait_until(lambda: "| Idle" in status.inner_text(), "the kernel is idle", 60)
    run_all(page)
    outputs = page.locator(".jp-OutputArea-output")
    keep = page.get_by_role("button", name="This is my guess")
    wait_until(lambda: keep.count() == 2, "both questions are shown", 60)
    wait_until(lambda: page.locator("summary").count() == 2, "both truths are folded away")
    assert not page.get_by_text("It is 14. We counted.").is_visible()

    page.locator(".widget-slider [role=slider]").focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    keep.nth(0).click()
    page.get_by_text("Kept: you guessed 14.").wait_for()
    keep.nth(1).click()
    page.get_by_text("Choose one of the buttons first.").wait_for()
    page.get_by_role("button", name="bone and all that is like it").click()
    keep.nth(1).click()
    page.get_by_text("Kept: you guessed bone and all that is like it.").wait_for()

    run_all(page)
    outputs.get_by_text("You guessed 14, and it is 14: well guessed. We counted.").first.wait_for()
    outputs.get_by_text("You guessed bone and all that is like it. It is fat.").first.wait_for()
    picture = page.locator(".jp-OutputArea-output img")
    assert picture.count() == 1 and picture.bounding_box()["width"] > 300
    kept = json.loads((home / "progress.json").read_text())
    assert kept["lesson01.n"]["guess"] == 14 and kept["lesson01.white"]["truth"] == "fat"
    page.close()


def dead_widget(path: Path) -> Any:
    """A notebook as it was saved by somebody else: a widget, a picture of one red pixel, a sentence."""
    book = write(path, "move()")
    data = {WIDGET: {"version_major": 2, "version_minor": 0, "model_id": "gone"}, "text/plain": "A red dot."}
    data["image/png"] = (
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
    )
    output = nbformat.v4.new_output("display_data", data, metadata={"image/png": {"alt": "A red dot."}})
    book["cells"][0]["outputs"] = [output]
    return book


def test_a_reader_whose_kernel_never_ran_sees_the_picture(
    lab: tuple[Path, Callable[[str], str]], browser: Any
) -> None:
    home, address = lab
    book = dead_widget(home / "read.ipynb")
    tidy(book)
    nbformat.write(book, home / "read.ipynb")
    page = browser.new_page()
    page.goto(address("read.ipynb"))
    picture = page.locator(".jp-OutputArea-output img")
    wait_until(lambda: picture.count() == 1, "the picture is shown")
    assert picture.evaluate("image => image.naturalWidth") == 1
    page.close()


def test_a_classic_page_of_nbconvert_tells_a_screen_reader_what_is_seen(tmp_path: Path) -> None:
    from nbconvert import HTMLExporter

    book = dead_widget(tmp_path / "read.ipynb")
    tidy(book)
    page, _ = HTMLExporter(template_name="classic").from_notebook_node(book)
    assert 'alt="A red dot."' in page
