"""The synthetic CT: its solids, its scanner and its pictures; geometry by hand."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from unet_helpers import phantom
from unet_helpers.phantom import dataset, organs, scanner, shapes, stones, tissues

FIGURES = {  # by version: patient 4 of the set with seed 0
    3: {
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


def hard(hu: float) -> list[tissues.Coat]:
    """One coat with an edge as sharp as a pixel."""
    return [tissues.Coat(hu, tissues.Layer(tissues.MUSCLE, soft_mm=0))]


def smooth(size: int) -> scanner.Grains:
    return {"mid": np.zeros((size, size), np.float32)}


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
    image = np.zeros((64, 64), np.float32)
    wall = shapes.solid((-98, 0, 32), 1, (100, 1e4, 1e4))  # ends at x = 2, so that column 2 is half covered
    scanner.paint(image, scanner.Grid(x, 0.0, z, 1.0), wall, hard(100.0), smooth(64))
    assert image[:, :5] == pytest.approx(np.tile([100, 100, 50, 0, 0], (64, 1)), abs=1.5)


@pytest.mark.parametrize("size", [64, 97, 256])
def test_painting_looks_everywhere_the_solid_is(size: int) -> None:
    """The first look at some pixels must not lose a part of a small or thin solid."""
    patient = straight_patient()
    grid = scanner.make_grid(patient, 0.0, size)
    for shape in (shapes.solid((41, 0, -77), 3), shapes.solid([(-100, 0, 90), (100, 0, -90)], 2)):
        image = np.zeros((size, size), np.float32)
        scanner.paint(image, grid, shape, hard(1.0), smooth(size))
        assert np.array_equal(image > 0.5, shape(grid.x, 0.0, grid.z) > 0)


# --- scanner


def test_window_by_hand() -> None:
    image_hu = np.float32([[-1000, -160, 40, 240, 3000]])
    assert phantom.window(image_hu, 40, 400).tolist() == [[0, 0, 128, 255, 255]]
    with pytest.raises(ValueError, match="width must be positive, got 0"):
        phantom.window(image_hu, 40, 0)


def water(hu: float, size: int = 256) -> np.ndarray:
    return np.full((size, size), hu, np.float32)


def scan(image_hu: np.ndarray, **traits: float) -> np.ndarray:
    """The scan, with pixels of 1 mm, of a patient with these traits."""
    patient = straight_patient()
    patient = patient._replace(traits=replace(patient.traits, **traits))
    return scanner.scan(image_hu, patient, 1.0, np.random.default_rng(0))


@pytest.mark.parametrize(("hu", "widths_of_water"), [(-1000, 0), (-500, 0.5), (0, 1), (400, 1.4)])
def test_noise_grows_with_the_root_of_what_the_rays_cross(hu: float, widths_of_water: float) -> None:
    noise = scan(water(hu), noise_hu=5.0, blur_mm=2.5) - hu
    assert noise.std() == pytest.approx(5.0 * widths_of_water**0.5, rel=0.01) and abs(noise.mean()) < 0.01


def test_an_edge_is_blurred_by_the_full_width_of_the_patient() -> None:
    """The slope of a blurred edge is the blur itself; its variance is (3.2 mm / 2.355) squared."""
    image = water(0.0)
    image[:, 128:] = 100
    slope = np.diff(scan(image, noise_hu=0.0, blur_mm=3.2)[100]) / 100
    distance = np.arange(len(slope)) - 127
    assert slope.sum() == pytest.approx(1, abs=1e-4)
    assert (slope * distance**2).sum() ** 0.5 == pytest.approx(3.2 / 2.355, rel=0.02)


def test_what_is_dense_throws_streaks_along_its_rows() -> None:
    image = water(0.0)
    image[100:110, 100:110] = 2500
    off = np.abs(scan(image, noise_hu=0.0, blur_mm=2.2))
    assert off[101:109, 70:90].max(1).min() > 1 and off[130:, :].max() == off[:80, :].max() == 0


@pytest.mark.parametrize(("hu", "n_deviations"), [(230.0, 0.0), (1080.0, 1.28)])
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


def test_a_turned_patient_is_turned_in_the_picture_and_leaves_black_wedges() -> None:
    """By 0.15 radians: what lies 40 mm to the right of the body's middle moves up by 40 sin(0.15) mm."""
    patient = straight_patient((shapes.solid((40, 0, 0), 6), 230.0))
    patient = patient._replace(traits=replace(patient.traits, tilt=0.15, noise_hu=0.0))
    cut = phantom.render(patient, 0.0)
    (stone,) = cut.stones
    assert (stone.column - 127.5) * cut.spacing_mm == pytest.approx(40 * np.cos(0.15), abs=0.2)
    assert (stone.row - 127.5) * cut.spacing_mm == pytest.approx(-40 * np.sin(0.15), abs=0.2)
    x = scanner.make_grid(patient, 0.0, 256).x
    assert (x[[0, 0, -1, -1], [0, -1, 0, -1]] == scanner.FAR_MM).all() and np.abs(x[128]).max() < 200


def test_a_stone_is_as_grainy_as_it_is_dense() -> None:
    """Where the fine texture is 1, one standard deviation, a stone of 500 HU shows 6 % more."""
    patient, image_hu = straight_patient((shapes.solid((0, 0, 0), 8), 500.0)), water(30.0)
    grains: scanner.Grains = {"fine": np.ones((256, 256), np.float32)}
    scanner.add_stones(image_hu, patient, scanner.make_grid(patient, 0.0, 256), grains)
    assert image_hu[128, 128] == pytest.approx(530, abs=0.1) and image_hu[128, 160] == 30


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


def test_a_stone_that_a_slice_cuts_twice_has_two_sections() -> None:
    """A horseshoe whose bend lies behind the slice: both ends are listed, each at its own place."""
    bent = shapes.solid([(-20, 0, 0), (-20, -15, 0), (20, -15, 0), (20, 0, 0)], 5)
    cut = phantom.render(straight_patient((bent, 800.0)), 0.0)
    assert ndimage.label(cut.mask, np.ones((3, 3)))[1] == 2
    assert [stone.stone for stone in cut.stones] == ["1-0", "1-0"]
    columns = [127.5 + x / cut.spacing_mm for x in (-20, 20)]
    assert sorted(stone.column for stone in cut.stones) == pytest.approx(columns, abs=0.5)


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


# --- a structure more


def test_a_gallstone_is_added_as_the_package_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The three lines of the package's own words, run as they stand there."""
    monkeypatch.setattr(tissues, "FILLINGS", dict(tissues.FILLINGS))
    monkeypatch.setattr(organs, "ABDOMEN", list(organs.ABDOMEN))
    lines = re.findall(r"^>>> (.+)$", phantom.__doc__, re.MULTILINE)
    assert len(lines) == 3
    exec("\n".join(lines), {})
    for seed in range(3):
        patient = phantom.make_patient(seed)
        (gallstone,) = [part for part in patient.parts if part.name == "gallstone"]
        hu = patient.coats["gallstone"][0].hu
        assert 80 <= hu <= 250
        depth_mm = float(gallstone.path[0, 1])
        grid = scanner.make_grid(patient, depth_mm, 256)
        inside = gallstone.solid(grid.x, depth_mm, grid.z) > 2
        shown = phantom.render(patient, depth_mm).image_hu[inside]
        assert len(shown) > 5 and shown.mean() == pytest.approx(hu, abs=20)
