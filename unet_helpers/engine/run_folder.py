"""The folder of a training run: what lies there after a stop at any moment, and who may write into it.

| file | there |
|---|---|
| `last.pt` | from before the first step on: the whole state, every epoch and at least every minute |
| `best.pt` | from the first validation on: the weights at the highest running average of its Dice |
| `history.json`, `snapshots.png` | from the first validation on |
| `run.lock` | always; empty, and locked by the operating system while a training runs |

A run that is stopped while its images are still read leaves no `last.pt`.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from unet_helpers.checkpoint import load_state
from unet_helpers.data import MAX_SIZE
from unet_helpers.engine.calm import CalmError
from unet_helpers.engine.files import check_writable
from unet_helpers.engine.progress import say
from unet_helpers.engine.settings import continued
from unet_helpers.engine.several_gpus import rank_and_world_size
from unet_helpers.folders.mask_rules import Classes
from unet_helpers.training import TrainConfig, default_config

__all__ = [
    "RunStatus",
    "holds_run",
    "how_far",
    "load_run",
    "own_folder",
    "run_status",
    "saved_config",
    "slower_here",
]

_HELD = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK)


@dataclass(frozen=True)
class RunStatus:
    """How far a run has come; as text "absent", "unfinished at step 220 of 5500" or "finished at step 5500".

    Attributes:
        config: The settings of the run; None if there is no run.
        model_settings: Those of its network.
        step: Steps that are done.
        progress: Share of the run that is done, 0 to 1.
        has_best: Whether it was validated, so that `best.pt` holds its best weights so far.
        classes: Name and mask value of each of its classes; empty for one class.
    """

    config: TrainConfig | None = None
    model_settings: dict[str, Any] | None = None
    step: int = 0
    progress: float = 0.0
    has_best: bool = False
    classes: Classes = ()

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end, with best.pt to show for it."""
        return self.config is not None and self.progress >= 1

    @property
    def whole(self) -> bool:
        """Whether it is the lessons' own training, of a CPU or a GPU, and finished."""
        return self.finished and any(
            continued(self.config, lessons) == lessons and self.config.length >= lessons.length
            for lessons in _lessons_configs()
            if self.config is not None and self.config.length[0] == lessons.length[0]
        )

    @property
    def complete(self) -> bool:
        """Whether it is finished, and no rehearsal that lessons still go on with, see `lesson_config`."""
        return self.finished and self.lesson_config(torch.device("cpu")) == self.config

    def lesson_config(self, device: torch.device) -> TrainConfig:
        """Settings with which the lessons begin this run, or go on with it: its own, at their whole length.

        So a run that `$UNET_STEPS` has kept short, for a rehearsal, is trained to its end by the next lesson.

        Args:
            device: Where a new run computes.
        """
        if self.config is None:
            return default_config(device)
        for lessons in _lessons_configs():
            (kind, own), (wanted, whole) = self.config.length, lessons.length
            if continued(self.config, lessons) == lessons and kind == wanted and own < whole:
                return lessons
        return self.config

    def __str__(self) -> str:
        return how_far(self.config, self.step, self.progress) if self.config else "absent"


def _lessons_configs() -> list[TrainConfig]:
    return [default_config(torch.device(kind)) for kind in ("cpu", "cuda")]


def how_far(config: TrainConfig, step: int, progress: float) -> str:
    """The state of a run in words: "unfinished at step 220, 4 % of 5 minutes"."""
    if progress >= 1:
        return f"finished at step {step}"
    name, length = config.length
    if name == "n_steps":
        return f"unfinished at step {step} of {length}"
    return f"unfinished at step {step}, {100 * progress:.0f} % of {length:g} {name.removeprefix('n_')}"


def slower_here(config: TrainConfig, device: torch.device) -> str:
    """A sentence for whoever goes on without a GPU with a run that the lessons began on one; else ""."""
    cpu, gpu = default_config(torch.device("cpu")), default_config(torch.device("cuda"))
    if device.type != "cpu" or continued(config, gpu) != gpu:
        return ""
    return (
        f"It was begun on a GPU, with {config.batch_size} patches a step where a CPU takes {cpu.batch_size}, "
        "so a step takes longer here. Stop it whenever you like: on a GPU it goes on, too."
    )


