"""Expectation values of Pauli sums from a batch of state vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from hybridq.quantum.engine.constants import Constants
from hybridq.quantum.engine.noiseless.stages import GatherStage
from hybridq.quantum.engine.observables import real_coefficients


class PauliSums:
    """K Hermitian Pauli sums on Q qubits.

    Terms of I and Z only are one matrix product with the probabilities; the others are grouped by the set of qubits
    that they flip, one gather and one matrix product a set.

    Args:
        observables: with real coefficients.
        num_qubits: Q.
        after: gates that come before all observables; taken into these, see ``absorbed``.
    """

    def __init__(self, observables: Sequence[SparsePauliOp], num_qubits: int, after: GatherStage | None = None) -> None:
        rows = np.zeros((len(observables), 2**num_qubits))
        flipping: dict[int, NDArray[np.complex128]] = {}
        for k, (observable, coefficients) in enumerate(zip(observables, real_coefficients(observables), strict=True)):
            for label, coefficient in zip(observable.paulis.to_labels(), coefficients, strict=True):
                flips, signs, factor = _pauli_phases(label)
                if flips:
                    table = flipping.setdefault(flips, np.zeros(rows.shape[::-1], np.complex128))
                    table[:, k] += coefficient * factor * signs
                else:
                    rows[k] += coefficient * signs
        diagonal = np.ascontiguousarray(rows.T)
        self.absorbed = after is not None and not flipping
        """Whether the values are those of the state before the gates given; only diagonal observables can be."""
        if after is not None and not flipping:
            diagonal = diagonal[after.gather(num_qubits).inverse_source]
        index = np.arange(2**num_qubits, dtype=np.int64)
        self._flipping = [Constants(source=index ^ flips, phases=table) for flips, table in flipping.items()]
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


def _pauli_phases(label: str) -> tuple[int, NDArray[np.int8], complex]:
    """The flipped qubits as a bit mask, signs s and a factor f with (P ψ)[i] = f s[i] ψ[i ^ mask]."""
    flips, factor = 0, 1.0 + 0.0j
    signs = np.ones(1, dtype=np.int8)
    for qubit, letter in enumerate(reversed(label)):
        flips |= (letter in "XY") << qubit
        factor *= -1j if letter == "Y" else 1
        signs = np.concatenate([signs, -signs if letter in "ZY" else signs])
    return flips, signs, factor
