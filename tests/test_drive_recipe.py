"""Colab ends a session: what lessons 4 and 5 say about Google Drive, to the letter, on three machines.

The first machine trains a few steps and is gone. The next ones have working folders of their own and the same
Drive: lesson 4 goes on, and lesson 5 judges its run.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from lesson_runs import OwnKernel, Ran, Reader

import unet_helpers
from unet_helpers.training import run_status

STUB = '''
import os
from pathlib import Path

def mount(place):
    """As google.colab.drive does: the Drive of this account is seen at a place."""
    Path(place).symlink_to(os.environ["ACCOUNT"])
    print(f"Mounted at {place}")
'''
SMALL = "from unet_helpers.folders import sources\nsources.PHANTOM = (18, 2, 64, 0)"
STEPS = 8


class Session(Reader):
    """A session of Colab: a new machine, whose `/content` is `machine`, with the account's Drive."""

    def __init__(self, lesson: str, site: Path, machine: Path, account: Path) -> None:
        super().__init__(lesson, machine, steps=STEPS, before=SMALL)
        machine.mkdir()
        del self.environment["UNET_HOME"]
        self.environment |= {"PYTHONPATH": str(site), "ACCOUNT": str(account)}
        recipe = self.cells["drive"].splitlines()
        assert all(line.startswith("# ") for line in recipe)
        uncommented = "\n".join(line.removeprefix("# ") for line in recipe)
        assert uncommented.count("/content/drive") == 2
        self.cells["drive"] = uncommented.replace("/content", str(machine))
        self.machine = machine

    def start(self) -> None:
        self.kernel = OwnKernel()
        self.kernel.start_kernel(env=self.environment, cwd=str(self.machine))
        self.client = self.kernel.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)

    def run_until(self, words: str) -> Ran:
        """Run the cells of the set-up and of the data, and the one with these words."""
        last = self.cell_with(words)
        cells = ["plumbing", "setup-cell", "drive", "open-data", "load-data", last]
        done = self.run_all(cells=[cell for cell in cells if cell in self.cells])
        assert not [ran for ran in done if ran.error], done[-1]
        return done[-1]

    def kill_in_the_middle_of(self, run: Path) -> None:
        """The session is over when the training has saved a step."""
        last = self.cell_with("uh.fit(*parts, run_dir")
        self.run_until("uh.open_dataset()")

        def gone(printed: str, seconds: float) -> bool:
            if run_status(run).step > 0:
                self.kernel.signal_kernel(signal.SIGKILL)
            return False

        with pytest.raises(AssertionError, match="the kernel died in"):
            self.run(last, gone)


def test_a_training_on_the_drive_outlives_its_machine(tmp_path: Path) -> None:
    site, account = tmp_path / "site", tmp_path / "account"
    own = Path(unet_helpers.__file__).parent
    shutil.copytree(own, site / "unet_helpers", ignore=shutil.ignore_patterns("__pycache__"))
    (site / "google" / "colab").mkdir(parents=True)
    (site / "google" / "colab" / "__init__.py").touch()
    (site / "google" / "colab" / "drive.py").write_text(STUB)
    (account / "MyDrive").mkdir(parents=True)
    runs = account / "MyDrive" / "unet" / "runs" / "lesson"
    name = f"phantom-18x2-64px-seed0-v{unet_helpers.phantom.VERSION}"

    with Session("04_training.ipynb", site, tmp_path / "first", account) as session:
        session.kill_in_the_middle_of(runs / name)
    status = run_status(runs / name)
    assert 0 < status.step < STEPS and not status.finished

    with Session("04_training.ipynb", site, tmp_path / "second", account) as session:
        ran = session.run_until("uh.fit(*parts, run_dir")
    assert f"Run in {name}: continued at step {status.step}" in ran.printed
    assert run_status(runs / name).step == STEPS and run_status(runs / name).finished

    with Session("05_evaluation.ipynb", site, tmp_path / "third", account) as session:
        ran = session.run_until("judging.choose_network(")
    assert (
        f"We judge lesson 4's network: its training on this data is finished at step {STEPS}" in ran.printed
    )
    for machine in ("first", "second", "third"):  # data lie on the machine, written anew
        assert len(list((tmp_path / machine / "data" / name).glob("*.jpg"))) == 36
        assert not (tmp_path / machine / "runs").exists()
    assert [path.name for path in account.rglob("*") if path.name in ("data", "desk")] == []
    assert {path.name for path in (account / "MyDrive" / "unet").iterdir()} <= {"runs", "progress.json"}
    assert len(os.listdir(account / "MyDrive")) == 1
