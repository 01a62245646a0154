"""Resizing, normalising, patches and their augmentation."""

import numpy as np
import pytest
import torch

from unet_helpers.metrics import label_stones
from unet_helpers.transforms import (
    PatchSampler,
    augment,
    normalise,
    resize_image,
    resize_mask,
    shrink_size,
    to_tensor,
    window,
)

RNG = np.random.default_rng(0)


# --------------------------------------------------------------------------------------------- greys
def test_a_window_maps_its_ends_to_black_and_white_and_clips():
    image_hu = np.array([[-1000.0, -160.0, -60.0, 240.0, 3000.0]], np.float32)
    grey = window(image_hu, level=40, width=400)
    assert grey.dtype == np.uint8 and grey.tolist() == [[0, 0, 64, 255, 255]]
    assert window(np.array([0, 20, 40, 60, 80, 100]), 50, 100).tolist() == [0, 51, 102, 153, 204, 255]
    assert window(np.array([-1.0, 0.25, 1.0]), 0.5, 0.5).tolist() == [0, 0, 255]
    for width in (0, -1, float("nan")):
        with pytest.raises(ValueError, match=f"width must be positive, got {width}"):
            window(image_hu, 40, width)


# ------------------------------------------------------------------------------------------ resizing
def test_halving_an_image_averages_and_halving_a_mask_cuts():
    image = np.array([[0, 0, 200, 200], [0, 0, 200, 200]], np.uint8).repeat(4, 0).repeat(4, 1)
    small = resize_image(image, (4, 8))
    assert small.dtype == np.uint8 and small.shape == (4, 8)
    assert small[:, :3].max() == 0 and small[:, 5:].min() == 200
    assert 0 < resize_image(np.eye(8, dtype=np.uint8) * 255, (4, 4))[0, 0] < 255  # no pixel is skipped
    mask = resize_mask(image > 0, (4, 8))
    assert mask.dtype == bool and mask.tolist() == [[False] * 4 + [True] * 4] * 4


def test_a_shrunken_mask_is_cut_at_one_half_of_the_area_and_stays_in_its_place():
    mask = np.zeros((8, 8), bool)
    mask[0:2, 0:2] = mask[4, 4:8] = mask[5, 4] = (
        True  # all of one new pixel; half of two, three quarters of one
    )
    assert np.argwhere(resize_mask(mask, (4, 4))).tolist() == [[0, 0], [2, 2], [2, 3]]
    square = np.zeros((256, 256), bool)
    square[101:121, 61:81] = True  # nearest neighbour would move it by half a pixel
    rows, columns = np.nonzero(resize_mask(square, (128, 128)))
    assert (rows.mean() + 0.5, columns.mean() + 0.5) == (55.5, 35.5)
    assert np.array_equal(resize_mask(mask, (16, 16)), mask.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("side", [32, 50, 64])
def test_no_stone_is_lost_on_the_way_down_however_small(side: int):
    mask = np.zeros((256, 256), bool)
    mask[17, 203] = mask[100, 31] = mask[101, 32] = True
    mask[200:240, 200:240] = True
    small = resize_mask(mask, (side, side))
    assert label_stones(small)[1] == 3 and small[17 * side // 256, 203 * side // 256]


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (40, 2)])
def test_sizes_are_height_and_width(size: tuple[int, int]):
    assert resize_image(np.zeros((5, 9), np.uint8), size).shape == size
    assert resize_image(np.zeros((5, 9), np.float32), size).dtype == np.float32
    assert resize_mask(np.ones((5, 9), bool), size).all()


@pytest.mark.parametrize(
    ("size", "max_size", "expected"),
    [
        ((256, 256), 512, (256, 256)),
        ((512, 100), 512, (512, 100)),
        ((1024, 512), 512, (512, 256)),
        ((391, 320), 100, (100, 82)),
        ((10_000, 3), 100, (100, 1)),
        ((1, 1), 512, (1, 1)),
    ],
)
def test_shrinking_keeps_the_shape_and_never_enlarges(size, max_size: int, expected):
    assert shrink_size(size, max_size) == expected


def test_normalise_is_one_fixed_rule_for_arrays_and_tensors():
    grey = np.array([[0, 255], [51, 204]], np.uint8)
    expected = [[-1, 1], [-0.6, 0.6]]
    assert normalise(grey).dtype == np.float32 and np.allclose(normalise(grey), expected)
    assert torch.allclose(normalise(torch.from_numpy(grey)), torch.tensor(expected))
    tensor = to_tensor(grey)
    assert tensor.shape == (1, 2, 2) and tensor.dtype == torch.float32
    tensor[0, 0, 0] = 5
    assert grey[0, 0] == 0


