"""Lessons in real kernels: stopped at awkward moments, run again, on folders that no author had in mind.

Whatever happens, a reader sees results or one calm sentence: no traceback out of a library, no average of
nothing, no file half written, and no network judged that saw a hundredth of its training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lesson_folders import write_folder
from lesson_runs import Ran, Reader, after, on_file, on_text

from unet_helpers.data import find_pairs, lesson_run, split_by_group, stone_strata
from unet_helpers.training import TrainConfig, fit, run_status

PHANTOM, TRAINING, JUDGING, YOUR_DATA, MUSEUM = (
    "01_dataset.ipynb",
    "04_training.ipynb",
    "05_evaluation.ipynb",
    "06_your_own_data.ipynb",
    "07_bug_museum.ipynb",
)
STEPS = 12  # of a rehearsal
USUAL = [[1, 0, 2]] * 9  # stones of nine exams, slice by slice
FIT, LOOP, NETWORK = "uh.fit(*parts, run_dir", "my_step(model, images", "judging.choose_network("


def troubles(done: list[Ran]) -> list[str]:
    return [f"{ran.cell}: {ran.trouble}" for ran in done if ran.trouble]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "scans", USUAL)


@pytest.fixture
def split(scans: Path):
    pairs = find_pairs(scans)
    return split_by_group(pairs, strata=stone_strata(pairs))


# ------------------------------------------------------------------------------------------- the phantom
SMALLER = "from unet_helpers.folders import sources\nsources.PHANTOM = (18, 2, 64, 0)"


def test_stopped_while_the_phantom_is_written(tmp_path: Path):
    with Reader(PHANTOM, tmp_path) as reader:
        first = reader.cell_with("open_dataset(")
        *shown, stopped = reader.run_all(stop={first: on_text("phantom: ")}, until=first)
        assert sum(ran.pictures for ran in shown) == 3  # the way, the man, the network's answer
        assert "What is written is kept: run this cell again" in stopped.message and stopped.ended_calmly
        assert not list((tmp_path / "data").glob("phantom-*"))
        below = reader.run(reader.below(first)[0])
        assert below.error == "NameError" and not below.trouble
        assert f"One of them ended with: {stopped.message}" in below.printed
        reader.before = SMALLER
        reader.restart()
        assert not reader.run_all(until=first)[-1].error
        (folder,) = (tmp_path / "data").glob("phantom-*")
        assert len(find_pairs(folder)) == 36


# -------------------------------------------------------------------------------------------- lesson 4
@pytest.fixture
def training(scans: Path, tmp_path: Path) -> Iterator[Reader]:
    with Reader(TRAINING, tmp_path, scans, STEPS) as reader:
        yield reader


def run_of(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "lesson" / lesson_run(tmp_path / "scans").name


MACHINE = ("gpu.", "move.batches")  # what measures the machine and looks at no data set
TRAINED = ("my_step(", "move.learning_rates", "move.eight_slices", "move.three_bugs")


def leaving_out(reader: Reader, *words: str) -> list[str]:
    """The cells of a reader in a hurry."""
    return [cell for cell, source in reader.cells.items() if not any(word in source for word in words)]


def test_lesson_4_stopped_before_its_first_validation_then_in_a_new_kernel_and_twice(
    training: Reader, tmp_path: Path
):
    loop, cell, run = training.cell_with(LOOP), training.cell_with(FIT), run_of(tmp_path)
    opening = [one for one in training.cells if one not in training.below(loop)]
    hurry = leaving_out(training, *MACHINE, *TRAINED)
    done = training.run_all({loop: on_text("loss curve up to step 0")}, by_hand=True, cells=opening)
    below = [one for one in hurry if one in training.below(loop)]
    done += training.run_all({cell: on_file(run, "last.pt")}, by_hand=True, cells=below)
    assert not troubles(done)
    (stopped,) = [ran for ran in done if ran.cell == cell]
    assert "before the first" in stopped.traceback[0]
    assert "Run this cell again to go on." in stopped.traceback[0]
    assert {path.name for path in run.iterdir()} <= {"last.pt", "run.lock"}
    training.restart()
    done = training.run_all(cells=hurry)
    assert not troubles(done) and [ran.cell for ran in done] == hurry and not done[-1].error
    assert run_status(run).finished
    before = (run / "best.pt").read_bytes()
    done = training.run_all(cells=hurry[hurry.index(cell) :])  # twice in one kernel
    assert not troubles(done) and not done[-1].error
    assert (run / "best.pt").read_bytes() == before


def test_lesson_4_stopped_after_a_validation_goes_on_with_what_is_there(training: Reader, tmp_path: Path):
    cells, run = leaving_out(training, *MACHINE, *TRAINED), run_of(tmp_path)
    done = training.run_all({training.cell_with(FIT): on_file(run, "best.pt")}, cells=cells)
    assert not troubles(done) and [ran.cell for ran in done] == cells and not done[-1].error
    assert run_status(run).has_best and not run_status(run).finished


# -------------------------------------------------------------------------------------------- lesson 5
@pytest.fixture
def judging(scans: Path, tmp_path: Path) -> Iterator[Reader]:
    with Reader(JUDGING, tmp_path, scans, STEPS) as reader:
        yield reader


def begin(split, run: Path, config: TrainConfig) -> None:
    """A run of lesson 4 that was stopped after its first validation."""
    import signal

    fit(
        split["train"], split["val"], run, config, device=torch.device("cpu"), progress=False,
        on_epoch=lambda _: signal.raise_signal(signal.SIGINT),
    )  # fmt: skip
    assert not run_status(run).finished


OTHER_DEVICE = TrainConfig(n_steps=6, steps_per_epoch=2, batch_size=4, patch_size=32)


def test_lesson_5_goes_on_with_a_stopped_training_and_judges_it_only_when_it_is_done(
    judging: Reader, split, tmp_path: Path
):
    begin(split, run_of(tmp_path), OTHER_DEVICE)
    cell = judging.cell_with(NETWORK)
    opening = [one for one in judging.cells if one not in judging.below(cell)]
    judging.before = (  # every step takes a moment, so that stop can be pressed in its middle
        "import time\nfrom unet_helpers import training\nreal = training.train_step\n"
        "training.train_step = lambda *args: (time.sleep(0.5), real(*args))[1]"
    )
    done = judging.run_all(stop={cell: after(1.5)}, cells=opening)
    assert not troubles(done)
    assert "run this cell again" in done[-1].printed.lower() + done[-1].message.lower()
    assert not run_status(run_of(tmp_path)).finished
    assert "network that comes with the package" in done[-1].printed or done[-1].error
    done = judging.run_all(cells=[cell])
    assert not troubles(done) and run_status(run_of(tmp_path)).finished
    assert run_status(run_of(tmp_path)).config == OTHER_DEVICE  # the run's own settings
    assert "finished at step 6" in done[-1].printed
    done = judging.run_all(cells=judging.below(cell))
    assert not troubles(done) and not done[-1].error
    assert {path.parent for path in (tmp_path / "runs").rglob("*.html")} == {run_of(tmp_path)}


# --------------------------------------------------------------------------------------- folders of all kinds
FOLDERS = {
    "kaggle": {"stones": [[1, 0, 2]] * 6, "inside": "images_txt_mask"},  # as that set lies on the disk
    "one-patient": {"stones": [[1, 0, 2, 1, 0, 1]]},
    "no-stones": {"stones": [[0, 0]] * 6},
    "stones-in-two": {"stones": [[1, 2], [1, 1], *[[0, 0]] * 5]},  # patients: none in the test part
    "large-and-easy": {"stones": [[1, 1]] * 6, "radius": 14.0},
}
ALL, NO_STONE = (TRAINING, JUDGING, YOUR_DATA, MUSEUM), "a stone for the lesson"
REFUSALS = {  # the lessons end in these words; on all other folders they run to their end
    **{(lesson, "one-patient"): "at least 3 groups" for lesson in ALL},
    **{(lesson, name): NO_STONE for lesson in (TRAINING, MUSEUM) for name in ("no-stones", "stones-in-two")},
    (YOUR_DATA, "no-stones"): NO_STONE,
}


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("lesson", ALL)
def test_folders_that_no_author_had_in_mind_and_none_touches_the_files_of_another(
    lesson: str, tmp_path: Path
):
    """One after the other in one home, where nothing was trained: lesson 5 judges the package's network."""
    found, files = [], dict[str, str]()
    with Reader(lesson, tmp_path, steps=STEPS) as reader:
        for name, how in FOLDERS.items():
            if (lesson, name) == (MUSEUM, "kaggle"):
                continue  # the large and easy one shows this lesson nothing less, and a lesson takes its time
            reader.forget(write_folder(tmp_path / name, **how))
            cells = leaving_out(reader, *MACHINE, *(TRAINED if name == "kaggle" else ()))
            done = reader.run_all(cells=cells)
            ended = REFUSALS.get((lesson, name), "")
            to_the_end = [ran.cell for ran in done] == cells and not done[-1].error
            as_told = ended in done[-1].message if ended else to_the_end
            found += [f"{name}, {trouble}" for trouble in troubles(done)]
            found += [] if as_told else [f"{name} ended with {done[-1]}"]
            now = digests(tmp_path / "runs")
            new = {path: now[path] for path in set(now) - set(files)}
            if {path: now[path] for path in files} != files or not all(name in path for path in new):
                found.append(f"{name} has changed the files of another data set: {sorted(new)}")
            if lesson == JUDGING and not ended and "scores.json" not in {Path(path).name for path in new}:
                found.append(f"{name} has left no scores: {sorted(new)}")
            files = now
    assert not found, "\n\n".join(found)
