"""The first visit is fast: the phantom is written while a reader reads, and its hero is seen at once."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_phantom_dataset import processes_naming

from unet_helpers import phantom
from unet_helpers.data import find_pairs
from unet_helpers.engine.calm import Stopped
from unet_helpers.exercises import hero, meet_hero
from unet_helpers.folders import sources
from unet_helpers.folders.sources import NotWritten, open_dataset, phantom_folder
from unet_helpers.phantom import dataset, processes

ROOT = Path(sources.__file__).parents[2]
LARGE, SMALL = (3000, 1, 64, 0), (6, 2, 64, 0)
has_proc = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
BEGIN = (
    "from unet_helpers.folders import sources\n"
    "from unet_helpers.phantom import dataset, processes\n"
    "sources.PHANTOM = {settings}\n"
    "dataset.begin_in_background()\n"
)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the data of a test lie; nothing writes there any more when it ends."""
    monkeypatch.setenv("UNET_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("UNET_DATA", raising=False)
    monkeypatch.setattr(sources, "PHANTOM", SMALL)
    yield tmp_path / "home" / "data"
    processes.end()


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def n_done(data: Path) -> int:
    return len(list(data.glob(".phantom-*-begun/rows/*.json")))


def program(text: str, settings: tuple[int, ...]) -> subprocess.Popen[str]:
    """A reader's kernel, in which every warning is an error."""
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", BEGIN.format(settings=settings) + text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


# ------------------------------------------------------------------------------------------- the hero
def test_the_hero_is_seen_before_the_data_is_there_and_is_the_same_later(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hero, "_CHOSEN", {SMALL: (4, 1)})
    first, image, mask = meet_hero()
    assert not data.exists()
    later, image_later, mask_later = (open_dataset(), *meet_hero())[1:]
    assert first == later and first in find_pairs(open_dataset())
    assert image.dtype == np.uint8 and np.array_equal(image, image_later)
    assert mask.dtype == bool and np.array_equal(mask, mask_later)


def test_the_hero_of_other_data_is_chosen_from_all_of_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hero, "_CHOSEN", {SMALL: (4, 1)})
    folder = phantom.write_dataset(tmp_path / "own", *SMALL, progress=False)
    monkeypatch.setenv("UNET_DATA", str(folder))
    pair, image, mask = meet_hero()
    assert pair.image_path.parent == folder.resolve() and mask.any() and image.shape == (64, 64)
    assert not data.exists()


def test_the_lessons_phantom_has_a_hero() -> None:
    """Which one `hero_case` chooses, lesson 1 compares when all patients are there."""
    assert set(hero._CHOSEN) == {(96, 8, 256, 0)} == {sources.phantom_dataset.__defaults__}


# ------------------------------------------------------------------------------------- in the background
def test_what_is_begun_is_gone_on_with_and_never_written_twice(data: Path, capsys) -> None:
    before = sources.PHANTOM = (40, 2, 64, 0)
    dataset.begin_in_background()
    wait_for(lambda: n_done(data) >= 2)
    assert not phantom_folder(*before).exists()  # never half of it
    processes.end()
    done = {one.stem for one in data.glob(".phantom-*-begun/rows/*.json")}
    written = {one.name: one.stat().st_mtime_ns for one in data.glob(".phantom-*-begun/set/*.jpg")}
    folder = open_dataset()
    kept = [name for name, when in written.items() if (folder / name).stat().st_mtime_ns == when]
    assert len(kept) >= 2 * len(done) >= 4
    assert "phantom: 40 patients in" in capsys.readouterr().out  # those of the process are counted, too
    whole = phantom.write_dataset(data / "anew", *before, progress=False)
    contents = [{one.name: one.read_bytes() for one in path.iterdir()} for path in (folder, whole)]
    assert contents[0] == contents[1]
    assert sorted(one.name for one in data.iterdir()) == [".lock", "anew", folder.name]


def test_it_comes_to_its_end_alone(data: Path, capsys) -> None:
    dataset.begin_in_background()
    (process,) = processes._early
    wait_for(lambda: process.returncode is not None)  # set by a thread: it is no zombie
    assert process.returncode == 0 and len(list(phantom_folder(*SMALL).glob("*.jpg"))) == 12
    dataset.begin_in_background()
    assert [one.pid for one in processes._early] == [process.pid]  # there is nothing left to do
    open_dataset()
    assert capsys.readouterr().out == ""
    assert sorted(one.name for one in data.iterdir()) == [".lock", phantom_folder(*SMALL).name]


