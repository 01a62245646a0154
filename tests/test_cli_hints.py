"""Errors of the package in the words of the command line."""

import ast
import re
from pathlib import Path

import pytest

from unet_helpers.command_line.hints import in_options

PACKAGE = Path(__file__).resolve().parents[1] / "unet_helpers"
OTHER_DOORS = {"exercises", "pictures", "inspector.py", "command_line"}  # nobody comes here by an option


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "got others. Give another run folder, or start again with resume=False.",
            "got others. Give another --out.",
        ),
        (
            "Restore it from a copy, give another run folder, or start again with resume=False.",
            "Restore it from a copy, give another --out.",
        ),
        (
            "Give another run folder, or start again with resume=False, which deletes best.pt.",
            "Give another --out.",
        ),
        ("Or start with resume=False.", "Or start with a new --out."),
        ("seed must be a whole number", "--seed must be a whole number"),
        (
            "n_epochs 2 there, minutes 1.0 here; seed 0 there, 1 here",
            "--epochs 2 there, minutes 1.0 here; --seed 0 there, 1 here",
        ),
        (
            "batch_size must be a multiple of the 2 processes, got 5.",
            "--batch-size must be a multiple of the 2 processes, got 5.",
        ),
        ("n_slices must be 1 to 96, got 99.", "--slices must be 1 to 96, got 99."),
        (
            "Apply a CT window first: phantom.window(image_hu, level=40).",
            "Apply a CT window first: in Python phantom.window(image_hu, level=40).",
        ),
        ("put them into: model=Net().", "put them into: in Python model=Net()."),
        (
            "Add a groups.csv, or group by folder if each is one patient.",
            "Add a groups.csv, or --group-by folder if each is one patient.",
        ),
        ("Add patients, or use data.folds_by_group.", "Add patients, or use --folds."),
    ],
)
def test_python_becomes_an_option(text: str, told: str):
    assert in_options(text) == told


@pytest.mark.parametrize(
    "text",
    [
        "/data/batch_size/n_steps.png must be a readable image",
        "best of 5 minutes; the size of its image; another split seed; a device must exist",
        "Try half the learning rate",
    ],
)
def test_paths_and_words_stay(text: str):
    assert in_options(text) == text


def texts_of_errors() -> list[tuple[str, str]]:
    """Place and text of every error and note of the package, with 9 for what is filled in."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if OTHER_DOORS & set(path.relative_to(PACKAGE).parts):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = getattr(node, "func", None)
            told = getattr(called, "id", getattr(called, "attr", ""))
            if isinstance(node, ast.Call) and node.args and (told.endswith("Error") or told == "warn"):
                parts = getattr(node.args[0], "values", [node.args[0]])
                text = "".join(str(getattr(part, "value", 9)) for part in parts if part is not None)
                found.append((f"{path.name}:{node.lineno}", re.sub(r"<ast\.\w+ object at \w+>", "9", text)))
    return found


def test_no_hint_is_for_python_alone():
    texts = texts_of_errors()
    assert len(texts) > 60 and any("resume=False" in text for _, text in texts)
    for place, text in texts:
        for match in re.finditer(r"\b[a-z_]+=[\w\[(\"']+", in_options(text)):
            typed = match[0] in ("kidney=1", "stone=2")  # as --classes is given
            assert typed or "in Python" in in_options(text)[: match.start()], f"{place}: {text}"
