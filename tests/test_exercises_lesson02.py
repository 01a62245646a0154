"""Lesson 2's exercises: the right answer, the solution's code, and the mistakes that are recognised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from unet_helpers.exercises import Exercise, lesson02
from unet_helpers.transforms import PatchSampler, shrink_size

ALL = [getattr(lesson02, name) for name in lesson02.__all__]
CHECKED = {
    "new_height": "answer",
    "batch_shape": "answer",
    "pad_and_undo": "both",
    "flip_and_shift": "flip_and_shift",
}
Array = Any


def verdict(exercise: Exercise, answer: object, capsys: pytest.CaptureFixture[str]) -> str:
    exercise.check(answer)
    return capsys.readouterr().out.strip()


def solved(name: str) -> Any:
    names: dict[str, Any] = {"np": np}  # the lesson has imported it
    exec(getattr(lesson02, name).solution_text, names)
    return names[CHECKED[name]]


@pytest.mark.parametrize("exercise", ALL, ids=lesson02.__all__)
def test_dots_are_not_attempted(exercise: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(exercise, ..., capsys).startswith("⏳ Not attempted yet")


@pytest.mark.parametrize("name", lesson02.__all__)
def test_the_solution_is_accepted_and_explained(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    exercise = getattr(lesson02, name)
    assert verdict(exercise, solved(name), capsys) == f"✅ Correct. {exercise.because}"
    assert exercise.name == f"lesson02.{name}"


def test_the_hints_do_not_give_the_answers(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("new_height", "batch_shape"):
        getattr(lesson02, name).hint()
        assert str(solved(name)) not in capsys.readouterr().out


# ------------------------------------------------------------------------------------- a number, a shape
def test_the_height_may_be_exact_or_rounded_to_a_whole_number(capsys: pytest.CaptureFixture[str]) -> None:
    for height in (320 * 256 / 391, 209, 210, shrink_size((320, 391), 256)[0]):
        assert verdict(lesson02.new_height, height, capsys).startswith("✅")
    for height in (208.5, 212):
        assert "that is not the number" in verdict(lesson02.new_height, height, capsys)


def test_the_shape_is_that_of_a_batch_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    mask = np.zeros((130, 140), bool)
    mask[50:53, 60:63] = True
    images, _, _ = PatchSampler([mask.astype(np.uint8)], [mask], patch_size=128).sample(
        16, torch.Generator().manual_seed(0)
    )
    assert verdict(lesson02.batch_shape, images.shape, capsys).startswith("✅")
    assert verdict(lesson02.batch_shape, [16, 1, 128, 128], capsys).startswith("✅")
    assert ".shape" in verdict(lesson02.batch_shape, images, capsys)


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("new_height", 256, "square"),
        ("new_height", round(256 * 391 / 320), "longer side is the width"),
        ("new_height", 256 * 391 / 320, "longer side is the width"),
        ("new_height", 320 - (391 - 256), "same factor"),
        ("new_height", 391, "old width"),
        ("new_height", 320, "old height"),
        ("new_height", 256 / 391, "factor by which the width shrinks"),
        ("new_height", 0.65, "factor by which the width shrinks"),
        ("new_height", 320 / 391, "ratio of height to width"),
        ("new_height", 0.818, "ratio of height to width"),
        ("new_height", 391 / 320, "ratio of width to height"),
        ("new_height", 391 / 256, "Turn the fraction round"),
        ("new_height", 1.0, "one pixel"),
        ("new_height", 0.2, "number of pixels"),
        ("new_height", 312, "longer side is the width"),
        ("new_height", 320 / 256, "old width with the new width"),
        ("new_height", 256 / 320, "old width with the new width"),
        ("new_height", 65, "in per cent"),
        ("new_height", 111, "How much is left"),
        ("new_height", 320 - 256, "subtracts"),
        ("new_height", 320 * 0.65, "rounded too early"),
        ("new_height", 320 * 0.66, "rounded too early"),
        ("new_height", "209", "got text"),
        ("new_height", (209, 256), "got a tuple"),
        ("new_height", 100, "that is not the number"),
        ("batch_shape", (16, 128, 128), "channel axis"),
        ("batch_shape", (16, 128, 128, 1), "not at the end"),
        ("batch_shape", (1, 16, 128, 128), "number of images comes first"),
        ("batch_shape", (16, 3, 128, 128), "grey"),
        ("batch_shape", (1, 128, 128), "axis in front"),
        ("batch_shape", (128, 128), "without a channel"),
        ("batch_shape", (16, 128), "nothing about the width"),
        ("batch_shape", (128, 128, 1, 16), "turned round"),
        ("batch_shape", (1, 128, 128, 16), "channels second"),
        ("batch_shape", (128, 128, 16), "number of images comes first"),
        ("batch_shape", (16, 1, 128 * 128), "two axes"),
        ("batch_shape", (1, 1, 128, 128), "single image"),
        ("batch_shape", {16, 1, 128}, "got a set"),
        ("batch_shape", (16, 1, 64, 64), "at least one number"),
        ("batch_shape", (16, 1, 128), "has 3 axes"),
        ("batch_shape", "16, 1, 128, 128", "tuple"),
        ("batch_shape", 16, "tuple"),
        ("batch_shape", torch.zeros(16, 1, 128, 128), ".shape"),
        ("batch_shape", np.zeros((16, 1, 128, 128)), ".shape"),
    ],
)
def test_each_mistake_has_its_own_answer(
    name: str, answer: object, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = verdict(getattr(lesson02, name), answer, capsys)
    assert words in text
    assert text.startswith("❌ Not yet: ")


# ------------------------------------------------------------------------------------- padding
def undo(padded: Array, height: int, width: int) -> Array:
    return padded[:height, :width]


def lacking(side: int, multiple: int) -> int:
    return -side % multiple


def padded_by(rows: Callable[[int, int], tuple[int, int]], **more: Any) -> Callable[[Array, int], Array]:
    return lambda image, n: np.pad(image, [rows(side, n) for side in image.shape], **more)


def to_square(image: Array, n: int) -> Array:
    side = int(np.ceil(max(image.shape) / n)) * n
    padded = np.zeros((side, side), np.uint8)
    padded[: image.shape[0], : image.shape[1]] = image
    return padded


WRONG_PADS: list[tuple[Any, str]] = [
    (lambda image, n: image, "as it was"),
    (padded_by(lambda side, n: (0, n - side % n)), "whole extra block"),
    (padded_by(lambda side, n: (0, side % n)), "rest of the division"),
    (padded_by(lambda side, n: (0, n)), "however much was needed"),
    (padded_by(lambda side, n: (lacking(side, n), 0)), "above and on the left"),
    (padded_by(lambda side, n: (lacking(side, n) // 2, -(-lacking(side, n) // 2))), "all four sides"),
    (lambda image, n: np.pad(image, (0, lacking(image.shape[0], n))), "a number of its own"),
    (lambda image, n: np.pad(image, [(0, lacking(s, n)) for s in image.shape[::-1]]), "exchanged"),
    (lambda image, n: np.pad(image, tuple(lacking(s, n) for s in image.shape)), "before and after"),
    (lambda image, n: np.pad(image, ((0, lacking(image.shape[0], n)), (0, 0))), "width does not yet"),
    (lambda image, n: np.pad(image, ((0, 0), (0, lacking(image.shape[1], n)))), "height does not yet"),
    (lambda image, n: to_square(image, n), "a square"),
    (lambda image, n: image[: image.shape[0] // n * n, : image.shape[1] // n * n], "Add, do not cut"),
    (padded_by(lambda side, n: (0, lacking(side, n)), mode="edge"), "edge was repeated"),
    (padded_by(lambda side, n: (0, lacking(side, n)), constant_values=255), "values are not right"),
    (lambda image, n: np.pad(image.astype(float), [(0, lacking(s, n)) for s in image.shape]), "uint8"),
    (lambda image: image, "called with 2 arguments"),
    (lambda image, n: None, "return"),
    (lambda image, n: 1 / 0, "ZeroDivisionError"),
    (3, "a function was expected, got the number 3"),
]


@pytest.mark.parametrize(("pad", "words"), WRONG_PADS, ids=[words for _, words in WRONG_PADS])
def test_each_wrong_pad(pad: Any, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = verdict(lesson02.pad_and_undo, (pad, undo), capsys)
    assert text.startswith("❌ Not yet: `pad`: ")
    assert words in text


WRONG_UNDOS: list[tuple[Any, str]] = [
    (lambda padded, height, width: padded, "with its padding"),
    (lambda padded, height, width: padded[:width, :height], "exchanged"),
    (lambda padded, height, width: padded[-height:, -width:], "kept the end"),
    (lambda p, height, width: p[: height - p.shape[0], : width - p.shape[1]], "`[:0]` keeps nothing"),
    (lambda padded, height, width: padded[:height][:width], "cuts the rows twice"),
    (lambda padded, height, width: padded[:height], "columns are not cut"),
    (lambda padded, height, width: padded[:, :width], "rows are not cut"),
    (lambda padded, height, width: padded[height:, width:], "drops the picture"),
    (lambda padded, height, width: padded[: height - 1, : width - 1], "stops before"),
    (lambda padded, height, width: padded[: height + 1, : width + 1], "shape"),
    (lambda padded, height, width: padded[height, width], "got the number"),
    (lambda padded, height, width: ..., "still holds the three dots"),
    (4, "a function was expected"),
]


@pytest.mark.parametrize(("own", "words"), WRONG_UNDOS, ids=[words for _, words in WRONG_UNDOS])
def test_each_wrong_undo(own: Any, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = verdict(lesson02.pad_and_undo, (solved("pad_and_undo")[0], own), capsys)
    assert text.startswith("❌ Not yet: `pad` is right")
    assert words in text


def test_the_stub_of_both_is_not_attempted(capsys: pytest.CaptureFixture[str]) -> None:
    stub = (lambda image, multiple: ..., lambda padded, height, width: ...)
    assert verdict(lesson02.pad_and_undo, stub, capsys).startswith("⏳ Not attempted yet")


@pytest.mark.parametrize("answer", [undo, (undo,), "both", 3])
def test_both_functions_are_wanted(answer: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert "two functions were expected" in verdict(lesson02.pad_and_undo, answer, capsys)


# ------------------------------------------------------------------------------------- the pair
def flip(array: Array) -> Array:
    return array[:, ::-1]


def shift(array: Array, n: int) -> Array:
    shifted = np.zeros_like(array)
    shifted[:, n:] = array[:, : array.shape[1] - n]
    return shifted


def shift_by_minus(array: Array, n: int) -> Array:
    """Loses everything for n = 0."""
    shifted = np.zeros_like(array)
    shifted[:, n:] = array[:, :-n]
    return shifted


def each(change: Callable[[Array, int], Array]) -> Callable[[Array, Array, int], tuple[Array, Array]]:
    return lambda image, mask, n: (change(image, n), change(mask, n))


WRONG_PAIRS: list[tuple[Any, str]] = [
    (lambda image, mask, n: (shift(flip(image), n), mask), "the mask stays"),
    (lambda image, mask, n: (shift(flip(image), n), flip(mask)), "only the image is shifted"),
    (lambda image, mask, n: (shift(flip(image), n), shift(mask, n)), "only the image is mirrored"),
    (lambda image, mask, n: (mask, image), "nothing moved"),
    (lambda image, mask, n: each(lambda a, m: shift(flip(a), m))(mask, image, n), "wrong order"),
    (each(lambda array, n: array), "as they were"),
    (each(lambda array, n: flip(array)), "not shifted"),
    (each(shift), "not mirrored"),
    (each(lambda array, n: np.roll(flip(array), n, axis=1)), "jump"),
    (each(lambda array, n: shift(array[::-1], n)), "upside down"),
    (each(lambda array, n: shift(array.T, n).T), "moved down"),
    (each(lambda array, n: flip(shift(array, n))), "moved to the left"),
    (lambda image, mask, n: (image, shift(flip(mask), n)), "the image stays"),
    (lambda image, mask, n: (flip(image), shift(flip(mask), n)), "only the mask is shifted"),
    (lambda image, mask, n: (shift(image, n), shift(flip(mask), n)), "only the mask is mirrored"),
    (each(lambda array, n: shift(np.flip(array), n)), "half a circle"),
    (each(lambda array, n: np.roll(flip(array), n)), "without `axis=1`"),
    (each(lambda array, n: shift(flip(array).T, n).T), "moved down"),
    (each(lambda array, n: np.pad(flip(array), ((0, 0), (n, 0)))), "wider"),
    (each(lambda array, n: flip(array)[:, n:]), "narrower"),
    (each(lambda array, n: flip(array)[:, : array.shape[1] - n]), "nothing has come in"),
    (each(lambda array, n: flip(array)[:, :-n]), "`[:, :-0]` is empty"),
    (each(lambda a, n: np.pad(flip(a)[:, :-n], ((0, 0), (n, 0)))), "but for `n_columns` 0"),
    (each(lambda array, n: shift_by_minus(flip(array), n)), "ValueError"),
    (each(lambda array, n: shift(flip(array), n).astype(np.uint8)), "bool"),
    (lambda image, mask, n: shift(flip(image), n), "tuple of 2 parts"),
    (lambda image, mask: (image, mask), "called with 3 arguments"),
]


@pytest.mark.parametrize(("own", "words"), WRONG_PAIRS, ids=[words for _, words in WRONG_PAIRS])
def test_each_wrong_pair(own: Any, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = verdict(lesson02.flip_and_shift, own, capsys)
    assert text.startswith("❌ Not yet: ")
    assert words in text


def test_a_gap_in_the_pair_is_not_attempted(capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(lesson02.flip_and_shift, lambda i, m, n: (..., ...), capsys).startswith("⏳")
    half = verdict(lesson02.flip_and_shift, lambda i, m, n: (shift(flip(i), n), ...), capsys)
    assert half.startswith("⏳")


def test_other_right_ways_are_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    def by_padding(image: Array, mask: Array, n: int) -> list[Array]:
        return [np.pad(np.fliplr(a), ((0, 0), (n, 0)))[:, : a.shape[1]] for a in (image, mask)]

    assert verdict(lesson02.flip_and_shift, by_padding, capsys).startswith("✅")

    def by_zeros(image: Array, multiple: int) -> Array:
        height, width = (int(np.ceil(side / multiple)) * multiple for side in image.shape)
        padded = np.zeros((height, width), np.uint8)
        padded[: image.shape[0], : image.shape[1]] = image
        return padded

    assert verdict(lesson02.pad_and_undo, [by_zeros, undo], capsys).startswith("✅")
