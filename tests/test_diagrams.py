"""The drawn U-Net against the real one."""

import pytest
import torch
from torch.nn.functional import pixel_unshuffle

from unet_helpers.model import UNet, encode
from unet_helpers.pictures.diagrams import Stage, receptive_field_px, unet_diagram, unet_stages
from unet_helpers.pictures.fields import PLACES, field_after, measured_field


def test_stages_by_hand() -> None:
    assert unet_stages(base_channels=4, depth=2, size=(9, 6), unshuffle=1) == [
        Stage("encoder 0", 0, 1, 4, 10, 6),
        Stage("bottleneck", 1, 4, 8, 5, 3),
        Stage("decoder 0", 0, 8, 4, 10, 6),
    ]
    assert unet_stages()[0] == Stage("encoder 0", 0, 4, 16, 128, 128)  # the network of the lessons


@pytest.mark.parametrize(
    ("base_channels", "depth", "unshuffle"), [(8, 4, 1), (3, 2, 2), (2, 5, 1), (2, 3, 3)]
)
def test_stages_are_those_of_the_network(base_channels: int, depth: int, unshuffle: int) -> None:
    network, shapes = UNet(base_channels=base_channels, depth=depth, unshuffle=unshuffle), []
    for block in [*network.down, *network.merge]:
        block.register_forward_hook(lambda _, given, out: shapes.append((given[0].shape[1], *out.shape[1:])))
    network(torch.zeros(2, 1, 37, 50))
    stages = unet_stages(base_channels, depth, (37, 50), unshuffle=unshuffle)
    assert shapes == [(s.in_channels, s.out_channels, s.height, s.width) for s in stages]


def test_receptive_field_by_hand() -> None:
    assert receptive_field_px(depth=1, position=10, unshuffle=1) == (8, 12)  # two 3x3 convolutions: 5 pixels
    # 0 <- -2..2 <- (pixels of level 1) -1..1 <- bottleneck -3..3 <- unpool -6..7 <- -8..9
    assert receptive_field_px(depth=2, position=0, unshuffle=1) == (-8, 9)
    assert receptive_field_px(depth=2, position=1, unshuffle=2) == (-16, 19)  # blocks -8..9 of two pixels
    assert receptive_field_px(position=128) == (36, 219)


@pytest.mark.parametrize(("position", "unshuffle"), [(60, 1), (61, 1), (66, 1), (64, 2), (67, 2)])
def test_receptive_field_is_what_the_gradient_reaches(position: int, unshuffle: int) -> None:
    torch.manual_seed(0)
    network = UNet(base_channels=4, depth=3, unshuffle=unshuffle)
    assert measured_field(network, position, side=128) == receptive_field_px(3, position, unshuffle)


@pytest.mark.parametrize("stage", PLACES)
def test_the_field_after_each_stage_is_what_the_gradient_reaches(stage: str) -> None:
    torch.manual_seed(0)
    network = UNet(base_channels=8).double().eval()
    image = torch.randn(8, 1, 256, 256, dtype=torch.float64, requires_grad=True)
    folded, depth = pixel_unshuffle(image, 2), PLACES[stage]
    if depth == 0:
        features, factor = network.down[0][0](folded), 2
    elif depth == 5:
        features, factor = network(image), 1
    else:
        features, factor = encode(folded, network.down)[depth - 1], 2**depth
    features[:, :, 130 // factor, 130 // factor].sum().backward()
    assert image.grad is not None
    rows = image.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert (rows[0].item(), rows[-1].item()) == field_after(stage, 130)


def test_diagram_names_every_shape() -> None:
    ax = unet_diagram(base_channels=8, depth=3, size=(391, 320), unshuffle=1)
    texts = [text.get_text() for text in ax.texts]
    assert "fold" not in texts and "fold" in {text.get_text() for text in unet_diagram().texts}
    for wanted in ("image\n1 x 391 x 320", "8 x 392 x 320", "16 x 196 x 160", "32 x 98 x 80", "copy of 8"):
        assert wanted in texts
    assert texts.count("8 x 392 x 320") == 2  # encoder and decoder


def test_errors() -> None:
    with pytest.raises(ValueError, match="depth must be at least 2, got 1"):
        unet_diagram(depth=1)
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        receptive_field_px(depth=0)
