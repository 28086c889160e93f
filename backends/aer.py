"""Simulators: noiseless or noisy, exact or sampled, all through Aer.

Exact values come from a state vector, or from a density matrix where there is noise; sampled ones from shots of
measured circuits, one circuit for all observables that can be measured together. Noisy exact values include readout
error, which Aer's own estimator leaves out.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from qiskit.result import Result
from qiskit.transpiler import Target, generate_preset_pass_manager
from qiskit_aer import AerSimulator
from qiskit_aer.library import SaveExpectationValue

from backends.compile import (
    circuit_record,
    measured,
    move_observable,
    place,
    schedule,
    translate_in_place,
    unmeasured,
)
from backends.contract import BackendResult, CircuitProgram, CompiledCircuit, Cost, FloatArray
from backends.devices import Device, stored_device
from backends.errors import BackendError
from backends.measurement import MeasuredGroup, group_observables
from backends.names import BackendName, NoiseRates
from backends.noise import Noise, calibrated_noise, parametric_noise, parametric_target
from backends.record import run_record

MAX_QUBITS = 24
"""Largest noiseless circuit: a state vector of 256 MB."""
MAX_NOISY_QUBITS = 12
"""Largest noisy circuit: a density matrix of 256 MB."""
CHUNK = 2048
"""Parameter sets handed to Aer at once; bounds the memory of its results."""


@dataclass(frozen=True)
class SimulatedCircuit(CompiledCircuit):
    """A compiled circuit together with its physics: what an exact engine needs besides the circuit."""

    noise: Noise | None = None
    """Errors on the qubits of ``circuit``; None where there are none."""
    runs: tuple[tuple[MeasuredGroup, QuantumCircuit], ...] = ()
    """What Aer runs: each measured group with its circuit, measurement or saved expectation values included."""


class AerBackend:
    """``aer``, ``fake_<device>`` and ``noise:…``; see :class:`backends.contract.Backend`.

    ``seed`` decides the shots only: exact and sampled values of a device come from the same circuit on the same qubits.
    """

    simulated = True

    def __init__(self, name: BackendName, *, seed: int = 0) -> None:
        self.name = name.canonical
        self.shots = name.shots
        self._seed = seed if name.seed is None else name.seed
        self._scale = name.scale
        self._rates: NoiseRates | None = name.rates
        self._device: Device | None = stored_device(name.device) if name.device is not None else None
        noisy = self._device is not None or self._rates is not None
        if self._device is not None:
            self.kind = "simulated device"
        elif self._rates is not None:
            self.kind = "noise model"
        else:
            self.kind = "noiseless" if self.shots is None else "sampled"
        limit = MAX_NOISY_QUBITS if noisy else MAX_QUBITS
        self._limit = min(limit, self._device.num_qubits) if self._device is not None else limit
        self.num_qubits: int | None = self._limit
        threads = _threads()
        self._simulator = AerSimulator(
            method="density_matrix" if noisy else "statevector",
            max_parallel_threads=threads,
            max_parallel_experiments=threads,
        )

    def compile(self, program: CircuitProgram) -> SimulatedCircuit:
        """Translate and place where there is a device or noise, schedule idle time, prepare the measurements.

        Raises :class:`BackendError` for a circuit with more qubits than ``num_qubits`` or an observable that is not
        Hermitian, and where ``scale`` makes a readout error more than a probability.
        """
        size = program.circuit.num_qubits
        if size > self._limit:
            raise BackendError(f"the circuit has {size} qubits; {self.name} simulates at most {self._limit}")
        if self._rates is not None:
            device = Device("noise", parametric_target(size, self._rates), ((0.0, 0.0),) * size, None)
            compiled = self._placed(program, device)
            return replace(compiled, physical_qubits=None, layout=None)
        if self._device is not None:
            return self._placed(program, self._device)
        circuit = _flat(program.circuit, self._simulator)
        record = {"device": None, "calibrated": None, "layout": None, **circuit_record(circuit)}
        runs = self._runs(circuit, None, program.observables, None)
        return SimulatedCircuit(program, circuit, program.observables, None, record, None, None, runs)

    def _placed(self, program: CircuitProgram, device: Device) -> SimulatedCircuit:
        size = program.circuit.num_qubits
        placement = place(program.circuit, device)
        if self._rates is not None:
            noise, labels = parametric_noise(size, self._rates), [f"qubit {q}" for q in range(size)]
        else:
            noise = calibrated_noise(placement.target, [device.readout[q] for q in placement.patch])
            labels = [f"qubit {q} of {device.name}" for q in placement.patch]
        observables = tuple(move_observable(o, placement.positions, size) for o in program.observables)
        scaled = noise.scaled(self._scale, labels)
        simulated = self._device is not None
        record = {
            "device": device.name if simulated else None,
            "calibrated": device.calibrated,
            "layout": list(placement.physical_qubits) if simulated else None,
            "active_qubits": list(placement.patch) if simulated else None,
            "seed_transpiler": placement.seed_transpiler,
            "layout_score": round(placement.score, 6) if simulated else None,
            "scale": self._scale,
            "idle_relaxation": True,
            **circuit_record(placement.circuit),
        }
        return SimulatedCircuit(
            program=program,
            circuit=unmeasured(schedule(measured(placement.circuit), placement.target)),
            observables=observables,
            physical_qubits=placement.physical_qubits,
            record=record,
            layout=placement.layout(program.circuit),
            noise=scaled,
            runs=self._runs(placement.circuit, placement.target, observables, scaled),
        )

    def _runs(
        self,
        circuit: QuantumCircuit,
        target: Target | None,
        observables: tuple[SparsePauliOp, ...],
        noise: Noise | None,
    ) -> tuple[tuple[MeasuredGroup, QuantumCircuit], ...]:
        readout = noise.readout if noise is not None else ((0.0, 0.0),) * circuit.num_qubits
        runs = []
        for group in group_observables(observables):
            rotated = circuit
            if group.needs_rotation:
                rotation = group.rotation()
                rotated = circuit.compose(rotation if target is None else translate_in_place(rotation, target))
            ready = measured(rotated)
            if target is not None:
                ready = schedule(ready, target)
            if self.shots is None:
                ready = unmeasured(ready)
                for k, operator in enumerate(group.read_as(readout)):
                    ready.append(SaveExpectationValue(operator, label=str(k)), ready.qubits)
            runs.append((group, ready))
        return tuple(runs)

    def cost(self, compiled: CompiledCircuit, samples: int) -> Cost:
        """Circuits and executions; a simulator costs no quantum time and no job."""
        circuits = samples * len(self._own(compiled).runs)
        return Cost(circuits=circuits, executions=circuits * (self.shots or 0), quantum_seconds=0.0, jobs=0)

    def run(self, compiled: CompiledCircuit, inputs: ArrayLike, weights: ArrayLike) -> BackendResult:
        """Expectation values, exact or from shots.

        The seed of the shots follows from the backend's seed and the angles, not from how often ``run`` was called
        before: the same angles give the same shots, and training that was interrupted continues as if it had not been.
        Raises ``ValueError`` for inputs or weights of the wrong shape, :class:`BackendError` for angles not finite.
        """
        started = time.perf_counter()
        own = self._own(compiled)
        values = own.program.bind(inputs, weights)
        if not np.isfinite(values).all():
            raise BackendError("an angle of the circuit is not a finite number")
        columns = {parameter: i for i, parameter in enumerate(own.program.circuit.parameters)}
        noise = None if own.noise is None else own.noise.model(with_readout=self.shots is not None)
        means = np.zeros((len(values), len(own.observables)))
        variances = np.zeros_like(means)
        for index, (group, circuit) in enumerate(own.runs):
            for start in range(0, len(values), CHUNK):
                rows = slice(start, start + CHUNK)
                result = self._simulate(circuit, columns, values[rows], noise, index)
                for i in range(start, start + len(values[rows])):
                    if self.shots is None:
                        saved = result.data(i - start)
                        means[i] += [saved[str(k)] for k in range(means.shape[1])]
                    else:
                        mean, variance = group.estimate(result.get_counts(i - start))
                        means[i] += mean
                        variances[i] += variance
        record = run_record(
            self,
            own,
            seed=self._seed,
            samples=len(values),
            cost=self.cost(own, len(values)),
            seconds=time.perf_counter() - started,
        )
        return BackendResult(means, np.sqrt(variances), record)

    def _simulate(
        self, circuit: QuantumCircuit, columns: dict[Parameter, int], values: FloatArray, noise: Any, index: int
    ) -> Result:
        binds = {p: values[:, columns[p]].tolist() for p in circuit.parameters}
        digest = hashlib.blake2b(values.tobytes(), digest_size=4, key=f"{self._seed}/{index}".encode()).digest()
        result = self._simulator.run(
            [circuit] if binds else [circuit] * len(values),
            parameter_binds=[binds] if binds else None,
            shots=self.shots or 1,
            noise_model=noise,
            seed_simulator=int.from_bytes(digest, "little") >> 1,
        ).result()
        if not result.success:
            raise RuntimeError(f"Aer could not run the circuit: {result.status}")
        return result

    def _own(self, compiled: CompiledCircuit) -> SimulatedCircuit:
        if not isinstance(compiled, SimulatedCircuit):
            raise TypeError(f"{self.name} runs circuits that it compiled itself, not {type(compiled).__name__}")
        return compiled


def _flat(circuit: QuantumCircuit, simulator: AerSimulator) -> QuantumCircuit:
    """The circuit itself where Aer knows all its gates, else the same with composite gates written out."""
    known = set(simulator.target.operation_names)
    if all(item.operation.name in known for item in circuit.data):
        return circuit
    return generate_preset_pass_manager(0, backend=simulator).run(circuit)


def _threads() -> int:
    """CPUs this process may use, or fewer where OMP_NUM_THREADS says so."""
    free = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(free, int(wanted)) if wanted.isdigit() and int(wanted) > 0 else free
