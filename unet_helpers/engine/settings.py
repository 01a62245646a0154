"""What the settings of a run may be, and which of them may change when it goes on."""

from __future__ import annotations

import math
import operator
import os
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unet_helpers.training import TrainConfig

__all__ = ["COMPILE_CHOICES", "SCALE", "checked", "clashes", "continued", "rehearsed", "shortened"]

COMPILE_CHOICES = ("auto", "on", "off")
SCALE = ("max_size", "spacing")  # None: the run's own, or in a new run the resolution of the files
_COUNTS = ("n_steps", "n_epochs", "batch_size", "patch_size", "steps_per_epoch", "max_size")
_OPTIONAL = ("n_epochs", "minutes", "steps_per_epoch", *SCALE)
_CHOICES = dict.fromkeys(("compile", "cuda_graphs"), COMPILE_CHOICES)  # they change no result
_LENGTHS = ("n_steps", "n_epochs", "minutes")


def checked(config: TrainConfig) -> dict[str, Any]:
    """The settings by name, numbers of NumPy as plain ones.

    Raises:
        ValueError: If a setting makes no sense; it is named with its value.
    """
    settings = asdict(config)
    for name, value in settings.items():
        if name not in _CHOICES and not (name in _OPTIONAL and value is None):
            settings[name] = _checked_number(name, value)
    if config.n_epochs is not None and config.minutes is not None:
        raise ValueError(
            f"n_epochs and minutes must not both be given, got {config.n_epochs} and {config.minutes}."
        )
    if config.max_size is not None and config.spacing is not None:
        raise ValueError(
            f"max_size and spacing must not both be given, got {config.max_size} and {config.spacing}."
        )
    if (total := settings["stone_fraction"] + settings["lookalike_fraction"]) > 1:
        raise ValueError(f"stone_fraction and lookalike_fraction must sum to at most 1, got {total:g}.")
    for name, choices in _CHOICES.items():
        if settings[name] not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, got {settings[name]!r}.")
    return settings


def _checked_number(name: str, value: Any) -> int | float:
    whole = name in (*_COUNTS, "seed")
    try:
        number = operator.index(value) if whole else float(value)
    except (TypeError, ValueError):
        number = math.nan
    low, high, rule = {
        **dict.fromkeys(_COUNTS, (1, 2**62, "a whole number of at least 1")),
        "seed": (0, 2**63 - 1, "a whole number from 0 up"),
        "minutes": (1e-9, 1e9, "a positive number"),
        "spacing": (1e-9, 1e9, "a positive number of millimetres"),
        "learning_rate": (1e-30, 1e9, "a positive number"),
        "max_gradient_norm": (1e-30, math.inf, "a positive number"),
        "weight_decay": (0, 1e9, "a number from 0 up"),
        "warm_up": (0, 1 - 1e-9, "a share from 0 to below 1"),
    }.get(name, (0, 1, "a share from 0 to 1"))
    if isinstance(value, (bool, str)) or not low <= number <= high:
        raise ValueError(f"{name} must be {rule}, got {value!r}.")
    return number


def clashes(saved: TrainConfig, wanted: TrainConfig) -> list[str]:
    """What forbids that a run with settings `saved` goes on with `wanted`, one "name a there, b here" each.

    How a step is computed (`compile`, `cuda_graphs`) may change, and the length may grow.
    """
    there, here = asdict(saved), asdict(wanted)
    differing = [name for name in there if name not in (*_LENGTHS, *_CHOICES) and there[name] != here[name]]
    differing = [name for name in differing if name not in SCALE or here[name] is not None]
    found = [f"{name} {there[name]} there, {here[name]} here" for name in differing]
    (kind, old), (other, new) = saved.length, wanted.length
    if kind != other:
        found.append(f"{kind} {old} there, {other} {new} here")
    elif new < old:
        found.append(f"{kind} {old} there, {new} here, and a run can only be made longer")
    return found


def continued(saved: TrainConfig, wanted: TrainConfig | None) -> TrainConfig:
    """Settings with which a run goes on: its own, with the length and the way of computing of `wanted`."""
    if wanted is None:
        return saved
    return replace(saved, **{name: getattr(wanted, name) for name in (*_LENGTHS, *_CHOICES)})


def shortened(config: TrainConfig) -> TrainConfig:
    """The settings with as many steps as the environment variable `UNET_STEPS` asks for, if it is set.

    Raises:
        ValueError: If it holds no whole number of at least 1.
    """
    wanted = _wanted_steps()
    return config if wanted is None else replace(config, n_steps=wanted)


def rehearsed(n_steps: int) -> int:
    """Steps of a lesson's small experiment: so many, or fewer where `UNET_STEPS` asks for fewer."""
    wanted = _wanted_steps()
    return n_steps if wanted is None else min(n_steps, wanted)


def _wanted_steps() -> int | None:
    wanted = os.environ.get("UNET_STEPS")
    if not wanted:
        return None
    if not (wanted.strip().isdecimal() and int(wanted) >= 1):
        raise ValueError(
            f"UNET_STEPS must be a whole number of at least 1, got {wanted!r}. Set it to a number of "
            "training steps, or leave it away for the whole training."
        )
    return int(wanted)
