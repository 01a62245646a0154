"""Several classes through the whole engine, and one class as it was before there were several."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import affine_grid, cross_entropy, grid_sample

from unet_helpers.checkpoint import load_checkpoint, load_state
from unet_helpers.classes.colours import colour_of, colour_picture, overlay_labels, save_labels
from unet_helpers.classes.losses import cross_entropy_dice_loss
from unet_helpers.classes.masks import predicted_labels, resize_labels
from unet_helpers.classes.scores import class_table, evaluate_classes
from unet_helpers.classes.training import mean_dice, new_network
from unet_helpers.command_line.main import main
from unet_helpers.data import find_pairs, load_arrays, load_pair, stone_strata
from unet_helpers.engine import cache
from unet_helpers.engine.devices import fast_precision
from unet_helpers.engine.stack import anchors_by_class, balanced, spread_anchors
from unet_helpers.evaluation import evaluate
from unet_helpers.inference import predict, predict_all
from unet_helpers.losses import bce_dice_loss
from unet_helpers.model import UNet
from unet_helpers.phantom import write_dataset
from unet_helpers.phantom.labels import CLASSES
from unet_helpers.training import TrainConfig, fit
from unet_helpers.transforms import PatchSampler, augment, change_patches, draw_changes, resize_mask

CPU = torch.device("cpu")
RULE = "--classes kidney=1,stone=2,bone=3"
NAMES = ["kidney", "stone", "bone"]
CONFIG = TrainConfig(n_steps=4, batch_size=2, patch_size=64, steps_per_epoch=2)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("classes") / "set"
    return write_dataset(folder, 4, 2, 64, seed=3, workers=1, progress=False, classes=True)


@pytest.fixture(scope="module")
def split(phantom: Path):
    with pytest.warns(UserWarning, match="2 stone"):
        pairs = find_pairs(phantom, masks=RULE)
    groups = sorted({pair.group for pair in pairs})
    return {
        "train": [pair for pair in pairs if pair.group in groups[:3]],
        "val": [pair for pair in pairs if pair.group == groups[3]],
    }


def labels_of(rows: list[str]) -> np.ndarray:
    return np.array([[int(digit) for digit in row] for row in rows], np.uint8)


# ----------------------------------------------------------------------------------- one class is as it was
def test_one_class_is_augmented_as_before():
    """The lines of the version before, beside those of today."""
    generator = torch.Generator().manual_seed(1)
    images, masks = torch.rand(3, 1, 32, 32), torch.rand(3, 1, 32, 32) > 0.7
    changes, noise = draw_changes(3, generator), torch.randn(3, 1, 32, 32)
    grid = affine_grid(changes[:, :6].reshape(-1, 2, 3), list(images.shape), align_corners=False)
    both = grid_sample(
        torch.cat([images, masks.float()], 1), grid, padding_mode="border", align_corners=False
    )
    factor, offset, strength = changes[:, 6:].T[..., None, None, None]
    old = both[:, :1] * factor + offset + noise * strength, both[:, 1:] > 0.5
    new = change_patches(images, masks, changes, noise)
    assert all(torch.equal(a, b) for a, b in zip(old, new, strict=True))


def test_one_class_is_predicted_as_before():
    torch.manual_seed(0)
    model, image = UNet(base_channels=4, depth=2).eval(), np.arange(48 * 40, dtype=np.uint8).reshape(48, 40)
    with torch.inference_mode():
        x = (torch.from_numpy(image).float() / 127.5 - 1)[None, None]
        total = torch.zeros(1, 48, 40)
        for axes in ((), (-1,)):
            with fast_precision(CPU):
                logits = model(x.flip(axes).contiguous(memory_format=torch.channels_last))
            total += logits.float().sigmoid().flip(axes)[:, 0]
    assert np.array_equal(predict_all(model, [image], n_views=2)[0], (total / 2).numpy()[0])


def test_a_checkpoint_of_one_class_says_nothing_of_classes(tmp_path: Path):
    write_dataset(tmp_path / "set", 3, 2, 64, workers=1, progress=False)
    pairs = find_pairs(tmp_path / "set")
    train = [pair for pair in pairs if pair.group != pairs[0].group]
    val = [pair for pair in pairs if pair.group == pairs[0].group]
    fit(train, val, tmp_path / "run", CONFIG, UNet(base_channels=2, depth=2), CPU, progress=False)
    assert "classes" not in load_state(tmp_path / "run" / "last.pt")
    assert load_checkpoint(tmp_path / "run" / "last.pt").classes == ()


def test_anchors_of_one_class_keep_their_order():
    masks = [np.random.default_rng(i).random((20, 20)) > 0.8 for i in range(3)]
    each = [anchors_by_class(i, mask) for i, mask in enumerate(masks)]
    assert np.array_equal(balanced(each), np.concatenate([of_image[1] for of_image in each]))


# ---------------------------------------------------------------------------------------------------- masks
@pytest.mark.filterwarnings("ignore:.* exam or source")
@pytest.mark.parametrize("kind", ["grey", "palette", "sixteen bits"])
def test_labels_are_read_from_every_kind_of_file(tmp_path: Path, kind: str):
    rng = np.random.default_rng(0)
    written = []
    for i in range(4):
        labels = np.zeros((20, 30), np.uint8)
        labels[3:9, 4:12], labels[10:13, 15:20] = 1, 2 + i % 2
        Image.fromarray(rng.integers(0, 256, (20, 30), np.uint8)).save(tmp_path / f"{i}.png")
        path = tmp_path / f"{i}_mask.png"
        if kind == "palette":
            save_labels(labels, path)
        else:
            Image.fromarray(labels.astype(np.uint16 if kind == "sixteen bits" else np.uint8)).save(path)
        written.append(labels)
    for rule, names in ((RULE, NAMES), ("--num-classes 3", ["class 1", "class 2", "class 3"])):
        with pytest.warns(
            UserWarning, match=f"1 {names[0]} .value 1, in 4 masks., 2 {names[1]} .value 2, in 2"
        ):
            pairs = find_pairs(tmp_path, masks=rule)
        assert [name for name, _ in pairs[0].classes] == names
        for pair, labels in zip(pairs, written, strict=True):
            read = load_pair(pair)[1]
            assert read.dtype == np.uint8 and np.array_equal(read, labels)


@pytest.mark.filterwarnings("ignore:.* exam or source")
def test_other_values_are_background_and_told(tmp_path: Path):
    write_labels(tmp_path, [[0, 7, 50, 90]])
    with pytest.warns(UserWarning, match=r"1 stone .value 50, in 1 mask.*background is 0, 7\."):
        (pair,) = find_pairs(tmp_path, masks="--classes bone=90,stone=50")
    assert load_pair(pair)[1][0].tolist() == [0, 0, 1, 2]


def write_labels(folder: Path, rows: list[list[int]], suffix: str = ".png") -> None:
    labels = np.kron(np.array(rows, np.uint8), np.ones((8, 1), np.uint8))
    Image.fromarray(np.arange(labels.size, dtype=np.uint8).reshape(labels.shape)).save(folder / "a.png")
    Image.fromarray(labels).save(folder / f"a_mask{suffix}")


@pytest.mark.parametrize(
    ("rows", "masks", "message"),
    [
        (
            [[0, 1, 2]],
            "--num-classes 3",
            r"background 0 and --num-classes 3 values more, got 0 .in 1 mask., 1",
        ),
        ([[1, 2, 3]], "--num-classes 3", "must hold the background 0"),
        (
            [[0, 1, 2]],
            "--classes a=8,b=9",
            "must name values that the masks hold, got a=8, b=9, none of them",
        ),
        ([[0, 1, 2]], "--classes a=1,b=1", "each with a name and a value of its own"),
        ([[0, 1, 2]], "--classes a=0,b=1", "names with values above 0"),
        ([[0, 1, 2]], "--classes a=1,b=2 --invert", "must stand without --mask-values"),
        ([[0, 1, 2]], "--classes a=1,b=2 --num-classes 3", "must be the number of --classes, got 3 and 2"),
    ],
)
def test_what_is_not_certain_is_refused(tmp_path: Path, rows: list[list[int]], masks: str, message: str):
    write_labels(tmp_path, rows)
    with pytest.raises(ValueError, match=message):
        find_pairs(tmp_path, masks=masks)


def test_labels_as_jpeg_are_refused(tmp_path: Path):
    labels = np.zeros((40, 40), np.uint8)
    labels[8:20, 8:20], labels[25:35, 20:35] = 100, 200
    Image.fromarray(np.arange(1600, dtype=np.uint16).astype(np.uint8).reshape(40, 40)).save(
        tmp_path / "a.png"
    )
    Image.fromarray(labels).save(tmp_path / "a_mask.jpg")
    with pytest.raises(ValueError, match="must hold the values of the classes alone.*not as JPEG"):
        find_pairs(tmp_path, masks="--classes a=100,b=200")


def test_resizing_mixes_no_classes_and_loses_no_region():
    labels = np.zeros((64, 64), np.uint8)
    labels[8:40, 8:40], labels[20:22, 30:32], labels[50:62, 10:50] = 1, 2, 3
    small = resize_mask(labels, (16, 16))
    assert small.dtype == np.uint8 and set(np.unique(small)) == {0, 1, 2, 3}
    assert (small == 2).sum() == 1 and np.array_equal(small[3:5, 3:7], np.ones((2, 4)))
    side_by_side = np.repeat(labels_of(["1111133333"]), 10, 0)
    assert set(np.unique(resize_labels(side_by_side, (3, 3)))) == {1, 3}  # the middle is one of both, not 2
    assert np.array_equal(resize_labels(labels, (128, 128))[::2, ::2], labels)


def test_augmented_labels_are_labels():
    labels = torch.zeros(4, 1, 48, 48, dtype=torch.uint8)
    labels[:, :, 10:30, 10:24], labels[:, :, 10:30, 24:40] = 1, 200
    images = labels.float() / 255
    _, turned = augment(images, labels, torch.Generator().manual_seed(0))
    assert turned.dtype == torch.uint8 and set(turned.unique().tolist()) == {0, 1, 200}
    assert not torch.equal(turned, labels)


# ------------------------------------------------------------------------------------------------- sampling
@pytest.fixture
def common_and_rare() -> tuple[list[np.ndarray], list[np.ndarray]]:
    labels = np.zeros((200, 200), np.uint8)
    for k in range(60):
        labels[3 * (k // 10) : 3 * (k // 10) + 2, 5 * (k % 10)] = 1
    labels[180, 180] = 2
    return [np.full((200, 200), 90, np.uint8)], [labels]


def test_a_rare_class_is_drawn_as_often_as_a_common_one(common_and_rare):
    sampler = PatchSampler(*common_and_rare, patch_size=32, stone_fraction=1.0, lookalike_fraction=0.0)
    _, masks, _ = sampler.sample(400, torch.Generator().manual_seed(0))
    assert masks.dtype == torch.uint8
    assert 0.4 < (masks == 2).flatten(1).any(1).float().mean() < 0.6


def test_windows_of_a_validation_show_each_class(common_and_rare):
    chosen = spread_anchors(common_and_rare[1][0], 4)[:, 1:].tolist()
    assert len(chosen) == 4 and [180, 180] in chosen


def test_the_cache_is_as_the_memory(split, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("UNET_HOME", str(tmp_path))
    pairs = split["train"]
    kept = cache.open_cache(pairs, min_side=64)
    images, masks = load_arrays(pairs)
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(kept.masks, masks, strict=True))
    memory, files = PatchSampler(images, masks, 64), kept.sampler(64, 0.5, 0.25)
    draws = [one.sample(6, torch.Generator().manual_seed(2)) for one in (memory, files)]
    assert all(torch.equal(a, b) for a, b in zip(*draws, strict=True))


def test_each_combination_of_classes_is_a_stratum(split):
    pairs = split["train"]
    strata = stone_strata(pairs)
    for pair, stratum in zip(pairs, strata, strict=True):
        there = set(np.unique(load_pair(pair)[1]).tolist()) - {0}
        assert there == {number for number in (1, 2, 3) if stratum >> number & 1}


# ------------------------------------------------------------------------------------------------------ loss
def test_the_loss_is_that_of_a_hand_calculation():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [-1.0, 0.5]]).reshape(1, 3, 1, 2)
    labels = torch.tensor([[[[0, 2]]]], dtype=torch.uint8)
    p = logits.softmax(1)[0, :, 0]
    dice = 2 * p[2, 1] / (p[2].sum() + 1)  # class 1 is not there
    expected = cross_entropy(logits, labels[:, 0].long()) + 1 - dice
    assert torch.isclose(cross_entropy_dice_loss(logits, labels), expected, atol=1e-4)


def test_an_absent_class_brings_neither_nan_nor_reward():
    labels = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    logits = torch.randn(2, 4, 8, 8, requires_grad=True)
    loss = cross_entropy_dice_loss(logits, labels)  # nothing but background
    assert torch.isclose(loss, cross_entropy(logits, labels[:, 0].long()))
    loss.backward()
    assert logits.grad is not None and logits.grad.isfinite().all()
    labels[0, 0, :4] = 1
    right = torch.zeros(2, 4, 8, 8).scatter_(1, labels.long(), 20.0)
    assert cross_entropy_dice_loss(right, labels) < 0.001
    in_vain = right.clone()
    in_vain[1, 3] = 40.0  # class 3, which is nowhere
    assert cross_entropy_dice_loss(in_vain, labels) > 5


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (2, 4, 8, 9)])
def test_the_loss_refuses_shapes_that_do_not_fit(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match="logits must have shape"):
        cross_entropy_dice_loss(torch.zeros(shape), torch.zeros(2, 1, 8, 8, dtype=torch.uint8))


# ------------------------------------------------------------------------------------- predictions and scores
def test_probabilities_sum_to_one_whole_in_tiles_and_scaled(monkeypatch):
    torch.manual_seed(0)
    model = new_network((("a", 1), ("b", 2)), base_channels=2, depth=2).eval()
    image = np.random.default_rng(0).integers(0, 256, (700, 60), np.uint8)
    for options in ({}, {"max_size": 100}, {"n_views": 4}):
        found = predict_all(model, [image], **options)[0]
        assert found.shape == (3, 700, 60) and np.allclose(found.sum(0), 1, atol=1e-5)
        assert (found[0] > 0.8).mean() > 0.9  # a new network takes nearly all for background
    labels = predicted_labels(predict(model, image))
    assert labels.dtype == np.uint8 and np.array_equal(labels, predict(model, image).argmax(0))
    with pytest.raises(ValueError, match="predicted_mask"):
        predicted_labels(image.astype(float))


def test_scores_of_masks_drawn_by_hand():
    truth = [labels_of(["1100", "1100", "0022", "0000"]), labels_of(["1000", "0000", "0000", "0000"])]
    found = [labels_of(["1100", "0000", "0022", "3000"]), labels_of(["0000", "0000", "0002", "0000"])]
    scores = evaluate_classes(found, truth, NAMES, n_resamples=20)
    kidney, stone, bone = (scores["classes"][name] for name in NAMES)
    assert kidney["dice_positive_mean"] == pytest.approx((4 / 6 + 0) / 2)
    assert (kidney["n_sections"], kidney["section_sensitivity"]) == (2, 0.5)
    assert stone["dice_positive_mean"] == 1 and stone["dice_pooled"] == pytest.approx(4 / 5)
    assert stone["false_positives_per_image"] == 0.5
    assert np.isnan(bone["dice_positive_mean"]) and bone["n_positive"] == 0
    assert scores["class_means"]["dice_positive_mean"] == pytest.approx((1 / 3 + 1) / 2)
    lines = class_table(scores).splitlines()
    assert lines[1].split()[:2] == ["kidney", "0.333"] and lines[3].split()[:2] == ["bone", "-"]
    assert lines[4].split()[:4] == ["mean", "over", "classes", "0.667"]


def test_what_shows_one_class_says_how_to_give_it_one():
    probability, labels = np.zeros((4, 8, 8), np.float32), np.zeros((8, 8), np.uint8)
    with pytest.raises(
        ValueError, match=r"must be that of one class, got 4 with.*For class k give probability.k"
    ):
        evaluate([probability], [labels], 0.5)


def test_the_validation_dice_is_a_mean_over_classes():
    truth = labels_of(["1111", "0002"])
    right = np.stack([truth == number for number in range(3)]).astype(np.float32)
    wrong = right.copy()
    wrong[[0, 2]] = right[[2, 0]]  # the stone is missed
    assert mean_dice([(right, truth)], 2) == 1 and mean_dice([(wrong, truth)], 2) == pytest.approx(0.5)


def test_colours_differ_and_labels_keep_their_values(tmp_path: Path):
    assert len({colour_of(number) for number in range(255)}) == 255
    labels = np.arange(255, dtype=np.uint8).reshape(15, 17)
    save_labels(labels, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == "P" and np.array_equal(np.asarray(picture), labels)
        assert picture.convert("RGB").getpixel((1, 0)) == colour_of(1)
    image = np.full((15, 17), 100, np.uint8)
    coloured = colour_picture(image, labels)
    assert coloured[0, 0].tolist() == [100] * 3 and len(np.unique(coloured[0, 1])) > 1
    axes = overlay_labels(image, np.minimum(labels, 2), ["kidney", "stone"])
    legend = axes.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == ["kidney", "stone"]
    with pytest.raises(ValueError, match="names must name every class, got 2 for labels up to 254"):
        overlay_labels(image, labels, ["kidney", "stone"])


# ------------------------------------------------------------------------------------------- the second task
def test_the_phantom_shows_the_same_pictures_with_three_classes(phantom: Path, tmp_path: Path):
    plain = write_dataset(tmp_path / "plain", 4, 2, 64, seed=3, workers=1, progress=False)
    assert CLASSES == {"kidney": 1, "stone": 2, "bone": 3}
    seen = set()
    for path in plain.iterdir():
        if path.name.endswith("_mask.png"):
            labels = np.asarray(Image.open(phantom / path.name))
            assert np.array_equal(labels == 2, np.asarray(Image.open(path)) > 0)
            seen |= set(np.unique(labels).tolist())
        else:
            assert (phantom / path.name).read_bytes() == path.read_bytes()
    assert seen == {0, 1, 2, 3}


def test_some_steps_of_training_lower_the_loss(split, tmp_path: Path):
    torch.manual_seed(0)
    model = new_network(split["train"][0].classes, base_channels=4, depth=2)
    config = TrainConfig(n_steps=60, batch_size=4, patch_size=64, steps_per_epoch=20, learning_rate=2e-2)
    history = fit(split["train"], split["val"], tmp_path / "run", config, model, CPU, progress=False)
    losses = [epoch["train_loss"] for epoch in history]
    assert losses[2] < losses[1] < losses[0] and losses[2] < 0.8 * losses[0]
    checkpoint = load_checkpoint(tmp_path / "run" / "best.pt")
    assert checkpoint.classes == (("kidney", 1), ("stone", 2), ("bone", 3))
    assert (tmp_path / "run" / "snapshots.png").is_file()


def test_a_stopped_training_goes_on_as_if_nothing_were(split, tmp_path: Path):
    def train(folder: Path, n_steps: int, **options) -> dict:
        torch.manual_seed(0)
        config = TrainConfig(n_epochs=n_steps // 2, batch_size=2, patch_size=64, steps_per_epoch=2, warm_up=0)
        model = UNet(out_channels=4, base_channels=2, depth=2)
        fit(split["train"], split["val"], folder, config, model, CPU, progress=False, **options)
        return load_state(folder / "last.pt")

    first = train(tmp_path / "a", 2)
    again = train(tmp_path / "a", 4)
    assert first["step"] == 2 and again["step"] == 4 and again["classes"] == first["classes"]


@pytest.mark.parametrize("n", [1, 3])
def test_a_network_of_another_number_of_classes_is_refused(split, tmp_path: Path, n: int):
    with pytest.raises(
        ValueError, match=rf"model must have 4 logits a pixel.*got {n}\. Give .* UNet.out_channels=4"
    ):
        fit(split["train"], split["val"], tmp_path, CONFIG, UNet(out_channels=n), CPU, progress=False)


def test_a_loss_of_your_own_gets_labels(split, tmp_path: Path):
    seen = []

    def own(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.append((logits.shape, labels.dtype))
        return cross_entropy(logits.float(), labels[:, 0].long())

    model = UNet(out_channels=4, base_channels=2, depth=2)
    fit(split["train"], split["val"], tmp_path, CONFIG, model, CPU, progress=False, loss=own)
    assert seen[0] == ((2, 4, 64, 64), torch.uint8) and own is not bce_dice_loss


# ------------------------------------------------------------------------------------------ the command line
@pytest.mark.filterwarnings("default")  # what `main` prints as notes
def test_the_command_line_goes_round(phantom: Path, tmp_path: Path, capsys):
    run, out = tmp_path / "run", tmp_path / "out"
    train = ["train", str(phantom), "--out", str(run), "--device", "cpu"]
    small = ["--batch-size", "2", "--patch-size", "64", "--base-channels", "2"]
    assert main([*train, *small, "--classes", "kidney=1,stone=2,bone=3", "--epochs", "1"]) == 0
    assert "over 3 classes in validation" in capsys.readouterr().out
    assert main([*train, "--resume", "--epochs", "2"]) == 0  # the classes are those of the run
    assert load_state(run / "last.pt")["step"] > 1
    capsys.readouterr()

    best, scores = ["--checkpoint", str(run / "best.pt"), "--device", "cpu"], tmp_path / "scores.json"
    figure = tmp_path / "sheet.png"
    evaluate = ["evaluate", str(phantom), *best, "--split", "all"]
    assert main([*evaluate, "--json", str(scores), "--figure", str(figure)]) == 0
    table = capsys.readouterr().out
    assert all(f"\n{name} " in table for name in [*NAMES, "mean over classes"])
    written = json.loads(scores.read_text("utf-8"))
    assert list(written["classes"]) == NAMES and written["n_images"] == 8 and figure.is_file()
    assert main([*evaluate, "--report", str(tmp_path / "page.html")]) == 1
    assert "--report must be left out for several classes" in capsys.readouterr().err
    assert main([*evaluate, "--classes", "kidney=1,stone=2"]) == 1
    assert "--classes must be those of the network, got kidney, stone" in capsys.readouterr().err

    image = next(phantom.glob("*.jpg"))
    assert main(["predict", str(image), *best, "--out", str(out)]) == 0
    assert "0 background, 1 kidney, 2 stone, 3 bone" in capsys.readouterr().out
    labels = np.asarray(Image.open(out / f"{image.stem}_mask.png"))
    assert labels.shape == (64, 64) and labels.max() <= 3 and (out / f"{image.stem}_overlay.png").is_file()


def test_the_phantom_of_the_command_line_says_how_to_train(tmp_path: Path, capsys):
    sizes = ["--patients", "1", "--slices", "1", "--size", "64"]
    assert main(["phantom", str(tmp_path / "set"), *sizes, "--classes"]) == 0
    assert "--classes kidney=1,stone=2,bone=3" in capsys.readouterr().out
