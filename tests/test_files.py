"""Files are written whole or not at all."""

import errno
import json
import math
import os
import tempfile
from pathlib import Path

import pytest

from unet_helpers.engine.files import check_writable, explain, remove_scratch, write_json, written_whole


def test_the_file_appears_at_the_end(tmp_path: Path):
    target = tmp_path / "new folder" / "a.txt"
    with written_whole(target) as scratch:
        scratch.write_text("new")
        assert not target.exists() and scratch.suffix == ".txt" and scratch.parent == target.parent
    assert target.read_text() == "new" and list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("interruption", [OSError, KeyboardInterrupt])
def test_after_an_interruption_the_old_file_stands(tmp_path: Path, interruption: type[BaseException]):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def interrupted() -> None:
        with written_whole(target) as scratch:
            scratch.write_text("half")
            raise interruption

    with pytest.raises(interruption):
        interrupted()
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_json_has_no_nan(tmp_path: Path):
    write_json(tmp_path / "a.json", {"a": [1.5, math.nan, (math.inf, "ü")], "b": {"c": None, "d": True}})
    text = (tmp_path / "a.json").read_text("utf-8")
    assert json.loads(text) == {"a": [1.5, None, [None, "ü"]], "b": {"c": None, "d": True}}
    assert "NaN" not in text and "Infinity" not in text


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path: Path):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert json.loads((tmp_path / "a.json").read_text()) == 1 and len(list(tmp_path.iterdir())) == 1


def test_only_the_scratch_of_dead_processes_is_removed(tmp_path: Path):
    kept = [".a.txt", "a.12.pt", ".a.12", ".a.b.pt", ".a.12.pt.part"]
    for name in [*kept, ".last.12.pt", ".history.4711.json"]:
        (tmp_path / name).write_text("")
    remove_scratch(tmp_path)
    remove_scratch(tmp_path / "missing")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_a_full_disk_is_told_with_the_file_and_the_old_one_stands(tmp_path: Path):
    target = tmp_path / "a.json"
    target.write_text("old")
    message = r"a\.json could not be written: No space left on device; the previous file is intact\. Free"
    with pytest.raises(OSError, match=message), written_whole(target):
        raise OSError(28, "No space left on device")
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("number", "kind", "hint"),
    [
        (errno.ENOSPC, OSError, "Free some disk space"),
        (errno.EDQUOT, OSError, "free some disk space"),
        (errno.EACCES, PermissionError, "Change its permissions"),
        (errno.EROFS, OSError, "read-only"),
        (errno.ENAMETOOLONG, OSError, "shorter name"),
        (errno.EISDIR, IsADirectoryError, "name of a file"),
        (errno.ENOTDIR, NotADirectoryError, "A file stands"),
        (errno.EIO, OSError, ""),
    ],
)
def test_each_cause_has_its_own_hint(tmp_path: Path, number: int, kind: type[OSError], hint: str):
    error = OSError(number, os.strerror(number), "here.txt")
    assert hint in explain(error) and explain(error).startswith(f"here.txt: {os.strerror(number)}.")
    with pytest.raises(kind) as caught, written_whole(tmp_path / "a.txt"):
        raise error
    told = str(caught.value)
    assert told.startswith(f"{tmp_path / 'a.txt'} could not be written: {os.strerror(number)}.")
    assert hint in told
    assert caught.value.errno == number and explain(caught.value) == told and "previous" not in told
    assert ("disk space" in told) == (number in (errno.ENOSPC, errno.EDQUOT))


def test_an_error_without_a_file_is_told_as_it_is():
    assert explain(OSError("no network")) == "no network"
    assert explain(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")) == "Connection refused."


# ------------------------------------------------------------------------------------ before it is written
def test_what_can_be_written_leaves_nothing(tmp_path: Path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "b.png").write_text("old")
    for name in ("a.json", "new/er/a.json", "there/b.png", "n" * 250 + ".json"):  # the longest there is
        check_writable(tmp_path / name)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["b.png", "there"]


def test_what_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path, kind, said in (
        (tmp_path / "folder", IsADirectoryError, "folder could not be written: Is a dir.* This is a folder"),
        (tmp_path / "file" / "a.json", OSError, "A file stands where a folder is needed"),
        (tmp_path / "file" / "b" / "a.json", OSError, "A file stands where a folder is needed"),
        (tmp_path / ("n" * 251 + ".json"), OSError, "File ?name too long. Give a shorter name"),
        *[(Path("/proc/nowhere/a.json"), OSError, "could not be written")] * Path("/proc").is_dir(),
    ):
        with pytest.raises(kind, match=said):
            check_writable(path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_folder_without_permission_is_told():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(65534)  # root may write everywhere
            for name in ("a.json", "new/a.json"):
                with pytest.raises(PermissionError, match=r"Permission denied. Change its permissions"):
                    check_writable(Path(folder) / name)
        finally:
            os.seteuid(user)
            Path(folder).chmod(0o755)


def test_an_ending_that_nobody_can_draw_is_told(tmp_path: Path):
    check_writable(tmp_path / "a.PNG", {".png", ".svg"})
    for name, got in (("a.docx", ".docx"), ("a", "no ending")):
        with pytest.raises(ValueError, match=rf"must end in one of \.png, \.svg, got {got}\."):
            check_writable(tmp_path / name, {".svg", ".png"})
