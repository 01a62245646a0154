"""What the package exports, which way its imports run, and what must not stand in it."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "unet_helpers"


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


# The student's tour, in the order in which to read it: each may import those before it.
CORE = (
    "data transforms model losses metrics inference checkpoint training evaluation plotting inspector".split()
)
LEAVES = {  # small, and without imports from the package
    *("engine.checks", "engine.devices", "engine.doors", "engine.figures", "engine.files", "engine.progress"),
    *("pictures.styles", "widgets.inspector_controls"),
}


def imported_at_once(path: Path) -> set[str]:
    """Modules of the package that a file imports when it is imported itself: not inside of functions."""
    tree, names = ast.parse(path.read_text("utf-8")), set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} must name the package in full"
            package = PACKAGE.joinpath(*(node.module or "").split(".")[1:])
            if package.is_dir():  # `from unet_helpers.engine import files`
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
            else:
                names.add(node.module or "")
    return {name.removeprefix("unet_helpers.") for name in names if name.startswith("unet_helpers.")}


@pytest.mark.parametrize("name", CORE)
def test_the_tour_runs_downwards_and_enters_no_room_at_import(name: str):
    allowed = {*CORE[: CORE.index(name)], *LEAVES}
    assert imported_at_once(PACKAGE / f"{name}.py") <= allowed


def test_the_tour_is_all_there_is_beside_the_rooms():
    assert {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"} == set(CORE)


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_leaves_import_nothing_of_the_package(name: str):
    assert not imported_at_once(PACKAGE.joinpath(*name.split(".")).with_suffix(".py"))


def test_a_door_opens_when_it_is_used():
    """In a process of its own, where nobody has opened it before."""
    code = (
        "import sys; from unet_helpers import evaluation; room = 'unet_helpers.scores.comparison'\n"
        "print(room in sys.modules, {'compare', 'evaluate'} <= set(dir(evaluation)), room in sys.modules)\n"
        "from unet_helpers.evaluation import compare; print(compare is sys.modules[room].compare)\n"
        "print(hasattr(evaluation, 'comapre'))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout == "False True False\nTrue\nFalse\n", ran.stderr


def test_training_and_evaluation_load_few_modules():
    code = "import sys, unet_helpers.training, unet_helpers.evaluation; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert len([name for name in loaded.stdout.split() if name.startswith("unet_helpers")]) <= 14


@pytest.mark.parametrize("room", sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")))
def test_rooms_do_not_know_the_command_line(room: str):
    if room != "command_line":
        found = {name for path in (PACKAGE / room).rglob("*.py") for name in imported_at_once(path)}
        assert not {name for name in found if name.startswith("command_line")}


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
