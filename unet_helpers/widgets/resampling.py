"""Patients drawn again and again, with replacement, by a button (lesson 5)."""

from __future__ import annotations

import ipywidgets
import numpy as np
from matplotlib.figure import Figure

from unet_helpers.engine.figures import LIVE_DPI, PAGE_DPI, figure_png
from unet_helpers.pictures import verdicts
from unet_helpers.scores.judging import Judged
from unet_helpers.scores.suspects import Dices
from unet_helpers.widgets.controls import beside, button
from unet_helpers.widgets.still import flat_png, show

__all__ = ["TOO_FEW", "Draws", "by_slice", "draws"]

ENOUGH = 40  # draws from which on the middle 95 % are marked
TOO_FEW = "Fewer than two patients of this part have a stone, so nobody can be left out or drawn."


class Draws:
    """Draw patients with replacement, by a button, one draw after the other; the means become a histogram.

    Args:
        dices: Dice of the slices of each patient, two or more.
        seed: Of the draws.

    Attributes:
        means: Mean of every draw so far.
        times: How often each patient was drawn the last time, (P,).
        one, many, again: Buttons.
        widget: Everything together.
    """

    def __init__(self, dices: Dices, seed: int = 0) -> None:
        self._dices, self._seed = dices, seed
        self.words = ipywidgets.HTML()
        layout = ipywidgets.Layout(max_width="98%", align_self="flex-start")
        self.picture = ipywidgets.Image(format="png", layout=layout)
        self.one = button("draw once", lambda: self.draw(1))
        self.many = button("draw 200 times", lambda: self.draw(200))
        self.again = button("start again", self.restart)
        controls = beside(self.one, self.many, self.again)
        self.widget = ipywidgets.VBox([controls, self.words, self.picture])
        self.restart()

    def restart(self) -> None:
        """Forget all draws."""
        self._rng = np.random.default_rng(self._seed)
        self.means: list[float] = []
        self.times = np.zeros(len(self._dices), np.int64)
        self._show()

    def draw(self, n_draws: int) -> None:
        """Draw as many patients as there are, so often."""
        sums = np.array([scores.sum() for scores in self._dices.values()])
        counts = np.array([len(scores) for scores in self._dices.values()])
        for _ in range(n_draws):
            drawn = self._rng.integers(0, len(sums), len(sums))
            self.times = np.bincount(drawn, minlength=len(sums))
            self.means.append(float((self.times @ sums) / (self.times @ counts)))
        self._show()

    @property
    def ends(self) -> tuple[float, float] | None:
        """Both ends of the middle 95 %; None for a handful of draws."""
        if len(self.means) < ENOUGH:
            return None
        low, high = np.percentile(self.means, [2.5, 97.5]).tolist()
        return low, high

    def figure(self) -> Figure:
        return verdicts.drawn_patients(self._dices, self.times, self.means, self.ends)

    def _show(self) -> None:
        said = f"{len(self._dices)} patients, nobody drawn yet"
        if self.means:
            n_out = int((self.times == 0).sum())
            said = f"last draw: {n_out} patients not drawn at all, mean Dice <b>{self.means[-1]:.3f}</b>"
        if self.ends:
            said += f"<br>middle 95 % of {len(self.means)} draws: {self.ends[0]:.3f} to {self.ends[1]:.3f}"
        self.words.value = said
        self.picture.value = figure_png(self.figure(), LIVE_DPI)


def draws(judged: Judged) -> None:
    """Show `Draws` of the patients with a stone; without a kernel, the picture after 500 of them."""
    dices = judged.dice_of
    if len(dices) < 2:
        print(TOO_FEW)
        return
    moved, still = Draws(dices), Draws(dices)
    still.draw(500)
    low, high = still.ends or (float("nan"), float("nan"))
    sentence = (
        f"Above, who was drawn in the last draw, some twice and {int((still.times == 0).sum())} not at "
        f"all. Below, the mean Dice of 500 draws; the middle 95 % reach from {low:.3f} to {high:.3f}."
    )
    show(moved.widget, flat_png(still.figure(), PAGE_DPI), sentence)


def by_slice(judged: Judged, n_draws: int = 2000) -> None:
    """Print the interval that patients give, and the one that drawing slices would give."""
    dices = np.concatenate([*judged.dice_of.values(), np.empty(0)])
    if len(judged.dice_of) < 2:
        return  # `draws` has said so
    drawn = np.random.default_rng(0).integers(0, len(dices), (n_draws, len(dices)))
    ends = {
        "patients": judged.scores["intervals"]["dice_positive_mean"],
        "slices": np.percentile(dices[drawn].mean(1), [2.5, 97.5]).tolist(),
    }
    print(f"mean Dice {dices.mean():.3f}, n = {len(dices)} slices of {len(judged.dice_of)} patients")
    for what, (low, high) in ends.items():
        print(f"{what + ' drawn:':<16} {low:.3f} to {high:.3f}, width {high - low:.3f}")
