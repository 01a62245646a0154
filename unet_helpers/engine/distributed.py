"""Several processes that train one network: `torchrun --nproc-per-node=2 -m unet_helpers train ...`.

Every process holds the network and a share of each batch. Logits are gathered before the loss, BatchNorm
takes its statistics over all shares, and the gradients are added up: the step is that of one process on the
whole batch, whatever the loss. A network of this size sends its gradients in one message, so there is nothing
that PyTorch's DistributedDataParallel could overlap; it would also average where a batch Dice needs the sum.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor, nn
from torch import distributed as dist

__all__ = [
    "agree",
    "gather",
    "main_first",
    "own_device",
    "part",
    "process_group",
    "same_start",
    "sum_gradients",
    "synchronise_batch_norm",
]


LONGEST_WAIT = timedelta(days=1)  # for process 0, which still chooses the threshold


def part() -> tuple[int, int]:
    """Number of this process, from 0, and how many there are; (0, 1) for an ordinary program."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def own_device(name: str | None) -> str | None:
    """Name of the device for this process: with `torchrun`, process k of a machine takes its GPU number k.

    Args:
        name: What the user asked for; None for the fastest.

    Returns:
        `name` itself, unless there are several processes and GPUs to share out.

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


def _started_by_torchrun() -> bool:
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


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
    store, number, n_processes = next(iter(dist.rendezvous("env://")))
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=number, world_size=n_processes)
    try:
        yield
        store.set(f"unet_helpers/leaves/{number}", "")
        store.wait([f"unet_helpers/leaves/{k}" for k in range(n_processes)], LONGEST_WAIT)
    finally:
        dist.destroy_process_group()


@contextmanager
def main_first() -> Iterator[None]:
    """Let process 0 run the block before the others: it writes a file that they then find."""
    number, n_processes = part()
    if number:
        agree(0.0, 0)
    yield
    if n_processes > 1 and not number:
        agree(0.0, 0)


def agree(value: float, stop: int) -> tuple[float, int]:
    """Let all processes see the same value and the same wish to stop, and wait for each other; no GPU has to.

    Args:
        value: A number from 0 up, such as a clock; that of process 0 counts.
        stop: 0 to go on, or the number of the signal that this process received.

    Returns:
        The value, and the largest of the wishes.
    """
    number, n_processes = part()
    if n_processes == 1:
        return value, stop
    message = torch.tensor([0.0 if number else value, float(stop)], dtype=torch.float64)
    dist.all_reduce(message, dist.ReduceOp.MAX)
    return message[0].item(), int(message[1])


def same_start(model: nn.Module) -> None:
    """Give every process the weights and statistics of process 0."""
    if part()[1] > 1:
        for values in model.state_dict().values():
            dist.broadcast(values, 0)


def gather(values: Tensor) -> Tensor:
    """The whole batch from the shares of all processes, in its own order.

    Args:
        values: Share (B / n, ...) of this process, every n-th of the batch.

    Returns:
        Tensor (B, ...); gradients flow into the own share only. In a single process `values` itself.
    """
    number, n_processes = part()
    if n_processes == 1:
        return values
    sent = values.detach().contiguous()
    shares = [torch.empty_like(sent) for _ in range(n_processes)]
    dist.all_gather(shares, sent)
    shares[number] = values
    return torch.stack(shares, 1).flatten(0, 1)


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Add up the gradients of all processes, in place."""
    if part()[1] == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    message = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(message)
    for gradient, total in zip(gradients, message.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(total.view(gradient.shape))


# ------------------------------------------------------------------------------ BatchNorm over all shares
def synchronise_batch_norm(model: nn.Module) -> None:
    """Let every BatchNorm take its statistics over the shares of all processes; names and weights stay.

    On CUDA this is PyTorch's SyncBatchNorm, which knows no gloo; on the CPU it is a plain one of our own.
    """
    if part()[1] == 1:
        return
    on_gpu = next(model.parameters()).is_cuda
    for name, module in list(model.named_modules()):
        if type(module) is nn.BatchNorm2d:
            holder = model.get_submodule(name.rpartition(".")[0])
            new = nn.SyncBatchNorm.convert_sync_batchnorm(module) if on_gpu else _shared(module)
            setattr(holder, name.rpartition(".")[2], new)


def _shared(module: nn.BatchNorm2d) -> _SharedBatchNorm:
    new = _SharedBatchNorm(module.num_features, module.eps, module.momentum)
    new.__dict__.update(module.__dict__)  # the same parameters and buffers, which the caller may hold too
    return new


class _SharedBatchNorm(nn.BatchNorm2d):
    """BatchNorm2d whose mean and variance run over all processes; each must hold equally many pixels."""

    def forward(self, features: Tensor) -> Tensor:
        """Features (B / n, C, H, W) -> the same shape and type."""
        if not self.training:
            return super().forward(features)
        values, n_processes = features.float(), part()[1]
        n_values = n_processes * values[:, 0].numel()
        mean = _Sum.apply(values.sum((0, 2, 3))) / n_values
        centred = values - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / n_values
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n_values / (n_values - 1), self.momentum)
        factor = self.weight * (variance + self.eps).rsqrt()
        return (centred * factor[:, None, None] + self.bias[:, None, None]).to(features.dtype)


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx, values: Tensor) -> Tensor:
        total = values.detach().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total
