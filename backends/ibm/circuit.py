"""A program compiled for a chip: one copy of it, or many on disjoint patches of qubits, in one circuit.

Also what the calibration lets one expect of a copy: :class:`Exposure` counts what a circuit exposes its observables to,
:class:`ErrorRates` says how much each of it costs on a device.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Layout, Target

from backends.compile import circuit_record, measured, move_observable, relaxation_rate, schedule
from backends.contract import CircuitProgram, CompiledCircuit, FloatArray
from backends.devices import UNUSABLE_ERROR, Device
from backends.measurement import group_observables


@dataclass(frozen=True)
class Patch:
    """Where one copy of the circuit sits, and what the calibration says of the place."""

    qubits: tuple[int, ...]
    """Device qubits in use, ascending."""
    physical_qubits: tuple[int, ...]
    """Device qubit of each virtual qubit at the end of the circuit."""
    expected_error: float
    """Root mean square error of the observables, from the calibration; see :meth:`Exposure.errors`."""
    score: float
    """Estimated probability that nothing errs, from the calibration; see :func:`backends.compile.success`."""
    seed_transpiler: int
    readout: tuple[tuple[float, float], ...]
    """For each of ``qubits`` p(read 1 | prepared 0) and p(read 0 | prepared 1)."""
    two_qubit_errors: tuple[tuple[int, int, float], ...]
    """Both qubits and the error of each pair of the patch that has a working two-qubit gate."""

    def record(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "qubits": list(self.qubits),
            "layout": list(self.physical_qubits),
            "expected_error": round(self.expected_error, 6),
            "layout_score": round(self.score, 6),
            "seed_transpiler": self.seed_transpiler,
            "readout": [list(pair) for pair in self.readout],
            "two_qubit_errors": [list(pair) for pair in self.two_qubit_errors],
        }


@dataclass(frozen=True)
class PlacedCopy:
    """One copy, translated for its patch."""

    circuit: QuantumCircuit
    """ISA circuit in the program's parameters; qubit i of it is ``patch.qubits[i]``."""
    target: Target
    """The device's target restricted to the patch."""
    patch: Patch


@dataclass(frozen=True)
class HardwareCircuit(CompiledCircuit):
    """Copies of a program on all qubits of a device; ``observables`` are copy by copy, (C*K) of them.

    ``physical_qubits`` and ``layout`` are those of the first copy, which has the smallest expected error.
    """

    copies: tuple[Patch, ...] = ()
    copy_inputs: tuple[tuple[Parameter, ...], ...] = ()
    """For each copy its own input parameters, in the order of the program's; the weights are shared."""
    circuit_seconds: float = 0.0
    """Duration of one execution, measurement included: that of the longest copy, since all are measured together."""
    groups: int = 1
    """Measurement bases that the observables need."""


def compose(program: CircuitProgram, device: Device, placed: Sequence[PlacedCopy]) -> HardwareCircuit:
    """One circuit on all qubits of the device from copies on disjoint patches.

    The inputs of copy c are called ``x00[i]``, ``x01[i]``, … (one more ``x`` in front where a weight has such a name),
    so that they sort by copy and never collide; weights keep their names and are shared.
    """
    names = _input_names(len(placed), {weight.name for weight in program.weights}, len(program.inputs))
    inputs = tuple(tuple(ParameterVector(name, len(program.inputs))) for name in names)
    circuit = QuantumCircuit(device.num_qubits)
    for copy, own in zip(placed, inputs, strict=True):
        renamed = {old: new for old, new in zip(program.inputs, own, strict=True) if old in copy.circuit.parameters}
        circuit.compose(copy.circuit.assign_parameters(renamed), qubits=copy.patch.qubits, inplace=True)
    patches = tuple(copy.patch for copy in placed)
    observables = tuple(
        move_observable(observable, patch.physical_qubits, device.num_qubits)
        for patch in patches
        for observable in program.observables
    )
    first = patches[0]
    record = {
        "device": device.name,
        "calibrated": device.calibrated,
        "layout": list(first.physical_qubits),
        "seed_transpiler": first.seed_transpiler,
        "layout_score": round(first.score, 6),
        "copies": [{**p.patch.record(), **circuit_record(p.circuit)} for p in placed],
        **circuit_record(circuit),
    }
    return HardwareCircuit(
        program=program,
        circuit=circuit,
        observables=observables,
        physical_qubits=first.physical_qubits,
        record=record,
        layout=Layout(dict(zip(program.circuit.qubits, first.physical_qubits, strict=True))),
        copies=patches,
        copy_inputs=inputs,
        circuit_seconds=max(float(measured(p.circuit).estimate_duration(p.target, unit="s")) for p in placed),
        groups=len(group_observables(observables)),
    )


def _input_names(copies: int, taken: set[str], size: int) -> list[str]:
    digits = max(2, len(str(copies - 1)))
    letters = "x"
    while True:
        names = [f"{letters}{copy:0{digits}d}" for copy in range(copies)]
        if not taken & {f"{name}[{i}]" for name in names for i in range(size)}:
            return names
        letters += "x"


