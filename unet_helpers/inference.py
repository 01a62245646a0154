"""Probabilities of whole images of any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from unet_helpers.data import MAX_SIZE
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
    max_size: int = MAX_SIZE,
    progress: bool = False,
    n_views: int = 1,
) -> list[np.ndarray]:
    """Probability of stone for every pixel of every image.

    Images of the same size share a batch. An image with a longer side above `max_size` is shrunk for the
    network, and its probabilities are enlarged again.

    Args:
        model: Network from (B, 1, H, W) to logits (B, 1, H, W), for example `UNet`.
        images: Uint8 arrays (H, W), sizes may differ.
        batch_size: Images a forward pass.
        max_size: Longest side the network sees, in pixels.
        progress: Whether to show a bar.
        n_views: Test-time augmentation: 2 also predicts each image mirrored left to right, 4 in all four
            mirrorings; the probabilities are turned back and averaged. It takes as many times as long. A
            threshold chosen without it may not be the best one with it.

    Returns:
        Float32 arrays (H, W) in [0, 1], in the order of `images`.

    Raises:
        ValueError: If an image is not a uint8 array (H, W), or `n_views` is not 1, 2 or 4.
    """
    from unet_helpers.engine.threads import Threads

    if n_views not in (1, 2, 4):
        raise ValueError(f"n_views must be 1, 2 or 4 mirrorings, got {n_views}.")
    for image in images:
        if image.ndim != 2 or image.dtype != np.uint8 or not image.size:
            raise ValueError(
                f"image must be a uint8 array (H, W), got {image.dtype} {image.shape}. Use data.load_image."
            )
    probabilities: list[np.ndarray] = [np.empty(0)] * len(images)
    batches = _same_size_batches(images, batch_size)
    device = next(model.parameters()).device
    with _evaluating(model), Threads(device, many=len(batches) > 1) as threads:
        for size, indices in progress_bar(batches, desc="predicting", unit="batch", disable=not progress):
            small = shrink_size(size, max_size)
            whole = [images[i] for i in indices]
            batch = np.stack(whole if small == size else [resize_image(image, small) for image in whole])
            with threads.step(batch.size):
                found = _probabilities(model, batch, MIRRORINGS[:n_views])  # float32 (B, H, W)
            for i, probability in zip(indices, found, strict=True):
                probabilities[i] = probability if small == size else resize_image(probability, size)
    return probabilities


def _same_size_batches(
    images: Sequence[np.ndarray], batch_size: int
) -> list[tuple[tuple[int, int], list[int]]]:
    by_size: dict[tuple[int, int], list[int]] = {}
    for i, image in enumerate(images):
        by_size.setdefault(image.shape, []).append(i)
    return [
        (size, indices[k : k + batch_size])
        for size, indices in by_size.items()
        for k in range(0, len(indices), batch_size)
    ]


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


def predict(model: nn.Module, image: np.ndarray, max_size: int = MAX_SIZE) -> np.ndarray:
    """Probability of stone for every pixel of one image; see `predict_all`.

    Args:
        model: Network from (1, 1, H, W) to logits of the same size.
        image: Uint8 array (H, W) of any size.
        max_size: Longest side the network sees, in pixels.

    Returns:
        Float32 array (H, W) in [0, 1].
    """
    return predict_all(model, [image], max_size=max_size)[0]
