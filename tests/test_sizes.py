"""Images of every size from 1 to 700 pixels, as they come, through a prediction and a training step."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from unet_helpers.data import MAX_SIZE
from unet_helpers.engine.tiling import validation_windows
from unet_helpers.inference import predict, predict_all
from unet_helpers.model import UNet
from unet_helpers.training import Run, TrainConfig, train_step
from unet_helpers.transforms import PatchSampler

CONFIG = TrainConfig(batch_size=2, patch_size=48)
BORDERS = (1, 2, 3, 7, 8, 15, 16, 17, 31, 47, 48, 49, 64, 511, 512, 513, 700)


def sizes() -> Iterator[tuple[int, int]]:
    """Extreme ones, and others by chance, most of them small or long: large ones take long."""
    yield from ((1, 1), (1, 700), (700, 1), (2, 513), (513, 513), (512, 512), (700, 700))
    rng = np.random.default_rng(0)
    for _ in range(40):
        yield int(rng.choice(BORDERS)), int(rng.integers(1, 701))
    for _ in range(20):
        yield int(700 ** rng.random()), int(700 ** rng.random())


@pytest.fixture(scope="module")
def run() -> Run:
    torch.manual_seed(0)
    return Run(CONFIG, UNet(base_channels=2), torch.device("cpu"))


def one_stone(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Noise with one bright pixel, anywhere."""
    rng = np.random.default_rng(size)
    image, mask = rng.integers(0, 120, size, np.uint8), np.zeros(size, bool)
    where = tuple(int(rng.integers(side)) for side in size)
    image[where], mask[where] = 230, True
    return image, mask


def check_size(size: tuple[int, int], run: Run) -> None:
    """A prediction, a validation window and a step are possible, and answer with finite numbers."""
    image, mask = one_stone(size)
    for max_size in (None, 100):
        probability = predict(run.model, image, max_size=max_size)
        assert probability.shape == size and probability.dtype == np.float32
        assert probability.min() >= 0 and probability.max() <= 1  # and so none is NaN
    windows, truths = validation_windows([image], [mask])
    assert len(windows) == 1 and truths[0].sum() == 1 and max(windows[0].shape) <= MAX_SIZE
    sampler = PatchSampler([image], [mask], CONFIG.patch_size, 1.0, 0.0)
    patches, stones, _ = sampler.sample(2, torch.Generator().manual_seed(0))
    assert patches.shape == (2, 1, 48, 48) and (stones.sum((1, 2, 3)) == 1).all()
    assert (patches[stones] == 230).all()  # the stone and its grey are in one place
    run.unread.clear()
    train_step(run, sampler)
    assert all(math.isfinite(float(value)) for value in run.unread[0][-2:])


@pytest.mark.parametrize("size", list(dict.fromkeys(sizes())), ids=lambda size: f"{size[0]}x{size[1]}")
def test_any_size_is_predicted_and_learnt(size: tuple[int, int], run: Run):
    check_size(size, run)


def test_sizes_of_all_kinds_share_a_call(run: Run):
    images = [one_stone(size)[0] for size in ((1, 1), (1, 700), (600, 3), (20, 20), (1, 1))]
    assert [p.shape for p in predict_all(run.model, images)] == [image.shape for image in images]
