"""Every file below a folder: images, other files, and what cannot be opened."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from unet_helpers.data import SUFFIXES

__all__ = ["Listing", "list_files", "same_files"]


@dataclass
class Listing:
    """What lies below a folder.

    Attributes:
        images: Image files, masks among them, in order of their paths.
        others: Other files.
        unreadable: Image files and folders that cannot be opened, with the reason.
        n_hidden: Files and folders whose names begin with a dot, and what the archives of a Mac add.
    """

    images: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    unreadable: dict[Path, str] = field(default_factory=dict)
    n_hidden: int = 0


def list_files(root: Path) -> Listing:
    """List a folder and everything below it; a link to a folder is followed unless it leads back up.

    No file is opened: an image counts as unreadable here if it is empty, may not be read, or is a link to
    nothing.
    """
    found = Listing()
    _list(root, found, (os.path.realpath(root),))
    found.images.sort()
    found.others.sort()
    return found


def _list(folder: Path, found: Listing, above: tuple[str, ...]) -> None:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:  # lost+found, a share that is gone
        found.unreadable[folder] = (error.strerror or str(error)).lower()
        return
    for name in names:
        path = folder / name
        if name.startswith((".", "__MACOSX")):
            found.n_hidden += 1
        elif os.path.isdir(path):
            real = os.path.realpath(path)
            if real in above:
                found.others.append(path)
            else:
                _list(path, found, (*above, real))
        elif path.suffix.lower() not in SUFFIXES:
            found.others.append(path)
        elif reason := _why_unreadable(path):
            found.unreadable[path] = reason
        else:
            found.images.append(path)


def _why_unreadable(path: Path) -> str:
    try:
        status = os.stat(path)
    except OSError as error:
        is_link = os.path.islink(path)
        return "a link to nothing" if is_link else (error.strerror or str(error)).lower()
    if not os.path.isfile(path):
        return "not a file"
    if not status.st_size:
        return "an empty file"  # what a cloud drive leaves until it is asked for the content
    return "" if os.access(path, os.R_OK) else "permission denied"


def same_files(paths: list[Path]) -> dict[Path, Path]:
    """Paths that lead to a file that an earlier one leads to already, through links, with that one."""
    first: dict[tuple[int, int], Path] = {}
    again = {}
    for path in paths:
        status = os.stat(path)
        key = (status.st_dev, status.st_ino)
        if not status.st_ino:  # a file system that numbers no files
            continue
        if key in first:
            again[path] = first[key]
        else:
            first[key] = path
    return again
