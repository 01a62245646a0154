"""The first cell of the lessons in the repository, short enough for whoever reads it on GitHub.

It finds the package and imports `settle` from it, from the zip if need be. Copies that bring the package
along, and those for Kaggle, have the whole of `plumbing.py` in place of this cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unet_helpers.classroom.plumbing import unpacked, use

__all__ = ["FIRST_CELL", "settle"]

FIRST_CELL = """\
import importlib.util
import subprocess
import sys
from pathlib import Path

from IPython.core.error import UsageError  # a notebook shows its sentence alone

if sys.version_info < (3, 11):
    raise UsageError("This lesson needs Python 3.11 or newer.")
address, why = "ADDRESS", "it has no address yet"
kaggle, inside, zipped = Path("/kaggle/input"), "unet_helpers/__init__.py", "unet_helpers*.zip"
# Is it above or beside this notebook, attached, or installed? Python imports from a zip, too.
folders = [*Path("..").glob(inside), *Path().glob(inside), *kaggle.rglob(inside)]
zips = [*Path().glob(zipped), *Path("/content").glob(zipped), *kaggle.rglob(zipped)]
sys.path[:0] = found = [str(one.resolve()) for one in [*(init.parents[1] for init in folders), *zips]]
importlib.invalidate_caches()
ready = getattr(importlib.util.find_spec("unet_helpers"), "origin", None)  # an empty folder has none
if not ready and ".invalid" not in address:  # fetch it; torch and numpy stay as they are
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run([*pip, f"git+{address}"], capture_output=True, text=True)
    ready, why = done.returncode == 0, done.stderr.strip().split("\\n")[-1]
if not ready:  # say what to do
    todo = f"Put the folder unet_helpers, or unet_helpers.zip, into {Path.cwd()}"
    if kaggle.parent.is_dir():
        todo = "Turn on internet (in Settings), or give unet_helpers.zip to Add input > Upload > New dataset"
    elif "google.colab" in sys.modules:
        todo += " (Files, left); or on your computer, python3 tutorial.py colab OUT makes copies with it"
    raise UsageError(f"The lesson's package is not here: {why}. {todo}. Then run this cell again.")
importlib.import_module("unet_helpers.classroom.first_cell").settle(found)  # unpacks a zip
"""


def settle(places: Sequence[str]) -> None:
    """Unpack the zip that this was imported from, and let what the kernel starts find the package, too.

    Args:
        places: Folders and zips that the cell found. A package that is installed is left as it is.
    """
    above = Path(__file__).parents[2]
    if str(above) in places:
        use(above if above.is_dir() else unpacked(above.read_bytes()))
