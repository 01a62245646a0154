"""evaluate: the scores, the figure and the report of a network whose answers are known."""

import math
import re
import shutil
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from cli_tools import call, evaluated, split_of, usage_error
from known_network import DIM, FAINT, STONE, save_known, write_groups, write_slice
from PIL import Image
from tiny_data import write_tiny

from unet_helpers.checkpoint import load_state, save_state
from unet_helpers.command_line import evaluate
from unet_helpers.data import find_pairs, load_image, load_pair

pytest_plugins = ["cli_runs"]

SQUARE = (10, 10, 6, 5)  # row, column, height, width
SPECK = (2, 40, 1, 2)
LOOKALIKE = (30, 20, 4, 4)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight slices of four patients: a stone of 30 pixels, two bright pixels, and a fainter square of 16."""
    folder = tmp_path_factory.mktemp("known") / "slices"
    for n in range(8):
        squares = {SQUARE: STONE, SPECK: STONE, LOOKALIKE: FAINT}
        write_slice(folder, f"p{n // 2}-{n % 2}", squares, SQUARE)
    write_groups(folder)
    return folder


def pairs_of(folder: Path, *patients: str) -> list:
    return [pair for pair in find_pairs(folder) if pair.image_path.name.startswith(patients)]


# ---------------------------------------------------------------------------------------------- the scores
@pytest.mark.parametrize(
    ("threshold", "min_pixels", "false_alarms", "n_predicted"),
    [(0.95, 3, 0, 30), (0.95, 0, 1, 32), (0.5, 3, 1, 46), (0.5, 0, 2, 48)],
)
def test_the_checkpoint_says_what_counts_as_stone(
    known: Path, tmp_path: Path, threshold: float, min_pixels: int, false_alarms: int, n_predicted: int
):
    checkpoint = save_known(tmp_path / "best.pt", threshold, min_pixels)
    scores = evaluated(checkpoint, known, tmp_path / "scores.json")
    assert (scores["threshold"], scores["min_pixels"]) == (threshold, min_pixels)
    assert scores["false_positives_per_image"] == false_alarms and scores["section_sensitivity"] == 1
    assert scores["dice_positive_mean"] == pytest.approx(2 * 30 / (30 + n_predicted))


@pytest.mark.parametrize(
    ("max_size", "found", "sentence"),
    [(None, 1.0, "resolution of its file"), (100, 0.0, "above 100 pixels are shrunk")],
)
def test_large_images_are_scored_at_the_scale_of_the_training(
    tmp_path: Path, capsys, max_size: int | None, found: float, sentence: str
):
    """A stone of three pixels among 2,000 is there at the resolution of the file alone."""
    stone = (20, 600, 1, 3)
    write_slice(tmp_path / "data", "p0-0", {stone: STONE}, stone, size=(64, 2000))
    write_groups(tmp_path / "data")
    checkpoint = save_known(tmp_path / "best.pt", 0.95, 0)
    state = load_state(checkpoint)
    save_state(checkpoint, {**state, "config": {**state["config"], "max_size": max_size}})
    assert evaluated(checkpoint, tmp_path / "data", tmp_path / "s.json")["section_sensitivity"] == found
    assert sentence in capsys.readouterr().out


def test_whole_files_are_scored_and_not_shrunken_ones(tmp_path: Path):
    stone = (20, 600, 20, 20)
    write_slice(tmp_path / "data", "p0-0", {stone: STONE}, stone, size=(64, 1024))
    write_groups(tmp_path / "data")
    scores = evaluated(save_known(tmp_path / "best.pt"), tmp_path / "data", tmp_path / "scores.json")
    (section,) = scores["per_section"]
    assert section["diameter"] == pytest.approx(2 * math.sqrt(400 / math.pi))  # 400 pixels, not 100
    assert (round(section["row"], 1), round(section["column"], 1)) == (29.5, 609.5)
    assert scores["dice_positive_mean"] > 0.9


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", ["p0-0", "p0-1", "p1-0", "p1-1"]),
        ("val", ["p2-0", "p2-1"]),
        ("test", ["p3-0", "p3-1"]),
        ("all", [f"p{n // 2}-{n % 2}" for n in range(8)]),
    ],
)
def test_a_part_is_scored(known: Path, tmp_path: Path, split: str, names: list[str], capsys):
    checkpoint = save_known(
        tmp_path / "best.pt", train=pairs_of(known, "p0", "p1"), val=pairs_of(known, "p2")
    )
    scores = evaluated(checkpoint, known, tmp_path / "scores.json", "--split", split)
    assert scores["images"] == [f"{name}.png" for name in names] and scores["split"] == split
    assert scores["n_images"] == len(names) and scores["n_networks"] == 1
    out = capsys.readouterr().out
    assert f"U-Net on {split} data, {len(names)} images\n" in out
    found = "8 images, of which 4 were trained on and 2 chose the best weights; 2 are left to test on."
    assert found in out and scores["seen"] == found


def test_the_grey_threshold_is_chosen_on_the_training_part(tmp_path: Path, capsys):
    folder = tmp_path / "data"
    write_slice(folder, "p0-0", {SQUARE: DIM, LOOKALIKE: DIM - 4}, SQUARE)  # from DIM - 3 up it is perfect
    write_slice(folder, "p1-0", {SQUARE: STONE, LOOKALIKE: DIM - 3}, SQUARE)
    write_groups(folder)
    checkpoint = save_known(tmp_path / "best.pt", train=pairs_of(folder, "p0"))
    scores = evaluated(checkpoint, folder, tmp_path / "scores.json")
    name = f"grey >= {DIM - 3}"
    assert scores["images"] == ["p1-0.png"] and list(scores["baselines"]) == [name]
    assert scores["baselines"][name]["dice_positive_mean"] == pytest.approx(2 * 30 / (30 + 46))
    assert re.search(rf"^ +score +95 %, 1 groups +n +{name}$", capsys.readouterr().out, re.MULTILINE)


def test_millimetres_where_the_data_know_their_pixels(known: Path, tmp_path: Path, capsys):
    copy = shutil.copytree(known, tmp_path / "data")
    rows = [f"p{n // 2}-{n % 2},{0.5 + 0.25 * (n % 2)}" for n in range(8)]
    (copy / "slices.csv").write_text("\n".join(["stem,spacing_mm", *rows]))
    scores = evaluated(save_known(tmp_path / "best.pt", 0.95, 3), copy, tmp_path / "scores.json")
    diameter = 2 * math.sqrt(30 / math.pi)  # every stone of the set has 5 x 6 pixels
    true = [section["diameter"] / diameter for section in scores["per_section"]]
    assert true == pytest.approx([0.5 + 0.25 * (n % 2) for n in range(8)])
    assert scores["unit"] == "mm" and scores["hd95_mm"] == 0 and scores["n_groups"] == 4
    assert "surface Dice at 1 mm" in capsys.readouterr().out


def test_stones_are_counted_where_the_data_know_them(known: Path, tmp_path: Path):
    copy = shutil.copytree(known, tmp_path / "data")
    rows = [f"p{n // 2}-{n % 2},stone{n // 2},12.5,12,4.2" for n in range(8)]  # one stone a patient
    (copy / "stones.csv").write_text("\n".join(["stem,stone,row,column,diameter_mm", *rows]))
    scores = evaluated(save_known(tmp_path / "best.pt"), copy, tmp_path / "scores.json")
    assert (scores["n_stones"], scores["n_sections"], scores["stone_sensitivity"]) == (4, 8, 1)


def test_scores_are_numbers_that_json_knows(known: Path, tmp_path: Path, capsys):
    scores = evaluated(save_known(tmp_path / "best.pt"), known, tmp_path / "new" / "scores.json")
    assert scores["clean_negative_rate"] is None  # no stone-free image: no number, and JSON has no NaN
    assert scores["unit"] == "px" and scores["tta"] is False and len(scores["per_image"]) == 8
    assert "sizes and distances are in pixels" in capsys.readouterr().out


def test_test_time_augmentation_is_an_option(known: Path, tmp_path: Path, capsys):
    checkpoint = save_known(tmp_path / "best.pt")
    with patch.object(evaluate, "predict_all", wraps=evaluate.predict_all) as predicted:
        plain = evaluated(checkpoint, known, tmp_path / "a.json")
        mirrored = evaluated(checkpoint, known, tmp_path / "b.json", "--tta")
    assert [call.kwargs["n_views"] for call in predicted.call_args_list] == [1, 4]
    assert (plain["tta"], mirrored["tta"]) == (False, True)
    assert plain["threshold"] == mirrored["threshold"]  # the checkpoint's, chosen without
    assert capsys.readouterr().out.count("mirrored four ways") == 1


# --------------------------------------------------------------------------------------- figure and report
@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifteen slices, number n with a stone of 30 pixels and 10 n others as bright; two without a stone."""
    folder = tmp_path_factory.mktemp("graded") / "slices"
    for n in range(15):
        write_slice(folder, f"p{n:02}-0", {SQUARE: STONE, (16, 10, 2 * n, 5): STONE}, SQUARE)
    for n in (15, 16):
        write_slice(folder, f"p{n:02}-0", {}, None)
    write_groups(folder)
    return folder


