"""How the errors of zips and of the download come about; the sentences stand in docs/errors.md."""

import os
import stat
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from kaggle_server import KaggleServer, small_set

from unet_helpers.folders import kaggle, zips

FAILED = "the Kaggle set could not be downloaded: "
BY_HAND = " By hand: …"
ZIP = "… must be a whole zip file, got "


def unpacked(
    files: dict[str, bytes], mode: int = stat.S_IFREG, flags: int = 0, method: int = 0
) -> Callable[[Path], object]:
    """Unpack a zip of these files, whose last one has this mode, flags and method."""

    def case(folder: Path) -> None:
        with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                member = zipfile.ZipInfo(name)
                member.external_attr, member.compress_type = (mode | 0o644) << 16, zipfile.ZIP_DEFLATED
                archive.writestr(member, content)
        raw = bytearray((folder / "a.zip").read_bytes())
        for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            raw[raw.find(signature) + offset] |= flags
            raw[raw.find(signature) + offset + 2] += method
        (folder / "a.zip").write_bytes(raw)
        with mock.patch.dict(os.environ, UNET_HOME=str(folder / "home")):
            zips.unpack(folder / "a.zip")

    return case


def not_a_zip(content: bytes) -> Callable[[Path], object]:
    def case(folder: Path) -> None:
        (folder / "a.zip").write_bytes(content)
        with mock.patch.dict(os.environ, UNET_HOME=str(folder / "home")):
            zips.unpack(folder / "a.zip")

    return case


def bomb(folder: Path) -> None:
    with mock.patch.object(zips, "HARMLESS_BYTES", 1000):
        unpacked({"a.png": bytes(10**6)})(folder)


def one_case(folder: Path) -> None:
    with mock.patch.object(zips, "_tells_case_apart", return_value=False):
        unpacked({"a.png": b"1", "A.png": b"2"})(folder)


def fetched(**settings: object) -> Callable[[Path], object]:
    """Download from a server with these settings, in one try."""

    def case(folder: Path) -> None:
        server = KaggleServer()
        for name, value in settings.items():
            setattr(server, name, value)
        try:
            with mock.patch.dict(
                os.environ, {**server.environment(folder), "UNET_HOME": str(folder / "home")}
            ):
                kaggle.kaggle_dataset(n_tries=1)
        finally:
            server.shutdown()
            server.server_close()

    return case


def without_kagglehub(folder: Path) -> None:
    with mock.patch.dict(sys.modules, kagglehub=None):
        fetched()(folder)


def cache_is_a_file(folder: Path) -> None:
    (folder / "cache").write_text("")
    fetched()(folder)


CASES: dict[str, Callable[[Path], object]] = {
    ZIP + "an empty file. Download or copy it again.": not_a_zip(b""),
    ZIP + "a damaged one: …. Download or copy it again.": not_a_zip(b"PK\x03\x04"),
    ZIP + "a RAR archive. Unpack it, and give the folder.": not_a_zip(b"Rar!\x1a"),
    ZIP + "a web page. Open its address in a browser, sign in if asked, and save the zip itself.": (
        not_a_zip(b"<html>")
    ),
    ZIP + "something else: …. Give a zip, or a folder.": not_a_zip(b"hello"),
    "… must be packed in a way that Python can unpack, got: …. Unpack it with your file manager, and "
    "give the folder.": unpacked({"a.png": b"1"}, method=1),
    "… must not be encrypted, got a password-protected 'a.png'. Unpack it with its password, and "
    "give the folder.": unpacked({"a.png": b"1"}, flags=1),
    "… must only hold files inside its own folder, got '../a.png'. Do not use this zip.": (
        unpacked({"../a.png": b"1"})
    ),
    "… must hold files and folders only, got the link 'a.png'. Pack it again with the files "
    "themselves.": unpacked({"a.png": b"/etc/passwd"}, stat.S_IFLNK),
    "… must unpack to at most 200 times its size, got … GB from … MB: it may be a zip bomb. If you "
    "trust it, unpack it yourself, and give the folder.": bomb,
    "… must hold one file a name, got 'a.png' and 'A.png', which are one name on this disk. Rename one "
    "of them, and pack the zip again.": one_case,
    "… must hold images and masks, got only archives in it: set.zip. Unpack it, and give what is "
    "inside.": unpacked({"set.zip": b"PK"}),
    FAILED + f"Kaggle knows no {kaggle.HANDLE} (404)." + BY_HAND: fetched(answers=[(404, {})]),
    FAILED + "Kaggle refuses it (403)." + BY_HAND: fetched(answers=[(403, {})]),
    FAILED + "Kaggle has had too many requests from here (429). Come back in 10 minutes." + BY_HAND: (
        fetched(answers=[(429, {"Retry-After": "600"})])
    ),
    FAILED + "Kaggle's server fails (500)." + BY_HAND: fetched(answers=[(500, {})]),
    FAILED + "the connection was cut." + BY_HAND: fetched(cuts=[100]),
    FAILED + "what arrived is damaged, for its checksum is wrong." + BY_HAND: fetched(md5="AAAA"),
    FAILED + "what arrived is no whole zip." + BY_HAND: fetched(archive=b"<html>"),
    FAILED + "another server than Kaggle answers, as in networks where one has to sign in first." + BY_HAND: (
        fetched(answers=[(200, {"Content-Type": "text/html"})])
    ),
    FAILED + "… A file stands where a folder is needed: give another place. Or set KAGGLEHUB_CACHE to a "
    "folder on another disk. Or set UNET_DATA to a zip or folder of the set that lies elsewhere.": (
        cache_is_a_file
    ),
    "kagglehub must be installed to download the Kaggle set. Run: pip install kagglehub." + BY_HAND: (
        without_kagglehub
    ),
    "the Kaggle set in … must hold 1054 images, 1054 box files and 957 masks, got 3 images, 3 box files "
    "and 2 masks: files are missing, or Kaggle has a new version. Delete this folder, and it is "
    "downloaded again; or set UNET_DATA to this folder to work with what is there.": (
        fetched(archive=small_set())
    ),
}
