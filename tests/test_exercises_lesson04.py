"""The exercises of lesson 4: right answers in many forms, and every slip with its own sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils import clip_grad_norm_

import unet_helpers as uh
from unet_helpers.engine.devices import fast_precision
from unet_helpers.exercises import Exercise, lesson04, loop
from unet_helpers.exercises.pretend_gpu import PretendGPU, place_of, put
from unet_helpers.transforms import normalise, to_device, to_tensor

NAMES = {
    "torch": torch,
    "np": np,
    "uh": uh,
    "fast_precision": fast_precision,
    "normalise": normalise,
    "to_tensor": to_tensor,
    "to_device": to_device,
    "clip_grad_norm_": clip_grad_norm_,
}
STEP, VALIDATE = lesson04.my_train_step.solution_text, lesson04.my_validate.solution_text


def verdict(exercise: Exercise, answer: object, capsys: pytest.CaptureFixture[str]) -> str:
    exercise.check(answer)
    return capsys.readouterr().out.strip()


def made(code: str, name: str) -> Callable[..., Any]:
    names: dict[str, Any] = dict(NAMES)
    exec(code, names)
    function: Callable[..., Any] = names[name]
    return function


def changed(code: str, changes: dict[str, str]) -> str:
    """The code with some lines replaced; each must be there."""
    for old, new in changes.items():
        assert old in code, old
        code = code.replace(old, new)
    return code


def step(changes: dict[str, str]) -> Callable[..., Any]:
    return made(changed(STEP, changes), "my_train_step")


def validation(changes: dict[str, str]) -> Callable[..., Any]:
    return made(changed(VALIDATE, changes), "my_validate")


ALL = [getattr(lesson04, name) for name in lesson04.__all__]


@pytest.mark.parametrize("exercise", ALL, ids=lesson04.__all__)
def test_dots_are_not_attempted(exercise: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(exercise, ..., capsys).startswith("⏳ Not attempted yet")


@pytest.mark.parametrize("name", lesson04.__all__)
def test_the_solution_is_accepted(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    exercise, names = getattr(lesson04, name), dict(NAMES)
    exec(exercise.solution_text, names)
    answer: Any = names.get(name, names.get("answer"))
    assert verdict(exercise, answer, capsys) == f"✅ Correct. {exercise.because}"
    assert exercise.name == f"lesson04.{name}"


STUB_STEP = """
def my_train_step(model, images, masks, optimiser, scaler, schedule, device):
    ...
    with fast_precision(device):
        logits = ...
    loss = ...
    ...
    return loss.detach()
"""
STUB_VALIDATE = """
def my_validate(model, images, masks, device):
    scores = []
    with ...:
        pass
    return ...
