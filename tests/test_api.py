"""The names that `import unet_helpers` offers, and docs/api.md, whose every line is run."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import unet_helpers as uh

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "api.md").read_text("utf-8")


# ---------------------------------------------------------------------------------------------- the names
def test_these_names_are_offered():
    assert uh.__all__ == sorted(uh.__all__, key=lambda name: (name[0].islower(), name))
    assert 25 <= len(uh.__all__) <= 35 and set(uh.__all__) == set(uh._HOME_OF)


@pytest.mark.parametrize("name", uh.__all__)
def test_a_name_is_what_its_module_exports(name: str):
    home = importlib.import_module(f"unet_helpers.{uh._HOME_OF[name]}")
    assert getattr(uh, name) is getattr(home, name) and name in home.__all__


def test_type_checkers_read_the_same_names():
    tree = ast.parse((ROOT / "unet_helpers" / "__init__.py").read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imported = {alias.name: node.module.partition(".")[2] for node in block.body for alias in node.names}
    assert imported == {**uh._HOME_OF, **dict.fromkeys(uh._MODULES, "")}


def test_modules_and_dir():
    from unet_helpers import exercises, metrics

    assert uh.metrics is metrics and uh.exercises is exercises
    assert {*uh.__all__, "metrics", "phantom", "__version__"} <= set(dir(uh))
    with pytest.raises(AttributeError, match="module 'unet_helpers' has no attribute 'unet'"):
        uh.unet  # noqa: B018


def test_the_package_is_imported_for_nothing():
    code = (
        "import sys, unet_helpers; dir(unet_helpers)\n"
        "print({'torch', 'numpy', 'matplotlib', 'PIL'} & sys.modules.keys())\n"
        "unet_helpers.dice; print({'torch', 'numpy', 'matplotlib'} & sys.modules.keys() >= {'numpy'})"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout == "set()\nTrue\n", ran.stderr


def test_the_wheel_says_that_it_is_typed():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]
    assert build["wheel"]["packages"] == ["unet_helpers"] and (ROOT / "unet_helpers" / "py.typed").is_file()


# ----------------------------------------------------------------------------------------------- the page
def test_the_page_has_one_example_of_each_name():
    sections = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
    assert sorted(sections) == sorted(uh.__all__)
    for name, text in sections.items():
        said, example = re.fullmatch(r"(.*?)```python\n(.*?)```\s*", text, re.DOTALL).groups()
        assert f"uh.{name}(" in example and said.strip().endswith("."), name
    modules = re.findall(r"^## .*`unet_helpers\.(\w+)`|^### `(\w+)`", PAGE, re.MULTILINE)
    home = ""
    for module, name in modules:
        home = module or home
        assert module or uh._HOME_OF[name] in (home, "training"), f"{name} is not in {home}"


def run_lines(source: str, place: str, names: dict[str, Any]) -> int:
    """Run Python statement by statement; what an arrow announces must be what comes out. Returns how many."""
    n_checked = 0
    for node in ast.parse(source).body:
        announced = re.search(r"# -> (.*)", source.splitlines()[node.end_lineno - 1])
        if announced:
            assert isinstance(node, ast.Expr), f"{place}: {ast.unparse(node)} has no value"
            value = eval(compile(ast.Expression(node.value), place, "eval"), names)
            assert repr(value) == announced[1].strip(), f"{place}: {ast.unparse(node)}"
            n_checked += 1
        else:
            exec(compile(ast.Module([node], []), place, "exec"), names)
    return n_checked


def test_every_line_of_the_page_runs(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("UNET_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    n_checked = sum(run_lines(source, f"example {n}", names) for n, source in enumerate(blocks))
    assert len(blocks) == 1 + len(uh.__all__) and n_checked >= 25


def test_a_wrong_arrow_is_seen():
    with pytest.raises(AssertionError, match=r"here: 1 \+ 1"):
        run_lines("1 + 1  # -> 3", "here", {})
