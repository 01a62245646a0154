"""One patient: what the tissues measure in Hounsfield units, where they lie, and the stones."""

from dataclasses import dataclass, field
from math import cos, log, pi, sin, tanh

import numpy as np

from unet_helpers.phantom.shapes import Layer, Shape, Vector, both, either, ellipsoid, frame, grown, tube, without

FAR_MM = 400.0
ORGANS = (  # filling, centre, radii, long axis, unevenness; painted in this order inside the abdomen
    ("stomach", (50, 38, -28), (36, 36, 30), (0.6, 0, 1), 0.10), ("gut", (20, 40, -8), (30, 22, 14), (1, 0, 0.3), 0.15),
    ("spleen", (106, -14, -32), (30, 48, 54), (0.45, 0.1, 1), 0.09), ("liver", (-80, 24, -18), (74, 92, 92), (-0.7, -0.1, 1), 0.07),
    ("liver", (-20, 62, -34), (74, 50, 44), (0, 0, 1), 0.10), ("bile", (-56, 44, 10), (13, 20, 22), (0.4, 0.4, 1), 0.05),
    ("vessel", (-48, 8, -30), (5, 9, 11), (-0.3, 0, 1), 0.3), ("vessel", (52, 0, -26), (5, 9, 12), (0.5, 0, 1), 0.3),
)
TUBES = (  # filling, mirrored too?, rows of (x, y, z, radius) with x and y counted from the spine
    ("muscle", True, ((22, 2, -40, 5), (32, -2, 10, 14), (42, -4, 60, 22), (54, 2, 115, 27), (74, 18, 190, 27))),   # psoas
    ("muscle", True, ((58, -34, -40, 8), (68, -40, 30, 15), (84, -50, 110, 17))),                               # quadratus
    ("muscle", True, ((30, -54, -300, 30), (30, -50, -60, 31), (33, -52, 60, 34), (33, -56, 300, 34))),         # back
    ("sinew", False, ((0, -42, -300, 9), (0, -46, 0, 11), (0, -46, 300, 11))),
    ("vessel", True, ((9, 25, 104, 7), (32, 18, 135, 6), (64, 10, 195, 6))), ("vessel", True, ((33, 16, 20, 1.4), (36, 18, 200, 1.4))),
    ("vessel", False, ((-17, 25, -70, 10), (-17, 25, 20, 10), (-14, 24, 106, 9))),                              # vena cava
    ("vessel", False, ((-34, 40, -40, 7), (-6, 38, -10, 6), (4, 44, 30, 5), (2, 48, 90, 4))),                   # portal vein
    ("gut", False, ((-30, 32, 14, 11), (0, 36, -4, 9), (46, 24, -14, 9), (84, 4, -26, 7))),                     # pancreas
    ("gut", False, ((-32, 34, -6, 12), (-40, 26, 20, 13), (-30, 26, 46, 12), (20, 30, 44, 10))),                # duodenum
)
VERTEBRA = (  # paths of (x, y, z) and radius of the arch, mirrored: pedicle, transverse process, joints, lamina
    (((14, -10, -5), (16, -30, -5)), 5.5), (((16, -27, -5), (42, -34, -3)), 4.2),
    (((15, -31, -16), (18, -34, -2), (13, -37, 16)), 6.5), (((12, -34, 4), (1, -44, 10)), 4.0),
)
LOOKALIKES = (  # share of patients, at most, low and high corner of where, radius in mm, HU: bright, and no stones
    (0.60, 7, (-72, -20, 100), (72, 25, 190), (1.2, 3.2), (250, 800)),     # phleboliths
    (0.25, 3, (-125, -25, -90), (-40, 30, -5), (1.2, 3.5), (250, 900)),    # granulomas of the liver
    (0.15, 3, (90, -25, -70), (120, 20, -15), (1.2, 3.0), (250, 900)),     # and of the spleen
    (0.30, 4, (-60, 0, 10), (60, 40, 120), (1.5, 4.5), (250, 900)),        # lymph nodes
    (0.20, 5, (-62, 34, 4), (-50, 48, 18), (1.5, 6.0), (160, 600)),        # gallstones
    (0.12, 5, (-70, 0, -25), (70, 25, 15), (0.9, 2.2), (2200, 3000)),      # surgical clips
    (0.30, 4, (-50, 0, -20), (50, 20, 20), (0.9, 2.0), (200, 800)),        # plaques of the renal arteries
)


