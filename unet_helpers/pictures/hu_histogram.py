"""How often each number in Hounsfield units occurs in a slice, and which tissue makes which peak."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from unet_helpers.engine.figures import plain_figure

__all__ = ["TISSUES", "Tissue", "hu_histogram"]


class Tissue(NamedTuple):
    """A curve of the histogram: the organs of `phantom.lookup.ORGANS` that it is made of, and its colour."""

    name: str
    organs: tuple[str, ...]
    colour: str  # Okabe & Ito


TISSUES = (
    Tissue("lung", ("lung",), "#0072b2"),
    Tissue("fat", ("fat",), "#e69f00"),
    Tissue("kidney", ("cortex", "medulla"), "#009e73"),
    Tissue("liver", ("liver",), "#cc79a7"),
    Tissue("bone", ("spine", "rib", "hip bone"), "#56b4e9"),
    Tissue("the stone", ("stone",), "#d55e00"),
)
HU_STEP, RANGE_HU = 20, (-1100, 1300)


def hu_histogram(
    image_hu: NDArray[np.floating], organs: dict[str, NDArray[np.bool_]], stone: NDArray[np.bool_]
) -> Figure:
    """Draw the histogram of a slice in grey and one curve a tissue, named at its peak.

    Args:
        image_hu: Float array (H, W).
        organs: Bool arrays (H, W) by name, see `phantom.lookup.name_organs`.
        stone: Bool array (H, W).
    """
    figure = plain_figure(8.4, 3.6)
    ax = figure.subplots()
    edges = np.arange(RANGE_HU[0], RANGE_HU[1] + HU_STEP, HU_STEP)
    ax.hist(image_hu.ravel(), bins=edges.tolist(), color="0.85", label="the whole slice")
    masks = {**organs, "stone": stone}
    for tissue in TISSUES:
        seen = [masks[organ] for organ in tissue.organs if organ in masks]
        if seen:
            counts, _ = np.histogram(image_hu[np.any(seen, axis=0)], bins=edges)
            ax.stairs(counts, edges, color=tissue.colour, linewidth=1.8)
            peak = int(counts.argmax())
            side = {"kidney": "right", "liver": "left"}.get(tissue.name, "center")
            shift = {"kidney": -14, "liver": 14}.get(tissue.name, 0)
            at = float(edges[peak]) + HU_STEP / 2 + shift, float(counts[peak]) * 1.25
            ax.text(*at, tissue.name, color=tissue.colour, ha=side, va="bottom", fontsize=11, weight="bold")
    ax.set(yscale="log", ylim=(0.7, 60_000), xlim=RANGE_HU)
    ax.set(xlabel="Hounsfield units (HU)", ylabel="pixels (each step is a factor of 10)")
    ax.legend(loc="upper right", frameon=False)
    return figure
