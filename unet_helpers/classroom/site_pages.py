"""What a page of the book says otherwise than its file in the repository; `docs/conf.py` calls this.

The files stay the one home of every text. Here a link to a picture on a server becomes words, plumbing is
folded, and the pictures of the lessons get their words for those who do not see them.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

__all__ = ["alternatives", "connect", "lesson_page", "read_address", "text_page", "theme_options"]

GITHUB = re.compile(r"https://github\.com/[^/]+/[^/]+?(?:\.git)?/?")
COLAB = re.compile(r"(?:^Online: )?<!-- colab \S+ -->(?P<inner>.*?)<!-- /colab -->", re.DOTALL | re.MULTILINE)
BADGE = re.compile(r"\[!\[([^\]]+)\]\(https?:[^)]+\)\]\(([^)]+)\)")
PICTURES = ("image/png", "image/jpeg", "image/gif")
FOLDED = {"code_prompt_show": "Plumbing: nothing to read here", "code_prompt_hide": "Fold the plumbing"}


def read_address(root: Path) -> str | None:
    """The repository's address in pyproject.toml; None while nobody has set it."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    address: str = project["urls"]["Repository"]
    return None if ".invalid" in address else address


def theme_options(address: str | None) -> dict[str, Any]:
    """Buttons that lead to the repository and to Colab; none where there is no address to lead to."""
    if address is None or not GITHUB.fullmatch(address):
        return {}
    return {
        "repository_url": address.rstrip("/").removesuffix(".git"),
        "repository_branch": "main",
        "use_repository_button": True,
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    }


def text_page(text: str, address: str | None, depth: int = 0) -> str:
    """Markdown without what asks another server for a picture, and without a link that is not there yet.

    Args:
        text: Of a file.
        address: Of the repository, or None.
        depth: Number of folders above the file; a link to README.md leads to the first page of the book.
    """
    text = text.replace(f"]({'../' * depth}README.md", f"]({'../' * depth}index.md")
    if address is None:
        text = COLAB.sub(lambda found: "" if found[0].startswith("Online") else found["inner"], text)
    return BADGE.sub(r"[\1](\2)", text)


def lesson_page(text: str, address: str | None, depth: int = 1) -> str:
    """A notebook's JSON text as a page: `text_page` of its texts, and its plumbing folded.

    The outputs are those that are kept in the notebook.
    """
    book = json.loads(text)
    for cell in book["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = text_page("".join(cell["source"]), address, depth)
        elif "plumbing" in cell["metadata"].get("tags", ()):
            cell["metadata"]["tags"].append("hide-input")
            cell["metadata"]["mystnb"] = FOLDED
    return json.dumps(book, ensure_ascii=False)


def alternatives(text: str) -> dict[str, str]:
    """The words for each picture of a notebook that has some.

    Returns:
        By the SHA-256 of the picture's bytes, which is the name of the file that MyST-NB writes.
    """
    words = {}
    for cell in json.loads(text)["cells"]:
        for output in cell.get("outputs", ()):
            for kind in PICTURES:
                if kind in output.get("data", {}):
                    content = binascii.a2b_base64("".join(output["data"][kind]))
                    alt = output["metadata"].get(kind, {}).get("alt") or "".join(output["data"]["text/plain"])
                    words[hashlib.sha256(content).hexdigest()] = alt
    return words


def connect(app: Any, address: str | None) -> None:
    """Make Sphinx show the pages so; `app` is the Sphinx application."""
    words: dict[str, str] = {}

    def read(app: Any, name: str, content: list[str]) -> None:
        page, is_lesson = text_page, app.env.doc2path(name).suffix == ".ipynb"
        if is_lesson:
            words.update(alternatives(content[0]))
            page = lesson_page
        content[0] = page(content[0], address, name.count("/"))

    def describe(app: Any, tree: Any) -> None:
        for node in tree.findall(lambda node: node.tagname == "image"):
            if node.get("alt") is None:
                node["alt"] = words.get(Path(node["uri"]).stem, "")

    app.connect("source-read", read)
    app.connect("doctree-read", describe)