@dataclass(frozen=True)
class SolidStone:
    """A stone in 3-D; location is "calyx", "pelvis", "ureter" or "staghorn"."""

    shape: Shape
    hu: float
    location: str


@dataclass
class Patient:
    """A person on the table. `waves` (n, 6) bend space: wave vector, phase, shift along x and z."""

    seed: int
    rng: np.random.Generator
    spacing_mm: float            # pixel size of a slice of 256 pixels
    centre_mm: tuple[float, float]
    tilt: float                  # rotation of the picture, radians
    mirrored: bool
    fatness: float               # 0 lean .. 1 stout
    noise_hu: float
    blur_mm: float
    level: float                 # of the grey window, HU
    width: float
    bend: tuple[float, float, float]
    waves: Vector
    fillings: dict[str, tuple[Layer, ...]]
    parts: list[tuple[Shape, tuple[Layer, ...]]] = field(default_factory=list)
    stones: list[SolidStone] = field(default_factory=list)

    def add(self, filling: str, shape: Shape) -> Shape:
        self.parts.append((shape, self.fillings[filling]))
        return shape

    def spine(self, z: float, x: float = 0.0, y: float = 0.0) -> Vector:
        """Point beside the vertebral column at height z: the chest curves back, the loins forward."""
        side, curve, shift = self.bend
        return np.array([side * sin(z / 90 + shift) + x, shift + curve * tanh((z + 10) / 90) + y, z])


def make_patient(seed: int) -> Patient:
    """Draw a patient; the same seed gives the same patient."""
    r = np.random.default_rng([seed, 1])
    u, fatness, waves = r.uniform, r.beta(1.6, 1.8), []
    for length, shift, n in ((170, 7.0, 4), (70, 2.6, 5), (28, 0.9, 5)):
        k = r.normal(size=(n, 3))
        k *= 2 * pi / length / np.linalg.norm(k, axis=1, keepdims=True)
        waves.append(np.c_[k, u(0, 2 * pi, n), r.normal(size=(n, 2)) * shift / n**0.5])
    p = Patient(seed, r, u(0.98, 1.2), (u(-6, 6), u(-14, 10)), u(-0.15, 0.15) if r.random() < 0.45 else 0.0,
                r.random() < 0.3, fatness, u(4, 9) * (0.8 + 0.5 * fatness), u(1.5, 2.3), u(54, 66), u(335, 375),
                (u(-7, 7), u(22, 34), u(-18, -4)), np.concatenate(waves), fillings(r, fatness))
    _trunk(p)
    _tables(p)
    _bowel(p)
    sites = [_kidney(p, side) for side in (-1, 1)]
    _spine(p)
    _ribs_and_hips(p)
    _lookalikes(p)
    for _ in range(r.choice(6, p=[0.07, 0.31, 0.27, 0.18, 0.11, 0.06])):
        p.stones += _stones(r, sites[r.integers(2)])
    return p


def slice_depths(patient: Patient, n_slices: int) -> list[float]:
    """Depths in mm of n slices, back to front, most of them through a stone if the patient has one."""
    r = np.random.default_rng([patient.seed, 2])
    depths = [r.uniform(-30, 25) for _ in range(n_slices)]
    for i in range(n_slices):
        if patient.stones and r.random() < 0.7:
            shape = patient.stones[r.integers(len(patient.stones))].shape
            depths[i] = shape.low[1] + (shape.high[1] - shape.low[1]) * r.uniform(0.2, 0.8)
    return sorted(round(float(depth), 2) for depth in depths)


