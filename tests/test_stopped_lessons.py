"""What lessons 4 and 5 do with a stopped training: they go on with it, and never judge it half-done."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_data import write_tiny

from unet_helpers.data import find_pairs, split_by_group, stone_strata
from unet_helpers.engine import several_gpus
from unet_helpers.engine.devices import choose_device
from unet_helpers.training import TrainConfig, fit, run_status

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
TINY = TrainConfig(n_steps=6, steps_per_epoch=2, batch_size=4, patch_size=32)
CPU = torch.device("cpu")


def cell(notebook: str, words: str) -> str:
    """The one code cell of a lesson that holds some words."""
    book = json.loads((NOTEBOOKS / notebook).read_text("utf-8"))
    sources = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
    (found,) = [source for source in sources if words in source]
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNET_HOME", str(tmp_path))
    monkeypatch.setenv("UNET_DATA", str(write_tiny(tmp_path / "scans", n_exams=10)))
    return tmp_path / "scans"


def lesson(words: list[str], notebook: str = "05_evaluation.ipynb", **names: Any) -> dict[str, Any]:
    """Run cells of a lesson in one namespace."""
    space: dict[str, Any] = {"choose_device": lambda: choose_device("cpu"), **names}
    for some in words:
        exec(compile(cell(notebook, some), notebook, "exec"), space)
    return space


def press_stop(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def start_and_stop(folder: Path, home: Path) -> Path:
    """A run of lesson 4 that was stopped at its first validation."""
    run = home / "runs" / "lesson" / folder.name
    pairs = find_pairs(folder)
    split = split_by_group(pairs, strata=stone_strata(pairs))
    fit(split["train"], split["val"], run, TINY, device=CPU, progress=False, on_epoch=press_stop)
    assert str(run_status(run)) == "unfinished at step 2 of 6"
    return run


OPEN, LOAD = "split = data.split_by_group", "checkpoint = load_checkpoint(best_file"


def test_lesson_5_goes_on_with_a_stopped_training_and_says_so(folder: Path, tmp_path: Path, capsys):
    run = start_and_stop(folder, tmp_path)
    space = lesson([OPEN, LOAD])
    assert "unfinished at step 2 of 6" in capsys.readouterr().out
    assert run_status(run).finished and space["checkpoint"].step in (2, 4, 6)
    assert space["checkpoint"].config["n_steps"] == 6  # the run's own settings, not those of this device


def test_lesson_5_stopped_again_judges_nothing(folder: Path, tmp_path: Path, monkeypatch):
    run = start_and_stop(folder, tmp_path)
    real = several_gpus.agree

    def stop_at_once(value: float = 0.0, stop: int = 0) -> tuple[float, int]:
        return real(value, stop or int(signal.SIGINT))

    monkeypatch.setattr(several_gpus, "agree", stop_at_once)
    with pytest.raises(RuntimeError, match="stopped before its end. All is saved: run this cell again"):
        lesson([OPEN, LOAD])
    assert not run_status(run).finished


def test_lesson_5_says_what_the_network_has_seen(folder: Path, tmp_path: Path, capsys):
    start_and_stop(folder, tmp_path)
    space = lesson([OPEN, LOAD, "data.parts_seen(pairs"])
    assert "of which 14 were trained on" in capsys.readouterr().out
    assert not {pair.group for pair in space["split"]["test"]} & {
        pair.group for pair in space["split"]["train"]
    }


def test_lesson_4_stopped_before_its_first_validation_ends_in_a_sentence(folder: Path, tmp_path: Path):
    pairs = find_pairs(folder)
    names = {
        "split": split_by_group(pairs, strata=stone_strata(pairs)),
        "fit": lambda *_, **__: [],  # what `fit` returns when it was stopped so early
        "run_dir": tmp_path / "run",
        "config": TINY,
        "device": CPU,
        "after_epoch": None,
        "run_status": run_status,
    }
    with pytest.raises(RuntimeError, match="nothing to look at yet. All is saved: run this cell again"):
        lesson(["if not history:"], "04_training.ipynb", **names)
