"""Circuits for the tests: small, random, asymmetric, so that a qubit taken for another one shows."""

from __future__ import annotations

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp, Statevector

from backends.contract import CircuitProgram


def z_observables(qubits: int) -> tuple[SparsePauliOp, ...]:
    """⟨Z⟩ of every qubit, qubit 0 first."""
    return tuple(SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], qubits) for q in range(qubits))


def random_program(
    seed: int, qubits: int, gates: int = 12, observables: tuple[SparsePauliOp, ...] | None = None
) -> CircuitProgram:
    """RY(x) on every qubit, then random rotations by weights (some used twice) and CX, CZ, H in between."""
    rng = np.random.default_rng(seed)
    inputs, weights = ParameterVector("x", qubits), ParameterVector("w", qubits + 2)
    circuit = QuantumCircuit(qubits)
    for q in range(qubits):
        circuit.ry(inputs[q] + 0.3 * q, q)
    for k in range(gates):
        q = int(rng.integers(qubits))
        weight = weights[k % len(weights)]
        match int(rng.integers(5 if qubits > 1 else 3)):
            case 0:
                circuit.rx(weight, q)
            case 1:
                circuit.ry(2 * weight, q)
            case 2:
                circuit.rz(weight, q)
            case 3:
                circuit.cx(q, (q + 1 + int(rng.integers(qubits - 1))) % qubits)
            case _:
                circuit.h(q)
                circuit.cz(q, (q + 1 + int(rng.integers(qubits - 1))) % qubits)
    for k, weight in enumerate(weights):
        circuit.ry(weight, k % qubits)
    return CircuitProgram(circuit, tuple(inputs), tuple(weights), observables or z_observables(qubits))


def random_angles(program: CircuitProgram, seed: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (N, X) and weights (W,)."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-2, 2, (samples, len(program.inputs))), rng.uniform(-2, 2, len(program.weights))


def statevector_values(program: CircuitProgram, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Noiseless expectation values (N, K) by Qiskit's own state vector, one circuit at a time."""
    rows = []
    for x in inputs:
        angles = dict(zip((*program.inputs, *program.weights), (*x, *weights), strict=True))
        state = Statevector(program.circuit.assign_parameters(angles))
        rows.append([state.expectation_value(o).real for o in program.observables])
    return np.array(rows)