def test_the_figure_shows_worst_middle_and_best(graded: Path, tmp_path: Path):
    checkpoint = save_known(tmp_path / "best.pt", 0.95, 3)
    figure = tmp_path / "new" / "cases.png"
    with patch.object(evaluate.plotting, "contact_sheet", wraps=evaluate.plotting.contact_sheet) as drawn:
        assert call("evaluate", graded, "--checkpoint", checkpoint, "--figure", figure) == 0
    (images,), masks = drawn.call_args.args, drawn.call_args.kwargs
    pairs = pairs_of(graded, "p")
    shown = [next(n for n, p in enumerate(pairs) if np.array_equal(load_pair(p)[0], i)) for i in images]
    assert shown == [14, 13, 12, 11, 9, 8, 7, 6, 3, 2, 1, 0]
    for n, image, target, prediction in zip(
        shown, images, masks["targets"], masks["predictions"], strict=True
    ):
        assert target.sum() == 30 and np.array_equal(prediction, image == STONE), n
    assert load_image(figure).shape[1] > 300


@pytest.mark.filterwarnings("ignore:All masks are empty")
def test_the_figure_of_stone_free_images_shows_the_first(graded: Path, tmp_path: Path):
    checkpoint = save_known(tmp_path / "best.pt", train=pairs_of(graded, "p0", "p10", "p11", "p12"))
    with patch.object(evaluate.plotting, "contact_sheet", wraps=evaluate.plotting.contact_sheet) as drawn:
        copy = tmp_path / "free"
        for n in (15, 16):
            write_slice(copy, f"p{n}-0", {SQUARE: FAINT}, None)
        write_groups(copy)
        assert call("evaluate", copy, "--checkpoint", checkpoint, "--figure", tmp_path / "cases.png") == 0
    assert len(drawn.call_args.args[0]) == 2


