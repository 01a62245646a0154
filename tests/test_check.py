"""The first look at a data set: every number against a folder built for it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unet_helpers.folders.check import check_folder


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array.astype(np.uint8)).save(path)


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    mask = np.zeros((10, 20))
    mask[:2, :3] = 1  # 6 of 200 pixels: 3 %
    images = [rng.integers(0, 255, (10, 20)) for _ in range(3)]
    save(tmp_path / "a.png", images[0])
    save(tmp_path / "a_mask.png", mask * 255)
    save(tmp_path / "b.png", images[1])
    save(tmp_path / "b_mask.png", mask)  # 0 and 1
    save(tmp_path / "c.png", images[0])  # the same image as a, in another group
    smooth = np.zeros((10, 20))
    smooth[2:8, 3:15] = 60  # 72 pixels, of which the inner 40 are white: the others are cut at half
    smooth[3:7, 4:14] = 255
    save(tmp_path / "c_mask.png", smooth)
    save(tmp_path / "d.png", rng.integers(0, 255, (8, 8)))
    save(tmp_path / "d_mask.png", np.zeros((8, 8)))
    save(tmp_path / "e.png", images[2])
    save(tmp_path / "e_mask.png", np.zeros((8, 8)))  # another size
    (tmp_path / "f.jpg").write_bytes(b"")
    save(tmp_path / "f_mask.png", mask)
    save(tmp_path / "g.png", images[2])
    (tmp_path / "h.png").write_text("no picture")
    save(tmp_path / "i_mask.png", mask)
    (tmp_path / "j_mask.png").write_text("no picture")
    return tmp_path


def test_the_report_counts_everything(messy: Path):
    report = check_folder(messy, progress=False)
    assert json.loads(json.dumps(report)) == report
    assert {key: report[key] for key in ("n_pairs", "n_positive", "n_groups", "n_ungrouped")} == {
        "n_pairs": 5,
        "n_positive": 3,
        "n_groups": 5,
        "n_ungrouped": 5,
    }
    assert report["n_grouped_by_folder"] == 0 and report["largest_group"] == {"name": "a", "n_pairs": 1}
    assert report["images_without_mask"] == ["g.png", "h.png"]
    assert report["masks_without_image"] == ["f_mask.png", "i_mask.png", "j_mask.png"]
    assert report["mask_values"] == {"0": 2, "0, 255": 1, "0, 1": 1, "0, 60, 255": 1}
    assert report["masks_mean"][0] == (
        "Masks of several codes are read alike: the object is 1 in 1 mask, 255 in 2 masks."
    )
    assert "1 mask of 5 holds greys between these" in report["masks_mean"][2]
    assert report["mask_doubt"] == "" and report["mask_styles"] == {"_mask": 5}
    assert report["sizes"] == {"20x10": 3, "8x8": 1}
    assert report["foreground_share"] == pytest.approx({"median": 0.03, "min": 0.03, "max": 0.2})
    assert report["identical_images_in_two_groups"] == ["c.png = a.png"]
    assert [item["file"] for item in report["broken"]] == ["e.png", "f.jpg", "h.png", "j_mask.png"]
    assert "e_mask.png must have the size of its image" in report["broken"][0]["reason"]
    assert report["broken"][1]["reason"].endswith("f.jpg: an empty file")


def test_without_any_stone_there_is_no_share(tmp_path: Path):
    save(tmp_path / "a.png", np.zeros((4, 4)))
    save(tmp_path / "a_mask.png", np.zeros((4, 4)))
    report = check_folder(tmp_path, progress=False)
    assert report["foreground_share"] is None and report["n_positive"] == 0
    assert report["mask_values"] == {"0": 1} and report["masks_mean"] == [
        "All masks are empty: no image shows a stone."
    ]


def test_masks_that_are_not_certain_have_no_share(tmp_path: Path):
    save(tmp_path / "a.png", np.zeros((4, 4)))
    save(tmp_path / "a_mask.png", np.ones((4, 4)))
    report = check_folder(tmp_path, progress=False)
    assert report["foreground_share"] is None and report["n_positive"] is None
    assert report["mask_values"] == {"1": 1} and "got 1 in every pixel of 1 mask" in report["mask_doubt"]
    sure = check_folder(tmp_path, progress=False, masks="--mask-values 1")
    assert sure["foreground_share"]["median"] == 1 and sure["mask_doubt"] == ""


def test_groups_by_folder_and_rows_that_do_not_fit_are_in_the_report(tmp_path: Path):
    for n, patient in enumerate(("p1", "p2", "p3")):
        for name in ("001", "002"):
            save(tmp_path / patient / f"{name}.png", np.full((4, 4), 9 * n))  # the same within a patient
            save(tmp_path / patient / f"{name}_mask.png", np.ones((4, 4)))
    report = check_folder(tmp_path, progress=False)
    assert (report["n_groups"], report["n_ungrouped"], report["n_grouped_by_folder"]) == (3, 0, 6)
    assert report["identical_images_in_two_groups"] == [] and report["group_rows_without_image"] == []
    assert check_folder(tmp_path, progress=False, group_by="name")["n_groups"] == 6
    (tmp_path / "groups.csv").write_text("stem,group\np1/,A\nP2/,A\np3/001,B\np3/001,C\np4/,D\n")
    report = json.loads(json.dumps(check_folder(tmp_path, progress=False)))
    assert report["group_rows_without_image"] == ["p4/"]
    assert report["images_in_two_groups"] == ["p3/001 (B, C)"]
    assert report["group_rows_in_other_case"] == ["P2/"]
    assert report["largest_group"] == {"name": "A", "n_pairs": 4}


def test_progress_goes_to_standard_output(messy: Path, capsys: pytest.CaptureFixture):
    check_folder(messy)
    assert "reading pairs" in capsys.readouterr().out
