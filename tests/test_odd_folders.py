"""What people bring: masks of every code, files of every name, and nothing lost or guessed."""

import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_tools import TRAIN, call, split_of
from odd_data import USUAL, Code, coloured, disc, grey, picture, save, write_set
from PIL import Image, ImageFilter

from unet_helpers.data import find_pairs, folds_by_group, given_split, load_mask, load_pair, split_by_group
from unet_helpers.folders.finding import FolderScan, scan_folder

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
RED, BLUE, BLACK = (255, 0, 0), (0, 0, 255), (0, 0, 0)


def read_as(folder: Path, truths: list, masks: str | None = None) -> None:
    """The folder's masks must be read as these."""
    pairs = find_pairs(folder, masks=masks)
    found = {pair.image_path.name: load_pair(pair)[1] for pair in pairs}
    assert len(found) == len(truths)
    for number, truth in enumerate(truths):
        assert np.array_equal(found[f"s{number}.png"], truth), number


def notes(folder: Path, **options) -> str:
    """All that `find_pairs` warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        find_pairs(folder, **options)
    return "\n".join(str(warning.message) for warning in caught)


def train(folder: Path, run: Path, *options: object) -> int:
    """Train for a moment; notes go to standard error, as they do for a user."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        return call("train", folder, "--out", run, *TRAIN, "--patch-size", 32, *options)


# ------------------------------------------------------------------------------ codes that are certain
def palette(index: int, colours: dict[int, tuple[int, int, int]]) -> Callable[[np.ndarray], Image.Image]:
    def code(mask: np.ndarray) -> Image.Image:
        made = Image.fromarray(mask.astype(np.uint8) * np.uint8(index))
        flat = [0] * 768
        for number, colour in colours.items():
            flat[3 * number : 3 * number + 3] = colour
        made.putpalette(flat)
        return made

    return code


CERTAIN: dict[str, Code] = {
    "0 and 255": grey(0, 255),
    "0 and 1": grey(0, 1),
    "0 and 2": grey(0, 2),
    "0 and 128": grey(0, 128),
    "0 and 100": grey(0, 100),
    "16 bits, 0 and 1": grey(0, 1, np.uint16),
    "16 bits, 0 and 65535": grey(0, 65535, np.uint16),
    "16 bits, 0 and 4095": grey(0, 4095, np.uint16),
    "one bit": lambda mask: mask,
    "red on black": coloured(BLACK, RED),
    "dark red on black": coloured(BLACK, (100, 0, 0)),
    "white in three channels": coloured(BLACK, (255, 255, 255)),
    "1 in three channels": coloured(BLACK, (1, 1, 1)),
    "on transparent black": coloured((0, 0, 0, 0), (255, 255, 255, 255)),
    "on transparent white": coloured((255, 255, 255, 0), (255, 255, 255, 255)),
}


@pytest.mark.parametrize("name", CERTAIN)
def test_what_is_certain_is_read(tmp_path: Path, name: str):
    read_as(tmp_path, write_set(tmp_path, CERTAIN[name]))


@pytest.mark.parametrize("colours", [{1: (128, 0, 0)}, {1: (1, 1, 1)}, {1: (255, 255, 255)}])
def test_palettes_are_read_by_their_colours(tmp_path: Path, colours: dict):
    truths = write_set(tmp_path)
    for number, truth in enumerate(truths):
        palette(1, colours)(truth).save(tmp_path / f"s{number}_mask.png")
    read_as(tmp_path, truths)


def test_a_palette_whose_first_colour_is_white_is_no_inverted_mask(tmp_path: Path):
    truths = write_set(tmp_path)
    for number, truth in enumerate(truths):
        palette(1, {0: (255, 255, 255), 1: (0, 0, 0)})(~truth).save(tmp_path / f"s{number}_mask.png")
    read_as(tmp_path, truths)


MIXED = {
    "every third 0/1": [grey(0, 1), USUAL, USUAL],
    "every other 0/1": [USUAL, grey(0, 1)],
    "8 and 16 bits": [USUAL, grey(0, 65535, np.uint16)],
    "three codes": [grey(0, 1), USUAL, grey(0, 65535, np.uint16)],
    "grey and colour": [USUAL, coloured(BLACK, (255, 255, 255))],
}


@pytest.mark.parametrize("name", MIXED)
def test_mixed_codes_that_are_certain_are_read_alike(tmp_path: Path, name: str):
    truths = write_set(tmp_path, MIXED[name])
    save(tmp_path / "s6.png", picture(np.zeros((64, 80), bool), 99))
    save(tmp_path / "s6_mask.png", np.zeros((64, 80), np.uint8))
    read_as(tmp_path, [*truths, np.zeros((64, 80), bool)])
    if "colour" not in name:
        assert "Masks of several codes are read alike" in notes(tmp_path)


def smooth(mask: np.ndarray, radius: float = 0.7) -> np.ndarray:
    return np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(radius)))


def test_smooth_edges_are_cut_at_half_of_the_range(tmp_path: Path):
    write_set(tmp_path, smooth)
    read_as(tmp_path, [smooth(disc(n)) > 127 for n in range(6)])
    assert "6 masks of 6 hold greys between these" in notes(tmp_path)


