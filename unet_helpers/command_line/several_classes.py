"""Several classes on the command line: a checkpoint knows its own, and data must have the same."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from unet_helpers.checkpoint import Checkpoint, load_state
from unet_helpers.classes.training import of_pairs
from unet_helpers.command_line.cross_validation import fold_checkpoints
from unet_helpers.data import Pair
from unet_helpers.folders import mask_rules
from unet_helpers.folders.mask_rules import MaskRule

__all__ = ["check_same", "rule_of"]


def rule_of(args: argparse.Namespace) -> MaskRule | None:
    """What the options say about masks; else, of several classes, what the network was trained on."""
    return mask_rules.rule_of(args) or _own_rule(args.checkpoint)


def _own_rule(path: Path) -> MaskRule | None:
    try:
        state = load_state(fold_checkpoints(path)[0] if path.is_dir() else path)
    except (OSError, ValueError):  # whoever loads the network says what is wrong
        return None
    classes = tuple(state.get("classes", ()))
    return MaskRule(classes=classes) if classes else None


def check_same(args: argparse.Namespace, networks: Sequence[Checkpoint], pairs: Sequence[Pair]) -> None:
    """Refuse networks and data of different classes, and a report of several.

    Raises:
        ValueError: With the names of both.
    """
    here = [name for name, _ in of_pairs(pairs)]
    for network in networks:
        there = [name for name, _ in network.classes]
        if there != here:
            raise ValueError(
                f"--classes must be those of the network, got {', '.join(here) or 'none'}, and it was "
                f"trained on {', '.join(there) or 'one class'}. "
                + ("Name them alike, with these values." if there else "Leave the option out.")
            )
    if here and args.report:
        raise ValueError(
            "--report must be left out for several classes, whose page is not written yet: it shows one. The "
            "table, --json and --figure have all of them."
        )
