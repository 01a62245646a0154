"""How far a score could move if other patients had been drawn: the bootstrap over groups."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

__all__ = ["bootstrap_intervals"]


def _sums_by_group(values: np.ndarray, groups: Sequence[Hashable]) -> np.ndarray:
    """Sum the rows of each group: float array (N, K) to (G, K)."""
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    sums = np.zeros((len(number), values.shape[1]))
    np.add.at(sums, [number[group] for group in groups], values)
    return sums


def bootstrap_intervals(
    numerators: np.ndarray, denominators: np.ndarray, groups: Sequence[Hashable], n_resamples: int = 2000,
    seed: int = 0, confidence: float = 0.95,
) -> np.ndarray:
    """Percentile intervals of scores that are ratios of sums, by drawing whole groups with replacement.

    Every mean, rate and pooled score is such a ratio: the sum over images of a numerator, divided by the sum
    of a denominator (for a mean over some images: value or 0, and 1 or 0). What is drawn is the group
    (patient, exam), because the slices of one patient are not independent; the interval over slices is too
    narrow.

    Args:
        numerators: Float array (N, K), one row an image, one column a score.
        denominators: Float array (N, K).
        groups: Group of each image.
        n_resamples: How often as many groups as there are get drawn anew.
        seed: Of the draws; the same seed gives the same interval.
        confidence: Share of the resampled scores inside the interval.

    Returns:
        Float array (K, 2): low and high end. Resamples in which a score is undefined (nothing to divide
        by) are left out; NaN where none remains, and for fewer than two groups, which cannot tell. A share of
        0 or 1 gets an interval without width: what never happened is never drawn. It is no certainty; with no
        event among n independent cases, up to 3 / n is likely enough (the rule of three).

    Raises:
        ValueError: If there is not one group an image.

    Reference: Efron (1979), Annals of Statistics 7(1):1-26, doi:10.1214/aos/1176344552
    """
    if len(groups) != len(numerators):
        raise ValueError(f"groups must be one an image ({len(numerators)}), got {len(groups)}.")
    above = _sums_by_group(np.asarray(numerators, float), groups)
    below = _sums_by_group(np.asarray(denominators, float), groups)
    n_groups = len(above)
    if n_groups < 2:
        return np.full((above.shape[1], 2), np.nan)
    drawn = np.random.default_rng(seed).integers(0, n_groups, (n_resamples, n_groups))
    drawn += n_groups * np.arange(n_resamples)[:, None]
    times = np.bincount(drawn.ravel(), minlength=n_resamples * n_groups).reshape(n_resamples, n_groups)
    above, below = times @ above, times @ below  # (n_resamples, K)
    ratios = np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
    ends = 50 * (1 - confidence), 50 * (1 + confidence)
    return np.array([_percentiles(column[~np.isnan(column)], ends) for column in ratios.T]).reshape(-1, 2)


def _percentiles(values: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    return np.percentile(values, ends) if values.size else np.full(2, np.nan)
