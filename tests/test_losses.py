"""Losses against 2 x 2 examples worked by hand, in 16 bits, and at the extremes."""

import math
from collections.abc import Callable

import pytest
import torch

from unet_helpers.losses import bce_dice_loss, bce_loss, dice_loss

LOSSES = [bce_loss, dice_loss, bce_dice_loss]


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def as_batch(rows: list[list[float]]) -> torch.Tensor:
    return torch.tensor(rows)[None, None]


LOGITS = as_batch([[logit(0.8), logit(0.4)], [logit(0.1), logit(0.2)]])
TARGET = as_batch([[1.0, 1.0], [0.0, 0.0]])


def test_two_by_two_by_hand():
    bce = -(math.log(0.8) + math.log(0.4) + math.log(0.9) + math.log(0.8)) / 4
    assert bce_loss(LOGITS, TARGET).item() == pytest.approx(bce, rel=1e-6)
    dice = 2 * (0.8 + 0.4) / ((0.8 + 0.4 + 0.1 + 0.2) + 2)  # 2.4 / 3.5
    assert dice_loss(LOGITS, TARGET, smooth=0).item() == pytest.approx(1 - dice, rel=1e-6)
    assert dice_loss(LOGITS, TARGET, smooth=1.0).item() == pytest.approx(1 - 3.4 / 4.5, rel=1e-6)
    assert bce_dice_loss(LOGITS, TARGET).item() == pytest.approx(bce + 1 - dice, rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_bool_and_float_targets_give_one_value(loss: Callable):
    assert loss(LOGITS, TARGET.bool()) == loss(LOGITS, TARGET)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bit_logits_equal_the_same_logits_in_float32(loss: Callable, dtype: torch.dtype):
    torch.manual_seed(0)
    logits = (20 * torch.randn(2, 1, 512, 512)).to(dtype)  # a float16 sum of 512 x 512 ones would be inf
    target = torch.rand(logits.shape) < 0.5
    value = loss(logits, target)
    assert value.dtype == torch.float32 and value == loss(logits.float(), target) and value.isfinite()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [1e-30, 7.0, 100.0, 6e4])
@pytest.mark.parametrize("stones", ["none", "half", "all"])
def test_gradients_are_finite_at_the_extremes(loss: Callable, dtype: torch.dtype, size: float, stones: str):
    logits = torch.tensor([[-size, size], [size, -size]])[None, None].to(dtype).requires_grad_()
    row = {"none": [0.0, 0.0], "half": [0.0, 1.0], "all": [1.0, 1.0]}[stones]
    value = loss(logits, as_batch([row, row]))
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all()


def test_a_saturated_false_positive_in_bfloat16_still_feels_the_loss():
    logits = as_batch([[7.0, -7.0], [-7.0, -7.0]]).bfloat16().requires_grad_()
    bce_dice_loss(logits, torch.zeros(1, 1, 2, 2)).backward()
    assert logits.grad[0, 0, 0, 0] > 0.1  # sigmoid(7) in bfloat16 is exactly 1, and its slope exactly 0


def test_dice_runs_over_the_batch_not_over_each_image():
    logits, target = torch.cat([LOGITS, LOGITS]), torch.cat([TARGET, torch.zeros_like(TARGET)])
    # 2 x 1.2 / (1.5 + 1.5 + 2); image by image it would be 1 - (2.4 / 3.5 + 0) / 2
    assert dice_loss(logits, target, smooth=0).item() == pytest.approx(1 - 2.4 / 5, rel=1e-6)


def test_a_stone_free_image_gets_a_gradient_from_its_batch_only():
    logits = torch.cat([LOGITS, LOGITS]).requires_grad_()
    target = torch.cat([TARGET, torch.zeros_like(TARGET)])
    dice_loss(logits, target).backward()
    assert logits.grad[1].abs().max() > 1e-2
    alone = LOGITS.clone().requires_grad_()
    dice_loss(alone, torch.zeros_like(TARGET)).backward()
    assert alone.grad.abs().max() < 1e-5


def test_a_batch_without_stones_reads_near_one_and_exactly_zero_for_nothing_at_all():
    target = torch.zeros(1, 1, 64, 64)
    assert dice_loss(torch.full_like(target, -11.0), target).item() > 0.99  # near perfect, and yet
    assert dice_loss(torch.full_like(target, -200.0), target).item() == 0.0
    assert bce_dice_loss(torch.full_like(target, -200.0), target).item() == 0.0


@pytest.mark.parametrize("loss", LOSSES)
def test_other_shapes_are_refused_instead_of_broadcast(loss: Callable):
    with pytest.raises(ValueError, match=r"must have the logits' shape \(2, 1, 4, 4\), got \(2, 4, 4\)"):
        loss(torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4))


def test_batch_dice_equals_monai():
    losses = pytest.importorskip("monai.losses", reason="needs monai: pip install monai")
    torch.manual_seed(1)
    logits, target = 3 * torch.randn(4, 1, 9, 7), (torch.rand(4, 1, 9, 7) < 0.1).float()
    target[1] = 0
    theirs = losses.DiceLoss(sigmoid=True, batch=True, smooth_nr=1e-5, smooth_dr=1e-5)(logits, target)
    assert dice_loss(logits, target).item() == pytest.approx(theirs.item(), rel=1e-6)
