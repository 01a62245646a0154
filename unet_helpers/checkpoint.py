"""Checkpoints: written whole or not at all, read without running code from the file."""

from __future__ import annotations

import errno
import os
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from unet_helpers.engine.files import written_whole
from unet_helpers.model import UNet

if TYPE_CHECKING:
    from unet_helpers.engine.scale import Scale
    from unet_helpers.folders.mask_codes import Value

__all__ = ["Checkpoint", "load_checkpoint", "load_state", "save_state", "store_threshold"]

UNET = f"{UNet.__module__}.{UNet.__qualname__}"
FORMAT, VERSION = "unet_helpers checkpoint", 2
FORMAT_1 = "unet_helpers checkpoint 1"  # had no version of its own, and did not know its images


@dataclass(frozen=True)
class Checkpoint:
    """A trained network and what belongs to it.

    Attributes:
        model: Network with the trained weights, in evaluation mode.
        threshold: Probability from which on a pixel counts as stone.
        min_pixels: Smaller predicted regions are dropped.
        config: The training settings as a dict.
        split: Group names of "train" and "val".
        images: `data.image_hash` of each image of "train" and "val": what the network must not be scored on.
            Empty lists in files of version 1.
        step: Optimiser steps after which these weights were saved.
        val_dice: Validation Dice of these weights at threshold 0.5.
        sides: Shortest and longest of the longer sides of the training images as the network saw them, in
            pixels; empty in files that do not know.
        classes: Name and mask value of each class the network tells apart; empty for stone and background.
    """

    model: nn.Module
    threshold: float
    min_pixels: int
    config: dict[str, Any]
    split: dict[str, list[str]]
    images: dict[str, list[str]]
    step: int
    val_dice: float
    sides: tuple[int, ...] = ()
    classes: tuple[tuple[str, Value], ...] = ()

    @property
    def scale(self) -> Scale:
        """At what size the network sees images: `predict_all(model, images, **scale.options(pairs))`."""
        from unet_helpers.engine.scale import Scale

        return Scale.of_settings(self.config)


def network_name(model: nn.Module) -> str:
    """Full name of the class of a network, as checkpoints hold it."""
    return f"{type(model).__module__}.{type(model).__qualname__}"


def save_state(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write a dict of tensors and plain values; after an OSError the file that was there is untouched."""
    with written_whole(path) as scratch, scratch.open("wb") as file:
        try:
            torch.save({**state, "format": FORMAT, "version": VERSION}, file)
        except RuntimeError as error:  # PyTorch's writer reports a full disk in words of its own
            raise OSError(errno.EIO, str(error).partition("\n")[0]) from error
        file.flush()
        os.fsync(file.fileno())


def load_state(path: str | os.PathLike[str], device: torch.device | str | None = None) -> dict[str, Any]:
    """Read what `save_state` wrote, without executing anything that the file may contain.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, holds more than tensors and plain values, or is of another kind.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"checkpoint must exist, got {path}. Train one first: python -m unet_helpers train --help"
        )
    try:
        state: dict[str, Any] = torch.load(path, map_location=device or "cpu", weights_only=True)
    except Exception as error:  # torch.load lets a dozen kinds through when the bytes are damaged
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"{path} must be a whole checkpoint of this package, got a file that cannot be read safely: "
            f"{reason}"
        ) from error
    if not isinstance(state, dict) or state.get("format") not in (FORMAT, FORMAT_1):
        raise ValueError(f"{path} must be a checkpoint written by unet_helpers, got another kind of file.")
    if state["format"] == FORMAT_1:
        from unet_helpers.engine.version_1 import from_version_1

        state = from_version_1(state)
    if state.get("version") != VERSION:
        raise ValueError(
            f"{path} must be a checkpoint of version 1 or {VERSION}, got version {state.get('version')}. "
            "Update unet_helpers to the release that wrote it."
        )
    return state


def load_checkpoint(
    path: str | os.PathLike[str], device: torch.device | str | None = None, model: nn.Module | None = None
) -> Checkpoint:
    """Load a trained network from `best.pt` or `last.pt`.

    Args:
        path: Checkpoint file.
        device: Where to put the network; the CPU by default.
        model: A network of your own to put the weights into, if `fit` trained one: `fit(..., model=MyNet())`,
            then `load_checkpoint(path, model=MyNet())`. A `UNet` is made from what the file says.

    Raises:
        FileNotFoundError, ValueError: As `load_state` and `load_weights`, and if `model` is not given for the
            weights of another class than `UNet`.
    """
    from unet_helpers.engine.weights import load_weights

    state = load_state(path, device)
    try:
        if model is None:
            model = build_network(state, path)
        load_weights(model, state["model"], path)
        model = model.to(device or "cpu").eval()
        known = [f.name for f in fields(Checkpoint) if f.default is MISSING or f.name in state]
        return Checkpoint(**{**{name: state[name] for name in known}, "model": model})
    except (KeyError, TypeError, RuntimeError, AttributeError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise ValueError(f"{path} must hold the weights of the network it names, got: {reason}") from error


def build_network(state: dict[str, Any], path: str | os.PathLike[str]) -> UNet:
    """A `UNet` with the settings of a checkpoint; ValueError if it holds another class."""
    if (name := state["network"]) != UNET:
        raise ValueError(
            f"{path} must hold a {UNET}, got the weights of a {name}. Give the network to put them into: "
            f"model={str(name).rpartition('.')[2]}()."
        )
    return UNet(**state["model_settings"])


def store_threshold(path: str | os.PathLike[str], threshold: float, min_pixels: int) -> None:
    """Write the threshold and the smallest stone, chosen on validation data, into a checkpoint."""
    save_state(path, {**load_state(path), "threshold": float(threshold), "min_pixels": int(min_pixels)})
