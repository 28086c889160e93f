"""What tests share: one thread a process, and one small trained run.

On two cores, threads of torch, Aer and OpenBLAS wait for each other longer than they work.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tiny import TINY, quietly

for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(library, "1")


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished run on synthetic images; do not change it."""
    from hybridq.config import parse_experiment
    from hybridq.training.train import train

    return train(parse_experiment(TINY), tmp_path_factory.mktemp("runs"), announce=quietly, progress=quietly).folder