def test_smooth_edges_beside_masks_of_0_and_1(tmp_path: Path):
    write_set(tmp_path, [smooth, grey(0, 1)])
    read_as(tmp_path, [disc(n) if n % 2 else smooth(disc(n)) > 127 for n in range(6)])


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_masks_drawn_at_a_larger_size_have_few_greys(tmp_path: Path, factor: int):
    def shrunk(mask: np.ndarray) -> np.ndarray:
        large = np.kron(mask, np.ones((factor, factor)))
        large = np.roll(large, (factor // 2, factor // 2), (0, 1))
        return np.rint(large.reshape(64, factor, 80, factor).mean((1, 3)) * 255).astype(np.uint8)

    write_set(tmp_path, shrunk)
    read_as(tmp_path, [shrunk(disc(n)) > 127 for n in range(6)])


@pytest.mark.parametrize("quality", [30, 60, 90, 100])
@pytest.mark.parametrize("radius", [2, 4, 12])
def test_jpeg_masks_are_cut_at_half(tmp_path: Path, quality: int, radius: int):
    truths = write_set(tmp_path, mask="s{}_mask.jpg", radius=radius, quality=quality)
    for pair, truth in zip(find_pairs(tmp_path), truths, strict=True):
        assert pair.code is None
        assert np.count_nonzero(load_mask(pair) ^ truth) <= (1.5 if quality < 90 else 0.3) * truth.sum()


@pytest.mark.parametrize("radius", [3, 8, 14])
@pytest.mark.parametrize("quality", [60, 90])
def test_coloured_jpeg_masks(tmp_path: Path, quality: int, radius: int):
    truths = write_set(tmp_path, coloured(BLACK, RED), mask="s{}_mask.jpg", radius=radius, quality=quality)
    for pair, truth in zip(find_pairs(tmp_path), truths, strict=True):
        assert np.count_nonzero(load_mask(pair) ^ truth) <= (1.2 if radius < 8 else 0.4) * truth.sum()


def test_coloured_jpeg_masks_on_a_colour_are_a_question(tmp_path: Path):
    truths = write_set(tmp_path, coloured(BLUE, RED), mask="s{}_mask.jpg", radius=9, quality=90)
    with pytest.raises(ValueError, match="#0000ff .*--foreground '#ff0000' if that is the object"):
        find_pairs(tmp_path)
    for pair, truth in zip(find_pairs(tmp_path, masks="--foreground '#ff0000'"), truths, strict=True):
        assert np.count_nonzero(load_mask(pair) ^ truth) <= 0.4 * truth.sum()


def test_smooth_edges_in_colour(tmp_path: Path):
    def red(mask: np.ndarray) -> np.ndarray:
        return smooth(mask)[..., None] * np.array([1, 0, 0], np.uint8)

    write_set(tmp_path, red)
    read_as(tmp_path, [smooth(disc(n)) > 127 for n in range(6)])


def test_a_jpeg_mask_saved_again_as_png_is_cut_at_half(tmp_path: Path):
    truths = write_set(tmp_path, mask="s{}_mask.jpg", radius=9, quality=95)
    for path in sorted(tmp_path.glob("*_mask.jpg")):
        Image.open(path).save(path.with_suffix(".png"))
        path.unlink()
    for pair, truth in zip(find_pairs(tmp_path), truths, strict=True):
        assert np.count_nonzero(load_mask(pair) ^ truth) < 0.1 * truth.sum()


def test_empty_masks_are_stone_free_and_said(tmp_path: Path):
    write_set(tmp_path, lambda mask: np.zeros(mask.shape, np.uint8))
    read_as(tmp_path, [np.zeros((64, 80), bool)] * 6)
    assert "All masks are empty: no image shows a stone." in notes(tmp_path)


# ------------------------------------------------------------------------------- codes that are a question
def rings(mask: np.ndarray) -> np.ndarray:
    """1 with a rim of 255, as Pascal VOC draws it."""
    large = np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(5))) > 0
    return (mask + 255 * (large & ~mask)).astype(np.uint8)


def halves(low: int, high: int) -> Code:
    """Left half of the object one class, right half another."""
    return lambda mask: (mask * np.where(np.arange(80) < np.argwhere(mask)[:, 1].mean(), low, high)).astype(
        np.uint8
    )


def two_colours(mask: np.ndarray) -> np.ndarray:
    right = np.where(mask[..., None], (0, 255, 0), BLACK)
    return np.where((halves(1, 2)(mask) == 1)[..., None], RED, right).astype(np.uint8)


