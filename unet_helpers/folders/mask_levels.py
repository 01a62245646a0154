"""The values that masks are meant to hold, over all masks of a data set, and how they are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from unet_helpers.folders.mask_codes import Value
from unet_helpers.folders.mask_facts import MID, SHIFT, MaskFacts, palette

__all__ = ["Levels", "n_masks", "name_of", "quoted"]

MOST_NAMED = 8  # values in a sentence
NEAR = 60  # so far apart are two colours that differ by the noise of JPEG at most


class Levels:
    """The levels of all masks; colours are packed as 0xRRGGBB, and where one file has colours all have.

    Attributes:
        facts: What each mask holds.
        coloured: Whether the levels are colours.
        greys: Masks with greys that are not meant.
        of_files: Levels of each mask.
        present: Levels of any.
    """

    def __init__(self, facts: list[MaskFacts]) -> None:
        self.facts = facts
        self.coloured = any(fact.coloured for fact in facts)
        self.greys = [fact for fact in facts if fact.greys]
        self.of_files = self._merged([self._levels_of(fact) for fact in facts])
        self.present = {level for some in self.of_files for level in some}

    def _levels_of(self, fact: MaskFacts) -> set[int]:
        """Levels of a file; greys as colours where other files have colours."""
        if self.coloured and not fact.coloured:
            return {min(level, 255) * 0x010101 for level in fact.levels}
        return set(fact.levels)

    def _merged(self, levels: list[set[int]]) -> list[set[int]]:
        """Where there are greys, what is nearly black or nearly the brightest is that."""
        if not self.greys:
            return levels
        if self.coloured:
            return _merge_colours(levels, self.facts)
        top = max(map(max, levels))
        low, high = (share * top for share in MID)
        near = {fact.path for fact in self.greys}
        return [
            {0 if v <= low and fact.path in near else top if v >= high else v for v in some}
            for fact, some in zip(self.facts, levels, strict=True)
        ]

    def find(self, value: Value, option: str) -> list[int]:
        """A value or colour that a person names, as it stands among the levels.

        Raises:
            ValueError: If no mask holds it.
        """
        if isinstance(value, int):
            if not self.coloured:
                found = [value]
            else:
                found = [_pack(colour) for colour in self._palette().get(value, [])]
        elif self.coloured:
            near = [(_distance(level, _pack(value)), level) for level in self.present]
            found = [min(near)[1]] if min(near)[0] <= NEAR else []
        else:
            found = [value[0]] if len(set(value)) == 1 else []
        if not set(found) & self.present:
            raise ValueError(
                f"{option} must name what the masks hold, got {_shown(value)}. They hold "
                f"{self.listed(sorted(self.present))}."
            )
        return [level for level in found if level in self.present]

    def by_index(self) -> dict[int, int]:
        """Level of each index of the palette, if all palettes of the set agree; empty without a palette."""
        return {index: _pack(colours[0]) for index, colours in self._palette().items() if colours}

    def _palette(self) -> dict[int, list[tuple[int, int, int]]]:
        """Colours by index, if all palettes of the set agree."""
        found: dict[int, set[Value]] = {}
        for fact in self.facts:
            for index, colour in palette(fact.path).items():
                found.setdefault(index, set()).add(colour)
        return {
            i: [c for c in colours if isinstance(c, tuple)]
            for i, colours in found.items()
            if len(colours) == 1
        }

    def values(self, classes: Mapping[int, int]) -> tuple[tuple[Value, int], ...]:
        """Classes by level as `MaskCode.classes`."""
        return tuple((_unpack(v) if self.coloured else v, n) for v, n in sorted(classes.items()))

    def name(self, level: int) -> str:
        """How a level is written: 255, or #ff0000."""
        return name_of(level, self.coloured)

    def names(self, levels: Sequence[int]) -> str:
        """Several levels in a sentence."""
        names = ", ".join(self.name(level) for level in levels[:MOST_NAMED])
        more = f" and {len(levels) - MOST_NAMED} more" if len(levels) > MOST_NAMED else ""
        return names + more or "nothing else"

    def option(self, levels: Sequence[int]) -> str:
        """The option of the command line that says that these are the object."""
        if self.coloured:
            return f"--foreground {quoted(*levels[:MOST_NAMED], coloured=True)}"
        return f"--mask-values {_ranges(levels)}"

    def listed(self, levels: Sequence[int]) -> str:
        """Levels, and in how many masks each is."""
        n_files = Counter(level for some in self.of_files for level in some)
        named = [f"{self.name(level)} (in {n_masks(n_files[level])})" for level in levels[:MOST_NAMED]]
        more = f" and {len(levels) - MOST_NAMED} more" if len(levels) > MOST_NAMED else ""
        return ", ".join(named) + more


def name_of(level: int, coloured: bool) -> str:
    """How a level is written."""
    return f"#{level:06x}" if coloured else str(level)


def _merge_colours(levels: list[set[int]], facts: Iterable[MaskFacts]) -> list[set[int]]:
    """One level for colours of several files that differ by the noise of JPEG."""
    pixels: Counter[int] = Counter()
    for some, fact in zip(levels, facts, strict=True):
        for level in some:
            here = fact.values == (level if fact.coloured else level & 255)
            pixels[level] += int(fact.counts[here].sum())
    kept: list[int] = []
    nearest = {}
    for level, _ in pixels.most_common():
        near = next((one for one in kept if _distance(one, level) <= NEAR), None)
        nearest[level] = level if near is None else near
        kept += [level] if near is None else []
    return [{nearest[level] for level in some} for some in levels]


def _unpack(level: int) -> Value:
    red, green, blue = (int(part) for part in level >> SHIFT & 255)
    return red, green, blue


def _pack(colour: Value) -> int:
    red, green, blue = colour if isinstance(colour, tuple) else (colour,) * 3
    return red << 16 | green << 8 | blue


def _distance(a: int, b: int) -> float:
    return float(np.linalg.norm((a >> SHIFT & 255) - (b >> SHIFT & 255)))


def _shown(value: Value) -> str:
    return str(value) if isinstance(value, int) else f"#{_pack(value):06x}"


def quoted(*levels: int, coloured: bool) -> str:
    """Levels as a shell takes them."""
    names = ",".join(name_of(level, coloured) for level in levels)
    return f"'{names}'" if coloured else names


def _ranges(levels: Sequence[int]) -> str:
    """1,2,3,7 as 1-3,7."""
    found: list[list[int]] = []
    for level in sorted(levels):
        if found and level == found[-1][1] + 1:
            found[-1][1] = level
        else:
            found.append([level, level])
    return ",".join(f"{a}-{b}" if b > a + 1 else f"{a},{b}" if b > a else str(a) for a, b in found[:40])


def n_masks(n: int) -> str:
    """So many masks."""
    return f"{n} mask" if n == 1 else f"{n} masks"
