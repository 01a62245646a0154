"""The set-up: files that must agree, the set-up cell, and the commands of tutorial.py."""

import ast
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import tutorial
from unet_helpers.classroom import address

ROOT = tutorial.ROOT
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LESSONS = [book.name for book in tutorial.find_notebooks(ROOT / "notebooks")]
EXTRAS = ("kaggle", "dicom", "nifti", "coco", "site")  # what a user may add
PYPI_OF_IMPORT = {"PIL": "pillow", "IPython": "ipywidgets", "yaml": "pyyaml"}  # ipywidgets brings IPython


def requirements(*extras: str) -> dict[str, SpecifierSet]:
    """Name -> range of what pyproject.toml asks for, with the given extras."""
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return {(parsed := Requirement(line)).name: parsed.specifier for line in lines}


def read_notebook(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "notebooks" / name).read_text(encoding="utf-8"))


# ------------------------------------------------------------------------------------ files that agree
def test_tutorial_asks_for_the_python_of_the_package() -> None:
    minimum = re.search(r"sys\.version_info < \((\d+), (\d+)\)", (ROOT / "tutorial.py").read_text("utf-8"))
    assert minimum is not None
    too_new = ".".join(map(str, tutorial.TOO_NEW))
    assert PROJECT["requires-python"] == f">={minimum[1]}.{minimum[2]},<{too_new}"


def test_constraints_pin_every_requirement_within_its_range() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines]
    for name, specifier in requirements(*EXTRAS, "lab", "dev").items():
        versions = [next(iter(pin.specifier)).version for pin in pins if pin.name == name]
        assert versions or name == PROJECT["name"], f"{name} is not pinned"
        assert all(version in specifier for version in versions), (name, versions)
    assert all(pin.url is None for pin in pins) and not any("--" in line for line in lines)


def test_package_imports_only_what_it_declares() -> None:
    declared = set(requirements(*EXTRAS))
    for path in (ROOT / "unet_helpers").rglob("*.py"):
        for module in third_party_imports(path, everywhere=True) - {"unet_helpers"}:
            assert PYPI_OF_IMPORT.get(module, module) in declared, f"{path.name} imports {module}"


def test_tutorial_starts_with_the_standard_library_alone() -> None:
    assert third_party_imports(ROOT / "tutorial.py", everywhere=False) == set()


