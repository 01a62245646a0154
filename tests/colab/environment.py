"""The Python that Colab has: its versions, built once, watched, and made new again after every lesson."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "3.13"
COLAB = (  # what Colab's image had in August 2026; ipywidgets 7 and IPython 7 are the ones that differ most
    "torch==2.11.0",
    "torchvision==0.26.0",
    "ipywidgets==7.7.1",
    "ipython==7.34.0",
    "ipykernel==6.17.1",
    "numpy==2.1.3",
    "matplotlib==3.10.0",
    "pillow==11.3.0",
    "kagglehub==1.0.2",
)
THERE_TOO = ("scipy", "tqdm", "filelock", "jinja2", "pip")  # of versions that nobody has noted
NOTEBOOK = ("ipywidgets==7.7.1", "ipython==7.34.0", "ipykernel==6.17.1")  # what a lesson feels first
TESTERS = ("pytest>=8.0", "pytest-timeout>=2.3", "nbclient>=0.10", "codespell>=2.3")
FOR_UNITS = (*TESTERS, "pydicom>=3.0", "nibabel>=5.0", "pycocotools>=2.0.7", "pyyaml>=6.0")
UNTOUCHED = ("torch", "numpy")  # no set-up may install them anew: the kernel would have to start again
OURS = ("unet_helpers", "unet_kidney_stones-")
STAMP = "contract.json"
UNSEEN = {"UNET_HOME", "UNET_DATA", "UNET_STEPS", "MPLBACKEND", "PYTHONPATH", "VIRTUAL_ENV", "IPYTHONDIR"}


def started(python: str) -> str | None:
    """Version of a Python, such as "3.13"; None if it does not start."""
    probe = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        answer = subprocess.run(probe, capture_output=True, text=True)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def base_python() -> str:
    """A Python of Colab's version, or that version as a wish that uv grants by fetching one."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    name = f"python{PYTHON}"
    there = [sys.executable, shutil.which(name), *pyenv.glob(f"versions/{PYTHON}.*/bin/{name}")]
    return next((str(p) for p in there if p and started(str(p)) == PYTHON), PYTHON)


