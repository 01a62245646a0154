"""docs/errors.md: each of its rows is made here, and says what stands there.

A case is a function that gets an empty folder and does what goes wrong, in a `CASES` of a file errors_*.py.
"""

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TABLES = (HERE.parent / "docs/errors.md").read_text("utf-8")
ROWS = re.findall(r"^\| `(.+?)` \| (.+) \| (.+) \|$", TABLES, re.MULTILINE)
CASES: dict[str, Callable[[Path], object]] = {
    sentence: case
    for path in sorted(HERE.glob("errors_*.py"))
    for sentence, case in import_module(path.stem).CASES.items()
}


def test_every_row_has_a_case_and_every_case_a_row():
    sentences = [sentence for sentence, *_ in ROWS]
    assert len(sentences) == len(set(sentences)) and set(sentences) == set(CASES)


@pytest.mark.parametrize("sentence", [sentence for sentence, *_ in ROWS])
def test_the_sentence_is_said(sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    expected = ".*".join(map(re.escape, sentence.split("…")))
    with pytest.raises((ValueError, OSError, RuntimeError)) as caught:
        CASES[sentence](tmp_path)
    assert re.fullmatch(expected, str(caught.value)), str(caught.value)