class ErrorRates:
    """What a device's calibration costs a Pauli observable, as rates that add up: exp(−sum) is what is left of it.

    A gate of average infidelity e is taken as depolarizing: a Pauli shrinks by 1 − 2e (one qubit) or 1 − 4e/3 (two),
    and by no less than its qubits relax meanwhile. An idle qubit loses (2/T2 + 1/T1)/3 of it a second, the mean of X,
    Y and Z.
    """

    def __init__(self, device: Device) -> None:
        size = device.num_qubits
        self.device = device
        self.idle = np.array([relaxation_rate(device.target, qubit) for qubit in range(size)])
        self.two_qubit = np.zeros((size, size))
        for (a, b), error in device.edges.items():
            known = device.target[device.entangler]
            seconds = getattr(known.get((a, b)) or known.get((b, a)), "duration", None) or 0.0
            rate = max(-np.log1p(-4 / 3 * error), seconds * (self.idle[a] + self.idle[b]))
            self.two_qubit[a, b] = self.two_qubit[b, a] = rate
        readout = np.array(device.readout, dtype=np.float64).reshape(size, 2)
        self.shrink = 1 - readout.sum(axis=1)
        self.shift = readout[:, 1] - readout[:, 0]
        self._one_qubit: dict[str, FloatArray] = {}

    def one_qubit(self, gate: str) -> FloatArray:
        """Rate of a one-qubit gate on every qubit of the device, shape (Q,)."""
        if gate not in self._one_qubit:
            known = [self.device.target[gate].get((q,)) for q in range(self.device.num_qubits)]
            errors, seconds = ([getattr(p, what, None) or 0.0 for p in known] for what in ("error", "duration"))
            rates = -np.log1p(-2 * np.minimum(errors, 0.99 * UNUSABLE_ERROR))
            self._one_qubit[gate] = np.maximum(rates, np.array(seconds) * self.idle)
        return self._one_qubit[gate]


@dataclass(frozen=True)
class _Term:
    """One Pauli term of an observable and what lies in its backward light cone."""

    coefficient: float
    support: tuple[int, ...]
    cone: int
    """Qubits in the light cone."""
    one_qubit: Counter[tuple[str, int]]
    two_qubit: Counter[tuple[int, ...]]
    idle: FloatArray
    """Seconds of each qubit."""


class Exposure:
    """What a placed circuit exposes its observables to, apart from any calibration but its gate times."""

    def __init__(self, circuit: QuantumCircuit, target: Target, observables: Sequence[SparsePauliOp]) -> None:
        steps = list(_steps(circuit, target))
        self._terms = [
            [
                _light_cone(steps, circuit.num_qubits, label, float(coefficient.real))
                for label, coefficient in zip(observable.paulis.to_labels(), observable.coeffs, strict=True)
                if set(label) != {"I"}
            ]
            for observable in observables
        ]

    def errors(self, rates: ErrorRates, where: NDArray[np.int64]) -> FloatArray:
        """Expected root mean square error of the observables for each way to lay the circuit on the device.

        ``where`` has shape (M, n): the device qubit of each qubit of the circuit. Returns shape (M,).

        A Pauli term P with true value z is expected to read F·Πs·z plus what readout mixes in, where F = exp(−rates of
        all gates and idle times in its light cone), and for each of its qubits s = 1−a−b and d = b−a with a = p(1|0),
        b = p(0|1). The angles are not known here, so z² is put at its mean over random states of the m qubits in the
        cone, v = 1/(2^m + 1):

            error² = v (1 − F·Πs)² + v (Π(s² + d²) − Πs² − Πd²) + Πd²,

        weighted by the squared coefficients of an observable's terms, then averaged over the observables. Mitigation
        is left out, and so are crosstalk, coherent errors and drift, which no calibration shows. Against exact
        simulation under stored calibrations, at random angles, the true error is 0.6 to 1.5 times this.
        """
        squares = np.zeros(len(where))
        for terms in self._terms:
            for term in terms:
                lost = rates.idle[where] @ term.idle
                for (gate, qubit), count in term.one_qubit.items():
                    lost += count * rates.one_qubit(gate)[where[:, qubit]]
                for (a, b), count in term.two_qubit.items():
                    lost += count * rates.two_qubit[where[:, a], where[:, b]]
                s, d = (rate[where[:, term.support]] for rate in (rates.shrink, rates.shift))
                left = np.exp(-lost) * s.prod(axis=1)
                straight, mixed = (s**2).prod(axis=1), (s**2 + d**2).prod(axis=1)
                offset = (d**2).prod(axis=1)
                spread = (1 - left) ** 2 + mixed - straight - offset
                squares += term.coefficient**2 * (spread / (2**term.cone + 1) + offset)
        return np.asarray(np.sqrt(squares / max(1, len(self._terms))), dtype=np.float64)


def _steps(circuit: QuantumCircuit, target: Target) -> Iterator[tuple[str, tuple[int, ...], float]]:
    """Gates and idle times in order; a qubit that waits in |0⟩ for its first gate is not idle."""
    started: set[int] = set()
    timed = schedule(measured(circuit), target)
    for item in timed.data:
        name, qubits = item.operation.name, tuple(timed.find_bit(q).index for q in item.qubits)
        if name in {"barrier", "measure"} or (name == "delay" and qubits[0] not in started):
            continue
        started.update(qubits)
        yield name, qubits, float(item.operation.duration) if name == "delay" else 0.0


def _light_cone(
    steps: Sequence[tuple[str, tuple[int, ...], float]], size: int, label: str, coefficient: float
) -> _Term:
    support = tuple(qubit for qubit, pauli in enumerate(reversed(label)) if pauli != "I")
    cone = set(support)
    term = _Term(coefficient, support, 0, Counter(), Counter(), np.zeros(size))
    for name, qubits, seconds in reversed(steps):
        if not cone.intersection(qubits):
            continue
        cone.update(qubits)
        if name == "delay":
            term.idle[qubits[0]] += seconds
        elif len(qubits) == 1:
            term.one_qubit[name, qubits[0]] += 1
        else:
            term.two_qubit[tuple(sorted(qubits))] += 1
    return _Term(coefficient, support, len(cone), term.one_qubit, term.two_qubit, term.idle)
