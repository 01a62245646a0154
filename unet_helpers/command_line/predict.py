"""`predict IMAGE... --out DIR [--checkpoint FILE]`: a mask and an overlay for each image."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from unet_helpers import plotting
from unet_helpers.checkpoint import Checkpoint, load_checkpoint
from unet_helpers.command_line.hints import in_options
from unet_helpers.data import load_image
from unet_helpers.engine import figures
from unet_helpers.engine.files import check_writable, written_whole
from unet_helpers.engine.progress import progress_bar
from unet_helpers.engine.threads import Threads
from unet_helpers.inference import MAX_SIZE, predict
from unet_helpers.metrics import predicted_mask
from unet_helpers.pretrained import Pretrained, load_pretrained
from unet_helpers.training import choose_device

__all__ = ["run"]

Array = np.ndarray[Any, Any]


def run(args: argparse.Namespace) -> int:
    """Predict every image that has no mask yet, and go on after one that cannot be; 1 if there was one.

    Raises:
        ValueError: If two images have the same name, or the checkpoint cannot be used.
        OSError: If a file cannot be written.
    """
    new, device = _without_mask(args.images, args.out), choose_device(args.device)
    network, failed = _network(args.checkpoint, device), []
    max_size = network.max_size if isinstance(network, Pretrained) else MAX_SIZE
    with Threads(device, many=len(new) > 1) as threads:
        for path in progress_bar(new, desc="predicting", unit="image"):
            try:
                image = load_image(path, args.window)  # uint8 (H, W)
                with threads.step(image.size):
                    probability = predict(network.model, image, max_size)  # float32 (H, W)
            except (ValueError, RuntimeError) as error:  # a broken file, or one too large for the memory
                failed.append(str(error) if str(path) in str(error) else f"{path}: {error}")
                continue
            mask = predicted_mask(probability, network.threshold, network.min_pixels)
            if reason := _write(args.out, path.stem, image, mask):
                failed.append(f"{path}: its mask is written, but the overlay cannot be drawn: {reason}")
    n_masks = sum((args.out / f"{path.stem}_mask.png").is_file() for path in new)
    print(f"{n_masks} masks and overlays in {args.out}")
    if n_skipped := len(args.images) - len(new):
        print(f"{n_skipped} images skipped, because their masks stand there already: nothing is overwritten.")
    for reason in failed:
        print(f"error: {in_options(reason)}", file=sys.stderr)
    return 1 if failed else 0


def _network(path: Path | None, device: torch.device) -> Checkpoint:
    """The network of a checkpoint; without one that of the package, and a sentence that says so."""
    if path is not None:
        return load_checkpoint(path, device)
    ready = load_pretrained(device)
    name, licence = ready.provenance["name"], ready.provenance["licence"]
    print(
        f"No --checkpoint is given, so the weights that come with the package are used ({name}, licence "
        f"{licence}): trained on synthetic CT slices, made to teach, and no medical device."
    )
    return ready


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


def _write(folder: Path, stem: str, image: Array, mask: Array) -> str:
    """Write the mask, and an overlay unless there is one; returns why it could not be drawn, or ""."""
    with written_whole(folder / f"{stem}_mask.png") as scratch:
        Image.fromarray(mask.astype(np.uint8) * 255).save(scratch)
    try:
        if not (target := folder / f"{stem}_overlay.png").exists():
            axes = plotting.overlay(image, prediction=mask, title=stem)
            figures.save_figure(cast(Figure, axes.figure), target)
    except OSError:  # the disk: the next image would fail as well
        raise
    except Exception as error:  # whatever the drawing cannot do, the mask is what was asked for
        return str(error).partition("\n")[0]
    return ""
