"""How the errors of reading and converting files come about; the sentences stand in docs/errors.md."""

import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
from odd_files import write_dicom, write_nifti, write_png16, write_tiff
from PIL import Image
from test_outlines import BOX, drawn, listed, write_coco, write_image, xml

from unet_helpers.data import Pair, find_pairs, load_image, load_pair
from unet_helpers.formats import convert as converting
from unet_helpers.formats import nifti
from unet_helpers.formats.convert import convert

SQUARE = np.zeros((8, 8), np.uint8)
CT = np.tile(np.arange(-1000, 1000, 50, dtype=np.int16), (4, 1))
SOFT = (40.0, 400.0)
READ = "… must be a readable image, got: "
DEEP = "… must have 8 bits a pixel or a window, got "


def written(folder: Path, content: bytes, name: str = "a.png") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def whole(folder: Path) -> bytes:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(folder / "whole.png")
    return (folder / "whole.png").read_bytes()


def deep(low: float, high: float, dtype: str) -> Callable[[Path], object]:
    values = np.array([[low, high]]).astype(dtype)
    return lambda folder: load_image(write_tiff(folder / "a.tif", values))


def pages(folder: Path) -> None:
    page = Image.fromarray(SQUARE)
    page.save(folder / "a.tif", save_all=True, append_images=[page.copy()])
    load_image(folder / "a.tif")


def turned(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(SQUARE).save(folder / "a.png", exif=exif)
    Image.fromarray(SQUARE).save(folder / "a_mask.png")
    load_pair(Pair(folder / "a.png", folder / "a_mask.png", "g"))


def without(package: str, act: Callable[[Path], object]) -> Callable[[Path], object]:
    """As on a computer that has not got a package."""

    def run(folder: Path) -> None:
        with mock.patch.dict(sys.modules, {package: None}):
            act(folder)

    return run


def read_volume(values: np.ndarray) -> Callable[[Path], object]:
    return lambda folder: nifti.read_volume(write_nifti(folder / "a.nii", values))


def lost_volume(folder: Path) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(CT[..., None], None), folder / "a.nii")
    nifti.read_volume(folder / "a.nii")


def masked(mask: np.ndarray, affine: np.ndarray | None = None) -> Callable[[Path], object]:
    """A volume and a mask that does not fit, converted."""

    def run(folder: Path) -> None:
        write_nifti(folder / "in" / "a.nii", np.zeros((4, 4, 4), np.int16))
        write_nifti(folder / "in" / "a_seg.nii", mask, affine)
        first_broken(folder, SOFT)

    return run


def first_broken(folder: Path, window: tuple[float, float] | None = None) -> None:
    """What `convert` says about the first file that it could not read."""
    try:
        convert(folder / "in", folder / "out", window=window, progress=False)
    except ValueError as error:
        told = str(error).removeprefix("SOURCE must hold something to write, got nothing. ")
        raise ValueError(told.removesuffix(" and 1 more")) from error


def packed(folder: Path) -> None:
    import pydicom
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGLSLossless

    found = pydicom.dcmread(write_dicom(folder / "a.dcm", CT))
    found.file_meta.TransferSyntaxUID, found.PixelData = JPEGLSLossless, encapsulate([b"\0" * 20])
    found["PixelData"].is_undefined_length = True
    found.save_as(folder / "a.dcm")
    load_image(folder / "a.dcm")


def no_image(folder: Path) -> None:
    import pydicom

    found = pydicom.dcmread(write_dicom(folder / "a.dcm", CT, Modality="SR"))
    del found.PixelData
    found.save_as(folder / "a.dcm")
    load_image(folder / "a.dcm")


def cut_dicom(folder: Path) -> None:
    path = write_dicom(folder / "a.dcm", CT)
    load_image(written(folder, path.read_bytes()[:-20], "a.dcm"))


