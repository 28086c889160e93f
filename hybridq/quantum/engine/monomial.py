"""Unitaries with one entry per row (CX, CZ, X, S, SWAP, Toffoli, Pauli strings) as an index gather with phases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Monomial:
    """``out[i] = phase[i] * state[source[i]]`` on a register of ``log2(len(source))`` qubits."""

    source: NDArray[np.int64]
    phase: NDArray[np.complex128]

    def then(self, later: Monomial) -> Monomial:
        """This one first, ``later`` after it."""
        return Monomial(self.source[later.source], later.phase * self.phase[later.source])

    @property
    def inverse_source(self) -> NDArray[np.int64]:
        """The permutation that undoes ``source``."""
        return np.argsort(self.source)


def as_monomial(matrix: NDArray[np.complex128], qubits: tuple[int, ...], num_qubits: int) -> Monomial | None:
    """A unitary on some qubits (little-endian in ``qubits``) as a gather on all; None if a row has two entries."""
    occupied = np.abs(matrix) > 1e-12
    if np.any(occupied.sum(axis=1) != 1):
        return None
    column = occupied.argmax(axis=1)
    entry = matrix[np.arange(len(matrix)), column]
    index = np.arange(2**num_qubits, dtype=np.int64)
    local = np.zeros_like(index)
    rest = index.copy()
    for j, qubit in enumerate(qubits):
        local |= ((index >> qubit) & 1) << j
        rest &= ~(1 << qubit)
    source = rest
    for j, qubit in enumerate(qubits):
        source = source | (((column[local] >> j) & 1) << qubit)
    return Monomial(source, entry[local])