QUESTIONS: dict[str, tuple[Code | list[Code], str, str, str]] = {
    # code, what the refusal names, the option that decides, and what the object is then
    "inverted": (grey(255, 0), "255 on 99% of the pixels", "--invert", "all"),
    "inverted 0/1": (grey(1, 0), "1 on 99% of the pixels", "--invert", "all"),
    "inverted 16 bits": (grey(65535, 0, np.uint16), "65535 on 99%", "--invert", "all"),
    "inverted one bit": (lambda mask: ~mask, "255 on 99%", "--invert", "all"),
    "inverted, smooth": (lambda mask: 255 - smooth(mask, 0.4), "255 on 99%", "--invert", "smooth"),
    "inverted red": (coloured(RED, BLACK), "#ff0000 on 99%", "--invert", "all"),
    "some inverted": ([USUAL, USUAL, grey(255, 0)], "2 of 6 masks, and far less", "", ""),
    "1 and 2": (grey(1, 2), "1 (in 6 masks), 2 (in 6 masks)", "--mask-values 2", "all"),
    "128 and 255": (grey(128, 255), "128 (in 6 masks), 255 (in 6 masks)", "--mask-values 255", "all"),
    "rim of 255": (rings, "0 (in 6 masks), 1 (in 6 masks), 255 (in 6 masks)", "--mask-values 1", "all"),
    "classes": (halves(1, 2), "1 (in 6 masks), 2 (in 6 masks)", "--mask-values 1,2", "all"),
    "one class": (
        halves(1, 2),
        "--mask-values 1, say, if one alone is the object",
        "--mask-values 1",
        "left",
    ),
    "greys as classes": (halves(127, 255), "127 (in 6 masks)", "--mask-values 255", "right"),
    "a class a file": (
        [grey(0, 1), grey(0, 2)],
        "1 (in 3 masks), 2 (in 3 masks)",
        "--mask-values 1-2",
        "all",
    ),
    "red on blue": (coloured(BLUE, RED), "#0000ff (in 6 masks), #ff0000", "--foreground '#ff0000'", "all"),
    "black on white": (coloured((255,) * 3, (0, 0, 1)), "#ffffff", "--foreground '#000001'", "all"),
    "two colours": (two_colours, "#00ff00 (in 6 masks)", "--foreground '#ff0000,#00ff00'", "all"),
    "one of two colours": (two_colours, "--foreground '#00ff00', say", "--foreground ff0000", "left"),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_is_not_certain_is_refused_until_an_option_decides(tmp_path: Path, name: str, capsys):
    codes, named, option, meant = QUESTIONS[name]
    folder, run = tmp_path / "data", tmp_path / "run"
    truths = write_set(folder, codes)
    with pytest.raises(ValueError, match="_mask.png") as refused:
        find_pairs(folder)
    assert named in str(refused.value) and "--" in str(refused.value)
    assert call("check", folder, "--json", tmp_path / "report.json") == 1
    assert "NOT CERTAIN: " in capsys.readouterr().out
    assert named in json.loads((tmp_path / "report.json").read_text())["mask_doubt"]
    assert call("train", folder, "--out", run, *TRAIN) == 1 and not (run / "last.pt").exists()
    error = capsys.readouterr().err
    assert named in error and "In Python" not in error
    if option:
        expected = {
            "all": truths,
            "left": [halves(1, 0)(truth) > 0 for truth in truths],
            "right": [halves(0, 1)(truth) > 0 for truth in truths],
            "smooth": [smooth(truth, 0.4) > 127 for truth in truths],
        }
        read_as(folder, expected[meant], option)


def test_the_answer_is_taken_by_every_command_and_from_the_environment(tmp_path: Path, capsys, monkeypatch):
    folder, run = tmp_path / "data", tmp_path / "run"
    truths = write_set(folder, grey(255, 0), n=8)
    assert call("check", folder, "--invert") == 0
    assert "The object is 0; background is 255." in capsys.readouterr().out
    assert train(folder, run, "--invert") == 0
    words = ("evaluate", folder, "--checkpoint", run / "best.pt", "--split", "all", "--device", "cpu")
    assert call(*words) == 1 and "255 on 99%" in capsys.readouterr().err
    assert call(*words, "--invert") == 0
    monkeypatch.setenv("UNET_MASKS", "--invert")
    read_as(folder, truths)


def test_an_ignored_rim_is_shared_between_object_and_background(tmp_path: Path):
    truths = write_set(tmp_path, rings)
    pairs = find_pairs(tmp_path, masks="--ignore 255")
    for pair, truth in zip(pairs, truths, strict=True):
        rim, mask = rings(truth) == 255, load_mask(pair)
        assert np.array_equal(mask & ~rim, truth) and 0.2 < mask[rim].mean() < 0.8
    assert "255 is ignored: such a pixel takes the class of the nearest" in notes(
        tmp_path, masks="--ignore 255"
    )


def test_palette_indices_are_values_too(tmp_path: Path):
    colours = {1: (128, 0, 0), 2: (0, 128, 0), 255: (224, 224, 192)}
    truths = write_set(tmp_path)
    for number, truth in enumerate(truths):
        values = rings(truth)
        values[0, :3] = 2
        made = palette(1, colours)(np.zeros(truth.shape, bool))
        made.paste(Image.fromarray(values))
        made.save(tmp_path / f"s{number}_mask.png")
    with pytest.raises(ValueError, match="--ignore '#e0e0c0' if that is a rim"):
        find_pairs(tmp_path)
    read_as(tmp_path, truths, "--mask-values 1")
    read_as(tmp_path, truths, "--foreground '#800000'")
    pairs = find_pairs(tmp_path, masks="--mask-values 1 --ignore 255")
    assert all(load_mask(pair)[truth].all() for pair, truth in zip(pairs, truths, strict=True))


def test_numbered_objects_are_named_and_read_as_a_range(tmp_path: Path):
    truths = []
    for number in range(4):
        labels = np.zeros((64, 80), np.uint16)
        for row in range(4, 60, 8):
            for column in range(4, 76, 8):
                labels[row : row + 4, column : column + 4] = labels.max() + 1
        truths.append(labels > 0)
        save(tmp_path / f"s{number}.png", picture(labels > 0, number))
        save(tmp_path / f"s{number}_mask.png", labels)
    with pytest.raises(ValueError, match="--mask-values 1-63 for all of them together"):
        find_pairs(tmp_path)
    read_as(tmp_path, truths, "--mask-values 1-300")


@pytest.mark.parametrize("radius", [9, 20, 25, 30])
def test_large_objects_are_no_question(tmp_path: Path, radius: int):
    """Up to 55 % of the image, away from its border."""
    rows, columns = np.ogrid[:64, :80]
    truths = []
    for number in range(6):
        truth = (rows - 32) ** 2 + (columns - 38 - number % 4) ** 2 <= radius**2
        truths.append(truth)
        save(tmp_path / f"s{number}.png", picture(truth, number))
        save(tmp_path / f"s{number}_mask.png", truth.astype(np.uint8) * 255)
    read_as(tmp_path, truths)


def test_inverted_large_objects_are_a_question(tmp_path: Path):
    rows, columns = np.ogrid[:64, :80]
    for number in range(4):
        truth = (rows - 32) ** 2 + (columns - 40) ** 2 <= (24 + number) ** 2
        save(tmp_path / f"s{number}.png", picture(truth, number))
        save(tmp_path / f"s{number}_mask.png", (~truth).astype(np.uint8) * 255)
    with pytest.raises(ValueError, match="add --invert"):
        find_pairs(tmp_path)


def test_one_mask_of_many_that_covers_its_image_is_a_question(tmp_path: Path):
    truths = write_set(tmp_path, n=20)
    save(tmp_path / "s7_mask.png", np.full((64, 80), 255, np.uint8))
    with pytest.raises(ValueError, match=r"100% of the pixels .* of 1 of 20 masks, .*, as in s7_mask\.png"):
        find_pairs(tmp_path)
    truths[7] = np.ones((64, 80), bool)
    read_as(tmp_path, truths, "--mask-values 255")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--mask-values 7", "--mask-values must name what the masks hold, got 7. They hold 0 .*, 255"),
        ("--ignore 3", "--ignore must name what the masks hold, got 3"),
        ("--foreground '#ff0000'", "--foreground must name what the masks hold, got #ff0000"),
        ("--foreground red", "must be six hexadecimal digits as in #ff0000, got 'red'"),
        ("--mask-values one", "must be whole numbers as in 1 or 1,2 or 1-300, got 'one'"),
        ("--invert --mask-values 1", "--invert must stand without"),
        ("--inverted", "masks must be --mask-values 1 or"),
        ("--invert", "--invert must leave an object that is smaller than the image"),
    ],
)
def test_answers_that_do_not_fit_are_refused(tmp_path: Path, option: str, message: str):
    write_set(tmp_path)
    with pytest.raises(ValueError, match=message):
        find_pairs(tmp_path, masks=option)


