"""What is drawn and moved in lesson 2: counted by hand on small masks, and moved as a reader would."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from unet_helpers.metrics import label_stones
from unet_helpers.pictures import preprocessing as draw
from unet_helpers.pictures import spots
from unet_helpers.transforms import resize_mask
from unet_helpers.widgets import controls, still
from unet_helpers.widgets import lesson02 as move

SIZE = (256, 256)


def square(row: int, column: int, side: int, size: tuple[int, int] = SIZE) -> Any:
    mask = np.zeros(size, bool)
    mask[row : row + side, column : column + side] = True
    return mask


def slice_of(mask: Any, *bones: Any) -> Any:
    """Grey noise, with white where there is stone or bone."""
    grey = np.random.default_rng(0).integers(90, 120, mask.shape).astype(np.uint8)
    for white in (mask, *bones):
        grey[white] = 250
    return grey


MASK = square(159, 209, 3)
IMAGE = slice_of(MASK, square(140, 20, 9))


class Shown(list[tuple[Any, bytes, str]]):
    """What was put on the page: widget, picture, sentence."""


@pytest.fixture(params=[True, False], ids=["kernel", "no kernel"])
def page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shown]:
    shown = Shown()
    for module in (move, controls):
        monkeypatch.setattr(module, "in_notebook", lambda: request.param)
        monkeypatch.setattr(module, "show", lambda widget, png, told: shown.append((widget, png, told)))
    yield shown
    for widget, png, sentence in shown:
        assert Image.open(io.BytesIO(png)).width >= 300
        assert len(sentence.split()) >= 5
        if not request.param:
            assert widget is None


def parts(widget: Any) -> tuple[list[Any], Any, Any]:
    *sliders, image, line = widget.children
    return sliders, image, line


# ------------------------------------------------------------------------------------- what is computed
@pytest.mark.parametrize(
    ("row", "column", "rows", "columns"),
    [(50, 60, (40, 60), (50, 70)), (2, 99, (0, 20), (80, 100)), (50.4, 0, (40, 60), (0, 20))],
)
def test_around_stays_inside(row: float, column: float, rows: Any, columns: Any) -> None:
    box = draw.around(row, column, 20, (100, 100))
    assert [(side.start, side.stop) for side in box] == [rows, columns]


def test_middle() -> None:
    assert draw.middle(square(2, 4, 3, (20, 20))) == (3, 5)
    assert draw.middle(np.zeros((8, 6), bool)) == (4, 3)


def test_shares_of_a_square_between_four_pixels() -> None:
    shares = draw.shares(square(1, 1, 2, (4, 4)), (2, 2))
    assert shares.tolist() == [[0.25, 0.25], [0.25, 0.25]]


@pytest.mark.parametrize(("n", "nearest", "cut"), [(8, 9, 9), (5, 4, 4), (4, 1, 3), (2, 1, 0)])
def test_grids_count_the_pixels_of_a_square_of_three(n: int, nearest: int, cut: int) -> None:
    _, n_nearest, n_cut = draw.draw_grids(square(2, 2, 3, (8, 8)), n)
    assert (n_nearest, n_cut) == (nearest, cut)


def test_the_shares_on_the_grid_add_up_to_the_stone() -> None:
    figure, _, _ = draw.draw_grids(square(2, 2, 3, (8, 8)), 5)
    numbers = [text.get_text() for text in figure.axes[2].texts]
    assert sorted({float(number) for number in numbers}) == [0, 0.02, 0.09, 0.12, 0.56, 0.75, 1]


def test_percent_left_of_two_stones() -> None:
    mask = square(100, 100, 8) | square(31, 31, 2)  # at a quarter: two pixels wide, and an eighth of four
    numbered = [label_stones(mask)]

    def cut_at_half(one: Any, size: tuple[int, int]) -> Any:
        return draw.shares(one, size) >= 0.5

    assert draw.percent_left(cut_at_half, numbered, 256) == 100
    assert draw.percent_left(cut_at_half, numbered, 64) == 50
    assert draw.percent_left(resize_mask, numbered, 64) == 100


def test_six_pictures_keep_the_size_and_differ() -> None:
    six = draw.six_pictures(IMAGE)
    assert set(six) == set(draw.TRUTHS)
    for picture in six.values():
        assert picture.shape == IMAGE.shape and picture.dtype == np.uint8
        assert not np.array_equal(picture, IMAGE)
    assert np.array_equal(six["C"][:, ::-1], IMAGE) and np.array_equal(six["F"][::-1], IMAGE)


@pytest.mark.parametrize(
    ("letter", "chosen", "right"),
    [
        ("A", "could exist", True),
        ("A", "could not", False),
        ("B", "could not", True),
        ("B", "could exist", False),
        ("C", "could exist", True),
        ("C", "could not", True),
        ("C", None, False),
        ("F", None, False),
    ],
)
def test_verdict(letter: str, chosen: str | None, right: bool) -> None:
    told = draw.verdict(letter, chosen)
    assert told[0] is right
    assert draw.TRUTHS[letter][1] in told[1]


def test_rib_and_stone_are_of_like_size() -> None:
    masks = [square(50, 60, 3), square(80, 90, 9), square(80, 90, 40)]
    images = [slice_of(mask) for mask in masks]
    rib, stone = spots.rib_and_stone(IMAGE, MASK, images, masks)
    assert (rib.row, rib.column, rib.n_pixels) == (144, 24, 81)
    assert (stone.row, stone.column, stone.n_pixels) == (84, 94, 81)
    assert spots.view(stone, 9).min() == 250 and spots.view(stone, 11).min() < 250


def test_of_like_stones_the_one_inside_a_kidney_is_shown() -> None:
    same, like = square(80, 90, 9), square(150, 60, 8)  # the first is as large as the rib, and lies in air
    in_air = np.where(same, 250, 0).astype(np.uint8)
    _, stone = spots.rib_and_stone(IMAGE, MASK, [in_air, slice_of(like)], [same, like])
    assert (stone.row, stone.column, stone.n_pixels) == (153.5, 63.5, 64)


def test_the_frame_of_a_spot_moves_with_the_view() -> None:
    spot = spots.Spot(IMAGE, 144, 24, 81)
    for side, middle in ((80, (40.0, 24.0)), (22, None)):  # the view of 80 ends at the left edge of the slice
        ax = matplotlib.figure.Figure().subplots()
        spots.draw_spot(ax, spot, side)
        frames: Any = ax.patches
        centres = [tuple(frame.get_center())[::-1] for frame in frames]
        assert centres == ([middle] if middle else [])


def test_find_patch() -> None:
    assert draw.find_patch(IMAGE, IMAGE[30:62, 7:39]) == (slice(30, 62), slice(7, 39))
    with pytest.raises(ValueError, match="cut out of image"):
        draw.find_patch(IMAGE, np.full((4, 4), 7, np.uint8))


def test_drawing_outlines_an_empty_mask_with_nothing() -> None:
    ax = matplotlib.figure.Figure().subplots()
    draw.draw_outline(ax, np.zeros((4, 4), bool))
    assert not ax.collections
    draw.draw_outline(ax, square(1, 1, 2, (4, 4)))
    assert ax.collections


# ------------------------------------------------------------------------------------- what is shown
def test_stone_up_close(page: Shown) -> None:
    move.stone_up_close(IMAGE, MASK)
    assert "9 pixels of the mask" in page[0][2]


def test_closeups_tell_the_brightest_pixel_of_the_stone(page: Shown) -> None:
    quarter = IMAGE.reshape(64, 4, 64, 4).mean(axis=(1, 3))
    move.closeups({"whole": IMAGE, "small": quarter}, MASK)
    brightest = quarter[39:41, 52].max()
    assert f"whole: the brightest pixel is 250; small: the brightest pixel is {brightest:.0f}" in page[0][2]


def test_closeups_of_a_slice_without_a_stone(page: Shown) -> None:
    move.closeups({"whole": IMAGE, "again": IMAGE}, np.zeros_like(MASK))
    assert page[0][2] == "Close-ups. whole; again. They show its middle, as there is no stone."


def test_pictures(page: Shown) -> None:
    move.pictures({"a": IMAGE, "b": IMAGE}, "Two pictures of the same slice.")
    move.pictures({"a": IMAGE, "b": IMAGE}, "Two close-ups of the same stone.", [MASK, None], side=32)
    assert len(page) == 2


def test_grids_answer_both_sliders(page: Shown) -> None:
    move.grids(MASK)
    widget, _, sentence = page[0]
    assert sentence.startswith("9 small pixels are stone. Nearest makes them 4 large ones")
    if widget:
        (side, place), image, line = parts(widget)
        before = image.value
        side.value = 4
        assert "Nearest makes them 1 large ones" in line.value and image.value != before
        place.value = 1
        assert "Nearest makes them 2 large ones" in line.value


def test_survival_answers_its_slider(page: Shown) -> None:
    curves = {"ours": {256: 100.0, 64: 97.0, 32: 93.0}}
    move.survival(IMAGE, MASK, {"ours": resize_mask}, curves)
    widget, _, sentence = page[0]
    assert sentence == "At 64 pixels, of all stones are still there: 97.0 % (ours)."
    if widget:
        (size,), image, line = parts(widget)
        before = image.value
        size.value = 32
        assert "At 32 pixels" in line.value and "93.0 %" in line.value and image.value != before


def test_context_grows(page: Shown) -> None:
    stone = square(80, 90, 9)
    move.context(IMAGE, MASK, [slice_of(stone)], [stone])
    widget, _, sentence = page[0]
    assert "A lies in the wall" in sentence  # readers without a kernel see all sizes, and the answer
    if widget:
        (side,), image, line = parts(widget)
        before = image.value
        side.value = 160
        assert "160 x 160" in line.value and image.value != before


def test_patches_step_through_the_batch(page: Shown) -> None:
    cut = torch.from_numpy(np.stack([IMAGE[80:240, 90:250], IMAGE[:160, :160]]))[:, None]
    move.patches(IMAGE, MASK, cut, ["the stone", "any pixel"])
    widget, _, sentence = page[0]
    assert sentence == "Patch 1 was placed around the stone. It holds 9 of the 9 pixels of the stone."
    if widget:
        (number,), image, line = parts(widget)
        before = image.value
        number.value = 2
        assert "0 of the 9" in line.value and image.value != before


def test_batch_counts_the_stone_pixels(page: Shown) -> None:
    images = torch.zeros(2, 1, *SIZE)
    masks = torch.from_numpy(np.stack([MASK, np.zeros(SIZE, bool)]))[:, None]
    move.batch(images, masks, "Two variants of the slice, one without a stone.")
    assert len(page) == 1


def test_the_game_is_played(page: Shown) -> None:
    move.could_exist(IMAGE)
    widget, _, sentence = page[0]
    assert sentence.startswith("Six versions of the slice")
    if widget:
        cards, last = widget.children
        button, result = last.children
        for card, choice in zip(cards.children, ["could exist", "could exist", *[None] * 4], strict=True):
            card.children[1].value = choice
        button.click()
        assert "1 of 6 right" in result.value
        assert "✅" in cards.children[0].children[2].value
        assert "❌" in cards.children[1].children[2].value


def test_a_stone_at_the_edge_and_a_small_slice(page: Shown) -> None:
    mask = square(0, 0, 3, (120, 120))
    move.grids(mask)
    assert page[0][2].startswith("9 small pixels are stone")
    padded = np.pad(slice_of(mask), (0, 40))
    move.patches(slice_of(mask), mask, torch.from_numpy(padded)[None, None], ["the stone"])
    assert "It holds 9 of the 9" in page[1][2]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_what_the_lesson_says_of_two_devices() -> None:
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device.*") as caught:
        torch.zeros(1) - torch.zeros(2, device="cuda")
    assert "cuda:0" in str(caught.value) and "cpu" in str(caught.value)


def test_error_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with move.error_shown("stack"):
        torch.stack([torch.zeros(1), torch.zeros(2)])
    assert capsys.readouterr().out.startswith("stack:\n    stack expects each tensor to be equal size")
    with pytest.raises(AssertionError, match="must raise"), move.error_shown("nothing"):
        pass
    with pytest.raises(ZeroDivisionError), move.error_shown("another"):
        print(1 / 0)


def test_the_strip_is_the_one_of_all_lessons() -> None:
    assert move.you_are_here is still.you_are_here
