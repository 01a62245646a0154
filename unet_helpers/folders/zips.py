"""Zips that are unpacked whole or not at all, and never anywhere but into their own folder."""

from __future__ import annotations

import errno
import hashlib
import lzma
import os
import shutil
import stat
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from unet_helpers.folders.places import alone, data_home

__all__ = ["unpack"]

MAX_RATIO = 200  # unpacked to packed bytes of a whole zip; scans and masks reach 20
HARMLESS_BYTES = 10**9  # a zip that unpacks to no more than this may be packed as tightly as it likes
ARCHIVES = (".zip", ".rar", ".7z", ".tar", ".gz", ".tgz")
_OTHER_KINDS = {b"Rar!": "a RAR archive", b"7z\xbc\xaf": "a 7z archive", b"\x1f\x8b": "a gzip archive"}
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError)  # bz2 raises a bare OSError
_FOR_NAMES = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}


def unpack(path: str | os.PathLike[str]) -> Path:
    """Unpack a zip once into `data/` and return the folder; nothing is left half-unpacked.

    Args:
        path: A zip file.

    Returns:
        Folder named after the zip and a hash of its content.

    Raises:
        ValueError: If the file is no readable zip, is encrypted, does not fit on the disk, is a bomb, holds
            nothing but other archives, two files under one name, a link, or a path that points outside its
            folder; in one sentence with what to do.
        OSError: If the zip cannot be opened, or the folder cannot be written.
    """
    path = Path(path)
    with path.open("rb") as file:
        key = hashlib.file_digest(file, "sha256").hexdigest()[:10]
    folder = data_home() / "data" / f"{path.stem[:60]}-{key}"
    if folder.is_dir():
        return folder
    with alone(folder.name):
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


def _extract(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.filename.startswith("__MACOSX")]
            _check_places(members, path)
            _check_size(members, path, shutil.disk_usage(folder).free)
            _check_names(members, path, _tells_case_apart(folder))
            archive.extractall(folder, members)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} must spell the names of its files in UTF-8, got other bytes ({error}). Unpack it with "
            "your file manager, and give the folder."
        ) from error
    except NotImplementedError as error:
        raise ValueError(
            f"{path} must be packed in a way that Python can unpack, got: {error}. Unpack it with your file "
            "manager, and give the folder."
        ) from error
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno in _FOR_NAMES:
            raise ValueError(
                f"{path} must hold names that this disk can write, got {Path(error.filename or '').name!r} "
                f"({error.strerror}). Shorten that name, and pack the zip again."
            ) from error
        if isinstance(error, OSError) and error.errno is not None:  # the disk, and not the zip
            raise
        raise ValueError(f"{path} must be a whole zip file, got {_what_it_is(path, error)}") from error


def _what_it_is(path: Path, error: Exception) -> str:
    """What a file is that cannot be unpacked, and what to do about that."""
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "an empty file. Download or copy it again."
    for magic, kind in _OTHER_KINDS.items():
        if start.startswith(magic):
            return f"{kind}. Unpack it, and give the folder."
    if start.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
        return "a web page. Open its address in a browser, sign in if asked, and save the zip itself."
    if start.startswith(b"PK"):
        return f"a damaged one: {error}. Download or copy it again."
    return f"something else: {error}. Give a zip, or a folder."


def _check_places(members: Sequence[zipfile.ZipInfo], path: Path) -> None:
    """Refuse what would lie outside the folder, what is no plain file, and what needs a password."""
    for member in members:
        inside = PurePosixPath(member.filename.replace("\\", "/"))
        if inside.is_absolute() or not inside.parts or ".." in inside.parts or ":" in inside.parts[0]:
            raise ValueError(
                f"{path} must only hold files inside its own folder, got {member.filename!r}. "
                "Do not use this zip."
            )
        kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where the zip was packed without one
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            what = "the link" if kind == stat.S_IFLNK else "the special file"
            raise ValueError(
                f"{path} must hold files and folders only, got {what} {member.filename!r}. "
                "Pack it again with the files themselves."
            )
        if member.flag_bits & 1:
            raise ValueError(
                f"{path} must not be encrypted, got a password-protected {member.filename!r}. Unpack it with "
                "its password, and give the folder."
            )


def _check_size(members: Sequence[zipfile.ZipInfo], path: Path, free_bytes: int) -> None:
    """Refuse what does not fit, and bombs; files that lie about their size are stopped by `zipfile`."""
    n_bytes = sum(member.file_size for member in members)
    if n_bytes > 0.9 * free_bytes:
        raise ValueError(
            f"{path} must fit on the disk, got {n_bytes / 1e9:.1f} GB unpacked and {free_bytes / 1e9:.1f} GB "
            "free. Free some disk space, or set UNET_HOME to a folder on another disk."
        )
    n_packed = path.stat().st_size
    if n_bytes > max(HARMLESS_BYTES, MAX_RATIO * n_packed):
        raise ValueError(
            f"{path} must unpack to at most {MAX_RATIO} times its size, got {n_bytes / 1e9:.1f} GB from "
            f"{n_packed / 1e6:.1f} MB: it may be a zip bomb. If you trust it, unpack it yourself, and give "
            "the folder."
        )


def _check_names(members: Sequence[zipfile.ZipInfo], path: Path, tells_case_apart: bool) -> None:
    """Refuse two files under one name, of which one would be lost, and a zip of nothing but archives."""
    files: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        name = member.filename.replace("\\", "/")
        name = name if tells_case_apart else unicodedata.normalize("NFC", name).casefold()
        other = files.setdefault(name, member)
        if other is not member and not member.is_dir() and other.CRC != member.CRC:
            raise ValueError(
                f"{path} must hold one file a name, got {other.filename!r} and {member.filename!r}, which "
                "are one name on this disk. Rename one of them, and pack the zip again."
            )
    for name in [name for name, member in files.items() if not member.is_dir()]:
        for parent in map(str, PurePosixPath(name).parents):
            if parent in files and not files[parent].is_dir():
                raise ValueError(
                    f"{path} must hold one thing a name, got {files[parent].filename!r} as a file and as a "
                    "folder. Rename one of them, and pack the zip again."
                )
    names = [member.filename for member in files.values() if not member.is_dir()]
    if names and all(name.lower().endswith(ARCHIVES) for name in names):
        raise ValueError(
            f"{path} must hold images and masks, got only archives in it: {', '.join(names[:3])}. Unpack it, "
            "and give what is inside."
        )


def _tells_case_apart(folder: Path) -> bool:
    """Whether the disk holds a.png and A.png as two files, as most of Linux and few others do."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix="case-") as probe:
        return not Path(probe.name).with_name(Path(probe.name).name.upper()).exists()
