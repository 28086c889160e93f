"""What tests share: one thread a process, nothing of the user's, and one small trained run.

On two cores, threads of torch, Aer and OpenBLAS wait for each other longer than they work.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import TINY, quietly

for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(library, "1")

# The user's ledger and IBM account are not a test's to use, in this process or in one that it starts.
os.environ["HYBRIDQ_LEDGER"] = str(Path(tempfile.mkdtemp(prefix="hybridq-tests-")) / "ledger.sqlite")
atexit.register(shutil.rmtree, Path(os.environ["HYBRIDQ_LEDGER"]).parent, ignore_errors=True)
for name in [name for name in os.environ if name.startswith(("QISKIT_IBM_", "IAM_URL", "HYBRIDQ_WAITS"))]:
    del os.environ[name]


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Decoded images of all tests, away from the user's."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["HYBRIDQ_CACHE_DIR"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of a finished run on synthetic images; do not change it."""
    from hybridq.config import parse_experiment
    from hybridq.training.train import train

    folder = train(parse_experiment(TINY), tmp_path_factory.mktemp("runs"), announce=quietly, progress=quietly).folder
    trained = set(folder.rglob("*"))
    yield folder
    added = sorted(map(str, set(folder.rglob("*")) ^ trained))
    assert not added, f"a test wrote into the run that all share: {', '.join(added)}"
