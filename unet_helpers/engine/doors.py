"""Doors: names that a file of the tour offers and a room holds, loaded when first used (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

__all__ = ["doors"]


def doors(
    module: str, rooms: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the functions `__getattr__` and `__dir__` of a module with doors.

    Args:
        module: Full name of the module: its `__name__`.
        rooms: The names behind doors, by the module that holds them: {"scores.comparison": ["compare"]}.
    """
    home_of = {name: f"unet_helpers.{room}" for room, names in rooms.items() for name in names}

    def open_door(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(import_module(home_of[name]), name)

    def all_names() -> list[str]:
        return sorted({*vars(sys.modules[module]), *home_of})

    return open_door, all_names
