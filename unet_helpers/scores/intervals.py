"""How far a score could move if other patients had been drawn: the bootstrap over groups."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from unet_helpers.metrics import divided

__all__ = ["bootstrap_intervals", "paired_difference"]


def _sums_by_group(values: np.ndarray, groups: Sequence[Hashable]) -> np.ndarray:
    """Sum the rows of each group: float array (N, K) to (G, K)."""
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    sums = np.zeros((len(number), values.shape[1]))
    np.add.at(sums, [number[group] for group in groups], values)
    return sums


def bootstrap_intervals(
    numerators: np.ndarray,
    denominators: np.ndarray,
    groups: Sequence[Hashable],
    n_resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
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
        by) are left out. NaN where none remains, for fewer than two groups, and where all resamples agree,
        as for a share of 0 or 1: what never happened is never drawn. That is no certainty; with no event
        among n independent cases, up to 3 / n is likely enough (the rule of three).

    Raises:
        ValueError: If there is not one group an image.

    Reference: Efron (1979), Annals of Statistics 7(1):1-26, doi:10.1214/aos/1176344552
    """
    return _percentiles(_resampled(numerators, denominators, groups, n_resamples, seed), confidence)


def paired_difference(
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    groups: Sequence[Hashable],
    n_resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[np.ndarray, np.ndarray]:
    """How much two methods differ on the same images, with intervals: second - first.

    Both are scored on the same drawn groups each time, so that what is hard for both cancels out. Intervals
    of the two scores by themselves are much wider, may overlap, and say nothing about the difference.

    Args:
        first: Numerators and denominators of one method, float arrays (N, K), as in `bootstrap_intervals`.
        second: Those of the other method, for the same images and scores.
        groups: Group of each image.
        n_resamples, seed, confidence: As in `bootstrap_intervals`.

    Returns:
        The differences of the K scores, and their intervals (K, 2), NaN as in `bootstrap_intervals`.

    Raises:
        ValueError: If there is not one group an image.
    """
    scores = [divided(*np.sum(method, axis=1, dtype=float)) for method in (first, second)]  # (K,) each
    drawn = [_resampled(above, below, groups, n_resamples, seed) for above, below in (first, second)]
    return scores[1] - scores[0], _percentiles(drawn[1] - drawn[0], confidence)


def _resampled(
    numerators: np.ndarray, denominators: np.ndarray, groups: Sequence[Hashable], n_resamples: int, seed: int
) -> np.ndarray:
    """The scores of every resample (n_resamples, K); none for fewer than two groups."""
    if len(groups) != len(numerators):
        raise ValueError(f"groups must be one an image ({len(numerators)}), got {len(groups)}.")
    above = _sums_by_group(np.asarray(numerators, float), groups)
    below = _sums_by_group(np.asarray(denominators, float), groups)
    n_groups = len(above)
    if n_groups < 2:
        return np.empty((0, above.shape[1]))
    drawn = np.random.default_rng(seed).integers(0, n_groups, (n_resamples, n_groups))
    drawn += n_groups * np.arange(n_resamples)[:, None]
    times = np.bincount(drawn.ravel(), minlength=n_resamples * n_groups).reshape(n_resamples, n_groups)
    resampled: np.ndarray = divided(times @ above, times @ below)
    return resampled


def _percentiles(samples: np.ndarray, confidence: float) -> np.ndarray:
    """Both ends of each column (n_resamples, K), NaN left out; NaN where the column tells nothing."""
    ends = np.full((samples.shape[1], 2), np.nan)
    for k, column in enumerate(samples.T):
        values = column[~np.isnan(column)]
        if values.size and np.ptp(values) > 1e-12 * np.abs(values).max():  # more than rounding
            ends[k] = np.percentile(values, [50 * (1 - confidence), 50 * (1 + confidence)])
    return ends
