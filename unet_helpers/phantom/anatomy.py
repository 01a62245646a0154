"""One patient: what the tissues measure in Hounsfield units (HU), what they fill, in mm, and the stones."""

from collections.abc import Iterable, Iterator
from types import SimpleNamespace as Traits
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from unet_helpers.phantom.shapes import UNTURNED, Solid, Vector, frame, solid


def L(hu, inset_mm=0.0, soft_mm=1.0, opacity=1.0, grain="mid", vary_hu=0.0, patch=None) -> tuple:
    """Layer of a filling, from `inset_mm` below the surface; `patch`: only where the grain exceeds it."""
    return hu, inset_mm, soft_mm, opacity, grain, vary_hu, patch


def row(filling, *points, axis=(0, 0, 1), stretch=(1, 1, 1), uneven=0.0, sides=1, vary=0.12, sway=1.0,
        times=(1, 1), spread=(0, 0, 0)) -> tuple:
    """Tube through points (x, y, z, radius) or ball (x, y, z, one or three radii); see `draw` for more."""
    return filling, points, axis, stretch, uneven, sides, vary, sway, times, spread


FAT, WATER, BLOOD, WALL, MUSCLE, DENSE = (-114, -100), (0, 14), (38, 50), (30, 44), (32, 62), (400, 1000)
FILLINGS = {  # a patient draws every range of HU once
    "body": (L((10, 30)), L(FAT, 2.2, vary_hu=5), L((-55, -35), 6, 1, 0.25, "streak", 0, 1.2)),
    "wall": (L(MUSCLE), L(FAT, 5.5, 0, 0.5), L(MUSCLE, 6.6, 0), L(FAT, 10.7, 0, 0.4), L(MUSCLE, 11.5)),
    "fat": (L(FAT, 0, 1, 1, "coarse", 10), L((-40, -10), 0, 2, 0.5, "mid", 0, 0.6)),
    "muscle": (L(MUSCLE, 0, 0.5, vary_hu=3), L((-40, -20), 2, 1, 0.4, "streak", 0, 0.9)),
    "lung": (L(MUSCLE), L((-880, -860), 3, 2, vary_hu=25)), "sinus": (L((-87, -73), 0, 1, vary_hu=18),),
    "liver": (L((34, 72), 0, 1, 1, "coarse", 2),), "spleen": (L((36, 60), 0, 1, 1, "coarse", 2),),
    "bile": (L(MUSCLE), L(WATER, 2)), "blood": (L(BLOOD),), "gut": (L(WALL, vary_hu=7),),
    "oral": (L(WALL), L((60, 280), 2.4, 4)), "disc": (L((80, 125), vary_hu=8),), "chalk": (L((250, 1200)),),
    "meal": (L(MUSCLE), L((0, 50), 3, 1, 1, "fine", 18), L((-360, -340), 5, 0, 0.8, "fine", 0, 1.7)),
    "stool": (L(WALL), L((-10, 30), 2.2, 0.5, 1, "fine", 25), L((-520, -480), 3, 1, 0.7, "mid", 0, 1.3),
              L((250, 700), 3, 0.5, 1, "fine", 0, 3.2)),
    "gas": (L(WALL), L((-950, -930), 2), L((20, 40), 2.4, 0, 1, "coarse", 0, 0.8)),
    "fluid": (L(MUSCLE, vary_hu=4), L((20, 34), 2.6, 0.5, vary_hu=5), L((-720, -680), 5, 0, 1, "mid", 0, 2)),
    "kidney": (L((28, 46), vary_hu=2), L((27, 41), 8, 4, 0.6, "coarse", 6)), "metal": (L((2400, 2600)),),
    "calyx": (L(WATER),), "pelvis": (L(WATER),), "ureter": (L(WALL), L(WATER, 1.3)),
    "bone": (L(DENSE, 0, 0.2), L((140, 260), 2, 0.8, 1, "fine", 36), L(DENSE, 4, 9, 0.25, "mid", 0, 1)),
    "rib": (L(DENSE, 0, 0.2), L((120, 400), 2, 0.8, 1, "fine", 36)),
}
CHOICES = {"colon": "stool gas", "loop": "gas fluid oral", "stomach": "meal meal oral", "wall": "wall muscle"}
PERFUSED = {"blood": 1.0, "kidney": 0.9, "spleen": 0.6, "liver": 0.5}  # share of a dye's HU
CHEST = (  # x and y from the spine, as in all tables that say nothing else; heart, vessels, aorta, vena cava
    row("fat", (4, 10, -400, 22), (4, 12, -100, 24), (0, 0, 0, 28)), row("blood", (24, 99, -125, 66, 50, 46)),
    row("blood", *[(0, 50, -145, 2)] * 9, sway=2, vary=0.5, times=(10, 20), spread=(90, 45, 45)),
    row("blood", (9, 27, -220, 9.5), (9, 27, -50, 9.5), (9, 27, 105, 9.5)),
    row("blood", (-17, 25, -70, 10), (-15, 24, 106, 9)),
)
ABDOMEN = (  # with two pairs of muscles, pancreas, colon, small vessels and small bowel
    row("stomach", (50, 60, -42, 36, 36, 30), axis=(0.6, 0, 1)), row("gut", (20, 52, -8, 20, 22, 16)),
    row("spleen", (106, 8, -42, 33, 50, 58), axis=(0.45, 0.1, 1)), row("bile", (-56, 55, 4, 13, 20, 22)),
    row("liver", (-84, 44, -32, 64, 95, 112), axis=(-0.7, -0.1, 1)), row("liver", (-20, 85, -46, 78, 54, 48)),
    row("muscle", (22, 2, -40, 6), (32, -4, 10, 17), (43, -9, 60, 27), (70, -6, 190, 38), sides=2),
    row("muscle", (30, -54, -300, 30), (30, -50, -60, 31), (33, -52, 60, 34), (33, -56, 300, 34), sides=2),
    row("gut", (-30, 32, 14, 11), (0, 36, -4, 9), (46, 24, -14, 9), (84, 4, -26, 7), sway=2),
    row("colon", (110, 2, 10, 15), (110, -2, 100, 16), (111, -8, 215, 16), uneven=0.12, sides=2, sway=3),
    row("blood", *[(0, 25, 55, 1.8)] * 8, vary=0.4, sway=2, times=(10, 22), spread=(90, 40, 95)),
    row("fluid", *[(0, 25, 90, 11)] * 7, vary=0.2, sway=3, times=(10, 22), spread=(85, 30, 80)),
    row("loop", *[(0, 25, 95, 11)] * 7, vary=0.2, sway=3, times=(2, 4), spread=(85, 25, 75)),
)
KIDNEY = (  # as shares of the kidney's radii, x towards the spine; last, a cyst
    row("fat", (0.1, -0.08, 0.08, 1.15)),
    row("blood", (1.9, 0.9, 0.1, 0.14), (1.4, 0.5, 0.1, 0.14), (1.05, 0.1, 0, 0.13), (0.4, 0, 0, 0.05)),
    row("kidney", (0, 0, 0, 1), vary=0), row("sinus", (0.85, 0.04, 0.02, 0.42, 0.5, 0.26), vary=0.2),
    row("sinus", (0.30, 0, 0, 0.27, 0.31, 0.39), uneven=0.25, vary=0.3),
    *(row(name, (0.42, 0, 0.04, a), (0.15, 0.1 * front, z / 2, b), (-0.2, 0.25 * front, z, c), vary=0.3)
      for z in (-0.65, -0.4, -0.15, 0.1, 0.35, 0.6) for front in (-1, 1)
      for name, a, b, c in (("sinus", .17, .12, .09), ("blood", .05, .04, .02), ("calyx", .04, .03, .05))),
    row("ureter", (0.4, 0, 0, 0.08), (0.9, 0, 0.3, 0.08), (1.3, 0.4, 0.9, 0.08), (2.4, 1, 3, 0.08), sway=2),
    row("pelvis", (0.42, 0, 0.04, 0.13)), row("bile", (-0.5, 0, 0, 0.3), vary=0.7, times=(-2, 0.9), sway=8),
)
VERTEBRA = (  # a lumbar one, from its middle: pedicles with processes, joints, canal, disc, body
    row("bone", (14, -13, -5, 5.5), (17, -29, -5, 5), (42, -34, -3, 4.2), sides=2, sway=1.5, vary=0.25),
    row("bone", (15, -31, -16, 6.5), (18, -34, -2, 6.5), (13, -37, 16, 6.5), sides=2, sway=0),
    row("gut", (0, -26, -20, 9), (0, -26, 20, 9)), row("disc", (0, 0, 17, 23, 16, 5.8), sway=0),
    row("bone", (0, 0, -11, 25), (0, 0, 0, 22), (0, 0, 11, 25), stretch=(1, 0.72, 0.12), vary=0.03, sway=0),
)
OTHERS = (  # hips, chalk anywhere and in the aorta, pills in the colon, surgical clips
    row("muscle", (111, -15, 182, 40, 64, 72), axis=(0.7, 0.1, -1), sides=2),
    row("rib", (100, -20, 158, 9, 62, 70), axis=(0.7, 0.1, -1), sides=2, vary=0.3, spread=(12, 15, 25)),
    row("chalk", (0, 5, 40, 2), vary=0.6, times=(-7, 9), spread=(105, 30, 150)),
    row("chalk", (9, 27, -15, 1.8), vary=0.6, times=(-12, 12), spread=(10, 7, 120)),
    row("chalk", (108, 0, 70, 3), vary=0.5, times=(-9, 2), spread=(10, 15, 60), sides=2),
    row("metal", (0, 20, -5, 1.5), vary=0.5, times=(-50, 5), spread=(70, 12, 20)),
)
STONES = {"calyx": (0.60, 17), "pelvis": (0.19, 24), "ureter": (0.15, 9), "staghorn": (0.06, 20)}  # share, mm


