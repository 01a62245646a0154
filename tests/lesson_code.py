"""The rules of a lesson's code: exercises, guesses, things to move, and twins of what the package defines."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from typing import Any

from lesson_book import ROOT, Cell, Lesson

TWIN = re.compile(r"# (same as|simpler than) (unet_helpers(?:\.\w+)+)(?::? *(.*))?")
CHECK = re.compile(r"^(lesson\d\d)\.(\w+)\.check\((\w+)\)$", re.MULTILINE)


def tree_of(cell: Cell) -> ast.Module:
    """A code cell's syntax tree; lines that are Jupyter's own (!, %) are left out."""
    kept = [line for line in cell.source.splitlines() if not line.lstrip().startswith(("%", "!"))]
    return ast.parse("\n".join(kept))


def calls(cell: Cell) -> list[ast.Call]:
    return [node for node in ast.walk(tree_of(cell)) if isinstance(node, ast.Call)]


# ----------------------------------------------------------------------------------------- exercises
def exercises(lesson: Lesson) -> Iterator[str]:
    """Three or four, numbered, in cells of one form, the same ones as in the package."""
    module_name = f"lesson{lesson.number:02d}"
    module = importlib.import_module(f"unet_helpers.exercises.{module_name}")
    text = "\n".join(cell.source for cell in lesson.markdown)
    numbers = [int(number) for number in re.findall(r"\*\*Exercise (\d+)\.\*\*", text)]
    cells = [cell for cell in lesson.code if CHECK.search(cell.source)]
    if numbers != list(range(1, len(cells) + 1)):
        yield f"exercises must be numbered from 1, one a cell; found {numbers} and {len(cells)} cells"
    if len(cells) not in (3, 4):
        yield f"a lesson has 3 or 4 exercises, this one {len(cells)}"
    checks = [match for cell in cells if (match := CHECK.search(cell.source))]
    used = [match[2] for match in checks]
    if sorted(used) != sorted(module.__all__):
        yield f"the lesson uses {sorted(used)}, and the package has {sorted(module.__all__)}"
    for cell in cells:
        yield from _one_exercise(cell, module_name, module)
    n_code = sum(match[3] != "answer" for match in checks)  # a number or a word is called `answer`
    if n_code < 2:
        yield f"at least 2 exercises are code that the student writes, here {n_code}"


def _one_exercise(cell: Cell, module_name: str, module: Any) -> Iterator[str]:
    match = CHECK.search(cell.source)
    assert match is not None
    name, variable = match[2], match[3]
    own = f"{module_name}.{name}"
    end = f"{own}.check({variable})\n# {own}.hint()\n# {own}.solution()"
    if not cell.source.endswith(end) or match[1] != module_name:
        yield f"cell {cell.id} must end with check, hint and solution of {name}, the last two as comments"
    if not any(isinstance(node, ast.Constant) and node.value is ... for node in ast.walk(tree_of(cell))):
        yield f"cell {cell.id} must hold the three dots: the student has not been here"
    exercise = getattr(module, name, None)
    if exercise is None:
        return
    if exercise.name != f"{module_name}.{name}":
        yield f"{name} is kept under '{exercise.name}'; it must be '{module_name}.{name}'"
    if not exercise.because.strip():
        yield f"{name} does not say why its right answer is right (because=...)"
    if variable not in defined(ast.parse(exercise.solution_text)):
        yield f"the solution of {name} does not define `{variable}`, which is checked"


def defined(tree: ast.Module) -> set[str]:
    """Names that a piece of code defines at its top level."""
    names = {one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.ClassDef)}
    stored = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
    return names | {node.id for node in stored if isinstance(node.ctx, ast.Store)}


# ---------------------------------------------------------------------------------- guesses and moves
def guesses(lesson: Lesson) -> Iterator[str]:
    """At least two, each with its reveal in a later cell."""
    asked: dict[str, int] = {}
    revealed: dict[str, int] = {}
    for place, cell in enumerate(lesson.code):
        for call in calls(cell):
            target = {"guess": asked, "reveal": revealed}.get(getattr(call.func, "id", ""))
            if target is not None and call.args and isinstance(call.args[0], ast.Constant):
                target[str(call.args[0].value)] = place
    if len(asked) < 2:
        yield f"a lesson asks for at least 2 guesses, this one for {len(asked)}"
    for name in sorted(asked.keys() | revealed.keys()):
        if not name.startswith(f"lesson{lesson.number:02d}."):
            yield f"the guess '{name}' must be named 'lesson{lesson.number:02d}....'"
        if name not in asked or revealed.get(name, -1) <= asked[name]:
            yield f"the guess '{name}' must be asked for, and revealed in a later cell"


def moves(lesson: Lesson) -> Iterator[str]:
    """At least two cells call what the package has to be moved by hand."""
    names, n_moves = set(), 0
    for cell in lesson.code:
        for node in ast.walk(tree_of(cell)):
            if isinstance(node, ast.ImportFrom) and re.match(
                r"unet_helpers\.widgets(\.lesson|$)", node.module or ""
            ):
                names |= {alias.asname or alias.name for alias in node.names}
        roots = {_root(call.func) for call in calls(cell)}
        n_moves += bool(roots & names)
    if n_moves < 2:
        yield f"a lesson has at least 2 things to move (unet_helpers/widgets), this one {n_moves}"


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


# ---------------------------------------------------------------------------------- lesson = library
@cache
def package_names() -> dict[str, str]:
    """Public functions and classes of the tour, by name, with the module that defines each."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "unet_helpers").glob("[!_]*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, f"unet_helpers.{path.stem}")
    return found


