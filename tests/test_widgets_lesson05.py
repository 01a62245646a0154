"""What lesson 5 shows and moves: every picture is what it says, and where nothing is, a sentence says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unet_helpers import data
from unet_helpers.data import KnownStone, Pair
from unet_helpers.evaluation import evaluate
from unet_helpers.metrics import HIT_IOU
from unet_helpers.pictures import verdicts
from unet_helpers.scores import suspects
from unet_helpers.scores.judging import Judged
from unet_helpers.widgets import growth, investigation, resampling
from unet_helpers.widgets import lesson05 as move

SIDE = 64


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, str]]:
    """Widget or figure, and words, of everything that is put on the page."""
    page: list[tuple[Any, str]] = []
    for module in (move, growth, resampling):
        monkeypatch.setattr(module, "show", lambda widget, png, sentence: page.append((widget, sentence)))
    for module in (move, investigation):
        monkeypatch.setattr(module, "show_figure", lambda figure, alt, **_: page.append((drawn(figure), alt)))
    return page


def drawn(figure: Any) -> Any:
    figure.draw_without_rendering()  # nothing is squeezed out of the layout
    return figure


def slice_with(*stones: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A grey slice with square stones, given by row, column and side."""
    image, mask = np.full((SIDE, SIDE), 100, np.uint8), np.zeros((SIDE, SIDE), bool)
    for row, column, side in stones:
        mask[row : row + side, column : column + side] = True
    image[mask] = 220
    return image, mask


def judged(
    *rows: tuple[str, tuple[tuple[int, int, int], ...], np.ndarray | None], known: bool = False
) -> Judged:
    """Answers on slices: patient, stones, and the answer (None: the truth)."""
    slices = [slice_with(*stones) for _, stones, _ in rows]
    answers = [mask if own is None else own for (_, mask), (_, _, own) in zip(slices, rows, strict=True)]
    pairs = [Pair(Path(f"{i}.png"), Path(f"{i}_mask.png"), row[0]) for i, row in enumerate(rows)]
    stones = None
    if known:
        stones = [
            [KnownStone(f"{patient}-0", one[0][0], one[0][1], 7.0)] if one else [] for patient, one, _ in rows
        ]
    probabilities = [answer.astype(np.float32) for answer in answers]
    masks = [mask for _, mask in slices]
    groups = [pair.group for pair in pairs]
    scores = evaluate(probabilities, masks, 0.5, groups=groups, stones=stones, n_resamples=200)
    return Judged(pairs, [image for image, _ in slices], masks, probabilities, 0.5, 0, scores)


EMPTY = np.zeros((SIDE, SIDE), bool)
STONE = ((20, 30, 5),)
ALARM = slice_with((5, 5, 4))[1]


@pytest.fixture
def test_part() -> Judged:
    """Four patients: two perfect, one with a missed section, one without a stone and with a false alarm."""
    return judged(
        ("ana", STONE, None), ("ana", STONE, None), ("ben", STONE, None), ("ben", STONE, EMPTY),
        ("ben", STONE, None), ("cem", STONE, None), ("dan", (), ALARM), known=True,
    )  # fmt: skip


@pytest.fixture
def nothing() -> Judged:
    return judged(("ana", (), None), ("ben", (), None))


# ---------------------------------------------------------------------------------------------- suspects
def test_the_mover_is_who_moves_the_mean_most() -> None:
    dices = {f"usual {k}": np.array([0.7] * 3) for k in range(5)}
    dices |= {"low": np.array([0.0]), "high": np.array([0.8, 0.8])}
    assert suspects.mover(dices) == "low"
    assert suspects.without(dices, "low") == pytest.approx((15 * 0.7 + 2 * 0.8) / 17)
    assert suspects.mover({"one": np.array([0.5])}) is None and suspects.mover({}) is None
    assert np.isnan(suspects.without({"one": np.array([0.5])}, "one"))


def test_alike_parts_are_chance_and_different_ones_are_not() -> None:
    rng = np.random.default_rng(0)

    def part(n: int, middle: float) -> dict[str, np.ndarray]:
        return {f"{middle}-{k}": rng.normal(middle, 0.05, 5) for k in range(n)}

    assert suspects.shuffled_share(part(8, 0.80), part(12, 0.80)) > 0.05
    assert suspects.shuffled_share(part(8, 0.60), part(12, 0.90)) < 0.01
    same = {"a": np.array([0.5]), "b": np.array([0.5])}
    assert suspects.shuffled_share(same, {"c": np.array([0.5])}) == 1
    assert np.isnan(suspects.shuffled_share({}, same))


