"""Where the data comes from: the phantom, the Kaggle set, a folder or a zip of your own."""

from __future__ import annotations

import os
from pathlib import Path

from unet_helpers import phantom
from unet_helpers.engine.calm import Calm
from unet_helpers.engine.files import explain
from unet_helpers.folders.kaggle import kaggle_dataset
from unet_helpers.folders.places import alone, data_home, home, lesson_run
from unet_helpers.folders.zips import unpack
from unet_helpers.phantom import processes

__all__ = [
    "PHANTOM",
    "NotWritten",
    "home",
    "kaggle_dataset",
    "lesson_run",
    "open_dataset",
    "phantom_dataset",
    "phantom_folder",
    "unpack",
]

PHANTOM = (96, 8, 256, 0)  # that of the lessons: patients, slices, size in pixels, seed
KEPT = "What is written is kept: run this cell again to go on."


class NotWritten(Calm, OSError):
    """A data set cannot be written where it should lie; the message says why, and what to do."""


def phantom_folder(n_patients: int, n_slices: int, size: int, seed: int) -> Path:
    """Where a phantom lies once it is written; the arguments are those of `phantom_dataset`.

    The folder's name says what the data are, with the phantom's version, so that a changed phantom is never
    mixed with an old one.
    """
    name = f"phantom-{n_patients}x{n_slices}-{size}px-seed{seed}-v{phantom.VERSION}"
    return data_home() / "data" / name


def phantom_dataset(n_patients: int = 96, n_slices: int = 8, size: int = 256, seed: int = 0) -> Path:
    """Write the synthetic CT data set once, and return its folder.

    Where two processes ask for it at once, one writes it and the other waits. What a stopped or killed one
    has written, or `phantom.dataset.begin_in_background`, is not written again.

    Args:
        n_patients: Number of patients.
        n_slices: Slices a patient.
        size: Side of the square slices in pixels.
        seed: Another seed gives other patients.

    Returns:
        Folder in the flat Kaggle layout, see `phantom.write_dataset`.

    Raises:
        NotWritten: If the disk is full, read-only, ...; an OSError, in one sentence.
        Stopped: By Ctrl-C or the stop button.
    """
    folder = phantom_folder(n_patients, n_slices, size, seed)
    if folder.is_dir():
        return folder
    processes.end()  # the one that has begun in the background
    try:
        with alone(folder.name, when_stopped=KEPT) as certain:
            if not folder.is_dir():
                phantom.write_dataset(folder, n_patients, n_slices, size, seed, go_on=certain)
    except OSError as error:
        if not folder.is_dir():  # else another process without a lock was faster
            raise NotWritten(
                f"The phantom could not be written to {folder.parent}: {explain(error)} It needs 40 MB; "
                "UNET_HOME may name a folder on another disk."
            ) from error
    return folder


def open_dataset(source: str | os.PathLike[str] | None = None) -> Path:
    """Folder of the data set that a lesson works on.

    Args:
        source: "phantom", "kaggle", or a folder or zip of your own; None takes the environment variable
            `UNET_DATA`, and without it the phantom.

    Returns:
        An existing folder.

    Raises:
        FileNotFoundError: If a folder or zip is named that does not exist.
    """
    source = source if source is not None else os.environ.get("UNET_DATA") or "phantom"
    if source == "phantom":
        return phantom_dataset(*PHANTOM)
    processes.end()  # nobody needs the phantom that has begun in the background
    if source == "kaggle":
        return kaggle_dataset()
    path = Path(source).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f'data set must be "phantom", "kaggle" or an existing folder or zip, got {str(source)!r}.'
        )
    return path.resolve() if path.is_dir() else unpack(path)
