"""Lesson 1's exercises: the right answer, the solution's code, and the mistakes that are recognised."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from unet_helpers import data
from unet_helpers.exercises import Exercise, lesson01

ALL = [getattr(lesson01, name) for name in lesson01.__all__]
Function = Callable[..., Any]


@pytest.fixture(autouse=True)
def own_progress(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNET_HOME", str(tmp_path))


def verdict(exercise: Exercise, answer: object, capsys: pytest.CaptureFixture[str]) -> str:
    exercise.check(answer)
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize("exercise", ALL, ids=lesson01.__all__)
def test_dots_are_not_attempted(exercise: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(exercise, ..., capsys).startswith("⏳ Not attempted yet")
    assert verdict(exercise, lambda *arguments: ..., capsys).startswith("⏳ Not attempted yet")


@pytest.mark.parametrize("name", lesson01.__all__)
def test_the_solution_runs_and_is_accepted(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    exercise = getattr(lesson01, name)
    names: dict[str, Any] = {"np": np}  # the lesson has imported it by then
    exec(exercise.solution_text, names)
    text = verdict(exercise, names[name], capsys)
    assert text.startswith("✅ Correct. ")
    assert text.endswith(exercise.because)
    assert exercise.name == f"lesson01.{name}"
    exercise.hint()
    assert "def " not in capsys.readouterr().out


@pytest.mark.parametrize("name", lesson01.__all__)
@pytest.mark.parametrize("answer", [3, "window", [1, 2], np.zeros(3)])
def test_what_is_no_function_is_told_so(
    name: str, answer: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "a function was expected, got" in verdict(getattr(lesson01, name), answer, capsys)


# ------------------------------------------------------------------------------------------- the window
def stretched(hu: Any, start: float, width: float, top: float = 255) -> Any:
    return np.rint(np.clip((hu - start) / width * top, 0, 255)).astype(np.uint8)


def test_who_cuts_off_instead_of_rounding_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    def cut_off(hu: Any, level: float, width: float) -> Any:
        return np.clip((hu - level + width / 2) / width * 255, 0, 255).astype(np.uint8)

    assert verdict(lesson01.window, cut_off, capsys).startswith("✅")
    assert verdict(lesson01.window, data.window, capsys).startswith("✅")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda hu, lv, w: stretched(hu, lv - w, w), "Only half of the width"),
        (lambda hu, lv, w: stretched(hu, lv, w), "measure from the level"),
        (lambda hu, lv, w: stretched(hu, lv - w / 2, w / 2), "over the whole width"),
        (lambda hu, lv, w: stretched(hu, lv - w / 2, w, 1), "as a share from 0 to 1"),
        (lambda hu, lv, w: stretched(hu, lv - w / 2, w, 100), "in per cent"),
        (lambda hu, lv, w: 255 - data.window(hu, lv, w), "negative"),
        (lambda hu, lv, w: np.rint((hu - lv + w / 2) / w * 255).astype(np.uint8), "wraps around"),
        (lambda hu, lv, w: np.clip(hu, 0, 255).astype(np.uint8), "clip the HU themselves"),
        (lambda hu, lv, w: np.clip(hu, lv - w / 2, lv + w / 2).astype(np.uint8), "good start"),
        (lambda hu, lv, w: np.clip((hu - lv + w / 2) / w * 255, 0, 255), "must be uint8"),
        (lambda hu, lv, w: np.clip((hu - lv) / w * 255, 0, 255).astype(np.uint8), "from the level"),
        (lambda hu, lv, w: ((hu - lv + w / 2) / w * 255).astype(np.uint8), "wraps around"),
        (lambda hu, lv, w: None, "Is `return` there?"),
        (lambda hu, lv, w: data.window(hu, lv, 400), "the known cases are right, but"),
        (lambda hu: hu, "called with 3 arguments"),
        (lambda hu, lv, w: hu / 0 + nonsense, "NameError"),  # type: ignore[name-defined]  # noqa: F821
    ],
)
def test_each_slip_of_the_window(function: Function, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = verdict(lesson01.window, function, capsys)
    assert text.startswith("❌ Not yet: ")
    assert words in text


# ------------------------------------------------------------------------------------------ the diameter
def test_a_circle_of_that_diameter_has_the_area_of_the_stone() -> None:
    diameter_mm = 6.0812  # pi / 4 * 6.0812**2 = 29.04 = 24 * 1.1**2
    assert np.pi / 4 * diameter_mm**2 == pytest.approx(24 * 1.1**2, rel=1e-3)
    assert lesson01._circle(24, 1.1) == pytest.approx(diameter_mm, rel=1e-4)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda n, mm: 2 * np.sqrt(n * mm / np.pi), "used once"),
        (lambda n, mm: np.sqrt(n * mm**2 / np.pi), "radius"),
        (lambda n, mm: 2 * np.sqrt(n / np.pi), "diameter in pixels"),
        (lambda n, mm: np.sqrt(n) * mm, "side of a square of that area"),
        (lambda n, mm: np.sqrt(n), "side of a square, in pixels"),
        (lambda n, mm: n * mm**2, "area in mm²"),
        (lambda n, mm: n * mm, "side by side"),
        (lambda n, mm: 2 * np.sqrt(n * mm**2) / np.pi, "under the root"),
        (lambda n, mm: 2 * n * mm**2 / np.pi, "square root is missing"),
        (lambda n, mm: 2 * mm * np.sqrt(n) * np.pi, "divided by pi"),
        (lambda n, mm: 6.08, "your function returns 6.08"),
        (lambda n, mm: "6.1", "a number was expected, got text"),
        (lambda n, mm: round(2 * np.sqrt(n * mm**2 / np.pi)), "your function returns 6"),
    ],
)
def test_each_slip_of_the_diameter(
    function: Function, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = verdict(lesson01.diameter_mm, function, capsys)
    assert text.startswith("❌ Not yet: ")
    assert words in text


# ------------------------------------------------------------------------------------------- the split
def by_patient(patients: Any, n_test: int, seed: int) -> tuple[Any, Any]:
    chosen = np.random.default_rng(seed).choice(np.unique(patients), n_test, replace=False)
    in_test = np.isin(patients, chosen)
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


def by_slice(patients: Any, n_test: int, seed: int) -> tuple[Any, Any]:
    order = np.random.default_rng(seed).permutation(len(patients))
    return order[n_test:], order[:n_test]


def by_chance_of_the_day(patients: Any, n_test: int, seed: int) -> tuple[Any, Any]:
    return by_patient(patients, n_test, int(np.random.default_rng().integers(10**9)))


def first_names(patients: Any, n_test: int, seed: int) -> tuple[Any, Any]:
    in_test = np.isin(patients, np.unique(patients)[:n_test])
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


def share_of_slices(patients: Any, n_test: int, seed: int) -> tuple[Any, Any]:
    return by_patient(patients, n_test - 1, seed)


def with_some_lost(patients: Any, n_test: int, seed: int) -> tuple[Any, Any]:
    train, test = by_patient(patients, n_test, seed)
    return train[1:], test


def with_one_twice(patients: Any, n_test: int, seed: int) -> tuple[Any, Any]:
    train, test = by_patient(patients, n_test, seed)
    return np.append(train, train[0]), test


def as_booleans(patients: Any, n_test: int, seed: int) -> tuple[Any, Any]:
    in_test = np.isin(patients, np.random.default_rng(seed).permutation(np.unique(patients))[:n_test])
    return ~in_test, in_test


def test_any_way_of_choosing_whole_patients_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    def with_lists(patients: list[str], n_test: int, seed: int) -> list[list[int]]:
        names = sorted(set(patients))
        np.random.default_rng(seed).shuffle(names)
        parts: list[list[int]] = [[], []]
        for i, name in enumerate(patients):
            parts[name in names[:n_test]].append(i)
        return parts

    assert verdict(lesson01.keep_together, by_patient, capsys).startswith("✅")
    assert verdict(lesson01.keep_together, with_lists, capsys).startswith("✅")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (by_slice, "are on both sides. Draw patients, not slices"),
        (lambda patients, n, seed: by_patient(patients, n, seed)[::-1], "changed places"),
        (first_names, "every seed gives the same test patients (ana, ben)"),
        (by_chance_of_the_day, "two calls with the same seed"),
        (share_of_slices, "2 patients were asked for the test, and yours holds 1"),
        (with_some_lost, "18 slices went in and 17 came out"),
        (with_one_twice, "is there twice"),
        (as_booleans, "np.flatnonzero turns them into positions"),
        (lambda patients, n, seed: by_patient(patients, n, seed)[1], "two parts were expected"),
        (lambda patients, n, seed: None, "two parts were expected"),
        (lambda patients, n, seed: (["ana"], ["ben"]), "must hold positions"),
        (lambda patients, n, seed: by_patient(patients, n, seed)[0][99], "IndexError"),
    ],
)
def test_each_slip_of_the_split(function: Function, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = verdict(lesson01.keep_together, function, capsys)
    assert text.startswith("❌ Not yet: ")
    assert words in text
