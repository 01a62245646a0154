"""The rules of a lesson's words: terms and the glossary, links, spelling, phrases that nobody would say."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from lesson_book import ROOT, Lesson, prose

LABELS = re.compile(r"Think\.|Exercise \d+\.|What you will learn|What it needs from before:|Next:")
BOLD = re.compile(r"\*\*(?!\s)(.+?)(?<!\s)\*\*", re.DOTALL)
PHRASES = {  # what nobody would say, or what does not belong into a lesson; see the left column of voice.md
    r"\bmend(s|ed|ing)?\b": "say fix",
    r"\bchalk\b": "say calcium deposits",
    r"\bsew(n|s|ed|ing)?\b": "say stitch",
    r"\bwitness": "say it plainly",
    r"wall of numbers": "show the four rows that answer the question",
    r"of equal ones": "say: if several tie",
    r"in your hands": "say: now it is your turn",
    r"adds? up in another order": "say: the sums run in a different order",
    r"answer to a small move": "say: when you nudged a slider, the loss changed a little",
    r"learns what its data shows, mistakes included": "open with a person and a stake",
    r"!\s*!": "no exclamation marks in rows",
    r"phantom'?s? (version|v)\s*\d|version \d of the phantom|\bv[123] phantom": "no history in a lesson",
}
SPELLED = "mor,fo,ans"  # words of ours that codespell takes for slips


@dataclass(frozen=True)
class Term:
    """A row of the glossary."""

    lesson: int
    forms: tuple[str, ...]
    section: int
    everyday: bool  # plain English uses the word too, so only its bold print is tested

    def found_in(self, text: str) -> re.Match[str] | None:
        for form in self.forms:
            flags = 0 if form.isupper() else re.IGNORECASE
            match = re.search(rf"(?<![\w-]){re.escape(form)}(?:e?s)?(?![\w-])", text, flags)
            if match:
                return match
        return None


def read_glossary(text: str) -> list[Term]:
    """The rows of a glossary: | lesson | term | section | in one line |.

    Raises:
        ValueError: If a row has other cells than these.
    """
    terms = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|") or cells[0] == "lesson" or set(line) <= set("|-: "):
            continue
        if len(cells) != 4 or not cells[0].isdigit() or not cells[2].isdigit() or not all(cells):
            raise ValueError(f"a row must be | lesson | term | section | in one line |, got {line!r}.")
        everyday = cells[1].endswith("(word)")
        forms = tuple(form.strip() for form in cells[1].removesuffix("(word)").split(" / "))
        terms.append(Term(int(cells[0]), forms, int(cells[2]), everyday))
    return terms


@cache
def glossary() -> list[Term]:
    return read_glossary((ROOT / "notebooks" / "glossary.md").read_text("utf-8"))


def bold_phrases(text: str) -> Iterator[tuple[int, str]]:
    """Where a text prints a term in bold, and which; labels and whole sentences are none."""
    for match in BOLD.finditer(text):
        phrase = " ".join(match[1].split())
        sentence = phrase[-1] in ".:?" or len(phrase.split()) >= 5
        if not LABELS.fullmatch(phrase) and not sentence:
            yield match.start(), phrase


def term_of(phrase: str, terms: list[Term]) -> Term | None:
    """The row that a bold phrase belongs to."""
    for term in terms:
        for form in term.forms:
            if phrase.casefold() in {form.casefold(), f"{form}s".casefold(), f"{form}es".casefold()}:
                return term
    return None


def terms_in_bold(lesson: Lesson) -> Iterator[str]:
    """Bold is for terms of the glossary: once, in the section that the glossary names."""
    seen: set[Term] = set()
    number = 0
    for section in lesson.sections:
        number = section.number if section.number is not None else number if number == 0 else 99
        for piece in section.pieces:
            if piece.kind != "markdown":
                continue
            for _, phrase in bold_phrases(prose(piece.source)):
                term = term_of(phrase, glossary())
                if term is None:
                    yield f"'{phrase}' is bold and not in the glossary (emphasis is italic)"
                elif term in seen or term.lesson < lesson.number:
                    yield f"'{phrase}' is bold again; it was explained before"
                elif (term.lesson, term.section) != (lesson.number, number):
                    yield f"'{phrase}' is bold in section {number}, and the glossary says otherwise"
                if term is not None:
                    seen.add(term)
    for term in glossary():
        if term.lesson == lesson.number and term not in seen:
            yield f"'{term.forms[0]}' is in the glossary, and never bold"


def spoken(lesson: Lesson, own_section: int | None = None) -> str:
    """All prose of a lesson without the places where a coming term may stand: the title, what will be learnt,
    the way on, and the heading of the term's own section."""
    texts = []
    for section in lesson.sections:
        for piece in section.pieces:
            if piece.kind != "markdown":
                continue
            text = re.sub(r"^# .*$", "", piece.source, flags=re.MULTILINE)
            text = re.sub(r"\*\*What you will learn\*\*\n\n(?:- .*\n?)+", "", text)
            text = re.sub(r"^\*\*Next:\*\*.*$", "", text, flags=re.MULTILINE)
            if own_section is not None and section.number == own_section:
                text = re.sub(r"^## .*$", "", text, flags=re.MULTILINE)
            texts.append(prose(text))
    return "\n\n".join(texts)


