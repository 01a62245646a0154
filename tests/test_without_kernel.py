"""Lessons for those who read them without a kernel: on GitHub, in nbviewer, in Colab before running, as HTML.

In place of each widget they see a picture and one sentence, or the sentence alone; this holds for the files
of the repository and for what a student saves after running all cells.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unet_helpers.classroom.tidy import DESCRIPTION, WIDGET, tidy

ROOT = Path(__file__).resolve().parents[1]
LESSONS = sorted((ROOT / "notebooks").glob("0*.ipynb"))
STATE = "application/vnd.jupyter.widget-state+json"
ALT = re.compile(r"!\[([^\]]*)\]\(|<img\b([^>]*)>")


def outputs(book: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for cell in book["cells"]:
        for output in cell.get("outputs", ()):
            yield cell.get("id", "?"), output


def faults(book: dict[str, Any], saved: bool = False) -> Iterator[str]:
    """What a reader without a kernel misses, in words.

    Args:
        book: A notebook.
        saved: Whether it is a student's own, saved with its widgets in it.
    """
    for state in book["metadata"].get("widgets", {}).values():
        if not saved or "state" not in state:
            yield "metadata.widgets without a state: GitHub says 'Invalid Notebook'"
    for name, output in outputs(book):
        data = output.get("data", {})
        if WIDGET in data and not saved:
            yield f"{name}: holds a widget"
        told = "".join(data.get("text/plain", ""))
        if output["output_type"] in ("display_data", "execute_result"):
            yield from (f"{name}: {fault}" for fault in _stand_in(data, told, output.get("metadata", {})))
    for cell in book["cells"]:
        if cell.get("attachments") or "attachment:" in "".join(cell["source"]):
            yield f"{cell.get('id')}: an attached picture, which Colab and GitHub do not show"
        if cell["cell_type"] == "markdown":
            yield from (f"{cell.get('id')}: {fault}" for fault in _pictures_in("".join(cell["source"])))


def _stand_in(data: dict[str, Any], told: str, metadata: dict[str, Any]) -> Iterator[str]:
    """A picture needs a sentence, and so does a widget; the description that Python gives of it is none."""
    kinds = [kind for kind in data if kind.startswith("image/")]
    if (kinds or WIDGET in data) and (DESCRIPTION.match(told.strip()) or len(told.split()) < 5):
        yield f"no sentence stands for the picture or widget, but {told[:60]!r}"
    for kind in kinds:
        if len(metadata.get(kind, {}).get("alt", "").split()) < 5:
            yield f"{kind} without alternative text"


def _pictures_in(source: str) -> Iterator[str]:
    """Pictures of a Markdown cell without alternative text, as ![...](...) or as <img ...>."""
    for found in ALT.finditer(source):
        words, tag = found.groups()
        if tag is not None:
            alt = re.search(r'alt="([^"]*)"', tag)
            words = alt[1] if alt else ""
        if not words.strip():
            yield "a picture in the text without alternative text"


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_is_whole_without_a_kernel(path):
    assert list(faults(json.loads(path.read_text("utf-8")))) == []


def picture(**changes: Any) -> dict[str, Any]:
    output = {"output_type": "display_data", "data": {"image/png": "aGk="}, "metadata": {}}
    return output | changes


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        (picture(), "no sentence stands for"),
        (picture(), "without alternative text"),
        (
            picture(data={WIDGET: {}, "text/plain": "HBox(children=(Image(value=b'\\x89PNG'),))"}),
            "no sentence",
        ),
        (
            picture(data={WIDGET: {}, "text/plain": "A slice with a slider of the threshold."}),
            "holds a widget",
        ),
    ],
)
def test_a_fault_of_an_output_is_found(output, fault):
    book = {"metadata": {}, "cells": [{"cell_type": "code", "id": "a", "source": "", "outputs": [output]}]}
    assert any(fault in found for found in faults(book))


@pytest.mark.parametrize(
    ("cell", "metadata"),
    [
        ({"source": "![](a.png)"}, {}),
        ({"source": ['<img src="a.png" width="3">']}, {}),
        ({"source": "![a white dot](attachment:a.png)"}, {}),
        ({"source": "words", "attachments": {"a.png": {}}}, {}),
        ({"source": "words"}, {"widgets": {STATE: {"abc": {}}}}),
    ],
)
def test_a_fault_of_a_text_or_of_the_file_is_found(cell, metadata):
    assert list(faults({"metadata": metadata, "cells": [{"cell_type": "markdown", **cell}]}, saved=True))


# ------------------------------------------------------------------------------- what a student saves
SHOWS = """
import ipywidgets
from matplotlib.figure import Figure
from unet_helpers.engine.figures import figure_png
from unet_helpers.widgets.still import show, you_are_here

