"""The scanner: a coronal slice of a patient in Hounsfield units, then the grey picture of a window."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from unet_helpers.phantom.anatomy import Patient
from unet_helpers.phantom.shapes import Array, Grid, Vector, paint, pixel_box

Mask = NDArray[np.bool_]
AIR_HU, FIELD_PIXELS = -1000.0, 256
TISSUE_HU, WINDOW_TOP_HU = 30.0, 240.0
SUBSLICES_MM = (-1.0, 0.0, 1.0)  # a slice 3 mm thick
GRAINS_MM = {"fine": (1.3, 1.3), "mid": (3.5, 3.5), "coarse": (12, 12), "streak": (7, 1.2)}  # along z, x


@dataclass(frozen=True)
class Stone:
    """A stone as one slice shows it: diameter of the circle of equal area, and its centre in pixels."""

    diameter_mm: float
    hu: float
    location: str
    row: float
    column: float
    patient: int


@dataclass(frozen=True)
class Slice:
    """A coronal slice: attenuation in HU, float32 (H, W); true stone mask, bool (H, W)."""

    image_hu: Array
    mask: Mask
    spacing_mm: float
    stones: list[Stone]


def make_grid(patient: Patient, depth_mm: float, size: int, box: tuple[slice, slice], finer: int = 1) -> Grid:
    """Pixel centres of a box of a slice, `finer` times as dense, rotated, mirrored and bent."""
    t = patient.traits
    pixel_mm, middle = t.spacing_mm * FIELD_PIXELS / size, (size - 1) / 2
    step = (np.arange(finer) + 0.5) / finer - 0.5
    down, right = (((np.arange(s.start, s.stop)[:, None] + step).ravel() - middle) * pixel_mm for s in box)
    flip, c, s = 1 - 2 * t.mirrored, np.cos(t.tilt), np.sin(t.tilt)
    turn, centre = np.array([[flip * c, s], [-flip * s, c]]), np.array([t.centre_x, t.centre_z])
    kx, ky, kz, phase, *shifts = patient.waves.T
    k = np.stack([kx, kz])                                         # sin(a + b) as two products: fast
    a, b = np.outer(down, turn[1] @ k) + (centre @ k + ky * depth_mm + phase), np.outer(right, turn[0] @ k)
    rows, columns = np.hstack([np.sin(a), np.cos(a)]), np.hstack([np.cos(b), np.sin(b)])
    x, z = (centre[i] + right * turn[0, i] + down[:, None] * turn[1, i]
            + np.einsum("hn,wn->hw", rows * np.tile(shifts[i], 2), columns) for i in (0, 1))

    def to_pixel(points: Vector) -> Vector:  # (n, 2) of x and z in mm to row and column
        return ((points - centre) @ turn.T)[:, ::-1] / pixel_mm + middle

    return Grid(x.astype(np.float32), depth_mm, z.astype(np.float32), pixel_mm, to_pixel)


def frequencies(size: int, pixel_mm: float) -> tuple[Array, Array]:
    """Row and column frequency in cycles per mm, to broadcast against `rfft2`."""
    row, column = fft.fftfreq(size, pixel_mm)[:, None], fft.rfftfreq(size, pixel_mm)[None, :]
    return row.astype(np.float32), column.astype(np.float32)


def filtered_noise(rng: np.random.Generator, response: Array) -> Array:
    """White noise shaped by a frequency response (size, size // 2 + 1); mean 0, standard deviation 1."""
    shape = (len(response), len(response))
    noise = fft.irfft2(fft.rfft2(rng.standard_normal(shape, np.float32)) * response, s=shape)
    return ((noise - noise.mean()) / noise.std()).astype(np.float32)


def add_stones(image_hu: Array, patient: Patient, grid: Grid, grain: Array) -> tuple[Mask, list[Stone]]:
    """Paint the stones by the share of each voxel they fill; the mask is what a reader would outline.

    That is where the blurred stone rises at least half-way from soft tissue to its own HU, or to the top of
    the soft-tissue window, where the screen is white: a dense stone looks larger than it is. A slice that
    only grazes a stone, with fewer than 3 such pixels, is taken to miss it.
    """
    mask, stones = np.zeros(image_hu.shape, bool), []
    for stone in patient.stones:
        box = pixel_box(grid, stone.shape)
        if box is None:
            continue
        fine = make_grid(patient, grid.y, len(mask), box, 4)
        inside = [stone.shape.distance(fine.x, grid.y + dy, fine.z) > 0 for dy in SUBSLICES_MM]
        n_rows, n_columns = mask[box].shape
        cover = np.mean(inside, 0, np.float32).reshape(n_rows, 4, n_columns, 4).mean((1, 3))
        blur_px = patient.traits.blur_mm / 2.355 / grid.pixel_mm
        rise_hu = ndimage.gaussian_filter(cover * (stone.hu - TISSUE_HU), blur_px)
        outlined = rise_hu >= 0.5 * (min(stone.hu, WINDOW_TOP_HU) - TISSUE_HU)
        n_pixels = int(outlined.sum())
        if n_pixels < 3:
            continue
        image_hu[box] += cover * (stone.hu * (1 + 0.06 * grain[box]) - image_hu[box])
        mask[box] |= outlined
        row, column = np.add(ndimage.center_of_mass(cover), (box[0].start, box[1].start)).tolist()
        diameter = 2 * (n_pixels / np.pi) ** 0.5 * grid.pixel_mm
        stones.append(Stone(diameter, stone.hu, stone.location, row, column, patient.seed))
    return mask, stones


def scan(image_hu: Array, patient: Patient, pixel_mm: float, rng: np.random.Generator) -> Array:
    """Blur, noise that grows where the X-rays cross more tissue, and streaks beside what is very dense."""
    row, column = frequencies(len(image_hu), pixel_mm)
    radius = np.hypot(row, column)
    blur = np.exp(-2 * (np.pi * patient.traits.blur_mm / 2.355 * radius) ** 2)
    blurred = fft.irfft2(fft.rfft2(image_hu) * blur, s=image_hu.shape)
    path = (np.clip(image_hu, AIR_HU, 1500) - AIR_HU).mean(1, keepdims=True) / 1000  # in widths of water
    smooth = np.exp(-2 * np.pi**2 * ((1.2 * row) ** 2 + (1.5 * column) ** 2))
    noise = filtered_noise(rng, np.sqrt(radius + 0.02) * smooth)
    dense = np.clip(image_hu - 500, 0, 2000)
    near, far = (ndimage.uniform_filter1d(dense, max(1, int(mm / pixel_mm)), axis=1) for mm in (25, 70))
    rays = rng.normal(size=(len(image_hu), 1)) * 0.12
    noise *= patient.traits.noise_hu * np.sqrt(path)
    return (blurred + noise + rays * far - 0.05 * near).astype(np.float32)


def render(patient: Patient, depth_mm: float, size: int = 256) -> Slice:
    """Scan one coronal slice; the same patient, depth and size give the same arrays.

    Args:
        patient: From `make_patient`.
        depth_mm: From back (negative) to front; the kidneys lie around -5.
        size: Pixels a side, 64 to 512; the field of view stays the same.

    Raises:
        ValueError: If size is out of range.
    """
    if not 64 <= size <= 512:
        raise ValueError(f"size must be 64 to 512 pixels, got {size}.")
    rng = np.random.default_rng([patient.seed, 3, round((depth_mm + 1000) * 100)])
    grid = make_grid(patient, depth_mm, size, (slice(0, size), slice(0, size)))
    row, column = frequencies(size, grid.pixel_mm)
    grains = {name: filtered_noise(rng, np.exp(-7 * ((z * row) ** 2 + (x * column) ** 2)))
              for name, (z, x) in GRAINS_MM.items()}
    image_hu = np.full((size, size), AIR_HU, np.float32)
    for shape, layers in patient.parts:
        paint(image_hu, grid, shape, layers, grains)
    mask, stones = add_stones(image_hu, patient, grid, grains["fine"])
    image_hu = scan(image_hu, patient, grid.pixel_mm, rng)
    across = np.arange(size) - (size - 1) / 2
    turned = (across + 1j * across[:, None]) * np.exp(1j * patient.traits.tilt)
    outside = np.maximum(abs(turned.real), abs(turned.imag)) > size / 2    # black wedges of a turned picture
    image_hu[outside], mask[outside] = AIR_HU, False
    return Slice(image_hu, mask, grid.pixel_mm, stones)


def window(image_hu: Array, level: float, width: float) -> NDArray[np.uint8]:
    """Map level - width / 2 to 0 and level + width / 2 to 255 and clip: the picture a radiologist sees."""
    if not width > 0:
        raise ValueError(f"width must be positive, got {width}.")
    return np.rint(np.clip((image_hu - (level - width / 2)) * (255 / width), 0, 255)).astype(np.uint8)
