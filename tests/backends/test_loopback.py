"""The loopback server, driven by the unmodified client in both routes: protocol, execution, restarts, faults."""

from __future__ import annotations

import time
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loopback import CRN, EXECUTION_SECONDS, JOB_SECONDS, Loopback, LoopbackProcess, client_environment
from loopback.faults import Fault
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.providers.exceptions import QiskitBackendNotFoundError
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime import Batch, QiskitRuntimeService, Session
from qiskit_ibm_runtime.accounts import InvalidAccountError
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import (
    IBMInputValueError,
    IBMNotAuthorizedError,
    IBMRuntimeError,
    RuntimeInvalidStateError,
    RuntimeJobFailureError,
    RuntimeJobMaxTimeoutError,
    RuntimeJobNotFound,
    RuntimeJobTimeoutError,
    RuntimeProgramNotFound,
)
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.options_models import EstimatorOptions
from requests.exceptions import JSONDecodeError

from backends.compile import restrict_target
from backends.devices import Device, stored_device
from backends.noise import calibrated_noise

KEY = "loopback-key-0123456789-never-shown"
ROUTES = ("proxy", "direct")
PRICE = JOB_SECONDS + 2 * 16 * EXECUTION_SECONDS
"""What the job of :func:`submit` costs."""


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Sets the client's environment and nothing else of it."""

    def use(variables: dict[str, str]) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "QISKIT_FUNCTIONS_EXPERIMENTAL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return use


@pytest.fixture(scope="module")
def shared() -> Iterator[Loopback]:
    """One server for tests that leave nothing behind but jobs."""
    with Loopback("manila", key=KEY, execution="counterfeit", quota_seconds=1e9) as server:
        yield server


@pytest.fixture(scope="module")
def shared_services(shared: Loopback) -> dict[str, QiskitRuntimeService]:
    services = {}
    for route in ROUTES:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in client_environment(shared.url, KEY, route).items():
                patch.setenv(name, value)
            services[route] = QiskitRuntimeService()
    return services


@pytest.fixture
def route() -> str:
    """How the client reaches the server, where a test does not say."""
    return "proxy"


@pytest.fixture
def service(
    route: Any,
    shared: Loopback,
    shared_services: dict[str, QiskitRuntimeService],
    environment: Callable[[dict[str, str]], None],
) -> Iterator[QiskitRuntimeService]:
    """A client of the shared server."""
    environment(client_environment(shared.url, KEY, route))
    yield shared_services[route]
    shared.faults.clear()


def circuit(qubits: int) -> QuantumCircuit:
    """One parameter on the first qubit, in instructions that every stored device has."""
    ready = QuantumCircuit(qubits)
    (angle,) = ParameterVector("angle", 1)
    ready.sx(0)
    ready.rz(angle, 0)
    ready.sx(0)
    return ready


def z(qubit: int, qubits: int) -> SparsePauliOp:
    """⟨Z⟩ of one qubit."""
    return SparsePauliOp.from_sparse_list([("Z", [qubit], 1.0)], qubits)


def submit(
    service: QiskitRuntimeService,
    *,
    mode: Any = None,
    tags: tuple[str, ...] = (),
    angles: Any = ((0.1,), (0.2,)),
    what: QuantumCircuit | None = None,
    observables: list[SparsePauliOp] | None = None,
    **options: Any,
) -> Any:
    """Two parameter sets of 16 shots on the first device, unless told otherwise."""
    backend = service.backends()[0] if mode is None else mode
    ready = circuit(5) if what is None else what
    chosen = EstimatorOptions(**{"default_shots": 16, "resilience_level": 0, **options})
    chosen.environment.job_tags = list(tags)
    estimator = Estimator(mode=backend, options=chosen)
    return estimator.run([(ready, [[o] for o in observables or [z(0, ready.num_qubits)]], angles)])


