"""``hybridq`` against a loopback server and the unmodified client: in this process, or as one that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from hybridq.cli.main import main

KEY = "loopback-key-0123456789-never-shown"
"""API key; no file and no output may show it."""

WAITS = "poll=0.05,backoff=0.05,cap=0.2,grace=0.5,request=30"


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    error: str


def settings(environment: Mapping[str, str], ledger: Path) -> dict[str, str]:
    """Environment of a user with an account at the server and a ledger of their own."""
    return {**environment, "HYBRIDQ_LEDGER": str(ledger), "HYBRIDQ_WAITS": WAITS, "COLUMNS": "120"}


class Command:
    """``hybridq`` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> Answer:
        self._monkeypatch.setattr(sys, "argv", ["hybridq", *map(str, arguments)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        shown = self._capsys.readouterr()
        assert KEY not in shown.out + shown.err
        code = ended.value.code
        assert isinstance(code, int)
        return Answer(code, shown.out, shown.err)

    def refused(self, *arguments: object) -> str:
        """The one sentence with which a command is refused."""
        answer = self(*arguments)
        assert answer.code == 2, answer
        assert answer.error.count("\n") == 1, answer.error
        assert answer.error.startswith("hybridq: ")
        return answer.error


def start(arguments: list[object], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """``hybridq`` as a process of its own."""
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("hybridq")), *map(str, arguments)],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def configure(run: Path, hardware: str) -> None:
    """Replace a section of a run's configuration."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(config | {"hardware": yaml.safe_load(hardware)}))


def holding(text: str, *folders: Path) -> list[Path]:
    """The files below that hold a text."""
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in paths if text.encode() in path.read_bytes()]
