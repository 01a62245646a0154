"""One image file, read in the depth that the file has, and the way up that it is meant."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unet_helpers.data import window as apply_window
from unet_helpers.engine.opening import opened
from unet_helpers.formats import causes, dicom

__all__ = [
    "Decoded",
    "Window",
    "check_turns",
    "compare_turns",
    "decode",
    "grey_values",
    "greys",
    "mask_values",
    "read_page",
    "turn_up",
    "windowed",
]

Window = tuple[float, float]  # level and width, in the file's units: Hounsfield units for CT
TURN = 0x0112  # the EXIF tag that says which way up a picture is; 1 stands for as it is
BITS, SAMPLE_FORMAT, PHOTOMETRIC, PLANES = 258, 339, 262, 284  # tags of a TIFF
MAY_TURN = {
    "exif",
    "Raw profile type exif",
    "xmp",
    "XML:com.adobe.xmp",
}  # where Pillow keeps what may hold it
BAND_PIXELS = 2**20
PLAIN = ("1", "L", "RGB", "RGBA")
# What Pillow keeps of 16 bits a channel is the byte that it takes for the high one; told that the other byte
# order holds, it keeps the low one. libtiff has the machine's own order, N.
LOW_BYTE = {"B": "L", "L": "B", "N": "B" if np.little_endian else "L"}
NATIVE = {"I;16BS": "I;16NS", "F;32BF": "F;32NF", "I;32BS": "I;32NS"}  # likewise, of a compressed TIFF
KINDS = {((16,), 1): np.uint16, ((16,), 2): np.int16, ((32,), 1): np.uint32}  # by bits and sample format

# Orientations of the files that were turned when they were decoded last: masks are read by functions that
# give arrays alone, and opening a file once more would take a third of the time that reading it takes.
_turned: dict[Path, int] = {}


@dataclass(frozen=True)
class Decoded:
    """What an image file holds.

    Attributes:
        path: The file.
        picture: The image as Pillow knows it, the way up that it is meant; of a deep file only its kind.
        deep: Values (H, W) or (H, W, channels) of a file with more than 8 bits, else None.
        turn: EXIF orientation that was applied, 1 to 8; 1 if there was none.
        inverted: Whether low values are bright (MONOCHROME1), to be turned round after the window.
        hint: What the file itself says about its window, or "".
    """

    path: Path
    picture: Image.Image
    deep: NDArray[Any] | None = None
    turn: int = 1
    inverted: bool = False
    hint: str = ""


def decode(path: Path, pages_allowed: bool = False) -> Decoded:
    """Read one image file in its whole depth; what is neither grey nor plain colour becomes RGBA.

    Args:
        path: File that Pillow reads, or a DICOM slice, whatever its ending.
        pages_allowed: Whether the first of several pages will do.

    Raises:
        ValueError: If it cannot be read, with what is known of the cause, or holds several pages.
    """
    if dicom.is_dicom(path):
        return _dicom(path)
    try:
        with opened(path) as file:
            n_pages = 1 if file.format == "MPO" else getattr(file, "n_frames", 1)  # MPO: a photo's previews
            decoded = read_page(path, file)
    except Exception as error:  # Pillow's decoders raise more than OSError on damaged bytes
        raise ValueError(causes.unreadable(path, error)) from error
    if decoded.turn > 1 or path in _turned:
        _turned[path] = decoded.turn
    if n_pages > 1 and not pages_allowed:
        raise ValueError(
            f"{path} must hold one slice, got {n_pages} pages. Write each page as a file of its own: "
            "python -m unet_helpers convert FOLDER OUT --format tiff"
        )
    return decoded


def read_page(path: Path, file: Image.Image) -> Decoded:
    """The page at which an open file stands."""
    tiff = file.format == "TIFF"
    turn = file.tag_v2.get(TURN, 1) if tiff else 0  # type: ignore[attr-defined]
    deep = _deep_values(path, file) if _is_deep(file) else None
    file.load()
    if not tiff:  # of a PNG it may stand behind the pixels
        turn = file.getexif().get(TURN, 1) if MAY_TURN & file.info.keys() else 1
    turn = turn if turn in range(1, 9) else 1
    picture = file if file.mode in PLAIN or deep is not None else file.convert("RGBA")
    if turn > 1 and not tiff:  # Pillow turns a TIFF by itself
        deep = deep if deep is None else turn_up(deep, turn)
        picture = picture if deep is not None else Image.fromarray(turn_up(np.asarray(picture), turn))
    return Decoded(path, picture, deep, turn)


def _dicom(path: Path) -> Decoded:
    cut = dicom.read_slice(path)
    return (
        Decoded(path, Image.new("L", (1, 1)), cut.values, 1, cut.inverted, cut.hint)
        if cut.deep
        else (Decoded(path, Image.fromarray(cut.values)))
    )


# -------------------------------------------------------------------------------------------------- depth
def _rawmode(file: Image.Image) -> str:
    """How the pixels lie in the file, in Pillow's words: "RGB;16B"; "" where a decoder has no choice."""
    args = file.tile[0][3] if getattr(file, "tile", None) else ""  # type: ignore[attr-defined]
    args = args[0] if isinstance(args, tuple) and args else args
    return args if isinstance(args, str) else ""