def run_status(run_dir: str | os.PathLike[str]) -> RunStatus:
    """What `training.run_status` answers, with its errors."""
    run_dir = Path(run_dir)
    if not (run_dir / "last.pt").is_file():
        return RunStatus()
    state = load_run(run_dir)
    config = saved_config(state, run_dir)
    progress = config.progress(state["step"], state["seconds"], state["steps_per_epoch"])
    has_best = state["best"] >= 0 and (run_dir / "best.pt").is_file()
    classes = tuple(state.get("classes", ()))
    return RunStatus(config, state["model_settings"], state["step"], min(1.0, progress), has_best, classes)


def holds_run(run_dir: Path) -> bool:
    """Whether there is a run to go on with; ValueError if there are weights that a new run would delete."""
    if (run_dir / "last.pt").is_file():
        return True
    if (run_dir / "best.pt").is_file():
        raise ValueError(
            f"{run_dir} must hold a whole run or none, got best.pt without last.pt. Give "
            "another run folder, or start again with resume=False, which deletes best.pt."
        )
    return False


def load_run(run_dir: Path, device: torch.device | None = None) -> dict[str, Any]:
    """State of the run in a folder.

    Raises:
        ValueError: As `load_state`, with what can be done.
    """
    try:
        return load_state(run_dir / "last.pt", device)
    except ValueError as error:
        raise ValueError(
            f"{error} Restore it from a copy, give another run folder, or start again with "
            f"resume=False.{_whole_best(run_dir)}"
        ) from error


def _whole_best(run_dir: Path) -> str:
    try:
        best = load_state(run_dir / "best.pt")
        return (
            f" best.pt (step {best['step']}, validation Dice {best['val_dice']:.3f}) is whole and can be "
            "used; copy it before you start again."
        )
    except (OSError, ValueError, KeyError):
        return ""


def saved_config(state: dict[str, Any], run_dir: Path) -> TrainConfig:
    """The settings of a saved run; ValueError if this version does not know one of them."""
    try:
        # what versions did that knew no scale
        return TrainConfig(**{"max_size": MAX_SIZE, **state["config"]})
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{run_dir} must hold a run with settings of this version, got: {error}. Give "
            "another run folder, or start again with resume=False."
        ) from error


@contextmanager
def own_folder(run_dir: Path, config: TrainConfig | None, resume: bool) -> Iterator[None]:
    """The lock of the folder, in process 0; a finished run is only read, and may lie on a read-only disk."""
    if rank_and_world_size()[0]:
        yield
        return
    status = run_status(run_dir) if resume else RunStatus()
    other_length = config is not None and status.config is not None and config.length != status.config.length
    if status.finished and not other_length:
        yield
        return
    with _run_lock(run_dir):
        yield


@contextmanager
def _run_lock(run_dir: Path) -> Iterator[None]:
    """Let no other process train in a folder as long as the block runs.

    The operating system holds the lock and lets it go when the process ends, however it ends; the empty file
    that stays behind means nothing. Where a file system cannot lock, a note says so and the block runs.

    Raises:
        CalmError: If another process trains there.
        OSError: If the folder cannot be made or written.
    """
    check_writable(run_dir / "last.pt")
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / "run.lock").open("a") as file:
        try:
            _lock(file)
        except OSError as error:
            if error.errno in _HELD:
                raise CalmError(
                    f"{run_dir} must be trained in by one process at a time, got a second one. "
                    "Wait for the first, stop it, or give another run folder."
                ) from None
            say(
                f"{run_dir} lies on a file system that cannot lock ({error.strerror}): take care to start no "
                "second training there."
            )
        yield


def _lock(file: IO[str]) -> None:
    """Lock a file without waiting; OSError if another process has it. Closing the file unlocks it."""
    # not filelock: where the system cannot lock, some of its releases take the file itself for the lock, and
    # the one that a killed training leaves would block its folder; others fail
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
