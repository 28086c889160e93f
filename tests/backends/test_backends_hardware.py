"""``ibm_*`` end to end: the unmodified client against a loopback server that runs its jobs on Aer."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hardware import KEY, Evaluated, evaluate
from loopback import CRN, Loopback
from programs import random_angles, random_program, statevector_values, z_observables
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from backends import BackendError, CircuitProgram, open_backend
from backends.ibm.client import Service
from backends.ibm.execution import execute
from backends.ibm.ledger import Ledger
from backends.ibm.prepare import make_task, prepare
from backends.names import parse_name

SMALL = {"device": "manila", "execution": "counterfeit"}
"""A device and results that cost no time, for tests that look at neither."""
WAITS = "poll=0.05,backoff=0.05,cap=0.5,grace=0.5"


@pytest.fixture
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Loopback]:
    """A service with one device, found through the environment alone."""
    options = {"device": "torino", "seed": 3, **getattr(request, "param", {})}
    with Loopback(options.pop("device"), key=KEY, **options) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HYBRIDQ_LEDGER", str(tmp_path / "ledger.sqlite"))
        monkeypatch.setenv("HYBRIDQ_WAITS", WAITS)
        yield server


def test_a_job_without_mitigation_gives_the_noisy_values_of_the_device(
    service: Loopback, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Against the exact values under the stored calibration: the same patch, gates and readout error."""
    program = random_program(21, 4)
    inputs, weights = random_angles(program, 2, 6)
    stored = open_backend("fake_torino")
    exact = stored.run(stored.compile(program), inputs, weights).values
    done = evaluate("ibm_torino:shots=4000,resilience=0,copies=1", program, inputs, weights, tmp_path / "e")
    values, errors = done.collected.values, done.collected.errors
    assert values.shape == (6, 4)
    assert np.diff(np.sort(exact[0])).min() > 0.02  # distinct ⟨Z⟩: a wrong qubit order would show
    # The server does not let idle qubits relax; that difference is far below the shot noise.
    assert np.abs((values - exact) / errors).max() < 4.5

    (job,) = service.jobs.values()
    plan = done.prepared.plan
    assert (job.circuits, job.executions) == (6, 24000) == (plan.circuits, plan.executions)
    assert [sent.job_id for sent in done.result.jobs] == [job.id]
    assert done.result.charged_seconds == pytest.approx(2 + 24000 * 250e-6)
    assert plan.quantum_seconds == pytest.approx(done.result.charged_seconds, rel=0.05)
    assert (done.result.options["default_shots"], done.result.options["resilience_level"]) == (4000, 0)
    kept = (tmp_path / "e" / "task.json").read_text()
    assert json.loads(kept)["record"]["circuit"]["layout"] == list(done.prepared.compiled.physical_qubits or ())
    assert KEY not in kept + caplog.text
    assert all(KEY not in authorization for *_, authorization in service.requests)


def test_fractional_gates_are_placed_checked_and_run(service: Loopback, tmp_path: Path) -> None:
    program = random_program(21, 2, gates=6)
    inputs, weights = random_angles(program, 2, 3)
    name = "ibm_torino:shots=4000,resilience=0,copies=1"
    done = evaluate(f"{name},fractional=on", program, inputs, weights, tmp_path / "e", key="1" * 16)
    assert "rx" in done.prepared.compiled.circuit.count_ops()
    exact = statevector_values(program, inputs, weights)
    assert np.abs(done.collected.values - exact).max() < 0.25
    plain = evaluate(name, program, inputs, weights, tmp_path / "p", key="2" * 16)
    assert "rx" not in plain.prepared.compiled.circuit.count_ops()