def test_both_routes_answer_every_request_of_the_client(environment: Callable[[dict[str, str]], None]) -> None:
    for route in ROUTES:
        with Loopback("manila", "quito", key=KEY, execution="noiseless") as server:
            environment(client_environment(server.url, KEY, route))
            service = QiskitRuntimeService()
            assert {b.name: b.num_qubits for b in service.backends()} == {"ibm_manila": 5, "ibm_quito": 5}
            backend = service.backend("ibm_quito")
            assert backend.status().operational
            assert backend.properties().backend_name == "ibm_quito"
            batch = Batch(backend)
            job = submit(service, mode=batch, tags=("a", "b"), angles=[[0.0], [np.pi]])
            assert job.result(poll_interval=0.1)[0].data.evs.tolist() == [[-1.0, 1.0]]
            batch.close()
            assert (batch.status(), batch.usage()) == ("Closed", PRICE)

            again = QiskitRuntimeService()
            found = again.job(job.job_id())
            assert (found.status(), found.session_id, found.backend().name) == ("DONE", batch.session_id, "ibm_quito")
            np.testing.assert_array_equal(found.result()[0].data.evs, [[-1.0, 1.0]])
            assert found.inputs["quantum_program"].shots == 16
            assert found.usage_estimation["quantum_seconds"] == found.usage() == PRICE
            assert found.metrics()["timestamps"]["finished"] >= found.metrics()["timestamps"]["created"]
            assert found.logs().startswith("Completed")
            assert found.properties().backend_name == "ibm_quito"
            assert again.usage()["usage_remaining_seconds"] == 600 - PRICE
            assert sorted(found.update_tags(["b", "c"])) == ["b", "c"]
            with pytest.raises(RuntimeJobNotFound):
                again.job("unknown")
            assert all(KEY not in request.authorization for request in server.log)


def test_the_direct_route_can_be_given_to_the_constructor(environment: Callable[[dict[str, str]], None]) -> None:
    with Loopback("manila", key=KEY, execution="counterfeit") as server:
        environment({"IAM_URL": server.url, "QISKIT_FUNCTIONS_EXPERIMENTAL": "1", "no_proxy": "127.0.0.1"})
        service = QiskitRuntimeService(
            channel="ibm_quantum_platform", token=KEY, instance=CRN, url_resolver=lambda *_: f"{server.url}/api/v1"
        )
        assert submit(service).result()[0].data.evs.shape == (1, 2)


def test_jobs_are_listed_by_all_their_tags_by_state_and_in_pages(service: QiskitRuntimeService) -> None:
    both = [submit(service, tags=("run-7", f"chunk-{i}")) for i in range(3)]
    submit(service, tags=("run-8", "chunk-1"))
    for job in both:
        job.wait_for_final_state(poll_interval=0.1)

    def listed(**filters: Any) -> list[str]:
        return [job.job_id() for job in service.jobs(limit=None, **filters)]

    newest_first = [job.job_id() for job in reversed(both)]
    assert listed(job_tags=["run-7"]) == newest_first
    assert listed(job_tags=["run-7", "chunk-1"]) == [both[1].job_id()]
    assert listed(job_tags=["run-7"], pending=True) == []
    assert listed(job_tags=["run-7"], pending=False) == newest_first
    assert listed(job_tags=["run-7"], descending=False) == newest_first[::-1]
    assert [j.job_id() for j in service.jobs(limit=1, skip=1, job_tags=["run-7"])] == newest_first[1:2]
    assert listed(job_tags=["run-9"]) == []


# Execution.


def pairs_on_a_chip(device: Device) -> tuple[QuantumCircuit, list[tuple[int, int]]]:
    """Three pairs far from each other, each with parameters of its own, and idle qubits between them."""
    chosen: list[tuple[int, int]] = []
    for edge in sorted(device.edges, key=lambda edge: device.edges[edge]):
        if all(q not in device_neighbours(device, pair) for pair in chosen for q in edge):
            chosen.append(edge)
        if len(chosen) == 3:
            break
    ready = QuantumCircuit(device.num_qubits)
    angles = ParameterVector("angle", 6)
    for k, (a, b) in enumerate(chosen):
        for q in (a, b):
            ready.sx(q)
        ready.rz(angles[2 * k], a)
        ready.rz(angles[2 * k + 1] + 0.3, b)
        for q in (a, b):
            ready.sx(q)
        for _ in range(4 * (k + 1)):  # the more, the noisier: three pairs that differ
            ready.cz(a, b)
            ready.sx(a)
    return ready, chosen


