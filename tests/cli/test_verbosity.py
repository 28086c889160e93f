"""``--version``, ``-q`` and ``-v``, and warnings: once, in one line, in the project's words."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import pytest
from hardware_cli import Command
from tiny import TINY

from hybridq.cli.verbosity import choose, to_the_front

SHORT = TINY.replace("{epochs: 2, batch_size: 16}", "{epochs: 0}").replace("epochs: 3", "epochs: 1")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "t.yaml").write_text(SHORT)
    return tmp_path / "t.yaml"


def process(arguments: list[object], folder: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, where no test runner takes warnings."""
    code = "from hybridq.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=folder,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_version_is_that_of_the_package(hybridq: Command) -> None:
    assert hybridq("--version").out == f"hybridq {version('hybridq-medical')}\n"


def test_quiet_and_verbose_stand_anywhere_but_behind_a_double_dash() -> None:
    assert to_the_front(["train", "a.yaml", "-q"]) == ["-q", "train", "a.yaml"]
    assert to_the_front(["-v", "train"]) == ["-v", "train"]
    assert to_the_front(["predict", "run", "--", "-q"]) == ["predict", "run", "--", "-q"]


def test_both_at_once_are_refused(hybridq: Command) -> None:
    assert "-q and -v: give one of them" in hybridq.refused("data", "list", "-q", "-v")


def test_quiet_shows_the_result_alone_and_the_next_command_is_not_quiet(
    config: Path, hybridq: Command, tmp_path: Path
) -> None:
    done = hybridq("train", config, "--runs", tmp_path / "runs", "-q")
    assert done.code == 0, done.error
    assert done.out.startswith("best validation AUC ")
    assert done.out.count("\n") == 1
    assert done.error == ""
    again = hybridq("train", config, "--runs", tmp_path / "runs")
    assert "is finished already" in again.out


def test_verbose_logs_what_is_done_and_why_a_command_was_refused(
    config: Path, hybridq: Command, tmp_path: Path
) -> None:
    done = hybridq("train", config, "--runs", tmp_path / "runs", "-v")
    for said in ("hybridq.config: ", "hybridq.data.images.cache: decoded images", "hybridq.training.train: "):
        assert said in done.error
    refused = hybridq("-v", "train", tmp_path / "missing.yaml")
    assert refused.code == 2
    assert "Traceback" in refused.error
    assert refused.error.splitlines()[-1].startswith("hybridq: ")
    assert "Traceback" not in hybridq("train", tmp_path / "missing.yaml").error


def test_a_weight_that_is_not_trained_is_said_once_in_one_line_and_not_by_every_later_command(
    config: Path, tmp_path: Path
) -> None:
    dead = ["--set", "model.rotations=ry,rz", "--set", "model.backbone=simple_cnn"]
    trained = process(["train", config, *dead, "--runs", "runs"], tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert trained.stderr.count("\n") == 1
    assert trained.stderr.startswith("hybridq: warning: circuit: no observable depends on the weights w[12]")
    evaluated = process(["evaluate", "runs/tiny"], tmp_path)
    assert (evaluated.returncode, evaluated.stderr) == (0, "")


def test_warnings_of_other_libraries_are_one_line_each_once_and_those_for_developers_are_logged(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    choose(quiet=False, verbose=False)
    library = tmp_path / "site-packages" / "lib" / "code.py"
    for category in (UserWarning, UserWarning, FutureWarning):
        warnings.showwarning(f"{category.__name__}: first\nsecond", category, str(library), 3)
    assert capsys.readouterr().err == "hybridq: warning of lib: UserWarning: first\n"
    choose(quiet=False, verbose=True)
    warnings.showwarning("later", FutureWarning, str(library), 3)
    assert "py.warnings: warning of lib: later" in capsys.readouterr().err
    choose(quiet=False, verbose=False)
