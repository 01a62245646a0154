"""The first cell of the copies that `tutorial.py colab` makes: with it `import unet_helpers` works anywhere.

The cell holds everything below the line of dashes, as text, for at that moment there is no package to import
from; so all of it needs only the standard library. The lessons themselves have the short `first_cell.py`.
"""

# ---------------------------------------------------------------------------------------------- the cell
import sys

if sys.version_info < (3, 11):  # noqa: UP036
    found = f"{sys.version_info[0]}.{sys.version_info[1]}"
    raise RuntimeError(f"This lesson needs Python 3.11 or newer; this is Python {found}.")

import hashlib
import importlib
import importlib.util
import io
import os
import shutil
import subprocess
import tempfile
import zipfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

KAGGLE, COLAB = Path("/kaggle"), Path("/content")
INSIDE = "unet_helpers/__init__.py"


class NoPackage(Exception):
    """What to do where you are; a notebook shows this sentence alone."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def find_package(address: str, carried: str = "") -> None:
    """Make `import unet_helpers` work: from here, from what is installed, from a zip, from the address."""
    if carried:  # a copy of the lesson that brings its package along, which is the one it was made with
        return use(unpacked(b64decode(carried)))
    for folder in (Path(".."), Path()):
        if (folder / INSIDE).is_file():
            return use(folder)
    if is_installed():
        return None
    for path in [*Path().glob("unet_helpers*.zip"), *COLAB.glob("unet_helpers*.zip"), *attached()]:
        return use(path if path.is_dir() else unpacked(path.read_bytes()))
    trouble = fetched(address) if ".invalid" not in address else "nobody has set its address yet"
    if trouble and in_colab():
        return use(unpacked(uploaded(trouble)))
    if trouble:
        raise NoPackage(f"The lesson's package is not here, and {trouble}. {what_to_do()}")
    return None


def use(folder: Path) -> None:
    """Import the package from this folder from now on, in this kernel and in what it starts."""
    here = str(folder.resolve())
    loaded = getattr(sys.modules.get("unet_helpers"), "__file__", None)
    if loaded and Path(loaded).resolve() != (folder / INSIDE).resolve():  # another copy: forget it
        for name in [name for name in sys.modules if name.partition(".")[0] == "unet_helpers"]:
            del sys.modules[name]
    sys.path[:] = [here, *(path for path in sys.path if path != here)]
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in ("", here)]
    os.environ["PYTHONPATH"] = os.pathsep.join([here, *others])
    importlib.invalidate_caches()


def is_installed() -> bool:
    """Whether Python finds the package by itself; an empty folder of its name does not count."""
    importlib.invalidate_caches()
    found = importlib.util.find_spec("unet_helpers")
    return found is not None and found.origin is not None


def attached() -> Iterator[Path]:
    """The package among the data sets of a Kaggle notebook: folders that hold it, then zips."""
    for depth in range(6):
        yield from (path.parents[1] for path in (KAGGLE / "input").glob("*/" * depth + INSIDE))
        yield from (KAGGLE / "input").glob("*/" * depth + "unet_helpers*.zip")


def unpacked(content: bytes) -> Path:
    """The folder with the package of a zip: named by its content, and there as a whole or not at all."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        inside = [name for name in archive.namelist() if f"/{name}".endswith(f"/{INSIDE}")]
        above = min(inside, key=len)[: -len(INSIDE)]  # of the whole project's zip: its own folder
    except (zipfile.BadZipFile, ValueError):
        raise NoPackage(
            "This zip holds no folder unet_helpers: take unet_helpers.zip as you got it."
        ) from None
    files = [one for one in archive.infolist() if one.filename.startswith(f"{above}unet_helpers/")]
    folder = cache() / hashlib.sha256(content).hexdigest()[:16]
    if not all((folder / one.filename).exists() for one in files):
        new = Path(tempfile.mkdtemp(dir=folder.parent))
        archive.extractall(new, files)
        try:
            new.rename(folder)
        except OSError:  # it is there: another notebook was faster, or files are missing
            missing = [one for one in files if not one.is_dir() and not (folder / one.filename).exists()]
            for lost in missing:
                (folder / lost.filename).parent.mkdir(parents=True, exist_ok=True)
                os.replace(new / lost.filename, folder / lost.filename)
            shutil.rmtree(new, ignore_errors=True)  # of theirs nothing is removed: it may be in use
    return folder / above


def cache() -> Path:
    """A folder of your own that can be written."""
    folder = Path.home() / ".cache" / "unet-kidney-stones"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp())


def fetched(address: str) -> str:
    """Install the package from its address, and nothing else: torch and numpy stay. Says what went wrong."""
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run([*pip, f"git+{address}"], capture_output=True, text=True)
    if done.returncode == 0 and is_installed():
        return ""
    said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return f"{address} did not give it ({said[-1].strip() if said else 'no word from pip'})"


def in_kaggle() -> bool:
    return "KAGGLE_KERNEL_RUN_TYPE" in os.environ or (KAGGLE / "working").is_dir()


def in_colab() -> bool:
    return not in_kaggle() and "google.colab" in sys.modules


def uploaded(trouble: str) -> bytes:
    """What the reader chooses with Colab's upload button."""
    files = importlib.import_module("google.colab.files")

    print(f"The lesson's package is not here, and {trouble}.")
    print("Press the button below and choose unet_helpers.zip, which came with this notebook.")
    chosen = list(files.upload().values())
    if not chosen:
        raise NoPackage("No file was chosen. Run this cell again, and choose unet_helpers.zip.")
    return bytes(chosen[0])


def what_to_do() -> str:
    if in_kaggle():
        return (
            "Either switch the internet on (Settings > Turn on internet) and run this cell again, or press "
            "Add input > Upload > New dataset, give it unet_helpers.zip, and run this cell again."
        )
    return (
        f"Put the folder unet_helpers, or unet_helpers.zip, beside this notebook, in {Path.cwd()}, "
        "and run this cell again."
    )
