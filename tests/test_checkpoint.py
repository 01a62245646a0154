"""Checkpoints survive, and files that are none are refused without being run."""

import math
import os
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from unet_helpers.checkpoint import load_checkpoint, load_state, network_name, save_state, store_threshold
from unet_helpers.engine import files
from unet_helpers.model import UNet

if os.name == "posix":
    import resource


def make_state(**settings) -> dict:
    torch.manual_seed(0)
    model = UNet(**{"base_channels": 1, "depth": 2, **settings})
    return {
        "network": "unet_helpers.model.UNet",
        "model_settings": model.settings,
        "model": model.state_dict(),
        "config": {"minutes": None},
        "split": {"train": ["a"], "val": ["b"]},
        "images": {"train": ["0a"], "val": ["0b"]},
        "threshold": 0.5,
        "min_pixels": 0,
        "step": 3,
        "val_dice": 0.25,
    }


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_state(tmp_path / "best.pt", make_state())
    return tmp_path / "best.pt"


def test_what_was_saved_is_loaded(saved: Path):
    checkpoint = load_checkpoint(saved)
    assert not checkpoint.model.training and checkpoint.model.settings["base_channels"] == 1
    for name, values in make_state()["model"].items():
        assert torch.equal(checkpoint.model.state_dict()[name], values)
    assert (checkpoint.threshold, checkpoint.min_pixels) == (0.5, 0)
    assert (checkpoint.step, checkpoint.val_dice, checkpoint.config) == (3, 0.25, {"minutes": None})
    assert checkpoint.split == {"train": ["a"], "val": ["b"]}
    assert checkpoint.images == {"train": ["0a"], "val": ["0b"]}


def test_the_threshold_is_stored_beside_the_weights(saved: Path):
    store_threshold(saved, 0.35, 4)
    checkpoint = load_checkpoint(saved)
    assert (checkpoint.threshold, checkpoint.min_pixels, checkpoint.step) == (0.35, 4, 3)
    before, after = make_state(), load_state(saved)
    assert after.keys() == before.keys() | {"format", "version"}
    for key in before.keys() - {"model", "threshold", "min_pixels"}:
        assert after[key] == before[key]


def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path: Path):
    class Malicious:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'executed'}",)

    state = {**make_state(), "format": "unet_helpers checkpoint", "version": 2, "config": Malicious()}
    torch.save(state, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Malicious()))
    for name in ("a.pt", "b.pt"):
        with pytest.raises(ValueError, match="cannot be read safely"):
            load_checkpoint(tmp_path / name)
    assert not (tmp_path / "executed").exists()


def test_cut_files_are_refused(saved: Path):
    whole = saved.read_bytes()
    for n_bytes in (0, 1, 10, 100, len(whole) // 4, len(whole) // 2, len(whole) - 30, len(whole) - 1):
        saved.write_bytes(whole[:n_bytes])
        with pytest.raises(ValueError, match=r"best\.pt must be a whole checkpoint of this package"):
            load_checkpoint(saved)


@pytest.mark.filterwarnings("default")  # torch warns of some of the damage before it fails
def test_damaged_bytes_end_in_a_network_or_one_sentence(saved: Path):
    whole, start = saved.read_bytes(), saved.read_bytes().find(b"data.pkl")
    for position in range(start, start + 1500, 12):
        saved.write_bytes(whole[:position] + bytes([whole[position] ^ 0x15]) + whole[position + 1 :])
        told = None
        try:
            load_checkpoint(saved)
        except ValueError as error:
            told = str(error)
        assert told is None or str(saved) in told


@pytest.mark.parametrize(
    "content",
    [
        b"no checkpoint at all",
        b"\x89PNG\r\n\x1a\n" + bytes(200),
        pickle.dumps({}),
        bytes(5000),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(ValueError, match="a.pt must be a"):
        load_checkpoint(tmp_path / "a.pt")


def test_checkpoints_of_other_programs_are_refused(tmp_path: Path):
    for other in ({"model": {}}, make_state()["model"], torch.zeros(3), [1]):
        torch.save(other, tmp_path / "a.pt")
        with pytest.raises(ValueError, match="must be a checkpoint written by unet_helpers, got another"):
            load_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize(
    "change",
    [
        {"model_settings": {**make_state()["model_settings"], "base_channels": 2}},
        {"model_settings": {**make_state()["model_settings"], "depth": 3}},
        {"model_settings": {"layers": 4}},
        {"model_settings": None},
        {"model": {}},
        {"model": None},
    ],
)
def test_weights_of_another_architecture_are_refused(tmp_path: Path, change: dict):
    save_state(tmp_path / "a.pt", {**make_state(), **change})
    with pytest.raises(ValueError, match="a.pt must hold the .*weights of the .* it names") as caught:
        load_checkpoint(tmp_path / "a.pt")
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["threshold", "split", "model", "model_settings", "images", "network"])
def test_a_missing_entry_is_named(tmp_path: Path, key: str):
    state = make_state()
    del state[key]
    save_state(tmp_path / "a.pt", state)
    with pytest.raises(ValueError, match=f"got: '{key}'"):
        load_checkpoint(tmp_path / "a.pt")


def test_a_missing_file_says_how_to_get_one(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="checkpoint must exist, got .*best.pt. Train one first"):
        load_state(tmp_path / "best.pt")
    with pytest.raises(FileNotFoundError):
        load_state(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="a limit on file sizes needs POSIX")
@pytest.mark.parametrize("n_bytes", [10, 3000, 8000])
def test_a_full_disk_leaves_the_old_file(saved: Path, n_bytes: int):
    before, limits = saved.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    assert len(before) > n_bytes
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        with pytest.raises(OSError, match=r"best\.pt could not be written: .* the previous file is intact"):
            save_state(saved, {**make_state(), "step": 9})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert saved.read_bytes() == before and list(saved.parent.iterdir()) == [saved]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError("unexpected pos 64\nin 80 lines")])
