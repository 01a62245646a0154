"""`train DATA --out RUN`: split by group, train, and choose the threshold on the validation part."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from matplotlib.figure import Figure

from unet_helpers import plotting
from unet_helpers.checkpoint import load_checkpoint, load_state, store_threshold
from unet_helpers.classes.training import new_network
from unet_helpers.command_line.cross_validation import fold_folder, is_finished, mark_finished, open_folds
from unet_helpers.command_line.hints import window_sentence
from unet_helpers.data import (
    MAX_SIZE,
    Pair,
    find_pairs,
    folds_by_group,
    given_split,
    load_arrays,
    open_dataset,
    split_by_group,
    stone_strata,
    with_window,
)
from unet_helpers.engine import figures
from unet_helpers.engine.cache import file_sizes
from unet_helpers.engine.files import check_writable, write_json
from unet_helpers.engine.run_folder import RunStatus
from unet_helpers.engine.scale import Scale
from unet_helpers.engine.several_gpus import main_first, own_device, process_group, rank_and_world_size
from unet_helpers.engine.stopping import Interrupted
from unet_helpers.evaluation import choose_threshold
from unet_helpers.folders.mask_rules import MaskRule, rule_of
from unet_helpers.inference import predict_all
from unet_helpers.training import TrainConfig, choose_device, default_config, fit, run_status

__all__ = ["choose_on_validation", "run"]

Split = dict[str, list[Pair]]
SETTINGS = ("seed", "compile", "batch_size", "patch_size", "max_size", "spacing", "learning_rate")  # options
MOST_IMAGES = 2000  # so many tell a threshold well enough, and their probabilities fit into memory
MOST_PIXELS = 2**28  # of large images: 1.6 GB with masks and probabilities


@dataclass(frozen=True)
class _Plan:
    """What all folds have in common."""

    args: argparse.Namespace
    config: TrainConfig
    network: dict[str, Any]  # settings of the U-Net; empty for the usual one
    device: torch.device
    masks: MaskRule | None  # what the masks mean, if somebody says so

    def folder(self, fold: int) -> Path:
        """Where a fold is trained, counted from 1; RUN itself without folds."""
        return _folder(self.args, fold)


def run(args: argparse.Namespace) -> int:
    """Train one network, or one for each fold; 128 + the signal's number if stopped.

    Raises:
        ValueError, OSError, FloatingPointError: As `fit`, and if RUN holds another kind of run.
    """
    if args.given_split and args.folds:
        raise ValueError("--given-split must stand without --folds, which divides the images anew, got both.")
    seed = open_folds(args.out, args.folds, args.seed, args.resume)
    begun = run_status(_folder(args, 1)) if args.resume else RunStatus()
    device = choose_device(own_device(args.device))
    config = _config(args, begun.config or replace(default_config(device), seed=seed))
    network = dict(begun.model_settings or {})
    if args.base_channels is not None:
        network["base_channels"] = args.base_channels
    masks = rule_of(args) or (MaskRule(classes=begun.classes) if begun.classes else None)
    with process_group(device):
        return _train_all(_Plan(args, config, network, device, masks))


def _folder(args: argparse.Namespace, fold: int) -> Path:
    return fold_folder(args.out, fold) if args.folds else args.out


def _is_main() -> bool:
    """Whether this process speaks and writes; the only one, unless torchrun started several."""
    return rank_and_world_size()[0] == 0


def _config(args: argparse.Namespace, own: TrainConfig) -> TrainConfig:
    """The settings that were asked for, put into those of the run."""
    given = {name: value for name in SETTINGS if (value := getattr(args, name)) is not None}
    if args.minutes or args.epochs or args.steps:
        given |= {"minutes": args.minutes, "n_epochs": args.epochs, "n_steps": args.steps or own.n_steps}
    return replace(own, **given)


def _train_all(plan: _Plan) -> int:
    with main_first():
        if _is_main():
            check_writable(plan.folder(1) / "last.pt")
        splits = _splits(plan)
    for fold, split in enumerate(splits, start=1):
        if plan.args.folds and _is_main():
            print(f"fold {fold} of {plan.args.folds}")
        if code := _train_one(plan, fold, split):
            return code
    return 0


def _splits(plan: _Plan) -> list[Split]:
    """One split, or one for each fold."""
    n_folds, minutes = plan.args.folds, plan.args.minutes
    folder = open_dataset(plan.args.data)
    found = find_pairs(folder, plan.args.group_by, plan.masks)
    pairs = with_window(found, plan.args.window)
    if plan.args.window and _is_main():
        print(window_sentence(plan.args.window))
    if plan.args.given_split:
        return [given_split(pairs, folder)]
    strata = stone_strata(pairs, progress=_is_main())
    if n_folds is None:
        return [split_by_group(pairs, plan.config.seed, strata)]
    if _is_main():
        budget = f" for {minutes:g} minutes each, {n_folds * minutes:g} in all" if minutes else ""
        print(f"{n_folds} networks are trained one after another{budget}.")
    return folds_by_group(pairs, n_folds, plan.config.seed, strata)


def _train_one(plan: _Plan, fold: int, split: Split) -> int:
    folder, resume = plan.folder(fold), plan.args.resume
    if _is_main():
        for name, pairs in split.items():
            print(f"{name}: {len(pairs)} images of {len({pair.group for pair in pairs})} groups")
        print(Scale(plan.config.max_size, plan.config.spacing).sentence(split["train"] + split["val"]))
    n_done = run_status(folder).step if resume else 0
    torch.manual_seed(plan.config.seed)
    try:
        history = fit(
            split["train"],
            split["val"],
            folder,
            config=plan.config,
            model=new_network(split["train"][0].classes, **plan.network) if plan.network else None,
            device=plan.device,
            resume=resume,
            raise_interrupt=True,
        )
    except Interrupted as stop:
        if _is_main():
            _tell_stopped(stop, folder, split)
        return 128 + stop.signal_number
    was_chosen = plan.args.folds and is_finished(plan.args.out, fold) and history[-1]["step"] == n_done
    if _is_main() and not was_chosen:
        _write_split_and_curves(folder, split)
        choose_on_validation(folder / "best.pt", split["val"], plan.device)
        if plan.args.folds:
            mark_finished(plan.args.out, fold)
    return 0


def _tell_stopped(stop: Interrupted, folder: Path, split: Split) -> None:
    if (folder / "last.pt").is_file():
        _write_split_and_curves(folder, split)
        print(f"{str(stop).capitalize()}. To go on, give the same command with --resume.")
    else:
        print("Stopped before the first step; there is nothing to save.")


def _write_split_and_curves(folder: Path, split: Split) -> None:
    """Write what belongs beside the checkpoints; curves from the first validation on."""
    names = {part: [pair.image_path.name for pair in pairs] for part, pairs in split.items()}
    write_json(folder / "split.json", names)
    if history := load_state(folder / "last.pt")["history"]:
        figures.save_figure(cast(Figure, plotting.plot_history(history).figure), folder / "curves.png")


def choose_on_validation(path: Path, val_pairs: list[Pair], device: torch.device) -> None:
    """Choose threshold and smallest stone of a checkpoint on validation images, store them there, and say so.

    Args:
        path: best.pt of a run.
        val_pairs: Its validation pairs, of which at most about 2,000 are used, and fewer large ones.
        device: Where to predict.
    """
    network, some = load_checkpoint(path, device), _enough(val_pairs)
    if network.classes:
        print(
            f"{path}: mean Dice {network.val_dice:.3f} over {len(network.classes)} classes in validation; a "
            "pixel has the most probable class, so there is no threshold to choose"
        )
        return
    images, masks = load_arrays(some)  # whole files: a mask that is predicted has their size, too
    probabilities = predict_all(network.model, images, **network.scale.options(some))
    threshold, min_pixels = choose_threshold(probabilities, masks)
    store_threshold(path, threshold, min_pixels)
    print(
        f"{path}: threshold {threshold:.2f} and at least {min_pixels} pixels a stone, chosen on "
        f"{len(images)} validation images"
    )


def _enough(pairs: list[Pair]) -> list[Pair]:
    """Every n-th pair, so that their arrays fit into memory; some of them show a stone."""
    n, sizes = len(pairs) // MOST_IMAGES, file_sizes(pairs)
    if sizes.max() > MAX_SIZE:
        n = max(n, math.ceil(sizes.prod(1).sum() / MOST_PIXELS))
    if n <= 1:
        return pairs
    strata = stone_strata(pairs)
    return next((pairs[first::n] for first in range(n) if any(strata[first::n])), pairs[::n])
