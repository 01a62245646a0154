"""How often each number in Hounsfield units occurs in a slice, and which tissue makes which peak."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from unet_helpers.engine.figures import PAGE_INCHES, plain_figure

__all__ = ["TISSUES", "Tissue", "hu_histogram"]


class Tissue(NamedTuple):
    """A curve of the histogram: the organs of `phantom.lookup.ORGANS` that it is made of, and its colour."""

    name: str
    organs: tuple[str, ...]
    colour: str  # Okabe & Ito
    rim_px: int = 2  # left out: there the scanner mixes the organ with its neighbours
    align: str = "center"  # of the name at the peak
    shift_hu: float = 0.0  # of the name
    lift: float = 1.25  # of the name above the peak, as a factor


TISSUES = (
    Tissue("lung", ("lung",), "#0072b2"),
    Tissue("fat", ("fat",), "#e69f00", rim_px=1, align="right"),
    Tissue("kidney", ("cortex", "medulla"), "#009e73", lift=5),
    Tissue("liver", ("liver",), "#cc79a7", align="left", shift_hu=14),
    Tissue("bone", ("spine", "rib", "hip bone"), "#56b4e9", rim_px=1),
    Tissue("the stone", ("stone",), "#d55e00", rim_px=0, align="left", shift_hu=60),
)
HU_STEP, RANGE_HU = 20, (-1100, 1300)


def _inside(mask: NDArray[np.bool_], rim_px: int) -> NDArray[np.bool_]:
    """A mask (H, W) without its rim; all of it where nothing else is left."""
    inner: NDArray[np.bool_] = binary_erosion(mask, iterations=rim_px) if rim_px else mask
    return inner if inner.any() else mask


def hu_histogram(
    image_hu: NDArray[np.floating], organs: dict[str, NDArray[np.bool_]], stone: NDArray[np.bool_]
) -> Figure:
    """Draw the histogram of a slice in grey and one curve a tissue, named at its peak.

    Args:
        image_hu: Float array (H, W).
        organs: Bool arrays (H, W) by name, see `phantom.lookup.name_organs`.
        stone: Bool array (H, W).
    """
    figure = plain_figure(PAGE_INCHES, 3.2)
    ax = figure.subplots()
    edges = np.arange(RANGE_HU[0], RANGE_HU[1] + HU_STEP, HU_STEP)
    ax.hist(image_hu.ravel(), bins=edges.tolist(), color="0.85", label="the whole slice")
    masks = {**organs, "stone": stone}
    for tissue in TISSUES:
        seen = [masks[organ] for organ in tissue.organs if organ in masks]
        if seen:
            counts, _ = np.histogram(image_hu[_inside(np.any(seen, axis=0), tissue.rim_px)], bins=edges)
            ax.stairs(counts, edges, color=tissue.colour, linewidth=1.8)
            peak = int(counts.argmax())
            at = float(edges[peak]) + HU_STEP / 2 + tissue.shift_hu, float(counts[peak]) * tissue.lift
            style: Any = {"ha": tissue.align, "va": "bottom", "fontsize": 10, "weight": "bold"}
            ax.text(*at, tissue.name, color=tissue.colour, **style)
    ax.set(yscale="log", ylim=(0.7, 100_000), xlim=RANGE_HU)
    ax.set(xlabel="Hounsfield units (HU)", ylabel="pixels (each step: 10 times)")
    ax.legend(loc="upper right", frameon=False)
    return figure
