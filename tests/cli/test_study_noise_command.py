"""hybridq study noise, from trained runs to tables and figures, as a person runs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hardware_cli import Command
from PIL import Image
from tiny import TINY, quietly

from hybridq.config import parse_experiment
from hybridq.training.train import train

SMALL = """
devices: [fake_torino]
others: [fake_manila]
sources: [all, readout]
scales: [1, 4]
shots: [64]
draws: 2
layouts: [best, worst]
seeds_transpiler: [1]
"""
CELLS = 1 + 2 + 2 * 2 + 2 + 1 + 1 + 2
"""Noiseless; its shots; sources × scales; shots; the worst qubits; a seed; the other device."""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "noise.yaml"
    file.write_text(SMALL)
    return file


@pytest.fixture(scope="module")
def linear_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A control without a circuit."""
    changes = ["name=linear", "model.branch=linear", "pretrain.epochs=0", "train.epochs=1"]
    experiment = parse_experiment(TINY, changes)
    return train(experiment, tmp_path_factory.mktemp("runs"), announce=quietly, progress=quietly).folder


def test_a_study_from_the_command_to_the_figures_and_on_where_it_was_killed(
    run: Path, config: Path, hybridq: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    told = hybridq("study", "noise", run, "--config", config)
    assert told.code == 0, told.error
    assert max(len(line) for line in told.out.splitlines() if line.startswith(("│", "┃"))) <= 80
    folder = run / "noise"
    noise = pd.read_csv(folder / "noise.csv")
    assert len(noise) == CELLS
    assert set(noise["source"]) == {"none", "all", "readout"}
    assert len(pd.read_csv(folder / "qubits.csv")) == CELLS * 4
    thresholds = pd.read_csv(folder / "thresholds.csv")
    assert len(thresholds) == 2 * 3  # drops × (two sources of one device, all of the other)
    assert (thresholds["strength"].isna() == thresholds["words"].str.startswith("not reached")).all()
    record = json.loads((folder / "record.json").read_text())
    assert (record["cells"], record["simulated"], record["left_out"]) == (CELLS, True, {})
    figures = sorted(path.name for path in (folder / "figures").glob("*.png"))
    kinds = ("branch", "decisions", "heat", "logits", "metrics", "placement", "qubits", "shots", "sources")
    assert figures == ["devices.png", *(f"fake-torino-{kind}.png" for kind in kinds)]
    for name in figures:
        with Image.open(folder / "figures" / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 5
    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    lost = sorted(before)[::3]
    for path in lost:
        path.unlink()
    (folder / "noise.csv").unlink()
    assert hybridq("study", "noise", run, "--config", config).out == told.out
    after = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    assert after.keys() == before.keys()
    assert {path for path in after if after[path] != before[path]} == set(lost)
    pd.testing.assert_frame_equal(pd.read_csv(folder / "noise.csv"), noise)


def test_a_model_without_any_place_for_a_circuit_has_its_noiseless_row(hybridq: Command, tmp_path: Path) -> None:
    changes = ["name=simple", "model.name=baseline", "model.backbone=simple_cnn", "pretrain.epochs=0", "train.epochs=1"]
    run = train(parse_experiment(TINY, changes), tmp_path, announce=quietly, progress=quietly).folder
    told = hybridq("study", "noise", run)
    assert told.code == 0, told.error
    assert len(pd.read_csv(run / "noise" / "noise.csv")) == 1
    assert pd.read_csv(run / "noise" / "qubits.csv").empty


def test_several_runs_are_put_together_and_a_control_without_a_circuit_stands_beside_them(
    run: Path, linear_run: Path, hybridq: Command, tmp_path: Path
) -> None:
    config = tmp_path / "noise.yaml"
    config.write_text("{others: [], sources: [all], scales: [1], shots: [], layouts: [], seeds_transpiler: []}")
    linear = Path(shutil.copytree(linear_run, tmp_path / "linear"))
    refused = hybridq.refused("study", "noise", run, linear, "--config", config)
    assert "--out is missing; name a folder for the tables and figures of 2 runs together" in refused
    assert not (run / "noise").exists()
    told = hybridq("study", "noise", run, linear, "--config", config, "--out", tmp_path / "both")
    assert told.code == 0, told.error
    assert "linear: left out noise: the model has no circuit" in told.out
    noise = pd.read_csv(tmp_path / "both" / "noise.csv")
    assert len(noise) == 2 + 1
    names = dict(zip(noise["run"], noise["model"], strict=True))
    assert names["linear"].startswith("ssl_quantum (")
    assert "branch=linear" in names["linear"]
    assert "branch=circuit" in names["tiny"]
    assert (tmp_path / "both" / "figures" / "fake-torino-models.png").is_file()
    assert len(pd.read_csv(run / "noise" / "noise.csv")) == 2
    assert len(pd.read_csv(linear / "noise" / "noise.csv")) == 1
