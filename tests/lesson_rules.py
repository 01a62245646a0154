"""The rules of a lesson's form. Each takes a lesson and returns what is wrong with it, in words.

An author runs them on one lesson: `python tests/lesson_rules.py notebooks/01_dataset.ipynb`.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from lesson_book import Lesson, Section, code_lines, count_words, output_text, prose, read_lesson  # noqa: E402

Rule = Callable[[Lesson], Iterator[str]]

WIDGET = "application/vnd.jupyter.widget-view+json"
CLOSING = ("Main takeaways", "Common pitfalls")
TIMES = "| reading and trying | running the cells, laptop with 2 CPU cores | running the cells, Colab GPU |"
N_CELLS, N_WORDS, N_MINUTES = range(35, 51), 3000, 60
LONGEST_CELL, MEDIAN_CELL, WIDEST_LINE, WORDS_PER_LINE = 15, 8, 88, 10
LONGEST_PLUMBING, WIDEST_PLUMBING = 30, 110
OUTPUT_BYTES = 300_000
CHOICE = (  # of the data, where a lesson opens it; lesson 6 has a line of its own
    '# Other data? Take the "# " away, or name a folder or a zip in place of kaggle:\n'
    "# %env UNET_DATA=kaggle\n"
)
OPENS_DATA = re.compile(r"meet_hero\(\)|open_dataset\(\)")
SAW = "*What you just saw:*"
PLUMBING = re.compile(r"BytesIO|\bipywidgets\b|IPython\.display|\.observe\(")


# ------------------------------------------------------------------------------------------ the frame
def opening(lesson: Lesson) -> Iterator[str]:
    """Title, Colab line, what it teaches, how long it takes, what it needs; then the two set-up cells."""
    before = []
    for cell in lesson.cells:
        if cell.kind == "code":
            break
        before.append(cell)
    sources = [cell.source for cell in before]
    if not sources or not sources[0].startswith(f"# Lesson {lesson.number}: "):
        yield f"the first cell must be the title '# Lesson {lesson.number}: ...'"
    if len(sources) < 2 or "<!-- colab " not in sources[1]:
        yield "the second cell must be the marked Colab line"
    text = "\n\n".join(sources[2:])
    if not prose(text.partition("**What you will learn**")[0]).strip():
        yield "a story must open the lesson, before what you will learn"
    bullets = re.search(r"\*\*What you will learn\*\*\n\n((?:- .*\n?)+)", text)
    if bullets is None or not 3 <= len(bullets[1].strip().splitlines()) <= 6:
        yield "'**What you will learn**' must stand before a list of 3 to 6 points"
    if header_minutes(lesson) is None:
        yield f"the table of times must begin with the line '{TIMES}', and its row with '| N min |'"
    if "**What it needs from before:** " not in text:
        yield "'**What it needs from before:** ...' is missing"
    if "## Set-up" not in text:
        yield "'## Set-up (about N min)' must stand before the set-up cells"
    first = [cell.tags for cell in lesson.cells if cell.kind == "code"][:2]
    if [wanted in tags for wanted, tags in zip(("plumbing", "setup"), first, strict=False)] != [True, True]:
        yield "the first two code cells must be the plumbing and the set-up cell"


def header_minutes(lesson: Lesson) -> int | None:
    text = "\n".join(cell.source for cell in lesson.markdown)
    row = re.search(re.escape(TIMES) + r"\n\|[-| :]+\|\n\| *(\d+) min *\|", text)
    return int(row[1]) if row else None


def closing(lesson: Lesson) -> Iterator[str]:
    """Takeaways, pitfalls, progress and the way on."""
    titles = [section.title for section in lesson.sections]
    if titles[-2:] != list(CLOSING):
        yield f"the last sections must be {' and '.join(CLOSING)}"
    last = lesson.markdown[-1].source if lesson.markdown else ""
    if "| symptom | probe | fix |" not in last:
        yield "Common pitfalls must be a table '| symptom | probe | fix |'"
    if not re.search(r"^\*\*Next:\*\* \[", last, flags=re.MULTILINE):
        yield "the last cell must say '**Next:** [...](...)'"
    if not any(f"my_progress({lesson.number})" in cell.source for cell in lesson.code):
        yield f"a cell must show my_progress({lesson.number})"


def minutes(lesson: Lesson) -> Iterator[str]:
    """The headings' minutes add up to the header's."""
    total, header = 0, header_minutes(lesson)
    for section in lesson.sections[1:]:
        if section.title in CLOSING:
            continue
        if section.minutes is None:
            yield f"the heading '{section.title}' must say '(about N min)'"
        total += section.minutes or 0
    if total != header:
        yield f"the headings' minutes add up to {total}, and the header says {header}"
    if header is not None and header > N_MINUTES:
        yield f"a lesson takes at most {N_MINUTES} min, and the header says {header}"


def sections(lesson: Lesson) -> Iterator[str]:
    """Numbered 1, 2, 3, ...; each opens with a question and closes with what was seen."""
    numbered = [section for section in lesson.sections[1:] if section.number is not None]
    numbers = [section.number for section in numbered]
    if not numbers or numbers != list(range(1, len(numbers) + 1)):
        yield f"the sections must be numbered 1, 2, 3, ..., and they are {numbers}"
    for section in lesson.sections[1:]:
        if section.number is None and section.title not in (*CLOSING, "Set-up"):
            yield f"the section '{section.title}' has no number"
    for section in numbered:
        yield from _one_section(section)


def _one_section(section: Section) -> Iterator[str]:
    texts = [piece.source for piece in section.pieces if piece.kind == "markdown"]
    paragraphs = [one for one in texts[0].split("\n\n") if one.strip()]
    if "?" not in section.title + "".join(paragraphs[1:2]):
        yield f"section {section.number} must open with a question, in its heading or its first paragraph"
    if sum(text.count(SAW) for text in texts) != 1 or SAW not in texts[-1]:
        yield f"section {section.number} must close with one '{SAW}', in its last Markdown cell"


# ------------------------------------------------------------------------------------------- numbers
def numbers(lesson: Lesson) -> Iterator[str]:
    """Cells, words, lines: within the storyboard's numbers."""
    n_cells = sum("plumbing" not in cell.tags for cell in lesson.cells)  # which nobody reads
    if n_cells not in N_CELLS:
        yield f"a lesson has {N_CELLS[0]} to {N_CELLS[-1]} cells, this one {n_cells}"
    n_words = sum(count_words(cell.source) for cell in lesson.markdown)
    if n_words > N_WORDS:
        yield f"a lesson has at most {N_WORDS} words, this one {n_words}"
    lengths = [len(cell.source.splitlines()) for cell in lesson.code]
    if lengths and statistics.median(lengths) > MEDIAN_CELL:
        yield f"code cells have {MEDIAN_CELL} lines at the median, here {statistics.median(lengths)}"
    yield from lines(lesson)


