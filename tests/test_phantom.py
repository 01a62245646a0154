"""Tests of the synthetic CT: geometry by hand, determinism, the written data set and its statistics."""

from __future__ import annotations

import csv
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from unet_helpers import phantom
from unet_helpers.phantom import anatomy, dataset, scanner, shapes, space, stones

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

import phantom_vs_real  # noqa: E402

FIGURES = {  # by version: patient 4 of the set with seed 0
    2: {
        "depths_mm": [-18.78, -14.78, -12.78, -10.78, -8.78, -6.78, -4.78, 1.22],
        "diameters_mm": [81.12, 6.21, 7.59],
        "n_stone_pixels": 194,  # of the fourth slice, 128 px a side, as the mean HU of its 16 blocks
        "blocks_hu": [
            [-493.4, -558.5, -547.0, -530.7],
            [43.6, 41.3, -31.8, 42.0],
            [-42.3, 90.4, 38.0, -154.3],
            [-1.1, 40.2, 47.5, -14.3],
        ],
    },
}
STEM = re.compile(r"1-3-46-670589-33-1-(\d{11})(\d{12})-\d{19}_png_jpg\.rf\.[0-9a-f]{32}$")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 patients of 3 slices, written by two processes."""
    path = tmp_path_factory.mktemp("phantom") / "set"
    return phantom.write_dataset(path, n_patients=24, n_slices=3, seed=5, workers=2, progress=False)


def read(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    masks = sorted(folder.glob("*_mask.png"))
    pictures = [mask.with_name(mask.name.replace("_mask.png", ".jpg")) for mask in masks]
    return [
        (np.asarray(Image.open(p).convert("L")), np.asarray(Image.open(m)))
        for p, m in zip(pictures, masks, strict=True)
    ]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def straight_patient(*shapes_and_hus: tuple[shapes.Solid, float]) -> phantom.Patient:
    """A patient of nothing but stones in air, in a space that is neither bent nor turned."""
    patient = phantom.make_patient(1)
    traits = replace(patient.traits, tilt=0.0, waist=0.0, centre_x=0.0, centre_z=0.0, waves=np.zeros((1, 6)))
    size = stones.Size(16.0, 2000.0, -8.0, 8.0)
    found = [phantom.Stone(i, shape, hu, "calyx", size) for i, (shape, hu) in enumerate(shapes_and_hus)]
    return patient._replace(traits=traits, parts=[], stones=found)


# --- solids


def test_distance_to_a_ball_is_radius_minus_distance_to_its_centre() -> None:
    ball = shapes.solid((1, 2, 3), 5)
    x, z = np.float32([[1, 4, 9]]), np.float32([[4, 3, 3]])  # 1, 3 and 8 mm away from the centre
    assert ball(x, 2.0, z) == pytest.approx(np.array([[4, 2, -3]]), abs=0.01)
    assert ball(x, 20.0, z).max() < -10  # 18 mm in front of it


def test_an_ellipsoid_is_a_stretched_ball() -> None:
    axes = shapes.frame((1, 0, 0))  # its last row, of radius 20, points along x
    shape = shapes.solid((0, 0, 0), 1, (5, 5, 20), axes)
    x, z = np.float32([[19, 21, 0, 0]]), np.float32([[0, 0, 4, 6]])
    assert shape(x, 0.0, z) == pytest.approx(np.array([[1, -1, 1, -1]]), abs=0.1)


def test_a_chain_of_two_is_a_cone_with_round_ends() -> None:
    cone = shapes.solid([(0, 0, 0), (10, 0, 0)], (2, 4))
    x, z = np.float32([[0, 5, 10, 16]]), np.float32([[0, 5, 0, 0]])
    # on the axis 2 mm deep; half way radius 3 and the point 5 away; 4 deep; 6 beyond an end of radius 4
    assert cone(x, 0.0, z) == pytest.approx(np.array([[2, -2, 4, -2]]), abs=2e-3)


def test_bumps_move_the_surface_and_repeat() -> None:
    x, z = np.meshgrid(*[np.linspace(-12, 12, 25, dtype=np.float32)] * 2)
    smooth, bumpy, again = (shapes.solid((0, 0, 0), 1, (8, 8, 8), uneven=u)(x, 0.0, z) for u in (0, 0.1, 0.1))
    assert np.array_equal(bumpy, again) and 0.2 < np.abs(bumpy - smooth).max() < 4


def test_the_rows_of_a_frame_are_at_right_angles() -> None:
    rows = shapes.frame((1, 2, -2), (0, 1, 0))
    assert rows @ rows.T == pytest.approx(np.eye(3)) and rows[2] == pytest.approx(np.array([1, 2, -2]) / 3)
    assert shapes.frame((0, 0, 1)) == pytest.approx(np.eye(3))


def test_an_edge_pixel_is_blended_by_its_covered_share() -> None:
    x, z = np.meshgrid(np.arange(64, dtype=np.float32), np.arange(64, dtype=np.float32))
    image, grains = np.zeros((64, 64), np.float32), {"mid": np.zeros((64, 64), np.float32)}
    wall = shapes.solid((-98, 0, 32), 1, (100, 1e4, 1e4))  # ends at x = 2, so that column 2 is half covered
    scanner.paint(image, (x, 0.0, z, 1.0), wall, (anatomy.L(100.0, soft_mm=0.0),), grains)
    assert image[:, :5] == pytest.approx(np.tile([100, 100, 50, 0, 0], (64, 1)), abs=1.5)


@pytest.mark.parametrize("size", [64, 97, 256])
def test_painting_looks_everywhere_the_solid_is(size: int) -> None:
    """The first look at some pixels must not lose a part of a small or thin solid."""
    patient = straight_patient()
    grid = scanner.make_grid(patient, 0.0, size)
    grains = {"mid": np.zeros((size, size), np.float32)}
    for shape in (shapes.solid((41, 0, -77), 3), shapes.solid([(-100, 0, 90), (100, 0, -90)], 2)):
        image = np.zeros((size, size), np.float32)
        scanner.paint(image, grid, shape, (anatomy.L(1.0, soft_mm=0.0),), grains)
        assert np.array_equal(image > 0.5, shape(grid[0], 0.0, grid[2]) > 0)


# --- scanner


def test_window_by_hand() -> None:
    image_hu = np.float32([[-1000, -160, 40, 240, 3000]])
    assert phantom.window(image_hu, 40, 400).tolist() == [[0, 0, 128, 255, 255]]
    with pytest.raises(ValueError, match="width must be positive, got 0"):
        phantom.window(image_hu, 40, 0)


@pytest.mark.parametrize("hu, n_deviations", [(230.0, 0.0), (1080.0, 1.28)])
def test_mask_and_table_of_a_sphere_agree_with_its_geometry(hu: float, n_deviations: float) -> None:
    """Outlined is what rises half-way from tissue (30 HU) to the stone's HU, or to the window's top (240 HU).

    For 1080 HU that is 105 of 1050 HU, a tenth, which a blurred edge reaches 1.28 deviations outside.
    """
    patient = straight_patient((shapes.solid((20, 0, -10), 8), hu))
    cut = phantom.render(patient, 0.0)
    (stone,) = cut.stones
    radius_mm = 8 + n_deviations * patient.traits.blur_mm / 2.355
    assert stone.section_diameter_mm == pytest.approx(2 * radius_mm, abs=0.5)
    area_mm2 = np.pi * stone.section_diameter_mm**2 / 4
    assert cut.mask.sum() * cut.spacing_mm**2 == pytest.approx(area_mm2, rel=2e-3)
    assert (stone.stone, stone.diameter_mm, stone.volume_mm3) == ("1-0", 16.0, 2000.0)
    assert stone.column == pytest.approx(127.5 + 20 / cut.spacing_mm, abs=0.1)
    assert stone.row == pytest.approx(127.5 - 10 / cut.spacing_mm, abs=0.1)
    assert cut.image_hu[cut.mask].max() == pytest.approx(hu, rel=0.2)
    assert phantom.render(patient, 10.0).stones == []  # the slice passes in front of it


def test_half_filled_voxels_belong_to_the_mask() -> None:
    """A soft rod along x, radius 6 mm: its width in the slice is the chord; a slice in front is empty."""
    patient = straight_patient((shapes.solid([(-20, 0, 0), (20, 0, 0)], 6), 230.0))
    widths = {depth: phantom.render(patient, depth).mask[:, 128].sum() for depth in (0.0, 4.0, 7.4)}
    spacing = patient.traits.spacing_mm
    assert widths[0.0] * spacing == pytest.approx(12, abs=spacing)
    assert widths[4.0] * spacing == pytest.approx(2 * np.sqrt(36 - 16), abs=1.5 * spacing)
    assert widths[7.4] == 0


@pytest.mark.parametrize("size", [64, 97, 256, 512])
def test_render_has_the_size_asked_for_and_the_same_field_of_view(size: int) -> None:
    patient = phantom.make_patient(3)
    cut = phantom.render(patient, -5.0, size)
    assert (cut.image_hu.shape, cut.mask.shape) == ((size, size),) * 2
    assert (cut.image_hu.dtype, cut.mask.dtype) == (np.float32, bool)
    assert cut.spacing_mm * size == pytest.approx(256 * patient.traits.spacing_mm)
    assert np.isfinite(cut.image_hu).all()


def test_render_repeats_itself_and_differs_between_patients() -> None:
    first, again, other = (phantom.render(phantom.make_patient(seed), -4.5, 96) for seed in (7, 7, 8))
    assert np.array_equal(first.image_hu, again.image_hu) and first.stones == again.stones
    assert not np.array_equal(first.image_hu, other.image_hu)


def test_stones_that_touch_are_listed_one_by_one() -> None:
    """Two balls of 6 mm radius, 10 mm apart: one region of the mask, two rows; a third stands alone."""
    balls = [(shapes.solid((x, 0, 0), 6), 800.0) for x in (0, 10, 40)]
    cut = phantom.render(straight_patient(*balls), 0.0)
    assert ndimage.label(cut.mask, np.ones((3, 3)))[1] == 2
    assert [stone.stone for stone in cut.stones] == ["1-0", "1-1", "1-2"]
    columns = [127.5 + x / cut.spacing_mm for x in (0, 10, 40)]
    assert [stone.column for stone in cut.stones] == pytest.approx(columns, abs=0.1)


def test_the_version_is_raised_with_every_change_of_the_pictures() -> None:
    """Coarse figures, which other versions of numpy do not move; a change of the phantom does.

    Whoever changes what is drawn raises phantom.VERSION, so that new data get a folder of their own, and
    enters the new figures here.
    """
    patient = dataset.patient_of_set(4, 0)
    depths = phantom.slice_depths(patient, 8)
    cut = phantom.render(patient, depths[3], 128)
    blocks = cut.image_hu.reshape(4, 32, 4, 32).mean((1, 3))
    assert phantom.VERSION in FIGURES, "enter the figures of this version"
    figures = FIGURES[phantom.VERSION]
    assert blocks == pytest.approx(np.array(figures["blocks_hu"]), abs=0.5)
    assert cut.mask.sum() == pytest.approx(figures["n_stone_pixels"], abs=2)
    assert depths == pytest.approx(figures["depths_mm"], abs=0.02)
    assert [s.size.diameter_mm for s in patient.stones] == pytest.approx(figures["diameters_mm"], rel=0.01)


@pytest.mark.parametrize("size", [63, 513])
def test_render_refuses_other_sizes(size: int) -> None:
    with pytest.raises(ValueError, match=f"size must be 64 to 512 pixels, got {size}"):
        phantom.render(phantom.make_patient(0), 0.0, size)


# --- data set


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
    assert len({(row["stem"], row["stone"]) for row in rows}) == len(rows)
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
    assert all(b[0] - a[-1] >= 3600 for a, b in zip(ordered, ordered[1:], strict=False))


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
    assert "phantom: 100%" in captured.out and captured.err == ""


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="folder must not exist or be empty, got"):
        phantom.write_dataset(tmp_path, 1, 1, 64, workers=1, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "name, value",
    [("n_patients", 0), ("n_slices", 0), ("size", 63), ("size", 513), ("seed", -1), ("workers", 0)],
)
def test_bad_arguments_are_named(tmp_path: Path, name: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be .+ to .+, got {value}\."):
        phantom.write_dataset(tmp_path / "set", **{"workers": 1, "progress": False, name: value})
    assert list(tmp_path.iterdir()) == []


# --- slices


def test_slice_depths_repeat_and_are_sorted() -> None:
    patient = phantom.make_patient(4)
    depths = phantom.slice_depths(patient, 12)
    assert depths == phantom.slice_depths(patient, 12) == sorted(depths) and len(depths) == 12


@pytest.mark.parametrize("n_slices", [1, 2, 8, 32, 33, 60, 96])
def test_neighbouring_slices_are_2_mm_apart(n_slices: int) -> None:
    for seed in range(12):
        patient = phantom.make_patient(seed)
        depths = phantom.slice_depths(patient, n_slices)
        assert len(depths) == n_slices and np.diff(depths).min(initial=2) > 1.999
        assert min(depths) >= -74 and max(depths) <= 118
        if n_slices <= 32:
            assert min(depths) >= -28 and max(depths) <= 36


@pytest.mark.parametrize("n_slices", [0, 97, 1000])
def test_more_slices_than_fit_into_a_body_are_refused(n_slices: int) -> None:
    with pytest.raises(ValueError, match=f"n_slices must be 1 to 96, got {n_slices}. Slices are 2 mm apart"):
        phantom.slice_depths(phantom.make_patient(0), n_slices)


def test_the_first_and_the_last_of_all_slices_show_a_body() -> None:
    for seed in range(4):
        patient = phantom.make_patient(seed)
        for depth_mm in (-73.0, 117.0):
            assert (phantom.render(patient, depth_mm, 64).image_hu > -200).mean() > 0.03


def test_most_slices_of_most_patients_go_through_a_stone() -> None:
    shares = []
    for patient in map(phantom.make_patient, range(24)):
        depths = phantom.slice_depths(patient, 8)
        shares.append(
            np.mean([any(s.size.back_mm < mm < s.size.front_mm for s in patient.stones) for mm in depths])
        )
    assert 0.55 <= np.mean(shares) <= 0.75 and np.median(shares) > 0.6


# --- stones in three dimensions


def flat(**changes: object) -> space.Traits:
    """Traits of a patient who is turned, but not bent."""
    return replace(phantom.make_patient(1).traits, waist=0.0, waves=np.zeros((1, 6)), **changes)


@pytest.mark.parametrize("radii", [(1, 1, 1), (4, 4, 4), (12, 12, 12), (2, 3, 9), (5, 5, 5.5), (1, 1.2, 1.5)])
def test_a_ball_and_an_ellipsoid_are_measured_as_they_are(radii: tuple[float, ...]) -> None:
    centre = np.array([10.0, 3.0, -20.0])
    shape = shapes.solid(centre, 1, radii, shapes.frame((1, 1, 2)))
    size = stones.measure(shape, flat(tilt=0.1), centre, max(radii))
    assert size.diameter_mm == pytest.approx(2 * max(radii), rel=0.02)
    assert size.volume_mm3 == pytest.approx(4 / 3 * np.pi * np.prod(radii), rel=0.03)


def test_a_capsule_is_measured_as_it_is() -> None:
    """Radius 3, axis 15 mm: 21 mm long, a cylinder and a ball; its depths are those of its ends."""
    ends = np.array([(0.0, 0.0, 0.0), (10.0, 10.0, 5.0)])
    size = stones.measure(shapes.solid(ends, 3), flat(), ends, 3)
    assert size.diameter_mm == pytest.approx(21, rel=0.01)
    assert size.volume_mm3 == pytest.approx(np.pi * 9 * 15 + 4 / 3 * np.pi * 27, rel=0.02)
    assert (size.back_mm, size.front_mm) == pytest.approx((-3, 13), abs=0.3)


def test_a_stone_is_as_long_in_the_table_as_in_the_picture() -> None:
    """The body's waves stretch a stone; what is measured is what the pictures show, cut by cut."""
    for seed in (3, 11):
        patient = phantom.make_patient(seed, staghorn_size=0.5)
        (stone, *_), pixel_mm, points = patient.stones, patient.traits.spacing_mm, []
        for depth in np.arange(stone.size.back_mm, stone.size.front_mm, 1.0):
            x, y, z, _ = scanner.make_grid(patient, float(depth), 256)
            rows, columns = np.nonzero(stone.shape(x, y, z) > 0)
            points += [
                (row * pixel_mm, depth, column * pixel_mm)
                for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
            ]
        points = np.array(points)
        longest = max(np.linalg.norm(points - point, axis=1).max() for point in points[::7])
        assert stone.size.diameter_mm == pytest.approx(longest, abs=2.5)
        assert stone.size.volume_mm3 == pytest.approx(len(points) * pixel_mm**2, rel=0.05)


