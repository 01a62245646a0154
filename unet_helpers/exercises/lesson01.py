"""Exercises of lesson 1: the grey window, the size of a stone, and which pictures belong to one exam."""

from __future__ import annotations

from unet_helpers.exercises import Exercise
from unet_helpers.exercises.judges import is_number

__all__ = ["diameter_mm", "grey_value", "n_exams"]

grey_value = Exercise(
    judge=is_number(
        156.64,
        tolerance=1.0,
        slips={
            284.14: "you took level - width as the black end; only half of the width lies below the level.",
            0.614: "this is the position within the window as a share; the picture has 256 greys, 0 to 255.",
            61.4: "this is the position within the window in per cent; the picture has 256 greys, 0 to 255.",
            215.0: "this is the distance from the black end in HU; it has still to be stretched to 255.",
            29.14: "you measured from the level; grey 0 lies at the lower end of the window.",
        },
    ),
    hint_text="First find the HU that becomes black: level - width / 2. How far above it is the lymph node, "
    "as a share of the width? That share of 255 is the grey value.",
    solution_text="answer = (90 - (50 - 350 / 2)) * 255 / 350  # 215 of the 350 HU: 156.6, stored as 157\n",
)

diameter_mm = Exercise(
    judge=is_number(
        6.081,
        tolerance=0.06,
        slips={
            5.797: "the spacing was used once, but an area has two directions: a pixel is 1.1 x 1.1 mm².",
            3.040: "this is the radius; the diameter is twice as long.",
            5.528: "this is the diameter in pixels; one pixel is 1.1 mm wide.",
            5.389: "this is the side of a square of the same area; the question asks for a circle.",
            29.04: "this is the area in mm²; the question asks for a diameter.",
            26.4: "this is 24 x 1.1; an area needs the spacing in both directions; then a diameter from it.",
        },
    ),
    hint_text="Turn the pixels into an area in mm² first (one pixel is a small square), then use "
    "d = 2 * sqrt(area / pi).",
    solution_text="import numpy as np\n\n"
    "area_mm2 = 24 * 1.1**2  # 29.04 mm²\n"
    "answer = 2 * np.sqrt(area_mm2 / np.pi)  # 6.1 mm\n",
)

n_exams = Exercise(
    judge=is_number(
        3,
        slips={
            5: "you compared with the first picture of each exam; compare with the one just before it.",
            4: "a gap of exactly 60 seconds still belongs to the same exam.",
            2: "you counted the gaps; two gaps cut the row into more pieces than two.",
            8: "this is the number of pictures; those at most 60 seconds apart belong together.",
        },
    ),
    hint_text="Write down the seven differences between neighbours: 28, 55, ... A new exam begins at each "
    "that is above 60.",
    solution_text="import numpy as np\n\n"
    "seconds = [12, 40, 95, 150, 205, 290, 350, 411]\n"
    "answer = int(1 + (np.diff(seconds) > 60).sum())  # gaps of 85 and 61 seconds: 3 exams\n",
)
