"""Which network lesson 5 judges, on what, and where it writes: never a half-trained one."""

from __future__ import annotations

import json
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_data import write_tiny

from unet_helpers.data import find_pairs, split_by_group, stone_strata
from unet_helpers.engine import run_folder, several_gpus
from unet_helpers.scores import judging
from unet_helpers.training import TrainConfig, fit, run_status

TINY = TrainConfig(n_steps=4, steps_per_epoch=2, batch_size=4, patch_size=32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "scans", n_exams=10)


@pytest.fixture
def split(folder: Path) -> judging.Split:
    pairs = find_pairs(folder)
    return split_by_group(pairs, strata=stone_strata(pairs))


def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "lesson" / "scans"


def train(split: judging.Split, run: Path, monkeypatch: pytest.MonkeyPatch | None = None) -> None:
    """Train, or, with a monkeypatch, be stopped at the first chance."""
    if monkeypatch is None:
        fit(split["train"], split["val"], run, TINY, device=torch.device("cpu"), progress=False)
        return
    real = several_gpus.agree
    with monkeypatch.context() as patch:
        patch.setattr(
            several_gpus, "agree", lambda value=0.0, stop=0: real(value, stop or int(signal.SIGINT))
        )
        with suppress(KeyboardInterrupt):
            fit(split["train"], split["val"], run, TINY, device=torch.device("cpu"), progress=False)


def never() -> None:
    raise AssertionError("nothing is trained unasked")


def test_nothing_trained_means_the_packages_network_and_says_so(tmp_path: Path, capsys) -> None:
    network = judging.choose_network(run_dir(tmp_path), never)
    out = capsys.readouterr().out
    assert "has trained no network on this data yet" in out and "comes with the package instead" in out
    assert not network.own and network.whole and (network.threshold, network.shown_at.max_size) == (0.4, 280)
    assert network.folder == tmp_path / "runs" / "pretrained" / "scans"
    assert not run_dir(tmp_path).exists()


def test_a_finished_run_is_judged(tmp_path: Path, split, capsys) -> None:
    train(split, run_dir(tmp_path))
    network = judging.choose_network(run_dir(tmp_path), never)
    assert "We judge lesson 4's network" in capsys.readouterr().out
    assert network.own and not network.whole  # four steps are no lesson's training
    assert network.folder == run_dir(tmp_path)


def test_a_stopped_run_goes_on_and_is_judged_when_it_is_finished(
    tmp_path: Path, split, monkeypatch, capsys
) -> None:
    train(split, run_dir(tmp_path), monkeypatch)
    assert not run_status(run_dir(tmp_path)).finished
    network = judging.choose_network(run_dir(tmp_path), lambda: train(split, run_dir(tmp_path)))
    out = capsys.readouterr().out
    assert "unfinished at step" in out and "goes on now" in out and "We judge lesson 4's network" in out
    assert network.own


def test_a_rehearsal_is_never_judged_as_the_lessons_network(
    tmp_path: Path, split, monkeypatch, capsys
) -> None:
    """It is finished, after the few steps that `UNET_STEPS` asked for; the lesson wants more."""
    train(split, run_dir(tmp_path))
    monkeypatch.setattr(run_folder, "_lessons_configs", lambda: [replace(TINY, n_steps=6)])
    network = judging.choose_network(run_dir(tmp_path), lambda: None)  # stopped before it began
    assert not network.own and "goes on now" in capsys.readouterr().out
    cpu = torch.device("cpu")

    def go_on() -> None:
        config = run_status(run_dir(tmp_path)).lesson_config(cpu)
        fit(split["train"], split["val"], run_dir(tmp_path), config, device=cpu, progress=False)

    network = judging.choose_network(run_dir(tmp_path), go_on)
    assert network.own and network.whole and str(run_status(run_dir(tmp_path))) == "finished at step 6"


@pytest.mark.parametrize("how", ["quietly", "by an interrupt"])
def test_stopped_again_no_half_trained_network_is_kept(
    tmp_path: Path, split, monkeypatch, capsys, how: str
) -> None:
    train(split, run_dir(tmp_path), monkeypatch)

    def stopped() -> None:
        train(split, run_dir(tmp_path), monkeypatch)
        if how != "quietly":
            raise KeyboardInterrupt

    network = judging.choose_network(run_dir(tmp_path), stopped)
    out = capsys.readouterr().out
    assert "All is saved: run this cell again to go on." in out and "comes with the package instead" in out
    assert not network.own and not run_status(run_dir(tmp_path)).finished


