"""What moves in lesson 6: a black mask, ten ways to be wrong, a size, a window; and a race of three."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from unet_helpers.checkpoint import Checkpoint
from unet_helpers.data import Pair, load_arrays, load_image
from unet_helpers.engine.figures import figure_png
from unet_helpers.engine.progress import passing_bars
from unet_helpers.exercises.ten_ways import WAYS, look
from unet_helpers.inference import predict_all
from unet_helpers.inspector import Inspector
from unet_helpers.metrics import dice, label_stones, predicted_mask
from unet_helpers.pictures import own_data as draw
from unet_helpers.pictures.sheets import around
from unet_helpers.plotting import contact_sheet
from unet_helpers.transforms import resize_image, resize_mask, shrink_size
from unet_helpers.widgets.controls import Painted, moving, steps
from unet_helpers.widgets.still import show, show_figure

__all__ = ["brighten", "inspect", "race", "scale", "ten_ways", "twins", "windows"]

TIMES = (1, 2, 5, 10, 20, 50, 100, 255)
SHARES = (1, 0.75, 0.5, 0.375, 0.25, 0.1875, 0.125)  # of the largest image's longer side
WIDE_PX = 4  # across: below that, a mask is more edge than object
MOST_PAIRS = 200  # that the slider of sizes reads
WINDOWS = {
    "the stick's: 300, 1500": (1324, 1500),
    "soft tissue: 40, 400": (1064, 400),
    "lung: -600, 1500": (424, 1500),
}


def _moving(paint: Callable[[Any], Painted], words: str, positions: Sequence[Any], alt: str,
            start: Any = None, still: Figure | None = None) -> None:  # fmt: skip
    """Show one slider of a picture, see `controls.moving`; `start` is the first position if None."""
    moved = steps(words, positions[0] if start is None else start, positions)
    unmoved = None if still is None else figure_png(still, 80)
    moving(lambda moved: paint(moved), {"moved": moved}, alt, lambda one: figure_png(one, 80), unmoved)


def brighten(values: NDArray[Any]) -> None:
    """Show a slider that multiplies the values (H, W) of a mask file, as it looks in a viewer."""
    n, largest = int(np.count_nonzero(values)), int(values.max())

    def paint(times: int) -> Painted:
        seen = "you cannot tell it from black" if largest * times < 40 else "there it is"
        return draw.draw_mask(values, times), f"The largest value, {largest} x {times}: {seen}."

    side_by_side = {f"values x {times}": np.minimum(values.astype(int) * times, 255) for times in (1, 255)}
    alt = f"The same mask file, its values times 1 and times 255; {n} of its pixels are not 0."
    still = draw.draw_ways({title: one.astype(np.uint8) for title, one in side_by_side.items()}, 2)
    _moving(paint, "values times", TIMES, alt, still=still)


def ten_ways() -> None:
    """Show a slider over the ten ways: image, mask as a viewer shows it, what `check` says, what to do."""
    found = {name: look(name) for name in WAYS}

    def paint(name: str) -> Painted:
        one = found[name]
        told = f"<b>check says:</b> {html.escape(one.says)}<br><b>What to do:</b> {html.escape(one.fix)}"
        return draw.draw_way(one.image, one.mask, WAYS[name].second), told

    pictures: dict[str, NDArray[np.uint8]] = {}
    for name, one in found.items():
        number = name.partition(".")[0]
        pictures |= {f"{number} image": one.image, f"{number} mask": one.mask}
    alt = f"Ten small images, each beside its mask file as a viewer shows it: {', '.join(WAYS)}."
    _moving(paint, "way", list(WAYS), alt, still=draw.draw_ways(pictures, 4))


def twins(picture: bytes | None) -> None:
    """Show the picture of twins that `check --twins` has drawn."""
    if picture is None:
        print("No twins in different groups: nothing has to be joined.")
    else:
        show(None, picture, "Twins side by side in pairs, with how alike they are above each pair.")


def scale(pairs: Sequence[Pair]) -> None:
    """Show a slider of `max_size`: the smallest object at that size, and how many are still wide enough."""
    images, masks = load_arrays(pairs[:MOST_PAIRS])
    largest = max(max(image.shape) for image in images)
    sizes = [size for share in SHARES if (size := round(largest * share)) >= 16]
    objects = [
        (int((labels == k).sum()), i)
        for i, mask in enumerate(masks)
        for labels, n in [label_stones(mask)]
        for k in range(1, n + 1)
    ]
    if not objects:
        print("No mask holds an object, so no size can lose one.")
        return
    widths = np.array([2 * np.sqrt(area / np.pi) / max(masks[i].shape) for area, i in objects])  # of the side
    wide = {size: int((widths * size >= WIDE_PX).sum()) for size in sizes}
    area, place = min(objects)

    def paint(size: int) -> Painted:
        image, mask = images[place], _smallest(masks[place], area)
        shape = shrink_size(image.shape, size)
        cut = _cut(mask, shape[0] / image.shape[0])
        figure = draw.draw_scale(resize_image(image, shape)[cut], resize_mask(mask, shape)[cut], wide, size)
        told = f"{wide[size]} of {len(objects)} objects are {WIDE_PX} pixels wide or more at {size} pixels."
        return figure, told

    told = ", ".join(f"{n} at {size}" for size, n in wide.items())
    alt = (
        f"The smallest object, {area} pixels in its file; and how many of {len(objects)} objects are "
        f"{WIDE_PX} pixels wide or more, for each longer side: {told}."
    )
    _moving(paint, "longer side", sizes[::-1], alt, start=sizes[min(2, len(sizes) - 1)])


def _smallest(mask: NDArray[np.bool_], area: int) -> NDArray[np.bool_]:
    """The object of that area, alone."""
    labels, n = label_stones(mask)
    return next(labels == k for k in range(1, n + 1) if (labels == k).sum() == area)


def _cut(mask: NDArray[np.bool_], factor: float) -> tuple[slice, slice]:
    """Rows and columns around an object, in the shrunk image."""
    side = min(64, *mask.shape)
    rows, columns = around(mask, side)
    return tuple(slice(int(one.start * factor), max(2, int(one.stop * factor))) for one in (rows, columns))  # type: ignore[return-value]


def windows(path: Path) -> None:
    """Show a file of 16 bits, HU + 1024, through several windows, chosen by a slider."""
    seen = {name: load_image(path, window) for name, window in WINDOWS.items()}

    def paint(name: str) -> Painted:
        return draw.draw_ways({name: seen[name]}, 1), f"window=({WINDOWS[name][0]}, {WINDOWS[name][1]})"

    alt = f"The same slice through windows, level and width in HU: {'; '.join(WINDOWS)}."
    _moving(paint, "window", list(WINDOWS), alt, still=draw.draw_windows(seen))


# ------------------------------------------------------------------------------------------------ the race
def _answers(network: Checkpoint, pairs: Sequence[Pair]) -> tuple[list[Any], list[Any], list[Any]]:
    """Images, masks and probabilities, all at the size of the files."""
    with passing_bars():
        images, masks = load_arrays(pairs)
        return images, masks, predict_all(network.model, images, **network.scale.options(list(pairs)))


def race(networks: Mapping[str, Checkpoint], pairs: Sequence[Pair]) -> dict[str, float]:
    """Draw and print how well each network outlines the test slices; return the mean Dice of each.

    Returns:
        Mean Dice over the slices with an object, at each network's own threshold; 0 if there is none.
    """
    dices: dict[str, list[float]] = {}
    for name, network in networks.items():
        _, masks, sure = _answers(network, pairs)
        found = [predicted_mask(one, network.threshold, network.min_pixels) for one in sure]
        both = zip(found, masks, strict=True)
        dices[name] = [float(dice(one, mask)) for one, mask in both if mask.any()]
    means = {name: float(np.mean(one)) if one else 0.0 for name, one in dices.items()}
    n = len(next(iter(dices.values()), []))
    told = "; ".join(f"{name} {mean:.2f}" for name, mean in means.items())
    n_groups = len({pair.group for pair in pairs})
    print(f"test: {n} slices with an object, patients: {n_groups}. Mean Dice: {told}")
    alt = f"A row a network, a dot a test slice, a bar at the mean Dice: {told}."
    show_figure(draw.draw_race(dices), alt, flat=True)
    return means


def inspect(network: Checkpoint, pairs: Sequence[Pair]) -> Inspector:
    """Show the inspector of these slices, and return it; without a kernel, four slices."""
    images, masks, sure = _answers(network, pairs)
    inspector = Inspector(
        images, targets=masks, probabilities=sure, threshold=network.threshold, min_pixels=network.min_pixels
    )
    order = sorted(range(len(pairs)), key=lambda i: not masks[i].any())[:4]
    found = [predicted_mask(sure[i], network.threshold, network.min_pixels) for i in order]
    sheet = contact_sheet(
        [images[i] for i in order], targets=[masks[i] for i in order], predictions=found, n_columns=2
    )
    told = f"{len(order)} test slices with what is found, missed and marked wrongly."
    show(inspector.widget, _jpeg(sheet), told)
    return inspector


def _jpeg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpeg", dpi=80, pil_kwargs={"quality": 80})
    return buffer.getvalue()
