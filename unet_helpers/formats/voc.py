"""VOC-style XML: a file an image, its objects with a <polygon> each, as Roboflow and LabelMe write them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from unet_helpers.formats.outlines import Drawing, Images, filled, need_pycocotools, plan_drawings
from unet_helpers.formats.plan import Options, Plan, visible_files

__all__ = ["is_voc", "plan_voc"]


def is_voc(path: Path) -> bool:
    """Whether a file looks like an annotation in XML."""
    if path.suffix.lower() != ".xml":
        return False
    try:
        with path.open("rb") as file:
            return b"<annotation" in file.read(2048)
    except OSError:
        return False


def plan_voc(source: Path, options: Options) -> Plan:
    """The images of all XML files of a source, with what was drawn on them.

    Raises:
        ValueError: If pycocotools is not installed, or a class is asked for that nobody drew.
    """
    need_pycocotools(source)
    images, drawings, left_out = Images(source), list[Drawing](), list[str]()
    for path in visible_files(source):
        if is_voc(path):
            try:
                drawings.append(_drawing(path, images))
            except ElementTree.ParseError as error:
                left_out.append(f"{path}: must be XML, got: {error}")
            except (ValueError, OSError) as error:
                left_out.append(str(error))
    plan = plan_drawings(drawings, images, options, "VOC")
    plan.left_out = left_out + plan.left_out  # the cause before what comes of it
    return plan


def _drawing(path: Path, images: Images) -> Drawing:
    data = path.read_bytes()
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ValueError(f"{path}: must be plain XML, got definitions of its own.")
    root = ElementTree.fromstring(data)
    image = images.find((root.findtext("filename") or path.stem).strip(), path)
    size = tuple(int(float(root.findtext(f"size/{side}") or 0)) for side in ("height", "width"))
    classes, shapes = [], []
    for one in root.iter("object"):
        points = _points(one)
        name = (one.findtext("name") or "").strip() or "object"
        if not points:
            raise ValueError(
                f"{path}: its object {name} must have an outline (<polygon>), got a box or nothing."
            )
        classes.append(name)
        shapes.append(points)
    return Drawing(
        image,
        tuple(classes),
        (size[0], size[1]) if all(size) else None,
        lambda i, height, width: filled(path, [shapes[i]], height, width),
    )


def _points(one: ElementTree.Element) -> list[float]:
    """Points of an object, x and y in turn: <x1>, <y1>, <x2>, ... or <pt><x/><y/></pt>."""
    polygon = one.find("polygon")
    if polygon is None:
        return []
    if spelled := [(pt.findtext("x"), pt.findtext("y")) for pt in polygon.iter("pt")]:
        return [float(text or "nan") for point in spelled for text in point]
    found: list[float] = []
    while (x := polygon.findtext(f"x{len(found) // 2 + 1}")) is not None:
        found += [float(x), float(polygon.findtext(f"y{len(found) // 2 + 1}") or "nan")]
    return found
