"""The tables that need a GPU: all of them run on a CPU too, and what is measured is on disk at once."""

import json
import math
import os
import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
import gpu
import gpu_estimate
import gpu_runs
import gpu_steps
from machine import on_cores
from report import Report

from unet_helpers.data import find_pairs, split_by_group, stone_strata
from unet_helpers.engine.devices import sixteen_bit_type

CPU = torch.device("cpu")


def tables(folder: Path) -> list[dict]:
    return json.loads((folder / "gpu.json").read_text())["tables"]


# ------------------------------------------------------------------------------------------ the parts
def test_every_part_has_its_tables(tmp_path: Path):
    parts = "card,memory,profile,step,dice,float16,patients"
    gpu.main(["--smoke", "--out", str(tmp_path), "--device", "cpu", "--only", parts, "--seeds", "0,1"])
    found = {table["title"]: table for table in tables(tmp_path)}
    names = [table["part"] for table in found.values()]
    assert names == ["card", "memory", "profile", "step", "step", "dice", "float16", "patients"]
    text = (tmp_path / "gpu.md").read_text()
    for title, table in found.items():
        assert table["rows"] and all(len(row) == len(table["head"]) for row in table["rows"]), title
        assert f"### {title}" in text and "failed" not in title
    step, left_out, dice, float16, more = list(found.values())[3:]
    assert all(row[2] > 0 and row[4] == pytest.approx(1000 * row[0] / row[3]) for row in step["rows"])
    assert [row[0] for row in left_out["rows"]] == [v for v in gpu_steps.VARIANTS if "compile" not in v]
    assert [row[1] for row in dice["rows"]] == [0, 1, "mean of 2 (range)"]
    assert [run["config"]["seed"] for run in dice["raw"]] == [0, 1]
    assert any("Final scale" in note for note in float16["notes"]) and float16["raw"][0]["scale"] > 1
    assert dice["raw"][0]["scale"] == 1 and more["raw"][0]["n_train"] == dice["raw"][0]["n_train"] + 6


def test_a_part_that_fails_is_named_and_the_next_one_is_done(tmp_path: Path, monkeypatch):
    def fail(bench: gpu.Bench) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setitem(gpu.PARTS, "memory", (fail, 0))
    gpu.main(["--smoke", "--out", str(tmp_path), "--device", "cpu", "--only", "memory,card"])
    first, second = tables(tmp_path)
    assert first["title"] == "memory: failed" and first["notes"] == ["RuntimeError: no such kernel"]
    assert second["part"] == "card" and len(second["rows"]) == 2


def test_a_row_is_on_disk_as_soon_as_it_is_measured(tmp_path: Path):
    report = Report(tmp_path / "new", {"card": "none"})
    table = report.table("card", "Title", ["name", "value"], "A note.", "")
    report.add(table, "a|b", 0.123456)
    assert (tmp_path / "new" / "gpu.md").read_text().split("\n")[2:] == [
        "### Title",
        "",
        "A note.",
        "",
        "| name | value |",
        "|---|---|",
        "| a/b | 0.123 |",
        "",
        "",
    ]
    report.add(table, math.nan, 12345.6)
    assert "| - | 12,346 |" in (tmp_path / "new" / "gpu.md").read_text()
    assert tables(tmp_path / "new")[0]["rows"][0] == ["a|b", 0.123456]


# -------------------------------------------------------------------------------------------- the runs
def test_more_patients_are_for_training_alone():
    small, large = gpu_runs.smallest_data(8), gpu_runs.smallest_data(10)
    pairs = find_pairs(small)
    split = split_by_group(pairs, strata=stone_strata(pairs))
    more = gpu_runs.larger_split(split, large, 9)
    assert more["val"] == split["val"] and more["test"] == split["test"]
    new = {pair.group for pair in more["train"]} - {pair.group for pair in pairs}
    assert len(more["train"]) == len(split["train"]) + 3 and len(new) == 1
    assert gpu_runs.larger_split(split, large, 8) == split
    with pytest.raises(ValueError, match="first 7 patients"):
        gpu_runs.larger_split({**split, "val": []}, large, 9)


