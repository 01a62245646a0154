"""From the picture to the body: how a person lies in the scanner, and what is only theirs.

The picture is seen as radiologists hang it: its left is the patient's right side, where the liver is.
Nobody is mirrored. Both spaces are in mm: x to the right of the picture, y to the patient's front, z down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unet_helpers.phantom.shapes import Floats, Vector

N_STEPS_BACK = 12  # of the search for the picture's point; each step leaves at most a third of the error


@dataclass(frozen=True, eq=False)
class Traits:
    """What differs from patient to patient, apart from their organs."""

    spacing_mm: float  # pixel size of a picture of 256 pixels
    centre_x: float  # the middle of the picture, in the body
    centre_z: float
    level: float  # of the grey window, HU
    width: float
    noise_hu: float
    blur_mm: float  # full width at half maximum
    scoliosis: float  # how far the spine swings to the sides, mm
    lordosis: float  # how far the loins lie in front of the chest's spine, mm
    spine_y: float
    fatness: float  # 0 to 1
    waist: float  # 0 to 0.2
    tilt: float  # turn of the picture, radians
    waves: Vector  # (n, 6): wave vector (3), phase, shift along x and z in mm; they bend the body a little


def turned(traits: Traits, right: Floats, down: Floats) -> tuple[Floats, Floats]:
    """The picture's axes turned by the patient's tilt."""
    cosine, sine = float(np.cos(traits.tilt)), float(np.sin(traits.tilt))
    return right * cosine - down * sine, right * sine + down * cosine


def in_body(traits: Traits, right: Floats, depth_mm: Floats | float, down: Floats) -> tuple[Floats, Floats]:
    """Where points of the picture lie in the body: turned, then bent by waves, then drawn in at the waist.

    Args:
        traits: The patient's.
        right: Distance from the picture's middle to its right in mm, any shape.
        depth_mm: Distance to the patient's front, one number or one a point.
        down: Distance from the picture's middle downwards in mm.

    Returns:
        x and z in the body; y is `depth_mm` itself.
    """
    right, down = turned(traits, right, down)
    x, z = right + traits.centre_x, down + traits.centre_z
    bent_x, bent_z = x, z
    for along_x, along_y, along_z, phase, shift_x, shift_z in traits.waves.tolist():
        wave = np.sin(x * along_x + z * along_z + (along_y * depth_mm + phase))
        bent_x, bent_z = bent_x + shift_x * wave, bent_z + shift_z * wave
    drawn_in = traits.waist * np.exp(-(((bent_z - 75) / 65) ** 2)) * (bent_x / 140) ** 2
    return bent_x * (1 + drawn_in), bent_z


def in_picture(traits: Traits, points: Vector) -> Vector:
    """The way back from the body to the picture for points (n, 3), by steps that make up what is missing."""
    places = np.array(points, float)
    for _ in range(N_STEPS_BACK):
        x, z = in_body(traits, places[:, 0], places[:, 1], places[:, 2])
        places[:, 0] += points[:, 0] - x
        places[:, 2] += points[:, 2] - z
    return places
