"""Runs of 2026-11-28 as they were committed then, in copies that a test may write into."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import shapes  # also a source of these runs

PINNED = Path(__file__).parent


@pytest.fixture(scope="module", autouse=True)
def as_drawn_then(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Shapes as they were drawn for these runs, where "many" were two squares as well."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HYBRIDQ_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patched.setitem(shapes.SQUARES, "many", 2)
        yield


@pytest.fixture(scope="module")
def old_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of all of them; do not change it."""
    return Path(shutil.copytree(PINNED / "runs", tmp_path_factory.mktemp("pinned") / "runs"))


@pytest.fixture
def old_run(old_runs: Path, tmp_path: Path) -> Path:
    """A copy of the one with an evaluation of every kind."""
    return Path(shutil.copytree(old_runs / "ssl_quantum", tmp_path / "runs" / "ssl_quantum"))
