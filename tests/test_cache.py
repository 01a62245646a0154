"""A cache on disk trains as the memory does, is written whole or not at all, and stays small in memory."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_data import tiny_pairs

from unet_helpers.checkpoint import load_state
from unet_helpers.data import Pair, load_arrays
from unet_helpers.engine import cache
from unet_helpers.engine.cache import decoded_bytes, open_cache
from unet_helpers.engine.stack import brightness_of_stones
from unet_helpers.model import UNet
from unet_helpers.training import TrainConfig, fit
from unet_helpers.transforms import PatchSampler

CPU = torch.device("cpu")
CONFIG = TrainConfig(n_steps=4, steps_per_epoch=2, batch_size=4, patch_size=32)


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Pair], list[Pair]]:
    monkeypatch.setenv("UNET_HOME", str(tmp_path / "home"))
    return tiny_pairs(tmp_path / "files", sizes=((48, 48), (20, 56)))


def folders(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "home" / "data").iterdir())


def test_the_arrays_are_those_of_the_files(pairs):
    images, masks = load_arrays(pairs[0])
    stored = open_cache(pairs[0])
    assert len(stored.images) == len(stored.masks) == 8
    for got, expected in ((stored.images, images), (stored.masks, masks)):
        for mine, theirs in zip(got, expected, strict=True):
            assert mine.dtype == theirs.dtype and np.array_equal(mine, theirs)
    assert decoded_bytes(pairs[0]) == 2 * 4 * (48 * 48 + 20 * 56)
    small = list(open_cache(pairs[0], max_size=24).images)
    assert [image.shape for image in small[:2]] == [(24, 24), (9, 24)]


def test_patches_from_the_cache_are_those_from_memory(pairs):
    memory = PatchSampler(*load_arrays(pairs[0]), 32)
    stored = open_cache(pairs[0], min_side=32).sampler(32, 0.5, 0.25)
    assert len(memory.lookalikes) > 0 and stored.patches_per_epoch == memory.patches_per_epoch
    for name in ("stones", "lookalikes", "sizes"):
        assert torch.equal(getattr(memory, name), getattr(stored, name).long())
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    for _ in range(130):  # past two releases of the pages
        batches = (s.sample(8, g) for s, g in zip((stored, memory), generators, strict=True))
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(*batches, strict=True))


def test_training_from_the_cache_ends_in_the_same_weights(pairs, tmp_path: Path, monkeypatch):
    def train(name: str) -> dict:
        torch.manual_seed(0)
        fit(*pairs, tmp_path / name, CONFIG, UNet(base_channels=2, depth=3), CPU, progress=False)
        return load_state(tmp_path / name / "last.pt")

    memory = train("memory")
    assert not (tmp_path / "home").exists()
    monkeypatch.setattr(cache, "CACHE_ABOVE_BYTES", 0)
    monkeypatch.setattr(cache, "InMemory", None)
    stored = train("stored")
    assert len(folders(tmp_path)) == 2  # training and validation
    for key, values in memory["model"].items():
        assert torch.equal(values, stored["model"][key])
    assert memory["images"] == stored["images"] and len(memory["images"]["train"]) == 8
    assert [e["val_dice"] for e in memory["history"]] == [e["val_dice"] for e in stored["history"]]


def test_a_cache_is_written_once_and_anew_when_a_file_changes(pairs, tmp_path: Path, monkeypatch):
    open_cache(pairs[0])
    first = folders(tmp_path)
    monkeypatch.setattr(cache, "load_scaled", None)  # decoding again would fail
    open_cache(pairs[0])
    assert folders(tmp_path) == first and len(first) == 1
    monkeypatch.undo()
    monkeypatch.setenv("UNET_HOME", str(tmp_path / "home"))
    os.utime(pairs[0][3].mask_path, ns=(1, 1))
    open_cache(pairs[0])
    open_cache(pairs[0][:7])
    open_cache(pairs[0], min_side=64)
    assert len(folders(tmp_path)) == 4


def test_a_broken_file_is_named_and_nothing_is_left(pairs, tmp_path: Path):
    pairs[0][5].image_path.write_bytes(b"no image")
    with pytest.raises(ValueError, match=f"{pairs[0][5].image_path.name} must be a readable image"):
        open_cache(pairs[0])
    assert folders(tmp_path) == []


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(pairs, tmp_path: Path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(OSError, match="must have room for 0.0 GB of decoded images"):
        open_cache(pairs[0])
    assert folders(tmp_path) == []


def test_masks_without_a_stone_are_refused_as_in_memory(pairs):
    for pair in pairs[0]:
        shutil.copy(pair.mask_path, pair.image_path.with_suffix(".keep"))
        from PIL import Image

        with Image.open(pair.mask_path) as mask:
            Image.new("L", mask.size).save(pair.mask_path)
    with pytest.raises(ValueError, match="at least one stone, got 8 without one"):
        open_cache(pairs[0], min_side=32).sampler(32, 0.5, 0.25)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's own bookkeeping")
def test_pages_that_were_read_are_let_go(pairs):
    stored = open_cache(pairs[0], min_side=2048)  # 8 images of 4 MiB, and as much of masks

    def resident_mib() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    before = resident_mib()
    assert sum(int(stack.sum()) for stack in stored._stacks) > 0  # touches every page
    full = resident_mib()
    stored.release()
    assert full - before > 48 and resident_mib() - before < 16


def test_the_brightness_of_stones_comes_from_a_histogram():
    greys = np.random.default_rng(0).integers(0, 256, 1001, np.uint8)
    for part in (greys, greys[:1], greys[:20] // 50):
        expected = np.percentile(part, 10)
        assert brightness_of_stones(np.bincount(part, minlength=256)) == expected