def outlined(shape: object, **more: object) -> Callable[[Path], object]:
    """One image with one COCO object, converted."""

    def run(folder: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = more.pop("turn", 1)
        write_image(folder / "in" / "a.png", exif=exif)
        write_coco(folder / "in" / "coco.json", [listed("a.png", **more)], [drawn(shape)])
        first_broken(folder)

    return run


def other_class(folder: Path) -> None:
    write_image(folder / "in" / "a.png")
    shapes = [drawn([BOX]), drawn([BOX], category=2)]
    write_coco(folder / "in" / "coco.json", [listed("a.png")], shapes)
    convert(folder / "in", folder / "out", classes=["liver"], progress=False)


def yolo(line: str) -> Callable[[Path], object]:
    def run(folder: Path) -> None:
        write_image(folder / "in" / "images" / "a.png")
        (folder / "in" / "labels").mkdir()
        (folder / "in" / "labels" / "a.txt").write_text(line)
        first_broken(folder)

    return run


def voc_box(folder: Path) -> None:
    write_image(folder / "in" / "a.png")
    (folder / "in" / "a.xml").write_text(xml("a.png", "<object><name>stone</name></object>"))
    first_broken(folder)


def only_volumes(folder: Path) -> None:
    write_nifti(folder / "in" / "a.nii", np.zeros((4, 4, 4), np.int16))
    find_pairs(folder / "in")


def two_formats(folder: Path) -> None:
    write_dicom(folder / "in" / "b.dcm", CT)
    only_volumes_there = write_nifti(folder / "in" / "a.nii", np.zeros((4, 4, 4), np.int16))
    convert(only_volumes_there.parent, folder / "out", window=SOFT)


def two_processes(folder: Path) -> None:
    write_nifti(folder / "in" / "a.nii", np.zeros((4, 4, 4), np.int16))
    with converting._alone(folder / ".out.converting", folder / "out"):
        convert(folder / "in", folder / "out", window=SOFT)


def planes(folder: Path) -> None:
    load_image(write_tiff(folder / "a.tif", np.zeros((4, 4, 3), np.uint16), planes=2))


ZEROS = np.zeros((4, 4, 4), np.uint8)
PICTURE = np.arange(64, dtype=np.uint8).reshape(4, 4, 4)
IN_PIXELS = "0 1 2 3 4 5 6"
FAR = np.diag([0.5, 0.75, 2.0 + 2 / 3, 1])
CASES: dict[str, Callable[[Path], object]] = {
    DEEP + "16 bits with values -1000 to …. If these are Hounsfield units, give window=(40, "
    "400) for soft tissue.": (deep(-1000, 950, "i2")),
    DEEP + "16 bits with values 0 to 4095. If these are Hounsfield units with 1024 added, …": lambda folder: (
        load_image(write_png16(folder / "a.png", np.array([[[0], [4095]]], np.uint16)))
    ),
    DEEP
    + "16 bits with values 0 to 200. They fit into 8 bits: window=(127.5, 255) keeps them as they are.": (
        deep(0, 200, "u2")
    ),
    DEEP + "floating point with values 0 to 1. Give the window as level and width: "
    "window=(0.5, 1) shows them all.": (deep(0, 1, "f4")),
    DEEP + "… The file itself names window=(50, 350).": lambda folder: load_image(
        write_dicom(folder / "a.dcm", CT, WindowCenter=50, WindowWidth=350)
    ),
    "… must hold one slice, got 2 pages. Write each page as a file of its own: "
    "python -m unet_helpers convert FOLDER OUT --format tiff": pages,
    READ + "an empty file. It has no bytes: copy or download it again.": lambda folder: load_image(
        written(folder, b"")
    ),
    READ + "…. Its end is missing: copy or download it again.": lambda folder: load_image(
        written(folder, whole(folder)[:-300])
    ),
    READ + "a web page. It was saved in place of the image: download the image itself.": lambda folder: (
        load_image(written(folder, b"<!DOCTYPE html><html>404</html>"))
    ),
    READ + "a pointer of Git LFS. Fetch the image itself: git lfs pull": lambda folder: load_image(
        written(folder, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    ),
    READ + "a zip file. Unpack it.": lambda folder: load_image(written(folder, b"PK\3\4" + b"\0" * 30)),
    READ + "a kind of TIFF that is not read here. Save it as a grey TIFF or PNG …": deep(0, 1, "f8"),
    READ + "its channels lie in separate planes with more than 8 bits. Save it as a grey TIFF …": planes,
    READ + "cannot identify image file ….": lambda folder: load_image(written(folder, b"no picture")),
    READ + "No such file or directory.": lambda folder: load_image(folder / "a.png"),
    READ + "Is a directory. This is a folder: give the name of a file.": lambda folder: load_image(folder),
    "… must be the same way up as its image …, got EXIF orientations 1 and 3. Save "
    "the image again, turned as "
    "the mask is and without the entry.": turned,
    "… must be read by pydicom, got no such package. Run: pip install pydicom": without(
        "pydicom", lambda folder: load_image(written(folder, b"", "a.dcm"))
    ),
    "… must be read by nibabel, got no such package. Run: pip install nibabel": without(
        "nibabel", lambda folder: nifti.read_volume(written(folder, b"", "a.nii"))
    ),
    "… must be a readable DICOM file, got: fewer pixels than it announces. Its end "
    "is missing: copy or download "
    "it again.": cut_dicom,
    "… must be a readable DICOM file, got: ….": lambda folder: load_image(written(folder, b"", "a.dcm")),
    "… must hold pixels that can be unpacked here, got them packed as JPEG-LS …. "
    "Install a decoder: pip install "
    "pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg": packed,
    "… must hold one slice, got 3. Write each as a file of its own: python -m "
    "unet_helpers convert FOLDER OUT "
    "--format dicom": lambda folder: load_image(write_dicom(folder / "a.dcm", np.stack([CT] * 3))),
    "… must hold an image, got DICOM of the kind SR.": no_image,
    "… must be a readable volume, got: ….": lambda folder: nifti.read_volume(
        written(folder, b"no volume", "a.nii")
    ),
    "… must be one volume of grey values, got 4 x 4 x 4 x 2 of int16.": read_volume(
        np.zeros((4, 4, 4, 2), np.int16)
    ),
    "… must say how it lies in the body, got neither qform nor sform. Write it again "
    "with the affine of the scan "
    "that it was made from.": lost_volume,
    "… must have the shape of its image …, got …. Export the mask again at the image's size.": masked(
        ZEROS[1:]
    ),
    "… must lie where its image … lies, got a corner 2.0 mm away. Resample the mask to the image.": masked(
        ZEROS, FAR
    ),
    "… must hold whole numbers as labels, got 0.5.": masked(ZEROS + np.float32(0.5)),
    "… must hold labels, got … values from … to …: a picture.": masked(PICTURE),
    "… must be filled by pycocotools, got no such package. Run: pip install pycocotools": without(
        "pycocotools", outlined([BOX])
    ),
    "class must be one of those drawn (kidney, stone), got 'liver'.": other_class,
    "…: line 1 must be an outline, got a box: a class and four numbers.": yolo("0 0.1 0.2 0.3 0.4"),
    "…: line 1 must hold shares of the image, 0 to 1, got 6.": yolo(IN_PIXELS),
    "… must have the size that was drawn on, 99x20, got 30x20. Take the image that was drawn on.": outlined(
        [BOX], width=99
    ),
    "… must be the way up that was drawn on, got EXIF orientation 3, …": outlined([BOX], turn=3),
    "…: an outline must have at least 3 points, got 2.": outlined([[1, 2, 3, 4]]),
    "…: an outline must lie on its image of 30x20 pixels, got a point at ….": outlined(
        [[1, 2, 300, 4, 5, 6]]
    ),
    "…: runs must add up to 600 pixels, got ….": outlined({"size": [20, 30], "counts": [10, 5]}),
    "…: its object stone must have an outline (<polygon>), got a box or nothing.": voc_box,
    "… must hold image-mask pairs, got none: …. 1 file there holds NIfTI volumes; this makes pairs of them: "
    "python -m unet_helpers convert … OUT --window 40,400": only_volumes,
    "OUT must be a new folder, got …, which exists. Give another name.": lambda folder: convert(
        folder, folder
    ),
    "SOURCE must be an existing folder or file, got …. Check the spelling.": lambda folder: convert(
        folder / "nowhere", folder / "out"
    ),
    "SOURCE must hold one format, got nifti (1 file), dicom (1 file). Choose with --format.": two_formats,
    "… must hold one of coco, yolo, voc, dicom, nifti, tiff, got none of them. If it does, name it with "
    "--format.": lambda folder: convert(folder, folder / "out"),
    "… must be written by one process, got another one that is at it. Wait for it.": two_processes,
}
