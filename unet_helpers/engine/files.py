"""Files that are written whole or not at all, and errors that say what to do about them."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["check_writable", "explain", "remove_scratch", "write_json", "written_whole"]

LONGEST_NAME = 255  # bytes, on nearly every file system
_HINTS = {
    errno.ENOSPC: "Free some disk space.",
    getattr(errno, "EDQUOT", None): "Your quota is used up: free some disk space.",
    errno.EACCES: "Change its permissions, or give another place.",
    errno.EPERM: "Change its permissions, or give another place.",
    errno.EROFS: "This disk is read-only: give a place on another one.",
    errno.ENAMETOOLONG: "Give a shorter name.",
    errno.EISDIR: "This is a folder: give the name of a file.",
    errno.EEXIST: "A file stands where a folder is needed: give another place.",
    errno.ENOTDIR: "A file stands where a folder is needed: give another place.",
    errno.EFBIG: "Give a place on a disk that takes larger files.",
}


def explain(error: OSError) -> str:
    """The error in one line: which file, what happened, and what mends it, as far as the system told."""
    if error.errno is None or error.strerror is None:
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}. {_HINTS.get(error.errno, '')}".rstrip()


def _not_written(path: Path, error: OSError) -> OSError:
    """An error of the same class and number that names the file and the way out."""
    kept = "; the previous file is intact" if os.path.isfile(path) else ""
    what, hint = error.strerror or str(error), _HINTS.get(error.errno, "")
    told = type(error)(f"{path} could not be written: {what}{kept}. {hint}".rstrip())
    told.errno = error.errno
    return told


def _scratch(path: Path) -> Path:
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    if len(os.fsencode(beside.name)) <= LONGEST_NAME:
        return beside
    short = hashlib.sha256(os.fsencode(path.stem)).hexdigest()[:16]  # the name itself may just fit
    return path.with_name(f".{short}.{os.getpid()}{path.suffix}")


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to, and rename it to `path` when the block ends without an error.

    A reader sees the old file or the new one, never half of one; after an error the old file is untouched and
    the temporary one is gone. The folder is made if it is missing.

    Raises:
        OSError: If the disk is full, read-only, ...; of the class of its cause, with the file and a hint.
    """
    path = Path(path)
    scratch = _scratch(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield scratch
        os.replace(scratch, path)
    except OSError as error:
        if error.errno is None:  # told already, or none of the operating system's
            raise
        raise _not_written(path, error) from error
    finally:
        with suppress(OSError):
            scratch.unlink()


def check_writable(path: str | os.PathLike[str], suffixes: Collection[str] = ()) -> None:
    """Find out now, and not after an hour of computing, whether a file can be written; nothing is left.

    Args:
        path: File that is to be written later; its folder may be missing.
        suffixes: Endings that are allowed, in lower case, such as ".png"; any if empty.

    Raises:
        OSError: If it cannot be written; of the class of its cause, with the file and a hint.
        ValueError: If the ending is another one.
    """
    path = Path(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise ValueError(
            f"{path} must end in one of {', '.join(sorted(suffixes))}, got {path.suffix or 'no ending'}."
        )
    missing = [folder for folder in path.parents if not os.path.exists(folder)]  # the innermost first
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        _scratch(path).touch()
        _scratch(path).unlink()
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()


def remove_scratch(folder: str | os.PathLike[str]) -> None:
    """Delete the temporary files that a killed process left in a folder; no process may be writing there."""
    for path in Path(folder).glob(".*.*.*"):
        _, _, number, *rest = path.name.split(".")
        if number.isdecimal() and len(rest) == 1:
            path.unlink(missing_ok=True)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write dicts, lists and plain values as JSON; NaN becomes null, because JSON knows no NaN."""
    with written_whole(path) as scratch:
        scratch.write_text(json.dumps(_without_nan(value), indent=1, allow_nan=False) + "\n", "utf-8")
