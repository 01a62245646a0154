"""The contract of Colab finds what it is there to find; and the stand-ins behave like what they stand for."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from colab import checks, contract, environment, lessons, machines, recipes, student, ways
from colab.environment import Environment
from colab.lessons import Outcome, Place
from colab.ways import Way
from lesson_runs import Ran
from packaging.requirements import Requirement

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import tutorial


class OwnPython(Environment):
    """The Python of the tests, with a folder of packages that a lesson may spoil."""

    @property
    def python(self) -> Path:
        return Path(sys.executable)

    @property
    def site(self) -> Path:
        return self.folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A sandbox; its machines are no folders of this computer's root."""
    roots = {kind: str(tmp_path / kind) for kind in machines.PLACES}
    monkeypatch.setattr(machines, "PLACES", {kind: (root, root) for kind, root in roots.items()})
    site = tmp_path / "site"
    for name, version in (("torch", "2.11.0"), ("numpy", "2.1.3")):
        write_package(site, name, version)
    return Place(tmp_path / "sandbox", tmp_path / "logs", OwnPython(site, "this Python"))


def write_package(site: Path, name: str, version: str) -> None:
    """What an installed package looks like to whoever lists them."""
    about = site / f"{name}-{version}.dist-info"
    about.mkdir(parents=True)
    (site / name).mkdir()
    (site / name / "__init__.py").write_text("")
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (about / "RECORD").write_text(f"{name}/__init__.py,,\n")


def write_wheel(folder: Path, name: str, version: str) -> Path:
    """The smallest wheel that pip installs."""
    path, about = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", "")
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", f"{name}/__init__.py,,\n")
    return path


def way_with(tmp_path: Path, *sources: str) -> Way:
    common: dict[str, Any] = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [{**common, "id": f"cell-{k}", "source": source} for k, source in enumerate(sources)]
    books = tmp_path / "books"
    books.mkdir()
    book = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (books / "01_planted.ipynb").write_text(json.dumps(book), encoding="utf-8")
    return Way("planted", books)


SLIDERS = """\
import ipywidgets
def show(widget):
    from IPython.display import display
    view = "application/vnd.jupyter.widget-view+json"
    display({view: {"model_id": widget.model_id}, "text/plain": "a slider"}, raw=True)
good, bad, still = (ipywidgets.IntSlider(0, max=3) for _ in range(3))
label = ipywidgets.Label("0")
good.observe(lambda change: setattr(label, "value", str(change["new"])), names="value")
"""
PICTURE = """\
from IPython.display import display
meta = {"image/png": {"alt": "a point"}} if ALT else {}
display({"image/png": "iVBORw0KGgo=", "text/plain": "a point"}, metadata=meta, raw=True)
"""


# -------------------------------------------------------------------------------------- whole lessons
def test_a_lesson_in_order_passes(place: Place, tmp_path: Path) -> None:
    shown = "show(ipywidgets.VBox([good, label]))\nshow(still)"
    where = "import os\nassert os.listdir() == [] and 'UNET_HOME' not in os.environ"
    outcome = lessons.lesson(
        place, 1, way_with(tmp_path, where, SLIDERS, shown, "ALT = True\n" + PICTURE, "")
    )
    assert not outcome.faults
    assert outcome.cells == (5, 5)
    assert "2 widgets, 2 controls moved" in outcome.notes
    assert "nothing changed after a move in cell-2" in outcome.notes
    assert "--- cell-3" in lessons.log_of(outcome).read_text()
    assert not Path(machines.PLACES["colab"][0]).exists()


