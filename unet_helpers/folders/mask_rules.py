"""What a person says about the values of masks, where these do not say it themselves."""

from __future__ import annotations

import re
import shlex
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "MOST_CLASSES",
    "Classes",
    "MaskRule",
    "parse_classes",
    "parse_colours",
    "parse_ignored",
    "parse_rule",
    "parse_values",
    "rule_of",
]

Colour = tuple[int, int, int]
Classes = tuple[
    tuple[str, int | Colour], ...
]  # name and mask value of each class; 1 is the number of the first
MOST_CLASSES = 254
FORM = (
    "--mask-values 1 or 1,2 or 1-300, --foreground '#ff0000', --ignore 255 or '#e0e0c0', --invert, "
    "--classes kidney=1,stone=2, --num-classes 3, or several of them"
)


@dataclass(frozen=True)
class MaskRule:
    """What a person says about masks; without an answer the masks are read where their meaning is certain.

    Attributes:
        values: Values that are the object, as ranges with both ends: ((1, 1), (3, 5)).
        foreground: Colours that are the object.
        ignore: Values and colours that are neither object nor background.
        invert: Whether what would be read as background is the object.
        classes: Name and value of each of several classes; all other values are background.
        n_classes: How many classes there are, where their values are to be taken as they come; else 0.
    """

    values: tuple[tuple[int, int], ...] = ()
    foreground: tuple[Colour, ...] = ()
    ignore: tuple[int | Colour, ...] = ()
    invert: bool = False
    classes: Classes = ()
    n_classes: int = 0

    @property
    def of_classes(self) -> bool:
        """Whether the values are those of classes."""
        return bool(self.classes or self.n_classes)

    def __post_init__(self) -> None:
        if self.of_classes and (self.values or self.foreground or self.invert):
            raise ValueError(
                "--classes and --num-classes must stand without --mask-values, --foreground and --invert, "
                "got both. They say of every value what it means."
            )
        if self.classes and self.n_classes not in (0, len(self.classes)):
            raise ValueError(
                f"--num-classes must be the number of --classes, got {self.n_classes} and "
                f"{len(self.classes)}. Leave --num-classes out."
            )
        if self.invert and (self.values or self.foreground):
            raise ValueError(
                "--invert must stand without --mask-values and --foreground, got both. Those name the object "
                "already."
            )


def parse_values(text: str) -> tuple[tuple[int, int], ...]:
    """Values and ranges: "1", "1,2", "1-300".

    Raises:
        ValueError: If it is something else.
    """
    ranges = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", part)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise ValueError(f"mask values must be whole numbers as in 1 or 1,2 or 1-300, got {text!r}.")
        ranges.append((int(match[1]), int(match[2] or match[1])))
    return tuple(ranges)


def parse_colours(text: str) -> tuple[Colour, ...]:
    """Colours in hexadecimal digits: "#ff0000", "ff0000,00ff00".

    Raises:
        ValueError: If it is something else.
    """
    colours = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})\s*", part)
        if not match:
            raise ValueError(f"colours must be six hexadecimal digits as in #ff0000, got {text!r}.")
        colours.append((int(match[1], 16), int(match[2], 16), int(match[3], 16)))
    return tuple(colours)


def parse_ignored(text: str) -> tuple[int | Colour, ...]:
    """Values or colours: "255", "#e0e0c0", "254,255".

    Raises:
        ValueError: If it is something else.
    """
    found: list[int | Colour] = []
    for part in text.split(","):
        if re.fullmatch(r"\s*\d{1,5}\s*", part):
            found.append(int(part))
        else:
            found.extend(parse_colours(part))
    return tuple(found)


def parse_classes(text: str) -> Classes:
    """Names and values of classes: "kidney=1,stone=2", "kidney=#00ff00,stone=#ff0000".

    Returns:
        Name and value of each. Classes are numbered from 1 by their value, colours in the order given.

    Raises:
        ValueError: If it is something else, or a name or value stands there twice.
    """
    found: list[tuple[str, int | Colour]] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([^=,]*[^=,\s])\s*=\s*(\d{1,5}|#[0-9a-fA-F]{6})\s*", part)
        if not match or not match[2].strip("#0"):
            raise ValueError(
                "classes must be names with values above 0, the background, as in kidney=1,stone=2, got "
                f"{text!r}."
            )
        value = parse_colours(match[2])[0] if match[2].startswith("#") else int(match[2])
        found.append((match[1], value))
    names, values = {name for name, _ in found}, {value for _, value in found}
    if not len(names) == len(values) == len(found) <= MOST_CLASSES:
        raise ValueError(
            f"classes must be at most {MOST_CLASSES}, each with a name and a value of its own, got {text!r}."
        )
    return tuple(sorted(found, key=lambda one: one[1] if isinstance(one[1], int) else 0))


def parse_rule(masks: str | Sequence[str] | MaskRule | None) -> MaskRule:
    """A rule from the options of the command line in one text, as in "--mask-values 1 --ignore 255".

    Raises:
        ValueError: If the text holds something else.
    """
    if isinstance(masks, MaskRule):
        return masks
    words = shlex.split(masks) if isinstance(masks, str) else list(masks or ())
    words = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    given: dict[str, str] = {}
    while words:
        name = words.pop(0)
        if name == "--invert":
            given[name] = "yes"
        elif name in ("--mask-values", "--foreground", "--ignore", "--classes", "--num-classes") and words:
            given[name] = words.pop(0)
        else:
            raise ValueError(f"masks must be {FORM}, got {masks!r}.")
    return MaskRule(
        values=parse_values(given["--mask-values"]) if "--mask-values" in given else (),
        foreground=parse_colours(given["--foreground"]) if "--foreground" in given else (),
        ignore=parse_ignored(given["--ignore"]) if "--ignore" in given else (),
        invert="--invert" in given,
        classes=parse_classes(given["--classes"]) if "--classes" in given else (),
        n_classes=_number(given.get("--num-classes", "0")),
    )


def _number(text: str) -> int:
    if not (text.isdecimal() and int(text) <= MOST_CLASSES):
        raise ValueError(f"--num-classes must be a whole number up to {MOST_CLASSES}, got {text!r}.")
    return int(text)


def rule_of(options: Namespace) -> MaskRule | None:
    """The rule that options of the command line give; None without any."""
    said = options.mask_values, options.foreground, options.ignore, options.invert
    rule = MaskRule(*said, options.classes, options.num_classes or 0)
    return rule if rule != MaskRule() else None
