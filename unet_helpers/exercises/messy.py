"""The desk of lesson 6: a copy of a data set, read, put in order and split, whatever it holds."""

from __future__ import annotations

import csv
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unet_helpers.data import (
    Pair,
    find_pairs,
    lesson_run,
    load_mask,
    load_pair,
    mask_values,
    open_dataset,
    split_by_group,
    stone_strata,
)
from unet_helpers.engine.calm import CalmError
from unet_helpers.engine.files import written_whole
from unet_helpers.engine.progress import passing_bars
from unet_helpers.exercises.stick import LETTER, patient_of, raw_slice, stick_folder
from unet_helpers.folders.check import check_folder
from unet_helpers.folders.finding import mask_files, scan_folder
from unet_helpers.folders.places import data_home
from unet_helpers.folders.report import print_report

__all__ = [
    "Desk",
    "black_masks",
    "join_twins",
    "lay_out",
    "letter",
    "name_patients",
    "pairs_of",
    "patient_of",
    "raw_slice",
    "read_report",
    "set_aside",
    "split_of",
]

DARK = 12  # greys that look black on a screen
MOST_BYTES = 2_000_000_000  # that are copied to the desk
_SAID: dict[str, tuple[str, str | None]] = {}  # variable -> what `lay_out` said in it, and what stood there


@dataclass(frozen=True)
class Desk:
    """A copy of a data set to put in order; the original stays as it is.

    Attributes:
        folder: The copy.
        practice: Whether it is the stick of the lesson, and no data of one's own.
        source: Where it comes from.
    """

    folder: Path
    practice: bool
    source: Path


# ------------------------------------------------------------------------------------------- the desk
def lay_out(folder: str | os.PathLike[str] | None = None, masks: str | None = None) -> Desk:
    """Copy a data set to the desk: your own folder or zip, else `UNET_DATA`, else the stick.

    From then on, the process takes this data for `UNET_DATA` and these options for `UNET_MASKS`, as the
    lesson's contracts and `find_pairs` do; the next call takes both back first: None is the stick again.

    Args:
        folder: Folder or zip of your own; None for the stick.
        masks: Options that say what mask values mean, as in `find_pairs`.

    Raises:
        CalmError: If the folder is not there, is too large to be copied, or is (or holds) the desk itself.
    """
    _take_back()
    if masks is not None:
        _say("UNET_MASKS", masks)
    given = folder or os.environ.get("UNET_DATA") or "phantom"
    if given == "phantom":
        source = stick_folder()
    else:
        try:
            source = open_dataset(given)
        except FileNotFoundError as error:
            raise CalmError(str(error)) from error
        _say("UNET_DATA", str(source))
    copy = data_home() / "desk" / lesson_run(source).name
    _must_lie_apart(source, copy)
    n_bytes = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    if n_bytes > MOST_BYTES:
        raise CalmError(
            f"folder must hold at most {MOST_BYTES / 1e9:g} GB to be copied to the desk, got "
            f"{n_bytes / 1e9:.1f} GB. Begin with a part of it: a hundred pairs show most faults."
        )
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy)
    return Desk(copy, given == "phantom", source)


def _say(variable: str, value: str) -> None:
    _SAID[variable] = value, os.environ.get(variable)
    os.environ[variable] = value


def _take_back() -> None:
    for variable, (value, before) in _SAID.items():
        if os.environ.get(variable) == value:
            del os.environ[variable]
            os.environ |= {} if before is None else {variable: before}
    _SAID.clear()


def _must_lie_apart(source: Path, copy: Path) -> None:
    """Refuse a source that is a copy of last time, or that holds the desk and would be copied into itself."""
    there, here = source.resolve(), copy.parent.resolve()
    if there.is_relative_to(here) or here.is_relative_to(there):
        raise CalmError(
            f"folder must lie apart from the desk {copy.parent}, which is emptied first, got {source}. "
            "Copy it to a place of its own, and give that."
        )


def letter(desk: Desk) -> None:
    """Print what came with the data, and how many files of which kind there are."""
    files = [path.relative_to(desk.folder) for path in desk.folder.rglob("*") if path.is_file()]
    if desk.practice:
        print(LETTER)
    for place in sorted({path.parent.as_posix() for path in files})[:12]:
        names = sorted(path.name for path in files if path.parent.as_posix() == place)
        print(f"{place + '/':<18}{len(names):4} files, such as {', '.join(names[:3])}")


def read_report(desk: Desk) -> dict[str, Any]:
    """Print the report of `python -m unet_helpers check FOLDER`, and return it as a dict.

    Raises:
        CalmError: If no pair is found there.
    """
    try:
        with passing_bars():  # a folder of your own may be large
            report = check_folder(desk.folder, progress=False)
    except ValueError as error:
        raise CalmError(str(error)) from error
    for item in report["broken"]:
        item["reason"] = item["reason"].replace(f"{desk.folder}{os.sep}", "")
    print_report(report)
    return report


