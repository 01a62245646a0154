"""One patient: what the tissues measure in Hounsfield units, where they lie, and the stones."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, log, pi, sin, tanh
from types import SimpleNamespace as Traits

import numpy as np

from unet_helpers.phantom.shapes import Layer, Shape, Vector, cut, ellipsoid, frame, grown, minus, tube, union
from unet_helpers.phantom.tables import LOOKALIKES, ORGANS, TRAITS, TUBES, VERTEBRA, WANDERERS

Part = tuple[str, Shape]  # name of a filling, and what it fills
FAR_MM = 400.0

@dataclass(frozen=True)
class SolidStone:
    """A stone in 3-D; location is "calyx", "pelvis", "ureter" or "staghorn"."""

    shape: Shape
    hu: float
    location: str


@dataclass(frozen=True)
class Patient:
    """A person on the table: traits, solids in painting order, stones; `waves` (n, 6) bend space."""

    seed: int
    traits: Traits
    waves: Vector  # rows: wave vector (3), phase, shift along x and z
    parts: list[tuple[Shape, tuple[Layer, ...]]]
    stones: list[SolidStone]


def make_patient(seed: int) -> Patient:
    """Draw a patient; the same seed gives the same patient."""
    r = np.random.default_rng([seed, 1])
    t = Traits(**{name: r.uniform(*limits) for name, limits in TRAITS.items()})
    t.fatness, t.spurs, t.mirrored = r.beta(1.4, 2.2), r.random() ** 2, r.random() < 0.3
    t.dye, t.tilt = r.uniform(10, 35) * (r.random() < 0.10), t.tilt * (r.random() < 0.45)
    t.skin, t.half, t.deep = 4 + 27 * t.fatness, t.girth + 30 * t.fatness, t.depth + 20 * t.fatness
    waves = []
    for length_mm, shift_mm, n in ((170, 7.0, 4), (75, 2.4, 5), (32, 0.6, 4)):
        k = r.normal(size=(n, 3))
        k *= 2 * pi / length_mm / np.linalg.norm(k, axis=1, keepdims=True)
        waves.append(np.c_[k, r.uniform(0, 2 * pi, n), r.normal(size=(n, 2)) * shift_mm / n**0.5])
    layers = fillings(r, t)
    parts = [(shape, layers[name]) for build in (trunk, tables, kidneys, spine_bones, other_bones, lookalikes)
             for name, shape in build(r, t)]
    n_stones = r.choice(6, p=[0.07, 0.31, 0.27, 0.18, 0.11, 0.06])
    stones = [stone for _ in range(n_stones) for stone in draw_stones(r, t.sites[r.integers(2)])]
    return Patient(seed, t, np.concatenate(waves), parts, stones)


def slice_depths(patient: Patient, n_slices: int) -> list[float]:
    """Depths in mm of n slices, back to front, most of them through a stone if the patient has one."""
    r = np.random.default_rng([patient.seed, 2])
    depths = r.uniform(-28, 36, n_slices)
    for i in np.flatnonzero(r.random(n_slices) < 0.65) if patient.stones else ():
        shape = patient.stones[r.integers(len(patient.stones))].shape
        depths[i] = shape.low[1] + (shape.high[1] - shape.low[1]) * r.uniform(0.2, 0.8)
    return sorted(np.round(depths, 2).tolist())


def fillings(r: np.random.Generator, t: Traits) -> dict[str, tuple[Layer, ...]]:
    """The patient's tissues as layers from the surface inwards, in Hounsfield units."""
    u, L, fat, wall, flank = r.uniform, Layer, t.fat, t.wall, r.uniform(13, 18)
    strip = [L(hu, t.skin + flank * at, 0.5, share, vary_hu=5) for at, hu, share in
             ((0, t.muscle, 1), (0.36, fat, 0.5), (0.43, t.muscle, 1), (0.7, fat, 0.4), (0.75, t.muscle, 1))]
    names = {name: (L(t.cortex), L(t.marrow * share, shell, 0.8, 1, "fine", 0.16 * t.marrow),
                    L(t.cortex, 4, 9, 0.25, "mid", 0, 1))
             for name, shell, share in (("vertebra", 2.0, 1.0), ("arch", 2.1, 1.2), ("bone", 2.0, 0.8))}
    names |= {
        "stool": (L(wall), L(u(-10, 30), 2.2, 0.5, 1, "fine", 25), L(-500, 3, 1, 0.7, "mid", 0, 1.3)),
        "gas": (L(wall), L(-940, 2), L(30, 2.4, 0, 1, "coarse", 0, 0.8)),
        "oral": (L(wall), L(u(180, 480), 2.4, 1, 1, "mid", 40)), "gut": (L(wall, 0, 1, 1, "mid", 7),),
        "fluid": (L(wall + 8, vary_hu=4), L(wall - 10, 2.6, 0.5, 1, "mid", 5), L(-700, 5, 0, 1, "mid", 0, 2)),
        "body": (L(20), L(fat, 2.2, vary_hu=5), L(fat + 60, 6, 1, 0.25, "streak", 0, 1.2), *strip),
        "abdomen": (L(t.muscle), L(fat + 8, 3, 1, 1, "coarse", 12), L(fat + 80, 3, 2, 0.25, "mid", 0, 0.7)),
        "lung": (L(-870, 0, 4, 1, "mid", 25),), "sinew": (L(t.muscle - 25, 0, 2, 1, "mid", 12),),
        "fat": (L(fat + 4, 0, 1.5, 1, "coarse", 8), L(fat + 80, 1, 2, 0.25, "mid", 0, 0.7)),
        "muscle": (L(t.muscle, 0, 0.5, 1, "mid", 3), L(-30, 2, 1, 0.25 + 0.4 * t.fatness, "streak", 0, 0.9)),
        "vessel": (L(t.blood + t.dye),), "faint": (L(t.blood + t.dye - 12, 0, 2, 0.7),), "metal": (L(2500),),
        "liver": (L(t.liver + 0.5 * t.dye, 0, 1, 1, "coarse", 2),), "bile": (L(36), L(u(2, 16), 2)),
        "spleen": (L(t.spleen + 0.6 * t.dye, 0, 1, 1, "coarse", 2),), "canal": (L(22, 0, 1),),
        "kidney": (L(t.kidney + t.dye, vary_hu=2), L(t.kidney - 3 + 0.7 * t.dye, 8, 4, 0.6, "coarse", 6)),
        "sinus": (L(fat + 25, 0, 1.5, 1, "mid", 18),), "water": (L(t.water),), "ureter": (L(32), L(14, 1.3)),
        "disc": (L(t.disc, vary_hu=4),), "cartilage": (L(u(120, 350), 0, 2, 1, "mid", 80),),
        "bright": (L(u(250, 1100)),), "pill": (L(u(250, 1200)),), "gallstone": (L(u(160, 600)),),
    }
    meal = L(u(80, 220), 3, 6, 1, "fine", 40) if r.random() < 0.25 else L(u(0, 50), 3, 1, 1, "fine", 18)
    names["stomach"] = (L(wall + 14), meal, L(-350, 5, 0, 0.8, "fine", 0, 1.7))
    names["colon"] = names[r.choice(["stool", "gas"], p=[0.7, 0.3])]
    names["snack"] = names[r.choice(["gas", "fluid", "oral"], p=[0.4, 0.4, 0.2])]
    return names


