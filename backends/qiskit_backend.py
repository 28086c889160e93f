"""Counts of any Qiskit ``BackendV2`` that runs on this machine: a vendor's own simulator, as its maker built it.

Circuits are placed and translated for the backend's target, bound, and handed to its ``run`` measured. Its primitives
are not used: over some vendors' simulators they return 1 for everything.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.providers import BackendV2
from qiskit.transpiler import generate_preset_pass_manager

from backends.aer import facts_record
from backends.compile import circuit_record, move_observable, place, restrict_target, translate_in_place
from backends.contract import BackendResult, CircuitProgram, CompiledCircuit, Cost, FloatArray
from backends.devices import Device
from backends.errors import BackendError
from backends.facts import facts_of
from backends.measurement import MeasuredGroup, group_observables
from backends.record import run_record

CIRCUITS = 256
"""Circuits handed over at once where the backend states no limit of its own."""


@dataclass(frozen=True)
class CountedCircuit(CompiledCircuit):
    """A compiled circuit whose values are estimated from counts."""

    runs: tuple[tuple[MeasuredGroup, QuantumCircuit], ...] = ()
    """Each measured group with its circuit on the backend's own qubits; bit i is qubit i of ``circuit``."""


class QiskitBackend:
    """A ``BackendV2`` that runs on this machine; see :class:`backends.contract.Backend`.

    ``seed`` decides the shots where the backend takes a ``seed_simulator``. At most ``max_circuits`` circuits and as
    many shots as the backend allows go into one call of its ``run``; more shots are several calls.
    Raises :class:`BackendError` for fewer than one shot.
    """

    simulated = True
    kind = "simulated device"

    def __init__(self, backend: BackendV2, *, shots: int, seed: int = 0) -> None:
        if shots < 1:
            raise BackendError(f"shots = {shots}; at least 1")
        self._backend = backend
        self._device: Device = facts_of(backend)
        self._seed = seed
        self.name = f"{object_name(self._device)}:shots={shots}"
        self.shots: int | None = shots
        self.num_qubits: int | None = self._device.num_qubits

    def compile(self, program: CircuitProgram) -> CountedCircuit:
        """Place, translate, and add the measurement of each group of observables.

        Raises :class:`BackendError` for a circuit with more qubits than the backend and for an observable that is not
        Hermitian.
        """
        size = program.circuit.num_qubits
        if size > self._device.num_qubits:
            raise BackendError(f"the circuit has {size} qubits; {self.name} has {self._device.num_qubits}")
        placement = place(program.circuit, self._device)
        patch = placement.patch
        target = restrict_target(self._device, patch)
        observables = tuple(move_observable(o, placement.positions, size) for o in program.observables)
        runs = []
        for group in group_observables(observables):
            circuit = placement.circuit
            if group.needs_rotation:
                circuit = circuit.compose(translate_in_place(group.rotation(), target))
            whole = QuantumCircuit(self._width(patch))
            whole.add_register(bits := ClassicalRegister(size, "meas"))
            whole.compose(circuit, qubits=patch, inplace=True)
            whole.barrier(patch)
            whole.measure(patch, bits)
            runs.append((group, whole))
        record = {
            "device": self._device.name,
            "calibrated": self._device.calibrated,
            "layout": list(placement.physical_qubits),
            "active_qubits": list(patch),
            "seed_transpiler": placement.seed_transpiler,
            **circuit_record(placement.circuit),
            "method": "counts of the backend's own run",
            **facts_record(self._device, placement, without="placed without"),
        }
        return CountedCircuit(
            program=program,
            circuit=placement.circuit,
            observables=observables,
            physical_qubits=placement.physical_qubits,
            record=record,
            layout=placement.layout(program.circuit),
            runs=tuple(runs),
        )

    def cost(self, compiled: CompiledCircuit, samples: int) -> Cost:
        """Circuits and executions; a simulator costs no quantum time and no job."""
        circuits = samples * len(self._own(compiled).runs)
        return Cost(circuits=circuits, executions=circuits * (self.shots or 0), quantum_seconds=0.0, jobs=0)

    def run(self, compiled: CompiledCircuit, inputs: ArrayLike, weights: ArrayLike) -> BackendResult:
        """Expectation values from counts.

        Raises ``ValueError`` for inputs or weights of the wrong shape, :class:`BackendError` for angles that are not
        finite, and where the backend fails or returns other counts than were asked for.
        """
        started = time.perf_counter()
        own = self._own(compiled)
        values = own.program.bind(inputs, weights)
        if not np.isfinite(values).all():
            raise BackendError("an angle of the circuit is not a finite number")
        means = np.zeros((len(values), len(own.observables)))
        variances = np.zeros_like(means)
        for group, circuit in own.runs:
            bound = [self._bound(circuit, own.program, row) for row in values]
            for i, counts in enumerate(self._counts(bound)):
                mean, variance = group.estimate(counts)
                means[i] += mean
                variances[i] += variance
        record = run_record(
            self,
            own,
            seed=self._seed if self._takes_seed else None,
            samples=len(values),
            cost=self.cost(own, len(values)),
            seconds=time.perf_counter() - started,
        )
        return BackendResult(means, np.sqrt(variances), record)

    def _bound(self, circuit: QuantumCircuit, program: CircuitProgram, row: FloatArray) -> QuantumCircuit:
        known = dict(zip(program.circuit.parameters, row, strict=True))
        bound = circuit.assign_parameters({p: known[p] for p in circuit.parameters})
        if not any(hasattr(self._backend, f"get_{stage}_stage_plugin") for stage in ("translation", "scheduling")):
            return bound
        # Some vendors' gates take angles of a limited range, which their own translation of bound circuits keeps to;
        # some couple qubits through a resonator, between which and them their own scheduling moves states.
        manager = generate_preset_pass_manager(
            0, backend=self._backend, initial_layout=list(range(circuit.num_qubits)), routing_method="none"
        )
        return manager.run(bound)

    def _counts(self, circuits: Sequence[QuantumCircuit]) -> Iterator[dict[str, int]]:
        """Counts of each circuit, all shots together."""
        size = self._backend.max_circuits or CIRCUITS
        for start in range(0, len(circuits), size):
            chunk = list(circuits[start : start + size])
            totals: list[Counter[str]] = [Counter() for _ in chunk]
            for part, shots in enumerate(_parts(self.shots or 0, _shot_limit(self._backend))):
                for total, counts in zip(totals, self._asked(chunk, shots, part), strict=True):
                    total.update(counts)
            yield from totals

    def _asked(self, circuits: list[QuantumCircuit], shots: int, part: int) -> list[dict[str, int]]:
        options: dict[str, Any] = {"shots": shots}
        if self._takes_seed:
            angles = [[p for item in circuit.data for p in item.operation.params] for circuit in circuits]
            digest = hashlib.blake2b(repr(angles).encode(), digest_size=4, key=f"{self._seed}/{part}".encode()).digest()
            options["seed_simulator"] = int.from_bytes(digest, "little") >> 1
        try:
            found = self._backend.run(circuits, **options).result().get_counts()
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise BackendError(f"{self.name}: its run failed ({type(error).__name__}: {said})") from error
        counts = [dict(each) for each in (found if isinstance(found, list) else [found])]
        width = circuits[0].num_clbits
        if len(counts) != len(circuits):
            raise BackendError(f"{self.name}: its run gave counts of {len(counts)} of {len(circuits)} circuits")
        for each in counts:
            if sum(each.values()) != shots or any(len(key.replace(" ", "")) != width for key in each):
                raise BackendError(f"{self.name}: its run gave other counts than {shots} readings of {width} bits")
        return counts

    def _width(self, patch: Sequence[int]) -> int:
        return int(self._backend.num_qubits or max(patch) + 1)

    @property
    def _takes_seed(self) -> bool:
        return hasattr(self._backend.options, "seed_simulator")

    def _own(self, compiled: CompiledCircuit) -> CountedCircuit:
        if not isinstance(compiled, CountedCircuit):
            raise TypeError(f"{self.name} runs circuits that it compiled itself, not {type(compiled).__name__}")
        return compiled


def object_name(device: Device) -> str:
    """The name of a backend that was handed over as an object: its own, and the beginning of its facts' digest."""
    return f"{device.name}#{device.digest[:8]}"


def _parts(shots: int, limit: int | None) -> list[int]:
    if limit is None or shots <= limit:
        return [shots]
    return [limit] * (shots // limit) + ([shots % limit] if shots % limit else [])


def _shot_limit(backend: BackendV2) -> int | None:
    """Shots that one call of ``run`` may ask for, as the backend or the validator of its options says."""
    stated = getattr(backend, "max_shots", getattr(backend, "MAX_SHOTS", None))
    allowed = getattr(backend.options, "validator", {}).get("shots")
    if stated is None and isinstance(allowed, tuple) and len(allowed) == 2:
        stated = allowed[1]
    return int(stated) if isinstance(stated, int | float) and stated >= 1 else None
