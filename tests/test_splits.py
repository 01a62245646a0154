"""Splits and folds by group: shares of images and stones, no torn group, the same on every machine."""

import itertools
import random
import time
import warnings
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unet_helpers.data import Pair, folds_by_group, split_by_group, stone_strata

WANTED = {"train": 0.7, "val": 0.1, "test": 0.2}


def make_pairs(*sizes: int) -> list[Pair]:
    return [
        Pair(Path(f"{g}-{i}.jpg"), Path(f"{g}-{i}_mask.png"), f"g{g}")
        for g, n in enumerate(sizes)
        for i in range(n)
    ]


def groups_in(part: list[Pair]) -> set[str]:
    return {pair.group for pair in part}


def is_whole(split: dict[str, list[Pair]], pairs: list[Pair]) -> bool:
    """Every pair in one part, every group in one part, no part empty."""
    groups = [groups_in(part) for part in split.values()]
    return (
        sorted(chain.from_iterable(split.values()), key=pairs.index) == pairs
        and all(groups)
        and sum(map(len, groups)) == len(set().union(*groups))
    )


SERIES = (
    173,
    46,
    44,
    41,
    38,
    36,
    33,
    31,
    30,
    28,
    27,
    25,
    24,
    23,
    22,
    21,
    20,
    19,
    18,
    17,
    16,
    15,
    14,
    13,
    12,
    11,
    10,
    9,
    8,
    7,
    6,
    5,
    4,
    3,
    2,
)  # one series with a fifth of everything


@pytest.mark.parametrize(
    ("sizes", "off"),
    [
        ([8] * 96, 0.005),
        (SERIES, 0.005),
        ([22] * 35, 0.015),
        ([90] + [22] * 34, 0.016),
        ([1] * 211, 0.003),
        ([1 + g % 4 for g in range(60)], 0.005),
    ],
    ids=["phantom", "series", "equal", "one large", "single", "mixed"],
)
def test_images_come_near_to_70_10_20_at_every_seed(sizes: list[int], off: float):
    pairs = make_pairs(*sizes)
    for seed in range(10):
        split = split_by_group(pairs, seed)
        assert is_whole(split, pairs)
        for name, share in WANTED.items():
            assert len(split[name]) / len(pairs) == pytest.approx(share, abs=off), (seed, name)


def test_a_test_part_is_many_patients_not_one():
    pairs = make_pairs(*SERIES)
    assert min(len(groups_in(split_by_group(pairs, seed)["test"])) for seed in range(10)) >= 5


def test_a_large_group_may_be_tested_on():
    pairs = make_pairs(60, *[10] * 54)
    tested = ["g0" in groups_in(split_by_group(pairs, seed)["test"]) for seed in range(60)]
    assert 3 <= sum(tested) <= 20


def rare_strata(sizes: list[int]) -> tuple[list[Pair], list[int]]:
    pairs, draw = make_pairs(*sizes), random.Random(0)
    kind = {group: draw.choice([0, 1, 1, 2, 2, 3]) for group in sorted(groups_in(pairs))}
    return pairs, [draw.choice([0, 1, kind[pair.group]]) for pair in pairs]


def test_the_share_of_every_stratum_comes_near_too():
    pairs, strata = rare_strata([8] * 96)
    label, totals = dict(zip(pairs, strata, strict=True)), Counter(strata)
    for seed in range(10):
        split = split_by_group(pairs, seed, strata)
        assert is_whole(split, pairs)
        for name, share in WANTED.items():
            counts = Counter(label[pair] for pair in split[name])
            assert len(split[name]) / len(pairs) == pytest.approx(share, abs=0.005)
            for stratum, total in totals.items():
                assert counts[stratum] / total == pytest.approx(share, abs=0.03), (seed, name, stratum)


