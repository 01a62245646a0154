"""`evaluate DATA --checkpoint FILE`: score a network, or those of a cross-validation, on unseen images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from unet_helpers import plotting
from unet_helpers.checkpoint import Checkpoint, load_checkpoint
from unet_helpers.classes.pictures import class_sheet
from unet_helpers.classes.prediction import predict_labels
from unet_helpers.classes.scores import class_table, evaluate_classes
from unet_helpers.command_line import several_classes
from unet_helpers.command_line.cross_validation import fold_checkpoints
from unet_helpers.command_line.hints import window_sentence
from unet_helpers.data import Pair, find_pairs, known_stones, open_dataset, parts_seen, spacings, with_window
from unet_helpers.engine import figures
from unet_helpers.engine.cache import open_images
from unet_helpers.engine.devices import choose_device
from unet_helpers.engine.files import check_writable, write_json
from unet_helpers.evaluation import choose_grey_threshold, evaluate, score_masks
from unet_helpers.folders.mask_rules import Classes
from unet_helpers.folders.seen import fold_parts
from unet_helpers.inference import predict_all
from unet_helpers.metrics import dice, predicted_mask
from unet_helpers.report.page import write_report
from unet_helpers.scores.table import score_table

__all__ = ["run"]

Array = np.ndarray[Any, Any]
Scores = dict[str, Any]
N_SHOWN = 4  # worst, as many in the middle, and as many of the best


@dataclass(frozen=True)
class _Part:
    """A network, what it was trained on as far as these data hold it, and what it is scored on."""

    network: Checkpoint
    train: list[Pair]
    scored: list[Pair]


@dataclass(frozen=True)
class _Cases:
    """The images that are scored, each with what its own network says; lists in one order."""

    pairs: list[Pair]
    images: Sequence[Array]  # uint8 (H, W), at full size
    masks: Sequence[Array]  # bool (H, W), or labels
    probabilities: list[Array]  # float32 (H, W), or (n + 1, H, W); of several classes the labels instead
    thresholds: list[float]
    min_pixels: list[int]

    @property
    def names(self) -> list[str]:
        return [pair.image_path.name for pair in self.pairs]

    @property
    def predictions(self) -> list[Array]:
        """Bool masks (H, W)."""
        choices = zip(self.probabilities, self.thresholds, self.min_pixels, strict=True)
        return [predicted_mask(*choice) for choice in choices]


def run(args: argparse.Namespace) -> int:
    """Print the scores beside those of a grey threshold; write JSON, report and figure if asked for.

    Raises:
        ValueError: If a checkpoint cannot be used, or the part holds no images.
        OSError: If a file cannot be written; found before anything is computed.
    """
    _check_outputs(args)
    found_pairs = find_pairs(open_dataset(args.data), args.group_by, several_classes.rule_of(args))
    pairs = with_window(found_pairs, args.window)
    if args.window:
        print(window_sentence(args.window))
    parts, found = _select(pairs, args, choose_device(args.device))
    print(found)
    for sentence in {part.network.scale.sentence(part.scored) for part in parts}:
        print(sentence)
    several_classes.check_same(args, [part.network for part in parts], pairs)
    cases = _predict(parts, n_views=4 if args.tta else 1)
    told = {"split": args.split, "n_networks": len(parts), "seen": found, "tta": args.tta}
    if classes := parts[0].network.classes:
        return _evaluate_classes(args, classes, cases, told)
    scores, rivals = _score(cases, n_networks=len(parts)), _rivals(parts, cases)
    what = f"{args.split} data" if len(parts) == 1 else f"the test parts of {len(parts)} folds"
    print(f"U-Net on {what}, {len(cases.images)} images" + (", mirrored four ways" if args.tta else ""))
    print(score_table(scores, rivals))
    if args.json:
        write_json(args.json, {**told, **scores, "baselines": rivals, "images": cases.names})
    if args.report:
        _report(args, cases, scores, rivals, n_networks=len(parts))
    if args.figure:
        figures.save_figure(_extremes(cases), args.figure)
    return 0


def _evaluate_classes(args: argparse.Namespace, classes: Classes, cases: _Cases, told: dict[str, Any]) -> int:
    """The same of several classes, each against all the others."""
    names = [name for name, _ in classes]
    groups = [pair.group for pair in cases.pairs]
    scores = evaluate_classes(cases.probabilities, cases.masks, names, groups, spacings(cases.pairs))
    print(f"U-Net for {len(names)} classes, {len(cases.images)} images of the {args.split} part")
    print(class_table(scores))
    if args.json:
        write_json(args.json, {**told, **scores, "images": cases.names})
    if args.figure:
        sheet = class_sheet(cases.images, cases.masks, cases.probabilities, names, 2 * N_SHOWN)
        figures.save_figure(sheet, args.figure)
    return 0


def _check_outputs(args: argparse.Namespace) -> None:
    """Files that are asked for and cannot be written are told before anything is computed."""
    for path in filter(None, (args.json, args.report)):
        check_writable(path)
    if args.figure:
        check_writable(args.figure, {f".{kind}" for kind in FigureCanvasBase.get_supported_filetypes()})


def _select(pairs: list[Pair], args: argparse.Namespace, device: torch.device) -> tuple[list[_Part], str]:
    """Each network with the pairs that it is scored on, and a sentence on what was found."""
    if args.checkpoint.is_dir():
        if args.split != "test":
            raise ValueError(f"--split must be test for a cross-validation, got {args.split}.")
        networks = [load_checkpoint(path, device) for path in fold_checkpoints(args.checkpoint)]
        folds, found = fold_parts(pairs, [network.images for network in networks], progress=True)
        parts = [_Part(n, fold["train"], fold["test"]) for n, fold in zip(networks, folds, strict=True)]
        return [part for part in parts if part.scored], found
    network = load_checkpoint(args.checkpoint, device)
    seen, found = parts_seen(pairs, network.images, network.split, progress=True)
    scored = pairs if args.split == "all" else seen[args.split]
    if not scored:
        raise ValueError(f"--split must name a part that has images, got {args.split} with none. {found}")
    return [_Part(network, seen["train"], scored)], found


def _predict(parts: list[_Part], n_views: int) -> _Cases:
    """Every image by its own network, with that network's threshold and smallest stone."""
    pairs = [pair for part in parts for pair in part.scored]
    whole = open_images(pairs, progress=True)  # scores of whole files
    probabilities: list[Array] = []
    thresholds: list[float] = []
    min_pixels: list[int] = []
    for part in parts:
        first, options = len(probabilities), part.network.scale.options(part.scored)
        some = [whole.images[i] for i in range(first, first + len(part.scored))]
        predict = predict_labels if part.network.classes else predict_all
        probabilities += predict(part.network.model, some, progress=True, n_views=n_views, **options)
        thresholds += [part.network.threshold] * len(some)
        min_pixels += [part.network.min_pixels] * len(some)
    return _Cases(pairs, whole.images, whole.masks, probabilities, thresholds, min_pixels)