@pytest.mark.parametrize("service", [{"device": "sherbrooke"}], indirect=True)
def test_a_device_without_fractional_gates_is_refused(service: Loopback, tmp_path: Path) -> None:
    program = random_program(21, 2, gates=4)
    with pytest.raises(BackendError, match="ibm_sherbrooke has no fractional gates; leave fractional out"):
        evaluate("ibm_sherbrooke:shots=64,resilience=0,fractional=on", program, *random_angles(program, 2, 2), tmp_path)
    assert service.jobs == {}


@pytest.mark.parametrize(("resilience", "circuits", "executions"), [(1, 2 * 32 + 32, 3 * 1024), (2, 7 * 32, 7 * 1024)])
def test_the_shots_asked_for_are_the_shots_sent_and_the_plan_counts_what_the_client_sends(
    service: Loopback, tmp_path: Path, resilience: int, circuits: int, executions: int
) -> None:
    program = random_program(21, 2, gates=4)
    name = f"ibm_torino:shots=1024,resilience={resilience},copies=1"
    done = evaluate(name, program, *random_angles(program, 2, 2), tmp_path / "e")
    (job,) = service.jobs.values()
    assert (job.circuits, job.executions) == (circuits, executions)
    plan = done.prepared.plan
    assert (plan.circuits, plan.executions, plan.jobs) == (circuits, executions, 1)
    assert np.isfinite(done.collected.values).all()
    assert np.isfinite(done.collected.errors).all()


def test_bases_that_do_not_commute_are_planned_as_the_client_runs_them(service: Loopback, tmp_path: Path) -> None:
    observables = (SparsePauliOp("ZI"), SparsePauliOp(["XX", "ZZ"], [1.0, 0.5]), SparsePauliOp("IY"))
    program = random_program(21, 2, gates=4, observables=observables)
    inputs, weights = random_angles(program, 2, 3)
    done = evaluate("ibm_torino:shots=2000,resilience=0,copies=1", program, inputs, weights, tmp_path / "e")
    (job,) = service.jobs.values()
    assert job.circuits == done.prepared.plan.circuits == 9
    stored = open_backend("fake_torino")
    exact = stored.run(stored.compile(program), inputs, weights).values
    assert np.abs((done.collected.values - exact) / done.collected.errors).max() < 4.5


@pytest.mark.parametrize("service", [{"execution": "noiseless"}], indirect=True)
def test_many_samples_at_once_on_the_chip_give_the_values_of_each_alone(service: Loopback, tmp_path: Path) -> None:
    program = random_program(21, 2, gates=6)
    inputs, weights = random_angles(program, 2, 40)
    done = evaluate("ibm_torino:shots=2048,resilience=0,copies=8", program, inputs, weights, tmp_path / "e")
    exact = statevector_values(program, inputs, weights)
    values, errors = done.collected.values, done.collected.errors
    assert values.shape == errors.shape == (40, 2)
    assert np.abs((values - exact) / np.maximum(errors, 0.01)).max() < 5
    circuits = done.prepared.plan.circuits
    assert [job.circuits for job in service.jobs.values()] == [circuits]
    assert circuits < 40 / 4
    assert len(done.prepared.compiled.copies) == len(done.collected.patches) == 8
    assert not any(patch.suspect for patch in done.collected.patches)
    assert len(done.prepared.arrangement.references) == 2  # of 7 parameter sets; 3 of 8 would be more than a third