def device_neighbours(device: Device, pair: tuple[int, int]) -> set[int]:
    return set(pair) | {q for edge in device.edges if set(edge) & set(pair) for q in edge}


def exact(ready: QuantumCircuit, pair: tuple[int, int], angles: np.ndarray, device: Device | None) -> list[list[float]]:
    """⟨Z⟩ (2, N) of a pair alone: by Aer's noise model and readout error, or by Qiskit's state vector."""
    values = []
    for row in angles:
        part = QuantumCircuit(2)
        for item in ready.assign_parameters(row).data:
            where = [ready.find_bit(q).index for q in item.qubits]
            if set(where) <= set(pair):
                part.append(item.operation, [pair.index(q) for q in where])
        if device is None:
            chances = Statevector(part).probabilities()
            readout = [(0.0, 0.0)] * 2
        else:
            readout = [device.readout[q] for q in pair]
            part.save_probabilities()
            noise = calibrated_noise(restrict_target(device, pair), readout).model(with_readout=False)
            simulator = AerSimulator(method="density_matrix", noise_model=noise)
            chances = simulator.run(part).result().data()["probabilities"]
        table = np.asarray(chances).reshape(2, 2)
        bare = (table[:, 0].sum() - table[:, 1].sum(), table[0].sum() - table[1].sum())
        values.append([(1 - a - b) * v + (b - a) for v, (a, b) in zip(bare, readout, strict=True)])
    return np.array(values).T.tolist()


@pytest.mark.parametrize("execution", ["calibrated", "noiseless"])
def test_parts_of_a_whole_chip_circuit_give_the_values_that_they_have_alone(
    execution: Any, environment: Callable[[dict[str, str]], None]
) -> None:
    device = stored_device("torino")
    ready, pairs = pairs_on_a_chip(device)
    angles = np.random.default_rng(5).uniform(0, 2 * np.pi, (2, 6))
    shots = 20000
    with Loopback("torino", key=KEY, seed=1, execution=execution) as server:
        environment(client_environment(server.url, KEY, "direct"))
        observables = [z(q, device.num_qubits) for pair in pairs for q in pair]
        job = submit(QiskitRuntimeService(), what=ready, observables=observables, angles=angles, default_shots=shots)
        measured = job.result(poll_interval=0.1)[0].data.evs
        (kept,) = server.jobs.values()
        assert (kept.circuits, kept.executions, kept.executed) == (2, 2 * shots, 1)
    wanted = np.concatenate([exact(ready, p, angles, device if execution == "calibrated" else None) for p in pairs])
    sigma = np.sqrt((1 - np.square(wanted)) / shots) + 1e-9
    assert np.abs((measured - wanted) / sigma).max() < 4.5
    if execution == "calibrated":
        ideal = np.concatenate([exact(ready, p, angles, None) for p in pairs])
        assert np.abs((measured - ideal) / sigma).max() > 10


@pytest.mark.parametrize("execution", ["calibrated", "counterfeit"])
def test_a_result_seeded_by_its_parameters_depends_on_what_runs_and_on_nothing_else(
    execution: Any, environment: Callable[[dict[str, str]], None]
) -> None:
    results = []
    for seed in (0, 1):
        with Loopback("manila", key=KEY, seed=seed, execution=execution, seeded_by="parameters") as server:
            environment(client_environment(server.url, KEY, "direct"))
            service = QiskitRuntimeService()
            for angle in (0.1, 0.1, 0.3):  # each with a circuit and a parameter made anew
                job = submit(service, angles=[[angle]], tags=(f"seed-{seed}",), default_shots=64, resilience_level=1)
                results.append(job.result(poll_interval=0.1)[0].data.evs.item())
    assert results[0] == results[1] == results[3] == results[4]
    assert results[2] == results[5] != results[0]