def test_an_answer_that_makes_nearly_all_the_object_is_taken_and_said(tmp_path: Path):
    write_set(tmp_path, coloured(BLUE, RED))
    assert "It covers 99% of the pixels" in notes(tmp_path, masks="--foreground '#0000ff'")


def test_a_thousand_masks_are_audited_in_three_seconds(tmp_path: Path):
    import time

    from unet_helpers.folders.audit import audit_masks

    paths = [save(tmp_path / f"{n}.png", disc(n, 6, (256, 256)).astype(np.uint8) * 255) for n in range(200)]
    started = time.process_time()
    audit_masks(paths)
    assert time.process_time() - started < 0.6


# --------------------------------------------------------------------------------------- every file counts
def accounted(scan: FolderScan, root: Path) -> None:
    """Every file below the root is in exactly one list."""
    in_pairs = [path for pair in scan.pairs for path in (pair.image_path, pair.mask_path, *pair.more_masks)]
    files = [*in_pairs, *scan.images_without_mask, *scan.masks_without_image, *scan.same_file, *scan.others]
    files += [path for path in scan.unreadable if not path.is_dir()]
    assert len(files) == len(set(files))
    there = {path for path in root.rglob("*") if not path.is_dir() or path.is_symlink()}
    hidden = {path for path in there if any(p.startswith(".") for p in path.relative_to(root).parts)}
    assert set(files) == there - hidden


NAMES = {
    # image, mask, and how that is called
    "suffix": ("s{}.png", "s{}_mask.png", "_mask"),
    "minus": ("s{}.png", "s{}-mask.png", "-mask"),
    "seg": ("s{}.jpg", "s{}_seg.png", "_seg"),
    "label": ("s{}.png", "s{}_label.png", "_label"),
    "gt": ("s{}.png", "s{}_gt.png", "_gt"),
    "segmentation": ("ISIC_{}.jpg", "ISIC_{}_segmentation.png", "_segmentation"),
    "ground truth": ("s{}.png", "s{}_ground_truth.png", "_ground_truth"),
    "prefix": ("s{}.png", "mask_s{}.png", "mask_"),
    "weak prefix": ("s{}.png", "gt_s{}.png", "gt_"),
    "dot": ("s{}.png", "s{}.mask.png", ".mask"),
    "space": ("s {}.png", "s {} mask.png", " mask"),
    "capitals": ("S{}.PNG", "S{}_MASK.PNG", "_mask"),
    "other case": ("S{}.png", "s{}_Mask.png", "_mask"),
    "with ending": ("s{}.png", "s{}.png_mask.png", "_mask"),
    "in the middle": ("case_{}.png", "case_mask_{}.png", "_mask_"),
    "both marked": ("image_{}.png", "mask_{}.png", "mask_"),
    "both marked, without a line": ("img{}.png", "mask{}.png", "mask"),
    "both marked behind": ("case{}_img.png", "case{}_seg.png", "_seg"),
    "volumes": ("volume-{}.png", "segmentation-{}.png", "segmentation-"),
    "one word more": ("s{}.png", "s{}_stone_mask.png", "_stone_mask"),
    "webp": ("s{}.webp", "s{}_mask.webp", "_mask"),
    "gif": ("s{}.gif", "s{}_mask.gif", "_mask"),
    "bmp and tif": ("s{}.bmp", "s{}_mask.tif", "_mask"),
    "another ending": ("s{}.jpg", "s{}.png", "the same name with another ending"),
    "a number": ("t{}.png", "s{}_seg.png", "their number alone"),
    "numbers of another length": ("t{}.png", "s00{}_mask.png", "their number alone"),
    "folders": ("images/s{}.png", "masks/s{}.png", "masks/"),
    "imgs": ("imgs/s{}.png", "labels/s{}.png", "labels/"),
    "image and label": ("image/s{}.png", "label/s{}.png", "label/"),
    "VOC": ("JPEGImages/s{}.jpg", "SegmentationClass/s{}.png", "SegmentationClass/"),
    "annotations": ("Images/s{}.png", "Annotations/s{}.png", "Annotations/"),
    "gt folder": ("img/s{}.png", "gt/s{}.png", "gt/"),
    "ground truth folder": ("images/s{}.png", "Ground Truth/s{}.png", "Ground Truth/"),
    "nnU-Net": ("imagesTr/s{}.png", "labelsTr/s{}.png", "labelsTr/"),
    "folders and names": ("images/s{}.png", "masks/s{}_mask.png", "_mask"),
    "a case in the folders": ("IMAGES/s{}.png", "Masks/S{}.png", "Masks/"),
    "part above": ("train/images/s{}.png", "train/masks/s{}.png", "masks/"),
    "part below": ("images/train/s{}.png", "masks/train/s{}.png", "masks/"),
    "part in one name": ("train_images/s{}.png", "train_masks/s{}.png", "train_masks/"),
    "images at the top": ("s{}.png", "masks/s{}.png", "masks/"),
    "masks at the top": ("images/s{}.png", "s{}_mask.png", "_mask"),
    "a folder of any name": ("scans/s{}.png", "masks/s{}.png", "masks/ beside scans/"),
    "all in images": ("images/s{}.png", "images/s{}_mask.png", "_mask"),
    "all in labels": ("labels/s{}.png", "labels/s{}_mask.png", "_mask"),
    "a wrapping folder": ("kidney segmentation/s{}.png", "kidney segmentation/s{}_mask.png", "_mask"),
    "ISIC": (
        "ISIC_Input/I_{}.jpg",
        "ISIC_GroundTruth/I_{}_segmentation.png",
        "ISIC_GroundTruth/ beside ISIC_Input/",
    ),
    "brackets": ("benign ({}).png", "benign ({})_mask.png", "_mask"),
    "accents": ("données/ü{}.png", "données/ü{}_mask.png", "_mask"),
    "dollars": ("b_${}_$2.png", "b_${}_$2_mask.png", "_mask"),
    "long": ("x" * 240 + "{}.png", "masks/" + "x" * 240 + "{}.png", "masks/"),
}


