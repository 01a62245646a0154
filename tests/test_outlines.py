"""`convert` of COCO, YOLO and VOC outlines: what was drawn is what the masks show."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from cli_tools import call
from PIL import Image

from unet_helpers.data import find_pairs, load_image, load_mask, load_pair
from unet_helpers.formats.convert import convert

SIZE = (20, 30)  # height, width
BOX = [4, 2, 10, 2, 10, 7, 4, 7]  # columns 4 to 9, rows 2 to 6
FILLED = np.zeros(SIZE, bool)
FILLED[2:7, 4:10] = True
CROWD = np.zeros(SIZE, bool)
CROWD[15:18, 20:28] = True


def write_image(path: Path, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = (np.arange(SIZE[0] * SIZE[1]) % 251).astype(np.uint8).reshape(SIZE)
    Image.fromarray(values).save(path, **options)
    return path


def runs(mask: np.ndarray) -> dict:
    """Runs of equal pixels, column by column, beginning with those outside: COCO's uncompressed RLE."""
    flat = mask.ravel(order="F").astype(int)
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}


def write_coco(path: Path, images: list[dict], annotations: list[dict], **more) -> Path:
    categories = [{"id": 1, "name": "stone"}, {"id": 2, "name": "kidney"}]
    content = {"images": images, "annotations": annotations, "categories": categories} | more
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def listed(name: str, number: int = 1, **more) -> dict:
    return {"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]} | more


def drawn(shape, image: int = 1, category: int = 1, **more) -> dict:
    return {"id": 1, "image_id": image, "category_id": category, "segmentation": shape} | more


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """One image with an outline and a crowd, one without anything, one that no file knows."""
    folder = tmp_path / "set"
    for name in ("a.jpg", "b.png", "c.png"):
        write_image(folder / "train" / name)
    shapes = [drawn([BOX]), drawn(runs(CROWD), category=2, iscrowd=1)]
    write_coco(folder / "train" / "_annotations.coco.json", [listed("a.jpg"), listed("b.png", 2)], shapes)
    return folder


def mask_of(folder: Path, name: str) -> np.ndarray:
    (path,) = folder.rglob(f"{name}_mask.png")
    return load_mask(path)


# -------------------------------------------------------------------------------------------------- COCO
def test_coco_becomes_pairs(coco: Path, tmp_path: Path, capsys):
    assert call("convert", coco, tmp_path / "out") == 0
    told = capsys.readouterr().out
    assert "Objects drawn: kidney (1), stone (1). All are joined into one mask; --class NAME chooses." in told
    assert "c.png: no COCO outlines belong to it" in told
    assert "2 images and 2 masks" in told and "1 of them with an object" in told
    assert np.array_equal(mask_of(tmp_path / "out", "a"), FILLED | CROWD)
    assert not mask_of(tmp_path / "out", "b").any()
    assert [
        pair.image_path.relative_to(tmp_path / "out").as_posix()
        for pair in find_pairs_quietly(tmp_path / "out")
    ] == [
        "train/a.png",
        "train/b.png",
    ]
    assert np.array_equal(load_image(tmp_path / "out/train/a.png"), load_image(coco / "train/a.jpg"))


def find_pairs_quietly(folder: Path) -> list:
    with pytest.warns(UserWarning, match="name no exam"):
        return find_pairs(folder)


@pytest.mark.parametrize(
    ("classes", "expected"), [(["stone"], FILLED), (["kidney"], CROWD), (["kidney", "stone"], FILLED | CROWD)]
)
def test_classes_are_chosen_by_name(coco: Path, tmp_path: Path, classes: list[str], expected: np.ndarray):
    done = convert(coco, tmp_path / "out", classes=classes, progress=False)
    assert np.array_equal(mask_of(done.out, "a"), expected)
    assert any(f"Taken as foreground: {', '.join(classes)}" in note for note in done.notes)


def test_an_unknown_class_is_refused_with_those_there(coco: Path, tmp_path: Path):
    with pytest.raises(ValueError, match=r"class must be one of those drawn \(kidney, stone\), got 'liver'"):
        convert(coco, tmp_path / "out", classes=["liver"], progress=False)


def test_packed_runs_and_holes_of_several_parts(tmp_path: Path):
    from pycocotools import mask as tools

    packed = tools.encode(np.asfortranarray(CROWD.astype(np.uint8)))
    shape = {"size": list(SIZE), "counts": packed["counts"].decode()}
    write_image(tmp_path / "in" / "a.png")
    two = [BOX, [20, 10, 24, 10, 24, 12, 20, 12]]
    write_coco(tmp_path / "in" / "coco.json", [listed("a.png")], [drawn(shape), drawn(two)])
    done = convert(tmp_path / "in", tmp_path / "out", progress=False)
    expected = FILLED | CROWD
    expected[10:12, 20:24] = True
    assert np.array_equal(mask_of(done.out, "a"), expected)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ([[1, 2, 3]], "an outline must be pairs of numbers"),
        ([[1, 2, 3, 4]], "an outline must have at least 3 points, got 2"),
        ([[1, 2, 3, 4, "a", 5]], "an outline must be pairs of numbers"),
        ([[1, 2, 300, 4, 5, 6]], r"must lie on its image of 30x20 pixels, got a point at 300, 4"),
        ({"size": [20, 31], "counts": [620]}, r"runs must be of the image's size \[20, 30\], got \[20, 31\]"),
        ({"size": [20, 30], "counts": [10, 5]}, "runs must add up to 600 pixels"),
        ({"size": [20, 30], "counts": [700, -100]}, "runs must be whole numbers"),
        ({"size": [20, 30], "counts": "damaged"}, "runs must "),
    ],
)
def test_a_broken_outline_is_named_and_the_rest_goes_on(tmp_path: Path, shape, reason: str):
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "in" / name)
    images = [listed("a.png"), listed("b.png", 2)]
    write_coco(tmp_path / "in" / "coco.json", images, [drawn(shape), drawn([BOX], 2)])
    done = convert(tmp_path / "in", tmp_path / "out", progress=False)
    (told,) = done.broken
    assert re.search(reason, told) and np.array_equal(mask_of(done.out, "b"), FILLED)
    assert not list(done.out.glob("a*"))


