"""Variants of our own recipe, one change at a time, at equal training seconds.

python benchmarks/recipes.py --seeds 0,1,2 --budgets 60,180,300
python benchmarks/recipes.py --contestants base,plain-8,width-24 --budgets 60
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from contest import Row, Split, main, score, timed_config, train_with_fit
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from unet_helpers.losses import bce_loss, dice_loss
from unet_helpers.model import UNet


@dataclass(frozen=True)
class Variant:
    """One change of the recipe.

    Attributes:
        config: Other fields of TrainConfig.
        model: Other arguments of UNet.
        bce: Weight of the cross-entropy beside a Dice loss of weight 1.
        norm: "batch", "group" (8 channels each) or "instance".
        ema: Share of the old weights in a running average of all weights that is scored instead; 0 for none.
    """

    config: dict[str, Any] = field(default_factory=dict)
    model: dict[str, int] = field(default_factory=dict)
    bce: float = 1.0
    norm: str = "batch"
    ema: float = 0.0


VARIANTS = {
    "base": Variant(),
    "stones-0.25": Variant({"stone_fraction": 0.25, "lookalike_fraction": 0.25}),
    "stones-0.75": Variant({"stone_fraction": 0.75, "lookalike_fraction": 0.25}),
    "lookalikes-0": Variant({"lookalike_fraction": 0.0}),
    "lookalikes-0.4": Variant({"lookalike_fraction": 0.4}),
    "patch-64": Variant({"patch_size": 64}),
    "patch-64-batch-36": Variant({"patch_size": 64, "batch_size": 36}),
    "patch-128-batch-8": Variant({"patch_size": 128, "batch_size": 8}),
    "batch-8": Variant({"batch_size": 8}),
    "batch-32": Variant({"batch_size": 32}),
    "rate-2e-3": Variant({"learning_rate": 2e-3}),
    "rate-8e-3": Variant({"learning_rate": 8e-3}),
    "warm-up-0.05": Variant({"warm_up": 0.05}),
    "warm-up-0.4": Variant({"warm_up": 0.4}),
    "decay-0.1": Variant({"weight_decay": 0.1}),
    "width-8": Variant(model={"base_channels": 8}),
    "width-24": Variant(model={"base_channels": 24}),
    "width-32": Variant(model={"base_channels": 32}),
    "depth-3": Variant(model={"depth": 3}),
    "depth-5": Variant(model={"depth": 5}),
    "bce-0": Variant(bce=0.0),
    "bce-0.5": Variant(bce=0.5),
    "bce-4": Variant(bce=4.0),
    "group-norm": Variant(norm="group"),
    "instance-norm": Variant(norm="instance"),
    "plain-8": Variant(model={"base_channels": 8, "unshuffle": 1}),
    "plain-8-depth-5": Variant(model={"base_channels": 8, "depth": 5, "unshuffle": 1}),
    "plain-16": Variant(model={"unshuffle": 1}),
    "unshuffle-4": Variant(model={"base_channels": 32, "depth": 3, "unshuffle": 4}),
    "ema-0.99": Variant(ema=0.99),
    "ema-0.998": Variant(ema=0.998),
}


def _replace_norms(model: nn.Module, kind: str) -> None:
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            n = module.num_features
            new = nn.GroupNorm(max(1, n // 8), n) if kind == "group" else nn.InstanceNorm2d(n, affine=True)
            setattr(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2], new)


def build(variant: Variant) -> nn.Module:
    """Network of a variant with fresh weights."""
    model = UNet(**variant.model)
    if variant.norm != "batch":
        _replace_norms(model, variant.norm)
    return model


def run(variant: Variant, split: Split, seed: int, budgets: list[float]) -> list[Row]:
    """One row a budget."""
    return [_one_run(variant, split, seed, budget) for budget in budgets]


def _one_run(variant: Variant, split: Split, seed: int, budget: float) -> Row:
    torch.manual_seed(seed)
    model = build(variant)
    average = copy.deepcopy(model)
    if variant.ema:
        register_optimizer_step_post_hook(lambda *_: _follow(average, model, variant.ema))

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return variant.bce * bce_loss(logits, target) + dice_loss(logits, target)

    config = timed_config(budget, seed, **variant.config)
    row = train_with_fit(model, split, config, budget, loss=loss)
    return {**row, **score(average if variant.ema else model, split)}


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, keep: float) -> None:
    for old, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - keep)


CONTESTANTS = {name: lambda *args, variant=variant: run(variant, *args) for name, variant in VARIANTS.items()}

if __name__ == "__main__":
    main(__file__, CONTESTANTS, separate_runs=lambda name: True)
