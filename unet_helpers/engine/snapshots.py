"""What the network says about the same four stones through its training, as one strip of pictures."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import nn

from unet_helpers.engine.files import written_whole
from unet_helpers.inference import predict_all

__all__ = ["Snapshots"]

SIDE, ZOOM, GAP, HEADER = 64, 2, 4, 72  # pixels of a window, its enlargement, the gap, the lines of titles
N_IMAGES, N_MOMENTS = 4, 8
EARLY = (0, 25, 50, 100, 200)  # steps looked at besides the validations, and always kept: most happens here


class Snapshots:
    """Collects the probabilities around four stones of the validation images, and draws the strip.

    Args:
        images: Uint8 arrays (H, W).
        masks: Bool arrays (H, W); the stones are spread evenly over the images that hold one.
        moments: What an earlier session of the run collected, {"step": int, "crops": uint8 tensor
            (n, 64, 64)} each; the list is changed in place.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        masks: Sequence[np.ndarray],
        moments: list[dict[str, Any]] | None = None,
    ) -> None:
        with_stone = [i for i, mask in enumerate(masks) if mask.any()]
        places = np.linspace(0, len(with_stone) - 1, min(N_IMAGES, len(with_stone))).astype(int)
        self.watched = [with_stone[place] for place in places]
        self.whole = [images[i] for i in self.watched]
        self.corners = [_corner(masks[i]) for i in self.watched]
        self.images = [self._crop(k, images[i]) for k, i in enumerate(self.watched)]
        self.masks = [self._crop(k, np.uint8(255) * (masks[i] > 0)) for k, i in enumerate(self.watched)]
        self.moments = [] if moments is None else moments

    def _crop(self, k: int, values: np.ndarray) -> np.ndarray:
        """Window of watched image k, filled up with black where the image is smaller."""
        row, column = self.corners[k]
        crop = values[row : row + SIDE, column : column + SIDE]
        return np.pad(crop, [(0, SIDE - side) for side in crop.shape])

    def look(self, model: nn.Module, step: int) -> None:
        """Keep one of the early moments: the network predicts the watched images alone, then trains on."""
        if step in EARLY:
            for i, probability in zip(self.watched, predict_all(model, self.whole), strict=True):
                self.take(step, i, [probability])

    def take(self, step: int, first: int, probabilities: Sequence[np.ndarray]) -> None:
        """Keep the windows of one moment.

        Args:
            step: Training step.
            first: Index of the image that the first probability belongs to.
            probabilities: Float arrays (H, W), or (n + 1, H, W) of n classes; those of images that
                are not watched are passed over.
        """
        if not self.moments or self.moments[-1]["step"] != step:
            empty = torch.zeros(len(self.watched), SIDE, SIDE, dtype=torch.uint8)
            self.moments[:] = [m for m in self.moments if m["step"] < step] + [{"step": step, "crops": empty}]
        for k, i in enumerate(self.watched):
            if first <= i < first + len(probabilities):
                probability = probabilities[i - first]
                if probability.ndim == 3:  # of several classes: of any
                    probability = 1 - probability[0]
                grey = (255 * probability).round().astype(np.uint8)
                self.moments[-1]["crops"][k] = torch.from_numpy(self._crop(k, grey))
        while len(self.moments) > N_MOMENTS:
            steps = [moment["step"] for moment in self.moments]
            # early moments change most: of the others drop the one whose neighbours lie closest, as a ratio
            gaps = [
                math.inf if step in EARLY else after / max(1, before)
                for before, step, after in zip(steps, steps[1:], steps[2:], strict=False)
            ]
            del self.moments[1 + int(np.argmin(gaps))]

    def write(self, path: str | os.PathLike[str]) -> None:
        """Draw rows of image, moments and truth into a grey PNG; the old file stays if writing fails."""
        columns = [
            ("image", self.images),
            *[(f"step\n{m['step']}", list(m["crops"].numpy())) for m in self.moments],
            ("truth", self.masks),
        ]
        pitch = ZOOM * SIDE + GAP
        sheet = Image.new("L", (pitch * len(columns) - GAP, HEADER + pitch * len(self.watched) - GAP), 255)
        pen, font = (
            ImageDraw.Draw(sheet),
            ImageFont.load_default(30),
        )  # a phone shows the strip at a third of its size
        for x, (title, tiles) in enumerate(columns):
            pen.multiline_text((x * pitch + 3, 0), title, fill=0, font=font)
            for y, tile in enumerate(tiles):
                large = Image.fromarray(tile).resize((ZOOM * SIDE,) * 2, Image.Resampling.NEAREST)
                sheet.paste(large, (x * pitch, HEADER + y * pitch))
        with written_whole(path) as scratch:
            sheet.save(scratch)


def _corner(mask: np.ndarray) -> tuple[int, int]:
    """Upper left corner of the window around the first stone pixel, moved so that it ends in the image."""
    middle = np.argwhere(mask)[0]
    last = np.maximum(0, np.subtract(mask.shape, SIDE))
    row, column = np.clip(middle - SIDE // 2, 0, last).tolist()
    return row, column
