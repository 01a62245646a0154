"""Weights that come with the package, so that a network can be tried before one is trained.

README.md beside this file is their card: data, command, scores, licence, and what they are not for.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from unet_helpers.checkpoint import Checkpoint, load_checkpoint, load_state
from unet_helpers.engine.scale import Scale

__all__ = ["WEIGHTS", "Pretrained", "load_pretrained"]

WEIGHTS = Path(__file__).with_name("weights.pt")


@dataclass(frozen=True, kw_only=True)
class Pretrained(Checkpoint):
    """A `Checkpoint` that says where it comes from.

    Attributes:
        max_size: Longest side in pixels at which it was chosen on real scans; larger images are shrunk to
            it, as `predict_all` does with its `max_size`.
        provenance: Plain values: "data", "command", "seed", "scores", "licence", "not_for", and others.
    """

    max_size: int
    provenance: dict[str, Any]

    @property
    def scale(self) -> Scale:
        """Images are shrunk to `max_size`, whatever the training did."""
        return Scale(self.max_size)


def load_pretrained(device: torch.device | str | None = None) -> Pretrained:
    """The network that comes with the package: trained on synthetic CT slices, in well below a second.

    It is made to teach, and is no medical device. An image should show a whole belly, from side to side or
    nearly so, upright and in a soft-tissue window, and not be larger than `max_size`:
    `predict_all(ready.model, images, max_size=ready.max_size)` shrinks it.

    Args:
        device: Where to put the network; the CPU by default.

    Returns:
        Network in evaluation mode, threshold and smallest stone chosen for it, and its provenance.

    Raises:
        FileNotFoundError, ValueError: If the file is missing or damaged: install the package again.
    """
    whole = load_checkpoint(WEIGHTS, device)
    own = {field.name: getattr(whole, field.name) for field in fields(Checkpoint)}
    state = load_state(WEIGHTS)
    return Pretrained(**own, max_size=state["max_size"], provenance=state["provenance"])
