"""Every sub-command in this process, on a data set that trains in a second; Ctrl-C in a real one."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_data import write_tiny

from unet_helpers import plotting, training
from unet_helpers.checkpoint import load_checkpoint, load_state, save_state, store_threshold
from unet_helpers.command_line import main as cli
from unet_helpers.command_line.main import main
from unet_helpers.data import load_image, load_mask
from unet_helpers.engine import cache, resuming
from unet_helpers.evaluation import evaluate
from unet_helpers.training import TrainConfig

TRAIN = ("--epochs", "2", "--base-channels", "2", "--device", "cpu")
ROOT = Path(__file__).resolve().parents[1]
SCORES = {
    "n_images",
    "n_positive",
    "dice_positive_mean",
    "iou_positive_mean",
    "dice_pooled",
    "iou_pooled",
    "clean_negative_rate",
    "false_positives_per_image",
    "section_sensitivity",
    "threshold",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("cli") / "data")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    small = TrainConfig(n_steps=4, steps_per_epoch=2, batch_size=4, patch_size=32, learning_rate=1e-2)
    for module in (cli, resuming):
        monkeypatch.setattr(module, "default_config", lambda device: small)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            cli,
            "default_config",
            lambda device: TrainConfig(
                n_steps=4, steps_per_epoch=2, batch_size=4, patch_size=32, learning_rate=1e-2
            ),
        )
        assert call("train", data, "--out", folder, *TRAIN) == 0
    return folder


def call(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def masks_of_0_and_1(folder: Path) -> None:
    for path in folder.glob("*_mask.png"):
        Image.fromarray(load_mask(path).astype(np.uint8)).save(path)


def usage_error(*arguments: object) -> None:
    with pytest.raises(SystemExit) as exit_:
        call(*arguments)
    assert exit_.value.code == 2


# ------------------------------------------------------------------------------------------------ phantom
def test_phantom_writes_a_new_folder_only(tmp_path: Path, capsys):
    out = tmp_path / "phantom"
    assert call("phantom", out, "--patients", 1, "--slices", 2, "--size", 64, "--seed", 3) == 0
    assert len(list(out.glob("*_mask.png"))) == 2
    assert "2 image-mask pairs of 1 patients" in capsys.readouterr().out
    before = sorted(path.name for path in out.iterdir())
    assert call("phantom", out, "--patients", 1, "--slices", 2, "--size", 64) == 1
    assert "error: OUT must be a new folder" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == before
    assert call("phantom", tmp_path / "b", "--size", 7) == 1 and not (tmp_path / "b").exists()
    usage_error("phantom", tmp_path / "b", "--patients", 0)
    usage_error("phantom", tmp_path / "b", "--size", "large")


# -------------------------------------------------------------------------------------------------- check
def test_check_reports_and_exits_0_on_a_whole_data_set(data: Path, tmp_path: Path, capsys):
    assert call("check", data, "--json", tmp_path / "new" / "report.json") == 0
    report = json.loads((tmp_path / "new" / "report.json").read_text())
    assert (report["n_pairs"], report["n_groups"], report["broken"]) == (12, 6, [])
    out = capsys.readouterr().out
    assert "12 pairs in 6 groups, 12 with a stone" in out and "48x48: 6" in out and "0, 255: 12 masks" in out
    assert "0 broken files" in out


def test_check_exits_1_and_names_what_is_wrong(data: Path, tmp_path: Path, capsys):
    copy = shutil.copytree(data, tmp_path / "data")
    first, second, third = sorted(copy.glob("*.jpg"))[:3]
    first.write_bytes(first.read_bytes()[:200])
    second.rename(copy / "plain.jpg")
    masks_of_0_and_1(copy)
    assert call("check", copy) == 1
    out = capsys.readouterr().out
    assert "1 broken files" in out and first.name in out
    assert "1 images without mask\n  plain.jpg" in out
    assert f"1 masks without image\n  {second.stem}_mask.png" in out
    assert "NO mask has a pixel above 127" in out and "0, 1: 10 masks" in out


def test_check_of_nothing(tmp_path: Path, capsys):
    assert call("check", tmp_path / "nowhere") == 1
    assert 'error: data set must be "phantom", "kaggle" or an existing folder' in capsys.readouterr().err
    (tmp_path / "a.zip").write_text("no zip")
    assert call("check", tmp_path / "a.zip") == 1
    assert call("check", tmp_path) == 1
    assert "must hold image-mask pairs" in capsys.readouterr().err
    usage_error("check")


# -------------------------------------------------------------------------------------------------- train
def test_train_writes_the_run(run: Path, data: Path):
    names = sorted(path.name for path in run.iterdir())
    assert names == [
        "best.pt",
        "curves.png",
        "history.json",
        "last.pt",
        "run.lock",
        "snapshots.png",
        "split.json",
    ]
    split = json.loads((run / "split.json").read_text())
    assert sorted(sum(split.values(), [])) == sorted(path.name for path in data.glob("*.jpg"))
    assert {name: len(images) for name, images in split.items()} == {"train": 8, "val": 2, "test": 2}
    assert len(json.loads((run / "history.json").read_text())) == 2
    assert load_image(run / "curves.png").shape[1] > 300
    checkpoint = load_checkpoint(run / "best.pt")
    assert checkpoint.model.settings["base_channels"] == 2 and checkpoint.config["n_epochs"] == 2


def test_train_again_needs_resume_and_the_same_settings(run: Path, data: Path, tmp_path: Path, capsys):
    copy = shutil.copytree(run, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    assert call("train", data, "--out", copy, *TRAIN) == 1
    assert "Add --resume to continue it" in capsys.readouterr().err
    assert call("train", data, "--out", copy, *TRAIN, "--resume", "--seed", 1) == 1
    assert "seed 0 there, 1 here" in capsys.readouterr().err
    for option, value, said in (
        ("--epochs", 1, "n_epochs 2 there, 1 here, and a run can only be made"),
        ("--base-channels", 3, "base_channels 2 there, 3 here"),
    ):
        assert call("train", data, "--out", copy, option, value, "--resume", "--device", "cpu") == 1
        err = capsys.readouterr().err
        assert said in err and "Leave them away to continue, give another run folder" in err
    assert call("train", data, "--out", copy, "--minutes", 1, "--resume", "--device", "cpu") == 1
    assert "n_epochs 2 there, minutes 1.0 here" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    assert call("train", data, "--out", copy, *TRAIN, "--resume") == 0
    assert "finished at step 4" in capsys.readouterr().out
    assert load_checkpoint(copy / "best.pt").threshold == load_checkpoint(run / "best.pt").threshold


def test_resume_alone_keeps_every_setting_of_the_run(data: Path, tmp_path: Path, monkeypatch, capsys):
    folder, options = tmp_path / "run", ("--device", "cpu", "--seed", 3, "--base-channels", 2, "--epochs", 2)
    real = training.normalise
    monkeypatch.setattr(training, "normalise", lambda *a: (signal.raise_signal(signal.SIGINT), real(*a))[1])
    assert call("train", data, "--out", folder, *options) == 130
    monkeypatch.undo()  # with the settings of another device
    for module in (cli, resuming):
        monkeypatch.setattr(module, "default_config", lambda device: TrainConfig(n_steps=999, batch_size=9))
    assert call("train", data, "--out", folder, "--resume", "--device", "cpu") == 0
    assert "continued at step 1, 25 % of 2 epochs" in capsys.readouterr().out
    config = load_checkpoint(folder / "last.pt").config
    assert (config["seed"], config["n_epochs"], config["batch_size"]) == (3, 2, 4)
    assert call("train", data, "--out", folder, "--resume", "--device", "cpu", "--epochs", 3) == 0
    assert load_checkpoint(folder / "last.pt").step == 6 and "chosen on" in capsys.readouterr().out


def test_ctrl_c_before_the_first_validation_is_one_sentence(data: Path, tmp_path: Path, monkeypatch, capsys):
    folder, real = tmp_path / "run", training.normalise
    monkeypatch.setattr(training, "normalise", lambda *a: (signal.raise_signal(signal.SIGINT), real(*a))[1])
    assert call("train", data, "--out", folder, *TRAIN) == 130
    out, err = capsys.readouterr()
    assert (
        out.endswith(
            "Stopped at step 1; everything is saved. To go on, give the same command with --resume.\n"
        )
        and "nan" not in out
        and err == ""
    )
    assert sorted(path.name for path in folder.iterdir()) == ["last.pt", "run.lock", "split.json"]
    monkeypatch.setattr(training, "normalise", real)
    assert call("train", data, "--out", folder, *TRAIN, "--resume") == 0
    assert (folder / "curves.png").exists()


def test_ctrl_c_while_the_images_are_read_is_one_sentence(data: Path, tmp_path: Path, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cache, "load_hashed", stop)
    assert call("train", data, "--out", tmp_path / "run", *TRAIN) == 130
    out, err = capsys.readouterr()
    assert out.endswith("Stopped before the first step; there is nothing to save.\n") and err == ""
    monkeypatch.undo()
    assert call("train", data, "--out", tmp_path / "run", *TRAIN, "--resume") == 0


def test_what_cannot_be_written_is_told_before_anything_is_computed(
    run: Path, data: Path, tmp_path: Path, monkeypatch, capsys
):
    for name in ("open_dataset", "load_checkpoint", "choose_grey_threshold"):
        monkeypatch.setattr(cli, name, None)  # opening the data would fail
    (tmp_path / "file").write_text("")
    image = sorted(data.glob("*.jpg"))[0]
    evaluate = ("evaluate", data, "--checkpoint", run / "best.pt")
    for command, said in (
        (("train", data, "--out", tmp_path / "file" / "run", "--device", "cpu"), "A file stands"),
        (("predict", image, "--checkpoint", run / "best.pt", "--out", tmp_path / "file"), "A file stands"),
        ((*evaluate, "--json", tmp_path), "This is a folder"),
        ((*evaluate, "--report", tmp_path / ("n" * 260)), "Give a shorter name"),
        ((*evaluate, "--figure", tmp_path / "cases"), "must end in one of .*, got no ending"),
        ((*evaluate, "--figure", tmp_path / "cases.docx"), r"\.png, .*, got \.docx"),
        (("check", data, "--json", tmp_path / "file" / "a.json"), "A file stands where"),
    ):
        assert call(*command) == 1
        err = capsys.readouterr().err
        assert re.search(said, err) and err.count("\n") == 1 and "disk space" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_weights_that_are_not_finite_are_no_answer(run: Path, data: Path, tmp_path: Path, capsys):
    state = load_state(run / "best.pt")
    state["model"]["head.weight"][:] = math.nan
    save_state(tmp_path / "best.pt", state)
    image, out = sorted(data.glob("*.jpg"))[0], tmp_path / "out"
    assert call("evaluate", data, "--checkpoint", tmp_path / "best.pt") == 1
    assert call("predict", image, "--checkpoint", tmp_path / "best.pt", "--out", out) == 1
    assert capsys.readouterr().err.count("must hold finite weights, got NaN") == 2 and not out.exists()


def test_the_seed_reaches_split_and_weights(data: Path, tmp_path: Path):
    weights = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert call("train", data, "--out", tmp_path / name, *TRAIN, "--seed", seed) == 0
        weights.append(load_state(tmp_path / name / "last.pt")["model"]["head.weight"].tolist())
    assert weights[0] == weights[1] != weights[2]
    assert (tmp_path / "a" / "split.json").read_text() != (tmp_path / "c" / "split.json").read_text()


def test_train_refuses_masks_of_0_and_1_with_the_remedy(data: Path, tmp_path: Path, capsys):
    copy = shutil.copytree(data, tmp_path / "data")
    masks_of_0_and_1(copy)
    assert call("train", copy, "--out", tmp_path / "run", *TRAIN) == 1
    assert "If they hold 0 and 1, multiply them by 255" in capsys.readouterr().err


def test_train_usage(data: Path, tmp_path: Path, capsys):
    usage_error("train", data)
    usage_error("train", data, "--out", tmp_path / "a", "--minutes", 1, "--epochs", 1)
    assert call("train", data, "--out", tmp_path / "a", "--seed", -1) == 1
    assert "seed must be a whole number from 0 up, got -1" in capsys.readouterr().err
    for bad in ("0", "-1", "nan", "soon"):
        usage_error("train", data, "--out", tmp_path / "a", "--minutes", bad)
    assert "invalid positive float value: 'soon'" in capsys.readouterr().err
    assert call("train", data, "--out", tmp_path / "a", "--device", "warp") == 1
    assert not (tmp_path / "a").exists()


# ----------------------------------------------------------------------------------------------- evaluate
def test_evaluate_writes_scores_and_figure(run: Path, data: Path, tmp_path: Path, capsys):
    assert (
        call(
            "evaluate",
            data,
            "--checkpoint",
            run / "best.pt",
            "--device",
            "cpu",
            "--json",
            tmp_path / "a" / "scores.json",
            "--figure",
            tmp_path / "b" / "cases.png",
            "--report",
            tmp_path / "c" / "report.html",
        )
        == 0
    )
    scores = json.loads((tmp_path / "a" / "scores.json").read_text())
    assert set(scores) >= SCORES and scores["n_images"] == 2 and scores["split"] == "test"
    assert scores["clean_negative_rate"] is None  # no stone-free image: not a number, and JSON has no NaN
    assert load_image(tmp_path / "b" / "cases.png").shape[1] > 300
    assert scores["images"] == [p.name for p in sorted(data.glob("*.jpg")) if p.name in scores["images"]]
    assert scores["tta"] is False and scores["unit"] == "px" and scores["n_groups"] == 1
    assert scores["intervals"]["dice_positive_mean"] == [None, None]  # one exam cannot tell how sure it is
    (rival,) = scores["baselines"]
    assert re.fullmatch(r"grey >= \d+", rival) and len(scores["per_image"]) == 2
    out = capsys.readouterr().out
    assert re.search(r"^ +score +95 %, 1 groups +n +grey >= \d+$", out, re.M)
    assert re.search(rf"^Dice, mean over images with a stone +{scores['dice_positive_mean']:.3f} ", out, re.M)
    assert "sizes and distances are in pixels" in out
    page = (tmp_path / "c" / "report.html").read_text("utf-8")
    assert f"test part of {data.name}" in page and rival.replace(">", "&gt;") in page
    assert str(data) not in page


def test_evaluate_measures_in_millimetres_where_the_data_know_their_pixels(
    run: Path, data: Path, tmp_path: Path, capsys
):
    copy = shutil.copytree(data, tmp_path / "data")
    rows = [f"{path.stem},{0.5 + 0.25 * (n % 2)}" for n, path in enumerate(sorted(copy.glob("*.jpg")))]
    (copy / "slices.csv").write_text("\n".join(["stem,spacing_mm", *rows]))
    json_file = tmp_path / "scores.json"
    assert call("evaluate", copy, "--checkpoint", run / "best.pt", "--split", "all", "--json", json_file) == 0
    scores = json.loads(json_file.read_text())
    diameter = 2 * math.sqrt(30 / math.pi)  # every stone of the set has 5 x 6 pixels
    true = [section["diameter"] / diameter for section in scores["per_section"]]
    assert true == pytest.approx([0.5 + 0.25 * (n % 2) for n in range(12)])
    assert "surface Dice at 1 mm" in capsys.readouterr().out and "hd95_mm" in scores


def test_test_time_augmentation_is_an_option(run: Path, data: Path, tmp_path: Path, monkeypatch, capsys):
    views = []
    predict_all = cli.predict_all

    def watched(*arguments, n_views, **options):
        views.append(n_views)
        return predict_all(*arguments, n_views=n_views, **options)

    monkeypatch.setattr(cli, "predict_all", watched)
    for option in ((), ("--tta",)):
        assert (
            call(
                "evaluate",
                data,
                "--checkpoint",
                run / "best.pt",
                *option,
                "--json",
                tmp_path / f"{len(option)}.json",
            )
            == 0
        )
    plain, mirrored = (json.loads((tmp_path / f"{n}.json").read_text()) for n in (0, 1))
    assert views == [1, 4] and (plain["tta"], mirrored["tta"]) == (False, True)
    assert plain["threshold"] == mirrored["threshold"]  # the checkpoint's, chosen without
    assert plain["calibration"] != mirrored["calibration"]
    assert "mirrored four ways" in capsys.readouterr().out


@pytest.mark.parametrize(("split", "n_images"), [("train", 8), ("val", 2), ("all", 12)])
def test_evaluate_a_part(run: Path, data: Path, tmp_path: Path, split: str, n_images: int):
    assert (
        call(
            "evaluate",
            data,
            "--checkpoint",
            run / "best.pt",
            "--split",
            split,
            "--json",
            tmp_path / "scores.json",
        )
        == 0
    )
    assert json.loads((tmp_path / "scores.json").read_text())["n_images"] == n_images


def evaluated(run: Path, data: Path, json_file: Path, *options: object) -> dict:
    assert call("evaluate", data, "--checkpoint", run, "--device", "cpu", "--json", json_file, *options) == 0
    return json.loads(json_file.read_text())


def test_a_renamed_folder_has_the_same_test_images(run: Path, data: Path, tmp_path: Path, capsys):
    plain = evaluated(run / "best.pt", data, tmp_path / "a.json")
    renamed = evaluated(run / "best.pt", shutil.copytree(data, tmp_path / "p1" / "p2"), tmp_path / "b.json")
    assert plain == renamed and plain["n_images"] == 2
    found = "12 images, of which 8 were trained on and 2 chose the best weights; 2 are left to test on."
    assert found in capsys.readouterr().out and plain["seen"] == found


@pytest.mark.filterwarnings("always")
def test_images_of_the_training_under_other_names_are_no_test(run: Path, data: Path, tmp_path: Path, capsys):
    trained = json.loads((run / "split.json").read_text())["train"]
    for n, name in enumerate(trained[:3]):  # the same greys in another file
        Image.fromarray(load_image(data / name)).save(tmp_path / f"foreign{n}.png")
        shutil.copy(data / f"{Path(name).stem}_mask.png", tmp_path / f"foreign{n}_mask.png")
    for split, code in (("test", 1), ("val", 1), ("train", 0), ("all", 0)):
        assert call("evaluate", tmp_path, "--checkpoint", run / "best.pt", "--split", split) == code
    out, err = capsys.readouterr()
    assert out.count("3 images, of which 3 were trained on") == 2
    assert "--split must name a part that has images, got test with none. 3 images, of which 3 were" in err
    assert "note: 3 of 3 images name no exam" in err


def test_a_foreign_set_with_the_same_group_names_is_all_test(run: Path, tmp_path: Path, capsys):
    foreign = write_tiny(tmp_path / "foreign")  # the exams of the training, by name
    for path in foreign.glob("*.jpg"):
        Image.fromarray(load_image(path) // 2).save(path.with_suffix(".png"))
        path.unlink()
    assert evaluated(run / "best.pt", foreign, tmp_path / "scores.json")["n_images"] == 12
    out = capsys.readouterr().out
    assert "None of these images was seen in training: all 12 can test the network. But 5 of their " in out
    assert "The training images are not in this data: no grey threshold" in out


@pytest.mark.filterwarnings("ignore:16 of 16 images name no exam")
def test_groups_added_after_the_training_hide_no_leak(tmp_path: Path, capsys):
    data = write_tiny(tmp_path / "data", n_exams=8)
    for n, path in enumerate(sorted(data.glob("*.jpg"))):
        path.rename(data / f"s{n}.jpg")
        (data / f"{path.stem}_mask.png").rename(data / f"s{n}_mask.png")
    assert call("train", data, "--out", tmp_path / "run", *TRAIN) == 0
    parts = json.loads((tmp_path / "run" / "split.json").read_text())
    assert {name: len(images) for name, images in parts.items()} == {"train": 11, "val": 2, "test": 3}
    rows = [f"{Path(name).stem},patient{n % 3}" for part in parts.values() for n, name in enumerate(part)]
    (data / "groups.csv").write_text("\n".join(["stem,group", *rows]))
    assert call("evaluate", data, "--checkpoint", tmp_path / "run" / "best.pt") == 1
    found = (
        "16 images, of which 11 were trained on and 2 chose the best weights; 3 others share a group "
        "with them; none is left to test on."
    )
    assert found in capsys.readouterr().err


def test_evaluate_without_a_usable_checkpoint(data: Path, tmp_path: Path, capsys):
    assert call("evaluate", data, "--checkpoint", tmp_path / "best.pt") == 1
    assert "error: checkpoint must exist" in capsys.readouterr().err
    (tmp_path / "best.pt").write_text("no checkpoint")
    assert call("evaluate", data, "--checkpoint", tmp_path / "best.pt") == 1
    assert "must be a whole checkpoint" in capsys.readouterr().err
    usage_error("evaluate", data)
    usage_error("evaluate", data, "--checkpoint", tmp_path / "best.pt", "--split", "everything")


# -------------------------------------------------------------------------------------- cross-validation
FOLDS = (*TRAIN, "--folds", "3")


@pytest.fixture(scope="module")
def folds(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "folds"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            cli,
            "default_config",
            lambda device: TrainConfig(
                n_steps=4, steps_per_epoch=2, batch_size=4, patch_size=32, learning_rate=1e-2
            ),
        )
        assert call("train", data, "--out", folder, *FOLDS) == 0
    return folder


def split_of(run: Path) -> dict[str, list[str]]:
    return json.loads((run / "split.json").read_text())


def test_folds_test_every_image_once(folds: Path, data: Path):
    assert sorted(path.name for path in folds.iterdir()) == ["fold-1", "fold-2", "fold-3", "folds.json"]
    splits = [split_of(folds / f"fold-{n}") for n in (1, 2, 3)]
    tested = [name for split in splits for name in split["test"]]
    assert sorted(tested) == sorted(path.name for path in data.glob("*.jpg"))
    for n, split in enumerate(splits, start=1):
        assert sorted(sum(split.values(), [])) == sorted(tested) and len(split["test"]) == 4
        assert (folds / f"fold-{n}" / "curves.png").exists()


def test_evaluate_pools_the_folds_each_with_its_own_choice(
    folds: Path, data: Path, tmp_path: Path, monkeypatch, capsys
):
    run, given = shutil.copytree(folds, tmp_path / "run"), {}
    for n in (1, 2, 3):
        store_threshold(run / f"fold-{n}" / "best.pt", 0.1 * n, n)

    def watched(probabilities, masks, threshold, min_pixels, **options):
        given.update(threshold=threshold, min_pixels=min_pixels, groups=options["groups"])
        return evaluate(probabilities, masks, threshold, min_pixels, **options)

    monkeypatch.setattr(cli, "evaluate", watched)
    scores = evaluated(
        run,
        data,
        tmp_path / "scores.json",
        "--report",
        tmp_path / "report.html",
        "--figure",
        tmp_path / "cases.png",
    )
    owner = {name: n for n in (1, 2, 3) for name in split_of(run / f"fold-{n}")["test"]}
    assert sorted(scores["images"]) == sorted(owner) and scores["n_networks"] == 3
    assert given["threshold"] == pytest.approx([0.1 * owner[name] for name in scores["images"]])
    assert given["min_pixels"] == [owner[name] for name in scores["images"]]
    assert len(set(given["groups"])) == 6
    text = "12 of 12 images are scored, each by the one network of 3 that has seen neither it nor its group."
    out = capsys.readouterr().out
    assert text in out and "U-Net on the test parts of 3 folds, 12 images" in out and "grey >= " in out
    assert f"cross-validation in 3 folds of {data.name}" in (tmp_path / "report.html").read_text("utf-8")
    assert load_image(tmp_path / "cases.png").shape[1] > 300


def test_each_fold_scores_its_own_images_with_its_own_network(
    folds: Path, data: Path, tmp_path: Path, monkeypatch
):
    run, shown, predict_all = shutil.copytree(folds, tmp_path / "run"), [], cli.predict_all

    def watched(model, images, **options):
        shown.append(predict_all(model, images, **options))
        return shown[-1]

    monkeypatch.setattr(cli, "predict_all", watched)
    pooled = evaluated(run, data, tmp_path / "pooled.json")
    by_fold, shown[:] = list(shown), []
    for n in (1, 2, 3):
        alone = evaluated(run / f"fold-{n}" / "best.pt", data, tmp_path / "alone.json")
        assert alone["images"] == pooled["images"][4 * n - 4 : 4 * n]
        assert len(shown[-1]) == 4 and all(map(np.array_equal, shown[-1], by_fold[n - 1]))


def test_folds_go_on_where_they_stopped(folds: Path, data: Path, tmp_path: Path, monkeypatch, capsys):
    run, fit = tmp_path / "run", cli.fit

    def stopped(train, val, folder, config, *rest, **options):
        if folder.name == "fold-2":
            fit(
                train,
                val,
                folder,
                replace(config, n_epochs=2),
                *rest,
                **options,
                on_epoch=lambda _: os.kill(os.getpid(), signal.SIGINT),
            )
        return fit(train, val, folder, config, *rest, **options)

    monkeypatch.setattr(cli, "fit", stopped)
    assert call("train", data, "--out", run, *FOLDS) == 130
    assert "To go on, give the same command with --resume" in capsys.readouterr().out
    assert json.loads((run / "folds.json").read_text()) == {"n_folds": 3, "seed": 0, "finished": [1]}
    assert call("evaluate", data, "--checkpoint", run) == 1
    assert "must hold all 3 folds, got" in capsys.readouterr().err
    monkeypatch.setattr(cli, "fit", fit)
    before = (run / "fold-1" / "best.pt").stat().st_mtime_ns
    assert call("train", data, "--out", run, *FOLDS, "--resume") == 0
    assert (run / "fold-1" / "best.pt").stat().st_mtime_ns == before  # nor is its threshold chosen again
    for n in (1, 2, 3):
        mine, theirs = (load_state(folder / f"fold-{n}" / "last.pt") for folder in (run, folds))
        assert mine["step"] == theirs["step"]
        assert mine["model"]["head.weight"].tolist() == theirs["model"]["head.weight"].tolist()


def test_folds_that_were_not_begun_take_the_settings_of_the_first(data: Path, tmp_path: Path, monkeypatch):
    real = training.normalise
    with monkeypatch.context() as patch:
        patch.setattr(training, "normalise", lambda *a: (signal.raise_signal(signal.SIGINT), real(*a))[1])
        assert call("train", data, "--out", tmp_path, *TRAIN, "--folds", 3, "--seed", 5) == 130
    resume = ("train", data, "--out", tmp_path, "--folds", 3, "--resume", "--device", "cpu")
    for n_epochs, more in ((2, ()), (3, ("--epochs", 3))):
        assert call(*resume, *more) == 0
        for n in (1, 2, 3):
            state = load_state(tmp_path / f"fold-{n}" / "last.pt")
            assert state["model_settings"]["base_channels"] == 2
            assert (state["config"]["n_epochs"], state["config"]["seed"]) == (n_epochs, 5)
            assert state["step"] == 2 * n_epochs


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
    assert "to train, validate and test takes 3 folds" in capsys.readouterr().err


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


def test_minutes_are_for_each_fold(data: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "_train_one", lambda *_: 0)
    options = ("--folds", 4, "--minutes", 2.5, "--device", "cpu")
    assert call("train", data, "--out", tmp_path / "run", *options) == 0
    out = capsys.readouterr().out
    assert "4 networks are trained one after another for 2.5 minutes each, 10 in all." in out
    assert "fold 4 of 4" in out


# ---------------------------------------------------------------------------------------- folders as groups
def test_folders_are_groups_in_check_train_and_evaluate(data: Path, tmp_path: Path, capsys):
    for n, path in enumerate(sorted(data.glob("*.jpg"))):
        folder = tmp_path / "data" / f"p{n // 2}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / f"s{n}.jpg")
        shutil.copy(data / f"{path.stem}_mask.png", folder / f"s{n}_mask.png")
    option = ("--group-by", "folder")
    assert call("check", tmp_path / "data", *option) == 0
    out = capsys.readouterr().out
    assert "12 pairs in 6 groups" in out and "12 images are grouped by the folder that they lie in" in out
    assert call("train", tmp_path / "data", "--out", tmp_path / "run", *TRAIN, *option) == 0
    assert "train: 8 images of 4 groups" in capsys.readouterr().out
    scores = evaluated(tmp_path / "run" / "best.pt", tmp_path / "data", tmp_path / "a.json", *option)
    assert scores["n_groups"] == 1 and scores["n_images"] == 2
    usage_error("check", tmp_path / "data", "--group-by", "patient")


# ------------------------------------------------------------------------------------------------ predict
def test_predict_goes_on_after_a_broken_image(run: Path, data: Path, tmp_path: Path, capsys):
    good, other = sorted(data.glob("*.jpg"))[:2]
    broken = tmp_path / "broken.png"
    broken.write_text("no picture")
    out = tmp_path / "out"
    assert call("predict", good, broken, other, "--checkpoint", run / "best.pt", "--out", out) == 1
    captured = capsys.readouterr()
    assert "2 masks and overlays in" in captured.out and f"error: {broken} must be a readable" in captured.err
    names = sorted(path.name for path in out.iterdir())
    endings = ("mask", "overlay")
    assert names == sorted(f"{path.stem}_{what}.png" for path in (good, other) for what in endings)
    mask = load_image(out / f"{good.stem}_mask.png")
    assert mask.shape == (48, 48) and set(np.unique(mask)) <= {0, 255}


def test_predict_never_overwrites_a_mask(run: Path, data: Path, tmp_path: Path, capsys):
    copy = shutil.copytree(data, tmp_path / "data")
    image = sorted(copy.glob("*.jpg"))[0]
    truth = (copy / f"{image.stem}_mask.png").read_bytes()
    assert call("predict", image, "--checkpoint", run / "best.pt", "--out", copy) == 0
    out = capsys.readouterr().out
    assert "0 masks and overlays in" in out and "1 images skipped, because their masks stand there" in out
    assert (copy / f"{image.stem}_mask.png").read_bytes() == truth
    assert not (copy / f"{image.stem}_overlay.png").exists()


def test_predict_takes_names_that_matplotlib_would_read_as_formulas(run: Path, data: Path, tmp_path: Path):
    images = [tmp_path / name for name in ("a.png", "b_$1_$2.png", "c_$\\frac$.png")]
    for path in images:
        Image.fromarray(load_image(sorted(data.glob("*.jpg"))[0])).save(path)
    out = tmp_path / "out"
    assert call("predict", *images, "--checkpoint", run / "best.pt", "--out", out) == 0
    assert len(list(out.glob("*_mask.png"))) == len(list(out.glob("*_overlay.png"))) == 3


def test_an_overlay_that_cannot_be_drawn_loses_nothing(
    run: Path, data: Path, tmp_path: Path, monkeypatch, capsys
):
    images, real = sorted(data.glob("*.jpg"))[:3], plotting.overlay

    def fail(image, **options):
        if options["title"] == images[1].stem:
            raise RuntimeError("no glyph\nin 80 lines")
        return real(image, **options)

    monkeypatch.setattr(plotting, "overlay", fail)
    out, command = tmp_path / "out", ("--checkpoint", run / "best.pt", "--out", tmp_path / "out")
    assert call("predict", *images[:2], *command) == 1
    captured = capsys.readouterr()
    assert captured.err.endswith("its mask is written, but the overlay cannot be drawn: no glyph\n")
    assert "2 masks and overlays in" in captured.out
    assert len(list(out.glob("*_mask.png"))) == 2 and len(list(out.glob("*_overlay.png"))) == 1
    kept = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert call("predict", *images, *command) == 0  # the second call goes on
    said = capsys.readouterr().out
    assert "1 masks and overlays in" in said and "2 images skipped" in said
    assert {name: (out / name).stat().st_mtime_ns for name in kept} == kept and len(list(out.iterdir())) == 5


def test_predict_on_a_full_disk_says_so_once(run: Path, data: Path, tmp_path: Path, monkeypatch, capsys):
    def full(figure, path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(plotting, "save_figure", full)
    images = sorted(data.glob("*.jpg"))[:3]
    assert call("predict", *images, "--checkpoint", run / "best.pt", "--out", tmp_path) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "No space left on device. Free some disk space." in err


def test_predict_usage(run: Path, data: Path, tmp_path: Path, capsys):
    image = sorted(data.glob("*.jpg"))[0]
    usage_error("predict", tmp_path / "nowhere.png", "--checkpoint", run / "best.pt", "--out", tmp_path)
    usage_error("predict", run / "history.json", "--checkpoint", run / "best.pt", "--out", tmp_path)
    usage_error("predict", data, "--checkpoint", run / "best.pt", "--out", tmp_path)
    usage_error("predict", "--checkpoint", run / "best.pt", "--out", tmp_path)
    assert call("predict", image, image, "--checkpoint", run / "best.pt", "--out", tmp_path / "out") == 1
    assert "images must have different names" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------- the whole of it
def test_without_a_sub_command_the_pipeline_runs(data: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("UNET_DATA", str(data))
    monkeypatch.setenv("UNET_HOME", str(tmp_path))
    assert main([]) == 0
    run = tmp_path / "runs" / "pipeline"
    assert {path.name for path in run.iterdir()} >= {"best.pt", "last.pt", "scores.json", "examples.png"}
    assert set(json.loads((run / "scores.json").read_text())) >= SCORES
    out = capsys.readouterr().out
    assert "grey >= " in out and "U-Net on test data" in out
    assert main([]) == 0 and "finished" in capsys.readouterr().out


def test_errors_are_one_sentence_unless_a_traceback_is_asked_for(tmp_path: Path, monkeypatch, capsys):
    assert call("check", tmp_path / "nowhere") == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and "Traceback" not in captured.err + captured.out
    monkeypatch.setenv("UNET_TRACEBACK", "1")
    with pytest.raises(FileNotFoundError):
        call("check", tmp_path / "nowhere")


def test_ctrl_c_outside_training_is_130(monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "open_dataset", stop)
    assert main(["check", "phantom"]) == 130 and capsys.readouterr().err == "stopped\n"


@pytest.mark.parametrize("name", ["", "phantom", "check", "train", "evaluate", "predict"])
def test_help_explains_every_option(name: str, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([*name.split(), "--help"])
    text = capsys.readouterr().out
    assert exit_.value.code == 0 and "usage: python -m unet_helpers" in text
    for line in text.splitlines():
        assert not line.strip().startswith("--") or len(line.split()) > 1


# ------------------------------------------------------------------------------------------ real processes
def start(*arguments: object) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "unet_helpers", *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_module_can_be_run():
    out, err = start("--help").communicate(timeout=120)
    assert "sub-commands" in out and err == ""


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_in_a_real_process_saves_everything(data: Path, tmp_path: Path):
    run = tmp_path / "run"
    process = start("train", data, "--out", run, "--minutes", 5, "--base-channels", 1, "--device", "cpu")
    deadline = time.monotonic() + 200
    while not (run / "last.pt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "everything is saved" in out, err
    assert "To go on, give the same command with --resume" in out and "Traceback" not in out + err
    state = load_state(run / "last.pt")
    assert state["step"] >= 1 and state["config"]["minutes"] == 5
    assert (run / "curves.png").exists() and (run / "split.json").exists()
    assert call("evaluate", data, "--checkpoint", run / "best.pt") == 0