@pytest.mark.parametrize("name", NAMES)
def test_styles_of_names_are_inferred_and_said(tmp_path: Path, name: str):
    image, mask, style = NAMES[name]
    write_set(tmp_path, image=image, mask=mask)
    scan = scan_folder(tmp_path)
    assert len(scan.pairs) == 6 and scan.styles == {style: 6}
    accounted(scan, tmp_path)
    for pair in scan.pairs:
        _, found = load_pair(pair)
        assert np.array_equal(found, np.asarray(Image.open(pair.image_path).convert("L")) > 128)
    if style.lower() not in ("_mask", "masks/", "labels/", "label/"):
        assert f"Masks were recognised: 6 by {style if ' ' in style else f'`{style}`'}." in notes(tmp_path)


def test_no_folder_is_dropped(tmp_path: Path, capsys):
    write_set(tmp_path / "a", n=4)
    write_set(tmp_path / "b", n=4, mask="s{}_seg.png", first=4)
    for number in range(4):
        save(tmp_path / "test" / "images" / f"u{number}.png", picture(disc(20 + number), 20 + number))
    scan = scan_folder(tmp_path)
    assert len(scan.pairs) == 8 and [path.name for path in scan.images_without_mask] == [
        f"u{n}.png" for n in range(4)
    ]
    accounted(scan, tmp_path)
    assert "4 images without a mask are left out: u0.png, u1.png, u2.png and 1 more." in notes(tmp_path)
    assert call("check", tmp_path) == 0
    out = capsys.readouterr().out
    assert "masks recognised: 4 by `_mask`, 4 by `_seg`" in out and "  test/images/u3.png" in out


def test_patients_whose_images_or_masks_are_missing_are_not_mixed(tmp_path: Path):
    for patient in ("p0", "p1", "p2"):
        write_set(tmp_path / patient, image="images/{}.png", mask="masks/{}.png")
    shutil.rmtree(tmp_path / "p1" / "masks")
    shutil.rmtree(tmp_path / "p2" / "images")
    scan = scan_folder(tmp_path)
    assert {pair.image_path.parts[-3] for pair in scan.pairs} == {"p0"} and len(scan.pairs) == 6
    assert len(scan.images_without_mask) == len(scan.masks_without_image) == 6
    accounted(scan, tmp_path)


