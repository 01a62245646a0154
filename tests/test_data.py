"""Real folders of strangers: finding, grouping, splitting and reading image-mask pairs."""

import shutil
import subprocess
import sys
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unet_helpers import data
from unet_helpers.data import (
    Pair,
    find_pairs,
    image_hash,
    image_hashes,
    load_arrays,
    load_hashed,
    load_image,
    load_mask,
    load_pair,
    mask_values,
    spacings,
)
from unet_helpers.folders.finding import scan_folder

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5  # 0 to 235
MASK = np.zeros((6, 8), bool)
MASK[1:3, 2:5] = True


def write(path: Path, array: np.ndarray = GREY, mode: str | None = None, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def own_greys(path: Path) -> np.ndarray:
    """Another image for every path: what is the same image counts as one patient."""
    return np.random.default_rng(list(str(path).encode())).integers(0, 255, GREY.shape, np.uint8)


def write_pair(folder: Path, stem: str, image: str = ".jpg", mask: str = "_mask.png") -> None:
    write(folder / (stem + image), own_greys(folder / stem))
    write(folder / (stem + mask), MASK.astype(np.uint8) * 255)


def kaggle_stem(second: int, serial: int = 1, version: str = "a" * 32) -> str:
    return f"1-3-46-670589-33-1-{second}123456789-{serial}_png_jpg.rf.{version}"


def groups_of(folder: Path) -> dict[str, str]:
    return {pair.image_path.stem: pair.group for pair in scan_folder(folder).pairs}


# ------------------------------------------------------------------------------------------ doors
def test_reading_files_loads_neither_the_rooms_nor_torch():
    program = "import sys, unet_helpers.data; print(*sorted(sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = found.stdout.split()
    assert [name for name in loaded if name.startswith("unet_helpers")] == [
        "unet_helpers",
        "unet_helpers.data",
        "unet_helpers.engine",
        "unet_helpers.engine.doors",
        "unet_helpers.engine.progress",
    ]
    assert "torch" not in loaded


def test_every_door_opens_and_others_do_not_exist():
    for name in data.__all__:
        assert getattr(data, name) is not None and name in dir(data)
    assert data.find_pairs is find_pairs
    with pytest.raises(AttributeError, match="module 'unet_helpers.data' has no attribute 'find_pears'"):
        data.find_pears  # noqa: B018


# ------------------------------------------------------------------------------------ two layouts
def test_flat_folder_with_other_files_beside(tmp_path: Path):
    write_pair(tmp_path, "b")
    write_pair(tmp_path, "a")
    for name in ("a.txt", "Thumbs.db", "slices.csv", ".DS_Store", "._a.jpg", "._a_mask.png", "notes.pdf"):
        (tmp_path / name).write_text("0 0.5 0.5 0.1 0.1")
    write_pair(tmp_path / "__MACOSX", "c")
    write_pair(tmp_path / ".ipynb_checkpoints", "a-checkpoint")
    (tmp_path / "folder.png").mkdir()
    scan = scan_folder(tmp_path)
    names = [(pair.image_path.name, pair.mask_path.name) for pair in scan.pairs]
    assert names == [("a.jpg", "a_mask.png"), ("b.jpg", "b_mask.png")]
    assert scan.images_without_mask == [] and scan.masks_without_image == []


@pytest.mark.parametrize(
    ("images", "masks"),
    [("images", "masks"), ("image", "label"), ("Images", "MASKS"), ("images", "labels"), ("image", "mask")],
)
@pytest.mark.parametrize("ending", [".png", "_mask.png"])
def test_two_folders(tmp_path: Path, images: str, masks: str, ending: str):
    names = ["1.png", "2.JPG", "3.TIF", "4.bmp", "5.jpeg", "6.tiff"]
    for name in names:
        write(tmp_path / images / name)
        write(tmp_path / masks / (name[0] + ending))
    write(tmp_path / images / ".ipynb_checkpoints" / "1.png")
    write(tmp_path / images / "._1.png")
    scan = scan_folder(tmp_path)
    assert [pair.image_path.name for pair in scan.pairs] == names
    assert all(p.mask_path.name == p.image_path.stem + ending for p in scan.pairs)
    assert scan.images_without_mask == []


def test_an_image_whose_own_name_ends_in_mask(tmp_path: Path):
    write(tmp_path / "images" / "gas_mask.png")
    write(tmp_path / "masks" / "gas_mask.png")
    assert [p.image_path.name for p in scan_folder(tmp_path).pairs] == ["gas_mask.png"]


def test_spaces_and_accents_in_names(tmp_path: Path):
    write_pair(tmp_path / "données du patient", "Niere Süd 1")
    write(tmp_path / "mac" / (unicodedata.normalize("NFD", "ü") + ".jpg"))
    write(tmp_path / "mac" / "ü_mask.png")
    assert len(scan_folder(tmp_path).pairs) == 2


def test_wrapping_folders_change_neither_pairs_nor_groups(tmp_path: Path):
    write_pair(tmp_path / "plain", "a")
    shutil.copytree(tmp_path / "plain", tmp_path / "wrapped" / "data set" / "v1")
    assert groups_of(tmp_path / "wrapped") == groups_of(tmp_path / "plain") == {"a": "a"}


def test_pairs_beside_a_layout_are_not_lost(tmp_path: Path):
    write_pair(tmp_path, "a")
    write_pair(tmp_path / "more", "b")
    write(tmp_path / "old" / "images" / "c.png")
    write(tmp_path / "old" / "masks" / "c.png")
    write_pair(tmp_path / "old" / "extra", "d")
    assert sorted(groups_of(tmp_path)) == ["a", "b", "c", "d"]


def test_pairs_come_in_order_of_their_paths(tmp_path: Path):
    for stem in ("b/x", "a/y", "a/x"):
        write_pair((tmp_path / stem).parent, stem[-1])
    assert [p.image_path for p in scan_folder(tmp_path).pairs] == sorted(tmp_path.rglob("*.jpg"))


def test_leftovers_are_named_and_counted(tmp_path: Path):
    for stem in ("a", "b", "c"):
        write_pair(tmp_path, kaggle_stem(63700000000, version=stem * 32))
    for n in range(23):
        write(tmp_path / f"lonely{n:02d}.jpg")
    write(tmp_path / "orphan_mask.png")
    with pytest.warns(UserWarning, match="left out") as caught:
        pairs = find_pairs(tmp_path)
    text = "\n".join(str(warning.message) for warning in caught)
    assert len(pairs) == 3 and len(caught) == 2
    assert "23 images without a mask" in text
    assert "left out: lonely00.jpg, lonely01.jpg, lonely02.jpg and 20 more." in text
    assert "1 mask without an image is left out: orphan_mask.png" in text
    assert caught[0].filename == __file__  # the warning points at the caller's line


def test_nothing_to_pair_says_what_was_expected(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="data folder must exist, got .*nowhere"):
        find_pairs(tmp_path / "nowhere")
    write(tmp_path / "a.jpg")
    with pytest.raises(
        ValueError, match=r"image-mask pairs, got none: 1 image without a mask \(a\.jpg\)\. Name them"
    ):
        find_pairs(tmp_path)
    write(tmp_path / "b_mask.png")
    with pytest.raises(ValueError, match="got none"):
        find_pairs(tmp_path)


@pytest.mark.parametrize("twin", ["a.png", "a.tif", "a_mask.bmp"])
def test_two_files_of_one_stem_are_refused(tmp_path: Path, twin: str):
    write_pair(tmp_path, "a")
    write(tmp_path / twin)
    with pytest.raises(ValueError, match=f"(one file a stem|numbered parts of one .*), got .*{twin}"):
        scan_folder(tmp_path)


def test_two_masks_for_one_image_are_refused(tmp_path: Path):
    write(tmp_path / "images" / "a.png")
    write(tmp_path / "masks" / "a.png")
    write(tmp_path / "masks" / "a_mask.png")
    with pytest.raises(ValueError, match=r"a\.png must have one mask, or .*, got a\.png, a_mask\.png"):
        scan_folder(tmp_path)


def test_the_data_folder_is_only_read(tmp_path: Path):
    write_pair(tmp_path, "a")
    write_pair(tmp_path, "b")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path, *tmp_path.rglob("*"))}
    tmp_path.chmod(0o555)
    try:
        for pair in scan_folder(tmp_path).pairs:
            load_pair(pair)
    finally:
        tmp_path.chmod(0o755)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path, *tmp_path.rglob("*"))} == before


