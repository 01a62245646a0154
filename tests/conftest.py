"""What all tests share: no window is opened, and nothing is read from or written to the user's own runs."""

import os
import sys
from collections.abc import Iterator

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
# one thread: tiny networks gain nothing from more, a busy machine does not slow them down, and the number is
# fixed: engine.threads would change it, and with it the last digits that tests compare
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Data sets and runs of the whole session live in one temporary folder."""
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
