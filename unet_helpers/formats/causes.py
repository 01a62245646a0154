"""Why a file cannot be read, as far as its bytes tell, and what mends that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from unet_helpers.engine.files import explain

__all__ = ["NeedsWindow", "needs_window", "unreadable"]

CUT_SHORT = "Its end is missing: copy or download it again."
N_LOOKED_AT = 65536  # bytes at either end
TIFF_KINDS = "Save it as a grey TIFF or PNG with 8 or 16 bits, or as a grey TIFF of 32-bit floating point."


class NeedsWindow(ValueError):
    """A file has more than 8 bits, and no window says which of its values are black and white."""


def unreadable(path: Path, error: Exception) -> str:
    """The sentence for an image file that could not be decoded; a remedy only where the cause is known."""
    if isinstance(error, OSError) and error.errno is not None:
        return f"{path} must be a readable image, got: {explain(error).removeprefix(f'{path}: ')}"
    if isinstance(error, MemoryError):
        return f"{path} must be a readable image, got: one that asks for more memory than there is."
    told = str(error).replace(str(path), path.name).rstrip(".") or type(error).__name__
    head, tail, size = _ends(path)
    what, remedy = _cause(head, tail, size, error)
    return f"{path} must be a readable image, got: {what or told}. {remedy}".rstrip()


def _ends(path: Path) -> tuple[bytes, bytes, int]:
    with path.open("rb") as file:
        head = file.read(N_LOOKED_AT)
        size = file.seek(0, 2)
        file.seek(max(0, size - N_LOOKED_AT))
        return head, file.read(), size


def _cause(head: bytes, tail: bytes, size: int, error: Exception) -> tuple[str, str]:
    """What was found in place of an image, or "", and the remedy, or ""."""
    if not size:
        return "an empty file", "It has no bytes: copy or download it again."
    start = head[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page", "It was saved in place of the image: download the image itself."
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS", "Fetch the image itself: git lfs pull"
    if head[:4] == b"PK\3\4":
        return "a zip file", "Unpack it."
    if isinstance(error, Image.DecompressionBombError):
        return "", "If you trust this file, save it in pieces or smaller."
    if "truncated" in str(error).lower() or _is_cut_short(head, tail, size):
        return "", CUT_SHORT
    if head[:4] in (b"II*\0", b"MM\0*") and isinstance(error, (UnidentifiedImageError, ValueError)):
        return "a kind of TIFF that is not read here" * isinstance(error, UnidentifiedImageError), TIFF_KINDS
    return "", ""


def _is_cut_short(head: bytes, tail: bytes, size: int) -> bool:
    """Whether the mark that ends every file of its kind is missing, or its length is larger than the file."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return b"IEND" not in tail
    if head.startswith(b"\xff\xd8"):
        return b"\xff\xd9" not in tail
    if head.startswith(b"BM"):
        return int.from_bytes(head[2:6], "little") > size
    if head.startswith(b"RIFF"):
        return int.from_bytes(head[4:8], "little") + 8 > size
    return head.startswith(b"GIF8") and b";" not in tail


def needs_window(path: Path, values: NDArray[Any], hint: str = "") -> NeedsWindow:
    """The error that asks for a window, with the values seen and what they suggest."""
    known = values[np.isfinite(values)]
    low, high = (known.min(), known.max()) if known.size else (0, 0)
    kind = "floating point" if values.dtype.kind == "f" else f"{8 * values.dtype.itemsize} bits"
    return NeedsWindow(
        f"{path} must have 8 bits a pixel or a window, got {kind} with values {low:g} to {high:g}. "
        f"{hint or _suggested(float(low), float(high))}"
    )


def _suggested(low: float, high: float) -> str:
    """Which window may be meant."""
    middle, width = (low + high) / 2, high - low
    if not np.isfinite(width) or width <= 0:
        return "Give the window as level and width: window=(40, 400)."
    if low < -100:
        return "If these are Hounsfield units, give window=(40, 400) for soft tissue."
    if low >= 0 and 255 < high <= 4095:
        return (
            "If these are Hounsfield units with 1024 added, as 0 to 4095 often are, give window=(1064, 400) "
            f"for soft tissue; window=({middle:g}, {width:g}) shows them all."
        )
    if low >= 0 and 1 < high <= 255:
        return "They fit into 8 bits: window=(127.5, 255) keeps them as they are."
    return f"Give the window as level and width: window=({middle:g}, {width:g}) shows them all."
