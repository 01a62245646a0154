"""Write a phantom data set in the flat layout of the Kaggle set."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unet_helpers.data import window
from unet_helpers.engine.progress import progress_bar, say
from unet_helpers.folders.places import scratch_folder
from unet_helpers.phantom.depths import MOST_SLICES, WHY_NO_MORE, slice_depths
from unet_helpers.phantom.labels import label_slice
from unet_helpers.phantom.patient import Patient, make_patient
from unet_helpers.phantom.processes import begin, start_module
from unet_helpers.phantom.scanner import ShownStone, Slice, render
from unet_helpers.phantom.stones import STAGHORN_EVERY

COLUMNS = {
    "slices.csv": ("stem", "patient", "depth_mm", "spacing_mm"),
    "stones.csv": (
        "stem",
        "stone",
        "row",
        "column",
        "section_diameter_mm",
        "diameter_mm",
        "volume_mm3",
        "n_sections",
        "hu",
        "location",
    ),
}
Row = tuple[str | int | float, ...]
Rows = dict[str, list[Row]]  # of a patient, by the name of the table

GOLDEN = (5**0.5 - 1) / 2  # what its multiples have behind the point is spread evenly, few or many
LOOK_EVERY_SECONDS = 0.05


class Job(NamedTuple):
    """A data set to write, as each of the processes that share the work is told."""

    scratch: str  # holds `set` (the files), `claims` (patients begun) and `rows` (patients done)
    n_patients: int
    n_slices: int
    size: int
    seed: int
    classes: bool = False  # whether masks show kidney, stone and bone


def staghorn_size(index: int, seed: int) -> float:
    """Size of the staghorn stone of a set's patient, see `make_patient`; 0 for those who have none.

    Among the patients 0 to 5, 6 to 11 and so on, one each has a staghorn, so that any part of a data set
    holds some; their sizes are spread evenly, so that no part holds all of the large ones.
    """
    block, place = divmod(index, STAGHORN_EVERY)
    chosen = np.random.default_rng([seed, 5, block]).integers(STAGHORN_EVERY)
    start = np.random.default_rng([seed, 5]).random()
    return 1 - (start + GOLDEN * block) % 1 if place == chosen else 0.0


def patient_of_set(index: int, seed: int) -> Patient:
    """The patient of a data set with this seed; its number does not depend on how many there are."""
    return make_patient(seed * 10_000 + index, staghorn_size(index, seed))


def second_of(index: int, slice_index: int) -> int:
    """When a slice was recorded: those of a patient seconds apart, patients hours."""
    return 63_700_000_000 + 7200 * index + 7 * slice_index


def exam_of(index: int) -> str:
    """The group that `data.find_pairs` finds a patient's slices in: the exam that began at the first one."""
    return f"exam-{second_of(index, 0)}"


def stem_of(index: int, slice_index: int, seed: int) -> str:
    """A file name as in the Kaggle set."""
    rng = np.random.default_rng([seed, 4, index, slice_index])
    return (
        f"1-3-46-670589-33-1-{second_of(index, slice_index)}{rng.integers(10**11, 10**12)}"
        f"-{rng.integers(10**18, 9 * 10**18)}_png_jpg.rf.{rng.bytes(16).hex()}"
    )


def save_slice(
    folder: Path, stem: str, cut: Slice, patient: Patient, labels: NDArray[np.uint8] | None = None
) -> None:
    """Write the picture (JPEG, grey in three equal channels) and the mask (PNG, 0 or 255, or labels)."""
    grey = Image.fromarray(window(cut.image_hu, patient.traits.level, patient.traits.width))
    grey.convert("RGB").save(folder / f"{stem}.jpg", quality=92)
    if labels is None:
        Image.fromarray(cut.mask.astype(np.uint8) * 255).save(folder / f"{stem}_mask.png")
    else:
        from unet_helpers.classes.colours import save_labels

        save_labels(labels, folder / f"{stem}_mask.png")


def write_slice(folder: Path, patient: Patient, depth_mm: float, stem: str, job: Job) -> Slice:
    """Cut a patient at a depth, and write picture and mask."""
    cut = render(patient, depth_mm, job.size)
    labels = label_slice(patient, depth_mm, cut) if job.classes else None
    save_slice(folder, stem, cut, patient, labels)
    return cut


