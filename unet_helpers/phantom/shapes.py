"""Solids as signed distances, and how they are painted into one slice.

World frame in mm: x to the right of the picture, y to the front of the patient, z down to the feet.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]
Vector = NDArray[np.float64]
Grains = dict[str, Array]
BEND_MM = 14.0  # how far the bent space can move an edge


class Shape(NamedTuple):
    """A solid: `distance(x, y, z)` to its surface in mm, positive inside, and corners of a box around it."""

    distance: Callable[[Array, float, Array], Array]
    low: Vector
    high: Vector


class Layer(NamedTuple):
    """Filling of a shape, from `inset_mm` below its surface; `patch`: only where the grain exceeds it."""

    hu: float
    inset_mm: float = 0.0
    soft_mm: float = 1.0
    opacity: float = 1.0
    grain: str = "mid"
    vary_hu: float = 0.0
    patch: float | None = None


class Grid(NamedTuple):
    """Pixel centres of one slice in bent space: x and z (H, W), one y; `to_pixel` leads back."""

    x: Array
    y: float
    z: Array
    pixel_mm: float
    to_pixel: Callable[[Vector], Vector]


def frame(axis: ArrayLike, front: ArrayLike = (0.0, 1.0, 0.0)) -> Vector:
    """Three unit rows at right angles: the last along `axis`, the second as close to `front` as it can be."""
    w = np.asarray(axis, float) / np.linalg.norm(axis)
    v = np.asarray(front, float) - np.dot(front, w) * w
    v /= np.linalg.norm(v)
    return np.stack([np.cross(v, w), v, w])


def ellipsoid(centre: ArrayLike, radii: ArrayLike, axes: Vector | None = None, uneven: float = 0.0) -> Shape:
    """Ellipsoid with radii along the rows of `axes`; `uneven`: height of its bumps, as share of the radii."""
    c, r = np.asarray(centre, float), np.asarray(radii, float)
    rows = (np.eye(3) if axes is None else axes) / r[:, None]
    rng = np.random.default_rng(np.abs(np.r_[c, r] * 100).astype(int))
    waves = np.c_[rng.normal(size=(6, 3)) * 3, rng.uniform(0, 6, 6), rng.normal(size=6) * uneven / 2].tolist()

    def distance(x: Array, y: float, z: Array) -> Array:
        u = [x * a + (z * b + d) for a, b, d in np.c_[rows[:, [0, 2]], rows[:, 1] * y - rows @ c].tolist()]
        rho = np.sqrt(u[0] ** 2 + u[1] ** 2 + u[2] ** 2 + 1e-6)
        slope = np.sqrt(sum((a / size) ** 2 for a, size in zip(u, r.tolist(), strict=True)) + 1e-9)
        edge = 1 + sum(h * np.sin(kx * u[0] + ky * u[1] + (kz * u[2] + t)) for kx, ky, kz, t, h in waves if h)
        return (edge - rho) * rho / slope

    reach = np.sqrt((np.linalg.inv(rows) ** 2).sum(1)) * (1 + 1.5 * uneven)
    return Shape(distance, c - reach, c + reach)


def tube(points: ArrayLike, radii: ArrayLike, stretch: ArrayLike = (1.0, 1.0, 1.0)) -> Shape:
    """Chain of round-ended cones through `points` (n, 3), one radius or n; `stretch` widens it by axis."""
    p, k = np.asarray(points, float), np.asarray(stretch, float)
    r = np.broadcast_to(np.asarray(radii, float), len(p))
    links = np.c_[p[:-1] / k, (p[1:] - p[:-1]) / k, r[:-1], r[1:] - r[:-1]].tolist()

    def distance(x: Array, y: float, z: Array) -> Array:
        x, y, z = x / float(k[0]), y / float(k[1]), z / float(k[2])
        best = np.full(x.shape, -1e3, np.float32)
        for ax, ay, az, vx, vy, vz, radius, taper in links:
            if abs(y - ay - vy / 2) < abs(vy / 2) + radius + abs(taper) + 3:
                px, py, pz = x - ax, y - ay, z - az
                t = np.clip((px * vx + (pz * vz + py * vy)) / (vx * vx + vy * vy + vz * vz + 1e-9), 0, 1)
                gap = np.sqrt((px - t * vx) ** 2 + (py - t * vy) ** 2 + (pz - t * vz) ** 2)
                np.maximum(best, radius + taper * t - gap, out=best)
        return best

    return Shape(distance, (p - r[:, None] * k).min(0), (p + r[:, None] * k).max(0))


def union(*shapes: Shape) -> Shape:
    """What lies inside at least one of the shapes."""
    return Shape(lambda x, y, z: np.maximum.reduce([s.distance(x, y, z) for s in shapes]),
                 np.min([s.low for s in shapes], axis=0), np.max([s.high for s in shapes], axis=0))


def cut(a: Shape, b: Shape) -> Shape:
    """What lies inside a and inside b."""
    return Shape(lambda x, y, z: np.minimum(a.distance(x, y, z), b.distance(x, y, z)),
                 np.maximum(a.low, b.low), np.minimum(a.high, b.high))


def minus(a: Shape, hole: Shape) -> Shape:
    """What lies inside a and outside the hole."""
    return Shape(lambda x, y, z: np.minimum(a.distance(x, y, z), -hole.distance(x, y, z)), a.low, a.high)


def grown(a: Shape, mm: float) -> Shape:
    """The shape with its surface moved outwards (inwards if negative)."""
    return Shape(lambda x, y, z: a.distance(x, y, z) + mm, a.low - mm, a.high + mm)


def pixel_box(grid: Grid, shape: Shape) -> tuple[slice, slice] | None:
    """Rows and columns of the grid that the shape can touch; None if it misses the slice."""
    if not shape.low[1] - 2 < grid.y < shape.high[1] + 2:
        return None
    (left, _, top), (right, _, bottom) = shape.low - BEND_MM, shape.high + BEND_MM
    corners = grid.to_pixel(np.array([(left, top), (left, bottom), (right, top), (right, bottom)]))
    low, high = np.clip([corners.min(0), corners.max(0) + 2], 0, grid.x.shape).astype(int)
    return (slice(low[0], high[0]), slice(low[1], high[1])) if (low < high).all() else None


def paint(image: Array, grid: Grid, shape: Shape, layers: tuple[Layer, ...], grains: Grains) -> None:
    """Paint the layers over the image in HU; an edge pixel is blended by how much of it the shape covers."""
    box = pixel_box(grid, shape)
    if box is None:
        return
    distance = shape.distance(grid.x[box], grid.y, grid.z[box])
    deepest = distance.max() + grid.pixel_mm
    for layer in layers:
        if layer.inset_mm < deepest:
            cover = np.clip((distance - layer.inset_mm) / (grid.pixel_mm + layer.soft_mm) + 0.5, 0, 1)
            grain = grains[layer.grain][box]
            if layer.patch is not None:
                cover *= np.clip((grain - layer.patch) * 3, 0, 1)
            image[box] += layer.opacity * cover * (layer.hu + layer.vary_hu * grain - image[box])
