"""The inspector in a real browser: Jupyter is started, a notebook is run, every control is moved.

JupyterLab has ipywidgets 8, Notebook 6 has 7.7.1, as Colab.
What the browser shows (the pixels of the picture, the live line) is compared with what the pure functions
give for the same settings. Needed besides the project: Chromium and the Python package playwright.
"""

from __future__ import annotations

import hashlib
import html
import inspect
import io
import math
import pickle
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from browsers import PIXELS, ROOT, chromium, classic_notebook, jupyterlab, wait_until
from PIL import Image

from unet_helpers.inspector import Inspector
from unet_helpers.widgets.inspector_controls import WHOLE


def toy_data() -> dict[str, Any]:
    """Four images of two sizes, with 3, 4, 2 and no stones: found, missed, and a false alarm."""
    rng = np.random.default_rng(7)
    data: dict[str, Any] = {"images": [], "targets": [], "probabilities": []}
    for shape in ((96, 96), (96, 96), (120, 90), (96, 96)):
        rows, columns = np.indices(shape)
        image = rng.integers(60, 120, shape).astype(np.uint8)
        target, probability = np.zeros(shape, bool), np.zeros(shape, np.float32)
        for i in range((3, 4, 2, 0)[len(data["images"])]):
            row, column = rng.integers(12, 78, 2)
            target |= (rows - row) ** 2 + (columns - column) ** 2 <= 9
            distance = (rows - row - 1) ** 2 + (columns - column) ** 2
            probability += np.exp(-distance / 14).astype(np.float32) * (1.0 if i else 0.3)
        image[target] = 230
        probability += 0.8 * np.exp(-((rows - 50) ** 2 + (columns - 20) ** 2) / 8).astype(np.float32)
        data["images"].append(image)
        data["targets"].append(target)
        data["probabilities"].append(np.clip(probability, 0, 1) * (0 if not target.any() else 1))
    data["images_hu"] = [image * np.float32(8) - 600 for image in data["images"]]
    return {**data, "spacing_mm": 0.8, "names": ["first", "second", "narrow", "empty"]}


LESSON = ROOT / "notebooks" / "05_evaluation.ipynb"
NOTEBOOKS = {"toy": None} | ({"lesson": LESSON} if LESSON.exists() else {})
STORE = """\
import pickle
from pathlib import Path
data = {"images": inspector._images, "targets": inspector._targets}
data |= {"probabilities": inspector._probabilities}
more = {"spacing_mm": inspector._sizes if inspector._unit == "mm" else None}
more |= {"names": inspector._names, "min_pixels": inspector._min_pixels}
more |= {"threshold": inspector.threshold.value}
more |= {"images_hu": inspector._images if inspector._has_hu else None}
Path("writing").write_bytes(pickle.dumps({**data, **more}))
Path("writing").rename("inspector.pickle")
"""


def write_notebook(path: Path, lesson: Path | None, data: str = "toy_data()") -> None:
    """Write a copy of a lesson, or a toy notebook, that stores the data of its `inspector`."""
    code = nbformat.v4.new_code_cell
    if lesson is None:
        imports = "from typing import Any\nimport numpy as np\nfrom unet_helpers.inspector import Inspector"
        show = f"inspector = Inspector(**{data})\ninspector"
        sources = (imports, inspect.getsource(toy_data), show)
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(cells=[code(source) for source in sources])
        notebook.metadata["kernelspec"] = kernel
    else:
        notebook = nbformat.read(lesson, as_version=4)
    notebook.cells.append(code(STORE))
    nbformat.write(notebook, path)
    path.with_name("inspector.pickle").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def lab(
    browser: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Callable[[str], str]]]:
    home = tmp_path_factory.mktemp("lab")
    with jupyterlab(home) as address:
        yield home, address


@pytest.fixture(scope="module")
def classic(
    browser: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Callable[[str], str]]]:
    home = tmp_path_factory.mktemp("classic")
    with classic_notebook(home) as address:
        yield home, address


