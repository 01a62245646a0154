"""Exercises of lesson 1, all of them functions: the window, the size of a stone, an honest split."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unet_helpers import data
from unet_helpers.exercises import Exercise, NotAttempted
from unet_helpers.exercises.calling import called, kind_of
from unet_helpers.exercises.judges import is_function

__all__ = ["diameter_mm", "keep_together", "window"]

HU = np.array(
    [[-1000.0, -160.0, -60.0], [45.0, 140.0, 1500.0]]
)  # of which 40, 400 makes 0, 0, 64, 131, 191, 255
MORE_HU = np.array([[-500, -450, -100, 120], [250, 300, 620, 3000]], np.int16)
BONE = (500, 1900)  # level and width
Window = Callable[[Any, float, float], NDArray[np.uint8]]


def _scaled(image_hu: Any, start: float, width: float, top: float = 255) -> NDArray[np.uint8]:
    """A window that begins at `start`, as a slip of a student might have it."""
    grey: NDArray[np.float64] = np.clip((np.asarray(image_hu) - start) * (top / width), 0, 255)
    return np.rint(grey).astype(np.uint8)


def _unclipped(image_hu: Any, level: float, width: float) -> NDArray[np.uint8]:
    """What happens without `np.clip`: numbers beyond 0 to 255 come round at the other end."""
    grey: NDArray[np.float64] = (np.asarray(image_hu) - (level - width / 2)) * (255 / width)
    return np.rint(grey).astype(np.uint8)


def _cast_first(image_hu: Any, level: float, width: float) -> NDArray[np.uint8]:
    return np.clip(_unclipped(image_hu, level, width), 0, 255)


WINDOW_SLIPS: list[tuple[Window, str]] = [
    (
        lambda hu, level, width: _scaled(hu, level - width, width),
        "black begins too low. Only half of the width lies below the level.",
    ),
    (
        lambda hu, level, width: _scaled(hu, level, width),
        "you measure from the level. Grey 0 lies at the lower end of the window, half a width below.",
    ),
    (
        lambda hu, level, width: _scaled(hu, level - width / 2, width / 2),
        "white comes too early: the greys are spread over the whole width, not over half of it.",
    ),
    (
        lambda hu, level, width: _scaled(hu, level - width / 2, width, top=1),
        "the position within the window is right as a share from 0 to 1, but a picture has the greys "
        "0 to 255.",
    ),
    (
        lambda hu, level, width: _scaled(hu, level - width / 2, width, top=100),
        "the position within the window is right in per cent, but a picture has the greys 0 to 255.",
    ),
    (
        lambda hu, level, width: 255 - data.window(hu, level, width),
        "your picture is a negative: the lower end of the window must become black.",
    ),
    (
        _unclipped,
        "what lies outside the window wraps around: bone comes out dark. `np.clip` is missing.",
    ),
    (_cast_first, "the order: clip first, and only then turn the numbers into uint8."),
    (
        lambda hu, level, width: np.clip(hu, 0, 255).astype(np.uint8),
        "you clip the HU themselves. First stretch the window to 0..255, then clip.",
    ),
    (
        lambda hu, level, width: np.clip(hu, level - width / 2, level + width / 2).astype(np.uint8),
        "you clip at the ends of the window, which is a good start. Now stretch it to 0..255.",
    ),
]
WINDOW_CASES = [((HU, 40, 400), data.window(HU, 40, 400))]
HIDDEN = [((HU, 40, 200), data.window(HU, 40, 200)), ((MORE_HU, *BONE), data.window(MORE_HU, *BONE))]
_is_window = is_function(WINDOW_CASES, HIDDEN, tolerance=1.0)  # who cuts off instead of rounding is right


def _judge_window(answer: Any) -> str | None:
    """As `is_function`, but a slip is recognised whether its greys are rounded or cut off."""
    verdict = _is_window(answer)
    if verdict is None or not callable(answer):
        return verdict
    for slip, sentence in WINDOW_SLIPS:
        if all(
            _one_grey_apart(called(answer, case).result, slip(*case)) for case, _ in WINDOW_CASES + HIDDEN
        ):
            return sentence
    return verdict


def _one_grey_apart(result: Any, slip: NDArray[np.uint8]) -> bool:
    if not isinstance(result, np.ndarray) or result.dtype != np.uint8 or result.shape != slip.shape:
        return False
    apart = np.abs(result.astype(int) - slip)
    return bool(np.isin(apart, (0, 1, 255)).all())  # 255: 0 and 255 are neighbours where greys wrap around


window = Exercise(
    judge=_judge_window,
    hint_text="Three steps. Which HU becomes black? How far above it is each pixel, as a share of the width? "
    "That share times 255 is the grey. `np.clip(grey, 0, 255)` and `.astype(np.uint8)` finish it.",
    solution_text="# same as unet_helpers.data.window\n"
    "def window(image_hu, level, width):\n"
    '    """HU (H, W) -> uint8 (H, W): from level - width/2 (0) to level + width/2 (255)."""\n'
    "    return np.rint(np.clip((image_hu - (level - width / 2)) * (255 / width), 0, 255))"
    ".astype(np.uint8)\n",
    because="One subtraction, one multiplication, one clip: this line stands in the package, and every "
    "picture of this series went through it.",
    name="lesson01.window",
)


def _circle(n_pixels: float, spacing_mm: float) -> float:
    return 2 * math.sqrt(n_pixels * spacing_mm**2 / math.pi)


diameter_mm = Exercise(
    judge=is_function(
        cases=[((24, 1.1), _circle(24, 1.1)), ((9, 1.157), _circle(9, 1.157))],
        hidden=[((100, 0.5), _circle(100, 0.5)), ((1, 2.0), _circle(1, 2.0))],
        tolerance=0.01,
        slips=[
            (
                lambda n, mm: 2 * math.sqrt(n * mm / math.pi),
                "the spacing was used once, but a pixel has two sides: its area is spacing times spacing.",
            ),
            (
                lambda n, mm: math.sqrt(n * mm**2 / math.pi),
                "this is the radius; the diameter is twice as long.",
            ),
            (
                lambda n, mm: 2 * math.sqrt(n / math.pi),
                "this is the diameter in pixels; the spacing is not used.",
            ),
            (
                lambda n, mm: math.sqrt(n) * mm,
                "this is the side of a square of that area, not a circle's diameter.",
            ),
            (
                lambda n, mm: math.sqrt(n),
                "this is the side of a square, in pixels; a circle in mm is asked for.",
            ),
            (lambda n, mm: n * mm**2, "this is the area in mm². A diameter comes from it by a square root."),
            (
                lambda n, mm: n * mm,
                "pixels times spacing is no length: the pixels of a stone lie side by side.",
            ),
            (
                lambda n, mm: 2 * math.sqrt(n * mm**2) / math.pi,
                "pi belongs under the root, together with the area.",
            ),
            (lambda n, mm: 2 * n * mm**2 / math.pi, "the square root is missing."),
            (
                lambda n, mm: math.sqrt(4 * n * mm**2) * math.pi,
                "an area is pi times the radius squared, so the area is divided by pi.",
            ),
        ],
    ),
    hint_text="Two steps. The area in mm²: how large is one pixel, and how many are there? Then solve "
    "area = pi * (d / 2)² for d.",
    solution_text="def diameter_mm(n_pixels, spacing_mm):\n"
    '    """Diameter of the circle that has the area of so many pixels, in mm."""\n'
    "    area_mm2 = n_pixels * spacing_mm**2\n"
    "    return 2 * np.sqrt(area_mm2 / np.pi)\n",
    because="Pixels mean nothing to a doctor; millimetres decide between waiting and an operation.",
    name="lesson01.diameter_mm",
)


# ------------------------------------------------------------------------------------ an honest split
PATIENTS = (  # each list names the patient of every slice; the second one is not sorted
    ["ana"] * 4 + ["ben"] * 2 + ["cem"] * 5 + ["dia"] * 3 + ["eva"] * 4,
    ["p7", "p1", "p7", "p3", "p1", "p9", "p3", "p9", "p9", "p4", "p5", "p4", "p1", "p7"],
)
N_TEST, SEEDS = 2, range(8)


def _judge_split(answer: Any) -> str | None:
    if not callable(answer):
        return f"a function was expected, got {kind_of(answer)}. Give its name alone, without brackets."
    for patients in PATIENTS:
        chosen = []
        for seed in SEEDS:
            outcome = called(answer, (list(patients), N_TEST, seed))
            if outcome.dots:
                raise NotAttempted
            verdict = outcome.problem or _judge_parts(outcome.result, patients)
            if verdict:
                return verdict
            chosen.append(_names(outcome.result[1], patients))
        again = called(answer, (list(patients), N_TEST, SEEDS[0])).result
        if _names(again[1], patients) != chosen[0]:
            return "two calls with the same seed give two different splits. Use np.random.default_rng(seed)."
        if all(one == chosen[0] for one in chosen):
            return (
                f"every seed gives the same test patients ({', '.join(sorted(chosen[0]))}). Let chance "
                "choose: the first names of a list may all come from one week, or one scanner."
            )
    return None


def _names(positions: Sequence[int], patients: Sequence[str]) -> set[str]:
    return {patients[int(position)] for position in positions}


def _judge_parts(parts: Any, patients: Sequence[str]) -> str | None:
    """What is wrong with one split, in the order in which a student would look."""
    if not isinstance(parts, tuple | list) or len(parts) != 2:
        return f"two parts were expected, `return train, test`, got {kind_of(parts)}."
    try:
        train, test = ([int(position) for position in np.asarray(part).ravel()] for part in parts)
    except (TypeError, ValueError):
        return "the parts must hold positions, whole numbers such as 0 or 17. Yours hold something else."
    if [np.asarray(part).dtype.kind for part in parts] == ["b", "b"]:
        return "these are True and False for every slice. np.flatnonzero turns them into positions."
    counts = Counter(train + test)
    if any(number > 1 for number in counts.values()):
        twice = next(position for position, number in counts.items() if number > 1)
        return f"slice {twice} is there twice. Each slice belongs to exactly one of the two parts."
    if set(counts) != set(range(len(patients))):
        return f"{len(patients)} slices went in and {len(counts)} came out. Every slice needs a place."
    in_train, in_test = _names(train, patients), _names(test, patients)
    if in_train & in_test:
        torn = min(in_train & in_test)
        return f"slices of {torn!r} are on both sides. Draw patients, not slices, and keep each one whole."
    if len(in_train) == N_TEST != len(in_test):
        return "the two parts have changed places: first training, then test."
    if len(in_test) != N_TEST:
        return f"{N_TEST} patients were asked for the test, and yours holds {len(in_test)}."
    return None


keep_together = Exercise(
    judge=_judge_split,
    hint_text="Shuffle the names, not the slices: np.random.default_rng(seed).permutation(names)[:n_test]. "
    "Then np.isin(patients, chosen) says of every slice whether its patient was drawn, and np.flatnonzero "
    "gives the positions where that is True.",
    solution_text="def keep_together(patients, n_test, seed):\n"
    '    """Positions of the training slices, and of the slices of n_test whole patients."""\n'
    "    names = np.unique(patients)\n"
    "    chosen = np.random.default_rng(seed).permutation(names)[:n_test]\n"
    "    in_test = np.isin(patients, chosen)\n"
    "    return np.flatnonzero(~in_test), np.flatnonzero(in_test)\n",
    because="Chance chose among patients, and each one stayed whole: this test asks about new people.",
    name="lesson01.keep_together",
)
