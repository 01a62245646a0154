"""Colours of classes: label files that people can look at, and labels drawn over an image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

__all__ = ["colour_of", "colour_picture", "legend", "overlay_labels", "save_labels"]

# Okabe & Ito (2008), brightest first: on grey images, for readers with a colour deficiency too
COLOURS = (
    *((86, 180, 233), (240, 228, 66), (204, 121, 167), (0, 158, 115)),
    *((230, 159, 0), (213, 94, 0), (0, 114, 178)),
)


def colour_of(number: int) -> tuple[int, int, int]:
    """Red, green and blue of a class, 0 to 255; black for the background, all different up to 254."""
    if number <= 0:
        return 0, 0, 0
    turn, place = divmod(number - 1, len(COLOURS))
    red, green, blue = (value * (40 - turn) // 40 for value in COLOURS[place])  # each turn somewhat darker
    return red, green, blue


def save_labels(labels: NDArray[np.uint8], path: str | os.PathLike[str]) -> None:
    """Write labels (H, W) as PNG: its values are the class numbers, its palette shows them in colours."""
    picture = Image.fromarray(labels)
    picture.putpalette([value for number in range(256) for value in colour_of(min(number, 254))])
    picture.save(path, format="PNG")


def colour_picture(
    image: NDArray[np.uint8], labels: NDArray[np.uint8], opacity: float = 0.45
) -> NDArray[np.uint8]:
    """An image (H, W) with its labels (H, W) in colour over it, uint8 (H, W, 3), pixel by pixel."""
    table = np.array([colour_of(number) for number in range(256)], np.float32)
    picture = np.repeat(image[..., None], 3, -1)
    inside = labels > 0
    mixed = (1 - opacity) * picture[inside] + opacity * table[labels[inside]]
    picture[inside] = np.rint(mixed).astype(np.uint8)
    return picture


def legend(numbers: Sequence[int], names: Sequence[str]) -> list[Patch]:
    """Entries of a legend: the colour of each class with its name."""
    from matplotlib.patches import Patch

    return [
        Patch(facecolor="#{:02x}{:02x}{:02x}".format(*colour_of(number)), label=names[number - 1])
        for number in numbers
    ]


def overlay_labels(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    names: Sequence[str],
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Show an image with the classes over it, and a legend of those that occur.

    Args:
        image: Uint8 array (H, W).
        labels: Labels (H, W), predicted or true.
        names: Of the classes from 1 on.
        ax: Where to draw; a new figure if None.
        title: Text above the image.

    Raises:
        ValueError: If the shapes differ, or a label has no name.
    """
    from unet_helpers.plotting import overlay

    if labels.shape != image.shape:
        raise ValueError(f"labels must have the image's shape {image.shape}, got {labels.shape}.")
    if labels.size and labels.max() > len(names):
        raise ValueError(f"names must name every class, got {len(names)} for labels up to {labels.max()}.")
    ax = overlay(image, ax=ax, title=title)
    ax.imshow(colour_picture(image, labels), interpolation="nearest")
    there = [number for number in range(1, len(names) + 1) if (labels == number).any()]
    if there:
        below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0)}
        ax.legend(handles=legend(there, names), **below, ncols=min(4, len(there)), frameon=False, fontsize=9)
    return ax
