"""The weights that come with the package: small, safe to read, explained, and as good as their card says."""

import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import unet_helpers as uh
from unet_helpers.checkpoint import Checkpoint, load_checkpoint
from unet_helpers.pretrained import WEIGHTS, load_pretrained

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
from stronger import Stronger

CARD = WEIGHTS.with_name("README.md").read_text("utf-8")
LARGEST = 1.1 * 2**20  # bytes


# ---------------------------------------------------------------------------------------------- the file
def test_the_file_is_small_and_holds_what_a_checkpoint_holds():
    assert WEIGHTS.stat().st_size <= LARGEST
    state = torch.load(WEIGHTS, weights_only=True)
    assert not {"optimiser", "scaler", "generator", "snapshots"} & state.keys()
    assert isinstance(load_checkpoint(WEIGHTS), Checkpoint)  # so evaluate --checkpoint takes it as well


def test_weights_rest_in_16_bits_and_compute_in_32():
    stored = torch.load(WEIGHTS, weights_only=True)["model"]
    fractions = {name: values for name, values in stored.items() if values.is_floating_point()}
    assert {values.dtype for values in fractions.values()} == {torch.float16}
    ready = load_pretrained().model.state_dict()
    assert {ready[name].dtype for name in fractions} == {torch.float32}
    assert all(torch.equal(ready[name], values.float()) for name, values in fractions.items())


def test_it_says_where_it_comes_from():
    ready = load_pretrained()
    assert {"name", "data", "command", "seed", "scores", "licence", "not_for"} <= ready.provenance.keys()
    assert ready.provenance["licence"] == "MIT" and "medical device" in ready.provenance["not_for"]
    assert json.loads(json.dumps(ready.provenance)) == ready.provenance  # plain values alone
    assert 0 < ready.threshold < 1 and 0 <= ready.min_pixels <= 12
    assert not ready.model.training and len(ready.images["train"]) > 500


def test_the_card_tells_the_same():
    ready = load_pretrained()
    assert ready.provenance["command"] in CARD and "MIT" in CARD and "no medical device" in CARD
    assert re.search(rf"\| {ready.threshold:g}, {ready.min_pixels} pixels", CARD)
    assert f"{uh.model.n_parameters(ready.model):,} parameters" in CARD


def test_the_wheel_holds_it():
    """Hatch takes every file of the package that git does not ignore."""
    ignored = (WEIGHTS.parents[2] / ".gitignore").read_text("utf-8").split()
    assert not {"*.pt", "*.md", "unet_helpers/pretrained/"} & set(ignored)


# ------------------------------------------------------------------------------------------ what it is for
@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Six patients of four slices that no network was trained on."""
    folder = tmp_path_factory.mktemp("fresh") / "ct"
    uh.phantom.write_dataset(folder, n_patients=6, n_slices=4, seed=90_210, progress=False)
    return uh.load_arrays(uh.find_pairs(folder))


def test_it_scores_on_fresh_patients_what_its_card_says(fresh: tuple[list[np.ndarray], list[np.ndarray]]):
    images, masks = fresh
    ready = load_pretrained("cpu")
    predictions = [
        uh.predicted_mask(p, ready.threshold, ready.min_pixels) for p in uh.predict_all(ready.model, images)
    ]
    scores = uh.score_masks(predictions, masks)
    assert scores["n_sections"] == 14
    assert scores["dice_positive_mean"] >= 0.85  # 0.944 when they were put here
    assert scores["section_sensitivity"] >= 0.9  # 1.000
    assert scores["false_positives_per_image"] <= 0.25  # 0.042


def test_the_inspector_shows_it_within_a_second(fresh: tuple[list[np.ndarray], list[np.ndarray]]):
    images, masks = (part[:2] for part in fresh)
    load_pretrained("cpu")  # the first call also imports PyTorch's parts
    started = time.process_time()
    ready = load_pretrained("cpu")
    inspector = uh.Inspector(
        images,
        targets=masks,
        probabilities=uh.predict_all(ready.model, images),
        threshold=ready.threshold,
        min_pixels=ready.min_pixels,
    )
    assert bytes(inspector.picture.value).startswith(b"\x89PNG")
    assert time.process_time() - started < 2  # processor time; 0.3 s where it was measured


# ---------------------------------------------------------------------------------- the stronger augmentation
@pytest.fixture(scope="module")
def patches() -> tuple[torch.Tensor, torch.Tensor]:
    """Tissue with a white square, which is the stone: (16, 1, 64, 64) each."""
    masks = torch.zeros(16, 1, 64, 64, dtype=torch.bool)
    masks[..., 22:42, 20:44] = True
    return torch.where(masks, 1.0, -0.1), masks


def test_the_mask_moves_with_the_stone(patches: tuple[torch.Tensor, torch.Tensor]):
    images, masks = Stronger(bone=0)(*patches, torch.Generator().manual_seed(0))
    assert images.shape == masks.shape == (16, 1, 64, 64) and masks.dtype == torch.bool
    assert images.min() >= -1 and images.max() <= 1 and images.isfinite().all()
    areas = masks.sum((1, 2, 3)).float()
    assert areas.min() < 350 and areas.max() > 700  # 480 before it is made smaller or larger
    for image, mask in zip(images, masks, strict=True):
        assert image[mask].mean() > image[~mask].mean() + 0.6


def test_a_bone_is_white_and_no_stone(patches: tuple[torch.Tensor, torch.Tensor]):
    quiet = {"scale": (1, 1), "stretch": 1, "turn": 0, "upside_down": False, "cut": 0, "noise": 0}
    kinds = [Stronger(**quiet, bone=bone) for bone in (0, 1)]
    (bare, all_of_it), (with_bone, rest) = (
        kind(*patches, torch.Generator().manual_seed(1)) for kind in kinds
    )
    brighter = with_bone > bare + 0.3
    assert brighter[:, :, 48:].sum() > 500 and not brighter[:, :, :20].any()
    assert not (rest & brighter).any() and (rest <= all_of_it).all()


def test_draws_decide_everything_and_changes_wait_for_nothing(patches: tuple[torch.Tensor, torch.Tensor]):
    images, masks = patches
    kind, noise = Stronger(bone=0.5), torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
    drawn = kind.draw(16, torch.Generator().manual_seed(3))
    first, again = (kind.change(images, masks, drawn, noise) for _ in range(2))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    changed, _ = kind.change(images, masks, kind.draw(16, torch.Generator().manual_seed(4)), noise)
    assert not torch.allclose(changed, first[0])
    # the device "meta" has shapes without values: asking for one would be an error, as in a CUDA graph
    there = (tensor.to("meta") for tensor in (images, masks, drawn, noise))
    assert [tensor.shape for tensor in kind.change(*there)] == [images.shape, masks.shape]
