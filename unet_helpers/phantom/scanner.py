"""What a scanner makes of a patient: one coronal slice in Hounsfield units, then a grey picture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from unet_helpers.phantom.anatomy import Patient, SolidStone
from unet_helpers.phantom.shapes import Array, Grid, paint, window_of

AIR_HU = -1000.0
THICKNESS_MM = 3.0
FIELD_PIXELS = 256  # the patient's spacing is that of a slice of this size
GRAINS_MM = {"fine": 1.3, "mid": 3.5, "coarse": 12.0}


@dataclass(frozen=True)
class Stone:
    """A stone as it appears in one slice: diameter of the circle of equal area, centre in pixels."""

    diameter_mm: float
    hu: float
    location: str
    row: float
    column: float
    patient: int


@dataclass(frozen=True)
class Slice:
    """A coronal slice: attenuation in HU, float32 (H, W), and the true stone mask, bool (H, W)."""

    image_hu: Array
    mask: NDArray[np.bool_]
    spacing_mm: float
    stones: list[Stone]


def make_grid(patient: Patient, depth_mm: float, size: int, finer: int = 1, box: tuple[slice, slice] | None = None) -> Grid:
    """Pixel centres of a slice, rotated, mirrored and bent; of a box of it only, `finer` times as dense."""
    pixel_mm = patient.spacing_mm * FIELD_PIXELS / size
    rows, columns = box or (slice(0, size), slice(0, size))
    step = (np.arange(finer) + 0.5) / finer - 0.5
    down, right = (((np.arange(s.start, s.stop)[:, None] + step).ravel() - (size - 1) / 2) * pixel_mm for s in (rows, columns))
    flip, c, s = (-1.0 if patient.mirrored else 1.0), np.cos(patient.tilt), np.sin(patient.tilt)
    x = flip * (c * right[None, :] - s * down[:, None]) + patient.centre_mm[0]
    z = s * right[None, :] + c * down[:, None] + patient.centre_mm[1]
    x, z = x.astype(np.float32), z.astype(np.float32)
    dx, dz = np.zeros_like(x), np.zeros_like(x)
    for kx, ky, kz, phase, ax, az in patient.waves.astype(np.float32):
        wave = np.sin(kx * x + (kz * z + np.float32(ky * depth_mm + phase)))
        dx += ax * wave
        dz += az * wave

    def to_pixel(world_x: float, world_z: float) -> tuple[float, float]:
        a, b = flip * (world_x - patient.centre_mm[0]), world_z - patient.centre_mm[1]
        return (c * b - s * a) / pixel_mm + (size - 1) / 2, (c * a + s * b) / pixel_mm + (size - 1) / 2

    return Grid(x + dx, depth_mm, z + dz, pixel_mm, to_pixel)


def filtered_noise(rng: np.random.Generator, response: Array) -> Array:
    """White noise shaped by a frequency response (size, size // 2 + 1); mean 0, standard deviation 1."""
    size = len(response)
    noise = fft.irfft2(fft.rfft2(rng.standard_normal((size, size), np.float32)) * response, s=(size, size))
    return ((noise - noise.mean()) / noise.std()).astype(np.float32)


def frequencies(size: int, pixel_mm: float) -> tuple[Array, Array]:
    """Row and column frequency in cycles per mm, ready to broadcast against `rfft2`."""
    return (fft.fftfreq(size, pixel_mm)[:, None].astype(np.float32), fft.rfftfreq(size, pixel_mm)[None, :].astype(np.float32))


def stone_cover(patient: Patient, stone: SolidStone, depth_mm: float, size: int, grid: Grid) -> tuple[tuple[slice, slice], Array] | None:
    """Box of pixels and the share of each voxel (pixel x slice thickness) that the stone fills."""
    box = window_of(grid, stone.shape)
    if box is None:
        return None
    fine = make_grid(patient, depth_mm, size, 4, box)
    inside = sum((stone.shape.distance(fine.x, depth_mm + dy, fine.z) > 0).astype(np.float32)
                 for dy in np.linspace(-1, 1, 3) * THICKNESS_MM / 3) / 3
    n_rows, n_columns = (s.stop - s.start for s in box)
    return box, inside.reshape(n_rows, 4, n_columns, 4).mean((1, 3))


def paint_stones(image_hu: Array, patient: Patient, depth_mm: float, grid: Grid, grain: Array) -> tuple[NDArray[np.bool_], list[Stone]]:
    """Add the stones; a slice that only grazes one (under 2 pixels half filled) is taken to miss it."""
    mask, stones = np.zeros(image_hu.shape, bool), []
    for stone in patient.stones:
        found = stone_cover(patient, stone, depth_mm, len(image_hu), grid)
        if found is None or (found[1] >= 0.5).sum() < 2:
            continue
        box, cover = found
        image_hu[box] += cover * (np.float32(stone.hu) * (1 + np.float32(0.06) * grain[box]) - image_hu[box])
        mask[box] |= cover >= 0.5
        row, column = ndimage.center_of_mass(cover)
        stones.append(Stone(2 * float(np.sqrt(cover.sum() / np.pi)) * grid.pixel_mm, stone.hu, stone.location,
                            row + box[0].start, column + box[1].start, patient.seed))
    return mask, stones


def scan(image_hu: Array, patient: Patient, pixel_mm: float, rng: np.random.Generator) -> Array:
    """Blur, streaks beside dense things and noise, stronger in rows where the X-rays cross more tissue."""
    row, column = frequencies(len(image_hu), pixel_mm)
    radius = np.hypot(row, column)
    blur = np.exp(-2 * (np.pi * patient.blur_mm / 2 * radius) ** 2)
    blurred = fft.irfft2(fft.rfft2(image_hu) * blur, s=image_hu.shape).astype(np.float32)
    path = (np.clip(image_hu, AIR_HU, 1500) + 1000).mean(1, keepdims=True) / 1000
    noise = filtered_noise(rng, np.sqrt(radius + 0.01) * np.exp(-2 * (np.pi * 0.65 * radius) ** 2))
    dense = np.clip(image_hu - 500, 0, 2000)
    fan = ndimage.uniform_filter1d(dense, int(60 / pixel_mm), axis=1) * rng.normal(size=(len(image_hu), 1))
    streak = np.float32(0.25) * fan - np.float32(0.08) * ndimage.uniform_filter1d(dense, int(30 / pixel_mm), axis=1)
    return blurred + np.float32(patient.noise_hu) * np.sqrt(path) * noise + streak.astype(np.float32)


def render(patient: Patient, depth_mm: float, size: int = 256) -> Slice:
    """Scan one coronal slice; the same patient, depth and size give the same array.

    Args:
        patient: From `make_patient`.
        depth_mm: Position from back (negative) to front; the kidneys lie around -5.
        size: Pixels a side, 64 to 512; the field of view stays the same.

    Raises:
        ValueError: If size is out of range.
    """
    if not 64 <= size <= 512:
        raise ValueError(f"size must be 64 to 512 pixels, got {size}.")
    rng = np.random.default_rng([patient.seed, 3, round((depth_mm + 1000) * 100)])
    grid = make_grid(patient, depth_mm, size)
    row, column = frequencies(size, grid.pixel_mm)
    grains = {name: filtered_noise(rng, np.exp(-2 * (np.pi * mm * 0.6) ** 2 * (row**2 + column**2)))
              for name, mm in GRAINS_MM.items()}
    image_hu = np.full((size, size), AIR_HU, np.float32)
    for part in patient.parts:
        paint(image_hu, grid, part, grains)
    mask, stones = paint_stones(image_hu, patient, depth_mm, grid, grains["fine"])
    return Slice(scan(image_hu, patient, grid.pixel_mm, rng), mask, grid.pixel_mm, stones)


def window(image_hu: Array, level: float, width: float) -> NDArray[np.uint8]:
    """Map level - width/2 to 0 and level + width/2 to 255, and clip: the grey picture a radiologist sees."""
    if width <= 0:
        raise ValueError(f"width must be positive, got {width}.")
    return np.clip((image_hu - (level - width / 2)) * (255 / width), 0, 255).astype(np.uint8)
