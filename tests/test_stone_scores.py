"""Which sections are of one stone, and which stones are found."""

import json

import numpy as np
import pytest

from unet_helpers.data import KnownStone
from unet_helpers.evaluation import evaluate, score_masks


def draw(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def slices() -> tuple[list[np.ndarray], list[np.ndarray], list[list[KnownStone]]]:
    """Two slices of patient a, one of b: a-1 is in both of a, found in one; a-2 and a-3 share a section."""
    targets = [
        draw("##......####", "##......####"),
        draw("###.........", "###........."),
        draw("....##......", "....##......"),
    ]
    found = [draw("##..........", "##.........."), np.zeros((2, 12), bool), np.zeros((2, 12), bool)]
    stones = [
        [KnownStone("a-1", 0.5, 0.5, 4.0), KnownStone("a-2", 0.4, 8.4, 11.0), KnownStone("a-3", 1, 11, 2.0)],
        [KnownStone("a-1", 0, 5.2, 4.0)],
        [KnownStone("b-1", 1.4, 9, 4.5)],
    ]  # the last two: the nearest
    return found, targets, stones


def test_a_stone_is_found_if_one_of_its_sections_is():
    found, targets, stones = slices()
    scores = evaluate([mask * 0.9 for mask in found], targets, 0.5, groups="aab", stones=stones)
    assert (scores["n_sections"], scores["section_sensitivity"]) == (4, 1 / 4)
    assert (scores["n_stones"], scores["stone_sensitivity"]) == (4, 1 / 4)
    assert scores["n_sections_unidentified"] == 0
    assert scores["per_stone"] == [
        {"stone": "a-1", "diameter_mm": 4.0, "image": 0, "sections": [0, 2], "n_sections": 2, "n_found": 1},
        {"stone": "a-2", "diameter_mm": 11.0, "image": 0, "sections": [1], "n_sections": 1, "n_found": 0},
        {"stone": "a-3", "diameter_mm": 2.0, "image": 0, "sections": [1], "n_sections": 1, "n_found": 0},
        {"stone": "b-1", "diameter_mm": 4.5, "image": 2, "sections": [3], "n_sections": 1, "n_found": 0},
    ]
    assert json.loads(json.dumps(scores["per_stone"])) == scores["per_stone"]  # plain numbers
    assert score_masks(found, targets, stones)["stone_sensitivity"] == 1 / 4


def test_a_stone_of_many_sections_has_its_longest_diameter_and_no_section_twice():
    target = draw("##..##", "......", "##..##")
    numbers = [(0, 0, 3.5), (2, 5, 12.0), (0, 1, 4.0)]  # sections 1, 4 and again 1
    stones = [[KnownStone("a-1", row, column, mm) for row, column, mm in numbers]] * 2
    found = [draw("......", "......", "....##"), np.zeros_like(target)]
    scores = evaluate([mask * 0.9 for mask in found], [target] * 2, 0.5, stones=stones)
    assert scores["per_stone"] == [
        {
            "stone": "a-1",
            "diameter_mm": 12,
            "image": 0,
            "sections": [0, 3, 4, 7],
            "n_sections": 4,
            "n_found": 1,
        }
    ]
    assert [size_bin["n"] for size_bin in scores["size_bins"]] == [0, 0, 0, 1]
    assert scores["n_sections_unidentified"] == 4 and scores["stone_sensitivity"] == 1


def test_size_bins_are_of_stones_where_they_are_known():
    found, targets, stones = slices()
    probabilities = [mask * 0.9 for mask in found]
    for spacing_mm in (None, 0.5):  # the diameter of a stone is in mm, whatever is known of the pixels
        bins = evaluate(probabilities, targets, 0.5, stones=stones, spacing_mm=spacing_mm)["size_bins"]
        assert {(b["of"], b["unit"]) for b in bins} == {("stones", "mm")}
        counts = [(b["low"], b["n"], b["n_found"]) for b in bins]
        assert counts == [(0, 1, 0), (3, 2, 1), (5, 0, 0), (10, 1, 0)]
    bins = evaluate(probabilities, targets, 0.5, groups="aab")["size_bins"]
    assert {(b["of"], b["unit"]) for b in bins} == {("sections", "px")} and sum(b["n"] for b in bins) == 4


def test_intervals_of_stones_come_from_the_groups():
    found, targets, stones = slices()
    scores = evaluate([mask * 0.9 for mask in found], targets, 0.5, groups="aab", stones=stones)
    # of the four draws of two patients: a a 1/3, a b and b a 1/4, b b 0
    assert scores["intervals"]["stone_sensitivity"] == pytest.approx([0, 1 / 3])
    assert scores["size_bins"][1]["interval"] == pytest.approx([0, 1])
    # the section that a-1 shows in another slice counts for the group of the first one, once
    apart = evaluate([mask * 0.9 for mask in found], targets, 0.5, groups="abc", stones=stones)
    assert apart["n_stones"] == 4 and apart["stone_sensitivity"] == 1 / 4


def test_sections_of_no_known_stone_and_stones_without_a_section():
    found, targets, stones = slices()
    stones = [stones[0][:1], [], [KnownStone("b-1", 0, 0, 3.0)]]
    targets[2] = np.zeros_like(targets[2])  # too thin to be drawn in the mask
    scores = evaluate([mask * 0.9 for mask in found], targets, 0.5, stones=stones)
    assert (scores["n_stones"], scores["n_sections"], scores["n_sections_unidentified"]) == (1, 3, 2)


def test_stones_outside_the_image_are_refused():
    found, targets, stones = slices()
    stones[1] = [KnownStone("a-1", 4, 5, 3.0)]
    with pytest.raises(ValueError, match=r"stones 1 must lie inside the image of 2 x 12 pixels, got a-1"):
        score_masks(found, targets, stones)
