"""What is moved and shown in lesson 3: the parts of a U-Net one by one, and the whole."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from unet_helpers.engine.figures import (
    LIVE_DPI,
    PAGE_DPI,
    PAGE_INCHES,
    figure_png,
    legend_below,
    plain_figure,
)
from unet_helpers.metrics import dice, pooled_dice
from unet_helpers.model import UNet
from unet_helpers.pictures import diagrams, features, fields, kernels, tiles
from unet_helpers.plotting import overlay
from unet_helpers.transforms import to_tensor
from unet_helpers.widgets.controls import beside, button, numbered, slider, steps
from unet_helpers.widgets.still import show

__all__ = [
    "computer_tries",
    "convolution",
    "design",
    "detector",
    "feature_maps",
    "filters",
    "found",
    "pooling",
    "receptive_field",
    "relu",
    "the_map",
    "way_back",
    "without_skips",
]

Greys = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def _live(
    controls: Mapping[str, Any],
    draw: Callable[..., Figure | None],
    sentence: str,
    box: Any = None,
    photo: bool = False,
) -> None:
    """Show controls with the picture that `draw(**values)` makes of them; without a kernel its first state.

    Args:
        controls: Widgets by the name of the argument that their value becomes.
        draw: Returns a figure, or None to leave the picture as it is.
        sentence: What the first picture shows.
        box: Controls laid out; a column if None.
        photo: Write JPEG: a quarter of the size for noisy CT pictures.
    """
    own_size = ipywidgets.Layout(max_width="98%", align_self="flex-start")  # sharp where the page is wide
    picture = ipywidgets.Image(format="jpeg" if photo else "png", layout=own_size)

    def redraw(change: Any = None) -> Figure | None:
        figure = draw(**{name: control.value for name, control in controls.items()})
        if figure is not None:
            picture.value = _encoded(figure, photo, LIVE_DPI)
        return figure

    first = redraw()
    assert first is not None
    for control in controls.values():
        control.observe(redraw, names="value")
    show(
        ipywidgets.VBox([box or ipywidgets.VBox(list(controls.values())), picture]),
        _encoded(first, photo),
        sentence,
    )


def _encoded(figure: Figure, photo: bool, dpi: int = PAGE_DPI) -> bytes:
    """A small JPEG for a picture with CT in it, else a PNG of 64 colours: a lesson has room for 300 kB."""
    figure.patch.set_facecolor("white")
    picture = Image.open(io.BytesIO(figure_png(figure, dpi))).convert("RGB")
    buffer = io.BytesIO()
    if photo:
        picture.save(buffer, "JPEG", quality=40 if dpi == PAGE_DPI else 80, optimize=True)
    else:
        picture.quantize(64, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _show(figure: Figure, sentence: str, photo: bool = False) -> None:
    """Put a figure on the page, with its alternative text."""
    show(None, _encoded(figure, photo), sentence)


# ------------------------------------------------------------------------------------------- the parts
def convolution(image: ArrayLike, kernel: ArrayLike) -> None:
    """A slider that moves a kernel (3, 3) over a small image (H, W), with the nine products at each place."""
    n_places = tiles.slide(image, kernel).size
    _live(
        {"place": slider("place of the frame", 0, 0, n_places - 1)},
        lambda place: tiles.convolution_steps(image, kernel, place),
        "Number tiles: the orange frame lies on place 0 of the image. Its nine numbers times the "
        "nine of the kernel give nine products, and their sum is one number of the output.",
    )


def filters(image: Greys, mask: Mask) -> None:
    """What an edge, a blur and a spot kernel make of the surroundings of a stone in a slice (H, W)."""
    _show(
        kernels.filtered(image, mask, kernels.KERNELS),
        "Part of a CT slice and what three kernels make of it: the edge kernel draws upright outlines, the "
        "blur kernel smooths, the spot kernel leaves only dots and rims, the ringed stone among them.",
        photo=True,
    )


def detector(image: Greys, mask: Mask, start: str = "edge") -> None:
    """Nine sliders for a kernel, and one for how many of its strongest answers are called stone; live Dice.

    Args:
        image: Slice (H, W).
        mask: Its stones, bool (H, W).
        start: One of `kernels.KERNELS`.
    """
    layout = ipywidgets.Layout(flex="1 1 64px", min_width="0", margin="2px")
    nine = [ipywidgets.IntSlider(value=w, min=-9, max=9, readout=False, layout=layout) for w in _whole(start)]
    marked = steps("pixels to mark", 50, [3, 5, 10, 20, 50, 100, 200, 500, 1000, 3000])
    pressed = ipywidgets.IntText(0)  # not shown; counts presses of a button, which moves all nine at once
    moving = [False]
    tried: list[float] = []

    def draw(n_marked: int, pressed: int, **kernel: int) -> Figure | None:
        if moving[0]:
            return None
        weights = np.array([kernel[f"w{i}"] for i in range(9)], float).reshape(3, 3)
        prediction = kernels.strongest(image, weights, n_marked)
        tried.append(float(dice(prediction, mask)))
        return kernels.detector_figure(image, mask, prediction, tried)

    def put(weights: Sequence[int]) -> None:
        moving[0] = True
        for one, weight in zip(nine, weights, strict=True):
            one.value = weight
        moving[0] = False
        pressed.value += 1

    cells, across = [numbered(one) for one in nine], ipywidgets.Layout(max_width="640px")
    rows = [ipywidgets.HBox(cells[i : i + 3], layout=across) for i in (0, 3, 6)]
    buttons = beside(*(button(name, partial(put, _whole(name))) for name in kernels.KERNELS))
    _live(
        {"n_marked": marked, "pressed": pressed} | {f"w{i}": one for i, one in enumerate(nine)},
        draw,
        "A CT slice with the 50 strongest answers of the edge kernel marked: they lie on the rims of bones, "
        "none on the ringed stone, and the Dice is 0. A curve below it collects the Dice of all positions.",
        ipywidgets.VBox([*rows, marked, buttons]),
        photo=True,
    )


def _whole(name: str) -> list[int]:
    """The nine weights of a known kernel as whole numbers; those of the blur become 1."""
    weights = np.ravel(kernels.KERNELS[name])
    return [round(float(weight)) for weight in weights / (min(1, weights.max()))]


def computer_tries(image: Greys, mask: Mask, others: Sequence[tuple[Greys, Mask]]) -> float:
    """Let the computer move the nine sliders of `detector`; print its best kernel, return the Dice.

    Args:
        image: Slice (H, W) on which it tries.
        mask: Its stones, bool (H, W).
        others: Slices and their stones on which the best kernel is tried once more, all pooled.
    """
    kernel, score, level = kernels.climb(image, mask)
    print(f"the best of 1,800 kernels on this slice:\n{kernel}\nDice on this slice: {score:.2f}")
    masks = [tiles.slide(np.pad(greys, 1, mode="edge"), kernel) >= level for greys, _ in others]
    print(f"on {len(masks)} other slices: {pooled_dice(masks, [truth for _, truth in others]):.3f}")
    return score


def relu(values: ArrayLike, image: Greys, mask: Mask) -> None:
    """ReLU on number tiles (H, W), and on the spot kernel's answer to the surroundings of a stone."""
    _show(tiles.relu_tiles(values), "Number tiles before and after ReLU: the negative ones have become 0.")
    _show(
        kernels.rectified(image, mask, kernels.KERNELS["spot"]),
        "The answer of the spot kernel: before ReLU bright dots are violet with orange rings, after ReLU "
        "the orange rings have become white and the violet dots stay.",
        photo=True,
    )


