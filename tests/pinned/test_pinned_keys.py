"""Names of what was computed or paid for until 2026-11-28: literals, that no later change may move."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from loopback import Loopback
from tiny import planned

from backends.ibm.client import Service
from backends.ibm.execution import execute
from backends.ibm.ledger import Ledger
from backends.ibm.results import ExecutionResult
from hybridq.evaluation.evaluate import evaluate
from hybridq.evaluation.hardware import finish, load_submission, status_of
from hybridq.evaluation.hardware_plan import HardwarePlan, plan, plan_of
from hybridq.evaluation.inference import Inference
from hybridq.models.build import load_model
from hybridq.results.evaluation import read_evaluations
from hybridq.results.selection import ImageChoice, choose
from hybridq.run_folder import RunFolder, create_run, open_run
from hybridq.studies.mitigation.correct_saved import mitigate_saved
from hybridq.studies.mitigation.run import mitigate, plan_mitigation
from hybridq.studies.noise.cells import cells_of
from hybridq.studies.noise.config import load_noise_study
from hybridq.studies.noise.store import Store

PINNED = Path(__file__).parent
KEY = "loopback-key-0123456789-never-shown"
RUNS = ("baseline", "hqcnn", "lean_hybrid", "several_labels", "ssl_quantum")
RATES = "noise:depolarizing_2q=0.05,readout=0.03"
ELSEWHERE = "synthetic:patients=4,patches=4,size=32,seed=1"
EVALUATIONS: list[tuple[str, str, dict[str, Any], str]] = [
    ("baseline", "aer", {}, "aer-baed4698"),
    ("hqcnn", "aer", {}, "aer-a69ef5e7"),
    ("hqcnn", "fake_torino", {}, "fake-torino-5c1cef69"),
    ("hqcnn", RATES, {}, "noise-depolarizing-2q-0-05-readout-0-03-c8089624"),
    ("lean_hybrid", "aer", {}, "aer-6f18eab4"),
    ("lean_hybrid", "fake_torino", {}, "fake-torino-a219af70"),
    ("lean_hybrid", RATES, {}, "noise-depolarizing-2q-0-05-readout-0-03-1114ddb1"),
    ("several_labels", "aer", {}, "aer-d879baeb"),
    ("several_labels", "aer", {"split": "validation"}, "aer-0b230f5b"),
    ("several_labels", "fake_torino", {}, "fake-torino-2c2f947b"),
    ("several_labels", RATES, {}, "noise-depolarizing-2q-0-05-readout-0-03-aa3315ef"),
    ("ssl_quantum", "aer", {}, "aer-8391e343"),
    ("ssl_quantum", "aer", {"limit": 6, "stratified": True}, "aer-272c3afb"),
    ("ssl_quantum", "aer", {"data": ELSEWHERE}, "aer-47e1e3df"),
    ("ssl_quantum", "aer", {"replace_q": "mean"}, "aer-q-at-its-training-mean-c414e73d"),
    ("ssl_quantum", "aer:shots=64", {}, "aer-shots-64-3f603814"),
    ("ssl_quantum", "fake_torino", {}, "fake-torino-c3023aac"),
    ("ssl_quantum", "fake_torino", {"replace_q": "shuffle"}, "fake-torino-q-shuffled-9eb832a8"),
    ("ssl_quantum", "fake_torino:shots=256", {}, "fake-torino-shots-256-ea75e054"),
    ("ssl_quantum", RATES, {}, "noise-depolarizing-2q-0-05-readout-0-03-321361fa"),
]
"""Run, backend, options, folder."""
PLAIN = "ibm_torino:shots=256,resilience=0,copies=1"
SENT: list[tuple[str, dict[str, Any], str, str]] = [
    (
        PLAIN,
        {"limit": 6, "stratified": True},
        "19ba3bd729ff4c68",
        "76a2ff677fab1efd46d07b5da422f890de98dfe5b8018f03a271e48c3865cdd7",
    ),
    (
        PLAIN,
        {"split": "train", "limit": 8},
        "aaef5f372f09101c",
        "8c3d664200b82f368b7e24a1e04d4476dd9d63669d84752bb635c4a6b8b55d50",
    ),
    (
        "ibm_torino:shots=64,dd=XY4,copies=2",
        {"limit": 4, "repeat": "second day"},
        "28ab9f661fe5b58d",
        "79f4287a71498aca8aff17009570ea990443efd5aca1de092cbbac8896d40311",
    ),
]
"""Backend, options, key, digest of what was sent; all of ``ssl_quantum``."""


def sent(run: RunFolder, backend: str, options: dict[str, Any]) -> HardwarePlan:
    choice = {name: value for name, value in options.items() if name != "repeat"}
    return plan(run, backend, ImageChoice(**choice), repeat=options.get("repeat"))


CELLS = (
    "aer-8a8ea2a8",
    "aer-shots-64-draw0-c39d91c5",
    "fake-manila-c5800d49",
    "fake-manila-scale-4-9e807bbe",
    "fake-torino-d2e508f2",
    "fake-torino-layout-worst-b7d63cdf",
    "fake-torino-scale-4-74333d29",
    "fake-torino-scale-4-source-readout-0e3e219f",
    "fake-torino-seed-transpiler-1-cbf9241b",
    "fake-torino-shots-64-draw0-1359ce43",
    "fake-torino-source-readout-7a99288e",
)


def nothing_is_computed(*_: object) -> None:
    raise AssertionError("a finished result is computed again")


def test_the_committed_bytes_are_those_of_that_day() -> None:
    kept = dict(line.split("  ")[::-1] for line in (PINNED / "SHA256SUMS").read_text(encoding="utf-8").splitlines())
    files = [PINNED / name for name in ("ledger.sqlite", "noise.yaml")]
    files += [path for path in (PINNED / "runs").rglob("*") if path.is_file()]
    found = {path.relative_to(PINNED).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert found == kept


@pytest.mark.parametrize("name", RUNS)
def test_old_runs_load(name: str, old_runs: Path) -> None:
    run = open_run(old_runs / name)
    said = yaml.safe_load(run.config.read_text(encoding="utf-8"))
    assert run.experiment.key_content() == said
    assert load_model(run).training is False
    for evaluation in read_evaluations(run.folder):
        assert evaluation.values.shape == evaluation.angles.shape


@pytest.mark.parametrize("name", RUNS)
def test_old_trainings_go_on(name: str, old_runs: Path) -> None:
    run = open_run(old_runs / name)
    assert create_run(old_runs, run.experiment).folder == run.folder


@pytest.mark.parametrize(("name", "backend", "options", "folder"), EVALUATIONS)
def test_finished_evaluations_are_found_and_nothing_is_computed(
    name: str, backend: str, options: dict[str, Any], folder: str, old_runs: Path
) -> None:
    plan = planned(open_run(old_runs / name), backend, **options)
    assert plan.folder.name == folder
    assert plan.finished
    assert evaluate(plan, progress=nothing_is_computed) == plan.folder


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("baseline", "527a67d8e6334ba1"),
        ("hqcnn", "9c39e9b185a3b15a"),
        ("lean_hybrid", "1a8eaca1482900e3"),
        ("several_labels", "1f763a171a9a8480"),
        ("ssl_quantum", "b03bd6975e85d203"),
    ],
)
def test_what_every_model_would_be_called_on_hardware(name: str, key: str, old_runs: Path) -> None:
    evaluation = plan(open_run(old_runs / name), "ibm_torino")
    assert (evaluation.key, evaluation.label) == (key, "ibm_torino:shots=4096,resilience=1")


@pytest.mark.parametrize(("backend", "options", "key", "digest"), SENT)
def test_what_was_sent_is_found_again(
    backend: str, options: dict[str, Any], key: str, digest: str, old_runs: Path
) -> None:
    evaluation = sent(open_run(old_runs / "ssl_quantum"), backend, options)
    assert evaluation.key == key
    assert evaluation.submitted
    assert evaluation.finished
    assert load_submission(evaluation).digest() == digest


@pytest.mark.parametrize(("backend", "options", "key", "digest"), SENT)
def test_what_was_paid_for_is_decided_from_disk_and_the_ledger(
    backend: str,
    options: dict[str, Any],
    key: str,
    digest: str,
    old_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is sent again: the service ends without a job."""
    evaluation = sent(open_run(old_run), backend, options)
    before = (evaluation.folder / "metrics.json").read_bytes()
    shutil.rmtree(evaluation.folder)
    ledger = Ledger(shutil.copy(PINNED / "ledger.sqlite", tmp_path / "ledger.sqlite"))
    try:
        task = load_submission(evaluation)
        assert [row.digest for row in ledger.jobs(key)] == [digest]
        assert (status_of(task, ledger).finished, status_of(task, ledger).unsent) == (1, 0)
        with Loopback("torino", key=KEY, execution="counterfeit") as server:
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            result = execute(task, service=Service(), ledger=ledger)
            assert server.jobs == {}
    finally:
        ledger.close()
    assert isinstance(result, ExecutionResult)
    assert (finish(evaluation, result) / "metrics.json").read_bytes() == before


