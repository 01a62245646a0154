"""Exercises of lesson 4: the Dice loss, the laziest answer, the order of a step, a bug to recognise."""

from __future__ import annotations

from typing import Any

from unet_helpers.exercises import Exercise
from unet_helpers.exercises.calling import kind_of
from unet_helpers.exercises.judges import is_choice, is_number

__all__ = ["best_constant_logit", "dice_loss_by_hand", "step_order", "which_exhibit"]

STEP_NAMES = ("forward", "loss", "zero_grad", "backward", "step")

dice_loss_by_hand = Exercise(
    judge=is_number(
        0.25,
        slips={
            0.75: "this is the Dice coefficient; the loss is one minus it.",
            0.4: "this is one minus the IoU; Dice counts the overlap twice, above and below the line.",
            0.6: "this is the IoU; the question asks for the Dice loss.",
            0.625: "Dice has a factor 2 above the line: the overlap belongs to both masks.",
        },
    ),
    hint_text="Dice = 2 * overlap / (pixels of the prediction + pixels of the truth). And the loss?",
    solution_text="answer = 1 - 2 * 3 / (4 + 4)  # overlap 3, prediction 4, truth 4: Dice 0.75\n",
    because="Twice the overlap, 6, over both areas, 8, is a Dice of 0.75; the loss is what is missing to 1.",
    name="lesson04.dice_loss_by_hand",
)

best_constant_logit = Exercise(
    judge=is_number(
        -6.907,
        tolerance=0.01,
        slips={
            0.001: "this is the best probability; the question asks for its logit.",
            6.907: "the sign: this logit means 99.9 % stone.",
            -3.0: (0.01, "this is the logarithm to the base 10; the sigmoid is made with the natural one."),
        },
    ),
    hint_text="BCE is smallest when the probability equals the share of stone pixels. "
    "The logit of a probability p is log(p / (1 - p)).",
    solution_text="import math\n\nanswer = math.log(0.001 / 0.999)  # -6.9: the sigmoid of it is 0.001\n",
    because="Its sigmoid is 0.001, the share of stone: no other constant answer has a smaller BCE.",
    name="lesson04.best_constant_logit",
)


def _judge_order(answer: Any) -> str | None:
    if isinstance(answer, set | frozenset):
        return "a set has no order: write the names into a list, in square brackets."
    if not isinstance(answer, list | tuple):
        return f"a list of the five names was expected, got {kind_of(answer)}."
    if sorted(map(str, answer)) != sorted(STEP_NAMES):
        return f"a list with each of these five names once was expected: {', '.join(STEP_NAMES)}."
    place = {name: position for position, name in enumerate(answer)}
    if place["loss"] < place["forward"]:
        return "the loss compares the network's answer with the mask, so the answer must come first."
    if place["backward"] < place["loss"]:
        return "backward starts at the loss, which does not exist yet."
    if place["step"] < place["backward"]:
        return "the step follows the gradients, and backward has not computed them yet."
    if place["backward"] < place["zero_grad"] < place["step"]:
        return "zero_grad erases the new gradients before the step can follow them: no weight would move."
    return None


step_order = Exercise(
    judge=_judge_order,
    hint_text="Who needs whose result? The loss needs the logits, backward needs the loss, the step needs "
    "fresh gradients. zero_grad must not stand between the last two.",
    solution_text='answer = ["forward", "loss", "zero_grad", "backward", "step"]  # or zero_grad first\n',
    because="Each line finds what it needs: the loss an answer, backward a loss, the step fresh gradients.",
    name="lesson04.step_order",
)

which_exhibit = Exercise(
    judge=is_choice(
        1,
        slips={
            2: "with masks of 255 the loss would fall below 0, and these masks hold 0 and 1.",
            3: "eval is called; and forgetting it changes predictions, not a floor under the loss.",
            4: "a metric on logits leaves 0 to 1, and theirs stays inside; nor does a metric touch the loss.",
        },
    ),
    hint_text="Which bug puts a floor under the loss that no network can break through?",
    solution_text="answer = 1  # two sigmoids: background costs log(2) = 0.69. Probe: (logits < 0).any()\n",
    because="After two sigmoids the background still costs log(2) = 0.69, and nothing can bring it lower.",
    name="lesson04.which_exhibit",
)
