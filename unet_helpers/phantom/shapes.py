"""Solids as signed distances in mm; x to the right of the picture, y to the patient's front, z down."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]
Vector = NDArray[np.float64]
Solid = Callable[[Array, float, Array], Array]  # x, y, z to the distance from its surface, positive inside
UNTURNED = np.eye(3)


def frame(axis: ArrayLike, front: ArrayLike = (0.0, 1.0, 0.0)) -> Vector:
    """Three unit rows at right angles: the last along `axis`, the second as close to `front` as it can be."""
    w, u = axis / np.linalg.norm(axis), np.cross(front, axis)
    u = u / np.linalg.norm(u)
    return np.stack([u, np.cross(w, u), w])


def solid(
    points: ArrayLike,
    radii: ArrayLike = 1.0,
    stretch: ArrayLike = (1, 1, 1),
    axes: Vector = UNTURNED,
    uneven: float = 0.0,
) -> Solid:
    """Ball around a point (3,), or chain of round-ended cones through points (n, 3), with one radius or n.

    It is stretched along the rows of `axes`; `uneven`: the height of its bumps, as share of the radius."""
    p, k = np.atleast_2d(np.asarray(points, float)), np.asarray(stretch, float)
    r, n = np.broadcast_to(np.asarray(radii, float), len(p)), max(len(p) - 1, 1)
    rows, (ku, kv, kw) = axes / k[:, None], k.tolist()  # to the space in which it is round
    q = np.column_stack([p @ rows.T, r, p[:, 1]])
    links = np.column_stack([q[:n], q[-n:] - q[:n]]).tolist()
    reach = r.max() * (1 + 1.5 * uneven) * np.linalg.norm(axes[:, 1] * k) + 3
    waves = np.random.default_rng(int(abs(p).sum() * 100)).normal(size=(3, 5)) if uneven else np.zeros((0, 5))
    waves *= 3 / r.max(), 3 / r.max(), 3 / r.max(), 9, uneven * r.max() * 0.7  # wave vector, phase, height

    def distance(x: Array, y: float, z: Array) -> Array:
        deepest = np.full(x.shape, -1e3, np.float32)
        near = [link for link in links if abs(y - link[4] - link[9] / 2) < abs(link[9] / 2) + reach]
        if not near:
            return deepest
        u, v, w = ((x * a if a else 0) + (z * c if c else 0) + b * y for a, b, c in rows.tolist())
        bump = sum(h * np.sin(u * a + v * b + w * c + t) for a, b, c, t, h in waves.tolist())
        for u0, v0, w0, radius, _, du, dv, dw, taper, _ in near:
            a, b, c = u - u0, v - v0, w - w0
            if len(p) > 1:  # from the nearest point of the axis
                t = ((a * du + b * dv + c * dw) / (du * du + dv * dv + dw * dw + 1e-9)).clip(0, 1)
                a, b, c, radius = a - t * du, b - t * dv, c - t * dw, radius + t * taper
            gap = np.sqrt(a * a + b * b + c * c + 1e-6)
            mm = ku if ku == kv == kw else gap / np.sqrt((a / ku) ** 2 + (b / kv) ** 2 + (c / kw) ** 2 + 1e-9)
            np.maximum(deepest, (radius + bump - gap) * mm, out=deepest)
        return deepest

    return distance