class Patient(NamedTuple):
    """A person on the table: solids with their layers in painting order; stones; waves that bend space."""
    seed: int
    traits: Traits
    waves: Vector  # (n, 6): wave vector (3), phase, shift along x and z
    parts: list[tuple[Solid, tuple]]
    stones: list[tuple[Solid, float, str, float, float]]  # HU, location (see STONES), depth and its margin


def make_patient(seed: int) -> Patient:
    """Draw a patient; the same seed gives the same patient."""
    u, hus = (r := np.random.default_rng([seed, 1])).uniform, {}
    t = Traits(spacing_mm=u(0.95, 1.32), centre_x=u(-28, 28), centre_z=u(-25, 12), level=u(58, 70),
               width=u(335, 375), noise_hu=u(3.8, 5.6), blur_mm=u(2.2, 3.2), scoliosis=u(-7, 7),
               lordosis=u(22, 34), spine_y=u(-18, -4), fatness=r.beta(1.4, 2.6), waist=u(0, 0.2),
               mirrored=u() < 0.5, tilt=u(-0.15, 0.15) * (u() < 0.45))
    long, shift = np.repeat([(170, 75, 32), (3.5, 1.1, 0.3)], 4, axis=1)[..., None]  # mm
    waves = np.hstack([6.3 / long * u(-1, 1, (12, 3)), u(0, 7, (12, 1)), shift * r.normal(size=(12, 2))])
    dye = u(10, 35) * (u() < 0.10)  # contrast agent
    layers = {name: tuple((hus.setdefault(hu, u(*hu)) + dye * PERFUSED.get(name, 0), *rest)
                          for hu, *rest in filling) for name, filling in FILLINGS.items()}
    layers |= {name: layers[r.choice(names.split())] for name, names in CHOICES.items()}
    solids = list(anatomy(r, t))
    stones = [s for _ in range(r.choice(6, p=[.07, .31, .27, .18, .11, .06])) for s in draw_stones(r, solids)]
    return Patient(seed, t, waves, [(shape, layers[name]) for name, shape, _ in solids], stones)


