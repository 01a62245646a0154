"""At what size a network sees images: in training, in its checkpoint, and afterwards."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_data import tiny_pairs

from unet_helpers.checkpoint import load_checkpoint, load_state, save_state
from unet_helpers.command_line import train as train_command
from unet_helpers.data import Pair, load_arrays
from unet_helpers.engine import cache
from unet_helpers.engine.scale import Scale
from unet_helpers.engine.settings import clashes, continued
from unet_helpers.folders.tables import known_spacings
from unet_helpers.model import UNet
from unet_helpers.pretrained import load_pretrained
from unet_helpers.training import TrainConfig, fit, run_status
from unet_helpers.transforms import shrink_size

CPU = torch.device("cpu")
CONFIG = TrainConfig(n_steps=2, steps_per_epoch=1, batch_size=2, patch_size=32)
Pairs = tuple[list[Pair], list[Pair]]


@pytest.fixture
def pairs(tmp_path: Path) -> Pairs:
    return tiny_pairs(tmp_path / "data", sizes=((48, 48), (40, 56)))


def train(pairs: Pairs, folder: Path, **settings: object) -> dict:
    model = UNet(base_channels=2, depth=2)
    fit(*pairs, folder, replace(CONFIG, **settings), model, CPU, progress=False)
    return load_state(folder / "last.pt")


# ---------------------------------------------------------------------------------------------- the rule
def test_by_itself_nothing_is_resized():
    assert [shrink_size(size, None) for size in ((1, 7), (10_000, 3))] == [(1, 7), (10_000, 3)]
    assert Scale().options([]) == {"max_size": None}
    assert Scale(300).options([]) == {"max_size": 300}
    assert [shrink_size((600, 300), 300), shrink_size((600, 300), 3, (2.0, 0.5))] == [(300, 150), (1200, 150)]
    assert shrink_size((1, 1), None, (0.1, 0.1)) == (1, 1)


def test_a_checkpoint_without_a_scale_shrinks_to_512_and_the_weights_of_the_package_to_their_own_size():
    old = asdict(TrainConfig())
    del old["max_size"], old["spacing"]
    assert Scale.of_settings(old) == Scale(512)
    assert Scale.of_settings(asdict(TrainConfig())) == Scale()
    ready = load_pretrained("cpu")
    assert ready.scale == Scale(ready.max_size) and ready.max_size == 280


def test_spacings_are_factors_where_they_are_known(tmp_path: Path):
    (tmp_path / "slices.csv").write_text("stem,spacing_mm\na,0.5\nb,2\nc,\n")
    pairs = [Pair(tmp_path / f"{stem}.png", tmp_path / f"{stem}_mask.png", stem) for stem in "abcd"]
    assert known_spacings(pairs) == [(0.5, 0.5), (2.0, 2.0), None, None]
    assert Scale(spacing=1.0).options(pairs) == {"factors": [(0.5, 0.5), (2.0, 2.0), None, None]}
    said = Scale(spacing=1.0).sentence(pairs)
    assert said.endswith("a pixel has 1 mm; of 2 images the pixel size is not known, they stay as they are.")
    with pytest.raises(
        ValueError, match=r"no image more than 8 times, got 20\.0 times for .*b\.png with 0\.1"
    ):
        Scale(spacing=0.1).options(pairs)
    with pytest.raises(ValueError, match=r"spacing must be left away .* got 1 for 2 images.* slices\.csv"):
        Scale(spacing=1.0).sentence(pairs[2:])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_size": 0}, "max_size must be a whole number of at least 1, got 0"),
        ({"max_size": 2.5}, "max_size must be a whole number"),
        ({"spacing": 0}, "spacing must be a positive number of millimetres, got 0"),
        ({"max_size": 9, "spacing": 1.0}, "max_size and spacing must not both be given, got 9 and 1.0"),
    ],
)
def test_settings_that_make_no_sense(settings: dict, message: str):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**settings)


# -------------------------------------------------------------------------------------------- in training
def test_a_run_remembers_its_scale_and_goes_on_with_it(pairs: Pairs, tmp_path: Path):
    state = train(pairs, tmp_path / "run", max_size=24)
    assert tuple(state["sides"]) == (24, 24) and state["config"]["max_size"] == 24
    best = load_checkpoint(tmp_path / "run" / "best.pt")
    assert best.scale == Scale(24) and best.sides == (24, 24)
    assert train(pairs, tmp_path / "run", n_steps=4)["config"]["max_size"] == 24  # none asked for
    with pytest.raises(ValueError, match="max_size 24 there, 48 here"):
        train(pairs, tmp_path / "run", n_steps=6, max_size=48)
    saved, wanted = TrainConfig(spacing=1.0), TrainConfig(spacing=2.0)
    assert clashes(saved, wanted) == ["spacing 1.0 there, 2.0 here"]
    assert clashes(saved, TrainConfig()) == [] and continued(saved, TrainConfig()).spacing == 1.0


def test_a_run_of_a_version_without_scales_goes_on_at_512(tmp_path: Path):
    large = tiny_pairs(tmp_path / "data", sizes=((30, 700), (40, 56)))
    state = train(large, tmp_path / "run")
    assert tuple(state["sides"]) == (56, 700)
    for name in ("max_size", "spacing"):
        del state["config"][name]
    del state["sides"]
    save_state(tmp_path / "run" / "last.pt", state)
    assert run_status(tmp_path / "run").config.max_size == 512
    assert load_checkpoint(tmp_path / "run" / "last.pt").sides == ()
    state = train(large, tmp_path / "run", n_steps=4)
    assert state["config"]["max_size"] == 512 and tuple(state["sides"]) == (56, 512)


def test_a_spacing_resizes_the_training_images(pairs: Pairs, tmp_path: Path):
    with pytest.raises(ValueError, match="where no pixel size is known"):
        train(pairs, tmp_path / "run", spacing=1.0)
    rows = [f"{pair.image_path.stem},{0.5 + i % 2}" for i, pair in enumerate([*pairs[0], *pairs[1]])]
    (tmp_path / "data" / "slices.csv").write_text("\n".join(["stem,spacing_mm", *rows]))
    state = train(pairs, tmp_path / "run", spacing=1.0)
    assert tuple(state["sides"]) == (24, 84)  # 48 x 0.5, 56 x 1.5
    options = load_checkpoint(tmp_path / "run" / "best.pt").scale.options(pairs[1])
    images, masks = load_arrays(pairs[1], **options)
    assert [image.shape for image in images] == [mask.shape for mask in masks] == [(24, 24), (60, 84)]
    stored = cache.open_cache(pairs[1], **options)
    assert all(np.array_equal(*both) for both in zip(stored.images, images, strict=True))
    assert all(np.array_equal(*both) for both in zip(stored.masks, masks, strict=True))
    before = len(list((cache.data_home() / "data").glob("cache-*")))
    cache.open_cache(pairs[1])
    assert len(list((cache.data_home() / "data").glob("cache-*"))) == before + 1


def discs(folder: Path, n: int, size: tuple[int, int], radius: int) -> list[Pair]:
    """Images of noise with ten bright discs each, as in a scan that is much wider than high."""
    folder.mkdir(parents=True)
    rng, pairs = np.random.default_rng(0), []
    rows, columns = np.ogrid[: size[0], : size[1]]
    for i in range(n):
        image, mask = rng.integers(60, 120, size, np.uint8), np.zeros(size, bool)
        for column in np.linspace(2 * radius, size[1] - 2 * radius, 10).astype(int):
            row = int(rng.integers(radius, size[0] - radius))
            mask |= (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        image[mask] = 230
        paths = folder / f"s{i}.png", folder / f"s{i}_mask.png"
        Image.fromarray(image).save(paths[0])
        Image.fromarray(mask.astype(np.uint8) * 255).save(paths[1])
        pairs.append(Pair(*paths, f"s{i}"))
    return pairs


def test_small_stones_of_a_wide_scan_are_learnt_as_they_are(tmp_path: Path):
    """Shrunk to 512 pixels, a disc of radius 2 covers less than one pixel of 3,000."""
    pairs = discs(tmp_path / "data", 3, (48, 3000), 2)
    images = cache.open_images(pairs, 160)
    assert images.images[0].shape == (48, 3000)
    sampler = images.sampler(160, 1.0, 0.0)
    assert len(sampler.stones) == 30
    greys, masks, _ = sampler.sample(16, torch.Generator().manual_seed(0))
    assert all(mask.sum() >= 13 for mask in masks)  # a whole disc in each
    assert (greys[masks] == 230).all() and (greys[~masks] < 120).all()


def test_the_threshold_is_chosen_on_as_many_large_images_as_fit(tmp_path: Path, monkeypatch):
    pairs = discs(tmp_path / "data", 6, (40, 600), 2)
    assert train_command._enough(pairs) is pairs
    monkeypatch.setattr(train_command, "MOST_PIXELS", 2 * 40 * 600)
    assert train_command._enough(pairs) == pairs[::3]
    for pair in pairs[::3]:
        Image.new("L", (600, 40)).save(pair.mask_path)
    assert train_command._enough(pairs) == pairs[1::3]  # those show a stone
    small = tiny_pairs(tmp_path / "small")[0]
    assert train_command._enough(small) is small


# ------------------------------------------------------------------------------------------------ memory
def test_one_large_image_among_small_ones_costs_no_more_than_its_pixels(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("UNET_HOME", str(tmp_path / "home"))
    pairs = [*discs(tmp_path / "large", 1, (900, 1000), 3), *discs(tmp_path / "small", 20, (30, 100), 2)]
    n_pixels = 900 * 1000 + 20 * 32 * 100
    assert cache.InMemory(*cache.load_hashed(pairs)).sampler(32, 0.5, 0.25).images.shape == (n_pixels,)
    stored = cache.open_cache(pairs, min_side=32)
    sizes = [
        path.stat().st_size for path in (tmp_path / "home").rglob("*.bin") if path.stem in ("images", "masks")
    ]
    assert sizes == [n_pixels] * 2
    assert [image.shape for image in stored.images] == [(900, 1000), *[(30, 100)] * 20]
    with pytest.raises(ValueError, match="patch_size must be at most 32, got 33"):
        stored.sampler(33, 0.5, 0.25)
