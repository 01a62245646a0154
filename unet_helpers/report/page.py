"""One page that can be handed out: scores, curves, the cases worth looking at, and a slider of its own.

The file needs no network, no Python and no other file: figures, pictures, style and script are inside. Each
picture of the slider is a PNG that holds, per pixel, at how many of the slider's thresholds it is predicted
to be stone; so the page draws exactly the masks of the evaluation. The scores beside it are computed here,
one set for each position of the slider: the page itself only draws.
"""

from __future__ import annotations

import base64
import html
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby, product
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from unet_helpers.engine.files import written_whole
from unet_helpers.metrics import (
    divided,
    false_alarms,
    label_stones,
    match_stones,
    overlap_ratios,
    predicted_mask,
)
from unet_helpers.pictures.rendering import (
    RenderSettings,
    check_arrays,
    find_regions,
    legend_html,
    render,
)
from unet_helpers.plotting import ERROR_KINDS, STYLES
from unet_helpers.scores.curves import threshold_counts
from unet_helpers.scores.figures import (
    plot_bland_altman,
    plot_froc,
    plot_precision_recall,
    plot_reliability,
    plot_size_bins,
)
from unet_helpers.scores.table import interval_text, number_text, score_remarks, score_rows, settings_text

__all__ = ["write_report"]

N_CASES = 4  # of the worst, of the middle, of the best, of the stone-free with most false alarms
SLIDER_BYTES = 3_000_000  # of all pictures of the slider together
WHOLE_UP_TO = 512  # longer sides are cut down to where there is a stone or any probability
TILE_PX = 256
MISSED_TILE_PX = ((60, TILE_PX), (200, 128), (math.inf, 72))  # up to so many missed sections: side of one


class Case(NamedTuple):
    """One image, and what was found out about it."""

    index: int
    name: str
    image: np.ndarray
    target: np.ndarray
    probability: np.ndarray
    record: Mapping[str, Any]
    threshold: float
    min_pixels: int

    @property
    def prediction(self) -> np.ndarray:
        return predicted_mask(self.probability, self.threshold, self.min_pixels)

    @property
    def label(self) -> str:
        """Number in the list, from 1, and the name, cut in the middle where it is long."""
        short = self.name if len(self.name) <= 30 else f"{self.name[:13]}…{self.name[-15:]}"
        return f"image {self.index + 1}: {short}"


Group = tuple[str, str, list[Case]]  # heading, sentence, images


