"""What only a GPU can show: recorded steps, float16, resuming there, real lack of memory, nobody waits.

Skipped without CUDA. Tolerances say what the order of sums does to the last digits: cuDNN is held to
deterministic kernels here, so that what differs is the step and not chance.
"""

import math
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_data import tiny_pairs
from torch import Tensor, nn

from unet_helpers.checkpoint import load_checkpoint, load_state
from unet_helpers.data import load_arrays
from unet_helpers.engine.graphs import GraphedStep, step_function
from unet_helpers.inference import predict_all
from unet_helpers.model import UNet
from unet_helpers.training import Run, TrainConfig, fit, train_step
from unet_helpers.transforms import PatchSampler

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU and CUDA"),
]
DEVICE = torch.device("cuda")
CONFIG = TrainConfig(
    n_steps=40, steps_per_epoch=10, batch_size=8, patch_size=32, learning_rate=4e-3, warm_up=0.2
)
RECORDED_LOSS, RECORDED_WEIGHTS = (
    2e-3,
    5e-3,
)  # relative, in float32: AdamW's rate and corrections are float32 on the GPU


@pytest.fixture(autouse=True)
def repeatable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    yield
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory):
    return tiny_pairs(tmp_path_factory.mktemp("tiny"))


def network(seed: int = 0) -> UNet:
    torch.manual_seed(seed)
    return UNet(base_channels=4, depth=3)


def start(pairs, way: str, **settings) -> tuple[Run, PatchSampler]:
    config = replace(CONFIG, cuda_graphs=way, **settings)
    run = Run(config, network(), DEVICE)
    run.model.train()
    shares = config.patch_size, config.stone_fraction, config.lookalike_fraction
    return run, PatchSampler(*load_arrays(pairs[0]), *shares, DEVICE)


def steps(run: Run, sampler: PatchSampler, n: int) -> tuple[list[float], list[float]]:
    """Losses and norms of the gradients of n steps, in the way that `fit` takes them."""
    step = step_function(run)
    for _ in range(n):
        step(run, sampler)
    if run.config.cuda_graphs == "auto" and n > 5:
        assert isinstance(step, GraphedStep) and step.works and step.graph is not None
    values = [(loss.item(), norm.item()) for *_, loss, norm in run.unread]
    return [loss for loss, _ in values], [norm for _, norm in values]


def weights(model: nn.Module | dict[str, Tensor]) -> Tensor:
    state = model if isinstance(model, dict) else model.state_dict()
    return torch.cat([v.detach().float().cpu().flatten() for v in state.values() if v.is_floating_point()])


def difference(one: Tensor, other: Tensor) -> float:
    """Length of the difference, as a share of the length."""
    return float((one - other).norm() / other.norm())


def train(pairs, run_dir: Path, config: TrainConfig | None = CONFIG, **options) -> list[dict]:
    options = {"model": network(), "device": DEVICE, "progress": False, **options}
    return fit(*pairs, run_dir, config, **options)


# --------------------------------------------------------------------------------------- recorded steps
def test_recorded_steps_have_the_losses_and_weights_of_plain_ones(pairs, monkeypatch):
    monkeypatch.setenv("UNET_PRECISION", "float32")
    (plain, sampler), (recorded, other) = start(pairs, "off"), start(pairs, "auto")
    before = weights(plain.model)
    losses, norms = steps(plain, sampler, 50)
    assert steps(recorded, other, 50)[0] == pytest.approx(losses, rel=RECORDED_LOSS)
    assert difference(weights(recorded.model), weights(plain.model)) < RECORDED_WEIGHTS
    # and the comparison bites: weights moved much further, and another batch has another loss
    assert difference(weights(plain.model), before) > 5 * RECORDED_WEIGHTS
    assert np.std(losses[-10:]) / np.mean(losses[-10:]) > 2 * RECORDED_LOSS
    assert torch.equal(recorded.generator.get_state(), plain.generator.get_state())
    assert recorded.step == plain.step == 50 and all(map(math.isfinite, norms))


def test_recorded_steps_learn_in_16_bits_too(pairs):
    losses = [steps(*start(pairs, way), 50)[0] for way in ("off", "auto")]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    assert all(np.mean(some[-5:]) < 0.8 * np.mean(some[:5]) for some in losses)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("way", ["off", "auto"])
def test_no_step_waits_for_the_gpu(pairs, way: str):
    run, sampler = start(pairs, way)
    step = step_function(run)
    for _ in range(8):  # a recording is made in one of them
        step(run, sampler)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(40):  # random numbers are drawn anew meanwhile
            step(run, sampler)
        with pytest.raises(RuntimeError, match="synchroniz"):
            run.unread[-1][-1].item()
    finally:
        torch.cuda.set_sync_debug_mode("default")


