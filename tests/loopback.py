"""A server on 127.0.0.1 that answers the unmodified qiskit-ibm-runtime client and runs its jobs on Aer.

The client reaches it as it would reach IBM through a proxy: requests for ``http://*.ibm.test`` go to ``http_proxy``.
It checks the API key at the token service and the access token everywhere else, serves the stored configuration and
properties of one device under its ``ibm_*`` name, accepts jobs of the program ``executor``, runs each in a thread on
Aer under that calibration, and keeps what was sent, so that a test can count it.

Not modelled: queues and their time, batches and sessions, cancelling, quotas, failing jobs, other programs, limits on
size or time, more than one instance, and time-outs. The simulation takes the qubits that two-qubit gates connect
together (with gate and readout errors, without relaxation while idle); a qubit that no two-qubit gate touches suffers
readout error only. There is no crosstalk and no drift.
"""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import prod
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import qiskit_ibm_runtime.fake_provider
from ibm_quantum_schemas.common import CompressedTensorModel
from ibm_quantum_schemas.executor.version_2_0 import (
    ItemMetadataModel,
    MetadataModel,
    ParamsModel,
    QuantumProgramResultItemModel,
    QuantumProgramResultModel,
)
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime.fake_provider.executor.broadcast_sample import broadcast_sample
from qiskit_ibm_runtime.quantum_program.converters.converters_2_0 import quantum_program_from_2_0
from samplomatic.quantum_program import SamplexItem

from backends.compile import restrict_target
from backends.devices import Device, stored_device
from backends.noise import calibrated_noise

CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/00000000:11111111-2222-3333-4444-555555555555::"
PREFIX = "/api/v1"
JOB_SECONDS, EXECUTION_SECONDS = 2.0, 250e-6


@dataclass
class Job:
    """A job as it was sent, and what became of it."""

    id: str
    backend: str
    tags: list[str]
    params: dict[str, Any]
    state: str = "Running"
    reason: str = ""
    circuits: int = 0
    executions: int = 0
    result: str = ""
    created: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()))


class Loopback:
    """The service with one device (``torino`` is served as ``ibm_torino``); use as a context manager."""

    def __init__(self, device: str, *, key: str, seed: int = 0, token_seconds: int = 3600) -> None:
        self.device: Device = stored_device(device)
        self.name = f"ibm_{device}"
        self.key = key
        self.jobs: dict[str, Job] = {}
        self.requests: list[tuple[str, str, str, str]] = []
        """Method, host, path and Authorization header of every request."""
        self._rng = np.random.default_rng(seed)
        folder = Path(qiskit_ibm_runtime.fake_provider.__file__).parent / "backends" / device
        self.configuration = {**json.loads((folder / f"conf_{device}.json").read_text()), "backend_name": self.name}
        self.properties = json.loads((folder / f"props_{device}.json").read_text())
        self.token_seconds = token_seconds
        self.tokens: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of the client and of HTTP that lead here."""
        return {
            "QISKIT_IBM_TOKEN": self.key,
            "QISKIT_IBM_URL": "http://ibm.test",
            "QISKIT_IBM_INSTANCE": CRN,
            "IAM_URL": "http://iam.ibm.test",
            "http_proxy": self.url,
            "no_proxy": "",
        }

    @property
    def url(self) -> str:
        """Address of the server, to be used as a proxy."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Loopback:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def issue_token(self) -> dict[str, Any]:
        """A new access token, as the token service answers."""
        now = int(time.time())
        claims = {"iat": now, "exp": now + self.token_seconds, "id": len(self.tokens)}
        token = ".".join(_base64(json.dumps(part)) for part in ({"alg": "HS256"}, claims, "signature"))
        self.tokens.add(token)
        about = {"refresh_token": "none", "token_type": "Bearer", "expires_in": self.token_seconds}
        return {"access_token": token, **about, "expiration": now + self.token_seconds}

    def submit(self, body: dict[str, Any]) -> Job:
        """Accept a job and start it."""
        job = Job(uuid.uuid4().hex[:20], body["backend"], body.get("tags", []), body["params"])
        self.jobs[job.id] = job
        seed = int(self._rng.integers(2**31))
        threading.Thread(target=self._execute, args=(job, seed), daemon=True).start()
        return job

    def _execute(self, job: Job, seed: int) -> None:
        try:
            model = ParamsModel.model_validate(job.params)
            program, _ = quantum_program_from_2_0(model)
            rng = np.random.default_rng(seed)
            items = []
            for item in program.items:
                data: dict[str, Any] = {}
                if isinstance(item, SamplexItem):
                    item.samplex.finalize()
                    data = broadcast_sample(item.samplex, item.samplex_arguments, item.shape, rng)
                    angles = data.pop("parameter_values")
                else:
                    angles = np.asarray(item.circuit_arguments)
                shape = angles.shape[:-1]
                flat = angles.reshape(prod(shape), angles.shape[-1]).astype(np.float64)
                for register, bits in _measure(item.circuit, flat, program.shots, self.device, rng).items():
                    data[register] = bits.reshape(*shape, *bits.shape[1:])
                job.circuits += prod(shape)
                job.executions += prod(shape) * program.shots
                results = {name: CompressedTensorModel.from_numpy(np.asarray(array)) for name, array in data.items()}
                items.append(QuantumProgramResultItemModel(results=results, metadata=ItemMetadataModel()))
            job.result = QuantumProgramResultModel(
                data=items,
                metadata=MetadataModel(chunk_timing=[]),
                passthrough_data=model.quantum_program.passthrough_data,
                semantic_role=model.quantum_program.semantic_role,
            ).model_dump_json()
            job.state = "Completed"
        except Exception as error:
            job.state, job.reason = "Failed", repr(error)


