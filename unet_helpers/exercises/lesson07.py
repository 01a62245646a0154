"""Exercises of lesson 7: two probes without a false alarm, a report to read, a score without five bugs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unet_helpers import metrics
from unet_helpers.exercises import Exercise
from unet_helpers.exercises.judges import is_choice, is_function

__all__ = ["honest_score", "looks_like_logits", "mask_is_clean", "which_exhibit"]

Array = Any


# ------------------------------------------------------------------------------------------ a clean mask
def _clean(mask: Array) -> bool:
    return bool(np.isin(mask, [0, 1]).all() or np.isin(mask, [0, 255]).all())


def _grey(*values: int) -> Array:
    return np.array([values], np.uint8)


mask_is_clean = Exercise(
    name="lesson07.mask_is_clean",
    judge=is_function(
        cases=[
            ((_grey(0, 0, 255, 0),), True),
            ((_grey(0, 1, 1, 0),), True),
            ((_grey(0, 24, 143, 255),), False),
        ],
        hidden=[
            ((_grey(0, 0, 0, 0),), True),
            ((_grey(255, 255, 255, 255),), True),
            ((np.array([[False, True, True]]),), True),
            ((np.array([[0.0, 1.0, 1.0]]),), True),
            ((np.array([[0.0, 0.3, 1.0]]),), False),
            ((_grey(0, 254, 0, 254),), False),
            ((_grey(0, 1, 255, 255),), False),
            ((_grey(0, 1, 2, 2),), False),
            ((_grey(7, 7, 7, 7),), False),
        ],
        slips=[
            (
                lambda mask: len(np.unique(mask)) == 2,
                "a slice without a stone has one value, 0, and is healthy: your probe would sound an "
                "alarm. And "
                "0 with 254 passes: *which* two values are they?",
            ),
            (
                lambda mask: len(np.unique(mask)) <= 2,
                "two values are not enough: *which* two? A mask of 0 and 254 has gone through something, "
                "too.",
            ),
            (
                lambda mask: np.isin(mask, [0, 1, 255]).all(),
                "a mask that holds 0, 1 *and* 255 passes: there, two conventions were mixed.",
            ),
            (
                lambda mask: np.unique(mask).tolist() in ([0, 1], [0, 255]),
                "the two pairs are right, but a slice without a stone has one value, 0, and is healthy.",
            ),
            (
                lambda mask: np.isin(mask, [0, 1]).any() or np.isin(mask, [0, 255]).any(),
                "one healthy pixel is enough for your probe: `any` asks for one, `all` asks every pixel.",
            ),
            (
                lambda mask: np.isin(mask, [0, 255]).all(),
                "a mask of 0 and 1 is healthy as well, and your probe sounds an alarm.",
            ),
            (
                lambda mask: np.isin(mask, [0, 1]).all(),
                "a mask of 0 and 255 is healthy as well, and your probe sounds an alarm.",
            ),
            (
                lambda mask: not _clean(mask),
                "the other way round: True stands for a clean mask.",
            ),
            (
                lambda mask: mask.max() in (1, 255),
                "the largest value alone says nothing about those between; and a slice without a stone is "
                "healthy, too.",
            ),
            (
                lambda mask: mask.max() in (0, 1, 255),
                "the largest value alone says nothing about those between: 24 and 143 pass.",
            ),
            (lambda mask: True, "this probe never sounds an alarm: it calls interpolated masks clean."),
            (lambda mask: False, "this probe always sounds an alarm: it calls healthy masks sick."),
        ],
    ),
    hint_text="`np.isin(mask, [0, 1])` says for every pixel whether its value is one of the two; `.all()` "
    "asks "
    "whether all of them are. There are two healthy pairs, and `or` joins two questions.",
    solution_text="def mask_is_clean(mask):\n"
    "    return bool(np.isin(mask, [0, 1]).all() or np.isin(mask, [0, 255]).all())\n",
    because="It stays silent for a slice without a stone, and it hears 254. A probe that cries wolf is soon "
    "switched off.",
)


# --------------------------------------------------------------------------------------------- logits
def _logits(x: Array) -> bool:
    return bool((x < 0).any() or (x > 1).any())


looks_like_logits = Exercise(
    name="lesson07.looks_like_logits",
    judge=is_function(
        cases=[
            ((torch.tensor([-6.9, -3.2, 2.1]),), True),
            ((torch.tensor([0.02, 0.4, 0.97]),), False),
        ],
        hidden=[
            ((torch.tensor([0.5, 3.0, 7.5]),), True),
            ((torch.tensor([-0.3, 0.2, 0.9]),), True),
            ((torch.tensor([-9.0, -8.0, -2.0]),), True),
            ((torch.tensor([0.0, 1.0, 1.0]),), False),
            ((torch.zeros(3),), False),
            ((np.array([[0.1, 0.9], [0.5, 0.5]]),), False),
            ((np.array([[-4.0, 0.9], [0.5, 0.5]]),), True),
        ],
        slips=[
            (
                lambda x: (x < 0).any(),
                "a network that is sure of stone everywhere gives 0.5, 3 and 7.5: no number below 0, and "
                "still no "
                "probabilities.",
            ),
            (
                lambda x: (x > 1).any(),
                "a cautious network gives nothing above 1, but -8: no probability, either.",
            ),
            (lambda x: (x < 0).all(), "one number below 0 is enough to tell, and you wait for all of them."),
            (lambda x: x.mean() < 0, "a mean hides single numbers: one -0.3 among positive ones is enough."),
            (lambda x: abs(x).max() > 1, "-0.3 is no probability, and its absolute value looks like one."),
            (
                lambda x: (x < 0).any() and (x > 1).any(),
                "one of the two is enough: `or`, not `and`.",
            ),
            (
                lambda x: (x <= 0).any() or (x >= 1).any(),
                "0 and 1 themselves are probabilities, and a mask holds nothing else: your probe sounds an "
                "alarm.",
            ),
            (lambda x: not _logits(x), "the other way round: True stands for logits."),
            (lambda x: True, "this probe always sounds an alarm, also for probabilities."),
            (lambda x: False, "this probe never sounds an alarm."),
        ],
    ),
    hint_text="Probabilities lie between 0 and 1, both included. Which two things can a number do that no "
    "probability does? `(x < 0).any()` asks for one of them.",
    solution_text="def looks_like_logits(x):\n    return bool((x < 0).any() or (x > 1).any())\n",
    because="Whatever leaves 0 to 1 is no probability. The other direction is not certain: logits *may* "
    "happen to "
    "lie between 0 and 1, so look at a whole batch.",
)


# ---------------------------------------------------------------------------------------------- a report
which_exhibit = Exercise(
    name="lesson07.which_exhibit",
    judge=is_choice(
        7,
        slips={
            1: "a mask of 255 lifts a Dice above 1, whatever the batch size; and these scores are possible "
            "ones.",
            2: "invented labels would change the score in the same way for every batch size.",
            3: "after two sigmoids everything is called stone: the Dice would be near 0.",
            4: "a metric on logits leaves 0 to 1, and these scores stay inside.",
            5: "close: that one depends on the batch size, too. But they score every image by itself and "
            "take "
            "the mean once. So the batch does not enter through the mean.",
            6: "empty masks count the same in every batch size.",
            8: "black predictions have a Dice of 0 in every batch size.",
            9: "a leak lifts the score, but it lifts it for every batch size alike.",
        },
    ),
    hint_text="The score depends on the batch size, and the mean is taken properly. Where else can a batch "
    "enter? "
    "Think of the layer that looks at its neighbours.",
    solution_text="answer = 7  # eval forgotten. Probe: the same image alone, and in company\n",
    because="If the mean is taken once and the batch size still matters, then the *answers* depend on the "
    "batch: "
    "BatchNorm in train mode. Probe: the same image, alone and in company.",
)


# ----------------------------------------------------------------------------------------- an honest score
class _Cautious(nn.Module):
    """In eval mode the logits are the image itself; in train mode BatchNorm looks at the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.norm(images)
        return logits

    def __repr__(self) -> str:
        return "a network"