def test_the_way_back_from_the_body_ends_where_it_began() -> None:
    r = np.random.default_rng(0)
    for traits in map(anatomy.draw_traits, [r] * 30):
        points = r.uniform(-90, 90, (50, 3))
        x, z = space.in_body(traits, *points.T)
        back = space.in_picture(traits, np.column_stack([x, points[:, 1], z]))
        assert back == pytest.approx(points, abs=0.05)


def test_a_grid_is_the_body_seen_from_the_picture() -> None:
    patient = phantom.make_patient(5)
    x, _, z, pixel_mm = scanner.make_grid(patient, 7.0, 64)
    row, column = 20, 41
    down, right = (np.array([(at - 31.5) * pixel_mm]) for at in (row, column))
    there = space.in_body(patient.traits, right, 7.0, down)
    assert (x[row, column], z[row, column]) == pytest.approx([float(v[0]) for v in there], abs=1e-3)


# --- the patients of a set


def column_of(patient: phantom.Patient, shape: shapes.Solid) -> float:
    """Mean column of all pixels that a solid covers, in all slices; -1 is the picture's left, 1 its right."""
    columns: list[int] = []
    for depth_mm in range(-40, 120, 8):
        x, y, z, _ = scanner.make_grid(patient, float(depth_mm), 64)
        columns += np.nonzero(shape(x, y, z) > 0)[1].tolist()
    return float(np.mean(columns)) / 31.5 - 1


