"""A procedural coronal CT with kidney stones: anatomy in HU, then the scanner, then the grey window."""

from hashlib import sha256
from pathlib import Path

from unet_helpers.phantom.anatomy import Patient, make_patient, slice_depths
from unet_helpers.phantom.dataset import write_dataset
from unet_helpers.phantom.scanner import Slice, Stone, render, window

__all__ = ["Patient", "Slice", "Stone", "make_patient", "render", "slice_depths", "source_hash", "window",
           "write_dataset"]


def source_hash() -> str:
    """Hash of this package's source: a data set written by another version has another hash."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:10]
