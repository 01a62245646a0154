"""How long does a move of the inspector's slider take?

`python benchmarks/inspector.py` measures 200 moves of the threshold slider over a 512-pixel phantom slice,
in Python: from the new value to the finished PNG and live line. Beside it stands the usual way, a matplotlib
figure that is drawn again. `--browser` also measures from the key press to the changed picture in JupyterLab.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from unet_helpers import phantom
from unet_helpers.engine.figures import figure_png
from unet_helpers.inspector import Inspector
from unet_helpers.metrics import predicted_mask
from unet_helpers.plotting import overlay

N_MOVES = 200
PLAIN = "{key: array if array.ndim else array.item() for key, array in np.load('data.npz').items()}"


def make_slice(size: int) -> dict[str, Any]:
    """One phantom slice with stones and a smooth probability that misses them by a pixel."""
    patients = map(phantom.make_patient, itertools.count())
    slices = (phantom.render(one, depth, size) for one in patients for depth in phantom.slice_depths(one, 4))
    shown = next(one for one in slices if one.mask.sum() > 100)
    probability = ndimage.gaussian_filter(np.roll(shown.mask, 1, axis=0).astype(np.float32), 1.0)
    return {"images": [phantom.window(shown.image_hu, 40, 400)], "targets": [shown.mask],
            "probabilities": [np.clip(1.2 * probability, 0, 1)], "spacing_mm": shown.spacing_mm}  # fmt: skip


def measure(move: Callable[[float], None], n_moves: int) -> tuple[float, float]:
    """Return the median milliseconds of a move, on the clock and of the processor."""
    clock, processor = [], []
    for i in range(n_moves):
        start = time.perf_counter(), time.process_time()
        move(0.05 + 0.9 * i / n_moves)
        clock.append(time.perf_counter() - start[0])
        processor.append(time.process_time() - start[1])
    return 1000 * median(clock), 1000 * median(processor)


def matplotlib_move(data: dict[str, Any]) -> Callable[[float], None]:
    """The alternative: clear the axes of a figure of the same size, draw again, save as PNG."""
    figure = Figure(figsize=(6.4, 6.4))
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0, 0, 1, 1))

    def move(threshold: float) -> None:
        ax.clear()
        prediction = predicted_mask(data["probabilities"][0], threshold)
        target = data["targets"][0]
        overlay(data["images"][0], prediction=prediction, target=target, ax=ax, legend=False)
        figure_png(figure)

    return move


def measure_browser(data: dict[str, Any], n_moves: int = 60) -> float:
    """Return the median milliseconds from a key press to the frame with the new picture, in JupyterLab."""
    from tests import test_browser

    with tempfile.TemporaryDirectory() as folder, test_browser.chromium() as browser:
        home = Path(folder)
        np.savez(home / "data.npz", **{name: np.asarray(value) for name, value in data.items()})
        with test_browser.jupyterlab(home) as address:
            test_browser.write_notebook(home / "speed.ipynb", None, PLAIN)
            screen = test_browser.Screen(browser, address("speed.ipynb"), 60)
            screen.handle("opacity").focus()  # each step of it changes the picture
            keys = ["ArrowRight", "ArrowLeft"] * (n_moves // 2)
            waits = [screen.seconds_to_next_picture(key) for key in keys]
    return 1000 * median(waits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="pixels (default: 512)")
    parser.add_argument("--browser", action="store_true", help="measure in a real browser too")
    arguments = parser.parse_args()
    data = make_slice(arguments.size)
    inspector = Inspector(**data)
    print(f"{arguments.size} px, {N_MOVES} moves, Python {platform.python_version()}; median of a move, ms")
    for name, move in (
        ("inspector", lambda threshold: setattr(inspector.threshold, "value", threshold)),
        ("matplotlib", matplotlib_move(data)),
    ):
        move(0.5)
        clock, processor = measure(move, N_MOVES)
        print(f"{name:<12} {clock:7.1f} on the clock, {processor:7.1f} of the processor")
    if arguments.browser:
        print(f"{'browser':<12} {measure_browser(data):7.1f} from the key press to the changed picture")


if __name__ == "__main__":
    main()