def test_all_that_is_wrong_with_a_lesson_is_found(place: Place, tmp_path: Path) -> None:
    wheel, site = write_wheel(tmp_path, "numpy", "9.9"), place.environment.site
    install = (
        "import subprocess, sys\npip = [sys.executable, *'-m pip install -q --no-deps --upgrade'.split()]\n"
        f"assert subprocess.call([*pip, '--no-index', '--target', {str(site)!r}, {str(wheel)!r}]) == 0"
    )
    planted = (
        "import sys\nprint('quietly', file=sys.stderr)",
        "print('FutureWarning: it will go')",
        "ALT = False\n" + PICTURE,
        f"{SLIDERS}\nshow(ipywidgets.HBox([good, bad]))\nbad.close()",
        install,
        "1 / 0",
        "print('never')",
    )
    outcome = lessons.lesson(place, 1, way_with(tmp_path, *planted))
    for k, words in enumerate(
        (
            "cell cell-0 writes to standard error: quietly",
            "cell cell-1 shows a warning: FutureWarning: it will go",
            "cell cell-2 shows a picture without alternative text",
            "cell cell-3 shows a widget of which 1 parts have no model",
            "the files of numpy were written anew; numpy was 2.1.3 and is 9.9",
            "cell cell-5 ended with ZeroDivisionError: division by zero",
        )
    ):
        assert any(words in fault for fault in outcome.faults), (k, outcome.faults)
    assert outcome.cells == (5, 7)
    assert not any("torch" in fault for fault in outcome.faults)


@pytest.mark.parametrize(
    ("source", "seconds", "words"),
    [
        ("import time\ntime.sleep(60)", 1.0, "cell-0 runs for more than 1 s"),
        ("import os\nos._exit(1)", 60.0, "the kernel died in cell-0"),
    ],
)
def test_a_lesson_that_hangs_or_dies_is_a_fault_and_the_next_one_has_its_turn(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, seconds: float, words: str
) -> None:
    monkeypatch.setattr(student.Student, "timeout", seconds)
    outcome = lessons.lesson(place, 1, way_with(tmp_path, source))
    assert len(outcome.faults) == 1 and words in outcome.faults[0]
    assert outcome.cells == (0, 1)


def test_a_control_that_fails_when_it_is_moved_is_a_fault(place: Place, tmp_path: Path) -> None:
    broken = f"{SLIDERS}\nbad.observe(lambda change: gone, names='value')\nshow(good)\nshow(bad)"
    outcome = lessons.lesson(place, 1, way_with(tmp_path, broken))
    assert len(outcome.faults) == 1 and "a control of cell cell-0 fails" in outcome.faults[0]
    assert "gone" in outcome.faults[0]


# -------------------------------------------------------------------------------------------- checks
def stream(text: str) -> tuple[float, str, dict[str, Any]]:
    return 0.0, "stream", {"name": "stdout", "text": text}


def picture(name: str, kind: str = "display_data") -> tuple[float, str, dict[str, Any]]:
    return 0.0, kind, {"data": {"text/plain": "curves"}, "transient": {"display_id": name}}


def bar(text: str) -> dict[str, Any]:
    return {"data": {"text/plain": text}, "transient": {"display_id": "bar"}}


def test_a_training_must_show_how_far_it_is() -> None:
    good = Ran(
        "run", shown=[picture("p"), stream("training   0%|"), *[stream(f"\rtraining {k}%|") for k in (5, 50)]]
    )
    good.shown += [picture("p", "update_display_data"), stream("\rtraining 100%|##| \n")]
    assert not checks.looks_frozen(good)
    assert [text for text in checks.page(good) if "%|" in text] == ["training 100%|##| \n"]
    assert checks.looks_frozen(Ran("run", shown=[stream("training 0%|"), stream("\rtraining 100%|")]))
    assert checks.looks_frozen(Ran("run", shown=good.shown[:-1]))
    line = [(0.0, "update_display_data", bar(f"training {k} %")) for k in (1, 30, 60)]
    words = (0.0, "update_display_data", bar("training finished in 7 s: step 60"))
    line = [(0.0, "display_data", bar("training 0 %")), *line]
    assert checks.looks_frozen(Ran("run", shown=line))
    assert not checks.looks_frozen(Ran("run", shown=[*line, words]))


