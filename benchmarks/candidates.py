"""What the candidates for the weights of the package are trained with; see pretrain.py."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from stronger import Stronger

__all__ = ["CANDIDATES", "DEFAULTS", "VALIDATION", "Candidate"]

VALIDATION = 40  # patients that choose


@dataclass(frozen=True)
class Candidate:
    """What a network is trained with; `patients` learn, and VALIDATION others choose.

    A share `first` of the time it learns as in the lessons, on small patches, each step of which is cheap.
    """

    patients: int = 200
    augment: Stronger | None = field(default_factory=Stronger)  # None is the lessons' augmentation
    network: dict[str, int] = field(default_factory=dict)
    patch_size: int = 160
    batch_size: int = 48
    lookalikes: float = 0.25
    first: float = 0.15
    seed: int = 0


UPRIGHT = Stronger(upside_down=False, scale=(0.62, 1.5), shift=0.2, bone=0.35)
GENTLE = replace(
    UPRIGHT, scale=(0.7, 1.4), contrast=(0.75, 1.3), gamma=1.12, knee=2.0, noise=0.06, blur=0.7, blocks=0.03
)
WHOLE: dict[str, Any] = {"augment": UPRIGHT, "patch_size": 256, "batch_size": 32}
CANDIDATES = {
    "whole": Candidate(**WHOLE),
    "wide": Candidate(**WHOLE, network={"base_channels": 22}),
    "deep": Candidate(**WHOLE, network={"base_channels": 11, "depth": 5}),
    "bones": Candidate(**{**WHOLE, "augment": replace(UPRIGHT, bone=0.5)}, lookalikes=0.35, seed=1),
    "gentle": Candidate(**{**WHOLE, "augment": GENTLE}),
    "patches": Candidate(augment=UPRIGHT),
    "few": Candidate(**WHOLE, patients=96),
    "lesson": Candidate(augment=None, first=0),
}
DEFAULTS = "whole,wide,deep,bones,gentle,patches"
