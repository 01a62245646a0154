"""How far apart are two outlines, in millimetres?

Conventions, held by the tests against MONAI: the outline of a mask is made of its own pixels that have a
background pixel above, below, left or right of them; beyond the edge of the image everything is background.
A distance goes from the centre of an outline pixel to the centre of the nearest outline pixel of the other
mask, and it is taken both ways. Both masks empty -> NaN; exactly one empty -> infinite distance, and 0 for
the surface Dice.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

__all__ = [
    "SurfaceScores",
    "outline",
    "pixel_size",
    "surface_distances",
    "surface_scores",
]

Spacing = float | tuple[float, float]


class SurfaceScores(NamedTuple):
    """How far apart the two outlines of one image are.

    Attributes:
        surface_dice: Share of both outlines, counted in outline pixels, that lies within a tolerance of the
            other one: in [0, 1], NaN if both masks are empty, 0.0 if exactly one is. A tolerance below the
            pixel size asks for outlines that coincide pixel by pixel.
        hd95: Hausdorff distance without the farthest 5 %: the larger of the two directed 95th percentiles,
            each interpolated linearly. (One percentile of both directions pooled is another number, and a
            smaller one where a large prediction faces a small stone.) In millimetres or pixels.
        average_distance: Mean over all outline pixels of both masks of the distance to the other outline.
            Both distances are NaN if both masks are empty, and infinite if exactly one is.

    Reference: Nikolov et al. (2018), arXiv:1809.04430, who weigh each piece of outline by its length instead.
    """

    surface_dice: float
    hd95: float
    average_distance: float


def outline(mask: np.ndarray) -> np.ndarray:
    """Return the outline pixels of a mask: bool array (H, W) to bool array (H, W)."""
    edge: np.ndarray = mask & ~ndimage.binary_erosion(mask)
    return edge


def pixel_size(spacing_mm: Spacing) -> tuple[float, float]:
    """Height and width of a pixel from one number or from (row, column).

    Raises:
        ValueError: If it is neither, or not positive.
    """
    size = np.asarray(spacing_mm, float)
    if size.shape not in {(), (2,)} or not (np.isfinite(size).all() and (size > 0).all()):
        raise ValueError(f"spacing_mm must be positive, one number or (row, column), got {spacing_mm}.")
    row_mm, column_mm = np.broadcast_to(size, 2).tolist()
    return row_mm, column_mm


def _outline_points(mask: np.ndarray) -> np.ndarray:
    """Rows and columns (N, 2) of the outline; looks only at the part of the mask that holds something."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return np.empty((0, 2), int)
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    points: np.ndarray = np.argwhere(outline(part)) + np.array([rows[0], columns[0]])
    return points


def _nearest(points: np.ndarray, others: np.ndarray, size: tuple[float, float]) -> np.ndarray:
    if not len(points) or not len(others):
        return np.full(len(points), np.inf)
    tree = cKDTree(others * size, balanced_tree=False, compact_nodes=False)  # built for one query alone
    nearest = tree.query(points * size)[1]
    apart = (points - others[nearest]) * size  # whole pixels first: rounds least
    distances: np.ndarray = np.sqrt((apart**2).sum(1))
    return distances


def surface_distances(
    prediction: np.ndarray, target: np.ndarray, spacing_mm: Spacing = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Distances between two outlines, both ways.

    Args:
        prediction: Bool array (H, W).
        target: Bool array (H, W).
        spacing_mm: Size of a pixel in millimetres, one number or (row, column); 1 gives distances in pixels.

    Returns:
        Float64 arrays: of every outline pixel of the prediction its distance to the target's outline, and the
        other way round. Infinite where the other mask is empty; without elements where the own mask is.

    Raises:
        ValueError: If the masks are not bool, the shapes differ or the spacing is not positive.
    """
    prediction, target, size = np.asarray(prediction), np.asarray(target), pixel_size(spacing_mm)
    if prediction.dtype != bool or target.dtype != bool or prediction.shape != target.shape:
        raise ValueError(
            "prediction and target must be bool masks of one shape (H, W), got "
            f"{prediction.dtype} {prediction.shape} and {target.dtype} {target.shape}."
        )
    points, others = _outline_points(prediction), _outline_points(target)
    return _nearest(points, others, size), _nearest(others, points, size)


def surface_scores(
    prediction: np.ndarray, target: np.ndarray, spacing_mm: Spacing = 1.0, tolerance_mm: float = 1.0
) -> SurfaceScores:
    """Surface Dice, HD95 and average surface distance of one image, with the distances computed once.

    Args:
        prediction: Bool array (H, W).
        target: Bool array (H, W).
        spacing_mm: Size of a pixel in millimetres, one number or (row, column); 1 gives distances in pixels.
        tolerance_mm: Distance still counted as agreement, in millimetres.

    Raises:
        ValueError: If the masks are not bool, the shapes differ or the spacing is not positive.
    """
    there, back = surface_distances(prediction, target, spacing_mm)
    both = np.concatenate([there, back])
    if not both.size:
        return SurfaceScores(np.nan, np.nan, np.nan)
    if np.isinf(both).any():
        return SurfaceScores(0.0, np.inf, np.inf)
    far = max(np.percentile(there, 95), np.percentile(back, 95))
    return SurfaceScores(float((both <= tolerance_mm).mean()), float(far), float(both.mean()))
