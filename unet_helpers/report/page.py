"""One page that can be handed out: scores, curves, the cases worth looking at, and a slider of its own.

The file needs no network, no Python and no other file: figures, pictures, style and script are inside. What
it says is gathered here as plain values; `page.html.j2` beside this file says where they stand, and escapes
every one of them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unet_helpers.engine.figures import PAGE_INCHES
from unet_helpers.engine.files import written_whole
from unet_helpers.pictures.rendering import check_arrays
from unet_helpers.pictures.styles import ERROR_KINDS, STYLES
from unet_helpers.report.cases import TILE_PX, Case, Tile, case_tile, choose_groups, data_uri, missed_tiles
from unet_helpers.report.slider import pack_cases, slider_thresholds
from unet_helpers.scores.figures import (
    plot_bland_altman,
    plot_froc,
    plot_precision_recall,
    plot_reliability,
    plot_size_bins,
)
from unet_helpers.scores.table import interval_text, number_text, score_remarks, score_rows, settings_text

__all__ = ["write_report"]

HERE = Path(__file__).parent
TITLE = "Evaluation of kidney stone segmentation"


def write_report(
    path: str | Path,
    scores: Mapping[str, Any],
    images: Sequence[np.ndarray],
    *,
    targets: Sequence[np.ndarray],
    probabilities: Sequence[np.ndarray],
    names: Sequence[str],
    title: str = TITLE,
    rivals: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Write the scores and the pictures behind them as one self-contained HTML page.

    Args:
        path: Target, such as report.html; a crash never leaves half a file.
        scores: What `evaluation.evaluate` returned for these arrays.
        images: Uint8 arrays (H, W), one an image.
        targets: Bool arrays (H, W), the truth.
        probabilities: Float arrays (H, W) in [0, 1].
        names: One name an image.
        title: Of the page.
        rivals: By name, the scores of other methods on the same images, for columns of their own.

    Returns:
        The path.

    Raises:
        ValueError: If the lengths, shapes or types do not fit each other or the scores.
    """
    arrays = {"images": images, "targets": targets, "probabilities": probabilities}
    content = _content(_cases(scores, names, **arrays), scores, rivals)
    page = _template().render(content, title=title)
    with written_whole(path) as scratch:
        scratch.write_text(page, "utf-8")
    return Path(path)


def _cases(scores: Mapping[str, Any], names: Sequence[str], **arrays: Sequence[np.ndarray]) -> list[Case]:
    """The images and their scores, checked; each has the threshold and the smallest region of its own."""
    n_images = scores["n_images"]
    for what, values in {**arrays, "names": names}.items():
        if len(values) != n_images:
            raise ValueError(f"{what} must be as many as were evaluated ({n_images}), got {len(values)}.")
    threshold, min_pixels = (
        np.broadcast_to(scores[what], n_images).tolist() for what in ("threshold", "min_pixels")
    )
    images, targets, probabilities = (
        [np.asarray(array) for array in arrays[what]] for what in ("images", "targets", "probabilities")
    )
    records = scores["per_image"]
    for i in range(n_images):
        check_arrays(images[i], target=targets[i], probability=probabilities[i], where=f" {i}")
    columns = zip(images, targets, probabilities, records, threshold, min_pixels, strict=True)
    return [Case(i, str(names[i]), *one) for i, one in enumerate(columns)]


def _template() -> jinja2.Template:
    """The template, in which everything that is filled in is escaped."""
    loader = jinja2.FileSystemLoader(HERE)
    page = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page.policies["json.dumps_kwargs"] = {"allow_nan": False}
    return page.get_template("page.html.j2")