# ----------------------------------------------------------------------------------------- groups
def test_acquisitions_at_most_a_minute_apart_are_one_exam(tmp_path: Path):
    for second in (100, 160, 220, 281):  # a chain of two 60 s steps, then 61 s
        write_pair(tmp_path, kaggle_stem(63700000000 + second))
    groups = list(groups_of(tmp_path).values())
    assert groups == ["exam-63700000100"] * 3 + ["exam-63700000281"]


def test_the_exam_is_known_across_train_and_test_folders(tmp_path: Path):
    write_pair(tmp_path / "train", kaggle_stem(63700000100))
    write_pair(tmp_path / "test", kaggle_stem(63700000130))
    assert len(set(groups_of(tmp_path).values())) == 1


def test_the_source_is_the_text_before_rf(tmp_path: Path):
    write_pair(tmp_path / "train", "liver_png.rf.0123")
    write_pair(tmp_path / "valid", "liver_png.rf.4567")
    write_pair(tmp_path / "train", "lung_png.rf.89ab")
    assert sorted(groups_of(tmp_path).values()) == ["liver_png", "liver_png", "lung_png"]
    assert scan_folder(tmp_path).n_ungrouped == 0


def test_plain_names_are_their_own_group_with_a_warning(tmp_path: Path):
    write_pair(tmp_path, "a")
    write_pair(tmp_path, "b.rf.1")
    with pytest.warns(UserWarning, match=r"1 of 2 images names no exam .* leakage .* groups\.csv"):
        assert {pair.group for pair in find_pairs(tmp_path)} == {"a", "b"}


