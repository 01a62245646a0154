"""Training that stops and goes on, refuses what cannot work, and repeats itself."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_data import tiny_pairs, write_tiny

from unet_helpers import training
from unet_helpers.checkpoint import load_checkpoint, load_state, save_state
from unet_helpers.data import Pair, image_hash, load_arrays, load_image
from unet_helpers.engine import cache, compiling, progress, resuming, run_folder, validating
from unet_helpers.engine.stopping import Interrupted
from unet_helpers.folders.finding import scan_folder
from unet_helpers.losses import bce_dice_loss
from unet_helpers.model import UNet
from unet_helpers.training import (
    Run,
    TrainConfig,
    choose_device,
    fit,
    learning_rate_factor,
    run_status,
)
from unet_helpers.transforms import augment

CPU = torch.device("cpu")
# six steps in which the Dice rises and falls again, in 16 bits and in 32: the best epoch is the second
CONFIG = TrainConfig(
    n_steps=6, steps_per_epoch=2, batch_size=4, patch_size=32, learning_rate=0.2, warm_up=0, seed=2
)
Pairs = tuple[list[Pair], list[Pair]]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    return tiny_pairs(tmp_path_factory.mktemp("tiny"))


def small_model(seed: int = 0) -> UNet:
    torch.manual_seed(seed)
    model = UNet(base_channels=2, depth=2, unshuffle=1)
    torch.nn.init.constant_(model.head.bias, -2.0)
    return model


def train(pairs: Pairs, run: Path, config: TrainConfig = CONFIG, **options) -> list[dict]:
    options = {"model": small_model(), "device": CPU, "progress": False, **options}
    return fit(*pairs, run, config, **options)


def without_seconds(history: list[dict]) -> list[dict]:
    return [{key: value for key, value in epoch.items() if key != "seconds"} for epoch in history]


@pytest.fixture(scope="module")
def whole(pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    """The run that nobody interrupts."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    return run, train(pairs, run)


def assert_same_run(run: Path, history: list[dict], whole: tuple[Path, list[dict]]) -> None:
    assert without_seconds(history) == without_seconds(whole[1])
    for name in ("last.pt", "best.pt"):
        mine, theirs = load_state(run / name), load_state(whole[0] / name)
        assert mine["step"] == theirs["step"] and torch.equal(mine["generator"], theirs["generator"])
        for moment, other in zip(mine["snapshots"], theirs["snapshots"], strict=True):
            assert moment["step"] == other["step"] and torch.equal(moment["crops"], other["crops"])
        for key, value in theirs["model"].items():
            assert torch.equal(mine["model"][key], value), f"{key} of {name} differs"


