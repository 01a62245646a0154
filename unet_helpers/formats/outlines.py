"""Outlines drawn around objects, filled to masks: what COCO, YOLO and VOC files have in common."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unet_helpers.data import SUFFIXES
from unet_helpers.formats import reading
from unet_helpers.formats.plan import IMAGE_WORDS, Item, Options, Plan, Slice, base_name, visible_files

__all__ = ["Drawing", "Images", "filled", "need_pycocotools", "plan_drawings", "points_in_pixels", "unpacked"]

Points = list[float]  # x, y, x, y, ... in pixels, from the left and from the top
FAR_OUTSIDE = 0.5  # of the image's side: outlines may leave it by a little, these belong to another size


@dataclass(frozen=True)
class Drawing:
    """One image and what was drawn on it.

    Attributes:
        image: Its file.
        classes: Name of each object.
        size: Height and width that the outlines refer to; None takes those of the file.
        fill: Mask of an object by its index, bool (H, W); raises ValueError if its outline is broken.
    """

    image: Path
    classes: tuple[str, ...]
    size: tuple[int, int] | None
    fill: Callable[[int, int, int], NDArray[np.bool_]] = field(repr=False)


class Images:
    """The image files of a source, to be found by what an annotation calls them."""

    def __init__(self, source: Path) -> None:
        self.source = source if source.is_dir() else source.parent
        self.paths = [p for p in visible_files(self.source) if p.suffix.lower() in SUFFIXES]
        self.by_name: dict[str, list[Path]] = {}
        for path in self.paths:
            for name in {path.name, path.stem}:
                self.by_name.setdefault(name, []).append(path)

    def find(self, called: str, beside: Path) -> Path:
        """The image that an annotation file calls so.

        Args:
            called: Name or path of the image, as the annotation has it.
            beside: The annotation file; the image nearest to it is taken.

        Raises:
            ValueError: If there is none, or two are equally near.
        """
        name = PurePosixPath(called.replace("\\", "/"))
        found = self.by_name.get(name.name) or self.by_name.get(name.stem) or []
        ranked = sorted(found, key=lambda p: self._nearness(p, name, beside), reverse=True)
        if not ranked:
            raise ValueError(f"{beside}: its image {called} is not there")
        first, *others = (self._nearness(p, name, beside) for p in ranked)
        if others and others[0] == first:
            raise ValueError(f"{beside}: its image {called} is there twice, {ranked[0]} and {ranked[1]}")
        return ranked[0]

    @staticmethod
    def _nearness(path: Path, name: PurePosixPath, beside: Path) -> tuple[int, int, int]:
        """How many folders agree, whether the annotation is called like the folder, how near the two are."""
        agree = 0
        for ours, theirs in zip(reversed(path.parts), reversed(name.parts), strict=False):
            if ours != theirs:
                break
            agree += 1
        common = sum(1 for a, b in zip(path.parent.parts, beside.parent.parts, strict=False) if a == b)
        return agree, int(path.parent.name in base_name(beside)), common

    def name_of(self, path: Path) -> str:
        """What an image is called in the new folder: its path without folders that are called images."""
        inside = path.relative_to(self.source)
        folders = [part for part in inside.parts[:-1] if part.lower() not in IMAGE_WORDS]
        return PurePosixPath(*folders, base_name(inside)).as_posix()


def plan_drawings(drawings: Sequence[Drawing], images: Images, options: Options, kind: str) -> Plan:
    """Items of all images that were drawn on.

    Raises:
        ValueError: If a class is asked for that nobody drew.
    """
    counts = Counter(name for one in drawings for name in one.classes)
    if unknown := [name for name in options.classes if name not in counts]:
        known = ", ".join(sorted(counts)) or "none"
        raise ValueError(f"class must be one of those drawn ({known}), got {unknown[0]!r}.")
    plan = Plan()
    for one in drawings:
        name = images.name_of(one.image)
        plan.items.append(Item(name, partial(_read, one, name, options)))
    used = {one.image for one in drawings}
    plan.left_out += [f"{path}: no {kind} outlines belong to it" for path in images.paths if path not in used]
    found = ", ".join(f"{name} ({n})" for name, n in sorted(counts.items()))
    if options.classes:
        plan.notes.append(f"Objects drawn: {found}. Taken as foreground: {', '.join(options.classes)}.")
    elif len(counts) > 1:
        plan.notes.append(f"Objects drawn: {found}. All are joined into one mask; --class NAME chooses.")
    else:
        plan.notes.append(f"Objects drawn: {found or 'none'}.")
    return plan


def _read(one: Drawing, name: str, options: Options) -> Iterator[Slice]:
    decoded = reading.decode(one.image)
    image = reading.greys(decoded, options.window)
    size, turn = _drawn_size(one, decoded, image.shape)
    mask = np.zeros(size, bool)
    for i, label in enumerate(one.classes):
        if not options.classes or label in options.classes:
            mask |= one.fill(i, *size)
    yield Slice(name, image, reading.turn_up(mask, turn))


def _drawn_size(
    one: Drawing, decoded: reading.Decoded, shape: tuple[int, ...]
) -> tuple[tuple[int, int], int]:
    """Height and width that was drawn on, and how the mask must be turned, as EXIF turned the image."""
    height, width = int(shape[0]), int(shape[1])
    size = one.size or (height, width)
    lying = decoded.turn >= 5
    if one.size and decoded.turn > 1 and not (lying and height != width):
        raise ValueError(
            f"{one.image} must be the way up that was drawn on, got EXIF orientation {decoded.turn}, and "
            "sizes do not tell whether it was turned. Save it again as it was drawn on, without the entry."
        )
    if size == (height, width):
        return size, 1
    if lying and size == (width, height):
        return size, decoded.turn
    raise ValueError(
        f"{one.image} must have the size that was drawn on, {size[1]}x{size[0]}, got {width}x{height}. "
        "Take the image that was drawn on."
    )


# --------------------------------------------------------------------------------------------------- filling
def need_pycocotools(path: Path) -> Any:
    """The module `pycocotools.mask`.

    Raises:
        ValueError: If it is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ValueError(
            f"{path} must be filled by pycocotools, got no such package. Run: pip install pycocotools"
        ) from error
    return mask