@pytest.mark.parametrize(
    "text",
    [
        "stem,group\na,P1\nb,P1\nc,P2\n",
        "﻿stem;group\r\na;P1\r\nb;P1\r\nc;P2\r\n",
        "group,age,stem\nP1,40,a\nP1,41, b \nP2,42,c\n",
        "stem,group\na.jpg,P1\nb.jpg,P1\nc.jpg,P2\n",
        'stem,group\n"a","P1"\n"b","P1"\n\n"c","P2"\n',
    ],
    ids=["comma", "BOM, semicolon, CRLF", "other columns", "file names", "quotes, empty line"],
)
def test_groups_csv_names_the_patients(tmp_path: Path, text: str):
    for stem in "abc":
        write_pair(tmp_path, stem)
    (tmp_path / "groups.csv").write_text(text, "utf-8", newline="")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [pair.group for pair in find_pairs(tmp_path)] == ["P1", "P1", "P2"]


def test_groups_csv_at_the_top_serves_the_folders_below(tmp_path: Path):
    write_pair(tmp_path / "set" / "train", "ü")
    write_pair(tmp_path / "set" / "test", "b")
    text = unicodedata.normalize("NFD", "stem,group\nü,P1\nb,P1\n")
    (tmp_path / "groups.csv").write_text(text, "utf-8")
    assert set(groups_of(tmp_path).values()) == {"P1"}


def test_a_row_joins_exams_and_never_tears_one(tmp_path: Path):
    stems = [kaggle_stem(63700000000 + second) for second in (0, 10, 9000, 20000)]
    for stem in stems:
        write_pair(tmp_path, stem)
    # P1 and P2 share an exam: one patient after all
    rows = [f"{stems[0]},P1", f"{stems[1]},P2", f"{stems[2]},P2"]
    (tmp_path / "groups.csv").write_text("stem,group\n" + "\n".join(rows))
    groups = groups_of(tmp_path)
    assert len({groups[stem] for stem in stems[:3]}) == 1
    assert groups[stems[3]] == "exam-63700020000"
    assert scan_folder(tmp_path).n_ungrouped == 0


