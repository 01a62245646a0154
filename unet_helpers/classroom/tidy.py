"""A lesson's outputs as a reader without a kernel should meet them.

A widget cannot be drawn without its kernel: JupyterLab 4.6 then falls back to the picture in the same
output, other programs show an error in its place. So the widget's part is taken out wherever a notebook is
written, and what stays is the picture and its sentence. A run of the cell brings the widget back.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

__all__ = ["notebook_text", "tidy", "tidy_file"]

WIDGET = "application/vnd.jupyter.widget-view+json"
MOVES = "Run this cell in Jupyter or Colab: there is something to move here."
DESCRIPTION = re.compile(r"^[A-Z]\w*\(.*\)$", re.DOTALL)  # "HBox(children=(Image(value=...", told to nobody


def tidy(book: dict[str, Any]) -> None:
    """Take widgets, their state and the times of execution out of a notebook, in place."""
    book["metadata"].pop("widgets", None)
    for cell in book["cells"]:
        cell["metadata"].pop("execution", None)
        if cell["cell_type"] == "code":  # a bar that has left nothing
            cell["outputs"] = [one for one in cell["outputs"] if any(one.get("data", {"": "kept"}).values())]
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if data.pop(WIDGET, None) is None:
                continue
            if not data or DESCRIPTION.match("".join(data.get("text/plain", "")).strip()):
                data["text/plain"] = MOVES


def tidy_file(path: Path) -> bool:
    """Tidy a notebook on the disk; return whether anything changed."""
    before = path.read_text("utf-8")
    book = json.loads(before)
    tidy(book)
    if book == json.loads(before):
        return False
    path.write_text(notebook_text(book), "utf-8", newline="\n")
    return True


def notebook_text(book: dict[str, Any]) -> str:
    """A notebook as text, formatted as Jupyter writes it."""
    return json.dumps(book, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
