"""Training: patches in, the best weights out.

`train_step` is done once, `fit` repeats it, validates, saves, and goes on where it was stopped. The rest is
in `engine`: the run's folder, and what few trainings need (too little memory, a compiler, several GPUs).
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from unet_helpers.data import Pair
from unet_helpers.engine.devices import choose_device, fast_precision, sixteen_bit_type
from unet_helpers.engine.doors import doors
from unet_helpers.engine.progress import TrainingBar
from unet_helpers.losses import bce_dice_loss
from unet_helpers.metrics import dice
from unet_helpers.transforms import PatchSampler, augment, normalise

if TYPE_CHECKING:
    from unet_helpers.engine.run_folder import run_status
    from unet_helpers.engine.snapshots import Snapshots
    from unet_helpers.folders.mask_codes import Value
else:
    __getattr__, __dir__ = doors(__name__, {"engine.run_folder": ["run_status"]})

__all__ = [
    "Run",
    "TrainConfig",
    "choose_device",
    "default_config",
    "fit",
    "learning_rate_factor",
    "run_status",
    "running_average",
    "train_step",
    "validate",
]

History = list[dict[str, float]]  # an entry an epoch
Network = Callable[[Tensor], Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
Augment = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
SAVE_EVERY_SECONDS = 60
AVERAGE_WEIGHT = 0.2  # of the newest validation in the running average that chooses the weights
GPU_BATCH = 48  # patches a step that keep a GPU busy; with fewer it waits for the next step most of the time


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run; saved with its checkpoints.

    The length is `n_steps` optimiser steps, or `n_epochs` or `minutes` if one of them is given.

    Attributes:
        n_steps: Optimiser steps.
        n_epochs, minutes: Train for so many epochs, or so much wall-clock time, validation included, instead.
        batch_size, patch_size: Patches a step, of all processes together, and their side in pixels.
        max_size, spacing: How large the network sees images, see `engine.scale`; by itself like the files.
        stone_fraction, lookalike_fraction: Share of the patches on a stone, and on what is as bright.
        learning_rate: Highest rate, reached after `warm_up` of the run, then lowered along a cosine to zero.
        warm_up, weight_decay: Share of the run; of AdamW.
        max_gradient_norm: Longer gradients are shortened to this norm.
        steps_per_epoch: Steps between two validations; None takes as many as cut all pixels once.
        seed: Of weights, patches and augmentation.
        compile: Whether to use torch.compile: "on", "off", or "auto" where it pays back within the run.
        cuda_graphs: Whether a step on a GPU is recorded, see `engine.graphs`; "auto", "on", "off".

    Raises:
        ValueError: If a setting makes no sense; it is named with its value.
    """

    n_steps: int = 5500
    n_epochs: int | None = None
    minutes: float | None = None
    batch_size: int = 6
    patch_size: int = 160
    max_size: int | None = None
    spacing: float | None = None
    stone_fraction: float = 0.5
    lookalike_fraction: float = 0.25
    learning_rate: float = 4e-3
    warm_up: float = 0.2
    weight_decay: float = 1e-2
    max_gradient_norm: float = 5.0
    steps_per_epoch: int | None = None
    seed: int = 0
    compile: str = "auto"
    cuda_graphs: str = "auto"

    def __post_init__(self) -> None:
        from unet_helpers.engine.settings import checked

        for name, value in checked(self).items():
            object.__setattr__(self, name, value)

    @property
    def length(self) -> tuple[str, float]:
        """What ends the run, "n_steps", "n_epochs" or "minutes", and how many of them."""
        name = next((name for name in ("n_epochs", "minutes") if getattr(self, name) is not None), "n_steps")
        return name, getattr(self, name)

    def progress(self, step: int, seconds: float, steps_per_epoch: int) -> float:
        """Share of the run that is done after so many steps and seconds; 1 or more at its end."""
        name, length = self.length
        if name == "minutes":
            return seconds / (60 * length)
        return step / (length * steps_per_epoch if name == "n_epochs" else length)


