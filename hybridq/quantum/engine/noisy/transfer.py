"""Noisy circuits in the Pauli basis: gates, errors and idle time as real transfer matrices, in order.

A state of n qubits is the vector of its Pauli expectation values (4**n), a channel a real matrix on it
(doi:10.1103/PhysRevLett.109.060501). Index i has base-4 digits 0, 1, 2, 3 for I, X, Y, Z, the digit of qubit 0 the
least significant; the letter of a product of two Paulis is then the bitwise XOR of their letters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, Delay, Instruction
from qiskit.quantum_info import SuperOp
from qiskit_aer.backends.backend_utils import BASIS_GATES
from qiskit_aer.noise import QuantumError, thermal_relaxation_error

from backends.compile import delays_in_seconds
from backends.noise import Noise
from hybridq.errors import UserError
from hybridq.quantum.engine.lower import PAULI, Fixed, Rotation, lower
from hybridq.typing import FloatArray

_LETTERS = "ixyz"
# Phase k of the product of two Paulis: i**k, rows the left factor.
_PHASES = np.array([[0, 0, 0, 0], [0, 0, 1, -1], [0, -1, 0, 1], [0, 1, -1, 0]])

_LEAST_PROBABILITY = 1e-10  # Aer's QuantumError::threshold_


@dataclass(frozen=True)
class Channel:
    """A fixed linear map of Pauli vectors: ``matrix`` (4**n, 4**n), little-endian in its n ``qubits``."""

    qubits: tuple[int, ...]
    matrix: FloatArray


@dataclass(frozen=True)
class Turn:
    """The transfer matrix of exp(-i angle/2 P) for a Pauli string P, as a function of the angle.

    Entry j of the turned vector is v[j] where ``anticommutes[j]`` is 0, else
    cos(angle) v[j] + sin(angle) ``signs[j]`` v[j ^ mask].
    """

    mask: int
    anticommutes: FloatArray
    signs: FloatArray

    def parts(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Three matrices: the constant one, the factor of cos(angle) and the factor of sin(angle)."""
        index = np.arange(len(self.signs))
        sine = np.zeros((len(index), len(index)))
        sine[index, index ^ self.mask] = self.signs
        return np.diag(1 - self.anticommutes), np.diag(self.anticommutes), sine


def pauli_turn(paulis: str, qubits: Sequence[int], num_qubits: int) -> Turn:
    """The rotation about ``paulis[j]`` on ``qubits[j]`` in a register of ``num_qubits``."""
    mask = sum(_LETTERS.index(letter) << 2 * qubit for letter, qubit in zip(paulis, qubits, strict=True))
    partner = np.arange(4**num_qubits) ^ mask
    phase = np.zeros_like(partner)
    for letter, qubit in zip(paulis, qubits, strict=True):
        phase += _PHASES[_LETTERS.index(letter), (partner >> 2 * qubit) & 3]
    # exp(-i angle P) σ = cos(angle) σ - i sin(angle) P σ where P and σ anticommute; their product is then ±i times a
    # Pauli, and phase is odd.
    return Turn(mask, (phase % 2).astype(np.float64), np.where(phase % 2 == 1, 2.0 - phase % 4, 0.0))


def noisy_items(circuit: QuantumCircuit, noise: Noise | None) -> list[Rotation | Channel]:
    """The circuit's rotations and channels, each error after its whole gate.

    Errors bind as in Aer: by the instruction's label, or by its name where it has none, and by its qubits in order;
    relaxation acts on delays only.

    Raises:
        UserError: naming an instruction that Aer does not know, or that has no exact derivative.
        BackendError: a delay of unknown length where there is relaxation.
    """
    if noise is not None and np.isfinite(noise.relaxation).any():
        circuit = delays_in_seconds(circuit, noise.dt)
    reader = _Reader(circuit.num_qubits, noise)
    for instruction in circuit.data:
        qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        if qubits and not isinstance(instruction.operation, Barrier):
            reader.read(instruction.operation, qubits)
    return reader.items


