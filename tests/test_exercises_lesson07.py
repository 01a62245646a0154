"""Lesson 7's exercises and what its rooms measure: right answers, known slips, and no false alarm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from unet_helpers import losses, metrics
from unet_helpers.data import Pair
from unet_helpers.exercises import Exercise, lesson07, museum
from unet_helpers.exercises.museum_cases import BATCHES, BLACK, EXHIBITS, PROBES, draw_case, make_case
from unet_helpers.exercises.museum_places import PLACES
from unet_helpers.transforms import resize_image, resize_mask

ALL = [getattr(lesson07, name) for name in lesson07.__all__]
CHECKED = {name: name for name in lesson07.__all__} | {"which_exhibit": "answer"}
Array = Any


def verdict(exercise: Exercise, answer: object, capsys: pytest.CaptureFixture[str]) -> str:
    exercise.check(answer)
    return capsys.readouterr().out.strip()


def solved(name: str) -> Any:
    names: dict[str, Any] = {"np": np, "torch": torch, "metrics": metrics}  # the lesson has imported them
    exec(getattr(lesson07, name).solution_text, names)
    return names[CHECKED[name]]


@pytest.mark.parametrize("exercise", ALL, ids=lesson07.__all__)
def test_dots_are_not_attempted(exercise: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(exercise, ..., capsys).startswith("⏳ Not attempted yet")


@pytest.mark.parametrize("name", lesson07.__all__)
def test_the_solution_is_accepted_and_explained(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    exercise = getattr(lesson07, name)
    assert verdict(exercise, solved(name), capsys) == f"✅ Correct. {exercise.because}"
    assert exercise.name == f"lesson07.{name}"


def test_the_stub_with_gaps_is_not_attempted(capsys: pytest.CaptureFixture[str]) -> None:
    def honest_score(network: Any, images: Any, files: Any) -> Any:
        ...  # noqa: PIE790
        with torch.no_grad():
            network(images)[:, 0]
        found: Any = ...
        truth: Any = ...
        metrics.dice(found.numpy(), truth.numpy())
        return ...

    assert verdict(lesson07.honest_score, honest_score, capsys).startswith("⏳ Not attempted yet")


# ----------------------------------------------------------------------------------------- a clean mask
CLEAN_SLIPS: list[tuple[Callable[[Array], Any], str]] = [
    (lambda mask: len(np.unique(mask)) == 2, "a slice without a stone has one value"),
    (lambda mask: len(np.unique(mask)) <= 2, "two values are not enough"),
    (lambda mask: np.isin(mask, [0, 1, 255]).all(), "two conventions were mixed"),
    (lambda mask: np.unique(mask).tolist() in ([0, 1], [0, 255]), "the two pairs are right, but"),
    (lambda mask: np.isin(mask, [0, 1]).any() or np.isin(mask, [0, 255]).any(), "`any` asks for one"),
    (lambda mask: np.isin(mask, [0, 255]).all(), "a mask of 0 and 1 is healthy as well"),
    (lambda mask: set(np.unique(mask)) <= {0, 1}, "a mask of 0 and 255 is healthy as well"),
    (lambda mask: mask.max() == 255 or mask.max() == 1, "a slice without a stone is healthy"),
    (lambda mask: mask.max() in (0, 1, 255), "24 and 143 pass"),
    (lambda mask: True, "never sounds an alarm"),
    (lambda mask: False, "always sounds an alarm"),
    (lambda mask: np.unique(mask), "True or False was expected"),
    (lambda mask: (mask == 0) | (mask == 255), "True or False was expected"),
    (lambda mask: None, "Is `return` there?"),
]


@pytest.mark.parametrize(("answer", "part"), CLEAN_SLIPS)
def test_each_slip_of_the_mask_probe_is_told(
    answer: Callable[[Array], Any], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = verdict(lesson07.mask_is_clean, answer, capsys)
    assert said.startswith("❌") and part in said


def test_the_other_way_round_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    for exercise, name in (
        (lesson07.mask_is_clean, "mask_is_clean"),
        (lesson07.looks_like_logits, "looks_like_logits"),
    ):
        right = solved(name)
        assert "the other way round" in verdict(exercise, lambda x, right=right: not right(x), capsys)


def test_other_right_ways_to_a_clean_mask_are_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    def by_sets(mask: Array) -> bool:
        values = set(np.unique(mask).tolist())
        return values <= {0, 1} or values <= {0, 255}

    assert verdict(lesson07.mask_is_clean, by_sets, capsys).startswith("✅")


# --------------------------------------------------------------------------------------------- logits
LOGIT_SLIPS: list[tuple[Callable[[Array], Any], str]] = [
    (lambda x: (x < 0).any(), "no number below 0"),
    (lambda x: x.min() < 0, "no number below 0"),
    (lambda x: x.max() > 1, "nothing above 1"),
    (lambda x: (x < 0).all(), "one number below 0 is enough"),
    (lambda x: x.mean() < 0, "a mean hides"),
    (lambda x: abs(x).max() > 1, "its absolute value"),
    (lambda x: x.min() < 0 and x.max() > 1, "`or`, not `and`"),
    (lambda x: x.min() <= 0 or x.max() >= 1, "0 and 1 themselves are probabilities"),
    (lambda x: True, "always sounds an alarm"),
    (lambda x: False, "never sounds an alarm"),
]


@pytest.mark.parametrize(("answer", "part"), LOGIT_SLIPS)
def test_each_slip_of_the_logit_probe_is_told(
    answer: Callable[[Array], Any], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = verdict(lesson07.looks_like_logits, answer, capsys)
    assert said.startswith("❌") and part in said


def test_the_logit_probe_may_return_a_truth_value_of_any_library(capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(lesson07.looks_like_logits, lambda x: (x < 0).any() | (x > 1).any(), capsys).startswith(
        "✅"
    )


# ---------------------------------------------------------------------------------------------- a report
def test_every_wrong_room_is_told_why(capsys: pytest.CaptureFixture[str]) -> None:
    told = {verdict(lesson07.which_exhibit, room, capsys) for room in range(1, 10) if room != 7}
    assert len(told) == 8 and all(one.startswith("❌") for one in told)
    assert "the batch does not enter through the mean" in verdict(lesson07.which_exhibit, 5, capsys)
    assert "one of 1, 2, 3" in verdict(lesson07.which_exhibit, 10, capsys)


# ----------------------------------------------------------------------------------------- an honest score
def score(
    ready: bool = True, cut: float = 0.0, stone: Any = lambda files: files > 127, mean: Any = np.nanmean
) -> Callable[..., Any]:
    """The answer of a student who has it right but for one place."""

    def honest_score(network: nn.Module, images: torch.Tensor, files: torch.Tensor) -> Any:
        if ready:
            network.eval()
        with torch.no_grad():
            logits = network(images)[:, 0]
        return mean(metrics.dice((logits > cut).numpy(), stone(files).numpy()))

    return honest_score


SCORE_SLIPS: list[tuple[Callable[..., Any], str]] = [
    (score(ready=False), "room 7"),
    (score(cut=0.5), "room 4"),
    (score(stone=lambda files: files == 1), "room 1"),
    (score(stone=lambda files: files < 127), "room 1: this calls the background stone"),
    (score(stone=lambda files: files / 255), "must be a bool mask"),
    (score(mean=np.mean), "a plain mean of it is nan"),
    (score(mean=lambda each: np.nan_to_num(each, nan=1.0).mean()), "counted as 1"),
    (score(mean=lambda each: np.nan_to_num(each).mean()), "counted as 0"),
    (score(mean=np.nanmedian), "median"),
    (score(mean=lambda each: each), "a number was expected"),
]


@pytest.mark.parametrize(("answer", "part"), SCORE_SLIPS)
def test_each_bug_in_the_score_is_told_its_room(
    answer: Callable[..., Any], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = verdict(lesson07.honest_score, answer, capsys)
    assert said.startswith("❌") and part in said


def test_pooled_pixels_are_told_their_room(capsys: pytest.CaptureFixture[str]) -> None:
    def pooled(network: nn.Module, images: torch.Tensor, files: torch.Tensor) -> float:
        found = network.eval()(images)[:, 0] > 0
        return float(metrics.dice(found.numpy().reshape(1, -1), (files > 127).numpy().reshape(1, -1)))

    assert "room 5" in verdict(lesson07.honest_score, pooled, capsys)


def test_another_limit_of_the_probability_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def lenient(network: nn.Module, images: torch.Tensor, files: torch.Tensor) -> float:
        found = network.eval()(images)[:, 0].sigmoid() >= 0.4
        return float(np.nanmean(metrics.dice(found.numpy(), (files > 127).numpy())))

    assert "one half is asked for" in verdict(lesson07.honest_score, lenient, capsys)


def test_numbers_of_32_bits_are_told_as_a_person_writes_them(capsys: pytest.CaptureFixture[str]) -> None:
    said = verdict(lesson07.looks_like_logits, lambda x: not 0 <= x <= 1, capsys)
    assert "for ([-6.9, -3.2, 2.1],) your function stopped" in said


def test_other_right_ways_to_a_score_are_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    def by_probability(network: nn.Module, images: torch.Tensor, files: torch.Tensor) -> float:
        network.train(False)
        found = network(images)[:, 0].sigmoid() >= 0.5
        each = [metrics.dice(a.numpy(), b.numpy()) for a, b in zip(found, files > 0, strict=True)]
        return sum(one for one in each if one == one) / sum(one == one for one in each)

    assert verdict(lesson07.honest_score, by_probability, capsys).startswith("✅")


# -------------------------------------------------------- each room's probe, on sick input and on healthy
def patches() -> tuple[torch.Tensor, torch.Tensor]:
    """Four noisy patches with a bright square each, and its mask as 0 and 1."""
    rng = np.random.default_rng(0)
    images, masks = rng.normal(-0.3, 0.05, (4, 1, 32, 32)), np.zeros((4, 1, 32, 32))
    masks[:, :, 10:16, 10:16] = 1
    return torch.from_numpy(images + masks).float(), torch.from_numpy(masks).float()


def trained(network: nn.Module, target: torch.Tensor, n_steps: int = 12) -> list[float]:
    images, _ = patches()
    return museum.train_briefly(network, lambda: (images, target), losses.bce_loss, n_steps)


def test_a_mask_of_255_pushes_the_loss_below_zero_and_one_of_1_does_not() -> None:
    _, target = patches()
    assert trained(museum.small_network(), target * 255)[-1] < 0
    curve = trained(museum.small_network(), target)
    assert min(curve) >= 0 and curve[-1] < curve[0]


def test_two_sigmoids_have_a_floor_and_no_number_below_zero() -> None:
    images, target = patches()
    doubled = nn.Sequential(museum.small_network(), nn.Sigmoid())
    share = float(target.mean())
    floor = (1 - share) * np.log(2) + share * np.log(1 + np.exp(-1))
    assert min(trained(doubled, target)) >= floor - 1e-4
    assert not (doubled(images) < 0).any() and (museum.small_network()(images) < 0).any()


def test_bilinear_labels_invent_a_class_and_class_by_class_does_not() -> None:
    image = np.zeros((64, 64), np.uint8)
    image[9:55, 9:51] = 120
    mask = np.zeros((64, 64), bool)
    mask[30:33, 20:23] = True
    labels = museum.label_map(image, mask)
    assert np.unique(labels).tolist() == [0, 1, 2] and (labels == 1).sum() == 9
    small = resize_image(labels.astype(np.float32), (40, 40)).round()
    assert (small == 1).sum() > 50
    assert 1 <= resize_mask(labels == 1, (40, 40)).sum() <= 9


def test_a_table_below_the_body_is_air() -> None:
    image = np.zeros((32, 32), np.uint8)
    image[4:24, 4:28], image[28:30] = 120, 200
    assert (museum.label_map(image, np.zeros((32, 32), bool))[26:] == 0).all()


def test_logits_are_cut_around_the_first_section_and_inside_the_slice() -> None:
    image, mask = np.full((40, 40), 100, np.uint8), np.zeros((40, 40), bool)
    mask[38:40, 38:40] = True
    cut = museum.logits_around(museum.small_network(), [image, image], [mask, mask & False], side=16)
    assert len(cut) == 1 and cut[0][0].shape == cut[0][1].shape == (16, 16)
    assert cut[0][1].sum() == 4 and (cut[0][0] < 0).all()


def test_the_dice_of_batches_depends_on_their_size_and_the_mean_of_images_does_not() -> None:
    large, small = np.zeros((2, 20, 20), bool)
    large[:15, :15], small[3, 3:7] = True, True
    missed = np.zeros((20, 20), bool)
    assert museum.batch_dice([large, missed], [large, small], 1) == 0.5
    assert museum.batch_dice([large, missed], [large, small], 2) > 0.98
    assert np.isnan(museum.batch_dice([], [], 2))


def test_company_changes_an_answer_in_train_mode_alone_and_never_the_network() -> None:
    network = museum.small_network()
    image = np.random.default_rng(0).integers(90, 255, (32, 32)).astype(np.uint8)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for training in (True, False):
        network.train(training)
        alone, beside = (museum.in_company(network, image, n) for n in (0, 5))
        assert (np.abs(alone - beside).max() > 1e-4) == training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


# ------------------------------------------------------------------------------------- pairs on the disk
def write(folder: Path, name: str, image: Array, mask: Array, group: str) -> Pair:
    from PIL import Image

    paths = folder / f"{name}.png", folder / f"{name}_mask.png"
    for path, picture in zip(paths, (image, mask.astype(np.uint8) * 255), strict=True):
        Image.fromarray(picture).save(path)
    return Pair(*paths, group)


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    """Four patients with two nearly equal slices each; the stone of each patient lies elsewhere."""
    rng, made = np.random.default_rng(0), []
    for patient in range(4):
        image, mask = rng.integers(0, 200, (64, 64)).astype(np.uint8), np.zeros((64, 64), bool)
        mask[8 + 12 * patient : 12 + 12 * patient, 20:24] = True
        for number in range(2):
            shown = np.clip(image + rng.integers(0, 5, image.shape), 0, 255).astype(np.uint8)
            shown[mask] = 250
            made.append(write(tmp_path, f"p{patient}_{number}", shown, mask, f"p{patient}"))
    return made


def test_the_copycat_shines_where_patients_are_torn_apart_and_fails_where_not(pairs: list[Pair]) -> None:
    assert museum.copycat_dice(pairs[::2], pairs[1::2]) == 1
    assert museum.copycat_dice(pairs[:4], pairs[4:]) == 0
    assert np.isnan(museum.copycat_dice(pairs, [])) and np.isnan(museum.copycat_dice([], pairs))


def test_batches_are_drawn_the_same_in_every_run(pairs: list[Pair]) -> None:
    (images, target), (again, _) = (museum.sampler_of(pairs, 32, 0.5, 8)() for _ in range(2))
    assert images.shape == target.shape == (8, 1, 32, 32) and torch.equal(images, again)
    assert set(target.unique().tolist()) == {0.0, 1.0} and images.min() >= -1


def test_a_first_part_without_stones_is_read_on(pairs: list[Pair], tmp_path: Path) -> None:
    empty = np.zeros((64, 64), bool)
    blank = write(tmp_path, "blank", np.zeros((64, 64), np.uint8), empty, "blank")
    _, target = museum.sampler_of([blank, *pairs], 32, 1.0, 4, n_pairs=1)()
    assert target.any()
    with pytest.raises(ValueError, match="must hold at least one stone"):
        museum.sampler_of([blank], 32, 1.0, 4)


# ---------------------------------------------------------------------------------- the unlabelled case
class Bright(nn.Module):
    """A good network for bright squares; BatchNorm makes it look at its batch in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = 12 * self.norm(images) - 6
        return logits


