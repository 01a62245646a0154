"""Predict, then reveal; what is kept of it; and outputs that work with and without a kernel."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from unet_helpers import data
from unet_helpers.exercises import (
    Exercise,
    guess,
    guessing,
    hero_case,
    lesson05,
    my_progress,
    progress,
    reveal,
)  # fmt: skip
from unet_helpers.exercises.judges import is_number
from unet_helpers.exercises.progress import amount, recall, remember
from unet_helpers.widgets import still

ROOT = Path(__file__).resolve().parents[1]
SHARE: dict[str, Any] = {"low": 0.01, "high": 30, "unit": "%", "log": True}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNET_HOME", str(tmp_path))
    monkeypatch.setattr(progress, "_unsaved", {})
    return tmp_path


class Page(list[tuple[dict[str, Any], dict[str, Any]]]):
    """The outputs of a pretended notebook: data and metadata of each."""

    def plain(self) -> str:
        return "\n".join(bundle["text/plain"] for bundle, _ in self)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    outputs = Page()

    def display(bundle: dict[str, Any], metadata: dict[str, Any] | None = None, raw: bool = False) -> None:
        assert raw
        outputs.append((bundle, metadata or {}))

    for module in (guessing, progress, still):
        monkeypatch.setattr(module, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", display)
    return outputs


def form(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The widgets that `guess` shows from now on."""
    shown: list[Any] = []
    monkeypatch.setattr(still, "show", lambda widget, png, sentence: shown.append(widget))
    return shown


# --------------------------------------------------------------------------------------------- guess
def test_without_a_notebook_guess_and_reveal_print(capsys: pytest.CaptureFixture[str]) -> None:
    guess("lesson01.share", "Which share is stone?", **SHARE)
    assert capsys.readouterr().out.startswith("Your guess: Which share is stone? From 0.01 % to 30 %.")
    reveal("lesson01.share", np.float32(0.0625), "Stones are small.")
    told = capsys.readouterr().out
    assert told.startswith("You have not guessed yet.") and told.endswith(
        "It is 0.0625 %. Stones are small.\n"
    )
    assert recall("lesson01.share") == {}