def fillings(r: np.random.Generator, fatness: float) -> dict[str, tuple[Layer, ...]]:
    """The patient's tissues as layers from the surface inwards, in Hounsfield units."""
    u, dye = r.uniform, r.uniform(60, 120) * (r.random() < 0.1)
    fat, muscle, cortex, marrow, wall, blood = u(-112, -98), u(44, 58), u(450, 900), u(120, 300), u(30, 44), u(38, 50) + dye
    skin, flank, L = 4 + 27 * fatness, u(13, 18), Layer
    lines = [L(h, skin + flank * at, 0.5, a, vary_hu=5) for at, h, a in
             ((0, muscle, 1), (0.36, fat, 0.5), (0.43, muscle, 1), (0.7, fat, 0.4), (0.75, muscle, 1))]
    food = (L(u(80, 220), 3, 6, 1, "fine", 40),) if r.random() < 0.25 else (L(u(0, 50), 3, 1, 1, "fine", 18),)
    bone = lambda shell, share: (L(cortex), L(marrow * share, shell, 0.5, 1, "fine", 0.25 * marrow * share))  # noqa: E731
    return {
        "body": (L(20), L(fat, 2.2, vary_hu=5), L(fat + 60, 6, 1, 0.25, "streak", 0, 1.2), *lines),
        "lung": (L(-870, 0, 1, 1, "mid", 25),), "fat": (L(fat, 0, 1.2, 1, "mid", 6), L(fat + 70, 2, 0, 0.25, "streak", 0, 1.2)),
        "abdomen": (L(muscle), L(fat, 3, 1, 1, "mid", 6)), "muscle": (L(muscle, 0, 0.5, 1, "mid", 3),
                                                                     L(-20, 3, 1, 0.2 + 0.3 * fatness, "streak", 0, 1.1)),
        "sinew": (L(muscle - 25, 0, 2, 1, "mid", 12),), "vessel": (L(blood),), "faint": (L(blood - 12, 0, 2, 0.7),),
        "liver": (L(u(44, 64) + 0.5 * dye, vary_hu=2.5),), "spleen": (L(u(44, 54) + 0.6 * dye, vary_hu=2.5),),
        "stomach": (L(wall + 14), *food, L(-350, 5, 0, 0.8, "fine", 0, 1.7)), "bile": (L(36), L(u(2, 16), 2)),
        "gut": (L(wall, 0, 1, 1, "mid", 7), L(fat + 50, 1, 1, 0.4, "mid", 0, 1.0)),
        "fluid": (L(wall + 8, vary_hu=4), L(wall - 10, 2.6, 0.5, 1, "mid", 5), L(-700, 5, 0, 0.8, "mid", 0, 2.0)),
        "gas": (L(wall), L(-940, 2), L(30, 2.4, 0, 1, "coarse", 0, 0.8)), "oral": (L(wall), L(u(180, 480), 2.4, 1, 1, "mid", 40)),
        "stool": (L(wall), L(u(-10, 30), 2.2, 0.5, 1, "fine", 30), L(-500, 3, 0, 0.8, "fine", 0, 1.4)),
        "kidney": (L(u(27, 38) + dye, vary_hu=2), L(u(24, 34) + 0.7 * dye, 8, 4, 0.6, "coarse", 8)),
        "sinus": (L(fat + 12, 0, 1.2, 0.95, "mid", 14),), "water": (L(u(0, 14), 0, 0.4),), "ureter": (L(32), L(14, 1.3)),
        "disc": (L(u(75, 110), vary_hu=4),), "canal": (L(22, 0, 1),), "body bone": bone(1.3, 1.0), "arch bone": bone(1.7, 1.2),
        "rib bone": bone(1.5, 0.8), "cartilage": (L(u(120, 350), 0, 2, 1, "mid", 80),),
    }


def _wander(r: np.random.Generator, low: tuple, high: tuple, n: int, step_mm: float, bend: float) -> Vector:
    """Random path of n points that starts between two corners."""
    way, path = r.normal(size=3), [r.uniform(low, high)]
    for _ in range(n - 1):
        way = way / np.linalg.norm(way) + r.normal(size=3) * bend
        path.append(path[-1] + way / np.linalg.norm(way) * step_mm)
    return np.array(path)


