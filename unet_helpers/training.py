"""The training loop: patches in, best checkpoint out, nothing lost on the way."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from unet_helpers.checkpoint import save_state
from unet_helpers.data import Pair, image_hashes, load_arrays, load_hashed
from unet_helpers.engine import distributed
from unet_helpers.engine.cache import CACHE_ABOVE_BYTES, decoded_bytes, open_cache
from unet_helpers.engine.compiling import compiled, is_compiler_error, wants_compiling
from unet_helpers.engine.config import TrainConfig, choose_device, default_config, learning_rate_factor
from unet_helpers.engine.files import remove_scratch, write_json
from unet_helpers.engine.progress import TrainingBar, say
from unet_helpers.engine.run_folder import RunStatus, remove_results, run_lock, run_status
from unet_helpers.engine.run_state import RunState, open_run
from unet_helpers.engine.snapshots import Snapshots
from unet_helpers.engine.steps import batch_gradient, halving
from unet_helpers.inference import predict_all
from unet_helpers.metrics import dice
from unet_helpers.transforms import PatchSampler, augment, normalise

__all__ = [
    "Interrupted",
    "RunStatus",
    "TrainConfig",
    "choose_device",
    "default_config",
    "fit",
    "load_arrays",
    "mean_positive_dice",
    "run_status",
]

History = list[dict[str, float]]
SAVE_EVERY_SECONDS = 60
VALIDATION_CHUNK = 256  # images whose probabilities are in memory at once


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM during `fit(..., raise_interrupt=True)`, after everything was saved.

    Attributes:
        step: Steps that are done.
        signal_number: 2 for Ctrl-C, 15 for SIGTERM.
    """

    def __init__(self, step: int, signal_number: int) -> None:
        super().__init__(
            f"stopped at step {step}; everything is saved" if step else "stopped before the first step"
        )
        self.step, self.signal_number = step, signal_number


def mean_positive_dice(
    probabilities: list[np.ndarray], masks: list[np.ndarray], threshold: float = 0.5
) -> float:
    """Mean Dice over the images that hold a stone; NaN if none does."""
    scores = _positive_dice(probabilities, masks, threshold)
    return float(np.mean(scores)) if scores else float("nan")


def _positive_dice(
    probabilities: Sequence[np.ndarray], masks: Sequence[np.ndarray], threshold: float = 0.5
) -> list[float]:
    return [dice(p >= threshold, m) for p, m in zip(probabilities, masks, strict=True) if m.any()]


@contextmanager
def _stop_on_signal() -> Iterator[Callable[[], int]]:
    """Turn Ctrl-C (the notebook's stop button) and SIGTERM into a question asked after every step."""
    received, before = [], {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, lambda number, _: received.append(number))
    except ValueError:  # not the main thread: leave the signals as they are
        yield lambda: 0
        return
    try:
        yield lambda: int(received[0]) if received else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _reads_late(device: torch.device) -> bool:
    """Whether reading a loss makes a device wait that could compute on; a CPU has nothing to wait for."""
    return device.type != "cpu"


def _gradient(run: RunState, images: Tensor, masks: Tensor) -> Tensor:
    """Gradient of the batch, in parts when memory is short, without the compiler when it fails."""

    def attempt(part_size: int) -> Tensor:
        return batch_gradient(run.network, run.model, images, masks, run.scaler, part_size)

    try:
        # several processes must all do the same, so none of them starts to split its share alone
        loss, fitted = (
            halving(attempt, run.part_size)
            if distributed.part()[1] == 1
            else (attempt(run.part_size), run.part_size)
        )
    except Exception as error:
        if run.network is run.model or not is_compiler_error(error):
            raise
        reason = str(error).strip().partition("\n")[0]
        say(f"torch.compile does not work here ({reason}); going on without it.")
        run.network, run.may_compile = run.model, False
        return _gradient(run, images, masks)
    if fitted < run.part_size:
        say(
            f"Out of memory with {run.part_size} patches at once: going on with {fitted} at once, and the "
            f"gradient of all {len(images)}. A step takes longer, and BatchNorm averages over parts."
        )
        run.part_size = fitted
    return loss


