"""Exercises of lesson 6: a mask read or refused, an option, a patient from a name, the smallest size."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from unet_helpers.exercises import Exercise
from unet_helpers.exercises.judges import is_choice, is_function
from unet_helpers.exercises.stick import patient_of as _patient_of

__all__ = ["mask_to_bool", "patient_of", "smallest_size", "which_option"]

Array = Any


# -------------------------------------------------------------------------------- a mask, read or refused
def _values(mask: Array) -> set[int]:
    return set(np.unique(mask).tolist())


def _read(mask: Array) -> Array:
    values = _values(mask)
    return mask > 0 if values <= {0, 1} or values <= {0, 255} else None


def _grey(*values: int) -> Array:
    return np.array([values], np.uint8)


def _mask_case(*values: int) -> tuple[tuple[Array], Array]:
    return (_grey(*values),), _read(_grey(*values))


mask_to_bool = Exercise(
    name="lesson06.mask_to_bool",
    judge=is_function(
        cases=[_mask_case(0, 255, 0, 0), _mask_case(0, 1, 1, 0), _mask_case(0, 90, 254, 0)],
        hidden=[
            _mask_case(0, 0, 0, 0),
            _mask_case(0, 1, 255, 0),
            _mask_case(0, 2, 2, 0),
            _mask_case(0, 254, 254, 0),
            ((np.array([[True, False]]),), np.array([[True, False]])),
        ],
        slips=[
            (
                lambda mask: mask > 0,
                "this reads whatever comes. A mask with the greys 90 and 254 has gone through something; "
                "return None, so that a person looks at it.",
            ),
            (lambda mask: mask > 127, "Anna's masks hold 0 and 1, and for you they are empty."),
            (lambda mask: mask == 255, "Anna's masks hold 0 and 1, and for you they are empty."),
            (lambda mask: mask == 1, "Radiology's masks hold 0 and 255, and for you they are empty."),
            (lambda mask: np.isin(mask, [1, 255]), "0 with 90 and 254 is read as well. Return None there."),
            (
                lambda mask: mask > 0 if _values(mask) <= {0, 1, 255} else None,
                "a mask that holds 0, 1 *and* 255 passes: is its 1 a stone, or a smear of the background?",
            ),
            (
                lambda mask: mask > 0 if len(_values(mask)) <= 2 else None,
                "two values are not enough: *which* two? 0 with 2 may be a class of many, 0 with 254 was "
                "changed by something.",
            ),
            (
                lambda mask: mask > 0 if _values(mask) in ({0, 1}, {0, 255}) else None,
                "a mask without any stone is refused, and most slices hold none.",
            ),
            (
                lambda mask: mask > mask.max() / 2 if mask.max() in (1, 255) else None,
                "the largest value alone says nothing about those between, and a slice without a stone is "
                "refused.",
            ),
            (
                lambda mask: None if _read(mask) is None else ~_read(mask),
                "the other way round: True stands for stone.",
            ),
        ],
    ),
    hint_text="`values = set(np.unique(mask).tolist())` is what the mask holds, and `values <= {0, 1}` asks "
    "whether all of that is 0 or 1. Join two such questions by `or`. What remains is `None`.",
    solution_text="def mask_to_bool(mask):\n"
    "    values = set(np.unique(mask).tolist())\n"
    "    if values <= {0, 1} or values <= {0, 255}:\n"
    "        return mask > 0\n"
    "    return None\n",
    because="What is certain is read, and what is not is handed back to a person. It costs one question, "
    "and saves a training on nonsense.",
)


# ----------------------------------------------------------------------------------------------- an option
_is_option = is_choice(
    "--mask-values 2",
    slips={
        "--mask-values 1": "this trains a network that finds kidneys, and a very good one.",
        "--mask-values 1,2": "this joins both: a kidney with its stones. Which of them do we look for?",
        "--mask-values 0": "0 is the background.",
        "--ignore 1": "then the kidney's pixels take the class of whatever lies nearest, stones among "
        "it: the stone would grow into its kidney.",
        "--invert": "that swaps object and background, and here are three values.",
        "--foreground '#ff0000'": "that is for masks in colours, and these hold numbers.",
    },
)


def _judge_option(answer: Any) -> str | None:
    """An option and its value, with `=` or blanks between them, the value in quotation marks or not."""
    if not isinstance(answer, str) or not answer.strip().startswith("--"):
        return "an option is text that begins with two dashes, as the report prints it. Which one, with what?"
    return _is_option(" ".join(answer.replace("=", " ").replace('"', " ").split()))


which_option = Exercise(
    name="lesson06.which_option",
    judge=_judge_option,
    hint_text="The report offers the options itself. Which *number* is the stone, by the letter?",
    solution_text='answer = "--mask-values 2"  # 2 is the stone; 0 and 1 become background\n',
    because="The file cannot say which of its classes you want. You can, with one option; kidney then "
    "counts as background.",
)


# ------------------------------------------------------------------------------------- a patient from a name
def _digits(name: str) -> str:
    return "".join(one for one in name.split("/")[-1].split("_")[0].split("-")[0] if one.isdigit())


_NAMES = ["radiology/p3_s2.png", "anna/images/P07-1.png"]
_HIDDEN = [
    "P10-4.png",
    "p1_s2.png",
    "P05-1.png",
    "misc/Mail Attachment.png",
    "top9/p4_s1.png",
    "anna/P20-3.png",
]


def _if_known(name: str, patient: str) -> str | None:
    return patient if _patient_of(name) else None


patient_of = Exercise(
    name="lesson06.patient_of",
    judge=is_function(
        cases=[((name,), _patient_of(name)) for name in _NAMES],
        hidden=[((name,), _patient_of(name)) for name in _HIDDEN],
        slips=[
            (
                lambda name: _if_known(name, f"p{_digits(name)}"),
                "p7 and P07 are one person, and yours are two: p7 and p07. `int` forgets the zero.",
            ),
            (
                lambda name: _if_known(name, name.split("/")[-1].replace("_", "-").split("-")[0]),
                "radiology writes p5 and Anna writes P05. It is one person, and yours are two.",
            ),
            (
                lambda name: _if_known(name, f"P{_digits(name)}"),
                "radiology writes p5 and Anna writes P05. Choose one form, such as p5.",
            ),
            (
                lambda name: _if_known(name, "p" + _digits(name).replace("0", "")),
                "every zero is gone, and patient 10 has become patient 1. Only zeros in front count nothing.",
            ),
            (
                lambda name: _patient_of(name) or "unknown",
                "the attachment names no patient, and yours has a word for it: all strangers would be one "
                "person of that name. Return None, without quotation marks.",
            ),
            (
                lambda name: _patient_of(name) or "None",
                "that is the *word* None, a patient of that name. Return None without quotation marks.",
            ),
            (
                lambda name: _patient_of(name) or "",
                "the attachment names no patient, and yours is an empty text. Return None.",
            ),
            (
                lambda name: f"p{int(match[1])}" if (match := re.search(r"[pP](\d+)", name)) else None,
                "the digits of a folder's name were read, as in top9. Cut off the folders first.",
            ),
            (
                lambda name: f"p{int(_digits(name))}" if _digits(name) else "p0",
                "the attachment names no patient, and yours is called p0: all strangers would be one person. "
                "Return None.",
            ),
            (
                lambda name: name.split("/")[0],
                "the folder says who outlined it, and not whose kidney it is.",
            ),
            (
                lambda name: name.split("/")[-1].split(".")[0],
                "this is a name for each *slice*: two slices of a patient must get the same answer.",
            ),
        ],
    ),
    hint_text="Cut off the folders: `name.split('/')[-1]`. Then `re.match(r'[pP]0*(\\d+)[-_]', ...)` looks "
    "for a p, passes over zeros, and keeps the digits in `match[1]`. Without a match it gives None.",
    solution_text="import re\n\n\n"
    "def patient_of(name):\n"
    '    match = re.match(r"[pP]0*(\\d+)[-_]", name.split("/")[-1])\n'
    '    return f"p{match[1]}" if match else None\n',
    because="Patient 5 lies in both folders, as p5 and as P05. Now one name stands for one person.",
)


# ----------------------------------------------------------------------------------------- the smallest size
def _size(long_side: int, width: float, least: float) -> int:
    return min(long_side, math.ceil(long_side * least / width))


_SIZES = [(512, 8, 4), (1000, 7, 4)]
_HIDDEN_SIZES = [(256, 3, 4), (300, 10, 3), (4000, 30, 4), (640, 4, 4), (450, 4, 3)]

smallest_size = Exercise(
    name="lesson06.smallest_size",
    judge=is_function(
        cases=[(one, _size(*one)) for one in _SIZES],
        hidden=[(one, _size(*one)) for one in _HIDDEN_SIZES],
        slips=[
            (
                lambda long_side, width, least: min(long_side, round(long_side * least / width)),
                "rounded to the nearest, some sizes are a little too small: 571 for 7 pixels of 1000. Round "
                "up, with `math.ceil`.",
            ),
            (
                lambda long_side, width, least: min(long_side, long_side * least // width),
                "rounded down, the stone is a little too narrow. Round up, with `math.ceil`.",
            ),
            (
                lambda long_side, width, least: min(long_side, long_side * least / width),
                "half a pixel is no size. Round up, with `math.ceil`.",
            ),
            (
                lambda long_side, width, least: math.ceil(long_side * least / width),
                "a stone of 3 pixels is narrower than wanted already, and your image *grows*. Enlarging "
                "brings no detail back: stop at the size of the file.",
            ),
            (
                lambda long_side, width, least: max(long_side, math.ceil(long_side * least / width)),
                "`max` takes the larger of the two, so nothing ever shrinks.",
            ),
            (
                lambda long_side, width, least: min(long_side, math.ceil(long_side * width / least)),
                "upside down: a wider stone would allow less shrinking. It allows more.",
            ),
        ],
    ),
    hint_text="Everything shrinks by one factor. `width` may become `least`, so the factor is "
    "`least / width`; the long side shrinks by it as well. Round up, and never return more than `long_side`.",
    solution_text="import math\n\n\n"
    "def smallest_size(long_side, width, least):\n"
    "    return min(long_side, math.ceil(long_side * least / width))\n",
    because="Image and stone shrink by the same factor, so the smallest thing that you look for decides the "
    "size of the whole picture.",
)
