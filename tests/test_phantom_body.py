"""The bodies of the synthetic CT: tissues, organs, stones in three dimensions, and where they are cut."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from unet_helpers import phantom
from unet_helpers.phantom import anatomy, dataset, organs, scanner, shapes, space, stones, tissues
from unet_helpers.phantom import patient as patient_module


@cache
def patient_of(seed: int) -> phantom.Patient:
    return phantom.make_patient(seed)


@cache
def patient_of_default_set(index: int) -> phantom.Patient:
    return dataset.patient_of_set(index, 0)


# --- tissues


SOFT = (15, 80)  # HU of what is neither fat nor water, air nor bone
TEXTBOOK_HU = {
    **dict.fromkeys([tissues.FAT, tissues.SINUS_FAT], (-120, -60)),
    **dict.fromkeys([tissues.SEPTA, tissues.STRANDS, tissues.MARBLING], (-60, 0)),  # fat and fibres, mixed
    tissues.WATER: (-5, 20),
    **dict.fromkeys([tissues.MUSCLE, tissues.LIVER, tissues.SPLEEN, tissues.BLOOD], (30, 75)),
    **dict.fromkeys([tissues.CORTEX, tissues.MEDULLA], (25, 50)),  # without a contrast agent
    **dict.fromkeys([tissues.WALL, tissues.FOLDS, tissues.BOWEL_FLUID], SOFT),
    tissues.SKIN: (0, 80),
    tissues.DISC: (60, 130),
    **dict.fromkeys([tissues.FOOD, tissues.STOOL], (-20, 60)),
    **dict.fromkeys([tissues.FOOD_AIR, tissues.STOOL_GAS, tissues.BOWEL_GAS], (-900, -200)),
    tissues.GAS: (-1000, -900),
    tissues.LUNG: (-900, -700),
    tissues.ORAL_CONTRAST: (50, 400),
    **dict.fromkeys([tissues.SPONGY_BONE, tissues.SPONGY_RIB], (100, 450)),
    **dict.fromkeys([tissues.DENSE_BONE, tissues.CHALK, tissues.STOOL_GRAINS], (200, 1500)),
    tissues.METAL: (2000, 3100),
}


def test_every_tissue_measures_what_textbooks_say() -> None:
    used = {layer.tissue for layers in tissues.FILLINGS.values() for layer in layers}
    assert used == set(TEXTBOOK_HU)
    for tissue, (low, high) in TEXTBOOK_HU.items():
        assert low <= tissue.low_hu < tissue.high_hu <= high, tissue


def test_a_person_has_one_number_for_a_tissue_and_another_person_another() -> None:
    coats, others = (tissues.draw_coats(np.random.default_rng(seed), 0.0) for seed in (0, 1))
    found: dict[tissues.Tissue, set[float]] = {}
    for name in tissues.FILLINGS:
        assert [coat.layer for coat in coats[name]] == tissues.FILLINGS[name]
        for hu, layer in coats[name]:
            assert layer.tissue.low_hu <= hu <= layer.tissue.high_hu
            found.setdefault(layer.tissue, set()).add(hu)
    assert {len(values) for values in found.values()} == {1}
    assert coats["liver"][0].hu != others["liver"][0].hu


def test_a_dye_brightens_blood_most_then_kidney_spleen_and_liver() -> None:
    without, dyed = (tissues.draw_coats(np.random.default_rng(0), hu) for hu in (0.0, 100.0))
    rise = {name: round(dyed[name][0].hu - coats[0].hu, 6) for name, coats in without.items()}
    assert {name: hu for name, hu in rise.items() if hu} == {
        "blood": 100,
        "kidney": 90,
        "spleen": 60,
        "liver": 50,
    }


def test_every_organ_has_a_filling_and_every_stone_an_organ() -> None:
    tables = (organs.CHEST, organs.ABDOMEN, organs.KIDNEY, organs.VERTEBRA, organs.HIPS, organs.LOOK_ALIKES)
    fillings = {organ.filling for table in tables for organ in table}
    assert fillings <= tissues.FILLINGS.keys() | tissues.CHOICES.keys()
    for options in tissues.CHOICES.values():
        assert set(options) <= tissues.FILLINGS.keys()
    assert {kind.location for kind in stones.KINDS} <= {organ.name for organ in organs.KIDNEY}


def test_urine_that_is_held_back_swells_what_holds_it_alone() -> None:
    """A ball of 4 mm is one of 12 mm where the tract swells threefold, seen from its middle."""
    rng, traits, mirror = np.random.default_rng(0), patient_of(1).traits, np.array([1, 1, 1])
    for swells, radius_mm in ((False, 4), (True, 12)):
        ball = organs.Ball((0, 0, 0), 4, uneven=0, sway_mm=0)
        organ = organs.Organ("a ball", "calyx", ball, vary=0, swells=swells)
        part = anatomy.build_organ(rng, traits, organ, anatomy.Place(np.zeros(3), swelling=3), mirror)
        depth = part.solid(np.zeros((1, 1)), 0.0, np.zeros((1, 1)))
        assert depth.item() == pytest.approx(radius_mm, abs=0.02)


def test_a_picture_shows_the_hu_that_a_patient_has() -> None:
    """Where nothing else is painted over an organ, the median of its pixels is its own HU."""
    for seed in range(3):
        patient = patient_of(seed)
        for name, depth_mm, coat, tolerance_hu in (
            ("right lobe of the liver", 20.0, 0, 2),
            ("spleen", 0.0, 0, 2),
            ("heart", 90.0, 0, 2),
            ("muscles of the back", -50.0, 0, 5),  # marbled with fat
            ("lungs", 10.0, 1, 15),  # below a thin wall
        ):
            part = next(part for part in patient.parts if part.name == name)
            grid = scanner.make_grid(patient, depth_mm, 128)
            only = part.solid(grid.x, depth_mm, grid.z) > 6
            for later in patient.parts[patient.parts.index(part) + 1 :]:
                if later.filling != part.filling:
                    only &= later.solid(grid.x, depth_mm, grid.z) < -4
            shown = phantom.render(patient, depth_mm, 128).image_hu[only]
            assert len(shown) > 20, (seed, name)
            own_hu = patient.coats[part.filling][coat].hu
            assert np.median(shown) == pytest.approx(own_hu, abs=tolerance_hu), (seed, name)


# --- slices


def test_slice_depths_repeat_and_are_sorted() -> None:
    patient = patient_of(4)
    depths = phantom.slice_depths(patient, 12)
    assert depths == phantom.slice_depths(patient, 12) == sorted(depths) and len(depths) == 12


@pytest.mark.parametrize("n_slices", [1, 2, 8, 32, 33, 60, 96])
def test_neighbouring_slices_are_2_mm_apart(n_slices: int) -> None:
    for seed in range(12):
        patient = patient_of(seed)
        depths = phantom.slice_depths(patient, n_slices)
        assert len(depths) == n_slices and np.diff(depths).min(initial=2) > 1.999
        assert min(depths) >= -74 and max(depths) <= 118
        if n_slices <= 32:
            assert min(depths) >= -28 and max(depths) <= 36


@pytest.mark.parametrize("n_slices", [0, 97, 1000])
def test_more_slices_than_fit_into_a_body_are_refused(n_slices: int) -> None:
    with pytest.raises(ValueError, match=f"n_slices must be 1 to 96, got {n_slices}. Slices are 2 mm apart"):
        phantom.slice_depths(patient_of(0), n_slices)


def test_the_first_and_the_last_of_all_slices_show_a_body() -> None:
    for seed in range(4):
        patient = patient_of(seed)
        for depth_mm in (-73.0, 117.0):
            assert (phantom.render(patient, depth_mm, 64).image_hu > -200).mean() > 0.03


def test_most_slices_of_most_patients_go_through_a_stone() -> None:
    shares = []
    for patient in map(patient_of, range(24)):
        depths = phantom.slice_depths(patient, 8)
        shares.append(
            np.mean([any(s.size.back_mm < mm < s.size.front_mm for s in patient.stones) for mm in depths])
        )
    assert 0.55 <= np.mean(shares) <= 0.75 and np.median(shares) > 0.6


# --- stones in three dimensions


def flat(**changes: object) -> space.Traits:
    """Traits of a patient who is turned, but not bent."""
    return replace(patient_of(1).traits, waist=0.0, waves=np.zeros((1, 6)), **changes)


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
    for traits in map(patient_module.draw_traits, [r] * 30):
        points = r.uniform(-90, 90, (50, 3))
        x, z = space.in_body(traits, *points.T)
        back = space.in_picture(traits, np.column_stack([x, points[:, 1], z]))
        assert back == pytest.approx(points, abs=0.05)


def test_a_grid_is_the_body_seen_from_the_picture() -> None:
    patient = patient_of(5)
    x, _, z, pixel_mm = scanner.make_grid(patient, 7.0, 64)
    row, column = 20, 41
    down, right = (np.array([(at - 31.5) * pixel_mm]) for at in (row, column))
    there = space.in_body(patient.traits, right, 7.0, down)
    assert (x[row, column], z[row, column]) == pytest.approx([float(v[0]) for v in there], abs=1e-3)


# --- the patients of a set


def column_of(patient: phantom.Patient, shape: shapes.Solid) -> float:
    """Mean column of all pixels that a solid covers, in all slices; -1 is the picture's left, 1 its right."""
    columns: list[int] = []
    for depth_mm in range(-40, 120, 16):
        x, y, z, _ = scanner.make_grid(patient, float(depth_mm), 64)
        columns += np.nonzero(shape(x, y, z) > 0)[1].tolist()
    return float(np.mean(columns)) / 31.5 - 1