def test_a_click_keeps_the_guess_and_the_reveal_compares(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        shown = form(patch)
        guess("lesson01.share", "Which share?", **SHARE)
    _, slider, button, line = shown[0].children
    assert slider.value == pytest.approx((0.01 * 30) ** 0.5)  # the middle: neither end is suggested
    slider.value = 3.0
    button.click()
    assert line.value == "Kept: you guessed 3 %. You will see how close it was."
    reveal("lesson01.share", 0.06, "Stones are small.")
    sentence = "You guessed 3 %, and it is 0.06 %: your guess was 50 times too much. Stones are small."
    assert page[0][0]["text/plain"] == sentence and sentence in page[0][0]["text/html"]
    picture, metadata = page[1]
    assert picture["image/png"] and sentence in metadata["image/png"]["alt"]
    assert recall("lesson01.share")["truth"] == 0.06


def test_who_has_seen_the_truth_keeps_the_first_guess(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        shown = form(patch)
        guess("lesson01.n", "How many?", low=0, high=24)
        _, slider, button, line = shown[0].children
        for value in (3, 5):
            slider.value = value
            button.click()
        guess("lesson01.n", "How many?", low=0, high=24)
        assert shown[-1].children[3].value == "You guessed 5 before. Leave it, or guess again."
        assert recall("lesson01.n")["guess"] == 5  # changed before the truth was shown
        reveal("lesson01.n", 14)
        slider.value = 14
        button.click()
        assert line.value == "You have seen the answer by now, so your first guess stays: 5."
        guess("lesson01.n", "How many?", low=0, high=24)
    assert shown[-1].children[3].value == "You have seen the answer by now, so your first guess stays: 5."
    assert recall("lesson01.n")["guess"] == 5


def test_words_to_choose_from(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        shown = form(patch)
        guess("lesson01.white", "What is white?", options=["bone", "fat"])
    _, buttons, button, line = shown[0].children
    button.click()
    assert line.value == "Choose one of the buttons first." and recall("lesson01.white") == {}
    buttons.value = "fat"
    button.click()
    reveal("lesson01.white", "bone", "Calcium is dense.")
    assert (
        page.plain() == "You guessed fat. It is bone. Calcium is dense." and len(page) == 1
    )  # no line to draw


def test_a_reveal_without_a_guess_folds_the_truth_away(page: Page) -> None:
    guess("lesson01.share", "Is it < 1 %?", **SHARE)
    reveal("lesson01.share", 0.06, "a < b")
    markup = page[-1][0]["text/html"]
    summary, _, rest = markup.partition("</summary>")
    assert summary.startswith("<details><summary>") and "0.06" not in summary and "0.06 %" in rest
    assert "a &lt; b" in rest and "It is 0.06 %." in page[-1][0]["text/plain"]


@pytest.mark.parametrize(
    ("guessed", "truth", "words"),
    [
        (14, 14, "You guessed 14, and it is 14: well guessed."),
        (0.95, 1.0, "You guessed 0.95, and it is 1: well guessed."),
        (0.6, 0.05, "You guessed 0.6, and it is 0.05: your guess was 12 times too much."),
        (1.0, 3.0, "You guessed 1, and it is 3: your guess was 3.0 times too little."),
        (5, 6, "You guessed 5, and it is 6: off by 1."),
        (-3.0, 2.0, "You guessed -3, and it is 2: off by 5."),
        (3, 0, "You guessed 3, and it is 0: off by 3."),
        ("Bone", "bone", "You guessed Bone, and that is right."),
        ("no", True, "You guessed no. It is True."),
    ],
)
def test_comparison_reads_well(guessed: Any, truth: Any, words: str) -> None:
    assert guessing._compare(guessed, truth, "") == words


@pytest.mark.parametrize(
    ("ends", "part"),
    [
        ({}, "must be given low and high"),
        ({"low": 2, "high": 1}, "low < high"),
        ({"low": 0, "high": 1, "log": True}, "0 <"),
    ],
)
def test_a_question_without_ends_is_refused(ends: dict[str, Any], part: str) -> None:
    with pytest.raises(ValueError, match=part):
        guess("lesson01.x", "?", **ends)


@pytest.mark.parametrize("truth", [0.06, 0.0, 200.0, -4.0])
@pytest.mark.parametrize("log", [True, False])
def test_every_truth_can_be_drawn(truth: float, log: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = guessing._line(3, truth, {"low": 0.01, "high": 30, "log": log})
        figure.draw_without_rendering()
    low, high = figure.axes[0].get_xlim()
    assert low < min(truth, 3) and max(truth, 3) < high


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0632, "%", "0.0632 %"),
        (31030658, "", "31,030,658"),
        (1234567.0, "", "1,234,567"),
        (0.0000123, "", "0.000012"),
        (3.0, "mm", "3 mm"),
        ("bone", "", "bone"),
        (True, "", "True"),
    ],
)
def test_amounts_are_written_as_people_write_them(value: Any, unit: str, text: str) -> None:
    assert amount(value, unit) == text


# ------------------------------------------------------------------------------------------ progress
def test_progress_shows_exercises_and_guesses(capsys: pytest.CaptureFixture[str]) -> None:
    my_progress(5)
    told = capsys.readouterr().out
    assert told.startswith("Lesson 5: 0 of 4 exercises solved.\n") and told.count("⏳ open") == 4
    remember("lesson05.honest_score", lambda entry: {"solved": True, "misses": 1})
    remember("lesson05.dip", lambda entry: {"guess": 3, "truth": 0.06, "unit": "%"})
    remember("lesson04.other", lambda entry: {"guess": 3})
    my_progress(5)
    told = capsys.readouterr().out
    assert "Lesson 5: 1 of 4 exercises solved." in told and "✅ solved after 1 miss\n" in told
    assert "you guessed 3 %, it was 0.06 %" in told and "other" not in told
    with pytest.raises(ValueError, match="lesson must be the number of a lesson, got 77"):
        my_progress(77)


def test_progress_is_a_table_in_a_notebook(page: Page) -> None:
    my_progress(5)
    ((bundle, _),) = page
    n = len(lesson05.__all__)
    assert bundle["text/html"].count("<tr>") == n and "color" not in bundle["text/html"]  # dark pages, too
    assert f"0 of {n}" in bundle["text/plain"]


@pytest.mark.parametrize("damage", ["{", "[1, 2]", '{"lesson01.a": 3}', "\x00\xff"])
def test_a_damaged_file_is_kept_aside_and_stops_nothing(
    home: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in (1, 2):
        (home / "progress.json").write_text(damage, encoding="latin-1")
        assert remember("lesson01.a", lambda entry: {"solved": True}) == {"solved": True}
        assert f"progress-damaged-{n}.json" in capsys.readouterr().out
        assert (home / f"progress-damaged-{n}.json").read_text(encoding="latin-1") == damage
        assert json.loads((home / "progress.json").read_text()) == {"lesson01.a": {"solved": True}}


def test_a_disk_that_cannot_be_written_to_stops_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("UNET_HOME", str(home / "file"))  # a file where a folder is needed
    one = Exercise(is_number(1), "", "", name="lesson01.one")
    one.check(1)
    assert one.solved  # for this session
    monkeypatch.setenv("UNET_HOME", str(home))
    remember("lesson01.two", lambda entry: {"solved": True})
    assert sorted(json.loads((home / "progress.json").read_text())) == ["lesson01.one", "lesson01.two"]


def test_notebooks_at_work_at_once_lose_nothing(home: Path) -> None:
    code = """import sys
from unet_helpers.exercises.progress import remember
for i in range(10):
    remember(f"lesson01.{sys.argv[1]}{i}", lambda entry: {"solved": True})
    remember("lesson01.both", lambda entry: {"misses": entry.get("misses", 0) + 1})"""
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen([*command, name], cwd=ROOT) for name in "ab"]
    assert [process.wait(60) for process in processes] == [0, 0]
    kept = json.loads((home / "progress.json").read_text())
    assert len(kept) == 21 and kept["lesson01.both"] == {"misses": 20}


# ------------------------------------------------------------------------------- outputs for everybody
def test_one_output_holds_widget_picture_and_sentence(page: Page) -> None:
    import ipywidgets

    widget = ipywidgets.IntSlider()
    still.show(widget, b"\x89PNG...", "A slider.")
    ((bundle, metadata),) = page
    assert bundle[still.WIDGET]["model_id"] == widget.model_id
    assert bundle["image/png"] and bundle["text/plain"] == "A slider."
    assert metadata == {"image/png": {"alt": "A slider."}}


def test_a_figure_is_shown_once_with_its_words(page: Page) -> None:
    for photo, kind in ((False, "image/png"), (True, "image/jpeg")):
        figure, _ = plt.subplots(facecolor="black")
        still.show_figure(figure, "Empty axes.", photo=photo)
        assert not plt.get_fignums()  # else the notebook would show it again at the end of the cell
        assert set(page[-1][0]) == {kind, "text/plain"} and page[-1][1] == {kind: {"alt": "Empty axes."}}


def test_a_figure_is_named_in_words_without_a_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    still.show_figure(plt.figure(), "Empty.")
    assert capsys.readouterr().out == "Empty.\n"


def test_the_strip_says_where_we_are(page: Page) -> None:
    still.you_are_here("slice", "answer")
    assert page[0][0]["text/plain"].endswith("You are here: slice and 4.5 mm, lower calyx.")
    still.you_are_here(*still.STEPS)
    assert page[1][0]["text/plain"].endswith("You are here: at every step.")
    with pytest.raises(ValueError, match="steps must be some of slice, .* got voxel"):
        still.you_are_here("slice", "voxel")


# ---------------------------------------------------------------------------------------------- hero
@pytest.fixture(scope="module")
def phantom_pairs(tmp_path_factory: pytest.TempPathFactory) -> list[data.Pair]:
    from unet_helpers.phantom import write_dataset

    folder = tmp_path_factory.mktemp("phantom")
    write_dataset(folder / "set", n_patients=4, n_slices=4, size=96, seed=1)
    return data.find_pairs(folder / "set")


def test_the_hero_is_chosen_by_the_size_of_a_single_stone(phantom_pairs: list[data.Pair]) -> None:
    hero = hero_case(phantom_pairs)
    assert hero == hero_case(phantom_pairs[::-1])
    known = data.known_stones(phantom_pairs)
    assert known is not None
    single = [stones[0].diameter_mm for stones in known if len(stones) == 1]
    (stone,) = known[phantom_pairs.index(hero)]
    assert (
        stone.diameter_mm in sorted(single, key=lambda mm: abs(mm - 4.6))[:3]
    )  # nearer ones have two sections


def test_a_hero_without_a_table_of_stones_is_of_median_size(tmp_path: Path) -> None:
    from PIL import Image

    for n_pixels in (3, 7, 9, 0):
        mask = np.zeros((16, 16), np.uint8)
        mask[4, 2 : 2 + n_pixels] = 255
        Image.fromarray(mask).save(tmp_path / f"s{n_pixels}.png")
        Image.fromarray(mask).save(tmp_path / f"s{n_pixels}_mask.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pairs = data.find_pairs(tmp_path)
    assert hero_case(pairs).image_path.name == "s7.png"
    with pytest.raises(
        ValueError, match="test_pairs must hold a stone for the lesson to follow, got 1 images"
    ):
        hero_case([pair for pair in pairs if pair.image_path.name == "s0.png"])


def test_a_hero_among_slices_of_several_stones_only_is_of_median_size(tmp_path: Path) -> None:
    from PIL import Image

    for n_pixels in (3, 5, 7):
        mask = np.zeros((16, 16), np.uint8)
        mask[4, 2 : 2 + n_pixels] = mask[12, 3] = 255
        Image.fromarray(mask).save(tmp_path / f"s{n_pixels}.png")
        Image.fromarray(mask).save(tmp_path / f"s{n_pixels}_mask.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pairs = data.find_pairs(tmp_path)
    assert hero_case(pairs).image_path.name == "s5.png"
