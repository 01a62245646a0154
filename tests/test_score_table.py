"""The table of scores says what the dict says."""

import re

import numpy as np

from unet_helpers.data import KnownStone
from unet_helpers.evaluation import evaluate, score_masks
from unet_helpers.scores.table import LABELS, score_table, size_name


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
    assert any(line.startswith("sections found, below 3 mm") for line in lines)
    assert len({len(line) for line in lines[: len(LABELS)]}) <= 2  # aligned; a rival has no distances


def test_every_label_names_its_overlap_and_what_it_stands_on():
    words = {"dice": "Dice", "iou": "IoU", "precision": "precision", "recall": "recall"}
    for overlap, word in words.items():
        mean, pooled = LABELS[f"{overlap}_positive_mean"], LABELS[f"{overlap}_pooled"]
        assert mean == (f"{word}, mean over images with a stone", "n_positive")
        assert pooled == (f"{word}, pooled over all pixels", "n_images")


def test_sections_and_stones_have_rows_of_their_own():
    scores, _, targets = scores_of(spacing_mm=0.8)
    text, n, share = score_table(scores), scores["n_sections"], scores["section_sensitivity"]
    assert re.search(rf"^sections found \(sensitivity\) +{share:.3f} .* {n}$", text, re.MULTILINE)
    assert re.search(rf"^sections touched by at least one pixel +\d\.\d+ .* {n}$", text, re.MULTILINE)
    assert "stones" not in text  # none is known
    known = [[KnownStone(f"{i}", *np.argwhere(t)[0], 7.0)] if t.any() else [] for i, t in enumerate(targets)]
    scores, _, _ = scores_of(stones=known)
    text = score_table(scores)
    assert re.search(r"^stones found in any slice \(sensitivity\) +\d\.\d+ .* 6$", text, re.MULTILINE)
    assert re.search(r"^stones found, 5 to 10 mm +\d\.\d+ .* 6$", text, re.MULTILINE)
    assert "stones found, 3 to 5 mm" in text
    assert f"{scores['n_sections'] - 6} of {scores['n_sections']} sections are of no known stone" in text


def test_limits_by_size_and_outliers_stand_below_the_table():
    target = np.zeros((40, 40), bool)
    target[18:21, 18:21] = True
    large = np.zeros_like(target)
    large[15:24, 15:24] = True
    text = score_table(evaluate([target * 0.9] * 8 + [large * 0.9], [target] * 9, 0.5))
    assert "limits by size, px: below 3 px - (n = 0); 3 to 5 px -3.6" in text and "(n = 9)" in text
    assert "1 sections are measured far off, in px: image 9 at row 19, column 19: 10.2 for 3.4" in text


def test_thresholds_of_several_folds_are_given_as_a_range():
    mask = np.eye(4, dtype=bool)
    text = score_table(evaluate([mask * 0.9] * 3, [mask] * 3, [0.4, 0.4, 0.55], [0, 2, 3]))
    assert "threshold 0.4 to 0.55 (one an image), regions of at least 0 to 3 (one an image) pixels" in text


def test_without_a_pixel_size_the_table_says_so():
    text = score_table(scores_of()[0])
    assert "limits by size, px" in text and "HD95 in px" in text and " mm" not in text
    assert text.endswith("The size of the pixels is not known here: sizes and distances are in pixels.")


def test_what_is_undefined_is_a_dash():
    empty = np.zeros((4, 4), bool)
    text = score_table(evaluate([empty * 0.0], [empty], 0.5))
    assert (
        re.search(r"^Dice, mean over images with a stone +- +- +0$", text, re.MULTILINE) and "nan" not in text
    )


def test_names_of_size_bins():
    bins = [{"low": 0.0, "high": 3.0}, {"low": 3.0, "high": 5.0}, {"low": 10.0, "high": None}]
    assert [size_name(one, "mm") for one in bins] == ["below 3 mm", "3 to 5 mm", "10 mm and more"]
