"""What the package exports, which way its imports run, and what must not stand in it."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "unet_helpers"
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__"))


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_what_a_module_exports_is_documented(path: Path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    if path.name == "__main__.py":
        return
    module = importlib.import_module(name)
    assert module.__doc__
    for exported in getattr(module, "__all__", ()):
        value = getattr(module, exported)
        assert not callable(value) or value.__doc__, f"{name}.{exported} has no docstring"


def imported_parts(path: Path) -> set[str]:
    """Top-level parts of unet_helpers that a file imports, wherever in the file it does."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} must name the package in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        parts |= {name.split(".")[1] for name in names if name.startswith("unet_helpers.")}
    return parts


def import_graph() -> dict[str, set[str]]:
    files = {name: [PACKAGE / f"{name}.py"] for name in MODULES}
    files |= {init.parent.name: sorted(init.parent.glob("*.py")) for init in PACKAGE.glob("*/__init__.py")}
    parts = {name: set().union(*map(imported_parts, paths)) for name, paths in files.items()}
    return {name: (imported & files.keys()) - {name} for name, imported in parts.items()}


def test_imports_run_one_way():
    graph, done = import_graph(), []
    while len(done) < len(graph):
        free = sorted(name for name in graph if name not in done and graph[name] <= set(done))
        assert free, f"a circle of imports among {sorted(set(graph) - set(done))}"
        done += free
    assert {"progress", "files"} <= {name for name in graph if not graph[name]}


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("data", "transforms"),
        ("transforms", "training"),
        ("model", "training"),
        ("losses", "training"),
        ("metrics", "training"),
        ("training", "evaluation"),
        ("evaluation", "plotting"),
        ("plotting", "rendering"),
        ("rendering", "inspector"),
        ("inspector", "cli"),
        ("rendering", "report"),
        ("report", "cli"),
        ("phantom", "data"),
    ],
)
def test_lower_layers_know_nothing_of_higher_ones(low: str, high: str):
    graph, reached, front = import_graph(), set(), {low}
    while front:
        reached |= front
        front = set().union(*(graph[name] for name in front)) - reached
    assert high not in reached


def committed_texts() -> list[Path]:
    folders = [PACKAGE, ROOT / "tests", ROOT / "notebooks", ROOT / "benchmarks"]
    inside = [p for folder in folders for p in folder.rglob("*") if p.suffix in {".py", ".ipynb", ".md"}]
    top = [p for p in ROOT.iterdir() if p.suffix in {".py", ".md", ".toml", ".yml", ".txt"}]
    return [p for p in inside + top if ".ipynb_checkpoints" not in p.parts]


def test_no_file_names_a_machine():
    # put together here, so that this file does not find itself; /usr/bin and /tmp are everyone's
    forbidden = re.compile("/" + r"(?:work|root|home/\w+|Users/\w+|workspace)/[\w.]")
    found = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in committed_texts()
        for match in forbidden.finditer(path.read_text("utf-8"))
    }
    assert not found, sorted(found)
