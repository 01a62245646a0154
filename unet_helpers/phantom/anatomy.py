"""One patient: solids filled in Hounsfield units, painted in order, and the stones."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from math import cos, log, pi, sin, tanh

import numpy as np
from numpy.typing import NDArray

from unet_helpers.phantom.shapes import (
    Layer, Part, Shape, both, bumps, either, ellipsoid, frame, grown, outside, tube,
)

Vector = NDArray[np.float64]
FAR_MM = 400.0


@dataclass(frozen=True)
class SolidStone:
    """A stone in 3-D. Location: "calyx", "pelvis", "ureter" or "staghorn"."""

    shape: Shape
    hu: float
    location: str


@dataclass
class Patient:
    """A person on the scanner's table. Lengths in mm, attenuation in HU, angles in radians."""

    seed: int
    rng: np.random.Generator
    spacing_mm: float            # of a 256-pixel slice
    centre_mm: tuple[float, float]
    tilt: float
    mirrored: bool
    fatness: float               # 0 lean .. 1 obese
    half_width: float
    noise_hu: float
    blur_mm: float
    level: float
    width: float
    hu: dict[str, float]
    waves: Vector                # (n, 6): wave vector (3), phase, shift in x and z
    parts: list[Part] = field(default_factory=list)
    stones: list[SolidStone] = field(default_factory=list)

    def add(self, shape: Shape, *layers: Layer) -> Shape:
        self.parts.append(Part(shape, layers))
        return shape

    def spine(self, z: float) -> Vector:
        """Centre of the vertebral column at height z: chest to the back, loins to the front, a little scoliosis."""
        curve, bend, shift = self.hu["spine_curve"], self.hu["scoliosis"], self.hu["spine_shift"]
        return np.array([bend * sin(z / 90 + shift), shift + curve * tanh((z + 10) / 90), z])


def make_patient(seed: int) -> Patient:
    """Draw a patient; the same seed gives the same patient."""
    rng = np.random.default_rng([seed, 1])
    u = rng.uniform
    contrast = u(60, 120) if rng.random() < 0.1 else 0.0
    fatness = rng.beta(1.6, 1.8)
    waves = []
    for length, shift, n in ((170, 7.0, 4), (70, 2.6, 5), (28, 0.9, 5)):
        k = rng.normal(size=(n, 3))
        k *= 2 * pi / length / np.linalg.norm(k, axis=1, keepdims=True)
        waves.append(np.c_[k, u(0, 2 * pi, n), rng.normal(size=(n, 2)) * shift / n**0.5])
    hu = dict(
        fat=u(-110, -98), muscle=u(44, 58), liver=u(44, 64) + 0.5 * contrast, spleen=u(44, 54) + 0.6 * contrast,
        kidney=u(27, 38) + contrast, blood=u(36, 48) + contrast, gut=u(25, 42), water=u(0, 14), disc=u(75, 110),
        marrow=u(140, 330), cortex=u(450, 900), spine_curve=u(22, 34), spine_shift=u(-18, -4), scoliosis=u(-7, 7))
    patient = Patient(
        seed, rng, u(0.98, 1.2), (u(-6, 6), u(-14, 10)), u(-0.15, 0.15) if rng.random() < 0.45 else 0.0,
        rng.random() < 0.3, fatness, 140 + 32 * fatness + u(-8, 8), u(4, 9) * (0.8 + 0.5 * fatness), u(0.85, 1.25),
        u(52, 66), u(330, 380), hu, np.concatenate(waves))
    for build in (_trunk, _organs, _muscles, _vessels, _bowel):
        build(patient)
    kidneys = [_kidney(patient, side) for side in (-1, 1)]
    for build in (_spine, _ribs_and_pelvis, _calcifications):
        build(patient)
    for _ in range(rng.choice(6, p=[0.07, 0.31, 0.27, 0.18, 0.11, 0.06])):
        patient.stones += _stones(rng, kidneys[rng.integers(2)])
    return patient