def third_party_imports(path: Path, everywhere: bool) -> set[str]:
    """Top-level names of modules that a file imports, anywhere or only when it is loaded."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names)


def test_old_python_is_told_what_to_install() -> None:
    code = "import sys; sys.version_info = (3, 8, 1); exec(open('tutorial.py').read())"
    old = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert old.returncode == 1
    assert old.stderr == "This tutorial needs Python 3.11 or newer; this is Python 3.8.\n"


def test_too_new_python_looks_for_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tutorial.base_python() == sys.executable
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == "python3.12" else None)
    assert tutorial.base_python() == "/bin/python3.12"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match=r"install Python 3.13 beside it"):
        tutorial.base_python()


# ----------------------------------------------------------------------------------------- the address
def test_address_is_the_same_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert tutorial.address(check=True) == 0, capsys.readouterr().out + " Run: python3 tutorial.py address"


def test_address_is_unset_or_whole() -> None:
    assert address.read_address(PROJECT["urls"]["Repository"])


@pytest.mark.parametrize("name", LESSONS)
def test_lesson_begins_with_the_two_cells_of_the_set_up(name: str) -> None:
    cells = read_notebook(name)["cells"]
    plumbing, setup = [cell for cell in cells if cell["cell_type"] == "code"][:2]
    assert (plumbing["id"], setup["id"]) == ("plumbing", "setup-cell")
    for tag, tagged in (("plumbing", plumbing), ("setup", setup)):
        assert [cell for cell in cells if tag in cell["metadata"].get("tags", [])] == [tagged]
    assert plumbing["source"][0] == address.TITLE + "\n" and max(map(len, plumbing["source"])) <= 111
    assert plumbing["metadata"]["cellView"] == "form"  # folded in Colab, and in Jupyter:
    assert plumbing["metadata"]["jupyter"] == {"source_hidden": True} and not plumbing["outputs"]
    wanted = f"from unet_helpers.classroom.start import set_up\n\nset_up(lesson={int(name[:2])})"
    assert "".join(setup["source"]) == wanted and "source_hidden" not in str(setup["metadata"])
    opening = ["".join(cell["source"]) for cell in cells[: cells.index(plumbing)]]
    assert any(f"<!-- colab {name} -->" in text for text in opening)


def test_no_lesson_lives_on_names_that_the_plumbing_leaves(tmp_path: Path) -> None:
    for name in LESSONS:
        book = read_notebook(name)
        book["cells"] = [cell for cell in book["cells"] if cell.get("id") != "plumbing"]
        (tmp_path / name).write_text(json.dumps(book), encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", str(tmp_path)]
    found = subprocess.run(ruff, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("name", LESSONS)
def test_no_cell_of_a_lesson_is_kept_from_the_tests(name: str) -> None:
    for cell in read_notebook(name)["cells"]:
        tags = set(cell["metadata"].get("tags", []))
        assert not tags & {"nbval-skip", "skip-execution"}


@pytest.mark.parametrize("name", LESSONS)
def test_no_lesson_holds_a_state_of_widgets(name: str) -> None:
    assert "widgets" not in read_notebook(name)["metadata"]  # without its scripts GitHub shows an error


def address_tree(root: Path, text: str) -> Path:
    """A folder with a pyproject.toml, a README and one lesson, the latter two as with the address unset."""
    (root / "notebooks").mkdir()
    (root / "pyproject.toml").write_text(f'[project.urls]\nRepository = "{text}"\n')
    readme = "# T\n<!-- clone -->old<!-- /clone -->\n| <!-- colab 01_a.ipynb --><!-- /colab --> |\n"
    (root / "README.md").write_text(readme)
    opening = ["<!-- colab 01_a.ipynb -->old\n", "<!-- /colab -->\n", "é"]
    other = ["print('<!-- colab b --><!-- /colab -->')"]
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": opening},
        {"cell_type": "code", "metadata": {"tags": ["plumbing"]}, "source": ["old"], "outputs": []},
        {"cell_type": "code", "metadata": {}, "source": other, "outputs": []},
    ]
    book = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (root / "notebooks" / "01_a.ipynb").write_text(json.dumps(book), encoding="utf-8")
    return root


def test_address_is_written_into_lesson_and_readme(tmp_path: Path) -> None:
    root = address_tree(tmp_path, "https://github.com/anna/stones")
    before = (root / "notebooks" / "01_a.ipynb").read_bytes()
    assert tutorial.address(root, check=True) == 1
    assert (root / "notebooks" / "01_a.ipynb").read_bytes() == before
    assert tutorial.address(root) == 0
    cells = json.loads((root / "notebooks" / "01_a.ipynb").read_text(encoding="utf-8"))["cells"]
    link = "https://colab.research.google.com/github/anna/stones/blob/main/notebooks/01_a.ipynb"
    opening = "".join(cells[0]["source"])
    assert opening.startswith(
        "Online: <!-- colab 01_a.ipynb -->[!["
    )  # a line that began with <!-- would be HTML
    assert f"]({link})<!-- /colab -->\né" in opening
    assert '\naddress, why = "https://github.com/anna/stones", ' in "".join(cells[1]["source"])
    assert cells[2]["source"] == ["print('<!-- colab b --><!-- /colab -->')"]
    readme = (root / "README.md").read_text()
    assert link in readme and "git clone https://github.com/anna/stones" in readme
    assert tutorial.address(root, check=True) == 0


def test_a_branch_goes_into_link_clone_and_installation(tmp_path: Path) -> None:
    root = address_tree(tmp_path, "git@github.com:anna/stones.git/tree/winter/24")
    assert tutorial.address(root) == 0
    lesson = (root / "notebooks" / "01_a.ipynb").read_text(encoding="utf-8")
    assert "github/anna/stones/blob/winter/24/notebooks/01_a.ipynb" in lesson
    assert 'address, why = \\"https://github.com/anna/stones@winter/24\\", ' in lesson
    clone = "git clone --branch winter/24 https://github.com/anna/stones unet-kidney-stones"
    assert clone in (root / "README.md").read_text()


def test_a_wrong_address_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = address_tree(tmp_path, "github.com")
    before = (root / "notebooks" / "01_a.ipynb").read_bytes()
    assert tutorial.address(root) == 1
    assert "must be an address of GitHub or GitLab, such as" in capsys.readouterr().out
    assert (root / "notebooks" / "01_a.ipynb").read_bytes() == before


STONES = "https://github.com/anna/stones"


@pytest.mark.parametrize(
    ("text", "url", "branch"),
    [
        (STONES, STONES, None),
        (f" {STONES}/ ", STONES, None),
        (f"{STONES}.git", STONES, None),
        (f"git+{STONES}.git", STONES, None),
        ("http://www.github.com/anna/stones", STONES, None),
        ("github.com/anna/stones", STONES, None),
        ("git@github.com:anna/stones.git", STONES, None),
        ("git@github.com:anna/my.stones", "https://github.com/anna/my.stones", None),
        ("ssh://git@github.com/anna/stones.git", STONES, None),
        ("ssh://git@git.example.org:2222/anna/stones.git", "https://git.example.org/anna/stones", None),
        ("git://github.com/anna/stones.git", STONES, None),
        (f"{STONES}/tree/main", STONES, "main"),
        (f"{STONES}/tree/feature/with/slash/", STONES, "feature/with/slash"),
        (f"{STONES}/blob/main/notebooks/01_dataset.ipynb", None, None),
        (f"{STONES}/issues", None, None),
        (f"{STONES}?tab=readme-ov-file#start", STONES, None),
        ("https://gitlab.com/uni/med/stones", "https://gitlab.com/uni/med/stones", None),
        (
            "https://gitlab.com/uni/med/stones/-/tree/winter/24",
            "https://gitlab.com/uni/med/stones",
            "winter/24",
        ),
        ("https://gitlab.com/uni/stones.git/", "https://gitlab.com/uni/stones", None),
        ("https://anna:secret@github.com/anna/stones", None, None),
        ("https://github.com/anna", None, None),
        ("https://example.invalid/other", None, None),
        ("../stones", None, None),
        ("C:\\stones", None, None),
        (f'{STONES}"; import os', None, None),
        ("", None, None),
    ],
)
def test_an_address_is_taken_as_people_copy_it_or_refused(
    text: str, url: str | None, branch: str | None
) -> None:
    if url is None:
        with pytest.raises(ValueError, match="address must be an address of GitHub or GitLab"):
            address.read_address(text)
    else:
        assert address.read_address(text) == address.Address(url, branch)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (address.UNSET, "once the address"),
        (STONES, "github/anna/stones/blob/main/notebooks/01_a.ipynb"),
        (f"{STONES}/tree/course", "github/anna/stones/blob/course/notebooks/01_a.ipynb"),
        ("https://git.example.org/anna/stones", "Upload notebook"),
    ],
)
def test_colab_link_is_whole_or_a_sentence(text: str, part: str) -> None:
    line = address.badge("01_a.ipynb", address.read_address(text))
    assert part in line
    assert ("](" in line) == ("github.com" in text)


# --------------------------------------------------------------------------------- building .venv
@pytest.fixture
def fake_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A project folder whose venv and packages are pretended; `done` lists what was asked for."""
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text(name)
    fake = SimpleNamespace(path=tmp_path, done=[], version=None)

    def make_venv(root: Path) -> None:
        (root / ".venv").mkdir(exist_ok=True)
        fake.done.append("venv")
        fake.version = "3.12"

    monkeypatch.setattr(tutorial, "make_venv", make_venv)
    monkeypatch.setattr(tutorial, "install", lambda python, root: fake.done.append("install"))
    monkeypatch.setattr(tutorial, "working_version", lambda python: fake.version)
    return fake


