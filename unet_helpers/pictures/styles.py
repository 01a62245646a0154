"""Colours and lines of hits, misses and false alarms, the same in every picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["ERROR_KINDS", "STYLES", "Style", "error_codes"]


@dataclass(frozen=True)
class Style:
    """How one kind of region is drawn."""

    label: str  # the words of the legend
    colour: tuple[int, int, int]  # red, green, blue, 0-255
    line: Literal["solid", "dashed", "dotted"]  # of the outline, by its name in CSS and matplotlib
    width_px: int  # thickness of the outline on the screen

    @property
    def hex(self) -> str:
        return "#{:02x}{:02x}{:02x}".format(*self.colour)


# Okabe & Ito, "Color Universal Design" (2008). Only four triples of their colours, this one among them, keep
# a CIELAB distance of 33 in simulated protanopia, deuteranopia and tritanopia.
STYLES = {
    "hit": Style("found (true positive)", (86, 180, 233), "solid", 2),
    "miss": Style("missed (false negative)", (213, 94, 0), "dashed", 3),
    "false alarm": Style("false alarm (false positive)", (240, 228, 66), "dotted", 2),
    "truth": Style("truth", (0, 158, 115), "solid", 3),
    "prediction": Style("prediction", (204, 121, 167), "dashed", 3),
}
ERROR_KINDS = {1: "miss", 2: "false alarm", 3: "hit"}  # the codes of error_codes


def error_codes(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Sort the pixels of two bool masks (H, W): background 0, miss 1, false alarm 2, hit 3; uint8 (H, W)."""
    return target.astype(np.uint8) + 2 * prediction.astype(np.uint8)
