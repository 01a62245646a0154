"""What is moved and shown in lesson 3: convolution step by step, nine sliders, pooling, feature maps, the field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from unet_helpers.engine.figures import figure_png, plain_figure
from unet_helpers.metrics import dice
from unet_helpers.model import UNet, n_parameters
from unet_helpers.pictures import diagrams, features, tiles
from unet_helpers.plotting import overlay
from unet_helpers.transforms import to_tensor
from unet_helpers.widgets.still import show, show_figure

__all__ = [
    "concat",
    "convolution",
    "design",
    "detector",
    "feature_maps",
    "filters",
    "found",
    "the_map",
    "pooling",
    "receptive_field",
    "relu",
    "stamp",
    "without_skips",
]

Greys = NDArray[np.uint8]
Mask = NDArray[np.bool_]
KERNELS = {
    "edge": ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
    "blur": ((1 / 9, 1 / 9, 1 / 9),) * 3,
    "spot": ((-1, -1, -1), (-1, 8, -1), (-1, -1, -1)),
}
# the best of some 6,000 kernels of whole numbers, found by hill climbing on the slice of the series' patient
CLIMBED = ((-4, 3, -3), (3, 4, 3), (-2, -1, -3))


def _live(
    controls: Mapping[str, Any], draw: Callable[..., Figure], sentence: str, box: Any = None, dpi: int = 80
) -> None:
    """Show controls with the picture that `draw(**values)` makes of them; without a kernel its first state.

    Args:
        controls: Widgets by the name of the argument that their value becomes.
        draw: Returns a figure.
        sentence: What the first picture shows.
        box: How the controls are laid out; a column if None.
        dpi: Pixels per inch.
    """
    picture = ipywidgets.Image(format="png", layout=ipywidgets.Layout(width="100%", max_width="1000px"))

    def redraw(change: Any = None) -> None:
        figure = draw(**{name: control.value for name, control in controls.items()})
        figure.patch.set_facecolor("white")
        picture.value = figure_png(figure, dpi)

    redraw()
    for control in controls.values():
        control.observe(redraw, names="value")
    show(ipywidgets.VBox([box or ipywidgets.VBox(list(controls.values())), picture]), picture.value, sentence)


def _slider(words: str, value: int, low: int, high: int, live: bool = True) -> Any:
    return ipywidgets.IntSlider(
        value=value, min=low, max=high, description=words, continuous_update=live,
        style={"description_width": "initial"}, layout=ipywidgets.Layout(width="95%", max_width="520px"),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------- the parts
def convolution(image: ArrayLike, kernel: ArrayLike) -> None:
    """A slider that moves a kernel (3, 3) over a small image (H, W), with the nine products at each place."""
    n_places = tiles.convolve(image, kernel).size
    start = min(4, n_places - 1)
    _live(
        {"place": _slider("place of the frame", start, 0, n_places - 1)},
        lambda place: tiles.convolution_steps(image, kernel, place),
        f"Number tiles: the orange frame lies on place {start} of the image. Its nine numbers times the nine of "
        "the kernel give nine products, and their sum is one number of the output.",
    )


def filters(image: Greys) -> None:
    """What an edge, a blur and a spot kernel make of a slice (H, W)."""
    show_figure(
        features.filtered(image, KERNELS),
        "A CT slice and what three kernels make of it: the edge kernel draws the upright outlines, the blur "
        "kernel gives a smoother slice, the spot kernel leaves only dots and rims, the stone among them.",
        photo=True,
    )


def detector(image: Greys, mask: Mask, start: str = "edge") -> None:
    """Nine sliders for a kernel, and one for how many of its strongest answers are called stone; live Dice.

    Args:
        image: Slice (H, W).
        mask: Its stones, bool (H, W).
        start: One of `KERNELS`.
    """
    weights = [round(weight) for row in KERNELS[start] for weight in row]
    nine = [
        ipywidgets.IntSlider(value=w, min=-9, max=9, layout=ipywidgets.Layout(width="30%", min_width="100px"))
        for w in weights
    ]
    marked = ipywidgets.SelectionSlider(
        options=[3, 5, 10, 20, 50, 100, 200, 500, 1000, 3000], value=50, description="pixels to mark",
        style={"description_width": "initial"}, layout=ipywidgets.Layout(width="95%", max_width="520px"),
    )  # fmt: skip
    buttons = []
    for name, kernel in {**KERNELS, "computer": CLIMBED}.items():
        button = ipywidgets.Button(description=name, layout=ipywidgets.Layout(width="auto"))
        button.on_click(lambda _, kernel=kernel: _set_all(nine, kernel))
        buttons.append(button)
    tried: list[float] = []

    def draw(n_marked: int, **kernel: int) -> Figure:
        weights = np.array([kernel[f"w{i}"] for i in range(9)], float).reshape(3, 3)
        prediction = _strongest(image, weights, n_marked)
        tried.append(float(dice(prediction, mask)))
        return _detector_figure(image, mask, prediction, tried)

    rows = [ipywidgets.HBox(nine[i : i + 3]) for i in (0, 3, 6)]
    _live(
        {"n_marked": marked} | {f"w{i}": slider for i, slider in enumerate(nine)},
        draw,
        "A CT slice with the 50 strongest answers of the edge kernel marked: they lie on the rims of ribs and "
        "vertebrae, none on the stone, and the Dice is 0.",
        ipywidgets.VBox([*rows, marked, ipywidgets.HBox(buttons, layout=ipywidgets.Layout(flex_flow="row wrap"))]),
    )


def _set_all(nine: Sequence[Any], kernel: ArrayLike) -> None:
    """Put a kernel (3, 3) into nine sliders; those of a mean become 1."""
    values = np.asarray(kernel, float).ravel()
    values = values / values.max() if np.abs(values).max() < 1 else values
    for slider, value in zip(nine, values, strict=True):
        slider.value = round(float(value))


def _strongest(image: Greys, kernel: NDArray[np.float64], n_marked: int) -> Mask:
    """Bool (H, W): the pixels with the `n_marked` largest answers to a kernel; none if all are equal."""
    answers = tiles.convolve(np.pad(image, 1, mode="edge"), kernel)
    marked = np.zeros(answers.size, bool)
    if np.ptp(answers) > 0:
        marked[np.argsort(-answers, axis=None, kind="stable")[:n_marked]] = True
    return marked.reshape(answers.shape)


def _detector_figure(image: Greys, mask: Mask, prediction: Mask, tried: Sequence[float]) -> Figure:
    """The slice, the surroundings of the stone, and the Dice of all that was tried so far."""
    figure = plain_figure(11.5, 4)
    whole, near, curve = figure.subplots(1, 3, width_ratios=(1.15, 1.15, 1))
    overlay(image, prediction=prediction, target=mask, ax=whole, legend=False, title=f"Dice {tried[-1]:.3f}")
    lens = features.lens_around(mask, 48)
    n_hit, n_stone = int((prediction & mask).sum()), int(mask.sum())
    words = f"around the stone: {n_hit} of its {n_stone} pixels"
    overlay(image[lens], prediction=prediction[lens], target=mask[lens], ax=near, title=words)
    curve.plot(range(1, len(tried) + 1), tried, "o-", color="#0072b2", markersize=3)
    curve.axhline(max(tried), color="#d55e00", linestyle="--", linewidth=1)
    curve.set(xlabel="positions tried", ylabel="Dice", ylim=(0, 1), title=f"best so far: {max(tried):.3f}")
    return figure


def relu(image: Greys) -> None:
    """The spot kernel's answer to a slice (H, W), before and after ReLU."""
    show_figure(
        features.rectified(image, KERNELS["spot"]),
        "The answer of the spot kernel: before ReLU bright dots are blue with orange rings, after ReLU the "
        "orange rings have become white and the blue dots stay.",
        photo=True,
    )


