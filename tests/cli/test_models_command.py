"""Every model and control goes the same way: trained, evaluated, reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import TINY, planned, quietly

from hybridq.config import parse_experiment
from hybridq.errors import UserError
from hybridq.evaluation.evaluate import evaluate
from hybridq.models.registry import model_names
from hybridq.reports.page import write_report
from hybridq.run_folder import RunFolder
from hybridq.training.train import train

CLASSICAL = {
    "baseline": ["model.name=baseline", "model.backbone=simple_cnn"],
    "mlp": ["model.backbone=simple_cnn", "model.branch=mlp"],
    "fourier": ["model.backbone=simple_cnn", "model.branch=fourier"],
}


def trained(root: Path, *settings: str) -> RunFolder:
    quick = ["pretrain.epochs=0", "train.epochs=1", *settings]
    return train(parse_experiment(TINY, quick), root, announce=quietly, progress=quietly)


@pytest.mark.filterwarnings("ignore:circuit. no observable depends")
@pytest.mark.parametrize("name", [name for name in model_names() if name not in ("baseline", "ssl_quantum")])
def test_a_hybrid_is_evaluated_under_noise_and_reported(name, tmp_path):
    run = trained(tmp_path, f"model.name={name}")
    for backend in ("aer", "fake_torino"):
        folder = evaluate(planned(run, backend), progress=quietly)
        assert json.loads((folder / "record.json").read_text())["backend"] == backend
    assert "fake_torino" in write_report(run.folder).read_text()


@pytest.mark.parametrize("control", CLASSICAL)
def test_a_model_without_a_circuit_is_evaluated_without_a_backend_and_says_so(control, tmp_path):
    run = trained(tmp_path, *CLASSICAL[control])
    assert not (run.folder / "circuit.json").exists()
    folder = evaluate(planned(run, "aer"), progress=quietly)
    record = json.loads((folder / "record.json").read_text())
    assert record["circuits"] == 0
    assert "no circuit" in record["note"]
    assert "no circuit" in write_report(run.folder).read_text()
    with pytest.raises(UserError, match=r"tiny: its model has no circuit; it can be evaluated on aer alone$"):
        planned(run, "fake_torino")
