"""PEA and PEC over layer noise that is learned in a paid job: one row, paid once, kept, reused while it is fresh."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hardware import FAST, KEY, small_task
from loopback import CRN, Loopback
from programs import random_angles, random_program, statevector_values
from qiskit_ibm_runtime import QiskitRuntimeService

from backends.errors import BackendError
from backends.hardware_options import HardwareOptions
from backends.ibm.client import Service
from backends.ibm.dry_run import dry_run
from backends.ibm.execution import Unfinished, execute, take_over
from backends.ibm.layers import layers_of
from backends.ibm.ledger import Ledger
from backends.ibm.noise_store import NoiseStore
from backends.ibm.prepare import Prepared, collect, make_task, prepare
from backends.ibm.results import ExecutionResult
from backends.ibm.tags import content_tag, evaluation_tag, ledger_tag
from backends.ibm.task import Submission
from backends.names import parse_name

LEARN = {"learn_randomizations": 2, "learn_shots": 8, "learn_depths": (0, 1)}
"""36 circuits for a layer."""
PEA = HardwareOptions(shots=64, resilience=2, zne_amplifier="pea", **LEARN)  # type: ignore[arg-type]
PEC = HardwareOptions(shots=64, pec=True, **LEARN)  # type: ignore[arg-type]


@pytest.fixture
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    options = {"device": "manila", "execution": "counterfeit", "quota_seconds": None, **getattr(request, "param", {})}
    with Loopback(options.pop("device"), key=KEY, **options) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


@pytest.fixture
def service(server: Loopback) -> Service:
    return Service(FAST)


@pytest.fixture(params=[PEC, pytest.param(PEA, marks=pytest.mark.slow)], ids=["pec", "pea"])
def task(request: pytest.FixtureRequest, tmp_path: Path) -> Submission:
    return small_task(tmp_path / "evaluation", options=request.param, device="manila")


def slowly(*values: str) -> list[Any]:
    """Values of a parameter for the slow tests alone."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


def finish(task: Submission, service: Service, ledger: Ledger) -> ExecutionResult:
    result = execute(task, service=service, ledger=ledger)
    assert isinstance(result, ExecutionResult)
    return result


def programs(server: Loopback) -> list[str]:
    return [job.program for job in server.jobs.values()]


