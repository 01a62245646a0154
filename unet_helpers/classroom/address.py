"""The repository's address, from `pyproject.toml` into the lessons, README.md and CITATION.cff.

Only the standard library is needed.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unet_helpers.classroom.first_cell import FIRST_CELL

__all__ = [
    "Address",
    "address_of",
    "badge",
    "citation_with",
    "first_cell",
    "lesson_with",
    "markdown_with",
    "plumbing_cell",
    "read_address",
    "rewrite",
]

UNSET = "https://example.invalid/set-by-the-publisher"
TITLE = "# @title Plumbing: finds or fetches the lesson's package. Nothing to read here."
PLUMBING = Path(__file__).with_name("plumbing.py")
WANTED = "an address of GitHub or GitLab, such as https://github.com/anna/stones or .../tree/branch"


@dataclass(frozen=True)
class Address:
    """A repository that can be cloned.

    Attributes:
        url: Without a final slash and without `.git`; `UNSET` until somebody publishes the project.
        branch: None for the one that the server gives by itself.
    """

    url: str = UNSET
    branch: str | None = None

    @property
    def is_set(self) -> bool:
        """Whether the project has been published."""
        return ".invalid" not in self.url

    @property
    def for_pip(self) -> str:
        """What follows `git+` in an installation."""
        return self.url + (f"@{self.branch}" if self.branch else "")


def read_address(text: str) -> Address:
    """An address in any of the forms in which people copy it.

    Args:
        text: `https://github.com/o/r`, with or without `.git`, a final slash or `/tree/branch`;
            `git@host:o/r.git`; `ssh://git@host/o/r`; on GitLab also groups in groups, and `/-/tree/branch`.

    Raises:
        ValueError: If it is none of these.
    """
    whole = text.strip()
    if whole == UNSET:
        return Address()
    found = re.fullmatch(
        r"(?:git\+)?(?:(?:https?|ssh|git)://)?(?:[\w.-]+@)?(?P<host>[\w-]+(?:\.[\w-]+)+)(?::\d+(?=/))?[:/]+"
        r"(?P<path>[\w.~-]+(?:/[\w.~-]+)+?)(?:/-)?(?:/tree/(?P<branch>[^\s?#]+?))?/*(?:[?#]\S*)?",
        whole,
    )
    if found is None or ".invalid" in whole:
        raise ValueError(f"The repository's address must be {WANTED}, got {whole!r}.")
    host, path = found["host"].lower().removeprefix("www."), found["path"].removesuffix(".git")
    if host == "github.com" and path.count("/") != 1:
        raise ValueError(f"The repository's address must be {WANTED}, got {whole!r}.")
    return Address(f"https://{host}/{path}", found["branch"])


def first_cell(address: Address) -> str:
    """The text of a lesson's first code cell."""
    return f"{TITLE}\n{FIRST_CELL.replace('ADDRESS', address.for_pip).rstrip()}"


def plumbing_cell(address: Address, carried: str = "") -> str:
    """The first code cell of a copy that `tutorial.py colab` makes: what `plumbing.py` defines, and one call.

    Args:
        carried: `unet_helpers.zip` in base64, wrapped; for lessons that bring the package along.
    """
    code = PLUMBING.read_text("utf-8").partition("-- the cell\n")[2].rstrip()
    more = f', """\n{carried}"""' if carried else ""
    return f'{TITLE}\n{code}\n\n\nfind_package("{address.for_pip}"{more})'


def badge(name: str, address: Address) -> str:
    """One Markdown line that opens a notebook in Colab, or says why it cannot."""
    if not address.is_set:
        return "*Colab: the link appears here once the address of the repository is set.*"
    repository = re.fullmatch(r"https://github\.com/(.+)", address.url)
    if repository is None:
        return "*Colab: download this notebook, then File > Upload notebook there.*"
    place = f"{repository[1]}/blob/{address.branch or 'main'}/notebooks/{name}"
    image = "https://colab.research.google.com/assets/colab-badge.svg"
    return f"[![Open in Colab]({image})](https://colab.research.google.com/github/{place})"


def clone_command(address: Address) -> str:
    """The README's Markdown for getting the project."""
    if not address.is_set:
        return "*The address of the repository is not set yet: take the folder as you received it.*"
    branch = f"--branch {address.branch} " if address.branch else ""
    return f"```\ngit clone {branch}{address.url} unet-kidney-stones\ncd unet-kidney-stones\n```"


def markdown_with(markdown: str, address: Address) -> str:
    """Markdown with every marked Colab link and clone command made to fit the address."""

    def colab(match: re.Match[str]) -> str:
        return f"<!-- colab {match[1]} -->{badge(match[1], address)}<!-- /colab -->"

    markdown = re.sub(r"<!-- colab (\S+) -->.*?<!-- /colab -->", colab, markdown, flags=re.DOTALL)
    # A line that begins with a comment is HTML, in which Markdown links do not work.
    markdown = re.sub(r"^<!-- colab ", "Online: <!-- colab ", markdown, flags=re.MULTILINE)
    clone = f"<!-- clone -->\n{clone_command(address)}\n<!-- /clone -->"
    return re.sub(r"<!-- clone -->.*?<!-- /clone -->", lambda _: clone, markdown, flags=re.DOTALL)


def lesson_with(text: str, address: Address) -> str:
    """A notebook's JSON text with its first code cell and its Colab link made to fit the address."""
    book: dict[str, Any] = json.loads(text)
    for cell in book["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            wanted = markdown_with(source, address)
        elif "plumbing" in cell["metadata"].get("tags", []):
            wanted = first_cell(address)
        else:
            continue
        if wanted != source:
            cell["source"] = wanted.splitlines(keepends=True)
    return json.dumps(book, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def citation_with(text: str, address: Address) -> str:
    """CITATION.cff with the line that tells where the code lies, or without it while nobody knows."""
    text = re.sub(r"^repository-code:.*\n", "", text, flags=re.MULTILINE)
    return f'{text}repository-code: "{address.url}"\n' if address.is_set else text


def address_of(root: Path) -> Address:
    """What stands in `pyproject.toml`.

    Raises:
        ValueError: If that is no address.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    return read_address(project["urls"]["Repository"])


def rewrite(root: Path, notebooks: Sequence[Path], check: bool = False) -> list[str]:
    """Write the address of `pyproject.toml` wherever it is shown.

    Args:
        check: Whether to change nothing.

    Returns:
        Names of the files that differed.

    Raises:
        ValueError: If `pyproject.toml` holds no address.
    """
    address, stale = address_of(root), []
    texts = [root / name for name in ("README.md", "CITATION.cff") if (root / name).exists()]
    for path in [*texts, *notebooks]:
        text = path.read_text("utf-8")
        wanted = {".ipynb": lesson_with, ".cff": citation_with}.get(path.suffix, markdown_with)(text, address)
        if json.loads(wanted) != json.loads(text) if path.suffix == ".ipynb" else wanted != text:
            stale.append(path.name)
            if not check:
                path.write_text(wanted, "utf-8", newline="\n")
    return stale