def write_patient(folder: Path, index: int, job: Job) -> Rows:
    """Write the slices of one patient; returns their rows of the tables."""
    patient = patient_of_set(index, job.seed)
    slices: list[Row] = []
    shown: list[tuple[str, ShownStone]] = []
    for slice_index, depth_mm in enumerate(slice_depths(patient, job.n_slices)):
        stem = stem_of(index, slice_index, job.seed)
        cut = write_slice(folder, patient, depth_mm, stem, job)
        slices.append((stem, patient.seed, depth_mm, round(cut.spacing_mm, 4)))
        shown += [(stem, stone) for stone in cut.stones]
    n_sections = Counter(section.stone for _, section in shown)
    stones = [stone_row(stem, section, n_sections[section.stone]) for stem, section in shown]
    return {"slices.csv": slices, "stones.csv": stones}


def stone_row(stem: str, section: ShownStone, n_sections: int) -> Row:
    """A row of stones.csv, one a section; `n_sections`: how many this stone has in all slices together."""
    values = {"stem": stem, "n_sections": n_sections, **section._asdict()}
    return tuple(values[column] for column in COLUMNS["stones.csv"])


def claimed(path: Path) -> bool:
    """Whether this process is the first to ask for a path."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def finish_patient(job: Job, index: int) -> None:
    """Write a patient, and, as a sign that all of it is there, its rows.

    Every file comes into the set whole: a process that is killed has left nothing there that another one
    could not write again.
    """
    scratch = Path(job.scratch)
    own = scratch / "claims" / f"{index}-{os.getpid()}"
    own.mkdir(exist_ok=True)
    rows = write_patient(own, index, job)
    for path in own.iterdir():
        path.replace(scratch / "set" / path.name)
    own.rmdir()
    half = own.with_suffix(".json")
    half.write_text(json.dumps(rows), "utf-8")
    half.replace(rows_path(job, index))


def rows_path(job: Job, index: int) -> Path:
    """Where the rows of a patient lie, once all of the patient is written."""
    return Path(job.scratch, "rows", f"{index}.json")


def n_done(job: Job) -> int:
    """Patients that are written, by whichever process."""
    return len(os.listdir(Path(job.scratch, "rows")))


def take_patients(job: Job) -> Iterator[int]:
    """Write one patient after the other that no other process has claimed."""
    for index in range(job.n_patients):
        if not rows_path(job, index).exists() and claimed(Path(job.scratch, "claims", str(index))):
            finish_patient(job, index)
            yield index


def start_helper(job: Job) -> subprocess.Popen[str]:
    """Another process that takes patients until none is left; it ends with this one, in whatever way."""
    return start_module("unet_helpers.phantom.helper", job, stderr=subprocess.PIPE)


def start_helpers(job: Job, n_helpers: int, helpers: list[subprocess.Popen[str]]) -> None:
    """Start helpers into a list that exists before them, so that no interruption can lose one."""
    try:
        for _ in range(n_helpers):
            helpers.append(start_helper(job))  # noqa: PERF401  # each is in the list at once
    except OSError as error:
        say(f"No other process could be started ({error}), so the phantom takes longer.")


def write_all(job: Job, workers: int, show: Callable[[], object]) -> None:
    """Write all patients, with the help of other processes; what they leave undone is done here."""
    helpers: list[subprocess.Popen[str]] = []
    try:
        start_helpers(job, workers - 1, helpers)
        for _ in take_patients(job):
            show()
        while any(helper.poll() is None for helper in helpers):
            time.sleep(LOOK_EVERY_SECONDS)
            show()
        report_failures(helpers)
        for index in range(job.n_patients):
            if not rows_path(job, index).exists():
                finish_patient(job, index)
                show()
    finally:
        for helper in helpers:
            helper.kill()
        for helper in helpers:
            helper.communicate()


def report_failures(helpers: list[subprocess.Popen[str]]) -> None:
    """Say how many helpers failed, and the last line of what one of them said."""
    failed = [helper for helper in helpers if helper.returncode]
    if failed:
        said = failed[0].stderr.read().splitlines() if failed[0].stderr else []
        *_, reason = [f"exit code {failed[0].returncode}", *said]
        say(f"{len(failed)} of {len(helpers)} helping processes failed ({reason}). This one does their work.")


def write_tables(job: Job) -> None:
    """Write the tables from the rows of all patients, in their order."""
    rows = [json.loads(rows_path(job, index).read_text("utf-8")) for index in range(job.n_patients)]
    for name, columns in COLUMNS.items():
        lines = [columns, *(line for patient in rows for line in patient[name])]
        text = "".join(",".join(map(str, line)) + "\n" for line in lines)
        Path(job.scratch, "set", name).write_text(text, "utf-8", newline="\n")


def write_scratch(job: Job, workers: int, progress: bool) -> None:
    """Write into the job's scratch folder what is not there yet of the whole set."""
    scratch = Path(job.scratch)
    shutil.rmtree(scratch / "claims", ignore_errors=True)  # of processes that have ended
    for name in ("set", "claims", "rows"):
        (scratch / name).mkdir(exist_ok=True)
    done, total = n_done(job), job.n_patients
    with progress_bar(desc="phantom", initial=done, total=total, unit="patient", disable=not progress) as bar:
        write_all(job, workers, lambda: bar.update(n_done(job) - bar.n))
    write_tables(job)
    shutil.rmtree(scratch / "rows")  # else they would speak of files that have moved


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_settings(**settings: int) -> None:
    """Raise a ValueError that names the first setting out of range."""
    limits = {
        "n_patients": (1, 10_000),
        "n_slices": (1, MOST_SLICES),
        "size": (64, 512),
        "seed": (0, 10**9),
        "workers": (1, 64),
    }
    for name, value in settings.items():
        low, high = limits[name]
        if not low <= value <= high:
            hint = f" {WHY_NO_MORE}" if name == "n_slices" else ""
            raise ValueError(f"{name} must be {low} to {high}, got {value}.{hint}")


