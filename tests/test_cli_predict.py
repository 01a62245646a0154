"""predict: a mask and an overlay for each image, by a network whose answers are known."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from cli_tools import call, usage_error
from known_network import FAINT, STONE, save_known, write_slice
from odd_files import write_dicom, write_nifti, write_png16
from PIL import Image

from unet_helpers import inference, plotting
from unet_helpers.checkpoint import load_state, save_state
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
    backslash = "" if os.name == "nt" else "\\"  # which ends the name of a folder there
    copies = [tmp_path / name for name in ("b_$1_$2.png", f"c_${backslash}frac$.png")]
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
    def fail(*_, **__):
        raise RuntimeError("not enough memory")

    monkeypatch.setattr(predict, "predict_all", fail)
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
    usage_error("predict", *words)
    usage_error("predict", images[0])  # nowhere to write
    capsys.readouterr()
    for wrong in (tmp_path / "nowhere.png", best, tmp_path / "*.png"):
        assert call("predict", wrong, *words) == 1
        err = capsys.readouterr().err
        assert err.count("error: ") == 1 and str(wrong) in err and ".bmp, .gif, .jpeg, .jpg, .png" in err
    (tmp_path / "empty").mkdir()
    assert call("predict", tmp_path / "empty", *words) == 1
    assert "must hold images" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_deep_images_come_through_the_window(images: list[Path], best: Path, tmp_path: Path, capsys):
    values = load_image(images[0]).astype(np.uint16)  # 8 bits, stored as HU of the window 100,510 plus 1024
    stored = values * 2 - 155 + 1024
    deep = write_png16(tmp_path / "in" / "deep.png", np.repeat(stored[..., None], 3, -1))
    write_dicom(tmp_path / "in" / "IM1", stored)
    write_nifti(tmp_path / "volumes" / "a.nii", np.zeros((4, 4, 4), np.int16))
    words = ("--checkpoint", best, "--out")
    assert call("predict", tmp_path / "in", *words, tmp_path / "none") == 1
    told = capsys.readouterr().err
    assert told.count("must have 8 bits a pixel or a window") == 2 and "give --window 1064,400" in told
    assert call("predict", images[0], *words, tmp_path / "plain") == 0
    assert call("predict", deep, *words, tmp_path / "a", "--window", "1124,510") == 0
    assert call("predict", tmp_path / "in" / "IM1", *words, tmp_path / "b", "--window", "100,510") == 0
    found = [load_mask(path) for path in sorted(tmp_path.glob("[abp]*/*_mask.png"))]
    assert len(found) == 3 and all(np.array_equal(one, found[0]) for one in found) and found[0].any()
    capsys.readouterr()
    assert call("predict", tmp_path / "volumes", *words, tmp_path / "c") == 1
    hint = f"python -m unet_helpers convert {tmp_path / 'volumes'} OUT --window 40,400"
    assert hint in capsys.readouterr().err


# --------------------------------------------------------------------------------- folders and patterns
@pytest.fixture
def tree(images: list[Path], tmp_path: Path) -> Path:
    """Two patients with the same names, masks beside the images, a hidden file and a text."""
    for patient in ("p1", "p2"):
        folder = tmp_path / "scans" / patient
        folder.mkdir(parents=True)
        for image in images[:2]:
            shutil.copy(image, folder)
            shutil.copy(image.with_name(f"{image.stem}_mask.png"), folder)
    (tmp_path / "scans" / "p1" / "notes.txt").write_text("no picture")
    shutil.copy(images[0], tmp_path / "scans" / ".hidden.png")
    return tmp_path / "scans"


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_is_predicted_as_it_is_arranged_and_a_second_call_goes_on(tree: Path, best: Path, capsys):
    out = tree / "predicted"
    words = ("predict", tree, "--checkpoint", best, "--out", out)
    (out / "p2").mkdir(parents=True)
    (out / "p2" / "s1_mask.png").write_bytes(b"by hand")
    assert call(*words) == 0
    kinds = ("mask", "overlay")
    expected = [f"{p}/{s}_{kind}.png" for p in ("p1", "p2") for s in ("s0", "s1") for kind in kinds]
    assert written(out) == [name for name in expected if name != "p2/s1_overlay.png"]
    said = capsys.readouterr().out
    assert "3 masks and overlays in" in said and "1 images skipped" in said
    before = {name: (out / name).stat().st_mtime_ns for name in written(out)}
    assert call(*words) == 0  # neither the masks there nor what was written are images to predict
    assert "0 masks and overlays in" in (said := capsys.readouterr().out) and "4 images skipped" in said
    assert {name: (out / name).stat().st_mtime_ns for name in written(out)} == before


def test_a_pattern_that_the_shell_did_not_open(tree: Path, best: Path, tmp_path: Path, capsys):
    shutil.copy(tree / "p1" / "s0.png", tree / "odd[1].png")
    words = ("--checkpoint", best, "--out", tmp_path / "out")
    assert call("predict", tree / "p1" / "*.png", tree / "odd[1].png", tree / "p1" / "s0.png", *words) == 0
    names = ("odd[1]", "s0", "s1")
    assert written(tmp_path / "out") == [f"{n}_{kind}.png" for n in names for kind in ("mask", "overlay")]
    assert call("predict", tree / "**" / "*.png", "--checkpoint", best, "--out", tmp_path / "two") == 1
    err = capsys.readouterr().err
    assert err.count("must have different names") == 2 and "p1/s0.png and " in err
    assert written(tmp_path / "two") == ["odd[1]_mask.png", "odd[1]_overlay.png"]


# ------------------------------------------------------------------------------------- one bad file of many
def test_no_bad_file_stops_the_batch_and_each_is_named(tree: Path, best: Path, tmp_path: Path, capsys):
    whole, bad = (tree / "p1" / "s0.png").read_bytes(), []
    broken = {
        "cut.png": whole[: len(whole) // 2],
        "empty.png": b"",
        "text.png": b"hello",
        "noise.png": whole[9:],
    }
    for name, content in broken.items():
        (tree / "p1" / name).write_bytes(content)
        bad.append(tree / "p1" / name)
    missing = tree / "nothing.png"
    out = tmp_path / "out"
    assert call("predict", missing, tree, best, "--checkpoint", best, "--out", out) == 1
    captured = capsys.readouterr()
    assert "4 masks and overlays in" in captured.out
    for path in (*bad, missing, best):
        assert sum(str(path) in line for line in captured.err.splitlines() if line.startswith("error")) == 1
    assert [name for name in written(out) if "mask" in name] == [
        "p1/s0_mask.png", "p1/s1_mask.png", "p2/s0_mask.png", "p2/s1_mask.png"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "b_$1_$2.png",
        "n" * 240 + ".png",
        "n" * 246 + ".png",
        os.fsdecode(b"caf\xe9.png"),
        os.fsdecode("niere \u2603 \u817e".encode()) + ".png",
        os.fsdecode(b"\xed\xa0\x80.png"),
        " .png",
        "a\nb.png",
    ],
    ids=ascii,
)
def test_every_name_that_a_disk_takes(images: list[Path], best: Path, tmp_path: Path, name: str, capsys):
    try:
        shutil.copy(images[0], tmp_path / name)
    except OSError:
        pytest.skip("this file system does not take the name")
    words = ("predict", tmp_path / name, images[1], "--checkpoint", best, "--out", tmp_path / "out")
    fits = len(os.fsencode(name)) <= 247  # the overlay's name is as much longer
    assert call(*words) == (not fits)
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert {f"{name[:-4]}_mask.png", "s1_mask.png", "s1_overlay.png"} <= made and len(made) == 3 + fits
    assert call(*words) == 0


def test_a_mask_whose_name_would_be_too_long_is_named(images: list[Path], best: Path, tmp_path: Path, capsys):
    long = tmp_path / f"{'n' * 249}.png"
    shutil.copy(images[0], long)
    words = ("predict", long, images[1], "--checkpoint", best, "--out", tmp_path / "out")
    assert call(*words) == 1 and "Give a shorter name." in capsys.readouterr().err
    assert written(tmp_path / "out") == ["s1_mask.png", "s1_overlay.png"]


def test_weights_that_are_not_finite_are_refused(images: list[Path], best: Path, tmp_path: Path, capsys):
    state = load_state(best)
    state["model"]["head.bias"].fill_(float("nan"))
    save_state(tmp_path / "nan.pt", state)
    assert call("predict", images[0], "--checkpoint", tmp_path / "nan.pt", "--out", tmp_path / "out") == 1
    assert "must hold finite weights, got NaN or infinity in 1 of" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------------------------ the scale
def trained_with(best: Path, path: Path, sides: tuple[int, ...] = (), **settings: object) -> Path:
    """The checkpoint, as of a run with these settings; None deletes one."""
    state = load_state(best)
    state["config"] = {**state["config"], **settings}
    for name in [name for name, value in settings.items() if value is ...]:
        del state["config"][name]
    save_state(path, {**state, "sides": sides})
    return path


@pytest.mark.parametrize(
    ("settings", "sentence", "n_pixels"),
    [
        ({}, "Scale: every image at the resolution of its file.", 3),
        ({"max_size": 100}, "Scale: images with a longer side above 100 pixels are shrunk to it.", 0),
        ({"max_size": ...}, "Scale: images with a longer side above 512 pixels are shrunk to it.", 0),
    ],
)
def test_the_checkpoint_remembers_its_scale_and_predict_says_it(
    best: Path, tmp_path: Path, capsys, settings, sentence: str, n_pixels: int
):
    """Three pixels of 2,000 are seen at the resolution of the file alone."""
    image = write_slice(tmp_path, "wide", {(20, 600, 1, 3): STONE}, (20, 600, 1, 3), size=(64, 2000))
    checkpoint = trained_with(best, tmp_path / "own.pt", **settings)
    words = ("predict", image, "--checkpoint", checkpoint)
    assert call(*words, "--out", tmp_path / "out") == 0
    assert sentence in capsys.readouterr().out
    assert load_mask(tmp_path / "out" / "wide_mask.png").sum() == n_pixels
    assert call(*words, "--out", tmp_path / "other", "--max-size", 2000) == 0
    assert load_mask(tmp_path / "other" / "wide_mask.png").sum() == 3
    assert "above 2000 pixels" in capsys.readouterr().out


def test_a_spacing_is_taken_from_the_table_beside_the_images(best: Path, tmp_path: Path, capsys):
    """At 1 mm a pixel the pair of pixels of 0.25 mm becomes a pale dot, and at 0.25 mm it stays."""
    square = (20, 20, 2, 2)
    image = write_slice(tmp_path / "data", "fine", {square: STONE}, square)
    for spacing, n_pixels in ((1.0, 0), (0.25, 4)):
        checkpoint = trained_with(best, tmp_path / "own.pt", spacing=spacing)
        words = ("predict", image, "--checkpoint", checkpoint, "--out", tmp_path / f"out-{spacing}")
        (tmp_path / "data" / "slices.csv").unlink(missing_ok=True)
        assert call(*words) == 1
        said = capsys.readouterr().err
        assert "--spacing must be left away where no pixel size is known" in said and "slices.csv" in said
        (tmp_path / "data" / "slices.csv").write_text("stem,spacing_mm\nfine,0.25\n")
        state = load_state(checkpoint)
        save_state(checkpoint, {**state, "min_pixels": 0})
        assert call(*words) == 0
        assert f"resized so that a pixel has {spacing:g} mm." in capsys.readouterr().out
        assert load_mask(tmp_path / f"out-{spacing}" / "fine_mask.png").sum() == n_pixels


@pytest.mark.parametrize(
    ("sides", "settings", "note"),
    [
        ((256, 300), {}, r"learnt from \(256 to 300 pixels\): 1 of 1 images \(1200 pixels\).* --max-size"),
        ((900, 900), {}, ""),
        ((), {}, ""),
        ((), {"max_size": 400}, "An image of 1200 pixels is shrunk to 400, 3 to 1: .* without --max-size"),
    ],
)
def test_an_image_of_quite_another_size_is_told(
    best: Path, tmp_path: Path, capsys, sides, settings, note: str
):
    image = write_slice(tmp_path, "wide", {}, None, size=(32, 1200))
    checkpoint = trained_with(best, tmp_path / "own.pt", sides, **settings)
    assert call("predict", image, "--checkpoint", checkpoint, "--out", tmp_path / "out") == 0
    said = capsys.readouterr().err
    assert re.search(f"note: .*{note}", said) if note else not said