@pytest.mark.parametrize(("owner", "name"), [(torch, "save"), (files.os, "replace")])
def test_an_interrupted_write_leaves_the_old_file(saved: Path, monkeypatch, interruption, owner, name: str):
    before = saved.read_bytes()

    def stop(*_):
        raise interruption

    monkeypatch.setattr(owner, name, stop)
    with pytest.raises((KeyboardInterrupt, OSError, RuntimeError)) as caught:
        save_state(saved, make_state())
    if name == "save" and interruption is not KeyboardInterrupt:  # how PyTorch tells of a full disk
        assert str(caught.value).endswith(
            "could not be written: unexpected pos 64; the previous file is intact."
        ) and isinstance(caught.value, OSError)
    assert saved.read_bytes() == before and list(saved.parent.iterdir()) == [saved]


# ----------------------------------------------------------------------------------- versions and networks
def save_version_1(path: Path, **changes) -> None:
    state = {**make_state(), **changes, "format": "unet_helpers checkpoint 1"}
    for key in ("network", "images"):
        del state[key]
    torch.save(state, path)


def test_a_checkpoint_of_version_1_still_loads(tmp_path: Path):
    save_version_1(tmp_path / "a.pt")
    checkpoint = load_checkpoint(tmp_path / "a.pt")
    assert checkpoint.images == {"train": [], "val": []} and checkpoint.step == 3
    store_threshold(tmp_path / "a.pt", 0.2, 7)
    assert load_state(tmp_path / "a.pt")["version"] == 2
    assert load_checkpoint(tmp_path / "a.pt").threshold == 0.2


def test_the_first_checkpoints_knew_no_folding_and_used_an_average(tmp_path: Path):
    state = make_state(unshuffle=1)
    settings = {name: value for name, value in state["model_settings"].items() if name != "unshuffle"}
    average = {name: values + 1 for name, values in state["model"].items()}
    save_version_1(tmp_path / "a.pt", model=state["model"], model_settings=settings, average=average)
    loaded = load_checkpoint(tmp_path / "a.pt").model
    assert loaded.settings["unshuffle"] == 1
    assert torch.equal(loaded.head.weight, average["head.weight"])


@pytest.mark.parametrize("version", [3, 2.5, None, "two", [2]])
def test_other_versions_are_refused_in_a_sentence(tmp_path: Path, version):
    torch.save({**make_state(), "format": "unet_helpers checkpoint", "version": version}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"of version 1 or 2, got version .*\. Update unet_helpers"):
        load_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_of_wrappers_are_dropped(tmp_path: Path, prefix: str):
    state = make_state()
    save_state(tmp_path / "a.pt", {**state, "model": {prefix + k: v for k, v in state["model"].items()}})
    loaded = load_checkpoint(tmp_path / "a.pt").model.state_dict()
    assert all(torch.equal(loaded[name], values) for name, values in state["model"].items())


class MyNet(nn.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.module = nn.Conv2d(1, width, 3, padding=1)  # a name that looks like the prefix of a wrapper
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.module(image).relu())


def test_a_network_of_ones_own_is_loaded_into_a_new_one(tmp_path: Path):
    trained = MyNet()
    save_state(
        tmp_path / "a.pt",
        {
            **make_state(),
            "network": network_name(trained),
            "model_settings": {},
            "model": trained.state_dict(),
        },
    )
    with pytest.raises(ValueError, match=r"the weights of a \w+\.MyNet\. Give .* into: model=MyNet\(\)\."):
        load_checkpoint(tmp_path / "a.pt")
    loaded = load_checkpoint(tmp_path / "a.pt", model=MyNet()).model
    assert type(loaded) is MyNet and not loaded.training
    assert torch.equal(loaded.module.weight, trained.module.weight)
    with pytest.raises(ValueError, match="the 4 weights of the MyNet .* 3 of another shape: head.weight"):
        load_checkpoint(tmp_path / "a.pt", model=MyNet(width=4))


def test_wrong_names_are_counted_and_three_are_named(tmp_path: Path):
    state = make_state(depth=4)
    names = {f"layers.{k}.{'x' * 300}": values for k, values in enumerate(state["model"].values())}
    save_state(tmp_path / "a.pt", {**state, "model": names})
    n = len(names)
    with pytest.raises(ValueError, match=f"{n} weights of the UNet .* {n} missing, {n} unknown: ") as caught:
        load_checkpoint(tmp_path / "a.pt")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float):
    state = make_state()
    state["model"]["head.bias"][0] = value
    save_state(tmp_path / "a.pt", state)
    with pytest.raises(ValueError, match=r"a\.pt must hold finite weights, got NaN or infinity in 1 of \d+"):
        load_checkpoint(tmp_path / "a.pt")
