"""Exercises of lesson 3: a convolution by hand, counting parameters, channels that meet, a step up the U."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unet_helpers.exercises import Exercise
from unet_helpers.exercises.judges import is_function, is_number

__all__ = ["conv_parameters", "convolve", "decoder_channels", "go_up"]

Array = NDArray[np.float64]


def _explained(judge: Callable[[Any], str | None], advice: Mapping[str, str]) -> Callable[[Any], str | None]:
    """A judge that adds a sentence where its verdict quotes a message of PyTorch or NumPy that is known."""

    def explaining(answer: Any) -> str | None:
        verdict = judge(answer)
        found = [sentence for words, sentence in advice.items() if words in (verdict or "")]
        return f"{found[0]} In detail: {verdict}" if verdict and found else verdict

    return explaining


# ------------------------------------------------------------------------------- a convolution by hand
def _slid(window: Callable[[Array, int, int], Array], answer: Callable[[Array, Array], Any]) -> Any:
    """A function like the exercise's, from how it cuts its window and what it makes of it."""

    def function(image: Array, kernel: Array) -> Array:
        height, width = image.shape[0] - 2, image.shape[1] - 2
        return np.array(
            [[answer(window(image, row, column), kernel) for column in range(width)] for row in range(height)]
        )

    return function


def _window(image: Array, row: int, column: int) -> Array:
    return image[row : row + 3, column : column + 3]


def _sum(window: Array, kernel: Array) -> Any:
    return (window * kernel).sum()


_convolved = _slid(_window, _sum)
_DOT = np.array([[2, 2, 2, 2, 2], [2, 2, 9, 2, 2], [2, 2, 2, 2, 2], [2, 2, 2, 2, 2], [2, 2, 2, 2, 2]], float)
_SPOT = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], float)
_UNEVEN = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 10]], float)
_STEPS = np.arange(16.0).reshape(4, 4) ** 2

_judge_convolve = is_function(
    cases=[
        ((_DOT, _SPOT), _convolved(_DOT, _SPOT)),
        ((_DOT, _UNEVEN), _convolved(_DOT, _UNEVEN)),
    ],
    hidden=[((_STEPS, _UNEVEN), _convolved(_STEPS, _UNEVEN))],
    slips=[
        (
            _slid(_window, lambda window, kernel: (window @ kernel).sum()),
            "`@` is the product of matrices; here each pixel meets the one weight above it: use `*`.",
        ),
        (
            _slid(_window, lambda window, kernel: (window * kernel).mean()),
            "the nine products are added, and not divided by nine: a sum, not a mean.",
        ),
        (
            _slid(_window, lambda window, kernel: (window * kernel).max()),
            "all nine products count, so add them; you keep the largest alone.",
        ),
        (
            _slid(_window, lambda window, kernel: (window + kernel).sum()),
            "pixel and weight are multiplied, and you add them.",
        ),
        (
            _slid(_window, lambda window, kernel: (window * kernel[::-1, ::-1]).sum()),
            "you turn the kernel upside down. Mathematicians do so, deep learning does not.",
        ),
        (
            _slid(_window, lambda window, kernel: (window * kernel.T).sum()),
            "rows and columns of the kernel have changed places.",
        ),
        (
            _slid(lambda image, row, column: image[column : column + 3, row : row + 3], _sum),
            "rows and columns have changed places: the first index of an image is the row.",
        ),
        (
            _slid(lambda image, row, column: image[:3, :3], _sum),
            "your window always lies on the upper left corner. Let `row` and `column` move it.",
        ),
        (
            _slid(lambda image, row, column: image[row : row + 3, :3], _sum),
            "your window moves down, but never to the right.",
        ),
        (
            _slid(lambda image, row, column: image[:3, column : column + 3], _sum),
            "your window moves to the right, but never down.",
        ),
        (
            _slid(lambda image, row, column: image[row : row + 1, column : column + 1], _sum),
            "your window is a single pixel; it must be 3 rows high and 3 columns wide.",
        ),
        (
            _slid(lambda image, row, column: image[row + 1 : row + 2, column + 1 : column + 2], _sum),
            "your window is the pixel in the middle of the frame alone; all nine pixels count.",
        ),
        (
            lambda image, kernel: image[:-2, :-2],
            "this is the pixel in the frame's upper left corner, and the kernel has not been asked.",
        ),
        (
            _slid(_window, lambda window, kernel: window.sum()),
            "this is the sum of the nine pixels. Where is the kernel?",
        ),
        (
            lambda image, kernel: image[:-2, :-2] * kernel[: image.shape[0] - 2, : image.shape[1] - 2],
            "`row` and `column` move the frame over the image. The kernel stays whole, all nine numbers.",
        ),
        (
            lambda image, kernel: _convolved(image, _SPOT),
            "you have written down the numbers of one kernel. Use `kernel`, and it works for every one.",
        ),
    ],
)