def test_second_set_up_does_nothing(fake_root: SimpleNamespace) -> None:
    assert tutorial.set_up(fake_root.path) == tutorial.venv_python(fake_root.path)
    assert fake_root.done == ["venv", "install"]
    tutorial.set_up(fake_root.path)
    assert fake_root.done == ["venv", "install"]


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed(fake_root: SimpleNamespace, name: str) -> None:
    tutorial.set_up(fake_root.path)
    (fake_root.path / name).write_text("changed")
    tutorial.set_up(fake_root.path)
    assert fake_root.done == ["venv", "install", "install"]


def test_another_python_is_set_up_again(fake_root: SimpleNamespace) -> None:
    tutorial.set_up(fake_root.path)
    fake_root.version = "3.13"
    tutorial.set_up(fake_root.path)
    assert fake_root.done == ["venv", "install", "install"]


def test_moved_folder_is_set_up_again(fake_root: SimpleNamespace) -> None:
    tutorial.set_up(fake_root.path)
    moved = fake_root.path.with_name("moved")
    fake_root.path.rename(moved)
    tutorial.set_up(moved)
    assert fake_root.done == ["venv", "install", "install"]


def test_broken_venv_is_built_anew(fake_root: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    tutorial.set_up(fake_root.path)
    fake_root.version = None
    tutorial.set_up(fake_root.path)
    assert fake_root.done == ["venv", "install", "venv", "install"]
    assert "it is built anew" in capsys.readouterr().out


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_interrupted_set_up_is_not_taken_for_complete(
    fake_root: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]
) -> None:
    tutorial.set_up(fake_root.path)
    (fake_root.path / "constraints.txt").write_text("changed")

    def interrupted(python: Path, root: Path) -> None:
        raise stop

    with monkeypatch.context() as patch:
        patch.setattr(tutorial, "install", interrupted)
        with pytest.raises(stop):
            tutorial.set_up(fake_root.path)
    assert not (fake_root.path / ".venv" / tutorial.STAMP).exists()
    (fake_root.path / "constraints.txt").write_text("constraints.txt")  # even back at the old state
    tutorial.set_up(fake_root.path)
    assert fake_root.done == ["venv", "install", "install"]


