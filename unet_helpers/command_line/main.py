"""The command line: the lessons' pipeline without a notebook."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backend_bases import FigureCanvasBase
from PIL import Image

from unet_helpers import phantom, plotting
from unet_helpers.checkpoint import Checkpoint, load_checkpoint, load_state, store_threshold
from unet_helpers.command_line.cross_validation import (
    fold_checkpoints,
    fold_folder,
    is_finished,
    mark_finished,
    open_folds,
)
from unet_helpers.data import (
    SUFFIXES,
    Pair,
    find_pairs,
    folds_by_group,
    home,
    known_stones,
    load_image,
    open_dataset,
    parts_seen,
    spacings,
    split_by_group,
    stone_strata,
)
from unet_helpers.engine.files import check_writable, explain, write_json, written_whole
from unet_helpers.engine.progress import progress_bar
from unet_helpers.engine.run_folder import RunStatus
from unet_helpers.engine.settings import COMPILE_CHOICES
from unet_helpers.engine.several_gpus import main_first, own_device, process_group, rank_and_world_size
from unet_helpers.engine.stopping import Interrupted
from unet_helpers.evaluation import choose_grey_threshold, choose_threshold, evaluate, score_masks
from unet_helpers.folders.check import check_folder
from unet_helpers.folders.finding import GROUP_BY
from unet_helpers.folders.seen import fold_parts
from unet_helpers.inference import predict, predict_all
from unet_helpers.metrics import dice, predicted_mask
from unet_helpers.model import UNet
from unet_helpers.report.page import write_report
from unet_helpers.scores.table import score_table
from unet_helpers.training import (
    TrainConfig,
    choose_device,
    default_config,
    fit,
    load_arrays,
    run_status,
)

__all__ = ["main"]

DATA_HELP = 'folder or zip with image-mask pairs, or "phantom", or "kaggle"'
FIGURE_SUFFIXES = {f".{kind}" for kind in FigureCanvasBase.get_supported_filetypes()}


def _check_outputs(args: argparse.Namespace) -> None:
    """Files that are asked for and cannot be written are told before anything is computed."""
    for name in ("json", "report", "figure"):
        if path := getattr(args, name, None):
            check_writable(path, FIGURE_SUFFIXES if name == "figure" else ())


def phantom_command(args: argparse.Namespace) -> int:
    if args.out.exists():
        raise ValueError(f"OUT must be a new folder, got {args.out}, which exists. Give another name.")
    phantom.write_dataset(args.out, args.patients, args.slices, args.size, args.seed)
    print(f"{args.patients * args.slices} image-mask pairs of {args.patients} patients in {args.out}")
    return 0


def check_command(args: argparse.Namespace) -> int:
    _check_outputs(args)
    report = check_folder(open_dataset(args.data), group_by=args.group_by)
    _print_report(report)
    if args.json:
        write_json(args.json, report)
    return 1 if report["broken"] else 0


def _print_report(report: dict[str, Any]) -> None:
    largest = report["largest_group"]
    print(
        f"{report['n_pairs']} pairs in {report['n_groups']} groups, {report['n_positive']} with a stone; "
        f"the largest group, {largest['name']}, holds {largest['n_pairs']}"
    )
    print("sizes (width x height): " + ", ".join(f"{size}: {n}" for size, n in report["sizes"].items()))
    print("mask values: " + "; ".join(f"{values}: {n} masks" for values, n in report["mask_values"].items()))
    if report["foreground_share"]:
        median, low, high = (100 * report["foreground_share"][key] for key in ("median", "min", "max"))
        print(f"stone pixels in stone-bearing images: median {median:.3f} %, {low:.3f} % to {high:.3f} %")
    elif report["sizes"]:
        print("NO mask has a pixel above 127. If the masks hold 0 and 1, multiply them by 255.")
    if report["n_grouped_by_folder"]:
        print(f"{report['n_grouped_by_folder']} images are grouped by the folder that they lie in")
    if report["n_ungrouped"]:
        print(
            f"{report['n_ungrouped']} images name no exam or source: add groups.csv (columns stem,group) "
            "to split safely, or --group-by folder if each folder is one patient"
        )
    for what, items in (
        ("rows of groups.csv match no image", report["group_rows_without_image"]),
        ("images are in two groups, which are joined", report["images_in_two_groups"]),
        ("rows of groups.csv match in another case", report["group_rows_in_other_case"]),
    ):
        if items:
            _print_list(what, items)
    for key in ("images_without_mask", "masks_without_image", "identical_images_in_two_groups"):
        _print_list(key.replace("_", " "), report[key])
    _print_list("broken files", [item["reason"] for item in report["broken"]])


def _print_list(what: str, items: list[str]) -> None:
    print(f"{len(items)} {what}" + "".join(f"\n  {item}" for item in items))


def train_command(args: argparse.Namespace) -> int:
    seed = open_folds(args.out, args.folds, args.seed, args.resume)
    begun = run_status(_folder(args, 1)) if args.resume else RunStatus()
    device = choose_device(own_device(args.device))
    config = _train_config(args, begun.config, seed, device)
    with process_group(device):
        return _train(args, config, begun.model_settings or {}, device)


def _folder(args: argparse.Namespace, fold: int) -> Path:
    return fold_folder(args.out, fold) if args.folds else args.out


def _train_config(
    args: argparse.Namespace, begun: TrainConfig | None, seed: int, device: torch.device
) -> TrainConfig:
    """The settings that were asked for, put into those of the run, or of a new one."""
    given = {name: value for name in ("seed", "compile") if (value := getattr(args, name)) is not None}
    if args.minutes is not None or args.epochs is not None:
        given |= {"minutes": args.minutes, "n_epochs": args.epochs}
    return replace(begun or replace(default_config(device), seed=seed), **given)


def _split_pairs(args: argparse.Namespace, seed: int) -> list[dict[str, list[Pair]]]:
    """One split, or one for each fold."""
    is_main = rank_and_world_size()[0] == 0
    pairs = find_pairs(open_dataset(args.data), args.group_by)
    strata = stone_strata(pairs, progress=is_main)
    if args.folds is None:
        return [split_by_group(pairs, seed, strata)]
    if is_main:
        budget = args.minutes and f" for {args.minutes:g} minutes each, {args.folds * args.minutes:g} in all"
        print(f"{args.folds} networks are trained one after another{budget or ''}.")
    return folds_by_group(pairs, args.folds, seed, strata)


def _train(
    args: argparse.Namespace, config: TrainConfig, settings: dict[str, Any], device: torch.device
) -> int:
    with main_first():
        if rank_and_world_size()[0] == 0:
            check_writable(_folder(args, 1) / "last.pt")
        splits = _split_pairs(args, config.seed)
    for fold, split in enumerate(splits, start=1):
        if args.folds and rank_and_world_size()[0] == 0:
            print(f"fold {fold} of {args.folds}")
        if code := _train_one(args, fold, split, config, settings, device):
            return code
    return 0


def _train_one(
    args: argparse.Namespace,
    fold: int,
    split: dict[str, list[Pair]],
    config: TrainConfig,
    settings: dict[str, Any],
    device: torch.device,
) -> int:
    is_main, run = rank_and_world_size()[0] == 0, _folder(args, fold)
    if is_main:
        for name, pairs in split.items():
            print(f"{name}: {len(pairs)} images of {len({pair.group for pair in pairs})} groups")
    done = run_status(run).step if args.resume else 0
    options = {"device": device, "resume": args.resume, "raise_interrupt": True}
    try:
        history = fit(split["train"], split["val"], run, config, _network(args, settings, config), **options)
    except Interrupted as stop:
        if is_main:
            _tell_stopped(stop, run, split)
        return 128 + stop.signal_number
    if is_main and not (args.folds and is_finished(args.out, fold) and history[-1]["step"] == done):
        _write_split_and_curves(run, split)
        _choose_on_validation(run / "best.pt", split["val"], device)
        if args.folds:
            mark_finished(args.out, fold)
    return 0


def _network(args: argparse.Namespace, settings: dict[str, Any], config: TrainConfig) -> UNet | None:
    """A network with the width that was asked for, and otherwise that of the run; None for the usual one."""
    if args.base_channels is not None:
        settings = {**settings, "base_channels": args.base_channels}
    torch.manual_seed(config.seed)
    return UNet(**settings) if settings else None


def _tell_stopped(stop: Interrupted, run: Path, split: dict[str, list[Pair]]) -> None:
    if (run / "last.pt").is_file():
        _write_split_and_curves(run, split)
        print(f"{str(stop).capitalize()}. To go on, give the same command with --resume.")
    else:
        print("Stopped before the first step; there is nothing to save.")


def _write_split_and_curves(run: Path, split: dict[str, list[Pair]]) -> None:
    """Write what belongs beside the checkpoints; curves from the first validation on."""
    write_json(
        run / "split.json", {name: [p.image_path.name for p in pairs] for name, pairs in split.items()}
    )
    if history := load_state(run / "last.pt")["history"]:
        plotting.save_figure(plotting.plot_history(history).figure, run / "curves.png")


def _choose_on_validation(path: Path, val_pairs: list[Pair], device: Any) -> None:
    # two thousand images tell a threshold well enough, and their probabilities fit into memory
    images, masks = load_arrays(val_pairs[:: max(1, len(val_pairs) // 2000)])
    threshold, min_pixels = choose_threshold(predict_all(load_checkpoint(path, device).model, images), masks)
    store_threshold(path, threshold, min_pixels)
    print(
        f"{path}: threshold {threshold:.2f} and at least {min_pixels} pixels a stone, chosen on "
        f"{len(images)} validation images"
    )


def _select(
    pairs: list[Pair], args: argparse.Namespace, device: torch.device
) -> tuple[list[tuple[Checkpoint, dict[str, list[Pair]]]], str]:
    """Each network with its "train" pairs and those it is "scored" on, and a sentence on what was found."""
    if args.checkpoint.is_dir():
        if args.split != "test":
            raise ValueError(f"--split must be test for a cross-validation, got {args.split}.")
        networks = [load_checkpoint(path, device) for path in fold_checkpoints(args.checkpoint)]
        folds, found = fold_parts(pairs, [network.images for network in networks], progress=True)
        parts = [{"train": fold["train"], "scored": fold["test"]} for fold in folds]
        return [(n, part) for n, part in zip(networks, parts, strict=True) if part["scored"]], found
    network = load_checkpoint(args.checkpoint, device)
    seen, found = parts_seen(pairs, network.images, network.split, progress=True)
    scored = pairs if args.split == "all" else seen[args.split]
    if not scored:
        raise ValueError(f"--split must name a part that has images, got {args.split} with none. {found}")
    return [(network, {"train": seen["train"], "scored": scored})], found


def evaluate_command(args: argparse.Namespace) -> int:
    _check_outputs(args)
    every_pair = find_pairs(open_dataset(args.data), args.group_by)
    selected, found = _select(every_pair, args, choose_device(args.device))
    print(found)
    pairs = [pair for _, parts in selected for pair in parts["scored"]]
    images, masks = load_arrays(pairs, max_size=sys.maxsize, progress=True)  # scores of whole files
    probabilities, thresholds, min_pixels = _predict_parts(selected, images, n_views=4 if args.tta else 1)
    # one number where one network is scored, one an image where each fold has its own
    choice = (thresholds, min_pixels) if len(selected) > 1 else (thresholds[0], min_pixels[0])
    scores = evaluate(
        probabilities,
        masks,
        *choice,
        groups=[pair.group for pair in pairs],
        spacing_mm=spacings(pairs),
        stones=known_stones(pairs),
    )
    rivals = _rivals([parts for _, parts in selected], images, masks)
    what = f"{args.split} data" if len(selected) == 1 else f"the test parts of {len(selected)} folds"
    print(f"U-Net on {what}, {len(images)} images" + (", mirrored four ways" if args.tta else ""))
    print(score_table(scores, rivals))
    names = [pair.image_path.name for pair in pairs]
    if args.json:
        write_json(
            args.json,
            {
                "split": args.split,
                "n_networks": len(selected),
                "seen": found,
                "tta": args.tta,
                **scores,
                "baselines": rivals,
                "images": names,
            },
        )
    if args.report:
        part = f"{args.split} part" if len(selected) == 1 else f"cross-validation in {len(selected)} folds"
        title = f"Kidney stone segmentation: {part} of {Path(args.data).name}"
        arrays = {"targets": masks, "probabilities": probabilities}
        write_report(args.report, scores, images, **arrays, names=names, title=title, rivals=rivals)
    if args.figure:
        predictions = [predicted_mask(*p) for p in zip(probabilities, thresholds, min_pixels, strict=True)]
        plotting.save_figure(_extremes(images, masks, predictions), args.figure)
    return 0


def _predict_parts(
    selected: list[tuple[Checkpoint, dict[str, list[Pair]]]], images: list[np.ndarray], n_views: int
) -> tuple[list[np.ndarray], list[float], list[int]]:
    """Probabilities of each image by its own network, and that network's threshold and smallest stone."""
    probabilities, thresholds, min_pixels = [], [], []
    for network, parts in selected:
        some = images[len(probabilities) : len(probabilities) + len(parts["scored"])]
        probabilities += predict_all(network.model, some, progress=True, n_views=n_views)
        thresholds += [network.threshold] * len(some)
        min_pixels += [network.min_pixels] * len(some)
    return probabilities, thresholds, min_pixels