def test_jobs_have_randomness_of_their_own_by_default(environment: Callable[[dict[str, str]], None]) -> None:
    with Loopback("manila", key=KEY, execution="noiseless") as server:
        environment(client_environment(server.url, KEY, "direct"))
        service = QiskitRuntimeService()
        values = [submit(service, angles=[[0.7]], default_shots=4096).result(poll_interval=0.1)[0].data.evs.item()]
        values += [submit(service, angles=[[0.7]], default_shots=4096).result(poll_interval=0.1)[0].data.evs.item()]
    assert values[0] != values[1]


@pytest.mark.parametrize("decoupling", ["XX", "XpXm", "XY4"])
def test_mitigation_and_decoupling_run(decoupling: str, environment: Callable[[dict[str, str]], None]) -> None:
    with Loopback("manila", key=KEY) as server:
        environment(client_environment(server.url, KEY, "direct"))
        ready = circuit(5)
        for _ in range(4):
            ready.cx(0, 1)
        ready.cx(1, 2)
        job = submit(
            QiskitRuntimeService(),
            what=ready,
            angles=[[np.pi]],
            resilience_level=2,
            default_shots=256,
            twirling={"num_randomizations": 4, "shots_per_randomization": 64},
            dynamical_decoupling={"enable": True, "sequence_type": decoupling},
        )
        assert job.result(poll_interval=0.1)[0].data.evs.item() == pytest.approx(1, abs=0.4)
        (kept,) = server.jobs.values()
        assert kept.executions == (3 + 1) * 256


def test_a_circuit_that_is_not_in_the_devices_instructions_fails_with_the_reason(
    environment: Callable[[dict[str, str]], None],
) -> None:
    with Loopback("manila", key=KEY) as server:
        environment(client_environment(server.url, KEY, "direct"))
        ready = circuit(5)
        ready.cx(0, 4)
        with pytest.raises(RuntimeJobFailureError, match=r"instructions of manila: cx on \[0, 4\]"):
            submit(QiskitRuntimeService(), what=ready).result(poll_interval=0.1)
        assert server.charged_seconds == 0


# The queue, limits, quota, batches.


def test_a_job_queues_runs_and_is_charged_some_time_after_it_is_done(
    environment: Callable[[dict[str, str]], None],
) -> None:
    options: dict[str, Any] = {"queue_seconds": 2.5, "others_in_queue": 8, "run_seconds": 1.0, "usage_seconds": 1.5}
    with Loopback("manila", key=KEY, execution="counterfeit", **options) as server:
        environment(client_environment(server.url, KEY, "direct"))
        service = QiskitRuntimeService()
        jobs = [submit(service), submit(service)]
        positions = [job.metrics()["position_in_queue"] for job in jobs]
        assert 0 < positions[0] < positions[1] <= 9
        assert service.backends()[0].status().pending_jobs == 8 + 2
        seen = []
        while not seen or seen[-1] not in jobs[0].JOB_FINAL_STATES:
            seen.append(jobs[0].status())
            time.sleep(0.02)
        assert list(dict.fromkeys(seen)) == ["QUEUED", "RUNNING", "DONE"]
        assert jobs[1].status() in ("QUEUED", "RUNNING")  # one at a time
        assert (jobs[0].usage(), jobs[0].metrics()["usage"]["status"]) == (0, "pending")
        jobs[1].cancel()
        assert service.job(jobs[1].job_id()).status() == "CANCELLED"
        with pytest.raises(RuntimeInvalidStateError):
            jobs[0].cancel()
        time.sleep(1.8)
        assert (jobs[0].usage(), jobs[1].usage()) == (PRICE, 0)
        assert server.charged_seconds == PRICE


