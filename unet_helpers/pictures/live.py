"""A picture that replaces itself in the output of a cell while a training runs."""

from __future__ import annotations

import base64
from typing import Any

from unet_helpers.engine import figures

__all__ = ["LiveImage"]


class LiveImage:
    """One picture on the page: every further one takes the place of the one before.

    The last one stays in the file as a plain picture with its alternative text. Outside a notebook nothing is
    shown.
    """

    def __init__(self) -> None:
        self._handle: Any = None

    def put(self, picture: bytes, sentence: str) -> None:
        """Show a picture.

        Args:
            picture: Bytes of a PNG or JPEG file.
            sentence: What it shows.
        """
        if not figures.in_notebook():
            return
        from IPython import display

        kind = "image/jpeg" if picture.startswith(b"\xff\xd8") else "image/png"
        data = {kind: base64.b64encode(picture).decode("ascii"), "text/plain": sentence}
        options = {"metadata": {kind: {"alt": sentence}}, "raw": True}
        ipython: Any = display  # it is not typed
        if self._handle is None:
            self._handle = ipython.display(data, display_id=True, **options)
        else:
            self._handle.update(data, **options)
