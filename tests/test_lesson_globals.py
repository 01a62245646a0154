"""No widget reads a name of its lesson that a later cell binds again: after Run All it would be dead.

A slider of lesson 3 once called a lambda of its cell, which read a name that the last cell used for something
else. So: whatever a lesson hands to `move.something(...)` may hold functions of the lesson, and what these
read must stay what it was.
"""

from __future__ import annotations

import ast
import json
import symtable
from collections.abc import Iterator
from pathlib import Path

import pytest

KEEPING = ("partial", "dict", "list", "tuple")  # calls that keep the functions which they are given
NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("0*.ipynb"))


def cells_of(path: Path) -> list[str]:
    book = json.loads(path.read_text("utf-8"))
    code = ("".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code")
    return ["\n".join("" if line[:1] in "%!" else line for line in source.split("\n")) for source in code]


def bound(tree: ast.AST) -> set[str]:
    """Names that a cell binds for the whole lesson: by =, def, class, import, for, with."""
    table = symtable.symtable(ast.unparse(tree), "cell", "exec")
    return {one.get_name() for one in table.get_symbols() if one.is_assigned() or one.is_imported()}


def read_by(function: ast.AST) -> set[str]:
    """Names of the lesson that a function or a lambda reads, in whatever depth."""

    def free(table: symtable.SymbolTable) -> Iterator[str]:
        if table.get_type() == "function":
            yield from (one.get_name() for one in table.get_symbols() if one.is_global())
        for inner in table.get_children():
            yield from free(inner)

    return set(free(symtable.symtable(ast.unparse(function), "function", "exec")))


def held(tree: ast.AST) -> Iterator[ast.AST]:
    """The parts of an expression that what it makes may keep: not what is handed to another function."""
    if isinstance(tree, ast.Call) and ast.unparse(tree.func) not in KEEPING:
        return
    yield tree
    if not isinstance(tree, ast.Lambda | ast.FunctionDef):
        for child in ast.iter_child_nodes(tree):
            yield from held(child)


def names_in(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def handed_over(call: ast.Call, cells: list[ast.Module]) -> list[ast.AST]:
    """The functions of the lesson that a call may keep: in its arguments, and in what these are made of."""
    parts: list[ast.AST] = [*call.args, *(keyword.value for keyword in call.keywords)]
    seen: set[str] = set()
    found: list[ast.AST] = []
    while parts:
        part = parts.pop()
        for node in held(part):
            if isinstance(node, ast.Lambda | ast.FunctionDef):
                found.append(node)
                seen |= (called := read_by(node) - seen)
                parts += [made for cell in cells for name in called for made in makers(cell, name)]
        names = {node.id for node in held(part) if isinstance(node, ast.Name)}
        for name in names - seen:
            seen.add(name)
            parts += [made for cell in cells for made in makers(cell, name)]
    return found


def makers(cell: ast.Module, name: str) -> Iterator[ast.AST]:
    """What a name is made of: the function of that name, what is assigned to it or to a part of it."""
    for node in cell.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            yield node
    for node in ast.walk(cell):
        targets = [*getattr(node, "targets", ()), getattr(node, "target", ast.Pass())]
        if hasattr(node, "value") and any(name in names_in(target) for target in targets):
            yield node.value


def dead_after_run_all(sources: list[str]) -> list[str]:
    """Widgets of a lesson that read a name which a later cell, or a later line, binds again."""
    cells = [ast.parse(source) for source in sources]
    troubles = []
    for i, cell in enumerate(cells):
        for k, line in enumerate(cell.body):
            later = [ast.Module(cell.body[k + 1 :], []), *cells[i + 1 :]]
            again = set().union(*map(bound, later))
            for call in (node for node in ast.walk(line) if isinstance(node, ast.Call)):
                if not (isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "move"):
                    continue
                for function in handed_over(call, cells[: i + 1]):
                    reads = read_by(function) & again
                    if reads:
                        troubles.append(f"{ast.unparse(call.func)} reads {', '.join(sorted(reads))}")
    return troubles


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem[:2])
def test_no_widget_reads_what_a_later_cell_binds_again(path: Path) -> None:
    sources = cells_of(path)
    assert any("move." in source for source in sources)
    assert not dead_after_run_all(sources)


@pytest.mark.parametrize(
    "sources",
    [
        ["image = 1\nmove.design(lambda depth: image + depth)", "image = 2"],
        ["def paint(depth):\n    return [image]", "image = 1\nmove.a(paint)\nimage = 2"],
        ["def rule(mask):\n    return half(mask)", "rules = {}\nrules['one'] = rule\nmove.b(rules)",
         "def half(mask):\n    return 0"],
        ["make = lambda: shape\nmove.c(size=make)", "for shape in range(3):\n    pass"],
    ],
)  # fmt: skip
def test_a_widget_that_would_be_dead_is_found(sources: list[str]) -> None:
    assert len(dead_after_run_all(sources)) == 1


def test_what_stays_is_no_trouble() -> None:
    fine = ["image = 1\nmove.design(lambda image: image)", "image = 2\nprint(image)", "import numpy as np"]
    assert not dead_after_run_all(fine)
