"""What is drawn and moved in lesson 6: moved as a reader would, with and without a kernel."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from unet_helpers.checkpoint import Checkpoint
from unet_helpers.data import Pair
from unet_helpers.exercises.ten_ways import WAYS
from unet_helpers.widgets import controls, still
from unet_helpers.widgets import lesson06 as move

PHONE_PX = 480


class Shown(list[tuple[Any, bytes | None, str]]):
    """What was put on the page: widget, picture, sentence."""


@pytest.fixture(params=[True, False], ids=["kernel", "no kernel"])
def page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Shown]:
    shown = Shown()
    monkeypatch.setenv("UNET_HOME", str(tmp_path))
    monkeypatch.setattr(controls, "in_notebook", lambda: request.param)
    for module in (move, controls, still):
        monkeypatch.setattr(module, "show", lambda widget, png, told: shown.append((widget, png, told)))
    yield shown
    for _, png, sentence in shown:
        assert png is not None and Image.open(io.BytesIO(png)).width <= PHONE_PX
        assert len(sentence.split()) >= 5


def moved(shown: Shown, value: Any) -> tuple[str, bool]:
    """Move the last slider; the line below the picture, and whether the picture has changed."""
    slider, image, line = shown[-1][0].children
    before = image.value
    slider.value = value
    return line.value, image.value != before


def write(folder: Path, n: int, holds: bool = True, side: int = 64) -> list[Pair]:
    pairs = []
    for number in range(n):
        mask = np.zeros((side, side), bool)
        mask[10 : 14 + number, 20 : 24 + number] = holds
        image = np.where(mask, 250, 60).astype(np.uint8)
        paths = folder / f"s{number}.png", folder / f"s{number}_mask.png"
        for path, picture in zip(paths, (image, mask.astype(np.uint8) * 255), strict=True):
            Image.fromarray(picture).save(path)
        pairs.append(Pair(*paths, f"g{number}"))
    return pairs


def test_a_black_mask_gets_bright(page: Shown) -> None:
    values = np.zeros((32, 32), np.uint8)
    values[4:8, 4:8] = 1
    move.brighten(values)
    assert "16 of its pixels" in page[0][2]
    if page[0][0] is not None:
        line, changed = moved(page, 255)
        assert "there it is" in line and changed


def test_each_of_the_ten_ways_can_be_reached(page: Shown) -> None:
    move.ten_ways()
    assert all(name in page[0][2] for name in WAYS)
    if page[0][0] is not None:
        for name in list(WAYS)[1:]:
            line, changed = moved(page, name)
            assert "check says" in line and changed


def test_smaller_pictures_leave_fewer_objects_wide_enough(page: Shown, tmp_path: Path) -> None:
    move.scale(write(tmp_path, 6))
    assert "6 at 64" in page[0][2] and "0 at 16" in page[0][2]
    if page[0][0] is not None:
        line, changed = moved(page, 16)
        assert line.startswith("0 of 6") and changed


def test_without_an_object_there_is_nothing_to_lose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    move.scale(write(tmp_path, 2, holds=False))
    assert "no size can lose one" in capsys.readouterr().out


def test_twins_are_shown_or_said_to_be_none(page: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (80, 40)).save(buffer, "JPEG")
    move.twins(buffer.getvalue())
    move.twins(None)
    assert len(page) == 1 and "No twins" in capsys.readouterr().out


def test_the_windows_differ(page: Shown, tmp_path: Path) -> None:
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(tmp_path / "raw.png")
    move.windows(tmp_path / "raw.png")
    if page[0][0] is not None:
        assert moved(page, list(move.WINDOWS)[1]) == ("window=(1064, 400)", True)


class Bright(nn.Module):
    """A perfect network for bright squares, or with its sign turned a useless one."""

    def __init__(self, sign: float = 1.0) -> None:
        super().__init__()
        self.sign = nn.Parameter(torch.tensor(sign))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = 20 * self.sign * images
        return logits


def network(sign: float) -> Checkpoint:
    return Checkpoint(Bright(sign).eval(), 0.5, 0, {}, {}, {}, 1, 0.0)


def test_the_better_network_wins_the_race_and_can_be_inspected(
    page: Shown, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = write(tmp_path, 3)
    means = move.race({"good": network(1.0), "bad": network(-1.0)}, pairs)
    assert means["good"] == 1 and means["bad"] == 0
    assert "3 slices with an object, patients: 3." in capsys.readouterr().out
    assert move.inspect(network(1.0), pairs).threshold.value == 0.5
    assert len(page) == 2


def test_a_race_without_an_object_has_no_winner_and_no_warning(page: Shown, tmp_path: Path) -> None:
    assert move.race({"one": network(1.0)}, write(tmp_path, 2, holds=False)) == {"one": 0.0}
