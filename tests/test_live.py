"""Pictures that replace themselves in the output of a cell."""

import io
import math
from pathlib import Path

import pytest
from PIL import Image

from unet_helpers.engine import figures
from unet_helpers.pictures.live import LiveCurves, LivePicture

HISTORY = [
    {"step": 50 * i, "train_loss": 1 / i, "val_dice": dice} for i, dice in ((1, math.nan), (2, 0.5), (3, 0.8))
]


class FakeDisplay:
    """Stands for IPython's display: remembers what was shown and what was replaced."""

    def __init__(self) -> None:
        self.shown: list[bytes] = []
        self.updated: list[bytes] = []

    def __call__(self, image, display_id):
        assert display_id is True
        self.shown.append(image.data)
        return self

    def update(self, image) -> None:
        self.updated.append(image.data)


def test_live_curves_replace_their_picture(monkeypatch):
    import IPython.display

    display = FakeDisplay()
    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr(figures, "in_notebook", lambda: True)
    live = LiveCurves()
    live([])
    assert not display.shown
    for n in (1, 2, 3):
        live(HISTORY[:n])
    assert len(display.shown) == 1 and len(display.updated) == 2
    assert Image.open(io.BytesIO(display.updated[-1])).size[0] >= 600
    assert display.updated[0] != display.updated[1]


def test_live_curves_do_nothing_outside_a_notebook(monkeypatch):
    import IPython.display

    monkeypatch.setattr(IPython.display, "display", lambda *_, **__: pytest.fail("something was shown"))
    LiveCurves()(HISTORY)


def test_a_live_picture_replaces_itself_in_a_notebook_only(tmp_path: Path, monkeypatch):
    import IPython.display

    display = FakeDisplay()
    monkeypatch.setattr(IPython.display, "display", display)
    live = LivePicture(tmp_path / "strip.png")
    monkeypatch.setattr(figures, "in_notebook", lambda: True)
    live([])  # there is no file yet
    for grey in (10, 20):
        Image.new("L", (4, 4), grey).save(live.path)
        live([])
    assert len(display.shown) == len(display.updated) == 1 and display.shown != display.updated
    monkeypatch.setattr(figures, "in_notebook", lambda: False)
    live([])
    assert len(display.shown) == len(display.updated) == 1
