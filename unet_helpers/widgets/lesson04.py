"""What is moved and shown in lesson 4: two logits, a stone that appears, learning rates, a GPU, a run."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from unet_helpers.engine.calm import Stopped, calmly
from unet_helpers.engine.figures import figure_png
from unet_helpers.exercises import bugs, measuring, rates
from unet_helpers.exercises.ablations import MEASURED
from unet_helpers.inference import predict, predict_all
from unet_helpers.losses import bce_loss, dice_loss
from unet_helpers.metrics import pooled_dice
from unet_helpers.pictures import courses
from unet_helpers.pictures.live import LiveImage
from unet_helpers.pictures.sheets import around
from unet_helpers.widgets.controls import button, steps
from unet_helpers.widgets.still import show, show_figure

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

NOTHING_YET = (
    "Stopped before the first validation, so there is nothing to look at yet. All is saved: run the cell "
    "that trains again, and it goes on where it stopped."
)
LOOKS = (0, 25, 50, 100, 200, 400)  # steps at which the stone is looked at; the last step comes on top
RATES = [4e-5, 4e-4, 4e-3, 4e-2, 4e-1, 2.0, 20.0]
PRESETS = {  # highest rate, and whether it rises to it
    "A: 0.00004": (4e-5, True),
    "B: 0.04": (4e-2, True),
    "C: 20": (20.0, True),
    "D: 2, no warm-up": (2.0, False),
}
NO_BUTTON = (
    "Stopped. Your own loop saves nothing: what it learnt is lost. Run the cell above and this one again."
)


def _small(figure: Figure, dpi: int, photo: bool = True) -> bytes:
    """A JPEG where CT is in the picture, else a PNG of 64 colours: a lesson has room for 300 kB."""
    figure.patch.set_facecolor("white")
    picture, buffer = Image.open(io.BytesIO(figure_png(figure, dpi))).convert("RGB"), io.BytesIO()
    if photo:
        picture.save(buffer, "JPEG", quality=70, optimize=True)
    else:
        picture.quantize(64, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


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
        picture.value = figure_png(figure, 92)
        return figure

    first = redraw()
    for slider in (stone, rest):
        slider.observe(redraw, names="value")
    alt = "Sixteen probabilities of 0.50, three of them framed as stone, and bars: BCE 0.69, Dice loss 0.73."
    show(ipywidgets.VBox([stone, rest, picture]), _small(first, 64, photo=False), alt)


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


# ------------------------------------------------------------------------------------ a stone appears
class Appearing:
    """Watches a training: the loss, and what the network says around a stone at some steps.

    As a context it turns the stop button into one sentence.

    Args:
        model: The network in training.
        image: Slice, uint8 (H, W).
        mask: Its stones, bool (H, W).
        n_steps: Steps of the training.
    """

    def __init__(self, model: nn.Module, image: Greys, mask: Mask, n_steps: int) -> None:
        self.model, self.image, self.mask, self.n_steps = model, image, mask, n_steps
        self.lens = around(mask, 48)
        self.moments: list[tuple[int, NDArray[Any]]] = []
        self.losses: list[Any] = []
        self.page = LiveImage()

    @calmly
    def __enter__(self) -> Appearing:
        self._look(0)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is KeyboardInterrupt:
            raise Stopped(NO_BUTTON) from None

    def __call__(self, step: int, loss: Tensor) -> None:
        """Note the loss of one step, unread, and look at the stone where it is due."""
        self.losses.append(loss)
        if step == self.n_steps or step in LOOKS:
            self._look(step)

    def _look(self, step: int) -> None:
        self.losses = [float(loss) for loss in self.losses]
        self.moments.append((step, predict(self.model, self.image)[self.lens]))
        figure = courses.appearing(
            self.image[self.lens], self.mask[self.lens], self.moments, self.losses, self.n_steps
        )
        seen = self.moments[-1][1][self.mask[self.lens]].max()
        sentence = (
            f"A loss curve up to step {step}, and cut-outs around the stone at {len(self.moments)} moments. "
            f"At the last one the network is up to {100 * seen:.0f} % sure of the stone."
        )
        self.page.put(_small(figure, 70), sentence)


# ----------------------------------------------------------------------------- does it learn, how fast
def learnt(model: nn.Module, patches: Tensor, masks: Tensor) -> float:
    """Show what a network says about patches (B, 1, P, P) that it learnt by heart; returns their Dice."""
    images, truth = list(patches[:, 0].numpy()), list(masks[:, 0].numpy())
    answers = predict_all(model, images)
    score = pooled_dice([p >= 0.5 for p in answers], truth)
    words = "Patches with the outline of their stones, and below each the probabilities that were learnt"
    show_figure(
        courses.heart_figure(images, truth, answers), f"{words}: Dice {score:.2f}.", photo=True, dpi=64
    )
    return score


@calmly
def learning_rates(images: Sequence[Greys], masks: Sequence[Mask]) -> None:
    """Four short trainings, A to D, and a slider, a box and a button to add more.

    Args:
        images: Training slices, uint8 (H, W).
        masks: Their masks, bool (H, W).
    """
    curves = {name: rates.train_at(rate, warm, images, masks) for name, (rate, warm) in PRESETS.items()}
    rate = steps("highest rate", RATES[2], RATES)
    warm_up = ipywidgets.Checkbox(True, description="warm-up", indent=False)
    picture = ipywidgets.Image(format="png", layout=ipywidgets.Layout(max_width="98%"))

    def redraw() -> Figure:
        figure = courses.loss_curves(curves)
        picture.value = figure_png(figure, 92)
        return figure

    def train() -> None:
        name = f"{rate.value:g}, {'with' if warm_up.value else 'no'} warm-up"
        curves[name] = rates.train_at(rate.value, warm_up.value, images, masks)
        for old in list(curves)[4:-3]:  # the last three tries stay
            del curves[old]
        redraw()

    box = ipywidgets.VBox([rate, warm_up, button("train 80 steps", train, takes_all=True), picture])
    ends = ", ".join(f"{name} at {courses.last_loss(losses)}" for name, losses in curves.items())
    alt = f"The loss of four short trainings against the step; they end: {ends}."
    show(box, _small(redraw(), 64, photo=False), alt)


@calmly
def eight_slices(train: tuple[Sequence[Greys], Sequence[Mask]], val: tuple[Any, Any]) -> None:
    """Learn eight slices by heart, and show the loss there and on slices of other patients."""
    with_stone = [i for i, mask in enumerate(train[1]) if mask.any()]
    eight = [with_stone[k] for k in np.linspace(0, len(with_stone) - 1, min(8, len(with_stone))).astype(int)]
    few = [train[0][i] for i in eight], [train[1][i] for i in eight]
    if not any(mask.any() for mask in val[1]):
        print("The validation part of this data set holds no stone, so there is nothing to compare with.")
        return
    curves = rates.by_heart(few, val)
    step = curves.pop("step")
    first, last = ({name: losses[k] for name, losses in curves.items()} for k in (0, -1))
    alt = "; ".join(f"on {name} the loss goes from {first[name]:.2f} to {last[name]:.2f}" for name in curves)
    show_figure(courses.loss_curves(curves, step, 1.5, smooth=False), f"Two curves: {alt}.", dpi=64)


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
        dpi=64,
    )


# ------------------------------------------------------------------------------------------- the run
class Watching:
    """Watches `fit`: pass it as `on_epoch`. Curves and strip are one picture, replaced in place.

    Args:
        run_dir: Folder of the run.
        n_steps: Length of the run in steps; None where that is not known.
    """

    @calmly
    def __init__(self, run_dir: str | Path, n_steps: int | None) -> None:
        self.strip, self.n_steps = Path(run_dir) / "snapshots.png", n_steps
        self.page = LiveImage()
        self([])  # so that the bar stays below the picture

    def __call__(self, history: Sequence[Mapping[str, float]]) -> None:
        """Draw the history so far."""
        figure = courses.course(history, self.strip, self.n_steps)
        if history:
            score = f"validation Dice {history[-1]['val_dice']:.2f} at step {history[-1]['step']:.0f}"
            sentence = (
                f"The curves of the training, {score}, and a strip with four stones, a row each: the slice, "
                "the network's answer at growing steps, the truth."
            )
        else:
            sentence = "Empty axes: the first point of the curves comes with the first validation."
        self.page.put(_small(figure, 72), sentence)

    def done(self, history: Sequence[Mapping[str, float]], status: Any) -> bool:
        """Show the run as it is, and say how far it came; whether there is anything to go on with."""
        if not history:
            print(NOTHING_YET)
            return False
        self(history)
        minutes, score = history[-1]["seconds"] / 60, history[-1]["val_dice"]
        print(f"{status}: validation Dice {score:.3f}, {minutes:.1f} minutes of training")
        return True


def ablations() -> None:
    """What each part of the recipe buys in a minute, as `benchmarks/ablations.py` has measured it."""
    means = {name: float(np.mean(scores)) for name, scores in MEASURED.items()}
    told = ", ".join(f"without {name} {score:.2f}" for name, score in list(means.items())[1:])
    alt = f"Validation Dice of all seeds: all of it {means['nothing']:.2f}, {told}."
    show_figure(courses.ablation_figure(MEASURED), alt, dpi=72)


@calmly
def three_bugs(patches: Tensor, masks: Tensor) -> Mapping[str, Sequence[float]]:
    """Train a healthy loop and two broken ones on the same patches, and show their losses without names.

    Args:
        patches: Uint8 (B, 1, P, P).
        masks: Bool (B, 1, P, P).

    Returns:
        The losses by the name of the curve.
    """
    losses: dict[str, list[float]] = {
        letter: bugs.train(patches, masks, kind) for letter, kind in zip("XYZ", bugs.KINDS, strict=True)
    }
    ends = ", ".join(f"{name} at {courses.last_loss(curve)}" for name, curve in losses.items())
    alt = f"The losses of three loops on the same patches; they end: {ends}."
    show_figure(courses.loss_curves(losses), alt, dpi=64)
    return losses