SEVERAL = {
    "a number": ("s0.png", ["s0_mask.png", "s0_mask_1.png"]),
    "numbers": ("s0.png", ["s0_mask_1.png", "s0_mask_2.png", "s0_mask_3.png"]),
    "a number without a line": ("s0.png", ["s0_mask.png", "s0_mask2.png"]),
    "letters": ("s0.png", ["s0_mask_a.png", "s0_mask_b.png"]),
    "downloaded twice": ("s0.png", ["s0_mask.png", "s0_mask (1).png"]),
    "numbers before": ("s0.png", ["s0_1_mask.png", "s0_2_mask.png"]),
    "in masks/": ("images/s0.png", ["masks/s0_1.png", "masks/s0_2.png"]),
    "in a folder": ("images/s0.png", ["masks/s0/1.png", "masks/s0/2.png", "masks/s0/xyz.png"]),
    "an image a folder": ("s0/images/s0.png", ["s0/masks/aa.png", "s0/masks/bb.png"]),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_numbered_masks_of_an_image_are_joined_and_said(tmp_path: Path, name: str, capsys):
    image, masks = SEVERAL[name]
    discs = [disc(n) for n in range(len(masks))]
    whole = np.logical_or.reduce(discs)
    save(tmp_path / image, picture(whole, 0))
    for path, part in zip(masks, discs, strict=True):
        save(tmp_path / path, USUAL(part))
    write_set(tmp_path / "more")
    scan = scan_folder(tmp_path)
    (pair,) = [pair for pair in scan.pairs if pair.more_masks]
    assert pair.image_path == tmp_path / image and np.array_equal(load_mask(pair), whole)
    accounted(scan, tmp_path)
    assert f"1 image has several mask files, which are joined: s0.png ({len(masks)})." in notes(tmp_path)
    assert call("check", tmp_path) == 0
    assert f"has {len(masks)} mask files, which are joined" in capsys.readouterr().out


@pytest.mark.parametrize(
    "masks",
    [
        ("s0_mask.png", "s0_seg.png"),
        ("s0_kidney_mask.png", "s0_stone_mask.png"),
        ("s0_mask_left.png", "s0_mask_right.png"),
        ("s0_mask.png", "masks/s0.png"),
        ("s0_mask.png", "s0_mask.tif"),
        ("masks/s0.png", "labels/s0.png"),
    ],
)
def test_masks_that_may_mean_different_things_are_both_named(tmp_path: Path, masks: tuple[str, str]):
    write_set(tmp_path / "more")
    save(tmp_path / "s0.png", picture(disc(0), 0))
    for mask in masks:
        save(tmp_path / mask, USUAL(disc(0)))
    with pytest.raises(ValueError, match=r"s0\.png must have one mask, or numbered parts") as refused:
        scan_folder(tmp_path)
    assert all(Path(mask).name in str(refused.value) for mask in masks)


def test_text_files_of_boxes_are_ignored_and_named(tmp_path: Path, capsys):
    write_set(tmp_path / "images")
    for name in ("s0.txt", "s1.txt", "classes.txt"):
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / name).write_text("0 .1 .1 .2 .2\n")
    scan = scan_folder(tmp_path)
    assert len(scan.pairs) == 6 and len(scan.others) == 3
    accounted(scan, tmp_path)
    assert "3 text files in labels/" in notes(tmp_path) and "not read: classes.txt" in notes(tmp_path)
    assert call("check", tmp_path) == 0 and "other files, not read: 3 .txt" in capsys.readouterr().out


def test_a_yolo_set_with_masks_beside(tmp_path: Path):
    for part in ("train", "val"):
        write_set(tmp_path, image=f"images/{part}/{part}{{}}.png", mask=f"masks/{part}/{part}{{}}.png")
        (tmp_path / "labels" / part).mkdir(parents=True)
        (tmp_path / "labels" / part / "s0.txt").write_text("0 .1 .1 .2 .2\n")
    assert len(scan_folder(tmp_path).pairs) == 12


