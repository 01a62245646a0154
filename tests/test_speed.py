"""The benchmark of the training step: every line is measured."""

import sys
from pathlib import Path

import pytest
import torch
from tiny_data import tiny_pairs

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
import speed

from unet_helpers.data import load_arrays
from unet_helpers.training import TrainConfig

CPU = torch.device("cpu")


@pytest.fixture
def split(tmp_path: Path) -> dict:
    return dict(zip(("train", "val"), tiny_pairs(tmp_path / "data"), strict=True))


def test_every_optimisation_has_a_line(split: dict, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)  # compiling takes a minute
    lines = speed.step_table(split, TrainConfig(batch_size=4, patch_size=32), CPU, n_steps=2).split("\n")
    names = [line.split(" | ")[0].strip("| ") for line in lines[4:]]
    assert names == [name for name, only_gpu in speed.VARIANTS.items() if not only_gpu]
    assert all(float(line.split(" | ")[1]) > 0 for line in lines[4:])


def test_what_needs_a_gpu_runs_on_the_cpu_too(split: dict):
    arrays = load_arrays(split["train"])
    config = TrainConfig(batch_size=4, patch_size=32)
    for name in (name for name, only_gpu in speed.VARIANTS.items() if only_gpu):
        assert speed.ms_per_step(name, arrays, config, CPU, 2) > 0


def test_the_time_to_a_dice_is_that_of_the_first_epoch_that_reaches_it(split: dict, monkeypatch):
    history = [{"seconds": 10.0 * n, "val_dice": dice} for n, dice in enumerate((0.5, 0.82, 0.79, 0.86), 1)]
    monkeypatch.setattr(speed, "fit", lambda *_, **__: history)
    lines = speed.dice_table(split, TrainConfig(), CPU).split("\n")
    assert lines[2:] == [f"| {choice} | 20 | 40 | not reached | 0.860 | 40 |" for choice in ("off", "on")]
