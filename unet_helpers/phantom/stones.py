"""Stones: where they lie in a kidney, what they are made of, and how large they are in three dimensions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from unet_helpers.phantom.anatomy import Part
from unet_helpers.phantom.organs import CALYX_LEVELS
from unet_helpers.phantom.shapes import Chain, Solid, Vector, frame, solid
from unet_helpers.phantom.space import Traits, in_body, in_picture


class Kind(NamedTuple):
    """Where single stones lie, how often, and how large they grow there."""

    location: str  # name of an organ
    share: float
    largest_mm: float


KINDS = (Kind("calyx", 0.64, 17), Kind("pelvis", 0.20, 24), Kind("ureter", 0.16, 9))
SHARES_OF_COUNTS = (0.07, 0.09, 0.13, 0.17, 0.19, 0.19, 0.16)  # of patients with 0, 1, 2, ... single stones
STAGHORN_EVERY = 6  # one patient of so many has a staghorn
N_CALYCES = 2 * len(CALYX_LEVELS)  # of a kidney: at every level one behind and one in front
SMALLEST_MM = 2.0
TYPICAL_MM, SPREAD = 3.4, 0.75  # median of the drawn sizes, and standard deviation of their logarithm
MISS_MM = 1.2  # standard deviation of a stone's distance from the point where it lies, along each axis
UNEVEN = 0.16  # height of the bumps, as share of the radius
N_SAMPLES = (1_500, 8_000)  # points of a first look at a stone, and of the measuring
N_DIRECTIONS = 300  # in which its width is measured

Paths = dict[str, list[Vector]]  # axes of the parts of each name; calyces of one kidney, then of the other


class Size(NamedTuple):
    """What a stone measures, in the same millimetres as the pixels of its picture."""

    diameter_mm: float  # longest extent in any direction
    volume_mm3: float
    back_mm: float  # depths between which it lies
    front_mm: float


class Stone(NamedTuple):
    """A stone of a patient; `number` counts a patient's stones from 0."""

    number: int
    shape: Solid
    hu: float
    location: str  # calyx, pelvis, ureter or staghorn
    size: Size


class Drawn(NamedTuple):
    """A stone before it is measured."""

    shape: Chain
    path: Vector  # (n, 3), its axis
    reach_mm: float  # no part of it is further from its axis
    hu: float
    location: str


def make_stones(rng: Generator, traits: Traits, parts: list[Part], staghorn_size: float) -> list[Stone]:
    """Draw and measure the stones of a patient; `staghorn_size` 0: without a staghorn."""
    paths: Paths = {}
    for part in parts:
        paths.setdefault(part.name, []).append(part.path)
    drawn = [draw_staghorn(rng, paths, staghorn_size)] if staghorn_size else []
    for _ in range(rng.choice(len(SHARES_OF_COUNTS), p=SHARES_OF_COUNTS)):
        drawn += draw_single(rng, paths)
    return [
        Stone(number, one.shape, one.hu, one.location, measure(one.shape, traits, one.path, one.reach_mm))
        for number, one in enumerate(drawn)
    ]


def draw_single(rng: Generator, paths: Paths) -> Iterator[Drawn]:
    """A stone at a calyx's end, in a pelvis or a ureter; in a calyx sometimes with smaller neighbours."""
    kind = KINDS[rng.choice(len(KINDS), p=[kind.share for kind in KINDS])]
    hu = rng.uniform(220, 1450)
    path = paths[kind.location][rng.integers(len(paths[kind.location]))]
    point = path[rng.integers(1, 4) if kind.location == "ureter" else -1]
    centre = point + rng.normal(size=3) * MISS_MM
    size_mm = float(np.clip(TYPICAL_MM * np.exp(rng.normal(0, SPREAD)), SMALLEST_MM, kind.largest_mm))
    for _ in range(rng.geometric(0.75) if kind.location == "calyx" else 1):
        radii_mm = size_mm / 2 * rng.uniform(0.75, 1.25, 3)
        shape = solid(centre, 1, radii_mm, frame(rng.normal(size=3)), UNEVEN)
        yield Drawn(shape, centre, radii_mm.max() * 1.5, hu, kind.location)
        centre = centre + rng.normal(size=3) * 0.8 * size_mm  # of a neighbour
        size_mm = max(SMALLEST_MM, size_mm * rng.uniform(0.3, 0.7))


