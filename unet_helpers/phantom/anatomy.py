"""The body: the tables of organs, and what is computed beside them, as parts in the order of painting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from unet_helpers.phantom import organs
from unet_helpers.phantom.organs import Ball, Organ, Tube
from unet_helpers.phantom.shapes import UNTURNED, Solid, Vector, frame, solid, without
from unet_helpers.phantom.space import Traits

TRUNK_AXIS = np.array([[0.0, 22.0, 0.0]])  # the trunk is a column around it, along z
ENDLESS_MM = 4000  # half the length of that column, far longer than a picture
N_VERTEBRAE, TOP_OF_SPINE_MM = 18, -335
RIB_ENDS = (2.5, 2.5, 2.5, 2.5, 2.5, 2.3)  # angle around the trunk, from the spine, at which a rib ends
LOW_RIB_ENDS = ((1.6, 2.2), (1, 2), (0.6, 1.8))  # those of the lowest ribs differ from person to person
N_RIB_KNOTS = 13


class Part(NamedTuple):
    """One solid of a body."""

    name: str
    filling: str  # of tissues.FILLINGS or tissues.CHOICES
    solid: Solid
    path: Vector  # (1, 3) centre of a ball, (n, 3) axis of a tube, in mm


class Place(NamedTuple):
    """Where a table of organs is built."""

    origin_mm: Vector  # (3,)
    axes: Vector = UNTURNED  # (3, 3), rows: where the table's x, y and z point to
    unit_mm: Vector = np.ones(3)  # length of the table's units along these axes
    swelling: float = 1.0  # factor of what holds urine
    follows_spine: bool = False  # bend with it, instead of standing at the origin


BESIDE_SPINE = Place(np.zeros(3), follows_spine=True)


class Trunk(NamedTuple):
    """The wall of chest and belly, in mm."""

    half_width: float  # of its inner surface, from the axis to a side
    half_depth: float  # and to the front or the back
    diaphragm_z: float  # centre of the dome over the liver
    rib_drop: float  # by how much the upper ribs fall on their way from back to front


def build_body(rng: Generator, traits: Traits) -> Iterator[Part]:
    """All parts in the order in which they are painted, each over those before it."""
    trunk = draw_trunk(rng, traits)
    wall = list(build_wall(trunk, traits.fatness))
    yield from wall
    yield from build(rng, traits, organs.ABDOMEN)
    yield build_lungs(rng, trunk, chest=wall[-1].solid)
    yield from build(rng, traits, organs.CHEST)
    yield from build_kidney(rng, traits, side=-1)
    yield from build_kidney(rng, traits, side=1)
    yield from build_spine(rng, traits)
    yield from build_ribs(rng, traits, trunk)
    yield from build(rng, traits, organs.HIPS)
    yield from build(rng, traits, organs.LOOK_ALIKES)


def draw_trunk(rng: Generator, traits: Traits) -> Trunk:
    """A narrower or wider trunk; fat people have a wider one."""
    diaphragm_z, rib_drop = rng.uniform(-26, -4), rng.uniform(45, 95)
    half_width, half_depth = rng.uniform((124, 92), (152, 104)) + np.array([30, 20]) * traits.fatness
    return Trunk(half_width, half_depth, diaphragm_z, rib_drop)


def build_wall(trunk: Trunk, fatness: float) -> Iterator[Part]:
    """Columns around the trunk's axis: skin with the fat below it, muscles, and the fat around the bowels."""
    for name, outwards_mm in (("body", 4 + 27 * fatness), ("wall", 0.0), ("fat", -19.0)):
        radii = (trunk.half_width + outwards_mm, trunk.half_depth + outwards_mm, ENDLESS_MM)
        yield Part(name, name, solid(TRUNK_AXIS, 1, radii), TRUNK_AXIS)


def build_lungs(rng: Generator, trunk: Trunk, chest: Solid) -> Part:
    """The chest without what the diaphragm covers: a dome over each side, and a lower saddle between them."""
    right, left = trunk.diaphragm_z, trunk.diaphragm_z + rng.uniform(0, 16)
    domes = [(-70, 22, 400), (-70, 22, right), (0, 10, -10), (70, 22, left), (70, 22, 400)]
    diaphragm = solid(domes, (84, 84, 34, 84, 84))
    return Part("lungs", "lung", without(chest, diaphragm), TRUNK_AXIS)


def build_kidney(rng: Generator, traits: Traits, side: int) -> Iterator[Part]:
    """The kidney on the patient's right (`side` -1, the picture's left) or left (1), with its urinary tract.

    Its lower pole points outwards and to the front. The left one lies higher. In one of three, something
    holds urine back, and the tract swells.
    """
    downwards = (side * rng.uniform(0.1, 0.4), rng.uniform(0, 0.25), 1)
    frontwards = (side * rng.uniform(-0.7, -0.2), 1, 0)
    axes = frame(downwards, frontwards) * [[-side], [1], [1]]  # x of the table points to the spine
    x, y = side * (rng.uniform(57, 66) + 6 * traits.fatness), rng.uniform(-14, 4)
    z = rng.uniform(2, 20) - 8 * (side > 0)
    swelling = 1 + abs(rng.normal(0, 2)) * (rng.random() < 0.35)
    radii_mm = rng.uniform((25, 23, 48), (31, 28, 58))
    yield from build(rng, traits, organs.KIDNEY, Place(np.array([x, y, z]), axes, radii_mm, swelling))


