"""What a lesson promises holds on its own data after its own training, and is only told elsewhere."""

from dataclasses import replace

import pytest
import torch

from unet_helpers.engine.run_folder import RunStatus
from unet_helpers.exercises import contract
from unet_helpers.training import TrainConfig, default_config

CLAIM = "The network finds more stones than a grey threshold."


@pytest.fixture(autouse=True)
def default_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNET_DATA", raising=False)
    monkeypatch.delenv("UNET_STEPS", raising=False)


@pytest.mark.parametrize(("data", "steps"), [(None, None), ("phantom", None), ("", ""), ("/scans", "60")])
def test_what_holds_is_not_talked_about(data, steps, monkeypatch, capsys):
    for name, value in (("UNET_DATA", data), ("UNET_STEPS", steps)):
        if value is not None:
            monkeypatch.setenv(name, value)
    assert contract(True, CLAIM) is None and not capsys.readouterr().out


@pytest.mark.parametrize("data", [None, "", "phantom"])
def test_a_promise_that_breaks_on_the_lessons_own_data_is_an_error(data, monkeypatch, capsys):
    if data is not None:
        monkeypatch.setenv("UNET_DATA", data)
    with pytest.raises(AssertionError, match=f"^{CLAIM}$"):
        contract(False, CLAIM)


@pytest.mark.parametrize(
    ("data", "steps", "whole", "told"),
    [
        ("/scans", None, True, "On this data it is not so: "),
        ("/scans", None, False, "After so short a training it is not so: "),
        ("kaggle", "60", True, "After so short a training it is not so: "),
        (None, "60", True, "After so short a training it is not so: "),
        (None, None, False, "After so short a training it is not so: "),
    ],
)
def test_elsewhere_it_is_one_calm_sentence(data, steps, whole, told, monkeypatch, capsys):
    for name, value in (("UNET_DATA", data), ("UNET_STEPS", steps)):
        if value is not None:
            monkeypatch.setenv(name, value)
    contract(False, CLAIM, whole)
    assert capsys.readouterr().out == f"{told}{CLAIM}\n"


DEVICES = torch.device("cpu"), torch.device("cuda")
CPU, GPU = map(default_config, DEVICES)


@pytest.mark.parametrize(
    ("config", "progress", "whole"),
    [
        (CPU, 1.0, True),
        (GPU, 1.0, True),
        (replace(GPU, n_steps=4000, compile="off"), 1.0, True),  # made longer, computed in another way
        (CPU, 0.999, False),
        (replace(CPU, n_steps=60), 1.0, False),
        (replace(CPU, n_steps=2500), 1.0, False),  # as many steps as a GPU takes, of fewer patches
        (replace(CPU, learning_rate=1e-3), 1.0, False),
        (replace(CPU, n_epochs=30), 1.0, False),
        (None, 0.0, False),
    ],
)
def test_a_training_is_whole_that_is_the_lessons_own_and_finished(
    config: TrainConfig | None, progress: float, whole: bool
):
    assert RunStatus(config, progress=progress, has_best=progress > 0).whole == whole


@pytest.mark.parametrize("device", DEVICES)
def test_a_rehearsal_goes_on_to_the_whole_length(device, monkeypatch):
    """With the settings of the device on which it was begun; other runs keep all of their own."""
    assert RunStatus().lesson_config(device) == default_config(device)
    for config in (CPU, GPU):
        rehearsed = RunStatus(replace(config, n_steps=60), progress=1.0)
        assert rehearsed.lesson_config(device) == config and rehearsed.finished and not rehearsed.complete
    for own in (GPU, replace(CPU, n_steps=9000), replace(CPU, n_steps=60, seed=1), replace(CPU, n_epochs=2)):
        assert RunStatus(own, progress=0.1).lesson_config(device) == own
        assert RunStatus(own, progress=1.0).complete and not RunStatus(own, progress=0.1).complete
    monkeypatch.setenv("UNET_STEPS", "60")
    short = replace(GPU, n_steps=60)
    assert RunStatus(short).lesson_config(device) == short
    assert RunStatus(replace(GPU, n_steps=20)).lesson_config(device) == short
