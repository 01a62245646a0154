"""Files are written whole or not at all."""

import json
import math
from pathlib import Path

import pytest

from unet_helpers.files import remove_scratch, write_json, written_whole


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
    with pytest.raises(interruption), written_whole(target) as scratch:
        scratch.write_text("half")
        raise interruption
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
    message = r"No space left on device for .*a\.json; the previous file is intact"
    with pytest.raises(OSError, match=message), written_whole(target):
        raise OSError(28, "No space left on device")
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]