def _train_step(run: RunState, sampler: PatchSampler, names: Callable[[list[int]], str]) -> None:
    """One optimiser step on one batch of patches; its loss goes into the ledger."""
    config, part = run.config, distributed.part()
    rate = config.learning_rate * learning_rate_factor(run.progress, config.warm_up)
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    images, masks, which = sampler.sample(config.batch_size, run.generator, part)
    images, masks = augment(normalise(images), masks, run.generator, part)
    loss = _gradient(run, images, masks)
    run.scaler.unscale_(run.optimiser)
    norm = nn.utils.clip_grad_norm_(run.model.parameters(), config.max_gradient_norm)
    run.ledger.note(run.step, rate, which, loss, norm)
    if not _reads_late(run.device):
        run.read_losses(names)
    run.scaler.step(run.optimiser)
    run.scaler.update()


def _validate(
    run: RunState,
    train_loss: float,
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    run_dir: Path,
) -> None:
    """Score the weights, extend the history, save best.pt if they are the best so far."""
    scores = []
    for first in range(0, len(images), VALIDATION_CHUNK):
        chunk = range(first, min(first + VALIDATION_CHUNK, len(images)))
        some = [images[i] for i in chunk]
        probabilities, run.predict_size = halving(
            lambda size, some=some: predict_all(run.model, some, size), run.predict_size
        )
        scores += _positive_dice(probabilities, [masks[i] for i in chunk])
        run.snapshots.take(run.step, first, probabilities)
    run.history.append(
        {
            "step": run.step,
            "seconds": round(run.seconds, 1),
            "train_loss": train_loss,
            "val_dice": float(np.mean(scores)),
            "learning_rate": run.optimiser.param_groups[0]["lr"],
        }
    )
    if run.history[-1]["val_dice"] > run.best:
        run.best = run.history[-1]["val_dice"]
        save_state(run_dir / "best.pt", run.state())
    write_json(run_dir / "history.json", run.history)
    run.snapshots.write(run_dir / "snapshots.png")


def fit(
    train_pairs: list[Pair],
    val_pairs: list[Pair],
    run_dir: str | os.PathLike[str],
    config: TrainConfig | None = None,
    model: nn.Module | None = None,
    device: torch.device | None = None,
    resume: bool = True,
    progress: bool = True,
    on_epoch: Callable[[History], None] | None = None,
    raise_interrupt: bool = False,
) -> History:
    """Train a U-Net on patches, validate it on whole images, and keep the best weights.

    Writes `last.pt` (before the first step, every epoch and at least every minute) and, from the first
    validation on, `best.pt` (best validation Dice), `history.json` and `snapshots.png` into `run_dir`; see
    `run_folder`, and ask `run_status`. Ctrl-C, the stop button of a notebook or SIGTERM ends the training
    after the current step with everything saved; the same call continues it. A finished run is returned as it
    is. Inside `distributed.process_group` each process computes a share of every batch, and process 0 writes.

    A run keeps its own settings, on whatever device it goes on. Only its length can be raised, even when it
    is finished: the learning rate is from then on that of a run of the new length at this step, so it rises
    again after the end of a cosine, and the result is not that of a run as long from the beginning.

    Args:
        train_pairs: Pairs to learn from.
        val_pairs: Pairs to choose the best weights on; at least one holds a stone.
        run_dir: Folder of this run.
        config: Settings; if None those of the run in `run_dir`, or `default_config(device)` for a new run.
        model: Network to train, changed in place; if None the one of the run, or a `UNet` with seeded random
            weights for a new run.
        device: Where to compute; `choose_device()` if None.
        resume: Whether to continue the run found in `run_dir`; otherwise its files are deleted as soon as the
            images are read, and it is started again.
        progress: Whether to show a bar.
        on_epoch: Called with the history after every epoch, in process 0.
        raise_interrupt: Whether a stopped training ends in `Interrupted` instead of returning.

    Returns:
        One dict an epoch: step, seconds, train_loss, val_dice, learning_rate; complete in process 0 only, and
        empty if the training was stopped before its first validation.

    Raises:
        ValueError: If the pairs of training and validation share a group, a file is broken, no validation
            image holds a stone, the batch cannot be shared evenly by the processes, `run_dir` holds a run
            with other settings or on other images, or another process trains there.
        OSError: If `run_dir` cannot be written; found before the first step.
        FloatingPointError: If the loss is not finite.
        Interrupted: If `raise_interrupt` and the training was stopped.
    """
    run_dir, device = Path(run_dir), device or choose_device()
    split = {"train": sorted({p.group for p in train_pairs}), "val": sorted({p.group for p in val_pairs})}
    _check_groups(split)
    with _own_folder(run_dir, config, resume):
        run = open_run(run_dir, config, model, device, split, resume)
        try:
            data = _read_data(run, train_pairs, val_pairs, run_dir, progress)
        except KeyboardInterrupt:  # later on a signal waits for the end of the step
            stopped = int(signal.SIGINT)
        else:
            stopped = _loop(run, *data, train_pairs, run_dir, progress, on_epoch) if run.progress < 1 else 0
    if stopped and raise_interrupt:
        raise Interrupted(run.step, stopped)
    if stopped and _is_main():
        say(f"{str(Interrupted(run.step, stopped)).capitalize()}. Run the same call again to continue.")
    return run.history


