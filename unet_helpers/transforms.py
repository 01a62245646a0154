"""From files to what a network eats: resizing, normalising, tensors, patches and their augmentation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from unet_helpers.metrics import label_stones

__all__ = [
    "PatchSampler",
    "anchors_of",
    "augment",
    "brightness_of_stones",
    "lookalikes_of",
    "normalise",
    "resize_image",
    "resize_mask",
    "shrink_size",
    "to_device",
    "to_tensor",
]


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


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Send what was drawn on the CPU to the device; on CUDA through pinned memory, so that nobody waits."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class PatchSampler:
    """Cuts random patches from a stack of images, most of them placed on a stone or on a look-alike.

    Stones cover about one pixel in a thousand, so patches drawn blindly would hardly ever show one. Every
    patch is placed around an anchor: a share `stone_fraction` of a batch around a stone, a share
    `lookalike_fraction` around a region that is as bright as most stones and is none (bone, a calcified
    vessel), the rest around any pixel. Stones and look-alikes are chosen region by region, so that a small
    one is seen as often as a large one.

    Args:
        images: Uint8 arrays (H, W), sizes may differ.
        masks: Bool arrays of the same shapes.
        patch_size: Side of the square patches in pixels.
        stone_fraction: Share of a batch in [0, 1].
        lookalike_fraction: Share of a batch in [0, 1]; both together at most 1.
        device: Where the stack is kept and the patches are cut.

    Raises:
        ValueError: If there are no images, no mask has a pixel, or the shares sum to more than 1.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        masks: Sequence[np.ndarray],
        patch_size: int = 160,
        stone_fraction: float = 0.5,
        lookalike_fraction: float = 0.25,
        device: torch.device | str = "cpu",
    ) -> None:
        if not len(images) or len(images) != len(masks):
            raise ValueError(
                f"images and masks must be equally many and at least one, got {len(images)} and {len(masks)}."
            )
        sizes = torch.tensor([image.shape for image in images])
        # smaller images are padded with black
        shape = (len(images), *sizes.amax(0).clamp(min=patch_size).tolist())
        stack, mask_stack = np.zeros(shape, np.uint8), np.zeros(shape, bool)
        for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
            stack[i, : image.shape[0], : image.shape[1]] = image
            mask_stack[i, : mask.shape[0], : mask.shape[1]] = mask
        self._take(
            torch.from_numpy(stack).to(device),
            torch.from_numpy(mask_stack).to(device),
            sizes,
            _anchors(masks),
            _anchors(_lookalikes(images, masks)),
            patch_size,
            stone_fraction,
            lookalike_fraction,
            device,
        )

    @classmethod
    def from_stack(
        cls,
        images: Tensor,
        masks: Tensor,
        sizes: Tensor,
        stones: Tensor,
        lookalikes: Tensor,
        patch_size: int,
        stone_fraction: float,
        lookalike_fraction: float,
        device: torch.device | str = "cpu",
    ) -> PatchSampler:
        """A sampler on arrays that are prepared already, for example in files; nothing is copied.

        Args:
            images: Uint8 tensor (N, H, W), sides at least `patch_size`, black outside the sizes.
            masks: Bool tensor of the same shape.
            sizes: Int64 tensor (N, 2), height and width of each image.
            stones: Int tensor (n, 3): image, row and column of each stone.
            lookalikes: The same of the look-alikes.
            patch_size: As for the class, like the arguments that follow.
            stone_fraction: Share of a batch.
            lookalike_fraction: Share of a batch.
            device: Where the patches go; the arrays stay where they are.
        """
        sampler = cls.__new__(cls)
        sampler._take(
            images, masks, sizes, stones, lookalikes, patch_size, stone_fraction, lookalike_fraction, device
        )
        return sampler

    def _take(
        self,
        images: Tensor,
        masks: Tensor,
        sizes: Tensor,
        stones: Tensor,
        lookalikes: Tensor,
        patch_size: int,
        stone_fraction: float,
        lookalike_fraction: float,
        device: torch.device | str,
    ) -> None:
        if not len(stones):
            raise ValueError(
                "masks must hold at least one stone, got none above the threshold of 127. "
                "If they hold 0 and 1, multiply them by 255."
            )
        if not 0 <= stone_fraction <= stone_fraction + lookalike_fraction <= 1:
            raise ValueError(
                "stone_fraction and lookalike_fraction must be shares that sum to at most 1, "
                f"got {stone_fraction} and {lookalike_fraction}."
            )
        self.patch_size, self.device = patch_size, torch.device(device)
        self.stone_fraction, self.lookalike_fraction = stone_fraction, lookalike_fraction
        self.images, self.masks, self.sizes = images, masks, sizes.clamp(min=patch_size)
        self.stones, self.lookalikes = stones, lookalikes  # (n, 3): image, row, column
        self.after_draws: Callable[[], None] | None = None  # called after every 64th batch
        self._n_draws = 0

    @property
    def patches_per_epoch(self) -> int:
        """Number of patches that hold as many pixels as the images."""
        return max(1, int(self.sizes.prod(1).sum()) // self.patch_size**2)

    def sample(
        self, batch_size: int, generator: torch.Generator, part: tuple[int, int] = (0, 1)
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw one batch.

        Args:
            batch_size: Number of patches.
            generator: CPU generator that makes the draw repeatable.
            part: (k, n) cuts every n-th patch of the batch, from patch k on: the share of process k of n.

        Returns:
            Images uint8 (B / n, 1, P, P), masks bool (B / n, 1, P, P) on `device`, and on the CPU the int64
            index (B,) of the image that each patch of the whole batch comes from.
        """
        side = self.patch_size
        which = torch.randint(len(self.sizes), (batch_size,), generator=generator)
        anywhere = (torch.rand(batch_size, 2, generator=generator) * self.sizes[which]).long()
        anchors = torch.cat([which[:, None], anywhere], 1)  # (B, 3)
        n_stone = round(batch_size * self.stone_fraction)
        n_bright = min(round(batch_size * self.lookalike_fraction), batch_size - n_stone)
        n_bright = n_bright if len(self.lookalikes) else 0
        for known, start, stop in ((self.stones, 0, n_stone), (self.lookalikes, n_stone, n_stone + n_bright)):
            if stop > start:
                anchors[start:stop] = known[torch.randint(len(known), (stop - start,), generator=generator)]
        # the anchor lands anywhere in the patch but its outermost eighth, unless the image ends there
        offset = side / 8 + torch.rand(batch_size, 2, generator=generator) * (side * 3 / 4)
        room = self.sizes[anchors[:, 0]] - side
        corner = torch.minimum((anchors[:, 1:] - offset).round().long().clamp(min=0), room)
        places = torch.cat([anchors[:, :1], corner], 1)[part[0] :: part[1]]  # (B / n, 3)
        image, row, column = to_device(places, self.images.device).T[:, :, None, None]
        steps = torch.arange(side, device=self.images.device)
        index = (image, row + steps[:, None], column + steps)
        images, masks = (to_device(stack[index][:, None], self.device) for stack in (self.images, self.masks))
        self._n_draws += 1
        if self.after_draws and self._n_draws % 64 == 0:
            self.after_draws()
        return images, masks, anchors[:, 0]


def anchors_of(i: int, mask: np.ndarray) -> np.ndarray:
    """Image number `i`, row and column of the middle of every connected region of a mask: int64 (n, 3)."""
    labels, n_regions = label_stones(mask)
    middles = ndimage.center_of_mass(mask, labels, range(1, n_regions + 1))
    places = [(i, round(row), round(column)) for row, column in middles]
    return np.array(places, np.int64).reshape(-1, 3)


def _anchors(masks: Iterable[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.concatenate([anchors_of(i, mask) for i, mask in enumerate(masks)]))


def brightness_of_stones(histogram: np.ndarray) -> float:
    """Grey value that nine in ten stone pixels reach, from the number of stone pixels of each grey (256,)."""
    return float(np.percentile(np.repeat(np.arange(256, dtype=np.uint8), histogram), 10))


def lookalikes_of(image: np.ndarray, mask: np.ndarray, brightness: float) -> np.ndarray:
    """Regions of an image that reach a grey value and touch no stone, as a mask."""
    labels, n_regions = label_stones(image >= brightness)
    other = ~np.isin(np.arange(n_regions + 1), [0, *np.unique(labels[mask])])
    return other[labels]


def _lookalikes(images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    pairs = zip(images, masks, strict=True)
    histogram = sum(np.bincount(image[mask], minlength=256) for image, mask in pairs)
    if not np.any(histogram):
        return (mask for mask in masks)  # no stone to look like; the sampler refuses such masks
    brightness = brightness_of_stones(histogram)
    return (lookalikes_of(image, mask, brightness) for image, mask in zip(images, masks, strict=True))


def augment(
    images: Tensor, masks: Tensor, generator: torch.Generator, part: tuple[int, int] = (0, 1)
) -> tuple[Tensor, Tensor]:
    """Flip, turn, scale and change contrast, brightness and noise, differently for every patch of a batch.

    Geometry changes image and mask alike; grey values change in the image alone. Turns reach 15 degrees and
    scales 0.8 to 1.25; what comes in from outside the patch repeats its edge.

    Args:
        images: Float tensor (B, 1, P, P) in [-1, 1].
        masks: Bool tensor (B, 1, P, P).
        generator: CPU generator.
        part: (k, n): the patches are every n-th of a batch of n B, from patch k on, and get the changes that
            they would get in the whole batch.

    Returns:
        New tensors of the same shapes and types.
    """
    (first, every), device = part, images.device
    n = len(images) * every
    flip = torch.randint(0, 2, (2, n), generator=generator) * 2 - 1
    turn, scale, contrast, brightness, noise = torch.rand(5, n, generator=generator)
    turn, scale = (turn - 0.5) * torch.pi / 6, 0.8 * (1.25 / 0.8) ** scale
    cos, sin, zero = turn.cos() / scale, turn.sin() / scale, torch.zeros(n)
    matrix = torch.stack(
        [
            torch.stack([cos * flip[0], -sin * flip[1], zero], 1),
            torch.stack([sin * flip[0], cos * flip[1], zero], 1),
        ],
        1,
    )  # (n B, 2, 3)
    grid = affine_grid(to_device(matrix[first::every], device), list(images.shape), align_corners=False)
    images = grid_sample(images, grid, padding_mode="border", align_corners=False)
    masks = grid_sample(masks.float(), grid, padding_mode="border", align_corners=False) > 0.5
    greys = torch.stack([0.8 + 0.4 * contrast, 0.3 * brightness - 0.15, 0.08 * noise])[:, first::every]
    factor, offset, strength = to_device(greys, device)[..., None, None, None]  # (B, 1, 1, 1) each
    return images * factor + offset + _grain(images, generator, part) * strength, masks


def _grain(images: Tensor, generator: torch.Generator, part: tuple[int, int]) -> Tensor:
    """Standard normal noise (B, 1, P, P); a GPU draws it itself, from a seed that the CPU generator gives."""
    first, every = part
    if images.device.type == "cpu":
        shape = (len(images) * every, *images.shape[1:])
        return torch.randn(shape, generator=generator)[first::every]
    seed = int(torch.randint(2**62, (1,), generator=generator)) + first
    own = torch.Generator(images.device).manual_seed(seed)
    return torch.randn(images.shape, generator=own, device=images.device)