def test_the_report_says_what_it_is_about(known: Path, tmp_path: Path):
    checkpoint = save_known(tmp_path / "best.pt", train=pairs_of(known, "p0"))
    report = tmp_path / "new" / "report.html"
    assert call("evaluate", known, "--checkpoint", checkpoint, "--report", report) == 0
    page, title = report.read_text("utf-8"), "Kidney stone segmentation: test part of slices"
    assert re.search(r"<title>\s*(.*?)\s*</title>", page)[1] == title and page.count(title) >= 2
    assert "grey &gt;= " in page and str(known) not in page  # a report may be given away


@pytest.mark.parametrize(("split", "part"), [("train", "train part"), ("all", "all images")])
def test_the_title_of_the_report_names_the_part(known: Path, tmp_path: Path, split: str, part: str):
    checkpoint = save_known(tmp_path / "best.pt", train=pairs_of(known, "p0"))
    words = ("--checkpoint", checkpoint, "--split", split, "--report", tmp_path / "report.html")
    with patch.object(evaluate, "write_report") as written:
        assert call("evaluate", known, *words) == 0
    assert written.call_args.kwargs["title"] == f"Kidney stone segmentation: {part} of slices"


# ------------------------------------------------------------------------------------- what it was trained on
def test_a_renamed_folder_has_the_same_test_images(known: Path, tmp_path: Path):
    checkpoint = save_known(tmp_path / "best.pt", train=pairs_of(known, "p0", "p1"))
    plain = evaluated(checkpoint, known, tmp_path / "a.json")
    renamed = evaluated(checkpoint, shutil.copytree(known, tmp_path / "p1" / "p2"), tmp_path / "b.json")
    assert plain == renamed and plain["n_images"] == 4


@pytest.mark.filterwarnings("always")
def test_images_of_the_training_under_other_names_are_no_test(run: Path, data: Path, tmp_path: Path, capsys):
    for n, name in enumerate(split_of(run)["train"][:3]):  # the same greys in another file
        Image.fromarray(load_image(data / name)).save(tmp_path / f"foreign{n}.png")
        shutil.copy(data / f"{Path(name).stem}_mask.png", tmp_path / f"foreign{n}_mask.png")
    for split, code in (("test", 1), ("val", 1), ("train", 0), ("all", 0)):
        assert call("evaluate", tmp_path, "--checkpoint", run / "best.pt", "--split", split) == code
    out, err = capsys.readouterr()
    assert out.count("3 images, of which 3 were trained on") == 2
    assert "--split must name a part that has images, got test with none. 3 images, of which 3 were" in err
    assert "note: 3 of 3 images name no exam" in err and "or --group-by folder if each" in err


