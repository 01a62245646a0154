"""The training loop: patches in, best checkpoint out, nothing lost on the way."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from unet_helpers.checkpoint import load_state, save_state
from unet_helpers.data import Pair, load_pair
from unet_helpers.files import write_json
from unet_helpers.inference import MAX_SIZE, fast_precision, predict_all, sixteen_bit_type
from unet_helpers.losses import bce_dice_loss
from unet_helpers.metrics import dice
from unet_helpers.model import UNet
from unet_helpers.progress import progress_bar
from unet_helpers.transforms import PatchSampler, augment, normalise, resize_image, resize_mask, shrink_size

__all__ = ["TrainConfig", "choose_device", "default_config", "fit", "load_arrays", "mean_positive_dice"]


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run; saved with its checkpoints.

    The length is `n_steps` optimiser steps, or `n_epochs` or `minutes` if one of them is given.

    Attributes:
        n_steps: Optimiser steps.
        n_epochs: Train for so many epochs instead.
        minutes: Train for so much wall-clock time instead, validation included.
        batch_size: Patches a step.
        patch_size: Side of a patch in pixels.
        stone_fraction: Share of the patches that are placed on a stone.
        lookalike_fraction: Share of the patches on something as bright that is no stone.
        learning_rate: Highest rate, reached after `warm_up` of the run, then lowered along a cosine to zero.
        warm_up: Share of the run.
        weight_decay: Of AdamW.
        max_gradient_norm: Longer gradients are shortened to this norm.
        steps_per_epoch: Steps between two validations; None takes as many as cut all pixels once.
        seed: Of weights, patches and augmentation.
    """

    n_steps: int = 3500
    n_epochs: int | None = None
    minutes: float | None = None
    batch_size: int = 16
    patch_size: int = 96
    stone_fraction: float = 0.5
    lookalike_fraction: float = 0.25
    learning_rate: float = 4e-3
    warm_up: float = 0.2
    weight_decay: float = 1e-2
    max_gradient_norm: float = 5.0
    steps_per_epoch: int | None = None
    seed: int = 0


def default_config(device: torch.device) -> TrainConfig:
    """Settings that the lessons use: a few minutes on two CPU cores, more steps on a GPU."""
    return TrainConfig() if device.type == "cpu" else TrainConfig(n_steps=10_000)


def choose_device(name: str | None = None) -> torch.device:
    """The fastest device that really works: CUDA, then Apple's MPS, then the CPU.

    Args:
        name: "cpu", "cuda", "cuda:1", "mps"; None to choose.

    Returns:
        A device on which a small convolution has just succeeded: some GPUs report themselves as available and
        then refuse to compute, because the installed PyTorch was not built for them.

    Raises:
        ValueError: If the named device does not work.
    """
    candidates = (
        [name] if name else ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
    )
    for candidate in candidates:
        try:
            device = torch.device(candidate)
            nn.Conv2d(1, 1, 3).to(device)(torch.zeros(1, 1, 8, 8, device=device)).sum().item()
            return device
        except (RuntimeError, AssertionError) as error:
            reason = str(error).strip().partition("\n")[0]
            if name:
                raise ValueError(
                    f"device must be one that works here, got {name!r}: {reason}. Try cpu."
                ) from error
            print(f"{candidate} is present but does not work ({reason}); going on without it.")
    return torch.device("cpu")


