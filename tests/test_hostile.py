"""Files that mean harm, or came to it: zips, images, and names."""

from __future__ import annotations

import errno
import json
import os
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from unet_helpers.data import load_image, load_mask
from unet_helpers.folders import zips
from unet_helpers.folders.mask_facts import look_at
from unet_helpers.folders.zips import unpack

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "benchmarks"))
import fuzz  # noqa: E402


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


# --------------------------------------------------------------------------------------- images and names
@pytest.mark.filterwarnings("ignore::UserWarning")  # what Pillow thinks of damaged files
@pytest.mark.parametrize(("kind", "n_cases"), [("damaged", 600), ("cut", 200), ("zipped", 200)])
def test_damaged_files_are_read_or_named(tmp_path: Path, kind: str, n_cases: int):
    """The short form of benchmarks/fuzz.py; 100,000 cases stand in benchmarks/README.md."""
    assert getattr(fuzz, kind)(tmp_path, seed=12345, n=n_cases) == 0


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "lose",
    [
        lambda report: report["sizes"].clear(),
        lambda report: report["broken"].clear(),
        lambda report: report["broken"].append({"file": "0.png", "reason": "more memory than there is"}),
    ],
)
def test_the_fuzz_sees_what_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lose):
    check = fuzz.check_folder

    def careless(*words, **options):
        report = check(*words, **options)
        lose(report)
        return report

    monkeypatch.setattr(fuzz, "check_folder", careless)
    assert fuzz.damaged(tmp_path, seed=1, n=200) > 0


def read_as_written(values: np.ndarray, path: Path) -> None:
    """Write an array, and read it back as image and as mask."""
    deep = values.dtype == np.uint16
    Image.fromarray(values).save(path, **({"lossless": True} if path.suffix == ".webp" else {}))
    image = load_image(path, (32767.5, 65535) if deep else None)
    assert image.shape == values.shape and image.dtype == np.uint8
    assert np.abs(image - values / (257 if deep else 1)).max() <= (0.51 if deep else 0)
    assert (load_mask(path) == (values > 127)).all()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(1, 700), st.integers(1, 700)),
    kind=st.sampled_from(["u1 png", "u1 tif", "u1 bmp", "u1 webp", "u2 png", "u2 tif"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_size_kind_and_depth_is_read_as_it_was_written(tmp_path: Path, shape, kind: str, seed: int):
    dtype, ending = kind.split()
    values = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    read_as_written(values, tmp_path / f"a.{ending}")


def test_an_image_bomb_is_one_sentence(tmp_path: Path):
    path = tmp_path / "bomb.png"
    rows = zlib.compressobj()
    data = b"".join(rows.compress(bytes(2501)) for _ in range(20_000)) + rows.flush()  # 1 bit a pixel
    head = (20_000).to_bytes(4) * 2 + bytes([1, 0, 0, 0, 0])
    chunks = [(b"IHDR", head), (b"IDAT", data), (b"IEND", b"")]
    parts = [
        len(body).to_bytes(4) + name + body + zlib.crc32(name + body).to_bytes(4) for name, body in chunks
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    assert path.stat().st_size < 100_000
    with pytest.raises(
        ValueError, match=r"must be a readable image, got: .*400000000 pixels.* in pieces or sm"
    ):
        load_image(path)


def test_a_large_image_is_legal_and_warns_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "large.png"
    Image.fromarray(np.zeros((60, 50), np.uint8)).save(path)
    monkeypatch.setattr(
        Image, "MAX_IMAGE_PIXELS", 2000
    )  # Pillow warns above it, and refuses above twice that
    assert load_image(path).shape == (60, 50)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1400)
    with pytest.raises(ValueError, match="If you trust this file, save it in pieces or smaller"):
        load_image(path)


def test_memory_that_is_not_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((6, 5), np.uint8)).save(path)

    def greedy(self):
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", greedy)
    with pytest.raises(
        ValueError, match=r"a\.png must be a readable image, got: one that asks for more memory"
    ):
        load_image(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30, 0.5])
def test_a_mask_without_whole_numbers_is_named_without_a_warning(tmp_path: Path, value: float):
    Image.fromarray(np.array([[0, value], [1, 1]], np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"must hold whole numbers, got .*\. Save the mask as 0 and 255"):
        look_at(tmp_path / "a.tif")


NAMES = [
    "b_$1_$2",
    "n" * 240,
    os.fsdecode(b"caf\xe9"),
    os.fsdecode(b"\xed\xa0\x80"),
    "a\nb",
    "niere \u2603 \u817e",
]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_check_writes_its_json_where_the_screen_cannot_show_a_name(tmp_path: Path, encoding: str):
    folder = tmp_path / "set"
    folder.mkdir()
    square = np.zeros((16, 16), np.uint8)
    square[4:8, 4:8] = 255
    for name in NAMES:
        Image.fromarray(square).save(folder / f"{name}.png")
        Image.fromarray(square).save(folder / f"{name}_mask.png")
        Image.fromarray(square).save(folder / f"{name[:200]} alone.png")
    ran = subprocess.run(
        [sys.executable, "-m", "unet_helpers", "check", str(folder), "--json", str(tmp_path / "report.json")],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
    )
    assert b"Traceback" not in ran.stderr, ran.stderr
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["n_pairs"] == len(NAMES) and len(report["images_without_mask"]) == len(NAMES)
    assert not report["broken"] and ran.returncode == 0
