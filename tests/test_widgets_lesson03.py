"""What lesson 3 shows and moves: every control answers, and every picture is what it says."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from unet_helpers.exercises import by_heart
from unet_helpers.metrics import dice, pooled_dice
from unet_helpers.model import PlainUNet, UNet
from unet_helpers.pictures import features, fields, kernels, tiles
from unet_helpers.widgets import lesson03 as move


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, bytes, str]]:
    """Widget, picture and words of everything that is put on the page."""
    page: list[tuple[Any, bytes, str]] = []
    monkeypatch.setattr(move, "show", lambda widget, png, sentence: page.append((widget, png, sentence)))
    return page


def slice_with_a_stone() -> tuple[np.ndarray, np.ndarray]:
    image = np.full((64, 64), 100, np.uint8)
    mask = np.zeros((64, 64), bool)
    mask[40:43, 20:23] = True
    image[mask] = 220
    image[5:50, 50:60] = 255  # a bone
    return image, mask


def controls(widget: Any, kind: str) -> list[Any]:
    """All controls of a class within a box, from top to bottom."""
    own = [widget] if type(widget).__name__ == kind else []
    return own + [found for child in getattr(widget, "children", ()) for found in controls(child, kind)]


def widest(widget: Any) -> str:
    """How wide the picture may become; never wider than the page."""
    return str(controls(widget, "Image")[0].layout.max_width)


def picture(widget: Any) -> bytes:
    return bytes(controls(widget, "Image")[0].value)


# ----------------------------------------------------------------------------------------------- tiles
def test_sliding_a_kernel_is_pytorchs_convolution() -> None:
    random = np.random.default_rng(0)
    image, kernel = random.normal(size=(7, 9)), random.normal(size=(3, 3))
    tensors = (torch.from_numpy(array)[None, None] for array in (image, kernel))
    assert np.allclose(tiles.slide(image, kernel), torch.nn.functional.conv2d(*tensors)[0, 0].numpy())


def texts(figure: Any, panel: int) -> list[str]:
    return [text.get_text() for text in figure.axes[panel].texts]


def test_one_step_of_a_convolution() -> None:
    image = np.full((5, 5), 2.0)
    image[1, 2] = 9
    figure = tiles.convolution_steps(image, [[0, -1, 0], [-1, 4, -1], [0, -1, 0]], place=1)
    assert texts(figure, 4) == ["0", "-2", "0", "-2", "36", "-2", "0", "-2", "0"]
    assert figure.axes[4].get_title() == "nine products,\nsum 28"
    assert texts(figure, 6) == ["-7", "28"]  # the places that the frame has passed


def test_pooling_stamping_and_bending_on_tiles() -> None:
    pooled = tiles.pool_tiles([[1, 2, 0, 0], [3, 1, 0, 9], [2, 2, 1, 1], [2, 5, 1, 1]])
    assert texts(pooled, 2) == ["3", "9", "5", "1"]
    stamped = tiles.stamp_tiles([[1, 2], [0, -1]], [[1, 2], [3, 4]])
    layer = torch.nn.ConvTranspose2d(1, 1, 2, stride=2, bias=False)
    layer.weight.data = torch.tensor([[[[1.0, 2], [3, 4]]]])
    expected = layer(torch.tensor([[[[1.0, 2], [0, -1]]]])).flatten().tolist()
    assert [float(text) for text in texts(stamped, 4)] == expected
    assert texts(tiles.relu_tiles([[-7, 28]]), 2) == ["0", "28"]


def test_the_slider_moves_the_frame(shown: list[Any]) -> None:
    move.convolution(np.eye(5), np.ones((3, 3)))
    widget, png, _ = shown[0]
    before = picture(widget)
    small, large = (Image.open(io.BytesIO(data)).width for data in (png, before))
    assert large / small == pytest.approx(move.LIVE_DPI / move.PAGE_DPI, rel=0.01)  # sharp in its own size
    assert (controls(widget, "Image")[0].layout.width, widest(widget)) == (None, "98%")
    (slider,) = controls(widget, "IntSlider")
    slider.value = 8
    assert (slider.max, picture(widget) != before) == (8, True)


# --------------------------------------------------------------------------------------- nine sliders
def test_the_strongest_answers_are_marked() -> None:
    image, _ = slice_with_a_stone()
    marked = kernels.strongest(image, np.eye(3) * [0, 1, 0], 450)  # the centre alone: grey values
    assert np.array_equal(marked, image == 255)
    assert not kernels.strongest(image, np.zeros((3, 3)), 10).any()
    assert kernels.strongest(image, np.ravel(kernels.KERNELS["spot"]).reshape(3, 3), 7).sum() == 7


def test_every_slider_and_button_of_the_detector(shown: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    image, mask = slice_with_a_stone()
    tried: list[float] = []
    draw = kernels.detector_figure

    def watched(image: Any, mask: Any, marked: Any, scores: list[float]) -> Any:
        tried[:] = scores
        assert scores[-1] == dice(marked, mask)
        return draw(image, mask, marked, scores)

    monkeypatch.setattr(kernels, "detector_figure", watched)
    move.detector(image, mask)
    widget = shown[0][0]
    nine, buttons = controls(widget, "IntSlider"), controls(widget, "Button")
    assert [slider.value for slider in nine] == [-1, 0, 1, -2, 0, 2, -1, 0, 1]
    assert [label.value for label in controls(widget, "Label")] == [str(slider.value) for slider in nine]
    for n, slider in enumerate(nine, start=2):
        slider.value += 3
        assert len(tried) == n
    presets = ([-1, 0, 1, -2, 0, 2, -1, 0, 1], [1] * 9, [-1] * 4 + [8] + [-1] * 4)
    for button, weights in zip(buttons, presets, strict=True):
        n = len(tried)
        button.click()
        assert [slider.value for slider in nine] == weights
        assert [label.value for label in controls(widget, "Label")] == list(map(str, weights))
        assert len(tried) == n + 1  # nine sliders move, and it is one try
    (marked,) = controls(widget, "SelectionSlider")
    marked.value = 10
    assert tried[-1] == dice(kernels.strongest(image, np.array(weights).reshape(3, 3), 10), mask)


def test_the_computer_climbs_and_marks_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    image, mask = slice_with_a_stone()
    kernel, score, level = kernels.climb(image, mask, n_starts=2, n_steps=40)
    answers = tiles.slide(np.pad(image, 1, mode="edge"), kernel)
    assert score == pytest.approx(dice(answers >= level, mask))
    few = kernels.climb(image, mask, n_starts=1, n_steps=1)[1]
    assert few <= score
    best = move.computer_tries(image, mask, [(image, mask)])
    assert f"on 1 other slices: {best:.3f}" in capsys.readouterr().out


# --------------------------------------------------------------------------------------------- fields
def test_the_receptive_field_follows_its_controls(shown: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    image, mask = slice_with_a_stone()
    seen: list[tuple[str, int, int]] = []
    draw = fields.field_figure

    def watched(image: Any, weights: Any, stage: str, row: int, column: int) -> Any:
        seen.append((stage, row, column))
        return draw(image, weights, stage, row, column)

    monkeypatch.setattr(fields, "field_figure", watched)
    move.receptive_field(UNet(base_channels=2).eval(), image, mask)
    widget = shown[0][0]
    (stage,), (row, column) = controls(widget, "SelectionSlider"), controls(widget, "IntSlider")
    assert seen == [("the whole network", 41, 21)]
    stage.value, row.value, column.value = "level 1", 10, 12
    assert seen[-1] == ("level 1", 10, 12)


def test_reach_is_how_much_a_nudge_moves_the_output() -> None:
    torch.manual_seed(0)
    network, image = UNet(base_channels=8, depth=2).eval(), torch.randn(1, 1, 32, 32)
    weights = fields.reach(network, image, 16, 16)
    assert next(network.parameters()).dtype == torch.float32
    nudged, slope = image.double(), 1e-6
    nudged[0, 0, 15, 17] += slope
    with torch.inference_mode():
        network.double()
        moved = (network(nudged) - network(image.double()))[0, 0, 16, 16].abs().item() / slope
    assert weights[15, 17] == pytest.approx(moved, rel=1e-3) and moved > 0


def test_the_design_counts_what_it_draws(shown: list[Any]) -> None:
    image, mask = slice_with_a_stone()
    move.design(image, mask)
    widget = shown[0][0]
    before = picture(widget)
    (depth,), (channels,) = controls(widget, "IntSlider"), controls(widget, "SelectionSlider")
    depth.value = 5
    middle = picture(widget)
    channels.value = 32
    assert len({before, middle, picture(widget)}) == 3
    figure = fields.design_figure(image, (128, 100), depth=4, channels=16)
    assert [ax.get_title() for ax in figure.axes] == ["482,932 parameters", "sees 184 x 200 pixels"]


# ------------------------------------------------------------------------------------------- features
def test_the_most_telling_channel_is_the_one_that_sees_the_stone() -> None:
    _, mask = slice_with_a_stone()
    maps: Tensor = torch.rand(1, 5, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.1
    maps[0, 3, 20, 10] = maps[0, 4, 20, 10] = 5.0  # two alike
    maps[0, 4] += 0.001 * torch.rand(32, 32)
    first, second = features.telling_channels(maps, mask, 2)
    assert first in (3, 4) and second not in (3, 4)


def test_pictures_have_words(shown: list[Any]) -> None:
    image, mask = slice_with_a_stone()
    network = UNet(base_channels=2).eval()
    levels = [torch.rand(1, 6, 64 >> k, 64 >> k) for k in (1, 2)]
    move.filters(image, mask)
    move.relu([[-1, 2]], image, mask)
    move.pooling(np.eye(4), image, mask)
    move.way_back([[1, 2]], [[1, 2], [3, 4]])
    move.the_map()
    move.found(image, mask, torch.from_numpy(mask))
    move.feature_maps(levels, mask)
    move.receptive_field(network, image, mask)
    assert len(shown) == 11
    for _, png, sentence in shown:
        assert png[:2] in (b"\xff\xd8", b"\x89P") and len(sentence.split()) >= 5 and sentence.endswith(".")
    assert "Dice 1.00" in shown[8][2]


# ------------------------------------------------------------------------------------------- by heart
def test_patches_around_a_giant_and_small_stones(monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    from unet_helpers.data import Pair

    sizes = {"a": 400, "b": 9, "c": 16, "d": 9, "e": 4}  # e is too small
    pairs = [Pair(Path(f"{name}.png"), Path(f"{name}_mask.png"), "db"[name in "ac"]) for name in sizes]

    def load(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
        side = int(sizes[pair.image_path.stem] ** 0.5)
        mask = np.zeros((80, 70), bool)
        mask[5 : 5 + side, 60 : 60 + side] = True
        return np.where(mask, 200, 50).astype(np.uint8), mask

    monkeypatch.setattr(by_heart, "load_pair", load)
    patches, truth = by_heart.giant_and_small(pairs, n_small=1)
    assert patches.shape == truth.shape == (2, 1, 64, 64)
    assert truth.sum((1, 2, 3)).tolist() == [200, 9]  # the giant is cut off by the image
    assert torch.equal(patches > 100, truth)
    with pytest.raises(ValueError, match="from 4 groups, got 2"):
        by_heart.giant_and_small(pairs, n_small=3)


def test_learning_by_heart_keeps_the_answers_of_the_marked_step(shown: list[Any]) -> None:
    truth = torch.zeros(3, 1, 32, 32, dtype=torch.bool)
    truth[0, 0, 4:24, 4:24] = truth[1, 0, 8:12, 8:12] = truth[2, 0, 20:23, 6:9] = True
    patches = (60 + 150 * truth).to(torch.uint8)
    runs = [
        by_heart.learn_by_heart({"one": PlainUNet, "two": PlainUNet}, patches, truth, [8, 16], 40, marked)
        for marked in (40, 6)
    ]
    curves, answers = runs[0]
    assert curves["one"] == curves["two"] == runs[1][0]["one"]  # one start for all
    masks = list(truth[:, 0].numpy())
    for curve, kept, step in ((curves["one"], answers["one"], 39), (curves["one"], runs[1][1]["one"], 5)):
        found = list(kept[:, 0].numpy())
        assert curve["all"][step] == pooled_dice(found, masks)
        assert curve["small"][step] == pooled_dice(found[1:], masks[1:])
    assert curves["one"]["all"][-1] > 0.9
    move.without_skips(patches, truth, answers, curves, marked=40)
    assert len(shown) == 2
