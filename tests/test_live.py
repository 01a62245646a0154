"""A picture that replaces itself in the output of a cell."""

import base64
from typing import Any

import pytest

from unet_helpers.engine import figures
from unet_helpers.pictures.live import LiveImage


class FakeDisplay:
    """Stands for IPython's display: remembers what was shown and what was replaced."""

    def __init__(self) -> None:
        self.shown: list[tuple[Any, Any]] = []
        self.updated: list[tuple[Any, Any]] = []

    def __call__(self, data: Any, metadata: Any, raw: bool, display_id: bool) -> "FakeDisplay":
        assert raw and display_id is True
        self.shown.append((data, metadata))
        return self

    def update(self, data: Any, metadata: Any, raw: bool) -> None:
        assert raw
        self.updated.append((data, metadata))


def test_a_live_picture_replaces_itself_and_keeps_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.display

    display = FakeDisplay()
    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr(figures, "in_notebook", lambda: True)
    live = LiveImage()
    live.put(b"\x89PNG one", "First.")
    live.put(b"\xff\xd8 two", "Second.")
    ((data, metadata),), ((newer, words),) = display.shown, display.updated
    assert metadata == {"image/png": {"alt": "First."}} and words == {"image/jpeg": {"alt": "Second."}}
    assert base64.b64decode(data["image/png"]) == b"\x89PNG one"
    assert base64.b64decode(newer["image/jpeg"]) == b"\xff\xd8 two"


def test_nothing_is_shown_outside_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.display

    monkeypatch.setattr(IPython.display, "display", lambda *_, **__: pytest.fail("something was shown"))
    LiveImage().put(b"\x89PNG", "Nothing.")
