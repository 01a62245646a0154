"""Plans for what comes in slices: DICOM series, NIfTI volumes, files of several pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unet_helpers.data import SUFFIXES
from unet_helpers.engine.opening import opened
from unet_helpers.formats import causes, dicom, nifti, reading
from unet_helpers.formats.labels import label_mask
from unet_helpers.formats.plan import (
    Item,
    Options,
    Plan,
    Slice,
    base_name,
    is_mask_name,
    pair_up,
    visible_files,
)

__all__ = ["plan_dicom", "plan_nifti", "plan_pages"]


# -------------------------------------------------------------------------------------------------- DICOM
@dataclass(frozen=True)
class _Header:
    """What sorts one file among the others; nothing of it is written."""

    path: Path
    mask: Path | None
    patient: str
    series: tuple[float, str]  # number, and UID with the orientation
    place: tuple[float, float, str]  # along the normal, number, name
    uid: str


def plan_dicom(source: Path, options: Options, salt: str) -> Plan:
    """The slices of all DICOM files, of each series in the order in which they lie in the body."""
    files = visible_files(source)
    readable = [p for p in files if dicom.is_dicom(p)]
    drawn = [p for p in files if p.suffix.lower() in SUFFIXES and is_mask_name(p, source)]
    pairs, left_out = pair_up(readable + drawn, source)
    plan, found, seen = Plan(left_out=left_out), [], dict[str, Path]()
    for path, mask in pairs:
        try:
            with dicom.told(path):
                one = _header(path, mask, salt)
        except ValueError as error:
            plan.left_out.append(str(error))
            continue
        if one.uid and one.uid in seen:
            plan.left_out.append(f"{path}: the same image as {seen[one.uid].name}")
            continue
        seen[one.uid] = path
        found.append(one)
    for name, one in _named(found):
        plan.items.append(Item(name, partial(_read_dicom, one, name, options)))
    n_patients = len({one.patient for one in found})
    plan.notes.append(
        f"Patients get new names ({n_patients} here); nothing of what the files say about them is kept, "
        "nor are the names of files and folders."
    )
    return plan


def _header(path: Path, mask: Path | None, salt: str) -> _Header:
    found = dicom.header(path)
    if "Rows" not in found:
        raise ValueError(f"{path}: no image, but DICOM of the kind {found.get('Modality', 'unknown')}")
    axes = [round(float(x), 3) for x in found.get("ImageOrientationPatient") or ()]
    where, number = dicom.place(found), float(found.get("InstanceNumber") or 0)
    return _Header(
        path,
        mask,
        dicom.pseudonym(found, salt),
        (float(found.get("SeriesNumber") or 0), f"{found.get('SeriesInstanceUID', '')}{axes}"),
        (number if where is None else where, number, path.name),
        str(found.get("SOPInstanceUID", "")),
    )


def _named(headers: Sequence[_Header]) -> Iterator[tuple[str, _Header]]:
    """Each file with the name that it is written under: pseudonym, numbers of its series and slice."""
    for patient in sorted({one.patient for one in headers}):
        theirs = [one for one in headers if one.patient == patient]
        for s, series in enumerate(sorted({one.series for one in theirs})):
            in_order = sorted((one for one in theirs if one.series == series), key=lambda one: one.place)
            for i, one in enumerate(in_order):
                yield f"{patient}_s{s:02d}_{i:04d}", one


def _read_dicom(one: _Header, name: str, options: Options) -> Iterator[Slice]:
    cuts = list(dicom.frames(one.path))
    if len(cuts) > 1:  # in the order of the body, as far as the file knows it
        head = dicom.header(one.path)
        places = [dicom.place(head, i) for i in range(len(cuts))]
        order = sorted(range(len(cuts)), key=lambda i: (places[i] or 0.0, i))
        cuts = [cuts[i] for i in order]
        if one.mask:
            raise ValueError(f"{one.path} must hold one slice to have a mask of its own, got {len(cuts)}.")
    mask = _drawn(one.mask, options) if one.mask else None
    for i, cut in enumerate(cuts):
        image = cut.values if not cut.deep else _shown(one.path, cut, options)
        inside = f"{name}_{i:04d}" if len(cuts) > 1 else name
        yield Slice(inside, image, mask, one.patient, cut.spacing_mm)


def _shown(path: Path, cut: dicom.Cut, options: Options) -> NDArray[np.uint8]:
    decoded = reading.Decoded(path, Image.new("L", (1, 1)), cut.values, 1, cut.inverted, cut.hint)
    return reading.greys(decoded, options.window)


def _drawn(path: Path, options: Options) -> NDArray[np.bool_]:
    """A mask that is a file of one slice."""
    return label_mask(path, reading.mask_values(reading.decode(path)), options.classes)


# -------------------------------------------------------------------------------------------------- NIfTI
def plan_nifti(source: Path, options: Options) -> Plan:
    """The slices of all volumes along an axis, in the way up that a radiologist sees them."""
    files = [path for path in visible_files(source) if nifti.is_nifti(path)]
    pairs, left_out = pair_up(files, source)
    plan = Plan(left_out=left_out)
    for path, mask in pairs:
        name, group = _names(path, source)
        plan.items.append(Item(name, partial(_read_nifti, path, mask, name, group, options)))
    return plan


def _names(path: Path, source: Path) -> tuple[str, str]:
    """Name of a volume in the new folder, and its patient: the folder, if each has one of its own."""
    inside = path.relative_to(source).parent.parts if path != source else ()
    name = "_".join((*inside, base_name(path)))
    siblings = {base_name(p) for p in path.parent.iterdir() if p.suffix == path.suffix and p != path}
    bids = next((part for part in base_name(path).split("_") if part.startswith("sub-")), "")
    return name, bids or (inside[-1] if inside and len(siblings) <= 1 else name)


def _read_nifti(path: Path, mask: Path | None, name: str, group: str, options: Options) -> Iterator[Slice]:
    volume = nifti.read_volume(path)
    drawn = nifti.read_volume(mask) if mask else None
    if drawn is not None:
        nifti.check_same_place(volume, drawn)
    window = options.window
    if window is None:
        raise causes.needs_window(path, volume.values)
    masks = label_mask(drawn.path, drawn.values, options.classes) if drawn is not None else None
    for i in range(nifti.n_slices(volume.values, options.axis)):
        image = reading.windowed(nifti.cut(volume.values, options.axis, i), window)
        mask_here = None if masks is None else nifti.cut(masks, options.axis, i)
        spacing_mm = nifti.spacing_of_cut(volume.spacing_mm, options.axis)
        yield Slice(f"{name}_{i:04d}", image, mask_here, group, spacing_mm)


# -------------------------------------------------------------------------------------------------- pages
def plan_pages(source: Path, options: Options) -> Plan:
    """The pages of TIFF, GIF, WebP and PNG files, each as a slice; files of one page as they are."""
    files = [path for path in visible_files(source) if path.suffix.lower() in SUFFIXES]
    pairs, left_out = pair_up(files, source)
    plan = Plan(left_out=left_out)
    for path, mask in pairs:
        inside = path.relative_to(source).parent.parts if path != source else ()
        name = "_".join((*inside, base_name(path)))
        plan.items.append(Item(name, partial(_read_pages, path, mask, name, options)))
    return plan


def _read_pages(path: Path, mask: Path | None, name: str, options: Options) -> Iterator[Slice]:
    n_pages = _n_pages(path)
    if mask and (n_mask_pages := _n_pages(mask)) != n_pages:
        raise ValueError(f"{mask} must have as many pages as its image, {n_pages}, got {n_mask_pages}.")
    masks = _pages(mask) if mask else None
    for i, page in enumerate(_pages(path)):
        image, drawn, of_page = (
            reading.greys(page, options.window),
            None,
            next(masks, None) if masks else None,
        )
        if of_page is not None:
            reading.compare_turns(path, page.turn, of_page.path, of_page.turn, image.shape)
            drawn = label_mask(of_page.path, reading.mask_values(of_page), options.classes)
        yield Slice(f"{name}_{i:04d}" if n_pages > 1 else name, image, drawn, name if n_pages > 1 else None)


def _n_pages(path: Path) -> int:
    try:
        with opened(path) as file:
            return 1 if file.format == "MPO" else getattr(file, "n_frames", 1)
    except Exception as error:
        raise ValueError(causes.unreadable(path, error)) from error


def _pages(path: Path) -> Iterator[reading.Decoded]:
    for i in range(_n_pages(path)):
        try:
            with opened(path) as file:
                if i:
                    file.seek(i)
                decoded = reading.read_page(path, file)
        except Exception as error:
            raise ValueError(causes.unreadable(path, error)) from error
        yield decoded
