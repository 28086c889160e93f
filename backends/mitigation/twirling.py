"""Pauli twirling of two-qubit gates (arXiv:1512.01098): what is left of their errors on average.

Before a Clifford gate a random Pauli is applied to each of its qubits, after it those that undo them. Over all choices
the error of the gate becomes a random Pauli, whatever it was: over-rotations no longer add up, relaxation no longer
draws towards |0⟩. On a device the Paulis are merged into the single-qubit gates around and cost nothing, which is taken
to be so here.

What is computed is that average, which a device shows when every shot has a choice of its own; with 32 choices, as many
as the client's own twirling makes, it scatters about it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from itertools import product

import numpy as np
from qiskit.quantum_info import PTM, PauliList, SuperOp
from qiskit_aer.noise import QuantumError, pauli_error

from backends.aer import SimulatedCircuit

TWIRLED = ("cx", "cz", "ecr")
"""Gates that turn Paulis into Paulis; the errors of others stay as they are."""


def twirled(compiled: SimulatedCircuit) -> SimulatedCircuit:
    """The same circuit with the error of each of its two-qubit gates averaged over all Paulis around the gate.

    Its values come from an exact engine: nothing is prepared for Aer to run.
    """
    if compiled.noise is None:
        return replace(compiled, runs=())
    circuit = compiled.circuit
    used = {(item.operation.name, tuple(circuit.find_bit(q).index for q in item.qubits)) for item in circuit.data}
    wanted = {place for place in used if place[0] in TWIRLED}
    kept, errors = [], dict[tuple[str, tuple[int, ...]], list[QuantumError]]()
    for name, qubits, error in compiled.noise.gate_errors:
        if (name, qubits) in wanted:
            errors.setdefault((name, qubits), []).append(error)
        else:
            kept.append((name, qubits, error))
    averaged = [(name, qubits, twirled_error(found)) for (name, qubits), found in errors.items()]
    return replace(compiled, runs=(), noise=replace(compiled.noise, gate_errors=(*kept, *averaged)))


def twirled_error(errors: list[QuantumError]) -> QuantumError:
    """The Pauli channel that errors one after the other become: the diagonal of their transfer matrix is all that
    stays of it."""
    channel = reduce(SuperOp.compose, (SuperOp(error) for error in errors))
    diagonal = np.real(np.diag(PTM(channel).data))
    labels = ["".join(letters) for letters in product("IXYZ", repeat=channel.num_qubits)]
    paulis = PauliList(labels)
    # Pauli j keeps or turns the sign of Pauli i; the signs are their own inverse up to the number of Paulis.
    signs = np.array([1 - 2 * pauli.anticommutes(paulis) for pauli in paulis])
    probabilities = np.clip(signs @ diagonal / len(paulis), 0.0, None)
    return pauli_error([(label, p) for label, p in zip(labels, probabilities / probabilities.sum(), strict=True)])
