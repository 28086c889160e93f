"""⟨Z⟩ of every image under the noise of a cell: exact, or from shots drawn from the exact distribution.

Shots cost a thousandth of a simulator that runs every circuit, see :mod:`hybridq.quantum.joint_shots`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from backends import open_backend
from backends.contract import CircuitProgram, FloatArray
from hybridq.errors import UserError
from hybridq.quantum.engine import compile_program
from hybridq.quantum.engine.noisy.program import MAX_QUBITS
from hybridq.quantum.engine_choice import run_exactly
from hybridq.quantum.joint_shots import bit_probabilities, products_of, sampled
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
            products = replace(self._program, observables=products_of(self._program.observables))
            values, record = self._exact(products, cell.exact_backend)
            self._joint = (cell.exact_backend, bit_probabilities(values), record)
        _, probabilities, record = self._joint
        random = np.random.default_rng([self._seed, cell.shots, cell.draw or 0])
        return sampled(probabilities, cell.shots, random), record

    def _exact(self, program: CircuitProgram, name: str) -> tuple[FloatArray, dict[str, Any]]:
        backend = open_backend(name)
        compiled = backend.compile(program)
        result = run_exactly(backend, compiled, self._inputs, self._weights)
        if result is not None:
            return result.values, dict(result.record)
        with torch.inference_mode():
            inputs, weights = torch.from_numpy(self._inputs), torch.from_numpy(self._weights)
            return compile_program(program)(inputs, weights).numpy(), dict(compiled.record)