def default_config(device: torch.device) -> TrainConfig:
    """Settings of the lessons: many small steps, on a GPU fewer, larger ones; `$UNET_STEPS` sets how many."""
    from unet_helpers.engine.settings import shortened

    if device.type == "cpu":
        return shortened(TrainConfig())
    return shortened(TrainConfig(n_steps=2500, batch_size=GPU_BATCH, learning_rate=6e-3, steps_per_epoch=100))


def learning_rate_factor(progress: float, warm_up: float) -> float:
    """Share of the highest rate when `progress` (0 to 1) of the run is done: up a line, down a cosine."""
    if progress < warm_up:
        return max(progress / warm_up, 0.01)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warm_up) / (1 - warm_up))))


class Run:
    """Everything that changes during a training; `engine.resuming` saves and restores it."""

    def __init__(self, config: TrainConfig, model: nn.Module, device: torch.device) -> None:
        self.config, self.device = config, device
        self.model = model.to(device).to(memory_format=torch.channels_last)  # faster: pixel by pixel
        # what batches go through: the model itself, or a form of it, compiled, shared out, or in parts
        self.network: Network = self.model
        self.plain_network: Network = self.model  # the same, not compiled
        self.loss: Loss = bce_dice_loss
        self.augment: Augment | None = augment
        fused = device.type in ("cpu", "cuda") or None  # faster, and needs no answer from the GPU
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=fused
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=sixteen_bit_type(device) == torch.float16)
        self.generator = torch.Generator().manual_seed(config.seed)  # of patches and augmentation
        self.step, self.seconds, self.best = 0, 0.0, -1.0
        self.epoch_loss, self.epoch_steps = 0.0, 0
        self.steps_per_epoch = config.steps_per_epoch or 1  # known for certain when the images are read
        self.history: History = []
        self.split: dict[str, list[str]] = {"train": [], "val": []}  # groups
        self.classes: tuple[tuple[str, Value], ...] = ()  # name and mask value of each; of stones alone: none
        self.hashes: dict[str, list[str]] = {"train": [], "val": []}  # of the images
        self.names: list[str] = []  # files of the training images
        self.sides: tuple[int, ...] = ()  # shortest and longest of their longer sides
        self.val: tuple[Sequence[np.ndarray], Sequence[np.ndarray]] = ((), ())  # images and masks (H, W)
        self.snapshots: Snapshots | None = None
        self.moments: list[dict[str, Any]] = []  # what the snapshots show
        self.unread: list[tuple[int, float, Tensor, Tensor, Tensor]] = []  # losses that lie on the device
        self.reads_late = device.type != "cpu"  # which would have to wait for a loss, and can compute on
        self.rank, self.world_size = 0, 1  # number of this process, and how many there are
        self.part_size = config.batch_size  # patches in memory at once
        self.may_compile = config.compile == "on" or (config.compile == "auto" and device.type == "cuda")

    @property
    def progress(self) -> float:
        """Share of the run that is done."""
        return self.config.progress(self.step, self.seconds, self.steps_per_epoch)

    def rate(self) -> float:
        """Learning rate of the next step."""
        return self.config.learning_rate * learning_rate_factor(self.progress, self.config.warm_up)