def organs_of(seed: int, monkeypatch: pytest.MonkeyPatch) -> tuple[phantom.Patient, dict[str, shapes.Solid]]:
    """A patient, and solids by name; blood fills a heart, an aorta and a vena cava, told by their axes."""
    solids: list[tuple] = []
    real = anatomy.anatomy
    with monkeypatch.context() as patch:
        patch.setattr(anatomy, "anatomy", lambda *given: solids.extend(real(*given)) or solids)
        patient = phantom.make_patient(seed)
    organs = {
        name: next(shape for filling, shape, _ in solids if filling == name) for name in ("liver", "spleen")
    }
    for name, n_points in (("heart", 1), ("aorta", 3), ("vena cava", 2)):
        organs[name] = next(
            shape for filling, shape, path in solids if filling == "blood" and len(path) == n_points
        )
    return patient, organs


def test_nobody_is_mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Liver on the picture's left, spleen and heart on its right, aorta a little right of the vena cava."""
    for seed in range(30):
        patient, organs = organs_of(seed, monkeypatch)
        at = {name: column_of(patient, shape) for name, shape in organs.items()}
        assert at["liver"] < at["vena cava"] - 0.1 < at["aorta"] + 0.3 < at["spleen"], (seed, at)
        assert at["vena cava"] + 0.05 < at["aorta"] < at["vena cava"] + 0.4, (seed, at)
        assert at["heart"] > at["vena cava"] + 0.1, (seed, at)


