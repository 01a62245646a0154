"""What the values of masks mean, established over all of them before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from unet_helpers.engine.progress import progress_bar
from unet_helpers.folders import class_values
from unet_helpers.folders.mask_codes import IGNORED, MaskCode
from unet_helpers.folders.mask_facts import SHIFT, MaskFacts, look_at
from unet_helpers.folders.mask_levels import Levels, n_masks, name_of, quoted
from unet_helpers.folders.mask_rules import Classes as NamedClasses
from unet_helpers.folders.mask_rules import MaskRule

__all__ = ["MaskAudit", "audit_masks"]

Classes = dict[int, int]  # class of each level; colours packed
MOST_COVER = 0.95  # of an image: an object that covers more is asked about
FRAME = 0.9  # of the border: an object that covers more of it looks like background
TRUE_VALUES = (1, 255, 65535)  # what programs write for "yes"


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
        classes: Name and value of each class, where there are several; the codes number them from 1.
    """

    codes: dict[Path, MaskCode | None] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)
    doubt: str = ""
    values: dict[str, int] = field(default_factory=dict)
    unreadable: dict[Path, str] = field(default_factory=dict)
    n_objects: int = 0
    classes: NamedClasses = ()


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
    values = Counter(_in_words(fact) for fact in facts)
    found = _Audit(facts, rule or MaskRule()).result()
    return replace(found, values=dict(values.most_common()), unreadable=unreadable)


def _in_words(fact: MaskFacts) -> str:
    if len(fact.values) <= 4:
        return ", ".join(name_of(int(value), fact.coloured) for value in fact.values)
    low, high = (name_of(int(fact.values[i]), fact.coloured) for i in (0, -1))
    kinds = "colours" if fact.coloured else "values"
    return f"{len(fact.values)} colours" if fact.coloured else f"{low} to {high} ({len(fact.values)} {kinds})"


class _Doubt(Exception):
    """What is not certain."""