def test_images_that_groups_csv_leaves_out_are_counted(tmp_path: Path):
    for stem in "abc":
        write_pair(tmp_path, stem)
    (tmp_path / "groups.csv").write_text("stem,group\na,P1\nb,\n")
    with pytest.warns(UserWarning, match="2 of 3 images name no exam"):
        assert [pair.group for pair in find_pairs(tmp_path)] == ["P1", "b", "c"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name,patient\na,P1\n", r"columns stem,group, got 'name,patient'"),
        (b"a,P1\n", "columns stem,group, got 'a,P1'"),
        (b"", "columns stem,group, got ''"),
        ("stem,group\nü,P1\n".encode("utf-16"), r"must be UTF-8 text"),
    ],
)
def test_a_groups_csv_that_cannot_be_read_is_no_silent_leak(tmp_path: Path, content: bytes, message: str):
    write_pair(tmp_path, "a")
    (tmp_path / "groups.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        scan_folder(tmp_path)


# ------------------------------------------------------------------------- one folder for each patient
def write_patients(
    root: Path, layout: str, patients: tuple[str, ...] = ("p1", "p2", "p3"), n: int = 2, start: int = 1
) -> Path:
    """n images of each patient with a folder of their own; their stems repeat from patient to patient."""
    for patient in patients:
        for number in range(start, start + n):
            places = {
                "flat": (f"{patient}/{number:03d}.png", f"{patient}/{number:03d}_mask.png"),
                "above": (f"images/{patient}/{number:03d}.png", f"masks/{patient}/{number:03d}.png"),
                "below": (f"{patient}/images/{number:03d}.png", f"{patient}/masks/{number:03d}.png"),
            }
            arrays = own_greys(root / patient / str(number)), MASK.astype(np.uint8) * 255
            for place, array in zip(places[layout], arrays, strict=True):
                write(root / place, array)
    return root


def groups_by_path(root: Path, group_by: str | None = None) -> dict[str, str]:
    return {p.image_path.relative_to(root).as_posix(): p.group for p in scan_folder(root, group_by).pairs}


@pytest.mark.parametrize("layout", ["flat", "above", "below"])
@pytest.mark.parametrize("n_patients", [2, 3, 12])
def test_a_folder_is_a_patient_when_stems_repeat(tmp_path: Path, layout: str, n_patients: int):
    patients = tuple(f"p{n}" for n in range(n_patients))
    scan = scan_folder(write_patients(tmp_path / layout, layout, patients))
    assert len(scan.pairs) == scan.n_grouped_by_folder == 2 * n_patients and scan.n_ungrouped == 0
    for pair in scan.pairs:
        assert pair.group in pair.image_path.parts and pair.group in patients
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_pairs(tmp_path / layout)


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val", "test"),
        ("Train", "valid", "Validation"),
        ("training", "testing"),
        ("stones", "normal"),
    ],
)
def test_folders_that_name_a_part_are_nobodys(tmp_path: Path, names: tuple[str, ...]):
    scan = scan_folder(write_patients(tmp_path, "flat", names))
    assert scan.n_grouped_by_folder == 0 and len({pair.group for pair in scan.pairs}) == 2 * len(names)
    with pytest.raises(ValueError, match="must hold a folder for each patient to be grouped by folder"):
        scan_folder(tmp_path, group_by="folder")


def test_a_patient_in_train_and_test_is_one_patient(tmp_path: Path):
    for part in ("train", "test"):
        write_patients(tmp_path / part, "flat")
    assert set(groups_by_path(tmp_path).values()) == {"p1", "p2", "p3"}


def test_of_nested_folders_the_highest_that_can_be_split_is_the_patient(tmp_path: Path):
    for patient in ("p1", "p2", "p3"):
        write_patients(tmp_path / "studies" / patient, "flat", ("series 1", "series 2"))
    write_patients(tmp_path / "sites" / "north", "flat")
    write_patients(tmp_path / "sites" / "south", "flat")
    assert set(groups_by_path(tmp_path / "studies").values()) == {"p1", "p2", "p3"}
    assert len(set(groups_by_path(tmp_path / "sites").values())) == 6


