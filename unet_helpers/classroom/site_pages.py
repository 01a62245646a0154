"""What a page of the book says otherwise than its file in the repository; `docs/conf.py` calls this.

The files stay the one home of every text. Here a link to a picture on a server becomes words, plumbing is
folded, and the pictures of the lessons get their words for those who do not see them.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from unet_helpers.classroom.address import Address

__all__ = ["alternatives", "connect", "lesson_page", "text_page", "theme_options"]

COLAB = re.compile(r"(?:^Online: )?<!-- colab \S+ -->(?P<inner>.*?)<!-- /colab -->", re.DOTALL | re.MULTILINE)
BADGE = re.compile(r"\[!\[([^\]]+)\]\(https?:[^)]+\)\]\(([^)]+)\)")
PICTURES = ("image/png", "image/jpeg", "image/gif")
FOLDED = {"code_prompt_show": "Plumbing: nothing to read here", "code_prompt_hide": "Fold the plumbing"}


def theme_options(address: Address) -> dict[str, Any]:
    """Buttons that lead to the repository and to Colab; none where there is no address to lead to."""
    if not address.is_set or not address.url.startswith("https://github.com/"):
        return {}
    return {
        "repository_url": address.url,
        "repository_branch": address.branch or "main",
        "use_repository_button": True,
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    }


def text_page(text: str, address: Address, depth: int = 0) -> str:
    """Markdown without what asks another server for a picture, and without a link that is not there yet.

    Args:
        text: Of a file.
        address: Of the repository.
        depth: Number of folders above the file; a link to README.md leads to the first page of the book.
    """
    text = text.replace(f"]({'../' * depth}README.md", f"]({'../' * depth}index.md")
    if not address.is_set:
        text = COLAB.sub(lambda found: "" if found[0].startswith("Online") else found["inner"], text)
    return BADGE.sub(r"[\1](\2)", text)


def lesson_page(text: str, address: Address, depth: int = 1) -> str:
    """A notebook's JSON text as a page: `text_page` of its texts, and its plumbing folded.

    The outputs are those that are kept in the notebook.
    """
    book = json.loads(text)
    for cell in book["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = text_page("".join(cell["source"]), address, depth)
        elif "plumbing" in cell["metadata"].get("tags", ()):
            cell["metadata"]["tags"] = ["plumbing", "hide-input"]
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


def connect(app: Any, address: Address) -> None:
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