def _own_folder(run_dir: Path, config: TrainConfig | None, resume: bool) -> AbstractContextManager[None]:
    """The lock of the folder, in process 0; a finished run is only read, and may lie on a read-only disk."""
    if not _is_main():
        return nullcontext()
    status = run_status(run_dir) if resume else RunStatus()
    other_length = config is not None and status.config is not None and config.length != status.config.length
    return nullcontext() if status.finished and not other_length else run_lock(run_dir)


def _check_groups(split: dict[str, list[str]]) -> None:
    if shared := set(split["train"]) & set(split["val"]):
        raise ValueError(
            f"train_pairs and val_pairs must share no group, got {sorted(shared)[:3]} in both. "
            "Use split_by_group."
        )


def _read_data(
    run: RunState, train_pairs: list[Pair], val_pairs: list[Pair], run_dir: Path, progress: bool
) -> tuple[PatchSampler | None, tuple[Sequence[np.ndarray], Sequence[np.ndarray]]]:
    """The sampler of training patches, and the validation images and masks, which process 0 has.

    Of a finished run, which needs neither, only the images are compared with those it was trained on.
    """
    if run.progress >= 1:
        hashes = (image_hashes(pairs, progress) if _is_main() else [] for pairs in (train_pairs, val_pairs))
        run.take_images(*hashes, run_dir)
        return None, ((), ())
    distributed.same_start(run.model)
    sampler, train_hashes = _sampler(train_pairs, run.config, run.device)
    images, masks, val_hashes = _whole_images(val_pairs) if _is_main() else ([], [], [])
    run.take_images(train_hashes, val_hashes, run_dir)
    if _is_main():
        if not any(mask.any() for mask in masks):
            raise ValueError(
                f"val_pairs must hold at least one stone, got {len(val_pairs)} images without. "
                "Try another split seed."
            )
        run.snapshots = Snapshots(images, masks)
        run.snapshots.moments = run.moments
    return sampler, (images, masks)


def _sampler(pairs: list[Pair], config: TrainConfig, device: torch.device) -> tuple[PatchSampler, list[str]]:
    """Patches from memory, or from a cache on disk when the data set is large; and the images' hashes."""
    options = (config.patch_size, config.stone_fraction, config.lookalike_fraction, device)
    if decoded_bytes(pairs) <= CACHE_ABOVE_BYTES:
        images, masks, hashes = load_hashed(pairs)
        return PatchSampler(images, masks, *options), hashes
    with distributed.main_first():
        cache = open_cache(pairs, min_side=config.patch_size, progress=_is_main())
    return cache.sampler(*options), cache.hashes