# ------------------------------------------------------------------------------------------- patches
def coded(height: int, width: int, number: int) -> np.ndarray:
    """Image whose grey values tell which image and which pixel they are."""
    return (np.arange(height * width).reshape(height, width) * 7 + number * 31).astype(np.uint8)


def make_sampler(stone_fraction: float = 0.5, **options) -> tuple[PatchSampler, list, list]:
    images = [coded(40, 50, 0), coded(64, 33, 1), coded(10, 12, 2)]
    masks = [np.zeros(image.shape, bool) for image in images]
    masks[0][0, 0] = masks[0][39, 49] = masks[1][30:33, 5:9] = masks[2][9, 11] = True
    return PatchSampler(images, masks, 32, stone_fraction, 0.0, **options), images, masks


def draw(sampler: PatchSampler, n: int = 200, seed: int = 0):
    return sampler.sample(n, torch.Generator().manual_seed(seed))


def test_every_patch_is_cut_from_its_image_and_mask():
    sampler, images, masks = make_sampler()
    patches, patch_masks, which = draw(sampler, 60)
    assert patches.shape == patch_masks.shape == (60, 1, 32, 32)
    assert patches.dtype == torch.uint8 and patch_masks.dtype == torch.bool and which.shape == (60,)
    assert set(which.tolist()) == {0, 1, 2}
    for patch, mask, i in zip(patches[:, 0].numpy(), patch_masks[:, 0].numpy(), which.tolist(), strict=True):
        height, width = (max(32, side) for side in images[i].shape)
        image, truth = np.zeros((height, width), np.uint8), np.zeros((height, width), bool)
        image[: images[i].shape[0], : images[i].shape[1]] = images[i]
        truth[: masks[i].shape[0], : masks[i].shape[1]] = masks[i]
        places = [(r, c) for r in range(height - 31) for c in range(width - 31)]
        assert any(
            np.array_equal(patch, image[r : r + 32, c : c + 32])
            and np.array_equal(mask, truth[r : r + 32, c : c + 32])
            for r, c in places
        )


def test_the_share_on_stones_really_shows_one_even_in_the_corner():
    sampler, *_ = make_sampler(stone_fraction=1.0)
    _, masks, which = draw(sampler)
    assert masks.any((1, 2, 3)).all()
    share = torch.bincount(which) / len(which)
    assert torch.allclose(share, torch.tensor([0.5, 0.25, 0.25]), atol=0.1)  # stone by stone: image 0 has two
    _, masks, _ = draw(make_sampler(stone_fraction=0.25)[0], 8)
    assert masks[:2].any((1, 2, 3)).all()


def test_a_stone_lands_all_over_the_patch_and_blind_patches_all_over_the_image():
    image, mask = np.zeros((200, 200), np.uint8), np.zeros((200, 200), bool)
    mask[100, 100] = True
    _, masks, _ = draw(PatchSampler([image], [mask], 32, 1.0, 0.0), 400)
    rows, columns = masks[:, 0].nonzero()[:, 1:].T
    for place in (rows, columns):
        assert place.min() <= 5 and place.max() >= 26 and place.min() >= 4 and place.max() <= 28
    image = np.tile(np.arange(200, dtype=np.uint8), (200, 1))
    patches, *_ = draw(PatchSampler([image], [mask], 32, 0.0, 0.0), 400)
    assert patches[..., 0].min() == 0 and patches[..., -1].max() == 199


def test_look_alikes_are_as_bright_as_stones_and_touch_none():
    image, mask = np.full((100, 100), 50, np.uint8), np.zeros((100, 100), bool)
    image[10:14, 10:14], mask[10:13, 10:13] = 200, True  # a stone, with one bright row around it
    image[80:90, 5:8] = 250  # bone
    image[80:90, 70:80] = 190  # bright, but darker than the stones
    sampler = PatchSampler([image], [mask], 24, 0.0, 1.0)
    patches, masks, _ = draw(sampler)
    assert (patches == 250).any((1, 2, 3)).all() and not masks.any()
    dark = PatchSampler([np.minimum(image, 200) * mask], [mask], 24, 0.0, 1.0)  # no look-alike anywhere
    assert draw(dark, 5)[0].shape == (5, 1, 24, 24)


