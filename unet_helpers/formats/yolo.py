"""YOLO: a text file an image, a line an object, its outline in shares of the image's sides."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unet_helpers.formats.outlines import Drawing, Images, filled, need_pycocotools, plan_drawings
from unet_helpers.formats.plan import Options, Plan, visible_files

__all__ = ["is_yolo", "plan_yolo"]

LISTS = ("classes.txt", "obj.names", "labels.txt")  # a name a line
N_LINES_LOOKED_AT = 20


def is_yolo(path: Path) -> bool:
    """Whether a text file holds lines of a class number and at least four shares."""
    if path.suffix.lower() != ".txt" or path.name in LISTS:
        return False
    try:
        lines = path.read_text("utf-8").split("\n")[:N_LINES_LOOKED_AT]
    except (OSError, UnicodeDecodeError):
        return False
    words = [line.split() for line in lines if line.strip()]
    return bool(words) and all(len(row) >= 5 and row[0].isdecimal() and _is_number(row[1]) for row in words)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def plan_yolo(source: Path, options: Options) -> Plan:
    """The images of a source that have a text file, with what was drawn on them.

    Raises:
        ValueError: If pycocotools is not installed, or a class is asked for that nobody drew.
    """
    need_pycocotools(source)
    images, names = Images(source), _class_names(source)
    texts = {path for path in visible_files(source) if path.suffix.lower() == ".txt"}
    drawings, left_out, used = list[Drawing](), list[str](), set[Path]()
    for image in images.paths:
        text = next((path for path in _places(image) if path in texts), None)
        if text is None:
            continue
        used.add(text)
        try:
            drawings.append(_drawing(image, text, names))
        except (ValueError, OSError) as error:
            left_out.append(str(error))
            images.paths = [path for path in images.paths if path != image]
    plan = plan_drawings(drawings, images, options, "YOLO")
    lost = sorted(path for path in texts - used if is_yolo(path))
    plan.left_out = left_out + plan.left_out + [f"{path}: outlines without an image" for path in lost]
    plan.notes.append(
        "An image with an empty text file shows none of it; one without a text file is left out."
    )
    return plan


def _places(image: Path) -> list[Path]:
    """Where the text file of an image may be: beside it, or in labels/ where it lies in images/."""
    parts = image.with_suffix(".txt").parts
    found = [image.with_suffix(".txt")]
    for i in range(len(parts) - 2, -1, -1):
        if parts[i].lower() in ("images", "image", "imgs", "img"):
            found += [Path(*parts[:i], name, *parts[i + 1 :]) for name in ("labels", "label")]
    return found


def _class_names(source: Path) -> dict[int, str]:
    """Names of the classes by number, from data.yaml or a list of names, as far as one is there."""
    folder = source if source.is_dir() else source.parent
    for path in sorted((*folder.rglob("*.yaml"), *folder.rglob("*.yml"))):
        import yaml

        try:
            content = yaml.safe_load(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue
        names = content.get("names") if isinstance(content, dict) else None
        if isinstance(names, list):
            return {i: str(name) for i, name in enumerate(names)}
        if isinstance(names, dict):
            return {int(i): str(name) for i, name in names.items() if str(i).isdecimal()}
    for name in LISTS:
        for path in sorted(folder.rglob(name)):
            lines = path.read_text("utf-8", errors="replace").split("\n")
            return {i: line.strip() for i, line in enumerate(lines) if line.strip()}
    return {}


def _drawing(image: Path, text: Path, names: dict[int, str]) -> Drawing:
    classes, shapes = [], []
    try:
        lines = text.read_text("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{text}: must be text, got other bytes.") from error
    for i, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        if len(words) == 5:
            raise ValueError(f"{text}: line {i} must be an outline, got a box: a class and four numbers.")
        if (
            not words[0].isdecimal()
            or not all(map(_is_number, words[1:]))
            or len(words) % 2 == 0
            or len(words) < 7
        ):
            raise ValueError(f"{text}: line {i} must be a class and pairs of numbers, got {line[:60]!r}.")
        points = [float(word) for word in words[1:]]
        if max(points) > 1.5 or min(points) < -0.5:
            raise ValueError(f"{text}: line {i} must hold shares of the image, 0 to 1, got {max(points):g}.")
        classes.append(names.get(int(words[0]), words[0]))
        shapes.append(points)
    return Drawing(image, tuple(classes), None, lambda i, h, w: _fill(text, shapes[i], h, w))


def _fill(path: Path, shares: list[float], height: int, width: int) -> NDArray[np.bool_]:
    points = (np.array(shares).reshape(-1, 2) * (width, height)).ravel()
    return filled(path, [list(points)], height, width)
