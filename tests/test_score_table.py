"""The table of scores says what the dict says."""

import re

import numpy as np

from unet_helpers.evaluation import evaluate, score_masks
from unet_helpers.score_table import LABELS, score_table, size_name


def scores_of(**options):
    rng = np.random.default_rng(0)
    targets = [rng.random((16, 16)) < 0.03 * (n % 3) for n in range(9)]
    probabilities = [0.6 * t + 0.3 * rng.random(t.shape) for t in targets]
    probabilities[1][targets[1]] = 0.1  # all of one image missed
    return evaluate(probabilities, targets, 0.5, **options), [p >= 0.2 for p in probabilities], targets


def test_every_row_holds_score_interval_and_number():
    scores, rival, targets = scores_of(spacing_mm=0.8)
    other = score_masks(rival, targets)
    lines = score_table(scores, {"grey": other}).splitlines()
    assert re.fullmatch(r" +score +95 %, 9 groups +n +grey", lines[0])
    low, high = scores["intervals"]["dice_positive_mean"]
    mean, theirs = scores["dice_positive_mean"], other["dice_positive_mean"]
    numbers = f"{mean:.3f} +{low:.3f} to {high:.3f} +6 +{theirs:.3f}"
    assert re.fullmatch(rf"Dice, mean over images with a stone +{numbers}", lines[1])
    assert any(re.match(r"stone-free images left clean +1\.000 +- +3 ", line) for line in lines)
    assert any(line.startswith("surface Dice at 1 mm") for line in lines)
    assert any(line.startswith("stones found, below 3 mm") for line in lines)
    assert len({len(line) for line in lines[: 1 + len(LABELS)]}) <= 2  # aligned; a rival has no distances


def test_without_a_pixel_size_the_table_says_so():
    text = score_table(scores_of()[0])
    assert "HD95 in px" in text and " mm" not in text
    assert text.endswith("The size of the pixels is not known here: sizes and distances are in pixels.")


def test_what_is_undefined_is_a_dash():
    empty = np.zeros((4, 4), bool)
    text = score_table(evaluate([empty * 0.0], [empty], 0.5))
    assert re.search(r"^Dice, mean over images with a stone +- +- +0$", text, re.M) and "nan" not in text


def test_names_of_size_bins():
    bins = [{"low": 0.0, "high": 3.0}, {"low": 3.0, "high": 5.0}, {"low": 10.0, "high": None}]
    assert [size_name(one, "mm") for one in bins] == ["below 3 mm", "3 to 5 mm", "10 mm and more"]