class _Audit:
    """The decision over all masks: levels, their classes, and whether what comes out can be."""

    def __init__(self, facts: list[MaskFacts], rule: MaskRule) -> None:
        if rule.of_classes:
            facts = [class_values.as_labels(fact) for fact in facts]
        self.facts, self.rule = facts, rule
        self.levels, self.named_classes = Levels(facts), rule.classes
        self.ignored = [level for one in rule.ignore for level in self.levels.find(one, "--ignore")]
        self.meant = sorted(self.levels.present - set(self.ignored))

    def result(self) -> MaskAudit:
        """What the values mean, or what is not certain."""
        try:
            classes = self._classes()
            covered = self._check(classes)
        except _Doubt as doubt:
            return MaskAudit(doubt=str(doubt))
        n_objects = sum(area > 0 for area, _ in covered)
        several = self.named_classes if len(self.named_classes) > 1 else ()
        return MaskAudit(
            self._codes(classes), self._told(classes, covered), n_objects=n_objects, classes=several
        )

    # ------------------------------------------------------------------------------------ classes
    def _classes(self) -> Classes:
        """The class of each level.

        Raises:
            _Doubt: If it is not certain.
        """
        ignored = dict.fromkeys(self.ignored, IGNORED)
        if self.rule.of_classes:
            try:
                self.named_classes, found = class_values.numbered(self.rule, self.levels, self.meant)
            except ValueError as error:
                raise _Doubt(str(error)) from error
            return dict.fromkeys(self.meant, 0) | found | ignored
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
            named |= set(self.levels.find(colour, "--foreground"))
        for low, high in self.rule.values:
            if low == high or self.levels.coloured:
                for value in range(low, min(high, low + 1000) + 1):
                    named |= set(self.levels.find(value, "--mask-values"))
            elif some := {level for level in self.meant if low <= level <= high}:
                named |= some
            else:
                self.levels.find(low, "--mask-values")
        return named

    def _certain(self) -> Classes:
        zero, *rest = self.meant
        if zero == 0 and len(rest) < 2:
            return {level: int(level > 0) for level in self.meant}
        yes = zero == 0 and not self.levels.coloured and set(rest) <= set(TRUE_VALUES)
        if yes and all(len(some & set(rest)) < 2 for some in self.levels.of_files):
            return {level: int(level > 0) for level in self.meant}
        raise _Doubt(self._several() if rest else self._alone())

    def _alone(self) -> str:
        name = self.levels.name(self.meant[0])
        return (
            f"masks must hold background and object, got {name} in every pixel of "
            f"{n_masks(len(self.facts))}, as in {self.facts[0].path.name}. If that is right, "
            f"{self.levels.option([self.meant[0]])} says so; else export the masks again."
        )

    def _several(self) -> str:
        what = "colours" if self.levels.coloured else "values"
        guess = self._background()
        others = [level for level in self.meant if level != guess]
        example = max(self.facts, key=lambda fact: len(fact.levels)).path.name
        share, border = self._shares(guess)
        hint = (
            f"{self.levels.name(guess)} covers {share:.0%} of the pixels and {border:.0%} of the "
            "borders, so it looks like the background"
        )
        one = self.levels.option(others[:1])
        ways = [f"{one} if that is the object"]
        if len(others) > 1:
            ways = [f"{one}, say, if one alone is the object"]
            ways.append(f"{self.levels.option(others)} for all of them together")
            ways.append(f"--num-classes {len(others)} for each as a class of its own")
        rim = 0xE0E0C0 if self.levels.coloured else 255
        if rim in others and len(others) > 1:
            ways.append(
                f"--ignore {quoted(rim, coloured=self.levels.coloured)} if that is a rim that was left open"
            )
        return (
            f"masks must hold background and one object, got the {what} {self.levels.listed(self.meant)}, "
            f"as in {example}; {hint}. Say which are the object: {'; '.join(ways)}."
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
        code = MaskCode(self.levels.values(classes))
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
        if self.rule.values or self.rule.foreground or self.rule.of_classes:
            return covered
        odd = [i for i, (area, border) in enumerate(covered) if area >= MOST_COVER or border >= FRAME]
        bearing = np.array([pair for pair in covered if pair[0] > 0] or [(0, 0)])
        area, border = bearing.mean(0)
        if not odd and not (area > 0.5 and border > area):
            return covered
        objects = [level for level, number in sorted(classes.items()) if number == 1]
        name = ", ".join(self.levels.name(level) for level in objects)
        example = self.facts[odd[0] if odd else int(np.argmax([a for a, _ in covered]))].path.name
        if self.rule.invert:
            raise _Doubt(
                f"--invert must leave an object that is smaller than the image, got {name} on {area:.0%} of "
                f"the pixels, as in {example}. Leave --invert out."
            )
        which = f"{len(odd)} of {n_masks(len(covered))}" if odd and len(odd) < len(bearing) else "the masks"
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
            + f"{self.levels.option(objects)} says so."
        )

    # ----------------------------------------------------------------------------------- sentences
    def _told(self, classes: Classes, covered: list[tuple[float, float]]) -> list[str]:
        """What was established, a sentence each."""
        objects = [level for level, number in sorted(classes.items()) if number > 0]
        if not objects:
            return ["All masks are empty: no image shows a stone."]
        told = [*self._mixed(set(objects))]
        others = [level for level, number in sorted(classes.items()) if number == 0]
        background = f"background is {self.levels.names(others)}."
        if self.rule.of_classes:
            told += [class_values.sentence(self.named_classes, classes, self.levels) + background]
        else:
            told.append(f"The object is {self.levels.names(objects)}; {background}")
        if self.ignored:
            told.append(
                f"{self.levels.names(self.ignored)} is ignored: such a pixel takes the class of the nearest "
                "pixel that has one, in training and in scores."
            )
        if self.rule.of_classes:
            return told
        largest, border = np.mean([pair for pair in covered if pair[0] > 0] or [(0, 0)], 0)
        if largest >= MOST_COVER or (largest > 0.5 and border > largest):
            told.append(
                f"It covers {largest:.0%} of the pixels and {border:.0%} of the borders, which is right only "
                "because you have said so."
            )
        return told + ([self._about_greys()] if self.levels.greys else [])

    def _mixed(self, objects: set[int]) -> list[str]:
        """Codes that differ from file to file."""
        if self.rule.values or self.rule.foreground or self.rule.of_classes or len(objects) < 2:
            return []
        n_files = Counter(level for some in self.levels.of_files for level in some & objects)
        counts = ", ".join(f"{self.levels.name(v)} in {n_masks(n)}" for v, n in sorted(n_files.items()))
        return [f"Masks of several codes are read alike: the object is {counts}."]

    def _about_greys(self) -> str:
        """How much lies between the levels."""
        greys, what = self.levels.greys, "colours" if self.levels.coloured else "greys"
        n_between = sum(int(fact.counts[~np.isin(fact.values, fact.levels)].sum()) for fact in greys)
        n_all = sum(int(fact.counts.sum()) for fact in self.facts)
        return (
            f"{n_masks(len(greys))} of {len(self.facts)} {'holds' if len(greys) == 1 else 'hold'} {what} "
            f"between these as well, as smooth edges and JPEG make them ({100 * n_between / n_all:.2g} % of "
            "all pixels): cut in the middle, the nearer counts."
        )

    def _codes(self, classes: Classes) -> dict[Path, MaskCode | None]:
        """The code of each mask: one for all, but a 1 means nothing where the object is 255."""
        codes = {}
        said = self.rule.values or self.rule.foreground or self.rule.of_classes
        mixed = not said and sum(n > 0 for n in classes.values()) > 1
        for fact, some in zip(self.facts, self.levels.of_files, strict=True):
            own = {v: n for v, n in classes.items() if v in some or n < 1} if mixed else classes
            usual = not self.levels.coloured and own in ({0: 0}, {0: 0, 255: 1})
            codes[fact.path] = None if usual else MaskCode(self.levels.values(own))
        return codes


def _pixels(fact: MaskFacts) -> np.ndarray:
    """The values of a mask as an image of one row."""
    return (fact.values[:, None] >> SHIFT & 255)[None] if fact.coloured else fact.values[None]
