"""The U-Net of the lessons: padded and normalised, where the paper's own (`networks.unet_2015`) is neither.

Reference: Ronneberger, Fischer, Brox (2015), U-Net: Convolutional Networks for Biomedical Image Segmentation,
arXiv:1505.04597
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle

from unet_helpers.engine.doors import doors

__all__ = ["UNet", "n_parameters"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = doors(__name__, {"networks.unet_2015": ["UNet2015"]})


def double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two 3x3 convolutions that keep the image size, each with BatchNorm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),  # BatchNorm has the bias
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    """Encoder, decoder and skip connections for images of any size.

    `depth` counts the resolutions: with depth 4 the image is halved three times, and the channels double
    from `base_channels` to 8 x `base_channels`. Images whose sides are no multiple of 2^(depth-1) are padded
    inside by repeating the edge, and the logits are cropped back.

    Args:
        in_channels: 1 for grey images.
        out_channels: Number of logits a pixel; 1 for stone against background.
        base_channels: Channels at the first resolution.
        depth: Number of resolutions, at least 2.
        unshuffle: Side of the blocks of pixels that enter as channels; 1 for the plain U-Net.

    Raises:
        ValueError: If an argument is too small.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        base_channels: int = 16,
        depth: int = 4,
        unshuffle: int = 2,
    ) -> None:
        super().__init__()
        self.settings = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "base_channels": base_channels,
            "depth": depth,
            "unshuffle": unshuffle,
        }
        for name, value in self.settings.items():
            least = 2 if name == "depth" else 1
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}.")
        widths = [base_channels * 2**level for level in range(depth)]
        self.down = nn.ModuleList(map(double_conv, [in_channels * unshuffle**2, *widths[:-1]], widths))
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[-2::-1])
        self.merge = nn.ModuleList(double_conv(2 * w, w) for w in widths[-2::-1])
        self.head = nn.Conv2d(base_channels, out_channels * unshuffle**2, 1)
        # start from "almost no pixel is stone": sigmoid(-4) = 0.018
        nn.init.constant_(self.head.bias, -4.0)  # type: ignore[arg-type]  # by default there is a bias

    def forward(self, image: Tensor) -> Tensor:
        """Image (B, in_channels, H, W) in [-1, 1] -> logits (B, out_channels, H, W)."""
        if image.ndim != 4 or image.shape[1] != self.settings["in_channels"]:
            raise ValueError(
                f"image must have shape (B, {self.settings['in_channels']}, H, W), got {tuple(image.shape)}."
            )
        height, width = image.shape[-2:]
        side = self.settings["unshuffle"]
        multiple = side * 2 ** (self.settings["depth"] - 1)
        features = pad(image, (0, -width % multiple, 0, -height % multiple), mode="replicate")
        features = pixel_unshuffle(features, side)
        skips = []
        for level, block in enumerate(self.down):
            # level 0, 1, 2 ... -> (B, base * 2^level, H / 2^level, W / 2^level), H and W after unshuffling
            features = block(self.pool(features) if level else features)
            skips.append(features)
        skips.pop()  # the lowest level has no skip connection
        for up, merge in zip(self.up, self.merge, strict=True):
            features = merge(torch.cat([skips.pop(), up(features)], dim=1))
        return pixel_shuffle(self.head(features), side)[..., :height, :width]


def n_parameters(model: nn.Module) -> int:
    """Number of values that training may change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