def pooling(values: ArrayLike, image: Greys, mask: Mask) -> None:
    """Max-pooling on number tiles (H, W), and on the surroundings of a stone in a slice."""
    _show(
        tiles.pool_tiles(values),
        "Sixteen number tiles in four coloured blocks of 2 x 2; each block becomes its largest number.",
    )
    _show(
        features.pooled(image, mask),
        "The surroundings of the stone at 64, 32, 16 and 8 pixels: the picture becomes coarser, and the "
        "stone takes up more and more of its width.",
    )


def way_back(small: ArrayLike, weights: ArrayLike) -> None:
    """Up-convolution on number tiles, features (H, W) and a stamp (2, 2); concatenation as piles."""
    _show(
        tiles.stamp_tiles(small, weights),
        "Four number tiles, a stamp of 2 x 2, and the output of 4 x 4 tiles: each tile has become a block, "
        "the stamp times its number.",
    )
    _show(
        tiles.concat_sheets(),
        "Two piles of three sheets each, the copy and the enlarged features, become one pile of six sheets.",
    )


# ----------------------------------------------------------------------------------------- the network
def the_map() -> None:
    """The network of this series, drawn as a letter U, each block with its shape."""
    figure = diagrams.unet_diagram().figure
    assert isinstance(figure, Figure)
    _show(
        figure,
        "The U-Net: from 1 x 256 x 256 folded and down over 16 x 128 x 128, 32 x 64 x 64 and 64 x 32 x 32 to "
        "128 x 16 x 16 at the bottom, and up again over the same shapes, with a copy at each level.",
    )


