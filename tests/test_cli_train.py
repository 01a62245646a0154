"""train: what it writes, which settings it takes, how it stops, goes on and chooses a threshold."""

import json
import re
import shutil
from itertools import chain
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from cli_tools import TRAIN, call, masks_of_0_and_1, split_of, stop_in_the_first_step, usage_error
from known_network import DIM, STONE, save_known, write_groups, write_slice
from PIL import Image

from unet_helpers.checkpoint import load_checkpoint, load_state
from unet_helpers.command_line import train
from unet_helpers.command_line.parser import make_parser
from unet_helpers.data import find_pairs, load_image, split_by_group, stone_strata
from unet_helpers.engine import figures
from unet_helpers.training import TrainConfig

pytest_plugins = ["cli_runs"]
pytestmark = pytest.mark.usefixtures("quick")


# ---------------------------------------------------------------------------------------------- the run
def test_train_writes_the_run(run: Path, data: Path):
    names = {"best.pt", "curves.png", "history.json", "last.pt", "run.lock", "snapshots.png", "split.json"}
    assert {path.name for path in run.iterdir()} == names
    split = split_of(run)
    assert sorted(chain.from_iterable(split.values())) == sorted(path.name for path in data.glob("*.jpg"))
    assert {name: len(images) for name, images in split.items()} == {"train": 8, "val": 2, "test": 2}
    assert len(json.loads((run / "history.json").read_text())) == 2
    assert load_image(run / "curves.png").shape[1] > 300
    checkpoint = load_checkpoint(run / "best.pt")
    assert checkpoint.model.settings["base_channels"] == 2 and checkpoint.config["n_epochs"] == 2


