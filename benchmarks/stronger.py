"""A stronger augmentation than the lessons': what may differ between synthetic slices and real scans.

It has the two halves of an augmentation that a GPU can record: `draw` draws all numbers, and `change`
computes with them, without a branch, and without waiting, on any device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, conv2d, grid_sample, interpolate, pad

from unet_helpers.transforms import to_device

__all__ = ["Stronger"]

TISSUE = -0.1  # the grey of soft tissue, from which contrast grows
TAPS = 3  # pixels on either side that a blur reaches
BLOCK = 8  # side of a block of a JPEG file
FIELD = 5  # knots of the shading along a side


@dataclass(frozen=True)
class Stronger:
    """Callable as `transforms.augment` is; the defaults are the recipe "strong".

    Attributes:
        scale: Lowest and highest magnification.
        stretch: Height against width differs by up to this factor.
        turn: Largest angle in degrees.
        shift: Largest shift as share of half a patch.
        upside_down: Whether patches are mirrored top to bottom, too.
        cut: Share of the patches from which a straight cut takes a corner away, as a turned picture has it.
        bone: Share of the patches that get a white ellipse in a lower corner, as hips reach in there.
        blur: Largest standard deviation of the blur in pixels.
        sharpen: Share of the patches that are sharpened instead.
        noise: Largest standard deviation; greys are in [-1, 1].
        contrast: Lowest and highest factor around the grey of soft tissue.
        offset: Largest change of brightness.
        gamma: Greys to a power of 1 / gamma to gamma.
        knee: Largest extra slope of what is brighter than soft tissue: bones become white all through.
        blocks: Largest step to which the waves of 8 x 8 pixels are rounded, as in JPEG files.
        shading: Standard deviation of a slow change of brightness.
    """

    scale: tuple[float, float] = (0.6, 1.6)
    stretch: float = 1.15
    turn: float = 18.0
    shift: float = 0.0
    upside_down: bool = True
    cut: float = 0.25
    bone: float = 0.0
    blur: float = 1.0
    sharpen: float = 0.3
    noise: float = 0.1
    contrast: tuple[float, float] = (0.55, 1.5)
    offset: float = 0.15
    gamma: float = 1.25
    knee: float = 3.0
    blocks: float = 0.06
    shading: float = 0.04

    def __call__(self, images: Tensor, masks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images (B, 1, P, P) in [-1, 1] and bool masks of that shape -> new ones; P is a multiple of 8."""
        changes = to_device(self.draw(len(images), generator), images.device)
        seed = int(torch.randint(2**62, (1,), generator=generator))
        own = torch.Generator(images.device).manual_seed(seed)
        return self.change(
            images, masks, changes, torch.randn(images.shape, generator=own, device=images.device)
        )

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """What chance decides for n patches: (n, 51)."""
        u = iter(torch.rand(32, n, generator=generator))  # (n,) each, 0 to 1

        def between(low: float, high: float) -> Tensor:
            value: Tensor = low + (high - low) * next(u)
            return value

        def factor(low: float, high: float) -> Tensor:
            value: Tensor = low * (high / low) ** next(u)
            return value

        def share(limit: float) -> Tensor:
            value: Tensor = (next(u) < limit).float()
            return value

        flip_x, flip_y = 1 - 2 * share(0.5), 1 - 2 * share(0.5 if self.upside_down else 0)
        turn, scale = between(-1, 1) * math.radians(self.turn), factor(*self.scale)
        stretch = factor(1 / self.stretch, self.stretch) ** 0.5
        cos, sin = turn.cos() / scale, turn.sin() / scale
        shift_x, shift_y = between(-self.shift, self.shift), between(-self.shift, self.shift)
        row_x = [cos * stretch * flip_x, -sin * flip_y, shift_x]
        row_y = [sin * flip_x, cos / stretch * flip_y, shift_y]
        angle, black = between(0, 2 * math.pi), share(0.5)
        away = between(0.4, 1.4) + 9 * (1 - share(self.cut))  # distance of the cut from the middle
        side = 1 - 2 * share(0.5)  # the bone reaches in by up to half a patch, or stays 9 patches away
        bone = [side * between(0.3, 1.1), between(0.8, 1.3) + 18 * (1 - share(self.bone))]
        bone += [factor(0.3, 0.9), factor(0.3, 0.9), between(0.3, 1.2)]  # half axes, grey
        sharp = share(self.sharpen)
        blur_x, blur_y = between(0.2, self.blur), between(0.2, self.blur)
        mix = sharp * between(0, 1.2) - (1 - sharp)  # -1: blurred; 1: as far to the other side
        grain = [between(0, 1) ** 2 * self.noise, between(0, 1)]
        window = [factor(*self.contrast), between(-1, 1) * self.offset, factor(1 / self.gamma, self.gamma)]
        bright = [between(0.15, 0.5), between(0, 1) ** 2 * self.knee]
        rest = [angle.cos(), angle.sin(), away, black, *bone, blur_x + 0.4 * sharp, blur_y + 0.4 * sharp, mix]
        columns = torch.stack(
            [*row_x, *row_y, *rest, *grain, *window, *bright, next(u) ** 2 * self.blocks], 1
        )
        field = torch.randn(n, FIELD**2, generator=generator) * self.shading
        return torch.cat([columns, field], 1)

    def change(self, images: Tensor, masks: Tensor, changes: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Apply what `draw` drew to images and masks (B, 1, P, P), with normal noise of that shape."""
        columns, field = changes[:, : -(FIELD**2)], changes[:, -(FIELD**2) :].reshape(-1, 1, FIELD, FIELD)
        images, masks = geometry(images, masks, columns[:, :15])
        blur_x, blur_y, mix, strength, coarse, factor, offset, gamma, knee, slope, step = columns[
            :, 15:, None, None, None
        ].unbind(1)
        # what the scanner did: slow shading, another sharpness, grain; air stays as black as it was
        shading = interpolate(field, images.shape[-2:], mode="bicubic", align_corners=True)
        images = images + shading * (images + 1).clamp(max=1)
        images = images + mix * (images - blurred(images, blur_x, blur_y))
        images = images + strength * grains(noise, coarse) * (4 * (images + 1)).clamp(0, 1)
        # what the window did: bright becomes brighter yet; contrast, brightness, gamma, white and black
        images = images + slope * (images - TISSUE - knee).clamp(min=0)
        images = (images - TISSUE) * factor + TISSUE + offset * ((images + 1) * 4).clamp(0, 1)
        images = (images / 2 + 0.5).clamp(1e-4, 1) ** gamma * 2 - 1
        return rounded_waves(images, step).clamp(-1, 1), masks


def geometry(images: Tensor, masks: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Turn, scale, mirror, cut, and add a bone; columns (B, 15) hold a matrix, the cut, and the bone."""
    grid = affine_grid(columns[:, :6].reshape(-1, 2, 3), list(images.shape), align_corners=False)
    images = grid_sample(images, grid, padding_mode="border", align_corners=False)
    masks = grid_sample(masks.float(), grid, padding_mode="border", align_corners=False) > 0.5
    x, y = grid.unbind(-1)  # (B, P, P) each
    cos, sin, away, black, at_x, at_y, half_x, half_y, grey = columns[:, 6:, None, None].unbind(1)
    along = torch.linspace(-1, 1, images.shape[-1], device=images.device)  # (P,), the new patch
    depth = 1 - ((along - at_x) / half_x) ** 2 - ((along[:, None] - at_y) / half_y) ** 2  # (B, P, P)
    bone, shell = (4 * depth).clamp(0, 1)[:, None], (1.5 - 3 * depth).clamp(0, 1)[:, None]
    greys = grey[:, None] + shell * (1 - grey[:, None])
    images, masks = images + bone * (greys - images), masks & (bone == 0)
    outside = (torch.maximum(x.abs(), y.abs()) > 1) & (black > 0.5)
    gone = (outside | (x * cos + y * sin > away))[:, None]
    return images.masked_fill(gone, -1), masks & ~gone


def blurred(images: Tensor, blur_x: Tensor, blur_y: Tensor) -> Tensor:
    """Images (B, 1, P, P) blurred by standard deviations (B, 1, 1, 1) in pixels."""
    taps = torch.arange(-TAPS, TAPS + 1, device=images.device)
    channels = pad(images, (TAPS,) * 4, mode="replicate").transpose(0, 1)  # (1, B, P + 6, P + 6)
    for sigma, shape in ((blur_x, (-1, 1, 1, 2 * TAPS + 1)), (blur_y, (-1, 1, 2 * TAPS + 1, 1))):
        weights = torch.exp(-0.5 * (taps / sigma) ** 2)  # (B, 1, 1, 7)
        weights = (weights / weights.sum(-1, keepdim=True)).reshape(shape)
        channels = conv2d(channels, weights, groups=len(images))
    return channels.transpose(0, 1)


def grains(noise: Tensor, coarse: Tensor) -> Tensor:
    """Noise of two sizes of grain, mixed by shares (B, 1, 1, 1)."""
    large = 2 * interpolate(avg_pool2d(noise, 2), scale_factor=2.0, mode="bilinear", align_corners=False)
    return (1 - coarse) * noise + coarse * large


def rounded_waves(images: Tensor, step: Tensor) -> Tensor:
    """Round the cosine waves of every block of 8 x 8 pixels as JPEG does, to steps (B, 1, 1, 1)."""
    n = torch.arange(BLOCK, device=images.device, dtype=images.dtype)
    waves = torch.cos(math.pi / BLOCK * (n + 0.5) * n[:, None]) * math.sqrt(2 / BLOCK)  # (wave, pixel)
    waves = waves * (1 - (1 - math.sqrt(0.5)) * (n[:, None] == 0))
    b, _, height, width = images.shape
    blocks = images.reshape(b, height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(2, 3)
    spectrum = waves @ blocks @ waves.T
    steps = (
        (step * (1 + (n + n[:, None]) / 2)).clamp(min=1e-4)[..., None, :, :].reshape(b, 1, 1, BLOCK, BLOCK)
    )
    blocks = waves.T @ ((spectrum / steps).round() * steps) @ waves
    return blocks.transpose(2, 3).reshape(images.shape)
