"""Runs of a few steps that the tests of the command line share; a plugin, so that each is trained once."""

from pathlib import Path

import pytest
from cli_tools import FOLDS, SMALL, TRAIN, call
from tiny_data import write_tiny

from unet_helpers.command_line import train


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new run has four steps."""
    monkeypatch.setattr(train, "default_config", lambda device: SMALL)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images of six exams."""
    return write_tiny(tmp_path_factory.mktemp("cli") / "data")


def _trained(data: Path, folder: Path, options: tuple[str, ...]) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "default_config", lambda device: SMALL)
        assert call("train", data, "--out", folder, *options) == 0
    return folder


@pytest.fixture(scope="session")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps; it must not be changed."""
    return _trained(data, tmp_path_factory.mktemp("runs") / "run", TRAIN)


@pytest.fixture(scope="session")
def folds(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-validation in three folds of four steps; it must not be changed."""
    return _trained(data, tmp_path_factory.mktemp("runs") / "folds", FOLDS)
