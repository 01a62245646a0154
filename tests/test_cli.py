"""The command line as a whole: help, errors in one sentence, Ctrl-C, and the pipeline."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_tools import SMALL, call, usage_error

from unet_helpers import phantom
from unet_helpers.checkpoint import load_state
from unet_helpers.command_line import check, parser, pipeline
from unet_helpers.command_line.main import main
from unet_helpers.engine.settings import COMPILE_CHOICES
from unet_helpers.folders.finding import GROUP_BY
from unet_helpers.formats.kinds import FORMATS
from unet_helpers.formats.plan import AXES
from unet_helpers.training import TrainConfig

pytest_plugins = ["cli_runs"]

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("phantom", "convert", "check", "train", "evaluate", "predict")


def sub_parsers() -> dict[str, argparse.ArgumentParser]:
    (commands,) = (a for a in parser.make_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(commands.choices)


def options_of(name: str) -> dict[str, argparse.Action]:
    """The options and arguments of a sub-command by their longest name, without --help."""
    actions = sub_parsers()[name]._actions[1:]
    return {max(action.option_strings or [action.dest], key=len): action for action in actions}


# --------------------------------------------------------------------------------------------------- help
def test_the_sub_commands_are_these():
    assert tuple(sub_parsers()) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str):
    for option, action in options_of(name).items():
        assert action.help and len(action.help.split()) > 1, f"{name} {option} has no help"


@pytest.mark.parametrize("name", COMMANDS)
def test_defaults_are_told_as_they_are(name: str):
    for option, action in options_of(name).items():
        told = re.findall(r"\(default (\S+)\)", action.help or "")
        if told and action.default is not None:
            assert told == [str(action.default)], option


def test_the_defaults_of_train_are_those_of_a_new_run():
    config, options = TrainConfig(), options_of("train")
    for option, value in (
        ("--steps", config.n_steps),
        ("--batch-size", config.batch_size),
        ("--patch-size", config.patch_size),
        ("--learning-rate", config.learning_rate),
        ("--seed", config.seed),
        ("--compile", config.compile),
    ):
        assert options[option].default is None and f"(default {value}" in (options[option].help or "")


def test_what_the_parser_repeats_is_as_at_home():
    assert parser.COMPILE_CHOICES == COMPILE_CHOICES and parser.GROUP_BY == GROUP_BY
    assert tuple(FORMATS) == parser.FORMATS and AXES == parser.AXES
    assert parser.MOST_SLICES == phantom.MOST_SLICES


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_needs_nothing_heavy(name: str):
    code = (
        "import sys, time; from contextlib import suppress; from unet_helpers.command_line.main import main\n"
        f"with suppress(SystemExit): main({[*name.split(), '--help']})\n"
        "heavy = sorted({'torch', 'numpy', 'matplotlib', 'PIL', 'scipy'} & sys.modules.keys())\n"
        "print(heavy, time.process_time(), sep='\\n', file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "usage: python -m unet_helpers" in ran.stdout
    modules, seconds = ran.stderr.split("\n")[:2]
    assert modules == "[]" and float(seconds) < 0.3


# --------------------------------------------------------------------------------------- errors and Ctrl-C
def test_errors_are_one_sentence_unless_a_traceback_is_asked_for(tmp_path: Path, monkeypatch, capsys):
    assert call("check", tmp_path / "nowhere") == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and "Traceback" not in captured.err + captured.out
    monkeypatch.setenv("UNET_TRACEBACK", "1")
    with pytest.raises(FileNotFoundError):
        call("check", tmp_path / "nowhere")


def test_ctrl_c_outside_training_is_130(monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "open_dataset", stop)
    assert main(["check", "phantom"]) == 130 and capsys.readouterr().err == "stopped\n"


def test_an_unknown_sub_command_is_a_usage_error(capsys):
    usage_error("segment")
    assert "invalid choice: 'segment'" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------- the whole of it
def test_without_a_sub_command_the_pipeline_runs(data: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("UNET_DATA", str(data))
    monkeypatch.setenv("UNET_HOME", str(tmp_path))
    fit = pipeline.fit
    monkeypatch.setattr(pipeline, "fit", lambda *given, **more: fit(*given, config=SMALL, **more))
    assert main([]) == 0
    run = tmp_path / "runs" / "pipeline"
    assert {path.name for path in run.iterdir()} >= {"best.pt", "last.pt", "scores.json", "examples.png"}
    scores = json.loads((run / "scores.json").read_text())
    assert (scores["split"], scores["n_images"]) == ("test", 2)
    out = capsys.readouterr().out
    assert "grey >= " in out and "U-Net on test data" in out and "chosen on 2 validation images" in out
    assert main([]) == 0 and "finished" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------ a real process
@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_in_a_real_process_saves_everything(data: Path, tmp_path: Path):
    run = tmp_path / "run"
    words = ("train", data, "--out", run, "--minutes", 5, "--base-channels", 1, "--device", "cpu")
    process = subprocess.Popen(
        [sys.executable, "-m", "unet_helpers", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 200
    while not (run / "last.pt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "everything is saved" in out, err
    assert "To go on, give the same command with --resume" in out and "Traceback" not in out + err
    state = load_state(run / "last.pt")
    assert state["step"] >= 1 and state["config"]["minutes"] == 5
    assert (run / "split.json").exists()
