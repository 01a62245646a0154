"""The notes that a cross-validation keeps in its folder; whole runs are in test_cli.py."""

from pathlib import Path

import pytest

from unet_helpers.command_line.cross_validation import (
    fold_checkpoints,
    fold_folder,
    is_finished,
    mark_finished,
    open_folds,
)


def test_the_seed_and_the_finished_folds_are_kept(tmp_path: Path):
    assert open_folds(tmp_path / "new", 3, None, resume=False) == 0
    assert open_folds(tmp_path / "run", 3, 7, resume=False) == 7
    assert open_folds(tmp_path / "run", 3, None, resume=True) == 7
    for fold in (2, 1, 2):
        mark_finished(tmp_path / "run", fold)
    assert [is_finished(tmp_path / "run", fold) for fold in (1, 2, 3)] == [True, True, False]
    assert open_folds(tmp_path / "plain", None, 5, resume=False) == 5 and not (tmp_path / "plain").exists()
    with pytest.raises(ValueError, match=r"which holds a run. Add --resume"):
        open_folds(tmp_path / "run", 3, 7, resume=False)
    with pytest.raises(ValueError, match=r"got .* with --folds 3 --seed 7"):
        open_folds(tmp_path / "run", 3, 8, resume=True)


def test_an_unfinished_fold_is_no_result(tmp_path: Path):
    open_folds(tmp_path, 11, 0, resume=False)
    for fold in range(1, 12):
        fold_folder(tmp_path, fold).mkdir()
        (fold_folder(tmp_path, fold) / "best.pt").touch()
        if fold != 9:
            mark_finished(tmp_path, fold)
    with pytest.raises(ValueError, match=r"must hold all 11 folds, got .*, where fold 9 is not finished"):
        fold_checkpoints(tmp_path)
    mark_finished(tmp_path, 9)
    paths = fold_checkpoints(tmp_path)
    assert [path.parent.name for path in paths] == [f"fold-{fold}" for fold in range(1, 12)]