@pytest.mark.parametrize(("stones", "lookalikes", "n"), [(0.5, 0.5, 3), (1.0, 0.0, 1), (0.75, 0.25, 2)])
def test_shares_are_rounded_into_the_batch(stones: float, lookalikes: float, n: int):
    image, mask = np.zeros((40, 40), np.uint8), np.zeros((40, 40), bool)
    image[3:5, 3:5], mask[3:5, 3:5], image[30:33, 30:33] = 200, True, 220
    assert draw(PatchSampler([image], [mask], 16, stones, lookalikes), n)[0].shape == (n, 1, 16, 16)
    with pytest.raises(ValueError, match="must be shares that sum to at most 1, got 0.8 and 0.3"):
        PatchSampler([image], [mask], 16, 0.8, 0.3)


def test_half_of_a_batch_shows_stones_and_a_quarter_look_alikes():
    image, mask = np.zeros((400, 400), np.uint8), np.zeros((400, 400), bool)
    image[20:23, 20:23], mask[20:23, 20:23] = 200, True
    image[300:304, 300:304] = 220
    patches, masks, _ = draw(PatchSampler([image], [mask], 16), 32)
    with_stone, with_bone = masks.any((1, 2, 3)), (patches == 220).any((1, 2, 3))
    assert with_stone[:16].all() and with_bone[16:24].all()
    assert with_stone.sum() <= 17 and with_bone.sum() <= 9  # the rest lies anywhere in 400 x 400 pixels


@pytest.mark.parametrize("n", [2, 3])
def test_the_shares_of_n_processes_are_one_batch(n: int):
    sampler, *_ = make_sampler()

    def share(part: tuple[int, int]):
        generator = torch.Generator().manual_seed(5)
        patches, masks, which = sampler.sample(6, generator, part)
        return *augment(normalise(patches), masks, generator, part), which

    images, masks, which = share((0, 1))
    for k in range(n):
        my_images, my_masks, all_which = share((k, n))
        assert torch.equal(all_which, which)
        assert torch.equal(my_images, images[k::n]) and torch.equal(my_masks, masks[k::n])


def test_after_every_64th_batch_somebody_is_called():
    sampler, *_ = make_sampler()
    calls = []
    sampler.after_draws = lambda: calls.append(1)
    for _ in range(130):
        draw(sampler, 1)
    assert len(calls) == 2


