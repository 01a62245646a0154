"""Pairs of masks, the awkward ones included, for comparing with what others have written."""

import numpy as np
from scipy import ndimage

SHAPE = (23, 31)
SPACINGS = ((1.0, 1.0), (0.5, 0.5), (0.75, 1.5), (2.0, 0.5))  # exact in binary: no rounding to argue about


def one_mask(kind: str, rng: np.random.Generator) -> np.ndarray:
    """A bool mask of SHAPE: "empty", "full", "pixel", "edge", "blob" or "noise"."""
    mask = np.zeros(SHAPE, bool)
    row, column = (int(rng.integers(side)) for side in SHAPE)
    if kind == "full":
        mask[:] = True
    elif kind == "pixel":
        mask[row, column] = True
    elif kind == "edge":  # a block in the upper left or lower right corner
        corner = slice(None, row + 1), slice(None, column + 1)
        mask[corner] = True
        mask = mask if rng.random() < 0.5 else mask[::-1, ::-1].copy()
    elif kind == "blob":
        smooth = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 2)
        mask = smooth > np.quantile(smooth, rng.uniform(0.7, 0.98))
    elif kind == "noise":
        mask = rng.random(SHAPE) < rng.uniform(0.01, 0.5)
    return mask


def mask_pairs(n: int = 500, seed: int = 11) -> tuple[np.ndarray, np.ndarray, list[tuple[float, float]]]:
    """Predictions and targets, bool (n, H, W), and a pixel size each; first every kind with every kind."""
    rng = np.random.default_rng(seed)
    kinds = ("empty", "full", "pixel", "edge", "blob", "noise")
    chosen = [(a, b) for a in kinds for b in kinds]
    chosen += [tuple(rng.choice(kinds[2:], 2)) for _ in range(n - len(chosen))]
    predictions, targets = (np.stack([one_mask(pair[k], rng) for pair in chosen]) for k in (0, 1))
    return predictions, targets, [SPACINGS[i % len(SPACINGS)] for i in rng.permutation(n)]