def test_a_bar_that_goes_on_below_a_new_picture_leaves_two() -> None:
    """The fault of the first live pictures: the old bar stayed on the page at 4 %."""
    twice = Ran("run", shown=[stream("training   4%|"), picture("p"), stream("\rtraining  50%|")])
    twice.shown += [stream("\rtraining 100%|\n")]
    assert checks.looks_frozen(twice) == ["cell run leaves 2 progress bars on the page"]


def test_the_longest_silence_is_measured() -> None:
    ran = Ran("run", seconds=9.0, shown=[(1.0, "stream", {}), (2.0, "status", {}), (6.0, "comm_msg", {})])
    assert checks.longest_silence([ran]) == (5.0, "run")


def test_cells_that_never_ran_are_named() -> None:
    assert checks.faults([Ran("a")], ["a", "b", "c"]) == ["2 cells did not run, from b on"]
    assert checks.missing_pictures([Ran("a"), Ran("b", pictures=1)], {"a", "b"}) == [
        "cell a shows no picture"
    ]


@pytest.mark.parametrize(
    ("state", "new"),
    [
        ({"_model_name": "IntSliderModel", "value": 3, "max": 3, "min": 0, "step": 1}, {"value": 2}),
        ({"_model_name": "FloatSliderModel", "value": 0.0, "max": 1, "min": 0, "step": 0.5}, {"value": 0.5}),
        ({"_model_name": "DropdownModel", "index": 1, "_options_labels": ["a", "b"]}, {"index": 0}),
        ({"_model_name": "CheckboxModel", "value": True}, {"value": False}),
        ({"_model_name": "LabelModel", "value": "words"}, None),
        ({"_model_name": "IntSliderModel", "value": 3, "max": 3, "min": 3, "step": 1}, None),
    ],
)
def test_controls_are_moved_to_where_they_may_go(state: dict[str, Any], new: dict[str, Any] | None) -> None:
    assert checks.moved(state) == new


# ----------------------------------------------------------------------------------- environment, machines
def test_only_our_own_package_may_come_and_goes_with_the_machine(place: Place) -> None:
    before = place.environment.state()
    write_package(place.environment.site, "unet_helpers", "1.0")
    ours = place.environment.site / "unet_helpers-1.0.dist-info"
    ours.rename(ours.with_name("unet_kidney_stones-1.0.dist-info"))
    about = place.environment.site / "unet_kidney_stones-1.0.dist-info" / "METADATA"
    about.write_text(about.read_text().replace("unet_helpers", "unet-kidney-stones"))
    after = place.environment.state()
    assert after != before and not environment.differences(before, after)
    place.environment.make_new()
    assert place.environment.state() == before
    (place.environment.site / "torch" / "__init__.py").write_text("changed")
    assert environment.differences(before, place.environment.state()) == [
        "the files of torch were written anew"
    ]


