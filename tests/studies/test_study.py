"""Studies: cells from one file, run once each, wherever they run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny import TINY, quietly

from hybridq.errors import UserError
from hybridq.studies.models.config import load_study
from hybridq.studies.models.run import is_finished, pending, run_study

STUDY = """
name: small
base: base.yaml
set: {pretrain.epochs: 0, train.epochs: 1, model.backbone: simple_cnn}
models:
  hybrid: {}
  linear: {model.branch: linear}
seeds: [0, 1]
"""


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(TINY)
    file = tmp_path / "study.yaml"
    file.write_text(STUDY)
    return file


def test_cells_are_models_by_data_by_fractions_by_seeds(study_file: Path) -> None:
    more = "data:\n  a: {}\n  b: {data.size: 16}\nlabel_fractions: [0.5, 1]\n"
    study_file.write_text(STUDY + more)
    _, cells = load_study(study_file)
    assert len(cells) == len({cell.name for cell in cells}) == 2 * 2 * 2 * 2
    last = cells[-1]
    assert last.name == "linear-b-1-s1"
    assert (last.experiment.seed, last.experiment.data.size, last.experiment.model.branch) == (1, 16, "linear")
    assert cells[0].experiment.data.label_fraction == 0.5


def test_each_cell_may_start_from_the_run_of_its_seed(study_file: Path) -> None:
    study_file.write_text(
        STUDY.replace("set: {", 'set: {train.start: "runs/first/hybrid-data-s{seed}", ')
        + "encoder: {pretrain.epochs: 1}\n"
    )
    _, cells = load_study(study_file)
    assert {cell.experiment.train.start for cell in cells if cell.seed == 1} == {"runs/first/hybrid-data-s1"}
    assert {cell.experiment.pretrain.encoder for cell in cells} == {None}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("seeds: []", r"study.yaml: seeds = "),
        ("seed: 3", r"study.yaml: unknown key seed; did you mean seeds\?"),
        ("main: other", r"main: other is none of the models hybrid, linear"),
        (
            "models: {wide: {model.qubit: 4}}",
            r"cell wide-data-s0: unknown key model.qubit; did you mean model.qubits\?",
        ),
        (
            "models: {few: {data.label_fraction: 0.1}}",
            "data.label_fraction is set by the model few; label_fractions of the study decides it",
        ),
        ("base: missing.yaml", r"missing.yaml: no such file"),
        ("threads: 1\nthreads: 2", r"study.yaml: threads is given twice, in lines \d and \d"),
        ("models: {a: {model.alpha: 0, model.alpha: 1}}", r"models.a.model.alpha is given twice, in line \d"),
        ("threads: on", "threads = 'on'"),
        ("seeds: [true]", r"seeds = \[True\]; true and false are no numbers"),
        ("equivalence_margin: .inf", "equivalence_margin = inf; input should be a finite number"),
        ("models: {few: {train.learning_rate: .nan}}", "cell few-data-s0: train.learning_rate = nan; input should be"),
    ],
)
def test_a_mistake_is_named_in_one_sentence(change: str, sentence: str, study_file: Path) -> None:
    key = change.partition(":")[0]
    kept = [line for line in STUDY.splitlines() if not line.startswith(f"{key}:")]
    if key == "models":
        kept = [line for line in kept if not line.startswith("  ")]
    study_file.write_text("\n".join([*kept, change]))
    with pytest.raises(UserError, match=sentence):
        load_study(study_file)


def test_nothing_after_a_name_changes_nothing_and_a_base_with_a_key_twice_is_refused(study_file: Path) -> None:
    study_file.write_text(STUDY.replace("hybrid: {}", "hybrid:").replace("[0, 1]", "0, 1") + "data:\ninterventions:\n")
    study, cells = load_study(study_file)
    assert study.models["hybrid"] == {}
    assert [cell.name for cell in cells] == ["hybrid-data-s0", "linear-data-s0", "hybrid-data-s1", "linear-data-s1"]
    (study_file.parent / "base.yaml").write_text(TINY + "seed: 5\n")
    with pytest.raises(UserError, match=r"base.yaml: seed is given twice, in lines 3 and 7"):
        load_study(study_file)


def test_finished_cells_are_not_run_again_and_a_failed_one_stops_no_other(study_file: Path, tmp_path: Path) -> None:
    study_file.write_text(STUDY.replace("{model.branch: linear}", "{train.backend: fake_torino, model.qubits: 16}"))
    study, cells = load_study(study_file)
    root = tmp_path / "runs"
    (root / "hybrid-data-s1").parent.mkdir()
    (root / "hybrid-data-s1").write_text("in the way")
    reported = {}
    outcome = run_study(study, cells[:3:2], root, jobs=1, report=lambda name, why: reported.update({name: why}))
    assert outcome.finished == ("hybrid-data-s0",)
    assert list(outcome.failed) == ["hybrid-data-s1"]
    assert (root / "failures" / "hybrid-data-s1.txt").is_file()
    (root / "hybrid-data-s1").unlink()
    assert [cell.name for cell in pending(study, cells[:3:2], root)] == ["hybrid-data-s1"]
    before = (root / "hybrid-data-s0" / "model.safetensors").stat().st_mtime_ns
    assert not run_study(study, cells[:3:2], root, jobs=1, report=quietly).failed
    assert (root / "hybrid-data-s0" / "model.safetensors").stat().st_mtime_ns == before
    assert not (root / "failures" / "hybrid-data-s1.txt").exists()


def test_a_folder_with_another_configuration_is_refused_before_anything_runs(study_file: Path, tmp_path: Path) -> None:
    study, cells = load_study(study_file)
    other = tmp_path / "runs" / cells[0].name / "config.yaml"
    other.parent.mkdir(parents=True)
    other.write_text(TINY)
    with pytest.raises(UserError, match="holds a run with another configuration"):
        run_study(study, cells, tmp_path / "runs", report=quietly)


@pytest.mark.slow
def test_a_dask_cluster_that_loses_a_worker_finishes_every_cell_once(study_file: Path, tmp_path: Path) -> None:
    study, cells = load_study(study_file)
    root = tmp_path / "runs"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    scheduler = subprocess.Popen([*dask, "--port", "0", "--scheduler-file", tmp_path / "s.json", "--no-dashboard"])
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", tmp_path / "s.json"]
    workers = [
        subprocess.Popen([*worker, "--nthreads", "1", "--no-nanny", "--no-dashboard"], env=environment)
        for _ in range(2)
    ]
    command = [
        sys.executable,
        "-m",
        "hybridq",
        "study",
        "run",
        study_file,
        "--engine",
        "dask",
        "--runs",
        tmp_path / "r",
    ]
    try:
        address = _address(tmp_path / "s.json")
        running = subprocess.Popen([*command, "--engine", "dask", "--address", address], env=environment)
        root = tmp_path / "r" / study.name
        _wait(lambda: any((root / cell.name / "checkpoints").exists() for cell in cells))
        workers[0].send_signal(signal.SIGKILL)
        assert running.wait(400) == 0
        assert all(is_finished(study, cell, root) for cell in cells)
        for cell in cells:
            assert len(list((root / cell.name / "evaluations").iterdir())) == 1
    finally:
        for process in (*workers, scheduler):
            process.kill()


def _address(file: Path) -> str:
    import json

    _wait(file.is_file)
    return str(json.loads(file.read_text())["address"])


def _wait(ready) -> None:
    for _ in range(600):
        if ready():
            return
        time.sleep(0.2)
    raise TimeoutError