def test_venv_is_recognised_as_working_or_not(tmp_path: Path) -> None:
    python = tutorial.venv_python(tmp_path)
    assert tutorial.working_version(python) is None
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / ".venv")], check=True)
    assert tutorial.working_version(python) is None
    tutorial.make_venv(tmp_path)
    assert tutorial.working_version(python) == "%d.%d" % sys.version_info[:2]  # noqa: UP031
    python.unlink()
    if os.name != "nt":  # where it is a file, and only administrators make links
        python.symlink_to(tmp_path / "gone")
    assert tutorial.working_version(python) is None


@pytest.mark.parametrize(
    ("failing", "programs"),
    [(None, ["pip", "uv"]), ("uv==", ["pip", "pip"]), ("--system-certs", ["pip", "uv", "pip"])],
)
def test_plain_pip_steps_in_for_uv(
    monkeypatch: pytest.MonkeyPatch, failing: str | None, programs: list[str]
) -> None:
    commands: list[list[str]] = []

    def call(command: list[Any], root: Path) -> int:
        commands.append([str(part) for part in command])
        return int(failing is not None and any(part.startswith(failing) for part in commands[-1]))

    monkeypatch.setattr(tutorial, "call", call)
    tutorial.install(Path("python"), ROOT)
    assert [command[2] for command in commands] == programs
    assert commands[-1][-4:] == ["--constraint", "constraints.txt", "--editable", ".[dev]"]


def test_failed_installation_ends_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tutorial, "call", lambda command, root: 1)
    with pytest.raises(SystemExit, match="Is the internet on"):
        tutorial.install(Path("python"), ROOT)


