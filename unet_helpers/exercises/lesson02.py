"""Exercises of lesson 2: aspect ratio, the scaling rule, the shape of a batch, a shifted mask."""

from __future__ import annotations

from typing import Any

from unet_helpers.exercises import Exercise
from unet_helpers.exercises.judges import is_number

__all__ = ["batch_shape", "new_height", "normalised_value", "shifted_dice"]

BATCH = (16, 1, 128, 128)
SHAPE_SLIPS = {
    (16, 128, 128): "the channel axis is missing; a grey image has one channel.",
    (16, 128, 128, 1): "PyTorch wants the channels before height and width, not at the end.",
    (1, 16, 128, 128): "this is one image with 16 channels; the batch comes first.",
    (16, 3, 128, 128): "three channels belong to a colour photograph; these patches are grey.",
    (1, 128, 128): "this is one patch; a batch of 16 needs an axis in front.",
    (128, 128): "this is one patch without a channel; a batch needs four axes.",
    (128, 128, 1, 16): "the order is turned round: batch, channels, height, width.",
}


def _judge_batch_shape(answer: Any) -> str | None:
    if isinstance(answer, str) or not hasattr(answer, "__len__"):
        return f"a tuple of whole numbers was expected, got {type(answer).__name__}. Write (a, b, ...)."
    shape = tuple(answer)
    if shape == BATCH:
        return None
    if shape in SHAPE_SLIPS:
        return SHAPE_SLIPS[shape]
    if len(shape) != len(BATCH):
        return f"a batch of images has four axes, yours has {len(shape)}."
    return "four axes are right, but at least one number or its place is not."


new_height = Exercise(
    judge=is_number(
        209.5,
        tolerance=0.51,
        slips={
            256: "this stretches the image to a square; the ratio shall be kept.",
            312.8: "the longer side is the width; it must become 256, not the height.",
            313: "the longer side is the width; it must become 256, not the height.",
            185: "both sides are multiplied by the same factor, not shortened by the same number of pixels.",
            391: "this is the old width.",
            0.6547: "this is the factor; multiply the height by it.",
        },
    ),
    hint_text="By which factor does the longer side shrink, from 391 to 256? The other side shrinks by "
    "the same.",
    solution_text="from unet_helpers.transforms import shrink_size\n\n"
    "answer = round(320 * 256 / 391)  # 209.5, rounded to whole pixels\n"
    "assert answer == shrink_size((320, 391), 256)[0]\n",
)

normalised_value = Exercise(
    judge=is_number(
        0.6,
        tolerance=0.005,
        slips={
            0.8: "this maps 0..255 to 0..1; our rule reaches from -1 to 1.",
            1.6: "divided rightly; now take 1 off.",
            76.5: "shifted by 127.5, but not divided by it.",
            -0.2: "you divided by 255 and took 1 off; the divisor is half of 255.",
            203 / 127.5: "first divide, then take 1 off.",
        },
    ),
    hint_text="Put the grey value into value / 127.5 - 1. White (255) must come out as 1, black (0) as -1.",
    solution_text="answer = 204 / 127.5 - 1  # 1.6 - 1\n",
)

batch_shape = Exercise(
    judge=_judge_batch_shape,
    hint_text="Four axes, in this order: how many images, how many channels each, height, width.",
    solution_text="answer = (16, 1, 128, 128)  # batch, channels, height, width\n",
)

shifted_dice = Exercise(
    judge=is_number(
        0.75,
        tolerance=0.005,
        slips={
            0.6: "this is the intersection over union; Dice is twice the common pixels over both areas.",
            0.375: "common pixels over both areas: the factor 2 is missing.",
            48: "this is the number of common pixels; the fraction is still to come.",
            0.25: "this is the share that is lost on one side.",
            0.875: "this would be a shift of one pixel.",
            0.5625: "this is a shift in both directions, sideways and down.",
        },
    ),
    hint_text="The two squares share 6 columns of 8 pixels. Each square has 64 pixels.",
    solution_text="answer = 2 * (6 * 8) / (64 + 64)  # 96 / 128: a quarter is gone, for 2 pixels\n",
)
