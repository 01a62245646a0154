"""Which images are meant: files, folders with all that is in them, and patterns such as "scans/*.png"."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unet_helpers.data import SUFFIXES
from unet_helpers.formats.dicom import is_dicom
from unet_helpers.formats.kinds import convert_hint

__all__ = ["Input", "find_inputs"]

OURS = ("_mask", "_overlay")  # of an image that stands beside it: no image to predict


@dataclass(frozen=True)
class Input:
    """An image, and where what is made of it goes.

    Attributes:
        path: The image file.
        folder: Folder for mask and overlay; within a folder that was given, sub-folders are kept.
    """

    path: Path
    folder: Path

    @property
    def mask(self) -> Path:
        """File of the predicted mask."""
        return self.folder / f"{self.path.stem}_mask.png"

    @property
    def overlay(self) -> Path:
        """File of the picture with its outline."""
        return self.folder / f"{self.path.stem}_overlay.png"


def find_inputs(words: Sequence[str], out: Path) -> tuple[list[Input], list[str]]:
    """The images that are meant, each once, and a sentence for each word or file that cannot be predicted.

    Args:
        words: Files, folders and patterns. A file whose name holds a star is taken for that file.
        out: Folder for the predictions; images in it are none of those meant by a folder or pattern.
    """
    found: list[Input] = []
    wrong: list[str] = []
    for word in words:
        path, where = Path(word), os.path.abspath(out)
        if path.is_dir():
            inside = _images_in(path, where)
            found += [Input(one, out / one.relative_to(path).parent) for one in inside]
            if not inside:
                wrong.append(f"{path} must hold images ({_kinds()}), got a folder without one.{_hint(path)}")
        elif path.is_file() and _is_image(path):
            found.append(Input(path, out))
        elif not path.exists() and glob.has_magic(word):
            matches = _chosen(map(Path, sorted(glob.glob(word, recursive=True))), where)
            found += [Input(one, out) for one in matches]
            wrong += [] if matches else [f"{word} must match image files ({_kinds()}), got none that does."]
        else:
            told = f"IMAGE must be an image file ({_kinds()}), a folder or a pattern, got {word!r}."
            wrong.append(told + (_hint(path) if path.is_file() else ""))
    return _without_repeats(found, wrong)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES or is_dicom(path)


def _hint(path: Path) -> str:
    """What to do with a volume, or a folder of them."""
    return f" {hint}" if (hint := convert_hint(path)) else ""


def _kinds() -> str:
    return ", ".join(sorted(SUFFIXES)) + " or DICOM"


def _images_in(folder: Path, out: str) -> list[Path]:
    inside = [
        Path(where, name) for where, _, names in os.walk(folder) for name in names if not name.startswith(".")
    ]
    return _chosen(sorted(inside), out)


def _chosen(paths: Sequence[Path] | map[Path], out: str) -> list[Path]:
    """Image files outside of `out` that are no mask or overlay of another one of them."""
    images = [path for path in paths if path.is_file() and _is_image(path)]
    images = [path for path in images if Path(out) not in Path(os.path.abspath(path)).parents]
    stems = {(path.parent, path.stem) for path in images}

    def is_ours(path: Path) -> bool:
        shorter = [path.stem.removesuffix(end) for end in OURS if path.stem.endswith(end)]
        return any((path.parent, stem) in stems for stem in shorter)

    return [path for path in images if not is_ours(path)]


def _without_repeats(found: list[Input], wrong: list[str]) -> tuple[list[Input], list[str]]:
    """Each file once; of two files with one name, whose masks would be one, none."""
    by_file = {os.path.realpath(one.path): one for one in reversed(found)}
    once = [one for one in found if by_file[os.path.realpath(one.path)] is one]
    by_mask: dict[Path, list[Path]] = {}
    for one in once:
        by_mask.setdefault(one.mask, []).append(one.path)
    for mask, paths in by_mask.items():
        if len(paths) > 1:
            names = " and ".join(map(str, paths))
            wrong.append(f"{names} must have different names, got one, {mask.name}, for their masks. "
                         "Predict them into two folders.")  # fmt: skip
    return [one for one in once if len(by_mask[one.mask]) == 1], wrong
