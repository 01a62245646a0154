"""NIfTI volumes: where they lie in the body, and slices of them the way up that a radiologist sees."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unet_helpers.formats import causes

__all__ = ["Volume", "check_same_place", "cut", "is_nifti", "n_slices", "read_volume", "spacing_of_cut"]

# A volume's axes, after reading, run to the patient's right, to the front and to the head (RAS+). In a
# picture the patient looks at you: their right is on your left, the head is up, in an axial one the front.
ACROSS, ROWS, COLUMNS = range(3)
CUTS = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}  # axis across, of rows, of columns
SAME_PLACE_MM = 0.1


@dataclass(frozen=True)
class Volume:
    """A volume whose axes run to the right, to the front and to the head of the patient.

    Attributes:
        path: Its file.
        values: Float32 (X, Y, Z).
        affine: From voxel to millimetres, (4, 4).
        spacing_mm: Distance of voxels along each axis.
    """

    path: Path
    values: NDArray[Any]
    affine: NDArray[np.float64]
    spacing_mm: tuple[float, float, float]


def is_nifti(path: Path) -> bool:
    """Whether a file's name says that it is NIfTI."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def read_volume(path: Path) -> Volume:
    """Read a volume and put its axes in order.

    Raises:
        ValueError: If it cannot be read, has not three axes, does not know where it lies, or nibabel is not
            installed.
    """
    try:
        import nibabel as installed
    except ImportError as error:
        raise ValueError(
            f"{path} must be read by nibabel, got no such package. Run: pip install nibabel"
        ) from error
    nibabel: Any = installed  # of which only some functions have types
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image: Any = nibabel.load(path)
            kind = image.get_data_dtype()
            knows_place = bool(image.header["qform_code"] or image.header["sform_code"])
            if kind.fields is None and kind.kind in "iufb":
                image = nibabel.squeeze_image(image)
                if image.ndim == 3:
                    image = nibabel.as_closest_canonical(image)
                    values = image.get_fdata(dtype=np.float32, caching="unchanged")
    except OSError as error:
        raise ValueError(causes.unreadable(path, error).replace("image", "volume", 1)) from error
    except Exception as error:  # of damaged bytes, whatever a parser stumbles over
        told = str(error).replace(str(path), path.name) or type(error).__name__
        raise ValueError(f"{path} must be a readable volume, got: {told.rstrip('.')}.") from error
    if kind.fields is not None or kind.kind not in "iufb" or image.ndim != 3:
        sides = " x ".join(map(str, image.shape))
        raise ValueError(f"{path} must be one volume of grey values, got {sides} of {kind}.")
    if not knows_place:
        raise ValueError(
            f"{path} must say how it lies in the body, got neither qform nor sform. Write it again with the "
            "affine of the scan that it was made from."
        )
    x, y, z = map(float, image.header.get_zooms())
    return Volume(path, values, np.asarray(image.affine, np.float64), (x, y, z))


def check_same_place(image: Volume, mask: Volume) -> None:
    """Refuse a mask that does not lie where its image lies.

    Raises:
        ValueError: If shapes differ, or a corner is more than a tenth of a millimetre away.
    """
    if image.values.shape != mask.values.shape:
        raise ValueError(
            f"{mask.path} must have the shape of its image {image.path.name}, {image.values.shape}, got "
            f"{mask.values.shape}. Export the mask again at the image's size."
        )
    ends = np.array(image.values.shape) - 1
    corners = np.array([(*(np.array(c) * ends), 1) for c in np.ndindex(2, 2, 2)], float).T
    away = float(np.abs((image.affine - mask.affine) @ corners).max())
    if away > SAME_PLACE_MM:
        raise ValueError(
            f"{mask.path} must lie where its image {image.path.name} lies, got a corner {away:.1f} mm away. "
            "Resample the mask to the image."
        )


def n_slices(values: NDArray[Any], axis: str) -> int:
    """How many slices a volume has across an axis."""
    return int(values.shape[CUTS[axis][ACROSS]])


def cut(values: NDArray[Any], axis: str, index: int) -> NDArray[Any]:
    """One slice (H, W): its first row is the head (or the front), its first column the patient's right.

    Of a sagittal one, the first column is the front.

    Args:
        values: Volume (X, Y, Z), with axes to the right, to the front and to the head.
        axis: "axial", "coronal" or "sagittal".
        index: Which slice, counted from the left, the back or the feet.
    """
    plane = np.take(values, index, axis=CUTS[axis][ACROSS])  # what becomes columns stands before the rows
    return np.ascontiguousarray(plane.T[::-1, ::-1])


def spacing_of_cut(spacing_mm: tuple[float, float, float], axis: str) -> tuple[float, float]:
    """Height and width of a pixel of a slice."""
    return spacing_mm[CUTS[axis][ROWS]], spacing_mm[CUTS[axis][COLUMNS]]