def slices() -> tuple[list[Array], list[Array]]:
    """Six slices, four with a stone: large ones that are found whole, small ones that are found in part."""
    rng = np.random.default_rng(1)
    images, masks = [], []
    for side in (12, 3, 0, 9, 3, 0):
        mask = np.zeros((32, 32), bool)
        mask[4 : 4 + side, 6 : 6 + side] = True
        image = rng.integers(20, 120, mask.shape).astype(np.uint8)
        image[mask] = 250
        if side == 3:
            image[4, 6:9] = 60
        images.append(image)
        masks.append(mask)
    return images, masks


GROUPS = ["a", "a", "b", "b", "c", "c"]


@pytest.mark.parametrize("exhibit", EXHIBITS)
def test_the_telling_probe_sees_each_exhibit_and_no_other_cries_wolf(exhibit: str) -> None:
    images, masks = slices()
    healthy = make_case("none", Bright().eval(), images, masks, GROUPS).readings
    sick = make_case(exhibit, Bright().eval(), images, masks, GROUPS).readings
    assert set(sick) == set(PROBES)
    changed = {probe for probe in PROBES if sick[probe] != healthy[probe]}
    assert EXHIBITS[exhibit] in changed
    if exhibit == "empty masks counted as 1":  # every mean Dice has them in it
        assert changed == {BLACK, BATCHES}
    elif exhibit not in ("eval forgotten", "all-black collapse"):  # these change the answers themselves
        assert changed == {EXHIBITS[exhibit]}


