"""Whose machine it is, and where data and runs lie there: Colab with a Drive, Kaggle, your own."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_data import write_tiny

from unet_helpers.data import find_pairs, split_by_group, stone_strata
from unet_helpers.engine import run_folder, several_gpus
from unet_helpers.engine.cache import open_cache
from unet_helpers.folders import places, sources
from unet_helpers.folders.places import data_home, home, lesson_run, platform_name
from unet_helpers.scores import judging
from unet_helpers.training import TrainConfig, fit, run_status

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Your own machine, with the package installed and the working folder `content`."""
    for name in ("UNET_HOME", "UNET_DATA", "KAGGLE_KERNEL_RUN_TYPE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "content").mkdir()
    monkeypatch.chdir(tmp_path / "content")
    monkeypatch.setattr(places, "__file__", str(tmp_path / "site/unet_helpers/folders/places.py"))
    return tmp_path / "content"


@pytest.fixture
def colab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Colab: there is a module google.colab; a Drive is mounted, as the lessons' cell does it."""
    (tmp_path / "stub/google/colab").mkdir(parents=True)
    (tmp_path / "stub/google/colab/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "stub")
    drive = tmp_path / "content/drive/MyDrive/unet"
    monkeypatch.setenv("UNET_HOME", str(drive))
    yield drive
    for name in [name for name in sys.modules if name.partition(".")[0] == "google"]:
        del sys.modules[name]


# ------------------------------------------------------------------------------------------- whose machine
def test_your_own_machine(machine: Path) -> None:
    assert platform_name() == "own" and home() == data_home() == machine


@pytest.mark.usefixtures("colab")
def test_kaggles_machine_is_told_from_colabs_which_it_is_made_from(monkeypatch: pytest.MonkeyPatch) -> None:
    assert platform_name() == "colab"
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    assert platform_name() == "kaggle"


# ------------------------------------------------------------------------------------------ Colab and Drive
def test_runs_go_to_the_drive_and_data_never(colab: Path, machine: Path) -> None:
    assert home() == colab and data_home() == machine
    folder = machine / "data" / "phantom-96x8-256px-seed0-v3"
    assert sources.phantom_folder(96, 8, 256, 0).parent == folder.parent
    assert lesson_run(folder) == colab / "runs" / "lesson" / folder.name  # its stable name


def test_another_folder_of_colab_holds_all(
    colab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNET_HOME", str(tmp_path / "work"))
    assert home() == data_home() == tmp_path / "work"


def test_who_works_in_a_folder_of_the_drive_has_data_on_the_machine_too(
    colab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colab.mkdir(parents=True)
    monkeypatch.delenv("UNET_HOME")
    monkeypatch.chdir(colab)
    assert home() == colab and data_home() == Path("/content")


def test_on_your_own_machine_a_drive_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNET_HOME", str(tmp_path / "MyDrive"))
    assert data_home() == tmp_path / "MyDrive"


def test_lesson_5_says_where_a_run_may_lie_that_it_does_not_find(
    colab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    run = tmp_path / "runs" / "lesson" / "scans"
    judging.choose_network(run, lambda: None)
    assert "Drive" not in capsys.readouterr().out  # it was looked for there
    monkeypatch.delenv("UNET_HOME")
    judging.choose_network(run, lambda: None)
    assert "Is its run on your Drive?" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------- Kaggle
def test_a_package_that_is_attached_read_only_is_no_home(
    tmp_path: Path, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole project as a data set in /kaggle/input: work goes to /kaggle/working."""
    (tmp_path / "site" / "notebooks").mkdir(parents=True)
    assert home() == tmp_path / "site"
    real = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: real(path, mode) and not (mode & os.W_OK and path == home_of(path))
    )
    assert home() == data_home() == machine


def home_of(path: Path) -> Path:
    return path if path.name == "site" else Path("elsewhere")


@pytest.mark.parametrize("layout", ["stones", "datasets/somebody/stones", "stones/versions/2"])
def test_an_attached_set_of_another_name_is_opened_by_its_path_and_nothing_is_written_into_it(
    tmp_path: Path, machine: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    folder = write_tiny(tmp_path / "kaggle" / "input" / layout, n_exams=4)
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    monkeypatch.setenv("UNET_DATA", str(tmp_path / "kaggle/input/stones" if layout[0] == "s" else folder))
    before = digests(tmp_path / "kaggle")
    opened = sources.open_dataset()
    pairs = find_pairs(opened)
    open_cache(pairs)
    run = lesson_run(opened)
    assert len(pairs) == len(find_pairs(folder)) and run.is_relative_to(machine / "runs")
    assert digests(tmp_path / "kaggle") == before
    assert [path.parent for path in (machine / "data").glob("cache-*")] == [machine / "data"]


def digests(folder: Path) -> dict[Path, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# ------------------------------------------------------------------------- the GPU's quota is used up
TINY = TrainConfig(n_steps=6, steps_per_epoch=2, batch_size=4, patch_size=32)
TINY_GPU = replace(TINY, n_steps=4, batch_size=8, learning_rate=6e-3)


@pytest.fixture
def split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> judging.Split:
    """Of small data; the lessons' settings are small, too."""
    monkeypatch.setattr(
        run_folder, "default_config", lambda device: TINY if device.type == "cpu" else TINY_GPU
    )
    pairs = find_pairs(write_tiny(tmp_path / "scans", n_exams=10))
    return split_by_group(pairs, strata=stone_strata(pairs))


def stopped_at_once(split: judging.Split, run: Path, config: TrainConfig) -> None:
    real = several_gpus.agree
    with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(several_gpus, "agree", lambda value=0.0, stop=0: real(value, stop or signal.SIGINT))
        fit(split["train"], split["val"], run, config, device=CPU, progress=False)


def test_a_run_of_a_gpu_goes_on_without_one_in_its_folder_with_its_settings(
    split: judging.Split, tmp_path: Path, capsys
) -> None:
    run = tmp_path / "drive" / "runs" / "lesson" / "scans"
    stopped_at_once(split, run, TINY_GPU)
    assert 0 < run_status(run).step < 4 and run_status(run).lesson_config(CPU) == TINY_GPU
    capsys.readouterr()

    def go_on() -> None:
        config = run_status(run).lesson_config(CPU)
        fit(split["train"], split["val"], run, config, device=CPU, progress=False)

    network = judging.choose_network(run, go_on)
    out = capsys.readouterr().out
    assert "begun on a GPU, with 8 patches a step where a CPU takes 4" in out and "goes on, too" in out
    assert network.own and network.whole and run_status(run).config == TINY_GPU
    judging.choose_network(run, go_on)  # finished, it just opens
    out = capsys.readouterr().out
    assert "We judge lesson 4's network" in out and "GPU" not in out


@pytest.mark.parametrize("config", [TINY, replace(TINY_GPU, batch_size=16), replace(TINY_GPU, seed=1)])
def test_other_runs_say_nothing_of_a_gpu(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        run_folder, "default_config", lambda device: TINY if device.type == "cpu" else TINY_GPU
    )
    assert run_folder.slower_here(config, CPU) == ""
    assert run_folder.slower_here(TINY_GPU, CPU)
    assert run_folder.slower_here(TINY_GPU, torch.device("cuda")) == ""