def test_a_foreign_set_with_the_same_group_names_is_all_test(run: Path, tmp_path: Path, capsys):
    foreign = write_tiny(tmp_path / "foreign")  # the exams of the training, by name
    for path in foreign.glob("*.jpg"):
        Image.fromarray(load_image(path) // 2).save(path.with_suffix(".png"))
        path.unlink()
    assert evaluated(run / "best.pt", foreign, tmp_path / "scores.json")["n_images"] == 12
    out = capsys.readouterr().out
    assert "None of these images was seen in training: all 12 can test the network. But 5 of their " in out
    assert "The training images are not in this data: no grey threshold" in out


@pytest.mark.filterwarnings("ignore:8 of 8 images name no exam")
def test_groups_added_after_the_training_hide_no_leak(known: Path, tmp_path: Path, capsys):
    copy = shutil.copytree(known, tmp_path / "data")
    (copy / "groups.csv").unlink()
    checkpoint = save_known(tmp_path / "best.pt", train=pairs_of(copy, "p0", "p1"), val=pairs_of(copy, "p2"))
    rows = [f"p{n // 2}-{n % 2},patient{n % 2}" for n in range(8)]
    (copy / "groups.csv").write_text("\n".join(["stem,group", *rows]))
    assert call("evaluate", copy, "--checkpoint", checkpoint) == 1
    found = (
        "8 images, of which 4 were trained on and 2 chose the best weights; 2 others share a group "
        "with them; none is left to test on."
    )
    assert found in capsys.readouterr().err


# ------------------------------------------------------------------------------------------ what it refuses
def test_evaluate_without_a_usable_checkpoint(data: Path, tmp_path: Path, capsys):
    assert call("evaluate", data, "--checkpoint", tmp_path / "best.pt") == 1
    assert "error: checkpoint must exist" in capsys.readouterr().err
    (tmp_path / "best.pt").write_text("no checkpoint")
    assert call("evaluate", data, "--checkpoint", tmp_path / "best.pt") == 1
    assert "must be a whole checkpoint" in capsys.readouterr().err
    usage_error("evaluate", data)
    usage_error("evaluate", data, "--checkpoint", tmp_path / "best.pt", "--split", "everything")


def test_weights_that_are_not_finite_are_no_answer(known: Path, tmp_path: Path, capsys):
    path = save_known(tmp_path / "best.pt")
    state = load_state(path)
    state["model"]["head.weight"][:] = math.nan
    save_state(path, state)
    out = tmp_path / "out"
    assert call("evaluate", known, "--checkpoint", path) == 1
    assert call("predict", known / "p0-0.png", "--checkpoint", path, "--out", out) == 1
    assert capsys.readouterr().err.count("must hold finite weights, got NaN") == 2 and not out.exists()


def test_what_cannot_be_written_is_told_before_anything_is_computed(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "open_dataset", None)  # to open the data would fail
    (tmp_path / "file").write_text("")
    for option, path, said in (
        ("--json", tmp_path, "This is a folder"),
        ("--report", tmp_path / ("n" * 260), "Give a shorter name"),
        ("--figure", tmp_path / "cases", "must end in one of .*, got no ending"),
        ("--figure", tmp_path / "cases.docx", r"\.png, .*, got \.docx"),
        ("--json", tmp_path / "file" / "a.json", "A file stands where"),
    ):
        assert call("evaluate", "DATA", "--checkpoint", "best.pt", option, path) == 1
        err = capsys.readouterr().err
        assert re.search(said, err) and err.count("\n") == 1 and "disk space" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# ------------------------------------------------------------------------------------------ folders as groups
def test_folders_are_groups_in_check_and_evaluate(known: Path, tmp_path: Path, capsys):
    for n, pair in enumerate(find_pairs(known)):
        folder = tmp_path / "data" / f"patient{n // 4}"
        folder.mkdir(parents=True, exist_ok=True)
        for path, ending in ((pair.image_path, ""), (pair.mask_path, "_mask")):
            shutil.copy(path, folder / f"s{n}{ending}.png")
    assert call("check", tmp_path / "data", "--group-by", "folder") == 0
    out = capsys.readouterr().out
    assert "8 pairs in 2 groups" in out and "8 images are grouped by folder" in out
    checkpoint = save_known(tmp_path / "best.pt")
    scores = evaluated(checkpoint, tmp_path / "data", tmp_path / "a.json", "--group-by", "folder")
    assert scores["n_groups"] == 2 and scores["n_images"] == 8
    usage_error("check", tmp_path / "data", "--group-by", "patient")


def test_without_an_option_nothing_is_written(known: Path, tmp_path: Path):
    assert call("evaluate", known, "--checkpoint", save_known(tmp_path / "best.pt")) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["best.pt"]