def _measure(
    circuit: QuantumCircuit, angles: np.ndarray, shots: int, device: Device, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Bits of each classical register, shape (M, shots, size), for angles (M, P)."""
    columns = {parameter: angles[:, i] for i, parameter in enumerate(circuit.parameters)}
    sets = len(angles)
    gates: dict[int, list[Any]] = {q: [] for q in range(circuit.num_qubits)}
    for item in circuit.data:
        if item.operation.name not in {"barrier", "measure", "delay", "id"} and len(item.qubits) == 1:
            gates[circuit.find_bit(item.qubits[0]).index].append(item.operation)
    read: dict[int, np.ndarray] = {}
    for qubits in _connected(circuit):
        if len(qubits) == 1:
            one = _excited(gates[qubits[0]], columns, sets)
            a, b = device.readout[qubits[0]]
            read[qubits[0]] = rng.random((sets, shots)) < ((1 - one) * a + one * (1 - b))[:, None]
        else:
            bits = _simulate(circuit, qubits, columns, sets, shots, device, int(rng.integers(2**31)))
            read |= {qubit: bits[:, :, i] for i, qubit in enumerate(qubits)}
    registers = {register.name: np.zeros((sets, shots, register.size), dtype=bool) for register in circuit.cregs}
    for item in circuit.data:
        if item.operation.name == "measure":
            register, index = circuit.find_bit(item.clbits[0]).registers[0]
            registers[register.name][:, :, index] = read[circuit.find_bit(item.qubits[0]).index]
    return registers


def _connected(circuit: QuantumCircuit) -> list[list[int]]:
    """Qubits that multi-qubit gates connect, directly or not."""
    group = {q: {q} for q in range(circuit.num_qubits)}
    for item in circuit.data:
        if item.operation.name not in {"barrier", "measure"} and len(item.qubits) > 1:
            joined = set().union(*(group[circuit.find_bit(q).index] for q in item.qubits))
            for member in joined:
                group[member] = joined
    return [sorted(members) for q, members in group.items() if q == min(members)]


def _excited(gates: list[Any], columns: dict[Any, np.ndarray], sets: int) -> np.ndarray:
    """Probability of |1⟩ of a qubit on its own after some gates, without errors, shape (M,)."""
    state = np.zeros((sets, 2), dtype=complex)
    state[:, 0] = 1
    for gate in gates:
        if gate.name == "rz":
            angle = _values(gate.params[0], columns)
            state *= np.exp(0.5j * np.stack(np.broadcast_arrays(-angle, angle), axis=-1))
        else:
            state = state @ gate.to_matrix().T
    return np.abs(state[:, 1]) ** 2


def _values(angle: Any, columns: dict[Any, np.ndarray]) -> np.ndarray:
    if angle in columns:
        return columns[angle]
    free = getattr(angle, "parameters", set())
    if not free:
        return np.asarray(float(angle))
    rows = np.stack([columns[parameter] for parameter in free], axis=1)
    return np.array([float(angle.bind(dict(zip(free, row, strict=True)))) for row in rows])


def _simulate(
    circuit: QuantumCircuit,
    qubits: list[int],
    columns: dict[Any, np.ndarray],
    sets: int,
    shots: int,
    device: Device,
    seed: int,
) -> np.ndarray:
    """Measured bits of some qubits, shape (M, shots, len(qubits)), under the device's gate and readout errors."""
    part = QuantumCircuit(len(qubits))
    for item in circuit.data:
        where = [circuit.find_bit(q).index for q in item.qubits]
        if item.operation.name not in {"barrier", "measure", "delay"} and set(where) <= set(qubits):
            part.append(item.operation, [qubits.index(q) for q in where])
    part.measure_all()
    noise = calibrated_noise(restrict_target(device, qubits), [device.readout[q] for q in qubits])
    binds = {parameter: columns[parameter].tolist() for parameter in part.parameters}
    result = (
        AerSimulator(method="density_matrix", noise_model=noise.model(with_readout=True), seed_simulator=seed)
        .run(part if binds else [part] * sets, parameter_binds=[binds] if binds else None, shots=shots, memory=True)
        .result()
    )
    memory = [[[bit == "1" for bit in reversed(shot)] for shot in result.get_memory(i)] for i in range(sets)]
    return np.array(memory, dtype=bool)


def _base64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _handler(service: Loopback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._route("GET", b"")

        def do_POST(self) -> None:
            self._route("POST", self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _route(self, method: str, body: bytes) -> None:
            url = urlsplit(self.path)
            host, path = str(url.hostname), url.path
            service.requests.append((method, host, path, self.headers.get("Authorization", "")))
            if host == "iam.ibm.test":
                self._token(parse_qs(body.decode()))
            elif self.headers.get("Authorization", "").removeprefix("Bearer ") not in service.tokens:
                self._json({"errors": [{"message": "unauthorized"}]}, 401)
            elif host.startswith("api.global-search"):
                item = {"crn": CRN, "name": "loopback", "tags": [], "service_plan_unique_id": "open"}
                self._json({"items": [{**item, "doc": {"extensions": {"backends": 1}}}]})
            elif host.startswith("globalcatalog"):
                self._json({"overview_ui": {"en": {"display_name": "Open"}}, "metadata": {"pricing": {"type": "free"}}})
            else:
                self._runtime(method, path.removeprefix(PREFIX).strip("/").split("/"), body)

        def _token(self, form: dict[str, list[str]]) -> None:
            if form.get("apikey") == [service.key]:
                self._json(service.issue_token())
            else:
                self._json({"errorCode": "BXNIM0415E", "errorMessage": "Provided API key could not be found."}, 400)

        def _runtime(self, method: str, parts: list[str], body: bytes) -> None:
            match method, parts:
                case "GET", ["backends"]:
                    device = {"name": service.name, "status": {"name": "online"}, "queue_length": 0}
                    self._json({"devices": [{**device, "qubits": service.device.num_qubits}]})
                case "GET", ["backends", service.name, "configuration"]:
                    self._json(service.configuration)
                case "GET", ["backends", service.name, "properties"]:
                    self._json(service.properties)
                case "GET", ["backends", service.name, "status"]:
                    self._json({"state": True, "status": "active", "length_queue": 0})
                case "GET", ["instances", "usage"]:
                    self._json({"usage_consumed_seconds": 0, "usage_limit_seconds": 600, "usage_limit_reached": False})
                case "POST", ["jobs"]:
                    job = service.submit(json.loads(body))
                    self._json({"id": job.id, "backend": job.backend})
                case "GET", ["jobs", key, *rest] if key in service.jobs:
                    self._job(service.jobs[key], rest)
                case _:
                    self._json({"errors": [{"message": f"{'/'.join(parts)} not found"}]}, 404)

        def _job(self, job: Job, rest: list[str]) -> None:
            if rest == ["results"]:
                self._text(job.result)
            elif rest == ["metrics"]:
                charged = JOB_SECONDS + EXECUTION_SECONDS * job.executions
                self._json({"usage": {"status": "complete", "qpu_charge_time_seconds": charged}})
            else:
                state = {"status": job.state, "reason": job.reason}
                about = {"id": job.id, "backend": job.backend, "program": {"id": "executor"}, "tags": job.tags}
                self._json({**about, "created": job.created, "state": state})

        def _json(self, value: Any, status: int = 200) -> None:
            self._text(json.dumps(value), status)

        def _text(self, text: str, status: int = 200) -> None:
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler
