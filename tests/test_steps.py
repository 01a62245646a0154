"""The gradient of a batch: in parts, on a GPU that nobody waits for, and when memory runs out."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from unet_helpers import inference, training, transforms
from unet_helpers.engine import run_state
from unet_helpers.engine.config import TrainConfig
from unet_helpers.engine.run_state import RunState
from unet_helpers.engine.steps import LossLedger, batch_gradient, halving, is_out_of_memory
from unet_helpers.model import UNet
from unet_helpers.transforms import PatchSampler

OFF = torch.amp.GradScaler("cpu", enabled=False)


@pytest.fixture(autouse=True)
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "sixteen_bit_type", lambda device: None)


def make_batch(n: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(n, 1, 16, 16, generator=generator) > 0.9
    masks[: n // 2] = False  # stone-free images: a Dice that is averaged over parts would go wrong here
    return torch.randn(n, 1, 16, 16, generator=generator), masks


def plain_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))


def gradients(model: nn.Module, part_size: int | None, scaler=OFF, n: int = 6) -> tuple[float, torch.Tensor]:
    loss = batch_gradient(model, model, *make_batch(n), scaler, part_size)
    return loss.item(), torch.cat([p.grad.flatten() for p in model.parameters()])


# --------------------------------------------------------------------------------------------- in parts
@pytest.mark.parametrize("part_size", [1, 2, 3, 4, 5])
def test_parts_give_the_gradient_of_the_whole_batch(part_size: int):
    whole, parts = gradients(plain_network(), None), gradients(plain_network(), part_size)
    assert parts[0] == pytest.approx(whole[0], abs=1e-6) and (parts[1] - whole[1]).abs().max() < 1e-6
    halves = [
        batch_gradient(m := plain_network(), m, *(t.split(3)[k] for t in make_batch()), OFF).item()
        for k in (0, 1)
    ]
    assert abs(sum(halves) / 2 - whole[0]) > 0.01  # the mean of the parts' losses is another loss


def test_parts_of_one_size_normalise_alike_with_batch_norm():
    model, images, masks = UNet(base_channels=2, depth=2), *make_batch(2)
    twice = images.repeat(2, 1, 1, 1), masks.repeat(2, 1, 1, 1)  # every part has the statistics of the whole
    batch_gradient(model, model, *twice, OFF)
    whole, mean = [p.grad.clone() for p in model.parameters()], model.down[0][1].running_mean.clone()
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.reset_running_stats()
    batch_gradient(model, model, *twice, OFF, 2)
    for parameter, gradient in zip(model.parameters(), whole, strict=True):
        assert torch.allclose(parameter.grad, gradient, atol=1e-6)
    assert torch.allclose(model.down[0][1].running_mean, mean)  # one step of the averages, not four
    assert all(m.momentum == 0.1 for m in model.modules() if isinstance(m, nn.BatchNorm2d))


def test_a_gradient_scaler_scales_parts_and_whole_alike():
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    whole, parts = (gradients(plain_network(), size, scaler)[1] for size in (None, 2))
    assert torch.allclose(whole, parts, atol=1e-5)
    assert torch.allclose(whole / 8, gradients(plain_network(), None)[1], atol=1e-6)


# ---------------------------------------------------------------------------------------- out of memory
def test_halving_goes_down_until_it_fits():
    tried = []

    def attempt(size: int) -> str:
        tried.append(size)
        if size > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return "done"

    assert halving(attempt, 20) == ("done", 3) and tried == [20, 10, 5, 3]


@pytest.mark.parametrize(
    ("error", "n_tries"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), 4),
        (RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"), 4),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 5 bytes"), 4),
        (RuntimeError("shapes cannot be multiplied"), 1),
        (ValueError("out of memory"), 1),
    ],
)
def test_halving_gives_up_at_one_and_passes_other_errors_on(error: Exception, n_tries: int):
    tried = []

    def attempt(size: int) -> None:
        tried.append(size)
        raise error

    with pytest.raises(type(error), match=str(error)[:10].replace("[", r"\[")):
        halving(attempt, 8)
    assert len(tried) == n_tries
    assert is_out_of_memory(error) == (n_tries == 4)


# ------------------------------------------------------------------------------------------- the ledger
def note(ledger: LossLedger, step: int, loss: float, norm: float = 1.0) -> None:
    ledger.note(step, 0.01, torch.tensor([step, step + 1]), torch.tensor(loss), torch.tensor(norm))


def test_the_ledger_gives_each_loss_once_and_names_the_first_bad_step():
    ledger = LossLedger()
    assert ledger.read(str) == []
    note(ledger, 0, 0.5)
    note(ledger, 1, 0.25)
    assert ledger.read(str) == [0.5, 0.25] and ledger.read(str) == []
    for step, loss in ((7, 0.5), (8, math.nan), (9, math.inf)):
        note(ledger, step, loss)
    with pytest.raises(FloatingPointError, match=r"got nan and 1.0 at step 8, .* 0.01, images \[8, 9\]"):
        ledger.read(str)


def test_with_a_gradient_scaler_only_the_loss_must_be_finite():
    ledger = LossLedger()
    note(ledger, 0, 0.5, math.inf)
    assert ledger.read(str, norm_may_overflow=True) == [0.5]
    note(ledger, 0, 0.5, math.inf)
    with pytest.raises(FloatingPointError, match="got 0.5 and inf at step 0"):
        ledger.read(str)


# ------------------------------------------------------------------------------- a GPU that is never read
def test_a_step_on_cuda_never_waits_for_the_gpu(monkeypatch: pytest.MonkeyPatch):
    """PyTorch's fake tensors pretend to lie on a GPU and refuse to tell a value: what waits would fail."""
    fake_tensor = pytest.importorskip("torch._subclasses.fake_tensor")
    device = torch.device("cuda", 0)
    image, mask = np.full((40, 40), 9, np.uint8), np.eye(40, dtype=bool)
    sampler = PatchSampler([image] * 4, [mask] * 4, 32, 0.5, 0.0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (7, 5))
    monkeypatch.setattr(torch.amp.grad_scaler, "amp_definitely_not_available", lambda: False, raising=False)
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(run_state, "sixteen_bit_type", lambda device: torch.float16)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(nn.Module, "to", lambda module, *_, **__: module)
    monkeypatch.setattr(transforms, "_grain", lambda images, *_: torch.randn_like(images))
    with fake_tensor.FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device(device):
            model = UNet(base_channels=2, depth=2)
            sampler.images, sampler.masks = (
                torch.empty_like(t, device=device) for t in (sampler.images, sampler.masks)
            )
            sampler.device = device
        run = RunState(TrainConfig(batch_size=4, patch_size=32), model, device, {})
        assert run.scaler.is_enabled()

        def backward(loss: torch.Tensor) -> None:  # a real one would ask for a real GPU
            assert loss.device == device
            for parameter in model.parameters():
                parameter.grad = torch.empty_like(parameter)

        monkeypatch.setattr(torch.Tensor, "backward", backward)
        for _ in range(2):
            training._train_step(run, sampler, str)
        assert len(run.ledger.entries) == 2
        with pytest.raises(fake_tensor.DataDependentOutputException):
            run.read_losses(str)
        run.optimiser = torch.optim.AdamW(model.parameters(), fused=False)  # and this is what would wait
        with pytest.raises(fake_tensor.DataDependentOutputException):
            training._train_step(run, sampler, str)