def test_a_job_over_its_time_limit_is_stopped_and_charged_the_limit(
    shared: Loopback, service: QiskitRuntimeService
) -> None:
    job = submit(service, max_execution_time=1)
    with pytest.raises(RuntimeJobMaxTimeoutError, match="1305"):
        job.result(poll_interval=0.1)
    assert (job.status(), job.usage(), shared.jobs[job.job_id()].executed) == ("ERROR", 1, 0)


def test_the_open_plan_refuses_sessions_and_takes_batches(environment: Callable[[dict[str, str]], None]) -> None:
    with Loopback("manila", key=KEY, execution="counterfeit", queue_seconds=600) as server:
        environment(client_environment(server.url, KEY))
        service = QiskitRuntimeService()
        backend = service.backend("ibm_manila")
        with pytest.raises(RequestsApiError, match="1352") as refused:
            Session(backend)
        assert refused.value.status_code == 400
        assert service.instances()[0]["plan"] == "open"

        batch = Batch(backend)
        assert batch.status() == "Pending"
        job = submit(service, mode=batch)
        Batch.from_id(batch.session_id, service).close()
        assert job.status() == "QUEUED"
        with pytest.raises(IBMRuntimeError, match="1217"):
            submit(service, mode=batch)
        other = Batch(backend)
        queued = submit(service, mode=other)
        other.cancel()
        assert queued.status() == "CANCELLED"
        server.change(queue_seconds=0.0)
        job.result(poll_interval=0.1)
        assert (batch.status(), other.status()) == ("Closed", "Closed")
        with pytest.raises(IBMInputValueError):
            Batch.from_id("unknown", service)
        server.plan = "premium"
        assert Session(backend).details()["mode"] == "dedicated"  # type: ignore[index]


def test_usage_grows_with_what_is_charged_until_the_quota_is_reached(
    environment: Callable[[dict[str, str]], None],
) -> None:
    with Loopback("manila", key=KEY, execution="counterfeit", quota_seconds=10, consumed_seconds=7) as server:
        environment(client_environment(server.url, KEY, "direct"))
        service = QiskitRuntimeService()
        for left in (3 - PRICE, 0):
            submit(service).result(poll_interval=0.1)
            assert service.usage()["usage_remaining_seconds"] == pytest.approx(left)
        with (
            pytest.warns(UserWarning, match="met its usage limit"),
            pytest.raises(IBMRuntimeError, match=r"403.*4317"),
        ):
            submit(service)
        assert len(server.jobs) == 2
        server.change(over_quota="hold")
        with pytest.warns(UserWarning, match="met its usage limit"):
            held = submit(service)
        time.sleep(0.2)
        assert held.status() == "QUEUED"
        server.change(quota_seconds=600)
        assert held.result(poll_interval=0.1) is not None


# Faults.