def slice_depths(patient: Patient, n_slices: int) -> list[float]:
    """Depths in mm for n slices of a patient, back to front, most of them through a stone if there is one."""
    rng = np.random.default_rng([patient.seed, 2])
    depths = []
    for _ in range(n_slices):
        depth = rng.uniform(-30, 25)
        if patient.stones and rng.random() < 0.68:
            shape = patient.stones[rng.integers(len(patient.stones))].shape
            depth = shape.low[1] + (shape.high[1] - shape.low[1]) * rng.uniform(0.15, 0.85)
        depths.append(round(float(depth), 2))
    return sorted(depths)


def _trunk(p: Patient) -> None:
    u, fat = p.rng.uniform, p.hu["fat"]
    skin = 5 + 26 * p.fatness + u(0, 5)
    wall = u(14, 19)
    body = ellipsoid((0, 22, 0), (p.half_width + skin, u(92, 104) + 20 * p.fatness + skin, FAR_MM * 5))
    stripes = [Layer(p.hu["muscle"], skin, 1.5, vary_hu=5), Layer(fat, skin + wall * 0.36, 0.5, 0.5),
               Layer(p.hu["muscle"], skin + wall * 0.42, vary_hu=5), Layer(fat, skin + wall * 0.7, 0.5, 0.4),
               Layer(p.hu["muscle"], skin + wall * 0.74, vary_hu=5)]
    p.add(body, Layer(20), Layer(fat, 2.2, vary_hu=5), Layer(fat + 50, 8, 1, 0.35, "coarse", 10, 1.0), *stripes)
    cavity = grown(body, -(skin + wall))
    top = u(-92, -68)
    domes = [tube([(s * u(66, 76), 22, top + 78 + (s > 0) * u(0, 16)), (s * 70, 22, FAR_MM)], 80, (1, 1.2, 0.95))
             for s in (-1, 1)]
    crura = tube([p.spine(-60) + [0, 16, 0], p.spine(0) + [0, 14, 30], p.spine(200)], [8, 34, 60])
    below = either(*domes, crura)
    heart = ellipsoid((22, 62, top - 28), (62, 48, 42))
    column = tube([p.spine(z) for z in (-FAR_MM, -100, -60, 0)], (26, 26, 28, 30), (1, 1, 1))
    gullet = tube([p.spine(z) + [8, 26, 0] for z in (-FAR_MM, -110, -30)], 13)
    p.add(both(cavity, outside(either(below, heart, column, gullet))), Layer(-870, soft_mm=1, vary_hu=25))
    p.add(grown(heart, 4), Layer(fat, opacity=0.9))
    p.add(heart, Layer(p.hu["blood"], vary_hu=4))
    for _ in range(14):                                            # lung vessels
        start = np.array([p.rng.choice((-1, 1)) * u(35, 80), u(-40, 40), u(-170, top - 12)])
        p.add(tube([start, start + p.rng.normal(size=3) * 14], (u(1, 2.6), u(0.4, 1.2))), Layer(30))
    p.add(both(cavity, below), Layer(p.hu["muscle"], 0, 0.5), Layer(fat, 3, 1, vary_hu=6))
    p.hu["top"] = top
    p.cavity, p.below = grown(cavity, -1.5), grown(both(below, cavity), -2.5)


