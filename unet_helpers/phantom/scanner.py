"""The scanner: a coronal slice of a patient in Hounsfield units, and the grey picture of a window."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import center_of_mass, gaussian_filter, label, uniform_filter1d

from unet_helpers.phantom.patient import Patient
from unet_helpers.phantom.shapes import Array, Floats, Solid
from unet_helpers.phantom.space import in_body, turned
from unet_helpers.phantom.stones import Stone
from unet_helpers.phantom.tissues import GRAINS_MM, Coat, Grain

Mask = NDArray[np.bool_]
Grains = dict[Grain, Array]  # textures (H, W) of mean 0 and standard deviation 1

AIR_HU, TISSUE_HU = -1000.0, 30.0
HALF_WHITE_HU = 105.0  # half-way from tissue to white in the usual window
STREAKS_FROM_HU = 500.0  # what is denser throws streaks
STREAK_MM = 70
FWHM_PER_SIGMA = 2.355  # of a Gaussian
STONE_GRAIN = 0.06  # standard deviation within a stone, as share of its HU
CUTS_MM = (-1.0, 0.0, 1.0)  # in front of and behind the middle of a slice that is 3 mm thick
LEAST_PIXELS = 3  # of a section that counts
FAR_MM = 9999.0  # outside of everything
N_LOOKS, LOOK_MM = 32, 18  # points a side of a first look at a solid; further away nothing is painted


class Grid(NamedTuple):
    """Where the pixels of a slice lie in the body, in mm."""

    x: Floats  # (H, W)
    y: float  # the slice's depth
    z: Floats  # (H, W)
    pixel_mm: float  # the width of one


class ShownStone(NamedTuple):
    """A section of a stone: one connected region of what a slice shows of it."""

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
    mask: Mask
    spacing_mm: float
    stones: list[ShownStone]


def render(patient: Patient, depth_mm: float, size: int = 256) -> Slice:
    """Scan a coronal slice.

    Args:
        patient: Who is scanned.
        depth_mm: From the back (negative) to the front, see `slice_depths`.
        size: Side of the square slice in pixels, 64 to 512; the field of view stays.

    Raises:
        ValueError: If the size is out of range.
    """
    if not 64 <= size <= 512:
        raise ValueError(f"size must be 64 to 512 pixels, got {size}.")
    rng = np.random.default_rng([patient.seed, 3, round((depth_mm + 1000) * 100)])
    grid, image_hu = make_grid(patient, depth_mm, size), np.full((size, size), AIR_HU, np.float32)
    grains = {name: draw_grain(rng, size, np.array(mm) / grid.pixel_mm) for name, mm in GRAINS_MM.items()}
    for part in patient.parts:
        paint(image_hu, grid, part.solid, patient.coats[part.filling], grains)
    mask, stones = add_stones(image_hu, patient, grid, grains)
    return Slice(scan(image_hu, patient, grid.pixel_mm, rng), mask, grid.pixel_mm, stones)


def make_grid(patient: Patient, depth_mm: float, size: int) -> Grid:
    """Where the pixels of a slice lie in the patient; the black wedges of a turned picture lie far away."""
    half_mm = 128 * patient.traits.spacing_mm
    across = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1) * half_mm
    right, down = np.meshgrid(across, across)
    x, z = in_body(patient.traits, right, depth_mm, down)
    x[np.maximum(*np.abs(turned(patient.traits, right, down))) > half_mm] = FAR_MM
    return Grid(x, depth_mm, z, 2 * half_mm / size)


def paint(image_hu: Array, grid: Grid, solid: Solid, coats: list[Coat], grains: Grains) -> None:
    """Paint the coats of a solid into an image (H, W); an edge pixel is blended by its covered share."""
    box = find(solid, grid)
    if box is None:
        return
    depth = solid(grid.x[box], grid.y, grid.z[box])
    deepest = depth.max() + grid.pixel_mm
    for hu, layer in coats:
        if layer.inset_mm < deepest:
            texture = grains[layer.grain][box]
            cover = covered(depth - layer.inset_mm, grid.pixel_mm + layer.soft_mm) * layer.opacity
            if layer.patch_above is not None:
                cover *= ((texture - layer.patch_above) * 3).clip(0, 1)
            image_hu[box] += cover * (hu + layer.vary_hu * texture - image_hu[box])


def find(solid: Solid, grid: Grid) -> tuple[slice, slice] | None:
    """The rows and columns where a solid may be, by a first look at every 11th mm at most; None: nowhere."""
    step = len(grid.x) // N_LOOKS
    near = solid(grid.x[::step, ::step], grid.y, grid.z[::step, ::step]) > -LOOK_MM
    if not near.any():
        return None
    rows, columns = np.flatnonzero(near.any(1)) * step, np.flatnonzero(near.any(0)) * step
    return slice(rows[0], rows[-1] + step), slice(columns[0], columns[-1] + step)


def covered(depth: Array, edge_mm: float) -> Array:
    """The share of every pixel that a solid covers, from its depth in the solid; its edge is a ramp."""
    return (depth / edge_mm + 0.5).clip(0, 1)


def add_stones(
    image_hu: Array, patient: Patient, grid: Grid, grains: Grains
) -> tuple[Mask, list[ShownStone]]:
    """Put stones into an image (H, W), and outline them; two that touch share a region of the mask."""
    mask, shown = np.zeros(image_hu.shape, bool), []
    blur_px = patient.traits.blur_mm / FWHM_PER_SIGMA / grid.pixel_mm
    for stone in patient.stones:
        cover = filled(stone.shape, grid)
        outline = outlined(cover, stone.hu, blur_px)
        if outline.sum() >= LEAST_PIXELS:  # else it is only grazed
            image_hu += cover * (stone.hu * (1 + STONE_GRAIN * grains["fine"]) - image_hu)
            mask |= outline
            numbers, n_sections = label(outline, np.ones((3, 3)))  # a branched stone may be cut several times
            sections = (numbers == number for number in range(1, n_sections + 1))
            shown += [describe(patient.seed, stone, cover, one, grid.pixel_mm) for one in sections]
    return mask, shown


def filled(solid: Solid, grid: Grid) -> Array:
    """The share of every voxel (H, W) of a slice that a solid fills, from three cuts 1 mm apart."""
    cuts = np.zeros((len(CUTS_MM), *grid.x.shape), np.float32)
    for cut, offset_mm in zip(cuts, CUTS_MM, strict=True):
        shifted = grid._replace(y=grid.y + offset_mm)
        box = find(solid, shifted)
        if box is not None:
            cut[box] = covered(solid(grid.x[box], shifted.y, grid.z[box]), grid.pixel_mm)
    shares: Array = cuts.mean(0)
    return shares


def outlined(cover: Array, hu: float, blur_px: float) -> Mask:
    """What looks, once it is blurred, half-way from tissue to the stone's HU, or to white."""
    if not cover.any():
        return np.zeros(cover.shape, bool)
    blurred: Array = gaussian_filter(cover, blur_px)
    return blurred >= min(0.5, HALF_WHITE_HU / (hu - TISSUE_HU))


