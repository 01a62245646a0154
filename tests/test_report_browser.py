"""The report in a real browser, opened as a file: silent, without a network, its slider exact."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import chromium, wait_until
from PIL import Image
from test_report import EVIL, make_report, make_set, read_data

from unet_helpers.metrics import dice, match_stones, predicted_mask
from unet_helpers.pictures.styles import STYLES

MIN_PIXELS = 9


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


class Page:
    """An opened report, and everything that it said or asked for."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        new = {"viewport": {"width": 1200, "height": 900}} | options
        self.page = browser.new_page(**{name: value for name, value in new.items() if value is not None})
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.asked: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url.split(",")[0]))
        self.page.goto(path.as_uri())
        self.live = self.page.locator("#live")

    def opened(self) -> None:
        wait_until(lambda: self.live.count() and self.live.get_attribute("data-case"), "the slider is ready")

    def shows(self, place: int) -> None:
        wait_until(lambda: self.live.get_attribute("data-case") == str(place), f"case {place} is shown")

    def case(self) -> int:
        """Index of the shown image."""
        name = self.page.locator("#case option:checked").inner_text()
        return int(re.search(r"image (\d+)", name)[1]) - 1

    def pixels(self) -> np.ndarray:
        """The canvas, uint8 (H, W, 3)."""
        png = self.page.evaluate("document.getElementById('picture').toDataURL('image/png').split(',')[1]")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"))

    def said_scores(self) -> dict[str, float]:
        names = ("dice", "n_found", "n_sections", "n_alarms")
        return {name: float(self.live.get_attribute(f"data-{name}")) for name in names}


def assert_right(page: Page, data: dict[str, list], threshold: float) -> None:
    """The live line says what the metrics say, in its attributes and in its words."""
    index = page.case()
    target = data["targets"][index]
    prediction = predicted_mask(data["probabilities"][index], threshold, MIN_PIXELS)
    overlap, match = dice(prediction, target), match_stones(prediction, target)
    said = page.said_scores()
    assert said["dice"] == pytest.approx(overlap, abs=1e-12, nan_ok=True)
    assert (said["n_found"], said["n_sections"]) == (match.n_found, match.n_sections)
    assert said["n_alarms"] == match.n_false_positives
    words = page.live.inner_text()
    assert ("Dice none" if np.isnan(overlap) else f"Dice {overlap:.3f}") in words
    assert f"Sections found {match.n_found} of {match.n_sections}" in words
    assert page.page.locator("#threshold-value").inner_text() == f"{threshold:.2f}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list], list[float]]:
    data = make_set(9)
    for probability in data["probabilities"]:
        probability[2, 2:6] = 0.6  # four pixels, dropped as too small
    path = tmp_path_factory.mktemp("report") / "report.html"
    content, _ = make_report(path, data, 0.37, MIN_PIXELS)
    return path, data, read_data(content)["thresholds"]


def test_opens_silently_without_a_network(browser, made):
    page = Page(browser, made[0])
    page.opened()
    assert page.said == [] and set(page.asked) - {"data:image/png;base64"} <= {
        made[0].as_uri(),
        "data:image/jpeg;base64",
        "data:image/svg+xml;base64",
    }
    broken = "Array.from(document.images).filter(image => !image.complete || !image.naturalWidth).length"
    assert page.page.evaluate(broken) == 0 and page.page.evaluate("document.images.length") > 10
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 1200
    assert EVIL not in page.page.content()
    assert page.page.locator("#threshold").get_attribute("aria-valuetext") == "0.37"
    page.page.close()


def test_slider_by_keyboard_and_by_drag_gives_the_dice_of_the_metrics(browser, made):
    path, data, thresholds = made
    page = Page(browser, path)
    page.opened()
    slider, start = page.page.locator("#threshold"), thresholds.index(0.37)
    assert_right(page, data, 0.37)
    before = page.pixels()
    page.page.locator("#threshold").focus()
    for key, step in (("ArrowRight", start + 1), ("ArrowUp", start + 2), ("ArrowLeft", start + 1),
                      ("Home", 0), ("End", len(thresholds) - 1), ("PageDown", None)):  # fmt: skip
        page.page.keyboard.press(key)
        reached = int(slider.input_value())
        assert step is None or reached == step
        assert_right(page, data, thresholds[reached])
    assert not np.array_equal(page.pixels(), before)

    box = slider.bounding_box()
    page.page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] / 2)
    page.page.mouse.down()
    pictures = []
    for part in (0.7, 0.5, 0.25, 0.1):
        page.page.mouse.move(box["x"] + box["width"] * part, box["y"] + box["height"] / 2)
        assert_right(page, data, thresholds[int(slider.input_value())])
        pictures.append(page.pixels().tobytes())
    page.page.mouse.up()
    assert len(set(pictures)) > 1
    page.page.locator("#reset").click()
    assert_right(page, data, 0.37)
    assert np.array_equal(page.pixels(), before)
    page.page.close()


