"""Whole images of any size through a network."""

import numpy as np
import pytest
import torch
from torch import nn

from unet_helpers.inference import predict, predict_all
from unet_helpers.model import UNet
from unet_helpers.transforms import normalise

RNG = np.random.default_rng(0)


class Brightness(nn.Module):
    """Logit = grey value in [-1, 1]: its answer for every pixel is known."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        assert not self.training and not torch.is_grad_enabled()
        self.shapes.append(tuple(image.shape))
        return image * self.scale


def expected(image: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-normalise(image)))


def noise(*size: int) -> np.ndarray:
    return RNG.integers(0, 256, size, np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (33, 20), (64, 64)])
def test_probabilities_have_the_size_of_the_image(size: tuple[int, int]):
    image = noise(*size)
    probability = predict(Brightness(), image)
    assert probability.shape == size and probability.dtype == np.float32
    assert np.allclose(probability, expected(image), atol=0.01)  # the CPU may compute in bfloat16


def test_a_real_network_takes_odd_sizes():
    torch.manual_seed(0)
    probability = predict(UNet(base_channels=2), noise(51, 37))
    assert probability.shape == (51, 37) and ((probability >= 0) & (probability <= 1)).all()


def test_images_above_the_limit_are_shrunk_for_the_network_alone():
    model, image = Brightness(), np.full((40, 90), 128, np.uint8)
    image[:, 45:] = 255
    probability = predict(model, image, max_size=30)
    assert model.shapes == [(1, 1, 13, 30)] and probability.shape == (40, 90)
    assert np.allclose(probability[:, :40], 0.5, atol=0.02)
    assert np.allclose(probability[:, 50:], 0.73, atol=0.02)


def test_mixed_sizes_keep_their_order_and_share_batches():
    model = Brightness()
    images = [noise(*size) for size in ((8, 8), (4, 6), (8, 8), (8, 8), (4, 6), (6, 4))]
    probabilities = predict_all(model, images, batch_size=2)
    for image, probability in zip(images, probabilities, strict=True):
        assert np.allclose(probability, expected(image), atol=0.01)
    assert sorted(model.shapes) == [(1, 1, 6, 4), (1, 1, 8, 8), (2, 1, 4, 6), (2, 1, 8, 8)]


def test_a_batch_gives_what_single_images_give():
    torch.manual_seed(0)
    model, images = UNet(base_channels=2, depth=2), [noise(16, 16) for _ in range(3)]
    together = predict_all(model, images)
    for image, probability in zip(images, together, strict=True):
        assert np.allclose(predict(model, image), probability, atol=0.01)


class LeftEdge(nn.Module):
    """Logit = grey value of the pixel to the left: a network that is not symmetric."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return 4 * image.roll(1, dims=-1) * self.scale


def test_mirrored_views_are_turned_back_and_averaged():
    image = noise(6, 9)
    left, right = (1 / (1 + np.exp(-4 * np.roll(normalise(image), step, axis=1))) for step in (1, -1))
    assert np.allclose(predict_all(LeftEdge(), [image])[0], left, atol=0.01)
    for n_views in (2, 4):
        averaged = predict_all(LeftEdge(), [image], n_views=n_views)[0]
        assert np.allclose(averaged, (left + right) / 2, atol=0.01)


def test_a_mirrored_image_gives_the_mirrored_answer():
    torch.manual_seed(0)
    model, image = UNet(base_channels=2, depth=2, unshuffle=1), noise(21, 30)
    plain, averaged = (predict_all(model, [image], n_views=n)[0] for n in (1, 4))
    assert np.abs(plain - averaged).max() > 1e-4 and averaged.dtype == np.float32
    for mirrored in (image[::-1], image[:, ::-1], image[::-1, ::-1]):
        turned = tuple(slice(None, None, step // abs(step)) for step in mirrored.strides)
        assert np.allclose(predict_all(model, [mirrored], n_views=4)[0], averaged[turned], atol=0.01)


def test_one_view_is_the_plain_prediction_and_other_numbers_are_refused():
    torch.manual_seed(0)
    model, images = UNet(base_channels=2, depth=2), [noise(16, 16), noise(20, 12)]
    for plain, one in zip(predict_all(model, images), predict_all(model, images, n_views=1), strict=True):
        assert np.array_equal(plain, one)
    for wrong in (0, 3, 8):
        with pytest.raises(ValueError, match=f"n_views must be 1, 2 or 4 mirrorings, got {wrong}"):
            predict_all(model, images, n_views=wrong)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_the_network_is_restored_even_after_an_error(training: bool):
    model = Brightness().train(training)
    predict(model, noise(4, 4))
    assert model.training == training

    def fail(image):
        raise RuntimeError("out of memory")

    model.forward = fail
    with pytest.raises(RuntimeError, match="out of memory"):
        predict(model, noise(4, 4))
    assert model.training == training


class Hungry(Brightness):
    """Has memory for so many images at once."""

    def __init__(self, n_images: int, error: str = "CUDA out of memory. Tried to allocate 2 GiB") -> None:
        super().__init__()
        self.n_images, self.error = n_images, error

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        answer = super().forward(image)
        if len(image) > self.n_images:
            raise RuntimeError(self.error)
        return answer


def test_without_memory_fewer_images_are_predicted_at_once():
    model, images = Hungry(2), [noise(6, 8) for _ in range(9)]
    for image, probability in zip(images, predict_all(model, images, batch_size=9), strict=True):
        assert np.allclose(probability, expected(image), atol=0.01)
    assert [shape[0] for shape in model.shapes] == [9, 5, 3, 2, 1, 2, 4, 2, 2]
    with pytest.raises(RuntimeError, match="out of memory"):
        predict(Hungry(0), images[0])
    model = Hungry(2, "shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="shapes"):
        predict_all(model, images, batch_size=9)
    assert len(model.shapes) == 1


def test_no_images_no_probabilities_and_views_are_fine():
    assert predict_all(Brightness(), []) == []
    image = noise(8, 6)
    assert np.allclose(predict(Brightness(), image[::-1].T), expected(image)[::-1].T, atol=0.01)
    image.flags.writeable = False
    predict(Brightness(), image)


@pytest.mark.parametrize(
    "image",
    [noise(4, 4).astype(np.float32), noise(4, 4, 3), noise(4), noise(0, 4), noise(4, 4).astype(np.int16)],
)
def test_other_arrays_are_refused(image: np.ndarray):
    with pytest.raises(ValueError, match=r"image must be a uint8 array \(H, W\), got .* Use data.load_image"):
        predict(Brightness(), image)


def test_progress_is_shown_on_demand(capsys: pytest.CaptureFixture):
    predict_all(Brightness(), [noise(4, 4)], progress=True)
    assert "predicting" in capsys.readouterr().out
    predict_all(Brightness(), [noise(4, 4)])
    assert capsys.readouterr() == ("", "")
