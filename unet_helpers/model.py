"""The U-Net of the lessons: padded and normalised, where the paper's own (`networks.unet_2015`) is neither.

Reference: Ronneberger, Fischer, Brox (2015), U-Net: Convolutional Networks for Biomedical Image Segmentation,
arXiv:1505.04597
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, pad, pixel_shuffle, pixel_unshuffle

from unet_helpers.engine.doors import doors

__all__ = ["PlainUNet", "UNet", "n_parameters"]

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


def encode(image: Tensor, blocks: nn.ModuleList) -> list[Tensor]:
    """Go down the U: what each block makes of the halved features of the block above it."""
    levels = [blocks[0](image)]
    for block in blocks[1:]:
        levels.append(block(max_pool2d(levels[-1], 2)))
    return levels  # level k: (B, channels[k], H / 2^k, W / 2^k)


def decode(levels: list[Tensor], ups: nn.ModuleList, merges: nn.ModuleList) -> Tensor:
    """Go up the U: enlarge, lay the copy of the same level on top, merge the two."""
    *copies, features = levels  # the lowest level is where the way up starts
    for up, merge, copy in zip(ups, merges, reversed(copies), strict=True):
        features = merge(torch.cat([copy, up(features)], dim=1))
    return features


class PlainUNet(nn.Module):
    """Encoder, decoder and skip connections for images whose sides can be halved at every level.

    Args:
        in_channels: Channels of the image.
        out_channels: Logits at every position.
        channels: Channels of each level, from full resolution to the bottleneck; each double the one before.
    """

    def __init__(self, in_channels: int, out_channels: int, channels: Sequence[int]) -> None:
        super().__init__()
        entering = [in_channels, *channels[:-1]]  # 4, 16, 32, 64 in the network of the lessons
        back = list(reversed(channels[:-1]))  # 64, 32, 16
        self.down = nn.ModuleList(map(double_conv, entering, channels))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * c, c, 2, stride=2) for c in back)
        self.merge = nn.ModuleList(double_conv(2 * c, c) for c in back)
        self.head = nn.Conv2d(channels[0], out_channels, 1)
        nn.init.constant_(self.head.bias, -4.0)  # type: ignore[arg-type]  # sigmoid(-4) = 0.018: "no stone"

    def forward(self, image: Tensor) -> Tensor:
        """Image (B, in_channels, H, W) -> logits (B, out_channels, H, W)."""
        levels = encode(image, self.down)
        return self.head(decode(levels, self.up, self.merge))  # type: ignore[no-any-return]


class UNet(PlainUNet):
    """The plain U-Net for images of any size; it folds blocks of pixels into channels and unfolds the logits.

    `depth` counts the resolutions: with depth 4 the image is halved three times, and the channels double
    from `base_channels` to 8 x `base_channels`. Images whose sides are no multiple of
    unshuffle x 2^(depth-1) are padded inside by repeating the edge, and the logits are cropped back.

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
        settings = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "base_channels": base_channels,
            "depth": depth,
            "unshuffle": unshuffle,
        }
        for name, value in settings.items():
            least = 2 if name == "depth" else 1
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}.")
        channels = [base_channels * 2**level for level in range(depth)]
        super().__init__(in_channels * unshuffle**2, out_channels * unshuffle**2, channels)
        self.settings = settings

    def forward(self, image: Tensor) -> Tensor:
        """Image (B, in_channels, H, W) in [-1, 1] -> logits (B, out_channels, H, W)."""
        if image.ndim != 4 or image.shape[1] != self.settings["in_channels"]:
            raise ValueError(
                f"image must have shape (B, {self.settings['in_channels']}, H, W), got {tuple(image.shape)}."
            )
        height, width = image.shape[-2:]
        side = self.settings["unshuffle"]
        multiple = side * 2 ** (self.settings["depth"] - 1)
        padded = pad(image, (0, -width % multiple, 0, -height % multiple), mode="replicate")
        logits = super().forward(pixel_unshuffle(padded, side))
        return pixel_shuffle(logits, side)[..., :height, :width]


def n_parameters(model: nn.Module) -> int:
    """Number of values that training may change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