def _organs(p: Patient) -> None:
    r, u, hu, top = p.rng, p.rng.uniform, p.hu, p.hu["top"]
    stomach = ellipsoid((u(42, 66), u(30, 48), top + u(42, 60)), (u(30, 46), 34, u(24, 38)), None, bumps(r, 0.08))
    food = [Layer(u(0, 60), 3, 0, 1, "fine", 25), Layer(-400, 4, 0, 1, "mid", 0, 1.5)]
    if r.random() < 0.25:
        food = [Layer(u(60, 220), 3, 6, 1, "fine", 50), Layer(-250, 5, 0, 0.8, "mid", 0, 1.2)]
    p.add(both(stomach, p.below), Layer(hu["gut"] + 12), *food)
    lean = frame((-0.55 - u(0, 0.2), -0.1, 1))
    right = ellipsoid((-78, 22, top + 62), (u(74, 92), 96, u(88, 112)), lean, bumps(r, 0.05, 4, 2))
    left = ellipsoid((-5, 62, top + 48), (u(60, 95), 48, 45), None, bumps(r, 0.06))
    liver = p.add(both(either(right, left), p.below), Layer(hu["liver"], vary_hu=2.5),
                  Layer(hu["liver"] - 9, 6, 2, 0.5, "coarse", 0, 1.1))
    for _ in range(5):                                              # hepatic veins
        a = np.array([-15, 40, top + 30]) + r.normal(size=3) * 6
        b = a + np.array([-u(30, 85), u(-50, 20), u(-10, 60)])
        p.add(both(tube([a, (a + b) / 2 + r.normal(size=3) * 7, b], (5, 3.5, 1.5)), grown(liver, -8)),
              Layer(hu["blood"] - 4, 0, 2, 0.8))
    spleen = ellipsoid((u(96, 112), u(-22, -8), top + u(40, 58)), (u(28, 38), 48, u(46, 64)),
                       frame((0.5, 0.1, 1)), bumps(r, 0.07))
    p.add(both(spleen, p.below), Layer(hu["spleen"], vary_hu=2.5))
    p.add(tube([(-25, 34, 12), (5, 38, -6), (45, 26, -14), (82, 8, -24)], (11, 9, 9, 7), (1, 1, 1)),
          Layer(hu["gut"] + 5, 0, 1), Layer(hu["fat"] + 40, 1, 0, 0.6, "mid", 0, 0.7))
    if r.random() < 0.8:
        p.add(ellipsoid((-u(48, 66), u(34, 52), u(0, 20)), (14, 20, 20), frame((0.4, 0.4, 1))), Layer(40), Layer(8, 2))


def _muscles(p: Patient) -> None:
    u, streaks = p.rng.uniform, Layer(-30, 2, 1, 0.45, "mid", 0, 1.2)
    fill = Layer(p.hu["muscle"], 0, 0.5, vary_hu=3)
    bulk = u(0.85, 1.15)
    for s in (-1, 1):
        p.add(tube([p.spine(z) + [s * x, y, 0] for x, y, z in
                    ((24, 0, -30), (34, -4, 20), (44, -4, 70), (56, 4, 120), (72, 20, 190))],
                   np.array([5, 14, 22, 27, 26]) * bulk, (0.9, 1, 1)), fill, streaks)
        p.add(tube([(s * 62, -42, -25), (s * 74, -44, 40), (s * 88, -46, 110)], (9, 15, 17)), fill, streaks)
        p.add(tube([p.spine(z) + [s * 32, -52, 0] for z in range(-300, 301, 60)], 33, (0.95, 0.9, 1)), fill, streaks)


def _vessels(p: Patient) -> None:
    r, u, hu = p.rng, p.rng.uniform, p.hu
    ahead = [Layer(hu["blood"], 0, 0.3)]
    p.aorta = np.array([p.spine(z) + [9 + r.normal(), 27 + r.normal(), 0] for z in range(-220, 115, 20)])
    p.aorta_radius = u(8.5, 12)
    p.add(tube(p.aorta, p.aorta_radius), *ahead)
    p.add(tube([p.spine(z) + [-18 + r.normal(), 25, 0] for z in range(-70, 115, 20)], u(8, 12), (1, 0.9, 1)), *ahead)
    for s in (-1, 1):
        start = p.spine(105) + [0, 26, 0]
        p.add(tube([start, start + [s * 28, -6, 35], start + [s * 60, -14, 90]], u(5, 7)), *ahead)
        p.add(tube([(s * u(28, 40), u(0, 20), z) for z in range(20, 200, 25)], 1.4), Layer(25))
    for _ in range(r.integers(22, 40)):                            # mesenteric vessels
        point, way = np.array([u(-90, 90), u(-25, 60), u(-40, 150)]), r.normal(size=3)
        path = [point]
        for _ in range(r.integers(2, 6)):
            way = way / np.linalg.norm(way) + r.normal(size=3) * 0.3
            path.append(path[-1] + way * u(7, 15))
        p.add(tube(path, np.linspace(u(1.2, 2.8), 0.7, len(path))), Layer(hu["blood"] - 5))


