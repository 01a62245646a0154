"""Checkpoints: written whole or not at all, read without running code from the file."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from unet_helpers.files import written_whole
from unet_helpers.model import UNet

__all__ = ["Checkpoint", "load_checkpoint", "load_state", "save_state", "store_threshold"]

FORMAT = "unet_helpers checkpoint 1"


@dataclass(frozen=True)
class Checkpoint:
    """A trained network and what belongs to it.

    Attributes:
        model: U-Net with the trained weights, in evaluation mode.
        threshold: Probability from which on a pixel counts as stone.
        min_pixels: Smaller predicted regions are dropped.
        config: The training settings as a dict.
        split: Group names of "train" and "val": the groups that the network must not be scored on.
        images: `data.image_hash` of the images of "train" and "val"; empty in checkpoints of older versions.
        step: Optimiser steps after which these weights were saved.
        val_dice: Validation Dice of these weights at threshold 0.5.
    """

    model: UNet
    threshold: float
    min_pixels: int
    config: dict[str, Any]
    split: dict[str, list[str]]
    images: dict[str, list[str]]
    step: int
    val_dice: float


def save_state(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write a dict of tensors and plain values; a reader sees the old file or the new one, never half of one.

    Raises:
        OSError: If the disk is full or not writable; the file that was there before is untouched.
    """
    try:
        with written_whole(path) as scratch, scratch.open("wb") as file:
            torch.save({"format": FORMAT, **state}, file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise OSError(f"{path} could not be written: {error}. Free some disk space; the previous file is "
                      "intact.") from error


def load_state(path: str | os.PathLike[str], device: torch.device | str | None = None) -> dict[str, Any]:
    """Read what `save_state` wrote, without executing anything that the file may contain.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, holds other objects than tensors and plain values, or is no
            checkpoint of this package.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"checkpoint must exist, got {path}. Train one first: python -m "
                                "unet_helpers train --help")
    try:
        state = torch.load(path, map_location=device or "cpu", weights_only=True)
    except Exception as error:  # torch.load lets a dozen kinds through when the bytes are damaged
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path} must be a whole checkpoint of this package, got a file that cannot be read "
                         f"safely: {reason}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{path} must be a checkpoint written by unet_helpers, got another kind of file.")
    return state


def load_checkpoint(path: str | os.PathLike[str], device: torch.device | str | None = None) -> Checkpoint:
    """Load a trained network from `best.pt` or `last.pt`.

    Args:
        path: Checkpoint file.
        device: Where to put the network; the CPU by default.

    Returns:
        The checkpoint, its network in evaluation mode.

    Raises:
        FileNotFoundError, ValueError: As `load_state`, and if the weights do not fit the U-Net they name.
    """
    state = {"images": {"train": [], "val": []}, **load_state(path, device)}
    try:
        model = UNet(**state["model_settings"])
        model.load_state_dict(state["model"])
        model = model.to(device or "cpu").eval()
        return Checkpoint(model, **{f.name: state[f.name] for f in fields(Checkpoint) if f.name != "model"})
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} must hold the weights of the U-Net it names, got: {error}") from error


def store_threshold(path: str | os.PathLike[str], threshold: float, min_pixels: int) -> None:
    """Write the threshold and the smallest stone, chosen on validation data, into a checkpoint."""
    save_state(path, {**load_state(path), "threshold": float(threshold), "min_pixels": int(min_pixels)})