def write_report(
    path: str | Path,
    scores: Mapping[str, Any],
    images: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    probabilities: Sequence[np.ndarray],
    names: Sequence[str],
    title: str = "Evaluation of kidney stone segmentation",
    rivals: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Write the scores and the pictures behind them as one self-contained HTML page.

    Args:
        path: Target, such as report.html; a crash never leaves half a file.
        scores: What `evaluation.evaluate` returned for these arrays.
        images: Uint8 arrays (H, W), one an image.
        targets: Bool arrays, the truth.
        probabilities: Float arrays in [0, 1].
        names: One name an image.
        title: Of the page.
        rivals: By name, the scores of other methods on the same images, for columns of their own.

    Returns:
        The path.

    Raises:
        ValueError: If the lengths, shapes or types do not fit each other or the scores.
    """
    n_images = scores["n_images"]
    for what, values in {
        "images": images,
        "targets": targets,
        "probabilities": probabilities,
        "names": names,
    }.items():
        if len(values) != n_images:
            raise ValueError(f"{what} must be as many as were evaluated ({n_images}), got {len(values)}.")
    own = (np.broadcast_to(scores[what], n_images).tolist() for what in ("threshold", "min_pixels"))
    arrays_of = zip(images, targets, probabilities, strict=True)
    columns = zip(names, arrays_of, scores["per_image"], *own, strict=True)
    cases = [
        Case(i, str(name), *map(np.asarray, arrays), *more) for i, (name, arrays, *more) in enumerate(columns)
    ]
    for case in cases:
        check_arrays(case.image, case.target, case.probability, where=f" {case.index}")
    groups = _groups(cases)
    thresholds = _thresholds(groups)
    packed = _packed(groups, thresholds)
    body = [
        _head(title, scores),
        _table(scores, rivals),
        _figures(scores),
        _gallery(groups, packed),
        _viewer(packed, thresholds),
        _missed(cases, scores),
    ]
    path = Path(path)
    with written_whole(path) as scratch:
        scratch.write_text(_page(title, body, packed, thresholds), "utf-8")
    return path


# ------------------------------------------------------------------------------------------------ the page
def _page(title: str, body: Iterable[str], packed: Mapping[int, Any], thresholds: Sequence[float]) -> str:
    here = Path(__file__)
    style, script = (here.with_suffix(suffix).read_text("utf-8") for suffix in (".css", ".js"))
    data = {
        "cases": list(packed.values()),
        "thresholds": thresholds,
        "styles": {kind: vars(STYLES[kind]) for kind in ERROR_KINDS.values()},
    }
    data_text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")  # no name can close the script
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>",
            *body,
            f'</main>\n<script type="application/json" id="report-data">{data_text}</script>',
            f"<script>\n{script}</script>\n</body>\n</html>\n",
        ]
    )


def _head(title: str, scores: Mapping[str, Any]) -> str:
    n_positive, n_clean = scores["n_positive"], scores["n_images"] - scores["n_positive"]
    stones = ("stone_sensitivity", "of the stones found", f"{scores['n_stones']} stones, each in any slice")
    cards = [
        ("dice_positive_mean", "mean Dice", f"{n_positive} images with a stone"),
        *([stones] if scores["n_stones"] else []),
        ("section_sensitivity", "of the sections found", f"{scores['n_sections']} stone sections"),
        ("false_positives_per_image", "false alarms per image", f"{scores['n_images']} images"),
        ("clean_negative_rate", "of stone-free images left clean", f"{n_clean} images without a stone"),
    ]
    return (
        f"<h1>{html.escape(title)}</h1>\n"
        '<p class="warning">Teaching material, not for clinical use.</p>\n'
        f"<p>{scores['n_images']} images of {scores['n_groups']} groups (patients or exams), at "
        f"{settings_text(scores)}. The intervals say how much another choice of patients could change a "
        "score (95 %, bootstrap over the groups). A <i>section</i> is what one slice shows of a stone; a "
        "stone may show one in each of several slices.</p>\n"
        f'<div class="cards">{"".join(_card(scores, *card) for card in cards)}</div>'
    )


def _card(scores: Mapping[str, Any], name: str, label: str, basis: str) -> str:
    interval = interval_text(scores["intervals"].get(name))
    interval = "no interval" if interval in ("", "-") else interval
    return (
        f'<div class="card"><b>{number_text(scores[name])}</b>{label}<span>{interval}</span>'
        f"<span>{basis}</span></div>"
    )


def _table(scores: Mapping[str, Any], rivals: Mapping[str, Mapping[str, Any]] | None) -> str:
    heads, *rows = score_rows(scores, rivals)
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in heads)
    lines = [
        f'<tr><th scope="row">{html.escape(row[0])}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    ]
    remarks = "".join(f"<li>{html.escape(remark)}</li>" for remark in score_remarks(scores))
    return (
        f'<h2>Scores</h2>\n<div class="scroll" tabindex="0" role="region" '
        f'aria-label="Scores"><table><thead><tr>{head}</tr></thead>\n'
        f'<tbody>{"".join(lines)}</tbody></table></div>\n<ul class="soft">{remarks}</ul>'
    )


# --------------------------------------------------------------------------------------------- the curves
def _figures(scores: Mapping[str, Any]) -> str:
    if not scores["n_sections"]:
        return "<h2>Curves</h2>\n<p>There is no stone in these images, so there is no curve to draw.</p>"
    unit, size, bins = scores["unit"], scores["size_agreement"], scores["size_bins"]
    threshold = None if isinstance(scores["threshold"], list) else scores["threshold"]
    drawn: list[tuple[Callable[[Axes], Axes], str]] = [
        (
            lambda ax: plot_froc(scores["froc"], ax, threshold),
            "How many sections are found, at what price in false alarms, from strict to lenient thresholds.",
        ),
        (lambda ax: plot_size_bins(bins, ax), f"Which {bins[0]['of']} are found: by true diameter."),
        (
            lambda ax: plot_precision_recall(scores["precision_recall"], ax, threshold),
            "Pixels, not sections: what share of the predicted is right, what share of the true is found.",
        ),
        (
            lambda ax: plot_reliability(scores["calibration"], ax),
            "Is a probability of 0.7 right in 7 of 10 pixels? On the dashed line it is.",
        ),
    ]
    if size["n"]:
        drawn.append(
            (
                lambda ax: plot_bland_altman(size, unit, ax),
                "How far the measured diameter is from the true one, for each section found, with "
                "limits by size. Outliers beyond the axis stand at its edge, with their error.",
            )
        )
    figures = [
        f"<figure>{_svg(plot, caption)}<figcaption>{caption}</figcaption></figure>" for plot, caption in drawn
    ]
    return f'<h2>Curves</h2>\n<div class="figures">{"".join(figures)}</div>'


def _svg(plot: Callable[[Axes], Axes], caption: str) -> str:
    """One plot as an image element that holds its SVG."""
    ax, buffer = Figure(figsize=(5.6, 3.8), layout="constrained").subplots(), io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "report"}):  # same scores, same bytes
        plot(ax).figure.savefig(buffer, format="svg", metadata={"Date": None})
    alt = html.escape(f"{ax.get_title()}. {caption}")
    return f'<img alt="{alt}" src="{_data_uri("image/svg+xml", buffer.getvalue())}">'


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


# -------------------------------------------------------------------------------------------- the gallery
def _groups(cases: Sequence[Case]) -> list[Group]:
    """Headings, sentences and images of the gallery; no image twice."""
    positive = sorted((case for case in cases if case.record["n_sections"]), key=lambda c: c.record["dice"])
    worst, rest = positive[:N_CASES], positive[N_CASES:]
    best, rest = rest[-N_CASES:][::-1], rest[:-N_CASES]
    middle = max(0, len(rest) // 2 - N_CASES // 2)
    alarmed = [case for case in cases if not case.record["n_sections"] and case.record["n_false_positives"]]
    alarmed.sort(key=lambda case: -case.record["n_false_positives"])
    of_all = f"of {len(positive)} images with a stone, by Dice."
    groups = [
        ("Worst", f"The {len(worst)} worst {of_all}", worst),
        ("Median", f"From the middle {of_all}", rest[middle : middle + N_CASES]),
        ("Best", f"The {len(best)} best {of_all}", best),
        (
            "False alarms",
            f"The {len(alarmed[:N_CASES])} with the most false alarms of {len(alarmed)} images "
            "without a stone that have any.",
            alarmed[:N_CASES],
        ),
    ]
    return [group for group in groups if group[2]]


def _gallery(groups: Sequence[Group], packed: Mapping[int, Any]) -> str:
    if not groups:
        return "<h2>Cases</h2>\n<p>No image holds a stone or a false alarm: there is nothing to show.</p>"
    parts = [
        "<h2>Cases</h2>\n<p>Each picture is enlarged around a missed section, or else around the "
        "largest section or false alarm. Pixels are coloured one by one: where a false alarm touches a "
        'section, they have the colour of a hit. <span class="screen">Choose one to open it in the '
        "slider.</span></p>",
        f'<div class="legend">{legend_html(list(ERROR_KINDS.values()))}</div>',
    ]
    places = {index: place for place, index in enumerate(packed)}
    for heading, sentence, chosen in groups:
        tiles = "".join(_tile(case, places.get(case.index)) for case in chosen)
        parts.append(
            f'<section class="group"><h3>{heading}</h3>\n<p class="soft">{sentence}</p>\n'
            f'<ul class="tiles">{tiles}</ul></section>'
        )
    return "\n".join(parts)


def _focus(case: Case) -> tuple[float, float, int]:
    """Row, column and side of what a picture is enlarged around; the whole image if there is nothing."""
    sections, found = find_regions(case.target), match_stones(case.prediction, case.target).found
    missed = [section for section, hit in zip(sections, found, strict=True) if not hit]
    if regions := missed or sections or find_regions(false_alarms(case.prediction, case.target)):
        return max(regions, key=lambda region: region.side)
    height, width = case.target.shape
    return (height - 1) / 2, (width - 1) / 2, max(height, width)


def _picture(case: Case, row: float, column: float, side: float, size_px: int) -> str:
    """The image around a place, with hits, misses and false alarms, as the address of a JPEG."""
    zoom = float(np.clip(max(case.image.shape) / side / 6, 1, 8))
    settings = RenderSettings(
        case.threshold, case.min_pixels, zoom=zoom, centre=(row, column), size_px=size_px
    )
    buffer = io.BytesIO()
    picture = Image.fromarray(render(case.image, case.target, case.probability, settings))
    picture.save(buffer, "JPEG", quality=85, subsampling=0)
    return _data_uri("image/jpeg", buffer.getvalue())


def _words(case: Case) -> str:
    record = case.record
    n_alarms, n_sections, n_found = record["n_false_positives"], record["n_sections"], record["n_found"]
    words = "no stone"
    if n_sections:
        words = f"Dice {record['dice']:.3f}, {n_found} of {n_sections} sections found"
    return f"{words}, {n_alarms} false alarm{'' if n_alarms == 1 else 's'}"


def _tile(case: Case, place: int | None) -> str:
    name, words = html.escape(case.label), _words(case)
    source = _picture(case, *_focus(case), TILE_PX)
    inside = (
        f'<img alt="{name}: {words}" src="{source}" width="{TILE_PX}"><small><b>{words}</b><br>{name}</small>'
    )
    tag, more = ("div", "") if place is None else ("button", f' type="button" data-case="{place}"')
    return f'<li title="{html.escape(case.name)}"><{tag} class="tile"{more}>{inside}</{tag}></li>'


def _missed(cases: Sequence[Case], scores: Mapping[str, Any]) -> str:
    """Every missed section in the middle of a picture of its own."""
    missed = [
        (section, number)
        for _, sections in groupby(scores["per_section"], itemgetter("image"))
        for number, section in enumerate(sections, 1)
        if not section["found"]
    ]
    if not missed:
        return f"<h2>Missed sections</h2>\n<p>None of the {scores['n_sections']} sections is missed.</p>"
    missed.sort(key=lambda item: -item[0]["diameter"])
    n_touched = sum(section["touched"] for section, _ in missed)
    size_px = next(size for most, size in MISSED_TILE_PX if len(missed) <= most)
    tiles = "".join(
        _missed_tile(cases[section["image"]], section, number, size_px, scores["unit"])
        for section, number in missed
    )
    return (
        f"<h2>Missed sections</h2>\n<p>All {len(missed)} of {scores['n_sections']} sections that no "
        "predicted region of their own overlaps enough, the largest first. "
        f"{n_touched} of them are touched. A highest probability near the threshold means that the "
        "network was undecided; near 0, that it is blind there."
        f"{'' if size_px == TILE_PX else ' Below each: its size, and that probability.'}</p>\n"
        f'<ul class="tiles{"" if size_px == TILE_PX else " small"}">{tiles}</ul>'
    )


def _missed_tile(case: Case, section: Mapping[str, Any], number: int, size_px: int, unit: str) -> str:
    this = label_stones(case.target)[0] == number
    source = _picture(case, *find_regions(this)[0], size_px)
    highest = float(case.probability[this].max())
    words = f"{section['diameter']:.1f} {unit}, highest probability {highest:.2f}"
    name = html.escape(case.label)
    shown = f"<b>{words}</b><br>{name}"
    if size_px < TILE_PX:  # no room for sentences; the full name is in the tooltip
        shown = f"<b>{section['diameter']:.1f} {unit}, {highest:.2f}</b><br>image {case.index + 1}"
    inside = (
        f'<img alt="Missed section in {name}: {words}" src="{source}" width="{size_px}">'
        f"<small>{shown}</small>"
    )
    return f'<li title="{html.escape(case.name)}"><div class="tile">{inside}</div></li>'


# --------------------------------------------------------------------------------------------- the slider
def _thresholds(groups: Sequence[Group]) -> list[float]:
    """The positions of the slider: every hundredth, and the thresholds that the images were scored at."""
    return sorted(
        {
            *(step / 100 for step in range(1, 100)),
            *(case.threshold for _, _, chosen in groups for case in chosen),
        }
    )


def _packed(groups: Sequence[Group], thresholds: Sequence[float]) -> dict[int, dict[str, Any]]:
    """What the slider needs of each image, by index, as far as the pictures together stay small enough.

    Where they do not, each group keeps its first ones.
    """
    packed: dict[int, dict[str, Any]] = {}
    n_bytes = 0
    for rank, (heading, _, chosen) in product(range(N_CASES), groups):
        for case in chosen[rank : rank + 1]:
            png, (top, left) = _pack(case, thresholds)
            n_bytes += len(png)
            if n_bytes <= SLIDER_BYTES or not packed:
                row, column, _ = _focus(case)
                packed[case.index] = {
                    "name": f"{heading}, {case.label}",
                    "png": png,
                    "focus": [row - top, column - left],
                    "start": thresholds.index(case.threshold),
                    **_numbers(case, thresholds),
                }
    return {
        case.index: packed[case.index] for _, _, chosen in groups for case in chosen if case.index in packed
    }


def _numbers(case: Case, thresholds: Sequence[float]) -> dict[str, Any]:
    """The scores of an image at each position of the slider; a Dice of None says that there is none."""
    counts = threshold_counts(case.probability, case.target, thresholds, case.min_pixels)
    dice = divided(*overlap_ratios(counts.tp, counts.fp, counts.fn)["dice"]).tolist()
    return {
        "n_sections": counts.n_sections,
        "n_found": counts.found.tolist(),
        "n_alarms": counts.false.tolist(),
        "dice": [None if math.isnan(value) else value for value in dice],
    }


def _pack(case: Case, thresholds: Sequence[float]) -> tuple[str, tuple[int, int]]:
    """One PNG: grey value, number of thresholds it is predicted at, truth; and where its corner lies."""
    window, corner = (slice(None), slice(None)), (0, 0)
    if max(case.image.shape) > WHOLE_UP_TO:
        window = _needed(case.target | (case.probability >= thresholds[0]))
        corner = window[0].start, window[1].start
    reached = _reached(case.probability[window], thresholds, case.min_pixels)
    channels = [channel.astype(np.uint8) for channel in (case.image[window], reached, case.target[window])]
    buffer = io.BytesIO()
    Image.fromarray(np.stack(channels, axis=2)).save(buffer, "PNG", compress_level=9)
    return _data_uri("image/png", buffer.getvalue()), corner


def _reached(probability: np.ndarray, thresholds: Sequence[float], min_pixels: int) -> np.ndarray:
    """At how many thresholds each pixel is stone: all up to one, for a region only grows as they fall."""
    if min_pixels > 1:
        return np.sum([predicted_mask(probability, step, min_pixels) for step in thresholds], axis=0)
    steps = np.asarray(thresholds, probability.dtype)  # rounded as in `probability >= threshold`
    return np.searchsorted(steps, probability, side="right")


def _needed(mask: np.ndarray, margin_px: int = 32, smallest_px: int = 256) -> tuple[slice, slice]:
    """The box of a mask (H, W) with a margin; outside of it no threshold changes anything."""
    window = []
    for axis, length in enumerate(mask.shape):
        places = np.flatnonzero(mask.any(1 - axis))
        low, high = (places[0], places[-1] + 1) if places.size else (length // 2, length // 2)
        grow = max(margin_px, (smallest_px - (high - low) + 1) // 2)
        window.append(slice(max(0, int(low) - grow), min(length, int(high) + grow)))
    return window[0], window[1]


def _viewer(packed: Mapping[int, Any], thresholds: Sequence[float]) -> str:
    if not packed:
        return ""
    legend, highest = legend_html(list(ERROR_KINDS.values())), len(thresholds) - 1
    return f"""<section class="screen" id="viewer">
<h2>Move the threshold yourself</h2>
<noscript><p>The slider needs JavaScript; everything else on this page does not.</p></noscript>
<p>Lower thresholds find more and invent more, until regions grow together. The scores above hold for the
threshold of the evaluation alone. Large images are cut down to where the network sees anything, and are left
out where the page would get too large.</p>
<div class="viewer">
<canvas id="picture" role="img" width="576" height="576"></canvas>
<div class="controls">
<div class="live" id="live" role="status"></div>
<label for="case">image</label><select id="case"></select>
<label for="threshold">threshold <output id="threshold-value"></output></label>
<input type="range" id="threshold" min="0" max="{highest}" step="1">
<label for="zoom">zoom <output id="zoom-value"></output></label>
<input type="range" id="zoom" min="1" max="8" step="0.5" value="1">
<p><button type="button" id="reset">back to the threshold of the evaluation</button></p>
<div class="legend">{legend}</div>
</div>
</div>
</section>"""