def lines(lesson: Lesson) -> Iterator[str]:
    """No cell is too long, no line too wide for a narrow page; GitHub shows the plumbing, too."""
    for cell in lesson.cells:
        if "plumbing" in cell.tags:
            own = cell.source.splitlines()
            if len(own) > LONGEST_PLUMBING or max(map(len, own)) > WIDEST_PLUMBING:
                yield f"the plumbing has more than {LONGEST_PLUMBING} lines or {WIDEST_PLUMBING} columns"
    for cell in lesson.code:
        own = cell.source.replace(CHOICE, "").splitlines()
        if len(own) > LONGEST_CELL:
            yield f"cell {cell.id} has {len(own)} lines; at most {LONGEST_CELL}"
        widest = max(map(len, own), default=0)
        if widest > WIDEST_LINE:
            yield f"cell {cell.id} has a line of {widest} columns; at most {WIDEST_LINE}"


def choice_of_data(lesson: Lesson) -> Iterator[str]:
    """The first cell that opens data says how to open other data."""
    opening = next((cell for cell in lesson.code if OPENS_DATA.search(cell.source)), None)
    if opening is not None and CHOICE not in opening.source:
        yield f"cell {opening.id} opens data, and must hold the two lines of CHOICE"


def words_per_line(lesson: Lesson) -> Iterator[str]:
    """Ten words of explanation for each line of code."""
    n_words = sum(count_words(cell.source) for cell in lesson.markdown)
    n_lines = sum(len(code_lines(cell.source)) for cell in lesson.code)
    if n_words < WORDS_PER_LINE * n_lines:
        yield f"{n_words} words for {n_lines} lines of code: at least {WORDS_PER_LINE} words a line"


