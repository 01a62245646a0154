"""The ways on which a student gets a lesson and the package: an address, a copy that carries it, a zip."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from colab.environment import ROOT

GITHUB = "https://github.com/somebody/unet-kidney-stones"
NOT_OURS = shutil.ignore_patterns(".*", "__pycache__", "*.pyc", "executed", "runs", "data", "build", "dist")


@dataclass(frozen=True)
class Way:
    """Notebooks as students get them.

    Attributes:
        name: For the report.
        books: Folder of the notebooks.
        settings: Environment variables that it needs on the machine.
    """

    name: str
    books: Path
    settings: dict[str, str] = field(default_factory=dict)


def by_address(sandbox: Path, root: Path = ROOT) -> Way:
    """The project published: notebooks that name an address, which git finds in a bare repository here.

    The address is one of GitHub, so that everything is as it will be; git alone is told that it lies in a
    folder. Whatever is fetched in another way than by git is not found.

    Raises:
        RuntimeError: If a command fails; with what it said.
    """
    tree, bare = sandbox / "tree", sandbox / "published.git"
    shutil.copytree(root, tree, ignore=NOT_OURS)
    project = tree / "pyproject.toml"
    text, n = re.subn(r'(?m)^Repository = ".*"', f'Repository = "{GITHUB}"', project.read_text("utf-8"))
    if n != 1:
        raise RuntimeError("pyproject.toml names no repository.")
    project.write_text(text, encoding="utf-8")
    _do([sys.executable, "tutorial.py", "address"], tree)
    git = ["git", "-c", "user.name=Contract", "-c", "user.email=contract@example.invalid"]
    _do([*git, "init", "--quiet", "--initial-branch=main"], tree)
    _do([*git, "add", "--all"], tree)
    _do([*git, "commit", "--quiet", "--no-verify", "--message=Published"], tree)
    _do([*git, "clone", "--quiet", "--bare", str(tree), str(bare)], sandbox)
    _do([*git, "config", "uploadpack.allowFilter", "true"], bare)
    found_here = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{bare.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": GITHUB,
    }
    return Way("address", tree / "notebooks", found_here)


def self_contained(sandbox: Path, root: Path = ROOT) -> Way:
    """Copies that carry the package; nothing else is on the machine."""
    return Way("self-contained", written(sandbox, root))


def lessons_alone(sandbox: Path, root: Path = ROOT) -> Way:
    """The notebooks of the repository as they are: without an address, and without the package."""
    return Way("as it is", root / "notebooks")


def for_kaggle(sandbox: Path, root: Path = ROOT) -> Way:
    """Copies without the package, whose first cell shows an upload button in Colab."""
    return Way("uploaded zip", written(sandbox, root) / "kaggle")


def zipped(sandbox: Path, root: Path = ROOT) -> Path:
    """The package as a zip, as whoever gives the lessons away sends it along."""
    return written(sandbox, root) / "unet_helpers.zip"


def written(sandbox: Path, root: Path = ROOT) -> Path:
    """What `tutorial.py colab` writes, once.

    Raises:
        RuntimeError: If it fails; with what it said.
    """
    out = sandbox / "copies"
    if not out.is_dir():
        _do([sys.executable, "tutorial.py", "colab", str(out)], root)
    return out


def _do(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stdout}{done.stderr}")
