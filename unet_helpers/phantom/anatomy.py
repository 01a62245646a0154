"""One patient: what the tissues measure in Hounsfield units (HU), what they fill, in mm, and the stones."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from unet_helpers.phantom.shapes import UNTURNED, Solid, Vector, frame, solid
from unet_helpers.phantom.space import Traits
from unet_helpers.phantom.stones import KINDS, STAGHORN_EVERY, Stone, make_stones


def L(hu, inset_mm=0.0, soft_mm=1.0, opacity=1.0, grain="mid", vary_hu=0.0, patch=None) -> tuple:
    """Layer of a filling, from `inset_mm` below the surface; `patch`: only where the grain exceeds it."""
    return hu, inset_mm, soft_mm, opacity, grain, vary_hu, patch


def row(
    filling,
    *points,
    axis=(0, 0, 1),
    stretch=(1, 1, 1),
    uneven=0.0,
    sides=1,
    vary=0.12,
    sway=1.0,
    times=(1, 1),
    spread=(0, 0, 0),
) -> tuple:
    """Tube through points (x, y, z, radius) or ball (x, y, z, one or three radii); see `draw` for more."""
    return filling, points, axis, stretch, uneven, sides, vary, sway, times, spread


FAT, WATER, BLOOD, WALL, MUSCLE, DENSE = (-114, -100), (0, 14), (38, 50), (30, 44), (32, 62), (400, 1000)
FILLINGS = {  # a patient draws every range of HU once
    "body": (L((10, 30)), L(FAT, 2.2, vary_hu=5), L((-55, -35), 6, 1, 0.25, "streak", 0, 1.2)),
    "wall": (L(MUSCLE), L(FAT, 5.5, 0, 0.5), L(MUSCLE, 6.6, 0), L(FAT, 10.7, 0, 0.4), L(MUSCLE, 11.5)),
    "fat": (L(FAT, 0, 1, 1, "coarse", 10), L((-40, -10), 0, 2, 0.5, "mid", 0, 0.6)),
    "muscle": (L(MUSCLE, 0, 0.5, vary_hu=3), L((-40, -20), 2, 1, 0.4, "streak", 0, 0.9)),
    "lung": (L(MUSCLE), L((-880, -860), 3, 2, vary_hu=25)),
    "sinus": (L((-87, -73), 0, 1, vary_hu=18),),
    "liver": (L((34, 72), 0, 1, 1, "coarse", 2),),
    "spleen": (L((36, 60), 0, 1, 1, "coarse", 2),),
    "bile": (L(MUSCLE), L(WATER, 2)),
    "blood": (L(BLOOD),),
    "gut": (L(WALL, vary_hu=7),),
    "oral": (L(WALL), L((60, 280), 2.4, 4)),
    "disc": (L((80, 125), vary_hu=8),),
    "chalk": (L((250, 1200)),),
    "meal": (L(MUSCLE), L((0, 50), 3, 1, 1, "fine", 18), L((-360, -340), 5, 0, 0.8, "fine", 0, 1.7)),
    "stool": (
        L(WALL),
        L((-10, 30), 2.2, 0.5, 1, "fine", 25),
        L((-520, -480), 3, 1, 0.7, "mid", 0, 1.3),
        L((250, 700), 3, 0.5, 1, "fine", 0, 3.2),
    ),
    "gas": (L(WALL), L((-950, -930), 2), L((20, 40), 2.4, 0, 1, "coarse", 0, 0.8)),
    "fluid": (L(MUSCLE, vary_hu=4), L((20, 34), 2.6, 0.5, vary_hu=5), L((-720, -680), 5, 0, 1, "mid", 0, 2)),
    "kidney": (L((28, 46), vary_hu=2), L((27, 41), 8, 4, 0.6, "coarse", 6)),
    "metal": (L((2400, 2600)),),
    "calyx": (L(WATER),),
    "pelvis": (L(WATER),),
    "ureter": (L(WALL), L(WATER, 1.3)),
    "bone": (L(DENSE, 0, 0.2), L((140, 260), 2, 0.8, 1, "fine", 36), L(DENSE, 4, 9, 0.25, "mid", 0, 1)),
    "rib": (L(DENSE, 0, 0.2), L((120, 400), 2, 0.8, 1, "fine", 36)),
}
CHOICES = {"colon": "stool gas", "loop": "gas fluid oral", "stomach": "meal meal oral", "wall": "wall muscle"}
PERFUSED = {"blood": 1.0, "kidney": 0.9, "spleen": 0.6, "liver": 0.5}  # share of a dye's HU
CHEST = (  # x and y from the spine, as in all tables that say nothing else; heart, vessels, aorta, vena cava
    row("fat", (4, 10, -400, 22), (4, 12, -100, 24), (0, 0, 0, 28)),
    row("blood", (24, 99, -125, 66, 50, 46)),
    row("blood", *[(0, 50, -145, 2)] * 9, sway=2, vary=0.5, times=(10, 20), spread=(90, 45, 45)),
    row("blood", (9, 27, -220, 9.5), (9, 27, -50, 9.5), (9, 27, 105, 9.5)),
    row("blood", (-17, 25, -70, 10), (-15, 24, 106, 9)),
)
ABDOMEN = (  # with two pairs of muscles, pancreas, colon, small vessels and small bowel
    row("stomach", (50, 60, -42, 36, 36, 30), axis=(0.6, 0, 1)),
    row("gut", (20, 52, -8, 20, 22, 16)),
    row("spleen", (106, 8, -42, 33, 50, 58), axis=(0.45, 0.1, 1)),
    row("bile", (-56, 55, 4, 13, 20, 22)),
    row("liver", (-84, 44, -32, 64, 95, 112), axis=(-0.7, -0.1, 1)),
    row("liver", (-20, 85, -46, 78, 54, 48)),
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
    row("kidney", (0, 0, 0, 1), vary=0),
    row("sinus", (0.85, 0.04, 0.02, 0.42, 0.5, 0.26), vary=0.2),
    row("sinus", (0.30, 0, 0, 0.27, 0.31, 0.39), uneven=0.25, vary=0.3),
    *(
        row(name, (0.42, 0, 0.04, a), (0.15, 0.1 * front, z / 2, b), (-0.2, 0.25 * front, z, c), vary=0.3)
        for z in (-0.65, -0.4, -0.15, 0.1, 0.35, 0.6)
        for front in (-1, 1)
        for name, a, b, c in (
            ("sinus", 0.17, 0.12, 0.09),
            ("blood", 0.05, 0.04, 0.02),
            ("calyx", 0.04, 0.03, 0.05),
        )
    ),
    row("ureter", (0.4, 0, 0, 0.08), (0.9, 0, 0.3, 0.08), (1.3, 0.4, 0.9, 0.08), (2.4, 1, 3, 0.08), sway=2),
    row("pelvis", (0.42, 0, 0.04, 0.13)),
    row("bile", (-0.5, 0, 0, 0.3), vary=0.7, times=(-2, 0.9), sway=8),
)
VERTEBRA = (  # a lumbar one, from its middle: pedicles with processes, joints, canal, disc, body
    row("bone", (14, -13, -5, 5.5), (17, -29, -5, 5), (42, -34, -3, 4.2), sides=2, sway=1.5, vary=0.25),
    row("bone", (15, -31, -16, 6.5), (18, -34, -2, 6.5), (13, -37, 16, 6.5), sides=2, sway=0),
    row("gut", (0, -26, -20, 9), (0, -26, 20, 9)),
    row("disc", (0, 0, 17, 23, 16, 5.8), sway=0),
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
URINE = {kind.location for kind in KINDS}  # what swells where urine is held back
SLICE_STEP_MM = 2  # slices of a patient are at least so far apart
USUAL_DEPTHS_MM, BODY_DEPTHS_MM = (-28, 36), (-74, 118)  # of the kidneys; of the leanest body
MOST_SLICES = (BODY_DEPTHS_MM[1] - BODY_DEPTHS_MM[0]) // SLICE_STEP_MM
WHY_NO_MORE = f"Slices are {SLICE_STEP_MM} mm apart, and no more fit into a body."
SHARE_THROUGH_STONE = 0.7  # of the slices, where there are enough places through a stone


class Patient(NamedTuple):
    """A person on the table: solids with their layers in painting order, and stones."""

    seed: int
    traits: Traits
    parts: list[tuple[Solid, tuple]]
    stones: list[Stone]


def make_patient(seed: int, staghorn_size: float | None = None) -> Patient:
    """Draw a patient; the same arguments give the same patient.

    Args:
        seed: Any number from 0.
        staghorn_size: None leaves to chance whether there is a staghorn stone and how large it is; 0 gives
            none; above 0 to 1 gives one, from the smallest to the largest that there are.
    """
    r = np.random.default_rng([seed, 1])
    traits = draw_traits(r)
    dye_hu = r.uniform(10, 35) * (r.random() < 0.10)  # contrast agent
    layers = draw_layers(r, dye_hu)
    solids = list(anatomy(r, traits))
    if staghorn_size is None:
        staghorn_size = (1 - r.random()) * (r.random() < 1 / STAGHORN_EVERY)
    stones = make_stones(r, traits, solids, staghorn_size)
    return Patient(seed, traits, [(shape, layers[name]) for name, shape, _ in solids], stones)


def draw_traits(r: Generator) -> Traits:
    u = r.uniform
    length_mm, shift_mm = np.repeat([(170, 75, 32), (3.5, 1.1, 0.3)], 4, axis=1)[..., None]
    along, phases, shifts = u(-1, 1, (12, 3)), u(0, 7, (12, 1)), r.normal(size=(12, 2))
    return Traits(
        spacing_mm=u(0.95, 1.32),
        centre_x=u(-28, 28),
        centre_z=u(-25, 12),
        level=u(58, 70),
        width=u(335, 375),
        noise_hu=u(3.8, 5.6),
        blur_mm=u(2.2, 3.2),
        scoliosis=u(-7, 7),
        lordosis=u(22, 34),
        spine_y=u(-18, -4),
        fatness=r.beta(1.4, 2.6),
        waist=u(0, 0.2),
        tilt=u(-0.15, 0.15) * (u() < 0.45),
        waves=np.hstack([6.3 / length_mm * along, phases, shift_mm * shifts]),
    )


def draw_layers(r: Generator, dye_hu: float) -> dict[str, tuple]:
    """The layers of every filling, each with one HU from its range, and `dye_hu` where blood takes a dye."""
    hus: dict[tuple, float] = {}
    layers = {
        name: tuple(
            (hus.setdefault(hu, r.uniform(*hu)) + dye_hu * PERFUSED.get(name, 0), *rest)
            for hu, *rest in filling
        )
        for name, filling in FILLINGS.items()
    }
    return layers | {name: layers[r.choice(names.split())] for name, names in CHOICES.items()}


def slice_depths(patient: Patient, n_slices: int) -> list[float]:
    """Depths in mm of some slices of a scan whose slices are 2 mm apart, back to front, no two the same.

    Most of them go through a stone, as far as the stones reach. More than 32 slices leave the kidneys.

    Raises:
        ValueError: If the body is not deep enough for so many.
    """
    if not 1 <= n_slices <= MOST_SLICES:
        raise ValueError(f"n_slices must be 1 to {MOST_SLICES}, got {n_slices}. {WHY_NO_MORE}")
    r = np.random.default_rng([patient.seed, 2])
    places = scan_depths(n_slices, r.uniform(0, SLICE_STEP_MM))
    shows = [(places > stone.size.back_mm) & (places < stone.size.front_mm) for stone in patient.stones]
    free = np.ones(len(places), bool)
    for _ in range(n_slices):
        through = [free & shown for shown in shows if (free & shown).any()]
        if through and r.random() < SHARE_THROUGH_STONE:
            pool = through[r.integers(len(through))]  # any stone, small or large, then any place through it
        else:
            pool = free
        free[r.choice(np.flatnonzero(pool))] = False
    return np.round(places[~free], 2).tolist()


def scan_depths(n_slices: int, offset_mm: float) -> Vector:
    """Depths of a scan through the kidneys, or through as much of the body as n slices need."""
    missing = max(0, n_slices * SLICE_STEP_MM - (USUAL_DEPTHS_MM[1] - USUAL_DEPTHS_MM[0]))
    behind = USUAL_DEPTHS_MM[0] - BODY_DEPTHS_MM[0]
    infront = BODY_DEPTHS_MM[1] - USUAL_DEPTHS_MM[1]
    back = USUAL_DEPTHS_MM[0] - missing * behind / (behind + infront)
    n_places = max(n_slices, (USUAL_DEPTHS_MM[1] - USUAL_DEPTHS_MM[0]) // SLICE_STEP_MM)
    return round(back + offset_mm, 2) + SLICE_STEP_MM * np.arange(n_places)


def beside_spine(t: Traits, points: ArrayLike) -> Vector:
    """Points (n, 3) given from the middle of the spine: the chest curves back, the loins forward."""
    x, y, z = np.transpose(points)
    x, y = x + t.scoliosis * np.sin(z / 90 + t.spine_y), y + t.spine_y + t.lordosis * np.tanh(z / 90)
    return np.column_stack([x, y, z])


def draw(
    r: Generator,
    t: Traits,
    rows: Iterable[tuple],
    origin: ArrayLike | None = None,
    axes: Vector = UNTURNED,
    scale: ArrayLike = (1, 1, 1),
    wide: float = 1.0,
) -> Iterator[tuple]:
    """Solids of a table, each so many `times`, beside the spine or from an origin along axes.

    They differ in size by a share `vary`, in course by `sway` and place by `spread` mm; `wide`: of urine."""
    for filling, points, axis, stretch, uneven, sides, vary, sway, times, spread in rows:
        for side in [1, -1][:sides] * max(0, round(r.uniform(*times))):
            mirror, (*xyz, radii), ball = np.array([side, 1, 1]), np.array(points).T[:4], len(points) == 1
            path = (np.transpose(xyz) * mirror + spread * r.uniform(-1, 1, 3)) * scale
            path = beside_spine(t, path) if origin is None else origin + path @ axes
            path += r.normal(size=path.shape).cumsum(0).cumsum(0) * sway * (3 if ball else 1)
            size = points[0][3:] * np.array(scale) if ball else np.prod(scale) ** (1 / 3) * np.array(stretch)
            size = size * np.exp(vary * r.uniform(-1, 1, 3 if ball else 1)) * wide ** (filling in URINE)
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
