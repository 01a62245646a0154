"""What is moved and shown in lesson 5: a dot a patient, the patient behind a score, a hit, draws of patients.

Every function puts its output on the page, or says in a sentence why there is nothing to show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from unet_helpers.data import spacings
from unet_helpers.engine.figures import PAGE_DPI, PAGE_INCHES, legend_below, plain_figure
from unet_helpers.evaluation import THRESHOLDS, compare
from unet_helpers.inspector import Inspector
from unet_helpers.metrics import dice, label_stones
from unet_helpers.pictures import verdicts
from unet_helpers.pictures.sheets import encode_jpeg
from unet_helpers.pictures.verdicts import short_name
from unet_helpers.plotting import contact_sheet
from unet_helpers.scores import figures
from unet_helpers.scores.judging import Judged
from unet_helpers.widgets.growth import Growth, grow
from unet_helpers.widgets.investigation import (
    NO_STONE,
    four_numbers,
    influence,
    patients,
    riddle,
    suspect,
    training_showed,
    verdict,
)
from unet_helpers.widgets.resampling import TOO_FEW, Draws, by_slice, draws
from unet_helpers.widgets.still import show, show_figure

__all__ = [
    "Draws",
    "Growth",
    "by_itself",
    "by_slice",
    "calibration",
    "draws",
    "four_numbers",
    "froc",
    "grow",
    "influence",
    "inspect",
    "one_stone",
    "paired",
    "patients",
    "riddle",
    "sizes",
    "sizes_measured",
    "suspect",
    "thresholds",
    "training_showed",
    "verdict",
]


# --------------------------------------------------------------------------------- a stone in its slices
def one_stone(test: Judged) -> None:
    """The stone that shows in most slices, slice by slice, each found or missed."""
    stones = test.scores["per_stone"]
    if not stones:
        print("This data set does not say which sections are of one stone, so we count sections.")
        return
    stone = max(stones, key=lambda one: _teaches(one, test.scores["per_section"]))
    sections = [test.scores["per_section"][k] for k in stone["sections"]][: verdicts.N_SLICES]
    tiles = []
    for section in sections:
        i = section["image"]
        wanted = label_stones(test.masks[i])[0]
        number = wanted[_pixel_of(section, test.masks[i])]
        near = verdicts.square_at(wanted == number, 72)
        title = f"slice {i + 1}: {'found' if section['found'] else 'missed'}"
        arrays = (items[i][near] for items in (test.images, test.masks, test.predictions))
        image, target, prediction = arrays
        tiles.append((image, target, prediction, title))
    n, n_found = stone["n_sections"], stone["n_found"]
    what = f"One stone of {stone['diameter_mm']:.1f} mm"
    counted = f"{n_found} of its {n} sections {'is' if n_found == 1 else 'are'} found"
    figure = verdicts.slices_of_a_stone(tiles)
    show_figure(figure, f"{what} in {len(tiles)} slices: {counted}.", photo=True)
    print(f"{what}: {counted}. The stone counts once, as {'found' if n_found else 'missed'}.")


def _teaches(stone: Mapping[str, Any], sections: Sequence[Mapping[str, Any]]) -> tuple[bool, bool, int]:
    """What makes a stone a good example: one section a slice, three slices or more of both fates, many."""
    slices = {sections[k]["image"] for k in stone["sections"]}
    n = stone["n_sections"]
    return len(slices) == n, n >= 3 and 0 < stone["n_found"] < n, n


def _pixel_of(section: Mapping[str, float], mask: NDArray[np.bool_]) -> tuple[int, int]:
    """The stone pixel nearest to the middle of a section."""
    places = np.argwhere(mask)
    nearest = places[((places - (section["row"], section["column"])) ** 2).sum(1).argmin()]
    return int(nearest[0]), int(nearest[1])


# --------------------------------------------------------------------------------------- thresholds, sizes
def thresholds(val: Judged) -> float:
    """Mean Dice at every threshold, on an axis from 0 to 1; returns how much worse the one in use is.

    Returns:
        The best mean Dice of all thresholds minus that of the one in use; 0 without a stone.
    """
    stones = [(p, mask) for p, mask in zip(val.probabilities, val.masks, strict=True) if mask.any()]
    if not stones:
        print(NO_STONE)
        return 0.0
    tried = sorted({*THRESHOLDS, val.threshold})
    scores = [float(np.mean([dice(p >= value, mask) for p, mask in stones])) for value in tried]
    figure = verdicts.threshold_curve(tried, scores, val.threshold, f"{len(stones)} validation slices")
    in_use = scores[tried.index(val.threshold)]
    sentence = (
        f"Mean Dice of the validation slices against the threshold, on an axis from 0 to 1: between "
        f"{min(scores):.3f} and {max(scores):.3f}; {in_use:.3f} at the one in use, {val.threshold:.2f}."
    )
    show_figure(figure, sentence, flat=True)
    return max(scores) - in_use


def _ax(height: float) -> Axes:
    return plain_figure(PAGE_INCHES, height).add_subplot()


def sizes(test: Judged) -> None:
    """What is found of each size, as bars with their numbers."""
    bins = test.scores["size_bins"]
    ax = figures.plot_size_bins(bins, _ax(3.3), lines=False)
    told = ", ".join(f"{one['n_found']} of {one['n']}" for one in bins)
    show_figure(
        _figure(ax), f"Share of the {bins[0]['of']} found, by size from small to large: {told}.", flat=True
    )


def _figure(ax: Axes) -> Figure:
    figure = ax.get_figure()
    assert isinstance(figure, Figure)
    return figure


# --------------------------------------------------------------------------------------------- two networks
def by_itself(**networks: Judged) -> None:
    """Print the mean Dice of each network with its interval, as far as there is one."""
    for name, judged in networks.items():
        low, high = judged.scores["intervals"]["dice_positive_mean"]
        ends = f"({low:.3f} to {high:.3f})" if low <= high else "(too few patients for an interval)"
        mean = judged.scores["dice_positive_mean"]
        print(f"{name.replace('_', ' '):<9} {'no stone' if np.isnan(mean) else f'{mean:.3f}'} {ends}")


def paired(first: Judged, second: Judged, names: tuple[str, str]) -> tuple[float, float]:
    """Two networks on the same patients: each by itself, and their difference.

    Returns:
        Both ends of the 95 % interval of the difference of the mean Dice; NaN where there are too few
        patients.
    """
    change = compare(first.scores, second.scores, first.patients)["dice_positive_mean"]
    low, high = change["interval"]
    if len(first.dice_of) < 2:
        print(TOO_FEW)
        return low, high
    scores = []
    for one in (first, second):
        ends = one.scores["intervals"]["dice_positive_mean"]
        scores.append((one.scores["dice_positive_mean"], ends[0], ends[1]))
    other = second.dice_of
    by_patient = [float(other[name].mean() - own.mean()) for name, own in first.dice_of.items()]
    n_better = sum(one > 0 for one in by_patient)
    figure = verdicts.paired(names, scores, (change["difference"], low, high), by_patient)
    sentence = (
        f"Mean Dice of {names[0]} {scores[0][0]:.3f} and of {names[1]} {scores[1][0]:.3f}, each with its "
        f"interval; beside them the difference of each patient and its mean {change['difference']:+.3f}, "
        f"95 % {low:+.3f} to {high:+.3f}."
    )
    show_figure(figure, sentence, flat=True)
    print(f"difference {change['difference']:+.3f}, 95 % {low:+.3f} to {high:+.3f};"
          f" {names[1]} is better in {n_better} of {len(by_patient)} patients")  # fmt: skip
    return low, high


# ------------------------------------------------------------------------------------------- what it is for
def froc(test: Judged) -> None:
    """The price list: sections found against false alarms, at every threshold."""
    curve = test.scores["froc"]
    if not test.scores["n_sections"]:
        print(NO_STONE)
        return
    false, found = curve["false_positives_per_image"], curve["sensitivity"]
    at = curve["threshold"].index(test.threshold)
    sentence = (
        f"Share of the sections found, {min(found):.2f} to {max(found):.2f}, against the false alarms per "
        f"slice, {min(false):.2f} to {max(false):.2f}; a star at the threshold in use: {found[at]:.2f} found "
        f"for {false[at]:.2f}."
    )
    show_figure(_figure(figures.plot_froc(curve, _ax(3.4), test.threshold)), sentence, flat=True)


def sizes_measured(test: Judged) -> None:
    """How exactly the sections found are measured; the outliers by name."""
    agreement, unit = test.scores["size_agreement"], test.scores["unit"]
    if not agreement["n"]:
        print("No section was found in this part, so no size can be compared.")
        return
    names = [f"{short_name(patient)}, slice {i + 1}" for i, patient in enumerate(test.patients)]
    ax = figures.plot_bland_altman(agreement, unit, _ax(4.6), names)
    sentence = (
        f"Error of the measured diameter of {agreement['n']} sections against the true one; the mean is "
        f"{agreement['bias']:+.2f} {unit}, and {agreement['n_outliers']} outliers are marked and named."
    )
    legend_below(_figure(ax), n_columns=1)
    show_figure(_figure(ax), sentence, flat=True)
    for one in agreement["outliers"]:
        name = names[one["image"]]
        print(f"outlier: {name}: {one['true']:.1f} {unit} was measured as {one['predicted']:.1f} {unit}")


def calibration(test: Judged) -> None:
    """How often a pixel of each probability is stone."""
    found = test.scores["calibration"]
    if np.isnan(found["ece"]):
        print("No pixel has a probability above 0.1 here, so there is nothing to compare.")
        return
    points = zip(found["confidence"], found["frequency"], strict=True)
    told = ", ".join(f"{share:.2f} at {promised:.2f}" for promised, share in points if promised > 0.1)
    ax = figures.plot_reliability(found, _ax(3.4))
    show_figure(_figure(ax), f"Share of stone among the pixels of each probability: {told}.", flat=True)


def inspect(test: Judged, n_tiles: int = 6) -> Inspector:
    """Show the inspector of all slices, and return it; without a kernel, the slices that went wrong most."""
    chosen = _worth_a_look(test, n_tiles)
    scores = test.scores["per_image"]
    titles = [
        f"slice {i + 1}: Dice {scores[i]['dice']:.2f}"
        if scores[i]["n_sections"]
        else f"slice {i + 1}: {_alarms(scores[i]['n_false_positives'])}"
        for i in chosen
    ]
    images, targets, predictions = (
        [items[i] for i in chosen] for items in (test.images, test.masks, test.predictions)
    )
    sheet = contact_sheet(images, targets=targets, predictions=predictions, titles=titles, n_columns=3)
    sheet.set_size_inches(PAGE_INCHES, 2.0 * -(-len(chosen) // 3) + 0.7)  # as wide as a phone can show
    names = [f"{short_name(patient)}, slice {i + 1}" for i, patient in enumerate(test.patients)]
    inspector = Inspector(
        test.images, targets=test.masks, probabilities=test.probabilities, threshold=test.threshold,
        min_pixels=test.min_pixels, spacing_mm=spacings(test.pairs), names=names,
    )  # fmt: skip
    sentence = f"Slices of which the network gets least right: {'; '.join(titles)}."
    show(inspector.widget, _jpeg(sheet), sentence)
    return inspector


def _alarms(n: int) -> str:
    return "1 false alarm" if n == 1 else f"{n} false alarms"


def _worth_a_look(test: Judged, n: int) -> list[int]:
    """Slices with the lowest Dice, and stone-free ones with the most false alarms, one a patient."""
    scores, seen = test.scores["per_image"], set()
    with_stone = [i for i, one in enumerate(scores) if one["n_sections"]]
    without = [i for i, one in enumerate(scores) if not one["n_sections"] and one["n_false_positives"]]
    with_stone.sort(key=lambda i: float(scores[i]["dice"]))
    without.sort(key=lambda i: -int(scores[i]["n_false_positives"]))
    chosen: list[int] = []
    for group, most in ((with_stone, n - min(2, len(without))), (without, n)):
        for i in group:
            if test.patients[i] not in seen and len(chosen) < most:
                seen.add(test.patients[i])
                chosen.append(i)
    return chosen or list(range(min(n, len(scores))))


def _jpeg(figure: Figure) -> bytes:
    figure.set_dpi(PAGE_DPI)
    figure.patch.set_facecolor("white")
    figure.canvas.draw()
    return encode_jpeg(np.asarray(figure.canvas.buffer_rgba())[..., :3], quality=50)  # type: ignore[attr-defined]