def describe(patient: int, stone: Stone, cover: Array, section: Mask, pixel_mm: float) -> ShownStone:
    """What the tables say of a section (H, W) of a stone; `cover` (H, W) is what the stone fills."""
    row, column = np.round(center_of_mass((cover + 1e-3) * section), 2).tolist()
    return ShownStone(
        stone=f"{patient}-{stone.number}",
        row=row,
        column=column,
        section_diameter_mm=round(2 * (int(section.sum()) / np.pi) ** 0.5 * pixel_mm, 2),
        diameter_mm=stone.size.diameter_mm,
        volume_mm3=stone.size.volume_mm3,
        hu=round(stone.hu),
        location=stone.location,
    )


def scan(image_hu: Array, patient: Patient, pixel_mm: float, rng: Generator) -> Array:
    """What the scanner makes of an image (H, W): blur, noise, and streaks beside what is very dense.

    Noise grows with the square root of the tissue that the X-rays cross along a row.
    """
    blurred: Array = gaussian_filter(image_hu, patient.traits.blur_mm / FWHM_PER_SIGMA / pixel_mm)
    crossed = (np.clip(image_hu, AIR_HU, 1500) - AIR_HU).mean(1, keepdims=True) / 1000  # (H, 1), 1 is water
    grain = draw_grain(rng, len(image_hu), np.array([1.02, 1.25]) / pixel_mm)
    noise = patient.traits.noise_hu * np.sqrt(crossed) * grain
    dense: Array = uniform_filter1d(
        np.clip(image_hu - STREAKS_FROM_HU, 0, 2000), int(STREAK_MM / pixel_mm), axis=1
    )
    streaks = rng.normal(-0.03, 0.12, crossed.shape) * dense  # bright or dark, the same along a row
    scanned: Array = (blurred + noise + streaks).astype(np.float32)
    return scanned


def draw_grain(rng: Generator, size: int, sigma_px: ArrayLike) -> Array:
    """Random texture (size, size) of a coarseness, with mean 0 and standard deviation 1."""
    noise: Array = gaussian_filter(
        rng.standard_normal((size, size), np.float32), sigma_px, mode="wrap", truncate=3
    )
    grain: Array = (noise - noise.mean()) / noise.std()
    return grain
