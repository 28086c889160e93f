"""Observables as measurements: commuting groups, basis changes, readout error, estimates from counts.

Pauli terms that commute qubit by qubit share one measured circuit. After the change of basis every term is a product of
Z, and a qubit with p(1|0) = a and p(0|1) = b is read as Z -> (1−a−b) Z + (b−a); the product over qubits is expanded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import PauliList, SparsePauliOp

from backends.contract import FloatArray
from backends.errors import BackendError


@dataclass(frozen=True)
class MeasuredGroup:
    """One circuit's worth of measurement."""

    basis: str
    """For each qubit X, Y, Z or I (not measured); qubit 0 first."""
    terms: tuple[tuple[tuple[tuple[int, ...], float], ...], ...]
    """For each observable its terms in this group: qubits whose Z is multiplied, and coefficient."""

    @property
    def needs_rotation(self) -> bool:
        """Whether a change of basis precedes the measurement."""
        return bool(set(self.basis) & {"X", "Y"})

    def rotation(self) -> QuantumCircuit:
        """Single-qubit gates that turn the group's basis into Z."""
        circuit = QuantumCircuit(len(self.basis))
        for qubit, pauli in enumerate(self.basis):
            if pauli == "Y":
                circuit.sdg(qubit)
            if pauli in "XY":
                circuit.h(qubit)
        return circuit

    def read_as(self, readout: Sequence[tuple[float, float]]) -> list[SparsePauliOp]:
        """For each observable the operator whose exact value is what a misreading detector shows on average."""
        n = len(self.basis)
        return [SparsePauliOp.from_sparse_list(_misread(terms, readout), n).simplify() for terms in self.terms]

    def estimate(self, counts: Mapping[str, int]) -> tuple[FloatArray, FloatArray]:
        """Mean and variance of the mean of each observable's part, shape (K,), from counts of bit strings.

        Bit strings have qubit 0 on the right, as Qiskit writes them. With a single shot the variance is that of the
        widest distribution possible, since one shot shows none.
        """
        outcomes = np.array([[int(bit) for bit in reversed(key.replace(" ", ""))] for key in counts], dtype=np.int64)
        weights = np.array(list(counts.values()), dtype=np.float64)
        shots = weights.sum()
        means, variances = np.zeros(len(self.terms)), np.zeros(len(self.terms))
        for k, terms in enumerate(self.terms):
            shown = np.zeros(len(outcomes))
            for qubits, coefficient in terms:
                shown += coefficient * (1 - 2 * (outcomes[:, list(qubits)].sum(axis=1) % 2))
            means[k] = weights @ shown / shots
            if shots > 1:
                variances[k] = weights @ (shown - means[k]) ** 2 / (shots - 1) / shots
            else:
                variances[k] = sum(abs(c) for qubits, c in terms if qubits) ** 2
        return means, variances


def group_observables(observables: Sequence[SparsePauliOp]) -> list[MeasuredGroup]:
    """Split observables into as few jointly measurable groups as the greedy colouring finds; Z alone gives one.

    Raises :class:`BackendError` for an observable that is not Hermitian.
    """
    simple = [observable.simplify() for observable in observables]
    for k, observable in enumerate(simple):
        if np.abs(observable.coeffs.imag).max(initial=0.0) > 1e-12:
            raise BackendError(f"observable {k} is not Hermitian: its Pauli coefficients must be real")
    labels = dict.fromkeys(label for observable in simple for label in observable.paulis.to_labels())
    groups = PauliList(list(labels)).group_commuting(qubit_wise=True)
    return [_group(group.to_labels(), simple) for group in groups]


def _group(labels: Sequence[str], observables: Sequence[SparsePauliOp]) -> MeasuredGroup:
    n = len(labels[0])
    basis = ["I"] * n
    for label in labels:
        for qubit, pauli in enumerate(reversed(label)):
            if pauli != "I":
                basis[qubit] = pauli
    members = set(labels)
    terms = tuple(
        tuple(
            (tuple(q for q, pauli in enumerate(reversed(label)) if pauli != "I"), float(coefficient.real))
            for label, coefficient in zip(observable.paulis.to_labels(), observable.coeffs, strict=True)
            if label in members
        )
        for observable in observables
    )
    return MeasuredGroup("".join(basis), terms)


def _misread(
    terms: Sequence[tuple[tuple[int, ...], float]], readout: Sequence[tuple[float, float]]
) -> list[tuple[str, list[int], float]]:
    expanded: list[tuple[str, list[int], float]] = [("", [], 0.0)]
    for qubits, coefficient in terms:
        parts: list[tuple[list[int], float]] = [([], coefficient)]
        for qubit in qubits:
            a, b = readout[qubit]
            parts = [([*kept, qubit], c * (1 - a - b)) for kept, c in parts] + (
                [(kept, c * (b - a)) for kept, c in parts] if a != b else []
            )
        expanded.extend(("Z" * len(kept), kept, c) for kept, c in parts)
    return expanded