def load_arrays(
    pairs: list[Pair], max_size: int = MAX_SIZE, progress: bool = False
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Read pairs into memory, shrunk so that the longer side is at most `max_size` pixels.

    Returns:
        Uint8 images (H, W) and bool masks (H, W), in the order of `pairs`.

    Raises:
        ValueError: If a file is broken, see `data.load_pair`.
    """
    images, masks = [], []
    for pair in progress_bar(pairs, desc="reading pairs", unit="pair", disable=not progress):
        image, mask = load_pair(pair)
        size = shrink_size(image.shape, max_size)
        images.append(image if size == image.shape else resize_image(image, size))
        masks.append(mask if size == mask.shape else resize_mask(mask, size))
    return images, masks


def mean_positive_dice(
    probabilities: list[np.ndarray], masks: list[np.ndarray], threshold: float = 0.5
) -> float:
    """Mean Dice over the images that hold a stone; NaN if none does."""
    scores = [dice(p >= threshold, m) for p, m in zip(probabilities, masks, strict=True) if m.any()]
    return float(np.mean(scores)) if scores else float("nan")


def learning_rate_factor(progress: float, warm_up: float) -> float:
    """Share of the highest rate when `progress` (0 to 1) of the run is done: up a line, down a cosine."""
    if progress < warm_up:
        return max(progress / warm_up, 0.01)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warm_up) / (1 - warm_up))))


class _Run:
    """Everything that changes during training, and how it is saved and restored."""

    def __init__(
        self, config: TrainConfig, model: UNet, device: torch.device, split: dict[str, list[str]]
    ) -> None:
        self.config, self.device, self.split = config, device, split
        self.model = model.to(device, memory_format=torch.channels_last)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=sixteen_bit_type(device) == torch.float16)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.steps_per_epoch = config.steps_per_epoch or 1
        self.step, self.seconds, self.epoch_loss, self.epoch_steps, self.best = 0, 0.0, 0.0, 0, -1.0
        self.history: list[dict[str, float]] = []

    @property
    def progress(self) -> float:
        if self.config.minutes is not None:
            return self.seconds / (60 * self.config.minutes)
        return self.step / (
            self.config.n_epochs * self.steps_per_epoch if self.config.n_epochs else self.config.n_steps
        )

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "model_settings": self.model.settings,
            "model": self.model.state_dict(),
            "config": asdict(self.config),
            "split": self.split,
            "threshold": 0.5,
            "min_pixels": 0,
            "step": self.step,
            "val_dice": self.history[-1]["val_dice"] if self.history else float("nan"),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "generator": self.generator.get_state(),
            "seconds": self.seconds,
            "epoch_loss": self.epoch_loss,
            "epoch_steps": self.epoch_steps,
            "steps_per_epoch": self.steps_per_epoch,
            "best": self.best,
            "history": self.history,
        }

    def restore(self, state: dict[str, Any], path: Path) -> None:
        """Continue from `state`; ValueError if it belongs to another run."""
        if state["split"] != self.split:
            raise ValueError(
                f"{path} must come from a run on the same exams, got others. Give another run folder."
            )
        mine = {**asdict(self.config), **self.model.settings}
        theirs = {**state["config"], **state["model_settings"]}
        other = [
            f"{name} {theirs.get(name)} there, {value} here"
            for name, value in mine.items()
            if theirs.get(name) != value
        ]
        if other:
            raise ValueError(
                f"{path} must come from a run with the same settings, got {'; '.join(other)}. "
                "Give another run folder, or start again with resume=False."
            )
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self.generator.set_state(state["generator"].cpu())
        for name in ("step", "seconds", "epoch_loss", "epoch_steps", "steps_per_epoch", "best", "history"):
            setattr(self, name, state[name])


@contextmanager
def _stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C (or the notebook's stop button) into a question that the loop asks after every step."""
    pressed = []
    try:
        before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    except ValueError:  # not the main thread: leave Ctrl-C as it is
        yield lambda: False
        return
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def _train_step(run: _Run, sampler: PatchSampler, train_pairs: list[Pair]) -> float:
    """One optimiser step on one batch of patches; returns the loss."""
    config = run.config
    rate = config.learning_rate * learning_rate_factor(run.progress, config.warm_up)
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    images, masks, which = sampler.sample(config.batch_size, run.generator)
    images, masks = augment(normalise(images), masks, run.generator)
    with fast_precision(run.device):
        logits = run.model(images.contiguous(memory_format=torch.channels_last))  # (B, 1, P, P)
    loss = bce_dice_loss(logits, masks)
    value = loss.item()
    run.optimiser.zero_grad(set_to_none=True)
    run.scaler.scale(loss).backward()
    run.scaler.unscale_(run.optimiser)
    norm = nn.utils.clip_grad_norm_(run.model.parameters(), config.max_gradient_norm).item()
    # with a gradient scaler a gradient that overflows is normal: the scaler leaves that step out
    if not math.isfinite(value) or not (math.isfinite(norm) or run.scaler.is_enabled()):
        names = ", ".join(sorted({train_pairs[i].image.name for i in which.tolist()}))
        raise FloatingPointError(
            f"loss and gradient must be finite, got {value} and {norm} at step {run.step}, learning rate "
            f"{rate:.2g}, images {names}. Try half the learning rate; the last good checkpoint is kept."
        )
    run.scaler.step(run.optimiser)
    run.scaler.update()
    return value


def _validate(run: _Run, images: list[np.ndarray], masks: list[np.ndarray], run_dir: Path) -> None:
    """End of an epoch: score the weights, extend the history, save best.pt if they are the best so far."""
    score = mean_positive_dice(predict_all(run.model, images), masks)
    run.history.append(
        {
            "step": run.step,
            "seconds": round(run.seconds, 1),
            "train_loss": run.epoch_loss / run.epoch_steps,
            "val_dice": score,
            "learning_rate": run.optimiser.param_groups[0]["lr"],
        }
    )
    run.epoch_loss, run.epoch_steps = 0.0, 0
    if score > run.best:
        run.best = score
        save_state(run_dir / "best.pt", run.state())
    write_json(run_dir / "history.json", run.history)


def fit(
    train_pairs: list[Pair],
    val_pairs: list[Pair],
    run_dir: str | os.PathLike[str],
    config: TrainConfig | None = None,
    model: UNet | None = None,
    device: torch.device | None = None,
    resume: bool = True,
    progress: bool = True,
    on_epoch: Callable[[list[dict[str, float]]], None] | None = None,
) -> list[dict[str, float]]:
    """Train a U-Net on patches, validate it on whole images, and keep the best weights.

    Writes `best.pt` (best validation Dice), `last.pt` (every epoch and at least every minute) and
    `history.json` into `run_dir`. Ctrl-C, or the stop button of a notebook, ends the training after the
    current step with everything saved; the same call continues it. A finished run is returned as it is.

    Args:
        train_pairs: Pairs to learn from.
        val_pairs: Pairs to choose the best weights on; at least one holds a stone.
        run_dir: Folder of this run.
        config: Settings; `default_config(device)` if None.
        model: Network to train, changed in place; a `UNet` with seeded random weights if None.
        device: Where to compute; `choose_device()` if None.
        resume: Whether to continue the run found in `run_dir`; otherwise it is started again.
        progress: Whether to show a bar.
        on_epoch: Called with the history after every epoch.

    Returns:
        One dict an epoch: step, seconds, train_loss, val_dice, learning_rate.

    Raises:
        ValueError: If the pairs of training and validation share a group, a file is broken, no validation
            image holds a stone, or `run_dir` holds a run with other settings.
        FloatingPointError: If the loss is not finite.
    """
    run_dir, device = Path(run_dir), device or choose_device()
    config = config or default_config(device)
    split = {"train": sorted({p.group for p in train_pairs}), "val": sorted({p.group for p in val_pairs})}
    if shared := set(split["train"]) & set(split["val"]):
        raise ValueError(
            f"train_pairs and val_pairs must share no group, got {sorted(shared)[:3]} in both. "
            "Use split_by_group."
        )
    torch.manual_seed(config.seed)
    run = _Run(config, model or UNet(), device, split)
    if resume and (run_dir / "last.pt").is_file():
        run.restore(load_state(run_dir / "last.pt", device), run_dir / "last.pt")
        print(
            f"Run in {run_dir.name}: {'finished' if run.progress >= 1 else 'continued'} at step {run.step}."
        )
        if run.progress >= 1:
            return run.history
    images, masks = load_arrays(train_pairs)
    sampler = PatchSampler(
        images, masks, config.patch_size, config.stone_fraction, config.lookalike_fraction, device
    )
    del images, masks
    val_images, val_masks = load_arrays(val_pairs)
    if not any(mask.any() for mask in val_masks):
        raise ValueError(
            f"val_pairs must hold at least one stone, got {len(val_pairs)} images without. "
            "Try another split seed."
        )
    _loop(run, sampler, train_pairs, (val_images, val_masks), run_dir, progress, on_epoch)
    return run.history


def _loop(
    run: _Run,
    sampler: PatchSampler,
    train_pairs: list[Pair],
    val: tuple[list[np.ndarray], list[np.ndarray]],
    run_dir: Path,
    progress: bool,
    on_epoch: Callable[[list[dict[str, float]]], None] | None,
) -> None:
    run.steps_per_epoch = run.config.steps_per_epoch or max(
        1, sampler.patches_per_epoch // run.config.batch_size
    )
    started, saved_at = time.perf_counter() - run.seconds, time.perf_counter()
    run.model.train()
    bar = progress_bar(
        total=100,
        initial=round(100 * run.progress),
        desc="training",
        disable=not progress,
        bar_format="{desc} {percentage:3.0f}%|{bar:20}| {elapsed}<{remaining} {postfix}",
    )
    with _stop_on_interrupt() as interrupted, bar:
        while run.progress < 1 and not interrupted():
            run.epoch_loss += _train_step(run, sampler, train_pairs)
            run.step, run.epoch_steps = run.step + 1, run.epoch_steps + 1
            run.seconds = time.perf_counter() - started
            epoch_ends = run.epoch_steps == run.steps_per_epoch or run.progress >= 1
            if epoch_ends:
                _validate(run, *val, run_dir)
                if on_epoch:
                    on_epoch(run.history)
            if epoch_ends or time.perf_counter() - saved_at > 60:
                save_state(run_dir / "last.pt", run.state())
                saved_at = time.perf_counter()
            _draw(bar, run)
        save_state(run_dir / "last.pt", run.state())
        if run.progress < 1:
            bar.write(
                f"Stopped at step {run.step}; everything is saved. Run the same call again to continue."
            )


def _draw(bar: Any, run: _Run) -> None:
    last = (
        run.history[-1]
        if run.history
        else {"train_loss": run.epoch_loss / max(1, run.epoch_steps), "val_dice": float("nan")}
    )
    bar.set_postfix_str(
        f"loss {last['train_loss']:.3f}, validation Dice {last['val_dice']:.3f}, step {run.step}",
        refresh=False,
    )
    bar.update(min(100, int(100 * run.progress)) - bar.n)
