"""The judges of lesson 6, the stick, the desk, and the ten ways: what is said to each kind of answer."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unet_helpers.data import load_image, load_pair
from unet_helpers.engine.calm import CalmError
from unet_helpers.exercises import lesson06, messy, stick, ten_ways

Array = Any


def judged(name: str, answer: Any) -> str | None:
    return getattr(lesson06, name).judge(answer)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", lesson06.__all__)
def test_the_printed_solution_is_right_and_says_why(name: str) -> None:
    exercise = getattr(lesson06, name)
    names: dict[str, Any] = {"np": np}
    exec(exercise.solution_text, names)
    assert exercise.judge(names.get(name, names.get("answer"))) is None
    assert exercise.name == f"lesson06.{name}" and exercise.because and exercise.hint_text


# -------------------------------------------------------------------------------------------- a mask
def values(mask: Array) -> set[int]:
    return set(np.unique(mask).tolist())


def other_way(mask: Array) -> Array:
    if values(mask) - {0, 1} and values(mask) - {0, 255}:
        return None
    return mask.astype(bool)


def test_another_right_guard_is_right() -> None:
    assert judged("mask_to_bool", other_way) is None


WRONG_GUARDS = [
    (lambda mask: mask > 0, "this reads whatever comes"),
    (lambda mask: mask > 127, "Anna's masks"),
    (lambda mask: mask == 255, "Anna's masks"),
    (lambda mask: mask == 1, "Radiology's masks"),
    (lambda mask: np.isin(mask, [1, 255]), "Return None there"),
    (lambda mask: mask > 0 if values(mask) <= {0, 1, 255} else None, "0, 1 *and* 255"),
    (lambda mask: mask > 0 if len(values(mask)) <= 2 else None, "*which* two"),
    (lambda mask: mask > 0 if values(mask) in ({0, 1}, {0, 255}) else None, "without any stone is refused"),
    (lambda mask: None if other_way(mask) is None else ~other_way(mask), "other way round"),
]


def test_a_mask_that_is_stone_all_over_may_also_be_refused() -> None:
    assert judged("mask_to_bool", lambda mask: None if mask.all() else other_way(mask)) is None


@pytest.mark.parametrize(("answer", "said"), WRONG_GUARDS)
def test_a_wrong_guard_is_told_its_mistake(answer: Any, said: str) -> None:
    assert said in (judged("mask_to_bool", answer) or "")


# ---------------------------------------------------------------------------------------- the option
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("--mask-values 1", "finds kidneys"),
        ("--mask-values 1,2", "joins both"),
        ("--ignore 1", "grow into its kidney"),
        ("--invert", "three values"),
        ("--mask-values 2,1", "one of"),
        (2, "two dashes"),
        ("2", "two dashes"),
    ],
)
def test_a_wrong_option_is_told_what_it_would_do(answer: Any, said: str) -> None:
    assert said in (judged("which_option", answer) or "")


@pytest.mark.parametrize("answer", ["--mask-values=2", " --mask-values  2", '--mask-values "2"'])
def test_the_right_option_may_be_written_in_each_way_that_the_command_reads(answer: str) -> None:
    assert judged("which_option", answer) is None


def test_the_right_option_trains_on_the_stone_alone(tmp_path: Path) -> None:
    from unet_helpers.folders.finding import find_pairs

    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
    labels = np.zeros((8, 8), np.uint8)
    labels[2:6, 2:6], labels[3, 3] = 1, 2
    Image.fromarray(labels).save(tmp_path / "a_mask.png")
    (tmp_path / "groups.csv").write_text("stem,group\na,p1\n")
    with pytest.raises(ValueError, match="--mask-values"):
        find_pairs(tmp_path, masks="")
    with pytest.warns(UserWarning, match="The object is 2"):
        (pair,) = find_pairs(tmp_path, masks="--mask-values 2")
    assert load_pair(pair)[1].sum() == 1
    assert "--mask-values 1" in ten_ways.doubt_of_classes()


# --------------------------------------------------------------------------------------- the patient
def found(name: str, pattern: str = r"[pP]0*(\d+)[-_]") -> str | None:
    match = re.match(pattern, name.rpartition("/")[2])
    return match and f"p{int(match[1])}"


WRONG_PATIENTS = [
    (lambda name: found(name) and f"p{digits(name)}", "p7 and p07"),
    (lambda name: found(name) and "p" + digits(name).replace("0", ""), "patient 10 has become patient 1"),
    (lambda name: found(name) and f"P{digits(name)}", "Choose one form"),
    (lambda name: name.split("/")[0], "who outlined it"),
    (lambda name: name.split("/")[-1].split(".")[0], "each *slice*"),
    (lambda name: f"p{int(digits(name) or 0)}", "called p0"),
    (lambda name: found(name) or "unknown", "without quotation marks"),
    (lambda name: found(name) or "None", "the *word* None"),
    (lambda name: found(name) or "", "an empty text"),
    (lambda name: (m := re.search(r"[pP](\d+)", name)) and f"p{int(m[1])}", "Cut off the folders"),
]


def digits(name: str) -> str:
    return re.sub(r"\D", "", re.split("[-_]", name.rpartition("/")[2])[0])


def test_another_right_patient_is_right() -> None:
    assert judged("patient_of", found) is None


@pytest.mark.parametrize(("answer", "said"), WRONG_PATIENTS)
def test_a_wrong_patient_is_told_its_mistake(answer: Any, said: str) -> None:
    assert said in (judged("patient_of", answer) or "")


def test_who_searches_the_folders_too_fails_a_hidden_case() -> None:
    said = judged("patient_of", lambda name: found(name) if "top9" not in name else "p9")
    assert said is not None and "top9" in said


# ------------------------------------------------------------------------------------------ the size
WRONG_SIZES = [
    (lambda side, width, least: min(side, round(side * least / width)), "math.ceil"),
    (lambda side, width, least: min(side, side * least // width), "rounded down"),
    (lambda side, width, least: min(side, side * least / width), "no size"),
    (lambda side, width, least: math.ceil(side * least / width), "your image *grows*"),
    (lambda side, width, least: max(side, math.ceil(side * least / width)), "nothing ever shrinks"),
    (lambda side, width, least: min(side, math.ceil(side * width / least)), "upside down"),
]


@pytest.mark.parametrize(("answer", "said"), WRONG_SIZES)
def test_a_wrong_size_is_told_its_mistake(answer: Any, said: str) -> None:
    assert said in (judged("smallest_size", answer) or "")


# ------------------------------------------------------------------------------- the stick and the desk
@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the stick lies already, so that it is written once."""
    folder = tmp_path_factory.mktemp("home")
    stick.write_stick(folder / "data" / stick.STICK)
    return folder