Reduce = Callable[[Array], Any]


def _ready(network: nn.Module) -> None:
    network.eval()


def _score(
    network: nn.Module,
    images: Tensor,
    files: Tensor,
    prepare: Callable[[nn.Module], Any] = _ready,
    limit: float = 0.0,
    stone: Callable[[Tensor], Tensor] = lambda files: files > 127,
    reduce: Reduce = np.nanmean,
) -> float:
    """The right score, or one with a slip in one place; the network stays in the mode in which it comes."""
    network = copy.deepcopy(network)
    prepare(network)
    with torch.no_grad():
        logits = network(images)[:, 0]
    found, truth = logits > limit, stone(files)
    return float(reduce(metrics.dice(found.numpy(), truth.numpy())))


def _slip(**changes: Any) -> Callable[..., float]:
    return lambda network, images, files: _score(network, images, files, **changes)


def _pooled(network: nn.Module, images: Tensor, files: Tensor) -> float:
    network.eval()
    found = (network(images)[:, 0] > 0).detach().numpy()
    return metrics.pooled_dice(list(found), list((files > 127).numpy()))


def _example(*pictures: tuple[list[float], list[int]]) -> tuple[Any, ...]:
    """A network in train mode, images of one row, and their mask files."""
    images = torch.tensor([[[row]] for row, _ in pictures])
    files = torch.tensor([[row] for _, row in pictures], dtype=torch.uint8)
    return _Cautious().train(), images, files


