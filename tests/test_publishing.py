"""What whoever publishes relies on: workflows, citation, change log, forms. Nothing runs here; it is read."""

import re
import shlex
import sys
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import colab_today

import tutorial
import unet_helpers
from unet_helpers.classroom.address import Address, citation_with, read_address

ROOT = tutorial.ROOT
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(
    set((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")) - {ROOT / ".github/ISSUE_TEMPLATE/config.yml"}
)
TEXTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", ".github/pull_request_template.md"]


def read(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # "on" stays a word


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def commands(text: str) -> list[list[str]]:
    """Every line of a shell text, in words, up to where its output goes."""
    return [shlex.split(line.partition(" >")[0], comments=True) for line in text.splitlines() if line.strip()]


# ------------------------------------------------------------------------------------------- workflows
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_command_of_a_workflow_exists(path: Path) -> None:
    known = {"bash": lambda word: (ROOT / word).is_file(), "curl": lambda word: True}
    run = [line for step in steps(read(path)) if "run" in step for line in commands(step["run"])]
    assert run
    for words in run:
        if words[:2] == ["python", "tutorial.py"]:
            check_tutorial(words[2:])
        elif words[:3] == ["python", "-m", "pip"]:
            assert words[3] == "install", words
        elif words[0] == "python":
            assert (ROOT / words[1]).is_file(), words
        else:
            assert words[0] in known and known[words[0]](words[1]), words


def check_tutorial(words: list[str]) -> None:
    """Fail if tutorial.py takes no such command line."""
    try:
        tutorial.parse(words)
    except SystemExit:
        pytest.fail(f"tutorial.py takes no {' '.join(words)!r}", pytrace=False)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_little_and_is_pinned(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"} and "group" in workflow["concurrency"]
    for name, job in workflow["jobs"].items():
        assert int(job["timeout-minutes"]) <= 60, name
        assert "latest" not in job["runs-on"], name
        assert set(job.get("permissions", {})) <= {"pages", "id-token"}, name
    for step in steps(workflow):
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+\.\d+\.\d+", step["uses"]), step["uses"]


def test_an_action_has_one_version_everywhere() -> None:
    used = {step["uses"] for path in WORKFLOWS for step in steps(read(path)) if "uses" in step}
    assert len({action.partition("@")[0] for action in used}) == len(used) > 5, sorted(used)


def test_the_tests_run_on_three_systems_with_every_python() -> None:
    workflow = read(ROOT / ".github" / "workflows" / "tests.yml")
    jobs = workflow["jobs"]
    others = jobs["others"]["strategy"]["matrix"]["include"]
    assert {one["os"].partition("-")[0] for one in others} == {"windows", "macos"}
    pythons = jobs["linux"]["strategy"]["matrix"]["python"]
    minimum, too_new = (3, 11), tutorial.TOO_NEW
    assert pythons == [f"3.{minor}" for minor in range(minimum[1], too_new[1])]
    assert {one["python"] for one in others} <= set(pythons)
    assert workflow["on"]["schedule"], "a weekly run notices what changed without us"
    strict = [step.get("env", {}).get("UNET_TESTS_STRICT") for step in jobs["linux"]["steps"]]
    assert "1" in strict


def test_conda_is_asked_to_solve_the_file_that_readers_use() -> None:
    jobs = read(ROOT / ".github" / "workflows" / "tests.yml")["jobs"]
    files = [
        step["with"]["environment-file"]
        for step in jobs["conda"]["steps"]
        if "micromamba" in step.get("uses", "")
    ]
    assert files == ["environment.yml"] and (ROOT / "environment.yml").is_file()
    for name in ("conda", "conda-by-pip"):
        assert {"run": "python tutorial.py test --here"} in jobs[name]["steps"]


@pytest.mark.parametrize("name", TEXTS)
def test_commands_in_a_text_for_contributors_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    found = re.findall(r"python3? (tutorial\.py|tests/\w+\.py)([^`\n#]*)", text)
    for script, rest in found:
        assert (ROOT / script).is_file(), script
        if script == "tutorial.py":
            check_tutorial(shlex.split(rest.replace("0N", "01")))
    assert found or name == "CHANGELOG.md"


# ------------------------------------------------------------------------------- one version, one date
def test_the_version_has_one_home() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"] and "version" in project["project"]["dynamic"]
    assert project["tool"]["hatch"]["version"]["path"] == "unet_helpers/__init__.py"
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    log = re.findall(r"^## (\d\S+) - (\S+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert citation["version"] == log[0][0] == unet_helpers.__version__
    assert str(citation["date-released"]) == log[0][1]
    days = [date.fromisoformat(day) for _, day in log]
    assert days == sorted(days, reverse=True)


def test_the_citation_is_whole() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # all that the format asks for
    assert citation["cff-version"] == "1.2.0" and citation["license"] == "MIT"
    assert citation["authors"] == [{"name": "The unet-kidney-stones authors"}]


def test_the_citation_tells_the_address_once_it_is_set() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    told = citation_with(text, read_address("git@github.com:anna/stones.git"))
    assert yaml.safe_load(told)["repository-code"] == "https://github.com/anna/stones"
    assert citation_with(told, read_address("https://github.com/bo/stones")).count("repository-code") == 1
    assert "repository-code" not in citation_with(told, Address())


# ------------------------------------------------------------------------------------------------ forms
@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_is_one_that_github_shows(path: Path) -> None:
    form = read(path)
    assert {"name", "description", "body"} <= set(form)
    asked = [part for part in form["body"] if part["type"] != "markdown"]
    names = [part["id"] for part in asked]
    assert len(set(names)) == len(names) > 0
    assert len({part["attributes"]["label"] for part in asked}) == len(names)
    for part in form["body"]:
        assert part["type"] in {"markdown", "input", "textarea", "dropdown", "checkboxes"}
        assert "value" in part["attributes"] if part["type"] == "markdown" else "label" in part["attributes"]
        assert part["type"] != "dropdown" or len(part["attributes"]["options"]) > 1


def test_the_form_for_a_lesson_names_every_lesson() -> None:
    form = read(ROOT / ".github" / "ISSUE_TEMPLATE" / "broken_lesson.yml")
    (lessons,) = (part["attributes"]["options"] for part in form["body"] if part.get("id") == "lesson")
    assert lessons[:-1] == [book.stem for book in tutorial.find_notebooks(ROOT / "notebooks")]
    assert "setup" in [part.get("id") for part in form["body"]]


# -------------------------------------------------------------------------------------- Colab, week by week
FREEZE = """\
# generated
ipywidgets==7.7.1
Pillow==11.3.0
ipython==7.34.0
torch @ https://example.org/whl/cu128/torch-2.11.0%2Bcu128-cp313-cp313-linux_x86_64.whl#sha256=0
"""


def test_a_changed_colab_is_noticed() -> None:
    pins = ("torch==2.11.0", "ipywidgets==7.7.1", "pillow==11.3.0", "ipython==7.34.0")
    assert colab_today.changes(FREEZE, pins) == []
    assert colab_today.changes(FREEZE.replace("7.7.1", "8.1.0"), pins) == [
        "ipywidgets: Colab has 8.1.0, we test 7.7.1"
    ]
    assert colab_today.changes(FREEZE.replace("torch-2.11.0", "torch-2.12.0"), pins)
    assert colab_today.changes("", pins)[0] == "torch: Colab has none, we test 2.11.0"