def test_two_data_sets_never_share_a_folder(tmp_path: Path) -> None:
    one, other = (judging.choose_network(tmp_path / "runs" / "lesson" / name, never) for name in ("a", "b"))
    assert one.folder != other.folder and one.folder.name == "a"


# --------------------------------------------------------------------------------------- what may be judged
def test_own_network_is_tested_on_whom_it_has_not_seen(tmp_path: Path, folder: Path, split) -> None:
    train(split, run_dir(tmp_path))
    network = judging.choose_network(run_dir(tmp_path), never)
    moved = {"train": split["test"], "val": split["val"], "test": split["train"]}  # a split of another day
    parts, sentence = judging.may_judge(network, find_pairs(folder), moved)
    assert {name: len(part) for name, part in parts.items()} == {name: len(split[name]) for name in parts}
    assert set(parts["test"]) == set(split["test"]) and "were trained on" in sentence


def test_the_packages_network_keeps_the_split(tmp_path: Path, folder: Path, split) -> None:
    network = judging.borrowed(tmp_path)
    assert judging.may_judge(network, find_pairs(folder), split)[0] == split


def test_nothing_left_to_test_on_is_one_sentence(tmp_path: Path, folder: Path, split) -> None:
    train(split, run_dir(tmp_path))
    network = judging.choose_network(run_dir(tmp_path), never)
    seen = [*split["train"], *split["val"]]
    with pytest.raises(ValueError, match="patients whom the network has not seen, got none"):
        judging.may_judge(network, seen, split)


# ----------------------------------------------------------------------------------------------- judging
def test_validation_chooses_and_the_choice_travels_with_the_weights(tmp_path: Path, split) -> None:
    train(split, run_dir(tmp_path))
    network = judging.choose_network(run_dir(tmp_path), never)
    val = judging.judge(network, split["val"])
    again = judging.choose_network(run_dir(tmp_path), never)
    assert (again.threshold, again.min_pixels) == (val.threshold, val.min_pixels)
    test = judging.judge(network, split["test"], like=val.with_threshold(0.9))
    assert test.threshold == 0.9 == test.scores["threshold"] and test.min_pixels == val.min_pixels
    assert len(test.predictions) == len(split["test"]) == len(test.patients)


def test_the_packages_network_keeps_its_own_threshold(tmp_path: Path, split) -> None:
    network = judging.borrowed(tmp_path)
    assert judging.judge(network, split["val"]).threshold == network.threshold


def test_validation_without_a_stone_chooses_nothing(tmp_path: Path, split, capsys) -> None:
    train(split, run_dir(tmp_path))
    network = judging.choose_network(run_dir(tmp_path), never)
    for pair in split["val"]:
        mask = judging.data.load_mask(pair.mask_path)
        Image.fromarray(np.zeros(mask.shape, np.uint8)).save(pair.mask_path)
    assert judging.judge(network, split["val"]).threshold == network.threshold
    assert "nothing was chosen" in capsys.readouterr().out


def test_patients_come_worst_first_and_only_with_a_stone(tmp_path: Path, split) -> None:
    part = judging.judge(judging.borrowed(tmp_path), [*split["train"], *split["test"]])
    means = [scores.mean() for scores in part.dice_of.values()]
    assert means == sorted(means)
    n_with_stone = sum(image["n_sections"] > 0 for image in part.scores["per_image"])
    assert sum(map(len, part.dice_of.values())) == n_with_stone


def test_scores_are_written_into_the_folder_of_the_network(tmp_path: Path, split) -> None:
    network = judging.borrowed(tmp_path / "runs" / "pretrained" / "scans")
    part = judging.judge(network, split["test"])
    rivals: dict[str, Any] = {"nothing": {"dice_positive_mean": 0.0}}
    paths = judging.keep_scores(network.folder, part, rivals)
    assert [path.name for path in paths] == ["scores.json", "evaluation.json", "report.html"]
    scores = json.loads(paths[0].read_text())
    assert scores["n_images"] == len(split["test"]) and scores["nothing_dice_positive_mean"] == 0.0
    assert all(path.parent == network.folder and path.stat().st_size for path in paths)
