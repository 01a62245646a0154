"""One patient: what the tissues measure in Hounsfield units, where they lie, and the stones."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, log, pi, sin, tanh
from types import SimpleNamespace as Traits

import numpy as np

from unet_helpers.phantom.shapes import Layer, Shape, Vector, both, either, ellipsoid, frame, grown, tube, without

Part = tuple[str, Shape]  # name of a filling, and what it fills
FAR_MM = 400.0
TRAITS = {  # every patient draws each between two limits: mm, radians, HU
    "spacing_mm": (0.98, 1.2), "centre_x": (-6, 6), "centre_z": (-14, 8), "tilt": (-0.15, 0.15), "level": (54, 66),
    "width": (335, 375), "noise_hu": (4, 10), "blur_mm": (1.7, 2.5), "girth": (136, 152), "depth": (92, 104),
    "scoliosis": (-7, 7), "lordosis": (22, 34), "spine_y": (-18, -4), "top": (-92, -70), "breath": (-10, 10),
    "fat": (-112, -98), "muscle": (44, 58), "blood": (38, 50), "wall": (30, 44), "liver": (44, 64), "spleen": (44, 54),
    "kidney": (27, 38), "water": (0, 14), "disc": (75, 110), "marrow": (130, 300), "cortex": (450, 900),
}
ORGANS = (  # filling, centre, radii, long axis, unevenness; z moves with the breath; all inside the abdomen
    ("stomach", (50, 38, -28), (36, 36, 30), (0.6, 0, 1), 0.10), ("gut", (20, 40, -8), (30, 22, 14), (1, 0, 0.3), 0.15),
    ("spleen", (106, -14, -32), (30, 48, 54), (0.45, 0.1, 1), 0.09),
    ("liver", (-80, 24, -18), (74, 92, 92), (-0.7, -0.1, 1), 0.07), ("liver", (-20, 62, -34), (74, 50, 44), (0, 0, 1), 0.1),
    ("bile", (-56, 44, 10), (13, 20, 22), (0.4, 0.4, 1), 0.05),
    ("vessel", (-48, 8, -30), (5, 9, 11), (-0.3, 0, 1), 0.3), ("vessel", (52, 0, -26), (5, 9, 12), (0.5, 0, 1), 0.3),
)
TUBES = (  # filling, sides, sway in mm, folds, then (x, y, z, radius) along it, x and y counted from the spine
    ("muscle", 2, 1, 0, (22, 2, -40, 5), (32, -2, 10, 14), (42, -4, 60, 22), (54, 2, 115, 27), (74, 18, 190, 27)),  # psoas
    ("muscle", 2, 1, 0, (58, -34, -40, 8), (68, -40, 30, 15), (84, -50, 110, 17)),                             # quadratus
    ("muscle", 2, 1, 0, (30, -54, -300, 30), (30, -50, -60, 31), (33, -52, 60, 34), (33, -56, 300, 34)),       # back
    ("sinew", 1, 0, 0, (0, -42, -300, 9), (0, -46, 0, 11), (0, -46, 300, 11)),
    ("vessel", 1, 1, 0.02, (9, 27, -220, 9.5), (9, 27, 105, 9.5)), ("vessel", 1, 1, 0.02, (-17, 25, -70, 10), (-15, 24, 106, 9)),
    ("vessel", 2, 1, 0, (9, 25, 104, 7), (32, 18, 135, 6), (64, 10, 195, 6)), ("vessel", 2, 1, 0, (33, 16, 20, 1.4), (36, 18, 200, 1.4)),
    ("vessel", 1, 2, 0, (-34, 40, -40, 7), (-6, 38, -10, 6), (4, 44, 30, 5), (2, 48, 90, 4)),                   # portal vein
    ("gut", 1, 2, 0, (-30, 32, 14, 11), (0, 36, -4, 9), (46, 24, -14, 9), (84, 4, -26, 7)),                    # pancreas
    ("gut", 1, 2, 0, (-32, 34, -6, 12), (-40, 26, 20, 13), (-30, 26, 46, 12), (20, 30, 44, 10)),               # duodenum
    ("colon", 1, 1.5, 0.16, (-108, 4, 25, 17), (-112, -6, 215, 18)), ("colon", 1, 1.5, 0.16, (112, 0, -10, 15), (110, -10, 215, 14)),
    ("colon", 1, 2, 0.16, (-100, 40, 30, 15), (0, 52, 55, 16), (100, 36, -5, 15)),
)
WANDERERS = (  # filling, how many, low and high corner of the start, points, mm a step, turning, radius from .. to
    ("vessel", 24, (-90, -50, -190), (90, 40, -100), 3, 9, 0.5, (1, 3), 0.4), ("faint", 8, (-95, 0, -55), (-40, 50, 10), 4, 11, 0.4, (3, 4), 0.3),
    ("vessel", 32, (-90, -25, -40), (90, 60, 150), 5, 10, 0.3, (1.2, 2.6), 0.5), ("fluid", 20, (-85, 12, 20), (85, 70, 170), 6, 8, 0.45, (8, 13), 1),
    ("snack", 4, (-85, 12, 20), (85, 70, 170), 6, 8, 0.45, (8, 13), 1),
)
VERTEBRA = (  # (x, y, z) along the arch and radius: pedicle, transverse process, joints, lamina
    (((14, -13, -5), (16, -30, -5)), 5.5), (((16, -27, -5), (42, -34, -3)), 4.2),
    (((15, -31, -16), (18, -34, -2), (13, -37, 16)), 6.5), (((12, -34, 4), (1, -44, 10)), 4.0),
)
LOOKALIKES = (  # bright, and no stones: share of patients, at most, low and high corner of where, radius in mm
    ("bright", 0.6, 7, (-72, -20, 100), (72, 25, 190), (1.2, 3.2)), ("bright", 0.25, 3, (-125, -25, -90), (-40, 30, -5), (1.2, 3.5)),
    ("bright", 0.15, 3, (90, -25, -70), (120, 20, -15), (1.2, 3)), ("bright", 0.3, 4, (-60, 0, 10), (60, 40, 120), (1.5, 4.5)),
    ("gallstone", 0.2, 5, (-62, 34, 4), (-50, 48, 18), (1.5, 6)), ("metal", 0.12, 5, (-70, 0, -25), (70, 25, 15), (0.9, 2.2)),
    ("bright", 0.3, 4, (-50, 0, -20), (50, 20, 20), (0.9, 2)), ("pill", 0.3, 2, (-118, -20, 20), (-98, 15, 130), (2, 4.5)),
    ("pill", 0.3, 2, (98, -20, 0), (118, 15, 130), (2, 4.5)),
)  # phleboliths, granulomas of liver and spleen, lymph nodes, gallstones, clips, renal arteries, pills in the colon


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
    t.fatness, t.dye, t.mirrored, t.spurs = r.beta(1.6, 1.8), r.uniform(60, 120) * (r.random() < 0.06), r.random() < 0.3, r.random() ** 2
    t.tilt *= r.random() < 0.45
    t.skin, t.half, t.deep = 4 + 27 * t.fatness, t.girth + 30 * t.fatness, t.depth + 20 * t.fatness
    waves = []
    for length, shift, n in ((170, 7.0, 4), (70, 2.6, 5), (28, 0.9, 5)):
        k = r.normal(size=(n, 3))
        k *= 2 * pi / length / np.linalg.norm(k, axis=1, keepdims=True)
        waves.append(np.c_[k, r.uniform(0, 2 * pi, n), r.normal(size=(n, 2)) * shift / n**0.5])
    layers = fillings(r, t)
    parts = [(shape, layers[name]) for build in (trunk, tables, kidneys, spine_bones, other_bones, lookalikes)
             for name, shape in build(r, t)]
    n_stones = r.choice(6, p=[0.07, 0.31, 0.27, 0.18, 0.11, 0.06])
    stones = [stone for _ in range(n_stones) for stone in draw_stones(r, t.sites[r.integers(2)])]
    return Patient(seed, t, np.concatenate(waves), parts, stones)


def slice_depths(patient: Patient, n_slices: int) -> list[float]:
    """Depths in mm of n slices, back to front, most of them through a stone if the patient has one."""
    r = np.random.default_rng([patient.seed, 2])
    depths = r.uniform(-30, 25, n_slices)
    for i in np.flatnonzero(r.random(n_slices) < 0.7) if patient.stones else ():
        shape = patient.stones[r.integers(len(patient.stones))].shape
        depths[i] = shape.low[1] + (shape.high[1] - shape.low[1]) * r.uniform(0.2, 0.8)
    return sorted(np.round(depths, 2).tolist())


def fillings(r: np.random.Generator, t: Traits) -> dict[str, tuple[Layer, ...]]:
    """The patient's tissues as layers from the surface inwards, in Hounsfield units."""
    u, L, fat, wall, flank, blood = r.uniform, Layer, t.fat, t.wall, r.uniform(13, 18), t.blood + t.dye
    lines = [L(hu, t.skin + flank * at, 0.5, share, vary_hu=5) for at, hu, share in
             ((0, t.muscle, 1), (0.36, fat, 0.5), (0.43, t.muscle, 1), (0.7, fat, 0.4), (0.75, t.muscle, 1))]
    bone = {name: (L(t.cortex), L(t.marrow * share, shell, 0.8, 1, "fine", 0.12 * t.marrow), L(t.cortex, 4, 9, 0.25, "mid", 0, 1))
            for name, shell, share in (("vertebra", 1.2, 1.0), ("arch", 1.7, 1.2), ("bone", 1.5, 0.8))}
    food = L(u(80, 220), 3, 6, 1, "fine", 40) if r.random() < 0.25 else L(u(0, 50), 3, 1, 1, "fine", 18)
    insides = {
        "stool": (L(wall), L(u(-10, 30), 2.2, 0.5, 1, "fine", 25), L(-500, 3, 1, 0.7, "mid", 0, 1.3)),
        "gas": (L(wall), L(-940, 2), L(30, 2.4, 0, 1, "coarse", 0, 0.8)), "oral": (L(wall), L(u(180, 480), 2.4, 1, 1, "mid", 40)),
        "fluid": (L(wall + 8, vary_hu=4), L(wall - 10, 2.6, 0.5, 1, "mid", 5), L(-700, 5, 0, 0.8, "mid", 0, 2.0)),
    }
    return insides | bone | {
        "colon": insides[r.choice(["stool", "gas"], p=[0.7, 0.3])], "snack": insides[r.choice(["gas", "fluid", "oral"], p=[0.4, 0.4, 0.2])],
        "body": (L(20), L(fat, 2.2, vary_hu=5), L(fat + 60, 6, 1, 0.25, "streak", 0, 1.2), *lines),
        "lung": (L(-870, 0, 1, 1, "mid", 25),), "fat": (L(fat, 0, 1.2, 1, "mid", 6), L(fat + 70, 2, 0, 0.25, "streak", 0, 1.2)),
        "abdomen": (L(t.muscle), L(fat, 3, 1, 1, "mid", 6)), "sinew": (L(t.muscle - 25, 0, 2, 1, "mid", 12),),
        "muscle": (L(t.muscle, 0, 0.5, 1, "mid", 3), L(-20, 3, 1, 0.2 + 0.3 * t.fatness, "streak", 0, 1.1)),
        "vessel": (L(blood),), "faint": (L(blood - 12, 0, 2, 0.7),), "bile": (L(36), L(u(2, 16), 2)),
        "liver": (L(t.liver + 0.5 * t.dye, vary_hu=2.5),), "spleen": (L(t.spleen + 0.6 * t.dye, vary_hu=2.5),),
        "stomach": (L(wall + 14), food, L(-350, 5, 0, 0.8, "fine", 0, 1.7)), "gut": (L(wall, 0, 1, 1, "mid", 7),),
        "kidney": (L(t.kidney + t.dye, vary_hu=2), L(t.kidney - 3 + 0.7 * t.dye, 8, 4, 0.6, "coarse", 6)),
        "sinus": (L(fat + 12, 0, 1.2, 0.95, "mid", 14),), "water": (L(t.water, 0, 0.4),), "ureter": (L(32), L(14, 1.3)),
        "disc": (L(t.disc, vary_hu=4),), "canal": (L(22, 0, 1),), "cartilage": (L(u(120, 350), 0, 2, 1, "mid", 80),),
        "bright": (L(u(250, 1100)),), "pill": (L(u(250, 1200)),), "gallstone": (L(u(160, 600)),), "metal": (L(u(2200, 3000)),),
    }