def solid_of(patient: phantom.Patient, name: str) -> shapes.Solid:
    return next(part.solid for part in patient.parts if part.name == name)


def test_nobody_is_mirrored() -> None:
    """Liver on the picture's left, spleen and heart on its right, aorta a little right of the vena cava."""
    for seed in range(24):
        patient = patient_of(seed)
        names = ("right lobe of the liver", "vena cava", "aorta", "heart", "spleen")
        at = {name.split()[-1]: column_of(patient, solid_of(patient, name)) for name in names}
        assert at["liver"] < at["cava"] - 0.1 < at["aorta"] + 0.3 < at["spleen"], (seed, at)
        assert at["cava"] + 0.05 < at["aorta"] < at["cava"] + 0.4, (seed, at)
        assert at["heart"] > at["cava"] + 0.1, (seed, at)


def test_the_picture_shows_the_liver_on_its_left() -> None:
    """Soft tissue above the middle: much on the left, where the liver is, and less on the right."""
    shares = []
    for patient in map(patient_of, range(16)):
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
        rng = np.random.default_rng(seed)
        paths: stones.Paths = {}
        for part in anatomy.build_body(rng, patient_module.draw_traits(rng)):
            paths.setdefault(part.name, []).append(part.path)
        axis = stones.draw_staghorn(rng, paths, 1.0).path[:, 0]
        assert len(axis) == 16 and len(set(np.sign(axis))) == 1
        sides.add(float(np.sign(axis[0])))
    assert sides == {-1.0, 1.0}


