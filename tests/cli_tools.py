"""What the tests of the command line share: calls in this process, and runs of a few steps."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unet_helpers.command_line.main import main
from unet_helpers.data import load_mask
from unet_helpers.model import UNet
from unet_helpers.training import TrainConfig

SMALL = TrainConfig(n_steps=4, steps_per_epoch=2, batch_size=4, patch_size=32, learning_rate=1e-2)
TRAIN = ("--epochs", "2", "--base-channels", "2", "--device", "cpu")
FOLDS = (*TRAIN, "--folds", "3")


def call(*arguments: object) -> int:
    """The exit status of a command."""
    return main([str(argument) for argument in arguments])


def usage_error(*arguments: object) -> None:
    """The command line itself must be refused."""
    with pytest.raises(SystemExit) as exit_:
        call(*arguments)
    assert exit_.value.code == 2


def evaluated(checkpoint: Path, data: Path, json_file: Path, *options: object) -> dict:
    """The scores that `evaluate` wrote."""
    words = ("evaluate", data, "--checkpoint", checkpoint, "--device", "cpu", "--json", json_file)
    assert call(*words, *options) == 0
    return json.loads(json_file.read_text())


def split_of(run: Path) -> dict[str, list[str]]:
    """The file names of each part of a run."""
    return json.loads((run / "split.json").read_text())


def masks_of_0_and_1(folder: Path) -> None:
    """Save all masks of a folder as a beginner does."""
    for path in folder.glob("*_mask.png"):
        Image.fromarray(load_mask(path).astype(np.uint8)).save(path)


def stop_in_the_first_step(patch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes while the network computes."""
    real = UNet.forward

    def forward(self, image):
        signal.raise_signal(signal.SIGINT)
        return real(self, image)

    patch.setattr(UNet, "forward", forward)