# ---------------------------------------------------------------------------------------- one whole run
def test_a_run_leaves_history_and_checkpoints(whole: tuple[Path, list[dict]]):
    run, history = whole
    names = sorted(path.name for path in run.iterdir())
    assert names == ["best.pt", "history.json", "last.pt", "run.lock", "snapshots.png"]
    assert (run / "run.lock").read_bytes() == b""
    assert json.loads((run / "history.json").read_text()) == history
    assert [epoch["step"] for epoch in history] == [2, 4, 6]
    for epoch in history:
        assert set(epoch) == {"step", "seconds", "train_loss", "val_dice", "learning_rate"}
        assert 0 <= epoch["val_dice"] <= 1 and epoch["train_loss"] > 0
    scores = [epoch["val_dice"] for epoch in history]
    assert scores[1] > max(scores[0], scores[2]) + 0.05 and min(scores) > 0.1  # so that comparisons bite
    best, last = load_checkpoint(run / "best.pt"), load_checkpoint(run / "last.pt")
    assert (best.step, best.val_dice) == (last.step, last.val_dice) == (6, scores[2])
    assert len(best.split["train"]) == 4 and len(best.split["val"]) == 1 and best.config["batch_size"] == 4


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([0.2, 0.9, 0.1], 4),  # the network went bad
        ([0.5, 0.6, 0.7], 6),
        ([0.5, 0.9, 0.6], 6),  # the second was a lucky one
        ([0.6, 0.5, 0.4], 2),
    ],
)
def test_the_weights_at_the_highest_running_average_are_kept(
    pairs: Pairs, tmp_path: Path, monkeypatch, scores: list[float], kept: int
):
    told = iter(scores)
    monkeypatch.setattr(training, "validate", lambda run: next(told))
    history = train(pairs, tmp_path)
    best = load_checkpoint(tmp_path / "best.pt")
    assert [epoch["val_dice"] for epoch in history] == scores
    assert (best.step, best.val_dice) == (kept, scores[kept // 2 - 1])


def test_the_running_average_starts_at_the_first_score_and_follows_by_a_fifth():
    history = [{"val_dice": score} for score in (0.5, 1.0, 0.0)]
    assert training.running_average(history) == pytest.approx([0.5, 0.6, 0.48])
    assert training.running_average([]) == []


def test_the_saved_weights_score_what_the_history_says(whole: tuple[Path, list[dict]], pairs: Pairs):
    from unet_helpers.inference import predict_all
    from unet_helpers.metrics import dice

    images, masks = load_arrays(pairs[1])
    best = load_checkpoint(whole[0] / "best.pt")
    scores = [dice(p >= 0.5, m) for p, m in zip(predict_all(best.model, images), masks, strict=True)]
    assert np.mean(scores) == pytest.approx(best.val_dice, abs=1e-6)


def test_a_finished_run_is_returned_at_once(whole, pairs: Pairs, monkeypatch, capsys):
    monkeypatch.setattr(cache, "load_hashed", None)  # reading images with their masks again would fail
    model = small_model(seed=5)
    assert train(pairs, whole[0], model=model) == whole[1]
    assert "finished at step 6" in capsys.readouterr().out
    assert torch.equal(model.head.weight, load_state(whole[0] / "last.pt")["model"]["head.weight"])


def test_the_same_seed_repeats_the_run_and_another_seed_does_not(whole, pairs: Pairs, tmp_path: Path):
    torch.rand(7)  # what was drawn before must not matter
    assert_same_run(tmp_path / "a", train(pairs, tmp_path / "a"), whole)
    other = train(pairs, tmp_path / "b", replace(CONFIG, seed=1))
    assert without_seconds(other) != without_seconds(whole[1])


def test_the_default_model_is_seeded(pairs: Pairs, tmp_path: Path):
    config = replace(CONFIG, n_steps=1)
    torch.rand(3)
    first = train(pairs, tmp_path / "a", config, model=None)
    torch.rand(5)
    assert without_seconds(train(pairs, tmp_path / "b", config, model=None)) == without_seconds(first)


def test_it_learns(pairs: Pairs, tmp_path: Path):
    config = replace(CONFIG, n_steps=80, steps_per_epoch=40, batch_size=8, learning_rate=1e-2, warm_up=0.2)
    model = UNet(base_channels=4, depth=2)
    history = train(pairs, tmp_path, config, model=model)
    assert max(epoch["val_dice"] for epoch in history) > 0.7
    assert history[-1]["train_loss"] < history[0]["train_loss"]


def test_the_last_epoch_may_be_short_and_its_loss_is_the_mean_of_its_own_steps(pairs: Pairs, tmp_path: Path):
    losses = []

    def noted(logits, target):
        losses.append(bce_dice_loss(logits, target))
        return losses[-1]

    history = train(pairs, tmp_path, replace(CONFIG, n_steps=5), loss=noted)
    expected = [(losses[0] + losses[1]) / 2, (losses[2] + losses[3]) / 2, losses[4]]
    assert [epoch["train_loss"] for epoch in history] == pytest.approx([value.item() for value in expected])
    assert len(losses) == 5 and [epoch["step"] for epoch in history] == [2, 4, 5]


def test_the_loss_and_the_augmentation_are_those_that_were_given(pairs: Pairs, tmp_path: Path):
    seen = []

    def no_change(images, masks, generator):
        seen.append((images, masks))
        return images, masks

    config = replace(CONFIG, n_steps=2)
    plain = train(pairs, tmp_path / "a", config, augment=None)
    assert without_seconds(train(pairs, tmp_path / "b", config, augment=no_change)) == without_seconds(plain)
    images, masks = seen[0]
    assert images.shape == masks.shape == (4, 1, 32, 32) and masks.dtype == torch.bool
    assert images.min() >= -1 and images.max() <= 1 and images[masks].min() > images[~masks].mean()
    assert without_seconds(train(pairs, tmp_path / "c", config)) != without_seconds(plain)
    flat = train(pairs, tmp_path / "d", config, loss=lambda logits, target: 7 + 0 * logits.float().sum())
    assert flat[0]["train_loss"] == 7


def test_restart_on_demand(whole, pairs: Pairs, tmp_path: Path):
    train(pairs, tmp_path, replace(CONFIG, seed=3))
    assert_same_run(tmp_path, train(pairs, tmp_path, resume=False), whole)


# ---------------------------------------------------------------------------- interrupted and resumed
@pytest.mark.parametrize("stop_at", [1, 2, 3, 5])
def test_interrupted_and_resumed_equals_uninterrupted(
    whole, pairs: Pairs, tmp_path: Path, capsys, stop_at: int
):
    calls = []

    def press_ctrl_c(*args):
        calls.append(1)
        if len(calls) == stop_at:
            signal.raise_signal(signal.SIGINT)
        return augment(*args)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted) if stop_at == 1 else nullcontext():  # before the first validation
        train(pairs, tmp_path, augment=press_ctrl_c)
    assert load_state(tmp_path / "last.pt")["step"] == stop_at and signal.getsignal(signal.SIGINT) is before
    said = capsys.readouterr().out
    assert stop_at == 1 or f"Stopped at step {stop_at}; everything is saved" in said
    again = train(pairs, tmp_path, model=small_model(seed=9), augment=press_ctrl_c)
    assert_same_run(tmp_path, again, whole)
    assert f"continued at step {stop_at} of 6." in capsys.readouterr().out
    assert len(calls) == 6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_can_end_in_an_exception_after_everything_is_saved(
    whole, pairs: Pairs, tmp_path: Path, number: signal.Signals
):
    def stop(history: list[dict]) -> None:
        signal.raise_signal(number)

    with pytest.raises(Interrupted, match="stopped at step 2; everything is saved") as caught:
        train(pairs, tmp_path, on_epoch=stop, raise_interrupt=True)
    assert (caught.value.step, caught.value.signal_number) == (2, number)
    assert load_state(tmp_path / "last.pt")["step"] == 2
    assert_same_run(tmp_path, train(pairs, tmp_path, raise_interrupt=True), whole)


def test_what_a_killed_process_left_half_written_is_removed(whole, pairs: Pairs, tmp_path: Path):
    (tmp_path / ".last.4711.pt").write_bytes(b"half")
    (tmp_path / ".last.pt.mine").write_bytes(b"not ours")
    train(pairs, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert ".last.4711.pt" not in names and ".last.pt.mine" in names


def test_an_error_in_the_callback_loses_at_most_one_epoch(whole, pairs: Pairs, tmp_path: Path):
    def fail(history: list[dict]) -> None:
        if len(history) == 2:
            raise RuntimeError("drawing failed")

    with pytest.raises(RuntimeError, match="drawing failed"):
        train(pairs, tmp_path, on_epoch=fail)
    assert load_state(tmp_path / "last.pt")["step"] == 2
    assert_same_run(tmp_path, train(pairs, tmp_path), whole)


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[3])
from test_training import CONFIG, CPU, small_model
from tiny_data import tiny_pairs
from unet_helpers import training
from unet_helpers.engine import files

def kill(*args):
    os.kill(os.getpid(), signal.SIGKILL)

def nth(n, function):
    count = []
    def call(*args, **options):
        count.append(1)
        return kill() if len(count) == n else function(*args, **options)
    return call

def strike(moment):
    if moment == "step":                    # in the middle of an epoch
        training.train_step = nth(4, training.train_step)
    if moment == "between":                 # best.pt is new, last.pt is old
        return lambda history: kill() if len(history) == 2 else None
    if moment == "write":                   # the file is written, but not yet in its place
        files.os.replace = nth(6, os.replace)

pairs = tiny_pairs(Path(sys.argv[1]) / "data")
torch.optim.AdamW([torch.zeros(1, requires_grad=True)])  # imports half of PyTorch, once for all children
for moment in sys.argv[2].split(","):
    child = os.fork()                       # this process never computes, so its children may
    if not child:
        training.fit(*pairs, Path(sys.argv[1]) / moment, CONFIG, small_model(), CPU, progress=False,
                     on_epoch=strike(moment))
        os._exit(0)
    print(moment, -os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks with PyTorch loaded, which only Linux endures")
def test_killed_at_any_moment_and_resumed_equals_uninterrupted(whole, tmp_path: Path):
    command = [sys.executable, "-c", KILLED, str(tmp_path), "step,between,write", str(Path(__file__).parent)]
    root = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.stdout.split() == ["step", "9", "between", "9", "write", "9"], done.stderr
    pairs = scan_folder(tmp_path / "data").pairs
    for moment in ("step", "between", "write"):
        run = tmp_path / moment
        assert 0 < load_state(run / "last.pt")["step"] < 6
        assert_same_run(run, train((pairs[:8], pairs[8:10]), run), whole)


RANDOM = """
import io, os, random, signal, sys, time
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[2])
from test_training import CPU, LONG, small_model
from tiny_data import tiny_pairs
from unet_helpers import training

pairs, runs = tiny_pairs(Path(sys.argv[1]) / "data"), [Path(sys.argv[1]) / "run0"]
torch.optim.AdamW([torch.zeros(1, requires_grad=True)])
reading, writing = os.pipe()
os.set_blocking(reading, False)
real_save = torch.save

def slow_save(state, file):                 # in two halves, so that there is a middle to be killed in
    buffer = io.BytesIO()
    real_save(state, buffer)
    whole = buffer.getvalue()
    os.write(writing, b"w")
    file.write(whole[: len(whole) // 2])
    file.flush()
    time.sleep(0.01)
    file.write(whole[len(whole) // 2 :])

def start():
    child = os.fork()
    if not child:
        torch.save = slow_save
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # half a line of a killed child would spoil the next
        training.fit(*pairs, runs[-1], LONG, small_model(), CPU, progress=False)
        os._exit(0)
    return child

dice, n_kills = random.Random(int(sys.argv[3])), 0
def signs():
    try:
        return len(os.read(reading, 1000))
    except BlockingIOError:
        return 0

while n_kills < 6:
    signs()                                 # forget those of the last child
    child, awaited = start(), dice.randint(1, 3)
    if n_kills % 2:                         # during a write
        while awaited > 0 and not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            awaited -= signs()
        time.sleep(dice.uniform(0, 0.012))
    else:
        time.sleep(dice.uniform(0.02, 0.4))
    os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 0:                         # it was faster than the kill: begin another run
        runs.append(Path(sys.argv[1]) / f"run{len(runs)}")
        continue
    n_kills += 1
    halves = sum(path.name.startswith(".") for path in runs[-1].glob("*"))
    last = runs[-1] / "last.pt"             # a whole file after every kill, or none yet
    print("killed", status, halves, torch.load(last, weights_only=True)["step"] if last.exists() else 0)
os.waitpid(start(), 0)
print("runs", len(runs))
"""
LONG = replace(CONFIG, n_steps=32, steps_per_epoch=4)


@pytest.mark.in_turn  # kills by the clock
@pytest.mark.skipif(sys.platform != "linux", reason="forks with PyTorch loaded, which only Linux endures")
def test_killed_at_six_random_moments_and_resumed_equals_uninterrupted(pairs: Pairs, tmp_path: Path):
    command = [sys.executable, "-c", RANDOM, str(tmp_path), str(Path(__file__).parent), "0"]
    root = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, env=environment)
    kills = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("killed")]
    assert [status for status, *_ in kills] == ["-9"] * 6, done.stderr
    assert sum(int(halves) for _, halves, _ in kills) >= 2, "no kill hit the middle of a write"
    own = scan_folder(tmp_path / "data").pairs
    history = train((own[:8], own[8:10]), tmp_path / "whole", LONG)
    for k in range(int(done.stdout.split()[-1])):
        run = tmp_path / f"run{k}"
        again = train((own[:8], own[8:10]), run, LONG)  # finished: only returned
        assert_same_run(run, again, (tmp_path / "whole", history))
        assert not [path for path in run.iterdir() if path.name.startswith(".")]


