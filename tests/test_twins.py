"""Twins are found however they were changed, and strangers are not."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from unet_helpers.command_line.main import main
from unet_helpers.data import Pair
from unet_helpers.folders import check
from unet_helpers.folders.check import check_folder
from unet_helpers.folders.finding import find_pairs
from unet_helpers.folders.twins import Twins, find_twins, proposed_groups, thumbnail

N = 24


def picture(seed: int, height: int = 200, width: int = 240) -> Image.Image:
    """Blobs of many sizes: a picture with an inside and a dark outside, like a slice."""
    noise = np.random.default_rng(seed).normal(size=(height, width))
    fields = [ndimage.gaussian_filter(noise, sigma) * sigma for sigma in (2, 5, 12)]
    body = np.hypot(*np.meshgrid(np.linspace(-1.1, 1.1, width), np.linspace(-1.2, 1.2, height))) < 1
    greys = 110 + 60 * sum(fields)
    return Image.fromarray(np.clip(np.where(body, greys, 0), 0, 255).astype(np.uint8))


def compressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=25)
    return Image.open(buffer).convert("L")


def brighter(image: Image.Image) -> Image.Image:
    return image.point(lambda grey: 20 + 0.8 * grey)


def crop(image: Image.Image, left: float, top: float, share: float) -> Image.Image:
    width, height = image.size
    box = (left * width, top * height, (left + share) * width, (top + share) * height)
    return image.crop(tuple(map(round, box))).resize(image.size)


Change = Callable[[Image.Image], Image.Image]
CHANGES: dict[str, Change] = {
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "upside down": lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    "turned by a quarter": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "turned by 7 degrees": lambda image: image.rotate(7, Image.Resampling.BILINEAR),
    "mirrored and turned": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).rotate(-9),
    "compressed": compressed,
    "brighter and compressed": lambda image: compressed(brighter(image)),
    "half as large": lambda image: image.resize((image.width // 2, image.height // 2)),
    "cropped in the middle": lambda image: crop(image, 0.07, 0.07, 0.86),
    "cropped at a corner": lambda image: crop(image, 0.0, 0.14, 0.86),
    "cropped and mirrored": lambda image: CHANGES["mirrored"](crop(image, 0.12, 0.0, 0.88)),
}


def small(images: Iterable[Image.Image]) -> NDArray[np.float32]:
    return np.array([thumbnail(np.asarray(image)) for image in images], np.float32)


@pytest.fixture(scope="module")
def strangers() -> list[Image.Image]:
    return [picture(seed) for seed in range(N)]


@pytest.mark.parametrize("name", CHANGES)
def test_a_twin_is_found_and_nobody_else(name: str, strangers: list[Image.Image]) -> None:
    found = find_twins(small([*strangers, *(CHANGES[name](strangers[i]) for i in (3, 8, 11, 20))]))
    assert [twin[:2] for twin in found] == [(3, N), (8, N + 1), (11, N + 2), (20, N + 3)]
    assert all(0.885 <= twin.likeness <= 1.0001 for twin in found)


def test_strangers_have_no_twins(strangers: list[Image.Image]) -> None:
    assert find_twins(small(strangers)) == []


def test_a_copy_is_a_perfect_twin(strangers: list[Image.Image]) -> None:
    ((first, second, likeness),) = find_twins(small([*strangers[:5], strangers[2]]))
    assert (first, second) == (2, 5) and likeness == pytest.approx(1, abs=1e-4)


def test_pictures_without_edges_are_like_no_other() -> None:
    assert find_twins(small(Image.new("L", (50, 40), grey) for grey in (0, 0, 128, 128))) == []


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_images_to_compare(n: int, strangers: list[Image.Image]) -> None:
    assert find_twins(small(strangers[:n])) == []


def groups(*names: str) -> list[Pair]:
    return [Pair(Path(f"s{i}.png"), Path(f"s{i}_mask.png"), name) for i, name in enumerate(names)]


def test_twins_join_their_groups_and_whoever_is_in_them() -> None:
    pairs = groups("a", "a", "b", "c", "c", "d")
    assert proposed_groups(pairs, [Twins(1, 2, 0.95), Twins(2, 3, 0.9)]) == ["a", "a", "a", "a", "a", "d"]
    assert proposed_groups(pairs, []) == ["a", "a", "b", "c", "c", "d"]


def test_grey_noise_alone_makes_no_twins() -> None:
    """Small pictures of discs on noise, of which the thumbnails show little else than noise."""
    random = np.random.default_rng(0)
    images = []
    for _ in range(30):
        greys: NDArray[np.uint8] = random.integers(60, 120, (64, 80), np.uint8)
        row, column = random.integers(10, 54, 2)
        greys[row - 4 : row + 4, column - 4 : column + 4] = 230
        images.append(Image.fromarray(greys))
    assert find_twins(small(images)) == []


def test_one_bright_disc_in_the_middle_makes_no_twins() -> None:
    """What is brightest is at the same place in all of them, and everything else differs."""
    random = np.random.default_rng(1)
    images = []
    for _ in range(12):
        greys: NDArray[np.uint8] = random.integers(60, 85, (64, 80), np.uint8)
        rows, columns = np.ogrid[:64, :80]
        greys[np.hypot(rows - 32, columns - 40) < 4] = 230
        images.append(Image.fromarray(greys))
    assert find_twins(small(images)) == []


# ----------------------------------------------------------------------------------- `check` and its proposal
@pytest.fixture
def folder(strangers: list[Image.Image], tmp_path: Path) -> Path:
    """Six strangers, and a mirrored twin of the second in another folder."""
    (tmp_path / "scans" / "more").mkdir(parents=True)
    for number, image in enumerate(strangers[:6]):
        save(image, tmp_path / "scans" / f"s{number}.png")
    save(CHANGES["mirrored and turned"](strangers[1]), tmp_path / "scans" / "more" / "late.png")
    return tmp_path / "scans"


def save(image: Image.Image, path: Path) -> None:
    image.save(path)
    mask = np.zeros((image.height, image.width), np.uint8)
    mask[90:99, 100:110] = 255
    Image.fromarray(mask).save(path.with_name(f"{path.stem}_mask.png"))


def test_check_names_twins_and_proposes_groups(folder: Path, tmp_path: Path, capsys) -> None:
    assert main(["check", str(folder), "--twins", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "1 pair of images in two groups shows the same picture" in printed
    assert "more/late.png and s1.png: alike 0.9" in printed
    with Image.open(tmp_path / "out" / "twins.jpg") as drawn:
        assert drawn.width > 300 and np.ptp(np.asarray(drawn)) > 100
    (folder / "groups.csv").write_bytes((tmp_path / "out" / "groups.csv").read_bytes())
    groups = {pair.image_path.stem: pair.group for pair in find_pairs(folder)}
    assert groups["late"] == groups["s1"] and len(set(groups.values())) == 6
    assert check_folder(folder, progress=False)["twins_in_two_groups"] == []


def test_check_without_the_option_writes_nothing(folder: Path, tmp_path: Path, capsys) -> None:
    assert main(["check", str(folder)]) == 0
    assert "--twins OUT" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scans"]


def test_very_many_images_are_compared_when_asked(folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(check, "MOST_COMPARED", 6)
    assert main(["check", str(folder)]) == 0
    assert "not looked for" in capsys.readouterr().out
    assert main(["check", str(folder), "--twins", str(tmp_path / "out")]) == 0
    assert "1 pair of images" in capsys.readouterr().out
