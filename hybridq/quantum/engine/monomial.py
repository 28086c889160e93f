"""Unitaries with one entry per row (CX, CZ, X, S, SWAP, Toffoli, Pauli strings) as an index gather with phases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LocalMatrix = tuple[NDArray[np.complex128], tuple[int, ...]]
"""A unitary on some qubits, little-endian in them."""


@dataclass(frozen=True)
class Monomial:
    """``out[i] = phase[i] * state[source[i]]`` on a register of ``log2(len(source))`` qubits."""

    source: NDArray[np.int64]
    phase: NDArray[np.complex128] | None
    """None: 1 everywhere."""

    @property
    def inverse_source(self) -> NDArray[np.int64]:
        """The permutation that undoes ``source``."""
        inverse = np.empty_like(self.source)
        inverse[self.source] = np.arange(len(inverse))
        return inverse


def is_monomial(matrix: NDArray[np.complex128]) -> bool:
    """Whether every row of a unitary has one entry."""
    return bool(np.all(_occupied(matrix).sum(axis=1) == 1))


def gather_of(gates: Iterable[LocalMatrix], num_qubits: int) -> Monomial:
    """Monomial gates, the first one first, as one gather on all qubits."""
    source = np.arange(2**num_qubits, dtype=np.int64)
    phase: NDArray[np.complex128] | None = None
    for matrix, qubits in gates:
        column = _occupied(matrix).argmax(axis=1)
        entry = matrix[np.arange(len(matrix)), column]
        source = _rows_taken(source, column, qubits)
        if phase is not None:
            phase = _rows_taken(phase, column, qubits)
        if np.any(entry != 1):
            before = np.ones(len(source), dtype=np.complex128) if phase is None else phase
            phase = _rows_taken(before, np.arange(len(column)), qubits, factors=entry)
    return Monomial(source, phase)


def _occupied(matrix: NDArray[np.complex128]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(matrix) > 1e-12)


def _rows_taken(
    values: NDArray[Any],
    rows: NDArray[np.int64],
    qubits: Sequence[int],
    *,
    factors: NDArray[np.complex128] | None = None,
) -> NDArray[Any]:
    """Values by basis state, of which those of the qubits' state r become those of ``rows[r]``."""
    num_qubits = len(values).bit_length() - 1
    axes = [num_qubits - 1 - qubit for qubit in reversed(qubits)]  # axis 0 is the highest qubit
    front = list(range(len(axes)))
    moved = np.moveaxis(values.reshape((2,) * num_qubits), axes, front)
    taken = moved.reshape(len(rows), -1)[rows]
    if factors is not None:
        taken = taken * factors[:, None]
    return np.ascontiguousarray(np.moveaxis(taken.reshape(moved.shape), front, axes)).reshape(-1)
