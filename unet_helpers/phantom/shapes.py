"""Solids by signed distance, and how they are painted into one slice.

World frame in millimetres: x to the right of the picture, y to the front of the patient, z down to the feet.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]
REACH_MM = 14.0  # how far the bending of space can move an edge


class Shape(NamedTuple):
    """A solid: `distance(x, y, z)` in mm, positive inside, and the box that holds it."""

    distance: Callable[[Array, float, Array], Array]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


class Layer(NamedTuple):
    """What fills a shape from `inset_mm` below its surface inwards; `patch` limits it to where the grain exceeds it."""

    hu: float
    inset_mm: float = 0.0
    soft_mm: float = 0.0
    opacity: float = 1.0
    grain: str = "mid"
    vary_hu: float = 0.0
    patch: float | None = None


class Part(NamedTuple):
    shape: Shape
    layers: tuple[Layer, ...]


class Grid(NamedTuple):
    """Pixel centres of one slice in the bent space of the patient: x and z of shape (H, W), one depth y."""

    x: Array
    y: float
    z: Array
    pixel_mm: float
    to_pixel: Callable[[float, float], tuple[float, float]]


def frame(axis: ArrayLike, front: ArrayLike = (0.0, 1.0, 0.0)) -> NDArray[np.float64]:
    """Three unit rows at right angles: the last along `axis`, the second as close to `front` as possible."""
    w = np.asarray(axis, float) / np.linalg.norm(axis)
    v = np.asarray(front, float) - np.dot(front, w) * w
    v /= np.linalg.norm(v)
    return np.stack([np.cross(v, w), v, w])


def bumps(rng: np.random.Generator, amplitude: float, n: int = 5, frequency: float = 3.0) -> NDArray[np.float64]:
    """Rows (wave vector, phase, amplitude) that make the surface of an ellipsoid uneven."""
    waves = rng.normal(size=(n, 3)) * frequency
    return np.c_[waves, rng.uniform(0, 2 * np.pi, n), rng.normal(size=n) * amplitude / np.sqrt(n)]


def ellipsoid(centre: ArrayLike, radii: ArrayLike, axes: ArrayLike | None = None, uneven: ArrayLike = ()) -> Shape:
    """Ellipsoid with radii in mm along the rows of `axes`."""
    c, r = np.asarray(centre, float), np.asarray(radii, float)
    rows = (np.eye(3) if axes is None else np.asarray(axes)) / r[:, None]

    def distance(x: Array, y: float, z: Array) -> Array:
        x, z = x - np.float32(c[0]), z - np.float32(c[2])
        u = [np.float32(a[0]) * x + (np.float32(a[2]) * z + np.float32(a[1] * (y - c[1]))) for a in rows]
        rho2 = u[0] ** 2 + u[1] ** 2 + u[2] ** 2 + np.float32(1e-6)
        slope = np.sqrt(sum((np.float32(1 / q) * v) ** 2 for q, v in zip(r, u, strict=True)) + np.float32(1e-9))
        rho = np.sqrt(rho2)
        size = np.float32(1)
        for kx, ky, kz, phase, amplitude in np.asarray(uneven, np.float32):
            size = size + amplitude * np.sin(kx * u[0] + ky * u[1] + (kz * u[2] + phase))
        return (size - rho) * rho / slope

    reach = np.sqrt((np.linalg.inv(rows) ** 2).sum(1)) * (1.15 if len(uneven) else 1.0)
    return Shape(distance, c - reach, c + reach)


def tube(points: ArrayLike, radii: ArrayLike, stretch: ArrayLike = (1.0, 1.0, 1.0)) -> Shape:
    """Chain of round-ended cylinders through `points` (n, 3); radii in mm, one or n; `stretch` widens it by axis."""
    k = np.asarray(stretch, float)
    p = np.asarray(points, float)
    r = np.broadcast_to(np.asarray(radii, float), (len(p),))

    def distance(x: Array, y: float, z: Array) -> Array:
        best = np.full(np.broadcast(x, z).shape, -1e3, np.float32)
        for a, b, ra, rb in zip(p[:-1], p[1:], r[:-1], r[1:], strict=True):
            if not min(a[1], b[1]) - k[1] * max(ra, rb) - 3 < y < max(a[1], b[1]) + k[1] * max(ra, rb) + 3:
                continue
            v, w = ((b - a) / k).astype(np.float32), np.float32((y - a[1]) / k[1])
            px, pz = (x - np.float32(a[0])) / np.float32(k[0]), (z - np.float32(a[2])) / np.float32(k[2])
            t = np.clip((px * v[0] + (pz * v[2] + w * v[1])) / (v @ v + np.float32(1e-9)), 0, 1)
            gap = np.sqrt((px - t * v[0]) ** 2 + (w - t * v[1]) ** 2 + (pz - t * v[2]) ** 2)
            np.maximum(best, np.float32(ra) + t * np.float32(rb - ra) - gap, out=best)
        return best

    reach = r[:, None] * k
    return Shape(distance, (p - reach).min(0), (p + reach).max(0))


def both(*shapes: Shape) -> Shape:
    """What lies inside every one of the shapes."""
    low = np.max([s.low for s in shapes], axis=0)
    high = np.min([s.high for s in shapes], axis=0)
    return Shape(lambda x, y, z: np.minimum.reduce([s.distance(x, y, z) for s in shapes]), low, high)


def either(*shapes: Shape) -> Shape:
    """What lies inside at least one of the shapes."""
    low = np.min([s.low for s in shapes], axis=0)
    high = np.max([s.high for s in shapes], axis=0)
    return Shape(lambda x, y, z: np.maximum.reduce([s.distance(x, y, z) for s in shapes]), low, high)


def grown(shape: Shape, mm: float) -> Shape:
    """The shape with its surface moved outwards by `mm` (inwards if negative)."""
    return Shape(lambda x, y, z: shape.distance(x, y, z) + np.float32(mm), shape.low - mm, shape.high + mm)


def outside(shape: Shape) -> Shape:
    """Everything but the shape."""
    far = np.full(3, 1e4)
    return Shape(lambda x, y, z: -shape.distance(x, y, z), -far, far)


def window_of(grid: Grid, shape: Shape, margin_mm: float = REACH_MM) -> tuple[slice, slice] | None:
    """Rows and columns of the grid that the shape can touch, or None if it misses the slice."""
    if not shape.low[1] - 2 < grid.y < shape.high[1] + 2:
        return None
    corners = [grid.to_pixel(x, z) for x in (shape.low[0] - margin_mm, shape.high[0] + margin_mm)
               for z in (shape.low[2] - margin_mm, shape.high[2] + margin_mm)]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    n_rows, n_columns = grid.x.shape
    rows, columns = (slice(max(0, int(a)), min(n, int(b) + 2)) for a, b, n in
                     zip(low, high, (n_rows, n_columns), strict=True))
    return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None


def paint(image_hu: Array, grid: Grid, part: Part, grains: dict[str, Array]) -> None:
    """Paint the layers of a part over the image, edges blended by how much of a pixel they cover."""
    box = window_of(grid, part.shape)
    if box is None:
        return
    distance = part.shape.distance(grid.x[box], grid.y, grid.z[box])
    if distance.max() < -grid.pixel_mm:
        return
    for layer in part.layers:
        width = np.float32(grid.pixel_mm + layer.soft_mm)
        cover = np.clip((distance - np.float32(layer.inset_mm)) / width + np.float32(0.5), 0, 1)
        grain = grains[layer.grain][box]
        if layer.patch is not None:
            cover *= np.clip((grain - np.float32(layer.patch)) * 4, 0, 1)
        target = np.float32(layer.hu) + np.float32(layer.vary_hu) * grain
        image_hu[box] += np.float32(layer.opacity) * cover * (target - image_hu[box])
