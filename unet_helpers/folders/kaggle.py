"""The kidney stone set of Kaggle: attached, downloaded before, or downloaded now; in every case whole."""

from __future__ import annotations

import email.utils
import os
import shutil
import tarfile
import time
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from unet_helpers.data import SUFFIXES
from unet_helpers.engine.calm import Calm
from unet_helpers.engine.files import explain
from unet_helpers.engine.progress import say
from unet_helpers.folders.places import alone, data_home, platform_name
from unet_helpers.folders.zips import unpack

__all__ = ["DownloadError", "kaggle_dataset"]

HANDLE = "bemorekgg/kidney-stone-segmentation-dataset"
PAGE = f"https://www.kaggle.com/datasets/{HANDLE}"
COUNTS = {"images": 1054, "box files": 1054, "masks": 957}
LONGEST_WAIT = 120  # seconds that Kaggle may ask to wait before we ask the reader to come back later


class DownloadError(Calm, RuntimeError):
    """The Kaggle set cannot be had now; the message says why, and how to get it by hand."""


def kaggle_dataset(n_tries: int = 5) -> Path:
    """Folder of the kidney stone set from Kaggle; no account is needed.

    It is looked for, in this order: attached to a Kaggle notebook, as a zip that you put into `data/`, in
    kagglehub's cache; only then it is downloaded. Two notebooks that ask at once share one download.

    Args:
        n_tries: Tries before a broken connection is reported; a download goes on where it stopped.

    Returns:
        Folder with the 1054 images, 1054 box files and 957 masks.

    Raises:
        DownloadError: If kagglehub is missing, the download fails, or files are missing or too many: one
            sentence that says what happened and what to do.
        ValueError: If `n_tries` is not positive, or the zip in `data/` cannot be unpacked.
    """
    if n_tries < 1:
        raise ValueError(f"n_tries must be at least 1, got {n_tries}.")
    if (found := _at_hand()) is None:
        kept = "What has been downloaded is kept: run this cell again, and it goes on from there."
        try:
            with alone("the Kaggle set", _cache(), kept):
                found = _at_hand() or _download(n_tries)  # at hand if we waited for another notebook
        except OSError as error:  # the cache cannot be written; whatever the network does, is told already
            raise DownloadError(_told(_understand(error))) from error
    return _checked(*found)


# ------------------------------------------------------------------------------------------ at hand
def _cache() -> Path:
    """Where kagglehub keeps the set: `versions/1/` once it is unpacked, `1.archive` before."""
    root = os.environ.get("KAGGLEHUB_CACHE") or Path.home() / ".cache" / "kagglehub"
    return Path(root) / "datasets" / HANDLE


def _zip_by_hand() -> Path:
    return data_home() / "data" / f"{HANDLE.partition('/')[2]}.zip"


def _at_hand() -> tuple[Path, str] | None:
    """The set without a download, if it is there, and how to get another copy if files are missing."""
    mount = Path(os.environ.get("KAGGLE_CACHE_MOUNT_FOLDER", "/kaggle/input"))
    for folder in (mount / "datasets" / HANDLE, mount / HANDLE.partition("/")[2]):
        if folder.is_dir():
            return folder, "Attach it to the notebook again"
    if (by_hand := _zip_by_hand()).is_file():
        return unpack(by_hand), f"Download {by_hand.name} again from {PAGE}"
    whole = [path for path in _cache().glob("versions/*") if _is_whole(path)]
    if whole:
        folder = max(whole, key=lambda path: int(path.name))
        return folder, "Delete this folder, and it is downloaded again"
    return None


def _is_whole(version: Path) -> bool:
    """Whether kagglehub has unpacked this version to its end: it then leaves a marker."""
    marker = version.parents[1] / f"{version.name}.complete"
    return version.name.isdecimal() and version.is_dir() and marker.exists()


def _checked(folder: Path, other_copy: str) -> Path:
    """The folder, if it holds what the set is known to hold."""
    counts = Counter(_kind(name) for _, _, names in os.walk(folder) for name in names)
    if all(counts[kind] == n for kind, n in COUNTS.items()):
        return folder
    wanted, got = (
        f"{n['images']} images, {n['box files']} box files and {n['masks']} masks" for n in (COUNTS, counts)
    )
    raise DownloadError(
        f"the Kaggle set in {folder} must hold {wanted}, got {got}: files are missing, or Kaggle has a new "
        f"version. {other_copy}; or set UNET_DATA to this folder to work with what is there."
    )


