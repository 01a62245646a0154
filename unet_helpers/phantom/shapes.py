"""Solids as signed distances in mm; x to the right of the picture, y to the patient's front, z down.

A solid is a function that says of every point how deep it lies below the surface; outside it is negative.
So pixels are inside where it is positive, and half covered where it is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]
Vector = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]  # of single or double precision
Coordinate = Floats | float  # of many points, or the same for all of them
Solid = Callable[[Floats, float, Floats], Array]  # x (H, W), y, z (H, W) of points to their depth (H, W)

UNTURNED = np.eye(3)
FAR_OUTSIDE_MM = -1e3  # said by a solid that passes far behind or in front of a slice
MARGIN_MM = 3  # beyond a solid's radius, in which it still says how far a slice is away
N_BUMPS = 3  # waves that lift and dent an uneven surface


class Way(NamedTuple):
    """From the nearest point of a link's axis to points: three offsets, and the radius of the link there."""

    du: Coordinate
    dv: Coordinate
    dw: Coordinate
    radius: Coordinate


class Link(NamedTuple):
    """A piece of a chain: a ball that grows or shrinks on its way from one point to the next.

    All but y is measured in the chain's own space, in which the ball is round.
    """

    u: float
    v: float
    w: float
    radius: float
    y_mm: float
    towards: tuple[float, float, float]  # along u, v and w, from here to the next point
    radius_change: float
    y_change_mm: float

    def way(self, u: Coordinate, v: Coordinate, w: Coordinate) -> Way:
        """The way to points from the link's axis, or from its end where that is nearer."""
        (a, b, c), du, dv, dw = self.towards, u - self.u, v - self.v, w - self.w
        if a == b == c == 0:  # it is a ball
            return Way(du, dv, dw, self.radius)
        share = np.asarray((du * a + dv * b + dw * c) / (a * a + b * b + c * c + 1e-9)).clip(0, 1)
        return Way(du - share * a, dv - share * b, dw - share * c, self.radius + share * self.radius_change)


class Bump(NamedTuple):
    """A wave over a surface, in the space in which the solid is round."""

    along_u: float
    along_v: float
    along_w: float
    phase: float
    height: float


@dataclass(frozen=True, eq=False)
class Chain:
    """A ball, or a chain of round-ended cones, stretched to an ellipsoid or a flat band; see `solid`."""

    rows: list[tuple[float, float, float]]  # (3, 3), from the body to the space in which it is round
    stretch: tuple[float, float, float]
    links: list[Link]
    bumps: list[Bump]
    reach_mm: float  # from its axis, towards the back and the front

    def __call__(self, x: Floats, y: float, z: Floats) -> Array:
        """How deep points lie below the surface, in mm.

        Args:
            x: Of the points, (H, W).
            y: The one depth of all of them.
            z: Of the points, (H, W).

        Returns:
            Array (H, W), positive inside.
        """
        deepest = np.full(x.shape, FAR_OUTSIDE_MM, np.float32)
        near = [link for link in self.links if self.reaches(link, y)]
        if not near:
            return deepest
        u, v, w = ((x * a if a else 0) + (z * c if c else 0) + b * y for a, b, c in self.rows)
        bump = sum(height * np.sin(u * a + v * b + w * c + phase) for a, b, c, phase, height in self.bumps)
        for link in near:
            du, dv, dw, radius = link.way(u, v, w)
            gap = np.sqrt(du * du + dv * dv + dw * dw + 1e-6)
            depth = (radius + bump - gap) * self.mm_per_unit(du, dv, dw, gap)
            np.maximum(deepest, depth, out=deepest)
        return deepest

    def reaches(self, link: Link, y: float) -> bool:
        """Whether a link may come near the depth y."""
        half_mm = link.y_change_mm / 2
        return abs(y - link.y_mm - half_mm) < abs(half_mm) + self.reach_mm

    def mm_per_unit(self, du: Coordinate, dv: Coordinate, dw: Coordinate, gap: Floats) -> Coordinate:
        """How long one unit of the space in which the solid is round is in the body, along an offset."""
        along_u, along_v, along_w = self.stretch
        if along_u == along_v == along_w:
            return along_u
        return gap / np.sqrt((du / along_u) ** 2 + (dv / along_v) ** 2 + (dw / along_w) ** 2 + 1e-9)


def solid(
    points: ArrayLike,
    radii: ArrayLike = 1.0,
    stretch: ArrayLike = (1, 1, 1),
    axes: Vector = UNTURNED,
    uneven: float = 0.0,
) -> Chain:
    """A ball around one point, or a chain of round-ended cones through several.

    Args:
        points: One point (3,) or several (n, 3), in mm.
        radii: One radius in mm, or one a point.
        stretch: By which factors it is stretched along the rows of `axes`; with `radii` 1, its three radii.
        axes: Three unit rows at right angles, see `frame`.
        uneven: Height of the bumps on its surface, as share of the radius.
    """
    centres, factors = np.atleast_2d(np.asarray(points, float)), np.asarray(stretch, float)
    radius = np.broadcast_to(np.asarray(radii, float), len(centres))
    rows = axes / factors[:, None]
    ends = np.column_stack([centres @ rows.T, radius, centres[:, 1]])  # (n, 5): u, v, w, radius, y
    n_links = max(len(ends) - 1, 1)
    links = np.column_stack([ends[:n_links], ends[-n_links:] - ends[:n_links]])
    return Chain(
        rows=[(a, b, c) for a, b, c in rows.tolist()],
        stretch=(float(factors[0]), float(factors[1]), float(factors[2])),
        links=[
            Link(u, v, w, r, y, (du, dv, dw), dr, dy) for u, v, w, r, y, du, dv, dw, dr, dy in links.tolist()
        ],
        bumps=draw_bumps(centres, float(radius.max()), uneven) if uneven else [],
        reach_mm=float(radius.max() * (1 + 1.5 * uneven) * np.linalg.norm(axes[:, 1] * factors) + MARGIN_MM),
    )


def draw_bumps(centres: Vector, radius: float, uneven: float) -> list[Bump]:
    """Bumps of an uneven solid; where it lies decides on them, so that it keeps them from slice to slice."""
    rng = np.random.default_rng(int(abs(centres).sum() * 100))
    waves = rng.normal(size=(N_BUMPS, 5))
    waves *= 3 / radius, 3 / radius, 3 / radius, 9, uneven * radius * 0.7  # wave vector, phase, height
    return [Bump(*wave) for wave in waves.tolist()]


def frame(axis: ArrayLike, front: ArrayLike = (0.0, 1.0, 0.0)) -> Vector:
    """Three unit rows at right angles: the last along `axis`, the second as close to `front` as it can be."""
    last, first = np.asarray(axis, float), np.cross(np.asarray(front), np.asarray(axis))
    last = last / np.linalg.norm(last)
    first = first / np.linalg.norm(first)
    return np.stack([first, np.cross(last, first), last])


def without(one: Solid, other: Solid) -> Solid:
    """What is left of a solid where another one is taken away."""
    return lambda x, y, z: np.minimum(one(x, y, z), -other(x, y, z))
