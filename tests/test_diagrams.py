"""The drawn U-Net against the real one."""

import matplotlib.pyplot as plt
import pytest
import torch

from unet_helpers.model import UNet
from unet_helpers.pictures.diagrams import Stage, receptive_field_px, unet_diagram, unet_stages


def test_stages_by_hand() -> None:
    assert unet_stages(base_channels=4, depth=2, size=(9, 6)) == [
        Stage("encoder 0", 0, 1, 4, 10, 6),
        Stage("bottleneck", 1, 4, 8, 5, 3),
        Stage("decoder 0", 0, 8, 4, 10, 6),
    ]


@pytest.mark.parametrize(("base_channels", "depth"), [(8, 4), (3, 2), (2, 5)])
def test_stages_are_those_of_the_network(base_channels: int, depth: int) -> None:
    network, shapes = UNet(base_channels=base_channels, depth=depth, unshuffle=1), []
    for block in [*network.down, *network.merge]:
        block.register_forward_hook(lambda _, given, out: shapes.append((given[0].shape[1], *out.shape[1:])))
    network(torch.zeros(2, 1, 37, 50))
    stages = unet_stages(base_channels, depth, (37, 50))
    assert shapes == [(s.in_channels, s.out_channels, s.height, s.width) for s in stages]


def test_receptive_field_by_hand() -> None:
    assert receptive_field_px(depth=1, position=10) == (8, 12)  # two 3x3 convolutions: 5 pixels
    # 0 <- -2..2 <- (pixels of level 1) -1..1 <- bottleneck -3..3 <- unpool -6..7 <- -8..9
    assert receptive_field_px(depth=2, position=0) == (-8, 9)
    widths = {last - first + 1 for first, last in (receptive_field_px(4, p) for p in range(64, 80))}
    assert widths == {92, 100}


@pytest.mark.parametrize("position", [60, 61, 66])
def test_receptive_field_is_what_the_gradient_reaches(position: int) -> None:
    torch.manual_seed(0)
    network = UNet(depth=3, unshuffle=1).double().eval()
    image = torch.randn(16, 1, 128, 128, dtype=torch.float64, requires_grad=True)
    network(image)[:, 0, position, position].sum().backward()
    rows = image.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert (rows.min().item(), rows.max().item()) == receptive_field_px(3, position)


def test_diagram_names_every_shape() -> None:
    ax = unet_diagram(base_channels=8, depth=3, size=(391, 320))
    texts = [text.get_text() for text in ax.texts]
    plt.close(ax.figure)
    for wanted in ("image\n1 x 391 x 320", "8 x 392 x 320", "16 x 196 x 160", "32 x 98 x 80", "copy of 8"):
        assert wanted in texts
    assert texts.count("8 x 392 x 320") == 2  # encoder and decoder


def test_errors() -> None:
    with pytest.raises(ValueError, match="depth must be at least 2, got 1"):
        unet_diagram(depth=1)
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        receptive_field_px(depth=0)
