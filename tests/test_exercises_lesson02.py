"""Lesson 2's exercises: the right answer, the solution's code, and the mistakes that are recognised."""

import numpy as np
import pytest
import torch

from unet_helpers.exercises import Exercise, lesson02
from unet_helpers.metrics import dice, iou
from unet_helpers.transforms import PatchSampler, normalise

ALL = [getattr(lesson02, name) for name in lesson02.__all__]


def verdict(exercise: Exercise, answer: object, capsys: pytest.CaptureFixture[str]) -> str:
    exercise.check(answer)
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize("exercise", ALL, ids=lesson02.__all__)
def test_dots_are_not_attempted(exercise: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(exercise, ..., capsys).startswith("⏳ Not attempted yet")


@pytest.mark.parametrize("exercise", ALL, ids=lesson02.__all__)
def test_the_solution_runs_and_is_accepted(exercise: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    exec(exercise.solution_text, names)
    assert verdict(exercise, names["answer"], capsys) == "✅ Correct."
    exercise.hint()
    assert str(names["answer"]) not in capsys.readouterr().out


def test_the_height_may_be_exact_or_rounded_to_a_whole_number(capsys: pytest.CaptureFixture[str]) -> None:
    for height in (320 * 256 / 391, 209, 210):
        assert verdict(lesson02.new_height, height, capsys) == "✅ Correct."
    for height in (208, 211):
        assert "❌" in verdict(lesson02.new_height, height, capsys)


def test_the_value_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    value = normalise(np.array([[204]], np.uint8))[0, 0]
    assert verdict(lesson02.normalised_value, value, capsys) == "✅ Correct."


def test_the_shape_is_that_of_a_batch_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    mask = np.zeros((130, 140), bool)
    mask[50:53, 60:63] = True
    images, _, _ = PatchSampler([mask.astype(np.uint8)], [mask], patch_size=128).sample(
        16, torch.Generator().manual_seed(0)
    )
    assert verdict(lesson02.batch_shape, images.shape, capsys) == "✅ Correct."
    assert verdict(lesson02.batch_shape, [16, 1, 128, 128], capsys) == "✅ Correct."


def test_the_dice_is_that_of_two_squares(capsys: pytest.CaptureFixture[str]) -> None:
    stone = np.zeros((20, 20), bool)
    stone[6:14, 6:14] = True
    shifted = np.roll(stone, 2, axis=1)
    assert verdict(lesson02.shifted_dice, dice(shifted, stone), capsys) == "✅ Correct."
    assert "intersection over union" in verdict(lesson02.shifted_dice, iou(shifted, stone), capsys)
    assert "one pixel" in verdict(lesson02.shifted_dice, dice(np.roll(stone, 1, axis=1), stone), capsys)
    both = np.roll(stone, (2, 2), axis=(0, 1))
    assert "both directions" in verdict(lesson02.shifted_dice, dice(both, stone), capsys)


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("new_height", 256, "square"),
        ("new_height", round(256 * 391 / 320), "longer side is the width"),
        ("new_height", 256 * 391 / 320, "longer side is the width"),
        ("new_height", 320 - (391 - 256), "same factor"),
        ("new_height", 256 / 391, "multiply the height"),
        ("new_height", 100, "too small"),
        ("normalised_value", 204 / 255, "0..1"),
        ("normalised_value", 204 / 127.5, "take 1 off"),
        ("normalised_value", 204 - 127.5, "not divided"),
        ("normalised_value", 204 / 255 - 1, "half of 255"),
        ("normalised_value", (204 - 1) / 127.5, "first divide"),
        ("batch_shape", (16, 128, 128), "channel axis"),
        ("batch_shape", (16, 128, 128, 1), "not at the end"),
        ("batch_shape", (1, 16, 128, 128), "batch comes first"),
        ("batch_shape", (16, 3, 128, 128), "grey"),
        ("batch_shape", (16, 1, 64, 64), "at least one number"),
        ("batch_shape", (16, 1, 128), "four axes"),
        ("batch_shape", "16, 1, 128, 128", "tuple"),
        ("batch_shape", 16, "tuple"),
        ("shifted_dice", 48 / 128, "factor 2"),
        ("shifted_dice", 48, "common pixels"),
        ("shifted_dice", 1, "too large"),
    ],
)
def test_each_mistake_has_its_own_answer(
    name: str, answer: object, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = verdict(getattr(lesson02, name), answer, capsys)
    assert words in text
    assert text.startswith("❌ Not yet: ")