class Screen:
    """A notebook's page in JupyterLab, as far as the inspector in it is concerned."""

    handles, outputs = "[role=slider]", ".jp-OutputArea-output"
    errors = "[data-mime-type='application/vnd.jupyter.error']"
    scroller = ".jp-WindowedPanel-outer"

    def __init__(self, browser: Any, url: str, run_seconds: float) -> None:
        self.page = browser.new_page(viewport={"width": 1400, "height": 1000})
        self.page.route(lambda address: "//127.0.0.1" not in address, lambda route: route.abort())
        self.page.goto(url, wait_until="domcontentloaded", timeout=60_000)
        self.run_all()
        self.picture = self.page.locator("img.widget-image").last
        error = self.page.locator(self.errors)
        wait_until(lambda: self.picture.count() or error.count(), "the notebook shows a picture", run_seconds)
        if error.count():
            pytest.fail(f"The notebook failed: {error.first.inner_text()}")
        self.panel = self.page.locator(self.outputs, has=self.page.locator("img.widget-image")).last
        self.panel.scroll_into_view_if_needed()

    def run_all(self) -> None:
        status = self.page.locator("#jp-main-statusbar")
        wait_until(lambda: "| Idle" in status.inner_text(), "the kernel is idle", 60)
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

    def narrow(self, width: int) -> None:
        """Make the window as narrow as a phone, with nothing beside the notebook."""
        if self.page.locator("#jp-left-stack").is_visible():
            self.page.keyboard.press("Control+b")
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.wait_for_timeout(500)  # JupyterLab lays itself out in steps

    def handle(self, label: str) -> Any:
        return self.panel.locator(f".widget-slider:has(label:text-is('{label}')) {self.handles}")

    def value(self, label: str) -> str:
        row = self.panel.locator(f".widget-slider:has(label:text-is('{label}'))")
        return row.locator(".widget-readout").inner_text()

    def press(self, label: str, *keys: str) -> None:
        """Press keys on a focused slider."""
        self.handle(label).focus()
        for key in keys:
            self.page.keyboard.press(key)

    def drag(self, label: str, *offsets: float) -> None:
        """Hold a slider's handle and move it to some distances (in screen pixels) from where it was."""
        self.handle(label).scroll_into_view_if_needed()
        box = self.handle(label).bounding_box()
        column, row = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(column, row)
        self.page.mouse.down()
        for offset in offsets:
            self.page.mouse.move(column + offset, row)
        self.page.mouse.up()

    def tick(self, label: str) -> None:
        """Toggle a check box with the keyboard."""
        self.panel.get_by_label(label, exact=True).focus()
        self.page.keyboard.press("Space")

    def push(self, label: str, key: str | None) -> None:
        """Push a button, with the mouse or with a key."""
        button = self.panel.get_by_role("button", name=label)
        if key is None:
            button.click()
        else:
            button.focus()
            self.page.keyboard.press(key)

    def count_pictures(self) -> Callable[[], int]:
        """Count from now on how often the picture is replaced."""
        self.picture.evaluate("""image => {
            window.nPictures = 0;
            new MutationObserver(() => window.nPictures++).observe(image, {attributeFilter: ["src"]});
        }""")
        return lambda: self.page.evaluate("window.nPictures")

    def seconds_to_next_picture(self, key: str) -> float:
        """Press a key; return the time from the key's event to the frame that shows the next picture."""
        self.picture.evaluate("""image => {
            window.wait = new Promise((resolve, reject) => {
                setTimeout(reject, 20000, "no new picture in 20 s");
                let start;
                const started = () => { start = performance.now(); };
                addEventListener("keydown", started, {once: true, capture: true});
                image.addEventListener("load", () => requestAnimationFrame(() => requestAnimationFrame(
                    () => resolve(performance.now() - start))), {once: true});  // its frame is painted
            });
        }""")
        self.page.keyboard.press(key)
        return self.page.evaluate("window.wait") / 1000

    def pixels(self) -> tuple[int, int, str]:
        """Height, width and hash of the picture's pixels, exactly as the browser has decoded them."""
        return tuple(self.picture.evaluate(PIXELS))

    def text(self) -> str:
        return " ".join(self.panel.inner_text().split())


