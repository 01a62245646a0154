"""What the values of a mask file mean: which are background, which the object, which count for neither."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["IGNORED", "MaskCode", "Value"]

Value = int | tuple[int, int, int]  # a grey value or label, or a colour (red, green, blue)
IGNORED = -1  # the class of pixels that an annotator left open, such as the rim of Pascal VOC


@dataclass(frozen=True)
class MaskCode:
    """The class of each value that masks hold: 0 is background, 1 and above are objects.

    A pixel has the class of the known value that is nearest to its own, so the greys that JPEG and smooth
    edges bring are cut in the middle between two known values.

    Attributes:
        classes: Pairs of value and class, as in ((0, 0), (255, 1)), or ((0, 0, 255), 0) for a colour; the
            class `IGNORED` (-1) is neither.
    """

    classes: tuple[tuple[Value, int], ...]

    @property
    def coloured(self) -> bool:
        """Whether the values are colours."""
        return any(isinstance(value, tuple) for value, _ in self.classes)

    def class_numbers(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """The class of each pixel.

        Args:
            values: Greys or labels (H, W), or colours (H, W, 3), see `data.mask_values`.

        Returns:
            Int64 array (H, W), `IGNORED` among them.
        """
        if self.coloured:
            return self._by_colour(values if values.ndim == 3 else np.repeat(values[..., None], 3, -1))
        grey = values if values.ndim == 2 else values.max(-1)
        known = sorted(self.classes)
        numbers = np.array([number for _, number in known], np.int64)
        middles = np.array([(a[0] + b[0]) / 2 for a, b in pairwise(known)])  # type: ignore[operator]
        if grey.dtype == np.uint8:
            numbers, places = numbers[np.searchsorted(middles, np.arange(256))], grey
        else:
            places = np.searchsorted(middles, grey)
        found: NDArray[np.int64] = numbers[places]
        return found

    def _by_colour(self, colours: NDArray[Any]) -> NDArray[np.int64]:
        packed = colours.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])  # (H, W)
        found, place = np.unique(packed, return_inverse=True)
        channels = found[:, None] >> np.array([16, 8, 0]) & 255  # (N, 3)
        known = np.array([(value,) * 3 if isinstance(value, int) else value for value, _ in self.classes])
        nearest = ((channels[:, None] - known) ** 2).sum(-1).argmin(1)  # (N,)
        numbers = np.array([number for _, number in self.classes], np.int64)
        classes: NDArray[np.int64] = numbers[nearest][place].reshape(packed.shape)
        return classes

    def read(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Bool mask (H, W): where there is any object; ignored pixels as in `labels`."""
        mask: NDArray[np.bool_] = self.labels(values) > 0
        return mask

    def labels(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """The class of each pixel, uint8 (H, W), 0 for background.

        An ignored pixel takes the class of the nearest pixel that has one, so a rim that an annotator left
        open is shared between the object and its surroundings.
        """
        numbers = self.class_numbers(values)
        open_pixels = numbers == IGNORED
        if open_pixels.any() and not open_pixels.all():
            nearest = ndimage.distance_transform_edt(open_pixels, return_distances=False, return_indices=True)
            numbers = numbers[tuple(nearest)]
        return np.maximum(numbers, 0).astype(np.uint8)
