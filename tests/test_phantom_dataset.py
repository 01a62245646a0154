"""The synthetic data set: its files and tables, its statistics, and the processes that write it."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unet_helpers import phantom
from unet_helpers.data import find_pairs, known_stones, load_mask
from unet_helpers.evaluation import score_masks
from unet_helpers.phantom import dataset

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

import phantom_vs_real

STEM = re.compile(r"1-3-46-670589-33-1-(\d{11})(\d{12})-\d{19}_png_jpg\.rf\.[0-9a-f]{32}$")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 patients of 3 slices, written by two processes."""
    path = tmp_path_factory.mktemp("phantom") / "set"
    return phantom.write_dataset(path, n_patients=24, n_slices=3, seed=5, workers=2, progress=False)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_slices_have_masks_of_0_and_255_and_grey_pictures(folder: Path) -> None:
    n_files = [len(list(folder.glob(pattern))) for pattern in ("*.jpg", "*_mask.png")]
    assert [*n_files, len(rows_of(folder / "slices.csv"))] == [72, 72, 72]
    for path in folder.glob("*_mask.png"):
        mask = Image.open(path)
        assert (mask.mode, mask.size) == ("L", (256, 256))
        assert set(np.unique(np.asarray(mask))) <= {0, 255}
    picture = Image.open(next(folder.glob("*.jpg")))
    red, green, blue = np.moveaxis(np.asarray(picture), 2, 0)
    assert picture.mode == "RGB" and np.array_equal(red, green) and np.array_equal(red, blue)


def test_table_lists_the_stones_of_every_mask(folder: Path) -> None:
    rows = rows_of(folder / "stones.csv")
    for row in rows_of(folder / "slices.csv"):
        listed = [stone for stone in rows if stone["stem"] == row["stem"]]
        mask = np.asarray(Image.open(folder / f"{row['stem']}_mask.png"))
        area = (mask > 0).sum() * float(row["spacing_mm"]) ** 2
        circles = sum(np.pi * float(stone["section_diameter_mm"]) ** 2 / 4 for stone in listed)  # mm2
        assert (area > 0) == bool(listed)
        if len(listed) == 1:
            assert area == pytest.approx(circles, rel=0.02)
    diameters = np.array([float(stone["section_diameter_mm"]) for stone in rows])
    assert 4 < np.median(diameters) < 11 and diameters.min() > 1 and (diameters < 20).mean() > 0.85
    assert {stone["location"] for stone in rows} >= {"calyx", "pelvis", "staghorn"}
    assert all(200 <= int(stone["hu"]) <= 1500 for stone in rows)


def test_table_knows_each_stone_again(folder: Path) -> None:
    """A stone is the same in all its slices, belongs to the patient of its slices, and is counted."""
    patients = {row["stem"]: row["patient"] for row in rows_of(folder / "slices.csv")}
    rows = rows_of(folder / "stones.csv")
    assert list(rows[0]) == [
        "stem",
        "stone",
        "row",
        "column",
        "section_diameter_mm",
        "diameter_mm",
        "volume_mm3",
        "n_sections",
        "hu",
        "location",
    ]
    assert len({(row["stem"], row["row"], row["column"]) for row in rows}) == len(rows)
    assert all(row["stone"].split("-")[0] == patients[row["stem"]] for row in rows)
    of_a_stone = ("stone", "diameter_mm", "volume_mm3", "hu", "location")
    known = {tuple(row[name] for name in of_a_stone) for row in rows}
    counts = Counter(row["stone"] for row in rows)
    assert len(known) == len(counts)
    assert all(int(row["n_sections"]) == counts[row["stone"]] for row in rows)
    assert max(counts.values()) > 1


def test_no_section_is_much_larger_than_its_stone(folder: Path) -> None:
    """A section's outline is blurred, a stone's longest extent is not; most cuts are smaller than it."""
    rows = rows_of(folder / "stones.csv")
    section, stone = (
        np.array([float(row[name]) for row in rows]) for name in ("section_diameter_mm", "diameter_mm")
    )
    assert (section < stone + 3.5).all() and np.mean(section < stone) > 0.6