box = ipywidgets.HBox([ipywidgets.Image(value=b"x" * 99), ipywidgets.IntSlider()])
show(box, figure_png(Figure((2, 1))), "A slice, and beside it a slider of the threshold.")
show(box, None, "A question with a slider, to be answered in a running notebook.")
you_are_here("slice")
"""
OWN = "import ipywidgets\nipywidgets.HBox([ipywidgets.Image(value=b'x' * 99)])"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A notebook as a student saves it: with the views of the widgets, without their state."""
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient: pip install nbclient")
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat: pip install nbformat")
    code = nbformat.v4.new_code_cell
    book = nbformat.v4.new_notebook(cells=[code(SHOWS), code(OWN)])
    folder = {"metadata": {"path": str(ROOT)}}
    options = {"timeout": 120, "kernel_name": "python3", "store_widget_state": False, "resources": folder}
    nbclient.NotebookClient(book, **options).execute()
    return book


def test_what_a_student_saves_has_a_stand_in_for_every_widget_of_a_lesson(saved):
    lesson = dict(saved, cells=saved["cells"][:1])
    assert sum(WIDGET in output["data"] for _, output in outputs(lesson)) == 2
    assert list(faults(lesson, saved=True)) == []


@pytest.mark.parametrize("template", ["classic", "lab"])
def test_a_saved_notebook_becomes_a_page_with_pictures_and_sentences(saved, template):
    """What GitHub and nbviewer do with it: no widget state is there, so the next best part is shown."""
    nbconvert = pytest.importorskip("nbconvert", reason="needs nbconvert: pip install jupyterlab")
    import nbformat

    book = nbformat.from_dict(dict(saved, cells=saved["cells"][:1]))
    page, _ = nbconvert.HTMLExporter(template_name=template, exclude_input=True).from_notebook_node(book)
    assert (
        len(re.findall('<img [^>]*src="data:image/png;base64', page)) == 2
        and "A question with a slider" in page
    )
    assert "HBox(" not in page and "model not found" not in page and WIDGET not in page
    if template == "classic":  # the other one drops the words that the file holds
        assert 'alt="A slice, and beside it a slider' in page


def test_tidy_gives_a_widget_of_ones_own_a_sentence(saved):
    book = json.loads(json.dumps(saved))
    tidy(book)
    assert "HBox(" not in json.dumps([output for _, output in outputs(book)])
    assert list(faults(book)) == []


DISPLAYS = {  # the places that put something on a page; each gives a text/plain that is a sentence
    "exercises/guessing.py",
    "exercises/progress.py",
    "inspector.py",
    "pictures/live.py",
    "widgets/still.py",
}


def test_only_few_places_put_anything_on_a_page():
    """A widget that is displayed as it is leaves its description in the file; so it goes through `show`."""
    found = set()
    for path in (ROOT / "unet_helpers").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            name = getattr(called, "id", getattr(called, "attr", ""))
            if name == "display" or (isinstance(node, ast.FunctionDef) and node.name == "_repr_mimebundle_"):
                found.add(path.relative_to(ROOT / "unet_helpers").as_posix())
    assert found <= DISPLAYS


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_no_cell_of_a_lesson_ends_with_a_bare_widget(path):
    book = json.loads(path.read_text("utf-8"))
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            assert not re.search(r"\.widget\b", "".join(cell["source"])), cell["id"]