def _bowel(p: Patient) -> None:
    r, u = p.rng, p.rng.uniform
    stool = [Layer(u(-10, 40), 2.2, 0, 1, "fine", 45), Layer(-650, 2.6, 0, 1, "mid", 0, 1.0)]
    gas = [Layer(-940, 2), Layer(30, 2.4, 0, 1, "coarse", 0, 0.8)]
    fluid = [Layer(p.hu["gut"] - 12, 2.6, 0.5, vary_hu=5), Layer(-800, 4, 0, 1, "mid", 0, 2.0)]
    oral = [Layer(u(180, 480), 2.4, 0.5, vary_hu=30)]
    drunk = r.random() < 0.1
    p.colon = []
    for s in (-1, 1):
        z = np.arange(u(10, 45) if s < 0 else u(-25, 15), 215, 9)
        path = np.c_[s * p.half_width * u(0.64, 0.74) + np.cumsum(r.normal(size=len(z))) * 2,
                     u(-22, 10) + np.cumsum(r.normal(size=len(z))) * 2, z]
        p.colon.append(path)
        radii = u(13, 20) * (1 + 0.16 * np.cos(np.arange(len(z)) * 2.1 + u(0, 6)))
        p.add(tube(path, radii), Layer(p.hu["gut"] + 6), *(stool if r.random() < 0.7 else gas))
    x = np.linspace(-100, 100, 15)
    sag = np.c_[x, u(36, 62) + 8 * np.sin(x / 30), u(5, 45) + u(8, 40) * np.cos(x / 62) + r.normal(size=15) * 3]
    p.add(tube(sag, u(13, 19) * (1 + 0.15 * np.cos(np.arange(15) * 2.2))), Layer(p.hu["gut"]),
          *(gas if r.random() < 0.5 else stool))
    for _ in range(r.integers(14, 26)):                            # small bowel
        point, way = np.array([u(-85, 85), u(12, 70), u(20, 170)]), r.normal(size=3)
        path = [point]
        for _ in range(r.integers(3, 8)):
            way = way / np.linalg.norm(way) + r.normal(size=3) * 0.45
            path.append(path[-1] + way * 8)
        inside = oral if drunk and r.random() < 0.5 else gas if r.random() < 0.1 else fluid
        p.add(tube(path, u(8, 13) * r.uniform(0.85, 1.1, len(path))), Layer(p.hu["gut"] + 10, vary_hu=4), *inside)


