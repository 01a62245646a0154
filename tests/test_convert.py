"""`convert`: pairs from DICOM, NIfTI and pages; whole or not at all, and continued."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from cli_tools import TRAIN, call, usage_error
from odd_files import write_dicom, write_nifti, write_png16, write_tiff
from PIL import Image
from tiny_data import write_tiny

from unet_helpers.data import find_pairs, load_image, load_mask, load_pair, spacings, window
from unet_helpers.folders.finding import scan_folder
from unet_helpers.formats import convert as converting
from unet_helpers.formats import nifti
from unet_helpers.formats.convert import convert

pytest_plugins = ["cli_runs"]

RNG = np.random.default_rng(0)
STORED = RNG.integers(900, 1400, (8, 12)).astype(np.uint16)
SOFT = (40.0, 400.0)


def stored(i: int) -> np.ndarray:
    """A slice that is told by its first value: i HU above that of the window's lower end."""
    values = STORED.copy()
    values[0, 0] = 1024 - 160 + i
    return values


def order_of(folder: Path) -> list[int]:
    """Which slices a folder holds, in the order of their names."""
    heights = [load_image(path)[0, 0] for path in sorted(folder.glob("*[0-9].png"))]
    return [round(float(grey) * 400 / 255) for grey in heights]


# ------------------------------------------------------------------------------------------------- DICOM
@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Two patients; the names and numbers of the files stand against their order in the body."""
    folder = tmp_path / "Doe_Jane"
    for i, name in enumerate(("IM9", "IM3.dcm", "IM7")):
        write_dicom(folder / name, stored(8 * i), ImagePositionPatient=[0, 0, 5.0 * i], InstanceNumber=9 - i)
    write_dicom(folder / "x" / "IM1", stored(100), PatientID="0815", ImagePositionPatient=[0, 0, 3])
    return folder


def test_dicom_becomes_slices_in_the_order_of_the_body(series: Path, tmp_path: Path):
    done = convert(series, tmp_path / "out", window=SOFT, progress=False)
    assert (done.kind, done.n_images, done.n_masks, done.broken) == ("dicom", 4, 0, [])
    by_patient = {name.split("_")[0] for name in (p.stem for p in (tmp_path / "out").glob("*.png"))}
    assert len(by_patient) == 2
    assert sorted(order_of(tmp_path / "out")) == [0, 8, 16, 100]
    three = [p for p in by_patient if len(list((tmp_path / "out").glob(f"{p}*.png"))) == 3]
    found = [load_image(p)[0, 0] for p in sorted((tmp_path / "out").glob(f"{three[0]}*.png"))]
    assert found == [0, 5, 10]  # 8 HU are 5 greys
    image = load_image(sorted((tmp_path / "out").glob(f"{three[0]}*.png"))[1])
    assert np.array_equal(image, window(stored(8).astype(float) - 1024, *SOFT))


def test_of_the_patient_only_a_pseudonym_is_kept(series: Path, tmp_path: Path):
    out = convert(series, tmp_path / "out", window=SOFT, progress=False).out
    everything = b"".join(
        p.read_bytes() + str(p.relative_to(out)).encode() for p in out.rglob("*") if p.is_file()
    )
    for secret in (b"Doe", b"Jane", b"4711", b"0815", b"1970", b"IM9", b"1.2.3"):
        assert secret not in everything
    rows = list(csv.DictReader((out / "groups.csv").read_text().splitlines()))
    assert len(rows) == 4 and len({row["group"] for row in rows}) == 2
    assert all(re.fullmatch(r"patient-[0-9a-f]{8}", row["group"]) for row in rows)
    again = convert(series, tmp_path / "again", window=SOFT, progress=False).out
    assert {p.name for p in again.glob("*.png")}.isdisjoint(p.name for p in out.glob("*.png"))


def test_dicom_with_masks_makes_pairs_with_group_and_spacing(tmp_path: Path):
    for i in range(2):
        write_dicom(tmp_path / "in" / "images" / f"{i}.dcm", stored(i), ImagePositionPatient=[0, 0, i])
        mask = np.zeros((8, 12), np.uint8)
        mask[2 + i, 3] = 255
        (tmp_path / "in" / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "in" / "masks" / f"{i}.png")
    out = convert(tmp_path / "in", tmp_path / "out", window=SOFT, progress=False).out
    pairs = find_pairs(out)
    assert [np.argwhere(load_pair(pair)[1]).tolist() for pair in pairs] == [[[2, 3]], [[3, 3]]]
    assert len({pair.group for pair in pairs}) == 1 and pairs[0].group.startswith("patient-")
    assert spacings(pairs) == [(0.5, 0.75)] * 2
    assert scan_folder(out).n_ungrouped == 0


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"RescaleSlope": 2, "RescaleIntercept": -2000}, lambda v: window(v * 2.0 - 2000, *SOFT)),
        ({"PhotometricInterpretation": "MONOCHROME1"}, lambda v: 255 - window(v - 1024.0, *SOFT)),
        ({"RescaleSlope": None, "RescaleIntercept": None}, lambda v: window(v.astype(float), *SOFT)),
    ],
)
def test_values_are_in_the_units_that_the_file_says(tmp_path: Path, attributes: dict, expected):
    path = write_dicom(tmp_path / "a.dcm", STORED, **attributes)
    assert np.array_equal(load_image(path, SOFT), expected(STORED))


def test_a_window_that_the_file_names_is_told(tmp_path: Path):
    path = write_dicom(tmp_path / "a.dcm", STORED, WindowCenter=[50, 300], WindowWidth=[350, 1500])
    with pytest.raises(
        ValueError, match=r"float.* values -12\d to 37\d\. The file itself names window=\(50, 350\)"
    ):
        load_image(path)


def test_dicom_of_eight_bits_needs_no_window(tmp_path: Path):
    values = np.arange(96, dtype=np.uint8).reshape(8, 12)
    path = write_dicom(tmp_path / "a.dcm", values)
    assert np.array_equal(load_image(path), values)
    dark = write_dicom(tmp_path / "b.dcm", values, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(load_image(dark), 255 - values)


def test_many_frames_of_one_file_become_slices(tmp_path: Path):
    path = write_dicom(tmp_path / "a.dcm", np.stack([stored(i) for i in (0, 8, 16)]))
    with pytest.raises(ValueError, match="must hold one slice, got 3"):
        load_image(path, SOFT)
    done = convert(path, tmp_path / "out", window=SOFT, progress=False)
    assert done.n_images == 3 and order_of(done.out) == [0, 8, 16]


def test_packed_pixels_without_a_decoder_are_refused_readably(tmp_path: Path):
    import pydicom
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGLSLossless

    found = pydicom.dcmread(write_dicom(tmp_path / "a.dcm", STORED))
    found.file_meta.TransferSyntaxUID = JPEGLSLossless
    found.PixelData = encapsulate([b"\0" * 20])
    found["PixelData"].is_undefined_length = True
    found.save_as(tmp_path / "a.dcm")
    with pytest.raises(ValueError, match=r"got them packed as JPEG-LS .* pip install pylibjpeg"):
        load_image(tmp_path / "a.dcm", SOFT)


def test_one_bad_dicom_file_is_named_and_the_rest_goes_on(series: Path, tmp_path: Path, capsys):
    whole = (series / "IM9").read_bytes()
    (series / "IM9").write_bytes(whole[:-50])
    write_dicom(series / "report", STORED, Modality="SR", Rows=None)
    (series / "copy").write_bytes((series / "IM7").read_bytes())
    (series / "notes.txt").write_text("no DICOM")
    assert call("convert", series, tmp_path / "out", "--window", "40,400") == 1
    told = capsys.readouterr()
    assert "IM9 must be a readable DICOM file" in told.err and "copy or download it again" in told.err
    assert "no image, but DICOM of the kind SR" in told.out and "the same image as" in told.out
    assert len(list((tmp_path / "out").glob("*.png"))) == 3


# ------------------------------------------------------------------------------------------------- NIfTI
def body() -> np.ndarray:
    """HU (X, Y, Z), axes to the right, front and head: air, but for three marks of different brightness."""
    volume = np.full((6, 8, 10), -1000, np.int16)
    volume[5, 3, 4] = 240  # at the right
    volume[2, 7, 4] = 140  # at the front
    volume[2, 3, 9] = 40  # at the head
    return volume


@pytest.mark.parametrize(
    ("axis", "index", "marks"),  # places (row, column) of right, front and head, if they are in this slice
    [
        ("axial", 4, [(4, 0), (0, 3), None]),
        ("coronal", 3, [(5, 0), None, (0, 3)]),
        ("sagittal", 2, [None, (5, 0), (0, 4)]),
    ],
)
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, -1, 1), (-1, 1, -1)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_slices_are_upright_however_the_volume_lies_in_its_file(
    tmp_path: Path, order: tuple[int, ...], flips: tuple[int, ...], axis: str, index: int, marks: list
):
    affine = np.eye(4)
    affine[:3, :3] = 0
    for file_axis, body_axis in enumerate(order):
        affine[body_axis, file_axis] = flips[file_axis] * (0.5, 0.75, 2.0)[body_axis]
    values = body().transpose(order)[tuple(slice(None, None, flip) for flip in flips)]
    volume = nifti.read_volume(write_nifti(tmp_path / "a.nii.gz", np.ascontiguousarray(values), affine))
    assert np.array_equal(volume.values, body()) and volume.spacing_mm == (0.5, 0.75, 2.0)
    plane = nifti.cut(volume.values, axis, index)
    for value, place in zip((240, 140, 40), marks, strict=True):
        assert np.argwhere(plane == value).tolist() == ([list(place)] if place else [])


@pytest.mark.parametrize(
    ("axis", "n", "shape", "sides"),
    [
        ("axial", 10, (8, 6), (0.75, 0.5)),
        ("coronal", 8, (10, 6), (2.0, 0.5)),
        ("sagittal", 6, (10, 8), (2.0, 0.75)),
    ],
)
def test_nifti_becomes_pairs_with_patient_and_spacing(tmp_path: Path, axis: str, n: int, shape, sides):
    for i in range(3):
        own = np.maximum(body(), -100 + 10 * i)  # twins would join the groups
        write_nifti(tmp_path / "in" / f"case_{i}" / "imaging.nii.gz", own)
        write_nifti(
            tmp_path / "in" / f"case_{i}" / "segmentation.nii.gz", (body() > 100).astype(np.uint8) * 2
        )
    done = convert(tmp_path / "in", tmp_path / "out", window=SOFT, axis=axis, progress=False)
    pairs = find_pairs(done.out)
    assert (done.n_images, done.n_masks, len(pairs)) == (3 * n, 3 * n, 3 * n)
    assert {pair.group for pair in pairs} == {"case_0", "case_1", "case_2"}
    assert spacings(pairs) == [sides] * len(pairs)
    for pair in pairs[:n]:
        image, mask = load_pair(pair)
        assert image.shape == shape and np.array_equal(mask, image > 128)


def test_labels_are_chosen_by_number(tmp_path: Path):
    labels = np.zeros((6, 8, 10), np.uint8)
    labels[0, 0, 0], labels[1, 0, 0] = 1, 2
    write_nifti(tmp_path / "in" / "imagesTr" / "a_0000.nii", body())
    write_nifti(tmp_path / "in" / "labelsTr" / "a.nii", labels)
    for name, classes, n in (("both", (), 2), ("two", ("2",), 1)):
        convert(tmp_path / "in", tmp_path / name, window=SOFT, classes=classes, progress=False)
        assert sum(load_mask(path).sum() for path in (tmp_path / name).glob("*_mask.png")) == n


@pytest.mark.parametrize(
    ("mask", "affine", "reason"),
    [
        (
            np.zeros((6, 8, 9), np.uint8),
            None,
            r"must have the shape of its image a.nii, \(6, 8, 10\), got \(6, 8, 9\)",
        ),
        (np.zeros((6, 8, 10), np.uint8), np.diag([0.5, 0.75, 2.5, 1]), "got a corner 4.5 mm away. Resample"),
        (np.full((6, 8, 10), 0.5, np.float32), None, "must hold whole numbers as labels, got 0.5"),
        (
            RNG.integers(0, 255, (6, 8, 10)).astype(np.uint8),
            None,
            "must hold labels, got .*: a picture",
        ),
    ],
)
def test_a_volume_whose_mask_does_not_fit_is_named(tmp_path: Path, mask, affine, reason: str):
    write_nifti(tmp_path / "in" / "a.nii", body())
    write_nifti(tmp_path / "in" / "a_seg.nii", mask, affine)
    write_nifti(tmp_path / "in" / "b.nii", body())
    done = convert(tmp_path / "in", tmp_path / "out", window=SOFT, progress=False)
    (told,) = done.broken
    assert re.search(reason, told) and done.n_images == 10 and not list(done.out.glob("a*"))


@pytest.mark.parametrize(
    ("values", "affine", "reason"),
    [
        (
            np.zeros((4, 4, 4, 2), np.int16),
            None,
            "must be one volume of grey values, got 4 x 4 x 4 x 2 of int16",
        ),
        (np.zeros((4, 4, 4), np.complex64), None, "must be one volume of grey values, got .* of complex64"),
    ],
)
def test_what_is_no_volume_is_refused(tmp_path: Path, values, affine, reason: str):
    with pytest.raises(ValueError, match=reason):
        nifti.read_volume(write_nifti(tmp_path / "a.nii", values, affine))


def test_a_volume_that_does_not_know_how_it_lies_is_refused(tmp_path: Path):
    import nibabel

    nibabel.save(nibabel.Nifti1Image(body(), None), tmp_path / "a.nii")
    with pytest.raises(ValueError, match="must say how it lies in the body, got neither qform nor sform"):
        nifti.read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_cut_off_volume_is_named(tmp_path: Path, name: str):
    path = write_nifti(tmp_path / "in" / name, RNG.integers(0, 999, (9, 9, 9)).astype(np.int16))
    write_nifti(tmp_path / "in" / "b.nii", body())
    path.write_bytes(path.read_bytes()[:-200])
    done = convert(tmp_path / "in", tmp_path / "out", window=SOFT, progress=False)
    (told,) = done.broken
    assert told.startswith(f"{path} must be a readable volume, got: ") and done.n_images == 10


# ------------------------------------------------------------------------------------------------- pages
@pytest.mark.parametrize("name", ["a.tif", "a.gif", "a.webp", "a.png"])
def test_pages_become_slices_of_one_group(tmp_path: Path, name: str):
    pages = [np.full((8, 12), 40 * i, np.uint8) for i in range(3)]
    masks = [np.zeros((8, 12), np.uint8) for _ in pages]
    for i, mask in enumerate(masks):
        mask[i, 0] = 255
    (tmp_path / "in").mkdir()
    for file, some in ((name, pages), ("a_mask.tif", masks)):
        first, *others = map(Image.fromarray, some)
        options = {"lossless": True} if file.endswith("webp") else {}
        first.save(tmp_path / "in" / file, save_all=True, append_images=others, **options)
    done = convert(tmp_path / "in", tmp_path / "out", "tiff", progress=False)
    pairs = find_pairs(done.out)
    assert [int(load_pair(pair)[0][0, 5]) for pair in pairs] == [0, 40, 80]
    assert [np.argwhere(load_pair(pair)[1]).tolist() for pair in pairs] == [[[0, 0]], [[1, 0]], [[2, 0]]]
    assert {pair.group for pair in pairs} == {"a"}


def test_deep_pages_come_through_the_window(tmp_path: Path):
    pages = [Image.fromarray(stored(8 * i)) for i in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    done = convert(tmp_path / "a.tif", tmp_path / "out", window=(1064, 400), progress=False)
    assert done.kind == "tiff" and order_of(done.out) == [0, 8, 16]


def test_mask_with_fewer_pages_is_named(tmp_path: Path):
    page = Image.fromarray(np.zeros((4, 4), np.uint8))
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page.copy()])
    page.save(tmp_path / "a_mask.tif")
    with pytest.raises(ValueError, match="a_mask.tif must have as many pages as its image, 2, got 1"):
        convert(tmp_path, tmp_path / "out", "tiff", progress=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "a_mask.tif"]


# ------------------------------------------------------------------------------------- whole or not at all
class Stopped(KeyboardInterrupt):
    pass


def stop_after(monkeypatch: pytest.MonkeyPatch, n: int) -> list[str]:
    """Ctrl-C comes after n images; returns what is written from now on."""
    real, written = converting._write_slice, []

    def write(one, work):
        if len(written) == n:
            raise Stopped
        written.append(one.name)
        return real(one, work)

    monkeypatch.setattr(converting, "_write_slice", write)
    return written


def test_an_interrupted_conversion_leaves_nothing_half_and_goes_on(
    series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    words = ("convert", series, tmp_path / "out", "--window", "40,400")
    with monkeypatch.context() as patch:
        first = stop_after(patch, 2)
        assert call(*words) == 130
    assert "The same command goes on." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    second = stop_after(monkeypatch, 99)
    assert call(*words) == 0
    assert "Going on where this conversion stopped: 2 done before." in capsys.readouterr().out
    assert len(first) == 2 and len(second) == 2 and not set(first) & set(second)
    assert len(list((tmp_path / "out").glob("*.png"))) == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["Doe_Jane", "out"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir() if p.suffix != ".png") == [
        "groups.csv",
        "slices.csv",
    ]


def test_other_options_begin_anew_and_say_so(series: Path, tmp_path: Path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        assert call("convert", series, tmp_path / "out", "--window", "40,400") == 130
    assert call("convert", series, tmp_path / "out", "--window", "40,300") == 0
    assert "it is begun anew" in capsys.readouterr().out
    assert len(list((tmp_path / "out").glob("*.png"))) == 4


def test_an_existing_folder_is_not_touched(series: Path, tmp_path: Path, capsys):
    (tmp_path / "out").mkdir()
    assert call("convert", series, tmp_path / "out", "--window", "40,400") == 1
    assert "OUT must be a new folder" in capsys.readouterr().err and not list((tmp_path / "out").iterdir())


def test_two_at_once_are_not_mixed(series: Path, tmp_path: Path):
    with (
        converting._alone(tmp_path / ".out.converting", tmp_path / "out"),
        pytest.raises(ValueError, match="must be written by one process"),
    ):
        convert(series, tmp_path / "out", window=SOFT, progress=False)


def test_a_missing_window_is_asked_for_and_nothing_is_written(series: Path, tmp_path: Path, capsys):
    assert call("convert", series, tmp_path / "out") == 1
    assert re.search(r"If these are Hounsfield units, give --window 40,400", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_nothing_readable_is_an_error_that_names_it(tmp_path: Path):
    (tmp_path / "a.nii").write_text("no volume")
    with pytest.raises(
        ValueError, match=r"something to write, got nothing\. .*a\.nii must be a readable volume"
    ):
        convert(tmp_path / "a.nii", tmp_path / "out", window=SOFT, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii"]


def test_several_formats_are_asked_about(tmp_path: Path, capsys):
    write_nifti(tmp_path / "in" / "a.nii", body())
    write_dicom(tmp_path / "in" / "b.dcm", STORED)
    assert call("convert", tmp_path / "in", tmp_path / "out") == 1
    assert "got nifti (1 file), dicom (1 file). Choose with --format." in capsys.readouterr().err
    assert call("convert", tmp_path / "in", tmp_path / "out", "--format", "nifti", "--window", "40,400") == 0


def test_one_name_for_two_files_is_named(tmp_path: Path):
    write_tiff(tmp_path / "in" / "a.tif", STORED) if (tmp_path / "in").mkdir() is None else None
    write_png16(tmp_path / "in" / "a.png", STORED[..., None])
    done = convert(tmp_path / "in", tmp_path / "out", "tiff", window=(1064, 400), progress=False)
    assert done.n_images == 1 and "another file goes by this name" in done.broken[0]


def test_a_lung_window_begins_with_a_minus(series: Path, tmp_path: Path):
    assert call("convert", series, tmp_path / "out", "--window", "-600,1500") == 0


@pytest.mark.parametrize("text", ["40", "40,0", "40,-400", "a,b", "40,400,1", "nan,4"])
def test_a_window_is_two_numbers(text: str, tmp_path: Path):
    usage_error("convert", tmp_path, tmp_path / "out", "--window", text)


# ------------------------------------------------------------------------------------- from scan to network
def test_deep_pairs_are_checked_trained_and_scored_through_the_window(tmp_path: Path, quick: None, capsys):
    for path in write_tiny(tmp_path / "data").glob("*.jpg"):
        values = load_image(path).astype(np.uint16) * 2 + 1000
        write_png16(path.with_suffix(".png"), np.repeat(values[..., None], 3, -1))
        path.unlink()
    data, run = tmp_path / "data", tmp_path / "run"
    commands = (("check", data), ("train", data, "--out", run, *TRAIN))
    for words in commands:
        assert call(*words) == 1
        told = capsys.readouterr()
        assert "must have 8 bits a pixel or a window, got 16 bits with values 1000 to" in told.err + told.out
        assert "--window 1064,400" in told.err + told.out
    scored = ("evaluate", data, "--checkpoint", run / "best.pt", "--device", "cpu")
    for words in (*commands, scored):
        assert call(*words, "--window", "1255,510") == 0
        assert "are seen through the window of level 1255, width 510." in capsys.readouterr().out


# ---------------------------------------------------------------------------------------------- the hints
@pytest.mark.parametrize("kind", ["dicom", "nifti", "tiff"])
def test_a_folder_of_such_files_is_told_its_command(tmp_path: Path, kind: str, capsys):
    folder = tmp_path / "my data"
    if kind == "dicom":
        write_dicom(folder / "IM1", STORED)
    elif kind == "nifti":
        write_nifti(folder / "a.nii.gz", body())
    else:
        folder.mkdir()
        page = Image.fromarray(np.zeros((4, 4), np.uint8))
        page.save(folder / "a.tif", save_all=True, append_images=[page.copy()])
    for words in (("check", folder), ("train", folder, "--out", tmp_path / "run", "--epochs", 1)):
        assert call(*words) == 1
        told = capsys.readouterr().err
        options = " --window 40,400" if kind != "tiff" else ""
        assert f"python -m unet_helpers convert '{folder}' OUT{options}\n" in told


def test_job_file_names_what_is_under_way(series: Path, tmp_path: Path, monkeypatch):
    stop_after(monkeypatch, 1)
    with pytest.raises(Stopped):
        convert(series, tmp_path / "out", window=SOFT, progress=False)
    job = json.loads((tmp_path / ".out.converting" / "job.json").read_text())
    assert job["kind"] == "dicom" and len(job["salt"]) == 32
