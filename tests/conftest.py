"""What all tests share: no window is opened, and nothing is read from or written to the user's own runs.

A test that needs a package which is not there is skipped and says so; with UNET_TESTS_STRICT=1 it fails.
Where several processes share the tests (pytest-xdist), those marked `in_turn` never run beside each other.
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


LONGEST = ("test_stopped_lessons", "test_training")  # files that nobody should begin last


def urgency(item: pytest.Item) -> int:
    """0 for what begins first: what is `in_turn` takes longest, since only one process works on it."""
    if item.get_closest_marker("in_turn"):
        return 0
    return 1 if item.path.stem in LONGEST else 2


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in this hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tells xdist what stays together: a file, whose tests share what they prepare, and what is `in_turn`."""
    for item in items:
        if item.path.stem.endswith("_browser"):
            item.add_marker("in_turn")
    if hasattr(config, "workerinput"):  # this is one of several processes
        for item in items:
            group = "in turn" if item.get_closest_marker("in_turn") else item.path.stem
            item.add_marker(pytest.mark.xdist_group(group))
        items.sort(key=urgency)


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
