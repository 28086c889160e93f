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
from hardware import KEY
from loopback import CRN, Loopback
from programs import random_angles, random_program, statevector_values, z_observables
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from backends import BackendError, BackendResult, CircuitProgram, open_backend
from backends.ibm.plan import hardware_cost

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
    service: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    """Against the exact values under the stored calibration: the same patch, gates and readout error."""
    program = random_program(21, 4)
    inputs, weights = random_angles(program, 2, 6)
    stored = open_backend("fake_torino")
    exact = stored.run(stored.compile(program), inputs, weights).values
    hardware = open_backend("ibm_torino:shots=4000,resilience=0,copies=1")
    compiled = hardware.compile(program)
    cost = hardware.cost(compiled, 6)
    result = hardware.run(compiled, inputs, weights)
    assert result.values.shape == (6, 4)
    assert np.diff(np.sort(exact[0])).min() > 0.02  # distinct ⟨Z⟩: a wrong qubit order would show
    # The server does not let idle qubits relax; that difference is far below the shot noise.
    assert np.abs((result.values - exact) / result.standard_errors).max() < 4.5

    (job,) = service.jobs.values()
    assert (job.circuits, job.executions) == (6, 24000) == (cost.circuits, cost.executions)
    record = json.loads(json.dumps(result.record))
    assert (record["kind"], record["simulated"], record["device"]) == ("hardware", False, "ibm_torino")
    assert record["job_ids"] == [job.id]
    assert record["quantum_seconds"] == pytest.approx(2 + 24000 * 250e-6)
    assert record["estimated_quantum_seconds"] == pytest.approx(record["quantum_seconds"], rel=0.05)
    assert (record["shots"], record["options"]["default_shots"], record["options"]["resilience_level"]) == (
        4000,
        4000,
        0,
    )
    assert record["layout"] == list(compiled.physical_qubits or ())
    assert record["two_qubit_gates"] == compiled.circuit.num_nonlocal_gates()
    assert KEY not in json.dumps(record) + caplog.text
    assert all(KEY not in authorization for *_, authorization in service.requests)


@pytest.mark.parametrize(("resilience", "circuits", "executions"), [(1, 2 * 32 + 32, 3 * 1024), (2, 7 * 32, 7 * 1024)])
def test_the_shots_asked_for_are_the_shots_sent_and_the_plan_counts_what_the_client_sends(
    service: Loopback, resilience: int, circuits: int, executions: int
) -> None:
    program = random_program(21, 2, gates=4)
    hardware = open_backend(f"ibm_torino:shots=1024,resilience={resilience},copies=1")
    compiled = hardware.compile(program)
    result = hardware.run(compiled, *random_angles(program, 2, 2))
    (job,) = service.jobs.values()
    assert (job.circuits, job.executions) == (circuits, executions)
    cost = hardware.cost(compiled, 2)
    assert (cost.circuits, cost.executions, cost.jobs) == (circuits, executions, 1)
    assert np.isfinite(result.values).all()
    assert np.isfinite(result.standard_errors).all()


def test_bases_that_do_not_commute_are_planned_as_the_client_runs_them(service: Loopback) -> None:
    observables = (SparsePauliOp("ZI"), SparsePauliOp(["XX", "ZZ"], [1.0, 0.5]), SparsePauliOp("IY"))
    program = random_program(21, 2, gates=4, observables=observables)
    inputs, weights = random_angles(program, 2, 3)
    hardware = open_backend("ibm_torino:shots=2000,resilience=0,copies=1")
    compiled = hardware.compile(program)
    values = hardware.run(compiled, inputs, weights)
    (job,) = service.jobs.values()
    assert job.circuits == hardware.cost(compiled, 3).circuits == 9
    stored = open_backend("fake_torino")
    exact = stored.run(stored.compile(program), inputs, weights).values
    assert np.abs((values.values - exact) / values.standard_errors).max() < 4.5


@pytest.mark.parametrize("service", [{"execution": "noiseless"}], indirect=True)
def test_many_samples_at_once_on_the_chip_give_the_values_of_each_alone(service: Loopback) -> None:
    program = random_program(21, 2, gates=6)
    inputs, weights = random_angles(program, 2, 40)
    hardware = open_backend("ibm_torino:shots=2048,resilience=0,copies=8")
    compiled = hardware.compile(program)
    result = hardware.run(compiled, inputs, weights)
    exact = statevector_values(program, inputs, weights)
    assert result.values.shape == result.standard_errors.shape == (40, 2)
    assert np.abs((result.values - exact) / np.maximum(result.standard_errors, 0.01)).max() < 5
    record = json.loads(json.dumps(result.record))
    assert [job.circuits for job in service.jobs.values()] == [record["circuits"]]
    assert record["circuits"] < 40 / 4
    assert len(record["copies"]) == len(record["patches"]) == 8
    assert not any(patch["suspect"] for patch in record["patches"])
    assert len(record["references"]) == 4