@dataclass(frozen=True)
class Environment:
    """A virtual environment in which our package is not installed.

    Attributes:
        folder: Where it lies.
        told: One line for the report: Python, versions, and what is borrowed.
        borrowed: `site-packages` of another environment that it sees, too; None if it is complete.
    """

    folder: Path
    told: str
    borrowed: Path | None = None

    @property
    def python(self) -> Path:
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def site(self) -> Path:
        if os.name == "nt":
            return self.folder / "Lib" / "site-packages"
        return next((self.folder / "lib").glob("python3.*/site-packages"))

    def variables(self, home: Path | None = None) -> dict[str, str]:
        """Of every process in it: nothing of ours, its own programs first, its own font cache.

        Args:
            home: HOME, so that no cache of another machine is found; pip keeps its settings and downloads.
        """
        mine = {name: text for name, text in os.environ.items() if name not in UNSEEN}
        mine = {name: text for name, text in mine.items() if not name.startswith(("COLAB_", "KAGGLE"))}
        path = os.pathsep.join([str(self.python.parent), os.environ.get("PATH", "")])
        mine |= {"PATH": path, "MPLCONFIGDIR": str(self.folder / "fonts"), "PYTHONUTF8": "1"}
        if home is not None:
            mine |= {"HOME": str(home), "USERPROFILE": str(home)}
            mine.setdefault("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip"))
            mine.setdefault("PIP_CONFIG_FILE", str(Path.home() / ".config" / "pip" / "pip.conf"))
        return mine

    def state(self) -> dict[str, str]:
        """All packages with their versions, and for torch and numpy a digest of dates and sizes."""
        sites = [str(one) for one in (self.site, self.borrowed) if one]
        found = {
            dist.metadata["Name"].lower(): dist.version for dist in reversed([*distributions(path=sites)])
        }
        for name in UNTOUCHED:
            places = [Path(site) for site in sites if (Path(site) / name).is_dir()]
            found[f"files of {name}"] = " ".join(_digest(place, name) for place in places)
        return found

    def make_new(self) -> None:
        """As on a machine that has just been lent: without our package."""
        for path in [*self.site.iterdir()]:
            if path.name.startswith(OURS):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _digest(site: Path, name: str) -> str:
    """Of date and size of all files of a package, and of the record of its installation."""
    digest = hashlib.sha256()
    for path in sorted([*_files(site / name), *site.glob(f"{name}-*.dist-info/RECORD")]):
        about = path.stat()
        digest.update(f"{path.relative_to(site)} {about.st_size} {about.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [one for one in folders if one != "__pycache__"]
        yield from (Path(place, name) for name in names)


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What a lesson did to the packages, in words; our own package may come."""
    told = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old == new or name.startswith(("unet-kidney", "unet_kidney")):
            continue
        if name.startswith("files of"):
            told.append(f"the {name} were written anew")
        else:
            told.append(f"{name} was {old or 'not there'} and is {new or 'gone'}")
    return told


# ------------------------------------------------------------------------------------------ building
def build(light: bool = False, root: Path = ROOT) -> Environment:
    """Colab's environment, ready: the one that is there, or a new one.

    Args:
        light: Whether Colab's notebook packages are enough, and torch and all else is borrowed from the
            environment that this process runs in.
        root: Folder of the project.

    Raises:
        SystemExit: If it cannot be built; uv has said why.
    """
    place = root / (".venv-colab-light" if light else ".venv-colab")
    wanted = fingerprint(light)
    if (known := _stamp(place)) and known["fingerprint"] == wanted and _borrowed_is_there(known):
        return Environment(place, known["told"], Path(known["borrowed"]) if known["borrowed"] else None)
    began = time.monotonic()
    base = sys.executable if light else base_python()
    if base == PYTHON and _uv("venv", "--clear", "--python", base, place) != 0:
        print(f"Python {PYTHON} cannot be had: Colab's versions are installed for {sys.version.split()[0]}.")
        base = sys.executable
    if base != PYTHON and _uv("venv", "--clear", "--python", base, place) != 0:
        raise SystemExit(f"No environment could be built in {place}, see above.")
    made = Environment(place, "", _own_site() if light else None)
    packages = NOTEBOOK if light else (*COLAB, *THERE_TOO)
    if _uv("pip", "install", "--python", made.python, *packages) != 0:
        raise SystemExit("Colab's versions could not be installed, see above. Is the internet on?")
    if made.borrowed:
        (made.site / "borrowed.pth").write_text(f"{made.borrowed}\n", encoding="utf-8")
    warm = "import torch, torchvision, ipywidgets, scipy.ndimage, matplotlib.pyplot, matplotlib.font_manager"
    subprocess.run([made.python, "-c", warm], env=made.variables(), check=True)
    told = _told(made.state(), str(started(str(made.python))), light, time.monotonic() - began)
    _write_stamp(place, {"fingerprint": wanted, "told": told, "borrowed": str(made.borrowed or "")})
    return Environment(place, told, made.borrowed)


def for_units(environment: Environment) -> None:
    """Add what the unit tests need; Colab has it not, so the next lesson gets a new environment.

    Raises:
        SystemExit: If it cannot be installed.
    """
    (environment.folder / STAMP).unlink(missing_ok=True)
    if _uv("pip", "install", "--python", environment.python, *FOR_UNITS) != 0:
        raise SystemExit("What the unit tests need could not be installed, see above.")


def fingerprint(light: bool) -> str:
    """Of all that decides what is installed."""
    text = json.dumps([PYTHON, COLAB, THERE_TOO, NOTEBOOK, light, sys.executable, sys.version, str(ROOT)])
    return hashlib.sha256(text.encode()).hexdigest()


def spoil(environment: Environment) -> None:
    """Something in it was changed: it is built anew the next time."""
    (environment.folder / STAMP).unlink(missing_ok=True)


def _told(state: dict[str, str], python: str, light: bool, seconds: float) -> str:
    names = ("torch", "numpy", "matplotlib", "ipywidgets", "ipython", "ipykernel")
    versions = ", ".join(f"{name} {state[name]}" for name in names)
    loan = " (torch, numpy and matplotlib borrowed from .venv)" if light else ""
    return f"Python {python}, {versions}{loan}; built in {seconds:.0f} s"


def _own_site() -> Path:
    import numpy

    return Path(numpy.__file__).resolve().parents[1]


def _borrowed_is_there(known: dict[str, str]) -> bool:
    return not known["borrowed"] or Path(known["borrowed"]).is_dir()


def _stamp(place: Path) -> dict[str, str] | None:
    try:
        found: dict[str, str] = json.loads((place / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _write_stamp(place: Path, content: dict[str, str]) -> None:
    unfinished = place / f"{STAMP}.part"
    unfinished.write_text(json.dumps(content), encoding="utf-8")
    unfinished.replace(place / STAMP)


def _uv(*words: str | Path) -> int:
    uv: Sequence[str] = [sys.executable, "-m", "uv", "--system-certs", "--quiet"]
    return subprocess.call([*uv, *map(str, words)])
