"""hybridq study from the file to the table, as a person runs it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hardware_cli import Command
from tiny import TINY

STUDY = """
name: small
base: base.yaml
set: {pretrain.epochs: 0, train.epochs: 1, model.backbone: simple_cnn}
models: {hybrid: {}, linear: {model.branch: linear}}
seeds: [0, 1]
backends: [aer, "aer:shots=64"]
interventions: [mean, shuffle]
"""


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(TINY)
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path / "study.yaml"


def test_a_study_is_run_told_drawn_and_rebuilt(
    study_file: Path, hybridq: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = study_file.parent / "runs"
    monkeypatch.setenv("COLUMNS", "80")
    assert "no cell of small is finished" in hybridq.refused("study", "table", study_file, "--runs", runs)
    assert hybridq("study", "run", study_file, "--runs", runs, "--jobs", 1).code == 0
    told = hybridq("study", "table", study_file, "--runs", runs)
    assert told.code == 0
    sentence = next(line for line in told.out.splitlines() if line.startswith("data, aer (noiseless): "))
    assert "n = 2 seeds" in sentence
    results = runs / "small" / "results"
    text = (results / "table.md").read_text()
    assert sentence in text
    assert "No circuit, and so the same on every backend: linear." in text
    assert "M |" in text  # multiply-adds
    assert text.count("## data, ") == 2
    assert text.count("| hybrid_q_mean |") == text.count("| hybrid_q_shuffle |") == 2 * 3  # metrics, costs, tests
    assert not list(runs.glob("small/*/checkpoints"))
    shutil.copytree(results, study_file.parent / "committed")
    short = study_file.parent / "short"
    assert hybridq("study", "table", study_file, "--runs", runs, "--digits", 4, "--out", short).code == 0
    shutil.rmtree(runs)
    again = hybridq("study", "table", study_file, "--cells", short / "cells.csv", "--out", short / "again")
    assert (short / "again" / "table.md").read_text() == (short / "table.md").read_text()
    assert results_size(short) < results_size(study_file.parent / "committed")
    cells = study_file.parent / "committed" / "cells.csv"
    again = hybridq("study", "table", study_file, "--cells", cells, "--out", study_file.parent / "again")
    assert sentence in again.out
    assert (study_file.parent / "again" / "table.md").read_text() == text
    drawn = hybridq("study", "plot", study_file, "--cells", cells)
    assert drawn.code == 0
    assert (cells.parent / "figures" / "data-aer-roc.png").is_file()


def results_size(folder: Path) -> int:
    """Bytes of the predictions."""
    return sum(file.stat().st_size for file in folder.glob("predictions/*.parquet"))


def test_a_part_of_a_study_is_run_by_model_and_seed(study_file: Path, hybridq: Command) -> None:
    runs = study_file.parent / "runs"
    settings = ("study", "run", study_file, "--runs", runs, "--jobs", 1)
    study_file.write_text(STUDY.replace('[aer, "aer:shots=64"]', "[aer]").replace("[mean, shuffle]", "[]"))
    done = hybridq(*settings, "--only", "linear", "--seed", 1)
    assert done.code == 0, done.error
    assert "small: 1 of 4 cells, 0 finished, 1 to run" in done.out
    assert "1 of 1 chosen cells are finished" in done.out
    assert [path.parent.name for path in runs.glob("small/*/cell.txt")] == ["linear-data-s1"]
    assert "2 of 2 chosen cells" in hybridq(*settings, "--only", "linear", "-q").out
    assert "--only cubic: the study small has hybrid, linear" in hybridq.refused(*settings, "--only", "cubic")
    assert "--seed 7: the study small has 0, 1" in hybridq.refused(*settings, "--seed", 7)


def test_a_missing_file_of_cells_is_named(study_file: Path, hybridq: Command) -> None:
    missing = study_file.parent / "cells.csv"
    assert "cells.csv: no such file" in hybridq.refused("study", "table", study_file, "--cells", missing)
