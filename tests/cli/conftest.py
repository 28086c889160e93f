"""A run, an account at a loopback server, and the command."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hardware_cli import KEY, Command, settings
from loopback import Loopback


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the trained run that a test may write into."""
    return Path(shutil.copytree(tiny_run, tmp_path / "tiny", ignore=shutil.ignore_patterns("checkpoints")))


@pytest.fixture
def ledger_path(tmp_path: Path) -> Path:
    """Of this test alone."""
    return tmp_path / "user" / "ledger.sqlite"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, ledger_path: Path) -> Iterator[Loopback]:
    """A service with ibm_torino that answers at once, with an account and a ledger in the environment.

    It runs nothing: its values are random, and the same for the same angles.
    """
    with Loopback("torino", key=KEY, execution="counterfeit") as service:
        for name, value in settings(service.environment, ledger_path).items():
            monkeypatch.setenv(name, value)
        yield service


@pytest.fixture
def hybridq(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command, in this process."""
    return Command(monkeypatch, capsys)
