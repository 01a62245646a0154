"""train --folds and evaluate on the folder of a cross-validation."""

import json
import re
import shutil
from dataclasses import replace
from itertools import chain
from pathlib import Path
from unittest.mock import patch

import pytest
from cli_tools import FOLDS, SMALL, TRAIN, call, evaluated, split_of, stop_in_the_first_step, usage_error
from known_network import FAINT, STONE, save_known, write_groups, write_slice

from unet_helpers.checkpoint import load_state
from unet_helpers.command_line import evaluate, train
from unet_helpers.data import find_pairs

pytest_plugins = ["cli_runs"]
pytestmark = pytest.mark.usefixtures("quick")


# -------------------------------------------------------------------------------------------------- train
def test_folds_test_every_image_once(folds: Path, data: Path):
    assert sorted(path.name for path in folds.iterdir()) == ["fold-1", "fold-2", "fold-3", "folds.json"]
    splits = [split_of(folds / f"fold-{n}") for n in (1, 2, 3)]
    tested = [name for split in splits for name in split["test"]]
    assert sorted(tested) == sorted(path.name for path in data.glob("*.jpg"))
    for n, split in enumerate(splits, start=1):
        assert sorted(chain.from_iterable(split.values())) == sorted(tested) and len(split["test"]) == 4
        assert (folds / f"fold-{n}" / "curves.png").exists()


def test_folds_go_on_where_they_stopped(folds: Path, data: Path, tmp_path: Path, monkeypatch, capsys):
    run, fit = tmp_path / "run", train.fit

    def stopped(train_pairs, val_pairs, folder, **options):
        with pytest.MonkeyPatch.context() as patched:
            if folder.name == "fold-2":
                stop_in_the_first_step(patched)
            return fit(train_pairs, val_pairs, folder, **options)

    monkeypatch.setattr(train, "fit", stopped)
    assert call("train", data, "--out", run, *FOLDS) == 130
    assert "To go on, give the same command with --resume" in capsys.readouterr().out
    assert json.loads((run / "folds.json").read_text()) == {"n_folds": 3, "seed": 0, "finished": [1]}
    assert call("evaluate", data, "--checkpoint", run) == 1
    assert "must hold all 3 folds, got" in capsys.readouterr().err
    monkeypatch.setattr(train, "fit", fit)
    before = (run / "fold-1" / "best.pt").stat().st_mtime_ns
    assert call("train", data, "--out", run, *FOLDS, "--resume") == 0
    assert (run / "fold-1" / "best.pt").stat().st_mtime_ns == before  # nor is its threshold chosen again
    for n in (1, 2, 3):
        mine, theirs = (load_state(folder / f"fold-{n}" / "last.pt") for folder in (run, folds))
        assert mine["step"] == theirs["step"]
        assert mine["model"]["head.weight"].tolist() == theirs["model"]["head.weight"].tolist()


def test_folds_that_were_not_begun_take_the_settings_of_the_first(data: Path, tmp_path: Path, monkeypatch):
    given = {}

    def fit(train_pairs, val_pairs, run_dir, *, config, model, **options):
        given[run_dir.name] = (config, model.settings["base_channels"])
        for name in ("best.pt", "last.pt"):
            save_known(run_dir / name)
        return load_state(run_dir / "last.pt")["history"]

    with monkeypatch.context() as stopped:
        stop_in_the_first_step(stopped)
        assert call("train", data, "--out", tmp_path, *TRAIN, "--folds", 3, "--seed", 5) == 130
    monkeypatch.setattr(train, "fit", fit)
    resume = ("train", data, "--out", tmp_path, "--folds", 3, "--resume", "--device", "cpu")
    begun = replace(SMALL, n_epochs=2, seed=5)
    monkeypatch.setattr(train, "default_config", lambda device: replace(SMALL, batch_size=9))
    assert call(*resume) == 0
    assert given == dict.fromkeys(("fold-1", "fold-2", "fold-3"), (begun, 2))


def test_a_run_keeps_its_folds(folds: Path, run: Path, data: Path, tmp_path: Path, capsys):
    copy = shutil.copytree(folds, tmp_path / "run")
    for options, message in (
        (FOLDS, "which holds a run. Add --resume"),
        ((*TRAIN, "--folds", "4", "--resume"), "with --folds 3 --seed 0. Give these, or another folder"),
        ((*FOLDS, "--seed", "1", "--resume"), "with --folds 3 --seed 0. Give these, or another folder"),
        ((*TRAIN, "--resume"), "with --folds 3 --seed 0. Give these, or another folder"),
    ):
        assert call("train", data, "--out", copy, *options) == 1
        assert message in capsys.readouterr().err
    assert call("train", data, "--out", run, *FOLDS, "--resume") == 1
    assert "which holds one without" in capsys.readouterr().err
    for bad in ("2", "0", "few"):
        usage_error("train", data, "--out", tmp_path / "new", "--folds", bad)
    assert "at least 3 (to train, validate and test), got 'few'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("length", "told"),
    [(("--minutes", 2.5), " for 2.5 minutes each, 10 in all."), (("--epochs", 2), "."), ((), ".")],
)
def test_minutes_are_for_each_fold(data: Path, tmp_path: Path, monkeypatch, capsys, length: tuple, told: str):
    monkeypatch.setattr(train, "_train_one", lambda *_: 0)
    assert call("train", data, "--out", tmp_path / "run", "--folds", 4, *length, "--device", "cpu") == 0
    out = capsys.readouterr().out
    assert f"4 networks are trained one after another{told}\n" in out and "fold 4 of 4" in out


