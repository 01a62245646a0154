"""A word to who runs a cell before the cells above it: a name that is not known yet says little by itself."""

from __future__ import annotations

from typing import Any

from unet_helpers.engine.calm import Calm

__all__ = ["explain_unknown_names"]

_ended: dict[str, str] = {}  # cells that ended before their end, and what they said


def _after_cell(result: Any) -> None:
    error, cell = result.error_in_exec, result.info.raw_cell
    _ended.pop(cell, None)
    if isinstance(error, Calm):
        _ended[cell] = error._render_traceback_()[0]
    if type(error) is NameError and error.name:
        print(
            f"{error.name!r} is not known: the cell above that makes it has not run to its end since the "
            "notebook was opened. Run the cells above first, from the top. (If you wrote the name yourself, "
            "look at its spelling.)"
        )
        for said in _ended.values():
            print(f"One of them ended with: {said}")


def explain_unknown_names() -> None:
    """In a notebook, follow every NameError of a cell with a sentence that says what to do."""
    try:
        from IPython import get_ipython
    except ImportError:
        return
    shell: Any = get_ipython()
    if shell is not None and _after_cell not in shell.events.callbacks["post_run_cell"]:
        shell.events.register("post_run_cell", _after_cell)
