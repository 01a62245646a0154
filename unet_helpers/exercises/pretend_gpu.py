"""A GPU for machines that have none: CPU tensors that refuse to meet, as if some of them lay elsewhere.

A loop that forgets to send its batch to the device runs on every CPU, and fails on the first GPU. Inside of
`PretendGPU` it fails on a CPU as well, with PyTorch's own words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["APART", "PretendGPU", "place_of", "put"]

APART = "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"
TO_NUMPY = (
    "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory "
    "first."
)


def place_of(tensor: Tensor) -> str | None:
    """Where a tensor is pretended to lie: "gpu", "cpu", or None if it does not matter."""
    return getattr(tensor, "_pretended_place", None)


def put(tensor: Tensor, place: str) -> Tensor:
    """Pretend that a tensor lies there; returns it."""
    tensor._pretended_place = place  # type: ignore[attr-defined]
    return tensor


class PretendGPU(TorchFunctionMode):
    """While it is entered, `.to(device)` sends a tensor to a pretended GPU, where the models' weights lie.

    Tensors that come from one marked "cpu" must be sent there before they meet the weights, and brought back
    by `.cpu()` before they become NumPy arrays.

    Args:
        models: Networks whose weights lie on the pretended GPU.
    """

    def __init__(self, *models: nn.Module) -> None:
        super().__init__()
        for model in models:
            for tensor in (*model.parameters(), *model.buffers()):
                put(tensor, "gpu")

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """What PyTorch calls in the place of each of its functions."""
        name, kwargs = getattr(function, "__name__", ""), kwargs or {}
        tensors = list(_tensors((args, kwargs)))
        places = {place_of(tensor) for tensor in tensors if tensor.ndim}
        if name == "cuda":
            raise RuntimeError("`.cuda()` needs a GPU wherever it runs; `.to(device)` works everywhere.")
        if name in ("numpy", "__array__") and "gpu" in {place_of(tensor) for tensor in tensors}:
            raise TypeError(TO_NUMPY)
        if {"gpu", "cpu"} <= places:
            raise RuntimeError(APART)
        result = function(*args, **kwargs)
        if name in ("to", "cpu") and isinstance(result, Tensor):
            moved = name == "cpu" or _names_a_device((args[1:], kwargs))
            home = ("cpu" if name == "cpu" else "gpu") if moved else place_of(args[0])
            result = result.view_as(result) if result is args[0] else result
            return put(result, home) if home else result
        known = [place for place in ("gpu", "cpu") if place in {place_of(tensor) for tensor in tensors}]
        for tensor in _tensors(result) if known else ():
            if tensor not in _Own(tensors):
                put(tensor, known[0])
        return result


class _Own:
    """Tensors compared by identity: `==` of tensors is one of their values."""

    def __init__(self, tensors: list[Tensor]) -> None:
        self.numbers = {id(tensor) for tensor in tensors}

    def __contains__(self, tensor: Tensor) -> bool:
        return id(tensor) in self.numbers


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _names_a_device(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return any(map(_names_a_device, value))
    if isinstance(value, dict):
        return any(map(_names_a_device, value.values()))
    return isinstance(value, torch.device | str)