def test_the_healthy_readings_are_healthy() -> None:
    readings = make_case("none", Bright().eval(), *slices(), GROUPS).readings
    assert readings[BLACK] == "0.00"
    assert len(set(readings[BATCHES].split(" and "))) == 1


def test_only_cases_that_show_are_drawn_and_a_seed_draws_the_same_again() -> None:
    images, masks = slices()
    drawn = {draw_case(Bright().eval(), images, masks, list("abcdef"), seed).exhibit for seed in range(30)}
    assert "leakage" not in drawn and len(drawn) >= 6  # each slice has its own patient
    both = [draw_case(Bright().eval(), images, masks, GROUPS, 3).exhibit for _ in range(2)]
    assert both[0] == both[1]
    full = [place for place, mask in enumerate(masks) if mask.any()]
    some = [[part[i] for i in full] for part in (images, masks)]
    drawn = {draw_case(Bright().eval(), some[0], some[1], GROUPS, seed).exhibit for seed in range(30)}
    assert "empty masks counted as 1" not in drawn


def test_every_place_answers_and_one_of_them_is_right() -> None:
    for room in PLACES.values():
        assert room.right in room.replies and len(room.replies) >= 4 and room.question.endswith("?")
        assert len(set(room.replies.values())) == len(room.replies)