def slice_depths(patient: Patient, n_slices: int) -> list[float]:
    """Depths in mm of n slices, back to front, most of them through a stone if the patient has one."""
    r = np.random.default_rng([patient.seed, 2])
    depths = r.uniform(-28, 36, n_slices)
    for i in np.flatnonzero(r.random(n_slices) < 0.65) if patient.stones else ():
        depths[i] = r.normal(*patient.stones[r.integers(len(patient.stones))][3:])
    return sorted(np.round(depths, 2).tolist())


def beside_spine(t: Traits, points: ArrayLike) -> Vector:
    """Points (n, 3) given from the middle of the spine: the chest curves back, the loins forward."""
    x, y, z = np.transpose(points)
    x, y = x + t.scoliosis * np.sin(z / 90 + t.spine_y), y + t.spine_y + t.lordosis * np.tanh(z / 90)
    return np.column_stack([x, y, z])


def draw(r: Generator, t: Traits, rows: Iterable[tuple], origin: ArrayLike | None = None,
         axes: Vector = UNTURNED, scale: ArrayLike = (1, 1, 1), wide: float = 1.0) -> Iterator[tuple]:
    """Solids of a table, each so many `times`, beside the spine or from an origin along axes.

    They differ in size by a share `vary`, in course by `sway` and place by `spread` mm; `wide`: of urine."""
    for filling, points, axis, stretch, uneven, sides, vary, sway, times, spread in rows:
        for side in [1, -1][:sides] * max(0, round(r.uniform(*times))):
            mirror, (*xyz, radii), ball = np.array([side, 1, 1]), np.array(points).T[:4], len(points) == 1
            path = (np.transpose(xyz) * mirror + spread * r.uniform(-1, 1, 3)) * scale
            path = beside_spine(t, path) if origin is None else origin + path @ axes
            path += r.normal(size=path.shape).cumsum(0).cumsum(0) * sway * (3 if ball else 1)
            size = points[0][3:] * np.array(scale) if ball else np.prod(scale) ** (1 / 3) * np.array(stretch)
            size = size * np.exp(vary * r.uniform(-1, 1, 3 if ball else 1)) * wide ** (filling in STONES)
            turned = axes if axis == (0, 0, 1) else frame(axis * mirror) @ axes
            yield filling, solid(path, 1 if ball else radii, size, turned, uneven or 0.07 * ball), path