# ------------------------------------------------------------------------------------- one file, two paths
@pytest.mark.skipif(os.name == "nt", reason="Windows lets only administrators make links")
def test_links_count_once(tmp_path: Path):
    write_set(tmp_path / "a")
    (tmp_path / "b").mkdir()
    for number in (0, 1):
        os.link(tmp_path / "a" / f"s{number}.png", tmp_path / "b" / f"s{number}.png")
        os.link(tmp_path / "a" / f"s{number}_mask.png", tmp_path / "b" / f"s{number}_mask.png")
    (tmp_path / "b" / "s2.png").symlink_to(tmp_path / "a" / "s2.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "c").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    scan = scan_folder(tmp_path)
    assert len(scan.pairs) == 6 and scan.n_grouped_by_folder == 0
    assert {path.relative_to(tmp_path).as_posix() for path in scan.same_file} >= {
        "b/s0.png",
        "b/s0_mask.png",
        "b/s2.png",
        "c/s5.png",
        "c/s5_mask.png",
    }
    assert scan.unreadable == {tmp_path / "gone.png": "a link to nothing"}
    assert "to a file that counts already" in notes(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="Windows lets only administrators make links")
def test_images_may_share_one_empty_mask(tmp_path: Path):
    truths = write_set(tmp_path, n=3)
    save(tmp_path / "nothing.tiff.dat.png", np.zeros((64, 80), np.uint8))
    for number in (3, 4):
        save(tmp_path / f"s{number}.png", picture(np.zeros((64, 80), bool), number))
        (tmp_path / f"s{number}_mask.png").symlink_to(tmp_path / "nothing.tiff.dat.png")
    read_as(tmp_path, [*truths, np.zeros((64, 80), bool), np.zeros((64, 80), bool)])


def test_identical_images_join_their_groups_in_training_too(tmp_path: Path, capsys):
    for patient in ("p0", "p1", "p2", "p3", "p4"):
        write_set(tmp_path / patient, n=4, first=10 * int(patient[1]))
    for number in (0, 1):  # under another name, in another format
        shutil.copy(tmp_path / "p0" / f"s{number}.png", tmp_path / "p1" / f"copy{number}.png")
        shutil.copy(tmp_path / "p0" / f"s{number}_mask.png", tmp_path / "p1" / f"copy{number}_mask.png")
    Image.open(tmp_path / "p2" / "s20.png").save(tmp_path / "p3" / "again.bmp")
    save(tmp_path / "p3" / "again_mask.png", USUAL(disc(20)))
    for patient in ("p0", "p4"):  # two slices of air are no reason
        save(tmp_path / patient / "air.png", np.zeros((64, 80), np.uint8))
        save(tmp_path / patient / "air_mask.png", np.zeros((64, 80), np.uint8))
    pairs = find_pairs(tmp_path, "folder")
    group = {pair.image_path.parent.name: pair.group for pair in pairs}
    assert group["p0"] == group["p1"] != group["p2"] == group["p3"] and len(set(group.values())) == 3
    assert "3 images are in two groups under two names, so these groups are joined" in notes(
        tmp_path, group_by="folder"
    )
    assert train(tmp_path, tmp_path / "run", "--group-by", "folder") == 0
    split = split_of(tmp_path / "run")
    parts = [name for name, images in split.items() if {"copy0.png", "s0.png"} & set(images)]
    assert len(parts) == 1
    assert "3 images are in two groups" in capsys.readouterr().err


# ------------------------------------------------------------------------------------ what cannot be opened
def test_what_cannot_be_opened_is_named_and_stops_nothing(tmp_path: Path, capsys):
    folder = tmp_path / "data"
    write_set(folder, n=12)
    (folder / "s0.png").write_bytes(b"")  # a placeholder of a cloud drive
    (folder / "s1_mask.png").write_bytes(b"")
    (folder / "s2.png").write_bytes((folder / "s2.png").read_bytes()[:300])
    (folder / "s3_mask.png").write_text("<html>404</html>")
    (folder / "film.png").mkdir()
    scan = scan_folder(folder)
    accounted(scan, folder)
    assert scan.unreadable == dict.fromkeys([folder / "s0.png", folder / "s1_mask.png"], "an empty file")
    pairs = find_pairs(folder)
    assert [pair.image_path.name for pair in pairs] == sorted(f"s{n}.png" for n in range(4, 12))
    text = notes(folder)
    assert "4 files or folders cannot be opened, and the rest goes on without: s0.png (an empty file)" in text
    assert call("check", folder) == 1
    out = capsys.readouterr().out
    assert "4 broken files" in out and all(f"s{n}" in out.split("broken")[1] for n in range(4))
    assert train(folder, tmp_path / "run") == 0


def test_a_folder_that_may_not_be_read_stops_nothing(tmp_path: Path, monkeypatch):
    write_set(tmp_path)
    (tmp_path / "lost+found").mkdir()
    real = os.listdir

    def listdir(path):
        if Path(path).name == "lost+found":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    scan = scan_folder(tmp_path)
    assert len(scan.pairs) == 6 and scan.unreadable == {tmp_path / "lost+found": "permission denied"}
    assert "lost+found (permission denied)" in notes(tmp_path)


def test_only_broken_masks_is_an_error_that_says_so(tmp_path: Path):
    write_set(tmp_path)
    for path in tmp_path.glob("*_mask.png"):
        path.write_text("no picture")
    with pytest.raises(ValueError, match="must hold image-mask pairs that can be read, got none of 6"):
        find_pairs(tmp_path)


@pytest.mark.parametrize("name", [b"latin-\xe9{}.png", b"surrogate\xed\xa0\x80{}.png", "日本{}.png".encode()])
def test_a_name_that_cannot_be_printed_is_reported_all_the_same(tmp_path: Path, name: bytes):
    import subprocess
    import sys

    folder, report = tmp_path / "data", tmp_path / "report.json"
    write_set(folder)
    odd = folder / os.fsdecode(name).format(7)
    try:
        save(folder / "odd.png", picture(disc(7), 7)).rename(odd)
    except OSError:
        pytest.skip("this disk takes no such name")
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(__file__).parents[1])}
    words = [sys.executable, "-m", "unet_helpers", "check", str(folder), "--json", str(report)]
    ran = subprocess.run(words, env=env, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert b"1 image without mask\n  " in ran.stdout and b"0 broken files" in ran.stdout
    assert json.loads(report.read_text())["images_without_mask"] == [odd.name]


# ----------------------------------------------------------------------------------------- groups and splits
def test_rows_of_groups_csv_that_do_not_fit_are_each_named(tmp_path: Path, capsys):
    write_set(tmp_path, n=4)
    (tmp_path / "groups.csv").write_text("stem,group\ns0,A\ns0,B\ns1,A\nS2,B\ns3_typo,B\n")
    text = notes(tmp_path)
    assert "1 row that matches no image: s3_typo." in text
    assert "1 image in two groups, which are joined: s0 (A, B)." in text
    assert "1 row that matches only in another case: S2." in text
    assert call("check", tmp_path) == 0
    out = capsys.readouterr().out
    assert all(line in out for line in ("\n  s3_typo", "\n  s0 (A, B)", "\n  S2"))


def test_rows_without_a_stem_or_a_group_are_named(tmp_path: Path):
    write_set(tmp_path, n=4)
    (tmp_path / "groups.csv").write_text("stem,group\ns0,A\ns1,\n,B\n,\n\n")
    assert "groups.csv has 2 rows that match no image: s1 without a group, group B without a stem." in notes(
        tmp_path
    )


def test_a_dominant_patient_in_folds_is_said_too(tmp_path: Path):
    write_set(tmp_path, n=20)
    rows = "".join(f"s{n},{'A' if n < 17 else n}\n" for n in range(20))
    (tmp_path / "groups.csv").write_text("stem,group\n" + rows)
    with pytest.warns(UserWarning, match=r"test \d 17 \(85 %\).* Add patients, or take fewer folds"):
        folds_by_group(find_pairs(tmp_path), 3)


@pytest.mark.parametrize("sizes", [(17, 1, 1, 1), (1, 17, 1, 1), (40, 2, 1, 1, 1), (17, 1, 1)])
def test_a_dominant_patient_gives_the_best_split_and_a_warning_with_numbers(tmp_path: Path, sizes, capsys):
    write_set(tmp_path / "data", n=sum(sizes))
    patients = [f"patient{i}" for i, n in enumerate(sizes) for _ in range(n)]
    rows = "".join(f"s{number},{patient}\n" for number, patient in enumerate(patients))
    (tmp_path / "data" / "groups.csv").write_text("stem,group\n" + rows)
    assert train(tmp_path / "data", tmp_path / "run") == 0
    split = {name: len(images) for name, images in split_of(tmp_path / "run").items()}
    assert split["train"] >= max(sizes) and split["val"] >= 1 and split["test"] >= 1
    error = capsys.readouterr().err
    assert f"the largest, patient{sizes.index(max(sizes))}, holds {max(sizes)} images" in error
    assert f"train {split['train']} (" in error and f"of {sum(sizes)} images instead of" in error


def test_images_seen_in_training_are_known_when_groups_are_renamed(tmp_path: Path, capsys):
    folder, run = tmp_path / "data", tmp_path / "run"
    write_set(folder, n=16)
    assert train(folder, run) == 0
    trained = set(split_of(run)["train"]) | set(split_of(run)["val"])
    rows = "".join(f"s{number},patient{number // 4}\n" for number in range(16))
    (folder / "groups.csv").write_text("stem,group\n" + rows)
    scores = tmp_path / "scores.json"
    words = ("evaluate", folder, "--checkpoint", run / "best.pt", "--device", "cpu", "--json", scores)
    code = call(*words)
    if code == 0:
        assert not trained & set(json.loads(scores.read_text())["images"])
    else:
        assert "--split must name a part that has images, got test with none" in capsys.readouterr().err


PART_NAMES = [("train", "val", "test"), ("Training", "Validation", "Testing"), ("train", "valid", "test")]


@pytest.mark.parametrize(
    "layout", ["{part}/s{{}}", "images/{part}/s{{}}", "{part}/images/s{{}}", "x/{part}/s{{}}"]
)
@pytest.mark.parametrize("parts", PART_NAMES)
def test_a_given_split_is_kept_when_asked(tmp_path: Path, layout: str, parts: tuple[str, ...], capsys):
    folder = tmp_path / "data"
    for n, part in enumerate(parts):
        stem = layout.format(part=part)
        mask = stem.replace("images", "masks") if "images" in stem else stem + "_mask"
        write_set(folder, image=stem + ".png", mask=mask + ".png", n=4 - n, first=10 * n)
    scan = scan_folder(folder)
    assert scan.given_split == {"train": 4, "val": 3, "test": 2}
    assert "Folders name the parts of a split (train 4, val 3, test 2 pairs)" in notes(folder)
    split = given_split(scan.pairs, folder)
    assert {name: len(pairs) for name, pairs in split.items()} == scan.given_split
    if parts == PART_NAMES[0]:
        assert train(folder, tmp_path / "run", "--given-split") == 0
        assert {name: len(images) for name, images in split_of(tmp_path / "run").items()} == scan.given_split
        assert train(folder, tmp_path / "folds", "--given-split", "--folds", 3) == 1
        assert "--given-split must stand without --folds" in capsys.readouterr().err


def test_a_given_split_that_tears_a_patient_is_said_and_one_without_parts_refused(tmp_path: Path):
    for part in ("train", "val", "test"):
        write_set(tmp_path / part, n=3, first=0 if part != "test" else 9)
    pairs = find_pairs(tmp_path, "name")
    with pytest.warns(UserWarning, match="tears 3 of 6 groups apart, with 6 of 9 images"):
        given_split(pairs, tmp_path)
    write_set(tmp_path / "more", n=1, first=50)
    with pytest.raises(
        ValueError, match=r"train 3, val 3, test 3 images and 1 outside of these \(s50\.png\)"
    ):
        given_split(find_pairs(tmp_path, "name"), tmp_path)


# ----------------------------------------------------------------------------------------- any tree at all
@pytest.mark.parametrize("seed", range(60))
def test_found_is_paired_and_left_over_in_any_tree(tmp_path: Path, seed: int):
    """Random trees of folders, names, endings, links and broken files; each is accounted for or refused."""
    rng = np.random.default_rng(seed)
    folders = [
        "",
        "images",
        "masks",
        "labels",
        "train",
        "train/images",
        "train/masks",
        "p1",
        "p1/gt",
        "x y",
        "p1/a/b",
    ]
    stems = [
        "a",
        "a_mask",
        "a_1",
        "a_mask_1",
        "b",
        "b_seg",
        "mask_b",
        "c.mask",
        "c",
        "7",
        "t7",
        "s7_seg",
        "image_c",
        "A",
    ]
    picked = rng.choice(folders, int(rng.integers(1, 5)), replace=False)
    for place in picked:
        for stem in rng.choice(stems, int(rng.integers(1, 8)), replace=False):
            path = tmp_path / place / f"{stem}.{rng.choice(['png', 'jpg', 'txt', 'PNG', 'webp', 'gif'])}"
            path.parent.mkdir(parents=True, exist_ok=True)
            kind = rng.integers(12)
            if kind == 0:
                path.write_bytes(b"")
            elif kind == 1 and os.name != "nt":  # where only administrators make links
                path.symlink_to(tmp_path / "nowhere")
            else:
                path.write_bytes(str((place, stem)).encode())
    try:
        scan = scan_folder(tmp_path)
    except ValueError as error:
        text = str(error)
        assert any(w in text for w in ("must have one mask", "one file a stem", "image-mask pairs, got none"))
        return
    accounted(scan, tmp_path)
    assert len({pair.image_path for pair in scan.pairs}) == len(scan.pairs)


REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "kidney_stone_coronal"


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real scans are not in {REAL}")
def test_the_real_layout_gives_what_it_gave(capsys):
    scan = scan_folder(REAL)
    assert (len(scan.pairs), len(scan.images_without_mask), len(scan.masks_without_image)) == (957, 97, 0)
    assert scan.styles == {"_mask": 957} and len(split_by_group(scan.pairs)["test"]) == 191
    accounted(scan, REAL)
    assert sum(path.suffix == ".txt" for path in scan.others) == 1054
