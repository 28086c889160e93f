"""Noise amplified by folding the whole circuit: U becomes U (U†U)ᵏ (arXiv:2005.10921, section III.A).

On paper that does the same; with errors after every gate, 1 + 2k times as many happen. The circuit is folded after it
was translated, so that every gate of it runs again, and scheduled anew, so that idle qubits relax as much longer.
Readout is not amplified.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Operation
from qiskit.circuit.library import RZGate, SXGate

from backends.aer import SimulatedCircuit
from backends.compile import circuit_record, measured, schedule, unmeasured
from backends.errors import BackendError

_NOT_GATES = ("delay", "barrier")


def folded(compiled: SimulatedCircuit, factor: int) -> SimulatedCircuit:
    """The same circuit with ``factor`` (1, 3, 5, …) times its gates and idle time.

    Its values come from an exact engine: nothing is prepared for Aer to run. Raises ``ValueError`` for an even factor,
    :class:`BackendError` for a circuit that was not translated for a device or noise model, and for a gate whose
    inverse the device does not have.
    """
    if factor < 1 or factor % 2 == 0:
        raise ValueError(f"factor = {factor}; folding makes 1, 3, 5, … times the noise")
    if compiled.target is None:
        raise BackendError("a circuit is folded once it was translated for a device or a noise model, and this was not")
    circuit = fold(_gates(compiled.circuit), factor)
    timed = unmeasured(schedule(measured(circuit), compiled.target))
    return replace(compiled, circuit=timed, runs=(), record={**compiled.record, **circuit_record(circuit)})


def fold(circuit: QuantumCircuit, factor: int) -> QuantumCircuit:
    """U (U†U)ᵏ with 1 + 2k = ``factor``, in the gates that ``circuit`` itself has.

    The inverse of √X is written RZ(π) √X RZ(−π): RZ is a change of frame and errs nowhere. Raises
    :class:`BackendError` for another gate whose inverse has another name.
    """
    back = circuit.copy_empty_like()
    for item in reversed(circuit.data):
        for gate in _inverse(item.operation):
            back.append(gate, item.qubits)
    result = circuit.copy()
    for _ in range(factor // 2):
        result.compose(back, inplace=True)
        result.compose(circuit, inplace=True)
    return result


def _inverse(operation: Operation) -> Iterator[Gate]:
    """Gates whose product is the inverse, up to a phase."""
    if isinstance(operation, SXGate):
        yield from (RZGate(math.pi), SXGate(), RZGate(-math.pi))
        return
    inverse = operation.inverse()
    if inverse.name != operation.name:
        raise BackendError(f"the inverse of {operation.name} is {inverse.name}, for which the device has no error rate")
    yield inverse


def _gates(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit without idle time, which a schedule puts in."""
    bare = circuit.copy_empty_like()
    for item in circuit.data:
        if item.operation.name not in _NOT_GATES:
            bare.append(item)
    return bare
