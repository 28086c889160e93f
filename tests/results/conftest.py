"""Saved evaluations, written as evaluating writes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hybridq.statistics.intervals import metrics_with_intervals

SaveEvaluation = Callable[..., Path]


@pytest.fixture
def save_evaluation(tmp_path: Path) -> SaveEvaluation:
    """Writes one evaluation folder of 40 samples; ``shift`` is added to ⟨Z⟩, ``order`` permutes the rows,
    ``q_of`` names the image whose ⟨Z⟩ each image is given."""

    def save(
        backend: str,
        kind: str,
        *,
        shift: float = 0.0,
        ids: list[str] | None = None,
        order: np.ndarray | None = None,
        angle_shift: float = 0.0,
        q_of: np.ndarray | None = None,
        **record: Any,
    ) -> Path:
        labels = np.arange(40) % 2
        angles = np.random.default_rng(0).normal(0, 0.4, (40, 2)) + 0.8 * (labels[:, None] - 0.5)
        values = np.sin(angles if q_of is None else angles[q_of]) + shift
        positive = 1 / (1 + np.exp(-6 * values.mean(axis=1)))
        probabilities = np.column_stack([1 - positive, positive])
        names = ids or [f"image-{i}" for i in range(40)]
        rows = np.arange(40) if order is None else order
        folder = tmp_path / "evaluations" / backend.replace(":", "-")
        folder.mkdir(parents=True)
        table = pd.DataFrame({"id": names, "group": "", "label": labels, "predicted": probabilities.argmax(axis=1)})
        table["p_0"], table["p_1"] = probabilities.T
        table.iloc[rows].to_csv(folder / "predictions.csv", index=False)
        np.savez(
            folder / "expectations.npz",
            angles=(angles + angle_shift)[rows],
            values=values[rows],
            standard_errors=np.zeros((40, 2)),
        )
        metrics = metrics_with_intervals(labels[rows], probabilities[rows], None, seed=0)
        (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        described = {
            "backend": backend,
            "kind": kind,
            "simulated": kind != "hardware",
            "split": "test",
            "selection": "all",
            "samples": 40,
            "shots": None,
            "depth": 7,
            "two_qubit_gates": 2,
            "seconds": 0.5,
            "quantum_seconds": 0.0,
        }
        (folder / "record.json").write_text(json.dumps(described | record), encoding="utf-8")
        return folder

    return save