def test_the_picture_shows_the_liver_on_its_left() -> None:
    """Soft tissue above the middle: much on the left, where the liver is, and less on the right."""
    shares = []
    for patient in map(phantom.make_patient, range(16)):
        image_hu = phantom.render(patient, 30.0, 64).image_hu
        soft = (image_hu > 10) & (image_hu < 110)
        shares.append(soft[12:36, 8:28].mean() - soft[12:36, 36:56].mean())
    assert np.mean(np.array(shares) > 0) > 0.9 and np.median(shares) > 0.2


def test_one_of_six_patients_has_a_staghorn() -> None:
    for seed in range(50):
        sizes = np.array([dataset.staghorn_size(index, seed) for index in range(96)])
        assert ((sizes.reshape(16, 6) > 0).sum(1) == 1).all()
        gaps = np.diff(np.sort(sizes[sizes > 0]), prepend=0, append=1)
        assert gaps.max() < 0.13 and sizes.max() <= 1  # 16 evenly spread ones have gaps of 0.06


def test_a_staghorn_grows_with_its_size_and_can_be_asked_for() -> None:
    for seed in range(6):
        small, large = (phantom.make_patient(seed, staghorn_size=size) for size in (0.05, 1.0))
        assert [p.stones[0].location for p in (small, large)] == ["staghorn"] * 2
        assert 20 < small.stones[0].size.diameter_mm < large.stones[0].size.diameter_mm < 110
        assert 2 * small.stones[0].size.volume_mm3 < large.stones[0].size.volume_mm3
        without = phantom.make_patient(seed, staghorn_size=0)
        assert "staghorn" not in {stone.location for stone in without.stones}


