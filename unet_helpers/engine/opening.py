"""Image files opened with Pillow, large ones without a warning."""

from __future__ import annotations

import os
import warnings

from PIL import Image

__all__ = ["opened"]

_LARGE_IS_LEGAL = ("ignore", None, Image.DecompressionBombWarning, None, 0)


def opened(path: str | os.PathLike[str]) -> Image.Image:
    """Open an image file, to be read inside of a `with` block.

    Pillow warns of files above 89 megapixels: a slide or a scan may have as many, and is read. Above twice
    that `Image.open` raises DecompressionBombError.
    """
    if _LARGE_IS_LEGAL not in warnings.filters:  # set once: it makes others forget what they told
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    return Image.open(path)
