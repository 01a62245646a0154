"""Weights put into a network, if they are those of one like it."""

from __future__ import annotations

import os
import re

import torch
from torch import nn

__all__ = ["load_weights"]


def load_weights(model: nn.Module, weights: dict[str, torch.Tensor], path: str | os.PathLike[str]) -> None:
    """Put weights into a network; names may carry the prefixes of torch.compile or of DataParallel.

    Raises:
        ValueError: If weights are missing, unknown, of another shape, or not finite.
    """
    own = {_plain_name(name): name for name in model.state_dict()}
    weights = {own.get(_plain_name(name), name): values for name, values in weights.items()}
    shapes = {name: values.shape for name, values in model.state_dict().items()}
    wrong = {
        "missing": shapes.keys() - weights.keys(),
        "unknown": weights.keys() - shapes.keys(),
        "of another shape": {n for n in shapes.keys() & weights.keys() if weights[n].shape != shapes[n]},
    }
    if any(wrong.values()):
        counts = ", ".join(f"{len(names)} {what}" for what, names in wrong.items() if names)
        some = ", ".join(sorted(set().union(*wrong.values()))[:3])
        raise ValueError(
            f"{path} must hold the {len(shapes)} weights of the {type(model).__name__} it names, got "
            f"{counts}: {some[:200]}. Train it again, or give the network that it was trained with."
        )
    if broken := [name for name, values in weights.items() if not values.isfinite().all()]:
        raise ValueError(
            f"{path} must hold finite weights, got NaN or infinity in {len(broken)} of {len(weights)}. "
            "Train it again, with half the learning rate if need be."
        )
    model.load_state_dict(weights)


def _plain_name(name: str) -> str:
    return re.sub(r"^(module\.|_orig_mod\.)+|_orig_mod\.", "", name)