def _is_deep(file: Image.Image) -> bool:
    if file.mode.startswith(("I", "F")) or ";16" in _rawmode(file):
        return True
    return file.format == "TIFF" and max(np.atleast_1d(file.tag_v2.get(BITS, 8))) > 8  # type: ignore[attr-defined]


def _deep_values(path: Path, file: Image.Image) -> NDArray[Any]:
    """Values of a file with more than 8 bits a channel, (H, W) or (H, W, channels); `file` stays unread."""
    tags = file.tag_v2 if file.format == "TIFF" else {}  # type: ignore[attr-defined]
    rawmode = _rawmode(file)
    if tags.get(PLANES, 1) != 1 and len(np.atleast_1d(tags.get(BITS, 8))) > 1:
        raise ValueError("its channels lie in separate planes with more than 8 bits")
    if file.mode.startswith(("I", "F")):
        packed = file.tile[0][0] == "libtiff"  # type: ignore[attr-defined]
        values = _decoded_as(path, file, NATIVE.get(rawmode, rawmode) if packed else rawmode)
        kind = (tags.get(BITS), tags.get(SAMPLE_FORMAT, (1,))[0])
        if values.dtype == np.int32 and kind in KINDS:  # Pillow keeps all of them as int32
            values = values.astype(KINDS[kind])
    elif rawmode == "LA;16B":  # four bytes a pixel, as RGBA has
        high_low = _decoded_as(path, file, "RGBA", "RGBA").astype(np.uint16)
        values = high_low[..., ::2] << 8 | high_low[..., 1::2]
    elif rawmode[-3:-1] == "16" and rawmode[-1] in LOW_BYTE:
        values = _decoded_as(path, file, rawmode).astype(np.uint16)  # the high bytes
        values <<= 8
        values |= _decoded_as(path, file, rawmode[:-1] + LOW_BYTE[rawmode[-1]])
    else:
        raise ValueError(f"its kind of pixels ({rawmode or file.mode}) cannot be read in its whole depth")
    white_is_zero = tags.get(PHOTOMETRIC) == 0 and values.dtype == np.uint16
    return np.uint16(65535) - values if white_is_zero else values


def _decoded_as(path: Path, file: Image.Image, rawmode: str, mode: str = "") -> NDArray[Any]:
    """The page of a file, decoded as if its pixels lay there in another way."""
    with Image.open(path) as again:
        if getattr(again, "n_frames", 1) > 1:
            again.seek(file.tell())
        again.tile = [_tile_as(tile, rawmode) for tile in again.tile]
        again._mode = mode or again.mode
        again.load()
        return np.array(again)


def _tile_as(tile: Any, rawmode: str) -> Any:
    """A piece of a file, whose pixels are said to lie there in another way."""
    args = (rawmode, *tile[3][1:]) if isinstance(tile[3], tuple) else rawmode
    return tile._replace(args=args) if hasattr(tile, "_replace") else (*tile[:3], args)  # Pillow 10


# ------------------------------------------------------------------------------------------------- values
def greys(decoded: Decoded, window: Window | None) -> NDArray[np.uint8]:
    """The picture as grey values (H, W), a deep one through a window.

    Raises:
        ValueError: If the file has more than 8 bits and there is no window.
    """
    if decoded.deep is None:
        if window is not None:
            warnings.warn(
                "images with 8 bits a pixel are read as they are: the window is for those with more bits.",
                stacklevel=3,
            )
        return np.array(decoded.picture.convert("L"))
    values = grey_values(decoded.deep)
    if window is None:
        raise causes.needs_window(decoded.path, values, decoded.hint)
    shown = windowed(values, window)
    return 255 - shown if decoded.inverted else shown