def test_different_stems_are_grouped_by_folder_only_on_demand(tmp_path: Path):
    for n, patient in enumerate(("p1", "p2", "p3")):
        write_patients(tmp_path, "flat", (patient,), start=1 + 2 * n)
    assert scan_folder(tmp_path).n_ungrouped == 6
    assert set(groups_by_path(tmp_path, "folder").values()) == {"p1", "p2", "p3"}
    assert [pair.group for pair in find_pairs(tmp_path, "folder")] == ["p1"] * 2 + ["p2"] * 2 + ["p3"] * 2
    with pytest.raises(ValueError, match="group_by must be one of folder, name or None, got 'patient'"):
        scan_folder(tmp_path, group_by="patient")


def test_repeated_stems_need_not_mean_patients(tmp_path: Path):
    assert len(set(groups_by_path(write_patients(tmp_path, "flat"), "name").values())) == 6


def test_folders_join_what_names_and_rows_hold_together(tmp_path: Path):
    for patient, second in (("p1", 100), ("p2", 130), ("p3", 9000)):  # an exam in two folders
        write_pair(tmp_path / patient, kaggle_stem(63700000000 + second))
        write_pair(tmp_path / patient, "extra " + patient)
    assert len(set(groups_by_path(tmp_path, "folder").values())) == 2
    (tmp_path / "groups.csv").write_text("stem,group\np2/,A\np3/,A\n")
    assert len(set(groups_by_path(tmp_path, "folder").values())) == 1


def test_rows_count_before_folders_that_nobody_asked_for(tmp_path: Path):
    write_patients(tmp_path, "flat")
    (tmp_path / "groups.csv").write_text("stem,group\np1/001,A\np1/002,B\n")
    groups = groups_by_path(tmp_path)
    assert (groups["p1/001.png"], groups["p1/002.png"], groups["p2/001.png"]) == ("A", "B", "p2")
    assert len(set(groups_by_path(tmp_path, "folder").values())) == 3


# --------------------------------------------------------------------------------- rows of groups.csv
@pytest.mark.parametrize("layout", ["flat", "above", "below"])
@pytest.mark.parametrize(
    "spelling", ["p1/001", "p1/001.png", "p1\\001", "p1\\001.png", "./p1/001", "{path}", "{windows}"]
)
def test_a_row_with_a_path_means_one_image(tmp_path: Path, layout: str, spelling: str):
    write_patients(tmp_path, layout)
    path = {"flat": "p1/001.png", "above": "images/p1/001.png", "below": "p1/images/001.png"}[layout]
    row = spelling.format(path=path, windows=path.replace("/", "\\"))
    (tmp_path / "groups.csv").write_text(f"stem,group\n{row},A\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_pairs(tmp_path)
    assert [where for where, group in groups_by_path(tmp_path).items() if group == "A"] == [path]


@pytest.mark.parametrize(
    ("place", "row"),
    [
        ("", "p1/"),
        ("", "p1"),
        ("", "p1\\"),
        ("", "images/p1/"),
        ("images", "p1/"),
        ("images/p1", "001"),
        ("images/p1", "001.png"),
    ],
)
def test_a_row_of_a_folder_and_a_table_beside_the_images(tmp_path: Path, place: str, row: str):
    write_patients(tmp_path, "above")
    (tmp_path / place / "groups.csv").write_text(f"stem,group\n{row},A\n")
    found = {where for where, group in groups_by_path(tmp_path).items() if group == "A"}
    assert found == ({"images/p1/001.png"} if "001" in row else {"images/p1/001.png", "images/p1/002.png"})


def test_the_more_exact_row_counts(tmp_path: Path):
    write_patients(tmp_path, "flat")
    (tmp_path / "groups.csv").write_text("stem,group\np1/,A\n001,B\np1/001,C\n")
    assert list(groups_by_path(tmp_path).values()) == ["C", "A", "B", "p2", "B", "p3"]
    assert scan_folder(tmp_path).group_rows.in_two_groups == []


def test_rows_that_do_not_fit_are_named(tmp_path: Path):
    for stem in ("s0", "s1", "s2", "s3"):
        write_pair(tmp_path, stem)
    write(tmp_path / "no mask yet.jpg")
    (tmp_path / "groups.csv").write_text(
        "stem,group\ns0,A\ns0,B\ns1,A\nS2,B\ns3_typo,B\nt1,C\nt2,C\nt3,C\nno mask yet,C\n"
    )
    with pytest.warns(UserWarning, match=r"groups\.csv has|left out|no exam") as caught:
        pairs = find_pairs(tmp_path)
    texts = [str(warning.message) for warning in caught if "groups.csv has" in str(warning.message)]
    assert texts == [
        "groups.csv has 4 rows that match no image: s3_typo, t1, t2 and 1 more.",
        "groups.csv has 1 image in two groups, which are joined: s0 (A, B).",
        "groups.csv has 1 row that matches only in another case: S2.",
    ]
    assert [pair.group for pair in pairs] == ["A", "A", "A", "s3"]  # A and B are joined: the safe reading


def test_a_row_in_another_case_gives_way_to_one_that_fits(tmp_path: Path):
    for stem in ("a", "A b"):
        write_pair(tmp_path, stem)
    (tmp_path / "groups.csv").write_text("stem,group\na,P1\na B,P2\n")
    assert groups_of(tmp_path) == {"a": "P1", "A b": "P2"}
    assert scan_folder(tmp_path).group_rows.in_other_case == ["a B"]


# --------------------------------------------------------------------------------- reading images
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a.png", "L"),
        ("a.png", "RGB"),
        ("a.png", "RGBA"),
        ("a.png", "LA"),
        ("a.png", "P"),
        ("a.tif", "L"),
        ("a.tif", "CMYK"),
        ("a.bmp", "RGB"),
    ],
)
def test_grey_values_survive_every_colour_mode(tmp_path: Path, name: str, mode: str):
    image = load_image(write(tmp_path / name, mode=mode))
    assert image.dtype == np.uint8 and image.shape == GREY.shape
    assert np.abs(image.astype(int) - GREY).max() <= 1
    image[0, 0] = 1  # a copy of one's own, not a view into the file


