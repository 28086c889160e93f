"""Runs of 2026-11-28 as they were committed then, in copies that a test may write into."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import shapes  # noqa: F401  (a source of these runs)

PINNED = Path(__file__).parent


@pytest.fixture(scope="module")
def old_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of all of them; do not change it."""
    return Path(shutil.copytree(PINNED / "runs", tmp_path_factory.mktemp("pinned") / "runs"))


@pytest.fixture
def old_run(old_runs: Path, tmp_path: Path) -> Path:
    """A copy of the one with an evaluation of every kind."""
    return Path(shutil.copytree(old_runs / "ssl_quantum", tmp_path / "runs" / "ssl_quantum"))
