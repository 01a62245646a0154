"""Image files that Pillow cannot write, made byte by byte, and small DICOM and NIfTI files."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def write_png16(path: Path, values: Array) -> Path:
    """A PNG with 16 bits a channel; values uint16 (H, W, 1 to 4): grey, with alpha, colour, with alpha."""
    height, width, n_channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[n_channels], 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = (struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
    return path


def write_tiff(path: Path, values: Array, order: str = "<", packed: bool = False, **tags: int) -> Path:
    """A TIFF of one strip, of whichever dtype; values (H, W) or (H, W, channels).

    Args:
        path: The file.
        values: Its pixels.
        order: Order of bytes, "<" or ">".
        packed: Whether the strip is deflated, which Pillow leaves to libtiff.
        **tags: `photometric`, `planes`.
    """
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    data = zlib.compress(data) if packed else data
    n = values.shape[2] if values.ndim == 3 else 1
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    short, long = 3, 4
    bits = [8 * values.dtype.itemsize] * n
    entries: list[tuple[int, int, list[int]]] = [
        (256, long, [values.shape[1]]),
        (257, long, [values.shape[0]]),
        (258, short, bits),
        (259, short, [8 if packed else 1]),
        (262, short, [tags.get("photometric", 2 if n >= 3 else 1)]),
        (273, long, [8]),
        (277, short, [n]),
        (278, long, [values.shape[0]]),
        (279, long, [len(data)]),
        (284, short, [tags.get("planes", 1)]),
        *([(338, short, [2])] if n in (2, 4) else []),
        (339, short, [kind] * n),
    ]
    where = 8 + len(data) + len(data) % 2
    beyond = where + 2 + 12 * len(entries) + 4
    table, more = struct.pack(order + "H", len(entries)), b""
    for tag, type_, numbers in entries:
        packed_numbers = struct.pack(f"{order}{len(numbers)}{'H' if type_ == short else 'I'}", *numbers)
        table += struct.pack(order + "HHI", tag, type_, len(numbers))
        if len(packed_numbers) > 4:
            table += struct.pack(order + "I", beyond + len(more))
            more += packed_numbers
        else:
            table += packed_numbers.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", where)
    path.write_bytes(head + data.ljust(where - 8, b"\0") + table + struct.pack(order + "I", 0) + more)
    return path


def write_dicom(path: Path, stored: Array, **attributes: Any) -> Path:
    """A CT slice; stored values (H, W) or (frames, H, W), and attributes by their keyword (None: absent)."""
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid()
    made = pydicom.Dataset()
    made.file_meta = meta
    signed = stored.dtype.kind == "i"
    values: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "Modality": "CT",
        "PatientID": "4711",
        "PatientName": "Doe^Jane",
        "PatientBirthDate": "19700101",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "SeriesNumber": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "BitsAllocated": 8 * stored.dtype.itemsize,
        "BitsStored": 8 * stored.dtype.itemsize,
        "HighBit": 8 * stored.dtype.itemsize - 1,
        "PixelRepresentation": int(signed),
        "PixelSpacing": [0.5, 0.75],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "Rows": stored.shape[-2],
        "Columns": stored.shape[-1],
    }
    if stored.dtype.itemsize > 1:
        values |= {"RescaleSlope": 1, "RescaleIntercept": -1024}
    if stored.ndim == 3:
        values["NumberOfFrames"] = len(stored)
    for keyword, value in (values | attributes).items():
        if value is not None:
            setattr(made, keyword, value)
    made.PixelData = stored.tobytes()
    made["PixelData"].VR = "OB" if stored.dtype.itemsize == 1 else "OW"
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return path


def write_nifti(path: Path, values: Array, affine: Array | None = None) -> Path:
    """A volume; without an affine its axes run right, front, head in steps of 0.5, 0.75 and 2 mm."""
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([0.5, 0.75, 2.0, 1.0]) if affine is None else affine
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path
