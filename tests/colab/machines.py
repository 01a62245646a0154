"""Machines that are lent for an evening: Colab's and Kaggle's folders and variables, on an empty disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

STUB = Path(__file__).resolve().parent / "stub"
COLAB = {
    "COLAB_RELEASE_TAG": "release-colab-external_20260811-060050_RC00",
    "COLAB_BACKEND_VERSION": "next",
    "COLAB_GPU": "",
    "COLAB_JUPYTER_IP": "172.28.0.12",
}
KAGGLE = {"KAGGLE_KERNEL_RUN_TYPE": "Interactive", "KAGGLE_URL_BASE": "https://www.kaggle.com"}
PLACES = {
    "colab": ("/content", "/content"),
    "kaggle": ("/kaggle", "/kaggle/working"),
}  # its root, work folder


@dataclass
class Machine:
    """One machine. Its disk is a folder of the sandbox that `/content` or `/kaggle` points to.

    Attributes:
        kind: "colab" or "kaggle".
        disk: The folder behind the link.
        settings: Environment variables on top.
    """

    kind: str
    disk: Path
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.disk.mkdir(parents=True)
        self.home.mkdir()
        if self.kind == "kaggle":
            (self.disk / "input").mkdir()
            (self.disk / "working").mkdir()

    @property
    def work(self) -> Path:
        """Where its notebooks work."""
        return Path(PLACES[self.kind][1])

    @property
    def own_work(self) -> Path:
        """The same folder by its real name, which stays when the machine is not lent."""
        return self.disk / "working" if self.kind == "kaggle" else self.disk

    @property
    def home(self) -> Path:
        """The home of its only user."""
        return self.disk.with_name(f"{self.disk.name}-home")

    def variables(self) -> dict[str, str]:
        ipython = self.home / ".ipython"
        if self.kind == "kaggle":
            return {**KAGGLE, "IPYTHONDIR": str(ipython), **self.settings}
        startup = ipython / "profile_default" / "startup"
        startup.mkdir(parents=True, exist_ok=True)
        (startup / "colab.py").write_text("import google.colab\n")  # as Colab's own kernel has done
        return {**COLAB, "IPYTHONDIR": str(ipython), "PYTHONPATH": str(STUB), **self.settings}

    @contextmanager
    def lent(self) -> Iterator[Machine]:
        """Make it *the* machine for a while; at the end it is taken away with all its files."""
        link = Path(PLACES[self.kind][0])
        link.symlink_to(self.disk, target_is_directory=True)
        try:
            yield self
        finally:
            link.unlink()
            shutil.rmtree(self.disk, ignore_errors=True)
            shutil.rmtree(self.home, ignore_errors=True)


def refusal(kind: str) -> str:
    """Why a kind of machine cannot be simulated here; "" if it can."""
    link = Path(PLACES[kind][0])
    if link.is_symlink() and not link.exists():  # of a contract that was killed
        link.unlink()
    if link.exists():
        return f"{link} exists on this computer, and is left alone"
    try:
        link.symlink_to(tempfile.gettempdir(), target_is_directory=True)
        link.unlink()
    except OSError:
        return f"{link} cannot be made on this computer by this user"
    return ""


@contextmanager
def alone() -> Iterator[None]:
    """One contract at a time: there is only one `/content` on a computer."""
    lock = FileLock(Path(tempfile.gettempdir()) / "unet-colab-contract.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("Another contract test runs on this computer: waiting for its end.", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def without_internet() -> list[str]:
    """Words before a command that take the network away; [] where this computer does not allow that."""
    words = (
        ["unshare", "--net"] if hasattr(os, "geteuid") and os.geteuid() == 0 else ["unshare", "-r", "--net"]
    )
    try:
        allowed = subprocess.run([*words, "true"], capture_output=True).returncode == 0
    except OSError:
        allowed = False
    return words if allowed else []


NOWHERE = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
