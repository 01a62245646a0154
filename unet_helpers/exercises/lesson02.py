"""Exercises of lesson 2: a ratio, the shape of a batch, padding, a pair that moves together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unet_helpers.exercises import Exercise, NotAttempted
from unet_helpers.exercises.judges import is_function, is_number, is_shape

__all__ = ["batch_shape", "flip_and_shift", "new_height", "pad_and_undo"]

Array = NDArray[Any]

# ------------------------------------------------------------------------------------- the ratio
new_height = Exercise(
    name="lesson02.new_height",
    judge=is_number(
        209.5,
        tolerance=0.51,
        unit="pixels",
        slips={
            256: "this stretches the image to a square, and every round stone becomes an oval.",
            312.8: (0.9, "the longer side is the width, so the width must become 256, not the height."),
            185: "you took the same number of pixels off both sides; both must shrink by the same factor.",
            391: "this is the old width.",
            320: "this is the old height.",
            0.6547: (6e-3, "this is the factor by which the width shrinks. Now shrink the height by it."),
            0.8184: (5e-3, "this is the ratio of height to width. It stays the same; the height does not."),
            1.2219: (5e-3, "this is the ratio of width to height. It stays the same; the height does not."),
            1.5273: (5e-3, "this is how much larger the old width is. Turn the fraction round, then use it."),
            1.0: "a height of one pixel? Multiply the old height by the factor of the width.",
            0.2: "a height is a number of pixels. By which factor does the width shrink?",
            1.25: "you compared the old height with the new width. Compare the old width with the new width.",
            0.8: "you compared the old height with the new width. Compare the old width with the new width.",
            65.47: (0.6, "this is the factor in per cent. Now take that many per cent of the old height."),
            110.54: (0.6, "this is what the height loses. How much is left of it?"),
            64: "this subtracts the new width from the old height. Which factor takes 391 to 256?",
            208: "the factor was rounded too early: keep all its digits until the end.",
            211.2: "the factor was rounded too early: keep all its digits until the end.",
        },
    ),
    hint_text="By which factor does the longer side shrink, from 391 to 256? The other side shrinks by "
    "the same.",
    solution_text="from unet_helpers.transforms import shrink_size\n\n"
    "answer = round(320 * 256 / 391)  # 209.5, rounded to whole pixels\n"
    "assert answer == shrink_size((320, 391), 256)[0]",
    because="Both sides shrink by 256 / 391 = 0.655, so a millimetre stays as long across as down.",
)

# ------------------------------------------------------------------------------------- the batch
batch_shape = Exercise(
    name="lesson02.batch_shape",
    judge=is_shape(
        (16, 1, 128, 128),
        slips={
            (16, 128, 128): "the channel axis is missing; a grey image has one channel.",
            (16, 128, 128, 1): "PyTorch wants the channels before height and width, not at the end.",
            (1, 16, 128, 128): "this is one image with 16 channels; the number of images comes first.",
            (16, 3, 128, 128): "three channels belong to a colour photograph; these patches are grey.",
            (1, 128, 128): "this is one patch; a batch of 16 needs an axis in front.",
            (128, 128): "this is one patch without a channel; a batch needs four axes.",
            (16, 128): "this says nothing about the width, nor about the channels.",
            (1, 128, 128, 16): "the number of images comes first, and the channels second.",
            (128, 128, 16): "the channel axis is missing, and the number of images comes first.",
            (16, 1, 16384): "the pixels stay in rows and columns: height and width are two axes.",
            (1, 1, 128, 128): "this is a batch of a single image; how many are fed at once?",
            (128, 128, 1, 16): "the order is turned round: batch, channels, height, width.",
        },
    ),
    hint_text="Four axes, in this order: how many images, how many channels each, height, width.",
    solution_text="answer = (16, 1, 128, 128)  # batch, channels, height, width",
    because="Batch, channels, height, width: this order holds for every image tensor in PyTorch.",
)


# ------------------------------------------------------------------------------------- padding
def _pad(image: Array, multiple: int) -> Array:
    below, right = (-(-side // multiple) * multiple - side for side in image.shape)
    return np.pad(image, ((0, below), (0, right)))


def _pad_slip(sides: Callable[[int, int], tuple[int, int]]) -> Callable[[Array, int], Array]:
    """A wrong way to pad: rows or columns added before and after a side."""

    def pad(image: Array, multiple: int) -> Array:
        rows, columns = (sides(side, multiple) for side in image.shape)
        return np.pad(image, (rows, columns))

    return pad


def _numbers(height: int, width: int) -> NDArray[np.uint8]:
    """A picture without zeros, every value another one."""
    return np.arange(1, 1 + height * width, dtype=np.uint8).reshape(height, width)


def _lacks(side: int, multiple: int) -> int:
    return -side % multiple


_judge_pad = is_function(
    cases=[((_numbers(3, 5), 4), _pad(_numbers(3, 5), 4)), ((_numbers(4, 8), 4), _numbers(4, 8))],
    hidden=[((image, n), _pad(image, n)) for image, n in ((_numbers(9, 2), 8), (_numbers(5, 5), 2))],
    slips=[
        (lambda image, n: image, "`pad` returns the picture as it was."),
        (
            _pad_slip(lambda side, n: (0, n - side % n)),
            "a side that fits already gets a whole extra block: 8 is a multiple of 4 and needs nothing.",
        ),
        (_pad_slip(lambda side, n: (0, side % n)), "you added the rest of the division, not what it lacks."),
        (_pad_slip(lambda side, n: (0, n)), "you added one whole block, however much was needed."),
        (
            lambda image, n: np.pad(image, [(0, _lacks(image.shape[0], n))] * 2),
            "the columns grew by as much as the rows. Each side lacks a number of its own.",
        ),
        (
            lambda image, n: np.pad(image, [(0, _lacks(side, n)) for side in image.shape[::-1]]),
            "rows and columns are exchanged: the first pair of `np.pad` belongs to the rows.",
        ),
        (
            lambda image, n: np.pad(image, [_lacks(side, n) for side in image.shape]),
            "`np.pad` took your two numbers as before and after, for both axes. Give it a pair for each: "
            "`((above, below), (left, right))`.",
        ),
        (
            lambda image, n: np.pad(image, ((0, _lacks(image.shape[0], n)), (0, 0))),
            "the height fits now; the width does not yet.",
        ),
        (
            lambda image, n: np.pad(image, ((0, 0), (0, _lacks(image.shape[1], n)))),
            "the width fits now; the height does not yet.",
        ),
        (
            lambda image, n: np.pad(
                image, [(0, max(image.shape) + _lacks(max(image.shape), n) - side) for side in image.shape]
            ),
            "you made it a square. The sides may differ, as long as each is a multiple.",
        ),
        (
            _pad_slip(lambda side, n: (_lacks(side, n), 0)),
            "the black came in above and on the left; put it below and on the right.",
        ),
        (
            _pad_slip(lambda side, n: (_lacks(side, n) // 2, _lacks(side, n) - _lacks(side, n) // 2)),
            "the black came in on all four sides, so every pixel has moved. Put it below and on the right.",
        ),
        (
            lambda image, n: image[: image.shape[0] // n * n, : image.shape[1] // n * n],
            "you cut the picture down to a multiple: a stone at its edge would be lost. Add, do not cut.",
        ),
        (
            lambda image, n: np.pad(image, ((0, -image.shape[0] % n), (0, -image.shape[1] % n)), mode="edge"),
            "the edge was repeated; fill up with black, which is 0.",
        ),
    ],
)
_judge_undo = is_function(
    cases=[((_pad(_numbers(3, 5), 4), 3, 5), _numbers(3, 5))],
    hidden=[((_numbers(4, 8), 4, 8), _numbers(4, 8)), ((_pad(_numbers(9, 2), 8), 9, 2), _numbers(9, 2))],
    slips=[
        (lambda padded, height, width: padded, "`undo` returns the picture with its padding."),
        (
            lambda padded, height, width: padded[:height][:width],
            "`[:height][:width]` cuts the rows twice. Cut both axes in one pair of brackets, with a comma.",
        ),
        (lambda padded, height, width: padded[:height], "the rows are right; the columns are not cut yet."),
        (lambda padded, height, width: padded[:, :width], "the columns are right; the rows are not cut yet."),
        (
            lambda padded, height, width: padded[height:, width:],
            "this keeps the padding and drops the picture: the colon belongs before the number.",
        ),
        (
            lambda padded, height, width: padded[: height - 1, : width - 1],
            "one row and one column are missing: `[:n]` already stops before n.",
        ),
        (
            lambda padded, height, width: padded[:width, :height],
            "height and width are exchanged: rows come first.",
        ),
        (
            lambda padded, height, width: padded[-height:, -width:],
            "you kept the end; the picture is at the start.",
        ),
        (
            lambda padded, height, width: padded[: height - padded.shape[0], : width - padded.shape[1]],
            "where nothing was added, `[:0]` keeps nothing. Say how many rows to keep, not how many to drop.",
        ),
    ],
)


def _judge_pad_and_undo(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return "two functions were expected, `both = (pad, undo)`."
    verdict = _judge_pad(answer[0])
    if verdict is not None:
        return f"`pad`: {verdict}"
    try:
        verdict = _judge_undo(answer[1])
    except NotAttempted:
        return "`pad` is right, well done. `undo` still holds the three dots."
    return None if verdict is None else f"`pad` is right. `undo`: {verdict}"


pad_and_undo = Exercise(
    name="lesson02.pad_and_undo",
    judge=_judge_pad_and_undo,
    hint_text="How many rows are missing to the next multiple? `-height % multiple` says so, and it is 0 if "
    "the height fits already: try `-3 % 4` and `-8 % 4`. `np.pad(image, ((0, rows), (0, columns)))` adds "
    "them.",
    solution_text="def pad(image, multiple):\n"
    "    height, width = image.shape\n"
    "    rows, columns = -height % multiple, -width % multiple  # what is missing\n"
    "    return np.pad(image, ((0, rows), (0, columns)))\n\n\n"
    "def undo(padded, height, width):\n"
    "    return padded[:height, :width]\n\n\n"
    "both = (pad, undo)",
    because="Padding below and on the right leaves every pixel at its place, so the undo is one slice.",
)


# ------------------------------------------------------------------------------------- the pair
def _flip(array: Array) -> Array:
    return array[:, ::-1]


def _shift(array: Array, n_columns: int) -> Array:
    shifted = np.zeros_like(array)
    shifted[:, n_columns:] = array[:, : array.shape[1] - n_columns]
    return shifted


def _both(image: Array, mask: Array, n_columns: int) -> tuple[Array, Array]:
    return _shift(_flip(image), n_columns), _shift(_flip(mask), n_columns)


def _of_each(change: Callable[[Array, int], Array]) -> Callable[[Array, Array, int], tuple[Array, Array]]:
    """The wrong function that changes image and mask alike, in one wrong way."""
    return lambda image, mask, n: (change(image, n), change(mask, n))


_IMAGE, _MASK, _WIDE = _numbers(3, 5), _numbers(3, 5) % 4 == 0, _numbers(2, 6)
flip_and_shift = Exercise(
    name="lesson02.flip_and_shift",
    judge=is_function(
        cases=[((_IMAGE, _MASK, 2), _both(_IMAGE, _MASK, 2)), ((_IMAGE, _MASK, 0), _both(_IMAGE, _MASK, 0))],
        hidden=[((_WIDE, _WIDE == 3, n), _both(_WIDE, _WIDE == 3, n)) for n in (1, 5)],
        slips=[
            (
                lambda image, mask, n: (_shift(_flip(image), n), mask),
                "the image moves and the mask stays: the outline no longer lies on the stone.",
            ),
            (
                lambda image, mask, n: (_shift(_flip(image), n), _flip(mask)),
                "both are mirrored, but only the image is shifted.",
            ),
            (
                lambda image, mask, n: (_shift(_flip(image), n), _shift(mask, n)),
                "both are shifted, but only the image is mirrored.",
            ),
            (lambda image, mask, n: (mask, image), "image and mask are exchanged, and nothing moved."),
            (lambda image, mask, n: _both(mask, image, n), "image and mask come back in the wrong order."),
            (_of_each(lambda array, n: array), "nothing moved: both come back as they were."),
            (_of_each(lambda array, n: _flip(array)), "mirrored, but not shifted."),
            (_of_each(_shift), "shifted, but not mirrored."),
            (
                lambda image, mask, n: (image, _shift(_flip(mask), n)),
                "the mask moves and the image stays: the outline no longer lies on the stone.",
            ),
            (
                lambda image, mask, n: (_flip(image), _shift(_flip(mask), n)),
                "both are mirrored, but only the mask is shifted.",
            ),
            (
                lambda image, mask, n: (_shift(image, n), _shift(_flip(mask), n)),
                "both are shifted, but only the mask is mirrored.",
            ),
            (
                _of_each(lambda array, n: _shift(np.flip(array), n)),
                "this is turned by half a circle: `np.flip` without an axis mirrors rows and columns.",
            ),
            (
                _of_each(lambda array, n: np.roll(_flip(array), n)),
                "`np.roll` without `axis=1` pushes the end of each row into the next one. And what leaves "
                "must not come back: 0 must come in.",
            ),
            (
                _of_each(lambda array, n: _shift(_flip(array).T, n).T),
                "mirrored, but moved down; the columns are the second axis.",
            ),
            (
                _of_each(lambda array, n: np.pad(_flip(array), ((0, 0), (n, 0)))),
                "the picture has become wider: what leaves on the right must be cut off.",
            ),
            (
                _of_each(lambda array, n: _flip(array)[:, n:]),
                "the picture has become narrower, and its left end is gone. Keep the size: 0 comes in on the "
                "left, and what leaves on the right is lost.",
            ),
            (
                _of_each(lambda array, n: _flip(array)[:, : array.shape[1] - n]),
                "what leaves is gone, but nothing has come in: put `n_columns` columns of 0 on the left.",
            ),
            (
                _of_each(lambda array, n: _flip(array)[:, :-n]),
                "what leaves is gone, but nothing has come in: put `n_columns` columns of 0 on the left. And "
                "for `n_columns` 0 mind that `[:, :-0]` is empty.",
            ),
            (
                _of_each(lambda array, n: np.hstack([np.zeros_like(array[:, :n]), _flip(array)[:, :-n]])),
                "right, but for `n_columns` 0: `[:, :-0]` is empty. Say how many columns to keep.",
            ),
            (
                _of_each(lambda array, n: np.roll(_flip(array), n, axis=1)),
                "what leaves on the right comes in again on the left (np.roll does that): a stone would jump "
                "across the body. Black, which is 0, must come in.",
            ),
            (
                _of_each(lambda array, n: _shift(array[::-1], n)),
                "this turns the picture upside down; left and right are the columns, the second axis.",
            ),
            (
                _of_each(lambda array, n: _shift(array.T, n).T),
                "this is moved down, and not mirrored; the columns are the second axis.",
            ),
            (
                _of_each(lambda array, n: _flip(_shift(array, n))),
                "this moved to the left. Did you shift first and mirror then? The order matters.",
            ),
        ],
    ),
    hint_text="Mirror with `array[:, ::-1]`. For the shift begin with zeros, `np.zeros_like(array)`, and "
    "copy into the columns from `n_columns` on. Everything happens to both, so a loop over (image, mask) "
    "saves you from forgetting one.",
    solution_text="def flip_and_shift(image, mask, n_columns):\n"
    "    results = []\n"
    "    for array in (image, mask):\n"
    "        mirrored = array[:, ::-1]\n"
    "        shifted = np.zeros_like(mirrored)  # 0 in the image, False in the mask\n"
    "        shifted[:, n_columns:] = mirrored[:, : mirrored.shape[1] - n_columns]\n"
    "        results.append(shifted)\n"
    "    return results[0], results[1]",
    because="One loop over both, one set of numbers: the mask cannot be forgotten.",
)
