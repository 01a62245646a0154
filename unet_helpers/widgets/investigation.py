"""Why a score stands where it stands: four numbers, a dot a patient, and the patient behind it (lesson 5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unet_helpers.data import Pair, load_arrays
from unet_helpers.metrics import label_stones, match_stones
from unet_helpers.pictures import verdicts
from unet_helpers.pictures.verdicts import short_name
from unet_helpers.scores import suspects
from unet_helpers.scores.judging import Judged
from unet_helpers.widgets.still import show_figure

__all__ = [
    "NO_STONE",
    "four_numbers",
    "influence",
    "patients",
    "riddle",
    "suspect",
    "training_showed",
    "verdict",
]

NO_STONE = "No slice of this part holds a stone, so there is nothing to show here."


def four_numbers(**parts: Judged) -> None:
    """Print the four numbers that come first, a column a part of the data; "-" where there is nothing.

    A phone shows 45 letters in a line, so each number has its n in brackets.
    """
    rows = {
        "stones found": ("stone_sensitivity", "n_stones", 1.0),
        "sections found": ("section_sensitivity", "n_sections", 1.0),
        "false alarms/slice": ("false_positives_per_image", "n_images", 1.0),
        "Dice, with a stone": ("dice_positive_mean", "n_positive", 1.0),
        "left clean": ("clean_negative_rate", "", 1.0),
    }
    if any(one.scores["n_stones"] for one in parts.values()):
        del rows["sections found"]
    else:  # nobody knows here which sections are of one stone
        del rows["stones found"]
    print(f"{'(n in brackets)':<19}" + "".join(f"{name:>13}" for name in parts))
    for label, (key, count, _) in rows.items():
        cells = []
        for one in parts.values():
            scores, value = one.scores, one.scores[key]
            n = scores[count] if count else scores["n_images"] - scores["n_positive"]
            cells.append(f"{'-' if np.isnan(value) else f'{value:.3f}'} ({n})")
        print(f"{label:<19}" + "".join(f"{cell:>13}" for cell in cells))


def riddle(val: Judged, test: Judged) -> None:
    """Print how far the mean Dice of the test is from that of validation, and in which direction."""
    means = [suspects.mean_dice(one.dice_of) for one in (val, test)]
    if np.isnan(means).any():
        print("One of the two parts holds no stone, so their mean Dice cannot be compared.")
        return
    change = means[1] - means[0]
    if abs(change) < 0.005:
        print(f"Mean Dice: the test differs by {change:+.3f} only. Skill, or luck?")
    elif change > 0:
        print(f"Mean Dice: the test is {change:.3f} higher. Why?")
    else:
        print(f"Mean Dice: the test is {-change:.3f} lower. Why?")


def patients(val: Judged, test: Judged) -> None:
    """A dot a patient, both parts side by side; the one who moves each mean most is named."""
    parts = {"validation": val.dice_of, "test": test.dice_of}
    if not any(parts.values()):
        print(NO_STONE)
        return
    named = {part: suspects.mover(dices) for part, dices in parts.items()}
    told = "; ".join(
        f"{part} {len(dices)} patients, mean {suspects.mean_dice(dices):.3f}"
        + (f", {short_name(name)} at {dices[name].mean():.2f}" if (name := named[part]) else "")
        for part, dices in parts.items()
        if dices
    )
    show_figure(
        verdicts.patients(parts, named), f"A dot for the mean Dice of each patient: {told}.", flat=True
    )


def influence(judged: Judged) -> float:
    """How far the mean Dice moves without the patient who moves it most; 0 for fewer than two patients."""
    dices = judged.dice_of
    name = suspects.mover(dices)
    return 0.0 if name is None else abs(suspects.without(dices, name) - suspects.mean_dice(dices))


def verdict(val: Judged, test: Judged) -> None:
    """Print the score of both parts without the one patient, and whether chance explains the difference."""
    for part, judged in (("validation", val), ("test", test)):
        dices, name = judged.dice_of, suspects.mover(judged.dice_of)
        mean, rest = (f"{suspects.mean_dice(dices):.3f}" if dices else "-"), ""
        if name is not None:
            rest = f"; {suspects.without(dices, name):.3f} without {short_name(name)}"
        print(f"{part + ':':<11} {len(dices)} patients, mean Dice {mean}{rest}")
    print(_verdict(val.dice_of, test.dice_of))


def _verdict(val: suspects.Dices, test: suspects.Dices) -> str:
    """What the difference of two means is worth, in two sentences."""
    share = suspects.shuffled_share(val, test)
    if np.isnan(share) or len(val) + len(test) < 4:
        return "There are too few patients with a stone here to say whether that is chance."
    change = suspects.mean_dice(test) - suspects.mean_dice(val)
    way = "higher" if change > 0 else "lower"
    told = (
        f"The mean Dice of the test is {abs(change):.3f} {way}. Deal the {len(val) + len(test)} patients "
        f"anew, {len(val)} and {len(test)}, 2,000 times: {100 * share:.0f} % of the deals differ as much."
    )
    if share >= 0.05:
        return f"{told} Chance is enough to explain it."
    reason = (
        "the test patients are easier" if change > 0 else "the test shows something that validation did not"
    )
    return f"{told} Chance alone hardly explains it: {reason}."


# ---------------------------------------------------------------------------------------- the one patient
def suspect(judged: Judged) -> None:
    """The worst slice of the patient who moves the mean most: whole, and around what went wrong there."""
    name = suspects.mover(judged.dice_of) or next(iter(judged.dice_of), None)
    if name is None:
        print(NO_STONE)
        return
    scores = judged.scores["per_image"]
    own = [i for i, patient in enumerate(judged.patients) if patient == name and scores[i]["n_sections"]]
    told = ", ".join(f"{scores[i]['dice']:.2f}" for i in own)
    print(f"{short_name(name)} has {len(own)} slices with a stone; their Dice: {told}")
    worst = min(own, key=lambda i: float(scores[i]["dice"]))
    wanted = _missed(judged, worst)
    figure = verdicts.one_picture(
        judged.images[worst], judged.masks[worst], judged.predictions[worst], wanted
    )
    n_found, n = scores[worst]["n_found"], scores[worst]["n_sections"]
    sentence = (
        f"The slice of {short_name(name)} with the lowest Dice, {scores[worst]['dice']:.2f}, with an orange "
        f"frame; then the inside of the frame without and with the truth: {n_found} of {n} sections found."
    )
    show_figure(figure, sentence, photo=True)


def _missed(judged: Judged, i: int) -> NDArray[np.bool_]:
    """The largest section of an image that was missed, or, where none was, the largest of all."""
    labels, n_sections = label_stones(judged.masks[i])
    found = match_stones(judged.predictions[i], judged.masks[i]).found
    missed = [k for k in range(1, n_sections + 1) if not found[k - 1]] or range(1, n_sections + 1)
    areas = np.bincount(labels.ravel(), minlength=n_sections + 1)
    wanted: NDArray[np.bool_] = labels == max(missed, key=lambda k: areas[k])
    return wanted


def training_showed(judged: Judged, train: Sequence[Pair], learned_here: bool = True) -> None:
    """Print how many training sections looked like the one that cost the patient who moves the mean most.

    Args:
        judged: The answers of a network.
        train: What it learned from.
        learned_here: False where it learned from other data than `train`; that is said, too.
    """
    name = suspects.mover(judged.dice_of) or next(iter(judged.dice_of), None)
    if name is None:
        print(NO_STONE)
        return
    scores = judged.scores["per_image"]
    own = [i for i, patient in enumerate(judged.patients) if patient == name and scores[i]["n_sections"]]
    worst = min(own, key=lambda i: float(scores[i]["dice"]))
    (one,) = suspects.looks(judged.images[worst], _missed(judged, worst))
    images, masks = load_arrays(train)
    others = [look for image, mask in zip(images, masks, strict=True) for look in suspects.looks(image, mask)]
    if not others:
        print("The training part holds no stone to compare with.")
        return
    if not learned_here:
        print("This network learned from other patients. Those of the training part here stand in for them.")
    _tell(one, others)
    largest = max(look.n_pixels for look in others)
    areas = [n for mask in judged.masks for n in np.bincount(label_stones(mask)[0].ravel())[1:]]
    n_larger = sum(int(n > largest) for n in areas)
    print(
        f"The largest section in training has {largest:,} pixels; "
        f"{n_larger} of the {len(areas)} here are larger."
    )


def _tell(one: suspects.Look, others: Sequence[suspects.Look]) -> None:
    counts = suspects.alike(one, others)
    print(f"Of the {len(others)} sections that training showed, there are")
    for words, n in counts.items():
        print(f"{n:>5} {words}")
    together = list(counts.values())[-1]
    if together <= 0.01 * len(others):
        print("Training showed next to nothing like this section.")
    else:
        print("Training did show sections like this one, so something else went wrong here.")