_LARGE = ([3.0, 2.0, 0.3, -0.2, -4.0, -4.0], [255, 255, 255, 255, 0, 0])
_SMALL = ([-5.0, -5.0, 0.2, 0.4, -6.0, -6.0], [0, 0, 255, 0, 0, 0])
_EMPTY = ([-7.0, -6.0, -5.0, -7.0, -6.0, -5.0], [0, 0, 0, 0, 0, 0])
_MISSED = ([-2.0, -2.0, -2.0, -2.0, -2.0, -2.0], [0, 255, 0, 0, 0, 0])
_EXAMPLES = [
    _example(_LARGE, _SMALL),
    _example(_LARGE, _EMPTY, _SMALL),
    _example(_EMPTY, _LARGE, _SMALL, _MISSED, _EMPTY),
]
honest_score = Exercise(
    name="lesson07.honest_score",
    judge=is_function(
        cases=[(_EXAMPLES[0], _score(*_EXAMPLES[0]))],
        hidden=[(one, _score(*one)) for one in _EXAMPLES[1:]],
        tolerance=1e-4,
        slips=[
            (
                _slip(prepare=lambda network: None),
                "room 7: the network comes in train mode, and its answers depend on the batch.",
            ),
            (
                _slip(limit=0.5),
                "room 4: these are logits. A probability of 0.5 is a logit of 0, so where do they change "
                "sides?",
            ),
            (
                _slip(limit=float(np.log(0.4 / 0.6))),
                "room 4: this asks for a probability of 0.4, and one half is asked for here.",
            ),
            (
                _slip(stone=lambda files: files == 1),
                "room 1: the files hold 0 and 255. Which of their pixels are 1?",
            ),
            (
                _slip(stone=lambda files: files < 127),
                "room 1: this calls the background stone.",
            ),
            (
                _slip(reduce=np.mean),
                "room 6: one image without a stone has the score nan, and a plain mean of it is nan.",
            ),
            (
                _slip(reduce=lambda scores: np.nan_to_num(scores, nan=1.0).mean()),
                "room 6: images without a stone are counted as 1. They say nothing about overlap: leave "
                "them out.",
            ),
            (
                _slip(reduce=lambda scores: np.nan_to_num(scores, nan=0.0).mean()),
                "room 6: a right 'no stone' is counted as 0 here. Leave those images out.",
            ),
            (
                _pooled,
                "room 5: all pixels are thrown into one pot, and the large stones decide. One score an "
                "image, then "
                "the mean.",
            ),
            (_slip(reduce=np.nanmedian), "this is the median; the mean is asked for."),
        ],
    ),
    hint_text="Three gaps and the end. `network.eval()`; logits change sides at 0; the files at 127; and "
    "of the "
    "means, there is one that leaves nan out.",
    solution_text="def honest_score(network, images, files):\n"
    "    network.eval()\n"
    "    with torch.no_grad():\n"
    "        logits = network(images)[:, 0]\n"
    "    found = logits >= 0\n"
    "    truth = files > 127\n"
    "    scores = metrics.dice(found.numpy(), truth.numpy())\n"
    "    return np.nanmean(scores)\n",
    because="Five bugs had room in this function, and none of them is left: the mode, the logits, the 255, "
    "the "
    "batch, the empty masks.",
)
