"""One person on the table: what is only theirs, what their tissues measure, their body and their stones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from unet_helpers.phantom.anatomy import Part, build_body
from unet_helpers.phantom.shapes import Vector
from unet_helpers.phantom.space import Traits
from unet_helpers.phantom.stones import STAGHORN_EVERY, Stone, make_stones
from unet_helpers.phantom.tissues import Coat, draw_coats

DYE_SHARE, DYE_HU = 0.10, (10, 35)  # how many people were given a contrast agent, and what it adds to blood
BENDS = ((170, 3.5), (75, 1.1), (32, 0.3))  # length of the waves that bend a body, and their height, mm
N_WAVES = 4  # of each length


class Patient(NamedTuple):
    """A person: the parts of the body in painting order, the coats that fill them, and the stones."""

    seed: int
    traits: Traits
    coats: dict[str, list[Coat]]  # by the parts' filling
    parts: list[Part]
    stones: list[Stone]


def make_patient(seed: int, staghorn_size: float | None = None) -> Patient:
    """Draw a patient; the same arguments give the same patient.

    Args:
        seed: Any number from 0.
        staghorn_size: None leaves to chance whether there is a staghorn stone and how large it is; 0 gives
            none; above 0 to 1 gives one, from the smallest to the largest that there are.
    """
    rng = np.random.default_rng([seed, 1])
    traits = draw_traits(rng)
    dye_hu = rng.uniform(*DYE_HU) * (rng.random() < DYE_SHARE)
    coats = draw_coats(rng, dye_hu)
    parts = list(build_body(rng, traits))
    if staghorn_size is None:
        staghorn_size = (1 - rng.random()) * (rng.random() < 1 / STAGHORN_EVERY)
    stones = make_stones(rng, traits, parts, staghorn_size)
    return Patient(seed, traits, coats, parts, stones)


def draw_traits(rng: Generator) -> Traits:
    """What is only one person's own, and how they were scanned."""
    waves = draw_waves(rng)
    return Traits(  # drawn in this order
        spacing_mm=rng.uniform(0.95, 1.32),
        centre_x=rng.uniform(-28, 28),
        centre_z=rng.uniform(-25, 12),
        level=rng.uniform(58, 70),
        width=rng.uniform(335, 375),
        noise_hu=rng.uniform(3.8, 5.6),
        blur_mm=rng.uniform(2.2, 3.2),
        scoliosis=rng.uniform(-7, 7),
        lordosis=rng.uniform(22, 34),
        spine_y=rng.uniform(-18, -4),
        fatness=rng.beta(1.4, 2.6),
        waist=rng.uniform(0, 0.2),
        tilt=rng.uniform(-0.15, 0.15) * (rng.random() < 0.45),
        waves=waves,
    )


def draw_waves(rng: Generator) -> Vector:
    """Waves (n, 6) that bend a body, so that no organ is a perfect ellipsoid; see `Traits.waves`."""
    length_mm, height_mm = np.repeat(BENDS, N_WAVES, axis=0).T[..., None]  # (n, 1) each
    n_waves = len(length_mm)
    along, phases = rng.uniform(-1, 1, (n_waves, 3)), rng.uniform(0, 7, (n_waves, 1))
    shifts = rng.normal(size=(n_waves, 2))
    return np.hstack([6.3 / length_mm * along, phases, height_mm * shifts])
