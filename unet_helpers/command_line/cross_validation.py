"""The folder of a cross-validation: which folds there are, which are finished, and their networks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from unet_helpers.engine.files import write_json

__all__ = ["fold_checkpoints", "fold_folder", "is_finished", "mark_finished", "open_folds"]

FILE = "folds.json"


def fold_folder(run: Path, fold: int) -> Path:
    """Folder of one fold, counted from 1."""
    return run / f"fold-{fold}"


def _notes(run: Path) -> dict[str, Any]:
    notes: dict[str, Any] = json.loads((run / FILE).read_text("utf-8")) if (run / FILE).is_file() else {}
    return notes


def open_folds(run: Path, n_folds: int | None, seed: int | None, resume: bool) -> int:
    """Make sure that a run may be started or continued in a folder.

    Args:
        run: Folder of the whole run.
        n_folds: Number of folds; None for a run without.
        seed: Of the split; None for the one that is found there, else 0.
        resume: Whether a run found there may be continued.

    Returns:
        The seed.

    Raises:
        ValueError: If the folder holds a run and `resume` is false, or a run with other folds.
    """
    notes = _notes(run)
    seed = notes.get("seed", 0) if seed is None else seed
    here = {"n_folds": n_folds, "seed": seed}
    if not resume and (notes or any((run / name).exists() for name in ("last.pt", "best.pt"))):
        raise ValueError(
            f"--out must be a new folder, got {run}, which holds a run. Add --resume to continue it."
        )
    if notes and here != {name: notes[name] for name in here}:
        raise ValueError(
            f"--out must hold a run with the same folds, got {run} with --folds "
            f"{notes['n_folds']} --seed {notes['seed']}. Give these, or another folder."
        )
    if n_folds and (run / "last.pt").exists():
        raise ValueError(
            f"--out must hold a run with folds, got {run}, which holds one without. Give another folder."
        )
    if n_folds and not notes:
        write_json(run / FILE, here | {"finished": []})
    return seed


def is_finished(run: Path, fold: int) -> bool:
    """Whether a fold is trained and its threshold chosen."""
    return fold in _notes(run)["finished"]


def mark_finished(run: Path, fold: int) -> None:
    """Note that a fold is trained and its threshold chosen."""
    notes = _notes(run)
    write_json(run / FILE, notes | {"finished": sorted({*notes["finished"], fold})})


def fold_checkpoints(run: Path) -> list[Path]:
    """best.pt of every fold of a finished cross-validation.

    Raises:
        ValueError: If the folder holds no folds, or one is missing or unfinished.
    """
    notes = _notes(run)
    found = (re.fullmatch(r"fold-(\d+)", path.name) for path in run.glob("fold-*"))
    numbers = {int(match[1]) for match in found if match}
    n_folds = notes.get("n_folds", max(numbers, default=0))
    if not n_folds:
        raise ValueError(
            f"--checkpoint must be best.pt of a run, or the folder of a run with --folds, got "
            f"{run}, a folder without folds."
        )
    paths = [fold_folder(run, fold) / "best.pt" for fold in range(1, n_folds + 1)]
    finished = notes.get("finished", range(1, n_folds + 1))
    for fold, path in enumerate(paths, start=1):
        if not path.is_file() or fold not in finished:
            raise ValueError(
                f"--checkpoint must hold all {n_folds} folds, got {run}, where fold {fold} is "
                f"{'not finished' if path.is_file() else 'missing'}. Train it first: the same "
                "command with --resume."
            )
    return paths