REQUESTS: list[tuple[str, str, Any, str]] = [
    # what the client does, kind, what it raises (None where it recovers), and in words
    ("submit", "401", IBMNotAuthorizedError, "401"),
    ("submit", "403", IBMRuntimeError, "403 Client Error"),
    ("submit", "404", RuntimeProgramNotFound, "404 Client Error"),
    ("submit", "429", IBMRuntimeError, "429 Client Error"),
    ("submit", "quota", IBMRuntimeError, "4317"),
    ("submit", "500", None, ""),
    ("submit", "503", None, ""),
    ("submit", "truncate", IBMRuntimeError, "IncompleteRead"),
    ("submit", "garbage", JSONDecodeError, "Expecting value"),
    ("submit, listing devices", "401", QiskitBackendNotFoundError, "No backend"),
    ("submit, listing devices", "garbage", QiskitBackendNotFoundError, "No backend"),
    ("submit, usage", "401", IBMNotAuthorizedError, "401"),
    ("submit, usage", "403", RequestsApiError, "403"),
    ("poll", "401", IBMNotAuthorizedError, "401"),
    ("poll", "403", RequestsApiError, "403"),
    ("poll", "404", RequestsApiError, "404"),
    ("poll", "429", RequestsApiError, "429"),
    ("poll", "502", None, ""),
    ("poll", "504", None, ""),
    ("poll", "drop_before", None, ""),
    ("poll", "drop_after", None, ""),
    ("poll", "truncate", RequestsApiError, "IncompleteRead"),
    ("poll", "garbage", JSONDecodeError, "Expecting value"),
    ("retrieve", "401", IBMNotAuthorizedError, "401"),
    ("retrieve", "403", IBMRuntimeError, "403"),
    ("retrieve", "404", RuntimeJobNotFound, "Job not found"),
    ("fetch", "401", IBMNotAuthorizedError, "401"),
    ("fetch", "403", RequestsApiError, "403"),
    ("fetch", "429", RequestsApiError, "429"),
    ("fetch", "500", None, ""),
    ("fetch", "drop_before", None, ""),
    ("fetch", "truncate", RequestsApiError, "IncompleteRead"),
    ("fetch", "garbage", TypeError, "string indices"),
    ("list", "401", IBMNotAuthorizedError, "401"),
    ("list", "429", RequestsApiError, "429"),
    ("list", "garbage", JSONDecodeError, "Expecting value"),
    ("open a batch", "401", IBMNotAuthorizedError, "401"),
    ("open a batch", "429", RequestsApiError, "429"),
    ("open a batch", "500", None, ""),
    ("open an account", "401", InvalidAccountError, "Unable to retrieve instances"),
    ("open an account", "503", InvalidAccountError, "Unable to retrieve instances"),
    ("open an account", "drop_before", InvalidAccountError, "Unable to retrieve instances"),
    ("find a device", "404", QiskitBackendNotFoundError, "No backend"),
]
WHERE = {
    "submit": "POST /jobs",
    "submit, listing devices": "GET /backends",
    "submit, usage": "GET /instances/usage",
    "poll": "GET /jobs/*",
    "retrieve": "GET /jobs/*",
    "fetch": "GET /jobs/*/results",
    "list": "GET /jobs",
    "open a batch": "POST /sessions",
    "open an account": "POST /identity/token",
    "find a device": "GET /backends/*/configuration",
}


@pytest.fixture(scope="module")
def done(shared: Loopback, shared_services: dict[str, QiskitRuntimeService]) -> str:
    """Id of a finished job."""
    job = submit(shared_services["direct"], tags=("done",))
    job.wait_for_final_state(poll_interval=0.1)
    return str(job.job_id())


CASES = [(route, *case) for case in REQUESTS for route in ROUTES if route == "proxy" or case[0] in ("submit", "poll")]


@pytest.mark.parametrize(("route", "request_", "kind", "raised", "words"), CASES)
def test_the_client_raises_what_is_documented_for_a_fault(
    shared: Loopback, service: QiskitRuntimeService, done: str, request_: str, kind: str, raised: Any, words: str
) -> None:
    backend = service.backends()[0]
    finished = service.job(done)
    ready = circuit(5)

    def act() -> object:
        match request_:
            case "submit" | "submit, listing devices" | "submit, usage":
                estimator = Estimator(mode=backend, options=EstimatorOptions(default_shots=16, resilience_level=0))
                return estimator.run([(ready, z(0, 5), [[0.1], [0.2]])])
            case "poll":
                return finished.status()
            case "retrieve":
                return service.job(done)
            case "fetch":
                finished.wait_for_final_state()
                return finished.result()
            case "list":
                return service.jobs(job_tags=["done"])
            case "open a batch":
                return Batch(backend)
            case "open an account":
                return QiskitRuntimeService()
        return QiskitRuntimeService().backend("ibm_manila")

    before = len(shared.jobs)
    fault = shared.faults.add(WHERE[request_], kind)
    if raised is None:
        assert act() is not None
    else:
        with pytest.raises(raised, match=words):
            act()
    assert fault.seen >= 1
    created = request_ == "submit" and (raised is None or kind in ("truncate", "garbage"))
    assert len(shared.jobs) == before + created