def test_cmyk_and_grey_jpeg(tmp_path: Path):
    smooth = np.tile(np.linspace(0, 250, 64).astype(np.uint8), (64, 1))
    for mode in ("CMYK", "RGB", "L"):
        image = load_image(write(tmp_path / f"{mode}.jpg", smooth, mode, quality=95))
        assert np.abs(image.astype(int) - smooth).max() < 8


def test_a_palette_with_transparency_needs_no_warning(tmp_path: Path):
    image = load_image(write(tmp_path / "a.png", mode="P", transparency=b"\x00\xff\x80"))
    assert image.shape == GREY.shape


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_refused_with_the_remedy(tmp_path: Path, name: str):
    path = write(tmp_path / name, GREY.astype(np.uint16) * 10)
    message = r"a\.\w+ must have 8 bits a pixel or a window, got 16 bits with values 0 to 2350\. If these are"
    with pytest.raises(ValueError, match=message):
        load_image(path)


def damage_truncated(path: Path) -> None:
    write(path, np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    path.write_bytes(path.read_bytes()[:-300])


DAMAGE = {
    "truncated.jpg": damage_truncated,
    "truncated.png": damage_truncated,
    "empty.png": lambda path: path.write_bytes(b""),
    "text.png": lambda path: path.write_text("this is no picture"),
    "html.jpg": lambda path: path.write_text("<html>404</html>"),
    "missing.png": lambda path: None,
    "folder.png": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("load", [load_image, load_mask])
def test_damaged_files_are_named(tmp_path: Path, name: str, load: Callable):
    DAMAGE[name](tmp_path / name)
    with pytest.raises(ValueError, match=f"{name} must be a readable image, got: "):
        load(tmp_path / name)


def test_whatever_a_decoder_raises_becomes_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def load(self):
        raise TypeError("Missing dimensions")  # what Pillow raises for some damaged TIFFs

    path = write(tmp_path / "a.tif")
    monkeypatch.setattr(Image.Image, "load", load)
    with pytest.raises(ValueError, match="must be a readable image, got: Missing dimensions"):
        load_image(path)


@pytest.mark.parametrize("name", ["pages.tif", "film.png"])
def test_several_pages_are_refused(tmp_path: Path, name: str):
    write(tmp_path / name, save_all=True, append_images=[Image.fromarray(GREY[::-1].copy())])
    with pytest.raises(ValueError, match="must hold one slice, got 2 pages"):
        load_image(tmp_path / name)


# ---------------------------------------------------------------------------------- reading masks
def palette_mask(colour: tuple[int, int, int]) -> Image.Image:
    picture = Image.new("P", MASK.shape[::-1])
    picture.putpalette([0, 0, 0, *colour])
    picture.paste(1, mask=Image.fromarray(MASK))
    return picture


def rgba_mask(background: tuple[int, int, int]) -> Image.Image:
    pixels = np.zeros((*MASK.shape, 4), np.uint8)
    pixels[..., :3] = background
    pixels[MASK] = (255, 255, 255, 255)
    return Image.fromarray(pixels)


MASKS = {
    "grey.png": lambda: Image.fromarray(MASK.astype(np.uint8) * 255),
    "one bit.png": lambda: Image.fromarray(MASK),
    "one bit.tif": lambda: Image.fromarray(MASK),
    "red.png": lambda: Image.fromarray(MASK[..., None] * np.array([255, 0, 0], np.uint8)),
    "blue.bmp": lambda: Image.fromarray(MASK[..., None] * np.array([0, 0, 200], np.uint8)),
    "palette.png": lambda: palette_mask((128, 0, 0)),
    "sixteen.png": lambda: Image.fromarray(MASK.astype(np.uint16) * 65535),
    "sixteen.tif": lambda: Image.fromarray(MASK.astype(np.uint16) * 255),
    "on transparent black.png": lambda: rgba_mask((0, 0, 0)),
    "on transparent white.png": lambda: rgba_mask((255, 255, 255)),
    "grey alpha.png": lambda: Image.fromarray(MASK.astype(np.uint8) * 255).convert("LA"),
}


@pytest.mark.parametrize("name", MASKS)
def test_every_kind_of_mask_file_gives_the_same_mask(tmp_path: Path, name: str):
    MASKS[name]().save(tmp_path / name)
    mask = load_mask(tmp_path / name)
    assert mask.dtype == bool and np.array_equal(mask, MASK)


def test_the_ringing_of_a_jpeg_mask_is_cut_at_127(tmp_path: Path):
    large = np.kron(MASK, np.ones((12, 12), bool))  # edges inside the 8 x 8 blocks of the JPEG
    path = write(tmp_path / "a_mask.jpg", large.astype(np.uint8) * 255, quality=60)
    assert len(np.unique(mask_values(path))) > 2
    assert np.array_equal(load_mask(path), large)


def test_127_is_background_and_128_is_stone(tmp_path: Path):
    path = write(tmp_path / "a.png", np.array([[0, 127, 128, 255]], np.uint8))
    assert load_mask(path).tolist() == [[False, False, True, True]]


def test_masks_of_zero_and_one_show_their_values(tmp_path: Path):
    path = write(tmp_path / "a.png", MASK.astype(np.uint8))
    assert np.unique(mask_values(path)).tolist() == [0, 1] and not load_mask(path).any()


def test_sixteen_bit_masks_show_their_values(tmp_path: Path):
    path = write(tmp_path / "a.png", MASK.astype(np.uint16) * 65535)
    assert np.unique(mask_values(path)).tolist() == [0, 65535]


def test_a_mask_of_another_size_is_refused(tmp_path: Path):
    pair = Pair(write(tmp_path / "a.jpg"), write(tmp_path / "a_mask.png", GREY[:, :7].copy()), "a")
    message = r"a_mask\.png must have the size of its image a\.jpg, \(6, 8\), got \(6, 7\)"
    with pytest.raises(ValueError, match=message):
        load_pair(pair)


# ---------------------------------------------------------------------------------------- many pairs
def write_wide(folder: Path) -> list[Pair]:
    """Three images of 30 x 60 pixels and one of 8 x 6, each with a bright stone where its mask is."""
    rng = np.random.default_rng(0)
    pairs = []
    for stem, shape in zip("abcd", [(30, 60)] * 3 + [(8, 6)], strict=True):
        image, mask = rng.integers(0, 90, shape, np.uint8), np.zeros(shape, np.uint8)
        row, column = shape[0] // 2, shape[1] // 2
        image[row:, column:], mask[row:, column:] = 250, 255
        paths = write(folder / f"{stem}.png", image), write(folder / f"{stem}_mask.png", mask)
        pairs.append(Pair(*paths, stem))
    return pairs


def test_arrays_are_shrunk_alike_in_the_order_of_the_pairs(tmp_path: Path, capsys):
    pairs = write_wide(tmp_path)
    images, masks = load_arrays(pairs[::-1], max_size=20)
    assert [image.shape for image in images] == [(8, 6), (10, 20), (10, 20), (10, 20)]
    for image, mask in zip(images, masks, strict=True):
        assert image.dtype == np.uint8 and mask.dtype == bool and image.shape == mask.shape
        assert np.array_equal(image > 150, mask)
    whole, _ = load_arrays(pairs)
    assert all(np.array_equal(one, load_image(p.image_path)) for one, p in zip(whole, pairs, strict=True))
    assert capsys.readouterr().out == ""
    load_arrays(pairs, progress=True)
    assert "reading pairs" in capsys.readouterr().out


def test_images_longer_than_512_pixels_are_shrunk_unless_told_otherwise(tmp_path: Path):
    write(tmp_path / "a.png", np.zeros((4, 1024), np.uint8))
    pair = Pair(tmp_path / "a.png", tmp_path / "a.png", "a")
    assert load_arrays([pair])[0][0].shape == (2, 512)
    assert load_arrays([pair], max_size=sys.maxsize)[0][0].shape == (4, 1024)


def test_an_image_is_known_by_its_greys_at_the_size_of_its_file(tmp_path: Path):
    pairs = write_wide(tmp_path)
    expected = [image_hash(load_image(pair.image_path)) for pair in pairs]
    assert len(set(expected)) == 4 and image_hashes(pairs) == expected
    images, masks, hashes = load_hashed(pairs, max_size=20)
    assert hashes == expected and len(images) == len(masks) == 4
    same = write(tmp_path / "other.bmp", load_image(pairs[0].image_path), "RGB")
    assert image_hash(load_image(same)) == expected[0]
    assert image_hash(np.zeros((2, 3), np.uint8)) != image_hash(np.zeros((3, 2), np.uint8))


# ------------------------------------------------------------------------------------------- pixel size
def test_spacings_come_from_slices_csv_in_the_order_of_the_pairs(tmp_path: Path):
    pairs = [Pair(tmp_path / f"{name}.jpg", tmp_path / f"{name}_mask.png", name) for name in "ab"]
    assert spacings(pairs) is None
    (tmp_path / "slices.csv").write_text("stem,depth_mm,spacing_mm\nb,3,0.75\na,4,1.5\nc,5,2\n")
    two = [(1.5, 1.5), (0.75, 0.75)]  # tuples: a list of two numbers could be one (row, column)
    assert spacings(pairs) == two and spacings(pairs[::-1]) == two[::-1] and spacings([]) == []
    stranger = Pair(tmp_path / "d.jpg", tmp_path / "d_mask.png", "d")
    assert spacings([*pairs, stranger]) is None  # known for some is known for none


def test_spacings_above_the_images_folder(tmp_path: Path):
    (tmp_path / "slices.csv").write_text("\ufeffstem,spacing_mm\na,0.8\n", "utf-8")  # as spreadsheets save it
    pair = Pair(tmp_path / "images" / "a.png", tmp_path / "masks" / "a.png", "a")
    assert spacings([pair]) == [(0.8, 0.8)]


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "wide"])
def test_a_pixel_size_must_be_positive(tmp_path: Path, value: str):
    (tmp_path / "slices.csv").write_text(f"stem,spacing_mm\na,{value}\n")
    with pytest.raises(ValueError, match="must hold positive numbers in the column spacing_mm"):
        spacings([Pair(tmp_path / "a.jpg", tmp_path / "a_mask.png", "a")])


def test_a_table_without_sizes_knows_none(tmp_path: Path):
    (tmp_path / "slices.csv").write_text("stem,depth_mm\na,3\n")
    assert spacings([Pair(tmp_path / "a.jpg", tmp_path / "a_mask.png", "a")]) is None
