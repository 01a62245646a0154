"""Which images belong to one exam, source or patient: from their names, their folders and groups.csv."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = [
    "GroupRows",
    "exam_names",
    "folder_names",
    "join_groups",
    "match_rows",
    "named_groups",
    "read_groups_csv",
    "spellings",
]

# Philips UID of the Kaggle stems: prefix, then the time of acquisition as seconds (11 digits) and fraction
EXAM_SECONDS = re.compile(r"^1-3-46-670589-33-1-(\d{11})\d*-")
EXAM_GAP_SECONDS = 60
# folders that tell what is in them, not whose it is
NO_PATIENT = set(
    "train training val valid validation test testing image images mask masks label labels "
    "stone stones normal positive negative".split()
)
Rows = list[tuple[str, str]]  # stem and group
Spelled = dict[str, list[tuple[int, str]]]  # kind of spelling and image, by spelling
PATH, NAME, FOLDER = range(3)  # what a row of groups.csv names, the most exact first


@dataclass(frozen=True)
class GroupRows:
    """What the rows of groups.csv say.

    Attributes:
        groups: Groups of each image that a row names; more than one if rows contradict each other.
        without_image: Rows that match no image, and rows that name no stem or no group.
        in_two_groups: Images that rows put into different groups, with these.
        in_other_case: Rows that match only if capitals do not count.
    """

    groups: dict[str, list[str]]
    without_image: list[str]
    in_two_groups: list[str]
    in_other_case: list[str]


def exam_names(stems: Iterable[str]) -> dict[str, str]:
    """Exam of every stem that holds a time stamp: acquisitions at most 60 s apart belong together."""
    seconds = {s: int(match[1]) for s in stems if (match := EXAM_SECONDS.match(PurePosixPath(s).name))}
    names, first, previous = {}, 0, -EXAM_GAP_SECONDS - 1
    for stem, second in sorted(seconds.items(), key=lambda item: (item[1], item[0])):
        first = second if second - previous > EXAM_GAP_SECONDS else first
        names[stem], previous = f"exam-{first}", second
    return names


def named_groups(stems: Iterable[str]) -> dict[str, str]:
    """Group that a stem names itself: the exam by time stamp, else the Roboflow source."""
    sources = {stem: PurePosixPath(stem).name.split(".rf.")[0] for stem in stems if ".rf." in stem}
    return {stem: name for stem, name in sources.items() if name} | exam_names(stems)


def folder_names(stems: Iterable[str], always: bool = False) -> dict[str, str]:
    """Folder of each stem, where a folder is a patient: the stems repeat from folder to folder.

    Of nested folders, the highest level with at least three of them counts. Folders called train, test,
    images, masks and the like are nobody's.

    Args:
        stems: Stems with their sub-folders, separated by /.
        always: Whether the folder counts even if no stem repeats.

    Returns:
        Folder by stem; stems outside any folder are absent. Empty if the folders are no patients.
    """
    parts = {
        stem: tuple(part for part in PurePosixPath(stem).parts[:-1] if part.lower() not in NO_PATIENT)
        for stem in stems
    }
    levels = range(1, 1 + max(map(len, parts.values()), default=0))
    numbers = {level: len({inside[:level] for inside in parts.values() if inside}) for level in levels}
    level = next((level for n in (3, 2, 1) for level in levels if numbers[level] >= n), 0)
    folders = {stem: "/".join(inside[:level]) for stem, inside in parts.items() if inside}
    places = defaultdict(set)
    for stem, folder in folders.items():
        places[PurePosixPath(stem).name].add(folder)
    return folders if always or any(len(place) > 1 for place in places.values()) else {}


def read_groups_csv(path: Path) -> Rows:
    """Rows (stem, group) of a groups.csv, without the empty ones; none if there is no such file.

    The columns `stem` and `group` may be separated by commas or semicolons, as spreadsheets write them.

    Raises:
        ValueError: If a column is missing or the file is not UTF-8 text.
    """
    if not path.is_file():
        return []
    try:
        text = unicodedata.normalize("NFC", path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} must be UTF-8 text, got other bytes. Save it as "CSV UTF-8".') from error
    header = text.partition("\n")[0].strip()
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=";" if ";" in header else ",")
    if not {"stem", "group"} <= set(rows.fieldnames or ()):
        raise ValueError(f"{path} must have the columns stem,group, got {header!r}.")
    pairs = [((row["stem"] or "").strip(), (row["group"] or "").strip()) for row in rows]
    return [pair for pair in pairs if any(pair)]


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).replace("\\", "/").removeprefix("./")


def spellings(paths: Iterable[str]) -> dict[str, int]:
    """How a row of groups.csv may call an image.

    Args:
        paths: Path of the image, seen from the folder of groups.csv and perhaps from other folders.

    Returns:
        `PATH`, `NAME` or `FOLDER` by spelling: the path or the name, each with and without suffix, and the
        folders that it lies in, with a / at the end.
    """
    found: dict[str, int] = {}
    for path in map(PurePosixPath, map(_plain, paths)):
        found |= {f"{folder}/": FOLDER for folder in path.parents if folder.name}
        for kind, names in ((NAME, (path.name, path.stem)), (PATH, (str(path), str(path.with_suffix(""))))):
            for name in names:
                found[name] = min(kind, found.get(name, kind))
    return found


def match_rows(tables: Iterable[tuple[Rows, Mapping[str, Mapping[str, int]]]]) -> GroupRows:
    """Find the images that the rows of groups.csv mean.

    A row with a path counts before one with a name, and this before one with a folder; what is left of
    contradictions puts an image into several groups.

    Args:
        tables: For each groups.csv its rows, and the spellings of each image that it may name.
    """
    hits: dict[str, list[tuple[int, str]]] = defaultdict(list)  # kind of row and group, by image
    without_image: list[str] = []
    in_other_case: list[str] = []
    for rows, images in tables:
        exact: Spelled = defaultdict(list)
        folded: Spelled = defaultdict(list)
        for image, kinds in images.items():
            for name, kind in kinds.items():
                exact[name].append((kind, image))
                folded[name.casefold()].append((kind, image))
        for text, group in rows:
            row = _plain(text)
            if not text or not group:
                without_image.append(f"{text} without a group" if text else f"group {group} without a stem")
                continue
            found = exact.get(row) or exact.get(f"{row}/")
            if not found:
                found = folded.get(row.casefold()) or folded.get(f"{row}/".casefold()) or []
                (in_other_case if found else without_image).append(text)
            for kind, image in found:
                hits[image].append((kind, group))
    groups = {
        image: list(dict.fromkeys(group for kind, group in pairs if kind == min(pairs)[0]))
        for image, pairs in hits.items()
    }
    twice = [f"{image} ({', '.join(labels)})" for image, labels in sorted(groups.items()) if len(labels) > 1]
    return GroupRows(groups, without_image, twice, in_other_case)


def join_groups(stems: Iterable[str], *sources: Mapping[str, str | Sequence[str]]) -> dict[str, str]:
    """Group of each stem when several sources name one: what any of them holds together stays together.

    Args:
        stems: Stems of all images of the data set, with their sub-folder if they have one.
        *sources: Label, or list of labels, by stem; the first source gives the groups their names.

    Returns:
        Group by stem; stems of which nothing is known are absent.
    """
    parent: dict[str, str] = {}

    def root(label: str) -> str:
        while label in parent:
            parent[label] = parent.get(parent[label], parent[label])  # a shorter way for the next one
            label = parent[label]
        return label

    groups = {}
    for stem in sorted(stems):
        found = [source[stem] for source in sources if stem in source]
        known = [label for labels in found for label in ([labels] if isinstance(labels, str) else labels)]
        for other in known[1:]:
            if root(known[0]) != root(other):
                parent[root(other)] = root(known[0])
        if known:
            groups[stem] = known[0]
    return {stem: root(label) for stem, label in groups.items()}
