"""Which values of label masks are which class, where a person says that there are several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from unet_helpers.folders.mask_facts import LOSSY, MaskFacts
from unet_helpers.folders.mask_levels import Levels, n_masks
from unet_helpers.folders.mask_rules import Classes, MaskRule

__all__ = ["as_labels", "numbered", "sentence"]

MOST_VALUES = 64  # of one label mask; more are the greys of smooth edges or of JPEG


def as_labels(fact: MaskFacts) -> MaskFacts:
    """What a mask holds, every value taken as it is: between two classes there is no middle."""
    if fact.coloured or fact.path.suffix.lower() in LOSSY or len(fact.values) > MOST_VALUES:
        return fact
    return replace(fact, levels=tuple(fact.values.tolist()), greys=False)


def numbered(rule: MaskRule, levels: Levels, meant: Sequence[int]) -> tuple[Classes, dict[int, int]]:
    """Name and value of each class, and the number, from 1, of each level that is one.

    Args:
        rule: What a person says: `classes`, or `n_classes` alone.
        levels: Those of all masks.
        meant: Levels that are not ignored.

    Raises:
        ValueError: If the masks have greys between their values, hold none of the classes, or another number
            of values than there are to be classes.
    """
    if levels.greys:
        raise ValueError(
            "masks of several classes must hold the values of the classes alone, got others between them in "
            f"{n_masks(len(levels.greys))}, as in {levels.greys[0].path.name}: a smooth edge between 1 and 3 "
            "would read as 2. Save them as PNG, without smoothing and not as JPEG."
        )
    classes = rule.classes or _inferred(rule.n_classes, levels, meant)
    found: dict[int, int] = {}
    for number, (_, value) in enumerate(classes, start=1):
        found |= dict.fromkeys(_levels_of(value, levels), number)
    if not found.keys() & levels.present:
        raise ValueError(
            f"--classes must name values that the masks hold, got {_listed(classes)}, none of them there. "
            f"They hold {levels.listed(sorted(levels.present))}."
        )
    return classes, found


def _levels_of(value: int | tuple[int, int, int], levels: Levels) -> list[int]:
    """The level of a value or colour; also of one that these masks do not hold, if it can be known."""
    try:
        return levels.find(value, "--classes")
    except ValueError:
        if isinstance(value, int):
            index = levels.by_index() if levels.coloured else {value: value}
            return [index[value]] if value in index else []
        return [value[0] << 16 | value[1] << 8 | value[2]] if levels.coloured else []


def _inferred(n_classes: int, levels: Levels, meant: Sequence[int]) -> Classes:
    """So many classes with the values that occur beside 0, in order; of a palette by its index."""
    values = [level for level in meant if level]
    if len(values) != n_classes or len(values) == len(meant):
        raise ValueError(
            f"masks must hold the background 0 and --num-classes {n_classes} values more, got "
            f"{levels.listed(meant)}. Give the number that is there, or name the classes: "
            "--classes kidney=1,stone=2."
        )
    if not levels.coloured:
        return tuple((f"class {value}", value) for value in values)
    index_of = {level: index for index, level in reversed(levels.by_index().items())}
    if all(level in index_of for level in values):
        return tuple((f"class {i}", i) for i in sorted(index_of[level] for level in values))
    colours = [(level >> 16, level >> 8 & 255, level & 255) for level in values]
    return tuple((f"class {levels.name(level)}", one) for level, one in zip(values, colours, strict=True))


def sentence(classes: Classes, numbers: Mapping[int, int], levels: Levels) -> str:
    """What each class is called, where it occurs, and which values are left to be background."""
    told = []
    for number, (name, value) in enumerate(classes, start=1):
        of_class = [level for level, one in numbers.items() if one == number]
        n = sum(bool(some & set(of_class)) for some in levels.of_files)
        shown = value if isinstance(value, int) else "#{:02x}{:02x}{:02x}".format(*value)
        told.append(f"{number} {name} (value {shown}, in {n_masks(n)})")
    return f"Classes: {', '.join(told)}; "


def _listed(classes: Classes) -> str:
    return ", ".join(f"{name}={value}" for name, value in classes)