def spine(t: Traits, z: float, x: float = 0.0, y: float = 0.0) -> Vector:
    """Point beside the vertebral column at height z: the chest curves back, the loins forward."""
    return np.array([t.scoliosis * sin(z / 90 + t.spine_y) + x, t.spine_y + t.lordosis * tanh((z + 10) / 90) + y, z])


def trunk(r: np.random.Generator, t: Traits) -> Iterator[Part]:
    """Body wall, lungs, heart, and the abdomen under the two domes of the diaphragm."""
    body = ellipsoid((0, 22, 0), (t.half + t.skin, t.deep + t.skin, 9 * FAR_MM))
    cavity, heart = grown(body, -t.skin - 17), ellipsoid((22, 62, t.top - 28), (62, 48, 42), None, 0.08)
    domes = [tube([(s * r.uniform(66, 76), 22, t.top + 78 + (s > 0) * r.uniform(0, 16)), (s * 70, 22, FAR_MM)], 80, (1, 1.2, 0.95))
             for s in (-1, 1)]
    crura = tube([spine(t, -60, 0, 16), spine(t, 0, 0, 14), spine(t, 200)], [8, 34, 60])
    column = tube([spine(t, z) for z in (-FAR_MM, -100, -60, 0)], (24, 25, 28, 30))
    gullet = tube([spine(t, z, 8, 26) for z in (-FAR_MM, -110, -30)], 13)
    below = both(cavity, either(*domes, crura))
    t.abdomen = grown(below, -2)
    yield from (("body", body), ("lung", without(cavity, either(*domes, crura, column, gullet, grown(heart, 4)))),
                ("vessel", heart), ("abdomen", below))