def test_every_section_of_a_mask_is_of_a_known_stone(folder: Path) -> None:
    pairs = find_pairs(folder)
    masks, known = [load_mask(pair.mask_path) for pair in pairs], known_stones(pairs)
    assert known is not None
    scores = score_masks(masks, masks, known)
    assert scores["n_sections"] > 50 and scores["n_sections_unidentified"] == 0


def test_the_centre_of_a_section_lies_in_its_region(folder: Path) -> None:
    for row in rows_of(folder / "stones.csv"):
        if row["location"] != "staghorn":
            mask = np.asarray(Image.open(folder / f"{row['stem']}_mask.png")) > 0
            at = round(float(row["row"])), round(float(row["column"]))
            near = mask[max(0, at[0] - 2) : at[0] + 3, max(0, at[1] - 2) : at[1] + 3]
            assert near.any(), row


def test_stems_group_the_slices_of_a_patient(folder: Path) -> None:
    seconds: dict[str, list[int]] = {}
    for row in rows_of(folder / "slices.csv"):
        seconds.setdefault(row["patient"], []).append(int(STEM.match(row["stem"]).group(1)))
    ordered = sorted(sorted(values) for values in seconds.values())
    assert len(ordered) == 24
    assert all(max(np.diff(values)) <= 60 for values in ordered)
    assert all(b[0] - a[-1] >= 3600 for a, b in pairwise(ordered))


@pytest.fixture(scope="module")
def data(folder: Path) -> phantom_vs_real.Measured:
    return phantom_vs_real.measure(folder)


def test_statistics_are_those_of_real_scans(data: phantom_vs_real.Measured) -> None:
    """Bounds around the figures of 957 real coronal slices, see benchmarks/README.md."""
    share, grey = data.foreground[data.foreground > 0], data.histograms.sum(0) / data.histograms.sum()
    assert 0.55 <= (data.foreground > 0).mean() <= 0.80
    assert 0.0003 <= np.median(share) <= 0.0014  # real: 0.00056
    assert 4.5 <= np.median(data.diameters_px) <= 9  # real: 6.5
    assert 0.030 <= grey[250:].sum() <= 0.055  # real: 0.042
    assert 0.22 <= grey[:8].sum() <= 0.36  # real: 0.30
    assert 110 <= grey[60:200].argmax() + 60 <= 130  # real: 120


def test_noise_is_as_strong_and_as_correlated_as_in_real_scans(data: phantom_vs_real.Measured) -> None:
    deviation, beside, below = np.nanmedian(data.noise, axis=0)
    assert 2.4 <= deviation <= 3.4  # grey levels; real: 3.0
    assert 0.71 <= beside <= 0.81 and 0.61 <= below <= 0.73  # real: 0.77 and 0.69
    assert beside > below


def test_no_global_threshold_finds_the_stones(data: phantom_vs_real.Measured) -> None:
    stone = data.stone_histograms.sum(0)
    assert stone[250:].sum() > 0.1 * stone.sum()  # the stones are bright
    assert phantom_vs_real.best_threshold(data)[1] < 0.10


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    one, two = (phantom.write_dataset(tmp_path / str(n), 3, 2, 64, 2, n, progress=False) for n in (1, 2))
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in two.iterdir()) and len(names) == 3 * 2 * 2 + 2
    assert [name for name in names if (one / name).read_bytes() != (two / name).read_bytes()] == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_interrupted_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], workers: int
) -> None:
    helpers = []

    def stop(*_: object) -> None:
        raise error

    def start(job: dataset.Job) -> subprocess.Popen[str]:
        helpers.append(real(job))
        return helpers[-1]

    real = dataset.start_helper
    monkeypatch.setattr(dataset, "start_helper", start)
    monkeypatch.setattr(dataset, "save_slice", stop)
    with pytest.raises(error):
        phantom.write_dataset(tmp_path / "set", 30, 1, 64, workers=workers, progress=False)
    assert len(helpers) == workers - 1 and all(helper.returncode is not None for helper in helpers)
    assert list(tmp_path.iterdir()) == []


