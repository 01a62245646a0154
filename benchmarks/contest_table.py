"""What a contest found, as a table and as a figure."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from unet_helpers.evaluation import compare

Row = dict[str, Any]


def table(rows: list[Row], reference: str) -> str:
    """Markdown: one line a contestant and budget, mean over the seeds, their range, and what it gains.

    Args:
        rows: What was measured.
        reference: The contestant that all others are compared with, on the same images.
    """
    head = (
        "contestant",
        "s",
        "seeds",
        "mean Dice (range)",
        f"Dice minus {reference} (95 %)",
        "validation",
        "sections found",
        "stones found",
        "false alarms",
        "parameters",
        "images/s",
        "MPx/s",
        "share of peak",
        "memory, MiB",
        "machine",
    )
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    keys = sorted({(r["threads"], r["budget"], r["contestant"]) for r in rows})
    for threads, budget, name in keys:
        some = [r for r in rows if (r["threads"], r["budget"], r["contestant"]) == (threads, budget, name)]

        def mean(key: str, some: list[Row] = some) -> float:
            return float(np.mean([row[key] for row in some]))

        dices = [row["dice_positive_mean"] for row in some]
        cells = (
            name,
            f"{budget:g}",
            str(len(some)),
            f"{np.mean(dices):.3f} ({min(dices):.3f} to {max(dices):.3f})",
            _change(rows, some, reference),
            f"{mean('val_dice'):.3f}",
            f"{mean('section_sensitivity'):.3f}",
            f"{mean('stone_sensitivity'):.3f}",
            f"{mean('false_positives_per_image'):.2f}",
            f"{some[0]['parameters']:,}",
            f"{mean('images_per_s'):.1f}",
            f"{mean('megapixels_per_s'):.2f}",
            f"{100 * mean('share_of_peak'):.0f} % {some[0]['precision']}",
            f"{mean('peak_memory_mib'):.0f}",
            _where(some),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _where(rows: list[Row]) -> str:
    """On what the rows were measured, and how many contestants trained at once."""
    found = {f"{row.get('machine', 'not noted')}, {row.get('jobs', 1)} at once" for row in rows}
    return "; ".join(sorted(found))


def _change(rows: list[Row], some: list[Row], reference: str) -> str:
    """Paired difference of the mean Dice to the reference, same budget, over the seeds that both have."""
    about = {name: some[0][name] for name in ("threads", "budget")} | {"contestant": reference}
    theirs = {row["seed"]: row for row in rows if about.items() <= row.items()}
    pairs = [(theirs[row["seed"]], row) for row in some if row["seed"] in theirs]
    if some[0]["contestant"] == reference or not pairs:
        return "-"
    one, other = (
        {"per_image": [image for row in part for image in row["per_image"]]}
        for part in zip(*pairs, strict=True)
    )
    groups = [group for _, row in pairs for group in row["groups"]]  # a patient is drawn with all seeds
    change = compare(one, other, groups)["dice_positive_mean"]
    return "{:+.3f} ({:+.3f} to {:+.3f})".format(change["difference"], *change["interval"])


def plot(rows: list[Row]) -> Figure:
    """Mean Dice against the seconds of training: a line a contestant, a bar from the worst seed to the best.

    A library network has one colour, dashed with its own settings and solid inside our recipe.
    """
    figure = Figure(figsize=(7.5, 4), layout="constrained")
    ax = figure.subplots()
    names = sorted({row["contestant"] for row in rows}, key=lambda name: (name != "ours", name))
    families = list(dict.fromkeys(name.removesuffix("-in-ours") for name in names))
    for name in names:
        family = name.removesuffix("-in-ours")
        budgets = sorted({row["budget"] for row in rows if row["contestant"] == name})
        dices = [
            [r["dice_positive_mean"] for r in rows if (r["contestant"], r["budget"]) == (name, budget)]
            for budget in budgets
        ]
        means = np.array([np.mean(some) for some in dices])
        spread = [means - [min(some) for some in dices], [max(some) for some in dices] - means]
        ax.errorbar(
            budgets,
            means,
            [side.tolist() for side in spread],  # matplotlib 3.10 asks NumPy whether a row is a number
            marker="o",
            capsize=3,
            color=_COLOURS[families.index(family)],
            linewidth=3 if name == "ours" else 1.5,
            linestyle="--" if name == family != "ours" else "-",
            label=name.replace("-in-ours", ", our recipe"),
        )
    ax.set(xlabel="seconds of training", ylabel="mean Dice, test part", ylim=(0, 1), xlim=(0, None))
    ax.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


_COLOURS = ["#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"]
