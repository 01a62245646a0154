"""What the inspector says beside its picture."""

import numpy as np

from unet_helpers.pictures.styles import STYLES
from unet_helpers.pictures.words import legend_html, score_html, sections_html
from unet_helpers.scores.records import score_image

TARGET, PREDICTION = np.zeros((8, 8), bool), np.zeros((8, 8), bool)  # a hit, a miss, a false alarm
TARGET[1, 1] = TARGET[6, 6] = True
PREDICTION[1, 1] = PREDICTION[1, 6] = True


def test_live_line_says_it_in_words():
    score = score_image(PREDICTION, TARGET, (1.0, 4.0))
    line = score_html(score, "image 1 of 2: a<b>")
    for words in ("image 1 of 2: a&lt;b&gt;", "Dice <b>0.500", "IoU <b>0.333", "<b>1 of 2</b>"):
        assert words in line
    assert "missed <b>1</b>" in line and "false alarms <b>1</b>" in line
    assert "sections found <b>1 of 2</b>" in line
    assert "section 1: 2.3 mm, predicted 2.3 mm" in sections_html(score, "mm")
    assert "section 2: 2.3 mm, missed" in sections_html(score, "mm")
    everything = score_image(np.ones((8, 8), bool), TARGET)
    assert "found <b>0 of 2</b>" in score_html(everything, "") and "alarms <b>1" in score_html(everything, "")
    assert "section 2: 1.1 px, touched, but missed" in sections_html(everything, "px")
    nothing = score_image(np.zeros((4, 4), bool), np.zeros((4, 4), bool))
    assert "Dice <b>none</b>" in score_html(nothing, "") and "no stone" in sections_html(nothing, "px")


def test_legend_names_every_colour_and_pattern():
    legend = legend_html()
    for style in STYLES.values():
        assert f"{style.width_px}px {style.line} {style.hex}" in legend and style.label in legend
