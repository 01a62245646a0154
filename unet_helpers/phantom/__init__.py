"""A procedural coronal CT with kidney stones: anatomy in HU, then the scanner, then the grey window."""

from unet_helpers.phantom.anatomy import MOST_SLICES, Patient, make_patient, slice_depths
from unet_helpers.phantom.dataset import write_dataset
from unet_helpers.phantom.scanner import ShownStone, Slice, render, window
from unet_helpers.phantom.stones import Stone

__all__ = [
    "MOST_SLICES",
    "VERSION",
    "Patient",
    "ShownStone",
    "Slice",
    "Stone",
    "make_patient",
    "render",
    "slice_depths",
    "window",
    "write_dataset",
]

VERSION = 2  # raise it with every change of what is written, so that new data get a folder of their own