def _score(cases: _Cases, n_networks: int) -> Scores:
    one = n_networks == 1  # then one choice for all images; else each fold has its own
    return evaluate(
        cases.probabilities,
        cases.masks,
        threshold=cases.thresholds[0] if one else cases.thresholds,
        min_pixels=cases.min_pixels[0] if one else cases.min_pixels,
        groups=[pair.group for pair in cases.pairs],
        spacing_mm=spacings(cases.pairs),
        stones=known_stones(cases.pairs),
    )


def _rivals(parts: list[_Part], cases: _Cases) -> dict[str, dict[str, float]]:
    """Scores of the best grey threshold of each training part, where the data hold that part."""
    if not all(part.train for part in parts):
        print("The training images are not in this data: no grey threshold to compare with.")
        return {}
    greys = []
    for part in parts:
        patch, options = part.network.config["patch_size"], part.network.scale.options(part.train)
        train = open_images(part.train, patch, progress=True, **options)  # the training's own cache, if any
        greys.append(choose_grey_threshold(train.images, train.masks)[0])
    each = [grey for grey, part in zip(greys, parts, strict=True) for _ in part.scored]
    name = " to ".join(str(grey) for grey in sorted({min(greys), max(greys)}))
    masks = [image >= grey for image, grey in zip(cases.images, each, strict=True)]
    return {f"grey >= {name}": score_masks(masks, cases.masks)}


def _report(
    args: argparse.Namespace, cases: _Cases, scores: Scores, rivals: dict[str, Any], n_networks: int
) -> None:
    part = f"{args.split} part" if n_networks == 1 else f"cross-validation in {n_networks} folds"
    if args.split == "all":
        part = "all images"
    write_report(
        args.report,
        scores,
        cases.images,
        targets=cases.masks,
        probabilities=cases.probabilities,
        names=cases.names,
        title=f"Kidney stone segmentation: {part} of {Path(args.data).name}",
        rivals=rivals,
    )


def _extremes(cases: _Cases) -> Figure:
    """Contact sheet of the worst, middle and best stone-bearing images; of any where none bears a stone."""
    predictions = cases.predictions
    scores = {i: dice(predictions[i], mask) for i, mask in enumerate(cases.masks) if mask.any()}
    positive = sorted(scores, key=lambda i: (scores[i], i))
    middle = max(0, (len(positive) - N_SHOWN) // 2)
    chosen = [*positive[:N_SHOWN], *positive[middle : middle + N_SHOWN], *positive[-N_SHOWN:]]
    chosen = list(dict.fromkeys(chosen)) or list(range(min(N_SHOWN, len(cases.images))))
    return plotting.contact_sheet(
        [cases.images[i] for i in chosen],
        targets=[cases.masks[i] for i in chosen],
        predictions=[predictions[i] for i in chosen],
    )
