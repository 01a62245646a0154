"""DICOM: slices in Hounsfield units, in their order in the body; of the patient a pseudonym is kept alone."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unet_helpers.data import SUFFIXES
from unet_helpers.engine.files import explain

__all__ = [
    "DICOM_SUFFIXES",
    "Cut",
    "frames",
    "header",
    "is_dicom",
    "place",
    "pseudonym",
    "read_slice",
    "told",
]

DICOM_SUFFIXES = {".dcm", ".dicom", ".ima"}
DECODERS = "pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"
TRANSFORM, MEASURES, POSITION, ORIENTATION = (
    "PixelValueTransformationSequence",
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
)


@dataclass(frozen=True)
class Cut:
    """One slice of a DICOM file.

    Attributes:
        values: Grey values (H, W): uint8, or of a deep one float64 in Hounsfield units.
        deep: Whether a window is needed.
        inverted: Whether low values are meant to be bright (MONOCHROME1); of uint8 ones it is done already.
        hint: Which window the file names, or "".
        spacing_mm: Height and width of a pixel in the body, or None.
    """

    values: NDArray[Any]
    deep: bool
    inverted: bool = False
    hint: str = ""
    spacing_mm: tuple[float, float] | None = None


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its ending, or where this tells nothing by its first bytes."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES or suffix in DICOM_SUFFIXES:
        return suffix in DICOM_SUFFIXES
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def header(path: Path, pixels: bool = False) -> Any:
    """The data set of a DICOM file, without its pixels unless they are asked for.

    Raises:
        ValueError: If it cannot be read, or pydicom is not installed.
    """
    try:
        import pydicom
    except ImportError as error:
        raise ValueError(
            f"{path} must be read by pydicom, got no such package. Run: pip install pydicom"
        ) from error
    with told(path), path.open("rb") as file:
        force = path.suffix.lower() in DICOM_SUFFIXES
        found = pydicom.dcmread(file, stop_before_pixels=not pixels, force=force)
        if not len(found):
            raise ValueError("no DICOM data")
        return found


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Whatever damaged bytes make a parser stumble over becomes a sentence that names the file.

    Raises:
        ValueError: Instead of any other error.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is unusual, and read all the same
            yield
    except Exception as error:
        if isinstance(error, ValueError) and str(error).startswith(str(path)):
            raise
        if isinstance(error, OSError) and error.errno is not None:
            reason = explain(error).removeprefix(f"{path}: ")
        else:
            reason = f"{(str(error) or type(error).__name__).rstrip('.')}."
        raise ValueError(f"{path} must be a readable DICOM file, got: {reason}") from error


def read_slice(path: Path) -> Cut:
    """The one slice of a file.

    Raises:
        ValueError: If it cannot be read, holds no image or several.
    """
    cuts = list(frames(path))
    if len(cuts) != 1:
        raise ValueError(
            f"{path} must hold one slice, got {len(cuts)}. Write each as a file of its own: "
            "python -m unet_helpers convert FOLDER OUT --format dicom"
        )
    return cuts[0]


def frames(path: Path) -> Iterator[Cut]:
    """The slices of a file, in the order of the file.

    Raises:
        ValueError: If it cannot be read, or holds no image.
    """
    found = header(path, pixels=True)
    with told(path):
        if "PixelData" not in found:
            kind = found.get("Modality", "unknown")
            raise ValueError(f"{path} must hold an image, got DICOM of the kind {kind}.")
        values = _pixels(path, found)
        n_axes_of_frame = 2 if found.get("SamplesPerPixel", 1) == 1 else 3
        for i, frame in enumerate(values[None] if values.ndim == n_axes_of_frame else values):
            yield _cut(path, found, frame, i)


def _pixels(path: Path, found: Any) -> NDArray[Any]:
    """Values as they are stored, unpacked: (H, W), or with frames before and colours behind."""
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if "TransferSyntaxUID" not in found.file_meta:  # a file without its first part
        plain = ImplicitVRLittleEndian if found.original_encoding[0] else ExplicitVRLittleEndian
        found.file_meta.TransferSyntaxUID = plain
    syntax = found.file_meta.TransferSyntaxUID
    try:
        values: NDArray[Any] = found.pixel_array
        return values
    except Exception as error:  # each decoder has its own
        if syntax.is_compressed and not _can_unpack(syntax):
            raise ValueError(
                f"{path} must hold pixels that can be unpacked here, got them packed as {syntax.name}. "
                f"Install a decoder: pip install {DECODERS}"
            ) from error
        short = "less than expected" in str(error) or isinstance(error, EOFError)
        remedy = "Its end is missing: copy or download it again." if short else ""
        what = "fewer pixels than it announces" if short else (str(error) or type(error).__name__).rstrip(".")
        raise ValueError(f"{path} must be a readable DICOM file, got: {what}. {remedy}".rstrip()) from error


def _can_unpack(syntax: Any) -> bool:
    from pydicom.pixels.decoders.base import get_decoder

    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:  # a film
        return False


def _cut(path: Path, found: Any, stored: NDArray[Any], frame: int) -> Cut:
    """One frame in Hounsfield units, or as uint8 if that is all it has."""
    spacing = of_frame(found, frame, MEASURES, "PixelSpacing")
    spacing_mm = (
        (float(spacing[0]), float(spacing[1])) if spacing and all(float(s) > 0 for s in spacing) else None
    )
    meaning = found.get("PhotometricInterpretation", "MONOCHROME2")
    inverted = meaning == "MONOCHROME1"
    if stored.ndim == 3 and stored.dtype == np.uint8:
        return Cut(np.array(Image.fromarray(stored).convert("L")), deep=False, spacing_mm=spacing_mm)
    if stored.ndim != 2 or not meaning.startswith("MONOCHROME"):
        raise ValueError(f"{path} must hold grey or 8-bit colour pixels, got {meaning} as {stored.dtype}.")
    values, is_plain = _rescaled(found, stored, frame)
    if is_plain and found.get("BitsStored", 16) <= 8 and stored.min() >= 0:
        shown = stored.astype(np.uint8)
        return Cut(255 - shown if inverted else shown, deep=False, spacing_mm=spacing_mm)
    level, width = (
        np.atleast_1d(found.get(f"Window{w}", math.nan) or math.nan)[0] for w in ("Center", "Width")
    )
    named = f"The file itself names window=({float(level):g}, {float(width):g})."
    return Cut(values, True, inverted, named if math.isfinite(level) and width > 0 else "", spacing_mm)


def _rescaled(found: Any, stored: NDArray[Any], frame: int) -> tuple[NDArray[np.float64], bool]:
    """Stored values in the units that the file means, and whether they are those units already."""
    if "ModalityLUTSequence" in found:
        from pydicom.pixels.processing import apply_modality_lut

        return np.asarray(apply_modality_lut(stored, found), np.float64), False
    slope = float(of_frame(found, frame, TRANSFORM, "RescaleSlope") or 1)
    intercept = float(of_frame(found, frame, TRANSFORM, "RescaleIntercept") or 0)
    return stored * slope + intercept, (slope, intercept) == (1, 0)


def of_frame(found: Any, frame: int, sequence: str, keyword: str) -> Any:
    """An attribute that belongs to the file, or in files of many frames to one of them or to all; or None."""
    if keyword in found:
        return found.get(keyword)
    each, shared = (found.get(f"{w}FunctionalGroupsSequence") for w in ("PerFrame", "Shared"))
    for groups, i in ((each, frame), (shared, 0)):
        if groups and len(groups) > i and groups[i].get(sequence):
            return groups[i].get(sequence)[0].get(keyword)
    return None


def place(found: Any, frame: int = 0) -> float | None:
    """How far along its own normal a slice lies, in millimetres; None if the file does not know."""
    position = of_frame(found, frame, POSITION, "ImagePositionPatient")
    axes = of_frame(found, frame, ORIENTATION, "ImageOrientationPatient")
    if not position or not axes or len(position) != 3 or len(axes) != 6:
        return None
    normal = np.cross(np.array(axes[:3], float), np.array(axes[3:], float))
    return float(np.dot(normal, np.array(position, float)))


def pseudonym(found: Any, salt: str) -> str:
    """A name for the patient that cannot be traced back once the salt is forgotten.

    Where the file names nobody, slices of one study have one name in common.
    """
    for kind, keyword in (
        ("patient", "PatientID"),
        ("patient", "PatientName"),
        ("study", "StudyInstanceUID"),
        ("series", "SeriesInstanceUID"),
    ):
        if who := str(found.get(keyword) or "").strip():
            return f"{kind}-" + hashlib.sha256(f"{salt}/{who}".encode()).hexdigest()[:8]
    return "patient-unknown"