def test_what_coco_leaves_open_is_named(tmp_path: Path):
    for name in ("a.png", "b.png", "box.png"):
        write_image(tmp_path / "in" / name)
    images = [listed("a.png"), listed("b.png", 2, height=99), listed("box.png", 3), listed("gone.png", 4)]
    shapes = [drawn([BOX]), drawn([], 3, bbox=[1, 2, 3, 4]), drawn([BOX], 77)]
    write_coco(tmp_path / "in" / "coco.json", images, shapes)
    (tmp_path / "in" / "other.json").write_text('{"images": 3, "annotations": ')
    done = convert(tmp_path / "in", tmp_path / "out", progress=False)
    told = "\n".join(done.left_out + done.broken)
    for part in (
        "box.png: 1 of its 1 objects in coco.json have a box and no outline",
        "its image gone.png is not there",
        "1 objects belong to images that it does not list",
        "b.png must have the size that was drawn on, 30x99, got 30x20",
        "other.json: must be a COCO file, got: ",
    ):
        assert part in told
    assert done.n_images == 1


def test_the_image_of_the_same_folder_is_taken(tmp_path: Path):
    for part in ("train", "val"):
        write_image(tmp_path / "in" / "images" / part / "a.png")
        write_coco(
            tmp_path / "in" / "annotations" / f"instances_{part}.json", [listed("a.png")], [drawn([BOX])]
        )
    done = convert(tmp_path / "in", tmp_path / "out", progress=False)
    assert sorted(p.relative_to(done.out).as_posix() for p in done.out.rglob("a.png")) == [
        "train/a.png",
        "val/a.png",
    ]
    assert done.left_out == []


@pytest.mark.parametrize(("size", "drawn_lying"), [(SIZE, True), (SIZE[::-1], False)])
def test_outlines_turn_with_their_image(tmp_path: Path, size: tuple[int, int], drawn_lying: bool):
    exif = Image.Exif()
    exif[0x0112] = 6
    write_image(tmp_path / "in" / "a.png", exif=exif)  # upright it has 30 rows
    images = [listed("a.png", height=size[0], width=size[1])]
    write_coco(tmp_path / "in" / "coco.json", images, [drawn([BOX])])
    mask = mask_of(convert(tmp_path / "in", tmp_path / "out", progress=False).out, "a")
    upright = np.zeros(SIZE[::-1], bool)
    upright[2:7, 4:10] = True
    assert np.array_equal(mask, np.rot90(FILLED, -1) if drawn_lying else upright)


