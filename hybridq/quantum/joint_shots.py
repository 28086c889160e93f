"""Shots drawn from exact joint distributions: all qubits are read in one circuit, at no cost but the drawing.

The probability of every bit string, readout errors included, follows from the exact expectation values of all products
of the qubits' observables (a Walsh–Hadamard transform). It is what a simulator gives that runs every circuit, with
exact and sampled values of one calibration in agreement.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
from qiskit.quantum_info import SparsePauliOp
from scipy.linalg import hadamard

from hybridq.typing import FloatArray


def products_of(observables: Sequence[SparsePauliOp]) -> tuple[SparsePauliOp, ...]:
    """Return the products of every set of Q observables but the empty one, (2**Q − 1).

    Number m, from 1, is the product of those whose bit is set in m.
    """
    numbers = range(1, 2 ** len(observables))
    chosen = ([each for bit, each in enumerate(observables) if number >> bit & 1] for number in numbers)
    return tuple(reduce(SparsePauliOp.dot, each).simplify() for each in chosen)


def bit_probabilities(products: FloatArray) -> FloatArray:
    """Return the probabilities (N, 2**Q) of the bits read from the values (N, 2**Q − 1) of :func:`products_of`.

    Bit q of a column is that of observable q.
    """
    size = products.shape[1] + 1
    everything = np.hstack([np.ones((len(products), 1)), products])
    # Rounding leaves zeros a little below zero.
    probabilities = np.clip(everything @ hadamard(size) / size, 0.0, None)
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def sampled(probabilities: FloatArray, shots: int, random: np.random.Generator) -> FloatArray:
    """Return the means ⟨Z⟩ (N, Q) of ``shots`` draws from each row of ``probabilities`` (N, 2**Q)."""
    size = probabilities.shape[1]
    counts = random.multinomial(shots, probabilities)
    single = [2**qubit for qubit in range(size.bit_length() - 1)]
    return counts @ hadamard(size)[:, single] / shots


def sampled_with_signs(
    signed: FloatArray, unsigned: FloatArray, gamma: float, shots: int, random: np.random.Generator
) -> FloatArray:
    """Return ⟨Z⟩ (N, Q) from ``shots`` draws of circuits with signs, whose mean times ``gamma`` is that of ``signed``.

    ``signed`` (N, 2**Q) are the probabilities that the signs average to, and ``unsigned`` those of the circuits as they
    run. A bit string comes with the sign + in (unsigned + signed / gamma) / 2 of all draws, and with − in the others.
    """
    size = signed.shape[1]
    both = np.clip(np.hstack([unsigned + signed / gamma, unsigned - signed / gamma]) / 2, 0.0, None)
    counts = random.multinomial(shots, both / both.sum(axis=1, keepdims=True))
    single = [2**qubit for qubit in range(size.bit_length() - 1)]
    return gamma * (counts[:, :size] - counts[:, size:]) @ hadamard(size)[:, single] / shots