def _rivals(
    parts: list[dict[str, list[Pair]]], images: list[np.ndarray], masks: list[np.ndarray]
) -> dict[str, dict[str, float]]:
    """Scores of the best grey threshold of each training part, where the data hold that part."""
    if not all(part["train"] for part in parts):
        print("The training images are not in this data: no grey threshold to compare with.")
        return {}
    greys = [choose_grey_threshold(*load_arrays(part["train"], progress=True))[0] for part in parts]
    each = [grey for grey, part in zip(greys, parts, strict=True) for _ in part["scored"]]
    name = " to ".join(str(grey) for grey in sorted({min(greys), max(greys)}))
    return {f"grey >= {name}": score_masks([i >= grey for i, grey in zip(images, each, strict=True)], masks)}


def _extremes(
    images: list[np.ndarray], masks: list[np.ndarray], predictions: list[np.ndarray], n: int = 4
) -> Any:
    """Contact sheet of the worst, middle and best stone-bearing images."""
    positive = sorted((dice(predictions[i], mask), i) for i, mask in enumerate(masks) if mask.any())
    middle = max(0, (len(positive) - n) // 2)
    chosen = [i for _, i in dict.fromkeys(positive[:n] + positive[middle : middle + n] + positive[-n:])]
    chosen = chosen or list(range(min(n, len(images))))
    some, targets, found = ([arrays[i] for i in chosen] for arrays in (images, masks, predictions))
    return plotting.contact_sheet(some, targets=targets, predictions=found)


def predict_command(args: argparse.Namespace) -> int:
    new = _without_mask(args.images, args.out)
    checkpoint = load_checkpoint(args.checkpoint, choose_device(args.device))
    failed = []
    for path in progress_bar(new, desc="predicting", unit="image"):
        try:
            image = load_image(path)
            mask = predicted_mask(
                predict(checkpoint.model, image), checkpoint.threshold, checkpoint.min_pixels
            )
        except (ValueError, RuntimeError) as error:  # a broken file, or one too large for the memory
            failed.append(str(error) if str(path) in str(error) else f"{path}: {error}")
            continue
        if reason := _write_prediction(args.out, path.stem, image, mask):
            failed.append(f"{path}: its mask is written, but the overlay cannot be drawn: {reason}")
    print(
        f"{sum((args.out / f'{path.stem}_mask.png').is_file() for path in new)} masks and overlays in "
        f"{args.out}"
    )
    if skipped := len(args.images) - len(new):
        print(f"{skipped} images skipped, because their masks stand there already: nothing is overwritten.")
    for reason in failed:
        print(f"error: {reason}", file=sys.stderr)
    return 1 if failed else 0


def _without_mask(images: list[Path], folder: Path) -> list[Path]:
    """The images that have no mask yet: in the flat layout the truth is named like a prediction."""
    stems = [path.stem for path in images]
    if repeated := sorted({stem for stem in stems if stems.count(stem) > 1}):
        raise ValueError(
            f"images must have different names, got {repeated[0]} more than once. "
            "Predict them into two folders."
        )
    check_writable(folder / f"{max(stems, key=len)}_overlay.png")
    return [path for path in images if not (folder / f"{path.stem}_mask.png").exists()]


def _write_prediction(folder: Path, stem: str, image: np.ndarray, mask: np.ndarray) -> str:
    """Write the mask, and an overlay unless there is one; returns why it could not be drawn, or ""."""
    with written_whole(folder / f"{stem}_mask.png") as scratch:
        Image.fromarray(mask.astype(np.uint8) * 255).save(scratch)
    try:
        if not (target := folder / f"{stem}_overlay.png").exists():
            plotting.save_figure(plotting.overlay(image, prediction=mask, title=stem).figure, target)
    except OSError:  # the disk: the next image would fail as well
        raise
    except Exception as error:  # whatever the drawing cannot do, the mask is what was asked for
        return str(error).partition("\n")[0]
    return ""


def pipeline_command(args: argparse.Namespace) -> int:
    """The whole pipeline on the default data: train, choose, score, compare with a grey threshold, draw."""
    run = home() / "runs" / "pipeline"
    data, device = open_dataset(), choose_device()
    pairs = find_pairs(data)
    split = split_by_group(pairs, strata=stone_strata(pairs, progress=True))
    fit(split["train"], split["val"], run, device=device, raise_interrupt=True)
    _choose_on_validation(run / "best.pt", split["val"], device)
    return main(
        [
            "evaluate",
            str(data),
            "--checkpoint",
            str(run / "best.pt"),
            "--json",
            str(run / "scores.json"),
            "--figure",
            str(run / "examples.png"),
        ]
    )


def _image_files(text: str) -> Path:
    path = Path(text)
    if not path.is_file() or path.suffix.lower() not in SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text} is no image file ({', '.join(sorted(SUFFIXES))})")
    return path