def _trunk(p: Patient) -> None:
    """Body wall, lungs, heart, and the abdomen under two domes of the diaphragm."""
    u, f = p.rng.uniform, p.fatness
    p.half, p.deep = 144 + 30 * f + u(-8, 8), 96 + 20 * f
    skin, top = 4 + 27 * f, u(-92, -70)
    body = p.add("body", ellipsoid((0, 22, 0), (p.half + skin, p.deep + skin, 9 * FAR_MM)))
    cavity = grown(body, -skin - 17)
    domes = [tube([(s * u(66, 76), 22, top + 78 + (s > 0) * u(0, 16)), (s * 70, 22, FAR_MM)], 80, (1, 1.2, 0.95))
             for s in (-1, 1)]
    crura = tube([p.spine(-60, 0, 16), p.spine(0, 0, 14), p.spine(200)], [8, 34, 60])
    heart = ellipsoid((22, 62, top - 28), (62, 48, 42), None, 0.08)
    column = tube([p.spine(z) for z in (-FAR_MM, -100, -60, 0)], (24, 25, 28, 30))
    gullet = tube([p.spine(z, 8, 26) for z in (-FAR_MM, -110, -30)], 13)
    p.add("lung", without(cavity, either(*domes, crura, column, gullet, grown(heart, 4))))
    p.add("vessel", heart)
    for _ in range(24):
        p.add("vessel", tube(_wander(p.rng, (-90, -50, -190), (90, 40, top - 20), 3, 9, 0.5), (u(1, 3), 1.2, 0.6)))
    p.abdomen = grown(p.add("abdomen", both(cavity, either(*domes, crura))), -2)


def _tables(p: Patient) -> None:
    """Organs and muscles and great vessels of the tables, each a little different."""
    r, breath = p.rng, p.rng.uniform(-10, 10)
    for name, centre, radii, axis, uneven in ORGANS:
        where, size = np.add(centre, (0, 0, breath)) + r.normal(size=3) * 4, np.array(radii) * r.uniform(0.86, 1.14, 3)
        shape = ellipsoid(where, size, frame(np.array(axis) + r.normal(size=3) * 0.08), uneven)
        p.add(name, both(shape, p.abdomen))
    for _ in range(8):
        p.add("faint", tube(_wander(r, (-95, 0, -55), (-40, 50, 10), 4, 11, 0.4), (3.5, 3, 2, 1)))
    for name, mirrored, rows in TUBES:
        jitter = r.normal(size=(len(rows), 3)) * (1.5, 1.5, 0)
        for s in (1, -1)[:1 + mirrored]:
            path = np.array([p.spine(z, s * x, y) for x, y, z, _ in rows]) + jitter
            p.add(name, tube(path, np.array(rows)[:, 3] * r.uniform(0.88, 1.12)))
    p.aorta = np.array([p.spine(z, 9, 27) + r.normal(size=3) for z in range(-220, 115, 20)])
    p.add("vessel", tube(p.aorta, r.uniform(8.5, 11.5)))
    for _ in range(r.integers(22, 42)):                            # vessels of the gut
        n = r.integers(3, 7)
        p.add("vessel", tube(_wander(r, (-90, -25, -40), (90, 60, 150), n, 10, 0.3), np.linspace(r.uniform(1.2, 2.6), 0.7, n)))


def _bowel(p: Patient) -> None:
    r, u, oral = p.rng, p.rng.uniform, p.rng.random() < 0.1
    p.colon = []
    for s in (-1, 1):
        z = np.arange(u(10, 45) if s < 0 else u(-25, 15), 215, 9)
        sway = np.cumsum(r.normal(size=(2, len(z))), axis=1) * 1.5
        p.colon.append(np.c_[s * p.half * u(0.64, 0.74) + sway[0], u(-22, 10) + sway[1], z])
    x = np.linspace(-100, 100, 16)
    p.colon.append(np.c_[x, u(36, 62) + 8 * np.sin(x / 30), u(5, 45) + u(8, 40) * np.cos(x / 62) + r.normal(size=16) * 3])
    for path in p.colon:
        folds = 1 + 0.16 * np.cos(np.arange(len(path)) * 2.1 + u(0, 6))
        p.add("stool" if r.random() < 0.7 else "gas", tube(path, u(13, 19) * folds))
    for _ in range(r.integers(14, 26)):
        n, q = r.integers(4, 9), r.random()
        name = "oral" if oral and q < 0.5 else "gas" if q > 0.9 else "fluid"
        p.add(name, tube(_wander(r, (-85, 12, 20), (85, 70, 170), n, 8, 0.45), u(8, 13) * u(0.85, 1.1, n)))


