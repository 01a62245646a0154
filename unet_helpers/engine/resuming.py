"""Opening a run: a new one, or the one in the folder, if settings, network and images are still its own."""

from __future__ import annotations

import signal
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unet_helpers.checkpoint import build_network, network_name, save_state
from unet_helpers.classes import training as classes
from unet_helpers.data import Pair, image_hashes
from unet_helpers.engine.cache import open_images
from unet_helpers.engine.calm import CalmError
from unet_helpers.engine.files import remove_scratch, write_json
from unet_helpers.engine.run_folder import holds_run, how_far, load_run, saved_config, slower_here
from unet_helpers.engine.scale import Scale
from unet_helpers.engine.settings import clashes, continued
from unet_helpers.engine.several_gpus import agree, main_first, rank_and_world_size, share
from unet_helpers.engine.snapshots import Snapshots
from unet_helpers.engine.stopping import Interrupted, whole
from unet_helpers.engine.tiling import validation_windows
from unet_helpers.engine.weights import load_weights
from unet_helpers.training import Run, TrainConfig, default_config
from unet_helpers.transforms import PatchSampler

__all__ = ["begin", "check_groups", "open_data", "open_run", "save"]

Split = dict[str, list[Pair]]


def check_groups(split: Split) -> None:
    """Refuse groups that are in both parts with a ValueError."""
    if shared := {pair.group for pair in split["train"]} & {pair.group for pair in split["val"]}:
        raise ValueError(
            f"train_pairs and val_pairs must share no group, got {sorted(shared)[:3]} in both. "
            "Use split_by_group."
        )


def open_run(
    run_dir: Path,
    config: TrainConfig | None,
    model: nn.Module | None,
    device: torch.device,
    split: Split,
    resume: bool,
) -> Run:
    """The run in a folder with its own settings, or a new one; the arguments are those of `fit`.

    Raises:
        ValueError: If explicit settings are other ones than those of the run, apart from a greater length.
        Interrupted: If it was stopped while the first optimiser of the process was made.
    """
    # process 0 decides, so that all go the same way
    rank, world_size = rank_and_world_size()
    found = resume and agree(float(rank == 0 and holds_run(run_dir)))[0]
    state = load_run(run_dir, device) if found else None
    several = classes.of_pairs([*split["train"], *split["val"]])
    model = getattr(model, "_orig_mod", model)  # unpack what torch.compile made; `config.compile` decides
    if state:
        saved = saved_config(state, run_dir)
        _check_settings(saved, config, {**state, "new_classes": several}, model, run_dir)
        config = continued(saved, config)
    config = config or default_config(device)
    if config.batch_size % world_size:
        raise ValueError(
            f"batch_size must be a multiple of the {world_size} processes, got {config.batch_size}."
        )
    torch.manual_seed(config.seed)
    if model is None:
        model = build_network(state, run_dir / "last.pt") if state else classes.new_network(several)
    classes.check_network(model, several)
    groups = {part: sorted({pair.group for pair in pairs}) for part, pairs in split.items()}
    try:
        with (
            whole()
        ):  # the first optimiser of a process imports torch._dynamo, which a stop would leave in two
            run = Run(config, model, device)
    except KeyboardInterrupt:
        raise Interrupted(0, int(signal.SIGINT), validated=False) from None
    run.split, run.classes = groups, several
    run.rank, run.world_size = rank, world_size
    if state:
        _restore(run, state, run_dir)
    agree()  # all have read the file that process 0 may now write
    return run


def _check_settings(
    saved: TrainConfig,
    config: TrainConfig | None,
    state: dict[str, Any],
    model: nn.Module | None,
    run_dir: Path,
) -> None:
    other = clashes(saved, config) if config else []
    if model is not None:
        here = {"network": network_name(model), **getattr(model, "settings", {})}
        there = {"network": state["network"], **state["model_settings"]}
        names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
        other += [f"{name} {there.get(name)} there, {here.get(name)} here" for name in names]
    there_classes, here_classes = (
        [name for name, _ in some] for some in (state.get("classes", ()), state["new_classes"])
    )
    if there_classes != here_classes:
        other.append(f"classes {there_classes or 'none'} there, {here_classes or 'none'} here")
    if other:
        raise ValueError(
            f"{run_dir} must be continued with its own settings, got {'; '.join(other)}. Leave them away to "
            "continue, give another run folder, or start again with resume=False."
        )


def save(run: Run, path: Path) -> None:
    """Write a checkpoint, from which the run can go on."""
    names = ("split", "step", "seconds", "epoch_loss", "epoch_steps", "steps_per_epoch", "best", "history")
    state = {
        "network": network_name(run.model),
        "model_settings": getattr(run.model, "settings", {}),
        "model": run.model.state_dict(),
        "config": asdict(run.config),
        "images": run.hashes,
        "sides": run.sides,
        "threshold": 0.5,
        "min_pixels": 0,
        "val_dice": run.history[-1]["val_dice"] if run.history else float("nan"),
        "optimiser": run.optimiser.state_dict(),
        "scaler": run.scaler.state_dict(),
        "generator": run.generator.get_state(),
        "snapshots": run.moments,
    }
    if run.classes:  # a checkpoint of one class is what it was before there were several
        state["classes"] = run.classes
    save_state(path, {**state, **{name: getattr(run, name) for name in names}})