@pytest.mark.parametrize(("route", "jobs"), [("direct", 1), ("proxy", 2)])
def test_a_lost_answer_to_a_submission_leaves_one_job_or_behind_a_proxy_two(
    shared: Loopback, service: QiskitRuntimeService, jobs: int
) -> None:
    """Behind a proxy the client's HTTP library takes the lost answer for a proxy's failure and sends again."""
    tag = f"lost-{jobs}"
    shared.faults.add("POST /jobs", "drop_after")
    if jobs == 1:
        with pytest.raises(IBMRuntimeError, match="RemoteDisconnected"):
            submit(service, tags=(tag,))
    else:
        submit(service, tags=(tag,))
    assert len(service.jobs(job_tags=[tag])) == jobs


@pytest.mark.parametrize(("route", "jobs"), [("direct", 0), ("proxy", 1)])
def test_a_submission_dropped_before_it_was_read_makes_no_job_by_itself(
    shared: Loopback, service: QiskitRuntimeService, jobs: int
) -> None:
    tag = f"dropped-{jobs}"
    shared.faults.add("POST /jobs", "drop_before")
    if jobs == 0:
        with pytest.raises(IBMRuntimeError, match="RemoteDisconnected"):
            submit(service, tags=(tag,))
    else:
        submit(service, tags=(tag,))
    assert len(service.jobs(job_tags=[tag])) == jobs


def test_an_answer_of_5xx_creates_no_job_and_the_client_sends_again(
    shared: Loopback, service: QiskitRuntimeService
) -> None:
    before = len(shared.log)
    shared.faults.add("POST /jobs", "500", nth=1, count=2)
    submit(service, tags=("burst",))
    posts = [r.status for r in shared.log[before:] if (r.method, r.path) == ("POST", "/api/v1/jobs")]
    assert posts == [500, 500, 200]
    assert len(service.jobs(job_tags=["burst"])) == 1


def test_retry_after_is_kept_by_reading_requests_and_not_by_a_submission(
    shared: Loopback, service: QiskitRuntimeService
) -> None:
    job = submit(service)
    shared.faults.add("GET /jobs/*", "429", retry_after=1)
    started = time.monotonic()
    job.status()
    assert time.monotonic() - started >= 1
    shared.faults.add("POST /jobs", "429", retry_after=1)
    with pytest.raises(IBMRuntimeError, match="429"):
        submit(service)


def test_the_nth_request_a_number_of_them_and_an_end_in_time_decide_which_are_met() -> None:
    def met(fault: Fault, *paths: str) -> list[bool]:
        return [fault.meets("GET", path) for path in paths]

    assert met(Fault("GET /jobs/*", "500", nth=2, count=2), *["/jobs/a"] * 5) == [False, True, True, False, False]
    assert met(Fault("GET /jobs/*", "500", count=None), "/jobs/a", "/jobs/a/results", "/jobs", "/jobs/b") == [
        True,
        False,
        False,
        True,
    ]
    assert met(Fault("* /**", "500", count=None), "/jobs/a/results", "/backends") == [True, True]
    assert met(Fault("POST /jobs", "500"), "/jobs") == [False]
    assert met(Fault("GET /jobs", "500", until=time.time() - 1), "/jobs") == [False]
    with pytest.raises(ValueError, match="there is no fault 'earthquake'"):
        Fault("GET /jobs", "earthquake")
    with pytest.raises(ValueError, match="job_hangs happens to POST /jobs"):
        Fault("GET /jobs", "job_hangs")


def test_delays_happen_before_or_after_a_job_is_created(shared: Loopback, service: QiskitRuntimeService) -> None:
    created = []
    for kind in ("delay", "delay_after"):
        shared.faults.clear()
        shared.faults.add("POST /jobs", kind, seconds=0.4)
        job = submit(service)
        created.append(time.time() - shared.jobs[job.job_id()].created_at)
    assert created[0] < 0.3
    assert created[1] > 0.4