def train_step(run: Run, sampler: PatchSampler) -> None:
    """One step of the optimiser on one batch of B patches of P x P pixels."""
    config, processes = run.config, (run.rank, run.world_size)
    rate = run.rate()
    for group in run.optimiser.param_groups:
        group["lr"] = rate

    # sample and augment: uint8 and bool (B, 1, P, P), most of them on a stone or on what looks like one
    images, masks, which = sampler.sample(config.batch_size, run.generator, processes)
    images = normalise(images)  # float32 in [-1, 1]
    if run.augment is not None:
        images, masks = run.augment(images, masks, run.generator)  # turned, scaled, other greys

    # forward, loss, backward
    run.optimiser.zero_grad(set_to_none=True)  # backward adds to the gradients that are there
    with fast_precision(run.device):  # the convolutions in 16 bits, where the device is fast at them
        logits = run.network(images.contiguous(memory_format=torch.channels_last))  # (B, 1, P, P)
    loss = run.loss(logits, masks)  # a scalar in float32: 16 bits are too few for a sum over pixels
    scaled = run.scaler.scale(loss)  # float16 would round small gradients to 0; elsewhere the scale is 1
    scaled.backward()  # type: ignore[no-untyped-call]  # a gradient for every weight

    # clip and step
    run.scaler.unscale_(run.optimiser)  # first: the limit is for the gradient, not for the scaled one
    norm = nn.utils.clip_grad_norm_(run.model.parameters(), config.max_gradient_norm)
    run.scaler.step(run.optimiser)  # moves every weight, or none if a scaled gradient overflowed
    run.scaler.update()
    run.unread.append((run.step, rate, which, loss.detach(), norm))  # reading now would make a GPU wait
    run.step, run.epoch_steps = run.step + 1, run.epoch_steps + 1


def running_average(history: History) -> list[float]:
    """Running average of the validation Dice after each epoch; a single one is too noisy to choose by.

    Reference: Isensee et al. (2021), nnU-Net, Nature Methods 18, 203-211, chooses its weights like this.
    """
    averages = list[float]()
    for score in (entry["val_dice"] for entry in history):
        before = averages[-1] if averages else score
        averages.append(before + AVERAGE_WEIGHT * (score - before))
    return averages


def validate(run: Run) -> float:
    """Mean Dice of what `run.val` holds, as far as it bears a stone, at threshold 0.5; or over classes."""
    from unet_helpers.engine.validating import answers, mean_over_classes

    if run.classes:
        return mean_over_classes(run)
    return float(np.mean([float(dice(p >= 0.5, mask)) for p, mask in answers(run) if mask.any()]))


def fit(
    train_pairs: list[Pair],
    val_pairs: list[Pair],
    run_dir: str | os.PathLike[str],
    config: TrainConfig | None = None,
    model: nn.Module | None = None,
    device: torch.device | None = None,
    resume: bool = True,
    progress: bool = True,
    on_epoch: Callable[[History], None] | None = None,
    raise_interrupt: bool = False,
    *,
    loss: Loss = bce_dice_loss,
    augment: Augment | None = augment,
) -> History:
    """Train a network on patches, validate it on whole images, and keep the best weights.

    Writes `last.pt` (before the first step, every epoch and at least every minute) and, from the first
    validation on, `best.pt` (highest running average of the validation Dice), `history.json` and
    `snapshots.png` into `run_dir`. Ctrl-C, the stop button of a notebook or SIGTERM ends it after the current
    step, with everything saved; the same call goes on, with the run's own settings, on any device. Its length
    alone can be raised, even when it is finished; the rate is then that of a run of the new length.

    Args:
        train_pairs: Pairs to learn from.
        val_pairs: Pairs to choose the best weights on; at least one holds a stone.
        run_dir: Folder of this run.
        config: Settings; if None those of the run in `run_dir`, or `default_config(device)` for a new run.
        model: Network to train, changed in place; if None the one of the run, or for a new run a `UNet` with
            seeded weights. A class of your own is needed again, to continue and by `load_checkpoint`.
        device: Where to compute; `choose_device()` if None.
        resume: Whether to continue the run in `run_dir`; otherwise it is deleted once the images are read.
        progress: Whether to show a bar.
        on_epoch: Called with the history after every epoch, in process 0.
        raise_interrupt: Whether a stop ends in `Interrupted`; before the first validation it always does.
        loss: Logits (B, 1, P, P) in 16 or 32 bits and bool masks of the same shape -> scalar. Where the pairs
            have n classes, logits (B, n + 1, P, P) and uint8 labels (B, 1, P, P); by itself
            `classes.losses.cross_entropy_dice_loss`.
        augment: Float images (B, 1, P, P) in [-1, 1], bool masks and a CPU generator -> new ones; None for
            patches as they are. Neither of the two is saved with a run: give them again to continue it.

    Returns:
        One dict an epoch: step, seconds, train_loss, val_dice, learning_rate; in process 0 only.

    Raises:
        ValueError: If the parts share a group, a file is broken, no validation image holds a stone, or
            `run_dir` holds a run with other settings or images, or one that another process trains.
        OSError: If `run_dir` cannot be written; found before the first step.
        FloatingPointError: If the loss is not finite.
        Interrupted: (`engine.stopping`, a KeyboardInterrupt) if it was stopped, see `raise_interrupt`.
    """
    from unet_helpers.engine.resuming import check_groups, open_data, open_run
    from unet_helpers.engine.run_folder import own_folder
    from unet_helpers.engine.stopping import tell

    run_dir, pairs = Path(run_dir), {"train": train_pairs, "val": val_pairs}
    check_groups(pairs)
    with own_folder(run_dir, config, resume):  # nobody else trains there meanwhile
        run = open_run(run_dir, config, model, device or choose_device(), pairs, resume)
        run.loss, run.augment, stopped = loss, augment, 0
        try:
            sampler = open_data(run, pairs, run_dir, progress)
        except KeyboardInterrupt:  # later on a signal waits for the end of the step
            sampler, stopped = None, int(signal.SIGINT)
        if sampler is not None:  # the run is not finished
            stopped = _steps(run, sampler, run_dir, progress, on_epoch)
    if stopped:
        tell(run, stopped, raise_interrupt)
    return run.history