def test_looks_knows_size_white_neighbours_and_place() -> None:
    image, mask = slice_with((20, 30, 4), (50, 2, 2))
    image[16:28, 36:40] = 255  # bone beside the first
    first, second = suspects.looks(image, mask)
    assert (first.n_pixels, second.n_pixels) == (16, 4)
    assert first.white > 0.05 and second.white == 0
    assert first.edge > 0.4 > 0.05 > second.edge
    assert suspects.looks(image, EMPTY) == []


def test_alike_counts_each_respect_and_all_together() -> None:
    one = suspects.Look(20, 0.1, 0.3)
    others = [suspects.Look(20, 0.0, 0.3), suspects.Look(100, 0.2, 0.3), suspects.Look(12, 0.09, 0.45)]
    assert list(suspects.alike(one, others).values()) == [2, 2, 2, 0]
    assert list(suspects.alike(one, [one]).values()) == [1, 1, 1, 1]


# ------------------------------------------------------------------------------------------- section 1
def test_four_numbers_stand_side_by_side_with_their_n(test_part: Judged, nothing: Judged, capsys) -> None:
    move.four_numbers(validation=nothing, test=test_part)
    out = capsys.readouterr().out
    assert (
        "1.000 (3)" in out and "0.143 (7)" in out and "- (0)" in out and max(map(len, out.splitlines())) <= 45
    )
    assert "stones found" in out and "sections found" not in out and "nan" not in out
    move.four_numbers(test=nothing)
    assert "sections found" in capsys.readouterr().out


def test_the_riddle_is_asked_in_both_directions(test_part: Judged, nothing: Judged, capsys) -> None:
    perfect = judged(("eva", STONE, None), ("fay", STONE, None))
    for val, test, words in (
        (test_part, perfect, "0.167 higher"),
        (perfect, test_part, "0.167 lower"),
        (perfect, perfect, "+0.000 only"),
        (nothing, perfect, "holds no stone"),
    ):
        move.riddle(val, test)
        assert words in capsys.readouterr().out


def test_patients_are_dots_and_the_mover_is_named(test_part: Judged, shown) -> None:
    move.patients(test_part, test_part)
    figure, alt = shown[-1]
    (ax,) = figure.axes
    assert "ben at 0.67" in alt and "mean 0.833" in alt
    assert ax.get_ylabel() == "Dice" and ax.get_ylim() == (-0.04, 1.04)
    words = [text.get_text() for text in ax.texts]
    assert words.count("ben") == 2 and words.count("0.833") == 2
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        "validation: 3 patients",
        "test: 3 patients",
    ]
    dots = [
        line.get_ydata()[0] for line in ax.lines if line.get_marker() == "o" and line.get_markersize() == 7
    ]
    assert dots == pytest.approx([2 / 3, 1, 1] * 2)


def test_the_verdict_names_him_and_weighs_chance(test_part: Judged, nothing: Judged, capsys) -> None:
    move.verdict(test_part, test_part)
    out = capsys.readouterr().out
    assert "0.833; 1.000 without ben" in out and "Chance is enough" in out
    assert move.influence(test_part) == pytest.approx(1 / 6)
    move.verdict(nothing, test_part)
    assert "too few patients" in capsys.readouterr().out and move.influence(nothing) == 0.0


def test_a_difference_beyond_chance_is_told_both_ways() -> None:
    high, low = ({f"{middle}-{k}": np.full(3, middle + k / 100) for k in range(9)} for middle in (0.9, 0.4))
    assert "higher" in investigation._verdict(low, high) and "easier" in investigation._verdict(low, high)
    told = investigation._verdict(high, low)
    assert "lower" in told and "validation did not" in told and "Chance is enough" not in told


def test_the_suspect_is_shown_where_it_went_wrong(test_part: Judged, shown, capsys) -> None:
    move.suspect(test_part)
    figure, alt = shown[-1]
    assert "slice of ben with the lowest Dice, 0.00" in alt and "0 of 1 sections found" in alt
    assert [ax.get_title() for ax in figure.axes] == ["the slice", "inside the frame", "truth and answer"]
    assert "3 slices with a stone; their Dice: 1.00, 0.00, 1.00" in capsys.readouterr().out