def draw_staghorn(rng: Generator, paths: Paths, size: float) -> Drawn:
    """A stone that fills a kidney's pelvis and grows from there into two to five calyces, with thick ends.

    Args:
        rng: Source of chance.
        paths: Axes of the parts of the body.
        size: Above 0 to 1, from the smallest to the largest that there are.
    """
    kidney = rng.integers(2) * N_CALYCES
    calyces = paths["calyx"][kidney : kidney + N_CALYCES]
    n_branches = 2 + int(3.99 * size)
    levels = np.sort(rng.permutation(len(CALYX_LEVELS))[:n_branches])
    pelvis = calyces[0][0]
    path, radii_mm = [], []
    for level in levels:
        _, neck, end = calyces[2 * level + rng.integers(2)]
        path += [pelvis, neck, end]
        radii_mm += [3.5 + 3.5 * size, rng.uniform(1.5, 2.5) + 1.5 * size, rng.uniform(2.2, 3.2) + 3 * size]
    points = np.array([*path, pelvis])
    shape = solid(points, [*radii_mm, radii_mm[0]], uneven=UNEVEN)
    return Drawn(shape, points, max(radii_mm) * 1.5, rng.uniform(400, 1250), "staghorn")


def measure(shape: Solid, traits: Traits, path: Vector, reach_mm: float) -> Size:
    """Measure a solid by sampling it in the picture's space, which the waves of the body stretch and squeeze.

    Args:
        shape: The solid, in the body.
        traits: Of the patient it lies in.
        path: Points (n, 3) of its axis, in the body.
        reach_mm: No part of it is further from its axis.

    Returns:
        Its longest extent and volume, within 2 % for a ball, and its range of depths.
    """
    places = in_picture(traits, np.atleast_2d(path))
    low, high = places.min(0) - 1.3 * reach_mm, places.max(0) + 1.3 * reach_mm
    for n_samples in N_SAMPLES:  # first in a box that is large enough, then in one that fits
        points, inside, step = sample(shape, traits, low, high, n_samples)
        low, high = points.min(0) - step, points.max(0) + step
    volume_mm3 = float(np.clip(inside / step + 0.5, 0, 1).sum()) * step**3
    rim = abs(inside) < 0.5 * step
    points, inside = points[rim], inside[rim]
    towards, back_and_front = points @ directions(N_DIRECTIONS).T, points[:, 1]
    widths = (towards + inside[:, None]).max(0) - (towards - inside[:, None]).min(0)
    back_mm, front_mm = (back_and_front - inside).min(), (back_and_front + inside).max()
    return Size(*(round(float(mm), 2) for mm in (widths.max(), volume_mm3, back_mm, front_mm)))


def sample(
    shape: Solid, traits: Traits, low: Vector, high: Vector, n_samples: int
) -> tuple[Vector, Vector, float]:
    """Points of a box of the picture in a solid or just outside.

    Args:
        shape: The solid, in the body.
        traits: Of the patient it lies in.
        low: Corner (3,) of the box, in mm.
        high: The opposite corner.
        n_samples: Points in the box, about.

    Returns:
        The points (n, 3); how deep inside they lie (n,), in mm; the step from one to the next, in mm.
    """
    step = float(np.prod(high - low) / n_samples) ** (1 / 3)
    axes = (np.arange(a + step / 2, b, step) for a, b in zip(low, high, strict=True))
    right, depth, down = np.meshgrid(*axes, indexing="ij")
    x, z = in_body(traits, right, depth, down)
    cuts = range(depth.shape[1])
    inside = np.stack([shape(x[:, i], float(depth[0, i, 0]), z[:, i]) for i in cuts], axis=1)
    near = inside > -step
    return np.column_stack([right[near], depth[near], down[near]]), inside[near], step


def directions(n: int) -> Vector:
    """Unit vectors (n, 3), spread evenly over half a sphere: a spiral that turns by the golden angle."""
    height = (np.arange(n) + 0.5) / n
    angle = np.pi * (1 + 5**0.5) * np.arange(n)
    radius = np.sqrt(1 - height**2)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle), height])