def fitted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `train` get the network of known answers instead of training one."""

    def fit(train_pairs, val_pairs, run_dir, **options):
        for name in ("best.pt", "last.pt"):
            save_known(run_dir / name, train=train_pairs, val=val_pairs)
        return load_state(run_dir / "last.pt")["history"]

    monkeypatch.setattr(train, "fit", fit)


def test_the_threshold_is_chosen_on_the_validation_part(tmp_path: Path, monkeypatch, capsys):
    folder, stone = tmp_path / "data", (10, 10, 6, 5)
    for n in range(20):
        write_slice(folder, f"p{n // 2}-{n % 2}", {stone: DIM}, stone)
    write_groups(folder)
    pairs = find_pairs(folder)
    parts = split_by_group(pairs, 0, stone_strata(pairs))
    # in training any threshold up to 0.7 is perfect; in validation it must be above what a large square
    # of DIM gets, 0.73, and two bright pixels are no stone
    for pair in parts["val"]:
        squares = {stone: STONE, (30, 5, 10, 20): DIM, (2, 40, 1, 2): STONE}
        write_slice(folder, pair.image_path.stem, squares, stone)
    fitted(folder, monkeypatch)
    run = tmp_path / "run"
    assert call("train", folder, "--out", run, "--device", "cpu") == 0
    checkpoint = load_checkpoint(run / "best.pt")
    assert (checkpoint.threshold, checkpoint.min_pixels) == (0.75, 3)
    told = f"threshold 0.75 and at least 3 pixels a stone, chosen on {len(parts['val'])} validation images"
    assert told in capsys.readouterr().out
    assert split_of(run) == {name: [p.image_path.name for p in part] for name, part in parts.items()}


def test_the_curves_are_those_of_the_run(data: Path, tmp_path: Path, monkeypatch):
    fitted(data, monkeypatch)
    with (
        patch.object(train.plotting, "plot_history", wraps=train.plotting.plot_history) as drawn,
        patch.object(figures, "save_figure", wraps=figures.save_figure) as saved,
    ):
        assert call("train", data, "--out", tmp_path, "--device", "cpu") == 0
    assert drawn.call_args.args == (load_state(tmp_path / "last.pt")["history"],)
    assert [call.args[1] for call in saved.call_args_list] == [tmp_path / "curves.png"]


# ----------------------------------------------------------------------------------------- its settings
@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ("", {}),
        (
            "--batch-size 3 --patch-size 64 --learning-rate 1e-3 --seed 5 --compile off",
            {"batch_size": 3, "patch_size": 64, "learning_rate": 1e-3, "seed": 5, "compile": "off"},
        ),
        ("--steps 7", {"n_steps": 7}),
        ("--epochs 3", {"n_epochs": 3}),
        ("--minutes 0.5", {"minutes": 0.5}),
    ],
)
def test_options_become_settings(words: str, changed: dict):
    args = make_parser().parse_args(["train", "DATA", "--out", "RUN", *words.split()])
    own = TrainConfig(n_steps=99, patch_size=32)
    expected = TrainConfig(**{"n_steps": 99, "patch_size": 32, **changed})
    assert train._config(args, own) == expected


def test_settings_reach_the_run_and_a_resumed_run_keeps_them(data: Path, tmp_path: Path, capsys):
    run, options = tmp_path / "run", ("--batch-size", 2, "--patch-size", 24, "--learning-rate", 0.002)
    words = ("train", data, "--out", run, "--device", "cpu", "--base-channels", 1)
    assert call(*words, *options, "--steps", 2) == 0
    assert call("train", data, "--out", run, "--device", "cpu", "--resume", "--steps", 3) == 0
    config = load_checkpoint(run / "last.pt").config
    wanted = {"batch_size": 2, "patch_size": 24, "learning_rate": 0.002, "n_steps": 3, "n_epochs": None}
    assert {name: config[name] for name in wanted} == wanted
    assert load_state(run / "last.pt")["step"] == 3
    assert call("train", data, "--out", run, "--device", "cpu", "--resume", "--learning-rate", 0.1) == 1
    assert "--learning-rate 0.002 there, 0.1 here" in capsys.readouterr().err


def test_the_seed_reaches_split_and_weights(data: Path, tmp_path: Path):
    weights = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        words = (*TRAIN[2:], "--steps", 1, "--seed", seed)
        assert call("train", data, "--out", tmp_path / name, *words) == 0
        weights.append(load_state(tmp_path / name / "last.pt")["model"]["head.weight"].tolist())
    assert weights[0] == weights[1] != weights[2]
    assert split_of(tmp_path / "a") == split_of(tmp_path / "b") != split_of(tmp_path / "c")


# ------------------------------------------------------------------------------------ stop, and go on
def test_train_again_needs_resume_and_the_same_settings(run: Path, data: Path, tmp_path: Path, capsys):
    copy = shutil.copytree(run, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    assert call("train", data, "--out", copy, *TRAIN) == 1
    assert "Add --resume to continue it" in capsys.readouterr().err
    for words, said in (
        ((*TRAIN, "--seed", 1), "--seed 0 there, 1 here"),
        (("--epochs", 1), "--epochs 2 there, 1 here, and a run can only be made"),
        (("--base-channels", 3), "--base-channels 2 there, 3 here"),
        (("--minutes", 1), "--epochs 2 there, minutes 1.0 here"),
        (("--steps", 9), "--epochs 2 there, --steps 9 here"),
    ):
        assert call("train", data, "--out", copy, *words, "--resume", "--device", "cpu") == 1
        err = capsys.readouterr().err
        assert said in err and "give another --out" in err and "resume=False" not in err
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    assert call("train", data, "--out", copy, *TRAIN, "--resume") == 0
    assert "finished at step 4" in capsys.readouterr().out
    assert load_checkpoint(copy / "best.pt").threshold == load_checkpoint(run / "best.pt").threshold


def test_resume_alone_keeps_every_setting_of_the_run(data: Path, tmp_path: Path, monkeypatch, capsys):
    folder, options = tmp_path / "run", ("--device", "cpu", "--seed", 3, "--base-channels", 2, "--epochs", 2)
    with monkeypatch.context() as stopped:
        stop_in_the_first_step(stopped)
        assert call("train", data, "--out", folder, *options) == 130
    # on another device, with settings of its own
    monkeypatch.setattr(train, "default_config", lambda device: TrainConfig(n_steps=999, batch_size=9))
    assert call("train", data, "--out", folder, "--resume", "--device", "cpu") == 0
    assert "continued at step 1, 25 % of 2 epochs" in capsys.readouterr().out
    config = load_checkpoint(folder / "last.pt").config
    assert (config["seed"], config["n_epochs"], config["batch_size"]) == (3, 2, 4)
    assert call("train", data, "--out", folder, "--resume", "--device", "cpu", "--epochs", 3) == 0
    assert load_checkpoint(folder / "last.pt").step == 6 and "chosen on" in capsys.readouterr().out


def test_ctrl_c_before_the_first_validation_is_one_sentence(data: Path, tmp_path: Path, monkeypatch, capsys):
    folder = tmp_path / "run"
    with monkeypatch.context() as stopped:
        stop_in_the_first_step(stopped)
        assert call("train", data, "--out", folder, *TRAIN) == 130
    out, err = capsys.readouterr()
    assert out.endswith(
        "Stopped at step 1, before the first validation; everything is saved. To go on, give the same "
        "command with --resume.\n"
    )
    assert "nan" not in out and err == ""
    assert sorted(path.name for path in folder.iterdir()) == ["last.pt", "run.lock", "split.json"]
    assert call("train", data, "--out", folder, *TRAIN, "--resume") == 0
    assert (folder / "curves.png").exists()


def test_ctrl_c_while_the_images_are_read_is_one_sentence(data: Path, tmp_path: Path, monkeypatch, capsys):
    real = train.fit

    def fit(*given, **options):
        with patch.object(Image, "open", side_effect=KeyboardInterrupt):
            return real(*given, **options)

    monkeypatch.setattr(train, "fit", fit)
    assert call("train", data, "--out", tmp_path / "run", *TRAIN) == 130
    out, err = capsys.readouterr()
    assert out.endswith("Stopped before the first step; there is nothing to save.\n") and err == ""
    assert not (tmp_path / "run" / "last.pt").exists()


# ------------------------------------------------------------------------------------------ what it refuses
def test_a_folder_that_cannot_be_written_is_told_before_the_data_are_opened(
    data: Path, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.setattr(train, "open_dataset", None)  # to open the data would fail
    (tmp_path / "file").write_text("")
    assert call("train", data, "--out", tmp_path / "file" / "run", "--device", "cpu") == 1
    err = capsys.readouterr().err
    assert re.search("A file stands", err) and err.count("\n") == 1 and "disk space" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.filterwarnings("always:The object is 1")
def test_train_reads_masks_of_0_and_1_as_those_of_0_and_255(data: Path, tmp_path: Path, capsys):
    copy = shutil.copytree(data, tmp_path / "data")
    masks_of_0_and_1(copy)
    runs = tmp_path / "run", tmp_path / "copy"
    for source, run in zip((data, copy), runs, strict=True):
        assert call("train", source, "--out", run, *TRAIN) == 0
    assert "note: The object is 1; background is 0." in capsys.readouterr().err
    first, second = (load_checkpoint(run / "best.pt").model.state_dict() for run in runs)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_train_usage(data: Path, tmp_path: Path, capsys):
    usage_error("train", data)
    for two in (
        ("--minutes", 1, "--epochs", 1),
        ("--steps", 9, "--epochs", 1),
        ("--minutes", 1, "--steps", 9),
    ):
        usage_error("train", data, "--out", tmp_path / "a", *two)
        assert "not allowed with argument" in capsys.readouterr().err
    assert call("train", data, "--out", tmp_path / "a", "--seed", -1) == 1
    assert "error: --seed must be a whole number from 0 up, got -1" in capsys.readouterr().err
    for bad in ("0", "-1", "nan", "inf", "soon"):
        usage_error("train", data, "--out", tmp_path / "a", "--minutes", bad)
        assert f"argument --minutes: must be a positive number, got '{bad}'" in capsys.readouterr().err
    for option in ("--batch-size", "--patch-size", "--steps", "--epochs", "--base-channels"):
        for bad in ("0", "-1", "1.5", "many"):
            usage_error("train", data, "--out", tmp_path / "a", option, bad)
            assert f"argument {option}: must be a whole number of at least 1" in capsys.readouterr().err
    assert call("train", data, "--out", tmp_path / "a", "--device", "warp") == 1
    assert not (tmp_path / "a").exists()
