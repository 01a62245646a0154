"""Which device computes, and in which precision."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

import torch
from torch import nn

__all__ = ["choose_device", "fast_precision", "sixteen_bit_type"]


def choose_device(name: str | None = None) -> torch.device:
    """The fastest device that really works: CUDA, then Apple's MPS, then the CPU.

    Args:
        name: "cpu", "cuda", "cuda:1", "mps"; None to choose.

    Returns:
        A device on which a small convolution has just succeeded: some GPUs report themselves as available and
        then refuse to compute, because the installed PyTorch was not built for them.

    Raises:
        ValueError: If the named device does not work.
    """
    candidates = (
        [name] if name else ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
    )
    for candidate in candidates:
        try:
            device = torch.device(candidate)
            nn.Conv2d(1, 1, 3).to(device)(torch.zeros(1, 1, 8, 8, device=device)).sum().item()
            return device
        except (RuntimeError, AssertionError) as error:
            reason = str(error).strip().partition("\n")[0]
            if name:
                raise ValueError(
                    f"device must be one that works here, got {name!r}: {reason}. Try cpu."
                ) from error
            print(f"{candidate} is present but does not work ({reason}); going on without it.")
    return torch.device("cpu")


def fast_precision(device: torch.device) -> AbstractContextManager[None]:
    """Autocast to the 16-bit float type that the device computes fast; float32 where there is none."""
    dtype = sixteen_bit_type(device)
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)


def sixteen_bit_type(device: torch.device) -> torch.dtype | None:
    """bfloat16 on recent GPUs and on CPUs with bfloat16 instructions, float16 on older GPUs, else None.

    `UNET_PRECISION` in the environment (float16, bfloat16 or float32) decides instead, to try another type.
    """
    if wanted := os.environ.get("UNET_PRECISION"):
        if wanted not in ("float16", "bfloat16", "float32"):
            raise ValueError(
                f"UNET_PRECISION must be float16, bfloat16 or float32, got {wanted!r}. "
                "Unset it to leave the choice to the device."
            )
        return {"float16": torch.float16, "bfloat16": torch.bfloat16}.get(wanted)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    if device.type == "cpu":
        supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        return torch.bfloat16 if supported() else None
    return None