def _content(
    cases: Sequence[Case], scores: Mapping[str, Any], rivals: Mapping[str, Mapping[str, Any]] | None
) -> dict[str, Any]:
    """Everything that the template fills in, as plain values."""
    groups = choose_groups(cases)
    thresholds = slider_thresholds(groups)
    packed = pack_cases(groups, thresholds)
    heads, *rows = score_rows(scores, rivals)
    missed = missed_tiles(cases, scores)
    styles = {kind: STYLES[kind] for kind in ERROR_KINDS.values()}
    return {
        "style": (HERE / "page.css").read_text("utf-8"),
        "script": (HERE / "page.js").read_text("utf-8"),
        "scores": scores,
        "settings": settings_text(scores),
        "cards": _cards(scores),
        "heads": heads,
        "rows": rows,
        "remarks": score_remarks(scores),
        "figures": _figures(scores),
        "styles": list(styles.values()),
        "groups": [(group.heading, group.sentence, [*map(case_tile, group.cases)]) for group in groups],
        "places": {index: place for place, index in enumerate(packed)},
        "n_thresholds": len(thresholds),
        "missed": missed,
        "n_touched": sum(one["touched"] and not one["found"] for one in scores["per_section"]),
        "small": _are_small(missed),
        "data": {
            "cases": list(packed.values()),
            "thresholds": thresholds,
            "styles": {kind: vars(style) for kind, style in styles.items()},
        },
    }


def _are_small(tiles: Sequence[Tile]) -> bool:
    return any(tile.size_px < TILE_PX for tile in tiles)


def _cards(scores: Mapping[str, Any]) -> list[dict[str, str]]:
    """The numbers on top of the page, each with its name, its interval and what it stands on."""
    n_positive, n_clean = scores["n_positive"], scores["n_images"] - scores["n_positive"]
    cards = [
        ("dice_positive_mean", "mean Dice", f"{n_positive} images with a stone"),
        ("stone_sensitivity", "of the stones found", f"{scores['n_stones']} stones, each in any slice"),
        ("section_sensitivity", "of the sections found", f"{scores['n_sections']} stone sections"),
        ("false_positives_per_image", "false alarms per image", f"{scores['n_images']} images"),
        ("clean_negative_rate", "of stone-free images left clean", f"{n_clean} images without a stone"),
    ]
    if not scores["n_stones"]:
        del cards[1]
    intervals = {name: interval_text(scores["intervals"].get(name)) for name, *_ in cards}
    return [
        {
            "value": number_text(scores[name]),
            "label": label,
            "interval": "no interval" if intervals[name] in ("", "-") else intervals[name],
            "basis": basis,
        }
        for name, label, basis in cards
    ]


# --------------------------------------------------------------------------------------------- the curves
def _figures(scores: Mapping[str, Any]) -> list[dict[str, str]]:
    """The curves as SVG, each with its caption; none where there is no stone."""
    if not scores["n_sections"]:
        return []
    unit, size, bins = scores["unit"], scores["size_agreement"], scores["size_bins"]
    threshold = None if isinstance(scores["threshold"], list) else scores["threshold"]
    figures = [
        _figure(
            "How many sections are found, at what price in false alarms, from strict to lenient thresholds.",
            lambda ax: plot_froc(scores["froc"], ax, threshold),
        ),
        _figure(
            f"Which {bins[0]['of']} are found: by true diameter.",
            lambda ax: plot_size_bins(bins, ax),
        ),
        _figure(
            "Pixels, not sections: what share of the predicted is right, what share of the true is found.",
            lambda ax: plot_precision_recall(scores["precision_recall"], ax, threshold),
        ),
        _figure(
            "Is a probability of 0.7 right in 7 of 10 pixels? On the dashed line it is.",
            lambda ax: plot_reliability(scores["calibration"], ax),
        ),
    ]
    if size["n"]:
        caption = (
            "How far the measured diameter is from the true one, for each section found, with limits by "
            "size. Outliers beyond the axis stand at its edge, with their error."
        )
        figures.append(_figure(caption, lambda ax: plot_bland_altman(size, unit, ax)))
    return figures


def _figure(caption: str, plot: Callable[[Axes], Axes]) -> dict[str, str]:
    """One plot as the address of its SVG, with words for those who do not see it."""
    figure, buffer = Figure(figsize=(PAGE_INCHES, 3.7), layout="constrained"), io.BytesIO()
    ax = plot(figure.subplots())
    with matplotlib.rc_context({"svg.hashsalt": "report"}):  # same scores, same bytes
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    source = data_uri("image/svg+xml", buffer.getvalue())
    return {"source": source, "alt": f"{ax.get_title()}. {caption}", "caption": caption}
