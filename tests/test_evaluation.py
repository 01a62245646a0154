"""Scores of a data set and the comparison of two methods, by hand."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unet_helpers.evaluation import (
    choose_grey_threshold,
    choose_operating_point,
    choose_threshold,
    compare,
    evaluate,
    score_masks,
)
from unet_helpers.metrics import predicted_mask
from unet_helpers.scores.records import pixel_sizes


def draw(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


EMPTY = draw("......", "......")
TARGETS = [draw("##...#", "##...."), EMPTY, EMPTY, draw("....##", "......")]
PREDICTIONS = [draw("#....#", "#...#."), EMPTY, draw("#.#...", "......"), EMPTY]


def test_all_scores_by_hand():
    scores = score_masks(PREDICTIONS, TARGETS)
    # image 1: TP 3, FP 1, FN 2, both of its sections hit; image 4: 2 missed; image 3: two false alarms
    assert scores.pop("stone_sensitivity") != scores["section_sensitivity"]  # NaN: no stone is known
    assert scores == pytest.approx(
        {
            "n_images": 4,
            "n_positive": 2,
            "n_sections": 3,
            "n_sections_unidentified": 3,
            "n_stones": 0,
            "dice_positive_mean": (6 / 9 + 0) / 2,
            "iou_positive_mean": (3 / 6 + 0) / 2,
            "precision_positive_mean": (3 / 4 + 0) / 2,
            "recall_positive_mean": (3 / 5 + 0) / 2,
            "dice_pooled": 6 / (6 + 3 + 4),
            "iou_pooled": 3 / (3 + 3 + 4),
            "precision_pooled": 3 / (3 + 3),
            "recall_pooled": 3 / (3 + 4),
            "clean_negative_rate": 1 / 2,
            "false_positives_per_image": 2 / 4,
            "section_sensitivity": 2 / 3,
            "section_sensitivity_touched": 2 / 3,
            "n_merged": 0,
            "n_split": 0,
        }
    )
    assert all(type(value) in (int, float) for value in scores.values())  # json can write them


def test_scores_without_an_image_to_stand_on_are_nan():
    empty = np.zeros((3, 3), bool)
    scores = score_masks([empty], [empty])
    nans = sorted(name for name, value in scores.items() if math.isnan(value))
    overlaps = [
        f"{name}_{how}"
        for name in ("dice", "iou", "precision", "recall")
        for how in ("pooled", "positive_mean")
    ]
    assert nans == [*overlaps, "section_sensitivity", "section_sensitivity_touched", "stone_sensitivity"]
    assert scores["clean_negative_rate"] == 1 and scores["false_positives_per_image"] == 0
    assert math.isnan(score_masks([~empty], [~empty])["clean_negative_rate"])


def test_evaluate_applies_threshold_and_smallest_size():
    probability = np.array([[0.9, 0.6, 0.0, 0.7], [0.0, 0.0, 0.0, 0.0]], np.float32)
    target = draw("##..", "....")
    scores = evaluate([probability], [target], 0.6)
    assert scores["dice_pooled"] == 4 / 5 and scores["false_positives_per_image"] == 1
    assert (scores["threshold"], scores["min_pixels"]) == (0.6, 0)
    assert evaluate([probability], [target], 0.6, min_pixels=2)["dice_pooled"] == 1.0
    assert evaluate([probability], [target], 0.65)["dice_pooled"] == 2 / 4


def test_a_grazed_section_is_touched_but_hardly_found():
    scores = score_masks([draw("...#######"), draw("...########")], [draw("####......"), draw("####.......")])
    assert scores["section_sensitivity"] == 0.5  # 1 of 10, 1 of 11
    assert scores["section_sensitivity_touched"] == 1 and scores["false_positives_per_image"] == 0.5


def test_scores_are_loaded_when_one_is_asked_for():
    code = (
        "import sys, unet_helpers.evaluation; sys.exit(any('unet_helpers.scores' in m for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_benchmark_runs():
    script = Path(__file__).resolve().parents[1] / "benchmarks" / "evaluation.py"
    ran = subprocess.run(
        [sys.executable, script, "--images", "3", "--size", "48", "--parts"], text=True, capture_output=True
    )
    assert ran.returncode == 0, ran.stderr
    assert re.findall(r"^(\w+) +all scores +[\d.]+ s", ran.stdout, re.MULTILINE) == [
        "good",
        "unsure",
        "noise",
    ]


# ------------------------------------------------------------------- sizes, intervals, curves, by hand
PROBABILITIES = [0.8 * p.astype(np.float32) for p in PREDICTIONS]


def kinds(value: object) -> set[type]:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {type(value)}.union(*map(kinds, inside))


def flat(scores: dict) -> dict:
    return {name: value for name, value in scores.items() if not isinstance(value, (dict, list))}


def test_evaluate_holds_the_scores_of_the_masks_and_can_be_written_as_json():
    scores = evaluate(PROBABILITIES, TARGETS, 0.5)
    assert {name: scores[name] for name in score_masks(PREDICTIONS, TARGETS)} == pytest.approx(
        score_masks(PREDICTIONS, TARGETS), nan_ok=True
    )
    assert (scores["unit"], scores["n_groups"]) == ("px", 4)
    assert set(flat(scores)) - set(score_masks(PREDICTIONS, TARGETS)) == {
        "surface_dice_1px",
        "hd95_px",
        "asd_px",
        "n_distances",
        "n_distances_infinite",
        "threshold",
        "min_pixels",
        "n_groups",
        "unit",
    }
    assert kinds(scores) <= {dict, list, int, float, bool, str, type(None)}  # no NumPy number, no tuple
    assert json.loads(json.dumps(scores)).keys() == scores.keys()


def test_each_image_and_each_section_is_listed():
    scores = evaluate(PROBABILITIES, TARGETS, 0.5, spacing_mm=(2.0, 0.5))  # a pixel of 1 mm2
    first, second, third, fourth = scores["per_image"]
    assert (first["dice"], first["iou"]) == (6 / 9, 3 / 6)
    counts = [[one[k] for k in ("n_sections", "n_found", "n_false_positives")] for one in scores["per_image"]]
    assert counts == [[2, 2, 0], [0, 0, 0], [0, 0, 2], [1, 0, 0]]
    assert math.isnan(second["dice"]) and third["dice"] == fourth["dice"] == 0 and math.isinf(third["hd95"])
    assert [(s["image"], s["row"], s["column"], s["found"]) for s in scores["per_section"]] == [
        (0, 0.5, 0.5, True),
        (0, 0, 5, True),
        (3, 0, 4.5, False),
    ]
    diameters = [section["diameter"] for section in scores["per_section"]]
    assert diameters == pytest.approx([2 * math.sqrt(n / math.pi) for n in (4, 1, 2)])
    predicted = [section["predicted_diameter"] for section in scores["per_section"]]
    assert predicted == [pytest.approx(2 * math.sqrt(2 / math.pi))] * 2 + [None]


def test_distances_are_means_over_images_with_a_stone_and_a_prediction():
    scores = evaluate(PROBABILITIES, TARGETS, 0.5, spacing_mm=[(2.0, 0.5)] * 4)
    assert (scores["n_distances"], scores["n_distances_infinite"]) == (1, 1)
    first = scores["per_image"][0]
    # predicted (0,0) (1,0) (0,5) (1,4), true (0,0) (0,1) (1,0) (1,1) (0,5): of these nine outline
    # pixels (1,4) is 1.5 mm from (1,1) and (0,1), (1,1) are 0.5 mm from the left column
    assert first["asd"] == pytest.approx((1.5 + 0.5 + 0.5) / 9) == scores["asd_mm"]
    assert first["surface_dice"] == 8 / 9 and scores["surface_dice_1mm"] == (8 / 9 + 0) / 2
    assert scores["hd95_mm"] == pytest.approx(0.85 * 1.5)  # of 0, 0, 0, 1.5: 85 % of the way to the last


def test_size_bins_are_closed_below_and_open_above():
    target = np.zeros((4, 40), bool)
    for column, width in ((0, 1), (5, 8), (20, 15)):  # 1, 32 and 60 pixels
        target[:, column : column + width] = True
    target[1:, 0] = False
    per_pixel = 2 / math.sqrt(math.pi)
    sizes = [per_pixel * math.sqrt(n) for n in (1, 32, 60)]
    bins = evaluate([target * 0.9], [target], 0.5, spacing_mm=5 / sizes[1])["size_bins"]
    assert [(b["low"], b["high"], b["n"]) for b in bins] == [
        (0, 3, 1),
        (3, 5, 0),
        (5, 10, 2),
        (10, None, 0),
    ]  # the middle section has 5 mm
    assert {(b["of"], b["unit"]) for b in bins} == {("sections", "mm")}
    assert math.isnan(bins[1]["sensitivity"]) and bins[2]["sensitivity"] == 1
    bins = evaluate([target * 0.9 * (np.arange(40) < 18)], [target], 0.5)["size_bins"]  # in pixels
    assert [(b["n_found"], b["n"]) for b in bins] == [(1, 1), (0, 0), (1, 2), (0, 0)]


def test_intervals_come_from_the_groups_and_hold_the_score():
    rng = np.random.default_rng(0)
    targets = [rng.random((20, 20)) < 0.02 * (n % 8 > 0) for n in range(40)]
    probabilities = [np.where(t, 0.9, 0.2) * (rng.random(t.shape) < 0.9) for t in targets]
    by_image = evaluate(probabilities, targets, 0.5)
    by_pair = evaluate(probabilities, targets, 0.5, groups=[i // 2 for i in range(40)], seed=0)
    assert by_pair["n_groups"] == 20
    assert json.dumps(flat(by_image) | {"n_groups": 20}) == json.dumps(flat(by_pair))  # NaN is NaN there
    assert by_image["intervals"] != by_pair["intervals"]
    without = [name for name, (low, _) in by_pair["intervals"].items() if math.isnan(low)]
    assert without == [
        "precision_positive_mean",
        "precision_pooled",
        "clean_negative_rate",
        "false_positives_per_image",
        "stone_sensitivity",
    ]  # 1 or 0 everywhere, or not known
    for name, (low, high) in by_pair["intervals"].items():
        assert name in without or low <= by_pair[name] <= high, name
    pairs = np.reshape([one["dice"] for one in by_pair["per_image"]], (20, 2))
    pairs[np.reshape([not t.any() for t in targets], (20, 2))] = np.nan
    drawn = np.random.default_rng(0).integers(0, 20, (2000, 20))
    by_hand = np.percentile(np.nanmean(pairs[drawn], (1, 2)), [2.5, 97.5])
    assert by_pair["intervals"]["dice_positive_mean"] == pytest.approx(by_hand.tolist())
    again = evaluate(probabilities, targets, 0.5, groups=[i // 2 for i in range(40)])
    assert json.dumps(again) == json.dumps(by_pair)
    other = evaluate(probabilities, targets, 0.5, seed=1, n_resamples=50)
    assert json.dumps(flat(other)) == json.dumps(flat(by_image))
    assert other["intervals"] != by_image["intervals"]


@pytest.mark.parametrize("min_pixels", [0, 2])
def test_the_froc_curve_passes_through_the_scores(min_pixels: int):
    rng = np.random.default_rng(1)
    targets = [rng.random((30, 30)) < 0.01 for _ in range(6)]
    probabilities = [(0.5 * t + 0.5 * rng.random(t.shape)).astype(np.float32) for t in targets]
    scores = evaluate(probabilities, targets, 0.43, min_pixels)
    at = scores["froc"]["threshold"].index(0.43)
    assert scores["froc"]["sensitivity"][at] == scores["section_sensitivity"]
    assert scores["froc"]["false_positives_per_image"][at] == scores["false_positives_per_image"]


def test_sizes_of_the_sections_found_are_compared():
    target = draw("####......", "..........", "..........", "#########.")
    prediction = draw("##........", "..........", "..........", "..........")
    agreement = evaluate([prediction * 1.0], [target], 0.5)["size_agreement"]
    true, predicted = 2 * math.sqrt(4 / math.pi), 2 * math.sqrt(2 / math.pi)
    assert agreement["n"] == 1 and agreement["true"] == [pytest.approx(true)]
    assert agreement["predicted"] == [pytest.approx(predicted)]
    assert agreement["bias"] == pytest.approx(predicted - true)


def test_the_interval_of_the_size_bias_has_its_sign():
    one, two = draw("##........"), draw("###.......")
    size = evaluate([one * 0.9, two * 0.9], [draw("####......")] * 2, 0.5)["size_agreement"]
    off = [2 * (math.sqrt(n / math.pi) - math.sqrt(4 / math.pi)) for n in (2, 3)]  # too small, both
    assert size["bias"] == pytest.approx(sum(off) / 2) and size["bias_interval"] == pytest.approx(off)


def test_one_group_has_no_interval_and_nothing_found_no_size():
    scores = evaluate([np.zeros((5, 5))], [np.eye(5, dtype=bool)], 0.5)
    assert all(np.isnan(ends).all() for ends in scores["intervals"].values())
    assert scores["section_sensitivity"] == 0 and scores["size_agreement"]["n"] == 0
    assert scores["n_distances_infinite"] == 1 and math.isnan(scores["hd95_px"])


@pytest.mark.parametrize(("options", "message"), [
    ({"groups": "abc"}, r"groups must be one an image \(4\), got 3"),
    ({"spacing_mm": [1.0, 1.0]}, r"spacing_mm must be one an image \(4\), got 2\. For one \(row, column\)"),
    ({"spacing_mm": 0.0}, r"spacing_mm must be positive"),
    ({"spacing_mm": [1.0, 1.0, None, 1.0]}, r"spacing_mm must be positive.* got None"),
    ({"stones": [[]]}, r"stones must be one list an image \(4\), got 1"),
    ({"threshold": [0.5, 0.5]}, r"threshold must be one number, or one an image \(4\), got 2"),
    ({"threshold": [0.5, 0.5, math.nan, 0.5]}, r"threshold must lie in \[0, 1\], got nan for image 2"),
    ({"threshold": 5}, r"threshold must lie in \[0, 1\], got 5 for image 0"),
    ({"min_pixels": -1}, r"min_pixels must not be negative, got -1 for image 0"),
])  # fmt: skip
def test_wrong_settings_are_refused(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        evaluate(PROBABILITIES, TARGETS, **{"threshold": 0.5, **options})


def test_two_numbers_for_two_images_are_no_trap():
    for two in ([0.7, 0.9], np.array([0.7, 0.9])):  # taken as one an image until now, meant as (row, column)
        message = r"for two images, got \[0\.7, 0\.9\].* tuple \(0\.7, 0\.9\) .* \[\(0\.7, 0\.7\), \(0\.9"
        with pytest.raises(ValueError, match=message):
            evaluate(PROBABILITIES[:2], TARGETS[:2], 0.5, spacing_mm=two)
    assert pixel_sizes((0.7, 0.9), 2) == [(0.7, 0.9)] * 2
    assert pixel_sizes([(0.7, 0.7), (0.9, 0.9)], 2) == [(0.7, 0.7), (0.9, 0.9)]
    assert pixel_sizes([0.7, 0.9, 0.8], 3) == [(0.7, 0.7), (0.9, 0.9), (0.8, 0.8)]


@pytest.mark.parametrize(
    "score",
    [lambda p, t: evaluate(p, t, 0.5), choose_threshold, lambda p, t: choose_operating_point(p, t, 9)],
)
@pytest.mark.parametrize(("bad", "message"), [
    (np.linspace(-8, 5, 12).reshape(2, 6),
     r"probability 1 must lie in \[0, 1\], got -8 to 5\. Use torch\.sigmoid"),
    (np.full((2, 6), np.nan), r"probability 1 must lie in \[0, 1\], got NaN in 12 of 12 pixels"),
    (np.full((2, 6), np.inf), r"probability 1 must lie in \[0, 1\], got inf to inf"),
    (np.ones((2, 6), int), r"probability 1 must be a float array, got int64\. Use torch\.sigmoid"),
])  # fmt: skip
def test_what_is_no_probability_is_refused(score, bad: np.ndarray, message: str):
    with pytest.raises(ValueError, match=message):
        score([PROBABILITIES[0], bad, *PROBABILITIES[2:]], TARGETS)


def test_threshold_and_smallest_region_may_be_one_an_image():
    thresholds, smallest = [0.85, 0.5, 0.5, 0.5], [0, 0, 2, 0]
    scores = evaluate(PROBABILITIES, TARGETS, thresholds, smallest)
    masks = [predicted_mask(*each) for each in zip(PROBABILITIES, thresholds, smallest, strict=True)]
    expected = score_masks(masks, TARGETS)
    assert {name: scores[name] for name in expected} == pytest.approx(expected, nan_ok=True)
    assert (scores["threshold"], scores["min_pixels"]) == (thresholds, smallest)
    assert not set(thresholds) & set(scores["froc"]["threshold"]) - {0.5}
    assert kinds(scores) <= {dict, list, int, float, bool, str, type(None)}
    same = evaluate(PROBABILITIES, TARGETS, [0.43] * 4, [2] * 4)
    assert (same["threshold"], same["min_pixels"]) == (0.43, 2) and 0.43 in same["froc"]["threshold"]
    assert json.dumps(same) == json.dumps(evaluate(PROBABILITIES, TARGETS, 0.43, 2))


# -------------------------------------------------------------------------------------- sizes, outliers
def test_limits_of_size_are_given_by_size_and_outliers_are_named():
    rng = np.random.default_rng(0)
    rows, columns = np.indices((90, 90))

    def disc(radius: float, column: int = 20) -> np.ndarray:
        return (rows - 40) ** 2 + (columns - column) ** 2 <= radius**2

    radii = rng.uniform(2, 8, 40)
    targets = [disc(radius) for radius in radii]
    probabilities = [disc(radius + rng.normal(0, 0.3)) * 0.9 for radius in radii]
    probabilities[7] = disc(2.8 * radii[7]) * 0.9  # 2.8 times the size: an IoU of 0.13
    targets[9], probabilities[9] = disc(9, 50), disc(17, 50) * 0.9
    size = evaluate(probabilities, targets, 0.5)["size_agreement"]
    assert [part["n"] for part in size["by_size"]] == [
        0,
        size["by_size"][1]["n"],
        size["by_size"][2]["n"],
        size["by_size"][3]["n"],
    ]
    assert sum(part["n"] for part in size["by_size"]) == size["n"] == 40
    assert size["n_outliers"] == len(size["outliers"]) == 2
    assert {outlier["image"] for outlier in size["outliers"]} == {7, 9}
    first = size["outliers"][0]
    assert abs(first["predicted"] - first["true"]) == max(
        abs(p - t) for p, t in zip(size["predicted"], size["true"], strict=True)
    )
    (nine,) = (outlier for outlier in size["outliers"] if outlier["image"] == 9)
    assert (nine["row"], nine["column"]) == (40, 50) and nine["true"] == pytest.approx(18, abs=0.3)
    # a pixel more or less is no outlier, whatever a pixel measures
    small = [disc(3) for _ in range(9)]
    off = [mask * 0.9 for mask in small[:8]] + [disc(3.4) * 0.9]
    for spacing_mm in (None, 0.5, (2.0, 0.5)):
        assert evaluate(off, small, 0.5, spacing_mm=spacing_mm)["size_agreement"]["outliers"] == []


def test_no_more_than_ten_outliers_are_named():
    target = np.zeros((40, 40), bool)
    target[18:21, 18:21] = True
    large = np.zeros_like(target)
    large[15:24, 15:24] = True  # an IoU of 9 / 81
    size = evaluate([target * 0.9] * 30 + [large * 0.9] * 12, [target] * 42, 0.5)["size_agreement"]
    assert size["n_outliers"] == 12 and len(size["outliers"]) == 10


# -------------------------------------------------------------------------------- each image by itself
def test_each_image_has_its_own_threshold_smallest_region_and_pixel_size():
    """Scored together, every image scores as it would alone with its own settings."""
    target = draw("####......", "..........", "......##..")
    probability = np.zeros(target.shape, np.float32)
    probability[0, :5] = 0.9, 0.7, 0.5, 0.3, 0.1  # ever more of the section as the threshold falls
    probability[2, 4:8] = 0.95, 0.05, 0.95, 0.95  # a speck of one pixel, and a section of two
    images, own = [probability, probability.T, probability], ([0.8, 0.6, 0.4], [2, 0, 3])
    targets, spacing_mm = [target, target.T, target], [(2.0, 0.5), (0.7, 3.0), (1.0, 1.0)]
    together = evaluate(images, targets, *own, spacing_mm=spacing_mm)
    alone = [
        evaluate(*([one] for one in each[:2]), each[2], each[3], spacing_mm=each[4])
        for each in zip(images, targets, *own, spacing_mm, strict=True)
    ]
    assert together["per_image"] == [scores["per_image"][0] for scores in alone]
    sections = [{**section, "image": i} for i, one in enumerate(alone) for section in one["per_section"]]
    assert together["per_section"] == sections
    assert len({one["dice"] for one in together["per_image"]}) == 3
    assert [one["n_false_positives"] for one in together["per_image"]] == [0, 1, 0]
    # every threshold of the curve drops the small regions of each image
    false = [together["froc"], *(scores["froc"] for scores in alone)]
    at = [curve["threshold"].index(0.5) for curve in false]
    rates = [curve["false_positives_per_image"][k] for curve, k in zip(false, at, strict=True)]
    assert rates == [1 / 3, 0, 1, 0]


def test_the_draws_of_the_bootstrap_can_be_chosen():
    rng = np.random.default_rng(0)
    targets = [rng.random((9, 9)) < 0.2 for _ in range(12)]
    probabilities = [t * (rng.random(t.shape) < 0.7) * 0.9 for t in targets]
    other = [t * 0.9 for t in targets]

    def ends(**options) -> list[list[float]]:
        scores = evaluate(probabilities, targets, 0.5, **options)
        change = compare(scores, evaluate(other, targets, 0.5), **options)["section_sensitivity"]
        flat, bias = scores["intervals"]["dice_pooled"], scores["size_agreement"]["bias_interval"]
        return [flat, bias, scores["size_bins"][0]["interval"], change["interval"]]

    usual = ends()
    assert usual == ends(seed=0, n_resamples=2000, groups=range(12))
    for options in ({"seed": 1}, {"n_resamples": 30}, {"groups": "aabbccddeeff"}):
        assert all(one != another for one, another in zip(usual, ends(**options), strict=True)), options


# ---------------------------------------------------------------------------------------- two methods
def test_two_methods_are_compared_image_by_image():
    first = evaluate(PROBABILITIES, TARGETS, 0.5)
    second = evaluate([0.8 * t.astype(np.float32) for t in TARGETS], TARGETS, 0.5)
    change = compare(first, second, "abcd")
    assert list(change) == ["dice_positive_mean", "section_sensitivity", "false_positives_per_image"]
    for name, row in change.items():
        assert (row["first"], row["second"]) == pytest.approx((first[name], second[name]))
        assert row["difference"] == pytest.approx(second[name] - first[name])
        low, high = row["interval"]
        assert low <= row["difference"] <= high
    assert change["dice_positive_mean"]["interval"] == pytest.approx([1 / 3, 1])
    assert kinds(change) == {dict, list, float}
    nothing = compare(first, first, "abcd")["dice_positive_mean"]
    assert nothing["difference"] == 0 and np.isnan(nothing["interval"]).all()
    with pytest.raises(ValueError, match="of the same images, got 4 images with 3 sections and 3 with 2"):
        compare(first, evaluate(PROBABILITIES[:3], TARGETS[:3], 0.5))


def test_images_of_different_sizes():
    scores = score_masks(
        [np.ones((2, 2), bool), np.zeros((3, 5), bool)], [np.ones((2, 2), bool), np.ones((3, 5), bool)]
    )
    assert scores["dice_positive_mean"] == 0.5 and scores["dice_pooled"] == 8 / 23


@pytest.mark.parametrize("score", [
    score_masks, choose_threshold, choose_grey_threshold, lambda p, t: choose_operating_point(p, t, 1),
    lambda p, t: evaluate(p, t, 0.5)])  # fmt: skip
def test_unequal_numbers_are_refused(score):
    mask = np.zeros((3, 3), bool)
    for predictions, targets, numbers in (([], [], "0 and 0"), ([mask], [mask, mask], "1 and 2")):
        with pytest.raises(ValueError, match=f"equally many and at least one, got {numbers}"):
            score(predictions, targets)
