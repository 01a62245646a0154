"""What the slider of a report needs: pictures that hold every mask, and the scores at every position.

Each picture is a PNG that holds, per pixel, at how many of the slider's thresholds it is predicted to be
stone; so the page draws exactly the masks of the evaluation. The scores are computed here, one set for each
position of the slider: the page itself only draws.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from PIL import Image

from unet_helpers.metrics import divided, overlap_ratios, predicted_mask
from unet_helpers.report.cases import N_CASES, Case, Group, data_uri, focus
from unet_helpers.scores.curves import threshold_counts

__all__ = ["pack_cases", "slider_thresholds"]

SLIDER_BYTES = 3_000_000  # of all pictures of the slider together
WHOLE_UP_TO = 512  # longer sides are cut down to where there is a stone or any probability


def slider_thresholds(groups: Sequence[Group]) -> list[float]:
    """The positions of the slider: every hundredth, and the thresholds that the images were scored at."""
    scored_at = {case.threshold for group in groups for case in group.cases}
    return sorted(scored_at | {step / 100 for step in range(1, 100)})


def pack_cases(groups: Sequence[Group], thresholds: Sequence[float]) -> dict[int, dict[str, Any]]:
    """What the slider needs of each image, by index, as far as the pictures together stay small enough.

    Where they do not, each group keeps its first ones.
    """
    packed: dict[int, dict[str, Any]] = {}
    n_bytes = 0
    for rank, group in product(range(N_CASES), groups):
        for case in group.cases[rank : rank + 1]:
            png, (top, left) = _pack(case, thresholds)
            n_bytes += len(png)
            if n_bytes <= SLIDER_BYTES or not packed:
                row, column, _ = focus(case)
                packed[case.index] = {
                    "name": f"{group.heading}, {case.label}",
                    "png": png,
                    "focus": [row - top, column - left],
                    "start": thresholds.index(case.threshold),
                    **_numbers(case, thresholds),
                }
    order = [case.index for group in groups for case in group.cases]
    return {index: packed[index] for index in order if index in packed}


def _numbers(case: Case, thresholds: Sequence[float]) -> dict[str, Any]:
    """The scores of an image at each position of the slider; a Dice of None says that there is none."""
    counts = threshold_counts(case.probability, case.target, thresholds, case.min_pixels)
    dice = divided(*overlap_ratios(counts.tp, counts.fp, counts.fn)["dice"]).tolist()
    return {
        "n_sections": counts.n_sections,
        "n_found": counts.found.tolist(),
        "n_alarms": counts.false.tolist(),
        "dice": [None if math.isnan(value) else value for value in dice],
    }


def _pack(case: Case, thresholds: Sequence[float]) -> tuple[str, tuple[int, int]]:
    """One PNG: grey value, number of thresholds it is predicted at, truth; and where its corner lies."""
    window, corner = (slice(None), slice(None)), (0, 0)
    if max(case.image.shape) > WHOLE_UP_TO:
        window = _needed(case.target | (case.probability >= thresholds[0]))
        corner = window[0].start, window[1].start
    reached = _reached(case.probability[window], thresholds, case.min_pixels)
    channels = [channel.astype(np.uint8) for channel in (case.image[window], reached, case.target[window])]
    buffer = io.BytesIO()
    Image.fromarray(np.stack(channels, axis=2)).save(buffer, "PNG", compress_level=9)
    return data_uri("image/png", buffer.getvalue()), corner


def _reached(probability: np.ndarray, thresholds: Sequence[float], min_pixels: int) -> np.ndarray:
    """At how many thresholds each pixel is stone: all up to one, for a region only grows as they fall."""
    if min_pixels > 1:
        masks = [predicted_mask(probability, threshold, min_pixels) for threshold in thresholds]
        return np.asarray(np.sum(masks, axis=0))
    steps = np.asarray(thresholds, probability.dtype)  # rounded as in `probability >= threshold`
    return np.searchsorted(steps, probability, side="right")


def _needed(mask: np.ndarray, margin_px: int = 32, smallest_px: int = 256) -> tuple[slice, slice]:
    """The box of a mask (H, W) with a margin; outside of it no threshold changes anything."""
    window = []
    for axis, length in enumerate(mask.shape):
        places = np.flatnonzero(mask.any(1 - axis))
        low, high = (places[0], places[-1] + 1) if places.size else (length // 2, length // 2)
        grow = max(margin_px, (smallest_px - (high - low) + 1) // 2)
        window.append(slice(max(0, int(low) - grow), min(length, int(high) + grow)))
    return window[0], window[1]