def build_spine(rng: Generator, traits: Traits) -> Iterator[Part]:
    """Vertebrae from the chest, where they are small and close, to the loins."""
    distances_mm = np.linspace(25, 34, N_VERTEBRAE)
    for z in np.cumsum(distances_mm) + TOP_OF_SPINE_MM:
        above, centre, below = beside_spine(traits, [(0, 0, z - 8), (0, 0, z), (0, 0, z + 8)])
        size = 0.72 + 0.28 / (1 + np.exp(-(z + 60) / 60))
        axes = frame(below - above + rng.normal(size=3) * 0.4)
        yield from build(rng, traits, organs.VERTEBRA, Place(centre, axes, np.full(3, size)))


def build_ribs(rng: Generator, traits: Traits, trunk: Trunk) -> Iterator[Part]:
    """Pairs of ribs: they follow the trunk's wall from the spine to the front, and fall on their way."""
    ends = [*RIB_ENDS, *(rng.uniform(*low_end) for low_end in LOW_RIB_ENDS)]
    for number, end in enumerate(ends):
        angle = np.linspace(0.18, end, N_RIB_KNOTS)  # 0 is at the back, pi in front
        inwards_mm = rng.uniform(0, 12)
        back_z = 27 * number - 225 + rng.uniform(-6, 6)
        fall_mm = (trunk.rib_drop + 4 * number) * (1 - np.cos(angle)) * (1 - 0.2 * angle)
        x = (trunk.half_width - inwards_mm) * np.sin(angle)
        y = (inwards_mm - trunk.half_depth) * np.cos(angle)
        knots = np.column_stack([x, y, back_z + fall_mm, np.full(N_RIB_KNOTS, 5.6)])
        tube = Tube([(*knot,) for knot in knots.tolist()], stretch=(0.75, 0.85, 1.2), sway_mm=0.1)
        rib = Organ("rib", "rib", tube, both_sides=True, vary=0.25)
        yield from build(rng, traits, [rib], Place(TRUNK_AXIS[0]))


def build(
    rng: Generator, traits: Traits, table: Iterable[Organ], place: Place = BESIDE_SPINE
) -> Iterator[Part]:
    """The parts of a table, in its order."""
    for organ in table:
        n_copies = max(0, round(rng.uniform(*organ.copies)))
        sides = (1, -1) if organ.both_sides else (1,)
        for side in sides * n_copies:
            yield build_organ(rng, traits, organ, place, np.array([side, 1, 1]))


def build_organ(rng: Generator, traits: Traits, organ: Organ, place: Place, mirror: NDArray[np.int_]) -> Part:
    """An organ as one person has it: somewhat shifted, bent, larger or smaller.

    `mirror` (3,) holds the factors of x, y and z: -1, 1, 1 for the other one of a pair.
    """
    shape, axes = organ.shape, place.axes
    path = draw_path(rng, traits, organ, place, mirror)
    radii: ArrayLike
    if isinstance(shape, Ball):
        radii, stretch = 1, np.array(shape.radii) * place.unit_mm * vary(rng, organ, 3)
        if shape.axis is not None:
            axes = frame(np.array(shape.axis) * mirror) @ axes
    else:
        mean_unit_mm = np.prod(place.unit_mm) ** (1 / 3)
        radii = [radius for *_, radius in shape.knots]
        stretch = mean_unit_mm * np.array(shape.stretch) * vary(rng, organ, 1)
    if organ.swells:
        stretch = stretch * place.swelling
    return Part(organ.name, organ.filling, solid(path, radii, stretch, axes, shape.uneven), path)


def draw_path(rng: Generator, traits: Traits, organ: Organ, place: Place, mirror: NDArray[np.int_]) -> Vector:
    """Centre (1, 3) of a ball or axis (n, 3) of a tube in the body, in mm."""
    shape = organ.shape
    points = [shape.centre] if isinstance(shape, Ball) else [knot[:3] for knot in shape.knots]
    path = np.array(points) * mirror + np.array(organ.spread) * rng.uniform(-1, 1, 3)
    path = path * place.unit_mm
    path = beside_spine(traits, path) if place.follows_spine else place.origin_mm + path @ place.axes
    walk = rng.normal(size=path.shape).cumsum(0).cumsum(0)  # summed twice, it bends smoothly
    return path + walk * shape.sway_mm


def vary(rng: Generator, organ: Organ, n_axes: int) -> Vector:
    """Factors (n_axes,) by which an organ is larger or smaller than in its table."""
    return np.exp(organ.vary * rng.uniform(-1, 1, n_axes))


def beside_spine(traits: Traits, points: ArrayLike) -> Vector:
    """Points (n, 3) given from the middle of the spine, in the body: the loins lie in front of the chest."""
    x, y, z = np.transpose(points)
    x = x + traits.scoliosis * np.sin(z / 90 + traits.spine_y)
    y = y + traits.spine_y + traits.lordosis * np.tanh(z / 90)
    return np.column_stack([x, y, z])