# ------------------------------------------------------------------------------------------- commands
def write_lesson(root: Path, name: str, *sources: str) -> Path:
    import nbformat

    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    path = root / "notebooks" / name
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.fixture
def lesson_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNET_HOME", str(tmp_path))
    return tmp_path


def test_run_executes_in_order_and_prints_the_scores(
    lesson_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score = """import json, pathlib
folder = pathlib.Path("../runs/lesson/phantom")
folder.mkdir(parents=True)
(folder / "scores.json").write_text(json.dumps({"test images": 96, "mean Dice": 0.85342}))"""
    first = write_lesson(lesson_root, "01_a.ipynb", "open('seen', 'w').write('a')", "1 + 1")
    write_lesson(lesson_root, "02_b.ipynb", "assert open('seen').read() == 'a'", score)
    write_lesson(lesson_root, "draft.ipynb", "1 / 0")
    digest = hashlib.sha256(first.read_bytes()).digest()
    assert tutorial.run(lesson_root) == 0
    lines = [re.sub(r" +", " ", line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith("01_a.ipynb 2/2 cells") and lines[1].startswith("02_b.ipynb 2/2 cells")
    assert " test images 96" in lines and " mean Dice 0.853" in lines
    assert lines[-2] == f"Executed copies: {lesson_root / 'executed'}" and lines[-1].startswith(
        "Total time: "
    )
    assert hashlib.sha256(first.read_bytes()).digest() == digest
    copy = json.loads((lesson_root / "executed" / "01_a.ipynb").read_text(encoding="utf-8"))
    assert copy["cells"][1]["outputs"][0]["data"]["text/plain"] == ["2"]
    assert sorted(path.name for path in (lesson_root / "executed").iterdir()) == ["01_a.ipynb", "02_b.ipynb"]


def test_run_stops_at_a_failing_cell_and_shows_it(
    lesson_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lesson(lesson_root, "01_a.ipynb", "ratio = 1 / 0  # here", "never = 1")
    write_lesson(lesson_root, "02_b.ipynb", "1")
    assert tutorial.run(lesson_root) == 1
    output = capsys.readouterr().out
    assert "ratio = 1 / 0  # here" in output and "ZeroDivisionError: division by zero" in output
    assert "\x1b" not in output and "02_b" not in output
    assert [path.name for path in (lesson_root / "executed").iterdir()] == ["01_a.ipynb"]


def test_run_takes_names_and_refuses_unknown_ones(tmp_path: Path) -> None:
    for name in ("01_a.ipynb", "02_b.ipynb", "03_c.ipynb"):
        write_lesson(tmp_path, name)
    chosen = tutorial.find_notebooks(tmp_path / "notebooks", ["03", "notebooks/01_a.ipynb"])
    assert [path.name for path in chosen] == ["01_a.ipynb", "03_c.ipynb"]
    with pytest.raises(SystemExit, match="No notebook begins with 07"):
        tutorial.find_notebooks(tmp_path / "notebooks", ["07"])


def test_scores_of_an_earlier_run_are_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, age_s, dice in (("older", 3600, 0.1), ("newer", 0, 0.9)):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "scores.json"
        path.write_text(json.dumps({"dice": dice}))
        os.utime(path, (time.time() - age_s,) * 2)
    tutorial.print_scores(tmp_path, started_at=time.time() + 60)
    assert capsys.readouterr().out == ""
    tutorial.print_scores(tmp_path, started_at=time.time() - 7200)
    shown = capsys.readouterr().out
    assert "dice  0.900" in shown and str(tmp_path / "newer") in shown and "0.100" not in shown


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to one process")
def test_ctrl_c_stops_the_run_and_its_kernel(lesson_root: Path) -> None:
    source = """import os, pathlib, time
pathlib.Path("part").write_text(str(os.getpid()))
os.rename("part", "pid")
time.sleep(60)"""
    write_lesson(lesson_root, "01_a.ipynb", source)
    code = f"import sys, pathlib, tutorial; sys.exit(tutorial.run(pathlib.Path({str(lesson_root)!r})))"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pid_file = lesson_root / "notebooks" / "pid"
    deadline = time.monotonic() + 40
    while not pid_file.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130 and output.endswith("Stopped.\n")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_arguments_after_two_dashes_go_to_the_program() -> None:
    parsed = tutorial.parse(["test", "--here", "--", "-k", "dice", "--", "-x"])
    assert (parsed.command, parsed.here, parsed.extra) == ("test", True, ["-k", "dice", "--", "-x"])
    assert tutorial.parse(["run", "03"]).names == ["03"]
    assert tutorial.parse(["address", "--check"]).check


@pytest.mark.parametrize("failing", [None, "check", "format", "mypy"])
def test_lint_passes_only_if_rules_format_and_types_do(
    monkeypatch: pytest.MonkeyPatch, failing: str | None
) -> None:
    commands: list[list[str]] = []

    def call(command: list[Any], root: Path) -> int:
        commands.append([str(part) for part in command])
        return int(failing in commands[-1])

    monkeypatch.setattr(tutorial, "call", call)
    assert tutorial.lint(Path("python"), ROOT, ["--quiet"]) == (failing is not None)
    assert [command[2:4] for command in commands] == [["ruff", "check"], ["ruff", "format"], ["mypy"]]
    assert ["--quiet" in command for command in commands] == [True, True, False]


def test_mypy_is_strict_about_the_package() -> None:
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    assert mypy["strict"] is True and mypy["files"] == ["unet_helpers"]


@pytest.mark.parametrize(
    ("codes", "extra", "expected"),
    [([0, 0], [], 0), ([1, 0], [], 1), ([0, 1], [], 1), ([0, 5], [], 5), ([0, 5], ["-k", "dice"], 0)],
)
def test_test_passes_only_if_both_parts_pass(
    monkeypatch: pytest.MonkeyPatch, codes: list[int], extra: list[str], expected: int
) -> None:
    commands: list[list[str]] = []

    def call(command: list[Any], root: Path) -> int:
        commands.append([str(part) for part in command])
        return codes[len(commands) - 1]

    monkeypatch.setattr(tutorial, "call", call)
    monkeypatch.setattr(tutorial, "workers", lambda python, extra: ["-n", "2"])
    assert tutorial.test(Path("python"), ROOT, extra) == expected
    assert {"notebooks", "--nbval-lax", "-v"} <= set(commands[0])
    assert {"tests", "-n"} <= set(commands[1]) and "-n" not in commands[0]
    commands.clear()
    tutorial.test(Path("python"), ROOT, extra, units=True)
    assert len(commands) == 1 and "tests" in commands[0]


@pytest.mark.parametrize(
    ("cores", "xdist", "extra", "n_workers"),
    [
        (2, 0, [], 2),
        (4, 0, ["-k", "dice"], 4),
        (16, 0, [], 4),
        (1, 0, [], None),  # one core gains nothing
        (2, 1, [], None),  # an environment without pytest-xdist
        (2, 0, ["-n", "0"], None),
        (2, 0, ["--pdb"], None),
    ],
)
def test_unit_tests_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, xdist: int, extra: list[str], n_workers: int | None
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=xdist))
    options = tutorial.workers(Path("python"), extra)
    assert options[:2] == ([] if n_workers is None else ["-n", str(n_workers)])


def test_relative_data_folder_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNET_DATA", "scans")
    monkeypatch.setenv("PYTHONUTF8", "0")
    assert tutorial.settings()["UNET_DATA"] == str(tmp_path / "scans")
    assert tutorial.settings()["PYTHONUTF8"] == "0"
    monkeypatch.setenv("UNET_DATA", "kaggle")
    assert "UNET_DATA" not in tutorial.settings()


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (545, "9 min 05 s")])
def test_duration_reads_well(seconds: float, text: str) -> None:
    assert tutorial.duration(seconds) == text
