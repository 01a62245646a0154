"""Exercises of lesson 3: counting parameters, how far a pixel sees, concatenation, unpadded convolutions."""

from __future__ import annotations

from unet_helpers.exercises import Exercise
from unet_helpers.exercises.judges import is_function, is_number

__all__ = ["conv_parameters", "decoder_channels", "n_convolutions", "unpadded_size"]

conv_parameters = Exercise(
    judge=is_number(
        4640,
        slips={
            4608: "the weights are right; every output channel also has one bias.",
            4624: "there is one bias for every output channel, not for every input channel.",
            320: "each kernel must look at all 16 input channels, so it has 16 x 9 weights, not 9.",
            304: "you have one kernel over all input channels; every output channel has its own.",
            176: "this is one output channel and its biases; there are 32 of them.",
            512: "this would be right for a 1x1 convolution without bias; a 3x3 kernel has nine positions.",
            544: "this would be right for a 1x1 convolution; a 3x3 kernel has nine positions.",
            1568: "a 3x3 kernel has nine positions, not three.",
        },
    ),
    hint_text="How many kernels are there? One for every pair of an input and an output channel. How many "
    "numbers has each? The biases come on top: one for each output channel.",
    solution_text="answer = 16 * 32 * 9 + 32  # 512 kernels of 9 numbers, and 32 biases: 4640\n",
)

n_convolutions = Exercise(
    judge=is_number(
        50,
        slips={
            51: "one too many: with no convolution at all, the pixel already sees itself.",
            100: "each convolution adds a pixel on both sides, so two in all.",
            101: "each convolution adds two pixels, one on either side; the first pixel is there before.",
            50.5: "the pixel itself is already there before the first convolution: take it off first.",
            34: "the kernels overlap: after the first, each one adds 2 pixels to the field, not 3.",
            33: "the kernels overlap: after the first, each one adds 2 pixels to the field, not 3.",
            101 / 3: "the kernels overlap: after the first, each one adds 2 pixels to the field, not 3.",
            25: "each double_conv adds 4; the question counts single convolutions.",
        },
    ),
    hint_text="A stack of n convolutions sees 1 + 2 n pixels. Set this equal to 101.",
    solution_text="answer = (101 - 1) // 2  # 1 + 2 n = 101, so n = 50\n",
)

decoder_channels = Exercise(
    judge=is_number(
        32,
        slips={
            16: "this is what leaves the block, or one of the two parts that enter it.",
            48: "the tensor from below first meets a transposed convolution, which halves its channels.",
            64: "both parts have 16 channels at this level: 16 from the encoder, and how many from below?",
            256: "channels are laid on top of each other: they add, they do not multiply.",
        },
    ),
    hint_text="Two tensors meet: the copy from encoder 1, and the output of the transposed convolution, with "
    "half the channels of what comes from below. `torch.cat(..., dim=1)` lays them on top of each other.",
    solution_text="answer = 16 + 16  # the copy, and what came up from below; double_conv makes 16 of them\n",
)

unpadded_size = Exercise(
    judge=is_function(
        cases=[((572, 2), 568), ((284, 2), 280), ((64, 1), 62), ((10, 0), 10)],
        slips=[
            (lambda size, n: size - n, "each convolution takes a pixel from both sides, so two in all."),
            (lambda size, n: size - 3 * n, "a 3x3 kernel is 3 pixels wide, but 1 of them is its centre."),
            (lambda size, n: size - 4 * n, "4 pixels is what two convolutions take together."),
            (lambda size, n: size - 2, "your function does not use the number of convolutions."),
            (lambda size, n: size - 4, "your function does not use the number of convolutions."),
            (lambda size, n: size, "that is what padding=1 does; without padding the border is lost."),
            (lambda size, n: size + 2 * n, "without padding an image gets smaller, not larger."),
        ],
    ),
    hint_text="Look back at the first convolution by hand: 5x5 became 3x3. What is lost in one step, in all?",
    solution_text="def size_after(size, n_convolutions):\n"
    "    return size - 2 * n_convolutions  # one pixel from either side, every time\n",
)
