"""From files to what a network eats: windows, sizes, tensors, patches and their augmentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from unet_helpers.data import MAX_SIZE, window

if TYPE_CHECKING:
    from unet_helpers.engine.stack import Stack

__all__ = [
    "PatchSampler",
    "augment",
    "normalise",
    "resize_image",
    "resize_mask",
    "shrink_size",
    "to_device",
    "to_tensor",
    "window",
]

Greys = TypeVar("Greys", NDArray[Any], Tensor)


# -------------------------------------------------------------------------------- greys and sizes
def resize_image(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resize a uint8 or float32 image (H, W), or several (C, H, W), to `size` with bilinear interpolation.

    A smaller image averages over the pixels that it merges.
    """
    if image.ndim == 3:
        return np.stack([resize_image(one, size) for one in image])
    return np.array(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def resize_mask(mask: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resize a mask (H, W): a new pixel is stone if at least half of the area that it covers was.

    Of a region too small to reach one half anywhere, the pixels that it covers most remain: no stone is lost.
    Labels, uint8, are resized class by class (`classes.masks.resize_labels`).
    """
    if mask.dtype != bool:
        from unet_helpers.classes.masks import resize_labels

        return resize_labels(mask, size)
    cover = np.array(Image.fromarray(mask.astype(np.float32)).resize(size[::-1], Image.Resampling.BOX))
    regions, n_regions = ndimage.label(cover > 0, structure=np.ones((3, 3)))
    peaks = ndimage.maximum(cover, regions, np.arange(n_regions + 1))  # of each region
    least = np.minimum(0.5 - 1e-6, peaks)  # one half, but for rounding
    resized: NDArray[np.bool_] = (regions > 0) & (cover >= least[regions])
    return resized


def shrink_size(
    size: tuple[int, ...], max_size: int | None, factors: tuple[float, float] | None = None
) -> tuple[int, int]:
    """Height and width after shrinking the longer side to at most `max_size` pixels; smaller images stay.

    None keeps every size. `factors` for height and width, larger or smaller than 1, go before `max_size`.
    """
    if factors is None:
        factors = (min(1.0, (max_size or max(size)) / max(size)),) * 2
    return max(1, round(size[0] * factors[0])), max(1, round(size[1] * factors[1]))


def normalise(image: Greys) -> Greys:
    """Map grey values 0..255 to float32 in [-1, 1], the same way for every image.

    A fixed rule keeps the meaning of a grey value: a stone stays near 1 whether or not the image holds bone.
    """
    values = image.float() if isinstance(image, Tensor) else image.astype(np.float32)
    return values / 127.5 - 1


def to_tensor(image: NDArray[np.uint8]) -> Tensor:
    """Turn a uint8 image (H, W) into a float32 tensor (1, H, W) in [-1, 1]."""
    return torch.from_numpy(normalise(image))[None]


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Send what was drawn on the CPU to the device; on CUDA through pinned memory, so that nobody waits."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


# ----------------------------------------------------------------------------------------- patches
class PatchSampler:
    """Cuts random patches from a stack of images, most of them placed on a stone or on a look-alike.

    Stones cover about one pixel in a thousand, so patches drawn blindly would hardly ever show one. Every
    patch is placed around an anchor: a share `stone_fraction` of a batch around a stone, a share
    `lookalike_fraction` around a region that is as bright as most stones and is none (bone, a calcified
    vessel), the rest around any pixel. Stones and look-alikes are chosen region by region, so that a small
    one is seen as often as a large one.

    Args:
        images: Uint8 arrays (H, W), sizes may differ.
        masks: Bool arrays of the same shapes, or uint8 numbers of classes: then each class counts as stone,
            and all are drawn equally often.
        patch_size: Side P of the square patches in pixels.
        stone_fraction: Share of a batch in [0, 1].
        lookalike_fraction: Share of a batch in [0, 1]; both together at most 1.
        device: Where the patches go. The images are kept and cut there too, unless a stack is given.
        stack: The same images and masks, in a row already (in files, say): cut where it lies, not copied.

    Raises:
        ValueError: If there are no images, no mask has a pixel, or the shares sum to more than 1.
    """

    def __init__(
        self,
        images: Sequence[NDArray[np.uint8]],
        masks: Sequence[NDArray[Any]],
        patch_size: int = 160,
        stone_fraction: float = 0.5,
        lookalike_fraction: float = 0.25,
        device: torch.device | str = "cpu",
        stack: Stack | None = None,
    ) -> None:
        from unet_helpers.engine.stack import stack_up

        if not len(images) or len(images) != len(masks):
            raise ValueError(
                f"images and masks must be equally many and at least one, got {len(images)} and {len(masks)}."
            )
        if not 0 <= stone_fraction <= stone_fraction + lookalike_fraction <= 1:
            raise ValueError(
                "stone_fraction and lookalike_fraction must be shares that sum to at most 1, "
                f"got {stone_fraction} and {lookalike_fraction}."
            )
        stack = stack or stack_up(images, masks, patch_size, device)
        self.images, self.masks, self.starts, self.sizes, self.stones, self.lookalikes = stack
        if not len(self.stones):
            raise ValueError(
                f"masks must hold at least one stone, got {len(masks)} without any. Train on images that "
                "show some; `python -m unet_helpers check` tells what the values of mask files are read as."
            )
        self.widths = self.sizes[:, 1].to(self.images.device)
        self.patch_size, self.device = patch_size, torch.device(device)
        self.stone_fraction, self.lookalike_fraction = stone_fraction, lookalike_fraction
        self.after_draws: Callable[[], None] | None = None  # called after every 64th batch
        self._n_draws = 0

    @property
    def patches_per_epoch(self) -> int:
        """Number of patches that hold as many pixels as the images; a larger one counts as 512 x 512."""
        n_pixels = self.sizes.prod(1).clamp(max=max(MAX_SIZE, self.patch_size) ** 2)
        return max(1, int(n_pixels.sum()) // self.patch_size**2)

    def sample(
        self, batch_size: int, generator: torch.Generator, part: tuple[int, int] = (0, 1)
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw one batch.

        Args:
            batch_size: Number of patches B.
            generator: CPU generator that makes the draw repeatable.
            part: (k, n) cuts every n-th patch of the batch, from patch k on: the share of process k of n.

        Returns:
            Images uint8 (B / n, 1, P, P), masks bool (B / n, 1, P, P) on `device`, and on the CPU the int64
            index (B,) of the image that each patch of the whole batch comes from.
        """
        first, every = part
        corners = self.draw_corners(batch_size, generator)
        images, masks = self.cut(to_device(corners[first::every], self.images.device))
        self._n_draws += 1
        if self.after_draws and self._n_draws % 64 == 0:
            self.after_draws()
        return to_device(images, self.device), to_device(masks, self.device), corners[:, 0]

    def draw_corners(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Image, row and column (B, 3) of the upper left corner of each patch of a batch, on the CPU."""
        side = self.patch_size
        anchors = self._draw_anchors(batch_size, generator)  # (B, 3): image, row, column
        # the anchor lands anywhere in the patch but its outermost eighth, unless the image ends there
        offset = side / 8 + torch.rand(batch_size, 2, generator=generator) * (side * 3 / 4)  # (B, 2)
        corners = (anchors[:, 1:] - offset).round().long().clamp(min=0)
        corners = torch.minimum(corners, self.sizes[anchors[:, 0]] - side)  # (B, 2): row, column
        return torch.cat([anchors[:, :1], corners], 1)

    def _draw_anchors(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Image, row, column (B, 3): the first are stones, the next look-alikes, the others any pixel."""
        which = torch.randint(len(self.sizes), (batch_size,), generator=generator)  # (B,)
        pixel = (torch.rand(batch_size, 2, generator=generator) * self.sizes[which]).long()  # (B, 2)
        anchors = torch.cat([which[:, None], pixel], 1)
        n_stones = round(batch_size * self.stone_fraction)
        n_lookalikes = min(round(batch_size * self.lookalike_fraction), batch_size - n_stones)
        for known, start, n in ((self.stones, 0, n_stones), (self.lookalikes, n_stones, n_lookalikes)):
            if n and len(known):
                anchors[start : start + n] = known[torch.randint(len(known), (n,), generator=generator)]
        return anchors

    def cut(self, corners: Tensor) -> tuple[Tensor, Tensor]:
        """Patches (B, 1, P, P) of images and masks, where the stack lies, from corners (B, 3) there."""
        image, row, column = corners.T[:, :, None, None]  # (B, 1, 1) each
        steps = torch.arange(self.patch_size, device=self.images.device)  # (P,)
        rows = self.starts[image] + (row + steps[:, None]) * self.widths[image]  # (B, P, 1): where they start
        index = rows + column + steps  # (B, P, P)
        return self.images[index][:, None], self.masks[index][:, None]


# ------------------------------------------------------------------------------------ augmentation
def augment(
    images: Tensor, masks: Tensor, generator: torch.Generator, part: tuple[int, int] = (0, 1)
) -> tuple[Tensor, Tensor]:
    """Flip, turn, scale and change contrast, brightness and noise, differently for every patch of a batch.

    Geometry changes image and mask alike; grey values change in the image alone. Turns reach 15 degrees and
    scales 0.8 to 1.25; what comes in from outside the patch repeats its edge.

    Args:
        images: Float tensor (B, 1, P, P) in [-1, 1].
        masks: Bool tensor (B, 1, P, P), or uint8 numbers of classes.
        generator: CPU generator.
        part: (k, n): the patches are every n-th of a batch of n B, from patch k on, and get the changes that
            they would get in the whole batch.

    Returns:
        New tensors of the same shapes and types.
    """
    (first, every), n = part, len(images) * part[1]
    changes = to_device(draw_changes(n, generator)[first::every], images.device)
    return change_patches(images, masks, changes, _grain(images, generator, part))


def draw_changes(n: int, generator: torch.Generator) -> Tensor:
    """What chance decides for n patches: (n, 9), six numbers of geometry, then factor, offset and noise.

    The six are the rows of the matrix that says where in the old patch a pixel of the new one comes from.
    """
    flip = torch.randint(0, 2, (2, n), generator=generator) * 2 - 1  # -1 mirrors: (2, n) for both axes
    turn, scale, contrast, brightness, noise = torch.rand(5, n, generator=generator)  # (n,) each, 0 to 1
    turn, scale = (turn - 0.5) * torch.pi / 6, 0.8 * (1.25 / 0.8) ** scale  # +-15 degrees, 0.8 to 1.25
    cos, sin, zero = turn.cos() / scale, turn.sin() / scale, torch.zeros(n)
    row_x = [cos * flip[0], -sin * flip[1], zero]
    row_y = [sin * flip[0], cos * flip[1], zero]
    return torch.stack([*row_x, *row_y, 0.8 + 0.4 * contrast, 0.3 * brightness - 0.15, 0.08 * noise], 1)


def change_patches(images: Tensor, masks: Tensor, changes: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Apply what `draw_changes` drew (B, 9) to images and masks (B, 1, P, P), with noise of that shape."""
    # geometry: the same for image and mask
    matrix = changes[:, :6].reshape(-1, 2, 3)  # (B, 2, 3)
    grid = affine_grid(matrix, list(images.shape), align_corners=False)  # (B, P, P, 2): x, y in [-1, 1]
    moved = partial(grid_sample, grid=grid, padding_mode="border", align_corners=False)
    if masks.dtype == torch.bool:
        both = moved(torch.cat([images, masks.float()], 1))  # (B, 2, P, P)
        images, masks = both[:, :1], both[:, 1:] > 0.5
    else:  # numbers of classes: that of the nearest pixel, for 2 is not between 1 and 3
        images, masks = moved(images), moved(masks.float(), mode="nearest").to(masks.dtype)

    # greys: of the image alone
    factor, offset, strength = changes[:, 6:].T[..., None, None, None]  # (B, 1, 1, 1) each
    return images * factor + offset + noise * strength, masks


def draw_seed(generator: torch.Generator) -> int:
    """A seed for the generator of another device."""
    return int(torch.randint(2**62, (1,), generator=generator))


def _grain(images: Tensor, generator: torch.Generator, part: tuple[int, int]) -> Tensor:
    """Standard normal noise (B, 1, P, P); a GPU draws it itself, from a seed that the CPU generator gives."""
    first, every = part
    if images.device.type == "cpu":
        shape = (len(images) * every, *images.shape[1:])
        return torch.randn(shape, generator=generator)[first::every]
    own = torch.Generator(images.device).manual_seed(draw_seed(generator) + first)
    return torch.randn(images.shape, generator=own, device=images.device)
