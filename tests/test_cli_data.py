"""The sub-commands about data: phantom and check."""

import json
import shutil
from pathlib import Path

from cli_tools import call, masks_of_0_and_1, usage_error

pytest_plugins = ["cli_runs"]


# ------------------------------------------------------------------------------------------------ phantom
def test_phantom_writes_a_new_folder_only(tmp_path: Path, capsys):
    out = tmp_path / "phantom"
    assert call("phantom", out, "--patients", 1, "--slices", 2, "--size", 64, "--seed", 3) == 0
    assert len(list(out.glob("*_mask.png"))) == 2
    assert "2 image-mask pairs of 1 patients" in capsys.readouterr().out
    before = sorted(path.name for path in out.iterdir())
    assert call("phantom", out, "--patients", 1, "--slices", 2, "--size", 64) == 1
    assert "error: OUT must be a new folder" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == before
    assert call("phantom", tmp_path / "b", "--size", 7) == 1 and not (tmp_path / "b").exists()
    assert "error: --size must be 64 to 512, got 7" in capsys.readouterr().err
    usage_error("phantom", tmp_path / "b", "--patients", 0)
    usage_error("phantom", tmp_path / "b", "--size", "large")


def test_the_seed_of_the_phantom_makes_other_patients(tmp_path: Path):
    for seed in (3, 3, 4):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        assert call("phantom", folder, "--patients", 1, "--slices", 1, "--size", 64, "--seed", seed) == 0
    first, same, other = (
        [path.read_bytes() for path in sorted((tmp_path / name).glob("*.jpg"))] for name in "012"
    )
    assert first == same != other


# -------------------------------------------------------------------------------------------------- check
def test_check_reports_and_exits_0_on_a_whole_data_set(data: Path, tmp_path: Path, capsys):
    assert call("check", data, "--json", tmp_path / "new" / "report.json") == 0
    report = json.loads((tmp_path / "new" / "report.json").read_text())
    assert (report["n_pairs"], report["n_groups"], report["broken"]) == (12, 6, [])
    out = capsys.readouterr().out
    assert "12 pairs in 6 groups, 12 with a stone" in out and "48x48: 6" in out and "0, 255: 12 masks" in out
    assert "0 broken files" in out


def test_check_exits_1_and_names_what_is_wrong(data: Path, tmp_path: Path, capsys):
    copy = shutil.copytree(data, tmp_path / "data")
    first, second = sorted(copy.glob("*.jpg"))[:2]
    first.write_bytes(first.read_bytes()[:200])
    second.rename(copy / "plain.jpg")
    masks_of_0_and_1(copy)
    assert call("check", copy) == 1
    out = capsys.readouterr().out
    assert "1 broken file\n" in out and first.name in out
    assert "1 image without mask\n  plain.jpg" in out
    assert f"1 mask without image\n  {second.stem}_mask.png" in out
    assert "0, 1: 11 masks" in out and "The object is 1; background is 0." in out and "10 with a stone" in out


def test_check_of_nothing(tmp_path: Path, capsys):
    assert call("check", tmp_path / "nowhere") == 1
    assert 'error: data set must be "phantom", "kaggle" or an existing folder' in capsys.readouterr().err
    (tmp_path / "a.zip").write_text("no zip")
    assert call("check", tmp_path / "a.zip") == 1
    assert call("check", tmp_path) == 1
    assert "must hold image-mask pairs" in capsys.readouterr().err
    usage_error("check")


def test_check_tells_first_that_its_report_cannot_be_written(data: Path, tmp_path: Path, capsys):
    (tmp_path / "file").write_text("")
    assert call("check", data, "--json", tmp_path / "file" / "a.json") == 1
    captured = capsys.readouterr()
    assert "A file stands where" in captured.err and captured.out == ""
