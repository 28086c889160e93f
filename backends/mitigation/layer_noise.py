"""Noise of two-qubit gates as PEA and PEC know it: learned as rates of Paulis, then amplified or cancelled.

Twirled, the error of a gate is a random Pauli (:mod:`backends.mitigation.twirling`). What is learned of it are rates λ
of Paulis P, none below zero, of the channel exp(Σ λ (P ρ P − ρ)) that comes closest (arXiv:2201.09866). PEA adds Paulis
until that noise is f times as strong. PEC inserts Paulis with signs, whose average is the inverse, at γ² times the
shots, γ = exp(2 Σ λ). Rates are taken to be learned without error. The errors of single-qubit gates, idle time and
readout are left as they are.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import PTM, PauliList, SuperOp
from qiskit_aer.noise import QuantumError, pauli_error
from scipy.optimize import nnls

from backends.aer import SimulatedCircuit
from backends.mitigation.twirling import TWIRLED, twirled

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class _Gate:
    """The twirled error of a gate: what is left of each Pauli, and what the learned rates leave of it; both (4ⁿ,)."""

    left: Vector
    learned: Vector
    rates: Vector

    def at(self, factor: float) -> QuantumError:
        """The error with the learned noise ``factor`` times as strong; below zero would be no channel and is none."""
        labels = _labels(self.left)
        paulis = PauliList(labels)
        signs = np.array([1 - 2 * pauli.anticommutes(paulis) for pauli in paulis])
        chances = np.clip(signs @ (self.left * self.learned ** (factor - 1)) / len(paulis), 0.0, None)
        return pauli_error([(label, p) for label, p in zip(labels, chances / chances.sum(), strict=True)])


class LayerNoise:
    """The noise of the two-qubit gates of a circuit, learned."""

    def __init__(self, compiled: SimulatedCircuit) -> None:
        self._averaged = twirled(compiled)
        circuit = compiled.circuit
        places = [(item.operation.name, tuple(circuit.find_bit(q).index for q in item.qubits)) for item in circuit.data]
        self._uses = Counter(place for place in places if place[0] in TWIRLED)

    @cached_property
    def _gates(self) -> dict[tuple[str, tuple[int, ...]], _Gate]:
        noise = self._averaged.noise
        errors = () if noise is None else noise.gate_errors
        return {(name, qubits): _learn(error) for name, qubits, error in errors if (name, qubits) in self._uses}

    @property
    def overhead(self) -> float:
        """How many times the shots it takes to cancel all of it in the whole circuit: γ²."""
        return math.exp(4 * sum(self._uses[place] * float(gate.rates.sum()) for place, gate in self._gates.items()))

    @property
    def layers(self) -> int:
        """Different sets of two-qubit gates that run at one time, each of which is learned by itself."""
        circuit = self._averaged.circuit
        depth = [0] * circuit.num_qubits
        found: dict[int, set[tuple[str, tuple[int, ...]]]] = {}
        for item in circuit.data:
            qubits = tuple(circuit.find_bit(q).index for q in item.qubits)
            if item.operation.name in TWIRLED:
                level = 1 + max(depth[q] for q in qubits)
                found.setdefault(level, set()).add((item.operation.name, qubits))
                for q in qubits:
                    depth[q] = level
        return len({frozenset(gates) for gates in found.values()})

    def at(self, factor: float) -> SimulatedCircuit:
        """The circuit, twirled, with what was learned of its noise ``factor`` times as strong; 0 cancels it."""
        if self._averaged.noise is None:
            return self._averaged
        errors = tuple(
            (name, qubits, self._gates[name, qubits].at(factor) if (name, qubits) in self._gates else error)
            for name, qubits, error in self._averaged.noise.gate_errors
        )
        return replace(self._averaged, noise=replace(self._averaged.noise, gate_errors=errors))


def _learn(error: QuantumError) -> _Gate:
    left = np.real(np.diag(PTM(SuperOp(error)).data))
    paulis = PauliList(_labels(left))
    against = np.array([pauli.anticommutes(paulis) for pauli in paulis], dtype=np.float64)
    rates, _ = nnls(2 * against[:, 1:], -np.log(np.maximum(left, 1e-12)))
    return _Gate(left, np.exp(-2 * against[:, 1:] @ rates), rates)


def _labels(per_pauli: Vector) -> list[str]:
    size = round(math.log(len(per_pauli), 4))
    return ["".join(letters) for letters in product("IXYZ", repeat=size)]
