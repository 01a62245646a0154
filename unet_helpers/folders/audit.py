"""What the values of the masks of a data set mean, established over all of them before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unet_helpers.engine.progress import progress_bar
from unet_helpers.folders.mask_codes import IGNORED, MaskCode, Value
from unet_helpers.folders.mask_facts import MID, SHIFT, MaskFacts, look_at, palette
from unet_helpers.folders.mask_rules import MaskRule

__all__ = ["MaskAudit", "audit_masks"]

Classes = dict[int, int]  # class of each level; colours packed
MOST_COVER = 0.95  # of an image: an object that covers more is asked about
FRAME = 0.9  # of the border: an object that covers more of it looks like background
TRUE_VALUES = (1, 255, 65535)  # what programs write for "yes"
MOST_NAMED = 8  # values in a sentence


@dataclass(frozen=True)
class MaskAudit:
    """What was found.

    Attributes:
        codes: The meaning of the values of each mask; None for the usual one: stone is what is brighter than
            half of 255. Empty if there is a doubt.
        sentences: What was established, a sentence each.
        doubt: What is not certain, with an example and the option that decides, or "".
        values: Number of masks by the values found in them.
        unreadable: Masks that cannot be read, with the reason.
        n_objects: Number of masks with an object, as far as the code is known.
    """

    codes: dict[Path, MaskCode | None] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)
    doubt: str = ""
    values: dict[str, int] = field(default_factory=dict)
    unreadable: dict[Path, str] = field(default_factory=dict)
    n_objects: int = 0


def audit_masks(paths: Sequence[Path], rule: MaskRule | None = None, progress: bool = False) -> MaskAudit:
    """Read all masks and establish which of their values are the object.

    What is certain is read: one value beside 0 (0/1, 0/255, any other); 0/1 in some files and 0/255 in
    others; greys of smooth edges and of JPEG, cut in the middle; one colour on black. All else is a doubt
    until a rule decides: no 0, several values or colours, an object that covers more than 95 % of an image or
    frames it (the background, if the masks are inverted).

    Args:
        paths: Mask files.
        rule: What a person says about the values.
        progress: Whether to show a bar.
    """
    facts, unreadable = [], {}
    for path in progress_bar(paths, desc="reading masks", unit="mask", disable=not progress):
        try:
            facts.append(look_at(path))
        except ValueError as error:
            unreadable[path] = str(error)
    if not facts:
        return MaskAudit(unreadable=unreadable)
    audit = _Audit(facts, rule or MaskRule())
    values = Counter(_in_words(fact) for fact in facts)
    return MaskAudit(**audit.result(), values=dict(values.most_common()), unreadable=unreadable)


def _in_words(fact: MaskFacts) -> str:
    if len(fact.values) <= 4:
        return ", ".join(_name(int(value), fact.coloured) for value in fact.values)
    low, high = (_name(int(fact.values[i]), fact.coloured) for i in (0, -1))
    kinds = "colours" if fact.coloured else "values"
    return f"{len(fact.values)} colours" if fact.coloured else f"{low} to {high} ({len(fact.values)} {kinds})"


def _name(level: int, coloured: bool) -> str:
    return f"#{level:06x}" if coloured else str(level)


class _Doubt(Exception):
    """What is not certain."""


class _Audit:
    """The decision over all masks: levels, their classes, and whether what comes out can be."""

    def __init__(self, facts: list[MaskFacts], rule: MaskRule) -> None:
        self.facts, self.rule = facts, rule
        self.coloured = any(fact.coloured for fact in facts)
        self.greys = [fact for fact in facts if fact.greys]
        self.levels = self._merged([self._levels_of(fact) for fact in facts])
        self.ignored = self._ignored()
        self.meant = sorted({level for some in self.levels for level in some} - set(self.ignored))
        self.sentences: list[str] = []

    def result(self) -> dict[str, object]:
        """Arguments of `MaskAudit`."""
        try:
            classes = self._classes()
            covered = self._check(classes)
        except _Doubt as doubt:
            return {"doubt": str(doubt)}
        self._tell(classes)
        return {
            "codes": self._codes(classes),
            "sentences": self.sentences,
            "n_objects": int(sum(area > 0 for area, _ in covered)),
        }

    # ------------------------------------------------------------------------------------- levels
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

    def _ignored(self) -> list[int]:
        ignored: list[int] = []
        for one in self.rule.ignore:
            ignored += self._as_levels(one, "--ignore")
        return ignored

    def _as_levels(self, value: Value, option: str) -> list[int]:
        """A value or colour that a person names, as it stands among the levels."""
        present = {level for some in self.levels for level in some}
        if isinstance(value, int):
            if not self.coloured:
                found = [value]
            else:
                found = [_pack(colour) for colour in self._palette().get(value, [])]
        elif self.coloured:
            near = [(_distance(level, _pack(value)), level) for level in present]
            found = [min(near)[1]] if min(near)[0] <= 60 else []
        else:
            found = [value[0]] if len(set(value)) == 1 else []
        if not set(found) & present:
            raise ValueError(
                f"{option} must name what the masks hold, got {_shown(value)}. They hold "
                f"{self._list(sorted(present))}."
            )
        return [level for level in found if level in present]

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

    # ------------------------------------------------------------------------------------ classes
    def _classes(self) -> Classes:
        """The class of each level.

        Raises:
            _Doubt: If it is not certain.
        """
        ignored = dict.fromkeys(self.ignored, IGNORED)
        named = self._named()
        if named:
            return {level: int(level in named) for level in self.meant} | ignored
        if not self.meant:
            raise _Doubt("masks must hold more than what --ignore leaves out, got nothing else.")
        certain = self._certain()
        if self.rule.invert:
            certain = {level: 1 - number for level, number in certain.items()}
        return certain | ignored

    def _named(self) -> set[int]:
        """Levels that the rule names as the object."""
        named: set[int] = set()
        for colour in self.rule.foreground:
            named |= set(self._as_levels(colour, "--foreground"))
        for low, high in self.rule.values:
            if low == high or self.coloured:
                for value in range(low, min(high, low + 1000) + 1):
                    named |= set(self._as_levels(value, "--mask-values"))
            elif some := {level for level in self.meant if low <= level <= high}:
                named |= some
            else:
                self._as_levels(low, "--mask-values")
        return named

    def _certain(self) -> Classes:
        zero, *rest = self.meant
        if zero == 0 and len(rest) < 2:
            return {level: int(level > 0) for level in self.meant}
        if zero == 0 and not self.coloured and set(rest) <= set(TRUE_VALUES):
            if all(len(some & set(rest)) < 2 for some in self.levels):
                return {level: int(level > 0) for level in self.meant}
        raise _Doubt(self._several() if rest else self._alone())

    def _alone(self) -> str:
        name = _name(self.meant[0], self.coloured)
        return (
            f"masks must hold background and object, got {name} in every pixel of {_masks(len(self.facts))}, "
            f"as in {self.facts[0].path.name}. If that is right, {self._option([self.meant[0]])} says so; "
            f"else export the masks again."
        )

    def _several(self) -> str:
        what = "colours" if self.coloured else "values"
        guess = self._background()
        others = [level for level in self.meant if level != guess]
        example = max(self.facts, key=lambda fact: len(fact.levels)).path.name
        share, border = self._shares(guess)
        hint = (
            f"{_name(guess, self.coloured)} covers {share:.0%} of the pixels and {border:.0%} of the borders, "
            "so it looks like the background"
        )
        ways = [f"{self._option(others[:1])} if that alone is the object"]
        if len(others) > 1:
            ways.append(f"{self._option(others)} for all of them together")
        rim = 0xE0E0C0 if self.coloured else 255
        if rim in others and len(others) > 1:
            ways.append(f"--ignore {_quoted(rim, self.coloured)} if that is a rim that was left open")
        return (
            f"masks must hold background and one object, got the {what} {self._list(self.meant)}, as in "
            f"{example}; {hint}. Say which are the object: {'; '.join(ways)}."
        )

    def _background(self) -> int:
        if 0 in self.meant:
            return 0
        return max(self.meant, key=lambda level: (sum(self._shares(level)), -level))

    def _shares(self, level: int) -> tuple[float, float]:
        """Share of all pixels and of all border pixels that are nearest to a level."""
        covered = self._cover({one: int(one == level) for one in self.meant})
        area, border = np.mean(covered, 0)
        return float(area), float(border)

    # -------------------------------------------------------------------------------------- checks
    def _cover(self, classes: Classes) -> list[tuple[float, float]]:
        """Of each mask the share of its pixels, and of its border, that is object."""
        code = MaskCode(self._values(classes))
        found = []
        for fact in self.facts:
            is_object = code.class_numbers(_pixels(fact))[0] > 0
            share = (fact.counts[is_object].sum() / fact.counts.sum()).item()
            found.append((share, (fact.at_border[is_object].sum() / fact.at_border.sum()).item()))
        return found

    def _check(self, classes: Classes) -> list[tuple[float, float]]:
        """Shares of each mask, see `_cover`.

        Raises:
            _Doubt: If the object looks like the background, and nobody has said that it is none.
        """
        covered = self._cover(classes)
        if self.rule.values or self.rule.foreground:
            return covered
        odd = [i for i, (area, border) in enumerate(covered) if area >= MOST_COVER or border >= FRAME]
        bearing = np.array([pair for pair in covered if pair[0] > 0] or [(0, 0)])
        area, border = bearing.mean(0)
        if not odd and not (area > 0.5 and border > area):
            return covered
        objects = [level for level, number in sorted(classes.items()) if number == 1]
        name = ", ".join(_name(level, self.coloured) for level in objects)
        example = self.facts[odd[0] if odd else int(np.argmax([a for a, _ in covered]))].path.name
        if self.rule.invert:
            raise _Doubt(
                f"--invert must leave an object that is smaller than the image, got {name} on {area:.0%} of "
                f"the pixels, as in {example}. Leave --invert out."
            )
        which = f"{len(odd)} of {_masks(len(covered))}" if odd and len(odd) < len(bearing) else "the masks"
        shares = np.array([covered[i] for i in odd]).mean(0) if odd else (area, border)
        mixed = "" if which == "the masks" else ", and far less in the others"
        raise _Doubt(
            f"masks must show objects on a background, got {name} on {shares[0]:.0%} of the pixels and "
            f"{shares[1]:.0%} of the borders of {which}{mixed}, as in {example}: the "
            f"{'majority is object' if shares[0] > 0.5 else 'object frames the image'}. "
            + (
                "If the masks are inverted, add --invert; if it is right so, "
                if which == "the masks"
                else "If these few are inverted or broken, mend or move them away; if they are right, "
            )
            + f"{self._option(objects)} says so."
        )

    # ----------------------------------------------------------------------------------- sentences
    def _tell(self, classes: Classes) -> None:
        objects = [level for level, number in classes.items() if number > 0]
        if not objects:
            self.sentences.append("All masks are empty: no image shows a stone.")
            return
        kinds = Counter(frozenset(level for level in some if classes.get(level) == 1) for some in self.levels)
        mixed = [(sorted(kind), n) for kind, n in kinds.items() if kind]
        if len(mixed) > 1 and len(objects) > 1:
            counts = "; ".join(
                f"{', '.join(_name(v, self.coloured) for v in kind)} in {n}" for kind, n in sorted(mixed)
            )
            self.sentences.append(
                f"Masks of several codes are read alike, the object being {counts} of them."
            )
        names = ", ".join(_name(level, self.coloured) for level in sorted(objects)[:MOST_NAMED])
        more = f" and {len(objects) - MOST_NAMED} more" if len(objects) > MOST_NAMED else ""
        others = [level for level, number in sorted(classes.items()) if number == 0]
        on = ", ".join(_name(level, self.coloured) for level in others[:MOST_NAMED]) or "nothing else"
        self.sentences.append(f"The object is {names}{more}; background is {on}.")
        if self.ignored:
            left = ", ".join(_name(level, self.coloured) for level in self.ignored)
            self.sentences.append(
                f"{left} is ignored: such a pixel takes the class of the nearest pixel that has one, in "
                "training and in scores."
            )
        if self.greys:
            self._tell_greys()

    def _tell_greys(self) -> None:
        between = sum(
            int(fact.counts[~np.isin(fact.values, fact.levels)].sum()) for fact in self.greys
        ) / sum(int(fact.counts.sum()) for fact in self.facts)
        what = "colours" if self.coloured else "greys"
        self.sentences.append(
            f"{_masks(len(self.greys))} of {len(self.facts)} also "
            f"{'holds' if len(self.greys) == 1 else 'hold'} {what} between these, as smooth edges and JPEG "
            f"make them ({100 * between:.2g} % of all pixels): cut in the middle, so that the nearer value counts."
        )

    # ---------------------------------------------------------------------------------- small things
    def _values(self, classes: Mapping[int, int]) -> tuple[tuple[Value, int], ...]:
        return tuple((_unpack(v) if self.coloured else v, n) for v, n in sorted(classes.items()))

    def _codes(self, classes: Classes) -> dict[Path, MaskCode | None]:
        """The code of each mask: one for all, but a 1 means nothing where the object is 255."""
        codes = {}
        mixed = len([level for level, n in classes.items() if n > 0]) > 1 and not self.rule.values
        for fact, some in zip(self.facts, self.levels, strict=True):
            own = {v: n for v, n in classes.items() if v in some or n < 1} if mixed else classes
            usual = not self.coloured and own in ({0: 0}, {0: 0, 255: 1})
            codes[fact.path] = None if usual else MaskCode(self._values(own))
        return codes

    def _option(self, levels: Sequence[int]) -> str:
        if self.coloured:
            return f"--foreground {_quoted(*levels[:MOST_NAMED], coloured=True)}"
        return f"--mask-values {_ranges(levels)}"

    def _list(self, levels: Sequence[int]) -> str:
        n_files = Counter(level for some in self.levels for level in some)
        named = [
            f"{_name(level, self.coloured)} (in {_masks(n_files[level])})" for level in levels[:MOST_NAMED]
        ]
        more = f" and {len(levels) - MOST_NAMED} more" if len(levels) > MOST_NAMED else ""
        return ", ".join(named) + more


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
        near = next((one for one in kept if _distance(one, level) <= 60), None)
        nearest[level] = level if near is None else near
        kept += [level] if near is None else []
    return [{nearest[level] for level in some} for some in levels]


def _pixels(fact: MaskFacts) -> np.ndarray:
    """The values of a mask as an image of one row."""
    return (fact.values[:, None] >> SHIFT & 255)[None] if fact.coloured else fact.values[None]


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


def _quoted(*levels: int, coloured: bool) -> str:
    names = ",".join(_name(level, coloured) for level in levels)
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


def _masks(n: int) -> str:
    return f"{n} mask" if n == 1 else f"{n} masks"
