"""What a circuit is, what a backend promises, and what it returns.

A :class:`CircuitProgram` is a Qiskit circuit together with the roles of its parameters. A :class:`Backend` compiles it,
states what running it costs, and runs it for a batch of inputs under one set of weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Layout

from backends.errors import BackendError
from backends.unitary import of_measured_qubits, unitary_circuit

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class CircuitProgram:
    """A parameterized circuit with the roles of its parameters and its observables.

    ``circuit`` becomes the unitary circuit that stands for what was handed over (the very same object if it is one
    already), and ``observables`` keep what a final measurement leaves of them: see
    :func:`backends.unitary.unitary_circuit`, which also says what is refused with a :class:`BackendError`.

    ``inputs`` and ``weights`` together are exactly the parameters of ``circuit``, in the order in which callers hand
    values; ``observables`` act on all qubits of ``circuit``.
    """

    circuit: QuantumCircuit
    inputs: tuple[Parameter, ...]
    weights: tuple[Parameter, ...]
    observables: tuple[SparsePauliOp, ...]

    def __post_init__(self) -> None:
        circuit, measured = unitary_circuit(self.circuit)
        object.__setattr__(self, "circuit", circuit)
        named = [*self.inputs, *self.weights]
        if len(set(named)) != len(named) or set(named) != set(self.circuit.parameters):
            raise ValueError("inputs and weights must together be exactly the parameters of the circuit, each once")
        for observable in self.observables:
            if observable.num_qubits != self.circuit.num_qubits:
                raise ValueError(
                    f"an observable acts on {observable.num_qubits} qubits, the circuit has {self.circuit.num_qubits}"
                )
        if measured:
            left = tuple(of_measured_qubits(observable, measured) for observable in self.observables)
            object.__setattr__(self, "observables", left)

    def bind(self, inputs: ArrayLike, weights: ArrayLike) -> FloatArray:
        """Parameter values of shape (N, P) in the order of ``circuit.parameters``.

        ``inputs`` has shape (N, len(self.inputs)), ``weights`` shape (len(self.weights),) or (N, len(self.weights)).
        Raises ``ValueError`` when a shape does not fit.
        """
        x = np.asarray(inputs, dtype=np.float64)
        w = np.asarray(weights, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != len(self.inputs):
            raise ValueError(f"inputs have shape {x.shape}, expected (N, {len(self.inputs)})")
        if w.shape not in {(len(self.weights),), (len(x), len(self.weights))}:
            raise ValueError(
                f"weights have shape {w.shape}, expected ({len(self.weights)},) or (N, {len(self.weights)})"
            )
        column = {parameter: i for i, parameter in enumerate((*self.inputs, *self.weights))}
        values = np.concatenate([x, np.broadcast_to(w, (len(x), len(self.weights)))], axis=1)
        return np.ascontiguousarray(values[:, [column[p] for p in self.circuit.parameters]])


@dataclass(frozen=True)
class CompiledCircuit:
    """A program translated for one backend: what really runs."""

    program: CircuitProgram
    circuit: QuantumCircuit
    """The ISA circuit (for a device or its noise model), or the program's own (noiseless simulators)."""
    observables: tuple[SparsePauliOp, ...]
    """The program's observables on the qubits of ``circuit``."""
    physical_qubits: tuple[int, ...] | None
    """Device qubit of each virtual qubit at the end of the circuit; None where there is no device."""
    record: Mapping[str, Any]
    """JSON-ready: depth, two-qubit gates, gate counts, layout, seed_transpiler, layout score, calibration time."""
    layout: Layout | None = None


@dataclass(frozen=True)
class Cost:
    """What a run would take, known before it starts."""

    circuits: int
    executions: int
    """Circuits times shots; 0 for an exact simulation."""
    quantum_seconds: float
    """Estimated; 0.0 on a simulator."""
    jobs: int = 1


@dataclass(frozen=True)
class BackendResult:
    """Expectation values of one run: ``values`` and ``standard_errors`` have shape (N, K), K observables."""

    values: FloatArray
    standard_errors: FloatArray
    """One standard deviation of the mean; 0.0 where the values are exact."""
    record: dict[str, Any] = field(default_factory=dict)
    """JSON-ready: backend, kind, simulated, versions, seeds, layout, depth, two_qubit_gates, shots, calibration,
    job_ids, quantum_seconds, seconds."""


@runtime_checkable
class Backend(Protocol):
    """Where circuits run."""

    name: str
    """Canonical name; ``open_backend(name)`` opens the same backend again."""
    kind: str
    """One of ``noiseless``, ``sampled``, ``simulated device``, ``noise model``."""
    simulated: bool
    shots: int | None
    """Shots per circuit; None where the values are exact."""
    num_qubits: int | None
    """The largest circuit it takes; None where nothing but memory limits it."""

    def compile(self, program: CircuitProgram) -> CompiledCircuit:
        """Translate a program; raises :class:`BackendError` when it has more qubits than the backend."""
        ...

    def cost(self, compiled: CompiledCircuit, samples: int) -> Cost:
        """What ``run`` on so many inputs would take."""
        ...

    def run(self, compiled: CompiledCircuit, inputs: ArrayLike, weights: ArrayLike) -> BackendResult:
        """Expectation values for inputs (N, X) radians under weights (W,) or (N, W) radians."""
        ...


__all__: Sequence[str] = [
    "Backend",
    "BackendError",
    "BackendResult",
    "CircuitProgram",
    "CompiledCircuit",
    "Cost",
    "FloatArray",
]
