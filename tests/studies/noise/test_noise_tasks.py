"""Noise where an image may have several labels, and where classes are grades; decided from the circuit alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapes  # noqa: F401  (the source)
from tiny import quietly

from hybridq.config import parse_experiment
from hybridq.evaluation.inference import Inference
from hybridq.studies.noise.config import NoiseStudy
from hybridq.studies.noise.run import study_run
from hybridq.studies.noise.write import write_results
from hybridq.training.train import train

CONFIG = """
name: {task}
data: {{source: "shapes:task={task}", size: 32}}
pretrain: {{epochs: 0}}
model: {{name: lean_hybrid, layers: 1}}
train: {{epochs: 1, batch_size: 16, threads: 1}}
"""
STUDY = NoiseStudy(others=(), sources=("all",), scales=(1, 8), shots=(64,), draws=1, layouts=(), seeds_transpiler=())


@pytest.mark.parametrize("task", ["multi-label", "ordinal"])
def test_every_task_is_studied_to_the_figures(task: str, tmp_path: Path) -> None:
    run = train(parse_experiment(CONFIG.format(task=task)), tmp_path, announce=quietly, progress=quietly)
    studied = study_run(run, STUDY, progress=quietly)
    inference = Inference.of(run)
    q = inference.exact_values()
    probabilities = inference.probabilities(q)
    np.testing.assert_allclose(inference.log_odds(q), np.log(probabilities / (1 - probabilities)), atol=1e-6)
    tables = write_results([studied], STUDY, run.folder / "noise", seconds=0.0, progress=quietly)
    cells = {saved.cell.backend: saved for saved in studied.cells}
    noiseless, own, strong = (cells[name] for name in ("aer", "fake_torino", "fake_torino:scale=8"))
    assert "validation_threshold" not in noiseless.row
    assert set(inference.selection.task.metrics) < set(noiseless.row)
    assert strong.row["z_error_rms"] > own.row["z_error_rms"] > 0
    assert (tables.noise["quantum_share"] == 1).all()  # whatever is learned passes the circuit
    assert (run.folder / "noise" / "figures" / "fake-torino-metrics.png").is_file()
