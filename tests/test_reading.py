"""Image files of every depth, and which way up they are."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from odd_files import write_dicom, write_png16, write_tiff
from PIL import Image, ImageOps

from unet_helpers.data import (
    Pair,
    image_hashes,
    load_image,
    load_mask,
    load_pair,
    mask_values,
    window,
    with_window,
)
from unet_helpers.formats.reading import decode, greys

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65536, (20, 30, 4)).astype(np.uint16)
HU = np.tile(np.arange(-1000, 1001, 100, dtype=np.int16), (5, 1))  # (5, 21)
WINDOWED = window(HU, 40, 400)
GREY = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10


# ------------------------------------------------------------------------------------------------- depth
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_png_of_sixteen_bits_is_read_whole(tmp_path: Path, n_channels: int):
    values = DEEP[..., :n_channels]
    found = decode(write_png16(tmp_path / "a.png", values)).deep
    assert found is not None and np.array_equal(found.reshape(values.shape), values)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["u2", "i2", "u4", "i4", "f4"])
def test_grey_tiff_is_read_whole_or_refused(tmp_path: Path, dtype: str, packed: bool, order: str):
    values = ((RNG.random((20, 30)) - 0.5 * (dtype[0] != "u")) * 60000).astype(dtype)
    path = write_tiff(tmp_path / "a.tif", values, order, packed)
    if (dtype, order) == ("u4", ">"):
        with pytest.raises(
            ValueError, match=r"a kind of TIFF that is not read here\. Save it as a grey TIFF"
        ):
            decode(path)
    else:
        assert np.array_equal(decode(path).deep, values)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("n_channels", [3, 4])
def test_colour_tiff_of_sixteen_bits_is_read_whole(tmp_path: Path, n_channels: int, packed: bool, order: str):
    values = DEEP[..., :n_channels]
    assert np.array_equal(decode(write_tiff(tmp_path / "a.tif", values, order, packed)).deep, values)


def test_white_is_zero_is_turned_round(tmp_path: Path):
    values = DEEP[..., 0]
    assert np.array_equal(decode(write_tiff(tmp_path / "a.tif", values, photometric=0)).deep, 65535 - values)


@pytest.mark.parametrize("values", [DEEP[..., :2], DEEP[..., :3].astype(np.float32)], ids=["LA", "RGB float"])
def test_what_pillow_cannot_read_is_said_to_be_a_kind_of_tiff(tmp_path: Path, values: np.ndarray):
    with pytest.raises(ValueError, match=r"a kind of TIFF .* 32-bit floating point\.$"):
        load_image(write_tiff(tmp_path / "a.tif", values))


def test_channels_in_planes_are_refused_and_not_read_as_something_else(tmp_path: Path):
    path = write_tiff(tmp_path / "a.tif", DEEP[..., :3].transpose(2, 0, 1).reshape(20, 30, 3), planes=2)
    with pytest.raises(ValueError, match="its channels lie in separate planes"):
        load_image(path)


# ------------------------------------------------------------------------------------------------ window
@pytest.mark.parametrize("kind", ["grey png", "colour png", "tiff", "float tiff", "dicom"])
def test_hounsfield_units_come_through_the_window(tmp_path: Path, kind: str):
    stored = (HU + 1024).astype(np.uint16)
    path, level = tmp_path / "a.png", 40.0 + 1024
    if kind == "grey png":
        write_png16(path, stored[..., None])
    elif kind == "colour png":
        write_png16(path, np.repeat(stored[..., None], 3, -1))
    elif kind == "dicom":
        path, level = write_dicom(tmp_path / "a", stored), 40
    else:
        values = HU.astype(np.float32) if kind == "float tiff" else HU
        path, level = write_tiff(tmp_path / "a.tif", values), 40
    assert np.array_equal(load_image(path, (level, 400)), WINDOWED)


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        (HU, r"16 bits with values -1000 to 1000\. If these are Hounsfield units, give window=\(40, 400\)"),
        ((HU + 1024).astype(np.uint16), r"24 to 2024\. If .* with 1024 added.* give window=\(1064, 400\)"),
        ((HU // 100 + 10).astype(np.uint16), r"0 to 20\. They fit into 8 bits: window=\(127.5, 255\)"),
        ((HU / 2000 + 0.5).astype(np.float32), r"floating point with values 0 to 1\. .* window=\(0.5, 1\)"),
        (HU.astype(np.uint16), r"values 0 to 65436\. .* window=\(32718, 65436\) shows them all"),
        (np.full((4, 4), 7, np.uint16), r"7 to 7\. Give the window as level and width"),
    ],
)
def test_a_missing_window_is_asked_for_with_what_the_values_suggest(tmp_path: Path, values, hint: str):
    with pytest.raises(ValueError, match=r"a\.tif must have 8 bits a pixel or a window, got .*" + hint):
        load_image(write_tiff(tmp_path / "a.tif", values))


def test_eight_bits_ignore_the_window_and_say_so_once(tmp_path: Path):
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path in paths:
        Image.fromarray(GREY).save(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        images = [load_image(path, (40, 400)) for path in paths]
    assert [str(w.message) for w in caught] == [
        "images with 8 bits a pixel are read as they are: the window is for those with more bits."
    ]
    assert all(np.array_equal(image, GREY) for image in images)


def test_a_pair_is_seen_and_recognised_through_its_window(tmp_path: Path):
    image = write_png16(tmp_path / "a.png", (HU + 1024).astype(np.uint16)[..., None])
    Image.fromarray((HU > 0).astype(np.uint8) * 255).save(tmp_path / "a_mask.png")
    pair = Pair(image, tmp_path / "a_mask.png", "g")
    with pytest.raises(ValueError, match="or a window"):
        load_pair(pair)
    (seen,) = with_window([pair], (1064, 400))
    grey, mask = load_pair(seen)
    assert np.array_equal(grey, WINDOWED) and np.array_equal(mask, HU > 0)
    assert image_hashes([seen]) != image_hashes(with_window([pair], (1064, 800)))


def test_what_is_not_a_number_is_black(tmp_path: Path):
    values = np.array([[np.nan, np.inf, -np.inf, 41]], np.float32)
    assert load_image(write_tiff(tmp_path / "a.tif", values), (40, 400)).tolist() == [[0, 255, 0, 128]]


def test_masks_keep_their_depth(tmp_path: Path):
    label = np.array([[0, 300, 7]], np.uint16)
    assert np.array_equal(mask_values(write_png16(tmp_path / "a.png", label[..., None])), label)
    in_three = np.repeat(label[..., None], 3, -1)
    assert np.array_equal(mask_values(write_png16(tmp_path / "a.png", in_three)), label)
    red = np.array([[[65535, 0, 0], [0, 0, 0]]], np.uint16)
    assert mask_values(write_png16(tmp_path / "a.png", red)).tolist() == [[[255, 0, 0], [0, 0, 0]]]
    half = np.array([[[65535, 65535, 65535, 32768]]], np.uint16)
    assert mask_values(write_png16(tmp_path / "a.png", half)).tolist() == [[32768]]


# ------------------------------------------------------------------------------------------- which way up
def with_turn(path: Path, values: np.ndarray, turn: int, **options) -> Path:
    picture = Image.fromarray(values)
    exif = picture.getexif()
    exif[0x0112] = turn
    picture.save(path, exif=exif, **options)
    return path


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.webp"])
def test_an_image_is_turned_as_its_file_says(tmp_path: Path, name: str, turn: int):
    path = with_turn(tmp_path / name, GREY, turn, **({"lossless": True} if name == "a.webp" else {}))
    with Image.open(path) as file:
        expected = np.asarray(ImageOps.exif_transpose(file).convert("L"))
    assert np.array_equal(load_image(path), expected)
    assert decode(path).turn == turn


def test_deep_images_are_turned_too(tmp_path: Path):
    values = DEEP[..., 0]
    path = tmp_path / "a.png"
    picture = Image.fromarray(values)
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(path, exif=exif)
    assert np.array_equal(decode(path).deep, np.rot90(values, -1))


def turned_pair(tmp_path: Path, turn: int, mask_turn: int, shape: tuple[int, int]) -> Pair:
    values = np.arange(shape[0] * shape[1], dtype=np.uint8).reshape(shape)
    image = with_turn(tmp_path / "a.png", values, turn)
    upright = (
        np.asarray(ImageOps.exif_transpose(Image.open(image)).convert("L")) if mask_turn == 1 else values
    )
    return Pair(image, with_turn(tmp_path / "a_mask.png", upright, mask_turn), "g")


@pytest.mark.parametrize(("turn", "mask_turn", "shape"), [(6, 6, (4, 6)), (3, 3, (4, 4)), (6, 1, (4, 6))])
def test_image_and_mask_lie_alike(tmp_path: Path, turn: int, mask_turn: int, shape: tuple[int, int]):
    image, mask = load_pair(turned_pair(tmp_path, turn, mask_turn, shape))
    assert np.array_equal(mask, image > 127)


@pytest.mark.parametrize(("turn", "shape"), [(3, (4, 6)), (2, (4, 6)), (6, (4, 4))])
def test_turns_that_sizes_cannot_tell_are_refused(tmp_path: Path, turn: int, shape: tuple[int, int]):
    with pytest.raises(ValueError, match=f"a_mask.png must be the same way up .* orientations 1 and {turn}"):
        load_pair(turned_pair(tmp_path, turn, 1, shape))


def test_a_mask_that_was_drawn_on_the_lying_image_has_another_size(tmp_path: Path):
    pair = turned_pair(tmp_path, 6, 1, (4, 6))
    Image.fromarray(GREY).save(pair.mask_path)
    with pytest.raises(ValueError, match=r"must have the size of its image a\.png, \(6, 4\), got \(4, 6\)"):
        load_pair(pair)


# -------------------------------------------------------------------------------------------- many pages
def test_a_still_gif_and_webp_are_read(tmp_path: Path):
    for name in ("a.gif", "a.webp"):
        Image.fromarray(GREY).save(tmp_path / name, **({"lossless": True} if name == "a.webp" else {}))
        assert np.array_equal(load_image(tmp_path / name), GREY)
        assert np.array_equal(load_mask(tmp_path / name), GREY > 127)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.tif", "a.png"])
def test_pages_are_refused_with_the_command_that_writes_them(tmp_path: Path, name: str):
    Image.fromarray(GREY).save(tmp_path / name, save_all=True, append_images=[Image.fromarray(255 - GREY)])
    with pytest.raises(
        ValueError, match="must hold one slice, got 2 pages. .* convert FOLDER OUT --format tiff"
    ):
        load_image(tmp_path / name)


def test_previews_in_a_photo_are_no_pages(tmp_path: Path):
    photo = Image.fromarray(np.tile(np.uint8(200), (16, 16)))
    photo.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[photo.resize((8, 8))])
    assert load_image(tmp_path / "a.jpg").shape == (16, 16)


def test_one_decoded_file_serves_image_and_window(tmp_path: Path):
    decoded = decode(write_tiff(tmp_path / "a.tif", HU))
    assert np.array_equal(greys(decoded, (40, 400)), WINDOWED)