def pooling(values: ArrayLike, image: Greys, mask: Mask) -> None:
    """Max-pooling on number tiles (H, W), and on the surroundings of a stone in a slice."""
    show_figure(
        tiles.pool_tiles(values),
        "Sixteen number tiles in four coloured blocks of 2 x 2; each block becomes one tile, its largest number.",
    )
    show_figure(
        features.pooled(image, mask),
        "The surroundings of the stone at 64, 32, 16 and 8 pixels: the picture becomes coarser, and the stone "
        "takes up more and more of its width.",
    )


def stamp(small: ArrayLike, weights: ArrayLike) -> None:
    """Up-convolution on number tiles: features (H, W) and a stamp (2, 2)."""
    show_figure(
        tiles.stamp_tiles(small, weights),
        "Four number tiles, a stamp of 2 x 2, and the output of 4 x 4 tiles: each tile has become a block that "
        "is the stamp times its number.",
    )


def concat() -> None:
    """Concatenation as two piles of sheets that become one."""
    show_figure(
        tiles.concat_sheets(),
        "Two piles of three sheets each, the copy and the enlarged features, become one pile of six sheets.",
    )


# ----------------------------------------------------------------------------------------- the network
def the_map() -> None:
    """The network of this series, drawn as a letter U, each block with its shape."""
    figure = diagrams.unet_diagram().figure
    assert isinstance(figure, Figure)
    show_figure(
        figure,
        "The U-Net: from 1 x 256 x 256 folded and down over 16 x 128 x 128, 32 x 64 x 64 and 64 x 32 x 32 to "
        "128 x 16 x 16 at the bottom, and up again over the same shapes, with a copy at each level.",
    )