def test_means_say_how_many_seeds_got_there():
    row = {"seconds": 3.0, "peak_mib": 10.0, "test_dice_positive_mean": 0.8, "best": 0.9}
    row |= {"test_section_sensitivity": 1.0, "test_false_positives_per_image": 0.25}
    rows = [
        {**row, "reached": {str(d): t for d, t in zip(gpu_runs.DICES, times, strict=True)}}
        for times in ((1.0, 2.0, 3.0, None, None, None), (2.0, 3.0, None, None, None, None))
    ]
    cells = gpu_runs._means(rows)
    assert cells[:4] == ["1.5 (1.0 to 2.0)", "2.5 (2.0 to 3.0)", "1 of 2: 3.0 (3.0 to 3.0)", "not reached"]
    assert len(cells) + 2 == len(gpu_runs.dice_head()) and cells[6] == "0.900 (0.900 to 0.900)"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux pins to cores")
def test_cores_are_given_back():
    before = os.sched_getaffinity(0)
    one = min(before)
    with on_cores([one]):
        assert os.sched_getaffinity(0) == {one}
    with on_cores([10_000, 10_001]):  # cores that are not there
        assert 1 <= len(os.sched_getaffinity(0)) <= 2
    with on_cores(None):
        assert os.sched_getaffinity(0) == before
    assert os.sched_getaffinity(0) == before


def test_a_type_can_be_forced(monkeypatch):
    for name, dtype in (("float16", torch.float16), ("bfloat16", torch.bfloat16), ("float32", None)):
        monkeypatch.setenv("UNET_PRECISION", name)
        assert sixteen_bit_type(CPU) == dtype
    monkeypatch.setenv("UNET_PRECISION", "half")
    with pytest.raises(ValueError, match="UNET_PRECISION must be float16, bfloat16 or float32, got 'half'"):
        sixteen_bit_type(CPU)


# ---------------------------------------------------------------------------------------- the estimate
def test_a_step_is_counted_forward_and_backward():
    layer, image = torch.nn.Conv2d(1, 2, 3, padding=1, bias=False), torch.rand(1, 1, 10, 10)
    counted = gpu_estimate.counted_step(lambda: layer(image).sum().backward(), CPU)
    convolution = 2 * 2 * 9 * 100  # of the forward pass; the gradient of the image is not needed
    assert sorted(n for n in counted.flops if n) == [convolution, convolution]
    assert 4 * (100 + 18 + 200) in counted.bytes  # image, weights and result, in float32
    assert counted.seconds(1e30, 1.0) == sum(counted.bytes)
    assert counted.seconds(1.0, 1e30) == sum(counted.flops)


def test_the_estimate_for_a_t4_keeps_this_cards_distance_from_its_peaks(tmp_path: Path):
    counted = gpu_estimate.Counted([65e9, 0.0], [0.0, 640e6])  # 1 ms and 2 ms on a T4
    report = Report(tmp_path, {})
    rows = [[6, 9.0, 1.0, 0.5], [48, 12.0, 1.5, 0.75]]
    gpu_estimate.t4_table(report, counted, rows, (650e12, 3.2e12), 0.6)  # twice its floor of 0.3 ms
    values = {str(row[0]): row[1] for row in report.tables[0].rows}
    assert values["T4, at its peaks"] == pytest.approx(3)
    assert values["T4's GPU, as far from its peaks as this card"] == pytest.approx(6)
    assert values["T4, a plain step: the longer of the two"] == 12
    assert values["T4, a plain step: times as long as its GPU needs"] == pytest.approx(2)
    assert values["T4, a recorded step: the longer of the two"] == pytest.approx(6)
    assert values["T4, a recorded step: times as long as its GPU needs"] == 1
    assert "ESTIMATE" in report.tables[0].title and "48 patches" in report.tables[0].title