def test_asked_twice_it_is_begun_once(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "PHANTOM", LARGE)
    dataset.begin_in_background()
    (process,) = processes._early
    dataset.begin_in_background()
    assert processes._early == [process] and process.poll() is None


@pytest.mark.parametrize("source", ["kaggle", "my/folder", "a.zip"])
def test_other_data_needs_no_phantom(data: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.setenv("UNET_DATA", source)
    dataset.begin_in_background()
    assert processes._early == [] and not data.exists()


def test_whoever_opens_other_data_after_all_ends_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader takes the comment away from UNET_DATA, below the set-up cell."""
    monkeypatch.setattr(sources, "PHANTOM", LARGE)
    dataset.begin_in_background()
    (process,) = processes._early
    monkeypatch.setenv("UNET_DATA", str(tmp_path))
    assert open_dataset() == tmp_path.resolve() and process.returncode is not None


@has_proc
def test_another_notebook_need_not_wait_for_it(data: Path) -> None:
    """The first notebook's reader reads; the second wants data now, and in the first nothing is said."""
    kernel = program("import time\ntime.sleep(600)", LARGE)
    try:
        wait_for(lambda: n_done(data) >= 1)
        open_dataset()
        wait_for(lambda: not processes_naming(str(data)))
    finally:
        kernel.kill()
    assert kernel.communicate() == ("", "")


@has_proc
@pytest.mark.parametrize("how", ["kill", "end", "interrupt and end"])
def test_it_ends_with_its_kernel_and_without_a_word(data: Path, tmp_path: Path, how: str) -> None:
    stop = tmp_path / "stop"
    kernel = program(f"import os, time\nwhile not os.path.exists({str(stop)!r}): time.sleep(0.05)", LARGE)
    wait_for(lambda: n_done(data) >= 1)
    (early,) = [line for line in processes_naming(str(data)) if "phantom.early" in line]
    if how == "interrupt and end":
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            if early == path.read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                os.kill(int(path.parent.name), signal.SIGINT)
        time.sleep(0.5)
        assert early in processes_naming(str(data))  # the stop button is not meant for it
    if how == "kill":
        kernel.kill()
    stop.touch()
    assert kernel.communicate(timeout=60) == ("", "")
    wait_for(lambda: not processes_naming(str(data)))
    assert kernel.returncode == (-signal.SIGKILL if how == "kill" else 0)
    assert n_done(data) >= 1 and not list(data.glob("phantom-*"))


# ------------------------------------------------------------------------------------------ what goes wrong
def test_stopped_it_keeps_what_is_written(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = dataset.finish_patient

    def stop_at_3(job: dataset.Job, index: int) -> None:
        if index == 3:
            raise KeyboardInterrupt
        real(job, index)

    monkeypatch.setattr(dataset, "n_cores", lambda: 1)
    with monkeypatch.context() as patch:
        patch.setattr(dataset, "finish_patient", stop_at_3)
        with pytest.raises(Stopped, match=r"What is written is kept: run this cell again to go on\.$"):
            open_dataset()
    assert n_done(data) == 3 and not list(data.glob("phantom-*"))
    again = []
    monkeypatch.setattr(dataset, "finish_patient", lambda job, index: (again.append(index), real(job, index)))
    assert len(list(open_dataset().glob("*.jpg"))) == 12 and again == [3, 4, 5]


def test_a_full_disk_is_one_sentence_and_nothing_is_left_in_the_way(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.jpg")

    monkeypatch.setattr(dataset, "save_slice", full)
    monkeypatch.setattr(dataset, "n_cores", lambda: 1)
    message = r"could not be written to .*: a\.jpg: No space left on device\. Free some disk space\. It needs"
    with pytest.raises(NotWritten, match=message) as told:
        open_dataset()
    assert told.value._render_traceback_() == [str(told.value)]
    assert [one.name for one in data.iterdir()] == [".lock"]


def test_a_home_that_cannot_be_written_is_one_sentence_and_no_word_before(
    data: Path, tmp_path: Path, capfd
) -> None:
    (tmp_path / "home").write_text("a file, where a folder is needed")
    dataset.begin_in_background()
    (process,) = processes._early
    wait_for(lambda: process.returncode is not None)
    assert tuple(capfd.readouterr()) == ("", "")
    with pytest.raises(NotWritten, match="UNET_HOME may name a folder on another disk") as told:
        open_dataset()
    assert "\n" not in str(told.value)


def test_no_process_can_be_started(data: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(sys, "executable", "no such program")
    dataset.begin_in_background()
    assert processes._early == [] and tuple(capsys.readouterr()) == ("", "")
