"""Large images: tiles say what the whole image would, windows show the stones, and memory is bounded."""

import itertools

import numpy as np
import pytest
import torch
from known_network import STONE, TISSUE, known_unet
from torch import nn

from unet_helpers import inference
from unet_helpers.data import MAX_SIZE
from unet_helpers.engine import tiling
from unet_helpers.engine.tiling import MARGIN, OVERLAP, TILE, in_tiles, tile_batches, validation_windows
from unet_helpers.inference import predict, predict_all
from unet_helpers.model import UNet
from unet_helpers.transforms import normalise

SIDES = (513, 1000, TILE, TILE + 1, TILE + OVERLAP, 2 * TILE - OVERLAP, 2 * TILE - OVERLAP + 1, 3000)


# ------------------------------------------------------------------------------------------ where tiles lie
@pytest.mark.parametrize("side", SIDES)
def test_the_weights_of_every_pixel_sum_to_one_and_what_a_cut_hides_has_none(side: int):
    weights, seen = np.zeros((side, 40)), 0
    for tile in itertools.chain(*tile_batches((side, 40), 8)):
        weights[tile.rows, tile.columns] += np.outer(tile.row_weights, tile.column_weights)
        seen += tile.shape[0]
        assert tile.shape[0] <= TILE and tile.rows.start % 64 == 0 and tile.shape[1] == 40
        if tile.rows.start:
            assert not tile.row_weights[:MARGIN].any() and tile.row_weights[OVERLAP:].any()
        if tile.rows.stop < side:
            assert not tile.row_weights[-MARGIN:].any()
    assert np.allclose(weights, 1, atol=1e-6)
    assert seen <= side * TILE / (TILE - OVERLAP) + OVERLAP  # no more work than the overlap costs


@pytest.mark.parametrize("batch_size", [1, 2, 8, 64])
def test_a_batch_holds_tiles_of_one_shape_and_no_more_pixels_than_images_would(batch_size: int):
    batches = tile_batches((3000, 2500), batch_size)
    for batch in batches:
        assert len({tile.shape for tile in batch}) == 1
        n_pixels = len(batch) * batch[0].shape[0] * batch[0].shape[1]
        assert len(batch) == 1 or n_pixels <= batch_size * MAX_SIZE**2
    corners = {(tile.rows.start, tile.columns.start) for tile in itertools.chain(*batches)}
    assert len(corners) == sum(map(len, batches)) == 4 * 3


# -------------------------------------------------------------------------------------- what tiles say
def trained_like(depth: int = 4) -> UNet:
    """A network whose answers depend on all that it sees, and are neither 0 nor 1."""
    torch.manual_seed(0)
    model = UNet(base_channels=4, depth=depth)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.05, 0.2)
    nn.init.constant_(model.head.bias, 0.0)
    return model.eval()


@pytest.mark.parametrize("size", [(1300, 1111), (700, 2100), (40, 2500)])
def test_tiles_say_what_the_whole_image_says(size: tuple[int, int], monkeypatch):
    monkeypatch.setenv("UNET_PRECISION", "float32")  # 16 bits differ by a thousandth, whatever is cut
    image = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    model = trained_like()
    whole = inference._probabilities(model, image[None], [()])[0]
    assert whole.std() > 0.05 and whole.min() < 0.3 and whole.max() > 0.7  # there is something to compare
    tiled = predict(model, image)
    assert tiled.shape == size and tiled.dtype == np.float32
    difference = np.abs(tiled - whole)
    assert difference.max() < 0.01 and difference.mean() < 2e-5
    far = np.ones(size, bool)  # further from every cut than the network sees
    for axis, side in enumerate(size):
        for start in range(TILE - OVERLAP, max(1, side - OVERLAP), TILE - OVERLAP):
            band = [slice(None)] * 2
            band[axis] = slice(start, start + OVERLAP)
            far[tuple(band)] = False
    assert difference[far].max() < 2e-5


def test_without_overlap_a_seam_would_show(monkeypatch):
    """The test above can fail: tiles that are cut hard answer otherwise at their edges."""
    monkeypatch.setenv("UNET_PRECISION", "float32")
    monkeypatch.setattr(tiling, "OVERLAP", 2)
    monkeypatch.setattr(tiling, "MARGIN", 0)
    image = np.random.default_rng(0).integers(0, 256, (1300, 300), np.uint8)
    model = trained_like()
    whole = inference._probabilities(model, image[None], [()])[0]
    assert np.abs(predict(model, image) - whole).max() > 0.2


