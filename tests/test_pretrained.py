"""The weights that come with the package: small, safe to read, explained, and as good as their card says."""

import json
import re
import time

import numpy as np
import pytest
import torch

import unet_helpers as uh
from unet_helpers.checkpoint import Checkpoint, load_checkpoint
from unet_helpers.pretrained import WEIGHTS, load_pretrained

CARD = WEIGHTS.with_name("README.md").read_text("utf-8")
LARGEST = 2 * 2**20  # bytes


# ---------------------------------------------------------------------------------------------- the file
def test_the_file_is_small_and_holds_what_a_checkpoint_holds():
    assert WEIGHTS.stat().st_size <= LARGEST
    state = torch.load(WEIGHTS, weights_only=True)
    assert not {"optimiser", "scaler", "generator", "snapshots"} & state.keys()
    assert isinstance(load_checkpoint(WEIGHTS), Checkpoint)  # so evaluate --checkpoint takes it as well


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
    assert scores["dice_positive_mean"] >= 0.85  # 0.955 when they were put here
    assert scores["section_sensitivity"] >= 0.9  # 1.000
    assert scores["false_positives_per_image"] <= 0.3  # 0.125


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
