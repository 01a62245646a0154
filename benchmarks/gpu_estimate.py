"""What a step would take on a card that is not here, from what it computes and moves: an estimate.

A step is walked through operation by operation. None can be faster than its arithmetic at the card's peak,
nor than reading its inputs and writing its outputs at the card's bandwidth, so the sum of the larger of the
two is a time that no card beats without fusing operations. What the card at hand really takes, divided by
this sum for its own measured peaks, says how far above it one ends up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from report import Report
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

T4_FLOPS, T4_BANDWIDTH = 65e12, 320e9  # NVIDIA's data sheet: float16 with tensor cores, GDDR6
VIEWS = (
    "view",
    "reshape",
    "slice",
    "select",
    "expand",
    "transpose",
    "permute",
    "detach",
    "alias",
    "t.default",
)


@dataclass
class Counted:
    """Operations of a step: floating-point operations and bytes moved, one entry a kernel."""

    flops: list[float] = field(default_factory=list)
    bytes: list[float] = field(default_factory=list)

    def seconds(self, flops_a_second: float, bytes_a_second: float) -> float:
        """Sum over the operations of the larger of arithmetic and traffic."""
        both = zip(self.flops, self.bytes, strict=True)
        return sum(max(f / flops_a_second, b / bytes_a_second) for f, b in both)


class _Counter(TorchDispatchMode):
    """Notes every operation on tensors of one kind of device."""

    def __init__(self, counted: Counted, kind: str) -> None:
        super().__init__()
        self.counted, self.kind = counted, kind

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if not str(func).removeprefix("aten.").startswith(VIEWS):
            leaves = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
            tensors = {t.data_ptr(): t for t in leaves if t.device.type == self.kind}.values()
            if tensors:
                count = flop_registry.get(func._overloadpacket)
                self.counted.flops.append(float(count(*args, **kwargs, out_val=out)) if count else 0.0)
                self.counted.bytes.append(float(sum(t.numel() * t.element_size() for t in tensors)))
        return out


def counted_step(step: Callable[[], None], device: torch.device) -> Counted:
    """Do a step and note what it computes and moves on the device."""
    counted = Counted()
    with _Counter(counted, device.type):
        step()
    return counted


def t4_table(
    report: Report,
    counted: Counted,
    rows: list[list[float]],
    here: tuple[float, float],
    milliseconds: float,
) -> None:
    """The estimate for a T4.

    Args:
        report: Where the table goes.
        counted: A step of the last row's batch.
        rows: Patches, milliseconds plain, recorded, and CPU milliseconds of a recorded step, on two cores.
        here: Measured peaks of this card: operations and bytes a second.
        milliseconds: What the step that was counted takes on this card at best.
    """
    batch_size, plain, _, launching = rows[-1]
    floor_here = 1000 * counted.seconds(*here)
    floor = 1000 * counted.seconds(T4_FLOPS, T4_BANDWIDTH)
    factor = max(1.0, milliseconds / floor_here)
    head = ["", "ms"]
    table = report.table(
        "pinned",
        f"ESTIMATE for a T4 and two cores like these, {batch_size:g} patches a step; not measured",
        head,
        f"A step has {len(counted.flops)} operations on the device, {sum(counted.flops) / 1e9:.3g} billion "
        f"floating-point operations and {sum(counted.bytes) / 1e9:.3g} GB of traffic, counted operation by "
        "operation. T4: 65 TFLOP/s in float16 and 320 GB/s (NVIDIA's data sheet). Colab's cores may be "
        "slower.",
    )
    report.add(table, "this card, at its own measured peaks", floor_here)
    report.add(table, f"this card, measured ({factor:.2g} times as long)", milliseconds)
    report.add(table, "T4, at its peaks", floor)
    report.add(table, "T4's GPU, as far from its peaks as this card", floor * factor)
    for name, launch in (("plain", plain), ("recorded", launching)):
        report.add(table, f"two cores, to launch a {name} step", launch)
        report.add(table, f"T4, a {name} step: the longer of the two", max(launch, floor * factor))
        report.add(
            table, f"T4, a {name} step: times as long as its GPU needs", max(1.0, launch / (floor * factor))
        )
