"""What is moved by hand in lesson 1: every control answers, and the labels of the body map are right."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unet_helpers import data
from unet_helpers.metrics import dice
from unet_helpers.phantom import lookup, write_dataset
from unet_helpers.phantom.patient import make_patient
from unet_helpers.pictures.body_map import place_labels, spread
from unet_helpers.pictures.sheets import Tile, around, curve, slice_sheet
from unet_helpers.widgets import lesson01 as move
from unet_helpers.widgets.stone_hunt import StoneHunt

PLACE = lookup.Place(make_patient(3, 0), 4.0)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[data.Pair]:
    folder = tmp_path_factory.mktemp("set") / "phantom"
    write_dataset(folder, n_patients=3, n_slices=2, workers=1, progress=False)
    return data.find_pairs(folder)


@pytest.fixture(scope="module")
def organs() -> dict[str, np.ndarray]:
    return lookup.name_organs(PLACE)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


# ----------------------------------------------------------------------------------------- looking up
def test_a_pair_is_scanned_again_as_it_was(pairs: list[data.Pair]) -> None:
    for pair in pairs:
        scan = lookup.scan_again(pair)
        image, mask = data.load_pair(pair)
        traits = scan.place.patient.traits
        again = data.window(scan.slice.image_hu, traits.level, traits.width)
        assert np.array_equal(scan.slice.mask, mask)
        assert np.abs(again.astype(int) - image).mean() < 2  # JPEG


def test_a_patient_stands_in_for_files_without_hu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stranger = data.Pair(tmp_path / "a.png", tmp_path / "a_mask.png", "a")
    assert lookup.find_place(stranger) is None
    scan = lookup.scan_again(stranger, size=64)
    assert scan.slice.image_hu.shape == (64, 64)
    assert "stands in" in capsys.readouterr().out


def test_organs_do_not_overlap_and_have_their_hu(organs: dict[str, np.ndarray]) -> None:
    image_hu = lookup.render(PLACE.patient, PLACE.depth_mm).image_hu
    assert sum(mask.astype(int) for mask in organs.values()).max() == 1
    for organ, (low, high) in {
        "lung": (-950, -750), "fat": (-130, -60), "liver": (25, 95), "spine": (120, 900), "cortex": (15, 80)
    }.items():  # fmt: skip
        assert low < np.median(image_hu[organs[organ]]) < high


def test_liver_and_right_kidney_are_on_the_left_of_the_picture(organs: dict[str, np.ndarray]) -> None:
    spine = np.nonzero(organs["spine"])[1].mean()
    assert np.nonzero(organs["liver"])[1].mean() < spine < np.nonzero(organs["spleen"])[1].mean()
    placed = {label.text: at for label, at in place_labels(organs)}
    assert placed["right kidney"][1] < spine < placed["left kidney: cortex"][1]
    for label, (row, column) in place_labels(organs):
        assert organs[label.organ][row, column]  # the line ends inside what it names


def test_labels_keep_their_distance_and_their_order() -> None:
    rows = spread([10.0, 11.0, 12.0, 240.0, 241.0], step=15, last=248)
    assert np.diff(rows).min() >= 15
    assert rows[-1] <= 248


# --------------------------------------------------------------------------------------- the stone hunt
@pytest.fixture
def hunt() -> StoneHunt:
    images = [np.full((64, 64), 40 * n, np.uint8) for n in range(4)]
    masks = [np.zeros((64, 64), bool) for _ in images]
    masks[1][30:34, 30:34] = masks[3][5:8, 5:8] = True
    network = [mask.copy() for mask in masks]
    network[0][10:12, 10:12], network[3][:] = True, False
    return StoneHunt(images, masks, network)


def test_answers_lead_through_all_pictures_and_are_counted(hunt: StoneHunt) -> None:
    assert "picture 1 of 4" in hunt.progress.value
    for button in (hunt.yes, hunt.yes, hunt.no):
        button.click()
    assert not hunt.result.value
    hunt.no.click()
    assert hunt.finished and hunt.yes.disabled
    assert hunt.errors(hunt.answers) == ([1], [3], [0])
    you, network = hunt.result.value.split("<tr>")[2:4]
    assert "you" in you and "1 of 2" in you and ">4<" in you and ">1<" in you
    assert "the network" in network and "1 of 2" in network


def test_arrows_go_round_and_skip_nothing_that_is_open(hunt: StoneHunt) -> None:
    hunt.back.click()
    assert "picture 4 of 4" in hunt.progress.value
    hunt.yes.click()
    assert "picture 1 of 4" in hunt.progress.value  # the first that is open
    hunt.forward.click()
    assert "picture 2 of 4" in hunt.progress.value


def test_after_the_last_answer_the_truth_is_ringed(hunt: StoneHunt) -> None:
    hunt.forward.click()
    before = pixels(hunt.picture.value)
    hunt.back.click()
    for _ in range(4):
        hunt.no.click()
    hunt.forward.click()
    after = pixels(hunt.picture.value)
    green = (after == (0, 158, 115)).all(axis=2)
    assert green.any() and not (before == (0, 158, 115)).all(axis=2).any()


def test_the_first_result_stands_beside_the_second(hunt: StoneHunt) -> None:
    for _ in range(4):
        hunt.no.click()
    second = StoneHunt(hunt.images, hunt.masks, hunt.network, before=hunt)
    for _ in range(4):
        second.yes.click()
    assert "you, the first time" in second.result.value


# ------------------------------------------------------------------------------- map, window, threshold
def test_the_map_has_three_pictures(organs: dict[str, np.ndarray]) -> None:
    image = np.full((256, 256), 90, np.uint8)
    shown = move.BodyMap(image, organs)
    seen = []
    for option in shown.OPTIONS:
        shown.choice.value = option
        seen.append(shown.picture.value)
    assert len(set(seen)) == 3


def test_the_window_answers_to_sliders_and_buttons() -> None:
    scan = lookup.Scan(PLACE, lookup.render(PLACE.patient, PLACE.depth_mm, 64))
    mover = move.WindowMover(scan)
    assert "16 apart" in mover.words.value  # 25 HU of a window of 400 HU
    first = mover.picture.value
    mover.presets[1].click()
    assert mover.width.value == 2000
    assert "3 apart" in mover.words.value
    mover.level.value = 500
    assert mover.picture.value != first


def test_the_threshold_remembers_what_was_tried() -> None:
    image = np.zeros((64, 64), np.uint8)
    image[10:14, 10:14], image[40:60, 40:60] = 200, 220
    mask = image == 200
    tried = move.ThresholdHunt(image, mask)
    for grey in (100, 210, 100):
        tried.slider.value = grey
    assert set(tried.tried) == {60, 100, 210}
    assert tried.tried[100] == dice(image >= 100, mask) > tried.tried[210] == 0
    assert f"best so far {tried.tried[100]:.4f} at 60" in tried.words.value


# -------------------------------------------------------------------------------------------- drawing
def test_marks_stay_on_their_own_tile() -> None:
    mask = np.zeros((64, 64), bool)
    mask[30:34, 61:64] = True
    empty = np.zeros((64, 64), np.uint8)
    sheet = slice_sheet([Tile(empty, "1", mask, mask), Tile(empty, "2")], n_columns=2, side_px=64)
    assert (sheet[:, :64] != sheet[:, 70:134]).any()
    assert (sheet[18:82, 70:134] == 0).all()


def test_a_cut_out_stays_inside_and_holds_the_stone() -> None:
    mask = np.zeros((100, 120), bool)
    mask[2:4, 117:119] = True
    cut = mask[around(mask, 40)]
    assert cut.shape == (40, 40)
    assert cut.sum() == 4


def test_the_curve_has_a_dot_for_every_try() -> None:
    dots = [(curve({60: 0.01, **dict.fromkeys(more, 0.3)}, 60) == (0, 114, 178)).all(axis=2).sum() for more in ((), (120,), (120, 200))]  # fmt: skip # noqa: E501
    assert dots[0] < dots[1] < dots[2]


def test_a_hunt_without_slices_is_refused_in_a_sentence_and_one_without_stones_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ValueError, match="There is no slice to hunt in"):
        move.find_the_stones([], [], [])
    nothing = np.zeros((64, 64), bool)
    move.answer_sheet(move.find_the_stones([np.zeros((64, 64), np.uint8)], [nothing], [nothing]))
    assert "0 slices hold a stone: none" in capsys.readouterr().out


def test_each_function_says_in_words_what_it_shows(
    pairs: list[data.Pair], capsys: pytest.CaptureFixture[str]
) -> None:
    image, mask = data.load_pair(pairs[0])
    hunt = move.find_the_stones([image] * 2, [mask] * 2, [mask] * 2)
    move.answer_sheet(hunt)
    move.look(image)
    move.zoom_in(image, target=mask, prediction=mask)
    move.body_map(pairs[0])
    move.histogram(lookup.scan_again(pairs[0]))
    move.window(lookup.scan_again(pairs[0]))
    move.threshold(image, mask)
    if mask.any():
        move.twins([image] * 2, [mask] * 2, 0, 1)
    words = capsys.readouterr().out
    for part in (
        "2 slices without any mark",
        "Cut-outs",
        "green ring",
        "names to organs",
        "histogram",
        "Dice",
    ):
        assert part in words


# ------------------------------------------------------------------------------------- on a narrow page
def test_nothing_is_wider_than_a_phone(pairs: list[data.Pair], organs: dict[str, np.ndarray]) -> None:
    image, mask = data.load_pair(pairs[0])
    body_map = move.BodyMap(image, organs)
    movers = [body_map, move.WindowMover(lookup.scan_again(pairs[0])), move.ThresholdHunt(image, mask)]
    for mover in movers:
        open_, n_fixed = [mover.widget], 0
        while open_:
            one = open_.pop()
            children = getattr(one, "children", ())
            open_ += children
            if children or type(one).__name__ in ("Image", "HTML"):
                assert one.layout.max_width == "100%", one
                n_fixed += 1
        assert n_fixed >= 2  # the box, and what lies in it
