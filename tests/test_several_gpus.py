"""Two processes train as one does: the same gradients, the same weights, one set of files, one end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from test_training import CONFIG, CPU, small_model
from tiny_data import tiny_pairs, write_tiny
from torch import nn

from unet_helpers.checkpoint import load_checkpoint, load_state
from unet_helpers.engine import devices, several_gpus
from unet_helpers.losses import bce_dice_loss
from unet_helpers.model import UNet
from unet_helpers.training import Run, fit

ROOT = Path(__file__).resolve().parents[1]
pytestmark = [
    pytest.mark.in_turn,  # two processes, each as fast as the other
    pytest.mark.skipif(
        sys.platform != "linux" or not torch.distributed.is_available(),
        reason="needs gloo, and forks with PyTorch loaded, which only Linux endures",
    ),
]


def start(*arguments: object) -> subprocess.Popen:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


def make_batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(6, 1, 32, 32, generator=generator) > 0.95
    masks[::2] = False  # process 0 sees no stone at all: its own Dice would say nothing
    return torch.randn(6, 1, 32, 32, generator=generator) + torch.arange(6.0)[:, None, None, None], masks


class SharedBatchNorm(nn.BatchNorm2d):
    """Stands in for torch's SyncBatchNorm, which knows no CPU: every process computes on the whole batch."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        rank, world_size = several_gpus.rank_and_world_size()
        if not self.training or world_size == 1:
            return super().forward(features)
        batch = torch.zeros(world_size * len(features), *features.shape[1:]).index_copy(
            0, torch.arange(rank, world_size * len(features), world_size), features
        )
        return super().forward(torch.distributed.nn.functional.all_reduce(batch))[rank::world_size]


def shared(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm
    return model


def reference() -> dict:
    """Loss, gradients and running averages of one process on the whole batch."""
    model, (images, masks) = small_model(), make_batch()
    loss = bce_dice_loss(model(images), masks)
    loss.backward()
    return {
        "loss": loss.item(),
        "gradients": [p.grad for p in model.parameters()],
        "buffers": list(model.buffers()),
    }


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("two")
    process = start(ROOT / "tests" / "several_processes.py", folder)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return folder, out.splitlines()


def test_two_processes_give_the_gradients_of_one(two: tuple[Path, list[str]]):
    lines = sorted(line for line in two[1] if line.startswith("process"))
    assert len(lines) == 2
    for k, line in enumerate(lines):
        words = line.split()
        values = dict(zip(words[2::2], words[3::2], strict=True))
        assert words[1] == f"{k}:"
        for name in ("gradient", "loss", "norms"):
            assert float(values[name]) < 1e-6, line
        assert float(values["apart"]) == 0 and values["clock"] == "10.0" and values["stop"] == "15"
        assert values["epochs"] == ["3", "0"][k]  # process 0 validates and tells
    assert max(g.abs().max() for g in reference()["gradients"]) > 0.001  # so that 1e-6 says something


def test_two_processes_train_as_one_and_only_the_first_writes(two, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(devices, "sixteen_bit_type", lambda device: None)
    pairs = tiny_pairs(tmp_path / "data")
    history = fit(*pairs, tmp_path / "run", CONFIG, small_model(), CPU, progress=False)
    assert sorted(path.name for path in (two[0] / "run").iterdir()) == [
        "best.pt",
        "history.json",
        "last.pt",
        "run.lock",
        "snapshots.png",
    ]
    theirs, mine = load_state(two[0] / "run" / "last.pt"), load_state(tmp_path / "run" / "last.pt")
    for key, values in mine["model"].items():
        assert torch.allclose(values.float(), theirs["model"][key].float(), atol=1e-3), key
    assert torch.equal(mine["generator"], theirs["generator"])
    for one, other in zip(history, theirs["history"], strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], abs=1e-4)
        assert one["val_dice"] == pytest.approx(other["val_dice"], abs=0.02)


def test_stopped_and_resumed_two_processes_end_in_the_same_weights(two: tuple[Path, list[str]]):
    assert two[1].count("Run in cut: continued at step 2 of 6.") == 1
    whole, cut = (load_state(two[0] / name / "last.pt") for name in ("run", "cut"))
    assert cut["step"] == 6
    for key, values in whole["model"].items():
        assert torch.equal(values, cut["model"][key]), key


def test_no_process_closes_its_connections_before_all_have_come_to_the_end(two: tuple[Path, list[str]]):
    moments = {
        tuple(words[:2]): float(words[2])
        for words in map(str.split, two[1])
        if words and words[0] in ("leaving", "left")
    }
    assert moments["left", "1"] >= moments["leaving", "0"] >= moments["leaving", "1"] + 0.5


def test_a_batch_that_cannot_be_shared_is_refused(two: tuple[Path, list[str]]):
    message = "batch_size must be a multiple of the 2 processes, got 5."
    assert [line for line in two[1] if line.startswith("batch_size")] == [message] * 2


def test_one_command_trains_with_two_processes_and_chooses_a_threshold(two: tuple[Path, list[str]]):
    folder, lines = two
    said = lines[lines.index("== give_the_command") :]
    assert said.count("train: 8 images of 4 groups") == 1
    assert sum("chosen on 2 validation images" in line for line in said) == 1
    assert "curves.png" in {path.name for path in (folder / "command").iterdir()}
    model = load_checkpoint(folder / "command" / "best.pt").model  # and it loads without the other processes
    assert all(type(m) is nn.BatchNorm2d for m in model.modules() if isinstance(m, nn.BatchNorm2d))


def test_ctrl_c_under_torchrun_ends_all_processes_with_everything_saved(tmp_path: Path):
    data, run = write_tiny(tmp_path / "data"), tmp_path / "run"
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d"]
    torchrun += ["--rdzv-endpoint=localhost:0", "--local-addr=localhost"]  # a free port
    train = ["-m", "unet_helpers", "train", data, "--out", run, "--base-channels", 1, "--device", "cpu"]
    process = start(*torchrun, *train, "--minutes", 5)
    deadline = time.monotonic() + 200
    while not (run / "last.pt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode != 0 and out.count("everything is saved") == 1, err
    assert out.count("give the same command with --resume") == 1
    assert load_state(run / "last.pt")["step"] >= 1 and (run / "split.json").exists()


# ---------------------------------------------------------------------------------- in an ordinary process
def test_alone_nothing_changes():
    with several_gpus.process_group(CPU), several_gpus.main_first():
        assert several_gpus.rank_and_world_size() == (0, 1)
        assert several_gpus.agree(3.5, 2) == (3.5, 2)


def test_on_gpus_batch_norm_becomes_torch_s_own_with_the_same_names_and_weights(monkeypatch):
    monkeypatch.setattr(several_gpus, "DistributedDataParallel", lambda model, **_: model)
    run = Run(CONFIG, UNet(base_channels=1, depth=2), CPU)
    before, run.device = dict(run.model.state_dict(keep_vars=True)), torch.device("cuda")
    several_gpus.share(run)
    norms = [m for m in run.model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert norms and all(type(norm) is nn.SyncBatchNorm for norm in norms)
    after = run.model.state_dict(keep_vars=True)
    assert after.keys() == before.keys() and all(after[name] is before[name] for name in before)


def test_each_process_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert several_gpus.own_device(None) is None and several_gpus.own_device("cuda") == "cuda"
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert [several_gpus.own_device(name) for name in (None, "cuda", "cpu")] == ["cuda:1", "cuda:1", "cpu"]
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match="--nproc-per-node must be at most the number of GPUs, 2, got more"):
        several_gpus.own_device(None)
