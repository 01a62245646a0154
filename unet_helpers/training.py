"""The training loop: patches in, best checkpoint out, nothing lost on the way."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from unet_helpers import distributed
from unet_helpers.cache import CACHE_ABOVE_BYTES, decoded_bytes, load_shrunk, open_cache
from unet_helpers.checkpoint import load_state, save_state
from unet_helpers.compiling import compiled, is_compiler_error, wants_compiling
from unet_helpers.config import TrainConfig, choose_device, default_config, learning_rate_factor
from unet_helpers.data import Pair, image_hash, load_image
from unet_helpers.files import remove_scratch, write_json
from unet_helpers.inference import MAX_SIZE, predict_all
from unet_helpers.metrics import dice
from unet_helpers.model import UNet
from unet_helpers.progress import TrainingBar, progress_bar, say
from unet_helpers.run_state import RunState
from unet_helpers.snapshots import Snapshots
from unet_helpers.steps import batch_gradient, halving
from unet_helpers.transforms import PatchSampler, augment, normalise

__all__ = ["Interrupted", "TrainConfig", "choose_device", "default_config", "fit", "load_arrays",
           "mean_positive_dice"]

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
        super().__init__(f"stopped at step {step}; everything is saved")
        self.step, self.signal_number = step, signal_number


def load_arrays(
    pairs: list[Pair], max_size: int = MAX_SIZE, progress: bool = False
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Read pairs into memory, shrunk so that the longer side is at most `max_size` pixels.

    Returns:
        Uint8 images (H, W) and bool masks (H, W), in the order of `pairs`.

    Raises:
        ValueError: If a file is broken, see `data.load_pair`.
    """
    bar = progress_bar(pairs, desc="reading pairs", unit="pair", disable=not progress)
    arrays = [load_shrunk(pair, max_size) for pair in bar]
    return [image for image, _ in arrays], [mask for _, mask in arrays]


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

    Writes `best.pt` (best validation Dice), `last.pt` (every epoch and at least every minute), `history.json`
    and `snapshots.png` into `run_dir`. Ctrl-C, the stop button of a notebook or SIGTERM ends the training
    after the current step with everything saved; the same call continues it. A finished run is returned as it
    is. Inside `distributed.process_group` each process computes a share of every batch, and process 0 writes.

    Args:
        train_pairs: Pairs to learn from.
        val_pairs: Pairs to choose the best weights on; at least one holds a stone.
        run_dir: Folder of this run.
        config: Settings; `default_config(device)` if None.
        model: Network to train, changed in place; a `UNet` with seeded random weights if None.
        device: Where to compute; `choose_device()` if None.
        resume: Whether to continue the run found in `run_dir`; otherwise it is started again.
        progress: Whether to show a bar.
        on_epoch: Called with the history after every epoch, in process 0.
        raise_interrupt: Whether a stopped training ends in `Interrupted` instead of returning.

    Returns:
        One dict an epoch: step, seconds, train_loss, val_dice, learning_rate; complete in process 0 only.

    Raises:
        ValueError: If the pairs of training and validation share a group, a file is broken, no validation
            image holds a stone, the batch cannot be shared evenly by the processes, or `run_dir` holds a run
            with other settings.
        FloatingPointError: If the loss is not finite.
        Interrupted: If `raise_interrupt` and the training was stopped.
    """
    run_dir, device = Path(run_dir), device or choose_device()
    config = config or default_config(device)
    split = {"train": sorted({p.group for p in train_pairs}), "val": sorted({p.group for p in val_pairs})}
    _check(split, config, device)
    torch.manual_seed(config.seed)
    run = RunState(config, model or UNet(), device, split)
    moments = []
    # process 0 decides, so that all go the same way
    if resume and distributed.agree(float((run_dir / "last.pt").is_file()), 0)[0]:
        state = load_state(run_dir / "last.pt", device)
        run.restore(state, run_dir / "last.pt")
        moments = [{**moment, "crops": moment["crops"].cpu()} for moment in state.get("snapshots", [])]
        if _is_main():
            remove_scratch(run_dir)
            print(
                f"Run in {run_dir.name}: {'finished' if run.progress >= 1 else 'continued'} "
                f"at step {run.step}."
            )
        if run.progress >= 1:
            return run.history
    run.images = {name: [image_hash(load_image(pair.image)) for pair in part]
                  for name, part in (("train", train_pairs), ("val", val_pairs))}
    distributed.same_start(run.model)
    sampler = _sampler(train_pairs, config, device)
    val_images, val_masks = _whole_images(val_pairs) if _is_main() else ([], [])
    if _is_main():
        if not any(mask.any() for mask in val_masks):
            raise ValueError(
                f"val_pairs must hold at least one stone, got {len(val_pairs)} images without. "
                "Try another split seed."
            )
        run.snapshots = Snapshots(val_images, val_masks)
        run.snapshots.moments = moments
        remove_scratch(run_dir)
    stopped = _loop(run, sampler, train_pairs, (val_images, val_masks), run_dir, progress, on_epoch)
    if stopped and raise_interrupt:
        raise Interrupted(run.step, stopped)
    return run.history


def _sampler(pairs: list[Pair], config: TrainConfig, device: torch.device) -> PatchSampler:
    """Patches from memory, or from a cache on disk when the data set is large."""
    options = (config.patch_size, config.stone_fraction, config.lookalike_fraction, device)
    if decoded_bytes(pairs) <= CACHE_ABOVE_BYTES:
        return PatchSampler(*load_arrays(pairs), *options)
    with distributed.main_first():
        cache = open_cache(pairs, min_side=config.patch_size, progress=_is_main())
    return cache.sampler(*options)


def _whole_images(pairs: list[Pair]) -> tuple[Sequence[np.ndarray], Sequence[np.ndarray]]:
    if decoded_bytes(pairs) <= CACHE_ABOVE_BYTES:
        return load_arrays(pairs)
    cache = open_cache(pairs)
    return cache.images, cache.masks


def _is_main() -> bool:
    return distributed.part()[0] == 0


def _check(split: dict[str, list[str]], config: TrainConfig, device: torch.device) -> None:
    if shared := set(split["train"]) & set(split["val"]):
        raise ValueError(
            f"train_pairs and val_pairs must share no group, got {sorted(shared)[:3]} in both. "
            "Use split_by_group."
        )
    if config.batch_size % distributed.part()[1]:
        raise ValueError(
            f"batch_size must be a multiple of the {distributed.part()[1]} processes, "
            f"got {config.batch_size}."
        )
    wants_compiling(config.compile, device, None)


def _loop(
    run: RunState,
    sampler: PatchSampler,
    train_pairs: list[Pair],
    val: tuple[Sequence[np.ndarray], Sequence[np.ndarray]],
    run_dir: Path,
    progress: bool,
    on_epoch: Callable[[History], None] | None,
) -> int:
    """Train to the end or until a signal comes; returns its number, or 0."""

    def names(indices: list[int]) -> str:
        return ", ".join(sorted({train_pairs[i].image.name for i in indices}))

    run.steps_per_epoch = run.config.steps_per_epoch or max(
        1, sampler.patches_per_epoch // run.config.batch_size
    )
    run.model.train()
    started = time.perf_counter() - run.seconds
    saved_at, stop = time.perf_counter(), 0
    bar = TrainingBar(run.progress, run.config.batch_size, shown=progress and _is_main())
    with _stop_on_signal() as received, bar:
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
        if _is_main():
            save_state(run_dir / "last.pt", run.state())
            if run.progress < 1:
                say(
                    f"Stopped at step {run.step}; everything is saved. Run the same call again to continue."
                )
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
    loss = run.history[-1]["train_loss"] if run.history else run.epoch_loss / max(1, run.epoch_steps)
    score = run.history[-1]["val_dice"] if run.history else float("nan")
    return f"loss {loss:.3f}, validation Dice {score:.3f}, step {run.step}"