class _Reader:
    def __init__(self, num_qubits: int, noise: Noise | None) -> None:
        self.items: list[Rotation | Channel] = []
        self._num_qubits = num_qubits
        self._relaxation = noise.relaxation if noise is not None else ()
        self._errors: dict[tuple[str, tuple[int, ...]], list[QuantumError]] = {}
        for name, qubits, error in noise.gate_errors if noise is not None else ():
            self._errors.setdefault((name, qubits), []).append(error)
        self._known: dict[Any, FloatArray] = {}

    def read(self, operation: Instruction, qubits: tuple[int, ...]) -> None:
        if isinstance(operation, Delay):
            self._read_error(operation, qubits)
            self._read_delay(operation, qubits[0])
            return
        alone = QuantumCircuit(self._num_qubits)
        alone.append(operation, qubits)
        lowered = lower(alone)
        if operation.name not in BASIS_GATES["automatic"]:
            raise UserError(
                f"circuit: Aer knows no instruction '{operation.name}', so that no error can be bound to it; "
                "transpile the circuit to the gates of the noise model first"
            )
        for item in lowered:
            if isinstance(item, Rotation):
                self.items.append(item)
            elif not item.is_identity:
                self.items.append(Channel(item.qubits, self._gate(item)))
        self._read_error(operation, qubits)

    def _gate(self, fixed: Fixed) -> FloatArray:
        operation = fixed.operation
        if operation.mutable:
            return transfer_matrix(SuperOp(operation))
        key = operation.base_class  # an immutable gate is the only one of its class
        if key not in self._known:
            self._known[key] = transfer_matrix(SuperOp(operation))
        return self._known[key]

    def _read_error(self, operation: Instruction, qubits: tuple[int, ...]) -> None:
        key = (operation.label or operation.name, qubits)
        if key in self._errors:
            if key not in self._known:
                matrix = np.eye(4 ** len(qubits))
                for error in self._errors[key]:
                    matrix = error_matrix(error) @ matrix
                self._known[key] = matrix
            self.items.append(Channel(qubits, self._known[key]))

    def _read_delay(self, delay: Delay, qubit: int) -> None:
        t1, t2 = self._relaxation[qubit] if self._relaxation else (np.inf, np.inf)
        if np.isinf(t1) and np.isinf(t2):
            return
        key = (qubit, delay.duration)
        if key not in self._known:
            self._known[key] = error_matrix(thermal_relaxation_error(t1, t2, delay.duration))
        self.items.append(Channel((qubit,), self._known[key]))


def transfer_matrix(channel: SuperOp) -> FloatArray:
    """Tr(P_i channel(P_j)) / 2**n."""
    basis = _pauli_basis(channel.num_qubits)
    return np.ascontiguousarray((basis.conj().T @ channel.data @ basis).real / len(channel.data) ** 0.5)


@cache
def _pauli_basis(num_qubits: int) -> NDArray[np.complex128]:
    """The Pauli strings (columns), each stacked column by column as Qiskit's superoperators have it."""
    single = [np.eye(2), PAULI["x"], PAULI["y"], PAULI["z"]]
    strings = [reduce(np.kron, letters) for letters in product(single, repeat=num_qubits)]
    return np.stack([string.flatten(order="F") for string in strings], axis=1)


def error_matrix(error: QuantumError) -> FloatArray:
    """The transfer matrix of Aer's mixture of circuits, of any kind.

    Aer leaves out errors within 1e-8 of no error, and terms of a probability of 1e-10 and less (a two-qubit gate of a
    device has many of these); so does this, for the same numbers.
    """
    total = np.zeros((4**error.num_qubits,) * 2)
    if error.ideal():
        return np.eye(len(total))
    # SuperOp(error) would build the superoperator of each of up to hundreds of circuits from nothing: 0.2 s a gate.
    known: dict[str, FloatArray] = {}
    for circuit, probability in zip(error.circuits, error.probabilities, strict=True):
        if probability <= _LEAST_PROBABILITY:
            continue
        channels = []
        for item in circuit.data:
            operation = item.operation
            if operation.params or operation.name not in known:
                known[operation.name] = transfer_matrix(SuperOp(operation))
            channels.append(Channel(tuple(circuit.find_bit(q).index for q in item.qubits), known[operation.name]))
        total += probability * combined(channels, range(error.num_qubits))
    return total


def combined(channels: Iterable[Channel], qubits: Sequence[int]) -> FloatArray:
    """One transfer matrix on ``qubits`` for channels on some of them, the first one first."""
    place = {qubit: j for j, qubit in enumerate(qubits)}
    count = len(place)
    total = np.eye(4**count).reshape((4,) * count + (-1,))
    for channel in channels:
        # axis 0 of the total is the highest qubit, as axis 0 of the channel is its own highest
        axes = [count - 1 - place[qubit] for qubit in reversed(channel.qubits)]
        size = len(axes)
        tensor = channel.matrix.reshape((4,) * (2 * size))
        total = np.moveaxis(np.tensordot(tensor, total, axes=(range(size, 2 * size), axes)), range(size), axes)
    return np.ascontiguousarray(total.reshape(4**count, 4**count))


def pauli_vector(labels: Sequence[str], coefficients: Sequence[float]) -> FloatArray:
    """A sum of Pauli strings (4**n), labels as Qiskit writes them: qubit 0 on the right."""
    vector = np.zeros(4 ** len(labels[0]))
    for label, coefficient in zip(labels, coefficients, strict=True):
        vector[int(label.translate(str.maketrans("IXYZ", "0123")), 4)] += coefficient
    return vector