def points_in_pixels(path: Path, points: Sequence[Any], height: int, width: int) -> Points:
    """The points of an outline, x and y in turn, clipped to the image.

    Raises:
        ValueError: If they are no outline, or lie far outside the image.
    """
    try:
        array = np.array(points, np.float64).reshape(-1, 2)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: an outline must be pairs of numbers, got {str(points)[:60]}.") from error
    if len(array) < 3 or not np.isfinite(array).all():
        raise ValueError(f"{path}: an outline must have at least 3 points, got {len(array)}.")
    sides = np.array([width, height])
    if (array < -FAR_OUTSIDE * sides).any() or (array > (1 + FAR_OUTSIDE) * sides).any():
        x, y = array[np.abs(array / sides - 0.5).max(1).argmax()]
        raise ValueError(
            f"{path}: an outline must lie on its image of {width}x{height} pixels, got a point at "
            f"{x:g}, {y:g}."
        )
    return [float(value) for value in np.clip(array, 0, sides).ravel()]


def filled(path: Path, outlines: Sequence[Sequence[Any]], height: int, width: int) -> NDArray[np.bool_]:
    """Mask (H, W) of an object of one or several parts."""
    coco = need_pycocotools(path)
    if not len(outlines):
        raise ValueError(f"{path}: an outline must have at least 3 points, got none.")
    parts = [points_in_pixels(path, points, height, width) for points in outlines]
    return unpacked(path, coco.merge(coco.frPyObjects(parts, height, width)))


def unpacked(path: Path, runs: Any) -> NDArray[np.bool_]:
    """Mask (H, W) of the runs of pycocotools."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # pycocotools 2.0.11 speaks to NumPy in an old way
        mask: NDArray[np.bool_] = need_pycocotools(path).decode(runs).astype(bool)
    return mask