@pytest.mark.parametrize("seed", range(6))
def test_few_groups_are_split_as_well_as_any_split_could(seed: int):
    draw = random.Random(seed)
    sizes = [draw.randint(1, 40) for _ in range(draw.randint(3, 9))]

    def off(counts: list[int]) -> float:
        return max(abs(n / sum(sizes) - share) for n, share in zip(counts, WANTED.values(), strict=True))

    every = itertools.product(range(3), repeat=len(sizes))
    best = min(
        off([sum(n for n, p in zip(sizes, parts, strict=True) if p == part) for part in range(3)])
        for parts in every
        if len(set(parts)) == 3
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        split = split_by_group(make_pairs(*sizes), seed)
    assert off([len(part) for part in split.values()]) <= best + 0.03


def test_the_split_depends_on_nothing_but_names_and_seed():
    pairs, strata = rare_strata([2] * 20 + [3] * 9)
    split = split_by_group(pairs, 0, strata)
    order = random.Random(1).sample(range(len(pairs)), len(pairs))
    mixed = split_by_group([pairs[i] for i in order], 0, [strata[i] for i in order])
    assert {name: set(part) for name, part in mixed.items()} == {n: set(p) for n, p in split.items()}
    assert split["test"] == [pair for pair in pairs if pair in split["test"]]  # in the order of the pairs
    others = {frozenset(groups_in(split_by_group(pairs, seed, strata)["test"])) for seed in range(10)}
    assert len(others) == 10
    # held against a known answer, so that no release of Python, NumPy or this package moves a test set
    assert sorted(groups_in(split_by_group(make_pairs(*[2] * 20))["test"])) == ["g13", "g16", "g18", "g6"]


@pytest.mark.parametrize("sizes", [[10] * 2000, [1] * 20_000], ids=["2000 groups", "20000 groups"])
def test_a_large_set_is_split_in_linear_time(sizes: list[int]):
    pairs, draw = make_pairs(*sizes), random.Random(0)
    strata = [draw.choice([0, 0, 1, 1, 2, 3]) for _ in pairs]
    started = time.process_time()
    split = split_by_group(pairs, 0, strata)
    assert time.process_time() - started < 2  # a quarter of a second here; it took 8.7 s
    assert len(split["test"]) / len(pairs) == pytest.approx(0.2, abs=0.002)


# ------------------------------------------------------------------------------- what cannot be split
def test_a_dominant_patient_is_said_with_numbers():
    with pytest.warns(UserWarning, match="no group may be torn apart") as caught:
        split = split_by_group(make_pairs(17, 1, 1, 1))
    assert {name: len(part) for name, part in split.items()} == {"train": 17, "val": 1, "test": 2}
    (warning,) = caught
    text = str(warning.message)
    assert "train 17 (85 %), val 1 (5 %), test 2 (10 %) of 20 images" in text
    assert "instead of train 14 (70 %), val 2 (10 %), test 4 (20 %)" in text
    assert "there are 4, and the largest, g0, holds 17 images" in text
    assert warning.filename == __file__


def test_two_groups_cannot_be_split():
    with pytest.raises(ValueError, match="at least 3 groups .* got 2"):
        split_by_group(make_pairs(5, 5))


def test_one_label_an_image():
    with pytest.raises(ValueError, match="strata must hold one label an image, got 2 for 3 images"):
        split_by_group(make_pairs(1, 1, 1), strata=[0, 1])


@pytest.mark.parametrize("n_bearing", [3, 4, 10])
def test_every_part_holds_a_stone_where_it_can(n_bearing: int):
    pairs = make_pairs(*[4] * 60)
    for seed in range(10):
        bearing = {f"g{g}" for g in random.Random(seed).sample(range(60), n_bearing)}
        split = split_by_group(pairs, seed, [int(pair.group in bearing) for pair in pairs])
        assert all(groups_in(part) & bearing for part in split.values())


@pytest.mark.parametrize(("n_bearing", "without"), [(1, "val and test"), (2, "test")])
def test_a_part_without_a_stone_is_said(n_bearing: int, without: str):
    pairs = make_pairs(*[4] * 20)
    strata = [int(pair.group in ("g3", "g7")[:n_bearing]) for pair in pairs]
    text = f"no image with a stone in {without}: only {n_bearing} of 20 groups"
    with pytest.warns(UserWarning, match=text):
        split_by_group(pairs, 0, strata)


# ------------------------------------------------------------------------------------ cross-validation
@pytest.mark.parametrize("n_folds", [3, 5, 35])
def test_every_group_is_tested_in_one_fold(n_folds: int):
    pairs = make_pairs(*[24 - g % 3 for g in range(35)])
    folds = folds_by_group(pairs, n_folds)
    assert len(folds) == n_folds
    assert Counter(pair for fold in folds for pair in fold["test"]) == dict.fromkeys(pairs, 1)
    for fold in folds:
        assert list(fold) == ["train", "val", "test"] and is_whole(fold, pairs)
        assert len(fold["test"]) / len(pairs) == pytest.approx(1 / n_folds, abs=0.02)
        assert len(fold["val"]) / (len(pairs) - len(fold["test"])) == pytest.approx(1 / 8, abs=0.03)


def test_folds_share_the_stones_and_depend_on_the_seed_only():
    pairs, strata = rare_strata([8] * 50)
    label, totals = dict(zip(pairs, strata, strict=True)), Counter(strata)
    folds = folds_by_group(pairs, 5, 3, strata)
    for fold in folds:
        counts = Counter(label[pair] for pair in fold["test"])
        assert all(abs(counts[stratum] - total / 5) <= 3 for stratum, total in totals.items())
    again = folds_by_group(pairs[::-1], 5, 3, strata[::-1])
    assert [{n: set(p) for n, p in fold.items()} for fold in again] == [
        {n: set(p) for n, p in fold.items()} for fold in folds
    ]
    assert folds_by_group(pairs, 5, 4, strata) != folds


def test_folds_that_cannot_be():
    with pytest.raises(ValueError, match="n_folds must be at least 3, got 2"):
        folds_by_group(make_pairs(*[1] * 9), 2)
    with pytest.raises(ValueError, match="at least 5 groups .* got 4"):
        folds_by_group(make_pairs(*[1] * 4), 5)
    pairs = make_pairs(*[4] * 8)
    with pytest.warns(UserWarning, match="no image with a stone") as caught:
        folds_by_group(pairs, 4, strata=[int(pair.group in ("g3", "g7")) for pair in pairs])
    texts = [str(warning.message) for warning in caught]
    assert sum("in test: only 2 of 8 groups bear one" in text for text in texts) == 2
    assert {text[:6] for text in texts} == {"Fold 1", "Fold 2", "Fold 3", "Fold 4"}


# ---------------------------------------------------------------------------------------------- strata
def write_masks(folder: Path, n_pixels: list[int]) -> list[Pair]:
    for i, n in enumerate(n_pixels):
        mask = np.zeros(400, np.uint8)
        mask[:n] = 255
        Image.fromarray(mask.reshape(20, 20)).save(folder / f"{i}_mask.png")
    return [Pair(folder / f"{i}.jpg", folder / f"{i}_mask.png", str(i)) for i in range(len(n_pixels))]


def test_strata_tell_little_stone_from_much(tmp_path: Path):
    n_pixels = [0, 0, *range(1, 21), 0, 400]
    strata = stone_strata(write_masks(tmp_path, n_pixels))
    assert [strata[i] for i, n in enumerate(n_pixels) if n == 0] == [0, 0, 0]
    assert Counter(strata) == {0: 3, 1: 11, 2: 8, 3: 2}  # 21 stones: up to the 11th, to the 19th, beyond
    assert strata[-1] == 3 and strata == sorted(strata[:22]) + strata[22:]


def test_stones_of_one_pixel_count(tmp_path: Path):
    assert stone_strata(write_masks(tmp_path, [0, 1, 1, 1, 5])) == [0, 1, 1, 1, 3]


def test_strata_without_stones(tmp_path: Path, capsys):
    assert stone_strata(write_masks(tmp_path, [0, 0]), progress=True) == [0, 0] and stone_strata([]) == []
    assert "looking for stones" in capsys.readouterr().out