# ----------------------------------------------------------------------------------------------- evaluate
@pytest.fixture
def known_folds(tmp_path: Path) -> tuple[Path, Path]:
    """Three folds on six slices of three patients; fold n was not shown patient n, and has its own choice.

    Every slice has a stone of 30 pixels, two bright pixels and a fainter square of 16. The three choices
    predict 30, 32 and 46 pixels.
    """
    folder, run = tmp_path / "slices", tmp_path / "run"
    square = (10, 10, 6, 5)
    for n in range(6):
        squares = {square: STONE, (2, 40, 1, 2): STONE, (30, 20, 4, 4): FAINT}
        write_slice(folder, f"p{n // 2 + 1}-{n % 2}", squares, square)
    write_groups(folder)
    pairs = find_pairs(folder)
    for n, (threshold, min_pixels) in enumerate(((0.95, 3), (0.95, 0), (0.5, 3)), start=1):
        others = [pair for pair in pairs if not pair.image_path.name.startswith(f"p{n}")]
        path = run / f"fold-{n}" / "best.pt"
        save_known(path, threshold, min_pixels, train=others[:2], val=others[2:])
    return folder, run


def test_each_fold_scores_its_own_images_with_its_own_choice(known_folds, tmp_path: Path, capsys):
    folder, run = known_folds
    files = ("--report", tmp_path / "report.html", "--figure", tmp_path / "cases.png")
    with patch.object(evaluate.plotting, "contact_sheet", wraps=evaluate.plotting.contact_sheet) as drawn:
        scores = evaluated(run, folder, tmp_path / "scores.json", *files)
    assert scores["images"] == [f"p{n}-{k}.png" for n in (1, 2, 3) for k in (0, 1)]
    assert scores["n_networks"] == 3 and scores["n_groups"] == 3
    assert scores["threshold"] == [0.95] * 4 + [0.5] * 2 and scores["min_pixels"] == [3, 3, 0, 0, 3, 3]
    shares = [2 * 30 / (30 + n_predicted) for n_predicted in (30, 30, 32, 32, 46, 46)]
    assert [image["dice"] for image in scores["per_image"]] == pytest.approx(shares)
    predicted = [int(mask.sum()) for mask in drawn.call_args.kwargs["predictions"]]
    assert sorted(predicted) == [30, 30, 32, 32, 46, 46]
    out = capsys.readouterr().out
    assert "6 of 6 images are scored, each by the one network of 3 that has seen neither it nor its" in out
    assert "U-Net on the test parts of 3 folds, 6 images" in out and "grey >= " in out
    title = "Kidney stone segmentation: cross-validation in 3 folds of slices"
    assert title in (tmp_path / "report.html").read_text("utf-8")


def test_each_network_sees_its_own_images(known_folds, tmp_path: Path):
    folder, run = known_folds
    with patch.object(evaluate, "predict_all", wraps=evaluate.predict_all) as predicted:
        evaluated(run, folder, tmp_path / "scores.json")
    assert [len(call.args[1]) for call in predicted.call_args_list] == [2, 2, 2]
    assert len({id(call.args[0]) for call in predicted.call_args_list}) == 3


def test_evaluate_refuses_folds_that_are_not_whole(folds: Path, data: Path, tmp_path: Path, capsys):
    copy = shutil.copytree(folds, tmp_path / "run")
    shutil.rmtree(copy / "fold-3")
    assert call("evaluate", data, "--checkpoint", copy) == 1
    assert re.search("must hold all 3 folds, got .* where fold 3 is missing", capsys.readouterr().err)
    (copy / "fold-2").rename(copy / "fold-3")
    (copy / "folds.json").unlink()
    assert call("evaluate", data, "--checkpoint", copy) == 1
    assert "where fold 2 is missing" in capsys.readouterr().err
    assert call("evaluate", data, "--checkpoint", tmp_path) == 1
    assert "or the folder of a run with --folds, got" in capsys.readouterr().err
    assert call("evaluate", data, "--checkpoint", folds, "--split", "train") == 1
    assert "--split must be test for a cross-validation, got train" in capsys.readouterr().err
