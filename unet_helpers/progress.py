"""One progress bar for everything that takes long."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

__all__ = ["progress_bar"]


def progress_bar(iterable: Iterable[Any] | None = None, **options: Any) -> tqdm:
    """A tqdm bar on standard output: in a notebook, standard error would paint it red.

    Args:
        iterable: What to walk through; None for a bar that is updated by hand.
        **options: Passed to `tqdm.tqdm`, e.g. `desc`, `total`, `unit`, `disable`.
    """
    return tqdm(iterable, file=sys.stdout, mininterval=0.5, dynamic_ncols=sys.stdout.isatty(), **options)
