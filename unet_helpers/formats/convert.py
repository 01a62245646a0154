"""Make image-mask pairs of what other programs write; whole or not at all, and to be continued."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image

from unet_helpers.engine.files import remove_scratch, write_json, written_whole
from unet_helpers.engine.progress import progress_bar, say
from unet_helpers.folders.finding import counted
from unet_helpers.formats import coco, kinds, voc, volumes, yolo
from unet_helpers.formats.causes import NeedsWindow
from unet_helpers.formats.plan import AXES, Item, Options, Plan, Slice

__all__ = ["Converted", "convert"]

JOB, DONE = "job.json", "done"  # in the folder of a conversion that is under way


@dataclass
class Converted:
    """What a conversion has written.

    Attributes:
        out: The folder with the pairs.
        kind: Which format was read, a key of `kinds.FORMATS`.
        n_images: Images written.
        n_masks: Masks written.
        n_with_object: Masks that are not empty.
        left_out: What was not written, and why, a sentence each.
        broken: Files that could not be read, a sentence each.
        notes: What else is worth saying.
    """

    out: Path
    kind: str
    n_images: int = 0
    n_masks: int = 0
    n_with_object: int = 0
    left_out: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def convert(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    kind: str | None = None,
    window: tuple[float, float] | None = None,
    axis: str = "axial",
    classes: Sequence[str] = (),
    progress: bool = True,
) -> Converted:
    """Write `<stem>.png` and `<stem>_mask.png` of all that a source holds, with groups.csv and slices.csv.

    The new folder appears when all is done. What was written before an interruption is kept beside it,
    hidden, and the same call goes on from there.

    Args:
        source: Folder or zip, or one file.
        out: New folder.
        kind: "coco", "yolo", "voc", "dicom", "nifti" or "tiff"; None finds it out.
        window: Level and width for files with more than 8 bits: HU for DICOM, file values else.
        axis: Which way volumes are cut: "axial", "coronal" or "sagittal".
        classes: Names of objects, or numbers of labels, that are foreground; empty joins all of them.
        progress: Whether to show a progress bar on standard output.

    Raises:
        ValueError: If the source holds none or several of these formats, nothing in it can be read, `out`
            exists, or there is no window where one is needed.
        OSError: If the files cannot be written.
    """
    source, out, options = _opened(source), Path(out), Options(window, axis, tuple(classes))
    _check(out, options)
    kind = kind or _kind(source)
    work = out.absolute().with_name(f".{out.name}.converting")
    with _alone(work, out):
        salt = _begin(work, {"source": str(source.resolve()), "kind": kind, "options": repr(options)})
        plan = _plan(source, kind, options, salt)
        done = Converted(out, kind, left_out=list(plan.left_out), notes=list(plan.notes))
        _write_all(plan.items, work, done, progress)
        _finish(work, out, done)
    return done


def _opened(source: str | os.PathLike[str]) -> Path:
    from unet_helpers.folders.sources import unpack

    path = Path(source).expanduser()
    if not path.exists():
        raise ValueError(f"SOURCE must be an existing folder or file, got {path}. Check the spelling.")
    return unpack(path) if path.suffix.lower() == ".zip" else path


def _check(out: Path, options: Options) -> None:
    if options.axis not in AXES:
        raise ValueError(f"axis must be one of {', '.join(AXES)}, got {options.axis!r}.")
    if options.window is not None and not options.window[1] > 0:
        raise ValueError(f"window must have a positive width, got {options.window[1]:g}.")
    if out.exists():
        raise ValueError(f"OUT must be a new folder, got {out}, which exists. Give another name.")


def _kind(source: Path) -> str:
    found = kinds.kinds_in(source)
    if len(found) > 1:
        listed = ", ".join(f"{name} ({counted(n, 'file')})" for name, n in found.items())
        raise ValueError(f"SOURCE must hold one format, got {listed}. Choose with --format.")
    if not found:
        names = ", ".join(kinds.FORMATS)
        raise ValueError(
            f"{source} must hold one of {names}, got none of them. If it does, name it with --format."
        )
    return next(iter(found))


def _plan(source: Path, kind: str, options: Options, salt: str) -> Plan:
    if kind == "dicom":
        return volumes.plan_dicom(source, options, salt)
    plans = {
        "nifti": volumes.plan_nifti,
        "tiff": volumes.plan_pages,
        "coco": coco.plan_coco,
        "yolo": yolo.plan_yolo,
        "voc": voc.plan_voc,
    }
    if kind not in plans:
        raise ValueError(f"format must be one of {', '.join(kinds.FORMATS)}, got {kind!r}.")
    return plans[kind](source, options)


# ----------------------------------------------------------------------------------------- under way
@contextmanager
def _alone(work: Path, out: Path) -> Iterator[None]:
    """One process at a time writes to OUT."""
    work.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(work.with_name(f"{work.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ValueError(
            f"{out} must be written by one process, got another one that is at it. Wait for it."
        ) from error
    except (OSError, NotImplementedError):
        pass  # a file system without locks
    try:
        yield
    finally:
        lock.release()
        with suppress(OSError):
            work.with_name(f"{work.name}.lock").unlink()


def _begin(work: Path, job: dict[str, str]) -> str:
    """Go on with the same job, or start a new one; returns the salt of its pseudonyms."""
    if (work / JOB).is_file():
        begun: dict[str, Any] = json.loads((work / JOB).read_text("utf-8"))
        if {key: begun.get(key) for key in job} == job:
            for folder in {path.parent for path in work.rglob("*")}:
                remove_scratch(folder)
            say(f"Going on where this conversion stopped: {len(list((work / DONE).iterdir()))} done before.")
            return str(begun["salt"])
        say("Another conversion to this folder was begun and not finished; it is begun anew.")
    shutil.rmtree(work, ignore_errors=True)
    (work / DONE).mkdir(parents=True)
    salt = secrets.token_hex(16)
    write_json(work / JOB, job | {"salt": salt})
    return salt


def _write_all(items: Sequence[Item], work: Path, done: Converted, progress: bool) -> None:
    """Write what is not there yet; what cannot be read is noted, and the rest goes on."""
    taken: dict[str, str] = {}
    for item in progress_bar(items, desc="converting", unit="item", disable=not progress):
        if item.name.casefold() in taken:  # as some disks do not tell cases apart
            done.broken.append(
                f"{item.name}: another file goes by this name as well, {taken[item.name.casefold()]}"
            )
            continue
        taken[item.name.casefold()] = item.name
        mark = (
            work
            / DONE
            / f"{hashlib.sha256(item.name.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.json"
        )
        if not mark.is_file():
            rows, reason = _write_item(item, work)
            if reason:
                done.broken.append(reason)
                continue
            write_json(mark, rows)


def _write_item(item: Item, work: Path) -> tuple[list[dict[str, Any]], str]:
    """Write the slices of one item; returns their rows, and why it could not be read, or ""."""
    rows: list[dict[str, Any]] = []
    slices = item.read()
    while True:
        try:
            one = next(slices, None)
            if one is not None and one.mask is not None and one.mask.shape != one.image.shape:
                raise ValueError(
                    f"{item.name}: its mask must have its size {one.image.shape}, got {one.mask.shape}."
                )
        except NeedsWindow:  # so would the next ones
            raise
        except Exception as error:  # whatever a damaged file makes a parser stumble over
            for row in rows:
                for suffix in (".png", "_mask.png"):
                    (work / f"{row['stem']}{suffix}").unlink(missing_ok=True)
            told = (
                str(error)
                if isinstance(error, ValueError)
                else f"{item.name}: {type(error).__name__} {error}"
            )
            return [], told
        if one is None:
            return rows, ""
        rows.append(_write_slice(one, work))


def _write_slice(one: Slice, work: Path) -> dict[str, Any]:
    for suffix, values in (("", one.image), ("_mask", one.mask)):
        if values is not None:
            with written_whole(work / f"{one.name}{suffix}.png") as scratch:
                Image.fromarray(values.astype(np.uint8) * (255 if suffix else 1)).save(scratch)
    return {
        "stem": one.name,
        "group": one.group,
        "spacing_mm": one.spacing_mm,
        "mask": one.mask is not None,
        "object": bool(one.mask is not None and one.mask.any()),
    }


# --------------------------------------------------------------------------------------------- the end
def _finish(work: Path, out: Path, done: Converted) -> None:
    """Write the tables, remove what belongs to the way, and give the folder its name."""
    rows = [row for mark in (work / DONE).iterdir() for row in json.loads(mark.read_text("utf-8"))]
    rows.sort(key=lambda row: str(row["stem"]))
    if not rows:
        shutil.rmtree(work)
        reasons = done.broken + done.left_out
        more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
        raise ValueError(
            f"SOURCE must hold something to write, got nothing. {(reasons or [''])[0]}{more}".rstrip()
        )
    done.n_images, done.n_masks = len(rows), sum(row["mask"] for row in rows)
    done.n_with_object = sum(row["object"] for row in rows)
    _write_table(
        work / "groups.csv", ("stem", "group"), [(r["stem"], r["group"]) for r in rows if r["group"]]
    )
    spaced = [(PurePosixPath(r["stem"]).name, *r["spacing_mm"]) for r in rows if r["spacing_mm"]]
    if all(height == width for _, height, width in spaced):
        _write_table(work / "slices.csv", ("stem", "spacing_mm"), [row[:2] for row in spaced])
    else:
        _write_table(work / "slices.csv", ("stem", "row_spacing_mm", "column_spacing_mm"), spaced)
    shutil.rmtree(work / DONE)
    (work / JOB).unlink()
    work.rename(out)


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    if rows:
        with written_whole(path) as scratch, scratch.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([columns, *rows])