def spine(t: Traits, z: float, x: float = 0.0, y: float = 0.0) -> Vector:
    """Point beside the vertebral column at height z: the chest curves back, the loins forward."""
    return np.array([x + t.scoliosis * sin(z / 90 + t.spine_y), y + t.spine_y + t.lordosis * tanh(z / 90), z])


def trunk(r: np.random.Generator, t: Traits) -> Iterator[Part]:
    """Body wall, lungs, heart, and the abdomen under the two domes of the diaphragm."""
    body = ellipsoid((0, 22, 0), (t.half + t.skin, t.deep + t.skin, 9 * FAR_MM))
    cavity, heart = grown(body, -t.skin - 17), ellipsoid((22, 62, t.top - 28), (62, 48, 42), None, 0.08)
    domes = [tube([(side * 70, 22, t.top + 78 + lower), (side * 70, 22, FAR_MM)], 80, (1, 1.2, 0.95))
             for side, lower in ((-1, 0), (1, r.uniform(0, 16)))]
    crura = tube([spine(t, -60, 0, 16), spine(t, 0, 0, 14), spine(t, 200)], [8, 34, 60])
    column = tube([spine(t, z) for z in (-FAR_MM, -100, -60, 0)], (17, 18, 22, 28))
    gullet = tube([spine(t, z, 8, 26) for z in (-FAR_MM, -110, -30)], 13)
    below = cut(cavity, union(*domes, crura))
    t.abdomen = grown(below, -2)
    lungs = minus(cavity, union(*domes, crura, column, gullet, grown(heart, 4)))
    yield from (("body", body), ("lung", lungs), ("vessel", heart), ("abdomen", below))


