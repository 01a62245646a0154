"""Image files opened with Pillow, and what Pillow thinks of them told with their names."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

__all__ = ["opened"]


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """Open an image file, to be read inside of the block.

    Warnings (of damaged EXIF data, of an end that is missing) are given once the block has ended, with the
    name of the file. That a file is large is none: up to 179 megapixels are read, above them `Image.open`
    raises DecompressionBombError.
    """
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always")
        with Image.open(path) as file:
            yield file
    told = [doubt for doubt in doubts if not issubclass(doubt.category, Image.DecompressionBombWarning)]
    for text in dict.fromkeys(str(doubt.message) for doubt in told):
        warnings.warn(f"{path}: {text}", stacklevel=4)
