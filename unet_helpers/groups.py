"""Which images belong to one exam, one source or one patient, read from their names and from groups.csv."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

__all__ = ["exam_names", "join_groups", "read_groups_csv"]

# Philips UID of the Kaggle stems: prefix, then the time of acquisition as seconds (11 digits) and fraction
EXAM_SECONDS = re.compile(r"^1-3-46-670589-33-1-(\d{11})\d*-")
EXAM_GAP_SECONDS = 60


def exam_names(stems: Iterable[str]) -> dict[str, str]:
    """Exam of every stem that holds a time stamp: acquisitions at most 60 s apart belong together."""
    seconds = {s: int(match[1]) for s in stems if (match := EXAM_SECONDS.match(PurePosixPath(s).name))}
    names, first, previous = {}, 0, -EXAM_GAP_SECONDS - 1
    for stem, second in sorted(seconds.items(), key=lambda item: (item[1], item[0])):
        first = second if second - previous > EXAM_GAP_SECONDS else first
        names[stem], previous = f"exam-{first}", second
    return names


def read_groups_csv(path: Path) -> dict[str, str]:
    """Group of each stem that a groups.csv lists; empty if there is no such file.

    The columns `stem` and `group` may be separated by commas or semicolons, as spreadsheets write them.

    Raises:
        ValueError: If a column is missing or the file is not UTF-8 text.
    """
    if not path.is_file():
        return {}
    try:
        text = unicodedata.normalize("NFC", path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be UTF-8 text, got other bytes. Save it as \"CSV UTF-8\".") from error
    header = text.partition("\n")[0].strip()
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=";" if ";" in header else ",")
    if not {"stem", "group"} <= set(rows.fieldnames or ()):
        raise ValueError(f"{path} must have the columns stem,group, got {header!r}.")
    return {row["stem"].strip(): row["group"].strip() for row in rows if row["stem"] and row["group"]}


def join_groups(stems: Iterable[str], listed: Mapping[str, str]) -> dict[str, str]:
    """Group of each stem: exam by time stamp, else Roboflow source, joined with what groups.csv lists.

    A row of groups.csv can join what the names hold together with more, never tear it apart.

    Args:
        stems: Stems of all images of the data set, with their sub-folder if they have one.
        listed: Rows of groups.csv by stem.

    Returns:
        Group by stem; stems of which nothing is known are absent.
    """
    stems = sorted(stems)
    exams = exam_names(stems)
    parent: dict[str, str] = {}

    def root(label: str) -> str:
        while label in parent:
            label = parent[label]
        return label

    groups = {}
    for stem in stems:
        name = PurePosixPath(stem).name
        labels = [listed.get(stem), exams.get(stem) or (name.split(".rf.")[0] if ".rf." in name else None)]
        known = [label for label in labels if label]
        if len(known) == 2 and root(known[0]) != root(known[1]):
            parent[root(known[1])] = root(known[0])
        if known:
            groups[stem] = known[0]
    return {stem: root(label) for stem, label in groups.items()}