class ClassicScreen(Screen):
    """A notebook's page in Notebook 6, with ipywidgets 7."""

    handles, outputs, errors, scroller = ".ui-slider-handle", ".output_area", ".output_error", "#site"

    def run_all(self) -> None:
        kernel = "window.Jupyter?.notebook?.kernel"
        ready = f"{kernel}?.is_connected() && {kernel}.widget_manager"
        self.page.wait_for_function(ready, timeout=60_000)
        # it asks the kernel for widgets, and then draws all outputs anew: what runs before, stays empty
        self.page.evaluate(f"{kernel}.widget_manager._loadFromKernel().catch(() => 0)")
        self.page.evaluate("Jupyter.notebook.execute_all_cells()")

    def narrow(self, width: int) -> None:
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.wait_for_timeout(500)


def words(inspector: Inspector) -> list[str]:
    """What the inspector says, as a browser shows it."""
    markup = inspector.score.value.split("</div>") + inspector.sections.value.split("</div>")
    markup += [inspector.message.value]
    lines = (html.unescape(re.sub("<[^>]*>", "", line)) for line in markup)
    return [" ".join(line.split()) for line in lines if line.strip()]


def assert_same(screen: Screen, twin: Inspector, what: str, seconds: float = 20) -> None:
    """Wait until the browser shows what a twin of its inspector shows, to the pixel and to the word."""
    picture = Image.open(io.BytesIO(twin.picture.value)).convert("RGBA")
    expected = (picture.height, picture.width, hashlib.sha256(picture.tobytes()).hexdigest())
    end = time.monotonic() + seconds
    while True:
        shown, text = screen.pixels(), screen.text()
        missing = [line for line in words(twin) if line not in text]
        if shown == expected and not missing:
            return
        if time.monotonic() > end:
            pytest.fail(f"After {what}: the browser shows {shown}, not {expected}; missing words: {missing}.")
        time.sleep(0.05)


SLIDERS = {  # label: keys, and by how much they move it together
    "threshold": (("ArrowRight", "ArrowUp", "ArrowLeft", "ArrowDown", "ArrowDown"), -0.01),
    "opacity": (("ArrowRight", "ArrowRight"), 0.1),
    "level (HU)": (("ArrowLeft", "ArrowLeft", "ArrowLeft"), -30),
    "width (HU)": (("ArrowRight",), 10),
    "image": (("ArrowRight", "ArrowRight", "ArrowLeft"), 1),
    "zoom": (("ArrowRight", "ArrowRight"), 1),
    "up / down": (("ArrowRight", "ArrowRight"), 2),
    "left / right": (("ArrowLeft",), -1),
}
ATTRIBUTES = {"level (HU)": "level", "width (HU)": "width", "image": "index",
              "up / down": "row", "left / right": "column",
              "heat map": "heat_map", "worst Dice first": "worst_first"}  # fmt: skip


def set_from(screen: Screen, twin: Inspector, label: str) -> None:
    """Give the twin's slider the value that stands beside the one in the browser."""
    control = getattr(twin, ATTRIBUTES.get(label, label))
    control.value = type(control.value)(screen.value(label))