def test_training_outside_the_main_thread(pairs: Pairs, tmp_path: Path):
    histories = []
    config = replace(CONFIG, n_steps=1)
    thread = threading.Thread(target=lambda: histories.append(train(pairs, tmp_path, config)))
    thread.start()
    thread.join()
    assert len(histories[0]) == 1


# --------------------------------------------------------------------------------------------- budgets
def test_minutes_end_in_time(pairs: Pairs, tmp_path: Path):
    history = train(pairs, tmp_path, replace(CONFIG, minutes=0.02))  # 1.2 s
    assert 1.2 <= history[-1]["seconds"] < 10
    assert history[-1]["learning_rate"] < 0.2 * CONFIG.learning_rate  # the cosine came down with the clock
    assert train(pairs, tmp_path, replace(CONFIG, minutes=0.02)) == history


def test_epochs_cut_all_images_once(pairs: Pairs, tmp_path: Path):
    config = replace(CONFIG, n_epochs=2, n_steps=999, steps_per_epoch=None, batch_size=2)
    steps = (4 * 48 * 48 + 4 * 40 * 56) // 32**2 // 2
    assert [epoch["step"] for epoch in train(pairs, tmp_path, config)] == [steps, 2 * steps]


def test_the_learning_rate_climbs_then_falls():
    rates = [learning_rate_factor(step / 100, 0.2) for step in range(101)]
    assert rates[20] == 1.0 == max(rates) and [rates[10], rates[60]] == pytest.approx([0.5, 0.5])
    assert 0 < rates[0] < 0.05 and rates[100] == pytest.approx(0) and learning_rate_factor(1.3, 0.2) == 0
    assert learning_rate_factor(0.0, 0.0) == 1.0


