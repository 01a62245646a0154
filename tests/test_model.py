"""Shapes, sizes and the numbers of the 2015 paper."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.functional import pad

from unet_helpers.losses import bce_dice_loss
from unet_helpers.model import UNet, n_parameters
from unet_helpers.networks.unet_2015 import UNet2015


def small(**settings) -> UNet:
    torch.manual_seed(0)
    return UNet(base_channels=2, depth=3, **settings)


# ------------------------------------------------------------------------------------------ the paper
def test_the_paper_has_31_million_parameters_and_23_convolutions():
    model = UNet2015()
    assert n_parameters(model) == 31_030_658
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(convolutions) == 23
    assert UNet2015.output_size(572) == 388


def thin(layer: type[nn.Module]) -> Callable[..., nn.Module]:
    """The layer with a sixteenth of the channels: the same sizes for a 250th of the arithmetic."""
    return lambda before, after, *rest, **options: layer(-(-before // 16), -(-after // 16), *rest, **options)


def test_the_paper_maps_572_to_388_pixels(monkeypatch: pytest.MonkeyPatch):
    for layer in (nn.Conv2d, nn.ConvTranspose2d):
        monkeypatch.setattr(nn, layer.__name__, thin(layer))
    with torch.inference_mode():
        assert UNet2015()(torch.zeros(1, 1, 572, 572)).shape == (1, 1, 388, 388)


def test_the_paper_has_two_classes():
    with torch.inference_mode():
        assert UNet2015()(torch.zeros(1, 1, 188, 204)).shape == (1, 2, 4, 20)


def test_output_size_of_the_paper_says_which_sides_fit():
    fitting = [side for side in range(1, 400) if _fits(side)]
    assert fitting == list(range(188, 400, 16))
    with pytest.raises(ValueError, match=r"must be 16 n \+ 12 and at least 188, got 512\. The paper"):
        UNet2015()(torch.zeros(1, 1, 512, 572))


def _fits(side: int) -> bool:
    try:
        return UNet2015.output_size(side) > 0
    except ValueError:
        return False


def test_the_crop_of_the_skip_connection_is_centred():
    from unet_helpers.networks.unet_2015 import _centre_crop

    features = torch.arange(36.0).reshape(1, 1, 6, 6)
    assert _centre_crop(features, torch.Size((2, 4))).tolist() == [[[[13, 14, 15, 16], [19, 20, 21, 22]]]]


# ------------------------------------------------------------------------------------------- our U-Net
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (7, 3), (16, 16), (33, 64), (391, 320)])
def test_any_size_goes_in_and_comes_out(size: tuple[int, int]):
    model = small(in_channels=2, out_channels=3).eval()
    with torch.inference_mode():
        logits = model(torch.randn(2, 2, *size))
    assert logits.shape == (2, 3, *size) and logits.isfinite().all()


@pytest.mark.parametrize("size", [(16, 16), (13, 18)])
def test_padding_inside_equals_padding_outside(size: tuple[int, int]):
    model, image = small().eval(), torch.randn(1, 1, *size)
    outside = pad(image, (0, -size[1] % 8, 0, -size[0] % 8), mode="replicate")
    with torch.inference_mode():
        assert torch.equal(model(image), model(outside)[..., : size[0], : size[1]])


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_depth_counts_resolutions_and_doubles_channels(depth: int):
    model = UNet(base_channels=3, depth=depth)
    widths = [block[0].out_channels for block in model.down]
    assert widths == [3 * 2**level for level in range(depth)] and len(model.up) == depth - 1


@pytest.mark.parametrize("side", [2, 3])
def test_unshuffling_is_a_plain_network_between_pixel_unshuffle_and_shuffle(side: int):
    model = small(in_channels=2, unshuffle=side).eval()
    plain = UNet(2 * side**2, side**2, base_channels=2, depth=3, unshuffle=1).eval()
    plain.load_state_dict(model.state_dict())
    image = torch.randn(2, 2, 8 * side, 4 * side)
    with torch.inference_mode():
        logits = plain(nn.functional.pixel_unshuffle(image, side))
        assert torch.equal(model(image), nn.functional.pixel_shuffle(logits, side))
        assert model(torch.randn(1, 2, 13, 5)).shape == (1, 1, 13, 5)


def test_parameters_by_hand():
    # depth 2, base 1. Convolutions without bias: 9 (1->1), 9 (1->1), 18 (1->2), 36 (2->2), merge 18 (2->1)
    # and 9 (1->1); BatchNorm 2 a channel: 2+2+4+4+2+2; up 2*1*4 + 1; head 1 + 1
    assert n_parameters(UNet(base_channels=1, depth=2, unshuffle=1)) == 9 + 9 + 18 + 36 + 18 + 9 + 16 + 9 + 2
    # four channels come in and four logits leave: 3 * 9 weights, 3 weights and 3 biases more
    more = n_parameters(UNet(base_channels=1, depth=2)) - n_parameters(UNet(1, 1, 1, 2, unshuffle=1))
    assert more == 27 + 3 + 3
    model = small()
    model.head.requires_grad_(False)
    assert n_parameters(small()) - n_parameters(model) == 4 * 3


def test_a_fresh_network_calls_almost_nothing_a_stone():
    with torch.inference_mode():
        probability = small()(torch.randn(4, 1, 32, 32)).sigmoid()
    assert 0.005 < probability.mean() < 0.05


def test_every_parameter_learns_and_skips_are_used():
    model = small()
    model(torch.randn(2, 1, 20, 20)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    with torch.no_grad():  # the first half of each merge sees the skip connection
        model.eval()
        before = model(torch.ones(1, 1, 8, 8))
        model.merge[-1][0].weight[:, :2] += 1
        assert not torch.equal(model(torch.ones(1, 1, 8, 8)), before)


def test_a_merge_takes_the_skip_connection_first_and_what_comes_from_below_second():
    model = small().eval()
    with torch.no_grad():
        model.up[-1].weight.zero_()  # nothing comes from below
        model.up[-1].bias.zero_()
        image, weight = torch.randn(1, 1, 16, 16), model.merge[-1][0].weight  # (2, 4, 3, 3)
        before = model(image)
        weight[:, 2:] += 1
        assert torch.equal(model(image), before)
        weight[:, :2] += 1
        assert not torch.equal(model(image), before)


def test_settings_rebuild_the_network():
    model = small(in_channels=2, out_channels=3)
    assert UNet(**model.settings).load_state_dict(model.state_dict())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 1}, "depth must be at least 2, got 1"),
        ({"base_channels": 0}, "base_channels must be at least 1, got 0"),
        ({"in_channels": 0}, "in_channels must be at least 1"),
        ({"unshuffle": 0}, "unshuffle must be at least 1, got 0"),
        ({"out_channels": -1}, "out_channels must be at least 1, got -1"),
    ],
)
def test_settings_that_build_nothing_are_refused(settings: dict, message: str):
    with pytest.raises(ValueError, match=message):
        UNet(**settings)


@pytest.mark.parametrize("shape", [(1, 8, 8), (8, 8), (1, 3, 8, 8)])
def test_images_of_other_shapes_are_refused(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"image must have shape \(B, 1, H, W\), got \("):
        small()(torch.zeros(shape))


def test_one_batch_can_be_overfitted():
    torch.manual_seed(0)
    image = torch.rand(2, 1, 16, 16) - 1
    target = torch.zeros(2, 1, 16, 16)
    target[0, 0, 4:7, 5:9] = target[1, 0, 10:12, 2:4] = 1
    image = image + target  # stones are brighter, but noise is as bright
    model = UNet(base_channels=4, depth=2)
    optimiser = torch.optim.AdamW(model.parameters(), 2e-2)
    for _ in range(120):
        loss = bce_dice_loss(model(image), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1
    assert torch.equal(model(image) > 0, target.bool())
