"""From files to what a network eats: resizing, normalising, tensors, patches and their augmentation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unet_helpers.metrics import label_stones

__all__ = ["PatchSampler", "augment", "normalise", "resize_image", "resize_mask", "shrink_size", "to_tensor"]


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize grey values with bilinear interpolation, averaging over the pixels that a smaller image merges.

    Args:
        image: Uint8 or float32 array (H, W).
        size: New (height, width) in pixels.

    Returns:
        Array of the same type, of shape `size`.
    """
    return np.array(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a mask with nearest-neighbour interpolation, which invents no value between 0 and 1.

    Args:
        mask: Bool array (H, W).
        size: New (height, width) in pixels.

    Returns:
        Bool array of shape `size`.
    """
    return np.array(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST))


def shrink_size(size: tuple[int, int], max_size: int) -> tuple[int, int]:
    """Height and width after shrinking the longer side to at most `max_size` pixels; smaller images stay."""
    scale = min(1.0, max_size / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def normalise(image: np.ndarray | Tensor) -> np.ndarray | Tensor:
    """Map grey values 0..255 to float32 in [-1, 1], the same way for every image.

    A fixed rule keeps the meaning of a grey value: a stone stays near 1 whether or not the image holds bone.
    """
    values = image.float() if isinstance(image, Tensor) else image.astype(np.float32)
    return values / 127.5 - 1


def to_tensor(image: np.ndarray) -> Tensor:
    """Turn a uint8 image (H, W) into a float32 tensor (1, H, W) in [-1, 1]."""
    return torch.from_numpy(normalise(image))[None]


class PatchSampler:
    """Cuts random patches from a stack of images, part of them placed on a stone.

    Stones cover about one pixel in a thousand, so patches drawn blindly would hardly ever show one. A share
    `stone_fraction` of every batch is placed so that a randomly chosen stone lies inside; stones are chosen
    stone by stone, so that a small one is seen as often as a large one.

    Args:
        images: Uint8 arrays (H, W), sizes may differ.
        masks: Bool arrays of the same shapes.
        patch_size: Side of the square patches in pixels.
        stone_fraction: Share of a batch that is centred near a stone, in [0, 1].
        device: Where the stack is kept and the patches are cut.

    Raises:
        ValueError: If there are no images, or no mask has a pixel.
    """

    def __init__(self, images: Sequence[np.ndarray], masks: Sequence[np.ndarray], patch_size: int = 128,
                 stone_fraction: float = 0.5, device: torch.device | str = "cpu") -> None:
        if not len(images) or len(images) != len(masks):
            raise ValueError(f"images and masks must be equally many and at least one, got {len(images)} "
                             f"and {len(masks)}.")
        self.patch_size, self.stone_fraction = patch_size, stone_fraction
        self.sizes = torch.tensor([[max(side, patch_size) for side in image.shape] for image in images])
        shape = (len(images), *self.sizes.amax(0).tolist())
        # smaller images are padded with black
        stack, mask_stack = np.zeros(shape, np.uint8), np.zeros(shape, bool)
        for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
            stack[i, : image.shape[0], : image.shape[1]] = image
            mask_stack[i, : mask.shape[0], : mask.shape[1]] = mask
        self.images, self.masks = torch.from_numpy(stack).to(device), torch.from_numpy(mask_stack).to(device)
        centres = [(i, *centre) for i, mask in enumerate(masks) for centre in _stone_centres(mask)]
        self.stones = torch.tensor(centres)  # (n_stones, 3): image, row, column
        if not len(self.stones):
            raise ValueError("masks must hold at least one stone, got none above the threshold of 127. "
                             "If they hold 0 and 1, multiply them by 255.")

    @property
    def patches_per_epoch(self) -> int:
        """Number of patches that hold as many pixels as the images."""
        return max(1, int(self.sizes.prod(1).sum()) // self.patch_size**2)

    def sample(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw one batch.

        Args:
            batch_size: Number of patches.
            generator: CPU generator that makes the draw repeatable.

        Returns:
            Images uint8 (B, 1, P, P), masks bool (B, 1, P, P) on `device`, and the int64 index (B,) of the
            image that each patch comes from.
        """
        side, n_stone = self.patch_size, round(batch_size * self.stone_fraction)
        which = torch.randint(len(self.sizes), (batch_size,), generator=generator)
        corner = torch.rand(batch_size, 2, generator=generator)
        stone = self.stones[torch.randint(len(self.stones), (n_stone,), generator=generator)]
        which[:n_stone] = stone[:, 0]
        room = self.sizes[which] - side
        start = (corner * (room + 1)).long()
        # the stone's centre lands anywhere in the patch but its outermost eighth
        offset = side / 8 + corner[:n_stone] * (side * 3 / 4)
        start[:n_stone] = torch.minimum((stone[:, 1:] - offset).round().long().clamp(min=0), room[:n_stone])
        rows, columns = (start[:, axis, None] + torch.arange(side) for axis in (0, 1))  # (B, P)
        index = (which[:, None, None], rows[:, :, None], columns[:, None, :])
        index = tuple(part.to(self.images.device) for part in index)
        return self.images[index][:, None], self.masks[index][:, None], which


def _stone_centres(mask: np.ndarray) -> list[tuple[int, int]]:
    """A pixel of every stone: the one nearest to the mean of its pixels."""
    labels, n_stones = label_stones(mask)
    centres = []
    for number in range(1, n_stones + 1):
        pixels = np.argwhere(labels == number)
        centres.append(tuple(int(c) for c in pixels[np.abs(pixels - pixels.mean(0)).sum(1).argmin()]))
    return centres


def augment(images: Tensor, masks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Flip and change contrast and brightness, differently for every patch of a batch.

    Geometry changes image and mask alike; grey values change in the image alone.

    Args:
        images: Float tensor (B, 1, P, P) in [-1, 1].
        masks: Tensor (B, 1, P, P).
        generator: CPU generator.

    Returns:
        New tensors of the same shapes.
    """
    flips = torch.rand(len(images), 2, generator=generator) < 0.5
    grey = torch.rand(2, len(images), generator=generator)
    for axis in (0, 1):
        choose = flips[:, axis, None, None, None].to(images.device)
        images = torch.where(choose, images.flip(2 + axis), images)
        masks = torch.where(choose, masks.flip(2 + axis), masks)
    contrast, brightness = 0.8 + 0.4 * grey[0], -0.15 + 0.3 * grey[1]
    contrast, brightness = (v[:, None, None, None].to(images.device) for v in (contrast, brightness))
    return images * contrast + brightness, masks
