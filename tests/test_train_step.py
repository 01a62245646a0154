"""One training step: decay, clipping and scaling, in parts, and on a GPU that nobody waits for."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_data import tiny_pairs
from torch import nn

from unet_helpers import training, transforms
from unet_helpers.engine import devices, resuming
from unet_helpers.engine.rescue import another_way, in_parts, is_out_of_memory
from unet_helpers.engine.stopping import read_losses
from unet_helpers.losses import bce_dice_loss
from unet_helpers.model import UNet
from unet_helpers.training import Run, TrainConfig, train_step
from unet_helpers.transforms import PatchSampler

CPU = torch.device("cpu")
CONFIG = TrainConfig(batch_size=4, patch_size=32, warm_up=0, learning_rate=0.01)


@pytest.fixture(autouse=True)
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "sixteen_bit_type", lambda device: None)


def plain_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))


def make_sampler() -> PatchSampler:
    image, mask = np.full((40, 40), 9, np.uint8), np.eye(40, dtype=bool)
    return PatchSampler([image + 40 * mask] * 4, [mask] * 4, 32, 0.5, 0.0)


def step(loss=bce_dice_loss, scaler: torch.amp.GradScaler | None = None, **settings) -> Run:
    run = Run(replace(CONFIG, **settings), plain_network(), CPU)
    run.loss, run.scaler = loss, scaler or run.scaler
    train_step(run, make_sampler())
    return run


def gradient(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters()])


# ------------------------------------------------------------------------------- what the settings do in it
def test_without_a_gradient_the_weights_decay_by_rate_times_decay():
    run = step(loss=lambda logits, masks: 0 * logits.sum(), weight_decay=0.25)
    for now, before in zip(run.model.parameters(), plain_network().parameters(), strict=True):
        assert torch.allclose(now, before * (1 - 0.01 * 0.25), atol=1e-9)


def test_a_long_gradient_is_shortened_to_the_limit_and_its_own_length_is_noted():
    limited, free = step(max_gradient_norm=1e-3), step(max_gradient_norm=math.inf)
    assert gradient(free.model).norm() > 0.01 and gradient(limited.model).norm() == pytest.approx(
        1e-3, rel=1e-3
    )
    assert limited.unread[0][-1] == free.unread[0][-1] == pytest.approx(gradient(free.model).norm().item())


@pytest.mark.parametrize("limit", [1e-3, math.inf])
def test_a_scaled_gradient_is_unscaled_before_it_is_clipped(limit: float):
    scaled = step(scaler=torch.amp.GradScaler("cpu", init_scale=1024.0), max_gradient_norm=limit)
    plain = step(max_gradient_norm=limit)
    assert scaled.scaler.is_enabled() and not plain.scaler.is_enabled()
    assert torch.allclose(gradient(scaled.model), gradient(plain.model), rtol=1e-5)
    assert scaled.unread[0][-1].item() == pytest.approx(plain.unread[0][-1].item(), rel=1e-5)


def test_a_scaled_gradient_that_overflows_moves_no_weight_and_lowers_the_scale():
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    run = step(loss=lambda logits, masks: logits.sum() * math.inf, scaler=scaler)
    for now, before in zip(run.model.parameters(), plain_network().parameters(), strict=True):
        assert torch.equal(now, before)
    assert scaler.get_scale() == 512


def test_the_rate_is_that_of_the_moment():
    run = Run(replace(CONFIG, n_steps=4, warm_up=0.5), plain_network(), CPU)
    for _ in range(4):
        train_step(run, make_sampler())
    assert [rate for _, rate, *_ in run.unread] == pytest.approx([1e-4, 5e-3, 1e-2, 5e-3])
    assert [entry[0] for entry in run.unread] == [0, 1, 2, 3] and run.step == run.epoch_steps == 4
    assert run.optimiser.param_groups[0]["lr"] == pytest.approx(5e-3)


@pytest.mark.parametrize("large", [False, True])
def test_the_shares_of_stones_and_lookalikes_reach_the_sampler(tmp_path: Path, monkeypatch, large: bool):
    monkeypatch.setenv("UNET_HOME", str(tmp_path))
    monkeypatch.setattr("unet_helpers.engine.cache.CACHE_ABOVE_BYTES", 0 if large else 2**40)
    config = replace(CONFIG, stone_fraction=0.625, lookalike_fraction=0.125)
    pairs = dict(zip(("train", "val"), tiny_pairs(tmp_path / "files"), strict=True))
    sampler = resuming.open_data(Run(config, plain_network(), CPU), pairs, tmp_path, progress=False)
    shares = sampler.stone_fraction, sampler.lookalike_fraction, sampler.patch_size
    assert shares == (0.625, 0.125, 32) and (tmp_path / "data").exists() == large


# --------------------------------------------------------------------------------------- losses, read late
def note(run: Run, number: int, loss: float, norm: float = 1.0) -> None:
    entry = (number, 0.01, torch.tensor([number, number + 1]), torch.tensor(loss), torch.tensor(norm))
    run.unread.append(entry)


def test_each_loss_is_read_once_and_the_first_bad_step_is_named():
    run = Run(CONFIG, plain_network(), CPU)
    run.names = [f"{k}.jpg" for k in range(11)]
    read_losses(run)
    note(run, 0, 0.5)
    note(run, 1, 0.25)
    for _ in range(2):
        read_losses(run)
        assert run.epoch_loss == 0.75
    for number, loss in ((7, 0.5), (8, math.nan), (9, math.inf)):
        note(run, number, loss)
    with pytest.raises(FloatingPointError, match="got nan and 1.0 at step 8, .* 0.01, images 8.jpg, 9.jpg"):
        read_losses(run)


def test_with_a_gradient_scaler_only_the_loss_must_be_finite():
    run = Run(CONFIG, plain_network(), CPU)
    run.names = ["0.jpg", "1.jpg"]
    note(run, 0, 0.5, math.inf)
    with pytest.raises(FloatingPointError, match="got 0.5 and inf at step 0"):
        read_losses(run)
    run.scaler = torch.amp.GradScaler("cpu")
    note(run, 0, 0.5, math.inf)
    read_losses(run)
    assert run.epoch_loss == 0.5


# --------------------------------------------------------------------------------------------- in parts
def make_batch(n: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(n, 1, 16, 16, generator=generator) > 0.9
    masks[: n // 2] = False  # stone-free images: a Dice that is averaged over parts would go wrong here
    return torch.randn(n, 1, 16, 16, generator=generator), masks


def backward(model: nn.Module, part_size: int, images, masks) -> tuple[float, torch.Tensor]:
    model.zero_grad()
    loss = bce_dice_loss(in_parts(model, images, part_size) if part_size else model(images), masks)
    loss.backward()
    return loss.item(), gradient(model)


@pytest.mark.parametrize("part_size", [1, 2, 3, 4, 5])
def test_parts_give_the_gradient_of_the_whole_batch(part_size: int):
    batch = make_batch()
    whole, parts = (backward(plain_network(), size, *batch) for size in (0, part_size))
    assert parts[0] == pytest.approx(whole[0], abs=1e-6) and (parts[1] - whole[1]).abs().max() < 1e-6
    halves = [backward(plain_network(), 0, *(t.split(3)[k] for t in batch))[0] for k in (0, 1)]
    assert abs(sum(halves) / 2 - whole[0]) > 0.01  # the mean of the parts' losses is another loss


def test_parts_of_one_size_normalise_alike_with_batch_norm():
    model, (images, masks) = UNet(base_channels=2, depth=2), make_batch(2)
    twice = images.repeat(2, 1, 1, 1), masks.repeat(2, 1, 1, 1)  # every part has the statistics of the whole
    _, whole = backward(model, 0, *twice)
    mean = model.down[0][1].running_mean.clone()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
    assert torch.allclose(backward(model, 2, *twice)[1], whole, atol=1e-6)
    assert torch.allclose(model.down[0][1].running_mean, mean)  # one step of the averages, not four
    assert mean.abs().max() > 0 and all(norm.momentum == 0.1 for norm in norms)


def test_only_one_part_is_in_memory_at_once():
    model, kept = plain_network(), []

    def pack(values: torch.Tensor) -> torch.Tensor:
        kept.append(len(values))
        return values

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda values: values):
        logits = in_parts(model, make_batch()[0], 2)
    assert logits.shape == (6, 1, 16, 16) and not [n for n in kept if n == 6]


# ----------------------------------------------------------------------------------- what can be mended
def test_halving_goes_down_to_one_and_then_gives_up():
    run, error = Run(CONFIG, plain_network(), CPU), torch.OutOfMemoryError("CUDA out of memory. Tried ...")
    images, sizes = make_batch(4)[0], []
    run.model.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    for part_size in (2, 1):
        another_way(run, error)
        assert (
            run.part_size == part_size and run.network(images).shape == images.shape and not run.may_compile
        )
    assert sizes == [2, 2, 1, 1, 1, 1]
    with pytest.raises(torch.OutOfMemoryError):
        another_way(run, error)


def test_one_of_several_processes_does_not_begin_to_halve():
    run = Run(CONFIG, plain_network(), CPU)
    run.world_size = 2
    with pytest.raises(torch.OutOfMemoryError):
        another_way(run, torch.OutOfMemoryError("CUDA out of memory"))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 5 bytes"), True),
        (RuntimeError("shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_other_errors_are_passed_on(error: Exception, expected: bool):
    assert is_out_of_memory(error) == expected
    if not expected:
        with pytest.raises(type(error)) as caught:
            another_way(Run(CONFIG, plain_network(), CPU), error)
        assert caught.value is error


# ------------------------------------------------------------------------------- a GPU that is never read
def test_a_step_on_cuda_never_waits_for_the_gpu(monkeypatch: pytest.MonkeyPatch):
    """PyTorch's fake tensors pretend to lie on a GPU and refuse to tell a value: what waits would fail."""
    fake_tensor = pytest.importorskip(
        "torch._subclasses.fake_tensor", reason="needs the fake tensors of PyTorch: pip install torch"
    )
    device, sampler = torch.device("cuda", 0), make_sampler()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (7, 5))
    monkeypatch.setattr(torch.amp.grad_scaler, "amp_definitely_not_available", lambda: False, raising=False)
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(training, "sixteen_bit_type", lambda device: torch.float16)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(nn.Module, "to", lambda module, *_, **__: module)
    monkeypatch.setattr(transforms, "_grain", lambda images, *_: torch.randn_like(images))
    with fake_tensor.FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device(device):
            model = UNet(base_channels=2, depth=2)
            for name in ("images", "masks", "starts", "widths"):
                setattr(sampler, name, torch.empty_like(getattr(sampler, name), device=device))
            sampler.device = device
        run = Run(TrainConfig(batch_size=4, patch_size=32), model, device)
        assert run.scaler.is_enabled() and run.reads_late

        def backward(loss: torch.Tensor) -> None:  # a real one would ask for a real GPU
            assert loss.device == device
            for parameter in model.parameters():
                parameter.grad = torch.empty_like(parameter)

        monkeypatch.setattr(torch.Tensor, "backward", backward)
        for _ in range(2):
            train_step(run, sampler)
        assert len(run.unread) == 2
        with pytest.raises(fake_tensor.DataDependentOutputException):
            read_losses(run)
        run.optimiser = torch.optim.AdamW(model.parameters(), fused=False)  # and this is what would wait
        with pytest.raises(fake_tensor.DataDependentOutputException):
            train_step(run, sampler)
