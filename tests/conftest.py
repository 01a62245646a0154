"""What all tests share: no window is opened, and nothing is read from or written to the user's own runs.

A test that needs a package which is not there is skipped and says so; with UNET_TESTS_STRICT=1 it fails.
Where several processes share the tests (pytest-xdist), those marked `in_turn` never run beside each other.
"""

import importlib
import os
import random
import signal
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
# the processes of xdist must collect the same tests in the same order, also those that come out of a set
os.environ.setdefault("PYTHONHASHSEED", str(random.randrange(2**32)))
# a shell that starts the tests in its background ignores Ctrl-C, and so would all programs that a test stops
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
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


# begin first, together with what is `in_turn` and what drives a browser
LONGEST = ("test_stopped_lessons", "test_training")


def group(item: pytest.Item) -> str:
    """Which piece a test belongs to: its file, whose tests share what they prepare, or what is `in_turn`.

    A file that prepares a `server` of several kinds is a piece for each of them.
    """
    if item.get_closest_marker("in_turn"):
        return "in turn"
    call = getattr(item, "callspec", None)
    return f"{item.path.stem} {call.params.get('server', '') if call else ''}".strip()


def is_long(item: pytest.Item) -> bool:
    """Whether a test belongs to a piece that takes so long that it had better begin at once."""
    name = item.path.stem
    return bool(name in LONGEST or name.endswith("_browser") or item.get_closest_marker("in_turn"))


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in this hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tells xdist, in each of its processes, what stays together and what begins first."""
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=lambda item: not is_long(item))


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