def test_a_staghorn_lies_in_one_kidney() -> None:
    """All of its axis lies on one side of the body, and both sides have some."""
    sides = set()
    for seed in range(12):
        r = np.random.default_rng(seed)
        paths: dict[str, list[np.ndarray]] = {}
        for name, _, path in anatomy.anatomy(r, anatomy.draw_traits(r)):
            paths.setdefault(name, []).append(path)
        axis = stones.draw_staghorn(r, paths, 1.0).path[:, 0]
        assert len(axis) == 16 and len(set(np.sign(axis))) == 1
        sides.add(float(np.sign(axis[0])))
    assert sides == {-1.0, 1.0}


def test_large_stones_are_common() -> None:
    """So that 10 patients, the validation part of 96, lack a stone of 10 mm in less than 1 of 100 draws."""
    large = [
        any(stone.size.diameter_mm >= 10 for stone in dataset.patient_of_set(index, 0).stones)
        for index in range(36)
    ]
    assert (1 - np.mean(large)) ** 10 < 0.01


# --- the tables


def test_every_row_has_a_filling() -> None:
    tables = (anatomy.CHEST, anatomy.ABDOMEN, anatomy.KIDNEY, anatomy.VERTEBRA, anatomy.OTHERS)
    names = {filling for filling, *_ in itertools.chain(*tables)}
    assert names <= set(anatomy.FILLINGS) | set(anatomy.CHOICES)
    for choice in anatomy.CHOICES.values():
        assert set(choice.split()) <= set(anatomy.FILLINGS)
    assert {"calyx", "pelvis", "ureter"} <= names  # where stones may lie
