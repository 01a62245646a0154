"""What happens when an epoch ends: validate, note it, and keep the weights if they are the best."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from unet_helpers import training
from unet_helpers.engine.files import write_json
from unet_helpers.engine.resuming import save
from unet_helpers.training import History, Run, running_average

__all__ = ["end_epoch"]


def end_epoch(run: Run, run_dir: Path, on_epoch: Callable[[History], None] | None) -> None:
    """Validate in process 0, extend the history, and keep the weights if their running average is best."""
    train_loss = run.epoch_loss / run.epoch_steps
    run.epoch_loss, run.epoch_steps = 0.0, 0
    if run.rank:
        return
    entry = {
        "step": run.step,
        "seconds": round(run.seconds, 1),
        "train_loss": train_loss,
        "val_dice": training.validate(run),
        "learning_rate": run.optimiser.param_groups[0]["lr"],
    }
    run.history.append(entry)
    averages = running_average(run.history)
    run.best = max(averages)
    if averages[-1] == run.best:
        save(run, run_dir / "best.pt")
    write_json(run_dir / "history.json", run.history)
    if run.snapshots:
        run.snapshots.write(run_dir / "snapshots.png")
    if on_epoch:
        on_epoch(run.history)
