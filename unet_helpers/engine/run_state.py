"""Everything that changes during a training run, and how it is saved and restored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unet_helpers.checkpoint import build_network, load_weights, network_name
from unet_helpers.engine import distributed
from unet_helpers.engine.config import TrainConfig, clashes, continued, default_config
from unet_helpers.engine.run_folder import holds_run, how_far, load_run, saved_config
from unet_helpers.engine.snapshots import Snapshots
from unet_helpers.engine.steps import LossLedger
from unet_helpers.inference import sixteen_bit_type
from unet_helpers.model import UNet

__all__ = ["RunState", "open_run"]


class RunState:
    """Everything that changes during training, and how it is saved and restored."""

    def __init__(
        self, config: TrainConfig, model: nn.Module, device: torch.device, split: dict[str, list[str]]
    ) -> None:
        self.config, self.device, self.split = config, device, split
        self.images: dict[str, list[str]] = {"train": [], "val": []}  # hashes, known when they are read
        model = getattr(model, "_orig_mod", model)  # unpack what torch.compile made; `config.compile` decides
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
        self.moments: list[dict[str, Any]] = []  # those of the snapshots, until there are images to show
        self.may_compile = True
        self.part_size, self.predict_size = config.batch_size, 8  # images at once, less if memory is short
        self.steps_per_epoch = config.steps_per_epoch or 1
        self.step, self.seconds, self.epoch_loss, self.epoch_steps, self.best = 0, 0.0, 0.0, 0, -1.0
        self.history: list[dict[str, float]] = []

    @property
    def progress(self) -> float:
        """Share of the run that is done."""
        return self.config.progress(self.step, self.seconds, self.steps_per_epoch)

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the network, as far as it tells them."""
        return getattr(self.model, "settings", {})

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "network": network_name(self.model),
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
            "snapshots": self.snapshots.moments if self.snapshots else self.moments,
        }

    def restore(self, state: dict[str, Any], path: Path) -> None:
        """Continue from `state`, whose settings fit; ValueError if its weights do not."""
        load_weights(self.model, state["model"], path)
        for group in state["optimiser"]["param_groups"]:  # the run may go on on another kind of device
            group["fused"] = self.optimiser.param_groups[0]["fused"]
        self.optimiser.load_state_dict(state["optimiser"])
        if state["scaler"] or not self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        self.generator.set_state(state["generator"].cpu())
        for name in ("step", "seconds", "epoch_loss", "epoch_steps", "steps_per_epoch", "best", "history"):
            setattr(self, name, state[name])
        self.images = state["images"]
        self.moments = [{**moment, "crops": moment["crops"].cpu()} for moment in state.get("snapshots", [])]

    def take_images(self, train: list[str], val: list[str], run_dir: Path) -> None:
        """Note the hashes of the images; ValueError if this run was trained on others."""
        here = {"train": train, "val": val}
        if self.images["train"] and distributed.part()[0] == 0:
            now, before = ({part: Counter(images[part]) for part in here} for images in (here, self.images))
            new = {part: (now[part] - before[part]).total() for part in here}
            missing = sum((before[part] - now[part]).total() for part in here)
            if any(new.values()) or missing:
                raise ValueError(
                    f"{run_dir} must be continued on the images it was trained on, got {new['train']} of "
                    f"{len(train)} training images and {new['val']} of {len(val)} validation images that are "
                    f"others, and {missing} missing. Give another run folder, or start again with "
                    "resume=False."
                )
        self.images = here

    def read_losses(self, names: Callable[[list[int]], str]) -> None:
        """Fetch the losses from the device; FloatingPointError if one is not finite."""
        for value in self.ledger.read(names, norm_may_overflow=self.scaler.is_enabled()):
            self.epoch_loss += value


def open_run(
    run_dir: Path,
    config: TrainConfig | None,
    model: nn.Module | None,
    device: torch.device,
    split: dict[str, list[str]],
    resume: bool,
) -> RunState:
    """The run in a folder with its own settings, or a new one; the arguments are those of `fit`.

    Raises:
        ValueError: If explicit settings are other ones than those of the run, apart from a greater length.
    """
    # process 0 decides, so that all go the same way
    main = distributed.part()[0] == 0
    found = resume and distributed.agree(float(main and holds_run(run_dir)), 0)[0]
    state = load_run(run_dir, device) if found else None
    if state:
        saved = saved_config(state, run_dir)
        _check_settings(saved, config, state, model, run_dir)
        config = continued(saved, config)
    config = config or default_config(device)
    if config.batch_size % distributed.part()[1]:
        raise ValueError(
            f"batch_size must be a multiple of the {distributed.part()[1]} processes, "
            f"got {config.batch_size}."
        )
    torch.manual_seed(config.seed)
    if model is None:
        model = build_network(state, run_dir / "last.pt") if state else UNet()
    run = RunState(config, model, device, split)
    if state:
        _resume(run, state, run_dir)
    distributed.agree(0.0, 0)  # all have read the file that process 0 may now write
    return run


def _resume(run: RunState, state: dict[str, Any], run_dir: Path) -> None:
    if not state["images"]["train"] and state["split"] != run.split:  # version 1 knows the groups only
        raise ValueError(
            f"{run_dir} must be continued on the exams it was trained on, got others. Give another run "
            "folder, or start again with resume=False."
        )
    run.restore(state, run_dir / "last.pt")
    if distributed.part()[0] == 0:
        done = how_far(run.config, run.step, run.progress)
        print(f"Run in {run_dir.name}: {done.replace('unfinished', 'continued')}.")


def _check_settings(
    saved: TrainConfig,
    config: TrainConfig | None,
    state: dict[str, Any],
    model: nn.Module | None,
    run_dir: Path,
) -> None:
    other = clashes(saved, config) if config else []
    if model is not None:
        model = getattr(model, "_orig_mod", model)
        here = {"network": network_name(model), **getattr(model, "settings", {})}
        there = {"network": state["network"], **state["model_settings"]}
        names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
        other += [f"{name} {there.get(name)} there, {here.get(name)} here" for name in names]
    if other:
        raise ValueError(
            f"{run_dir} must be continued with its own settings, got {'; '.join(other)}. Leave them away to "
            "continue, give another run folder, or start again with resume=False."
        )