def walk(screen: Screen, twin: Inspector) -> None:
    """Move every control, in the browser by hand and in its twin by value; both must always show the same."""
    assert_same(screen, twin, "opening")
    assert screen.picture.bounding_box()["width"] == screen.pixels()[1]  # neither stretched nor shrunk
    sliders = {label: row for label, row in SLIDERS.items() if twin._has_hu or "HU" not in label}
    assert screen.panel.locator(".widget-slider").count() == len(sliders) + 1  # and "look at"

    for label, (keys, change) in sliders.items():
        control = getattr(twin, ATTRIBUTES.get(label, label))
        control.value = type(control.value)(round(control.value + change, 2))
        screen.press(label, *keys)
        assert_same(screen, twin, f"{keys} on {label}")
        assert float(screen.value(label)) == pytest.approx(control.value)

    steps = [("ArrowRight", place) for place in twin.look_at.options[1:]]  # End would go to an old end
    for key, place in [("Home", WHOLE), *steps, ("Home", WHOLE)]:
        twin.look_at.value = place
        screen.press("look at", key)
        assert_same(screen, twin, f"{key} on look at")
        assert screen.value("look at") == place

    for label in ("truth", "prediction", "heat map", "errors", "worst Dice first"):
        control = getattr(twin, ATTRIBUTES.get(label, label))
        control.value = not control.value
        screen.tick(label)
        assert_same(screen, twin, f"ticking {label}")

    buttons = twin.next_miss, twin.next_miss, twin.next_false_alarm, twin.next_miss
    for button, key in zip(buttons, (None, "Space", None, "Space"), strict=True):
        button.click()
        screen.push(button.description, key)
        assert_same(screen, twin, f"{button.description} by {key or 'a click'}")

    twin.look_at.value = WHOLE  # else the view of an image without stones depends on those passed on the way
    screen.press("look at", "Home")
    assert_same(screen, twin, "zooming out")
    for label in sliders:
        screen.drag(label, 5, 12, 20)
        set_from(screen, twin, label)
        assert_same(screen, twin, f"dragging {label}")
    screen.drag("look at", -30, -60, -150)
    twin.look_at.value = screen.value("look at")
    assert_same(screen, twin, "dragging look at")

    n_pictures, n_moves = screen.count_pictures(), 150
    screen.drag("threshold", *(30 * math.sin(i / 12) for i in range(n_moves)))
    set_from(screen, twin, "threshold")
    assert_same(screen, twin, "dragging threshold to and fro", 2)  # no queue of old moves is worked off first
    assert 3 <= n_pictures() < n_moves


def twin_of(path: Path) -> Inspector:
    """Build the inspector that a notebook has stored the data of (see `STORE`)."""
    wait_until(path.exists, "the notebook stores the data of its inspector", 300)
    return Inspector(**pickle.loads(path.read_bytes()))


def opened(request: pytest.FixtureRequest, front: str, name: str) -> tuple[Screen, Inspector]:
    """A notebook that ran in a front end, and the twin of its inspector."""
    home, address = request.getfixturevalue(front)
    write_notebook(home / f"{name}.ipynb", NOTEBOOKS[name])
    kind = {"lab": Screen, "classic": ClassicScreen}[front]
    seconds = 60 if NOTEBOOKS[name] is None else 600
    screen = kind(request.getfixturevalue("browser"), address(f"{name}.ipynb"), run_seconds=seconds)
    return screen, twin_of(home / "inspector.pickle")


@pytest.mark.parametrize(("front", "name"), [("lab", "lesson"), ("lab", "toy"), ("classic", "toy")])
def test_every_control_by_keyboard_and_by_drag(request, front, name):
    """One long walk in one page, because starting Jupyter takes most of the time."""
    screen, twin = opened(request, front, name)
    walk(screen, twin)
    fits_a_phone(screen, alone=NOTEBOOKS[name] is None)
    screen.page.close()


LAID_OUT = """panel => {
    const box = panel.querySelector(".widget-box"), edges = element => element.getBoundingClientRect();
    const [picture, controls] = [...box.children].map(edges), right = edges(box).right;
    const cut = [...box.querySelectorAll("*")].filter(one => edges(one).right > right + 1
        || one.matches("button, .widget-label") && one.scrollWidth > one.clientWidth + 1);
    return {below: controls.top >= picture.bottom, picture: picture.width, box: edges(box).width,
            height: picture.height, cut: cut.map(one => one.className + ": " + one.innerText)};
}"""


def fits_a_phone(screen: Screen, alone: bool) -> None:
    """Below 600 pixels the controls stand under a picture of full width; nothing is cut, no page scrolls.

    In a lesson other cells lie on the page, whose long lines of code may scroll.
    """
    for width in (600, 400, 360):
        screen.narrow(width)
        found = screen.panel.evaluate(LAID_OUT)
        assert found["below"] and found["cut"] == [], (width, found)
        assert found["picture"] >= found["box"] - 12 and found["picture"] > 0.5 * width, (width, found)
        n_rows, n_columns, _ = screen.pixels()
        assert found["height"] == pytest.approx(found["picture"] * n_rows / n_columns, abs=1.5), width
        page = screen.page.locator(screen.scroller).first
        assert not alone or page.evaluate("page => page.scrollWidth - page.clientWidth") <= 1, width
