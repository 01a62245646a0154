"""`check DATA`: what a data set holds, what is missing there, and what is broken."""

from __future__ import annotations

import argparse

from unet_helpers.command_line.hints import in_options, window_sentence
from unet_helpers.data import open_dataset
from unet_helpers.engine.files import check_writable, write_json
from unet_helpers.folders.check import check_folder
from unet_helpers.folders.mask_rules import rule_of
from unet_helpers.folders.report import print_report

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Print the report of `check_folder`, and write it if asked for; 1 if something is broken or unclear."""
    if args.json:
        check_writable(args.json)
    report = check_folder(
        open_dataset(args.data),
        group_by=args.group_by,
        masks=rule_of(args),
        window=args.window,
        twins_to=args.twins,
    )
    if args.json:
        write_json(args.json, report)
    if args.window:
        print(window_sentence(args.window))
    print_report(report, args.twins, in_options)
    return 1 if report["broken"] or report["mask_doubt"] else 0
