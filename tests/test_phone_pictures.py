"""The figures of the lessons on a phone: every word is 9 pixels high, none is cut off or lies on another.

A page of nbconvert shows pictures 354 pixels wide where the phone has 400. What matters is drawn: matplotlib
is asked for every text that it draws, so that texts outside of their axes do not count.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text

from unet_helpers.engine.figures import PAGE_DPI, PAGE_INCHES, figure_png, plain_figure
from unet_helpers.exercises import guessing
from unet_helpers.exercises.measuring import H200_BATCHES, Measured
from unet_helpers.pictures import (
    body_map,
    courses,
    diagrams,
    features,
    fields,
    hu_histogram,
    kernels,
    museum,
    own_data,
    preprocessing,
    tiles,
    verdicts,
)
from unet_helpers.scores import figures
from unet_helpers.widgets import still

SHOWN_PX, LEAST_PX = 354, 8.5
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 255, (128, 128)).astype(np.uint8)
ROWS, COLUMNS = np.indices(IMAGE.shape)
STONE = (ROWS - 60) ** 2 + (COLUMNS - 70) ** 2 <= 9
ANSWER = (ROWS - 61) ** 2 + (COLUMNS - 72) ** 2 <= 9
DICES = {f"exam-637005{i}": RNG.uniform(0.3, 1, 5) for i in range(17)}
ORGANS = ("lung", "liver", "spleen", "cortex", "medulla", "sinus", "psoas", "spine", "rib", "hip bone")
MASKS = {name: (np.abs(ROWS - 12 * i - 9) < 4) & (np.abs(COLUMNS - 64) > 8) for i, name in enumerate(ORGANS)}
ERRORS = RNG.normal(0, 0.4, 60)


def shrunk(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return preprocessing.shares(mask, size) > 0


def ax() -> object:
    return plain_figure(PAGE_INCHES, 3.4).add_subplot()


def survivors() -> Figure:
    names = ("nearest", "cut at one half", "the package's rule")
    curves = {name: {32: 40.0, 64: 85.2, 128: 99.0} for name in names}
    return preprocessing.draw_survivors(IMAGE, STONE, dict.fromkeys(names, shrunk), curves, 64)


def with_numbers() -> Figure:
    figure = plain_figure(PAGE_INCHES, 5.6)
    panels = figure.subplot_mosaic([["a", "b"], ["numbers", "numbers"]])
    preprocessing.draw_numbers(
        panels["numbers"], IMAGE[:7, :7], "its middle, as numbers", marked=STONE[:7, :7]
    )
    return figure


def batches() -> Figure:
    own = {n: Measured(10.0 * n, 90.0 + n, None) for n in (1, 2, 4, 8, 16)}
    assert set(own) <= set(H200_BATCHES)
    return courses.batch_figure(own, "this CPU")


PICTURES = {
    f"{kind}:\n{what}": IMAGE for kind in ("by itself", "fixed rule") for what in ("metal", "no metal")
}
PROBABILITY = np.full((4, 4), 0.5)
LEVELS = [torch.rand(1, 8, 64 >> i, 64 >> i) for i in range(4)]
ANSWERS = {"with copies": np.stack([ANSWER] * 6), "without copies": np.stack([STONE] * 6)}
RISING = {name: {"all": [0.1, 0.9], "small": [0.0, 0.8]} for name in ANSWERS}
HISTORY = [{"step": i, "train_loss": 1 / i, "val_dice": 1 - 1 / i} for i in range(1, 9)]

FIGURES: dict[str, Callable[[], Figure]] = {
    "strip": lambda: still._strip({"slice", "window"}),
    "guess": lambda: guessing._line(0.2, 0.9, {"low": 0, "high": 1, "unit": ""}),
    "map": lambda: body_map.body_map(IMAGE, MASKS | {"stone": STONE}),
    "hu": lambda: hu_histogram.hu_histogram(IMAGE * 8.0 - 1000, MASKS, STONE),
    "numbers": with_numbers,
    "row of three": lambda: preprocessing.row_of_pictures(
        {f"{what} first:\nthe brightest pixel is 185": IMAGE for what in ("window", "size", "every 4th")}
    ),
    "four pictures": lambda: preprocessing.row_of_pictures(PICTURES),
    "two rows": lambda: preprocessing.rows_of_pictures(
        [{f"{i}, close up:\n11 pixels": IMAGE for i in range(4)}] * 2
    ),
    "grids": lambda: preprocessing.draw_grids(STONE[56:64, 66:74], 5)[0],
    "survivors": survivors,
    "convolution": lambda: tiles.convolution_steps(IMAGE[:5, :5] // 9, kernels.KERNELS["spot"], 4),
    "relu": lambda: tiles.relu_tiles([[-7, 28, -7], [0, -7, 0], [0, 0, 0]]),
    "pool": lambda: tiles.pool_tiles(np.arange(16).reshape(4, 4)),
    "stamp": lambda: tiles.stamp_tiles([[1, 2], [0, -1]], [[1, 2], [3, 4]]),
    "concatenation": tiles.concat_sheets,
    "kernels": lambda: kernels.filtered(IMAGE, STONE, kernels.KERNELS),
    "rectified": lambda: kernels.rectified(IMAGE, STONE, kernels.KERNELS["spot"]),
    "detector": lambda: kernels.detector_figure(IMAGE, STONE, ANSWER, [0.1, 0.3]),
    "field": lambda: fields.field_figure(IMAGE, RNG.random(IMAGE.shape), "level 2", 60, 70),
    "design": lambda: fields.design_figure(IMAGE, (60, 70), 4, 16),
    "diagram": lambda: diagrams.unet_diagram().get_figure(),  # type: ignore[dict-item, return-value]
    "pooled": lambda: features.pooled(IMAGE, STONE),
    "feature maps": lambda: features.feature_maps(LEVELS, STONE),
    "skips": lambda: features.skip_patches(np.stack([IMAGE] * 6), np.stack([STONE] * 6), ANSWERS),
    "skip curves": lambda: features.skip_curves(RISING, 1),
    "by hand": lambda: courses.by_hand(
        PROBABILITY,
        PROBABILITY > 0.4,
        {"BCE": 0.693, "Dice loss": 0.727, "sum": 1.42},
        "two knobs: move one of them",
    ),
    "appearing": lambda: courses.appearing(
        IMAGE, STONE, [(step, ANSWER) for step in (0, 25, 50, 100, 200, 400, 600)], [1.0, 0.5], 600
    ),
    "by heart": lambda: courses.heart_figure([IMAGE] * 4, [STONE] * 4, [ANSWER] * 4),
    "rates": lambda: courses.loss_curves({name: [1.0, 0.3] for name in ("A: 0.00004", "D: 2, no warm-up")}),
    "batches": batches,
    "ablations": lambda: courses.ablation_figure({"nothing": [0.7, 0.8], "augmentation": [0.8, 0.9]}),
    "patients": lambda: verdicts.patients(
        {"validation": DICES, "test": DICES}, {"validation": "exam-6370051", "test": "exam-63700512"}
    ),
    "one picture": lambda: verdicts.one_picture(IMAGE, STONE, ANSWER, STONE),
    "slices": lambda: verdicts.slices_of_a_stone([(IMAGE, STONE, ANSWER, "slice 184: missed")] * 6),
    "growing": lambda: verdicts.growing(IMAGE, STONE, ANSWER, {1: 0.5, 2: 0.7, 25: 0.02}, 0.1),
    "thresholds": lambda: verdicts.threshold_curve([0.1, 0.9], [0.8, 0.8], 0.5, "49 validation slices"),
    "draws": lambda: verdicts.drawn_patients(
        DICES, np.arange(17) % 4, RNG.normal(0.7, 0.04, 300).tolist(), (0.62, 0.78)
    ),
    "paired": lambda: verdicts.paired(
        ("on trial", "rival"),
        [(0.884, 0.835, 0.925), (0.906, 0.856, 0.939)],
        (0.02, 0.0, 0.05),
        ERRORS[:17] / 9,
    ),
    "ways": lambda: own_data.draw_ways({f"{i} image": IMAGE for i in range(20)}),
    "windows": lambda: own_data.draw_windows(
        dict.fromkeys(("the stick's: 300, 1500", "soft tissue: 40, 400", "lung: -600, 1500"), IMAGE)
    ),
    "scale": lambda: own_data.draw_scale(IMAGE, STONE, {32: 1, 64: 5, 128: 9}, 128),
    "race": lambda: own_data.draw_race(
        {name: [0.1, 0.5] for name in ("as it comes", "from scratch", "fine-tuned")}
    ),
    "curve": lambda: museum.draw_curve([9.0, -170.0], (-np.inf, 0), "impossible for a cross-entropy"),
    "labels": lambda: museum.draw_labels({"the file": IMAGE % 3, "after shrinking": IMAGE % 3}),
    "range": lambda: museum.draw_range({"his log": [-4.4, -0.1], "masks": [0.4, 1.0]}),
    "museum batches": lambda: museum.draw_batches({2**i: 0.9 + i / 99 for i in range(7)}, 8),
    "museum slices": lambda: museum.draw_slices(
        IMAGE, STONE, {"alone: 10 pixels": ANSWER, "with 5 blank: 3252": ANSWER}
    ),
    "FROC": lambda: figures.plot_froc(
        {"false_positives_per_image": [0.1, 0.6], "sensitivity": [0.8, 0.95], "threshold": [0.5, 0.3]},
        ax(),
        0.5,
    ).get_figure(),
}


def drawn_texts(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> list[Text]:
    """Every text that matplotlib really draws: no tick outside of the axes, nothing empty."""
    seen: list[Text] = []
    draw = Text.draw

    def remember(self: Text, renderer: object) -> None:
        if self.get_visible() and self.get_text().strip():
            seen.append(self)
        draw(self, renderer)

    monkeypatch.setattr(Text, "draw", remember)
    figure_png(figure, PAGE_DPI)
    return list(dict.fromkeys(seen))


def problems(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What nobody can read on a phone, in words."""
    texts = drawn_texts(figure, monkeypatch)
    figure.set_dpi(PAGE_DPI)
    natural = figure.get_figwidth() * PAGE_DPI
    scale, found = min(1.0, SHOWN_PX / natural), []
    boxes = [text.get_window_extent() for text in texts]
    for text, box in zip(texts, boxes, strict=True):
        height = text.get_size() / 72 * PAGE_DPI * scale
        if height < LEAST_PX:
            found.append(f"{text.get_text()!r} is {height:.1f} pixels high")
        if box.x0 < -2 or box.y0 < -2 or box.x1 > figure.bbox.x1 + 2 or box.y1 > figure.bbox.y1 + 2:
            found.append(f"{text.get_text()!r} is cut off")
    for (one, first), (other, second) in itertools.combinations(zip(texts, boxes, strict=True), 2):
        width = min(first.x1, second.x1) - max(first.x0, second.x0)
        height = min(first.y1, second.y1) - max(first.y0, second.y0)
        if width > 2 and height > 3:
            found.append(f"{one.get_text()!r} lies on {other.get_text()!r}")
    return found


@pytest.mark.parametrize("name", FIGURES)
def test_a_phone_shows_every_word_of_a_figure(name, monkeypatch):
    figure = FIGURES[name]()
    assert figure.get_figwidth() <= PAGE_INCHES
    assert problems(figure, monkeypatch) == []


def test_small_cut_and_overlapping_words_are_found(monkeypatch):
    figure = plain_figure(9, 3)
    figure.text(0.5, 0.5, "small", fontsize=9)
    figure.text(0.51, 0.5, "upon it", fontsize=20)
    figure.text(0.97, 0.2, "beyond the edge", fontsize=20)
    found = problems(figure, monkeypatch)
    assert [line.split("'")[1] for line in found] == ["small", "beyond the edge", "small"], found