@pytest.mark.parametrize("service", [SMALL], indirect=True)
def test_the_same_run_is_continued_with_the_circuit_it_began_with_and_paid_once(
    service: Loopback, tmp_path: Path
) -> None:
    inputs, weights = random_angles(random_program(21, 2, gates=4), 2, 3)

    def run(inputs: np.ndarray, name: str = "ibm_manila:shots=64,resilience=0,copies=1") -> BackendResult:
        """As a new process does: another program object, another login, the calibration of the moment."""
        hardware = open_backend(name)
        return hardware.run(hardware.compile(random_program(21, 2, gates=4)), inputs, weights)

    service.faults.add("POST /jobs", "job_fails")
    with pytest.raises(BackendError, match="chunk 1 failed"):
        run(inputs)
    (task,) = (tmp_path / "evaluations").iterdir()
    archived = (task / "circuit.qasm").read_text()
    assert archived.startswith("OPENQASM 3")
    for qubit in json.loads((task / "task.json").read_text())["record"]["circuit"]["layout"]:
        for item in service.calibrations["ibm_manila"]["qubits"][qubit]:
            if item["name"] in {"readout_error", "prob_meas0_prep1", "prob_meas1_prep0"}:
                item["value"] = 0.4  # what was best is worst today
    first, again = run(inputs), run(inputs)
    np.testing.assert_array_equal(first.values, again.values)
    assert (task / "circuit.qasm").read_text() == archived
    assert first.record["job_ids"] == again.record["job_ids"] == list(service.jobs)[1:]

    moved = run(inputs + 0.1)
    assert moved.record["layout"] != first.record["layout"]
    run(inputs, "ibm_manila:shots=128,resilience=0,copies=1")
    assert len(service.jobs) == 4
    assert len(list((tmp_path / "evaluations").iterdir())) == 3


def test_a_circuit_larger_than_the_device_and_a_device_not_in_the_account_are_refused(service: Loopback) -> None:
    with pytest.raises(BackendError, match="this IBM account has no device ibm_fez; it has ibm_torino"):
        open_backend("ibm_fez")
    hardware = open_backend("ibm_torino")
    with pytest.raises(BackendError, match="the circuit has 134 qubits; ibm_torino has 133"):
        hardware.compile(CircuitProgram(QuantumCircuit(134), (), (), z_observables(134)))
    assert service.jobs == {}


def test_a_failed_job_is_reported_with_its_id_and_the_reason(service: Loopback) -> None:
    service.faults.add("POST /jobs", "job_fails", message=f"calibration lost ({KEY})")
    program = random_program(21, 2, gates=4)
    hardware = open_backend("ibm_torino:shots=32,copies=1")
    with pytest.raises(BackendError, match=r"job \w+ of chunk 1 failed: .*calibration lost \(…\)") as caught:
        hardware.run(hardware.compile(program), *random_angles(program, 2, 2))
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_refused_key_ends_in_one_sentence_that_does_not_show_it(
    service: Loopback, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "a-wrong-key-that-must-not-show")
    with pytest.raises(BackendError, match="IBM did not accept the API key") as caught:
        open_backend("ibm_torino")
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "a-wrong-key-that-must-not-show" not in shown
    assert "\n" not in str(caught.value)
    assert {host for _, host, _, _ in service.requests} == {"iam.ibm.test"}


FAILURES = """
import logging, os, sys, traceback
logging.basicConfig(level=logging.INFO)
from backends import open_backend
from backends.ibm.ledger import Ledger
from programs import random_angles, random_program
program = random_program(21, 2, gates=4)
for seed in range(3):
    try:
        hardware = open_backend("ibm_manila:shots=64,resilience=0,copies=1", seed=seed)
        hardware.run(hardware.compile(program), *random_angles(program, seed, 2))
        print("it ran")
    except Exception as error:
        traceback.print_exception(error, limit=None, chain=True)
        while error is not None:
            print(repr(error), repr(vars(error)))
            error = error.__cause__ or error.__context__
    print(open_backend, Ledger().jobs())
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
def test_a_key_is_never_sent_to_the_service_when_the_token_service_fails(service: Loopback) -> None:
    """The client's habit is to send the raw key instead, once a token has expired and no new one is given."""
    hardware = open_backend("ibm_torino:shots=32,copies=1")
    program = random_program(21, 2, gates=4)
    compiled = hardware.compile(program)
    service.key = "withdrawn"
    time.sleep(2.1)
    with pytest.raises(BackendError, match="IBM did not accept the API key"):
        hardware.run(compiled, *random_angles(program, 2, 2))
    assert all(KEY not in authorization for *_, authorization in service.requests)
    assert service.jobs == {}


def test_without_an_account_it_says_how_to_get_one_and_a_stored_account_behind_a_proxy_works(tmp_path: Path) -> None:
    """In a process of its own with an empty home: first nothing, then an account stored by the client itself."""
    script = (
        "import sys\n"
        "from backends import BackendError, open_backend\n"
        "try:\n    open_backend('ibm_torino')\n"
        "except BackendError as error:\n    print(error)\n"
        "from qiskit_ibm_runtime import QiskitRuntimeService\n"
        "url, key, crn = sys.argv[1:]\n"
        "QiskitRuntimeService.save_account(token=key, url='http://ibm.test', instance=crn,"
        " proxies={'urls': {'http': url}})\n"
        "print(open_backend('ibm_torino').num_qubits)\n"
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


def test_the_cost_model_is_two_seconds_a_job_and_the_delay_and_duration_of_every_execution() -> None:
    plain = hardware_cost(samples=200, groups=1, shots=4096, resilience=0, circuit_seconds=2e-6)
    assert (plain.circuits, plain.executions, plain.jobs) == (200, 819200, 1)
    assert plain.quantum_seconds == pytest.approx(2 + 819200 * 252e-6)
    assert hardware_cost(samples=8, groups=1, shots=4096, resilience=1, circuit_seconds=0).executions == 36864
    assert hardware_cost(samples=8, groups=1, shots=4096, resilience=2, circuit_seconds=0).circuits == 800
    assert hardware_cost(samples=0, groups=1, shots=4096, resilience=2, circuit_seconds=0).quantum_seconds == 0