def set_aside(desk: Desk, report: Mapping[str, Any]) -> list[str]:
    """Move broken files, each with what it is paired with, to a folder beside the desk; say which.

    Raises:
        CalmError: If no pair would be left, as one cause is then behind them all; nothing is moved.
    """
    aside = desk.folder.with_name(f"{desk.folder.name}-set-aside")
    wanted = {desk.folder / item["file"] for item in report["broken"]}
    if not wanted:
        return []
    each = [{pair.image_path, pair.mask_path, *pair.more_masks} for pair in scan_folder(desk.folder).pairs]
    if each and all(files & wanted for files in each):
        raise CalmError(
            f"Nothing is set aside: all {len(each)} pairs are broken, so look for one cause behind them. "
            f"The first says: {report['broken'][0]['reason']}"
        )
    for files in each:
        wanted |= files if files & wanted else set()
    moved = []
    for path in sorted(path for path in wanted if path.is_file()):
        place = path.relative_to(desk.folder)
        (aside / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, aside / place)
        moved.append(place.as_posix())
    return moved


def black_masks(desk: Desk) -> tuple[int, int, NDArray[Any]]:
    """Masks that a picture viewer shows all black, by what their files hold.

    Returns:
        How many there are, how many of these hold more than background, and the values (H, W) of the one of
        them that holds most; of any mask, where none of the black ones holds anything.
    """
    shown = []
    for path in mask_files(scan_folder(desk.folder).pairs):
        with suppress(ValueError):
            values = mask_values(path)
            shown.append(values.max(-1) if values.ndim == 3 else values)
    if not shown:
        raise CalmError("masks must be readable, got none. The report above names the reason for each.")
    black = [one for one in shown if one.max() < DARK]
    held = [one for one in black if one.any()]
    return len(black), len(held), max(held or shown, key=np.count_nonzero)


def name_patients(desk: Desk, name_of: Callable[[str], str | None] = patient_of) -> dict[str, str]:
    """Write a groups.csv of what the names of the images tell, and return it; an old one is left as it is.

    Args:
        desk: The data.
        name_of: Path of an image, seen from the folder, -> its patient, or None.
    """
    table = desk.folder / "groups.csv"
    places = [pair.image_path.relative_to(desk.folder).as_posix() for pair in scan_folder(desk.folder).pairs]
    named = {place: name_of(place) for place in places}
    found = {place: patient for place, patient in named.items() if patient}
    if found and not table.exists():
        with written_whole(table) as scratch, scratch.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("stem", "group"), *found.items()])
    if not found:
        print("No name tells its patient; without groups in the report, each image counts as a patient.")
    return found


def join_twins(desk: Desk) -> bytes | None:
    """Let twins share a group: the groups.csv that `check --twins OUT` proposes, put beside the images.

    Where it would join most groups, the images are alike by nature (discs, say): then a person must look.

    Returns:
        The picture of the twins, a JPEG, or None if there are none.
    """
    with TemporaryDirectory() as scratch:
        with passing_bars():
            report = check_folder(desk.folder, progress=False, twins_to=scratch)
        picture = Path(scratch) / "twins.jpg"
        if not report["twins_in_two_groups"]:
            return None
        with (Path(scratch) / "groups.csv").open(newline="", encoding="utf-8") as file:
            n_groups = len({row["group"] for row in csv.DictReader(file)})
        if n_groups < max(3, report["n_groups"] / 2):
            print(
                f"Not joined: of {report['n_groups']} groups this would leave {n_groups}. These images are "
                "all alike, so look at the pairs, and write groups.csv by hand."
            )
        else:
            with written_whole(desk.folder / "groups.csv") as table:
                shutil.copy(Path(scratch) / "groups.csv", table)
        return picture.read_bytes()


def pairs_of(desk: Desk) -> list[Pair]:
    """The pairs of a desk; what `find_pairs` warns of stands in the report already.

    Raises:
        CalmError: If they cannot be trained on yet.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            pairs = find_pairs(desk.folder)
            load_pair(pairs[0])
            return pairs
        except ValueError as error:
            here = (
                " In this lesson, that is the line options = ... at the top."
                if "masks=" in str(error)
                else ""
            )
            raise CalmError(f"Not yet: {error}{here}") from error


def split_of(pairs: list[Pair]) -> dict[str, list[Pair]]:
    """The split by group, balanced by stones; what it warns of is printed.

    Raises:
        CalmError: If there are too few groups, or a part that has to have a stone has none.
    """
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            split = split_by_group(pairs, strata=stone_strata(pairs))
        except ValueError as error:
            raise CalmError(str(error)) from error
    for one in told:
        print(one.message)
    for part in ("train", "val"):
        if not any(load_mask(pair).any() for pair in split[part]):
            raise CalmError(
                f"the part {part!r} must hold a stone for the lesson to train on, got "
                f"{len(split[part])} images without any. Add patients with one, "
                "or take the practice stick: folder = None."
            )
    return split
