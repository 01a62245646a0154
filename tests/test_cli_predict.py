"""predict: a mask and an overlay for each image, by a network whose answers are known."""

import re
from pathlib import Path

import numpy as np
import pytest
from cli_tools import call, usage_error
from known_network import FAINT, STONE, save_known, write_slice
from PIL import Image

from unet_helpers import inference, plotting
from unet_helpers.command_line import predict
from unet_helpers.data import load_image, load_mask
from unet_helpers.engine import figures
from unet_helpers.metrics import predicted_mask
from unet_helpers.pretrained import load_pretrained


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three images with a stone of 30 pixels, two bright pixels, and a fainter square of 16."""
    folder = tmp_path_factory.mktemp("predict") / "data"
    squares = {(10, 10, 6, 5): STONE, (2, 40, 1, 2): STONE, (30, 20, 4, 4): FAINT}
    return [write_slice(folder, f"s{n}", squares, (10, 10, 6, 5)) for n in range(3)]


@pytest.fixture(scope="module")
def best(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_known(tmp_path_factory.mktemp("known") / "best.pt", 0.95, 3)


# ---------------------------------------------------------------------------------------------- the files
@pytest.mark.parametrize(
    ("threshold", "min_pixels", "n_pixels"), [(0.95, 3, 30), (0.95, 0, 32), (0.5, 3, 46), (0.5, 0, 48)]
)
def test_the_checkpoint_says_what_counts_as_stone(
    images: list[Path], tmp_path: Path, threshold: float, min_pixels: int, n_pixels: int
):
    checkpoint = save_known(tmp_path / "best.pt", threshold, min_pixels)
    assert call("predict", images[0], "--checkpoint", checkpoint, "--out", tmp_path / "out") == 0
    mask = load_image(tmp_path / "out" / "s0_mask.png")
    assert mask.shape == (48, 48) and sorted(np.unique(mask)) == [0, 255]
    assert (mask == 255).sum() == n_pixels and (mask[10:16, 10:15] == 255).all()


def coloured_pixels(path: Path) -> int:
    """Pixels of the colour of a prediction, filled or outlined: more red and blue than green."""
    red, green, blue = np.moveaxis(np.asarray(Image.open(path).convert("RGB"), int), -1, 0)
    return int(((red > green + 20) & (blue > green + 20)).sum())


def test_the_overlay_shows_the_predicted_mask(images: list[Path], best: Path, tmp_path: Path):
    nothing = save_known(tmp_path / "nothing.pt", 0.95, 99)
    for name, checkpoint in (("some", best), ("none", nothing)):
        assert call("predict", images[0], "--checkpoint", checkpoint, "--out", tmp_path / name) == 0
    assert coloured_pixels(tmp_path / "some" / "s0_overlay.png") > 500
    assert coloured_pixels(tmp_path / "none" / "s0_overlay.png") == 0


def test_a_large_image_gets_a_mask_of_its_size(best: Path, tmp_path: Path):
    stone = (20, 600, 20, 20)
    image = write_slice(tmp_path / "data", "wide", {stone: STONE}, stone, size=(64, 1024))
    assert call("predict", image, "--checkpoint", best, "--out", tmp_path / "out") == 0
    mask = load_mask(tmp_path / "out" / "wide_mask.png")
    assert mask.shape == (64, 1024) and 300 < mask[20:40, 600:620].sum() == mask.sum()


def test_predict_never_overwrites_a_mask(images: list[Path], best: Path, tmp_path: Path, capsys):
    truth = tmp_path / "s0_mask.png"
    truth.write_bytes(b"drawn by hand")
    assert call("predict", images[0], "--checkpoint", best, "--out", tmp_path) == 0
    out = capsys.readouterr().out
    assert "0 masks and overlays in" in out and "1 images skipped, because their masks stand there" in out
    assert truth.read_bytes() == b"drawn by hand" and not (tmp_path / "s0_overlay.png").exists()


def test_without_a_checkpoint_the_weights_of_the_package_predict(images: list[Path], tmp_path: Path, capsys):
    assert call("predict", images[0], "--out", tmp_path / "out", "--device", "cpu") == 0
    ready, said = load_pretrained("cpu"), capsys.readouterr().out.splitlines()
    assert said[0].startswith(
        "No --checkpoint is given, so the weights that come with the package are used ("
    )
    for part in (ready.provenance["name"], "licence MIT", "synthetic", "to teach", "no medical device."):
        assert part in said[0]
    answer = predicted_mask(
        inference.predict(ready.model, load_image(images[0])), ready.threshold, ready.min_pixels
    )
    assert (load_mask(tmp_path / "out" / "s0_mask.png") == answer).all()


def test_they_see_a_large_image_at_the_size_that_they_were_chosen_at(images: list[Path], tmp_path: Path):
    side = 2 * load_pretrained("cpu").max_size
    stone = (side // 2, side // 2, 20, 20)
    image = write_slice(tmp_path / "data", "large", {stone: STONE}, stone, size=(48, side))
    assert call("predict", image, "--out", tmp_path / "out", "--device", "cpu") == 0
    ready = load_pretrained("cpu")
    probability = inference.predict(ready.model, load_image(image), max_size=ready.max_size)
    answer = predicted_mask(probability, ready.threshold, ready.min_pixels)
    assert (load_mask(tmp_path / "out" / "large_mask.png") == answer).all()


def test_with_a_checkpoint_the_package_has_no_say(
    images: list[Path], best: Path, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.setattr(predict, "load_pretrained", None)
    assert call("predict", images[0], "--checkpoint", best, "--out", tmp_path / "out") == 0
    assert "come with the package" not in capsys.readouterr().out


def test_names_that_matplotlib_would_read_as_formulas(images: list[Path], best: Path, tmp_path: Path):
    copies = [tmp_path / name for name in ("b_$1_$2.png", "c_$\\frac$.png")]
    for path in copies:
        path.write_bytes(images[0].read_bytes())
    assert call("predict", *copies, "--checkpoint", best, "--out", tmp_path / "out") == 0
    assert len(list((tmp_path / "out").glob("*_overlay.png"))) == 2


# ------------------------------------------------------------------------------------ when something fails
def test_predict_goes_on_after_a_broken_image(images: list[Path], best: Path, tmp_path: Path, capsys):
    broken, deep = tmp_path / "broken.png", tmp_path / "deep.png"
    broken.write_text("no picture")
    Image.fromarray(np.full((48, 48), 1000, np.uint16)).save(deep)
    out = tmp_path / "out"
    assert call("predict", images[0], broken, deep, images[1], "--checkpoint", best, "--out", out) == 1
    captured = capsys.readouterr()
    assert "2 masks and overlays in" in captured.out and f"error: {broken} must be a readable" in captured.err
    assert re.search(rf"error: {deep} must have 8 bits a pixel or a window, .* --window 40,400", captured.err)
    names = ["s0_mask.png", "s0_overlay.png", "s1_mask.png", "s1_overlay.png"]
    assert sorted(path.name for path in out.iterdir()) == names


def test_an_error_that_names_no_image_is_told_with_its_path(
    images: list[Path], best: Path, tmp_path: Path, monkeypatch, capsys
):
    def fail(*_):
        raise RuntimeError("not enough memory")

    monkeypatch.setattr(predict, "predict", fail)
    assert call("predict", images[0], "--checkpoint", best, "--out", tmp_path / "out") == 1
    assert f"error: {images[0]}: not enough memory" in capsys.readouterr().err


def test_an_overlay_that_cannot_be_drawn_loses_nothing(
    images: list[Path], best: Path, tmp_path: Path, monkeypatch, capsys
):
    real = plotting.overlay

    def fail(image, **options):
        if options["title"] == "s1":
            raise RuntimeError("no glyph\nin 80 lines")
        return real(image, **options)

    monkeypatch.setattr(plotting, "overlay", fail)
    out, words = tmp_path / "out", ("--checkpoint", best, "--out", tmp_path / "out")
    assert call("predict", *images[:2], *words) == 1
    captured = capsys.readouterr()
    assert captured.err.endswith("its mask is written, but the overlay cannot be drawn: no glyph\n")
    assert "2 masks and overlays in" in captured.out
    assert sorted(path.name for path in out.iterdir()) == ["s0_mask.png", "s0_overlay.png", "s1_mask.png"]
    kept = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert call("predict", *images, *words) == 0  # the second call goes on
    said = capsys.readouterr().out
    assert "1 masks and overlays in" in said and "2 images skipped" in said
    assert {name: (out / name).stat().st_mtime_ns for name in kept} == kept and len(list(out.iterdir())) == 5


def test_a_full_disk_is_told_once(images: list[Path], best: Path, tmp_path: Path, monkeypatch, capsys):
    def full(figure, path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(figures, "save_figure", full)
    assert call("predict", *images, "--checkpoint", best, "--out", tmp_path) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "No space left on device. Free some disk space." in err


def test_what_cannot_be_written_is_told_before_anything_is_computed(
    images: list[Path], best: Path, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.setattr(predict, "load_checkpoint", None)
    (tmp_path / "file").write_text("")
    assert call("predict", images[0], "--checkpoint", best, "--out", tmp_path / "file") == 1
    assert "A file stands" in capsys.readouterr().err


def test_predict_usage(images: list[Path], best: Path, tmp_path: Path, capsys):
    words = ("--checkpoint", best, "--out", tmp_path / "out")
    usage_error("predict", tmp_path / "nowhere.png", *words)
    assert "argument IMAGE: must be an image file (.bmp, .gif, .jpeg, .jpg, .png" in capsys.readouterr().err
    usage_error("predict", best, *words)
    usage_error("predict", images[0].parent, *words)
    usage_error("predict", *words)
    usage_error("predict", images[0])  # nowhere to write
    assert call("predict", images[0], images[0], *words) == 1
    assert "images must have different names" in capsys.readouterr().err
