"""Where one may look first in each room of lesson 7, and what each place answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["PLACES", "Room"]


@dataclass(frozen=True)
class Room:
    """One question with its places.

    Attributes:
        question: What is asked, in a sentence.
        right: The place where the bug is.
        replies: What is said to each place, the right one among them.
    """

    question: str
    right: str
    replies: Mapping[str, str]


PLACES = {
    "below_zero": Room(
        "The loss falls below zero. Where do you look first?",
        "the masks",
        {
            "the learning rate": "A rate that is too high makes a loss jump, or become nan. This one falls "
            "smoothly, and it falls to where no loss can be.",
            "the masks": "Yes. For targets from 0 to 1 cross-entropy is never negative, whatever the network "
            "says. So the targets must be something else.",
            "the last layer": "A sigmoid too many or too few changes how low a loss gets. But for targets "
            "of 0 "
            "and 1 it cannot get below zero.",
            "the batch size": "The loss is a mean. Of many numbers or of few, a mean of numbers that are "
            "never "
            "negative is not negative.",
        },
    ),
    "stone_rim": Room(
        "Where do these stones come from?",
        "the resizing",
        {
            "the network": "No network was here. This is the truth itself, before any training.",
            "the file": "The left picture shows the file, and the file is right.",
            "the resizing": "Yes. Between the left picture and the right one stands one line of code, and it "
            "resizes.",
            "the picture viewer": "Pictures can deceive, but the count of the pixels says the same.",
        },
    ),
    "floor": Room(
        "The loss sticks just below 0.7. Where do you look first?",
        "the last layer",
        {
            "the learning rate": "Most people turn this knob first. It decides how fast a floor is "
            "reached, and "
            "the floor stays where it is.",
            "the masks": "A good thought after room 1. But they hold 0 and 1 here, and a wrong mask would "
            "not stop "
            "the loss at just this number.",
            "the last layer": "Yes: between the last layer and the loss. 0.69 is log(2), the price of an "
            "answer "
            "of one half, and somebody forbids the network to say less.",
            "more steps": "However long you train, the curve creeps along this floor.",
        },
    ),
    "out_of_range": Room(
        "A score outside of 0 to 1. Where do you look first?",
        "what goes into the metric",
        {
            "the masks": "Masks of 255 can lift a score above 1, well thought. They cannot push one below "
            "0, and "
            "these are True and False.",
            "the formula": "Overlap divided by union: it is the one of the textbook.",
            "what goes into the metric": "Yes. The formula holds for masks, and something else went in.",
            "the network": "It is the one that found his stone in lesson 1, and its outlines are as good "
            "as ever.",
        },
    ),
    "two_scores": Room(
        "One network, the same slices, and several scores. Where do you look first?",
        "how the mean is taken",
        {
            "chance": "Nothing is drawn here. Run the cell again: the same numbers.",
            "the network": "The marked pixels were computed once, and are the same for every batch size.",
            "the threshold": "It was applied before, once for all.",
            "how the mean is taken": "Yes. The batch is only a way to save memory, and no score may know it.",
        },
    ),
    "paid_for_nothing": Room(
        "It marks nothing at all, and gets points. Where do you look first?",
        "slices without a stone",
        {
            "the small stones": "It misses the small ones and the large ones, all of them. For those it "
            "gets 0.",
            "slices without a stone": "Yes. Only there is an empty answer right; so what does the metric pay "
            "for them?",
            "the threshold": "There is nothing to threshold: the answer is black by construction.",
            "accuracy instead of Dice": "Accuracy would pay far more: 99.9 %. This is Dice, with a "
            "convention.",
        },
    ),
    "company": Room(
        "The same network, the same slice, another answer. Where do you look first?",
        "the network's mode",
        {
            "random numbers": "Set any seed you like. Nothing is drawn here.",
            "the blank slices' masks": "Nobody looks at masks when a network answers.",
            "the network's mode": "Yes. One layer may look at its neighbours in the batch, and only in one "
            "mode.",
            "the weights": "They are the same in both pictures.",
        },
    ),
    "black": Room(
        "The loss is tiny and every prediction is black. Where do you look first?",
        "the highest probability",
        {
            "more epochs": "They may help, after hours. First find out what you would be waiting for.",
            "the threshold": "Possible! If 0.4 were the highest probability, the threshold would be the "
            "bug. So "
            "which number tells?",
            "the picture viewer": "Possible! A mask of 0 and 1, saved as a picture, looks all black. So "
            "which "
            "number tells?",
            "the highest probability": "Yes. One number tells three bugs apart: viewer, threshold, or a "
            "network "
            "that never says stone.",
        },
    ),
}
