"""Which mask belongs to which image, by their names alone; what has no partner is kept too."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from unet_helpers.folders.naming import NUMBER, Candidate, Named, candidates, plain_image_stem, shorter

__all__ = ["Pairing", "pair_up"]

NUMBER_ALONE, SAME_NAME = "their number alone", "the same name with another ending"
LOSSY = {".jpg", ".jpeg"}


@dataclass
class Pairing:
    """Images with their masks.

    Attributes:
        masks: Masks of each image, several if they are parts of one.
        images: All images, with and without a mask, in order of their paths.
        lonely_masks: Masks without an image.
        styles: How many masks were recognised by which style.
        by_number: Image and mask of each pair of which the names share a number only.
    """

    images: list[Named]
    lonely_masks: list[Named] = field(default_factory=list)
    masks: dict[Path, list[Named]] = field(default_factory=lambda: defaultdict(list))
    styles: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    by_number: list[tuple[Path, Path]] = field(default_factory=list)


@dataclass(frozen=True)
class _Match:
    mask: Named
    image: Named
    style: str
    part: str


def pair_up(paths: Iterable[Path], root: Path) -> Pairing:
    """Sort image files into images and masks, and find the image of each mask.

    Raises:
        ValueError: If two masks of an image are not parts of one, or two images share a mask.
    """
    files = [Named(path, root) for path in paths]
    images, masks = _sort(files)
    found = Pairing(images)
    scopes = _Scopes(images)
    matches = []
    for mask in masks:
        match = scopes.match(mask)
        matches += [match] if match else []
        found.lonely_masks += [] if match else [mask]
    _keep(found, matches)
    for rule in (_only_image_there, _beside_the_masks, _same_number):
        _keep(found, rule(found))
    return found


# ------------------------------------------------------------------------------------- image or mask
def _sort(files: list[Named]) -> tuple[list[Named], list[Named]]:
    """Images, and masks."""
    beside: dict[Path, list[Named]] = defaultdict(list)
    for file in files:
        beside[file.path.parent].append(file)
    in_mask_folders: dict[tuple[str, ...], set[str]] = defaultdict(set)
    with_images = {file.place for file in files if file.role == "image"}
    for file in files:
        if file.role == "mask":
            in_mask_folders[file.place] |= {file.stem, *(one.stem for one in candidates(file.stem))}
    images: list[Named] = []
    masks: list[Named] = []
    for group in beside.values():
        twins = in_mask_folders[group[0].place] if group[0].role != "mask" else set()
        marked = _masks_of_folder(group, twins)
        of_masks = group[0].role == "mask"
        whole = of_masks and (group[0].place in with_images or not _has_base(group, marked))
        for file in group:
            (masks if whole or file.path in marked else images).append(file)
    return sorted(images, key=lambda file: file.path), sorted(masks, key=lambda file: file.path)


def _masks_of_folder(group: list[Named], twins: set[str]) -> set[Path]:
    """Of the files of one folder those that are masks; `twins`: stems that are masks in another folder."""
    named = {file: [] if file.stem in twins else list(candidates(file.stem)) for file in group}
    bases = {file.stem.casefold() for file in group if not named[file]}
    bases |= {plain_image_stem(file.stem).casefold() for file in group if not named[file]}
    claimed = {one.stem for names in named.values() for one in names}  # gas_mask by gas_mask_mask
    masks: set[Path] = set()
    for file in sorted(group, key=lambda file: len(file.stem)):
        if not named[file]:
            continue
        strong = any(one.strong for one in named[file])
        has_base = any(_is_base(one.stem, bases) for one in named[file])
        if has_base or (strong and file.stem not in claimed):
            masks.add(file.path)
        else:
            bases.add(file.stem.casefold())
    return masks or _lossless_twins(group, twins)


def _is_base(stem: str, bases: set[str]) -> bool:
    return any(one.casefold() in bases for one in (stem, *(short for short, _ in shorter(stem))))


def _lossless_twins(group: list[Named], twins: set[str]) -> set[Path]:
    """Where every stem stands for a JPEG and one file of another kind, the latter are masks."""
    stems: dict[str, list[Path]] = defaultdict(list)
    for file in group:
        stems[file.stem].append(file.path)
    others = [[path for path in paths if path.suffix.lower() not in LOSSY] for paths in stems.values()]
    pairs_only = len(stems) > 1 and all(len(paths) == 2 for paths in stems.values())
    if pairs_only and not twins & stems.keys() and all(len(other) == 1 for other in others):
        return {other[0] for other in others}
    return set()


def _has_base(group: list[Named], marked: set[Path]) -> bool:
    """Whether a folder that is called like masks holds images with their masks."""
    stems = {file.stem.casefold() for file in group if file.path not in marked}
    masks = [file for file in group if file.path in marked]
    return bool(masks) and all(any(c.stem.casefold() in stems for c in candidates(m.stem)) for m in masks)


# -------------------------------------------------------------------------------------- whose mask
class _Scopes:
    """Where the image of a mask is looked for: its own folder, then those of the same place."""

    def __init__(self, images: list[Named]) -> None:
        self.folders: dict[Path, list[Named]] = defaultdict(list)
        self.places: dict[tuple[str, ...], list[Named]] = defaultdict(list)
        for image in images:
            self.folders[image.path.parent].append(image)
            self.places[image.place].append(image)
        self._tables: dict[int, _Table] = {}

    def match(self, mask: Named) -> _Match | None:
        """The image of a mask, if one is known."""
        named = list(candidates(mask.stem))
        same_name = Candidate(mask.stem, f"{mask.role_folder}/")
        for scope, names in (
            (self.folders.get(mask.path.parent), named or [Candidate(mask.stem, SAME_NAME)]),
            (self.places.get(mask.place), [same_name, *named]),
        ):
            if scope:
                if id(scope) not in self._tables:
                    self._tables[id(scope)] = _Table(scope)
                if match := self._tables[id(scope)].match(mask, names):
                    return match
        return self._folder_of_one_image(mask)

    def _folder_of_one_image(self, mask: Named) -> _Match | None:
        """masks/s0/1.png is a part of the mask of images/s0.png."""
        scope = self.places.get(mask.place[:-1]) if mask.role == "mask" and mask.place else None
        images = [image for image in scope or () if image.stem == mask.place[-1]]
        return _Match(mask, images[0], "a folder for each image", mask.stem) if len(images) == 1 else None


class _Table:
    """The images of a scope by stem, exactly, without regard to case, and without words that say image."""

    def __init__(self, images: list[Named]) -> None:
        self.tables: list[dict[str, list[Named]]] = [defaultdict(list) for _ in range(3)]
        for image in images:
            for table, key in zip(self.tables, self._keys(image.stem), strict=True):
                table[key].append(image)

    @staticmethod
    def _keys(stem: str) -> tuple[str, str, str]:
        return stem, stem.casefold(), plain_image_stem(stem).casefold()

    def match(self, mask: Named, names: list[Candidate]) -> _Match | None:
        for name in names:
            if image := self._image(name.stem, mask):
                return _Match(mask, image, name.style, name.part)
        for name in names:
            if found := self._longest(name, mask):
                return found
        return None

    def _image(self, stem: str, mask: Named) -> Named | None:
        for table, key in zip(self.tables, self._keys(stem), strict=True):
            images = table.get(key, [])
            if len(images) > 1:
                raise ValueError(
                    f"{images[0].path.parent} must hold one file a stem, got {images[0].path.name} and "
                    f"{images[1].path.name}, and one mask for both, {mask.path.name}. Delete one."
                )
            if images:
                return images[0]
        return None

    def _longest(self, name: Candidate, mask: Named) -> _Match | None:
        """The image whose stem, and then more, the mask is called by: s0_stone_mask, or s0_2 in masks/."""
        for stem, more in shorter(name.stem):
            if image := self._image(stem, mask):
                if number := NUMBER.fullmatch(more):
                    return _Match(mask, image, name.style, name.part or number[1])
                return _Match(mask, image, more + name.style, name.part)
        return None


# ------------------------------------------------------------------- rules for what is still without partner
def _lonely_images(found: Pairing, key: Callable[[Named], object]) -> dict[object, list[Named]]:
    groups: dict[object, list[Named]] = defaultdict(list)
    for image in found.images:
        if image.path not in found.masks:
            groups[key(image)].append(image)
    return groups


def _only_image_there(found: Pairing) -> list[_Match]:
    """One image in images/ and files of other names in masks/: each is a part of its mask."""
    places: dict[tuple[str, ...], list[Named]] = defaultdict(list)
    for image in found.images:
        places[image.place].append(image)
    matches = []
    for mask in found.lonely_masks:
        images = places[mask.place]
        alone = len(images) == 1 and (images[0].path not in found.masks)
        if alone and mask.place and mask.role == "mask" and images[0].role == "image":
            matches.append(_Match(mask, images[0], "a folder for each image", mask.path.name))
        elif alone and any(not c.stem for c in candidates(mask.stem)):  # image.png and mask.png
            matches.append(_Match(mask, images[0], "mask beside one image", ""))
    return matches


def _beside_the_masks(found: Pairing) -> list[_Match]:
    """Images in a folder of any name beside masks/, if it is the only one with images there."""
    lonely = _lonely_images(found, lambda image: image.place[:-1] if image.place and not image.role else None)
    matches = []
    tables: dict[tuple[str, ...], _Table] = {}
    for mask in found.lonely_masks:
        images = lonely.get(mask.place, [])
        if mask.role == "mask" and images and len({image.place for image in images}) == 1:
            table = tables.setdefault(mask.place, _Table(images))
            style = f"{mask.role_folder}/ beside {images[0].path.parent.name}/"
            names = [Candidate(mask.stem, ""), *candidates(mask.stem)]
            if match := table.match(mask, names):
                matches.append(_Match(mask, match.image, style, match.part))
    return matches


def _same_number(found: Pairing) -> list[_Match]:
    """t0.png and s0_seg.png: names that differ by the same text everywhere, and share their numbers."""
    images = _lonely_images(found, lambda image: image.place)
    masks: dict[object, list[Named]] = defaultdict(list)
    for mask in found.lonely_masks:
        masks[mask.place].append(mask)
    matches = []
    for place, some in masks.items():
        of_images, of_masks = _by_number(images.get(place, [])), _by_number(some)
        if len(of_masks) > 1 and of_images.keys() == of_masks.keys():
            for number, mask in of_masks.items():
                matches.append(_Match(mask, of_images[number], NUMBER_ALONE, ""))
                found.by_number.append((of_images[number].path, mask.path))
    return matches


def _by_number(files: list[Named]) -> dict[int, Named]:
    """Files by the one number in their stems, if all else in these is the same; else none."""
    split = [re.fullmatch(r"(\D*)(\d+)(\D*)", file.stem) for file in files]
    if not all(split) or len({(m[1], m[3]) for m in split if m}) != 1:
        return {}
    numbers = {int(m[2]): file for m, file in zip(split, files, strict=True) if m}
    return numbers if len(numbers) == len(files) else {}


# ---------------------------------------------------------------------------------------- several masks
def _keep(found: Pairing, matches: list[_Match]) -> None:
    """Enter pairs that are certain.

    Raises:
        ValueError: If an image has two masks that are no parts of one.
    """
    of_image: dict[Path, list[_Match]] = defaultdict(list)
    for match in matches:
        of_image[match.image.path].append(match)
    for path, some in of_image.items():
        families = {(match.mask.path.parent, match.style) for match in some}
        parts = [match.part for match in some]
        if path in found.masks or len(families) > 1 or len(set(parts)) < len(parts):
            names = ", ".join(match.mask.path.name for match in some[:3])
            raise ValueError(
                f"{path} must have one mask, or numbered parts of one (s_mask_1, s_mask_2), got {names}: one "
                "file a stem is expected, and these may mean different things. Move away those that you do "
                "not mean."
            )
        found.masks[path] = [match.mask for match in some]
        for match in some:
            found.styles[match.style] += 1
    taken = {match.mask.path for match in matches}
    found.lonely_masks = [mask for mask in found.lonely_masks if mask.path not in taken]
