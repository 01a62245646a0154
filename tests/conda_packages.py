"""What environment.yml asks for, as pip writes it: the conda environment, imitated where there is no conda.

    python tests/conda_packages.py > conda.txt
    python -m venv env && env/bin/python -m pip install -r conda.txt
    env/bin/python tutorial.py test --here

Needs Python alone. Each package gets the version in `ON_CONDA_FORGE`, one that conda-forge has, and with
which the tests were run on 28 November 2026; a package that is missing there is an error, so that somebody
adds it. What these packages bring along is left to pip. Whether conda itself finds a solution, only conda
can tell: a job of .github/workflows/tests.yml asks it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ENVIRONMENT = Path(__file__).resolve().parents[1] / "environment.yml"
PYPI = {"pytorch": "torch", "matplotlib-base": "matplotlib"}  # conda's name -> PyPI's, where they differ
ON_CONDA_FORGE = {  # by conda's names; conda-forge had these, and newer ones of most, in June 2026
    "pytorch": "2.11.0",
    "torchvision": "0.26.0",
    "numpy": "2.3.5",
    "pillow": "12.1.1",
    "matplotlib-base": "3.10.8",
    "ipywidgets": "8.1.8",
    "scipy": "1.17.0",
    "tqdm": "4.67.3",
    "filelock": "3.20.3",
    "jinja2": "3.1.6",
    "jupyterlab": "4.5.6",
    "kagglehub": "0.4.2",
    "pydicom": "3.0.1",
    "nibabel": "5.3.3",
    "pycocotools": "2.0.11",
    "nbclient": "0.10.4",
    "nbval": "0.11.0",
    "pytest": "9.0.2",
    "pytest-timeout": "2.4.0",
    "pytest-xdist": "3.8.0",
    "ruff": "0.14.14",
    "mypy": "1.19.1",
    "pyyaml": "6.0.3",
    "hypothesis": "6.151.5",
    "codespell": "2.4.1",
}


def conda_specs(text: str) -> dict[str, str]:
    """Name and range of every package in the text of environment.yml, Python among them."""
    after = text.partition("\ndependencies:\n")[2]
    return dict(re.findall(r"^ +- ([\w-]+) +(\S+)$", after, flags=re.MULTILINE))


def requirements(text: str) -> list[str]:
    """Lines for pip: PyPI's names, pinned; Python is left out.

    Raises:
        ValueError: If `ON_CONDA_FORGE` knows no version of a package, or one that nobody asks for.
    """
    names = [name for name in conda_specs(text) if name != "python"]
    unknown = set(names) ^ set(ON_CONDA_FORGE)
    if unknown:
        raise ValueError(
            f"ON_CONDA_FORGE must name the packages of environment.yml, differs in {sorted(unknown)}."
        )
    return [f"{PYPI.get(name, name)}=={ON_CONDA_FORGE[name]}" for name in names]


if __name__ == "__main__":
    try:
        print("\n".join(requirements(ENVIRONMENT.read_text(encoding="utf-8"))))
    except ValueError as error:
        sys.exit(str(error))