def library(lesson: Lesson) -> Iterator[str]:
    """A definition that a lesson builds by hand equals its twin in the package, or says why it does not."""
    for cell in lesson.code:
        if not CHECK.search(cell.source):
            yield from twins(cell.source, tree_of(cell), f"cell {cell.id}")
    module = importlib.import_module(f"unet_helpers.exercises.lesson{lesson.number:02d}")
    for name in module.__all__:
        text = getattr(module, name).solution_text
        yield from twins(text, ast.parse(text), f"the solution of {name}")


def twins(source: str, tree: ast.Module, where: str) -> Iterator[str]:
    """What is wrong with the definitions of one piece of code."""
    told = {path.rpartition(".")[2]: (kind, path, why) for kind, path, why in TWIN.findall(source)}
    own = {one.name: one for one in tree.body if isinstance(one, ast.FunctionDef | ast.ClassDef)}
    for name, node in own.items():
        if name not in told:
            if name in package_names():
                module = package_names()[name]
                yield f"{where} defines {name}, and so does {module}: say '# same as' or '# simpler than'"
            continue
        kind, path, why = told[name]
        if kind == "simpler than" and len(why.split()) < 3:
            yield f"{where}: say in three words or more why {name} is simpler than its twin"
        twin = _twin(path)
        if twin is None:
            yield f"{where}: there is no {path}"
        elif kind == "same as" and essence(node) != essence(twin):
            yield f"{where}: {name} differs from {path}"
    for name in told.keys() - own.keys():
        yield f"{where} names a twin of {name} but does not define it"


def _twin(path: str) -> ast.stmt | None:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return None
    return ast.parse(textwrap.dedent(inspect.getsource(found))).body[0]


class _Essence(ast.NodeTransformer):
    """Drops what a lesson may leave out: docstrings, annotations, checks that only raise."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt | None:  # noqa: N802
        return None if node.value is None else ast.Assign(targets=[node.target], value=node.value)

    def visit_If(self, node: ast.If) -> ast.stmt | None:  # noqa: N802
        if not node.orelse and all(isinstance(one, ast.Raise) for one in node.body):
            return None
        return self.generic_visit(node)  # type: ignore[return-value]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:  # noqa: N802
        node.returns = None
        return self._without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.stmt:  # noqa: N802
        return self._without_docstring(node)

    def _without_docstring(self, node: Any) -> ast.stmt:
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        return self.generic_visit(node)  # type: ignore[return-value]


def essence(node: ast.stmt) -> str:
    """A definition's syntax tree as text, without what a lesson may leave out."""
    return ast.dump(_Essence().visit(ast.parse(ast.unparse(node)).body[0]))


RULES = [exercises, guesses, moves, library]
