"""`phantom OUT`: write synthetic CT slices with kidney stones."""

from __future__ import annotations

import argparse

from unet_helpers.phantom import write_dataset
from unet_helpers.phantom.labels import CLASSES

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Write the data set into a new folder.

    Raises:
        ValueError: If the folder exists, or a number is out of range.
    """
    if args.out.exists():
        raise ValueError(f"OUT must be a new folder, got {args.out}, which exists. Give another name.")
    write_dataset(args.out, args.patients, args.slices, args.size, args.seed, classes=args.classes)
    print(f"{args.patients * args.slices} image-mask pairs of {args.patients} patients in {args.out}")
    if args.classes:
        option = ",".join(f"{name}={value}" for name, value in CLASSES.items())
        print(f"Their masks show several classes: train with --classes {option}")
    return 0
