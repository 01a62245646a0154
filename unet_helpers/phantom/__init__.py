"""A procedural coronal CT with kidney stones: anatomy in HU, then the scanner, then the grey window."""

import hashlib
from pathlib import Path

from unet_helpers.phantom.anatomy import Patient, make_patient, slice_depths
from unet_helpers.phantom.dataset import write_dataset
from unet_helpers.phantom.scanner import Slice, Stone, render, window

__all__ = ["Patient", "Slice", "Stone", "make_patient", "render", "slice_depths", "source_hash", "window",
           "write_dataset"]


def source_hash() -> str:
    """Hash of this package's source: a data set written by another version has another hash."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:10]
