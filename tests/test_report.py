"""The page that is handed out: complete, self-contained, small; its slider's data give the right masks."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unet_helpers.data import KnownStone
from unet_helpers.evaluation import evaluate, score_masks
from unet_helpers.metrics import dice, match_stones, predicted_mask
from unet_helpers.pictures.styles import STYLES
from unet_helpers.report import page as report
from unet_helpers.report import slider
from unet_helpers.report.page import write_report
from unet_helpers.scores.table import score_remarks, score_rows

EVIL = "</script><script>alert(1)</script>\"'&.png"


def make_set(n_images: int = 6, side: int = 64, seed: int = 3) -> dict[str, list]:
    """Images with a section found, one missed and a false alarm each; every third is without a stone."""
    rng, rows, columns = np.random.default_rng(seed), *np.indices((side, side))
    data: dict[str, list] = {"images": [], "targets": [], "probabilities": [], "names": []}

    def bump(row: float, column: float, width: float) -> np.ndarray:
        return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / width)

    for i in range(n_images):
        target, probability = np.zeros((side, side), bool), 0.8 * bump(side * 0.8, 50, 6)
        for column, height in ((15, 1.0), (40, 0.3)) if i % 3 != 2 else ():
            row = int(rng.integers(10, side // 2))
            target |= bump(row, column, 8) > 0.4
            probability = probability + height * bump(row + 1, column, 10)
        noise = rng.integers(0, 120, (side, side))
        data["images"].append((noise + 120 * target).astype(np.uint8))
        data["targets"].append(target)
        data["probabilities"].append(np.clip(probability, 0, 1).astype(np.float32))
        data["names"].append(f"slice_{i}.png" if i else EVIL)
    return data


def make_report(
    path: Path,
    data: dict[str, list],
    threshold: object = 0.5,
    min_pixels: object = 0,
    spacing_mm: object = 0.7,
    stones: list | None = None,
    **more,
) -> tuple[str, dict]:
    scores = evaluate(
        data["probabilities"],
        data["targets"],
        threshold,
        min_pixels,
        spacing_mm=spacing_mm,
        n_resamples=50,
        stones=stones,
    )
    write_report(path, scores, **data, **more)
    return path.read_text("utf-8"), scores


class Reader(HTMLParser):
    """Collects the elements of a page, and complains about tags that are not closed in order."""

    VOID = frozenset({"meta", "img", "input", "br", "link"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(" ".join(text.split()))

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict, dict]:
    data = make_set()
    rivals = {"all < black >": score_masks([image > 200 for image in data["images"]], data["targets"])}
    path = tmp_path_factory.mktemp("report") / "new" / "report.html"
    return *make_report(path, data, title="Scores <of> it", rivals=rivals), data


def read_data(page: str) -> dict:
    (text,) = re.findall(r'<script type="application/json" id="report-data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def unpack(case: dict) -> np.ndarray:
    """Grey value, number of thresholds at which it is predicted, and truth, (H, W, 3)."""
    kind, content = case["png"].split(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_page_needs_nothing_else(made):
    page = Reader(made[0])
    keys = ("src", "href", "data", "action", "srcset")
    addresses = [attributes[key] for _, attributes in page.elements for key in keys if key in attributes]
    assert addresses and all(address.startswith("data:image/") for address in addresses)
    assert not page.all("link") and "@import" not in made[0] and "url(" not in made[0]
    (policy,) = (m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert "default-src 'none'" in policy
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) and "report-data" in ids
    labelled = {label["for"] for label in page.all("label")}
    assert labelled == {"case", "threshold", "zoom"} and labelled <= set(ids)


def test_every_picture_has_words(made):
    images = Reader(made[0]).all("img")
    assert len(images) == 5 + 4 + 2 + 4  # curves; stone-bearing; with false alarms alone; missed sections
    assert all(len(image["alt"]) > 10 for image in images)


def test_names_and_titles_cannot_break_the_page(made):
    assert "alert(1)" in made[0] and "<script>alert" not in made[0].lower()
    assert EVIL[:13] not in json.dumps(made[0]).replace(r"\u003c", "")
    words = Reader(made[0]).words
    assert words.count("Scores <of> it") == 2 and "all < black >" in words  # heading and title of the window
    assert any(case["name"].endswith(EVIL[-15:]) for case in read_data(made[0])["cases"])


HOSTILE = [
    "<script>alert(1)</script>",
    '" onload="alert(1)',
    "'; alert(1); '",
    "$`${1}$$",
    "{{ 7 * 7 }}{% if %}",
    "\u2028--><!--",
]


def test_hostile_texts_stay_texts_wherever_they_stand(tmp_path):
    data = make_set(6)
    data["names"] = HOSTILE
    rivals = {text: score_masks(data["targets"], data["targets"]) for text in HOSTILE}
    page, _ = make_report(tmp_path / "r.html", data, title=" ".join(HOSTILE), rivals=rivals)
    plain = Reader(make_report(tmp_path / "r.html", make_set(6))[0])
    reader = Reader(page)
    tags = [[name for name, _ in one.elements if name not in ("th", "td")] for one in (reader, plain)]
    assert tags[0] == tags[1]  # the same elements as with harmless names, but for the columns of the rivals
    allowed = {key for _, attributes in plain.elements for key in attributes}
    assert {key for _, attributes in reader.elements for key in attributes} == allowed
    assert {tile["title"] for tile in reader.all("li") if "title" in tile} == set(HOSTILE)
    assert all(" ".join(text.split()) in " ".join(reader.words) for text in HOSTILE)
    assert {case["name"].split(": ", 1)[1] for case in read_data(page)["cases"]} == set(HOSTILE)


def test_the_title_is_the_one_given_or_says_what_the_page_is(tmp_path, made):
    for page, title in ((made[0], "Scores &lt;of&gt; it"),
                        (make_report(tmp_path / "r.html", make_set(1))[0], report.TITLE)):  # fmt: skip
        assert re.findall(r"<title>(.*?)</title>", page) == re.findall(r"<h1>(.*?)</h1>", page) == [title]


def test_every_curve_stands_above_its_caption(made):
    page = made[0]
    found = re.findall(r'<figure><img alt="(.*?)\. (.*?)" src=.*?<figcaption>(.*?)</figcaption>', page)
    assert [caption for *_, caption in found] == [words for _, words, _ in found]
    heads = {(title.split()[0], caption.split()[0]) for title, _, caption in found}
    assert heads == {("FROC:", "How"), ("sections", "Which"), ("precision", "Pixels,"), ("calibration", "Is"),
                     ("size", "How")}  # fmt: skip


def test_every_tile_shows_its_own_image(tmp_path):
    data = make_set(6)
    data["images"] = [np.full((64, 64), 40 * i, np.uint8) for i in range(6)]
    page, _ = make_report(tmp_path / "r.html", data)
    tiles = [image for image in Reader(page).all("img") if "image " in image["alt"]]
    for tile in tiles:
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(tile["src"].split(",")[1]))))
        number = int(re.search(r"image (\d+):", tile["alt"])[1])
        assert abs(np.median(picture) - 40 * (number - 1)) <= 2
    assert len(tiles) == 10


@pytest.mark.parametrize(("n_true", "n_predicted", "rim"), [(20, 8, "miss"), (8, 20, "false alarm")])
def test_the_rim_of_a_larger_mask_is_a_miss_or_a_false_alarm(tmp_path, n_true, n_predicted, rim):
    distance = np.maximum(*np.abs(np.indices((64, 64)) - 31.5))
    data = {"images": [np.full((64, 64), 90, np.uint8)], "targets": [distance < n_true], "names": ["one"],
            "probabilities": [(distance < n_predicted).astype(np.float32)]}  # fmt: skip
    page, _ = make_report(tmp_path / "r.html", data)
    tile = next(image for image in Reader(page).all("img") if image["alt"].startswith("image 1: one"))
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(tile["src"].split(",")[1]))))
    for place, kind in ((128, "hit"), (128 - 4 * 14, rim)):  # 4 pixels of the tile a pixel of the image
        expected = 90 + 0.3 * (np.array(STYLES[kind].colour) - 90)
        assert np.abs(picture[place, place] - expected).max() < 12, kind
    with pytest.raises(TypeError):
        write_report(tmp_path / "r.html", {}, data["images"], data["targets"], data["probabilities"], ["one"])


def test_table_holds_every_score_and_remark(made):
    page, scores, _ = made
    words = Reader(page).words
    for row in score_rows(scores):
        assert all(cell in words for cell in row if cell), row
    assert all(remark in words for remark in score_remarks(scores))


def test_every_missed_section_is_shown_with_its_size(made):
    page, scores, data = made
    missed = [section for section in scores["per_section"] if not section["found"]]
    alts = [image["alt"] for image in Reader(page).all("img") if image["alt"].startswith("Missed section")]
    assert len(missed) == len(alts) == 4
    for section in missed:
        name, size = f"image {section['image'] + 1}: ", f"{section['diameter']:.1f} mm"
        assert any(name in alt and size in alt for alt in alts)
        probability, target = (data[name][section["image"]] for name in ("probabilities", "targets"))
        inside = probability[target & (np.arange(64) > 28)]  # the second section, right of column 28
        assert any(f"highest probability {inside.max():.2f}" in alt for alt in alts)


@pytest.mark.parametrize(("threshold", "min_pixels"), [
    (0.5, 0), (0.37, 9), ([0.3, 0.3, 0.5, 0.37, 0.5, 0.4], [0, 9, 0, 2, 12, 1])])  # fmt: skip
def test_slider_gives_exactly_the_masks_and_scores_of_the_evaluation(tmp_path, threshold, min_pixels):
    data = make_set()
    data["probabilities"][1][2:40, 3:60] = 0.45  # grows over both sections at a low threshold
    page, scores = make_report(tmp_path / "r.html", data, threshold, min_pixels)
    thresholds, least = np.broadcast_to(threshold, 6), np.broadcast_to(min_pixels, 6)
    packed = read_data(page)
    assert len(packed["cases"]) == 6 and len(packed["thresholds"]) <= 255
    for case in packed["cases"]:
        index = int(re.search(r"image (\d+)", case["name"])[1]) - 1
        target = data["targets"][index]
        grey, reached, truth = np.moveaxis(unpack(case), 2, 0)
        assert np.array_equal(grey, data["images"][index]) and np.array_equal(truth > 0, target)
        assert packed["thresholds"][case["start"]] == thresholds[index]
        for step, value in enumerate(packed["thresholds"]):
            mask = predicted_mask(data["probabilities"][index], value, int(least[index]))
            assert np.array_equal(reached > step, mask)
            match, overlap = match_stones(mask, target), dice(mask, target)
            assert case["dice"][step] == (None if np.isnan(overlap) else overlap)
            assert (case["n_found"][step], case["n_alarms"][step]) == (match.n_found, match.n_false_positives)
            assert case["n_sections"] == match.n_sections
        record = scores["per_image"][index]
        assert case["n_found"][case["start"]] == record["n_found"]
        assert case["n_alarms"][case["start"]] == record["n_false_positives"]


def test_the_script_of_the_page_matches_nothing_by_itself():
    script = Path(report.__file__).with_suffix(".js").read_text("utf-8")
    for word in ("min_pixels", "Set(", "both", "2 *"):  # no labelling, no Dice: only looking up and drawing
        assert word not in script.replace("2 * (code", "")


def test_threshold_between_the_steps_becomes_one(tmp_path):
    data = make_set(2)
    data["probabilities"][0][3, 3] = np.float32(0.9995)  # equal to the threshold after rounding
    page, _ = make_report(tmp_path / "r.html", data, 0.9995)
    packed = read_data(page)
    assert packed["thresholds"][-1] == 0.9995 and len(packed["thresholds"]) == 100
    (case,) = (case for case in packed["cases"] if "image 1:" in case["name"])
    assert unpack(case)[3, 3, 1] == 100 and case["start"] == 99


def test_everything_is_stone_is_shown_as_missed_and_as_a_false_alarm(tmp_path):
    data = make_set(3)
    data["probabilities"] = [np.ones_like(p) for p in data["probabilities"]]
    page, scores = make_report(tmp_path / "r.html", data)
    alts = [image["alt"] for image in Reader(page).all("img")]
    assert sum(alt.startswith("Missed section") for alt in alts) == scores["n_sections"] == 4
    assert sum("0 of 2 sections found, 1 false alarm" in alt for alt in alts) == 2
    assert "4 of them are touched" in page


def test_stones_are_counted_where_they_are_known(tmp_path):
    data = make_set()
    stones = [
        [KnownStone(f"s{i % 2}", *np.argwhere(t)[0], 7.0)] if t.any() else []
        for i, t in enumerate(data["targets"])
    ]
    page, _ = make_report(tmp_path / "r.html", data, stones=stones)
    words = " ".join(Reader(page).words)
    assert "2 stones, each in any slice" in words and "stones found, 5 to 10 mm" in words
    assert "8 stone sections" in words
    without = " ".join(Reader(make_report(tmp_path / "r.html", data)[0]).words)
    assert "of the stones found" not in without and "sections found, 3 to 5 mm" in without


def test_large_images_are_cut_down_without_changing_a_score(tmp_path):
    side = 1400
    target, probability = np.zeros((side, side), bool), np.full((side, side), 0.004, np.float32)
    target[700:712, 300:308] = True
    probability[702:715, 300:308], probability[900, 500] = 0.9, 0.02
    rng = np.random.default_rng(0)
    data = {
        "images": [rng.integers(0, 256, (side, side)).astype(np.uint8)],
        "targets": [target],
        "probabilities": [probability],
        "names": ["large"],
    }
    page, _ = make_report(tmp_path / "r.html", data)
    (case,) = read_data(page)["cases"]
    grey, reached, stones = np.moveaxis(unpack(case), 2, 0)
    assert grey.shape == (201 + 64, 201 + 64)  # rows 700 to 900, columns 300 to 500, and 32 on every side
    assert len(page) < 1_000_000
    row, column = (round(place) for place in case["focus"])
    assert stones[row, column] == 1
    for step in (1, 50, 95):
        threshold = read_data(page)["thresholds"][step]
        assert dice(reached > step, stones > 0) == dice(probability >= threshold, target)


def test_slider_stays_small_by_keeping_the_first_of_each_group(tmp_path, monkeypatch):
    data = make_set(30)
    page, _ = make_report(tmp_path / "r.html", data)
    names = [case["name"] for case in read_data(page)["cases"]]
    assert [name.split(",")[0] for name in names] == ["Worst"] * 4 + ["Median"] * 4 + ["Best"] * 4 + [
        "False alarms"
    ] * 4
    n_tiles = len(Reader(page).all("button"))
    monkeypatch.setattr(slider, "SLIDER_BYTES", 6 * len(read_data(page)["cases"][0]["png"]))
    fewer, _ = make_report(tmp_path / "r.html", data)
    names = [case["name"].split(",")[0] for case in read_data(fewer)["cases"]]
    assert 4 <= len(names) <= 6 and set(names) == {"Worst", "Median", "Best", "False alarms"}
    assert len(Reader(fewer).all("button")) == n_tiles - 16 + len(names)  # the others: pictures, no buttons
    assert len(Reader(fewer).all("img")) == len(Reader(page).all("img"))


def test_worst_median_and_best_are_those(tmp_path):
    data = make_set(45)
    page, scores = make_report(tmp_path / "r.html", data)
    by_dice = sorted(one["dice"] for one in scores["per_image"] if one["n_sections"])
    shown = {"Worst": [], "Median": [], "Best": [], "False alarms": []}
    for case in read_data(page)["cases"]:
        index = int(re.search(r"image (\d+)", case["name"])[1]) - 1
        shown[case["name"].split(",")[0]].append(scores["per_image"][index]["dice"])
    assert shown["Worst"] == by_dice[:4] and shown["Best"] == by_dice[:-5:-1]
    assert shown["Median"] == by_dice[13:17] and set(shown["False alarms"]) == {0.0}
    assert "The 4 worst of 30 images with a stone" in page


def no_stone(data):
    data["targets"] = [target & False for target in data["targets"]]


def no_prediction(data):
    data["probabilities"] = [probability * 0 for probability in data["probabilities"]]


def nothing(data):
    no_stone(data), no_prediction(data)


def perfect(data):
    data["probabilities"] = [target.astype(np.float32) for target in data["targets"]]


def one_image(data):
    for key in data:
        data[key] = data[key][:1]


@pytest.mark.parametrize("spacing_mm", [None, (0.5, 0.8)])
@pytest.mark.parametrize("change", [no_stone, no_prediction, nothing, perfect, one_image])
def test_sets_that_lack_something(tmp_path, change, spacing_mm):
    data = make_set(3)
    change(data)
    page, scores = make_report(tmp_path / "r.html", data, spacing_mm=spacing_mm, min_pixels=3)
    reader = Reader(page)
    text = " ".join(reader.words)
    n_missed = sum(not section["found"] for section in scores["per_section"])
    assert sum(image["alt"].startswith("Missed section") for image in reader.all("img")) == n_missed
    assert ("There is no stone in these images" in text) == (change in (no_stone, nothing))
    assert ("there is nothing to show" in text) == (change is nothing)
    assert f"None of the {scores['n_sections']} sections is missed" in text or n_missed
    assert "nan" not in text and "NaN" not in page.split("report-data")[1].split("</script>")[0]
    assert ("in pixels" in text) == (spacing_mm is None)


def test_a_thousand_images_stay_below_six_megabytes(tmp_path):
    data = make_set(30, side=128)
    data = {name: [values[i % 30] for i in range(1000)] for name, values in data.items()}
    page, scores = make_report(tmp_path / "r.html", data)
    missed = [image for image in Reader(page).all("img") if image["alt"].startswith("Missed section")]
    assert len(missed) == scores["n_sections"] - sum(s["found"] for s in scores["per_section"]) > 600
    assert "The 4 worst of 667 images with a stone" in page and len(page) < 6_000_000


@pytest.mark.parametrize("what", ["images", "targets", "probabilities", "names"])
def test_wrong_lengths_are_named(tmp_path, what):
    data = make_set(3)
    scores = evaluate(data["probabilities"], data["targets"], 0.5, n_resamples=5)
    data[what] = data[what][:2]
    with pytest.raises(ValueError, match=rf"{what} must be as many as were evaluated \(3\), got 2"):
        write_report(tmp_path / "r.html", scores, **data)


def test_wrong_arrays_are_named_and_the_old_page_stays(tmp_path):
    data, path = make_set(3), tmp_path / "r.html"
    old, scores = make_report(path, data)
    data["probabilities"][1] = data["probabilities"][1] * 4
    with pytest.raises(ValueError, match=r"probability 1 must lie in \[0, 1\]"):
        write_report(path, scores, **data)
    assert path.read_text("utf-8") == old and list(tmp_path.iterdir()) == [path]


def test_same_scores_same_bytes(tmp_path):
    data = make_set(3)
    assert make_report(tmp_path / "a.html", data)[0] == make_report(tmp_path / "b.html", data)[0]


def test_tiles_show_the_scores_of_their_image(made):
    page, scores, data = made
    alts = [image["alt"] for image in Reader(page).all("img")]
    for i, one in enumerate(scores["per_image"]):
        match = match_stones(predicted_mask(data["probabilities"][i], 0.5), data["targets"][i])
        assert (one["n_found"], one["n_sections"]) == (match.n_found, match.n_sections)
        words = "no stone"
        if match.n_sections:
            words = f"Dice {one['dice']:.3f}, {match.n_found} of 2 sections found"
        assert any(f"image {i + 1}:" in alt and f"{words}, 1 false alarm" in alt for alt in alts)
