"""Where the data comes from: home, phantom, Kaggle, folders, and zips of every kind."""

import io
import os
import shutil
import subprocess
import sys
import time
import types
import zipfile
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from filelock import FileLock

from unet_helpers.engine.calm import Stopped
from unet_helpers.folders import kaggle, places, zips
from unet_helpers.folders import sources as datasets
from unet_helpers.folders.sources import (
    home,
    kaggle_dataset,
    lesson_run,
    open_dataset,
    phantom_dataset,
    unpack,
)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNET_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "data"


def make_zip(path: Path, *names: str, content: bytes = b"content") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return path


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def visible(folder: Path) -> list[str]:
    """What lies in the data folder, apart from the lock that stays there."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


# ---------------------------------------------------------------------------------- home and sources
def test_home_is_the_variable_else_the_checkout_else_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert home() == tmp_path / "home"
    monkeypatch.setenv("UNET_HOME", "~/runs here")
    assert home() == Path.home() / "runs here"
    monkeypatch.setenv("UNET_HOME", "")
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "site" / "unet_helpers" / "folders" / "places.py"
    monkeypatch.setattr(places, "__file__", str(package))
    assert home() == tmp_path
    (tmp_path / "site" / "notebooks").mkdir(parents=True)
    assert home() == tmp_path / "site"


def test_the_source_is_named_or_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(datasets, "phantom_dataset", lambda *_: Path("the phantom"))
    monkeypatch.setattr(datasets, "kaggle_dataset", lambda: Path("the Kaggle set"))
    assert open_dataset() == open_dataset("phantom") == Path("the phantom")
    assert open_dataset("kaggle") == Path("the Kaggle set")
    assert open_dataset(tmp_path) == tmp_path.resolve()
    monkeypatch.setenv("UNET_DATA", "kaggle")
    assert open_dataset() == Path("the Kaggle set")
    assert open_dataset("phantom") == Path("the phantom")
    monkeypatch.setenv("UNET_DATA", "")
    assert open_dataset() == Path("the phantom")
    monkeypatch.setenv("UNET_DATA", str(tmp_path / "nowhere"))
    message = 'must be "phantom", "kaggle" or an existing folder or zip, got .*nowhere'
    with pytest.raises(FileNotFoundError, match=message):
        open_dataset()


def test_a_zip_opens_like_its_folder(tmp_path: Path, own_folder: Path):
    folder = open_dataset(make_zip(tmp_path / "mine.zip", "a.jpg", "a_mask.png"))
    assert folder.parent == own_folder and files_in(folder) == ["a.jpg", "a_mask.png"]


def test_the_phantom_is_written_once_and_named_by_what_it_is(monkeypatch: pytest.MonkeyPatch):
    calls = []

    def write(folder: Path, *settings: int, go_on: bool) -> None:
        calls.append((settings, go_on))
        folder.mkdir(parents=True)

    monkeypatch.setattr(datasets.phantom, "write_dataset", write)
    first = phantom_dataset(n_patients=3, n_slices=2, size=64)
    assert first.name == f"phantom-3x2-64px-seed0-v{datasets.phantom.VERSION}" and first.is_dir()
    assert phantom_dataset(n_patients=3, n_slices=2, size=64) == first and len(calls) == 1
    assert phantom_dataset(3, 2, 64, seed=1).name.startswith("phantom-3x2-64px-seed1-v")
    monkeypatch.setattr(datasets.phantom, "VERSION", 99)
    assert phantom_dataset(n_patients=3, n_slices=2, size=64).name == "phantom-3x2-64px-seed0-v99"
    assert len(calls) == 3


def test_a_comment_or_other_line_ends_in_the_source_change_no_name(tmp_path: Path):
    """A copy of the package with a comment and the line ends of Windows opens the folder that is there."""
    copy = tmp_path / "copy" / "unet_helpers"
    shutil.copytree(Path(datasets.__file__).parents[1], copy, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (copy / "phantom").glob("*.py"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b"# a comment\r\n")
    program = "from unet_helpers.folders import sources; print(sources.phantom_dataset(1, 1, 64))"
    found = []
    for root in (copy.parent, Path(datasets.__file__).parents[2]):
        ended = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(root)},
            check=True,
        )
        found.append(ended.stdout.splitlines()[-1])
    assert found[0] == found[1] and len(list(Path(found[0]).parent.glob("phantom-*"))) == 1


def test_two_first_starts_at_once_share_one_data_set(tmp_path: Path, own_folder: Path):
    """Two plain scripts find a third at work, say that they wait, and then one of them writes."""
    program = "from unet_helpers.folders import sources; print('at', sources.phantom_dataset(24, 2, 128))"
    variables = {"PYTHONPATH": str(Path(datasets.__file__).parents[2]), "PYTHONUNBUFFERED": "1"}
    said = [tmp_path / "first.txt", tmp_path / "second.txt"]
    own_folder.mkdir(parents=True, exist_ok=True)
    with FileLock(own_folder / places.LOCK), ExitStack() as files:
        both = [
            subprocess.Popen(
                [sys.executable, "-c", program],
                stdout=files.enter_context(path.open("w")),
                stderr=subprocess.PIPE,
                text=True,
                cwd=tmp_path,
                env={**os.environ, **variables},
            )
            for path in said
        ]
        end = time.monotonic() + 120
        while not all("Another process is preparing data" in path.read_text() for path in said):
            assert time.monotonic() < end, [path.read_text() for path in said]
            time.sleep(0.05)
    assert [process.communicate(timeout=300)[1] for process in both] == ["", ""]
    assert [process.returncode for process in both] == [0, 0]
    folder = own_folder / f"phantom-24x2-128px-seed0-v{datasets.phantom.VERSION}"
    texts = [path.read_text() for path in said]
    assert all(f"at {folder}" in text for text in texts)
    assert sorted("phantom: 24 patients" in text for text in texts) == [False, True]  # written once
    assert visible(own_folder) == [folder.name] and len(list(folder.glob("*.jpg"))) == 48


class NoLocks:
    """The lock of a file system that knows none."""

    def __init__(self, path: Path):
        del path

    def acquire(self, timeout: float = -1) -> None:
        raise NotImplementedError("flock")

    def release(self) -> None:
        pass


def test_what_a_killed_process_left_of_the_phantom_is_removed(own_folder: Path, monkeypatch):
    """Of this phantom and of zips; the scratch folders of others may be in use."""
    name = f"phantom-3x1-64px-seed0-v{datasets.phantom.VERSION}"
    halves = [own_folder / f".{name}-k3j", own_folder / ".unpacking-x1", own_folder / ".phantom-mine-k3j"]
    for half in halves:
        (half / "set").mkdir(parents=True)
    assert phantom_dataset(3, 1, 64).name == name
    assert [half.exists() for half in halves] == [False, False, True]


def test_a_stop_while_data_are_prepared_is_one_sentence(own_folder: Path, monkeypatch):
    def stop(folder: Path, *_: int, **__: bool) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets.phantom, "write_dataset", stop)
    with pytest.raises(
        Stopped, match=r"^Stopped before the data set phantom-3x1-64px-seed0-v\d+ was "
    ) as told:
        phantom_dataset(3, 1, 64)
    assert told.value._render_traceback_() == [str(told.value)]


def test_without_locks_the_second_takes_what_the_first_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(places, "FileLock", NoLocks)

    def beaten(folder: Path, *_: int, **__: bool) -> None:
        folder.mkdir(parents=True)
        raise FileExistsError(folder)

    monkeypatch.setattr(datasets.phantom, "write_dataset", beaten)
    assert phantom_dataset(3, 2, 64).is_dir()
    path, rename = make_zip(tmp_path / "a.zip", "1.png"), Path.rename

    def beaten_again(self: Path, target: Path) -> None:
        (target / "other").mkdir(parents=True)
        rename(self, target)  # fails, because the target is not empty

    monkeypatch.setattr(Path, "rename", beaten_again)
    assert [one.name for one in unpack(path).iterdir()] == ["other"]


def test_a_phantom_that_cannot_be_written_is_an_error(monkeypatch: pytest.MonkeyPatch):
    def full(folder: Path, *_: int, **__: bool) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(datasets.phantom, "write_dataset", full)
    with pytest.raises(OSError, match="No space left"):
        phantom_dataset(3, 2, 64)


def test_unpacking_waits_for_another_process(tmp_path: Path, own_folder: Path, capsys):
    path = make_zip(tmp_path / "a.zip", "1.png")
    own_folder.mkdir(parents=True)
    lock = FileLock(own_folder / ".lock")
    lock.acquire()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(unpack, path)
        text = ""
        for _ in range(200):
            text += capsys.readouterr().out
            if text:
                break
            time.sleep(0.05)
        assert f"Another process is preparing data in {own_folder}. Waiting for it before a-" in text
        assert not waiting.done() and visible(own_folder) == []
        lock.release()
        assert files_in(waiting.result()) == ["1.png"]


# ------------------------------------------------------------------- Kaggle (the download: test_download.py)
@pytest.fixture
def nothing_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KAGGLE_CACHE_MOUNT_FOLDER", str(tmp_path / "none"))


@pytest.mark.usefixtures("nothing_at_hand")
def test_kaggle_failure_says_what_to_do_instead(monkeypatch: pytest.MonkeyPatch):
    def broken(handle: str) -> str:
        raise LookupError(f"new in kagglehub:\n{handle}")

    fake = types.ModuleType("kagglehub")
    fake.dataset_download = broken
    monkeypatch.setitem(sys.modules, "kagglehub", fake)
    message = rf"LookupError: new in kagglehub: {kaggle.HANDLE}\. By hand: .*UNET_DATA"
    with pytest.raises(RuntimeError, match=message) as told:
        kaggle_dataset()
    assert told.value._render_traceback_() == [str(told.value)]
    with pytest.raises(ValueError, match="n_tries must be at least 1, got 0"):
        kaggle_dataset(n_tries=0)


@pytest.mark.usefixtures("nothing_at_hand")
def test_kagglehub_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(RuntimeError, match=r"Run: pip install kagglehub\. By hand: "):
        kaggle_dataset()


# ---------------------------------------------------------------------------------------------- zips
def test_a_zip_is_unpacked_once(tmp_path: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch):
    names = ["set/images/ü 1.png", "set/masks/ü 1.png"]
    path = make_zip(tmp_path / "my set.zip", *names, "__MACOSX/set/._x.png")
    folder = unpack(path)
    assert folder.name.startswith("my set-") and files_in(folder) == names
    monkeypatch.setattr(zipfile.ZipFile, "extractall", None)  # a second extraction would fail
    assert unpack(path) == folder
    (tmp_path / "moved").mkdir()
    assert unpack(path.rename(tmp_path / "moved" / path.name)) == folder
    assert visible(own_folder) == [folder.name]


def test_another_content_under_the_same_name_is_another_folder(tmp_path: Path):
    first = unpack(make_zip(tmp_path / "a.zip", "1.png"))
    assert unpack(make_zip(tmp_path / "a.zip", "2.png")) != first


@pytest.mark.parametrize(
    "name",
    [
        "../out.png",
        "a/../../out.png",
        "/etc/out.png",
        "C:/out.png",
        "..\\out.png",
        "C:\\out.png",
        "\\\\host\\share\\out.png",
        ".",
    ],
)
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, own_folder: Path, name: str):
    before = files_in(tmp_path)
    path = make_zip(tmp_path / "evil.zip", "good.png", name)
    with pytest.raises(ValueError, match=r"must only hold files inside its own folder, got '.+'\. Do not"):
        unpack(path)
    assert files_in(tmp_path) == sorted([*before, "evil.zip", "home/data/.lock"])
    assert visible(own_folder) == []


def test_a_zip_larger_than_the_disk_is_refused_before_unpacking(
    tmp_path: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    path = make_zip(tmp_path / "bomb.zip", *[f"{n}.png" for n in range(10)], content=b"0" * 1_000_000)
    assert path.stat().st_size < 100_000
    usage = namedtuple("usage", "total used free")(10**9, 0, 11_000_000)
    monkeypatch.setattr(zips.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(ValueError, match=r"must fit on the disk, got 0\.0 GB unpacked and 0\.0 GB free"):
        unpack(path)
    assert visible(own_folder) == []


def encrypted(raw: bytes) -> bytes:
    """The same archive with the encryption flag set in both headers."""
    raw = bytearray(raw)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.find(signature) + offset] |= 1
    return bytes(raw)


def flipped(raw: bytes, start: int) -> bytes:
    return raw[:start] + bytes(255 - value for value in raw[start : start + 20]) + raw[start + 20 :]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (encrypted, "must not be encrypted, got a password-protected 'a.png'"),
        (lambda raw: b"", "must be a whole zip file"),
        (lambda raw: b"Rar!" + raw[4:60], "must be a whole zip file"),
        (lambda raw: raw[: len(raw) // 2], "must be a whole zip file"),
        (lambda raw: raw[:-1], "must be a whole zip file"),
        (lambda raw: flipped(raw, 40), "must be a whole zip file"),
        (lambda raw: flipped(raw, 35), "must be a whole zip file"),
        (lambda raw: b"<html>sign in</html>", "must be a whole zip file"),
    ],
    ids=["encrypted", "empty", "rar", "half", "last byte", "data", "data start", "html"],
)
def test_damaged_zips_leave_nothing(tmp_path: Path, own_folder: Path, damage, message: str):
    content = os.urandom(300) + b"a" * 3000
    path = make_zip(tmp_path / "a.zip", "a.png", content=content)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=message):
        unpack(path)
    assert visible(own_folder) == []


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_flipped_byte_ends_in_a_folder_or_one_sentence(tmp_path: Path, method: int):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("a/b.txt", "stone " * 20)
    raw = buffer.getvalue()
    for position in range(0, len(raw), 2):
        path = tmp_path / "a.zip"
        path.write_bytes(raw[:position] + bytes([raw[position] ^ 0x55]) + raw[position + 1 :])
        told = None
        try:
            assert unpack(path).is_dir()
        except ValueError as error:  # nothing else may escape: zlib.error, LZMAError, EOFError, ...
            told = str(error)
        assert told is None or "a.zip must" in told


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_interrupted_unpacking_leaves_nothing(
    tmp_path: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch, interruption: BaseException
):
    path = make_zip(tmp_path / "a.zip", "1.png", "2.png")
    extract = zipfile.ZipFile._extract_member

    def stop_at_the_second(self, member, *args):
        if member.filename == "2.png":
            raise interruption
        return extract(self, member, *args)

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "_extract_member", stop_at_the_second)
        with pytest.raises(type(interruption) if isinstance(interruption, Exception) else interruption):
            unpack(path)
    assert visible(own_folder) == []
    assert files_in(unpack(path)) == ["1.png", "2.png"]


def test_folders_of_one_name_have_runs_of_their_own(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("UNET_HOME", str(tmp_path))
    one, other, own = (lesson_run(tmp_path / name / "scans") for name in ("a", "b", "data"))
    assert len({one, other, own}) == 3 and {one.parent, own.parent} == {tmp_path / "runs" / "lesson"}
    assert own.name == "scans" and one == lesson_run(tmp_path / "b" / ".." / "a" / "scans")
