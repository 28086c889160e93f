"""What a short repetition delay costs in state preparation: a model, not a measurement.

Before every execution the device resets its qubits, by a measurement and an X where that read 1, and waits. Assumed is:

- a qubit is 1 after the execution before in half of all cases;
- its reset fails where that 1 is read as 0, with the calibrated p(read 0 | prepared 1), and in no other way;
- what is left excited relaxes with T1 during the delay.

So p(d) = ½ · p(read 0 | prepared 1) · exp(−d / T1) are excited when the circuit begins. At the device's default delay
that is taken to be in the calibration already, and only the excess p(d) − p(default) is added, at least 0: an X with
this probability on each qubit, before its first gate. Memory from one execution to the next is not in it, nor leakage,
nor thermal excitation. A qubit of unknown T1 keeps its excitation at every delay, and so has no excess.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from qiskit import QuantumCircuit
from qiskit.circuit.library import IGate
from qiskit_aer.noise import pauli_error

from backends.noise import Noise

LABEL = "preparation"
"""Of the identity to which the error is bound, in Aer and in the exact engine alike."""


def residual_excitation(delay: float, t1: float, misread: float) -> float:
    """Probability that a qubit begins excited; ``delay`` and ``t1`` in seconds, ``misread`` p(read 0 | prepared 1)."""
    return 0.5 * misread * math.exp(-delay / t1)


def excess_excitations(noise: Noise, delay: float, default: float) -> tuple[float, ...]:
    """Return for each qubit how much more often it begins excited at ``delay`` than at ``default`` seconds."""
    return tuple(
        max(0.0, residual_excitation(delay, t1, misread) - residual_excitation(default, t1, misread))
        for (t1, _), (_, misread) in zip(noise.relaxation, noise.readout, strict=True)
    )


def badly_prepared(noise: Noise, excesses: Sequence[float]) -> Noise:
    """Return the noise with an X of these probabilities at the gate of :func:`with_preparation`."""
    errors = tuple(
        (LABEL, (qubit,), pauli_error([("X", excess), ("I", 1 - excess)]))
        for qubit, excess in enumerate(excesses)
        if excess > 0
    )
    return replace(noise, gate_errors=(*noise.gate_errors, *errors))


def with_preparation(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit with a labelled identity, which takes no time, before the first gate of each qubit."""
    result = circuit.copy_empty_like()
    for qubit in circuit.qubits:
        result.append(IGate(label=LABEL), [qubit])
    for item in circuit.data:
        result.append(item, copy=False)
    return result
