"""Tests of the synthetic CT: geometry by hand, determinism, the written data set and its statistics."""

from __future__ import annotations

import ast
import csv
import itertools
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unet_helpers import phantom
from unet_helpers.phantom import anatomy, dataset, scanner, shapes

# mean HU of 16 blocks of patient 7 at -4.5 mm, 128 px
CHECKSUM_HU = [[-510.2, -444.1, -845.0, -593.0], [36.9, -12.8, -13.0, -297.3],
               [-135.9, 111.0, -6.2, -320.3], [-173.5, 81.3, 7.8, -530.4]]
sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

import phantom_vs_real  # noqa: E402

STEM = re.compile(r"1-3-46-670589-33-1-(\d{11})(\d{12})-\d{19}_png_jpg\.rf\.[0-9a-f]{32}$")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 patients of 3 slices, written by two processes."""
    path = tmp_path_factory.mktemp("phantom") / "set"
    return phantom.write_dataset(path, n_patients=24, n_slices=3, seed=5, workers=2, progress=False)


def read(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    masks = sorted(folder.glob("*_mask.png"))
    pictures = [mask.with_name(mask.name.replace("_mask.png", ".jpg")) for mask in masks]
    return [(np.asarray(Image.open(p).convert("L")), np.asarray(Image.open(m)))
            for p, m in zip(pictures, masks, strict=True)]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def straight_patient(shape: shapes.Solid, hu: float) -> phantom.Patient:
    """A patient of nothing but one stone in air, in a space that is neither bent nor turned."""
    patient = phantom.make_patient(1)
    for name, value in (("tilt", 0.0), ("mirrored", False), ("centre_x", 0.0), ("centre_z", 0.0)):
        setattr(patient.traits, name, value)
    return patient._replace(waves=np.zeros((1, 6)), parts=[], stones=[(shape, hu, "calyx", 0.0, 1.0)])


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
    patient = straight_patient(shapes.solid((0, 0, 0)), 500.0)
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
    patient = straight_patient(shapes.solid((20, 0, -10), 8), hu)
    cut = phantom.render(patient, 0.0)
    (stone,) = cut.stones
    radius_mm = 8 + n_deviations * patient.traits.blur_mm / 2.355
    assert stone.diameter_mm == pytest.approx(2 * radius_mm, abs=0.5)
    assert cut.mask.sum() * cut.spacing_mm**2 == pytest.approx(np.pi * stone.diameter_mm**2 / 4, rel=2e-3)
    assert stone.column == pytest.approx(127.5 + 20 / cut.spacing_mm, abs=0.1)
    assert stone.row == pytest.approx(127.5 - 10 / cut.spacing_mm, abs=0.1)
    assert cut.image_hu[cut.mask].max() == pytest.approx(hu, rel=0.2)
    assert phantom.render(patient, 10.0).stones == []  # the slice passes in front of it


def test_half_filled_voxels_belong_to_the_mask() -> None:
    """A soft rod along x, radius 6 mm: its width in the slice is the chord; a slice in front is empty."""
    patient = straight_patient(shapes.solid([(-20, 0, 0), (20, 0, 0)], 6), 230.0)
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


def test_render_keeps_its_values() -> None:
    """Guards the random structure: a change of the phantom must be meant. Tolerant to rounding by machine."""
    image_hu = phantom.render(phantom.make_patient(7), -4.5, 128).image_hu
    blocks = image_hu.reshape(4, 32, 4, 32).mean((1, 3))
    assert blocks == pytest.approx(np.array(CHECKSUM_HU), abs=0.5)


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
    stones = rows_of(folder / "stones.csv")
    for row in rows_of(folder / "slices.csv"):
        listed = [stone for stone in stones if stone["stem"] == row["stem"]]
        mask = np.asarray(Image.open(folder / f"{row['stem']}_mask.png"))
        area = (mask > 0).sum() * float(row["spacing_mm"]) ** 2
        circles = sum(np.pi * float(stone["diameter_mm"]) ** 2 / 4 for stone in listed)  # mm2
        assert (area > 0) == bool(listed)
        if len(listed) == 1:
            assert area == pytest.approx(circles, rel=0.02)
    diameters = np.array([float(stone["diameter_mm"]) for stone in stones])
    assert 4 < np.median(diameters) < 11 and diameters.min() > 1 and (diameters < 20).mean() > 0.9
    assert {stone["location"] for stone in stones} >= {"calyx", "pelvis"}
    assert all(200 <= int(stone["hu"]) <= 1500 for stone in stones)


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
def test_what_is_interrupted_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    real, calls = dataset.write_patient, []

    def stop_in_the_second(*job: object) -> dict[str, list[tuple]]:
        calls.append(job)
        if len(calls) == 2:
            raise error
        return real(*job)

    monkeypatch.setattr(dataset, "write_patient", stop_in_the_second)
    with pytest.raises(error):
        phantom.write_dataset(tmp_path / "set", 3, 1, 64, workers=1, progress=False)
    assert len(calls) == 2 and list(tmp_path.iterdir()) == []


def test_an_interrupted_pool_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped_bar(results: Iterable[object], *_: object, **__: object) -> Iterator[object]:
        yield next(iter(results))
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "progress_bar", stopped_bar)
    with pytest.raises(KeyboardInterrupt):
        phantom.write_dataset(tmp_path / "set", 2, 1, 64, workers=2, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_progress_goes_to_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    phantom.write_dataset(tmp_path / "set", 1, 1, 64, workers=1)
    captured = capsys.readouterr()
    assert "phantom: 100%" in captured.out and captured.err == ""


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="folder must not exist or be empty, got"):
        phantom.write_dataset(tmp_path, 1, 1, 64, workers=1, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name, value", [("n_patients", 0), ("n_slices", 0), ("size", 63), ("size", 513),
                                         ("seed", -1), ("workers", 0)])
def test_bad_arguments_are_named(tmp_path: Path, name: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be .+ to .+, got {value}\.$"):
        phantom.write_dataset(tmp_path / "set", **{"workers": 1, "progress": False, name: value})
    assert list(tmp_path.iterdir()) == []


def test_slice_depths_repeat_and_are_sorted() -> None:
    patient = phantom.make_patient(4)
    depths = phantom.slice_depths(patient, 12)
    assert depths == phantom.slice_depths(patient, 12) == sorted(depths) and len(depths) == 12


def test_source_hash_is_short_and_stable() -> None:
    assert re.fullmatch("[0-9a-f]{10}", phantom.source_hash())
    assert phantom.source_hash() == phantom.source_hash()


# --- the package


def test_the_package_stays_small() -> None:
    """The whole phantom in 450 lines and no function above 40: a longer one lacks an abstraction."""
    sources = [path.read_text("utf-8") for path in Path(phantom.__file__).parent.glob("*.py")]
    assert sum(len(source.splitlines()) for source in sources) <= 450
    functions = [node for source in sources for node in ast.walk(ast.parse(source))
                 if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert {f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno - f.lineno >= 40} == {}


def test_every_row_has_a_filling() -> None:
    tables = (anatomy.CHEST, anatomy.ABDOMEN, anatomy.KIDNEY, anatomy.VERTEBRA, anatomy.OTHERS)
    names = {filling for filling, *_ in itertools.chain(*tables)}
    assert names <= set(anatomy.FILLINGS) | set(anatomy.CHOICES)
    for choice in anatomy.CHOICES.values():
        assert set(choice.split()) <= set(anatomy.FILLINGS)
    assert {"calyx", "pelvis", "ureter"} <= names  # where stones may lie
