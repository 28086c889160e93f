"""Expectation values of Pauli sums from a batch of state vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from hybridq.errors import UserError
from hybridq.quantum.engine.constants import Constants
from hybridq.quantum.engine.monomial import Monomial


class PauliSums:
    """K Hermitian Pauli sums on Q qubits.

    Terms of I and Z only are one matrix product with the probabilities; the others are grouped by the set of qubits
    that they flip, one gather and one matrix product a set.

    Raises:
        UserError: a coefficient is not a real number.
    """

    def __init__(self, observables: Sequence[SparsePauliOp], num_qubits: int) -> None:
        coefficients: dict[int, NDArray[np.complex128]] = {}
        for k, observable in enumerate(observables):
            for label, coefficient in observable.to_list():
                if not np.isfinite(coefficient) or abs(complex(coefficient).imag) > 1e-12:
                    raise UserError(f"observable {k}: the coefficient {coefficient} of {label} must be a real number")
                flips, phases = _pauli_phases(label)
                table = coefficients.setdefault(flips, np.zeros((2**num_qubits, len(observables)), np.complex128))
                table[:, k] += complex(coefficient).real * phases
        diagonal = coefficients.pop(0, np.zeros((2**num_qubits, len(observables)), np.complex128))
        self.is_diagonal = not coefficients
        index = np.arange(2**num_qubits, dtype=np.int64)
        self._flipping = [Constants(source=index ^ flips, phases=table) for flips, table in coefficients.items()]
        self._set_diagonal(diagonal.real)

    def absorb(self, gather: Monomial) -> None:
        """Let diagonal observables act as if ``gather`` were applied to the state first."""
        assert self.is_diagonal
        self._set_diagonal(self._diagonal[gather.inverse_source])

    def _set_diagonal(self, diagonal: NDArray[np.float64]) -> None:
        self._diagonal = diagonal
        self._diagonals = Constants(twice=np.repeat(diagonal, 2, axis=0), gradient=2 * diagonal.T)

    def backward(self, state: Tensor, cotangents: Tensor) -> Tensor:
        """Cotangents (C, B, 2**Q) of states (B, 2**Q) from those of the values, (C, B, K)."""
        operators = cotangents @ self._diagonals.like(cotangents)["gradient"]
        turned = operators * state
        for constants in self._flipping:
            tensors = constants.like(cotangents)
            by_entry = (2 * cotangents).to(state.dtype) @ tensors["phases"].mT
            turned = turned + by_entry * state.index_select(1, tensors["source"])
        return turned

    def __call__(self, state: Tensor) -> Tensor:
        """Values (B, K) of states (B, 2**Q)."""
        parts = torch.view_as_real(state).flatten(1)
        values = parts.square() @ self._diagonals.like(parts)["twice"]
        for constants in self._flipping:
            tensors = constants.like(parts)
            products = state.conj() * state.index_select(1, tensors["source"])
            values = values + (products @ tensors["phases"]).real
        return values


def _pauli_phases(label: str) -> tuple[int, NDArray[np.complex128]]:
    """The flipped qubits as a bit mask and p with (P ψ)[i] = p[i] ψ[i ^ mask]."""
    index = np.arange(2 ** len(label), dtype=np.int64)
    flips, parity, factor = 0, np.zeros_like(index), 1.0 + 0.0j
    for qubit, letter in enumerate(reversed(label)):
        if letter in "XY":
            flips |= 1 << qubit
        if letter in "ZY":
            parity ^= (index >> qubit) & 1
        if letter == "Y":
            factor *= -1j
    return flips, factor * (1 - 2 * parity)
