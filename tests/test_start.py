"""How a lesson starts: the package found wherever a notebook lies, and libraries that no stop cuts in two."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from unet_helpers.classroom import start
from unet_helpers.classroom.address import Address, first_cell, plumbing_cell
from unet_helpers.classroom.colab import package_zip
from unet_helpers.engine.stopping import stop_signal, whole

ROOT = Path(__file__).resolve().parents[1]
GIVEN = Address("https://github.com/anna/stones", "course")
UNSET = Address()
Cell = Callable[[Address], str]
CELLS = pytest.mark.parametrize("cell", [first_cell, plumbing_cell])  # of the lessons, and of their copies
# nothing of this checkout, and nothing that is installed from it
ALONE = """import sys
from pathlib import Path
sys.path[:] = ["", *(p for p in sys.path[1:] if not (Path(p) / "unet_helpers").is_dir())]
"""
WHERE = "\nimport unet_helpers\nprint(unet_helpers.__file__)"
IN_COLAB = """import types
files = types.ModuleType("google.colab.files")
files.upload = lambda: {chosen}
for name in ("google", "google.colab", "google.colab.files"):
    sys.modules[name] = files if name.endswith("files") else types.ModuleType(name)
"""


@pytest.fixture(autouse=True)
def no_phantom(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Data of one's own, so that `set_up` writes none in the background."""
    monkeypatch.setenv("UNET_DATA", str(tmp_path))


def run_cell(cell: str, folder: Path, before: str = "", after: str = WHERE) -> str:
    """What the plumbing prints, or the sentence with which it ends; /kaggle lies in the folder."""
    cell = cell.replace('Path("/', f'Path("{folder.as_posix()}/')
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HOME": str(folder / "me"), "USERPROFILE": str(folder / "me"), "PYTHONUTF8": "1"}
    script = folder / "me" / f"cell-{threading.get_ident()}.py"
    script.parent.mkdir(exist_ok=True)
    script.write_text(ALONE + before + cell + after, "utf-8")
    command = [sys.executable, str(script)]
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if ran.returncode == 0:
        assert ran.stderr == ""
        return ran.stdout
    last = ran.stderr.strip().splitlines()[-1]
    assert any(name in last for name in ("NoPackage", "RuntimeError", "UsageError")), ran.stderr
    return ran.stdout + last.partition(": ")[2]


def little_package(folder: Path, zipped: str = "") -> Path:
    """A package of one file that calls itself unet_helpers; as a zip, below the named folder of that zip."""
    init, settle = folder / "unet_helpers" / "__init__.py", "classroom/first_cell.py"
    if not zipped:
        (init.parent / settle).parent.mkdir(parents=True)
        init.write_text("")
        (init.parent / settle).write_text("def settle(places): pass\n")
        return init
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / zipped, "w") as archive:
        archive.writestr("stones-main/unet_helpers/__init__.py", "")
        archive.writestr("stones-main/tests/other.py", "")
    return folder / zipped


# -------------------------------------------------------------------------------------- where it is found
@CELLS
@pytest.mark.parametrize("there", ["beside", "above"])
def test_the_package_beside_or_above_the_notebook_comes_first(tmp_path: Path, there: str, cell: Cell) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    init = little_package(folder if there == "beside" else tmp_path)
    little_package(folder, "unet_helpers.zip")
    assert run_cell(cell(GIVEN), folder).strip() == str(init)


@CELLS
def test_what_is_installed_is_used_and_an_empty_folder_is_not_taken_for_it(
    tmp_path: Path, cell: Cell
) -> None:
    (tmp_path / "unet_helpers").mkdir()
    init = little_package(tmp_path / "site")
    path = f"sys.path.append({str(tmp_path / 'site')!r})\n"
    assert run_cell(cell(GIVEN), tmp_path, path).strip() == str(init)


@pytest.mark.parametrize(
    "place", [".", "content", "kaggle/input/helpers", "kaggle/input/datasets/anna/helpers"]
)
def test_a_zip_is_found_and_unpacked_once(tmp_path: Path, place: str) -> None:
    path = little_package(tmp_path / place, "unet_helpers (1).zip")
    first = run_cell(plumbing_cell(UNSET), tmp_path).strip()
    assert Path(first).is_relative_to(tmp_path / "me" / ".cache") and "stones-main" in first
    written = Path(first).stat().st_mtime_ns
    assert run_cell(plumbing_cell(UNSET), tmp_path).strip() == first
    assert Path(first).stat().st_mtime_ns == written
    assert not list((tmp_path / "me").rglob("other.py"))
    path.write_bytes(path.read_bytes() + b"newer")
    assert run_cell(plumbing_cell(UNSET), tmp_path).strip() != first


