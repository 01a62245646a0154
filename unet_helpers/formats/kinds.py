"""Which kind of data a folder holds, and the command that makes pairs of it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

from unet_helpers.formats.coco import is_coco
from unet_helpers.formats.dicom import DICOM_SUFFIXES, is_dicom
from unet_helpers.formats.nifti import is_nifti
from unet_helpers.formats.voc import is_voc
from unet_helpers.formats.yolo import is_yolo

__all__ = ["FORMATS", "convert_hint", "kinds_in"]

FORMATS = {
    "coco": "COCO outlines (JSON)",
    "yolo": "YOLO outlines (text files)",
    "voc": "VOC-style outlines (XML)",
    "dicom": "DICOM slices",
    "nifti": "NIfTI volumes",
    "tiff": "images of several pages",
}
NEED_WINDOW = ("dicom", "nifti")
N_LOOKED_INTO = 300  # files whose content is looked at, so that a hint stays quick in a large folder
PAGED = {".tif", ".tiff", ".gif", ".webp"}


def kinds_in(source: Path) -> dict[str, int]:
    """How many files of each kind a folder (or a file) holds, as far as names and first bytes tell."""
    found: dict[str, int] = {}
    n_looked_into = 0
    for path in _files(source):
        for kind, suffixes, is_kind in _TESTS:
            if suffixes and path.suffix.lower() not in suffixes:
                continue
            if not suffixes and (path.suffix.lower() in _KNOWN or n_looked_into > N_LOOKED_INTO):
                continue
            n_looked_into += kind != "nifti"
            if (n_looked_into <= N_LOOKED_INTO and is_kind(path)) or path.suffix.lower() in DICOM_SUFFIXES:
                found[kind] = found.get(kind, 0) + 1
                break
    return found


def _files(source: Path) -> Iterator[Path]:
    """Visible files of a folder and of all below it; folders that cannot be opened are passed by."""
    if source.is_file():
        yield source
        return
    for folder, below, names in os.walk(source):
        below[:] = sorted(name for name in below if not name.startswith((".", "__MACOSX")))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def _has_pages(path: Path) -> bool:
    from unet_helpers.engine.opening import opened

    try:
        with opened(path) as file:
            return file.format != "MPO" and getattr(file, "n_frames", 1) > 1
    except Exception:  # a broken file is named by whoever reads it
        return False


_TESTS: tuple[tuple[str, set[str], Callable[[Path], bool]], ...] = (
    ("nifti", {".nii", ".gz"}, is_nifti),
    ("coco", {".json"}, is_coco),
    ("voc", {".xml"}, is_voc),
    ("yolo", {".txt"}, is_yolo),
    ("tiff", PAGED, _has_pages),
    ("dicom", set(), is_dicom),
)
_KNOWN = {
    ".png",
    ".jpg",
    ".jpeg",
    ".bmp",
    ".csv",
    ".json",
    ".xml",
    ".txt",
    ".yaml",
    ".yml",
    ".md",
    ".gz",
    ".nii",
} | PAGED


def convert_hint(source: Path) -> str:
    """A sentence that names the command which makes pairs of what a folder holds, or ""."""
    found = kinds_in(source)
    if not found:
        return ""
    kind = max(found, key=lambda name: found[name])
    several = f" --format {kind}" if len(found) > 1 else ""
    window = " --window 40,400" if kind in NEED_WINDOW else ""
    files = "file there holds" if found[kind] == 1 else "files there hold"
    return (
        f"{found[kind]} {files} {FORMATS[kind]}; this makes pairs of them: "
        f"python -m unet_helpers convert {shlex.quote(str(source))} OUT{several}{window}"
    )
