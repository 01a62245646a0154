"""Several GPUs, a process each: `torchrun --nproc-per-node=2 -m unet_helpers train ...`.

Torch's DistributedDataParallel averages the gradients of the processes, SyncBatchNorm takes mean and variance
over all shares of the batch. One thing is left to do: the mean of the gradients is right for a loss that is a
mean over images, but the Dice loss sums over the whole batch. So the logits of all processes are gathered
before the loss, and each process carries back the gradient of its own share, times the number of processes:
the mean is then the sum, and the step that of one process on the whole batch, whatever the loss.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from unet_helpers.transforms import augment

if TYPE_CHECKING:
    from unet_helpers.training import Run

__all__ = ["agree", "main_first", "own_device", "process_group", "rank_and_world_size", "share"]

LONGEST_WAIT = timedelta(days=1)  # for process 0, which validates and chooses the threshold


def rank_and_world_size() -> tuple[int, int]:
    """Number of this process, from 0, and how many there are; (0, 1) for an ordinary program."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _started_by_torchrun() -> bool:
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def own_device(name: str | None) -> str | None:
    """Name of the device for this process: with `torchrun`, process k of a machine takes its GPU number k.

    Args:
        name: What the user asked for; None for the fastest.

    Raises:
        ValueError: If the machine has fewer GPUs than processes.
    """
    if not _started_by_torchrun() or name not in (None, "cuda") or not torch.cuda.is_available():
        return name
    number, n_gpus = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if number >= n_gpus:
        raise ValueError(
            f"--nproc-per-node must be at most the number of GPUs, {n_gpus}, got more. Or "
            "compute on the CPU with --device cpu."
        )
    return f"cuda:{number}"


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the other processes when `torchrun` started this one; without it nothing happens.

    CPU tensors travel by gloo, CUDA tensors by NCCL. At the end the processes wait for each other: gloo fails
    in a process that is still reading its last answer while another one closes the connection.
    """
    if not _started_by_torchrun():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    store, rank, world_size = next(iter(rendezvous("env://")))
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=LONGEST_WAIT)
    try:
        yield
        store.set(f"unet_helpers/leaves/{rank}", "")
        store.wait([f"unet_helpers/leaves/{k}" for k in range(world_size)], LONGEST_WAIT)
    finally:
        dist.destroy_process_group()


@contextmanager
def main_first() -> Iterator[None]:
    """Let process 0 run the block before the others: it writes a file that they then find."""
    rank, _ = rank_and_world_size()
    if rank:
        agree()
    yield
    if not rank:
        agree()


def agree(value: float = 0.0, stop: int = 0) -> tuple[float, int]:
    """Let all processes see the same value and the same wish to stop, and wait for each other; no GPU has to.

    Args:
        value: A number from 0 up, such as a clock; that of process 0 counts.
        stop: 0 to go on, or the number of the signal that this process received.

    Returns:
        The value, and the largest of the wishes.
    """
    rank, world_size = rank_and_world_size()
    if world_size == 1:
        return value, stop
    message = torch.tensor([0.0 if rank else value, float(stop)], dtype=torch.float64)
    dist.all_reduce(message, dist.ReduceOp.MAX)
    return message[0].item(), int(message[1])


def share(run: Run) -> None:
    """Make a run, which all processes have opened, one run of them all.

    On the CPU, where it is of use to tests only, each process keeps the BatchNorm of its own share: torch's
    SyncBatchNorm is for GPUs.
    """
    if run.device.type == "cuda":
        # the same weights by the same names
        run.model = nn.SyncBatchNorm.convert_sync_batchnorm(run.model)  # type: ignore[no-untyped-call]
    run.network = run.plain_network = DistributedDataParallel(run.model, broadcast_buffers=False)
    run.loss = partial(_whole_batch_loss, run.loss)
    if run.augment is augment:  # each patch gets the changes that it would get in the whole batch
        run.augment = partial(augment, part=rank_and_world_size())


def _whole_batch_loss(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, masks: Tensor) -> Tensor:
    """Loss of the whole batch from the shares (B / n, C, P, P); its gradient is n times that of the share."""
    value = loss(_gather(logits), _gather(masks.to(torch.uint8)).bool())
    return value + (rank_and_world_size()[1] - 1) * (value - value.detach())  # of the same value


def _gather(values: Tensor) -> Tensor:
    """The batch (B, ...) in its order from shares (B / n, ...) of every n-th; gradients reach the own one."""
    rank, world_size = rank_and_world_size()
    sent = values.detach().contiguous()
    shares = [torch.empty_like(sent) for _ in range(world_size)]
    dist.all_gather(shares, sent)
    shares[rank] = values
    return torch.stack(shares, 1).flatten(0, 1)