@CELLS
def test_kaggle_unpacks_a_zip_and_the_folder_is_found(tmp_path: Path, cell: Cell) -> None:
    init = little_package(tmp_path / "kaggle" / "input" / "helpers" / "unet_helpers")
    assert run_cell(cell(UNSET), tmp_path).strip() == str(init)


def test_what_the_lesson_starts_finds_the_package_too(tmp_path: Path) -> None:
    little_package(tmp_path, "unet_helpers.zip")
    code = "import unet_helpers; print(unet_helpers.__file__)"
    ask = f"\nimport subprocess\nsubprocess.run([sys.executable, '-c', {code!r}])"
    assert str(tmp_path / "me") in run_cell(plumbing_cell(UNSET), tmp_path, after=ask)


def test_a_zip_without_the_package_is_refused(tmp_path: Path) -> None:
    wrong = "This zip holds no folder unet_helpers: take unet_helpers.zip as you got it."
    (tmp_path / "unet_helpers.zip").write_bytes(b"no zip")
    assert run_cell(plumbing_cell(UNSET), tmp_path) == wrong
    with zipfile.ZipFile(tmp_path / "unet_helpers.zip", "w") as archive:
        archive.writestr("cat.txt", "meow")
    assert run_cell(plumbing_cell(UNSET), tmp_path) == wrong


# ------------------------------------------------------------------------------------ pip, and what it says
PIP = """import subprocess
def run(command, **_):
    print(*command[1:])
    if {code} == 0:
        sys.path.append({site!r})
    return subprocess.CompletedProcess(command, {code}, "", "cloning\\nfatal: unable to access\\n")
subprocess.run = run
"""


@CELLS
def test_pip_fetches_the_package_alone(tmp_path: Path, cell: Cell) -> None:
    init = little_package(tmp_path / "site")
    pip = PIP.format(code=0, site=str(tmp_path / "site"))
    command, found = run_cell(cell(GIVEN), tmp_path, pip).splitlines()
    assert command.startswith("-m pip install -q --no-deps ")
    assert command.endswith(" git+https://github.com/anna/stones@course") and found == str(init)
    assert not {"torch", "numpy", "--upgrade", "-U"} & set(command.split())


def test_without_an_address_a_sentence_says_what_to_do(tmp_path: Path) -> None:
    assert run_cell(plumbing_cell(UNSET), tmp_path) == (
        "The lesson's package is not here, and nobody has set its address yet. Put the folder unet_helpers, "
        f"or unet_helpers.zip, beside this notebook, in {tmp_path}, and run this cell again."
    )


def test_on_kaggle_with_the_internet_off_a_sentence_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "kaggle" / "working").mkdir(parents=True)
    before = PIP.format(code=1, site="") + IN_COLAB.format(chosen="{}")  # Kaggle's image is made from Colab's
    said = run_cell(plumbing_cell(GIVEN), tmp_path, before)
    assert said.splitlines()[1] == (
        "The lesson's package is not here, and https://github.com/anna/stones@course did not give it (fatal: "
        "unable to access). Either switch the internet on (Settings > Turn on internet) and run this cell "
        "again, or press Add input > Upload > New dataset, give it unet_helpers.zip, and run this cell again."
    )


def test_in_colab_a_button_takes_the_zip(tmp_path: Path) -> None:
    path = little_package(tmp_path / "downloads", "u.zip")
    button = IN_COLAB.format(chosen=f"{{'u.zip': Path({str(path)!r}).read_bytes()}}")
    first, second, found = run_cell(plumbing_cell(UNSET), tmp_path, button).splitlines()
    assert first == "The lesson's package is not here, and nobody has set its address yet."
    assert second == ("Press the button below and choose unet_helpers.zip, which came with this notebook.")
    assert str(tmp_path / "me") in found
    nothing = run_cell(plumbing_cell(UNSET), tmp_path, IN_COLAB.format(chosen="{}"))
    assert nothing.endswith("No file was chosen. Run this cell again, and choose unet_helpers.zip.")


@CELLS
def test_old_python_is_told_which_one_it_needs(tmp_path: Path, cell: Cell) -> None:
    said = run_cell(cell(UNSET), tmp_path, "sys.version_info = (3, 9, 7)\n")
    assert said.startswith("This lesson needs Python 3.11 or newer")


# ------------------------------------------------------------------------- the short cell, and the package
PLACES = [".", "content", "kaggle/input/helpers", "kaggle/input/datasets/anna/helpers"]


@pytest.fixture(scope="module")
def package() -> bytes:
    return package_zip()


