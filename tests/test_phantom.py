"""Tests of the synthetic CT: geometry by hand, determinism, the written data set and its statistics."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unet_helpers import phantom
from unet_helpers.phantom import dataset, shapes
from unet_helpers.phantom.anatomy import SolidStone

# mean HU of 16 blocks of patient 7 at -4.5 mm, 128 px
CHECKSUM_HU = [[-568.1, -843.8, -596.4, -685.2], [-167.3, -93.1, -136.1, -187.8],
               [-69.3, 63.8, 70.3, -111.6], [-147.7, 46.9, 73.2, -290.0]]
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


def straight_patient(shape: shapes.Shape, hu: float) -> phantom.Patient:
    """A patient of nothing but one stone in air, in a space that is neither bent nor turned."""
    patient = phantom.make_patient(1)
    for name, value in (("tilt", 0.0), ("mirrored", False), ("centre_x", 0.0), ("centre_z", 0.0)):
        setattr(patient.traits, name, value)
    return replace(patient, waves=np.zeros((1, 6)), parts=[], stones=[SolidStone(shape, hu, "calyx")])


# --- solids


def test_distance_to_a_sphere_is_radius_minus_distance_to_its_centre() -> None:
    ball = shapes.ellipsoid((1, 2, 3), (5, 5, 5))
    x, z = np.float32([[1, 4, 9]]), np.float32([[4, 3, 3]])  # 1, 3 and 8 mm away from the centre
    assert ball.distance(x, 2.0, z) == pytest.approx(np.array([[4, 2, -3]]), abs=0.01)
    assert ball.low.tolist() == [-4, -3, -2]


def test_tube_is_a_cone_with_round_ends() -> None:
    cone = shapes.tube([(0, 0, 0), (10, 0, 0)], (2, 4))
    x, z = np.float32([[0, 5, 10, 16]]), np.float32([[0, 5, 0, 0]])
    # on the axis 2 mm deep; half way radius 3 and the point 5 away; 4 deep; 6 beyond an end of radius 4
    assert cone.distance(x, 0.0, z) == pytest.approx(np.array([[2, -2, 4, -2]]), abs=1e-5)


def test_solids_combine_as_sets() -> None:
    a, b = shapes.ellipsoid((0, 0, 0), (5, 5, 5)), shapes.ellipsoid((6, 0, 0), (5, 5, 5))
    x, z = np.float32([[0.5, 3, 6]]), np.zeros((1, 3), np.float32)  # in a, in both, in b
    expected = {shapes.union: [True, True, True], shapes.cut: [False, True, False],
                shapes.minus: [True, False, False]}
    for combine, inside in expected.items():
        assert (combine(a, b).distance(x, 0.0, z) > 0).tolist() == [inside]


def test_an_edge_pixel_is_blended_by_its_covered_share() -> None:
    grid = shapes.Grid(np.float32([[0, 1, 2, 3, 4]]), 0.0, np.zeros((1, 5), np.float32), 1.0,
                       lambda points: points[:, ::-1])
    image = np.zeros((1, 5), np.float32)
    wall = shapes.ellipsoid((-98, 0, 0), (100, 1e4, 1e4))  # ends at x = 2, so that pixel 2 is half covered
    shapes.paint(image, grid, wall, (shapes.Layer(100.0, soft_mm=0.0),), {"mid": np.zeros_like(image)})
    assert image == pytest.approx(np.array([[100, 100, 50, 0, 0]]), abs=1.5)


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
    patient = straight_patient(shapes.ellipsoid((20, 0, -10), (8, 8, 8)), hu)
    cut = phantom.render(patient, 0.0)
    (stone,) = cut.stones
    radius_mm = 8 + n_deviations * patient.traits.blur_mm / 2.355
    assert stone.diameter_mm == pytest.approx(2 * radius_mm, abs=0.5)
    assert cut.mask.sum() * cut.spacing_mm**2 == pytest.approx(np.pi * stone.diameter_mm**2 / 4)
    assert stone.column == pytest.approx(127.5 + 20 / cut.spacing_mm, abs=0.1)
    assert stone.row == pytest.approx(127.5 - 10 / cut.spacing_mm, abs=0.1)
    assert cut.image_hu[cut.mask].max() == pytest.approx(hu, rel=0.2)
    assert phantom.render(patient, 9.0).stones == []  # the slice passes in front of it


def test_half_filled_voxels_belong_to_the_mask() -> None:
    """A soft rod along x, radius 6 mm: its width in the slice is the chord; a slice in front is empty."""
    patient = straight_patient(shapes.tube([(-20, 0, 0), (20, 0, 0)], 6), 230.0)
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


def test_statistics_are_those_of_real_scans(folder: Path) -> None:
    images, masks = (np.stack(stack) for stack in zip(*read(folder), strict=True))
    masks = masks > 0
    share = masks.mean((1, 2))
    assert 0.55 <= (share > 0).mean() <= 0.80
    assert 0.0003 <= np.median(share[share > 0]) <= 0.0014  # real: 0.00056
    assert 0.030 <= (images >= 250).mean() <= 0.055  # real: 0.042
    mode = np.bincount(images.ravel(), minlength=256)[60:200].argmax() + 60
    assert 110 <= mode <= 130  # real: 120


def test_no_global_threshold_finds_the_stones(folder: Path) -> None:
    images, masks = (np.stack(stack) for stack in zip(*read(folder), strict=True))
    stone = np.bincount(images[masks > 0], minlength=256)[::-1].cumsum()  # pixels at or above 255, 254, ...
    every = np.bincount(images.ravel(), minlength=256)[::-1].cumsum()
    scores = 2 * stone / (every + stone[-1])
    assert stone[0] > 0.1 * stone[-1]  # the stones are bright
    assert scores[:128].max() < 0.10


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

    def stop_in_the_second(*job: object) -> dataset.Rows:
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

    monkeypatch.setattr(dataset, "tqdm", stopped_bar)
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