def terms_in_order(lesson: Lesson) -> Iterator[str]:
    """No term is used before it is explained, in this lesson or by a later one."""
    for term in glossary():
        if term.everyday or term.lesson < lesson.number:
            continue
        text = spoken(lesson, term.section if term.lesson == lesson.number else None)
        if term.lesson == lesson.number:
            bold = (place for place, phrase in bold_phrases(text) if term_of(phrase, [term]))
            text = text[: next(bold, 0)]
        match = term.found_in(text)
        if match:
            around = " ".join(text[max(0, match.start() - 30) : match.end() + 20].split())
            yield f"'{match[0]}' is used before lesson {term.lesson}, section {term.section}: ...{around}..."


# ------------------------------------------------------------------------------------------ the rest
def links(lesson: Lesson) -> Iterator[str]:
    """Links lead to files that are there, and to headings that are there; others are https."""
    for cell in lesson.markdown:
        for target in re.findall(r"\]\(([^)\s]*)\)", cell.source):
            path, _, anchor = target.partition("#")
            if target.startswith(("https://", "attachment:")):
                continue
            place = lesson.folder / path
            if not target or (path and not place.exists()):
                yield f"cell {cell.id} links to '{target}', which is not there"
            elif anchor and not path and anchor not in _anchors(lesson):
                yield f"cell {cell.id} links to '#{anchor}', and no heading is called so"


def _anchors(lesson: Lesson) -> set[str]:
    text = "\n".join(cell.source for cell in lesson.markdown)
    return {
        heading.strip().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    }


def spelling(lesson: Lesson) -> Iterator[str]:
    """codespell knows no slip in text and code."""
    import codespell_lib

    with TemporaryDirectory() as folder:
        path = Path(folder) / "lesson.txt"
        path.write_text("\n\n".join(cell.source for cell in lesson.cells), "utf-8")
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
            codespell_lib.main(f"--ignore-words-list={SPELLED}", str(path))
    for line in said.getvalue().splitlines():
        if "==>" in line:
            yield line.partition("lesson.txt:")[2] or line


def phrases(lesson: Lesson) -> Iterator[str]:
    """Nothing that a teacher would not say aloud."""
    for cell in lesson.cells:
        for pattern, advice in PHRASES.items():
            match = re.search(pattern, cell.source, re.IGNORECASE)
            if match:
                yield f"cell {cell.id}: '{' '.join(match[0].split())}': {advice}"


RULES = [terms_in_bold, terms_in_order, links, spelling, phrases]
