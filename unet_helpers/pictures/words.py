"""What stands beside the picture of the inspector, as HTML: the legend and the scores in words."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from unet_helpers.pictures.rendering import HEAT_COLOURS
from unet_helpers.pictures.styles import ERROR_KINDS, STYLES, Style
from unet_helpers.scores.records import ImageScores, image_record

__all__ = ["legend_html", "score_html", "sections_html"]


def _lines(lines: Sequence[str], height: float = 1.5) -> str:
    return f'<div style="line-height:{height}">{"".join(f"<div>{line}</div>" for line in lines)}</div>'


def _swatch(style: Style, filled: bool) -> str:
    fill = "rgba({}, {}, {}, {})".format(*style.colour, 0.35 if filled else 0)
    box = "display:inline-block;width:2.2em;height:1.2em;margin-right:0.6em;box-sizing:border-box"
    look = f"{box};vertical-align:-0.2em;background:linear-gradient({fill}, {fill}), #444"  # grey as a CT
    return f'<span style="{look};border:{style.width_px}px {style.line} {style.hex}"></span>{style.label}'


def legend_html() -> str:
    """Return the legend: colours and outline patterns, and the heat map's scale."""
    colours = ", ".join("rgb({}, {}, {})".format(*colour) for colour in HEAT_COLOURS)
    bar = "display:inline-block;width:5em;height:0.8em;margin:0 0.4em"
    bar += f";background:linear-gradient(to right, {colours})"
    swatches = [_swatch(style, kind in ERROR_KINDS.values()) for kind, style in STYLES.items()]
    return _lines([*swatches, f'probability 0<span style="{bar}"></span>1'], 1.6)


def score_html(score: ImageScores, title: str) -> str:
    """Return the live line as HTML; it always has the same height, so that no slider jumps away under a hand.

    Args:
        score: Of the shown image.
        title: First line, plain text; cut off where it is too long.
    """
    record, plain = image_record(score), html.escape(title)
    n_sections, n_found, n_alarms = (record[f"n_{what}"] for what in ("sections", "found", "false_positives"))
    one_line = "width:0;min-width:100%;overflow:hidden;text-overflow:ellipsis;white-space:nowrap"
    overlap, union = (
        "none" if math.isnan(value) else f"{value:.3f}" for value in (record["dice"], record["iou"])
    )
    return _lines(
        [
            f'<div style="{one_line};font-weight:bold" title="{plain}">{plain}</div>',
            f"Dice <b>{overlap}</b> &nbsp; IoU <b>{union}</b>",
            f"sections found <b>{n_found} of {n_sections}</b>, missed <b>{n_sections - n_found}</b>",
            f"false alarms <b>{n_alarms}</b>",
        ]
    )


def sections_html(score: ImageScores, unit: str) -> str:
    """Return one line a true section, its size and what became of it, as HTML.

    Args:
        score: Of the shown image.
        unit: "mm" or "px", the unit of its diameters.
    """
    fates = [
        f"predicted {predicted:.1f} {unit}" if predicted else "touched, but missed" if touched else "missed"
        for predicted, touched in zip(score.predicted_diameters, score.match.touched, strict=True)
    ]
    lines = [
        f"section {i + 1}: {true:.1f} {unit}, {fate}"
        for i, (true, fate) in enumerate(zip(score.diameters, fates, strict=True))
    ]
    return _lines(["<b>diameters</b>", *lines] if lines else ["no stone in this image"])