def _restore(run: Run, state: dict[str, Any], run_dir: Path) -> None:
    """Continue from `state`, whose settings fit; ValueError if its weights or exams do not."""
    if not state["images"]["train"] and state["split"] != run.split:  # version 1 knows the groups only
        raise ValueError(
            f"{run_dir} must be continued on the exams it was trained on, got others. Give another run "
            "folder, or start again with resume=False."
        )
    load_weights(run.model, state["model"], run_dir / "last.pt")
    for group in state["optimiser"]["param_groups"]:  # the run may go on on another kind of device
        group["fused"] = run.optimiser.param_groups[0]["fused"]
    run.optimiser.load_state_dict(state["optimiser"])
    if state["scaler"] or not run.scaler.is_enabled():
        run.scaler.load_state_dict(state["scaler"])
    run.generator.set_state(state["generator"].cpu())
    for name in ("step", "seconds", "epoch_loss", "epoch_steps", "steps_per_epoch", "best", "history"):
        setattr(run, name, state[name])
    run.hashes = state["images"]
    run.moments = [{**moment, "crops": moment["crops"].cpu()} for moment in state.get("snapshots", [])]
    if run.rank == 0:
        done = how_far(run.config, run.step, run.progress)
        print(f"Run in {run_dir.name}: {done.replace('unfinished', 'continued')}.")
        if run.progress < 1 and (sentence := slower_here(run.config, run.device)):
            print(sentence)


def open_data(run: Run, split: Split, run_dir: Path, progress: bool) -> PatchSampler | None:
    """The sampler of training patches; the validation images go into the run of process 0.

    Of a finished run, which needs neither, only the images are compared with those it was trained on.

    Raises:
        ValueError: If the images are others than those of the run, or no validation image holds a stone.
    """
    if run.progress >= 1:
        if run.rank == 0:
            here = {part: image_hashes(pairs, progress) for part, pairs in split.items()}
            _compare_images(run, here, run_dir)
        return None
    config, scale = run.config, Scale(run.config.max_size, run.config.spacing)
    with main_first():  # which writes the cache of a large data set
        scale.sentence(split["train"])  # refuses what cannot be done
        options = scale.options(split["train"])
        train = open_images(split["train"], config.patch_size, run.rank == 0, **options)
    sampler = train.sampler(config.patch_size, config.stone_fraction, config.lookalike_fraction, run.device)
    run.steps_per_epoch = config.steps_per_epoch or max(1, sampler.patches_per_epoch // config.batch_size)
    run.names = [pair.image_path.name for pair in split["train"]]
    sides = [max(image.shape) for image in train.images]
    run.sides = min(sides), max(sides)
    if run.rank:
        return sampler
    val = open_images(split["val"], **scale.options(split["val"]))
    _compare_images(run, {"train": train.hashes, "val": val.hashes}, run_dir)
    if not any(mask.any() for mask in val.masks):
        anywhere = any(mask.any() for mask in train.masks)
        hint = (
            "Try another split seed." if anywhere else "Check the masks: those of the training are empty too."
        )
        raise CalmError(
            f"val_pairs must hold at least one stone, got {len(val.masks)} images without any. {hint}"
        )
    if run.classes:
        classes.check_masks(run.classes, train.masks)
        run.loss = classes.loss_of_run(run.loss)
    run.val = validation_windows(val.images, val.masks)
    run.snapshots = Snapshots(*run.val, run.moments)
    return sampler


def _compare_images(run: Run, here: dict[str, list[str]], run_dir: Path) -> None:
    """Note the hashes of the images; ValueError if this run was trained on others."""
    if run.hashes["train"]:
        now, before = ({part: Counter(images[part]) for part in here} for images in (here, run.hashes))
        new = {part: (now[part] - before[part]).total() for part in here}
        missing = sum((before[part] - now[part]).total() for part in here)
        if any(new.values()) or missing:
            raise ValueError(
                f"{run_dir} must be continued on the images it was trained on, got "
                f"{new['train']} of {len(here['train'])} training images and {new['val']} of "
                f"{len(here['val'])} validation images that are others, and {missing} missing. Give another "
                "run folder, or start again with resume=False."
            )
    run.hashes = here


def begin(run: Run, run_dir: Path) -> None:
    """Share the run out to several processes, and leave its `last.pt`: a stop at any moment leaves a run.

    What an earlier run left goes only now, when a new one has begun, so that nobody takes it for new.
    """
    if run.world_size > 1:
        share(run)
    if run.rank:
        return
    remove_scratch(run_dir)
    if run.snapshots and run.step == 0:
        run.snapshots.look(run.model, run.step)
    if run.history:
        write_json(run_dir / "history.json", run.history)
        return
    save(run, run_dir / "last.pt")
    for name in ("best.pt", "history.json", "snapshots.png", "curves.png"):
        (run_dir / name).unlink(missing_ok=True)
