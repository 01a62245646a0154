"""Many images with their true and predicted classes on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from unet_helpers.classes.colours import colour_picture, legend
from unet_helpers.classes.masks import Labels
from unet_helpers.classes.training import dice_by_class
from unet_helpers.engine.figures import plain_figure, set_title

__all__ = ["class_sheet"]


def class_sheet(
    images: Sequence[np.ndarray],
    targets: Sequence[Labels],
    predictions: Sequence[Labels],
    names: Sequence[str],
    most: int = 8,
) -> Figure:
    """The images from worst to best, truth above and prediction below, with a legend of the classes.

    Args:
        images: Uint8 arrays (H, W).
        targets: Labels (H, W).
        predictions: Labels (H, W).
        names: Of the classes 1 to n.
        most: So many at most, spread evenly over their order by Dice, mean over the classes in each.
    """
    of_images = [list(dice_by_class(p, t).values()) for p, t in zip(predictions, targets, strict=True)]
    scores = [float(np.mean(one)) if one else float("nan") for one in of_images]
    order = sorted(range(len(images)), key=lambda i: (np.isnan(scores[i]), scores[i], i))
    places = np.linspace(0, len(order) - 1, min(most, len(order))).astype(int)
    figure = plain_figure(2.4 * len(places), 5.6)
    axes = figure.subplots(2, len(places), squeeze=False)
    for column, i in zip(axes.T, (order[place] for place in places), strict=True):
        for ax, labels in zip(column, (targets[i], predictions[i]), strict=True):
            ax.imshow(colour_picture(images[i], labels), interpolation="nearest")
            ax.set_axis_off()
        set_title(column[0], "truth", fontsize=9)
        set_title(
            column[1],
            "prediction" if np.isnan(scores[i]) else f"prediction, Dice {scores[i]:.2f}",
            fontsize=9,
        )
    handles = legend(range(1, len(names) + 1), names)
    below: dict[str, Any] = {"loc": "outside lower center", "ncols": min(6, len(names))}
    figure.legend(handles=handles, **below, frameon=False, fontsize=9)
    return figure