def _steps(
    run: Run, sampler: PatchSampler, run_dir: Path, progress: bool, on_epoch: Callable[[History], None] | None
) -> int:
    """Train to the end or until a signal comes; returns its number, or 0."""
    from unet_helpers.engine import epochs, graphs, rescue, resuming, several_gpus, stopping
    from unet_helpers.engine.compiling import compile_if_it_pays
    from unet_helpers.engine.threads import Threads

    run.model.train()
    started, saved_at, stop = time.perf_counter() - run.seconds, time.perf_counter(), 0
    look = run.progress, run.config.batch_size, progress and run.rank == 0
    with stopping.stop_signal() as received, TrainingBar(*look) as bar, Threads(run.device) as watched:
        resuming.begin(run, run_dir)  # last.pt is there from now on
        do_step = graphs.step_function(run)  # train_step, on a GPU as a recording of it
        while run.progress < 1 and not stop:
            before = run.generator.get_state()
            try:
                with watched.step():
                    do_step(run, sampler)
            except RuntimeError as error:  # no memory, or no compiler
                rescue.another_way(run, error)  # raises what it cannot mend
                run.generator.set_state(before)  # the same patches again
                continue
            run.seconds, stop = several_gpus.agree(
                time.perf_counter() - started, received()
            )  # the same in all processes
            epoch_ends = run.epoch_steps == run.steps_per_epoch or run.progress >= 1
            save_now = epoch_ends or stop or time.perf_counter() - saved_at > SAVE_EVERY_SECONDS
            if save_now or bar.is_due() or not run.reads_late:
                stopping.read_losses(run)  # before anything is saved: weights gone wrong never reach a file
            if run.snapshots:
                run.snapshots.look(run.model, run.step)
            if epoch_ends:
                with bar.pause():
                    epochs.end_epoch(run, run_dir, on_epoch)
                stop = several_gpus.agree(stop=received())[1]  # processes without images wait here
            if save_now and run.rank == 0:
                resuming.save(run, run_dir / "last.pt")
                saved_at = time.perf_counter()
            bar.step(run.progress, run.step, run.epoch_loss / max(1, run.epoch_steps), run.history)
            compile_if_it_pays(run, bar.seconds_left)
        several_gpus.agree()  # nobody leaves before the file is there
    return stop if run.progress < 1 else 0
