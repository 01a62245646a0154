"""`predict IMAGE... --out DIR [--checkpoint FILE]`: a mask and an overlay for each image."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from unet_helpers import plotting
from unet_helpers.checkpoint import Checkpoint, load_checkpoint
from unet_helpers.classes.colours import colour_picture, overlay_labels, save_labels
from unet_helpers.classes.masks import predicted_labels
from unet_helpers.command_line.hints import in_options, window_sentence
from unet_helpers.command_line.inputs import Input, find_inputs
from unet_helpers.data import Pair, load_image
from unet_helpers.engine import figures
from unet_helpers.engine.files import check_writable, written_whole
from unet_helpers.engine.progress import progress_bar
from unet_helpers.engine.scale import Scale
from unet_helpers.engine.threads import Threads
from unet_helpers.inference import MAX_SIZE, predict_all
from unet_helpers.metrics import predicted_mask
from unet_helpers.pictures.rendering import RenderSettings, render
from unet_helpers.pretrained import load_pretrained
from unet_helpers.training import choose_device
from unet_helpers.transforms import resize_image, resize_mask, shrink_size

__all__ = ["run"]

Array = np.ndarray[Any, Any]
DRAWN_SIZE = 2000  # pixels; the overlay of a larger image is drawn smaller, its mask is written as it is
OF_ONE_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)  # the next image has another name


def run(args: argparse.Namespace) -> int:
    """Predict every image that has no mask yet, and go on after one that cannot be; 1 if there was one.

    Raises:
        ValueError: If there is no image at all, or the checkpoint cannot be used.
        OSError: If a file cannot be written.
    """
    inputs, failed = find_inputs(args.images, args.out)
    if not inputs:
        raise ValueError("\n".join(failed))
    check_writable(args.out / "image_overlay.png")
    new, device = [one for one in inputs if not one.mask.exists()], choose_device(args.device)
    network = _network(args.checkpoint, device)
    scale = Scale(args.max_size) if args.max_size else network.scale
    if network.classes:
        numbers = ", ".join(f"{i} {name}" for i, (name, _) in enumerate(network.classes, start=1))
        print(f"The masks hold the numbers of the classes: 0 background, {numbers}.")
    with _told_at_the_end(args.out, inputs, new, failed):
        if new and args.window:
            print(window_sentence(args.window))
        if new:
            print(scale.sentence([_pair(one) for one in new]))
        shapes = _predict_all(new, args.window, network, scale, failed)
        for note in scale.notes(shapes, network.sides):
            print(f"note: {in_options(note)}", file=sys.stderr)
    return 1 if failed else 0


def _pair(one: Input) -> Pair:
    """As which the tables beside an image are asked for its spacing."""
    return Pair(one.path, one.path, "")


def _predict_all(
    new: list[Input],
    window: tuple[float, float] | None,
    network: Checkpoint,
    scale: Scale,
    failed: list[str],
) -> list[tuple[int, ...]]:
    """Write what the network says about each image, and why it cannot; returns the sizes of those it saw."""
    shapes: list[tuple[int, ...]] = []
    with Threads(next(network.model.parameters()).device, many=len(new) > 1) as threads:
        for one in progress_bar(new, desc="predicting", unit="image", disable=len(new) < 2):
            try:
                image = load_image(one.path, window)  # uint8 (H, W)
                options, large = scale.options([_pair(one)]), max(image.shape) > MAX_SIZE
                with threads.step(image.size):
                    (probability,) = predict_all(network.model, [image], progress=large, **options)
                if network.classes:
                    mask = predicted_labels(probability)
                else:
                    mask = predicted_mask(probability, network.threshold, network.min_pixels)
            except Exception as error:  # a broken file, or one too large for the memory
                failed.append(str(error) if str(one.path) in str(error) else f"{one.path}: {error}")
                continue
            del probability  # of a large image, the most that is in memory
            shapes.append(image.shape)
            if reason := _write(one, image, mask, [name for name, _ in network.classes]):
                failed.append(f"{one.path}: {reason}")
    return shapes


@contextmanager
def _told_at_the_end(out: Path, inputs: list[Input], new: list[Input], failed: list[str]) -> Iterator[None]:
    """Say how many masks are there, and name what failed, even if the disk is full half-way."""
    try:
        yield
    finally:
        print(f"{sum(one.mask.is_file() for one in new)} masks and overlays in {out}")
        if n_skipped := len(inputs) - len(new):
            said = "because their masks stand there already: nothing is overwritten."
            print(f"{n_skipped} images skipped, {said}")
        for reason in failed:
            print(f"error: {in_options(reason)}", file=sys.stderr)


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


def _write(one: Input, image: Array, mask: Array, names: list[str]) -> str:
    """Write the mask, and an overlay unless there is one; returns what could not be written and why."""
    try:
        with written_whole(one.mask) as scratch:
            if names:
                save_labels(mask, scratch)
            else:
                Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(scratch)
    except OSError as error:
        if error.errno not in OF_ONE_NAME:  # the disk: the next image would fail as well
            raise
        return str(error)
    try:
        if not one.overlay.exists():
            _draw(image, mask, one, names)
    except Exception as error:  # whatever the drawing cannot do, the mask is what was asked for
        if isinstance(error, OSError) and error.errno not in OF_ONE_NAME:
            raise
        reason = str(error).partition("\n")[0]
        return f"its mask is written, but the overlay cannot be drawn: {reason}"
    return ""


def _draw(image: Array, mask: Array, one: Input, names: list[str]) -> None:
    """Write the overlay; of a large image pixel by pixel, without title and legend."""
    if max(image.shape) <= MAX_SIZE:
        if names:
            axes = overlay_labels(image, mask, names, title=one.path.stem)
        else:
            axes = plotting.overlay(image, prediction=mask, title=one.path.stem)
        figures.save_figure(cast(Figure, axes.figure), one.overlay)
        return
    size = shrink_size(image.shape, DRAWN_SIZE)
    if size != image.shape:
        image, mask = resize_image(image, size), resize_mask(mask, size)
    if names:
        picture = colour_picture(image, mask)
    else:
        settings = RenderSettings(show_errors=False, show_prediction=True, size_px=max(size))
        truth, probability = np.zeros_like(mask), mask.astype(np.float32)
        picture = render(image, target=truth, probability=probability, settings=settings)
    with written_whole(one.overlay) as scratch:
        Image.fromarray(picture).save(scratch)
