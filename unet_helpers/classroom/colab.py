"""Lessons that bring their package along: one file to upload, to mail or to keep on a drive, and it runs.

The package travels as a zip, in base64, in the folded first cell. Only the standard library is needed.
"""

from __future__ import annotations

import base64
import copy
import io
import json
import re
import textwrap
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unet_helpers.classroom.address import Address, plumbing_cell
from unet_helpers.classroom.copies import for_students
from unet_helpers.classroom.tidy import notebook_text, tidy
from unet_helpers.engine.files import written_whole

__all__ = ["package_files", "package_zip", "self_contained", "write_lessons"]

PACKAGE = Path(__file__).resolve().parents[1]
ZIP_NAME = "unet_helpers.zip"
COLUMNS = 1000  # of the zip's lines: few enough lines and narrow enough for every editor
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same files give the same zip, whenever it is made
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|#|mailto:)([^)\s]+)\)")
ALONE = (
    "This copy brings its package along. It runs in Colab (*File > Upload notebook*) and in Jupyter, with "
    "the internet on or off."
)
ON_KAGGLE = (
    "On Kaggle: press *Add input > Upload > New dataset*, give it `unet_helpers.zip`, which came with this "
    "notebook, and run the cells from the top. The internet may be off."
)
README = """\
# Seven lessons that run anywhere

Each notebook here carries what it needs in its first cell, about {size:.1f} MB of it. Nothing has to be
installed, and the internet may be off. Do not worry about that first cell: it is folded, nobody reads it.

- **Colab:** File > Upload notebook, choose one, and run its cells from the top. Or put the files on your
  Google Drive and open them there. A notebook that came with a mail: save it, then upload it.
- **Kaggle** takes no notebook of more than 1 MB, so the lessons in `kaggle/` come without the package. Choose
  Create > New Notebook, then File > Import Notebook, and one of them. Then press Add input > Upload > New
  dataset, and give it `unet_helpers.zip`; the next lesson finds it under Add input > Your Work. The internet
  may be off.
- **Jupyter or VS Code on your own machine:** open it. It needs Python 3.11 or newer with torch, ipywidgets,
  matplotlib, scipy, tqdm, filelock and jinja2.

`unet_helpers.zip` is for lessons that do *not* carry the package: put it beside the notebook; in Colab, into
the list under *Files*, on the left.

At the end of each lesson stands the file name of the next one.
"""


def package_files() -> list[Path]:
    """Every file that belongs to the package: all but caches and what hides from view."""
    inside = (path for path in PACKAGE.rglob("*") if path.is_file())
    return sorted(
        path
        for path in inside
        if path.suffix != ".pyc"
        and not any(part.startswith((".", "__pycache__")) for part in path.relative_to(PACKAGE).parts)
    )


def package_zip() -> bytes:
    """The package with its licence as a zip: the same bytes whenever and wherever it is made."""
    content = io.BytesIO()
    licence = PACKAGE.parent / "LICENSE"
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in [*package_files(), *([licence] if licence.exists() else [])]:
            entry = zipfile.ZipInfo(path.relative_to(PACKAGE.parent).as_posix(), LONG_AGO)
            entry.external_attr, entry.create_system = 0o644 << 16, 3
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return content.getvalue()


def self_contained(book: dict[str, Any], package: bytes, address: Address) -> dict[str, Any]:
    """A copy of a lesson that carries a zip of the package in its plumbing, and links to no file beside it.

    Args:
        book: The lesson.
        package: What `package_zip` gives; empty for Kaggle, which takes the zip itself.
        address: Of the repository.

    Raises:
        ValueError: If the lesson has no plumbing cell.
    """
    book = copy.deepcopy(book)
    tidy(book)
    carried = textwrap.fill(base64.b64encode(package).decode("ascii"), COLUMNS)
    n_found = 0
    for cell in book["cells"]:
        source = "".join(cell["source"])
        if "plumbing" in cell["metadata"].get("tags", []):
            source, n_found = plumbing_cell(address, carried), n_found + 1
        elif cell["cell_type"] == "markdown":
            source = LINK.sub(_in_words, source)
            place = ALONE if package else ON_KAGGLE
            source = re.sub(r"^.*<!-- colab .*<!-- /colab -->", place, source, flags=re.DOTALL)
        cell["source"] = source.splitlines(keepends=True)
    if n_found != 1:
        raise ValueError(f"a lesson must have one cell tagged plumbing, got {n_found}. Take it as it came.")
    return book


def _in_words(link: re.Match[str]) -> str:
    """A link to a file in words, for an uploaded notebook has no neighbours; the next one keeps its name."""
    name = link[2].rpartition("/")[2]
    return f"{link[1]} ({name})" if link[1].startswith("Lesson") else link[1]


def write_lessons(
    notebooks: Sequence[Path], out: Path, address: Address, students: bool = False
) -> list[Path]:
    """Write self-contained copies of lessons, others for Kaggle, `unet_helpers.zip` and a README.md.

    Args:
        notebooks: The lessons.
        out: A folder; it is made if it is missing.
        students: Whether solutions and everybody's answers are taken out, as `copies.for_students` does.

    Returns:
        The files.
    """
    (out / "kaggle").mkdir(parents=True, exist_ok=True)
    package = package_zip()
    contents = {ZIP_NAME: package, "README.md": README.format(size=len(package) * 4 / 3 / 1e6).encode()}
    for path in notebooks:
        book = json.loads(path.read_text("utf-8"))
        book = for_students(book) if students else book
        for name, carried in ((path.name, package), (f"kaggle/{path.name}", b"")):
            contents[name] = notebook_text(self_contained(book, carried, address)).encode()
    for name, content in contents.items():
        with written_whole(out / name) as scratch:
            scratch.write_bytes(content)
    return [out / name for name in sorted(contents)]
