"""The conda environment: its file, the imitation of it, and what happens where a package is missing."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from conda_packages import ON_CONDA_FORGE, PYPI, conda_specs, requirements
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "environment.yml").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = ("lab", "kaggle", "dicom", "nifti", "coco", "dev")
NOT_IN_CONDA = {  # whose tests are skipped there, each with the line that installs it
    "dynamic-network-architectures",
    "monai",
    "playwright",
    "py-rattler",
    "scikit-learn",
    "unet-kidney-stones",
}


def wanted() -> dict[str, SpecifierSet]:
    """Name -> range of everything that pyproject.toml asks for, for users and developers."""
    lines = list(PROJECT["dependencies"])
    for extra in EXTRAS:
        lines += PROJECT["optional-dependencies"][extra]
    return {(parsed := Requirement(line)).name: parsed.specifier for line in lines}


def test_conda_reads_every_spec() -> None:
    rattler = pytest.importorskip("rattler", reason="needs py-rattler: pip install py-rattler")
    for spec in yaml.safe_load(TEXT)["dependencies"]:
        assert rattler.MatchSpec(spec, strict=True).version is not None, spec


def test_conda_and_pip_ask_for_the_same() -> None:
    conda = dict(spec.split(" ", maxsplit=1) for spec in yaml.safe_load(TEXT)["dependencies"])
    assert conda == conda_specs(TEXT)  # the imitation reads what conda reads
    assert SpecifierSet(conda.pop("python")) == SpecifierSet(PROJECT["requires-python"])
    ours = {PYPI.get(name, name): SpecifierSet(version) for name, version in conda.items()}
    assert ours == {name: asked for name, asked in wanted().items() if name not in NOT_IN_CONDA}


def test_the_imitation_installs_versions_that_conda_may_choose() -> None:
    script = subprocess.run(
        [sys.executable, ROOT / "tests" / "conda_packages.py"], capture_output=True, text=True, check=True
    )
    lines = [Requirement(line) for line in script.stdout.splitlines()]
    assert len(lines) == len(conda_specs(TEXT)) - 1  # all but Python
    for line in lines:
        assert next(iter(line.specifier)).version in wanted()[line.name], line


@pytest.mark.parametrize("change", ["  - new >=1.0\n", ""])
def test_a_package_of_unknown_version_is_named(change: str) -> None:
    text = TEXT + change if change else TEXT.replace("  - hypothesis >=6.100\n", "")
    with pytest.raises(ValueError, match=r"ON_CONDA_FORGE must name .*(new|hypothesis)"):
        requirements(text)
    assert "hypothesis" in ON_CONDA_FORGE


# ------------------------------------------------------------------------------- a package that is missing
def run_two(folder: Path, module: str, strict: bool) -> subprocess.CompletedProcess[str]:
    """Run two tests of which the first needs a module, with our conftest, in a folder of their own."""
    (folder / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text("utf-8"), "utf-8")
    needs = f"pytest.importorskip({module!r}, reason='needs it: pip install it')"
    tests = f"import pytest\ndef test_needs(): {needs}\ndef test_plain(): pass\n"
    (folder / "test_it.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-q", "-rsf", "-p", "no:cacheprovider", "-c", os.devnull]
    environment = {**os.environ, "UNET_TESTS_STRICT": "1" if strict else ""}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "200"}
    return subprocess.run(
        [*command, folder], cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8"
    )


def test_a_missing_package_skips_and_says_how_to_get_it(tmp_path: Path) -> None:
    done = run_two(tmp_path, "no_such_module", strict=False)
    assert done.returncode == 0 and "needs it: pip install it" in done.stdout, done.stdout
    assert "1 passed, 1 skipped" in done.stdout


def test_where_nothing_may_be_missing_it_fails(tmp_path: Path) -> None:
    done = run_two(tmp_path, "no_such_module", strict=True)
    assert done.returncode == 1 and "needs it: pip install it" in done.stdout, done.stdout
    assert "1 failed, 1 passed" in done.stdout
    assert "2 passed" in run_two(tmp_path, "json", strict=True).stdout


def test_every_skip_for_a_package_says_how_to_get_it() -> None:
    bare, n_seen = [], 0
    for path in sorted((ROOT / "tests").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        texts = {  # constants of the module, such as REASON
            ast.unparse(node.targets[0]): ast.unparse(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign)
        }
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.importorskip"):
                continue
            n_seen += 1
            reason = next((ast.unparse(word.value) for word in node.keywords if word.arg == "reason"), "")
            if ": pip install " not in texts.get(reason, reason):
                bare.append(f"{path.name}:{node.lineno}")
    assert not bare and n_seen > 8, f"reason='needs NAME: pip install NAME' is missing in {bare}"