@pytest.mark.parametrize("number", range(len(SENT)))
def test_a_kept_task_still_knows_its_evaluation(number: int, old_run: Path) -> None:
    """``hybridq jobs`` goes from the task to the evaluation; the run lay elsewhere."""
    backend, options, key, _ = SENT[number]
    task = replace(load_submission(sent(open_run(old_run), backend, options)), run=str(old_run))
    assert plan_of(task).key == key


def test_a_noise_study_finds_its_cells(old_runs: Path) -> None:
    run = open_run(old_runs / "ssl_quantum")
    store = Store(choose(run))
    cells = cells_of(load_noise_study(PINNED / "noise.yaml"))
    assert sorted(store.path(cell).stem for cell in cells) == sorted(CELLS)
    assert all(store.read(cell).cell == cell for cell in cells)


def test_mitigation_is_found(old_runs: Path) -> None:
    run = open_run(old_runs / "ssl_quantum")
    plan = plan_mitigation(Inference.of(run), "fake_torino:shots=256", training_images=8)
    assert plan.folder.name == "fake-torino-shots-256-3ee28c7e"
    assert mitigate(plan, progress=nothing_is_computed) == plan.folder
    saved = mitigate_saved(run, PLAIN, split="test", progress=nothing_is_computed)
    assert saved.name == "ibm-torino-shots-256-resilience-0-copies-1-17e833b3"