def test_helpers_take_patients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """The caller does nothing until its helper has: the helper writes all, and nothing is said."""
    monkeypatch.setattr(dataset, "take_patients", lambda job: iter(()))
    done = []
    monkeypatch.setattr(dataset, "finish_patient", lambda job, index: done.append(index))
    phantom.write_dataset(tmp_path / "set", 3, 1, 64, workers=2, progress=False)
    assert done == [] and len(list((tmp_path / "set").glob("*.jpg"))) == 3
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("executable", "sentence"),
    [
        ("no such program", "No other process could be started"),
        (sys.executable, "2 of 2 helping processes failed (no luck). This one does their work."),
    ],
)
def test_one_process_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, executable: str, sentence: str
) -> None:
    def start(job: dataset.Job) -> subprocess.Popen[str]:
        claim = f"open({str(Path(job.scratch, 'claims', '1'))!r}, 'w').close(); raise SystemExit('no luck')"
        pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([executable, "-c", claim], text=True, **pipes)

    monkeypatch.setattr(dataset, "start_helper", start)
    phantom.write_dataset(tmp_path / "some", 3, 1, 64, workers=3, progress=False)
    assert sentence in capsys.readouterr().out
    phantom.write_dataset(tmp_path / "all", 3, 1, 64, workers=1, progress=False)
    some, whole = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("some", "all")
    )
    assert some == whole


WRITE = "from unet_helpers import phantom; phantom.write_dataset({folder!r}, {n}, 1, 64, workers=2)"


@pytest.mark.parametrize("way", ["script", "standard input"])
def test_no_main_guard_is_needed(tmp_path: Path, way: str) -> None:
    """A plain script, or a program typed into Python, calls it at the top level."""
    program = WRITE.format(folder=str(tmp_path / "set"), n=3)
    (tmp_path / "plain.py").write_text(program)
    arguments = {"script": [str(tmp_path / "plain.py")], "standard input": ["-"]}[way]
    root = str(Path(phantom.__file__).parents[2])
    ended = subprocess.run(
        [sys.executable, *arguments],
        input=program,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
        cwd=tmp_path,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == "" and "failed" not in ended.stdout and "could not" not in ended.stdout
    assert len(list((tmp_path / "set").glob("*.jpg"))) == 3


def processes_naming(text: str) -> list[str]:
    """Command lines of the running processes in which this text stands."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has just ended
    return [line for line in lines if text in line]


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("stop", ["interrupt", "kill"])
def test_no_helper_outlives_its_parent(tmp_path: Path, stop: str) -> None:
    """Ctrl-C in a terminal reaches parent and helper; a killed parent can tell its helper nothing."""
    program = WRITE.format(folder=str(tmp_path / "set"), n=2000)
    root = str(Path(phantom.__file__).parents[2])
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while len(list(tmp_path.glob(".set-*/rows/*"))) < 4 and time.monotonic() < until:
        time.sleep(0.1)
    assert len(processes_naming(str(tmp_path))) == 2  # both are at work
    if stop == "interrupt":
        os.killpg(parent.pid, signal.SIGINT)
    else:
        parent.kill()
    error = parent.communicate(timeout=60)[1]
    while processes_naming(str(tmp_path)) and time.monotonic() < until + 60:
        time.sleep(0.1)
    assert processes_naming(str(tmp_path)) == []
    if stop == "interrupt":
        assert list(tmp_path.iterdir()) == [] and error.count("Traceback") == 1


def test_progress_goes_to_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    phantom.write_dataset(tmp_path / "set", 1, 1, 64, workers=1)
    captured = capsys.readouterr()
    assert captured.out == "phantom: 1 patient\n" and captured.err == ""


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="folder must not exist or be empty, got"):
        phantom.write_dataset(tmp_path, 1, 1, 64, workers=1, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_patients", 0), ("n_slices", 0), ("size", 63), ("size", 513), ("seed", -1), ("workers", 0)],
)
def test_bad_arguments_are_named(tmp_path: Path, name: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be .+ to .+, got {value}\."):
        phantom.write_dataset(tmp_path / "set", **{"workers": 1, "progress": False, name: value})
    assert list(tmp_path.iterdir()) == []