def test_every_case_by_select_and_by_tile(browser, made):
    path, data, _ = made
    page = Page(browser, path)
    page.opened()
    seen = set()
    for place in range(page.page.locator("#case option").count()):
        page.page.locator("#case").select_option(str(place))
        page.shows(place)
        assert_right(page, data, 0.37)
        seen.add(page.case())
    assert seen == set(range(9))
    tile = page.page.locator("button.tile").nth(3)
    tile.focus()
    page.page.keyboard.press("Enter")
    page.shows(3)
    assert tile.get_attribute("aria-pressed") == "true"
    assert page.page.locator("[aria-pressed=true]").count() == 1
    assert f"image {page.case() + 1}:" in tile.locator("img").get_attribute("alt")
    page.page.close()


def test_canvas_shows_image_hits_misses_and_false_alarms(browser, made):
    path, data, _ = made
    page = Page(browser, path)
    page.opened()
    index = page.case()
    prediction = predicted_mask(data["probabilities"][index], 0.37, MIN_PIXELS)
    target, image = data["targets"][index], data["images"][index].astype(float)
    scale = page.pixels().shape[0] // 64
    inner = page.pixels()[scale // 2 :: scale, scale // 2 :: scale].astype(float)  # middles of the pixels
    kinds = {"hit": prediction & target, "miss": target & ~prediction, "false alarm": prediction & ~target}
    for kind, region in kinds.items():
        assert region.any(), kind
        expected = 0.7 * image[region].mean() + 0.3 * np.array(STYLES[kind].colour)
        assert np.allclose(inner[region].mean(0), expected, atol=8), kind
    nothing = ~(prediction | target)
    assert np.ptp(inner[nothing], axis=1).max() <= 1  # grey
    assert np.abs(inner[nothing].mean() - image[nothing].mean()) < 2
    before = page.pixels()
    page.page.locator("#zoom").focus()
    page.page.keyboard.press("End")
    assert page.page.locator("#zoom-value").inner_text() == "8 x"
    zoomed = page.pixels()
    assert zoomed.shape == before.shape and not np.array_equal(zoomed, before)
    middle = zoomed[zoomed.shape[0] // 2 - 9 : zoomed.shape[0] // 2 + 9].reshape(-1, 3).astype(int)
    assert (np.ptp(middle, axis=1) > 20).any()  # the stone in the middle has a colour
    page.page.close()


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (400, "dark"), (1200, "dark")])
def test_readable_on_a_phone_and_in_the_dark(browser, made, width, scheme):
    page = Page(browser, made[0], viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.opened()
    assert page.page.evaluate("document.documentElement.scrollWidth") <= width
    paper, ink = page.page.evaluate("""() => {
        const style = getComputedStyle(document.body);
        return [style.backgroundColor, style.color].map(text => text.match(/\\d+/g).slice(0, 3).map(Number));
    }""")
    assert (np.mean(paper) < 60 < 200 < np.mean(ink)) == (scheme == "dark")
    page.page.locator("#threshold").scroll_into_view_if_needed()
    assert page.page.locator("#picture").bounding_box()["width"] <= width
    page.page.close()


@pytest.fixture
def phone(browser: Any, made: Any) -> Iterator[Page]:
    """The report on a phone that is touched, not clicked."""
    context = browser.new_context(viewport={"width": 400, "height": 800}, has_touch=True, is_mobile=True)
    page = Page(context, made[0], viewport=None)
    page.opened()
    yield page
    context.close()


def test_a_finger_moves_the_slider_and_opens_a_case(phone, made):
    data, thresholds = made[1:]
    slider = phone.page.locator("#threshold")
    seen = set()
    for share in (0.2, 0.5, 0.8):
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        assert box["height"] >= 44 and box["width"] > 250  # as large as a finger needs
        phone.page.touchscreen.tap(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
        reached = int(slider.input_value())
        assert reached / (len(thresholds) - 1) == pytest.approx(share, abs=0.06)
        assert_right(phone, data, thresholds[reached])
        seen.add(phone.pixels().tobytes())
    assert len(seen) > 1
    tile = phone.page.locator("button.tile").nth(2)
    tile.scroll_into_view_if_needed()
    tile.tap()
    phone.shows(2)
    assert phone.page.locator("#picture").bounding_box()["width"] <= 400


def test_a_phone_cuts_nothing_and_scrolls_only_the_table(phone):
    cut = phone.page.evaluate("""() => [...document.querySelectorAll("body *")].filter(one =>
        one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".scroll")
        && !["SCRIPT", "OPTION"].includes(one.tagName)).map(one => one.tagName + one.className)""")
    assert cut == [] and phone.page.evaluate("document.documentElement.scrollWidth") <= 400
    widths = phone.page.evaluate("[...document.querySelectorAll('.figures img')].map(one => one.clientWidth)")
    assert widths and min(widths) > 340  # of figures that are 5.2 inches wide: 9 points are 9 pixels


def test_prints_on_a4_without_the_slider(browser, made):
    page = Page(browser, made[0])
    page.opened()
    pdf = page.page.pdf(prefer_css_page_size=True)
    width, height = map(float, re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf).groups())
    assert (width, height) == pytest.approx((595.3, 841.9), abs=1)
    page.page.emulate_media(media="print")
    assert not page.page.locator("#viewer").is_visible() and page.page.locator("h1").is_visible()
    page.page.close()


def test_without_javascript_all_but_the_slider_is_there(browser, made):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(made[0].as_uri())
    assert "The slider needs JavaScript" in page.locator("body").inner_text()
    assert page.locator("img").count() > 10 and page.locator("table").is_visible()
    context.close()
