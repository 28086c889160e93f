"""Cells of a study as training and evaluating leave them, without training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hybridq.config import dump_experiment
from hybridq.results.evaluation import write_evaluation
from hybridq.results.selection import ImageChoice, Selection
from hybridq.run_folder import RunFolder
from hybridq.studies.models.config import Cell, Study, load_study

BASE = """
name: base
data: {source: "synthetic:patients=12,patches=4", size: 32}
pretrain: {epochs: 0}
"""
STUDY = """
name: controls
base: base.yaml
models: {hybrid: {}, mlp: {model.branch: mlp}}
seeds: [0, 1, 2]
"""
MakeStudy = Callable[..., Path]
WriteCells = Callable[..., list[Cell]]


@pytest.fixture
def make_study(tmp_path: Path) -> MakeStudy:
    """Writes a study file; keys that ``changes`` has take the place of those of ``STUDY``."""

    def make(changes: str = "") -> Path:
        keys = {line.partition(":")[0] for line in changes.splitlines()}
        kept = [line for line in STUDY.splitlines() if line.partition(":")[0] not in keys]
        (tmp_path / "base.yaml").write_text(BASE)
        file = tmp_path / "study.yaml"
        file.write_text("\n".join([*kept, changes]) + "\n")
        return file

    return make


@pytest.fixture
def write_cells(tmp_path: Path) -> WriteCells:
    """Finished cells of a study file under ``runs``; ``worse`` takes that much from the logits of a model."""

    def write(file: Path, *, skip: tuple[str, ...] = (), worse: dict[str, float] | None = None, **data) -> list[Cell]:
        study, cells = load_study(file)
        for cell in cells:
            if cell.name not in skip:
                write_cell(study, cell, tmp_path / "runs" / study.name, (worse or {}).get(cell.model, 0.0), **data)
        return cells

    return write


def write_cell(
    study: Study,
    cell: Cell,
    root: Path,
    worse: float = 0.0,
    *,
    task: str = "binary",
    classes: int = 2,
    images: int = 80,
    patients: int = 20,
    noise: float = 0.3,
    shuffled: bool = False,
    first: int = 0,
) -> None:
    """One cell: what is hard about an image and a patient is so for all cells, ``noise`` is each cell's own."""
    folder = root / cell.name
    folder.mkdir(parents=True)
    names = [f"class {index}" for index in range(classes)]
    labels = np.arange(images) % classes
    common = np.random.default_rng(5)
    hard = (
        common.normal(size=(images, classes))
        + 0.5 * common.normal(size=(patients, classes))[np.arange(images) % patients]
    )
    own = np.random.default_rng([cell.seed, *cell.model.encode()])
    rows = pd.DataFrame(
        {
            "id": [f"image-{first + index}" for index in range(images)],
            "group": [f"patient-{index % patients}" for index in range(images)],
            "split": "test",
            "label": labels,
        }
    )
    present = np.eye(classes, dtype=int)[labels] | np.eye(classes, dtype=int)[(labels + 1) % classes]
    rows = rows.join(pd.DataFrame(present, columns=[f"true_{index}" for index in range(classes)]))
    target = present if task == "multi-label" else np.eye(classes)[labels]
    logits = (2.0 - worse) * target + hard + noise * own.normal(size=hard.shape)
    if task == "multi-label":
        probabilities = 1 / (1 + np.exp(1 - logits))
    else:
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    order = own.permutation(images) if shuffled else np.arange(images)
    circuit = cell.experiment.model.branch == "circuit"
    (folder / "config.yaml").write_text(dump_experiment(cell.experiment))
    _write(folder / "data.json", {"classes": names, "task": task})
    _write(folder / "model.json", {"parameters": 1000 + cell.seed, "multiply_adds": 2_000_000})
    _write(folder / "training.json", {"seconds": {"finetune": 30.0 if circuit else 10.0}, "epochs": 3})
    if circuit:
        _write(folder / "circuit.json", {"qubits": 4})
    epochs = np.arange(3)
    history = {
        "stage": "finetune",
        "epoch": epochs,
        "loss": 0.7 * 0.8**epochs,
        "validation_auc": 0.9 - 0.4 * 0.5**epochs,
    }
    pd.DataFrame(history | {"seconds": 2.0}).to_csv(folder / "history.csv", index=False)
    for backend in study.backends if circuit else study.backends[:1]:
        write_evaluation(
            folder / "evaluations" / backend,
            Selection(RunFolder(folder), ImageChoice(), "all", rows.iloc[order].reset_index(drop=True)),
            features={"h": np.zeros((images, 8), dtype=np.float32)},
            angles=np.zeros((images, 4)),
            values=np.zeros((images, 4)),
            standard_errors=np.zeros((images, 4)),
            probabilities=probabilities[order],
            record={"backend": backend, "kind": "noiseless" if backend == "aer" else "simulated device"},
        )
    (folder / "cell.txt").write_text("\n".join([study.split, *study.backends]))


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content))
