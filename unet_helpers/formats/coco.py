"""COCO: one JSON file with the outlines, or the runs (RLE), of many images."""

from __future__ import annotations

import json
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unet_helpers.formats.outlines import Drawing, Images, filled, need_pycocotools, plan_drawings, unpacked
from unet_helpers.formats.plan import Options, Plan, visible_files

__all__ = ["is_coco", "plan_coco"]

N_LOOKED_AT = 1 << 16


def is_coco(path: Path) -> bool:
    """Whether the beginning and the end of a file look like the JSON of COCO."""
    if path.suffix.lower() != ".json":
        return False
    try:
        with path.open("rb") as file:
            text = file.read(N_LOOKED_AT)
            file.seek(max(0, file.seek(0, 2) - N_LOOKED_AT))
            text += file.read()
    except OSError:
        return False
    return (
        sum(key in text for key in (b'"images"', b'"annotations"', b'"categories"', b'"segmentation"')) >= 2
    )


def plan_coco(source: Path, options: Options) -> Plan:
    """The images of all COCO files of a source, with what was drawn on them.

    Raises:
        ValueError: If pycocotools is not installed, or a class is asked for that nobody drew.
    """
    need_pycocotools(source)
    images, drawings, left_out = Images(source), list[Drawing](), list[str]()
    for path in visible_files(source):
        if is_coco(path):
            try:
                found, missing = _drawings(path, images)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                told = str(error) if isinstance(error, ValueError) else f"no {error}"
                left_out.append(f"{path}: must be a COCO file, got: {told}")
                continue
            drawings += found
            left_out += missing
    plan = plan_drawings(_once(drawings, left_out), images, options, "COCO")
    plan.left_out = left_out + plan.left_out  # the cause before what comes of it
    return plan


def _once(drawings: list[Drawing], left_out: list[str]) -> list[Drawing]:
    """Those whose image only one file draws on."""
    by_image: dict[Path, Drawing] = {}
    for one in drawings:
        if one.image in by_image:
            left_out.append(f"{one.image}: drawn on in two files or entries; the first one counts")
        by_image.setdefault(one.image, one)
    return list(by_image.values())


def _drawings(path: Path, images: Images) -> tuple[list[Drawing], list[str]]:
    content: dict[str, Any] = json.loads(path.read_text("utf-8-sig"))
    names = {one["id"]: str(one["name"]) for one in content.get("categories") or []}
    objects: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for one in content.get("annotations") or []:
        objects[one["image_id"]].append(one)
    found, missing = [], []
    for one in content["images"]:
        try:
            image = images.find(str(one["file_name"]), path)
        except ValueError as error:
            missing.append(str(error))
            continue
        mine = objects.pop(one["id"], [])
        if boxes := sum(not each.get("segmentation") for each in mine):
            missing.append(
                f"{image}: {boxes} of its {len(mine)} objects in {path.name} have a box and no outline"
            )
            continue
        labels = tuple(names.get(each.get("category_id"), str(each.get("category_id"))) for each in mine)
        size = (int(one["height"]), int(one["width"])) if one.get("height") and one.get("width") else None
        shapes = [each["segmentation"] for each in mine]
        found.append(Drawing(image, labels, size, partial(_fill, path, shapes)))
    if n_lost := sum(map(len, objects.values())):
        missing.append(f"{path}: {n_lost} objects belong to images that it does not list")
    return found, missing


def _fill(path: Path, shapes: list[Any], i: int, height: int, width: int) -> NDArray[np.bool_]:
    """Mask of one object: a list of outlines, or runs of equal pixels, as crowds have them."""
    shape = shapes[i]
    if isinstance(shape, list):
        return filled(path, shape, height, width)
    if list(shape.get("size", ())) != [height, width]:
        raise ValueError(
            f"{path}: runs must be of the image's size {[height, width]}, got {shape.get('size')}."
        )
    counts = shape.get("counts")
    counts = _numbers(path, counts) if isinstance(counts, str) else counts
    if not isinstance(counts, list) or not all(isinstance(n, int) and n >= 0 for n in counts):
        raise ValueError(f"{path}: runs must be whole numbers, got {str(counts)[:60]}.")
    if sum(counts) != height * width:
        raise ValueError(f"{path}: runs must add up to {height * width} pixels, got {sum(counts)}.")
    runs = {"size": [height, width], "counts": counts}
    return unpacked(path, need_pycocotools(path).frPyObjects(runs, height, width))


def _numbers(path: Path, text: str) -> list[int]:
    """Lengths of the runs of a packed RLE, unpacked here: pycocotools 2.0.11 reads on behind a damaged one.

    Each number is 5 bits a character, the lowest first, and from the fourth on is a difference from the
    number before the last.
    """
    numbers: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{path}: runs must be whole, got the letter {letter!r} among them.")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:  # the last of this number
            value -= (bits >> 4 & 1) << shift
            numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError(f"{path}: runs must be whole, got a packed text that is cut off.")
    return numbers
