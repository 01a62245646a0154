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
from lesson_runs import Ran, Reader, after, on_file

from unet_helpers.data import find_pairs, split_by_group, stone_strata
from unet_helpers.training import TrainConfig, fit, run_status

PHANTOM, TRAINING, JUDGING, MUSEUM = (
    "01_dataset.ipynb",
    "04_training.ipynb",
    "05_evaluation.ipynb",
    "07_bug_museum.ipynb",
)
STEPS = 12  # of a rehearsal
USUAL = [[1, 0, 2]] * 9  # stones of nine exams, slice by slice
FIT, LOOP, NETWORK = "uh.fit(*parts, run_dir", "my_step(model, images", "judging.choose_network("


def troubles(done: list[Ran]) -> list[str]:
    return [f"{ran.cell}: {ran.trouble}" for ran in done if ran.trouble]


def ran_through(reader: Reader, done: list[Ran]) -> bool:
    return [ran.cell for ran in done] == list(reader.cells) and not done[-1].error


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "scans", USUAL)


@pytest.fixture
def split(scans: Path):
    pairs = find_pairs(scans)
    return split_by_group(pairs, strata=stone_strata(pairs))


# ------------------------------------------------------------------------------------------- the phantom
SMALLER = "from unet_helpers.folders import sources\nsources.phantom_dataset.__defaults__ = (6, 2, 64, 0)"


def test_stopped_while_the_phantom_is_written(tmp_path: Path):
    with Reader(PHANTOM, tmp_path) as reader:
        first = reader.cell_with("open_dataset(")
        *_, stopped = reader.run_all(stop={first: on_file(tmp_path / "data", "*.jpg")}, until=first)
        assert "No half of it is kept: run this cell again" in stopped.message and stopped.ended_calmly
        assert [path.name for path in (tmp_path / "data").iterdir()] == [".lock"]
        below = reader.run(reader.below(first)[0])
        assert below.error == "NameError" and not below.trouble
        assert f"One of them ended with: {stopped.message}" in below.printed
        reader.before = SMALLER
        reader.restart()
        assert not reader.run_all(until=first)[-1].error
        (folder,) = (tmp_path / "data").glob("phantom-*")
        assert len(find_pairs(folder)) == 12


# -------------------------------------------------------------------------------------------- lesson 4
@pytest.fixture
def training(scans: Path, tmp_path: Path) -> Iterator[Reader]:
    with Reader(TRAINING, tmp_path, scans, STEPS) as reader:
        yield reader


def run_of(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "lesson" / "scans"


def test_lesson_4_stopped_before_its_first_validation_then_in_a_new_kernel_and_twice(
    training: Reader, tmp_path: Path
):
    cell = training.cell_with(FIT)
    loop = training.cell_with(LOOP)
    opening = [one for one in training.cells if one not in training.below(loop)]
    done = training.run_all(stop={loop: after(0.3)}, by_hand=True, cells=opening)  # the reader's own loop
    done += training.run_all(
        stop={cell: on_file(run_of(tmp_path), "last.pt")}, by_hand=True, cells=training.below(loop)
    )
    assert not troubles(done)
    (stopped,) = [ran for ran in done if ran.cell == cell]
    assert (
        "before the first" in stopped.traceback[0] and "Run this cell again to go on." in stopped.traceback[0]
    )
    assert {path.name for path in run_of(tmp_path).iterdir()} <= {"last.pt", "run.lock"}
    training.restart()
    done = training.run_all()
    assert not troubles(done) and ran_through(training, done)
    assert run_status(run_of(tmp_path)).finished
    before = (run_of(tmp_path) / "best.pt").read_bytes()
    done = training.run_all(cells=[training.setup, *training.below(training.setup)])  # twice in one kernel
    assert not troubles(done) and ran_through(training, done)
    assert (run_of(tmp_path) / "best.pt").read_bytes() == before


def test_lesson_4_stopped_after_a_validation_goes_on_with_what_is_there(training: Reader, tmp_path: Path):
    cell = training.cell_with(FIT)
    done = training.run_all(stop={cell: on_file(run_of(tmp_path), "best.pt")})
    assert not troubles(done) and ran_through(training, done)
    status = run_status(run_of(tmp_path))
    assert status.has_best and not status.finished


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


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_lesson_5_first_of_all_and_two_data_sets_keep_their_own_files(judging: Reader, tmp_path: Path):
    """Nothing was trained: the package's network is judged, and the results belong to the data set."""
    done = judging.run_all()
    assert not troubles(done) and ran_through(judging, done)
    (chosen,) = [ran for ran in done if ran.cell == judging.cell_with(NETWORK)]
    assert "network that comes with the package" in chosen.printed
    first = digests(tmp_path / "runs")
    assert {"scores.json", "report.html"} <= {Path(name).name for name in first}
    other = write_folder(tmp_path / "others", USUAL, inside="images_txt_mask", seed=1)
    judging.forget(other)
    done = judging.run_all()
    assert not troubles(done) and ran_through(judging, done)
    second = digests(tmp_path / "runs")
    assert {name: second[name] for name in first} == first
    assert {Path(name).parent.name for name in set(second) - set(first)} == {"others"}


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
    "one patient": {"stones": [[1, 0, 2, 1, 0, 1]]},
    "no stones": {"stones": [[0, 0]] * 6},
    "stones in one patient": {"stones": [[1, 2], *[[0, 0]] * 6]},
    "stones in two patients": {"stones": [[1, 2], [1, 1], *[[0, 0]] * 6]},
    "large and easy": {"stones": [[1, 1]] * 6, "radius": 14.0},
}
WITHOUT_STONES = ("no stones", "stones in one patient", "stones in two patients")  # none in the test part
REFUSALS = {  # the lessons end in this sentence; on all other folders they run to their end
    **{("one patient", lesson): "at least 3 groups" for lesson in (TRAINING, JUDGING, MUSEUM)},
    **{(name, lesson): "a stone for the lesson" for name in WITHOUT_STONES for lesson in (TRAINING, MUSEUM)},
}


@pytest.mark.parametrize("notebook", [TRAINING, JUDGING, MUSEUM])
def test_folders_that_no_author_had_in_mind(notebook: str, tmp_path: Path):
    folders = {name: write_folder(tmp_path / name.replace(" ", "-"), **how) for name, how in FOLDERS.items()}
    found = []
    with Reader(notebook, tmp_path, next(iter(folders.values())), STEPS) as reader:
        for name, folder in folders.items():
            reader.forget(folder)
            done = reader.run_all()
            end = REFUSALS.get((name, notebook))
            found += [f"{name}, {trouble}" for trouble in troubles(done)]
            if (
                end is None
                and not ran_through(reader, done)
                or end is not None
                and end not in done[-1].message
            ):
                found.append(f"{name}, ended with {done[-1]}")
    assert not found, "\n\n".join(found)
