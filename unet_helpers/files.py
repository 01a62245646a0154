"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["remove_scratch", "write_json", "written_whole"]


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to, and rename it to `path` when the block ends without an error.

    A reader sees the old file or the new one, never half of one; after an error the old file is untouched and
    the temporary one is gone. The folder is made if it is missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield scratch
        os.replace(scratch, path)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise OSError(errno.ENOSPC, f"No space left on device for {path}; the previous file is intact. Free "
                      "some disk space") from error
    finally:
        scratch.unlink(missing_ok=True)


def remove_scratch(folder: str | os.PathLike[str]) -> None:
    """Delete the temporary files that a killed process left in a folder; no process may be writing there."""
    for path in Path(folder).glob(".*.*.*"):
        _, _, number, *rest = path.name.split(".")
        if number.isdecimal() and len(rest) == 1:
            path.unlink(missing_ok=True)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write dicts, lists and plain values as JSON; NaN becomes null, because JSON knows no NaN."""
    with written_whole(path) as scratch:
        scratch.write_text(json.dumps(_without_nan(value), indent=1, allow_nan=False) + "\n", "utf-8")
