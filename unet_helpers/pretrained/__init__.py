"""Weights that come with the package, so that a network can be tried before one is trained.

README.md beside this file is their card: data, command, scores, licence, and what they are not for.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from unet_helpers.checkpoint import Checkpoint, load_checkpoint, load_state

__all__ = ["WEIGHTS", "Pretrained", "load_pretrained"]

WEIGHTS = Path(__file__).with_name("weights.pt")


@dataclass(frozen=True)
class Pretrained(Checkpoint):
    """A `Checkpoint` that says where it comes from.

    Attributes:
        provenance: Plain values: "data", "command", "seed", "scores", "licence", "not_for", and others.
    """

    provenance: dict[str, Any]


def load_pretrained(device: torch.device | str | None = None) -> Pretrained:
    """The network that comes with the package: trained on synthetic CT slices, in well below a second.

    It is made to teach, and is no medical device. Pixels should be about 1 to 1.3 mm wide, as in the phantom:
    shrink larger images, as `predict_all` does with its `max_size`.

    Args:
        device: Where to put the network; the CPU by default.

    Returns:
        Network in evaluation mode, threshold and smallest stone chosen for it, and its provenance.

    Raises:
        FileNotFoundError, ValueError: If the file is missing or damaged: install the package again.
    """
    whole = load_checkpoint(WEIGHTS, device)
    own = {field.name: getattr(whole, field.name) for field in fields(Checkpoint)}
    return Pretrained(**own, provenance=load_state(WEIGHTS)["provenance"])
