"""The U-Net as its paper has it, to be compared with the lessons' own in `unet_helpers.model`.

Reference: Ronneberger, Fischer, Brox (2015), U-Net: Convolutional Networks for Biomedical Image Segmentation,
arXiv:1505.04597
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["UNet2015"]


def double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 3),
        nn.ReLU(inplace=True),
    )


class UNet2015(nn.Module):
    """The network of the paper's figure 1: unpadded convolutions, no normalisation, 572 pixels in, 388 out.

    Every skip connection is cropped to the smaller feature map it meets. Only sides of 16 n + 12 pixels, from
    188 up, stay even at all four poolings: 572 is one of them.

    Args:
        in_channels: 1 for grey images.
        n_classes: Number of logits a pixel; the paper has 2 (cell and background).
    """

    def __init__(self, in_channels: int = 1, n_classes: int = 2) -> None:
        super().__init__()
        widths = [64, 128, 256, 512, 1024]
        self.down = nn.ModuleList(map(double_conv, [in_channels, *widths[:-1]], widths))
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[-2::-1])
        self.merge = nn.ModuleList(double_conv(2 * w, w) for w in widths[-2::-1])
        self.head = nn.Conv2d(64, n_classes, 1)

    @staticmethod
    def output_size(size: int) -> int:
        """Side of the output for one side of the input, in pixels: 572 -> 388.

        Raises:
            ValueError: If a pooling would meet an odd side or nothing would be left.
        """
        side = size
        for _ in range(4):
            side -= 4
            if side % 2 or side <= 0:
                raise ValueError(
                    f"image side must be 16 n + 12 and at least 188, got {size}. The paper uses 572."
                )
            side //= 2
        for _ in range(4):
            side = 2 * (side - 4)
        if side - 4 <= 0:
            raise ValueError(
                f"image side must be 16 n + 12 and at least 188, got {size}. The paper uses 572."
            )
        return side - 4

    def forward(self, image: Tensor) -> Tensor:
        """Image (B, in_channels, 572, 572) -> logits (B, n_classes, 388, 388)."""
        for side in image.shape[-2:]:
            self.output_size(side)
        skips, features = [], image
        for level, block in enumerate(self.down):
            features = block(self.pool(features) if level else features)
            skips.append(features)
        skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            features = up(features)
            features = merge(torch.cat([_centre_crop(skips.pop(), features.shape[-2:]), features], dim=1))
        logits: Tensor = self.head(features)
        return logits


def _centre_crop(features: Tensor, size: torch.Size) -> Tensor:
    top, left = ((have - want) // 2 for have, want in zip(features.shape[-2:], size, strict=True))
    return features[..., top : top + size[0], left : left + size[1]]
