"""Runs to export, with a backbone that is traced quickly."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import quietly

from hybridq.config import parse_experiment
from hybridq.training.train import train

SMALL = """
name: {name}
data: {{source: "{source}", size: 32}}
pretrain: {{epochs: 0}}
model: {model}
train: {{epochs: 1, batch_size: 16, threads: 1}}
"""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Trains a model for one epoch; the folder of the run, alone in its folder."""

    def make(name: str, model: str, source: str = "synthetic:patients=12,patches=2") -> Path:
        experiment = parse_experiment(SMALL.format(name=name, model=model, source=source))
        folder = tmp_path_factory.mktemp(name)
        return train(experiment, folder, announce=quietly, progress=quietly).folder

    return make


@pytest.fixture(scope="session")
def small_run(trained: Callable[..., Path]) -> Path:
    """A hybrid of four qubits; do not change it."""
    return trained("small", "{backbone: simple_cnn}")


@pytest.fixture
def run_folder(small_run: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may write into and beside."""
    return Path(shutil.copytree(small_run, tmp_path / "small", ignore=shutil.ignore_patterns("checkpoints")))