def tables(r: np.random.Generator, t: Traits) -> Iterator[Part]:
    """Everything the tables describe, each a little different from patient to patient."""
    for name, centre, radii, axis, uneven in ORGANS:
        shape = ellipsoid(np.add(centre, (0, 0, t.breath)) + r.normal(size=3) * 4, radii * r.uniform(0.86, 1.14, 3),
                          frame(axis + r.normal(size=3) * 0.08), uneven)
        yield name, both(shape, t.abdomen)
    for name, sides, sway, folds, *rows in TUBES:
        for side in (1, -1)[:sides]:
            knots, along = np.array(rows, float), np.cumsum([0, *np.linalg.norm(np.diff(rows, axis=0), axis=1)])
            steps = np.arange(0, along[-1], 9) if folds else along
            x, y, z, radius = (np.interp(steps, along, column) for column in knots.T)
            path = np.array([spine(t, c, side * a, b) for a, b, c in zip(x, y, z, strict=True)])
            path += np.cumsum(r.normal(size=path.shape), axis=0) * sway + r.normal(size=3) * 2 * sway
            bulge = 1 + folds * np.cos(np.arange(len(steps)) * 2.1 + r.uniform(0, 6))
            yield name, tube(path, radius * r.uniform(0.88, 1.12) * bulge)
    for name, most, low, high, n, step_mm, turning, radius, end in WANDERERS:
        for _ in range(r.integers(most // 2, most + 1)):
            way = np.cumsum(r.normal(size=(n, 3)) * turning, axis=0) + frame(r.normal(size=3))[0]
            path = r.uniform(low, high) + np.cumsum(way / np.linalg.norm(way, axis=1, keepdims=True), axis=0) * step_mm
            yield name, tube(path, r.uniform(*radius) * np.linspace(1, end, n))


def kidneys(r: np.random.Generator, t: Traits) -> Iterator[Part]:
    """Kidneys with fat, vessels, sinus, calyces and ureter; leaves in `t.sites` where stones may lie."""
    u, t.sites = r.uniform, []
    for side in (-1, 1):
        size = np.array([u(25, 31), u(23, 28), u(48, 58)])
        axes = frame((side * u(0.12, 0.42), u(0.05, 0.25), 1), (side * u(-0.7, -0.2), 1, 0))
        centre = np.array([side * (u(57, 66) + 6 * t.fatness), u(-14, 4), u(2, 20) - 8 * (side > 0)])

        def at(medial, front, down, c=centre, a=axes, s=size, side=side) -> Vector:  # noqa: ANN001
            return c + np.array([-side * medial * s[0], front, down]) @ a

        yield "fat", both(ellipsoid(at(0.15, -2, 4 + 6 * t.fatness), size + 1 + u(0, 4) + 9 * t.fatness, axes, 0.05), t.abdomen)
        hilum, pelvis, rough = at(1.05, 3, 0), at(0.42, 0, 2), u(0.5, 0.9) + 0.25 * t.fatness
        for x, radius, down in ((9, 2.6, -12), (-15, 4.4, -4)):    # artery and vein
            root = spine(t, centre[2] + down, x, 24)
            yield "vessel", tube([root, (root + hilum) / 2 + r.normal(size=3) * 4, hilum, pelvis], radius * np.array([1, 1, 1, 0.4]))
        yield "kidney", ellipsoid(centre, size, axes, 0.05)
        yield "sinus", ellipsoid(at(0.85, 1, 1), size * (0.42, 0.5, 0.34 * rough), axes, 0.1)
        yield "sinus", ellipsoid(at(0.30, 0, 0), size * (0.36, 0.42, 0.52) * rough, axes, 0.25)
        swollen = abs(r.normal(0, 0.7)) * (r.random() < 0.35)
        tips = np.array([at(0.16 - u(0.15, 0.5), front * u(3, 10), down * size[2] + u(-4, 4))
                         for down in np.linspace(-0.62, 0.62, r.integers(5, 8)) for front in (-1, 1)])
        for tip in tips:
            path = np.array([pelvis, pelvis * 0.45 + tip * 0.55 + r.normal(size=3) * 2.5, tip])
            yield "sinus", tube(path, np.array([6, 4.2, 3]) * u(0.6, 1.1) * (0.5 + 0.6 * rough))
            yield "vessel", tube(path + r.normal(size=(3, 3)) * 3, (1.5, 1.2, 0.7))
            yield "water", tube(path, np.array([1.4, 1.1, 1.7]) + swollen * np.array([3, 3.5, 6]))
        yield "water", ellipsoid(pelvis, np.array([4, 3.5, 6]) + swollen * 7, axes)
        if r.random() < 0.2:                                       # a cyst
            yield "water", ellipsoid(centre + size * frame(r.normal(size=3))[2] @ axes, np.full(3, u(5, 20)))
        ureter = [pelvis, at(0.95, 4, 14), at(1.2, 6, 26)]
        ureter += [spine(t, z, 0, 16) * (0, 1, 1) + (side * 37, 0, 0) + r.normal(size=3) * 1.5
                   for z in np.arange(ureter[-1][2] + 16, 200, 18)]
        yield "ureter", tube(ureter, 2.4 + swollen)
        t.sites.append({"calyx": tips, "pelvis": pelvis[None], "ureter": np.array(ureter)})


def draw_stones(r: np.random.Generator, sites: dict[str, Vector]) -> Iterator[SolidStone]:
    """A stone somewhere in a kidney's collecting system, in a calyx sometimes with smaller neighbours."""
    kind, hu = str(r.choice(["calyx", "pelvis", "ureter", "staghorn"], p=[0.62, 0.19, 0.15, 0.04])), r.uniform(220, 1450)
    if kind == "staghorn":
        pelvis, tips = sites["pelvis"][0], r.permutation(sites["calyx"])[:r.integers(2, 6)]
        arms = [tube([pelvis, tip + r.normal(size=3) * 2], r.uniform(3, 6.5, 2)) for tip in tips]
        yield SolidStone(either(*arms, ellipsoid(pelvis, r.uniform(6, 11, 3))), hu, kind)
        return
    size = np.clip(np.exp(r.normal(log(7.0), 0.5)), 2, {"calyx": 16, "pelvis": 22, "ureter": 9}[kind])
    places = sites[kind][:8 if kind == "ureter" else None]
    centre = places[int(len(places) * (1 - r.random() ** 1.4) * 0.999)] + r.normal(size=3) * 1.2   # rather low
    yield SolidStone(ellipsoid(centre, size / 2 * r.uniform(0.75, 1.25, 3), frame(r.normal(size=3)), 0.16), hu, kind)
    while kind == "calyx" and r.random() < 0.25:
        centre, size = centre + r.normal(size=3) * 0.8 * size, max(2.0, size * r.uniform(0.3, 0.7))
        yield SolidStone(ellipsoid(centre, size / 2 * r.uniform(0.75, 1.25, 3), frame(r.normal(size=3)), 0.16), hu, kind)


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
        plates = [ellipsoid(centre + s * half * 0.86 * axes[2], (wide * (1.09 + 0.16 * t.spurs), deep * 1.08, 3.2), axes) for s in (-1, 1)]
        yield "disc", ellipsoid(centre + height / 2 * axes[2], (wide * 0.97, deep * 0.97, 0.17 * height), axes)
        body = either(ellipsoid(centre, (wide, deep, 4 * half), axes), *plates)
        yield "vertebra", both(body, ellipsoid(centre, (300, 300, half), axes))
        z += height


def other_bones(r: np.random.Generator, t: Traits) -> Iterator[Part]:
    """Ribs with their cartilage, and the wings of the hip bone between their muscles."""
    for side in (-1, 1):
        for i, stop in enumerate((2.5, 2.5, 2.5, 2.5, 2.5, 2.3, 1.7, 1.1)):
            head = -230 + 27 * i + r.uniform(-2, 2)
            path = [(side * (t.half - 3) * sin(a), 22 - (t.deep - 3) * cos(a), head + 42 * (1 - cos(a)) * (1 - 0.2 * a))
                    for a in np.linspace(0.18, stop, 14)]
            yield "bone", tube(path, 5.8, (0.66, 0.75, 1.1))
            yield "cartilage", tube(path[-2:], 4, (0.6, 0.7, 1))
        hip, axes = np.array([side * r.uniform(106, 114), r.uniform(-8, 6), 180]), frame((side * r.uniform(0.6, 0.8), 0.1, -1))
        yield "muscle", ellipsoid(hip + (-20 * side, 0, 8), (20, 55, 70), axes)
        yield "muscle", ellipsoid(hip + (22 * side, 0, 8), (20, 60, 62), axes)
        yield "bone", ellipsoid(hip, (8, 62, 72), axes, 0.05)


def lookalikes(r: np.random.Generator, t: Traits) -> Iterator[Part]:
    """Bright things that are no stones: those of the table, and plaques in the wall of the aorta."""
    spots = [(name, r.uniform(low, high), r.uniform(*radius)) for name, share, most, low, high, radius in LOOKALIKES
             for _ in range(r.integers(1, most + 1) * (r.random() < share))]
    for angle in r.uniform(0, 2 * pi, r.integers(2, 14) * (r.random() < 0.5)):
        spots.append(("bright", spine(t, r.uniform(-140, 105), 9 + 9.5 * cos(angle), 27 + 9.5 * sin(angle)), r.uniform(1, 2.5)))
    for name, centre, radius in spots:
        yield name, ellipsoid(centre, radius * r.uniform(0.6, 1.3, 3), frame(r.normal(size=3)))
