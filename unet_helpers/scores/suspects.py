"""Why does a score stand where it stands? One patient, chance, or something that training never showed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unet_helpers.metrics import label_stones

__all__ = ["Look", "alike", "looks", "mean_dice", "mover", "shuffled_share", "without"]

Dices = Mapping[str, NDArray[np.float64]]  # Dice of the slices of each patient
WHITE = 200  # grey from which on a pixel beside a stone looks like stone
NEAR_PX = 15  # how far "beside" reaches


# ------------------------------------------------------------------------------------------ one patient
def mean_dice(dices: Dices) -> float:
    """Mean over all slices; NaN without any."""
    values = [value for scores in dices.values() for value in scores]
    return float(np.mean(values)) if values else float("nan")


def without(dices: Dices, patient: str) -> float:
    """Mean over the slices of all other patients; NaN if there are none."""
    return mean_dice({name: scores for name, scores in dices.items() if name != patient})


def mover(dices: Dices) -> str | None:
    """The patient without whom the mean changes most; None for fewer than two patients."""
    if len(dices) < 2:
        return None
    mean = mean_dice(dices)
    return max(dices, key=lambda name: abs(without(dices, name) - mean))


# --------------------------------------------------------------------------------------------- chance
def shuffled_share(first: Dices, second: Dices, n_shuffles: int = 2000, seed: int = 0) -> float:
    """How often two sets of patients drawn by chance differ as much as these two do.

    Args:
        first, second: Two sets of patients; no patient is in both.
        n_shuffles, seed: How often all patients are dealt anew into two sets of these sizes.

    Returns:
        Share of the shuffles in which the means differ at least as much as here; NaN if a set is empty.
    """
    if not first or not second:
        return float("nan")
    scores = [*first.values(), *second.values()]
    sums = np.array([one.sum() for one in scores])
    counts = np.array([len(one) for one in scores])
    rng, n_first = np.random.default_rng(seed), len(first)
    order = rng.permuted(np.tile(np.arange(len(scores)), (n_shuffles, 1)), axis=1)
    means = [sums[part].sum(1) / counts[part].sum(1) for part in (order[:, :n_first], order[:, n_first:])]
    here = abs(mean_dice(first) - mean_dice(second))
    return float((np.abs(means[0] - means[1]) >= here - 1e-12).mean())


# -------------------------------------------------------------------------------- what training never showed
@dataclass(frozen=True)
class Look:
    """What a section looks like to somebody who does not know that it is one.

    Attributes:
        n_pixels: Its area.
        white: Share of the pixels near it that are at least as grey as `WHITE`, for example bone.
        edge: How far its middle is from the nearer side of the picture, as a share of the width.
    """

    n_pixels: int
    white: float
    edge: float


def looks(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> list[Look]:
    """The look of each section of a slice (H, W), in the order of `metrics.label_stones`."""
    labels, n_sections = label_stones(mask)
    if not n_sections:
        return []
    beside = ~ndimage.binary_dilation(mask, iterations=2)  # no stone, and not the blurred rim of one
    found = []
    for k in range(1, n_sections + 1):
        section = labels == k
        near = (ndimage.distance_transform_edt(~section) <= NEAR_PX) & beside
        column = np.nonzero(section)[1].mean() / max(1, image.shape[1] - 1)
        white = float((image[near] >= WHITE).mean()) if near.any() else 0.0
        found.append(Look(int(section.sum()), white, float(min(column, 1 - column))))
    return found


def alike(one: Look, others: Sequence[Look]) -> dict[str, int]:
    """How many sections look like one in each respect, and in all of them, by words that tell which."""
    size = [0.5 <= other.n_pixels / one.n_pixels <= 2 for other in others]
    white = [other.white >= 0.75 * one.white for other in others]
    edge = [other.edge <= 1.25 * one.edge for other in others]
    rows = list(zip(size, white, edge, strict=True))
    return {
        "about as large (half to twice the area)": sum(size),
        "with as much white (bone, for example) beside them": sum(white),
        "as near to a side of the picture": sum(edge),
        "all of this together": sum(map(all, rows)),
    }