def _whole_images(pairs: list[Pair]) -> tuple[Sequence[np.ndarray], Sequence[np.ndarray], list[str]]:
    if decoded_bytes(pairs) <= CACHE_ABOVE_BYTES:
        return load_hashed(pairs)
    cache = open_cache(pairs)
    return cache.images, cache.masks, cache.hashes


def _is_main() -> bool:
    return distributed.part()[0] == 0


def _begin(run: RunState, run_dir: Path) -> None:
    """Tidy the folder up, and leave a `last.pt` there, so that a stop at any moment leaves a run."""
    remove_scratch(run_dir)
    if run.history:
        write_json(run_dir / "history.json", run.history)
    else:
        save_state(run_dir / "last.pt", run.state())
        remove_results(run_dir)


def _loop(
    run: RunState,
    sampler: PatchSampler,
    val: tuple[Sequence[np.ndarray], Sequence[np.ndarray]],
    train_pairs: list[Pair],
    run_dir: Path,
    progress: bool,
    on_epoch: Callable[[History], None] | None,
) -> int:
    """Train to the end or until a signal comes; returns its number, or 0."""

    def names(indices: list[int]) -> str:
        return ", ".join(sorted({train_pairs[i].image_path.name for i in indices}))

    run.steps_per_epoch = run.config.steps_per_epoch or max(
        1, sampler.patches_per_epoch // run.config.batch_size
    )
    run.model.train()
    started = time.perf_counter() - run.seconds
    saved_at, save, stop = time.perf_counter(), True, 0
    bar = TrainingBar(run.progress, run.config.batch_size, shown=progress and _is_main())
    with _stop_on_signal() as received, bar:
        if _is_main():
            _begin(run, run_dir)
        while run.progress < 1 and not stop:
            _train_step(run, sampler, names)
            run.step, run.epoch_steps = run.step + 1, run.epoch_steps + 1
            run.seconds, stop = distributed.agree(time.perf_counter() - started, received())
            epoch_ends = run.epoch_steps == run.steps_per_epoch or run.progress >= 1
            save = epoch_ends or time.perf_counter() - saved_at > SAVE_EVERY_SECONDS
            if save or bar.is_due():
                run.read_losses(names)  # before anything is saved: weights gone wrong never reach a file
            if epoch_ends:
                with bar.pause():
                    _end_epoch(run, val, run_dir, on_epoch)
                    _, stop = distributed.agree(run.seconds, received())  # the others wait here
            if save and _is_main():
                save_state(run_dir / "last.pt", run.state())
                saved_at = time.perf_counter()
            bar.step(run.progress, _postfix(run))
            if run.may_compile and wants_compiling(run.config.compile, run.device, bar.seconds_left):
                run.network, run.may_compile = compiled(run.model), False
        run.read_losses(names)
        if _is_main() and not save:  # the last step was not
            save_state(run_dir / "last.pt", run.state())
        distributed.agree(0.0, 0)  # nobody leaves before the file is there
    return stop if run.progress < 1 else 0


def _end_epoch(run: RunState, val: tuple, run_dir: Path, on_epoch: Callable[[History], None] | None) -> None:
    """Validate in process 0."""
    train_loss = run.epoch_loss / run.epoch_steps
    run.epoch_loss, run.epoch_steps = 0.0, 0
    if _is_main():
        _validate(run, train_loss, *val, run_dir)
    if on_epoch and _is_main():
        on_epoch(run.history)


def _postfix(run: RunState) -> str:
    if not run.history:
        return f"loss {run.epoch_loss / max(1, run.epoch_steps):.3f}, step {run.step}"
    last = run.history[-1]
    return f"loss {last['train_loss']:.3f}, validation Dice {last['val_dice']:.3f}, step {run.step}"
