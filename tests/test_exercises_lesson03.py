"""Lesson 3's exercises: the right answer, the solution's code, and the mistakes that are recognised."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unet_helpers.exercises import Exercise, lesson03
from unet_helpers.model import UNet, decode, double_conv, n_parameters


def verdict(exercise: Exercise, answer: object, capsys: pytest.CaptureFixture[str]) -> str:
    exercise.check(answer)
    return capsys.readouterr().out.strip()


ALL = [getattr(lesson03, name) for name in lesson03.__all__]


@pytest.mark.parametrize("exercise", ALL, ids=lesson03.__all__)
def test_dots_are_not_attempted(exercise: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(exercise, ..., capsys).startswith("⏳ Not attempted yet")


@pytest.mark.parametrize("name", lesson03.__all__)
def test_the_solution_runs_and_is_accepted(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    exercise, names = getattr(lesson03, name), {"np": np, "torch": torch}
    exec(exercise.solution_text, names)
    answer: Any = names.get(name, names.get("answer"))
    assert verdict(exercise, answer, capsys) == f"✅ Correct. {exercise.because}"
    exercise.hint()
    assert str(answer) not in capsys.readouterr().out


def test_the_answers_are_those_of_pytorch(capsys: pytest.CaptureFixture[str]) -> None:
    assert "✅" in verdict(lesson03.conv_parameters, n_parameters(nn.Conv2d(16, 32, 3)), capsys)
    assert "✅" in verdict(
        lesson03.decoder_channels, UNet().merge[1][0].in_channels + 64 // 2, capsys
    )  # nothing is halved

    def convolve(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        tensors = (torch.from_numpy(array)[None, None] for array in (image, kernel))
        return nn.functional.conv2d(*tensors)[0, 0].numpy()

    assert "✅" in verdict(lesson03.convolve, convolve, capsys)


def test_a_step_up_is_that_of_the_network() -> None:
    torch.manual_seed(0)
    names: dict[str, Any] = {"torch": torch}
    exec(lesson03.go_up.solution_text, names)
    up, merge = nn.ConvTranspose2d(8, 4, 2, stride=2), double_conv(8, 4).eval()
    below, copy = torch.randn(1, 8, 3, 3), torch.randn(1, 4, 6, 6)
    whole = decode([copy, below], nn.ModuleList([up]), nn.ModuleList([merge]))
    assert torch.equal(names["go_up"](below, copy, up, merge), whole)


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("conv_parameters", 4608, "bias"),
        ("conv_parameters", 4624, "not for every input channel"),
        ("conv_parameters", 4609, "of its own"),
        ("conv_parameters", 9216, "twice"),
        ("conv_parameters", 5120, "not one for every table"),
        ("conv_parameters", 320, "all 16 input channels"),
        ("conv_parameters", 288, "all 16 input channels"),
        ("conv_parameters", 304, "over all input channels"),
        ("conv_parameters", 176, "one output channel"),
        ("conv_parameters", 145, "one output channel"),
        ("conv_parameters", 512, "1x1"),
        ("conv_parameters", 544, "1x1"),
        ("conv_parameters", 1536, "not three"),
        ("conv_parameters", 1568, "not three"),
        ("conv_parameters", 7, "not the number"),
        ("conv_parameters", nn.Conv2d(16, 32, 3), "a number was expected"),
        ("conv_parameters", 4656, "biases are too many"),
        ("conv_parameters", 2320, "ends with 32"),
        ("conv_parameters", 9248, "begins with 16"),
        ("conv_parameters", 160, "32 kernels"),
        ("conv_parameters", 144, "one output channel"),
        ("decoder_channels", 64, "all 64 channels"),
        ("decoder_channels", 32, "the copy alone"),
        ("decoder_channels", 128, "one level above"),
        ("decoder_channels", 48, "halved something"),
        ("decoder_channels", 80, "nothing is halved"),
        ("decoder_channels", 16, "more, not fewer"),
        ("decoder_channels", 192, "one level lower"),
        ("decoder_channels", 160, "one level too low"),
        ("decoder_channels", 2048, "do not multiply"),
        ("decoder_channels", "64", "got text"),
    ],
)
def test_wrong_numbers(name: str, answer: object, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = verdict(getattr(lesson03, name), answer, capsys)
    assert said.startswith("❌ Not yet:") and words in said
    assert "too large" not in said and "too small" not in said


def filled(gap: str) -> Callable[[Any, Any], Any]:
    """The function of exercise 1 with something in its gap."""
    names: dict[str, Any] = {"np": np}
    exec(
        "def convolve(image, kernel):\n"
        "    height, width = image.shape[0] - 2, image.shape[1] - 2\n"
        "    output = np.zeros((height, width))\n"
        "    for row in range(height):\n"
        "        for column in range(width):\n"
        f"            output[row, column] = {gap}\n"
        "    return output\n",
        names,
    )
    convolve: Callable[[Any, Any], Any] = names["convolve"]
    return convolve


WINDOW = "image[row : row + 3, column : column + 3]"


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        ("...", "⏳ Not attempted"),
        (f"({WINDOW} * kernel).sum()", "✅ Correct"),
        (f"np.vdot({WINDOW}, kernel)", "✅ Correct"),
        (f"({WINDOW} @ kernel).sum()", "product of matrices"),
        (f"({WINDOW} * kernel).mean()", "not divided by nine"),
        (f"({WINDOW} * kernel).max()", "add them"),
        (f"({WINDOW} + kernel).sum()", "multiplied"),
        (f"({WINDOW} * kernel[::-1, ::-1]).sum()", "upside down"),
        (f"({WINDOW} * kernel.T).sum()", "rows and columns of the kernel"),
        ("(image[column : column + 3, row : row + 3] * kernel).sum()", "first index of an image"),
        ("(image[:3, :3] * kernel).sum()", "upper left corner"),
        ("(image[row : row + 3, :3] * kernel).sum()", "never to the right"),
        ("(image[:3, column : column + 3] * kernel).sum()", "never down"),
        ("(image[row, column] * kernel).sum()", "single pixel"),
        (f"{WINDOW} * kernel", "wants a single one"),
        ("(image[row : row + 2, column : column + 2] * kernel).sum()", "both be 3 x 3"),
        ("(image[row - 1 : row + 2, column - 1 : column + 2] * kernel).sum()", "not its middle"),
        ("(image * kernel).sum()", "both be 3 x 3"),
        (f"({WINDOW} * kernel[row : row + 3, column : column + 3]).sum()", "leave the kernel whole"),
        (f"np.dot({WINDOW}, kernel)", "wants a single one"),
        (f"{WINDOW}.sum()", "Where is the kernel"),
        ("image[row, column]", "has not been asked"),
        ("image[row, column] * kernel[row, column]", "The kernel stays whole"),
        ("(image[row + 1, column + 1] * kernel).sum()", "middle of the frame"),
        (f"({WINDOW} * [[0, -1, 0], [-1, 4, -1], [0, -1, 0]]).sum()", "numbers of one kernel"),
        ("0", "your result is 0, and"),
    ],
)
def test_a_convolution_with_something_in_its_gap(
    gap: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in verdict(lesson03.convolve, filled(gap), capsys)


def test_a_convolution_made_for_the_shown_cases_alone(capsys: pytest.CaptureFixture[str]) -> None:
    right = filled(f"({WINDOW} * kernel).sum()")
    said = verdict(
        lesson03.convolve, lambda image, kernel: right(image, kernel) * (image.shape[0] == 5), capsys
    )
    assert "the known cases are right, but for" in said


Part = Callable[[Tensor], Tensor]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda f, c, up, merge: ..., "⏳ Not attempted"),
        (lambda f, c, up, merge: merge(torch.cat([c, ...], dim=1)), "⏳ Not attempted"),
        (lambda f, c, up, merge: merge(torch.cat((c, up(f)), 1)), "✅ Correct"),
        (lambda f, c, up, merge: merge(torch.cat([up(f), c], dim=1)), "the other order"),
        (lambda f, c, up, merge: torch.cat([c, up(f)], dim=1), "nobody has merged it"),
        (lambda f, c, up, merge: merge(up(f)), "nowhere in it"),
        (lambda f, c, up, merge: up(f), "you enlarge only"),
        (lambda f, c, up, merge: merge(c), "from below is lost"),
        (lambda f, c, up, merge: merge(c + up(f)), "you add the two"),
        (lambda f, c, up, merge: merge(torch.cat([c, up(f)], dim=0)), "axis 0"),
        (lambda f, c, up, merge: merge(torch.cat([c, up(f)])), "axis 0"),
        (lambda f, c, up, merge: merge(torch.cat([c, up(f)], dim=2)), "axis 2"),
        (lambda f, c, up, merge: merge(torch.cat([c, up(f)], dim=3)), "axis 3"),
        (lambda f, c, up, merge: merge(torch.cat([c, f], dim=1)), "and only it"),
        (lambda f, c, up, merge: merge(torch.cat([up(c), f], dim=1)), "and only it"),
        (lambda f, c, up, merge: merge(torch.stack([c, up(f)], dim=1)), "makes a new axis"),
        (lambda f, c, up, merge: torch.cat([c, merge(up(f))], dim=1), "before the copy has come"),
        (lambda f, c, up, merge: f, "nothing has happened"),
        (lambda f, c, up, merge: c, "as it came"),
        (lambda f, c, up, merge: merge(c, up(f)), "takes one tensor"),
        (lambda f, c, up, merge: merge([c, up(f)]), "not a tensor yet"),
        (lambda f, c, up, merge: merge(np.concatenate([c, up(f)], axis=1)), "NumPy makes"),
        (lambda f, c, up, merge: merge.forward(torch.cat([c, up.forward(f)], dim=1)), "✅ Correct"),
        (lambda f, c, up, merge: merge(c + f), "differ in size"),
        (lambda f, c, up, merge: merge(torch.cat(c, up(f))), "a list of tensors"),
        (lambda f, c, up: merge_nothing(f), "takes 3"),
        (lambda f, c, up, merge: 2 * merge(torch.cat([c, up(f)], dim=1)), "your result is"),
        (5, "a function was expected"),
    ],
)
def test_steps_up(
    step: Callable[[Tensor, Tensor, Part, Part], Tensor], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in verdict(lesson03.go_up, step, capsys)


def merge_nothing(features: Tensor) -> Tensor:
    return features
