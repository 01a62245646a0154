"""The strip of pictures that shows a mask appear."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tiny_data import write_tiny

from unet_helpers.checkpoint import load_state
from unet_helpers.data import find_pairs, split_by_group, stone_strata
from unet_helpers.engine.snapshots import EARLY, HEADER, N_MOMENTS, Snapshots
from unet_helpers.training import TrainConfig, fit


def make(n: int = 6, side: int = 100) -> tuple[list[np.ndarray], list[np.ndarray]]:
    images = [np.full((side, side), 10 * k, np.uint8) for k in range(n)]
    masks = [np.zeros((side, side), bool) for _ in range(n)]
    for k in range(1, n):  # image 0 has no stone
        masks[k][90:94, 3:6] = True
    return images, masks


def test_four_images_with_a_stone_are_watched_around_it():
    snapshots = Snapshots(*make())
    assert snapshots.watched == [1, 2, 3, 5]
    assert snapshots.corners == [(36, 0)] * 4  # the window ends at the lower left corner of the image
    assert [int(image[0, 0]) for image in snapshots.images] == [10, 20, 30, 50]
    assert all(mask[54:58, 3:6].all() and mask.sum() == 255 * 12 for mask in snapshots.masks)


def test_small_images_are_filled_up_and_few_stones_are_enough():
    snapshots = Snapshots(*make(2, side=95))
    image, mask = np.full((10, 20), 7, np.uint8), np.zeros((10, 20), bool)
    mask[0, 0] = True
    small = Snapshots([image], [mask])
    assert snapshots.watched == [1] and small.images[0].shape == (64, 64) and small.images[0].sum() == 7 * 200


def test_moments_come_in_pieces_and_the_first_and_last_stay():
    snapshots = Snapshots(*make())
    for step in range(100, 2100, 100):
        probabilities = [np.full((100, 100), step / 2550) for _ in range(6)]
        snapshots.take(step, 0, probabilities[:3])
        snapshots.take(step, 3, probabilities[3:])
    kept = [moment["step"] for moment in snapshots.moments]
    assert len(kept) == N_MOMENTS and kept[0] == 100 and kept[1] == 200 and kept[-1] == 2000
    assert kept == sorted(kept)
    last = snapshots.moments[-1]["crops"]
    assert (last == 200).all() and last.dtype == torch.uint8


def test_each_window_is_cut_from_the_probability_of_its_own_image():
    snapshots = Snapshots(*make())
    probabilities = [np.full((100, 100), k / 255) for k in range(6)]
    for first in range(0, 6, 2):  # as the validation hands them over, in chunks
        snapshots.take(7, first, probabilities[first : first + 2])
    crops = snapshots.moments[0]["crops"]
    assert crops.shape == (4, 64, 64) and [crop.unique().tolist() for crop in crops] == [[1], [2], [3], [5]]


def test_what_an_earlier_session_collected_is_gone_on_with():
    moments = [{"step": 3, "crops": torch.full((4, 64, 64), 9, dtype=torch.uint8)}]
    Snapshots(*make(), moments).take(5, 0, [np.zeros((100, 100))] * 6)
    assert [moment["step"] for moment in moments] == [3, 5] and (moments[0]["crops"] == 9).all()


def test_a_run_that_goes_back_forgets_what_came_later():
    snapshots = Snapshots(*make())
    for step in (1, 2, 3, 2):
        snapshots.take(step, 0, [np.zeros((100, 100))] * 6)
    assert [moment["step"] for moment in snapshots.moments] == [1, 2]


def test_the_strip_shows_image_moments_and_truth(tmp_path: Path):
    snapshots = Snapshots(*make())
    snapshots.take(5, 0, [np.ones((100, 100))] * 6)
    snapshots.write(tmp_path / "strip.png")
    with Image.open(tmp_path / "strip.png") as picture:
        sheet = np.asarray(picture)
    assert sheet.shape == (HEADER + 4 * 132 - 4, 3 * 132 - 4) and sheet.dtype == np.uint8
    tiles = sheet[HEADER + 132 : HEADER + 132 + 128]  # the second row
    assert (tiles[:, :128] == 20).all() and (tiles[:, 132:260] == 255).all()
    assert (tiles[:, 264:] == 255).sum() == 4 * 12 and [p.name for p in tmp_path.iterdir()] == ["strip.png"]


def test_the_first_steps_are_looked_at_and_stay():
    class Half(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.n_seen = 0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.n_seen += len(images)
            return 0 * images + self.weight

    snapshots, model = Snapshots(*make()), Half().train()
    for step in range(4001):
        snapshots.look(model, step)
        if step and step % 228 == 0:  # a validation
            snapshots.take(step, 0, [np.zeros((100, 100))] * 6)
    kept = [moment["step"] for moment in snapshots.moments]
    assert kept[:5] == list(EARLY) and len(kept) == N_MOMENTS and kept[-1] == 3876
    assert model.n_seen == 4 * len(EARLY) and model.training  # only what is watched is predicted
    assert (snapshots.moments[0]["crops"] == 128).all()


def test_a_training_keeps_what_its_network_said_at_the_start(tmp_path: Path):
    pairs = find_pairs(write_tiny(tmp_path / "scans", n_exams=10))
    split = split_by_group(pairs, strata=stone_strata(pairs))
    config = TrainConfig(n_steps=26, steps_per_epoch=13, batch_size=2, patch_size=32)
    fit(split["train"], split["val"], tmp_path / "run", config, device=torch.device("cpu"), progress=False)
    moments = load_state(tmp_path / "run" / "last.pt")["snapshots"]
    assert [moment["step"] for moment in moments] == [0, 13, 25, 26]
    assert int(moments[0]["crops"].max()) < 30  # it begins with "almost surely no stone"