convolve = Exercise(
    judge=_explained(
        _judge_convolve,
        {
            "array element with a sequence": "you put several numbers into one place. It wants a single one, "
            "the sum of all nine products.",
            "shapes (0,0) (3,3)": "your window begins above and left of the image. `row` and `column` are "
            "the frame's upper left corner, not its middle.",
            "could not be broadcast": "the two that you multiply must both be 3 x 3: cut a window that "
            "begins at `row` and `column` out of the image, and leave the kernel whole.",
            "0-dimensional": "you index the wrong thing: the window comes from the image.",
        },
    ),
    hint_text="`image[row : row + 3, column : column + 3]` are the nine pixels below the frame. What `*` "
    "does with two arrays of one shape is just what is needed here, and `.sum()` does the rest.",
    solution_text="def convolve(image, kernel):\n"
    "    height, width = image.shape[0] - 2, image.shape[1] - 2\n"
    "    output = np.zeros((height, width))\n"
    "    for row in range(height):\n"
    "        for column in range(width):\n"
    "            window = image[row : row + 3, column : column + 3]\n"
    "            output[row, column] = (window * kernel).sum()\n"
    "    return output\n",
    because="Nine products and their sum, at every place: a U-Net spends nearly all of its time on that.",
    name="lesson03.convolve",
)

# ------------------------------------------------------------------------------------------- counting
conv_parameters = Exercise(
    judge=is_number(
        4640,
        slips={
            4608: "the weights are right; every output channel also has one bias.",
            4624: "there is one bias for every output channel, not for every input channel.",
            4609: "every output channel has a bias of its own, not all of them one.",
            9216: "each weight was counted twice, or has a bias; a bias belongs to an output channel.",
            5120: "there is one bias for every output channel, not one for every table of nine.",
            320: "each kernel must look at all 16 input channels, so it has 16 x 9 weights, not 9.",
            288: "each kernel must look at all 16 input channels, so it has 16 x 9 weights, not 9.",
            304: "you have one kernel over all input channels; every output channel has its own.",
            4656: "the biases are too many: one for every output channel, none for the input channels.",
            2320: "this would be a layer from 16 to 16 channels; yours ends with 32.",
            9248: "this would be a layer from 32 to 32 channels; yours begins with 16.",
            160: "each kernel must look at all 16 input channels, and there are 32 kernels.",
            144: "these are the weights of one output channel; there are 32 of them, and each has a bias.",
            176: "this is one output channel and its biases; there are 32 of them.",
            145: "this is one output channel with its bias; there are 32 of them.",
            512: "this would be right for a 1x1 convolution without bias; a 3x3 kernel has nine positions.",
            544: "this would be right for a 1x1 convolution; a 3x3 kernel has nine positions.",
            1536: "a 3x3 kernel has nine positions, not three.",
            1568: "a 3x3 kernel has nine positions, not three.",
        },
    ),
    hint_text="Start with one of the 32 kernels. It has a table of nine weights for each of the 16 input "
    "channels. Then take all 32 of them. The biases come on top: one for each output channel.",
    solution_text="answer = 16 * 32 * 9 + 32  # 32 kernels of 16 tables of 9, and 32 biases\n",
    because="32 kernels, each with 16 tables of nine weights, and 32 biases. Double the channels on both "
    "sides, and it is about four times as much.",
    name="lesson03.conv_parameters",
)

decoder_channels = Exercise(
    judge=is_number(
        96,
        slips={
            64: "this is what comes from below, or what enters after an up-convolution. Plain enlarging "
            "keeps all 64 channels, and the copy comes on top.",
            32: "this is the copy alone, or what leaves the block; how much enters it?",
            128: "the copy is made one level above what comes from below: it has fewer channels than that.",
            48: "you have halved something; plain enlarging keeps all channels, and so does the copy.",
            80: "the copy keeps all its channels, too: nothing is halved here.",
            16: "channels that are laid on top of each other become more, not fewer.",
            192: "this is the step one level lower. Look at the block with 32 channels.",
            160: "the 128 belong to the bottleneck, one level too low: look at the block just below.",
            2048: "channels are laid on top of each other: they add, they do not multiply.",
        },
    ),
    hint_text="Two tensors meet: the copy, whose channels stand below the dashed arrow, and what comes from "
    "the block below, here with all its channels. `torch.cat` lays them on top of each other.",
    solution_text="answer = 64 + 32  # all that comes from below, and the copy\n",
    because="64 from below and 32 from the copy. The up-convolution halves the 64, so in our network 64 "
    "enter, half of them from each side.",
    name="lesson03.decoder_channels",
)


# ------------------------------------------------------------------------------------- a step up the U
class _Double:
    """Stands in for an up-convolution: twice the height and width, half the channels."""

    def __repr__(self) -> str:
        return "up"

    def __call__(self, features: Tensor) -> Tensor:
        halves = features[:, ::2] + features[:, 1::2]
        return halves.repeat_interleave(2, 2).repeat_interleave(2, 3)

    forward = __call__


