"""Lesson 3's exercises: the right answer, the solution's code, and the mistakes that are recognised."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from unet_helpers.exercises import Exercise, lesson03
from unet_helpers.model import UNet, n_parameters
from unet_helpers.pictures.diagrams import receptive_field_px


def verdict(exercise: Exercise, answer: object, capsys: pytest.CaptureFixture[str]) -> str:
    exercise.check(answer)
    return capsys.readouterr().out.strip()


ALL = [getattr(lesson03, name) for name in lesson03.__all__]


@pytest.mark.parametrize("exercise", ALL, ids=lesson03.__all__)
def test_dots_are_not_attempted(exercise: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(exercise, ..., capsys).startswith("⏳ Not attempted yet")


@pytest.mark.parametrize("exercise", ALL, ids=lesson03.__all__)
def test_the_solution_runs_and_is_accepted(exercise: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    exec(exercise.solution_text, names)
    answer = names["answer"] if "answer" in names else names["size_after"]
    assert verdict(exercise, answer, capsys) == "✅ Correct."
    exercise.hint()
    assert str(answer) not in capsys.readouterr().out


def test_the_answers_are_those_of_pytorch(capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(lesson03.conv_parameters, n_parameters(nn.Conv2d(16, 32, 3)), capsys) == "✅ Correct."
    merge = UNet(base_channels=8).merge[1]  # decoder 1
    assert verdict(lesson03.decoder_channels, merge[0].in_channels, capsys) == "✅ Correct."

    def measured(size: int, n_convolutions: int) -> int:
        image = torch.zeros(1, 1, size, size)
        for _ in range(n_convolutions):
            image = nn.functional.conv2d(image, torch.ones(1, 1, 3, 3))
        return image.shape[-1]

    assert verdict(lesson03.unpadded_size, measured, capsys) == "✅ Correct."
    first, last = receptive_field_px(depth=1)  # two convolutions
    assert last - first + 1 == 1 + 2 * 2
    assert verdict(lesson03.n_convolutions, 50, capsys) == "✅ Correct."


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("conv_parameters", 4608, "bias"),
        ("conv_parameters", 4624, "not for every input channel"),
        ("conv_parameters", 320, "all 16 input channels"),
        ("conv_parameters", 544, "1x1"),
        ("conv_parameters", 9280, "too large"),
        ("n_convolutions", 100, "both sides"),
        ("n_convolutions", 51, "one too many"),
        ("n_convolutions", 101 / 3, "overlap"),
        ("n_convolutions", 49, "too small"),
        ("decoder_channels", 48, "halves its channels"),
        ("decoder_channels", 16, "one of the two parts"),
        ("decoder_channels", 256, "do not multiply"),
        ("decoder_channels", "32", "got text"),
    ],
)
def test_wrong_numbers(name: str, answer: object, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = verdict(getattr(lesson03, name), answer, capsys)
    assert said.startswith("❌ Not yet:") and words in said


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda size, n: size - n, "both sides"),
        (lambda size, n: size, "padding=1"),
        (lambda size, n: size - 4, "number of convolutions"),
        (lambda size, n: size - 2 * n + 1, "for (572, 2) your function returns 569"),
        (lambda size, n: print(size - 2 * n), "Is `return` there?"),
        (568, "a function was expected"),
    ],
)
def test_wrong_functions(
    answer: Callable[[int, int], int] | int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = verdict(lesson03.unpadded_size, answer, capsys)
    assert "❌ Not yet:" in said and words in said
