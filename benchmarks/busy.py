"""What one and two busy neighbours cost a training step, a prediction and a data check.

    python benchmarks/busy.py                     # 3 runs, about 3 minutes, on a machine that is quiet
    python benchmarks/busy.py --runs 1 --seconds 2 --neighbour torch

It starts the neighbours itself: processes that count in Python, or that train a small network with as many
threads as PyTorch likes, as a second notebook does. "As before" keeps the number of threads, "watched" is
`engine.threads`. The numbers are milliseconds of one item, the median over the runs with the smallest and the
largest, and how many times the quiet "as before" that is.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor, nn

from unet_helpers.data import find_pairs, load_arrays
from unet_helpers.engine import threads
from unet_helpers.engine.stopping import read_losses
from unet_helpers.folders.check import check_folder
from unet_helpers.inference import predict_all
from unet_helpers.model import UNet
from unet_helpers.phantom.dataset import write_dataset
from unet_helpers.training import Run, TrainConfig, train_step
from unet_helpers.transforms import PatchSampler

CPU = torch.device("cpu")
NEIGHBOURS = {
    "python": "while True: pass",
    "torch": """
import torch
images, model = torch.zeros(4, 16, 96, 96), torch.nn.Conv2d(16, 16, 3)
while True:
    model(images).sum().backward()
""",
}
N_NEIGHBOURS = (0, 1, 2)
SETTLING_SECONDS = 2.0  # until a neighbour has imported what it needs


@dataclass
class Table:
    """Milliseconds of an item, by what is done, whether it is watched, and the number of neighbours."""

    runs: dict[tuple[str, str, int], list[float]] = field(default_factory=dict)

    def add(self, work: str, how: str, n_neighbours: int, milliseconds: float) -> None:
        """Note one run."""
        self.runs.setdefault((work, how, n_neighbours), []).append(milliseconds)

    def __str__(self) -> str:
        heads = (f"{n} busy" if n else "quiet" for n in N_NEIGHBOURS)
        lines = ["| ms an item | " + " | ".join(heads) + " |", "|---" * (len(N_NEIGHBOURS) + 1) + "|"]
        for work, how in dict.fromkeys((work, how) for work, how, _ in self.runs):
            first = "as before" if (work, "as before", 0) in self.runs else how
            quiet = statistics.median(self.runs[work, first, 0])
            cells = (self._cell(self.runs[work, how, n], quiet) for n in N_NEIGHBOURS)
            lines.append(f"| {work}, {how} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def _cell(self, runs: list[float], quiet: float) -> str:
        middle = statistics.median(runs)
        return f"{middle:.3g} ({min(runs):.3g} to {max(runs):.3g}), {middle / quiet:.2f}x"


class Over(Exception):
    """The time of a measurement is over."""


class Timed(nn.Module):
    """A network that counts the images it sees and ends the prediction after so many seconds."""

    def __init__(self, model: nn.Module, seconds: float) -> None:
        super().__init__()
        self.model, self.n_images, self.end = model, 0, time.perf_counter() + seconds

    def forward(self, images: Tensor) -> Tensor:
        if self.n_images and time.perf_counter() > self.end:
            raise Over
        self.n_images += len(images)
        logits: Tensor = self.model(images)
        return logits


def training(folder: Path, seconds: float) -> float:
    """Milliseconds of a default training step, in the loop that `fit` has around it."""
    config = TrainConfig()
    torch.manual_seed(config.seed)
    run = Run(config, UNet(), CPU)
    arrays = load_arrays(find_pairs(folder))
    sampler = PatchSampler(*arrays, config.patch_size, config.stone_fraction, config.lookalike_fraction)
    run.names = [""] * len(arrays[0])
    train_step(run, sampler)  # prepares what later steps use again
    start = time.perf_counter()
    with threads.Threads(CPU) as watcher:
        while time.perf_counter() - start < seconds:
            with watcher.step():
                train_step(run, sampler)
            read_losses(run)
    return 1000 * (time.perf_counter() - start) / (run.step - 1)


def prediction(folder: Path, seconds: float) -> float:
    """Milliseconds of an image in one long `predict_all`."""
    torch.manual_seed(0)
    model = Timed(UNet().to(memory_format=torch.channels_last), seconds)
    images = load_arrays(find_pairs(folder))[0]
    start = time.perf_counter()
    with suppress(Over):
        predict_all(model, images * 20)
    return 1000 * (time.perf_counter() - start) / model.n_images


def checking(folder: Path, seconds: float) -> float:
    """Milliseconds of a pair of files; PIL, NumPy and SciPy do it in a single thread."""
    start, n_pairs = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        n_pairs += check_folder(folder, progress=False)["n_pairs"]
    return 1000 * (time.perf_counter() - start) / n_pairs


@contextmanager
def neighbours(kind: str, n: int) -> Iterator[None]:
    """So many busy processes beside the block; they end with it."""
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    busy = [subprocess.Popen([sys.executable, "-c", NEIGHBOURS[kind]], env=environment) for _ in range(n)]
    try:
        time.sleep(SETTLING_SECONDS if n else 0)
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def measure(folder: Path, kind: str, n_runs: int, seconds: float) -> Table:
    """All cells; what is compared is measured one after the other, in every run."""
    watched: dict[str, Callable[[Path, float], float]] = {
        "training step": training,
        "predicted image": prediction,
    }
    table = Table()
    for n in N_NEIGHBOURS * n_runs:
        with neighbours(kind, n):
            for work, function in watched.items():
                with patch.object(threads, "work_together", lambda _: True):
                    table.add(work, "as before", n, function(folder, seconds))
                table.add(work, "watched", n, function(folder, seconds))
            table.add("checked pair", "one thread", n, checking(folder, seconds / 2))
    return table


def machine() -> str:
    """Processor, cores, threads and the release of PyTorch."""
    name = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).is_file():
        lines = dict(line.partition(":")[::2] for line in info.read_text().splitlines())
        name = lines.get("model name\t", name).strip()
    return f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3, help="of every cell (default 3)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of every measurement (default 4)")
    parser.add_argument("--neighbour", choices=NEIGHBOURS, default="python", help="what they do")
    args = parser.parse_args()
    if "OMP_NUM_THREADS" in os.environ or "MKL_NUM_THREADS" in os.environ or torch.get_num_threads() < 2:
        sys.exit("The threads must be free, and more than one: unset OMP_NUM_THREADS and MKL_NUM_THREADS.")
    print(f"{machine()}; n = {args.runs} runs of {args.seconds:g} s, neighbours: {args.neighbour}.\n")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "phantom"
        write_dataset(folder, 8)
        print(measure(folder, args.neighbour, args.runs, args.seconds))


if __name__ == "__main__":
    main()