@pytest.mark.parametrize("service", [SMALL], indirect=True)
def test_an_evaluation_is_continued_with_the_circuit_it_began_with_and_paid_once(
    service: Loopback, tmp_path: Path
) -> None:
    inputs, weights = random_angles(random_program(21, 2, gates=4), 2, 3)

    def run(folder: Path, key: str) -> Evaluated:
        """Another program object, another login, the calibration of the moment."""
        name = "ibm_manila:shots=64,resilience=0,copies=1"
        return evaluate(name, random_program(21, 2, gates=4), inputs, weights, folder, key=key)

    task = tmp_path / "e"
    service.faults.add("POST /jobs", "job_fails")
    with pytest.raises(BackendError, match="chunk 1 failed"):
        run(task, "a" * 16)
    archived = (task / "circuit.qasm").read_text()
    assert archived.startswith("OPENQASM 3")
    for qubit in json.loads((task / "task.json").read_text())["record"]["circuit"]["layout"]:
        for item in service.calibrations["ibm_manila"]["qubits"][qubit]:
            if item["name"] in {"readout_error", "prob_meas0_prep1", "prob_meas1_prep0"}:
                item["value"] = 0.4  # what was best is worst today
    first, again = run(task, "a" * 16), run(task, "a" * 16)
    np.testing.assert_array_equal(first.collected.values, again.collected.values)
    assert (task / "circuit.qasm").read_text() == archived
    assert [job.job_id for job in again.result.jobs] == list(service.jobs)[1:]
    run(tmp_path / "other", "b" * 16)
    assert (tmp_path / "other" / "circuit.qasm").read_text() != archived
    assert len(service.jobs) == 3


def test_what_cannot_run_is_refused_before_anything_is_sent(service: Loopback) -> None:
    account = Service()
    with pytest.raises(BackendError, match="this IBM account has no device ibm_fez; it has ibm_torino"):
        prepare(random_program(21, 2), parse_name("ibm_fez"), 1, service=account)
    large = CircuitProgram(QuantumCircuit(134), (), (), z_observables(134))
    with pytest.raises(BackendError, match="the circuit has 134 qubits; ibm_torino has 133"):
        prepare(large, parse_name("ibm_torino"), 1, service=account)
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    fixed = CircuitProgram(bell, (), (), z_observables(2))
    with pytest.raises(BackendError, match="no parameters left"):
        prepare(fixed, parse_name("ibm_torino:copies=1"), 1, service=account)
    assert service.jobs == {}


def test_hardware_is_not_opened_like_a_simulator_since_every_job_costs() -> None:
    with pytest.raises(BackendError, match=r"ibm_torino:shots=64 is hardware, .* hybridq evaluate RUN --backend"):
        open_backend("ibm_torino:shots=64")


def test_a_failed_job_is_reported_with_its_id_and_the_reason(service: Loopback, tmp_path: Path) -> None:
    service.faults.add("POST /jobs", "job_fails", message=f"calibration lost ({KEY})")
    program = random_program(21, 2, gates=4)
    with pytest.raises(BackendError, match=r"job \w+ of chunk 1 failed: .*calibration lost \(…\)") as caught:
        evaluate("ibm_torino:shots=32,copies=1", program, *random_angles(program, 2, 2), tmp_path / "e")
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_refused_key_ends_in_one_sentence_that_does_not_show_it(
    service: Loopback, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "a-wrong-key-that-must-not-show")
    with pytest.raises(BackendError, match="IBM did not accept the API key") as caught:
        Service()
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "a-wrong-key-that-must-not-show" not in shown
    assert "\n" not in str(caught.value)
    assert {host for _, host, _, _ in service.requests} == {"iam.ibm.test"}


FAILURES = """
import logging, os, sys, traceback
logging.basicConfig(level=logging.INFO)
from pathlib import Path
from backends.ibm.ledger import Ledger
from hardware import evaluate
from programs import random_angles, random_program
program = random_program(21, 2, gates=4)
for seed in range(3):
    try:
        name, key = "ibm_manila:shots=64,resilience=0,copies=1", str(seed) * 16
        evaluate(name, program, *random_angles(program, seed, 2), Path(key), key=key)
        print("it ran")
    except Exception as error:
        traceback.print_exception(error, limit=None, chain=True)
        while error is not None:
            print(repr(error), repr(vars(error)))
            error = error.__cause__ or error.__context__
    print(Ledger().jobs())
"""