def forget(ledger: Ledger) -> Ledger:
    """The ledger and all beside it deleted."""
    ledger.close()
    for path in ledger.path.parent.glob(f"{ledger.path.name}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return Ledger(ledger.path)


def test_noise_is_learned_first_in_a_job_with_a_row_and_tags_of_its_own(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    result = finish(task, service, ledger)
    assert programs(server) == ["noise-learner", *["executor"] * 3]
    learned = next(iter(server.jobs.values()))
    row = ledger.jobs()[0]
    assert (row.chunk, row.job_id, row.state, row.estimated_seconds) == (0, learned.id, "done", 2.1)
    assert row.charged_seconds == pytest.approx(learned.charged_seconds)
    assert set(learned.tags) == {
        row.tag,
        ledger_tag(task.key, ledger.id),
        evaluation_tag(task.key),
        content_tag(task.key, 0, task.digest()),
    }
    assert learned.limit_seconds == 600
    assert learned.circuits == 36 * len(task.layers.known)
    assert [job.learning for job in result.jobs] == [True, False, False, False]
    assert result.charged_seconds == pytest.approx(server.charged_seconds)
    assert result.evs.shape == (6, 2)
    assert result.noise is not None
    assert (result.noise.job_id, result.noise.layers) == (learned.id, task.layers.known)
    assert len({job.session_id for job in server.jobs.values()}) == 1


def test_the_unmodified_client_reads_the_noise_that_is_kept(
    server: Loopback, service: Service, ledger: Ledger, tmp_path: Path
) -> None:
    result = finish(small_task(tmp_path / "evaluation", options=PEC, device="manila"), service, ledger)
    assert result.noise is not None
    theirs = QiskitRuntimeService().job(result.noise.job_id).result().to_pauli_lindblad_maps()
    assert [m.simplify() for m in theirs] == [m.simplify() for m in result.noise.maps()]
    assert all(len(m) >= 15 for m in theirs)


def test_what_is_learned_is_used_again_by_the_next_evaluation_until_it_is_too_old(
    server: Loopback, service: Service, ledger: Ledger, tmp_path: Path
) -> None:
    def evaluate(key: str, options: str = "") -> Prepared:
        name = parse_name(f"ibm_manila:shots=64,copies=1,pec=on,learn_randomizations=2,learn_shots=8{options}")
        store = NoiseStore.beside(ledger.path)
        prepared = prepare(program, name, len(inputs), service=service, store=store)
        task = make_task(prepared, inputs, weights, key=key * 16, folder=tmp_path / key, backend=name.canonical)
        before = server.charged_seconds
        assert finish(task, service, ledger).charged_seconds == pytest.approx(server.charged_seconds - before)
        return prepared

    program = random_program(21, 2, gates=4)
    inputs, weights = random_angles(program, 5, 2)
    assert evaluate("a").plan.learning is not None
    assert evaluate("b").plan.learning is None
    assert Submission.load(tmp_path / "b").noise == NoiseStore.beside(ledger.path).find(
        Submission.load(tmp_path / "a").noise_key, 24.0
    )
    assert programs(server) == ["noise-learner", "executor", "executor"]
    assert evaluate("c", ",learn_depths=0/2").plan.learning is not None  # learned in another way
    for path in NoiseStore.beside(ledger.path).folder.iterdir():
        about = json.loads(path.read_text())
        path.write_text(json.dumps(about | {"learned": (datetime.now(UTC) - timedelta(hours=25)).isoformat()}))
    assert evaluate("d").plan.learning is not None  # too old
    assert programs(server)[3:] == ["noise-learner", "executor"] * 2


def test_noise_that_went_stale_is_used_only_where_that_age_is_allowed(
    server: Loopback, service: Service, ledger: Ledger, tmp_path: Path
) -> None:
    task = small_task(tmp_path / "evaluation", options=PEA, device="manila")
    server.faults.add("POST /jobs", "job_fails", nth=3)
    with pytest.raises(BackendError, match="chunk 3 failed"):
        finish(task, service, ledger)
    (details,) = (task.folder / "results").glob("chunk-000-*.details.json")
    about = json.loads(details.read_text())
    about["timestamps"]["finished"] = (datetime.now(UTC) - timedelta(hours=30)).isoformat()
    details.write_text(json.dumps(about))
    with pytest.raises(BackendError, match=r"learned 30\.0 hours ago, above --noise-max-age 24, so nothing more is"):
        finish(task, service, ledger)
    assert len(server.jobs) == 4
    finish(replace(task, noise_max_age_hours=48), service, ledger)
    assert programs(server).count("noise-learner") == 1


def test_the_others_wait_for_the_noise_and_are_not_sent_by_collecting(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    task.save()
    server.faults.add("GET /jobs/*/results", "503", count=None)
    server.faults.add("POST /jobs", "drop_after")
    ledger.add_evaluation(task.key, run="", backend="", device=task.device, folder=task.folder, chunks=4)
    row = ledger.intend(task.key, 0, digest=task.digest(), estimated_seconds=1)
    with pytest.raises(BackendError):
        service.submit(
            task.device,
            task.work(0),
            options=task.options,
            tags=[ledger_tag(task.key, ledger.id), row.tag],
            max_execution_seconds=60,
            batch_id=None,
        )
    server.faults.clear()
    for _ in range(20):
        assert isinstance(execute(task, service=service, ledger=ledger, submit=False), Unfinished)
        if ledger.latest(task.key)[0].state == "done":
            break
    assert programs(server) == ["noise-learner"]
    finish(task, service, ledger)
    assert programs(server) == ["noise-learner", *["executor"] * 3]


@pytest.mark.parametrize("fault", ["drop_after", *slowly("made_but_503", "garbage")])
def test_noise_is_learned_once_whatever_becomes_of_the_answer(
    server: Loopback, service: Service, ledger: Ledger, tmp_path: Path, fault: str
) -> None:
    server.queue_seconds = 0.5 if fault == "made_but_503" else 0.0  # what has begun to run is paid for
    server.faults.add("POST /jobs", fault)
    finish(small_task(tmp_path / "evaluation", options=PEC, device="manila"), service, ledger)
    executed = [job for job in server.jobs.values() if job.program == "noise-learner" and job.executed]
    assert len(executed) == 1


@pytest.mark.parametrize("where", ["on disk", "at the service"])
def test_without_the_ledger_what_was_learned_is_found(
    server: Loopback, service: Service, ledger: Ledger, task: Submission, where: str
) -> None:
    server.faults.add("POST /jobs", "job_fails", nth=4)
    with pytest.raises(BackendError, match="chunk 4 failed"):
        finish(task, service, ledger)
    if where == "at the service":
        shutil.rmtree(task.folder / "results")
    result = finish(task, service, forget(ledger))
    assert programs(server).count("noise-learner") == 1
    assert [job.executed for job in server.jobs.values()] == [1, 1, 1, 0, 1]
    assert result.charged_seconds == pytest.approx(server.charged_seconds)


def test_all_results_without_the_noise_need_no_learning(
    server: Loopback, service: Service, ledger: Ledger, tmp_path: Path
) -> None:
    task = small_task(tmp_path / "evaluation", options=PEC, device="manila")
    finish(task, service, ledger)
    for path in (task.folder / "results").glob("chunk-000-*"):
        path.unlink()
    ledger = forget(ledger)
    found = take_over(task, service=None, ledger=ledger)
    assert found is not None
    assert (found.evs.shape, found.noise) == ((6, 2), None)


def test_where_nothing_is_learned_nothing_else_is_sent(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    server.faults.add("POST /jobs", "job_fails", message="The qubits are on strike.")
    with pytest.raises(BackendError, match=r"chunk 1 failed: The qubits are on strike; 0 of 4 chunks"):
        finish(task, service, ledger)
    assert programs(server) == ["noise-learner"]
    finish(task, service, ledger)
    assert programs(server) == ["noise-learner"] * 2 + ["executor"] * 3


@pytest.mark.parametrize("answer", ["half", *slowly("error_json", "empty")])
def test_learned_noise_that_cannot_be_read_is_fetched_again_and_never_learned_again(
    server: Loopback, service: Service, ledger: Ledger, tmp_path: Path, answer: str
) -> None:
    task = small_task(tmp_path / "evaluation", options=PEA, device="manila")
    server.faults.add("GET /jobs/*/results", answer, count=None)
    with pytest.raises(BackendError, match=r"of chunk 1 is finished and is not sent again"):
        finish(task, service, ledger)
    assert programs(server) == ["noise-learner"]
    server.faults.clear()
    finish(task, service, ledger)
    assert programs(server) == ["noise-learner", *["executor"] * 3]


def test_kept_noise_that_was_damaged_is_fetched_again(
    server: Loopback, service: Service, ledger: Ledger, tmp_path: Path
) -> None:
    task = small_task(tmp_path / "evaluation", options=PEA, device="manila")
    server.faults.add("POST /jobs", "job_fails", nth=2)
    with pytest.raises(BackendError, match="chunk 2 failed"):
        finish(task, service, ledger)
    (kept,) = (task.folder / "results").glob("chunk-000-*[0-9a-f].json")
    whole = kept.read_text()
    kept.write_text(whole[:100])
    finish(task, service, ledger)
    assert kept.read_text() == whole
    assert programs(server).count("noise-learner") == 1


def test_noise_of_other_layers_is_no_result(server: Loopback, service: Service, ledger: Ledger, tmp_path: Path) -> None:
    task = small_task(tmp_path / "evaluation", options=PEA, device="manila")
    finish(task, service, ledger)
    noise = NoiseStore.beside(ledger.path).find(task.noise_key, 24.0)
    assert noise is not None
    assert noise.learned == finish(task, service, ledger).noise.learned  # type: ignore[union-attr]
    for wrong in ({"terms": noise.terms[:-1]}, {"terms": ((("X", [9], 0.1),),) * len(noise.terms)}):
        with pytest.raises(ValueError):
            replace(noise, **wrong).check()
    path = NoiseStore.beside(ledger.path).folder / f"{noise.key}.json"
    path.write_text(path.read_text()[:50])
    assert NoiseStore.beside(ledger.path).find(noise.key, 24.0) is None


def test_noise_learned_by_another_service_or_of_another_account_of_a_device_is_not_mixed_up(
    server: Loopback, service: Service, tmp_path: Path
) -> None:
    task = small_task(tmp_path / "evaluation", options=PEA, device="manila")
    keys = {replace(task, record={"host": host}).noise_key for host in ("ibm.test", "quantum.cloud.ibm.com")}
    keys |= {replace(task, options=replace(PEA, rep_delay_us=50.0)).noise_key}
    assert len(keys) == 3
    assert replace(task, options=replace(PEA, zne_factors=(1.0, 2.0))).noise_key == task.noise_key
    assert server.crn == CRN


def test_layers_are_called_the_same_in_every_process(tmp_path: Path) -> None:
    task = small_task(tmp_path / "evaluation", options=PEA, device="manila")
    again = layers_of(Submission.load(task.save().folder).circuit, PEA)
    assert again.known == task.layers.known
    assert all(layer.gates for layer in again.known)
    assert sum(again.uses) >= len(again.known)


@pytest.mark.parametrize(
    "options",
    [
        "resilience=2,zne_amplifier=pea,zne_factors=1/1.5/2",
        "pec=on,resilience=0",
        "pec=on,pec_overhead=1.05",
    ],
)
def test_what_runs_is_what_was_planned_once_the_noise_is_known(
    server: Loopback, service: Service, ledger: Ledger, tmp_path: Path, options: str
) -> None:
    """Before it is known, the plan of PEC holds the most that is allowed."""
    program = random_program(21, 2, gates=12)
    inputs, weights = random_angles(program, 5, 2)
    name = parse_name(f"ibm_manila:shots=640,copies=1,learn_randomizations=2,learn_shots=8,{options}")
    store = NoiseStore.beside(ledger.path)
    for key in ("a", "b"):
        before = sum(job.executions for job in server.jobs.values()), len(server.jobs)
        prepared = prepare(program, name, 2, service=service, store=store)
        task = make_task(prepared, inputs, weights, key=key * 16, folder=tmp_path / key, backend=name.canonical)
        result = finish(task, service, ledger)
        assert result.noise is not None
        executions = sum(job.executions for job in server.jobs.values()) - before[0]
        plan = prepared.plan
        assert plan.jobs == len(server.jobs) - before[1]
        if key == "a" and "pec" in options:
            assert executions <= plan.executions
            assert plan.workload.overhead == task.options.most_overhead
        else:
            assert executions == plan.executions
            assert sum(job.circuits for job in list(server.jobs.values())[before[1] :]) == plan.circuits
    assert plan.learning is None


def test_a_learning_job_is_in_both_estimates_and_held_against_the_budget(server: Loopback, service: Service) -> None:
    program = random_program(21, 2, gates=12)
    plan, without = (
        prepare(program, parse_name(f"ibm_manila:shots=640,copies=1,resilience=2{more}"), 2, service=service).plan
        for more in (",zne_amplifier=pea", "")
    )
    learning = plan.learning
    assert learning is not None
    assert learning.executions == learning.layers * 9 * 6 * 32 * 128
    assert plan.executions == without.executions + learning.executions
    assert learning.quick_seconds == pytest.approx(2 + 0.00035 * learning.executions)
    assert plan.quick_seconds == pytest.approx(without.quick_seconds + learning.quick_seconds)
    assert plan.quantum_seconds > learning.seconds > 2 + learning.executions * 252.3e-6
    assert plan.chunks[0].estimated_seconds == max(learning.seconds, learning.quick_seconds)
    plan.refuse_over(plan.larger_seconds + 1)
    with pytest.raises(BackendError, match=rf"{learning.quick_seconds:.1f} of them to learn noise.*neither a single"):
        plan.refuse_over(learning.quick_seconds)
    allowed = plan.larger_seconds - 1
    shots = plan.largest_shots(allowed)
    assert shots is not None
    assert 0 < shots < 640
    fewer = parse_name(f"ibm_manila:shots={shots},copies=1,resilience=2,zne_amplifier=pea")
    prepare(program, fewer, 2, service=service).plan.refuse_over(allowed)
    huge = parse_name("ibm_manila:copies=1,resilience=2,zne_amplifier=pea,learn_shots=100000")
    with pytest.raises(BackendError, match=r"learning the noise of .* would fit"):
        prepare(program, huge, 2, service=service)


@pytest.mark.parametrize("server", [{"device": "torino"}], indirect=True)
def test_one_copy_runs_under_pec_unless_a_number_is_asked_for(service: Service) -> None:
    program = random_program(21, 2, gates=4)
    few = "learn_randomizations=2,learn_shots=8"
    counts = [
        prepare(program, parse_name(f"ibm_torino:{few},{more}"), 8, service=service).plan.copies
        for more in ("pec=on", "pec=on,copies=3", "resilience=2,zne_amplifier=pea")
    ]
    assert counts[:2] == [1, 3]
    assert counts[2] > 1


def test_a_dry_run_checks_the_job_that_learns(
    server: Loopback, service: Service, ledger: Ledger, tmp_path: Path
) -> None:
    task = small_task(tmp_path / "evaluation", options=PEA, device="manila").save()
    assert dry_run(task, service=service, ledger=ledger).state == "done"
    assert [(job.program, job.backend) for job in server.jobs.values()] == [("noise-learner", "mock_manila")]


@pytest.mark.slow
@pytest.mark.parametrize("server", [{"device": "torino", "execution": "calibrated"}], indirect=True)
def test_cancelling_and_amplifying_learned_noise_take_the_bias_away(
    server: Loopback, service: Service, ledger: Ledger, tmp_path: Path
) -> None:
    """The values of 400 gates shrink to 2/3; the standard errors say what is left to chance."""
    program = random_program(21, 2, gates=400)
    inputs, weights = random_angles(program, 5, 2)
    ideal = statevector_values(program, inputs, weights)
    left: dict[str, Any] = {}
    for key, options in (("a", "resilience=1"), ("b", "pec=on"), ("c", "resilience=2,zne_amplifier=pea")):
        name = parse_name(f"ibm_torino:shots=32768,copies=1,randomizations=128,{options}")
        prepared = prepare(program, name, 2, service=service, store=NoiseStore.beside(ledger.path))
        task = make_task(prepared, inputs, weights, key=key * 16, folder=tmp_path / key, backend=name.canonical)
        collected = collect(task, finish(task, service, ledger))
        left[key] = np.sqrt(((collected.values - ideal) ** 2).mean()), np.sqrt((collected.errors**2).mean())
    assert left["a"][0] > 5 * left["a"][1]
    assert left["b"][0] < min(3 * left["b"][1], left["a"][0] / 2)
    assert left["c"][0] < min(3 * left["c"][1], left["a"][0] / 2)
    assert programs(server).count("noise-learner") == 1