class Asking(nn.Module):
    """A network that asks the GPU for a number, which no recording can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.drop = nn.Conv2d(1, 1, 3, padding=1), nn.Dropout(0.1)

    def forward(self, image: Tensor) -> Tensor:
        features = self.drop(self.layer(image))  # draws from the GPU's own generator, also afterwards
        return features * (1.0 if image.max().item() > -9 else 0.0)


def test_a_network_that_cannot_be_recorded_is_trained_step_by_step(pairs, tmp_path: Path, capsys):
    history = train(pairs, tmp_path, model=Asking())
    said = capsys.readouterr()
    assert (said.out + said.err).count("cannot be recorded as a CUDA graph") == 1
    assert history[-1]["step"] == 40 and history[-1]["train_loss"] < history[0]["train_loss"]


# -------------------------------------------------------------------------------------------- float16
@pytest.mark.parametrize("way", ["off", "auto"])
def test_float16_trains_and_its_scaler_is_not_stuck(pairs, tmp_path: Path, monkeypatch, way: str):
    monkeypatch.setenv("UNET_PRECISION", "float16")
    history = train(pairs, tmp_path, replace(CONFIG, n_steps=80, cuda_graphs=way))
    state = load_state(tmp_path / "last.pt")
    moved = max(int(values["step"]) for values in state["optimiser"]["state"].values())
    assert 70 <= moved <= 80 and state["scaler"]["scale"] >= 64
    assert history[-1]["train_loss"] < 0.8 * history[0]["train_loss"]


@pytest.mark.parametrize("way", ["off", "auto"])
def test_gradients_are_unscaled_before_they_are_clipped(pairs, monkeypatch, way: str):
    monkeypatch.setenv("UNET_PRECISION", "float32")
    norms = steps(*start(pairs, "off", max_gradient_norm=1e-3), 10)[1]
    monkeypatch.setenv("UNET_PRECISION", "float16")
    run, sampler = start(pairs, way, max_gradient_norm=1e-3)
    run.scaler = torch.amp.GradScaler("cuda", init_scale=1024.0)
    assert steps(run, sampler, 10)[1] == pytest.approx(norms, rel=0.1)
    clipped = torch.stack([p.grad.float().norm() for p in run.model.parameters()]).norm()
    assert clipped.item() == pytest.approx(1e-3, rel=0.02)


# ------------------------------------------------------------------------------------ saved and resumed
def interrupt(history: list[dict]) -> None:
    if history[-1]["step"] == 20:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(("way", "tolerance"), [("off", 0.0), ("auto", RECORDED_WEIGHTS)])
def test_resumed_on_the_gpu_equals_uninterrupted(
    pairs, tmp_path: Path, monkeypatch, way: str, tolerance: float
):
    monkeypatch.setenv("UNET_PRECISION", "float32")
    config = replace(CONFIG, cuda_graphs=way)
    train(pairs, tmp_path / "whole", config)
    assert len(train(pairs, tmp_path / "stopped", config, on_epoch=interrupt)) == 2
    assert len(train(pairs, tmp_path / "stopped", config)) == 4
    whole, stopped = (load_state(tmp_path / name / "last.pt") for name in ("whole", "stopped"))
    assert whole["step"] == stopped["step"] == 40
    assert difference(weights(stopped["model"]), weights(whole["model"])) <= tolerance
    assert torch.equal(whole["generator"].cpu(), stopped["generator"].cpu())
    assert (tmp_path / "stopped" / "snapshots.png").stat().st_size > 1000


def test_a_run_of_the_gpu_goes_on_on_the_cpu(pairs, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("UNET_PRECISION", "float32")
    train(pairs, tmp_path, on_epoch=interrupt)
    images = load_arrays(pairs[1])[0]
    here, there = (load_checkpoint(tmp_path / "last.pt", where) for where in ("cpu", DEVICE))
    assert here.step == 20 and not next(here.model.parameters()).is_cuda
    for one, other in zip(predict_all(here.model, images), predict_all(there.model, images), strict=True):
        assert np.abs(one - other).max() < 5e-3  # a GPU's convolutions keep ten bits of a float32
    history = train(pairs, tmp_path, None, device=torch.device("cpu"), model=None)
    after = load_state(tmp_path / "last.pt")
    assert [entry["step"] for entry in history] == [10, 20, 30, 40] == [10, 20, 30, after["step"]]
    assert difference(weights(after["model"]), weights(here.model)) > 1e-3


def test_without_memory_a_batch_is_halved(pairs, tmp_path: Path, capsys):
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    hog = torch.empty(free - 1536 * 2**20, dtype=torch.uint8, device=DEVICE)  # 1.5 GiB are left
    try:
        config = replace(CONFIG, n_steps=6, steps_per_epoch=6, batch_size=256, patch_size=160)
        torch.manual_seed(0)
        history = train(pairs, tmp_path, config, model=UNet(base_channels=32))
    finally:
        del hog
    said = capsys.readouterr()
    assert "Out of memory with 256 patches at once: going on with 128" in said.out + said.err
    assert history[-1]["step"] == 6 and math.isfinite(history[-1]["train_loss"])
    assert len(load_state(tmp_path / "last.pt")["history"]) == 1


def test_a_plain_step_is_what_the_settings_ask_for(pairs):
    assert step_function(start(pairs, "off")[0]) is train_step
