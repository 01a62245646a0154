"""What a minute buys: the recipe of the lessons with one thing left out, for as many steps as a minute holds.

`benchmarks/ablations.py` measures all of them with several seeds; a reader of lesson 4 tries one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from unet_helpers.losses import bce_loss
from unet_helpers.training import TrainConfig

__all__ = ["MEASURED", "MINUTE", "recipes"]

MINUTE = 640  # steps of 6 patches that one quiet core of an AMD EPYC does in a minute
# benchmarks/README.md, "What a minute buys": validation Dice at threshold one half, a number a seed
MEASURED = {
    "nothing": [0.813, 0.744, 0.780],
    "the Dice loss": [0.752, 0.790, 0.721],
    "stones first": [0.706, 0.689, 0.749],
    "augmentation": [0.861, 0.861, 0.813],
    "patches": [0.710, 0.705, 0.703],
}
WHOLE = 256  # pixels, the side of a slice of the phantom


def recipes(n_steps: int = MINUTE, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Arguments of `fit`, by what is left out; every recipe computes equally many pixels.

    Args:
        n_steps: Steps of 6 patches of 160 pixels. Whole slices are 2.56 times as large, so they get fewer.
        seed: Of weights, patches and augmentation.

    Returns:
        "nothing", "the Dice loss", "stones first" (patches anywhere), "augmentation" and "patches" (whole
        slices instead), each with `config` and, where it is another one, `loss` or `augment`.
    """
    config = TrainConfig(n_steps=n_steps, steps_per_epoch=n_steps, seed=seed)  # one validation, at the end
    few = max(1, round(n_steps * (config.patch_size / WHOLE) ** 2))
    return {
        "nothing": {"config": config},
        "the Dice loss": {"config": config, "loss": bce_loss},
        "stones first": {"config": replace(config, stone_fraction=0, lookalike_fraction=0)},
        "augmentation": {"config": config, "augment": None},
        "patches": {"config": replace(config, patch_size=WHOLE, n_steps=few, steps_per_epoch=few)},
    }
