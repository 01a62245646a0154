"""nnU-Net's network and recipe in the contest: its topology, its loss, one logit out of two classes."""

import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip(
    "dynamic_network_architectures",
    reason="needs nnU-Net's networks: pip install dynamic-network-architectures",
)
sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
import nnunet


def test_the_default_topology_halves_to_four_to_seven_pixels():
    for side, widths in ((256, [32, 64, 128, 256, 512, 512, 512]), (160, [32, 64, 128, 256, 512, 512])):
        network = nnunet.plain_unet(side, n_classes=1)
        convolutions = list(network.encoder.output_channels)
        assert convolutions == widths
        lowest = network.encoder(torch.zeros(1, 1, side, side))[-1].shape[-1]
        assert 4 <= lowest <= 7 and network.encoder.strides[0] in (1, [1, 1], (1, 1))
    kinds = {type(module).__name__ for module in network.modules()}
    assert {"InstanceNorm2d", "LeakyReLU"} <= kinds and not {"MaxPool2d", "BatchNorm2d"} & kinds


def test_one_logit_says_what_two_classes_say():
    torch.manual_seed(0)
    model = nnunet.TwoClasses()
    image = torch.randn(1, 1, 256, 256)
    coarse_to_fine = model(image)
    assert [logits.shape[-1] for logits in coarse_to_fine] == [256, 128, 64, 32, 16, 8]
    model.eval()
    with torch.no_grad():
        stone = model(image).sigmoid()
        assert torch.allclose(stone[:, 0], model.network(image).softmax(1)[:, 1], atol=1e-6)
        assert model(image[..., :100, :70]).shape == (1, 1, 100, 70)
        assert nnunet.in_one_logit()(image[..., :50, :170]).shape == (1, 1, 50, 170)


def test_the_loss_is_that_of_the_batch_and_weighs_resolutions_by_halves():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 8, 8, generator=generator)
    masks = torch.rand(2, 1, 8, 8, generator=generator) > 0.7
    masks[1] = False  # an image without a stone: a Dice of the batch does not ask for it alone
    stone = torch.exp(logits[:, 1]) / torch.exp(logits).sum(1)
    dice = 2 * stone[0][masks[0, 0]].sum() / (stone.sum() + masks.sum())
    right = torch.where(masks[:, 0], stone, 1 - stone)
    expected = -right.log().mean() - dice
    assert nnunet.dice_and_cross_entropy(logits, masks.float()).item() == pytest.approx(expected.item(), 1e-4)
    small, smallest = torch.zeros(2, 2, 4, 4), torch.full((2, 2, 2, 2), 1e4)
    half = nnunet.dice_and_cross_entropy(small, masks[..., ::2, ::2].float()).item()
    whole = nnunet.deep_loss([logits, small, smallest], masks).item()
    assert whole == pytest.approx((expected.item() + half / 2) / 1.5, 1e-4)  # the coarsest does not count