PLACES = {"first convolution": 0, "level 0": 1, "level 1": 2, "level 2": 3, "bottleneck": 4, "the whole network": 5}


def receptive_field(network: UNet, image: Greys, mask: Mask) -> None:
    """Sliders for an output pixel, and a menu for how far into the network: what it can see of the slice.

    Args:
        network: The trained network; what its answer depends on is measured by nudging input pixels.
        image: Slice (H, W).
        mask: Its stones, bool (H, W); the first pixel looked at is the stone's middle.
    """
    row, column = (round(float(places.mean())) for places in np.nonzero(mask))
    stage = ipywidgets.Dropdown(options=list(PLACES), value="the whole network", description="after")
    controls = {
        "stage": stage,
        "row": _slider("row", row, 0, image.shape[0] - 1, live=False),
        "column": _slider("column", column, 0, image.shape[1] - 1, live=False),
    }
    weights = features.reach(network, to_tensor(image)[None], row, column)
    known = {(row, column): weights}

    def draw(stage: str, row: int, column: int) -> Figure:
        if (row, column) not in known:
            known[row, column] = features.reach(network, to_tensor(image)[None], row, column)
        return _field_figure(image, known[row, column], stage, row, column)

    _live(
        controls,
        draw,
        "A CT slice with an orange frame around all that the output pixel on the stone can see, most of the body, "
        "and beside it what the trained network's answer there really depends on: mostly the kidney around it.",
    )


def field_after(stage: str, position: int) -> tuple[int, int]:
    """First and last pixel, along one axis, that a feature at a position has seen on the way down.

    Args:
        stage: One of `PLACES`.
        position: Row or column of the pixel in the image.
    """
    depth = PLACES[stage]
    if depth == 5:
        return diagrams.receptive_field_px(4, position)
    first = last = position // 2 >> max(depth - 1, 0)
    if depth == 0:
        first, last = first - 1, last + 1
    for level in range(depth):
        first, last = (first - 2, last + 2) if level == 0 else (2 * first - 2, 2 * last + 1 + 2)
    return 2 * first, 2 * last + 1