def windowed(values: NDArray[Any], window: Window) -> NDArray[np.uint8]:
    """Values of any depth through a window (level, width); what is not a number becomes black."""
    level, width = window

    def shown(band: NDArray[Any]) -> NDArray[Any]:
        if band.dtype.kind == "f":
            band = np.nan_to_num(band, nan=level - width, posinf=level + width, neginf=level - width)
        return apply_window(band.astype(np.float64), level, width)

    return _in_bands(shown, values, np.empty(values.shape, np.uint8))


def _in_bands(
    function: Callable[[NDArray[Any]], NDArray[Any]], values: NDArray[Any], out: NDArray[Any]
) -> NDArray[Any]:
    """Fill `out` some rows at a time, so that what is computed on the way takes no memory to speak of."""
    n_rows = max(1, BAND_PIXELS // max(1, values.shape[1]))
    for row in range(0, len(values), n_rows):
        out[row : row + n_rows] = function(values[row : row + n_rows])
    return out


def grey_values(values: NDArray[Any]) -> NDArray[Any]:
    """Values (H, W) of what may have channels: without alpha, colours weighed as Pillow weighs them."""
    if values.ndim == 2:
        return values
    if values.shape[2] <= 2:
        return values[..., 0]

    def weighed(band: NDArray[Any]) -> NDArray[Any]:
        red, green, blue = np.moveaxis(band[..., :3].astype(np.uint64), -1, 0)
        return np.asarray((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16)

    return _in_bands(weighed, values, np.empty(values.shape[:2], values.dtype))


def mask_values(decoded: Decoded) -> NDArray[Any]:
    """Greys or labels (H, W) in the depth of the file, or colours uint8 (H, W, 3), seen on black."""
    picture, deep = decoded.picture, decoded.deep
    if deep is None and picture.mode in ("1", "L"):
        return np.asarray(picture.convert("L"))
    if deep is not None and deep.ndim == 2:
        return deep
    seen = deep  # (H, W, 2 to 4)
    if seen is None:
        seen = np.asarray(picture if picture.mode == "RGB" else picture.convert("RGBA"))
    if seen.shape[2] != 3:
        full, out = np.iinfo(seen.dtype).max, np.empty((*seen.shape[:2], seen.shape[2] - 1), seen.dtype)
        seen = _in_bands(lambda band: band[..., :-1].astype(np.uint32) * band[..., -1:] // full, seen, out)
    first, *others = np.moveaxis(seen, -1, 0)
    if all(np.array_equal(first, other) for other in others):
        return np.asarray(first)
    return seen if seen.dtype == np.uint8 else (seen >> 8).astype(np.uint8)


# --------------------------------------------------------------------------------------------- which way up
def turn_up(values: NDArray[Any], turn: int) -> NDArray[Any]:
    """An array (H, W) or (H, W, channels), turned as an EXIF orientation of 1 to 8 asks for."""
    if turn >= 5:  # lying on its side
        values = values.swapaxes(0, 1)
    if turn in (3, 4, 7, 8):
        values = values[::-1]
    if turn in (2, 3, 6, 7):
        values = values[:, ::-1]
    return np.ascontiguousarray(values)


def check_turns(image_path: Path, mask_path: Path, shape: tuple[int, ...]) -> None:
    """As `compare_turns`, for two files that were decoded just now."""
    compare_turns(image_path, _turned.get(image_path, 1), mask_path, _turned.get(mask_path, 1), shape)


def compare_turns(image: Path, turn: int, mask: Path, mask_turn: int, shape: tuple[int, ...]) -> None:
    """Refuse an image that its file says to turn, with a mask that says otherwise, unless sizes tell.

    Args:
        image: File of the image.
        turn: EXIF orientation that was applied to it.
        mask: File of the mask.
        mask_turn: Likewise.
        shape: Height and width of both, turned; where these differ, another error says so.

    Raises:
        ValueError: If it cannot be known whether the mask was drawn on the turned image.
    """
    if turn == mask_turn or ((turn >= 5) != (mask_turn >= 5) and shape[0] != shape[1]):
        return
    raise ValueError(
        f"{mask} must be the same way up as its image {image.name}, got EXIF orientations {mask_turn} and "
        f"{turn}. Save the image again, turned as the mask is and without the entry."
    )
