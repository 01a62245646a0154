"""What is moved and shown in lesson 4: two logits, a stone that appears, learning rates, a GPU, a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from unet_helpers.engine.calm import calmly
from unet_helpers.engine.figures import LIVE_DPI, PAGE_DPI, figure_png
from unet_helpers.engine.progress import progress_bar
from unet_helpers.engine.settings import rehearsed
from unet_helpers.exercises import bugs, measuring, rates
from unet_helpers.exercises.ablations import MEASURED
from unet_helpers.inference import predict_all
from unet_helpers.losses import bce_loss, dice_loss
from unet_helpers.metrics import pooled_dice
from unet_helpers.pictures import courses
from unet_helpers.widgets.controls import button, steps
from unet_helpers.widgets.still import show, show_figure
from unet_helpers.widgets.watching import Appearing, Watching
from unet_helpers.widgets.watching import small as _small

__all__ = [
    "Appearing",
    "Watching",
    "ablations",
    "batches",
    "by_hand",
    "eight_slices",
    "learning_rates",
    "learnt",
    "three_bugs",
]

Greys = NDArray[np.uint8]
Mask = NDArray[np.bool_]

RATES = [4e-5, 4e-4, 4e-3, 4e-2, 4e-1, 2.0, 20.0]
PRESETS = {  # highest rate, and whether it rises to it
    "A: 0.00004": (4e-5, True),
    "B: 0.04": (4e-2, True),
    "C: 20": (20.0, True),
    "D: 2, no warm-up": (2.0, False),
}


# ------------------------------------------------------------------------------------- a loss by hand
def by_hand(target: Tensor) -> None:
    """Two sliders, for the logits of the stone's and of all other pixels: the losses, and how they changed.

    Args:
        target: Float tensor (4, 4) with values 0 and 1.
    """
    layout = ipywidgets.Layout(width="95%", max_width="520px")
    style = {"description_width": "45px"}  # more would leave a phone no room to move
    stone, rest = (
        ipywidgets.FloatSlider(0, min=-8, max=8, step=0.5, description=words, layout=layout, style=style)
        for words in ("stone", "rest")
    )
    picture = ipywidgets.Image(format="png", layout=ipywidgets.Layout(max_width="98%"))
    before = {"stone": 0.0, "rest": 0.0, "loss": _both(target, 0, 0)[2]}

    def redraw(change: Any = None) -> Figure:
        moved = "two knobs: move one of them"
        loss = _both(target, stone.value, rest.value)[2]
        for name, slider in (("stone", stone), ("rest", rest)):
            if change is not None and change["owner"] is slider and slider.value != before[name]:
                moved = told_change(name, before[name], slider.value, before["loss"], loss)
        before.update(stone=stone.value, rest=rest.value, loss=loss)
        figure = _by_hand_figure(target, stone.value, rest.value, moved)
        picture.value = figure_png(figure, LIVE_DPI)
        return figure

    first = redraw()
    for slider in (stone, rest):
        slider.observe(redraw, names="value")
    alt = "Sixteen probabilities of 0.50, three of them framed as stone, and bars: BCE 0.69, Dice loss 0.73."
    show(ipywidgets.VBox([stone, rest, picture]), _small(first, PAGE_DPI, photo=False), alt)


def told_change(name: str, old: float, new: float, loss_before: float, loss: float) -> str:
    """What a move of a slider did to the loss, and how much that is for one unit."""
    slope = (loss - loss_before) / (new - old)
    return f"{name} {old:+g} to {new:+g}: sum {loss - loss_before:+.3f}, per unit {slope:+.3f}"


def _logits(target: Tensor, stone: float, rest: float) -> Tensor:
    return torch.where(target == 1, float(stone), float(rest))[None, None]


def _both(target: Tensor, stone: float, rest: float) -> tuple[float, float, float]:
    """BCE, Dice loss and their sum."""
    logits = _logits(target, stone, rest)
    bce, dice = float(bce_loss(logits, target[None, None])), float(dice_loss(logits, target[None, None]))
    return bce, dice, bce + dice


def _by_hand_figure(target: Tensor, stone: float, rest: float, moved: str) -> Figure:
    losses = dict(zip(("BCE", "Dice loss", "sum"), _both(target, stone, rest), strict=True))
    p = _logits(target, stone, rest)[0, 0].sigmoid().numpy()
    return courses.by_hand(p, target.numpy(), losses, moved)


def _steps(words: str, n_steps: int) -> Any:
    """A bar over short trainings; nothing is left of it."""
    return progress_bar(desc=words, total=n_steps, unit="step", leave=False, delay=1.0)


# ----------------------------------------------------------------------------- does it learn, how fast
def learnt(model: nn.Module, patches: Tensor, masks: Tensor) -> float:
    """Show what a network says about patches (B, 1, P, P) that it learnt by heart; returns their Dice."""
    images, truth = list(patches[:, 0].numpy()), list(masks[:, 0].numpy())
    answers = predict_all(model, images)
    score = pooled_dice([p >= 0.5 for p in answers], truth)
    words = "Patches with the outline of their stones, and below each the probabilities that were learnt"
    show_figure(courses.heart_figure(images, truth, answers), f"{words}: Dice {score:.2f}.", photo=True)
    return score


@calmly
def learning_rates(images: Sequence[Greys], masks: Sequence[Mask]) -> None:
    """Four short trainings, A to D, and a slider, a box and a button to add more.

    Args:
        images: Training slices, uint8 (H, W).
        masks: Their masks, bool (H, W).
    """
    curves = dict[str, list[float]]()
    with _steps("four short trainings", 4 * rehearsed(rates.N_STEPS)) as bar:
        for name, (highest, warm) in PRESETS.items():
            curves[name] = rates.train_at(highest, warm, images, masks, after_step=bar.update)
    rate = steps("highest rate", RATES[2], RATES)
    warm_up = ipywidgets.Checkbox(True, description="warm-up", indent=False)
    picture = ipywidgets.Image(format="png", layout=ipywidgets.Layout(max_width="98%"))

    def redraw() -> Figure:
        figure = courses.loss_curves(curves)
        picture.value = figure_png(figure, LIVE_DPI)
        return figure

    def train() -> None:
        name = f"{rate.value:g}, {'with' if warm_up.value else 'no'} warm-up"
        pressed.disabled, pressed.description = True, "training ..."
        try:
            curves[name] = rates.train_at(rate.value, warm_up.value, images, masks)
            for old in list(curves)[4:-3]:  # the last three tries stay
                del curves[old]
            redraw()
        finally:
            pressed.disabled, pressed.description = False, "train 80 steps"

    pressed = button("train 80 steps", train, takes_all=True)
    box = ipywidgets.VBox([rate, warm_up, pressed, picture])
    ends = ", ".join(f"{name} at {courses.last_loss(losses)}" for name, losses in curves.items())
    alt = f"The loss of four short trainings against the step; they end: {ends}."
    show(box, _small(redraw(), PAGE_DPI, photo=False), alt)


@calmly
def eight_slices(train: tuple[Sequence[Greys], Sequence[Mask]], val: tuple[Any, Any]) -> None:
    """Learn eight slices by heart, and show the loss there and on slices of other patients."""
    with_stone = [i for i, mask in enumerate(train[1]) if mask.any()]
    eight = [with_stone[k] for k in np.linspace(0, len(with_stone) - 1, min(8, len(with_stone))).astype(int)]
    few = [train[0][i] for i in eight], [train[1][i] for i in eight]
    if not any(mask.any() for mask in val[1]):
        print("The validation part of this data set holds no stone, so there is nothing to compare with.")
        return
    with _steps("eight slices by heart", rehearsed(rates.N_BY_HEART)) as bar:
        curves = rates.by_heart(few, val, after_step=bar.update)
    step = curves.pop("step")
    first, last = ({name: losses[k] for name, losses in curves.items()} for k in (0, -1))
    alt = "; ".join(f"on {name} the loss goes from {first[name]:.2f} to {last[name]:.2f}" for name in curves)
    show_figure(courses.loss_curves(curves, step, 1.5, smooth=False), f"Two curves: {alt}.")


# -------------------------------------------------------------------------------------------- the GPU
@calmly
def batches(device: torch.device) -> None:
    """Measure a training step with 1, 2, 4, ... patches here, and show it beside an H200."""
    cuda = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if cuda else f"this {device.type.upper()}"
    own: dict[int, measuring.Measured] = {}
    for n_patches in (1, 2, 4, 8, 16, 32, 64, 128) if cuda else (1, 2, 4, 8, 16):
        own[n_patches] = measuring.measure(device, n_patches)
        plain, recorded, _ = measuring.H200_BATCHES[n_patches]
        here = own[n_patches]
        memory = f", {here.mib:,.0f} MiB" if here.mib is not None else ""
        print(
            f"{n_patches:>3} patches: {here.ms:>7.1f} ms, {here.patches_per_s:>6,.0f} patches/s{memory}"
            f"   (H200: {1000 * n_patches / plain:.0f} ms, recorded {1000 * n_patches / recorded:.1f} ms)"
        )
    if not cuda:
        plain, recorded, _ = measuring.H200_BATCHES[128]
        print(f"128 patches: on the H200 {128_000 / plain:.0f} ms, recorded {128_000 / recorded:.1f} ms")
    words = "Patches a second and memory against patches a step, on logarithmic axes: on the H200 the speed "
    show_figure(
        courses.batch_figure(own, name),
        f"{words}grows with the batch over two orders of magnitude; {name} is drawn beside it.",
    )


def ablations() -> None:
    """What each part of the recipe buys in a minute, as `benchmarks/ablations.py` has measured it."""
    means = {name: float(np.mean(scores)) for name, scores in MEASURED.items()}
    told = ", ".join(f"without {name} {score:.2f}" for name, score in list(means.items())[1:])
    alt = f"Validation Dice of all seeds: all of it {means['nothing']:.2f}, {told}."
    show_figure(courses.ablation_figure(MEASURED), alt)


@calmly
def three_bugs(patches: Tensor, masks: Tensor) -> Mapping[str, Sequence[float]]:
    """Train a healthy loop and two broken ones on the same patches, and show their losses without names.

    Args:
        patches: Uint8 (B, 1, P, P).
        masks: Bool (B, 1, P, P).

    Returns:
        The losses by the name of the curve.
    """
    losses = dict[str, list[float]]()
    with _steps("three loops", 3 * rehearsed(bugs.N_STEPS)) as bar:
        for letter, kind in zip("XYZ", bugs.KINDS, strict=True):
            losses[letter] = bugs.train(patches, masks, kind, after_step=bar.update)
    ends = ", ".join(f"{name} at {courses.last_loss(curve)}" for name, curve in losses.items())
    alt = f"The losses of three loops on the same patches; they end: {ends}."
    show_figure(courses.loss_curves(losses), alt)
    return losses