@pytest.mark.parametrize(
    ("kind", "state", "raised", "words"),
    [
        ("job_fails", "ERROR", RuntimeJobFailureError, "Error code 1519; out of order"),
        ("job_cancelled", "CANCELLED", RuntimeInvalidStateError, "Job was cancelled"),
        ("job_time_limit", "ERROR", RuntimeJobMaxTimeoutError, "Error code 1305"),
        ("job_hangs", "RUNNING", RuntimeJobTimeoutError, "Timed out"),
    ],
)
def test_a_job_can_meet_a_fate(
    shared: Loopback, service: QiskitRuntimeService, kind: str, state: str, raised: type[Exception], words: str
) -> None:
    shared.faults.add("POST /jobs", kind, nth=2, message="out of order", code=1519)
    first, second = submit(service), submit(service)
    with pytest.raises(raised, match=words):
        second.result(timeout=0.3, poll_interval=0.1)
    assert second.status() == state
    assert first.result(poll_interval=0.1) is not None
    assert shared.jobs[second.job_id()].executed == 0
    if kind == "job_hangs":
        second.cancel()
        assert service.job(second.job_id()).status() == "CANCELLED"


def test_tokens_expire_and_are_renewed_and_a_wrong_key_or_another_instance_is_refused(
    environment: Callable[[dict[str, str]], None],
) -> None:
    with Loopback("manila", key=KEY, execution="counterfeit", token_seconds=1) as server:
        environment(client_environment(server.url, KEY))
        service = QiskitRuntimeService()
        job = submit(service)
        token = server.log[-1].authorization
        time.sleep(3.1)
        assert not server.authorized(token)
        assert job.result(poll_interval=0.1) is not None
        assert server.log[-1].authorization != token
        with pytest.raises(IBMInputValueError, match="does not have access"):
            QiskitRuntimeService(
                channel="ibm_quantum_platform", token=KEY, url="http://ibm.test", instance=CRN[:-3] + "x::"
            )
        environment({"QISKIT_IBM_TOKEN": "a-wrong-key"})
        with pytest.raises(InvalidAccountError):
            QiskitRuntimeService()


# A process of its own.


def test_a_killed_server_goes_on_at_the_same_address_with_the_same_jobs(
    tmp_path: Path, environment: Callable[[dict[str, str]], None]
) -> None:
    options: dict[str, Any] = {"execution": "counterfeit", "queue_seconds": 0.5, "usage_seconds": 0}
    with LoopbackProcess("manila", key=KEY, folder=tmp_path / "state", **options) as server:
        environment(server.environment())
        service = QiskitRuntimeService()
        batch = Batch(service.backend("ibm_manila"))
        first = submit(service, mode=batch, tags=("first",))
        evs = first.result(poll_interval=0.1)[0].data.evs
        waiting = submit(service, mode=batch, tags=("second",))
        server.control("POST", "settings", {"queue_seconds": 600})
        address = server.url

        server.kill()
        with pytest.raises(RequestsApiError) as down:
            waiting.status()
        assert down.value.status_code == -1
        server.start()
        assert server.url == address

        np.testing.assert_array_equal(service.job(first.job_id()).result(poll_interval=0.1)[0].data.evs, evs)
        np.testing.assert_array_equal(waiting.result(poll_interval=0.1)[0].data.evs, evs)  # the same content
        assert batch.status() == "In progress, accepting new jobs"
        assert len(service.jobs(job_tags=["second"])) == 1
        log = server.log()
        each = {"jobs": 1, "executed": 1, "charged_seconds": PRICE}
        assert log["tags"] == {"first": each, "second": each}
        assert log["charged_seconds"] == 2 * PRICE
        assert service.usage()["usage_consumed_seconds"] == 2 * PRICE

        server.add_fault("POST /jobs", "403")
        with pytest.raises(IBMRuntimeError, match="403"):
            submit(service)
        assert [r["fault"] for r in server.log()["requests"] if r["fault"]] == ["403"]
        with pytest.raises(urllib.error.HTTPError, match="400"):
            server.add_fault("POST /jobs", "earthquake")
        server.control("DELETE", "faults")
        assert server.control("GET", "faults") == []