def _kind(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    if suffix.lower() in SUFFIXES and not name.startswith("."):
        return "masks" if stem.endswith("_mask") else "images"
    return "box files" if suffix.lower() == ".txt" and not name.startswith(".") else "other files"


# ------------------------------------------------------------------------------------------ download
@dataclass(frozen=True)
class _Failure:
    """Why a try failed.

    Attributes:
        what: In a clause.
        remedy: What mends it, beside the way by hand.
        passes: Whether another try may succeed.
        damaged: Whether what has arrived must be thrown away.
        local: Whether the fault lies with the disk, and not with the connection.
        wait: Seconds that the server asks to wait.
    """

    what: str
    remedy: str = ""
    passes: bool = False
    damaged: bool = False
    local: bool = False
    wait: float = 0.0


def _download(n_tries: int) -> tuple[Path, str]:
    """Download and unpack with kagglehub; a try that fails goes on later with what has arrived."""
    try:
        import kagglehub
    except ImportError as error:
        raise DownloadError(
            "kagglehub must be installed to download the Kaggle set. Run: pip install kagglehub. "
            + _by_hand()
        ) from error
    for attempt in range(1, n_tries + 1):
        _remove_halves()
        try:
            folder = Path(kagglehub.dataset_download(HANDLE))
            return folder, "Delete this folder, and it is downloaded again"
        except Exception as error:  # kagglehub documents no common base class
            failure = _understand(error)
            _remove_halves(archives=failure.damaged)
            wait = max(2.0**attempt, failure.wait)
            if attempt == n_tries or not failure.passes or wait > LONGEST_WAIT:
                raise DownloadError(_told(failure)) from error
        except KeyboardInterrupt:
            _remove_halves()
            raise
        say(f"The Kaggle set: {failure.what}. Next try in {wait:.0f} s ({attempt} of {n_tries} failed).")
        time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def _remove_halves(archives: bool = False) -> None:
    """Delete what was unpacked in part; what was downloaded in part stays, for kagglehub goes on with it.

    Args:
        archives: Whether what was downloaded is damaged, and is deleted as well.
    """
    for half in _cache().glob("versions/*"):
        if not _is_whole(half):
            shutil.rmtree(half, ignore_errors=True)
    for archive in _cache().glob("*.archive") if archives else ():
        archive.unlink(missing_ok=True)


def _told(failure: _Failure) -> str:
    """The sentence for the reader."""
    arrived = sum(path.stat().st_size for path in _cache().glob("*.archive"))
    go_on = f"A later try goes on after the {arrived / 1e6:.1f} MB that are there." if arrived else ""
    elsewhere = "Or set UNET_DATA to a zip or folder of the set that lies elsewhere."
    parts = [
        f"the Kaggle set could not be downloaded: {failure.what.rstrip('.')}.",
        failure.remedy,
        go_on if failure.passes else "",
        elsewhere if failure.local else _by_hand(),
    ]
    return " ".join(part for part in parts if part)


def _by_hand() -> str:
    if platform_name() == "kaggle":
        return (
            f"By hand: press Add Input, search for {HANDLE}, attach it, and run this again; that needs no "
            "internet. (Settings > Turn on internet switches it on.)"
        )
    return (
        f"By hand: download it in a browser from {PAGE}, put the zip at {_zip_by_hand()} (or anywhere, and "
        "set UNET_DATA to its path), and run this again."
    )


# ------------------------------------------------------------------------------- what went wrong
def _understand(error: Exception) -> _Failure:
    """What an exception of kagglehub, requests, zipfile or the disk means."""
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if status >= 400:
        return _of_status(status, error)
    names = {kind.__name__ for kind in type(error).__mro__}  # requests is kagglehub's, and not ours to import
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
        remedy = "Or set KAGGLEHUB_CACHE to a folder on another disk."
        return _Failure(explain(error), remedy, local=True)
    if "DataCorruptionError" in names:
        return _Failure("what arrived is damaged, for its checksum is wrong", passes=True, damaged=True)
    broken_archive = (zipfile.BadZipFile, zlib.error, EOFError, tarfile.TarError, NotImplementedError)
    if isinstance(error, broken_archive) or "Unsupported archive" in str(error):
        return _Failure("what arrived is no whole zip", passes=True, damaged=True)
    if "timed out" in str(error):
        return _Failure("Kaggle does not answer", passes=True)
    for name, what in (
        ("SSLError", "no secure connection to Kaggle can be made"),
        (
            "JSONDecodeError",
            "another server than Kaggle answers, as in networks where one has to sign in first",
        ),
        ("ChunkedEncodingError", "the connection was cut"),
        ("ProxyError", "the proxy of this network lets nothing through"),
        ("Timeout", "Kaggle does not answer"),
        ("ConnectionError", "Kaggle cannot be reached from this machine"),
    ):
        if name in names:
            return _Failure(what, passes=True)
    return _Failure(f"{type(error).__name__}: {' '.join(str(error).split())}")


def _of_status(status: int, error: Exception) -> _Failure:
    """What an answer of the server means."""
    if status == 404:
        return _Failure(f"Kaggle knows no {HANDLE} (404)")
    if status in (401, 403):
        return _Failure(f"Kaggle refuses it ({status})", _token_hint())
    if status == 429:
        wait = _retry_after(getattr(getattr(error, "response", None), "headers", {}).get("Retry-After", ""))
        later = f"Come back in {wait / 60:.0f} minutes." if wait > LONGEST_WAIT else ""
        return _Failure("Kaggle has had too many requests from here (429)", later, passes=True, wait=wait)
    if status >= 500 or status == 408:
        return _Failure(f"Kaggle's server fails ({status})", passes=True)
    return _Failure(f"Kaggle answers with the error {status}")


def _token_hint() -> str:
    """Only where a token was sent along, it can be what was refused."""
    names = [name for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME") if os.environ.get(name)]
    folder = Path(os.environ.get("KAGGLE_CONFIG_DIR") or Path.home() / ".kaggle")
    files = [folder / name for name in ("access_token", "access_token.txt", "kaggle.json")]
    sent = names + [str(path) for path in files if path.is_file()]
    return (
        f"The set needs no account, but a token was sent with the request: remove {sent[0]}." if sent else ""
    )


def _retry_after(text: str) -> float:
    """Seconds of a Retry-After header, which holds a number of them or a date; 0 if neither."""
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0