@pytest.mark.parametrize("train", [((20, 30, 5), "did show"), ((20, 30, 20), "next to nothing")])
def test_what_training_showed_is_counted(test_part: Judged, train, monkeypatch, capsys) -> None:
    stone, words = train
    arrays = [[one] for one in slice_with(stone)]
    monkeypatch.setattr(investigation, "load_arrays", lambda _: arrays)
    move.training_showed(test_part, test_part.pairs)
    out = capsys.readouterr().out
    assert words in out and "stand in" not in out
    move.training_showed(test_part, test_part.pairs, learned_here=False)
    assert "learned from other patients" in capsys.readouterr().out


# --------------------------------------------------------------------------------------------- section 3
def test_growing_finds_where_the_rules_part(monkeypatch) -> None:
    image, mask = slice_with((30, 30, 3))
    moved = growth.Growth(image, mask)
    assert "rule 'it touches': <b>found" in moved.words.value and "0.1': <b>found" in moved.words.value
    moved.radius.value = 12
    assert "rule 'it touches': <b>found" in moved.words.value and "0.1': <b>missed" in moved.words.value
    assert set(moved.tried) == {1, 12} and moved.tried[12] < HIT_IOU < moved.tried[1]
    left, right = drawn(moved.figure()).axes
    assert left.get_title() == "truth and prediction" and right.get_ylabel() == "IoU"
    assert right.get_xlabel() == "radius in pixels"
    moved.try_all()
    assert len(moved.tried) == moved.radius.max == SIDE // 2


