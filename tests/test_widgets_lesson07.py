"""What is drawn and moved in lesson 7: pressed and moved as a visitor would."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unet_helpers.exercises.museum import batch_dice, in_company, small_network
from unet_helpers.exercises.museum_cases import EXHIBITS, PROBES, SHARED, VALUES, Case
from unet_helpers.exercises.museum_places import PLACES
from unet_helpers.exercises.progress import recall
from unet_helpers.pictures import museum as draw
from unet_helpers.widgets import controls
from unet_helpers.widgets import lesson07 as move

PHONE_PX = 480


class Shown(list[tuple[Any, bytes | None, str]]):
    """What was put on the page: widget, picture, sentence."""


@pytest.fixture(params=[True, False], ids=["kernel", "no kernel"])
def page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Shown]:
    shown = Shown()
    monkeypatch.setenv("UNET_HOME", str(tmp_path))
    for module in (move, controls):
        monkeypatch.setattr(module, "in_notebook", lambda: request.param)
        monkeypatch.setattr(module, "show", lambda widget, png, told: shown.append((widget, png, told)))
    yield shown
    for widget, png, sentence in shown:
        assert png is None or Image.open(io.BytesIO(png)).width <= PHONE_PX
        assert len(sentence.split()) >= 5
        if not request.param:
            assert widget is None


def buttons(box: Any) -> dict[str, Any]:
    return {one.description: one for one in box.children}


SLICE = np.random.default_rng(0).integers(60, 255, (48, 48)).astype(np.uint8)
MASK = np.zeros((48, 48), bool)
MASK[20:24, 30:34] = True


# ---------------------------------------------------------------------------------------- where to look
@pytest.mark.parametrize("name", PLACES)
def test_each_place_answers_and_the_first_one_pressed_is_kept(name: str, page: Shown) -> None:
    move.where(name)
    if not page or page[0][0] is None:
        return
    title, row, line = page[0][0].children
    room = PLACES[name]
    assert room.question in title.value and list(buttons(row)) == list(room.replies)
    wrong = next(place for place in room.replies if place != room.right)
    for place, mark in ((wrong, "❌"), (room.right, "✅")):
        buttons(row)[place].click()
        assert line.value.startswith(mark) and room.replies[place].split(".")[0].split("'")[0] in line.value
    assert recall(f"lesson07.{name}") == {"guess": wrong, "truth": room.right}
    move.where(name)
    assert wrong.split("'")[0] in page[1][0].children[2].value


def test_without_a_kernel_the_places_are_named(page: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    move.where("floor")
    said = page[0][2] if page else capsys.readouterr().out
    assert all(place in said for place in PLACES["floor"].replies)


def test_an_unknown_room_is_refused() -> None:
    with pytest.raises(ValueError, match="name must be one of below_zero, "):
        move.where("cellar")


# --------------------------------------------------------------------------------- pictures that stand still
def test_the_sentences_say_what_is_seen(page: Shown) -> None:
    move.loss_curve([3.0, 1.0, -2.0], (-2.0, 0.0), "no loss lies here")
    move.labels({"the file": MASK.astype(np.uint8), "small": np.ones((8, 8), np.uint8)})
    move.scores({"log": [-3.0, 0.5], "masks": [0.5, 0.9]})
    move.answers(SLICE, MASK, {"before": MASK & False, "after": MASK})
    told = [sentence for _, _, sentence in page]
    assert "begins at 3 and ends at -2" in told[0]
    assert "the file: 16 pixels of stone; small: 64 pixels" in told[1]
    assert "log from -3.00 to 0.50; masks from 0.50 to 0.90" in told[2]
    assert "before: 0 pixels marked; after: 16 pixels marked" in told[3]


def test_flat_curves_and_empty_rows_are_drawn_too(page: Shown) -> None:
    move.loss_curve([0.5, 0.5])
    move.scores({"log": []})
    move.answers(SLICE, MASK & False, {"before": MASK & False})
    assert len(page) == 3


def test_the_shaded_range_is_inside_the_picture() -> None:
    (ax,) = draw.draw_curve([0.7, 0.69], (0, 0.68), "never reached").axes
    assert ax.get_ylim()[0] < 0 and ax.get_ylim()[1] > 0.7


def test_a_range_without_an_end_is_shaded_to_the_edge_of_the_picture() -> None:
    (ax,) = draw.draw_curve([9.0, -170.0], (-np.inf, 0), "impossible").axes
    shade = ax.patches[0].get_extents().transformed(ax.transData.inverted())
    assert shade.y0 == pytest.approx(ax.get_ylim()[0]) and shade.y1 == pytest.approx(0, abs=1e-9)
    assert [text.get_text() for text in ax.texts] == ["impossible"]


def test_the_answers_say_above_each_picture_how_much_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    real = draw.draw_slices
    monkeypatch.setattr(draw, "draw_slices", lambda *given: drawn.append(given[2]) or real(*given))
    monkeypatch.setattr(move, "show", lambda *_: None)
    move.answers(SLICE, MASK, {"before": MASK & False, "after": MASK})
    assert list(drawn[0]) == ["before: 0 pixels", "after: 16 pixels"]


# ----------------------------------------------------------------------------------------------- sliders
def test_the_batch_size_moves_the_score(page: Shown) -> None:
    masks = [np.roll(MASK, shift, axis=0) for shift in range(5)]
    answers = [mask if number else mask & False for number, mask in enumerate(masks)]
    move.batch_size(answers, masks)
    widget, _, sentence = page[0]
    assert "1: 0.800" in sentence and "4: " in sentence and "8: " not in sentence
    if widget is not None:
        slider, image, line = widget.children
        before = image.value
        slider.value = 4
        assert f"{batch_dice(answers, masks, 4):.3f}" in line.value and image.value != before


def test_the_company_moves_the_answer_and_the_network_stays(page: Shown) -> None:
    network = small_network().train()
    alone, beside = (in_company(network, SLICE, n) for n in (0, 5))
    threshold = float(np.median(alone))
    move.company(network, SLICE, MASK, threshold)
    widget, _, sentence = page[0]
    assert f"{(alone >= threshold).sum()} pixels are marked" in sentence
    assert f"blank slices {(beside >= threshold).sum()}" in sentence and network.training
    if widget is not None:
        slider, _, line = widget.children
        network.eval()  # the fix of the next cell, and then somebody goes back to the slider
        slider.value = 3
        three = in_company(network.train(), SLICE, 3)
        assert line.value.startswith(f"{(three >= threshold).sum()} pixels")
        slider.value = 0
        assert line.value.startswith(f"{(alone >= threshold).sum()} pixels")
        slider.value = 5
        assert line.value.startswith(f"{(beside >= threshold).sum()} pixels")


# ------------------------------------------------------------------------------------ an unlabelled case
def a_case() -> move.UnknownCase:
    readings = dict.fromkeys(PROBES, "healthy") | {VALUES: "0, 255", SHARED: "0"}
    return move.UnknownCase(Case("mask of 255", readings))


def test_probes_read_and_a_diagnosis_is_judged() -> None:
    box = a_case()
    _, probes, readings, _, names, verdict = box.widget.children
    assert list(buttons(probes)) == list(PROBES) and list(buttons(names)) == list(EXHIBITS)
    buttons(names)["leakage"].click()
    assert verdict.value.startswith("❌") and "press it, and read" in verdict.value
    buttons(probes)[SHARED].click()
    buttons(names)["leakage"].click()
    assert "it reads 0, and this exhibit would read otherwise" in verdict.value
    buttons(probes)[VALUES].click()
    buttons(probes)[VALUES].click()
    assert readings.value.count("<li>") == 2 and "0, 255" in readings.value
    buttons(names)["mask of 255"].click()
    assert verdict.value.startswith("✅") and "with 2 probes" in verdict.value


def test_two_exhibits_share_a_probe_and_the_wrong_one_is_not_called_healthy() -> None:
    box = a_case()
    box.probe(VALUES)
    box.diagnose("bilinear mask")
    assert box.verdict.value.startswith("❌") and "it reads 0, 255, and this exhibit" in box.verdict.value


def test_who_guesses_without_a_probe_is_told_so() -> None:
    box = a_case()
    box.diagnose("mask of 255")
    assert "by luck" in box.verdict.value


def test_a_case_is_drawn_from_real_slices(page: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    slices, masks = [SLICE, SLICE[::-1].copy()], [MASK, MASK & False]
    move.unknown_case(small_network(), slices, masks, ["a", "a", "b", "b"], seed=0)
    said = page[0][2] if page else capsys.readouterr().out
    assert "nine exhibits" in said