"""


def test_stubs_are_not_attempted(capsys: pytest.CaptureFixture[str]) -> None:
    for exercise, code in ((lesson04.my_train_step, STUB_STEP), (lesson04.my_validate, STUB_VALIDATE)):
        answer = made(code, exercise.name.partition(".")[2])
        assert verdict(exercise, answer, capsys).startswith("⏳")
    half = step({"    loss = uh.bce_dice_loss(logits, masks)": "    loss = ..."})
    assert verdict(lesson04.my_train_step, half, capsys).startswith("⏳")


@pytest.mark.parametrize(
    "changes",
    [
        {"normalise(images.to(device))": "normalise(images).to(device)"},
        {"images.to(device)": "to_device(images, device)"},
        {"masks.to(device)": "masks.to(device=device, dtype=torch.float32)"},
        {"optimiser.zero_grad()": "model.zero_grad()"},
        {
            "optimiser.zero_grad()": "pass",
            "    schedule.step()": "    schedule.step()\n    optimiser.zero_grad()",
        },
        {"optimiser.zero_grad()": "pass", "    scaler.scale": "    optimiser.zero_grad()\n    scaler.scale"},
        {"    loss = uh": "        loss = uh"},  # inside of `with`, as PyTorch's own recipe has it
        {"loss.detach()": "loss.item()"},
        {"scaler.unscale_(optimiser)\n": "scaler.unscale_(optimiser)\n    model.train()\n"},
    ],
)
def test_other_right_steps(changes: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(lesson04.my_train_step, step(changes), capsys).startswith("✅")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"    optimiser.zero_grad()\n": ""}, "gradients pile up"),
        (
            {
                "    optimiser.zero_grad()\n": "",
                "    scaler.unscale_": "    optimiser.zero_grad()\n    scaler.unscale_",
            },
            "must not come between them",
        ),
        (
            {
                "    optimiser.zero_grad()\n": "",
                "    scaler.step": "    optimiser.zero_grad(False)\n    scaler.step",
            },
            "no weight could move",
        ),
        ({"images.to(device)": "images"}, "different devices"),
        ({"masks.to(device)": "masks"}, "different devices"),
        ({"images.to(device)": "images.cuda()"}, "fails wherever there is no GPU"),
        ({"normalise(images.to(device))": "images.to(device)"}, "whole numbers"),
        ({"normalise(images.to(device))": "images.to(device).float()"}, "greys up to 255"),
        ({"normalise(images.to(device))": "normalise(normalise(images.to(device)))"}, "called twice"),
        ({"with fast_precision(device):": "if True:"}, "ran in 32 bits"),
        (
            {"        logits = model(images)": "        logits = model(images)\n    logits = model(images)"},
            "more than once",
        ),
        ({"    optimiser.zero_grad()\n": "    optimiser.zero_grad()\n    model.eval()\n"}, "evaluation mode"),
        ({"model(images)": "masks.float().requires_grad_()"}, "never asked"),
        ({"    scaler.scale(loss).backward()\n": ""}, "needs a `.backward()`"),
        (
            {
                "    scaler.scale(loss).backward()\n    scaler.unscale_(optimiser)\n": "",
                "scaler.step(optimiser)": "optimiser.step()",
                "    scaler.update()\n": "",
            },
            "needs a `.backward()`",
        ),
        ({"scaler.scale(loss).backward()": "loss.backward()"}, "from the plain loss"),
        (
            {"    loss = uh": "        loss = uh", "    scaler.scale(loss)": "        scaler.scale(loss)"},
            "leave it before",
        ),
        (
            {"scaler.scale(loss).backward()": "scaler.scale(loss).backward(); scaler.scale(loss).backward()"},
            "backward is called twice",
        ),
        ({"    scaler.unscale_(optimiser)\n": ""}, "`scaler.unscale_(optimiser)` is missing"),
        ({"scaler.scale(loss).backward()": "scaler.scale(loss)"}, "needs a `.backward()`"),
        ({"scaler.update()": "scaler.update(optimiser)"}, "takes no argument"),
        (
            {
                "    scaler.unscale_(optimiser)\n": "",
                "    scaler.step": "    scaler.unscale_(optimiser)\n    scaler.step",
            },
            "before you unscale",
        ),
        ({"    clip_grad_norm_(model.parameters(), 5.0)\n": ""}, "was not clipped: the limit is 5"),
        ({"5.0": "1.0"}, "length 1; 5 is right"),
        ({"clip_grad_norm_": "torch.nn.utils.clip_grad_value_"}, "number by number"),
        ({"scaler.step(optimiser)": "optimiser.step()"}, "you call `optimiser.step()` yourself"),
        ({"    scaler.step(optimiser)\n": ""}, "no weight has moved"),
        ({"scaler.step(optimiser)": "scaler.step(optimiser); optimiser.step()"}, "moves twice"),
        ({"    scaler.update()\n": ""}, "`scaler.update()` is missing"),
        ({"    schedule.step()\n": ""}, "learning rate never changes"),
        ({"schedule.step()": "schedule.step(); schedule.step()"}, "moves on twice"),
        (
            {"    schedule.step()\n": "", "    scaler.step": "    schedule.step()\n    scaler.step"},
            "comes after the step of the optimiser",
        ),
        ({"loss.detach()": "loss"}, "holds on to the whole computation"),
        ({"loss.detach()": "scaler.scale(loss).detach()"}, "scaled loss"),
        ({"loss.detach()": "logits.detach()"}, "one number"),
        ({"    return loss.detach()\n": ""}, "Is `return` there?"),
        ({"uh.bce_dice_loss(logits, masks)": "uh.bce_loss(logits, masks)"}, "cross-entropy alone"),
        ({"uh.bce_dice_loss(logits, masks)": "uh.dice_loss(logits, masks)"}, "Dice loss alone"),
        (
            {"uh.bce_dice_loss(logits, masks)": "uh.bce_dice_loss(logits.sigmoid(), masks)"},
            "takes logits as they are",
        ),
        ({"uh.bce_dice_loss(logits, masks)": "uh.bce_dice_loss(logits, ~masks)"}, "Which loss is it"),
        ({"uh.bce_dice_loss(logits, masks)": "uh.bce_dice_loss(logits.detach(), masks)"}, "no `no_grad`"),
        ({"uh.bce_dice_loss(logits, masks)": "uh.bce_dice_loss(logits, masks[0])"}, "same shape"),
        ({"scaler.unscale_(optimiser)": "scaler.unscale_()"}, "want the optimiser"),
        ({"schedule, device)": "schedule)"}, "but it takes 6"),
    ],
)
def test_each_slip_of_a_step(changes: dict[str, str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = verdict(lesson04.my_train_step, step(changes), capsys)
    assert said.startswith("❌ Not yet:") and words in said


def test_a_step_that_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    said = verdict(lesson04.my_train_step, lambda m, i, k, o, s, c, d: torch.tensor(1.0), capsys)
    assert "never asked" in said
    assert "without brackets" in verdict(lesson04.my_train_step, 3, capsys)


@pytest.mark.parametrize(
    "changes",
    [
        {"torch.no_grad()": "torch.inference_mode()"},
        {"logits[0, 0] > 0": "logits[0, 0].sigmoid() > 0.5"},
        {"np.mean(scores)": "sum(scores) / len(scores)"},
        {"np.mean(scores)": "float(torch.tensor(scores).mean())"},
        {
            "                logits = model(to_tensor(image)[None].to(device))": "                logits = model(to_tensor(image).to(device)[None])"  # noqa: E501
        },
        {"(logits[0, 0] > 0).cpu().numpy()": "logits.cpu()[0, 0].numpy() > 0"},
    ],
)
def test_other_right_validations(changes: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(lesson04.my_validate, validation(changes), capsys).startswith("✅")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"    model.eval()\n": ""}, "still in training mode"),
        ({"with torch.no_grad():": "if True:"}, "gradients are recorded"),
        ({"    model.train()\n": ""}, "stays in evaluation mode"),
        ({".to(device)": ""}, "different devices"),
        ({".cpu()": ""}, "works on the CPU alone"),
        ({"[None]": ""}, "four axes"),
        ({"to_tensor(image)[None]": "torch.from_numpy(image)[None, None]"}, "whole numbers"),
        ({"logits[0, 0] > 0": "logits[0, 0] > 0.5"}, "logit of 0"),
        ({"logits[0, 0] > 0": "logits[0, 0] < 0"}, "above 0 is stone"),
        ({"logits[0, 0] > 0": "logits > 0"}, "more axes than the mask"),
        ({"(logits[0, 0] > 0)": "logits[0, 0].detach()"}, "masks, arrays of True and False"),
        ({"if mask.any():": "if True:"}, "count as 0"),
        ({"np.mean(scores)": "float('nan')"}, "NaN"),
        ({"                scores.append(uh.dice(found, mask))\n": ""}, "Was any Dice put into `scores`?"),
        ({"scores.append(uh.dice(found, mask))": "scores = uh.dice(found, mask)"}, "into the list"),
        ({"to_tensor(image)": "image"}, "only tensors have `.to`"),
        (
            {
                "if mask.any():": "if True:",
                "uh.dice(found, mask)": "uh.dice(found, mask) if mask.any() else 1.0",
            },
            "count as 1",
        ),
        ({"uh.dice(": "uh.iou("}, "another score"),
        ({"np.mean(scores)": "sum(scores)"}, "divide it"),
        ({"np.mean(scores)": "scores"}, "one number was expected"),
        ({"np.mean(scores)": "scores[-1]"}, "last slice alone"),
        ({"np.mean(scores)": "scores[0]"}, "first slice alone"),
        ({"np.mean(scores)": "max(scores)"}, "best Dice"),
        ({"np.mean(scores)": "0.5"}, "not the mean Dice"),
        ({"    return np.mean(scores)\n": ""}, "Is `return` there?"),
        ({"torch.no_grad()": "torch.no_grad"}, "with brackets"),
        ({"masks, device": "masks"}, "but it takes 3"),
    ],
)
def test_each_slip_of_a_validation(
    changes: dict[str, str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = verdict(lesson04.my_validate, validation(changes), capsys)
    assert said.startswith("❌ Not yet:") and words in said


def test_a_validation_of_all_in_one_heap(capsys: pytest.CaptureFixture[str]) -> None:
    code = changed(
        VALIDATE,
        {
            "            if mask.any():\n": "            if True:\n",
            "scores.append(uh.dice(found, mask))": "scores.append(found)",
            "np.mean(scores)": "uh.pooled_dice(scores, masks)",
        },
    )
    assert "one heap" in verdict(lesson04.my_validate, made(code, "my_validate"), capsys)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("...", "⏳"),
        ("1 - 2 * (target * p).sum() / (target + p).sum()", "✅"),
        ("2 * (p * target).sum() / (p.sum() + target.sum())", "Dice itself"),
        ("1 - (p * target).sum() / (p.sum() + target.sum())", "without the 2"),
        ("1 - (p * target).sum() / (p + target - p * target).sum()", "another score"),
        ("1 - 2 * (p * target).sum() / ((p**2).sum() + (target**2).sum())", "plain sums"),
        ("1 - 2 * (p * target).mean() / (p.sum() + target.sum())", "sums in both places"),
        ("1 - 2 * ((p > 0.5) * target).sum() / ((p > 0.5).sum() + target.sum())", "one half first"),
        ("1 - 2 * (p.sigmoid() * target).sum() / (p.sigmoid().sum() + target.sum())", "once more"),
        ("1 - 2 * p.sum() / (p.sum() + target.sum())", "inside the stone"),
        ("1 - 2 * (p * target).sum() / p.sum() + target.sum()", "brackets"),
        ("-2 * (p * target).sum() / (p.sum() + target.sum())", "*one* minus"),
        ("(p - target).abs().mean()", "no overlap"),
        ("0.349", "❌"),
        ("1 - 2 * (p * target) / (p + target)", "a number was expected"),
    ],
)
def test_dice_losses(expression: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = f"def soft_dice_loss(p, target):\n    return {expression}\n"
    assert words in verdict(lesson04.soft_dice_loss, made(code, "soft_dice_loss"), capsys)


def test_the_dice_loss_is_the_packages() -> None:
    p, target = torch.rand(1, 1, 9, 9), torch.rand(1, 1, 9, 9) < 0.3
    own = made(lesson04.soft_dice_loss.solution_text, "soft_dice_loss")(p, target.float())
    assert torch.isclose(own, uh.dice_loss(p.logit(), target), atol=1e-4)


def test_the_solutions_are_the_twins_that_the_lesson_runs() -> None:
    """Same weights, loss and score, bit for bit, on a real network."""
    images = torch.randint(0, 256, (2, 1, 32, 32), dtype=torch.uint8)
    masks = torch.rand(2, 1, 32, 32) < 0.2
    results = []
    for do_step, score in (
        (loop.train_step, loop.validate),
        (made(STEP, "my_train_step"), made(VALIDATE, "my_validate")),
    ):
        torch.manual_seed(0)
        model = uh.UNet(base_channels=2)
        optimiser = torch.optim.AdamW(model.parameters())
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1.0)
        scaler, cpu = torch.amp.GradScaler("cpu", enabled=False), torch.device("cpu")
        loss = do_step(model, images, masks, optimiser, scaler, schedule, cpu)
        dice = score(model, list(images[:, 0].numpy()), list(masks[:, 0].numpy()), cpu)
        results.append((loss.item(), dice, next(model.parameters()).sum().item()))
    assert results[0] == results[1]


def test_whose_function_is_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UNET_HOME", str(tmp_path))
    own_step, own_validate = made(STEP, "my_train_step"), made(VALIDATE, "my_validate")
    assert lesson04.chosen(own_step, own_validate) == (own_step, own_validate)
    assert capsys.readouterr().out == "training step: yours; validation: yours\n"
    stub, wrong = made(STUB_STEP, "my_train_step"), validation({"    model.eval()\n": ""})
    assert lesson04.chosen(stub, wrong) == (loop.train_step, loop.validate)
    said = capsys.readouterr().out
    assert "training step: the package's; validation: the package's" in said
    assert not lesson04.my_train_step.solved  # nobody has pressed check


def test_a_pretended_gpu_keeps_things_apart() -> None:
    layer, image = torch.nn.Linear(2, 2), put(torch.ones(1, 2), "cpu")
    with PretendGPU(layer):
        with pytest.raises(RuntimeError, match="two devices, cuda:0 and cpu"):
            layer(image)
        there = image.to(torch.device("cpu"))
        assert place_of(there) == place_of(layer(there)) == "gpu" and place_of(image) == "cpu"
        assert place_of(image.to(torch.float64)) == "cpu"  # another dtype is not another device
        with pytest.raises(TypeError, match=re.escape("Use Tensor.cpu()")):
            layer(there).detach().numpy()
        assert layer(there).detach().cpu().numpy().shape == (1, 2)
    layer(image)  # outside nothing is pretended