def _kidney(p: Patient, side: int) -> dict:
    r, u, hu = p.rng, p.rng.uniform, p.hu
    radii = np.array([u(25, 31), u(23, 28), u(48, 58)])
    axes = frame((side * u(0.12, 0.42), u(0.05, 0.25), 1), (side * u(-0.7, -0.2), 1, 0))
    centre = p.spine(0) * [1, 0, 0] + [side * u(58, 68) + side * 6 * p.fatness, u(-14, 4), u(2, 20) - 8 * (side > 0)]

    def at(medial: float, front: float, down: float) -> Vector:
        return centre + np.array([-side * medial, front, down]) @ axes

    swollen = abs(r.normal(0, 0.7)) if r.random() < 0.35 else 0.0  # hydronephrosis
    uneven = bumps(r, 0.035, 5, 4)
    fat_mm = 2 + 12 * p.fatness + u(0, 3)
    p.add(both(ellipsoid(centre, radii + fat_mm, axes, uneven), p.cavity), Layer(hu["fat"], 0, 1.5, vary_hu=5),
          Layer(hu["fat"] + 60, 1, 0, 0.3, "mid", 0, 1.1))
    hilum, pelvis = at(radii[0] * 1.02, 3, 0), at(radii[0] * 0.42, 0, 2)
    for x, size, drop in ((9, 2.6, -12), (-15, 4.4, -4)):          # renal artery and vein
        root = p.spine(centre[2] + drop) + [x, 24, 0]
        p.add(tube([root, (root + hilum) / 2 + r.normal(size=3) * 4 + [0, 5, 0], hilum + r.normal(size=3) * 2, pelvis],
                   (size, size, size, 1.5)), Layer(hu["blood"]))
        p.hu[f"artery{side}"] = None
    body = ellipsoid(centre, radii, axes, uneven)
    p.add(body, Layer(hu["kidney"], vary_hu=2), Layer(hu["kidney"] - (25 if hu["kidney"] > 70 else 3), 8, 4, 0.6, "coarse", 8))
    rough, open_ = u(0.55, 1.0), Layer(hu["fat"] + 12, 0, 1.2, 0.95, "mid", 14)
    p.add(ellipsoid(at(radii[0] * 0.85, 1, 1), radii * [0.42, 0.5, 0.30 * rough], axes, bumps(r, 0.15)), open_)
    p.add(ellipsoid(at(radii[0] * 0.30, 0, 0), radii * [0.36, 0.40, 0.50] * rough, axes, bumps(r, 0.3, 7, 4)), open_)
    calyces = []
    for down in np.linspace(-0.62, 0.62, r.integers(5, 8)):
        for front in (-1, 1):
            calyces.append(at(radii[0] * (0.16 - u(0.15, 0.5)), front * u(3, 10), down * radii[2] + u(-4, 4)))
    water = Layer(hu["water"], 0, 0.4)
    for tip in calyces:
        bend = pelvis * 0.45 + tip * 0.55 + r.normal(size=3) * 2.5
        p.add(tube([pelvis, bend, tip], np.array([5, 3.6, 2.6]) * u(0.5, 1.1)), open_)
        p.add(tube([pelvis + r.normal(size=3) * 3, bend + r.normal(size=3) * 3, tip + r.normal(size=3) * 3],
                   (1.6, 1.3, 0.8)), Layer(hu["kidney"] + 4))
        p.add(tube([pelvis, bend, tip], np.array([1.6, 1.2, 1.7]) + swollen * np.array([3, 3.5, 6])), water)
    p.add(ellipsoid(pelvis, np.array([5, 4, 7]) + swollen * 7, axes), water)
    if r.random() < 0.2:                                            # simple cyst
        way = r.normal(size=3)
        p.add(ellipsoid(centre + radii * way / np.linalg.norm(way) @ axes, np.full(3, u(5, 20))), water)
    ureter = [pelvis, at(radii[0] * 0.95, 4, 14)]
    for z in np.arange(ureter[1][2] + 16, 200, 18):
        ureter.append(np.array([side * (37 + 3 * sin(z / 30)), p.spine(z)[1] + 16, z]) + r.normal(size=3) * 1.5)
    ureter[2] = (ureter[1] + ureter[3]) / 2
    p.add(tube(ureter, 2.4 + swollen), Layer(32), Layer(hu["water"] + 8, 1.3))
    return dict(pelvis=pelvis, calyces=calyces, ureter=ureter, axes=axes)


