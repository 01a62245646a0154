"""The scanner: a coronal slice of a patient in Hounsfield units, and the grey picture of a window."""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import center_of_mass, gaussian_filter, uniform_filter1d

from unet_helpers.phantom.anatomy import L, Patient
from unet_helpers.phantom.shapes import Array, Solid
from unet_helpers.phantom.space import in_body, turned
from unet_helpers.phantom.stones import Stone

Grid = tuple[Array, float, Array, float]  # x (H, W), y and z (H, W) of the pixels of a slice; their size, mm
AIR_HU, TISSUE_HU = -1000.0, 30.0
HALF_WHITE_HU = 105.0  # half-way from tissue to white in the usual window
LEAST_PIXELS = 3  # of a section that counts
FAR_MM = 9999.0  # outside of everything
GRAINS_MM = {"fine": (0.8, 0.8), "mid": (2.1, 2.1), "coarse": (7.2, 7.2), "streak": (4.2, 0.7)}  # along z, x


class ShownStone(NamedTuple):
    """What one slice shows of a stone; its section is the region of the mask that belongs to it."""

    stone: str  # unique in a data set: the patient and the number of the stone, such as "12-3"
    row: float  # of the section's centre, in pixels
    column: float
    section_diameter_mm: float  # of the circle of the section's area
    diameter_mm: float  # longest extent of the whole stone
    volume_mm3: float
    hu: int
    location: str


class Slice(NamedTuple):
    """A coronal slice (H, W): attenuation in HU, and the true mask of its stones."""

    image_hu: Array
    mask: NDArray[np.bool_]
    spacing_mm: float
    stones: list[ShownStone]


def make_grid(patient: Patient, depth_mm: float, size: int) -> Grid:
    """Where the pixels of a slice lie in the patient; the black wedges of a turned picture lie far away."""
    half_mm = 128 * patient.traits.spacing_mm
    across = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1) * half_mm
    right, down = np.meshgrid(across, across)
    x, z = in_body(patient.traits, right, depth_mm, down)
    x[np.maximum(*np.abs(turned(patient.traits, right, down))) > half_mm] = FAR_MM
    return x, depth_mm, z, 2 * half_mm / size


def paint(image_hu: Array, grid: Grid, shape: Solid, layers: tuple, grains: dict[str, Array]) -> None:
    """Paint the layers of a solid; an edge pixel is blended by how much of it the solid covers."""
    (x, y, z, pixel_mm), step = grid, len(image_hu) // 32
    near = shape(x[::step, ::step], y, z[::step, ::step]) > -18  # a first look, every 11 mm at most
    if near.any():
        (top, *_, bottom), (left, *_, right) = (np.flatnonzero(near.any(i)).repeat(2) * step for i in (1, 0))
        box = np.s_[top : bottom + step, left : right + step]
        distance = shape(x[box], y, z[box])
        reached = [layer for layer in layers if layer[1] < distance.max() + pixel_mm]
        for hu, inset_mm, soft_mm, opacity, texture, vary_hu, patch in reached:
            cover = ((distance - inset_mm) / (pixel_mm + soft_mm) + 0.5).clip(0, 1) * opacity
            if patch is not None:
                cover *= ((grains[texture][box] - patch) * 3).clip(0, 1)
            image_hu[box] += cover * (hu + vary_hu * grains[texture][box] - image_hu[box])


def add_stones(
    image_hu: Array, patient: Patient, grid: Grid, grains: dict[str, Array]
) -> tuple[NDArray[np.bool_], list[ShownStone]]:
    """Put stones into a slice 3 mm thick, and outline them; two that touch share a region of the mask."""
    mask, shown = np.zeros(image_hu.shape, bool), []
    blur_px = patient.traits.blur_mm / 2.355 / grid[3]
    for stone in patient.stones:
        cover = covered(stone.shape, grid, grains)
        section = outlined(cover, stone.hu, blur_px)
        if section.sum() >= LEAST_PIXELS:  # else it is only grazed
            image_hu += cover * (stone.hu * (1 + 0.06 * grains["fine"]) - image_hu)
            mask |= section
            shown.append(describe(patient.seed, stone, cover, section, grid[3]))
    return mask, shown


