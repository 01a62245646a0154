"""Exercises of lesson 5: Dice from IoU, the score to report, counting sections, pooling over them."""

from __future__ import annotations

from unet_helpers.exercises import Exercise
from unet_helpers.exercises.judges import is_number

__all__ = ["count_stones", "dice_from_iou", "honest_score", "pooled_sensitivity"]

dice_from_iou = Exercise(
    judge=is_number(
        0.75,
        slips={
            0.4286: "you went the other way: this is the IoU of an image with Dice 0.60.",
            0.6: "this is the IoU; Dice is larger, unless both are 0 or 1.",
            1.2: "you forgot to divide by 1 + IoU; no Dice can exceed 1.",
        },
    ),
    hint_text="The formula stands above the exercise. Check: IoU 1 must give Dice 1.",
    solution_text="answer = 2 * 0.60 / (1 + 0.60)  # 0.75\n",
    because="Dice counts the overlap twice, above and below the line, so it is the kinder of the two.",
    name="lesson05.dice_from_iou",
)

honest_score = Exercise(
    judge=is_number(
        0.80,
        slips={
            0.83: "you chose by the test score, so this test set has become a validation set.",
            0.84: "the network was chosen because of this number, so it is too optimistic.",
            0.81: "this is C's; which of the three would you deliver, judging by validation alone?",
            0.82: "this is B's validation score; choose a network first, then its score on unseen images.",
        },
    ),
    hint_text="First choose the network without looking at the test column, then report its test score.",
    solution_text="answer = 0.80  # A is the best on validation; its test score is the honest one\n",
    because="Validation chose the network, so its test images had no say, and their score is a fair one.",
    name="lesson05.honest_score",
)

count_stones = Exercise(
    judge=is_number(
        4,
        tolerance=0,
        slips={
            6: "this counts only pixels that share an edge; pixels that meet at a corner are one, too.",
            5: "one of the corners was overlooked: two of the sections hold together only at a corner.",
            9: "this is the number of stone pixels; pixels that touch form one section.",
            3: "two sections were joined that do not touch, not even at a corner.",
        },
    ),
    hint_text="Go from # to # in all eight directions. What you reach without a dot is one section.",
    solution_text="answer = 4  # upper left (3 pixels), right (2), lower left (2), lower right (2)\n",
    because="Pixels that touch, at an edge or at a corner, are one section.",
    name="lesson05.count_stones",
)

pooled_sensitivity = Exercise(
    judge=is_number(
        0.4,
        slips={
            0.625: "this is the mean of the two images; over sections, the image with four weighs more.",
            0.25: "this is image 2 alone.",
            0.6: "this is the share of the missed sections.",
            2.0: "this is the number of found sections; divide by all of them.",
        },
    ),
    hint_text="Put the sections of both images into one bag. How many are in it, and how many were found?",
    solution_text="answer = (1 + 1) / (1 + 4)  # 2 of 5 sections\n",
    because="Every section counts once, whichever image it lies in.",
    name="lesson05.pooled_sensitivity",
)
