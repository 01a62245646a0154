"""The scanner: a coronal slice of a patient in Hounsfield units, and the grey picture of a window."""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import center_of_mass, gaussian_filter, uniform_filter1d

from unet_helpers.phantom.anatomy import L, Patient
from unet_helpers.phantom.shapes import Array, Solid

Grid = tuple[Array, float, Array, float]  # x (H, W), y and z (H, W) of the pixels of a slice; their size, mm
AIR_HU, TISSUE_HU, HALF_WHITE = -1000.0, 30.0, 105.0  # half-way from tissue to white in the usual window
GRAINS_MM = {"fine": (0.8, 0.8), "mid": (2.1, 2.1), "coarse": (7.2, 7.2), "streak": (4.2, 0.7)}  # along z, x


class Stone(NamedTuple):
    """A stone as one slice shows it: its centre in pixels, and the diameter of the circle of equal area."""
    patient: int
    row: float
    column: float
    diameter_mm: float
    hu: int
    location: str


class Slice(NamedTuple):
    """A coronal slice (H, W): attenuation in HU, and the true mask of its stones."""
    image_hu: Array
    mask: NDArray[np.bool_]
    spacing_mm: float
    stones: list[Stone]


def make_grid(patient: Patient, depth_mm: float, size: int) -> Grid:
    """Where the pixels of a slice lie in the patient: turned, perhaps mirrored, bent by waist and waves."""
    t, (kx, ky, kz, phase, *shifts) = patient.traits, patient.waves.T.astype(np.float32)
    half_mm, flip, turn = 128 * t.spacing_mm, 1 - 2 * t.mirrored, complex(np.exp(1j * t.tilt))
    across = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1) * half_mm
    at, k = (across + 1j * across[:, None]) * turn, (flip * kx + 1j * kz) / turn
    right = np.exp(1j * np.outer(across, k.real))  # e^(a + b) = e^a e^b: few sines
    down = np.exp(1j * (np.outer(across, k.imag) + kx * t.centre_x + ky * depth_mm + kz * t.centre_z + phase))
    x, z = (np.einsum("hn,wn->hw", down * shift, right).imag for shift in shifts)
    x, z = x + flip * at.real + t.centre_x, z + at.imag + t.centre_z
    x *= 1 + t.waist * np.exp(-(((z - 75) / 65) ** 2)) * (x / 140) ** 2
    x[np.maximum(abs(at.real), abs(at.imag)) > half_mm] = 9999  # black wedges of a turned picture
    return x, depth_mm, z, 2 * half_mm / size


def paint(image_hu: Array, grid: Grid, shape: Solid, layers: tuple, grains: dict[str, Array]) -> None:
    """Paint the layers of a solid; an edge pixel is blended by how much of it the solid covers."""
    (x, y, z, pixel_mm), step = grid, len(image_hu) // 32
    near = shape(x[::step, ::step], y, z[::step, ::step]) > -18  # a first look, every 11 mm at most
    if near.any():
        (top, *_, bottom), (left, *_, right) = (np.flatnonzero(near.any(i)).repeat(2) * step for i in (1, 0))
        box = np.s_[top:bottom + step, left:right + step]
        distance = shape(x[box], y, z[box])
        reached = [layer for layer in layers if layer[1] < distance.max() + pixel_mm]
        for hu, inset_mm, soft_mm, opacity, texture, vary_hu, patch in reached:
            cover = ((distance - inset_mm) / (pixel_mm + soft_mm) + 0.5).clip(0, 1) * opacity
            if patch is not None:
                cover *= ((grains[texture][box] - patch) * 3).clip(0, 1)
            image_hu[box] += cover * (hu + vary_hu * grains[texture][box] - image_hu[box])


def add_stones(image_hu: Array, patient: Patient, grid: Grid, grains: dict) -> tuple[Array, list[Stone]]:
    """Put stones into a slice 3 mm thick; outline what looks half-way from tissue to them, or to white."""
    mask, stones, (x, y, z, pixel_mm) = np.zeros(image_hu.shape, bool), [], grid
    blur_px = patient.traits.blur_mm / 2.355 / pixel_mm
    for shape, hu, location, *_ in patient.stones:
        parts = np.zeros((3, *image_hu.shape), np.float32)
        for part, dy in zip(parts, (-1.0, 0.0, 1.0), strict=True):
            paint(part, (x, y + dy, z, pixel_mm), shape, (L(1.0, soft_mm=0.0),), grains)
        cover = parts.mean(0)
        outlined = cover.any() and gaussian_filter(cover, blur_px) >= min(0.5, HALF_WHITE / (hu - TISSUE_HU))
        if np.sum(outlined) >= 3:  # else it is only grazed
            image_hu += cover * (hu * (1 + 0.06 * grains["fine"]) - image_hu)
            mask |= outlined
            row, column = np.round(center_of_mass(cover), 2).tolist()
            diameter_mm = round(2 * (int(outlined.sum()) / np.pi) ** 0.5 * pixel_mm, 2)
            stones.append(Stone(patient.seed, row, column, diameter_mm, round(hu), location))
    return mask, stones


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