def covered(shape: Solid, grid: Grid, grains: dict[str, Array]) -> Array:
    """The share of every voxel (H, W) that a solid fills, from three cuts 1 mm apart."""
    x, y, z, pixel_mm = grid
    cuts = np.zeros((3, *x.shape), np.float32)
    for cut, dy in zip(cuts, (-1.0, 0.0, 1.0), strict=True):
        paint(cut, (x, y + dy, z, pixel_mm), shape, (L(1.0, soft_mm=0.0),), grains)
    return cuts.mean(0)


def outlined(cover: Array, hu: float, blur_px: float) -> NDArray[np.bool_]:
    """What looks, once it is blurred, half-way from tissue to the stone's HU, or to white."""
    if not cover.any():
        return np.zeros(cover.shape, bool)
    return gaussian_filter(cover, blur_px) >= min(0.5, HALF_WHITE_HU / (hu - TISSUE_HU))


def describe(
    patient: int, stone: Stone, cover: Array, section: NDArray[np.bool_], pixel_mm: float
) -> ShownStone:
    row, column = np.round(center_of_mass(cover), 2).tolist()
    section_diameter_mm = round(2 * (int(section.sum()) / np.pi) ** 0.5 * pixel_mm, 2)
    return ShownStone(
        f"{patient}-{stone.number}",
        row,
        column,
        section_diameter_mm,
        stone.size.diameter_mm,
        stone.size.volume_mm3,
        round(stone.hu),
        stone.location,
    )


def grain(r: Generator, size: int, sigma_px: ArrayLike) -> Array:
    """Random texture (size, size) of a coarseness, with mean 0 and standard deviation 1."""
    noise = gaussian_filter(r.standard_normal((size, size), np.float32), sigma_px, mode="wrap", truncate=3)
    return (noise - noise.mean()) / noise.std()


def scan(image_hu: Array, patient: Patient, pixel_mm: float, r: Generator) -> Array:
    """Blur, noise that grows where the X-rays cross more tissue, and streaks beside what is very dense."""
    blurred = gaussian_filter(image_hu, patient.traits.blur_mm / 2.355 / pixel_mm)
    path = (np.clip(image_hu, AIR_HU, 1500) - AIR_HU).mean(1, keepdims=True) / 1000  # in widths of water
    noise = patient.traits.noise_hu * np.sqrt(path) * grain(r, len(path), np.array([1.02, 1.25]) / pixel_mm)
    dense = uniform_filter1d(np.clip(image_hu - 500, 0, 2000), int(70 / pixel_mm), axis=1)
    return (blurred + noise + r.normal(-0.03, 0.12, path.shape) * dense).astype(np.float32)  # with streaks


def render(patient: Patient, depth_mm: float, size: int = 256) -> Slice:
    """Scan a coronal slice of `size` (64 to 512) pixels a side; depths run from back (negative) to front."""
    if not 64 <= size <= 512:
        raise ValueError(f"size must be 64 to 512 pixels, got {size}.")
    r = np.random.default_rng([patient.seed, 3, round((depth_mm + 1000) * 100)])
    grid, image_hu = make_grid(patient, depth_mm, size), np.full((size, size), AIR_HU, np.float32)
    grains = {name: grain(r, size, np.array(mm) / grid[3]) for name, mm in GRAINS_MM.items()}
    for shape, layers in patient.parts:
        paint(image_hu, grid, shape, layers, grains)
    mask, stones = add_stones(image_hu, patient, grid, grains)
    return Slice(scan(image_hu, patient, grid[3], r), mask, grid[3], stones)


def window(image_hu: Array, level: float, width: float) -> NDArray[np.uint8]:
    """Map level - width / 2 to 0 and level + width / 2 to 255 and clip: the picture a radiologist sees."""
    if not width > 0:
        raise ValueError(f"width must be positive, got {width}.")
    return np.rint(np.clip((image_hu - (level - width / 2)) * (255 / width), 0, 255)).astype(np.uint8)