def tables(r: np.random.Generator, t: Traits) -> Iterator[Part]:
    """Everything the tables describe, each a little different from patient to patient."""
    for name, centre, radii, axis, uneven in ORGANS:
        middle = np.add(centre, (0, 0, t.breath)) + r.normal(size=3) * 4
        axes = frame(axis + r.normal(size=3) * 0.08)
        yield name, cut(ellipsoid(middle, radii * r.uniform(0.86, 1.14, 3), axes, uneven), t.abdomen)
    for name, sides, sway, folds, *rows in TUBES:
        for side in (1, -1)[:sides]:
            along = np.cumsum([0, *np.linalg.norm(np.diff(rows, axis=0), axis=1)])
            steps = np.arange(0, along[-1], 9) if folds else along
            x, y, z, radius = (np.interp(steps, along, column) for column in np.transpose(rows))
            path = np.array([spine(t, c, side * a, b) for a, b, c in zip(x, y, z, strict=True)])
            path += np.cumsum(r.normal(size=path.shape), axis=0) * sway + r.normal(size=3) * 2 * sway
            bulge = 1 + folds * np.cos(np.arange(len(steps)) * 2.1 + r.uniform(0, 6))
            yield name, tube(path, radius * r.uniform(0.88, 1.12) * bulge)
    for name, most, low, high, n, step_mm, turning, radius, end in WANDERERS:
        for _ in range(r.integers(most // 2, most + 1)):
            way = np.cumsum(r.normal(size=(n, 3)) * turning, axis=0) + frame(r.normal(size=3))[0]
            path = np.cumsum(way / np.linalg.norm(way, axis=1, keepdims=True), axis=0) * step_mm
            yield name, tube(path + r.uniform(low, high), r.uniform(*radius) * np.linspace(1, end, n))


def kidneys(r: np.random.Generator, t: Traits) -> Iterator[Part]:
    """Kidneys with fat, vessels and sinus; leaves in `t.sites` where stones may lie."""
    u, t.sites = r.uniform, []
    for side in (-1, 1):
        size = np.array([u(25, 31), u(23, 28), u(48, 58)])
        axes = frame((side * u(0.12, 0.42), u(0.05, 0.25), 1), (side * u(-0.7, -0.2), 1, 0))
        centre = np.array([side * (u(57, 66) + 6 * t.fatness), u(-14, 4), u(2, 20) - 8 * (side > 0)])
        inner = ((1.05, 3, 0), (0.42, 0, 2), (0.85, 1, 1), (0.30, 0, 0), (0.15, -2, 6))
        hilum, pelvis, mouth, middle, fat = centre + np.array(inner) * (-side * size[0], 1, 1) @ axes
        rough = u(0.5, 0.9) + 0.25 * t.fatness
        yield "fat", cut(ellipsoid(fat, size + 1 + u(0, 4) + 9 * t.fatness, axes, 0.05), t.abdomen)
        for x, radius, down in ((9, 2.6, -12), (-15, 4.4, -4)):    # artery and vein
            root = spine(t, centre[2] + down, x, 24)
            bow = (root + hilum) / 2 + r.normal(size=3) * 4
            yield "vessel", tube([root, bow, hilum, pelvis], np.array([1, 1, 1, 0.4]) * radius)
        yield "kidney", ellipsoid(centre, size, axes, 0.05)
        yield "sinus", ellipsoid(mouth, size * (0.42, 0.5, 0.34 * rough), axes, 0.1)
        yield "sinus", ellipsoid(middle, size * (0.36, 0.42, 0.52) * rough, axes, 0.25)
        yield from drainage(r, t, side, centre, size, axes, pelvis, rough)
        if r.random() < 0.2:                                       # a cyst
            yield "water", ellipsoid(centre + size * frame(r.normal(size=3))[2] @ axes, np.full(3, u(5, 20)))


def drainage(r: np.random.Generator, t: Traits, side: int, centre: Vector, size: Vector, axes: Vector,
             pelvis: Vector, rough: float) -> Iterator[Part]:
    """Calyces, each with sinus fat and a vessel beside it, the renal pelvis and the ureter."""
    swollen = abs(r.normal(0, 0.7)) * (r.random() < 0.35)
    rows = [(r.uniform(-0.34, 0.01), front * r.uniform(3, 10), down * size[2] + r.uniform(-4, 4))
            for down in np.linspace(-0.62, 0.62, r.integers(5, 8)) for front in (-1, 1)]
    tips = centre + np.array(rows) * (-side * size[0], 1, 1) @ axes
    for tip in tips:
        path = np.array([pelvis, pelvis * 0.45 + tip * 0.55 + r.normal(size=3) * 2.5, tip])
        yield "sinus", tube(path, np.array([6, 4.2, 3]) * r.uniform(0.6, 1.1) * (0.5 + 0.6 * rough))
        yield "vessel", tube(path + r.normal(size=(3, 3)) * 3, (1.5, 1.2, 0.7))
        yield "water", tube(path, np.array([1.4, 1.1, 1.7]) + swollen * np.array([3, 3.5, 6]))
    yield "water", ellipsoid(pelvis, np.array([4, 3.5, 6]) + swollen * 7, axes)
    start = pelvis + np.array([(-side * 14, 4, 12), (-side * 21, 6, 24)]) @ axes
    ureter = [pelvis, *start, *(np.array([side * 37, spine(t, z)[1] + 16, z]) + r.normal(size=3) * 1.5
                                for z in np.arange(start[1][2] + 16, 200, 18))]
    yield "ureter", tube(ureter, 2.4 + swollen)
    t.sites.append({"calyx": tips, "pelvis": pelvis[None], "ureter": np.array(ureter)[:8]})


def draw_stones(r: np.random.Generator, sites: dict[str, Vector]) -> Iterator[SolidStone]:
    """A stone somewhere in a kidney's collecting system, in a calyx sometimes with smaller neighbours."""
    kind = str(r.choice(["calyx", "pelvis", "ureter", "staghorn"], p=[0.60, 0.19, 0.15, 0.06]))
    hu = r.uniform(220, 1450)
    if kind == "staghorn":
        pelvis, tips = sites["pelvis"][0], r.permutation(sites["calyx"])[:r.integers(2, 6)]
        arms = [tube([pelvis, tip + r.normal(size=3) * 2], r.uniform(3, 6.5, 2)) for tip in tips]
        yield SolidStone(union(*arms, ellipsoid(pelvis, r.uniform(6, 11, 3))), hu, kind)
        return
    size = np.clip(np.exp(r.normal(log(4.4), 0.75)), 2, {"calyx": 17, "pelvis": 24, "ureter": 9}[kind])
    lower = int(len(sites[kind]) * (1 - r.random() ** 1.4) * 0.999)
    centre = sites[kind][lower] + r.normal(size=3) * 1.2
    while True:
        radii = size / 2 * r.uniform(0.75, 1.25, 3)
        yield SolidStone(ellipsoid(centre, radii, frame(r.normal(size=3)), 0.16), hu, kind)
        if kind != "calyx" or r.random() > 0.25:
            return
        centre, size = centre + r.normal(size=3) * 0.8 * size, max(2.0, size * r.uniform(0.3, 0.7))


def spine_bones(r: np.random.Generator, t: Traits) -> Iterator[Part]:
    """Vertebrae with end plates, spurs, arches and processes, the discs between them and the spinal canal."""
    z = -310.0
    while z < 220:
        height, grow = 25 + 9 / (1 + np.exp(-(z + 20) / 40)), 0.72 + 0.28 / (1 + np.exp(-(z + 60) / 60))
        wide, deep, half = 24 * grow, 17 * grow, 0.40 * height
        centre, axes = spine(t, z), frame(spine(t, z + 8) - spine(t, z - 8) + r.normal(size=3) * 0.5)
        for path, radius in VERTEBRA:
            for side in (-1, 1):
                yield "arch", tube(centre + np.array(path) * (side * grow, grow, 1) @ axes, radius * grow)
        yield "arch", ellipsoid(centre + (0, -56, 10) @ axes, (3.4, 13, 9), axes)
        yield "canal", tube([centre + (0, -deep - 9, down) @ axes for down in (-20, 20)], 9 * grow)
        rim = (wide * (1.09 + 0.16 * t.spurs), deep * 1.08, 3.2)
        plates = [ellipsoid(centre + end * 0.86 * half * axes[2], rim, axes) for end in (-1, 1)]
        yield "disc", ellipsoid(centre + axes[2] * height / 2, (wide - 1, deep - 1, 0.17 * height), axes)
        body = union(ellipsoid(centre, (wide, deep, 4 * half), axes), *plates)
        yield "vertebra", cut(body, ellipsoid(centre, (300, 300, half), axes))
        z += height


def other_bones(r: np.random.Generator, t: Traits) -> Iterator[Part]:
    """Ribs with their cartilage, and the wings of the hip bone between their muscles."""
    for side in (-1, 1):
        for i, stop in enumerate((2.5, 2.5, 2.5, 2.5, 2.5, 2.3, 1.7, 1.1)):
            head, angles = -230 + 27 * i + r.uniform(-2, 2), np.linspace(0.18, stop, 14)
            path = np.c_[side * (t.half - 3) * np.sin(angles), 22 - (t.deep - 3) * np.cos(angles),
                         head + 42 * (1 - np.cos(angles)) * (1 - 0.2 * angles)]
            yield "bone", tube(path, 5.8, (0.66, 0.75, 1.1))
            yield "cartilage", tube(path[-2:], 4, (0.6, 0.7, 1))
        hip, axes = np.array([side * r.uniform(106, 114), 0, 182]), frame((side * 0.7, 0.1, -1))
        for name, aside, width in (("muscle", -20, 20), ("muscle", 22, 20), ("bone", 0, 8)):
            yield name, ellipsoid(hip + (aside * side, 0, 0), (width, 62, 70), axes, 0.05)


def lookalikes(r: np.random.Generator, t: Traits) -> Iterator[Part]:
    """Bright things that are no stones: those of the table, and plaques in the wall of the aorta."""
    spots = [(name, r.uniform(low, high), r.uniform(*radius))
             for name, share, most, low, high, radius in LOOKALIKES
             for _ in range(r.integers(1, most + 1) * (r.random() < share))]
    for angle in r.uniform(0, 2 * pi, r.integers(2, 14) * (r.random() < 0.5)):
        wall = spine(t, r.uniform(-140, 105), 9 + 9.5 * cos(angle), 27 + 9.5 * sin(angle))
        spots.append(("bright", wall, r.uniform(1, 2.5)))
    for name, centre, radius in spots:
        yield name, ellipsoid(centre, radius * r.uniform(0.6, 1.3, 3), frame(r.normal(size=3)))
