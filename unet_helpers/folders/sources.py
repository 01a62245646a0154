"""Where the data comes from: the phantom, the Kaggle set, a folder or a zip of your own."""

from __future__ import annotations

import os
from pathlib import Path

from unet_helpers import phantom
from unet_helpers.folders.kaggle import kaggle_dataset
from unet_helpers.folders.places import alone, home, lesson_run
from unet_helpers.folders.zips import unpack

__all__ = ["home", "kaggle_dataset", "lesson_run", "open_dataset", "phantom_dataset", "unpack"]


def phantom_dataset(n_patients: int = 96, n_slices: int = 8, size: int = 256, seed: int = 0) -> Path:
    """Write the synthetic CT data set once, and return its folder.

    The folder's name says what the data are, with the phantom's version, so that a changed phantom is never
    mixed with an old one. Where two processes ask for it at once, one writes it and the other waits.

    Args:
        n_patients: Number of patients.
        n_slices: Slices a patient.
        size: Side of the square slices in pixels.
        seed: Another seed gives other patients.

    Returns:
        Folder in the flat Kaggle layout, see `phantom.write_dataset`.
    """
    name = f"phantom-{n_patients}x{n_slices}-{size}px-seed{seed}-v{phantom.VERSION}"
    folder = home() / "data" / name
    if folder.is_dir():
        return folder
    with alone(name):
        try:
            if not folder.is_dir():
                phantom.write_dataset(folder, n_patients=n_patients, n_slices=n_slices, size=size, seed=seed)
        except OSError:
            if not folder.is_dir():  # else another process without a lock was faster
                raise
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
        return phantom_dataset()
    if source == "kaggle":
        return kaggle_dataset()
    path = Path(source).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f'data set must be "phantom", "kaggle" or an existing folder or zip, got {str(source)!r}.'
        )
    return path.resolve() if path.is_dir() else unpack(path)
