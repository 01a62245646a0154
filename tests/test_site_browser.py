"""The book in a real browser, without a network: search, the dark, a phone, and nothing that goes wrong."""

from __future__ import annotations

import functools
import io
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from browsers import chromium, wait_until
from PIL import Image
from site_book import book, pages

pytestmark = pytest.mark.in_turn  # in the process in which test_site.py has built the book
CHATTER = "[PST]"  # the theme tells which colours it chose


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The book on a server of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(book())))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


class Reader:
    """A page whose network ends at the book's own server, and all that went wrong in it."""

    def __init__(self, browser: Any, address: str, width: int = 1200, colours: str = "light") -> None:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=colours)
        self.page, self.address = context.new_page(), address
        self.wrong: list[str] = []
        self.asked_elsewhere: list[str] = []
        context.route(lambda url: not url.startswith(address), self._block)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.wrong.append(f"{self.page.url}: {error}"))
        self.page.on("requestfailed", self._miss)
        self.page.on(
            "response", lambda one: one.status >= 400 and self.wrong.append(f"{one.status} {one.url}")
        )

    def _block(self, route: Any) -> None:
        self.asked_elsewhere.append(route.request.url)
        route.abort()

    def _miss(self, request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page was left before it came
            self.wrong.append(f"{self.page.url}: {request.url} failed, {request.failure}")

    def _look(self, response: Any) -> None:
        if response.status >= 400:
            self.wrong.append(f"{self.page.url}: {response.url} gave {response.status}")

    def _hear(self, message: Any) -> None:
        if CHATTER not in message.text:
            self.wrong.append(f"{self.page.url}: {message.text}")

    def open(self, name: Any) -> Any:
        self.page.goto(f"{self.address}/{name}", wait_until="load")
        return self.page

    def close(self) -> None:
        self.page.context.close()
        assert not self.asked_elsewhere, self.asked_elsewhere
        assert not self.wrong, "\n".join(self.wrong)


def test_all_pages_load_in_silence_and_fit_every_screen(browser: Any, address: str):
    reader = Reader(browser, address)
    too_wide = []
    for name in pages(book()):
        page = reader.open(name)
        for width in (1200, 400, 360):
            page.set_viewport_size({"width": width, "height": 900})
            if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
                too_wide.append(f"{name}: {wide} px on a screen of {width}")
        broken = page.evaluate(
            "[...document.images].filter(one => one.complete && !one.naturalWidth).map(one => one.src)"
        )
        assert not broken, (name, broken)
    assert not too_wide, "\n".join(too_wide)
    reader.close()


def test_search_finds_a_word_and_a_click_lands_there(browser: Any, address: str):
    reader = Reader(browser, address)
    page = reader.open("index.html")
    page.keyboard.press("Control+k")
    page.locator("input[name=q]:visible").last.fill("Hounsfield")
    page.keyboard.press("Enter")
    hit = page.locator("#search-results li a", has_text="Lesson 1")
    hit.first.wait_for(timeout=20_000)
    assert page.locator("#search-results li a", has_text="Glossary").count()
    hit.first.click()
    page.locator("article h1").wait_for()
    assert "01_dataset" in page.url
    assert page.locator("article", has_text="Hounsfield unit").count() == 1
    reader.close()


def brightness(page: Any) -> float:
    """Mean of the three colours behind the text."""
    colours = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return float(np.mean([float(one) for one in colours.strip("rgba()").split(",")[:3]]))


def pixels(page: Any, selector: str) -> np.ndarray:
    """The middle of an element as it is seen, uint8 (H, W, 3); its edge is left to the style."""
    shot = page.locator(selector).first.screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))[12:-12, 12:-12]


def test_the_switch_makes_it_dark_and_leaves_the_pictures(browser: Any, address: str):
    reader = Reader(browser, address)
    page = reader.open("notebooks/01_dataset.html")
    picture = ".cell_output img[src$='.png']"
    light, before = brightness(page), pixels(page, picture)
    page.locator(".theme-switch-button:visible").click()
    page.locator(".theme-change-button[data-mode=dark]:visible").click()
    wait_until(lambda: brightness(page) < 60, "the page is dark")
    assert light > 220
    after = pixels(page, picture)
    assert before.mean() > 150  # drawn on white
    assert abs(float(after.mean()) - float(before.mean())) < 12
    page.reload()  # it is remembered
    assert brightness(page) < 60
    reader.close()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_report_has_the_colours_of_its_page(browser: Any, address: str, colours: str):
    reader = Reader(browser, address, colours=colours)
    page = reader.open("docs/example_report.html")
    frame = page.locator("iframe.report")
    frame.scroll_into_view_if_needed()
    inside = page.frame_locator("iframe.report").locator("h1")
    inside.wait_for()
    ink = inside.evaluate("e => getComputedStyle(e).color").strip("rgb()").split(",")
    assert (float(ink[0]) > 128) == (colours == "dark")
    page.get_by_text("Open the report on a page of its own").click()
    page.locator("#live[data-case]").wait_for()
    assert page.url.endswith("/docs/report.html") and (brightness(page) < 60) == (colours == "dark")
    reader.close()


def test_on_a_phone_the_menu_opens_and_leads_on(browser: Any, address: str):
    reader = Reader(browser, address, 400)
    page = reader.open("index.html")
    lesson = page.locator(".bd-links a", has_text="2. Preprocessing").locator("visible=true")
    assert lesson.count() == 0
    page.locator("button.primary-toggle:visible").click()
    lesson.first.wait_for()
    lesson.first.click()
    wait_until(lambda: "02_preprocessing" in page.url, "the lesson is open")
    reader.close()


def test_on_a_phone_wide_tables_scroll_in_their_own_box(browser: Any, address: str):
    reader = Reader(browser, address, 400)
    page = reader.open("benchmarks/README.html")
    boxes = page.evaluate(
        "[...document.querySelectorAll('article table')].map(t => {"
        " const b = t.parentElement; return [getComputedStyle(b).overflowX, b.scrollWidth - b.clientWidth]})"
    )
    assert all(overflow == "auto" for overflow, _ in boxes) and any(hidden > 20 for _, hidden in boxes)
    reader.close()


def test_answers_unfold_and_code_can_be_copied(browser: Any, address: str):
    reader = Reader(browser, address)
    page = reader.open("notebooks/01_dataset.html")
    answer = page.locator("details", has_text="One possible answer").first
    words = answer.locator("p").last
    assert not words.is_visible()
    answer.locator("summary").click()
    assert words.is_visible()
    n_cells, n_buttons = page.locator(".cell_input").count(), page.locator(".cell_input .copybtn").count()
    assert n_cells == n_buttons > 10
    reader.close()


def test_it_can_be_read_from_the_disk_without_a_server(browser: Any):
    page = browser.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda one: wrong.append(one.url))
    page.goto((book() / "index.html").as_uri())
    page.get_by_text("Begin with lesson 1").click()
    wait_until(lambda: page.url.endswith("01_dataset.html"), "the lesson is open")
    page.close()
    assert not wrong
