"""Ten ways in which a data set can be wrong: small folders of discs, and what `check` says about each."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unet_helpers.folders.check import check_folder

__all__ = ["WAYS", "Way", "doubt_of_classes", "look"]

Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Write = Callable[[Path, int, Grey, Mask], None]
Say = Callable[[Mapping[str, Any]], str]
SIDE, N_IMAGES = 64, 5


@dataclass(frozen=True)
class Way:
    """One way to be wrong.

    Attributes:
        write: Writes image number n and its mask into a folder.
        say: The line of the report that tells it.
        fix: What to do.
        second: What is shown beside the image.
    """

    write: Write
    say: Say
    fix: str
    second: str = "its mask file"


@dataclass(frozen=True)
class Found:
    """What a way looks like: an image, its mask as a viewer shows it, what `check` says, what to do."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    says: str
    fix: str


def _save(path: Path, picture: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(picture).astype(np.uint8)).save(path)


def _written(values: Callable[[Mask], NDArray[Any]], ending: str = "png") -> Write:
    """Image and mask with usual names; `values` makes the mask's values of it."""

    def write(folder: Path, number: int, image: Grey, mask: Mask) -> None:
        _save(folder / f"scan{number}.png", image)
        _save(folder / f"scan{number}_mask.{ending}", values(mask))

    return write


def _usual(mask: Mask) -> NDArray[Any]:
    return mask * 255


def _coloured(mask: Mask) -> NDArray[Any]:
    colours = np.zeros((*mask.shape, 3), np.uint8)
    colours[mask] = (255, 0, 0)
    colours[8:20, 40:58] = (0, 0, 255)
    return colours


def _classes(mask: Mask) -> NDArray[Any]:
    labels = np.zeros(mask.shape, np.uint8)
    labels[8:50, 8:50] = 1
    labels[mask] = 2
    return labels


def _smaller(folder: Path, number: int, image: Grey, mask: Mask) -> None:
    _written(_usual)(folder, number, image, mask[::2, ::2] if number == 0 else mask)


def _names(folder: Path, number: int, image: Grey, mask: Mask) -> None:
    _save(folder / "images" / f"IMG_{number}.png", image)
    _save(folder / "masks" / f"outline {number:03d}.png", mask * 255)


def _several(folder: Path, number: int, image: Grey, mask: Mask) -> None:
    other = np.roll(mask, (18, -18), (0, 1))
    _save(folder / f"scan{number}.png", image)
    _save(folder / f"scan{number}_mask_1.png", mask * 255)
    _save(folder / f"scan{number}_mask_2.png", other * 255)


def _twins(folder: Path, number: int, image: Grey, mask: Mask) -> None:
    write = _written(_usual)
    write(folder, number, image, mask)
    if number == 0:
        _save(folder / "copy of something.png", image[:, ::-1])
        _save(folder / "copy of something_mask.png", mask[:, ::-1] * 255)


def _leftover(folder: Path, number: int, image: Grey, mask: Mask) -> None:
    _save(folder / f"scan{number}.png", image)
    if number != 0:
        _save(folder / f"scan{number}_mask.png", mask * 255)
    (folder / f"scan{number}.txt").write_text("0 0.5 0.5 0.1 0.1\n")


def _doubt(report: Mapping[str, Any]) -> str:
    return f"NOT CERTAIN: {report['mask_doubt']}"


def _meaning(report: Mapping[str, Any]) -> str:
    return " ".join(report["masks_mean"])


def _joined(report: Mapping[str, Any]) -> str:
    image, parts = next(iter(report["joined_masks"].items()))
    return f"{image} has {len(parts)} mask files, which are joined: {', '.join(parts)}"


def _broken(report: Mapping[str, Any]) -> str:
    reason: str = report["broken"][0]["reason"]
    return reason.replace(f"{report['folder']}{os.sep}", "")


def _alike(report: Mapping[str, Any]) -> str:
    twin = report["twins_in_two_groups"][0]
    return f"{twin['first']} and {twin['second']}: alike {twin['likeness']:.2f}"


def _left(report: Mapping[str, Any]) -> str:
    (name,) = report["images_without_mask"]
    return f"1 image without mask: {name}; other files, not read: {report['not_read']}"


WAYS = {
    "1. black masks": Way(
        _written(lambda mask: mask * 1),
        _meaning,
        "Nothing: 0 and 1 are read. (Viewers show them black.)",
    ),
    "2. grey masks": Way(
        _written(_usual, "jpg"), _meaning, "Nothing: cut in the middle. Next time export PNG, never JPEG."
    ),
    "3. inverted masks": Way(_written(lambda mask: ~mask * 255), _doubt, "Look at one, then add --invert."),
    "4. colours as classes": Way(
        _written(_coloured), _doubt, "Ask which colour is yours: --foreground '#ff0000'."
    ),
    "5. several masks an image": Way(_several, _joined, "Nothing, if they are parts of one answer."),
    "6. other sizes": Way(_smaller, _broken, "Export that mask again at the image's size."),
    "7. names": Way(
        _names,
        lambda report: f"pairs by their number alone: {report['paired_by_number'][0]}",
        "Look at three of them: does the mask fit the image?",
    ),
    "8. twins": Way(
        _twins, _alike, "--twins OUT writes a groups.csv that keeps them together.", "another image"
    ),
    "9. patients unknown": Way(
        _written(_usual),
        lambda report: f"{report['n_ungrouped']} images name no exam or source: add groups.csv",
        "Write groups.csv, with the columns stem,group.",
    ),
    "10. leftovers": Way(_leftover, _left, 'Find the mask: "not outlined" is not "no stone".'),
}


def look(name: str) -> Found:
    """Write the small folder of one of the `WAYS`, check it, and return what is seen."""
    way = WAYS[name]
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        report = _checked(folder, way.write)
        image, mask = _shown(folder, way.second != "its mask file")
        return Found(image, mask, way.say(report), way.fix)


def doubt_of_classes() -> str:
    """What `check` says of masks with the values 0, 1 (kidney) and 2 (stone)."""
    with TemporaryDirectory() as scratch:
        return _doubt(_checked(Path(scratch), _written(_classes)))


def _checked(folder: Path, write: Write) -> dict[str, Any]:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for number in range(N_IMAGES):
        rng = np.random.default_rng(number)
        waves = sum(
            np.sin(rows * rng.uniform(0.05, 0.3) + columns * rng.uniform(0.05, 0.3) + rng.uniform(0, 6))
            for _ in range(3)
        )
        row, column = rng.integers(24, 40, 2)
        mask = (rows - row) ** 2 + (columns - column) ** 2 < 36
        image = (90 + 25 * waves + rng.normal(0, 8, mask.shape)).clip(0, 200)
        write(folder, number, np.where(mask, 235, image).astype(np.uint8), mask)
    return check_folder(folder, progress=False, masks="")


def _shown(folder: Path, twin: bool) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The first image and its mask as a picture viewer shows them; a black picture where there is none."""
    files = sorted(path for path in folder.rglob("*.*") if path.suffix in (".png", ".jpg"))
    masks = [path for path in files if "mask" in path.as_posix().removeprefix(folder.as_posix())]
    images = [path for path in files if path not in masks]
    own = [path for path in masks if path.stem.startswith(images[0].stem) or path.parent != folder]
    own = images[1:] if twin else own
    image = np.array(Image.open(images[0]).convert("RGB"))
    return image, np.array(Image.open(own[0]).convert("RGB")) if own else np.zeros_like(image)
