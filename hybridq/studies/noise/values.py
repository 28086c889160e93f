"""⟨Z⟩ of every image under the noise of a cell: exact, or from shots drawn from the exact distribution.

All qubits are read in one circuit. The exact expectation values of all products of Z give the probability of every bit
string, readout error included, and shots are drawn from these: what a simulator that runs every circuit gives, at a
thousandth of its cost and with exact and sampled values of one calibration in agreement.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from qiskit.quantum_info import SparsePauliOp

from backends import open_backend
from backends.contract import CircuitProgram, FloatArray
from hybridq.errors import UserError
from hybridq.quantum.engine import compile_program
from hybridq.quantum.engine.noisy.program import MAX_QUBITS
from hybridq.quantum.engine_choice import run_exactly
from hybridq.studies.noise.cells import Cell


class NoisyValues:
    """q (N, Q) of inputs (N, Q) under weights (W,), for one cell after the other.

    Raises :class:`UserError` for more than ``MAX_QUBITS`` qubits, which the exact engine does not take.
    """

    def __init__(self, program: CircuitProgram, inputs: FloatArray, weights: FloatArray, seed: int) -> None:
        size = program.circuit.num_qubits
        if size > MAX_QUBITS:
            raise UserError(
                f"the circuit has {size} qubits; a noise study takes at most {MAX_QUBITS}, all values being exact "
                "(hybridq evaluate --backend takes more)"
            )
        self._program, self._inputs, self._weights, self._seed = program, inputs, weights, seed
        self._joint: tuple[str, FloatArray, dict[str, Any]] | None = None
        """Probabilities of bit strings (N, 2**Q) on the last backend that shots were drawn from, and its record."""

    def of(self, cell: Cell) -> tuple[FloatArray, dict[str, Any]]:
        """q (N, Q), and what is known of the circuit that ran.

        Raises :class:`backends.errors.BackendError` for a strength that makes an error no probability, and for what the
        backend does not take.
        """
        if cell.shots is None:
            return self._exact(self._program, cell.exact_backend)
        if self._joint is None or self._joint[0] != cell.exact_backend:
            products = replace(self._program, observables=z_products(self._program.circuit.num_qubits))
            values, record = self._exact(products, cell.exact_backend)
            self._joint = (cell.exact_backend, bit_string_probabilities(values), record)
        _, probabilities, record = self._joint
        random = np.random.default_rng([self._seed, cell.shots, cell.draw or 0])
        return sampled_values(probabilities, cell.shots, random), record

    def _exact(self, program: CircuitProgram, name: str) -> tuple[FloatArray, dict[str, Any]]:
        backend = open_backend(name)
        compiled = backend.compile(program)
        result = run_exactly(backend, compiled, self._inputs, self._weights)
        if result is not None:
            return result.values, dict(result.record)
        with torch.inference_mode():
            inputs, weights = torch.from_numpy(self._inputs), torch.from_numpy(self._weights)
            return compile_program(program)(inputs, weights).numpy(), dict(compiled.record)


def z_products(qubits: int) -> tuple[SparsePauliOp, ...]:
    """The products of Z on every set of qubits but the empty one; that on qubits i, j, … has index 2^i + 2^j … − 1."""
    sets = [chosen for size in range(1, qubits + 1) for chosen in combinations(range(qubits), size)]
    sets.sort(key=lambda chosen: sum(1 << qubit for qubit in chosen))
    return tuple(SparsePauliOp.from_sparse_list([("Z" * len(chosen), chosen, 1.0)], qubits) for chosen in sets)


def bit_string_probabilities(products: FloatArray) -> FloatArray:
    """(N, 2**Q) from the expectation values (N, 2**Q − 1) of :func:`z_products`; bit i of a column is qubit i's."""
    values = np.concatenate([np.ones((len(products), 1)), products], axis=1)
    probabilities = values @ _signs(values.shape[1]) / values.shape[1]
    probabilities = np.clip(probabilities, 0, None)  # rounding
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def sampled_values(probabilities: FloatArray, shots: int, random: np.random.Generator) -> FloatArray:
    """⟨Z⟩ of every qubit (N, Q) from that many bit strings drawn with ``probabilities`` (N, 2**Q)."""
    counts = random.multinomial(shots, probabilities)
    single = [1 << qubit for qubit in range(probabilities.shape[1].bit_length() - 1)]
    return counts @ _signs(probabilities.shape[1])[:, single] / shots


def _signs(size: int) -> FloatArray:
    """(-1)^(number of bits that row and column share), (size, size)."""
    signs: FloatArray = np.ones((1, 1))
    while len(signs) < size:
        signs = np.kron(np.array([[1.0, 1.0], [1.0, -1.0]]), signs)
    return signs