def receptive_field(network: UNet, image: Greys, mask: Mask) -> None:
    """Sliders for an output pixel, and for how far into the network: what it can see of the slice.

    Args:
        network: The trained network; what its answer depends on is measured by nudging input pixels.
        image: Slice (H, W).
        mask: Its stones, bool (H, W); the first pixel looked at is the stone's middle.
    """
    row, column = (round(float(places.mean())) for places in np.nonzero(mask))
    stages = list(fields.PLACES)
    controls = {
        "stage": steps("look after", stages[-1], stages),  # JupyterLab takes the arrow keys from a menu
        "row": slider("row", row, 0, image.shape[0] - 1, live=False),
        "column": slider("column", column, 0, image.shape[1] - 1, live=False),
    }
    known: dict[tuple[int, int], NDArray[np.float64]] = {}

    def draw(stage: str, row: int, column: int) -> Figure:
        if (row, column) not in known:
            known[row, column] = fields.reach(network, to_tensor(image)[None], row, column)
        return fields.field_figure(image, known[row, column], stage, row, column)

    _live(
        controls,
        draw,
        "A CT slice with an orange frame around all that the output pixel on the stone can see, a large "
        "part of the body, and beside it what the trained network's answer there depends on, mostly near it.",
        photo=True,
    )


def found(image: Greys, mask: Mask, marked: Tensor) -> None:
    """A slice (H, W) with what the network marks, a bool tensor (H, W), and the surroundings of the stone."""
    prediction: Mask = marked.numpy()
    figure = plain_figure(PAGE_INCHES, 3.2)
    whole, near = figure.subplots(1, 2)
    overlay(image, prediction=prediction, target=mask, ax=whole, legend=False)
    lens = features.lens_around(mask, 48)
    score = float(dice(prediction, mask))
    overlay(image[lens], prediction=prediction[lens], target=mask[lens], ax=near, title=f"Dice {score:.2f}")
    legend_below(figure)
    meets = "meets the stone" if (prediction & mask).any() else "misses the stone"
    _show(figure, f"What the network marks in the slice; it {meets}: Dice {score:.2f}.", photo=True)


def feature_maps(levels: Sequence[Tensor], mask: Mask) -> None:
    """A row of feature maps for every level, (1, C, h, w) each: the channels that tell most of the stone."""
    _show(
        features.feature_maps(levels, mask),
        "Feature maps of four levels, a row each, with a ring at the stone. At the top outlines and dots of "
        "the slice can be recognised; at the bottom 16 x 16 coarse squares are left, some of them glowing.",
        photo=True,
    )


def without_skips(
    patches: Tensor,
    truth: Tensor,
    answers: Mapping[str, Tensor],
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    marked: int,
) -> None:
    """The answers of two networks to the same patches, and how their Dice rose.

    Args:
        patches: Uint8 (N, 1, P, P).
        truth: Bool (N, 1, P, P).
        answers: Bool (N, 1, P, P) for each network, after `marked` steps.
        curves: Dice after every step, see `features.skip_curves`.
        marked: Step of the answers.
    """
    masks = {name: answer[:, 0].numpy() for name, answer in answers.items()}
    met = [f"{name} {int((a & truth).flatten(1).any(1).sum())}" for name, a in answers.items()]
    _show(
        features.skip_patches(patches[:, 0].numpy(), truth[:, 0].numpy(), masks),
        f"Patches, the giant stone first, a row a network. Stones met at step {marked}: {', '.join(met)}.",
        photo=True,
    )
    _show(
        features.skip_curves(curves, marked),
        "Dice against training step, a thin curve for all six patches together and a thick one for the five "
        "small stones. Without the copies the thin curve rises early and the thick one stays at 0 for long.",
    )


def design(image: Greys, mask: Mask) -> None:
    """Sliders for the channels and the number of levels of a U-Net: its drawing, parameters and field."""
    row, column = (round(float(places.mean())) for places in np.nonzero(mask))
    channels = steps("channels", 16, [4, 8, 16, 32, 64])
    _live(
        {"depth": slider("levels", 4, 2, 6, live=False), "channels": channels},
        lambda depth, channels: fields.design_figure(image, (row, column), depth, channels),
        "The letter U of a network with 4 levels and 16 channels, its parameters above it, and on the slice "
        "the frame that a pixel on the stone sees.",
        photo=True,
    )
