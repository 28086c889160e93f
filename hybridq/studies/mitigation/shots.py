"""Shots drawn from exact joint distributions: whole experiments are repeated at no cost but the drawing.

The distribution of the bits that are read follows from the expectation values of all products of Z (a Walsh–Hadamard
transform), which the exact engine gives with readout errors in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce

import numpy as np
from qiskit.quantum_info import SparsePauliOp
from scipy.linalg import hadamard

from backends.aer import SimulatedCircuit
from hybridq.typing import FloatArray


def read_jointly(compiled: SimulatedCircuit) -> SimulatedCircuit:
    """The same circuit with all products of its Q observables ⟨Z⟩ as observables.

    Number m, from 1 to 2**Q − 1, has the Z of every qubit whose bit is set in m. Values come from an exact engine:
    nothing is prepared for Aer to run.
    """
    return replace(compiled, observables=tuple(_products(compiled.observables)), runs=())


def _products(observables: tuple[SparsePauliOp, ...]) -> Iterator[SparsePauliOp]:
    for number in range(1, 2 ** len(observables)):
        chosen = [observable for qubit, observable in enumerate(observables) if number >> qubit & 1]
        yield reduce(SparsePauliOp.dot, chosen).simplify()


def distribution(products: FloatArray) -> FloatArray:
    """Probabilities (N, 2**Q) of the bits read, bit q of the column that of qubit q, from ``products``
    (N, 2**Q − 1)."""
    size = products.shape[1] + 1
    everything = np.hstack([np.ones((len(products), 1)), products])
    # Rounding leaves zeros a little below zero.
    probabilities = np.clip(everything @ hadamard(size) / size, 0.0, None)
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def sample(probabilities: FloatArray, shots: int, random: np.random.Generator) -> FloatArray:
    """⟨Z⟩ (N, Q) from ``shots`` draws of each row of ``probabilities`` (N, 2**Q)."""
    size = probabilities.shape[1]
    counts = random.multinomial(shots, probabilities)
    single = [2**qubit for qubit in range(size.bit_length() - 1)]
    return counts @ hadamard(size)[:, single] / shots