# ------------------------------------------------------------------------------------------- outputs
def executed(lesson: Lesson) -> Iterator[str]:
    """Committed as it ran: from the first code cell to the last, in order."""
    counts = [cell.count for cell in lesson.cells if cell.kind == "code" and cell.source.strip()]
    if counts != list(range(1, len(counts) + 1)):
        yield f"the cells must have run in order, and their counts are {counts}"


def clean_outputs(lesson: Lesson) -> Iterator[str]:
    """No error, no warning, nothing that is dead without a kernel, and nobody's own guess."""
    for cell in lesson.cells:
        for output in cell.outputs:
            if output["output_type"] == "error" or output.get("name") == "stderr":
                yield f"cell {cell.id} shows an error or writes to stderr"
            if WIDGET in output.get("data", {}):
                yield f"cell {cell.id} holds a widget; run: python3 tutorial.py tidy"
            if "You guessed" in output_text(output):
                yield f"cell {cell.id} shows somebody's guess; run it with an empty UNET_HOME/progress.json"


def output_size(lesson: Lesson) -> Iterator[str]:
    n_bytes = sum(len(json.dumps(output)) for cell in lesson.cells for output in cell.outputs)
    if n_bytes > OUTPUT_BYTES:
        yield f"the outputs are {n_bytes / 1000:.0f} kB; at most {OUTPUT_BYTES / 1000:.0f}"


def alt_text(lesson: Lesson) -> Iterator[str]:
    """Whoever cannot see a picture is told what it shows, in five words or more."""
    for cell in lesson.cells:
        for output in cell.outputs:
            for kind in output.get("data", {}):
                alt = output.get("metadata", {}).get(kind, {}).get("alt", "")
                if kind.startswith("image/") and len(alt.split()) < 5:
                    yield f"cell {cell.id} shows a picture without alternative text; use show_figure or show"
    for cell in lesson.markdown:
        for alt in re.findall(r"!\[([^\]]*)\]\((?!https://colab)", cell.source):
            if len(alt.split()) < 5:
                yield f"cell {cell.id} holds a picture without alternative text"


# --------------------------------------------------------------------------------------------- Think
def think(lesson: Lesson) -> Iterator[str]:
    """Every Think box has an answer that opens on a click, in the same cell."""
    for cell in lesson.markdown:
        if len(re.findall(r"\*\*Think\b", cell.source)) != cell.source.count("**Think.**"):
            yield f"cell {cell.id}: a box begins with '**Think.**'"
        for box in cell.source.split("**Think.**")[1:]:
            answer = re.search(r"<details>\s*<summary>.+?</summary>\n\n(.+?)</details>", box, flags=re.DOTALL)
            if answer is None or count_words(answer[1]) < 5:
                yield f"cell {cell.id}: a Think box has no answer in <details>, with a blank line before it"


def plumbing(lesson: Lesson) -> Iterator[str]:
    """What makes a picture or a widget lives in the package."""
    for cell in lesson.code:
        found = PLUMBING.search(cell.source)
        if found:
            yield f"cell {cell.id} must leave {found[0]} to the package"


def all_rules() -> dict[str, Rule]:
    """Every rule by its name, those of code and of words included."""
    import lesson_code
    import lesson_words

    own: list[Rule] = [opening, closing, minutes, sections, numbers, words_per_line, executed, clean_outputs]
    own += [choice_of_data, output_size, alt_text, think, plumbing, *lesson_code.RULES, *lesson_words.RULES]
    return {rule.__name__: rule for rule in own}


def main(names: list[str]) -> None:
    for name in names:
        for rule_name, rule in all_rules().items():
            for problem in rule(read_lesson(Path(name))):
                print(f"{Path(name).name} {rule_name}: {problem}")


if __name__ == "__main__":
    main(sys.argv[1:])
