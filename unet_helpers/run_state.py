"""Everything that changes during a training run, and how it is saved and restored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unet_helpers import distributed
from unet_helpers.config import TrainConfig
from unet_helpers.inference import sixteen_bit_type
from unet_helpers.snapshots import Snapshots
from unet_helpers.steps import LossLedger

__all__ = ["RunState"]


class RunState:
    """Everything that changes during training, and how it is saved and restored."""

    def __init__(
        self, config: TrainConfig, model: nn.Module, device: torch.device, split: dict[str, list[str]]
    ) -> None:
        self.config, self.device, self.split = config, device, split
        self.images: dict[str, list[str]] = {"train": [], "val": []}
        self.model = model.to(device, memory_format=torch.channels_last)
        distributed.synchronise_batch_norm(self.model)
        self.network: Callable[[Tensor], Tensor] = self.model  # or a compiled form of it
        # one fused step is faster, and needs no answer from the GPU before it goes on, even with a scaler
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(),
            config.learning_rate,
            weight_decay=config.weight_decay,
            fused=device.type in ("cpu", "cuda") or None,
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=sixteen_bit_type(device) == torch.float16)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.ledger = LossLedger()
        self.snapshots: Snapshots | None = None
        self.may_compile = True
        self.part_size, self.predict_size = config.batch_size, 8  # images at once, less if memory is short
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

    @property
    def settings(self) -> dict[str, Any]:
        return getattr(self.model, "settings", {"network": type(self.model).__name__})

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "model_settings": self.settings,
            "model": self.model.state_dict(),
            "config": asdict(self.config),
            "split": self.split,
            "images": self.images,
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
            "snapshots": self.snapshots.moments if self.snapshots else [],
        }

    def restore(self, state: dict[str, Any], path: Path) -> None:
        """Continue from `state`; ValueError if it belongs to another run."""
        if state["split"] != self.split:
            raise ValueError(
                f"{path} must come from a run on the same exams, got others. Give another run folder."
            )
        mine = {**asdict(self.config), **self.settings}
        theirs = {**state["config"], **state["model_settings"], "compile": self.config.compile}
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
        for group in state["optimiser"]["param_groups"]:  # the run may go on on another kind of device
            group["fused"] = self.optimiser.param_groups[0]["fused"]
        self.optimiser.load_state_dict(state["optimiser"])
        if state["scaler"] or not self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        self.generator.set_state(state["generator"].cpu())
        for name in ("step", "seconds", "epoch_loss", "epoch_steps", "steps_per_epoch", "best", "history"):
            setattr(self, name, state[name])

    def read_losses(self, names: Callable[[list[int]], str]) -> None:
        """Fetch the losses from the device; FloatingPointError if one is not finite."""
        for value in self.ledger.read(names, norm_may_overflow=self.scaler.is_enabled()):
            self.epoch_loss += value
