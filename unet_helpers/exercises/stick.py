"""The memory stick of lesson 6: a data set as a colleague from another hospital sends it."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unet_helpers.data import window
from unet_helpers.engine.files import written_whole
from unet_helpers.folders.places import data_home
from unet_helpers.phantom import Slice, make_patient, render, slice_depths

__all__ = ["BLACK", "LETTER", "patient_of", "raw_slice", "stick_folder", "write_stick"]

STICK = "memory-stick-1"  # raise the number with every change of what is written
FIRST_SEED = 880_000  # of patients whom no other data set of the course holds
OTHER_WINDOW = (300.0, 1500.0)  # level and width in HU: the other hospital looks at bones, too
N_SLICES, SIDE = 4, 256
BLACK = "anna"  # the folder whose masks hold 0 and 1
LETTER = """Dear colleague,

here are our stones, as promised! Radiology outlined the first half, Anna (our PhD student) the other half.
The number behind the p is the patient. Should be ready to train. :-)

PS: I found one more in a mail, see "misc".
"""
Grey = NDArray[np.uint8]


def write_stick(folder: Path) -> None:
    """Write a data set with most of what can be wrong with one: ten synthetic patients, 42 slices and a twin.

    | folder | in it |
    |---|---|
    | `radiology` | patients 1 to 5, masks `_seg` of 0/255; one image has two, one none, one a small one |
    | `anna` | patients 5 (again) to 10, folders `images` and `masks` of 0/1, YOLO texts; an empty file |
    | `misc` | a slice of patient 3, mirrored, under another name |
    """
    radiology, anna, misc = folder / "radiology", folder / BLACK, folder / "misc"
    for place in (radiology, anna / "images", anna / "masks", anna / "labels", misc):
        place.mkdir(parents=True)
    for number in range(1, 11):
        cuts = _slices(number)
        for i, cut in enumerate(cuts[: 2 if number == 5 else None] if number <= 5 else (), 1):
            _write_radiology(radiology, f"p{number}_s{i}", cut)
        for i, cut in enumerate(cuts[2:] if number == 5 else cuts if number > 5 else (), 1):
            _write_anna(anna, f"P{number:02d}-{i}", cut)
        if number == 3:
            _save(misc / "Mail Attachment.png", _grey(cuts[1])[:, ::-1])
            _save(misc / "Mail Attachment_mask.png", cuts[1].mask[:, ::-1] * np.uint8(255))
    small = Image.open(radiology / "p1_s2_seg.png")
    _save(
        radiology / "p1_s2_seg.png", np.array(small.resize((SIDE // 2, SIDE // 2), Image.Resampling.NEAREST))
    )
    (radiology / "p4_s1_seg.png").unlink()
    (anna / "masks" / "P08-2.png").write_bytes(b"")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (folder / "letter.txt").write_text(LETTER, "utf-8")


def _slices(number: int) -> list[Slice]:
    patient = make_patient(FIRST_SEED + number, 0.4 if number == 2 else 0.0)
    return [render(patient, depth, SIDE) for depth in slice_depths(patient, N_SLICES)]


def _grey(cut: Slice) -> Grey:
    return window(cut.image_hu, *OTHER_WINDOW)


def _save(path: Path, picture: NDArray[Any]) -> None:
    Image.fromarray(np.ascontiguousarray(picture)).save(path)


def _write_radiology(folder: Path, stem: str, cut: Slice) -> None:
    """An image and its mask; where a slice shows several stones, a mask for each half of the picture once."""
    _save(folder / f"{stem}.png", _grey(cut))
    value = cut.mask * np.uint8(255)
    left, right = value.copy(), value.copy()
    left[:, SIDE // 2 :], right[:, : SIDE // 2] = 0, 0
    if left.any() and right.any() and not list(folder.glob("*_seg_2.png")):
        _save(folder / f"{stem}_seg_1.png", left)
        _save(folder / f"{stem}_seg_2.png", right)
    else:
        _save(folder / f"{stem}_seg.png", value)


def _write_anna(folder: Path, stem: str, cut: Slice) -> None:
    _save(folder / "images" / f"{stem}.png", _grey(cut))
    _save(folder / "masks" / f"{stem}.png", cut.mask.astype(np.uint8))
    rows, columns = np.nonzero(cut.mask)
    box = f"0 {columns.mean() / SIDE:.3f} {rows.mean() / SIDE:.3f} 0.05 0.05\n" if len(rows) else ""
    (folder / "labels" / f"{stem}.txt").write_text(box, "utf-8")


def stick_folder() -> Path:
    """Where the stick lies; it is written once, whole or not at all."""
    folder = data_home() / "data" / STICK
    if not folder.is_dir():
        scratch = folder.with_name(f".{STICK}-{os.getpid()}")
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            write_stick(scratch)
            if not folder.is_dir():  # another process may have been quicker
                scratch.rename(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return folder


def patient_of(name: str) -> str | None:
    """The patient that a file name of the stick tells: "radiology/p5_s2.png" and "P05-1.png" are "p5"."""
    match = re.match(r"[pP]0*(\d+)[-_]", PurePosixPath(name).name)
    return f"p{match[1]}" if match else None


def raw_slice() -> Path:
    """A slice as a scanner stores it: 16 bits, HU + 1024, in a PNG that is written anew."""
    path = data_home() / "desk" / "as-the-scanner-stores-it.png"
    cut = _slices(1)[0]
    with written_whole(path) as scratch, scratch.open("wb") as file:
        Image.fromarray((cut.image_hu + 1024).clip(0, 65535).astype(np.uint16)).save(file, "PNG")
    return path
