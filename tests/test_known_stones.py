"""The table that says which sections are of one stone, and what is made of it."""

from pathlib import Path

import pytest

from unet_helpers.data import KnownStone, Pair, known_stones

STONES = "stem,stone,row,column,section_diameter_mm,diameter_mm,volume_mm3,n_sections,hu,location\n"


def test_known_stones_come_from_stones_csv_in_the_order_of_the_pairs(tmp_path: Path):
    pairs = [Pair(tmp_path / f"{name}.jpg", tmp_path / f"{name}_mask.png", name) for name in "abc"]
    assert known_stones(pairs) is None
    (tmp_path / "stones.csv").write_text(
        STONES + "b,12-3,5,7.5,2.1,6.5,80,2,900,left\n"
        "a,12-3,4,7,3,6.5,80,2,900,left\na,12-1,20,30,4,4,30,1,700,right\n"
        "z,1-1,1,1,1,1,1,1,1,left\n"
    )
    large, small = KnownStone("12-3", 4.0, 7.0, 6.5), KnownStone("12-1", 20.0, 30.0, 4.0)
    assert known_stones(pairs) == [[large, small], [KnownStone("12-3", 5.0, 7.5, 6.5)], []]
    assert known_stones(pairs[::-1]) == known_stones(pairs)[::-1]


def test_known_stones_above_the_images_folder_and_with_few_columns(tmp_path: Path):
    (tmp_path / "stones.csv").write_text("\ufeffdiameter_mm,stem,stone,column,row\n3,a,k,2,1\n", "utf-8")
    pair = Pair(tmp_path / "images" / "a.png", tmp_path / "masks" / "a.png", "a")
    assert known_stones([pair]) == [[KnownStone("k", 1.0, 2.0, 3.0)]]


def test_a_table_without_names_of_stones_knows_none(tmp_path: Path):
    (tmp_path / "stones.csv").write_text("stem,patient,row,column,diameter_mm\na,1,2,3,4\n")
    assert known_stones([Pair(tmp_path / "a.jpg", tmp_path / "a_mask.png", "a")]) is None


@pytest.mark.parametrize(("row", "message"), [
    ("k,x,2,3", r"stones\.csv must hold numbers in the column row, got 'x' for a"),
    ("k,1,inf,3", r"must hold numbers in the column column, got 'inf' for a"),
    ("k,1,2,0", r"must hold positive numbers in the column diameter_mm, got '0' for a"),
    ("k,1,2", r"must hold positive numbers in the column diameter_mm, got None for a"),
])  # fmt: skip
def test_bad_numbers_of_stones_are_named(tmp_path: Path, row: str, message: str):
    (tmp_path / "stones.csv").write_text(f"stem,stone,row,column,diameter_mm\na,{row}\n")
    with pytest.raises(ValueError, match=message):
        known_stones([Pair(tmp_path / "a.jpg", tmp_path / "a_mask.png", "a")])