def test_a_turn_that_sizes_cannot_tell_is_refused(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 3
    write_image(tmp_path / "in" / "a.png", exif=exif)
    write_coco(tmp_path / "in" / "coco.json", [listed("a.png")], [drawn([BOX])])
    with pytest.raises(ValueError, match="must be the way up that was drawn on, got EXIF orientation 3"):
        convert(tmp_path / "in", tmp_path / "out", progress=False)


# -------------------------------------------------------------------------------------------------- YOLO
def shares(points: list[float]) -> str:
    return " ".join(f"{p / (SIZE[1], SIZE[0])[i % 2]:.9f}" for i, p in enumerate(points))


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    for name in ("a.jpg", "empty.png", "without.png", "box.png"):
        write_image(folder / "images" / "train" / name)
    labels = folder / "labels" / "train"
    labels.mkdir(parents=True)
    (labels / "a.txt").write_text(f"0 {shares(BOX)}\n1 {shares([20, 15, 28, 15, 28, 18, 20, 18])}\n")
    (labels / "empty.txt").write_text("")
    (labels / "box.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (labels / "alone.txt").write_text(f"0 {shares(BOX)}\n")
    (folder / "data.yaml").write_text("names: [stone, kidney]\n")
    return folder


def test_yolo_becomes_pairs(yolo: Path, tmp_path: Path):
    done = convert(yolo, tmp_path / "out", progress=False)
    assert (done.kind, done.n_images, done.n_with_object) == ("yolo", 2, 1)
    assert np.array_equal(mask_of(done.out, "a"), FILLED | CROWD) and not mask_of(done.out, "empty").any()
    assert (done.out / "train" / "a.png").is_file()
    told = "\n".join(done.left_out)
    assert "box.txt: line 1 must be an outline, got a box" in told
    assert (
        "without.png: no YOLO outlines belong to it" in told
        and "alone.txt: outlines without an image" in told
    )
    assert len(done.left_out) == 3
    kidney = convert(yolo, tmp_path / "kidney", classes=["kidney"], progress=False)
    assert np.array_equal(mask_of(kidney.out, "a"), CROWD)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 1 2 3 4 5 6", "line 1 must hold shares of the image, 0 to 1, got 6"),
        ("0 0.1 0.2 0.3 0.4 0.5 0.6 0.7", "line 1 must be a class and pairs of numbers"),
        ("stone 0.1 0.2 0.3 0.4 0.5 0.6", "line 1 must be a class and pairs of numbers"),
        ("0 0.1 nan 0.3 0.4 0.5 0.6", "line 1 must be a class and pairs of numbers"),
    ],
)
def test_a_line_that_is_no_outline_is_named(yolo: Path, tmp_path: Path, line: str, reason: str):
    (yolo / "labels" / "train" / "empty.txt").write_text(line)
    done = convert(yolo, tmp_path / "out", "yolo", progress=False)
    assert any(f"empty.txt: {reason}" in told for told in done.left_out) and done.n_images == 1


def test_a_class_file_names_the_classes(yolo: Path, tmp_path: Path):
    (yolo / "data.yaml").unlink()
    (yolo / "classes.txt").write_text("stone\nkidney\n")
    done = convert(yolo, tmp_path / "out", classes=["stone"], progress=False)
    assert np.array_equal(mask_of(done.out, "a"), FILLED)


# --------------------------------------------------------------------------------------------------- VOC
def xml(name: str, objects: str) -> str:
    size = f"<size><width>{SIZE[1]}</width><height>{SIZE[0]}</height></size>"
    return f"<annotation><filename>{name}</filename>{size}{objects}</annotation>"


def numbered(points: list[float]) -> str:
    return "".join(
        f"<{'xy'[i % 2]}{i // 2 + 1}>{p}</{'xy'[i % 2]}{i // 2 + 1}>" for i, p in enumerate(points)
    )


def test_voc_becomes_pairs(tmp_path: Path):
    folder = tmp_path / "in"
    for name in ("a.jpg", "b.jpg", "box.jpg", "bomb.jpg", "broken.jpg"):
        write_image(folder / "JPEGImages" / name)
    points = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in zip(BOX[::2], BOX[1::2], strict=True))
    (folder / "Annotations").mkdir()
    for name, content in (
        ("a", xml("a.jpg", f"<object><name>stone</name><polygon>{numbered(BOX)}</polygon></object>")),
        ("b", xml("b.jpg", f"<object><name>stone</name><polygon>{points}</polygon></object>")),
        ("box", xml("box.jpg", "<object><name>stone</name><bndbox><xmin>1</xmin></bndbox></object>")),
        ("bomb", '<!DOCTYPE a [<!ENTITY b "c">]>' + xml("bomb.jpg", "")),
        ("broken", xml("broken.jpg", "<object>")),
    ):
        (folder / "Annotations" / f"{name}.xml").write_text(content)
    done = convert(folder, tmp_path / "out", progress=False)
    assert (done.kind, done.n_images) == ("voc", 2)
    assert np.array_equal(mask_of(done.out, "a"), FILLED) and np.array_equal(mask_of(done.out, "b"), FILLED)
    told = "\n".join(done.left_out)
    assert "its object stone must have an outline (<polygon>), got a box" in told
    assert "bomb.xml: must be plain XML" in told and "broken.xml: must be XML, got: " in told


# --------------------------------------------------------------------------------------------- the hints
@pytest.mark.parametrize("kind", ["coco", "yolo", "voc"])
def test_a_folder_of_outlines_is_told_its_command(tmp_path: Path, kind: str, capsys):
    folder = tmp_path / "in"
    write_image(folder / "images" / "a.png")
    (folder / "labels").mkdir()
    if kind == "coco":
        write_coco(folder / "coco.json", [listed("a.png")], [drawn([BOX])])
    elif kind == "yolo":
        (folder / "labels" / "a.txt").write_text(f"0 {shares(BOX)}\n")
    else:
        (folder / "a.xml").write_text(xml("a.png", ""))
    assert call("check", folder) == 1
    assert f"python -m unet_helpers convert {folder} OUT\n" in capsys.readouterr().err


def test_converted_pairs_are_read(coco: Path, tmp_path: Path):
    done = convert(coco, tmp_path / "out", progress=False)
    assert [load_pair(pair)[1].sum() for pair in find_pairs_quietly(done.out)] == [54, 0]