class _Mix:
    """Stands in for a block: any number of channels in, one out, each channel with a weight of its own."""

    def __repr__(self) -> str:
        return "merge"

    def __call__(self, features: Tensor) -> Tensor:
        weights = torch.arange(1.0, features.shape[1] + 1)[:, None, None]
        mixed: Tensor = (features * weights).sum(1, keepdim=True)
        return mixed

    forward = __call__


Step = Callable[[Tensor, Tensor, Any, Any], Tensor]


def _went_up(features: Tensor, copy: Tensor, up: Any, merge: Any) -> Tensor:
    out: Tensor = merge(torch.cat([copy, up(features)], dim=1))
    return out


def _step(side: int, channels: int) -> tuple[tuple[Tensor, Tensor, Any, Any], Tensor]:
    """Arguments of a step up and its result, for features (1, channels, side, side)."""
    below = torch.arange(1.0, channels * side**2 + 1).reshape(1, channels, side, side)
    copy = torch.arange(0.0, channels // 2 * 4 * side**2).reshape(1, channels // 2, 2 * side, 2 * side).sqrt()
    return (below, copy, _Double(), _Mix()), _went_up(below, copy, _Double(), _Mix())


_STEP_SLIPS: list[tuple[Step, str]] = [
    (
        lambda features, copy, up, merge: merge(torch.cat([up(features), copy], dim=1)),
        "all is there, but in the other order: our network has the copy first, and trained weights know it.",
    ),
    (
        lambda features, copy, up, merge: torch.cat([copy, up(features)], dim=1),
        "the pile is right, but nobody has merged it: send it through `merge`.",
    ),
    (
        lambda features, copy, up, merge: merge(up(features)),
        "you enlarge and merge, but the copy from the way down is nowhere in it.",
    ),
    (
        lambda features, copy, up, merge: up(features),
        "you enlarge only. Lay the copy on top, and merge the two.",
    ),
    (
        lambda features, copy, up, merge: merge(copy),
        "what comes from below is lost: all that the bottleneck knows would be thrown away.",
    ),
    (
        lambda features, copy, up, merge: merge(copy + up(features)),
        "you add the two, number by number. A U-Net lays them on top of each other: `torch.cat`.",
    ),
    (
        lambda features, copy, up, merge: merge(torch.cat([copy, up(features)], dim=0)),
        "you lay them along axis 0, the batch, as if they were two images. Channels are axis 1.",
    ),
    (
        lambda features, copy, up, merge: merge(torch.cat([copy, up(features)], dim=2)),
        "axis 2 is the height: you put one below the other. Channels are axis 1.",
    ),
    (
        lambda features, copy, up, merge: merge(torch.cat([copy, up(features)], dim=3)),
        "axis 3 is the width: you put one beside the other. Channels are axis 1.",
    ),
    (
        lambda features, copy, up, merge: torch.cat([copy, merge(up(features))], dim=1),
        "you merge before the copy has come. First the pile, then `merge` around it.",
    ),
    (
        lambda features, copy, up, merge: features,
        "nothing has happened to `features` yet: enlarge, lay the copy on top, merge.",
    ),
    (
        lambda features, copy, up, merge: copy,
        "this is the copy as it came. What comes from below belongs to it.",
    ),
]

go_up = Exercise(
    judge=_explained(
        is_function(
            cases=[_step(2, 4)], hidden=[_step(4, 2), _step(2, 6)], tolerance=1e-3, slips=_STEP_SLIPS
        ),
        {
            "Sizes of tensors must match": "the copy is twice as high as `features`: send `features`, and "
            "only it, through `up` before the two meet.",
            "must match the size of tensor": "the two differ in size: enlarge what comes from below first.",
            "must be tuple of Tensors": "`torch.cat` wants a list of tensors: `torch.cat([a, b], dim=1)`.",
            "got (1, 1, 2, 4, 4)": "`torch.stack` makes a new axis. The pile grows along one that is there: "
            "`torch.cat`.",
            "_Mix.__call__": "`merge` takes one tensor: make one of the two first.",
            "'list' object has no attribute": "a list is not a tensor yet: `torch.cat` makes one of the two.",
            "numpy.ndarray": "NumPy makes an array of them; for tensors there is `torch.cat`.",
        },
    ),
    hint_text="Work from the inside out: first `up(features)`; then `torch.cat([..., ...], dim=1)` with the "
    "copy first; then `merge(...)` around it all.",
    solution_text="def go_up(features, copy, up, merge):\n"
    "    return merge(torch.cat([copy, up(features)], dim=1))\n",
    because="Enlarge, lay the copy on top, merge: all that the right half of the U does.",
    name="lesson03.go_up",
)