def _stones(r: np.random.Generator, kidney: dict) -> Iterator[SolidStone]:
    """One stone somewhere in a kidney's collecting system; in a calyx it may have a smaller neighbour."""
    hu = float(r.uniform(220, 1450))
    size = float(np.clip(np.exp(r.normal(log(7.0), 0.5)), 2, 22))
    calyces, pelvis = kidney["calyces"], kidney["pelvis"]
    kind = r.choice(["calyx", "pelvis", "ureter", "staghorn"], p=[0.62, 0.19, 0.15, 0.04])
    if kind == "staghorn":
        arms = [tube([pelvis, c + r.normal(size=3) * 2], r.uniform(3, 6.5, 2)) for c in r.permutation(calyces)[:r.integers(2, 6)]]
        yield SolidStone(either(*arms, ellipsoid(pelvis, r.uniform(6, 11, 3))), hu, str(kind))
        return
    centre = pelvis + r.normal(size=3) * 2.5
    if kind == "calyx":
        size = min(size, 15)
        lower = int(len(calyces) * (1 - r.random() ** 1.5))
        centre = calyces[min(lower, len(calyces) - 1)] + r.normal(size=3) * 1.2
    elif kind == "ureter":
        size, i, t = min(size, 9), r.integers(1, 8), r.random()
        centre = (1 - t) * kidney["ureter"][i] + t * kidney["ureter"][i + 1]
    yield _stone(r, centre, size, hu, str(kind))
    while kind == "calyx" and r.random() < 0.25:
        yield _stone(r, centre + r.normal(size=3) * 0.8 * size, max(2, size * r.uniform(0.3, 0.7)), hu, str(kind))


def _stone(r: np.random.Generator, centre: Vector, size: float, hu: float, kind: str) -> SolidStone:
    radii = size / 2 * r.uniform(0.75, 1.25, 3)
    return SolidStone(ellipsoid(centre, radii, frame(r.normal(size=3)), bumps(r, 0.16, 5, 2.5)), hu, kind)


def _spine(p: Patient) -> None:
    r, hu = p.rng, p.hu
    shell = partial(Layer, hu["cortex"])
    marrow = partial(Layer, hu["marrow"], grain="fine", vary_hu=0.22 * hu["marrow"])
    z, spurs = -310.0, r.random() ** 2
    p.levels = []
    while z < 220:
        height = 25 + 9 / (1 + np.exp(-(z + 20) / 40))             # pitch of the vertebrae grows downwards
        grow = 0.72 + 0.28 / (1 + np.exp(-(z + 60) / 60))
        centre, axes = p.spine(z), frame(p.spine(z + 8) - p.spine(z - 8) + r.normal(size=3) * 0.5)

        def at(x: float, y: float, down: float, c=centre, a=axes, k=grow) -> Vector:
            return c + np.array([x * k, y * k, down]) @ a

        wide, deep, half = 24 * grow, 17 * grow, 0.40 * height
        slab = both(ellipsoid(centre, (wide, deep, 4 * half), axes), ellipsoid(centre, (300, 300, half), axes))
        disc = ellipsoid(at(0, 0, height / 2), (wide * 0.97, deep * 0.97, 0.17 * height), axes)
        plates = [both(ellipsoid(at(0, 0, s * half * 0.86), (wide * (1.09 + 0.16 * spurs), deep * 1.08, 3.2 + spurs), axes),
                       ellipsoid(centre, (300, 300, half), axes)) for s in (-1, 1)]
        p.add(disc, Layer(hu["disc"], vary_hu=4))
        p.add(either(slab, *plates), shell(), marrow(1.3, 0.6), shell(4, 8, 0.3, "mid", 0, 1.2))
        p.add(tube([at(0, -deep - 9, -20), at(0, -deep - 9, 20)], 9 * grow), Layer(22, 0, 1))
        for s in (-1, 1):
            for path, size in (([(14, -10, -5), (16, -30, -5)], 5.5), ([(16, -27, -5), (42, -34, -3)], 4.2),
                               ([(15, -31, -16), (18, -34, -2), (13, -37, 16)], 6.5), ([(12, -34, 4), (1, -44, 10)], 4)):
                p.add(tube([at(s * x, y, d) for x, y, d in path], size * grow), shell(), marrow(1.6, 0.5))
        p.add(ellipsoid(at(0, -56, 10), (3.4, 13, 9), axes), shell(), marrow(1.4, 0.5))
        p.levels.append(centre)
        z += height


