"""Where the data comes from: the phantom, the Kaggle set, a folder or a zip of your own."""

from __future__ import annotations

import errno
import glob
import hashlib
import lzma
import os
import shutil
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from unet_helpers import phantom
from unet_helpers.engine.calm import Stopped
from unet_helpers.engine.progress import say

__all__ = ["home", "kaggle_dataset", "open_dataset", "phantom_dataset", "unpack"]

KAGGLE_HANDLE = "bemorekgg/kidney-stone-segmentation-dataset"


def home() -> Path:
    """Folder that holds `data/` and `runs/`.

    `$UNET_HOME` if set (on Colab: a folder of your Drive keeps runs safe), else the root of the checkout that
    this package lies in, else the working directory.
    """
    if os.environ.get("UNET_HOME"):
        return Path(os.environ["UNET_HOME"]).expanduser()
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "notebooks").is_dir() else Path.cwd()


@contextmanager
def _alone(what: str) -> Iterator[None]:
    """Let one process at a time prepare data; another one says what it waits for, and then finds it done.

    Raises:
        Stopped: If Ctrl-C or the stop button ends the waiting or the preparing.
    """
    folder = home() / "data"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        waiting = f"Another process is preparing data in {folder}. Waiting for it before {what} is opened."
        if _acquired(lock, waiting):  # nobody else is at work: what is half there, a killed process has left
            _remove_halves(folder, what)
        yield
    except KeyboardInterrupt:
        raise Stopped(
            f"Stopped before the data set {what} was complete. No half of it is kept: run this cell again to "
            "prepare it."
        ) from None
    finally:
        lock.release()


def _acquired(lock: FileLock, waiting: str) -> bool:
    """Wait for the lock. Without locks, False: both prepare, and the second one takes what the first made."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(waiting)
        lock.acquire()
    except (OSError, NotImplementedError):
        return False
    return True


def _remove_halves(folder: Path, what: str) -> None:
    """Delete the scratch folders of killed processes: those of one data set, and of zips."""
    for half in [*folder.glob(f".{glob.escape(what)}-*"), *folder.glob(".unpacking-*")]:
        shutil.rmtree(half, ignore_errors=True)


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
    with _alone(name):
        try:
            if not folder.is_dir():
                phantom.write_dataset(folder, n_patients=n_patients, n_slices=n_slices, size=size, seed=seed)
        except OSError:
            if not folder.is_dir():  # else another process without a lock was faster
                raise
    return folder


def kaggle_dataset(n_tries: int = 3) -> Path:
    """Download the kidney stone set from Kaggle (no account needed) and return its folder.

    Args:
        n_tries: Tries before a broken connection is reported; a download goes on where it stopped.

    Returns:
        Folder with the unzipped files, kept in kagglehub's cache.

    Raises:
        RuntimeError: If kagglehub is missing or the download fails, with what to do instead.
    """
    try:
        import kagglehub
    except ImportError as error:
        raise RuntimeError(
            "kagglehub must be installed to download the Kaggle set. Run: pip install kagglehub"
        ) from error
    for attempt in range(1, n_tries + 1):
        try:
            return Path(kagglehub.dataset_download(KAGGLE_HANDLE))
        except Exception as error:  # kagglehub documents no common base class
            if attempt == n_tries:
                raise RuntimeError(
                    f"the Kaggle set {KAGGLE_HANDLE} could not be downloaded in {n_tries} tries "
                    f"({type(error).__name__}: {error}). Download it by hand in a browser, then set "
                    "UNET_DATA to the zip or its folder."
                ) from error
            time.sleep(2**attempt)
    raise ValueError(f"n_tries must be at least 1, got {n_tries}.")


def _check_members(members: list[zipfile.ZipInfo], path: Path, free_bytes: int) -> None:
    for member in members:
        inside = PurePosixPath(member.filename.replace("\\", "/"))
        if inside.is_absolute() or not inside.parts or ".." in inside.parts or ":" in inside.parts[0]:
            raise ValueError(
                f"{path} must only hold files inside its own folder, got {member.filename!r}. "
                "Do not use this zip."
            )
        if member.flag_bits & 1:
            raise ValueError(f"{path} must not be encrypted, got a password-protected {member.filename!r}.")
    n_bytes = sum(member.file_size for member in members)
    if n_bytes > 0.9 * free_bytes:
        raise ValueError(
            f"{path} must fit on the disk, got {n_bytes / 1e9:.1f} GB unpacked and "
            f"{free_bytes / 1e9:.1f} GB free."
        )


def _extract(path: Path, folder: Path) -> None:
    damage = (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        UnicodeDecodeError,
        OSError,
    )
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.filename.startswith("__MACOSX")]
            _check_members(members, path, shutil.disk_usage(folder).free)
            archive.extractall(folder, members)
    except damage as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        raise ValueError(f"{path} must be a whole zip file, got: {error}. Download it again.") from error


def unpack(path: str | os.PathLike[str]) -> Path:
    """Unpack a zip once into `data/` and return the folder; nothing is left half-unpacked.

    Args:
        path: A zip file.

    Returns:
        Folder named after the zip and a hash of its content.

    Raises:
        ValueError: If the file is no readable zip, is encrypted, does not fit on the disk, or holds a path
            that points outside its folder.
    """
    path = Path(path)
    with path.open("rb") as file:
        key = hashlib.file_digest(file, "sha256").hexdigest()[:10]
    folder = home() / "data" / f"{path.stem}-{key}"
    if folder.is_dir():
        return folder
    with _alone(folder.name):
        if not folder.is_dir():
            _unpack_new(path, folder)
    return folder


def _unpack_new(path: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpacking-") as scratch:
        inside = Path(scratch) / "files"
        inside.mkdir()
        _extract(path, inside)
        try:
            inside.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process without a lock was faster
                raise


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
