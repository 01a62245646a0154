"""What is wrong with a training step: each slip has a sentence of its own, the first one in order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from unet_helpers.exercises import NotAttempted, loop
from unet_helpers.exercises.calling import kind_of, number_of
from unet_helpers.exercises.watched_step import SCALE, Notes, known_losses, take_steps

__all__ = ["judge_step"]

SMALL, LARGE = 1.0, 60.0  # gains whose gradients are below and above the limit

NO_BACKWARD = "no gradient was computed: the scaled loss needs a `.backward()`."
NO_UNSCALE = "`scaler.unscale_(optimiser)` is missing: clipping needs the gradient in its own size."
PLAIN_LOSS = (
    "backward ran from the plain loss: scale it first, `scaler.scale(loss).backward()`. Else small gradients "
    "become 0 in 16 bits."
)
WHOLE_NUMBERS = "the network got whole numbers, 0 to 255: `normalise` makes the floats it needs."
ADVICE = {  # what a message of PyTorch means here
    "found at least two devices": "two things that meet lie on different devices: send images *and* masks "
    "there with `.to(device)`, and keep what it returns.",
    "expected scalar type": WHOLE_NUMBERS,
    "Input type (": WHOLE_NUMBERS,
    "should be the same": WHOLE_NUMBERS,
    "No inf checks were recorded": "the scaler found no gradient to look at: backward must come before "
    "unscale and step, and zero_grad must not come between them.",
    "unscale_() has already been called": "the scaler was not told that the step is over "
    "(`scaler.update()`), or unscale was called twice.",
    "unscale_() is being called after step()": "unscale comes before the step: clipping needs it there.",
    "step() has already been called": "`scaler.step` is called twice, or `scaler.update()` is missing.",
    "backward through the graph a second time": "backward is called twice on the same loss; once is enough.",
    "does not require grad": "the loss does not remember how it was computed: no `no_grad`, `detach` or "
    "`item` before backward.",
    "target must have the logits' shape": "logits and masks must have the same shape, as they came.",
    "missing 1 required positional argument: 'optimizer'": "`unscale_` and `step` of the scaler want the "
    "optimiser as their argument.",
    "grad can be implicitly created only for scalar": "backward needs one number, the loss.",
    "'Optimiser' object has no attribute 'device'": "`scaler.update()` takes no argument.",
    "`.cuda()` needs a GPU": "`.cuda()` fails wherever there is no GPU; write `.to(device)`.",
}


def judge_step(answer: Any) -> str | None:
    """None if a function does what `loop.train_step` does, else one sentence about the first slip."""
    if not callable(answer):
        return f"a function was expected, got {kind_of(answer)}. Give its name alone, without brackets."
    for gain in (SMALL, LARGE):
        taken = take_steps(answer, gain)
        if any(notes.outcome.dots for notes in taken):
            raise NotAttempted
        right = take_steps(loop.train_step, gain)
        for notes, twin in zip(taken, right, strict=False):
            problem = notes.outcome.problem
            if problem:
                return problem if "takes" in problem else _explained(notes, problem)
            verdict = next(_slips(notes, twin, gain), None)
            if verdict:
                return verdict
    return None


def _explained(notes: Notes, problem: str) -> str:
    if "No inf checks" in problem and not notes.count("forward"):
        return next(_forward(notes))
    if "No inf checks" in problem and not notes.count("backward"):
        return NO_BACKWARD
    if "_scale is None" in problem:  # nobody has scaled a loss
        return PLAIN_LOSS if notes.count("backward") else NO_BACKWARD
    for words, sentence in ADVICE.items():
        if words in problem:
            return f"{sentence} In detail: {problem}"
    return problem


def _slips(notes: Notes, twin: Notes, gain: float) -> Iterator[str]:
    """Sentences about one call, in the order of the loop."""
    yield from _forward(notes)
    yield from _backward(notes, twin, gain)
    yield from _old_gradients(notes)
    yield from _clipping(notes, twin)
    yield from _endings(notes)
    yield from _result(notes.outcome.result, twin, gain)
    if not torch.allclose(notes.weights, twin.weights, atol=1e-5):
        yield "all the parts are there, but the weights end elsewhere than they should. Compare line by line."


def _forward(notes: Notes) -> Iterator[str]:
    if not notes.count("forward"):
        yield "the network was never asked: `model(images)`."
    elif notes.count("forward") > 1:
        yield "the network is asked more than once a step, and each time costs as much as the first."
    elif not notes.training:
        yield "the network was in evaluation mode: that belongs into the validation."
    elif not notes.sixteen_bits:
        yield "the forward pass ran in 32 bits: it belongs inside `with fast_precision(device):`."
    elif notes.inputs[1] > 1.5:
        yield "the network got greys up to 255: it expects them between -1 and 1, see `normalise`."
    elif notes.inputs[1] < -0.9:
        yield "the images are nearly black, as if `normalise` had been called twice."


def _backward(notes: Notes, twin: Notes, gain: float) -> Iterator[str]:
    if not notes.count("backward"):
        yield NO_BACKWARD
    elif notes.count("backward") > 1:
        yield "backward ran twice: once a step is enough."
    elif notes.backward_in_sixteen:
        yield "backward ran inside of the `with` block: leave it before (the indentation decides)."
    elif _near(notes.fresh * SCALE, twin.fresh):
        yield PLAIN_LOSS
    elif not _near(notes.fresh, twin.fresh):
        yield _wrong_loss(notes.outcome.result, gain)


def _wrong_loss(result: Any, gain: float) -> str:
    value, known = number_of(result), known_losses(gain)
    if value is not None and _near(value, known["BCE"]):
        return "this is the cross-entropy alone; the sum with Dice is `bce_dice_loss`."
    if value is not None and _near(value, known["Dice"]):
        return "this is the Dice loss alone; the sum with cross-entropy is `bce_dice_loss`."
    if value is not None and _near(value, known["sigmoid"]):
        return "the loss takes logits as they are; you send them through a sigmoid first."
    return "the gradient is not the one of `bce_dice_loss(logits, masks)`. Which loss is it, and of what?"


def _old_gradients(notes: Notes) -> Iterator[str]:
    if notes.piled:
        yield (
            "gradients pile up: backward *adds* to what is there, and the last step's gradient still was. "
            "`optimiser.zero_grad()` forgets it."
        )
    elif notes.count("optimiser.step") and notes.norm == 0:
        yield (
            "zero_grad stands between backward and the step: it erased the fresh gradient, and no weight "
            "could move."
        )


def _clipping(notes: Notes, twin: Notes) -> Iterator[str]:
    raw = notes.fresh / SCALE  # the gradient's own length
    if not notes.count("optimiser.step"):
        yield "no weight has moved: `scaler.step(optimiser)` is missing."
    elif not notes.count("scaler.step"):
        yield (
            "you call `optimiser.step()` yourself. `scaler.step(optimiser)` does so too, but leaves a step "
            "out whose gradient has overflowed."
        )
    elif notes.count("optimiser.step") > 1:
        yield "the optimiser moves twice in one step."
    elif not notes.count("unscale"):
        yield NO_UNSCALE
    elif _near(notes.norm * SCALE, loop.LIMIT) and raw < loop.LIMIT:
        yield "you clip before you unscale: the scaled gradient is 1,024 times as long, and the limit cut it."
    elif _near(notes.norm * SCALE, loop.LIMIT):
        yield "you clip before you unscale, so the limit was held against the scaled gradient."
    elif notes.changed:
        yield (
            "you clip number by number, which changes the gradient's direction; `clip_grad_norm_` only "
            "makes it shorter."
        )
    elif not _near(notes.norm, twin.norm):
        same = _near(notes.norm, raw)
        yield (
            f"the gradient was {raw:.3g} long and was not clipped: the limit is 5."
            if same
            else f"the optimiser followed a gradient of length {notes.norm:.3g}; {twin.norm:.3g} is right."
        )


def _endings(notes: Notes) -> Iterator[str]:
    if not notes.count("update"):
        yield "`scaler.update()` is missing: the scaler does not know that the step is over."
    elif not notes.before("scaler.step", "update"):
        yield "`scaler.update()` comes after `scaler.step(optimiser)`."
    elif not notes.count("schedule"):
        yield "the learning rate never changes: `schedule.step()` is missing."
    elif notes.count("schedule") > 1:
        yield "the schedule moves on twice in one step."
    elif not notes.before("optimiser.step", "schedule"):
        yield "`schedule.step()` comes after the step of the optimiser: else the first rate is never used."


def _result(result: Any, twin: Notes, gain: float) -> Iterator[str]:
    value, right = number_of(result), number_of(twin.outcome.result)
    assert right is not None
    if result is None:
        yield "your function returns None. Is `return` there?"
    elif value is None:
        yield f"the loss was expected, one number, got {kind_of(result)}."
    elif isinstance(result, Tensor) and result.requires_grad:
        yield (
            "the loss that you return still holds on to the whole computation, and its memory with it: "
            "`.detach()` lets go."
        )
    elif _near(value, SCALE * right):
        yield "you return the scaled loss; return the loss itself."
    elif not _near(value, right):
        yield "the step is right, but what you return is not its loss."


def _near(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=5e-3)
