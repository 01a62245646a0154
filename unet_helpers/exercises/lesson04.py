"""Exercises of lesson 4: the Dice loss, one training step, a validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unet_helpers.exercises import Exercise, loop
from unet_helpers.exercises.judges import is_function
from unet_helpers.exercises.judging_steps import judge_step
from unet_helpers.exercises.judging_validation import judge_validation

__all__ = ["my_train_step", "my_validate", "soft_dice_loss"]

# ------------------------------------------------------------------------------------------ Dice loss
_TARGET = torch.tensor([[0.0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
_LOGITS = torch.tensor([[-4.0, -4, -4, -4], [-4, 3, 1, -1], [-4, -2, -1, -4], [-4, -4, -4, -4]])
_HALF = torch.full((2, 3), 0.5)
_HIDDEN = torch.arange(12.0).reshape(3, 4) / 20


def _soft_dice_loss(p: Tensor, target: Tensor) -> Tensor:
    return 1 - 2 * (p * target).sum() / (p.sum() + target.sum())


def _case(p: Tensor, target: Tensor) -> tuple[tuple[Tensor, Tensor], float]:
    return (p, target), float(_soft_dice_loss(p, target))


_DICE_SLIPS: list[tuple[Callable[[Tensor, Tensor], Any], str]] = [
    (
        lambda p, t: 2 * (p * t).sum() / (p.sum() + t.sum()),
        "this is Dice itself, 1 for a perfect answer. The loss is what is missing to 1.",
    ),
    (
        lambda p, t: 1 - (p * t).sum() / (p.sum() + t.sum()),
        "twice the overlap belongs above the line: without the 2, a perfect answer would cost one half.",
    ),
    (
        lambda p, t: 1 - (p * t).sum() / (p.sum() + t.sum() - (p * t).sum()),
        "this is the loss of another score, which divides by the area of both together, counted once.",
    ),
    (
        lambda p, t: 1 - 2 * (p * t).sum() / (p * p).sum().add((t * t).sum()),
        "you square the values below the line. Some papers do; here the plain sums are asked for.",
    ),
    (
        lambda p, t: 1 - 2 * (p * t).mean() / (p.sum() + t.sum()),
        "above the line stands a mean, below it sums: take sums in both places.",
    ),
    (
        lambda p, t: 1 - 2 * ((p > 0.5) * t).sum() / ((p > 0.5).sum() + t.sum()),
        "you cut the probabilities at one half first. Then a small change of a logit changes nothing: work "
        "with `p` as it is.",
    ),
    (
        lambda p, t: 1 - 2 * (p.sigmoid() * t).sum() / (p.sigmoid().sum() + t.sum()),
        "`p` holds probabilities already; you send them through a sigmoid once more.",
    ),
    (
        lambda p, t: 1 - 2 * p.sum() / (p.sum() + t.sum()),
        "the overlap is `p` *inside the stone*: `p * target`.",
    ),
    (
        lambda p, t: 1 - 2 * (p * t).sum() / p.sum() + t.sum(),
        "the sum below the line needs brackets: as it stands, only `p.sum()` divides.",
    ),
    (
        lambda p, t: -2 * (p * t).sum() / (p.sum() + t.sum()),
        "the one is missing: the loss is *one* minus Dice.",
    ),
    (lambda p, t: (p - t).abs().mean(), "this is the mean distance to the mask, and has no overlap in it."),
]

soft_dice_loss = Exercise(
    judge=is_function(
        cases=[_case(_HALF, torch.ones(2, 3)), _case(_LOGITS.sigmoid(), _TARGET)],  # the short one is shown
        hidden=[_case(_HIDDEN, (_HIDDEN > 0.3).float()), _case(_HIDDEN.T, (_HIDDEN.T < 0.2).float())],
        tolerance=2e-5,
        slips=_DICE_SLIPS,
    ),
    hint_text="`p * target` is `p` inside the stone and 0 outside. `.sum()` adds up all pixels of a tensor.",
    solution_text="def soft_dice_loss(p, target):\n"
    "    overlap = (p * target).sum()\n"
    "    return 1 - 2 * overlap / (p.sum() + target.sum())\n",
    because="`uh.dice_loss` takes logits, and adds 0.00001 above and below, so that 0 is never divided by 0.",
    name="lesson04.soft_dice_loss",
)

# ------------------------------------------------------------------------------------------- the loop
my_train_step = Exercise(
    judge=judge_step,
    hint_text="Seven names do it: `.to(device)`, `normalise`, `optimiser.zero_grad()`, `model(images)`, "
    "`bce_dice_loss`, `scaler.scale(loss).backward()`, `clip_grad_norm_`. The scaler then has three "
    "calls left: `unscale_(optimiser)` before the clipping, `step(optimiser)` and `update()` after it.",
    solution_text='''def my_train_step(model, images, masks, optimiser, scaler, schedule, device):
    """uint8 and bool (B, 1, P, P) -> the loss; every weight has moved once."""
    images, masks = normalise(images.to(device)), masks.to(device)
    optimiser.zero_grad()
    with fast_precision(device):
        logits = model(images)
    loss = uh.bce_dice_loss(logits, masks)
    scaler.scale(loss).backward()
    scaler.unscale_(optimiser)
    clip_grad_norm_(model.parameters(), 5.0)
    scaler.step(optimiser)
    scaler.update()
    schedule.step()
    return loss.detach()
''',
    because="Twelve lines, and with them every network of this course, and most others, are trained.",
    name="lesson04.my_train_step",
)

my_validate = Exercise(
    judge=judge_validation,
    hint_text="`model.eval()` and `model.train()` switch the mode; `torch.no_grad()` goes behind `with`. The "
    "network wants (1, 1, H, W) on the device. Its answer comes back by `.cpu().numpy()`.",
    solution_text='''def my_validate(model, images, masks, device):
    """Mean Dice of the slices (H, W) with a stone, at probability one half."""
    scores = []
    model.eval()
    with torch.no_grad():
        for image, mask in zip(images, masks, strict=True):
            if mask.any():
                logits = model(to_tensor(image)[None].to(device))
                found = (logits[0, 0] > 0).cpu().numpy()
                scores.append(uh.dice(found, mask))
    model.train()
    return np.mean(scores)
''',
    because="Whole slices, no gradients, evaluation mode, and back again. A validation must change nothing.",
    name="lesson04.my_validate",
)


def chosen(own_step: Any, own_validate: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The student's training step and validation where they are right, else the package's; says which."""
    return loop.chosen(my_train_step, own_step, my_validate, own_validate)
