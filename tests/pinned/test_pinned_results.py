"""The weights of 2026-11-28 give the results of that day when they are evaluated again.

Where the machine computes the same angles, bit for bit, its results are the same bytes. Other processors add the single
precision products of a convolution in another order; features then differ by about 1e-7, and what follows is compared
to 1e-5.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_pinned_keys import EVALUATIONS, PINNED, PLAIN
from tiny import planned, quietly

from hybridq.evaluation.evaluate import evaluate
from hybridq.evaluation.inference import Inference
from hybridq.results.evaluation import read_evaluation
from hybridq.run_folder import RunFolder, open_run
from hybridq.studies.mitigation.correct_saved import mitigate_saved
from hybridq.studies.mitigation.run import mitigate, plan_mitigation
from hybridq.studies.noise.config import load_noise_study
from hybridq.studies.noise.run import study_run
from hybridq.studies.noise.tables import tables_of

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def bare_runs(old_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same runs with weights alone, before anything was evaluated."""
    results = shutil.ignore_patterns("evaluations", "mitigation", "noise", "hardware", "q_training_mean.json")
    return Path(shutil.copytree(old_runs, tmp_path_factory.mktemp("bare") / "runs", ignore=results))


def same_machine(run: RunFolder) -> bool:
    """Whether this machine computes the angles of the test images as that one did."""
    kept = read_evaluation(PINNED / "runs" / "ssl_quantum" / "evaluations" / "aer-8391e343").angles
    angles = Inference.of(run).angles
    return bool(np.array_equal(angles, kept))


def numbers(tree: Any) -> list[float]:
    """Of JSON, in order."""
    if isinstance(tree, dict):
        return [number for inside in tree.values() for number in numbers(inside)]
    if isinstance(tree, list):
        return [number for inside in tree for number in numbers(inside)]
    return [float(tree)] if isinstance(tree, (int, float)) else []


def assert_same_table(found: bytes, kept: Path, *, exactly: bool, tmp_path: Path) -> None:
    if exactly:
        assert found == kept.read_bytes()
    again = tmp_path / kept.name
    again.write_bytes(found)
    pd.testing.assert_frame_equal(pd.read_csv(again), pd.read_csv(kept), check_exact=False, **CLOSE)


@pytest.mark.parametrize(("name", "backend", "options", "folder"), EVALUATIONS)
def test_evaluations(name: str, backend: str, options: dict[str, Any], folder: str, bare_runs: Path) -> None:
    """Metrics are made of decisions and ranks, which 1e-7 does not change: the same bytes on every machine."""
    plan = planned(open_run(bare_runs / name), backend, **options)
    assert not plan.finished
    evaluate(plan, progress=quietly)
    kept, found = read_evaluation(PINNED / "runs" / name / "evaluations" / folder), read_evaluation(plan.folder)
    assert (plan.folder / "metrics.json").read_bytes() == (kept.folder / "metrics.json").read_bytes()
    assert found.ids == kept.ids
    for what in ("angles", "values", "standard_errors", "probabilities"):
        np.testing.assert_allclose(getattr(found, what), getattr(kept, what), **CLOSE)
    if np.array_equal(found.angles, kept.angles):
        assert (plan.folder / "predictions.csv").read_bytes() == (kept.folder / "predictions.csv").read_bytes()


def test_noise(bare_runs: Path, tmp_path: Path) -> None:
    run = open_run(bare_runs / "ssl_quantum")
    tables = tables_of([study_run(run, load_noise_study(PINNED / "noise.yaml"), progress=quietly)])
    for name, table in (("noise", tables.noise), ("qubits", tables.qubits), ("thresholds", tables.thresholds)):
        written = table.to_csv(index=False).encode()
        kept = PINNED / "runs" / "ssl_quantum" / "noise" / f"{name}.csv"
        assert_same_table(written, kept, exactly=same_machine(run), tmp_path=tmp_path)


def test_mitigation(bare_runs: Path, tmp_path: Path) -> None:
    run = open_run(bare_runs / "ssl_quantum")
    plan = plan_mitigation(Inference.of(run), "fake_torino:shots=256", training_images=8)
    written = (mitigate(plan, progress=quietly) / "mitigation.csv").read_bytes()
    kept = PINNED / "runs" / "ssl_quantum" / "mitigation" / plan.folder.name / "mitigation.csv"
    assert_same_table(written, kept, exactly=same_machine(run), tmp_path=tmp_path)


def test_mitigation_of_what_was_paid_for(old_run: Path, tmp_path: Path) -> None:
    kept = PINNED / "runs" / "ssl_quantum" / "mitigation" / "ibm-torino-shots-256-resilience-0-copies-1-17e833b3"
    shutil.rmtree(old_run / "mitigation")
    folder = mitigate_saved(open_run(old_run), PLAIN, split="test", progress=quietly)
    written = (folder / "mitigation.csv").read_bytes()
    assert_same_table(written, kept / "mitigation.csv", exactly=same_machine(open_run(old_run)), tmp_path=tmp_path)


def test_records_say_what_ran(bare_runs: Path) -> None:
    """Depth, gates and layout on the stored device: the circuit is compiled to the same one."""
    for name in ("hqcnn", "lean_hybrid", "several_labels", "ssl_quantum"):
        plan = planned(open_run(bare_runs / name), "fake_torino")
        found = json.loads((evaluate(plan, progress=quietly) / "record.json").read_text(encoding="utf-8"))
        kept = json.loads(
            (PINNED / "runs" / name / "evaluations" / plan.folder.name / "record.json").read_text(encoding="utf-8")
        )
        for key in ("depth", "two_qubit_gates", "layout", "gate_counts"):
            assert found[key] == kept[key]
