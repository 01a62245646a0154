"""The engine of the benchmarks: rows are made in pieces, and a table says what is in them."""

import json
import os
import sys
import time
from argparse import Namespace
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
import contest

ROW = {
    "contestant": "ours",
    "seed": 0,
    "threads": 1,
    "budget": 60.0,
    "dice_positive_mean": 0.8,
    "val_dice": 0.88,
    "section_sensitivity": 0.7,
    "stone_sensitivity": 0.9,
    "false_positives_per_image": 0.5,
    "parameters": 121033,
    "images_per_s": 100.0,
    "megapixels_per_s": 0.9,
    "share_of_peak": 0.25,
    "precision": "bfloat16",
    "peak_memory_mib": 900.0,
}


def test_only_missing_rows_are_measured(tmp_path: Path):
    assert contest.read_rows(tmp_path / "none.jsonl") == []
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + json.dumps({**ROW, "threads": 2, "budget": 180.0}) + "\n")
    rows = contest.read_rows(path)
    assert contest._missing(rows, "ours", 0, 1, [60.0, 180.0]) == [180.0]
    assert contest._missing(rows, "ours", 1, 1, [60.0]) == [60.0] == contest._missing(rows, "a", 0, 1, [60.0])


def test_the_table_gives_mean_and_range_over_seeds():
    rows = [ROW, {**ROW, "seed": 1, "dice_positive_mean": 0.9}, {**ROW, "budget": 5.0}]
    lines = contest.table(rows, "ours").split("\n")
    assert len(lines) == 4 and "| ours | 5 | 1 | 0.800 (0.800 to 0.800) |" in lines[2]
    assert "| ours | 60 | 2 | 0.850 (0.800 to 0.900) | - | 0.880 | 0.700 | 0.900 | 0.50 |" in lines[3]
    assert "| 0.50 | 121,033 | 100.0 |" in lines[3]
    assert lines[3].endswith("| 25 % bfloat16 | 900 | not noted, 1 at once |")


def images(*dices: float) -> dict:
    return {
        "per_image": [{"dice": d, "n_sections": 1, "n_found": 1, "n_false_positives": 0} for d in dices],
        "groups": ["a", "a", "b"],
    }


def test_contestants_are_compared_on_the_same_images_by_patient():
    rows = [
        {**ROW, **images(0.1, 0.3, 0.9)},
        {**ROW, "seed": 1, **images(0.2, 0.4, 0.8)},
        {**ROW, "contestant": "net", **images(0.2, 0.4, 0.7)},
        {**ROW, "contestant": "net", "seed": 7},
        {**ROW, "contestant": "late", "budget": 180.0},
    ]
    text = contest.table(rows, "ours")
    # at seed 0, which both have, net gains 0.1 with patient a and loses 0.2 with b
    assert "| Dice minus ours (95 %) |" in text and "| +0.000 (-0.200 to +0.100) |" in text
    assert [line.split(" | ")[4] for line in text.split("\n")[2:]] == ["+0.000 (-0.200 to +0.100)", "-", "-"]


def test_the_figure_draws_the_range_of_the_seeds():
    rows = [
        ROW,
        {**ROW, "seed": 1, "dice_positive_mean": 0.9},
        {**ROW, "contestant": "net-in-ours"},
        {**ROW, "contestant": "net", "budget": 180.0, "dice_positive_mean": 0.3},
    ]
    ax = contest.plot(rows).axes[0]
    ours, other, inside = ax.containers
    assert [c.get_label() for c in ax.containers] == ["ours", "net", "net, our recipe"]
    assert ours.lines[0].get_xydata()[0].tolist() == pytest.approx([60, 0.85])
    assert other.lines[0].get_xydata().tolist() == [[180, 0.3]]
    (bar,) = ours.lines[2][0].get_segments()
    assert [y for _, y in bar.tolist()] == pytest.approx([0.8, 0.9])
    assert other.lines[0].get_color() == inside.lines[0].get_color() != ours.lines[0].get_color()
    assert [c.lines[0].get_linestyle() for c in ax.containers] == ["-", "--", "-"]


def test_operations_are_counted_forward_and_twice_backward():
    layer = torch.nn.Conv2d(1, 2, 3, padding=1, bias=False)
    assert contest.operations_per_image(layer, 10) == 3 * 2 * 2 * 9 * 100


def test_a_network_that_needs_even_sides_takes_any():
    seen = []
    network = torch.nn.Identity()
    network.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[-2:])))
    image = torch.rand(1, 1, 33, 64)
    assert torch.equal(contest.Padded(network)(image), image) and seen == [(64, 64)]


# ------------------------------------------------------------------------------------ several at once
SCRIPT = """
import json, os, sys, time
name, seed, budgets = json.loads(sys.argv[sys.argv.index("--one") + 1])
print("words that are no row", flush=True)
if name == "broken":
    sys.exit(3)
cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
row = {"contestant": name, "seed": seed, "dice_positive_mean": 0.5, "cores": cores, "began": time.time()}
row |= {"threads": os.environ["OMP_NUM_THREADS"], "device": os.environ["CONTEST_DEVICE"]}
for budget in budgets:
    time.sleep(60 if name == "endless" else 0.3)
    print(json.dumps({**row, "budget": budget}), flush=True)
"""


def compete(folder: Path, jobs: list, wall: float = 1e9, **options) -> tuple[list[dict], list]:
    script = folder / "script.py"
    script.write_text(SCRIPT)
    about = {"data": "phantom", "threads": 1, "device": "cpu", "jobs": 2, "cores": None, **options}
    args = Namespace(out=folder / "rows.jsonl", wall=wall, **about)
    undone = contest.measure_all(str(script), args, jobs, lambda name: 5.0)
    return contest.read_rows(args.out), undone


def test_contestants_train_side_by_side_and_a_broken_one_does_not_stop_the_others(tmp_path: Path):
    jobs = [("a", 0, [1.0, 2.0]), ("broken", 0, [1.0]), ("b", 1, [1.0]), ("c", 0, [3.0])]
    rows, undone = compete(tmp_path, jobs)
    assert undone == [("broken", 0, [1.0])]
    found = {(row["contestant"], row["seed"], row["budget"]) for row in rows}
    assert found == {("a", 0, 1.0), ("a", 0, 2.0), ("b", 1, 1.0), ("c", 0, 3.0)}
    assert {(row["threads"], row["device"]) for row in rows} == {("1", "cpu")}
    began = {row["contestant"]: row["began"] for row in rows}
    assert began["c"] < began["b"] and began["a"] < began["b"]  # the longest come first, two at once


def test_the_wall_ends_what_runs_and_begins_nothing_that_would_not_end(tmp_path: Path):
    started = time.perf_counter()
    jobs = [("endless", 0, [1.0]), ("late", 0, [100.0]), ("a", 0, [0.5])]
    rows, undone = compete(tmp_path, jobs, wall=8.0)
    assert sorted(undone) == [("endless", 0, [1.0]), ("late", 0, [100.0])]
    assert [row["contestant"] for row in rows] == ["a"] and time.perf_counter() - started < 30


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux pins to cores")
def test_each_contestant_has_a_core_of_its_own(tmp_path: Path):
    one = min(os.sched_getaffinity(0))
    rows, _ = compete(tmp_path, [("a", 0, [1.0]), ("b", 0, [1.0])], cores=f"{one},{one}")
    assert [row["cores"] for row in rows] == [[one], [one]]
    assert contest.cores_of("2-4,7") == [2, 3, 4, 7] and contest.cores_of(None) == []
