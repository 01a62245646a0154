"""The benchmark beside busy neighbours: what it counts, and that its neighbours come and go."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_data import write_tiny

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
import busy

from unet_helpers.engine import threads
from unet_helpers.training import TrainConfig


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve pairs, and steps that suit them."""
    monkeypatch.setattr(busy, "TrainConfig", lambda: TrainConfig(batch_size=2, patch_size=32))
    return write_tiny(tmp_path / "data")


def test_the_table_compares_with_the_quiet_run_that_nobody_watched():
    table = busy.Table()
    for n, before, watched in ((0, 40.0, 41.0), (1, 2000.0, 60.0), (2, 3000.0, 100.0)):
        for factor in (0.5, 1.0, 1.25):
            table.add("step", "as before", n, factor * before)
            table.add("step", "watched", n, factor * watched)
            table.add("pair", "one thread", n, factor * 2.0)
    first, _, before, watched, pair = str(table).splitlines()
    assert first == "| ms an item | quiet | 1 busy | 2 busy |"
    assert before.startswith("| step, as before | 40 (20 to 50), 1.00x | 2e+03 (1e+03 to 2.5e+03), 50.00x |")
    assert watched.split(" | ")[1:3] == ["41 (20.5 to 51.2), 1.02x", "60 (30 to 75), 1.50x"]
    assert pair.split(" | ")[1:] == ["2 (1 to 2.5), 1.00x"] * 2 + ["2 (1 to 2.5), 1.00x |"]


@pytest.mark.parametrize("kind", busy.NEIGHBOURS)
def test_neighbours_are_busy_and_end_with_the_block(kind: str, monkeypatch):
    started, real = [], subprocess.Popen

    def start(*args, **options):
        started.append(real(*args, **options))
        return started[-1]

    monkeypatch.setattr(busy.subprocess, "Popen", start)
    monkeypatch.setattr(busy, "SETTLING_SECONDS", 0.2)

    def fail() -> None:
        with busy.neighbours(kind, 2):
            assert [process.poll() for process in started] == [None, None]
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert len(started) == 2 and all(process.returncode for process in started)


def test_milliseconds_are_those_of_a_step_an_image_and_a_pair(folder: Path, monkeypatch):
    now, n_pairs = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def step(run, sampler):
        now[0] += 0.25
        run.step += 1

    class Network(torch.nn.Conv2d):
        def forward(self, images):
            now[0] += 0.1 * len(images)
            return super().forward(images)

    def check(folder, progress):
        now[0] += 0.6
        n_pairs.append(12)
        return {"n_pairs": 12}

    monkeypatch.setattr(busy, "train_step", step)
    monkeypatch.setattr(busy, "UNet", lambda: Network(1, 1, 3, padding=1))
    monkeypatch.setattr(busy, "check_folder", check)
    assert busy.training(folder, 1.0) == pytest.approx(250)
    assert busy.prediction(folder, 2.0) == pytest.approx(100)
    assert busy.checking(folder, 1.0) == pytest.approx(50) and len(n_pairs) == 2


def test_every_cell_is_measured_and_only_the_watched_ones_are_asked_about(folder: Path, monkeypatch):
    asked = []
    monkeypatch.setattr(busy, "SETTLING_SECONDS", 0.0)
    monkeypatch.setattr(busy, "N_NEIGHBOURS", (0, 1))
    monkeypatch.setattr(busy, "training", lambda *_: asked.append(threads.work_together(3)) or 1.0)
    monkeypatch.setattr(busy, "prediction", lambda *_: 2.0)
    monkeypatch.setattr(threads, "work_together", lambda n: False)
    table = busy.measure(folder, "python", n_runs=2, seconds=0.01)
    assert asked == [True, False] * 4
    assert {len(runs) for runs in table.runs.values()} == {2} and len(table.runs) == 10


def test_it_wants_free_threads(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["busy.py"])
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with pytest.raises(
        SystemExit, match="The threads must be free, and more than one: unset OMP_NUM_THREADS"
    ):
        busy.main()
