"""Probabilities of whole images of any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import nn

from unet_helpers.data import MAX_SIZE
from unet_helpers.engine.checks import check_predicted
from unet_helpers.engine.devices import fast_precision
from unet_helpers.engine.progress import progress_bar
from unet_helpers.transforms import normalise, resize_image, shrink_size

__all__ = [
    "MAX_SIZE",
    "MIRRORINGS",
    "predict",
    "predict_all",
]

MIRRORINGS = ((), (-1,), (-2,), (-2, -1))  # axes: as it is, left-right, upside down, both


def predict_all(
    model: nn.Module,
    images: Sequence[np.ndarray],
    batch_size: int = 8,
    max_size: int | None = None,
    progress: bool = False,
    n_views: int = 1,
    factors: Sequence[tuple[float, float] | None] | None = None,
) -> list[np.ndarray]:
    """Probability of stone for every pixel of every image.

    Images of the same size share a batch. One with a side above `MAX_SIZE` goes through the network in
    overlapping tiles, see `engine.tiling`: it may be larger than what the memory holds of its features.

    Args:
        model: Network from (B, 1, H, W) to logits (B, 1, H, W), for example `UNet`.
        images: Uint8 arrays (H, W), sizes may differ.
        batch_size: Images a forward pass; of tiles as many as have the pixels of so many 512 x 512 images.
        max_size: Longest side the network sees, in pixels: a larger image is shrunk for it, and its
            probabilities are enlarged again. None shows it every image at its own size.
        progress: Whether to show a bar.
        n_views: Test-time augmentation: 2 also predicts each image mirrored left to right, 4 in all four
            mirrorings; the probabilities are turned back and averaged. It takes as many times as long. A
            threshold chosen without it may not be the best one with it.
        factors: For each image factors of height and width that go before `max_size`.

    Returns:
        Float32 arrays (H, W) in [0, 1], in the order of `images`.

    Raises:
        ValueError: If an image is not a uint8 array (H, W), or `n_views` is not 1, 2 or 4.
    """
    from unet_helpers.engine.threads import Threads
    from unet_helpers.engine.tiling import in_tiles, same_size_batches, tile_batches

    check_predicted(images, n_views)
    seen = [
        shrink_size(image.shape, max_size, factors[i] if factors else None) for i, image in enumerate(images)
    ]
    batches = same_size_batches(images, seen, batch_size)
    steps = [len(tile_batches(size, batch_size)) if max(size) > MAX_SIZE else 1 for size, _ in batches]
    probabilities: list[np.ndarray] = [np.empty(0)] * len(images)
    device, bar = next(model.parameters()).device, partial(progress_bar, desc="predicting", unit="batch")
    with (
        _evaluating(model),
        Threads(device, many=sum(steps) > 1) as threads,
        bar(total=sum(steps), disable=not progress) as shown,
    ):

        def forward(batch: np.ndarray) -> np.ndarray:  # uint8 (B, H, W) -> float32 (B, H, W)
            with threads.step(batch.size):
                found = _probabilities(model, batch, MIRRORINGS[:n_views])
            shown.update()
            return found

        for size, indices in batches:
            whole = [images[i] for i in indices]
            resized = [image if image.shape == size else resize_image(image, size) for image in whole]
            large = max(size) > MAX_SIZE  # then it is alone
            found = [in_tiles(forward, resized[0], batch_size)] if large else forward(np.stack(resized))
            for i, image, probability in zip(indices, whole, found, strict=True):
                same = image.shape == size
                probabilities[i] = probability if same else resize_image(probability, image.shape)
    return probabilities


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _probabilities(model: nn.Module, batch: np.ndarray, views: Sequence[tuple[int, ...]]) -> np.ndarray:
    """Uint8 (B, H, W) -> float32 (B, H, W); where the memory is short in halves, quarters, ..."""
    try:
        return _forward(model, batch, views)
    except RuntimeError as error:
        from unet_helpers.engine.rescue import is_out_of_memory

        if len(batch) == 1 or not is_out_of_memory(error):
            raise
    # here and not in the handler: the error holds on to the memory of the failed attempt
    halves = np.array_split(batch, 2)
    return np.concatenate([_probabilities(model, half, views) for half in halves])


@torch.inference_mode()
def _forward(model: nn.Module, batch: np.ndarray, views: Sequence[tuple[int, ...]]) -> np.ndarray:
    device = next(model.parameters()).device
    images = normalise(torch.from_numpy(batch).to(device))[:, None]  # (B, 1, H, W)
    total = torch.zeros(batch.shape, device=device)
    for axes in views:
        with fast_precision(device):
            logits = model(images.flip(axes).contiguous(memory_format=torch.channels_last))
        total += logits.float().sigmoid().flip(axes)[:, 0]
    return (total / len(views)).cpu().numpy()


def predict(model: nn.Module, image: np.ndarray, max_size: int | None = None) -> np.ndarray:
    """Probability of stone for every pixel of one image; see `predict_all`.

    Args:
        model: Network from (1, 1, H, W) to logits of the same size.
        image: Uint8 array (H, W) of any size.
        max_size: Longest side the network sees, in pixels; None for any.

    Returns:
        Float32 array (H, W) in [0, 1].
    """
    return predict_all(model, [image], max_size=max_size)[0]
