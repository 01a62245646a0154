"""At what size a network sees images: that of their files, one limit for all, or so many millimetres a pixel.

A network knows things by their size in pixels, so training, validation, scores and predictions must show it
images at one scale. The settings of a run say which (`TrainConfig.max_size`, `TrainConfig.spacing`), its
checkpoints remember it, and `Checkpoint.scale` is what reads images and predicts with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unet_helpers.data import MAX_SIZE, Pair
from unet_helpers.folders.tables import known_spacings
from unet_helpers.transforms import shrink_size

__all__ = ["Scale"]

MOST_ENLARGED = 8  # times; more is a spacing in another unit
MUCH = 3  # times as large or as small as what a network knows


@dataclass(frozen=True)
class Scale:
    """How images are resized before a network sees them; by itself not at all.

    Attributes:
        max_size: Longer sides are shrunk to so many pixels; smaller images stay.
        spacing: Images are scaled so that a pixel has so many millimetres, as far as a table beside them
            knows their pixel size (see `data.spacings`); the others stay at the size of their files.
    """

    max_size: int | None = None
    spacing: float | None = None

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> Scale:
        """The scale of a run with these settings; runs of versions that knew none shrank to `MAX_SIZE`."""
        return cls(settings.get("max_size", MAX_SIZE), settings.get("spacing"))

    def options(self, pairs: Sequence[Pair]) -> dict[str, Any]:
        """Arguments that make `load_arrays`, `open_images` and `predict_all` work at this scale on `pairs`.

        Raises:
            ValueError: If images would become more than 8 times as large.
        """
        if self.spacing is None:
            return {"max_size": self.max_size}
        sizes = known_spacings(pairs)
        factors = [None if mm is None else (mm[0] / self.spacing, mm[1] / self.spacing) for mm in sizes]
        for pair, factor in zip(pairs, factors, strict=True):
            if factor and max(factor) > MOST_ENLARGED:
                raise ValueError(
                    f"spacing must enlarge no image more than {MOST_ENLARGED} times, got "
                    f"{max(factor):.1f} times for {pair.image_path} with {self.spacing:g}. "
                    "It is the size of a pixel in millimetres."
                )
        return {"factors": factors}

    def sentence(self, pairs: Sequence[Pair]) -> str:
        """One sentence for the reader: at what scale these images are worked on.

        Raises:
            ValueError: If a spacing is asked for and that of no image is known.
        """
        if self.spacing is None:
            if self.max_size is None:
                return "Scale: every image at the resolution of its file."
            return f"Scale: images with a longer side above {self.max_size} pixels are shrunk to it."
        n_known = sum(mm is not None for mm in known_spacings(pairs))
        if not n_known:
            raise ValueError(
                f"spacing must be left away where no pixel size is known, got {self.spacing:g} for "
                f"{len(pairs)} images. Write a slices.csv with the columns stem and spacing_mm beside them, "
                "or give max_size instead."
            )
        rest = len(pairs) - n_known
        others = f"; of {rest} images the pixel size is not known, they stay as they are" if rest else ""
        return f"Scale: images are resized so that a pixel has {self.spacing:g} mm{others}."

    def notes(self, shapes: Sequence[tuple[int, ...]], learnt: Sequence[int]) -> list[str]:
        """What the reader should know of images that are far from what the network was made for.

        Args:
            shapes: Height and width of each image file.
            learnt: Shortest and longest of the longer sides in training; empty if they are not known.
        """
        if self.spacing is not None or not shapes:
            return []
        longest = max(map(max, shapes))
        if self.max_size and longest >= MUCH * self.max_size:
            times = longest / self.max_size
            return [
                f"An image of {longest} pixels is shrunk to {self.max_size}, {times:.0f} to 1: what is "
                f"smaller than {times:.0f} pixels in the file can hardly be seen. A network that was trained "
                "on images of that size, without max_size, sees them as they are."
            ]
        seen = [max(shrink_size(shape, self.max_size)) for shape in shapes]
        far = [side for side in seen if learnt and not learnt[0] / MUCH < side < MUCH * learnt[-1]]
        if not far:
            return []
        return [
            "Much larger or smaller than the images that the network learnt from "
            f"({_from_to(learnt)} pixels): {len(far)} of {len(seen)} images ({_from_to(far)} pixels). If "
            "they show the same part of the body, everything in them has another size than it knows; "
            "max_size shows it larger ones smaller."
        ]


def _from_to(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"