def _field_figure(
    image: Greys, weights: NDArray[np.float64], stage: str, row: int, column: int
) -> Figure:
    figure = plain_figure(10, 4.9)
    left, right = figure.subplots(1, 2)
    (top, bottom), (start, end) = field_after(stage, row), field_after(stage, column)
    for ax in (left, right):
        ax.imshow(image, cmap="gray", vmin=0, vmax=255)
        ax.plot(column, row, "+", color="#e69f00", markersize=11, markeredgewidth=2)
        ax.set(xticks=[], yticks=[], xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
    frame = Rectangle((start - 0.5, top - 0.5), end - start + 1, bottom - top + 1, fill=False)
    frame.set(edgecolor="#e69f00", linewidth=2.5)
    left.add_patch(frame)
    left.set_title(f"can see: {bottom - top + 1} x {end - start + 1} pixels")
    strength = np.log10(weights / weights.max() + 1e-12)
    right.imshow(strength, cmap="viridis", vmin=-4, vmax=0, alpha=np.clip((strength + 4) / 2, 0, 0.85))
    right.set_title("what the answer of the whole network depends on")
    return figure


def found(image: Greys, mask: Mask, prediction: Mask) -> None:
    """A slice (H, W) with what the network marks (H, W), and the surroundings of the stone."""
    figure = plain_figure(9.5, 4.6)
    whole, near = figure.subplots(1, 2)
    overlay(image, prediction=prediction, target=mask, ax=whole, legend=False)
    lens = features.lens_around(mask, 48)
    score = float(dice(prediction, mask))
    overlay(image[lens], prediction=prediction[lens], target=mask[lens], ax=near, title=f"Dice {score:.2f}")
    show_figure(
        figure,
        f"The slice with the pixels that the network marks; enlarged, they cover the stone with a Dice of {score:.2f}.",
        photo=True,
    )


def feature_maps(levels: Sequence[Tensor], mask: Mask) -> None:
    """A row of feature maps for every level, (1, C, h, w) each: the channels that tell most of the stone."""
    show_figure(
        features.feature_maps(levels, mask),
        "Feature maps of four levels. At the top outlines and dots of the slice can be recognised; at the bottom "
        "16 x 16 coarse squares are left, and in several of them the one at the stone glows.",
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
    show_figure(
        features.skip_patches(patches[:, 0].numpy(), truth[:, 0].numpy(), masks),
        "Six patches in two rows. With the copies all six stones are outlined well. Without them the giant stone "
        "is, and each of the five small ones is missed, with a Dice of 0.",
        photo=True,
    )
    show_figure(
        features.skip_curves(curves, marked),
        "Dice against training step. With the copies both curves rise at once. Without them the Dice of all six "
        "together rises early too, while that of the small stones stays at 0 for a long time.",
    )


def design(image: Greys, mask: Mask) -> None:
    """Sliders for the channels and the number of levels of a U-Net: its drawing, parameters and field."""
    row, column = (round(float(places.mean())) for places in np.nonzero(mask))
    channels = ipywidgets.SelectionSlider(
        options=[4, 8, 16, 32, 64], value=16, description="channels of the first block",
        style={"description_width": "initial"}, layout=ipywidgets.Layout(width="95%", max_width="520px"),
    )  # fmt: skip
    _live(
        {"depth": _slider("levels", 4, 2, 6, live=False), "channels": channels},
        lambda depth, channels: _design_figure(image, (row, column), depth, channels),
        "The letter U of a network with 4 levels and 16 channels, 482,932 parameters, and on the slice the frame "
        "that a pixel on the stone sees.",
    )


def _design_figure(image: Greys, pixel: tuple[int, int], depth: int, channels: int) -> Figure:
    figure = plain_figure(13, 5)
    left, right = figure.subplots(1, 2, width_ratios=(2.6, 1))
    diagrams.unet_diagram(channels, depth, image.shape, ax=left)
    with torch.device("meta"):  # shapes only, no numbers: counted at once
        n = n_parameters(UNet(base_channels=channels, depth=depth))
    left.set_title(f"{n:,} parameters")
    (top, bottom), (start, end) = (diagrams.receptive_field_px(depth, place) for place in pixel)
    right.imshow(image, cmap="gray", vmin=0, vmax=255)
    frame = Rectangle((start - 0.5, top - 0.5), end - start + 1, bottom - top + 1, fill=False)
    frame.set(edgecolor="#e69f00", linewidth=2.5)
    right.add_patch(frame)
    right.set(xticks=[], yticks=[], xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
    right.set_title(f"sees {bottom - top + 1} x {end - start + 1} pixels")
    return figure