def test_the_stone_of_the_series_is_grown_or_a_sentence_says_why_not(
    test_part: Judged, nothing: Judged, shown, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(growth, "hero_case", lambda pairs: pairs[0])
    move.grow(test_part)
    assert "best at a radius of 3 pixels, and below 0.1, so no hit any more, at 9" in shown[-1][1]
    monkeypatch.undo()
    move.grow(nothing)
    assert "exactly one stone" in capsys.readouterr().out


def test_one_stone_in_its_slices(test_part: Judged, shown, capsys) -> None:
    move.one_stone(test_part)
    figure, alt = shown[-1]
    assert alt == "One stone of 7.0 mm in 3 slices: 2 of its 3 sections are found."
    assert [ax.get_title() for ax in figure.axes] == ["slice 3: found", "slice 4: missed", "slice 5: found"]
    assert "counts once, as found" in capsys.readouterr().out


# ------------------------------------------------------------------------------------- sections 4 and 5
def test_the_threshold_curve_stands_on_an_axis_from_0_to_1(test_part: Judged, shown) -> None:
    assert move.thresholds(test_part) == 0
    figure, alt = shown[-1]
    assert figure.axes[0].get_ylim()[0] == 0 and figure.axes[0].get_ylim()[1] > 1
    assert "between 0.833 and 0.833; 0.833 at the one in use, 0.50" in alt


def test_sizes_are_told_by_their_numbers(test_part: Judged, shown) -> None:
    move.sizes(test_part)
    figure, alt = shown[-1]
    assert "0 of 0, 0 of 0, 3 of 3, 0 of 0" in alt and figure.axes[0].get_title() == "stones found by size"


# --------------------------------------------------------------------------------------------- section 6
def test_drawing_patients_one_by_one_and_many() -> None:
    dices = {"low": np.array([0.0, 0.2]), "mid": np.array([0.8]), "top": np.array([1.0, 0.9, 0.95])}
    moved = resampling.Draws(dices)
    assert "nobody drawn yet" in moved.words.value and moved.ends is None
    moved.one.click()
    assert len(moved.means) == 1 and moved.times.sum() == 3 and moved.ends is None
    by_hand = np.concatenate([np.tile(d, n) for d, n in zip(dices.values(), moved.times, strict=True)])
    assert moved.means[0] == pytest.approx(by_hand.mean())
    moved.many.click()
    low, high = moved.ends or (1.0, 0.0)
    assert (
        len(moved.means) == 201 and 0 <= low < high <= 1 and f"{low:.3f} to {high:.3f}" in moved.words.value
    )
    left, right = drawn(moved.figure()).axes
    assert right.get_title() == "201 draws" and right.get_xlabel() == "mean Dice of a draw"
    assert "times drawn" in left.get_xlabel()
    moved.again.click()
    assert moved.means == [] and moved.times.sum() == 0


def test_the_still_picture_of_the_draws_and_the_two_hats(test_part: Judged, shown, capsys) -> None:
    move.draws(test_part)
    assert "mean Dice of 500 draws" in shown[-1][1]
    move.by_slice(test_part)
    out = capsys.readouterr().out
    assert "n = 6 slices of 3 patients" in out and "patients drawn:" in out and "slices drawn:" in out


def test_two_networks_are_compared_in_pairs(test_part: Judged, shown, capsys) -> None:
    worse = judged(
        ("ana", STONE, None), ("ana", STONE, EMPTY), ("ben", STONE, EMPTY), ("ben", STONE, EMPTY),
        ("ben", STONE, None), ("cem", STONE, EMPTY), ("dan", (), ALARM), known=True,
    )  # fmt: skip
    low, high = move.paired(test_part, worse, ("one", "other"))
    assert low <= high < 0
    figure, alt = shown[-1]
    assert "the difference" in [ax.get_title() for ax in figure.axes] and "-0.500" in alt
    assert "other is better in 0 of 3 patients" in capsys.readouterr().out
    move.by_itself(on_trial=test_part)
    assert capsys.readouterr().out.startswith("on trial  0.833 (")


# --------------------------------------------------------------------------------------------- section 7
def test_deals_sizes_and_calibration(test_part: Judged, shown, capsys) -> None:
    move.froc(test_part)
    assert "a star at the threshold in use: 0.83 found for 0.14" in shown[-1][1]
    move.sizes_measured(test_part)
    assert "5 sections" in shown[-1][1] and "0 outliers" in shown[-1][1]
    move.calibration(test_part)
    assert "at 1.00" in shown[-1][1]


def test_an_outlier_is_named_with_its_patient(shown, capsys) -> None:
    small = slice_with((20, 30, 8))[1]
    rows = [(f"patient {k}", ((20, 30, 5 + k % 3),), None) for k in range(12)]
    move.sizes_measured(judged(*rows, ("gaston", ((20, 30, 18),), small)))
    assert "outlier: gaston, slice 13: 20.3 px was measured as 9.0 px" in capsys.readouterr().out
    figure, _ = shown[-1]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "A: gaston, slice 13, -11.3" in labels and "95 % limits by size without outliers" in labels
    low, high = figure.axes[0].get_ylim()
    assert high - low < 1  # the others can be read


def test_the_inspector_comes_with_a_picture_of_what_went_wrong(test_part: Judged, shown, monkeypatch) -> None:
    monkeypatch.setattr(move, "spacings", lambda pairs: None)
    move.inspect(test_part)
    widget, alt = shown[-1]
    assert "slice 4: Dice 0.00" in alt and "slice 7: 1 false alarm" in alt and widget is not None


# ------------------------------------------------------------------------------------- nothing to show
@pytest.mark.filterwarnings("error")
def test_without_stones_every_function_says_so(nothing: Judged, shown, monkeypatch, capsys) -> None:
    monkeypatch.setattr(move, "spacings", lambda pairs: None)
    monkeypatch.setattr(data, "known_stones", lambda pairs: None)
    move.patients(nothing, nothing)
    for show in (move.suspect, move.one_stone, move.draws, move.by_slice, move.froc, move.sizes_measured):
        show(nothing)
    move.training_showed(nothing, [])
    assert move.thresholds(nothing) == 0 and all(np.isnan(move.paired(nothing, nothing, ("a", "b"))))
    move.by_itself(a=nothing)
    move.calibration(nothing)
    assert not shown
    out = capsys.readouterr().out
    assert out.count(investigation.NO_STONE) >= 4 and "no stone (too few patients" in out and "nan" not in out
    move.sizes(nothing)
    move.inspect(nothing)
    assert len(shown) == 2


def test_one_patient_is_enough_for_a_picture_and_not_for_an_interval(shown, capsys) -> None:
    alone = judged(("ana", STONE, None), ("ana", STONE, EMPTY))
    move.patients(alone, alone)
    move.suspect(alone)
    assert len(shown) == 2 and "ana" in shown[-1][1]
    move.draws(alone)
    assert "Fewer than two patients" in capsys.readouterr().out


def test_long_names_are_cut_at_their_front() -> None:
    assert verdicts.short_name("exam-63700532800") == "exam-63700532800"
    assert verdicts.short_name("1-3-46-670589-33-1-637") == "...3-1-637"