def test_the_same_generator_gives_the_same_patches():
    sampler, *_ = make_sampler()
    first, again, other = draw(sampler, 16), draw(sampler, 16), draw(sampler, 16, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_an_epoch_has_as_many_pixels_as_the_images():
    sampler, *_ = make_sampler()
    assert sampler.patches_per_epoch == (40 * 50 + 64 * 33 + 32 * 32) // 32**2
    assert PatchSampler([np.zeros((2, 2), np.uint8)], [np.ones((2, 2), bool)], 32).patches_per_epoch == 1


def test_a_large_image_counts_as_one_of_512_pixels():
    image, mask = np.zeros((700, 800), np.uint8), np.ones((700, 800), bool)
    assert PatchSampler([image], [mask], 64).patches_per_epoch == 512**2 // 64**2
    assert PatchSampler([image], [mask], 600).patches_per_epoch == 1


def test_masks_without_a_stone_are_refused():
    image = np.zeros((8, 8), np.uint8)
    message = "at least one stone, got 1 without one. .* unet_helpers check FOLDER"
    with pytest.raises(ValueError, match=message):
        PatchSampler([image], [np.zeros((8, 8), bool)])
    with pytest.raises(ValueError, match="equally many and at least one, got 0 and 0"):
        PatchSampler([], [])
    with pytest.raises(ValueError, match="got 1 and 2"):
        PatchSampler([image], [np.ones((8, 8), bool)] * 2)


# -------------------------------------------------------------------------------------- augmentation
def test_image_and_mask_move_together_and_every_mirror_occurs():
    squares = torch.zeros(64, 1, 32, 32, dtype=torch.bool)
    squares[..., 6:14, 8:15] = True
    images, masks = augment(squares * 2.0 - 1, squares, torch.Generator().manual_seed(0))
    assert masks.dtype == torch.bool and masks.shape == squares.shape
    overlap = ((images > 0) & masks).sum((1, 2, 3)) / ((images > 0) | masks).sum((1, 2, 3))
    assert overlap.min() > 0.8
    centres = [tuple((mask[0].nonzero().float().mean(0) > 15.5).tolist()) for mask in masks]
    assert set(centres) == {(False, False), (False, True), (True, False), (True, True)}


def moved(shape: torch.Tensor, n: int = 400) -> torch.Tensor:
    """A mask (P, P) after n augmentations: bool (n, P, P)."""
    masks = shape.expand(n, 1, -1, -1)
    return augment(torch.zeros(masks.shape), masks, torch.Generator().manual_seed(0))[1][:, 0]


def spread(mask: torch.Tensor) -> np.ndarray:
    """Covariance (2, 2) of the rows and columns of the pixels of a mask."""
    return np.cov(mask.nonzero().T.numpy())


def test_scales_are_0_8_to_1_25_and_the_same_along_both_axes():
    steps = torch.arange(64) - 31.5
    disc = steps[:, None] ** 2 + steps**2 < 20**2
    masks = moved(disc)
    scales = (masks.sum((1, 2)) / disc.sum()).sqrt()
    assert 0.79 < scales.min() < 0.82 and 1.22 < scales.max() < 1.26
    assert 0.45 < (scales < 1).float().mean() < 0.55  # half of them shrink: uniform in the logarithm
    for mask in masks[:100]:
        small, large = np.linalg.eigvalsh(spread(mask))
        assert large / small < 1.05  # still a disc


def test_turns_reach_15_degrees_to_both_sides():
    bar = torch.zeros(64, 64, dtype=torch.bool)
    bar[30:34, 12:52] = True
    degrees = []
    for mask in moved(bar):
        (rows, both), (_, columns) = spread(mask)
        degrees.append(np.degrees(np.arctan2(2 * both, columns - rows)) / 2)  # of the long axis, to the row
    assert -16 < min(degrees) < -14 and 14 < max(degrees) < 16
    assert np.mean(np.abs(degrees)) == pytest.approx(7.5, abs=0.7)  # uniform


def test_what_comes_in_from_outside_repeats_the_edge():
    images = torch.full((200, 1, 16, 16), -1.0)
    masks = torch.ones(200, 1, 16, 16, dtype=torch.bool)
    assert augment(images, masks, torch.Generator().manual_seed(0))[1].all()


def test_brightness_moves_by_0_15_and_contrast_by_a_fifth():
    sides = torch.ones(400, 1, 64, 64)
    sides[..., :32] = -1
    images, _ = augment(sides, sides > 0, torch.Generator().manual_seed(0))
    left, right = images[..., :12].mean((1, 2, 3)), images[..., 52:].mean((1, 2, 3))
    brightness, contrast = (left + right) / 2, (left - right).abs() / 2
    assert -0.16 < brightness.min() < -0.14 and 0.14 < brightness.max() < 0.16
    assert 0.79 < contrast.min() < 0.81 and 1.19 < contrast.max() < 1.21
    assert abs(np.corrcoef(brightness, contrast)[0, 1]) < 0.15  # drawn one by one


def test_noise_is_fresh_in_every_pixel_and_of_another_strength_in_every_patch():
    grey = torch.zeros(300, 1, 32, 32)
    images, _ = augment(grey, grey > 1, torch.Generator().manual_seed(0))
    noise = images - images.mean((2, 3), keepdim=True)
    strength = noise.std((1, 2, 3))
    assert strength.min() < 0.005 and 0.075 < strength.max() < 0.085
    assert strength.mean() == pytest.approx(0.04, abs=0.004)
    strong = noise[strength > 0.04]
    for shifted in (strong.roll(1, 2), strong.roll(1, 3), strong.roll(1, 0)):
        assert abs(float((strong * shifted).mean() / strong.var())) < 0.02  # neighbours know nothing of it


def test_a_seed_keeps_its_numbers():
    """What is drawn, and in which order, so that a run that goes on draws what it would have drawn."""
    generator, by_hand = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    sampler, *_ = make_sampler()
    patches, masks, which = sampler.sample(4, generator)
    augment(normalise(patches), masks, generator)
    assert torch.equal(which[2:], torch.randint(3, (4,), generator=by_hand)[2:])  # the first two show stones
    torch.rand(4, 2, generator=by_hand)  # any pixels
    assert torch.equal(which[:2], sampler.stones[torch.randint(4, (2,), generator=by_hand), 0])
    torch.rand(4, 2, generator=by_hand)  # places in the patch
    torch.randint(0, 2, (2, 4), generator=by_hand)  # flips
    torch.rand(5, 4, generator=by_hand)  # turn, scale, contrast, brightness, noise
    torch.randn(4, 1, 32, 32, generator=by_hand)
    assert torch.equal(generator.get_state(), by_hand.get_state())


def test_augmentation_leaves_its_input_alone_and_repeats():
    images, masks = torch.rand(8, 1, 5, 5), torch.rand(8, 1, 5, 5) > 0.5
    kept = images.clone(), masks.clone()
    first = augment(images, masks, torch.Generator().manual_seed(3))
    again = augment(images, masks, torch.Generator().manual_seed(3))
    assert torch.equal(images, kept[0]) and torch.equal(masks, kept[1])
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
