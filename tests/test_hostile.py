"""Files that mean harm, or came to it: zips, images, and names."""

from __future__ import annotations

import errno
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from unet_helpers.folders import zips
from unet_helpers.folders.zips import unpack


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNET_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "data"


# ---------------------------------------------------------------------------------------------- zips
def pack(path: Path, files: dict[str, bytes], modes: dict[str, int] | None = None) -> Path:
    """A zip of these files, some of them with the mode of a link or a device."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = (modes or {}).get(name, stat.S_IFREG | 0o644) << 16
            archive.writestr(member, content)
    return path


def refused(path: Path, folder: Path) -> str:
    """The sentence with which a zip is refused; nothing of it is left."""
    with pytest.raises(ValueError, match="must") as told:
        unpack(path)
    assert sorted(one.name for one in folder.iterdir()) == [".lock"]
    assert "\n" not in str(told.value)
    return str(told.value)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../secret.png", "other.png"])
def test_a_link_in_a_zip_is_refused(tmp_path: Path, own_folder: Path, target: str):
    files = {"a.png": b"1", "b.png": target.encode()}
    text = refused(pack(tmp_path / "a.zip", files, {"b.png": stat.S_IFLNK | 0o777}), own_folder)
    assert "must hold files and folders only, got the link 'b.png'. Pack it again with the files" in text


def test_a_device_in_a_zip_is_refused(tmp_path: Path, own_folder: Path):
    path = pack(tmp_path / "a.zip", {"null": b""}, {"null": stat.S_IFCHR | 0o666})
    assert "got the special file 'null'" in refused(path, own_folder)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, own_folder: Path, monkeypatch):
    path = pack(tmp_path / "bomb.zip", {f"{n}.png": bytes(2_000_000) for n in range(3)})
    assert unpack(path).is_dir()  # 6 MB are harmless, however tightly they are packed
    monkeypatch.setattr(zips, "HARMLESS_BYTES", 1_000_000)
    monkeypatch.setattr(zipfile.ZipFile, "extractall", None)
    path = pack(tmp_path / "other.zip", {f"{n}.png": bytes(2_000_000) for n in range(4)})
    with pytest.raises(
        ValueError, match=r"at most 200 times its size, got 0\.0 GB from 0\.0 MB: it may be a"
    ):
        unpack(path)


def with_sizes(raw: bytes, size: int) -> bytes:
    """The same archive, which says in all its headers that its file has another size."""
    patched = bytearray(raw)
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = raw.find(signature) + offset
        patched[at : at + 4] = struct.pack("<I", size)
    return bytes(patched)


def test_a_zip_that_lies_about_its_size_writes_no_more_than_it_says(tmp_path: Path, own_folder: Path):
    path = pack(tmp_path / "a.zip", {"a.png": bytes(2_000_000)})
    path.write_bytes(with_sizes(path.read_bytes(), 10))
    assert "must be a whole zip file, got a damaged one" in refused(path, own_folder)


def test_names_that_differ_only_in_case_are_both_kept_or_both_named(
    tmp_path: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    path = pack(tmp_path / "a.zip", {"a/scan.png": b"1", "A/Scan.png": b"2", "ä.png": b"3"})
    monkeypatch.setattr(zips, "_tells_case_apart", lambda folder: False)
    text = refused(path, own_folder)
    assert "must hold one file a name, got 'a/scan.png' and 'A/Scan.png', which are one name on" in text
    monkeypatch.undo()
    monkeypatch.setenv("UNET_HOME", str(tmp_path / "home"))
    if zips._tells_case_apart(tmp_path):
        assert len(list(unpack(path).rglob("*.png"))) == 3


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_refused_unless_they_are_the_same(tmp_path: Path, own_folder: Path):
    for second, told in ((b"2", True), (b"1", False)):
        path = tmp_path / f"{told}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.png", b"1")
            archive.writestr("a.png", second)
        if told:
            assert "must hold one file a name, got 'a.png' and 'a.png'" in refused(path, own_folder)
        else:
            assert [one.read_bytes() for one in unpack(path).iterdir()] == [b"1"]


def test_a_file_that_is_a_folder_as_well_is_refused(tmp_path: Path, own_folder: Path):
    text = refused(pack(tmp_path / "a.zip", {"a/b": b"1", "a/b/c.png": b"2"}), own_folder)
    assert "must hold one thing a name, got 'a/b' as a file and as a folder" in text


@pytest.mark.parametrize("inner", ["set.zip", "set.tar.gz", "SET.RAR"])
def test_a_zip_in_a_zip_is_named(tmp_path: Path, own_folder: Path, inner: str):
    text = refused(pack(tmp_path / "a.zip", {f"x/{inner}": b"PK"}), own_folder)
    assert f"got only archives in it: x/{inner}. Unpack it, and give what is inside." in text
    assert unpack(pack(tmp_path / "b.zip", {inner: b"PK", "a.png": b"1"})).is_dir()


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (b"Rar!\x1a\x07", "got a RAR archive. Unpack it, and give the folder."),
        (b"7z\xbc\xaf\x27\x1c", "got a 7z archive. Unpack it, and give the folder."),
        (b"\x1f\x8b\x08", "got a gzip archive. Unpack it, and give the folder."),
        (b"", "got an empty file. Download or copy it again."),
        (b"\n<!DOCTYPE html>", "got a web page. Open its address in a browser"),
        (b"PK\x03\x04 then nothing", "got a damaged one: File is not a zip file. Download or copy it again."),
        (b"a letter", "got something else: File is not a zip file. Give a zip, or a folder."),
    ],
)
def test_what_is_no_zip_is_named(tmp_path: Path, own_folder: Path, start: bytes, told: str):
    (tmp_path / "a.zip").write_bytes(start)
    assert told in refused(tmp_path / "a.zip", own_folder)


def test_a_way_of_packing_that_python_does_not_know_is_named(tmp_path: Path, own_folder: Path):
    """Windows packs large files with a method, Deflate64, that is whole but unknown here."""
    path = pack(tmp_path / "a.zip", {"a.png": b"1" * 100})
    raw = bytearray(path.read_bytes())
    raw[raw.find(b"PK\x03\x04") + 8] = raw[raw.find(b"PK\x01\x02") + 10] = 9
    path.write_bytes(raw)
    text = refused(path, own_folder)
    assert "packed in a way that Python can unpack" in text and "Unpack it with your file manager" in text
    assert "Download" not in text


def test_names_that_are_no_utf8_are_named(tmp_path: Path, own_folder: Path):
    path = pack(tmp_path / "a.zip", {"ü.png": b"1"})
    path.write_bytes(path.read_bytes().replace("ü".encode(), b"\xfc\xfc"))
    assert "must spell the names of its files in UTF-8" in refused(path, own_folder)


def test_a_name_that_is_too_long_for_the_disk_is_named(tmp_path: Path, own_folder: Path):
    text = refused(pack(tmp_path / "a.zip", {"s" * 300 + ".png": b"1"}), own_folder)
    assert "must hold names that this disk can write, got 'sss" in text and "Shorten that name" in text
    assert unpack(pack(tmp_path / ("z" * 240 + ".zip"), {"s" * 240 + ".png": b"1"})).is_dir()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EIO])
def test_an_error_of_the_disk_is_not_told_as_one_of_the_zip(
    tmp_path: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
):
    def fails(self, *_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(zipfile.ZipFile, "extractall", fails)
    with pytest.raises(OSError, match=os.strerror(number)) as told:
        unpack(pack(tmp_path / "a.zip", {"a.png": b"1"}))
    assert "ownload" not in str(told.value) and [one.name for one in own_folder.iterdir()] == [".lock"]


def test_every_tenth_of_a_zip_is_refused(tmp_path: Path, own_folder: Path):
    raw = pack(tmp_path / "a.zip", {f"{n}.png": os.urandom(500) for n in range(5)}).read_bytes()
    for tenth in range(10):
        (tmp_path / "a.zip").write_bytes(raw[: len(raw) * tenth // 10])
        assert "must be a whole zip file" in refused(tmp_path / "a.zip", own_folder)