def _kidney(p: Patient, side: int) -> dict[str, Vector]:
    """One kidney with fat, vessels and sinus; returns where stones may lie."""
    r, u, f = p.rng, p.rng.uniform, p.fatness
    radii = np.array([u(25, 31), u(23, 28), u(48, 58)])
    axes = frame((side * u(0.12, 0.42), u(0.05, 0.25), 1), (side * u(-0.7, -0.2), 1, 0))
    centre = p.spine(0) * (1, 0, 0) + (side * (u(57, 66) + 6 * f), u(-14, 4), u(2, 20) - 8 * (side > 0))

    def at(medial: float, front: float, down: float) -> Vector:
        return centre + np.array([-side * medial * radii[0], front, down]) @ axes

    p.add("fat", both(ellipsoid(at(0.15, -2, 6 + 5 * f), radii + 2 + u(2, 6) + 10 * f, axes, 0.05), p.abdomen))
    hilum, pelvis = at(1.05, 3, 0), at(0.42, 0, 2)
    for x, size, down in ((9, 2.6, -12), (-15, 4.4, -4)):          # artery and vein
        root = p.spine(centre[2] + down, x, 24)
        p.add("vessel", tube([root, (root + hilum) / 2 + r.normal(size=3) * 4, hilum, pelvis], (size, size, size, 1.5)))
    p.add("kidney", ellipsoid(centre, radii, axes, 0.045))
    rough = u(0.5, 1.0)
    p.add("sinus", ellipsoid(at(0.85, 1, 1), radii * (0.42, 0.5, 0.32 * rough), axes, 0.1))
    p.add("sinus", ellipsoid(at(0.30, 0, 0), radii * (0.36, 0.40, 0.50) * rough, axes, 0.25))
    tips = np.array([at(0.16 - u(0.15, 0.5), front * u(3, 10), down * radii[2] + u(-4, 4))
                     for down in np.linspace(-0.62, 0.62, r.integers(5, 8)) for front in (-1, 1)])
    swollen = abs(r.normal(0, 0.7)) if r.random() < 0.35 else 0.0
    for tip in tips:
        path = np.array([pelvis, pelvis * 0.45 + tip * 0.55 + r.normal(size=3) * 2.5, tip])
        p.add("sinus", tube(path, np.array([5, 3.6, 2.6]) * u(0.5, 1.1)))
        p.add("vessel", tube(path + r.normal(size=(3, 3)) * 3, (1.5, 1.2, 0.7)))
        p.add("water", tube(path, np.array([1.6, 1.2, 1.7]) + swollen * np.array([3, 3.5, 6])))
    p.add("water", ellipsoid(pelvis, np.array([5, 4, 7]) + swollen * 7, axes))
    if r.random() < 0.2:                                           # a cyst
        p.add("water", ellipsoid(centre + radii * frame(r.normal(size=3))[2] @ axes, np.full(3, u(5, 20))))
    ureter = [pelvis, at(0.95, 4, 14), at(1.2, 6, 26)]
    ureter += [p.spine(z, 0, 16) * (0, 1, 1) + (side * 37, 0, 0) + r.normal(size=3) * 1.5
               for z in np.arange(ureter[-1][2] + 16, 200, 18)]
    p.add("ureter", tube(ureter, 2.4 + swollen))
    return {"calyx": tips, "pelvis": pelvis[None], "ureter": np.array(ureter)}


def _stones(r: np.random.Generator, sites: dict[str, Vector]) -> list[SolidStone]:
    """A stone somewhere in a kidney's collecting system, sometimes with smaller neighbours."""
    kind = str(r.choice(["calyx", "pelvis", "ureter", "staghorn"], p=[0.62, 0.19, 0.15, 0.04]))
    hu, pelvis = r.uniform(220, 1450), sites["pelvis"][0]
    if kind == "staghorn":
        arms = [tube([pelvis, tip + r.normal(size=3) * 2], r.uniform(3, 6.5, 2))
                for tip in r.permutation(sites["calyx"])[:r.integers(2, 6)]]
        return [SolidStone(either(*arms, ellipsoid(pelvis, r.uniform(6, 11, 3))), hu, kind)]
    size = np.clip(np.exp(r.normal(log(7.0), 0.5)), 2, {"calyx": 16, "pelvis": 22, "ureter": 9}[kind])
    i = int(len(sites[kind]) * (1 - r.random() ** 1.5))            # more of them low down
    centre = sites[kind][min(i, len(sites[kind]) - 1)] + r.normal(size=3) * 1.2
    if kind == "ureter":
        centre = (centre + sites[kind][r.integers(1, 8)] * 0) if i else centre
    stones = []
    while not stones or (kind == "calyx" and r.random() < 0.25):
        radii = size / 2 * r.uniform(0.75, 1.25, 3)
        shape = ellipsoid(centre, radii, frame(r.normal(size=3)), 0.16)
        stones.append(SolidStone(shape, hu, kind))
        centre, size = centre + r.normal(size=3) * 0.8 * size, max(2.0, size * r.uniform(0.3, 0.7))
    return stones


