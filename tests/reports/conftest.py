"""Run folders with the files that training and evaluation leave, small and seeded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from studied import write_explanations, write_studies

from hybridq.config import dump_experiment, parse_experiment
from hybridq.statistics.scored import Scored
from hybridq.statistics.tasks import task_named

# kind, shots, and the factor by which noise shrinks ⟨Z⟩; any other name is a noise model.
BACKENDS: dict[str, tuple[str, int | None, float]] = {
    "aer": ("noiseless", None, 1.0),
    "aer:shots=4096": ("sampled", 4096, 1.0),
    "fake_torino": ("simulated device", None, 0.88),
    "fake_brisbane": ("simulated device", None, 0.72),
    "ibm_torino": ("hardware", 1024, 0.7),
}
SHOWN = ("aer", "aer:shots=4096", "fake_torino", "fake_brisbane")


def write_run(
    folder: Path,
    *,
    classes: tuple[str, ...] = ("normal", "stenosis"),
    samples: int = 120,
    patients: int | None = 12,
    qubits: int = 4,
    name: str = "demo",
    simulated: bool = True,
    backends: tuple[str, ...] = SHOWN,
    quantum_share: float = 0.06,
    task: str | None = None,
    notes: tuple[str, ...] = ("14 augmented copies of test images were removed from training.",),
    everything: bool = False,
) -> Path:
    """A finished run of ``samples`` test images; every file is what the contract of the run folder says.

    ``everything`` adds validation images, explanations, and what the studies of noise, mitigation and spectrum leave.
    """
    random = np.random.default_rng(7)
    folder.mkdir(parents=True, exist_ok=True)
    experiment = parse_experiment(
        f"{{name: demo, data: {{source: 'synthetic:patients=60'}}, model: {{qubits: {qubits}}}}}"
    )
    (folder / "config.yaml").write_text(dump_experiment(experiment), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"")
    Image.new("RGB", (600, 180), "white").save(folder / "circuit.png")
    labels = np.arange(samples) % len(classes)
    groups = [f"patient-{i % patients:02d}" if patients else "" for i in range(samples)]
    ids = [f"test/{i:04d}.png" for i in range(samples)]
    _write(folder / "environment.json", ENVIRONMENT)
    _write(folder / "circuit.json", circuit(qubits))
    _write(folder / "model.json", {"parameters": sum(PARTS.values()), "parameters_by_part": PARTS, "classes": classes})
    counts = {split: dict.fromkeys(classes, samples // len(classes)) for split in ("train", "validation", "test")}
    _write(
        folder / "data.json",
        {
            "source": f"{name}:patients=60",
            "simulated": simulated,
            "groups": "synthetic patient" if patients else "none",
            "notes": list(notes),
            "counts": counts,
            "classes": classes,
            **({} if task is None else {"task": task}),
        },
    )
    history(quantum_share).to_csv(folder / "history.csv", index=False)
    _write(folder / "warnings.json", [WARNING])
    _write(folder / "training.json", TRAINING)
    splits = {"id": ids, "group": groups, "split": "test", "label": labels}
    pd.DataFrame(splits).join(targets(labels, len(classes))).to_csv(folder / "splits.csv", index=False)
    angles = random.normal(0, 0.7, (samples, qubits)) + 1.2 * (labels[:, None] - labels.mean())
    for backend in backends:
        write_evaluation(folder, backend, ids, groups, labels, angles, len(classes), task=task)
    if everything:
        others = [f"validation/{i:04d}.png" for i in range(samples)]
        shifted = angles + random.normal(0, 0.1, angles.shape)
        for backend in ("aer", "fake_torino"):
            write_evaluation(
                folder, backend, others, groups, labels, shifted, len(classes), split="validation", task=task
            )
        write_explanations(folder / "evaluations" / f"aer-test{samples}" / "explanations")
        write_studies(folder)
    return folder


def write_evaluation(
    run: Path,
    backend: str,
    ids: list[str],
    groups: list[str],
    labels: np.ndarray,
    angles: np.ndarray,
    classes: int,
    *,
    split: str = "test",
    selection: str = "all",
    task: str | None = None,
) -> Path:
    """One evaluation folder: ⟨Z⟩ = factor · cos(u + π/2) plus sampling noise, classes by distance to their mean."""
    kind, shots, factor = BACKENDS.get(backend, ("noise model", None, 0.8))
    random = np.random.default_rng(len(backend))
    values = factor * np.cos(angles + np.pi / 2)
    errors = np.zeros_like(values)
    if shots:
        errors = np.sqrt((1 - values**2) / shots)
        values = values + errors * random.normal(size=values.shape)
    centres = np.linspace(values.min(), values.max(), classes)[::-1]
    logits = -4 * (values.mean(axis=1)[:, None] - centres[None, :]) ** 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    slug = "".join(c if c.isalnum() else "-" for c in backend)
    folder = run / "evaluations" / f"{slug}-{split}{len(ids)}"
    folder.mkdir(parents=True)
    rows = pd.DataFrame({"id": ids, "group": groups, "label": labels}).join(targets(labels, classes))
    judged = task_named(task or "multi-class")
    judged.predictions(rows, probabilities).to_csv(folder / "predictions.csv", index=False)
    np.savez(folder / "expectations.npz", angles=angles, values=values, standard_errors=errors)
    known = tuple(groups) if any(groups) else None
    names = [f"label {index}" for index in range(classes)]
    given = Scored(judged.truth(rows), probabilities, known, tuple(names), split)
    metrics = judged.evaluate(given)
    _write(folder / "metrics.json", metrics)
    device = kind in {"simulated device", "hardware"}
    _write(
        folder / "record.json",
        {
            "backend": backend,
            "kind": kind,
            "simulated": kind != "hardware",
            **({} if task is None else {"task": task}),
            "shots": shots,
            "split": split,
            "samples": len(ids),
            "selection": selection,
            "depth": 31 if device else 9,
            "two_qubit_gates": 8,
            "seconds": 1.25,
            "quantum_seconds": 0.0,
            "calibrated": "2024-02-11T09:30:00Z" if device else None,
            "versions": {"qiskit": "2.1.0", "qiskit-aer": "0.17.1"},
            "layout": [12, 13, 14, 15] if device else None,
            "finished": "2026-01-05T10:00:00+00:00",
        },
    )
    return folder


def targets(labels: np.ndarray, classes: int) -> pd.DataFrame:
    """The columns true_0, true_1, …: of each image its own label and the next one, but never the last."""
    present = np.eye(classes, dtype=int)[labels] | np.eye(classes, dtype=int)[(labels + 1) % classes]
    present[:, -1] = 0
    return pd.DataFrame(present, columns=[f"true_{index}" for index in range(classes)])


def history(quantum_share: float) -> pd.DataFrame:
    """Four epochs of stage 1 and ten of stage 2."""
    e = np.arange(1, 11)
    pretrain = pd.DataFrame(
        {
            "stage": "pretrain",
            "epoch": e[:4],
            "loss": 4 - 0.5 * e[:4],
            "seconds": 3.0,
            "learning_rate": 1e-3,
            "embedding_spread": 0.4 + 0.1 * e[:4],
        }
    )
    finetune = pd.DataFrame(
        {
            "stage": "finetune",
            "epoch": e,
            "loss": 0.7 * 0.8**e,
            "seconds": 4.0,
            "learning_rate": 1e-3,
            "validation_loss": 0.7 * 0.83**e + 0.05,
            "validation_accuracy": 1 - 0.5 * 0.7**e,
            "validation_auc": 1 - 0.5 * 0.6**e,
            "alpha": 0.1 + 0.01 * e,
            "circuit_gradient_norm": 0.05 * 0.8**e,
            "quantum_share": quantum_share * (0.5 + e / 20),
        }
    )
    return pd.concat([pretrain, finetune], ignore_index=True)


def circuit(qubits: int) -> dict[str, Any]:
    """What training writes about the default circuit."""
    return {
        "qubits": qubits,
        "layers": 2,
        "depth": 9,
        "two_qubit_gates": 2 * qubits,
        "gate_counts": {"ry": 3 * qubits, "rz": 2 * qubits, "cx": 2 * qubits},
        "weights": 4 * qubits,
        "dead_weights": ["θ[7]"],
    }


PARTS = {"backbone": 2_223_872, "compression": 5124, "circuit": 16, "fusion": 5121, "head": 5122}
ENVIRONMENT = {
    "versions": {"python": "3.11.9", "torch": "2.9.0", "qiskit": "2.1.0"},
    "machine": {"system": "Linux", "processor": "a processor", "cores": 2},
    "git_commit": "0123456789abcdef",
    "seed": 0,
    "started": "2026-01-05T09:00:00+00:00",
    "threads": 2,
}
WARNING = {
    "stage": "pretrain",
    "epoch": 3,
    "signature": "collapsed embeddings",
    "sentence": "The contrastive embeddings have collapsed (spread 0.050): try a higher pretrain.temperature.",
}
TRAINING = {
    "seconds": {"pretrain": 12.0, "finetune": 40.0},
    "best_epoch": 9,
    "best_validation_auc": 0.995,
    "epochs": 10,
    "stopped": "early",
}


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run folder under the test's own directory; arguments as in :func:`write_run`."""

    def make(folder: str = "demo", **options: Any) -> Path:
        return write_run(tmp_path / folder, **options)

    return make


@pytest.fixture(name="write_run", scope="session")
def _write_run() -> Callable[..., Path]:
    return write_run


@pytest.fixture(name="write_evaluation", scope="session")
def _write_evaluation() -> Callable[..., Path]:
    return write_evaluation