@pytest.fixture
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNET_HOME", str(home))
    for name in ("UNET_DATA", "UNET_MASKS"):
        monkeypatch.setenv(name, "")
    return home


def test_the_stick_is_put_in_order_as_the_lesson_does_it(
    at_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = messy.lay_out()
    before = {path: path.stat().st_mtime_ns for path in desk.source.rglob("*")}
    messy.letter(desk)
    report = messy.read_report(desk)
    assert "the number behind the p" in capsys.readouterr().out.lower()
    assert report["n_groups"] == report["n_pairs"] == 39 and len(report["broken"]) == 2
    assert not any(str(desk.folder) in item["reason"] for item in report["broken"])
    assert len(report["joined_masks"]) == 1 and len(report["images_without_mask"]) == 2
    n_black, n_held, darkest = messy.black_masks(desk)
    assert 0 < n_held < n_black and set(np.unique(darkest)) == {0, 1}
    assert messy.set_aside(desk, report) == [
        "anna/masks/P08-2.png",
        "radiology/p1_s2.png",
        "radiology/p1_s2_seg.png",
    ]
    assert len(set(messy.name_patients(desk).values())) == 10
    picture = messy.join_twins(desk)
    assert picture is not None and picture.startswith(b"\xff\xd8")
    report = messy.read_report(desk)
    assert report["n_groups"] == 10 and not report["broken"] and not report["twins_in_two_groups"]
    assert messy.join_twins(desk) is None and messy.set_aside(desk, report) == []
    split = messy.split_of(messy.pairs_of(desk))
    assert sum(map(len, split.values())) == 38
    assert {path: path.stat().st_mtime_ns for path in desk.source.rglob("*")} == before


def test_a_table_of_groups_that_is_there_is_left_as_it_is(at_home: Path) -> None:
    desk = messy.lay_out()
    (desk.folder / "groups.csv").write_text("stem,group\nradiology/p1_s1,x\n")
    messy.name_patients(desk)
    assert "p1_s1,x" in (desk.folder / "groups.csv").read_text()


def write_pairs(folder: Path, n: int, holds: bool = True) -> Path:
    folder.mkdir()
    for number in range(n):
        image = np.random.default_rng(number).integers(0, 250, (40, 40)).astype(np.uint8)
        mask = np.zeros((40, 40), np.uint8)
        mask[9:20, 9:20] = 255 * holds
        Image.fromarray(image).save(folder / f"cell{number}.png")
        Image.fromarray(mask).save(folder / f"cell{number}_mask.png")
    return folder


def test_a_folder_of_ones_own_goes_the_same_way(
    at_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = messy.lay_out(write_pairs(tmp_path / "cells", 6))
    assert not desk.practice and os.environ["UNET_DATA"] == str(tmp_path / "cells")
    assert messy.set_aside(desk, messy.read_report(desk)) == [] and messy.name_patients(desk) == {}
    assert "each image counts as a patient" in capsys.readouterr().out
    assert not (desk.folder / "groups.csv").exists() and messy.join_twins(desk) is None
    assert all(messy.split_of(messy.pairs_of(desk)).values())


def test_pairs_that_are_all_broken_stay_and_one_sentence_says_why(at_home: Path, tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "deep", 3)
    for number in range(3):
        Image.fromarray(np.full((40, 40), 900 + number, np.uint16)).save(folder / f"cell{number}.png")
    desk = messy.lay_out(folder)
    report = messy.read_report(desk)
    with pytest.raises(CalmError, match="all 3 pairs are broken.*16 bits"):
        messy.set_aside(desk, report)
    assert len(list(desk.folder.iterdir())) == 6
    with pytest.raises(CalmError, match="Not yet: .*16 bits"):
        messy.pairs_of(desk)


def test_inverted_masks_are_told_where_this_lesson_says_so(at_home: Path, tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "inverted", 3)
    for path in folder.glob("*_mask.png"):
        Image.fromarray(255 - np.array(Image.open(path))).save(path)
    with pytest.raises(CalmError, match="--invert.*options = "):
        messy.pairs_of(messy.lay_out(folder))
    assert messy.pairs_of(messy.lay_out(folder, "--invert"))


def test_without_a_folder_the_stick_is_back_in_the_same_kernel(at_home: Path, tmp_path: Path) -> None:
    messy.lay_out(write_pairs(tmp_path / "cells", 3), "--mask-values 255")
    assert messy.lay_out().practice
    assert not os.environ["UNET_DATA"] and not os.environ["UNET_MASKS"]


def test_the_desk_itself_is_not_deleted_to_make_room_for_its_copy(at_home: Path, tmp_path: Path) -> None:
    desk = messy.lay_out(write_pairs(tmp_path / "cells", 3))
    for folder in (desk.folder, at_home):
        with pytest.raises(CalmError, match="apart from the desk"):
            messy.lay_out(folder)
    assert len(list(desk.folder.iterdir())) == 6


@pytest.mark.parametrize(
    ("n", "holds", "said"), [(2, True, "at least 3 groups"), (6, False, "a stone for the lesson")]
)
def test_what_leads_no_further_ends_in_a_sentence(
    n: int, holds: bool, said: str, at_home: Path, tmp_path: Path
) -> None:
    desk = messy.lay_out(write_pairs(tmp_path / "cells", n, holds))
    with pytest.raises(CalmError, match=said):
        messy.split_of(messy.pairs_of(desk))


def test_a_folder_that_is_not_there_or_empty_or_huge_is_refused_calmly(
    at_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CalmError, match="existing folder"):
        messy.lay_out(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CalmError, match="must hold image-mask pairs"):
        messy.read_report(messy.lay_out(tmp_path / "empty"))
    monkeypatch.setattr(messy, "MOST_BYTES", 10)
    with pytest.raises(CalmError, match="a hundred pairs"):
        messy.lay_out(write_pairs(tmp_path / "cells", 3))


def test_images_that_are_all_alike_are_not_joined(
    at_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_pairs(tmp_path / "alike", 6)
    same = np.array(Image.open(folder / "cell0.png"))
    for number in range(6):
        Image.fromarray(np.roll(same, number % 2, 1) // (1 + number // 2)).save(folder / f"cell{number}.png")
    desk = messy.lay_out(folder)
    assert messy.join_twins(desk) is not None and "Not joined" in capsys.readouterr().out
    assert not (desk.folder / "groups.csv").exists()


def test_what_the_masks_mean_can_be_said_at_the_top(at_home: Path, tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "cells", 6)
    for path in folder.glob("*_mask.png"):
        Image.fromarray(255 - np.array(Image.open(path))).save(path)
    with pytest.raises(CalmError, match="Not yet: .*--invert"):
        messy.pairs_of(messy.lay_out(folder))
    pairs = messy.pairs_of(messy.lay_out(folder, "--invert"))
    assert load_pair(pairs[0])[1].sum() == 121


def test_the_scanners_own_slice_needs_a_window(at_home: Path) -> None:
    raw = stick.raw_slice()
    with pytest.raises(ValueError, match="16 bits"):
        load_image(raw)
    assert load_image(raw, (1064, 400)).max() == 255


@pytest.mark.parametrize("name", ten_ways.WAYS)
def test_check_sees_each_of_the_ten_ways(name: str) -> None:
    one = ten_ways.look(name)
    assert len(one.says.split()) >= 5 and one.fix.endswith((".", ")", "?"))
    assert ("NOT CERTAIN" in one.says) == (name[0] in "34")
    assert "/tmp" not in one.says and one.image.ndim == one.mask.ndim == 3
