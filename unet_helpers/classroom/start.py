"""The call with which every lesson begins: it loads what is slow to load, and says where you are."""

from __future__ import annotations

import os
import sys

from unet_helpers.engine.calm import calmly

__all__ = ["place", "set_up"]

TRAINING = (4, 6, 7)  # the lessons that make optimisers
SWITCH_ON = {
    "colab": "Runtime > Change runtime type > T4 GPU",
    "kaggle": "Settings > Accelerator > GPU T4 x2",
}


def place() -> str:
    """Where this Python runs: "kaggle", "colab" or "here"."""
    from unet_helpers.folders.places import platform_name

    name = platform_name()
    return "here" if name == "own" else name


@calmly
def set_up(lesson: int | None = None) -> None:
    """Load the libraries of a lesson, and print versions, device and where work is kept.

    The stop button waits until everything is loaded: half a library would spoil the whole session.

    Args:
        lesson: Its number. Those that train load what optimisers need, and lesson 4 says how a GPU is
            switched on; None loads all.

    Raises:
        CalmError: If a library is missing, with the way to get it.
        Stopped: If stop was pressed meanwhile.
    """
    from unet_helpers.engine.stopping import whole

    with whole():
        _load(optimisers=lesson is None or lesson in TRAINING)
    import ipywidgets
    import torch

    from unet_helpers.engine.devices import choose_device
    from unet_helpers.phantom.dataset import begin_in_background

    device = choose_device()
    versions = f"torch {torch.__version__}, ipywidgets {ipywidgets.__version__}"
    print(f"Ready: {versions}, device {device}. Your work is kept in {_kept()}.")
    if lesson == 4 and device.type == "cpu" and place() in SWITCH_ON:
        print(
            f"There is no GPU here. {SWITCH_ON[place()]} switches one on: then run this lesson from the top."
        )
    if lesson != 6:  # which brings data of its own
        begin_in_background()


def _load(optimisers: bool) -> None:
    """Import what is slow, so that no later cell does."""
    from unet_helpers.engine.calm import CalmError

    try:
        import ipywidgets  # noqa: F401
        import matplotlib.pyplot  # noqa: F401
        import scipy.ndimage  # noqa: F401
        import torch
    except ModuleNotFoundError as error:
        raise CalmError(
            f"This Python ({sys.executable}) has no {error.name}. In the project's folder, "
            "`python3 tutorial.py lab` opens the lessons with everything they need."
        ) from None
    if optimisers:  # the first one of a process imports torch._dynamo and sympy
        torch.optim.AdamW([torch.zeros(1, requires_grad=True)])


def _kept() -> str:
    """The folder of `runs/`, in words that fit the place."""
    from unet_helpers.folders.places import home

    if os.environ.get("UNET_HOME"):
        return "runs/ of UNET_HOME"
    if (home() / "notebooks").is_dir():
        return "runs/ of this project"
    return f"{home() / 'runs'}" + (", until this session ends" if place() != "here" else "")