def anatomy(r: Generator, t: Traits) -> Iterator[tuple]:
    """All solids in the order in which they are painted, each over those before it."""
    u, middle, top, drop = r.uniform, np.array([[0, 22, 0]]), r.uniform(-26, -4), r.uniform(45, 95)
    half, deep = u((124, 92), (152, 104)) + np.array([30, 20]) * t.fatness
    for name, wall in (("body", 4 + 27 * t.fatness), ("wall", 0), ("fat", -19)):
        cavity = solid(middle, 1, (half + wall, deep + wall, 4000))
        yield name, cavity, middle
    yield from draw(r, t, ABDOMEN)
    domes = [(-70, 22, 400), (-70, 22, top), (0, 10, -10), (70, 22, top + u(0, 16)), (70, 22, 400)]
    diaphragm = solid(domes, (84, 84, 34, 84, 84))
    yield "lung", lambda *at: np.minimum(cavity(*at), -diaphragm(*at)), middle
    yield from draw(r, t, CHEST)
    for side in (-1, 1):
        axes = frame((side * u(0.1, 0.4), u(0, 0.25), 1), (side * u(-0.7, -0.2), 1, 0)) * [[-side], [1], [1]]
        centre = side * (u(57, 66) + 6 * t.fatness), u(-14, 4), u(2, 20) - 8 * (side > 0)
        swollen = abs(r.normal(0, 2)) * (r.random() < 0.35)
        yield from draw(r, t, KIDNEY, centre, axes, u((25, 23, 48), (31, 28, 58)), 1 + swollen)
    for z in np.cumsum(np.linspace(25, 34, 18)) - 335:
        above, centre, below = beside_spine(t, [(0, 0, z - 8), (0, 0, z), (0, 0, z + 8)])
        size = 0.72 + 0.28 / (1 + np.exp(-(z + 60) / 60))
        yield from draw(r, t, VERTEBRA, centre, frame(below - above + r.normal(size=3) * 0.4), [size] * 3)
    for i, last in enumerate((2.5, 2.5, 2.5, 2.5, 2.5, 2.3, u(1.6, 2.2), u(1, 2), u(0.6, 1.8))):  # ribs
        a, inside = np.linspace(0.18, last, 13), u(0, 12)
        z = 27 * i - 225 + u(-6, 6) + (drop + 4 * i) * (1 - np.cos(a)) * (1 - 0.2 * a)
        rib = np.column_stack([(half - inside) * np.sin(a), (inside - deep) * np.cos(a), z, np.full(13, 5.6)])
        rib = row("rib", *rib, stretch=(0.75, 0.85, 1.2), sides=2, vary=0.25, sway=0.1)
        yield from draw(r, t, [rib], middle[0])
    yield from draw(r, t, OTHERS)


def draw_stones(r: Generator, solids: list[tuple]) -> Iterator[tuple]:
    """A stone somewhere in a kidney's collecting system, in a calyx sometimes with smaller neighbours."""
    kind, hu = str(r.choice(list(STONES), p=[p for p, _ in STONES.values()])), r.uniform(220, 1450)
    paths = [path for name, _, path in solids if name == ("calyx" if kind == "staghorn" else kind)]
    i = r.integers(len(paths))
    if kind == "staghorn":  # fills two or three calyces of a kidney, with the pelvis between them
        calyces = i // 12 * 12 + r.permutation(12)[:r.integers(2, 4)]
        path = np.vstack([[*paths[j], paths[i][0]] for j in calyces])
        yield solid(path, r.uniform(3, 6.5, len(path)), uneven=0.16), hu, kind, path[0, 1], 4.0
        return
    centre = paths[i][r.integers(1, 4) if kind == "ureter" else -1] + r.normal(size=3) * 1.2
    size = np.clip(np.exp(r.normal(1.5, 0.75)), 2, STONES[kind][1])
    for _ in range(r.geometric(0.75) if kind == "calyx" else 1):
        stone = solid(centre, 1, size / 2 * r.uniform(0.75, 1.25, 3), frame(r.normal(size=3)), 0.16)
        yield stone, hu, kind, centre[1], size / 6
        centre, size = centre + r.normal(size=3) * 0.8 * size, max(2.0, size * r.uniform(0.3, 0.7))
