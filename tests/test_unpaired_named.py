"""Thirty files without their other half: every way in names three of them and says how many there are."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from cli_tools import TRAIN, call
from PIL import Image

from unet_helpers.data import find_pairs

N_LONELY = 30


def name(i: int, kind: str) -> str:
    """The i-th name; without a number, because numbers alone make pairs, too."""
    letters = "abcdef" if kind == "alone" else "uvwxyz"
    return kind + letters[i // 6] + letters[i % 6]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pairs of three patients, thirty images without a mask and thirty masks without an image."""
    made = tmp_path_factory.mktemp("lonely")
    rng = np.random.default_rng(0)
    mask = np.zeros((48, 48), np.uint8)
    mask[20:26, 20:26] = 255
    for i in range(6):
        Image.fromarray(rng.integers(0, 200, (48, 48)).astype(np.uint8)).save(made / f"p{i // 2}_{i}.png")
        Image.fromarray(mask).save(made / f"p{i // 2}_{i}_mask.png")
    for i in range(N_LONELY):
        Image.fromarray(rng.integers(0, 200, (48, 48)).astype(np.uint8)).save(
            made / f"{name(i, 'alone')}.png"
        )
        Image.fromarray(mask).save(made / f"{name(i, 'other')}_mask.png")
    return made


def named(said: str) -> set[str]:
    return set(re.findall(r"(?:alone|other)[a-z]{2}", said))


def assert_short(said: str) -> None:
    for kind in ("alone", "other"):
        names = {one for one in named(said) if one.startswith(kind)}
        assert names == {name(i, kind) for i in range(3)}, names
    assert said.count("and 27 more") >= 2 and "30 images without a mask" in said


def test_finding_pairs_in_a_lesson_names_three(folder):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert len(find_pairs(folder)) == 6
    assert_short("\n".join(str(one.message) for one in caught))


def test_training_names_three(folder, tmp_path, capsys):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert call("train", folder, "--out", tmp_path / "run", *TRAIN) == 0
    printed = capsys.readouterr()
    assert_short(printed.out + printed.err + "\n".join(str(one.message) for one in caught))


def test_check_is_where_all_are_listed(folder, capsys):
    """As the warnings promise; so their number stands first."""
    call("check", folder)
    said = capsys.readouterr().out
    assert len(named(said)) == 2 * N_LONELY
    assert said.index("30 images without mask") < said.index(name(0, "alone"))


def test_a_folder_without_any_pair_names_three(folder, tmp_path):
    for path in folder.glob("alone*.png"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(Exception, match="30 images without a mask") as caught:
        find_pairs(tmp_path)
    assert len(named(str(caught.value))) == 3 and "and 27 more" in str(caught.value)
