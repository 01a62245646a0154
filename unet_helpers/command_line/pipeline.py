"""Without a sub-command: the whole pipeline on the default data."""

from __future__ import annotations

import argparse

from unet_helpers.command_line import evaluate
from unet_helpers.command_line.parser import make_parser
from unet_helpers.command_line.train import choose_on_validation
from unet_helpers.data import find_pairs, home, open_dataset, split_by_group, stone_strata
from unet_helpers.training import choose_device, fit

__all__ = ["run"]


def run(_: argparse.Namespace) -> int:
    """Train, choose the threshold, score, compare with a grey threshold, draw."""
    folder, data, device = home() / "runs" / "pipeline", open_dataset(), choose_device()
    pairs = find_pairs(data)
    split = split_by_group(pairs, strata=stone_strata(pairs, progress=True))
    fit(split["train"], split["val"], folder, device=device, raise_interrupt=True)
    choose_on_validation(folder / "best.pt", split["val"], device)
    files = ("--json", folder / "scores.json", "--figure", folder / "examples.png")
    words = ("evaluate", data, "--checkpoint", folder / "best.pt", *files)
    return evaluate.run(make_parser().parse_args(list(map(str, words))))