# ------------------------------------------------------------------------------------- data of all sizes
def test_images_smaller_than_a_patch_and_larger_than_the_limit(tmp_path: Path, monkeypatch):
    mixed = tiny_pairs(tmp_path / "data", sizes=((9, 20), (100, 130), (64, 64)))
    assert len(train(mixed, tmp_path / "run", replace(CONFIG, n_steps=2, max_size=70))) == 1
    assert tuple(load_state(tmp_path / "run" / "last.pt")["sides"]) == (20, 70)


def test_load_arrays_shrinks_image_and_mask_alike(pairs: Pairs):
    images, masks = load_arrays(pairs[1], max_size=24)
    assert [image.shape for image in images] == [mask.shape for mask in masks] == [(24, 24), (17, 24)]
    assert images[0].dtype == np.uint8 and masks[0].dtype == bool and masks[0].any()
    images, _ = load_arrays(pairs[1])
    assert [image.shape for image in images] == [(48, 48), (40, 56)]


def test_validation_scores_the_images_with_a_stone_only():
    class Flat(torch.nn.Conv2d):
        def forward(self, image: torch.Tensor) -> torch.Tensor:  # the second image, and its right half
            return super().forward(image) * (image.mean((1, 2, 3), keepdim=True) > 0)

    model = Flat(1, 1, 1)
    torch.nn.init.constant_(model.weight, 1.0)
    torch.nn.init.constant_(model.bias, -0.5)
    image, stone, empty = np.full((4, 4), 255, np.uint8), np.eye(4, dtype=bool), np.zeros((4, 4), bool)
    image[:, :1] = 0
    run = Run(CONFIG, model, CPU)
    for masks, expected in (
        ((stone, empty), 2 * 3 / (12 + 4)),  # three of the four stone pixels, twelve predicted
        ((stone, ~empty), (2 * 3 / (12 + 4) + 2 * 12 / (12 + 16)) / 2),
    ):
        run.val = [image, image], masks
        assert training.validate(run) == pytest.approx(expected)


