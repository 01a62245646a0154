"""Errors and notes in the words of the command line: what Python calls `n_epochs` is typed as `--epochs`."""

from __future__ import annotations

import re

__all__ = ["in_options", "window_sentence"]

_OPTIONS = {
    "n_epochs": "--epochs",
    "n_steps": "--steps",
    "n_folds": "--folds",
    "n_patients": "--patients",
    "n_slices": "--slices",
    "batch_size": "--batch-size",
    "patch_size": "--patch-size",
    "learning_rate": "--learning-rate",
    "max_size": "--max-size",
    "base_channels": "--base-channels",
    "group_by": "--group-by",
}
_RULES = [  # what it looks like in Python, and here
    (r" \(In Python such an option is a text: .*?\)\.?(?= |$)", ""),
    (r"ive another run folder, or start again with resume=False(, which \w+ best\.pt)?", "ive another --out"),
    (r"resume=False", "a new --out"),
    (r"window=\((-?[\d.e+]+), ([\d.e+]+)\)", r"--window \1,\2"),
    (r"(?<= )(\w+\.window\(|model=)", r"in Python \1"),
    (r"group by folder if", "--group-by folder if"),
    (r"data\.folds_by_group", "--folds"),
    *((rf"(?<![\w./\\-]){name}(?![\w/\\-])", option) for name, option in _OPTIONS.items()),
    # these are words as well: they are settings where a rule is told, or two values are compared
    (r"(?<![\w./\\-])(minutes|seed|size|spacing|compile|device)(?= must be | \S+ there, )", r"--\1"),
]


def in_options(text: str) -> str:
    """An error text of the package with the options of the command line in place of Python's arguments."""
    for pattern, option in _RULES:
        text = re.sub(pattern, option, text)
    return text


def window_sentence(window: tuple[float, float]) -> str:
    """What is done with images of more than 8 bits."""
    level, width = window
    return f"Images with more than 8 bits are seen through the window of level {level:g}, width {width:g}."
