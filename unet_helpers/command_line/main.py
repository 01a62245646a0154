"""The command line: the lessons' pipeline without a notebook."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from unet_helpers.command_line.hints import in_options
from unet_helpers.command_line.parser import make_parser
from unet_helpers.engine.files import explain

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command, whose module is imported only now.

    Returns:
        0; 1 after an error in data or files, told in one sentence; 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # file names hold what a terminal may not know
            stream.reconfigure(errors="backslashreplace")
    args = make_parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _print_note
            code: int = import_module(f"unet_helpers.command_line.{args.command}").run(args)
            return code
    except (ValueError, OSError, RuntimeError, FloatingPointError) as error:
        if os.environ.get("UNET_TRACEBACK"):
            raise
        text = explain(error) if isinstance(error, OSError) else str(error)
        print(f"error: {in_options(text)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(str(stop) or "stopped", file=sys.stderr)
        return 128 + int(getattr(stop, "signal_number", 2))


def _print_note(message: Warning | str, *_: object, **__: object) -> None:
    print(f"note: {in_options(str(message))}", file=sys.stderr)
