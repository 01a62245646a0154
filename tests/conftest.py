"""What all tests share: no window is opened, and nothing is read from or written to the user's own runs.

A test that needs a package which is not there is skipped and says so; with UNET_TESTS_STRICT=1 it fails.
Tests marked `alone` run after the others, one by one; those that drive a browser are marked here.
"""

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("MPLBACKEND", "Agg")
# one thread: tiny networks gain nothing from more, a busy machine does not slow them down, and the number is
# fixed: engine.threads would change it, and with it the last digits that tests compare
os.environ.setdefault("OMP_NUM_THREADS", "1")
# programs that a test starts in other folders find the package, which conda does not install
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def import_or_fail(name: str, *_: Any, reason: str | None = None, **__: Any) -> Any:
    """`pytest.importorskip` with UNET_TESTS_STRICT=1: what is missing is an error, not a skipped test."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        pytest.fail(f"{reason or error} (UNET_TESTS_STRICT=1 skips no test for it)", pytrace=False)


if os.environ.get("UNET_TESTS_STRICT") == "1":
    pytest.importorskip = import_or_fail


@pytest.hookimpl(tryfirst=True)  # before marks are looked at
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser beside another test would be slow at answering: what drives one runs alone."""
    for item in items:
        if item.path.stem.endswith("_browser"):
            item.add_marker("alone")


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Data sets and runs of the whole session live in one temporary folder, one for each process of xdist."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNET_HOME", str(tmp_path_factory.mktemp("home")))
        for name in ("UNET_DATA", "UNET_STEPS"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    """Figures that a test opened are closed, or matplotlib warns in a later one that there are too many."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