@pytest.mark.parametrize("service", [SMALL], indirect=True)
@pytest.mark.parametrize(
    "trouble",
    ["job fails", *(pytest.param(t, marks=pytest.mark.slow) for t in ("token service gone", "refused", "wrong key"))],
)
def test_nothing_that_a_failing_run_writes_or_prints_shows_the_key(
    service: Loopback, tmp_path: Path, trouble: str
) -> None:
    """Neither the API key nor an access token, in files, output, exceptions with all their causes, or the ledger."""
    key = KEY
    match trouble:
        case "token service gone":
            service.faults.add("POST /identity/token", "403", message=f"no such key: {KEY}", count=None)
        case "job fails":
            service.faults.add("POST /jobs", "job_fails", message=f"the key {KEY} was seen", count=None)
        case "refused":
            service.faults.add("POST /jobs", "400", message=f"the key {KEY} is in the body", count=None)
        case "wrong key":
            key = f"wrong-{KEY}"
    done = subprocess.run(
        [sys.executable, "-c", FAILURES],
        env={
            **os.environ,
            "HOME": str(tmp_path),
            "QISKIT_IBM_TOKEN": key,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)]),
        },
        cwd=tmp_path,
        capture_output=True,
        check=True,
        timeout=120,
    )
    assert b"it ran" not in done.stdout
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    for shown in (done.stdout, done.stderr, *written):
        assert KEY.encode() not in shown
        assert b"Bearer ey" not in shown
        assert b"apikey" not in shown.lower().replace(b"api key", b"")


@pytest.mark.parametrize("service", [{"token_seconds": 1}], indirect=True)
def test_a_key_is_never_sent_to_the_service_when_the_token_service_fails(service: Loopback, tmp_path: Path) -> None:
    """The client's habit is to send the raw key instead, once a token has expired and no new one is given."""
    program = random_program(21, 2, gates=4)
    account = Service()
    prepared = prepare(program, parse_name("ibm_torino:shots=32,copies=1"), 2, service=account)
    task = make_task(prepared, *random_angles(program, 2, 2), key="0" * 16, folder=tmp_path / "e", backend="ibm_torino")
    service.key = "withdrawn"
    time.sleep(2.1)
    with pytest.raises(BackendError, match="IBM did not accept the API key"):
        execute(task, service=account, ledger=Ledger())
    assert all(KEY not in authorization for *_, authorization in service.requests)
    assert service.jobs == {}


def test_without_an_account_it_says_how_to_get_one_and_a_stored_account_behind_a_proxy_works(tmp_path: Path) -> None:
    """In a process of its own with an empty home: first nothing, then an account stored by the client itself."""
    script = (
        "import sys\n"
        "from backends import BackendError\n"
        "from backends.ibm.client import Service\n"
        "try:\n    Service()\n"
        "except BackendError as error:\n    print(error)\n"
        "from qiskit_ibm_runtime import QiskitRuntimeService\n"
        "url, key, crn = sys.argv[1:]\n"
        "QiskitRuntimeService.save_account(token=key, url='http://ibm.test', instance=crn,"
        " proxies={'urls': {'http': url}})\n"
        "print(Service().calibrated('ibm_torino').num_qubits)\n"
    )
    hidden = ("QISKIT_IBM", "IAM_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    clean = {k: v for k, v in os.environ.items() if not k.upper().startswith(hidden)}
    with Loopback("torino", key=KEY) as server:
        done = subprocess.run(
            [sys.executable, "-c", script, server.url, KEY, CRN],
            env={
                **clean,
                "HOME": str(tmp_path),
                "IAM_URL": "http://iam.ibm.test",
                "HYBRIDQ_LEDGER": str(tmp_path / "l"),
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
    sentence, qubits = done.stdout.splitlines()
    assert sentence.startswith("there is no IBM Quantum account on this machine: create a free API key")
    assert "QISKIT_IBM_TOKEN" in sentence
    assert "QiskitRuntimeService.save_account" in sentence
    assert qubits == "133"
    assert KEY not in done.stdout + done.stderr