def _positive(kind: type) -> Any:
    def parse(text: str) -> Any:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise ValueError(text)
        return value

    parse.__name__ = f"positive {kind.__name__}"
    return parse


def _folds(text: str) -> int:
    if (n_folds := int(text)) < 3:
        raise argparse.ArgumentTypeError(f"{text} is too few: to train, validate and test takes 3 folds")
    return n_folds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m unet_helpers",
        description="Kidney stone segmentation with a U-Net. Without a sub-command: the whole pipeline on "
        "the default data.",
    )
    parser.set_defaults(command=pipeline_command)
    commands = parser.add_subparsers(title="sub-commands", metavar="")

    def add(name: str, command: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        return sub

    def device(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1 or mps; by itself the fastest")

    def group_by(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--group-by",
            choices=GROUP_BY,
            help="folder: all images of a folder are one patient; name: never; by itself folder "
            "where file names repeat",
        )

    sub = add("phantom", phantom_command, "write synthetic CT slices with kidney stones")
    sub.add_argument("out", metavar="OUT", type=Path, help="new folder")
    for name, default, text in (
        ("patients", 96, "number of patients"),
        ("slices", 8, f"slices a patient, 1 to {phantom.MOST_SLICES}"),
        ("size", 256, "side of a slice in pixels"),
    ):
        sub.add_argument(
            f"--{name}", metavar="N", type=_positive(int), default=default, help=f"{text} (default {default})"
        )
    sub.add_argument(
        "--seed", metavar="S", type=int, default=0, help="another seed gives other patients (default 0)"
    )

    sub = add("check", check_command, "count pairs, exams, unpaired and broken files of a data set")
    sub.add_argument("data", metavar="DATA", help=DATA_HELP)
    sub.add_argument("--json", metavar="FILE", type=Path, help="also write the report to this file")
    group_by(sub)

    sub = add("train", train_command, "train a U-Net and choose its threshold on the validation part")
    sub.epilog = (
        "Ctrl-C saves and ends with status 130. Several GPUs share every batch: "
        "torchrun --nproc-per-node=2 -m unet_helpers train ..."
    )
    sub.add_argument("data", metavar="DATA", help=DATA_HELP)
    sub.add_argument("--out", metavar="RUN", type=Path, required=True, help="folder of this run")
    budget = sub.add_mutually_exclusive_group()
    budget.add_argument("--minutes", metavar="M", type=_positive(float), help="train for so many minutes")
    budget.add_argument(
        "--epochs",
        metavar="N",
        type=_positive(int),
        help="train for so many epochs, each of as many patches as cut all images once",
    )
    sub.add_argument(
        "--base-channels",
        metavar="C",
        type=_positive(int),
        help="channels at the first resolution; more learn more and cost more (default 16)",
    )
    sub.add_argument(
        "--compile",
        choices=COMPILE_CHOICES,
        help="use torch.compile; auto: on CUDA when the run is long enough to pay it back (default auto)",
    )
    sub.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in RUN where it stopped, with its own settings; more --minutes "
        "or --epochs train on",
    )
    sub.add_argument("--seed", metavar="S", type=int, help="of split, weights and patches (default 0)")
    sub.add_argument(
        "--folds",
        metavar="K",
        type=_folds,
        help="cross-validation: train K networks (at least 3) into RUN/fold-1 ... fold-K, so "
        "that each group is tested once; --minutes and --epochs are for each of them",
    )
    group_by(sub)
    device(sub)

    sub = add("evaluate", evaluate_command, "score a trained U-Net")
    sub.add_argument("data", metavar="DATA", help=DATA_HELP)
    sub.add_argument(
        "--checkpoint",
        metavar="FILE",
        type=Path,
        required=True,
        help="best.pt of a run, or the folder of a run with --folds",
    )
    sub.add_argument(
        "--split",
        choices=("train", "val", "test", "all"),
        default="test",
        help="train and val: images seen in training; test: those never seen, nor their groups; "
        "known by content, not by name (default test)",
    )
    sub.add_argument("--json", metavar="FILE", type=Path, help="also write the scores to this file")
    sub.add_argument(
        "--tta",
        action="store_true",
        help="test-time augmentation: average over the image and its three mirrorings (4 x the time)",
    )
    sub.add_argument(
        "--report",
        metavar="FILE",
        type=Path,
        help="write one HTML page with everything: scores, curves, cases and a slider",
    )
    sub.add_argument(
        "--figure", metavar="FILE", type=Path, help="draw the worst, middle and best images into this PNG"
    )
    group_by(sub)
    device(sub)

    sub = add("predict", predict_command, "write a mask PNG and an overlay PNG for each image")
    sub.add_argument("images", metavar="IMAGE", type=_image_files, nargs="+", help="8-bit images of any size")
    sub.add_argument("--checkpoint", metavar="FILE", type=Path, required=True, help="best.pt of a run")
    sub.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder for the PNG files")
    device(sub)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command.

    Returns:
        0; 1 after an error in data or files, told in one sentence; 130 after Ctrl-C.
    """
    args = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: print(f"note: {message}", file=sys.stderr)
            return args.command(args)
    except (ValueError, OSError, RuntimeError, FloatingPointError) as error:
        if os.environ.get("UNET_TRACEBACK"):
            raise
        print(f"error: {explain(error) if isinstance(error, OSError) else error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(str(stop) or "stopped", file=sys.stderr)
        return 128 + getattr(stop, "signal_number", 2)
