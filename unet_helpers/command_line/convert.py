"""`convert SOURCE OUT`: make image-mask pairs of DICOM, NIfTI, pages, or drawn outlines."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence

from unet_helpers.command_line.hints import in_options, window_sentence
from unet_helpers.engine.files import check_writable
from unet_helpers.folders.finding import counted
from unet_helpers.formats.convert import convert
from unet_helpers.formats.kinds import FORMATS

__all__ = ["run"]

N_SHOWN = 20


def run(args: argparse.Namespace) -> int:
    """Convert, and say what was read, written and left out; 1 if a file could not be read.

    Raises:
        ValueError, OSError: As `convert`.
        KeyboardInterrupt: If stopped; what is done is kept for the next call.
    """
    check_writable(args.out.absolute().with_name(f".{args.out.name}.converting.lock"))
    try:
        done = convert(args.source, args.out, args.format, args.window, args.axis, args.classes or ())
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"Stopped: {args.out} is not there yet. The same command goes on.") from stop
    how = "" if args.format else ", as its files tell"
    print(f"{args.source} holds {FORMATS[done.kind]}{how}.")
    if args.window:
        print(window_sentence(args.window))
    for note in done.notes:
        print(note)
    print(
        f"{counted(done.n_images, 'image')} and {counted(done.n_masks, 'mask')} in {done.out}, "
        f"{done.n_with_object} of them with an object"
    )
    _print_some(done.left_out, "left out", sys.stdout)
    _print_some([in_options(reason) for reason in done.broken], "could not be read", sys.stderr)
    if done.n_masks:
        print(f"Next: python -m unet_helpers check {shlex.quote(str(done.out))}")
    return 1 if done.broken else 0


def _print_some(reasons: Sequence[str], what: str, file: object) -> None:
    if reasons:
        print(f"{len(reasons)} {what}:", file=file)  # type: ignore[call-overload]
    for reason in reasons[:N_SHOWN]:
        print(f"  {reason}", file=file)  # type: ignore[call-overload]
    if len(reasons) > N_SHOWN:
        print(f"  and {len(reasons) - N_SHOWN} more", file=file)  # type: ignore[call-overload]