@pytest.mark.parametrize("place", PLACES)
def test_a_lesson_unpacks_a_zip_once_and_whole(tmp_path: Path, place: str, package: bytes) -> None:
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    path = tmp_path / place / "unet_helpers (1).zip"
    path.write_bytes(package)
    (tmp_path / "me").mkdir()
    with ThreadPoolExecutor(2) as notebooks:  # at once
        first, second = notebooks.map(lambda _: run_cell(first_cell(UNSET), tmp_path), range(2))
    found = Path(first.strip())
    assert first == second and found.is_relative_to(tmp_path / "me" / ".cache")
    assert [one.name for one in found.parents[2].iterdir()] == [found.parents[1].name]
    assert (found.parent / "pretrained" / "weights.pt").is_file()
    child = "\nimport subprocess\nsubprocess.run([sys.executable, '-c', "
    child += "'import unet_helpers; print(unet_helpers.__file__)'])"
    assert run_cell(first_cell(UNSET), tmp_path, after=child) == first  # and the same one again


def test_a_lesson_does_not_take_half_a_zip_and_takes_it_when_it_is_whole(
    tmp_path: Path, package: bytes
) -> None:
    path = tmp_path / "unet_helpers.zip"
    path.write_bytes(package[: len(package) // 2])  # as while it is uploaded
    (tmp_path / "whole").write_bytes(package)
    cell = first_cell(UNSET)
    assert run_cell(cell, tmp_path).startswith(
        "The lesson's package is not here: it has no address yet. Put "
    )
    first_try = f"try:\n{textwrap.indent(cell, '    ')}\nexcept UsageError:\n    "
    first_try += f"Path({str(path)!r}).write_bytes(Path({str(tmp_path / 'whole')!r}).read_bytes())\n"
    assert run_cell(cell, tmp_path, first_try).startswith(str(tmp_path / "me" / ".cache"))


@pytest.mark.parametrize(
    ("where", "todo"),
    [
        ("here", "Put the folder unet_helpers, or unet_helpers.zip, into {here}"),
        (
            "colab",
            "Put the folder unet_helpers, or unet_helpers.zip, into {here} (Files, left); or on your "
            "computer, python3 tutorial.py colab OUT makes copies with it",
        ),
        (
            "kaggle",
            "Turn on internet (in Settings), or give unet_helpers.zip to Add input > Upload > New dataset",
        ),
    ],
)
def test_a_lesson_says_what_to_do_where_you_are(tmp_path: Path, where: str, todo: str) -> None:
    if where == "kaggle":
        (tmp_path / "kaggle").mkdir()
    before = PIP.format(code=1, site="") + (IN_COLAB.format(chosen="{}") if where != "here" else "")
    said = run_cell(first_cell(GIVEN), tmp_path, before).splitlines()[-1]
    want = f"fatal: unable to access. {todo.format(here=tmp_path)}. Then run this cell again."
    assert said == f"The lesson's package is not here: {want}"


def test_a_notebook_shows_that_sentence_alone(tmp_path: Path) -> None:
    cell = first_cell(UNSET).replace('Path("/', f'Path("{tmp_path.as_posix()}/')
    code = f"{ALONE}from IPython.core.interactiveshell import InteractiveShell as Shell\n"
    code += f"print(Shell.instance().run_cell({cell!r}).success)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ran.stdout == "False\n" and len(ran.stderr.splitlines()) == 1
    assert ran.stderr.startswith("UsageError: The lesson's package is not here: ")


# -------------------------------------------------------------------------------------- the carried package
def test_the_carried_package_wins_over_one_beside_and_one_that_is_loaded(tmp_path: Path) -> None:
    import base64

    carried = base64.encodebytes(package_zip()).decode()
    little_package(tmp_path)
    loaded = (
        f"sys.path.insert(0, {str(tmp_path)!r})\nimport unet_helpers\nassert not hasattr(unet_helpers, 'x')\n"
    )
    after = WHERE + "\nfrom unet_helpers.classroom import start"
    found = Path(run_cell(plumbing_cell(UNSET, carried), tmp_path, loaded, after).strip())
    assert found.is_relative_to(tmp_path / "me" / ".cache")
    (found.parent / "data.py").unlink()  # whatever cleaned there: the next start puts it back
    run_cell(plumbing_cell(UNSET, carried), tmp_path)
    assert (found.parent / "data.py").is_file()
    assert [path.name for path in found.parents[2].iterdir()] == [found.parents[1].name]


# ----------------------------------------------------------------------------------------- stops that wait
def test_a_stop_waits_until_the_block_has_ended() -> None:
    done = []

    @whole()
    def stopped() -> None:
        signal.raise_signal(signal.SIGINT)
        done.append("after the stop")

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert done == ["after the stop"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_stop_within_a_training_reaches_the_training() -> None:
    with stop_signal() as received:
        with whole():
            signal.raise_signal(signal.SIGINT)
            assert received() == 0
        assert received() == signal.SIGINT


def test_without_a_stop_nothing_changes_and_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), whole():
        1 / 0  # noqa: B018
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    done = []

    def elsewhere() -> None:
        with whole():
            done.append(1)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert done == [1]


STOPPING = """import os, signal, sys
class Stop:
    at = {modules!r}
    def find_spec(self, name, path=None, target=None):
        if name in self.at:  # in the middle of the import of its parent
            self.at.remove(name)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Stop())
def again(call):
    for attempt in range(5):
        try:
            return call()
        except KeyboardInterrupt as error:
            print("stopped", type(error).__name__, error)
"""
SET_UP = """
from unet_helpers.classroom.start import set_up
again(lambda: set_up(4))
assert not Stop.at
import torch, sympy, matplotlib.pyplot
torch.optim.AdamW([torch.zeros(1, requires_grad=True)])
sympy.logic, matplotlib.get_data_path
"""
FIT = """
from pathlib import Path
import unet_helpers as uh
from unet_helpers.training import TrainConfig
pairs = uh.find_pairs({scans!r})
split = uh.split_by_group(pairs, strata=uh.stone_strata(pairs))
config = TrainConfig(n_steps=2, batch_size=2, patch_size=32)
history = again(lambda: uh.fit(split["train"], split["val"], Path({run!r}), config, progress=False))
assert not Stop.at
print(history[-1]["step"])
"""


def stopped_process(code: str, modules: list[str]) -> str:
    code = STOPPING.format(modules=modules) + code
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to its own process")
def test_a_stop_while_libraries_are_loaded_leaves_none_of_them_in_two() -> None:
    said = stopped_process(SET_UP, ["torch.nn.utils", "matplotlib.ticker", "sympy.interactive"])
    assert said.startswith("stopped Stopped Stopped. Run this cell again") and said.count("stopped") == 1
    assert "Ready: torch " in said


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to its own process")
def test_fit_goes_on_after_a_stop_in_the_import_of_its_first_optimiser(tmp_path: Path) -> None:
    from lesson_folders import write_folder

    scans = write_folder(tmp_path / "scans", [[1, 0, 2]] * 9)
    said = stopped_process(FIT.format(scans=str(scans), run=str(tmp_path / "run")), ["sympy.interactive"])
    assert said.startswith("stopped Interrupted stopped before the first step") and said.endswith("\n2\n")


# -------------------------------------------------------------------------------------------- the one line
def test_set_up_says_versions_device_and_where_work_is_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("UNET_HOME", raising=False)
    start.set_up(1)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Ready: torch ") and ", ipywidgets " in line and ", device " in line
    assert line.endswith(" Your work is kept in runs/ of this project.")
    monkeypatch.setenv("UNET_HOME", str(tmp_path))
    start.set_up()
    assert capsys.readouterr().out.endswith(" Your work is kept in runs/ of UNET_HOME.\n")


@pytest.mark.parametrize(
    ("where", "switch"),
    [
        ("colab", "There is no GPU here. Runtime > Change runtime type > T4 GPU switches one on"),
        ("kaggle", "There is no GPU here. Settings > Accelerator > GPU T4 x2 switches one on"),
        ("here", ""),
    ],
)
def test_lesson_4_says_how_a_gpu_is_switched_on_where_one_can_be_had(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, where: str, switch: str
) -> None:
    import torch

    from unet_helpers.engine import devices

    monkeypatch.setattr(devices, "choose_device", lambda: torch.device("cpu"))
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    if where == "kaggle":
        monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    if where != "here":
        monkeypatch.setitem(sys.modules, "google.colab", sys)
    monkeypatch.setenv("UNET_DATA", "mine")  # no phantom is begun in the background
    assert start.place() == where
    start.set_up(4)
    said = capsys.readouterr().out
    assert switch in said and said.count("GPU") == switch.count("GPU")
    start.set_up(3)
    assert "GPU" not in capsys.readouterr().out


def test_a_missing_library_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ValueError, match=r"has no ipywidgets\. .*`python3 tutorial\.py lab`"):
        start.set_up(1)


def test_to_import_set_up_loads_nothing_heavy() -> None:
    code = """import sys
from unet_helpers.classroom.start import set_up
from unet_helpers.engine import stopping
print({'torch', 'numpy', 'matplotlib', 'ipywidgets'} & set(sys.modules))"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout == "set()\n", ran.stderr