def _ribs_and_pelvis(p: Patient) -> None:
    u, hu = p.rng.uniform, p.hu
    bone = [Layer(hu["cortex"]), Layer(hu["marrow"] * 0.8, 1.5, 0.5, grain="fine", vary_hu=40)]
    a, b = p.half_width - 3, 97 + 20 * p.fatness - 3
    for i in range(8):
        head = -230 + 27 * i + u(-2, 2)
        stop = (2.5, 2.5, 2.5, 2.5, 2.5, 2.3, 1.7, 1.1)[i]
        angles = np.linspace(0.18, stop, 14)
        for s in (-1, 1):
            path = [(s * a * sin(t), 22 - b * cos(t), head + 42 * (1 - cos(t)) * (1 - 0.2 * t)) for t in angles]
            p.add(tube(path, 5.8, (0.66, 0.75, 1.1)), *bone)
            if stop > 2 and p.rng.random() < 0.5:                   # calcified cartilage in front
                p.add(tube(path[-2:], 4, (0.6, 0.7, 1)), Layer(u(150, 400), 0, 2, 1, "mid", 80))
    for s in (-1, 1):
        hip, axes = np.array([s * u(106, 114), u(-8, 6), 186]), frame((s * u(0.6, 0.8), 0.1, -1), (0, 1, 0))
        for out, size in ((-20, (20, 55, 70)), (22, (20, 60, 62))):
            p.add(ellipsoid(hip + np.array([out * s, 0, 8]), size, axes), Layer(hu["muscle"], 0, 0.5, vary_hu=4))
        p.add(ellipsoid(hip, (8, 62, 72), axes, bumps(p.rng, 0.05)), *bone)


def _calcifications(p: Patient) -> None:
    """Bright things that are no stones."""
    r, u = p.rng, p.rng.uniform
    kinds = (  # share of patients, most of them, where (low, high corner), radius in mm, HU
        (0.60, 7, (-72, -20, 100), (72, 25, 190), (1.2, 3.2), (250, 800)),     # phleboliths, nodes in the pelvis
        (0.25, 3, (-125, -25, -110), (-40, 30, -10), (1.2, 3.5), (250, 900)),  # granulomas of the liver
        (0.15, 3, (80, -25, -80), (120, 20, -20), (1.2, 3.0), (250, 900)),     # and of the spleen
        (0.30, 4, (-60, 0, 10), (60, 40, 120), (1.5, 4.5), (250, 900)),        # mesenteric lymph nodes
        (0.20, 5, (-64, 30, 4), (-50, 46, 18), (1.5, 6.0), (160, 600)),        # gallstones
        (0.12, 5, (-70, 0, -25), (70, 25, 15), (0.9, 2.2), (2200, 3000)),      # surgical clips
        (0.25, 4, (-75, -20, -20), (75, 15, 35), (0.8, 1.6), (200, 700)),      # small vessels of the kidney
    )
    for share, most, low, high, radius, hu in kinds:
        for _ in range(r.integers(1, most + 1) if r.random() < share else 0):
            p.add(ellipsoid(u(low, high), u(*radius) * u(0.6, 1.2, 3), frame(r.normal(size=3))), Layer(u(*hu)))
    for path in p.colon:                                            # pills
        if r.random() < 0.2:
            p.add(ellipsoid(path[r.integers(len(path))] + r.normal(size=3) * 4, u(2, 4.5, 3)), Layer(u(250, 1200)))
    for _ in range(r.integers(2, 14) if r.random() < 0.5 else 0):   # plaques of the aorta
        angle, length = u(0, 2 * pi), u(2, 6)
        centre = p.aorta[r.integers(4, len(p.aorta))] + np.array([cos(angle), sin(angle), 0]) * p.aorta_radius
        p.add(ellipsoid(centre, (u(0.8, 1.8), u(0.8, 2.2), length)), Layer(u(350, 1100)))