def _spine(p: Patient) -> None:
    r, spurs, z = p.rng, p.rng.random() ** 2, -310.0
    while z < 220:
        height = 25 + 9 / (1 + np.exp(-(z + 20) / 40))             # vertebrae grow downwards
        grow = 0.72 + 0.28 / (1 + np.exp(-(z + 60) / 60))
        wide, deep, half = 24 * grow, 17 * grow, 0.40 * height
        centre, axes = p.spine(z), frame(p.spine(z + 8) - p.spine(z - 8) + r.normal(size=3) * 0.5)
        slab = ellipsoid(centre, (300, 300, half), axes)
        lips = [ellipsoid(centre + s * half * 0.86 * axes[2], (wide * (1.09 + 0.16 * spurs), deep * 1.08, 3.2), axes)
                for s in (-1, 1)]
        p.add("disc", ellipsoid(centre + height / 2 * axes[2], (wide * 0.97, deep * 0.97, 0.17 * height), axes))
        p.add("body bone", both(either(ellipsoid(centre, (wide, deep, 4 * half), axes), *lips), slab))
        p.add("canal", tube([centre + (0, -deep - 9, down) @ axes for down in (-20, 20)], 9 * grow))
        for path, radius in VERTEBRA:
            for s in (-1, 1):
                points = centre + np.array(path) * (s * grow, grow, 1) @ axes
                p.add("arch bone", tube(points, radius * grow))
        p.add("arch bone", ellipsoid(centre + (0, -56, 10) @ axes, (3.4, 13, 9), axes))
        z += height


def _ribs_and_hips(p: Patient) -> None:
    u = p.rng.uniform
    for s in (-1, 1):
        for i, stop in enumerate((2.5, 2.5, 2.5, 2.5, 2.5, 2.3, 1.7, 1.1)):
            head = -230 + 27 * i + u(-2, 2)
            path = [(s * (p.half - 3) * sin(t), 22 - (p.deep - 3) * cos(t), head + 42 * (1 - cos(t)) * (1 - 0.2 * t))
                    for t in np.linspace(0.18, stop, 14)]
            p.add("rib bone", tube(path, 5.8, (0.66, 0.75, 1.1)))
            p.add("cartilage", tube(path[-2:], 4, (0.6, 0.7, 1)))
        hip, axes = np.array([s * u(106, 114), u(-8, 6), 186]), frame((s * u(0.6, 0.8), 0.1, -1))
        for aside, size in ((-20, (20, 55, 70)), (22, (20, 60, 62))):
            p.add("muscle", ellipsoid(hip + (aside * s, 0, 8), size, axes))
        p.add("rib bone", ellipsoid(hip, (8, 62, 72), axes, 0.05))


def _lookalikes(p: Patient) -> None:
    """Bright things that are no stones: the table, pills in the colon, plaques of the aorta."""
    r = p.rng
    spots = [(r.uniform(low, high), r.uniform(*radius), r.uniform(*hu)) for share, most, low, high, radius, hu in LOOKALIKES
             for _ in range(r.integers(1, most + 1) * (r.random() < share))]
    spots += [(path[r.integers(len(path))] + r.normal(size=3) * 4, r.uniform(2, 4.5), r.uniform(250, 1200))
              for path in p.colon if r.random() < 0.2]
    for _ in range(r.integers(2, 14) * (r.random() < 0.5)):
        angle = r.uniform(0, 2 * pi)
        spots.append((p.aorta[r.integers(4, len(p.aorta))] + (9.5 * cos(angle), 9.5 * sin(angle), 0), r.uniform(1, 2.5),
                      r.uniform(350, 1100)))
    for centre, radius, hu in spots:
        p.parts.append((ellipsoid(centre, radius * r.uniform(0.6, 1.3, 3), frame(r.normal(size=3))), (Layer(hu),)))
