"""One run, any device: begun on a GPU and continued on a CPU or the other way round, it stays one run.

There is no GPU here, so one is pretended: `default_config` answers what it answers for a GPU, a GPU's marks
are put into a checkpoint, and 16 bits with a scaler are computed on the CPU.
"""

import shutil
import signal
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from cli_tools import SMALL, TRAIN, call, stop_in_the_first_step
from tiny_data import tiny_pairs, write_tiny

from unet_helpers import training
from unet_helpers.checkpoint import load_checkpoint, load_state, save_state
from unet_helpers.command_line import pipeline, train
from unet_helpers.data import Pair, find_pairs, split_by_group, stone_strata
from unet_helpers.engine import devices, resuming
from unet_helpers.model import UNet
from unet_helpers.training import TrainConfig, choose_device, default_config, fit, run_status

CPU, GPU = torch.device("cpu"), torch.device("cuda")
TINY = TrainConfig(n_steps=6, steps_per_epoch=2, batch_size=4, patch_size=32, learning_rate=0.01)
FROM_A_GPU = replace(TINY, n_steps=4, batch_size=12)
DEFAULT_OF_A_GPU = replace(TINY, n_steps=8, batch_size=10, patch_size=24, steps_per_epoch=4)  # soon over
pytest_plugins = ["cli_runs"]
Pairs = tuple[list[Pair], list[Pair]]


def press_stop(*_: object) -> None:
    signal.raise_signal(signal.SIGINT)  # os.kill would end the process on Windows


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    return tiny_pairs(tmp_path_factory.mktemp("tiny"))


def small_model() -> UNet:
    torch.manual_seed(0)
    return UNet(base_channels=2, depth=2, unshuffle=1)


def start(pairs: Pairs, run: Path, config: TrainConfig, stop: bool = False) -> None:
    options = {"on_epoch": press_stop} if stop else {}
    fit(*pairs, run, config, small_model(), CPU, progress=False, **options)


def go_on(pairs: Pairs, run: Path, config: TrainConfig | None = None) -> list[dict]:
    return fit(*pairs, run, config, device=CPU, progress=False)


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Whoever asks for the default settings gets a GPU's."""
    for module in (training, resuming, train):
        monkeypatch.setattr(module, "default_config", lambda device: DEFAULT_OF_A_GPU)
    return monkeypatch


