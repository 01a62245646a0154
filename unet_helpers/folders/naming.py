"""What names tell: whether a file is a mask, and of which image."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from unet_helpers.data import SUFFIXES

__all__ = ["PARTS", "Candidate", "Named", "candidates", "given_part", "plain_image_stem", "shorter"]

MASK_FOLDERS = set(
    "mask masks label labels seg segs segmentation segmentations segmentationclass segmentationclasspng "
    "segmentationclassaug gt gts annotation annotations annot annots groundtruth "
    "labelstr labelsts labelsval".split()
)
IMAGE_FOLDERS = set("image images img imgs jpegimages pngimages imagestr imagests imagesval".split())
PARTS = {  # of a data set that is split already
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
BESIDE_ROLE = {*PARTS, "png", "jpg", "jpeg", "tif", "tiff", "bmp", "binary", "all", "class"}  # "train_masks"
MARK = re.compile(
    r"(?<![^\W\d_])(masks?|segmentations?|segs?|labels?|gts?|ground[ _.-]?truth|annotations?|annots?)"
    r"(?![^\W\d_])",
    re.IGNORECASE,
)
IMAGE_MARK = re.compile(r"(?<![^\W\d_])(images?|imgs?|volumes?|vol|scans?|ct)(?![^\W\d_])", re.IGNORECASE)
SEPARATORS = " _-.()"
NUMBER = re.compile(r"[ _.()-]*(\d{1,4}|[a-hA-H])\)?")
STRONG = ("mask", "segmentation", "ground")  # words that no photograph is called by


@dataclass(frozen=True)
class Candidate:
    """An image that a mask file may belong to.

    Attributes:
        stem: Stem of that image.
        style: How the mask was recognised, as in "_seg"; "" if both have one name.
        part: Number or letter of the mask among those of one image; "" without one.
        strong: Whether the name is that of a mask, whatever lies beside it.
    """

    stem: str
    style: str
    part: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Named:
    """An image file, seen from the root of the data set.

    Attributes:
        path: The file.
        root: Root of the data set.
    """

    path: Path
    root: Path

    @cached_property
    def stem(self) -> str:
        """Name without suffix; macOS spells accents in two characters where other systems use one."""
        return unicodedata.normalize("NFC", self.path.stem)

    @cached_property
    def folders(self) -> tuple[str, ...]:
        """Folders between root and file."""
        return self.path.parent.relative_to(self.root).parts

    @cached_property
    def roles(self) -> tuple[str, ...]:
        """For each folder "mask", "image" or ""."""
        return tuple(_role(name) for name in self.folders)

    @cached_property
    def role(self) -> str:
        """What the innermost folder that says so holds: "mask", "image", or ""."""
        return next((role for role in reversed(self.roles) if role), "")

    @cached_property
    def role_folder(self) -> str:
        """Name of the folder that says so, or of the one that the file lies in."""
        said = (name for name, role in zip(self.folders[::-1], self.roles[::-1], strict=True) if role)
        return next(said, self.path.parent.name)

    @cached_property
    def place(self) -> tuple[str, ...]:
        """The folders without those that only say image or mask: the same for an image and its mask."""
        return tuple(p for name in self.folders if (p := _without_role(name)))

    @cached_property
    def inside(self) -> str:
        """Path without suffix below the folder that holds images/ and masks/; the stem without these."""
        first = next((i for i, role in enumerate(self.roles) if role), len(self.folders))
        rest = [p for name in self.folders[first:] if (p := _without_role(name))]
        return PurePosixPath(*rest, self.stem).as_posix()

    @cached_property
    def above(self) -> Path:
        """The folder that holds images/ and masks/; the folder of the file without these."""
        first = next((i for i, role in enumerate(self.roles) if role), len(self.folders))
        return self.root.joinpath(*self.folders[:first])


def _tokens(name: str) -> list[str]:
    return [token for token in re.split(r"[ _.-]+", name.lower()) if token]


def _role(name: str) -> str:
    tokens = _tokens(name)
    rest = [token for token in tokens if token not in BESIDE_ROLE and not token.isdecimal()]
    if rest in (["ground", "truth"], ["ground", "truths"]):
        return "mask"
    if len(rest) != 1:
        return ""
    return "mask" if rest[0] in MASK_FOLDERS else "image" if rest[0] in IMAGE_FOLDERS else ""


def _without_role(name: str) -> str:
    """A folder's name without the words image or mask: "train_masks" is "train", "labelsTr" is "tr"."""
    if not _role(name):
        return name
    tokens = [t for t in _tokens(name) if t in PARTS or t.isdecimal()]
    tail = re.fullmatch(r"(?:labels|images)(tr|ts|val)", _tokens(name)[0]) if not tokens else None
    return "_".join(tokens) or (tail[1] if tail else "")


def given_part(folders: tuple[str, ...]) -> str | None:
    """The part of the split that a file's folders name, the outermost first: "train", "val" or "test"."""
    for name in folders:
        for token in [name.lower(), *(_tokens(name) if _role(name) else ())]:
            if token in PARTS:
                return PARTS[token]
            if tail := re.fullmatch(r"(?:labels|images)(tr|ts|val)", token):
                return {"tr": "train", "ts": "test", "val": "val"}[tail[1]]
    return None


def candidates(stem: str) -> Iterator[Candidate]:
    """Images that a mask of this name may belong to, the likeliest first; none if no word says mask."""
    for match in reversed(list(MARK.finditer(stem))):
        before, after = stem[: match.start()], stem[match.end() :]
        left, right = before.rstrip(SEPARATORS), after.lstrip(SEPARATORS)
        strong = match[1].lower().startswith(STRONG)
        gap = before[len(left) :]
        if not right:
            yield from _either(left, gap + match[1].lower(), strong=True)
        elif not left:
            gap = after[: len(after) - len(right)]
            yield from _either(right, match[1].lower() + gap, strong=strong)
        else:
            yield Candidate(left + (gap or "_") + right.rstrip(")"), gap + match[1].lower() + "_")
            if number := NUMBER.fullmatch(after):
                style = gap + match[1].lower()
                yield from (Candidate(c.stem, style, number[1], True) for c in _either(left, style, True))


def _either(stem: str, style: str, strong: bool) -> Iterator[Candidate]:
    yield Candidate(stem, style, "", strong)
    inner = PurePosixPath(stem)
    if inner.suffix.lower() in SUFFIXES:  # a.jpg_mask.png
        yield Candidate(inner.stem, style, "", strong)


def shorter(stem: str) -> Iterator[tuple[str, str]]:
    """A stem cut before each separator, the longest first, and the rest: s0_stone_2 at s0_stone and s0."""
    for end in range(len(stem) - 1, 0, -1):
        if stem[end] in SEPARATORS and stem[end - 1] not in SEPARATORS:
            yield stem[:end], stem[end:]


def plain_image_stem(stem: str) -> str:
    """A stem without the words that say image: "image_001" is "001", "case1_img" is "case1"."""
    bare = IMAGE_MARK.sub("", stem).strip(SEPARATORS)
    return re.sub(r"[ _.-]{2,}", "_", bare)