def test_patients_of_a_set_have_the_staghorns_they_should_and_others_some() -> None:
    for index in range(12):
        locations = {stone.location for stone in patient_of_default_set(index).stones}
        assert ("staghorn" in locations) == (dataset.staghorn_size(index, 0) > 0)
    n_by_chance = sum("staghorn" in {s.location for s in patient_of(seed).stones} for seed in range(24))
    assert 1 <= n_by_chance <= 9  # 4 are expected


def test_large_stones_are_common() -> None:
    """So that 10 patients, the validation part of 96, lack a stone of 10 mm in less than 1 of 100 draws."""
    large = [
        any(stone.size.diameter_mm >= 10 for stone in patient_of_default_set(index).stones)
        for index in range(36)
    ]
    assert (1 - np.mean(large)) ** 10 < 0.01


# --- where stones lie


def lines(*starts: float) -> list[np.ndarray]:
    """Axes of four points, 10 mm apart, that run along x at these heights."""
    return [np.array([(10.0 * i, 0.0, z) for i in range(4)]) for z in starts]


def test_stones_lie_at_the_end_of_a_calyx_in_a_pelvis_or_on_the_way_down_a_ureter() -> None:
    paths = {"calyx": lines(0, 100), "pelvis": [np.array([(0.0, 0.0, 200.0)])], "ureter": lines(300)}
    may_be = {
        "calyx": [(30, 0, 0), (30, 0, 100)],
        "pelvis": [(0, 0, 200)],
        "ureter": [(10, 0, 300), (20, 0, 300), (30, 0, 300)],
    }
    rng, met = np.random.default_rng(0), set()
    for _ in range(200):
        first, *_ = stones.draw_single(rng, paths)
        distances = np.linalg.norm(np.array(may_be[first.location]) - first.path, axis=1)
        assert distances.min() < 6  # 1.2 mm of chance along each axis
        met.add((first.location, int(distances.argmin())))
    assert len(met) == 6


def test_every_stone_of_a_patient_lies_in_the_urinary_tract() -> None:
    """At the depth of its middle, a stone comes within 4 mm of a calyx, a pelvis or a ureter."""
    x, z = np.meshgrid(
        np.arange(-180.0, 180), np.arange(-120.0, 320)
    )  # of the body; some lie below the picture
    for patient in (*map(patient_of, range(12)), phantom.make_patient(0, 0.3), phantom.make_patient(1, 1.0)):
        tract = [part.solid for part in patient.parts if part.name in ("calyx", "pelvis", "ureter")]
        first = {stone.hu: stone for stone in reversed(patient.stones)}  # neighbours are of the same HU
        for stone in first.values():
            depth_mm = (stone.size.back_mm + stone.size.front_mm) / 2
            near = stone.shape(x, depth_mm, z) > -0.7
            depths = [solid(x[near], depth_mm, z[near]) for solid in tract]
            assert near.any() and np.max(depths) > -4, (patient.seed, stone)
