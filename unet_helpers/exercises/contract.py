"""Results that a lesson promises: on its own data a broken promise is an error, on other data a sentence."""

from __future__ import annotations

import os

__all__ = ["contract"]


def contract(holds: bool, claim: str, whole_training: bool = True) -> None:
    """Hold a lesson to a result that depends on the data, where the data and the training are the lesson's.

    On a data set of your own, and after a training that was stopped or that `$UNET_STEPS` has shortened,
    nothing is promised: one sentence then says that it came out otherwise, and the lesson goes on.

    Args:
        holds: Whether the result is as the lesson says.
        claim: What the lesson says, as a whole sentence.
        whole_training: Whether the network behind it was trained as the lesson does it, to the end: the
            `whole` of its `training.run_status`. The pretrained weights were.

    Raises:
        AssertionError: The claim, if it does not hold on the default data after the default training.
    """
    if holds:
        return
    if not whole_training or os.environ.get("UNET_STEPS"):
        print(f"After so short a training it is not so: {claim}")
    elif (os.environ.get("UNET_DATA") or "phantom") != "phantom":
        print(f"On this data it is not so: {claim}")
    else:
        raise AssertionError(claim)