# --------------------------------------------------------------------------------------------- refusals
def test_groups_in_both_parts_are_refused(pairs: Pairs, tmp_path: Path):
    with pytest.raises(ValueError, match=r"must share no group, got \['exam-\d+'\] in both\. Use split"):
        train((pairs[0], pairs[0][:1]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_data_without_stones_is_refused_with_the_hint(pairs: Pairs, tmp_path: Path):
    empty = scan_folder(write_tiny(tmp_path / "data", stones=False)).pairs
    with pytest.raises(ValueError, match="at least one stone.* Train on images that show some"):
        train((empty[:8], pairs[1]), tmp_path / "run")
    with pytest.raises(ValueError, match="val_pairs must hold at least one stone, got 4 images without"):
        train((pairs[0], empty[8:]), tmp_path / "run")


def test_another_run_in_the_folder_is_refused_and_kept(whole, pairs: Pairs):
    before = (whole[0] / "last.pt").read_bytes()
    with pytest.raises(ValueError, match=r"its own settings, got batch_size 4 there, 8 here\. Leave them aw"):
        train(pairs, whole[0], replace(CONFIG, batch_size=8))
    with pytest.raises(ValueError, match="base_channels 2 there, 3 here"):
        train(pairs, whole[0], model=UNet(base_channels=3, depth=2, unshuffle=1))
    with pytest.raises(ValueError, match="got 0 of 6 training images .* 0 of 2 validation .*, and 2 missing"):
        train((pairs[0][:6], pairs[1]), whole[0])
    assert (whole[0] / "last.pt").read_bytes() == before


def test_a_broken_file_is_named_before_training(tmp_path: Path):
    broken = tiny_pairs(tmp_path / "data")
    broken[0][3].image_path.write_bytes(b"")
    with pytest.raises(ValueError, match=f"{broken[0][3].image_path.name} must be a readable image"):
        train(broken, tmp_path / "run")


def test_a_loss_that_is_not_finite_stops_with_names_and_keeps_the_checkpoint(pairs: Pairs, tmp_path: Path):
    calls = []

    def broken_loss(logits, target):
        calls.append(1)
        return bce_dice_loss(logits, target) * (math.nan if len(calls) == 4 else 1)

    with pytest.raises(FloatingPointError, match=r"must be finite, got nan and nan at step 3, .*\.jpg"):
        train(pairs, tmp_path, loss=broken_loss)
    state = load_state(tmp_path / "last.pt")
    assert state["step"] == 2 and all(value.isfinite().all() for value in state["model"].values())


def test_a_gradient_that_is_not_finite_stops_before_it_reaches_a_file(pairs: Pairs, tmp_path: Path):
    calls = []

    def steep_loss(logits, target):
        calls.append(1)
        loss = bce_dice_loss(logits, target)
        # the slope of the root at 0 is infinite
        return loss + (0 * logits.sum()).sqrt() if len(calls) == 4 else loss

    with pytest.raises(FloatingPointError, match=r"must be finite, got \d\.\d+ and nan at step 3"):
        train(pairs, tmp_path, loss=steep_loss)
    assert all(value.isfinite().all() for value in load_state(tmp_path / "last.pt")["model"].values())


# ------------------------------------------------------------------- losses that are read late, as on a GPU
class LateRun(Run):
    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.reads_late = True


def test_reading_late_changes_nothing(whole, pairs: Pairs, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(resuming, "Run", LateRun)
    assert_same_run(tmp_path, train(pairs, tmp_path), whole)


def test_a_bad_loss_that_is_read_late_is_named_and_never_saved(pairs: Pairs, tmp_path: Path, monkeypatch):
    calls = []

    def broken_loss(logits, target):
        calls.append(1)
        return bce_dice_loss(logits, target) * (math.nan if len(calls) == 5 else 1)

    monkeypatch.setattr(resuming, "Run", LateRun)
    monkeypatch.setattr(progress, "DRAW_EVERY_SECONDS", 1e9)
    config = replace(CONFIG, n_steps=9, steps_per_epoch=3)
    with pytest.raises(FloatingPointError, match=r"got nan and nan at step 4, learning rate .*\.jpg"):
        train(pairs, tmp_path, config, loss=broken_loss)
    assert len(calls) == 6  # two steps later, before the epoch was saved
    for name in ("last.pt", "best.pt"):
        state = load_state(tmp_path / name)
        assert state["step"] == 3 and all(value.isfinite().all() for value in state["model"].values())


# -------------------------------------------------------------------------------------------- torch.compile
def test_a_compiled_run_is_saved_under_the_plain_names(whole, pairs: Pairs, tmp_path: Path, monkeypatch):
    real, calls = torch.compile, []

    def count(graph, inputs):
        calls.append(1)
        return graph

    monkeypatch.setattr(torch, "compile", lambda model, **options: real(model, backend=count, **options))
    history = train(pairs, tmp_path, replace(CONFIG, compile="on"))
    assert calls and [epoch["step"] for epoch in history] == [2, 4, 6]
    state = load_state(tmp_path / "last.pt")
    assert state["model"].keys() == load_state(whole[0] / "last.pt")["model"].keys()
    assert load_checkpoint(tmp_path / "best.pt").config["compile"] == "on"
    assert train(pairs, tmp_path) == history  # the same run, whatever compile says


def test_a_compiler_that_fails_is_left_out(whole, pairs: Pairs, tmp_path: Path, monkeypatch, capsys):
    from torch._dynamo.exc import TorchDynamoException

    def compile_(model, **_):
        def network(images):
            raise TorchDynamoException("no C++ compiler\nin 80 lines")

        return network

    monkeypatch.setattr(torch, "compile", compile_)
    assert_same_run(tmp_path, train(pairs, tmp_path, replace(CONFIG, compile="on")), whole)
    assert capsys.readouterr().out.count("torch.compile does not work here (no C++ compiler); going on") == 1


def test_auto_compiles_on_a_long_run_on_cuda_only(monkeypatch):
    cuda = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(compiling.sys, "platform", "linux")
    wants = compiling.wants_compiling
    assert wants("auto", cuda, 1, 3600.0) and not wants("auto", cuda, 1, 60.0)
    assert not wants("auto", cuda, 1, None) and not wants("auto", cuda, 2, 3600.0)
    assert (
        not wants("auto", CPU, 1, 3600.0) and not wants("off", cuda, 1, 3600.0) and wants("on", CPU, 1, None)
    )
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
    assert not wants("auto", cuda, 1, 3600.0)
    assert [
        Run(replace(CONFIG, compile=c), small_model(), CPU).may_compile for c in ("auto", "on", "off")
    ] == [
        False,
        True,
        False,
    ]


# ---------------------------------------------------------------------------------------- out of memory
def test_out_of_memory_halves_the_parts_says_so_and_finishes(pairs: Pairs, tmp_path: Path, capsys):
    model, sizes = small_model(), []

    def hungry(module, inputs):
        sizes.extend([len(inputs[0])] * module.training)  # the snapshots look on
        if module.training and len(inputs[0]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    model.register_forward_pre_hook(hungry)
    history = train(pairs, tmp_path, model=model)
    assert [epoch["step"] for epoch in history] == [2, 4, 6] and sizes[:3] == [4, 2, 1]
    assert sizes.count(4) == sizes.count(2) == 1
    said = capsys.readouterr().out
    for before, after in ((4, 2), (2, 1)):
        assert said.count(f"Out of memory with {before} patches at once: going on with {after} at once") == 1


def test_a_long_validation_set_is_scored_in_chunks(whole, pairs: Pairs, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(validating, "VALIDATION_CHUNK", 1)
    assert_same_run(tmp_path, train(pairs, tmp_path), whole)


# --------------------------------------------------------------------------------------------- disk full
def test_a_full_disk_is_reported_and_the_old_checkpoint_stays(pairs: Pairs, tmp_path: Path, monkeypatch):
    real, calls = torch.save, []

    def full(state, file):
        calls.append(1)
        if len(calls) > 3:  # last.pt at the start, best.pt and last.pt of the first epoch
            raise OSError(28, "No space left on device")
        real(state, file)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="could not be written: .*No space left"):
        train(pairs, tmp_path)
    assert load_state(tmp_path / "last.pt")["step"] == 2


# ---------------------------------------------------------------------------------------------- devices
def test_devices_that_do_not_work_are_refused_or_passed_over(monkeypatch, capsys):
    assert choose_device("cpu") == CPU
    for name in ("warp drive", "cuda:77"):
        with pytest.raises(ValueError, match=f"device must be one that works here, got '{name}': .* Try cpu"):
            choose_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # reports itself, then refuses to compute
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    real = torch.device
    monkeypatch.setattr(torch, "device", lambda name: real("cuda:77" if name == "cuda" else name))
    assert choose_device() == CPU
    assert "cuda is present but does not work" in capsys.readouterr().out


# ------------------------------------------------------------------- stopped before the first validation
def stop_in_step(monkeypatch, number: int = 1, *signals: signal.Signals) -> None:
    """Send signals during a step, Ctrl-C if none is named."""
    real, calls = training.normalise, []

    def press(*args):
        calls.append(1)
        for one in (signals or (signal.SIGINT,)) if len(calls) == number else ():
            signal.raise_signal(one)
        return real(*args)

    monkeypatch.setattr(training, "normalise", press)


def test_stopped_before_the_first_validation_everything_ends_well(
    whole, pairs: Pairs, tmp_path: Path, monkeypatch, capsys
):
    stop_in_step(monkeypatch)
    with pytest.raises(
        Interrupted, match="^stopped at step 1, before the first validation; .* saved$"
    ) as told:
        train(pairs, tmp_path / "run", progress=True)
    assert told.value._render_traceback_() == [
        "Stopped at step 1, before the first validation; everything is saved. There is no result to look at "
        "yet. Run this cell again to go on."
    ]
    assert "nan" not in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["last.pt", "run.lock"]
    status = run_status(tmp_path / "run")
    assert str(status) == "unfinished at step 1 of 6" and not status.finished and not status.has_best
    assert status.config == CONFIG
    assert_same_run(tmp_path / "run", train(pairs, tmp_path / "run"), whole)
    status = run_status(tmp_path / "run")
    assert str(status) == "finished at step 6" and status.finished and status.has_best


def test_a_run_is_there_from_before_the_first_step_on(pairs: Pairs, tmp_path: Path, monkeypatch):
    def fail(*_):
        raise RuntimeError("the first step fails")

    assert str(run_status(tmp_path)) == "absent" and not run_status(tmp_path).has_best
    monkeypatch.setattr(training, "train_step", fail)
    with pytest.raises(RuntimeError, match="first step fails"):
        train(pairs, tmp_path)
    assert str(run_status(tmp_path)) == "unfinished at step 0 of 6"


@pytest.mark.parametrize("name", ["load_hashed", "image_hashes"])
def test_ctrl_c_while_images_are_read_leaves_the_run_as_it_was(
    whole, pairs: Pairs, tmp_path: Path, monkeypatch, capsys, name: str
):
    def stop(*_, **__):
        raise KeyboardInterrupt

    folder = {"load_hashed": tmp_path, "image_hashes": whole[0]}[name]  # a new run, and a finished one
    monkeypatch.setattr({"load_hashed": cache, "image_hashes": resuming}[name], name, stop)
    if name == "image_hashes":
        assert train(pairs, folder) == whole[1]
        assert "Run the same call again to continue" in capsys.readouterr().out
    with pytest.raises(Interrupted) as caught:  # a new run has nothing to return
        train(pairs, folder, raise_interrupt=name == "image_hashes")
    assert caught.value.signal_number == 2 and caught.value.validated == (name == "image_hashes")
    assert str(run_status(folder)) == {"load_hashed": "absent", "image_hashes": "finished at step 6"}[name]


def test_ctrl_c_in_the_validation_ends_it_whole(whole, pairs: Pairs, tmp_path: Path, monkeypatch):
    real, calls = validating.predict_all, []

    def press(*args, **options):
        calls.append(1)
        if len(calls) == 1:
            signal.raise_signal(signal.SIGINT)
        return real(*args, **options)

    monkeypatch.setattr(validating, "predict_all", press)
    assert [epoch["step"] for epoch in train(pairs, tmp_path)] == [2] and run_status(tmp_path).has_best
    assert_same_run(tmp_path, train(pairs, tmp_path), whole)


def test_two_signals_are_as_good_as_one(whole, pairs: Pairs, tmp_path: Path, monkeypatch):
    stop_in_step(monkeypatch, 3, signal.SIGTERM, signal.SIGTERM, signal.SIGINT)
    with pytest.raises(Interrupted, match="stopped at step 3") as caught:
        train(pairs, tmp_path, raise_interrupt=True)
    assert caught.value.signal_number == signal.SIGTERM
    assert_same_run(tmp_path, train(pairs, tmp_path), whole)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_epochs": 3}, "unfinished at step 1, 17 % of 3 epochs"),
        ({"minutes": 60.0}, "unfinished at step 1, 0 % of 60 minutes"),
    ],
)
def test_the_status_of_epochs_and_minutes(pairs: Pairs, tmp_path: Path, monkeypatch, settings, said: str):
    stop_in_step(monkeypatch)
    with pytest.raises(Interrupted):
        train(pairs, tmp_path, replace(CONFIG, **settings))
    assert str(run_status(tmp_path)) == said


# --------------------------------------------------------------------------------- a run keeps its settings
def test_without_settings_a_run_goes_on_with_its_own(
    whole, pairs: Pairs, tmp_path: Path, monkeypatch, capsys
):
    stop_in_step(monkeypatch, 3)
    train(pairs, tmp_path)
    monkeypatch.setattr(resuming, "default_config", lambda device: TrainConfig(n_steps=10_000))  # a GPU's
    assert_same_run(tmp_path, fit(*pairs, tmp_path, device=CPU, progress=False), whole)
    assert without_seconds(fit(*pairs, tmp_path, device=CPU, progress=False)) == without_seconds(whole[1])
    assert "finished at step 6" in capsys.readouterr().out


def test_every_setting_that_differs_is_named_with_both_values(whole, pairs: Pairs):
    other = replace(CONFIG, batch_size=8, learning_rate=0.3, n_steps=4, compile="off")
    with pytest.raises(ValueError, match="must be continued with its own settings") as caught:
        train(pairs, whole[0], other, model=UNet(base_channels=3, depth=2, unshuffle=1))
    said = str(caught.value)
    for difference in (
        "batch_size 4 there, 8 here",
        "learning_rate 0.2 there, 0.3 here",
        "n_steps 6 there, 4 here, and a run can only be made longer",
        "base_channels 2 there, 3 here",
        "resume=False",
    ):
        assert difference in said
    assert "compile" not in said and "depth" not in said


def test_a_finished_run_can_be_made_longer(pairs: Pairs, tmp_path: Path, capsys):
    short = train(pairs, tmp_path / "a", replace(CONFIG, n_steps=4))
    history = train(pairs, tmp_path / "a", replace(CONFIG, n_steps=8), model=None)
    assert history[:2] == short and [epoch["step"] for epoch in history] == [2, 4, 6, 8]
    assert "continued at step 4 of 8" in capsys.readouterr().out
    rates = [CONFIG.learning_rate * learning_rate_factor(step / 8, CONFIG.warm_up) for step in (5, 7)]
    assert [epoch["learning_rate"] for epoch in history[2:]] == pytest.approx(rates)  # those of a run of 8
    assert load_checkpoint(tmp_path / "a" / "last.pt").config["n_steps"] == 8
    assert fit(*pairs, tmp_path / "a", device=CPU, progress=False) == history  # its length is 8 from now on


class MyNet(torch.nn.Conv2d):
    pass


def test_a_network_of_ones_own_is_trained_opened_and_evaluated(pairs: Pairs, tmp_path: Path):
    from unet_helpers.evaluation import evaluate
    from unet_helpers.inference import predict, predict_all

    net = MyNet(1, 1, 3, padding=1)
    train(pairs, tmp_path, model=net)
    for call in (
        lambda: load_checkpoint(tmp_path / "best.pt"),
        lambda: fit(*pairs, tmp_path, device=CPU, progress=False),
    ):
        with pytest.raises(ValueError, match=r"weights of a .*MyNet\. Give the network .* model=MyNet\(\)"):
            call()
    with pytest.raises(ValueError, match=r"network .*MyNet there, unet_helpers\.model\.UNet here"):
        train(pairs, tmp_path)
    opened = load_checkpoint(tmp_path / "last.pt", model=MyNet(1, 1, 3, padding=1))
    assert torch.equal(opened.model.weight, net.weight) and not opened.model.training
    images, masks = load_arrays(pairs[1])
    probabilities = predict_all(opened.model, images)
    assert np.array_equal(predict(opened.model, images[0]), probabilities[0])
    scores = evaluate(probabilities, masks, opened.threshold, opened.min_pixels)
    assert (
        scores["dice_positive_mean"] == pytest.approx(opened.val_dice, abs=1e-6) and scores["n_images"] == 2
    )
    longer = replace(CONFIG, n_steps=8)
    assert len(train(pairs, tmp_path, longer, model=MyNet(1, 1, 3, padding=1))) == 4


def test_a_network_that_is_compiled_already_is_saved_as_itself(whole, pairs: Pairs, tmp_path: Path):
    assert_same_run(tmp_path, train(pairs, tmp_path, model=torch.compile(small_model())), whole)
    assert load_checkpoint(tmp_path / "best.pt").model.settings["base_channels"] == 2


def test_a_finished_run_on_a_read_only_disk_is_returned(whole, pairs: Pairs, monkeypatch):
    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(run_folder, "_run_lock", refuse)
    assert train(pairs, whole[0]) == whole[1]
    with pytest.raises(OSError, match="Read-only"):
        train(pairs, whole[0], replace(CONFIG, n_steps=8))


# -------------------------------------------------------------------------------- the images, by content
def test_images_are_known_by_content_and_not_by_name(whole, pairs: Pairs, tmp_path: Path):
    state = load_state(whole[0] / "last.pt")
    assert state["images"] == {
        name: [image_hash(load_image(pair.image_path)) for pair in part]
        for name, part in zip(("train", "val"), pairs, strict=True)
    }
    assert load_checkpoint(whole[0] / "best.pt").images == state["images"]
    renamed = [
        Pair(Path(shutil.copy(pair.image_path, tmp_path / f"{n}.jpg")), pair.mask_path, f"other {n}")
        for n, pair in enumerate(pairs[0])
    ]
    assert train((renamed, pairs[1]), whole[0]) == whole[1]


@pytest.mark.parametrize("finished", [True, False])
def test_other_images_under_the_same_names_are_refused(
    pairs: Pairs, tmp_path: Path, monkeypatch, finished: bool
):
    own = tiny_pairs(tmp_path / "data")
    if not finished:
        stop_in_step(monkeypatch, 3)
    train(own, tmp_path / "run")
    before = (tmp_path / "run" / "last.pt").read_bytes()
    for pair in own[0][:3]:
        Image.fromarray(255 - load_image(pair.image_path)).save(pair.image_path)
    message = (
        r"run must be continued on the images .* got 3 of 8 training images and 0 of 2 validation "
        r"images that are others, and 3 missing\. Give another"
    )
    with pytest.raises(ValueError, match=message):
        train(own, tmp_path / "run")
    assert (tmp_path / "run" / "last.pt").read_bytes() == before


def test_images_are_hashed_before_they_are_shrunk(tmp_path: Path, monkeypatch):
    own = tiny_pairs(tmp_path / "data")
    train(own, tmp_path / "run", replace(CONFIG, n_steps=1, max_size=24))
    assert load_state(tmp_path / "run" / "last.pt")["images"]["val"] == [
        image_hash(load_image(pair.image_path)) for pair in own[1]
    ]


def to_version_1(path: Path) -> None:
    state = load_state(path)
    for key in ("images", "network", "version"):
        del state[key]
    torch.save({**state, "format": "unet_helpers checkpoint 1"}, path)


def test_a_run_of_version_1_goes_on(whole, pairs: Pairs, tmp_path: Path, monkeypatch):
    stop_in_step(monkeypatch, 3)
    train(pairs, tmp_path)
    for name in ("last.pt", "best.pt"):
        to_version_1(tmp_path / name)
    with pytest.raises(ValueError, match="on the exams it was trained on, got others"):
        train((pairs[0][:6], pairs[1]), tmp_path)
    assert_same_run(tmp_path, train(pairs, tmp_path), whole)
    assert load_state(tmp_path / "last.pt")["images"] == load_state(whole[0] / "last.pt")["images"]


# ------------------------------------------------------------------------------- folders with a past
def test_a_folder_that_is_a_file_is_told_before_anything_is_read(pairs: Pairs, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(cache, "load_hashed", None)
    (tmp_path / "run").write_text("mine")
    for folder in (tmp_path / "run", tmp_path / "run" / "deeper"):
        with pytest.raises(OSError, match="could not be written: .* A file stands where a folder is needed"):
            train(pairs, folder)
    assert (tmp_path / "run").read_text() == "mine"


def test_a_cut_last_pt_names_the_way_out_and_what_is_whole(whole, pairs: Pairs, tmp_path: Path):
    run = shutil.copytree(whole[0], tmp_path / "run")
    (run / "last.pt").write_bytes((run / "last.pt").read_bytes()[:3000])
    for call in (lambda: train(pairs, run), lambda: run_status(run)):
        with pytest.raises(ValueError, match="last.pt must be a whole checkpoint") as caught:
            call()
        assert "Restore it from a copy, give another run folder, or start again" in str(caught.value)
        assert "best.pt (step " in str(caught.value) and "is whole and can be used" in str(caught.value)
    (run / "best.pt").write_bytes(b"half")
    with pytest.raises(ValueError, match="start again with resume=False.$"):
        train(pairs, run)
    assert_same_run(run, train(pairs, run, resume=False), whole)


def test_weights_without_a_run_are_not_written_over(whole, pairs: Pairs, tmp_path: Path):
    shutil.copy(whole[0] / "best.pt", tmp_path / "best.pt")
    with pytest.raises(ValueError, match="a whole run or none, got best.pt without last.pt. Give another"):
        train(pairs, tmp_path)
    assert_same_run(tmp_path, train(pairs, tmp_path, resume=False), whole)


def test_a_run_that_is_started_again_and_stopped_shows_nothing_of_the_old_one(
    whole, pairs: Pairs, tmp_path: Path, monkeypatch
):
    run = shutil.copytree(whole[0], tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(cache, "load_hashed", None)
        with pytest.raises(TypeError):
            train(pairs, run, resume=False)
    assert run_status(run).finished  # nothing is deleted before the images are read
    stop_in_step(monkeypatch)
    with pytest.raises(Interrupted, match="stopped at step 1"):
        train(pairs, run, resume=False)
    assert sorted(path.name for path in run.iterdir()) == ["last.pt", "run.lock"]
    assert not run_status(run).has_best


def test_a_missing_history_is_written_again(whole, pairs: Pairs, tmp_path: Path, monkeypatch):
    stop_in_step(monkeypatch, 3)
    train(pairs, tmp_path)
    (tmp_path / "history.json").unlink()
    stop_in_step(monkeypatch)
    assert len(train(pairs, tmp_path)) == len(json.loads((tmp_path / "history.json").read_text()))


def test_settings_of_another_version_are_told(whole, pairs: Pairs, tmp_path: Path):
    run = shutil.copytree(whole[0], tmp_path / "run")
    state = load_state(run / "last.pt")
    save_state(run / "last.pt", {**state, "config": {**state["config"], "average_decay": 0.99}})
    with pytest.raises(ValueError, match="settings of this version, got: .*average_decay.*Give another"):
        train(pairs, run)


def test_a_run_of_weights_that_are_not_finite_does_not_go_on(whole, pairs: Pairs, tmp_path: Path):
    run = shutil.copytree(whole[0], tmp_path / "run")
    state = load_state(run / "last.pt")
    state["model"]["head.bias"][:] = math.nan
    save_state(run / "last.pt", state)
    with pytest.raises(ValueError, match="last.pt must hold finite weights, got NaN or infinity in 1 of"):
        train(pairs, run)


# --------------------------------------------------------------------------------------- one at a time
SECOND = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_training import CONFIG, CPU, small_model
from tiny_data import tiny_pairs
from dataclasses import replace
from unet_helpers import training
from unet_helpers.engine.calm import CalmError

folder = Path(sys.argv[1])
def wait(history):
    print("started", flush=True)
    sys.stdin.readline()
try:
    pairs = tiny_pairs(folder / sys.argv[3])
    training.fit(*pairs, folder / "run", CONFIG, small_model(), CPU, progress=False, on_epoch=wait)
except CalmError as error:  # in a notebook the sentence alone
    print(error, flush=True)
"""


def start_second(folder: Path, data: str) -> subprocess.Popen:
    root = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", SECOND, str(folder), str(Path(__file__).parent), data]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


def test_two_processes_in_one_folder_and_a_killed_one_blocks_nobody(whole, tmp_path: Path):
    first = start_second(tmp_path, "a")
    try:
        assert first.stdout.readline() == "started\n"
        before = (tmp_path / "run" / "last.pt").read_bytes()
        second, _ = start_second(tmp_path, "b").communicate(timeout=500)
        assert second.count("\n") == 1 and "must be trained in by one process at a time" in second
        assert (tmp_path / "run" / "last.pt").read_bytes() == before
        assert str(run_status(tmp_path / "run")) == "unfinished at step 0 of 6"  # asking needs no lock
    finally:
        first.kill()
        first.communicate()
    assert (tmp_path / "run" / "run.lock").exists()
    own = scan_folder(tmp_path / "a").pairs
    assert_same_run(tmp_path / "run", train((own[:8], own[8:10]), tmp_path / "run"), whole)


def test_a_file_system_that_cannot_lock_is_no_obstacle(
    whole, pairs: Pairs, tmp_path: Path, monkeypatch, capsys
):
    def fail(file):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(run_folder, "_lock", fail)
    assert_same_run(tmp_path, train(pairs, tmp_path), whole)
    assert "file system that cannot lock (Function not implemented)" in capsys.readouterr().out
