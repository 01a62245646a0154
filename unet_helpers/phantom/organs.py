"""Tables of the organs: what they are filled with, where they lie, and how much people differ in them.

All but the kidney is in mm: x to the right of the picture (the patient's left), y to the patient's front,
z down. The origin is the middle of the spine at the height of the kidneys, or what the table says. A table is
painted from top to bottom, each organ over those before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float, float]
Knot = tuple[float, float, float, float]  # a point of a tube, and its radius there


@dataclass(frozen=True)
class Ball:
    """A ball, or an ellipsoid."""

    centre: Point
    radii: float | Point  # along x, y and z; if an axis is given, the last is along it
    axis: Point | None = None
    uneven: float = 0.07  # height of its bumps, as share of the radius
    sway_mm: float = 3.0  # standard deviation of its place, along each of x, y and z


@dataclass(frozen=True)
class Tube:
    """A tube with round ends."""

    knots: Sequence[Knot]
    stretch: Point = (1, 1, 1)  # factors of its radius along x, y and z
    uneven: float = 0.0
    sway_mm: float = 1.0  # standard deviation of its bend at every knot


@dataclass(frozen=True)
class Organ:
    """A line of a table: one solid, or several that differ by chance alone."""

    name: str
    filling: str  # of tissues.FILLINGS or tissues.CHOICES
    shape: Ball | Tube
    both_sides: bool = False  # and a mirrored one
    copies: tuple[float, float] = (1, 1)  # drawn between these, then rounded; below 0.5 there is none
    spread: Point = (0, 0, 0)  # by how much a copy lies elsewhere, at most
    vary: float = 0.12  # by which share it is larger or smaller, at most
    swells: bool = False  # where urine is held back


CHEST = [
    Organ("fat of the mediastinum", "fat", Tube([(4, 10, -400, 22), (4, 12, -100, 24), (0, 0, 0, 28)])),
    Organ("heart", "blood", Ball((24, 99, -125), (66, 50, 46))),
    Organ(
        "vessels of the lungs",
        "blood",
        Tube([(0, 50, -145, 2)] * 9, sway_mm=2),
        copies=(10, 20),
        spread=(90, 45, 45),
        vary=0.5,
    ),
    Organ("aorta", "blood", Tube([(9, 27, -220, 9.5), (9, 27, -50, 9.5), (9, 27, 105, 9.5)])),
    Organ("vena cava", "blood", Tube([(-17, 25, -70, 10), (-15, 24, 106, 9)])),
]

ABDOMEN = [
    Organ("stomach", "stomach", Ball((50, 60, -42), (36, 36, 30), axis=(0.6, 0, 1))),
    Organ("outlet of the stomach", "gut", Ball((20, 52, -8), (20, 22, 16))),
    Organ("spleen", "spleen", Ball((106, 8, -42), (33, 50, 58), axis=(0.45, 0.1, 1))),
    # The liver is painted after the gallbladder, which then shows below its rim only.
    Organ("gallbladder", "bile", Ball((-56, 55, 4), (13, 20, 22))),
    Organ("right lobe of the liver", "liver", Ball((-84, 44, -32), (64, 95, 112), axis=(-0.7, -0.1, 1))),
    Organ("left lobe of the liver", "liver", Ball((-20, 85, -46), (78, 54, 48))),
    Organ(
        "psoas",
        "muscle",
        Tube([(22, 2, -40, 6), (32, -4, 10, 17), (43, -9, 60, 27), (70, -6, 190, 38)]),
        both_sides=True,
    ),
    Organ(
        "muscles of the back",
        "muscle",
        Tube([(30, -54, -300, 30), (30, -50, -60, 31), (33, -52, 60, 34), (33, -56, 300, 34)]),
        both_sides=True,
    ),
    Organ(
        "pancreas",
        "gut",
        Tube([(-30, 32, 14, 11), (0, 36, -4, 9), (46, 24, -14, 9), (84, 4, -26, 7)], sway_mm=2),
    ),
    Organ(
        "colon",
        "colon",
        Tube([(110, 2, 10, 15), (110, -2, 100, 16), (111, -8, 215, 16)], uneven=0.12, sway_mm=3),
        both_sides=True,
    ),
    Organ(
        "vessels of the bowel",
        "blood",
        Tube([(0, 25, 55, 1.8)] * 8, sway_mm=2),
        copies=(10, 22),
        spread=(90, 40, 95),
        vary=0.4,
    ),
    Organ(
        "small bowel",
        "fluid",
        Tube([(0, 25, 90, 11)] * 7, sway_mm=3),
        copies=(10, 22),
        spread=(85, 30, 80),
        vary=0.2,
    ),
    Organ(
        "other loops of the small bowel",
        "loop",
        Tube([(0, 25, 95, 11)] * 7, sway_mm=3),
        copies=(2, 4),
        spread=(85, 25, 75),
        vary=0.2,
    ),
]

CALYX_LEVELS = (-0.65, -0.4, -0.15, 0.1, 0.35, 0.6)  # from the upper to the lower pole of a kidney


def calyx(level: float, front: int) -> list[Organ]:
    """A calyx, with a vessel and the fat around both, from the pelvis outwards to one `level` of the kidney.

    `front` is -1 for a calyx of the back row, 1 for one of the front row.
    """

    def branch(name: str, filling: str, radii: Point, swells: bool = False) -> Organ:
        at_pelvis, neck, end = radii
        knots = (
            (0.42, 0, 0.04, at_pelvis),
            (0.15, 0.1 * front, level / 2, neck),
            (-0.2, 0.25 * front, level, end),
        )
        return Organ(name, filling, Tube(knots), vary=0.3, swells=swells)

    return [
        branch("fat of a calyx", "sinus", radii=(0.17, 0.12, 0.09)),
        branch("vessel of a calyx", "blood", radii=(0.05, 0.04, 0.02)),
        branch("calyx", "calyx", radii=(0.04, 0.03, 0.05), swells=True),
    ]


# From the middle of a kidney, as shares of its three radii; x towards the spine, z along the kidney.
KIDNEY = [
    Organ("fat of the kidney", "fat", Ball((0.1, -0.08, 0.08), 1.15)),
    Organ(
        "vessels of the kidney",
        "blood",
        Tube([(1.9, 0.9, 0.1, 0.14), (1.4, 0.5, 0.1, 0.14), (1.05, 0.1, 0, 0.13), (0.4, 0, 0, 0.05)]),
    ),
    Organ("kidney", "kidney", Ball((0, 0, 0), 1), vary=0),
    Organ("fat of the hilum", "sinus", Ball((0.85, 0.04, 0.02), (0.42, 0.5, 0.26)), vary=0.2),
    Organ("fat of the sinus", "sinus", Ball((0.30, 0, 0), (0.27, 0.31, 0.39), uneven=0.25), vary=0.3),
    *(organ for level in CALYX_LEVELS for front in (-1, 1) for organ in calyx(level, front)),
    Organ(
        "ureter",
        "ureter",
        Tube([(0.4, 0, 0, 0.08), (0.9, 0, 0.3, 0.08), (1.3, 0.4, 0.9, 0.08), (2.4, 1, 3, 0.08)], sway_mm=2),
        swells=True,
    ),
    Organ("pelvis", "pelvis", Ball((0.42, 0, 0.04), 0.13), swells=True),
    Organ("cyst", "bile", Ball((-0.5, 0, 0), 0.3, sway_mm=24), copies=(-2, 0.9), vary=0.7),
]

# From the middle of a vertebra of the loins, in mm; those above are smaller.
VERTEBRA = [
    Organ(
        "pedicle and transverse process",
        "bone",
        Tube([(14, -13, -5, 5.5), (17, -29, -5, 5), (42, -34, -3, 4.2)], sway_mm=1.5),
        both_sides=True,
        vary=0.25,
    ),
    Organ(
        "joint",
        "bone",
        Tube([(15, -31, -16, 6.5), (18, -34, -2, 6.5), (13, -37, 16, 6.5)], sway_mm=0),
        both_sides=True,
    ),
    Organ("spinal canal", "gut", Tube([(0, -26, -20, 9), (0, -26, 20, 9)])),
    Organ("disc", "disc", Ball((0, 0, 17), (23, 16, 5.8), sway_mm=0)),
    Organ(
        "body of a vertebra",
        "bone",
        Tube([(0, 0, -11, 25), (0, 0, 0, 22), (0, 0, 11, 25)], stretch=(1, 0.72, 0.12), sway_mm=0),
        vary=0.03,
    ),
]

HIPS = [
    Organ(
        "muscles of the hip",
        "muscle",
        Ball((111, -15, 182), (40, 64, 72), axis=(0.7, 0.1, -1)),
        both_sides=True,
    ),
    Organ(
        "hip bone",
        "rib",
        Ball((100, -20, 158), (9, 62, 70), axis=(0.7, 0.1, -1)),
        both_sides=True,
        spread=(12, 15, 25),
        vary=0.3,
    ),
]

# Bright and small like stones, but outside the kidneys: what a network must not mistake for them.
LOOK_ALIKES = [
    Organ("calcified node", "chalk", Ball((0, 5, 40), 2), copies=(-7, 9), spread=(105, 30, 150), vary=0.6),
    Organ(
        "calcified aorta", "chalk", Ball((9, 27, -15), 1.8), copies=(-12, 12), spread=(10, 7, 120), vary=0.6
    ),
    Organ(
        "pill in the colon",
        "chalk",
        Ball((108, 0, 70), 3),
        both_sides=True,
        copies=(-9, 2),
        spread=(10, 15, 60),
        vary=0.5,
    ),
    Organ("clip", "metal", Ball((0, 20, -5), 1.5), copies=(-50, 5), spread=(70, 12, 20), vary=0.5),
]
