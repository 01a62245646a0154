"""What a training shows while it runs: a bar, and below it a picture, each replaced in place."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from unet_helpers.engine.calm import Stopped, calmly
from unet_helpers.engine.figures import PAGE_DPI, figure_png
from unet_helpers.engine.progress import DRAW_EVERY_SECONDS, progress_bar, score_words
from unet_helpers.inference import predict
from unet_helpers.pictures import courses
from unet_helpers.pictures.live import LiveImage, reserve_line
from unet_helpers.pictures.sheets import around

__all__ = ["Appearing", "Watching", "small"]

Greys = NDArray[np.uint8]
Mask = NDArray[np.bool_]

NOTHING_YET = (
    "Stopped before the first validation, so there is nothing to look at yet. All is saved: run the cell "
    "that trains again, and it goes on where it stopped."
)
LOOKS = (0, 25, 50, 100, 200, 400)  # steps at which the stone is looked at; the last step comes on top
NO_BUTTON = (
    "Stopped. Your own loop saves nothing: what it learnt is lost. Run the cell above and this one again."
)


def small(figure: Figure, dpi: int, photo: bool = True) -> bytes:
    """A JPEG where CT is in the picture, else a PNG of 64 colours: a lesson has room for 300 kB."""
    figure.patch.set_facecolor("white")
    picture, buffer = Image.open(io.BytesIO(figure_png(figure, dpi))).convert("RGB"), io.BytesIO()
    if photo:
        picture.save(buffer, "JPEG", quality=70, optimize=True)
    else:
        picture.quantize(64, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


class Appearing:
    """Watches a training: a bar, and below it the loss and the network's answer around a stone at some steps.

    As a context it turns the stop button into one sentence.

    Args:
        model: The network in training.
        image: Slice, uint8 (H, W).
        mask: Its stones, bool (H, W).
        n_steps: Steps of the training.
    """

    def __init__(self, model: nn.Module, image: Greys, mask: Mask, n_steps: int) -> None:
        self.model, self.image, self.mask, self.n_steps = model, image, mask, n_steps
        self.lens = around(mask, 48)
        self.moments: list[tuple[int, NDArray[Any]]] = []
        self.losses: list[Any] = []
        self.page = LiveImage()

    @calmly
    def __enter__(self) -> Appearing:
        self.bar = progress_bar(total=self.n_steps, desc="your loop", unit="step")
        self.told_at = time.perf_counter()
        self._look(0)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.bar.close()
        if kind is KeyboardInterrupt:
            raise Stopped(NO_BUTTON) from None

    def __call__(self, step: int, loss: Tensor) -> None:
        """Note the loss of one step, read it twice a second, and look at the stone where it is due."""
        self.losses.append(loss)
        if time.perf_counter() - self.told_at >= DRAW_EVERY_SECONDS:
            self.bar.set_postfix_str(f"loss {float(loss):.3f}", refresh=False)
            self.told_at = time.perf_counter()
        self.bar.update(step - self.bar.n)
        if step == self.n_steps or step in LOOKS:
            self._look(step)

    def _look(self, step: int) -> None:
        self.losses = [float(loss) for loss in self.losses]
        self.moments.append((step, predict(self.model, self.image)[self.lens]))
        figure = courses.appearing(
            self.image[self.lens], self.mask[self.lens], self.moments, self.losses, self.n_steps
        )
        seen = self.moments[-1][1][self.mask[self.lens]].max()
        sentence = (
            f"A loss curve up to step {step}, and cut-outs around the stone at {len(self.moments)} moments. "
            f"At the last one the network is up to {100 * seen:.0f} % sure of the stone."
        )
        self.page.put(small(figure, PAGE_DPI), sentence)


class Watching:
    """Watches `fit`: pass it as `on_epoch`. A line for its bar, and below it curves and strip, one picture.

    Both are there before the training begins, with what an earlier session has left, and replaced in place.

    Args:
        run_dir: Folder of the run.
        n_steps: Length of the run in steps; None where that is not known.
    """

    @calmly
    def __init__(self, run_dir: str | Path, n_steps: int | None) -> None:
        self.strip, self.n_steps = Path(run_dir) / "snapshots.png", n_steps
        self.line, self.page = reserve_line("training: getting ready"), LiveImage()
        self(_so_far(Path(run_dir)))

    def __call__(self, history: Sequence[Mapping[str, float]]) -> None:
        """Draw the history so far."""
        figure = courses.course(history, self.strip, self.n_steps)
        if history:
            score = f"{score_words(history[-1]['val_dice'], 2)} at step {history[-1]['step']:.0f}"
            sentence = (
                f"The curves of the training, {score}, and a strip with four stones, a row each: the slice, "
                "the network's answer at growing steps, the truth."
            )
        else:
            sentence = "Empty axes: the first point of the curves comes with the first validation."
        self.page.put(small(figure, PAGE_DPI), sentence)

    def done(self, history: Sequence[Mapping[str, float]], status: Any) -> bool:
        """Show the run as it is, and say in place of the bar how far it came; whether there is a result."""
        if not history:
            self.line.end(NOTHING_YET)
            return False
        self(history)
        minutes, score = history[-1]["seconds"] / 60, score_words(history[-1]["val_dice"])
        self.line.end(f"{status}: {score}, {minutes:.1f} minutes of training")
        return True


def _so_far(run_dir: Path) -> list[dict[str, float]]:
    """What is written of a run; nothing if there is none, or if it cannot be read, which `fit` will say."""
    try:
        history: list[dict[str, float]] = json.loads((run_dir / "history.json").read_text("utf-8"))
        return history if (run_dir / "last.pt").is_file() else []
    except (OSError, ValueError):
        return []
