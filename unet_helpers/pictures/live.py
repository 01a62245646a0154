"""Outputs of a notebook's cell that replace themselves while it works: a line with a bar, and pictures.

Each is a plain "display" with an id: it needs no widgets, JupyterLab, Notebook, Colab and VS Code replace it
alike, a message that is printed in between does not break it in two, and what stays in the file is its last
state. A bar that ends gives its line to the next one of the same cell, so that reading, comparing and
whatever else a call does are one line. A training keeps its own. Outside a notebook nothing is shown.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from typing import Any

from unet_helpers.engine.progress import WordBar, notebook_shell, percent

__all__ = ["Line", "LiveImage", "PageBar", "reserve_line"]

ROW = "display:flex;flex-wrap:wrap;align-items:center;gap:2px 12px;font-variant-numeric:tabular-nums"
TRACK = "flex:1 1 90px;max-width:200px;height:8px;border-radius:4px;overflow:hidden;background:#8885"
WORDS = (
    "flex:1 1 33em"  # so wide that the same words, a digit longer, do not begin to jump to a row of their own
)
FILLED = "display:block;height:100%;border-radius:4px;background:#3b87c8"


class Line:
    """One output: whatever is put there takes the place of what was there before."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._shown: Any = None

    def put(self, data: dict[str, str], metadata: dict[str, Any] | None = None) -> None:
        """Show something.

        Args:
            data: The same thing in several forms, by media type; pictures in base64.
            metadata: By media type, too, e.g. alternative text.
        """
        if notebook_shell() is None or self._shown == (data, metadata):
            return
        from IPython import display

        _watch_cells()
        ipython: Any = display  # it is not typed
        self._shown, options = (data, metadata), {"metadata": metadata or {}, "raw": True}
        if self._handle is None:
            self._handle = ipython.display(data, display_id=True, **options)
        else:
            self._handle.update(data, **options)

    def write(self, text: str) -> None:
        """Show words."""
        self.put({"text/plain": text, "text/html": f"<div>{html.escape(text)}</div>" if text else ""})

    def end(self, text: str) -> None:
        """Write the words that stay; no bar takes this line any more. Outside a notebook they are printed."""
        if self in _free:
            _free.remove(self)
        if notebook_shell() is None:
            print(text)
        self.write(text)


_free: list[Line] = []  # lines of this cell that the next bar takes
_reserved: list[Line] = []  # those of them that no bar has taken yet
_open: list[PageBar] = []
_watched: list[Any] = []  # the shell, once it tells when a cell is over


def reserve_line(text: str) -> Line:
    """A line for the next bar of this cell, there at once, so that what is shown later stands below it.

    Args:
        text: What stands there until the bar comes. If none comes, it is gone when the cell is over.
    """
    line = Line()
    line.write(text)
    if notebook_shell() is not None:
        _free.append(line)
        _reserved.append(line)
    return line


def _watch_cells() -> None:
    shell = notebook_shell()
    if shell not in _watched:
        _watched[:] = [shell]
        for moment in ("pre_run_cell", "post_run_cell"):  # before: what a button has left since the last cell
            shell.events.register(moment, _tidy_up)


def _tidy_up(*_: object) -> None:
    """A cell is over, perhaps by an error: nothing on the page goes on looking as if it were at work."""
    for bar in [*_open]:
        bar.close()
    for line in set(_reserved) & set(_free):
        line.end("")
    _free.clear()
    _reserved.clear()


class PageBar(WordBar):
    """A bar in a line of the page; options as for `engine.progress.progress_bar`."""

    line: Line | None = None

    def __init__(self, iterable: Iterable[Any] | None, **options: Any) -> None:
        super().__init__(iterable, **options)
        _open.append(self)
        if not self.delay:
            self.refresh()

    def display(self, *_: object, **__: object) -> None:
        """Draw the state; called by tqdm when it is time."""
        if self.line is None:
            self.line = _free.pop(0) if _free else Line()
            if self.line in _reserved:
                _reserved.remove(self.line)
        share, words = self.state()
        if share is None:
            self.line.write(f"{self.desc}: {words}")
            return
        track = f'<span style="{TRACK}"><span style="{FILLED};width:{100 * share:.1f}%"></span></span>'
        said = f'<span style="min-width:3em;text-align:right">{percent(share)}</span>'
        said += f'<span style="{WORDS}">{html.escape(words)}</span>'
        drawn = f'<div style="{ROW}"><span>{html.escape(self.desc)}</span>{track}{said}</div>'
        filled = "█" * int(20 * share)
        text = f"{self.desc} {filled:░<20} {percent(share)}, {words}"
        self.line.put({"text/plain": text, "text/html": drawn})

    def over(self, text: str) -> None:
        """Leave the last words; the line is free for the next bar, if they are the usual ones."""
        if self in _open:
            _open.remove(self)
        if self.line is not None:
            self.line.write(text)
            if self.ending is None:
                _free.insert(0, self.line)


class LiveImage:
    """One picture on the page: every further one takes the place of the one before.

    The last one stays in the file as a plain picture with its alternative text.
    """

    def __init__(self) -> None:
        self._line = Line()

    def put(self, picture: bytes, sentence: str) -> None:
        """Show a picture.

        Args:
            picture: Bytes of a PNG or JPEG file.
            sentence: What it shows.
        """
        kind = "image/jpeg" if picture.startswith(b"\xff\xd8") else "image/png"
        data = {kind: base64.b64encode(picture).decode("ascii"), "text/plain": sentence}
        self._line.put(data, {kind: {"alt": sentence}})
