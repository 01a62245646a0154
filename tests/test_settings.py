"""Settings that make no sense are refused by name, and a run goes on with its own."""

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from unet_helpers.engine.settings import clashes, continued, rehearsed
from unet_helpers.training import TrainConfig, default_config, learning_rate_factor


@pytest.mark.parametrize(
    ("name", "values"),
    [
        *(
            (name, [0, -1, 1.5, 2.0, True, math.nan, math.inf, "3", 2**70])
            for name in ("n_steps", "n_epochs", "batch_size", "patch_size", "steps_per_epoch")
        ),
        *((name, [None]) for name in ("n_steps", "batch_size", "patch_size", "seed", "learning_rate")),
        ("minutes", [0, -1.0, math.nan, math.inf, True, "5"]),
        ("learning_rate", [0, -1e-3, math.nan, math.inf, False]),
        ("max_gradient_norm", [0, -1, math.nan]),
        ("weight_decay", [-1e-3, math.nan, math.inf]),
        ("warm_up", [-0.1, 1, 1.0, math.nan]),
        ("stone_fraction", [-0.1, 1.1, math.nan, True]),
        ("lookalike_fraction", [-0.1, 1.1, math.nan]),
        ("seed", [-1, 0.5, True, 2**63]),
        ("compile", ["yes", None, True]),
    ],
)
def test_settings_are_refused_by_name_and_value(name: str, values: list):
    for value in values:
        with pytest.raises(ValueError, match=rf"^{name} must be .*, got ") as caught:
            TrainConfig(**{name: value})
        assert repr(value) in str(caught.value)


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="n_epochs and minutes must not both be given, got 2 and 3"):
        TrainConfig(n_epochs=2, minutes=3)
    with pytest.raises(ValueError, match="lookalike_fraction must sum to at most 1, got 1.1"):
        TrainConfig(stone_fraction=0.8, lookalike_fraction=0.3)
    with pytest.raises(ValueError, match="n_steps must be"):
        replace(TrainConfig(), n_steps=0)


def test_sensible_extremes_and_numbers_of_numpy_are_taken_as_plain_ones():
    config = TrainConfig(
        n_steps=np.int64(7),
        minutes=np.float32(0.5),
        warm_up=0,
        stone_fraction=1,
        seed=0,
        lookalike_fraction=0,
        weight_decay=0,
        max_gradient_norm=math.inf,
    )
    assert {type(value) for value in asdict(config).values()} <= {int, float, str, type(None)}
    assert (config.n_steps, config.minutes) == (7, 0.5)


@pytest.mark.parametrize(
    ("settings", "length", "progress"),
    [
        ({"n_steps": 40}, ("n_steps", 40), 0.25),
        ({"n_epochs": 4}, ("n_epochs", 4), 0.5),
        ({"minutes": 0.5}, ("minutes", 0.5), 0.1),
    ],
)
def test_the_length_is_steps_epochs_or_minutes(settings: dict, length: tuple, progress: float):
    config = TrainConfig(**settings)
    assert config.length == length
    assert config.progress(step=10, seconds=3.0, steps_per_epoch=5) == pytest.approx(progress)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"compile": "on"}, []),
        ({"n_steps": 11}, []),
        ({"n_steps": 10}, []),
        ({"n_steps": 9}, ["n_steps 10 there, 9 here, and a run can only be made longer"]),
        ({"minutes": 1.0}, ["n_steps 10 there, minutes 1.0 here"]),
        ({"n_epochs": 5}, ["n_steps 10 there, n_epochs 5 here"]),
        ({"seed": 1, "batch_size": 8}, ["batch_size 6 there, 8 here", "seed 0 there, 1 here"]),
    ],
)
def test_what_a_run_cannot_be_continued_with(changes: dict, expected: list[str]):
    saved = TrainConfig(n_steps=10)
    assert clashes(saved, replace(saved, **changes)) == expected


def test_the_number_of_steps_says_nothing_in_a_run_of_minutes():
    saved = TrainConfig(n_steps=10, minutes=1)
    assert clashes(saved, TrainConfig(n_steps=99, minutes=2)) == []
    assert continued(saved, TrainConfig(n_steps=99, minutes=2, compile="off")).length == ("minutes", 2)
    assert continued(saved, None) is saved


CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("device", [CPU, GPU])
@pytest.mark.parametrize("n_steps", [1, 3, 60])
def test_a_lesson_can_be_rehearsed_with_few_steps(device, n_steps: int, monkeypatch):
    whole = default_config(device)
    monkeypatch.setenv("UNET_STEPS", str(n_steps))
    short = default_config(device)
    assert short == replace(whole, n_steps=n_steps) and short.length == ("n_steps", n_steps)
    rates = [learning_rate_factor(short.progress(step, 0, 1), short.warm_up) for step in range(n_steps)]
    assert all(0 < rate <= 1 for rate in rates)
    assert not clashes(short, whole)  # the rehearsal's run goes on to the full length


def test_without_the_variable_the_training_is_whole(monkeypatch):
    monkeypatch.delenv("UNET_STEPS", raising=False)
    assert (default_config(CPU).n_steps, default_config(GPU).n_steps) == (5500, 2500)
    monkeypatch.setenv("UNET_STEPS", "")
    assert default_config(CPU).n_steps == 5500 and rehearsed(80) == 80
    monkeypatch.setenv("UNET_STEPS", "12")
    assert (rehearsed(80), rehearsed(5)) == (12, 5)


@pytest.mark.parametrize("value", ["0", "-3", "sixty", "60.5", "1e3", " ", "²"])
def test_a_number_of_steps_that_is_none_is_refused(value: str, monkeypatch):
    monkeypatch.setenv("UNET_STEPS", value)
    with pytest.raises(ValueError, match="^UNET_STEPS must be a whole number of at least 1, got ") as caught:
        default_config(CPU)
    assert repr(value) in str(caught.value) and "leave it away" in str(caught.value)
