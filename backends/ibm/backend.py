"""``ibm_<device>``: build the PUB, submit it, interpret the result; three steps, so that a ledger fits between them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit
from qiskit.primitives import PrimitiveResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit_ibm_runtime.utils.validations import validate_isa_circuits

from backends.compile import circuit_record, measured, move_observable, place
from backends.contract import BackendResult, CircuitProgram, CompiledCircuit, Cost, FloatArray
from backends.devices import device_of
from backends.errors import BackendError
from backends.ibm import client
from backends.ibm.plan import REP_DELAY_SECONDS, hardware_cost
from backends.measurement import group_observables
from backends.names import DEFAULT_HARDWARE_SHOTS, BackendName
from backends.record import run_record


@dataclass(frozen=True)
class HardwareCircuit(CompiledCircuit):
    """A circuit compiled for a device, on all its qubits."""

    circuit_seconds: float = 0.0
    """Duration of one execution, measurement included."""
    groups: int = 1
    """Measurement bases that the observables need."""


def build_pub(compiled: CompiledCircuit, values: FloatArray) -> EstimatorPub:
    """One PUB for a batch: observables (K, 1) against parameters (N,), so that commuting ones share circuits.

    ``values`` has shape (N, P) in the order of the program's parameters.
    """
    columns = {parameter: i for i, parameter in enumerate(compiled.program.circuit.parameters)}
    own = list(compiled.circuit.parameters)
    observables = [[observable] for observable in compiled.observables]
    if not own:
        raise BackendError(
            "the circuit has no parameters left after translation, so there is nothing to run in a batch"
        )
    return EstimatorPub.coerce((compiled.circuit, observables, values[:, [columns[p] for p in own]]))


def submit(estimator: Any, pub: EstimatorPub) -> Any:
    """Send one PUB as one job; returns the client's job. Raises :class:`BackendError` when it was not accepted."""
    with client.one_sentence("submitting the job"):
        return estimator.run([pub])


def interpret(result: PrimitiveResult[Any]) -> tuple[FloatArray, FloatArray]:
    """Values and standard errors, each (N, K), from the result of :func:`build_pub`'s PUB."""
    data = result[0].data
    return np.asarray(data.evs, dtype=np.float64).T, np.asarray(data.stds, dtype=np.float64).T


class HardwareBackend:
    """An IBM device; see :class:`backends.contract.Backend`. Opening it contacts the service.

    ``run`` submits at once: asking the user, with what ``cost`` says, is the caller's part.
    """

    kind = "hardware"
    simulated = False

    def __init__(self, name: BackendName, *, seed: int = 0) -> None:
        self.name = name.canonical
        self.shots: int | None = name.shots or DEFAULT_HARDWARE_SHOTS
        self._shots = name.shots or DEFAULT_HARDWARE_SHOTS
        self._resilience = name.resilience
        self._seed = seed if name.seed is None else name.seed
        self._backend = client.connect(str(name.device))
        with client.one_sentence(f"reading the calibration of {name.device}"):
            self._device = device_of(self._backend, str(name.device))
        self.num_qubits: int | None = self._device.num_qubits

    def compile(self, program: CircuitProgram) -> HardwareCircuit:
        """Translate, place with the readout error in view, map the observables, and check as the service would.

        Raises :class:`BackendError` for more qubits than the device has and for a circuit the device cannot run.
        """
        device = self._device
        if program.circuit.num_qubits > device.num_qubits:
            raise BackendError(
                f"the circuit has {program.circuit.num_qubits} qubits; {device.name} has {device.num_qubits}"
            )
        placement = place(program.circuit, device, self._seed)
        circuit = QuantumCircuit(device.num_qubits).compose(placement.circuit, qubits=placement.patch)
        physical = placement.physical_qubits
        observables = tuple(move_observable(o, physical, device.num_qubits) for o in program.observables)
        with client.one_sentence("checking the circuit"):
            validate_isa_circuits([circuit], self._backend.target)
        try:
            self._backend.check_faulty(circuit)
        except ValueError as error:
            raise BackendError(f"{device.name} reports a fault where the circuit was placed: {error}") from None
        seconds = measured(placement.circuit).estimate_duration(placement.target, unit="s")
        record = {
            "device": device.name,
            "calibrated": device.calibrated,
            "layout": list(physical),
            "seed_transpiler": placement.seed_transpiler,
            "layout_score": round(placement.score, 6),
            **circuit_record(circuit),
        }
        return HardwareCircuit(
            program=program,
            circuit=circuit,
            observables=observables,
            physical_qubits=physical,
            record=record,
            layout=placement.layout(program.circuit),
            circuit_seconds=float(seconds),
            groups=len(group_observables(program.observables)),
        )

    def cost(self, compiled: CompiledCircuit, samples: int) -> Cost:
        """Circuits, executions and estimated quantum seconds of one job for ``samples`` inputs."""
        own = self._own(compiled)
        delay = getattr(self._backend, "default_rep_delay", None)
        return hardware_cost(
            samples=samples,
            groups=own.groups,
            shots=self._shots,
            resilience=self._resilience,
            circuit_seconds=own.circuit_seconds,
            rep_delay_seconds=REP_DELAY_SECONDS if delay is None else float(delay),
        )

    def run(self, compiled: CompiledCircuit, inputs: ArrayLike, weights: ArrayLike) -> BackendResult:
        """Submit one job and wait for it.

        Raises ``ValueError`` for inputs or weights of the wrong shape, :class:`BackendError` when the job was not
        accepted or failed, naming the job where there is one.
        """
        started = time.perf_counter()
        own = self._own(compiled)
        values = own.program.bind(inputs, weights)
        if not np.isfinite(values).all():
            raise BackendError("an angle of the circuit is not a finite number")
        estimator = client.estimator(self._backend, shots=self._shots, resilience=self._resilience)
        pub = build_pub(own, values)
        job = submit(estimator, pub)
        with client.one_sentence(f"job {job.job_id()} on {self._device.name}"):
            result = job.result()
            charged = client.charged_seconds(job)
        means, errors = interpret(result)
        cost = self.cost(own, len(values))
        record = run_record(
            self,
            own,
            seed=self._seed,
            samples=len(values),
            cost=cost,
            seconds=time.perf_counter() - started,
            job_ids=(job.job_id(),),
            quantum_seconds=charged,
            estimated_quantum_seconds=round(cost.quantum_seconds, 3),
            resilience=self._resilience,
            options=client.finalized_options(estimator),
        )
        return BackendResult(means, errors, record)

    def _own(self, compiled: CompiledCircuit) -> HardwareCircuit:
        if not isinstance(compiled, HardwareCircuit):
            raise TypeError(f"{self.name} runs circuits that it compiled itself, not {type(compiled).__name__}")
        return compiled