def test_what_exists_on_this_computer_is_left_alone(
    tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(machines.PLACES["colab"][0])
    assert machines.refusal("colab") == "" and not root.exists()
    root.symlink_to(tmp_path / "gone")  # left by a contract that was killed
    assert machines.refusal("colab") == "" and not root.is_symlink()
    root.mkdir()
    assert "is left alone" in machines.refusal("colab")
    monkeypatch.setattr(recipes, "refusal", machines.refusal)
    outcome = recipes.drive(place, Way("address", tmp_path))
    assert "is left alone" in outcome.skipped and "skipped" in contract.line(outcome)


def test_colabs_versions_are_accepted_by_the_package() -> None:
    import tomllib

    project = tomllib.loads((tutorial.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = {(one := Requirement(line)).name: one.specifier for line in project["dependencies"]}
    pins = {(pin := Requirement(line)).name: next(iter(pin.specifier)).version for line in environment.COLAB}
    assert pins["ipywidgets"] == "7.7.1" and pins["ipython"] == "7.34.0"
    assert all(pins[name] in wanted[name] for name in pins if name in wanted)
    assert set(wanted) <= {*pins, *environment.THERE_TOO}  # --no-deps brings nothing along


# -------------------------------------------------------------------------------------------- recipes
RECIPE = """\
# Colab forgets all files. To keep them on your Google Drive,
# take the "# " away from these lines:
# import os
# from google.colab import drive
# drive.mount("/content/drive")
# %env UNET_HOME=/content/drive/MyDrive/unet

# not this one
print("here")"""


def test_the_recipe_for_drive_is_followed_to_the_letter() -> None:
    lines = recipes.uncommented(RECIPE).splitlines()
    assert lines[:2] == RECIPE.splitlines()[:2] and lines[6:] == RECIPE.splitlines()[6:]
    assert lines[2:6] == [
        "import os",
        "from google.colab import drive",
        'drive.mount("/content/drive")',
        "%env UNET_HOME=/content/drive/MyDrive/unet",
    ]
    with pytest.raises(ValueError, match=r"holds drive\.mount"):
        recipes.uncommented("print('no recipe')")


def test_only_runs_and_progress_may_lie_on_drive(tmp_path: Path) -> None:
    home = tmp_path / "MyDrive" / "unet"
    for name in ("runs/lesson/phantom/best.pt", "progress.json", ".progress.lock"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("")
    outcome = Outcome("Drive")
    assert recipes.what_lies_there(tmp_path, outcome) == [] and "3 files on Drive" in outcome.notes[0]
    (home / "data").mkdir()
    for k in range(50):
        (home / "data" / f"{k}.png").write_text("")
    found = recipes.what_lies_there(tmp_path, Outcome("Drive"))
    assert "unet/data/0.png lies on Drive" in " ".join(found) and len(found) == 10


@pytest.mark.parametrize(
    ("ran", "calm"),
    [
        (Ran("a", error="Stopped", traceback=["Stopped. Run this cell again."]), True),
        (Ran("a", printed="Stopped at step 3; everything is saved."), True),
        (Ran("a", printed="validation Dice 0.80"), False),  # who pressed stop is told nothing
        (
            Ran("a", error="KeyboardInterrupt", traceback=["Traceback", "File x", "KeyboardInterrupt: "]),
            False,
        ),
        (Ran("a", printed="Stopped.", stderr="Exception ignored in"), False),
    ],
)
def test_a_stop_is_calm_or_not(ran: Ran, calm: bool) -> None:
    assert recipes.calm(ran) == calm


# ----------------------------------------------------------------------------------------- the stand-ins
def run_stub(code: str, folder: Path, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True,
        env={**variables, "PYTHONPATH": str(machines.STUB), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_stub_mounts_drive_as_colab_does(tmp_path: Path) -> None:
    code = f"""
from google.colab import drive
drive.mount("{tmp_path}/drive")
open("{tmp_path}/drive/MyDrive/a", "w").close()
drive.mount("{tmp_path}/drive")
drive.flush_and_unmount("{tmp_path}/drive")"""
    said = run_stub(code, tmp_path, STUB_DRIVE=str(tmp_path / "mine"))
    assert said.startswith("Mounted at ") and "Drive already mounted at" in said
    assert (tmp_path / "mine" / "MyDrive" / "a").is_file() and not (tmp_path / "drive").exists()
    full = tmp_path / "full"
    full.mkdir()
    (full / "file").write_text("")
    code = (
        f"from google.colab import drive\ntry: drive.mount({str(full)!r})\nexcept ValueError as e: print(e)"
    )
    said = run_stub(code, tmp_path, STUB_DRIVE=str(tmp_path / "mine"))
    assert said == "Mountpoint must not already contain files\n"


def test_the_stub_uploads_what_was_chosen_or_nothing(tmp_path: Path) -> None:
    code = "from google.colab import files\nprint(*files.upload().items())\nprint(*files.upload())"
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "a.zip").write_bytes(b"zip")
    assert run_stub(code, tmp_path) == "\n\n"
    said = run_stub(code, tmp_path, STUB_UPLOAD=str(tmp_path / "from" / "a.zip"))
    assert "('a.zip', b'zip')" in said and said.endswith("a (1).zip\n")
    assert (tmp_path / "a.zip").read_bytes() == b"zip"


def test_the_published_project_names_its_address_and_git_finds_it(tmp_path: Path) -> None:
    way = ways.by_address(tmp_path)
    for path in student.books_of(way.books).values():
        assert f"{ways.GITHUB}" in path.read_text("utf-8"), path.name
    listed = subprocess.run(
        ["git", "ls-remote", ways.GITHUB], capture_output=True, text=True,
        env={**dict(way.settings), "PATH": "/usr/bin:/bin:/usr/local/bin"},
    )  # fmt: skip
    assert "refs/heads/main" in listed.stdout, listed.stderr
    assert ways.GITHUB not in (tutorial.ROOT / "pyproject.toml").read_text("utf-8")


# ------------------------------------------------------------------------------------------ the report
@pytest.mark.parametrize(
    ("outcomes", "code", "words"),
    [
        ([Outcome("a"), Outcome("b", skipped="no /content")], 0, "1 passed, 0 failed, 1 skipped"),
        ([Outcome("a"), Outcome("b", "copy", faults=["broken"])], 1, "FAILED: b (copy): broken"),
        ([], 1, "0 passed, 0 failed, 0 skipped"),
    ],
)
def test_the_report_and_the_exit_code_tell_what_failed(
    place: Place, outcomes: list[Outcome], code: int, words: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    made = [(one.what, lambda one=one: one) for one in outcomes]
    monkeypatch.setattr(contract, "tasks", lambda place, short: iter(made))
    assert contract.contract(place.environment, True, [], place.logs) == code
    said = capsys.readouterr().out
    assert words in said and contract.SIMULATED in said


def test_a_task_that_cannot_begin_is_a_fault() -> None:
    def broken() -> Outcome:
        raise RuntimeError("tutorial.py colab failed")

    assert contract.done(("copy 1", broken)).faults == ["RuntimeError: tutorial.py colab failed"]


def test_short_is_a_part_of_the_whole(place: Place) -> None:
    short, whole = ([name for name, _ in contract.tasks(place, one)] for one in (True, False))
    assert set(short) < set(whole)
    assert {"copy 1", "copy 4", "copy 5", "drive", "kaggle copy"} <= set(short) and "stops" in whole
    assert all(f"{way} {number}" in whole for way in ("copy", "address") for number in range(1, 8))


def test_the_starter_passes_on_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def call(command: list[Any], root: Path) -> int:
        asked.append([*map(str, command)])
        return 0

    monkeypatch.setattr(tutorial, "call", call)
    monkeypatch.setattr(tutorial, "set_up", lambda: Path("python"))
    assert tutorial.main(["test", "--colab", "--short", "--", "copy 4"]) == 0
    assert tutorial.main(["test", "--colab", "--units", "--", "-k", "dice"]) == 0
    assert [command[-2:] for command in asked] == [["--short", "copy 4"], ["-k", "dice"]]
    assert all(command[1].endswith("contract.py") for command in asked) and "--units" in asked[1]


def test_the_environment_is_kept_as_long_as_its_stamp_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def no_uv(*words: Any) -> int:
        asked.append(words)
        return 1

    monkeypatch.setattr(environment, "_uv", no_uv)
    folder = tmp_path / ".venv-colab"
    folder.mkdir()
    known = {"fingerprint": environment.fingerprint(False), "told": "Python 3.13", "borrowed": ""}
    (folder / environment.STAMP).write_text(json.dumps(known))
    assert environment.build(root=tmp_path).told == "Python 3.13" and not asked
    environment.spoil(Environment(folder, ""))
    with pytest.raises(SystemExit, match="No environment could be built"):
        environment.build(root=tmp_path)
    assert asked[0][0] == "venv"