@pytest.fixture
def with_scaler(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The device computes fast in float16, as a T4 does, whose gradients are scaled."""
    for module in (training, devices):
        monkeypatch.setattr(module, "sixteen_bit_type", lambda device: torch.float16)
    return monkeypatch


def test_the_devices_have_settings_of_their_own():
    """Or these tests would show nothing."""
    cpu, gpu = default_config(CPU), default_config(GPU)
    assert cpu != gpu and cpu.n_steps != gpu.n_steps


# --------------------------------------------------------------------------------------------- fit
def test_a_finished_run_is_loaded_on_another_device(pairs: Pairs, tmp_path: Path, on_a_gpu, capsys):
    start(pairs, tmp_path, TINY)
    history = go_on(pairs, tmp_path)
    assert [epoch["step"] for epoch in history] == [2, 4, 6]
    assert "finished at step 6" in capsys.readouterr().out
    assert load_state(tmp_path / "last.pt")["config"] == asdict(TINY)


def test_a_run_goes_on_with_the_batch_of_the_device_it_began_on(pairs: Pairs, tmp_path: Path, on_a_gpu):
    start(pairs, tmp_path / "whole", FROM_A_GPU)
    start(pairs, tmp_path / "cut", FROM_A_GPU, stop=True)
    whole, cut = go_on(pairs, tmp_path / "whole"), go_on(pairs, tmp_path / "cut")
    assert [epoch["train_loss"] for epoch in cut] == [epoch["train_loss"] for epoch in whole]
    assert load_checkpoint(tmp_path / "cut" / "last.pt").config["batch_size"] == 12


def test_the_marks_of_a_gpu_in_a_checkpoint_do_not_disturb_a_cpu(pairs: Pairs, tmp_path: Path):
    start(pairs, tmp_path / "whole", TINY)
    start(pairs, tmp_path / "cut", TINY, stop=True)
    state = load_state(tmp_path / "cut" / "last.pt")
    settings = {"compile": "off", **({"cuda_graphs": "auto"} if "cuda_graphs" in state["config"] else {})}
    for group in state["optimiser"]["param_groups"]:
        group |= {"fused": None, "foreach": None, "capturable": False}
    scaler = torch.amp.GradScaler("cpu").state_dict() | {"scale": 1024.0}
    save_state(
        tmp_path / "cut" / "last.pt",
        {**state, "scaler": scaler, "config": {**state["config"], **settings}},
    )
    go_on(pairs, tmp_path / "cut")
    cut, whole = (load_state(tmp_path / name / "last.pt") for name in ("cut", "whole"))
    assert all(torch.equal(cut["model"][name], value) for name, value in whole["model"].items())
    assert cut["scaler"] == {} and cut["optimiser"]["param_groups"][0]["fused"] is True


def test_a_run_moves_to_a_device_with_a_scaler_and_back(pairs: Pairs, tmp_path: Path, with_scaler):
    with with_scaler.context() as elsewhere:
        for module in (training, devices):
            elsewhere.setattr(module, "sixteen_bit_type", lambda device: None)
        start(pairs, tmp_path, replace(TINY, n_steps=8), stop=True)
    assert load_state(tmp_path / "last.pt")["scaler"] == {}
    fit(*pairs, tmp_path, device=CPU, progress=False, on_epoch=press_stop)  # in float16, with a new scaler
    state = load_state(tmp_path / "last.pt")
    assert state["step"] == 4 and state["scaler"]["scale"] > 1
    fit(*pairs, tmp_path, device=CPU, progress=False, on_epoch=press_stop)  # and once more, with that one
    assert load_state(tmp_path / "last.pt")["scaler"]["_growth_tracker"] > state["scaler"]["_growth_tracker"]
    with with_scaler.context() as elsewhere:
        for module in (training, devices):
            elsewhere.setattr(module, "sixteen_bit_type", lambda device: None)
        history = go_on(pairs, tmp_path)
    assert [epoch["step"] for epoch in history] == [2, 4, 6, 8] and run_status(tmp_path).finished
    assert load_state(tmp_path / "last.pt")["scaler"] == {}


@pytest.mark.parametrize("stop", [True, False])
def test_the_settings_of_another_device_are_refused_with_both_values(
    pairs: Pairs, tmp_path: Path, stop: bool
):
    start(pairs, tmp_path, TINY, stop)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for other in (DEFAULT_OF_A_GPU, replace(TINY, n_steps=5), FROM_A_GPU):
        with pytest.raises(ValueError, match="must be continued with its own settings") as caught:
            go_on(pairs, tmp_path, other)
        there, here = asdict(TINY), asdict(other)
        for name in ("batch_size", "patch_size", "learning_rate", "steps_per_epoch"):
            said = f"{name} {there[name]} there, {here[name]} here"
            assert (said in str(caught.value)) == (there[name] != here[name])
        assert ("n_steps 6 there" in str(caught.value)) == (other.n_steps < 6)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_only_the_length_of_a_finished_run_can_be_raised(pairs: Pairs, tmp_path: Path, on_a_gpu):
    start(pairs, tmp_path / "steps", TINY)
    assert len(go_on(pairs, tmp_path / "steps", replace(TINY, n_steps=8))) == 4
    assert len(go_on(pairs, tmp_path / "steps")) == 4  # from now on it is a run of eight
    start(pairs, tmp_path / "minutes", replace(TINY, minutes=0.001))
    done = run_status(tmp_path / "minutes")
    longer = replace(TINY, minutes=10.0)
    fit(*pairs, tmp_path / "minutes", longer, device=CPU, progress=False, on_epoch=press_stop)
    assert run_status(tmp_path / "minutes").step > done.step and not run_status(tmp_path / "minutes").finished


def test_the_status_of_a_run_is_told_on_any_device(pairs: Pairs, tmp_path: Path, on_a_gpu):
    start(pairs, tmp_path, FROM_A_GPU, stop=True)
    status = run_status(tmp_path)
    assert str(status) == "unfinished at step 2 of 4" and status.config == FROM_A_GPU
    assert status.has_best and status.model_settings["base_channels"] == 2


# ------------------------------------------------------------------------------------ the command line
@pytest.fixture
def gpu_run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with a GPU's settings, stopped in its first step."""
    with monkeypatch.context() as patch:
        patch.setattr(train, "default_config", lambda device: replace(SMALL, batch_size=12))
        stop_in_the_first_step(patch)
        options = ("--base-channels", "2", "--device", "cpu")
        assert call("train", data, "--out", tmp_path / "run", *options) == 130
    return tmp_path / "run"


def test_resume_keeps_the_batch_of_a_gpu(data: Path, gpu_run: Path, capsys):
    words = ("train", data, "--out", gpu_run, "--resume", "--device", "cpu")
    assert call(*words, "--batch-size", 4) == 1
    assert "--batch-size 12 there, 4 here" in capsys.readouterr().err
    assert call(*words, "--steps", 3) == 1
    assert "--steps 4 there, 3 here, and a run can only be made longer" in capsys.readouterr().err
    assert call(*words) == 0
    assert (checkpoint := load_checkpoint(gpu_run / "last.pt")).step == 4
    assert checkpoint.config["batch_size"] == 12
    assert call(*words, "--steps", 6) == 0
    assert (checkpoint := load_checkpoint(gpu_run / "last.pt")).step == 6
    assert checkpoint.config["batch_size"] == 12


def test_a_finished_run_of_a_cpu_is_loaded_where_a_gpu_is(
    run: Path, data: Path, tmp_path: Path, on_a_gpu, capsys
):
    copy = shutil.copytree(run, tmp_path / "run")
    words = ("train", data, "--out", copy, "--resume", "--device", "cpu")
    assert call(*words) == 0
    assert "finished at step 4" in capsys.readouterr().out
    assert load_checkpoint(copy / "last.pt").config == load_checkpoint(run / "last.pt").config
    assert call(*words, "--batch-size", 10) == 1
    assert "--batch-size 4 there, 10 here" in capsys.readouterr().err
    assert call(*words, "--epochs", 3) == 0 and load_checkpoint(copy / "last.pt").step == 6


def test_minutes_are_raised(data: Path, tmp_path: Path, on_a_gpu, quick):
    words = ("train", data, "--out", tmp_path / "run", "--device", "cpu")
    assert call(*words, *TRAIN[2:4], "--minutes", 0.001) == 0
    first = load_checkpoint(tmp_path / "run" / "last.pt").step
    assert call(*words, "--resume", "--minutes", 0.01) == 0
    assert load_checkpoint(tmp_path / "run" / "last.pt").step > first
    assert call(*words, "--resume", "--minutes", 0.001) == 1


def test_folds_begun_on_a_gpu_are_all_trained_with_its_settings(data: Path, tmp_path: Path, monkeypatch):
    words = ("train", data, "--out", tmp_path / "run", "--device", "cpu", "--folds", 3)
    with monkeypatch.context() as patch:
        patch.setattr(train, "default_config", lambda device: replace(SMALL, batch_size=12))
        stop_in_the_first_step(patch)
        assert call(*words, "--base-channels", 2) == 130
    monkeypatch.setattr(train, "default_config", lambda device: SMALL)
    assert call(*words, "--resume") == 0
    configs = [load_checkpoint(tmp_path / "run" / f"fold-{n}" / "best.pt").config for n in (1, 2, 3)]
    assert [config["batch_size"] for config in configs] == [12, 12, 12]


def test_the_whole_pipeline_goes_on_with_its_run(tmp_path: Path, monkeypatch, on_a_gpu, capsys):
    monkeypatch.setenv("UNET_HOME", str(tmp_path))
    monkeypatch.setenv("UNET_DATA", str(write_tiny(tmp_path / "scans", n_exams=10)))
    monkeypatch.setattr(pipeline, "choose_device", lambda: choose_device("cpu"))
    scans = find_pairs(tmp_path / "scans")
    split = split_by_group(scans, strata=stone_strata(scans))
    run = tmp_path / "runs" / "pipeline"
    start((split["train"], split["val"]), run, FROM_A_GPU, stop=True)
    assert call() == 0
    assert "continued at step 2 of 4" in capsys.readouterr().out
    assert run_status(run).finished and run_status(run).config == FROM_A_GPU
