"""A lesson on a page: run to its end in JupyterLab or in the classic Notebook, its widgets found and moved.

lesson = Lesson(browser, address("03_unet_architecture.ipynb"), classic=False)
lesson.run_all()
lesson.wait_for_end((home / "done").exists)
for control in lesson.controls():
    lesson.move(control, "key")
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from browsers import PIXELS, wait_until

# of both front ends, and of both versions of ipywidgets
OUTPUT = ".jp-OutputArea-child, .output_area"
HANDLE = "[role=slider], .ui-slider-handle"
ERROR = "[data-mime-type='application/vnd.jupyter.error'], .output_error"
STDERR = "[data-mime-type='application/vnd.jupyter.stderr'], .output_stderr"
BURSTS = (1, 4, 16)  # keys on a slider, until the picture changes: a sure network hardly minds a threshold
PHONE_PX, THUMB_PX = 400, 60
WAIT_MS = 120_000

TOOLS = """
window.lesson = {
    outputs: () => [...document.querySelectorAll('OUTPUT')].filter(output => output.querySelector(
        '.jupyter-widgets')),
    controls: output => [...output.querySelectorAll('HANDLE, button, select, input, textarea')].filter(
        element => element.getClientRects().length && !element.closest('.out_prompt_overlay')),
    track: handle => handle.closest('.noUi-target, .ui-slider'),
    describe: element => {
        const row = element.closest('.widget-inline-hbox');
        const words = row && row.querySelector('.widget-label');
        const primary = element.matches('.mod-primary');
        const kind = element.matches('HANDLE') ? 'slider' : element.matches('button') ? 'button'
            : element.type === 'checkbox' ? 'checkbox' : element.tagName.toLowerCase();
        return [kind, ((words && words.textContent.replace('\\u200b', '')) || element.textContent
            || element.parentElement.textContent || '').trim(), primary];
    },
    pixels: async image => {  // of each address once: a new picture has a new address
        const src = image.src;
        if (image.seen && image.seen[0] === src) return image.seen[1];
        const text = (await (PIXELS)(image))[2];
        if (text !== 'being replaced') image.seen = [src, text];
        return text;
    },
    state: async (output, words) => {
        const images = [...output.querySelectorAll('img')];
        const hashes = await Promise.all(images.map(window.lesson.pixels));
        const told = [...output.querySelectorAll('.widget-html')].map(one => one.textContent);
        return [...hashes, ...(words || !images.length ? told : [])].join(' | ');
    },
    narrow: () => window.lesson.outputs().flatMap((output, i) => [
        ...(output.scrollWidth > output.clientWidth + 1
            ? [`output ${i} is ${output.scrollWidth} px wide, there are ${output.clientWidth}`] : []),
        ...[...output.children].filter(child => child.scrollWidth > child.clientWidth + 1
            && getComputedStyle(child).overflowX !== 'visible').map(
            child => `output ${i} holds ${child.scrollWidth} px, there are ${child.clientWidth}`),
        ...window.lesson.controls(output).flatMap(element => {
            const [kind, words] = window.lesson.describe(element);
            const box = (kind === 'slider' ? window.lesson.track(element) : element).getBoundingClientRect();
            return [...(kind === 'slider' && box.width < THUMB ? [`${words}: ${box.width} px to move`] : []),
                ...(kind === 'button' && element.scrollWidth > element.clientWidth + 1
                    ? [`${words}: cut off`] : []),
                ...(box.right > innerWidth || box.left < 0
                    ? [`${words}: from ${box.left} to ${box.right} px, outside of the page`] : [])];
        })]),
};
"""
for word, meaning in {"PIXELS": PIXELS, "OUTPUT": OUTPUT, "HANDLE": HANDLE, "THUMB": str(THUMB_PX)}.items():
    TOOLS = TOOLS.replace(word, meaning)


@dataclass
class Control:
    """Something to move in the output of a cell.

    Attributes:
        output: Which of the page's outputs with widgets.
        place: Which of its controls.
        kind: "slider", "button", "checkbox", "select", "input" or "textarea".
        label: Words beside it or on it.
        primary: Whether it is the button that takes what all others of its output are set to.
        seconds: From each key or click to the change that it made.
    """

    output: int
    place: int
    kind: str
    label: str
    primary: bool
    seconds: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.kind} {self.label!r} (output {self.output}, control {self.place})"


class Lesson:
    """The page of a notebook.

    Args:
        browser: Of `browsers.chromium`.
        url: Of the notebook.
        classic: Whether the server is a Notebook 6.

    Attributes:
        page: Of playwright.
        complaints: What the page's own scripts have thrown.
    """

    def __init__(self, browser: Any, url: str, classic: bool) -> None:
        self.classic, self.complaints, self._taken = classic, list[str](), set[int]()
        self.page = browser.new_page(viewport={"width": 1200, "height": 1000})
        self.page.set_default_timeout(WAIT_MS)  # a busy machine takes long to draw a page
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.route(lambda address: "//127.0.0.1" not in address, lambda route: route.abort())
        self.page.goto(url, wait_until="domcontentloaded")
        if classic:
            ready = "window.Jupyter && Jupyter.notebook && Jupyter.notebook.kernel && "
            ready += "Jupyter.notebook.kernel.is_connected() && Jupyter.notebook.kernel.widget_manager"
            self.page.wait_for_function(ready)
            # it asks the kernel for widgets, and then draws all outputs anew: what runs before, stays empty
            self.page.evaluate("Jupyter.notebook.kernel.widget_manager._loadFromKernel().catch(() => 0)")
        else:
            status = self.page.locator("#jp-main-statusbar")
            wait_until(lambda: "| Idle" in status.inner_text(), "the kernel is idle", WAIT_MS / 1000)
            self.page.keyboard.press("Control+b")  # no list of files beside the notebook
        self.page.evaluate(TOOLS)

    def run_all(self) -> None:
        """Begin to run all cells."""
        if self.classic:
            self.page.evaluate("Jupyter.notebook.execute_all_cells()")
        else:
            self.page.get_by_role("menuitem", name="Run", exact=True).click()
            self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

    def wait_for_end(self, done: Callable[[], bool], seconds: float = 400) -> None:
        """Wait until `done()`, and until the last widget is drawn; fail if a cell fails."""
        error = self.page.locator(ERROR)
        wait_until(lambda: done() or error.count(), "the lesson has run to its end", seconds)
        if error.count():
            pytest.fail(f"A cell failed: {error.first.inner_text()}")
        before, since = -1, time.monotonic()
        while time.monotonic() - since < 1:
            now = self.page.evaluate("document.querySelectorAll('.jupyter-widgets').length")
            before, since = now, since if now == before else time.monotonic()
            time.sleep(0.1)

    def stderr(self) -> list[str]:
        """What cells have written to standard error."""
        return self.page.locator(STDERR).all_inner_texts()

    def controls(self) -> list[Control]:
        """Everything that can be moved, from top to bottom."""
        found = self.page.evaluate(
            "window.lesson.outputs().flatMap((output, i) => window.lesson.controls(output).map("
            "(element, k) => [i, k, ...window.lesson.describe(element)]))"
        )
        return [Control(*one) for one in found]

    def enabled(self, control: Control) -> bool:
        return self._element(control).is_enabled()

    def pictures(self) -> list[int]:
        """How many pictures there are in each output of the page."""
        count = f"[...document.querySelectorAll('{OUTPUT}')].map(one => one.querySelectorAll('img').length)"
        return self.page.evaluate(count)

    def narrow(self) -> list[str]:
        """What does not fit a phone: tracks shorter than a thumb, widgets wider than the page."""
        self.page.set_viewport_size({"width": PHONE_PX, "height": 800})
        time.sleep(0.5)  # both front ends lay the page out anew
        return self.page.evaluate("window.lesson.narrow()")

    # ------------------------------------------------------------------------------------- by hand
    def move(self, control: Control, means: str, seconds: float = 5) -> bool:
        """Move a control; whether that changes something of its output.

        That is: the pixels of its pictures, or, for a button and where there is no picture, its words; what
        stands on or beside a control does not count. In an output with a primary button, it is what that
        button makes of the control's old and of its new setting.

        Args:
            control: One of `controls`.
            means: "key", or "mouse": a click, or a drag.
            seconds: To wait for a change; longer while the primary button is shut, because it works.
        """
        form = next((one for one in self._beside(control) if one.primary), None)
        if form is None:
            acts = self._acts(control, means)
            return any(self._changes(control, act, seconds) for act in acts)
        if control.output not in self._taken:  # from then on it shows what the last press has taken
            self._take(form, means)
            self._taken.add(control.output)
        # a press that came late has taken this setting already: then one beside it is moved first, and a
        # control that stands alone is tried once more
        for beside in (None, *self._neighbours(control), None):
            if beside is not None:
                self._acts(beside, means)[0]()
                self._take(form, means)
            for act in self._acts(control, means):
                before = self._settled(control)
                act()
                if self._changes(control, lambda: self._act(form, means), seconds, before, form):
                    return True
        return False

    def _take(self, form: Control, means: str) -> None:
        """Press a form's button, and wait: one that takes long is shut until it has done its work."""
        self._act(form, means)
        time.sleep(0.5)
        self._element(form).wait_for_element_state("enabled")

    def _neighbours(self, control: Control) -> list[Control]:
        near = [one for one in self._beside(control) if abs(one.place - control.place) == 1]
        return [one for one in near if not one.primary]

    def _beside(self, control: Control) -> list[Control]:
        return [one for one in self.controls() if one.output == control.output]

    def _acts(self, control: Control, means: str) -> list[Callable[[], None]]:
        """What to try, one after the other."""
        if control.kind != "slider":
            return [lambda: self._act(control, means)]
        if means == "mouse":
            return [lambda: self._drag(control)]
        low = self._element(control).evaluate("handle => { const track = window.lesson.track(handle)"
            ".getBoundingClientRect(), own = handle.getBoundingClientRect();"
            " return own.left + own.width / 2 < track.left + track.width / 2; }")  # fmt: skip
        key = "ArrowRight" if low else "ArrowLeft"
        return [partial(self._press, control, key, n_times) for n_times in BURSTS]

    def _act(self, control: Control, means: str) -> None:
        if control.kind not in ("button", "checkbox"):
            pytest.fail(f"This test does not know how to move {control}.")
        element = self._element(control)
        element.wait_for_element_state("enabled")
        if means == "mouse":
            element.click()
        else:
            self._press(control, "Space")

    def _press(self, control: Control, key: str, n_times: int = 1) -> None:
        self._element(control).focus()
        for _ in range(n_times):
            self.page.keyboard.press(key)

    def _drag(self, control: Control) -> None:
        """Hold the handle and take it to the other side of the track, in a few steps."""
        handle = self._element(control)
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        track = handle.evaluate_handle("window.lesson.track").as_element().bounding_box()
        column, row = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        share = 0.8 if column < track["x"] + track["width"] / 2 else 0.2
        target = track["x"] + share * track["width"]
        self.page.mouse.move(column, row)
        self.page.mouse.down()
        for part in (0.3, 0.7, 1):
            self.page.mouse.move(column + part * (target - column), row)
        self.page.mouse.up()

    # ------------------------------------------------------------------------------------- what is seen
    def _element(self, control: Control) -> Any:
        find = "([i, k]) => window.lesson.controls(window.lesson.outputs()[i])[k]"
        return self.page.evaluate_handle(find, [control.output, control.place]).as_element()

    def _state(self, control: Control) -> str:
        words = control.kind == "button" or any(one.primary for one in self._beside(control))
        return self.page.evaluate(
            "([i, words]) => window.lesson.state(window.lesson.outputs()[i], words)", [control.output, words]
        )

    def _settled(self, control: Control) -> str:
        """The state, once nothing changes any more."""
        before = ""
        while (now := self._state(control)) != before or "being replaced" in now:
            before = now
            time.sleep(0.05)
        return now

    def _changes(
        self,
        control: Control,
        act: Callable[[], None],
        seconds: float,
        before: str | None = None,
        form: Control | None = None,
    ) -> bool:
        """Do something; whether the state becomes another one in time. The time is noted."""
        before = self._settled(control) if before is None else before
        begin = time.monotonic()
        act()
        while time.monotonic() < begin + seconds or (form and not self.enabled(form)):
            now = self._state(control)
            if now != before and "being replaced" not in now:
                control.seconds.append(time.monotonic() - begin)
                return True
            time.sleep(0.02)
        return False