def test_small_and_large_images_keep_their_order_and_small_ones_are_seen_whole(monkeypatch):
    rng, model = np.random.default_rng(0), known_unet()
    images = [rng.integers(0, 256, size, np.uint8) for size in ((20, 30), (600, 30), (512, 40), (20, 30))]
    monkeypatch.setenv("UNET_PRECISION", "float32")
    shapes, real = [], inference._forward

    def forward(model, batch, views):
        shapes.append(batch.shape)
        return real(model, batch, views)

    monkeypatch.setattr(inference, "_forward", forward)
    for image, found in zip(images, predict_all(model, images), strict=True):
        expected = 1 / (1 + np.exp(8 - image / np.float32(16)))
        assert np.allclose(found, expected, atol=1e-4)
    assert sorted(shapes) == [(1, 512, 40), (1, 600, 30), (2, 20, 30)]


def test_views_and_factors_go_with_tiles(monkeypatch):
    monkeypatch.setenv("UNET_PRECISION", "float32")
    image, model = np.random.default_rng(0).integers(0, 256, (600, 700), np.uint8), trained_like(2)
    views = predict_all(model, [image, image[:, ::-1]], n_views=4)
    assert np.allclose(views[0], views[1][:, ::-1], atol=1e-4)
    scaled = predict_all(model, [image] * 2, factors=[(0.5, 0.25), None])
    assert scaled[0].shape == scaled[1].shape == (600, 700)
    assert np.array_equal(scaled[1], predict(model, image))
    assert np.abs(scaled[0] - scaled[1]).max() > 0.01
    assert np.array_equal(predict(model, image, max_size=900), scaled[1])


def test_several_classes_pass_through_tiles():
    def forward(batch: np.ndarray) -> np.ndarray:
        return np.stack([normalise(batch), -normalise(batch), 0 * normalise(batch)], 1)  # (B, 3, H, W)

    image = np.random.default_rng(0).integers(0, 256, (1100, 60), np.uint8)
    found = in_tiles(forward, image, 8)
    assert found.shape == (3, 1100, 60) and found.dtype == np.float32
    assert np.allclose(found[0], normalise(image), atol=1e-5) and np.allclose(found[0], -found[1], atol=1e-5)


def test_the_bar_counts_tiles(capsys: pytest.CaptureFixture):
    predict_all(known_unet(), [np.zeros((2000, 20), np.uint8)], progress=True, batch_size=1)
    assert "predicting: 2 batches" in capsys.readouterr().out


# -------------------------------------------------------------------------------- what a validation sees
def large(n_stones: int, size: tuple[int, int] = (1500, 2000)) -> tuple[np.ndarray, np.ndarray]:
    image, mask = np.full(size, TISSUE, np.uint8), np.zeros(size, bool)
    for place in np.linspace(10, min(size) - 20, n_stones).astype(int):
        image[place : place + 3, place : place + 2], mask[place : place + 3, place : place + 2] = STONE, True
    return image, mask


def test_small_images_are_validated_as_they_are():
    images = [np.zeros((512, 40), np.uint8)] * 3
    masks = [np.zeros((512, 40), bool)] * 3
    seen = validation_windows(images, masks)
    assert seen[0] is images and seen[1] is masks


@pytest.mark.parametrize(("n_stones", "n_windows"), [(0, 0), (1, 1), (3, 3), (40, 4)])
def test_a_large_image_is_validated_through_windows_around_stones(n_stones: int, n_windows: int):
    image, mask = large(n_stones)
    small = np.zeros((30, 30), np.uint8), np.zeros((30, 30), bool)
    images, masks = validation_windows([small[0], image, small[0]], [small[1], mask, small[1]])
    assert [i.shape for i in images] == [(30, 30), *[(512, 512)] * n_windows, (30, 30)]
    for window, truth in zip(images[1:-1], masks[1:-1], strict=True):
        assert truth.any() and np.array_equal(window == STONE, truth) and np.shares_memory(window, image)


def test_of_many_large_images_each_is_seen_once():
    image, mask = large(9, (520, 600))
    images, _ = validation_windows([image] * 300, [mask] * 300)
    assert len(images) == 300
    narrow = large(5, (48, 3000))
    assert [i.shape for i in validation_windows([narrow[0]], [narrow[1]])[0]] == [(48, 512)]