def check_free(folder: Path) -> None:
    """Raise a FileExistsError if a folder holds something, or is a file."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"folder must not exist or be empty, got {folder}. Choose another.")


def write_dataset(
    folder: str | os.PathLike[str],
    n_patients: int = 96,
    n_slices: int = 8,
    size: int = 256,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
    classes: bool = False,
    go_on: bool = False,
) -> Path:
    """Write `<stem>.jpg`, `<stem>_mask.png` (0 or 255), slices.csv and stones.csv.

    The same arguments give the same bytes for any number of workers. The folder is there when it is whole;
    an interrupted call leaves nothing, unless `go_on` says otherwise. A script that calls it needs no main
    guard.

    Args:
        folder: A new folder, or an empty one.
        n_patients: Number of patients; one of six has a staghorn stone.
        n_slices: Slices a patient, at least 2 mm apart; a body has room for 96.
        size: Side of the square slices in pixels, 64 to 512.
        seed: Another seed gives other patients.
        workers: Processes that share the work; None takes as many as there are cores.
        progress: Whether to draw a bar.
        classes: Whether the masks show three classes, 1 kidney, 2 stone and 3 bone (`labels.CLASSES`); the
            pictures and tables are the same.
        go_on: Whether an interrupted call leaves the patients that are done, hidden beside the folder, and
            the next call with the same arguments goes on with them; for one process at a time.

    Returns:
        The folder.

    Raises:
        FileExistsError: If the folder holds something.
        ValueError: If a number is out of range.
    """
    target, workers = Path(folder), min(64, n_cores()) if workers is None else workers
    check_settings(n_patients=n_patients, n_slices=n_slices, size=size, seed=seed, workers=workers)
    check_free(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(target, go_on) as scratch:
        job = Job(str(scratch.resolve()), n_patients, n_slices, size, seed, classes)
        write_scratch(job, min(workers, n_patients), progress)
        if target.exists():
            target.rmdir()
        Path(job.scratch, "set").rename(target)
    return target


def begin_in_background() -> None:
    """Write the phantom while a reader reads, if it is the data of this lesson and not there yet.

    A process of the lowest priority does it; `data.open_dataset` ends it, and goes on at full speed with what
    it has written. It says nothing, whatever is in its way: `open_dataset` finds the same, and says it.
    """
    from unet_helpers.folders.sources import PHANTOM, phantom_folder  # here, for sources use this module

    folder = phantom_folder(*PHANTOM)
    if (os.environ.get("UNET_DATA") or "phantom") == "phantom" and not folder.exists():
        begin(folder, PHANTOM)
